--- What trials say of their variants: shares with intervals, cost, latency; and which variant is enough.

local compare = require "stoke.eval.compare"
local errors = require "core.errors"
local json = require "core.json"
local stats = require "stoke.stats"

local M = {}

---@class stoke.eval.summary of one variant
---@field set table its settings
---@field key string
---@field label string
---@field trials integer that were made
---@field missing integer that were not
---@field passed integer
---@field failed integer
---@field errors integer trials of which nothing is known; they count as not passed
---@field error? string the commonest error, in words
---@field rate? number the share that passed; nil: nothing was answered, and what follows is nil, too
---@field low number Wilson's interval of it
---@field high number
---@field level number 0.95
---@field effective number how many independent trials they are worth: attempts at one case depend on each other
---@field score number mean
---@field scorers table<string, { score: number, passed: integer, n: integer }>
---@field seconds number mean of a trial: of the server, without loading
---@field p50 number
---@field p95 number
---@field took number mean, with what a trial waited for here
---@field input_tokens number mean
---@field output_tokens number mean
---@field calls number mean
---@field load number seconds of loading, all in all
---@field cost number mean of a trial: what `cost` says, else its seconds
---@field size? integer bytes of the model
---@field model? string
---@field against? stoke.eval.difference the same variant in the run before

--- Trials that are alike are worth fewer than they are many. The variance of the mean over cases, by what independent trials would
--- have, is the design effect (Kish 1965). Where all are equal, no more is known than of one attempt a case.
local function effective(trials)
  local by_case, order, k = {}, {}, 0
  for _, trial in ipairs(trials) do
    local one = by_case[trial.case]
    if not one then
      one = { 0, 0 }
      by_case[trial.case], order[#order + 1] = one, one
    end
    local passed = trial.status == "pass" and 1 or 0
    one[1], one[2], k = one[1] + passed, one[2] + 1, k + passed
  end
  local n, m = #trials, #order
  if n == m then return n, k end
  local p = k / n
  if k == 0 or k == n or m < 2 then return m, k end
  local sum = 0
  for _, one in ipairs(order) do sum = sum + (one[1] - p * one[2]) ^ 2 end -- the cluster variance of a ratio
  local variance = m / (m - 1) * sum / n ^ 2
  local design = variance / (p * (1 - p) / n)
  return math.max(math.min(n / math.max(design, 1), n), 1), k
end

local function mean_of(trials, name)
  local list = {}
  for i, trial in ipairs(trials) do list[i] = trial[name] or 0 end
  return stats.mean(list)
end

local function scorers_of(trials)
  local out = {}
  for _, trial in ipairs(trials) do
    for name, one in next, trial.scores do
      local sum = out[name] or { score = 0, passed = 0, n = 0 }
      out[name] = sum
      sum.score, sum.n, sum.passed = sum.score + one.score, sum.n + 1, sum.passed + (one.pass and 1 or 0)
    end
  end
  for _, sum in next, out do sum.score = sum.score / sum.n end
  return out
end

--- The commonest error, in words.
local function commonest(trials)
  local counts, best = {}, nil
  for _, trial in ipairs(trials) do
    if trial.status == "error" then
      local words = ("%s: %s"):format(trial.kind, trial.why)
      counts[words] = (counts[words] or 0) + 1
      if not best or counts[words] > counts[best] then best = words end
    end
  end
  return best
end

--- Was anything answered, well or badly?
---@param trials stoke.eval.trial[]
---@return boolean
function M.answered(trials)
  for _, trial in ipairs(trials) do
    if trial.status ~= "error" or trial.output then return true end
  end
  return false
end

--- Time and cost, over the trials that were answered.
local function spent(out, trials, variant, price)
  local answered, seconds = {}, {}
  for _, trial in ipairs(trials) do
    if trial.status ~= "error" or trial.output then
      answered[#answered + 1], seconds[#seconds + 1] = trial, trial.seconds
    end
  end
  out.load = 0
  for _, trial in ipairs(trials) do out.load = out.load + (trial.load or 0) end
  if #answered == 0 then return end
  out.seconds, out.p50, out.p95 = stats.mean(seconds), table.unpack(stats.quantile(seconds, { 0.5, 0.95 }))
  out.took, out.calls = mean_of(answered, "took"), mean_of(answered, "calls")
  out.input_tokens, out.output_tokens = mean_of(answered, "input_tokens"), mean_of(answered, "output_tokens")
  out.cost = out.seconds
  if not price then return end
  local costs = {}
  for i, trial in ipairs(answered) do
    costs[i] = price(trial, variant.set)
    if type(costs[i]) ~= "number" then
      errors.argument("stoke.eval: cost must return a number, got %s", errors.describe(costs[i]))
    end
  end
  out.cost = stats.mean(costs)
end

--- Sum the trials of a variant up.
---@param variant stoke.eval.variant
---@param trials stoke.eval.trial[]
---@param expected integer how many there should be
---@param price? fun(usage: table, set: table): number
---@return stoke.eval.summary
function M.of(variant, trials, expected, price)
  local out = { set = variant.set, key = variant.key, label = variant.label, model = variant.model, size = variant.size,
    trials = #trials, missing = expected - #trials, passed = 0, failed = 0, errors = 0, scorers = scorers_of(trials) }
  if #trials == 0 then return out end
  for _, trial in ipairs(trials) do
    local name = trial.status == "pass" and "passed" or trial.status == "fail" and "failed" or "errors"
    out[name] = out[name] + 1
  end
  out.error = commonest(trials)
  if not M.answered(trials) then return out end -- of the quality nothing is known
  local worth, passed = effective(trials)
  local share = stats.proportion(passed, #trials, { effective = worth })
  out.rate, out.low, out.high, out.level, out.effective = share.estimate, share.low, share.high, share.level, worth
  out.score = mean_of(trials, "score")
  spent(out, trials, variant, price)
  return out
end

--- The best first: by what passed, then by what it costs.
---@param list stoke.eval.summary[]
---@return stoke.eval.summary[] the same list, sorted
function M.sort(list)
  local place = {}
  for i, one in ipairs(list) do place[one] = i end
  table.sort(list, function(a, b)
    if (a.rate or -1) ~= (b.rate or -1) then return (a.rate or -1) > (b.rate or -1) end
    if (a.cost or math.huge) ~= (b.cost or math.huge) then return (a.cost or math.huge) < (b.cost or math.huge) end
    return place[a] < place[b]
  end)
  return list
end

--- The variant that is enough: of those that reach the threshold (without one: that are not shown to be worse than the best) the
--- one with the smallest model, where the sizes are known, else the cheapest.
---@param list stoke.eval.summary[] sorted
---@param trials table<string, stoke.eval.trial[]> by the key of the variant
---@param threshold? number
---@return stoke.eval.summary|nil
---@return "size"|"cost"|nil by what it was chosen
function M.enough(list, trials, threshold)
  local good, sized = {}, true
  for i, one in ipairs(list) do
    local does = one.passed > 0 and one.missing == 0
    if does and threshold then
      does = one.rate >= threshold
    elseif does and i > 1 then
      local d = compare.of(trials[list[1].key], trials[one.key])
      does = d ~= nil and compare.verdict(d) ~= "worse"
    end
    if does then good[#good + 1], sized = one, sized and one.size ~= nil end
  end
  local found
  for _, one in ipairs(good) do
    local cost, least = one.cost or math.huge, found and found.cost or math.huge
    if not found or sized and one.size < found.size or (not sized or one.size == found.size) and cost < least then found = one end
  end
  return found, found and (sized and "size" or "cost") or nil
end

-- ---- biases of judges -----------------------------------------------------------------------------------------------------------

local function lengths(trials, name)
  local x, y = {}, {}
  for _, trial in ipairs(trials) do
    local one = trial.scores[name]
    if one and trial.bytes then x[#x + 1], y[#y + 1] = trial.bytes, one.score end
  end
  return x, y
end

local function varies(x)
  for i = 2, #x do
    if x[i] ~= x[1] then return true end
  end
  return false
end

--- Trials below which a relation of length and score is not looked for.
local FEW <const> = 10

--- What to know of the judges before their scores are believed.
---@param evaluation stoke.eval
---@param all stoke.eval.trial[]
---@return string[]
function M.notes(evaluation, all)
  local notes = json.array {}
  for _, scorer in ipairs(evaluation.scorers) do
    local x, y = lengths(all, scorer.name)
    if scorer.judged and #x >= FEW and varies(x) and varies(y) then
      local r = stats.correlation(x, y, { method = "spearman" })
      if r.p < compare.LEVEL then
        notes[#notes + 1] = ("%s scores %s answers higher (Spearman's rho %.2f, %d answers): they may be better, or it judges by "
          .. "length"):format(scorer.name, r.estimate > 0 and "longer" or "shorter", r.estimate, #x)
      end
    end
    local turned, n = 0, 0
    for _, trial in ipairs(all) do
      local one = trial.scores[scorer.name]
      if one and one.turned ~= nil then n, turned = n + 1, turned + (one.turned and 1 or 0) end
    end
    if turned > 0 then
      notes[#notes + 1] = ("%s changed its verdict with the order of the answers in %d of %d: those are ties"):format(scorer.name,
        turned, n)
    end
    for _, variant in ipairs(scorer.judged and evaluation.variants or {}) do
      if variant.model == scorer.judged then
        notes[#notes + 1] = ("%s is %s, which it judges, too: judges prefer their own answers"):format(scorer.name, scorer.judged)
        break
      end
    end
  end
  return notes
end

return M
