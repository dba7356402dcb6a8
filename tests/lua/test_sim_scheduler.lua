-- The simulator's scheduler, alone: no tasks, no host, time as a number.

local test = require "stoke.test"
local models = require "stoke.sim.models"
local options = require "stoke.sim.options"
local scheduler = require "stoke.sim.scheduler"

local function model(name, spec)
  spec = spec or {}
  spec.name, spec.load, spec.tps, spec.prefill = name, spec.load or 1, spec.tps or 10, spec.prefill or 0
  return models.build(spec)
end

local function sha(digit) return digit:rep(64) end

-- A request: n tokens (10 a second), or a load.
local function request(m, o)
  o = o or {}
  local merged = assert(options.merge(o.options or {}, m))
  return {
    model = m, opts = options.load_options(merged, m, 4096, o.shift, o.slots or 1), keep = scheduler.keep(o.keep),
    kind = o.kind or "run",
    prepare = function()
      return { prompt = o.prompt or "hello", prompt_tokens = math.ceil(#(o.prompt or "hello") / 4), n = o.n or 10,
        tps = m.tps, prefill = m.prefill, text = o.text or "", endless = o.endless }
    end,
  }
end

local function machine(o)
  o = o or {}
  o.vram_wait, o.ping = o.vram_wait or 0, o.ping or 0
  o.batch, o.random = o.batch or 0, o.random or function() return 0 end -- streams that do not feel each other
  return scheduler.new(o)
end

-- Answers a ticket to its end and lets go.
local function finish(s, t)
  s:advance(s:end_due(t, s.now))
  s:leave(t, t.ends, true)
  return t.ends
end

test("a cold request loads, then generates", function(t)
  local s, m = machine(), model "a"
  local k = s:arrive(request(m), 0)
  t.eq(k.state, "loading")
  t.eq(s:due(), 1)
  s:advance(1)
  t.eq(k.state, "running")
  t.eq(k.load_seconds, 1)
  t.eq(scheduler.generated(k, 1.55), 5)
  t.eq(k.ends, 2)
  s:advance(2)
  t.eq(k.state, "done")
  t.eq({ s.ledger.loads, s.ledger.swaps, s.ledger.tokens }, { 1, 0, 10 })
end)

test("a warm request never enters the load queue", function(t)
  local s, a = machine { max_queue = 1 }, model "a"
  s:arrive(request(a), 0)
  s:advance(1)
  s:arrive(request(model "b"), 1)          -- the loader is busy with b until 2
  s:arrive(request(model "c"), 1)          -- fills the queue
  t.eq(s:arrive(request(a), 1).state, "waiting")
  t.eq(s:queued(), 1)
  t.eq(s:arrive(request(model "d"), 1).error, { 503, scheduler.BUSY })
end)

test("503 comes only from the load queue: 10,000 may wait for a loaded model", function(t)
  local s, m = machine { max_queue = 2 }, model "a"
  s:arrive(request(m), 0)
  s:advance(1)
  for _ = 1, 10000 do t.ok(s:arrive(request(m), 1).state == "waiting") end
  t.eq(s.ledger.busy_503, 0)
  local k
  for i = 1, 4 do k = s:arrive(request(model("x" .. i)), 1) end -- one loading, two queued, one too many
  t.eq(k.error, { 503, "server busy, please try again.  maximum pending requests exceeded" })
  t.eq(s.ledger.busy_503, 1)
end)

test("the victim is the shortest keep_alive, then the smallest hash", function(t)
  local function victim(list)
    local s = machine { max_loaded = #list }
    for i, e in ipairs(list) do
      local k = s:arrive(request(model("m" .. i, { sha = sha(e[1]) }), { kind = "load", keep = e[2] }), s.now)
      s:advance(s.now + 1)
      s:leave(k, s.now, true)
    end
    s:arrive(request(model("new", { sha = sha "5" })), s.now)
    s:advance(s.now + 1)
    local left = {}
    for _, r in ipairs(s:resident()) do left[r.runner.model.name:sub(1, 2)] = true end
    for i in ipairs(list) do if not left["m" .. i] then return i end end
  end
  t.eq(victim { { "9" }, { "1" }, { "4" } }, 2, "equal keep: smallest hash")
  t.eq(victim { { "9", 60 }, { "1" }, { "4" } }, 1, "shortest keep")
  t.eq(victim { { "1", -1 }, { "9" }, { "4" } }, 3, "for ever is last")
  t.eq(victim { { "1", -1 }, { "9", -1 } }, 1, "but is no pin")
end)

test("an idle runner goes before a busy one with a shorter keep", function(t)
  local s = machine { max_loaded = 2 }
  local a = s:arrive(request(model("a", { sha = sha "1" }), { keep = 10, n = 1000 }), 0)
  local b = s:arrive(request(model("b", { sha = sha "2" }), { keep = 100, n = 1 }), 0)
  s:advance(5)
  s:leave(b, 5, true)
  s:arrive(request(model "c"), 5)
  s:advance(6)
  t.eq(a.runner.refs, 1)
  t.eq(s.loaded[a.key], a.runner)
  t.eq(s.loaded[b.key], nil)
end)

test("a victim's requests are never cut: the loader waits for them", function(t)
  local s = machine { max_loaded = 1 }
  local a = s:arrive(request(model "a"), 0)
  s:advance(1)
  local b = s:arrive(request(model "b"), 1)
  s:advance(1.9)
  t.eq({ a.state, b.state, a.runner.refs }, { "running", "evicting", 1 })
  s:advance(2)
  t.eq({ a.state, b.state }, { "done", "evicting" }, "the reference lasts as long as the HTTP request")
  s:leave(a, 2.5, true)
  t.eq(b.state, "loading")
  s:advance(3.5)
  t.eq(b.state, "running")
  t.eq(s.ledger.swaps, 1)
end)

test("one load at a time, in order, with head-of-line blocking", function(t)
  local s = machine()
  local a, b, c = model("a", { load = 2 }), model("b", { load = 3 }), model("c", { load = 1 })
  local x, y, z = s:arrive(request(a), 0), s:arrive(request(b), 0), s:arrive(request(c), 0)
  local again = s:arrive(request(a), 0.5) -- its model is being loaded: it queues all the same
  t.eq({ x.state, y.state, z.state, again.state }, { "loading", "pending", "pending", "pending" })
  s:advance(2)
  t.eq({ x.state, y.state, z.state, again.state }, { "running", "loading", "pending", "pending" })
  s:advance(6)
  t.eq({ x.granted, y.granted, z.granted, again.granted }, { 2, 5, 6, 6 })
end)

test("load_duration of a queued request covers its wait", function(t)
  local s = machine { ping = 0.001 }
  s:arrive(request(model "a"), 0)
  local b = s:arrive(request(model "b"), 0.25)
  s:advance(2)
  t.eq(b.load_seconds, 1.751)
end)

test("a different num_ctx reloads, smaller ones too; an equal one does not", function(t)
  local function loads(...)
    local s, m, now = machine(), model "a", 0
    for _, o in ipairs { ... } do
      local k = s:arrive(request(m, o), now)
      s:advance(now + 1)
      now = finish(s, k)
    end
    return s.ledger.loads
  end
  local function ctx(n) return { options = { { "num_ctx", n } } } end
  t.eq(loads({}, {}), 1)
  t.eq(loads(ctx(2048), ctx(2048)), 1)
  t.eq(loads(ctx(4096), ctx(2048)), 2)
  t.eq(loads({}, ctx(4096)), 1, "explicit but equal to the automatic one")
  t.eq(loads({}, ctx(8192)), 2)
  t.eq(loads(ctx(1), ctx(4)), 1, "below 4 is 4")
  t.eq(loads(ctx(32768), ctx(999999)), 1, "clamped to the training length")
  t.eq(loads({ shift = true }, {}), 1)
  t.eq(loads({}, { shift = false }), 2)
  t.eq(loads({}, { options = { { "num_gpu", -1 } } }), 1)
  t.eq(loads({}, { options = { { "num_gpu", 0 } } }), 2)
  t.eq(loads({}, { options = { { "num_thread", 2 } } }), 2)
  t.eq(loads({}, { options = { { "num_batch", 64 } } }), 2)
  t.eq(loads({}, { options = { { "main_gpu", 1 } } }), 2)
  t.eq(loads({}, { options = { { "use_mmap", false } } }), 2)
  t.eq(loads({}, { options = { { "temperature", 0 }, { "seed", 1 } }, keep = 5 }), 1)
end)

test("keep_alive: expiry after the last request, last writer wins, absent keeps the stored one", function(t)
  local s, m = machine { keep_alive = 300 }, model "a"
  local k = s:arrive(request(m, { n = 0, keep = 10 }), 0)
  s:advance(1)
  s:leave(k, 1, true)
  t.eq(s:due(), 11)
  k = s:arrive(request(m, { n = 0 }), 5)
  s:leave(k, 5, true)
  t.eq(s:due(), 15, "re-armed with the stored value")
  k = s:arrive(request(m, { n = 0, keep = 60 }), 6)
  s:leave(k, 6, true)
  t.eq(s:due(), 66)
  s:advance(66)
  t.eq(s.n_loaded, 0)
  k = s:arrive(request(m, { n = 0, keep = -1 }), 100)
  s:advance(101)
  s:leave(k, 101, true)
  t.eq(s:due(), nil)
  t.eq(s:resident()[1].expires_at, math.huge)
end)

test("keep_alive 0 on the last request frees the model without the loader", function(t)
  local s = machine()
  local k = s:arrive(request(model "a", { n = 0, keep = 0 }), 0)
  s:advance(1)
  t.eq(s.n_loaded, 1)
  s:leave(k, 1, true)
  t.eq(s.n_loaded, 0)
  t.eq(s.loader.state, "idle")
end)

test("an unload request: at once when idle, with the last request when busy", function(t)
  local s, m = machine(), model "a"
  s:unload(m, 0) -- not loaded: nothing
  local k = s:arrive(request(m), 0)
  s:advance(1)
  s:unload(m, 1.5)
  t.eq({ k.state, s.n_loaded }, { "running", 1 })
  finish(s, k)
  t.eq(s.n_loaded, 0)
  k = s:arrive(request(m, { kind = "load" }), 10)
  s:advance(11)
  s:leave(k, 11, true)
  s:unload(m, 12)
  t.eq(s.n_loaded, 0)
end)

test("after an unload the reaper is blind until memory is back: finished requests are seen late", function(t)
  local s = machine { vram_wait = 5, max_loaded = 3 }
  local a = s:arrive(request(model "a", { n = 1, keep = 0 }), 0)
  local b = s:arrive(request(model "b", { n = 1, keep = 2 }), 0)
  s:advance(2.5)
  s:leave(a, 3, true)    -- a goes; the reaper waits until 8
  s:leave(b, 3, true)
  t.eq({ s.n_loaded, b.runner.refs }, { 1, 1 })
  s:advance(7.9)
  t.eq(b.runner.refs, 1)
  s:advance(8)
  t.eq(b.runner.refs, 0)
  t.eq(b.runner.expires_at, 10)
end)

test("slots: N at once, the rest in order; serial families and embedders have one", function(t)
  local s, m = machine { slots = 2 }, model "a"
  local k = {}
  for i = 1, 4 do k[i] = s:arrive(request(m, { n = 10 * i }), 0) end
  s:advance(1)
  t.eq({ k[1].state, k[2].state, k[3].state, k[4].state }, { "running", "running", "waiting", "waiting" })
  s:advance(2)
  t.eq({ k[1].state, k[3].state, k[3].slot_at }, { "done", "running", 2 })
  s:advance(3)
  t.eq(k[4].slot_at, 3)
  t.eq(s:slots_of(model("x", { family = "qwen3next" })), 1)
  t.eq(s:slots_of(model "nomic-embed-text"), 1)
  t.eq(s:slots_of(m), 2)
end)

test("leaving: a queued request stays in the queue as a dead entry", function(t)
  local s = machine { max_queue = 2 }
  s:arrive(request(model "a"), 0)
  local b = s:arrive(request(model "b"), 0)
  s:leave(b, 0.1)
  t.eq({ s:queued(), s.ledger.disconnects }, { 1, 1 })
  s:arrive(request(model "c"), 0.2)
  t.eq(s:arrive(request(model "d"), 0.3).state, "failed", "the dead entry takes a place")
  s:advance(10)
  t.eq(s.ledger.loads, 2, "b was dropped when its turn came")
end)

test("leaving: a load is thrown away with the request it is for", function(t)
  local s, m = machine(), model "a"
  local a = s:arrive(request(m), 0)
  local b = s:arrive(request(model "b"), 0)
  s:leave(a, 0.9)
  t.eq({ s.n_loaded, b.state, a.error }, { 0, "loading", { 499, "request canceled" } })
  s:advance(1.9)
  t.eq(b.state, "running")
  t.eq(s:arrive(request(m), 2).state, "loading", "starts over")
  t.eq(s.ledger.aborted_loads, 1)
end)

test("leaving while others are evicted on one's behalf: the eviction goes on, the load does not", function(t)
  local s = machine { max_loaded = 1 }
  local a = s:arrive(request(model "a"), 0)
  s:advance(1)
  local b = s:arrive(request(model "b"), 1)
  s:leave(b, 1.2)
  finish(s, a)
  t.eq({ s.n_loaded, s.ledger.loads, s.loader.state }, { 0, 1, "idle" })
end)

test("leaving: a waiter goes at once, a generation within one token, a prompt within a second", function(t)
  local s, m = machine(), model("a", { prefill = 1 })
  local k = s:arrive(request(m, { prompt = ("x"):rep(40) }), 0)
  s:advance(1)                             -- its prompt takes 10 s
  local w = s:arrive(request(m), 1)
  local v = s:arrive(request(m, { prompt = "hi", n = 50 }), 1)
  s:leave(w, 1.1)
  t.eq(w.state, "gone")
  s:leave(k, 2.3)
  t.eq(k.state, "gone")
  s:advance(2.99)
  t.eq(v.state, "waiting")
  s:advance(3)
  t.eq({ v.state, v.slot_at }, { "running", 3 })
  s:leave(v, v.first + 0.25)
  s:advance(v.first + 0.31)
  t.eq({ v.runner.cache.free, s.ledger.tokens, s.ledger.disconnects }, { 1, 3, 3 })
end)

test("the prefix cache shortens prompt evaluation, not the count", function(t)
  local s, m = machine(), model("a", { prefill = 10 })
  local long = ("abcd"):rep(50)
  local a = s:arrive(request(m, { prompt = long, text = "1234" }), 0)
  s:advance(1)
  t.eq({ a.cached, a.prefill }, { 0, 5 })
  local b = s:arrive(request(m, { prompt = long .. "1234" .. ("zz"):rep(10) }), finish(s, a))
  t.eq({ b.cached, b.job.prompt_tokens, b.prefill }, { 51, 56, 0.5 })
  local c = s:arrive(request(m, { prompt = long }), finish(s, b))
  t.eq(c.cached, 49, "at least one token is evaluated")
end)

test("the slot with the larger common part is taken; what it loses is kept in RAM", function(t)
  local s, m = machine { slots = 2 }, model("a", { prefill = 0 })
  local p, q = ("p"):rep(400), ("q"):rep(400)
  local a, b = s:arrive(request(m, { prompt = p }), 0), s:arrive(request(m, { prompt = q }), 0)
  s:advance(1)
  finish(s, a)
  finish(s, b)
  local c = s:arrive(request(m, { prompt = p .. "more" }), 10)
  t.eq({ c.slot == a.slot, c.cached }, { true, 100 })
  local d = s:arrive(request(m, { prompt = ("r"):rep(400) }), 10) -- takes q's slot
  t.eq(d.slot, b.slot)
  finish(s, c)
  finish(s, d)
  local e = s:arrive(request(m, { prompt = q .. "x" }), 20)
  t.eq(e.cached, 100, "restored from RAM")
end)

test("aliases of the same weights share a runner; tags with their own do not", function(t)
  local s = machine()
  local one, two = model("one", { weights = "w" }), model("two", { weights = "w" })
  s:arrive(request(one), 0)
  s:advance(1)
  t.eq(s:arrive(request(two), 1).state, "waiting")
  t.eq(s.ledger.loads, 1)
end)

test("memory: a load that does not fit beside the others evicts, alone it always loads", function(t)
  local GiB = 1 << 30
  local s = machine { vram = 8 * GiB }
  local function sized(name, size) return model(name, { size = size, kv = 0, sha = sha(name) }) end
  local k = s:arrive(request(sized("1", 3 * GiB), { kind = "load" }), 0)
  s:advance(1)
  s:leave(k, 1, true)
  k = s:arrive(request(sized("2", 3 * GiB), { kind = "load" }), 1)
  s:advance(2)
  s:leave(k, 2, true)
  t.eq(s.n_loaded, 2)
  k = s:arrive(request(sized("3", 3 * GiB), { kind = "load" }), 2)
  s:advance(3)
  s:leave(k, 3, true)
  t.eq({ s.n_loaded, s.loaded[sha "1"], s.ledger.swaps }, { 2, nil, 1 })
  k = s:arrive(request(sized("4", 20 * GiB), { kind = "load" }), 3)
  s:advance(4)
  t.eq({ s.n_loaded, k.runner.vram }, { 1, 8 * GiB })
  local cpu = machine { gpus = 0, vram = 1 }
  for i = 1, 3 do cpu:arrive(request(sized("c" .. i, 30 * GiB), { kind = "load" }), 0) end
  cpu:advance(3)
  t.eq(cpu.n_loaded, 3, "a CPU-only server does not look")
end)

test("a failing load is an error of that request only", function(t)
  local s = machine()
  local a = s:arrive(request(model("a", { load_error = "llama-server process has terminated: exit status 2" })), 0)
  local b = s:arrive(request(model "b"), 0)
  s:advance(2)
  t.eq(a.error, { 500, "llama-server process has terminated: exit status 2" })
  t.eq(b.state, "running")
end)

test("slot_seconds counts slots still taken; per-model detail", function(t)
  local s, m = machine(), model "a"
  s:arrive(request(m), 0)
  s:advance(1.5)
  local r = s.ledger:report(1.5)
  t.eq(r[8], { "slot_seconds", 0.5 })
  t.eq(r[12][2][1][1], "a:latest")
end)
