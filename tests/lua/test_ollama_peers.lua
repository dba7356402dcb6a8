-- stoke.ollama over real sockets: servers with bad manners (tests/peers/peer.c), a simulator that is killed and comes back.

local test = require "stoke.test"
local about = require "core.about"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local proc = require "stoke.proc"
local retry = require "core.gate.retry"
local start_peer = require "peer"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

local function real(name, f) test(name, { real = true, timeout = 60 }, f) end

local function stream(options) for _ in ollama.stream(options) do end end

-- Each refusal, both ways to ask: { endpoint, kind, message, hint, retryable, timeouts }.
local function provoke(t, peer, cases)
  for _, case in ipairs(cases) do
    for _, ask in ipairs { ollama.chat, stream } do
      local err = t.raises(case[2], ask, { model = "m", messages = HI, endpoint = case[1], timeouts = case.timeouts })
      t.eq(err.kind, case[2])
      t.match(err.message, case[3])
      if case[4] then t.match(tostring(err.hint), case[4]) end
      t.eq({ err.retryable, err.model, err.phase }, { case[5] or false, "m", case.phase }, err.message)
    end
  end
  t.eq(pool.list(), {})
  t.ok(http.get(peer.url .. "/ok").body, "and none of it stays")
end

real("each way a connection can fail", function(t)
  retry.saved = 1 -- one retry for all: its pauses are tested elsewhere
  local peer <close> = start_peer()
  provoke(t, peer, {
    { peer.refused, "refused", "^cannot connect to 127%.0%.0%.1:%d+: connection refused$", "ollama serve", true },
    { "http://no-such-host.invalid", "dns", "^cannot connect to no%-such%-host%.invalid:80: no address", "host name", true },
    { peer.plain_as_tls, "tls", "^no trusted TLS connection to 127", "certificate, or the scheme" },
    { peer.tls, "tls", "^no trusted TLS connection to localhost", "certificate" },
    { peer.url .. "/reset", "incomplete", "closed the connection without an answer", nil, true },
    { peer.url .. "/half-head", "incomplete", "broke off in the head of its answer", nil, true },
    { peer.url .. "/no-http", "protocol", "does not answer in HTTP", "really the server" },
    { peer.url .. "/499", "incomplete", "^request canceled$", "asking again", true },
    { peer.url .. "/status/503", "overloaded", "the peer was told to say this", "busy", true },
    { peer.url .. "/status/429", "overloaded", "the peer was told to say this", "busy", true },
    { peer.url .. "/status/401", "auth", "the peer was told to say this", "OLLAMA_API_KEY" },
    { peer.url .. "/status/404", "http", "the peer was told to say this" },
    { peer.url .. "/html", "overloaded", "^status 502 %(bad gateway%) with HTML instead of JSON: <html>", "a proxy", true },
    { peer.url .. "/bad-chunk", "protocol", "bad chunks" },
    { peer.url .. "/silent-end", "incomplete", "in the middle of its answer", nil, true },
    { peer.url .. "/short", "incomplete", "90 bytes remaining", nil, true },
  })
  retry.saved = 20
end)

real("each phase has its time", function(t)
  local peer <close> = start_peer()
  local function limits(name) return { connect = 5, first_byte = 5, idle = 5, total = 5, [name] = 0.2 } end
  retry.saved = 0
  provoke(t, peer, {
    { peer.stuck, "timeout", "^cannot connect to 127%.0%.0%.1:%d+ within 0%.2 s$", "timeouts.connect", true, phase = "connect",
      timeouts = limits "connect" },
    { peer.url .. "/hang", "timeout", "no answer within 0%.2 s$", "cold load", true, phase = "first_byte",
      timeouts = limits "first_byte" },
    { peer.url .. "/hang-head", "timeout", "no answer within 0%.2 s$", "cold load", true, phase = "first_byte",
      timeouts = limits "first_byte" },
    { peer.url .. "/hang-stream", "timeout", "nothing came for 0%.2 s in the middle", "timeouts.idle", true, phase = "idle",
      timeouts = limits "idle" },
    { peer.url .. "/hang-stream", "timeout", "not done within 0%.2 s$", "num_predict", true, phase = "total",
      timeouts = limits "total" },
  })
  retry.saved = 20
  local before = peer:stats().requests
  t.raises("timeout", ollama.chat, { model = "m", messages = HI, endpoint = peer.url .. "/hang", timeouts = { first_byte = 0.2 } })
  t.eq(peer:stats().requests - before, 2, "asked once (and the question for this)")
end)

real("a reset in the middle of a line", function(t)
  local peer <close> = start_peer()
  local err = t.raises("incomplete", stream, { model = "m", messages = HI, endpoint = peer.url .. "/reset-line" })
  t.match(err.message, "broke off in the middle of its answer")
  t.eq(err.retryable, true)
end)

