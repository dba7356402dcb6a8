-- User coroutines beside tasks: effects pass through them, at any depth, and nothing about them can break the host.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"

local function close(f) return setmetatable({}, { __close = f }) end

test("effects pass through coroutines several levels deep, pcall and metamethods between", function(t)
  local add = setmetatable({}, { __add = function(_, n) stoke.sleep(1) return n + 1 end,
                                 __index = function(_, key) stoke.sleep(1) return key end,
                                 __call = function(_, x) stoke.sleep(1) return x end,
                                 __concat = function() stoke.sleep(1) return "joined" end,
                                 __eq = function() stoke.sleep(1) return true end,
                                 __lt = function() stoke.sleep(1) return true end,
                                 __len = function() stoke.sleep(1) return 9 end })
  local function level(n)
    if n == 0 then
      return add + 1, add.key, add(5), add .. "x", add == setmetatable({}, getmetatable(add)), add < add, #add
    end
    local g = coroutine.wrap(function() return pcall(level, n - 1) end)
    return select(2, g())
  end
  t.eq({ level(5) }, { 2, "key", 5, "joined", true, true, 9 })
  t.near(time.monotonic(), 7, 1e-9)
end)

test("a generator that waits, between tasks that run meanwhile", function(t)
  local log = {}
  stoke.spawn(function() for i = 1, 3 do stoke.sleep(1) log[#log + 1] = "other " .. i end end)
  for i in coroutine.wrap(function() for i = 1, 3 do stoke.sleep(0.9) coroutine.yield(i) end end) do
    log[#log + 1] = "item " .. i
  end
  stoke.sleep(1)
  t.eq(log, { "item 1", "other 1", "item 2", "other 2", "item 3", "other 3" })
end)

test("resume, wrap, status, running, isyieldable as the manual says", function(t)
  local co = coroutine.create(function(a, b)
    t.eq({ a, b }, { 1, 2 })
    t.eq(coroutine.status(coroutine.running()), "running")
    t.eq(select(2, coroutine.running()), false)
    t.eq(coroutine.isyieldable(), true)
    t.eq({ coroutine.yield() }, { "x", "y" })
    return "end", nil
  end)
  t.eq(coroutine.status(co), "suspended")
  t.eq(table.pack(coroutine.resume(co, 1, 2)), { n = 1, true })
  t.eq(table.pack(coroutine.resume(co, "x", "y")), { n = 3, true, "end", nil })
  t.eq(coroutine.status(co), "dead")
  t.eq({ coroutine.resume(co) }, { false, "cannot resume dead coroutine" })
  local inner
  local outer = coroutine.create(function()
    inner = coroutine.create(function(o) t.eq(coroutine.status(o), "normal") end)
    t.eq({ coroutine.resume(inner, coroutine.running()) }, { true })
  end)
  t.eq({ coroutine.resume(outer) }, { true })
  t.eq(select(2, coroutine.running()), true)
  t.eq(coroutine.isyieldable(), false)
  t.raises("argument", coroutine.resume, 5)
  t.raises("argument", coroutine.wrap, 5)
  t.raises("argument", coroutine.close)
  local failing = coroutine.create(error)
  t.eq({ coroutine.resume(failing, "as it is") }, { false, "as it is" })
  t.eq({ coroutine.close(failing) }, { false, "as it is" })
end)

test("a stray coroutine.yield says what to do instead", function(t)
  local err = t.raises("argument", coroutine.yield)
  t.match(err.message, "coroutine.yield outside a coroutine: tasks wait by calling what waits")
end)

test("errors inside a generator reach the caller, strings and objects alike", function(t)
  local gen = coroutine.wrap(function() error("plain", 0) end)
  local ok, err = pcall(gen)
  t.eq({ ok, err }, { false, "plain" })
  local odd = { 1 }
  ok, err = pcall(coroutine.wrap(function() error(odd) end))
  t.ok(not ok and err == odd)
  local _, failure = stoke.try(coroutine.wrap(function() stoke.fs.read "/nowhere/at/all" end))
  t.eq(failure.kind, "os")
  t.match(failure.traceback, "test_coroutines.lua")
end)

test("an error leaves a generator through its <close> variables, which may wait", function(t)
  local log = {}
  local gen = coroutine.wrap(function()
    local _ <close> = close(function() stoke.sleep(1) log[#log + 1] = "closed" end)
    stoke.sleep(1)
    error "boom"
  end)
  t.raises("boom", gen)
  t.eq(log, { "closed" })
  t.near(time.monotonic(), 2, 1e-9)
end)

test("a cancel unwinds generators like anything else, and their handlers may wait", function(t)
  local log = {}
  local task = stoke.spawn(function()
    local _ <close> = close(function() stoke.sleep(1) log[#log + 1] = "task" end)
    local gen = coroutine.wrap(function()
      local _ <close> = close(function() stoke.sleep(1) log[#log + 1] = "generator" end)
      coroutine.wrap(function()
        local _ <close> = close(function() stoke.sleep(1) log[#log + 1] = "inner" end)
        stoke.sleep(100)
      end)()
    end)
    gen()
  end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(log, { "inner", "generator", "task" })
  t.near(time.monotonic(), 4, 1e-9)
end)

test("a cancel caught by coroutine.resume still sticks", function(t)
  local task = stoke.spawn(function()
    local ok, err = coroutine.resume(coroutine.create(function() stoke.sleep(100) end))
    t.eq({ ok, err.kind }, { false, "cancelled" })
    t.raises("cancelled", stoke.sleep, 1)
    coroutine.close(coroutine.create(print))
    t.raises("cancelled", stoke.sleep, 1)
    return "end"
  end)
  stoke.sleep(1)
  task:cancel()
  t.raises("cancelled", task.await, task)
end)

local function refused(t, err)
  t.eq(err.kind, "argument")
  t.match(err.message, "waits, and nothing can wait here: inside table.sort")
end

test("a wait in table.sort, string.gsub, tostring, a handler, __gc or coroutine.close says so and leaks nothing",
  function(t)
  local where = {
    sort = function(f) table.sort({ 2, 1 }, function(a, b) f() return a < b end) end,
    gsub = function(f) string.gsub("x", ".", f) end,
    tostring = function(f) tostring(setmetatable({}, { __tostring = function() f() return "" end })) end,
    handler = function(f) xpcall(error, function() f() end) end,
    gc = function(f)
      setmetatable({}, { __gc = function() f() end })
      collectgarbage()
      collectgarbage()
    end,
    close = function(f)
      local co = coroutine.create(function()
        local _ <close> = close(function() f() end)
        coroutine.yield()
      end)
      coroutine.resume(co)
      coroutine.close(co)
    end,
  }
  local slow = stoke.spawn(stoke.sleep, 3)
  local full = stoke.channel()
  local waits = {
    sleep = function() stoke.sleep(1) end,
    await = function() slow:await() end,
    recv = function() full:recv() end,
    read = function() stoke.fs.read "/etc/hostname" end,
    generator = coroutine.wrap(function() while true do coroutine.yield(pcall(stoke.sleep, 1)) end end),
    scope = function() stoke.scope {} end,
  }
  for place, put in pairs(where) do
    for name, wait in pairs(waits) do
      local ok, err
      put(function()
        if name == "generator" then
          local passed
          passed, ok, err = pcall(wait)
          t.eq(passed, true)
        else
          ok, err = pcall(wait)
        end
      end)
      t.eq(ok, false, place .. " " .. name)
      refused(t, err)
    end
  end
  stoke.sleep(1)
  t.near(time.monotonic(), 1, 1e-9)
  t.eq(full.receivers.head, nil)
  slow:await()
  t.near(time.monotonic(), 3, 1e-9)
end)

test("a generator first used where nothing can wait works afterwards", function(t)
  local gen = coroutine.wrap(function() while true do coroutine.yield(pcall(stoke.sleep, 1)) end end)
  local first
  table.sort({ 2, 1 }, function(a, b) first = gen() return a < b end)
  t.eq(first, false)
  t.eq(gen(), true)
  t.near(time.monotonic(), 1, 1e-9)
end)

test("a coroutine that waits in one task cannot be resumed or closed by another", function(t)
  local co = coroutine.create(function() stoke.sleep(2) return "value" end)
  local owner = stoke.spawn(function() return coroutine.resume(co) end)
  stoke.sleep(1)
  t.eq(coroutine.status(co), "normal")
  local ok, message = coroutine.resume(co)
  t.eq(ok, false)
  t.match(message, "waits inside a task")
  t.match(t.raises("argument", coroutine.close, co).message, "cancel the task instead")
  t.eq({ owner:await() }, { true, "value" })
  local gen = coroutine.wrap(function() stoke.sleep(2) return "again" end)
  owner = stoke.spawn(function() return gen() end)
  stoke.sleep(1)
  t.raises("waits inside a task", gen)
  t.eq(owner:await(), "again")
end)

test("a task's own coroutine cannot be resumed or closed by a script", function(t)
  local co
  local task = stoke.spawn(function()
    co = coroutine.running()
    stoke.sleep(2)
    return "unharmed"
  end)
  stoke.sleep(1)
  t.eq(coroutine.resume(co), false)
  t.raises("argument", coroutine.close, co)
  t.eq(task:await(), "unharmed")
  t.eq(coroutine.resume(co), false)
end)

test("a dropped generator that waited inside an abandoned task harms nobody", function(t)
  local scopes = require "core.scope"
  local tell = scopes.tell
  scopes.tell = function() end
  local co
  local task = stoke.spawn(function()
    co = coroutine.create(function()
      local _ <close> = close(function() stoke.sleep(1e6) end)
      stoke.sleep(1e6)
    end)
    local _ <close> = close(function() coroutine.close(co) stoke.sleep(1e6) end)
    coroutine.resume(co)
  end)
  stoke.sleep(1)
  task:cancel()
  pcall(task.await, task)
  scopes.tell = tell
  t.eq(coroutine.resume(co), false)
  collectgarbage()
  stoke.sleep(1)
end)

test("generators nest deep enough", function(t)
  local function tree(depth) return depth > 0 and { tree(depth - 1), depth, tree(depth - 1) } or nil end
  local function walk(node)
    return coroutine.wrap(function()
      if not node then return end
      for v in walk(node[1]) do coroutine.yield(v) end
      stoke.sleep(0.001)
      coroutine.yield(node[2])
      for v in walk(node[3]) do coroutine.yield(v) end
    end)
  end
  local sum = 0
  for v in walk(tree(8)) do sum = sum + v end
  t.eq(sum, 502)
  local function nested(n) return coroutine.wrap(function() return n > 0 and nested(n - 1)() or "deep" end) end
  t.eq(nested(80)(), "deep")
end)
