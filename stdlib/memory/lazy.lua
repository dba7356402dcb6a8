--- The memory of an agent that is told by its path: `memory = { "ada.memory", embed = "nomic-embed-text" }`. The body of a file
--- opens nothing, so the file can be replaced while it is served. It is opened when an agent first runs, once for all agents and
--- versions of a file that describe it alike, and stays open until the program ends. In a durable run each run of an agent opens
--- it for itself: what another one has open is no part of the recording.

local channel = require "core.channel"
local errors = require "core.errors"
local json = require "core.json"
local memory = require "stoke.memory"
local schedules = require "core.schedule"
local tasks = require "core.task"
local testbed = require "core.testbed"

local M = {}

local shared = {} -- by what describes them: { memory } or { opening = true, waiting = channels }
local holders -- whose tasks hold them open

--- What describes it, as a key. A function is the same one only where it is the same object.
local function key_of(path, options)
  local said = { path = path }
  for name, value in next, options do said[name] = type(value) == "function" and tostring(value) or value end
  local ok, key = pcall(json.digest, said)
  return ok and key or path .. tostring(options)
end

--- A task that has it open: it belongs to no agent's run.
local function hold(path, options, ready)
  local ok, opened = pcall(memory.open, path, options)
  ready:send { ok, opened }
  if not ok then return end
  local own <close> = opened -- luacheck: ignore own
  tasks.park("a memory that agents share")
end

local function open_shared(key, path, options)
  local entry = { done = channel.new(1) }
  shared[key] = entry
  holders = holders or tasks.supervisor("memories of agents", function() end)
  entry.task = tasks.start(holders, path, hold, path, options, entry.done)
  if testbed.running then
    table.insert(testbed.leaving, function()
      shared[key] = nil
      entry.task:cancel("the test has ended")
    end)
  end
  return entry
end

--- The one that all share.
local function get_shared(key, path, options)
  local entry = shared[key] or open_shared(key, path, options)
  if not entry.memory then
    local answer = entry.done:recv()
    entry.done:send(answer) -- others may wait for it
    if not answer[1] then
      if shared[key] == entry then shared[key] = nil end -- the next one tries again
      error(answer[2], 0)
    end
    entry.memory = answer[2]
  end
  return entry.memory
end

--- What gives the memory to a run of an agent.
---@param where string
---@param path string
---@param options table of stoke.memory
---@return fun(run: stoke.agent.run|nil): stoke.memory get raises what stoke.memory raises
---Raises `argument`.
function M.of(where, path, options)
  if path == "" then errors.argument("%s: memory: the path is empty", where) end
  options = memory.options(where .. ": memory", options)
  local key = key_of(path, options)
  return function(run)
    local opened = run and run.opened
    if opened and opened[key] then return opened[key] end
    if not run or not (schedules.any and schedules.own()) then return get_shared(key, path, options) end
    run.opened = opened or {}
    run.opened[key] = memory.open(path, options)
    return run.opened[key]
  end
end

return M
