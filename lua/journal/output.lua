--- What a journalled run prints. Its texts leave in order, by a task of the host's own: so a slow reader is no wait of the run's
--- that a replay would have to repeat. With a log they leave after the commit of the journal that would skip them, so no text is
--- shown twice; what was committed and not yet written when the process was killed is lost. Where a commit fails (a full disk) they
--- are dropped: the run prints them again when it goes on.

local effect = require "core.effect"
local errors = require "core.errors"
local flush = require "host.stdio".flush
local park = require "host.task".park
local stdio = require "core.stdio"
local tasks = require "core.task"

local M = {}

--- Bytes after which a run waits, by an effect of its own, until its reader has kept up.
M.PART = 1 << 20

---@class stoke.journal.output
---@field list table[] to be written, the first at `first`
---@field shown integer texts that the run has written so far, those that were skipped, too
---@field skip integer texts that were shown before this process
---@field bytes integer written by the run since it last looked at its reader
---@field gone? stoke.error the reader has gone

---@param skip integer
---@return stoke.journal.output
function M.new(skip) return { list = {}, first = 1, shown = 0, skip = skip, bytes = 0, writer = nil, gone = nil } end

local function wake_all(output)
  local waiting = output.waiting
  output.waiting = nil
  for _, task in ipairs(waiting or {}) do tasks.wake(task) end
end

local function write(output, text)
  if output.gone then return end
  local ok, err = pcall(text.fd == 1 and stdio.write or stdio.err, text.text)
  if not ok then output.gone = errors.wrap(err) end
end

--- Write what is there, until nothing is.
local function drain(output, commit)
  while output.list[output.first] do
    local last = #output.list
    local err = commit and commit()
    local kept = not err or err.kind == "cancelled"
    while output.first <= last do
      local text = output.list[output.first]
      output.list[output.first] = false
      output.first = output.first + 1
      if kept then write(output, text) end
    end
  end
  output.list, output.first, output.writer = {}, 1, nil
  wake_all(output)
end

--- Write a text of the run when its turn comes.
---@param output stoke.journal.output
---@param fd integer
---@param text string|nil nil: somebody else has taken it
---@param size integer of it
---@param commit? fun(): stoke.error? waits until the journal is kept that skips it
---@return boolean full so much was written that the run has to look at its reader
function M.put(output, fd, text, size, commit)
  output.shown, output.bytes = output.shown + 1, output.bytes + size
  if text and output.shown > output.skip then
    output.list[#output.list + 1] = { fd = fd, text = text }
    output.writer = output.writer or tasks.spawn(drain, { system = true, name = "output of a run" }, output, commit)
  end
  if output.bytes < M.PART then return false end
  output.bytes = 0
  return true
end

--- Wait until all is written.
---@param output stoke.journal.output
---@return stoke.error|nil err kind `cancelled`; of the reader that has gone
function M.wait(output)
  while output.writer do
    output.waiting = output.waiting or {}
    table.insert(output.waiting, tasks.current())
    local woken, err = park "output of a run"
    if woken == nil then return err end
  end
  flush() -- what a pipe takes at once is no longer lost with this process
  return output.gone
end

--- The effect of a run that has written a part: it waits until that has left.
effect.define("output.room", { class = "pure", quiet = true, run = function(_, call)
  local journal = call and call.context.journal
  local err = journal and M.wait(journal.output)
  if err then return nil, err end
end })

return M
