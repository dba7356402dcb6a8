--- Named timers and tables that survive a reload of the files that created them.

local combine = require "core.combine"
local errors = require "core.errors"
local modules = require "core.modules"
local schedule = require "core.schedule"
local script = require "core.script"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

-- ---- timers ---------------------------------------------------------------------------------------------------------------

local timers = {} -- name -> { seconds, f, task }

local function timer_loop(timer)
  while true do
    time.sleep(timer.seconds)
    local _, err = combine.try(timer.f)
    if err and err.kind ~= "exit" then
      local traceback = errors.bug(err) and rawget(err, "traceback")
      require("stoke.log").error("a timer failed", { timer = timer.name, error = tostring(err),
        traceback = traceback and errors.own_frames(traceback) or nil })
    end
  end
end

--- Give a timer another function (reload); the current interval continues.
local function swap(timer, f)
  local before = timer.f
  modules.changed(timer, { seconds = timer.seconds, f = before })
  modules.undo(function() timer.f = before end)
  timer.f = f
end

--- End the timer, unless another has its name by now.
local function stop(timer, message)
  if timers[timer.name] == timer then timers[timer.name] = nil end
  timer.task:cancel(message)
end

--- Call a function every `seconds`. A second call with the same name replaces the timer. The timer belongs to the host, not
--- to the caller; an error in `f` is logged and the timer continues.
---@param name string
---@param seconds number
---@param f function
---@return stoke.task
---
--- Example: `stoke.every("heartbeat", 60, function() print("alive") end)`
function M.every(name, seconds, f)
  if type(name) ~= "string" then errors.argument("stoke.every: the name must be a string, got %s", type(name)) end
  errors.check_seconds(seconds, "stoke.every")
  errors.check_callable(f, "stoke.every")
  if schedule.any then schedule.check(nil, "timer", "stoke.every") end
  local old = timers[name]
  if modules.change and old and old.seconds == seconds and not old.task.state then
    swap(old, f)
    modules.made("timer", name, old)
    return old.task
  end
  local timer = { name = name, seconds = seconds, f = f, stop = stop }
  timer.task = tasks.start(script.timers(), "every " .. name, timer_loop, timer)
  timers[name] = timer
  if old then modules.commit(function() old.task:cancel "replaced" end) end
  modules.undo(function()
    timers[name] = old
    timer.task:cancel "the reload failed"
  end)
  modules.made("timer", name, timer)
  return timer.task
end

-- ---- tables ---------------------------------------------------------------------------------------------------------------

local states = {}

--- A named table that lives as long as the process and survives reloads of the file that uses it.
---@param name string
---@param default? table initial content; fields that are missing later are added from it
---@return table
---Raises `argument`.
---
--- Example: `local seen = stoke.state("seen", { count = 0 })`
function M.state(name, default)
  if type(name) ~= "string" then errors.argument("stoke.state: the name must be a string, got %s", type(name)) end
  if default ~= nil and type(default) ~= "table" then
    errors.argument("stoke.state: the default must be a table, got %s", errors.describe(default))
  end
  if schedule.any then schedule.check(nil, "table", "stoke.state") end
  local state = states[name]
  if not state then
    state = {}
    states[name] = state
    modules.undo(function() states[name] = nil end)
  end
  for key, value in next, default or {} do
    if rawget(state, key) == nil then
      rawset(state, key, value)
      modules.undo(function() rawset(state, key, nil) end)
    end
  end
  return state
end

return M
