-- Cancelling whatever waits, in every order: nothing is lost, nothing stays, nothing hangs.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local scopes = require "core.scope"
local random = require "core.random"
local rand = require "host.rand"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1

local function close(f) return setmetatable({}, { __close = f }) end

local never = stoke.channel()
local WAITS = {
  { "sleep", function() stoke.sleep(1e6) end },
  { "recv", function() stoke.channel():recv() end },
  { "recv with a limit", function() stoke.channel():recv(1e6) end },
  { "send", function() stoke.channel():send(1) end },
  { "select", function() stoke.select { stoke.channel(), stoke.channel() } end },
  { "iterating", function() for _ in never do error "no value" end end },
  { "semaphore", function()
    local s = stoke.semaphore(1)
    s:acquire()
    s:acquire()
  end },
  { "await", function() stoke.spawn(stoke.sleep, 1e6):await() end },
  { "join", function() stoke.spawn(stoke.sleep, 1e6) end },
  { "scope:wait", function()
    local s <close> = stoke.scope {}
    s:spawn(stoke.sleep, 1e6)
    s:wait()
  end },
  { "map", function()
    local s <close> = stoke.scope {}
    s:map({ 1, 2, 3 }, function() stoke.sleep(1e6) end, { limit = 2 })
  end },
  { "all", function() stoke.all { function() stoke.sleep(1e6) end, function() stoke.sleep(1e6) end } end },
  { "race", function() stoke.race { function() stoke.sleep(1e6) end } end },
  { "any", function() stoke.any { function() stoke.sleep(1e6) end, function() error "x" end } end },
  { "timeout", function() stoke.timeout(1e5, stoke.sleep, 1e6) end },
  { "generator", function() coroutine.wrap(function() coroutine.wrap(function() stoke.sleep(1e6) end)() end)() end },
}

