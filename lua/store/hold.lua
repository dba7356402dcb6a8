--- A log whose batches cannot be written for now: the disk is full, it fails, or another program holds a lock. They stay in memory
--- and are tried again, as they are; the run waits at its next effect. So what has come of an effect that must not be done twice is
--- lost only with the process. What can be kept so is bounded: nothing new is begun meanwhile.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local tasks = require "core.task"

local M = {}

--- Seconds for which a disk that fails, or a lock, is tried again; for a full disk there is no such limit.
M.PATIENCE = 30

local FIRST <const>, LONGEST <const> = 0.1, 30 -- seconds between two attempts

-- Of SQLite's codes: those of a full disk, and those that may pass.
local FULL <const> = "^SQLITE_FULL"
local PASSING = { FULL, "^SQLITE_IOERR_WRITE$", "^SQLITE_IOERR_FSYNC$", "^SQLITE_IOERR_TRUNCATE$", "^SQLITE_BUSY" }

-- Batches that are remembered beside the last one, until it is known that they are written.
local UNDER_WAY <const> = 32

---@class stoke.store.held
---@field err stoke.error of the first batch that was not written
---@field task stoke.task that tries again
---@field waiting table[] tasks that wait until it is over
---@field over? boolean

local function passes(err)
  local code = err.kind == "db" and tostring(err.code) or ""
  for _, pattern in ipairs(PASSING) do
    if code:find(pattern) then return true end
  end
  return false
end

--- Remember a batch, as another one follows it.
---@param open table[] tickets of a log that are under way; those at its beginning are forgotten once they are written
---@param ticket table
function M.keep(open, ticket)
  open[#open + 1] = ticket
  while open[UNDER_WAY] and open[1].done and open[1]:wait() do table.remove(open, 1) end
end

--- The batches of which it is not known that they are written, in their order.
local function tickets_of(log)
  local list = {}
  local function add(ticket)
    if not (ticket.done and ticket:wait()) then list[#list + 1] = ticket end
  end
  for _, ticket in ipairs(log.open) do add(ticket) end
  if log.ticket then add(log.ticket) end
  return list
end

--- Hand over the batches that were not written once more.
---@return boolean|nil ok they are written
---@return stoke.error|nil err of the first that is not
local function again(log)
  local list = tickets_of(log)
  log.db:mend(log.run)
  local failed
  for _, ticket in ipairs(list) do
    if not failed then failed = select(2, ticket:again(log.db)) end
  end
  for _, ticket in ipairs(list) do
    local ok, err = ticket:wait()
    if not ok then failed = failed or err end
  end
  return not failed, failed
end

--- The first of a log's batches that were not written, when the fate of all is known.
local function first_error(log)
  local failed
  for _, ticket in ipairs(tickets_of(log)) do
    local ok, err = ticket:wait()
    if not ok then failed = failed or err end
  end
  return failed
end

--- They are written, and what was gathered meanwhile follows; or nothing is written any more.
local function finish(log, held, err)
  held.over, log.held = true, false
  log.ticket, log.open, log.failed = nil, {}, log.failed or err
  if not err then log:flush() end
  if log.told then log.told() end
  for _, task in ipairs(held.waiting) do tasks.wake(task) end
end

local function work(log, held)
  local began, pause = monotonic(), FIRST
  held.err = first_error(log) or held.err
  local err = held.err
  while passes(err) and (err.code == "SQLITE_FULL" or monotonic() - began < M.PATIENCE) do
    if host.park("room on the disk", pause) == nil or held.over then return end
    pause = math.min(pause * 2, LONGEST)
    err = select(2, again(log))
    if held.over then return end
    if not err then return finish(log, held) end
  end
  finish(log, held, err)
end

--- A batch was not written: keep it and those behind it, if that may pass.
---@param log stoke.store.log
---@param err stoke.error
---@return boolean held false: it does not pass by itself, or nobody waits for that
function M.begin(log, err)
  if not log.told or not passes(err) or M.PATIENCE <= 0 and err.code ~= "SQLITE_FULL" then return false end
  local held = { err = err, waiting = {} }
  log.held = held
  log.told(err)
  held.task = tasks.spawn(work, { system = true, name = "journal" }, log, held)
  return true
end

--- Wait until it is over, well or not.
---@param log stoke.store.log
---@return stoke.error|nil err kind `cancelled`
function M.wait(log)
  local held = log.held
  while held and not held.over do
    held.waiting[#held.waiting + 1] = tasks.current()
    local woken, err = host.park "room on the disk"
    if woken == nil then return err end
  end
end

--- Its process ends, or gives the run up: one attempt more, for which nobody waits.
---@param log stoke.store.log
function M.leave(log)
  local held = log.held
  if not held then return end
  if log.told then log.told() end
  held.over, log.held, log.told = true, false, nil
  log.db:mend(log.run)
  for _, ticket in ipairs(tickets_of(log)) do
    if ticket.done then ticket:again(log.db) end -- else it is under way
  end
  log:flush()
  tasks.wake(held.task)
  for _, task in ipairs(held.waiting) do tasks.wake(task) end
end

return M
