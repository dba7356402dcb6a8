--- Effects that read the environment: env.get {name=} -> value or nil; env.names -> sorted array.

local effect = require "core.effect"
local host = require "host.env"
local secrets = require "core.secrets"

effect.define("env.get", { in_body = true, class = "pure", run = function(q) return host.get(q.name) end,
  secret = function(q) return secrets.named(q.name) and q.name or nil end })
effect.define("env.names", { in_body = true, class = "pure", run = function() return host.names() end })
