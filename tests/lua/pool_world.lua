-- Servers and callers around the pool's engine, in a time of their own, and a plain account of what must be true beside it: who
-- waits, who runs where, who is through. The engine is pure, so a world is events in the order of their times.
--
-- A server works like a real one: slots for each model, a queue without end behind them, room for so many models, and a load that
-- waits until a model that has to go is idle.

local engines = require "core.pool.engine"
local lanes = require "core.pool.lane"
local sorted = require "core.pool.sorted"
local words = require "core.pool.words"

local M = {}

local World = {}
World.__index = World

-- What is done where the engine asks for it.
local work = {}

--- What a world is made of: `settings` of the engine; `limit`, a number for every lane, or nil: learned; and `servers`, each with
--- slots (of each model), models (how many; they are named 1..n), room (models in memory), load (seconds), speed (a factor on what
--- calls take), fails (the share of calls that do), forgets (of conversations it knows the last of each slot).
function M.new(options)
  local self = setmetatable({ now = 0, events = sorted.new(), made = 0, engine = engines.new(options.settings), options = options,
    servers = {}, groups = {}, waiting = {}, running = {}, through = {}, counts = { answered = 0, failed = 0, left = 0, refused = 0,
    cut = 0, loads = 0, in_place = 0 }, longest = 0, slowest = 0, problems = {} }, World)
  -- What prompts begin with: of a conversation, all that was said before.
  self.engine.chain_of = function(ticket)
    local unit = ticket.unit
    if not unit then return nil end
    unit.chain = unit.chain or { tokens = {} }
    local n = #unit.chain + 1
    unit.chain[n], unit.chain.tokens[n] = ("%p %d"):format(unit, n), ticket.input
    return unit.chain
  end
  for i, o in ipairs(options.servers) do
    local server = { truth = o, record = lanes.server("server" .. i), models = {}, number = i }
    for m = 1, o.models or 1 do
      local lane = lanes.new(("server%d model%d"):format(i, m), server.record,
        { name = "model" .. m, endpoint = { name = "server" .. i } })
      lane.limit = options.limit
      if o.forgets then lane.known = { cache = { kind = "slot" } } end
      server.models[m] = { lane = lane, queue = {}, busy = 0, resident = false, number = m, memory = {} }
    end
    self.servers[i] = server
  end
  return self
end

-- ---- time ----

function World:at(time, f)
  self.made = self.made + 1
  sorted.push(self.events, { seq = self.made, f = f }, time)
end

function World:problem(...)
  local text = ("%.3f s: "):format(self.now) .. (...):format(select(2, ...))
  if #self.problems < 5 then self.problems[#self.problems + 1] = text end
end

-- ---- the servers ----

local function loaded(server)
  local n = 0
  for _, model in ipairs(server.models) do
    if model.resident or model.loading then n = n + 1 end
  end
  return n
end

local start

-- Make room for a model that is asked for, and load it.
local function load(self, server, model)
  if model.resident or model.loading then return end
  while loaded(server) >= (server.truth.room or 9) do
    local idle
    for _, other in ipairs(server.models) do
      if other.resident and other.busy == 0 and (not idle or (other.used or 0) < (idle.used or 0)) then idle = other end
    end
    if not idle then return end -- when one is
    idle.resident = false
  end
  model.loading = true
  self.counts.loads = self.counts.loads + 1
  self:at(self.now + (server.truth.load or 0), function()
    model.loading, model.resident, model.fresh = nil, true, server.truth.load or 0
    start(self, server)
  end)
end

-- Seconds that reading a prompt takes: next to nothing of what one of the slots read last.
local function reading(server, model, call)
  local seconds, unit = (call.input or 100) / 2000, call.unit
  if not unit then return seconds end
  for i, other in ipairs(model.memory) do
    if other == unit then
      table.remove(model.memory, i)
      seconds = seconds * 0.05
      break
    end
  end
  table.insert(model.memory, 1, unit)
  model.memory[server.truth.slots + 1] = nil
  return seconds
end

local finish
function finish(self, server, model, call)
  if server.wedged then -- it takes calls, and answers none until it is restarted
    return self:at(self.now + 1, function() finish(self, server, model, call) end)
  end
  model.busy, model.used = model.busy - 1, self.now
  if not call.gone then self:ended(call, call.fails and { kind = "network", message = "it broke" } or nil) end
  start(self, server)
end

function start(self, server)
  for _, model in ipairs(server.models) do
    while model.queue[1] and model.resident and model.busy < server.truth.slots do
      local call = table.remove(model.queue, 1)
      model.busy = model.busy + 1
      call.started, call.loads, model.fresh = self.now, model.fresh, nil
      call.prefill = reading(server, model, call)
      local seconds = (call.prefill + call.seconds) * (server.truth.speed or 1)
      self.slowest = math.max(self.slowest, seconds)
      self:at(self.now + seconds, function() finish(self, server, model, call) end)
    end
    if model.queue[1] then load(self, server, model) end
  end
end

-- ---- the callers ----

