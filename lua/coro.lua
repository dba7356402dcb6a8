--- The coroutine library and pcall as scripts see them.
---
--- A native wait inside a user's coroutine yields the host's sentinel; resume() passes it up to the task, waits there, and
--- goes on with the inner coroutine, so effects work inside generators. pcall and its kin end the unwinding of a cancelled
--- task: what runs between the raise and the catch are `<close>` handlers, after it every effect raises again.

local host = require "host.task"
local errors = require "core.errors"

local raw_resume, raw_yield, raw_create = coroutine.resume, coroutine.yield, coroutine.create
local raw_pcall, raw_xpcall, raw_running = pcall, xpcall, coroutine.running
local sentinel, current, running = host.sentinel, host.current, host.running

local M = { coroutine = {} }
for name, f in next, coroutine do M.coroutine[name] = f end

local function caught(ok, ...)
  if not ok then
    local task = current()
    if task and task.unwinding then task.unwinding = nil end
  end
  return ok, ...
end

local function step(me, co, ok, value, ...)
  running(me)
  if ok and value == sentinel then
    raw_yield(sentinel)
    running(co)
    return step(me, co, raw_resume(co))
  end
  return caught(ok, value, ...)
end

--- As coroutine.resume.
function M.coroutine.resume(co, ...)
  if type(co) ~= "thread" then errors.argument("coroutine.resume: a coroutine expected, got %s", type(co)) end
  running(co)
  return step(raw_running(), co, raw_resume(co, ...))
end

local resume = M.coroutine.resume

local function unwrap(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

--- As coroutine.wrap.
function M.coroutine.wrap(f)
  local co = raw_create(f)
  return function(...) return unwrap(resume(co, ...)) end
end

--- As coroutine.yield; in a task's own body there is nobody to yield to.
function M.coroutine.yield(...)
  local task = current()
  if task and task.co == raw_running() then
    errors.argument("coroutine.yield outside a coroutine: tasks wait by calling what waits (stoke.sleep, await, effects)")
  end
  return raw_yield(...)
end

--- As pcall, across waits too.
function M.pcall(f, ...)
  return caught(raw_pcall(f, ...))
end

--- As xpcall, across waits too.
function M.xpcall(f, handler, ...)
  return caught(raw_xpcall(f, handler, ...))
end

return M
