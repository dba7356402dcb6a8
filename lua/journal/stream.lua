--- The streams of a journalled run: each item is recorded as the run reads it, with whether it was there without a wait; a replay
--- gives them in their turns. A stream that the journal does not follow to its end breaks off there, with kind `interrupted`.

local errors = require "core.errors"
local plain = require "core.journal.plain"
local schedule = require "core.schedule"

local M = {}

--- Call a method of a source, which may wait; whether it did not.
local function outside(visible, f, ...)
  if not visible then return true, f(...) end
  schedule.begin()
  local item, err = f(...)
  return schedule.finish(), item, err
end

-- ---- recording --------------------------------------------------------------------------------------------------------------

local Recorder = {}
Recorder.__index = Recorder

function Recorder:keep(inline, item, err)
  local items = self.row.outcome.items
  if item ~= nil then
    local kept, odd = plain.copy(item)
    if odd then
      return nil, errors.new("script", ("%s: a journalled run keeps plain data alone, and %s"):format(self.row.name, odd))
    end
    if type(item) == "table" and item.type == "done" then self.done = item end
    items[#items + 1] = { value = kept, inline = inline }
    return item
  end
  items[#items + 1] = { ended = true, err = err and plain.copy(err), inline = inline, came = err and self:came() or nil }
  return nil, err
end

function Recorder:next(given) return self:keep(outside(self.visible, self.inner.next, self.inner, given)) end

--- All that is still to come, as one item: `rest` of a source that can do that.
local function record_rest(self) return self:keep(outside(self.visible, self.inner.rest, self.inner)) end

function Recorder:came() return self.inner.came and self.inner:came() or 0 end

function Recorder:close()
  if self.closed then return end
  self.closed = true
  self.row.outcome.closed = { inline = outside(self.visible, self.inner.close, self.inner) }
end

--- A source that keeps what is read from another.
---@param inner table a driver's source
---@param row stoke.journal.row
---@param visible boolean it is read by the run itself
---@return table source
function M.record(inner, row, visible)
  return setmetatable({ inner = inner, row = row, about = row.outcome.about, visible = visible,
  rest = inner.rest and record_rest }, Recorder)
end

-- ---- replaying --------------------------------------------------------------------------------------------------------------

local Player = { recorded = true }
Player.__index = Player

function Player:next()
  local item = self.row.outcome.items[self.position + 1]
  if not item then
    local _, failed = schedule.await()
    return nil, failed or errors.new("interrupted", ("%s broke off: its journal ends here"):format(self.row.name))
  end
  self.position, self.has_come = self.position + 1, item.came
  if not item.inline then
    local _, failed = schedule.await()
    if failed then return nil, failed end
  end
  if item.ended then return nil, item.err and plain.copy(item.err) end
  local value = plain.copy(item.value)
  if type(value) == "table" and value.type == "done" then self.done = value end
  return value
end

function Player:came() return self.has_come or 0 end

function Player:close()
  local closed = self.row.outcome.closed
  if self.closed then return end
  self.closed = true
  if closed and not closed.inline then schedule.await() end
end

--- A source that gives what was read.
---@param row stoke.journal.row
---@param q any the request
---@return table source
function M.replay(row, q)
  local outcome = row.outcome
  return setmetatable({ q = q, row = row, about = outcome.about, position = 0, rest = outcome.rests and Player.next }, Player)
end

return M
