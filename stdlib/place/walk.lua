--- How members of a world walk: one tile a tick, never on a blocked tile, never two on one. What a walk is at is plain data in the
--- member's own record (`walk`), and a step reads the records of others and writes this one, so that a world can replay it. Whom it
--- asks to make way gets an empty walk: who stands looks round for such offers only then, which costs nothing where nobody walks.
---
--- Who finds a tile taken goes round where that is not far, waits for who walks on, and else offers to change places: both
--- write down with whom and at which tick, and do it together in that one. Of two who are in each other's way the one who has been
--- walking for longer is let through, so that the one who has walked longest always gets on, and everybody arrives.

local route = require "stoke.place.route"

local M = {}

--- Steps that a way round may be longer.
local DETOUR <const> = 6
--- Ways round of one walk; then places are changed. Else two doors with somebody in each could send one to and fro for ever.
local ROUNDS <const> = 8
--- Ticks from an offer to change places until it is done: the other may have stepped already when it is made.
local OFFER <const> = 2
--- Ticks behind somebody who stands, after which a walk is given up: who stands makes way, unless it does not step at all.
local PATIENCE <const> = 60
--- Ticks without a step on, whoever is in the way. In a crowd those who have walked for longer may keep one waiting for minutes.
local LONGEST <const> = 600

---@class stoke.place.walk plain data, in a member's record
---@field to? { x: integer, y: integer }|{ spot: string } where to; nil for who is asked to make way
---@field path? string the way, a letter a step
---@field at? integer steps done of it
---@field since? integer the tick at which the walk began
---@field waited? integer ticks since the last step
---@field behind? integer the tick since when who is in the way stands
---@field rounds? integer ways round that were taken
---@field swap? { x: integer, y: integer, tick: integer } change of places: onto which tile, and when

local function who_is_at(others, x, y)
  for i = 1, #others do
    if others[i].x == x and others[i].y == y then return others[i] end
  end
end

--- Who goes to a tile in this tick, by a change of places.
local function who_comes_to(others, x, y, tick)
  for i = 1, #others do
    local swap = others[i].walk and others[i].walk.swap
    if swap and swap.tick == tick and swap.x == x and swap.y == y then return others[i] end
  end
end

--- Is one tile beside the other?
local function beside(a, b) return math.abs(a.x - b.x) + math.abs(a.y - b.y) == 1 end

--- Does it want to change places with me? One that was put elsewhere since it said so does not.
local function offers(other, me)
  local swap = other.walk and other.walk.swap
  return swap ~= nil and swap.x == me.x and swap.y == me.y and beside(other, me) and swap
end

--- Has the other one of my change of places agreed to it?
local function agreed(me, swap, others)
  for i = 1, #others do
    local other = others[i]
    if other.x == swap.x and other.y == swap.y then
      local theirs = offers(other, me)
      return theirs and theirs.tick == swap.tick, other
    end
  end
end

--- Who of two goes first: the one that has walked for longer. Who stands is in nobody's way.
local function before(a, b)
  local mine, theirs = a.walk and a.walk.since, b.walk and b.walk.since
  if not mine or not theirs then return mine ~= nil end
  if mine ~= theirs then return mine < theirs end
  return a.id < b.id
end

--- Who offers me to change places: the one whose tile I want, or else the one that goes first. An offer for this very tick comes
--- too late.
local function best_offer(me, others, tick, wanted)
  local best
  for i = 1, #others do
    local other = others[i]
    local swap = other.walk and offers(other, me)
    if swap and swap.tick > tick then
      if other == wanted then return other end
      if not best or before(other, best) then best = other end
    end
  end
  return best
end

local function accept(me, other)
  local walk = me.walk or {}
  me.walk = walk
  walk.swap = { x = other.x, y = other.y, tick = other.walk.swap.tick }
end

--- Put it on the next tile of its way, or another one.
local function move(me, x, y)
  local walk = me.walk
  local letter = walk.path and walk.path:sub(walk.at + 1, walk.at + 1) or ""
  if letter ~= "" and me.x + route.DX[letter] == x and me.y + route.DY[letter] == y then
    walk.at, walk.waited = walk.at + 1, 0
  else
    walk.path = nil -- made way: the way is another one from here
  end
  me.x, me.y, walk.behind = x, y, nil
end

--- Is it where it wanted to be?
local function arrive(place, me, what)
  local walk = me.walk
  if not walk.to then
    me.walk = nil
    return what
  end
  if walk.path and walk.at == #walk.path and place.goal_of(walk.to).set[me.y * place.grid.stride + me.x] then
    me.walk = nil
    return "arrived"
  end
  return what
