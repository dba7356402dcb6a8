--- The budget gate: a scope may hold { calls, tokens, seconds } for all the model calls below it. Reserving counts the call and
--- sets the tokens aside that it may use; settling puts what it used in their place. So calls that run side by side cannot spend
--- the same tokens: one that does not fit beside the others waits until they are settled.
---
--- In a journalled run `used` changes where a replay can do the same: at a call's end, and what the body of an effect spends at
--- that effect's end. What is spent before is `unseen`; the limits count both.

local errors = require "core.errors"
local host = require "host.task"
local scopes = require "core.scope"

local M = {}

---@class stoke.budget
---@field limit { calls?: integer, tokens?: integer, seconds?: number }
---@field used { calls: integer, tokens: integer, seconds: number }
---@field held integer tokens set aside for calls that run
---@field unseen? { calls: integer, tokens: integer, seconds: number } of a journalled run
---@field meter? boolean it counts what the body of an effect spends
---@field outer? stoke.budget the budget of the scope around it; both must hold

local NAMES = { "calls", "tokens", "seconds" }

--- Check the limits of a budget.
---@param limit table
---@param where string for messages
---Raises `argument`.
function M.check(limit, where)
  errors.options(limit, { calls = "number", tokens = "number", seconds = "number" }, where)
  for _, name in ipairs(NAMES) do
    local given = limit[name]
    if given and not (given >= 0) then errors.argument("%s: %s must be 0 or more, got %s", where, name, tostring(given)) end
  end
end

--- Make a budget for a scope.
---@param limit table
---@param outer? stoke.budget
function M.new(limit, outer)
  M.check(limit, "budget")
  return { limit = limit, used = { calls = 0, tokens = 0, seconds = 0 }, held = 0, outer = outer }
end

--- What is spent of a level, seen or not.
local function used_of(level, name)
  local unseen = level.unseen
  return unseen and level.used[name] + unseen[name] or level.used[name]
end

local function spent(level, name)
  local limit, used = level.limit[name], used_of(level, name)
  return errors.new("budget", ("the budget of %g %s is spent (%g used)"):format(limit, name, used),
    { limit = limit, used = used, unit = name })
end

--- A limit that is reached already.
local function reached(budget)
  local level = budget
  while level do
    for _, name in ipairs(NAMES) do
      local limit = level.limit[name]
      if limit and used_of(level, name) >= limit then return spent(level, name) end
    end
    level = level.outer
  end
end

--- How many tokens are free, and the level that has the fewest.
local function room_of(budget)
  local room, tightest = math.huge, nil
  local level = budget
  while level do
    local limit = level.limit.tokens
    local free = limit and limit - used_of(level, "tokens") - level.held
    if free and free < room then room, tightest = free, level end
    level = level.outer
  end
  return room, tightest
end

--- Set tokens aside, waiting for calls that hold some where there is too little.
---@return integer|nil tokens
---@return stoke.error|nil err
local function hold(budget, def, call)
  while true do
    local room, tightest = room_of(budget)
    if not tightest then return 0 end
    local tokens, least = def.reserve(call.q, room, call)
    if tokens then return tokens end
    if tightest.held == 0 then
      local err = spent(tightest, "tokens")
      err.message = ("the budget of %g tokens has %g left (%g used); the next call needs about %d"):format(
        err.limit, math.max(0, room), err.used, least)
      return nil, err
    end
    tightest.waiting = tightest.waiting or {}
    local woken, cancelled = scopes.queue_up(tightest.waiting, host.enter "budget", "budget")
    if woken == nil then return nil, cancelled end
    local err = reached(budget)
    if err then return nil, err end
  end
end

--- Count more of a level, where it is not seen yet, or where it is.
local function add(level, seen, name, more)
  if seen then
    level.used[name] = level.used[name] + more
    return
  end
  local unseen = level.unseen
  if not unseen then
    unseen = { calls = 0, tokens = 0, seconds = 0 }
    level.unseen = unseen
  end
  unseen[name] = unseen[name] + more
end

--- Count a call in and set its tokens aside; an error of kind `budget` when nothing is left of one of the limits.
---@return stoke.error|nil
function M.reserve(budget, def, call)
  if not def.usage then return nil end -- only what costs is counted
  local err = reached(budget)
  if err then return err end
  local held = 0
  if def.reserve then
    held, err = hold(budget, def, call)
    if not held then return err end
  end
  local level, seen = budget, not call.context.journal
  while level do
    add(level, seen, "calls", 1)
    level.held = level.held + held
    level = level.outer
  end
  call.budget, call.held, call.unseen = budget, held, not seen
  return nil
end

--- A budget for the body of an effect in a journalled run.
---@param outer stoke.budget
---@return stoke.budget
function M.metered(outer)
  local budget = M.new({}, outer)
  budget.meter = true
  return budget
end

--- The effect whose body a budget has metered is over: the run sees what that spent, up to the body which the effect is in itself.
---@param meter stoke.budget
function M.show(meter)
  local level = meter.outer
  while level do
    for _, name in ipairs(NAMES) do
      add(level, false, name, -meter.used[name])
      add(level, true, name, meter.used[name])
    end
    if level.meter then return end
    level = level.outer
  end
end

--- What a body spent that is not run again.
local function charge(budget, more)
  local level = budget
  while level do
    for _, name in ipairs(NAMES) do level.used[name] = level.used[name] + more[name] end
    level = level.outer
  end
end

--- Count in a call that comes from a recording: nothing is refused and nothing set aside.
---@param budget stoke.budget
---@param def stoke.effect
---@param call table
function M.account(budget, def, call)
  if call.spent then charge(budget, call.spent) end
  if not def.usage or call.replayed and not call.counts then return end
  local level, seen = budget, not call.replayed
  while level do
    add(level, seen, "calls", 1)
    level = level.outer
  end
  call.budget, call.unseen = budget, not seen
end

--- Put what a call used in the place of what was set aside for it. Where the answer broke off the server does not tell: then what
--- it had been asked with (`call.asked`) and what has come of it (`call.came`) count, once it had begun.
function M.settle(budget, used, call)
  local tokens, seconds = 0, 0
  if used then
    tokens, seconds = (used.input_tokens or 0) + (used.output_tokens or 0), used.seconds or 0
  elseif call.begun or call.came and call.came > 0 then
    tokens = (call.asked or 0) + (call.came or 0)
  end
  local held, level, seen = call.held or 0, budget, true
  local free = used ~= nil and used.cached ~= nil and used.calls == 0 -- another one's answer, after all
  while level do
    if seen and call.unseen then
      add(level, false, "calls", -1)
      add(level, true, "calls", 1)
    end
    if free then add(level, seen, "calls", -1) end
    add(level, seen, "tokens", tokens)
    add(level, seen, "seconds", seconds)
    level.held = level.held - held
    if level.waiting then scopes.wake_all(level.waiting) end
    seen = seen and not level.meter
    level = level.outer
  end
  call.budget, call.held = nil, nil
end

return M
