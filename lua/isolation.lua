--- A test's own small world: virtual clock, no real network, and a count of what was open before.

local host = require "host.task"
local http = require "host.http"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- Virtual time begins at 2026-01-01 00:00 UTC in every test.
M.EPOCH = 1767225600

local before

local function open_things()
  collectgarbage()
  collectgarbage()
  local all, system, handles = host.counts()
  return { tasks = all - system, handles = handles }
end

--- true while a test runs that has not asked for the real world.
M.closed = false

--- Begin. `real` keeps the machine's clock and network.
---@param real? boolean
function M.enter(real)
  time.virtual(not real and M.EPOCH or nil)
  http.deny(not real)
  M.closed = not real
  before = open_things()
end

--- End; what is still there that was not before, in words.
---@return string[]
function M.leave()
  for _ = 1, 20 do -- what was closed a moment ago needs a few turns of the loop to be gone
    local now = open_things()
    if now.tasks <= before.tasks and now.handles <= before.handles then break end
    host.park("closing", 0.001)
  end
  local now, left = open_things(), {}
  if now.tasks > before.tasks then
    for _, entry in ipairs(tasks.list()) do
      if entry.name ~= "main" then
        left[#left + 1] = ("task %s spawned at %s, waits for %s"):format(entry.name or "", entry.site, entry.waits or "nothing")
      end
    end
  end
  if now.handles > before.handles then
    left[#left + 1] = ("%d open request, process, file or server"):format(now.handles - before.handles)
  end
  return left
end

return M
