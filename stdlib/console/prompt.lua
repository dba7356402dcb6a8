--- Commands of the prompt: `:name rest`. Other modules add theirs to M.commands: name -> { summary, usage?, run(session, rest) }.
--- The inspection commands (:tasks, :agents, :sessions ...) are included.

local approval = require "core.approval"
local approve = require "stoke.approve"
local errors = require "core.errors"
local ordered = require "core.ordered"
local span = require "core.gate.span"
local stdio = require "core.stdio"
local term = require "stoke.term"
local time = require "stoke.time"

local M = { commands = {} }

local C = M.commands

local function row(list) return term.layout(list, {}) end

--- Every command, by name: ours, and theirs where we have none of that name.
---@return table<string, { usage: string, summary: string, run: fun(session: table, rest: string) }>
function M.all()
  local all = {}
  for name, command in next, require "stoke.console.commands".commands do
    all[name] = { usage = command.usage, summary = command.summary,
      run = function(_, rest) stdio.write(command.run(rest, nil, nil, (stdio.columns()) or term.columns())) end }
  end
  for name, command in next, C do
    all[name] = { usage = ":" .. (command.usage or name), summary = command.summary, run = command.run }
  end
  return all
end

C.help = { summary = "show this", run = function()
  local all, rows = M.all(), {}
  for i, name in ipairs(ordered.names(all)) do rows[i] = { "  " .. all[name].usage, all[name].summary } end
  stdio.write("An expression prints its value; an entry may have several lines; top-level locals stay.\n",
    "`stoke` and `ollama` are there, all else by require. _ is the last value, _1 _2 _3 the last three, _err the last error.\n\n",
    row(rows), "\n", row {
      { "  help(x), ?name", "what the documentation says" },
      { "  Ctrl-C", "stops the line that runs; Ctrl-D leaves" },
      { "  Tab, Ctrl-R", "completes; searches the history" },
      { "  Alt-Enter", "another line in the same entry" } })
end }

C.cancel = { usage = "cancel TASK", summary = "cancel a task", run = function(session, rest)
  local inspect = require "stoke.inspect"
  local number = math.tointeger(tonumber(rest))
  if not number then errors.argument(":cancel wants a number, got %s", rest == "" and "nothing" or errors.describe(rest)) end
  if inspect.task(number) == session.task then errors.argument("task %d is the prompt itself; :quit leaves", number) end
  inspect.cancel(number, "cancelled at the prompt")
  stdio.write "cancelled\n"
end }

--- The approval that is meant: that of a number, else the only one there is, if it was shown before the line was begun.
local function waiting(session, word, what)
  if word ~= "" then return approve.find(word, what) end
  local list = approval.list()
  if #list == 0 then errors.argument "nothing waits for approval" end
  if #list > 1 then
    local numbers = {}
    for i, entry in ipairs(list) do numbers[i] = ("%d"):format(entry.id) end
    errors.argument("several calls wait for approval, %s: say which; :pending shows them", table.concat(numbers, ", "))
  end
  local shown = session.announced[list[1]]
  if session.terminal and (not shown or shown > session.terminal.begun) then
    errors.argument("approval %d came after this line was begun: %s %d, once it was read", list[1].id, what, list[1].id)
  end
  return list[1]
end

--- The number that a command may begin with, and what follows.
local function numbered(rest)
  local word, more = rest:match "^(%d+)%f[^%w]%s*(.*)$"
  return word or "", more or rest
end

local TOO_LATE = "it does not wait any more\n"

C.approve = { usage = "approve [NUMBER]", summary = "let a pending call be made", run = function(session, rest)
  stdio.write(waiting(session, rest, ":approve"):approve() and "approved\n" or TOO_LATE)
end }

C.reject = { usage = "reject [NUMBER] [WHY]", summary = "refuse a pending call; the model reads why", run = function(session, rest)
  local word, why = numbered(rest)
  stdio.write(waiting(session, word, ":reject"):reject(why ~= "" and why or nil) and "rejected\n" or TOO_LATE)
end }

C.edit = { usage = "edit [NUMBER] [JSON]", summary = "let a pending call be made otherwise", run = function(session, rest)
  local word, text = numbered(rest)
  local entry = waiting(session, word, ":edit")
  if not entry.args then errors.argument("%s has no arguments to edit", entry.what) end
  if text ~= "" then
    return stdio.write(require "stoke.console.commands".commands.edit.run(("%d %s"):format(entry.id, text)))
  end
  local args = approve.edited(entry)
  if args then stdio.write(entry:edit(args) and "approved with these arguments\n" or TOO_LATE) end
end }

local function on_off(rest, now)
  if rest == "" then return not now end
  if rest == "on" then return true elseif rest == "off" then return false end
  errors.raise("usage", ("on or off, not %q"):format(rest), { hint = ":help lists the commands" })
end

C.watch = { usage = "watch [on|off]", summary = "load them again as they are saved", run = function(session, rest)
  session.watching = on_off(rest, session.watching)
  require "stoke.reload".watch(session.watching)
  stdio.write("watching: ", session.watching and "on" or "off", "\n")
end }

C.time = { usage = "time CODE", summary = "run it and say how long that took", run = function(session, rest)
  if rest == "" then
    session.always_timed = not session.always_timed
    return stdio.write("time after each line: ", session.always_timed and "on" or "off", "\n")
  end
  local began = time.monotonic()
  session:run_code(rest)
  local took = time.monotonic() - began
  stdio.write(session.paint("dim", took < 0.1 and ("%.3f ms\n"):format(took * 1000) or ("%.3f s\n"):format(took)))
end }

local tracing

C.trace = { usage = "trace [on|off]", summary = "print each effect as it ends", run = function(_, rest)
  local wanted = on_off(rest, tracing ~= nil)
  if wanted and not tracing then
    tracing = span.printer(stdio.err)
    span.listen(tracing)
  elseif not wanted and tracing then
    span.unlisten(tracing)
    tracing = nil
  end
  stdio.write("trace: ", wanted and "on" or "off", "\n")
end }

C.quit = { summary = "leave (Ctrl-D does too)", run = function(session) session.leaving = true end }

--- Run `:name rest`.
---@param session table of stoke.repl
---@param text string with its colon
---Raises `usage` for a command that does not exist, and what the command raises.
function M.run(session, text)
  local name, rest = text:match "^:(%a*)%s*(.-)%s*$"
  local all = M.all()
  local command = name and all[name]
  if command then return command.run(session, rest) end
  local near = errors.suggest(name or "", ordered.names(all))
  errors.raise("usage", ("no command :%s"):format(term.clean(name or "")),
    { hint = near and ("did you mean :%s?"):format(near) or ":help lists them" })
end

return M
