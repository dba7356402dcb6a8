--- The terms of one call: its class, its deadline and its route, see lua/terms.lua. For calls that have some; most have none.

local core = require "core.terms"
local errors = require "core.errors"
local routes = require "stoke.config.routes"
local scopes = require "core.scope"
local current = require "core.task".current

local M = {}

--- A call that names no model takes the one of its route.
---@param what string
---@param given table not changed
---@return table given with a model, where its route has one
---Raises `argument`, `usage`.
function M.with_model(what, given)
  local out = {}
  for name, value in next, given do out[name] = value end
  out.model = routes.model(what, nil, given.route)
  return out
end

--- Does a call say anything of this?
---@param given table
---@return boolean
function M.has(given) return given.class ~= nil or given.deadline ~= nil end

--- The target of a call that has a class or a deadline of its own.
---@param what string
---@param given table
---@param target stoke.target
---@return stoke.target
---Raises `argument`.
function M.target(what, given, target)
  local list = { class = core.check(what, given.class) }
  if given.deadline ~= nil then
    errors.check_seconds(given.deadline, what .. ": deadline")
    list.deadline = core.now() + given.deadline
  end
  for name, value in next, target.candidates do list[name] = value end
  return setmetatable({ candidates = list }, { __index = target })
end

local function late(what, given, target)
  return errors.new("deadline", ("%s: %s did not answer within %g s"):format(what, target.name, given.deadline),
    { seconds = given.deadline, model = target.name,
      hint = "deadline counts from the call on, the wait for a slot and the load of the model among it" })
end

--- Make a call whose deadline ends it.
---@param what string
---@param given table { deadline = seconds }
---@param target stoke.target
---@param f fun(...): any, stoke.error?
---@return any value
---@return stoke.error? err
---Raises `cancelled`, and what f raises.
function M.within(what, given, target, f, ...)
  local arguments = table.pack(...)
  local outer = current()
  outer = outer and scopes.innermost(outer)
  local ends = core.now() + given.deadline
  local ok, value, err = pcall(function()
    local scope <close> = scopes.open { deadline = given.deadline } -- luacheck: ignore
    local value, err = f(table.unpack(arguments, 1, arguments.n))
    if type(value) == "table" and value.move then value:move(outer) end -- a stream goes on
    return value, err
  end)
  if not ok then
    if not errors.is(value) or value.kind ~= "deadline" or value.seconds ~= given.deadline then error(value, 0) end
    return nil, late(what, given, target)
  end
  if type(value) == "table" and value.bound then value:bound(math.max(ends - core.now(), 0), late(what, given, target)) end
  return value, err
end

return M
