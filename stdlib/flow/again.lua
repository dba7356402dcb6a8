--- stoke.retry and stoke.fallback: repeat a call, or try an alternative.

local coro = require "core.coro"
local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local time = require "stoke.time"

local M = {}

local OPTIONS = { times = "number", delay = "number", max_delay = "number", jitter = "boolean", on = true }

--- Errors that no other attempt and no other function mends: the code is wrong, or the caller has no more to give.
local FINAL = { argument = true, usage = true, cancelled = true, exit = true, deadline = true, budget = true, replay = true }

--- Errors by kind, as a function of one.
local function chosen(on)
  if on == nil then return function(err) return err.retryable end end
  if type(on) == "string" then on = { on } end
  if errors.callable(on) then return on end
  if type(on) ~= "table" then
    errors.argument("stoke.retry: on must be a list of kinds or a function, got %s", errors.describe(on))
  end
  local kinds = {}
  for _, kind in ipairs(on) do
    errors.check_kind(kind, "stoke.retry")
    kinds[kind] = true
  end
  return function(err) return kinds[err.kind] end
end

local function check(f, options)
  errors.check_callable(f, "stoke.retry")
  options = errors.options(options, OPTIONS, "stoke.retry")
  local times = options.times
  if times and not (math.type(times) == "integer" and times >= 1) then
    errors.argument("stoke.retry: times must be a whole number of at least 1, got %s", tostring(times))
  end
  for _, name in ipairs { "delay", "max_delay" } do
    local seconds = options[name]
    if seconds and not (seconds >= 0) then
      errors.argument("stoke.retry: %s must be seconds of at least 0, got %s", name, tostring(seconds))
    end
  end
  return times or 3, options.delay or 0.25, options.max_delay or 30, options.jitter ~= false, chosen(options.on)
end

--- One attempt: what it spawned has ended when it returns. A cancellation of this task goes on.
local function attempt(f, ...)
  local me = tasks.current()
  local arguments = table.pack(...)
  local results = table.pack(xpcall(function()
    local scope <close> = scopes.can_open() and scopes.open {} or nil
    return f(table.unpack(arguments, 1, arguments.n))
  end, coro.handler))
  if results[1] then return results end
  if me then scopes.deliver(me) end
  return nil, errors.wrap(results[2])
end

--- The error of the last attempt, with those before it.
local function tell(tried)
  local last = table.remove(tried)
  last.attempts = #tried + 1
  if tried[1] then
    last.suppressed = last.suppressed or {}
    for _, err in ipairs(tried) do
      if err ~= last then table.insert(last.suppressed, err) end
    end
  end
  error(last, 0)
end

--- Call a function until it succeeds. The pause between attempts doubles and has random jitter. Only `retryable`
--- errors (refused, timeout, overloaded, incomplete ...) lead to another attempt, unless `on` lists others. The scope's deadline
--- and cancellation also end the pause.
---@param f function
---@param options? { times?: integer, delay?: number, max_delay?: number, jitter?: boolean, on?: string[]|function }
---  times: attempts in all (3); delay: seconds before the second (0.25), doubled for each further one, up to max_delay (30);
---  jitter = false: just so long, else a random part of it; on: kinds of errors, or a function that says whether to go on
---@param ... any its arguments
---@return any ... what it returned
---Raises the last error, with `attempts` (how many) and `suppressed` (the earlier errors); `argument`.
---
--- Example: `local page = stoke.retry(http.get, { times = 5, delay = 1 }, url)`
function M.retry(f, options, ...)
  local times, delay, most, jitter, worth = check(f, options)
  local tried = {}
  while true do
    local results, err = attempt(f, ...)
    if results then return table.unpack(results, 2, results.n) end
    tried[#tried + 1] = err
    if #tried >= times or err.kind == "cancelled" or err.kind == "exit" or not worth(err) then tell(tried) end
    local pause = math.min(most, delay * 2 ^ (#tried - 1))
    if jitter and pause > 0 then pause = pause * require "stoke.rand".float() end
    time.sleep(math.max(pause, math.min(err.retry_after or 0, most)))
  end
end

--- Call functions in order until one succeeds. Errors that another function cannot fix are raised at once: a bug in the code,
--- `cancelled`, `deadline`, and an exhausted `budget`.
---@param ... function|function[] or one list of them
---@return any value
---@return integer index of the one that succeeded
---Raises the last error when none did, with `attempts` (how many) and `suppressed` (the earlier errors); `argument`.
---
--- Example: `local answer = stoke.fallback(function() return small:run(q) end, function() return large:run(q) end)`
function M.fallback(...)
  local list = { ... }
  if select("#", ...) == 1 and type(list[1]) == "table" and not errors.callable(list[1]) then list = list[1] end
  if #list == 0 then errors.argument "stoke.fallback: functions expected, one at least" end
  for i = 1, #list do errors.check_callable(list[i], "stoke.fallback") end
  local tried = {}
  for i, f in ipairs(list) do
    local results, err = attempt(f)
    if results then return results[2], i end
    tried[#tried + 1] = err
    if FINAL[err.kind] or errors.bug(err) then break end
  end
  tell(tried)
end

return M
