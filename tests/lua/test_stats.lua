-- Statistics against SciPy's values (stats_reference.lua), by definition where SciPy has none, and what is refused.
local stoke = require "stoke"
local stats = stoke.stats
local distributions = require "stoke.stats.distributions"
local reference = require "stats_reference"
local show = require "stoke.show"
local special = require "stoke.stats.special"
local test = require "stoke.test"

local huge <const> = math.huge

--- Within a relative error.
local function close(t, got, want, tolerance, what)
  if type(got) ~= "number" or not (math.abs(got - want) <= tolerance * math.max(math.abs(want), 1e-300)) then
    t.fail(("%s: got %s, want %.17g"):format(what, tostring(got), want))
  end
end

for _, entry in ipairs(reference.tests) do
  local call, ask, want = table.unpack(entry)
  test("equal to " .. call, function(t)
    local got = ask(stats, reference.data)
    for _, name in ipairs(show.sorted_keys(want)) do
      close(t, name == "value" and got or got[name], want[name], want[name] == 0 and 1 or 1e-9, name)
    end
  end)
end

test("special functions have ten digits at least, in both tails", function(t)
  for _, entry in ipairs(reference.special) do
    local name, call, arguments, lower, upper = table.unpack(entry)
    local one, other = special[name](table.unpack(arguments))
    close(t, one, lower, 1e-10, call)
    if upper then close(t, other, upper, 1e-10, call) end
  end
end)

test("tails and quantiles of distributions have ten digits at least", function(t)
  for _, entry in ipairs(reference.distributions) do
    local name, call, arguments, want = table.unpack(entry)
    local got = distributions[name](table.unpack(arguments))
    if want == 0 then t.near(got, 0, 1e-15) else close(t, got, want, 1e-10, call) end
  end
end)

test("a quantile is where the tail is what it was asked for", function(t)
  local random = stoke.rand.new(3)
  for _ = 1, 300 do
    local q, df = random:float(), 1 + 50 * random:float()
    close(t, distributions.t_tail(distributions.t_quantile(q, df), df), q, 1e-12, ("t, %.17g, %.17g"):format(q, df))
    close(t, distributions.normal_tail(distributions.normal_quantile(q)), q, 1e-12, ("normal, %.17g"):format(q))
  end
end)

test("few values are no limit: of two degrees of freedom, of one trial", function(t)
  local statistic = (7 / 3) / (math.sqrt(7 / 3) / math.sqrt(3)) -- Student's tail with df = 2 is (1 - t / sqrt(t^2 + 2)) / 2
  close(t, stats.t_test({ 1, 2, 4 }, 0).p, 1 - statistic / math.sqrt(statistic ^ 2 + 2), 1e-12, "t, df = 2")
  for _, p in ipairs { 0.01, 0.3, 0.5, 0.9 } do
    close(t, stats.binomial(0, 1, p, { alternative = "less" }).p, 1 - p, 1e-12, "0 of 1")
    close(t, stats.binomial(1, 1, p, { alternative = "greater" }).p, p, 1e-12, "1 of 1")
    close(t, stats.binomial(0, 5, p, { alternative = "less" }).p, (1 - p) ^ 5, 1e-12, "0 of 5")
  end
  t.eq(stats.binomial(0, 1).p, 1.0)
end)

test("trials that depend on each other are worth fewer, and the interval is that of those", function(t)
  local r, few = stats.proportion(75, 100, { effective = 20 }), stats.proportion(15, 20)
  t.near(r.low, few.low, 1e-12)
  t.near(r.high, few.high, 1e-12)
  t.eq(r.n, 100)
  t.contains(t.raises("argument", stats.proportion, 1, 2, { effective = 3 }).message, "at most the 2 trials")
end)

-- ---- by definition -------------------------------------------------------------------------------------------------------------

test("a large offset costs no digits", function(t)
  local x = {} -- NumAcc4 of NIST's reference data: mean 10000000.2, standard deviation 0.1
  for i = 1, 1001 do x[i] = 10000000.2 + (i == 1 and 0 or i % 2 == 0 and -0.1 or 0.1) end
  close(t, stats.mean(x), 10000000.2, 1e-15, "mean")
  close(t, stats.sd(x), 0.1, 1e-8, "sd") -- the values themselves are rounded to 2e-9
  t.eq(stats.mean { 1e100, 1, -1e100 }, 1 / 3)
end)

