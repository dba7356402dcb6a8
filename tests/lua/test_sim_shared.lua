-- Streams that share a runner, runners and servers that die, bursts: the simulator's machine as a real server was measured.
-- luacheck: max line length 160

local test = require "stoke.test"
local http = require "stoke.http"
local json = require "stoke.json"
local gojson = require "stoke.ollama.server.gojson"
local scheduler = require "stoke.sim.scheduler"
local habits = require "stoke.sim.habits"
local models = require "stoke.sim.models"
local options = require "stoke.sim.options"
local sim = require "stoke.sim"
local stoke = require "stoke"
local world = require "world"

local function model(name, spec)
  spec = spec or {}
  spec.name, spec.family, spec.load, spec.tps, spec.prefill = name, "llama", spec.load or 1, spec.tps or 10, spec.prefill or 0
  return models.build(spec)
end

local function request(m, o)
  o = o or {}
  return { model = m, opts = options.load_options(assert(options.merge({}, m)), m, 4096, nil, 4), kind = o.kind or "run",
    prepare = function()
      return { prompt = o.prompt or "hello", prompt_tokens = o.tokens or 2, n = o.n or 10, tps = m.tps, prefill = m.prefill,
        text = "", kills = o.kills }
    end }
end

local function machine(o)
  o = o or {}
  o.vram_wait, o.ping = o.vram_wait or 0, o.ping or 0
  o.random = o.random or function() return 0 end
  return scheduler.new(o)
end

local function near(t, got, expected, what) t.ok(math.abs(got - expected) < 1e-6, ("%s: %s"):format(what or "", got)) end

test("two streams: each is slower, both together are faster", function(t)
  local s, m = machine { slots = 4, batch = 0.5 }, model "a"
  s:arrive(request(m, { kind = "load" }), 0)
  s:advance(1)
  local a, b = s:arrive(request(m), 1), s:arrive(request(m), 1)
  s:advance(10)
  near(t, a.ends, 1 + 10 * 0.15, "ten steps of one and a half")
  near(t, b.ends, a.ends)
  t.ok(a.ends - 1 > 1 and a.ends - 1 < 2, "alone it takes one second, one after the other two")
end)

test("the rest of a stream is as fast as ever when the other has ended", function(t)
  local s, m = machine { slots = 4, batch = 0.5 }, model "a"
  s:arrive(request(m, { kind = "load" }), 0)
  s:advance(1)
  local a, b = s:arrive(request(m, { n = 20 }), 1), s:arrive(request(m, { n = 10 }), 1)
  s:advance(2)
  t.eq({ scheduler.generated(a, 2), scheduler.generated(b, 2) }, { 6, 6 })
  s:advance(10)
  near(t, b.ends, 2.5)
  near(t, a.ends, 3.5)
end)

test("a newcomer's prompt holds the others up; they get a token in each of its steps", function(t)
  local s, m = machine { slots = 4, batch = 0 }, model("a", { prefill = 100 })
  s:arrive(request(m, { kind = "load" }), 0)
  s:advance(1)
  local a = s:arrive(request(m, { n = 20, prompt = "", tokens = 0 }), 1)
  s:advance(1.5)
  t.eq(scheduler.generated(a, 1.5), 5)
  local b = s:arrive(request(m, { prompt = "other", tokens = 100 }), 1.5) -- a second of reading, one step of num_batch
  near(t, b.first, 1.5 + 1 + 0.1, "its own step has the other's token in it")
  s:advance(b.first)
  t.eq(scheduler.generated(a, b.first), 6)
  s:advance(20)
  near(t, a.ends, 4, "ended later by what the prompt took, less the token in it")
  near(t, b.prefill, 1.1, "and is told to the newcomer as time of its prompt")
end)

test("below the number of slots a newcomer waits a step or two, not a reply", function(t)
  for like, expected in pairs { ["0.17"] = 0.15, ["0.30"] = 0.05 } do
    local s, m = machine { slots = 4, batch = 0, habits = habits.of(like), random = function() return 0.5 end }, model "a"
    local k = s:arrive(request(m, { kind = "load" }), 0)
    s:advance(2)
    s:leave(k, 2, true)
    s:arrive(request(m, { n = 100 }), 3)
    s:advance(4)
    local b = s:arrive(request(m), 4)
    s:advance(6)
    near(t, b.first - b.slot_at, expected + habits.of(like).overhead, like)
  end
end)

