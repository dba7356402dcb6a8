--- A cache of this process alone, bound by bytes (lua/cache/s3fifo.lua), with the face of the cache's file.

local s3fifo = require "core.cache.s3fifo"

local M = {}

---@class stoke.cache.memory
---@field cache stoke.cache.s3fifo
local Memory = {}
Memory.__index = Memory

--- Bytes of an entry beside its value, at a guess.
local ENTRY <const> = 200

--- A cache of so many bytes.
---@param limit integer
---@return stoke.cache.memory
---
--- Example: `local kept = memory.new(64 << 20)`
function M.new(limit) return setmetatable({ cache = s3fifo.new(limit) }, Memory) end

--- The values that are there.
---@param kind string
---@param keys string[]
---@return table<string, string> values by key
function Memory:many(kind, keys)
  local found = {}
  for _, key in ipairs(keys) do found[key] = self.cache:get(kind .. key) end
  return found
end

--- Keep a value.
---@param kind string
---@param key string
---@param value string
function Memory:put(kind, key, value) self.cache:put(kind .. key, value, #value + ENTRY) end

--- Forget everything.
function Memory:clear() self.cache:clear() end

return M
