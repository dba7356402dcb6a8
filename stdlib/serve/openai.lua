--- OpenAI's API in front of agents, as Ollama has it: a request is read into one of Ollama's, and the answer written in this form.

local core_json = require "stoke.json"
local hash = require "core.hash"
local json = require "stoke.ollama.server.gojson"
local wire = require "stoke.ollama.server.wire"
local checks = require "stoke.ollama.server.checks"
local decode = require "stoke.ollama.server.decode"
local requests = require "stoke.ollama.server.openai"
local random = require "core.random"
local behind = require "stoke.serve.behind"
local embed = require "stoke.serve.embed"
local failures = require "stoke.serve.failures"
local ollama = require "stoke.serve.ollama"
local passing = require "stoke.serve.passing"
local responses = require "stoke.serve.responses"
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
    { "type", TYPES[failure.status] or "api_error" }, { "param", failure.param or json.null },
    { "code", failure.code or failure.status == 404 and "model_not_found" or json.null } } } })
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
  req.body = "" -- see ollama.lua
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

--- The odds of tokens, as this API has them.
local function odds_of(odds) return odds and '"logprobs":{"content":' .. core_json.encode(odds) .. "}," or "" end

--- One delta, written already.
local function delta(self, text, odds)
  if not self.begun then
    self.begun = true
    text = '"role":"assistant",' .. text
  end
  return send(self, ('%s"choices":[{"index":0,"delta":{%s},%s"finish_reason":null}]}\n\n'):format(self.head, text, odds_of(odds)))
end

function Chunks:text(text, odds) return delta(self, '"content":"' .. json.escape(text) .. '"', odds) end
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

function Whole:text(text, odds)
  self.said[#self.said + 1] = text
  self.odds = odds or self.odds
end

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
      { "finish_reason", reason_of(answer) },
      { "logprobs", self.odds and json.object { { "content", core_json.array(self.odds) } } or nil } }
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

--- A turn of a model behind.
local function passed(host, res, body, kind, q, bad)
  if not q then return deny(res, 400, "%s", bad) end
  return turn.answer(host, q, writer(res, q, body, kind))
end

local function chat(host, req, res)
  local body, raw = read(req, res, requests.CHAT)
  if not body then return end
  body.model = body.model or ""
  if #(body.messages or {}) == 0 then return deny(res, 400, "[] is too short - 'messages'") end
  if body.model == "" then return deny(res, 400, "model is required") end
  local entry = find(host, res, body.model)
  if not entry then return end
  local native, err = requests.chat(body, raw, HABITS)
  err = err or not native.messages[1] and "messages have no content" or checks.top_logprobs(body.top_logprobs)
  if err then return deny(res, 400, "%s", err) end
  local format, wrong = checks.format(native.format)
  if wrong then return deny(res, 500, "%s", wrong) end
  if entry.behind then
    return passed(host, res, body, "chat.completion", passing.chat(entry, native, native.tools, format))
  end
  for _, message in ipairs(native.messages) do message.role = ROLES[message.role] or message.role end
  local tools = raw.tool_choice ~= "none" and json.is_array(native.tools) and native.tools or nil
  local ok, q = pcall(ollama.turn, host, entry, native.messages, { tools = tools, thinking = native.think ~= false,
    format = format, headers = req.headers, body = raw })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, body, "chat.completion"))
end

--- Requests of completions, whose prompt some libraries send as a list of one.
local COMPLETION = decode.types.struct("CompletionRequest", "openai.CompletionRequest", setmetatable({ prompt = decode.types.ANY },
  { __index = requests.COMPLETION.fields }))

--- The prompt of a completion; nil and what is wrong with it.
local function prompt_of(prompt)
  if prompt == nil or type(prompt) == "string" then return prompt or "" end
  if json.is_array(prompt) and #prompt == 1 and type(prompt[1]) == "string" then return prompt[1] end
  if json.is_array(prompt) and #prompt > 1 then
    return nil, ("prompt has %d texts; a completion is of one: send a request for each"):format(#prompt)
  end
  return nil, ("json: cannot unmarshal %s into Go struct field CompletionRequest.prompt of type string"):format(json.kind(prompt))
end

local function completion(host, req, res)
  local body = read(req, res, COMPLETION)
  if not body then return end
  local prompt, bad = prompt_of(body.prompt)
  if bad then return deny(res, 400, "%s", bad) end
  body.prompt = prompt
  body.model = body.model or ""
  local entry = find(host, res, body.model)
  if not entry then return end
  if entry.behind then
    return passed(host, res, body, "text_completion", passing.generate(entry, requests.completion(body), nil, req.headers))
  end
  if body.suffix and body.suffix ~= "" then return deny(res, 400, "%s does not support insert", body.model) end
  bad = requests.bad_stop(body.stop)
  if bad then return deny(res, 400, "%s", bad) end
  if (body.prompt or "") == "" then return deny(res, 400, "prompt is required") end
  local ok, q = pcall(ollama.turn, host, entry, { { role = "user", content = body.prompt } }, { thinking = false,
    headers = req.headers })
  if not ok then return refuse(res, failures.of(q)) end
  return turn.answer(host, q, writer(res, q, body, "text_completion"))
end

local function model_of(host, entry)
  local changed = entry.behind and behind.modified(entry) or host.registry:modified(entry, time.now())
  return json.object { { "id", entry.name }, { "object", "model" }, { "created", math.floor(changed) },
    { "owned_by", entry.behind and "library" or "stoke" } }
end

local function models(host, _, res)
  local list = json.array()
  for i, entry in ipairs(host.registry.list) do list[i] = model_of(host, entry) end
  local models_behind = host.registry.behind and host.registry.behind:entries() or {}
  for _, found in ipairs(models_behind) do list[#list + 1] = model_of(host, found) end
  return wire.send(res, 200, wire.JSON_BARE, json.encode(json.object { { "object", "list" }, { "data", list } }))
end

local function one_model(host, req, res)
  local entry = find(host, res, req.path:match "^/v1/models/(.*)$")
  if not entry then return end
  return res:reply(200, wire.JSON_BARE, json.encode(model_of(host, entry)))
end

local function embeddings(host, req, res)
  local body = read(req, res, requests.EMBEDDING)
  if not body then return end
  local entry = find(host, res, body.model or "")
  if not entry then return end
  local failure = embed.openai(host, res, body, entry)
  if failure then return refuse(res, failure) end
end

local function response(host, req, res)
  local body, raw = read(req, res, responses.REQUEST)
  if not body then return end
  if (body.model or "") == "" then return deny(res, 400, "model is required") end
  local entry = find(host, res, body.model)
  if not entry then return end
  return responses.handle(host, req, res, { body = body, raw = raw, entry = entry, refuse = refuse })
end

--- path -> method -> handler
M.ROUTES = {
  ["/v1/models"] = { GET = models },
  ["/v1/chat/completions"] = { POST = chat },
  ["/v1/completions"] = { POST = completion },
  ["/v1/responses"] = { POST = response },
  ["/v1/embeddings"] = { POST = embeddings },
}

--- The route of a model's own path.
M.MODEL = { GET = one_model }

return M
