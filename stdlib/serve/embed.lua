--- Vectors of texts by models that are passed through, in the forms of both protocols. They come from the cache of embeddings where
--- they were asked for before. A handler here returns what it refuses with, for who knows the form.

local failures = require "stoke.serve.failures"
local json = require "stoke.ollama.server.gojson"
local passing = require "stoke.serve.passing"
local wire = require "stoke.ollama.server.wire"

local M = {}

--- The texts of a request; nil where they are none.
local function texts_of(input)
  if type(input) == "string" then return { input } end
  if not json.is_array(input) then return nil end
  for _, text in ipairs(input) do
    if type(text) ~= "string" then return nil end
  end
  return table.move(input, 1, #input, 1, {})
end

--- Vectors, made within the number of turns that go on at once; else what is wrong.
local function ask(host, entry, texts, body)
  local place <close> = host.gate:enter() -- luacheck: ignore
  return passing.embed(host, entry, texts, { dimensions = body.dimensions, truncate = body.truncate,
    options = passing.options(body.options) })
end

local function vectors(host, entry, texts, body)
  local ok, reply = pcall(ask, host, entry, texts, body)
  if ok then return reply end
  return nil, failures.of(reply)
end

--- The model, once it is one that can be asked.
local function model_of(host, name)
  local entry = host.registry:find(name)
  if not entry then return nil, failures.new(404, 'model "%s" not found, try pulling it first', name) end
  if not entry.behind then return nil, failures.new(400, '"%s" does not support embed', name) end
  return entry
end

--- POST /api/embed
---@param host stoke.serve.host
---@param res stoke.http.reply
---@param body table
---@return stoke.serve.failure|nil
---
--- Example: `local failure = embed.native(host, res, body)`
function M.native(host, res, body)
  local name = body.model or ""
  local entry, wrong = model_of(host, name)
  if not entry then return wrong end
  local texts = body.input ~= nil and texts_of(body.input) or {}
  if body.input ~= nil and not texts_of(body.input) then return failures.new(400, "invalid input type") end
  if not texts[1] then
    res:reply(200, wire.JSON, wire.embed(name, {}, 0, 0, 0))
    return nil
  end
  local reply, failed = vectors(host, entry, texts, body)
  if not reply then return failed end
  local usage = reply.usage
  wire.send(res, 200, wire.JSON, wire.embed(name, reply.embeddings, wire.nanos(usage.seconds), wire.nanos(usage.load_seconds),
    usage.input_tokens))
end

--- POST /api/embeddings, the older form, of one text.
---@param host stoke.serve.host
---@param res stoke.http.reply
---@param body table
---@return stoke.serve.failure|nil
---
--- Example: `local failure = embed.old(host, res, body)`
function M.old(host, res, body)
  local entry, wrong = model_of(host, body.model or "")
  if not entry then return wrong end
  if (body.prompt or "") == "" then
    res:reply(200, wire.JSON, '{"embedding":[]}')
    return nil
  end
  local reply, failed = vectors(host, entry, { body.prompt }, body)
  if not reply then return failed end
  wire.send(res, 200, wire.JSON, '{"embedding":' .. wire.rows(reply.embeddings):sub(2, -2) .. "}")
end

local FORMATS = { [""] = true, float = true, base64 = true }

--- POST /v1/embeddings
---@param host stoke.serve.host
---@param res stoke.http.reply
---@param body table
---@param entry stoke.serve.entry|stoke.serve.model
---@return stoke.serve.failure|nil
---
--- Example: `local failure = embed.openai(host, res, body, entry)`
function M.openai(host, res, body, entry)
  if not entry.behind then return failures.new(400, "%s does not support embeddings", body.model) end
  local format = (body.encoding_format or ""):lower()
  if not FORMATS[format] then
    return failures.new(400, "Invalid value for 'encoding_format' = %s. Supported values: ['float', 'base64'].",
      body.encoding_format)
  end
  local texts = texts_of(body.input)
  if not texts or not texts[1] then return failures.new(400, "invalid input") end
  local reply, failed = vectors(host, entry, texts, body)
  if not reply then return failed end
  wire.send(res, 200, wire.JSON_BARE, wire.openai_embeddings(body.model, reply.embeddings, reply.usage.input_tokens,
    format == "base64"))
end

return M
