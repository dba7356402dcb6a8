--- Combinators of tasks and scopes. Scripts see them as stoke.spawn, stoke.all, scope:map ...

local budgets = require "core.gate.budget"
local cache = require "core.cache.settings"
local channel = require "core.channel"
local handler = require "core.coro".handler
local errors = require "core.errors"
local frames = require "core.frame"
local modules = require "core.modules"
local scopes = require "core.scope"
local tasks = require "core.task"
local terms = require "core.terms"

local M = {}

--- Run a function in a task of its own, a child of the current scope.
---@param f function
---@param ... any its arguments
---@return stoke.task with :await() and :cancel()
---
--- Example: `local t = stoke.spawn(function() return 42 end); print(t:await())`
function M.spawn(f, ...)
  errors.check_callable(f, "stoke.spawn")
  if modules.on_spawn then modules.on_spawn() end
  return tasks.spawn(f, nil, ...)
end

-- ---- scopes -------------------------------------------------------------------------------------------------------------

local SCOPE_OPTIONS = { deadline = "number", budget = "table", class = true, route = true, cache = true }

--- Open a scope: `local s <close> = stoke.scope{}`. Leaving it cancels and joins what was spawned in it and raises the first
--- error of a child.
--- class says who goes first where calls of models wait, "interactive" before "normal" before "batch"; route where they may go
--- that name neither an endpoint nor a route themselves, as for ollama.chat.
---@param options? { deadline?: number, budget?: { calls?: integer, tokens?: integer, seconds?: number },
---  class?: "interactive"|"normal"|"batch", route?: string|string[] }
---@return stoke.scope
---Raises `argument`, and `usage` for a route that nobody knows.
---
--- Example: `local s <close> = stoke.scope { deadline = 60, class = "batch" }`
function M.scope(options)
  options = errors.options(options, SCOPE_OPTIONS, "stoke.scope")
  if options.deadline then errors.check_seconds(options.deadline, "stoke.scope: deadline") end
  local fields = { deadline = options.deadline }
  local me = tasks.current()
  if options.budget then
    fields.budget = budgets.new(options.budget, me and scopes.innermost(me).context.budget)
  end
  if options.class ~= nil or options.route ~= nil or options.cache ~= nil then
    if options.route ~= nil then terms.check_route("stoke.scope", options.route) end
    fields.terms = terms.inside(me and scopes.innermost(me).context, terms.check("stoke.scope", options.class), options.route,
      cache.check("stoke.scope", options.cache))
  end
  return scopes.open(fields)
end

--- Run a function in a task of this scope.
---@param f function
---@param ... any its arguments
---@return stoke.task
---
--- Example: `local t = scope:spawn(fetch, url)`
function scopes.Scope:spawn(f, ...)
  scopes.check_self(self, scopes.Scope, "scope:spawn()")
  errors.check_callable(f, "scope:spawn")
  if modules.on_spawn then modules.on_spawn() end
  if modules.change then scopes.deliver(tasks.current()) end -- spawning into a scope outside the body is an effect too
  return tasks.start(self, nil, f, ...)
end

