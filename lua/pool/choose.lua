--- Who goes next on a server: a pure function of the state and the time. What came of it is the engine's to do.

local chores = require "core.pool.chores"
local holds = require "core.pool.hold"
local lanes = require "core.pool.lane"
local queue = require "core.pool.queue"
local where = require "core.pool.where"

local M = {}

local huge = math.huge

---@class stoke.pool.choice
---@field lane stoke.pool.lane
---@field ticket stoke.pool.ticket
---@field why stoke.pool.why|"hold"
---@field breaks? stoke.pool.hold the hold that has to end for it
---@field better? stoke.pool.lane it is not granted: it waits for this lane alone,
---@field till? number until then

--- Calls that wait for a lane, those of its routes too.
---@param lane stoke.pool.lane
---@return integer
function M.waiting(lane)
  local n = 0
  for _, group in ipairs(lane.groups) do n = n + group.queue.size end
  return n
end

--- May calls be sent to wait in the server, where it may have slots for them? One model, one server, nobody is of another class.
local function bold(lane)
  local group = lane.group
  if lane.groups[2] or lane.server.residency or lane.holds then return false end
  for ticket in next, lane.running do
    if ticket.class ~= 2 then return false end
  end
  return group.queue:count(2) == group.queue.size
end

--- How many calls a lane could take, holds aside. Below 0: it takes none at all, until `due`.
---@param lane stoke.pool.lane
---@param now number
---@param power? table somebody counts what the machine may do: nothing is sent just to wait there
---@return integer
---@return number|nil due
function M.room(lane, now, power)
  if lane.breaker then
    local allowed, due = chores.open(lane.server)
    if allowed then allowed, due = lane.breaker:allows(now) end
    if not allowed then return -1, due end
  end
  local limit = lane.limit
  if limit then return math.max(limit - lane.busy, 0) end
  local change, slots = lane.server.verdict, lane.slots
  local extra = change and change.extra and change.extra[lane] or 0
  local free = slots:allowed(now, M.waiting(lane), slots.unknown and not power and bold(lane)) + extra - lane.busy
  if free > 0 then return free end
  return 0, slots:due(now)
end

--- Does a lane take calls, as far as anybody knows?
---@param lane stoke.pool.lane
---@param now number
---@return boolean
function M.open(lane, now) return not lane.breaker or M.room(lane, now) >= 0 end

--- The best of all that may go to a lane.
---@param lane stoke.pool.lane
---@param now number
---@return stoke.pool.ticket|nil
---@return stoke.pool.why|nil
function M.best(lane, now)
  local ticket, why
  local favoured = lane.cache and lane.cache:units()
  for _, group in ipairs(lane.groups) do
    if group.queue.size > 0 then
      local other, why_other = group.queue:best(now, favoured)
      if other and (not ticket or queue.before(other, why_other, ticket, why)) then ticket, why = other, why_other end
    end
  end
  return ticket, why
end

--- The call of a lane that has room.
local function pick(lane, now, room)
  local kept = lane.holds
  if kept then
    for _, hold in ipairs(kept) do
      if hold.ticket then return hold.ticket, "hold" end
    end
  end
  local ticket, why = M.best(lane, now)
  if not ticket then return nil end
  local breaks
  if kept and #kept >= math.min(room, lanes.width(lane) - lane.busy) then -- nobody tries for more slots beside a kept one
    breaks = holds.breakable(lane, ticket, why == "overdue")
    if not breaks then return nil end
  end
  return ticket, why, breaks
end

--- The sooner of two times.
local function sooner(a, b) return b and b < a and b or a end

--- When the state of a lane changes by itself. Who goes first matters only where somebody could go; and interactive calls are
--- refused once it is too late for them.
local function lane_due(lane, now, due, again, could)
  due = sooner(due, again)
  due = sooner(due, holds.due(lane))
  for _, group in ipairs(lane.groups) do
    local q = group.queue
    if q.size > 0 and (could or q:count(1) > 0) then due = sooner(due, q:due(now)) end
  end
  return due
end

--- The best class of what a lane is at.
local function running(lane)
  local best
  for ticket in next, lane.running do
    if not best or ticket.class < best then best = ticket.class end
  end
  return best
end

--- When the first of the calls that a lane is at is overdue: they may still wait, in the server.
local function overdue_at(lane)
  local first
  for ticket in next, lane.running do
    local bounds = ticket.group.queue.bounds
    local bound = bounds and bounds[ticket.class]
    if bound and (not first or ticket.arrived + bound < first) then first = ticket.arrived + bound end
  end
  return first
