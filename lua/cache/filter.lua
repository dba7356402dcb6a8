--- Which keys a file may have: a Bloom filter, so that a miss asks no disk. It says "perhaps" of one in a hundred that is not
--- there, and never "no" of one that is. About three bytes a key. Pure.

local M = {}

---@class core.cache.filter
---@field count integer that were added
---@field room integer that it is made for
local Filter = {}
Filter.__index = Filter

--- Bits a key, and how many of them are set.
local BITS <const>, PROBES <const> = 10, 5

--- A filter for so many keys, at least.
---@param n integer
---@return core.cache.filter
---
--- Example: `local filter = filters.new(1000); filter:add(hash); filter:has(hash) --> true`
function M.new(n)
  local bits = 1 << 12
  while bits < n * BITS do bits = bits << 1 end
  local words = {}
  for i = 1, bits >> 6 do words[i] = 0 end
  return setmetatable({ words = words, mask = bits - 1, count = 0, room = bits // BITS }, Filter)
end

--- Add a key.
---@param hash integer 64 bits, as good as random
function Filter:add(hash)
  local words, mask, step = self.words, self.mask, hash >> 32 | 1
  for _ = 1, PROBES do
    local bit = hash & mask
    local word = (bit >> 6) + 1
    words[word] = words[word] | 1 << (bit & 63)
    hash = hash + step
  end
  self.count = self.count + 1
end

--- May a key have been added?
---@param hash integer
---@return boolean
function Filter:has(hash)
  local words, mask, step = self.words, self.mask, hash >> 32 | 1
  for _ = 1, PROBES do
    local bit = hash & mask
    if words[(bit >> 6) + 1] & 1 << (bit & 63) == 0 then return false end
    hash = hash + step
  end
  return true
end

return M
