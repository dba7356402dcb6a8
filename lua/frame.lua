--- Frames: where in a run an effect stands. A frame is a task, a call of a tool, a run of an agent, an item of scope:map, a loaded
--- module; its path is made of `label:n`, counted for each label in the frame around it. The key of an effect is its frame's path,
--- its name, and its number among those of that name in that frame: what other frames do shifts no key.
---
--- Frames exist inside a journalled run alone (context.journal); everywhere else `enter` is one look at the context.

local contexts = require "core.context"
local current = require "host.task".current
local hash = require "core.hash"
local rand = require "host.rand"

local M = {}

local runs = 0 -- journalled ones that are at work: as long as there is none, nobody has to look who runs

--- A journalled run begins (1), or has ended (-1).
---@param change integer
function M.count_runs(change) runs = runs + change end

---@class stoke.frame
---@field path string "run/agent umbrella:1/tool get_weather:2"
---@field root stoke.frame the outermost of its run; its seed is what ids and random numbers begin with
---@field seed? string
---@field effects table<string, integer> by name, how many were performed in it
---@field children table<string, integer> by label, how many frames it has
---@field ids table<string, integer> by kind, how many ids it gave
---@field generator? userdata of the script's random numbers

local function new(path, root)
  local frame = { path = path, effects = {}, children = {}, ids = {} }
  frame.root = root or frame
  return frame
end

--- The outermost frame of a run.
---@param seed string
---@return stoke.frame
function M.root(seed)
  local frame = new "run"
  frame.seed = seed
  return frame
end

--- Labels stand between slashes, and before a colon or a hash mark with a number.
local function escaped(label)
  return (label:gsub("[/#%%%c]", function(c) return ("%%%02X"):format(c:byte()) end))
end

--- A frame inside another.
---@param frame stoke.frame
---@param label string
---@return stoke.frame
function M.child(frame, label)
  local n = (frame.children[label] or 0) + 1
  frame.children[label] = n
  return new(("%s/%s:%d"):format(frame.path, escaped(label), n), frame.root)
end

--- The key of the next effect of a name in a frame.
---@param frame stoke.frame
---@param name string
---@return string
function M.key(frame, name)
  local n = (frame.effects[name] or 0) + 1
  frame.effects[name] = n
  return frame.path .. "/" .. name .. "#" .. n
end

-- ---- the running task's ---------------------------------------------------------------------------------------------------------

local Guard = {}
Guard.__index = Guard

function Guard:leave()
  if self.scope.context == self.made then self.scope.context = self.before end
end
Guard.__close = Guard.leave

local function enter(scope, context, frame, inside, budget)
  local made = contexts.with(context, { frame = frame, inside = inside, budget = budget })
  scope.context = made
  return setmetatable({ scope = scope, before = context, made = made }, Guard)
end

--- Do what follows in a frame of its own, until what this returns is closed. The scope stays the same: only its context is another
--- one meanwhile. Outside a journalled run nil.
---@param kind string "tool"
---@param name string of the tool
---@return table|nil guard
function M.enter(kind, name)
  if runs == 0 then return nil end
  local task = current()
  local scope = task and (task.scope or task)
  local context = scope and scope.context
  if not context or not context.journal then return nil end
  return enter(scope, context, M.child(context.frame, ("%s %s"):format(kind, name)))
end

--- A frame whose inner ones have numbers that are given, not counted: the items of a list, whoever takes which.
---@param label string
---@return (fun(i: integer): table)|nil enter makes the frame of an item, as M.enter does; nil outside a journalled run
function M.list(label)
  if runs == 0 then return nil end
  local task = current()
  local context = task and (task.scope or task).context
  if not context or not context.journal then return nil end
  local path = M.child(context.frame, label).path
  return function(i)
    local me = current()
    local scope = me.scope or me
    return enter(scope, scope.context, new(("%s/%d"):format(path, i), context.frame.root))
  end
end

--- The frame of a module that is required, below the run's own whoever requires it, and the key of that.
---@param name string
---@return stoke.frame frame
---@return string key
function M.module(name)
  local task = current()
  local frame = M.child((task.scope or task).context.frame.root, "module " .. name)
  return frame, M.key(frame, "module.load")
end

--- The frame of an effect's body.
---@param frame stoke.frame of the effect
---@param key string of it
---@return stoke.frame
function M.body(frame, key) return new(key, frame.root) end

--- Do what follows in a frame, as what a replay does not do again.
---@param frame stoke.frame
---@param budget? stoke.budget that counts what it spends
---@return table guard
function M.inside(frame, budget)
  local task = current()
  local scope = task.scope or task
  return enter(scope, scope.context, frame, true, budget)
end

--- The frame of the running task; nil outside a journalled run.
---@return stoke.frame|nil
function M.current()
  if runs == 0 then return nil end
  local task = current()
  return task and (task.scope or task).context.frame
end

--- The context of a task that is started.
---@param context stoke.context of its scope, with a journal
---@param name? string of the task
---@return stoke.context
function M.of_task(context, name) return contexts.with(context, { frame = M.child(context.frame, name or "task") }) end

-- ---- what follows from a frame -----------------------------------------------------------------------------------------------

--- An id that follows from where it is made: from the key of the effect that makes it, else from the frame. nil outside a
--- journalled run.
---@param kind string what it is of, "call"
---@return string|nil digits 64 hex digits
function M.id(kind)
  if runs == 0 then return nil end
  local task = current()
  local frame = task and (task.scope or task).context.frame
  if not frame then return nil end
  local call = task.call
  local ids, from = frame.ids, frame.path .. "/"
  if call and call.key and call.context.frame == frame then
    call.ids = call.ids or {}
    ids, from = call.ids, call.key
  end
  local n = (ids[kind] or 0) + 1
  ids[kind] = n
  return hash.sha256(("%s %s %s %d"):format(frame.root.seed, from, kind, n))
end

--- The script's generator of random numbers in a frame.
---@param frame stoke.frame
---@return userdata generator see lua/random.lua
function M.generator(frame)
  local generator = frame.generator
  if not generator then
    generator = rand.new(tonumber(hash.sha256(frame.root.seed .. " " .. frame.path):sub(1, 15), 16))
    frame.generator = generator
  end
  return generator
end

return M
