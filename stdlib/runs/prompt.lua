--- The prompt inside a run that is replayed: it stands still where a record was given, and is looked at. Nothing else of the run
--- goes on meanwhile, and nothing is done in the world.

local errors = require "core.errors"
local evals = require "stoke.repl.eval"
local histories = require "stoke.term.history"
local inside = require "stoke.runs.inside"
local printer = require "stoke.repl.print"
local prompts = require "stoke.term.prompt"
local schedule = require "core.schedule"
local stdio = require "core.stdio"
local tasks = require "core.task"
local term = require "stoke.term"
local timeline = require "stoke.runs.timeline"
local tokens = require "stoke.repl.tokens"

local M = {}

---@class stoke.runs.prompt
---@field to number stop where this record is given
---@field steps? integer stop after so many records
---@field entries stoke.runs.entry[]
---@field given integer records that were given
---@field stopped? { row: table, task: stoke.task, co: thread, frames: stoke.runs.frame[], frame: integer }
local Prompt = {}
Prompt.__index = Prompt

--- The record at which a replay can stop: not one that the body of another one did, nor one that has no outcome.
local function reachable(entries, to)
  for i = to, #entries do
    local entry = entries[i]
    if not entry.inside and entry.status ~= "open" and entry.status ~= "waits" and entry.status ~= "in doubt" then return i end
  end
  return math.huge
end

--- A prompt for a run.
---@param entries stoke.runs.entry[] made with requests and outcomes
---@param to integer the record at which it stands still first; where that is none that a replay gives, the next one
---@return stoke.runs.prompt
---
--- Example: `local prompt = prompt.new(entries, 17)`
function M.new(entries, to)
  local colour = term.colour(1)
  return setmetatable({ entries = entries, to = reachable(entries, to), given = 0, passed = {}, main = tasks.current(),
    paint = function(style, text) return term.paint(style, text, colour) end }, Prompt)
end

-- ---- standing still ---------------------------------------------------------------------------------------------------------

--- A record is about to be given: called in the run. Waits there while somebody looks.
---@param row stoke.journal.row
---
--- Example: `journal.on_given = function(row) prompt:on_given(row) end`
function Prompt:on_given(row)
  self.given = self.given + 1
  if self.steps then self.steps = self.steps - 1 end
  self.passed[row.number] = true
  if row.number ~= self.to and not (self.steps and self.steps <= 0) then return end
  local task, co = tasks.current(), (coroutine.running())
  local stopped = { row = row, task = task, co = co, frames = inside.frames(co), frame = 1, schedule = task.schedule }
  self.stopped = stopped
  tasks.wake(self.main)
  schedule.hold("the prompt", function() return self.stopped == stopped end)
end

--- The same as a function.
---@return fun(row: stoke.journal.row)
---
--- Example: `journal.on_given = prompt:hook()`
function Prompt:hook()
  return function(row) self:on_given(row) end
end

local function go(self)
  local task = self.stopped.task
  self.stopped = nil
  tasks.wake(task)
end

-- ---- telling ------------------------------------------------------------------------------------------------------------------

local function write(...) stdio.write(...) end

--- Columns of a table: what no terminal reads is not cut.
local function width() return stdio.is_tty(1) and term.columns() or nil end

local function entry_of(self) return self.entries[self.stopped.row.number] end

local function show_frame(self, i)
  local frame = self.stopped.frames[i]
  if not frame then return write "    (no line of the script: the runtime's own work)\n" end
  write(self.paint("dim", ("    %s%s%s\n"):format(term.clean(frame.at), frame.name and " in " .. term.clean(frame.name) or "",
    frame.text and ":  " .. term.clean(frame.text) or "")))
end

