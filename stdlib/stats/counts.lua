--- Counts: chi-squared tests, Fisher's exact test, proportions.

local distributions = require "stoke.stats.distributions"
local errors = require "core.errors"
local samples = require "stoke.stats.sample"
local special = require "stoke.stats.special"

local M = {}

local LARGEST <const> = 1 << 53 -- floats count exactly up to here
local ENUMERATED <const> = 1000000 -- tables that an exact test looks at

local function check_count(what, value, name)
  local count = math.type(value) and math.tointeger(value)
  if not count or count < 0 or count > LARGEST then
    errors.argument("%s: %s must be a count (a whole number of at least 0), got %s", what, name, errors.describe(value))
  end
  return count
end

local function check_part(what, k, n)
  n, k = check_count(what, n, "the number of trials"), check_count(what, k, "the number of successes")
  if n == 0 then errors.argument("%s: there are no trials", what) end
  if k > n then errors.argument("%s: %d successes in %d trials", what, k, n) end
  return k, n
end

-- ---- chi-squared ---------------------------------------------------------------------------------------------------------------

local function goodness(what, counts, o)
  errors.list(what .. ": the counts", counts)
  if #counts < 2 then errors.argument("%s: two counts at least are needed, got %d", what, #counts) end
  local total, weights = 0, o.expected or {}
  for i, count in ipairs(counts) do total = total + check_count(what, count, ("count %d"):format(i)) end
  if total == 0 then errors.argument("%s: all counts are 0", what) end
  if o.expected and samples.check(what .. ": expected", weights) ~= #counts then
    errors.argument("%s: expected has %d entries for %d counts", what, #weights, #counts)
  end
  for i = 1, #counts do
    weights[i] = weights[i] or 1
    if weights[i] <= 0 then
      errors.argument("%s: expected entry %d is %s, and must be above 0", what, i, tostring(weights[i]))
    end
  end
  local all, expected, least = samples.sum(weights), {}, math.huge
  for i, weight in ipairs(weights) do
    expected[i] = weight / all * total
    least = math.min(least, expected[i])
  end
  local statistic = samples.sum(counts, function(count, i) return (count - expected[i]) ^ 2 / expected[i] end)
  return { method = "chi-squared test of goodness of fit", statistic_name = "chi-squared", statistic = statistic, df = #counts - 1,
    p = distributions.chi_squared_tail(statistic, #counts - 1), n = total, expected = expected, least_expected = least,
    effect = math.sqrt(statistic / total), effect_name = "Cohen's w" }
end

--- A table of counts, checked, with its sums.
local function sums(what, counts)
  errors.list(what .. ": the counts", counts)
  local rows, columns, total = {}, {}, 0
  for i, row in ipairs(counts) do
    errors.list(("%s: row %d"):format(what, i), row)
    if #row ~= #counts[1] then errors.argument("%s: row %d has %d counts, the first one %d", what, i, #row, #counts[1]) end
    rows[i] = 0
    for j, value in ipairs(row) do
      local count = check_count(what, value, ("row %d, column %d"):format(i, j))
      rows[i], columns[j], total = rows[i] + count, (columns[j] or 0) + count, total + count
    end
  end
  if #rows < 2 or #columns < 2 then
    errors.argument("%s: two rows and two columns at least are needed, got %d and %d", what, #rows, #columns)
  end
  return rows, columns, total
end

local function check_full(what, list, name)
  for i, sum in ipairs(list) do
    if sum == 0 then errors.argument("%s: %s %d has no counts; leave it out", what, name, i) end
  end
end

local function independence(what, counts, o)
  local rows, columns, total = sums(what, counts)
  check_full(what, rows, "row")
  check_full(what, columns, "column")
  local df, least, expected, plain, corrected = (#rows - 1) * (#columns - 1), math.huge, {}, {}, {}
  for i, row in ipairs(counts) do
    expected[i] = {}
    for j, count in ipairs(row) do
      local e = rows[i] / total * columns[j]
      local off = math.abs(count - e)
      expected[i][j], least = e, math.min(least, e)
      plain[#plain + 1], corrected[#corrected + 1] = off ^ 2 / e, math.max(off - 0.5, 0) ^ 2 / e
    end
  end
  local correct = df == 1 and o.correct ~= false
  local raw = samples.sum(plain)
  local statistic = correct and samples.sum(corrected) or raw
  return { method = "chi-squared test of independence", statistic_name = "chi-squared", statistic = statistic, df = df, n = total,
    p = distributions.chi_squared_tail(statistic, df), corrected = correct, expected = expected, least_expected = least,
    effect = math.sqrt(raw / total / (math.min(#rows, #columns) - 1)), effect_name = "Cramer's V" }
end

local CHI = { expected = "table", correct = "boolean" }

--- Pearson's chi-squared test: a list of counts against what is expected of them (goodness of fit), or rows of counts: do rows and
--- columns have to do with each other (independence)? The probability is good where what is expected of each count is at least 5,
--- which `least_expected` tells; for two rows and columns below that there is stoke.stats.fisher.
---@param counts integer[]|integer[][]|stoke.stats.crosstab
---@param options? { expected?: number[], correct?: boolean } expected: of goodness of fit, in any unit (all alike);
---  correct = false: two rows and columns without Yates's correction for continuity
---@return stoke.stats.test result with `expected`; the effect is Cohen's w, or Cramer's V
---Raises `argument`.
---
--- Example: `local r = stoke.stats.chi_squared { { 12, 30 }, { 25, 17 } }`
function M.chi_squared(counts, options)
  local what = "stats.chi_squared"
  local o = errors.options(options, CHI, what)
  if type(counts) == "table" and counts.counts then counts = counts.counts end
  if type(counts) == "table" and type(counts[1]) == "table" then
    if o.expected then errors.argument("%s: expected is for one list of counts", what) end
    return independence(what, counts, o)
  end
  if o.correct ~= nil then errors.argument("%s: correct is for two rows and columns", what) end
  return goodness(what, counts, { expected = o.expected and table.move(o.expected, 1, #o.expected, 1, {}) })
end

-- ---- Fisher --------------------------------------------------------------------------------------------------------------------

--- The probabilities of all tables with these sums, by their first count: the likeliest, and each other from the one beside it.
local function tables_of(low, high, total, column, row)
  local likely = math.max(low, math.min(high, (row + 1) * (column + 1) // (total + 2)))
  local out, rest = { [likely] = distributions.hypergeometric(likely, total, column, row) }, total - column - row
  for k = likely, high - 1 do out[k + 1] = out[k] * ((column - k) / (k + 1)) * ((row - k) / (rest + k + 1)) end
  for k = likely, low + 1, -1 do out[k - 1] = out[k] * (k / (column - k + 1)) * ((rest + k) / (row - k + 1)) end
  return out
end

--- Fisher's exact test of two rows and two columns.
---@param counts integer[][]|stoke.stats.crosstab
---@param options? { alternative?: "two-sided"|"less"|"greater" } greater: the odds of the first row are greater
---@return stoke.stats.test result the effect is the odds ratio; nil where a count on the other diagonal is 0
---Raises `argument`.
---
--- Example: `local r = stoke.stats.fisher { { 8, 2 }, { 1, 5 } }`
function M.fisher(counts, options)
  local what = "stats.fisher"
  local o = samples.options(what, options, {})
  if type(counts) == "table" and counts.counts then counts = counts.counts end
  local rows, columns, total = sums(what, counts)
  if #rows ~= 2 or #columns ~= 2 then
    errors.argument("%s: two rows and two columns are needed, got %d and %d", what, #rows, #columns)
  end
  check_full(what, rows, "row")
  check_full(what, columns, "column")
  local low, high = math.max(0, rows[1] + columns[1] - total), math.min(rows[1], columns[1])
  if high - low > ENUMERATED then errors.argument("%s: the counts are too large; use stats.chi_squared", what) end
  local seen, probabilities = counts[1][1], tables_of(low, high, total, columns[1], rows[1])
  local limit, terms = probabilities[seen] * (1 + 1e-9), {} -- equal ones may be rounded apart
  for k = low, high do
    local probability = probabilities[k]
    local counted = o.alternative == "two-sided" and probability <= limit or o.alternative == "less" and k <= seen
      or o.alternative == "greater" and k >= seen
    if counted then terms[#terms + 1] = probability end
  end
  local across = counts[1][2] * counts[2][1]
  return { method = "Fisher's exact test", p = math.min(samples.sum(terms), 1.0), n = total, exact = true,
    alternative = o.alternative, effect = across > 0 and counts[1][1] * counts[2][2] / across or nil, effect_name = "odds ratio" }
end

-- ---- proportions ---------------------------------------------------------------------------------------------------------------

local function wilson(k, n, z)
  local p, z2 = k / n, z * z
  local middle = (p + z2 / (2 * n)) / (1 + z2 / n)
  local reach = z / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
  return k == 0 and 0.0 or math.max(middle - reach, 0), k == n and 1.0 or math.min(middle + reach, 1)
end

local function normal_quantile(o) return distributions.normal_quantile((1 - o.level) / 2) end

--- A proportion with Wilson's interval (1927), which is also good for few trials and near 0 and 1.
---@param k integer successes
---@param n integer trials
---@param options? { level?: number, effective?: number } level: 0.95; effective: how many independent trials they are worth, where
---  some depend on each other (all of them)
---@return stoke.stats.interval
---Raises `argument`.
---
--- Example: `local r = stoke.stats.proportion(7, 20)  print(r.estimate, r.low, r.high)`
function M.proportion(k, n, options)
  local what = "stats.proportion"
  local given = errors.options(options, { level = "number", effective = "number" }, what)
  local o = { level = samples.level(what, given.level) }
  k, n = check_part(what, k, n)
  local worth = given.effective or n
  if not (worth > 0 and worth <= n) then
    errors.argument("%s: effective must be above 0 and at most the %d trials, got %s", what, n, tostring(worth))
  end
  local low, high = wilson(worth == n and k or k / n * worth, worth, normal_quantile(o))
  return { method = "Wilson's interval", estimate = k / n, low = low, high = high, level = o.level, n = n,
    estimate_name = "proportion" }
end

--- Do two proportions differ? The z-test with the pooled proportion, and Newcombe's interval of the difference (1998, method 10),
--- which is two-sided always.
---@param first integer[] { successes, trials }
---@param second integer[] { successes, trials }
---@param options? { alternative?: "two-sided"|"less"|"greater", level?: number }
---@return stoke.stats.test result the estimate is the difference, the effect Cohen's h
---Raises `argument`, also where all trials had the same end.
---
--- Example: `local r = stoke.stats.proportions({ 18, 50 }, { 9, 50 })`
function M.proportions(first, second, options)
  local what = "stats.proportions"
  local o = samples.options(what, options, {})
  errors.list(what .. ": the first { successes, trials }", first)
  errors.list(what .. ": the second { successes, trials }", second)
  local k1, n1 = check_part(what, first[1], first[2])
  local k2, n2 = check_part(what, second[1], second[2])
  local both = (k1 + k2) / (n1 + n2)
  if both == 0 or both == 1 then errors.argument("%s: all trials had the same end, so there is nothing to compare", what) end
  local p1, p2, quantile = k1 / n1, k2 / n2, normal_quantile(o)
  local z = (p1 - p2) / math.sqrt(both * (1 - both) * (1 / n1 + 1 / n2))
  local l1, u1 = wilson(k1, n1, quantile)
  local l2, u2 = wilson(k2, n2, quantile)
  return { method = "test of two proportions", statistic_name = "z", statistic = z, n = n1 + n2, alternative = o.alternative,
    p = samples.p(distributions.normal_tail, z, o.alternative), estimate = p1 - p2, estimate_name = "difference of proportions",
    low = p1 - p2 - math.sqrt((p1 - l1) ^ 2 + (u2 - p2) ^ 2), high = p1 - p2 + math.sqrt((u1 - p1) ^ 2 + (p2 - l2) ^ 2),
    level = o.level, effect = 2 * math.asin(math.sqrt(p1)) - 2 * math.asin(math.sqrt(p2)), effect_name = "Cohen's h" }
end

--- The outcomes at the other side that are as unlikely as k: the first one, counted from the far end.
local function as_unlikely(k, n, p)
  local limit = special.binomial(k, n, p) * (1 + 1e-7)
  local low, high = k < p * n and math.ceil(p * n) or 0, k < p * n and n or math.floor(p * n)
  if k < p * n then -- the probabilities fall from low to high: the first one within the limit
    high = high + 1
    while low < high do
      local middle = (low + high) // 2
      if special.binomial(middle, n, p) <= limit then high = middle else low = middle + 1 end
    end
    return low
  end
  low = low - 1 -- they rise: the last one
  while low < high do
    local middle = (low + high + 1) // 2
    if special.binomial(middle, n, p) <= limit then low = middle else high = middle - 1 end
  end
  return low
end

--- Is k of n what a probability gives? The exact binomial test; two-sided: all outcomes that are as unlikely as k.
---@param k integer successes
---@param n integer trials
---@param probability? number of a success (0.5)
---@param options? { alternative?: "two-sided"|"less"|"greater", level?: number }
---@return stoke.stats.test result with Wilson's interval
---Raises `argument`.
---
--- Example: `local r = stoke.stats.binomial(14, 20)  --> 14 of 20 preferred A: p = 0.115`
function M.binomial(k, n, probability, options)
  local what = "stats.binomial"
  local o, p = samples.options(what, options, {}), probability or 0.5
  k, n = check_part(what, k, n)
  if type(p) ~= "number" or not (p >= 0 and p <= 1) then
    errors.argument("%s: the probability must be a number from 0 to 1, got %s", what, errors.describe(p))
  end
  local at_most, at_least = distributions.binomial(k, n, p)
  local value
  if o.alternative ~= "two-sided" then
    value = o.alternative == "less" and at_most or at_least
  elseif k == p * n then
    value = 1.0
  elseif k < p * n then
    local other = as_unlikely(k, n, p)
    value = at_most + (other <= n and select(2, distributions.binomial(other, n, p)) or 0)
  else
    local other = as_unlikely(k, n, p)
    value = at_least + (other >= 0 and distributions.binomial(other, n, p) or 0)
  end
  local low, high = wilson(k, n, normal_quantile(o))
  return { method = "exact binomial test", p = math.min(value, 1.0), n = n, exact = true, alternative = o.alternative,
    estimate = k / n, estimate_name = "proportion", low = low, high = high, level = o.level }
end

return M
