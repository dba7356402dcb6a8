--- Vectors as they are kept: single precision, packed, 4 bytes a number, little-endian. Model servers compute in single precision
--- and print these numbers in decimal, so nothing is lost; what is read back is the number that was computed.

local vectors = require "core.vectors"

local M = {}

local type = type

--- Bytes of a number.
M.WIDTH = 4
local WIDTH <const> = M.WIDTH

--- Numbers of a vector, at most (core.vectors).
local LONGEST <const> = 16384

--- A vector, packed.
---@param row any
---@return string|nil packed nil: it is no list of finite numbers
---
--- Example: `local packed = rows.pack { 0.5, -0.25 }   --> 8 bytes`
function M.pack(row)
  if type(row) ~= "table" or #row == 0 or #row > LONGEST then return nil end
  local ok, packed = pcall(vectors.pack, row)
  return ok and vectors.finite(packed) and packed or nil
end

--- A vector again.
---@param packed string
---@param first? integer the byte it begins at
---@param dimensions? integer of it, where others stand beside it
---@return number[]
---
--- Example: `rows.unpack(rows.pack { 0.5, -0.25 })   --> { 0.5, -0.25 }`
function M.unpack(packed, first, dimensions)
  if first then packed = packed:sub(first, first + dimensions * WIDTH - 1) end
  return vectors.unpack(packed)
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
