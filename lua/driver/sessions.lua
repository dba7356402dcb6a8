--- Effects of kept sessions: session.open, session.turn, session.look, session.fork, session.make; and session.room, by which a
--- turn waits for who reads its events. A turn is a run of its own: a run that takes one waits for it as for a child.

local effect = require "core.effect"
local errors = require "core.errors"
local host = require "host.task"
local keep = require "core.journal.keep"
local keeper = require "core.keeper"
local lives = require "core.runs.live"
local mail = require "core.runs.mail"
local runs = require "core.runs"
local scopes = require "core.scope"
local sessions = require "core.store.sessions"
local tasks = require "core.task"

local M = {}

---@class stoke.sessions.core what this process has of a session, once, however many objects stand for it
---@field id string
---@field busy? boolean a task holds it
---@field waiting? table tasks that wait for that
---@field run? string id of the run that is its present turn in this process
---@field reader? { task: table, stream?: table } who reads the events of that
---@field store? stoke.store where they are kept
---@field history? table its messages, once they were needed, as of `turns`
---@field turns? integer

local cores = setmetatable({}, { __mode = "v" })

--- The core of a session.
---@param id string
---@return stoke.sessions.core
function M.core(id)
  local core = cores[id]
  if not core then
    core = { id = id }
    cores[id] = core
  end
  return core
end

