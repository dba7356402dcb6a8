--- The order of a journalled run (host/loop/schedule.h): a log of external events and their times, which can be replayed.
---
--- The tasks of a run hold its schedule (`task.schedule`). Objects that they create belong to the run, and they may only use
--- objects of the run: channels, semaphores, tasks and scopes of another run, or of no run, are external. Inside a live effect
--- (from `begin` to `finish`) the task itself counts as external.

local host = require "host.schedule"
local tasks = require "host.task"
local errors = require "core.errors"

local current, park = tasks.current, tasks.park

local M = {}

---@class stoke.schedule: userdata
---@field log fun(self, from?: integer): string the bytes of its log from an offset on
---@field length fun(self): integer bytes of its log
---@field at_end fun(self): boolean the whole replayed log has been delivered
---@field failure fun(self): string?, string? kind and message of the error that ended recording or replay
---@field mode fun(self): "record"|"replay"|"over" at the end of its log a replay continues as a recording
---@field count fun(self): integer, integer resumes of its tasks so far, and how many tasks it had

--- There is a journalled run in this process; without one all checks stop here.
M.any = false

local adopted = 0

--- Limit of a log in bytes: some twenty million deliveries.
M.MAX = 64 * 1024 * 1024

--- The schedule of a new run.
---@param max? integer bytes of its log at most
---@return stoke.schedule
function M.record(max)
  local schedule, err = host.record(max or M.MAX)
  return schedule or error(err, 0)
end

--- The schedule of a recorded run.
---@param log string
---@param max? integer limit of the log in bytes if the run continues live
---@return stoke.schedule
function M.replay(log, max)
  local schedule, err = host.replay(log, max or M.MAX)
  return schedule or error(err, 0)
end

--- Make the task, and all that it spawns from now on, a run with this schedule.
---@param task stoke.task
---@param schedule stoke.schedule a new one
function M.adopt(task, schedule)
  if task.state then errors.argument("schedule.adopt: the task has ended") end
  local done, err = host.adopt(schedule, task.co)
  if not done then error(err, 0) end
  task.schedule = schedule
  adopted = adopted + 1
  M.any = true
end

--- A run whose task was adopted has ended, with all its tasks.
function M.leave()
  adopted = adopted - 1
  M.any = adopted > 0
end

--- The current task begins a live effect: until `finish` it counts as external to its run. Live effects nest.
M.begin = host.begin

--- The live effect has ended.
---@return boolean inline the task was not suspended; otherwise the outcome is delivered here, in its recorded place
function M.finish()
  if host.finish() then return true end
  host.deliver()
  return false
end

--- The same in two parts, for who writes down which of both it is before the outcome is delivered: `over`, and where that is false,
--- `deliver`, with nothing that waits between.
M.over, M.deliver = host.finish, host.deliver

--- Wait for the recorded place of an outcome that was not inline.
---@return boolean|nil given false: the log ends before it, so the caller must perform the effect now; nil: the run failed
---@return stoke.error? err
function M.await()
  if host.await() then return true end
  local task = current()
  local schedule = task and task.schedule
  if not schedule or schedule:mode() ~= "over" then return false end
  local kind, why = schedule:failure()
  return nil, errors.new(kind or "cancelled", why or "the run was cancelled while it was replayed")
end

--- The same for an outcome that is in the journal: where the log ends before its place, it has its place now.
---@return boolean|nil inline the task was not suspended; nil: the run failed
---@return stoke.error? err
function M.place()
  local given, err = M.await()
  if given == nil then return nil, err end
  if given then return false end
  M.begin()
  return M.finish()
end

local Held = { __close = function()
  host.pause(false)
  host.finish() -- it was no effect: nothing is delivered
end }

--- The current task of a replayed run waits, and nothing else of the run is resumed meanwhile. It then goes on as if it had not
--- been suspended. Nothing interrupts this wait: also who was cancelled can be looked at.
---@param label string
---@param waits fun(): boolean asked whenever the task is woken
function M.hold(label, waits)
  M.begin()
  host.pause(true)
  local _ <close> = setmetatable({}, Held)
  while waits() do park(label) end
end

--- The error of a failed run, with which its root task ends even if its code caught the error.
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
  mailbox = "make the mailbox inside the run; from outside a run hears by signals, and actors have mailboxes that last",
  session = "make the session inside the run, from what session:save() gave, and hand that in as an argument",
  timer = "named timers are the process's; inside a run a task that loops over stoke.sleep does the same",
  table = "hand in what it holds as an argument, and let the run return what is to be kept there",
}

--- Raise `argument` if the current code and an object belong to different runs. Called if either belongs to one.
---@param schedule stoke.schedule|false|nil the object's
---@param what "channel"|"semaphore"|"mailbox"|"task"|"scope"|"session"|"timer"|"table" the last two belong to the process
---@param call string
function M.check(schedule, what, call)
  if not host.foreign(schedule) then return end
  local inside = host.foreign(nil) -- the current code belongs to a run
  local belongs = not schedule and "does not belong to the journalled run that uses it" or
    inside and "belongs to another journalled run" or "belongs to a journalled run, and is used from outside of it"
  errors.raise("argument", ("%s: the %s %s; a replay could not repeat that"):format(call, what, belongs), { hint = ADVICE[what] })
end

--- The schedule for new objects of the current code: its task's, unless inside a live effect.
---@return stoke.schedule|false
function M.own()
  local task = current()
  local schedule = task and task.schedule
  return schedule and not host.foreign(schedule) and schedule or false
end

return M
