--- Actors while this process has them: one message at a time, each handled by a run of its own. An actor with nothing to do is a
--- row in the store and nothing else.

local errors = require "core.errors"
local host = require "host.task"
local lives = require "core.runs.live"
local mail = require "core.runs.mail"
local ordered = require "core.ordered"
local plain = require "core.journal.plain"
local runs = require "core.runs"
local store_of = require "core.store.actors"
local tasks = require "core.task"

local M = {}

---@class stoke.runs.kind of actors
---@field name string
---@field on table<string, function> handlers by message
---@field initial table|fun(id: string): table
---@field mailbox integer messages that may wait
---@field workflow string

---@type table<string, stoke.runs.kind>
M.kinds = {}

--- Called when a message is dead: fun(kind, id, name, err).
M.on_dead = nil

-- Locks of actors are beside those of runs: the numbers of runs are smaller.
local LOCKS <const> = 1 << 41

local busy, asking = {}, {} -- number of an actor -> its task here; number of a message -> tasks that wait for its end

local function wake(list)
  for _, task in ipairs(list or {}) do tasks.wake(task) end
end

--- What an actor begins with.
---@param kind stoke.runs.kind
---@param id string
---@return table
---Raises `argument` where it is no plain table.
function M.initial(kind, id)
  local initial = kind.initial
  if errors.callable(initial) then initial = initial(id) end
  local state, odd = plain.copy(initial)
  if odd or type(state) ~= "table" then
    errors.argument("stoke.actor %s: the state must be a table of plain data", kind.name)
  end
  return state
end

-- ---- a message as a run -------------------------------------------------------------------------------------------------------

--- What makes the runs of a kind's handlers.
---@param kind stoke.runs.kind
---@return fun(input: table, prepared: table): any f
---@return { prepare: function, finish: function } hooks
function M.workflow(kind)
  local function prepare(store, run)
    local input = run.input
    local actor, err = store_of.get(store, input.actor)
    if not actor then return nil, err or errors.new("parked", "the actor is gone") end
    local ok, state = pcall(function() return actor.state or M.initial(kind, actor.id) end)
    if not ok then return nil, errors.wrap(state) end
    return { actor = actor, state = state, sent = {}, chain = input.chain, number = input.number, asked = input.asked,
      tries = input.tries }
  end
  local function f(input, prepared)
    local handler = kind.on[input.name]
    if not handler then
      local near = errors.suggest(input.name, ordered.names(kind.on))
      errors.argument("the actor %s knows no message %q%s", kind.name, input.name,
        near and (" (did you mean %s?)"):format(near) or "")
    end
    prepared.answer = handler(prepared.state, table.unpack(input.arguments, 1, input.arguments.n))
    return prepared.answer
  end
  local function finish(log, entry, state, err)
    local input, prepared = entry.run.input, entry.prepared
    local message = { number = input.number, actor = input.actor }
    if state == "done" then return store_of.finish(log, message, prepared) end
    local later = err.retryable and not input.asked and input.tries + 1 < store_of.TRIES
    store_of.failed(log, message, err, later)
    if not later and M.on_dead and not input.asked then M.on_dead(kind.name, input.id, input.name, err) end
  end
  return f, { prepare = prepare, finish = finish }
end

--- Handle one message; false: not now.
local function handle(store, actor, kind, message)
  local id = ("actor %s %s message %d"):format(actor.kind, actor.id, message.number)
  if message.tries > 0 then id = ("%s try %d"):format(id, message.tries + 1) end
  local run, failed = store:create { id = id, workflow = kind.workflow, input = { actor = actor.number, kind = actor.kind,
    id = actor.id, number = message.number, name = message.name, arguments = message.arguments, chain = message.chain,
    asked = message.asked, tries = message.tries } }
  if not run then error(failed, 0) end
  if lives.ENDED[run.state] then -- cancelled while no process had it
    errors.check(store_of.bury(store, message, run.error or errors.new("cancelled", "its run was " .. run.state)))
    return true
  end
  if run.state == "parked" and not runs.may_go_on(run) then return false end
  local entry, err = lives.begin(store, run, runs.defined[kind.workflow], { actor = actor.number })
  if not entry then return err and error(err, 0) end
  err = lives.wait(entry)
  if err then error(err, 0) end
  if entry.ended and entry.prepared and entry.prepared.sent[1] then M.look() end
  return entry.ended ~= nil
end

local function drain(store, actor, kind)
  while true do
    local message, err = store_of.next(store, actor.number)
    if err then error(err, 0) end
    if not message then return true end
    if message.tries > 0 then host.park("actor", math.min(2 ^ (message.tries - 1), 30)) end
    if not handle(store, actor, kind, message) then return false end
    wake(asking[message.number])
  end
