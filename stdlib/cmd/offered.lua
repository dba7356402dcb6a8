--- What the verbs share that offer a file to others and follow its changes: stoke acp, stoke mcp, stoke serve.

local reload = require "stoke.reload"
local script = require "core.script"
local stdio = require "core.stdio"
local stoke = require "stoke"

local M = {}

--- What a reload has changed is told, and offered.
---@param made { refresh: fun(self) }
---@param what string "the agents stay as they were"
---@param after? fun() once it is offered
function M.follow(made, what, after)
  reload.on_change(function(change)
    stdio.err(reload.text(change))
    if change.err then return end
    local _, err = stoke.try(made.refresh, made)
    if err then return stdio.err(("stoke: %s: %s\n"):format(what, tostring(err))) end
    if after then after() end
  end)
end

--- To be closed when nothing is offered any more.
M.restore = setmetatable({}, { __close = function()
  reload.watch(false)
  script.end_timers()
end })

return M
