--- The journal of a run: what its effects were asked and what came of each, so that the run can be done again without the world.
---
--- A run is a function and all the tasks below it. Each of its effects has a row: its key (lua/frame.lua), the digest of its
--- request before any gate changes that, its class, and its outcome, one record of all that came of it. In which order the run's
--- tasks met outcomes and time limits is the other half, the deliveries of lua/schedule.lua.
---
--- A replay gives each effect the outcome of its row, and where the row's request is another one it stops: it has diverged, and
--- nothing more is done. At the end of the journal it goes on live, and its rows follow.
---
--- The journal is in memory; rows are plain data.

local budgets = require "core.gate.budget"
local errors = require "core.errors"
local frames = require "core.frame"
local handler = require "core.coro".handler
local host = require "host.task"
local json = require "core.json"
local monotonic = require "host.time".monotonic
local ordered = require "core.ordered"
local place = require "core.journal.place"
local plain = require "core.journal.plain"
local redact = require "core.redact"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local streams = require "core.journal.stream"
local tasks = require "core.task"

local M = {}

---@class stoke.journal
---@field id string what ids and random numbers of the run follow from
---@field rows stoke.journal.row[] in the order in which they were begun
---@field deliveries string see lua/schedule.lua
---@field modules string[] that its tasks required, each once
---@field diverged? stoke.error
local Journal = {}
Journal.__index = Journal
Journal.__name = "stoke.journal"

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
  fields.id, fields.rows, fields.by_key, fields.count, fields.seen = id, {}, {}, 0, 0
  fields.redactor, fields.modules, fields.wanted = redact.new(), {}, {}
  return setmetatable(fields, Journal)
end

-- ---- identity ---------------------------------------------------------------------------------------------------------------

--- Texts in which secrets that are known by now are taken out; changed in place.
local function hide(redactor, value)
  if type(value) == "string" then return redactor:text(value) end
  if type(value) ~= "table" then return value end
  for key, inner in next, value do value[key] = hide(redactor, inner) end
  return value
end

--- A request without what is not asked.
local function asked_of(def, q)
  if not def.aside or type(q) ~= "table" then return q end
  local request = {}
  for name, value in next, q do request[name] = value end
  for _, name in ipairs(def.aside) do request[name] = nil end
  return request
end

--- A copy of a request as it is kept: without secrets.
function Journal:kept(def, asked)
  local request, odd = plain.copy(asked, (def.redact or self.redactor.list[1]) and true or "shared")
  if odd then return nil, errors.new("argument", ("%s: a request is plain data, and %s"):format(def.name, odd)) end
  if def.redact then def.redact(request, self.redactor) end
  if self.redactor.list[1] then request = hide(self.redactor, request) end
  return request
end

--- The digest of a request; and what is kept of it, where that had to be made.
function Journal:identify(def, asked)
  if not def.redact and not self.redactor.list[1] then
    local digest = def.digest and def.digest(asked) or asked == nil and "nil" or json.digest(asked)
    if digest then return digest end
  end
  local request, err = self:kept(def, asked)
  if err then return nil, nil, err end
  return def.digest and def.digest(request) or plain.digest(request), request
end

--- How bad it is to do an effect twice.
---@param def stoke.effect
---@param q any
---@return "pure"|"idempotent"|"unsafe"
function M.class_of(def, q)
  local class = def.class
  if type(class) == "function" then class = class(q) end
  return class or "unsafe"
end

--- A new row; its outcome is to come.
function Journal:begin(key, def, q, request, digest, inside)
  local before = self.by_key[key] -- where a recording ended in the middle, it is begun again
  local row = { number = before and before.number or #self.rows + 1, key = key, name = def.name, class = M.class_of(def, q),
    digest = digest, request = request, where = host.site(), inside = inside, outcome = nil, seen = nil, inline = nil,
    given = nil } -- in the size that it has in the end
  self.rows[row.number], self.by_key[key] = row, row
  return row
end

--- The outcome of a row.
function Journal:put(row, outcome)
  self.seen = self.seen + 1
  row.outcome, row.seen = outcome, self.seen
end

--- Why the order of the run can no longer be recorded or replayed.
---@return stoke.error|nil
function Journal:failure()
  local kind, why = self.schedule:failure()
  return kind and errors.new(kind, why) or nil
