--- The journal of a run: what its effects were asked and what came of each, so that the run can be done again without the world.
---
--- A run is a function and all the tasks below it. Each of its effects has a row: its key (lua/frame.lua), the digest of its
--- request before any gate changes that, its class, and its outcome, one record of all that came of it. In which order the run's
--- tasks met outcomes and time limits is the other half, the deliveries of lua/schedule.lua.
---
--- A replay gives each effect the outcome of its row, and where the row's request is another one it stops: it has diverged, and
--- nothing more is done. At the end of the journal it goes on live, and its rows follow.
---
--- The journal is in memory; rows are plain data. With a log (lua/journal/keep.lua) all of it is kept as it comes, and another
--- process goes on from there: it replays what is kept, and then lives.

local body = require "core.journal.body"
local budgets = require "core.gate.budget"
local diverge = require "core.journal.diverge"
local doubt = require "core.journal.doubt"
local effect = require "core.effect"
local errors = require "core.errors"
local frames = require "core.frame"
local host = require "host.task"
local hash = require "core.hash"
local keep = require "core.journal.keep"
local modules = require "core.journal.module"
local moves = require "core.journal.move"
local ordered = require "core.ordered"
local outcomes = require "core.journal.outcome"
local outputs = require "core.journal.output"
local plain = require "core.journal.plain"
local point = require "host.store".fault_point
local quick = require "core.journal.quick"
local redact = require "core.redact"
local requests = require "core.journal.request"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local stdio = require "core.stdio"
local streams = require "core.journal.stream"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

local begin, finish, class_of, outcome_of = schedule.begin, schedule.finish, outcomes.class_of, outcomes.of

---@class stoke.journal
---@field id string what ids and random numbers of the run follow from
---@field rows stoke.journal.row[] in the order in which they were begun; where a log keeps them, those that it had at the beginning
---@field deliveries string see lua/schedule.lua
---@field modules string[] that its tasks required, each once
---@field diverged? stoke.error
---@field stopped? stoke.error it goes no further in this process: kind `parked` or `in_doubt`
---@field log? stoke.journal.log where it is kept; nil = nowhere, or no longer
---@field output stoke.journal.output what the run prints
local Journal = {}
Journal.__index = Journal
Journal.__name = "stoke.journal"
Journal.require = modules.require

---@class stoke.journal.row
---@field number integer
---@field key string
---@field name string of the effect
---@field class "pure"|"idempotent"|"unsafe"
---@field digest string of the request
---@field request any a copy, without secrets and limits of time
---@field where? string the script's line
---@field inside? boolean it was done by the body of another one, which a replay does not run
---@field inline? boolean its outcome was there without the task being suspended
---@field seen? integer the how manieth outcome it was
---@field outcome? stoke.journal.outcome nil: the journal ends before it
---@field time? number wall clock when it was begun; where there is a log
---@field took? number seconds until its outcome; where there is a log
---@field at? integer bytes of the deliveries before it; where there is a log
---@field intent? boolean its work, which must not be done twice, has begun

---@class stoke.journal.outcome
---@field value? any
---@field err? stoke.error
---@field facts? { attempts?: integer, asked?: integer, usage?: table, known?: table, spent?: table, nested?: table,
---  counts?: boolean } beside the value: attempts it took, tokens it was asked with, what it used, what the driver knows of it;
---  of a tool's body: what it spent of budgets, and its agents used; whether it came as far as being tried
---@field refusal? boolean a gate refused it: nothing was done
---@field cut? boolean it was cancelled
---@field raised? boolean it was raised: a mistake of the caller
---@field secret? boolean its value is not kept, and read anew
---@field about? table of a stream: what is known once it is open
---@field items? table[] of a stream: { value, inline } or, last, { ended, err, inline }
---@field came? integer[] of a stream: tokens that had come, each time somebody asked

local function new(id, fields)
  fields.id, fields.rows, fields.by_key, fields.count, fields.seen, fields.last, fields.working = id, {}, {}, 0, 0, 0, 0
  fields.redactor, fields.modules, fields.wanted = redact.new(), {}, {}
  fields.output, fields.logged, fields.printed, fields.waiting = outputs.new(0), 0, 0, {}
  fields.told = "running"
  return setmetatable(fields, Journal)
end

-- ---- rows --------------------------------------------------------------------------------------------------------------------

M.class_of = class_of

--- Effects of a run after which its owner is told that it grows: each time it is taken up all of them are read again.
M.MANY = 10000
--- Called then: fun(journal).
M.on_many = nil

