--- Tasks: a coroutine with a place in the tree of scopes. See lua/scope.lua for the laws.

local host = require "host.task"
local contexts = require "core.context"
local errors = require "core.errors"
local frames = require "core.frame"
local runs = require "host.schedule"
local schedules = require "core.schedule"
local scopes = require "core.scope"
local coro = require "core.coro"

local xpcall, pcall = coro.raw_xpcall, coro.raw_pcall
local deliver = scopes.deliver

local M = {}

---@class stoke.task
---@field name? string
---@field site string where it was spawned, "file:line"
---@field state? "done"|"failed"|"cancelled" nil while it is alive
---@field schedule? stoke.schedule of the journalled run it belongs to
---@field into? table parent of the tasks it spawns, instead of itself: a line of a session, whose tasks outlive it
local Task = { site = "the host" } -- unless a script spawned it
Task.__index = Task
Task.__name = "stoke.task"

--- Roots of the tree, without a parent. `system` tasks (keeper, simulator) are not traced and do not count as leaks.
M.root = setmetatable({ site = "the host", co = false, context = contexts.root }, Task)
M.system = setmetatable({ site = "the host", co = false, context = contexts.system }, Task)

--- Create a scope that no task owns. It passes errors of its tasks to `on_child_error`; its other tasks go on.
---@param site string its name in messages
---@param on_child_error fun(err: stoke.error, task: stoke.task)
---@param context? stoke.context
---@return table scope
function M.supervisor(site, on_child_error, context)
  return setmetatable({ site = site, co = false, on_child_error = on_child_error, context = context or contexts.root }, Task)
end

M.current = host.current

--- Counter that changes on every resume of a task.
M.slice = host.slice
M.park = scopes.park

--- Wake a parked task.
---@param record stoke.task
---@return boolean whether it was parked
function M.wake(record)
  return record.co and host.wake(record.co) or false
end

-- ---- the life of a task ---------------------------------------------------------------------------------------------

local function name_of(task)
  return task.name and ("%s (%s)"):format(task.name, task.site) or task.site
end

--- Wake the waiters, notify the parent, leave the tree. Idempotent: M.died runs it again if an allocation failure interrupted it.
local function settle(task, state, err, value, ...)
  task.state, task.err, task.value = state, err, value
  if select("#", ...) > 0 then task.more = { n = select("#", ...), ... } end
  local parent = task.up
  scopes.stop_alarms(task)
  if parent then scopes.unlink(task) end
  task.co = false -- so that a handle to an ended task does not keep its stack
  if task.waiters then scopes.wake_all(task.waiters) end
  if state == "failed" and parent then scopes.child_failed(parent, task, err) end
end

--- Runs in the task itself, after its function: closes its open scopes, waits for its children.
local function finish(task, ok, ...)
  task.unwinding = true -- `<close>` handlers may wait
  if task.scope or task.first or task.owned then task.ending = true end
  if task.cancelled then host.resist() end
  local err = not ok and errors.wrap((...)) or nil
  if err and task.first then
    scopes.cancel(task, errors.new("cancelled", "the task that spawned it failed: " .. tostring(err.message), { cause = err }))
  end
  while task.scope do -- opened without <close>, or left in a dropped coroutine
    local scope = task.scope
    scopes.shut(scope)
    err = scopes.outcome(scope, err) or err
  end
  if task.first then scopes.join(task) end
  scopes.close_owned(task)
  if schedules.any and task.schedule then err = schedules.ended(task) or err end
  local failed = task.failed
  if failed and (not err or err == task.cancelled) then
    err = failed
  elseif task.cancelled and (not err or err.kind == "cancelled") then
    return settle(task, "cancelled", task.cancelled)
  elseif failed then
    scopes.suppress(err, failed)
  end
  if not err then return settle(task, "done", nil, ...) end
  if rawget(err, "traceback") and err.last_task ~= task then
    err.traceback = ("%s\nin task %s"):format(err.traceback, name_of(task))
    err.last_task = task
  end
  return settle(task, "failed", err)
end

local handler = coro.handler
local function body(task, f, ...)
  return finish(task, xpcall(f, handler, ...))
end

--- Start a task in a scope.
---@param scope table
---@param name? string
---@param f function
---@return stoke.task
function M.start(scope, name, f, ...)
  if scope.closed or scope.closing or scope.state then
    errors.argument("the scope opened at %s has ended; nothing can be spawned in it", scope.site)
  end
  if scope.cancelled then
    local me = host.current()
    if me then deliver(me) end
    error(scope.cancelled, 0)
  end
  local context, me = scope.context, host.current()
  local run
  if schedules.any and not context.system then
    if scope ~= (me and (me.scope or me)) then schedules.check(scope.schedule, "scope", "spawn") end
    run = schedules.own() or nil
  end
  if context.journal and not scope.one_frame then context = frames.of_task(context, name) end
  local site = scope.site_below
  if site == nil then site = host.site() end
  -- in its final size: eight fields are enough for a task that only runs and ends
  local task = setmetatable({ site = site or nil, name = name, context = context, up = nil, prev = nil, next = nil, co = nil,
    state = nil }, Task)
  if run then task.schedule = run end
  scopes.link(scope, task)
  local new = context.system and host.new_system or host.new
  local raised, ok, err = pcall(new, task, body, task, f, ...) -- raises when out of memory
  if not raised or not ok then
    scopes.unlink(task)
    error(raised and err or ok, 0)
  end
  return task
end