--- Apply a function to every item concurrently; results are in the order of the list.
---@generic T, R
---@param list T[]
---@param f fun(item: T, index: integer): R
---@param options? { limit?: integer } tasks at once (default: all)
---@return R[]
---
--- Example: `local pages = scope:map(urls, fetch, { limit = 8 })`
function scopes.Scope:map(list, f, options)
  scopes.check_self(self, scopes.Scope, "scope:map()")
  if type(list) ~= "table" then errors.argument("scope:map: a list expected, got %s", type(list)) end
  errors.check_callable(f, "scope:map")
  options = errors.options(options, { limit = "number" }, "scope:map")
  local limit = options.limit or #list
  if #list > 0 and not (limit >= 1) then
    errors.argument("scope:map: limit must be at least 1, got %s", errors.describe(limit))
  end
  local results, next_index, workers = {}, 0, {}
  local frame_of = frames.list "map" -- one frame per item, independent of the worker that takes it
  local before = self.one_frame
  self.one_frame = frame_of and true or before
  for w = 1, math.min(limit, #list) do
    workers[w] = tasks.start(self, nil, function()
      while next_index < #list do
        next_index = next_index + 1
        local index = next_index
        local frame <close> = frame_of and frame_of(index) -- luacheck: ignore
        results[index] = f(list[index], index)
      end
    end)
  end
  self.one_frame = before
  for _, worker in ipairs(workers) do worker:await() end
  return results
end

-- ---- several at once ----------------------------------------------------------------------------------------------------

local function check_functions(list, what, may_be_empty)
  if type(list) ~= "table" or (#list == 0 and not may_be_empty) or errors.callable(list) then
    errors.argument("%s: a list of functions expected", what)
  end
  for _, f in ipairs(list) do errors.check_callable(f, what) end
end

--- Run all functions at once and wait for all; the first error cancels the rest and is raised.
---@param functions (fun(): any)[]
---@return any[] results in the order given
---
--- Example: `local r = stoke.all { function() return 1 end, function() return 2 end }`
function M.all(functions)
  check_functions(functions, "stoke.all", true)
  local scope <close> = scopes.open({})
  local running, results = {}, {}
  for i, f in ipairs(functions) do running[i] = tasks.start(scope, nil, f) end
  for i, task in ipairs(running) do results[i] = task:await() end
  return results
end

--- Start all; call `on_end` for each that ends, until it returns true.
local function first(functions, on_end)
  local ends = channel.new(#functions)
  local scope <close> = scopes.open({})
  for i, f in ipairs(functions) do
    tasks.start(scope, nil, function()
      local value, err = M.try(f)
      ends:send { index = i, value = value, err = err }
    end)
  end
  for _ = 1, #functions do
    local result = ends:recv()
    if on_end(result) then return result.value, result.index end
  end
end

--- Run all at once; the first to end wins, value or error, and the rest are cancelled.
---@param functions (fun(): any)[]
---@return any value
---@return integer index of the winner
---
--- Example: `local answer, who = stoke.race { ask_small, ask_large }`
function M.race(functions)
  check_functions(functions, "stoke.race")
  return first(functions, function(result)
    if result.err then error(result.err, 0) end
    return true
  end)
end

--- Run all at once; the first that succeeds wins and the rest are cancelled. Raises only when all failed.
---@param functions (fun(): any)[]
---@return any value
---@return integer index of the winner
---
--- Example: `local page = stoke.any { from_mirror_a, from_mirror_b }`
function M.any(functions)
  check_functions(functions, "stoke.any")
  local failures = {}
  local value, index = first(functions, function(result)
    if not result.err then return true end
    failures[#failures + 1] = result.err
    return false
  end)
  if index then return value, index end
  local err = failures[1]
  err.suppressed = table.move(failures, 2, #failures, 1, {})
  error(err, 0)
end

--- Run a function with a time limit.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---Raises kind `timeout`.
---
--- Example: `local answer = stoke.timeout(30, ask, question)`
function M.timeout(seconds, f, ...)
  errors.check_seconds(seconds, "stoke.timeout")
  errors.check_callable(f, "stoke.timeout")
  local scope <close> = scopes.open({ deadline = seconds, deadline_kind = "timeout" })
  return f(...)
end

--- Run a function protected from cancellation from outside, for at most `seconds`.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---
--- Example: `stoke.shield(2, function() save(state) end)`
function M.shield(seconds, f, ...)
  errors.check_seconds(seconds, "stoke.shield")
  errors.check_callable(f, "stoke.shield")
  local scope <close> = scopes.open({ shield = true, deadline = seconds, deadline_kind = "timeout" })
  return f(...)
end

local function tried(ok, value, ...)
  if ok then return value, nil, ... end
  return nil, errors.wrap(value) -- out of memory: the handler was not called
end

--- Run a function and return its error as a value. All tasks that it spawned have ended when this returns. A cancellation of the
--- calling task is raised, not returned.
---@param f function
---@param ... any its arguments
---@return any value
---@return any err a stoke.error; nil on success
---
--- Example: `local page, err = stoke.try(http.get, url)`
function M.try(f, ...)
  errors.check_callable(f, "stoke.try")
  local me = tasks.current()
  local function inner(...)
    local scope <close> = scopes.open({})
    return f(...)
  end
  if not scopes.can_open() then inner = f end -- inside table.sort and the like nothing can wait for spawned tasks
  local function outcome(ok, ...)
    if not ok and me then scopes.deliver(me) end
    return tried(ok, ...)
  end
  return outcome(xpcall(inner, handler, ...))
end

--- As try, for many calls of a task, one after another. What a call has spawned has ended when it returns; the scope for that is
--- made anew only where a call has used it.
---@return fun(f: function, ...): any, any try
---@return table closing to be declared as <close>
function M.tries()
  local me, scope = tasks.current(), nil
  local function close(err)
    local own = scope
    scope = nil
    if own then getmetatable(own).__close(own, err) end
  end
  local each = setmetatable({}, { __close = function(_, err)
    if err ~= nil or scopes.is_used(scope) then close(err) end
  end })
  local function inner(f, ...)
    scope = scope or scopes.open {}
    local _ <close> = each
    return f(...)
  end
  local function outcome(ok, ...)
    if not ok then scopes.deliver(me) end
    return tried(ok, ...)
  end
  return function(f, ...) return outcome(xpcall(inner, handler, f, ...)) end,
    setmetatable({}, { __close = function(_, err) close(err) end })
end

return M
