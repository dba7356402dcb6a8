--- What reaches a run from outside: signals, cancels, decisions about its approvals, answers about effects in doubt. All of them
--- are rows of the store. While a run waits, the store is polled for writes of other processes.

local approval = require "core.approval"
local errors = require "core.errors"
local host = require "host.task"
local logs = require "core.journal.keep"
local scopes = require "core.scope"
local stuck = require "core.store.stuck"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- Seconds between two polls of the store.
M.INTERVAL = 0.25

--- The name of the signal by which another process cancels a run.
M.CANCEL = "stoke.cancel"

local watched, poller, version = {}, nil, nil -- what is to be told of changes: object -> fun()
local failures = setmetatable({}, { __mode = "k" }) -- database -> appends that had failed by then

--- What could not be written is noticed also by runs that do nothing just now.
local function look_for_failures(store)
  local db = store.db
  local _, count = db:failed()
  if count == (failures[db] or 0) then return end
  failures[db] = count
  local list = {}
  for object in next, watched do list[#list + 1] = object.journal end
  for _, journal in ipairs(list) do logs.look(journal) end
end

local function look(store)
  look_for_failures(store)
  stuck.look(store.db, store.path)
  local now = store:changed()
  if now == version then return end
  version = now
  local list = {}
  for object, f in next, watched do list[#list + 1] = { object = object, f = f } end
  for _, entry in ipairs(list) do
    if watched[entry.object] then entry.f(entry.object) end
  end
end

--- Have f called whenever another process may have written, until `unwatch`. A store in memory has no other process.
---@param store stoke.store
---@param object any
---@param f fun(object: any)
function M.watch(store, object, f)
  watched[object] = f
  if poller or store.path == ":memory:" then return end
  poller = tasks.spawn(function()
    while next(watched) do
      if host.park("store", M.INTERVAL) == nil then break end
      if next(watched) then look(store) end
    end
    poller = nil
  end, { system = true, name = "store" })
end

function M.unwatch(object) watched[object] = nil end

--- Look no more: the store is about to be closed.
function M.stop()
  watched = {}
  while poller do
    tasks.wake(poller)
    if host.park("store", 0) == nil then return end
  end
end

-- ---- signals ------------------------------------------------------------------------------------------------------------------

---@class stoke.runs.mail
---@field list table[] signals that are there and not taken
---@field seen table<integer, true> by number
---@field waiting table[] tasks that wait for one: { task =, name = }
---@field pending table<stoke.pending, true> approvals that wait

function M.new() return { list = {}, seen = {}, waiting = {}, pending = {} } end

local function hand_out(mail)
  local i = 1
  while mail.waiting[i] do
    local waiter, found = mail.waiting[i], nil
    for at, signal in ipairs(mail.list) do
      if signal.name == waiter.name then found = at break end
    end
    if found then
      waiter.signal = table.remove(mail.list, found)
      table.remove(mail.waiting, i)
      tasks.wake(waiter.task)
    else
      i = i + 1
    end
  end
end

--- Does the run live? One that is loaded or replayed cannot be cancelled from outside yet.
local function lives(entry)
  local journal = entry.journal
  return journal and journal.root and journal.schedule:mode() ~= "replay"
end

local function cancel(entry)
  while not entry.over and not lives(entry) do
    if host.park("replay", 0.01) == nil then return end
  end
  local root = entry.journal and entry.journal.root
  if root and not root.state then scopes.cancel(root, errors.new("cancelled", "the run was cancelled")) end
end

--- Cancel a run that this process has; waits while it is loaded or replayed.
---@param entry stoke.runs.live
function M.cancel(entry) cancel(entry) end

--- Have requests go on with what the store says of them.
local function take_decisions(entry)
  if not next(entry.mail.pending) then return end
  local list = entry.store:decisions(entry.id)
  if not list then version = nil end -- it is read again at the next poll
  for _, decision in ipairs(list or {}) do
    for pending in next, entry.mail.pending do
      if pending.key == decision.key and pending.digest == decision.digest then
        approval.take(pending, decision.verdict)
      end
    end
  end
end

--- Read what is new for a run.
---@param entry stoke.runs.live
function M.read(entry)
  local mail, list = entry.mail, entry.store:signals(entry.run)
  if not list then version = nil end -- it is read again at the next poll
  for _, signal in ipairs(list or {}) do
    if signal.name == M.CANCEL then
      if not mail.cancelled then
        mail.cancelled = true
        tasks.spawn(cancel, { system = true, name = "cancel" }, entry)
      end
    elseif not mail.seen[signal.number] then
      mail.seen[signal.number] = true
      mail.list[#mail.list + 1] = signal
    end
  end
  hand_out(mail)
  take_decisions(entry)
end

--- Wait for a signal. It is taken in the same commit as the outcome of the effect that waits.
---@param entry stoke.runs.live
---@param name string
---@param deadline? number wall clock
---@return table|nil signal
---@return stoke.error|nil err kind `timeout`
function M.wait(entry, name, deadline)
  local mail, me = entry.mail, tasks.current()
  local waiter = { task = me, name = name }
  table.insert(mail.waiting, waiter)
  local guard <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    for i, other in ipairs(mail.waiting) do
      if other == waiter then table.remove(mail.waiting, i) end
    end
  end })
  M.read(entry)
  while not waiter.signal do
    local left = deadline and deadline - time.wall()
    if left and left <= 0 then
      return nil, errors.new("timeout", ("no signal %q came in time"):format(name))
    end
    local woken, err = host.park("signal", left)
    if woken == nil then
      if waiter.signal then
        table.insert(mail.list, 1, waiter.signal)
        hand_out(mail)
      end
      return nil, err
    end
  end
  return waiter.signal
end

-- ---- approvals ----------------------------------------------------------------------------------------------------------------

local Look = { __close = function() version = nil end } -- at the next poll, also where whoever decided is cancelled meanwhile

--- Write a decision down, and go on with the one that stands then.
local function keep(entry, pending, q)
  local _ <close> = setmetatable({}, Look)
  local stands, err = entry.store:decide(entry.id, pending.key, pending.digest,
    { decision = q.decision, reason = q.reason, args = q.args })
  if stands == nil then error(err, 0) end
  take_decisions(entry)
  return stands
end

--- An approval of a durable run waits for days: a decision may come from another process, and is kept.
---@param pending stoke.pending
---@param call table of the effect that waits
---@return fun()|nil over
function approval.durable(pending, call)
  local journal = call and call.context.journal
  local entry, row = journal and journal.entry, call and call.row
  if not entry or not row then return nil end
  pending.durable, pending.digest, pending.since, pending.run = true, row.digest, row.time, entry.id
  row.asks = { effect = pending.effect, what = pending.what, agent = pending.agent, since = pending.since,
    params = approval.params(pending) }
  journal:changed(row)
  entry.mail.pending[pending] = true
  local goes_on = journal:waits_for(("approval of %s %s"):format(pending.effect, pending.what))
  pending.keep = function(q) return keep(entry, pending, q) end
  take_decisions(entry)
  return function()
    entry.mail.pending[pending] = nil
    row.asks = nil
    goes_on()
  end
end

return M