end

local function work(store, actor, kind, own)
  local lock = { number = LOCKS + actor.number }
  local guard <close> = setmetatable({}, { __close = function() store:release(lock) end }) -- luacheck: ignore
  repeat
    own.again = false
    local mine, err = store:claim(lock)
    if mine == nil then error(err, 0) end
    if mine then
      if not drain(store, actor, kind) then return end
      store:release(lock)
    elseif host.park("actor", mail.INTERVAL) == nil then -- another process has it, and may go before it sees the message
      return
    else
      own.again = store_of.next(store, actor.number) ~= nil
    end
  until not own.again
end

local function begin(actor)
  local kind, store = M.kinds[actor.kind], runs.store()
  local own = busy[actor.number]
  if own then
    own.again = true
    return
  end
  if not kind or not store or M.leaving then return end
  own = {}
  busy[actor.number] = own
  own.task = tasks.start(lives.home(), ("actor %s %s"):format(actor.kind, actor.id), function()
    local ok, err = pcall(work, store, actor, kind, own)
    busy[actor.number] = nil
    for number, list in next, asking do
      if list.actor == actor.number then wake(asking[number]) end
    end
    if not ok and errors.wrap(err).kind ~= "cancelled" then
      require "core.stdio".err(("stoke: the actor %s %s stands still: %s\n"):format(actor.kind, actor.id, tostring(err)))
    end
  end)
end

--- There may be mail for an actor.
---@param actor { number: integer, kind: string, id: string }
function M.wake(actor)
  if not M.watching then
    M.watching = true
    mail.watch(runs.open(), M, M.look)
  end
  begin(actor)
end

--- Take up all mail that waits for actors which are defined here.
function M.look()
  local store = runs.store()
  if not store or M.leaving then return end
  for _, actor in ipairs(store_of.waiting(store) or {}) do
    if M.kinds[actor.kind] then begin(actor) end
  end
  for _, list in next, asking do wake(list) end
end

--- Wait for the end of a message.
---@param store stoke.store
---@param sent { number: integer, actor: integer }
---@param actor { number: integer, kind: string, id: string }
---@return stoke.store.mail|nil
---@return stoke.error|nil err
function M.await(store, sent, actor)
  while true do
    local message, err = store_of.mail(store, sent.number)
    if err then return nil, err end
    if not message then return nil, errors.new("db", "a message is gone from the store") end
    if message.state ~= "waiting" then return message end
    local list = asking[sent.number] or { actor = sent.actor }
    asking[sent.number] = list
    table.insert(list, tasks.current())
    local woken, stopped = host.park("actor", not busy[sent.actor] and mail.INTERVAL or nil)
    for i, task in ipairs(list) do
      if task == tasks.current() then table.remove(list, i) break end
    end
    if not list[1] then asking[sent.number] = nil end
    if woken == nil then return nil, stopped end
    local parked = not busy[sent.actor] and M.parked(store, sent)
    if parked then return nil, parked end
    begin(actor)
  end
end

--- Why a message's handler stands still; nil: it does not.
---@param store stoke.store
---@param sent { number: integer, actor: integer }
---@return stoke.error|nil
function M.parked(store, sent)
  local first = store_of.next(store, sent.actor)
  local actor = first and store_of.get(store, sent.actor)
  if not actor then return nil end
  local id = ("actor %s %s message %d"):format(actor.kind, actor.id, first.number)
  if first.tries > 0 then id = ("%s try %d"):format(id, first.tries + 1) end
  local run = store:find(id)
  if not run or run.state ~= "parked" then return nil end
  return errors.new(lives.kind_of(run),
    ("the actor %s %q stands still: run %s: %s"):format(actor.kind, actor.id, id, run.waits or "it is parked"))
end

-- ---- with the runs of this process --------------------------------------------------------------------------------------------

--- The task of an actor that is at work.
local function at_work()
  local _, own = next(busy)
  return own and own.task
end

runs.others = { resume = function()
  if not next(M.kinds) then return end
  if not M.watching then
    M.watching = true
    mail.watch(runs.store(), M, M.look)
  end
  M.look()
end, at_work = at_work, leave = function()
  M.leaving = true
  local list = {}
  for _, own in next, busy do list[#list + 1] = own.task end
  for _, task in ipairs(list) do task:cancel "the process ends" end
  for _, task in ipairs(list) do pcall(task.await, task) end
  mail.unwatch(M)
  M.leaving, M.watching = nil, nil
end }

return M
