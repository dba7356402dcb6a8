--- OpenAI's API as Ollama has it: a request is rewritten into one of its own API, and what is written there is rewritten on its way
--- out. So scheduler, queue, checks and scripts are those of the native calls.

local json = require "stoke.ollama.server.gojson"
local decode = require "stoke.ollama.server.decode"
local inference = require "stoke.sim.inference"
local models = require "stoke.sim.models"
local requests = require "stoke.ollama.server.openai"
local wire = require "stoke.ollama.server.wire"

local M = {}

-- ---- errors ---------------------------------------------------------------------------------------------------------------------

local TYPES = { [400] = "invalid_request_error", [404] = "not_found_error" }

local function error_text(text, kind)
  return json.encode(json.object { { "error", json.object { { "message", text }, { "type", kind }, { "param", json.null },
    { "code", json.null } } } })
end

--- A request that cannot be read.
---@param res table
---@param text string
function M.refuse(res, text) return res:reply(400, wire.JSON, error_text(text, "invalid_request_error")) end

--- An error of the native call, in this API's form.
---@param sim table
---@param status integer
---@param body string
---@return string
function M.native_error(sim, status, body)
  local value = json.decode(body)
  local text = type(value) == "table" and value.error or body
  local kind = sim.habits.age == "runner" and "api_error" or TYPES[status] or "api_error"
  return error_text(type(text) == "string" and text or body, kind) .. "\n"
end

-- ---- what the native call writes -----------------------------------------------------------------------------------------------

--- Stands in for the answer of the native call: its lines go to `line`, its whole answer to `whole`.
local Writer = {}
Writer.__index = Writer

--- about: { sim, res, line(value) -> text, whole(value) -> text }
---@param about table
---@return table res
function M.writer(about) return setmetatable(about, Writer) end

function Writer:reply(status, headers, body)
  if status ~= 200 then
    if headers["Content-Type"] == "text/html" then return self.res:reply(status, headers, body) end
    return self.res:reply(status, wire.JSON_BARE, M.native_error(self.sim, status, body))
  end
  return wire.send(self.res, 200, wire.JSON_BARE, self.whole(json.decode(body)) .. "\n")
end

function Writer:start(status, headers)
  self.status, self.head = status, headers
  self.lined = headers == wire.NDJSON
  if self.lined and status == 200 then return self.res:start(200, wire.SSE) end
end

function Writer:write(bytes)
  if not self.lined or self.status ~= 200 then return self:reply(self.status, self.head, bytes) end
  local text = (self.rest or "") .. bytes
  while true do
    local at = text:find("\n", 1, true)
    if not at then break end
    local said = self.line(json.decode(text:sub(1, at - 1)))
    if said ~= "" then self.res:write(said) end
    text = text:sub(at + 1)
  end
  self.rest = text
end

function Writer:reset() return self.res:reset() end

--- Ask the native call.
---@param sim table
---@param req table
---@param body table
---@param call fun(sim: table, req: table, res: table)
---@param writer table
function M.ask(sim, req, body, call, writer)
  return call(sim, { method = "POST", path = req.path, headers = req.headers, body = json.encode(body) }, writer)
end

-- ---- parts ---------------------------------------------------------------------------------------------------------------------

--- Calls of tools as this API has them; nil where there are none.
---@param list any of the native message
---@return table|nil
function M.calls(list)
  if type(list) ~= "table" or #list == 0 then return nil end
  local out = json.array()
  for i, call in ipairs(list) do
    local f = call["function"]
    out[i] = json.object { { "id", call.id }, { "index", f.index }, { "type", "function" },
      { "function", json.object { { "name", f.name }, { "arguments", json.encode(f.arguments) } } } }
  end
  return out
end

local function usage_of(value) return wire.usage(value.prompt_eval_count or 0, value.eval_count or 0) end

local function said(text) return text ~= "" and text or nil end

local function head(about, kind, value)
  return { { "id", about.id }, { "object", kind }, { "created", math.floor(about.sim.wall()) }, { "model", value.model or "" },
    { "system_fingerprint", "fp_ollama" } }
end

