--- The interactive prompt: reads entries, runs them, prints their values.
---
--- Each line runs in a task of the session's supervisor scope, so a call just waits while everything else goes on; what a line
--- spawns belongs to the session and outlives the line. Ctrl-C cancels the line and nothing else.

local about = require "core.about"
local approval = require "core.approval"
local approve = require "stoke.approve"
local combine = require "core.combine"
local commands = require "stoke.console.prompt"
local complete = require "stoke.repl.complete"
local errors = require "core.errors"
local evals = require "stoke.repl.eval"
local help = require "stoke.repl.help"
local histories = require "stoke.term.history"
local keeper = require "core.keeper"
local meter = require "stoke.repl.meter"
local printer = require "stoke.repl.print"
local scopes = require "core.scope"
local script = require "core.script"
local stdio = require "core.stdio"
local tasks = require "core.task"
local term = require "stoke.term"
local terms = require "core.terms"
local time = require "stoke.time"
local terminals = require "stoke.term.terminal"
local tokens = require "stoke.repl.tokens"

local M = {}

local Session = {}
Session.__index = Session

-- ---- telling -----------------------------------------------------------------------------------------------------------

--- What was written last may be a line without its end.
local function fresh_line(self)
  if self.terminal then self.terminal:fresh_line() end
end

--- Values, each from a line of its own.
function Session:show(...)
  fresh_line(self)
  local options = { columns = term.columns(), paint = self.paint }
  for i = 1, select("#", ...) do
    stdio.write(printer.show((select(i, ...)), options), "\n")
  end
end

--- An error, once: who awaits a task that failed raises the same one again.
function Session:tell(err, whose)
  self.failed = self.failed or err
  if self.told[err] then return end
  self.told[err] = true
  local text = tostring(err)
  if err.kind == "script" then text = text:gsub("^script: ", "", 1) end
  if whose then text = ("%s failed: %s"):format(whose, text) end
  text = self.paint("red", term.clean(text))
  local traceback = err.kind == "script" and errors.readable(rawget(err, "traceback") or "")
  if traceback then
    traceback = traceback:gsub("\nin task in%[%d+%] %(the host%)", "")
    text = text .. "\n" .. self.paint("dim", traceback)
  end
  fresh_line(self)
  stdio.err(text .. "\n")
end

--- A quiet word for the person at the terminal.
function Session:note(text)
  if not self.terminal then return end
  fresh_line(self)
  stdio.err(self.paint("dim", text) .. "\n")
end

-- ---- one entry ---------------------------------------------------------------------------------------------------------

--- What an expression gave is remembered.
local function remember(self, results)
  local eval = self.eval
  eval:set("_3", (eval:get "_2"))
  eval:set("_2", (eval:get "_1"))
  eval:set("_1", results[1])
  eval:set("_", results[1])
end

local function is_output(results)
  local output = require "core.env".globals.io.stdout -- what io.write returns
  return results.n == 1 and rawequal(results[1], output)
end

--- Compile and run an entry in the running task, and print what it gives.
---@param text string
function Session:run_code(text)
  local entry, err, expression = self.eval:compile(text, ("in[%d]"):format(self.count))
  if not entry then error(err, 0) end
  local results = table.pack(entry())
  if results.n == 0 or is_output(results) then return end
  if expression or results.n > 0 then remember(self, results) end
  self:show(table.unpack(results, 1, results.n))
end

local WORDS = { help = ":help", exit = ":quit", quit = ":quit" }

local function body(self, text)
  local first = text:match "^%s*(.)"
  if first == ":" and not text:find "^%s*::" then return commands.run(self, text:match "^%s*(.-)%s*$") end
  local word = text:match "^%s*(%l+)%s*$" -- what one types first
  if WORDS[word] and self.eval.cells[word] == nil and rawget(require "core.env".globals, word) == nil then
    return commands.run(self, WORDS[word])
  end
  if first == "?" then return help.question(self, text:match "^%s*%?(.*)$") end
  return self:run_code(text)
end

--- How the line ended.
local function tell_end(self, task)
  local err = task.err
  if task.state == "done" then return end
  if err.kind == "exit" then return end
  self.eval:set("_err", err)
  if task.state == "cancelled" then
    if err.deadlock then return self:tell(err.deadlock) end
    return self:note "(stopped)"
  end
  if err.kind == "cancelled" and err.message:find "^interrupted at" then -- broken off while it did not wait
    self.swallow = true -- the signal that did it is still to be delivered
    return self:note(("(stopped: %s)"):format(err.message))
  end
  self:tell(err)
