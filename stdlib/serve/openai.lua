--- OpenAI's API in front of agents, as Ollama has it: a request is read into one of Ollama's, and the answer written in this form.

local core_json = require "stoke.json"
local hash = require "core.hash"
local json = require "stoke.ollama.server.gojson"
local wire = require "stoke.ollama.server.wire"
local checks = require "stoke.ollama.server.checks"
local decode = require "stoke.ollama.server.decode"
local requests = require "stoke.ollama.server.openai"
local random = require "core.random"
local failures = require "stoke.serve.failures"
local ollama = require "stoke.serve.ollama"
local turn = require "stoke.serve.turn"
local time = require "stoke.time"

local M = {}

--- Requests are read as the newest server reads them.
local HABITS = { max = true }

-- ---- errors ---------------------------------------------------------------------------------------------------------------------

local TYPES = { [400] = "invalid_request_error", [401] = "authentication_error", [403] = "permission_error",
  [404] = "not_found_error", [429] = "rate_limit_error" }

local function error_text(failure)
  return json.encode(json.object { { "error", json.object { { "message", failure.text },
    { "type", TYPES[failure.status] or "api_error" }, { "param", json.null },
    { "code", failure.status == 404 and "model_not_found" or json.null } } } })
end

--- Answer with an error.
---@param res stoke.http.reply
---@param failure stoke.serve.failure
---
--- Example: `return openai.refuse(res, failures.new(404, "no such model"))`
function M.refuse(res, failure)
  return res:reply(failure.status, failures.headers(wire.JSON_BARE, failure), error_text(failure))
end

local refuse = M.refuse

local function deny(res, status, format, ...) return refuse(res, failures.new(status, format, ...)) end

local function read(req, res, spec)
  local text = req.body or ""
  if not text:find "%S" then return deny(res, 400, "the request has no body") end
  local body, raw = decode.request(text, spec, HABITS)
  if not body then return deny(res, 400, "%s", raw) end
  return body, raw
end

local function find(host, res, name)
  local entry = host.registry:find(name)
  if entry then return entry end
  local near = host.registry:near(name)
  return deny(res, 404, "model '%s' not found%s", name, near and (" (did you mean %s?)"):format(near) or "")
end

-- ---- parts of answers -----------------------------------------------------------------------------------------------------------

local function new_id(prefix) return prefix .. hash.sha256(random.streams["answers"]:bytes(16)):sub(1, 24) end

--- Calls in the native form, for the code that writes them in this one.
local function calls_of(calls, renamed)
  if not calls then return nil end
  local out = {}
  for i, call in ipairs(calls) do
    local f = call["function"]
    out[i] = json.object { { "index", i - 1 }, { "id", call.id }, { "type", "function" },
      { "function", json.object { { "name", renamed[f.name] or f.name }, { "arguments", core_json.encode(f.arguments) } } } }
  end
  return json.array(out)
end

local function usage_of(answer) return wire.usage(answer.usage.input_tokens, answer.usage.output_tokens) end

--- Why an answer ended.
local function reason_of(answer)
  if answer.calls then return "tool_calls" end
  return answer.reason == "length" and "length" or "stop"
end

-- ---- streams --------------------------------------------------------------------------------------------------------------------

--- Writes the chunks of a chat as they come.
local Chunks = {}
Chunks.__index = Chunks

local function send(self, bytes) return turn.send(self.res, wire.SSE, bytes) end

--- One delta, written already.
local function delta(self, text)
  if not self.begun then
    self.begun = true
    text = '"role":"assistant",' .. text
  end
  return send(self, self.head .. '"choices":[{"index":0,"delta":{' .. text .. '},"finish_reason":null}]}\n\n')
end

function Chunks:text(text) return delta(self, '"content":"' .. json.escape(text) .. '"') end
function Chunks:thinking(text) return delta(self, '"content":"","reasoning":"' .. json.escape(text) .. '"') end

function Chunks:done(answer)
  local calls = calls_of(answer.calls, self.renamed)
  if calls then
    delta(self, '"content":"","tool_calls":' .. json.encode(calls))
  elseif not self.begun then
    delta(self, '"content":""')
  end
  local last = self.head .. ('"choices":[{"index":0,"delta":{},"finish_reason":"%s"}]}\n\n'):format(reason_of(answer))
  if self.counts then last = last .. self.head .. '"choices":[],"usage":' .. json.encode(usage_of(answer)) .. "}\n\n" end
  return send(self, last .. "data: [DONE]\n\n")
end

--- An error in the middle is a record of its own, and the last: clients raise it.
function Chunks:fail(failure)
  if not self.res.started then return refuse(self.res, failure) end
  return send(self, "data: " .. error_text(failure) .. "\n\n")
end

--- The same for a completion.
local Texts = {}
Texts.__index = Texts
Texts.fail = Chunks.fail

function Texts:text(text)
  return send(self, self.head .. '"choices":[{"text":"' .. json.escape(text) .. '","index":0,"finish_reason":null}]}\n\n')
end

function Texts.thinking() end

function Texts:done(answer)
  local last = self.head .. ('"choices":[{"text":"","index":0,"finish_reason":"%s"}]}\n\n'):format(reason_of(answer))
  if self.counts then last = last .. self.head .. '"choices":[],"usage":' .. json.encode(usage_of(answer)) .. "}\n\n" end
  return send(self, last .. "data: [DONE]\n\n")
