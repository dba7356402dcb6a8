--- A run while this process has it: it is claimed, replayed to the end of its journal, continues live, and is released when it has
--- ended, is parked, or the process ends.

local channel = require "core.channel"
local code = require "core.runs.code"
local errors = require "core.errors"
local host = require "host.task"
local journals = require "core.journal"
local mail = require "core.runs.mail"
local outputs = require "core.journal.output"
local point = require "host.store".fault_point
local redact = require "core.redact"
local scopes = require "core.scope"
local spans = require "core.gate.span"
local stdio = require "core.stdio"
local tasks = require "core.task"
local texts = require "core.text"

local M = {}

---@class stoke.runs.live
---@field id string
---@field run stoke.store.run
---@field store stoke.store
---@field log? stoke.journal.log
---@field journal? stoke.journal
---@field mail stoke.runs.mail
---@field given? any what its definition's `prepare` gets, in this process
---@field prepared? any what that gave: the second argument of its function
---@field waiters table[] tasks that wait for its end
---@field parked? stoke.error why it is parked
---@field held? stoke.error what it did cannot be written for now (a full disk); it waits at its next effect, in this process
---@field suspended? boolean this process ends, or gives it up
---@field retries? boolean it is resumed when there is room on the disk
---@field pause? number seconds until it is tried again after the next full disk; nil: the first one
---@field ended? { state: string, result: any, error?: stoke.error }
---@field over? boolean this process has released it
---@field lost? boolean another host has taken it: nothing more of it is written here
---@field around? core.span of who began it: its span is below that one

---@type table<string, stoke.runs.live>
M.live = {}

--- Runs that this process has parked.
---@type table<string, stoke.runs.live>
M.parked = {}

--- Would a run ask the same on other code? See lua/runs/change.lua.
---@type fun(run: stoke.store.run, kept: table, f: function, load: function?, deadline: number): boolean?, string?
M.agrees = nil

--- Send what a run that several hosts may have writes to their log; set by lua/runs/worker.lua. Second: this process cannot.
---@type fun(entry: stoke.runs.live, log: stoke.store.log): true?, stoke.error?
M.share = function(entry)
  return nil, errors.new("parked", ("the run %s is one of several hosts, of which this process is none"):format(entry.id),
    { hint = "stoke worker FILE takes such runs" })
end

--- How many runs are loaded and replayed at the same time.
M.AT_ONCE = 16

local ENDED = { done = true, failed = true, cancelled = true }
M.ENDED = ENDED

local places
local supervisor

local function home()
  if not supervisor then supervisor = tasks.supervisor("a durable run", function() end) end
  return supervisor
end
M.home = home

-- ---- what is kept of it -------------------------------------------------------------------------------------------------------