real("the connection is closed at once, in every phase", function(t)
  local peer <close> = start_peer()
  for _, scene in ipairs { "/hang", "/hang-head", "/hang-stream" } do
    local before = peer:stats().left
    local task = stoke.spawn(stream, { model = "m", messages = HI, endpoint = peer.url .. scene })
    while peer:stats().waiting == 0 do stoke.sleep(0.005) end
    task:cancel()
    for _ = 1, 1000 do
      if peer:stats().left > before then break end
      stoke.sleep(0.002)
    end
    t.eq(peer:stats().left - before, 1, scene)
    pcall(task.await, task)
  end
end)

real("a stream that was read to its end leaves its connection for the next", function(t)
  local server <close> = sim.serve { port = 0, models = { "m" }, load_seconds = 0, tokens_per_second = 0 }
  local peer <close> = start_peer()
  for _ = 1, 5 do stream { model = "m", messages = HI, endpoint = server.url } end
  t.eq({ server.sim.ledger.disconnects, server.sim.ledger.requests }, { 0, 5 })
  for _ = 1, 3 do
    t.raises("incomplete", stream, { model = "m", messages = HI, endpoint = peer.url .. "/lines?3" })
    pool.forget() -- or calls are held back from a server that has failed so often
  end
end)

-- A simulator in a process of its own.
local function start_sim(port)
  local process = proc.spawn { argv = { about.executable(), "sim", "--port", tostring(port), "--model", "m,tps=100",
    "--load-seconds", "0" }, env_allow = { "PATH", "HOME", "STOKE_PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS",
    "TSAN_OPTIONS" } }
  local url = process:lines()()
  return process, url, math.tointeger(tonumber(url:match ":(%d+)$"))
end

real("the server is killed in the middle of a stream and comes back", function(t)
  local process, url, port = start_sim(0)
  local guard <close> = setmetatable({}, { __close = function() process:close() end })
  local options = { model = "m", endpoint = url, messages = { { role = "user", content = ("tell me more "):rep(50) } } }
  local seen = 0
  local err = t.raises("incomplete", function()
    for ev in ollama.stream(options) do
      t.eq(ev.type, "text")
      seen = seen + 1
      if seen == 3 then process:kill "SIGKILL" end
    end
  end)
  t.eq({ err.retryable, err.model, seen >= 3 }, { true, "m", true })
  process:close()
  t.raises("refused", ollama.version, url)
  t.eq(pool.list(), {})
  process = start_sim(port)
  local last
  for ev in ollama.stream(options) do last = ev end
  t.eq(last.type, "done")
end)

real("a server that is about to start is waited for by the retries", function(t)
  retry.saved = 20
  local process, url, port = start_sim(0)
  local guard <close> = setmetatable({}, { __close = function() process:close() end })
  process:close()
  local began = time.monotonic()
  local task = stoke.spawn(stoke.try, ollama.chat, { model = "m", messages = HI, endpoint = url })
  process = start_sim(port)
  local reply, err = task:await()
  t.ok(reply and reply.done or err.kind == "refused", tostring(err)) -- the pauses are random
  t.ok(time.monotonic() - began < 10)
end)

real("many streams at once over sockets", function(t)
  local scale = tonumber(os.getenv "STOKE_SCALE" or "1")
  local n = math.max(20, 500 * scale // 1)
  local server <close> = sim.serve { port = 0, models = { "m" }, slots = n, load_seconds = 0, tokens_per_second = 100,
    script = function() return "one two three four five six" end }
  local wide = pool.default_width
  local guard <close> = setmetatable({}, { __close = function() pool.set_default(wide) end })
  pool.set_default(n)
  ollama.load { model = "m", endpoint = server.url }
  local list = {}
  for i = 1, n do list[i] = i end
  local scope <close> = stoke.scope {}
  local texts = scope:map(list, function()
    local out = {}
    for ev in ollama.stream { model = "m", prompt = "x", endpoint = server.url } do out[#out + 1] = ev.text end
    return table.concat(out)
  end)
  for i = 1, n do t.eq(texts[i], "one two three four five six") end
  t.eq({ server.sim.ledger.disconnects, #pool.list() }, { 0, 0 })
end)

real("a model server is not asked to compress its answers, others are", function(t)
  local offers = {}
  local server <close> = http.serve { handler = function(req, res)
    offers[#offers + 1] = req.headers["accept-encoding"] or "none"
    return res:reply(200, { ["Content-Type"] = "application/json" }, '{"version":"1"}')
  end }
  ollama.version(server.url)
  http.get(server.url)
  ollama.version(server.url)
  t.eq({ offers[1], offers[3] }, { "none", "none" })
  t.match(offers[2], "gzip")
end)