end

--- A change of places that is due. The first of the two goes where the other one still stands, the other one then finds it on its
--- own tile; where one of them has thought better of it, or was put elsewhere, neither moves.
local function change_places(me, others, tick)
  local swap = me.walk.swap
  local mine = swap.tick == tick and beside(me, swap) and (agreed(me, swap, others) or who_is_at(others, me.x, me.y) ~= nil)
  me.walk.swap = nil
  if mine then move(me, swap.x, swap.y) end
  return mine
end

--- All tiles that somebody is on.
local function taken(place, others, tick)
  local set, stride = {}, place.grid.stride
  for i = 1, #others do
    local other = others[i]
    set[other.y * stride + other.x] = true
    local swap = other.walk and other.walk.swap
    if swap and swap.tick == tick then set[swap.y * stride + swap.x] = true end
  end
  return set
end

local function finish(me, what, other)
  me.walk = nil
  return what, other and other.id
end

--- Somebody is on the next tile.
local function blocked(place, me, other, others, tick)
  local walk = me.walk
  local stands = not (other.walk and other.walk.to)
  walk.waited, walk.behind = walk.waited + 1, stands and (walk.behind or tick) or nil
  if walk.waited > LONGEST or stands and tick - walk.behind >= PATIENCE then return finish(me, "stuck", other) end
  local offer = best_offer(me, others, tick, other)
  if offer and (offer == other or before(offer, me)) then
    accept(me, offer)
    return "waits", other.id
  end
  if stands or walk.waited > 1 then
    local left = #walk.path - walk.at
    local way = walk.rounds < ROUNDS
      and route.find(place.grid, me.x, me.y, place.goal_of(walk.to), taken(place, others, tick), left + DETOUR)
    if way and way ~= "" then
      walk.path, walk.at, walk.rounds = way, 0, walk.rounds + 1
      move(me, me.x + route.DX[way:sub(1, 1)], me.y + route.DY[way:sub(1, 1)])
      return arrive(place, me, "moved")
    end
    if stands and left == 1 then return finish(me, "near", other) end
    walk.swap = { x = other.x, y = other.y, tick = tick + OFFER }
    other.walk = other.walk or {}
  end
  return "waits", other.id
end

--- The next tile of the way; the way is looked for where there is none, or it does not fit any more (somebody has been put
--- elsewhere).
local function next_tile(place, me)
  local walk, grid = me.walk, place.grid
  for _ = 1, 2 do
    if walk.path and walk.at < #walk.path then
      local letter = walk.path:sub(walk.at + 1, walk.at + 1)
      local x, y = me.x + route.DX[letter], me.y + route.DY[letter]
      if grid.open[y * grid.stride + x] then return x, y end
    end
    walk.path, walk.at = route.find(grid, me.x, me.y, place.goal_of(walk.to)), 0
    if not walk.path or walk.path == "" then return nil end
  end
end

local function pending(place, me, others, tick)
  local walk = me.walk
  local swap = walk.swap
  if swap.tick <= tick then
    if change_places(me, others, tick) then return arrive(place, me, "moved") end
    if not walk.to then return finish(me, "stands") end
    return nil
  end
  local sure, other = agreed(me, swap, others)
  if not other then -- it is gone: the way is free
    walk.swap = nil
    if not walk.to then return finish(me, "stands") end
    return nil
  end
  if not sure then
    local offer = best_offer(me, others, tick, other)
    if offer and (offer == other or before(offer, me)) then accept(me, offer) end
  end
  if not walk.to then return "stands" end
  walk.waited = walk.waited + 1
  return "waits", other.id
end

--- One tick of one member; see place:step.
---@param place stoke.place.inner
---@param me table
---@param others table[]
---@param tick integer
---@return string what
---@return string|nil who
function M.step(place, me, others, tick)
  local walk = me.walk
  if walk and walk.swap then
    local what, who = pending(place, me, others, tick)
    if what then return what, who end
    walk = me.walk
  end
  if not walk then return "stands" end
  if not walk.to then
    local offer = best_offer(me, others, tick)
    if offer then accept(me, offer) else me.walk = nil end
    return "stands"
  end
  local x, y = next_tile(place, me)
  if not x then return finish(me, walk.path and "arrived" or "stuck") end
  local other = who_is_at(others, x, y)
  if other then return blocked(place, me, other, others, tick) end
  other = who_comes_to(others, x, y, tick)
  if other then return "waits", other.id end
  move(me, x, y)
  return arrive(place, me, "moved")
end

return M
