--- Quantiles of the last values of something that changes slowly: a ring of few values, sorted when it is asked. What is old falls
--- out by itself, so a server that got faster is believed after half a ring.

local M = {}

---@class stoke.pool.quantiles
---@field n integer values in the ring
---@field at integer place of the newest
---@field room integer
---@field sorted number[]|nil nil: to be made anew
local Quantiles = {}
Quantiles.__index = Quantiles

local ceil, floor, insert, move, sort = math.ceil, math.floor, table.insert, table.move, table.sort

--- Values of a ring when nobody says.
M.ROOM = 32

--- A ring; `facts` are values that an earlier one told, oldest first.
---@param room? integer
---@param facts? number[]
---@return stoke.pool.quantiles
---
--- Example: `local lengths = quantiles.new(); lengths:add(120); lengths:get(0.5) --> 120`
function M.new(room, facts)
  local q = setmetatable({ n = 0, at = 0, room = room or M.ROOM, sorted = nil }, Quantiles)
  for _, value in ipairs(facts or {}) do
    if math.type(value) and value == value then q:add(value) end
  end
  return q
end

--- The first place in a sorted list whose value is not below one.
local function place_of(sorted, n, value)
  local low, high = 1, n + 1
  while low < high do
    local middle = (low + high) // 2
    if sorted[middle] < value then low = middle + 1 else high = middle end
  end
  return low
end

--- Note a value. Where the values are sorted already it takes the place of the oldest there, too.
---@param value number
function Quantiles:add(value)
  local at, n, sorted = self.at % self.room + 1, self.n, self.sorted
  local oldest = self[at]
  self[at], self.at = value, at
  if n < self.room then
    self.n = n + 1
    if sorted then insert(sorted, place_of(sorted, n, value), value) end
  elseif sorted then
    local from, to = place_of(sorted, n, oldest), place_of(sorted, n, value)
    if to > from then
      to = to - 1
      for i = from, to - 1 do sorted[i] = sorted[i + 1] end
    else
      for i = from, to + 1, -1 do sorted[i] = sorted[i - 1] end
    end
    sorted[to] = value
  end
end

--- The value that a part of all lies at or below.
---@param part number 0 to 1
---@return number|nil value nil: nothing was noted
function Quantiles:get(part)
  local n = self.n
  if n == 0 then return nil end
  local sorted = self.sorted
  if not sorted then
    sorted = move(self, 1, n, 1, {})
    sort(sorted)
    self.sorted = sorted
  end
  if part == 0.5 and n % 2 == 0 then return (sorted[n // 2] + sorted[n // 2 + 1]) / 2 end
  local place = ceil(part * n)
  return sorted[place < 1 and 1 or place > n and n or place]
end

--- The mean of what is left of a value that has reached `so_far` already.
---@param so_far number
---@return number|nil rest nil: no value was ever so large
function Quantiles:rest(so_far)
  local count, sum = 0, 0
  for i = 1, self.n do
    if self[i] > so_far then count, sum = count + 1, sum + self[i] - so_far end
  end
  return count > 0 and sum / count or nil
end

--- What M.new takes: the values, oldest first, with four digits.
---@return number[]
function Quantiles:facts()
  local out, n = {}, self.n
  for i = 1, n do
    local value = self[(self.at - n + i - 1) % self.room + 1]
    local unit = value == 0 and 1 or 10.0 ^ (floor(math.log(math.abs(value), 10)) - 3)
    out[i] = tonumber(("%.4g"):format(floor(value / unit + 0.5) * unit))
  end
  return out
end

return M
