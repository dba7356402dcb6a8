--- Where two requests differ: the path of the first field, and the byte of a text.

local json = require "core.json"

local M = {}

local AROUND <const> = 30 -- bytes of a text shown on each side of the place

local function before(a, b)
  if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
  return type(a) < type(b) or type(a) == type(b) and tostring(a) < tostring(b)
end

local function keys_of(a, b)
  local list, seen = {}, {}
  for _, t in ipairs { a, b } do
    for key in next, t do
      if not seen[key] then
        list[#list + 1], seen[key] = key, true
      end
    end
  end
  table.sort(list, before)
  return list
end

local function below(path, key)
  if type(key) ~= "string" then return ("%s[%s]"):format(path, tostring(key)) end
  return path == "" and key or path .. "." .. key
end

--- The first field, in the order of keys, in which two values differ; nil when they do not.
---@param a any
---@param b any
---@return string|nil path "" for the values themselves
---@return any a
---@return any b
local function find(a, b, path)
  if type(a) ~= "table" or type(b) ~= "table" then
    if a == b and math.type(a) == math.type(b) then return nil end
    return path, a, b
  end
  for _, key in ipairs(keys_of(a, b)) do
    local at, x, y = find(a[key], b[key], below(path, key))
    if at then return at, x, y end
  end
end

--- The first byte in which two texts differ; nil when they are the same.
---@param a string
---@param b string
---@return integer|nil
local function first_byte(a, b)
  if a == b then return nil end
  local low, high = 0, math.min(#a, #b) -- a and b agree in `low` bytes
  while low < high do
    local middle = (low + high + 1) // 2
    if a:sub(1, middle) == b:sub(1, middle) then low = middle else high = middle - 1 end
  end
  return low + 1
end

M.first = first_byte

local function around(text, at)
  local from, to = math.max(1, at - AROUND), math.min(#text, at + AROUND)
  return ("%s%q%s"):format(from > 1 and "..." or "", text:sub(from, to), to < #text and "..." or ""):gsub("\\\n", "\\n")
end

--- A value in one line.
---@param value any
---@return string
function M.shown(value)
  if value == nil then return "nothing" end
  local text = json.encode(value) or tostring(value)
  return #text > 200 and text:sub(1, 200) .. "..." or text
end

--- Whether two values are the same.
---@param a any
---@param b any
---@return boolean
function M.same(a, b) return find(a, b, "") == nil end

local NAMES = { "recorded", "asked" }

--- What differs, in words.
---@param recorded any
---@param asked any
---@param names? { [1]: string, [2]: string } what the two are called: "recorded" and "asked"
---@return string words
---@return string|nil path
---@return integer|nil byte
function M.difference(recorded, asked, names)
  local path, x, y = find(recorded, asked, "")
  if not path then return "in what cannot be shown: a value that is kept as a digest" end
  local where = path == "" and (names and "it" or "the request") or path
  names = names or NAMES
  local width = math.max(#names[1], #names[2]) + 1
  local first, second = names[1] .. ":" .. (" "):rep(width - #names[1]), names[2] .. ":" .. (" "):rep(width - #names[2])
  if type(x) == "string" and type(y) == "string" then
    local at = first_byte(x, y)
    return ("%s differs at byte %d\n  %s%s\n  %s%s"):format(where, at, first, around(x, at), second, around(y, at)), path, at
  end
  return ("%s differs\n  %s%s\n  %s%s"):format(where, first, M.shown(x), second, M.shown(y)), path
end

return M
