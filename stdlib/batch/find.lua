--- The rows of a batch with what came of them, in the order of the input: the items of its stream beside the outcomes of its group.

local M = {}

--- Rows that are read at once.
local PAGE <const> = 64

--- What is known of an item that is settled.
local function found_of(item, outcome)
  local row = item.value
  return { id = item.id, row = row.row, line = row.line, input = row.input, state = outcome.state, tries = outcome.tries,
    reason = outcome.reason, result = outcome.value }
end

---@class stoke.batch.finder
---@field at integer the offset of the next row; all before it were given
---@field blocked? integer the offset of the row that is waited for
local Finder = {}
Finder.__index = Finder

--- Begin at the first row.
---@param queue stoke.queue
---@param stream string
---@param group string
---@return stoke.batch.finder
function M.new(queue, stream, group)
  return setmetatable({ queue = queue, stream = stream, group = group, at = 1 }, Finder)
end

--- The next rows, up to the first that is not settled; nil where there is none yet.
---@param settled integer so many rows are settled and were not given: no more are looked at
---@return stoke.batch.found[]|nil
function Finder:next(settled)
  local outcomes, list, limit = {}, {}, math.max(math.min(settled, PAGE), 1)
  self.blocked = nil
  local part = { from = self.at, limit = limit }
  for outcome in self.queue:outcomes(self.stream, self.group, part) do outcomes[outcome.offset] = outcome end
  for item in self.queue:read(self.stream, part) do
    local outcome = outcomes[item.offset]
    if not outcome then
      self.blocked = item.offset
      break
    end
    list[#list + 1], self.at = found_of(item, outcome), item.offset + 1
  end
  return list[1] and list or nil
end

--- The rows that are settled, whatever is between them, page by page.
---@return fun(): stoke.batch.found[]?
function Finder:all()
  local at = 1
  return function()
    while true do
      local outcomes, list, last, part = {}, {}, nil, { from = at, limit = PAGE }
      for outcome in self.queue:outcomes(self.stream, self.group, part) do outcomes[outcome.offset] = outcome end
      for item in self.queue:read(self.stream, part) do
        last = item.offset
        if outcomes[last] then list[#list + 1] = found_of(item, outcomes[last]) end
      end
      if not last then return nil end
      at = last + 1
      if list[1] then return list end
    end
  end
end

return M
