--- A server that talks without being asked is slowed down: what it sends more waits, and so do the answers behind it.

local time = require "stoke.time"

local M = {}

--- Messages a second that nobody asked for, at most.
M.MOST = 2000

---@class stoke.mcp.flood
---@field paused integer how often it had to wait
local Flood = {}
Flood.__index = Flood

---@return stoke.mcp.flood
function M.new() return setmetatable({ count = 0, since = time.monotonic(), paused = 0 }, Flood) end

--- A message has come; waits where there are too many.
---@param unasked boolean
---Raises `cancelled`.
function Flood:note(unasked)
  if not unasked then return end
  self.count = self.count + 1
  if self.count < M.MOST then return end
  local left = self.since + 1 - time.monotonic()
  if left > 0 then
    self.paused = self.paused + 1
    time.sleep(left)
  end
  self.since, self.count = time.monotonic(), 0
end

return M