-- A call is sent to the server of its lane.
local function send(self, call, lane)
  for _, server in ipairs(self.servers) do
    for _, model in ipairs(server.models) do
      if model.lane == lane then
        call.sent, call.server, call.model = self.now, server, model
        call.fails = math.random() < (server.truth.fails or 0) or server.down
        if server.down then
          return self:at(self.now + 0.01, function()
            if not call.gone then self:ended(call, { kind = "network", message = "it is down" }) end
          end)
        end
        model.queue[#model.queue + 1] = call
        return start(self, server)
      end
    end
  end
end

-- The same lane, once more: is what the engine counts what is out?
local function out_of(self, lane)
  local n = 0
  for call in next, self.running do
    if call.lane == lane then n = n + 1 end
  end
  return n
end

local function timings(self, call)
  if not call.started then return nil end
  local service = self.now - call.started
  local prefill = service * call.prefill / (call.prefill + call.seconds)
  return { total = self.now - call.sent, load = call.loads or 0.002, prefill = prefill, decode = service - prefill,
    input = call.input or 100, output = math.max(1, call.seconds * 40 // 1) }
end

-- What lua/gate/pool.lua does while a server has no need of the engine: calls count themselves in and out.
local function count_in_place(self, call)
  local lane = call.group.lanes[1]
  local server = lane.server
  if call.group.lanes[2] or server.engaged then return false end
  local current = server.current
  if current ~= lane and (not current or current.busy == 0) then current = lane end
  if current ~= lane or lane.busy >= lanes.width(lane) then return false end
  lane.busy = lane.busy + 1
  lanes.reopen(lane)
  call.lane, call.granted, self.running[call] = lane, self.now, true
  send(self, call, lane)
  return true
end

local function uncount(self, lane, outcome)
  local failed = outcome.err
  if lane.server.engaged or failed and (lane.failed or 0) + 1 >= 3 then
    self.engine:group { lane }
    return self.engine:finished(lane, nil, outcome, self.now)
  end
  if failed then
    lane.failed, lane.last_error = (lane.failed or 0) + 1, failed
  elseif not outcome.cancelled then
    lane.failed, lane.last_error = nil, nil
  end
  lane.busy = lane.busy - 1
  if lane.server.current == lane then lanes.reopen(lane) end
end

--- An answer, an error or a cancel of a call that was sent.
function World:ended(call, err, cancelled)
  call.gone = true
  if not self.running[call] then self:problem("call %d ended twice", call.id) end
  self.running[call] = nil
  self.through[call] = true
  self.counts[cancelled and "cut" or err and "failed" or "answered"] = self.counts[cancelled and "cut" or err and "failed"
    or "answered"] + 1
  call.finished = self.now
  local outcome = { err = err, cancelled = cancelled, timings = not err and not cancelled and timings(self, call) or nil,
    in_prefill = cancelled and call.started and math.random() < 0.5 or nil, continues = call.continues, tool = call.tool }
  if not call.ticket then
    uncount(self, call.lane, outcome)
  else
    for _ = 1, math.random() < 0.05 and 2 or 1 do self.engine:done(call.ticket, outcome, self.now) end -- twice is once
  end
  self:collect()
  if call.after then call.after(call) end
end

--- Ask: { group =, seconds =, class =, deadline =, unit =, program =, order =, patience = seconds after which it is cancelled }.
function World:ask(call)
  self.asked = (self.asked or 0) + 1
  call.id, call.began = self.asked, self.now
  if call.patience then self:at(self.now + call.patience, function() self:cancel(call) end) end
  if count_in_place(self, call) then
    self.counts.in_place = self.counts.in_place + 1
    return call
  end
  local fields = { group = call.group, order = call.order or 0, program = call.program, unit = call.unit, agent = call.agent,
    input = call.input }
  if call.class and call.class ~= 2 then fields.class = call.class end
  if call.deadline then fields.deadline = self.now + call.deadline end
  if call.holder then fields.holder = true end
  call.ticket = self.engine:ticket(fields)
  call.ticket.call = call
  self.waiting[call] = true
  self.engine:arrive(call.ticket, self.now)
  self:collect()
  return call
end

function World:cancel(call)
  if self.waiting[call] then
    self.waiting[call], self.through[call] = nil, true
    self.counts.left = self.counts.left + 1
    self.engine:leave(call.ticket, self.now)
    self:collect()
    if call.after then call.after(call) end
  elseif self.running[call] then
    self:ended(call, nil, true)
    if not call.started then
      for i, other in ipairs(call.model.queue) do
        if other == call then table.remove(call.model.queue, i) break end
      end
    end
  end
end

function World:server_of(lane)
  for _, server in ipairs(self.servers) do
    if server.record == lane.server then return server end
  end
end

--- What the engine has decided and asked for becomes true.
function World:collect()
  local chores = self.engine.chores
  self.engine.chores = {}
  for _, about in ipairs(chores) do work[about.what](self, about) end
  local decided = self.engine.decided
  self.engine.decided = {}
  for _, ticket in ipairs(decided) do
    local call = ticket.call
    if not self.waiting[call] then self:problem("call %d was decided, and did not wait (%s)", call.id, ticket.state) end
    self.waiting[call] = nil
    if ticket.state == "granted" then
      call.lane, call.granted = ticket.lane, self.now
      self.running[call] = true
      self.longest = math.max(self.longest, self.now - call.began)
      if self.granted then self.granted(call) end
      send(self, call, ticket.lane)
    else
      if ticket.state ~= "refused" then self:problem("call %d was decided: %s", call.id, ticket.state) end
      self.through[call] = true
      self.counts.refused = self.counts.refused + 1
      if call.after then call.after(call) end
    end
  end
end

-- ---- what the engine asks for ----

-- One token of a lane, or of its server, a moment later.
local function one_token(self, lane, seconds, told)
  local server = self:server_of(lane)
  self:at(self.now + (server.wedged and seconds or 0.3), function()
    told((server.down or server.wedged) and { kind = "network", message = "it is down" } or nil)
    self.engine:touch(lane.server)
    self.engine:advance(self.now)
    self:collect()
  end)
end


function work.look(self, about)
  local server = self:server_of(about.server.lanes[1])
  self:at(self.now + 0.01, function()
    about.server.looking = nil
    local list = not server.down and {} or nil
    for _, model in ipairs(server.models) do
      if list and (model.resident or model.loading) then list[#list + 1] = { name = model.lane.model, size = 1000 } end
    end
    local residency = about.server.residency
    if residency and list then residency:seen(list, self.now) elseif residency then residency:unseen(self.now) end
    self.engine:touch(about.server)
    self.engine:advance(self.now)
    self:collect()
  end)
end

function work.unload(self, about)
  for _, lane in ipairs(about.lanes) do
    for _, model in ipairs(self:server_of(lane).models) do
      if model.lane == lane and model.busy == 0 then model.resident = false end
    end
    start(self, self:server_of(lane))
  end
end

function work.trial(self, about)
  one_token(self, about.lane, 60, function(err)
    if about.lane.breaker then about.lane.breaker:done(err, self.now) end
  end)
end

function work.probe(self, about)
  one_token(self, about.lane, about.seconds, function(err)
    if about.server.watch then about.server.watch:probed(self.now, err == nil) end
  end)
end

-- ---- what must be true ----

--- Beside the plain account: no slot is lost, nobody is forgotten or queued twice.
function World:check()
  local queued, n, seen = {}, 0, {}
  for _, server in ipairs(self.servers) do
    for _, model in ipairs(server.models) do
      local lane = model.lane
      local out = out_of(self, lane)
      if lane.busy ~= out then self:problem("%s: busy %d, and %d are out", lane.key, lane.busy, out) end
      -- where several models are in use, one more may be out, so that a model is not left without work (lua/pool/residency.lua)
      local limit = lane.limit and lane.limit + (server.models[2] and 1 or 0)
      if limit and out > limit then self:problem("%s: %d are out, of %d", lane.key, out, limit) end
      for _, group in ipairs(lane.groups or {}) do
        if not seen[group] then
          seen[group] = true
          group.queue:each(function(ticket)
            if queued[ticket] then self:problem("call %d is queued twice", ticket.call.id) end
            queued[ticket], n = true, n + 1
          end)
        end
      end
    end
  end
  local waiting = 0
  for call in next, self.waiting do
    waiting = waiting + 1
    if waiting <= 3 and call.ticket.state == "waiting" then
      local why = words.reason(call.ticket, self.now)
      if why == "" or why:find "%-%d" or why:find "inf" or why:find "nan" then self:problem("call %d waits: %s", call.id, why) end
    end
    if not queued[call.ticket] then self:problem("call %d waits and is in no queue (%s)", call.id, call.ticket.state) end
    for _, lane in ipairs(call.ticket.group.lanes) do
      if not lane.server.engaged then self:problem("call %d waits for %s, which is at rest", call.id, lane.key) end
    end
  end
  if waiting ~= n then self:problem("%d wait, and %d are queued", waiting, n) end
  if waiting ~= self.engine.waiting then self:problem("%d wait, and the engine counts %d", waiting, self.engine.waiting) end
end

--- Go through all events, checking now and then; until nothing happens any more, or a time.
---@param every integer events between two checks
---@param till number|nil
function World:run(every, till)
  local n, stuck = 0, 0
  while #self.problems == 0 do
    local event, time = sorted.first(self.events)
    local due = self.engine:due()
    if not time and not due or till and math.min(time or due, due or time) > till then break end
    n = n + 1
    if due and (not time or due < time) then
      stuck = due <= self.now and stuck + 1 or 0
      if stuck > 100 then self:problem("due at %.3f, whatever is done", due) end
      self.now = math.max(self.now, due)
      self.engine:advance(self.now)
      self:collect()
    else
      stuck = 0
      sorted.remove(self.events, event, time)
      self.now = time
      event.f()
    end
    if n % every == 0 then self:check() end
  end
  self:check()
  if not till and next(self.waiting) and #self.problems == 0 then
    local count = 0
    for _ in next, self.waiting do count = count + 1 end
    self:problem("%d calls are forgotten: nothing is out, nothing is due", count)
  end
  return self
end

return M
