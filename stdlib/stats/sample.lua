--- Samples: lists of numbers, checked, and what is computed from one. Sums are compensated (Neumaier 1974), and the variance is
--- that of the distances from the mean, so a large offset of all values costs no digits.

local errors = require "core.errors"
local json = require "core.json"

local M = {}

--- Fail with `argument` unless it is a list of at least so many finite numbers.
---@param what string for the message
---@param x any
---@param least? integer (1)
---@return integer n
---Raises `argument`.
---
--- Example: `local n = samples.check("stats.sd", x, 2)`
function M.check(what, x, least)
  errors.list(what .. ": the sample", x)
  for i, value in ipairs(x) do
    if type(value) ~= "number" then
      errors.argument("%s: value %d is no number but %s; leave out what is missing first", what, i,
        value == json.null and "null" or errors.describe(value))
    elseif value ~= value or value == math.huge or value == -math.huge then
      local shown = value ~= value and "NaN" or "infinite"
      errors.argument("%s: value %d is %s; leave it out, or mend where it comes from", what, i, shown)
    end
  end
  if #x == 0 then errors.argument("%s: the sample is empty", what) end
  if least and #x < least then errors.argument("%s: %d values at least are needed, the sample has %d", what, least, #x) end
  return #x
end

--- Fail with `argument` where a result is no finite number: the values were too large for floats.
---@param what string
---@param value number
---@return number value
---Raises `argument`.
---
--- Example: `return samples.finite("stats.mean", sum / n)`
function M.finite(what, value)
  if value ~= value or value == math.huge or value == -math.huge then
    errors.argument("%s: the values are too large to compute with; divide them all by the same number first", what)
  end
  return value
end

--- A compensated sum of f(value), or of the values.
---@param x number[]
---@param f? fun(value: number, i: integer): number
---@return number
---
--- Example: `samples.sum { 1e100, 1, -1e100 }  --> 1.0`
function M.sum(x, f)
  local sum, rest = 0.0, 0.0
  for i = 1, #x do
    local value = f and f(x[i], i) or x[i]
    local new = sum + value
    rest = rest + (math.abs(sum) >= math.abs(value) and (sum - new) + value or (value - new) + sum)
    sum = new
  end
  return sum + rest
end

