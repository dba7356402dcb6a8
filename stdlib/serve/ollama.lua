--- Ollama's API in front of agents: what its clients ask before a chat, and chats and completions, as lines or whole.

local agents = require "stoke.agent.loop"
local model = require "stoke.model"
local gojson = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local wire = require "stoke.ollama.server.wire"
local combine = require "core.combine"
local failures = require "stoke.serve.failures"
local lent = require "stoke.serve.lent"
local registry = require "stoke.serve.registry"
local turn = require "stoke.serve.turn"
local values = require "stoke.serve.values"
local json = require "stoke.json"
local time = require "stoke.time"

local M = {}

--- The version that clients compare theirs with: above what any asks for.
M.VERSION = "0.99.0-stoke"

--- The window that is told where nobody knows it.
local WINDOW <const> = 8192
--- Seconds to ask the server of a model what it can do.
local ASK <const> = 1

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
  local body, err = decode.request(req.body, decode.requests[name])
  if not body then return deny(res, 400, "%s", err) end
  return body
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

--- The window of an agent. `ask`: its server may be asked, for a moment.
local function window_of(entry, ask)
  local target = target_of(entry)
  if not target then return WINDOW end
  local known = model.known(target)
  if not known and ask then known = combine.try(combine.timeout, ASK, model.window, target) end
  return math.tointeger(known) or WINDOW
end

