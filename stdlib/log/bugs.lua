--- Reports bugs in the author's own code whose error goes elsewhere: a tool's to the model, a check's into a list of
--- problems. The log prints the first one of each place to stderr, with its traceback (`--log off`
--- silences it). Errors that are raised on purpose are not printed.

local errors = require "core.errors"
local log = require "stoke.log"

local M = {}

--- Maximum number of places to remember; after that no more are printed.
local told, count, MOST = {}, 0, 1000

--- Forget all reported places (for tests).
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
