--- Random numbers of a world's steps: a stream for each member and tick, which follows from the seed, the tick and the id alone. So
--- it is the same in whatever order members are stepped, and whoever else draws.
---
--- SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014), whose state is one integer: a stream
--- costs nothing until it is drawn from.

local errors = require "core.errors"

local M = {}

local GOLDEN <const> = 0x9E3779B97F4A7C15 -- 2^64 / golden ratio

--- The output function of SplitMix64.
local function mix(z)
  z = (z ~ (z >> 30)) * 0xBF58476D1CE4E5B9
  z = (z ~ (z >> 27)) * 0x94D049BB133111EB
  return z ~ (z >> 31)
end

--- FNV-1a, 64 bits.
local function digest(text)
  local hash = -3750763034362895579 -- 14695981039346656037
  for i = 1, #text do hash = (hash ~ text:byte(i)) * 1099511628211 end
  return hash
end

---@class stoke.world.random
---@field private state integer
---@field private key integer of its seed and its name
---@field private tick integer|nil that it is seeded for
local Random = {}
Random.__index = Random
Random.__name = "stoke.world.random"

--- A stream of a name.
---@param seed integer
---@param name string
---@return stoke.world.random
---
--- Example: `local stream = random.new(7, "ada")`
function M.new(seed, name)
  local key = mix(seed * GOLDEN ~ digest(name))
  return setmetatable({ key = key, state = key, tick = nil }, Random)
end

--- Begin the stream of a tick, unless it is at that already.
---@private
---@param tick integer
---@return stoke.world.random
---
--- Example: `stream:at(17)`
function Random:at(tick)
  if self.tick ~= tick then self.tick, self.state = tick, mix(self.key + tick * GOLDEN) end
  return self
end

local function draw(self)
  local state = self.state + GOLDEN
  self.state = state
  return mix(state)
end

--- A float x with 0 <= x < 1.
---@return number
---
--- Example: `if here:random(member):float() < 0.1 then member.mood = "cheerful" end`
function Random:float() return (draw(self) >> 11) * 0x1p-53 end

--- An integer from `low` to `high`, both included.
---@param low integer
---@param high integer
---@return integer
---Raises `argument` for what is no integer, and when low > high.
---
--- Example: `local die = here:random(member):int(1, 6)`
function Random:int(low, high)
  local first, last = math.tointeger(low), math.tointeger(high)
  if not first or not last or first > last then
    errors.argument("random:int: two integers expected, the lower first, got %s and %s", tostring(low), tostring(high))
  end
  local count = last - first + 1
  if count <= 0 then -- more than 2^63 of them: try until one fits
    local x
    repeat x = draw(self) until x >= first and x <= last
    return x
  end
  local x, rest
  repeat -- the last, incomplete part of the range is drawn again, so that all are equally probable
    x = draw(self) >> 1
    rest = x % count
  until x - rest + (count - 1) >= 0
  return first + rest
end

--- A random element of a list.
---@generic T
---@param list T[] not empty
---@return T
---Raises `argument` for an empty list.
---
--- Example: `local word = here:random(member):pick { "hello", "hi" }`
function Random:pick(list)
  if type(list) ~= "table" or #list == 0 then
    errors.argument("random:pick: a list that is not empty expected, got %s", errors.describe(list))
  end
  return list[self:int(1, #list)]
end

--- A copy of a list in random order (Fisher-Yates).
---@generic T
---@param list T[]
---@return T[]
---
--- Example: `for _, dish in ipairs(here:random(member):shuffle(menu)) do print(dish) end`
function Random:shuffle(list)
  if type(list) ~= "table" then errors.argument("random:shuffle: a list expected, got %s", errors.describe(list)) end
  local out = table.move(list, 1, #list, 1, {})
  for i = #out, 2, -1 do
    local k = self:int(1, i)
    out[i], out[k] = out[k], out[i]
  end
  return out
end

return M
