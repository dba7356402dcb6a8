--- What Ollama checks of a request beyond the types of its fields, in its words.

local json = require "stoke.ollama.server.gojson"

local M = {}

-- name -> the type the server insists on, as its error text names it
local TYPES = {
  num_keep = "integer", seed = "integer", num_predict = "integer", top_k = "integer", repeat_last_n = "integer",
  num_ctx = "integer", num_batch = "integer", num_gpu = "integer", main_gpu = "integer", num_thread = "integer",
  draft_num_predict = "integer",
  top_p = "float32", min_p = "float32", typical_p = "float32", temperature = "float32", repeat_penalty = "float32",
  presence_penalty = "float32", frequency_penalty = "float32",
  use_mmap = "boolean", stop = "array",
}

local MATCHES = {
  integer = function(v) return type(v) == "number" end,
  float32 = function(v) return type(v) == "number" end,
  boolean = function(v) return type(v) == "boolean" end,
  array = json.is_array,
}

--- An option of a request.
---@param name string
---@param value any
---@return string|nil want its type; nil for a name that the server passes over
---@return string|nil err the server's text (status 500)
---
--- Example: `local want, err = checks.option("seed", "x")`
function M.option(name, value)
  local want = TYPES[name]
  if not want then return nil end
  if not MATCHES[want](value) then return want, ('option "%s" must be of type %s'):format(name, want) end
  if want == "array" then
    for _, s in ipairs(value) do
      if type(s) ~= "string" then return want, ('option "%s" must be of an array of strings'):format(name) end
    end
  end
  return want
end

--- The first option that is not what it must be.
---@param map table|nil options as they were decoded
---@return string|nil err the server's text (status 500)
---
--- Example: `local err = checks.options(body.options)`
function M.options(map)
  for _, name in ipairs(map and json.keys(map) or {}) do
    local value = map[name]
    local _, err = M.option(name, value)
    if err and value ~= json.null then return err end
  end
end

--- How many alternatives of a token are asked for.
---@param count integer|nil
---@return string|nil err the server's text (status 400)
---
--- Example: `local err = checks.top_logprobs(body.top_logprobs)`
function M.top_logprobs(count)
  if count and (count < 0 or count > 20) then return "top_logprobs must be between 0 and 20" end
end

--- The shape that is asked for: "json", or a schema.
---@param format any of the request
---@return table|string|nil
---@return string|nil err the server's text (status 500)
---
--- Example: `local format, err = checks.format(body.format)`
function M.format(format)
  if format == nil or format == json.null or format == "" then return nil end
  if format == "json" or json.is_object(format) then return format end
  return nil, ('invalid format: "%s"; expected "json" or a valid JSON Schema object')
    :format((json.encode(format):gsub('[\\"]', '\\%0')))
end

return M
