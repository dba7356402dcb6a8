-- Tasks: awaiting, races with cancel and spawn, what stoke.tasks shows, many at once.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local about = require "core.about"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1
local function many(n) return math.max(10, math.floor(n * scale)) end

local function close(f) return setmetatable({}, { __close = f }) end

test("arguments go in and any number of results comes out", function(t)
  local task = stoke.spawn(function(...) return select("#", ...), ... end, 1, nil, 3, nil)
  t.eq(table.pack(task:await()), { n = 5, 4, 1, nil, 3, nil })
  t.eq(table.pack(stoke.spawn(function() end):await()).n, 1)
  t.raises("argument", stoke.spawn)
  t.raises("argument", stoke.spawn, 5)
end)

test("a task runs only when its parent waits", function(t)
  local ran = false
  stoke.spawn(function() ran = true end)
  t.eq(ran, false)
  stoke.sleep(0)
  t.eq(ran, true)
end)

test("await by several, before and after the end", function(t)
  local task = stoke.spawn(function() stoke.sleep(1) return "value" end)
  local got = {}
  for i = 1, 3 do stoke.spawn(function() got[i] = task:await() .. i end) end
  t.eq(task:await(), "value")
  t.eq(task:await(), "value")
  stoke.sleep(0)
  t.eq(got, { "value1", "value2", "value3" })
end)

test("await of a failed task raises its error, to each who asks", function(t)
  local seen = {}
  stoke.try(function()
    local task = stoke.spawn(function() stoke.sleep(1) error({ odd = true }) end)
    for i = 1, 2 do stoke.spawn(function() seen[i] = select(2, pcall(task.await, task)).kind end) end
    pcall(task.await, task)
  end)
  t.eq(seen, { "script", "script" })
  local failed
  stoke.try(function() failed = stoke.spawn(error, "gone wrong") stoke.sleep(1) end)
  t.match(t.raises("script", failed.await, failed).message, "gone wrong")
  t.eq(failed.state, "failed")
end)

test("await of a cancelled task raises cancelled, and does not cancel who asked", function(t)
  local task = stoke.spawn(stoke.sleep, 100)
  stoke.spawn(function() stoke.sleep(1) task:cancel("not needed") end)
  local err = t.raises("cancelled", task.await, task)
  t.match(err.message, "the awaited task .*test_tasks.lua:%d+ was cancelled")
  t.eq(err.cause.message, "not needed")
  stoke.sleep(1)
  t.near(time.monotonic(), 2, 1e-9)
end)

test("a cancelled await leaves the awaited task alone", function(t)
  local task = stoke.spawn(function() stoke.sleep(5) return 1 end)
  local waiter = stoke.spawn(function() task:await() end)
  stoke.sleep(1)
  waiter:cancel()
  t.raises("cancelled", waiter.await, waiter)
  t.eq(task:await(), 1)
  t.near(time.monotonic(), 5, 1e-9)
end)

test("a task cannot await itself", function(t)
  local me
  me = stoke.spawn(function() return pcall(function() me:await() end) end)
  local _, err = me:await()
  t.match(err.message, "cannot await itself")
end)

test("cancel before the first run: the first effect raises", function(t)
  local log = {}
  local task = stoke.spawn(function()
    log[1] = "runs"
    local _ <close> = close(function() log[3] = "closes" end)
    stoke.sleep(0)
    log[2] = "not reached"
  end)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(log, { "runs", [3] = "closes" })
end)

