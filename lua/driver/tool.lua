--- The effect of a tool: tool.call { name, args, id, agent, needs_approval, idempotent }.
---
--- The request is data; the function that does the work comes beside it. What it raises is the outcome, a value like any other
--- driver's: only `cancelled` of the calling task goes on as itself.

local effect = require "core.effect"
local approval = require "core.approval"
local handler = require "core.coro".handler
local errors = require "core.errors"

local M = {}

local function run(q, call, work)
  local ok, value = xpcall(work, handler, q, call and call.span and call.span.id, call)
  if ok then return value end
  return nil, errors.wrap(value)
end

--- Request -> fun(usage): told what the agents in a tool's body used that a replay does not run.
local users = setmetatable({}, { __mode = "k" })

effect.define("tool.call", { run = run, approvable = true, subject = function(q) return "tool", q.name end, metered = true,
  class = function(q) return q.idempotent and "idempotent" or "unsafe" end,
  given = function(q, facts)
    if facts.nested and users[q] then users[q](facts.nested) end
  end })

--- Perform the call of a tool.
---@param q { name: string, args: table, id?: string, agent?: string, needs_approval?: boolean, idempotent?: boolean }
---@param work fun(q: table, span?: integer, call?: table): any does the work; q.edited says that a person changed q.args, span is
---  the number of the call in the trace; of call, `inside` and `nested` are the journal's (lua/journal.lua)
---@param on_pending? fun(entry: stoke.pending) told when it waits for an approval
---@param on_used? fun(usage: table) told what the body of a replayed call used
---@return any value
---@return stoke.error|nil err
function M.call(q, work, on_pending, on_used)
  if on_used then users[q] = on_used end
  if on_pending then approval.watchers[q] = on_pending end
  return effect.perform("tool.call", q, work)
end

return M
