--- The isolated environment of a test: a virtual clock, no real network, no child processes unless the test allows them, and a
--- check for leaked tasks and handles.

local fs = require "host.fs"
local host = require "host.task"
local http = require "host.http"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

--- Virtual time begins at 2026-01-01 00:00 UTC in every test.
M.EPOCH = 1767225600

local before

local function count_open()
  collectgarbage()
  collectgarbage()
  local all, system, handles = host.counts()
  return { tasks = all - system, handles = handles }
end

--- true while a test without `real` runs.
M.closed = false

--- true while any test runs: it leaves nothing behind in the user's own files.
M.running = false

--- Called when the test ends, once: what a module has for the whole process, and a test must not leave to the next one.
---@type fun()[]
M.leaving = {}

--- true while a test runs that may not start child processes; lua/driver/proc.lua checks it.
M.no_programs = false

--- Enter the test's environment. `real` keeps the machine's clock, network and programs.
---@param real? boolean
---@param epoch? number start of virtual time, M.EPOCH by default
---@param programs? boolean allow child processes although not real
function M.enter(real, epoch, programs)
  time.virtual(not real and (epoch or M.EPOCH) or nil)
  http.deny(not real)
  M.closed, M.running = not real, true
  M.no_programs = not real and not programs
  before = count_open()
end

local function describe_task(entry)
  return ("task %sspawned at %s, waits for %s"):format(entry.name and entry.name .. " " or "", entry.site, entry.waits or "nothing")
end

local function first_child(scope)
  local task = scope.first
  while task and task.context.system do task = task.next end
  return task
end

--- Does the path exist? A symbolic link exists even if its target does not. If stat fails, assume that it does.
---@param path string
---@return boolean
function M.exists(path)
  local stat, err = fs.stat(path, true)
  return stat ~= nil or err ~= nil
end

--- Open effect streams that a scope owns, in the order they were opened.
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

--- Describe the tasks that the test spawned and the streams it opened that are still alive after its function has returned. Waits
--- briefly for those that are about to end.
---@return string[]
function M.spawned()
  local me = host.current()
  local scope = me.scope or me
  for _ = 1, 20 do
    if not first_child(scope) then break end
    host.park("closing", 0.001)
  end
  local own, left = {}, streams(scope)
  if not first_child(scope) then return left end
  local task = scope.first
  while task do
    own[task], task = true, task.next
  end
  for _, entry in ipairs(tasks.list()) do
    if own[entry.task] then left[#left + 1] = describe_task(entry) end
  end
  return left
end

--- Leave the test's environment, and describe the tasks and handles that have leaked.
---@return string[]
function M.leave()
  M.no_programs, M.running = false, false
  local leaving = M.leaving
  M.leaving = {}
  for _, f in ipairs(leaving) do pcall(f) end
  for _ = 1, 20 do -- closing a handle takes a few turns of the loop
    local now = count_open()
    if now.tasks <= before.tasks and now.handles <= before.handles then break end
    host.park("closing", 0.001)
  end
  local now, left = count_open(), {}
  if now.tasks > before.tasks then
    for _, entry in ipairs(tasks.list()) do
      if entry.name ~= "main" then
        left[#left + 1] = describe_task(entry)
      end
    end
  end
  if now.handles > before.handles then
    left[#left + 1] = ("%d open request, process, file or server"):format(now.handles - before.handles)
  end
  return left
end

return M
