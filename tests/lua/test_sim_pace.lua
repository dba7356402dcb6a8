-- A simulated machine that becomes slow or stands still, and servers that refuse for a while.

local test = require "stoke.test"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

-- Ten tokens, one a tenth of a second.
local function serve(slots)
  return sim.serve { mem = "paced", models = { "m,tps=10,prefill=0,load=0" }, slots = slots, vram_wait = 0,
    script = function() return (" abc"):rep(10) end }
end

local function ask(server)
  local began = time.monotonic()
  local res = http.post(server.url .. "/api/chat", { json = { model = "m", messages = HI, stream = false }, timeout = false })
  return time.monotonic() - began, res:json()
end

test("a machine ten times slower takes ten times as long, and says so in its durations", function(t)
  local server <close> = serve()
  t.near(ask(server), 1, 0.05)
  server.sim:pace(0.1)
  local seconds, reply = ask(server)
  t.near(seconds, 10, 0.1)
  t.near(reply.eval_duration / 1e9, 10, 0.1)
  server.sim:pace(1)
  t.near(ask(server), 1, 0.05)
end)

test("a machine that slows down in the middle of an answer finishes it later", function(t)
  for _, slots in ipairs { 1, 2 } do
    local server <close> = serve(slots)
    local scope <close> = stoke.scope {}
    local seconds
    local call = scope:spawn(function() seconds = ask(server) end)
    stoke.sleep(0.5)
    server.sim:pace(0.1)
    call:await()
    t.near(seconds, 0.5 + 5, 0.1)
  end
end)

test("a wedged machine answers ps and tags and no call; when it goes on, the calls go on", function(t)
  for _, slots in ipairs { 1, 2 } do
    local server <close> = serve(slots)
    local scope <close> = stoke.scope {}
    local ended = {}
    local calls = {}
    for i = 1, 3 do calls[i] = scope:spawn(function() ended[i] = ask(server) end) end
    stoke.sleep(0.5)
    server.sim:pace(0)
    stoke.sleep(100)
    t.eq(#ended, 0)
    t.eq(ollama.ps(server.url).models[1].name, "m:latest")
    t.eq(#ollama.tags(server.url).models, 1)
    server.sim:pace(1)
    calls[1]:await()
    t.near(ended[1], 101, 0.2)
    scope:wait()
  end
end)

test("a stream of a wedged machine stops between two tokens and goes on later", function(t)
  local server <close> = serve()
  local texts, last, gap = 0, time.monotonic(), 0
  local scope <close> = stoke.scope {}
  scope:spawn(function()
    stoke.sleep(0.35)
    server.sim:pace(0)
    stoke.sleep(20)
    server.sim:pace(1)
  end)
  for _ in ollama.text { model = "m", messages = HI, endpoint = server.url } do
    texts, gap = texts + 1, math.max(gap, time.monotonic() - last)
    last = time.monotonic()
  end
  t.eq(texts, 10)
  t.near(gap, 20.1, 0.1)
end)

test("refusals with and without Retry-After", function(t)
  local server <close> = serve()
  for _, case in ipairs { { "429", 429 }, { "503", 503 }, { "429-wait", 429, "2" }, { "503-wait", 503, "2" } } do
    server.sim.fault = case[1]
    local _, err = stoke.try(ask, server)
    t.eq({ err.status, err.response.headers["retry-after"] }, { case[2], case[3] })
  end
end)

test("the ledger counts the answers that were delivered whole", function(t)
  local server <close> = serve()
  ask(server)
  server.sim.fault = "reset"
  t.raises("incomplete", function() ask(server) end)
  server.sim.fault = nil
  local scope <close> = stoke.scope {}
  local call = scope:spawn(function() ask(server) end)
  stoke.sleep(0.5)
  call:cancel()
  stoke.sleep(1)
  ask(server)
  t.eq(server.sim.ledger.answers, 2)
end)
