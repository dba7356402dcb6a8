--- The scheduler of the imitated server as a pure state machine: no I/O, no clock, no randomness.
--- Time goes in with every call, as seconds on any scale that does not run backwards.
---
---     local s = scheduler.new { slots = 1, max_loaded = 3 }
---     local t = s:arrive(request, now)   -- a ticket; t.state says where it stands
---     s:advance(now)                     -- do everything due by now
---     s:due()                            -- when something happens next, or nil
---     s:leave(t, now)                    -- the client's HTTP request is over (answered or not)
---
--- A request is { model =, opts = load options (options.lua), keep = seconds or nil, kind = "run" |
--- "load", prepare = function(request, runner) -> job | nil, {status, text} }; a job is { prompt =
--- text, prompt_tokens =, n = tokens to generate, tps =, prefill =, delay =, text = what was
--- generated, endless = true to never finish, kills = "runner" | "server" to take that along when
--- it ends }.
---
--- A ticket's state: arriving (its handler reads the model's file), pending (waits for the loader),
--- evicting, loading, blocked (waits for the load of another), waiting (for a slot), running, done,
--- failed (`error` is { status, text }; status 0: the connection is cut), died (with its runner),
--- gone (its client left).
---
--- Three threads of the original are here as three pieces of state: the loader (one load at a time,
--- strict order, waits for evictions), the reaper (finished requests and expiries, blind while it
--- waits for memory to come back) and the runners (running.lua). Their faults are kept: see
--- tests/lua/test_sim_wedges.lua.

local heap = require "core.heap"
local cache = require "stoke.sim.cache"
local options = require "stoke.sim.options"
local ledger = require "stoke.sim.ledger"
local batches = require "stoke.sim.batch"
local habits = require "stoke.sim.habits"
local running = require "stoke.sim.running"

local M = {}
local S = {}
S.__index = S
running.extend(S)

M.generated = running.generated
M.BUSY = "server busy, please try again.  maximum pending requests exceeded"

local FOREVER = math.huge
local START = 0.25 -- seconds of a load until its process runs, at most

--- A keep_alive in seconds as the machine holds it: anything negative is for ever.
---@param seconds number?
---@return number?
function M.keep(seconds)
  if not seconds then return nil end
  return seconds < 0 and FOREVER or seconds
end

--- A machine at time 0.
---@param o table?
---  slots per runner (1); max_loaded (3 for each GPU); max_queue (512); keep_alive in seconds
---  (300); gpus (1); vram in bytes (no limit); vram_wait in seconds (0.25); ping, the health check
---  before each grant (0.001 s); wake(ticket), called when a waiting ticket gets on; habits
---  (habits.lua; the newest); batch, what a further stream adds to a step; jitter, seconds by which
---  calls of the same instant come apart (0); random() -> [0, 1), always a half when not given
function M.new(o)
  o = o or {}
  local own = o.habits or habits.of()
  local gpus = o.gpus or own.gpus
  return setmetatable({
    habits = own, batch = o.batch or habits.BATCH_COST[gpus > 0 and "gpu" or "processor"],
    jitter = o.jitter or 0, random = o.random or function() return 0.5 end, at_door = 0, last_arrival = -FOREVER,
    slots = o.slots or 1, max_loaded = o.max_loaded or 3 * math.max(gpus, 1), max_queue = o.max_queue or 512,
    keep_alive = M.keep(o.keep_alive) or 300, gpus = gpus, vram = o.vram,
    vram_wait = gpus > 0 and (o.vram_wait or 0.25) or 0, ping = o.ping or own.age == "runner" and 0 or 0.001,
    wake = o.wake or function() end, ledger = o.ledger or ledger.new(),
    now = 0, events = heap.new(), loaded = {}, n_loaded = 0,
    pending = {}, head = 1, tail = 0,
    loader = { state = "idle", stale = 0 },
    reaper = { busy = false, queue = {}, head = 1, tail = 0 },
  }, S)
