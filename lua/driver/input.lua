--- The effect of standard input: input.read { want = "line" | "all" | bytes }. What a script reads is told in a trace like anything
--- else from outside; who holds the terminal meanwhile is lua/stdio.lua's business.

local effect = require "core.effect"
local errors = require "core.errors"
local stdio = require "core.stdio"

local M = {}

local function read(q)
  if q.want == "line" then return stdio.read_line(q.prompt) end
  if q.want == "all" then return stdio.read_all() end
  return stdio.read(q.want)
end

effect.define("input.read", { class = "unsafe", run = function(q)
  local ok, value = pcall(read, q)
  if ok then return value end
  return nil, errors.wrap(value)
end })

--- Read.
---@param want "line"|"all"|integer a line without its end, all that is left, or at most so many bytes
---@param prompt? string shown before a line
---@return string|nil text nil at the end of the input
---Raises kind `os`.
function M.read(want, prompt)
  return errors.check(effect.perform("input.read", { want = want, prompt = prompt }))
end

return M