end

--- What waits and runs of each model, for who decides which of them is in memory.
local function work_of(server, now)
  local work, loading = {}, server.residency.loading
  for _, lane in ipairs(server.lanes) do
    local waiting, oldest, class, overdue = 0, huge, 3, false
    for _, group in ipairs(lane.groups) do
      local q = group.queue
      if q.size > 0 then
        waiting = waiting + q.size
        oldest = math.min(oldest, q:oldest().arrived)
        overdue = overdue or q:overdue(now) ~= nil
        for better = 1, class - 1 do
          if q:count(better) > 0 then
            class = better
            break
          end
        end
      end
    end
    if waiting > 0 or lane.busy > 0 or lane.holds then
      local usual = where.usual(lane)
      local load, known
      if lane.facts then load, known = lane.facts:load() end
      work[#work + 1] = { lane = lane, busy = lane.busy, waiting = waiting, class = class, overdue = overdue,
        oldest = oldest < huge and oldest or nil, newest = lane.newest, running = running(lane), load = known and load or nil,
        overdue_at = loading and loading.lane == lane and overdue_at(lane) or nil, service = usual,
        seconds = waiting * (usual or 1) / math.max(1, lanes.width(lane)) }
    end
  end
  return work
end

--- Which models of a server may be asked.
---@param server stoke.pool.server
---@param now number
---@return table|nil verdict of its residency (may, due, kind ...); nil: all
function M.verdict(server, now)
  return server.residency and server.residency:decide(now, work_of(server, now)) or nil
end

--- Who goes next on a server?
---@param server stoke.pool.server engaged
---@param now number
---@param power? table who may say that nobody begins now (lua/pool/power.lua)
---@return stoke.pool.choice|nil choice
---@return number|nil due without a choice: when to ask again, should nothing happen before
---@return table|nil verdict
function M.next(server, now, power)
  local verdict, due = M.verdict(server, now), huge
  if verdict then due = sooner(due, verdict.due) end
  for _, lane in ipairs(server.lanes) do
    if M.waiting(lane) > 0 or lane.holds then
      local room, again = M.room(lane, now, power)
      if room > 0 and (not verdict or verdict.may[lane]) then
        local ticket, why, breaks = pick(lane, now, room)
        if ticket and power then
          local allowed, till = power:allows(now, ticket.class)
          if not allowed then ticket, again = nil, till end
        end
        if ticket then
          local better, patience
          if ticket.group.lanes[2] and why ~= "hold" then better, patience = where.better(ticket, lane, now, M.room) end
          return { lane = lane, ticket = ticket, why = why, breaks = breaks, better = better, till = better and now + patience },
            nil, verdict
        end
      end
      due = lane_due(lane, now, due, again, room > 0 or verdict ~= nil)
    end
  end
  return nil, due < huge and due or nil, verdict
end

--- Does an arrival change nothing? Others of its class wait before it, and its lane, the only one, is full.
---@param ticket stoke.pool.ticket that has just come to wait
---@param now number
---@return boolean
function M.only_queues(ticket, now)
  local group = ticket.group
  local lane = group.lanes[1]
  local server = lane.server
  if group.lanes[2] or lane.groups[2] or lane.holds or server.residency or server.touched then return false end
  if ticket.deadline or ticket.class ~= 2 or group.queue:count(2) < 2 then return false end
  return (not lane.breaker or lane.breaker.state == "closed") and M.room(lane, now) == 0
end

--- The next call of another lane that waits for that one alone, though it may go to a lane of this server that has nothing to do.
local function stolen(lane, now)
  for _, group in ipairs(lane.groups) do
    for _, other in ipairs(group.lanes) do
      local ticket = other ~= lane and other.group.queue:best(now)
      if ticket and ticket.home == group and where.sooner(lane, other, ticket, now) then return ticket end
    end
  end
end

--- A call that an idle slot of a server takes from another server's queue, where that ends it sooner.
---@param server stoke.pool.server with nothing of its own to grant
---@param now number
---@return stoke.pool.choice|nil
function M.steal(server, now)
  local verdict = server.verdict
  for _, lane in ipairs(server.lanes) do
    local idle = lane.busy < lanes.width(lane) and not lane.holds and M.waiting(lane) == 0 and M.room(lane, now) > 0
    if idle and lane.groups[2] and (not verdict or verdict.may[lane]) then
      local ticket = stolen(lane, now)
      if ticket then return { lane = lane, ticket = ticket, why = "program" } end
    end
  end
end

return M