end

-- Time --------------------------------------------------------------------------------------------

--- Does everything that happens up to `now`, in order.
---@param now number
function S:advance(now)
  local e = self.events:take(now)
  while e do
    if e.at > self.now then self.now = e.at end
    self[e.name](self, e.arg)
    self:settle()
    e = self.events:take(now)
  end
  if now > self.now then self.now = now end
end

--- When something happens next, in the same seconds; nil when nothing will by itself.
---@return number?
function S:due()
  local e = self.events:first()
  return e and e.at
end

function S:after(seconds, name, arg)
  if seconds >= FOREVER then return nil end
  return self.events:add(self.now + seconds, name, arg)
end

-- The reaper and the loader go on until neither can.
function S:settle()
  repeat
    local again = self:reaper_step()
    again = self:loader_step() or again
  until not again
end

function S:finish_call()
  self:settle()
  self:advance(self.now)
end

-- Arrival -----------------------------------------------------------------------------------------

--- A validated request comes in.
---@param request table
---@param now number
---@return table ticket
function S:arrive(request, now)
  self:advance(now)
  local t = { request = request, key = request.model.key, arrived = self.now, state = "pending" }
  self.ledger:arrived(request.model)
  local delay = self:handling(request.model)
  if delay > 0 then
    t.state, self.at_door = "arriving", self.at_door + 1
    self:after(delay, "admit", t)
  else
    self:place(t)
  end
  self:finish_call()
  return t
end

local CROWD = 0.003 -- seconds by which each other call under way delays one that arrives, at most
local INSTANT = 0.002 -- seconds

-- How long a request's handler is busy before it asks for a runner. Handlers of several requests do
-- not end in the order in which they began, so what a burst meets is a matter of luck.
function S:handling(model)
  local least, more = habits.handling(self.habits, model)
  if least then return least + (more + CROWD * self.at_door) * self.random() end
  if self.jitter == 0 then return 0 end
  local last = self.last_arrival
  self.last_arrival = self.now
  return self.now - last < INSTANT and self.jitter * self.random() or 0
end

function S:admit(t)
  self.at_door = self.at_door - 1
  if t.left then return end
  t.state = "pending"
  self:place(t)
end

-- Does a load hold this request's model locked? Only when its weights are being read: the process
-- that will read them is started first, unknown to all.
function S:is_locked(key)
  local l = self.loader
  return self.habits.lock and l.state == "loading" and l.p.key == key and self.now >= l.known_at
end

