--- The order of a journalled run, see host/loop/schedule.h: what came from outside, and when, as a log that can be replayed.
---
--- The tasks of a run carry its schedule (`task.schedule`). What one of them makes belongs to the run, and what it touches has to:
--- channels, semaphores, tasks and scopes of another run, or of none, are the outside. Inside a live effect (from `begin` to
--- `finish`) a task is outside itself.

local host = require "host.schedule"
local current = require "host.task".current
local errors = require "core.errors"

local M = {}

---@class stoke.schedule: userdata
---@field log fun(self, from?: integer): string the bytes of its log from an offset on
---@field at_end fun(self): boolean everything in the log that it replays has come
---@field failure fun(self): string?, string? kind and message of why it can no longer be recorded or replayed
---@field mode fun(self): "record"|"replay"|"over" at the end of its log a replay goes on as a recording
---@field count fun(self): integer, integer resumes of its tasks so far, and how many tasks it had

--- There is, or was, a journalled run in this process: before the first one nobody looks any further.
M.any = false

--- Bytes that a log may grow to: some twenty million deliveries.
M.MAX = 64 * 1024 * 1024

--- The order of a new run.
---@param max? integer bytes of its log at most
---@return stoke.schedule
function M.record(max)
  local schedule, err = host.record(max or M.MAX)
  return schedule or error(err, 0)
end

--- The order of a run that has been recorded.
---@param log string
---@param max? integer bytes that the log may grow to where the run goes on
---@return stoke.schedule
function M.replay(log, max)
  local schedule, err = host.replay(log, max or M.MAX)
  return schedule or error(err, 0)
end

--- The task and all that it spawns from now on are a run of this order.
---@param task stoke.task
---@param schedule stoke.schedule a new one
function M.adopt(task, schedule)
  if task.state then errors.argument("schedule.adopt: the task has ended") end
  local done, err = host.adopt(schedule, task.co)
  if not done then error(err, 0) end
  task.schedule = schedule
  M.any = true
end

--- The running task begins a live effect: until `finish` it is outside of its run. They nest.
M.begin = host.begin

--- The live effect is through.
---@return boolean inline the task was not suspended; else the outcome is visible from here on, in its place in the order
function M.finish()
  if host.finish() then return true end
  host.deliver()
  return false
end

--- Wait for the place in the order where an outcome came that was not inline.
---@return boolean|nil given false: the log ends before it, so the effect is to be done, as the task's next one; nil: the run failed
---@return stoke.error? err
function M.await()
  if host.await() then return true end
  local task = current()
  local schedule = task and task.schedule
  if not schedule or schedule:mode() ~= "over" then return false end
  local kind, why = schedule:failure()
  return nil, errors.new(kind or "cancelled", why or "the run was cancelled while it was replayed")
end

--- The error that a task ends with because its run has failed: of the run's root, whatever its code has made of it.
---@param task stoke.task
---@return stoke.error|nil
function M.ended(task)
  if task.up and task.up.schedule == task.schedule then return nil end
  local kind, why = task.schedule:failure()
  return kind and errors.new(kind, why) or nil
end

-- ---- the boundary -----------------------------------------------------------------------------------------------------------

local ADVICE = {
  channel = "make the channel inside the run; from outside a run hears by what its effects return",
  semaphore = "make the semaphore inside the run, or limit what is called (a pool's width)",
  task = "spawn the task inside the run; what a run needs from outside it gets by an effect",
  scope = "open the scope inside the run; from outside cancel the run's task",
  session = "make the session inside the run, from what session:save() gave, and hand that in as an argument",
  timer = "named timers are the process's; inside a run a task that loops over stoke.sleep does the same",
  table = "hand in what it holds as an argument, and let the run return what is to be kept there",
}

--- Raise `argument` when the running code and an object are not of the same run. Asked where either has one.
---@param schedule stoke.schedule|false|nil the object's
---@param what "channel"|"semaphore"|"task"|"scope"|"session"|"timer"|"table" the last two belong to the process
---@param call string
function M.check(schedule, what, call)
  if not host.foreign(schedule) then return end
  local inside = host.foreign(nil) -- of some run
  local belongs = not schedule and "does not belong to the journalled run that uses it" or
    inside and "belongs to another journalled run" or "belongs to a journalled run, and is used from outside of it"
  errors.raise("argument", ("%s: the %s %s; a replay could not repeat that"):format(call, what, belongs), { hint = ADVICE[what] })
end

--- The schedule of what the running code makes: its task's, but not inside a live effect.
---@return stoke.schedule|false
function M.own()
  local task = current()
  local schedule = task and task.schedule
  return schedule and not host.foreign(schedule) and schedule or false
end

return M
