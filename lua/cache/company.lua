--- Who else has a file of the cache open, and which calls are being made: locks in the kernel, on bytes of FILE-lock, which end
--- with the process that has them, however it ends. As long as nobody else is there, nothing of this is looked at.

local engine = require "host.store"
local monotonic = require "host.time".monotonic

local M = {}

--- Places for processes, the first bytes of the file; the bytes behind are for calls.
local PLACES <const>, CALLS <const> = 32, 1 << 20
--- Seconds from opening the file in which somebody else is thought to be there: two that begin at once see each other.
local FIRST <const> = 2

---@class core.cache.company
---@field path string of the lock
---@field lock? userdata this process's place
---@field others boolean is somebody else there, as far as is known?
local Company = {}
Company.__index = Company

--- Join those who have a file.
---@param path string of the cache
---@return core.cache.company
function M.join(path)
  local self = setmetatable({ path = path .. "-lock", lock = nil, place = nil, others = true, since = monotonic() }, Company)
  for place = 1, PLACES do
    local lock, err = engine.lock(self.path, place)
    if lock then
      self.lock, self.place = lock, place
      break
    end
    if err then break end
  end
  return self
end

--- See whether others are there.
function Company:look()
  if not self.lock then return end -- more than there are places for: they are
  for place = 1, PLACES do
    if place ~= self.place and engine.held(self.path, place) then
      self.others = true
      return
    end
  end
  self.others = monotonic() - self.since < FIRST
end

--- Claim a call: nobody else makes it until the lock is freed, or this process ends.
---@param key string
---@return userdata|nil lock
---@return boolean|nil taken another process has it; nil where nobody can tell
function Company:claim(key)
  local number = CALLS + (("<I8"):unpack(key) & 0x3fffffffffffffff)
  local lock, err = engine.lock(self.path, number)
  if lock then return lock end
  return nil, err == nil or nil
end

--- Leave them.
function Company:leave()
  if self.lock then self.lock:free() end
  self.lock = nil
end

return M
