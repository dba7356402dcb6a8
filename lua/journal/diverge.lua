--- How a replayed run is told that it does not go as its journal says: the number, both requests where they part, the line.

local errors = require "core.errors"
local host = require "host.task"
local place = require "core.journal.place"

local M = {}

local HINT <const> = "the code is not that of the recording, or it works with what comes by no effect, such as a variable that "
  .. "other runs change: hand that in as input, or read it in a stoke.step"
local ADDRESS <const> = "the address of a table or function is another one in each process: let nothing that is asked depend on it"

--- The run asks what it did not ask when it was recorded. It is told once, and whatever it performs from now on meets the same.
---@param journal stoke.journal
---@param what string
---@param fields table
---@return stoke.error
local function diverge(journal, what, fields)
  journal.diverged = journal:failure()
  if journal.diverged then return journal.diverged end -- that came first
  local where = host.site()
  fields.number, fields.hint = journal.count, fields.hint or HINT
  journal.diverged = errors.new("replay", ("diverged at #%d: %s%s"):format(journal.count, what, where and "\n  in " .. where or ""),
    fields)
  journal:detach()
  return journal.diverged
end

--- The first row that nobody has asked for yet.
local function next_row(journal)
  for _, row in ipairs(journal.rows) do
    if not row.given and not row.inside then return row end
  end
end
M.next_row = next_row

--- An effect that is not in the journal, and the journal goes on.
---@param journal stoke.journal
---@param key string
---@param request any
---@return stoke.error
function M.unknown(journal, key, request)
  local row = next_row(journal)
  local text = ("%s was not asked by the run that was recorded"):format(key)
  if row then text = ("%s; there #%d comes next: %s %s"):format(text, row.number, row.key, place.shown(row.request)) end
  return diverge(journal, text .. "\n  asked:    " .. place.shown(request),
    { key = key, asked = request, recorded = row and row.request })
end

--- An effect whose request is another one.
---@param journal stoke.journal
---@param row stoke.journal.row
---@param request any
---@return stoke.error
function M.different(journal, row, request)
  local words, path, byte = place.difference(row.request, request)
  return diverge(journal, ("%s asks something else than #%d of the recording%s: %s"):format(row.key, row.number,
    row.where and " (" .. row.where .. ")" or "", words),
    { key = row.key, asked = request, recorded = row.request, path = path, byte = byte,
      hint = select(2, words:gsub("%f[%w]0x%x%x%x%x%x+", "")) > 1 and ADDRESS or nil })
end

--- The run has ended, and its journal has not; nil: it has.
---@param journal stoke.journal
---@param cause? stoke.error it ended with
---@return stoke.error|nil
function M.ended_early(journal, cause)
  local row = next_row(journal)
  if not row then return nil end
  return errors.new("replay", ("diverged at #%d: the run has ended, and its journal goes on: #%d comes next, %s %s%s"):format(
    journal.count, row.number, row.key, place.shown(row.request), row.where and "\n  in " .. row.where or ""),
    { number = journal.count, key = row.key, recorded = row.request, cause = cause, hint = HINT })
end

return M
