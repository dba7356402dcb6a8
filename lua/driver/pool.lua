--- What the pool is at: effect llm.pool { waiting = most } -> see stoke.pool. It asks no server, waits for nothing, and changes
--- nothing; what it tells is recorded, since a run may go by it.

local effect = require "core.effect"
local pool = require "core.gate.pool"

effect.define("llm.pool", { taped = true, class = "pure", quiet = true, in_body = true,
  run = function(q) return pool.state(q.waiting) end })
