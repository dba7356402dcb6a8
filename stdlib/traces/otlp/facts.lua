--- What a span's record does not have and its call does, taken when the span ends: where a request went and how, and, where they
--- are asked for, the contents: what a model was told and said, what a tool was given and gave. Pure.

local json = require "core.json"
local names = require "stoke.traces.conventions"
local redact = require "core.redact"
local secrets = require "core.secrets"
local streams = require "core.stream"
local texts = require "core.text"

local M = {}

local genai = names.genai

--- Bytes of one content, at most. What is longer is cut: the oldest messages, the end of a text.
M.LONGEST = 64 << 10

---@class stoke.traces.otlp.facts all optional
---@field url string the server of a call
---@field dialect string it speaks
---@field path string of the request
---@field options table of the request, by Ollama's names
---@field json boolean the answer is to be JSON
---@field finish string why the model ended
---@field answered string the model as the server names it
---@field id string of the answer, or of a tool's call
---@field model string of an agent
---@field agent string
---@field method string
---@field target string a tool, a prompt
---@field uri string
---@field server string an MCP server's name
---@field status integer of an HTTP response
---@field code integer of an error as a protocol has it
---@field contents { [1]: string, [2]: string }[] attributes with text
---@field cut boolean contents were cut
---@field redactor core.redactor of a call that failed: it knows the secrets of its endpoint

-- ---- contents ------------------------------------------------------------------------------------------------------------------

