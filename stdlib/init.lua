--- `require "stoke"`: tasks, scopes and channels, and the door to the other modules (stoke.http is require "stoke.http").
---
--- Every function that waits can be cancelled; durations are seconds.

local approval = require "core.approval"
local approvals = require "core.driver.approval"
local channel = require "core.channel"
local handler = require "core.coro".handler
local errors = require "core.errors"
local frames = require "core.frame"
local host = require "core.about"
local modules = require "core.modules"
local spelling = require "core.names"
local scopes = require "core.scope"
local script = require "core.script"
local tasks = require "core.task"
local budgets = require "core.gate.budget"
local policy = require "core.gate.policy"
local time = require "stoke.time"

local M = {}

M.version = host.version

--- What is called may be a function, or a table that can be called, as stoke.choose is.
local function check_function(f, what)
  if not errors.callable(f) then errors.argument("%s: a function expected, got %s", what, type(f)) end
end

local function check_seconds(seconds, what)
  if type(seconds) ~= "number" or not (seconds >= 0) then
    errors.argument("%s: seconds must be a number >= 0, got %s", what, tostring(seconds))
  end
end

-- ---- tasks --------------------------------------------------------------------------------------------------------------

--- Say what the script does. The body of a file only defines; this runs once the file is loaded, as the first task.
---@param f fun(args: string[]): any
---
--- Example: `stoke.main(function(args) print(#args) end)`
function M.main(f)
  check_function(f, "stoke.main")
  script.main = f
end

--- Run a function in a task of its own, a child of the current scope.
---@param f function
---@param ... any its arguments
---@return stoke.task with :await() and :cancel()
---
--- Example: `local t = stoke.spawn(function() return 42 end); print(t:await())`
function M.spawn(f, ...)
  check_function(f, "stoke.spawn")
  if modules.on_spawn then modules.on_spawn() end
  return tasks.spawn(f, nil, ...)
end

M.sleep = time.sleep

local timers = {} -- name -> { seconds, f, task }

local function timer_loop(timer)
  while true do
    time.sleep(timer.seconds)
    local _, err = M.try(timer.f)
    if err and err.kind ~= "exit" then
      local traceback = errors.bug(err) and rawget(err, "traceback")
      require("stoke.log").error("a timer failed", { timer = timer.name, error = tostring(err),
        traceback = traceback and errors.own_frames(traceback) or nil })
    end
  end
end

--- The same timer with another function, as a reload leaves it: it does not begin its seconds anew.
local function swap(timer, f)
  local before = timer.f
  modules.changed(timer, { seconds = timer.seconds, f = before })
  modules.undo(function() timer.f = before end)
  timer.f = f
end

--- End the timer, unless another has its name by now.
local function stop(timer, message)
  if timers[timer.name] == timer then timers[timer.name] = nil end
  timer.task:cancel(message)
end

--- Call a function every so many seconds, by name: naming it again replaces it. It belongs to the host, not to the caller;
--- an error in it is logged and it goes on.
---@param name string
---@param seconds number
---@param f function
---@return stoke.task
---
--- Example: `stoke.every("heartbeat", 60, function() print("alive") end)`
function M.every(name, seconds, f)
  if type(name) ~= "string" then errors.argument("stoke.every: the name must be a string, got %s", type(name)) end
  check_seconds(seconds, "stoke.every")
  check_function(f, "stoke.every")
  local old = timers[name]
  if modules.change and old and old.seconds == seconds and not old.task.state then
    swap(old, f)
    modules.made("timer", name, old)
    return old.task
  end
  local timer = { name = name, seconds = seconds, f = f, stop = stop }
  timer.task = tasks.start(script.timers(), "every " .. name, timer_loop, timer)
  timers[name] = timer
  if old then modules.commit(function() old.task:cancel "replaced" end) end
  modules.undo(function()
    timers[name] = old
    timer.task:cancel "the reload failed"
  end)
  modules.made("timer", name, timer)
  return timer.task
end

local states = {}

--- A table by name that lives as long as the process: what a file keeps there is still there after the file was reloaded.
---@param name string
---@param default? table what it holds in the beginning; later, what of this is missing in it is added
---@return table
---Raises `argument`.
---
--- Example: `local seen = stoke.state("seen", { count = 0 })`
function M.state(name, default)
  if type(name) ~= "string" then errors.argument("stoke.state: the name must be a string, got %s", type(name)) end
  if default ~= nil and type(default) ~= "table" then
    errors.argument("stoke.state: the default must be a table, got %s", errors.describe(default))
  end
  local state = states[name]
  if not state then
    state = {}
    states[name] = state
    modules.undo(function() states[name] = nil end)
  end
  for key, value in next, default or {} do
    if rawget(state, key) == nil then
      rawset(state, key, value)
      modules.undo(function() rawset(state, key, nil) end)
    end
  end
  return state
end

