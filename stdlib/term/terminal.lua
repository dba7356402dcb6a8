--- The shared terminal of a session: the line being typed, questions that other tasks ask meanwhile, and the output of all tasks.
---
--- Readers are on a stack: keys go to the newest, whose rows are drawn; the one below continues when it has its answer.
--- One system task reads keys, only while a prompt is active, so that typeahead waits for the next prompt.

local editors = require "stoke.term.editor"
local errors = require "core.errors"
local keeper = require "core.keeper"
local keys = require "stoke.term.keys"
local render = require "stoke.term.render"
local screens = require "stoke.term.screen"
local stdio = require "core.stdio"
local tasks = require "core.task"
local term = require "stoke.term"
local time = require "stoke.time"

local M = {}

local RESIZED, CONTINUED, STOP = 1, 2, 4

--- Bracketed paste: what is pasted comes marked as such.
local HELLO, FAREWELL = "\27[?2004h", "\27[?2004l"

local Terminal = {}
Terminal.__index = Terminal

--- The size of the terminal.
local function size()
  local columns, rows = stdio.columns()
  return columns or 80, rows or 24
end

local function top(self) return self.stack[#self.stack] end

--- Ctrl-C is a key among others while somebody reads, so that it keeps its place among them; else it is a signal, which a line
--- that never waits hears, too.
local function settle(self)
  if not self.plain then stdio.interrupts(top(self) == nil) end
end

--- Draw who reads, or nothing.
local function redraw(self, before)
  local reader = top(self)
  local bytes = before or ""
  if reader and not self.plain then
    local columns, rows = size()
    if columns ~= self.screen.columns then bytes = bytes .. self.screen:resize(columns) end
    bytes = bytes .. self.screen:draw(render.frame(reader.editor, columns, rows, self.paint))
  elseif reader then
    bytes = bytes .. reader.editor.prompt
  end
  if bytes ~= "" then stdio.put(1, bytes) end
end

-- ---- what others do to it ----------------------------------------------------------------------------------------------

--- The task that the output belongs to: the outermost one below the host or the session.
local function writer()
  local task = tasks.current()
  while task do
    local up = task.up
    local parent = up and (up.task or up)
    if not parent or parent.co == false then return task end
    task = parent
  end
  return nil
end

--- Is the line that has no end yet somebody else's, who may go on with it?
local function is_others(self, me)
  return self.screen.tail ~= "" and self.owner ~= me and self.owner ~= nil and not self.owner.state
end

--- Output of other tasks: goes above the line being edited, and above another task's unfinished line.
---@param fd integer
---@param text string
function Terminal:write(fd, text)
  if text == "" then return end
  if not self.terminals[fd] then return stdio.put(fd, text) end
  if not self.plain then
    local me = writer()
    if is_others(self, me) then
      local _, rows = size()
      return stdio.put(1, self.screen:above(text, rows))
    end
    self.owner = me
    return stdio.put(1, self.screen:write(text))
  end
  local reader, me = top(self), writer()
  if not reader then
    local breaks = self.partial and self.owner ~= me and self.owner and not self.owner.state
    self.partial, self.owner = text:sub(-1) ~= "\n", me
    return stdio.put(fd, (breaks and "\n" or "") .. text)
  end
  self.partial = nil
  stdio.put(1, (self.fresh and "" or "\n") .. text .. (text:find "\n$" and "" or "\n") .. reader.editor.prompt)
end

--- End the line that was written last, where it has no end and who wrote it will not go on with it.
function Terminal:fresh_line()
  if self.plain or self.screen.shown or self.screen.tail == "" or is_others(self, writer()) then return end
  stdio.put(1, self.screen:write "\n")
end

--- Bytes that lead to the begin of a row that holds nothing, wherever the cursor is: what was written before may lack a line's end.
---@return string
function Terminal:next_row() return (" "):rep(self.screen.columns - 1) .. "\r\27[K" end

--- One line, for code that asks the user a question.
---@param prompt? string without it, what the asking task wrote last without a line's end is the question
---@return string|nil line nil: the person ended the input
function Terminal:read_line(prompt)
  local above, last = (prompt or ""):match "^(.*\n)([^\n]*)$"
  if above then
    self:write(1, above)
    prompt = last
  end
  if not prompt and not self.plain and not is_others(self, writer()) then
    local bytes
    prompt, bytes = self.screen:take_tail()
    if bytes ~= "" then stdio.put(1, bytes) end
  end
  return self:read { prompt = prompt or "", more = "" }
end

--- Discards unread typeahead, so that it does not answer a question the user has not seen.
function Terminal:forget_typed()
  self.keys = {}
  self.decoder = keys.new()
  self.escapes = self.escapes + 1
end

--- Something to be decided was shown. An entry begun before knows nothing of it: see `begun`.
---@return integer number of what was shown
function Terminal:mark()
  self.marks = self.marks + 1
  return self.marks
end

-- ---- reading -----------------------------------------------------------------------------------------------------------

local function drop(self, reader)
  for i, other in ipairs(self.stack) do
    if other == reader then
      table.remove(self.stack, i)
      break
    end
  end
  settle(self)
end

local function finish(self, reader, text)
  reader.done, reader.text = true, text
  self.begun = reader.begun or self.marks
  drop(self, reader)
  tasks.wake(reader.task)
end

--- The entry stays on the screen as it is, whole.
local function leave(self, reader)
  if self.plain then return end
  local screen = self.screen
  stdio.put(1, screen:draw(render.whole(reader.editor, screen.columns, self.paint)) .. screen:leave())
end

--- One key for who reads now.
local function key(self, event)
  if event.key == "ctrl-c" then
    self.on_interrupt()
    return true
  end
  local reader = top(self)
  reader.begun = reader.begun or self.marks
  local what = reader.editor:handle(event)
  if what == "submit" or what == "eof" then
    leave(self, reader)
    finish(self, reader, what == "submit" and reader.editor:text() or nil)
    return true
  elseif what == "clear" then
    self.screen:clear()
    redraw(self, "\27[H\27[2J")
  elseif what == "bell" then
    self.bell = true
  end
end

--- Processes the pending keys while a prompt reads; draws once.
local function serve(self)
  local changed = false
  while top(self) and self.keys[1] do
    changed = not key(self, table.remove(self.keys, 1)) -- done: it has been drawn
  end
  for i = #self.keys, 1, -1 do -- typed ahead of its time: it is about what runs, and what was typed before it is void
    if self.keys[i].key == "ctrl-c" and not top(self) then
      self.keys = table.move(self.keys, i + 1, #self.keys, 1, {})
      self.on_interrupt()
      break
    end
  end
  if changed or (top(self) and not self.screen.shown) then redraw(self, self.bell and "\a" or nil) end
  self.bell = nil
end

local function take(self, events)
  table.move(events, 1, #events, #self.keys + 1, self.keys)
  serve(self)
end

--- An ESC may be a key of its own: it is one when nothing has followed for a moment.
local function await_escape(self)
  self.escapes = self.escapes + 1
  local number = self.escapes
  tasks.spawn(function()
    time.sleep(keys.ESCAPE)
    if self.escapes == number and not self.closed then take(self, self.decoder:flush()) end
  end, { system = true, name = "escape" })
end

--- End of input: no more answers will come.
local function ended(self)
  self.over = true
  while top(self) do finish(self, top(self), nil) end
end

local function read_keys(self)
  local bytes = stdio.read_some()
  if not bytes then return ended(self) end
  settle(self)
  self.escapes = self.escapes + 1
  take(self, self.decoder:feed(bytes))
  if self.decoder:waiting() then await_escape(self) end
end

local function read_plain(self)
  local line = stdio.take_line()
  if not line then
    stdio.put(1, "\n") -- the prompt's line
    return ended(self)
  end
  self.fresh = true
  local reader = top(self)
  if reader then finish(self, reader, line) end
end

local function reading(self)
  local step = self.plain and read_plain or read_keys
  while not self.over do
    while not top(self) do tasks.park "keys" end
    local ok, err = pcall(step, self)
    if not ok then
      if errors.is(err) and err.kind ~= "os" then error(err, 0) end
      ended(self) -- the terminal is gone
    end
  end
end

local Gone = { __close = function(gone)
  local self, reader = gone.terminal, gone.reader
  if reader.done or self.closed then return end
  local was_top = top(self) == reader
  drop(self, reader)
  if not was_top then return end
  if not self.plain then stdio.put(1, self.screen:leave()) end
  redraw(self)
end }

--- Read an entry.
---@param options stoke.term.editor.options and below?: boolean: questions that wait for an answer go first
---@return string|nil text nil at the end of the input
function Terminal:read(options)
  if self.over then return nil end
  local reader = { editor = editors.new(options), task = tasks.current(), below = options.below }
  local gone <close> = setmetatable({ terminal = self, reader = reader }, Gone)
  local below = options.below and top(self)
  if not self.plain and top(self) and not below then stdio.put(1, self.screen:clear()) end
  table.insert(self.stack, below and 1 or #self.stack + 1, reader)
  settle(self)
  if not self.plain then serve(self) elseif not below then redraw(self) end
  tasks.wake(self.reader)
  while not reader.done do tasks.park "the person at the terminal" end
  if top(self) then redraw(self) end
  return reader.text
end

--- What TAB asked for in vain may have come.
function Terminal:complete_again()
  local reader = top(self)
  if reader and reader.editor:complete_again() then redraw(self) end
end

--- Ctrl-C: cancels a question, drops an entry. False when no prompt reads.
---@return boolean|"empty" read "empty": there was nothing that it could drop
function Terminal:interrupt()
  local reader = top(self)
  if not reader then return false end
  if self.plain then
    redraw(self, "\n")
    return "empty"
  end
  if not reader.below then
    leave(self, reader)
    finish(self, reader, nil)
    return true
  end
  local editor, screen = reader.editor, self.screen
  local kept, at = editor.cells, editor.at
  stdio.put(1, screen:draw(render.whole(editor, screen.columns, self.paint)))
  editor.cells, editor.at = kept, at
  local had = editor:interrupt()
  reader.begun = nil
  redraw(self, "^C" .. screen:leave())
  return had or "empty"
end

-- ---- news --------------------------------------------------------------------------------------------------------------

local function on_news(self, news)
  if news & STOP ~= 0 then
    if not self.plain then stdio.put(1, self.screen:leave()) end
    stdio.suspend()
    stdio.put(1, HELLO)
    redraw(self)
  elseif news & CONTINUED ~= 0 then
    stdio.put(1, HELLO .. self.screen:clear())
    redraw(self)
  elseif news & RESIZED ~= 0 then
    local columns = size()
    local bytes = self.screen:resize(columns)
    redraw(self, bytes)
  end
end

--- Take the terminal.
---@param options { plain?: boolean, on_interrupt: fun() } plain: whole lines, nothing is drawn; on_interrupt: Ctrl-C was typed
---@return table terminal
function M.open(options)
  local colour = term.colour(1)
  local self = setmetatable({ plain = options.plain or false, on_interrupt = options.on_interrupt, stack = {}, keys = {},
    decoder = keys.new(), escapes = 0, marks = 0, begun = 0, screen = screens.new((size())),
    terminals = { stdio.is_tty(1), stdio.is_tty(2) },
    paint = function(style, text) return term.paint(style, text, colour) end }, Terminal)
  if not self.plain then
    stdio.raw(FAREWELL)
    stdio.put(1, HELLO)
    keeper.on_terminal = function(news) on_news(self, news) end
  end
  stdio.holder = self
  self.reader = tasks.spawn(function() reading(self) end, { system = true, name = "terminal" })
  return self
end

--- Give it back.
function Terminal:close()
  if self.closed then return end
  self.closed = true
  if stdio.holder == self then stdio.holder = nil end
  keeper.on_terminal = nil
  if not self.plain then
    stdio.put(1, self.screen:leave() .. (self.screen.tail ~= "" and "\n" or ""))
    stdio.cooked()
  end
  self.reader:cancel()
end

Terminal.__close = Terminal.close

return M
