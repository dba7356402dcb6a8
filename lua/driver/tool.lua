--- The effect of a tool: tool.call { name, args, id, agent, needs_approval, idempotent, through }. through: it is an agent.
---
--- What a body does to the world it does by effects, and a durable run sees which of them were begun: so the call as a whole is
--- in doubt only after one that changes something. With a C module in the process that is not known: the call has an intent itself.
---
--- The request is data; the job that comes beside it does the work. What it raises is the outcome, a value like any other
--- driver's: only `cancelled` of the calling task goes on as itself.

local effect = require "core.effect"
local approval = require "core.approval"
local coro = require "core.coro"
local errors = require "core.errors"
local modules = require "core.modules"
local scopes = require "core.scope"
local current = require "core.task".current

local M = {}

local xpcall, handler = coro.raw_xpcall, coro.handler
local deliver = scopes.deliver

--- Do the work, in protected mode.
local function protected(f, ...)
  local task = current()
  local unwinding = task.unwinding
  local ok, value = xpcall(f, handler, ...)
  if ok then return value end
  scopes.go_on(task, unwinding)
  return nil, errors.wrap(value)
end

local function run(q, call, job) return protected(job.body, job, q, call and call.span, call) end

--- Request -> fun(usage): told what the agents in a tool's body used that a replay does not run.
local users = setmetatable({}, { __mode = "k" })

effect.define("tool.call", { run = run, approvable = true, subject = function(q) return "tool", q.name end, metered = true,
  class = function(q) return (q.idempotent or q.through) and "idempotent" or "unsafe" end,
  through = function(q) return not q.idempotent and (q.through or not modules.native) end,
  repeats = true,
  reconcile = function(_, call) return call.work and call.work.reconcile end,
  given = function(q, facts)
    if facts.nested and users[q] then users[q](facts.nested) end
  end })

local definition, straight = effect.about "tool.call", effect.straight

--- Does a call that needs no approval concern nobody but the tool? Then M.work does it, without a request.
---@return boolean
function M.straight() return straight(definition) end

--- Do the work of such a call.
---@param f function
---@param ... any its arguments
---@return any value
---@return stoke.error|nil err
function M.work(f, ...)
  local value, err = protected(f, ...)
  if err and err.kind == "cancelled" then deliver(current()) end
  return value, err
end

--- Does the work of a call; other fields are its own.
---@class stoke.tool.job
---@field body fun(job: stoke.tool.job, q: table, span?: core.span, call?: table): any q.edited says that a person changed q.args,
---  span is that of the call in the trace; of call, `inside` and `nested` are the journal's (lua/journal.lua)

--- Perform the call of a tool.
---@param q { name: string, args: table, id?: string, agent?: string, needs_approval?: boolean, idempotent?: boolean }
---@param job stoke.tool.job
---@param on_pending? fun(entry: stoke.pending) told when it waits for an approval
---@param on_used? fun(usage: table) told what the body of a replayed call used
---@return any value
---@return stoke.error|nil err
function M.call(q, job, on_pending, on_used)
  if on_used then users[q] = on_used end
  if on_pending then approval.watchers[q] = on_pending end
  return effect.perform("tool.call", q, job)
end

return M