--- What an agent can do: what it does itself, and what its model sees.
local function abilities(entry, ask)
  local list = { "completion", "tools", "thinking" }
  local target = ask and target_of(entry)
  local can = target and combine.try(combine.timeout, ASK, model.capabilities, target)
  if type(can) == "table" and can.vision then list[#list + 1] = "vision" end
  return list
end

--- An agent as a model of Ollama's inventory.
local function model_of(host, entry, ask)
  return { name = entry.name .. ":latest", modified = host.registry:modified(entry, time.now()), size = 0,
    digest = registry.digest(entry), format = "stoke", family = "stoke", params = "agent", quant = "none",
    context = window_of(entry, ask), embedding = 0, caps = abilities(entry, ask) }
end

local INVENTORY = { inventory = true }

local function tags(host, _, res)
  local list = {}
  for i, entry in ipairs(host.registry.list) do list[i] = model_of(host, entry) end
  return wire.send(res, 200, wire.JSON, wire.tags(list, INVENTORY))
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
  return wire.send(res, 200, wire.JSON, gojson.encode(gojson.object { { "models", list } }))
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
  local m, definition = model_of(host, entry, true), entry.handle.definition
  return wire.send(res, 200, wire.JSON, gojson.encode(gojson.object {
    { "modelfile", "# an agent of stoke\nFROM " .. entry.name .. "\n" },
    { "parameters", ("%-30s %d"):format("num_ctx", m.context) },
    { "template", "{{ .Prompt }}" }, { "details", wire.details(m, true) },
    { "model_info", gojson.object { { "general.architecture", "stoke" }, { "general.basename", entry.name },
      { "general.description", definition.description }, { "stoke.context_length", m.context } } },
    { "capabilities", gojson.array(m.caps) }, { "modified_at", wire.time(m.modified) },
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
  local usage = answer.usage
  return { total_duration = wire.nanos(answer.seconds), load_duration = wire.nanos(usage.load_seconds),
    prompt_eval_count = usage.input_tokens, eval_count = usage.output_tokens,
    eval_duration = wire.nanos(math.max(0, usage.seconds - usage.load_seconds)) }
end

--- The last object of an answer.
local function last_of(self, answer)
  return { name = self.name, chat = self.chat, at = wire.time(time.now()), calls = calls_text(answer.calls, self.renamed),
    done = true, done_reason = answer.reason == "length" and "length" or "stop", metrics = metrics(answer) }
end

--- Writes the lines of a stream as they come.
local Lines = {}
Lines.__index = Lines

local function send(self, bytes) return turn.send(self.res, wire.NDJSON, bytes) end

function Lines:text(text)
  local f = self.frame
  return send(self, f.head .. wire.time(time.now()) .. f.text .. gojson.escape(text) .. f.text_end)
end

function Lines:thinking(text)
  local f = self.frame
  return send(self, f.head .. wire.time(time.now()) .. f.thinking .. gojson.escape(text) .. f.thinking_end)
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

function Whole:text(text) self.said[#self.said + 1] = text end
function Whole:thinking(text) self.thoughts[#self.thoughts + 1] = text end

function Whole:done(answer)
  local last = last_of(self, answer)
  last.text, last.thinking = gojson.escape(table.concat(self.said)), gojson.escape(table.concat(self.thoughts))
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
  return res:reply(200, wire.JSON, wire.object { name = name, chat = chat, at = wire.time(time.now()), done = true,
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
    calls[i] = { id = call.id, ["function"] = { name = f.name or "", arguments = values.plain(f.arguments or {}) } }
  end
  return { role = message.role, content = message.content, thinking = message.thinking, images = images_of(message.images),
    tool_calls = calls, tool_name = message.tool_name, tool_call_id = message.tool_call_id }
end

--- The shape that is asked for; nil where none is.
---@param format any of the request
---@return table|string|nil
---@return string|nil err
---
--- Example: `local format, err = ollama.format(body.format)`
function M.format(format)
  if format == nil or format == gojson.null or format == "" then return nil end
  if format == "json" then return "json" end
  if gojson.is_object(format) then return values.plain(format) end
  return nil, ('invalid format: %s; expected "json" or a valid JSON Schema object'):format(gojson.encode(format))
end

--- A turn of a request: its messages, what it lends, the shape it wants.
---@param host table
---@param entry stoke.serve.entry
---@param messages table[] as the native API has them
---@param about { tools: table[]?, format: any, thinking: boolean }
---@return stoke.serve.turn
---Raises `argument`.
---
--- Example: `local q = ollama.turn(host, entry, body.messages, { thinking = true })`
function M.turn(host, entry, messages, about)
  local list = {}
  for i, message in ipairs(messages) do list[i] = message_of(message) end
  local tools, renamed = lent.tools(values.plain(about.tools), entry.handle.definition)
  return { entry = entry, messages = list, tools = tools, renamed = renamed, format = about.format, thinking = about.thinking,
    user = host.guard.user, past = host.lent:resume(host.guard.user, entry.name, list) }
end

local function chat(host, req, res)
  local body = read(req, res, "chat")
  if not body then return end
  local name, messages = body.model or "", body.messages or {}
  if name == "" then return deny(res, 400, "model is required") end
  local entry = find(host, res, name)
  if not entry then return end
  if #messages == 0 then return loaded(res, body, name, true) end
  local format, bad = M.format(body.format)
  if bad then return deny(res, 400, "%s", bad) end
  local raw = body.tools and #body.tools > 0 and gojson.decode(req.body).tools or nil
  local ok, q = pcall(M.turn, host, entry, messages, { tools = raw, format = format, thinking = body.think ~= false })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, name, true, body.stream ~= false))
end

local function generate(host, req, res)
  local body = read(req, res, "generate")
  if not body then return end
  local name, prompt = body.model or "", body.prompt or ""
  local entry = find(host, res, name)
  if not entry then return end
  if body.suffix and body.suffix ~= "" then return deny(res, 400, "%s does not support insert", name) end
  if prompt == "" then return loaded(res, body, name, false) end
  local format, bad = M.format(body.format)
  if bad then return deny(res, 400, "%s", bad) end
  local messages = { { role = "user", content = prompt, images = body.images } }
  if body.system and body.system ~= "" then table.insert(messages, 1, { role = "system", content = body.system }) end
  local ok, q = pcall(M.turn, host, entry, messages, { format = format, thinking = body.think ~= false })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, name, false, body.stream ~= false))
end

-- ---- what agents cannot ---------------------------------------------------------------------------------------------------------

--- A client that pulls what is there has it; else there is nowhere to pull from.
local function pull(host, req, res)
  local body = read(req, res, "pull")
  if not body then return end
  if not host.registry:find(named(body)) then -- what `ollama run` shows of a name that is not there
    return deny(res, 500, "pull model manifest: file does not exist%s", suggestion(host, named(body)))
  end
  local done = '{"status":"success"}'
  if body.stream == false then return res:reply(200, wire.JSON, done) end
  res:start(200, wire.NDJSON)
  return res:write('{"status":"pulling manifest"}\n' .. done .. "\n")
end

local function fixed(_, _, res) return deny(res, 403, "agents are made and changed in the file that is served") end

local function no_embeddings(host, req, res)
  local body = read(req, res, "embed")
  if not body then return end
  local name = body.model or ""
  if not host.registry:find(name) then return deny(res, 404, 'model "%s" not found, try pulling it first', name) end
  return deny(res, 400, '"%s" does not support embed', name)
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
  ["/api/embed"] = { POST = no_embeddings },
  ["/api/embeddings"] = { POST = no_embeddings },
  ["/api/pull"] = { POST = pull },
  ["/api/push"] = { POST = fixed },
  ["/api/create"] = { POST = fixed },
  ["/api/copy"] = { POST = fixed },
  ["/api/delete"] = { DELETE = fixed },
}

return M