--- One message in parts, as the conventions' schema of gen_ai.input.messages has it.
local function message_of(message, redactor)
  local parts, role = {}, message.role
  local text = message.content
  if role == "tool" then
    parts[1] = { type = "tool_call_response", id = message.tool_call_id or message.id,
      response = redactor:prose(tostring(text or "")) }
    return { role = role, parts = parts }
  end
  if type(message.thinking) == "string" and message.thinking ~= "" then
    parts[1] = { type = "reasoning", content = redactor:prose(message.thinking) }
  end
  if type(text) == "string" and text ~= "" then parts[#parts + 1] = { type = "text", content = redactor:prose(text) } end
  for _, call in ipairs(type(message.tool_calls) == "table" and message.tool_calls or {}) do
    local f = call["function"] or {}
    parts[#parts + 1] = { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments }
  end
  return { role = role or "assistant", parts = json.array(parts) }
end

--- Without what looks like a secret, in whatever table a tool or a server has put it.
local function masked(value, redactor)
  if type(value) == "string" then return redactor:prose(value) end
  if type(value) ~= "table" then return value end
  for key, inner in next, value do value[key] = masked(inner, redactor) end
  return value
end

--- Add an attribute. The redactor has seen the secrets of the request by then, so that they are found elsewhere, too.
local function put(facts, name, value, redactor)
  local text = value ~= nil and redact.json(value, redactor)
  if not text then return end
  if secrets.like(text) then text = json.encode(masked(json.decode(text), redactor)) end
  if #text > M.LONGEST then
    text, facts.cut = texts.valid(text:sub(1, M.LONGEST)) .. "...", true
  end
  facts.contents = facts.contents or {}
  table.insert(facts.contents, { name, text })
end

--- Messages as they fit: the oldest are left out.
local function fitting(messages, redactor, facts)
  local out, size = {}, 0
  for i = #messages, 1, -1 do
    local message = messages[i]
    size = size + 64 + (type(message.content) == "string" and #message.content or 0)
    if size > M.LONGEST and out[1] then
      facts.cut = true
      break
    end
    table.insert(out, 1, message_of(message, redactor))
  end
  return out
end

local function instructions(facts, text, redactor)
  put(facts, genai.system, { { type = "text", content = redactor:prose(tostring(text)) } }, redactor)
end

--- The messages of a request, with the instructions apart.
local function told(facts, body, redactor)
  local messages = type(body.messages) == "table" and body.messages or nil
  if not messages then
    if body.system then instructions(facts, body.system, redactor) end
    if type(body.prompt) == "string" then messages = { { role = "user", content = body.prompt } } end
  end
  if not messages then return end
  local first, rest = messages[1], messages
  if first and first.role == "system" then
    instructions(facts, first.content, redactor)
    rest = table.move(messages, 2, #messages, 1, {})
  end
  put(facts, genai.input, fitting(rest, redactor, facts), redactor)
  if type(body.tools) == "table" and body.tools[1] then put(facts, genai.tools, body.tools, redactor) end
end

--- What a model said.
local function said(facts, value, reply, redactor)
  local message = streams.message(value) or reply.message
    or type(reply.response) == "string" and { role = "assistant", content = reply.response }
  if type(message) ~= "table" then return end
  local out = message_of(message, redactor)
  if not out.parts[1] then return end
  out.finish_reason = facts.finish or "stop"
  put(facts, genai.output, { out }, redactor)
end

local function learn(redactor, endpoint)
  for _, line in ipairs(endpoint and endpoint.headers or {}) do redactor:header(line) end
end

-- ---- kinds of calls -------------------------------------------------------------------------------------------------------------

local KINDS = {}

local function reply_of(value)
  if type(value) ~= "table" then return nil end
  local done = rawget(value, "done")
  return type(done) == "table" and done.reply or value -- of a stream its last event
end

local function text_or_nil(value) return type(value) == "string" and value or nil end

local function call_of_model(facts, call, value, contents)
  local q, target = call.q, call.target
  local endpoint = target and target.endpoint
  facts.url, facts.path = endpoint and endpoint.meant, q.path
  facts.dialect = target and target.dialect.name or q.protocol
  local body = type(q.body) == "table" and q.body or nil
  if body then
    local options = type(body.options) == "table" and body.options
    facts.options, facts.json = options and next(options) and options or nil, body.format ~= nil
  end
  local reply = reply_of(value)
  if reply then
    facts.finish, facts.answered = text_or_nil(reply.done_reason), text_or_nil(reply.model)
    facts.id = text_or_nil(reply.id)
  end
  if not contents then return end
  local redactor = redact.new()
  learn(redactor, endpoint)
  if body then told(facts, body, redactor) end
  if reply then said(facts, value, reply, redactor) end
end
KINDS["llm.chat"], KINDS["llm.stream"] = call_of_model, call_of_model

KINDS["tool.call"] = function(facts, call, value, contents)
  local q = call.q
  facts.id, facts.agent = text_or_nil(q.id), text_or_nil(q.agent)
  if not contents then return end
  local redactor = redact.new()
  put(facts, genai.arguments, q.args, redactor)
  if type(value) == "string" then value = redactor:prose(value) end
  put(facts, genai.result, value, redactor)
end

KINDS["mcp.request"] = function(facts, call, value, contents)
  local q = call.q
  local params = type(q.params) == "table" and q.params or {}
  facts.method, facts.server = q.method, q.server
  facts.target, facts.uri = text_or_nil(params.name), text_or_nil(params.uri)
  if not contents or q.method ~= "tools/call" then return end
  local redactor = redact.new()
  put(facts, genai.arguments, params.arguments, redactor)
  put(facts, genai.result, value, redactor)
end

KINDS["agent.run"] = function(facts, seen, _, contents)
  local run = seen.run
  local target = run and run.target
  if target then facts.dialect, facts.model = target.dialect and target.dialect.name, text_or_nil(target.model or target.name) end
  if not run or not contents then return end
  local redactor, asked = redact.new(), {}
  for _, message in ipairs(run.history:shown(run.begin)) do
    if message.role == "user" then asked[#asked + 1] = message end
  end
  if asked[1] then put(facts, genai.input, fitting(asked, redactor, facts), redactor) end
  if run.last_text then
    put(facts, genai.output, { { role = "assistant", parts = { { type = "text", content = redactor:prose(run.last_text) } },
      finish_reason = "stop" } }, redactor)
  end
end

local function http_request(facts, call, value)
  local about = type(value) == "table" and (value.about or value) or nil
  facts.method, facts.status = call.q.method or "GET", about and about.status
end
KINDS["http.request"], KINDS["http.stream"] = http_request, http_request

--- What is to be known of a span that ends.
---@param record core.span.record
---@param call? table of an effect, or the span
---@param value? any
---@param contents boolean
---@return stoke.traces.otlp.facts
---
--- Example: `local seen = facts.of(record, call, value, false)`
function M.of(record, call, value, contents)
  local facts = {}
  local kind = call and KINDS[record.name]
  if kind then kind(facts, call, value, contents) end
  local target = (record.error or record.tries) and call and call.target
  if target then
    facts.redactor = redact.new()
    learn(facts.redactor, target.endpoint)
  end
  return facts
end

return M