--- The row that is in doubt: the one with this key, or that whose body it is in.
local function row_of(parts, key)
  for _, row in ipairs(parts.rows) do
    local own = row.key
    if not row.inside and not row.outcome and (own == key or key:sub(1, #own + 1) == own .. "/") then return row end
  end
end

--- It is done again: what its body had begun is forgotten.
local function forget(parts, log, row)
  local below = row.key .. "/"
  for _, other in ipairs(parts.rows) do
    if other.intent and (other == row or other.inside and other.key:sub(1, #below) == below) then
      other.intent = nil
      log:row(other)
    end
  end
end

--- What a person has said of effects in doubt.
local function resolve(entry, parts, log)
  local list, err = entry.store:resolutions(entry.id)
  if not list then return err end
  for _, said in ipairs(list) do
    local row = row_of(parts, said.key)
    if row then
      if said.retry then
        forget(parts, log, row)
      else
        row.outcome = said.fail and { err = errors.new("tool", tostring(said.fail)), facts = { attempts = 1, counts = true } }
          or { value = said.value, facts = { attempts = 1, counts = true } }
        row.seen = #parts.rows + 1
        parts.known.seen = math.max(parts.known.seen, row.seen)
        log:outcome(row)
      end
    end
  end
  if not list[1] then return nil end
  log:state("running") -- with what was said: from here on nobody is asked any more
  entry.run.state = "running"
  local _, failed = log:barrier()
  if failed then return failed end
  for _, said in ipairs(list) do -- one that stayed would also answer the next doubt about the same effect
    local _, kept = entry.store:resolved(entry.id, said.key)
    if kept then return kept end
  end
end

-- ---- its end ------------------------------------------------------------------------------------------------------------------

local function wake_all(entry)
  local waiters = entry.waiters
  entry.waiters = {}
  for _, task in ipairs(waiters) do tasks.wake(task) end
end

local function full(err)
  local cause = err.cause or err
  return cause.kind == "db" and tostring(cause.code):find "SQLITE_FULL" ~= nil
end

--- A run as an argument of a command: its id, quoted for a shell; @ and its number where nobody can type the id.
---@param run stoke.store.run
---@return string
function M.typed(run) return texts.typable(run.id) and texts.word(run.id) or ("@%d"):format(run.number) end

--- How a person says what came of an effect in doubt.
---@param run stoke.store.run
---@return string
function M.hint(run)
  return ("look whether it was done, then say so: stoke resolve %s --retry, --value JSON or --fail WHY"):format(M.typed(run))
end

--- What `waits` of a parked run begins with, by the kind of its error.
local PARKED_WORDS <const> = { in_doubt = "in doubt: ", replay = "it does not go as recorded: " }

-- Runs that cannot be written for now, and how many of them were told of.
local held, held_told = 0, 0
local HELD_TOLD <const> = 3

--- What a run did cannot be written for now, or again.
local function hold(entry, err)
  held = held + (err and 1 or -1)
  entry.held = err
  if not err then
    if held == 0 then held_told = 0 end
    return
  end
  held_told = held_told + 1
  if held_told > HELD_TOLD then return end
  local when = full(err) and "there is room" or "the disk can be written again"
  scopes.tell(("run %s is parked: %s; it goes on when %s%s"):format(entry.id, err.message, when,
    held_told == HELD_TOLD and "; so do others" or ""))
end

--- How a run stands, as far as this process knows more than the store: there is no room there to write that it is parked.
---@param store stoke.store
---@param run stoke.store.run changed in place
---@return stoke.store.run
function M.seen(store, run)
  local entry = M.live[run.id]
  if entry and entry.store == store and entry.held then
    run.state, run.why, run.waits = "parked", "parked", "what it did cannot be written: " .. entry.held.message
  end
  return run
end

--- Of which kind the error of a parked run is.
---@param run stoke.store.run
---@return "in_doubt"|"parked"
function M.kind_of(run) return run.why == "in_doubt" and "in_doubt" or "parked" end

--- Release a run that cannot continue now, and record why.
local function park(entry, err, log)
  entry.parked = err
  if err.kind == "in_doubt" then err.hint = M.hint(entry.run) end
  M.parked[entry.id] = entry
  entry.retries = full(err)
  if entry.retries and not entry.pause then
    scopes.tell(("run %s: %s; it goes on when there is room"):format(entry.id, err.message:gsub("^the run is parked: ", "")))
  end
  local words = PARKED_WORDS[err.kind]
  if log and not full(err) then
    log:state("parked", (words or "") .. err.message, words and err.kind or "parked")
    log:barrier()
  end
  mail.unwatch(entry)
  if err.kind == "in_doubt" then mail.watch(entry.store, entry, M.again) end
  if rawget(err, "awaits") then mail.watch(entry.store, entry, M.follow) end
end

--- Take a run up again that is parked with the one it awaits, once that has ended.
---@param entry stoke.runs.live
function M.follow(entry)
  local other = entry.store:find(entry.parked.awaits)
  if not other or not ENDED[other.state] or M.parked[entry.id] ~= entry then return end
  mail.unwatch(entry)
  M.begin(entry.store, entry.run, entry.definition)
end

--- Take a parked run up again, where a person has said something about what is in doubt.
---@param entry stoke.runs.live
function M.again(entry)
  local said = entry.store:resolutions(entry.id)
  if not said or not said[1] or M.parked[entry.id] ~= entry then return end
  mail.unwatch(entry)
  M.begin(entry.store, entry.run, entry.definition)
end

local function state_of(err)
  if not err then return "done" end
  return err.kind == "cancelled" and "cancelled" or "failed"
end

local function finish(entry, results, log, definition)
  local err = results.err
  if entry.suspended then return end
  local stopped = entry.journal and entry.journal.stopped
  if stopped and rawget(stopped, "moves") then -- what it has is to be read again
    local _, failed = log:commit()
    if failed then return park(entry, errors.new("parked", "the run is parked: " .. failed.message, { cause = failed }), nil) end
    entry.moved = true
    return
  end
  if entry.journal and entry.journal:broken() then return park(entry, err, log) end
  local state = state_of(err)
  if err then redact.error(err) end -- it is kept, and shown to whoever looks at the run
  local refused = log:finish(state, not err and results[1] or nil, err, entry.journal and entry.journal.deliveries)
  if not refused and definition and definition.finish then refused = definition.finish(log, entry, state, err) end
  if refused then
    refused.message = ("run %s: what it returned is not kept: %s"):format(entry.id, refused.message)
    log:finish("failed", nil, refused)
    if definition and definition.finish then definition.finish(log, entry, "failed", refused) end
    state, err = "failed", refused
  end
  local _, failed = log:barrier()
  if failed then return park(entry, errors.new("parked", "the run is parked: " .. failed.message, { cause = failed }), nil) end
  entry.ended = { state = state, result = not err and results[1] or nil, error = err }
end

-- ---- its life -----------------------------------------------------------------------------------------------------------------

local function place()
  places = places or channel.semaphore(M.AT_ONCE)
  local taken = places:acquire()
  return function()
    if taken then taken:release() end
    taken = nil
  end
end

--- The code that it goes on on: newer one only where its workflow says so, and it asks the same there.
local function code_of(entry, parts, log, began)
  local definition, run, stays = entry.definition, entry.run, entry.stays
  local newer = definition and definition.latest and parts.sources[1] and not code.same(parts.sources)
  if newer and not stays and not definition.prepare then
    local agrees, why = not began, nil
    if began then
      local again, err = entry.store:load(run)
      if not again then return nil, err end
      agrees, why = M.agrees(run, again, definition.f, nil, math.huge)
    end
    stays = not agrees
    if agrees then code.renew(log, parts.sources) else
      stdio.err(("stoke: run %s stays on the code that it has: %s\n"):format(run.id, why or "it does not go as recorded"))
    end
  end
  return code.of(run, definition, parts.sources, stays)
end

--- Do it, inside of its span: all of a run is one tree, whoever resumes it.
local function traced(entry, journal, f)
  local run = entry.run
  local seen <close> = spans.on and spans.enter("run", run.id, entry.around) or nil
  if seen then
    seen.facts = { workflow = run.workflow }
    spans.inside(seen)
  end
  local results = journal:run(f, run.input, entry.prepared)
  if seen then seen.failed = results.err end
  return results
end

local live

--- From a snapshot: what came before it is dropped.
local function begin_anew(entry, anew, log)
  local run = entry.run
  local err = log:restart(anew.state, anew.workflow, ("%s\nsnapshot %d"):format(run.id, run.snapshots + 1))
  if err then return finish(entry, { n = 0, err = err }, log) end
  local _, failed = log:barrier()
  if failed then return park(entry, errors.new("parked", "the run is parked: " .. failed.message, { cause = failed }), nil) end
  mail.unwatch(entry)
  entry.mail = mail.new()
  if entry.definition and entry.definition.name ~= anew.workflow then entry.definition = anew.definition end
  return live(entry)
end

live = function(entry)
  local store = entry.store
  local leave = place()
  local guard <close> = setmetatable({}, { __close = leave }) -- luacheck: ignore
  local run, err = store:find(entry.id)
  if not run then return park(entry, err or errors.new("parked", "the run is gone from the store: " .. entry.id)) end
  entry.run = run
  if ENDED[run.state] then
    entry.ended = { state = run.state, result = run.result, error = run.error }
    return
  end
  local parts, log
  parts, err = store:load(run)
  if parts then log, err = store:log(run) end
  if log and run.shared then
    local ok
    ok, err = M.share(entry, log)
    if not ok then log = nil end
  end
  if not log then return park(entry, err) end
  log:recount(parts.rows)
  log.told = function(failed) hold(entry, failed) end
  err = resolve(entry, parts, log)
  if err then return park(entry, err) end
  local began = parts.rows[1] ~= nil or parts.deliveries ~= ""
  local f, load, definition = code_of(entry, parts, log, began)
  if not f then return park(entry, load, log) end
  if definition and definition.prepare then
    entry.prepared, err = definition.prepare(store, run, entry.given)
    if err and parts.rows[1] then return park(entry, err, log) end
    if err then return finish(entry, { n = 0, err = err }, log, definition) end -- nothing of it has been done yet
  end
  local known = {}
  for _, one in ipairs(parts.sources) do known[one.name] = true end
  if not parts.sources[1] then code.keep(log, known) end
  if began then log:epoch() end
  if began and point then point "resume" end
  if run.state ~= "running" then log:state("running") end
  local known_as = run.snapshots == 0 and run.id or ("%s\nsnapshot %d"):format(run.id, run.snapshots)
  local journal = journals.new { id = run.seed, run_id = known_as, log = log, kept = began and parts or nil, require = load }
  entry.log, entry.journal, journal.entry = log, journal, entry
  entry.known, entry.boxed = known, load ~= nil
  function journal.on_module()
    if not load then code.keep(log, known) end
  end
  journal.on_live = leave
  if not began then leave() end
  if entry.suspended then return end
  mail.watch(store, entry, mail.read)
  tasks.spawn(mail.read, { system = true, name = "mail" }, entry)
  local results = traced(entry, journal, f)
  local anew = journal.anew
  if anew and not results.err and not entry.suspended then return begin_anew(entry, anew, log) end
  finish(entry, results, log, definition)
end

--- What was raised while it was taken up is no end of the run: others are to see that it is parked, too.
local function park_raised(entry, err)
  local wrapped = errors.wrap(err)
  if wrapped.kind == "cancelled" or entry.suspended then return end
  local parked = errors.new("parked", "the run is parked: " .. wrapped.message, { cause = wrapped })
  local log = not entry.ended and not entry.run.shared and entry.store:log(entry.run)
  local ok = pcall(park, entry, parked, log or nil)
  if not ok then entry.parked = parked end
end

local function take_up(entry)
  local ok, err = pcall(live, entry)
  if not ok then park_raised(entry, err) end
  if not entry.parked then mail.unwatch(entry) end
  M.live[entry.id] = nil
  entry.store:release(entry.run)
  entry.over = true
  if entry.moved and not M.stopping then M.begin(entry.store, entry.run, entry.definition, entry.given, entry.stays) end
  wake_all(entry)
  if entry.retries then M.retry(entry) end
  local following = {}
  for _, other in next, M.parked do
    if entry.ended and rawget(other.parked, "awaits") == entry.id then following[#following + 1] = other end
  end
  for _, other in ipairs(following) do M.follow(other) end
end

--- Resume a run that a full disk has parked: tried after 1 s, then at doubled intervals up to 30 s.
function M.retry(entry)
  local pause = entry.pause or 1
  tasks.start(home(), "run " .. entry.id, function()
    repeat
      if host.park("room on the disk", pause) == nil then return end
      pause = math.min(pause * 2, 30)
      if M.parked[entry.id] ~= entry or M.stopping then return end
    until M.begin(entry.store, entry.run, entry.definition)
    local again = M.live[entry.id]
    if again then again.pause = pause end
  end)
end

--- Take a run up, unless another process has it. Returns at once; it lives below the host.
---@param store stoke.store
---@param run stoke.store.run
---@param definition? stoke.runs.workflow nil: of its own sources
---@param given? any what `prepare` of the definition gets from who began it
---@param stays? boolean on the sources it has, also where its workflow has code = "latest"
---@return stoke.runs.live|nil
---@return stoke.error|nil err
function M.begin(store, run, definition, given, stays)
  local entry = M.live[run.id]
  if entry then return entry end
  local mine, err = store:claim(run)
  if mine == nil then return nil, err end
  if not mine then return nil end
  M.parked[run.id] = nil
  entry = { id = run.id, run = run, store = store, definition = definition, waiters = {}, mail = mail.new(),
    given = given, stays = stays, around = spans.on and spans.around() or nil }
  M.live[run.id] = entry
  entry.task = tasks.start(home(), "run " .. run.id, take_up, entry)
  return entry
end

--- Wait until a run of this process is put down.
---@param entry stoke.runs.live
---@return stoke.error|nil err kind `cancelled`
function M.wait(entry)
  while not entry.over do
    entry.waiters[#entry.waiters + 1] = tasks.current()
    local woken, err = host.park("run " .. entry.id)
    if woken == nil then return err end
  end
end

--- Give up all runs of this process. Their records stay; another process can resume them.
function M.suspend_all()
  M.stopping = true
  local entries = {}
  for _, entry in next, M.live do entries[#entries + 1] = entry end
  for _, entry in ipairs(entries) do
    entry.suspended = true
    if entry.journal and entry.journal.schedule then
      entry.journal:stop(errors.new("parked", "the process ends"))
    elseif not entry.task.state then
      scopes.cancel(entry.task, errors.new("cancelled", "the process ends"))
    end
  end
  for _, entry in ipairs(entries) do
    while not entry.over do
      entry.waiters[#entry.waiters + 1] = tasks.current()
      if host.park("run " .. entry.id) == nil then break end
    end
    if entry.journal then outputs.wait(entry.journal.output) end
  end
  M.stopping = false
  return entries
end

return M
