--- Effects of the scripts' generator: rand.float, rand.int, rand.bytes, rand.permutation, rand.seed.
---
--- It is the stream "script" of the runtime's randomness (lua/random.lua), so the seed (--seed N) determines it, and a new
--- seed, as at the start of each test, restarts it.

local effect = require "core.effect"
local frames = require "core.frame"
local host = require "host.rand"
local random = require "core.random"

local M = {}

--- The generator: in a journalled run one per frame, so that draws of other frames do not shift it.
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

--- An independent generator: its seed alone determines its numbers, so it is no effect.
M.new = host.new

return M