--- Start a task in the current scope of the running task, or at the root. `options.system`: it belongs to the host, not to the
--- script.
---@param f function
---@param options? { name?: string, system?: boolean }
---@return stoke.task
function M.spawn(f, options, ...)
  local me = host.current()
  if options and options.system then
    return M.start(M.system, options.name, f, ...)
  end
  return M.start(me and (me.scope or me.into or me) or M.root, options and options.name, f, ...)
end

-- ---- what a holder of a task can do -----------------------------------------------------------------------------------

local function results(task)
  if task.state == "done" then
    local more = task.more
    if more then return task.value, table.unpack(more, 1, more.n) end
    return task.value
  end
  local err = task.err
  if task.state == "cancelled" then
    err = errors.new("cancelled", ("the awaited task %s was cancelled"):format(name_of(task)), { cause = err })
  end
  error(err, 0)
end

--- Wait for the task to end.
---@return any ... what its function returned
---Raises the task's error; kind `cancelled` when it was cancelled.
---
--- Example: `local answer = task:await()`
function Task:await()
  scopes.check_self(self, Task, "task:await()")
  local me = host.current()
  if not me then errors.argument("task:await waits, so it can only be called inside a task") end
  if me == self then errors.argument("a task cannot await itself") end
  if schedules.any and me.schedule and me.schedule ~= self.schedule then schedules.check(self.schedule, "task", "task:await()") end
  deliver(me)
  if not self.state then host.enter("task:await") end
  while not self.state do
    self.waiters = self.waiters or {}
    local woken, err = scopes.queue_up(self.waiters, me, "task.await")
    if woken == nil then
      if self.state == "failed" then break end -- its failure cancelled us: raise the cause, not the cancellation
      deliver(me)
      error(err, 0)
    end
  end
  if self.state ~= "done" then scopes.unwind(me) end
  return results(self)
end

--- Cancel the task and all tasks it spawned. Returns at once; `await` waits for the end.
---@param message? string
---
--- Example: `task:cancel "no longer wanted"`
function Task:cancel(message)
  scopes.check_self(self, Task, "task:cancel()")
  if self.state then return end
  local me = schedules.any and host.current()
  if me and me.schedule and me.schedule ~= self.schedule then schedules.check(self.schedule, "task", "task:cancel()") end
  scopes.cancel(self, errors.new("cancelled", message or ("the task %s was cancelled"):format(name_of(self))))
end

local REPORTED = 8

--- Kill this one task, which has not ended within its grace period: closes its native waits, skips its `<close>` handlers.
---@param before integer tasks already killed at the same moment: only the first ones are reported
---@private
function Task:cut_off(before)
  if self.state or not self.co then return end
  local acts = schedules.any and self.schedule and runs.cut(self.co) -- recorded in the journal
  local waits = host.waiting(self.co)
  if before < REPORTED then
    scopes.tell(("abandoned task %s: it did not end within %g s of being cancelled%s"):format(
      name_of(self), scopes.GRACE, waits and ("; it waits for " .. waits) or ""))
  elseif before == REPORTED then
    scopes.tell("more tasks were abandoned with these")
  end
  host.abandon(self.co)
  local call = self.call -- its call in flight holds a slot, a reservation and a span
  while call do
    getmetatable(call).settle(call, nil, errors.new("cancelled", "the task was abandoned"))
    call = call.outer
  end
  local owners, inner = {}, self.scope
  while inner do
    scopes.stop_alarms(inner)
    inner.closed = true
    if inner.owned then owners[#owners + 1] = inner end
    inner = inner.outer
  end
  if self.owned then owners[#owners + 1] = self end
  if owners[1] then -- closing may wait, which the keeper must not
    M.spawn(function()
      for _, owner in ipairs(owners) do scopes.close_owned(owner) end
    end, { system = true, name = "closing" })
  end
  settle(self, "cancelled", self.cancelled or errors.new("cancelled", "the task was abandoned"))
  if acts then runs.acted() end
end

--- Settle a task whose body failed to (the allocator failed in its last instructions).
function M.died(task, why)
  if task.state then return settle(task, task.state, task.err, task.value) end -- interrupted half-way
  for _, child in ipairs(scopes.below(task)) do child:cancel("the task that spawned it died") end
  settle(task, "failed", errors.new("os", why))
end

function Task:__tostring()
  return ("task %s: %s"):format(name_of(self), self.state or "running")
end

-- ---- inspection -------------------------------------------------------------------------------------------------------

--- Where a task is in the script: "file:line"; nil when it has not begun.
local function place(co)
  for level = 0, 50 do
    local info = debug.getinfo(co, level, "Sl")
    if not info then return nil end
    if info.currentline > 0 and info.source:sub(1, 7) ~= "@stoke:" then
      return ("%s:%d"):format(info.short_src, info.currentline)
    end
  end
end

--- Number of live tasks of the script: the length of `list`, without walking the tree.
---@return integer
function M.count()
  local live, system = host.counts()
  return live - system
end

--- Live tasks, oldest first.
---@param all? boolean the host's own tasks too
---@return { task: stoke.task, name?: string, site: string, waits?: string, seconds?: number, at?: string }[] site: where it was
---  spawned, at: where it is now
---
--- Example: `for _, t in ipairs(stoke.tasks()) do print(t.site, t.waits, t.seconds) end`
function M.list(all)
  local records, out = host.list(), {}
  for i = #records, 1, -1 do
    local task = records[i]
    if task.co and (all or not task.context.system) then -- one that was cut off in this turn is still among them
      local waits, seconds = host.waiting(task.co)
      out[#out + 1] = { task = task, name = task.name, site = task.site, waits = waits, seconds = seconds,
        at = place(task.co) }
    end
  end
  return out
end

return M
