--- The special functions that distributions are made of: the logarithm of gamma, the incomplete gamma and beta functions, erf.
--- Their relative error is below 1e-10 for arguments up to a million (of lgamma near 1 and 2, where it is 0, the absolute one).
---
--- Both incomplete functions come as their lower and upper part together. The smaller of the two is computed and the other one is
--- the rest, so a tail of 1e-200 has all its digits.

local M = {}

local HALF_LOG_2PI <const> = 0.91893853320467274178
local TWO_PI <const> = 6.2831853071795864769

--- Terms of a series or of a continued fraction, at most. They need about the square root of the arguments.
local MOST <const> = 1000000
local EPSILON <const> = 2.220446049250313e-16 -- the spacing of floats at 1
local TINY <const> = 1e-300

--- What Stirling's formula leaves out: lgamma(n) - ((n - 1/2) log n - n + log(2 pi) / 2), for n >= 15 (Abramowitz and Stegun
--- 6.1.41).
local function stirling_rest(n)
  local s = n * n
  return (1 / 12 - (1 / 360 - (1 / 1260 - (1 / 1680 - 1 / 1188 / s) / s) / s) / s) / n
end

--- The logarithm of the gamma function: Stirling's formula, after gamma(x) = gamma(x + 1) / x for small x.
---@param x number above 0
---@return number
---
--- Example: `special.lgamma(5)  --> log(24)`
function M.lgamma(x)
  local product = 1.0
  while x < 15 do product, x = product * x, x + 1 end
  return (x - 0.5) * math.log(x) - x + HALF_LOG_2PI + stirling_rest(x) - math.log(product)
end

local function error_of_stirling(n)
  if n >= 15 then return stirling_rest(n) end
  return M.lgamma(n) - ((n - 0.5) * math.log(n) - n + HALF_LOG_2PI)
end

--- x log(x / m) + m - x without cancellation where x is near m. With error_of_stirling it gives densities of the binomial and the
--- Poisson distribution to full precision (Loader, "Fast and Accurate Computation of Binomial Probabilities", 2000).
local function deviance(x, m)
  if math.abs(x - m) >= 0.1 * (x + m) then return x * math.log(x / m) + m - x end
  local v = (x - m) / (x + m)
  local sum, term = (x - m) * v, 2 * x * v
  for j = 1, 1000 do
    term = term * v * v
    local more = sum + term / (2 * j + 1)
    if more == sum then break end
    sum = more
  end
  return sum
end

--- x^a e^-x / gamma(a)
local function gamma_front(a, x)
  return math.sqrt(a / TWO_PI) * math.exp(-error_of_stirling(a) - deviance(a, x))
end

--- x^a y^b / B(a, b), where y = 1 - x
local function beta_front(a, b, x, y)
  local n = a + b
  local exponent = error_of_stirling(n) - error_of_stirling(a) - error_of_stirling(b) - deviance(a, n * x) - deviance(b, n * y)
  return math.sqrt(a * (b / n) / TWO_PI) * math.exp(exponent)
end

--- The value of a continued fraction b0 + a1 / (b1 + a2 / (b2 + ...)), evaluated by Lentz's method (1976).
local function continued(b0, step)
  local f = b0 == 0 and TINY or b0
  local c, d = f, 0.0
  for i = 1, MOST do
    local a, b = step(i)
    d = b + a * d
    c = b + a / c
    if d == 0 then d = TINY end
    if c == 0 then c = TINY end
    d = 1 / d
    local change = c * d
    f = f * change
    if math.abs(change - 1) <= EPSILON then return f end
  end
  return f
end

--- The regularized incomplete gamma functions P(a, x) and Q(a, x) = 1 - P.
---@param a number above 0
---@param x number at least 0
---@return number lower
---@return number upper
---
--- Example: `local below, above = special.gamma(0.5, 2)`
function M.gamma(a, x)
  if x <= 0 then return 0.0, 1.0 end
  if x == math.huge then return 1.0, 0.0 end
  local front = gamma_front(a, x)
  if x < a + 1 then -- the series (A&S 6.5.29)
    local term = 1 / a
    local sum = term
    for n = 1, MOST do
      term = term * x / (a + n)
      sum = sum + term
      if term <= sum * EPSILON / 4 then break end
    end
    local lower = front * sum
    return lower, 1 - lower
  end
  local upper = front / continued(x + 1 - a, function(i) return -i * (i - a), x + 2 * i + 1 - a end) -- A&S 6.5.31, its even part
  return 1 - upper, upper
end

--- The lower part as a continued fraction that uses x and y, so that no digits are lost where x is near 1 (Didonato and Morris,
--- "Significant digit computation of the incomplete beta function ratios", 1992, formula 9).
local function beta_fraction(a, b, x, y)
  local function denominator(m)
    local second = m > 0 and m * (b - m) * x / (a + 2 * m - 1) or 0 -- 0 by 0 where a = 1
    return m + second + (a + m) * (a * y - b * x + 1 + m * (1 + y)) / (a + 2 * m + 1)
  end
  return beta_front(a, b, x, y) / continued(denominator(0), function(m)
    local at = (a + 2 * m - 1) / x
    return (a + m - 1) * (a + b + m - 1) * m * (b - m) / (at * at), denominator(m)
  end)
end

--- The regularized incomplete beta function I_x(a, b) and its complement I_y(b, a).
---@param a number above 0
---@param b number above 0
---@param x number from 0 to 1
---@param y? number 1 - x, where that is known more exactly than x tells
---@return number lower
---@return number upper
---
--- Example: `local below, above = special.beta(2, 3, 0.4)`
function M.beta(a, b, x, y)
  y = y or 1 - x
  if x <= 0 then return 0.0, 1.0 end
  if y <= 0 then return 1.0, 0.0 end
  if x <= a / (a + b) then
    local lower = beta_fraction(a, b, x, y)
    return lower, 1 - lower
  end
  local upper = beta_fraction(b, a, y, x)
  return 1 - upper, upper
end

--- The error function.
---@param x number
---@return number
---
--- Example: `special.erf(1)  --> 0.8427...`
function M.erf(x)
  local lower = M.gamma(0.5, x * x)
  return x < 0 and -lower or lower
end

--- 1 - erf(x), with all digits where x is large.
---@param x number
---@return number
---
--- Example: `special.erfc(10)  --> 2.088...e-45`
function M.erfc(x)
  local lower, upper = M.gamma(0.5, x * x)
  return x < 0 and 1 + lower or upper
end

--- The probability of k successes in n trials.
---@param k integer
---@param n integer
---@param p number of one success
---@return number
---
--- Example: `special.binomial(2, 4, 0.5)  --> 0.375`
function M.binomial(k, n, p)
  local q = 1 - p
  if k < 0 or k > n then return 0.0 end
  if p == 0 then return k == 0 and 1.0 or 0.0 end
  if q == 0 then return k == n and 1.0 or 0.0 end
  if k == 0 then return math.exp(p < 0.1 and -deviance(n, n * q) - n * p or n * math.log(q)) end
  if k == n then return math.exp(q < 0.1 and -deviance(n, n * p) - n * q or n * math.log(p)) end
  local m = n - k
  local exponent = error_of_stirling(n) - error_of_stirling(k) - error_of_stirling(m) - deviance(k, n * p) - deviance(m, n * q)
  return math.sqrt(n / (TWO_PI * k * m)) * math.exp(exponent)
end

return M
