-- stoke attach [NAME]: look into a running host; with --write, work in it.

local args = require "stoke.args"
local attach = require "stoke.attach"
local errors = require "core.errors"
local http = require "stoke.http"
local rand = require "stoke.rand"
local stdio = require "core.stdio"
local term = require "stoke.term"

local SPEC = {
  name = "stoke attach", summary = "Look into a running host.",
  examples = { { "stoke attach", "the only host there is; :help lists what can be asked" },
               { "stoke attach town --write", "run Lua in it, approve calls, cancel tasks, reload modules" },
               { "echo :tasks | stoke attach town", "one question from a script" } },
  options = { { "write", type = "boolean", help = "allow what changes the host" } },
  positionals = { { "name", optional = true, help = "name or process of the host" } },
}

--- Send one line, and show the answer as it comes.
local function ask(host, line, client, write)
  local answer = http.post("http://localhost/line", { socket = host.path, stream = "bytes", timeout = false,
    json = { line = line, client = client, write = write or nil } })
  for bytes in answer:chunks() do stdio.write(term.clean(bytes)) end
end

--- The other side broke off.
local function gone(host, err)
  if err.kind == "refused" or err.kind == "unreachable" or err.kind == "incomplete" then
    errors.raise(err.kind, ("the host %s is gone"):format(host.name), { hint = "stoke ps lists those that run" })
  end
  error(err, 0)
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local host = attach.find(a.name)
  local tty = stdio.is_tty(0) and stdio.is_tty(1)
  local client = ("%016x"):format(rand.int(0, math.maxinteger))
  if tty then
    stdio.err(("%s, process %d%s; :help, Ctrl-D ends\n"):format(host.name, host.pid, a.write and ", with --write" or ""))
  end
  while true do
    local line = stdio.read_line(tty and (host.name .. (a.write and "! " or "> ")) or "")
    if not line then break end
    if line:find "%S" then
      local _, err = term.interruptible(ask, host, line, client, a.write)
      if err and err.kind == "cancelled" then
        stdio.err "\n(stopped)\n"
      elseif err then
        gone(host, err)
      end
    end
  end
  if tty then stdio.write "\n" end
end
