--- Randomness, all of it from one seed (--seed N), in a stream for each purpose: how often a call is retried changes neither the
--- ids of agent runs nor the numbers that a script draws.

local rand = require "host.rand"

local M = {}

local function any_integer(generator) return generator:int(math.mininteger, math.maxinteger) end

local seed, streams = any_integer(rand.new()), {}

--- The seed given, if any.
---@type integer|nil
M.seeded = nil

--- Start all streams again from a seed.
---@param given integer
function M.seed(given)
  seed, streams, M.seeded = given, {}, given
end

--- FNV-1a, 64 bits (Fowler, Noll, Vo 1991): the name of a purpose as a number.
local function number_of(name)
  local hash = -3750763034362895579 -- 14695981039346656037
  for i = 1, #name do hash = (hash ~ name:byte(i)) * 1099511628211 end
  return hash
end

--- The generator of a purpose: g:float(), g:int(low, high), g:bytes(n). To be asked for again after a new seed.
---@param purpose string "retry"
function M.stream(purpose)
  local generator = streams[purpose]
  if not generator then
    generator = rand.new(seed ~ number_of(purpose))
    streams[purpose] = generator
  end
  return generator
end

return M