--- So many effects are begun.
function Journal:grown(number)
  if number == M.MANY and self.log and M.on_many then M.on_many(self) end
end

--- A new row; its outcome is to come.
---@param raw? boolean the request is the script's own: the log makes it a text, and it is not kept. No row: it is not plain
function Journal:begin(key, def, q, request, digest, inside, raw)
  local before, log, began, at, intent = self.by_key[key], self.log, nil, nil, nil -- before: a recording ended in the middle of it
  local number = before and before.number or self.last + 1
  if log then
    began, at = before and before.time or time.wall(), self.schedule:length()
    intent = before and not inside and before.intent or nil
  end
  local row = { number = number, key = key, name = def.name, class = class_of(def, q), digest = digest,
    request = not raw and request or nil, where = host.site(), inside = inside and true or nil, time = began, at = at,
    intent = intent } -- with room for what comes later
  if log then
    if log:row(row, raw and request or nil) == false then return nil end
    if not self.dirty then keep.touch(self) end
  end
  if number > self.last then self.last = number end
  if before or not log or not log.texts then self.rows[number], self.by_key[key] = row, row end -- else the log alone has it
  if number == M.MANY then self:grown(number) end
  return row
end

--- The outcome of a row.
---@return stoke.error|nil err it cannot be kept; that is its outcome now
function Journal:put(row, outcome)
  local seen, log = self.seen + 1, self.log
  self.seen, row.outcome, row.seen = seen, outcome, seen
  if not log then return nil end
  if row.time then row.took = math.max(0, time.wall() - row.time) end
  if not self.dirty then keep.touch(self) end
  if point then point "before-outcome" end
  return log:outcome(row)
end

Journal.next_row, Journal.quick = diverge.next_row, quick.outcome

--- Something else of a row has changed.
function Journal:changed(row)
  if not self.log then return end
  keep.touch(self)
  self.log:changed(row)
  if row.outcome and row.outcome.closed then moves.left(self, row) end
end

--- An item of a stream has come, or its end.
---@return stoke.error|nil err it cannot be kept
function Journal:item(row, entry, last)
  if last and row.time then row.took = math.max(0, time.wall() - row.time) end
  local items = row.outcome.items
  for i = #items, 1, -1 do
    if items[i] == entry then
      keep.touch(self)
      local refused = self.log:item(row, i)
      if entry.ended then moves.left(self, row) end
      return refused
    end
  end
end

function Journal:came(row, i)
  if not self.log then return end
  keep.touch(self)
  self.log:came(row, i)
end

--- Why the order of the run can no longer be recorded or replayed.
---@return stoke.error|nil
function Journal:failure()
  local kind, why = self.schedule:failure()
  return kind and errors.new(kind, why) or nil
end

-- ---- recording --------------------------------------------------------------------------------------------------------------

--- The work of an effect that must not be done twice begins when this is on the disk.
local function intend(call)
  local journal, row = call.context.journal, call.row
  call.intend = nil
  if not journal.log then return journal.stopped end
  row.intent = true
  journal.log:intent(row)
  local err = keep.barrier(journal)
  if err then return err end
  if point then point "intent" end
  err = outputs.wait(journal.output) -- a person reads what led to it
  return err and err.kind == "cancelled" and err or nil
end

--- The work of an effect that is known again by its key begins when what led to it is kept. Otherwise a run that is killed, and
--- then gets other outcomes first, could ask something else under the same key, and be given the answer to what it asked before.
--- Whoever outlives a power cut is asked when it is on the disk.
local function settle(call)
  local journal = call.context.journal
  call.intend = nil
  return (call.keyed == "disk" and keep.barrier or keep.commit)(journal)
end

--- Before an effect is done of which a log is kept. Where the body of an effect is looked through, whatever changes the world in it
--- counts, also what could be done again by itself: done again after it, the rest of the body would see another world.
local function prepare(journal, row, call, def, q)
  keep.make_room(journal)
  call.row, call.since = row, row.time
  local class, inner = row.class, call.context.inside
  local keyed = class == "idempotent" and not inner and outcomes.keyed(def, q)
  if keyed then
    call.intend, call.keyed = settle, keyed
    return
  end
  if class == "pure" or inner == true or class ~= "unsafe" and not inner or def.through and def.through(q) then return end
  if class == "unsafe" or not outcomes.repeats(def, q) then call.intend = intend end
end

