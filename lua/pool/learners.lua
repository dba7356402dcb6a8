--- What learns of a lane: its slots, its speeds, what its server remembers of conversations, whether it answers. A lane has these
--- from its first contended call on, and begins with what earlier processes knew. Pure.

local breaker = require "core.pool.breaker"
local chores = require "core.pool.chores"
local estimate = require "core.pool.estimate"
local lanes = require "core.pool.lane"
local prefix = require "core.pool.prefix"
local slots = require "core.pool.slots"

local M = {}

--- Replies of which a lane has learned so little that what was known before is better.
local FEW <const> = 8

local NOTHING = {}

--- A part of what is remembered; nil where it has another shape: another version may have written it.
local function part_of(known, name)
  local part = known[name]
  return type(part) == "table" and part or nil
end

--- A lane gets what it does not have yet. One of no model has a fixed number of calls instead.
---@param lane stoke.pool.lane
---@param recall fun(key: string): table?, boolean? see stoke.pool.engine
---
--- Example: `learners.equip(lane, function() return nil end); lane.slots.believed --> 1`
function M.equip(lane, recall)
  if not lane.target then
    lane.limit = lane.limit or lanes.PLAIN
    return
  end
  local known, sure = recall(lane.key)
  known = known or NOTHING
  local before = part_of(known, "slots")
  if before and sure == false then before = { slots = before.slots, sure = false } end
  lane.slots = lane.slots or slots.new(before)
  lane.facts = lane.facts or estimate.new(part_of(known, "estimate"))
  lane.cache = lane.cache or prefix.new(part_of(known, "prefix"), lane.limit or lane.slots.believed)
  local learned = lane.target.learned -- in place, too, where calls pass without this
  lane.breaker = lane.breaker or breaker.new { alone = not lane.groups[2], probes = chores.can_ask(lane),
    known = learned ~= nil and next(learned) ~= nil }
end

--- What earlier processes knew is there now: a lane that has learned little since begins with it.
---@param lane stoke.pool.lane
---@param recall fun(key: string): table?, boolean?
---@return boolean|nil renewed
function M.renew(lane, recall)
  if not lane.slots or (lane.replies or 0) >= FEW or not recall(lane.key) then return false end
  lane.slots, lane.facts, lane.cache = nil, nil, nil
  M.equip(lane, recall)
  return true
end

--- Forget what was learned of a lane, and the slots that are kept by it.
---@param lane stoke.pool.lane
function M.drop(lane)
  lane.slots, lane.facts, lane.cache, lane.breaker, lane.holds = nil, nil, nil, nil, nil
  lane.talked, lane.replies = nil, nil
end

--- What a lane has learned, as plain data.
---@param lane stoke.pool.lane
---@return { slots: table, estimate: table, prefix: table }|nil facts nil: nothing learns of it
function M.facts(lane)
  if not lane.slots then return nil end
  return { slots = lane.slots:facts(), estimate = lane.facts:facts(), prefix = lane.cache:facts() }
end

return M
