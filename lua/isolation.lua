--- A test's own small world: virtual clock, no real network, no programs unless it says so, and a count of what was open before.

local fs = require "host.fs"
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

--- true while a test runs that may not start programs: lua/driver/proc.lua asks.
M.no_programs = false

--- Begin. `real` keeps the machine's clock, network and programs.
---@param real? boolean
---@param epoch? number where virtual time begins, if not there
---@param programs? boolean it may start programs all the same
function M.enter(real, epoch, programs)
  time.virtual(not real and (epoch or M.EPOCH) or nil)
  http.deny(not real)
  M.closed = not real
  M.no_programs = not real and not programs
  before = open_things()
end

local function described(entry)
  return ("task %sspawned at %s, waits for %s"):format(entry.name and entry.name .. " " or "", entry.site, entry.waits or "nothing")
end

local function child(scope)
  local task = scope.first
  while task and task.context.system do task = task.next end
  return task
end

--- Is there anything of this name? A link is there, wherever it leads. What cannot be looked at is taken for there.
---@param path string
---@return boolean
function M.exists(path)
  local stat, err = fs.stat(path, true)
  return stat ~= nil or err ~= nil
end

--- What a scope still owns: open streams of effects, in the order they were opened.
local function streams(scope)
  local list, names = {}, {}
  for object, number in next, scope.owned or {} do
    if object ~= "count" then list[#list + 1] = { object = object, number = number } end
  end
  table.sort(list, function(a, b) return a.number < b.number end)
  for i, item in ipairs(list) do
    local call = item.object.call
    names[i] = ("an open %s"):format(call and call.def.name or "stream")
  end
  return names
end

--- Tasks that the running test has spawned and streams it has opened that are there though its function has returned, in words.
--- Those that are about to end are given a moment.
---@return string[]
function M.spawned()
  local me = host.current()
  local scope = me.scope or me
  for _ = 1, 20 do
    if not child(scope) then break end
    host.park("closing", 0.001)
  end
  local own, left = {}, streams(scope)
  if not child(scope) then return left end
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
  M.no_programs = false
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