function S:place(t)
  local r = self.loaded[t.key]
  if r and not options.needs_reload(r, t.request) then
    self:attach(t, r)
  elseif self:is_locked(t.key) then
    local blocked = self.loader.blocked
    t.state, blocked[#blocked + 1] = "blocked", t
  elseif self:queued() >= self.max_queue then
    self.ledger.busy_503 = self.ledger.busy_503 + 1
    self:fail(t, 503, M.BUSY)
  else
    t.state = "pending"
    self.tail = self.tail + 1
    self.pending[self.tail] = t
  end
end

--- How many requests wait for a load, entries of clients that left included.
function S:queued() return self.tail - self.head + 1 end

function S:fail(t, status, text, late)
  t.state, t.error = "failed", { status, text, late = late }
  self.wake(t)
end

-- The request becomes one of the runner's.
function S:attach(t, r)
  r.refs = r.refs + 1
  self:stop_timer(r)
  if t.request.keep then r.keep = t.request.keep end
  t.runner, t.granted = r, self.now
  t.load_seconds = self.now - t.arrived + self.ping
  if t.request.kind == "load" then
    t.state = "done"
    return self.wake(t)
  end
  local job, err = t.request:prepare(r)
  if not job then return self:fail(t, err[1], err[2], err.late) end
  t.job = job
  if r.cache.free > 0 and not r.first_waiting then
    self:start(t)
  else
    t.state = "waiting"
    if r.last_waiting then r.last_waiting.next_waiting = t else r.first_waiting = t end
    r.last_waiting = t
  end
  self.wake(t)
end

--- The HTTP request of a ticket is over, because it was answered (`answered`) or because the client
--- left.
---@param t table
---@param now number
---@param answered boolean?
function S:leave(t, now, answered)
  self:advance(now)
  if t.left then return end
  t.left, t.answered = true, answered
  if not answered then self.ledger.disconnects = self.ledger.disconnects + 1 end
  local state = t.state
  if state == "loading" then
    self:abort_load(t)
  elseif state == "running" then
    self:cut_slot(t)
  end
  if state ~= "done" and state ~= "failed" then t.state = "gone" end
  if t.runner then self:post("finished", t.runner) end
  self:finish_call()
end

--- An unload request: the model goes when its last request does, at once if there is none.
function S:unload(model, now)
  self:advance(now)
  local r = self.loaded[model.key]
  if r then self:expire(r) end
  self:finish_call()
end

-- The reaper --------------------------------------------------------------------------------------

function S:post(name, r)
  local q = self.reaper
  q.tail = q.tail + 1
  q.queue[q.tail] = { name, r }
end

function S:stop_timer(r)
  if r.timer then self.events:cancel(r.timer) end
  r.timer = nil
end

function S:expire(r)
  self:stop_timer(r)
  r.keep = 0
  if r.refs == 0 then self:post("expired", r) end
end

function S:reaper_step()
  local q = self.reaper
  if q.busy or q.head > q.tail then return false end
  local e = q.queue[q.head]
  q.queue[q.head] = nil
  q.head = q.head + 1
  self[e[1]](self, e[2])
  return true
end

function S:finished(r)
  if self.loaded[r.key] ~= r then return end
  r.refs = r.refs - 1
  if r.refs > 0 then return end
  if r.keep <= 0 then return self:post("expired", r) end
  self:stop_timer(r)
  r.expires_at = self.now + r.keep
  r.timer = self:after(r.keep, "timer_ends", r)
end

function S:timer_ends(r)
  r.timer = nil
  self:post("expired", r)
end

function S:repost(r) self:post("expired", r) end

function S:expired(r)
  if self.loaded[r.key] ~= r then return end -- a second notice of the same end
  if r.refs > 0 then return self:after(0.01, "repost", r) end
  self:stop_timer(r)
  self.loaded[r.key] = nil
  self.n_loaded = self.n_loaded - 1
  if self.vram_wait > 0 then
    self.reaper.busy = true
    self:after(self.vram_wait, "memory_back")
  else
    self:memory_back()
  end
end

function S:memory_back()
  self.reaper.busy = false
  local l = self.loader
  if l.state == "evicting" then
    l.state = "working"
  elseif l.state ~= "idle" then
    l.stale = l.stale + 1 -- seen by the next wait, whoever it is for
  end
end

-- The loader --------------------------------------------------------------------------------------

--- The runner to evict: shortest keep, then smallest hash; an idle one if there is any.
function S:pick()
  local list = {}
  for _, r in pairs(self.loaded) do list[#list + 1] = r end
  table.sort(list, function(a, b)
    if a.keep ~= b.keep then return a.keep < b.keep end
    return a.key < b.key
  end)
  for _, r in ipairs(list) do if r.refs == 0 then return r end end
  return list[1]
end

local function bytes_needed(model, opts, n)
  local ctx = math.min(opts.num_ctx, model.context) * n
  local batch = opts.num_batch >= 2048 and 2 << 30 or opts.num_batch >= 1024 and 768 << 20 or 0
  return model.size + model.kv * ctx + batch
end

function S:slots_of(model) return model.serial and 1 or self.slots end

function S:fits(request)
  if not self.vram or self.gpus == 0 then return true end
  local free = self.vram
  for _, r in pairs(self.loaded) do free = free - r.size end
  return bytes_needed(request.model, request.opts, self:slots_of(request.model)) <= 0.8 * free
end

function S:next_pending()
  local l = self.loader
  if self.head > self.tail then
    l.stale = 0
    return false
  end
  local p = self.pending[self.head]
  self.pending[self.head] = nil
  self.head = self.head + 1
  if not p.left then
    l.p, l.state = p, "working"
  end
  return true
end

-- One round. True when there may be more to do at once.
function S:loader_step()
  local l = self.loader
  if l.state == "idle" then return self:next_pending() end
  if l.state ~= "working" then return false end
  local p = l.p
  local r = self.loaded[p.key]
  local victim
  if r and not options.needs_reload(r, p.request) then
    l.p, l.state = nil, "idle"
    if not p.left then self:attach(p, r) end
    return true
  elseif r then
    victim = r
  elseif self.n_loaded >= self.max_loaded then
    victim = self:pick()
  elseif self.n_loaded == 0 or self:fits(p.request) then
    return self:load(p)
  else
    victim = self:pick()
  end
  p.evicted = true
  if not p.left then p.state = "evicting" end
  self:expire(victim)
  if l.stale > 0 then
    l.stale = l.stale - 1
    return true
  end
  l.state = "evicting"
  return true
end

function S:load(p)
  local l = self.loader
  if p.left then -- cancelled while others were evicted for it
    l.p, l.state = nil, "idle"
    return true
  end
  local request = p.request
  local n = self:slots_of(request.model)
  p.state, l.state = "loading", "loading"
  l.runner = {
    key = p.key, model = request.model, opts = request.opts, refs = 0, keep = self.keep_alive, slots = n,
    cache = cache.new(n, not request.model.embed_only, self.habits.cache), running = {},
    size = bytes_needed(request.model, request.opts, n),
  }
  local r = l.runner
  if n > 1 then r.batch, r.model_tps = batches.new(request.model.batch or self.batch), math.max(request.model.tps, 1) end
  l.blocked, l.known_at = {}, self.now + math.min(START, 0.8 * request.model.load)
  self.ledger:load_begins(request.model, p.evicted)
  l.event = self:after(request.model.load, "load_ends", p)
  return false
end

function S:load_ends(p)
  local l = self.loader
  local r = l.runner
  l.p, l.state, l.runner, l.event = nil, "idle", nil, nil
  local blocked = l.blocked
  if r.model.load_error or r.opts.num_batch == 0 then
    self:fail(p, 500, r.model.load_error or habits.terminated(self.habits, r.model))
    return self:release(blocked)
  end
  local beside = self.n_loaded > 0
  r.vram = self.gpus == 0 and 0 or math.min(r.size, self.vram and not beside and self.vram or r.size)
  self.loaded[r.key] = r
  self.n_loaded = self.n_loaded + 1
  self:attach(p, r)
  self:release(blocked)
end

-- What waited for a load gets on, all together.
function S:release(blocked)
  for _, t in ipairs(blocked) do if not t.left then self:place(t) end end
end

-- A load is thrown away with the client that asked for it.
function S:abort_load(p)
  local l = self.loader
  self.events:cancel(l.event)
  self.ledger.aborted_loads = self.ledger.aborted_loads + 1
  l.p, l.state, l.runner, l.event = nil, "idle", nil, nil
  p.error = { 499, "request canceled" }
  self:release(l.blocked)
end

--- What is loaded, latest expiry first: { model, runner, expires_at (seconds of this clock) }.
function S:resident()
  local list = {}
  for _, r in pairs(self.loaded) do
    list[#list + 1] = { runner = r, expires_at = r.expires_at or self.now + r.keep }
  end
  table.sort(list, function(a, b)
    if a.expires_at ~= b.expires_at then return a.expires_at > b.expires_at end
    return a.runner.model.name < b.runner.model.name
  end)
  return list
end

return M
