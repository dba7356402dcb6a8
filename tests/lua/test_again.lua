-- stoke.retry and stoke.fallback; and tables that can be called, wherever a function is taken.

local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

local function fails(times, kind, more)
  local n = 0
  return function(...)
    n = n + 1
    if n <= times then stoke.raise(kind, ("failure %d"):format(n)) end
    if more then more(n) end
    return n, ...
  end
end

test("retry: calls again while the error may pass, and gives what the function returned", function(t)
  local began = stoke.time.monotonic()
  t.eq({ stoke.retry(fails(2, "refused"), { delay = 1, jitter = false }, "a", nil, "b") }, { 3, "a", nil, "b" })
  t.near(stoke.time.monotonic() - began, 3, 0.01)
  t.eq(stoke.retry(function() return "at once" end), "at once")
end)

test("retry: three times where nothing is said; the last error tells the earlier ones", function(t)
  local err = t.raises("refused", stoke.retry, fails(9, "refused"))
  t.eq({ err.message, err.attempts, #err.suppressed, err.suppressed[1].message }, { "failure 3", 3, 2, "failure 1" })
end)

test("retry: only what is retryable, unless `on` says", function(t)
  t.eq(t.raises("invalid_output", stoke.retry, fails(9, "invalid_output")).attempts, 1)
  t.eq(stoke.retry(fails(2, "invalid_output"), { on = { "invalid_output" } }), 3)
  t.eq(stoke.retry(fails(2, "http"), { on = function(err) return err.message:find "failure" end }), 3)
  t.eq(t.raises("refused", stoke.retry, fails(9, "refused"), { on = {} }).attempts, 1)
  t.match(t.raises("argument", stoke.retry, print, { on = { "refusd" } }).message, "did you mean refused")
  t.match(t.raises("script", stoke.retry, function() return (nil)[1] end).message, "attempt to index")
end)

test("retry: pauses double up to max_delay, are jittered by the seeded randomness, and wait for Retry-After", function(t)
  local function seconds(options, f)
    local began = stoke.time.monotonic()
    stoke.try(stoke.retry, f or fails(9, "refused"), options)
    return stoke.time.monotonic() - began
  end
  t.near(seconds { times = 5, delay = 1, max_delay = 3, jitter = false }, 1 + 2 + 3 + 3, 0.01)
  stoke.rand.seed(7)
  local a = seconds { times = 4, delay = 1 }
  stoke.rand.seed(7)
  t.near(seconds { times = 4, delay = 1 }, a, 1e-6)
  t.ok(a > 0 and a < 7)
  t.near(seconds({ times = 2, delay = 0 }, function()
    error(require "core.errors".new("overloaded", "busy", { retry_after = 5 }), 0)
  end), 5, 0.01)
end)

test("retry: deadlines and cancellation hold", function(t)
  local calls = 0
  local function f()
    calls = calls + 1
    stoke.raise("refused", "no")
  end
  t.raises("deadline", function()
    local _ <close> = stoke.scope { deadline = 5 }
    stoke.retry(f, { times = 100, delay = 2, jitter = false })
  end)
  t.eq(calls, 2)
  local task = stoke.spawn(stoke.retry, f, { times = 100, delay = 1 })
  stoke.sleep(2)
  task:cancel()
  local before = calls
  t.raises("cancelled", task.await, task)
  stoke.sleep(100)
  t.eq(calls, before)
end)

test("retry: what an attempt spawned has ended before the next one", function(t)
  local running, most = 0, 0
  stoke.try(stoke.retry, function()
    stoke.spawn(function()
      running = running + 1
      most = math.max(most, running)
      local _ <close> = setmetatable({}, { __close = function() running = running - 1 end })
      stoke.sleep(1000)
    end)
    stoke.sleep(1)
    stoke.raise("refused", "no")
  end, { times = 4 })
  t.eq({ running, most }, { 0, 1 })
end)

test("retry and fallback: wrong arguments are named", function(t)
  t.match(t.raises("argument", stoke.retry, nil).message, "stoke.retry: a function expected, got nil")
  t.match(t.raises("argument", stoke.retry, print, { times = 0 }).message, "times must be a whole number")
  t.match(t.raises("argument", stoke.retry, print, { delays = 1 }).message, "did you mean delay")
  t.match(t.raises("argument", stoke.retry, print, { delay = -1 }).message, "delay must be seconds")
  t.match(t.raises("argument", stoke.fallback).message, "functions expected")
  t.match(t.raises("argument", stoke.fallback, print, 5).message, "a function expected, got number")
end)

test("fallback: the first that succeeds, and which it was", function(t)
  local function good() return "good" end
  t.eq({ stoke.fallback(good, error) }, { "good", 1 })
  t.eq({ stoke.fallback(fails(1, "http"), fails(1, "invalid_output"), good) }, { "good", 3 })
  t.eq({ stoke.fallback { fails(1, "http"), good } }, { "good", 2 })
  local err = t.raises("refused", stoke.fallback, fails(1, "http"), fails(1, "refused"))
  t.eq({ err.attempts, #err.suppressed, err.suppressed[1].kind }, { 2, 1, "http" })
end)

test("fallback: what another function cannot mend is raised at once", function(t)
  for _, kind in ipairs { "argument", "budget", "deadline", "usage" } do
    local called = false
    t.raises(kind, stoke.fallback, fails(1, kind), function() called = true end)
    t.ok(not called, kind)
  end
  t.match(t.raises("script", stoke.fallback, function() return (nil)[1] end, print).message, "attempt to index")
end)

-- ---- tables that can be called --------------------------------------------------------------------------------------------------

test("callable: a table that can be called goes wherever a function does", function(t)
  local f = setmetatable({}, { __call = function(_, ...) return "called", ... end })
  t.eq({ stoke.try(f, 1) }, { "called", nil, 1 })
  t.eq({ stoke.spawn(f, 1):await() }, { "called", 1 })
  t.eq({ stoke.timeout(1, f, 1) }, { "called", 1 })
  t.eq({ stoke.shield(1, f, 1) }, { "called", 1 })
  t.eq({ stoke.retry(f, nil, 1) }, { "called", 1 })
  t.eq({ stoke.fallback(f) }, { "called", 1 })
  t.eq({ stoke.race { f } }, { "called", 1 })
  t.eq({ stoke.any { f } }, { "called", 1 })
  t.eq(stoke.all { f, f }, { "called", "called" })
  local scope <close> = stoke.scope {}
  t.eq(scope:spawn(f):await(), "called")
  t.eq(scope:map({ 1, 2 }, f), { "called", "called" })
  local timer = stoke.every("callable", 1, f)
  stoke.sleep(2)
  timer:cancel()
  t.raises("x", setmetatable({}, { __call = function() error("x", 0) end }))
end)

test("callable: and not what cannot be called", function(t)
  for _, value in ipairs { {}, setmetatable({}, {}), setmetatable({}, { __call = 5 }), "x", 5 } do
    t.raises("argument", stoke.try, value)
    t.raises("argument", stoke.spawn, value)
    t.raises("argument", stoke.all, { value })
  end
  t.raises("argument", stoke.all, stoke.choose)
end)

test("callable: stoke.choose, stoke.agent, stoke.tool and stoke.schema among them", function(t)
  local server <close> = scripted { '{"choice":"b"}' }
  t.eq(stoke.try(stoke.choose, { model = scripted.MODEL, prompt = "?", options = { "a", "b" }, endpoint = server.url }), "b")
  t.eq(tostring(stoke.try(stoke.agent, { name = "bot", model = "m" })), "agent bot (m)")
  t.eq(stoke.try(stoke.tool, { name = "x", run = print }).name, "x")
  t.ok(stoke.schema.is((stoke.try(stoke.schema, { a = "string" }))))
end)

test("callable: in tools, agents, schemas and servers", function(t)
  local function callable(f) return setmetatable({}, { __call = function(_, ...) return f(...) end }) end
  local server <close> = scripted { { tool_calls = { { name = "x", arguments = {} } } }, "ok" }
  local x = stoke.tool { name = "x", run = callable(function() return "ran" end),
    needs_approval = callable(function() return false end) }
  local bot = stoke.agent { model = scripted.MODEL, tools = { x }, endpoint = server.url, instructions = callable(function()
    return "Be brief."
  end) }
  t.eq(bot:run("x").messages[3].content, "ran")
  t.eq(server.requests[1].messages[1].content, "Be brief.")
  local even = stoke.schema({ n = "integer" }, { check = callable(function(v) return v.n % 2 == 0, "odd" end) })
  t.ok(even:try { n = 2 })
  t.ok(not even:try { n = 1 })
  local web <close> = stoke.http.serve { mem = "callable", handler = callable(function() return "served" end) }
  t.eq(stoke.http.get(web.url .. "/").body, "served")
end)
