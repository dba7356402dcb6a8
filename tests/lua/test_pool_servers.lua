-- Servers that fail, through the door: calls of scripts, on the simulator and on scripted peers, in virtual time.

local test = require "stoke.test"
local fake = require "fake"
local log = require "stoke.log"
local notice = require "core.gate.notice"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local retry = require "core.gate.retry"
local routed = require "routed"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }
local ANSWER = [[{"model":"m","message":{"role":"assistant","content":"Hello"},"done":true,"total_duration":200000000,]] ..
  [["load_duration":1000000,"prompt_eval_count":5,"prompt_eval_duration":50000000,"eval_count":5,"eval_duration":140000000}]]

local function fresh()
  pool.forget()
  retry.forget()
end

--- A peer that answers in 0.2 s while `up()` says so; what it was asked, by path, is counted.
local function peer(up)
  local asked = { n = 0, failed = 0, probes = 0 }
  return fake(function(req, res)
    local body = req:json()
    if body and body.options and body.options.num_predict == 1 and not body.messages then asked.probes = asked.probes + 1 end
    asked.n = asked.n + 1
    if not up() then
      asked.failed = asked.failed + 1
      return res:reply(500, nil, [[{"error":"model runner has unexpectedly stopped"}]])
    end
    stoke.sleep(0.2)
    res:reply(200, nil, ANSWER)
  end), asked
end

test("a server that is up for 2 s and down for 2 s: what is tried again adds at most a fifth, and it is used within twice the time",
  function(t)
  fresh()
  local began = time.monotonic()
  local function up() return (time.monotonic() - began) % 4 < 2 or time.monotonic() - began > 120 end
  local server <close>, asked = peer(up)
  local scope <close> = stoke.scope {}
  local calls, answered = 0, 0
  local last_down, first = began + 120, nil
  while time.monotonic() - began < 140 do
    calls = calls + 1
    scope:spawn(function()
      local ok = pcall(ollama.chat, { model = "m", messages = HI, endpoint = server.url })
      if ok then answered = answered + 1 end
      local now = time.monotonic()
      if ok and now > last_down and not first then first = now end
    end)
    stoke.sleep(0.5)
  end
  scope:wait()
  t.ok(asked.n - asked.probes <= 1.2 * calls, ("%d asked for %d calls"):format(asked.n - asked.probes, calls))
  t.ok(asked.probes < 0.5 * calls, ("%d probes of one token"):format(asked.probes))
  t.ok(first - last_down < 4, first - last_down)
  t.ok(answered > 0.95 * calls, ("%d of %d answered"):format(answered, calls))
end)

