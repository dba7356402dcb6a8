--- Spans as OTLP writes them in JSON (https://opentelemetry.io/docs/specs/otlp/, JSON Protobuf Encoding): ids in hex digits,
--- numbers of 64 bits as texts. Pure.

local about = require "core.about"
local json = require "core.json"
local names = require "stoke.traces.conventions"
local redact = require "core.redact"
local secrets = require "core.secrets"
local hex = require "core.gate.span".hex
local ordered = require "core.ordered"
local texts = require "core.text"

local M = {}

local genai, mcp, general, own, kinds = names.genai, names.mcp, names.general, names.own, names.kinds

--- Bytes of an attribute, at most; contents may be longer.
M.LONGEST = 4096

-- ---- values -------------------------------------------------------------------------------------------------------------------

-- Written as text at once: as tables first, a span would take twice as long.

local encode = json.encode

--- A text in quotes.
local function quoted(text) return encode(text) or encode(texts.valid(text)) end

--- Values are freed of secrets by who adds them, and not here: ids, times and contents are none.
local function value_of(value)
  local kind = type(value)
  if kind == "string" then return '{"stringValue":' .. quoted(value) .. "}" end
  if kind == "boolean" then return value and '{"boolValue":true}' or '{"boolValue":false}' end
  if math.type(value) == "integer" then return ('{"intValue":"%d"}'):format(value) end
  if kind == "number" then return '{"doubleValue":' .. encode(value) .. "}" end
  local list = {}
  for i, item in ipairs(value) do list[i] = value_of(item) end
  return '{"arrayValue":{"values":[' .. table.concat(list, ",") .. "]}}"
end

--- The beginning of an attribute, by name.
local KEYS = setmetatable({}, { __index = function(keys, name)
  local key = '{"key":' .. quoted(name) .. ',"value":'
  keys[name] = key
  return key
end })

--- A list of attributes under way: add(list, name, value) leaves out what is nil.
local function add(list, name, value)
  if value == nil then return end
  if type(value) == "string" then
    value = redact.known(value)
    if #value > M.LONGEST then value = texts.valid(value:sub(1, M.LONGEST)) .. "..." end
  elseif type(value) == "table" then
    value = redact.clean(value)
  end
  list[#list + 1] = KEYS[name] .. value_of(value) .. "}"
end

local function nanoseconds(seconds) return ("%d"):format(math.floor(seconds * 1e6 + 0.5) * 1000) end

--- An error's words, without the key that its server was asked with; none where they look like another secret.
local function words(message, redactor)
  if message == nil then return nil end
  message = redact.known(tostring(message))
  if redactor then message = redactor:text(message) end
  message = texts.valid(texts.excerpt(message, M.LONGEST))
  return secrets.like(message) and redact.MARK or message
end

-- ---- what a span is -------------------------------------------------------------------------------------------------------------

local function place(list, url)
  if not url then return end
  local host, port = names.place(url)
  add(list, general.server, host)
  add(list, general.port, port)
end

local OPTIONS = { num_predict = genai.max_tokens, temperature = genai.temperature, top_k = genai.top_k, top_p = genai.top_p,
  seed = genai.seed, presence_penalty = genai.presence_penalty, frequency_penalty = genai.frequency_penalty }
local ORDER = { "num_predict", "temperature", "top_k", "top_p", "seed", "presence_penalty", "frequency_penalty" }
local WHOLE = { num_predict = true, top_k = true, seed = true }

local function options_of(list, options)
  for _, name in ipairs(ORDER) do
    local value = tonumber(options[name])
    if value and WHOLE[name] then value = math.tointeger(value) elseif value then value = value + 0.0 end
    add(list, OPTIONS[name], value)
  end
  local stop = options.stop
  if type(stop) == "string" then stop = { stop } end
  if type(stop) == "table" and stop[1] then add(list, genai.stop, stop) end
end

--- Kinds of spans by name: fun(list, record, facts) -> name of the span, kind.
local SPANS = {}

local function call_of_model(list, r, facts)
  local operation = names.operation(facts.path)
  local asked = r.about or r.model
  add(list, genai.operation, operation)
  add(list, genai.provider, facts.dialect and names.provider(facts.dialect))
  add(list, genai.request_model, asked)
  add(list, genai.response_model, facts.answered or not r.error and r.model or nil)
  add(list, genai.response_id, facts.id)
  place(list, facts.url)
  add(list, genai.stream, r.name == "llm.stream" or nil)
  if facts.options then options_of(list, facts.options) end
  add(list, genai.output_type, facts.json and "json" or nil)
  if facts.finish then add(list, genai.finish, { facts.finish }) end
  if r.name == "llm.stream" then add(list, genai.first, r.first) end
  return asked and ("%s %s"):format(operation, asked) or operation, kinds.client
end
SPANS["llm.chat"], SPANS["llm.stream"] = call_of_model, call_of_model

SPANS["agent.run"] = function(list, r, facts)
  add(list, genai.operation, names.operations.agent)
  add(list, genai.agent, r.about)
  add(list, genai.provider, facts.dialect and names.provider(facts.dialect))
  add(list, genai.request_model, facts.model)
  return r.about and ("%s %s"):format(names.operations.agent, r.about) or names.operations.agent, kinds.internal
end

SPANS["tool.call"] = function(list, r, facts)
  add(list, genai.operation, names.operations.tool)
  add(list, genai.tool, r.about)
  add(list, genai.tool_type, "function")
  add(list, genai.tool_call, facts.id)
  add(list, genai.agent, facts.agent)
  return r.about and ("%s %s"):format(names.operations.tool, r.about) or names.operations.tool, kinds.internal
end

--- Both sides of a request to an MCP server.
local function mcp_span(list, method, target)
  add(list, mcp.method, method)
  local calls = method == "tools/call"
  if calls then add(list, genai.operation, names.operations.tool) end
  add(list, calls and genai.tool or method == "prompts/get" and mcp.prompt or own.about, target)
  return target and (calls or method == "prompts/get") and ("%s %s"):format(method, target) or method
end

SPANS["mcp.request"] = function(list, r, facts)
  local name = mcp_span(list, facts.method or r.name, facts.target)
  add(list, mcp.resource, facts.uri)
  add(list, own.server, facts.server)
  return name, kinds.client
end

SPANS["mcp.serve"] = function(list, r)
  add(list, mcp.request, r.request)
  return mcp_span(list, r.method or r.name, r.target), kinds.server
end

SPANS["acp.serve"] = function(list, r)
  add(list, own.about, r.about)
  return r.about or r.name, kinds.server
end

SPANS["serve.request"] = function(list, r)
  add(list, general.method, r.method)
  add(list, general.path, r.path)
  add(list, general.route, r.route)
  add(list, general.status, r.status)
  return r.route and ("%s %s"):format(r.method, r.route) or r.method or r.name, kinds.server
end

local function http_request(list, r, facts)
  add(list, general.method, facts.method)
  add(list, general.url, r.about)
  add(list, general.status, facts.status)
  place(list, r.about)
  return facts.method or r.name, kinds.client
end
SPANS["http.request"], SPANS["http.stream"] = http_request, http_request

--- What is ours alone.
local function ours(list, r)
  add(list, own.name, r.name)
  if not SPANS[r.name] then add(list, own.about, r.about) end
  add(list, own.task, r.task)
  if r.queue > 0 then add(list, own.queue, r.queue + 0.0) end
  add(list, own.reason, r.reason)
  add(list, own.slot, r.slot)
  for _, name in ipairs { "load", "prefill", "decode", "first" } do
    if r[name] then add(list, own[name], r[name] + 0.0) end
  end
  add(list, own.cache, r.cached and tostring(r.cached))
  if (r.attempts or 1) > 1 then add(list, own.attempts, r.attempts) end
  add(list, own.replayed, r.replayed and true or nil)
  add(list, own.endpoint, r.endpoint)
end

--- Attempts that failed, as events.
local function events_of(r, redactor)
  local events = {}
  for i, try in ipairs(r.tries or {}) do
    local list = {}
    add(list, general.error, try.kind)
    add(list, general.message, words(try.message, redactor))
    events[i] = ('{"timeUnixNano":"%s","name":%s,"attributes":[%s]}'):format(nanoseconds(r.start + try.after),
      quoted(general.exception), table.concat(list, ","))
  end
  return events[1] and table.concat(events, ",") or nil
end

--- STATUS_CODE_ERROR.
local FAILED <const> = 2

--- The class of an error: that of the protocol where it has one.
local function error_type(r, facts)
  if r.name == "mcp.serve" and r.error == "tool" then return mcp.tool_error end
  return facts.code and tostring(facts.code) or r.name == "serve.request" and r.status and tostring(r.status) or r.error
end

--- A server is at fault from 500 on, whoever asks from 400 on.
local function failed(r, facts)
  if r.error then return true end
  if r.name == "serve.request" then return (r.status or 0) >= 500 end
  return (r.name == "http.request" or r.name == "http.stream") and (facts.status or 0) >= 400
end

--- Flags of a span: it is sampled, and it is known whether its parent is in another process: it is not, it is.
local NEAR <const>, REMOTE <const> = 0x101, 0x301

--- A span.
---@param r core.span.record
---@param facts table what was seen of the call: see stoke.traces.otlp.facts
---@return string span as it is written
---
--- Example: `local span = encode.span(record, {})`
function M.span(r, facts)
  local list = {}
  local known = SPANS[r.name]
  local name, kind = r.about and r.name == "script" and ("script %s"):format(r.about) or r.name, kinds.internal
  if known then name, kind = known(list, r, facts) end
  add(list, genai.input_tokens, r.input_tokens)
  add(list, genai.output_tokens, r.output_tokens)
  ours(list, r)
  for _, content in ipairs(facts.contents or {}) do
    list[#list + 1] = KEYS[content[1]] .. value_of(content[2]) .. "}"
  end
  if facts.cut then add(list, own.cut, true) end
  local bad = failed(r, facts)
  if bad then
    add(list, general.error, error_type(r, facts) or tostring(facts.status))
    add(list, own.kind, r.error)
  end
  local out = { ('{"traceId":"%s","spanId":"%s","flags":%d,"name":%s,"kind":%d,"startTimeUnixNano":"%s","endTimeUnixNano":"%s"')
    :format(r.trace, hex(r.span), type(r.parent) == "string" and REMOTE or NEAR, quoted(redact.known(name)), kind,
      nanoseconds(r.start), nanoseconds(r.start + r.queue + r.run)) }
  if r.parent then out[#out + 1] = (',"parentSpanId":"%s"'):format(hex(r.parent)) end
  if r.state then out[#out + 1] = ',"traceState":' .. quoted(r.state) end
  out[#out + 1] = (',"attributes":[%s]'):format(table.concat(list, ","))
  local events = r.tries and events_of(r, facts.redactor)
  if events then out[#out + 1] = (',"events":[%s]'):format(events) end
  if bad then
    local message = words(r.message, facts.redactor)
    out[#out + 1] = (',"status":{"code":%d%s}'):format(FAILED, message and ',"message":' .. quoted(message) or "")
  end
  return table.concat(out) .. "}"
end

--- A request with spans.
---@param resource table<string, string>
---@param spans string[]
---@return string
---
--- Example: `local text = encode.request({ ["service.name"] = "town" }, { encode.span(record, {}) })`
function M.request(resource, spans)
  local list = {}
  for _, name in ipairs(ordered.names(resource)) do add(list, name, resource[name]) end
  local scope = ('{"name":"stoke","version":%s}'):format(quoted(about.version))
  return ('{"resourceSpans":[{"resource":{"attributes":[%s]},"scopeSpans":[{"scope":%s,"spans":[%s]}]}]}')
    :format(table.concat(list, ","), scope, table.concat(spans, ","))
end

return M