local function show_place(self)
  local entry = entry_of(self)
  write(self.paint("bold", ("#%d of %d  "):format(entry.number, #self.entries)), entry.who and entry.who .. ": " or "", entry.what,
    entry.outcome ~= "" and "  -> " .. entry.outcome or "", "\n")
  show_frame(self, self.stopped.frame)
end

local function show(self, value)
  return printer.show(value, { columns = term.columns(), paint = self.paint })
end

--- A value in one line; the prompt shows it whole when it is asked for its name.
local function one_line(value)
  local text = printer.show(value, { columns = math.max(40, term.columns() - 24), depth = 2, items = 6,
    raw = true }):gsub(": 0x%x+", "")
  local first, more = text:match "^([^\n]*)(\n?)"
  return more ~= "" and first .. " ..." or first
end

-- ---- commands -----------------------------------------------------------------------------------------------------------------

local function number_of(rest, what, default)
  if rest == "" and default then return default end
  local n = math.tointeger(tonumber(rest))
  if not n or n < 1 then errors.raise("usage", ("%s wants a number, not %q"):format(what, rest)) end
  return n
end

--- name -> { usage, summary, run = fun(prompt, rest): go, quit }
local C = {}

C.step = { usage = ":step [N]", summary = "to the next record, or N further (an empty line does it again)",
  run = function(self, rest)
  self.steps, self.to = number_of(rest, ":step", 1), math.huge
  return true
end }

C.to = { usage = ":to N", summary = "to record N", run = function(self, rest)
  local n = number_of(rest, ":to")
  if self.passed[n] then
    errors.raise("usage", ("the run is past #%d; it does not go back"):format(n),
      { hint = "stoke replay ID --to N begins again" })
  elseif n > #self.entries then
    errors.raise("usage", ("the run has %d records"):format(#self.entries))
  end
  self.steps, self.to = nil, reachable(self.entries, n)
  return true
end }

C.go = { usage = ":go", summary = "to the end", run = function(self)
  self.steps, self.to = nil, math.huge
  return true
end }

C.locals = { usage = ":locals", summary = "the locals of the stopped task", run = function(self)
  local stopped = self.stopped
  local frame = stopped.frames[stopped.frame]
  local list = frame and inside.locals(stopped.co, frame) or {}
  if #list == 0 then return write "no local\n" end
  for i, var in ipairs(list) do
    if i > inside.LOCALS then
      write(("and %d more\n"):format(#list - i + 1))
      break
    end
    write(("%s%s = %s\n"):format(var.outer and self.paint("dim", "(outer) ") or "", var.name, one_line(var.value)))
  end
end }

C.stack = { usage = ":stack", summary = "the script's calls, the innermost first", run = function(self)
  for i, frame in ipairs(self.stopped.frames) do
    write(("%s%d  %s%s\n"):format(i == self.stopped.frame and "*" or " ", i, term.clean(frame.at),
      frame.name and "  in " .. term.clean(frame.name) or ""))
  end
end }

C.frame = { usage = ":frame N", summary = "look at the locals of another call of the stack", run = function(self, rest)
  local n = number_of(rest, ":frame")
  if not self.stopped.frames[n] then errors.raise("usage", ("there is no call %d"):format(n), { hint = ":stack lists them" }) end
  self.stopped.frame = n
  show_frame(self, n)
end }

C.tasks = { usage = ":tasks [N]", summary = "the run's tasks and what they wait for; the stack of one", run = function(self, rest)
  local stopped = self.stopped
  if rest == "" then return write(inside.tasks(stopped.schedule, stopped.task, width())) end
  local task = inside.task(stopped.schedule, number_of(rest, ":tasks"))
  if not task then errors.raise("usage", ("the run has no task %s"):format(rest), { hint = ":tasks lists them" }) end
  local co = task == stopped.task and stopped.co or task.co
  write(errors.readable(debug.traceback(co, "")) or debug.traceback(co, ""), "\n")
end }

C.scopes = { usage = ":scopes", summary = "the tree of its tasks and scopes", run = function(self)
  local stopped = self.stopped
  write(inside.scopes(inside.root(stopped.task), stopped.task))
end }

C.record = { usage = ":record [N]", summary = "this record, or another one, whole", run = function(self, rest)
  local entry = self.entries[number_of(rest, ":record", self.stopped.row.number)]
  if not entry then errors.raise("usage", ("the run has %d records"):format(#self.entries)) end
  write(timeline.whole(entry))
end }

C.records = { usage = ":records", summary = "the timeline up to here", run = function(self)
  local list = table.move(self.entries, 1, self.stopped.row.number, 1, {})
  write(timeline.text(list, { columns = width(), colour = term.colour(1) }))
end }

C.quit = { usage = ":quit", summary = "leave (Ctrl-D does too)", run = function() return nil, true end }

local ORDER = { "step", "to", "go", "locals", "stack", "frame", "tasks", "scopes", "record", "records", "help", "quit" }

C.help = { usage = ":help", summary = "show this", run = function()
  local rows = {}
  for i, name in ipairs(ORDER) do rows[i] = { "  " .. C[name].usage, C[name].summary } end
  write("An expression prints its value; names are the locals of the stopped task. Nothing can be done or changed.\n",
    term.layout(rows, {}))
end }

local function command(self, text)
  local name, rest = text:match "^:(%a*)%s*(.-)%s*$"
  local found = C[name]
  if not found then
    local near = errors.suggest(name, ORDER)
    errors.raise("usage", ("no command :%s"):format(term.clean(name)),
      { hint = near and ("did you mean :%s?"):format(near) or ":help lists them" })
  end
  return found.run(self, rest)
end

local function expression(self, text)
  local stopped = self.stopped
  local frame = stopped.frames[stopped.frame]
  local record = self.entries[stopped.row.number]
  local results = inside.eval(text, inside.environment(stopped.co, frame, { record = record, stoke = require "stoke" }))
  for i = 1, results.n do write(show(self, results[i]), "\n") end
end

--- One entry. Returns whether the run goes on, or whether to leave.
local function entry(self, text)
  text = text:match "^%s*(.-)%s*$"
  if text == "" then return C.step.run(self, "") end
  if text:find "^:" and not text:find "^::" then return command(self, text) end
  return expression(self, text)
end

-- ---- reading ------------------------------------------------------------------------------------------------------------------

local function highlight(text) return text:find "^%s*:" and {} or tokens.list(text, true) end

local function typed(self, terminal)
  local history = histories.open(histories.path())
  local function complete(before)
    local start = before:match "^%s*:(%l*)$"
    if not start then return nil end
    local list = {}
    for _, name in ipairs(ORDER) do
      if name:sub(1, #start) == start then list[#list + 1] = name end
    end
    return #before - #start + 1, list
  end
  return function()
    local text = terminal:read { prompt = self.paint("bold", ("#%d> "):format(self.stopped.row.number)), more = ". ",
      history = history.entries, finished = evals.finished, complete = complete, highlight = highlight, below = true }
    if text then history:add(text) end
    return text
  end
end

--- Ask until the run goes on; false: leave.
local function ask(self, read)
  show_place(self)
  while true do
    local text = read()
    if not text then return false end
    local ok, goes, quits = pcall(entry, self, text)
    if not ok then
      if errors.is(goes) and goes.kind == "cancelled" then error(goes, 0) end
      stdio.err(self.paint("red", term.clean(tostring(errors.wrap(goes)))) .. "\n")
    elseif quits then
      return false
    elseif goes then
      return true
    end
  end
end

local function finished(self, read, task)
  while true do
    while not self.stopped and not self.over do tasks.park "the run that is replayed" end
    if not self.stopped then return true end
    if not ask(self, read) then
      self.stopped = nil
      task:cancel "left at the prompt"
      return false
    end
    go(self)
  end
end

--- Replay with a prompt where the run stands still.
---@param play fun(): any does the replay, with on_given called in it
---@return boolean finished false: the person left
---@return any what `play` returned
---
--- Example: `prompt:run(function() return replay(function(row) prompt:on_given(row) end) end)`
function Prompt:run(play)
  local result, err
  local task = tasks.spawn(function()
    local ok, value = pcall(play)
    if ok then result = value else err = value end
    self.over = true
    tasks.wake(self.main)
  end, { name = "replay" })
  local done
  if term.interactive() then
    stdio.err ":help lists the commands, Ctrl-D leaves\n"
    local held <close> = prompts.hold "(Ctrl-D leaves, :help tells more)"
    done = finished(self, typed(self, held.terminal), task)
  else
    done = finished(self, prompts.piped(evals.finished), task)
  end
  if done and err then error(err, 0) end
  return done, result
end

return M
