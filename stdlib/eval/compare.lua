--- Two sets of trials of the same cases: which is better, and may that be chance?
---
--- Cases are paired: only a case that turned says something. Of those that turned, as many are expected each way if there is no
--- difference, so the exact binomial test tells; with one attempt a case that is McNemar's test (McNemar 1947). Of several attempts
--- the shares that passed are compared, case by case: attempts at one case depend on each other, and are no sample.

local json = require "core.json"
local stats = require "stoke.stats"

local M = {}

--- Below this a difference is said to be one.
M.LEVEL = 0.05

--- More cases than these have the interval of a mean in place of the bootstrap's, which is the same by then, and costs less.
local DRAWN <const> = 500

---@class stoke.eval.difference
---@field cases integer that both have
---@field better integer
---@field worse integer
---@field p number
---@field adjusted? number p, where several variants are compared: Holm's, so that many of them make no false alarm
---@field method string
---@field before number the share that passed
---@field after number
---@field low number of the difference of shares: its interval, over the cases
---@field high number
---@field level number
---@field changed integer cases of the same id and another content, which are left out
---@field fallen string[] ids of the cases that passed in all attempts and do not any more, the first 20

--- By case: the share that passed, and what the case was. Of an error nothing is known: it is left out.
local function by_case(trials)
  local out, order = {}, {}
  for _, trial in ipairs(trials) do
    local one = out[trial.case]
    if not one and trial.status ~= "error" then
      one = { passed = 0, n = 0, content = trial.content }
      out[trial.case], order[#order + 1] = one, trial.case
    end
    if trial.status ~= "error" then
      one.n, one.passed = one.n + 1, one.passed + (trial.status == "pass" and 1 or 0)
    end
  end
  return out, order
end

--- What differs between two sets of trials.
---@param before stoke.eval.trial[]
---@param after stoke.eval.trial[]
---@return stoke.eval.difference|nil nil: they have no case in common
---
--- Example: `local d = compare.of(last, now)  if d and d.p < 0.05 and d.worse > d.better then print "worse" end`
function M.of(before, after)
  local old, order = by_case(before)
  local new = by_case(after)
  local d = { cases = 0, better = 0, worse = 0, changed = 0, fallen = json.array {} }
  local differences, sums, single = {}, { 0, 0 }, true
  for _, id in ipairs(order) do
    local a, b = old[id], new[id]
    if b and a.content ~= b.content then
      d.changed = d.changed + 1
    elseif b then
      local x, y = a.passed / a.n, b.passed / b.n
      d.cases, sums[1], sums[2] = d.cases + 1, sums[1] + x, sums[2] + y
      differences[d.cases], single = y - x, single and a.n == 1 and b.n == 1
      if y > x then d.better = d.better + 1 elseif y < x then d.worse = d.worse + 1 end
      if x == 1 and y < 1 and #d.fallen < 20 then d.fallen[#d.fallen + 1] = id end
    end
  end
  if d.cases == 0 then return nil end
  local turned = d.better + d.worse
  d.p = turned > 0 and stats.binomial(d.better, turned).p or 1.0
  d.method = single and "McNemar's exact test" or "sign test of the cases"
  d.before, d.after, d.level = sums[1] / d.cases, sums[2] / d.cases, 0.95
  local reach = turned > 0 and d.cases > 1
    and (d.cases > DRAWN and stats.interval(differences) or stats.bootstrap(differences, nil, { resamples = 2000, seed = 1 }))
  d.low, d.high = reach and reach.low or d.after - d.before, reach and reach.high or d.after - d.before
  return d
end

--- Is it one that chance does not explain?
---@param d stoke.eval.difference
---@return "better"|"worse"|nil
function M.verdict(d)
  if (d.adjusted or d.p) >= M.LEVEL or d.better == d.worse then return nil end
  return d.better > d.worse and "better" or "worse"
end

return M
