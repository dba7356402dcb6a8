--- Settles the items of a stage many at once: what is ready while the engine writes goes with its next write.

local bells = require "stoke.pipeline.bell"
local combine = require "core.combine"

local M = {}

--- Items in one step, and items that may wait for one.
local AT_ONCE <const>, MOST <const> = 512, 1024

---@class stoke.pipeline.settling
---@field list table[] what waits: { item, state, value, publish, reason, delay }
---@field asked? table[] what the engine has not answered yet
local Settling = {}
Settling.__index = Settling

--- One for a stage.
---@param queue stoke.queue
---@param told fun(entry: table, mine: boolean) called of each that is settled
---@param refused fun(entry: table, err: stoke.error) called of one that the queue does not take: it is settled in another way
---@return stoke.pipeline.settling
function M.new(queue, told, refused)
  return setmetatable({ queue = queue, told = told, refused = refused, list = {}, come = bells.new(), gone = bells.new() },
    Settling)
end

--- Settle an item, some time soon.
---@param entry table as queue:settle takes it
function Settling:add(entry)
  while #self.list >= MOST do self.gone:wait() end
  self.list[#self.list + 1] = entry
  self.come:ring()
end

--- Is it about this one item, and not about the engine?
local function is_own(err) return err.kind == "argument" or err.kind == "limit" end

local function settle(self, part)
  local mine, err = combine.try(self.queue.settle, self.queue, part)
  if not err then
    for i, entry in ipairs(part) do self.told(entry, mine[i]) end
  elseif not is_own(err) then
    error(err, 0)
  elseif part[2] then
    for _, entry in ipairs(part) do settle(self, { entry }) end
  else
    self.refused(part[1], err)
  end
end

--- Settle what waits.
function Settling:flush()
  while self.list[1] do
    local part = self.list
    if #part > AT_ONCE then
      self.list = table.move(part, AT_ONCE + 1, #part, 1, {})
      part = table.move(part, 1, AT_ONCE, 1, {})
    else
      self.list = {}
    end
    self.asked = part
    settle(self, part)
    self.asked = nil
    self.gone:ring()
  end
end

--- Settle the rest, where `serve` was cancelled: also what it asked and heard no answer to. To settle twice is no harm.
function Settling:finish()
  local rest = {}
  for _, entry in ipairs(self.asked or {}) do
    if not entry.item.settled then rest[#rest + 1] = entry end
  end
  self.list, self.asked = table.move(self.list, 1, #self.list, #rest + 1, rest), nil
  self:flush()
end

--- Settle what comes, until cancelled.
function Settling:serve()
  while true do
    self.come:wait()
    self:flush()
  end
end

return M
