--- Files of a test: its temporary folder, and detection of files left elsewhere.
---
--- What a test writes through the door is seen before it is written, so that a path that was not there before is known for one the
--- test has made. What is still there at the end is reported as left behind and removed, so that the next run begins
--- as this one did.

local absolute = require "core.gate.policy".absolute
local env = require "stoke.env"
local exists = require "core.testbed".exists
local fs = require "stoke.fs"
local stoke = require "stoke"

local M = {}

--- Effects that make a name, and where it is. `world.made[path]` is "kept" where what lies there may have been there under another
--- name: it is not removed.
local PLACE = {
  ["fs.write"] = function(q) return q.path end, ["fs.mkdir"] = function(q) return q.path end,
  ["fs.rename"] = function(q) return q.to end,
}

--- An effect is about to be done.
---@param world stoke.test.world
---@param name string
---@param q table
---
--- Example: `files.watch(world, "fs.write", { path = "a.txt" })`
function M.watch(world, name, q)
  local place = PLACE[name]
  local path = place and place(q)
  if type(path) ~= "string" then return end
  if q.root and path:sub(1, 1) ~= "/" then path = q.root .. "/" .. path end
  path = absolute(path)
  local steps = { path }
  if name ~= "fs.rename" then -- folders above are made with it
    local up = path:match "^(.+)/[^/]*$"
    while up and not exists(up) do
      steps[#steps + 1] = up
      up = up:match "^(.+)/[^/]*$"
    end
  end
  for _, step in ipairs(steps) do
    if world.made[step] == nil and not exists(step) then
      local from = name == "fs.rename" and absolute(q.from)
      world.made[step] = (not from or world.made[from]) and "made" or "kept"
    end
  end
end

--- A new folder for a test's files.
---@param world stoke.test.world
---@return string path
---Raises `os` when it cannot be made.
---
--- Example: `local path = files.tmp(world)`
function M.tmp(world)
  local before = world.paused
  world.paused = true
  local base = (env.get "TMPDIR" or "/tmp"):gsub("(.)/+$", "%1")
  local _, err, path
  local n, gone = 0, 0
  repeat
    n = n + 1
    path = ("%s/stoke-test-%d"):format(base, n)
    _, err = stoke.try(fs.mkdir, path)
    if err and not exists(path) then gone = gone + 1 end -- another process had it, and has just removed it; or none can be made
  until not err or gone > 8
  world.paused = before
  if err then error(err, 0) end
  world.folders = world.folders or {}
  table.insert(world.folders, path)
  return path
end

local function below(path, folders)
  for _, folder in ipairs(folders) do
    if path == folder or path:sub(1, #folder + 1) == folder .. "/" then return true end
  end
  return false
end

--- Remove what the test has made; what it left outside its folders, in words.
---@param world stoke.test.world
---@return string[]
---
--- Example: `local left = files.left(world)`
function M.left(world)
  local paths, top, left = {}, {}, {}
  for path in next, world.made do paths[#paths + 1] = path end
  table.sort(paths)
  local folders = {}
  for i, path in ipairs(world.folders or {}) do folders[i] = absolute(path) end
  for _, path in ipairs(paths) do
    if not below(path, folders) and not below(path, top) and exists(path) then
      top[#top + 1] = path
      local kept = world.made[path] == "kept"
      left[#left + 1] = ("%s%s"):format(path, kept and "" or " (removed now; t.tmp() is for a test's files)")
      if not kept then stoke.try(fs.remove, path, { recursive = true }) end
    end
  end
  for _, path in ipairs(folders) do stoke.try(fs.remove, path, { recursive = true }) end
  return left
end

return M
