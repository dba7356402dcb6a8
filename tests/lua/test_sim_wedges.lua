-- The scheduler's known faults, which clients must live with: each must happen here too.

local test = require "stoke.test"
local models = require "stoke.sim.models"
local options = require "stoke.sim.options"
local scheduler = require "stoke.sim.scheduler"

local function model(name, digit)
  return models.build { name = name, load = 1, tps = 10, prefill = 0, sha = digit and digit:rep(64) }
end

local function request(m, o)
  o = o or {}
  local merged = assert(options.merge(o.options or {}, m))
  return { model = m, opts = options.load_options(merged, m, 4096, nil, 1), keep = scheduler.keep(o.keep), kind = "run",
    prepare = function() return { prompt = "hi", prompt_tokens = 1, n = o.n or 10, tps = 10, prefill = 0 } end }
end

local function machine(o)
  o.vram_wait, o.ping, o.slots = o.vram_wait or 0, 0, 8
  o.batch, o.random = 0, function() return 0 end
  return scheduler.new(o)
end

-- One second of work on a model already loaded, then gone.
local function use(s, m, o)
  local k = s:arrive(request(m, o), s.now)
  s:advance(s:end_due(k, s.now))
  s:leave(k, k.ends, true)
  return k
end

test("starvation: the victim's clients keep coming, every other load waits for ever", function(t)
  local s, a, b, c = machine { max_loaded = 1 }, model "a", model "b", model "c"
  local last = s:arrive(request(a), 0)
  s:advance(1)
  local starved, behind = s:arrive(request(b), 1), s:arrive(request(c), 1)
  for i = 1, 500 do -- always one of a's requests in flight
    local following = s:arrive(request(a), 1 + i * 0.9)
    t.eq(following.state, "running")
    s:advance(s:end_due(last, s.now))
    s:leave(last, last.ends, true)
    last = following
  end
  t.eq({ starved.state, behind.state }, { "evicting", "pending" })
  s:advance(s:end_due(last, s.now))
  s:leave(last, last.ends, true)
  t.eq(starved.state, "loading", "as soon as they pause")
end)

test("starvation by reload: a different num_ctx waits for a busy runner in the same way", function(t)
  local s, a = machine { max_loaded = 3 }, model "a"
  local busy = s:arrive(request(a), 0)
  s:advance(1)
  local other = s:arrive(request(a, { options = { { "num_ctx", 2048 } } }), 1)
  local again = s:arrive(request(a), 1.5)
  t.eq({ other.state, again.state }, { "evicting", "running" })
  s:leave(busy, 2, true)
  t.eq(other.state, "evicting")
  s:advance(3)
  s:leave(again, 3, true)
  t.eq(other.state, "loading")
end)

local function resurrection(keep)
  local s, a, b = machine { max_loaded = 1, keep_alive = 300 }, model "a", model "b"
  local busy = s:arrive(request(a), 0)
  s:advance(1)
  local waiting = s:arrive(request(b), 1)
  local more = s:arrive(request(a, { keep = keep }), 1.5)
  s:advance(2.5)
  s:leave(busy, 2.5, true)
  s:leave(more, 2.5, true)
  return s, waiting, a
end

test("resurrection: keep_alive on a request for the victim stalls the loader until the timer", function(t)
  local s, waiting = resurrection(60)
  t.eq(waiting.state, "evicting")
  s:advance(62.4)
  t.eq(waiting.state, "evicting")
  s:advance(62.5)
  t.eq(waiting.state, "loading")
end)

test("resurrection with keep_alive -1: for ever, until the idle model is unloaded by hand", function(t)
  local s, waiting, a = resurrection(-1)
  s:advance(1e6)
  t.eq({ waiting.state, s:due() }, { "evicting", nil })
  t.eq(use(s, a).state, "done", "loaded models go on answering")
  t.eq(waiting.state, "evicting")
  s:unload(a, s.now)
  t.eq(waiting.state, "loading")
end)

test("no resurrection without keep_alive on requests", function(t)
  local _, waiting = resurrection(nil)
  t.eq(waiting.state, "loading")
end)

