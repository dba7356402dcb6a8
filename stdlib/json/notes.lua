--- What was mended: each kind of repair once, in the order first made, with how often.

local M = {}

--- An empty record; a reader is one too.
---@return table record { notes, count }
function M.new() return { notes = {}, count = {} } end

--- Write down a repair.
---@param record table
---@param what string
function M.note(record, what)
  local count = record.count[what]
  if not count then record.notes[#record.notes + 1] = what end
  record.count[what] = (count or 0) + 1
end

--- Add another record's repairs.
---@param record table
---@param other table
function M.append(record, other)
  for _, what in ipairs(other.notes) do
    if not record.count[what] then record.notes[#record.notes + 1] = what end
    record.count[what] = (record.count[what] or 0) + other.count[what]
  end
end

--- The record in words.
---@param record table
---@return string[] `{ "trailing comma left out", "missing comma put in, 2 times" }`
function M.list(record)
  local list = {}
  for i, what in ipairs(record.notes) do
    local count = record.count[what]
    list[i] = count > 1 and ("%s, %d times"):format(what, count) or what
  end
  return list
end

return M
