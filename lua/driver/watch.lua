--- The effect fs.watch { paths }: a stream of the paths that change, owned by the scope it is opened in.
---
--- A path is a file (which need not exist yet) or a folder, whose direct entries are reported. Files are watched through their
--- folders, so every way to write them is seen: in place, renamed over, removed and created again. For a symbolic link the
--- target's folder is watched too. Where the system gives no notice (no inotify, no watches left, the folder is gone) the paths
--- are polled every half second. Writes of other machines to a network file system are not seen.

local effect = require "core.effect"
local errors = require "core.errors"
local host = require "host.watch"
local fs = require "host.fs"
local policy = require "core.gate.policy"

--- Polling interval in seconds for paths without notification.
local POLL = 0.5

local function split(path)
  local folder, name = path:match "^(.*)/+([^/]+)/*$"
  if not folder then return ".", path end
  return folder == "" and "/" or folder, name
end

--- Fingerprint of a file: it differs when the file has changed.
local function mark(path)
  local stat = fs.stat(path)
  return stat and ("%s %d %.9f %d"):format(stat.type, stat.size, stat.mtime, stat.ino) or ""
end

local Source = {}
Source.__index = Source

--- Watch a folder for one name or all. Changes are reported as `path`; nil = as the folder's path and the name.
function Source:add(folder, name, path)
  local number, works = self.watch:add(folder, name)
  if number == nil then return nil, works end
  local known = self.folders[number]
  if not known then
    known = { path = folder, names = {} }
    self.folders[number] = known
  end
  if name then
    known.names[name] = known.names[name] or {}
    table.insert(known.names[name], path)
  else
    known.told = path
  end
  if not works then self:lose(number) end
  return true
end

--- All watched paths in a folder.
local function paths_of(folder)
  local paths = { folder.told }
  for _, list in next, folder.names do table.move(list, 1, #list, #paths + 1, paths) end
  table.sort(paths)
  return paths
end

--- The system cannot watch this folder (any more): poll it.
function Source:lose(number)
  local folder = self.folders[number]
  if folder.marks then return end
  folder.marks = {}
  for _, path in ipairs(paths_of(folder)) do folder.marks[path] = mark(path) end
  self.lost = self.lost + 1
end

function Source:tell(paths)
  for _, path in ipairs(paths) do self.told[#self.told + 1] = path end
end

--- Poll the folders without notification; those that exist (again) are watched.
function Source:look()
  for number, folder in next, self.folders do
    if folder.marks then
      local changed = {}
      for _, path in ipairs(paths_of(folder)) do
        local now = mark(path)
        if now ~= folder.marks[path] then
          folder.marks[path] = now
          changed[#changed + 1] = path
        end
      end
      self:tell(changed)
      if self.watch:again(number) then
        folder.marks = nil
        self.lost = self.lost - 1
        self:tell(paths_of(folder)) -- changes before the watch was set are unknown
      end
    end
  end
end

--- Queue the paths that an event of the system concerns.
function Source:translate(number, name)
  if number == 0 then -- queue overflow: report everything
    for _, folder in next, self.folders do self:tell(paths_of(folder)) end
    return
  end
  local folder = self.folders[number]
  if name == "" then -- the folder itself has changed: it may have been replaced or removed
    if not self.watch:again(number) then self:lose(number) end
    return self:tell(paths_of(folder))
  end
  if folder.told then self:tell { folder.told == "." and name or folder.told .. "/" .. name } end
  self:tell(folder.names[name] or {})
end

--- The next changed path; false if nothing has changed for `seconds`.
function Source:next(seconds)
  while true do
    if self.told[1] then return table.remove(self.told, 1) end
    local watch = self.watch
    if not watch then return nil end
    local wait = self.lost > 0 and math.min(seconds or POLL, POLL) or seconds
    local number, name = watch:next(wait)
    if number == nil then return nil, name end
    if number then
      self:translate(number, name)
    elseif self.lost > 0 then
      self:look()
      if seconds then
        seconds = seconds - wait
        if seconds <= 0 and not self.told[1] then return false end
      end
    else
      return false
    end
  end
end

function Source:close()
  local watch = self.watch
  self.watch = nil
  if watch then watch:close() end
end

local function add_path(source, path)
  local stat, err = fs.stat(path)
  if err and err.kind == "cancelled" then return nil, err end
  if stat and stat.type == "directory" then return source:add(path, nil, path) end
  local folder, name = split(path)
  local ok
  ok, err = source:add(folder, name, path)
  if not ok then return nil, err end
  local link = fs.stat(path, true)
  if not link or link.type ~= "link" then return true end
  local target = fs.resolve(path)
  if not target then return true end
  folder, name = split(target)
  return source:add(folder, name, path)
end

local function open(q)
  for i = 2, #q.paths do -- the door has already checked the first
    local err = policy.judge({ name = "fs.watch", subject = function() return "path", q.paths[i] end }, {})
    if err then return nil, err end
  end
  local watch, failed = host.new()
  if not watch then return nil, failed end
  local source = setmetatable({ watch = watch, folders = {}, told = {}, lost = 0 }, Source)
  for _, path in ipairs(q.paths) do
    local ok, err = add_path(source, path)
    if not ok then
      source:close()
      return nil, err or errors.new("os", ('cannot watch "%s"'):format(path))
    end
  end
  return source
end

effect.define("fs.watch", { stream = true, class = "pure", run = open, subject = function(q) return "path", q.paths[1] or "." end })
