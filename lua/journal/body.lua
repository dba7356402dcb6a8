--- The work of an effect, done live.

local budgets = require "core.gate.budget"
local contexts = require "core.context"
local coro = require "core.coro"
local errors = require "core.errors"
local frames = require "core.frame"
local scopes = require "core.scope"

local M = {}

local handler, xpcall = coro.handler, coro.raw_xpcall

--- What a body does is its own: nothing of it is visible to the run, and what it spends is counted apart, too. Through some one
--- can see: what is unsafe in them says so itself.
local function enter(scope, context, def, q, call)
  local budget = context.budget
  call.inside, call.meter = true, budget and budgets.metered(budget) or nil
  local through = context.inside ~= true and def.through and def.through(q)
  local made = contexts.in_frame(context, frames.body(context.frame, call.key), through and "through" or true, call.meter)
  scope.context = made
  return made
end

--- Do it; what it raises is an error, too.
---@param def stoke.effect
---@param q any
---@param call table
---@param live fun(def, q, call): any, stoke.error?
---@return any value
---@return stoke.error|nil err
---@return boolean|nil raised it was: a mistake of the caller
function M.done(def, q, call, live)
  local task = call.task
  local scope, unwinding, made = task.scope or task, task.unwinding, nil
  local context = scope.context
  if def.metered then made = enter(scope, context, def, q, call) end
  local ok, value, err = xpcall(live, handler, def, q, call)
  if made and scope.context == made then scope.context = context end
  if ok then return value, err end
  scopes.go_on(task, unwinding)
  return nil, errors.wrap(value), true
end

return M
