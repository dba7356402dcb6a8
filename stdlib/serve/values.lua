--- JSON values of a request, read by the codec that keeps what Go keeps (stoke.ollama.server.gojson), as the values that the rest
--- of the library works with: objects in their order, no nulls of another codec.

local gojson = require "stoke.ollama.server.gojson"
local json = require "core.json"

local M = {}

--- A value for the library's own codec.
---@param value any
---@return any
---
--- Example: `values.plain(gojson.decode('{"b":1,"a":null}'))`
function M.plain(value)
  if value == gojson.null then return json.null end
  if type(value) ~= "table" then return value end
  local out = {}
  if gojson.is_array(value) then
    for i, item in ipairs(value) do out[i] = M.plain(item) end
    return json.array(out)
  end
  local order = {}
  for i, key in ipairs(gojson.keys(value)) do
    out[key], order[i] = M.plain(value[key]), key
  end
  return json.object(out, order)
end

return M
