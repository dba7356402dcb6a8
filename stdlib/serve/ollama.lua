--- Ollama's API in front of agents: what its clients ask before a chat, and chats and completions, as lines or whole.

local agents = require "stoke.agent.loop"
local input = require "stoke.agent.input"
local model = require "stoke.model"
local gojson = require "stoke.ollama.server.gojson"
local checks = require "stoke.ollama.server.checks"
local decode = require "stoke.ollama.server.decode"
local wire = require "stoke.ollama.server.wire"
local clocks = require "core.driver.time"
local errors = require "core.errors"
local behind = require "stoke.serve.behind"
local embed = require "stoke.serve.embed"
local failures = require "stoke.serve.failures"
local lent = require "stoke.serve.lent"
local passing = require "stoke.serve.passing"
local registry = require "stoke.serve.registry"
local turn = require "stoke.serve.turn"
local json = require "stoke.json"
local time = require "stoke.time"

local M = {}

--- The version that clients compare theirs with: above what any asks for.
M.VERSION = "0.99.0-stoke"

--- The window that is told where nobody knows it.
local WINDOW <const> = 8192
--- VS Code takes 4,096 tokens for the answer off a window that has as many: one of 4,096 would have no room for a question. A
--- smaller one is halved, so that is what it is told between these.
local HALVED <const>, ROOM <const> = 4095, 8192

--- A time as Go writes it. Enchanted reads none without a fraction, which Go leaves out for one nanosecond of a second.
local function stamp(wall) return wire.time(registry.broken(wall)) end

-- ---- errors ---------------------------------------------------------------------------------------------------------------------

--- Answer with an error.
---@param res stoke.http.reply
---@param failure stoke.serve.failure
---
--- Example: `return ollama.refuse(res, failures.new(404, "no such model"))`
function M.refuse(res, failure)
  return res:reply(failure.status, failures.headers(wire.JSON, failure), wire.error(failure.text))
end

local refuse = M.refuse

--- A status and words.
local function deny(res, status, format, ...) return refuse(res, failures.new(status, format, ...)) end

local function read(req, res, name)
  local body, raw = decode.request(req.body, decode.requests[name])
  req.body = "" -- it is read; a long conversation is not held beside what it was made of while its answer streams
  if not body then return deny(res, 400, "%s", raw) end
  return body, raw
end

--- The model that a request names. Ollama's own client sends an empty `model` beside `name`, which is what it was called once.
local function named(body)
  local name = body.model
  if not name or name == "" then name = body.name end
  return name or ""
end

local function suggestion(host, name)
  local near = host.registry:near(name)
  return near and (" (did you mean %s?)"):format(near) or ""
end

local function find(host, res, name)
  local entry = host.registry:find(name)
  if entry then return entry end
  return deny(res, 404, "model '%s' not found%s", name, suggestion(host, name))
end

-- ---- what there is --------------------------------------------------------------------------------------------------------------

--- The model of an agent; nil where the settings do not know its endpoint.
local function target_of(entry)
  local ok, target = pcall(agents.target, entry.handle.definition, true)
  return ok and target or nil
end

local function known_of(target)
  return { window = model.known(target) or model.window(target), can = model.capabilities(target) }
end

local function key_of(target) return ("agent %s %s"):format(target.name, target.endpoint and target.endpoint.name or "") end

--- Ask ahead what clients will want to know.
---@param host stoke.serve.host
---
--- Example: `ollama.ahead(host)`
function M.ahead(host)
  for _, entry in ipairs(host.registry.list) do
    local target = target_of(entry)
    if target then host.looks:ahead(key_of(target), known_of, target) end
  end
  if host.registry.behind then host.registry.behind:ahead() end
end

