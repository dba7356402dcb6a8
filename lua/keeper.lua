--- The keeper: the system task that handles the host's events: alarms, signals, tasks that died, a deadlock.

local host = require "host.task"
local errors = require "core.errors"
local runs = require "host.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- When the process began: seconds since 1970.
M.began = time.wall()

local SIGNALS = { [1] = { name = "SIGHUP", exit = 129 }, [2] = { name = "SIGINT", exit = 130 },
  [15] = { name = "SIGTERM", exit = 143 } }

--- Signal handler: fun(number, name). A terminal program may set it; nil restores the default.
M.on_signal = nil

--- Deadlock handler: fun(err), returns true if it has handled it. A session cancels the line that waits, and goes on.
M.on_deadlock = nil

--- Terminal handler: fun(news), a bit set: 1 resized, 2 the process continues after a stop, 4 it is asked to stop.
M.on_terminal = nil

--- The first task; a signal cancels it.
M.main = nil

--- The task that os.exit ends if it is not the main task: a script that is run again when its file changes.
M.script = nil

--- What is left to do before the process ends: fun(); see M.at_end.
M.last = nil

local ends = {}

local function run_ends()
  for i = #ends, 1, -1 do pcall(ends[i]) end
end

--- Something is left to do before the process ends. What is told last is done first; one function is done once.
---@param f fun() takes few seconds; an error of it is nobody's
---
--- Example: `keeper.at_end(M.flush)`
function M.at_end(f)
  M.last = run_ends
  for _, other in ipairs(ends) do
    if other == f then return end
  end
  ends[#ends + 1] = f
end

--- Wait at the end of the process: raises nothing, whatever was cancelled.
---@param label string
---@param seconds number
---@return boolean|nil woken false: the time is up; nil: the host is stopping
---
--- Example: `keeper.wait("otlp", 2)`
function M.wait(label, seconds) return (host.park(label, seconds)) end

--- Report the error that ends the program as one JSON object (option --json of a verb).
M.json = false

--- End the program with this exit code: cancels the first task, so that no pcall can swallow it.
---@param code integer
function M.exit(code)
  M.exit_code = code
  local task = M.script or M.main
  if task then task:cancel "the script called os.exit" end
end

local function signal_of(number) return SIGNALS[number] or { name = "signal " .. number, exit = 128 + number } end

--- The exit code of a signal that arrived while the main task was ending by itself: when a terminal closes, its reader gets an
--- error or the end of the input at the same time as the signal.
---@param done boolean the task has ended without an error
---@return integer|nil
function M.late_exit(done)
  local number = host.signal()
  return number and (number == 1 or not done) and signal_of(number).exit or nil
end

local function on_signal(number)
  local signal = signal_of(number)
  if M.on_signal then
    host.forget_signal()
    return M.on_signal(number, signal.name)
  end
  M.exit_code = signal.exit
  if M.main then M.main:cancel(signal.name) end
end

local function on_deadlock()
  local waiting = {}
  for _, entry in ipairs(tasks.list()) do
    if #waiting < 5 then
      waiting[#waiting + 1] = ("%s waits for %s%s"):format(entry.name or ("the task of " .. entry.site), entry.waits or "?",
        entry.at and " at " .. entry.at or "")
    end
  end
  local err = errors.new("script", "deadlock: nothing is left that could wake a task: " .. table.concat(waiting, "; "))
  if M.on_deadlock and M.on_deadlock(err) then return end
  M.deadlock = err
  if M.main and not M.main.state then
    scopes.cancel(M.main, errors.new("cancelled", err.message))
  else
    io.stderr:write(("stoke: %s\n"):format(err.message))
    host.stop(1)
  end
end

local handlers = {
  alarm = function(alarm)
    alarm:begin()
    local about = alarm:about()
    about.on_alarm(about)
  end,
  signal = function(_, number) on_signal(number) end,
  died = function(record, why) tasks.died(record, why) end,
  deadlock = on_deadlock,
  -- cancel, cut, failed: a replay repeats what came from outside the run, or the run cannot go on as it was recorded
  cancel = function(task, why)
    runs.cancel(task.co, why)
    scopes.cancel(task, errors.new("cancelled", why))
  end,
  cut = function(task) task:cut_off(0) end,
  failed = function(task, kind, why)
    if task and not task.state then scopes.child_failed(task, task, errors.new(kind, why)) end
  end,
  terminal = function(_, news) if M.on_terminal then M.on_terminal(news) end end,
}

--- Handle one event. An event whose handler fails is lost (an alarm never fires), so the host exits rather than hang.
local function handle_event(kind, ...)
  local ok, err = xpcall(handlers[kind], debug.traceback, ...)
  runs.acted()
  if ok then return end
  io.stderr:write(("stoke: %s: %s\n"):format(kind, tostring(err)))
  host.stop(1)
end

--- Others wait for the work of a task of the host: better to exit than to hang.
local function on_system_error(err, task)
  if task.on_error then return task:on_error(err) end
  io.stderr:write(("stoke: the task %s of the host failed: %s\n"):format(tostring(task.name), tostring(err)))
  host.stop(1)
end

--- Start the keeper, and say what comes of tasks that fail: whoever starts the first tasks tells their errors.
function M.start()
  tasks.root.on_child_error = function() end
  tasks.system.on_child_error = on_system_error
  tasks.spawn(function()
    while true do
      local ok, kind, payload, detail, more = pcall(host.next_event) -- raises when out of memory; the event is kept
      if ok and kind then handle_event(kind, payload, detail, more) end
    end
  end, { system = true, name = "keeper" })
end

return M