test("one stream, one slot, or answers at once: nothing of this, to the last digit", function(t)
  local s, m = machine { slots = 4, batch = 0.5 }, model "a"
  s:arrive(request(m, { kind = "load" }), 0)
  s:advance(1)
  local a = s:arrive(request(m), 1)
  s:advance(5)
  near(t, a.ends, 2)
  local fast = model("b", { tps = 0 })
  s:arrive(request(fast, { kind = "load" }), 5)
  s:advance(6)
  for _ = 1, 4 do t.eq(s:arrive(request(fast), 6).ends, 6) end
end)

test("a client that leaves frees its share at the next token", function(t)
  local s, m = machine { slots = 2, batch = 1 }, model "a"
  s:arrive(request(m, { kind = "load" }), 0)
  s:advance(1)
  local a, b = s:arrive(request(m), 1), s:arrive(request(m, { n = 1000 }), 1)
  s:advance(1.5)
  s:leave(b, 1.5, false)
  s:advance(30)
  t.eq(s.ledger.tokens, 10 + 3, "the third token is on its way")
  near(t, a.ends, 1 + 3 * 0.2 + 7 * 0.1)
end)

test("the processor's streams cost each other more than a GPU's", function(t)
  t.eq({ scheduler.new({ gpus = 0 }).batch, scheduler.new({}).batch, scheduler.new({ habits = habits.of "0.17" }).batch }, { 0.33, 0.02, 0.33 })
  t.eq({ scheduler.new({ gpus = 0 }).vram_wait, scheduler.new({}).vram_wait }, { 0, 0.25 })
end)

-- Death -------------------------------------------------------------------------------------------------------------------------

local function ask(url, o)
  return http.post(url .. "/api/chat", { json = { model = "m", stream = o and o.stream, messages = { { role = "user", content = "x" } } },
    raise = false, timeout = 1000 })
end