--- The window of an agent, and what it can do: what it does itself, and what its model sees. `ask`: its server may be asked.
local function nature_of(host, entry, ask)
  local target = target_of(entry)
  local known = target and ask and host.looks:get(key_of(target), known_of, target) or nil
  local window = known and known.window or target and model.known(target)
  local list = { "completion", "tools", "thinking" }
  if entry.handle.definition.play then table.remove(list, 2) end
  if known and type(known.can) == "table" and known.can.vision then list[#list + 1] = "vision" end
  return math.tointeger(window) or WINDOW, list
end

--- An agent as a model of Ollama's inventory.
local function model_of(host, entry, ask)
  local context, caps = nature_of(host, entry, ask)
  return { name = entry.name .. ":latest", modified = host.registry:modified(entry, time.now()), size = 0,
    digest = registry.digest(entry), format = "stoke", family = "stoke", params = "agent", quant = "none",
    context = context, embedding = 0, caps = caps }
end

local INVENTORY = { inventory = true }

--- A list of models with more of them, which are written already.
local function with_more(text, some, more)
  if not more[1] then return text end
  return text:sub(1, -3) .. (some and "," or "") .. table.concat(more, ",") .. "]}"
end

local function tags(host, _, res)
  local list = {}
  for i, entry in ipairs(host.registry.list) do list[i] = model_of(host, entry) end
  local text = wire.tags(list, INVENTORY)
  local more = {}
  for i, found in ipairs(host.registry.behind and host.registry.behind:entries() or {}) do more[i] = behind.tag(found) end
  return wire.send(res, 200, wire.JSON, with_more(text, list[1] ~= nil, more))
end

--- Agents are always ready: each is told as loaded, for the five minutes that a model stays after a call.
local LOADED <const> = 300

local function ps(host, _, res)
  local list = gojson.array()
  local till = wire.instant(time.now() + LOADED)
  for i, entry in ipairs(host.registry.list) do
    local m = model_of(host, entry)
    list[i] = gojson.object { { "name", m.name }, { "model", m.name }, { "size", 0 }, { "digest", m.digest },
      { "details", wire.details(m) }, { "expires_at", till }, { "size_vram", 0 }, { "context_length", m.context } }
  end
  local text = gojson.encode(gojson.object { { "models", list } })
  local more = host.registry.behind and host.registry.behind:loaded() or {}
  return wire.send(res, 200, wire.JSON, with_more(text, list[1] ~= nil, more))
end

local function version(_, _, res) return res:reply(200, wire.JSON, ('{"version":"%s"}'):format(M.VERSION)) end

local function root(_, _, res) return res:reply(200, wire.TEXT_UTF8, "Ollama is running") end

local function show(host, req, res)
  local body = read(req, res, "show")
  if not body then return end
  local name = named(body)
  if name == "" then return deny(res, 400, "model is required") end
  local entry = find(host, res, name)
  if not entry then return end
  if entry.behind then return wire.send(res, 200, wire.JSON, (json.encode(host.registry.behind:show(entry)))) end
  local m, definition = model_of(host, entry, true), entry.handle.definition
  return wire.send(res, 200, wire.JSON, gojson.encode(gojson.object {
    { "license", "" }, -- Enchanted's library reads no answer without one
    { "modelfile", "# an agent of stoke\nFROM " .. entry.name .. "\n" },
    { "parameters", ("%-30s %d"):format("num_ctx", m.context) },
    { "template", "{{ .Prompt }}" }, { "details", wire.details(m, true) },
    { "model_info", gojson.object { { "general.architecture", "stoke" }, { "general.basename", entry.name },
      { "general.description", definition.description },
      { "stoke.context_length", m.context < ROOM and math.min(m.context, HALVED) or m.context } } },
    { "capabilities", gojson.array(m.caps) }, { "modified_at", stamp(m.modified) },
  }))
end

-- ---- who writes -----------------------------------------------------------------------------------------------------------------

--- Calls as the API has them; nil where there are none.
local function calls_text(calls, renamed)
  if not calls then return nil end
  local out = {}
  for i, call in ipairs(calls) do
    local f = call["function"]
    out[i] = wire.call(call.id, i - 1, renamed[f.name] or f.name, json.encode(f.arguments))
  end
  return "[" .. table.concat(out, ",") .. "]"
end

--- What the turn has used, in the fields of Ollama. Of an agent of several questions they are sums.
local function metrics(answer)
  if answer.metrics then return answer.metrics end
  local usage = answer.usage
  return { total_duration = wire.nanos(answer.seconds), load_duration = wire.nanos(usage.load_seconds),
    prompt_eval_count = usage.input_tokens, eval_count = usage.output_tokens,
    eval_duration = wire.nanos(math.max(0, usage.seconds - usage.load_seconds)) }
end

--- The last object of an answer.
local function last_of(self, answer)
  return { name = self.name, chat = self.chat, at = stamp(time.now()), calls = calls_text(answer.calls, self.renamed),
    done = true, done_reason = answer.reason == "length" and "length" or "stop", metrics = metrics(answer),
    context = answer.context and gojson.array(answer.context) or nil }
end

--- Writes the lines of a stream as they come.
local Lines = {}
Lines.__index = Lines

local function send(self, bytes) return turn.send(self.res, wire.NDJSON, bytes) end

--- The odds of tokens, as the list has them without its brackets.
local function odds_text(odds) return odds and json.encode(odds):sub(2, -2) or nil end

function Lines:text(text, odds)
  local f = self.frame
  if odds then
    return send(self, wire.object { name = self.name, chat = self.chat, at = stamp(clocks.wall()), text = gojson.escape(text),
      done = false, logprobs = odds_text(odds) } .. "\n")
  end
  return send(self, f.head .. stamp(clocks.wall()) .. f.text .. gojson.escape(text) .. f.text_end)
end

function Lines:thinking(text)
  local f = self.frame
  return send(self, f.head .. stamp(clocks.wall()) .. f.thinking .. gojson.escape(text) .. f.thinking_end)
end

function Lines:done(answer)
  local last = last_of(self, answer)
  if last.calls then
    send(self, wire.object { name = last.name, chat = last.chat, at = last.at, calls = last.calls, done = false } .. "\n")
    last.calls = nil
  end
  return send(self, wire.object(last) .. "\n")
end

function Lines:fail(failure)
  if not self.res.started then return refuse(self.res, failure) end
  return send(self, wire.error(failure.text) .. "\n")
end

--- Keeps what is said, for one answer.
local Whole = {}
Whole.__index = Whole

function Whole:text(text, odds)
  self.said[#self.said + 1] = text
  self.odds = odds and odds_text(odds) or self.odds
end

function Whole:thinking(text) self.thoughts[#self.thoughts + 1] = text end

function Whole:done(answer)
  local last = last_of(self, answer)
  last.text, last.thinking = gojson.escape(table.concat(self.said)), gojson.escape(table.concat(self.thoughts))
  last.logprobs = self.odds
  return wire.send(self.res, 200, wire.JSON, wire.object(last))
end

function Whole:fail(failure) return refuse(self.res, failure) end

local function writer(res, q, name, chat, stream)
  local self = { res = res, name = name, chat = chat, renamed = q.renamed }
  if stream then
    self.frame = wire.frame(name, chat)
    return setmetatable(self, Lines)
  end
  self.said, self.thoughts = {}, {}
  return setmetatable(self, Whole)
end

-- ---- a turn ---------------------------------------------------------------------------------------------------------------------

--- The answer to a request without a question.
local function loaded(res, body, name, chat)
  return res:reply(200, wire.JSON, wire.object { name = name, chat = chat, at = stamp(time.now()), done = true,
    done_reason = body.keep_alive == 0 and "unload" or "load" })
end

--- Images of a request: data, and never paths.
local function images_of(list)
  if not list or not list[1] then return nil end
  local out = {}
  for i, data in ipairs(list) do out[i] = { data = data } end
  return out
end

local function message_of(message)
  local calls
  for i, call in ipairs(message.tool_calls or {}) do
    calls = calls or {}
    local f = call["function"] or {}
    calls[i] = { id = call.id, ["function"] = { name = f.name or "", arguments = f.arguments or {} } }
  end
  return { role = message.role, content = message.content, thinking = message.thinking, images = images_of(message.images),
    tool_calls = calls, tool_name = message.tool_name, tool_call_id = message.tool_call_id }
end

--- A turn of a request: its messages, what it lends, the shape it wants.
---@param host table
---@param entry stoke.serve.entry
---@param messages table[] as the native API has them
---@param about { tools: table[]?, format: any, thinking: boolean, headers: table?, body: table? } headers and body: they may name
---  a session
---@return stoke.serve.turn
---Raises `argument`.
---
--- Example: `local q = ollama.turn(host, entry, body.messages, { thinking = true })`
function M.turn(host, entry, messages, about)
  local list = {}
  for i, message in ipairs(messages) do
    if not input.ROLES[message.role] then
      errors.argument("messages[%d]: the role must be user, assistant, system or tool, got %s", i - 1,
        message.role and ("'%s'"):format(message.role) or "none")
    end
    list[i] = message_of(message)
  end
  local tools, renamed = lent.tools(about.tools, entry.handle.definition)
  return { entry = entry, messages = list, tools = tools, renamed = renamed, format = about.format, thinking = about.thinking,
    user = host.guard.user, session = about.headers and host.sessions:named(about.headers, about.body) or nil }
end

-- ---- turns ----------------------------------------------------------------------------------------------------------------------

--- An error in the words of a client's protocol, where f raises one.
local function try(res, f, ...)
  local ok, value, err = pcall(f, ...)
  if not ok then return refuse(res, failures.of(value)) end
  if err then return refuse(res, failures.of(err)) end
  return value
end

--- A request without a question: the model is loaded, or let go.
local function loads(res, entry, body, chat)
  local target = behind.target(entry.name)
  local act = body.keep_alive == 0 and model.unload or model.load
  if try(res, act, target) then return loaded(res, body, body.model, chat) end
end

--- A turn of a model behind.
local function pass(host, res, body, q, bad)
  if not q then return deny(res, 400, "%s", bad) end
  return turn.answer(host, q, writer(res, q, body.model, q.call.way == "chat", body.stream ~= false))
end

--- The agent of a request and the shape it wants; nil when it was refused.
local function resolve(host, res, body, name)
  local bad = checks.top_logprobs(body.top_logprobs)
  if bad then return deny(res, 400, "%s", bad) end
  local entry = find(host, res, name)
  if not entry then return end
  local format, wrong = checks.format(body.format)
  wrong = checks.options(body.options) or wrong
  if wrong then return deny(res, 500, "%s", wrong) end
  return entry, format
end

local function chat(host, req, res)
  local body, raw = read(req, res, "chat")
  if not body then return end
  local name, messages = body.model or "", body.messages or {}
  if name == "" then return deny(res, 400, "model is required") end
  local entry, format = resolve(host, res, body, name)
  if not entry then return end
  local lends = body.tools and #body.tools > 0
  if entry.behind then
    if #messages == 0 then return loads(res, entry, body, true) end
    return pass(host, res, body, passing.chat(entry, body, lends and raw.tools or nil, format))
  end
  if #messages == 0 then return loaded(res, body, name, true) end
  local about = { tools = lends and raw.tools or nil, format = format, thinking = body.think ~= false, headers = req.headers }
  local ok, q = pcall(M.turn, host, entry, messages, about)
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, name, true, body.stream ~= false))
end

local function generate(host, req, res)
  local body = read(req, res, "generate")
  if not body then return end
  local name, prompt = body.model or "", body.prompt or ""
  local entry, format = resolve(host, res, body, name)
  if not entry then return end
  if entry.behind then
    if prompt == "" and (body.suffix or "") == "" then return loads(res, entry, body, false) end
    return pass(host, res, body, passing.generate(entry, body, format, req.headers))
  end
  if body.suffix and body.suffix ~= "" then return deny(res, 400, "%s does not support insert", name) end
  if prompt == "" then return loaded(res, body, name, false) end
  local messages = { { role = "user", content = prompt, images = body.images } }
  if body.system and body.system ~= "" then table.insert(messages, 1, { role = "system", content = body.system }) end
  local ok, q = pcall(M.turn, host, entry, messages, { format = format, thinking = body.think ~= false, headers = req.headers })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, name, false, body.stream ~= false))
