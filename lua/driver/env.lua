--- Effects that read the environment: env.get {name=} -> value or nil; env.names -> sorted array.

local effect = require "core.effect"
local host = require "host.env"

effect.define("env.get", { in_body = true, run = function(q) return host.get(q.name) end })
effect.define("env.names", { in_body = true, run = function() return host.names() end })
