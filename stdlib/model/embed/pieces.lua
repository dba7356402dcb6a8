--- A text in pieces: cut where a reader would, and never inside a character.

local M = {}

--- Where a text may be cut, best first: what ends before the cut.
local ENDS = { "\n%s*\n", "\n", "[.!?;]%s+", "%s+" }

--- Where the last match of a pattern ends.
local function last_end(part, pattern)
  local found, at = nil, 1
  while true do
    local _, last = part:find(pattern, at)
    if not last then return found end
    found, at = last, last + 1
  end
end

--- Does a character go on at a byte?
local function inside(text, at)
  local byte = text:byte(at)
  return byte ~= nil and byte & 0xC0 == 0x80
end

--- The last byte of the piece that should end at a place: within a quarter of a piece before it, or else between characters.
local function cut(text, first, place, size)
  local from = math.max(first, place - size // 4)
  local part = text:sub(from, place)
  for _, pattern in ipairs(ENDS) do
    local found = last_end(part, pattern)
    if found then return from + found - 1 end
  end
  for at = place, math.max(first, place - 3), -1 do
    if not inside(text, at + 1) then return at end
  end
  for at = place + 1, place + 3 do
    if not inside(text, at + 1) then return at end
  end
  return place -- it is no UTF-8
end

--- Cut a text into about so many pieces of about the same size. Joined they are the text again.
---@param text string
---@param count integer 2 or more
---@return string[]|nil pieces nil: it cannot be cut any more
---
--- Example: `for _, piece in ipairs(pieces.cut(text, 4)) do print(#piece) end`
function M.cut(text, count)
  local length = utf8.len(text) or #text
  if length < 2 then return nil end
  local size = math.max(#text // math.min(count, length), 1)
  local list, first = {}, 1
  while #text - first + 1 > size + size // 2 or (#list == 0 and first < #text) do
    local last = cut(text, first, math.min(first + size - 1, #text - 1), size)
    if last >= #text then break end
    list[#list + 1] = text:sub(first, last)
    first = last + 1
  end
  list[#list + 1] = text:sub(first)
  return #list > 1 and list or nil
end

return M
