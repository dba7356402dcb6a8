--- Above which similarity may an entry's answer be given? Learned from checked answers: each entry has a bound of its own.
---
--- After vCache (Schroeder et al., "vCache: Verified Semantic Prompt Caching", arXiv 2502.03771): the chance that an entry's answer
--- is right for a question of similarity s is a logistic curve, L(s; t, g) = 1 / (1 + exp(-g (s - t))), whose threshold t belongs
--- to the entry; of what has been checked the entry learns t. The paper bounds the chance from below by (1 - e) L(s; t'(e), g),
--- t'(e) the upper end of a confidence interval, takes the best e as a, and sends a share 1 - d / (1 - a) of the questions so
--- that the errors among all questions stay below d.
---
--- Three things differ here, each to the safe side.
--- The chance is the mean of the curve over what t and g may still be (a posterior on a grid): what the paper's bound approaches
--- from below, without the normal approximation that a handful of checks does not carry. A part w of the pairs is wrong at any
--- similarity (a number that a text hides is not seen by an embedding), and w is learned as well; without it a steep curve would
--- promise more than 99 % after six checks. And d bounds the errors among the answers *given*, not among all questions: an answer
--- is given only where its chance to be right is at least 1 - d; the rest is sent, and so explored. Of what could be given a
--- small share is sent all the same, so that a change is noticed.
---
--- What the entries of one scope have in common (where thresholds lie, how far apart, g and w) is learned by all of them together.
--- A cold entry, one without a checked answer of its own, does not serve, unless the scope was told to (`cold`).

local M = {}

--- Share of what could be given that is checked all the same.
M.EXPLORE = 0.02

local KEPT = 64 -- checks that an entry keeps; the oldest go

-- The grid. Thresholds reach beyond 1: an entry may be one that little else is the same as.
local THRESHOLDS, SLOPES, LAPSES = {}, { 12, 30, 70 }, { 0.0005, 0.002, 0.01, 0.04, 0.15 }
for i = 0, 18 do THRESHOLDS[i + 1] = 0.25 + 0.05 * i end
local MEANS, SPREADS = { 0.3, 0.45, 0.6, 0.75, 0.9, 1.05 }, { 0.03, 0.1, 0.25 }
-- Share of a scope's entries that nothing else is the same as, whatever its similarity; and how often the answers are equal all
-- the same. With a fixed share of them no scope could ever be surer than that share.
local ALONE, CHANCE = { 0.001, 0.01, 0.08 }, 0.02

-- What thresholds may be, for each mean and spread of a scope: a normal distribution on the grid.
local PRIORS = {}
for _, mean in ipairs(MEANS) do
  for _, spread in ipairs(SPREADS) do
    local row, sum = {}, 0
    for i, t in ipairs(THRESHOLDS) do
      local z = (t - mean) / spread
      row[i] = math.exp(-z * z / 2)
      sum = sum + row[i]
    end
    for i = 1, #row do row[i] = row[i] / sum end
    PRIORS[#PRIORS + 1] = row
  end
end

-- One curve for each slope and lapse.
local CURVES = {}
for _, slope in ipairs(SLOPES) do
  for _, lapse in ipairs(LAPSES) do CURVES[#CURVES + 1] = { slope = slope, lapse = lapse } end
end

local WEIGHTS <const> = #CURVES * #PRIORS * #ALONE

local function chance(curve, t, s) return (1 - curve.lapse) / (1 + math.exp(-curve.slope * (s - t))) end

---@class core.semantic.checks
---@field n integer checks in all
---@field joined? boolean a question that the gates tell apart from it had the same answer: it is not cold
---@field list { [1]: number, [2]: boolean }[] the latest: similarity, and whether the answer was the same

---@class core.semantic.scope
---@field n integer checks of all its entries
---@field weights number[] what curves and thresholds are still likely, as logarithms

--- What a scope has learned: nothing yet.
---@return core.semantic.scope plain data, to be kept as it is
---
--- Example: `local scope, entry = learner.scope(), learner.entry()`
function M.scope()
  local weights = {}
  for i = 1, WEIGHTS do weights[i] = 0 end
  return { n = 0, weights = weights }
end

--- Is this what M.scope gives? What was kept by another version is not.
---@param scope any
---@return boolean
---
--- Example: `local learned = learner.valid(kept) and kept or learner.scope()`
function M.valid(scope)
  return type(scope) == "table" and type(scope.n) == "number" and type(scope.weights) == "table" and #scope.weights == WEIGHTS
end

--- What an entry has learned: nothing yet.
---@return core.semantic.checks plain data
---
--- Example: see M.scope
function M.entry() return { n = 0, list = {} } end

-- By entry: how likely its checks are, for each curve and threshold, and for each of the scope's curves and priors. Worked out
-- again where an entry comes from the disk.
local worked_out = setmetatable({}, { __mode = "k" })

local function times(rows, check)
  for c, curve in ipairs(CURVES) do
    local row = rows[c]
    for i, t in ipairs(THRESHOLDS) do
      local p = chance(curve, t, check[1])
      row[i] = row[i] * (check[2] and p or 1 - p)
    end
  end
end

local function sums(rows, alone)
  local list = {}
  for _, row in ipairs(rows) do
    for _, prior in ipairs(PRIORS) do
      local sum = 0
      for i = 1, #row do sum = sum + row[i] * prior[i] end
      for _, share in ipairs(ALONE) do list[#list + 1] = (1 - share) * sum + share * alone end
    end
  end
  return list
end

--- How likely a check is where nothing is the same as the entry.
local function by_chance(check) return check[2] and CHANCE or 1 - CHANCE end

local function evidence(entry)
  local known = worked_out[entry]
  if known and known.n == entry.n and known.list == #entry.list then return known end
  local rows = {}
  for c = 1, #CURVES do
    rows[c] = {}
    for i = 1, #THRESHOLDS do rows[c][i] = 1 end
  end
  local alone = 1
  for _, check in ipairs(entry.list) do
    times(rows, check)
    alone = alone * by_chance(check)
  end
  known = { n = entry.n, list = #entry.list, rows = rows, alone = alone, sums = sums(rows, alone) }
  worked_out[entry] = known
  return known
end

local function add(entry, similarity, same)
  local known, check = evidence(entry), { similarity, same }
  entry.list[#entry.list + 1] = check
  entry.n = entry.n + 1
  times(known.rows, check)
  known.alone = known.alone * by_chance(check)
  known.n, known.list, known.sums = entry.n, #entry.list, sums(known.rows, known.alone)
  return known.sums
end

--- Learn from one checked answer.
---@param scope core.semantic.scope changed
---@param entry core.semantic.checks changed
---@param similarity number cosine of the two questions
---@param same boolean the entry's answer would have been right
---
--- Example: `learner.teach(scope, entry, 0.93, true)`
function M.teach(scope, entry, similarity, same)
  if #entry.list >= KEPT then table.remove(entry.list, 1) end
  local before, weights, top = evidence(entry).sums, scope.weights, -math.huge
  local after = add(entry, similarity, same)
  for i = 1, #weights do
    weights[i] = weights[i] + math.log((after[i] + 1e-300) / (before[i] + 1e-300))
    if weights[i] > top then top = weights[i] end
  end
  for i = 1, #weights do weights[i] = weights[i] - top end
  scope.n = scope.n + 1
end

local function expected(gains, prior)
  local gain = 0
  for i = 1, #gains do gain = gain + gains[i] * prior[i] end
  return gain
end

--- How likely the entry's answer is right for a question, after all that was checked.
---@param scope core.semantic.scope
---@param entry core.semantic.checks
---@param similarity number
---@return number 0 to 1
---
--- Example: `learner.chance(scope, entry, 0.95)`
function M.chance(scope, entry, similarity)
  local known, right, all, gains, at = evidence(entry), 0, 0, {}, 0
  for c, curve in ipairs(CURVES) do
    local row = known.rows[c]
    for i, t in ipairs(THRESHOLDS) do gains[i] = row[i] * chance(curve, t, similarity) end
    for _, prior in ipairs(PRIORS) do
      local gain
      for _, share in ipairs(ALONE) do
        at = at + 1
        local weight, sum = math.exp(scope.weights[at]), known.sums[at]
        if weight > 1e-9 and sum > 0 then
          gain = gain or expected(gains, prior)
          right, all = right + weight * (1 - share) * gain / sum, all + weight -- the weight holds this entry's evidence already
        end
      end
    end
  end
  return all > 0 and right / all or 0
end

--- Was the entry's answer wrong for a question as near as this one? Then it is not given there any more, however rare errors are
--- in its scope: what a scope takes for chance is, for one entry, most often its own.
local function was_wrong(entry, similarity)
  for _, check in ipairs(entry.list) do
    if not check[2] and similarity <= check[1] then return true end
  end
  return false
end

--- May the entry's answer be given?
---@param scope core.semantic.scope
---@param entry core.semantic.checks
---@param similarity number
---@param options { error: number, cold?: boolean, explore?: number } error: share of wrong ones among the answers given
---@param random fun(): number from 0 to 1
---@return "serve"|"explore" what to do
---@return number chance of being right
---
--- Example: `learner.decide(scope, entry, 0.95, { error = 0.01 }, math.random)`
function M.decide(scope, entry, similarity, options, random)
  if entry.n == 0 and not entry.joined and not (options.cold and scope.n > 0) then return "explore", 0 end
  local right = M.chance(scope, entry, similarity)
  if right < 1 - options.error or was_wrong(entry, similarity) then return "explore", right end
  if random() < (options.explore or M.EXPLORE) then return "explore", right end
  return "serve", right
end

return M
