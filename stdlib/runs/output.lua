--- What the verbs of durable runs print for scripts: any value of a run as JSON.

local errors = require "core.errors"
local json = require "core.json"
local stdio = require "core.stdio"
local texts = require "core.text"

local M = {}

local DEPTH <const> = 100

--- A copy that JSON can hold: invalid UTF-8 is replaced, inf and nan become strings, and keys become strings.
local function sayable(value, depth)
  local kind = type(value)
  if kind == "string" then return texts.valid(value) end
  if kind == "number" then
    return (value ~= value or value == math.huge or value == -math.huge) and tostring(value) or value
  end
  if kind == "boolean" or value == json.null then return value end
  if kind ~= "table" then return nil end
  if depth > DEPTH then return "..." end
  if errors.is(value) then
    return { kind = value.kind, message = texts.valid(value.message), hint = rawget(value, "hint"), where = rawget(value, "where") }
  end
  local out = {}
  if json.is_array(value) and (next(value) ~= nil or getmetatable(value) ~= nil) then
    for i = 1, #value do out[i] = sayable(value[i], depth + 1) end
    return json.array(out)
  end
  for key, inner in next, value do out[texts.valid(tostring(key))] = sayable(inner, depth + 1) end
  return json.object(out)
end

--- A value as one line of JSON.
---@param value any
---@return string
---
--- Example: `io.write(output.json { id = "trip-7" })`
function M.json(value) return json.encode(sayable(value, 0)) .. "\n" end

--- Print a value as one line of JSON on standard output.
---@param value any
---
--- Example: `output.print_json { id = "trip-7" }`
function M.print_json(value) stdio.write(M.json(value)) end

return M
