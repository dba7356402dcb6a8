--- A run is put down in the middle of its life and taken up again from its journal, by the same process: its code has changed. That
--- is done when nothing of it is at work that would have to be done again. Until then, whoever has got an outcome waits.

local errors = require "core.errors"
local host = require "host.task"

local M = {}

--- They may be left and begun again at any time.
local WAITS <const> = { ["time.sleep"] = true, ["run.signal"] = true, ["run.await"] = true }

--- Is something of it at work?
local function busy(journal)
  if journal.replaying and not journal:at_end() then return false end -- it is not alive yet
  for i = #journal.rows, 1, -1 do
    local row = journal.rows[i]
    local outcome = row.outcome
    if not row.inside then
      if not outcome and not WAITS[row.name] and not row.asks then return true end
      local items = outcome and outcome.items
      local last = items and items[#items]
      if items and not outcome.closed and not (last and last.ended) then return true end
    end
  end
  return false
end

--- Put it down, if nothing is at work.
---@param journal stoke.journal
function M.try(journal)
  if journal.stopped or busy(journal) then return end
  journal:stop(errors.new("parked", "the code of the run has changed", { moves = true }))
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
