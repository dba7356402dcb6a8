--- Statistics of samples: what a study of agents, people or answers needs, in plain Lua, with nothing read or sent.
---
---     local r = stoke.stats.t_test({ 7, 8, 6, 9 }, { 5, 6, 6, 4 })
---     print(stoke.stats.report(r))    --> Welch's t-test: t = 2.8, df = 5.53, p = 0.034; difference of means 2.25 (95 %: ...
---
--- A sample is a list of finite numbers. What is missing is left out first: a hole, a NaN or a null is an error that says where.
--- Tests are two-sided unless `alternative` says otherwise. Results are plain data, equal to SciPy's to nine digits.
---
---   describe        a sample in nine numbers; mean, sd, median, quantile ...
---   interval        of a mean; proportion: of a share; bootstrap: of anything
---   t_test          do two means differ? anova: several?
---   mann_whitney    do two samples differ in rank? kruskal: several? ks: in anything?
---   chi_squared     do counts differ? fisher, binomial, proportions
---   correlation     do two values go together?
---   cohen_d         how large is a difference? hedges_g, cliff_delta
---   adjust          probabilities of several tests
---   report          a result on one line
---   table           rows with named columns

local counts = require "stoke.stats.counts"
local errors = require "core.errors"
local intervals = require "stoke.stats.intervals"
local means = require "stoke.stats.means"
local ranks = require "stoke.stats.ranks"
local relations = require "stoke.stats.relations"
local samples = require "stoke.stats.sample"
local tables = require "stoke.stats.table"

---@class stoke.stats.interval
---@field method string
---@field estimate number
---@field estimate_name? string "mean"
---@field low number
---@field high number
---@field level number 0.95
---@field n integer
---@field error? number the standard error

---@class stoke.stats.test what a test says; what does not apply is left out
---@field method string "Welch's t-test"
---@field statistic? number
---@field statistic_name? string "t"
---@field p number the probability of a statistic at least as far out, if there is no difference
---@field df? number degrees of freedom
---@field n integer values in all
---@field alternative? "two-sided"|"less"|"greater"
---@field exact? boolean is p exact, or that of a limit?
---@field estimate? number
---@field estimate_name? string "difference of means"
---@field low? number of the interval of the estimate; nil where it is open
---@field high? number
---@field level? number
---@field effect? number
---@field effect_name? string "Cohen's d"

local M = {}

-- Each is documented where it is written.
M.t_test, M.anova, M.cohen_d, M.hedges_g = means.t_test, means.anova, means.cohen_d, means.hedges_g
M.mann_whitney, M.kruskal, M.ks, M.cliff_delta = ranks.mann_whitney, ranks.kruskal, ranks.ks, ranks.cliff_delta
M.chi_squared, M.fisher, M.binomial = counts.chi_squared, counts.fisher, counts.binomial
M.proportion, M.proportions = counts.proportion, counts.proportions
M.interval, M.bootstrap = intervals.interval, intervals.bootstrap
M.correlation, M.adjust = relations.correlation, relations.adjust
M.table = tables.new

--- The mean.
---@param x number[]
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.mean { 1, 2, 6 }  --> 3.0`
function M.mean(x)
  samples.check("stats.mean", x)
  return samples.mean("stats.mean", x)
end

--- The variance of the population that a sample is of (divided by n - 1).
---@param x number[] two values at least
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.variance { 1, 2, 6 }  --> 7.0`
function M.variance(x)
  samples.check("stats.variance", x, 2)
  return samples.variance("stats.variance", x)
end

--- The standard deviation of the population that a sample is of.
---@param x number[] two values at least
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.sd { 1, 2, 6 }  --> 2.6457...`
function M.sd(x)
  samples.check("stats.sd", x, 2)
  return math.sqrt(samples.variance("stats.sd", x))
end

--- The median: of an even number of values the mean of the two in the middle.
---@param x number[]
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.median { 1, 9, 2, 4 }  --> 3.0`
function M.median(x)
  samples.check("stats.median", x)
  return samples.quantile(samples.sorted(x), 0.5)
end

--- A quantile, interpolated between the values beside it (type 7 of Hyndman and Fan 1996, the default of R and NumPy).
---@param x number[]
---@param q number|number[] from 0 to 1: 0.25 is the first quartile; or several
---@return number|number[]
---Raises `argument`.
---
--- Example: `local low, high = table.unpack(stoke.stats.quantile(x, { 0.05, 0.95 }))`
function M.quantile(x, q)
  local what = "stats.quantile"
  samples.check(what, x)
  local list = type(q) == "table" and q or { q }
  samples.check(what .. ": q", list)
  local sorted, out = samples.sorted(x), {}
  for i, one in ipairs(list) do
    if one < 0 or one > 1 then errors.argument("%s: q must be from 0 to 1, got %s", what, tostring(one)) end
    out[i] = samples.quantile(sorted, one)
  end
  return type(q) == "table" and out or out[1]
end

---@class stoke.stats.description
---@field n integer
---@field mean number
---@field sd? number nil for one value
---@field error? number standard error of the mean
---@field min number
---@field q1 number
---@field median number
---@field q3 number
---@field max number

--- A sample in nine numbers.
---@param x number[]
---@return stoke.stats.description
---Raises `argument`.
---
--- Example: `stoke.pp(stoke.stats.describe(ratings))`
function M.describe(x)
  samples.check("stats.describe", x)
  return samples.describe("stats.describe", x)
end

-- ---- in words ------------------------------------------------------------------------------------------------------------------

local function short(value) return ("%.3g"):format(value) end

local function probability(p) return p < 0.001 and "p < 0.001" or ("p = %.3f"):format(p) end

local function bounds(r)
  if not (r.low or r.high) then return "" end
  local range = r.low and r.high and short(r.low) .. " to " .. short(r.high) or r.low and "at least " .. short(r.low)
    or "at most " .. short(r.high)
  return (" (%s %%: %s)"):format(short(r.level * 100), range)
end

--- A result on one line: the test, the statistic, the probability, the estimate with its interval, the effect.
---@param r stoke.stats.test|stoke.stats.interval
---@return string
---Raises `argument`.
---
--- Example: `print(stoke.stats.report(stoke.stats.proportion(7, 20)))  --> Wilson's interval: proportion 0.35 (95 %: 0.181 ...`
function M.report(r)
  if type(r) ~= "table" or type(r.method) ~= "string" then
    errors.argument("stats.report: a result of stoke.stats is expected, got %s", errors.describe(r))
  end
  local first, rest = {}, {}
  if r.statistic then first[1] = ("%s = %s"):format(r.statistic_name, short(r.statistic)) end
  if r.df then
    local df = math.type(r.df) == "integer" and tostring(r.df) or short(r.df)
    first[#first + 1] = "df = " .. (r.df_within and ("%s and %d"):format(df, r.df_within) or df)
  end
  if r.p then first[#first + 1] = probability(r.p) end
  if first[1] then rest[1] = table.concat(first, ", ") end
  if r.estimate then rest[#rest + 1] = ("%s %s%s"):format(r.estimate_name or "estimate", short(r.estimate), bounds(r)) end
  if r.effect and r.effect_name ~= r.estimate_name then rest[#rest + 1] = ("%s %s"):format(r.effect_name, short(r.effect)) end
  return ("%s: %s"):format(r.method, table.concat(rest, "; "))
end

return M
