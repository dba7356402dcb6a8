--- Tests of means: Student's t for one, two and paired samples, Welch's, the analysis of variance; and effect sizes.

local distributions = require "stoke.stats.distributions"
local errors = require "core.errors"
local samples = require "stoke.stats.sample"

local M = {}

local function pooled(what, x, y)
  local vx, vy = samples.variance(what, x), samples.variance(what, y)
  return ((#x - 1) * vx + (#y - 1) * vy) / (#x + #y - 2), vx, vy
end

local function no_spread(what)
  errors.argument("%s: all values of a sample are equal, so there is no spread to compare with; say what they are instead", what)
end

--- Cohen's d: the difference of the means in units of the pooled standard deviation.
---@param x number[]
---@param y number[]
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.cohen_d({ 5, 6, 7 }, { 3, 4, 5 })  --> 2.0`
function M.cohen_d(x, y)
  local what = "stats.cohen_d"
  samples.check(what, x, 2)
  samples.check(what, y, 2)
  if samples.constant(x) and samples.constant(y) then no_spread(what) end
  return samples.finite(what, (samples.mean(what, x) - samples.mean(what, y)) / math.sqrt((pooled(what, x, y))))
end

--- Hedges' g: Cohen's d, corrected for small samples by 1 - 3 / (4 df - 1) (Hedges 1981).
---@param x number[]
---@param y number[]
---@return number
---Raises `argument`.
---
--- Example: `local g = stoke.stats.hedges_g(with_advert, without)`
function M.hedges_g(x, y)
  local d = M.cohen_d(x, y)
  return d * (1 - 3 / (4 * (#x + #y - 2) - 1))
end

local function result(o, given)
  local df = given.df
  given.statistic = given.difference / given.error
  given.p = samples.p(function(t) return distributions.t_tail(t, df) end, given.statistic, o.alternative)
  given.low, given.high = samples.around(o, given.estimate, given.error, function(q) return distributions.t_quantile(q, df) end)
  given.alternative, given.level, given.statistic_name, given.effect_name = o.alternative, o.level, "t", "Cohen's d"
  given.difference, given.error = nil, nil
  return given
end

local function one_sample(what, x, mean, o)
  local n = samples.check(what, x, 2)
  samples.check(what, { mean })
  if samples.constant(x) then no_spread(what) end
  local estimate, sd = samples.mean(what, x), math.sqrt(samples.variance(what, x))
  return result(o, { method = "one-sample t-test", n = n, df = n - 1, estimate = estimate, difference = estimate - mean,
    error = sd / math.sqrt(n), effect = (estimate - mean) / sd, estimate_name = "mean" })
end

local function paired(what, x, y, o)
  local n = samples.check(what, x, 2)
  if samples.check(what, y, 2) ~= n then
    errors.argument("%s: paired samples have one value each of the same subjects; these have %d and %d", what, n, #y)
  end
  local differences = {}
  for i = 1, n do differences[i] = samples.finite(what, x[i] - y[i]) end
  if samples.constant(differences) then
    errors.argument("%s: all differences are %s, so there is no spread to compare with", what, differences[1])
  end
  local out = one_sample(what, differences, 0, o)
  out.method, out.estimate_name = "paired t-test", "mean difference"
  return out
end

local function two_samples(what, x, y, o)
  local nx, ny = samples.check(what, x, 2), samples.check(what, y, 2)
  if samples.constant(x) and samples.constant(y) then no_spread(what) end
  local difference = samples.mean(what, x) - samples.mean(what, y)
  local both, vx, vy = pooled(what, x, y)
  local error, df = math.sqrt(both * (1 / nx + 1 / ny)), nx + ny - 2
  if not o.equal then
    local ex, ey = vx / nx, vy / ny
    local share = ex / (ex + ey)
    error = math.sqrt(ex + ey)
    df = 1 / (share ^ 2 / (nx - 1) + (1 - share) ^ 2 / (ny - 1)) -- Welch 1947, Satterthwaite 1946
  end
  return result(o, { method = o.equal and "Student's t-test" or "Welch's t-test", n = nx + ny, df = df, estimate = difference,
    difference = difference, error = error, effect = difference / math.sqrt(both), estimate_name = "difference of means" })
end

--- Do means differ? Welch's t-test of two samples; Student's, which takes their variances as equal, with `equal`; the paired test;
--- or, with a number in place of the second sample, the test of one mean against it.
---@param x number[]
---@param y number[]|number
---@param options? { paired?: boolean, equal?: boolean, alternative?: "two-sided"|"less"|"greater", level?: number }
---  alternative "greater": x is greater; level: of the interval (0.95)
---@return stoke.stats.test result
---Raises `argument`, also where no sample has any spread.
---
--- Example: `local r = stoke.stats.t_test(with_advert, without)  print(stoke.stats.report(r))`
function M.t_test(x, y, options)
  local what = "stats.t_test"
  local o = samples.options(what, options, { paired = "boolean", equal = "boolean" })
  if y == nil then errors.argument("%s: the second argument is another sample, or the number to compare the mean with", what) end
  if type(y) == "number" then
    if o.paired or o.equal then errors.argument("%s: paired and equal are for two samples", what) end
    return one_sample(what, x, y, o)
  end
  if o.paired and o.equal then errors.argument("%s: equal is for samples that are not paired", what) end
  return (o.paired and paired or two_samples)(what, x, y, o)
end

--- Groups of samples, checked.
---@param what string
---@param groups any
---@param least integer values in all
---@return integer n
---Raises `argument`.
---
--- Example: `local n = means.check_groups("stats.anova", groups, 3)`
function M.check_groups(what, groups, least)
  errors.list(what .. ": the samples", groups)
  if #groups < 2 then errors.argument("%s: two samples at least are needed, got %d", what, #groups) end
  local n = 0
  for i, group in ipairs(groups) do n = n + samples.check(("%s: sample %d"):format(what, i), group) end
  if n < least then errors.argument("%s: %d values at least are needed in all, got %d", what, least, n) end
  return n
end

--- Do the means of several samples differ? The one-way analysis of variance.
---@param groups number[][]
---@return stoke.stats.test result with df (between the samples) and df_within; the effect is eta squared
---Raises `argument`, also where no sample has any spread.
---
--- Example: `local r = stoke.stats.anova { advert_a, advert_b, advert_c }`
function M.anova(groups)
  local what = "stats.anova"
  local n = M.check_groups(what, groups, 3)
  if n <= #groups then errors.argument("%s: no sample has two values, so there is no spread to compare with", what) end
  local all, spread = {}, false
  for _, group in ipairs(groups) do
    all, spread = samples.joined(all, group), spread or not samples.constant(group)
  end
  if not spread then no_spread(what) end
  local mean, between, within = samples.mean(what, all), {}, {}
  for i, group in ipairs(groups) do
    local own = samples.mean(what, group)
    between[i] = #group * (own - mean) ^ 2
    within[i] = #group > 1 and samples.variance(what, group, own) * (#group - 1) or 0
  end
  local ssb, ssw = samples.sum(between), samples.sum(within)
  local df, rest = #groups - 1, n - #groups
  local f = samples.finite(what, ssb / df / (ssw / rest))
  return { method = "one-way analysis of variance", statistic_name = "F", statistic = f, df = df, df_within = rest, n = n,
    p = distributions.f_tail(f, df, rest), effect = ssb / (ssb + ssw), effect_name = "eta squared" }
end

return M
