-- A server of a route is wedged while it has calls: those that it has not begun to answer are asked for elsewhere.

local test = require "stoke.test"
local fake = require "fake"
local hedge = require "core.gate.hedge"
local log = require "stoke.log"
local notice = require "core.gate.notice"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local rescue = require "core.gate.rescue"
local retry = require "core.gate.retry"
local routed = require "routed"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }
local SETTINGS = [[models = { fast = { "m@one", "m@two" } }, timeouts = { first_byte = 9000, load = 9000, idle = 9000 }]]

-- Two servers that answer in a second, and what was logged. Both have been asked before.
local function world(settings, more)
  pool.forget()
  retry.forget()
  notice.forget()
  local lines = {}
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  local about = { models = { "m" }, tokens_per_second = 2, slots = 2 }
  local servers = routed({ one = about, two = about }, more or SETTINGS)
  local before, inner = pool.settings, getmetatable(servers).__close
  pool.configure(settings or {})
  for _ = 1, 2 do
    for _, name in ipairs { "one", "two" } do ollama.chat { model = "m", messages = HI, endpoint = name } end
  end
  servers.asked, servers.lines = {}, lines
  return setmetatable(servers, { __close = function()
    for _, name in ipairs { "one", "two" } do servers[name].sim:pace(1) end
    pool.configure(before)
    log.configure { write = require "core.stdio".err }
    inner()
  end })
end

