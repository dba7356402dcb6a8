--- Embeddings by feature hashing: words and runs of three letters are hashed to places of a vector,
--- which is then given length 1. Texts that share words lie near each other; nothing more is
--- claimed.

local M = {}

local function hash(s)
  local h = 0xcbf29ce484222325
  for i = 1, #s do h = (h ~ s:byte(i)) * 0x100000001b3 end
  h = (h ~ (h >> 33)) * 0xff51afd7ed558ccd
  return h ~ (h >> 29)
end

-- Every feature also touches one of the first places, so that a vector cut short still tells texts
-- apart.
local NESTED = { 256, 64, 16 }

local function add(v, dim, feature, weight)
  local h = hash(feature)
  local w = h < 0 and -weight or weight
  local i = (h & 0x7fffffffffffffff) % dim + 1
  v[i] = v[i] + w
  for k = 1, #NESTED do
    if NESTED[k] < dim then
      i = (h >> (8 * k) & 0xffffffff) % NESTED[k] + 1
      v[i] = v[i] + w
    end
  end
end

--- Scales a vector to length 1 (a vector of zeros stays).
---@param v number[]
---@return number[]
function M.normalise(v)
  local sum = 0
  for i = 1, #v do sum = sum + v[i] * v[i] end
  if sum == 0 then return v end
  local k = 1 / math.sqrt(sum)
  for i = 1, #v do v[i] = v[i] * k end
  return v
end

--- The embedding of a text.
---@param text string
---@param dim integer
---@return number[] of length 1
function M.vector(text, dim)
  local v = {}
  for i = 1, dim do v[i] = 0.0 end
  local any = false
  for word in text:lower():gmatch "[%w\128-\255]+" do
    any = true
    add(v, dim, "w:" .. word, #word > 3 and 2 or 1)
    local padded = "^" .. word .. "$"
    for i = 1, #padded - 2 do add(v, dim, "c:" .. padded:sub(i, i + 2), 0.4) end
  end
  if not any then add(v, dim, "t:" .. text, 1) end
  return M.normalise(v)
end

--- Cut to the first n dimensions and normalised again.
function M.shorten(v, n)
  if n >= #v then return v end
  return M.normalise(table.move(v, 1, n, 1, {}))
end

return M
