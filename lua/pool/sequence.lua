--- In which order should groups of calls be served, where each model must be loaded before its calls and only some models have
--- room beside each other? Exact, by dynamic programming over which groups are left and which loaded models still have work.
--- Pure.
---
--- What is minimised is the sum over all calls of the time at which their group is done: each second of work or loading costs as
--- much as there are calls that still wait. So the best way on depends on what is left, not on how it was reached.

local M = {}

local huge = math.huge

--- Groups searched exactly. Beyond, the groups with the least seconds a call go first, which is the best order where each needs a
--- load (Smith's rule).
M.most = 8

---@class stoke.sequence.group
---@field waiting number calls, or their weight
---@field seconds number of service for all of them
---@field load number seconds that loading its model takes, with what must be unloaded for it
---@field resident? boolean its model is loaded

local function ratio(g) return ((g.resident and 0 or g.load) + g.seconds) / g.waiting end

--- The group that Smith's rule serves first: the least seconds for each of its calls.
---@param groups stoke.sequence.group[]
---@return integer index of the group
local function greedy(groups)
  local best = 1
  for i = 2, #groups do
    if ratio(groups[i]) < ratio(groups[best]) then best = i end
  end
  return best
end

-- Sets of groups are integers, a bit for each.

--- Does a set of models fit, each set asked once?
local function remembered(fits)
  local known = {}
  return function(set)
    local answer = known[set]
    if answer == nil then
      answer = fits(set)
      known[set] = answer
    end
    return answer
  end
end

--- The parts of `kept` that fit beside the model with `bit`, and are in no other such part.
local function keepable(kept, bit, fits)
  if fits(kept | bit) then return { kept } end
  local out, part = {}, kept
  while part ~= 0 do
    part = (part - 1) & kept
    if fits(part | bit) then
      local inside = false
      for _, other in ipairs(out) do inside = inside or part & other == part end
      if not inside then out[#out + 1] = part end
    end
  end
  if #out == 0 then out[1] = 0 end -- a model that fits beside nothing has the server to itself
  return out
end

--- Calls of each set of groups.
local function weights(groups)
  local sum = { [0] = 0 }
  for set = 1, (1 << #groups) - 1 do
    local low = set & -set
    local i = 1
    while 1 << (i - 1) ~= low do i = i + 1 end
    sum[set] = sum[set ~ low] + groups[i].waiting
  end
  return sum
end

--- With no loaded model left to lose, each group costs its load and its work: Smith's rule is exact.
local function by_ratio(groups)
  local list = {}
  for i, g in ipairs(groups) do
    local cost = g.load + g.seconds
    list[i] = { bit = 1 << (i - 1), cost = cost, ratio = cost / g.waiting }
  end
  table.sort(list, function(a, b)
    if a.ratio ~= b.ratio then return a.ratio < b.ratio end
    return a.bit < b.bit
  end)
  return list
end

--- What may stay loaded beside a group, of those that are: asked once for each.
local function remembered_parts(fits)
  local parts = {}
  return function(held, bit)
    local key = held << M.most | bit
    local known = parts[key]
    if not known then
      known = keepable(held, bit, fits)
      parts[key] = known
    end
    return known
  end
end

local function search(groups, kept, fits)
  local n, sum, sorted = #groups, weights(groups), by_ratio(groups)
  local memo, work, whole, parts_of = {}, {}, {}, remembered_parts(fits)
  for i, g in ipairs(groups) do work[1 << (i - 1)], whole[1 << (i - 1)] = g.seconds, g.load + g.seconds end

  local function without_kept(left)
    local cost, first = 0, nil
    for i = 1, n do
      local g = sorted[i]
      local bit = g.bit
      if left & bit ~= 0 then
        first = first or bit
        cost = cost + g.cost * sum[left]
        left = left ~ bit
      end
    end
    return cost, first
  end

  --- The least cost of serving `left` while `held` of them are loaded; which goes first, and what stays loaded then.
  local function best(left, held)
    if held == 0 then return without_kept(left) end
    local row = memo[held]
    if not row then
      row = {}
      memo[held] = row
    end
    local known = row[left]
    if known then return known end
    local least, first, stays = huge, nil, nil
    local weight, bits = sum[left], left
    while bits ~= 0 do
      local bit = bits & -bits
      bits = bits ~ bit
      local rest = left ~ bit
      if held & bit ~= 0 then
        local cost = work[bit] * weight + best(rest, held ~ bit)
        if cost < least then least, first, stays = cost, bit, held end
      else
        local own, choices = whole[bit] * weight, parts_of(held, bit)
        if own < least then
          for i = 1, #choices do
            local cost = own + best(rest, choices[i])
            if cost < least then least, first, stays = cost, bit, choices[i] end
          end
        end
      end
    end
    row[left] = least
    return least, first, stays
  end

  return best((1 << n) - 1, kept)
end

local function index_of(bit)
  local i = 1
  while 1 << (i - 1) < bit do i = i + 1 end
  return i
end

--- Which group first?
---
---     sequence.first({ { waiting = 1, seconds = 9, load = 3 }, { waiting = 5, seconds = 5, load = 3 } }, fits)   --> 2
---
---@param groups stoke.sequence.group[] at least one, each with waiting > 0
---@param fits fun(set: integer): boolean do the models of these groups have room beside each other? Bit i - 1 is group i
---@return integer index of the group
---@return integer keep the loaded models with work that should stay while it is served, as such a set (0 beyond M.most groups)
---@return number|nil cost the sum of the waiting that is still to come, in seconds
function M.first(groups, fits)
  if #groups > M.most then return greedy(groups), 0 end
  local kept = 0
  for i, g in ipairs(groups) do
    if g.resident then kept = kept | 1 << (i - 1) end
  end
  local cost, first, stays = search(groups, kept, remembered(fits))
  return index_of(first), stays or 0, cost
end

return M
