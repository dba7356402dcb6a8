--- Standard input and output: effects that never block the loop, however slow the terminal.

local scopes = require "core.scope"
local host = require "host.stdio"
local task = require "host.task"

local M = {}

local function checked(value, err)
  if err == nil then return value end
  if err.kind == "cancelled" then
    local me = task.current()
    if me then scopes.deliver(me) end
  end
  error(err, 0)
end

--- Write to standard output; returns before a slow reader has taken it, unless a megabyte is already waiting.
---@param ... string|number
---Raises kind `os` when the other end is gone.
function M.write(...)
  return checked(host.write(1, ...))
end

--- Write to standard error.
---@param text string
function M.err(text)
  return checked(host.write(2, text))
end

--- One line from standard input, without its end; nil at the end of the input. Shows the prompt first.
---@param prompt? string
---@return string|nil
function M.read_line(prompt)
  if prompt then M.write(prompt) end
  return checked(host.read_line())
end

--- All that is left of standard input.
---@return string
function M.read_all() return checked(host.read_all()) or "" end

--- At most n bytes; nil at the end.
---@param n integer
---@return string|nil
function M.read(n) return checked(host.read(n)) end

--- Whether a descriptor (0, 1, 2) is a terminal.
function M.is_tty(fd) return host.is_tty(fd) end

--- Width of the terminal in columns, nil when it is none.
function M.columns() return host.columns() end

--- As print.
function M.print(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  M.write(table.concat(parts, "\t") .. "\n")
end

return M
