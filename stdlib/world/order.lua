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
---@field levels table<integer, table[]> the members in a tick, in the order of ids
---@field rank table<string, integer> the places of members in that order
---@field safe table<string, integer> the last tick in which a member is too far from all others to be affected
---@field held table<string, { who: string, tick: integer }> whom a member waits for, as long as that one is in this tick
---@field front integer the furthest tick
---@field done integer ticks in which somebody was stepped, of the last pass
---@field rows stoke.world.row[] answers that were applied, in ticks that are not committed

--- Members may come apart from now on.
---@param engine stoke.world.engine
---@return stoke.world.apart
---
--- Example: `engine.apart = order.begin(engine)`
function M.begin(engine)
  local at, rank, now, list = {}, {}, engine.now, engine.list
  for i, member in ipairs(list) do at[member.id], rank[member.id] = now, i end
  return { at = at, rank = rank, levels = { [now] = table.move(list, 1, #list, 1, {}) }, safe = {}, held = {}, front = now,
    done = 0, rows = {} }
end

-- ---- who waits for whom --------------------------------------------------------------------------------------------------------

--- The nearest of all others, as far as that counts: how much farther it is than it may be.
---@return number margin
---@return table|nil behind one that is behind and can affect it
local function nearest(engine, member, tick)
  local def, at, list = engine.def, engine.apart.at, engine.list
  local reach, speed, distance, tied = def.reach, def.speed, def.distance, def.tied
  local margin = math.huge
  for i = 1, #list do
    local other = list[i]
    if other ~= member then
      local own = at[other.id]
      local room = distance(member, other) - reach - speed * (tick - own + 2)
      if tied and tied(member, other) then room = 0 end
      if room <= 0 and own < tick then return room, other end
      if room < margin then margin = room end
    end
  end
  return margin
end

--- The same for the distance that worlds have where they say nothing, and without ties: this is where most of the time is spent.
local function nearest_by_chess(engine, member, tick)
  local def, at, list = engine.def, engine.apart.at, engine.list
  local x, y, speed, now, margin = member.x, member.y, def.speed, engine.now, math.huge
  if not x or not y then return margin end
  local base = def.reach + speed * (tick - now + 2) -- how far those who are last must be
  for i = 1, #list do
    local other = list[i]
    local dx, dy = other.x, other.y
    if dx and dy and other ~= member then
      dx, dy = dx - x, dy - y
      if dx < 0 then dx = -dx end
      if dy < 0 then dy = -dy end
      if dy > dx then dx = dy end
      if dx - base < margin or dx <= base then -- else it is not the nearest, wherever it is
        local own = at[other.id]
        local room = dx - base + speed * (own - now)
        if room <= 0 and own < tick then return room, other end
        if room < margin then margin = room end
      end
    end
  end
  return margin
end

--- Compare a member with all others: can one that is behind affect it? If not, for how long can nobody?
---@return boolean held
local function look(engine, member, tick)
  local def, apart = engine.def, engine.apart
  local margin, behind = (def.bounded and not def.tied and nearest_by_chess or nearest)(engine, member, tick)
  if behind then
    apart.held[member.id] = { who = behind.id, tick = apart.at[behind.id] }
    return true
  end
  local ticks = margin > 0 and math.min(math.ceil(margin / (2 * def.speed)), 1 << 30) or 0 -- speed may be 0
  apart.safe[member.id], apart.held[member.id] = tick + ticks - 1, nil
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

--- Does it wait, for a thought of its own or for one that is behind?
local function is_stuck(engine, answers, member, tick)
  local apart, id = engine.apart, member.id
  local entry, held = engine.thinking[id], apart.held[id]
  if entry and entry.due <= tick and not answers[id] then return true end
  if held and apart.at[held.who] == held.tick then return true end
  return (apart.safe[id] or -1) < tick and look(engine, member, tick)
end

--- Of those who are near to others, the ones whose whole group can go.
local function free_groups(def, crowd, stuck, free)
  local up, waits = groups(def, crowd), {}
  for i, member in ipairs(crowd) do
    if stuck[member] then waits[up[i]] = true end
  end
  for i, member in ipairs(crowd) do
    if not waits[up[i]] then free[member] = true end
  end
end

--- Those of a tick who can be stepped now, and those who cannot, each in the order of ids.
local function divide(engine, answers, tick)
  local apart, list = engine.apart, engine.apart.levels[tick]
  local safe, free, stuck, crowd, movable = apart.safe, {}, {}, {}, false
  for i = 1, #list do
    local member = list[i]
    local waits = is_stuck(engine, answers, member, tick)
    if (safe[member.id] or -1) < tick then -- others may be near
      crowd[#crowd + 1] = member
      if waits then stuck[member] = true else movable = true end
    elseif not waits then
      free[member] = true
    end
  end
  if movable then free_groups(engine.def, crowd, stuck, free) end
  local go, stay = {}, {}
  for i = 1, #list do
    local member = list[i]
    if free[member] then go[#go + 1] = member else stay[#stay + 1] = member end
  end
  return go, stay
end

--- Two lists in the order of ids, as one.
local function merged(a, b, rank)
  if not b then return a end
  local out, i, k = {}, 1, 1
  for n = 1, #a + #b do
    if k > #b or i <= #a and rank[a[i].id] < rank[b[k].id] then
      out[n], i = a[i], i + 1
    else
      out[n], k = b[k], k + 1
    end
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
  if tick + 1 > apart.front then apart.front = tick + 1 end
end

--- Go through the ticks from the last one on, and step who can be stepped.
local function pass(engine, answers, limit, most)
  local apart, tick, done = engine.apart, engine.now, 0
  local levels = apart.levels
  while tick < limit and tick <= apart.front and done < most do
    local go, stay
    if levels[tick] then go, stay = divide(engine, answers, tick) end
    if go and go[1] then
      step(engine, answers, go, tick)
      levels[tick], levels[tick + 1] = stay[1] and stay or nil, merged(go, levels[tick + 1], apart.rank)
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
  while not apart.levels[tick] and tick < apart.front do tick = tick + 1 end
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
