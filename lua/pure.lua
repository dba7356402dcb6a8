--- Code that has to give the same whenever it is run on the same data: steps of a world. No effect is performed in it, it waits for
--- nothing and spawns nothing, and `pairs` and `next` of scripts go in an order.

local errors = require "core.errors"
local ordered = require "core.ordered"
local scopes = require "core.scope"
local slice = require "host.task".slice

local M = {}

local Leaving = { __close = function() ordered.pure(false) end }

--- Refused by lua/effect.lua, since the context of the scope says so.
local function refuse(effect, only)
  errors.raise("argument", ("%s in %s: it has to give the same when it is run again, so it does nothing but compute")
    :format(effect, only.what), { hint = only.hint })
end

--- Run a function so.
---@param what string for errors: "a step of the world"
---@param hint string what is done in place of an effect
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---Raises what the function raises; `argument` for an effect; for a wait, or a task that it leaves, when it has run (`impure`).
function M.run(what, hint, f, ...)
  local scope <close> = scopes.open { only = { refuse = refuse, what = what, hint = hint }, site = what }
  ordered.pure(true)
  local _ <close> = setmetatable({}, Leaving)
  local before = slice()
  local results = table.pack(f(...))
  local deed = slice() ~= before and "waited for something" or scope.first and "spawned a task"
  if deed then errors.raise("argument", ("%s %s, and must not"):format(what, deed), { hint = hint, impure = true }) end
  return table.unpack(results, 1, results.n)
end

return M