-- So many calls along the route, one every 0.2 s; replies by number, with the time at which each was answered.
local function ask_many(scope, n, how)
  local out = { answered = 0, failed = 0, errors = {}, endpoints = {}, ended = {} }
  for i = 1, n do
    scope:spawn(function()
      stoke.sleep(0.2 * i)
      local ok, reply = pcall(how or function() return ollama.chat { model = "fast", messages = HI } end)
      out[ok and "answered" or "failed"] = out[ok and "answered" or "failed"] + 1
      if ok then
        out.endpoints[reply.endpoint] = (out.endpoints[reply.endpoint] or 0) + 1
        out.ended[#out.ended + 1] = time.monotonic()
      else
        out.errors[#out.errors + 1] = reply
      end
    end)
  end
  return out
end

-- How many chats a server was asked for; probes are none.
local function count(asked, endpoint)
  local n = 0
  for _, one in ipairs(asked) do n = n + (one.endpoint == endpoint and one.body.messages and 1 or 0) end
  return n
end

for _, settings in ipairs { {}, { hedge = true } } do
  local name = settings.hedge and "with hedges" or "without hedges"

  test("calls that a wedged server has taken are answered by the other one within a minute, " .. name, function(t)
    local w <close> = world(settings)
    local scope <close> = stoke.scope {}
    local out = ask_many(scope, 60)
    stoke.sleep(4)
    local before = out.endpoints.one or 0
    w.one.sim:pace(0)
    local began = time.monotonic()
    scope:wait()
    t.eq({ out.answered, out.failed, out.endpoints.one }, { 60, 0, before })
    t.ok(out.ended[60] - began < 60, out.ended[60] - began)
    t.eq(stoke.pool().servers[1].state, "sick")
    t.eq(pool.list(), {}) -- no slot is lost
  end)

  test("streams that have not begun are moved, " .. name, function(t)
    local w <close> = world(settings)
    w.one.sim:pace(0)
    local began = time.monotonic()
    local scope <close> = stoke.scope {}
    local out = ask_many(scope, 8, function()
      local reply, text = nil, {}
      for event in ollama.stream { model = "fast", messages = HI } do
        if event.type == "text" then text[#text + 1] = event.text end
        if event.type == "done" then reply = event.reply end
      end
      t.eq(table.concat(text), "from two")
      return reply
    end)
    scope:wait()
    t.eq({ out.answered, out.endpoints.two }, { 8, 8 })
    t.eq({ count(w.asked, "one"), count(w.asked, "two") }, { 2, 8 }) -- it has two slots
    t.ok(time.monotonic() - began < 60, time.monotonic() - began)
    t.eq(pool.list(), {})
  end)
end

test("a stream that has begun stays where it is, and goes on when its server does", function(t)
  local w <close> = world()
  local scope <close> = stoke.scope {}
  local texts = {}
  scope:spawn(function()
    for text in ollama.text { model = "fast", messages = HI } do texts[#texts + 1] = text end
  end)
  stoke.sleep(0.7)
  t.eq({ #texts, w.asked[1].endpoint }, { 1, "one" })
  w.one.sim:pace(0)
  stoke.sleep(100)
  t.eq({ stoke.pool().servers[1].state, count(w.asked, "one"), count(w.asked, "two"), #texts }, { "sick", 1, 0, 1 })
  w.one.sim:pace(1)
  scope:wait()
  t.eq(table.concat(texts), "from one")
end)

test("a call that waits beside a wedged server is told of the slots that there are", function(t)
  local w <close> = world { slots = 2 }
  w.one.sim:pace(0)
  local scope <close> = stoke.scope {}
  scope:spawn(function() ollama.chat { model = "fast", messages = HI } end)
  stoke.sleep(60)
  t.eq(stoke.pool().servers[1].state, "sick")
  ask_many(scope, 3)
  stoke.sleep(0.7)
  local reasons = {}
  for _, server in ipairs(stoke.pool().servers) do
    for _, lane in ipairs(server.lanes) do
      for _, call in ipairs(lane.queue) do reasons[#reasons + 1] = call.reason end
    end
  end
  t.eq(reasons, { "next; all 2 slots of two are busy" })
  w.one.sim:pace(1)
  scope:wait()
end)

test("a call is moved once: where the other server is wedged, too, it stays there", function(t)
  local w <close> = world()
  w.one.sim:pace(0)
  local scope <close> = stoke.scope {}
  local reply
  scope:spawn(function() reply = ollama.chat { model = "fast", messages = HI } end)
  stoke.sleep(45.1)
  t.eq({ count(w.asked, "one"), count(w.asked, "two") }, { 1, 1 })
  w.two.sim:pace(0)
  w.one.sim:pace(1)
  stoke.sleep(300)
  t.eq({ count(w.asked, "one"), count(w.asked, "two"), reply }, { 1, 1 })
  w.two.sim:pace(1)
  scope:wait()
  t.eq(reply.endpoint, "two")
end)

test("a call that was moved because its first server failed is moved off a wedged one all the same", function(t)
  local w <close> = world()
  local scope <close> = stoke.scope {}
  w.two.sim:pace(0)
  w.one.sim.fault = "500"
  local reply
  scope:spawn(function() reply = ollama.chat { model = "fast", messages = HI } end)
  stoke.sleep(1)
  w.one.sim.fault = nil
  scope:wait()
  t.eq(reply.endpoint, "one")
end)

test("without another server that takes calls it stays, and is moved when there is one", function(t)
  local down = true
  local gone <close> = fake(function(_, res)
    if down then return res:reply(500, nil, [[{"error":"out of order"}]]) end
    res:reply(200, nil, [[{"model":"m","message":{"role":"assistant","content":"back"},"done":true,"total_duration":1,]] ..
      [["prompt_eval_count":1,"prompt_eval_duration":1,"eval_count":1,"eval_duration":1}]])
  end)
  local w <close> = world()
  local scope <close> = stoke.scope {}
  local route = { "m@one", "m@" .. gone.url }
  local out = ask_many(scope, 1, function() return ollama.chat { model = "m", messages = HI, route = route } end)
  stoke.sleep(0.3)
  w.one.sim:pace(0)
  for _ = 1, 6 do stoke.try(ollama.chat, { model = "m", messages = HI, endpoint = gone.url, deadline = 5 }) end
  stoke.sleep(60)
  t.eq({ stoke.pool().servers[1].state, out.answered, count(w.asked, "one") }, { "sick", 0, 1 })
  down = false
  scope:spawn(function() ollama.chat { model = "m", messages = HI, endpoint = gone.url } end) -- somebody finds that it is back
  stoke.sleep(70)
  t.eq({ out.answered, out.endpoints.one }, { 1 })
  scope:wait()
end)

test("a call whose route is that one server stays, and is answered when the server goes on", function(t)
  local w <close> = world()
  local scope <close> = stoke.scope {}
  w.one.sim:pace(0)
  local reply
  scope:spawn(function() reply = ollama.chat { model = "m", messages = HI, endpoint = "one" } end)
  stoke.sleep(200)
  t.eq({ count(w.asked, "one"), count(w.asked, "two"), reply }, { 1, 0 })
  w.one.sim:pace(1)
  scope:wait()
  t.eq({ reply.message.content, count(w.asked, "one") }, { "from one", 1 })
end)

test("who is cancelled in the moment in which his call is called back asks nobody else", function(t)
  for _, late in ipairs { false, true } do
    local w <close> = world()
    local scope <close> = stoke.scope {}
    w.one.sim:pace(0)
    local task = scope:spawn(function() return ollama.chat { model = "fast", messages = HI } end)
    stoke.sleep(10)
    if late then task:cancel() end
    local moved = rescue.calls(pool.servers["http://one.mem:80"])
    if not late then task:cancel() end
    t.eq(moved, late and 0 or 1)
    t.raises("cancelled", task.await, task)
    stoke.sleep(60)
    t.eq({ count(w.asked, "two"), pool.list() }, { 0, {} })
  end
end)

test("a hedged call waits for its second part alone once the first is called back", function(t)
  local w <close> = world({ hedge = true })
  for _ = 1, 60 do ollama.chat { model = "fast", messages = HI } end
  w.asked, hedge.counts.hedged, hedge.counts.calls = {}, 0, 1000
  w.one.sim:pace(0)
  w.two.sim:pace(0.02) -- the second part takes a while
  local scope <close> = stoke.scope {}
  local out = ask_many(scope, 1)
  scope:wait()
  t.eq({ out.answered, out.endpoints.two, hedge.counts.hedged, count(w.asked, "two") }, { 1, 1, 1, 1 })
end)

test("an agent's run goes on at the other server", function(t)
  local w <close> = world()
  local bot = stoke.agent { name = "bot", model = "fast" }
  w.one.sim:pace(0)
  t.eq(bot:run("Hi").text, "from two")
end)

test("it is said once how many calls are asked for elsewhere", function(t)
  local w <close> = world()
  local scope <close> = stoke.scope {}
  ask_many(scope, 12)
  stoke.sleep(0.1)
  w.one.sim:pace(0)
  scope:wait()
  t.eq(#w.lines, 1, table.concat(w.lines))
  t.match(w.lines[1], "one takes calls and answers none, .*; 2 calls are asked for elsewhere, and it is asked again%. Restart")
end)

test("calls whose answers are cached are moved as others are; one that streams already is not", function(t)
  local w <close> = world()
  local scope <close> = stoke.scope { cache = true }
  local n = 0
  local out = ask_many(scope, 6, function()
    n = n + 1
    return ollama.chat { model = "fast", messages = { { role = "user", content = "question " .. n } }, cache = true }
  end)
  local texts = {}
  scope:spawn(function()
    for text in ollama.text { model = "fast", messages = HI, cache = true } do texts[#texts + 1] = text end
  end)
  stoke.sleep(0.7)
  t.eq(#texts, 1)
  w.one.sim:pace(0)
  stoke.sleep(60)
  t.eq({ out.answered, out.failed, #texts }, { 6, 0, 1 })
  w.one.sim:pace(1)
  scope:wait()
  t.eq({ table.concat(texts), pool.list() }, { "from one", {} })
end)