end

--- Run a function in a task of the session, as the line that runs now, and wait for its end.
local function run_line(self, metered, name, f, ...)
  local task = tasks.start(self.scope, name, f, ...)
  task.into = self.scope
  terms.interactive(task)
  self.line, self.swallow = task, nil
  if metered then metered:watch(task) end
  local _, err = pcall(task.await, task)
  if not task.state then error(err, 0) end -- it is the session that ends
  self.line = nil
  tell_end(self, task)
end

--- Run one entry in a task and wait for its end.
---@param text string
function Session:entry(text)
  self.count = self.count + 1
  local metered <close> = meter.new()
  run_line(self, metered, ("in[%d]"):format(self.count), body, self, text)
  local told = metered:text(self.always_timed)
  if told then self:note(told) end
end

-- ---- the session -------------------------------------------------------------------------------------------------------

--- Seconds in which equal errors are printed once.
local ALIKE = 1

--- An error of a background task. A thousand tasks may fail of one reason.
local function tell_task(self, err, task)
  local text = tostring(err)
  local last = self.last_failure
  if last and last.text == text then
    last.more = last.more + 1
    return
  end
  last = { text = text, more = 0 }
  self.last_failure = last
  self:tell(err, ("the task of %s"):format(task.site))
  tasks.spawn(function()
    time.sleep(ALIKE)
    if self.last_failure == last then self.last_failure = nil end
    if last.more > 0 and not self.closed then
      fresh_line(self)
      stdio.err(self.paint("red", ("and %d more, of the same reason"):format(last.more)) .. "\n")
    end
  end, { system = true, name = "failures" })
end

--- A supervisor: prints the errors of its tasks and keeps the others running.
local function supervisor(self)
  return tasks.supervisor("the prompt", function(err, task)
    if task == self.line or err.kind == "exit" then return end
    self.swallow = err.kind == "cancelled" and err.message:find "^interrupted at" ~= nil or self.swallow
    self.eval:set("_err", err)
    tell_task(self, err, task)
  end)
end

local function new()
  local colour = term.colour(1)
  local self = setmetatable({ count = 0, task = tasks.current(), colour = colour, told = setmetatable({}, { __mode = "k" }),
    announced = setmetatable({}, { __mode = "k" }),
    paint = function(style, text) return term.paint(style, text, colour) end }, Session)
  self.eval = evals.new { stoke = require "stoke", ollama = require "stoke.ollama", help = help.command(self) }
  for _, name in ipairs { "_", "_1", "_2", "_3", "_err" } do self.eval:set(name, nil) end
  self.scope = supervisor(self)
  return self
end

--- Tasks and timers that would end with the session.
local function running()
  local count = 0
  for _, entry in ipairs(tasks.list()) do
    if entry.name ~= "main" then count = count + 1 end
  end
  return count
end

function Session:close()
  self.closed = true
  scopes.cancel(self.scope, errors.new("cancelled", "the session has ended"))
  scopes.join(self.scope)
  scopes.close_owned(self.scope)
  scopes.stop_alarms(self.scope)
  script.end_timers()
end

Session.__close = Session.close

--- Nothing is left that could wake who waits: that is the line's error, or that of what is left.
local function on_deadlock(self, err)
  local reason = errors.new("cancelled", err.message, { deadlock = err })
  if not self.line then self:tell(err) end
  scopes.cancel(self.line or self.scope, reason)
  return true
end

--- Run the body of a file: what it returns is there under the file's name.
local function load_file(self, path)
  local name = path:match "([%a_][%w_]*)%.lua$" or path:match "([%a_][%w_]*)$"
  run_line(self, nil, path, function()
    local value = script.run_body(path)
    if value ~= nil then
      self.eval:set("_", value)
      if name then self.eval:set(name, value) end
      self:note(name and ("%s is what %s returned"):format(name, path) or "_ is what it returned")
    end
    if script.main then
      self.eval:set("main", function(args) return script.main(args or {}) end)
      self:note("main(args) runs what the file gave to stoke.main")
    end
  end)
end

-- ---- approvals -------------------------------------------------------------------------------------------------------

--- Say above the prompt what waits for a decision.
local function announce(self, entry)
  self.announced[entry] = self.terminal:mark()
  fresh_line(self)
  stdio.write(("%s %s%s\n"):format(self.paint("yellow", ("approval %d:"):format(entry.id)), approve.text(entry, true),
    self.paint("yellow", (":approve %d, :reject %d [WHY]%s"):format(entry.id, entry.id,
      entry.args and (" or :edit %d"):format(entry.id) or ""))))
