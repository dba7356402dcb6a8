--- The effect of standard input: input.read { want = "line" | "all" | bytes }. Reads appear in traces and journals like any
--- other input from outside; lua/stdio.lua handles the holder of the terminal.

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

--- Read from standard input.
---@param want "line"|"all"|integer a line without its end, the rest, or at most that number of bytes
---@param prompt? string shown before a line
---@return string|nil text nil at the end of the input
---Raises kind `os`.
function M.read(want, prompt)
  return errors.check(effect.perform("input.read", { want = want, prompt = prompt }))
end

return M
