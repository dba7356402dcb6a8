--- Effects of the clock: time.now, time.monotonic, time.cpu, time.sleep.

local effect = require "core.effect"
local task = require "host.task"
local time = require "host.time"

effect.define("time.now", { run = time.wall, quiet = true, in_body = true, class = "pure", at_once = true })
effect.define("time.monotonic", { run = time.monotonic, quiet = true, in_body = true, class = "pure", at_once = true })
effect.define("time.cpu", { run = time.cpu, quiet = true, in_body = true, class = "pure", at_once = true })

--- What is left of some seconds, for an effect that began in another process: the time between counts.
---@param seconds number
---@param call? table
---@return number
local function left_of(seconds, call)
  if not call or not call.since then return seconds end
  return math.min(seconds, math.max(0, call.since + seconds - time.wall()))
end

local LONG <const> = 10 -- seconds from which on a run is said to wait

effect.define("time.sleep", { quiet = true, class = "pure", run = function(seconds, call)
  if not call or not call.since then return task.park("time.sleep", seconds) end
  local left = left_of(seconds, call)
  if left < LONG then return task.park("time.sleep", left) end
  local at = math.floor(time.wall() + left)
  local awake = call.context.journal:waits_for("a timer, until " .. os.date("!%Y-%m-%d %H:%M:%S UTC", at))
  local woken, err = task.park("time.sleep", left)
  awake()
  return woken, err
end })

--- Results that depend on the machine's time zone: { date = format, time = seconds } -> text or table; { fields } -> seconds. Only
--- recorded code uses this effect; elsewhere lua/env.lua computes them directly.
effect.define("time.zone", { quiet = true, in_body = true, class = "pure", run = function(q, call)
  local tape = call and call.context.tape
  local elsewhere = tape and tape.elsewhere and tape:elsewhere()
  if elsewhere then return nil, elsewhere end
  if q.fields then return os.time(q.fields) end
  return os.date(q.date, q.time)
end })

--- The clocks themselves, for what stands for another machine: the time there is no effect of a script's.
return { monotonic = time.monotonic, wall = time.wall }
