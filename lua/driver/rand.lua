--- Effects of the scripts' generator: rand.float, rand.int, rand.bytes, rand.permutation, rand.seed.
---
--- It is the stream "script" of the runtime's randomness (lua/random.lua), so one seed (--seed N) fixes it; where that begins
--- again, as for each test, so does this.

local effect = require "core.effect"
local host = require "host.rand"
local random = require "core.random"

local M = {}

local function get() return random.stream "script" end

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
