--- Tests that use the order of values alone: Mann-Whitney, Kruskal-Wallis, Kolmogorov-Smirnov; and Cliff's delta.

local distributions = require "stoke.stats.distributions"
local errors = require "core.errors"
local means = require "stoke.stats.means"
local samples = require "stoke.stats.sample"

local M = {}

--- Steps that an exact probability may take; it is computed without waiting.
local MOST <const> = 20000000

--- In how many ways n things of N can be chosen; nil where that is no 64-bit integer.
local function choices(all, n)
  local count = 1
  for i = 1, n do
    local factor = all - n + i
    if count > math.maxinteger // factor then return nil end
    count = count * factor // i
  end
  return count
end

--- The probabilities that a sample of nx, drawn from these ranks, has a sum of at most, and of at least, `sum`. All samples are
--- counted, by their sums (Streitberg and Roehmel 1986), so equal values need no correction. Nil: too many.
local function exact_sums(ranks, nx, sum)
  local scale = 1
  for _, rank in ipairs(ranks) do
    if rank % 1 ~= 0 then scale = 2 end
  end
  local all = #ranks
  local small = math.min(nx, all - nx)
  local total, whole = choices(all, small), all * (all + 1) // 2 * scale
  if small < nx then sum = whole / scale - sum end -- count the other sample
  local most = math.min(small * all * scale, whole)
  if not total or all * small * most > MOST then return nil end
  local ways = { [0] = { [0] = 1 } } -- [values taken][their sum]
  for i, rank in ipairs(ranks) do
    local step = math.tointeger(rank * scale)
    for taken = math.min(i, small), 1, -1 do
      local from, to = ways[taken - 1], ways[taken] or {}
      ways[taken] = to
      for s = most - step, 0, -1 do
        local count = from[s]
        if count then to[s + step] = (to[s + step] or 0) + count end
      end
    end
  end
  local below, above, at = 0, 0, math.floor(sum * scale + 0.5)
  for s = 0, most do
    local count = ways[small][s] or 0
    if s <= at then below = below + count end
    if s >= at then above = above + count end
  end
  local at_most, at_least = below / total, above / total
  if small < nx then at_most, at_least = at_least, at_most end
  return at_most, at_least
end

local function normal_p(u, nx, ny, ties, o)
  local n, middle = nx + ny, nx * ny / 2
  local sd = math.sqrt(nx * ny / 12 * ((n + 1) - ties / (n * (n - 1))))
  if sd == 0 then return 1.0 end -- all values are equal
  local shift = o.continuity == false and 0 or 0.5
  if o.alternative == "greater" then return distributions.normal_tail((u - middle - shift) / sd) end
  if o.alternative == "less" then return distributions.normal_tail((middle - u - shift) / sd) end
  return math.min(2 * distributions.normal_tail((math.abs(u - middle) - shift) / sd), 1.0)
end