local function object_of(list, more)
  for _, entry in ipairs(more) do list[#list + 1] = entry end
  return json.object(list)
end

local function odds_of(value) return value.logprobs and json.object { { "content", value.logprobs } } or nil end

--- `id` is weak: one of 999.
---@param sim table
---@param prefix string
---@return string
function M.id(sim, prefix) return prefix .. sim.random(999) - 1 end

-- ---- chat ----------------------------------------------------------------------------------------------------------------------

local function whole_chat(about, value)
  local message = value.message
  local calls = M.calls(message.tool_calls)
  local reason = calls and "tool_calls" or value.done_reason or json.null
  return json.encode(object_of(head(about, "chat.completion", value), { { "choices", json.array { json.object { { "index", 0 },
    { "message", json.object { { "role", "assistant" }, { "content", message.content }, { "reasoning", said(message.thinking
      or "") },
      { "tool_calls", calls } } }, { "finish_reason", reason }, { "logprobs", odds_of(value) } } } }, { "usage",
        usage_of(value) } }))
end

local function chunk(about, value, delta, reason, odds)
  return "data: " .. json.encode(object_of(head(about, "chat.completion.chunk", value), { { "choices", json.array { json.object {
    { "index", 0 }, { "delta", json.object(delta) }, { "finish_reason", reason or json.null }, { "logprobs", odds } } } } }))
    .. "\n\n"
end

--- Deltas of a line: reasoning and content apart from 0.32.6 on, the role in the first one; before, in each.
local function deltas(about, message, calls, done)
  local text, thought, once = message.content or "", message.thinking or "", about.sim.habits.role_once
  if not once then
    return { { { "role", "assistant" }, { "content", text }, { "reasoning", said(thought) }, { "tool_calls", calls } } }
  end
  local out = {}
  local function add(delta)
    if not about.begun then table.insert(delta, 1, { "role", "assistant" }) end
    about.begun = true
    out[#out + 1] = delta
  end
  if thought ~= "" then add { { "content", "" }, { "reasoning", thought } } end
  if text ~= "" or calls or (thought == "" and not done) then add { { "content", text }, { "tool_calls", calls } } end
  return out
end

--- An error of the native stream is read as an answer that says nothing: it is lost, as in the original.
local function chat_line(about, value)
  local message = type(value.message) == "table" and value.message or {}
  local calls, done = M.calls(message.tool_calls), value.done == true
  about.called = about.called or calls ~= nil
  local reason = done and value.done_reason and (about.called and "tool_calls" or value.done_reason) or nil
  local out, list = {}, deltas(about, message, calls, done)
  for i, delta in ipairs(list) do
    local last = i == #list and not about.sim.habits.role_once
    out[i] = chunk(about, value, delta, last and reason or nil, i == #list and odds_of(value) or nil)
  end
  if not done then return table.concat(out) end
  if about.sim.habits.role_once then out[#out + 1] = chunk(about, value, {}, reason) end
  if about.counts then
    out[#out + 1] = "data: " .. json.encode(object_of(head(about, "chat.completion.chunk", value), { { "choices", json.array() },
      { "usage", usage_of(value) } })) .. "\n\n"
  end
  return table.concat(out) .. "data: [DONE]\n\n"
end

--- Read a request; nil after an error was sent.
---@param sim table
---@param req table
---@param res table
---@param spec table
---@return table|nil body
---@return table|nil raw as it was decoded, in its order
function M.read(sim, req, res, spec)
  local text = req.body or ""
  if not text:find "%S" then return M.refuse(res, "EOF") end
  local body, err = decode.request(text, spec, sim.habits)
  if not body then return M.refuse(res, err) end
  return body, json.decode(text)
end

local function counts(body) return type(body.stream_options) == "table" and body.stream_options.include_usage == true end

--- POST /v1/chat/completions
---@param sim table
---@param req table
---@param res table
function M.chat(sim, req, res)
  local body, raw = M.read(sim, req, res, requests.CHAT)
  if not body then return end
  if #(body.messages or {}) == 0 then return M.refuse(res, "[] is too short - 'messages'") end
  local native, err = requests.chat(body, raw, sim.habits)
  if not native then return M.refuse(res, err) end
  local about = { sim = sim, res = res, id = M.id(sim, "chatcmpl-"), counts = counts(body) }
  about.whole = function(value) return whole_chat(about, value) end
  about.line = function(value) return chat_line(about, value) end
  return M.ask(sim, req, native, inference.chat, M.writer(about))
end

-- ---- completions ----------------------------------------------------------------------------------------------------------------

local function text_choice(value, reason)
  return json.array { json.object { { "text", value.response or "" }, { "index", 0 }, { "finish_reason", reason or json.null } } }
end

local function whole_text(about, value)
  return json.encode(object_of(head(about, "text_completion", value), { { "choices", text_choice(value, value.done_reason) },
    { "usage", usage_of(value) } }))
end

local function text_chunk(about, value, choices, usage)
  return "data: " .. json.encode(json.object { { "id", about.id }, { "object", "text_completion" },
    { "created", math.floor(about.sim.wall()) }, { "choices", choices }, { "model", value.model or "" },
    { "system_fingerprint", "fp_ollama" }, { "usage", usage } }) .. "\n\n"
end

local function text_line(about, value)
  local out = text_chunk(about, value, text_choice(value, value.done and value.done_reason), about.counts and usage_of {} or nil)
  if not value.done then return out end
  if about.counts then out = out .. text_chunk(about, value, json.array(), usage_of(value)) end
  return out .. "data: [DONE]\n\n"
end

--- POST /v1/completions
---@param sim table
---@param req table
---@param res table
function M.completion(sim, req, res)
  local body = M.read(sim, req, res, requests.COMPLETION)
  if not body then return end
  local native, err = requests.completion(body)
  if not native then return M.refuse(res, err) end
  local about = { sim = sim, res = res, id = M.id(sim, "cmpl-"), counts = counts(body) }
  about.whole = function(value) return whole_text(about, value) end
  about.line = function(value) return text_line(about, value) end
  return M.ask(sim, req, native, inference.generate, M.writer(about))
end

-- ---- embeddings -----------------------------------------------------------------------------------------------------------------

--- POST /v1/embeddings
---@param sim table
---@param req table
---@param res table
function M.embeddings(sim, req, res)
  local body = M.read(sim, req, res, requests.EMBEDDING)
  if not body then return end
  local format, input = (body.encoding_format or ""):lower(), body.input
  if format ~= "" and format ~= "float" and format ~= "base64" then
    return M.refuse(res,
      ("Invalid value for 'encoding_format' = %s. Supported values: ['float', 'base64']."):format(body.encoding_format))
  end
  if input == nil or json.is_array(input) and #input == 0 then return M.refuse(res, "invalid input") end
  if input == "" then input = json.array { "" } end
  local about = { sim = sim, res = res }
  about.whole = function(value)
    return wire.openai_embeddings(body.model or "", value.embeddings, value.prompt_eval_count or 0, format == "base64")
  end
  return M.ask(sim, req, json.object { { "model", body.model }, { "input", input }, { "dimensions", body.dimensions } },
    inference.embed, M.writer(about))
end

-- ---- models --------------------------------------------------------------------------------------------------------------------

local function entry(name, model)
  return json.object { { "id", name }, { "object", "model" }, { "created", math.floor(model.modified) }, { "owned_by", "library" } }
end

--- GET /v1/models
---@param sim table
---@param res table
function M.models(sim, _, res)
  local list = json.array()
  for i, model in ipairs(sim.models:sorted()) do list[i] = entry(model.name, model) end
  return wire.send(res, 200, wire.JSON_BARE, json.encode(json.object { { "object", "list" }, { "data", list } }) .. "\n")
end

--- GET /v1/models/NAME
---@param sim table
---@param req table
---@param res table
function M.model(sim, req, res)
  local name = req.path:match "^/v1/models/(.*)$"
  local model = models.valid_name(name) and sim.models:find(name)
  if not model then
    return res:reply(404, wire.JSON_BARE, M.native_error(sim, 404, wire.error(("model '%s' not found"):format(name))))
  end
  return res:reply(200, wire.JSON_BARE, json.encode(entry(name, model)) .. "\n")
end

return M
