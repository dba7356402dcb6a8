--- Registry of loaded files (the script, and each module that require loaded from a file), the objects their bodies created, and
--- the change in progress while lua/reload.lua runs bodies again.
---
--- A body is the top-level code of a file. The agents, tools and timers that it creates are recorded for its file, in order, so
--- that those of the next version can replace them one by one.

local host = require "host.task"

local M = {}

---@class core.modules.file
---@field name? string its module name; nil for the script
---@field path string
---@field text string the text of the current version
---@field value any what the body returned
---@field requires table<string, true> names of modules its body required
---@field made table<string, table<string, table[]>> kind -> name -> objects in the order they were made

---@type core.modules.file[] in the order they were loaded
M.list = {}
---@type table<string, core.modules.file>
M.by_name, M.by_path = {}, {}

--- The change in progress; see lua/reload.lua. Its bodies run in one slice of one task, so no other task can see it.
M.change = nil

--- What a reload does about durable runs; nil in a process that has none. Set by lua/runs.lua.
---@type { check: function, apply: function, forget: function }|nil
M.runs = nil

--- Listener for new files: fun(file).
M.listener = nil

--- Called for each task that a script spawns: fun().
M.on_spawn = nil

--- A C module was loaded: what code does is no longer seen at the door alone.
M.native = false

--- A file that failed to compile when it was first loaded.
M.broken = nil

local bodies = setmetatable({}, { __mode = "k" }) -- task -> the file whose body it runs

--- Register a file that is about to run, for the first time or again as a whole.
---@param name? string
---@param path string
---@param text string
---@return core.modules.file
function M.file(name, path, text)
  local file = { name = name, path = path, text = text, requires = {}, made = {} }
  local old = M.by_path[path]
  for i = #M.list, 1, -1 do
    if M.list[i] == old then table.remove(M.list, i) end
  end
  M.list[#M.list + 1] = file
  M.by_path[path] = file
  if name then M.by_name[name] = file end
  if M.listener then M.commit(function() M.listener(file) end) end
  return file
end

--- The file whose body the current task runs; nil in functions that are called later.
---@return core.modules.file|nil
function M.body()
  if M.change then return M.change.body end
  local me = host.current()
  return me and bodies[me]
end

--- Mark that the current task runs the body of a file, until the result is closed.
---@param file core.modules.file
function M.enter(file)
  local me = host.current()
  local outer = bodies[me]
  bodies[me] = file
  return setmetatable({}, { __close = function() bodies[me] = outer end })
end

--- Forget all files: the script is about to be loaded from scratch.
---@param loaded table<string, any> package.loaded of the scripts
function M.forget(loaded)
  for name in next, M.by_name do
    loaded[name], M.by_name[name] = nil, nil
  end
  for path in next, M.by_path do M.by_path[path] = nil end
  for i = #M.list, 1, -1 do M.list[i] = nil end
  M.broken = nil
end

--- Does the body of `name` require `wanted`, directly or indirectly?
---@param name string
---@param wanted string
---@return boolean
function M.needs(name, wanted)
  local seen, list = { [name] = true }, { name }
  while list[1] do
    local file = M.by_name[table.remove(list)]
    for needed in next, file and file.requires or {} do
      if needed == wanted then return true end
      if not seen[needed] then
        seen[needed] = true
        list[#list + 1] = needed
      end
    end
  end
  return false
end

--- What a file has made of a kind, by name: of several with one name the last.
---@param path string
---@param kind string "agent", "tool"
---@return table<string, table>
---
--- Example: `for name, agent in next, modules.newest("town.lua", "agent") do print(name, agent) end`
function M.newest(path, kind)
  local file, out = M.by_path[path], {}
  for name, list in next, file and file.made[kind] or {} do out[name] = list[#list] end
  return out
end

--- Record an object that the running body created; does nothing in functions that are called later.
---@param kind string "agent", "tool", "timer"
---@param name string
---@param object table
function M.made(kind, name, object)
  local file = M.body()
  if not file then return end
  local of_kind = file.made[kind] or {}
  file.made[kind] = of_kind
  of_kind[name] = of_kind[name] or {}
  table.insert(of_kind[name], object)
end

--- While a body is run again: the object of the previous version with the same kind, name and position among its namesakes. It is
--- updated in place of creating a new one.
---@param kind string
---@param name string
---@return table|nil
function M.before(kind, name)
  local change = M.change
  local file = change and change.body
  if not file then return nil end
  local count = file.made[kind] and file.made[kind][name] and #file.made[kind][name] or 0
  local old = change.before[file]
  local list = old and old.made[kind] and old.made[kind][name]
  return list and list[count + 1]
end

--- While a body is run again: record the previous state of an object that is changed in place.
---@param object table
---@param old any
function M.changed(object, old)
  if M.change and M.change.changed[object] == nil then M.change.changed[object] = old end
end

--- While a body is run again: register a function that undoes a step if the change fails. Otherwise does nothing.
---@param f function
function M.undo(f)
  if M.change then table.insert(M.change.undo, f) end
end

--- Run `f` when the change has succeeded; at once if there is no change in progress.
---@param f function
function M.commit(f)
  if M.change then table.insert(M.change.commit, f) else f() end
end

return M
