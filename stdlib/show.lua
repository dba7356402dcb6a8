--- Values as deterministic text: keys sorted, strings quoted.

local texts = require "core.text"

local M = {}

--- A text as Lua would write it, on one line.
---@param text string
---@return string
---
--- Example: `print(show.quoted "a line\n")`
function M.quoted(text)
  return (("%q"):format(text):gsub("\\\n", "\\n"):gsub("\r", "\\r"))
end

--- Keys in the order people expect: numbers by size, then texts, then the rest.
---@param value table
---@return any[]
---
--- Example: `for _, key in ipairs(show.sorted_keys(t)) do print(key, t[key]) end`
function M.sorted_keys(value)
  local keys = {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    local x, y = type(a), type(b)
    if x == y and (x == "number" or x == "string") then return a < b end
    if x ~= y then return x < y end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function opaque(value)
  return type(value) ~= "table" or (getmetatable(value) or {}).__tostring ~= nil
end

--- One line for a value.
---@param value any
---@return string
---
--- Example: `print(show.line { 1, 2 })`
function M.line(value, depth)
  depth = depth or 0
  if type(value) == "string" then
    local text = M.quoted(value)
    return #text > 300 and text:sub(1, 300) .. "..." or text
  end
  if opaque(value) then return tostring(value) end
  if depth >= 3 then return next(value) == nil and "{}" or "{...}" end
  local parts = {}
  for i, key in ipairs(M.sorted_keys(value)) do
    if i > 20 then
      parts[#parts + 1] = "..."
      break
    end
    local shown = M.line(value[key], depth + 1)
    parts[#parts + 1] = key == #parts + 1 and shown or ("%s = %s"):format(tostring(key), shown)
  end
  return #parts > 0 and "{ " .. table.concat(parts, ", ") .. " }" or "{}"
end

local function pretty(value, indent, open, out)
  if type(value) == "string" then
    out[#out + 1] = M.quoted(value)
  elseif opaque(value) then
    out[#out + 1] = tostring(value)
  elseif open[value] then
    out[#out + 1] = "<cycle>"
  elseif next(value) == nil then
    out[#out + 1] = "{}"
  else
    open[value] = true
    out[#out + 1] = "{\n"
    local inner, position = indent .. "  ", 0
    for _, key in ipairs(M.sorted_keys(value)) do
      position = position + 1
      out[#out + 1] = inner
      if key ~= position then
        local plain = type(key) == "string" and key:find "^[%a_][%w_]*$"
        out[#out + 1] = plain and key .. " = " or ("[%s] = "):format(type(key) == "string" and M.quoted(key) or tostring(key))
      end
      pretty(value[key], inner, open, out)
      out[#out + 1] = ",\n"
    end
    out[#out + 1] = indent .. "}"
    open[value] = nil
  end
end

--- A value as text of many lines, the same each time: keys sorted, one to a line.
---@param value any
---@return string
---
--- Example: `t.golden("order", show.pretty(order))`
function M.pretty(value)
  local out = {}
  pretty(value, "", {}, out)
  return table.concat(out)
end

--- A word as a shell takes it.
---@param text string
---@return string
---
--- Example: `print(show.word "it's")`
function M.word(text) return texts.word(text) end

return M
