-- The gates round every effect: their order, and what each does. The effects here are made for it.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local budget = require "core.gate.budget"
local effect = require "core.effect"
local errors = require "core.errors"
local pool = require "core.gate.pool"
local random = require "core.random"
local retry = require "core.gate.retry"
local span = require "core.gate.span"
local tasks = require "core.task"

local log = {}

-- An effect with a name of its own, because retry budgets are kept by name.
local count = 0
local function define(def)
  count = count + 1
  local name = "test.effect" .. count
  effect.define(name, def)
  return name
end

local function perform(name, q) return errors.check(effect.perform(name, q or {})) end

local function with_policy(rules, f)
  stoke.policy(rules)
  local _ <close> = setmetatable({}, { __close = function() stoke.policy(nil) end })
  f()
end

--- As it is, and the short way: where nobody traces, the gates of pool and retry are all there is.
local function both_ways(name, f)
  test(name, f)
  test(name .. ", the short way", function(t)
    local on = span.on
    span.switch(false)
    local _ <close> = setmetatable({}, { __close = function() span.switch(on) end })
    f(t)
  end)
end

local function retryable(fields) return errors.new("refused", "down", fields) end

test("policy: denied with the reason, before anything is reserved", function(t)
  local ran = false
  local name = define { run = function() ran = true return 1 end, usage = function() return {} end,
                        pool = function() return "k" end, subject = function(q) return "host", q.host end }
  with_policy({ deny = { host = { "*.internal" } } }, function()
    local s <close> = stoke.scope { budget = { calls = 1 } }
    local err = t.raises("denied", perform, name, { host = "db.internal" })
    t.eq(err.message, name .. ' is not allowed: the policy denies the host db.internal (deny.host has "*.internal")')
    t.eq(err.exit, 7)
    t.eq(ran, false)
    t.eq(s.budget.used.calls, 0)
    t.eq(perform(name, { host = "example.org" }), 1)
  end)
  t.eq(pool.list(), {})
end)

test("budget: an error with the numbers, and no call beyond the limit", function(t)
  local runs = 0
  local name = define { run = function() runs = runs + 1 return runs end,
                        usage = function() return { input_tokens = 30, output_tokens = 12, seconds = 2 } end }
  do
    local s <close> = stoke.scope { budget = { calls = 2 } }
    perform(name)
    perform(name)
    local err = t.raises("budget", perform, name)
    t.eq(err.message, "the budget of 2 calls is spent (2 used)")
    t.eq({ err.limit, err.used, err.unit, err.exit }, { 2, 2, "calls", 6 })
    t.eq(runs, 2)
    t.eq(s.budget.used, { calls = 2, tokens = 84, seconds = 4 })
  end
  do
    local _ <close> = stoke.scope { budget = { tokens = 50 } }
    perform(name)
    perform(name)
    t.eq(t.raises("budget", perform, name).message, "the budget of 50 tokens is spent (84 used)")
  end
  perform(name)
end)

test("budget: holds for the tasks of the scope, their scopes, try and shield, and for the scopes around", function(t)
  local name = define { run = function() return 1 end, usage = function() return { output_tokens = 1 } end }
  local outer <close> = stoke.scope { budget = { calls = 100 } }
  local refused = 0
  do
    local s <close> = stoke.scope { budget = { calls = 3 } }
    s:map({ 1, 2, 3, 4, 5, 6 }, function(n)
      local ok, err = pcall(function()
        if n % 3 == 0 then return stoke.shield(1, perform, name) end
        if n % 3 == 1 then return stoke.all { function() perform(name) end } end
        local _ <close> = stoke.scope { deadline = 5 }
        return perform(name)
      end)
      if not ok and err.kind == "budget" then refused = refused + 1 end
      if not ok then t.eq(err.kind, "budget") end
    end)
    t.eq(refused, 3)
    t.eq(s.budget.used.calls, 3)
  end
  t.eq(outer.budget.used, { calls = 3, tokens = 3, seconds = 0 })
  do
    local inner <close> = stoke.scope { budget = { calls = 1000 } }
    for _ = 1, 97 do perform(name) end
    t.match(t.raises("budget", perform, name).message, "100 calls")
    t.eq(inner.budget.used.calls, 97)
  end
  t.raises("argument", budget.new, { call = 1 })
end)

