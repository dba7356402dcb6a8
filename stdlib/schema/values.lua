--- JSON values as Lua tables: their type, equality, and text for messages.

local engine = require "core.json"
local ordered = require "core.ordered"

local M = {}

local ARRAY = getmetatable(engine.array {})
local OBJECT = getmetatable(engine.object {})
local ORDER = getmetatable(engine.object({}, { "" }))[1]
-- Lists of which the encoder keeps what it has written: a copy of them may be changed.
local FIXED, GROWING = getmetatable(engine.fixed { 0 })[1], getmetatable(engine.growing {})[1]
local null = engine.null
local getmetatable, next, rawget, type = getmetatable, next, rawget, type

local DEPTH = 256 -- of tables in tables; a cycle ends here
local LEVELS = 1000 -- of what is copied
local PARTS = 1000000 -- of a canonical text; what is shared many times over ends here

--- What a table stands for: "array", "object", or "empty" for one that could be either.
---@param t table
---@return "array"|"object"|"empty"
function M.shape(t)
  local mark = getmetatable(t)
  if mark == ARRAY then return "array" end
  if mark == OBJECT or type(mark) == "table" and rawget(mark, 1) == ORDER then return "object" end
  if rawget(t, 1) ~= nil then return "array" end
  return next(t) == nil and "empty" or "object"
end

--- JSON's name for what a value is; "empty" as above, "nothing" for nil, Lua's name for what is not JSON.
---@param v any
---@return string
function M.kind(v)
  local kind = type(v)
  if kind == "table" then return M.shape(v) end
  if kind == "nil" then return "nothing" end
  return v == null and "null" or kind
end

local sorted = ordered.names

--- The keys of an object: first those it declares an order for, then the others by their bytes.
---@param t table
---@return string[]
function M.keys(t)
  local mark = getmetatable(t)
  if type(mark) ~= "table" or rawget(mark, 1) ~= ORDER then return sorted(t) end
  local list, seen = {}, {}
  for i = 2, rawlen(mark) do
    local key = rawget(mark, i)
    if rawget(t, key) ~= nil then list[#list + 1], seen[key] = key, true end
  end
  for _, key in ipairs(sorted(t)) do
    if not seen[key] then list[#list + 1] = key end
  end
  return list
end

--- A copy of the outermost table that keeps its mark.
---@param t table
---@return table
function M.copy(t)
  local out = {}
  for key, value in next, t do out[key] = value end
  local mark = getmetatable(t)
  if type(mark) ~= "table" then return out end
  local kind = rawget(mark, 1)
  return setmetatable(out, (kind == FIXED or kind == GROWING) and ARRAY or mark)
end

--- A copy all the way down; nil for what is nested deeper than any JSON that is read (JSON_DEPTH_MAX), as a circle is.
---@param v any
---@return any
function M.clone(v, depth)
  depth = depth or 0
  if type(v) ~= "table" then return v end
  if depth > LEVELS then return nil end
  local out = M.copy(v)
  for key, value in next, v do
    local copied = M.clone(value, depth + 1)
    if copied == nil and value ~= nil then return nil end
    rawset(out, key, copied)
  end
  return out
end

local function canonical(v, parts, depth)
  local kind = M.kind(v)
  if depth > DEPTH or #parts > PARTS then return false end
  if kind == "number" then
    local n = math.tointeger(v)
    parts[#parts + 1] = n and ("%d"):format(n) or ("%.17g"):format(v)
  elseif kind == "string" then
    parts[#parts + 1] = ("%d:"):format(#v)
    parts[#parts + 1] = v
  elseif kind == "array" then
    parts[#parts + 1] = "["
    for i = 1, rawlen(v) do
      if not canonical(rawget(v, i), parts, depth + 1) then return false end
      parts[#parts + 1] = ","
    end
    parts[#parts + 1] = "]"
  elseif kind == "object" or kind == "empty" then
    parts[#parts + 1] = "{"
    for _, key in ipairs(sorted(v)) do -- equal objects have them in any order
      canonical(key, parts, depth)
      if not canonical(rawget(v, key), parts, depth + 1) then return false end
    end
    parts[#parts + 1] = "}"
  else
    parts[#parts + 1] = kind == "boolean" and tostring(v) or kind
  end
  return true
end

--- A text that two values share exactly when JSON Schema calls them equal (1 and 1.0 are); nil for a cycle, and for too much.
---@param v any
---@return string|nil
---@return integer parts how much there was to look at
function M.canonical(v)
  local parts = {}
  return canonical(v, parts, 0) and table.concat(parts) or nil, #parts
end

-- ---- in words -------------------------------------------------------------------------------------------------------

local SHOWN = 60 -- bytes of a string

local function quoted(s)
  local cut = #s > SHOWN
  if cut then s = s:sub(1, SHOWN):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") end
  local text = engine.encode(s) or ("%q"):format(s):gsub("\\\n", "\\n")
  return cut and text:sub(1, -2) .. '..."' or text
end

local function fields(t)
  local names = M.keys(t)
  if #names == 0 then return "an empty object" end
  local shown = table.concat(names, ", ", 1, math.min(#names, 6))
  if #shown > 100 then shown = shown:sub(1, 100):gsub("[\xC0-\xFF][\x80-\xBF]*$", "") .. "..." end
  return ("an object { %s%s }"):format(shown, #names > 6 and ", ..." or "")
end

--- A value as a message shows it: scalars as JSON, tables by what is in them.
---@param v any
---@return string
function M.show(v)
  local kind = M.kind(v)
  if kind == "string" then return quoted(v) end
  if kind == "number" then
    if v ~= v or v - v ~= 0 then return v ~= v and "NaN" or "infinity" end
    return engine.encode(v)
  end
  if kind == "object" then return fields(v) end
  if kind == "array" then
    local n = rawlen(v)
    return n == 0 and "an empty array" or ("an array of %d item%s"):format(n, n == 1 and "" or "s")
  end
  if kind == "empty" then return "an empty object" end
  if kind == "null" or kind == "boolean" then return tostring(v == null and "null" or v) end
  return kind == "nothing" and kind or "a " .. kind
end

--- A place in a value: `lines[2].qty`. Counted from 1, as Lua does; names that are no identifiers stand in quotes; the middle
--- of a very long one is left out.
---@param keys (string|integer)[] from the outermost
---@return string
function M.path(keys)
  local out = {}
  for i, key in ipairs(keys) do
    if #keys > 20 and i > 10 and i < #keys - 4 then
      out[i] = i == 11 and "..." or ""
    elseif type(key) ~= "string" then
      out[i] = ("[%s]"):format(tostring(key))
    elseif #key <= SHOWN and key:find "^[%a_][%w_]*$" then
      out[i] = (i > 1 and "." or "") .. key
    else
      out[i] = "[" .. quoted(key) .. "]"
    end
  end
  return table.concat(out)
end

return M
