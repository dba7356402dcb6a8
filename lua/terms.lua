--- On what terms models are asked: the class of a call, its deadline, and the route it may take. They are no part of what is
--- asked, so no recording is found by them. A scope passes them down (context.terms); a call that has its own carries them beside
--- the list of targets that it may be sent to (call.work, lua/driver/llm.lua).

local host = require "host.task"
local contexts = require "core.context"
local errors = require "core.errors"
local monotonic = require "host.time".monotonic

local M = {}

---@class stoke.terms
---@field class? 1|2|3 interactive, normal, batch: 2 where nobody says
---@field route? string|string[] see stoke.model.routes
---@field cache? stoke.cache.settings|false see lua/gate/cache.lua

local CLASSES = { interactive = 1, normal = 2, batch = 3 }
local NAMES = { "interactive", "normal", "batch" }

--- The names of the classes, the most urgent first.
M.NAMES = NAMES

--- Somebody has opened a scope with a route: who finds a call's targets looks at the context only then.
M.routed = false

--- The number of a class.
---@param what string who was given it, for the error
---@param name any
---@return 1|2|3|nil class nil for nil
---Raises `argument` for a class that nobody knows.
---
--- Example: `local class = terms.check("stoke.scope", options.class)`
function M.check(what, name)
  if name == nil then return nil end
  local class = CLASSES[name]
  if class then return class end
  local near = type(name) == "string" and errors.suggest(name, NAMES)
  errors.raise("argument", ("%s: class must be %q, %q or %q, got %s"):format(what, NAMES[1], NAMES[2], NAMES[3],
    type(name) == "string" and ("%q"):format(name) or errors.describe(name)),
    { hint = near and ("did you mean %q?"):format(near)
      or "interactive: somebody waits for it; batch: it may wait for all others" })
end

--- Hook: is this a route? fun(what, given). Raises `argument` and `usage`.
function M.check_route(what, given)
  if type(given) ~= "string" and type(given) ~= "table" then
    errors.argument("%s: route must be the name of one, or a list of models, got %s", what, errors.describe(given))
  end
end

--- The terms inside a scope that says something itself.
---@param context stoke.context|nil around
---@param class? 1|2|3
---@param route? string|string[]
---@param cache? stoke.cache.settings|false
---@return stoke.terms|nil terms nil where nothing is said
function M.inside(context, class, route, cache)
  if not class and not route and cache == nil then return nil end
  local outer = context and context.terms
  if route then M.routed = true end
  if cache == nil and outer then cache = outer.cache end
  return { class = class or outer and outer.class, route = route or outer and outer.route, cache = cache }
end

--- Somebody waits for what a task does, at a prompt: its calls go first. What it spawns elsewhere is not among them.
---@param task table that has not opened a scope yet
function M.interactive(task)
  task.context = contexts.with(task.context, { terms = M.inside(task.context, CLASSES.interactive) })
end

--- The class that the scope around the running task gives what is asked in it, for work that is done elsewhere for it.
---@return "interactive"|"normal"|"batch"|nil
---
--- Example: `local class = terms.around()`
function M.around()
  local task = host.current()
  local terms = task and (task.scope or task).context.terms
  return terms and NAMES[terms.class]
end

--- The route that the scope around the running task has.
---@return string|string[]|nil
function M.route()
  local task = host.current()
  local terms = task and (task.scope or task).context.terms
  return terms and terms.route
end

--- The class of a call that waits for its slot.
---@param call table of lua/effect.lua
---@return 1|2|3
function M.class(call)
  local work = call.work
  if type(work) == "table" and work.class then return work.class end
  local task = call.task
  local terms = (call.context or (task.scope or task).context).terms
  return terms and terms.class or 2
end

--- The host's clock.
M.now = monotonic

--- When the deadlines of the scopes around a task end; a shield keeps those outside away.
local function ends(task, now)
  local least, scope = nil, task.scope or task
  while scope do
    local left = scope.alarm and scope.alarm:left()
    if left and (not least or now + left < least) then least = now + left end
    if scope.shield then break end
    scope = scope.outer or scope.task or scope.up
  end
  return least
end

--- When a call is of no use any more.
---@param call table of lua/effect.lua
---@return number|nil deadline seconds of the host's clock; nil: never
function M.deadline(call)
  local work, around = call.work, ends(call.task, monotonic())
  local own = type(work) == "table" and work.deadline or nil
  return own and around and math.min(own, around) or own or around
end

return M
