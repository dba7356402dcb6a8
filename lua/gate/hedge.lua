--- Hedges (pool.hedge = true): a call along a route that takes longer than nearly all of its lane is made once more, onto an idle
--- slot of another server. The first answer counts, the other call is cancelled, and its slot is free. At most one call in twenty
--- is hedged: servers that are slow as a whole are the pool's to see, not this file's.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local errors = require "core.errors"
local gate = require "core.gate.pool"
local lanes = require "core.pool.lane"
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

--- Part of the calls of a lane that end sooner than a hedge begins; and part of all calls that may be hedged.
local LATE <const>, PART <const> = 0.95, 0.05

--- How much later than that it must be: what a server says of a call leaves its way there and back out, and calls that all take the
--- same would be late by nothing.
local MARGIN <const>, LEAST <const> = 1.25, 0.1

--- Calls along routes that could have been hedged, those that were, and those in which the second one won.
M.counts = { calls = 0, hedged = 0, won = 0 }
local counts = M.counts

--- Has a lane a slot that nobody wants?
local function is_idle(lane)
  if lane.busy >= lanes.width(lane) then return false end
  local models = lane.server.residency
  if models and not models:resident(lane) then return false end -- it would have to be loaded
  for _, group in ipairs(lane.groups or {}) do
    if group.queue.size > 0 then return false end
  end
  return not lane.breaker or lane.breaker:allows(monotonic())
end

--- Another target of the call, on another server, with an idle slot.
local function other_of(record)
  for _, target in ipairs(record.work) do
    local lane = target.key ~= record.target.key and gate.lane(target.key, target)
    if lane and lane.server.url ~= record.target.endpoint.url and is_idle(lane) then return target end
  end
end

local function wake(race)
  local co = race.task.co
  if co then host.wake(co) end
end

--- One of the two calls, in a task of its own. What it raises is its caller's.
local function start(race, record, work)
  race.running = race.running + 1
  local side = { record = record }
  side.task = tasks.spawn(function()
    local ok, value, err = pcall(work, record)
    race.running = race.running - 1
    if not ok then
      race.raised = race.raised or value
    elseif err then
      side.err = err
    elseif not race.winner then
      race.winner, race.value = side, value
    end
    wake(race)
  end, { system = true, name = "hedge" })
  return side
end

--- Make the second call, in a slot of its own. It gives the slot back unless it has won: then `race.slot` is the caller's.
local function ask_again(race, own, ask, q)
  local slot, err = gate.acquire(own, own.target.key)
  if err then return nil, err end
  own.slot = slot
  local ok, value
  ok, value, err = pcall(ask, q, own)
  if not ok or err or race.over or race.winner then
    own.slot = nil
    if not ok then err = errors.wrap(value) end
    err = err or errors.new("cancelled", "the first call has answered")
    gate.release(slot, nil, err)
    if not ok then error(value, 0) end
    return nil, err
  end
  race.slot = slot
  return value
end

--- It is found as the holder of its slot by its task (lua/gate/holders.lua).
local function second_of(race, record, target, ask, q)
  local work = { target, route = record.work.route, run = record.work.run }
  local own = setmetatable({ target = target, slot = nil, outer = false, work = work }, { __index = record })
  local side = start(race, own, function() return ask_again(race, own, ask, q) end)
  side.task.hedge = own
  return side
end

--- The caller goes on: what still runs is cancelled, and a slot that it did not take over is free.
local Guard = {}
function Guard.__close(sides)
  local race = sides.race
  race.over = true
  for _, side in ipairs(sides) do
    if not side.task.state then scopes.cancel(side.task, errors.new("cancelled", "the other call has answered")) end
  end
  local slot = race.slot
  if slot then
    race.slot = nil
    gate.release(slot, nil, errors.new("cancelled", "whoever asked does not wait any more"))
  end
end

--- Wait until one has answered, one has raised, both have failed, or a time is over.
local function wait(race, seconds)
  local ends = seconds and monotonic() + seconds
  while not race.winner and not race.raised and race.running > 0 do
    local left = ends and ends - monotonic()
    if left and left <= 1e-6 then return true end
    local woken, err = host.park("hedge", left)
    if woken == nil then return nil, err end
  end
  if race.raised and not race.winner then error(race.raised, 0) end
  return true
end

--- Make a call, and once more where it is late.
---@param ask fun(q: table, record: table): any, stoke.error? makes it, where record.alone says that it is one of the parts
---@param q table
---@param record table of lua/effect.lua, granted, with more than one target
---@return any value
---@return stoke.error? err
function M.run(ask, q, record)
  counts.calls, record.alone = counts.calls + 1, true -- its parts are not hedged again
  local lane = gate.pools[record.target.key]
  local most = lane and lane.facts and lane.facts:most(LATE)
  if not most or counts.hedged + 1 > PART * counts.calls then return ask(q, record) end
  local race = { task = host.current(), running = 0, winner = nil, value = nil, slot = nil, raised = nil, over = false }
  local sides <close> = setmetatable({ race = race }, Guard)
  sides[1] = start(race, record, function() return ask(q, record) end)
  sides[1].task.asks = record -- for lua/gate/rescue.lua
  local ok, err = wait(race, math.max(most * MARGIN, most + LEAST))
  local target = ok and not race.winner and race.running > 0 and other_of(record) or nil
  if target then
    counts.hedged = counts.hedged + 1
    sides[2] = second_of(race, record, target, ask, q)
  end
  if ok then ok, err = wait(race) end
  if not ok then return nil, err end
  local winner = race.winner
  if not winner then return nil, sides[1].err end
  if winner == sides[2] then -- its slot is the call's from here on: what its answer tells is of that lane
    counts.won = counts.won + 1
    local slot = record.slot
    record.slot, record.target, race.slot = race.slot, winner.record.target, nil
    if slot then gate.release(slot, nil, errors.new("cancelled", "the second call has answered")) end
  end
  return race.value
end

return M
