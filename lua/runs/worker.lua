--- A worker takes runs that several hosts share (lua/runs/shared.lua): it holds the claim on each, keeps the lease, sends what the
--- run writes to its journal in the engine, and says how it ended. A run that another host had goes on from that journal.
---
--- What keeps two hosts from doing the same run is not the lease, which a host that was frozen may have lost without knowing: it
--- is the journal. Who takes over writes to it first; who had the run before is refused from then on, and an effect that must not
--- be done twice begins only after its intent was accepted.

local code = require "core.runs.code"
local errors = require "core.errors"
local host = require "host.task"
local hosts = require "core.runs.hosts"
local monotonic = require "host.time".monotonic
local lives = require "core.runs.live"
local plain = require "core.store.plain"
local runs = require "core.runs"
local scopes = require "core.scope"
local shared = require "core.runs.shared"
local ships = require "core.store.ship"
local tasks = require "core.task"

local M = {}

--- Seconds of a lease where nobody says, and how often one is renewed in that time.
M.LEASE, M.RENEWALS = 30, 3
--- Runs at work at the same time; hosts that may end while they have a run that comes no further, before it is given up.
M.SLOTS, M.TRIES = 64, 5
--- Seconds that runs get to end when the worker is asked to stop.
M.DRAIN = 10

-- Seconds for which the engine is asked at once; runs claimed, values read, and refusals told. How often the engine lends a run:
-- when one is given up is said here.
local WAIT <const>, AT_ONCE <const>, SOME <const>, TOLD <const>, OFTEN <const> = 20, 100, 16, 3, 1000000
-- Seconds in which a host hears of a run, about.
local OTHERS <const> = 0.05
local IDLE = { waiting = true, parked = true }

---@class stoke.runs.hold a run that this worker has the claim of
---@field claim core.engine.claim
---@field id string
---@field workflow string
---@field run? stoke.store.run
---@field state string
---@field waits? string
---@field created? number
---@field said? string the state that the engine knows
---@field from? integer tries up to which the run came further
---@field steps? integer how far that was
---@field lost? boolean the claim is another's
---@field refused? boolean its journal is another's

---@class stoke.runs.worker
---@field name string
---@field slots integer
---@field lease number
---@field tries integer
---@field held table<string, stoke.runs.hold>
---@field draining? boolean
---@field done integer runs that ended here
local Worker = {}
Worker.__index = Worker

-- ---- with the engine ----------------------------------------------------------------------------------------------------------

--- Do something until the engine has answered; nil where the worker gives up first.
local function insist(self, f)
  local pause = 0.1
  while true do
    local value, err = f()
    if value ~= nil then return value end
    if err.kind == "argument" or err.kind == "protocol" or err.kind == "limit" then error(err, 0) end
    if not self.troubled then
      self.troubled = true
      scopes.tell(("the engine %s cannot be reached: %s; runs go on to their next step"):format(self.engine.url, err.message))
    end
    if err.kind == "cancelled" or self.over or host.park("engine", pause) == nil then return nil end
    pause = math.min(pause * 2, 5)
  end
end

--- The engine has answered.
local function reached(self)
  if not self.troubled then return end
  self.troubled = nil
  scopes.tell(("the engine %s is reached again"):format(self.engine.url))
end

