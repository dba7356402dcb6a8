--- Bugs of an author's own code reach the author, where the error itself goes elsewhere: that of a tool to the model, that of a
--- check into a list of problems. The first one of each place is told on stderr, with its traceback, by the log (`--log off`
--- silences it). What is raised on purpose is not told.

local errors = require "core.errors"
local log = require "stoke.log"

local M = {}

--- Places that were told; so many are remembered, and no more are told.
local told, count, MOST = {}, 0, 1000

--- Forget what was told, as at the beginning.
function M.forget() told, count = {}, 0 end

--- Where it happened: the beginning of Lua's message, or the line that called the library wrongly.
local function place(err)
  return rawget(err, "where") or err.message:match "^([^\n]-:%d+): " or err.message
end

--- Is this for the author: a bug, or a call of the library that it refuses?
---@param err stoke.error
---@return boolean
function M.is(err) return errors.bug(err) or err.kind == "argument" end

--- Tell it, once.
---@param what string "the tool get_weather"
---@param err stoke.error
---@param agent? string
function M.tell(what, err, agent)
  local key = what .. "\0" .. place(err)
  if told[key] or count >= MOST then return end
  told[key], count = true, count + 1
  local traceback = rawget(err, "traceback")
  log.error("a bug in " .. what, { agent = agent, error = err.message, at = rawget(err, "where"),
    traceback = traceback and errors.own_frames(traceback) or nil })
end

return M
