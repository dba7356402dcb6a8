-- stoke attach [NAME]: look into a running host; with --write, work in it.

local args = require "stoke.args"
local attach = require "stoke.attach"
local errors = require "core.errors"
local evals = require "stoke.repl.eval"
local histories = require "stoke.term.history"
local http = require "stoke.http"
local json = require "stoke.json"
local prompts = require "stoke.term.prompt"
local rand = require "stoke.rand"
local stdio = require "core.stdio"
local stoke = require "stoke"
local tasks = require "core.task"
local term = require "stoke.term"
local tokens = require "stoke.repl.tokens"

local SPEC = {
  name = "stoke attach", summary = "Look into a running host.",
  examples = { { "stoke attach", "the only host there is; :help lists what can be asked" },
               { "stoke attach town --write", "run Lua in it, approve calls, cancel tasks, reload modules" },
               { "echo :tasks | stoke attach town", "one question from a script" } },
  options = { { "write", type = "boolean", help = "allow what changes the host" },
              { "no-history", type = "boolean", help = "keep nothing of what is entered" } },
  positionals = { { "name", optional = true, help = "name or process of the host" } },
}

--- Send one line, and show the answer as it comes.
local function ask(host, line, client, write)
  local answer = http.post("http://localhost/line", { socket = host.path, stream = "bytes", timeout = false,
    headers = attach.headers(),
    json = { line = line, client = client, write = write or nil, columns = term.columns() } })
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

--- What the host knows of the word before the cursor: asked in the background, as Tab must not wait; the terminal is told when the
--- answer has come. fun(before): from, list, later.
local function completer(host, client, write, terminal)
  local asked, answer
  return function(before)
    if asked == before and answer then return answer.from, answer.list end
    asked, answer = before, nil
    tasks.spawn(function()
      local reply = stoke.try(function()
        local got = http.post("http://localhost/line", { socket = host.path, timeout = 2, headers = attach.headers(),
          json = { line = before, complete = true, client = client, write = write or nil } })
        return json.decode(got.body)
      end)
      if asked ~= before then return end -- something else is wanted by now
      local words = {}
      for _, word in ipairs(type(reply) == "table" and type(reply.list) == "table" and reply.list or {}) do
        if type(word) == "string" and not word:find "%c" then words[#words + 1] = word end
      end
      local from = math.tointeger(type(reply) == "table" and reply.from)
      answer = from and from >= 1 and from <= #before + 1 and { from = from, list = words } or {}
      terminal:complete_again()
    end, { system = true, name = "completion" })
    return nil, nil, true
  end
end

local function whole() return true end

--- Commands are not Lua, and what a reader looks up is a name.
local function highlight(text) return text:find "^%s*[:?]" and {} or tokens.list(text, true) end

--- Entries as they are typed.
local function typed(host, client, write, terminal, keep)
  local finished = write and evals.finished or whole
  local history = histories.open(keep and histories.path() or nil)
  local complete = completer(host, client, write, terminal)
  local prompt = host.name .. (write and "! " or "> ")
  return function()
    local text = terminal:read { prompt = prompt, more = ". ", history = history.entries, finished = finished, complete = complete,
      highlight = highlight, below = true }
    if text then
      local _, why = history:add(text)
      if why then stdio.err(("(not kept in the history: %s)\n"):format(why)) end
    end
    return text
  end
end

local function loop(read, host, client, write)
  for text in read do
    if text:find "^%s*:quit%s*$" then break end
    if text:find "%S" then entry(host, text, client, write) end
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  local host = attach.find(a.name)
  local client = ("%016x"):format(rand.int(0, math.maxinteger))
  if not term.interactive() then return loop(prompts.piped(a.write and evals.finished or whole), host, client, a.write) end
  stdio.err(("%s, process %d%s; :help, Ctrl-D ends\n"):format(host.name, host.pid, a.write and ", with --write" or ""))
  local held <close> = prompts.hold "(Ctrl-D ends, :help tells more)"
  loop(typed(host, client, a.write, held.terminal, not a.no_history), host, client, a.write)
end
