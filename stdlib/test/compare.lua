--- Deep comparison that says where two values differ.

local M = {}

--- One line for a value.
---@param value any
---@return string
---
--- Example: `print(compare.show { 1, 2 })`
function M.show(value, depth)
  depth = depth or 0
  if type(value) == "string" then
    local text = ("%q"):format(value):gsub("\\\n", "\\n")
    return #text > 300 and text:sub(1, 300) .. "..." or text
  end
  if type(value) ~= "table" or (getmetatable(value) or {}).__tostring then return tostring(value) end
  if depth >= 3 then return "{...}" end
  local keys, parts = {}, {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "number" or type(a) == "string") then return a < b end
    return tostring(a) < tostring(b)
  end)
  for i, key in ipairs(keys) do
    if i > 20 then
      parts[#parts + 1] = "..."
      break
    end
    local shown = M.show(value[key], depth + 1)
    parts[#parts + 1] = key == #parts + 1 and shown or ("%s = %s"):format(tostring(key), shown)
  end
  return "{ " .. table.concat(parts, ", ") .. " }"
end

local function differ(got, want, path, seen)
  if rawequal(got, want) or (got == want and type(got) == type(want) and math.type(got) == math.type(want)) then return nil end
  if type(got) ~= "table" or type(want) ~= "table" then
    if got ~= got and want ~= want then return nil end
    return ("%s: expected %s, got %s"):format(path, M.show(want), M.show(got))
  end
  if seen[got] == want then return nil end
  seen[got] = want
  local keys = {}
  for key in next, want do keys[key] = true end
  for key in next, got do keys[key] = true end
  local ordered = {}
  for key in next, keys do ordered[#ordered + 1] = key end
  table.sort(ordered, function(a, b) return tostring(a) < tostring(b) end)
  for _, key in ipairs(ordered) do
    local at = type(key) == "number" and ("%s[%s]"):format(path, key) or ("%s.%s"):format(path, tostring(key))
    local difference = differ(got[key], want[key], at, seen)
    if difference then return difference end
  end
end

--- Where two values differ first, in words; nil when they do not. 1 and 1.0 differ.
---@param got any
---@param want any
---@return string|nil
---
--- Example: `print(compare.difference({ 1 }, { 2 }))`
function M.difference(got, want)
  return differ(got, want, "value", {})
end

return M