--- The mean of a checked sample.
---@param what string
---@param x number[]
---@return number
---
--- Example: `samples.mean("stats.mean", x)`
function M.mean(what, x) return M.finite(what, M.sum(x) / #x) end

--- The variance (divided by n - 1) of a checked sample of at least two values.
---@param what string
---@param x number[]
---@param mean? number
---@return number
---
--- Example: `samples.variance("stats.sd", x)`
function M.variance(what, x, mean)
  mean = mean or M.mean(what, x)
  local off = M.sum(x, function(value) return value - mean end) -- what rounding the mean left
  local squares = M.sum(x, function(value) return (value - mean) ^ 2 end)
  return M.finite(what, math.max(squares - off * off / #x, 0) / (#x - 1))
end

--- Are all values equal?
---@param x number[]
---@return boolean
---
--- Example: `if samples.constant(x) then return nil end`
function M.constant(x)
  for i = 2, #x do
    if x[i] ~= x[1] then return false end
  end
  return true
end

--- A sorted copy.
---@param x number[]
---@return number[]
---
--- Example: `local sorted = samples.sorted(x)`
function M.sorted(x)
  local out = table.move(x, 1, #x, 1, {})
  table.sort(out)
  return out
end

--- The quantile of a sorted sample (type 7 of Hyndman and Fan 1996).
---@param sorted number[]
---@param q number from 0 to 1
---@return number
---
--- Example: `samples.quantile({ 1, 2, 3, 4 }, 0.5)  --> 2.5`
function M.quantile(sorted, q)
  local at = (#sorted - 1) * q + 1
  local below = math.floor(at)
  local low, high = sorted[below], sorted[math.min(below + 1, #sorted)]
  if low == high then return low + 0.0 end
  return low * (1 - (at - below)) + high * (at - below) -- no difference: it could be too large
end

--- A checked sample in nine numbers: see stoke.stats.describe.
---@param what string
---@param x number[]
---@return stoke.stats.description
---
--- Example: `samples.describe("stats.describe", x).median`
function M.describe(what, x)
  local sorted, n = M.sorted(x), #x
  local sd = n > 1 and math.sqrt(M.variance(what, x)) or nil
  return { n = n, mean = M.mean(what, x), sd = sd, error = sd and sd / math.sqrt(n), min = sorted[1], q1 = M.quantile(sorted, 0.25),
    median = M.quantile(sorted, 0.5), q3 = M.quantile(sorted, 0.75), max = sorted[n] }
end

--- Ranks from 1; equal values share the mean of theirs.
---@param x number[]
---@return number[] ranks in the order of x
---@return number ties the sum of t^3 - t over groups of t equal values
---
--- Example: `samples.ranks { 3, 1, 3 }  --> { 2.5, 1, 2.5 }`
function M.ranks(x)
  local order, ranks, ties = {}, {}, 0
  for i = 1, #x do order[i] = i end
  table.sort(order, function(a, b) return x[a] < x[b] end)
  local first = 1
  while first <= #x do
    local last = first
    while last < #x and x[order[last + 1]] == x[order[first]] do last = last + 1 end
    for i = first, last do ranks[order[i]] = (first + last) / 2 end
    local t = last - first + 1
    ties = ties + (t ^ 3 - t)
    first = last + 1
  end
  return ranks, ties
end

--- Two samples as one list.
---@param x number[]
---@param y number[]
---@return number[]
---
--- Example: `samples.joined({ 1 }, { 2 })  --> { 1, 2 }`
function M.joined(x, y) return table.move(y, 1, #y, #x + 1, table.move(x, 1, #x, 1, {})) end

-- ---- options of tests ----------------------------------------------------------------------------------------------------------

local ALTERNATIVES <const> = { "two-sided", "less", "greater" }

--- One of a few words.
---@param what string
---@param name string of the option
---@param value any nil: the first one
---@param list string[]
---@return string
---Raises `argument`, with the word that was probably meant.
---
--- Example: `local method = samples.word("stats.adjust", "method", given, { "holm", "bh" })`
function M.word(what, name, value, list)
  if value == nil then return list[1] end
  for _, known in ipairs(list) do
    if value == known then return known end
  end
  local near = errors.suggest(tostring(value), list)
  errors.argument("%s: %s is \"%s\", got %s%s", what, name, table.concat(list, "\" or \""), errors.describe(value),
    near and (" (did you mean %q?)"):format(near) or "")
end

--- The options of a test, checked, with their defaults.
---@param what string
---@param given table|nil
---@param known table<string, string> further options
---@return table
---Raises `argument`.
---
--- Example: `local o = samples.options("stats.ks", options, { exact = "boolean" })`
function M.options(what, given, known)
  known.alternative, known.level = "string", "number"
  local o = {}
  for name, value in next, errors.options(given, known, what) do o[name] = value end
  o.alternative = M.word(what, "the alternative", o.alternative, ALTERNATIVES)
  o.level = M.level(what, o.level)
  return o
end

--- A level of confidence.
---@param what string
---@param level number|nil
---@return number level 0.95 if not given
---Raises `argument`.
---
--- Example: `local level = samples.level("stats.interval", options.level)`
function M.level(what, level)
  if level == nil then return 0.95 end
  if type(level) ~= "number" or not (level > 0 and level < 1) then
    errors.argument("%s: the level must be a number between 0 and 1 (0.95), got %s", what, errors.describe(level))
  end
  return level
end

--- The probability of a statistic at least as far out, from what lies above it in its distribution.
---@param tail fun(z: number): number
---@param z number
---@param alternative string
---@return number p
---
--- Example: `local p = samples.p(distributions.normal_tail, z, o.alternative)`
function M.p(tail, z, alternative)
  if alternative == "greater" then return tail(z) end
  if alternative == "less" then return tail(-z) end
  return math.min(2 * tail(math.abs(z)), 1.0)
end

--- An interval round an estimate, open (nil) on the side that a one-sided alternative leaves open.
---@param o table options of the test
---@param estimate number
---@param error number the standard error
---@param quantile fun(q: number): number the value above which lies q
---@return number|nil low
---@return number|nil high
---
--- Example: `local low, high = samples.around(o, mean, se, normal_quantile)`
function M.around(o, estimate, error, quantile)
  local two = o.alternative == "two-sided"
  local reach = quantile(two and (1 - o.level) / 2 or 1 - o.level) * error
  return o.alternative ~= "less" and estimate - reach or nil, o.alternative ~= "greater" and estimate + reach or nil
end

return M