end

-- ---- diverging --------------------------------------------------------------------------------------------------------------

--- The run asks what it did not ask when it was recorded. It is told once, and whatever it performs from now on meets the same.
function Journal:diverge(what, fields)
  self.diverged = self:failure()
  if self.diverged then return self.diverged end -- that came first
  local where = host.site()
  fields.number = self.count
  fields.hint = "the code, or what it works with, is not that of the recording"
  local err = errors.new("replay", ("diverged at #%d: %s%s"):format(self.count, what, where and "\n  in " .. where or ""), fields)
  self.diverged = err
  return err
end

--- The first row that nobody has asked for yet.
local function next_row(self)
  for _, row in ipairs(self.rows) do
    if not row.given and not row.inside then return row end
  end
end

function Journal:unknown(key, request)
  local row = next_row(self)
  local text = ("%s was not asked by the run that was recorded"):format(key)
  if row then text = ("%s; there #%d comes next: %s %s"):format(text, row.number, row.key, place.shown(row.request)) end
  return self:diverge(text .. "\n  asked:    " .. place.shown(request),
    { key = key, asked = request, recorded = row and row.request })
end

function Journal:different(row, request)
  local words, path, byte = place.difference(row.request, request)
  return self:diverge(("%s asks something else than #%d of the recording%s: %s"):format(row.key, row.number,
    row.where and " (" .. row.where .. ")" or "", words),
    { key = row.key, asked = request, recorded = row.request, path = path, byte = byte })
end

-- ---- recording --------------------------------------------------------------------------------------------------------------

local ONCE = { attempts = 1 } -- what is known of most values; nobody changes facts

--- What is known of a value beside it.
local function facts_of(def, value, q, call)
  if not (def.usage or def.facts or call.asked or call.nested or call.meter) and call.attempts == 1 then return ONCE end
  local facts = { attempts = call.attempts, asked = call.asked, usage = def.usage and not def.stream and def.usage(value, q) or nil,
    known = def.facts and def.facts(value, q) or nil, nested = call.nested, counts = call.attempts > 0 }
  if call.meter then facts.spent = plain.copy(call.meter.used) end
  return facts
end

--- The outcome as it is kept; an error in its place where it cannot be.
local function outcome_of(self, def, value, err, q, call)
  if err ~= nil then
    local kind = errors.kinds[err.kind]
    local spent = call.meter and plain.copy(call.meter.used)
    return { err = plain.copy(err), cut = err.kind == "cancelled" or nil, refusal = kind and kind.refusal,
      facts = { attempts = call.attempts, asked = call.asked, spent = spent, nested = call.nested,
        counts = call.attempts > 0 } }
  end
  local facts = facts_of(def, value, q, call)
  if def.secret and def.secret(q) then
    if type(value) == "string" then self.redactor:learn(value, def.secret(q)) end
    return { secret = true, facts = facts }
  end
  if def.stream then return { items = {}, about = value.about and plain.copy(value.about), rests = value.rest ~= nil,
    facts = facts } end
  local kept, odd = plain.copy(def.codec and def.codec.keep(value) or value)
  if not odd then return { value = kept, facts = facts } end
  local what = type(q) == "table" and type(q.name) == "string" and ("%s %s"):format(def.name, q.name) or def.name
  local failed = errors.new("script", ("%s: a journalled run keeps plain data alone, and %s"):format(what, odd),
    { hint = "return text, or tables of text and numbers" })
  return { err = plain.copy(failed), facts = facts }, failed
end

--- What a body does is its own: nothing of it is visible to the run, and what it spends is counted apart, too.
local function inside(call)
  local budget = call.context.budget
  call.inside, call.meter = true, budget and budgets.metered(budget) or nil
  return frames.inside(frames.body(call.context.frame, call.key), call.meter)
end

