-- What goes wrong on real sockets, each provoked by tests/peers/peer.c, and what the error says about it.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local start_peer = require "peer"
local time = require "stoke.time"

local function real(name, f) test(name, { real = true, timeout = 60 }, f) end

real("each way a connection can break has its kind, and a message with place and cause", function(t)
  local peer <close> = start_peer()
  local where = peer.url:match "//(.*)"
  local function fails(url, kind, pattern)
    local err = t.raises(kind, http.get, url)
    t.match(err.message, pattern)
    return err
  end
  local err = fails(peer.refused, "refused", "^cannot connect to 127%.0%.0%.1:%d+: connection refused$")
  t.ok(err.retryable and err.hint)
  fails("http://no-such-host.invalid/", "dns", "^cannot connect to no%-such%-host%.invalid:80: no address")
  fails(peer.plain_as_tls, "tls", "^no trusted TLS connection to " .. where:gsub("%.", "%%."))
  for path, expected in pairs {
    ["/reset"] = { "incomplete", "without an answer: .*reset" },
    ["/close"] = { "incomplete", "without an answer" },
    ["/half-head"] = { "incomplete", "in the head" },
    ["/reset-line"] = { "incomplete", "in the middle of its answer: .*reset" },
    ["/silent-end"] = { "incomplete", "in the middle of its answer" },
    ["/short"] = { "incomplete", "90 bytes" },
    ["/bad-chunk"] = { "protocol", "chunk" },
    ["/no-http"] = { "protocol", "does not answer in HTTP" },
    ["/big-head"] = { "protocol", "head without end" },
    ["/html"] = { "http", "502 Bad Gateway$" },
    ["/499"] = { "http", "499 Client Closed Request: request canceled" },
    ["/status/503"] = { "http", "503 Service Unavailable: the peer" },
  } do
    fails(peer.url .. path, expected[1], expected[2])
  end
  t.eq(http.get(peer.url .. "/ok").status, 200, "and none of it stays")
end)

real("a stream gives its lines first, then its error", function(t)
  local peer <close> = start_peer()
  for path, expected in pairs {
    ["/reset-line"] = { 1, "incomplete" }, ["/silent-end"] = { 2, "incomplete" }, ["/bad-chunk"] = { 1, "protocol" },
  } do
    local got = 0
    t.raises(expected[2], function()
      for _ in http.get(peer.url .. path, { stream = "lines" }):lines() do got = got + 1 end
    end)
    t.eq(got, expected[1], path)
  end
end)

real("time limits, on sockets, cut the connection", function(t)
  local peer <close> = start_peer()
  local function phase(url, timeout)
    local started = time.monotonic()
    local err = t.raises("timeout", http.get, url, { timeout = timeout })
    t.ok(time.monotonic() - started < 20, "the limit of a tenth of a second did not cut it")
    return err.phase
  end
  t.eq(phase(peer.stuck, { connect = 0.1 }), "connect")
  t.eq(phase(peer.stuck, 0.1), "total")
  t.eq(phase(peer.url .. "/hang", { first_byte = 0.1 }), "first_byte")
  t.eq(phase(peer.url .. "/hang-head", { first_byte = 0.1 }), "first_byte")
  t.eq(phase(peer.url .. "/hang-stream", { idle = 0.1 }), "idle")
  t.eq(phase(peer.url .. "/hang", 0.1), "total")
  stoke.sleep(0.05)
  local stats = peer:stats()
  t.eq({ stats.left, stats.waiting }, { 4, 0 })
end)

real("a cancel closes the connection at once, whatever it waits for", function(t)
  local peer <close> = start_peer()
  for _, path in ipairs { "/hang", "/hang-head", "/hang-stream" } do
    local before = peer:stats().left
    local task = stoke.spawn(function() http.get(peer.url .. path, { timeout = false }) end)
    stoke.sleep(0.1)
    t.eq(peer:stats().waiting, 1)
    task:cancel()
    local started = time.monotonic()
    while peer:stats().left == before do
      if time.monotonic() - started > 5 then t.fail(path .. ": not closed") end
      stoke.sleep(0.005)
    end
    t.raises("cancelled", task.await, task)
  end
  local task = stoke.spawn(function() http.get(peer.stuck, { timeout = false }) end)
  stoke.sleep(0.05)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.eq(http.get(peer.url .. "/ok", { timeout = 2 }).status, 200, "a socket cut while connecting leaves no trace")
end)

real("cancels during a name lookup do not wait for it", function(t)
  local started = time.monotonic()
  local tasks = {}
  for i = 1, 8 do
    tasks[i] = stoke.spawn(function() stoke.try(http.get, ("http://no-such-%d.invalid/"):format(i)) end)
  end
  stoke.sleep(0)
  for _, task in ipairs(tasks) do task:cancel() end
  for _, task in ipairs(tasks) do stoke.try(task.await, task) end
  t.ok(time.monotonic() - started < 1)
end)

real("a reused connection that dies is tried once more, on a new one", function(t)
  local peer <close> = start_peer()
  for _, path in ipairs { "/once", "/once-close" } do
    for _ = 1, 3 do t.eq(http.get(peer.url .. path).status, 200) end
    t.eq(http.request({ method = "HEAD", url = peer.url .. path }).status, 200)
    t.eq(http.post(peer.url .. path, { body = ("x"):rep(500000) }).status, 200)
  end
  local before = peer:stats().requests
  t.raises("incomplete", http.get, peer.url .. "/reset")
  t.ok(peer:stats().requests - before <= 3, "a new connection that dies is not tried again")
end)

real("a decompression bomb stops at max_bytes", function(t)
  local peer <close> = start_peer()
  t.raises("limit", http.get, peer.url .. "/gzip?100000", { max_bytes = 1000000 })
  t.eq(#http.get(peer.url .. "/gzip?1000", { max_bytes = 258001 }).body, 258001)
end)

real("many streams, each cut at another moment", function(t)
  local peer <close> = start_peer()
  local scope <close> = stoke.scope {}
  local list = {}
  for i = 1, 100 do list[i] = i end
  scope:map(list, function(i)
    local n = 0
    for _ in http.get(peer.url .. "/slow?1", { stream = "lines" }):lines() do
      n = n + 1
      if n > i % 4 then break end
    end
  end, { limit = 50 })
  t.eq(http.get(peer.url .. "/ok").status, 200)
end)