test("budget: a failed call counts as a call, without tokens", function(t)
  local name = define { run = function() return nil, errors.new("http", "500") end,
                        usage = function() return { output_tokens = 1 } end }
  local s <close> = stoke.scope { budget = { calls = 5 } }
  t.raises("http", perform, name)
  t.eq(s.budget.used, { calls = 1, tokens = 0, seconds = 0 })
end)

both_ways("retry: only errors that say retryable, so many times, with growing jittered pauses", function(t)
  local attempts, err = {}, retryable()
  local name = define { retry = { attempts = 4, base = 1, max = 3 },
                        run = function() attempts[#attempts + 1] = time.monotonic() return nil, err end }
  local function gaps()
    attempts = {}
    t.raises(err.kind, perform, name)
    local list = {}
    for i = 2, #attempts do list[i - 1] = attempts[i] - attempts[i - 1] end
    return list
  end
  random.seed(7)
  local first = gaps()
  t.eq(#first, 3)
  for i, most in ipairs { 1, 2, 3 } do t.ok(first[i] >= 0 and first[i] <= most, i) end
  random.seed(7)
  local second = gaps()
  for i = 1, 3 do t.near(second[i], first[i], 1e-6) end
  t.ne(gaps(), first)
  err = errors.new("http", "no")
  t.eq(#gaps(), 0)
  err = retryable { retry_after = 10 }
  t.near(gaps()[1], 10, 1e-6)
  err = retryable { retryable = false }
  t.eq(#gaps(), 0)
  err = retryable()
  attempts = {}
  t.raises("refused", perform, name, { once = true })
  t.eq(#attempts, 1)
end)

both_ways("retry: a later success is the answer, and one call", function(t)
  local runs = 0
  local name = define {
    retry = { attempts = 3, base = 0.1, max = 1 }, usage = function() return { output_tokens = 1 } end,
    run = function()
      runs = runs + 1
      if runs < 3 then return nil, retryable() end
      return "at last"
    end,
  }
  local s <close> = stoke.scope { budget = { calls = 1 } }
  t.eq(perform(name), "at last")
  t.eq(s.budget.used.calls, 1)
end)

both_ways("retry: the bucket runs dry when everything fails", function(t)
  local runs = 0
  local name = define { retry = { attempts = 3, base = 0, max = 0 }, run = function() runs = runs + 1 return nil, retryable() end }
  for _ = 1, 100 do t.raises("refused", perform, name) end
  t.ok(runs >= 100 + retry.saved and runs <= 100 + retry.saved + 100 * retry.earned + 1, runs)
end)

both_ways("retry: what one server has used up is no other server's, whatever the effect", function(t)
  local runs = {}
  local function server(q) return q.server end
  local function run(q)
    runs[q.server] = (runs[q.server] or 0) + 1
    if q.server == "dead" or runs[q.server] == 1 then return nil, retryable() end
    return runs[q.server]
  end
  local name = define { retry = { attempts = 3, base = 0, max = 0, server = server }, run = run }
  local other = define { retry = { attempts = 3, base = 0, max = 0, server = server }, run = run }
  for _ = 1, 60 do t.raises("refused", perform, name, { server = "dead" }) end
  t.eq(perform(name, { server = "alive" }), 2)
  runs.dead = 0
  for _ = 1, 10 do t.raises("refused", perform, other, { server = "dead" }) end
  t.ok(runs.dead <= 12, "the dead one has no retries left, by whatever way it is asked")
end)

both_ways("retry: of many dead servers only so many are remembered, those used last", function(t)
  local runs = 0
  local name = define { retry = { attempts = 2, base = 0, max = 0, server = function(q) return q.server end },
                        run = function() runs = runs + 1 return nil, retryable() end }
  local function retries(server)
    runs = 0
    for _ = 1, 3 do t.raises("refused", perform, name, { server = server }) end
    return runs - 3
  end
  for _ = 1, 20 do retries "first" end
  for i = 2, retry.kept do retries(i) end
  t.ok(retries "first" <= 1, "one of the last")
  for i = 2, retry.kept do retries(-i) end
  t.ok(retries "first" <= 1, "again")
  for i = 1, retry.kept do retries(1000 + i) end
  t.eq(retries "first", 3, "forgotten, so full again")
end)

both_ways("retry: a cancel ends the pause", function(t)
  local name = define { retry = { attempts = 5, base = 1000, max = 1000 },
                        run = function() return nil, retryable { retry_after = 20 } end }
  local task = stoke.spawn(perform, name)
  stoke.sleep(1)
  t.eq(stoke.tasks()[2].waits, "retry")
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.raises("timeout", stoke.timeout, 1, perform, name)
  t.near(time.monotonic(), 2, 1e-9)
end)

both_ways("retry: not after the first event of a stream", function(t)
  local opened = 0
  local name = define {
    stream = true, retry = { attempts = 3, base = 0, max = 0 },
    run = function()
      opened = opened + 1
      if opened == 1 then return nil, retryable() end -- before the first event: again
      local n = 0
      return { next = function() n = n + 1 if n < 3 then return n end return nil, retryable() end,
               close = function() log[#log + 1] = "closed" end }
    end,
  }
  log = {}
  local stream = perform(name)
  t.eq({ stream:next(), stream:next() }, { 1, 2 })
  local item, err = stream:next()
  t.eq({ item, err.kind, err.retryable }, { nil, "refused", true })
  t.eq(opened, 2)
  t.eq(log, { "closed" })
  stream:close()
  t.eq(log, { "closed" })
end)

-- Calls that hold a slot of `key` for some seconds.
local function holder(width)
  return define {
    pool = function(q) return q.key, width end,
    run = function(q)
      log[#log + 1] = q.name
      local _, err = require "host.task".park("work", q.seconds or 1)
      if err then return nil, err end
      return q.name
    end,
  }
end

both_ways("pool: so many at once for each key, oldest first, and a late-comer does not overtake", function(t)
  log = {}
  local name = holder(2)
  for i = 1, 5 do stoke.spawn(perform, name, { key = "a", name = i }) end
  stoke.spawn(perform, name, { key = "b", name = "other key" })
  stoke.sleep(0.5)
  t.eq(log, { 1, 2, "other key" })
  t.eq(pool.list(), { { key = "a", busy = 2, waiting = 3 }, { key = "b", busy = 1, waiting = 0 } })
  stoke.sleep(0.5)
  local started = time.monotonic()
  stoke.spawn(perform, name, { key = "a", name = "late" }):await() -- asks in the moment two slots come free
  t.eq(log, { 1, 2, "other key", 3, 4, 5, "late" })
  t.near(time.monotonic() - started, 2, 1e-9)
  t.eq(pool.list(), {})
end)

both_ways("pool: a cancel in the queue, or in the moment of the grant, loses no slot", function(t)
  log = {}
  local name = holder(1)
  local first = stoke.spawn(perform, name, { key = "c", name = "first" })
  local queued = stoke.spawn(perform, name, { key = "c", name = "queued" })
  local granted = stoke.spawn(perform, name, { key = "c", name = "granted" })
  stoke.spawn(perform, name, { key = "c", name = "last" })
  stoke.sleep(0.5)
  queued:cancel()
  stoke.sleep(0)
  t.eq(pool.list(), { { key = "c", busy = 1, waiting = 2 } })
  first:cancel()
  granted:cancel()
  stoke.sleep(0)
  stoke.sleep(0)
  t.eq(log, { "first", "last" })
  stoke.sleep(2)
  t.eq(pool.list(), {})
  t.raises("timeout", stoke.timeout, 0.5, function()
    stoke.spawn(perform, name, { key = "c", name = "x", seconds = 10 })
    stoke.sleep(0)
    perform(name, { key = "c", name = "y" })
  end)
  t.eq(pool.list(), {})
end)

--- What runs and waits of one key.
local function at(key)
  for _, entry in ipairs(pool.list()) do if entry.key == key then return { entry.busy, entry.waiting } end end
end

both_ways("pool: slots of a key that is known already are counted, queued for and free again as those of a new one", function(t)
  local name = holder(nil)
  for _ = 1, 3 do
    for i = 1, 5 do stoke.spawn(perform, name, { key = "f", name = i, seconds = i }) end
    stoke.sleep(0)
    t.eq(at "f", { 2, 3 })
    stoke.sleep(1) -- the first has ended: the third has its slot, and a late-comer none
    local late = stoke.spawn(perform, name, { key = "f", name = "late", seconds = 0 })
    stoke.sleep(0)
    t.eq(at "f", { 2, 3 })
    late:await()
    stoke.sleep(20)
    t.eq(at "f", nil)
  end
end)

both_ways("pool: another default width holds for keys that are known already", function(t)
  local before <const> = pool.default_width
  local _ <close> = setmetatable({}, { __close = function() pool.set_default(before) end })
  local name = holder(nil)
  for _, width in ipairs { 3, 1, 2 } do
    pool.set_default(width)
    for i = 1, 4 do stoke.spawn(perform, name, { key = "g", name = i }) end
    stoke.sleep(0)
    t.eq(at "g", { width, 4 - width })
    stoke.sleep(10)
    t.eq(at "g", nil)
  end
end)

both_ways("pool: a call that names a width has that one, and the next that names none the default", function(t)
  local any, one = holder(nil), holder(1)
  for _ = 1, 2 do
    stoke.spawn(perform, any, { key = "h", name = "any", seconds = 1 })
    stoke.sleep(0)
    stoke.spawn(perform, one, { key = "h", name = "one", seconds = 1 })
    stoke.sleep(0)
    t.eq(at "h", { 1, 1 })
    stoke.sleep(5)
    stoke.spawn(perform, one, { key = "h", name = "one", seconds = 1 })
    stoke.sleep(0)
    stoke.spawn(perform, any, { key = "h", name = "any", seconds = 1 })
    stoke.sleep(0)
    t.eq(at "h", { 2, 0 })
    stoke.sleep(5)
    t.eq(at "h", nil)
  end
end)

both_ways("pool: of many keys few are kept when all are idle", function(t)
  local name = holder(nil)
  for _ = 1, 2 do
    for i = 1, 200 do stoke.spawn(perform, name, { key = "many " .. i, name = i }) end
    stoke.sleep(0)
    t.eq(#pool.list(), 200)
    stoke.sleep(5)
    t.eq(pool.list(), {})
    local kept = 0
    for _ in pairs(pool.pools) do kept = kept + 1 end
    t.ok(kept <= 64, kept .. " are kept")
  end
end)

both_ways("pool: a slot is free during the pause of a retry", function(t)
  local runs = 0
  local name = define { pool = function() return "d", 1 end, retry = { attempts = 2, base = 10, max = 10 },
                        run = function()
                          runs = runs + 1
                          if runs == 1 then return nil, retryable { retry_after = 5 } end
                          return runs
                        end }
  local first = stoke.spawn(perform, name)
  stoke.sleep(1)
  t.eq(pool.list(), {})
  t.eq(perform(name), 2)
  t.eq(first:await(), 3)
end)

both_ways("pool: a waiter that was cut off gets no slot", function(t)
  log = {}
  local name, scopes = holder(1), require "core.scope"
  local tell = scopes.tell
  scopes.tell = function() end
  stoke.spawn(perform, name, { key = "e", name = "first", seconds = 20 })
  local stuck = stoke.spawn(function()
    local _ <close> = setmetatable({}, { __close = function() perform(name, { key = "e", name = "stuck" }) end })
    stoke.sleep(1e6)
  end)
  stoke.sleep(0)
  stuck:cancel()
  stoke.sleep(10)
  scopes.tell = tell
  t.eq(stuck.state, "cancelled")
  perform(name, { key = "e", name = "next" })
  t.eq(log, { "first", "next" })
  t.eq(pool.list(), {})
end)

both_ways("pool: a stream holds its slot until it ends, is closed, or its scope ends", function(t)
  local name = define { stream = true, pool = function() return "f", 1 end,
                        run = function() return { next = function() return "item" end, close = function() end } end }
  local stream = perform(name)
  t.eq(pool.list()[1].busy, 1)
  stream:close()
  t.eq(pool.list(), {})
  do
    local _ <close> = stoke.scope {}
    perform(name)
    t.eq(pool.list()[1].busy, 1)
  end
  t.eq(pool.list(), {})
  stoke.spawn(function() perform(name) end):await()
  t.eq(pool.list(), {})
end)

test("the gates stand in their order: policy, budget, retry, pool, driver", function(t)
  log = {}
  local runs = 0
  local name = define {
    retry = { attempts = 2, base = 0, max = 0 },
    pool = function() log[#log + 1] = "pool" return "g", 1 end,
    usage = function() log[#log + 1] = "usage" return {} end,
    subject = function() log[#log + 1] = "policy" return "tool", "x" end,
    run = function()
      runs = runs + 1
      log[#log + 1] = "driver"
      if runs == 1 then return nil, retryable() end
      return "value"
    end,
  }
  local reserve = budget.reserve
  budget.reserve = function(...) log[#log + 1] = "budget" return reserve(...) end
  local _ <close> = setmetatable({}, { __close = function() budget.reserve = reserve end })
  with_policy({ allow = { tool = { "*" } } }, function()
    local _ <close> = stoke.scope { budget = { calls = 9 } }
    perform(name)
  end)
  t.eq(log, { "policy", "budget", "pool", "driver", "pool", "driver", "usage" })
end)

test("a span tells how long a call queued and ran, and how it ended", function(t)
  local records = {}
  span.listen(function(r) records[#records + 1] = r end)
  local _ <close> = setmetatable({}, { __close = function() span.sinks = {} span.switch(false) end })
  local name = holder(1)
  local s = stoke.scope {}
  s:spawn(perform, name, { key = "h", name = 1, seconds = 2 })
  local second = s:spawn(perform, name, { key = "h", name = 2, seconds = 3 })
  local third = s:spawn(perform, name, { key = "h", name = 3 })
  stoke.sleep(4)
  third:cancel()
  second:await()
  s:close()
  t.eq(#records, 3)
  local by_queue = {}
  for i, r in ipairs(records) do by_queue[i] = ("%g %g %s"):format(r.queue, r.run, r.error or "ok") end
  t.eq(by_queue, { "0 2 ok", "4 0 cancelled", "2 3 ok" })
end)

test("span: a listener that raises is told once and dropped, and the call does not notice", function(t)
  local stdio, told, seen = require "core.stdio", {}, 0
  local before, on, err = span.sinks, span.on, stdio.err
  local _ <close> = setmetatable({}, { __close = function() span.sinks, stdio.err = before, err span.switch(on) end })
  stdio.err = function(text) told[#told + 1] = text end
  span.sinks = {}
  span.listen(function() seen = seen + 1 end)
  span.listen(function() error "broken listener" end)
  span.listen(function() seen = seen + 1 end)
  local name = define { run = function() return "value" end, pool = function() return "span", 1 end }
  for _ = 1, 3 do t.eq(perform(name), "value") end
  t.eq({ seen, #told, #pool.list() }, { 6, 1, 0 })
  t.match(told[1], "broken listener")
end)

test("span: what the host's own tasks do is traced by nobody", function(t)
  local seen = {}
  local before, on = span.sinks, span.on
  local _ <close> = setmetatable({}, { __close = function() span.sinks = before span.switch(on) end })
  span.sinks = {}
  span.listen(function(r) seen[#seen + 1] = r.about end)
  local plain = define { run = function() return 1 end }
  local gated = define { run = function() return 1 end, pool = function() return "own", 1 end }
  local function both(who)
    perform(plain, { name = who })
    perform(gated, { name = who })
  end
  tasks.spawn(function()
    both "system"
    tasks.spawn(both, nil, "its child"):await()
  end, { system = true, name = "own" }):await()
  stoke.spawn(both, "script"):await()
  t.eq(seen, { "script", "script" })
end)

test("an unknown effect is named, with the nearest known one", function(t)
  t.match(t.raises("argument", effect.perform, "time.slep").message, "unknown effect time.slep %(did you mean time.sleep%?%)")
  t.ok(tasks.current())
end)

both_ways("retry: calls that succeed earn retries again", function(t)
  local down, runs = true, 0
  local name = define { retry = { attempts = 3, base = 0, max = 0 }, run = function()
    runs = runs + 1
    if down then return nil, retryable() end
    return 1
  end }
  for _ = 1, 50 do t.raises("refused", perform, name) end
  down = false
  for _ = 1, 100 do perform(name) end
  down, runs = true, 0
  for _ = 1, 5 do t.raises("refused", perform, name) end
  t.eq(runs, 15)
end)

both_ways("a call in flight in a task that is cut off is settled: its slot is free again", function(t)
  log = {}
  local name, scopes = holder(1), require "core.scope"
  local tell = scopes.tell
  scopes.tell = function() end
  local stuck = stoke.spawn(function()
    local _ <close> = setmetatable({}, { __close = function() perform(name, { key = "i", name = "stuck", seconds = 1e6 }) end })
    stoke.sleep(1e6)
  end)
  stoke.sleep(0)
  stuck:cancel()
  stoke.sleep(10)
  scopes.tell = tell
  t.eq(pool.list(), {})
  t.eq(perform(name, { key = "i", name = "next" }), "next")
end)

both_ways("retry: a server that says to come back much later is told to the script, not waited for", function(t)
  local runs = 0
  local name = define { retry = { attempts = 3, base = 0, max = 0 }, run = function()
    runs = runs + 1
    local err = retryable()
    err.retry_after = runs == 1 and 5 or 3600
    return nil, err
  end }
  local started = require "stoke.time".monotonic()
  t.eq(t.raises("refused", perform, name).retry_after, 3600)
  t.eq(runs, 2)
  t.near(require "stoke.time".monotonic() - started, 5, 0.001)
end)

both_ways("a driver that raises after all gives its slot back", function(t)
  local name = define { pool = function() return "j", 1 end, run = function() errors.raise("script", "broken") end }
  t.raises("script", function() perform(name) end)
  t.eq({ pool.list(), tasks.current().call }, { {} })
end)

both_ways("a call that is cancelled gives its slot back, and so does one that waits for it", function(t)
  local name = define { pool = function() return "k", 1 end, run = function() return require "host.task".park("test") end }
  local running, waiting = stoke.spawn(perform, name), stoke.spawn(perform, name)
  stoke.sleep(0)
  local busy = pool.list()[1]
  t.eq({ busy.busy, busy.waiting }, { 1, 1 })
  running:cancel()
  waiting:cancel()
  stoke.sleep(0)
  t.eq({ running.state, waiting.state, pool.list() }, { "cancelled", "cancelled", {} })
end)
