--- The log of a journal: what is new in it is handed on once a turn of the loop, or when a run waits until it is kept.
---
--- A log is what core.store gives for a run. Rows and deliveries that are handed over together are kept together, so what is left
--- after a crash is the journal of one moment.

local errors = require "core.errors"
local host = require "host.task"
local point = require "host.store".fault_point -- false, but in a test that kills the process
local rest = require "host.schedule".rest
local tasks = require "core.task"

local M = {}

---@class stoke.journal.log
---@field held? table|false what was handed over cannot be written for now (a full disk): it is tried again, and `room` is false
---@field leave? fun(log) it is tried no more
---@field count? integer rows that were gathered
---@field texts? boolean the journal need not remember what it has handed over; and it takes requests of the script as they are, and
---  has `text`
---@field text? fun(log, value): string?, stoke.error? a value as the log keeps it: nil, it is not plain data, or there is an error
---@field row fun(log, row, asked?): boolean? a row was begun; one with its number that is there is replaced. asked: its request,
---  where that is the script's own, which may change; false: that is not plain data, and nothing was begun
---@field value? fun(log, number, key, class, digest, where?, began, seen, at, text) where it has `texts`: a row that is begun and
---  has its outcome at once (core.store.log)
---@field outcome fun(log, row): stoke.error? its outcome is there; an error: that has taken its place
---@field intent fun(log, row) its work, which must not be done twice, is about to begin
---@field item fun(log, row, i: integer): stoke.error? an item of its stream
---@field came fun(log, row, i: integer)
---@field changed fun(log, row) anything else of it
---@field module fun(log, name: string)
---@field source fun(log, name: string, text: string)
---@field epoch fun(log) the run goes on in another process
---@field deliveries fun(log, bytes: string) of the order, since last time
---@field printed fun(log, count: integer)
---@field state fun(log, state: string, waits?: string)
---@field finish fun(log, state: string, result: any, err?: stoke.error, deliveries?: string)
---@field flush fun(log)
---@field commit fun(log): any, stoke.error? waits
---@field barrier fun(log): any, stoke.error? waits for the disk
---@field failure fun(log): stoke.error?
---@field room fun(log): boolean

local dirty, flusher, parked = {}, nil, false

--- Tell the log what else is new, beside rows.
local function gather(journal)
  local log = journal.log
  journal.dirty = false
  local order = journal.schedule
  local length = order and order:length() or journal.logged
  if length > journal.logged then
    log:deliveries(order:log(journal.logged))
    journal.logged = length
  end
  local output = journal.output
  if output.shown > journal.printed then
    log:printed(output.shown)
    journal.printed = output.shown
  end
  local state, waits = journal:state()
  if state ~= journal.told or waits ~= journal.told_waits then
    log:state(state, waits)
    journal.told, journal.told_waits = state, waits
  end
end

--- Hand over what is new. Does not wait.
---@param journal stoke.journal
function M.flush(journal)
  if not journal.log then return end
  gather(journal)
  journal.log:flush()
end

local function flush_all()
  local list = dirty
  dirty = {}
  for _, journal in ipairs(list) do
    if journal.dirty and journal.log then
      M.flush(journal)
      M.look(journal)
    end
  end
end

--- The task that hands over once a turn of the loop, just before the system is polled.
local function work()
  while true do
    while not dirty[1] do
      parked = true
      host.park "journal"
      parked = false
    end
    rest()
    flush_all()
  end
end

--- There is something new.
---@param journal stoke.journal
function M.touch(journal)
  if journal.dirty or not journal.log then return end
  journal.dirty = true
  dirty[#dirty + 1] = journal
  if not flusher then
    flusher = tasks.spawn(work, { system = true, name = "journal" })
  elseif parked then
    tasks.wake(flusher)
  end
end

--- Nothing more is kept: what there is is handed over.
---@param journal stoke.journal
function M.leave(journal)
  M.flush(journal)
  local log = journal.log
  if log and log.held then log:leave() end
end

--- Some append has failed: one of this journal?
---@param journal stoke.journal
function M.look(journal)
  local err = journal.log and journal.log:failure()
  if err then journal:stop(err) end
end

local function failed(journal, err)
  if err.kind == "cancelled" then return err end
  journal:stop(err)
  return journal.stopped
end

--- Wait until all that is new is committed: a process that is killed loses nothing of it.
---@param journal stoke.journal
---@return stoke.error|nil err
function M.commit(journal)
  if not journal.log then return journal.stopped end
  gather(journal)
  local _, err = journal.log:commit()
  return err and failed(journal, err) or nil
end

--- Rows that are gathered at most before they are handed over, though the run has not waited.
M.GATHERED = 200
local GATHERED = M.GATHERED

--- Before more is gathered: where there is much, hand it over; where the engine or the disk has no room for it, wait. The engine
--- gets less room when something is handed over, so the first row after that asks; a full disk is seen at once.
---@param journal stoke.journal
function M.make_room(journal)
  local log = journal.log
  local count = log.count
  if count and count > 1 and count < GATHERED and not log.held then return end
  if not log:room() then
    M.commit(journal)
  elseif count and count >= GATHERED then
    M.flush(journal)
  end
end

--- Wait until all that is new is on the disk, and what was printed is shown.
---@param journal stoke.journal
---@return stoke.error|nil err
function M.barrier(journal)
  if not journal.log then return journal.stopped end
  if point then
    M.flush(journal)
    point "barrier" -- what it makes durable is handed over, and not there
  end
  gather(journal)
  local _, err = journal.log:barrier()
  if err then return failed(journal, err) end
  return nil
end

--- What the run waits for that may take long, in words; the function that is returned tells that it is over.
---@param self stoke.journal
---@param words string
---@return fun()
function M.waits_for(self, words)
  local task = host.current()
  local entry = { words = words, inside = task and (task.scope or task).context.inside }
  table.insert(self.waiting, entry)
  M.touch(self)
  return function()
    for i, other in ipairs(self.waiting) do
      if other == entry then table.remove(self.waiting, i) end
    end
    M.touch(self)
  end
end

--- What is told of it: "waiting" for something that takes long, or "running".
---@param self stoke.journal
---@return string state
---@return string|nil waits
function M.state(self)
  local first = self.waiting[1]
  if not first then return "running" end
  local more = #self.waiting - 1
  return "waiting", more > 0 and ("%s, and %d more"):format(first.words, more) or first.words
end

--- Make sure of an error that stops a run: kind `parked`, with the words of what stopped it.
---@param cause stoke.error
---@return stoke.error
function M.parked(cause)
  if cause.kind == "parked" or cause.kind == "in_doubt" or cause.kind == "replay" then return cause end
  return errors.new("parked", "the run is parked: " .. cause.message, { hint = rawget(cause, "hint"), cause = cause })
end

return M
