--- Effects on what hosts share: hosts.list, hosts.prune.

local effect = require "core.effect"
local errors = require "core.errors"
local hosts = require "core.runs.hosts"
local prune = require "core.runs.prune"

local function told(f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  return nil, errors.wrap(value)
end

effect.define("hosts.list", { class = "pure", run = function() return told(hosts.list) end })

effect.define("hosts.prune", { class = "idempotent", run = function(q) return told(prune.prune, q.older, q.dry) end })
