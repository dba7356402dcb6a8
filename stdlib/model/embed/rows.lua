--- Vectors as they are kept: single precision, packed, 4 bytes a number, little-endian. Model servers compute in single precision
--- and print these numbers in decimal, so nothing is lost; what is read back is the number that was computed.

local M = {}

local pack, unpack, type = string.pack, string.unpack, type

--- Bytes of a number.
M.WIDTH = 4
local WIDTH <const> = M.WIDTH

--- The largest number of single precision.
local MOST <const> = 0x1.fffffep127

--- dimensions -> format
local formats = setmetatable({}, { __index = function(list, n)
  local format = "<" .. ("f"):rep(n)
  list[n] = format
  return format
end })

--- A vector, packed.
---@param row any
---@return string|nil packed nil: it is no list of finite numbers
---
--- Example: `local packed = rows.pack { 0.5, -0.25 }   --> 8 bytes`
function M.pack(row)
  if type(row) ~= "table" or #row == 0 then return nil end
  for i = 1, #row do
    local v = row[i]
    if type(v) ~= "number" or not (v <= MOST and v >= -MOST) then return nil end
  end
  return pack(formats[#row], table.unpack(row))
end

--- A vector again.
---@param packed string
---@param first? integer the byte it begins at
---@param dimensions? integer
---@return number[]
---
--- Example: `rows.unpack(rows.pack { 0.5, -0.25 })   --> { 0.5, -0.25 }`
function M.unpack(packed, first, dimensions)
  local n = dimensions or #packed // WIDTH
  local row = { unpack(formats[n], packed, first or 1) }
  row[n + 1] = nil
  return row
end

--- Give a vector length 1; one of zeros stays as it is.
---@param row number[] changed in place
---@return number[] row
---
--- Example: `rows.normalise { 3, 4 }   --> { 0.6, 0.8 }`
function M.normalise(row)
  local sum = 0.0
  for i = 1, #row do sum = sum + row[i] * row[i] end
  if sum == 0 then return row end
  local factor = 1 / math.sqrt(sum)
  for i = 1, #row do row[i] = row[i] * factor end
  return row
end

--- The mean of vectors with weights, of length 1.
---@param list number[][] of the same length
---@param weights number[]
---@return number[]
---
--- Example: `rows.mean({ { 1, 0 }, { 0, 1 } }, { 1, 1 })   --> { 0.707..., 0.707... }`
function M.mean(list, weights)
  local out = {}
  for i = 1, #list[1] do out[i] = 0.0 end
  for k = 1, #list do
    local row, weight = list[k], weights[k]
    for i = 1, #out do out[i] = out[i] + row[i] * weight end
  end
  return M.normalise(out)
end

return M
