--- The effect http.serve: opens a server, on a port or in memory.
---
--- Returns the native server of host.server: accept() returns exchanges and the numbers of those whose client has left. Incoming
--- requests and outgoing responses are no effects: they pass through the host directly.

local effect = require "core.effect"
local server = require "host.server"

effect.define("http.serve", { run = server.open, class = "unsafe", taped = false,
  why = "requests that come in begin runs of their own; serve outside, and begin a run for each" })

--- Split responses of in-memory servers into pieces of 1 to `max` random bytes, from `seed`; max = 0 ends it. For tests.
return { cut = server.cut }
