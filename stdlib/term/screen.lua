--- Draws on the terminal: the rows of a line editor, and above them the output of other tasks. Takes frames and texts, gives bytes
--- for the terminal. Rows are narrower than the terminal, so that it never wraps one itself.

local clusters = require "stoke.term.cluster"
local term = require "stoke.term"

local M = {}

local Screen = {}
Screen.__index = Screen

---@class stoke.term.frame
---@field lines string[] the rows, styles in them
---@field row integer of the cursor, from 1
---@field column integer of the cursor, from 0

---@param columns integer
function M.new(columns)
  return setmetatable({ columns = columns, tail = "", tail_column = 0, tail_rows = 0, lines = {}, row = 1, column = 0 }, Screen)
end

--- Move within what is drawn.
local function move(from, to)
  if to < from then return ("\27[%dA"):format(from - to) end
  if to > from then return ("\27[%dB"):format(to - from) end
  return ""
end

local function at_column(column) return column > 0 and ("\r\27[%dC"):format(column) or "\r" end

--- Draw a frame in place of the last one.
---@param frame stoke.term.frame
---@return string bytes
function Screen:draw(frame)
  local out, old, new = {}, self.lines, frame.lines
  local row = self.row
  if not self.shown then
    old, row = {}, 1
    if self.tail ~= "" then out[1], self.tail = "\r\n", "" end
  end
  for i = 1, #new do
    if old[i] ~= new[i] then
      if i <= #old or i == 1 then
        out[#out + 1] = move(row, i) .. "\r"
      else
        out[#out + 1] = move(row, i - 1) .. "\r\n"
      end
      out[#out + 1] = new[i] .. "\27[K"
      row = i
    end
  end
  if #old > #new then
    out[#out + 1] = move(row, #new + 1) .. "\r\27[J"
    row = #new + 1
  end
  out[#out + 1] = move(row, frame.row) .. at_column(frame.column)
  self.shown, self.lines, self.row, self.column = true, new, frame.row, frame.column
  return table.concat(out)
end

--- Take the frame away; the cursor is where it began.
---@return string bytes
function Screen:clear()
  if not self.shown then return "" end
  local out = move(self.row, 1) .. "\r\27[J"
  self.shown, self.lines, self.row, self.column = false, {}, 1, 0
  return out
end

--- Keep the frame and move below it.
---@return string bytes
function Screen:leave()
  if not self.shown then return "" end
  local out = move(self.row, #self.lines) .. "\r\n"
  self.shown, self.lines, self.row, self.column, self.tail = false, {}, 1, 0, ""
  return out
end

--- Where the cursor stands behind a text, as a terminal wraps it: the column, and the rows below the one it began in.
local function place(text, columns, column, rows)
  for char, width in clusters.each((text:gsub("\27%[[%d;?]*[ -/]*[@-~]", ""))) do
    if char == "\r" then
      column = 0
    else
      if char == "\t" then width = 8 - column % 8 end
      if column + width > columns then column, rows = 0, rows + 1 end
      column = column + width
    end
  end
  return column, rows
end

--- Bytes of a line without its end that may still become a prompt.
local QUESTION = 1000

local function add_tail(self, text)
  local before, last = text:match "^(.*\n)([^\n]*)$"
  if before or self.tail == "" then self.tail, self.tail_column, self.tail_rows = "", 0, 0 end
  last = last or text
  local drawn = self.tail_rows == 0 and last:match ".*\r\27%[K(.*)$" -- a line that is drawn again in place, as progress bars are
  if drawn then last, self.tail, self.tail_column = drawn, "", 0 end
  self.tail_column, self.tail_rows = place(last, self.columns, self.tail_column, self.tail_rows)
  self.tail = #self.tail > QUESTION and self.tail or self.tail .. last
end

--- What others write. A line without its end is kept, and goes on where it was with the next text.
---@param text string
---@return string bytes
function Screen:write(text)
  local frame = self.shown and { lines = self.lines, row = self.row, column = self.column }
  local out = { self:clear() }
  if frame and self.tail ~= "" and self.tail_column < self.columns then
    out[#out + 1] = "\27[A" .. at_column(self.tail_column)
  end
  out[#out + 1] = text
  add_tail(self, text)
  if not frame then return table.concat(out) end
  local kept = self.tail
  if kept ~= "" then out[#out + 1] = "\r\n" end
  self.tail = ""
  out[#out + 1] = self:draw(frame)
  self.tail = kept
  return table.concat(out)
end

--- Take back the line without its end that others wrote last: it becomes the prompt of who asks now. A long one stays.
---@return string text
---@return string bytes
function Screen:take_tail()
  local shown = self.shown
  local tail, bytes = self.tail, self:clear()
  if tail == "" then return "", bytes end
  self.tail = ""
  if #tail > QUESTION then return "", bytes .. (shown and "" or "\r\n") end
  local up = self.tail_rows + (shown and 1 or 0)
  return tail, bytes .. (up > 0 and ("\27[%dA"):format(up) or "") .. "\r\27[J"
end

--- What somebody else writes while a line is not at its end: that line is taken away, written again below the text, and goes on
--- there. One that is too long to be moved stays, and goes on in the next row.
---@param text string
---@param rows integer of the terminal
---@return string bytes
function Screen:above(text, rows)
  local frame = self.shown and { lines = self.lines, row = self.row, column = self.column }
  local height = self.tail_rows + (frame and #frame.lines + 1 or 0)
  local tail, bytes
  if height < rows - 1 then
    tail, bytes = self:take_tail()
  else
    tail, bytes, self.tail = "", self:clear() .. (frame and "" or "\r\n"), ""
  end
  local out = { bytes, text, text:find "\n$" and "" or "\n", tail }
  add_tail(self, tail)
  if frame then
    if tail ~= "" then out[#out + 1] = "\r\n" end
    self.tail = ""
    out[#out + 1] = self:draw(frame)
    self.tail = tail
  end
  return table.concat(out)
end

--- The terminal has another width: its rows were wrapped anew, where they had become too long.
---@param columns integer
---@return string bytes to be followed by a draw
function Screen:resize(columns)
  self.columns = columns
  if self.tail ~= "" and #self.tail <= QUESTION then self.tail_column, self.tail_rows = place(self.tail, columns, 0, 0) end
  if not self.shown then return "" end
  local up = self.column // columns -- in the row of the cursor
  for i = 1, self.row - 1 do
    up = up + math.max(0, (term.width((self.lines[i]:gsub("\r\27%[%d+C", ""))) - 1) // columns) + 1
  end
  self.shown, self.lines, self.row, self.column = false, {}, 1, 0
  return (up > 0 and ("\27[%dA"):format(up) or "") .. "\r\27[J"
end

return M
