--- Reproducible random numbers: the same seed (rand.seed, or --seed N) gives the same numbers on every machine.
--- Not for secrets.

local effect = require "core.effect"
local errors = require "core.errors"
local driver = require "core.driver.rand"
local time = require "stoke.time"

local M = {}

local function perform(name, q) return errors.check(effect.perform(name, q)) end

local function check_integer(value, what)
  local n = math.tointeger(value)
  if not n or type(value) ~= "number" then
    errors.argument("%s must be a whole number, got %s", what, tostring(value))
  end
  return n
end

local function check_list(list, what)
  if type(list) ~= "table" then errors.argument("%s: a list expected, got %s", what, type(list)) end
  return list
end

--- A random float x with 0 <= x < 1.
---@return number
---
--- Example: `if rand.float() < 0.1 then print "one in ten" end`
function M.float() return perform("rand.float") end

--- A random integer from `low` to `high`, both included.
---@param low integer
---@param high integer
---@return integer
---Raises `argument` for a value that is not an integer, and when low > high.
---
--- Example: `local die = rand.int(1, 6)`
function M.int(low, high)
  low, high = check_integer(low, "rand.int: low"), check_integer(high, "rand.int: high")
  if low > high then errors.argument("rand.int: there is no integer between %d and %d", low, high) end
  return perform("rand.int", { low = low, high = high })
end

--- A random element of a list.
---@generic T
---@param list T[] not empty
---@return T
---Raises `argument` for an empty list.
---
--- Example: `local name = rand.pick { "Ada", "Grace", "Edsger" }`
function M.pick(list)
  if #check_list(list, "rand.pick") == 0 then errors.argument "rand.pick: the list is empty" end
  return list[M.int(1, #list)]
end

--- A copy of a list in random order.
---@generic T
---@param list T[]
---@return T[]
---
--- Example: `for _, card in ipairs(rand.shuffle(deck)) do print(card) end`
function M.shuffle(list)
  local order = perform("rand.permutation", { count = #check_list(list, "rand.shuffle") })
  local out = {}
  for i, place in ipairs(order) do out[i] = list[place] end
  return out
end

--- Restart the shared generator from a seed.
---@param seed integer
---
--- Example: `rand.seed(42)`
function M.seed(seed) perform("rand.seed", { seed = check_integer(seed, "rand.seed: the seed") }) end

--- A string of random bytes.
---@param count integer at most 16 MB
---@return string
---
--- Example: `local id = rand.bytes(8)`
function M.bytes(count)
  count = check_integer(count, "rand.bytes: the count")
  if count < 0 or count > 16 << 20 then errors.argument("rand.bytes: the count must be 0 to 16777216, got %d", count) end
  return perform("rand.bytes", { count = count })
end

--- A UUID of version 7 (RFC 9562): the time in milliseconds, then random bits, so that later ones sort after earlier ones.
---@return string
---
--- Example: `local id = rand.uuid() --> "0190c1b5-6a3e-7c7f-9b1a-2f4d5e6a7b8c"`
function M.uuid()
  local ms = math.floor(time.now() * 1000)
  local a, b = (">I2I8"):unpack(M.bytes(10))
  a = a & 0x0fff | 0x7000
  b = b & 0x3fffffffffffffff | math.mininteger
  return ("%08x-%04x-%04x-%04x-%012x"):format(ms >> 16 & 0xffffffff, ms & 0xffff, a, b >> 48 & 0xffff, b & 0xffffffffffff)
end

--- A new generator, independent of the shared one: g:float(), g:int(low, high), g:bytes(n), g:permutation(n), g:seed(n).
---@param seed integer
---@return table
---
--- Example: `local g = rand.new(7); print(g:int(1, 6))`
function M.new(seed) return driver.new(check_integer(seed, "rand.new: the seed")) end

return M
