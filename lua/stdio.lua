--- Standard input and output, which never block the loop, however slow the terminal. What a script reads is an effect:
--- lua/driver/input.lua.

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

--- Whoever holds the terminal, such as a line editor: what others write must go round its rows, and lines are read through it.
--- { write = fun(self, fd, text), read_line = fun(self, prompt?): string|nil, forget_typed = fun(self) }; nil = nobody.
M.holder = nil

--- Write to a descriptor (1 or 2), whoever holds the terminal.
---@param fd integer
---@param text string
function M.put(fd, text) return checked(host.write(fd, text)) end

--- Write to standard output; returns before a slow reader has taken it, unless a megabyte is already waiting.
---@param ... string|number
---Raises kind `os` when the other end is gone.
function M.write(...)
  if M.holder then return M.holder:write(1, table.concat { ... }) end
  return checked(host.write(1, ...))
end

--- Write to standard error.
---@param text string
function M.err(text)
  if M.holder then return M.holder:write(2, text) end
  return checked(host.write(2, text))
end

--- One line from standard input, without its end; nil at the end of the input. Shows the prompt first.
---@param prompt? string
---@return string|nil
function M.read_line(prompt)
  if M.holder then return M.holder:read_line(prompt) end
  if prompt then M.write(prompt) end
  return checked(host.read_line())
end

--- All that is left of standard input.
---@return string
function M.read_all()
  if not M.holder then return checked(host.read_all()) or "" end
  local lines = {}
  for line in function() return M.holder:read_line() end do lines[#lines + 1] = line .. "\n" end
  return table.concat(lines)
end

--- At most n bytes; nil at the end.
---@param n integer
---@return string|nil
function M.read(n)
  if not M.holder then return checked(host.read(n)) end
  local line = M.holder:read_line()
  return line and (line .. "\n"):sub(1, n)
end

--- What was typed, at least one byte; nil at the end of the input. For whoever holds the terminal.
---@return string|nil
function M.read_some() return checked(host.read_some()) end

--- Forget what was typed ahead on a terminal: it is no answer to a question that nobody had seen.
function M.forget_typed()
  if M.holder then M.holder:forget_typed() end
  host.forget_typed()
end

--- One line, whoever holds the terminal.
---@return string|nil
function M.take_line() return checked(host.read_line()) end

--- Take the terminal: keys come one by one and are not echoed. `farewell` is written to it when its modes are given back, by
--- M.cooked or whatever way the program ends.
---@param farewell string
function M.raw(farewell) return checked(host.raw(farewell)) end

--- Give the terminal's modes back.
function M.cooked() host.cooked() end

--- Whether Ctrl-C is a signal, as it is at first, or a byte like any other; of a terminal that was taken.
---@param on boolean
function M.interrupts(on) host.interrupts(on) end

--- Stop the process as Ctrl-Z does; returns when it goes on.
function M.suspend() host.suspend() end

--- Whether a descriptor (0, 1, 2) is a terminal.
function M.is_tty(fd) return host.is_tty(fd) end

--- Width and height of the terminal, nil when it is none.
---@return integer|nil columns
---@return integer|nil rows
function M.columns() return host.columns() end

--- As print.
function M.print(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  M.write(table.concat(parts, "\t") .. "\n")
end

return M
