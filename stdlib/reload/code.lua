--- The code of a function without the lines it stands in: a function that only moved is the same.
---
--- string.dump without debug information still holds the lines where each function begins and ends; they are cut out by reading
--- the format of Lua 5.4. Where it is not what we know, the dump is taken as it is.

local M = {}

local HEADER = 4 + 1 + 1 + 6 + 3 + 8 + 8 + 1 -- signature, version, format, data, sizes, two numbers, count of upvalues

--- An integer of the format: seven bits a byte, the last one marked.
local function integer(code, at)
  local value = 0
  while true do
    local byte = code:byte(at)
    at = at + 1
    value = value << 7 | byte & 0x7f
    if byte & 0x80 ~= 0 then return value, at end
  end
end

local function skip_string(code, at)
  local size
  size, at = integer(code, at)
  return size == 0 and at or at + size - 1
end

local FIXED = { [0x00] = 0, [0x01] = 0, [0x11] = 0, [0x03] = 8, [0x13] = 8 } -- nil, false, true, integer, float

local function skip_constants(code, at)
  local count
  count, at = integer(code, at)
  for _ = 1, count do
    local fixed = FIXED[code:byte(at)]
    at = fixed and at + 1 + fixed or skip_string(code, at + 1)
  end
  return at
end

--- Keeps what one function has, but its lines; returns where it ends.
local function one(code, at, parts)
  local from = at
  local count
  at = skip_string(code, at)
  parts[#parts + 1] = code:sub(from, at - 1)
  at = select(2, integer(code, at)) -- its first line
  at = select(2, integer(code, at)) -- its last line
  from = at
  count, at = integer(code, at + 3)
  at = skip_constants(code, at + 4 * count)
  count, at = integer(code, at)
  at = at + 3 * count
  count, at = integer(code, at)
  parts[#parts + 1] = code:sub(from, at - 1)
  for _ = 1, count do at = one(code, at, parts) end
  for _ = 1, 4 do
    count, at = integer(code, at) -- no debug information: four zeros
    assert(count == 0)
  end
  return at
end

--- The code, as bytes that can be compared.
---@param f function
---@return string|nil nil for a function of C
---
--- Example: `assert(code.of(f) == code.of(g))`
function M.of(f)
  local ok, dumped = pcall(string.dump, f, true)
  if not ok then return nil end
  local parts = {}
  local read, at = pcall(one, dumped, HEADER + 1, parts)
  if not read or at ~= #dumped + 1 then return dumped end
  return table.concat(parts)
end

return M
