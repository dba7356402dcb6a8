--- A run is put down in the middle of its life and taken up again from its journal, by the same process: its code has changed. That
--- is done when nothing of it is at work that would have to be done again. Until then, whoever has got an outcome waits.

local errors = require "core.errors"
local host = require "host.task"

local M = {}

--- Is something of it at work? What waits for a timer, a signal, another run or a person may be left and begun again.
local function busy(journal)
  if journal.replaying and not journal:at_end() then return false end -- it is not alive yet
  if journal.log and journal.log.held then return true end -- what came of its work is not on the disk
  local waits = 0
  for _, entry in ipairs(journal.waiting) do
    if not entry.inside then waits = waits + 1 end
  end
  return journal.working > waits
end

--- Put it down, if nothing is at work.
---@param journal stoke.journal
function M.try(journal)
  if journal.stopped or busy(journal) then return end
  journal:stop(errors.new("parked", "the code of the run has changed", { moves = true }))
end

--- A stream has ended, or was closed.
---@param journal stoke.journal
---@param row stoke.journal.row
function M.left(journal, row)
  if not journal.streams or not journal.streams[row] then return end
  journal.streams[row] = nil
  journal.working = journal.working - 1
  if journal.moving then M.try(journal) end
end

--- The outcome of a row is there, and kept.
---@param journal stoke.journal
---@param row stoke.journal.row
---@param stream any a stream was opened: it is at work until it ends
function M.came(journal, row, stream)
  if stream then
    journal.streams = journal.streams or {}
    journal.streams[row] = true
    return
  end
  journal.working = journal.working - 1
  if journal.moving then M.hold(journal) end
end

--- It is to be put down as soon as it can be.
---@param journal stoke.journal
function M.ask(journal)
  journal.moving = true
  M.try(journal)
end

--- An outcome is there, and kept: go no further on the old code.
---@param journal stoke.journal
function M.hold(journal)
  M.try(journal)
  while not journal.stopped and journal.moving do
    if host.park "the code of the run has changed" == nil then return end
  end
end

return M
