--- The engine of the pool: everything that waits and runs, and what becomes of it when something happens. Pure: events and their
--- time go in (arrive, leave, done, advance), and tickets that were decided come out (`decided`). Who parks tasks, sends calls and
--- owns a clock is lua/gate/turns.lua.
---
---     local pool = engine.new {}
---     local group = pool:group { lane }
---     local ticket = pool:ticket { group = group, order = 1 }
---     pool:arrive(ticket, now)               -- ticket.state: "granted", or "waiting", or "refused"
---     pool:done(ticket, { timings = ... }, now)
---     pool:advance(now)                      -- at pool:due(), when nothing has happened before
---
--- A server is looked at when something has happened there: an arrival, an end, a time that was due. Then calls are granted until
--- none can be.

local chores = require "core.pool.chores"
local choose = require "core.pool.choose"
local fifo = require "core.pool.fifo"
local hopeless = require "core.pool.hopeless"
local holds = require "core.pool.hold"
local lanes = require "core.pool.lane"
local learners = require "core.pool.learners"
local programs = require "core.pool.programs"
local queue = require "core.pool.queue"
local residency = require "core.pool.residency"
local taught = require "core.pool.taught"
local where = require "core.pool.where"

local M = {}

local huge = math.huge
--- Routes that are kept; beyond, those along which nobody waits are forgotten.
local ROUTES <const> = 64
local function nothing() return nil end

---@class stoke.pool.group the calls that may go to the same lanes
---@field lanes stoke.pool.lane[] in the order of the route
---@field queue stoke.pool.queue

---@class stoke.pool.ticket: stoke.pool.waiting
---@field seq integer
---@field arrived number
---@field state "waiting"|"granted"|"refused"|"left"|"done"
---@field class integer 1 interactive, 2 normal, 3 batch
---@field order integer see lua/pool/order.lua
---@field holder boolean somebody waits for it
---@field deadline? number absolute
---@field group stoke.pool.group
---@field program? table whose it is: its service is charged there
---@field unit? table the conversation
---@field agent? string for estimates
---@field input integer tokens, at a guess
---@field lane? stoke.pool.lane it was granted
---@field began? number when
---@field serves? number when it has a slot of its server, as far as can be told; nil: it waits there
---@field shared? integer tokens of its prompt that the server should remember
---@field at_most? number seconds that its service is expected to take
---@field why? string the rule that put it first
---@field home? stoke.pool.group it waits for some of its lanes alone, until `till`; then again for all of these
---@field till? number
---@field shuns? boolean it does so because it has failed at the others
---@field late? number seconds by which it would have missed its deadline: it was refused
---@field errs? stoke.error[] those of its servers, for which it was refused
---@field loads? boolean it loads its model, for which others have left
---@field streams? number when its answer has begun
---@field before_it? integer calls that went before it when it was refused
local Ticket = { state = "waiting", class = 2, order = 0, holder = false, input = 0, open = 0 }
Ticket.__index = Ticket
M.Ticket = Ticket

---@class stoke.pool.engine
---@field settings { order?: "program"|"fifo", bounds?: number[], hold?: boolean }
---@field decided stoke.pool.ticket[] granted or refused since this was last emptied
---@field rested stoke.pool.server[] servers that need no engine any more, since this was last emptied
---@field chores stoke.pool.chore[] what is to be done in the world, since this was last emptied
---@field waiting integer
---@field programs stoke.pool.programs
---@field power? table lua/pool/power.lua
---@field recall fun(key: string): table?, boolean? what is remembered of a lane { slots, estimate, prefix } or of a server's
---  models; false: of another version of the server
---@field chain_of fun(ticket: stoke.pool.ticket): stoke.pool.chain? what its prompt begins with
---@field counts table<string, integer> what has happened: granted, refused, held, swaps ...
local Engine = {}
Engine.__index = Engine

--- An engine at rest.
---@param settings? { order?: "program"|"fifo", bounds?: number[], hold?: boolean }
---@return stoke.pool.engine
function M.new(settings)
  return setmetatable({ settings = settings or {}, seq = 0, waiting = 0, decided = {}, rested = {}, chores = {}, groups = {},
    lanes = {}, engaged = {}, touched = {}, pinned = {}, pauses = setmetatable({}, { __mode = "k" }),
    programs = programs.new(), power = nil, chain_of = nothing, recall = nothing,
    counts = { granted = 0, refused = 0, shed = 0, moved = 0, held = 0, broken = 0, pinned = 0 } }, Engine)