end

-- ---- whole answers --------------------------------------------------------------------------------------------------------------

local Whole = {}
Whole.__index = Whole

function Whole:text(text) self.said[#self.said + 1] = text end
function Whole:thinking(text) self.thoughts[#self.thoughts + 1] = text end
function Whole:fail(failure) return refuse(self.res, failure) end

function Whole:done(answer)
  local text, thought = table.concat(self.said), table.concat(self.thoughts)
  local choice
  if self.kind == "text_completion" then
    choice = json.object { { "text", text }, { "index", 0 }, { "finish_reason", reason_of(answer) } }
  else
    choice = json.object { { "index", 0 }, { "message", json.object { { "role", "assistant" }, { "content", text },
      { "reasoning", thought ~= "" and thought or nil }, { "tool_calls", calls_of(answer.calls, self.renamed) } } },
      { "finish_reason", reason_of(answer) } }
  end
  return wire.send(self.res, 200, wire.JSON_BARE, json.encode(json.object { { "id", self.id }, { "object", self.kind },
    { "created", self.created }, { "model", self.name }, { "system_fingerprint", "fp_stoke" },
    { "choices", json.array { choice } }, { "usage", usage_of(answer) } }))
end

--- Who writes an answer. kind: "chat.completion", "text_completion".
local function writer(res, q, body, kind)
  local self = { res = res, name = body.model, kind = kind, renamed = q.renamed, created = math.floor(time.now()),
    id = new_id(kind == "text_completion" and "cmpl-" or "chatcmpl-") }
  if not body.stream then
    self.said, self.thoughts = {}, {}
    return setmetatable(self, Whole)
  end
  self.counts = body.stream_options ~= nil and body.stream_options.include_usage == true
  self.head = ('data: {"id":"%s","object":"%s","created":%d,"model":%s,"system_fingerprint":"fp_stoke",'):format(self.id,
    kind == "text_completion" and kind or kind .. ".chunk", self.created, json.quote(body.model))
  return setmetatable(self, kind == "text_completion" and Texts or Chunks)
end

-- ---- requests -------------------------------------------------------------------------------------------------------------------

--- Roles by other names.
local ROLES = { developer = "system", ["function"] = "tool" }

local function chat(host, req, res)
  local body, raw = read(req, res, requests.CHAT)
  if not body then return end
  body.model = body.model or ""
  if #(body.messages or {}) == 0 then return deny(res, 400, "[] is too short - 'messages'") end
  if body.model == "" then return deny(res, 400, "model is required") end
  local entry = find(host, res, body.model)
  if not entry then return end
  local native, err = requests.chat(body, raw, HABITS)
  err = err or checks.top_logprobs(body.top_logprobs)
  if err then return deny(res, 400, "%s", err) end
  local format, wrong = checks.format(native.format)
  if wrong then return deny(res, 500, "%s", wrong) end
  for _, message in ipairs(native.messages) do message.role = ROLES[message.role] or message.role end
  local tools = raw.tool_choice ~= "none" and json.is_array(native.tools) and native.tools or nil
  local ok, q = pcall(ollama.turn, host, entry, native.messages, { tools = tools, thinking = native.think ~= false,
    format = format })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, body, "chat.completion"))
end

local function completion(host, req, res)
  local body = read(req, res, requests.COMPLETION)
  if not body then return end
  body.model = body.model or ""
  local entry = find(host, res, body.model)
  if not entry then return end
  if body.suffix and body.suffix ~= "" then return deny(res, 400, "%s does not support insert", body.model) end
  local bad = requests.bad_stop(body.stop)
  if bad then return deny(res, 400, "%s", bad) end
  if (body.prompt or "") == "" then return deny(res, 400, "prompt is required") end
  local ok, q = pcall(ollama.turn, host, entry, { { role = "user", content = body.prompt } }, { thinking = false })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, body, "text_completion"))
end

local function model_of(host, entry)
  return json.object { { "id", entry.name }, { "object", "model" }, { "created", host.registry:modified(entry, time.now()) },
    { "owned_by", "stoke" } }
end

local function models(host, _, res)
  local list = json.array()
  for i, entry in ipairs(host.registry.list) do list[i] = model_of(host, entry) end
  return wire.send(res, 200, wire.JSON_BARE, json.encode(json.object { { "object", "list" }, { "data", list } }))
end

local function one_model(host, req, res)
  local entry = find(host, res, req.path:match "^/v1/models/(.*)$")
  if not entry then return end
  return res:reply(200, wire.JSON_BARE, json.encode(model_of(host, entry)))
end

local function no_embeddings(host, req, res)
  local body = read(req, res, requests.EMBEDDING)
  if not body then return end
  local entry = find(host, res, body.model or "")
  if not entry then return end
  return deny(res, 400, "%s does not support embeddings", body.model)
end

--- path -> method -> handler
M.ROUTES = {
  ["/v1/models"] = { GET = models },
  ["/v1/chat/completions"] = { POST = chat },
  ["/v1/completions"] = { POST = completion },
  ["/v1/embeddings"] = { POST = no_embeddings },
}

--- The route of a model's own path.
M.MODEL = { GET = one_model }

return M
