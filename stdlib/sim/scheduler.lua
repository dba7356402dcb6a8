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
--- generated, endless = true to never finish }.
---
--- Three threads of the original are here as three pieces of state: the loader (one load at a time,
--- strict order, waits for evictions), the reaper (finished requests and expiries, blind while it
--- waits for memory to come back) and the runners. Their faults are kept: see
--- tests/lua/test_sim_wedges.lua.

local heap = require "stoke.sim.heap"
local cache = require "stoke.sim.cache"
local options = require "stoke.sim.options"
local ledger = require "stoke.sim.ledger"

local M = {}
local S = {}
S.__index = S

M.BUSY = "server busy, please try again.  maximum pending requests exceeded"

local FOREVER = math.huge

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
---  before each grant (0.001 s); wake(ticket), called when a waiting ticket gets on
function M.new(o)
  o = o or {}
  local gpus = o.gpus or 1
  return setmetatable({
    slots = o.slots or 1, max_loaded = o.max_loaded or 3 * math.max(gpus, 1), max_queue = o.max_queue or 512,
    keep_alive = M.keep(o.keep_alive) or 300, gpus = gpus, vram = o.vram,
    vram_wait = gpus > 0 and (o.vram_wait or 0.25) or 0, ping = o.ping or 0.001,
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
  local r = self.loaded[t.key]
  if r and not options.needs_reload(r, request) then
    self:attach(t, r)
  elseif self:queued() >= self.max_queue then
    self.ledger.busy_503 = self.ledger.busy_503 + 1
    self:fail(t, 503, M.BUSY)
  else
    self.tail = self.tail + 1
    self.pending[self.tail] = t
  end
  self:finish_call()
  return t
end

--- How many requests wait for a load, entries of clients that left included.
function S:queued() return self.tail - self.head + 1 end

function S:fail(t, status, text)
  t.state, t.error = "failed", { status, text }
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
  if not job then return self:fail(t, err[1], err[2]) end
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

-- Slots -------------------------------------------------------------------------------------------

function S:start(t)
  local r, job = t.runner, t.job
  t.slot, t.cached = r.cache:take(job.prompt)
  t.slot_at = self.now
  t.prefill = job.prefill > 0 and (job.prompt_tokens - t.cached) / job.prefill or 0
  t.first = self.now + self.ping + t.prefill + (job.delay or 0)
  t.each = job.tps > 0 and 1 / job.tps or 0
  t.ends = job.endless and FOREVER or t.first + job.n * t.each
  t.state = "running"
  self.ledger:slot_taken(t)
  t.event = self:after(t.ends - self.now, "slot_end", t)
end

-- How many tokens a ticket has generated by a time.
local function generated(t, now)
  if now < t.first then return 0 end
  if t.each == 0 then return t.job.n end
  return math.min(t.job.n, math.floor((now - t.first) / t.each + 1e-6))
end
M.generated = generated

--- When token i of a running ticket is there.
function M.token_due(t, i) return t.first + i * t.each end

function S:slot_end(t)
  local n = generated(t, self.now)
  self.ledger:slot_given(t, self.now, n)
  local text = t.job.text or ""
  if n < t.job.n then text = text:sub(1, n * cache.BYTES_PER_TOKEN) end
  t.runner.cache:give(t.slot, t.job.prompt .. text)
  if t.state == "running" then t.state = "done" end
  self:next_slot(t.runner)
end

function S:next_slot(r)
  while r.first_waiting and r.cache.free > 0 do
    local t = r.first_waiting
    r.first_waiting = t.next_waiting
    if not r.first_waiting then r.last_waiting = nil end
    if t.state == "waiting" then
      self:start(t)
      self.wake(t)
    end
  end
end

-- The client's connection ended while its slot worked: generation stops at the next token; prompt
-- evaluation when the server next looks at the connection, about once a second.
function S:cut_slot(t)
  if t.event then self.events:cancel(t.event) end
  local stop
  if self.now < t.first then
    stop = math.min(t.first, t.slot_at + math.ceil(self.now - t.slot_at + 1e-9))
  elseif t.each > 0 then
    stop = t.first + math.ceil((self.now - t.first) / t.each - 1e-6) * t.each
    if t.job.endless then stop = self.now end
  else
    stop = self.now
  end
  t.event = self:after(math.min(stop, t.ends) - self.now, "slot_end", t)
end

--- The HTTP request of a ticket is over, because it was answered (`answered`) or because the client
--- left.
---@param t table
---@param now number
---@param answered boolean?
function S:leave(t, now, answered)
  self:advance(now)
  if t.left then return end
  t.left = true
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
    cache = cache.new(n, not request.model.embed_only), size = bytes_needed(request.model, request.opts, n),
  }
  self.ledger:load_begins(request.model, p.evicted)
  l.event = self:after(request.model.load, "load_ends", p)
  return false
end

function S:load_ends(p)
  local l = self.loader
  local r = l.runner
  l.p, l.state, l.runner, l.event = nil, "idle", nil, nil
  if r.model.load_error then return self:fail(p, 500, r.model.load_error) end
  local beside = self.n_loaded > 0
  r.vram = self.gpus == 0 and 0 or math.min(r.size, self.vram and not beside and self.vram or r.size)
  self.loaded[r.key] = r
  self.n_loaded = self.n_loaded + 1
  self:attach(p, r)
end

-- A load is thrown away with the client that asked for it.
function S:abort_load(p)
  local l = self.loader
  self.events:cancel(l.event)
  self.ledger.aborted_loads = self.ledger.aborted_loads + 1
  l.p, l.state, l.runner, l.event = nil, "idle", nil, nil
  p.error = { 499, "request canceled" }
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