end

--- A ticket, not yet in any queue.
---@param fields table group, and what differs from a normal call
---@return stoke.pool.ticket
function Engine:ticket(fields) return setmetatable(fields, Ticket) end

-- ---- lanes and groups -------------------------------------------------------------------------------------------------------

local function new_queue(self)
  local make = self.settings.order == "fifo" and fifo or queue
  return make.new { bounds = self.settings.bounds }
end

--- A lane gets what a contended one has.
local function equip(self, lane)
  if lane.group then return end
  lane.group = { lanes = { lane }, queue = new_queue(self) }
  lane.groups, lane.running = { lane.group }, {}
  self.lanes[lane] = true
  learners.equip(lane, self.recall)
end

--- Forget a route.
local function drop(self, group)
  self.groups[group.name] = nil
  for _, lane in ipairs(group.lanes) do
    for i = #lane.groups, 1, -1 do
      if lane.groups[i] == group then table.remove(lane.groups, i) end
    end
    if lane.breaker then lane.breaker.alone = not lane.groups[2] end
  end
end

--- Forget the routes along which nobody waits, where there are too many: a script may make a new one for each call.
local function drop_idle(self)
  local count, homes = 0, {}
  for _ in next, self.groups do count = count + 1 end
  if count < ROUTES then return end
  for ticket in next, self.pinned do homes[ticket.home] = true end
  for _, group in next, self.groups do
    if group.queue.size == 0 and not homes[group] then drop(self, group) end
  end
end

