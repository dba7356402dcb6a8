--- Standard input and output. They never block the loop, even if the terminal is slow. A script's reads are effects
--- (lua/driver/input.lua); its writes are not.

local frames = require "core.frame"
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

--- The holder of the terminal, such as a line editor: writes must go around its rows, and lines are read through it.
--- { write = fun(self, fd, text), read_line = fun(self, prompt?): string|nil, forget_typed = fun(self) }; nil = no holder.
M.holder = nil

--- fun(fd, text): boolean: takes what code of a journalled run writes (lua/journal.lua).
M.of_run = nil

--- Write to a descriptor (1 or 2), bypassing the holder of the terminal.
---@param fd integer
---@param text string
function M.put(fd, text) return checked(host.write(fd, text)) end

--- Write to standard output; does not wait for a slow reader unless a megabyte is already buffered.
---@param ... string|number
---Raises kind `os` when the other end is gone.
function M.write(...)
  if frames.any and M.of_run(1, table.concat { ... }) then return end
  if M.holder then return M.holder:write(1, table.concat { ... }) end
  return checked(host.write(1, ...))
end

--- Write to standard error.
---@param text string
function M.err(text)
  if frames.any and M.of_run(2, text) then return end
  if M.holder then return M.holder:write(2, text) end
  return checked(host.write(2, text))
end

--- Read one line from standard input, without its line end; nil at the end of the input. Shows the prompt first.
---@param prompt? string
---@return string|nil
function M.read_line(prompt)
  if M.holder then return M.holder:read_line(prompt) end
  if prompt then M.write(prompt) end
  return checked(host.read_line())
end

--- Read the rest of standard input.
---@return string
function M.read_all()
  if not M.holder then return checked(host.read_all()) or "" end
  local lines = {}
  for line in function() return M.holder:read_line() end do lines[#lines + 1] = line .. "\n" end
  return table.concat(lines)
end

--- Read at most n bytes; nil at the end of the input.
---@param n integer
---@return string|nil
function M.read(n)
  if not M.holder then return checked(host.read(n)) end
  local line = M.holder:read_line()
  return line and (line .. "\n"):sub(1, n)
end

--- Read what was typed, at least one byte; nil at the end of the input. For the holder of the terminal.
---@return string|nil
function M.read_some() return checked(host.read_some()) end

--- Discard input typed ahead on a terminal: it cannot be the answer to a question that was not on the screen yet.
function M.forget_typed()
  if M.holder then M.holder:forget_typed() end
  host.forget_typed()
end

--- Read one line, bypassing the holder of the terminal.
---@return string|nil
function M.take_line() return checked(host.read_line()) end

--- Put the terminal into raw mode: keys arrive one by one, without echo. `farewell` is written when its modes are restored, by
--- M.cooked or when the program ends in any way.
---@param farewell string
function M.raw(farewell) return checked(host.raw(farewell)) end

--- Restore the terminal's modes.
function M.cooked() host.cooked() end

--- In raw mode: whether Ctrl-C raises a signal (the default) or is read as a byte.
---@param on boolean
function M.interrupts(on) host.interrupts(on) end

--- Stop the process as Ctrl-Z does; returns when it continues.
function M.suspend() host.suspend() end

--- Whether a descriptor (0, 1, 2) is a terminal.
function M.is_tty(fd) return host.is_tty(fd) end

--- Width and height of the terminal; nil if it is not a terminal.
---@return integer|nil columns
---@return integer|nil rows
function M.columns() return host.columns() end

--- Lua's print, through M.write.
function M.print(...)
  local parts = table.pack(...)
  for i = 1, parts.n do parts[i] = tostring(parts[i]) end
  M.write(table.concat(parts, "\t") .. "\n")
end

return M