--- What lives: one entry a task, oldest first.
---@param all? boolean the host's own tasks too
---@return { name?: string, site: string, waits?: string, seconds?: number, at?: string }[] site: where it was spawned, at:
---  where it is now
---
--- Example: `for _, t in ipairs(stoke.tasks()) do print(t.site, t.waits, t.seconds) end`
function M.tasks(all) return tasks.list(all) end

-- ---- scopes -------------------------------------------------------------------------------------------------------------

local SCOPE_OPTIONS = { deadline = "number", budget = "table" }

--- Open a scope: `local s <close> = stoke.scope{}`. Leaving it cancels and joins what was spawned in it and raises the first
--- error of a child.
---@param options? { deadline?: number, budget?: { calls?: integer, tokens?: integer, seconds?: number } }
---@return stoke.scope
---
--- Example: `local s <close> = stoke.scope { deadline = 60 }`
function M.scope(options)
  options = errors.options(options, SCOPE_OPTIONS, "stoke.scope")
  if options.deadline then check_seconds(options.deadline, "stoke.scope: deadline") end
  local fields = { deadline = options.deadline }
  if options.budget then
    local me = tasks.current()
    fields.budget = budgets.new(options.budget, me and scopes.innermost(me).context.budget)
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
  check_function(f, "scope:spawn")
  if modules.on_spawn then modules.on_spawn() end
  if modules.change then scopes.deliver(tasks.current()) end -- into a scope that is open elsewhere: an effect, too
  return tasks.start(self, nil, f, ...)
end

--- Apply a function to every item, several at once; results in the order of the list.
---@generic T, R
---@param list T[]
---@param f fun(item: T, index: integer): R
---@param options? { limit?: integer } at most so many at once (default: all)
---@return R[]
---
--- Example: `local pages = scope:map(urls, fetch, { limit = 8 })`
function scopes.Scope:map(list, f, options)
  scopes.check_self(self, scopes.Scope, "scope:map()")
  if type(list) ~= "table" then errors.argument("scope:map: a list expected, got %s", type(list)) end
  check_function(f, "scope:map")
  options = errors.options(options, { limit = "number" }, "scope:map")
  local limit = options.limit or #list
  if #list > 0 and not (limit >= 1) then
    errors.argument("scope:map: limit must be at least 1, got %s", errors.describe(limit))
  end
  local results, next_index, workers = {}, 0, {}
  local frame_of = frames.list "map" -- of an item, whichever worker takes it
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
  for _, f in ipairs(list) do check_function(f, what) end
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

--- Start all; hand over to `on_end` each end in turn until it says stop.
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

--- Run a function for so many seconds at most.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---Raises kind `timeout`.
---
--- Example: `local answer = stoke.timeout(30, ask, question)`
function M.timeout(seconds, f, ...)
  check_seconds(seconds, "stoke.timeout")
  check_function(f, "stoke.timeout")
  local scope <close> = scopes.open({ deadline = seconds, deadline_kind = "timeout" })
  return f(...)
end

--- Run a function that a cancellation from outside does not interrupt, for so many seconds at most.
---@param seconds number
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---
--- Example: `stoke.shield(2, function() save(state) end)`
function M.shield(seconds, f, ...)
  check_seconds(seconds, "stoke.shield")
  check_function(f, "stoke.shield")
  local scope <close> = scopes.open({ shield = true, deadline = seconds, deadline_kind = "timeout" })
  return f(...)
end

local function tried(ok, value, ...)
  if ok then return value, nil, ... end
  return nil, errors.wrap(value) -- for want of memory the handler was not called
end

--- Run a function and get its error as a value. What it spawned has ended when this returns. `cancelled` of the calling task
--- goes on.
---@param f function
---@param ... any its arguments
---@return any value
---@return any err a stoke.error; nil when it went well
---
--- Example: `local page, err = stoke.try(http.get, url)`
function M.try(f, ...)
  check_function(f, "stoke.try")
  local me = tasks.current()
  local function inner(...)
    local scope <close> = scopes.open({})
    return f(...)
  end
  if not scopes.can_open() then inner = f end -- inside table.sort and its kin: nothing can wait for what it spawns
  local function outcome(ok, ...)
    if not ok and me then scopes.deliver(me) end
    return tried(ok, ...)
  end
  return outcome(xpcall(inner, handler, ...))
end

-- ---- once more, and something else ------------------------------------------------------------------------------------------

