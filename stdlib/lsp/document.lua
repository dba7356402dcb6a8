--- A text that an editor has open, pure: changes by positions, which count UTF-16 units or bytes of a line.

local M = {}

---@class stoke.lsp.document
---@field uri string
---@field language string|nil
---@field version integer
---@field lines string[] without their LF; a CR stays
---@field size integer bytes
local Document = {}
Document.__index = Document

local function split(text)
  local lines, from = {}, 1
  while true do
    local lf = text:find("\n", from, true)
    if not lf then break end
    lines[#lines + 1] = text:sub(from, lf - 1)
    from = lf + 1
  end
  lines[#lines + 1] = text:sub(from)
  return lines
end

--- A document.
---@param uri string
---@param language string|nil
---@param version integer
---@param text string
---@param encoding "utf-8"|"utf-16"
---@return stoke.lsp.document
---
--- Example: `local doc = document.new("file:///a.py", "python", 1, "x = 1\n", "utf-16")`
function M.new(uri, language, version, text, encoding)
  return setmetatable({ uri = uri, language = language, version = version, lines = split(text), size = #text,
    encoding = encoding }, Document)
end

--- Bytes of a line before so many units. Beyond its end is its end; in the middle of a character is before it.
---@param line string
---@param units integer
---@param encoding "utf-8"|"utf-16"
---@return integer
---
--- Example: `print(document.bytes("é", 1, "utf-16"))   --> 2`
function M.bytes(line, units, encoding)
  local last = #line - (line:byte(-1) == 13 and 1 or 0)
  if encoding == "utf-8" or not line:find "[\x80-\xff]" then
    local at = math.min(units, last)
    while at > 0 and at < last and line:byte(at + 1) & 0xC0 == 0x80 do at = at - 1 end
    return at
  end
  local at, count = 0, 0
  while at < last do
    local lead = line:byte(at + 1)
    local length = lead >= 0xF0 and 4 or lead >= 0xE0 and 3 or lead >= 0xC0 and 2 or 1
    local wide = length == 4 and 2 or 1
    if count + wide > units then break end
    count, at = count + wide, math.min(at + length, last)
  end
  return at
end

--- Units of the first bytes of a line.
---@param line string
---@param bytes integer
---@param encoding "utf-8"|"utf-16"
---@return integer
---
--- Example: `print(document.units("é", 2, "utf-16"))   --> 1`
function M.units(line, bytes, encoding)
  if encoding == "utf-8" then return bytes end
  local part = line:sub(1, bytes)
  if not part:find "[\x80-\xff]" then return bytes end
  local _, inner = part:gsub("[\x80-\xbf]", "")
  local _, wide = part:gsub("[\xf0-\xf7]", "")
  return bytes - inner + wide
end

--- Line and bytes before a position; one outside the text is at its nearest end.
local function place(self, position)
  local row = position.line + 1
  if row > #self.lines then return #self.lines, #self.lines[#self.lines] end
  return row, M.bytes(self.lines[row], position.character, self.encoding)
end

--- Change the text.
---@param change { range?: table, text: string } without a range: the whole text
---
--- Example: `doc:change { text = "all new" }`
function Document:change(change)
  if not change.range then
    self.lines, self.size = split(change.text), #change.text
    return
  end
  local row, at = place(self, change.range.start)
  local last, to = place(self, change.range["end"])
  if last < row or last == row and to < at then last, to = row, at end
  local lines = self.lines
  for i = row, last do self.size = self.size - #lines[i] - 1 end
  local new = split(lines[row]:sub(1, at) .. change.text .. lines[last]:sub(to + 1))
  for _, line in ipairs(new) do self.size = self.size + #line + 1 end
  local moved = #new - (last - row + 1)
  if moved ~= 0 then
    local count = #lines
    table.move(lines, last + 1, count, last + 1 + moved)
    for i = count, count + moved + 1, -1 do lines[i] = nil end
  end
  table.move(new, 1, #new, row, lines)
end

--- What precedes a position, and what follows it.
---@param position { line: integer, character: integer }
---@return string prefix
---@return string suffix
---
--- Example: `local prefix, suffix = doc:split { line = 0, character = 4 }`
function Document:split(position)
  local row, at = place(self, position)
  local line = self.lines[row]
  local before = table.concat(self.lines, "\n", 1, row - 1)
  local behind = table.concat(self.lines, "\n", row + 1)
  return before .. (row > 1 and "\n" or "") .. line:sub(1, at), line:sub(at + 1) .. (row < #self.lines and "\n" or "") .. behind
end

--- The whole text.
---@return string
---
--- Example: `print(#doc:text())`
function Document:text() return table.concat(self.lines, "\n") end

return M
