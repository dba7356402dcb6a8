--- Where a call that several servers could answer goes: to the one that is estimated to end it first. An idle server takes from the
--- common queue, which is work stealing; and a call may wait for a busy server instead, because that one is faster or has its
--- context, where that ends it sooner (delay scheduling). Pure.

local lanes = require "core.pool.lane"

local M = {}

local max, min, huge = math.max, math.min, math.huge

local NONE = {}

--- A busy lane of which nothing is known is expected to take this long for a call, seconds.
local UNKNOWN <const> = 5
--- A call waits for another lane for at most this many times what it is expected to wait, and at least so many seconds.
local PATIENCE <const>, LEAST <const> = 2, 0.25

--- Tokens of a ticket's context that a lane holds.
local function shared(lane, ticket)
  return ticket.unit and lane.cache and lane.cache:holds(ticket.unit) or 0
end

--- Seconds that a lane is expected to take for a call, without waiting.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket
---@return number|nil seconds nil: nobody knows
function M.service(lane, ticket)
  local facts = lane.facts
  if not facts or not facts:mean() then return nil end
  return (facts:service(ticket.input, shared(lane, ticket), ticket.agent, lane.busy + 1))
end

--- Seconds that nine of ten such calls do not exceed: for promises.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket
---@return number seconds 0 where nobody knows
function M.most(lane, ticket)
  local service = M.service(lane, ticket)
  if not service then return 0 end
  local usual, most = lane.facts:mean(), lane.facts:most(0.9)
  return usual and most and usual > 0 and service * max(most / usual, 1) or service
end

--- Seconds by which an interactive call would miss its deadline though it began now: then its slot is of more use to others.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket
---@param now number
---@return number|nil
function M.misses(lane, ticket, now)
  if ticket.class > 1 or not ticket.deadline then return nil end
  local late = now + M.most(lane, ticket) - ticket.deadline
  return late > 0 and late or nil
end

--- Seconds of a usual call of a lane.
---@param lane stoke.pool.lane
---@return number|nil
function M.usual(lane) return lane.facts and lane.facts:mean() or nil end

--- Seconds until the first of the calls that are out should have ended. One that is late already is expected to take as long again
--- as it is late: the longer it is out, the less is known.
local function first_end(lane, now)
  local usual, first = M.usual(lane) or UNKNOWN, huge
  for ticket in next, lane.running do
    local left = (ticket.serves or now) + (ticket.at_most or usual) - now
    first = min(first, left > 0 and left or -left)
  end
  return first < huge and first or usual
end

--- Seconds until a slot of a lane is free to which more calls were sent than it has slots: the server takes them in that order.
local function next_slot(lane, now, slots)
  local usual, free, queued = M.usual(lane) or UNKNOWN, {}, 0
  for ticket in next, lane.running do
    local left = ticket.serves and ticket.serves + (ticket.at_most or usual) - now
    if left then free[#free + 1] = left > 0 and left or -left else queued = queued + 1 end
  end
  table.sort(free)
  local turn = free[queued % slots + 1] or free[#free] or 0
  return turn + queued // slots * usual
end

--- Seconds until the last of the calls that are out should have ended.
---@param lane stoke.pool.lane
---@param now number
---@return number
function M.rest(lane, now)
  local usual, last = M.usual(lane) or UNKNOWN, 0
  for ticket in next, lane.running do last = max(last, (ticket.serves or now) + (ticket.at_most or usual) - now) end
  return last
end

--- Seconds until a lane could begin a call that comes after all that wait for it alone.
---@param lane stoke.pool.lane
---@param now number
---@param room integer calls that it could take now
---@return number
function M.wait(lane, now, room)
  local waiting = lane.group.queue.size
  if room > waiting then return 0 end
  local turns = (waiting - room) / max(1, lanes.width(lane))
  return (room > 0 and 0 or first_end(lane, now)) + turns * (M.usual(lane) or UNKNOWN)
end

--- Seconds until a lane should begin a ticket that waits, with those that go before it.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket
---@param now number
---@param before? integer calls that go before it, where they have been counted
---@return number
function M.ahead(lane, ticket, now, before)
  before = before or ticket.group.queue:before(ticket)
  return first_end(lane, now) + before / max(1, lanes.width(lane)) * (M.usual(lane) or UNKNOWN)
end

--- Seconds that all that waits in a group keeps the lanes busy, without one of them.
local function drain(group, without, now, room_of)
  local rate = 0
  for _, lane in ipairs(group.lanes) do
    local usual = lane ~= without and room_of(lane, now) >= 0 and M.usual(lane)
    if usual and usual > 0 then rate = rate + lanes.width(lane) / usual end
  end
  return rate > 0 and group.queue.size / rate or huge
end

--- Slots of a lane that are kept for other conversations.
local function kept_for_others(lane, ticket)
  local n = 0
  for _, hold in ipairs(lane.holds or NONE) do
    if hold.unit ~= ticket.unit then n = n + 1 end
  end
  return n
end

--- Should a ticket of several lanes take this one, which is free, or wait for another?
---@param ticket stoke.pool.ticket the best of its group
---@param lane stoke.pool.lane a free one
---@param now number
---@param room_of fun(lane: stoke.pool.lane, now: number): integer calls that a lane could take; below 0: it takes none at all
---@return stoke.pool.lane|nil better to wait for; nil: take this one
---@return number|nil seconds to wait for it at most
function M.better(ticket, lane, now, room_of)
  local here = M.service(lane, ticket)
  if not here then return nil end -- it has to be tried to be known
  local slots = max(1, lanes.width(lane))
  local queued = lane.busy >= slots -- it would wait in the server, after all that is out there
  if queued then here = M.most(lane, ticket) + next_slot(lane, now, slots) end
  local best, ends, waits = nil, here, 0
  for _, other in ipairs(ticket.group.lanes) do
    local there = other ~= lane and M.service(other, ticket)
    local room = there and room_of(other, now) or -1
    if room >= 0 then
      local wait = M.wait(other, now, room - kept_for_others(other, ticket))
      if wait + there < ends then best, ends, waits = other, wait + there, wait end
    end
  end
  if not best then return nil end
  -- nobody is waiting for its answer: it may as well do what the others would not get done sooner
  if not queued and ticket.class > 1 and waits > 0 then
    if M.most(lane, ticket) <= drain(ticket.group, lane, now, room_of) then return nil end
  end
  return best, max(LEAST, PATIENCE * waits)
end

--- A slot of a lane to which more calls were sent than it has slots is free: the next of them begins.
---@param lane stoke.pool.lane
---@param now number
function M.next_begins(lane, now)
  local first, queued = nil, 0
  for ticket in next, lane.running do
    if not ticket.serves then
      queued = queued + 1
      if not first or ticket.began < first.began or ticket.began == first.began and ticket.seq < first.seq then first = ticket end
    end
  end
  if first then first.serves = now end
  lane.queues = queued > 1 or nil
end

--- Would a free lane end the next call of a busy one sooner? A call of a conversation stays where its context is, or will be.
---@param lane stoke.pool.lane free
---@param other stoke.pool.lane
---@param ticket stoke.pool.ticket
---@param now number
---@return boolean
function M.sooner(lane, other, ticket, now)
  local here, there = M.service(lane, ticket), M.service(other, ticket)
  if ticket.unit or not here or not there then return false end
  return here < first_end(other, now) + there
end

return M