--- Call a function until it succeeds, with a pause that doubles and is jittered between two attempts. Only errors that say
--- `retryable` (refused, timeout, overloaded, incomplete ...) are worth another attempt, unless `on` says which are. The deadline
--- and the cancellation of the scope hold: the pause is a wait like any other.
---@param f function
---@param options? { times?: integer, delay?: number, max_delay?: number, jitter?: boolean, on?: string[]|function }
---  times: attempts in all (3); delay: seconds before the second (0.25), doubled for each further one, up to max_delay (30);
---  jitter = false: just so long, else a random part of it; on: kinds of errors, or a function that says whether to go on
---@param ... any its arguments
---@return any ... what it returned
---Raises the last error, with `attempts` (how many) and `suppressed` (the earlier errors); `argument`.
---
--- Example: `local page = stoke.retry(http.get, { times = 5, delay = 1 }, url)`
function M.retry(f, options, ...) return require("stoke.flow.again").retry(f, options, ...) end

--- Call one function after another until one succeeds. An error goes on to the next function, but for those that another one
--- cannot mend: a mistake of the code, `cancelled`, a `deadline`, a `budget` that is spent.
---@param ... function|function[] or one list of them
---@return any value
---@return integer index of the one that succeeded
---Raises the last error when none did, with `attempts` (how many) and `suppressed` (the earlier errors); `argument`.
---
--- Example: `local answer = stoke.fallback(function() return small:run(q) end, function() return large:run(q) end)`
function M.fallback(...) return require("stoke.flow.again").fallback(...) end

--- Raise an error of a kind: its exit code, and whether a retry may help, follow from that (lua/errors.lua lists the kinds).
---@param kind string "tool", "invalid_output", "limit", "denied", "usage" ...
---@param message string what happened, in one line
---@param hint? string how to mend it
---Raises that error; `argument` for a kind that nobody knows.
---
--- Example: `stoke.raise("limit", "the report has more than 10 pages", "ask for less")`
function M.raise(kind, message, hint)
  if not errors.kinds[kind] then
    local names = {}
    for name in next, errors.kinds do names[#names + 1] = name end
    table.sort(names)
    local near = errors.suggest(tostring(kind), names)
    errors.argument("stoke.raise: there is no kind %s%s", tostring(kind), near and (" (did you mean %s?)"):format(near) or "")
  end
  if type(message) ~= "string" then errors.argument("stoke.raise: the message must be a string, got %s", type(message)) end
  errors.raise(kind, message, { hint = hint })
end

--- Print values as the prompt shows them: tables with their fields, keys sorted, strings quoted, no deeper and no wider than one
--- wants to read. `term.format` gives the text, and takes limits.
---@param ... any
---
--- Example: `stoke.pp { city = "Oslo", degrees = { 4, 2 } }`
function M.pp(...) require "stoke.repl.print".print(...) end

-- ---- between tasks --------------------------------------------------------------------------------------------------------

M.channel = channel.new
M.select = channel.select
M.semaphore = channel.semaphore

--- Load options by model, sent with every call to it: num_ctx, num_gpu, num_batch, keep_alive ...
---@param profiles table<string, table>
---
--- Example: `stoke.models { ["qwen2.5:3b"] = { num_ctx = 8192 } }`
function M.models(profiles) M.ollama.profiles(profiles) end

-- ---- what may be done ------------------------------------------------------------------------------------------------------

--- Say what is allowed, asked about, or denied, by tool, path, host and command; nil lifts it. `*` in a pattern stands for
--- anything (in a path: but a slash; `**` for that, too). deny goes before ask, ask before allow; `otherwise` is for what no
--- pattern of its kind fits. An allowed tool is not asked about, whatever its needs_approval says.
---@param rules table|nil { allow = { tool = { "get_*" } }, ask = { command = { "git push*" } }, deny = { path = { "**/.env" } },
---  otherwise = { host = "ask" }, timeout = seconds that an approval may take }
---Raises `argument`.
---
--- Example: `stoke.policy { deny = { host = { "*.internal" } }, ask = { tool = { "write_file" } } }`
function M.policy(rules)
  local before = policy.rules
  policy.set(rules)
  modules.undo(function() policy.restore(before) end)
end

--- What waits for a person's approval, oldest first: entry:approve(), entry:reject(reason), entry:edit(args).
---@return stoke.pending[]
---
--- Example: `for _, p in ipairs(stoke.pending()) do print(p.what, p.args) p:approve() end`
function M.pending() return approvals.list() end

function approval.asker(entry) require "stoke.approve".ask(entry) end

-- ---- the other modules, on first use ---------------------------------------------------------------------------------------

local function module_names()
  local names = {}
  for _, name in ipairs(host.modules()) do
    names[#names + 1] = name:match "^stoke%.(%l+)$"
  end
  return names
end

return setmetatable(M, {
  __index = function(_, name)
    local list = module_names()
    for _, known in ipairs(list) do
      if known == name then
        M[name] = spelling.seal("stoke." .. name, require("stoke." .. name))
        return M[name]
      end
    end
    if type(name) ~= "string" or name:find "^__" then return nil end
    for i, known in ipairs(list) do list[known], list[i] = true, nil end
    local message = spelling.say("stoke", name, M, list)
    errors.argument("%s", message)
  end,
})
