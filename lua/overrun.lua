--- What a task is told that does not wait: while it runs nothing else can, not even what would end it. The watchdog asks here
--- each tenth of a second, and when the heap has grown beyond its limit; the error it gets is raised in the task, where it is.
---
--- A scope whose deadline has passed is cancelled, as the keeper would have done. A task that swallows its cancellation hears of
--- it again, at any instruction, until it ends; `<close>` handlers have their five seconds (lua/scope.lua).

local host = require "host.task"
local errors = require "core.errors"
local runs = require "host.schedule"
local schedules = require "core.schedule"
local scopes = require "core.scope"

local M = {}

--- The scope around this one: of the same task, or the one that the task belongs to.
local function around(scope)
  if scope.task then return scope.outer or scope.task end
  return scope.up
end

--- What has passed: a deadline that no shield keeps off, or the grace of a scope that was cancelled. A scope with a deadline may
--- also say how long its tasks may run without waiting (`slice`, seconds of real time): a virtual clock stands still meanwhile.
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
    scope = around(scope)
  end
end

--- The cancellation that the task has not heard of, or does not heed. Bodies that are run again are in a scope that is cancelled
--- from its beginning; they have a limit of their own (lua/reload.lua).
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
  while late do -- one around it may have passed, too
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

--- A slice that grew the heap by less is not what filled it.
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

--- The error of a block that did not fit any more; nil when there is no limit, or it was the machine that refused.
local function refused()
  local used, limit, block = host.memory()
  if block == 0 or limit == 0 then return nil end
  return errors.new("limit", ("the host holds %s, and %s more would go far above its limit of %s"):format(size(used),
    size(block), size(limit)), { hint = HINT })
end

--- Asked by the watchdog, in the task that runs. Code of a journalled run that is broken off fails the run, since no log can say
--- where that was; so it has some seconds to come to a wait, where the keeper cancels it as anywhere.
---@param act boolean false: only look
---@param seconds number how long it has run, at least
---@param grown integer bytes by which it made the heap grow beyond the limit, garbage apart
---@return any told act: the error to raise, or nil; else whether there is one
---@return boolean? final no `<close>` handler is left any time
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

--- An amount of memory in bytes: 1073741824, "1G", "512M", "50%" of the machine's; nil when it is none of these.
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

--- Hold the heap below so many bytes; 0: no limit.
---@param bytes integer
function M.limit_memory(bytes) host.limit_memory(bytes) end

--- Begin to answer the watchdog.
function M.start()
  host.on_overrun(judge)
  errors.refused = refused
end

return M