--- The calls for some lanes are one group.
---@param list stoke.pool.lane[] in the order in which they are preferred
---@return stoke.pool.group
function Engine:group(list)
  for _, lane in ipairs(list) do equip(self, lane) end
  if not list[2] then return list[1].group end
  local keys = {}
  for i, lane in ipairs(list) do keys[i] = lane.key end
  local name = table.concat(keys, "\n")
  local group = self.groups[name]
  if not group then
    drop_idle(self)
    group = { lanes = list, queue = new_queue(self), name = name }
    self.groups[name] = group
    for _, lane in ipairs(list) do
      lane.groups[#lane.groups + 1] = group
      if lane.breaker then lane.breaker.alone = false end
    end
  end
  return group
end

--- Forget a lane that is idle, and the routes it was part of.
---@param lane stoke.pool.lane
---@return boolean forgotten false: somebody waits for it, or it is held
function Engine:forget(lane)
  if lane.busy > 0 or lane.holds then return false end
  for _, group in ipairs(lane.groups or {}) do
    if group.queue.size > 0 then return false end
  end
  for i = lane.groups and #lane.groups or 0, 1, -1 do
    local group = lane.groups[i]
    if group.name then drop(self, group) end
  end
  lane.group, lane.groups, lane.running = nil, nil, nil
  self.lanes[lane] = nil
  local server = lane.server
  if server.residency then server.residency:drop(lane) end
  if not server.lanes[2] then server.engaged, self.engaged[server] = false, nil end -- it goes with its last lane
  return true
end

--- Something has happened on a server.
local function touch(self, server)
  if server.touched then return end
  server.touched = true
  self.touched[#self.touched + 1] = server
end

local function touch_group(self, group)
  for _, lane in ipairs(group.lanes) do touch(self, lane.server) end
end

--- The engine decides about a server from now on.
---@param server stoke.pool.server
function Engine:engage(server)
  if server.engaged then return end
  lanes.engage(server)
  self.engaged[server] = true
  for _, lane in ipairs(server.lanes) do equip(self, lane) end
end

--- From the second model of a server on it matters which is in memory.
local function watch_models(self, server)
  local models = 0
  for _, lane in ipairs(server.lanes) do
    if lane.target then models = models + 1 end
    equip(self, lane)
  end
  if models < 2 or server.residency or self.settings.order == "fifo" then return end
  server.residency = residency.new(self.recall(server.url))
end

--- Is there nothing on a server that the engine has to watch? One model, nobody waits, nothing is kept, nothing failed.
local function quiet(self, server, now)
  if self.power or server.residency or not chores.quiet(server) then return false end
  local used = nil
  for _, lane in ipairs(server.lanes) do
    if lane.holds or holds.talks(lane, now) or choose.waiting(lane) > 0 then return false end
    if lane.slots and lane.slots:due(now) then return false end
    if lane.breaker and not lane.breaker:quiet(now) then return false end
    if lane.busy > 0 then
      if used then return false end
      used = lane
    end
  end
  return true, used
end

--- A server that needs no engine any more: calls may count themselves again.
local function rest(self, server, now)
  local still, used = quiet(self, server, now)
  if not still then return end
  server.engaged, server.due = false, nil
  self.engaged[server] = nil
  self.rested[#self.rested + 1] = server
  used = used or server.current
  if used then lanes.reopen(used) end
end

-- ---- what is decided --------------------------------------------------------------------------------------------------------

--- Take a ticket off its queue.
local function unqueue(self, ticket, granted)
  local q = ticket.group.queue
  if granted then q:take(ticket) else q:remove(ticket) end
  self.waiting = self.waiting - 1
  if ticket.home then self.pinned[ticket] = nil end
  if ticket.program then
    self.programs:waits_not(ticket)
    if not granted then self.programs:over(ticket, false) end
  end
  if ticket.unit then -- its place is free for others, whatever became of it
    for _, lane in ipairs((ticket.home or ticket.group).lanes) do
      local hold = lane.holds and holds.of(lane, ticket.unit)
      if hold and hold.ticket == ticket then holds.drop(lane, hold) end
    end
  end
  touch_group(self, ticket.home or ticket.group)
end

local function grant(self, choice, now)
  local ticket, lane = choice.ticket, choice.lane
  local server = lane.server
  if choice.breaks then
    holds.drop(lane, choice.breaks)
    self.counts.broken = self.counts.broken + 1
  end
  unqueue(self, ticket, true)
  ticket.state, ticket.lane, ticket.why, ticket.began = "granted", lane, choice.why, now
  ticket.at_most = ticket.at_most or where.usual(lane)
  lane.busy = lane.busy + 1
  lane.running[ticket] = true
  if lane.busy <= lanes.width(lane) then ticket.serves = now else lane.queues = true end
  if lane.holds then holds.trim(lane, lanes.width(lane) - lane.busy) end
  if lane.slots and not lane.limit then lane.slots:sent(now) end
  if lane.cache and ticket.unit then ticket.shared = lane.cache:take(ticket.unit, self.chain_of(ticket)) end
  if lane.breaker then
    lane.breaker:sent(now)
    chores.sent(lane, now)
  end
  if self.power then self.power:sent(now) end
  local change = server.verdict
  if change then
    ticket.loads = change.kind == "swap" and change.lane == lane or nil
    if ticket.loads and change.unload then
      lane.leaving = { what = "unload", server = server, lanes = change.victims }
      self.chores[#self.chores + 1] = lane.leaving
    end
    server.residency:sent(lane, now)
  end
  server.current = lane
  self.counts.granted = self.counts.granted + 1
  self.decided[#self.decided + 1] = ticket
end

local function refuse(self, ticket, late, errs)
  if late then ticket.before_it = ticket.group.queue:before(ticket) end
  unqueue(self, ticket, false)
  ticket.state, ticket.late, ticket.errs = "refused", late, errs
  self.counts.refused = self.counts.refused + 1
  if late then self.counts.shed = self.counts.shed + 1 end
  self.decided[#self.decided + 1] = ticket
end

--- A ticket of a route waits for one of its lanes alone: not one that does so already, nor for a lane that would send it back.
local function pin(self, choice)
  local ticket, lane = choice.ticket, choice.better
  ticket.group.queue:remove(ticket)
  ticket.home, ticket.group, ticket.till = ticket.group, lane.group, choice.till
  lane.group.queue:push(ticket)
  self.pinned[ticket] = true
  self.counts.pinned = self.counts.pinned + 1
  self:engage(lane.server)
  touch(self, lane.server)
end

--- It has waited for that lane long enough, and may go to any again.
local function unpin(self, ticket)
  ticket.group.queue:remove(ticket)
  ticket.group, ticket.home, ticket.till, ticket.shuns = ticket.home, nil, nil, nil
  self.pinned[ticket] = nil
  ticket.group.queue:push(ticket)
  for _, lane in ipairs(ticket.group.lanes) do self:engage(lane.server) end -- meanwhile one may have come to rest
  touch_group(self, ticket.group)
end

--- Interactive calls that cannot meet their deadline any more.
local function shed(self, server, now)
  for _, lane in ipairs(server.lanes) do
    for _, group in ipairs(lane.groups) do
      local q = group.queue
      local late = q.size > 0 and q:count(1) > 0 and q:late(now, function(ticket) return self:estimate(ticket, now) end)
      for _, ticket in ipairs(late or {}) do
        refuse(self, ticket, now + self:estimate(ticket, now) - ticket.deadline)
      end
    end
  end
end

--- Who waits where nobody will answer gets the servers' errors; who waits there by choice goes elsewhere.
local function give_up(self, server, now)
  for _, lane in ipairs(server.lanes) do
    for _, group in ipairs(choose.waiting(lane) > 0 and hopeless.at(lane, -huge, now) and lane.groups or {}) do
      local list = {}
      group.queue:each(function(ticket) list[#list + 1] = hopeless.everywhere(ticket, now) and ticket end)
      for _, ticket in ipairs(list) do
        if ticket.home then unpin(self, ticket) else refuse(self, ticket, nil, hopeless.everywhere(ticket, now)) end
      end
    end
  end
end

--- Grant on one server what can be granted.
local function settle(self, server, now)
  shed(self, server, now)
  while true do
    local choice, due, verdict = choose.next(server, now, self.power)
    server.verdict = verdict
    if verdict and verdict.refuse then give_up(self, server, now) end
    if not choice then
      server.due = due
      break
    end
    local late = self.settings.order ~= "fifo" and where.misses(choice.lane, choice.ticket, now)
    local better = choice.better
    if better and (choice.ticket.home or hopeless.at(better, -huge, now, choice.ticket.class)) then better = nil end -- see pin
    if late then refuse(self, choice.ticket, late) elseif better then pin(self, choice) else grant(self, choice, now) end
  end
  while next(self.pinned) and not self.power do
    local stolen = choose.steal(server, now)
    if not stolen then break end
    unpin(self, stolen.ticket)
    grant(self, stolen, now)
  end
  give_up(self, server, now)
  local at = chores.settle(server, now, choose.waiting, self.chores)
  if at and at < (server.due or huge) then server.due = at end
  rest(self, server, now)
end

--- Seconds from now until a waiting ticket should have been answered.
---@param ticket stoke.pool.ticket
---@param now number
---@return number
function Engine:estimate(ticket, now)
  local first = huge
  for _, lane in ipairs(ticket.group.lanes) do
    local service = where.most(lane, ticket)
    local room = choose.room(lane, now)
    local ahead = room > 0 and 0 or where.ahead(lane, ticket, now)
    if room >= 0 and ahead + service < first then first = ahead + service end
  end
  return first < huge and first or 0
end

--- Something was learned of a server, or of all, from elsewhere: decide about it at the next `advance`.
---@param server? stoke.pool.server
function Engine:touch(server)
  if server then return touch(self, server) end
  for each in next, self.engaged do touch(self, each) end
end

--- Decide all that can be decided now.
---@param now number
function Engine:advance(now)
  for ticket in next, self.pinned do
    if ticket.till <= now then unpin(self, ticket) end
  end
  for server in next, self.engaged do
    if server.due and server.due <= now then
      server.due = nil
      for _, lane in ipairs(server.lanes) do holds.expire(lane, now) end
      touch(self, server)
    end
  end
  local touched, i = self.touched, 1
  while touched[i] do
    local server = touched[i]
    server.touched = false
    if server.engaged then settle(self, server, now) end
    i = i + 1
  end
  for k = i - 1, 1, -1 do touched[k] = nil end
end

--- When to call `advance`, should nothing happen before.
---@return number|nil
function Engine:due()
  local due = huge
  for server in next, self.engaged do
    if server.due and server.due < due then due = server.due end
  end
  for ticket in next, self.pinned do
    if ticket.till < due then due = ticket.till end
  end
  return due < huge and due or nil
end

--- Each ticket that waits for a lane alone, or for a route that begins with it.
---@param lane stoke.pool.lane
---@param f fun(ticket: stoke.pool.ticket)
function Engine:each_waiting(lane, f)
  for _, group in ipairs(lane.groups or {}) do
    if group.lanes[1] == lane then group.queue:each(f) end
  end
end

--- Other settings: what waits is ordered anew.
---@param settings table
---@param all stoke.pool.lane[] the lanes there are
---@param now number
function Engine:configure(settings, all, now)
  self.settings = settings
  local done = {}
  for _, lane in ipairs(all) do
    for _, group in ipairs(lane.groups or {}) do
      if not done[group] then
        done[group] = true
        local tickets = {}
        group.queue:each(function(ticket) tickets[#tickets + 1] = ticket end)
        for _, ticket in ipairs(tickets) do group.queue:remove(ticket) end
        group.queue = new_queue(self)
        for _, ticket in ipairs(tickets) do group.queue:push(ticket) end
      end
    end
    touch(self, lane.server)
  end
  self:advance(now)
end

--- What earlier processes knew is there: lanes of which little was learned since begin with it.
---@param all stoke.pool.lane[]
function Engine:remember(all)
  for _, lane in ipairs(all) do
    if learners.renew(lane, self.recall) then touch(self, lane.server) end
  end
end

--- Forget what was learned of lanes. What runs and waits stays.
---@param all stoke.pool.lane[]
function Engine:unlearn(all)
  for _, lane in ipairs(all) do
    learners.drop(lane)
    lane.server.residency, lane.server.verdict, lane.server.watch = nil, nil, nil
    if lane.group then
      learners.equip(lane, self.recall)
      touch(self, lane.server)
    end
  end
  self.programs = programs.new()
end

-- ---- what happens -------------------------------------------------------------------------------------------------------------

--- A call wants to go.
---@param ticket stoke.pool.ticket
---@param now number
function Engine:arrive(ticket, now)
  self.seq = self.seq + 1
  ticket.seq, ticket.arrived = self.seq, now
  local group = ticket.group
  for _, lane in ipairs(group.lanes) do
    local server = lane.server
    self:engage(server)
    lane.newest = now
    if server.lanes[2] then watch_models(self, server) end
    local hold = lane.holds and holds.of(lane, ticket.unit)
    if hold and not hold.ticket then hold.ticket = ticket end
  end
  local pause = ticket.unit and self.pauses[ticket.unit]
  if pause then
    self.pauses[ticket.unit] = nil
    pause.facts:paused(pause.tool, now - pause.since)
  end
  if ticket.deadline and not ticket.at_most then ticket.at_most = where.service(group.lanes[1], ticket) end
  if ticket.program then self.programs:asks(ticket) end
  if self.programs.changed then self.programs:weigh_all(self.lanes) end
  group.queue:push(ticket)
  if ticket.home then self.pinned[ticket] = true end
  self.waiting = self.waiting + 1
  if not self.power and choose.only_queues(ticket, now) then return end
  touch_group(self, group)
  self:advance(now)
  if ticket.class == 1 and ticket.deadline and ticket.state == "waiting" and self.settings.order ~= "fifo" then
    local late = now + self:estimate(ticket, now) - ticket.deadline
    if late > 0 then
      refuse(self, ticket, late)
      self:advance(now)
    end
  end
end

--- A waiting call is not wanted any more.
---@param ticket stoke.pool.ticket
---@param now number
function Engine:leave(ticket, now)
  if ticket.state ~= "waiting" then return end
  unqueue(self, ticket, false)
  ticket.state = "left"
  self:advance(now)
end

--- The answer of a granted call has begun: its prompt was read, its model is there.
---@param ticket stoke.pool.ticket
---@param now number
function Engine:began(ticket, now)
  if ticket.state ~= "granted" then return end
  ticket.streams = now
  local server = ticket.lane.server
  if not server.residency then return end
  server.residency:began(ticket.lane, now)
  touch(self, server)
  self:advance(now)
end

--- A call on a lane has ended. Of one that was counted without a ticket only the lane is known.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket|nil
---@param outcome { err?: table, timings?: table, cancelled?: boolean, in_prefill?: boolean, continues?: boolean, tool?: string }
---@param now number
function Engine:finished(lane, ticket, outcome, now)
  local out = lane.busy - 1
  lane.busy = out
  equip(self, lane)
  taught.of(lane, ticket, outcome, out, now)
  if ticket and ticket.program then self.programs:over(ticket, outcome.timings ~= nil) end
  if ticket and ticket.unit and outcome.continues and lane.slots then holds.consider(self, lane, ticket, outcome.tool, now) end
  if lane.breaker and not lane.breaker:quiet(now) then self:engage(lane.server) end
  touch(self, lane.server)
  self:advance(now)
end

--- A granted call has ended, or was cut off before it was sent. A waiting one leaves.
---@param ticket stoke.pool.ticket
---@param outcome table see Engine:finished
---@param now number
function Engine:done(ticket, outcome, now)
  if ticket.state == "waiting" then return self:leave(ticket, now) end
  if ticket.state ~= "granted" then return end
  ticket.state = "done"
  ticket.lane.running[ticket] = nil
  if ticket.lane.queues then where.next_begins(ticket.lane, now) end
  self:finished(ticket.lane, ticket, outcome, now)
end

return M
