--- The effect of asking an MCP server: mcp.request { server, method, params, class }. The request is data; the connection beside it
--- asks, in tasks of the host's. So a durable run records what the server answered, and its replay starts no server.

local host = require "host.task"
local effect = require "core.effect"

local M = {}

effect.define("mcp.request", { run = function(q, _, job) return job:ask(q) end, aside = { "timeout" }, repeats = true,
  class = function(q) return q.class or "unsafe" end })

--- Ask a server.
---@param q { server: string, method: string, params?: table, class?: "pure"|"idempotent"|"unsafe", timeout?: number } pure data
---@param job { ask: fun(self, q: table): any, stoke.error? }
---@return any result
---@return stoke.error|nil err
---Raises `cancelled`.
---
--- Example: `local result, err = mcp.perform({ server = "files", method = "tools/list", class = "pure" }, job)`
function M.perform(q, job) return effect.perform("mcp.request", q, job) end

--- Suspend the running task, until it is woken, the time is up, or it is cancelled. Raises nothing, for an effect's driver.
---@param label string
---@param seconds? number
---@return boolean|nil woken false: the time is up; nil: cancelled
---@return stoke.error|nil err
function M.wait(label, seconds) return host.park(label, seconds) end

return M
