--- Effects of the scripts' generator: rand.float, rand.int, rand.bytes, rand.permutation, rand.seed.
---
--- It is the stream "script" of the runtime's randomness (lua/random.lua), so one seed (--seed N) fixes it; where that begins
--- again, as for each test, so does this.

local effect = require "core.effect"
local frames = require "core.frame"
local host = require "host.rand"
local random = require "core.random"

local M = {}

--- The generator: in a journalled run that of the frame, so that no draw of another one shifts it.
local function get(call)
  local frame = call and call.context.frame
  return frame and frames.generator(frame) or random.stream "script"
end

local function define(name, run) effect.define(name, { run = run, quiet = true, class = "pure", derived = true }) end

define("rand.float", function(_, call) return get(call):float() end)
define("rand.int", function(q, call) return get(call):int(q.low, q.high) end)
define("rand.bytes", function(q, call) return get(call):bytes(q.count) end)
define("rand.permutation", function(q, call) return get(call):permutation(q.count) end)
define("rand.seed", function(q, call)
  get(call):seed(q.seed)
  return true
end)

--- A generator of its own: the same seed gives the same numbers everywhere, so it needs no door.
M.new = host.new

return M