--- Does one sample tend to have greater values? The test of Mann and Whitney (Wilcoxon's for two samples). The probability is exact
--- where the smaller sample has at most 8 values and none are equal, or with `exact`; else by the normal distribution, corrected
--- for equal values and for continuity.
---@param x number[]
---@param y number[]
---@param options? { exact?: boolean, continuity?: boolean, alternative?: "two-sided"|"less"|"greater" } exact = true also counts
---  equal values right, and is refused for samples that are too large to count; continuity = false: without that correction
---@return stoke.stats.test result the statistic is U of x, the effect the rank-biserial correlation: the share of pairs in which x
---  is greater, less that in which y is
---Raises `argument`.
---
--- Example: `local r = stoke.stats.mann_whitney(ratings_a, ratings_b)`
function M.mann_whitney(x, y, options)
  local what = "stats.mann_whitney"
  local o = samples.options(what, options, { exact = "boolean", continuity = "boolean" })
  local nx, ny = samples.check(what, x), samples.check(what, y)
  local ranks, ties = samples.ranks(samples.joined(x, y))
  local sum = samples.sum(table.move(ranks, 1, nx, 1, {}))
  local u = sum - nx * (nx + 1) / 2
  local at_most, at_least
  if o.exact or o.exact == nil and math.min(nx, ny) <= 8 and ties == 0 then at_most, at_least = exact_sums(ranks, nx, sum) end
  if o.exact and not at_most then
    errors.argument("%s: samples of %d and %d are too large for an exact probability; leave out exact", what, nx, ny)
  end
  local p
  if at_most then
    local both = math.min(2 * math.min(at_most, at_least), 1.0)
    p = o.alternative == "less" and at_most or o.alternative == "greater" and at_least or both
  else
    p = normal_p(u, nx, ny, ties, o)
  end
  return { method = "Mann-Whitney test", statistic_name = "U", statistic = u, p = p, n = nx + ny, exact = at_most ~= nil,
    alternative = o.alternative, effect = 2 * u / (nx * ny) - 1, effect_name = "rank-biserial correlation" }
end

--- Cliff's delta: the share of pairs in which x is greater, less that in which y is; from -1 to 1.
---@param x number[]
---@param y number[]
---@return number
---Raises `argument`.
---
--- Example: `stoke.stats.cliff_delta({ 4, 5 }, { 1, 4 })  --> 0.75`
function M.cliff_delta(x, y)
  local what = "stats.cliff_delta"
  local nx, ny = samples.check(what, x), samples.check(what, y)
  local ranks = samples.ranks(samples.joined(x, y))
  local sum = samples.sum(table.move(ranks, 1, nx, 1, {}))
  return 2 * (sum - nx * (nx + 1) / 2) / (nx * ny) - 1
end

--- Do some of several samples tend to have greater values? The test of Kruskal and Wallis, corrected for equal values.
---@param groups number[][]
---@return stoke.stats.test result the effect is epsilon squared, H / (n - 1)
---Raises `argument`.
---
--- Example: `local r = stoke.stats.kruskal { ratings_a, ratings_b, ratings_c }`
function M.kruskal(groups)
  local what = "stats.kruskal"
  local n = means.check_groups(what, groups, 3)
  local all = {}
  for _, group in ipairs(groups) do all = samples.joined(all, group) end
  local ranks, ties = samples.ranks(all)
  local from, terms = 1, {}
  for i, group in ipairs(groups) do
    local sum = samples.sum(table.move(ranks, from, from + #group - 1, 1, {}))
    terms[i], from = #group * (sum / #group - (n + 1) / 2) ^ 2, from + #group
  end
  local correction = 1 - ties / (n ^ 3 - n)
  local h = correction > 0 and 12 / (n * (n + 1)) * samples.sum(terms) / correction or 0.0
  return { method = "Kruskal-Wallis test", statistic_name = "H", statistic = h, df = #groups - 1, n = n,
    p = distributions.chi_squared_tail(h, #groups - 1), effect = h / (n - 1), effect_name = "epsilon squared" }
end

-- ---- Kolmogorov and Smirnov ----------------------------------------------------------------------------------------------------

--- The values in order, each with how many of x and of y are at most so large: { { i, j } ... }, once for equal ones.
local function steps(x, y)
  local a, b = samples.sorted(x), samples.sorted(y)
  local i, j, out = 0, 0, {}
  while i < #a or j < #b do
    local value = math.min(a[i + 1] or math.huge, b[j + 1] or math.huge)
    while i < #a and a[i + 1] == value do i = i + 1 end
    while j < #b and b[j + 1] == value do j = j + 1 end
    out[#out + 1] = { i, j }
  end
  return out
end

--- The probability that |i / nx - j / ny| reaches the distance at one of these steps, where all orders of the values are equally
--- likely: a walk through the counts i of x after k values, of which what reaches it is taken out (Hodges 1958; with equal values
--- Schroeer and Trenkler 1995). Only positive terms are added, so small probabilities keep their digits.
local function exact_ks(nx, ny, at, distance)
  local looked = {}
  for _, step in ipairs(at) do looked[step[1] + step[2]] = true end
  local inside, out = { [0] = 1.0 }, 0.0
  for k = 1, nx + ny do
    local low, high = math.max(0, k - ny), math.min(k, nx)
    local left = nx + ny - k + 1
    for i = high, low, -1 do -- downwards: inside[i - 1] is still the one before
      local j = k - i
      local mass = i > 0 and (inside[i - 1] or 0) * (nx - i + 1) / left or 0.0
      if j > 0 then mass = mass + (inside[i] or 0) * (ny - j + 1) / left end
      if looked[k] and math.abs(i * ny - j * nx) >= distance then
        out, mass = out + mass, 0.0
      end
      inside[i] = mass
    end
    if low > 0 then inside[low - 1] = nil end
  end
  return math.min(out, 1.0)
end

--- Do two samples come from the same distribution? The two-sample test of Kolmogorov and Smirnov, two-sided. The probability is
--- exact, also with equal values, where the product of the sizes is at most a million; else that of the limit.
---@param x number[]
---@param y number[]
---@param options? { exact?: boolean } exact = false: the limit
---@return stoke.stats.test result the statistic is the greatest distance of the two cumulative distributions
---Raises `argument`.
---
--- Example: `local r = stoke.stats.ks(times_before, times_after)`
function M.ks(x, y, options)
  local what = "stats.ks"
  local o = errors.options(options, { exact = "boolean" }, what)
  local nx, ny = samples.check(what, x), samples.check(what, y)
  local at, distance = steps(x, y), 0
  for _, step in ipairs(at) do distance = math.max(distance, math.abs(step[1] * ny - step[2] * nx)) end
  local d, exact = distance / (nx * ny), o.exact
  if exact and nx * ny > MOST then
    errors.argument("%s: samples of %d and %d are too large for an exact probability; leave out exact", what, nx, ny)
  end
  if exact == nil then exact = nx * ny <= 1000000 end
  local p = distance == 0 and 1.0 or exact and exact_ks(nx, ny, at, distance)
    or distributions.kolmogorov_tail(d * math.sqrt(nx * ny / (nx + ny)))
  return { method = "Kolmogorov-Smirnov test", statistic_name = "D", statistic = d, p = p, n = nx + ny, exact = exact }
end

return M