--- Do it, and keep what comes of it; what it raises, a mistake of its caller, too.
function Journal:take(row, def, q, call, live)
  local visible = not call.context.inside
  if visible then schedule.begin() end
  local guard = def.metered and inside(call)
  local ok, value, err = xpcall(live, handler, def, q, call)
  if guard then guard:leave() end
  if not ok then value, err = nil, errors.wrap(value) end
  local outcome, failed = outcome_of(self, def, value, err, q, call)
  outcome.raised = not ok and err.kind ~= "cancelled" or nil
  self:put(row, outcome)
  if visible then row.inline = schedule.finish() end
  if call.meter then budgets.show(call.meter) end
  if outcome.raised then error(err, 0) end
  if failed then return nil, failed end
  if err ~= nil then return nil, err end
  if def.stream then return streams.record(value, row, visible) end
  return value
end

-- ---- replaying --------------------------------------------------------------------------------------------------------------

--- The outcome of a row, when its turn comes.
function Journal:give(row, def, q, call)
  row.given = true
  self.left_over = self.left_over - 1
  call.replayed = true
  if not row.inline then
    local inline, err = schedule.place() -- it may have come, and nobody had seen it yet
    if err then return nil, err end
    row.inline = inline
  end
  local outcome = row.outcome
  local facts = outcome.facts
  call.started = call.span and monotonic() or nil
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
    return streams.replay(row, q, def.resume and function(items) return def.resume(q, items, call.work) end)
  end
  local value = plain.copy(outcome.value)
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
    if not self:at_end() then return nil, self:unknown(key, (self:kept(def, asked))) end
    return nil
  end
  if row.digest ~= digest then return nil, self:different(row, (self:kept(def, asked))) end
  if row.outcome then return row end
  row.given = true -- the journal ends before its outcome: it is done when all else has been
  self.left_over = self.left_over - 1
  local _, err = schedule.await()
  local task = host.current()
  return nil, err, not err and not task.unwinding and scopes.innermost(task).cancelled -- while it waited
end

--- In place of an effect that was cancelled before it was done.
local function cut_off(def) return nil, errors.new("cancelled", "cancelled while waiting for " .. def.name) end

-- ---- modules ----------------------------------------------------------------------------------------------------------------

local LOADER = { name = "module.load", class = "pure" }

--- What `load` raises is the outcome of a row, for each task that had to wait for it.
function Journal:load(key, frame, name, load)
  local row = self:begin(key, LOADER, nil, { name = name }, name)
  local guard = frames.inside(frame)
  schedule.begin()
  local ok, value = xpcall(load, handler)
  guard:leave()
  local err = not ok and errors.wrap(value) or nil
  self:put(row, { err = err and plain.copy(err), cut = err and err.kind == "cancelled" or nil, facts = {} })
  row.inline = schedule.finish()
  if err then error(value, 0) end
  return value
end

