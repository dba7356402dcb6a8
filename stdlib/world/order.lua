--- Out of order: members that cannot affect each other need not wait for each other's thoughts. The result is the same as in lock
--- step, where all members are stepped together.
---
--- After Xie et al., "AI Metropolis: Scaling Large Language Model-based Multi-Agent Simulation with Out-of-order Execution", 2024.
--- Who sees and changes nothing farther than `reach` away, and moves at most `speed` in a tick, cannot be affected in tick t by
--- somebody who is still in tick s, s <= t, as long as they are farther apart than
---
---     reach + speed * (t - s + 2)
---
--- The other one may come nearer by speed * (t - s) until it is in tick t, and both move by `speed` within that tick, before or
--- after they look. Those in the same tick who are not so far apart, or tied, are stepped together, in the order of ids; one of
--- them who waits for a thought keeps the others waiting.
---
--- Members come apart where one waits for a thought. They come together again where something concerns all: an input, a snapshot, a
--- pause, the end of the run; nobody goes beyond that tick. A tick is committed, its entries and events get their numbers, when all
--- have passed it.

local definition = require "stoke.world.definition"

local M = {}

local chebyshev <const> = definition.chebyshev

---@class stoke.world.apart
---@field at table<string, integer> the tick that is next, by the ids of members
---@field count table<integer, integer> how many members are in a tick; nil: none
---@field front integer the furthest of these
---@field rows stoke.world.row[] answers that were applied, in ticks that are not committed

