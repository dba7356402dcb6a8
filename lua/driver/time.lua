--- Effects of the clock: time.now, time.monotonic, time.cpu, time.sleep.

local effect = require "core.effect"
local task = require "host.task"
local time = require "host.time"

effect.define("time.now", { run = time.wall, quiet = true, in_body = true })
effect.define("time.monotonic", { run = time.monotonic, quiet = true, in_body = true })
effect.define("time.cpu", { run = time.cpu, quiet = true, in_body = true })
effect.define("time.sleep", { run = function(seconds) return task.park("time.sleep", seconds) end, quiet = true })