test("a runner that dies in an answer: an error line; what waited gets 500; the next call loads anew", function(t)
  for like, says in pairs { ["0.17"] = "llama runner process no longer running: -1 ", ["0.30"] = "llama-server process no longer running: unknown " } do
    local first = true
    local server <close> = sim.serve { mem = "dying", like = like, models = { "m" }, load_seconds = 1, tokens_per_second = 10,
      script = function()
        local fault = first and "runner-dies-mid" or nil
        first = false
        return { text = "one two three four", fault = fault }
      end }
    http.post(server.url .. "/api/generate", { json = { model = "m" } })
    local tasks = {}
    for i = 1, 3 do
      tasks[i] = stoke.spawn(ask, server.url)
      stoke.sleep(0.05)
    end
    local got = {}
    for i = 1, 3 do got[i] = tasks[i]:await() end
    local lines = {}
    for line in got[1].body:gmatch "[^\n]+" do lines[#lines + 1] = json.decode(line) end
    t.eq({ got[1].status, #lines, lines[3].error }, { 200, 3, "an error was encountered while running the model: unexpected EOF" })
    t.eq({ got[2].status, got[2]:json().error, got[3].status, got[3]:json().error }, { 500, says, 500, says }, like)
    t.eq(ask(server.url, { stream = false }).status, 200)
    t.eq(server.sim.ledger.loads, 2)
  end
end)

test("a runner that dies over the prompt: 500, and the streams beside it break off", function(t)
  local server <close> = sim.serve { mem = "dying", models = { "m" }, slots = 2, load_seconds = 0, tokens_per_second = 10,
    script = { "one two three four five six", { text = "x", fault = "runner-dies", delay = 0.25 } } }
  http.post(server.url .. "/api/generate", { json = { model = "m" } })
  local beside = stoke.spawn(ask, server.url)
  stoke.sleep(0.1)
  local got = ask(server.url)
  t.eq({ got.status, got:json().error:match "^model runner has unexpectedly stopped" }, { 500, "model runner has unexpectedly stopped" })
  local other = beside:await()
  t.match(other.body, '{"error":"an error was encountered while running the model: unexpected EOF"}\n$')
  t.ok(not other.body:find '"done":true')
end)

test("a runner can be killed by hand, and a fault can strike a part of the calls", function(t)
  local server <close> = sim.serve { mem = "dying", models = { "m" }, load_seconds = 0, tokens_per_second = 10, script = { ("w "):rep(50) } }
  http.post(server.url .. "/api/generate", { json = { model = "m" } })
  local task = stoke.spawn(ask, server.url, { stream = false })
  stoke.sleep(1)
  t.eq({ server.sim:kill_runner "m", server.sim:kill_runner "m", server.sim:kill_runner "nobody" }, { true, false, false })
  local got = task:await()
  t.eq({ got.status, got:json().error }, { 500, "an error was encountered while running the model: unexpected EOF" })
  local part <close> = sim.serve { mem = "part", models = { "m" }, load_seconds = 0, tokens_per_second = 0, fault = "runner-dies:0.5", seed = 3 }
  local died = 0
  for _ = 1, 40 do if ask(part.url, { stream = false }).status == 500 then died = died + 1 end end
  t.ok(died > 8 and died < 32, tostring(died))
  t.ok(part.sim.ledger.loads == died or part.sim.ledger.loads == died + 1, "a load after each death")
end)

test("a server that dies cuts every connection, and is back with nothing loaded", function(t)
  local server <close> = sim.serve { mem = "dying", models = { "m", "n" }, max_loaded = 1, load_seconds = 1, tokens_per_second = 10,
    script = { { text = "one two three four", fault = "server-dies" } } }
  http.post(server.url .. "/api/generate", { json = { model = "m" } })
  local tasks = {}
  for i = 1, 2 do
    tasks[i] = stoke.spawn(function() return stoke.try(ask, server.url) end)
    stoke.sleep(0.05)
  end
  tasks[3] = stoke.spawn(function() return stoke.try(http.post, server.url .. "/api/generate", { json = { model = "n" } }) end)
  for i = 1, 3 do
    local _, err = tasks[i]:await()
    t.eq(err and err.kind, "incomplete", "call " .. i)
  end
  t.eq(http.get(server.url .. "/api/ps"):json().models, json.array and json.array {} or {})
  t.eq(ask(server.url, { stream = false }).status, 200)
end)

-- Bursts ------------------------------------------------------------------------------------------------------------------------

local function burst(seed, loaded, o)
  local w = world.new()
  local s = sim.new { seams = w.seams, like = "0.17", slots = 4, max_loaded = 1, seed = seed, script = function() return ("w "):rep(60) end,
    models = { "a,family=llama,tps=1000", "b,family=llama,tps=1000" }, max_queue = o and o.max_queue }
  w:request(s, "POST", "/api/generate", ('{"model":"%s"}'):format(loaded))
  w:run(1)
  local list = {}
  for i = 1, 40 do
    w:run(1 + i * 0.002)
    list[i] = w:request(s, "POST", "/api/generate", ('{"model":"%s","prompt":"x","stream":false}'):format(i % 2 == 1 and "a" or "b"))
  end
  w:run(100)
  return s.ledger.loads - 1, list
end

test("a burst on two models with room for one is a lottery: one load, or two dozen and more, never 40", function(t)
  local few, many = 0, 0
  for seed = 1, 12 do
    local n = burst(seed, seed % 2 == 0 and "a" or "b")
    if n == 1 then few = few + 1 else many = many + 1 end
    t.ok(n == 1 or n >= 18 and n < 38, tostring(n))
  end
  t.ok(few > 0 and many > 0)
  t.eq((burst(5, "b")), (burst(5, "b")), "the same with the same seed")
end)

test("in a burst only calls that need a load are refused for a full queue", function(t)
  local _, list = burst(2, "a", { max_queue = 3 })
  local refused = 0
  for i, c in ipairs(list) do
    if c.status == 503 then
      refused = refused + 1
      t.eq(i % 2, 0, "those for the loaded model are never refused")
      t.eq(gojson.decode(c.body).error, scheduler.BUSY)
    end
  end
  t.eq(refused, 20 - 4, "one is being loaded for, three wait")
end)

test("calls that come while the weights are read wait for them, outside the queue, and go on together", function(t)
  local s, m = machine { habits = habits.of "0.17", slots = 4, max_queue = 1 }, model("a", { load = 2 })
  s:arrive(request(m), 0)
  s:advance(1.5)
  local list = {}
  for i = 1, 5 do list[i] = s:arrive(request(m), 1.5) end
  s:advance(1.9)
  t.eq({ list[1].state, list[5].state, s:queued() }, { "blocked", "blocked", 0 })
  s:advance(2.1)
  t.eq({ list[1].state, list[3].state, list[5].state }, { "running", "running", "waiting" })
  t.eq(list[1].granted, list[5].granted)
end)
