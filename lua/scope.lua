--- Scopes: the tree along which children are waited for, errors go up and cancellation goes down.
---
--- Every task is a scope; `stoke.scope{}` opens one more inside a task. The three laws:
---   1. Leaving a scope waits for its children. A task that returns waits; a `<close>` scope cancels what is left, then waits.
---   2. Errors go up: a child that fails cancels its scope and is raised where the scope ends, the others in `suppressed`.
---   3. Cancellation goes down, and sticks: every later effect inside raises `cancelled`, except in shield() and in
---      `<close>` handlers; both have five seconds in all, then the task is abandoned and reported.
---
--- Fields of a scope (a task's record is one): up (scope it belongs to), first/last (children, linked by next/prev),
--- spawned (how many ever), cancelled (the error its effects raise), failed (first child error), owned (streams), task
--- (owner, absent in a task's own record), outer (scope below it on the owner's stack), shield, alarm, on_child_error.

local host = require "host.task"
local errors = require "core.errors"

local M = {}

--- Seconds a cancelled task has for its `<close>` handlers and shields.
M.GRACE = 5

---@class stoke.scope
local Scope = {}
Scope.__index = Scope
Scope.__name = "stoke.scope"
M.Scope = Scope

local current = host.current

--- The innermost open scope of a task.
local function innermost(task)
  return task.scope or task
end
M.innermost = innermost

--- Raise the cancellation of the current scope, unless the task is already unwinding from it: what runs between that raise
--- and the catch are `<close>` handlers, which may still wait.
---@param task table
local function deliver(task)
  local scope = task.scope or task
  local reason = scope.cancelled
  if reason and not task.unwinding then
    task.unwinding = true
    scope.delivered = true
    host.resist()
    error(reason, 0)
  end
end
M.deliver = deliver

--- Suspend the running task; raises `cancelled` when that ends the wait.
---@param label string what stoke.tasks() shows
---@param seconds? number
---@return boolean woken false when the time is up
function M.park(label, seconds)
  local task = current()
  if not task then errors.argument("%s waits, so it can only be called inside a task", label) end
  deliver(task)
  local woken, err = host.park(label, seconds)
  if woken == nil then
    deliver(task)
    error(err, 0) -- interrupted by nobody's scope: the host itself is stopping
  end
  return woken
end

-- ---- children -----------------------------------------------------------------------------------------------------

function M.link(scope, child)
  local last = scope.last
  child.up, child.prev = scope, last
  if last then last.next = child else scope.first = child end
  scope.last = child
  scope.spawned = (scope.spawned or 0) + 1
end

function M.unlink(child)
  local scope, prev, next = child.up, child.prev, child.next
  if prev then prev.next = next else scope.first = next end
  if next then next.prev = prev else scope.last = prev end
  child.prev, child.next = nil, nil
  if not scope.first and scope.joining then host.wake(scope.joining.co) end
end

--- Wait until no child is left. Nothing interrupts this wait; cancelled children end within the grace.
function M.join(scope)
  while scope.first do
    scope.joining = current()
    host.park("scope.join")
  end
  scope.joining = nil
end

-- ---- cancellation -------------------------------------------------------------------------------------------------

local function mark(scope, reason)
  if scope.cancelled then return end
  scope.cancelled = reason
  local owner = scope.task or scope
  -- scopes opened inside this one by the same task, up to a shield
  local inner, shielded = owner.scope, false
  while inner and inner ~= scope do
    if inner.shield then shielded = true end
    inner = inner.outer
  end
  if not scope.closing_down and owner.co and (inner == scope or scope == owner) then
    local top = owner.scope
    if not shielded then
      while top and top ~= scope do
        mark(top, reason)
        top = top.outer
      end
      if not owner.unwinding and not owner.ending then host.interrupt(owner.co) end
    else
      local below = {} -- those under the shield are cancelled; what it protects is not
      while top and top ~= scope do
        below[#below + 1] = top
        top = top.outer
      end
      for i = #below, 1, -1 do
        if below[i].shield then break end
        mark(below[i], reason)
      end
    end
  end
  local child = scope.first
  while child do
    mark(child, reason)
    child = child.next
  end
end

--- Cancel a scope and all below it. Idempotent.
---@param scope table
---@param reason stoke.error of kind `cancelled`: what its effects raise
function M.cancel(scope, reason)
  if scope.cancelled then return end
  mark(scope, reason)
  if (scope.first or scope.co) and not scope.grace and scope.co ~= false then
    scope.grace = host.alarm({ on_alarm = M.abandon_rest, scope = scope }, M.GRACE)
  end
end

--- A child of this scope failed.
function M.child_failed(scope, child, err)
  if scope.on_child_error then return scope.on_child_error(err, child) end
  if not scope.failed then
    scope.failed = err
    M.cancel(scope, errors.new("cancelled", "a task of the same scope failed: " .. tostring(err.message), { cause = err }))
  elseif err ~= scope.failed then
    local list = rawget(scope.failed, "suppressed") or {}
    scope.failed.suppressed = list
    if #list < 16 then list[#list + 1] = err end
  end
end

--- The grace is over: what still runs below the scope is cut off.
function M.abandon_rest(about)
  local scope = about.scope
  local child = scope.first
  while child do
    local next = child.next
    M.abandon_rest { scope = child }
    child = next
  end
  if scope.co and scope.abandon then scope:abandon() end
end

function M.stop_alarms(scope)
  if scope.alarm then scope.alarm:stop() scope.alarm = nil end
  if scope.grace then scope.grace:stop() scope.grace = nil end
end

-- ---- what a scope owns: streams, closed when it ends ----------------------------------------------------------------

--- Make the scope close `object` when it ends, unless it is released before.
function M.own(scope, object)
  local owned = scope.owned
  if not owned then
    owned = { count = 0 }
    scope.owned = owned
  end
  owned.count = owned.count + 1
  owned[object] = owned.count
end

function M.disown(scope, object)
  local owned = scope.owned
  if owned then owned[object] = nil end
end

--- Close what is still owned, newest first.
function M.close_owned(scope)
  local owned = scope.owned
  if not owned then return end
  scope.owned = nil
  local list = {}
  for object, number in next, owned do
    if object ~= "count" then list[#list + 1] = { object = object, number = number } end
  end
  table.sort(list, function(a, b) return a.number > b.number end)
  for _, item in ipairs(list) do item.object:close() end
end

-- ---- scopes opened with <close> -------------------------------------------------------------------------------------

--- Open a scope inside the running task.
---@param fields table deadline (seconds), deadline_kind, shield, on_child_error, budget
function M.open(fields)
  local task = current()
  if not task then errors.argument("a scope can only be opened inside a task") end
  local outer = innermost(task)
  local scope = setmetatable(fields, Scope)
  scope.task, scope.outer, scope.site = task, task.scope, host.site()
  if not scope.shield then
    scope.cancelled = outer.cancelled
    scope.budget = scope.budget or outer.budget
    scope.gated = outer.gated or scope.budget ~= nil
  end
  task.scope = scope
  if scope.deadline then
    scope.alarm = host.alarm({ on_alarm = M.deadline_passed, scope = scope }, scope.deadline)
  end
  return scope
end

function M.deadline_passed(about)
  local scope = about.scope
  M.cancel(scope, errors.new("cancelled",
    ("the deadline of %g s of the scope opened at %s has passed"):format(scope.deadline, scope.site)))
  scope.passed = scope.cancelled
end

--- What leaving the scope raises: the error that caused it, not the cancellation it caused.
local function outcome(scope, err)
  if scope.failed and (err == nil or err == scope.cancelled) then return scope.failed end
  if scope.passed and (err == scope.passed or (err == nil and scope.delivered)) then
    return errors.new(scope.deadline_kind or "deadline", (scope.passed.message:gsub("^the deadline", "deadline")),
      { seconds = scope.deadline })
  end
  if scope.failed and errors.is(err) and err ~= scope.failed then
    err.suppressed = rawget(err, "suppressed") or { scope.failed }
  end
  return nil
end

--- Cancel and wait for what is left in the innermost scope of the running task, and take it off the stack.
function M.shut(scope)
  if scope.first then M.cancel(scope, errors.new("cancelled", "its scope was left")) end
  M.join(scope)
  M.close_owned(scope)
  M.stop_alarms(scope)
  scope.closed = true
  scope.task.scope = scope.outer
end

function Scope:__close(err)
  local task = current()
  if self.closed or task ~= self.task then return end
  if task.scope ~= self then
    local inner = task.scope
    self.closed = true
    errors.raise("script", ("scopes closed out of order: the one opened at %s is still open inside the one opened at %s")
      :format(inner and inner.site or "?", self.site), { hint = "declare scopes as `local s <close> = stoke.scope{}`" })
  end
  M.shut(self)
  local raised = outcome(self, err)
  if not innermost(task).cancelled then task.unwinding = nil end
  if raised then error(raised, 0) end
end

--- Close the scope before its block ends; a no-op the second time.
function Scope:close()
  Scope.__close(self, nil)
end

--- Cancel what runs in the scope.
---@param message? string
function Scope:cancel(message)
  M.cancel(self, errors.new("cancelled", message or "the scope was cancelled"))
end

return M
