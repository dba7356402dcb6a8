-- A server as the simulator's scheduler imitates it, and a client that sends what lua/pool/residency.lua says: no tasks, no host,
-- time as a number. For tests of when models are changed.
--
--     local world = swapping.run { models = { a = { load = 3 }, b = { load = 3 } }, max_loaded = 1, slots = 1, jobs = {
--       { at = 0, { "a", 1 }, { "b", 1, pause = 2 } },     -- a job: its calls, one after the other: model, seconds
--     } }
--     world.loads, world.makespan, world.jobs[1].calls[2].waited
local models = require "stoke.sim.models"
local options = require "stoke.sim.options"
local residency = require "core.pool.residency"
local scheduler = require "stoke.sim.scheduler"

local M = {}

local TPS = 100
local BOUNDS = { 10, 60, 600 }

local World = {}
World.__index = World

local function build(o)
  local built, lanes = {}, {}
  for name, spec in pairs(o.models) do
    local copy = { name = name, load = spec.load or 1, tps = TPS, prefill = 0, size = spec.size, load_error = spec.load_error,
      sha = spec.sha, kv = 0 }
    built[name] = models.build(copy)
    lanes[name] = { model = name, slots = o.slots or 1, busy = 0, queue = {}, newest = nil, load = nil }
  end
  return built, lanes
end

--- What runs until no call is left.
---@param o table models, jobs; slots, max_loaded, vram, gpus; naive = true: all calls are sent as they come; look = seconds that a
---  look takes (0.01), false: never; facts = of a residency; limit = seconds (100000)
function M.run(o)
  local built, lanes = build(o)
  local self = setmetatable({ o = o, built = built, lanes = lanes, now = 0, events = {}, flying = {}, done = 0, failed = 0,
    jobs = o.jobs,
    server = scheduler.new { slots = o.slots or 1, max_loaded = o.max_loaded, vram = o.vram, gpus = o.gpus or 0, vram_wait = 0,
      ping = 0, batch = 0, random = o.random, jitter = o.jitter },
    residency = residency.new(o.facts), decisions = 0, refused = 0 }, World)
  self.name_of = {}
  for name, model in pairs(built) do self.name_of[model] = name end
  for _, job in ipairs(o.jobs) do
    job.calls, job.step = {}, 0
    self:at(job.at or 0, self.next_call, job)
  end
  self:loop()
  self.loads, self.makespan = self.server.ledger.loads, self.last or 0
  return self
end

