--- The effect of embedding texts: llm.embed { protocol, path, model, body, long, partial }. The request is data; the job that comes
--- beside it looks into the cache, and asks for what is missing by effects of its own (llm.chat). So a durable run records the
--- vectors that it got, and its replay neither asks nor looks into a cache; a budget counts what was asked, and a vector from the
--- cache costs nothing.

local effect = require "core.effect"
local spans = require "core.gate.span"

local M = {}

--- Does the work of a call; other fields are its own.
---@class stoke.embed.job
---@field run fun(job: stoke.embed.job): table|nil, stoke.error?

--- What it asks for is below its span, where somebody traces.
local function run(_, call, job)
  local seen = call and call.span
  if not seen then return job:run() end
  spans.inside(seen)
  local _ <close> = setmetatable({}, { __close = function() spans.outside(seen) end })
  return job:run()
end

effect.define("llm.embed", { class = "idempotent", repeats = true, metered = true, aside = { "endpoint", "timeouts" }, run = run })

--- Embed texts.
---@param q table pure data
---@param job stoke.embed.job
---@return table|nil outcome plain data
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local outcome, err = embed.perform(q, job)`
function M.perform(q, job) return effect.perform("llm.embed", q, job) end

return M
