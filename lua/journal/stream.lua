--- The streams of a journalled run: each item is recorded as the run reads it, with whether it was there without a wait; a replay
--- gives them in their turns. A stream that the journal does not follow to its end breaks off there, with kind `interrupted`.

local errors = require "core.errors"
local handler = require "core.coro".handler
local logs = require "core.journal.keep"
local plain = require "core.journal.plain"
local redact = require "core.redact"
local schedule = require "core.schedule"

local M = {}

--- Call a method of a source, which may wait, and keep what came of it before the run sees that.
---@param note fun(item: any, err: any): table what is kept; its `inline` is set
local function outside(recorder, note, kept, f, ...)
  if recorder.visible then schedule.begin() end
  local ok, item, err = xpcall(f, handler, ...)
  local raised = not ok and errors.wrap(item) or nil
  if raised then item, err = nil, raised end
  kept.inline = not recorder.visible or schedule.over()
  item, err = note(recorder, kept, item, err, raised)
  if not kept.inline then schedule.deliver() end
  if raised then error(raised, 0) end
  return item, err
end

-- ---- recording -----------------------------------------------------------------------------------------------------------------

local Recorder = {}
Recorder.__index = Recorder

-- What a source raises is a mistake of its reader: one of two who wait at once gets it, and the other goes on.
local function keep(recorder, entry, item, err, raised)
  local kept, odd = plain.copy(item)
  if odd then
    item, err = nil, errors.new("script", ("%s: a journalled run keeps plain data alone, and %s"):format(recorder.row.name, odd))
  end
  if type(item) == "table" and item.type == "done" then recorder.done = item end
  if item ~= nil then entry.value = kept else entry.ended, entry.err = true, err and plain.copy(redact.error(err)) end
  entry.raised = raised and raised.kind ~= "cancelled" or nil
  local journal = recorder.journal
  if not journal.log then return item, err end
  local refused = journal:item(recorder.row, entry, entry.ended or item == recorder.done)
  if refused then return nil, refused end
  return item, err
end

-- Its place is that of the question, also where two ask at once.
local function entry_of(recorder)
  local items, entry = recorder.row.outcome.items, {}
  items[#items + 1] = entry
  return entry
end

--- While nothing can be written (a full disk), no more of it is read.
local function later(recorder, name, given)
  logs.make_room(recorder.journal)
  return recorder.inner[name](recorder.inner, given)
end

function Recorder:next(given)
  local inner, log = self.inner, self.journal.log
  if log and log.held then return outside(self, keep, entry_of(self), later, self, "next", given) end
  return outside(self, keep, entry_of(self), inner.next, inner, given)
end

--- All that is still to come, as one item: `rest` of a source that can do that.
local function record_rest(self)
  local inner, log = self.inner, self.journal.log
  if log and log.held then return outside(self, keep, entry_of(self), later, self, "rest") end
  return outside(self, keep, entry_of(self), inner.rest, inner)
end

--- How much had come is chance, too.
function Recorder:came()
  local outcome, came = self.row.outcome, self.inner.came and self.inner:came() or 0
  outcome.came = outcome.came or {}
  table.insert(outcome.came, came)
  self.journal:came(self.row, #outcome.came)
  return came
end

local function keep_close(recorder, closed, _, _, raised)
  closed.raised = raised and raised.kind ~= "cancelled" or nil
  recorder.row.outcome.closed = closed
  recorder.journal:changed(recorder.row)
end

function Recorder:close()
  if self.closed then return end
  self.closed = true
  outside(self, keep_close, {}, self.inner.close, self.inner)
end

--- A source that keeps what is read from another.
---@param inner table a driver's source
---@param row stoke.journal.row
---@param visible boolean it is read by the run itself
---@param journal stoke.journal
---@return table source
function M.record(inner, row, visible, journal)
  return setmetatable({ inner = inner, row = row, about = row.outcome.about, visible = visible, journal = journal,
    rest = inner.rest and record_rest }, Recorder)
end

-- ---- replaying -----------------------------------------------------------------------------------------------------------------

local Player = { recorded = true }
Player.__index = Player

--- Wait for the place of something that is kept; an error when the run failed. Second: the place is a new one.
local function wait_for(kept)
  if kept.inline then return nil end
  local inline, failed = schedule.place()
  if not failed then kept.inline = inline end
  return failed, inline
end

--- The journal ends before the stream does, and what it was read from is gone: that is kept like any other end.
local function interrupted(row)
  local err = errors.new("interrupted", ("%s broke off: its journal ends here"):format(row.name))
  return { ended = true, err = err }
end

--- Beyond the journal's end: from what its driver opens again, behind what was given.
local function go_on(player, items, position)
  local entry = {}
  items[position] = entry
  return outside(player, keep, entry, function()
    if not player.again then
      local source, err = player.resume(table.move(items, 1, position - 1, 1, {}))
      if not source then return nil, err end
      player.again = source
    end
    return player.again:next()
  end)
end

function Player:next()
  local items, position = self.row.outcome.items, self.position + 1
  self.position = position
  local item, journal = items[position], self.journal
  local broke = not item or item.value == nil and not item.ended
  if broke and journal.closed then return nil, journal:end_here() end
  if broke and self.resume then return go_on(self, items, position) end
  if broke then
    item = interrupted(self.row)
    items[position] = item
  end
  local failed, fresh = wait_for(item)
  if failed then return nil, failed end
  if (broke or fresh) and journal.log then journal:item(self.row, item) end
  if item.raised then error(plain.copy(item.err), 0) end
  if item.ended then return nil, item.err and plain.copy(item.err) end
  local value = plain.copy(item.value)
  if type(value) == "table" and value.type == "done" then self.done = value end
  return value
end

function Player:came()
  local outcome = self.row.outcome
  outcome.came = outcome.came or {}
  self.counted = (self.counted or 0) + 1
  if not outcome.came[self.counted] then
    outcome.came[self.counted] = 0 -- the journal ends before
    self.journal:came(self.row, self.counted)
  end
  return outcome.came[self.counted]
end

--- `again` is what its driver has opened in its place, where the journal ended before the run did.
function Player:close()
  local closed = self.row.outcome.closed
  if self.closed then return end
  self.closed = true
  if closed and select(2, wait_for(closed)) then self.journal:changed(self.row) end
  if self.again then outside(self, keep_close, {}, self.again.close, self.again) end
end

--- A source that gives what was read.
---@param row stoke.journal.row
---@param q any the request
---@param journal stoke.journal
---@param resume? fun(items: table[]): table?, stoke.error? a source that goes on behind the items
---@return table source
function M.replay(row, q, journal, resume)
  local outcome = row.outcome
  return setmetatable({ q = q, row = row, journal = journal, visible = not row.inside, about = outcome.about, position = 0,
    resume = resume, rest = outcome.rests and Player.next }, Player)
end

return M
