--- Intervals of confidence: of a mean by Student's distribution, of anything by the bootstrap.

local distributions = require "stoke.stats.distributions"
local errors = require "core.errors"
local rand = require "stoke.rand"
local samples = require "stoke.stats.sample"

local M = {}

--- Values that a bootstrap may draw in all; it is computed without waiting.
local MOST <const> = 50000000

--- The mean with its interval of confidence (Student's t).
---@param x number[] two values at least
---@param options? { level?: number } 0.95
---@return stoke.stats.interval
---Raises `argument`.
---
--- Example: `local r = stoke.stats.interval(ratings)  print(r.estimate, r.low, r.high)`
function M.interval(x, options)
  local what = "stats.interval"
  local o = { level = samples.level(what, errors.options(options, { level = "number" }, what).level), alternative = "two-sided" }
  local n = samples.check(what, x, 2)
  local mean = samples.mean(what, x)
  local error = math.sqrt(samples.variance(what, x, mean) / n)
  local low, high = samples.around(o, mean, error, function(q) return distributions.t_quantile(q, n - 1) end)
  return { method = "Student's interval", estimate = mean, low = low, high = high, level = o.level, n = n, error = error,
    estimate_name = "mean" }
end

local function call(what, f, x)
  local value = f(x)
  if type(value) ~= "number" or value ~= value then
    errors.argument("%s: the function must return a number for each sample, got %s", what, errors.describe(value))
  end
  return value
end

--- Statistics of samples that were drawn with replacement, in order.
local function draw(what, x, f, o)
  local generator, n, out, drawn = rand.new(o.seed), #x, {}, {}
  for i = 1, o.resamples do
    for j = 1, n do drawn[j] = x[generator:int(1, n)] end
    out[i] = call(what, f, drawn)
  end
  table.sort(out)
  return out
end

--- How the level is moved where the distribution is skewed: bias-corrected and accelerated (Efron 1987).
local function accelerated(what, x, f, estimate, values, q)
  local below = 0
  for _, value in ipairs(values) do
    below = below + (value < estimate and 1 or value == estimate and 0.5 or 0)
  end
  local bias = -distributions.normal_quantile(below / #values)
  local without, rest = {}, table.move(x, 2, #x, 1, {})
  for i = 1, #x do -- rest is x without its value i
    without[i] = call(what, f, rest)
    if i < #x then rest[i] = x[i] end
  end
  local mean = samples.mean(what, without)
  local cubes = samples.sum(without, function(v) return (mean - v) ^ 3 end)
  local squares = samples.sum(without, function(v) return (mean - v) ^ 2 end)
  local acceleration = squares > 0 and cubes / (6 * squares ^ 1.5) or 0
  local function moved(z) return 1 - distributions.normal_tail(bias + (bias + z) / (1 - acceleration * (bias + z))) end
  local z = distributions.normal_quantile(q)
  return moved(-z), moved(z)
end

local OPTIONS = { level = "number", resamples = "number", seed = "number", method = "string" }
local METHODS <const> = { "bca", "basic", "percentile" }

local function options_of(what, x, given)
  local o = errors.options(given, OPTIONS, what)
  o = { level = samples.level(what, o.level), resamples = o.resamples or 9999, seed = o.seed or 1,
    method = samples.word(what, "the method", o.method, METHODS) }
  for _, name in ipairs { "resamples", "seed" } do
    o[name] = math.tointeger(o[name]) or errors.argument("%s: %s must be a whole number, got %s", what, name, tostring(o[name]))
  end
  if o.resamples < 100 or o.resamples > MOST // #x then
    errors.argument("%s: resamples of %d values must be from 100 to %d, got %d", what, #x, MOST // #x, o.resamples)
  end
  return o
end

--- Any statistic of a sample with an interval of confidence by the bootstrap: the statistic of many samples that are drawn from
--- this one, with replacement. The same seed gives the same interval.
---@param x number[] two values at least
---@param f? fun(x: number[]): number the statistic (the mean); it must not keep or change the list
---@param options? { level?: number, resamples?: integer, seed?: integer, method?: "percentile"|"basic"|"bca" } level: 0.95;
---  resamples: 9999; seed: 1; method: "bca" corrects for bias and skew, where the sample has any spread
---@return stoke.stats.interval with `error`, the standard error
---Raises `argument`, and what `f` raises.
---
--- Example: `local r = stoke.stats.bootstrap(incomes, stoke.stats.median, { seed = 7 })`
function M.bootstrap(x, f, options)
  local what = "stats.bootstrap"
  local n = samples.check(what, x, 2)
  if f ~= nil then errors.check_callable(f, what) end
  local o = options_of(what, x, options)
  f = f or function(drawn) return samples.sum(drawn) / #drawn end
  local estimate, values = call(what, f, table.move(x, 1, n, 1, {})), draw(what, x, f, o)
  local below = (1 - o.level) / 2
  local above = 1 - below
  if o.method == "bca" and values[1] < values[#values] and values[1] < estimate and estimate < values[#values] then
    below, above = accelerated(what, x, f, estimate, values, below)
  end
  local low, high = samples.quantile(values, below), samples.quantile(values, above)
  if o.method == "basic" then low, high = 2 * estimate - high, 2 * estimate - low end
  return { method = ("bootstrap (%s)"):format(o.method), estimate = estimate, low = low, high = high, level = o.level, n = n,
    error = math.sqrt(samples.variance(what, values)), resamples = o.resamples, seed = o.seed }
end

return M
