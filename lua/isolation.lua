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
---@param epoch? number where virtual time begins, if not there
function M.enter(real, epoch)
  time.virtual(not real and (epoch or M.EPOCH) or nil)
  http.deny(not real)
  M.closed = not real
  before = open_things()
end

local function described(entry)
  return ("task %sspawned at %s, waits for %s"):format(entry.name and entry.name .. " " or "", entry.site, entry.waits or "nothing")
end

local function child(scope)
  local task = scope.first
  while task and task.system do task = task.next end
  return task
end

--- Tasks that the running test has spawned and that live on though its function has returned, in words. Those that are about to
--- end are given a moment.
---@return string[]
function M.spawned()
  local me = host.current()
  local scope = me.scope or me
  for _ = 1, 20 do
    if not child(scope) then return {} end
    host.park("closing", 0.001)
  end
  local own, left = {}, {}
  local task = scope.first
  while task do
    own[task], task = true, task.next
  end
  for _, entry in ipairs(tasks.list()) do
    if own[entry.task] then left[#left + 1] = described(entry) end
  end
  return left
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
        left[#left + 1] = described(entry)
      end
    end
  end
  if now.handles > before.handles then
    left[#left + 1] = ("%d open request, process, file or server"):format(now.handles - before.handles)
  end
  return left
end

return M
