--- Editing an entry: a state machine without a terminal. Keys go in (handle), what the user sees comes out (render).
---
--- An entry is a list of cells and a cursor between two of them; it may have several lines. Names of keys are Emacs's, as in
--- every shell.

local cells = require "stoke.term.cells"
local undo = require "stoke.term.undo"

local M = {}

local Editor = {}
Editor.__index = Editor

---@class stoke.term.editor.options
---@field prompt? string what stands before the first line, styles in it
---@field more? string what stands before the other lines
---@field text? string to begin with
---@field secret? boolean show stars in place of what is typed
---@field history? string[] older entries, oldest first
---@field finished? fun(text: string): boolean whether Enter ends the entry; without it always
---@field complete? fun(before: string): integer?, string[]?, boolean? byte where the completed word begins, what it may become, and
---  whether more may be known in a moment
---@field highlight? fun(text: string): { kind: string, start: integer, stop: integer }[] parts that are painted

---@param options? stoke.term.editor.options
---@return table editor
function M.new(options)
  options = options or {}
  local self = setmetatable({ prompt = options.prompt or "", more = options.more or options.prompt or "", cells = {}, at = 0,
    history = options.history or {}, finished = options.finished, complete = options.complete, highlight = options.highlight,
    secret = options.secret,    kept = {}, top = 1 }, Editor)
  if options.text then self:insert(options.text) end
  self.undo = undo.new()
  return self
end

--- The entry as it is.
---@return string
function Editor:text() return table.concat(self.cells) end

--- What stands before the cursor.
---@return string
function Editor:before() return table.concat(self.cells, "", 1, self.at) end

-- ---- changing ---------------------------------------------------------------------------------------------------------

--- Another entry in place of this one, the cursor behind it.
---@param text string
function Editor:set(text)
  self.cells = cells.split(text)
  self.at = #self.cells
end