for _, case in ipairs(WAITS) do
  test("cancel ends a wait at once: " .. case[1], function(t)
    local unwound, ran_on = false, false
    local task = stoke.spawn(function()
      local _ <close> = close(function(_, err) unwound = err == nil or err.kind == "cancelled" end)
      case[2]()
      ran_on = case[1] ~= "join"
    end)
    stoke.sleep(1)
    task:cancel()
    t.raises("cancelled", task.await, task)
    t.eq({ task.state, unwound, ran_on }, { "cancelled", true, false })
    t.eq(time.monotonic(), 1)
    t.eq(#stoke.tasks(), 1)
    if case[1] == "join" then stoke.sleep(1) else
      t.raises("timeout", stoke.timeout, 1, case[2]) -- and so does a deadline, in this very task
    end
    t.near(time.monotonic(), 2, 1e-9)
    stoke.sleep(1)
    t.near(time.monotonic(), 3, 1e-9)
    t.eq(#stoke.tasks(), 1)
  end)
end

test("cancel ends a program that runs, and a read that never ends", { real = true }, function(t)
  local started = time.monotonic()
  local task = stoke.spawn(function() stoke.proc.run { argv = { "sleep", "100" } } end)
  stoke.sleep(0.1)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.raises("timeout", stoke.timeout, 0.1, stoke.proc.run, { argv = { "sleep", "100" } })
  t.ok(time.monotonic() - started < 10)
end)

test("a child cancelled and awaited by its parent in one go", function(t)
  for _, wait in ipairs { function() end, function() stoke.sleep(0) end, function() stoke.sleep(1e6) end } do
    local task = stoke.spawn(wait)
    stoke.sleep(0)
    task:cancel()
    pcall(task.await, task)
    t.ok(task.state)
  end
end)

test("parent and child cancelled in the same turn, in both orders", function(t)
  for order = 1, 2 do
    local child
    local parent = stoke.spawn(function()
      child = stoke.spawn(stoke.sleep, 1e6)
      child:await()
    end)
    stoke.sleep(0)
    if order == 1 then child:cancel() end
    parent:cancel()
    child:cancel()
    t.raises("cancelled", parent.await, parent)
    t.eq({ parent.state, child.state }, { "cancelled", "cancelled" })
  end
end)

test("a deadline and a cancel in the same moment", function(t)
  local task
  stoke.try(function()
    task = stoke.spawn(function() stoke.timeout(1, stoke.sleep, 10) end)
    stoke.spawn(function() stoke.sleep(1) task:cancel() end)
    task:await()
  end)
  t.ok(task.state == "cancelled" or task.state == "failed")
  stoke.sleep(1)
end)

test("cancel: a task that is cut off is in no list any more", function(t)
  local cut = stoke.spawn(function() pcall(never.recv, never) end)
  stoke.sleep(0)
  t.eq(#stoke.tasks(), 2)
  cut:cut_off(0)
  t.eq(#stoke.tasks(), 1)
end)

test("cancel: the stack of a task that is cut off may be collected before anything else happens", function(t)
  local gate, tasks, woken = stoke.channel(), {}, 0
  local cut = stoke.spawn(function() pcall(never.recv, never) end)
  stoke.sleep(0)
  cut:cut_off(0)
  collectgarbage()
  for i = 1, 100 do -- one of them gets the place of that stack
    tasks[i] = stoke.spawn(function()
      gate:recv()
      woken = woken + 1
    end)
  end
  stoke.sleep(0)
  for _ = 1, 100 do gate:send(1) end
  for _, task in ipairs(tasks) do task:await() end
  t.eq({ woken, cut.state }, { 100, "cancelled" })
end)

local STUBBORN = {
  ["a wait"] = function() pcall(stoke.sleep, 1) end,
  ["a wait in stoke.try"] = function() stoke.try(stoke.sleep, 1) end,
  ["a wait in a scope"] = function() pcall(function() stoke.timeout(2, stoke.sleep, 1) end) end,
  ["a wait in a generator"] = function() coroutine.wrap(function() pcall(stoke.sleep, 1) end)() end,
  ["a shield"] = function() pcall(stoke.shield, 100, function() while true do pcall(stoke.sleep, 1) end end) end,
  ["a race"] = function() pcall(stoke.race, { function() pcall(stoke.sleep, 1) end }) end,
}

for what, wait in pairs(STUBBORN) do
  test("a <close> handler that catches the end of its five seconds waits no more: " .. what, function(t)
    local tell, before = scopes.tell, stoke.time.monotonic()
    local _ <close> = close(function() scopes.tell = tell end)
    scopes.tell = function() end
    local _, err = stoke.try(stoke.timeout, 1, function()
      local _ <close> = close(function()
        for _ = 1, 100 do wait() end
      end)
      stoke.sleep(10)
    end)
    t.eq({ err.kind, stoke.time.monotonic() - before }, { "timeout", 6 })
  end)
end

-- ---- at random -------------------------------------------------------------------------------------------------------

-- A program of scopes, tasks, errors, handlers and swallowed cancels, chosen by a generator.
local Program = {}
Program.__index = Program

function Program:pick(n) return self.rng:int(1, n) end
function Program:short() return self.rng:int(0, 3) * 0.5 end

function Program:note(task) self.tasks[#self.tasks + 1] = task end

local ACTIONS
function Program:step(depth)
  ACTIONS[self:pick(#ACTIONS)](self, depth)
end

function Program:body(depth)
  for _ = 1, self:pick(3) do self:step(depth) end
end

ACTIONS = {
  function(p) stoke.sleep(p:short()) end,
  function(p) stoke.sleep(p:short()) end,
  function(p, depth)
    if depth > 0 then p:note(stoke.spawn(p.body, p, depth - 1)) end
  end,
  function(p, depth)
    if depth == 0 then return end
    local task = stoke.spawn(p.body, p, depth - 1)
    p:note(task)
    pcall(task.await, task)
  end,
  function(p, depth)
    local s <close> = stoke.scope { deadline = p:pick(3) == 1 and p:short() or nil }
    if depth > 0 then p:note(s:spawn(p.body, p, depth - 1)) end
    p:step(depth)
  end,
  function(p, depth) stoke.timeout(p:short(), p.body, p, math.max(depth - 1, 0)) end,
  function(p, depth) pcall(p.body, p, math.max(depth - 1, 0)) end,
  function(p, depth) stoke.try(p.body, p, math.max(depth - 1, 0)) end,
  function(p, depth)
    local _ <close> = close(function(_, err)
      if not err or err.kind ~= "cancelled" then return end
      p.entered = p.entered + 1
      stoke.sleep(0.01) -- a handler may wait, and open scopes of its own
      stoke.timeout(1, stoke.sleep, 0.01)
      stoke.all { function() stoke.sleep(0.01) end }
      p.handled = p.handled + 1
    end)
    p:step(depth)
  end,
  function(p, depth) coroutine.wrap(function() p:step(depth) coroutine.yield() end)() end,
  function(p) stoke.shield(1, stoke.sleep, p:short() / 4) end,
  function(p) if p:pick(4) == 1 then error "at random" end end,
  function(p) p.channel:recv(p:short()) end,
  function(p) pcall(p.channel.send, p.channel, 1) end,
  function(p)
    local _ <close> = p.semaphore:acquire()
    stoke.sleep(p:short())
  end,
  function(p)
    local victim = p.tasks[p:pick(math.max(#p.tasks, 1))]
    if victim then victim:cancel() end
  end,
  function(p, depth)
    if depth == 0 then return end
    stoke.race { function() p:body(depth - 1) end, function() stoke.sleep(p:short()) end }
  end,
}

test("programs at random: everything ends, handlers run, permits come back, the clock is right", function(t)
  local base = random.stream("test"):int(1, 1 << 40)
  for round = 1, math.max(5, math.floor(400 * scale)) do
    local seed = base + round
    local p = setmetatable({ rng = rand.new(seed), tasks = {}, entered = 0, handled = 0, channel = stoke.channel(2),
                             semaphore = stoke.semaphore(2) }, Program)
    local what = ("seed %d"):format(seed)
    stoke.try(stoke.timeout, 60, function()
      for _ = 1, 4 do p:note(stoke.spawn(p.body, p, 4)) end
      stoke.sleep(p:pick(20) * 0.25)
      if p:pick(2) == 1 then error "the owner gives up" end
    end)
    for _, task in ipairs(p.tasks) do t.ok(task.state, what .. ": a task has not ended") end
    t.eq(#stoke.tasks(), 1, what)
    t.eq(p.semaphore.free, 2, what)
    t.eq(p.semaphore.waiting.head, nil, what)
    t.eq({ p.channel.receivers.head, p.channel.senders.head }, {}, what)
    t.eq(p.handled, p.entered, what)
    local before = time.monotonic()
    stoke.sleep(1)
    t.near(time.monotonic(), before + 1, 1e-6)
  end
end)

test("what is cut off after five seconds is told only when it happens", function(t)
  local said, tell = 0, scopes.tell
  scopes.tell = function() said = said + 1 end
  local _ <close> = close(function() scopes.tell = tell end)
  local task = stoke.spawn(function()
    local _ <close> = close(function() stoke.sleep(4.9) end)
    stoke.sleep(100)
  end)
  stoke.sleep(1)
  task:cancel()
  pcall(task.await, task)
  stoke.sleep(10)
  t.eq(said, 0)
end)
