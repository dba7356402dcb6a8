--- Scopes: the tree along which children are waited for, errors go up and cancellation goes down.
---
--- Every task is a scope; `stoke.scope{}` opens one more inside a task. The three laws:
---   1. Leaving a scope waits for its children. A task that returns waits; a `<close>` scope cancels what is left, then waits.
---   2. Errors go up: a child that fails cancels its scope and is raised where the scope ends, the others in `suppressed`.
---   3. Cancellation goes down, and sticks: every later effect inside raises `cancelled`, except in shield() and in
---      `<close>` handlers; both have five seconds in all, then what is left is cut off and reported.
---
--- Fields of a scope (a task's record is one): up (scope it belongs to), first/last (children, linked by next/prev), cancelled
--- (the error its effects raise), failed (first child error), owned (streams), task (owner, absent in a task's own record), outer
--- (scope below it on the owner's stack), context (lua/context.lua), shield, alarm, on_child_error, closing and
--- closed, joining (its owner, at the end),
--- watchers (who waits for its children to end), schedule (of the journalled run it belongs to).
---
--- A task is `unwinding` from the raise of its cancellation to where that is caught: what runs meanwhile are `<close>`
--- handlers, which may wait, and whose own scopes nothing from outside cancels.

local host = require "host.task"
local contexts = require "core.context"
local errors = require "core.errors"
local fifo = require "core.fifo"
local runs = require "host.schedule"
local schedules = require "core.schedule"

local M = {}

--- Seconds a cancelled task has for its `<close>` handlers and shields.
M.GRACE = 5

--- Where the host says that something was cut off.
function M.tell(text) io.stderr:write("stoke: ", require "core.redact".known(text), "\n") end

---@class stoke.scope
---@field budget stoke.budget nil where it was opened without one
local Scope = {}
Scope.__index = Scope
Scope.__name = "stoke.scope"
M.Scope = Scope

local current = host.current
local notice -- fun(label): listener for waits

--- Set a listener that is called before each wait; nil removes it.
---@param f fun(label: string)|nil
function M.on_wait(f) notice = f end

--- The innermost open scope of a task.
local function innermost(task)
  return task.scope or task
end
M.innermost = innermost

--- The task has heard of its cancellation: an error is on its way up.
local function unwind(task)
  local scope = task.scope or task
  local reason = scope.cancelled
  if not reason then return end
  if not scope.overdue then task.unwinding = true end
  while scope and scope.cancelled == reason do
    scope.delivered = scope.delivered or scope.aside and host.site() or true -- where, for who runs bodies again
    scope = scope.outer
  end
  host.resist()
end
M.unwind = unwind

--- An error was caught, or a scope left: the task unwinds as before, unless its five seconds are over.
---@param task table
---@param unwinding boolean|nil
function M.go_on(task, unwinding)
  task.unwinding = unwinding and not innermost(task).overdue or nil
end

--- Raise the cancellation of the current scope, unless the task is already unwinding from it.
---@param task table
---@param err? stoke.error the end of a wait, where that knows what it waited for (`waited`)
local function deliver(task, err)
  local reason = (task.scope or task).cancelled
  if reason and not task.unwinding then
    unwind(task)
    if err then reason.waited = rawget(reason, "waited") or rawget(err, "waited") end
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
  if notice then notice(label) end
  local woken, err = host.park(label, seconds)
  if woken == nil then
    deliver(task)
    error(err, 0) -- no scope was cancelled: the host itself is stopping
  end
  return woken
end

-- ---- children -----------------------------------------------------------------------------------------------------

function M.link(scope, child)
  local last = scope.last
  child.up, child.prev = scope, last
  if last then last.next = child else scope.first = child end
  scope.last = child
end

--- Each leaves the queue only after its wake: when a call fails for want of memory, the rest can be done again.
local function wake_all(queue)
  while queue.head do
    local co = queue.head.co
    if co then host.wake(co) end -- else it was cut off
    fifo.pop(queue)
  end
end
M.wake_all = wake_all

--- Can be done again when it broke off, see tasks.died.
function M.unlink(child)
  local scope, prev, next = child.up, child.prev, child.next
  if prev then prev.next = next elseif scope.first == child then scope.first = next end
  if next then next.prev = prev elseif scope.last == child then scope.last = prev end
  child.prev, child.next = nil, nil
  if not scope.first then
    local joining = scope.joining
    if joining and joining.co then host.wake(joining.co) end
    if scope.watchers then wake_all(scope.watchers) end
  end
  child.up = nil
end

--- Wait until no child is left. Nothing interrupts this wait; cancelled children end within the grace.
function M.join(scope)
  while scope.first do
    scope.joining = current()
    host.park("scope.join")
  end
  scope.joining = nil
end

--- Park the running task in a queue of waiting ones, until it is taken off.
---@return boolean|nil woken nil and an error when it was cancelled
local function queue_up(queue, task, label)
  if notice then notice(label) end
  fifo.push(queue, task)
  local woken, err = host.park(label)
  fifo.remove(queue, task)
  return woken, err
end
M.queue_up = queue_up

--- Hand the children over to another scope.
local function adopt(from, to)
  while from.first do
    local child = from.first
    local next = child.next
    from.first = next
    if next then next.prev = nil else from.last = nil end
    child.next = nil
    M.link(to, child)
  end
end

-- ---- cancellation -------------------------------------------------------------------------------------------------

--- Mark what the owner has opened inside `scope`, up to a shield, and end its wait if the innermost is reached.
local function mark_stack(owner, scope, reason, add)
  local inside, top = nil, owner.scope
  while top and top ~= scope do
    inside = inside or {}
    inside[#inside + 1] = top
    top = top.outer
  end
  if top ~= scope and scope ~= owner then return end -- it is no longer on the owner's stack
  for i = inside and #inside or 0, 1, -1 do
    local inner = inside[i]
    if inner.shield then return end
    if not inner.cancelled then
      inner.cancelled = reason
      add(inner)
    end
  end
  if not owner.unwinding and not owner.ending then host.interrupt(owner.co) end
end

--- A cancellation of a journalled run's task from outside the run is recorded, and a replay repeats it at the same place. So the
--- reason consists of its message alone: it must not contain objects from outside the run.
local function from_outside(task, reason)
  if not task.co or not runs.cancel(task.co, reason.message) then return false end
  M.cancel(task, errors.new("cancelled", reason.message))
  runs.acted()
  return true
end

--- Mark a scope and all below it, oldest first. A list instead of recursion: a tree may be deep.
local function mark(scope, reason)
  local list, count = { scope }, 1
  local function add_children(parent)
    local child = parent.last
    while child do
      count = count + 1
      list[count] = child
      child = child.prev
    end
  end
  while count > 0 do
    local s = list[count]
    list[count] = nil
    count = count - 1
    if not s.cancelled and not (schedules.any and s.schedule and s ~= scope and from_outside(s, reason)) then
      s.cancelled = reason
      add_children(s)
      local owner = s.task or s
      if owner.co and not s.closing then mark_stack(owner, s, reason, add_children) end
    end
  end
end

--- Cancel a scope and all below it. Idempotent.
---@param scope table
---@param reason stoke.error of kind `cancelled`: what its effects raise
---@return boolean whether this did it
function M.cancel(scope, reason)
  if scope.cancelled or scope.closed or scope.state then return false end
  if schedules.any and scope.schedule and from_outside(scope, reason) then return true end
  mark(scope, reason)
  if not scope.grace then
    scope.grace = host.alarm({ on_alarm = M.overdue, scope = scope }, M.GRACE)
  end
  return true
end

--- A child of this scope failed.
function M.child_failed(scope, child, err)
  if scope.on_child_error then return scope.on_child_error(err, child) end
  if not scope.failed then
    scope.failed = err
    M.cancel(scope, errors.new("cancelled", "a task of the same scope failed: " .. tostring(err.message), { cause = err }))
  elseif err ~= scope.failed then
    M.suppress(scope.failed, err)
  end
end

--- Note an error beside the one that is raised.
function M.suppress(err, other)
  local list = rawget(err, "suppressed")
  if not list then
    list = {}
    err.suppressed = list
  end
  if err ~= other and #list < 16 then list[#list + 1] = other end
end

--- Every task below a scope, parents first.
local function below(scope)
  local found, list, count = {}, { scope }, 1
  while count > 0 do
    local s = list[count]
    list[count] = nil
    count = count - 1
    if s.co and s ~= scope then found[#found + 1] = s end
    local top = (s.task or s).scope -- with s, what its owner has opened inside it
    while top and top ~= s do
      count = count + 1
      list[count] = top
      if not s.task then top = top.outer else break end -- the rest comes with that one
    end
    local child = s.last
    while child do
      count = count + 1
      list[count] = child
      child = child.prev
    end
  end
  return found
end
M.below = below

--- The grace is over: the tasks below are cut off, innermost first, then the scope itself.
function M.overdue(about)
  local scope = about.scope
  if scope.closed or scope.state then return end
  local list, owner = below(scope), scope.task
  if scope.co then table.insert(list, 1, scope) end
  for i = #list, 1, -1 do list[i]:cut_off(#list - i) end
  if not owner then return end
  local top = owner.scope
  if top.closing and not top.first then return end -- it was waiting for them, and ends now
  M.tell(("the scope opened at %s did not end within %g s of being cancelled; what it still waits for is cut")
    :format(scope.site, M.GRACE))
  scope.grace = host.alarm(about, M.GRACE)
  while top and top ~= scope do
    top.cancelled, top.overdue = top.cancelled or scope.cancelled, true
    top = top.outer
  end
  scope.overdue = true
  owner.unwinding = nil
  host.interrupt(owner.co)
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

--- Whether a scope can be opened here: leaving it waits.
M.can_open = host.can_wait

--- Put a scope on the stack of its task.
local function begin(task, outer, scope, deadline, deadline_kind)
  if schedules.any then scope.schedule = schedules.own() end
  if outer.overdue then -- no shield is left
    scope.shield, scope.cancelled, scope.overdue = nil, outer.cancelled, true
  elseif task.unwinding then -- a `<close>` handler: what it does is not cut short by what it answers
    scope.shield, scope.was_unwinding = true, true
    task.unwinding = nil
  elseif not scope.shield then
    scope.cancelled = outer.cancelled
  end
  task.scope = scope
  if deadline then
    scope.deadline, scope.deadline_kind = deadline, deadline_kind
    scope.alarm = host.alarm(scope, deadline)
  end
  return scope
end

--- Open a scope inside the running task.
---@param fields table deadline (seconds), deadline_kind, shield, on_child_error, site (where it is opened, found out else), and
---  what its context has besides: budget, run, span, tape, journal, frame, only, terms; one_frame: what is spawned in it shares the
---  frame of the scope
function M.open(fields)
  local task = host.enter("a scope") -- leaving it waits
  local outer = task.scope or task
  local context = outer.context
  if fields.run or fields.budget or fields.span or fields.tape or fields.journal or fields.only or fields.terms then
    context = contexts.with(context, fields)
  end
  return begin(task, outer, setmetatable({ task = task, outer = task.scope, site = fields.site or host.site() or "the host",
    context = context, budget = context.budget, shield = fields.shield, on_child_error = fields.on_child_error,
    one_frame = fields.one_frame, closed = false }, Scope), -- of a size for what is set later, too
    fields.deadline, fields.deadline_kind)
end

--- Open the scope of a tool's call: as M.open, with a `timeout` in place of a deadline.
---@param seconds number|nil
---@param site string|nil
---@param run? table the agent run that it works for
---@param span? core.span
---@param progress? { tell: fun(note: table) } who hears how far it is
function M.open_work(seconds, site, run, span, progress)
  local task = host.enter("a scope")
  local outer = task.scope or task
  local context = outer.context
  if run or span or progress then context = contexts.of_work(context, run, span, progress) end
  return begin(task, outer, setmetatable({ task = task, outer = task.scope, site = site or host.site() or "the host",
    context = context, closed = false, deadline = nil, deadline_kind = nil, alarm = nil }, Scope), seconds, "timeout")
end

--- The deadline has passed.
---@private
function Scope:on_alarm()
  local reason = errors.new("cancelled",
    ("the deadline of %g s of the scope opened at %s has passed"):format(self.deadline, self.site), { late = true })
  if M.cancel(self, reason) then self.passed = reason end
end

--- What leaving the scope raises instead of `err`: the error that caused it, not the cancellation it caused.
function M.outcome(scope, err)
  local failed, passed = scope.failed, scope.passed
  if failed and (err == nil or err == scope.cancelled) then return failed end
  if passed and (err == passed or (err == nil and scope.delivered)) then
    local waited = rawget(passed, "waited")
    return errors.new(scope.deadline_kind or "deadline", passed.message:gsub("^the deadline", "deadline") ..
      (waited and "; a call had " .. waited or ""),
      { seconds = scope.deadline, waited = waited, where = rawget(passed, "where"), traceback = rawget(passed, "traceback") })
  end
  if failed and err ~= failed then
    local both = errors.wrap(err)
    M.suppress(both, failed)
    return both ~= err and both or nil
  end
  return nil
end

--- Cancel and wait for what is left in the innermost scope of the running task, and take it off the stack.
function M.shut(scope)
  local task, outer = scope.task, scope.outer
  if scope.first or scope.owned then -- else nothing here waits, so nobody can see it half closed
    scope.closing = true
    if scope.first then
      M.cancel(scope, errors.new("cancelled", "its scope was left"))
      if host.can_wait() then M.join(scope) else adopt(scope, outer or task) end
    end
    M.close_owned(scope)
  end
  if scope.alarm or scope.grace then M.stop_alarms(scope) end
  scope.closed = true
  task.scope = outer
  if not (outer or task).cancelled then host.resist() end
end

--- Has anything come of a scope since it was opened: tasks, streams, an error, a cancellation, another context? One of which this
--- is false need not be closed and opened anew for what comes next.
---@param scope table
---@return boolean
function M.is_used(scope)
  local outer = scope.outer or scope.task
  return (scope.first or scope.owned or scope.failed or scope.passed or scope.cancelled or scope.was_unwinding
    or scope.context ~= outer.context) and true or false
end

local function is_open(task, scope)
  local top = task.scope
  while top and top ~= scope do top = top.outer end
  return top ~= nil
end

--- A method called with a dot, or on something else.
function M.check_self(object, class, call)
  if getmetatable(object) ~= class then
    errors.argument("%s: called on %s; write a colon, not a dot", call, errors.describe(object))
  end
end

function Scope:__close(err)
  local task = current()
  if self.closed then return end
  if task ~= self.task then
    errors.raise("script", ("the scope opened at %s can only be closed by the task that opened it"):format(self.site))
  end
  local misplaced
  if task.scope ~= self then
    if not is_open(task, self) then return end
    misplaced = errors.new("script",
      ("scopes closed out of order: the one opened at %s is still open inside the one opened at %s")
      :format(task.scope.site, self.site), { hint = "declare scopes as `local s <close> = stoke.scope{}`" })
    while task.scope ~= self do M.shut(task.scope) end
  end
  M.shut(self)
  local raised
  if self.failed or self.passed then raised = M.outcome(self, err) end
  if misplaced and err == nil then raised = raised or misplaced end
  local outer = self.outer or task
  local unwinding = self.was_unwinding
  if (raised ~= nil or err ~= nil) and outer.cancelled then unwinding = true end
  if unwinding or task.unwinding then M.go_on(task, unwinding) end
  if raised then error(raised, 0) end
end

--- Close the scope before its block ends; a no-op the second time.
---
--- Example: `scope:close()`
function Scope:close()
  Scope.__close(self, nil)
end

--- Cancel what runs in the scope.
---@param message? string
---
--- Example: `scope:cancel "enough"`
function Scope:cancel(message)
  M.check_self(self, Scope, "scope:cancel()")
  if schedules.any then schedules.check(self.schedule, "scope", "scope:cancel()") end
  M.cancel(self, errors.new("cancelled", message or "the scope was cancelled"))
end

--- Wait until every task of this scope has ended; raises the first error.
---
--- Example: `scope:wait()`
function Scope:wait()
  if type(self) ~= "table" then M.check_self(self, Scope, "scope:wait()") end
  local task = host.enter "scope:wait"
  if schedules.any then schedules.check(self.schedule, "scope", "scope:wait()") end
  deliver(task)
  while self.first do
    self.watchers = self.watchers or {}
    local woken, err = queue_up(self.watchers, task, "scope.wait")
    if woken == nil then
      if self.failed then break end
      deliver(task)
      error(err, 0)
    end
  end
  if self.failed then
    unwind(task)
    error(self.failed, 0)
  end
end

return M
