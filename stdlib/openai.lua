--- What is OpenAI's own: completions of a prompt, the list of a server's models, what a server can do. Chats, streams, embeddings
--- and agents are asked as everywhere, by stoke.chat, stoke.stream, stoke.embed and stoke.agent, at an endpoint that speaks it:
---
---     endpoints = { vllm = { url = "http://10.0.0.8:8000", dialect = "openai", key = "..." } }
---
--- dialect = "openai-responses" is for servers and models that are asked at /v1/responses.

local endpoints = require "core.endpoint"
local errors = require "core.errors"
local models = require "stoke.model"
local options = require "stoke.model.options"
local protocol = require "stoke.openai.protocol"

local M = {}

local function target_of(what, model, endpoint)
  local target = models.open(model, endpoint)
  if not target.dialect.name:find "^openai" then
    errors.raise("usage", ("%s: the endpoint %s speaks %s"):format(what, target.endpoint.name, target.dialect.name),
      { hint = 'endpoints = { NAME = { url =, dialect = "openai" } }' })
  end
  return target
end

local FIELDS = { model = "string", prompt = "string", suffix = "string", options = "table", endpoint = "string",
  timeouts = "table" }

local function request(what, given, stream)
  given = options.check(what, given, FIELDS)
  if not given.prompt then errors.argument("%s: prompt is missing", what) end
  local target = target_of(what, given.model, given.endpoint)
  local q = protocol.shape(target, given, "/v1/completions", { model = given.model, prompt = given.prompt, suffix = given.suffix,
    raw = true, options = given.options, stream = stream })
  return q, target
end

---@class stoke.openai.complete
---@field model string
---@field prompt string
---@field suffix? string what comes behind the hole
---@field options? table sampling
---@field endpoint? string name or address
---@field timeouts? table

--- One completion of a prompt (/v1/completions).
---@param given stoke.openai.complete
---@return stoke.model.answer
---Raises what stoke.chat raises.
---
--- Example: `print(openai.complete { model = "qwen", prompt = "def f(", endpoint = "vllm" }.text)`
function M.complete(given)
  local q, target = request("openai.complete", given, false)
  return protocol.answer(errors.check(models.perform("llm.chat", q, target, given)))
end

--- A completion as it comes: events as of stoke.stream.
---@param given stoke.openai.complete
---@return fun(): table iterator for generic `for`
---Raises what stoke.chat raises.
---
--- Example: `for ev in openai.stream { model = "qwen", prompt = "def f(", endpoint = "vllm" } do io.write(ev.text or "") end`
function M.stream(given)
  local q, target = request("openai.stream", given, true)
  local stream, err = models.perform("llm.stream", q, target, given)
  if err then error(err, 0) end
  return models.events(stream, target, q, true)
end

--- The models of a server (/v1/models).
---@param endpoint? string name or address
---@return table[] models as it lists them: { id, owned_by, max_model_len ... }
---Raises what stoke.chat raises.
---
--- Example: `for _, m in ipairs(openai.models "vllm") do print(m.id) end`
function M.models(endpoint)
  local found = endpoints.of(endpoint)
  return errors.check(protocol.get(endpoints.plain(found, nil, protocol), "/v1/models")).data
end

--- What a model's server can do: tried with at most four small calls, once, and remembered.
---@param model string
---@param endpoint? string name or address
---@return stoke.openai.capabilities
---Raises what stoke.chat raises.
---
--- Example: `print(openai.capabilities("qwen", "vllm").json_schema)`
function M.capabilities(model, endpoint)
  return errors.check(models.capabilities(target_of("openai.capabilities", model, endpoint)))
end

return M
