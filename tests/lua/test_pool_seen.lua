-- What is seen of the pool: stoke.pool(), its lines on a screen, spans. What is said has to be true at that moment: of servers
-- whose truth is known, in virtual time.

local test = require "stoke.test"
local fake = require "fake"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local retry = require "core.gate.retry"
local routed = require "routed"
local seen = require "stoke.inspect.pool"
local sim = require "stoke.sim"
local span = require "core.gate.span"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

--- Nothing is known yet; so many slots of each model; until it is closed.
local function fresh(width)
  pool.forget()
  retry.forget()
  pool.set_default(width)
  return setmetatable({}, { __close = function() pool.set_default(nil) end })
end

--- A server that takes so many seconds for a call, and says so. `asked` is when each began, by what it asks.
local function peer(seconds)
  local asked = {}
  return fake(function(req, res)
    local body = req:json()
    if body.messages then asked[body.messages[1].content] = time.monotonic() end
    stoke.sleep(seconds)
    res:reply(200, nil, json.encode { model = body.model, message = { role = "assistant", content = "Hello" }, done = true,
      total_duration = seconds * 1e9 // 1, load_duration = 1000000, prompt_eval_count = 5,
      prompt_eval_duration = seconds * 2e8 // 1, eval_count = 5, eval_duration = seconds * 8e8 // 1 })
  end), asked
end

local function ask(server, text, options)
  local call = { model = "m", messages = { { role = "user", content = text } }, endpoint = server.url }
  for name, value in pairs(options or {}) do call[name] = value end
  return ollama.chat(call)
end

--- What is told of a server: those of earlier tests are still there, idle.
local function told_of(server, options)
  local state = stoke.pool(options)
  for i = #state.servers, 1, -1 do
    if not state.servers[i].url:find(server.url, 1, true) then table.remove(state.servers, i) end
  end
  return state
end

local function lane_of(server, model, options)
  local told = told_of(server, options).servers[1]
  for _, lane in ipairs(told and told.lanes or {}) do
    if lane.model == (model or "m") then return lane, told end
  end
end

local function reasons(server, model)
  local out = {}
  for i, call in ipairs(lane_of(server, model).queue) do out[i] = call.reason end
  return out
end

-- ---- plain data ---------------------------------------------------------------------------------------------------------------

test("how many slots there are is told as learned from the first answer on", function(t)
  local guard <close> = fresh()
  local server <close> = peer(1)
  local scope <close> = stoke.scope {}
  for i = 1, 6 do scope:spawn(ask, server, tostring(i)) end
  stoke.sleep(0.001)
  local lane = lane_of(server)
  t.eq({ lane.waiting > 0, lane.slots, lane.believed }, { true, 1, nil })
  scope:wait()
  t.ok(lane_of(server).believed >= 1)
end)

test("where nobody waits, lanes are idle, lists are lists, and asking changes nothing", function(t)
  local guard <close> = fresh()
  local server <close> = peer(1)
  ask(server, "one")
  local before = pool.pools[next(pool.pools)]
  local lane, of = lane_of(server)
  t.eq({ lane.busy, lane.waiting, lane.slots, lane.believed, of.state, of.swaps }, { 0, 0, 1, nil, "ok", 0 })
  t.contains(json.encode(lane), '"calls":[],"key":')
  t.contains(json.encode(lane), '"queue":[]')
  t.eq(pool.pools[next(pool.pools)], before)
  t.eq(before.server.engaged, false)
  t.match(t.raises("argument", stoke.pool, { waiting = -1 }).message, "waiting must be a whole number")
  t.match(tostring(t.raises("argument", stoke.pool, { waitin = 1 })), "did you mean")
end)

test("a call that nobody waits for is found by its task: for how long it has been out, at how many tokens a second", function(t)
  local guard <close> = fresh()
  local server <close> = sim.serve { mem = "plain", models = { "m" }, load_seconds = 0, tokens_per_second = 20,
    script = function() return ("word "):rep(200) end }
  local scope <close> = stoke.scope {}
  scope:spawn(function() ask(server, "Hi", { class = "interactive" }) end)
  stoke.sleep(3)
  local call = lane_of(server).calls[1]
  t.eq({ call.class, call.program, call.tokens }, { "interactive" })
  t.near(call.since, 3, 0.1)
  t.match(call.task, "test_pool_seen%.lua:%d+$")
  scope:wait()
  scope:spawn(function()
    local stream = ollama.stream { model = "m", messages = HI, endpoint = server.url }
    for _ in stream do end
  end)
  stoke.sleep(4)
  local lane = lane_of(server)
  t.eq({ lane.busy, #lane.calls }, { 1, 1 })
  t.near(lane.calls[1].tokens, 80, 8)
end)

test("streams that had to wait tell their tokens a second since the answer began", function(t)
  local guard <close> = fresh(1)
  local server <close> = sim.serve { mem = "streams", models = { "m" }, load_seconds = 0, tokens_per_second = 20, prefill = 20,
    script = function() return ("word "):rep(100) end }
  local scope <close> = stoke.scope {}
  for _ = 1, 2 do
    scope:spawn(function()
      local stream = ollama.stream { model = "m", messages = HI, endpoint = server.url }
      for _ in stream do end
    end)
  end
  stoke.sleep(10)
  local call = lane_of(server).calls[1]
  t.ok(call.program and call.waited > 4 and call.tokens > 10, call)
  t.near(call.rate, 20, 2)
end)

-- ---- why, in words ------------------------------------------------------------------------------------------------------------

test("those in a queue are told who goes before them, and how long it takes: as long as it then does", function(t)
  local guard <close> = fresh(1)
  local server <close>, asked = peer(2)
  local scope <close> = stoke.scope {}
  for i = 1, 8 do scope:spawn(ask, server, tostring(i)) end
  stoke.sleep(3)
  local now, told = time.monotonic(), reasons(server)
  t.eq({ #told, told[1], told[2], told[3], told[6] }, { 6, "next; the one slot is busy; about 1.0 s to wait",
    "1 program before this one; about 3.0 s to wait", "2 programs before this one; about 5.0 s to wait",
    "5 programs before this one; about 11 s to wait" })
  scope:wait()
  for i, reason in ipairs(told) do
    local said = tonumber(reason:match "about ([%d.]+) s")
    t.near(asked[tostring(i + 2)] - now, said, 0.5)
  end
end)

test("calls of a higher class are told apart from programs, and those of the own program from others", function(t)
  local guard <close> = fresh(1)
  local server <close> = peer(2)
  local scope <close> = stoke.scope {}
  for i = 1, 3 do scope:spawn(ask, server, "normal" .. i) end
  scope:spawn(ask, server, "batch", { class = "batch" })
  for i = 1, 2 do scope:spawn(ask, server, "person" .. i, { class = "interactive" }) end
  scope:spawn(function()
    local inner <close> = stoke.scope {}
    inner:map({ "a", "b" }, function(text) ask(server, text) end)
  end)
  stoke.sleep(0.1)
  local told, by = lane_of(server).queue, {}
  for i, call in ipairs(told) do by[i] = ("%s: %s"):format(call.class, call.reason) end
  t.eq(by, { "interactive: next; the one slot is busy", "interactive: 1 program before this one",
    "normal: 2 interactive calls before this one", "normal: 2 interactive calls and 1 program before this one",
    "normal: 2 interactive calls and 2 programs before this one", "normal: 2 interactive calls and 2 programs before this one",
    "batch: 6 calls of a higher class before this one" })
  t.eq(lane_of(server).classes, { interactive = 2, normal = 4, batch = 1 })
  scope:wait()
end)

test("first come, first served: so many calls before this one", function(t)
  local guard <close> = fresh()
  pool.configure { order = "fifo", per_model = 1 }
  local server <close> = peer(2)
  local scope <close> = stoke.scope {}
  for i = 1, 4 do scope:spawn(ask, server, tostring(i), { class = i == 4 and "interactive" or nil }) end
  stoke.sleep(0.1)
  t.eq(reasons(server), { "next; the one slot is busy", "1 call before this one", "2 calls before this one" })
  t.eq(stoke.pool().order, "fifo")
  scope:wait()
  pool.configure {}
end)

test("only the first of a long queue are told one by one", function(t)
  local guard <close> = fresh(1)
  local server <close> = peer(0.01)
  local scope <close> = stoke.scope {}
  for i = 1, 2000 do scope:spawn(ask, server, tostring(i)) end
  stoke.sleep(0.005)
  local lane = lane_of(server)
  t.eq({ lane.waiting, #lane.queue, #lane_of(server, "m", { waiting = 3 }).queue, #lane_of(server, "m", { waiting = 0 }).queue },
    { 1999, 10, 3, 0 })
  scope:wait()
end)

--- Two models with room for one, known from two calls before: calls of a that go on for ever, and one of b after a while.
local function two_models(name)
  local server = sim.serve { mem = name, models = { "a", "b" }, load_seconds = 3, max_loaded = 1, tokens_per_second = 20,
    script = function() return ("word "):rep(20) end }
  return server
end

test("a model that is not in memory: what is said of the swap comes true", function(t)
  local guard <close> = fresh(1)
  local server <close> = two_models "swap"
  local function call(model) ask(server, "Hi", { model = model }) end
  do
    local scope <close> = stoke.scope {}
    for i = 1, 6 do scope:spawn(call, i % 2 == 0 and "a" or "b") end
    scope:wait()
  end
  call "a"
  local scope <close> = stoke.scope {}
  local stop = false
  for _ = 1, 3 do
    scope:spawn(function() while not stop do call "a" end end)
  end
  stoke.sleep(10.57)
  local done
  scope:spawn(function()
    call "b"
    done = time.monotonic()
  end)
  local claims, last = {}, nil
  while not done do
    local now = time.monotonic()
    local lane = lane_of(server, "b")
    local reason = lane.queue[1] and lane.queue[1].reason
    if reason then
      last = now
      local most, swap = reason:match "a has work, for ([%d.]+) s more at most", reason:match "loading begins in ([%d.]+) s"
      t.ok(reason:find "^its model is not loaded; ", reason)
      if most then claims[#claims + 1] = { what = "most", at = now + tonumber(most) } end
      if swap then claims[#claims + 1] = { what = "swap", at = now + tonumber(swap), from = now } end
    end
    stoke.sleep(0.1)
  end
  stop = true
  scope:wait()
  t.ok(#claims > 5, #claims)
  local kinds = {}
  for _, claim in ipairs(claims) do
    kinds[claim.what] = true
    if claim.what == "swap" then t.near(last, claim.at, 0.4) else t.ok(last <= claim.at + 1.3, last - claim.at) end
  end
  t.eq(kinds, { most = true, swap = true })
  t.near(done - last, 4, 0.5) -- the load, and the answer
  t.eq(select(2, lane_of(server, "b")).swaps > 0, true)
end)

test("while a model is loaded, its own calls and those of others say so", function(t)
  local guard <close> = fresh(1)
  local server <close> = two_models "loads"
  local scope <close> = stoke.scope {}
  for i = 1, 6 do scope:spawn(ask, server, "Hi", { model = i % 2 == 1 and "a" or "b" }) end
  stoke.sleep(2)
  t.match(reasons(server, "a")[1], "^its model was asked for 2%.0 s ago and has not answered yet; next; the one slot is busy$")
  t.match(reasons(server, "b")[1], "^its model is not loaded; a was asked for 2%.0 s ago and has not answered yet")
  t.eq(select(2, lane_of(server, "a")).state, "loading")
  stoke.sleep(4.2)
  while not lane_of(server, "b").loading do stoke.sleep(0.1) end -- now the load is known
  local loading = lane_of(server, "b")
  t.near(loading.load_seconds or 3, 3, 0.2)
  scope:wait()
end)

test("where older programs go on asking, the wait that is told is the least", function(t)
  local guard <close> = fresh(1)
  local server <close> = peer(1)
  local scope <close> = stoke.scope {}
  local stop
  for _ = 1, 2 do
    scope:spawn(function() while not stop do ask(server, "old") end end)
  end
  stoke.sleep(3.5)
  scope:spawn(ask, server, "new")
  stoke.sleep(0.1)
  t.match(reasons(server)[2], "^1 program before this one; about 1%.%d s to wait$") -- nobody knows that it goes on
  stoke.sleep(4)
  t.match(reasons(server)[2], "^1 program before this one; at least 1%.%d s to wait, as more come that go before it$")
  stop = true
  scope:wait()
end)

test("a slot that is kept for a conversation whose tool is at work is told with its agent and tool", function(t)
  local guard <close> = fresh(1)
  local server <close> = sim.serve { mem = "kept", like = "0.17", models = { "m" }, load_seconds = 0, tokens_per_second = 50,
    prefill = 300, script = function(req)
      if req.messages[#req.messages].role == "tool" or not req.tools then return ("word "):rep(20) end
      return { tool_calls = { { name = "look", arguments = {} } } }
    end }
  local look = stoke.tool { name = "look", description = "look", params = {}, run = function() stoke.sleep(1) return "seen" end }
  local writer = stoke.agent { name = "writer", model = "m", endpoint = server.url, tools = { look },
    instructions = ("A long text. "):rep(300) }
  local scope <close> = stoke.scope {}
  local held
  scope:spawn(function() for _ = 1, 8 do writer:run(("Look. "):rep(100)) end end)
  scope:spawn(function() for i = 1, 12 do ask(server, ("Other. "):rep(50) .. i) end end)
  for _ = 1, 600 do
    local lane = lane_of(server)
    if lane and lane.held and lane.queue[1] and lane.busy == 0 then held = held or { lane.held[1], lane.queue[1].reason, lane } end
    stoke.sleep(0.1)
  end
  t.ok(held, "nothing was held")
  t.eq({ held[1].agent, held[1].tool }, { "writer", "look" })
  t.match(held[2], "^held for the conversation of writer, whose tool look is at work: .* more at most$")
  scope:wait()
end)

test("a server that wants to be left alone, and one that fails, are told with the time that is left", function(t)
  local guard <close> = fresh(1)
  local began, mode = time.monotonic(), "429"
  local server <close> = fake(function(_, res)
    if mode == "429" then return res:reply(429, { ["Retry-After"] = "20" }, [[{"error":"too many"}]]) end
    if mode == "500" then return res:reply(500, nil, [[{"error":"model runner has unexpectedly stopped"}]]) end
    res:reply(200, nil, [[{"model":"m","message":{"role":"assistant","content":"Hello"},"done":true}]])
  end)
  local scope <close> = stoke.scope {}
  for i = 1, 6 do scope:spawn(pcall, ask, server, tostring(i)) end
  stoke.sleep(5)
  mode = "200"
  local lane, of = lane_of(server)
  t.eq(of.state, "paced")
  local name = of.name:gsub("%p", "%%%0")
  t.match(lane.queue[1].reason, "^" .. name .. " wants to be left alone for 15 s more")
  t.match(lane.queue[2].reason, " more; 1 program before this one$")
  t.match(of.reason, "^" .. name .. " wants to be left alone for 15 s more$")
  scope:wait()
  t.ok(time.monotonic() - began >= 20)
  mode = "500"
  for i = 1, 12 do scope:spawn(pcall, ask, server, tostring(i)) end
  stoke.sleep(4)
  lane, of = lane_of(server)
  t.match(lane.queue[1].reason, "^m failed too often at " .. name .. " %(%l+%); ")
  t.eq({ of.state, lane.breaker ~= nil }, { "paced", true })
  mode = "200"
  scope:wait()
end)

test("a call that is moved to another server, and one that is refused, are counted", function(t)
  local guard <close> = fresh()
  local one = { models = { "m" }, tokens_per_second = 10, script = function() return ("word "):rep(30) end }
  local world <close> = routed({ one = one, two = one }, [[models = { any = { "m@one", "m@two" } }]])
  local before = stoke.pool()
  world.one.sim.fault = "500"
  ollama.chat { model = "any", messages = HI }
  t.eq(stoke.pool().moved - before.moved, 1)
  world.one.sim.fault = nil
  local scope <close> = stoke.scope {}
  for _ = 1, 30 do scope:spawn(ollama.chat, { model = "any", messages = HI }) end
  stoke.sleep(6)
  t.raises("overloaded", ollama.chat, { model = "any", messages = HI, class = "interactive", deadline = 0.5 })
  t.eq(stoke.pool().shed - before.shed, 1)
  scope:wait()
end)

-- ---- on a screen --------------------------------------------------------------------------------------------------------------

--- A pool as stoke.pool() tells it, with something of everything.
local function busy()
  return {
    servers = {
      { name = "gpu", url = "http://10.0.0.7:11434", state = "ok", swaps = 2, swap_seconds = 8.24,
        swap = { kind = "drain", to = "qwen3:8b", victims = { "qwen2.5:3b" }, reason = "waited", seconds = 4.12 },
        lanes = {
          { model = "qwen2.5:3b", key = "k1", slots = 3, believed = 3, busy = 2, waiting = 31, longest = 12.4, resident = true,
            leaving = true, speed = 41.7, load_seconds = 2.9,
            calls = { { program = 3, agent = "writer", class = "interactive", since = 3.2, waited = 0, tokens = 122, rate = 38.1 },
              { program = 7, task = "/home/me/town.lua:12", class = "normal", since = 0.4, waited = 11.6 } },
            held = { { agent = "critic", tool = "get_weather", left = 1.8 } },
            queue = { { program = 9, agent = "writer", class = "normal", waited = 12.4,
                reason = "its model makes room for qwen3:8b, which others wait for" },
              { program = 10, agent = "writer", class = "normal", waited = 12.4,
                reason = "its model makes room for qwen3:8b, which others wait for; 1 program before this one" } } },
          { model = "qwen3:8b", key = "k2", slots = 1, believed = 1, busy = 0, waiting = 2, longest = 7, resident = false,
            load_seconds = 4.1, speed = 9.04, calls = {},
            queue = { { program = 12, agent = "judge", class = "interactive", waited = 7, deadline = 30,
                reason = "its model is not loaded; loading begins in 3.2 s" },
              { program = 13, agent = "judge", class = "batch", waited = 6,
                reason = "its model is not loaded; loading begins in 3.2 s; 1 call of a higher class before this one" } } },
        } },
      { name = "laptop", url = "http://127.0.0.1:11434", state = "paced", swaps = 0, swap_seconds = 0,
        reason = "laptop wants to be left alone for 12 s more",
        lanes = { { model = "qwen2.5:3b", key = "k3", slots = 1, busy = 0, waiting = 0, calls = {}, queue = {} } } },
    },
    others = {}, busy = 2, waiting = 33, programs = 35, hits = { prefix = 0.614, tokens = 9000 }, hedges = 2, hedges_won = 1,
    moved = 0, shed = 4, held = 9, order = "program",
  }
end

local function screen(state, room) return table.concat(seen.lines(state, room), "\n") end

test("a screen of 80 columns: servers, models, who is on each slot, and why the first wait", function(t)
  t.eq(screen(busy(), { columns = 80 }), [[
MODEL           SLOTS  BUSY  WAIT  LONGEST  LOADED   TOKENS/S  LOAD
gpu  http://10.0.0.7:11434  ok, 2 swaps took 8.2s
  qwen3:8b replaces qwen2.5:3b once its calls have ended; about 4.1s
  qwen2.5:3b        3     2    31      12s   leaves        42  2.9s
    runs   3.2s  writer #3       interactive, 122 tokens, 38 a second
    runs   0.4s  town.lua:12 #7  waited 12s
    held   1.8s  critic          its tool get_weather is at work
    waits   12s  writer #9       its model makes room for qwen3:8b, which others
                  wait for
    30 more wait
  qwen3:8b          1     -     2     7.0s       no       9.0  4.1s
    waits  7.0s  judge #12  interactive, has 30s left, its model is not loaded;
                  loading begins in 3.2 s
    1 more waits
laptop  http://127.0.0.1:11434  paced
  laptop wants to be left alone for 12 s more
  qwen2.5:3b       1?  idle     -        -                  -     -]])
  t.eq(table.concat(seen.summary(busy()), "  "),
    "out 2  waiting 33  programs 35  swaps 2 (8.2s)  prompts remembered 61 %  hedged 2 (1 won)  refused 4")
end)

test("on a small terminal less is told of what runs and waits, and the models stay", function(t)
  t.eq(screen(busy(), { columns = 80, rows = 12 }), [[
MODEL           SLOTS  BUSY  WAIT  LONGEST  LOADED   TOKENS/S  LOAD
gpu  http://10.0.0.7:11434  ok, 2 swaps took 8.2s
  qwen3:8b replaces qwen2.5:3b once its calls have ended; about 4.1s
  qwen2.5:3b        3     2    31      12s   leaves        42  2.9s
    runs   3.2s  writer #3       interactive, 122 tokens, 38 a second
    runs   0.4s  town.lua:12 #7  waited 12s
    held   1.8s  critic          its tool get_weather is at work
  qwen3:8b          1     -     2     7.0s       no       9.0  4.1s
laptop  http://127.0.0.1:11434  paced
  laptop wants to be left alone for 12 s more]])
  t.eq(screen(busy(), { columns = 80, rows = 5 }), [[
MODEL           SLOTS  BUSY  WAIT  LONGEST  LOADED   TOKENS/S  LOAD
gpu  http://10.0.0.7:11434  ok, 2 swaps took 8.2s
  qwen3:8b replaces qwen2.5:3b once its calls have ended; about 4.1s
  qwen2.5:3b        3     2    31      12s   leaves        42  2.9s
  qwen3:8b          1     -     2     7.0s       no       9.0  4.1s
laptop  http://127.0.0.1:11434  paced
  laptop wants to be left alone for 12 s more]])
  t.eq(screen(busy(), { columns = 40, rows = 20 }), [[
MODEL         SLOTS  BUSY  WAIT  LONGEST  LOADED   TOKENS/S  LOAD
gpu  http://10.0.0.7:11434  ok, 2 swaps took 8.2s
  qwen3:8b replaces qwen2.5:3b once its
    calls have ended; about 4.1s
  qwen2.5:3b      3     2    31      12s   leaves        42  2.9s
    waits   12s  writer #9       its
        model makes room for qwen3:8b,
        which others wait for
    30 more wait
  qwen3:8b        1     -     2     7.0s       no       9.0  4.1s
    waits  7.0s  judge #12  interactive,
        has 30s left, its model is not
        loaded; loading begins in 3.2 s
    1 more waits
laptop  http://127.0.0.1:11434  paced
  laptop wants to be left alone for 12 s
    more]])
  for columns = 40, 100, 7 do
    for _, line in ipairs(seen.lines(busy(), { columns = columns })) do
      if line:find "^    " then t.ok(#line <= columns, ("%d: %s"):format(columns, line)) end
    end
  end
end)

test("limits of power that stop all calls stand above", function(t)
  local state = busy()
  state.power = { stopped = true, reason = "too hot: 91 C; calls begin again at 80 C" }
  t.eq(seen.lines(state)[1], "no call begins: too hot: 91 C; calls begin again at 80 C")
end)

test("idle models are told as idle, and nothing where no model was asked", function(t)
  local guard <close> = fresh(1)
  t.eq(seen.lines { servers = {}, others = {} }, {})
  local server <close> = peer(1)
  ask(server, "one")
  t.match(screen(told_of(server), { columns = 80 }), "\n  m +1  idle     %-        %-")
end)

-- ---- spans --------------------------------------------------------------------------------------------------------------------

test("spans say how long a call queued, where it went and why it waited; one that did not wait says nothing of it", function(t)
  local guard <close> = fresh(1)
  local server <close> = peer(2)
  local records, lines = {}, {}
  local function sink(r) if r.name == "llm.chat" then records[#records + 1] = r end end
  local printer = span.printer(function(line) lines[#lines + 1] = line end)
  span.listen(sink)
  span.listen(printer)
  local scope <close> = stoke.scope {}
  for i = 1, 3 do scope:spawn(ask, server, tostring(i)) end
  scope:wait()
  span.unlisten(sink)
  span.unlisten(printer)
  t.eq({ records[1].slot, records[1].reason, records[1].queue }, { nil, nil, 0 })
  t.eq({ records[2].slot, records[2].reason }, { server.url .. ":80 m:latest", "next; the one slot is busy" })
  t.near(records[3].queue, 4, 0.1)
  t.eq({ records[3].reason, records[1].load }, { "1 program before this one", 0.001 })
  t.match(lines[1], "^effect llm%.chat +queue 0%.000 s  run 2%.%d+ s  m  %[[^%]]*%]\n$")
  t.match(lines[3], "  m  %(waited: 1 program before this one%)  %[")
end)
