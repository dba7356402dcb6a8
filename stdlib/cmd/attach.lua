-- stoke attach [NAME]: look into a running host; with --write, work in it.

local args = require "stoke.args"
local attach = require "stoke.attach"
local errors = require "core.errors"
local evals = require "stoke.repl.eval"
local histories = require "stoke.term.history"
local http = require "stoke.http"
local rand = require "stoke.rand"
local stdio = require "core.stdio"
local term = require "stoke.term"
local terminals = require "stoke.term.terminal"

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
    headers = attach.headers(),
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

--- Send it, and say how it ended.
local function entry(host, text, client, write)
  local _, err = term.interruptible(ask, host, text, client, write)
  if not err then return end
  if err.kind ~= "cancelled" then gone(host, err) end
  stdio.err "\n(stopped)\n"
end

--- Entries as they are typed: an editor and a history on a terminal, lines from a pipe. With --write an entry may have several.
local function reader(prompt, write)
  local finished = write and evals.finished or function() return true end
  if not term.interactive() then
    return function()
      local text
      repeat
        local line = stdio.read_line()
        if not line then return text end
        text = text and text .. "\n" .. line or line
      until finished(text)
      return text
    end
  end
  local terminal
  terminal = terminals.open { plain = os.getenv "TERM" == "dumb", on_interrupt = function() terminal:interrupt() end }
  local history = histories.open(histories.path())
  return function()
    local text = terminal:read { prompt = prompt, more = ". ", history = history.entries, finished = finished, below = true }
    if text and text:find "%S" then history:add((text:gsub("%s+$", ""))) end
    return text
  end, terminal
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local host = attach.find(a.name)
  local client = ("%016x"):format(rand.int(0, math.maxinteger))
  if term.interactive() then
    stdio.err(("%s, process %d%s; :help, Ctrl-D ends\n"):format(host.name, host.pid, a.write and ", with --write" or ""))
  end
  local read, terminal = reader(host.name .. (a.write and "! " or "> "), a.write)
  local guard <close> = terminal
  for text in read do
    if text:find "^%s*:quit%s*$" then break end
    if text:find "%S" then entry(host, text, client, a.write) end
  end
end
