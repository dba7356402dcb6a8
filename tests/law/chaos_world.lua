-- The outside world of the chaos programs: servers in memory and on a port, slow, broken and cut; a simulated Ollama with faults;
-- a folder; somebody who decides approvals; and counts of all that was really done.

local effect = require "core.effect"
local http = require "stoke.http"
local host = require "host.task"
local pool = require "core.gate.pool"
local scopes = require "core.scope"
local sim = require "stoke.sim"
local stoke = require "stoke"

local M = {}

-- What follows from a frame, and what is read anew by design.
local ANEW = { ["env.get"] = true }

-- Effects that were done live for a replayed run, by name.
M.done = {}

local wrapped

-- Count what drivers do for runs that are replayed.
local function watch_drivers()
  if wrapped then return end
  wrapped = true
  for _, name in ipairs { "watch", "llm", "proc", "http", "tool", "input", "fs", "env", "time", "rand", "approval" } do
    require("core.driver." .. name)
  end
  for _, name in ipairs(effect.names()) do
    local def = effect.about(name)
    local run = def.run
    if not def.derived and not ANEW[name] then
      def.run = function(q, call, work)
        local task = host.current()
        local journal = task and scopes.innermost(task).context.journal
        if journal and journal.count_live then journal:count_live(name, call and call.key) end
        return run(q, call, work)
      end
    end
  end
end

local function handler(world)
  return function(req, res)
    local key, how = req.path, req.query.how
    world.asked[key] = (world.asked[key] or 0) + 1
    if req.query.wait then stoke.sleep(tonumber(req.query.wait)) end
    if how == "missing" then return res:reply(404, {}, "nothing at " .. key) end
    if how == "reset" then return res:reset() end
    if how ~= "lines" and how ~= "cut" then return res:reply(200, { ["X-Key"] = key }, "body of " .. key) end
    res:start(200, { ["X-Key"] = key })
    for i = 1, 5 do
      res:write(("line %d of %s\n"):format(i, key))
      if how == "cut" and i == 3 then return res:reset() end
      if i % 2 == 0 then stoke.sleep(0.001) end
    end
    res:finish()
  end
end

local function answer(request)
  local last = request.messages and request.messages[#request.messages]
  local text = last and last.content or request.prompt or ""
  if last and last.role == "tool" then return "done: " .. text:sub(1, 60) end
  local tool = request.tools and request.tools[1]
  local n = #text % 4
  if request.format then return { json = { answer = #text } } end
  if tool and n > 0 then
    local calls = {}
    for i = 1, math.min(n, #request.tools) do
      local f = request.tools[i]["function"]
      local field = next(f.parameters.properties)
      calls[i] = { name = f.name, arguments = field and { [field] = ("%s %d"):format(text:sub(1, 20), i) } or {} }
    end
    return { tool_calls = calls }
  end
  return ("A text of some words about %s."):format(text:sub(-30))
end

-- Somebody outside of all runs, who approves, edits and rejects.
local function approve()
  while true do
    stoke.sleep(0.002)
    for _, entry in ipairs(stoke.pending()) do
      local n = math.random(4)
      if n == 1 then
        entry:reject "not today"
      elseif n == 2 and entry.args then
        entry:edit { what = "edited" }
      else
        entry:approve()
      end
    end
  end
end

local count = 0

-- A world, until it is closed. root: a folder of its own.
function M.open(root)
  watch_drivers()
  local width = pool.default_width
  pool.set_default(1)
  count = count + 1
  local world = { asked = {}, models = {}, root = root }
  local serve = handler(world)
  local servers = {
    http.serve { mem = "chaos" .. count, handler = serve },
    http.serve { port = 0, handler = serve },
  }
  local model = sim.serve { mem = "chaosmodel" .. count, slots = 2, load_seconds = 0, seed = math.random(1000000),
    models = { "good,tps=5000", "slow,tps=300", "bad,tps=2000,fault=reset:0.3", "worse,tps=2000,fault=hang-mid:0.2",
      "cut,tps=3000,fault=silent-end:0.3", "busy,tps=4000,fault=503:0.4" },
    script = function(request)
      world.calls = (world.calls or 0) + 1
      return answer(request)
    end }
  world.urls, world.model = { servers[1].url, servers[2].url }, model.url
  world.approver = stoke.spawn(approve)
  return setmetatable(world, { __close = function()
    world.approver:cancel()
    pool.set_default(width)
    model:close()
    for _, server in ipairs(servers) do server:close() end
  end })
end

M.MODELS = { "good", "good", "slow", "bad", "worse", "cut", "busy" }

return M