end

-- ---- what agents cannot ---------------------------------------------------------------------------------------------------------

--- A client that pulls what is there has it; else there is nowhere to pull from.
local function pull(host, req, res)
  local body = read(req, res, "pull")
  if not body then return end
  local name = named(body)
  if name == "" then return deny(res, 400, "invalid model name") end
  local missing = not host.registry:find(name) and "pull model manifest: file does not exist" .. suggestion(host, name)
  if body.stream == false then
    if missing then return deny(res, 500, "%s", missing) end
    return res:reply(200, wire.JSON, '{"status":"success"}')
  end
  res:start(200, wire.NDJSON)
  return res:write('{"status":"pulling manifest"}\n' .. (missing and wire.error(missing) or '{"status":"success"}') .. "\n")
end

--- Refuses what would change the models, once the request is one.
local function fixed(name)
  return function(_, req, res)
    if not read(req, res, name) then return end
    return deny(res, 403, "agents are made and changed in the file that is served")
  end
end

--- A handler that answers with vectors.
local function vectors(answer)
  return function(host, req, res)
    local name = answer == embed.native and "embed" or "embeddings"
    local body = read(req, res, name)
    if not body then return end
    local failure = answer(host, res, body)
    if failure then return refuse(res, failure) end
  end
end

--- path -> method -> handler
M.ROUTES = {
  ["/"] = { GET = root, HEAD = root },
  ["/api/version"] = { GET = version, HEAD = version },
  ["/api/tags"] = { GET = tags, HEAD = tags },
  ["/api/ps"] = { GET = ps },
  ["/api/show"] = { POST = show },
  ["/api/chat"] = { POST = chat },
  ["/api/generate"] = { POST = generate },
  ["/api/embed"] = { POST = vectors(embed.native) },
  ["/api/embeddings"] = { POST = vectors(embed.old) },
  ["/api/pull"] = { POST = pull },
  ["/api/push"] = { POST = fixed "push" },
  ["/api/create"] = { POST = fixed "create" },
  ["/api/copy"] = { POST = fixed "copy" },
  ["/api/delete"] = { DELETE = fixed "delete" },
}

return M
