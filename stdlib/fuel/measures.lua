--- What is measured of an outcome, for several rows.

local M = {}

--- The value that so large a part of a list is not above.
---@param list number[]
---@param part number 0 to 1
---@return number
---
--- Example: `local p95 = measures.quantile(seconds, 0.95)`
function M.quantile(list, part)
  local sorted = table.move(list, 1, #list, 1, {})
  table.sort(sorted)
  return sorted[math.max(1, math.ceil(part * #sorted))] or 0
end

--- A number of things at a size.
---@param n number at size 1
---@param size number
---@param least? integer
---@return integer
---
--- Example: `local jobs = measures.whole(200, 0.1, 20)`
function M.whole(n, size, least) return math.max(least or 1, math.floor(n * size + 0.5)) end

--- Seconds of the jobs of a class that ended.
---@param outcome stoke.fuel.outcome
---@param class string
---@return number[]
---
--- Example: `local list = measures.seconds_of(outcome, "interactive")`
function M.seconds_of(outcome, class)
  local list = {}
  for _, job in ipairs(outcome.jobs) do
    if job.class == class and job.seconds then list[#list + 1] = job.seconds end
  end
  return list
end

--- Mean and makespan, and the prompts' tokens.
---@param o stoke.fuel.outcome
---@return table<string, number>
---
--- Example: `local m = measures.mean(outcome)`
function M.mean(o)
  return { mean = o.mean, makespan = o.makespan, failed = o.failed, loads = o.counts.loads, prompt = o.counts.prompt_tokens,
    computed = o.counts.prompt_tokens - o.counts.cached_tokens }
end

local INSTRUCTIONS = 30 -- tokens that each prompt begins with, and its roles

--- Seconds that one call takes in a slot, with all other slots busy and nothing remembered.
---@param call stoke.fuel.call
---@param slots integer
---@param speed? { tps: number, prefill: number } of its model; 90 and 2,000 when not given
---@return number
---
--- Example: `local seconds = measures.alone(job.calls[1], 4)`
function M.alone(call, slots, speed)
  speed = speed or { tps = 90, prefill = 2000 }
  return (call.prompt + INSTRUCTIONS) / speed.prefill + call.turns[1].answer / speed.tps * (1 + 0.02 * (slots - 1))
end

return M