test("cancel of a task that is ready to run but does not wait", function(t)
  local log = {}
  local task = stoke.spawn(function()
    stoke.sleep(0)
    log[#log + 1] = "ran on"
    stoke.sleep(0)
    log[#log + 1] = "not reached"
  end)
  stoke.sleep(0) -- now it waits in its first sleep, whose time is up in the coming turn
  stoke.spawn(function() task:cancel() end)
  t.raises("cancelled", task.await, task)
  t.ok(#log <= 1)
end)

test("a task that cancels itself goes on to its next effect", function(t)
  local log, task = {}, nil
  task = stoke.spawn(function()
    task:cancel "myself"
    log[1] = "still here"
    stoke.sleep(1)
    log[2] = "not reached"
  end)
  t.eq(t.raises("cancelled", task.await, task).cause.message, "myself")
  t.eq(log, { "still here" })
end)

test("cancelling twice, or what has ended, changes nothing", function(t)
  local task = stoke.spawn(function() return 1 end)
  t.eq(task:await(), 1)
  task:cancel()
  t.eq(task:await(), 1)
  local other = stoke.spawn(stoke.sleep, 100)
  other:cancel "first"
  other:cancel "second"
  t.eq(t.raises("cancelled", other.await, other).cause.message, "first")
end)

test("spawned by a task that is being cancelled: nothing slips through", function(t)
  local started = 0
  local task = stoke.spawn(function()
    while true do
      stoke.spawn(function() started = started + 1 stoke.sleep(100) end)
      stoke.sleep(1)
    end
  end)
  stoke.sleep(2.5)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(started, 3)
  t.eq(#stoke.tasks(), 1)
end)

test("two children failing in the same moment: one is raised, one suppressed", function(t)
  local _, err = stoke.try(function()
    for i = 1, 2 do stoke.spawn(function() stoke.sleep(1) error("number " .. i, 0) end) end
    stoke.sleep(10)
  end)
  t.eq(err.message, "number 1")
  t.eq(err.suppressed[1].message, "number 2")
end)

test("sleeps end in the order of their deadlines, equal ones in the order they began", function(t)
  local order = {}
  for i, seconds in ipairs { 3, 1, 2, 1, 3, 2, 1 } do
    stoke.spawn(function() stoke.sleep(seconds) order[#order + 1] = i end)
  end
  stoke.sleep(5)
  t.eq(order, { 2, 4, 7, 3, 6, 1, 5 })
  t.raises("argument", stoke.sleep, -1)
  t.raises("argument", stoke.sleep, 0 / 0)
  t.raises("argument", stoke.sleep, "1")
end)

test("virtual time passes an hour of timers in a moment", function(t)
  local ticks, sum = 0, 0
  for i = 1, 10 do
    stoke.spawn(function()
      for _ = 1, 360 do
        stoke.sleep(10)
        ticks = ticks + 1
        sum = sum + i
      end
    end)
  end
  local started = time.cpu()
  stoke.sleep(3600.5)
  t.eq(ticks, 3600)
  t.eq(sum, 360 * 55)
  t.eq(time.monotonic(), 3600.5)
  t.ok(time.cpu() - started < 2)
end)

test("stoke.tasks lists what lives: where it was spawned, what it waits for, since when", function(t)
  local channel = stoke.channel()
  stoke.spawn(function() stoke.sleep(100) end)
  stoke.sleep(1)
  stoke.spawn(function() channel:recv() end)
  local heartbeat = stoke.every("heartbeat", 60, function() end)
  stoke.sleep(2)
  local fresh = stoke.spawn(function() end)
  local list = stoke.tasks()
  t.eq(#list, 5)
  t.eq(list[1].name, "main")
  t.match(list[2].site, "test_tasks.lua:%d+$")
  t.eq({ list[2].waits, list[2].seconds }, { "time.sleep", 3 })
  t.eq({ list[3].waits, list[3].seconds }, { "channel.recv", 2 })
  t.eq({ list[4].name, list[4].waits }, { "every heartbeat", "time.sleep" })
  t.eq(list[5].waits, nil)
  t.match(tostring(list[2].task), "task .*test_tasks.lua:%d+: running")
  t.ok(#stoke.tasks(true) > 5)
  fresh:await()
  heartbeat:cancel()
  for _, entry in ipairs(list) do
    if entry.name ~= "main" then entry.task:cancel() end
  end
end)

test("stoke.every: naming twice replaces, also from within", function(t)
  local log = {}
  local first = stoke.every("job", 1, function() log[#log + 1] = "first" end)
  stoke.sleep(2.5)
  local second
  second = stoke.every("job", 1, function()
    log[#log + 1] = "second"
    second = stoke.every("job", 2, function() log[#log + 1] = "third" end)
  end)
  stoke.sleep(4)
  t.eq(log, { "first", "first", "second", "third" })
  t.eq(first.state, "cancelled")
  second:cancel()
  stoke.sleep(0)
  t.raises("argument", stoke.every, "x", -1, print)
  t.raises("argument", stoke.every, 5, 1, print)
end)

test("an ended task's handle keeps neither its stack nor its parents", function(t)
  local task = stoke.spawn(function() return 1 end)
  task:await()
  t.eq({ task.co, task.up, task.value }, { false, nil, 1 })
end)

test("many tasks: spawned and cancelled, one by one and together, in linear time", { real = true }, function(t)
  local n = many(100000)
  local started = time.cpu()
  local parent = stoke.spawn(function()
    for _ = 1, n do stoke.spawn(stoke.sleep, 1000) end
    stoke.sleep(1000)
  end)
  stoke.sleep(0)
  stoke.sleep(0)
  parent:cancel()
  t.raises("cancelled", parent.await, parent)
  local tasks = {}
  for i = 1, n do tasks[i] = stoke.spawn(stoke.sleep, 1000) end
  for i = 1, n do tasks[i]:cancel() end
  stoke.sleep(0)
  stoke.sleep(0)
  t.eq(#stoke.tasks(), 1)
  t.ok(time.cpu() - started < 30, "took " .. time.cpu() - started)
end)

test("a parked task holds less than 2.5 KB", { real = true }, function(t)
  if scale < 1 then t.skip "measured at full scale only" end
  local n = 20000
  collectgarbage()
  collectgarbage()
  local before = about.memory()
  local s = stoke.scope {}
  for _ = 1, n do s:spawn(stoke.sleep, 1000) end
  stoke.sleep(0.01)
  collectgarbage()
  collectgarbage()
  local each = (about.memory() - before) / n
  s:close()
  t.ok(each < 2560, ("%.0f bytes"):format(each))
end)

test("raise: an error of a kind has that kind's exit code; an unknown kind is named", function(t)
  local _, err = stoke.try(stoke.raise, "limit", "too many pages", "ask for less")
  t.eq({ err.kind, err.message, err.hint, err.exit }, { "limit", "too many pages", "ask for less", 6 })
  t.match(t.raises("argument", stoke.raise, "limits", "x").message, "did you mean limit?")
end)

test("a traceback of a deep stack has its innermost levels, and costs the same at any depth", function(t)
  local function at(depth, f)
    if depth == 0 then return f() end
    return (at(depth - 1, f)) -- no tail call
  end
  local function trace() -- no tail call
    local text = debug.traceback("words", 1)
    return text
  end
  local shallow, deep = at(50, trace), at(100000, trace)
  t.match(shallow, "%(skipping %d+ levels%)")
  t.match(deep, "\n\t%.%.%.\t%(more than 2000 levels%)$")
  local function head(text) return text:match(("[^\n]*\n"):rep(8)) end
  t.eq(head(deep), head(shallow))
  t.eq(select(2, deep:gsub("%d: in ", "")), 20)
  local value = {}
  t.eq({ debug.traceback(value), debug.traceback(nil, 1) == debug.traceback(nil, 1) }, { value, true })
  local co = coroutine.create(function() at(3000, coroutine.yield) end)
  coroutine.resume(co)
  t.match(debug.traceback(co), "^stack traceback:\n\t%[C%]: in [^\n]*\n.*more than 2000 levels%)$")
  at(100000, function() -- took minutes when each error walked the stack several times; Lua itself does it once
    for _ = 1, 50 do stoke.try(error, "an error", 0) end
  end)
end)