end

--- A call waits for a person's yes. At the prompt that is announced, and commands decide it: what is typed there is never taken for
--- an answer. While a line runs nothing can be entered, so it is asked about.
local function on_approval(self, entry)
  local line = self.line
  if line then
    combine.race { function() approve.ask(entry) end, function() pcall(line.await, line) end }
  end
  if not entry.decision and not self.closed then announce(self, entry) end
end

-- ---- reading -----------------------------------------------------------------------------------------------------------

--- From a pipe, or a terminal without cursor movement: lines until they are an entry.
local function read_lines(self)
  local text
  while true do
    local prompt = self.terminal and (text and self.more or self.prompt) or nil
    local line
    if self.terminal then line = self.terminal:read { prompt = prompt, below = true } else line = stdio.read_line() end
    if not line then return text end
    text = text and text .. "\n" .. line or line
    if evals.finished(text) then return text end
  end
end

--- Lua in the colours of its words; commands have none.
local function highlight(text)
  return text:find "^%s*[:?]" and {} or tokens.list(text, true)
end

local function read(self)
  if not self.terminal or self.terminal.plain then return read_lines(self) end
  return self.terminal:read { prompt = self.prompt, more = self.more, history = self.history.entries, finished = evals.finished,
    complete = function(before) return complete.complete(self.eval, before) end, highlight = highlight, below = true }
end

local function interrupt(self)
  if self.line then
    self.line:cancel "stopped at the prompt"
  elseif self.terminal:interrupt() == "empty" then
    self:note "(Ctrl-D leaves, :help tells more)"
  end
end

local function on_signal(self, number)
  if number ~= 2 then return keeper.exit(128 + number) end
  if not self.swallow then return interrupt(self) end
  self.swallow = nil
end

--- Ctrl-D. With tasks running it is said so, once.
local function may_leave(self)
  local count = running()
  if count == 0 or self.warned or self.terminal.over then return true end
  self.warned = true
  self:note(("%d task%s still running (:tasks); Ctrl-D again ends %s"):format(count, count == 1 and " is" or "s are",
    count == 1 and "it" or "them"))
  return false
end

local function loop(self)
  while not self.leaving do
    local text = read(self)
    if text then
      self.warned = nil
      if text:find "%S" then
        if self.history then
          local _, why = self.history:add(text)
          if why then self:note(("(not kept in the history: %s)"):format(why)) end
        end
        self:entry(text)
      end
    elseif not self.terminal or may_leave(self) then
      break
    end
  end
end

local Restore = { __close = function() keeper.on_signal, keeper.on_deadlock = nil, nil end }

--- A session on the terminal, or with standard input as its entries: then errors are printed and the entries after them run, as on
--- a terminal, and the first one gives the exit code.
---@param options? { file?: string, history?: boolean } file: its body is run first; history: false keeps nothing of what is entered
---
--- Raises `exit` with the code of the first error, where standard input is no terminal.
---
--- Example: `require "stoke.repl".run()`
function M.run(options)
  local undo <close> = setmetatable({}, Restore)
  local self <close> = new()
  keeper.on_deadlock = function(err) return on_deadlock(self, err) end
  local interactive = stdio.is_tty(0) and stdio.is_tty(1)
  if not interactive then
    if options and options.file then load_file(self, options.file) end
    loop(self)
    script.end_timers()
    scopes.Scope.wait(self.scope)
    if self.failed then errors.raise("exit", "", { code = self.failed.exit }) end
    return
  end
  self.history = histories.open((not options or options.history ~= false) and histories.path() or nil)
  self.prompt, self.more = self.paint("bold", "> "), self.paint("dim", ". ")
  local told, asker = scopes.tell, approval.asker
  local terminal <close> = terminals.open { plain = os.getenv "TERM" == "dumb", on_interrupt = function() interrupt(self) end }
  self.terminal = terminal
  local gone <close> = setmetatable({}, { __close = function()
    scopes.tell, complete.on_models, approval.asker = told, nil, asker
  end })
  approval.asker = function(entry) on_approval(self, entry) end
  scopes.tell = function(text) stdio.err("stoke: " .. text .. "\n") end
  keeper.on_signal = function(number) on_signal(self, number) end
  self:note(("stoke %s; :help tells more, Ctrl-D leaves"):format(about.version))
  if options and options.file then load_file(self, options.file) end
  complete.on_models = function() terminal:complete_again() end
  complete.refresh_models()
  loop(self)
end

return M
