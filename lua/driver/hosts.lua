--- Effects on the hosts that share runs: hosts.list.

local effect = require "core.effect"
local errors = require "core.errors"
local hosts = require "core.runs.hosts"

effect.define("hosts.list", { class = "pure", run = function()
  local ok, list = pcall(hosts.list)
  if ok then return list end
  return nil, errors.wrap(list)
end })
