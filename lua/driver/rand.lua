--- Effects of the scripts' generator: rand.float, rand.int, rand.bytes, rand.permutation, rand.seed.
---
--- It is seeded from the runtime's own generator when first asked, so that one seed (--seed N) fixes both; where that begins
--- again, as for each test, so does this.

local effect = require "core.effect"
local host = require "host.rand"
local random = require "core.random"

local M = {}

local generator, generation

local function get()
  if generation ~= random.generation then
    generator, generation = host.new(random.int(math.mininteger, math.maxinteger)), random.generation
  end
  return generator
end

local function define(name, run) effect.define(name, { run = run, quiet = true }) end

define("rand.float", function() return get():float() end)
define("rand.int", function(q) return get():int(q.low, q.high) end)
define("rand.bytes", function(q) return get():bytes(q.count) end)
define("rand.permutation", function(q) return get():permutation(q.count) end)
define("rand.seed", function(q)
  get():seed(q.seed)
  return true
end)

--- A generator of its own: the same seed gives the same numbers everywhere, so it needs no door.
M.new = host.new

return M
