--- Effects of the clock: time.now, time.monotonic, time.cpu, time.sleep.

local effect = require "core.effect"
local task = require "host.task"
local time = require "host.time"

effect.define("time.now", { run = time.wall, quiet = true, in_body = true, class = "pure" })
effect.define("time.monotonic", { run = time.monotonic, quiet = true, in_body = true, class = "pure" })
effect.define("time.cpu", { run = time.cpu, quiet = true, in_body = true, class = "pure" })
effect.define("time.sleep", { run = function(seconds) return task.park("time.sleep", seconds) end, quiet = true, class = "pure" })

--- Results that depend on the machine's time zone: { date = format, time = seconds } -> text or table; { fields } -> seconds. Only
--- recorded code uses this effect; elsewhere lua/env.lua computes them directly.
effect.define("time.zone", { quiet = true, in_body = true, class = "pure", run = function(q, call)
  local tape = call and call.context.tape
  local elsewhere = tape and tape.elsewhere and tape:elsewhere()
  if elsewhere then return nil, elsewhere end
  if q.fields then return os.time(q.fields) end
  return os.date(q.date, q.time)
end })
