--- A bell between tasks: whoever rings does not wait, and many rings before somebody comes are one.

local channel = require "core.channel"

local M = {}

---@class stoke.pipeline.bell
local Bell = {}
Bell.__index = Bell

--- A bell that was not rung.
---@return stoke.pipeline.bell
function M.new() return setmetatable({ channel = channel.new(1), rung = false }, Bell) end

--- Ring it.
function Bell:ring()
  if self.rung then return end
  self.rung = true
  self.channel:send(true)
end

--- Wait until it rings, or it has rung since the last wait.
---@param seconds? number no longer than this
---@return boolean rung
function Bell:wait(seconds)
  local rung = self.channel:recv(seconds)
  if rung then self.rung = false end
  return rung == true
end

return M
