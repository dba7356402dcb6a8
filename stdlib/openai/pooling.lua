--- What the pool asks a server of OpenAI's wire beside its calls: which models it serves, which it takes for loaded, and one token
--- to see whether it works. It cannot be told to let a model go.

local M = {}

local function request(target, path, body, seconds)
  return { protocol = target.dialect.name, path = path, method = not body and "GET" or nil, model = body and target.name or nil,
    body = body, endpoint = target.endpoint.name, once = true,
    timeouts = { total = seconds, first_byte = seconds, connect = math.min(seconds, 2) } }
end

--- Ask which models it serves.
---@param target stoke.target any of the server
---@param seconds number it may take
---@return table q
function M.look(target, seconds) return request(target, "/v1/models", nil, seconds) end

--- The models in an answer to that: all of them answer at once, as far as anybody can tell.
---@param value any
---@return { name: string }[]|nil
function M.loaded(value)
  local data = type(value) == "table" and value.data
  if type(data) ~= "table" then return nil end
  local list = {}
  for i, model in ipairs(data) do list[i] = { name = model.id } end
  return list
end

--- Ask for one token.
---@param target stoke.target
---@param seconds number
---@return table q
function M.probe(target, seconds)
  return request(target, "/v1/chat/completions", { model = target.name, messages = { { role = "user", content = "." } },
    options = { num_predict = 1 }, think = false, stream = false }, seconds)
end

return M
