-- The laws of tasks and scopes, each by its name. All in virtual time: an hour takes no time.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local scopes = require "core.scope"

-- What the host says on standard error while f runs.
local function told_while(f)
  local lines, tell = {}, scopes.tell
  scopes.tell = function(text) lines[#lines + 1] = text end
  local _ <close> = setmetatable({}, { __close = function() scopes.tell = tell end })
  f()
  return lines
end

local function close(f) return setmetatable({}, { __close = f }) end

local function kind_of(err) return type(err) == "table" and err.kind or err end

test("tasks are scopes: a task that returns waits for its children", function(t)
  local order = {}
  local parent = stoke.spawn(function()
    stoke.spawn(function()
      stoke.spawn(function() stoke.sleep(3) order[#order + 1] = "grandchild" end)
      stoke.sleep(1)
      order[#order + 1] = "child"
    end)
    return "value", nil, 3
  end)
  local started = time.monotonic()
  t.eq(table.pack(parent:await()), { n = 3, "value", [3] = 3 })
  t.near(time.monotonic() - started, 3, 1e-9)
  t.eq(order, { "child", "grandchild" })
end)

test("tasks are scopes: a task that fails cancels and joins its children, then fails", function(t)
  local told
  local _, err = stoke.try(function()
    stoke.spawn(function()
      stoke.spawn(function()
        local _ <close> = close(function(_, e) stoke.sleep(2) told = kind_of(e) end)
        stoke.sleep(100)
      end)
      stoke.sleep(1)
      error "boom"
    end):await()
  end)
  t.match(err.message, "boom")
  t.eq(told, "cancelled")
  t.near(time.monotonic(), 3, 1e-9)
end)

test("errors go up: a child's error cancels the siblings and is raised where the scope ends", function(t)
  local sibling
  local ok, err = pcall(function()
    local s <close> = stoke.scope {}
    sibling = s:spawn(stoke.sleep, 100)
    s:spawn(function() stoke.sleep(1) error "first" end)
    stoke.sleep(50)
    t.fail "not reached"
  end)
  t.eq(ok, false)
  t.match(err.message, "first")
  t.eq(sibling.state, "cancelled")
  t.near(time.monotonic(), 1, 1e-9)
  stoke.sleep(1) -- the scope is gone, and its cancellation with it
  t.near(time.monotonic(), 2, 1e-9)
end)

test("errors go up: from any depth, with the place and the tasks they passed", function(t)
  local _, err = stoke.try(function()
    stoke.spawn(function() stoke.spawn(function() stoke.spawn(function() stoke.fs.read "/nowhere/at/all" end) end) end)
    stoke.sleep(1)
  end)
  t.eq(err.kind, "os")
  t.match(err.where, "test_laws.lua:%d+")
  t.match(err.traceback, "test_laws.lua:%d+: in .*\nin task .*test_laws.lua:%d+\nin task .*test_laws.lua:%d+")
end)

test("errors go up: a task whose error was awaited still fails its scope", function(t)
  local seen
  local _, err = stoke.try(function()
    local task = stoke.spawn(function() error "x" end)
    seen = select(2, pcall(task.await, task))
    stoke.sleep(1)
    t.fail "not reached"
  end)
  t.match(seen.message, "x")
  t.eq(err, seen)
end)

test("cancellation goes down: to children, their scopes and their children", function(t)
  local ended = {}
  local function leaf(name)
    local _ <close> = close(function(_, e) ended[#ended + 1] = name .. " " .. kind_of(e) end)
    stoke.sleep(1000)
  end
  local task = stoke.spawn(function()
    stoke.spawn(leaf, "child")
    local s <close> = stoke.scope {}
    s:spawn(function() stoke.spawn(leaf, "deep") leaf "middle" end)
    leaf "own"
  end)
  stoke.sleep(1)
  task:cancel()
  local err = t.raises("cancelled", task.await, task)
  t.match(err.message, "was cancelled")
  t.eq(task.state, "cancelled")
  table.sort(ended)
  t.eq(ended, { "child cancelled", "deep cancelled", "middle cancelled", "own cancelled" })
  t.near(time.monotonic(), 1, 1e-9)
end)

local LINKS = math.floor(30000 * (tonumber(os.getenv "STOKE_SCALE") or 1))

test(("cancellation goes down a chain of %d tasks"):format(LINKS), function(t)
  local deepest
  local function chain(n)
    if n == 0 then deepest = true return stoke.sleep(1e6) end
    stoke.spawn(chain, n - 1)
  end
  local task = stoke.spawn(chain, LINKS)
  while not deepest do stoke.sleep(0) end
  task:cancel()
  t.raises("cancelled", task.await, task)
end)

test("cancel sticks: every effect after it raises cancelled", function(t)
  local kinds = {}
  local function try(f, ...) kinds[#kinds + 1] = kind_of(select(2, pcall(f, ...))) end
  local task = stoke.spawn(function()
    try(stoke.sleep, 10)
    try(stoke.sleep, 0)
    try(time.now)
    try(stoke.fs.read, "/etc/hostname")
    try(function() return stoke.channel(1):recv() end)
    try(function() stoke.channel(1):send(1) end)
    try(function() return stoke.semaphore(1):acquire() end)
    try(stoke.spawn, stoke.sleep, 1)
    try(stoke.scope)
    try(stoke.timeout, 1, stoke.sleep, 1)
    try(stoke.all, { function() stoke.sleep(1) end })
    try(coroutine.wrap(function() stoke.sleep(1) end))
    return "done all the same"
  end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  local want = {}
  for i = 1, 12 do want[i] = "cancelled" end
  want[9] = kinds[9] -- opening a scope is no effect
  t.eq(kinds, want)
  t.near(time.monotonic(), 1, 1e-9)
end)

test("a swallowed cancel still ends the task cancelled", function(t)
  local task = stoke.spawn(function() pcall(stoke.sleep, 10) return 42 end)
  stoke.sleep(1)
  task:cancel("enough")
  local err = t.raises("cancelled", task.await, task)
  t.eq(task.state, "cancelled")
  t.eq(err.cause.message, "enough")
end)

test("stoke.try does not swallow a cancel", function(t)
  local after = false
  local task = stoke.spawn(function() stoke.try(stoke.sleep, 10) after = true end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(after, false)
end)

test("cancel sticks except inside shield and <close> handlers", function(t)
  local log = {}
  local task = stoke.spawn(function()
    local _ <close> = close(function()
      stoke.sleep(0.5)
      log[#log + 1] = "handler waited"
      pcall(error, "a caught error in a handler")
      stoke.try(error, "another")
      pcall(coroutine.wrap(function() error "a third" end))
      stoke.sleep(0.5)
      log[#log + 1] = "handler waited again"
      t.eq(stoke.all { function() stoke.sleep(0.5) return "all" end }, { "all" })
      local value, err = stoke.try(stoke.timeout, 0.5, stoke.sleep, 100)
      log[#log + 1] = tostring(value) .. " " .. err.kind
      stoke.sleep(0.5)
    end)
    local ok, err = pcall(stoke.sleep, 10)
    t.eq({ ok, err.kind }, { false, "cancelled" })
    t.eq(stoke.shield(1, function() stoke.sleep(0.5) return "shielded" end), "shielded")
    t.raises("cancelled", stoke.sleep, 1)
    log[#log + 1] = "shield waited"
    stoke.sleep(1)
  end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(log, { "shield waited", "handler waited", "handler waited again", "nil timeout" })
  t.near(time.monotonic(), 1 + 0.5 + 0.5 + 0.5 + 0.5 + 0.5 + 0.5, 1e-9)
end)

test("a shield set up before the cancel holds it off, and for its seconds only", function(t)
  local log = {}
  local task = stoke.spawn(function()
    stoke.shield(3, function() stoke.sleep(2) log[1] = time.monotonic() end)
    log[2] = "not reached"
    stoke.sleep(0)
    log[3] = "not reached"
  end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(log, { 2, "not reached" })
  t.raises("timeout", stoke.shield, 1, stoke.sleep, 5)
end)

test("cancel sticks: five seconds in all, then abandoned and reported", function(t)
  local released = false
  local task = stoke.spawn(function()
    local _ <close> = close(function() stoke.sleep(1e6) released = true end)
    stoke.spawn(function()
      local _ <close> = close(function() stoke.sleep(1e6) end)
      local s <close> = stoke.scope {}
      s:spawn(function()
        local _ <close> = close(function() stoke.sleep(1e6) end)
        stoke.sleep(1e6)
      end)
      stoke.sleep(1e6)
    end)
    stoke.sleep(1e6)
  end)
  stoke.sleep(1)
  task:cancel()
  local told = told_while(function() t.raises("cancelled", task.await, task) end)
  t.near(time.monotonic(), 6, 1e-9)
  t.eq(released, false)
  t.eq(#stoke.tasks(), 1)
  t.eq(#told, 3)
  t.match(told[1], "abandoned task .*test_laws.lua:%d+: it did not end within 5 s of being cancelled; it waits for time.sleep")
end)

test("cancel sticks: a scope that its task does not leave is cut after five seconds, the task lives", function(t)
  local log = {}
  local told = told_while(function()
    t.raises("timeout", stoke.timeout, 1, function()
      local _ <close> = close(function(_, err)
        log[1] = kind_of(err)
        stoke.sleep(1e6)
        log[2] = "not reached"
      end)
      stoke.sleep(1e6)
    end)
  end)
  t.eq(log, { "cancelled" })
  t.eq(#told, 1)
  t.match(told[1], "the scope opened at .*test_laws.lua:%d+ did not end within 5 s")
  t.near(time.monotonic(), 6, 1e-9)
  stoke.sleep(1)
  t.near(time.monotonic(), 7, 1e-9)
end)

test("leaving a <close> scope cancels and joins what is left, then raises the first child error, others in suppressed",
  function(t)
  local ok, err = pcall(function()
    local s <close> = stoke.scope {}
    for i = 1, 3 do
      s:spawn(function()
        local _ <close> = close(function() stoke.sleep(i) error("bad cleanup " .. i) end)
        stoke.sleep(100)
      end)
    end
    s:spawn(stoke.sleep, 1000)
    stoke.sleep(1)
  end)
  t.eq(ok, false)
  t.match(err.message, "bad cleanup 1")
  t.eq(#err.suppressed, 2)
  t.match(err.suppressed[1].message, "bad cleanup 2")
  t.match(err.suppressed[2].message, "bad cleanup 3")
  t.near(time.monotonic(), 4, 1e-9)
end)

test("leaving a <close> scope by an error keeps that error, with the children's in suppressed", function(t)
  local ok, err = pcall(function()
    local s <close> = stoke.scope {}
    s:spawn(function()
      local _ <close> = close(function() error "cleanup" end)
      stoke.sleep(100)
    end)
    stoke.sleep(1)
    error { code = 7 } -- any value may be raised
  end)
  t.eq(ok, false)
  t.match(err.suppressed[1].message, "cleanup")
end)

test("closing out of order is an error naming the opening line", function(t)
  local a = stoke.scope {}
  local inner = stoke.scope {}
  local task = a:spawn(stoke.sleep, 1000)
  inner:spawn(stoke.sleep, 1000)
  local err = t.raises("script", a.close, a)
  t.match(err.message, "opened at .*test_laws.lua:%d+ is still open inside the one opened at .*test_laws.lua:%d+")
  t.eq(task.state, "cancelled")
  t.eq(#stoke.tasks(), 1)
  a:close()
  inner:close()
  stoke.sleep(1)
  t.raises("argument", a.spawn, a, stoke.sleep, 1)
end)

test("a scope can only be closed by its own task", function(t)
  local s <close> = stoke.scope {}
  local _, err = stoke.spawn(function() return pcall(s.close, s) end):await()
  t.match(err.message, "only be closed by the task that opened it")
  s:spawn(stoke.sleep, 1):await()
end)

test("a scope left open in a dropped generator ends with the scope around it", function(t)
  local task
  local err = t.raises("script", function()
    local _ <close> = stoke.scope {}
    local generator = coroutine.wrap(function()
      local inner <close> = stoke.scope {}
      task = inner:spawn(stoke.sleep, 1000)
      coroutine.yield(1)
    end)
    generator() -- and never again
  end)
  t.match(err.message, "out of order")
  t.eq(task.state, "cancelled")
  stoke.sleep(1)
end)

test("an open scope governs deadline, budget and cancellation of all its task's effects", function(t)
  local function outer()
    local _ <close> = stoke.scope { deadline = 5 }
    local function helper() stoke.sleep(100) end -- knows nothing of it
    helper()
  end
  local err = t.raises("deadline", outer)
  t.match(err.message, "deadline of 5 s of the scope opened at .*test_laws.lua:%d+")
  t.near(time.monotonic(), 5, 1e-9)
  local s = stoke.scope {}
  stoke.spawn(function() stoke.sleep(1) s:cancel "stop it" end)
  err = t.raises("cancelled", stoke.sleep, 100)
  t.eq(err.message, "stop it")
  t.raises("cancelled", stoke.sleep, 0)
  s:close()
  stoke.sleep(1)
  t.near(time.monotonic(), 7, 1e-9)
end)

test("supervisor scopes log a child's error and live on", function(t)
  local runs = 0
  local timer = stoke.every("tick", 10, function()
    runs = runs + 1
    if runs == 2 then error "the second goes wrong" end
  end)
  stoke.sleep(45)
  t.eq(runs, 4)
  timer:cancel()
  pcall(timer.await, timer)
end)

test("user coroutines and generators keep working: effects pass through them", function(t)
  local function ticks(n)
    return coroutine.wrap(function()
      for i = 1, n do
        stoke.sleep(1)
        coroutine.yield(i, i * i)
      end
    end)
  end
  local seen = {}
  for i, square in ticks(3) do seen[#seen + 1] = i .. ":" .. square end
  t.eq(seen, { "1:1", "2:4", "3:9" })
  t.near(time.monotonic(), 3, 1e-9)
end)

test("a shield in a cancelled scope ends with its five seconds too", function(t)
  local told = told_while(function()
    t.raises("timeout", stoke.timeout, 1, function()
      stoke.shield(1e6, stoke.sleep, 1e6)
    end)
  end)
  t.near(time.monotonic(), 6, 1e-9)
  t.eq(#told, 1)
end)

test("what an abandoned task waited for comes to nobody and is lost to nobody", function(t)
  local channel, semaphore = stoke.channel(), stoke.semaphore(1)
  local permit = semaphore:acquire()
  local function stuck(f, ...)
    local args = table.pack(...)
    return stoke.spawn(function()
      local _ <close> = close(function() f(table.unpack(args)) end)
      stoke.sleep(1e6)
    end)
  end
  local slow = stoke.spawn(function() stoke.sleep(20) return "slow" end)
  local tasks = { stuck(channel.recv, channel), stuck(semaphore.acquire, semaphore), stuck(slow.await, slow) }
  stoke.sleep(0)
  local told = told_while(function()
    for _, task in ipairs(tasks) do task:cancel() end
    stoke.sleep(10)
  end)
  t.eq(#told, 3)
  permit:release()
  local got
  stoke.spawn(function() got = channel:recv() end)
  stoke.sleep(1)
  channel:send "hello"
  local again <close> = semaphore:acquire()
  stoke.sleep(0)
  t.eq(got, "hello")
  t.ok(again)
  t.eq(slow:await(), "slow")
end)

test("errors leave no trace of a scope's cancellation behind", function(t)
  -- a child that fails as the last one, while its parent is already joining
  for _ = 1, 3 do
    t.raises("x", function()
      local s <close> = stoke.scope {}
      s:spawn(function() error "x" end)
    end)
    local before = time.monotonic()
    stoke.sleep(1)
    t.near(time.monotonic(), before + 1, 1e-9)
  end
  -- a scope cancelled and left before any effect noticed
  do
    local s <close> = stoke.scope {}
    s:cancel()
  end
  local before = time.monotonic()
  stoke.sleep(1)
  t.near(time.monotonic(), before + 1, 1e-9)
end)

test("an awaited failure unwinds like a cancel: handlers on its way may wait", function(t)
  local closed
  t.raises("x", function()
    local s <close> = stoke.scope {}
    local _ <close> = close(function() stoke.sleep(1) closed = true end)
    s:spawn(function() error "x" end):await()
  end)
  t.eq(closed, true)
end)