--- Do it, and keep what comes of it.
function Journal:take(row, def, q, call, live)
  local context, log = call.context, self.log
  local visible = not context.inside
  if visible then
    self.working = self.working + 1
    begin()
  end
  if log then prepare(self, row, call, def, q) end
  local value, err, raised = body.done(def, q, call, live)
  log = self.log
  local outcome, failed = outcome_of(self.redactor, def, value, err, q, call, log)
  if raised and err.kind ~= "cancelled" then outcome.raised = true end
  if self.stopped then -- nothing of it is kept: it was not done, or is in doubt
    if visible then schedule.finish() end
    return nil, self.stopped
  end
  failed = self:put(row, outcome) or failed
  if def.lasting and err == nil and log then keep.barrier(self) end
  if visible then
    moves.came(self, row, def.stream and err == nil)
    row.inline = finish()
  end
  if self.stopped then return nil, self.stopped end
  if def.lasting and row.inline then self:changed(row) end -- the barrier was there before this
  if call.meter then budgets.show(call.meter) end
  if outcome.raised then error(err, 0) end
  if failed then return nil, failed end
  if err ~= nil then return nil, err end
  if def.stream then return streams.record(value, row, visible, self) end
  return value
end

-- ---- replaying --------------------------------------------------------------------------------------------------------------

--- The turn of a row has come: the run gets its outcome.
---@param row table
---@return stoke.error|nil err
function Journal:arrived(row)
  row.given = true
  self.left_over = self.left_over - 1
  if not row.inline then
    local inline, err = schedule.place() -- it may have come, and nobody had seen it yet
    if err then return err end
    row.inline = inline
    if inline then self:changed(row) end
  end
  if self.on_given then self.on_given(row) end
end

--- The outcome of a row, when its turn comes.
function Journal:give(row, def, q, call)
  call.replayed = true
  local err = self:arrived(row)
  if err then return nil, err end
  local outcome = row.outcome
  local facts = outcome.facts
  call.started = call.span and time.monotonic() or nil
  call.attempts, call.asked, call.spent, call.counts = facts.attempts or 1, facts.asked, facts.spent, facts.counts
  if call.context.budget then budgets.account(call.context.budget, def, call) end
  if def.given then def.given(q, plain.copy(facts), call) end
  if outcome.raised then error(plain.copy(outcome.err), 0) end
  if outcome.err then return nil, plain.copy(outcome.err) end
  if outcome.secret then
    local value = def.run(q, call)
    if type(value) == "string" then self.redactor:learn(value, def.secret(q)) end
    return value
  end
  if def.stream then
    return streams.replay(row, q, self, def.resume and function(items) return def.resume(q, items, call.work) end)
  end
  local value = plain.copy(outcome.value)
  if self.redactor.named[1] then value = self.redactor:reveal(value) end
  if def.codec then value = def.codec.give(value) end
  if facts.known and def.restore then def.restore(value, facts.known, q) end
  return value
end

--- Is all that was recorded done again?
function Journal:at_end() return self.left_over <= 0 and self.schedule:at_end() end

--- The row that answers a request, or an error. Neither: it is to be done, unless it was cancelled.
---@return stoke.journal.row|nil
---@return stoke.error|nil
---@return any cancelled
function Journal:answer(key, def, asked, digest)
  local row = self.by_key[key]
  if not row then
    if not self:at_end() then return nil, diverge.unknown(self, key, (requests.kept(def, asked, self.redactor))) end
    return nil
  end
  if row.digest ~= digest then return nil, diverge.different(self, row, (requests.kept(def, asked, self.redactor))) end
  if row.outcome then return row end
  row.given = true -- the journal ends before its outcome: it is done when all else has been
  self.left_over = self.left_over - 1
  local _, err = schedule.await()
  local task = host.current()
  return nil, err, not err and not task.unwinding and scopes.innermost(task).cancelled -- while it waited
end

--- In place of an effect that was cancelled before it was done.
local function cut_off(def) return nil, errors.new("cancelled", "cancelled while waiting for " .. def.name) end