--- Cells that came to stand side by side may be one now (an emoji joined to another, a letter and its mark): those from `left` up
--- to the cursor, and what is next to them, are told apart anew.
local function rejoin(self, left)
  local list, at = self.cells, self.at
  local from, stop = math.max(left, 1), at
  if not (cells.joins(list[from + 1]) or cells.joins(list[at + 1])) then return end
  while from > 1 and cells.joins(list[from]) do from = from - 1 end -- flags are counted from the first
  while cells.joins(list[stop + 1]) do stop = stop + 1 end
  local bytes = #table.concat(list, "", from, at) -- before the cursor
  local new = cells.split(table.concat(list, "", from, stop))
  local tail = table.move(list, stop + 1, #list, 1, {})
  for i = #list, from, -1 do list[i] = nil end
  self.at = from - 1
  for _, cell in ipairs(new) do
    list[#list + 1] = cell
    if bytes > 0 then self.at = #list end
    bytes = bytes - #cell
  end
  table.move(tail, 1, #tail, #list + 1, list)
end

--- Text at the cursor.
---@param text string
function Editor:insert(text)
  local list, at = self.cells, self.at
  local new = cells.split(text)
  if not new[1] then return end
  table.move(list, at + 1, #list, at + 1 + #new)
  table.move(new, 1, #new, at + 1, list)
  self.at = at + #new
  rejoin(self, at)
end

--- Take out the cells behind `from`, up to `to`.
local function cut(self, from, to)
  if to <= from then return "" end
  local list, count = self.cells, #self.cells
  local out = table.concat(list, "", from + 1, to)
  table.move(list, to + 1, count + to - from, from + 1) -- the nils behind the end come along
  self.at = from
  rejoin(self, from)
  return out
end

--- Take out and keep for ctrl-y; what is killed in a row is kept as one.
local function kill(self, from, to, backwards)
  local text = cut(self, from, to)
  if text == "" then return end
  local before = self.killing and self.killed or ""
  self.killed = backwards and text .. before or before .. text
  self.kills = true
end

-- ---- places -----------------------------------------------------------------------------------------------------------

local function line_start(self, at)
  while at > 0 and self.cells[at] ~= "\n" do at = at - 1 end
  return at
end

local function line_end(self, at)
  while at < #self.cells and self.cells[at + 1] ~= "\n" do at = at + 1 end
  return at
end

local function in_word(cell) return cell ~= nil and (cell:find "^[%w_]" ~= nil or #cell > 1) end

local function word_left(self, at)
  while at > 0 and not in_word(self.cells[at]) do at = at - 1 end
  while at > 0 and in_word(self.cells[at]) do at = at - 1 end
  return at
end

local function word_right(self, at)
  while at < #self.cells and not in_word(self.cells[at + 1]) do at = at + 1 end
  while at < #self.cells and in_word(self.cells[at + 1]) do at = at + 1 end
  return at
end

--- As ctrl-w of a shell: up to a blank.
local function blank_left(self, at)
  while at > 0 and self.cells[at]:find "^%s" do at = at - 1 end
  while at > 0 and not self.cells[at]:find "^%s" do at = at - 1 end
  return at
end

--- The line above or below the cursor's, at the same column; false when there is none.
local function other_line(self, down)
  local start = line_start(self, self.at)
  local column = self.at - start
  if down then
    local stop = line_end(self, self.at)
    if stop == #self.cells then return false end
    self.at = math.min(stop + 1 + column, line_end(self, stop + 1))
  else
    if start == 0 then return false end
    self.at = math.min(line_start(self, start - 1) + column, start - 1)
  end
  return true
end

-- ---- history ----------------------------------------------------------------------------------------------------------

--- Show another entry of the history; the one being written is kept while one looks.
local function recall(self, step)
  local count = #self.history
  local index = (self.index or count + 1) + step
  if index < 1 or index > count + 1 then return "bell" end
  if not self.index then self.draft = self:text() end
  self.index = index <= count and index or nil
  self:set(self.index and self.history[index] or self.draft)
end

-- ---- completion -------------------------------------------------------------------------------------------------------

local function common_prefix(list)
  local prefix = list[1]
  for _, word in ipairs(list) do
    while word:sub(1, #prefix) ~= prefix do prefix = prefix:sub(1, -2) end
  end
  while prefix ~= "" and not utf8.len(prefix) do prefix = prefix:sub(1, -2) end
  return prefix
end

local function tab(self)
  local before = self:before()
  local line = before:match "[^\n]*$"
  if not self.complete or (line:find "^%s*$" and #self.cells > 0) then
    self:insert "  "
    return
  end
  local from, list, later = self.complete(before)
  if not from or not list or #list == 0 then
    self.wanting = true
    return not later and "bell" or nil
  end
  local typed, prefix = before:sub(from), common_prefix(list)
  if #prefix >= #typed and prefix ~= typed then
    cut(self, self.at - #cells.split(typed), self.at)
    self:insert(prefix)
  end
  if #list > 1 then self.menu = list end
end

-- ---- keys -------------------------------------------------------------------------------------------------------------

local K = {}

function K.left(self) self.at = math.max(0, self.at - 1) end
function K.right(self) self.at = math.min(#self.cells, self.at + 1) end
function K.home(self) self.at = line_start(self, self.at) end
K["end"] = function(self) self.at = line_end(self, self.at) end
K["ctrl-home"] = function(self) self.at = 0 end
K["ctrl-end"] = function(self) self.at = #self.cells end
K["alt-b"] = function(self) self.at = word_left(self, self.at) end
K["alt-f"] = function(self) self.at = word_right(self, self.at) end
function K.backspace(self) cut(self, math.max(0, self.at - 1), self.at) end
function K.delete(self)
  if self.at < #self.cells then cut(self, self.at, self.at + 1) end
end
K["ctrl-d"] = function(self)
  if #self.cells == 0 then return "eof" end
  K.delete(self)
end
K["ctrl-k"] = function(self)
  local stop = line_end(self, self.at)
  kill(self, self.at, stop == self.at and math.min(stop + 1, #self.cells) or stop)
end
K["ctrl-u"] = function(self) kill(self, line_start(self, self.at), self.at, true) end
K["ctrl-w"] = function(self) kill(self, blank_left(self, self.at), self.at, true) end
K["alt-backspace"] = function(self) kill(self, word_left(self, self.at), self.at, true) end
K["alt-d"] = function(self) kill(self, self.at, word_right(self, self.at)) end
K["ctrl-y"] = function(self) self:insert(self.killed or "") end
K["ctrl-t"] = function(self)
  local at = math.min(self.at, #self.cells - 1)
  if at < 1 then return "bell" end
  local list = self.cells
  list[at], list[at + 1] = list[at + 1], list[at]
  self.at = at + 1
  rejoin(self, at - 1)
end
K["ctrl-_"] = function(self) return self.undo:back(self) end
K["ctrl-l"] = function() return "clear" end
function K.up(self)
  if not other_line(self, false) then return recall(self, -1) end
end
function K.down(self)
  if not other_line(self, true) then return recall(self, 1) end
end
K["ctrl-p"], K["ctrl-n"] = K.up, K.down
function K.pageup(self) return recall(self, -1) end
function K.pagedown(self) return recall(self, 1) end
K["alt-<"] = function(self)
  if self.history[1] then return recall(self, 1 - (self.index or #self.history + 1)) end
end
K["alt->"] = function(self)
  if self.index then return recall(self, #self.history + 1 - self.index) end
end
function K.enter(self)
  if not self.finished or self.finished(self:text()) then return "submit" end
  self:insert "\n"
end
K["alt-enter"] = function(self) self:insert "\n" end
K.tab = tab
K["ctrl-r"] = function(self) self.search = { query = "", saved = self:text(), at = self.at, index = #self.history + 1 } end

for other, name in pairs { ["ctrl-b"] = "left", ["ctrl-f"] = "right", ["ctrl-a"] = "home", ["ctrl-e"] = "end",
  ["ctrl-left"] = "alt-b", ["alt-left"] = "alt-b", ["ctrl-right"] = "alt-f", ["alt-right"] = "alt-f",
  ["ctrl-backspace"] = "ctrl-w", ["ctrl-delete"] = "alt-d", ["ctrl-x"] = "ctrl-_", ["shift-enter"] = "alt-enter",
  ["ctrl-enter"] = "alt-enter", ["ctrl-o"] = "alt-enter", ["shift-tab"] = "tab" } do
  K[other] = K[name]
end

-- ---- searching the history --------------------------------------------------------------------------------------------

--- The next entry that holds the query, from `index` on; older ones unless step is 1.
local function find(self, index, step)
  local search = self.search
  while index >= 1 and index <= #self.history do
    local entry = self.history[index]
    local at = search.query ~= "" and entry:find(search.query, 1, true)
    if at then
      search.index, search.failed = index, nil
      self:set(entry)
      self.at = #cells.split(entry:sub(1, at - 1))
      return
    end
    index = index + step
  end
  search.failed = search.query ~= "" or nil
  return search.failed and "bell" or nil
end

local function leave_search(self, keep)
  local search = self.search
  self.search = nil
  if keep then
    if search.index <= #self.history then
      self.draft, self.index = search.saved, search.index
    end
  else
    self:set(search.saved)
    self.at = search.at
  end
end

local S = {}
S["ctrl-r"] = function(self) return find(self, self.search.index - 1, -1) end
S["ctrl-s"] = function(self) return find(self, self.search.index + 1, 1) end
S.up, S.down = S["ctrl-r"], S["ctrl-s"]
function S.backspace(self)
  local search = self.search
  local list = cells.split(search.query)
  list[#list] = nil
  search.query = table.concat(list)
  return find(self, #self.history, -1)
end
S["ctrl-g"] = function(self) leave_search(self, false) end
function S.escape(self) leave_search(self, true) end

local function search_key(self, event)
  local more = event.text or event.paste
  if more then
    local search = self.search
    search.query = search.query .. more:gsub("\n.*", "")
    return find(self, math.min(search.index, #self.history), -1)
  end
  local f = S[event.key]
  if f then return f(self) end
  leave_search(self, true)
  return self:handle(event)
end

-- ---- what the terminal's owner calls ----------------------------------------------------------------------------------

--- One key.
---@param event table as of stoke.term.keys
---@return "submit"|"eof"|"clear"|"bell"|nil
function Editor:handle(event)
  self.menu, self.wanting = nil, nil
  if self.search then return search_key(self, event) end
  self.undo:note(self, event)
  self.killing, self.kills = self.kills, nil
  local text = event.text or (event.paste and event.paste:gsub("\n$", ""))
  if text then
    self:insert(text)
    return nil
  end
  local f = K[event.key]
  if f then return f(self) end
  return event.key ~= "escape" and "bell" or nil
end

--- Repeat a TAB that found nothing, since more may be known now. False when there was no such TAB.
---@return boolean
function Editor:complete_again()
  if not self.wanting then return false end
  self.wanting = nil
  tab(self)
  return true
end

--- Ctrl-C: an entry begun is dropped. True when there was one.
---@return boolean
function Editor:interrupt()
  local had = #self.cells > 0 or self.search ~= nil
  self.search, self.menu, self.index = nil, nil, nil
  self:set ""
  return had
end

return M
