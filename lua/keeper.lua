--- The keeper: the system task that answers what the host reports: alarms, signals, tasks that died, a deadlock.

local host = require "host.task"
local errors = require "core.errors"
local runs = require "host.schedule"
local scopes = require "core.scope"
local tasks = require "core.task"

local M = {}

local SIGNALS = { [1] = { name = "SIGHUP", exit = 129 }, [2] = { name = "SIGINT", exit = 130 },
  [15] = { name = "SIGTERM", exit = 143 } }

--- What a signal does: fun(number, name). A terminal program may take it over; nil gives the default back.
M.on_signal = nil

--- fun(err): true when it has been seen to. A session ends the line that waits in vain, and goes on.
M.on_deadlock = nil

--- What news of the terminal do: fun(news), bits of 1 resized, 2 the process goes on after a stop, 4 it is asked to stop.
M.on_terminal = nil

--- The first task; a signal cancels it.
M.main = nil

--- What os.exit ends, where that is not the whole program: a script that is run again when its file changes.
M.script = nil

--- The error that ends the program is told as one JSON object: a verb was given --json.
M.json = false

--- End the program with this exit code: cancels the first task, so nothing can swallow it.
---@param code integer
function M.exit(code)
  M.exit_code = code
  local task = M.script or M.main
  if task then task:cancel "the script called os.exit" end
end

local function signal_of(number) return SIGNALS[number] or { name = "signal " .. number, exit = 128 + number } end

--- The exit code of a signal that came while the first task was ending by itself: who reads from a terminal that is closed meets
--- an error, or the end of it, at the same time.
---@param done boolean the task has ended well
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
  -- of a journalled run: what is replayed was done from outside, and it cannot go on as it was recorded
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

--- Answer one event. What fails here is lost (an alarm that never fires), so the host ends rather than hang.
local function answer(kind, ...)
  local ok, err = xpcall(handlers[kind], debug.traceback, ...)
  runs.acted()
  if ok then return end
  io.stderr:write(("stoke: %s: %s\n"):format(kind, tostring(err)))
  host.stop(1)
end

--- Start the keeper.
function M.start()
  tasks.spawn(function()
    while true do
      local ok, kind, payload, detail, more = pcall(host.next_event) -- raises when out of memory; the event is still there
      if ok and kind then answer(kind, payload, detail, more) end
    end
  end, { system = true, name = "keeper" })
end

return M
