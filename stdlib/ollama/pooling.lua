--- What the pool asks an Ollama beside its calls: which models it holds, one token to see whether it works, and to let a model go.
--- Requests are as in stoke.ollama.protocol; they wait for no slot and are not tried again.

local options = require "stoke.ollama.options"

local M = {}

local canonical = options.canonical

local function request(target, path, body, seconds)
  return { protocol = "ollama", path = path, method = not body and "GET" or nil, model = body and target.name or nil,
    body = body, endpoint = target.endpoint.name, once = true,
    timeouts = { total = seconds, first_byte = seconds, connect = math.min(seconds, 2) } }
end

--- Ask which models are loaded.
---@param target stoke.target any of the server
---@param seconds number it may take
---@return table q
function M.look(target, seconds) return request(target, "/api/ps", nil, seconds) end

--- The models in an answer to that, with the bytes they take.
---@param value any
---@return { name: string, size?: integer }[]|nil
function M.loaded(value)
  local models = type(value) == "table" and value.models
  if type(models) ~= "table" then return nil end
  local list = {}
  for _, model in ipairs(models) do
    local name = type(model) == "table" and (model.model or model.name)
    if type(name) == "string" then
      list[#list + 1] = { name = canonical(name), size = math.type(model.size) == "integer" and model.size or nil }
    end
  end
  return list
end

--- Ask for the server's version: what was learned of another one is not sure.
---@param target stoke.target
---@param seconds number
---@return table q
function M.version(target, seconds) return request(target, "/api/version", nil, seconds) end

--- The version in an answer to that.
---@param value any
---@return string|nil
function M.told_version(value)
  local version = type(value) == "table" and value.version
  return type(version) == "string" and version or nil
end

--- Ask which models the server has.
---@param target stoke.target any of the server
---@param seconds number it may take
---@return table q
function M.inventory(target, seconds) return request(target, "/api/tags", nil, seconds) end

--- The digests in an answer to that, by canonical names.
---@param value any
---@return table<string, string>|nil
function M.digests(value)
  local models = type(value) == "table" and value.models
  if type(models) ~= "table" then return nil end
  local found = {}
  for _, model in ipairs(models) do
    local digest = type(model) == "table" and model.digest
    if type(digest) == "string" and #digest >= 32 and type(model.name) == "string" then found[canonical(model.name)] = digest end
  end
  return found
end

--- Ask for one token, with the options that the model is loaded with: others would load it anew.
---@param target stoke.target
---@param seconds number
---@return table q
function M.probe(target, seconds)
  local sent = { num_predict = 1 }
  for name, value in next, target.profile and target.profile.options or {} do sent[name] = value end
  return request(target, "/api/generate", { model = target.served or target.name, prompt = ".", stream = false, options = sent,
    shift = target.profile and target.profile.shift }, seconds)
end

--- Ask to let a model go once its calls have ended.
---@param target stoke.target
---@param seconds number
---@return table q
function M.unload(target, seconds)
  return request(target, "/api/generate", { model = target.served or target.name, stream = false, keep_alive = 0 }, seconds)
end

return M
