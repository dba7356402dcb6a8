-- Scopes and what is built of them: map, all, race, any, timeout, shield, try.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local scopes = require "core.scope"

local function close(f) return setmetatable({}, { __close = f }) end

local function after(seconds, value)
  return function() stoke.sleep(seconds) return value end
end

local function failing(seconds, message)
  return function() stoke.sleep(seconds) error(message, 0) end
end

test("map keeps the order of the list", function(t)
  local s <close> = stoke.scope {}
  t.eq(s:map({ 3, 1, 2 }, function(n, i) stoke.sleep(n) return n * 10 + i end), { 31, 12, 23 })
  t.near(time.monotonic(), 3, 1e-9)
  t.eq(s:map({}, error), {})
end)

test("map runs `limit` at once, in turn", function(t)
  local s <close> = stoke.scope {}
  local running, most, order = 0, 0, {}
  s:map({ 1, 2, 3, 4, 5, 6, 7 }, function(n)
    running = running + 1
    most = math.max(most, running)
    order[#order + 1] = n
    stoke.sleep(1)
    running = running - 1
  end, { limit = 3 })
  t.eq(most, 3)
  t.eq(order, { 1, 2, 3, 4, 5, 6, 7 })
  t.near(time.monotonic(), 3, 1e-9)
  t.eq(#s:map({ 1, 2 }, tostring, { limit = 100 }), 2)
  t.raises("argument", s.map, s, { 1 }, tostring, { limit = 0 })
  t.match(t.raises("argument", s.map, s, { 1 }, tostring, { limits = 2 }).message, "did you mean limit")
end)

test("map raises the first error and starts nothing more", function(t)
  local started = 0
  local err = t.raises("second", function()
    local s <close> = stoke.scope {}
    s:map({ 5, 1, 1, 1, 1 }, function(n)
      started = started + 1
      stoke.sleep(n)
      if started == 2 then error("second", 0) end
    end, { limit = 2 })
  end)
  t.eq(err.message, "second")
  t.eq(started, 2)
  t.near(time.monotonic(), 1, 1e-9)
end)

test("scope:wait waits for all and raises the first error; several tasks may wait", function(t)
  local s
  local waited = 0
  local function wait() s:wait() waited = waited + 1 end
  stoke.spawn(wait)
  stoke.spawn(wait)
  s = stoke.scope {}
  s:spawn(stoke.sleep, 2)
  local inner = s:spawn(stoke.sleep, 1)
  stoke.sleep(0)
  t.eq(waited, 0)
  s:wait()
  t.near(time.monotonic(), 2, 1e-9)
  t.eq(inner.state, "done")
  stoke.sleep(0)
  t.eq(waited, 2)
  s:wait() -- nothing is left
  s:close()
  t.raises("late", function()
    local s2 <close> = stoke.scope {}
    s2:spawn(failing(1, "late"))
    t.raises("late", s2.wait, s2)
    t.raises("cancelled", stoke.sleep, 1)
  end)
end)

test("a wait for a scope that was cut short leaves no stale wake-up", function(t)
  local s = stoke.scope {}
  s:spawn(stoke.sleep, 2)
  t.raises("timeout", stoke.timeout, 1, function() s:wait() end)
  stoke.sleep(5) -- the scope's last task ends meanwhile
  t.near(time.monotonic(), 6, 1e-9)
  s:close()
end)

test("all: results in order, the first error cancels the rest", function(t)
  t.eq(stoke.all { after(2, "a"), after(1, "b") }, { "a", "b" })
  t.eq(stoke.all {}, {})
  t.near(time.monotonic(), 2, 1e-9)
  local cancelled
  local err = t.raises("broken", stoke.all, { failing(1, "broken"), function()
    local _ <close> = close(function(_, e) cancelled = e.kind end)
    stoke.sleep(100)
  end })
  t.eq(err.message, "broken")
  t.eq(cancelled, "cancelled")
  t.near(time.monotonic(), 3, 1e-9)
  t.raises("argument", stoke.all, { 1 })
end)

test("race: the first to end wins, value or error", function(t)
  local value, who = stoke.race { after(2, "slow"), after(1, "fast") }
  t.eq({ value, who }, { "fast", 2 })
  t.near(time.monotonic(), 1, 1e-9)
  t.raises("lost", stoke.race, { after(2, "slow"), failing(1, "lost") })
  t.eq(stoke.race { function() return false end, after(1, 1) }, false)
  t.raises("argument", stoke.race, {})
end)

test("any: the first that succeeds wins; all errors when none does", function(t)
  local value, who = stoke.any { failing(1, "x"), after(3, "good"), after(5, "late") }
  t.eq({ value, who }, { "good", 2 })
  t.near(time.monotonic(), 3, 1e-9)
  local err = t.raises("one", stoke.any, { failing(1, "one"), failing(2, "two") })
  t.eq(err.suppressed[1].message, "two")
end)

test("timeout passes values through, raises timeout, and leaves errors alone", function(t)
  t.eq(table.pack(stoke.timeout(5, function(...) return ... end, 1, nil, 3)), { n = 3, 1, [3] = 3 })
  local err = t.raises("timeout", stoke.timeout, 0.5, stoke.sleep, 10)
  t.eq(err.retryable, true)
  t.match(err.message, "0.5 s")
  t.near(time.monotonic(), 0.5, 1e-9)
  t.raises("mine", stoke.timeout, 5, error, "mine")
  t.eq(stoke.timeout(0, function() return "needs no wait" end), "needs no wait")
  t.raises("timeout", stoke.timeout, 0, stoke.sleep, 1)
  t.raises("argument", stoke.timeout, -1, stoke.sleep, 1)
  t.raises("argument", stoke.timeout, 0 / 0, stoke.sleep, 1)
end)

test("of nested deadlines the nearer one counts, and is told as its own", function(t)
  t.raises("timeout", stoke.timeout, 1, function()
    stoke.timeout(5, stoke.sleep, 10)
  end)
  t.near(time.monotonic(), 1, 1e-9)
  local inner
  stoke.timeout(5, function()
    local _, err = stoke.try(stoke.timeout, 1, stoke.sleep, 10)
    inner = err.kind
    stoke.sleep(1)
  end)
  t.eq(inner, "timeout")
  t.near(time.monotonic(), 3, 1e-9)
end)

test("a swallowed timeout is a timeout all the same", function(t)
  t.raises("timeout", stoke.timeout, 1, function()
    pcall(function()
      local inner <close> = stoke.scope {}
      pcall(stoke.sleep, 10)
      inner:close()
    end)
    return "pretends"
  end)
end)

test("a deadline that passes after another cancel does not take its place", function(t)
  local s = stoke.scope { deadline = 2 }
  stoke.spawn(function() stoke.sleep(1) s:cancel "by hand" end)
  local err = t.raises("cancelled", function()
    local _ <close> = s
    local _ <close> = close(function() stoke.sleep(3) end)
    stoke.sleep(10)
  end)
  t.eq(err.message, "by hand")
end)

test("try gives values and errors, and waits for what was spawned", function(t)
  t.eq(table.pack(stoke.try(function() return 1, 2, 3 end)), { n = 4, 1, nil, 2, 3 })
  local value, err = stoke.try(error, { "an odd error" })
  t.eq(value, nil)
  t.eq(err.kind, "script")
  local task
  stoke.try(function() task = stoke.spawn(stoke.sleep, 100) stoke.sleep(1) end)
  t.eq(task.state, "cancelled")
  t.near(time.monotonic(), 1, 1e-9)
end)

test("try works where nothing can wait, without a scope", function(t)
  local seen = {}
  local text = ("abc"):gsub(".", function(c)
    local value, err = stoke.try(function() if c == "b" then error "no b" end return c:upper() end)
    seen[#seen + 1] = err and err.kind
    return value
  end)
  t.eq(text, "AbC")
  t.eq(seen, { "script" })
  t.raises("argument", table.sort, { 2, 1 }, function(a, b) stoke.scope {} return a < b end)
  stoke.sleep(1)
end)

test("spawning in a scope that has ended, is ending or was cancelled", function(t)
  local s = stoke.scope {}
  s:close()
  t.match(t.raises("argument", s.spawn, s, stoke.sleep, 1).message, "has ended")
  local s2 = stoke.scope {}
  local late
  s2:spawn(function()
    local _ <close> = close(function() late = select(2, pcall(s2.spawn, s2, stoke.sleep, 1)) end)
    stoke.sleep(100)
  end)
  stoke.sleep(1)
  s2:close()
  t.eq(late.kind, "argument")
  local s3
  local other = stoke.spawn(function()
    stoke.sleep(0)
    s3:cancel()
    t.raises("cancelled", s3.spawn, s3, stoke.sleep, 1)
    stoke.sleep(1) -- the scope of another task does not cancel this one
    return "lives"
  end)
  s3 = stoke.scope {}
  t.raises("cancelled", stoke.sleep, 1)
  t.raises("cancelled", s3.spawn, s3, stoke.sleep, 1)
  s3:close()
  t.eq(other:await(), "lives")
end)

test("closing a scope twice, cancelling a closed one, options", function(t)
  local s = stoke.scope { deadline = 5 }
  s:close()
  s:close()
  s:cancel()
  stoke.sleep(10)
  t.match(t.raises("argument", stoke.scope, { dedline = 1 }).message, "did you mean deadline")
  t.raises("argument", stoke.scope, { deadline = -1 })
  t.raises("argument", stoke.scope, { deadline = 0 / 0 })
  t.raises("argument", stoke.scope, { budget = { tokns = 1 } })
end)

test("a scope closed by coroutine.close, where nothing can wait, hands its tasks over, cancelled", function(t)
  local task
  local co = coroutine.create(function()
    local s <close> = stoke.scope {}
    task = s:spawn(function()
      local _ <close> = close(function() stoke.sleep(1) end)
      stoke.sleep(100)
    end)
    stoke.sleep(1)
    coroutine.yield()
  end)
  coroutine.resume(co)
  t.eq(coroutine.close(co), true)
  t.eq(task.state, nil)
  t.raises("cancelled", task.await, task)
  t.near(time.monotonic(), 2, 1e-9)
end)

test("what a scope owns is closed when it ends, newest first, also under an abandoned task", function(t)
  local closed = {}
  local function own(name, slow)
    local scope = scopes.innermost(require "core.task".current())
    scopes.own(scope, { close = function() if slow then stoke.sleep(slow) end closed[#closed + 1] = name end })
  end
  local task = stoke.spawn(function()
    own "task 1"
    own "task 2"
    do
      local _ <close> = stoke.scope {}
      own "scope"
    end
  end)
  task:await()
  t.eq(closed, { "scope", "task 2", "task 1" })
  closed = {}
  local tell = scopes.tell
  scopes.tell = function() end
  task = stoke.spawn(function()
    own("slow", 1)
    local _ <close> = close(function() stoke.sleep(1e6) end)
    stoke.sleep(100)
  end)
  stoke.sleep(0)
  task:cancel()
  pcall(task.await, task)
  scopes.tell = tell
  stoke.sleep(2)
  t.eq(closed, { "slow" })
end)

test("a task tree under a system task is the host's own", function(t)
  local tasks = require "core.task"
  local inner
  local task = tasks.spawn(function()
    stoke.all { function() inner = stoke.tasks() stoke.sleep(1) end, after(1) }
  end, { system = true, name = "servant" })
  task:await()
  t.eq(#inner, 1)
  t.eq(inner[1].name, "main")
end)

test("a deadline counts for a scope that was opened without <close> too", function(t)
  local _, err = stoke.try(function()
    stoke.spawn(function()
      stoke.scope { deadline = 0.1 }
      stoke.sleep(1)
    end):await()
  end)
  t.eq(err.kind, "deadline")
end)

test("a method called with a dot says so", function(t)
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() end)
  for _, f in ipairs { task.await, task.cancel, scope.cancel, scope.wait, scope.spawn, scope.map } do
    t.match(t.raises("argument", f).message, "write a colon, not a dot")
  end
  t.match(t.raises("argument", scope.map, scope, { 1 }, print, { limit = 0 / 0 }).message, "limit must be at least 1")
end)

test("tries: what a call has spawned has ended when it returns, and errors are values; the calls share a scope", function(t)
  local combine = require "core.combine"
  local try, _ <close> = combine.tries()
  local ended = {}
  local function spawns(name, fails)
    combine.spawn(function()
      local _ <close> = close(function() ended[#ended + 1] = name end)
      stoke.sleep(100)
    end)
    stoke.sleep(1)
    if fails then error(fails, 0) end
    return name
  end
  t.eq({ try(function(a) return a end, 1) }, { 1 })
  t.eq({ try(spawns, "a"), ended[1] }, { "a", "a" })
  local value, err = try(spawns, "b", "no")
  t.eq({ value, err.message, ended[2] }, { nil, "no", "b" })
  t.eq({ try(function() return time.monotonic() end) }, { 2 })
end)

test("tries: a cancellation is raised, and is not one call's error", function(t)
  local seen
  local err = t.raises("timeout", stoke.timeout, 1, function()
    local try, _ <close> = require "core.combine".tries()
    seen = { try(stoke.sleep, 5) }
  end)
  t.eq({ err.kind, seen }, { "timeout", nil })
end)
