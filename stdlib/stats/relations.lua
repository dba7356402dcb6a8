--- Correlation, and the adjustment of several tests' probabilities.

local distributions = require "stoke.stats.distributions"
local errors = require "core.errors"
local samples = require "stoke.stats.sample"

local M = {}

local function pearson(what, x, y)
  local mx, my = samples.mean(what, x), samples.mean(what, y)
  local sx = math.sqrt(samples.sum(x, function(v) return (v - mx) ^ 2 end))
  local sy = math.sqrt(samples.sum(y, function(v) return (v - my) ^ 2 end))
  samples.finite(what, sx + sy)
  local r = samples.sum(x, function(v, i) return (v - mx) / sx * ((y[i] - my) / sy) end)
  return math.max(-1, math.min(1, r))
end

local METHODS <const> = { "pearson", "spearman" }
local ADJUSTMENTS <const> = { "holm", "bh" }

local function check(what, x, y, o)
  local n = samples.check(what, x, 3)
  if samples.check(what, y, 3) ~= n then
    errors.argument("%s: each value of one sample belongs to one of the other; there are %d and %d", what, n, #y)
  end
  for i, sample in ipairs { x, y } do
    if samples.constant(sample) then
      errors.argument("%s: all values of sample %d are equal, so nothing goes with them", what, i)
    end
  end
  o.method = samples.word(what, "the method", o.method, METHODS)
  return n
end

--- Do two values of the same subjects go together? Pearson's correlation, or Spearman's, of their ranks.
---@param x number[]
---@param y number[]
---@param options? { method?: "pearson"|"spearman", alternative?: "two-sided"|"less"|"greater", level?: number }
---@return stoke.stats.test result the estimate is the correlation, Pearson's with Fisher's interval (n > 3)
---Raises `argument`, also where one of them does not vary.
---
--- Example: `local r = stoke.stats.correlation(ages, ratings, { method = "spearman" })`
function M.correlation(x, y, options)
  local what = "stats.correlation"
  local o = samples.options(what, options, { method = "string" })
  local n = check(what, x, y, o)
  local ranked = o.method == "spearman"
  local r = ranked and pearson(what, (samples.ranks(x)), (samples.ranks(y))) or pearson(what, x, y)
  local df = n - 2
  local t = r * math.sqrt(df / ((1 - r) * (1 + r)))
  local out = { method = ranked and "Spearman's correlation" or "Pearson's correlation", statistic_name = "t", statistic = t,
    df = df, n = n, alternative = o.alternative,
    p = samples.p(function(v) return distributions.t_tail(v, df) end, t, o.alternative),
    estimate = r, estimate_name = "correlation", effect = r, effect_name = "correlation" }
  if math.abs(r) == 1 then out.statistic = nil end -- infinite
  if ranked or n <= 3 then return out end
  out.level = o.level
  if math.abs(r) == 1 then
    out.low, out.high = o.alternative ~= "less" and r or nil, o.alternative ~= "greater" and r or nil
    return out
  end
  local z = 0.5 * math.log((1 + r) / (1 - r)) -- Fisher 1915
  local low, high = samples.around(o, z, 1 / math.sqrt(n - 3), distributions.normal_quantile)
  local function back(v) return v and 1 - 2 / (math.exp(2 * v) + 1) end
  out.low, out.high = back(low), back(high)
  return out
end

--- The probabilities of several tests, adjusted: who asks twenty questions finds one answer below 0.05 by chance.
---@param list number[] probabilities
---@param method? "holm"|"bh" "holm": that any of those below a limit is by chance (Holm 1979); "bh": the share of them that is
---  (Benjamini and Hochberg 1995)
---@return number[] adjusted in the same order
---Raises `argument`.
---
--- Example: `stoke.stats.adjust { 0.01, 0.04, 0.03 }  --> { 0.03, 0.06, 0.06 }`
function M.adjust(list, method)
  local what = "stats.adjust"
  local n = samples.check(what, list)
  for i, p in ipairs(list) do
    if p < 0 or p > 1 then errors.argument("%s: a probability is from 0 to 1, value %d is %s", what, i, tostring(p)) end
  end
  method = samples.word(what, "the method", method, ADJUSTMENTS)
  local order, out = {}, {}
  for i = 1, n do order[i] = i end
  table.sort(order, function(a, b) return list[a] < list[b] end)
  local so_far = method == "holm" and 0.0 or 1.0
  for step = 1, n do
    if method == "holm" then
      so_far = math.max(so_far, math.min((n - step + 1) * list[order[step]], 1))
      out[order[step]] = so_far
    else
      local place = n - step + 1
      so_far = math.min(so_far, n / place * list[order[place]])
      out[order[place]] = so_far
    end
  end
  return out
end

return M
