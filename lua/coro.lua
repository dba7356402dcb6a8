--- The coroutine library and pcall as scripts see them.
---
--- A native wait inside a user's coroutine yields the host's sentinel. resume() passes it up to the task, waits there, and then
--- resumes the inner coroutine, so effects work inside generators. Only the runtime may resume or close a coroutine that waits this
--- way. pcall and its variants end the unwinding of a cancelled task: between raise and catch only `<close>` handlers run; after
--- the catch every effect raises again.
---
--- lua/boot.lua replaces the raw pcall, xpcall, coroutine.wrap and coroutine.resume of the whole runtime by these, right after it
--- has loaded anything else.

local host = require "host.task"
local errors = require "core.errors"
local frames = require "core.frame"
local scopes = require "core.scope"

local raw = coroutine
local raw_resume, raw_yield, raw_create, raw_running = raw.resume, raw.yield, raw.create, raw.running
local raw_pcall, raw_xpcall, getinfo = pcall, xpcall, debug.getinfo
local sentinel, current, step_in, step_out = host.sentinel, host.current, host.step_in, host.step_out

local M = { coroutine = {}, raw_xpcall = raw_xpcall, raw_pcall = raw_pcall }
for name, f in next, coroutine do M.coroutine[name] = f end

-- Coroutines that wait inside a task, and tasks' own coroutines that a script has a reference to: only the runtime resumes them.
local held = setmetatable({}, { __mode = "k" })

local function caught(task, unwinding, ok, ...)
  if not ok and task then scopes.go_on(task, unwinding) end
  return ok, ...
end

local function step(me, co, blocked, ok, ...)
  step_out(me, blocked)
  if ok and ... == sentinel then
    held[co] = true
    raw_yield(sentinel)
    held[co] = nil
    return step(me, co, step_in(co), raw_resume(co))
  end
  return ok, ...
end

-- After a call in another coroutine that could not wait.
local function stepped(me, blocked, ...)
  step_out(me, blocked)
  return ...
end

local function check(co, what)
  if type(co) ~= "thread" then errors.argument("%s: a coroutine expected, got %s", what, type(co)) end
end

local HELD = "cannot resume a coroutine that waits inside a task; the task goes on with it"

--- As coroutine.resume.
function M.coroutine.resume(co, ...)
  check(co, "coroutine.resume")
  if held[co] then return false, HELD end
  local task = current()
  return caught(task, task and task.unwinding, step(raw_running(), co, step_in(co), raw_resume(co, ...)))
end

--- Message handler of tasks. A cancellation gets no traceback: there may be thousands, and their cause is outside the task.
function M.handler(raised)
  if errors.is(raised) and raised.kind == "cancelled" then
    if not rawget(raised, "where") and not frames.inside_body() then raised.where = host.site() end
    return raised
  end
  return errors.handler(raised)
end

-- Error objects keep the place inside the generator; plain strings contain theirs.
local function keep_place(err)
  return errors.is(err) and M.handler(err) or err
end

local function unwrap(ok, ...)
  if not ok then error((...), 0) end
  return ...
end

--- As coroutine.wrap. Its `<close>` variables run, and may wait, before an error leaves it.
function M.coroutine.wrap(f)
  if type(f) ~= "function" then errors.argument("coroutine.wrap: a function expected, got %s", type(f)) end
  local co = raw_create(function(...) return unwrap(raw_xpcall(f, keep_place, ...)) end)
  return function(...)
    if held[co] then error(HELD, 2) end
    return unwrap(step(raw_running(), co, step_in(co), raw_resume(co, ...)))
  end
end

--- As coroutine.close. The `<close>` handlers that it runs cannot wait.
function M.coroutine.close(co)
  check(co, "coroutine.close")
  if held[co] then errors.argument("coroutine.close: the coroutine waits inside a task; cancel the task instead") end
  local task = current()
  return caught(task, task and task.unwinding, stepped(raw_running(), step_in(co), raw.close(co)))
end

--- As coroutine.status; "normal" while it waits inside a task.
function M.coroutine.status(co)
  check(co, "coroutine.status")
  return held[co] and co ~= raw_running() and "normal" or raw.status(co)
end

--- As coroutine.running; the body of a task is the main coroutine to the script.
function M.coroutine.running()
  local co, main = raw_running()
  local task = current()
  if task and task.co == co then
    held[co] = true
    main = true
  end
  return co, main
end

--- As coroutine.isyieldable; false in the body of a task, which has no resumer to yield to.
function M.coroutine.isyieldable(co)
  local task = current()
  if task and task.co == (co or raw_running()) then return false end
  return raw.isyieldable(co or raw_running())
end

--- As coroutine.yield; an error in the body of a task, which has no resumer to yield to.
function M.coroutine.yield(...)
  local task = current()
  if task and task.co == raw_running() then
    errors.argument("coroutine.yield outside a coroutine: tasks wait by calling what waits (stoke.sleep, await, effects)")
  end
  return raw_yield(...)
end

--- As pcall, across waits too.
function M.pcall(...)
  local task = current()
  if select("#", ...) == 0 then return raw_pcall() end -- raises Lua's own message
  return caught(task, task and task.unwinding, raw_xpcall((...), errors.mended, select(2, ...)))
end

-- Lua calls a message handler inside the hook that raised. No hook runs there, so an endless handler could not be interrupted.
local function outside_hook(handler)
  if handler == M.handler or handler == errors.handler or getinfo(handler, "S").what == "C" then return handler end
  return function(raised)
    if getinfo(1, "n").namewhat == "hook" then return raised end
    return handler(raised)
  end
end

--- As xpcall, across waits too. The handler is not called for errors that the watchdog raises, as it is not when memory runs out.
function M.xpcall(...)
  local task = current()
  local f, handler = ...
  if type(handler) ~= "function" then errors.argument("xpcall: a function as handler expected, got %s", type(handler)) end
  return caught(task, task and task.unwinding, raw_xpcall(f, outside_hook(handler), select(3, ...)))
end

return M
