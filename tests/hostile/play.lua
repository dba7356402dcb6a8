-- Plays one misbehaviour of tests/hostile/model.lua to an agent and says how it ended. What the agent sends is judged as well: a
-- request that no server could take is its own mistake, whatever the model did.

local errors = require "core.errors"
local http = require "stoke.http"
local json = require "stoke.json"
local retry = require "core.gate.retry"
local scripted = require "scripted"
local stoke = require "stoke"

local M = {}

M.Invoice = stoke.schema { vendor = "string 1..60", total = "number >= 0", due = "date?", kind = "goods|services",
  lines = { { item = "string", qty = "integer >= 1" } } }

-- ---- the server -----------------------------------------------------------------------------------------------------------------

local count = 0

local function reply_whole(a, res)
  if a.body_hang then stoke.sleep(1e6) end
  if a.body_reset then return res:reset() end
  return res:reply(a.status or 200, { ["Content-Type"] = "application/json" }, a.body)
end

local function reply_lines(a, res)
  res:start(a.status or 200, { ["Content-Type"] = "application/x-ndjson" })
  for i, line in ipairs(a.lines) do
    if a.gap and i > 1 then stoke.sleep(a.gap) end
    res:write(line .. (a.open and i == #a.lines and "" or "\n"))
  end
  if a.hang then stoke.sleep(1e6) end
  if a.reset then res:reset() end
end

--- A server that says what the list has; what is asked beside chat is answered as by a server that has loaded nothing.
local function raw_server(replies)
  count = count + 1
  local name, requests = "played" .. count, {}
  local server = http.serve { mem = name, max_body = 1 << 28, drain = 0, handler = function(req, res)
    if req.path ~= "/api/chat" then
      return res:reply(200, { ["Content-Type"] = "application/json" }, '{"models":[],"done":true,"done_reason":"load"}')
    end
    local request = json.decode(req.body)
    requests[#requests + 1] = request
    local a = replies[math.min(#requests, #replies)]
    if type(a) == "string" then a = { body = a } end
    if request.stream and a.lines then return reply_lines(a, res) end
    return reply_whole(a, res)
  end }
  return setmetatable({ url = "http://" .. name .. ".mem", requests = requests }, { __close = function() server:close() end })
end

local function server_of(case)
  if case.raw then return raw_server(case.raw) end
  local after = case.after or "Done."
  return scripted(function(request, n)
    local reply
    if type(case.script) == "function" then reply = case.script(request, n) else reply = case.script[n] end
    return reply == nil and after or reply
  end)
end

-- ---- the agents -----------------------------------------------------------------------------------------------------------------

local function tools_of(seen)
  local function saw(...) seen[#seen + 1] = table.concat({ ... }, " ") end
  return {
    stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city name" },
      run = function(a)
        saw("get_weather", #a.city < 100 and a.city or "(long)")
        return "4 degrees, rain in " .. a.city
      end },
    stoke.tool { name = "add", params = { a = "integer", b = "integer" }, run = function(a)
      saw("add", a.a, a.b)
      return a.a + a.b
    end },
  }
end

local function environment(url, seen)
  local env = { url = url, tools = tools_of(seen), Invoice = M.Invoice }
  function env.agent(given)
    given.model, given.endpoint, given.name = scripted.MODEL, url, given.name or "bot"
    return stoke.agent(given)
  end
  return env
end

local AGENTS = {
  plain = function(env) return env.agent {} end,
  tools = function(env) return env.agent { tools = env.tools } end,
  output = function(env) return env.agent { output = env.Invoice } end,
  both = function(env) return env.agent { tools = env.tools, output = env.Invoice } end,
}

--- stoke.choose with the face of an agent.
local function chooser(url)
  return { run = function()
    local name, _, usage = stoke.choose { model = scripted.MODEL, prompt = "Where to?", endpoint = url,
      options = { { "billing", "money" }, "support", "none of these" } }
    return { text = name, usage = usage, messages = {} }
  end }
end

local WAYS = {
  run = function(agent) return agent:run "Do I need an umbrella?" end,
  stream = function(agent)
    local result, calls, results = nil, 0, 0
    for ev in agent:stream "Do I need an umbrella?" do
      if ev.type == "tool_call" then calls = calls + 1 end
      if ev.type == "tool_result" then results = results + 1 end
      if ev.type == "done" then result = ev.result end
    end
    if calls ~= results then errors.raise("script", ("%d calls were told, %d results"):format(calls, results)) end
    return result
  end,
  session = function(agent)
    local chat = agent:session()
    local ok, result = pcall(chat.run, chat, "Do I need an umbrella?")
    local saved = json.encode(chat:save())
    agent:session(json.decode(saved))
    if ok then return result end
    if #chat.messages > 0 then errors.raise("script", "a turn that failed left something behind") end
    error(result, 0)
  end,
}

-- ---- what the agent sent --------------------------------------------------------------------------------------------------------

local ROLES = { system = true, user = true, assistant = true, tool = true }

local function unsound(request)
  local waiting = {}
  for i, m in ipairs(request.messages) do
    local where = ("messages[%d]"):format(i)
    if not ROLES[m.role] then return where .. " has no role" end
    if type(m.content) ~= "string" then return where .. " has no content" end
    if m.role == "tool" then
      local id = m.tool_call_id
      if not waiting[id] then return where .. " answers no call" end
      waiting[id] = nil
    elseif next(waiting) then
      return where .. " comes before a call was answered"
    end
    for j, call in ipairs(m.tool_calls or {}) do
      local f = call["function"]
      if type(call.id) ~= "string" or waiting[call.id] then return ("%s.tool_calls[%d] has no id of its own"):format(where, j) end
      if type(f.name) ~= "string" or type(f.arguments) ~= "table" or json.is_array(f.arguments) then
        return ("%s.tool_calls[%d] is no call"):format(where, j)
      end
      waiting[call.id] = true
    end
  end
  return next(waiting) and "a call was not answered" or nil
end

-- ---- how it ended ---------------------------------------------------------------------------------------------------------------

local function told_of(requests)
  local last = requests[#requests]
  for i = last and #last.messages or 0, 1, -1 do
    if last.messages[i].role == "tool" then return last.messages[i].content end
  end
end

---@class hostile.outcome
---@field kind string "value" or the kind of the error
---@field err? stoke.error
---@field text? string
---@field output? any
---@field repairs? integer
---@field requests integer
---@field seen string calls that reached the tools
---@field told? string what the model was told of the last call
---@field seconds number of the virtual clock
---@field unsound? string what is wrong with a request

--- Play it.
---@param case table
---@param way "run"|"stream"|"session"
---@param with? string another agent than the one it is made for
---@return hostile.outcome
function M.play(case, way, with)
  retry.forget() -- each begins as if no call before it had failed
  with = with or case.with or "tools"
  local server <close> = server_of(case)
  local seen = {}
  local began = stoke.time.monotonic()
  local agent
  if with == "choose" then
    agent, way = chooser(server.url), "run"
  else
    agent = (AGENTS[with] or with)(environment(server.url, seen))
  end
  local ok, result = pcall(WAYS[way], agent)
  local out = { kind = "value", requests = #server.requests, seconds = stoke.time.monotonic() - began,
    told = told_of(server.requests) }
  table.sort(seen)
  out.seen = table.concat(seen, ", ")
  for _, request in ipairs(server.requests) do out.unsound = out.unsound or unsound(request) end
  if ok then
    out.text, out.output, out.reason = result.text, result.output, result.reason
    out.repairs = result.usage.repairs
    return out
  end
  local err = errors.wrap(result)
  out.kind, out.err = err.kind, err
  local work = rawget(err, "work")
  out.repairs = work and work.usage.repairs
  return out
end

-- ---- what has to hold of any end ------------------------------------------------------------------------------------------------

--- Seconds of the virtual clock that the worst may take: a load and a first byte that never come, three times.
local BOUND = 4 * 3600

--- What no message may hold: words of the interpreter, addresses, our own sources, a second line.
local UNREADABLE = { "attempt to", "nil value", "table: 0x", "function: 0x", "userdata: 0x", "stoke:[%w_/.]+:%d", "stdlib/",
  "core%.",
  "[%c\127]", "stack traceback" }

local function allowed(kinds, kind) return (" " .. kinds .. " "):find(" " .. kind .. " ", 1, true) ~= nil end

--- It ended in time, in one of these kinds; what it says can be read.
---@param t stoke.test.t
---@param out hostile.outcome
---@param kinds string
---@param what string
function M.check(t, out, kinds, what)
  t.ok(allowed(kinds, out.kind), ("%s: ended in %s, not in %s: %s"):format(what, out.kind, kinds,
    tostring(out.err or out.text):sub(1, 400)))
  t.ok(out.seconds < BOUND, what .. ": took too long")
  t.ok(not out.unsound, ("%s: a request was wrong: %s"):format(what, out.unsound))
  local err = out.err
  if not err then return end
  t.eq(type(err.message), "string", what)
  t.ok(#err.message > 0 and #err.message < 2500, ("%s: a message of %d bytes"):format(what, #err.message))
  t.ok(utf8.len(err.message), what .. ": the message is no UTF-8")
  for _, pattern in ipairs(UNREADABLE) do
    t.ok(not err.message:find(pattern), ("%s: the message has %q: %s"):format(what, pattern, err.message:sub(1, 300)))
  end
  if err.hint then t.ok(not err.hint:find "[\n\r]", what .. ": the hint has more than a line") end
end

return M
