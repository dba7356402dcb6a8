--- Effects that read the environment: env.get {name=} -> value or nil; env.names -> sorted array.

local effect = require "core.effect"
local host = require "host.env"
local secrets = require "core.secrets"

--- A secret is remembered, so that it is found where it would leave.
local function get(q)
  local value = host.get(q.name)
  if value and secrets.named(q.name) then require "core.redact".learn_variable(value, q.name) end
  return value
end

effect.define("env.get", { in_body = true, class = "pure", run = get,
  secret = function(q) return secrets.named(q.name) and q.name or nil end })
effect.define("env.names", { in_body = true, class = "pure", run = function() return host.names() end })