--- A module that a task of the run requires. Modules belong to the process: whether one has been loaded before is nothing a run
--- depends on. What its loader and its body read is no outcome of the task that came first; a replay loads all modules before it
--- begins.
---@param name string
---@param loaded any
---@param load fun(): any
---@return any
---Raises what loading raised.
function Journal:require(name, loaded, load)
  if not self.wanted[name] then
    self.wanted[name] = true
    self.modules[#self.modules + 1] = name
  end
  local frame, key = frames.module(name)
  local row = self.replaying and self.by_key[key]
  if row then
    row.given = true
    self.left_over = self.left_over - 1
    if not row.outcome and loaded ~= nil then self:put(row, { facts = {} }) end -- this process has loaded it before the replay
    local outcome, err = row.outcome, nil
    if not outcome then
      err = select(2, schedule.await())
    elseif not row.inline then
      row.inline, err = schedule.place()
    end
    if err then error(err, 0) end
    if outcome and outcome.err then error(plain.copy(outcome.err), 0) end
  end
  if loaded ~= nil then return loaded end
  return self:load(key, frame, name, load)
end

--- The outcome of an effect: recorded, or taken from the recording.
---@param def stoke.effect
---@param q any
---@param call table
---@param live fun(def, q, call): any, stoke.error? does it
---@return any value
---@return stoke.error? err
function Journal:outcome(def, q, call, live)
  if self.diverged then return nil, self.diverged end
  if def.taped == false then
    return nil, errors.new("replay", ("%s cannot be recorded, so a journalled run does without it: %s"):format(def.name, def.why))
  end
  if def.derived then return live(def, q, call) end
  local context = call.context
  local key = frames.key(context.frame, def.name)
  local asked = asked_of(def, q)
  local digest, request, err = self:identify(def, asked)
  if err then return nil, err end
  call.key, self.count = key, self.count + 1
  if self.replaying and not context.inside then
    local row, cancelled
    row, err, cancelled = self:answer(key, def, asked, digest)
    if err then return nil, err end
    if row then return self:give(row, def, q, call) end
    live = cancelled and cut_off or live
  end
  if not request then
    request, err = self:kept(def, asked)
    if err then return nil, err end
  end
  return self:take(self:begin(key, def, q, request, digest, context.inside), def, q, call, live)
end

--- What the journal holds at this moment: all that is left where the process ends here.
---@return stoke.journal
function Journal:snapshot()
  local held = new(self.id, { deliveries = self.schedule and self.schedule:log() or self.deliveries })
  for i, row in ipairs(self.rows) do
    local outcome = row.outcome
    local own = { number = row.number, key = row.key, name = row.name, class = row.class, digest = row.digest,
      request = row.request, where = row.where, inside = row.inside, outcome = outcome, seen = row.seen, inline = row.inline,
      given = nil }
    if outcome and outcome.items then -- a stream's grows
      own.outcome = {}
      for name, value in next, outcome do own.outcome[name] = value end
      for _, list in ipairs { "items", "came" } do
        local grows = outcome[list]
        own.outcome[list] = grows and table.move(grows, 1, #grows, 1, {})
      end
      for at, item in ipairs(outcome.items) do -- those that are asked for are still to be filled
        local copy = {}
        for name, value in next, item do copy[name] = value end
        own.outcome.items[at] = copy
      end
    end
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

-- ---- runs -------------------------------------------------------------------------------------------------------------------

local Guard = { __close = function()
  ordered.leave()
  frames.count_runs(-1)
end }

--- Run f as a task that is a run of its own; what it returns, or its error.
local function run(journal, f, ...)
  local me = host.enter "a journalled run"
  if scopes.innermost(me).context.journal then errors.argument "a journalled run cannot begin another one inside itself" end
  ordered.enter()
  frames.count_runs(1)
  local _ <close> = setmetatable({}, Guard)
  local results
  local scope <close> = scopes.open { journal = journal, frame = frames.root(journal.id), one_frame = true,
    on_child_error = function(err) results = { n = 0, err = err } end }
  local task = tasks.start(scope, "run", function(...) results = table.pack(f(...)) end, ...)
  schedule.adopt(task, journal.schedule)
  scope:wait()
  if task.err then results = { n = 0, err = task.err } end
  local failed = journal.diverged or journal:failure() -- whatever the script has made of it
  if failed then results = { n = 0, err = failed } end
  return results
end

--- Run a function as a run of its own, and keep what its effects met.
---@param id string what its ids and random numbers follow from
---@param f function
---@param ... any its arguments
---@return stoke.journal
---@return { n: integer, err?: stoke.error } results what f returned, or the error it ended with
---Raises `argument` inside another run, `cancelled`.
function M.record(id, f, ...)
  local journal = new(id, { replaying = false, left_over = 0, schedule = schedule.record() })
  local results = run(journal, f, ...)
  journal.deliveries = journal.schedule:log()
  journal.schedule = nil
  return journal, results
end

--- Run the function again from a journal, which stays as it is. Where that ends the run goes on live.
---@param journal stoke.journal
---@param f function
---@param ... any its arguments
---@return { n: integer, err?: stoke.error } results
---@return stoke.journal journal of this run: the same rows, and those that followed
---Raises as M.record.
function M.replay(journal, f, ...)
  local again = new(journal.id, { replaying = true, left_over = 0, schedule = schedule.replay(journal.deliveries) })
  local held = journal:snapshot()
  again.rows, again.by_key = held.rows, held.by_key
  for _, row in ipairs(held.rows) do
    if not row.inside then again.left_over = again.left_over + 1 end
  end
  local load = require "core.env".globals.require
  for _, name in ipairs(journal.modules) do pcall(load, name) end -- one that is not there fails where it is required
  local results = run(again, f, ...)
  again.deliveries = again.schedule:log()
  again.schedule = nil
  return results, again
end

return M
