-- events at exact times. No task, no clock, no request. After every event what the engine counts is compared with what is true, and
-- nobody may wait for nothing.

local choose = require "core.pool.choose"
local engines = require "core.pool.engine"
local lanes = require "core.pool.lane"
local rand = require "stoke.rand"
local words = require "core.pool.words"

local M = {}

local World = {}
World.__index = World

-- A world. settings: those of the engine.
function M.world(settings)
  return setmetatable({ now = 0, events = {}, seq = 0, pool = engines.new(settings), lanes = {}, servers = {}, live = {}, count = 0,
    log = {} }, World)
end

-- ---- events ----

function World:at(time, f)
  self.seq = self.seq + 1
  self.events[#self.events + 1] = { time = time, seq = self.seq, f = f }
end

local function pop(events)
  local best = 1
  for i = 2, #events do
    local a, b = events[i], events[best]
    if a.time < b.time or a.time == b.time and a.seq < b.seq then best = i end
  end
  return table.remove(events, best)
end

-- ---- servers ----

-- A server: models = { name = { slots =, service = seconds or function, load = seconds } }; room = models that fit at once.
function World:server(name, models, room)
  local server = lanes.server(name)
  local truth = { record = server, room = room or 1, resident = {}, loads = 0, lanes = {}, queue = {}, used = 0 }
  self.servers[name] = truth
  for model, about in pairs(models) do
    local target = { name = model, dialect = {}, endpoint = { name = name, url = name } }
    local lane = lanes.new(name .. " " .. model, server, target)
    lane.limit = about.limit
    truth.lanes[lane] = { about = about, busy = 0, queue = {}, out = 0 }
    self.lanes[model .. "@" .. name] = lane
  end
  table.sort(server.lanes, function(a, b) return a.key < b.key end)
  return server
end

local function in_flight(truth)
  local n = 0
  for _, at in pairs(truth.lanes) do n = n + at.busy + #at.queue end
  return n
end

local start

-- The server changes its models as Ollama does: a model that is asked for and not there waits until one that is there has nothing
-- in flight, where there is no room; one load at a time.
local function change(world, truth)
  if truth.loading then return end
  local lane = truth.queue[1]
  if not lane then return end
  local resident, idle = 0, nil
  for other in pairs(truth.resident) do
    resident = resident + 1
    local at = truth.lanes[other]
    if at.busy + #at.queue == 0 and (not idle or truth.lanes[idle].last < at.last) then idle = other end
  end
  if resident >= truth.room then
    if not idle then return end
    truth.resident[idle] = nil
  end
  table.remove(truth.queue, 1)
  truth.loading, truth.loads = lane, truth.loads + 1
  world:at(world.now + (truth.lanes[lane].about.load or 1), function()
    truth.loading, truth.resident[lane] = nil, true
    truth.lanes[lane].loaded = truth.lanes[lane].about.load or 1
    start(world, truth, lane)
    change(world, truth)
  end)
end

function start(world, truth, lane)
  local at = truth.lanes[lane]
  if not truth.resident[lane] then
    local listed = truth.loading == lane
    for _, other in ipairs(truth.queue) do listed = listed or other == lane end
    if not listed then truth.queue[#truth.queue + 1] = lane end
    return change(world, truth)
  end
  while at.busy < at.about.slots and at.queue[1] do
    local call = table.remove(at.queue, 1)
    at.busy = at.busy + 1
    call.serving, call.began = true, world.now
    local service = call.service or at.about.service or 1
    if type(service) == "function" then service = service() end
    world:at(world.now + service, function()
      if call.over then return end
      local load = at.loaded or 0
      at.loaded = nil
      world:finish(call, call.err and { err = call.err } or { timings = { total = world.now - call.sent, load = load,
        prefill = 0.2 * service, decode = 0.8 * service, input = 100, output = 50 }, continues = call.continues ~= nil,
        tool = call.continues })
    end)
  end
end

local function leave_server(world, call)
  local truth = world.servers[call.ticket.lane.server.url]
  local at = truth.lanes[call.ticket.lane]
  at.last = world.now
  if call.serving then
    at.busy = at.busy - 1
  else
    for i, other in ipairs(at.queue) do
      if other == call then
        table.remove(at.queue, i)
        break
      end
    end
  end
  start(world, truth, call.ticket.lane)
  change(world, truth)
end

-- ---- calls ----

-- What the engine has decided reaches the calls.
function World:deliver()
  local decided = self.pool.decided
  self.pool.decided = {}
  for _, ticket in ipairs(decided) do
    local call = ticket.call
    if ticket.state == "granted" then
      local truth = self.servers[ticket.lane.server.url]
      local at = truth.lanes[ticket.lane]
      call.sent, call.waited = self.now, self.now - ticket.arrived
      self.log[#self.log + 1] = call
      at.queue[#at.queue + 1] = call
      start(self, truth, ticket.lane)
    else
      call.over, self.live[call] = true, nil
      if call.on_end then call.on_end(call) end
    end
  end
  self.pool.rested = {}
end

-- A call: lanes = names "model@server", and fields of the ticket. service, err, continues: what will come of it. all: it failed at
-- one of these lanes, and waits for the others alone until `till`.
function World:call(call)
  local list = {}
  for i, name in ipairs(call.lanes) do list[i] = self.lanes[name] end
  self.count = self.count + 1
  call.number = self.count
  call.ticket = self.pool:ticket { group = self.pool:group(list), order = call.order or call.number, class = call.class,
    unit = call.unit, deadline = call.deadline, agent = call.agent, input = call.input, call = call }
  if call.all then
    local all = {}
    for i, name in ipairs(call.all) do all[i] = self.lanes[name] end
    call.ticket.home, call.ticket.till, call.ticket.shuns = self.pool:group(all), call.till, true
  end
  self.live[call] = true
  self.pool:arrive(call.ticket, self.now)
  self:deliver()
  return call
end

function World:finish(call, outcome)
  call.over, call.ended, self.live[call] = true, self.now, nil
  local sent = call.ticket.state == "granted"
  if sent then leave_server(self, call) end
  self.pool:done(call.ticket, outcome, self.now)
  self:deliver()
  if call.on_end then call.on_end(call) end
end

-- Whoever asked does not want it any more: it may wait, run, or be over.
function World:cancel(call)
  if not call.over then self:finish(call, { cancelled = true, in_prefill = false }) end
end

-- ---- what must hold ----

local function check_lane(world, t, lane, truth)
  local out = 0
  for call in pairs(world.live) do
    if call.ticket.state == "granted" and call.ticket.lane == lane then out = out + 1 end
  end
  t.eq(lane.busy, out, lane.key .. " counts its calls")
  if lane.limit then t.ok(lane.busy <= lane.limit, lane.key .. " has more calls out than its limit") end
  t.eq(lane.open > 0 and lane.server.engaged, false, lane.key .. " is open while the engine decides")
  return truth
end

-- Nobody is left waiting though something could be granted, and whoever waits waits for something: a call that is out, or a time.
function World:check(t)
  local waiting, due, some = 0, self.pool:due(), nil
  for _, truth in pairs(self.servers) do
    for lane in pairs(truth.lanes) do check_lane(self, t, lane, truth) end
    if truth.record.engaged then
      t.eq(choose.next(truth.record, self.now, self.pool.power), nil, truth.record.url .. ": a call could be granted, and is not")
    end
  end
  if due then t.ok(due > self.now, ("due at %.3f, and it is %.3f"):format(due, self.now)) end
  for call in pairs(self.live) do
    if call.ticket.state == "waiting" then
      waiting = waiting + 1
      local alive = due ~= nil
      for _, lane in ipairs(call.ticket.group.lanes) do alive = alive or in_flight(self.servers[lane.server.url]) > 0 end
      if not alive then t.ok(false, ("call %d waits for nothing"):format(call.number)) end
      some = call
    end
  end
  if some then t.ok(#words.reason(some.ticket, self.now) > 0) end
  t.eq(self.pool.waiting, waiting, "the engine counts who waits")
end

-- Run until nothing is left, or until a time. t: check after each event.
function World:run(t, till)
  while true do
    local due, first = self.pool:due(), nil
    for _, event in ipairs(self.events) do first = math.min(first or event.time, event.time) end
    local at = math.min(due or math.huge, first or math.huge)
    if at == math.huge or till and at > till then break end
    self.now = math.max(self.now, at)
    if first and first <= at then
      pop(self.events).f()
    else
      self.pool:advance(self.now)
      self:deliver()
    end
    if t then self:check(t) end
  end
  if till then self.now = till end
end

-- At the end: every slot is back, nobody waits, nothing is kept, nothing is due.
function World:check_end(t)
  for _, truth in pairs(self.servers) do
    for lane in pairs(truth.lanes) do t.eq({ lane.busy, lane.holds }, { 0, nil }, lane.key .. " is idle") end
    t.eq(in_flight(truth), 0)
  end
  t.eq({ self.pool.waiting, next(self.live), self.pool:due() }, { 0 })
end

M.rand = rand
return M