--- The outcome of an effect: recorded, or taken from the recording.
---@param def stoke.effect
---@param q any
---@param call table
---@param live fun(def, q, call): any, stoke.error? does it
---@return any value
---@return stoke.error? err
function Journal:outcome(def, q, call, live)
  if self.diverged or self.stopped then return nil, self.diverged or self.stopped end
  if def.taped == false then
    return nil, errors.new("replay", ("%s cannot be recorded, so a journalled run does without it: %s"):format(def.name, def.why))
  end
  if def.derived then return live(def, q, call) end
  local context = call.context
  local key = call.key or frames.key(context.frame, def.name, def.label and def.label(q))
  local asked = requests.asked_of(def, q)
  local digest, request, err = requests.identify(def, asked, self.redactor)
  if err then return nil, err end
  call.key, self.count = key, self.count + 1
  if self.replaying and not context.inside then
    local row, cancelled
    if def.older and not self.by_key[key] and not self:at_end() then return def.older(q) end
    row, err, cancelled = self:answer(key, def, asked, digest)
    if err then return nil, err end
    if row then return self:give(row, def, q, call) end
    if not self.lives then
      self.lives = true
      if point then point "live" end
      if self.on_live then self.on_live() end
      if self.closed then self:end_here() end
    end
    if self.stopped then return nil, self.stopped end
    live, err = doubt.judge(self, self.by_key[key], def, q, call, cancelled and cut_off or live, cancelled)
    if err then return nil, err end
  end
  local raw = request == nil and self.log ~= nil and self.log.texts and not def.redact and not self.redactor.list[1]
  local row = raw and self:begin(key, def, q, asked, digest, context.inside, true)
  if not row then
    if request == nil then
      request, err = requests.kept(def, asked, self.redactor)
      if err then return nil, err end
    end
    row = self:begin(key, def, q, request, digest, context.inside)
  end
  return self:take(row, def, q, call, live)
end