--- All ways to choose n of the values: fun(chosen, rest).
local function each_choice(values, n, f)
  local function go(at, chosen, rest)
    if at > #values then
      if #chosen == n then f(chosen, rest) end
      return
    end
    for _, list in ipairs { chosen, rest } do
      list[#list + 1] = values[at]
      go(at + 1, chosen, rest)
      list[#list] = nil
    end
  end
  go(1, {}, {})
end

--- The share of all ways to divide the values in which a statistic is at least, and at most, that of x and y.
local function by_counting(x, y, statistic)
  local values, seen, all, at_least, at_most = table.move(y, 1, #y, #x + 1, table.move(x, 1, #x, 1, {})), statistic(x, y), 0, 0, 0
  each_choice(values, #x, function(chosen, rest)
    local s = statistic(chosen, rest)
    all = all + 1
    if s >= seen - 1e-9 then at_least = at_least + 1 end
    if s <= seen + 1e-9 then at_most = at_most + 1 end
  end)
  return at_least / all, at_most / all
end

local function wins(x, y)
  local u = 0
  for _, a in ipairs(x) do
    for _, b in ipairs(y) do u = u + (a > b and 1 or a == b and 0.5 or 0) end
  end
  return u
end

local function gap(x, y)
  local function below(list, v)
    local n = 0
    for _, a in ipairs(list) do n = n + (a <= v and 1 or 0) end
    return n / #list
  end
  local most = 0
  for _, list in ipairs { x, y } do
    for _, v in ipairs(list) do most = math.max(most, math.abs(below(x, v) - below(y, v))) end
  end
  return most
end

local function some(random, n, most)
  local out = {}
  for i = 1, n do out[i] = random:int(1, most) end
  return out
end

test("exact probabilities are those of all ways to divide the values, equal ones too", function(t)
  for seed = 1, 25 do
    local random = stoke.rand.new(seed)
    local x, y = some(random, random:int(1, 6), 5), some(random, random:int(1, 6), 5)
    local at_least, at_most = by_counting(x, y, wins)
    local said = ("seed %d"):format(seed)
    local u = stats.mann_whitney(x, y, { exact = true, alternative = "greater" })
    close(t, u.statistic, wins(x, y), 1e-12, said)
    close(t, u.p, at_least, 1e-12, said)
    close(t, stats.mann_whitney(x, y, { exact = true, alternative = "less" }).p, at_most, 1e-12, said)
    close(t, stats.mann_whitney(x, y, { exact = true }).p, math.min(1, 2 * math.min(at_least, at_most)), 1e-12, said)
    local d = stats.ks(x, y)
    t.near(d.statistic, gap(x, y), 1e-12)
    close(t, d.p, (by_counting(x, y, gap)), 1e-12, said)
    t.eq(d.exact, true)
  end
end)

test("effects are what they are called", function(t)
  local x, y = { 5, 6, 7 }, { 3, 4, 5 }
  t.eq(stats.cohen_d(x, y), 2.0)
  close(t, stats.hedges_g(x, y), 2 * (1 - 3 / 15), 1e-15, "g")
  close(t, stats.cliff_delta({ 4, 5 }, { 1, 4 }), 0.75, 1e-15, "delta")
  t.eq(stats.t_test(x, y).effect, 2.0)
  close(t, stats.mann_whitney(x, y).effect, stats.cliff_delta(x, y), 1e-15, "rank-biserial")
  close(t, stats.anova({ { 1, 2, 3 }, { 4, 5, 6 } }).effect, 13.5 / 17.5, 1e-15, "eta squared")
  close(t, stats.chi_squared({ 30, 10 }).effect, 0.5, 1e-15, "w")
end)

test("the interval of two proportions is Newcombe's", function(t)
  local r = stats.proportions({ 56, 70 }, { 48, 80 }) -- his example: 0.0524 to 0.3339
  t.near(r.low, 0.0524, 5e-5)
  t.near(r.high, 0.3339, 5e-5)
  t.near(stats.proportions({ 48, 80 }, { 56, 70 }).low, -0.3339, 5e-5)
end)

test("several tests are adjusted together", function(t)
  t.eq(stats.adjust { 0.01, 0.04, 0.03 }, { 0.03, 0.06, 0.06 })
  for i, p in ipairs(stats.adjust(reference.adjusted.p, "bh")) do close(t, p, reference.adjusted.bh[i], 1e-12, "bh " .. i) end
  t.eq(stats.adjust({ 0.9, 0.8 }, "holm"), { 1, 1 })
end)

test("values that are all equal have no difference in rank, and no probability by spread", function(t)
  t.eq(stats.mann_whitney({ 3, 3 }, { 3, 3, 3 }).p, 1.0)
  t.eq(stats.ks({ 3, 3 }, { 3 }).p, 1.0)
  t.eq(stats.kruskal({ { 3, 3 }, { 3 } }).p, 1.0)
  t.match(t.raises("argument", stats.t_test, { 3, 3 }, { 3, 3 }).message, "all values of a sample are equal")
  t.match(t.raises("argument", stats.t_test, { 1, 2 }, { 2, 3 }, { paired = true }).message, "all differences are %-1")
  t.raises("argument", stats.anova, { { 1, 1 }, { 2, 2 } })
  t.match(t.raises("argument", stats.correlation, { 1, 2, 3 }, { 5, 5, 5 }).message, "sample 2 are equal")
end)

test("a perfect correlation has no statistic and no doubt", function(t)
  local r = stats.correlation({ 1, 2, 3, 4 }, { 2, 4, 6, 8 })
  t.eq({ r.estimate, r.p, r.low, r.high }, { 1, 0, 1, 1 })
  t.eq(r.statistic, nil)
end)

-- ---- the bootstrap -------------------------------------------------------------------------------------------------------------

test("the same seed gives the same interval, another one another", function(t)
  local x = reference.data.skew
  t.eq(stats.bootstrap(x), stats.bootstrap(x))
  t.ne(stats.bootstrap(x, nil, { seed = 2 }).low, stats.bootstrap(x).low)
end)

test("intervals hold what they should as often as they say", function(t)
  local random, held, inside = stoke.rand.new(5), 0, 0
  for seed = 1, 200 do
    local x = {}
    for i = 1, 20 do x[i] = -math.log(1 - random:float()) end -- exponential, mean 1
    local r, s = stats.bootstrap(x, nil, { resamples = 500, seed = seed }), stats.interval(x, { level = 0.8 })
    if r.low <= 1 and 1 <= r.high then held = held + 1 end
    if s.low <= 1 and 1 <= s.high then inside = inside + 1 end
  end
  t.ok(held >= 175 and held <= 198, held .. " of 200 held the mean, about 186 should")
  t.ok(inside >= 135 and inside <= 175, inside .. " of 200 held the mean, about 156 should")
end)

test("a bootstrap without spread is a point, and a function that returns no number is named", function(t)
  local r = stats.bootstrap { 2, 2, 2 }
  t.eq({ r.low, r.high, r.error }, { 2, 2, 0 })
  t.match(t.raises("argument", stats.bootstrap, { 1, 2 }, function() return "x" end).message, "must return a number.*string \"x\"")
  t.match(t.raises("argument", stats.bootstrap, { 1, 2 }, nil, { resamples = 1e9 }).message, "from 100 to 25000000")
  t.match(t.raises("argument", stats.bootstrap, { 1, 2 }, nil, { method = "BCA" }).message, "did you mean \"bca\"")
end)

-- ---- what is refused -----------------------------------------------------------------------------------------------------------

local SAMPLES <const> = {
  mean = { stats.mean, 1 }, variance = { stats.variance, 2 }, sd = { stats.sd, 2 }, median = { stats.median, 1 },
  describe = { stats.describe, 1 }, interval = { stats.interval, 2 }, bootstrap = { stats.bootstrap, 2 },
  quantile = { function(x) return stats.quantile(x, 0.5) end, 1 }, adjust = { stats.adjust, 1 },
  t_test = { function(x) return stats.t_test({ 1, 2 }, x) end, 2 },
  cohen_d = { function(x) return stats.cohen_d({ 1, 2 }, x) end, 2 },
  mann_whitney = { function(x) return stats.mann_whitney({ 1, 2 }, x) end, 1 },
  ks = { function(x) return stats.ks(x, { 1 }) end, 1 },
  cliff_delta = { function(x) return stats.cliff_delta({ 1, 2 }, x) end, 1 },
  anova = { function(x) return stats.anova { { 1, 2, 3 }, x } end, 1 },
  kruskal = { function(x) return stats.kruskal { x, { 1, 2 } } end, 1 },
  correlation = { function(x) return stats.correlation(x, { 1, 2, 4 }) end, 3 },
}

for name, row in pairs(SAMPLES) do
  test("stats." .. name .. " says what is wrong with a sample", function(t)
    local f, least = table.unpack(row)
    local function says(pattern, x)
      local err = t.raises("argument", f, x)
      t.match(err.message, "^stats%." .. name .. ": .*" .. pattern)
    end
    says("value 2 is NaN", { 0.5, 0 / 0, 0.5 })
    says("value 1 is infinite", { huge, 0.5, 0.5 })
    says("value 3 is no number but the string \"3\"", { 0.5, 0.5, "3" })
    says("value 2 is no number but .*null", { 0.5, stoke.json.null, 0.5 })
    says("%[2%] is missing", { 0.5, nil, 0.5 })
    says("is empty", {})
    says("must be a list, got", "0.5")
    if least > 1 then says(least .. " values at least are needed, the sample has 1", { 0.5 }) end
  end)
end

test("values beyond what floats hold are said to be too large", function(t)
  t.match(t.raises("argument", stats.mean, { 1e308, 1e308 }).message, "too large")
  t.match(t.raises("argument", stats.sd, { 1e308, -1e308 }).message, "too large")
  t.eq(stats.median { 1e308, 1e308, -1e308, -1e308 }, 0)
  t.eq(stats.quantile({ -1e308, 1e308 }, 0.5), 0)
end)

test("options and counts that make no sense are refused with what they may be", function(t)
  local function says(pattern, f, ...) t.match(t.raises("argument", f, ...).message, pattern) end
  says("did you mean \"greater\"", stats.t_test, { 1, 2 }, { 2, 3 }, { alternative = "greter" })
  says("unknown option pared.*did you mean paired", stats.t_test, { 1, 2 }, { 2, 3 }, { pared = true })
  says("level must be a number between 0 and 1", stats.interval, { 1, 2 }, { level = 95 })
  says("another sample, or the number", stats.t_test, { 1, 2 })
  says("these have 3 and 2", stats.t_test, { 1, 2, 3 }, { 2, 3 }, { paired = true })
  says("q must be from 0 to 1", stats.quantile, { 1 }, 25)
  says("two samples at least", stats.anova, { { 1, 2 } })
  says("no sample has two values", stats.anova, { { 1 }, { 2 }, { 3 } })
  says("too large for an exact probability", stats.mann_whitney, some(stoke.rand.new(1), 100, 9), some(stoke.rand.new(2), 100, 9),
    { exact = true })
  says("row 2 has 3 counts, the first one 2", stats.chi_squared, { { 1, 2 }, { 1, 2, 3 } })
  says("row 1, column 2 must be a count .* got 2.5", stats.chi_squared, { { 1, 2.5 }, { 1, 2 } })
  says("column 1 has no counts", stats.chi_squared, { { 0, 2 }, { 0, 3 } })
  says("count 1 must be a count", stats.chi_squared, { -1, 2 })
  says("all counts are 0", stats.chi_squared, { 0, 0 })
  says("expected entry 1 is 0, and must be above 0", stats.chi_squared, { 1, 2 }, { expected = { 0, 1 } })
  says("expected has 3 entries for 2 counts", stats.chi_squared, { 1, 2 }, { expected = { 1, 1, 1 } })
  says("two rows and two columns are needed, got 2 and 3", stats.fisher, { { 1, 2, 3 }, { 1, 2, 3 } })
  says("3 successes in 2 trials", stats.proportion, 3, 2)
  says("there are no trials", stats.proportion, 0, 0)
  says("all trials had the same end", stats.proportions, { 3, 3 }, { 4, 4 })
  says("from 0 to 1", stats.binomial, 1, 2, 1.5)
  says("from 0 to 1, value 2 is 1.5", stats.adjust, { 0.5, 1.5 })
end)

test("a result is one line", function(t)
  t.eq(stats.report(stats.t_test({ 7, 8, 6, 9 }, { 5, 6, 6, 4 })),
    "Welch's t-test: t = 2.8, df = 5.53, p = 0.034; difference of means 2.25 (95 %: 0.243 to 4.26); Cohen's d 1.98")
  t.eq(stats.report(stats.t_test({ 7, 8, 6, 9 }, 5, { alternative = "greater", level = 0.9 })),
    "one-sample t-test: t = 3.87, df = 3, p = 0.015; mean 7.5 (90 %: at least 6.44); Cohen's d 1.94")
  t.eq(stats.report(stats.anova { { 1, 2, 3 }, { 4, 5, 6 } }),
    "one-way analysis of variance: F = 13.5, df = 1 and 4, p = 0.021; eta squared 0.771")
  t.eq(stats.report(stats.proportion(7, 20)), "Wilson's interval: proportion 0.35 (95 %: 0.181 to 0.567)")
  t.eq(stats.report(stats.fisher { { 1000, 2 }, { 3, 1000 } }), "Fisher's exact test: p < 0.001; odds ratio 1.67e+05")
  t.raises("argument", stats.report, 5)
end)
