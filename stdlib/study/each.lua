--- The same for many at once, in the order of the list, with a word on how far it is.

local progress = require "stoke.tool.progress"
local scopes = require "core.scope"

local M = {}

--- Tell how far a step is: the script that asked for it, and whoever runs the tool that this may be in.
---@param told { progress?: fun(step: string, done: integer, total: integer) }
---@param step string
---@param done integer
---@param total integer
function M.tell(told, step, done, total)
  progress.say(step, done, total)
  if told.progress then told.progress(step, done, total) end
end

--- Apply a function to each of a list, so many at once.
---@param told { at_once: integer, progress?: fun(step: string, done: integer, total: integer) }
---@param step string
---@param list any[]
---@param f fun(item: any, index: integer): any
---@return any[] results in the order of the list
function M.map(told, step, list, f)
  local done = 0
  local scope <close> = scopes.open {}
  return scope:map(list, function(item, i)
    local result = f(item, i)
    done = done + 1
    M.tell(told, step, done, #list)
    return result
  end, { limit = told.at_once })
end

return M