--- Members may come apart from now on.
---@param engine stoke.world.engine
---@return stoke.world.apart
---
--- Example: `engine.apart = order.begin(engine)`
function M.begin(engine)
  local at, now = {}, engine.now
  for _, member in ipairs(engine.list) do at[member.id] = now end
  return { at = at, count = { [now] = #engine.list }, front = now, rows = {} }
end

-- ---- who waits for whom --------------------------------------------------------------------------------------------------------

--- Can a member in a tick be affected by one that is behind?
local function held_back(def, apart, member, behind)
  local at, reach, speed, distance, tied = apart.at, def.reach, def.speed, def.distance, def.tied
  local tick = at[member.id]
  for i = 1, #behind do
    local other = behind[i]
    if distance(member, other) <= reach + speed * (tick - at[other.id] + 2) or tied and tied(member, other) then return true end
  end
  return false
end

--- The group of a member: union and find.
local function root_of(up, i)
  while up[i] ~= i do
    up[i] = up[up[i]]
    i = up[i]
  end
  return i
end

local function join(up, i, k)
  i, k = root_of(up, i), root_of(up, k)
  if i ~= k then up[math.max(i, k)] = math.min(i, k) end
end

--- Pairs that are near each other, by a grid, so that not all are compared: f(i, k).
local function near_pairs(list, span, f)
  local cells, side = {}, math.max(span, 1)
  for i = 1, #list do
    local x, y = list[i].x, list[i].y
    if x and y then
      local column, row = x // side, y // side
      for dx = -1, 1 do
        for dy = -1, 1 do
          local cell = cells[(column + dx) * 67108859 + row + dy]
          for k = 1, cell and #cell or 0 do
            if chebyshev(list[i], list[cell[k]]) <= span then f(i, cell[k]) end
          end
        end
      end
      local key = column * 67108859 + row
      local cell = cells[key] or {}
      cells[key] = cell
      cell[#cell + 1] = i
    end
  end
end

local FEW <const> = 24 -- members that are simply compared with each other

--- The groups of members in the same tick: for each the first one of its group.
local function groups(def, list)
  local up, n, span = {}, #list, def.reach + 2 * def.speed
  for i = 1, n do up[i] = i end
  local by_grid = def.distance == chebyshev and n > FEW
  if by_grid then near_pairs(list, span, function(i, k) join(up, i, k) end) end
  if not by_grid or def.tied then
    local distance, tied = def.distance, def.tied
    for i = 2, n do
      for k = 1, i - 1 do
        if not by_grid and distance(list[i], list[k]) <= span or tied and tied(list[i], list[k]) then join(up, i, k) end
      end
    end
  end
  for i = 1, n do up[i] = root_of(up, i) end
  return up
end

-- ---- a tick of those who can ---------------------------------------------------------------------------------------------------

--- The members in a tick, and those behind it, each in the order of ids.
local function level(engine, tick)
  local at, here, behind = engine.apart.at, {}, {}
  for _, member in ipairs(engine.list) do
    local own = at[member.id]
    if own == tick then here[#here + 1] = member elseif own < tick then behind[#behind + 1] = member end
  end
  return here, behind
end

--- Those of a tick who can be stepped now.
local function free(engine, answers, tick)
  local def, apart, thinking = engine.def, engine.apart, engine.thinking
  local list, behind = level(engine, tick)
  local up, stuck, out = groups(def, list), {}, {}
  for i, member in ipairs(list) do
    local entry = thinking[member.id]
    if entry and entry.due <= tick and not answers[member.id] or not stuck[up[i]] and held_back(def, apart, member, behind) then
      stuck[up[i]] = true
    end
  end
  for i, member in ipairs(list) do
    if not stuck[up[i]] then out[#out + 1] = member end
  end
  return out
end

--- Step them: first the answers that are due, then the steps.
local function step(engine, answers, list, tick)
  local apart, rows = engine.apart, {}
  for _, member in ipairs(list) do
    local entry = engine.thinking[member.id]
    if entry and entry.due <= tick then
      local row = answers[member.id]
      row.tick, answers[member.id] = tick, nil
      rows[#rows + 1] = row
    end
  end
  if rows[1] then
    engine:apply(rows, tick)
    table.move(rows, 1, #rows, #apart.rows + 1, apart.rows)
  end
  engine:step(list, tick)
  for _, member in ipairs(list) do apart.at[member.id] = tick + 1 end
  local left, count = apart.count[tick] - #list, apart.count
  count[tick], count[tick + 1] = left > 0 and left or nil, (count[tick + 1] or 0) + #list
  if tick + 1 > apart.front then apart.front = tick + 1 end
end

--- Go through the ticks from the last one on, and step who can be stepped.
local function pass(engine, answers, limit, most)
  local apart, tick, done = engine.apart, engine.now, 0
  while tick < limit and tick <= apart.front and done < most do
    local list = apart.count[tick] and free(engine, answers, tick)
    if list and list[1] then
      step(engine, answers, list, tick)
      done = done + 1
    end
    tick = tick + 1
  end
  apart.done = done
end

--- Step who can be stepped, up to a tick.
---@param engine stoke.world.engine its members are apart
---@param answers table<string, stoke.world.row> of thoughts, by members; those that are applied are taken out
---@param limit integer nobody goes beyond
---@param most integer ticks in which somebody is stepped, at most
---@return integer done ticks in which somebody was
---Raises as engine:tick.
---
--- Example: `local done = order.advance(engine, answers, engine.now + 100, 64)`
function M.advance(engine, answers, limit, most)
  engine:guarded(pass, answers, math.min(limit, engine.now + engine.def.ahead), most)
  return engine.apart.done
end

--- The tick that all members have come to.
---@param engine stoke.world.engine
---@return integer
---
--- Example: `local tick = order.slowest(engine)`
function M.slowest(engine)
  local apart, tick = engine.apart, engine.now
  while not apart.count[tick] and tick < apart.front do tick = tick + 1 end
  return tick
end

--- The answers that were applied before a tick, in the order of the log; they are taken out.
---@param engine stoke.world.engine
---@param tick integer
---@return stoke.world.row[]
---
--- Example: `log:add(order.applied(engine, tick))`
function M.applied(engine, tick)
  local out, rest = {}, {}
  for _, row in ipairs(engine.apart.rows) do
    if row.tick < tick then out[#out + 1] = row else rest[#rest + 1] = row end
  end
  table.sort(out, function(a, b)
    if a.tick ~= b.tick then return a.tick < b.tick end
    return a.member < b.member
  end)
  engine.apart.rows = rest
  return out
end

return M
