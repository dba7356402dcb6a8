--- What was mended: each kind of repair once, in the order first made, with how often and where the first was.

local M = {}

--- An empty record; a reader is one too, whose `pos` is where it is.
---@return table record { notes, count, at }
function M.new() return { notes = {}, count = {}, at = {} } end

--- Write down a repair.
---@param record table
---@param what string
---@param at? integer the byte, counted from 1; where the reader is, when not given
function M.note(record, what, at)
  local count = record.count[what]
  if not count then
    record.notes[#record.notes + 1] = what
    record.at[what] = at or record.pos
  end
  record.count[what] = (count or 0) + 1
end

--- Add another record's repairs.
---@param record table
---@param other table
---@param shift? integer bytes that were before the text of the other; false: nobody knows where
function M.append(record, other, shift)
  for _, what in ipairs(other.notes) do
    local at = shift ~= false and other.at[what]
    if not record.count[what] then
      record.notes[#record.notes + 1] = what
      record.at[what] = at and at + (shift or 0) or nil
    end
    record.count[what] = (record.count[what] or 0) + other.count[what]
  end
end

--- The record in words.
---@param record table
---@param places? boolean false: without them
---@return string[] `{ "trailing comma left out, at byte 17", "missing comma put in, 2 times, first at byte 8" }`
function M.list(record, places)
  local list = {}
  for i, what in ipairs(record.notes) do
    local count, at = record.count[what], places ~= false and record.at[what]
    local times = count > 1 and (", %d times"):format(count) or ""
    list[i] = what .. times .. (at and (", %sat byte %d"):format(count > 1 and "first " or "", at) or "")
  end
  return list
end

return M
