-- The simulator behind the HTTP server: in memory under the virtual clock, and on a port.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local sim = require "stoke.sim"
local time = require "stoke.time"

local SCALE = tonumber(os.getenv "STOKE_SCALE") or 1 -- below 1 in the slow builds

local function chat(url, o)
  o = o or {}
  local body = { model = o.model or "qwen2.5:3b", messages = { { role = "user", content = o.text or "Hi" } },
    stream = o.stream }
  return http.post(url .. "/api/chat", { json = body, stream = o.stream ~= false and "lines" or nil,
    raise = o.raise, timeout = 1e6 })
end

local function collect(res)
  local lines = {}
  for line in res:lines() do lines[#lines + 1] = json.decode(line) end
  return lines
end

local function words(n) return function() return ("word "):rep(n - 1) .. "word" end end

test("in memory: a stream arrives token by token, in virtual time", function(t)
  local server <close> = sim.serve { mem = "ollama", load_seconds = 100, tokens_per_second = 1, script = { "a b c d" } }
  t.eq(server.url, "http://ollama.mem")
  local began = time.monotonic()
  local res = chat(server.url)
  t.eq(res.headers["content-type"], "application/x-ndjson")
  local lines = collect(res)
  t.eq(#lines, 5)
  t.eq(lines[5].done_reason, "stop")
  t.ok(math.abs(time.monotonic() - began - 104) < 0.1, "104 seconds passed")
  t.eq(lines[5].eval_duration, 4000000000)
end)

test("in memory: callers wait for the one slot, then for the load of another model", function(t)
  local server <close> = sim.serve { mem = "ollama", load_seconds = 10, tokens_per_second = 1, max_loaded = 1,
    script = words(10) }
  local began = time.monotonic()
  local ended = {}
  local scope <close> = stoke.scope {}
  scope:map({ "qwen2.5:3b", "qwen2.5:3b", "llama3.2:3b" }, function(model, i)
    collect(chat(server.url, { model = model }))
    ended[i or #ended + 1] = time.monotonic() - began
  end)
  table.sort(ended)
  t.ok(math.abs(ended[1] - 20) < 0.2 and math.abs(ended[2] - 30) < 0.2, ended[1] .. " " .. ended[2])
  t.ok(math.abs(ended[3] - 50.25) < 0.5, tostring(ended[3]))
  local l = server.sim.ledger
  t.eq({ l.loads, l.swaps, l.streams_open, l.disconnects, l.streams_max }, { 2, 1, 0, 0, 3 })
end)

test("in memory: a caller that gives up is a disconnect, waiting or streaming", function(t)
  local server <close> = sim.serve { mem = "ollama", load_seconds = 1, tokens_per_second = 1, script = words(1000) }
  local first = stoke.spawn(function() return collect(chat(server.url)) end)
  local second = stoke.spawn(function() return collect(chat(server.url)) end)
  stoke.sleep(10)
  t.eq(server.sim.ledger.streams_open, 2)
  second:cancel()
  stoke.sleep(0.05)
  t.eq({ server.sim.ledger.streams_open, server.sim.ledger.disconnects }, { 1, 1 })
  first:cancel()
  stoke.sleep(0.05)
  t.eq({ server.sim.ledger.streams_open, server.sim.ledger.disconnects, server.sim.waiters }, { 0, 2, 0 })
  stoke.sleep(2)
  t.eq(http.get(server.url .. "/sim/ledger"):json().slot_seconds > 0, true)
  pcall(first.await, first)
  pcall(second.await, second)
end)

test("in memory: one-shot answers, errors, faults as the client sees them", function(t)
  local server <close> = sim.serve { mem = "ollama", models = { "m", "cut,fault=reset", "page,fault=html" } }
  local r = chat(server.url, { model = "m", stream = false })
  t.eq(r:json().done, true)
  r = chat(server.url, { model = "nope", stream = false, raise = false })
  t.eq({ r.status, r.body }, { 404, [[{"error":"model 'nope' not found"}]] })
  r = chat(server.url, { model = "page", stream = false, raise = false })
  t.eq(r.status, 502)
  t.raises("incomplete", function() collect(chat(server.url, { model = "cut" })) end)
end)

test("in memory: two servers side by side; the default one once", function(t)
  local one <close> = sim.serve { mem = "one", version = "1.0.0" }
  local two <close> = sim.serve { mem = "two", version = "2.0.0" }
  t.eq(http.get(one.url .. "/api/version"):json().version, "1.0.0")
  t.eq(http.get(two.url .. "/api/version"):json().version, "2.0.0")
end)

test("in memory: a thousand streams at once", function(t)
  local count = math.max(20, math.floor(1000 * SCALE))
  local server <close> = sim.serve { mem = "ollama", slots = count, tokens_per_second = 10, script = words(20) }
  http.post(server.url .. "/api/generate", { json = { model = "qwen2.5:3b" } }) -- cold, they would overflow the load queue
  local list = {}
  for i = 1, count do list[i] = i end
  local scope <close> = stoke.scope {}
  local got = scope:map(list, function() return #collect(chat(server.url)) end, { limit = count })
  for i = 1, count do t.eq(got[i], 21) end
  t.eq({ server.sim.ledger.streams_max, server.sim.ledger.tokens }, { count, 20 * count })
end)

test("on a port: the same, over a socket; a cancel shows at once", { real = true }, function(t)
  local server <close> = sim.serve { port = 0, load_seconds = 0, tokens_per_second = 100, script = words(500) }
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() return collect(chat(server.url)) end)
  while server.sim.ledger.streams_open == 0 do stoke.sleep(0.01) end
  stoke.sleep(0.3)
  task:cancel()
  for _ = 1, 1000 do -- some milliseconds, were it not for slow machines
    if server.sim.ledger.disconnects > 0 and server.sim.ledger.tokens > 0 then break end
    stoke.sleep(0.002)
  end
  t.eq({ server.sim.ledger.streams_open, server.sim.ledger.disconnects }, { 0, 1 })
  pcall(task.await, task)
  local ledger = http.get(server.url .. "/sim/ledger"):json()
  t.ok(ledger.tokens >= 10 and ledger.tokens < 60, tostring(ledger.tokens))
end)

test("on a port: blobs are checked by their SHA-256", { real = true }, function(t)
  local server <close> = sim.serve { port = 0 }
  local hex = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
  t.eq(http.post(server.url .. "/api/blobs/sha256:" .. hex, { body = "abc" }).status, 201)
  local bad = http.post(server.url .. "/api/blobs/sha256:" .. hex:gsub("^b", "c"), { body = "abc", raise = false })
  t.eq({ bad.status, bad:json().error:match "^digest mismatch" }, { 400, "digest mismatch" })
end)
