--- How far a tool is, told from inside of it. Who runs the tool says who hears it (stdlib/tool.lua: on_progress); all that the tool
--- calls and spawns may say something.

local errors = require "core.errors"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

--- Seconds between two notes, at least.
M.EVERY = 0.05

--- Who listens to the tool that is at work here.
---@return { tell: fun(note: table), last?: number }|nil
---
--- Example: `if progress.listener() then ... end`
function M.listener()
  local task = tasks.current()
  return (task.scope or task).context.progress
end

local function number(name, value)
  if value ~= nil and (type(value) ~= "number" or value ~= value) then
    errors.argument("stoke.progress: %s must be a number, got %s", name, errors.describe(value))
  end
end

--- See stoke.progress.
---@param message? string
---@param done? number
---@param total? number
---@return boolean heard
---Raises `argument`.
---
--- Example: `progress.say("reads page 3", 3, 10)`
function M.say(message, done, total)
  if message ~= nil and type(message) ~= "string" then
    errors.argument("stoke.progress: the message must be a string, got %s", errors.describe(message))
  end
  number("done", done)
  number("total", total)
  local listener = M.listener()
  if not listener then return false end
  local now = time.monotonic()
  local last = done ~= nil and done == total
  if not last and listener.last and now - listener.last < M.EVERY then return true end
  listener.last = now
  listener.tell { message = message, done = done, total = total }
  return true
end

return M
