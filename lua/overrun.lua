--- Interrupts tasks that run without waiting: meanwhile nothing else can run, not even the code that would end them. The watchdog
--- calls `judge` every tenth of a second, and when the heap exceeds its limit; it raises the returned error in the task, at the
--- current instruction.
---
--- A scope past its deadline is cancelled, as the keeper would have done. A task that swallows its cancellation gets it raised
--- again, at any instruction, until it ends; `<close>` handlers have their five seconds (lua/scope.lua).

local host = require "host.task"
local errors = require "core.errors"
local runs = require "host.schedule"
local schedules = require "core.schedule"
local scopes = require "core.scope"

local M = {}

--- The enclosing scope: in the same task, or the one that owns the task.
local function enclosing(scope)
  if scope.task then return scope.outer or scope.task end
  return scope.up
end

--- The scope whose deadline has passed, unless a shield protects the task, or the cancelled scope whose grace period is over. A
--- scope with a deadline may also limit how long its tasks run without waiting (`slice`, seconds of real time), since a virtual
--- clock stands still meanwhile.
---@return table|nil late, table|nil over
local function passed(task, seconds)
  local scope, shielded = task.scope or task, false
  while scope do
    if scope.grace and scope.grace:due(seconds) then return nil, scope end
    if scope.alarm and not shielded and not scope.cancelled then
      if scope.alarm:due(seconds) then return scope end
      if scope.slice and seconds >= scope.slice then return scope end
    end
    shielded = shielded or scope.shield
    scope = enclosing(scope)
  end
end

--- The cancellation that the task has not received yet, or ignores. Bodies that are run again are in a scope that is cancelled
--- from the start; they have a limit of their own (lua/reload.lua).
local function unheeded(task)
  local scope = scopes.innermost(task)
  return not task.unwinding and not scope.aside and scope.cancelled or nil
end

local function is_due(task, seconds)
  local late, over = passed(task, seconds)
  return (late or over or unheeded(task)) ~= nil
end

local function expire(task, seconds)
  local late, over = passed(task, seconds)
  while late do -- an enclosing one may have passed too
    if late.slice and not late.alarm:due(seconds) then late.overran = host.site() or "?" end
    late.alarm:begin()
    late:on_alarm()
    runs.acted()
    late, over = passed(task, seconds)
  end
  if over then return over.cancelled, true end
  local reason = unheeded(task)
  if reason then scopes.unwind(task) end
  return reason
end

local MB = 1024 * 1024

--- Did this slice fill the heap? One that grew it by less did not.
local function is_large(grown, limit) return grown >= math.max(limit // 64, MB) end

local function size(bytes)
  if bytes < MB then return ("%d KB"):format(bytes // 1024 + 1) end
  return (bytes >= 10 * MB and "%.0f MB" or "%.1f MB"):format(bytes / MB)
end

local HINT = "keep less at once, or raise the limit: --max-memory 2G, or max_memory in stoke.config.lua"

local function too_large(grown)
  local used, limit = host.memory()
  if not is_large(grown, limit) then return nil end
  return errors.new("limit", ("this task made the host hold %s, above its limit of %s: %s more since it last waited"):format(
    size(used), size(limit), size(grown)), { where = host.site(), hint = HINT })
end

--- The error for a refused allocation; nil if there is no limit, or the machine refused it.
local function refused()
  local used, limit, block = host.memory()
  if block == 0 or limit == 0 then return nil end
  return errors.new("limit", ("the host holds %s, and %s more would go far above its limit of %s"):format(size(used),
    size(block), size(limit)), { hint = HINT })
end

--- Called by the watchdog, in the running task. Interrupting code of a journalled run fails the run, since no log can record where
--- that was; so such code gets some seconds to reach a wait, where the keeper can cancel it as usual.
---@param act boolean false: only check
---@param seconds number how long it has run, at least
---@param grown integer bytes by which it grew the heap beyond the limit, without garbage
---@return any err if act: the error to raise, or nil; otherwise whether there is one
---@return boolean? final `<close>` handlers get no more time
local function judge(act, seconds, grown)
  local task = host.current()
  if not task or task.context.system then return nil end
  local in_run = schedules.any and schedules.own()
  local due = (not in_run or seconds >= scopes.GRACE) and is_due(task, seconds)
  if not act then return due end
  local err = grown > 0 and too_large(grown)
  if not err and not due then return nil end
  if in_run then
    runs.fail(("the watchdog ended code that did not wait, at %s; a journalled run cannot repeat that, so it ends")
      :format(host.site() or "?"))
  end
  if err then return err end
  return expire(task, seconds)
end

local UNITS = { [""] = 1, k = 1024, m = MB, g = 1024 * MB, t = 1024 * 1024 * MB }

--- An amount of memory in bytes: 1073741824, "1G", "512M", "50%" of the machine's; nil if invalid.
---@param amount string|number
---@return integer|nil
function M.bytes(amount)
  if type(amount) == "number" then
    local bytes = math.tointeger(amount)
    return bytes and bytes >= 0 and bytes or nil
  end
  local share = amount:match "^(%d+)%%$"
  if share then return tonumber(share) <= 100 and host.machine_memory() * tonumber(share) // 100 or nil end
  local number, unit = amount:lower():match "^(%d+%.?%d*)%s*([kmgt]?)i?b?$"
  return number and math.tointeger(tonumber(number) * UNITS[unit] // 1)
end

--- Limit the heap to `bytes`; 0: no limit.
---@param bytes integer
function M.limit_memory(bytes) host.limit_memory(bytes) end

--- A part of the heap's limit, or of the machine's memory where there is none.
---@param parts integer
---@return integer bytes
function M.share(parts)
  local _, limit = host.memory()
  return (limit > 0 and limit or host.machine_memory()) // parts
end

--- Install the watchdog's callback.
function M.start()
  host.on_overrun(judge)
  errors.refused = refused
end

return M
