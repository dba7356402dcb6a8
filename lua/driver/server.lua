--- The effect of serving: http.serve opens a server, on a port or in memory.
---
--- What it gives is the native server of host.server: accept() yields exchanges and the numbers of those whose client has
--- left. Requests that come in are the world's doing, answers are the program's: both pass the host directly.

local effect = require "core.effect"
local server = require "host.server"

effect.define("http.serve", { run = server.open, class = "unsafe", taped = false,
  why = "requests that come in begin runs of their own; serve outside, and begin a run for each" })

--- Cut answers in memory into pieces of 1 to `max` bytes, by a generator seeded with `seed`; max = 0 ends it. For tests.
return { cut = server.cut }