--- f, with what it raises as a second result.
local function told(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  return nil, errors.wrap(value)
end

--- The session, which must be there.
local function session_of(id)
  local session, err = sessions.find(runs.open(), id)
  if err then error(err, 0) end
  return session or errors.argument("there is no session %q", id)
end

-- ---- one at a time --------------------------------------------------------------------------------------------------------------

--- A tool that waited for the turn it works for would wait for ever; so would who reads the events of a turn.
local function check_outside(core, call)
  local reader = core.reader
  if reader and reader.task == tasks.current() and not (reader.stream and reader.stream.over) then
    errors.raise("argument", ("the session %q is in the middle of a turn whose events this task reads"):format(core.id),
      { hint = "read them to the end, or leave the loop, before the next turn" })
  end
  local journal = call and call.context.journal
  local entry = journal and journal.entry
  while entry do
    if entry.id == core.run then
      errors.raise("argument", ("the session %q is in the middle of the turn that this tool works for"):format(core.id),
        { hint = "use another session, session:fork() before the turn, or agent:run" })
    end
    entry = entry.given and entry.given.asker
  end
end

M.check_outside = check_outside

local Guard = { __close = function(guard)
  local core = guard.core
  core.busy, core.run, core.reader = false, nil, nil
  if core.waiting then scopes.wake_all(core.waiting) end
end }

--- Wait until nobody in this process holds it.
local function hold(core, call)
  if core.busy then check_outside(core, call) end
  while core.busy do
    core.waiting = core.waiting or {}
    local woken, err = scopes.queue_up(core.waiting, tasks.current(), "session")
    if woken == nil then error(err, 0) end
  end
  core.busy = true
  return setmetatable({ core = core }, Guard)
end

-- ---- a turn ---------------------------------------------------------------------------------------------------------------------

local function since(time) return os.date("!%Y-%m-%dT%H:%M:%SZ", time // 1 | 0) end

--- Wait for a run's end, for so many seconds; second: they have passed.
local function await(id, seconds)
  if not seconds then return select(2, runs.await(id)) end
  local passed
  local _, err = pcall(function()
    local scope <close> = scopes.open { deadline = seconds }
    local _, failed = runs.await(id)
    passed = scope.passed
    return failed
  end)
  return err, passed ~= nil
end

--- Wait for the turn that goes on, here or in another process.
local function wait_for(q, session, turn)
  local err, passed = await(turn.run, q.wait)
  if not err or err.kind == "argument" then return end -- (its run was deleted)
  local where = ("the session %q waits for its turn %d"):format(session.id, turn.serial)
  if err.kind == "parked" or err.kind == "in_doubt" then
    errors.raise(err.kind, ("%s: %s"):format(where, err.message), { hint = rawget(err, "hint"), cause = err })
  end
  if passed then
    local who = lives.live[turn.run] and "this process" or ("process %s"):format(turn.process or "?")
    errors.raise("timeout", ("%s: %s has had it since %s"):format(where, who, since(turn.began)), { process = turn.process })
  end
  error(err, 0)
end

--- Give events to their reader once the journal that they rest on is committed.
local function hand_on(entry, given)
  local events = given.events
  if not events or not events[1] then return end
  given.events = {}
  if entry.journal and entry.journal.log then keep.commit(entry.journal) end
  for _, event in ipairs(events) do given.listener(event) end
  given.shown = (given.shown or 0) + #events
  if given.room then tasks.wake(given.room) end
end

--- Wait for the end of a turn that this process has, and hand on what it tells meanwhile.
local function follow(entry, given)
  while true do
    hand_on(entry, given)
    if entry.over and not (given.events and given.events[1]) then return nil end
    if not (given.events and given.events[1]) then
      given.reader = tasks.current()
      table.insert(entry.waiters, given.reader)
      local woken, err = host.park "turn"
      given.reader = nil
      if woken == nil then return err end
    end
  end
end

--- Its caller takes a turn back, unless a signal ends the process (another one goes on with the turn), or the caller is a run that
--- this process only puts down.
local function take_back(entry, given, call)
  given.listener = nil
  if given.room then tasks.wake(given.room) end
  local journal = call and call.context.journal
  if entry.over or entry.suspended or lives.stopping or keeper.exit_code or journal and journal.stopped then return end
  tasks.spawn(mail.cancel, { system = true, name = "cancel" }, entry)
end

local function result_of(entry)
  if entry.parked then error(entry.parked, 0) end
  local ended = entry.ended
  if not ended then errors.raise("cancelled", "the process ends: the turn goes on in the next one") end
  if ended.error then error(ended.error, 0) end
  local out, result = {}, entry.prepared.result
  for name, value in next, result do out[name] = value end
  return out
end

--- The turn is begun: its end.
local function take(core, q, call, work, turn)
  local store = runs.open()
  local run = errors.check(store:find(turn.run))
  local journal = call and call.context.journal
  local given = { core = core, handle = work.handle, listener = work.listener, events = work.listener and {} or nil,
    asker = journal and journal.entry }
  core.run, core.reader = turn.run, work.reader
  local entry, err = lives.begin(store, run, runs.defined[q.workflow], given)
  if not entry then error(err or errors.new("parked", "another process has the turn"), 0) end
  local left <close> = setmetatable({}, { __close = function() if not entry.over then take_back(entry, given, call) end end }) -- luacheck: ignore
  err = follow(entry, given)
  if err then error(err, 0) end
  return result_of(entry)
end

local function moved(session, at)
  return errors.new("argument", ("the session %q has %d turns now, and was to have %d"):format(session.id, session.turns, at),
    { moved = true })
end

local function turn_of(q, call, work)
  work.define(work.handle)
  local core, store = M.core(q.id), runs.open()
  local guard <close> = hold(core, call) -- luacheck: ignore
  if core.store ~= store then core.store, core.history, core.turns = store, nil, nil end -- of another file, or of this one before
  local journal = call and call.context.journal
  local key = q.key or journal and call.key and journal:idempotency(call.key) or nil
  local parent = journal and journal.entry and journal.entry.run.number
  while true do
    local input = { given = q.given, max_steps = q.max_steps, terms = q.terms, stream = q.stream, guest = q.guest }
    local begun = errors.check(sessions.begin(store, { id = q.id, agent = q.agent, workflow = q.workflow, input = input, key = key,
      parent = parent, at = q.at }))
    if begun.what == "moved" then error(moved(begun.session, q.at), 0) end
    if begun.what == "done" then return errors.check(sessions.result(store, begun.session, begun.turn)) end
    if begun.what == "new" then return take(core, q, call, work, begun.turn) end
    core.run = begun.turn.run
    check_outside(core, call)
    wait_for(q, begun.session, begun.turn)
  end
end

effect.define("session.turn", { aside = { "terms" }, class = "idempotent", repeats = true, keyed = "commit",
  usage = function(value) return value.usage end,
  run = function(q, call, work) return told(turn_of, q, call, work) end })

--- Wait until the reader of a turn's events has taken what there is.
effect.define("session.room", { class = "pure", quiet = true, run = function(_, _, given)
  while given and given.listener and given.events[1] do
    if given.reader then tasks.wake(given.reader) end
    given.room = tasks.current()
    local woken, err = host.park "reader"
    given.room = nil
    if woken == nil then return nil, err end
  end
  return true
end })

-- ---- the rest -------------------------------------------------------------------------------------------------------------------

local function seen(session)
  return { agent = session.speaker, turns = session.turns, messages = session.messages, first = session.first,
    summary = session.summary, id = session.id }
end

effect.define("session.open", { class = "pure", run = function(q, _, work)
  return told(function()
    work.define(work.handle)
    local store = runs.open()
    local session, err = sessions.find(store, q.id)
    if err then error(err, 0) end
    if not session then return { agent = q.agent, turns = 0, messages = 0, first = 1, id = q.id, new = true } end
    err = sessions.check_agent(session, q.agent)
    if err then error(err, 0) end
    local present = session.present
    if present and not lives.live[present.run] then -- a process has left it: it goes on
      local run = errors.check(store:find(present.run))
      if run and not runs.ended(run) and (run.state ~= "parked" or runs.may_go_on(run)) then
        lives.begin(store, run, runs.defined[q.workflow])
      end
    end
    return seen(session)
  end)
end })

--- What a session holds, after so many turns or now; one that has no turn yet is empty.
effect.define("session.look", { class = "pure", run = function(q)
  return told(function()
    local store = runs.open()
    local session, err = sessions.find(store, q.id)
    if err then error(err, 0) end
    if not session then
      return { agent = q.agent, turns = 0, messages = q.messages and {} or 0, ends = {}, first = 1, id = q.id }
    end
    if q.turn then
      if q.turn > session.turns then
        errors.argument("the session %q has turns 0 to %d, got %d", q.id, session.turns, q.turn)
      end
      session = errors.check(sessions.at(store, session, q.turn))
    end
    local out = seen(session)
    if q.messages then
      out.messages = errors.check(sessions.messages(store, session, 1, session.messages))
      local ends = errors.check(sessions.ends(store, session))
      out.ends = table.move(ends, 1, session.turns, 1, {})
    end
    return out
  end)
end })

effect.define("session.fork", { class = "idempotent", repeats = true, run = function(q)
  return told(function()
    local store, session = runs.open(), session_of(q.id)
    local turn = q.turn or session.turns
    if turn > session.turns then errors.argument("the session %q has turns 0 to %d, got %d", q.id, session.turns, turn) end
    local made, err = sessions.fork(store, session, turn, q.to)
    if made then return seen(made) end
    local there = err.kind == "argument" and q.again and sessions.find(store, q.to) -- done before a crash
    if there and there.fork_of == q.id and there.fork_at == turn and there.turns == turn then return seen(there) end
    error(err, 0)
  end)
end })

effect.define("session.make", { class = "idempotent", repeats = true, run = function(q)
  return told(function() return seen(errors.check(sessions.make(runs.open(), q))) end)
end })

return M
