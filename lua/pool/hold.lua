--- The hold rule: between a conversation's call of a tool and its next question, the slot that has its context may stay empty for
--- it. That costs the slot for the pause, and saves computing contexts again; so it is done where the pause is expected to be
--- shorter than that, for at most twice the pause, and only where a server forgets a conversation when another takes its slot. And
--- it is done only for its equals: where a call waits of whose program less is left, that one goes first in any case. Pure.

local order = require "core.pool.order"

local M = {}

---@class stoke.pool.hold
---@field unit table the conversation
---@field till number
---@field class integer of the call before
---@field level integer of its program (lua/pool/programs.lua)
---@field agent? string whose conversation it is
---@field tool? string which is at work
---@field ticket? stoke.pool.ticket its next call, once it waits

--- Pauses up to so many times the price are worth it: who takes the place has to be read, too, and the one who comes back displaces
--- the next. Measured (stoke bench fuel, rows servers, talks, arrivals): 1 is too few, 3 idles.
M.GAIN = 2

--- A slot is kept for at most this long, seconds.
M.LONGEST = 30

--- The hold that a finished call is worth, if any.
---@param pause number seconds that its tool is expected to take
---@param price number seconds that computing its context again takes
---@return number|nil seconds to keep the slot at most
function M.worth(pause, price)
  if pause >= M.GAIN * price then return nil end
  return math.min(2 * pause, M.LONGEST)
end

--- Keep a slot of a lane.
---@param lane stoke.pool.lane
---@param unit table
---@param class integer
---@param till number
---@param level? integer of its program; 0 when not given
---@return stoke.pool.hold
function M.add(lane, unit, class, till, level)
  local hold = { unit = unit, class = class, till = till, level = level or 0, ticket = nil }
  local list = lane.holds
  if not list then
    list = {}
    lane.holds = list
  end
  list[#list + 1] = hold
  return hold
end

--- The hold of a conversation.
---@param lane stoke.pool.lane
---@param unit table|nil
---@return stoke.pool.hold|nil
function M.of(lane, unit)
  if not unit then return nil end
  for _, hold in ipairs(lane.holds or {}) do
    if hold.unit == unit then return hold end
  end
end

--- A hold has done its work, or is broken.
---@param lane stoke.pool.lane
---@param hold stoke.pool.hold
function M.drop(lane, hold)
  local list = lane.holds
  for i = 1, #list do
    if list[i] == hold then
      table.remove(list, i)
      break
    end
  end
  if #list == 0 then lane.holds = nil end
end

--- The holds whose time is over end. A hold whose call waits already does not: that call has the slot as soon as it is free.
---@param lane stoke.pool.lane
---@param now number
function M.expire(lane, now)
  local list = lane.holds
  for i = list and #list or 0, 1, -1 do
    local hold = list[i]
    if not hold.ticket and hold.till <= now then M.drop(lane, hold) end
  end
end

--- No more conversations are kept than slots are idle: where more calls were sent, the oldest ones kept have been displaced.
---@param lane stoke.pool.lane
---@param idle integer
function M.trim(lane, idle)
  while lane.holds and #lane.holds > math.max(idle, 0) do M.drop(lane, lane.holds[1]) end
end

--- When the first hold ends by itself.
---@param lane stoke.pool.lane
---@return number|nil
function M.due(lane)
  local first
  for _, hold in ipairs(lane.holds or {}) do
    if not hold.ticket and (not first or hold.till < first) then first = hold.till end
  end
  return first
end

--- May a call break a hold? An overdue one may; else one of a higher class, or of a program of which less is left.
local function breaks(ticket, hold, overdue)
  if overdue or ticket.class < hold.class then return true end
  return ticket.class == hold.class and order.level(ticket.order) < hold.level
end

--- The hold that a call may break; of several the one that ends last.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket
---@param overdue boolean
---@return stoke.pool.hold|nil
function M.breakable(lane, ticket, overdue)
  local found
  for _, hold in ipairs(lane.holds or {}) do
    if not hold.ticket and breaks(ticket, hold, overdue) and (not found or hold.till > found.till) then found = hold end
  end
  return found
end

--- A conversation calls a tool: its slot is kept where that is worth it.
---@param pool stoke.pool.engine
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket of a conversation
---@param tool string
---@param now number
function M.consider(pool, lane, ticket, tool, now)
  local unit, settings = ticket.unit, pool.settings
  pool.pauses[unit] = { facts = lane.facts, tool = tool, since = now }
  if settings.hold == false or settings.order == "fifo" then return end
  local price = lane.cache:price(unit, lane.facts:speeds() or 0)
  if price > 0 then
    lane.talked = now
    pool:engage(lane.server)
  end
  local till = M.worth(lane.facts:pause(tool), price)
  if not till or M.of(lane, unit) then return end
  local level = ticket.program and ticket.program.level or 0
  for _, group in ipairs(lane.groups) do
    if group.queue.size > 0 and group.queue:has_less(ticket.class, level) then return end
  end
  local hold = M.add(lane, unit, ticket.class, now + till, level)
  hold.agent, hold.tool = ticket.agent, tool
  pool.counts.held = pool.counts.held + 1
end

--- Are there conversations of which the next call should find its context? Then nobody is counted in place, past what is kept.
---@param lane stoke.pool.lane
---@param now number
---@return boolean
function M.talks(lane, now) return lane.talked ~= nil and now - lane.talked < M.LONGEST end

return M