--- What a log has from a place on, and its last offset.
local function journal_of(self, id, from)
  local values, last = {}, from - 1
  while true do
    local list = errors.check(self.engine:log_read(shared.JOURNALS, id, from, SOME))
    for _, record in ipairs(list) do values[#values + 1], last = record.value, record.offset end
    if #list < SOME then return values, last end
    from = last + 1
  end
end

--- Code that all hosts get by its hash, so that each run need not send it.
local function publish_code(self)
  for _, one in ipairs(code.loaded()) do
    local name = plain.hash(one.text)
    if not self.elsewhere[name] then
      errors.check(self.engine:kv_put(shared.SOURCES, name, one.text))
      self.elsewhere[name] = true
    end
  end
end

local function source_of(self, name)
  local found = errors.check(self.engine:kv_get(shared.SOURCES, name))
  if not found or plain.hash(found.value) ~= name then
    errors.raise("protocol", "the code of the run is not in the engine", { hint = "the host that began it puts it there" })
  end
  self.elsewhere[name] = true
  return found.value
end

--- Say how a run stands. How it ended is said whatever is there, by the one host whose journal has the end; all else only while
--- nobody has said that.
---@param ended? boolean its journal has the end
local function say(self, hold, word, ended)
  word.workflow, word.host, word.created, word.changed = hold.workflow, self.name, hold.created, errors.check(self.engine:now())
  word.from, word.steps = hold.from, hold.steps
  local done
  repeat
    if ended then
      done = errors.check(self.engine:kv_put(shared.RUNS, hold.id, shared.text(word)))
    else
      local there, revision = shared.look(hold.id)
      done = there and shared.ENDED[there.state]
        or errors.check(self.engine:kv_swap(shared.RUNS, hold.id, shared.text(word), revision))
    end
  until done
  hold.said = word.state
  return true
end

local function told(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value == nil or value end
  return nil, errors.wrap(value)
end

local function settle(self, hold, state, reason, delay)
  return insist(self, function()
    return self.engine:settle { { claim = hold.claim, state = state, reason = reason, delay = delay } }
  end)
end

-- ---- taking a run -------------------------------------------------------------------------------------------------------------

--- The store's copy of a run, where it is as good as the journal in the engine; one that is not is deleted.
local function own_copy(self, hold)
  local run = errors.check(runs.open():find(hold.id))
  if not run then return nil end
  if not run.shared then
    errors.raise("argument", ("the store %s has a run %q of its own"):format(self.store.path, hold.id),
      { hint = "give shared runs other ids, or this worker another store: --store FILE" })
  end
  local values, last = {}, run.shared
  if run.shared > 0 then
    if not errors.check(self.engine:log_read(shared.JOURNALS, hold.id, run.shared, 1))[1] then
      if shared.ENDED[run.state] then -- it was pruned there, and is begun again
        errors.check(ships.forget(self.store, run))
        return nil
      end
      errors.raise("db", ("the engine has lost the end of the journal of run %s, which this host has"):format(hold.id),
        { hint = "stoke show ID here says how far it came; restore the engine, or cancel the run; where it was pruned, stoke prune "
          .. "here forgets it, too" })
    end
  end
  if run.shared >= 0 then values, last = journal_of(self, hold.id, run.shared + 1) end
  if errors.check(ships.agrees(self.store, run, values, last)) then return errors.check(self.store:find(hold.id)) end
  errors.check(ships.forget(self.store, run))
end

local function find(self, id)
  local run, err = self.store:find(id)
  if err then error(err, 0) end
  return run
end

--- The run of a claim, in the store of this worker; nil: it has ended and was pruned, before its item was settled.
local function take(self, hold)
  local item = shared.word(hold.claim.value, "the run " .. hold.id)
  local fields = { id = hold.id, workflow = hold.workflow, input = item.input, shared = 0 }
  hold.created = item.created
  local own = find(self, hold.id) and own_copy(self, hold)
  if own then return own end
  while true do
    local values, last = journal_of(self, hold.id, 1)
    if last == 0 then
      if hold.claim.try > 1 and not shared.look(hold.id) then return nil end
      local run, err = self.store:create(fields)
      return run or error(err, 0)
    end
    local mine, after = self.engine:log_append(shared.JOURNALS, hold.id, last, ships.EMPTY) -- from here on nobody else writes
    if mine == nil then error(after, 0) end
    if mine then
      return errors.check(ships.take_in(self.store, fields, values, mine, function(name) return source_of(self, name) end))
    end
  end
end

--- Nothing more of it is done here.
local function lose(hold)
  local entry = lives.live[hold.id]
  if not entry then return end
  entry.lost, entry.suspended = true, true
  local err = errors.new("parked", "another host has the run " .. hold.id)
  if entry.journal and entry.journal.schedule then
    entry.journal:stop(err)
  elseif not entry.task.state then
    scopes.cancel(entry.task, errors.new("cancelled", err.message))
  end
end

local function append(self, hold, after, value)
  local e = self.engine
  local offset, last = e:log_append(shared.JOURNALS, hold.id, after, value)
  if offset then
    reached(self)
    return offset
  end
  if offset == nil then return nil, last end
  local list, err = e:log_read(shared.JOURNALS, hold.id, after + 1, 1) -- perhaps it was taken, and the answer did not come
  if not list then return nil, err end
  if list[1] and list[1].value == value then return list[1].offset end
  return nil, errors.new("parked", "another host has the run " .. hold.id)
end

--- lives.share: what the run writes goes to the engine, too.
local function share(self, entry, log)
  local hold = self.held[entry.id]
  if not hold or hold.lost then
    return nil, errors.new("parked", ("the run %s is not this host's"):format(entry.id), { hint = "a worker takes it" })
  end
  local ship, err = ships.new(log, { elsewhere = self.elsewhere,
    append = function(after, value) return append(self, hold, after, value) end,
    lost = function()
      hold.refused = true
      lose(hold)
    end,
    slow = function(failed)
      if failed and not self.troubled then
        self.troubled = true
        scopes.tell(("the engine %s cannot be reached: %s; runs go on to their next step"):format(self.engine.url, failed.message))
      end
    end,
    state = function(state, waits)
      if IDLE[state] ~= IDLE[hold.state] then
        self.busy = self.busy + (IDLE[state] and -1 or 1)
        self:wake()
      end
      hold.state, hold.waits = state, waits
    end })
  if not ship then return nil, err end
  if hold.ship then hold.ship:close() end
  hold.ship = ship
  return true
end

-- ---- a run while it is held ---------------------------------------------------------------------------------------------------

--- It has ended: say so, then settle its item. A host that dies between the two leaves a journal that says it.
---@param ended { state: string, result: any, error?: stoke.error }
local function finish(self, hold, ended)
  local log = hold.ship and hold.ship.log
  local word = { state = ended.state, result = ended.result, error = ended.error, calls = log and log.calls or hold.run.calls,
    tokens = log and log.tokens or hold.run.tokens }
  if not insist(self, function() return told(say, self, hold, word, true) end) then return end
  settle(self, hold, "done")
  self.done = self.done + 1
  self:forget_signals(hold.id)
end

--- Its host was to end: what it wrote is sent, and another one may have it.
local function hand_back(self, hold)
  if hold.ship then
    local scope <close> = scopes.open { site = "drain", deadline = 5 } -- luacheck: ignore
    pcall(hold.ship.wait, hold.ship)
  end
  if not hold.lost then settle(self, hold, "back") end
end

--- Is the claim still this worker's?
local function still_mine(self, hold)
  local lost = insist(self, function() return self.engine:renew({ hold.claim }, self.lease) end)
  return lost ~= nil and lost[1] == nil
end

--- It goes no further by itself; until a person has said something, or the worker stops.
local function wait_parked(self, hold, entry)
  hold.waits = entry.parked.message:gsub("^the run is parked: ", "")
  insist(self, function()
    return told(say, self, hold, { state = "parked", waits = hold.waits, why = entry.parked.kind })
  end)
  while lives.parked[hold.id] == entry and not (self.draining or hold.lost) do
    if host.park("run " .. hold.id, 0.25) == nil then return end
  end
end

--- From its claim to its end here. Returns when this worker has it no more.
local function live(self, hold)
  while not (hold.lost or self.draining) do
    hold.refused = nil
    local run = take(self, hold)
    if not run then return settle(self, hold, "done") end
    hold.run = run
    if shared.ENDED[run.state] then return finish(self, hold, run) end
    self:deliver(hold)
    local entry = lives.begin(self.store, run, runs.defined[hold.workflow])
    if not entry then -- a process of this host that was frozen still has it
      return settle(self, hold, "back", "another process of this host has it", 1)
    end
    while entry do
      if lives.wait(entry) then return end
      if entry.ended then return finish(self, hold, entry.ended) end
      if not entry.parked or hold.lost or hold.refused then break end
      wait_parked(self, hold, entry)
      if self.draining or hold.lost then break end
      entry = lives.live[hold.id] or lives.parked[hold.id]
      local now = not entry and find(self, hold.id)
      if now and shared.ENDED[now.state] then return finish(self, hold, now) end -- meanwhile
    end
    if hold.refused and not still_mine(self, hold) then hold.lost = true end
  end
  hand_back(self, hold)
end

--- Did it come further while it was lent so often? That is asked each time when as many hosts were lost as may be: a run that waits
--- for weeks loses some.
local function comes_further(self, hold)
  local try, word = hold.claim.try, shared.look(hold.id)
  hold.from, hold.steps = word and word.from or 0, word and word.steps or 0
  if try - hold.from <= self.tries then return true end
  local far = errors.check(ships.far((journal_of(self, hold.id, 1))))
  if far.steps <= hold.steps and not far.ended then return false end
  hold.from, hold.steps = try - 1, far.steps
  return insist(self, function() return told(say, self, hold, { state = "running" }) end)
end

--- Nobody gets it any further. That is said where nobody has said, or written, how it ended.
local function give_up(self, hold)
  repeat
    local values, last = journal_of(self, hold.id, 1)
    if errors.check(ships.far(values)).ended then return live(self, hold) end
    local mine = errors.check(self.engine:log_append(shared.JOURNALS, hold.id, last, ships.EMPTY)) -- who had it writes no more
  until mine
  local words = ("%d hosts ended while they had it, or could not take it"):format(self.tries)
  local word = { state = "failed", error = errors.new("incomplete", ("the run %s was given up: %s"):format(hold.id, words)) }
  insist(self, function() return told(say, self, hold, word) end)
  local own = find(self, hold.id)
  if own and own.shared then errors.check(ships.forget(self.store, own)) end
  settle(self, hold, "dead", words)
end

local function take_up(self, hold)
  if hold.claim.try <= self.tries or comes_further(self, hold) then return live(self, hold) end
  return give_up(self, hold)
end

--- It cannot be taken. What another host wrote and this one does not understand is no fault of the run.
local function refuse(self, hold, err)
  if err.kind == "cancelled" then return end
  self.refused = self.refused + 1
  if self.refused <= TOLD then
    scopes.tell(("run %s cannot be taken: %s%s"):format(hold.id, err.message, self.refused == TOLD and "; so are others" or ""))
  end
  local back = err.kind == "protocol"
  pcall(settle, self, hold, back and "back" or "again", err.message, back and self.lease or math.min(2 ^ hold.claim.try, 30))
end

local function hold_run(self, claim, workflow)
  local hold = { claim = claim, id = shared.run_of(claim.id), workflow = workflow, state = "running" }
  self.held[hold.id], self.busy, self.count = hold, self.busy + 1, self.count + 1
  local ok, err = pcall(take_up, self, hold)
  if hold.ship then
    hold.ship.log:flush()
    hold.ship:close()
  end
  if not ok and not hold.lost then refuse(self, hold, errors.wrap(err)) end
  self.held[hold.id], self.count = nil, self.count - 1
  if not IDLE[hold.state] then self.busy = self.busy - 1 end
  self:wake()
end

-- ---- the tasks of a worker ----------------------------------------------------------------------------------------------------

--- There is room for another run, or the worker is to stop.
function Worker:wake()
  for _, task in ipairs(self.waiting) do tasks.wake(task) end
  self.waiting = {}
end

--- Runs are shared by the hosts that are idle: one that waits takes one, and twice as many each time that there were as many as it
--- asked for; and having taken some it leaves the others time for theirs.
local function claim(self, workflow)
  local stream, pause, wanted = shared.stream(workflow), 0.1, 1
  while not self.draining do
    local free = self.slots - self.busy
    if free < 1 or self.count >= self.most then
      self.waiting[#self.waiting + 1] = tasks.current()
      if host.park "worker" == nil then return end
    else
      local n = math.min(wanted, free)
      local list, err = self.engine:claim { stream = stream, group = shared.GROUP, n = n, lease = self.lease,
        wait = wanted == 1 and WAIT or 0, tries = OFTEN }
      if list then
        pause, wanted = 0.1, #list == n and math.min(wanted * 2, AT_ONCE) or 1
        reached(self)
        for _, one in ipairs(list) do
          tasks.start(lives.home(), "worker " .. one.id, hold_run, self, one, workflow)
        end
        if list[1] and not self.announced:alone() and host.park("worker", OTHERS) == nil then return end
      else
        if err.kind == "cancelled" or host.park("engine", pause) == nil then return end
        pause = math.min(pause * 2, 5)
      end
    end
  end
end

local function renew(self)
  while not self.over do
    if host.park("lease", self.lease / M.RENEWALS) == nil then return end
    local list = {}
    for _, hold in next, self.held do list[#list + 1] = hold.claim end
    local lost = list[1] and self.engine:renew(list, self.lease)
    for _, one in ipairs(lost or {}) do
      local hold = self.held[shared.run_of(one.id)]
      if hold and hold.claim == one then
        hold.lost = true
        lose(hold)
      end
    end
  end
end

--- What stands is said where it lasts: runs that wait, and those that go on.
local function tell(self)
  while not self.over do
    if host.park("worker", 1) == nil then return end
    for _, hold in next, self.held do
      if hold.state ~= (hold.said or "running") and hold.state ~= "parked" and lives.live[hold.id] then
        told(say, self, hold, { state = hold.state, waits = hold.waits })
      end
    end
  end
end

-- ---- signals ------------------------------------------------------------------------------------------------------------------

--- Give a run what was sent to it.
---@param hold stoke.runs.hold
function Worker:deliver(hold)
  for key, text in next, self.signals[hold.id] or {} do
    local word = shared.word(text, "a signal")
    self.store:signal(hold.id, word.name, word.value, key)
  end
  runs.told(hold.id)
end

--- It has ended: nobody takes them any more.
---@param id string
function Worker:forget_signals(id)
  for key in next, self.signals[id] or {} do self.engine:kv_delete(shared.SIGNALS, ("%s/%s"):format(id, key)) end
  self.signals[id] = nil
end

local function listen(self)
  local since, pause = 0, 0.1
  while not self.over do
    local list, err = self.engine:kv_watch(shared.SIGNALS, "", since, WAIT)
    if list then
      pause = 0.1
      for _, change in ipairs(list) do
        since = math.max(since, change.revision)
        local id, key = change.key:match "^(.*)/([^/]*)$"
        local known = self.signals[id] or {}
        known[key] = change.value
        self.signals[id] = next(known) and known or nil
        local hold = change.value and self.held[id]
        if hold and hold.run then told(self.deliver, self, hold) end
      end
    elseif err.kind == "cancelled" or host.park("engine", pause) == nil then
      return
    else
      pause = math.min(pause * 2, 5)
    end
  end
end

-- ---- its life -----------------------------------------------------------------------------------------------------------------

--- Copies of runs that other hosts have gone on with are of no use.
local function sweep(self)
  local list = errors.check(self.store:list { state = { "running", "waiting", "parked" } })
  for _, run in ipairs(list) do
    if run.shared and not self.store:held(run) then told(own_copy, self, { id = run.id }) end
  end
end

---@class stoke.runs.worker_options
---@field name? string by which people know it
---@field slots? integer
---@field lease? number
---@field tries? integer

--- Take runs of all workflows that are defined, until it is drained.
---@param options stoke.runs.worker_options
---@return stoke.runs.worker
---Raises what the engine says; `db`.
---
--- Example: `local worker = workers.start { name = "a" }; ...; worker:drain(10)`
function M.start(options)
  local self = setmetatable({ name = options.name or hosts.name(), slots = options.slots or M.SLOTS,
    lease = options.lease or M.LEASE, tries = options.tries or M.TRIES, held = {}, busy = 0, count = 0, done = 0, refused = 0,
    waiting = {}, signals = {}, elsewhere = {}, tasks = {}, claimers = {} }, Worker)
  self.most = self.slots * 100
  self.engine, self.store = shared.engine(), runs.open()
  publish_code(self)
  sweep(self)
  lives.share = function(entry, log) return share(self, entry, log) end
  local system = { system = true, name = "worker" }
  self.announced = hosts.announce(self)
  for _, f in ipairs { listen, renew, tell } do self.tasks[#self.tasks + 1] = tasks.spawn(f, system, self) end
  for name, definition in next, runs.defined do
    if not definition.prepare and not name:find "^main:" then
      self.claimers[#self.claimers + 1] = tasks.spawn(claim, system, self, name)
    end
  end
  return self
end

--- Take nothing more; give runs some seconds to end, and hand the others back.
---@param seconds? number
---@return integer back how many were handed back
function Worker:drain(seconds)
  for _, task in ipairs(self.claimers) do task:cancel "the worker stops" end
  local ends = monotonic() + (seconds or M.DRAIN)
  while self.busy > 0 and monotonic() < ends do
    if host.park("drain", 0.05) == nil then break end
  end
  local back = self.count
  self.draining = true
  lives.suspend_all()
  while self.count > 0 and host.park("drain", 0.02) ~= nil do end -- luacheck: ignore
  self.over = true
  for _, task in ipairs(self.tasks) do task:cancel "the worker stops" end
  self.announced:close()
  return back
end

return M
