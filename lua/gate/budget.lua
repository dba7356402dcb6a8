--- The budget gate: a scope may hold { calls, tokens, seconds } for all the model calls below it. Reserving counts the call
--- before it runs, settling adds what it really used, so that parallel calls cannot overshoot by more than what runs now.

local errors = require "core.errors"

local M = {}

---@class stoke.budget
---@field limit { calls?: integer, tokens?: integer, seconds?: number }
---@field used { calls: integer, tokens: integer, seconds: number }
---@field outer? stoke.budget the budget of the scope around it; both must hold

--- Make a budget for a scope.
---@param limit table
---@param outer? stoke.budget
function M.new(limit, outer)
  errors.options(limit, { calls = "number", tokens = "number", seconds = "number" }, "budget")
  return { limit = limit, used = { calls = 0, tokens = 0, seconds = 0 }, outer = outer }
end

local NAMES = { "calls", "tokens", "seconds" }

--- Count a call in; an error of kind `budget` when nothing is left of one of the limits.
---@return stoke.error|nil
function M.reserve(budget, def, call)
  if not def.usage then return nil end -- only what costs is counted
  local level = budget
  while level do
    for _, name in ipairs(NAMES) do
      local limit, used = level.limit[name], level.used[name]
      if limit and used >= limit then
        return errors.new("budget", ("the budget of %g %s is spent (%g used)"):format(limit, name, used),
          { limit = limit, used = used, unit = name })
      end
    end
    level = level.outer
  end
  level = budget
  while level do
    level.used.calls = level.used.calls + 1
    level = level.outer
  end
  call.budget = budget
  return nil
end

--- Add what a finished call used.
function M.settle(budget, used, call)
  local level = budget
  local tokens = used and (used.input_tokens or 0) + (used.output_tokens or 0) or 0
  local seconds = used and used.seconds or 0
  while level do
    level.used.tokens = level.used.tokens + tokens
    level.used.seconds = level.used.seconds + seconds
    level = level.outer
  end
  call.budget = nil
end

return M
