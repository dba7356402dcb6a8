--- A file read as lines, piece by piece: of a file of any size no more is in memory than a piece, and the line that is read.

local errors = require "core.errors"
local fs = require "stoke.fs"
local show = require "stoke.show"

local M = {}

--- Bytes that are read at once, and bytes of the longest line.
local PIECE <const>, LONGEST <const> = 256 << 10, 8 << 20
M.LONGEST = LONGEST

---@class stoke.batch.lines
---@field path string
---@field at integer bytes of the file in front of `text`
---@field text string what was read
---@field from integer where in `text` the next line begins
---@field line integer the number of the next line
local Lines = {}
Lines.__index = Lines

--- Open a file.
---@param path string
---@param place? { bytes: integer, lines: integer } where to go on: what is behind so many bytes and lines
---@return stoke.batch.lines
---Raises `os` where it cannot be read.
function M.open(path, place)
  local about = fs.stat(path)
  if not about then errors.raise("os", ("there is no file %s"):format(show.word(path))) end
  if about.type ~= "file" then
    errors.raise("os", ("%s is a %s"):format(show.word(path), about.type == "directory" and "folder" or about.type),
      { hint = "a batch reads a file from its beginning to its end, and again where it goes on: write it to a file first" })
  end
  local self = { path = path, size = about.size, at = place and place.bytes or 0, text = "", from = 1,
    line = place and place.lines + 1 or 1 }
  return setmetatable(self, Lines)
end

--- Read on; false at the end of the file.
local function fill(self, bytes)
  local more = fs.read(self.path, { from = self.at + #self.text + 1, bytes = bytes })
  if more == "" then return false end
  self.at, self.text, self.from = self.at + self.from - 1, self.text:sub(self.from) .. more, 1
  return true
end

--- Pass over the rest of a line that is too long.
local function skip(self)
  while true do
    local stop = self.text:find("\n", self.from, true)
    if stop then
      self.from = stop + 1
      return
    end
    self.from = #self.text + 1
    if not fill(self, PIECE) then return end
  end
end

--- The next line, without its end.
---@return string|false|nil line nil at the end of the file; false for one that is too long, which is passed over
function Lines:next()
  local searched = self.from
  while true do
    local stop = self.text:find("\n", searched, true)
    if stop then
      local line = self.text:sub(self.from, self.text:byte(stop - 1) == 13 and stop - 2 or stop - 1)
      self.from, self.line = stop + 1, self.line + 1
      return #line <= LONGEST and line
    end
    local held = #self.text - self.from + 1
    if held > LONGEST then
      skip(self)
      self.line = self.line + 1
      return false
    end
    searched = held + 1 -- in the text as fill leaves it
    if not fill(self, math.max(PIECE, held)) then
      if held == 0 then return nil end
      local line = self.text:sub(self.from)
      self.from, self.line = #self.text + 1, self.line + 1
      return line
    end
  end
end

--- Bytes of the file in front of the next line.
---@return integer
function Lines:bytes() return self.at + self.from - 1 end

--- A place to come back to, as long as no more than LONGEST bytes are read from there.
---@return table
function Lines:mark() return { bytes = self:bytes(), line = self.line } end

--- Go back to a place.
---@param mark table
function Lines:back(mark)
  if mark.bytes >= self.at then
    self.from = mark.bytes - self.at + 1
  else
    self.at, self.text, self.from = mark.bytes, "", 1
  end
  self.line = mark.line
end

return M
