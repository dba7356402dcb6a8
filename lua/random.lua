--- The runtime's own randomness: one seeded stream, so that a run can be repeated (--seed N).

local rand = require "host.rand"

local M = {}

local generator = rand.new()

--- The seed given, if any.
M.seeded = nil

--- How often it began again: what is seeded from it begins again with it.
M.generation = 0

--- Start again from a seed.
---@param seed integer
function M.seed(seed)
  generator = rand.new(seed)
  M.seeded, M.generation = seed, M.generation + 1
end

--- A float in [0, 1).
function M.float() return generator:float() end

--- An integer in [low, high].
function M.int(low, high) return generator:int(low, high) end

return M