--- Calls of a model at once, and what became of them.
local function calls_of(scope, n, model, endpoint, class)
  local out = { answered = 0, failed = 0, errors = {} }
  for _ = 1, n do
    scope:spawn(function()
      local ok, err = pcall(ollama.chat, { model = model, messages = HI, endpoint = endpoint, class = class })
      if ok then
        out.answered = out.answered + 1
      else
        out.failed, out.errors[#out.errors + 1] = out.failed + 1, err
      end
    end)
  end
  return out
end

local function states()
  local out = {}
  for _, server in ipairs(pool.state().servers) do out[server.name] = server.state end
  return out
end

test("a wedged server, whose lists stay green, is found by a probe for one token; a route goes elsewhere", function(t)
  fresh()
  local one = { models = { "m" }, tokens_per_second = 10 }
  local world <close> = routed({ one = one, two = one },
    [[models = { fast = { "m@one", "m@two" } }, timeouts = { first_byte = 600, load = 600, idle = 600 }]])
  local scope <close> = stoke.scope {}
  calls_of(scope, 4, "fast")
  stoke.sleep(10)
  world.one.sim:pace(0)
  local out = calls_of(scope, 20, "fast")
  stoke.sleep(120)
  t.eq(states().one, "sick")
  t.eq({ out.answered, out.failed }, { 20, 0 }) -- also those that it had taken
  world.one.sim:pace(1)
  stoke.sleep(60)
  t.eq(states().one, "ok")
end)

-- What is logged from now on, until it is closed.
local function logged()
  local lines = {}
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  notice.forget()
  return lines, setmetatable({}, { __close = function() log.configure { write = require "core.stdio".err } end })
end

test("the only server is wedged: calls of people are told so soon, others wait for it longer; it is said once",
  function(t)
    fresh()
    local lines, _ <close> = logged()
    local world <close> = routed({ one = { models = { "m" }, tokens_per_second = 10 } },
      [[timeouts = { first_byte = 9000, load = 9000, idle = 9000 }]])
    pool.set_default(1)
    local server = world.one.sim
    local scope <close> = stoke.scope {}
    calls_of(scope, 1, "m", "one")
    stoke.sleep(10)
    server:pace(0)
    local sent = calls_of(scope, 1, "m", "one") -- the server has it
    local out = {}
    for _, class in ipairs { "interactive", "normal", "batch" } do out[class] = calls_of(scope, 2, "m", "one", class) end
    local function failed() return { out.interactive.failed, out.normal.failed, out.batch.failed } end
    stoke.sleep(60)
    t.eq(failed(), { 0, 0, 0 })
    stoke.sleep(100)
    t.eq(failed(), { 2, 0, 0 })
    local err = out.interactive.errors[1]
    t.eq({ err.kind, err.retryable, err.hint }, { "timeout", false,
      "restart that server; its lists (stoke ps) may look healthy" })
    t.match(err.message, "^the endpoint one takes calls and answers none, not even one for a single token; this one waited %d+ s$")
    stoke.sleep(300)
    t.eq(failed(), { 2, 2, 0 })
    t.eq(#lines, 1)
    t.match(lines[1], "warn.*one takes calls and answers none, .*; 6 calls wait, and it is asked again")
    server:pace(1)
    scope:wait()
    t.eq({ out.batch.answered, sent.answered }, { 2, 1 })
    local again = calls_of(scope, 3, "m", "one")
    scope:wait()
    t.eq({ again.answered, again.failed }, { 3, 0 })
    pool.set_default(nil)
  end)

test("a server whose only slot streams a long answer is not taken for a wedged one", function(t)
  fresh()
  local lines, _ <close> = logged()
  local function script(req)
    return req.messages and req.messages[1].content == "Tell me all" and ("word "):rep(3000) or "Hello"
  end
  local server <close> = sim.serve { mem = "long", models = { "m" }, load_seconds = 0, tokens_per_second = 10, slots = 1,
    script = script }
  local scope <close> = stoke.scope {}
  local pieces = 0
  scope:spawn(function()
    local ask = { model = "m", messages = { { role = "user", content = "Tell me all" } }, endpoint = server.url }
    for _ in ollama.stream(ask) do pieces = pieces + 1 end
  end)
  stoke.sleep(1)
  local people, others = calls_of(scope, 2, "m", server.url, "interactive"), calls_of(scope, 3, "m", server.url)
  for _ = 1, 9 do
    stoke.sleep(30)
    t.ne(stoke.pool().servers[1].state, "sick")
  end
  scope:wait()
  t.ok(pieces >= 3000, pieces)
  t.eq({ people.answered, others.answered, #lines }, { 2, 3, 0 })
end)

test("a server whose only slot writes a long answer, given as a whole, is not taken for a wedged one", function(t)
  for _, stopped in ipairs { false, true } do
    fresh()
    local lines, _ <close> = logged()
    local function script(req)
      return req.messages and req.messages[1].content == "Tell me all" and ("word "):rep(2000) or "Hello"
    end
    local about = { models = { "m" }, tokens_per_second = 10, slots = 1, script = script }
    local world <close> = routed({ one = about, two = about },
      [[models = { both = { "m@one", "m@two" } }, timeouts = { first_byte = 9000, load = 9000, idle = 9000 }]])
    local scope <close> = stoke.scope {}
    calls_of(scope, 8, "both")
    local reply
    scope:spawn(function() reply = ollama.chat { model = "both", messages = { { role = "user", content = "Tell me all" } } } end)
    stoke.sleep(20)
    local out = calls_of(scope, 4, "both", nil, "interactive")
    local function places()
      local list = {}
      for _, one in ipairs(world.asked) do
        if one.body.messages and one.body.messages[1].content == "Tell me all" then list[#list + 1] = one.endpoint end
      end
      return list
    end
    local at = places()[1]
    if stopped then world[at].sim:pace(0) end
    local began = time.monotonic()
    for _ = 1, 14 do
      stoke.sleep(10)
      if not stopped then t.ne(states()[at], "sick") end
    end
    if stopped then t.eq({ states()[at], out.answered }, { "sick", 4 }) end -- and it was sent to the other one
    scope:wait()
    t.eq({ reply.message.content, out.answered, out.failed }, { ("word "):rep(2000), 4, 0 })
    t.ok(reply.eval_count >= 2000, reply.eval_count)
    t.ok(time.monotonic() - began < (stopped and 300 or 200), time.monotonic() - began)
    t.eq(#lines, stopped and 1 or 0)
    t.eq(#places(), stopped and 2 or 1)
    world[at].sim:pace(1)
  end
end)

test("a call with a deadline does not outlive it while its only server is wedged", function(t)
  fresh()
  local _, _ <close> = logged()
  local world <close> = routed({ one = { models = { "m" }, tokens_per_second = 10 } })
  pool.set_default(1)
  world.one.sim:pace(0)
  local scope <close> = stoke.scope {}
  calls_of(scope, 2, "m", "one")
  stoke.sleep(80)
  local err = t.raises("deadline", ollama.chat, { model = "m", messages = HI, endpoint = "one", deadline = 5 })
  t.match(err.message, "waited 5.0 s for a slot of m at one: one takes calls and answers none; it is tried again in")
  pool.set_default(nil)
  world.one.sim:pace(1)
  scope:wait()
end)

test("a call that was moved to a server which turns out to be wedged goes back to the one where it failed", function(t)
  fresh()
  local failed = 0
  local world <close> = routed({ one = { models = { "m" }, script = function(req)
    if req.messages[1].content ~= "fail once" or failed > 0 then return "from one" end
    failed = failed + 1
    return { status = 500, error = "out of luck" }
  end }, two = { models = { "m" }, slots = 1 } }, [[pool = { slots = 1 }, models = { both = { "m@one", "m@two" } }]])
  world.two.sim:pace(0)
  local scope <close> = stoke.scope {}
  for _ = 1, 2 do
    scope:spawn(function() stoke.try(ollama.chat, { model = "m", messages = HI, endpoint = "two" }) end)
  end
  stoke.sleep(20)
  local reply = ollama.chat { model = "both", messages = { { role = "user", content = "fail once" } } }
  t.eq({ failed, reply.endpoint }, { 1, "one" })
  world.two.sim:pace(1)
  scope:wait()
end)

test("a call that was moved to a busy server may go back, after a while, to the one where it failed", function(t)
  fresh()
  local failed = 0
  local world <close> = routed({ one = { models = { "m" }, script = function(req)
    if req.messages[1].content ~= "fail once" or failed > 0 then return "from one" end
    failed = failed + 1
    return { status = 500, error = "out of luck" }
  end }, two = { models = { "m" }, slots = 1, tokens_per_second = 1, script = function() return ("word "):rep(40) end } },
    [[models = { both = { "m@one", "m@two" } }]])
  pool.configure { slots = 1 } -- nobody tries whether two takes a second call
  local scope <close> = stoke.scope {}
  scope:spawn(function() ollama.chat { model = "m", messages = HI, endpoint = "two" } end)
  stoke.sleep(1)
  local began = time.monotonic()
  local reply = ollama.chat { model = "both", messages = { { role = "user", content = "fail once" } } }
  t.eq({ failed, reply.endpoint, #world.asked }, { 1, "one", 3 })
  t.ok(time.monotonic() - began < 10, time.monotonic() - began)
  scope:cancel()
  pool.configure {}
end)

test("a server that becomes ten times slower is no wedged one: every call is answered there", function(t)
  fresh()
  local server <close> = sim.serve { mem = "slow", models = { "m" }, load_seconds = 0, tokens_per_second = 10 }
  local scope <close> = stoke.scope {}
  local out = calls_of(scope, 10, "m", server.url)
  stoke.sleep(5)
  server.sim:pace(0.1)
  scope:wait()
  t.eq({ out.answered, out.failed }, { 10, 0 })
end)

for _, fault in ipairs { "429", "503", "429-wait", "503-wait" } do
  test(fault .. " for ten seconds: the calls that wait are answered when it is over", function(t)
    fresh()
    local server <close> = sim.serve { mem = "full" .. fault, models = { "m" }, load_seconds = 0, tokens_per_second = 10 }
    local scope <close> = stoke.scope {}
    server.sim.fault = fault
    local out = calls_of(scope, 20, "m", server.url)
    stoke.sleep(10)
    server.sim.fault = nil
    scope:wait()
    t.ok(out.answered >= 15, out.answered .. " answered")
  end)
end

test("one of three servers is down: its calls go to the others, and few find out", function(t)
  fresh()
  local one = { models = { "m" }, tokens_per_second = 10 }
  local world <close> = routed({ one = one, two = one, three = one }, [[models = { any = { "m@one", "m@two", "m@three" } }]])
  world.two:close()
  local scope <close> = stoke.scope {}
  local out = calls_of(scope, 60, "any")
  scope:wait()
  t.eq({ out.answered, out.failed }, { 60, 0 })
  for i = 1, #world.asked do t.ne(world.asked[i].endpoint, "two") end
end)

test("a server that was started again with fewer slots: every call is answered", function(t)
  fresh()
  local scope <close> = stoke.scope {}
  local first = sim.serve { mem = "restarted", models = { "m" }, load_seconds = 0, tokens_per_second = 10, slots = 4 }
  local url = first.url
  local out = calls_of(scope, 40, "m", url)
  scope:wait()
  t.eq(out.answered, 40)
  first:close()
  local second <close> = sim.serve { mem = "restarted", models = { "m" }, load_seconds = 0, tokens_per_second = 10, slots = 1 }
  out = calls_of(scope, 40, "m", second.url)
  scope:wait()
  t.eq({ out.answered, out.failed }, { 40, 0 })
end)

test("the only server is gone: calls fail as ever, none waits for ever, and later ones are answered by the next", function(t)
  fresh()
  local first = sim.serve { mem = "gone", models = { "m" }, load_seconds = 0, tokens_per_second = 10 }
  local url = first.url
  first:close()
  local scope <close> = stoke.scope {}
  local began = time.monotonic()
  local out = calls_of(scope, 30, "m", url)
  scope:wait()
  t.eq({ out.failed, out.errors[1].kind }, { 30, out.errors[#out.errors].kind })
  t.ok(time.monotonic() - began < 120, time.monotonic() - began)
  local second <close> = sim.serve { mem = "gone", models = { "m" }, load_seconds = 0, tokens_per_second = 10 }
  out = calls_of(scope, 3, "m", second.url)
  scope:wait()
  t.eq({ out.answered, out.failed }, { 3, 0 })
end)

test("all servers of a route are gone: none of its calls waits for ever, nor one that waits for one of them alone", function(t)
  fresh()
  local world <close> = routed({ one = { models = { "m" } }, two = { models = { "m" } } },
    [[models = { any = { "m@one", "m@two" } }]])
  world.one:close()
  world.two:close()
  local scope <close> = stoke.scope {}
  local began = time.monotonic()
  local out, alone = calls_of(scope, 30, "any"), calls_of(scope, 10, "m", "one")
  scope:wait()
  t.eq({ out.failed, alone.failed }, { 30, 10 })
  t.ok(time.monotonic() - began < 120, time.monotonic() - began)
  for _, err in ipairs(out.errors) do -- a refused call has the server's error for its own, and not for its cause, too
    local cause = rawget(err, "cause")
    t.ok(not cause or cause.message ~= err.message, err.message)
  end
end)

test("a call that no server of its route answers is told what each of them did", function(t)
  fresh()
  local _, _ <close> = logged()
  local world <close> = routed({ one = { models = { "m" }, slots = 1, tokens_per_second = 10 }, two = { models = { "m" } } },
    [[models = { both = { "m@one", "m@two" } }, timeouts = { first_byte = 9000, load = 9000, idle = 9000 }, pool = { slots = 1 }]])
  local scope <close> = stoke.scope {}
  world.one.sim:pace(0)
  world.two:close()
  calls_of(scope, 2, "m", "one")
  stoke.sleep(50)
  local out = calls_of(scope, 12, "both", nil, "interactive")
  stoke.sleep(300)
  t.eq({ out.answered, out.failed }, { 0, 12 })
  local told = out.errors[#out.errors]
  t.match(told.message, "^none of the 2 places of its route answers: one: takes calls and answers none, .*; two: ")
  t.eq({ told.kind, told.hint }, { "timeout", "restart that server; its lists (stoke ps) may look healthy" })
  world.one.sim:pace(1)
  scope:wait()
end)
