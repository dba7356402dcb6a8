--- Distributions: what lies below a value (cdf), what lies above it (tail), and the value that has a given tail (quantile).

local special = require "stoke.stats.special"

local M = {}

local beta, gamma = special.beta, special.gamma

--- The x >= 0 at which a falling function has the value q: a bracket, then Chandrupatla's method (1997).
local function solve(f, q)
  local low, high = 0.0, 1.0
  while f(high) > q do
    low, high = high, high * 2
    if high == math.huge then return high end
  end
  local a, b = high, low
  local fa, fb = f(a) - q, f(b) - q
  local t, c, fc = 0.5
  for _ = 1, 200 do
    if fb == 0 then return b end
    local x = a + t * (b - a)
    local fx = f(x) - q
    if (fx < 0) == (fa < 0) then c, fc = a, fa else c, fc, b, fb = b, fb, a, fa end
    a, fa = x, fx
    local best = math.abs(fa) < math.abs(fb) and a or b
    local room = math.abs(b - a)
    if fa == 0 or room <= 4e-16 * math.abs(best) then return best end
    local xi, phi = (a - b) / (c - b), (fa - fb) / (fc - fb)
    if phi * phi < xi and (1 - phi) ^ 2 < 1 - xi then
      t = fa / (fb - fa) * fc / (fb - fc) + (c - a) / (b - a) * fa / (fc - fa) * fb / (fc - fb)
    else
      t = 0.5
    end
    local least = 2e-16 * math.abs(best) / room
    t = math.min(math.max(t, least), 1 - least)
  end
  return a
end

--- What lies above z in the standard normal distribution.
---@param z number
---@return number
---
--- Example: `distributions.normal_tail(1.96)  --> 0.02499...`
function M.normal_tail(z) return 0.5 * special.erfc(z / math.sqrt(2)) end

--- The z above which lies q of the standard normal distribution.
---@param q number from 0 to 1
---@return number
---
--- Example: `distributions.normal_quantile(0.025)  --> 1.9599...`
function M.normal_quantile(q)
  if q > 0.5 then return -M.normal_quantile(1 - q) end
  return solve(M.normal_tail, q)
end

--- What lies above t in Student's distribution.
---@param t number
---@param df number degrees of freedom, above 0
---@return number
---
--- Example: `distributions.t_tail(2, 10)  --> 0.0366...`
function M.t_tail(t, df)
  local s = t * t
  if s == math.huge then return t > 0 and 0.0 or 1.0 end
  local half = 0.5 * beta(df / 2, 0.5, df / (df + s), s / (df + s))
  return t >= 0 and half or 1 - half
end

--- The t above which lies q of Student's distribution.
---@param q number from 0 to 1
---@param df number
---@return number
---
--- Example: `distributions.t_quantile(0.025, 10)  --> 2.228...`
function M.t_quantile(q, df)
  if q > 0.5 then return -M.t_quantile(1 - q, df) end
  return solve(function(t) return M.t_tail(t, df) end, q)
end

--- What lies above x in the chi-squared distribution.
---@param x number at least 0
---@param df number
---@return number
---
--- Example: `distributions.chi_squared_tail(3.84, 1)  --> 0.05004...`
function M.chi_squared_tail(x, df)
  local _, upper = gamma(df / 2, x / 2)
  return upper
end

--- What lies above x in the F distribution.
---@param x number at least 0
---@param above number degrees of freedom of the numerator
---@param below number of the denominator
---@return number
---
--- Example: `distributions.f_tail(4, 2, 20)`
function M.f_tail(x, above, below)
  local all = below + above * x
  if all == math.huge then return 0.0 end
  return (beta(below / 2, above / 2, below / all, above * x / all))
end

--- The probabilities of at most k, and of at least k, successes in n trials.
---@param k integer
---@param n integer
---@param p number of one success
---@return number at_most
---@return number at_least
---
--- Example: `local at_most, at_least = distributions.binomial(7, 10, 0.5)`
function M.binomial(k, n, p)
  local at_most, at_least = 1.0, 1.0
  if k < n then
    local _, rest = beta(k + 1, n - k, p)
    at_most = rest
  end
  if k > 0 then at_least = beta(k, n - k + 1, p) end
  return at_most, at_least
end

--- The probability that k of `drawn` things are among the `marked` ones of all (hypergeometric), without loss for large counts.
---@param k integer
---@param all integer
---@param marked integer
---@param drawn integer
---@return number
---
--- Example: `distributions.hypergeometric(1, 10, 3, 4)  --> 0.5`
function M.hypergeometric(k, all, marked, drawn)
  if k < 0 or k > drawn or k > marked or drawn - k > all - marked then return 0.0 end
  local p = drawn / all -- any p gives the same; with this one no factor is small (Loader 2000)
  return special.binomial(k, marked, p) * special.binomial(drawn - k, all - marked, p) / special.binomial(drawn, all, p)
end

--- What lies above x in Kolmogorov's distribution, the limit of the two-sample test. Of two series each is exact at its end.
---@param x number at least 0
---@return number
---
--- Example: `distributions.kolmogorov_tail(1.36)  --> 0.0494...`
function M.kolmogorov_tail(x)
  if x <= 0 then return 1.0 end
  local sum = 0.0
  if x < 1 then -- the cdf by Jacobi's theta function
    for k = 1, 20 do sum = sum + math.exp(-(((2 * k - 1) * math.pi / x) ^ 2) / 8) end
    return 1 - math.sqrt(2 * math.pi) / x * sum
  end
  for k = 20, 1, -1 do sum = (k % 2 == 1 and 1 or -1) * math.exp(-2 * (k * x) ^ 2) + sum end
  return 2 * sum
end

return M