test("unload crosstalk: any model's end releases the wait, and another victim is marked", function(t)
  local s = machine { max_loaded = 2 }
  local a, b, c = model("a", "1"), model("b", "2"), model("c", "3")
  local x = s:arrive(request(a, { n = 1000, keep = 5 }), 0)
  local y = s:arrive(request(b, { n = 1000, keep = 100 }), 0)
  s:advance(2)
  local z = s:arrive(request(c), 2)
  t.eq({ x.runner.keep, y.runner.keep, z.state }, { 0, 100, "evicting" })
  s:leave(y, 3)            -- b idles with its timer; the loader still waits for a
  s:advance(4)
  t.eq({ z.state, y.runner.refs }, { "evicting", 0 })
  s:unload(b, 5)           -- not the one it waits for
  t.eq({ z.state, s.loaded[x.key] == x.runner }, { "loading", true })
end)

test("a stale notice from a load's time releases the next wait too early", function(t)
  local s = machine { max_loaded = 2 }
  local a, b, c, d = model("a", "1"), model("b", "2"), model("c", "3"), model("d", "4")
  s:arrive(request(a, { n = 1000 }), 0)
  local y = s:arrive(request(b, { n = 1, keep = 0.5 }), 0)
  s:advance(2.2)
  s:leave(y, 2.2, true)                     -- b ends at 2.7
  s:advance(2.3)
  s:leave(s:arrive(request(a, { n = 0 }), 2.3), 2.3, true)
  s.max_loaded = 3
  local z = s:arrive(request(c, { n = 1000 }), 2.3) -- loading until 3.3, b ends meanwhile
  s:advance(3.0)
  t.eq(s.loader.stale, 1)
  s.max_loaded = 1
  local w = s:arrive(request(d), 3.0)
  s:advance(3.3)
  t.eq({ z.state, w.state, s.loader.stale }, { "running", "evicting", 0 })
  local marked = 0
  for _, r in pairs(s.loaded) do if r.keep == 0 then marked = marked + 1 end end
  t.ok(marked >= 1)
end)

test("zombies: retrying clients fill the queue with dead entries", function(t)
  local s = machine { max_queue = 10 }
  s:arrive(request(models.build { name = "slow", load = 60 }), 0)
  for i = 1, 10 do s:leave(s:arrive(request(model "b"), i), i + 0.5) end
  t.eq(s:queued(), 10)
  t.eq(s:arrive(request(model "c"), 20).error[1], 503)
  s:advance(60)
  t.eq({ s:queued(), s.ledger.loads }, { 0, 1 })
end)

test("short timeouts: a client less patient than the load never gets the model", function(t)
  local s, m = machine {}, model "a"
  for i = 0, 9 do
    local k = s:arrive(request(m), i)
    s:leave(k, i + 0.9)
  end
  t.eq({ s.n_loaded, s.ledger.aborted_loads, s.ledger.loads }, { 0, 10, 10 })
end)

test("hash bias: with room for two and three used in turn, the highest hash is never evicted", function(t)
  local s = machine { max_loaded = 2 }
  local list = { model("a", "1"), model("b", "5"), model("c", "9") }
  local loads = { 0, 0, 0 }
  for round = 1, 12 do
    local i = (round - 1) % 3 + 1
    local before = s.ledger.loads
    local k = s:arrive(request(list[i], { n = 1 }), s.now)
    s:advance(s.now + 1.5)
    s:advance(s:end_due(k, s.now))
    s:leave(k, k.ends, true)
    loads[i] = loads[i] + s.ledger.loads - before
  end
  t.eq(loads, { 4, 4, 1 })
end)

test("thrash: two models, room for one, alternating requests reload every time", function(t)
  local s, a, b = machine { max_loaded = 1, vram_wait = 0.5 }, model "a", model "b"
  for i = 1, 10 do
    local k = s:arrive(request(i % 2 == 1 and a or b, { n = 1 }), s.now)
    s:advance(s.now + 2)
    s:leave(k, s.now, true)
  end
  t.eq({ s.ledger.loads, s.ledger.swaps }, { 10, 9 })
end)

test("queue order a b a b costs four loads although a was resident", function(t)
  local s, a, b = machine { max_loaded = 1 }, model "a", model "b"
  local k = {}
  for i = 1, 4 do k[i] = s:arrive(request(i % 2 == 1 and a or b, { n = 1 }), 0) end
  for i = 1, 4 do
    s:advance(s.now + 1)
    s:advance(s:end_due(k[i], s.now))
    s:leave(k[i], k[i].ends, true)
  end
  t.eq({ s.ledger.loads, s.ledger.swaps }, { 4, 3 })
end)