function World:at(time, f, arg)
  local e = { time = time, f = f, arg = arg, seq = #self.events }
  local i = #self.events
  while i > 0 and self.events[i].time > time do i = i - 1 end
  table.insert(self.events, i + 1, e)
end

function World:next_call(job)
  job.step = job.step + 1
  local step = job[job.step]
  if not step then return end
  local call = { job = job, model = step[1], seconds = step[2], class = step.class or job.class or 2, arrived = self.now }
  job.calls[job.step] = call
  local lane = self.lanes[call.model]
  lane.queue[#lane.queue + 1], lane.newest = call, self.now
end

function World:ended(call)
  call.ended, self.last = self.now, self.now
  call.waited = self.now - call.arrived
  self.done = self.done + 1
  if call.err then self.failed = self.failed + 1 end
  local step = call.job[call.job.step]
  self:at(self.now + (step.pause or 0), self.next_call, call.job)
end

function World:send(lane, call)
  local model = self.built[call.model]
  local opts = options.load_options(assert(options.merge({}, model)), model, 4096, nil, self.o.slots or 1)
  lane.busy = lane.busy + 1
  call.ticket = self.server:arrive({ model = model, opts = opts, kind = "run", prepare = function()
    local n = math.max(1, math.floor(call.seconds * TPS + 0.5))
    return { prompt = "x", prompt_tokens = 1, n = n, tps = TPS, prefill = 0, text = "" }
  end }, self.now)
  call.sent, call.lane = self.now, lane
  self.flying[#self.flying + 1] = call
end

-- Who is done?
function World:collect()
  for i = #self.flying, 1, -1 do
    local call = self.flying[i]
    local t = call.ticket
    if t.state == "done" or t.state == "failed" then
      table.remove(self.flying, i)
      self.server:leave(t, self.now, true)
      call.lane.busy = call.lane.busy - 1
      local load = t.load_seconds or 0
      local service = self.now - call.sent - load
      call.lane.service = math.max(service, call.lane.service or 0)
      if t.state == "failed" then call.err = t.error end
      self.residency:answered(call.lane, self.now, { load = load, total = self.now - call.sent }, call.err,
        call.err and call.err[2]:find "memory" ~= nil)
      self:ended(call)
    end
  end
end

function World:work()
  local rows = {}
  for _, name in ipairs(self.names) do
    local lane = self.lanes[name]
    if lane.busy > 0 or #lane.queue > 0 then
      local class, seconds, overdue = 3, 0, false
      for _, call in ipairs(lane.queue) do
        class, seconds = math.min(class, call.class), seconds + call.seconds
        overdue = overdue or self.now - call.arrived >= BOUNDS[call.class]
      end
      local oldest = lane.queue[1] and lane.queue[1].arrived
      rows[#rows + 1] = { lane = lane, busy = lane.busy, waiting = #lane.queue, class = class, overdue = overdue, oldest = oldest,
        newest = lane.newest, seconds = seconds / (self.o.slots or 1), service = lane.service }
    end
  end
  return rows
end

local function take(lane)
  local best = 1
  for i, call in ipairs(lane.queue) do
    if call.class < lane.queue[best].class then best = i end
  end
  return table.remove(lane.queue, best)
end

function World:look(change)
  if not change.look or self.looking or self.o.look == false then return end
  self.looking = true
  self:at(self.now + (self.o.look or 0.01), function()
    self.looking = nil
    local list = {}
    for i, r in ipairs(self.server:resident()) do list[i] = { name = self.name_of[r.runner.model], size = r.runner.size } end
    self.residency:seen(list, self.now)
  end)
end

-- Send all that may be sent.
function World:serve()
  local again = true
  while again do
    again = false
    local change = self.residency:decide(self.now, self:work())
    self.decisions, self.due = self.decisions + 1, change.due
    self:look(change)
    for lane, err in pairs(change.refuse or {}) do
      while #lane.queue > 0 do
        local call = take(lane)
        call.err, self.refused = err, self.refused + 1
        self:ended(call)
      end
    end
    for _, name in ipairs(self.names) do
      local lane = self.lanes[name]
      local room = lane.slots + (change.extra and change.extra[lane] or 0)
      if change.unload and change.lane == lane then
        for _, victim in ipairs(change.victims) do self.server:unload(self.built[victim.model], self.now) end
      end
      if change.may[lane] and #lane.queue > 0 and lane.busy < room then
        self:send(lane, take(lane))
        self.residency:sent(lane, self.now)
        again = true
        break
      end
    end
  end
end

function World:serve_naively()
  for _, name in ipairs(self.names) do
    local lane = self.lanes[name]
    while #lane.queue > 0 do self:send(lane, table.remove(lane.queue, 1)) end
  end
end

function World:loop()
  self.names = {}
  for name in pairs(self.lanes) do self.names[#self.names + 1] = name end
  table.sort(self.names)
  while true do
    while self.events[1] and self.events[1].time <= self.now do
      local e = table.remove(self.events, 1)
      e.f(self, e.arg)
    end
    self.server:advance(self.now)
    self:collect()
    if not (self.events[1] and self.events[1].time <= self.now) then
      if self.o.naive then self:serve_naively() else self:serve() end
      local nexts = math.min(self.server:due() or math.huge, self.events[1] and self.events[1].time or math.huge,
        self.due and self.due > self.now and self.due or math.huge)
      if nexts == math.huge then break end
      assert(nexts < (self.o.limit or 100000), "the world does not end")
      self.now = math.max(nexts, self.now)
    end
  end
  for _, name in ipairs(self.names) do
    assert(#self.lanes[name].queue == 0 and self.lanes[name].busy == 0, "calls are left for " .. name)
  end
end

return M
