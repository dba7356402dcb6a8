-- A small terminal for tests: bytes in, what a person would see out. Wraps, scrolls, knows wide characters and the few
-- sequences that the prompt uses; anything else is an error, so that nothing goes unseen.

local clusters = require "stoke.term.cluster"

local Screen = {}
Screen.__index = Screen

local function new(columns, rows)
  return setmetatable({ columns = columns, rows = rows, lines = { {} }, row = 1, column = 0, top = 1, rest = "",
    bells = 0 }, Screen)
end

function Screen:line() -- the one under the cursor
  while #self.lines < self.row do self.lines[#self.lines + 1] = {} end
  return self.lines[self.row]
end

function Screen:down()
  self.row = self.row + 1
  self:line()
  if self.row >= self.top + self.rows then self.top = self.row - self.rows + 1 end
end

function Screen:char(char, width)
  local line = self:line()
  if width == 0 then
    local at = self.column
    while at > 0 and line[at] == "" do at = at - 1 end
    if at > 0 then line[at] = line[at] .. char end
    return
  end
  if self.column + width > self.columns then
    self:down()
    self.column = 0
    line = self:line()
  end
  for i = #line + 1, self.column do line[i] = " " end
  line[self.column + 1] = char
  if width == 2 then line[self.column + 2] = "" end
  self.column = self.column + width
end

local function erase(line, from)
  for i = #line, from, -1 do line[i] = nil end
end

local CSI = {}
function CSI.A(s, n) s.row = math.max(s.top, s.row - n) end
function CSI.B(s, n) s.row = math.min(s.top + s.rows - 1, s.row + n) s:line() end
function CSI.C(s, n) s.column = math.min(s.columns - 1, s.column + n) end
function CSI.H(s) s.row, s.column = s.top, 0 end
function CSI.K(s) erase(s:line(), s.column + 1) end
function CSI.m() end
function CSI.J(s, _, given)
  if given == "2" then
    for row = s.top, #s.lines do s.lines[row] = {} end
    return
  end
  erase(s:line(), s.column + 1)
  for row = #s.lines, s.row + 1, -1 do s.lines[row] = nil end
end

local function sequence(self, text, at)
  local given, final, stop = text:match("^\27%[([%d;?]*)(%a)()", at)
  if not final then
    assert(#text - at < 16, "a sequence that nobody knows: " .. ("%q"):format(text:sub(at, at + 15)))
    return nil
  end
  if (final == "h" or final == "l") and given == "?2004" then
    self.pastes = final == "h"
  else
    assert(CSI[final], "a sequence that nobody knows: " .. final)(self, math.max(1, tonumber(given) or 1), given)
  end
  return stop
end

-- What the program wrote; `cooked`: LF goes to the left edge, too, as behind a terminal's driver.
function Screen:feed(bytes)
  local text, at = self.rest .. bytes, 1
  self.rest = ""
  while at <= #text do
    local stop, width = clusters.at(text, at) -- one that comes in two writes is drawn apart; the prompt writes rows whole
    local char = text:sub(at, stop - 1)
    if char == "\27" then stop = sequence(self, text, at)
    elseif char == "\r" then self.column = 0
    elseif char == "\n" then self:down() self.column = self.raw and self.column or 0
    elseif char == "\b" then self.column = math.max(0, self.column - 1)
    elseif char == "\a" then self.bells = self.bells + 1
    elseif char == "\t" then for _ = 1, 8 - self.column % 8 do self:char(" ", 1) end
    else self:char(char, width) end
    if not stop then
      self.rest = text:sub(at)
      return
    end
    at = stop
  end
end

-- All that was ever written and not cleared, scrolled away or not.
function Screen:text()
  local out = {}
  for i, line in ipairs(self.lines) do out[i] = (table.concat(line):gsub("%s+$", "")) end
  while out[1] and out[#out] == "" do out[#out] = nil end
  return table.concat(out, "\n")
end

-- The line under the cursor up to it, a bar for the cursor, and the rest.
function Screen:at_cursor()
  local line = self:line()
  local before = table.concat(line, "", 1, math.min(self.column, #line)) .. (" "):rep(self.column - #line)
  return before .. "|" .. table.concat(line, "", math.min(self.column, #line) + 1)
end

return new
