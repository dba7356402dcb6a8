--- Frames: the position of an effect in a run. A frame is a task, a tool call, an agent run, an item of scope:map, or a loaded
--- module. Its path consists of parts `label:n`, where n counts frames with that label in the enclosing frame. The key of an
--- effect is its frame's path, its name, and its number among the effects of that name in the frame, so other frames do not shift
--- keys.
---
--- Frames exist only inside a journalled run (context.journal); elsewhere `enter` costs one test of the context.

local contexts = require "core.context"
local current = require "host.task".current
local hash = require "core.hash"
local rand = require "host.rand"

local M = {}

local runs = 0 -- journalled runs in progress: while there is none, no code looks up the current task

--- Whether a journalled run is in progress; for callers on a hot path, which look here before they call.
M.any = false

--- A journalled run begins (1), or has ended (-1).
---@param change integer
function M.count_runs(change)
  runs = runs + change
  M.any = runs > 0
end

---@class stoke.frame
---@field path string "run/agent umbrella:1/tool get_weather:2"
---@field root stoke.frame the outermost frame of its run; ids and random numbers derive from its seed
---@field seed? string
---@field effects? table<string, integer> effects performed in it, by name
---@field children? table<string, integer> frames in it, by label
---@field ids? table<string, integer> ids made in it, by kind
---@field generator? userdata random generator of the script

local function new(path, root)
  local frame = { path = path, root = root, effects = nil, children = nil } -- few have all of these
  if not root then frame.root = frame end
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

local LABELS <const> = 1000 -- that are remembered

local known, labels = {}, 0 -- most labels come again

--- Escape a label: slash and hash mark have a meaning in keys, % is the escape.
local function escaped(label)
  local found = known[label]
  if found then return found end
  if labels >= LABELS then known, labels = {}, 0 end
  labels = labels + 1
  found = label:gsub("[/#%%%c]", function(c) return ("%%%02X"):format(c:byte()) end)
  known[label] = found
  return found
end

--- The next number of something in a frame.
---@param what "effects"|"children"|"ids"
local function count(frame, what, name)
  local counts = frame[what]
  if not counts then
    frame[what] = { [name] = 1 }
    return 1
  end
  local n = (counts[name] or 0) + 1
  counts[name] = n
  return n
end

--- Create a frame inside another.
---@param frame stoke.frame
---@param label string
---@return stoke.frame
function M.child(frame, label)
  local n = count(frame, "children", label)
  return new(frame.path .. "/" .. escaped(label) .. ":" .. n, frame.root)
end

--- The key of the next effect of a name in a frame.
---@param frame stoke.frame
---@param name string
---@param label? string the effect has a frame of its own with this label, and is the only one in it
---@return string
function M.key(frame, name, label)
  if label then return frame.path .. "/" .. escaped(label) .. ":" .. count(frame, "children", label) .. "/" .. name .. "#1" end
  return frame.path .. "/" .. name .. "#" .. count(frame, "effects", name)
end

-- ---- the current task -----------------------------------------------------------------------------------------------------------

local Guard = {}
Guard.__index = Guard

function Guard:leave()
  if self.scope.context == self.made then self.scope.context = self.before end
end
Guard.__close = Guard.leave

local function enter(scope, context, frame, inside, budget)
  local made = contexts.in_frame(context, frame, inside, budget)
  scope.context = made
  return setmetatable({ scope = scope, before = context, made = made }, Guard)
end

--- Enter a new frame until the returned guard is closed. The scope stays the same, only its context is replaced meanwhile. Returns
--- nil outside a journalled run.
---@param kind string "tool"
---@param name string of the tool
---@return table|nil guard
function M.enter(kind, name)
  if runs == 0 then return nil end
  local task = current()
  local scope = task and (task.scope or task)
  local context = scope and scope.context
  if not context or not context.journal then return nil end
  return enter(scope, context, M.child(context.frame, kind .. " " .. name))
end

--- A frame whose inner frames get explicit numbers: the items of a list, independent of the task that takes each.
---@param label string
---@return (fun(i: integer): table)|nil enter the frame of an item, like M.enter; nil outside a journalled run
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

--- The frame of a required module, and its key. It is directly below the run's frame, whichever task requires the module.
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

--- Run the code until the guard is closed in a frame whose work a replay skips.
---@param frame stoke.frame
---@param budget? stoke.budget charged for that work
---@param how? true|"through" see stoke.context
---@return table guard
function M.inside(frame, budget, how)
  local task = current()
  local scope = task.scope or task
  return enter(scope, scope.context, frame, how or true, budget)
end

--- Run the code until the guard is closed as if it were in no run: what it performs passes its gates, and is recorded by whoever
--- performs it.
---@return table guard
function M.outside()
  local task = current()
  local scope = task.scope or task
  local context = scope.context
  local made = { run = context.run, span = context.span, system = context.system, gated = false }
  if context.terms then made.terms = context.terms end
  scope.context = made
  return setmetatable({ scope = scope, before = context, made = made }, Guard)
end

--- Whether the running code is the body of an effect, which a replay does not do again.
---@return boolean
function M.inside_body()
  if runs == 0 then return false end
  local task = current()
  return task ~= nil and (task.scope or task).context.inside ~= nil
end

--- The frame of the current task; nil outside a journalled run.
---@return stoke.frame|nil
function M.current()
  if runs == 0 then return nil end
  local task = current()
  return task and (task.scope or task).context.frame
end

--- The context for a new task.
---@param context stoke.context of its scope, with a journal
---@param name? string of the task
---@return stoke.context
function M.of_task(context, name) return contexts.in_frame(context, M.child(context.frame, name or "task")) end

-- ---- values derived from a frame ---------------------------------------------------------------------------------------------

--- An id derived from its place: from the key of the current effect, otherwise from the frame. nil outside a journalled run.
---@param kind string what it identifies, "call"
---@return string|nil digits 64 hex digits
function M.id(kind)
  if runs == 0 then return nil end
  local task = current()
  local frame = task and (task.scope or task).context.frame
  if not frame then return nil end
  local call = task.call
  local owner, from = frame, frame.path .. "/"
  if call and call.key and call.context.frame == frame then owner, from = call, call.key end
  local n = count(owner, "ids", kind)
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