--- What the journal holds at this moment: all that is left where the process ends here.
---@return stoke.journal
function Journal:snapshot()
  local held = new(self.id, { deliveries = self.schedule and self.schedule:log() or self.deliveries })
  for i, row in ipairs(self.rows) do
    local own = plain.held(row)
    held.rows[i], held.by_key[own.key] = own, own
  end
  table.move(self.modules, 1, #self.modules, 1, held.modules)
  return held
end

--- The journal of the run that the running task belongs to.
---@return stoke.journal|nil
function M.current()
  local task = host.current()
  return task and (task.scope or task).context.journal
end

--- The same, unless the running task is in the body of an effect.
---@return stoke.journal|nil
function M.visible()
  local task = host.current()
  local context = task and (task.scope or task).context
  return context and not context.inside and context.journal or nil
end

-- ---- a run as a whole -------------------------------------------------------------------------------------------------------

--- Nothing more of it is kept.
function Journal:detach()
  keep.leave(self)
  self.log = nil
end

--- It goes no further in this process: what is kept so far stays, nothing that happens from now on does.
---@param err stoke.error
function Journal:stop(err)
  if self.stopped then return end
  self:detach()
  self.stopped = keep.parked(err)
  local root = self.root
  if root and not root.state then scopes.cancel(root, errors.new("cancelled", self.stopped.message)) end
end

--- It is not to go on where its journal ends.
---@return stoke.error
function Journal:end_here()
  self:stop(errors.new("replay", "the journal ends here", { ends = true }))
  return self.stopped
end

--- Why it went no further: it diverged, or was stopped. What the run itself has failed with is its own.
---@return stoke.error|nil
function Journal:broken() return self.diverged or self.stopped end

Journal.waits_for, Journal.state = keep.waits_for, keep.state

--- The same text for the same effect of the same run, however often it is done: what a server knows a repeated request by.
---@param key string of the effect
---@return string 64 hex digits
function Journal:idempotency(key) return hash.sha256(("%s\n%s"):format(self.run_id or self.id, key)) end

--- Add `key` to what a body is given: the same text each time it is done. Whoever reads it means to tell somebody who knows it
--- again, so what led to it is committed then.
---@param about table
---@param key string of the effect
---@return table about
function Journal:with_key(about, key)
  return setmetatable(about, { __index = function(_, name)
    if name ~= "key" then return nil end
    local err = self.log and keep.commit(self)
    if err then error(err, 0) end
    about.key = self:idempotency(key)
    return about.key
  end })
end

--- Write a text of the run.
---@param fd integer
---@param text string
function Journal:print(fd, text)
  if self.diverged or self.stopped then return end
  local log, write = self.log, self.to_print
  if write then write(fd, text) end
  local full = outputs.put(self.output, fd, not write and text or nil, #text, log and function() return keep.commit(self) end)
  if log then keep.touch(self) end
  if full then errors.check(effect.perform("output.room", { bytes = outputs.PART })) end
end

function stdio.of_run(fd, text)
  local task = host.current()
  local context = task and (task.scope or task).context
  local journal = context and not context.inside and context.journal
  if not journal then return false end
  journal:print(fd, text)
  return true
end

-- ---- runs -------------------------------------------------------------------------------------------------------------------

local Guard = { __close = function(guard)
  local journal = guard.journal
  ordered.leave()
  frames.count_runs(-1)
  schedule.leave()
  keep.flush(journal)
  journal.deliveries = journal.schedule:log()
  journal.root, journal.schedule = nil, nil
end }

--- What it returned or ended with, whatever the script has made of it.
local function outcome_of_run(journal, results, err)
  if err then results = { n = 0, err = err } end
  local failed = journal:broken() or journal:failure()
  if failed then
    journal.diverged = journal.diverged or not journal.stopped and failed or nil
    return { n = 0, err = failed }
  end
  if journal.replaying and not journal:at_end() and journal.schedule:mode() ~= "over" then
    journal.diverged = diverge.ended_early(journal, results.err)
    if journal.diverged then return { n = 0, err = journal.diverged } end
  end
  return results
end

--- Run f as a task that is a run of its own; what it returns, or its error.
local function run(journal, f, ...)
  local me = host.enter "a journalled run"
  if scopes.innermost(me).context.journal then errors.argument "a journalled run cannot begin another one inside itself" end
  ordered.enter()
  frames.count_runs(1)
  local _ <close> = setmetatable({ journal = journal }, Guard)
  local results
  local scope <close> = scopes.open { journal = journal, frame = frames.root(journal.id), one_frame = true,
    on_child_error = function(err) results = { n = 0, err = err } end }
  local task = tasks.start(scope, "run", function(...) results = table.pack(f(...)) end, ...)
  schedule.adopt(task, journal.schedule)
  journal.root = task
  scope:wait()
  local err = outputs.wait(journal.output)
  if err and err.kind == "cancelled" then scopes.deliver(me) end
  return outcome_of_run(journal, results, task.err)
end

---@class stoke.journal.options
---@field id string what ids and random numbers of the run follow from
---@field run_id? string by which it is known, where that is another one
---@field log? stoke.journal.log where it is kept
---@field kept? { rows: stoke.journal.row[], deliveries: string, modules: string[], printed?: integer, known?: stoke.store.known }
---  what is kept of it: the run is done again from there, and goes on
---@field closed? boolean where what is kept ends it stops, with an error that has `ends`
---@field print? fun(fd: integer, text: string) takes what it writes
---@field require? fun(name: string): any loads the modules of a kept run

--- A journal that has not begun.
---@param options stoke.journal.options
---@return stoke.journal
function M.new(options)
  local kept = options.kept
  local order = kept and schedule.replay(kept.deliveries) or schedule.record()
  local journal = new(options.id, { replaying = kept ~= nil, left_over = 0, schedule = order, log = options.log,
    run_id = options.run_id, closed = options.closed, to_print = options.print })
  if not kept then return journal end
  journal.rows, journal.logged, journal.last = kept.rows, #kept.deliveries, #kept.rows
  journal.output = outputs.new(kept.printed or 0)
  journal.printed = kept.printed or 0
  local known = kept.known or doubt.known(kept.rows)
  journal.by_key, journal.seen, journal.left_over = known.by_key, known.seen, known.left
  doubt.mark(journal, known.begun)
  local load = options.require or require "core.env".globals.require
  for _, name in ipairs(kept.modules) do
    journal.wanted[name] = true
    pcall(load, name) -- one that is not there fails where it is required
  end
  table.move(kept.modules, 1, #kept.modules, 1, journal.modules)
  return journal
end

--- Run a function as the run of a journal that has not begun. Should the caller be cancelled, the journal holds what came of it.
---@param f function
---@param ... any its arguments
---@return { n: integer, err?: stoke.error } results what f returned, or the error it ended with
---Raises `argument` inside another run, `cancelled`.
function Journal:run(f, ...) return run(self, f, ...) end

--- Run a function as a run of its own, and keep what its effects met.
---@param id string what its ids and random numbers follow from
---@param f function
---@param ... any its arguments
---@return stoke.journal
---@return { n: integer, err?: stoke.error } results as of journal:run
---Raises as journal:run.
function M.record(id, f, ...)
  local journal = M.new { id = id }
  return journal, run(journal, f, ...)
end

--- Run the function again from a journal, which stays as it is. Where that ends the run goes on live.
---@param journal stoke.journal
---@param f function
---@param ... any its arguments
---@return { n: integer, err?: stoke.error } results
---@return stoke.journal journal of this run: the same rows, and those that followed
---Raises as M.record.
function M.replay(journal, f, ...)
  local again = M.new { id = journal.id, kept = journal:snapshot() }
  return run(again, f, ...), again
end

return M
