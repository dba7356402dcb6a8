--- Tasks: a coroutine with a place in the tree of scopes. See lua/scope.lua for the laws.

local host = require "host.task"
local errors = require "core.errors"
local scopes = require "core.scope"

local M = {}

---@class stoke.task
---@field name? string
---@field site string where it was spawned, "file:line"
---@field state? "done"|"failed"|"cancelled" nil while it lives
local Task = {}
Task.__index = Task
Task.__name = "stoke.task"
M.Task = Task

--- Roots of the tree: what belongs to nobody. `system` tasks (keeper, simulator) are not traced and no leak.
M.root = setmetatable({ site = "the host", co = false }, Task)
M.system = setmetatable({ site = "the host", co = false }, Task)

M.current = host.current
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

--- Wake who awaits it, tell the parent, leave the tree.
local function settle(task, state, err, value, ...)
  task.state, task.err, task.value = state, err, value
  if select("#", ...) > 0 then task.more = { n = select("#", ...), ... } end
  local parent = task.up
  scopes.stop_alarms(task)
  scopes.unlink(task)
  local waiters = task.waiters
  if waiters then
    task.waiters = nil
    for _, waiter in ipairs(waiters) do host.wake(waiter.co) end
  end
  if state == "failed" then scopes.child_failed(parent, task, err) end
end

--- Runs in the task itself, after its function: closes what is open, waits for the children.
local function finish(task, ok, ...)
  task.unwinding = nil
  task.ending = true
  if task.cancelled then host.resist() end
  local err = not ok and errors.wrap((...)) or nil
  if err and task.first then
    scopes.cancel(task, errors.new("cancelled", "the task that spawned it failed: " .. tostring(err.message), { cause = err }))
  end
  while task.scope do scopes.shut(task.scope) end -- opened without <close>, or left in a dropped coroutine
  if task.first then scopes.join(task) end
  scopes.close_owned(task)
  local failed = task.failed
  if failed and (not err or err == task.cancelled) then
    err = failed
  elseif task.cancelled and (not err or err.kind == "cancelled") then
    return settle(task, "cancelled", task.cancelled)
  elseif failed and err ~= failed then
    err.suppressed = rawget(err, "suppressed") or { failed }
  end
  if not err then return settle(task, "done", nil, ...) end
  if rawget(err, "traceback") and err.last_task ~= task then
    err.traceback = ("%s\nin task %s"):format(err.traceback, name_of(task))
    err.last_task = task
  end
  return settle(task, "failed", err)
end

local handler = errors.handler
local function body(task, f, ...)
  return finish(task, xpcall(f, handler, ...))
end

--- Start a task in a scope.
---@param scope table
---@param name? string
---@param f function
---@return stoke.task
function M.start(scope, name, f, ...)
  if scope.cancelled then
    local me = host.current()
    if me then scopes.deliver(me) end
    error(scope.cancelled, 0)
  end
  if scope.closed or scope.state then
    errors.argument("the scope opened at %s has ended; nothing can be spawned in it", scope.site)
  end
  local task = setmetatable({ site = host.site() or "the host", name = name }, Task)
  scopes.link(scope, task)
  local ok, err = host.new(task, body, task, f, ...)
  if not ok then
    scopes.unlink(task)
    error(err, 0)
  end
  return task
end

--- Start a task in the current scope of the running task, or at the root. `options.system` makes it the host's own.
---@param f function
---@param options? { name?: string, system?: boolean }
---@return stoke.task
function M.spawn(f, options, ...)
  local me = host.current()
  if options and options.system then
    local task = M.start(M.system, options.name, f, ...)
    host.system(task.co)
    return task
  end
  return M.start(me and scopes.innermost(me) or M.root, options and options.name, f, ...)
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

local function remove(list, item)
  for i = 1, #list do
    if list[i] == item then return table.remove(list, i) end
  end
end

--- Wait for the task to end.
---@return any ... what its function returned
---Raises the task's error; kind `cancelled` when it was cancelled.
function Task:await()
  local me = host.current()
  if not me then errors.argument("task:await waits, so it can only be called inside a task") end
  if me == self then errors.argument("a task cannot await itself") end
  scopes.deliver(me)
  while not self.state do
    local waiters = self.waiters or {}
    self.waiters = waiters
    waiters[#waiters + 1] = me
    local woken, err = host.park("task.await")
    if not self.state then remove(waiters, me) end
    if woken == nil then
      if self.state == "failed" then break end -- its failure is why: raise that, not the echo
      scopes.deliver(me)
      error(err, 0)
    end
  end
  return results(self)
end

--- Cancel the task and all it spawned. Returns at once; await tells when it has ended.
---@param message? string
function Task:cancel(message)
  if self.state then return end
  scopes.cancel(self, errors.new("cancelled", message or ("the task %s was cancelled"):format(name_of(self))))
end

--- Cut off a task that does not end; its native waits are closed, its `<close>` handlers do not run.
function Task:abandon()
  if self.state or not self.co then return end
  local waits = host.waiting(self.co)
  io.stderr:write(("stoke: abandoned task %s: it did not end within %g s of being cancelled%s\n")
    :format(name_of(self), scopes.GRACE, waits and ("; it waits for " .. waits) or ""))
  host.abandon(self.co)
  local inner = self.scope
  while inner do
    scopes.close_owned(inner)
    scopes.stop_alarms(inner)
    inner = inner.outer
  end
  scopes.close_owned(self)
  settle(self, "cancelled", self.cancelled)
end

--- Settle a task whose body could not (the allocator failed in its last instructions).
function M.died(task, why)
  if task.state then return end
  settle(task, "failed", errors.new("os", why))
end

function Task:__tostring()
  return ("task %s: %s"):format(name_of(self), self.state or "running")
end

-- ---- looking ----------------------------------------------------------------------------------------------------------

--- Every live task, oldest first.
---@param all? boolean system tasks too
---@return { task: stoke.task, name?: string, site: string, waits?: string, seconds?: number, path: string }[]
function M.list(all)
  local records, out = host.list(), {}
  for i = #records, 1, -1 do
    local task = records[i]
    if all or task.up ~= M.system then
      local waits, seconds = host.waiting(task.co)
      out[#out + 1] = { task = task, name = task.name, site = task.site, waits = waits, seconds = seconds }
    end
  end
  return out
end

return M
