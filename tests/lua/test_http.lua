-- stoke.http as a client: the shape of requests, answers, streams, time limits. In memory and under a virtual clock, but for the
-- last part; what hostile servers do is in test_http_errors.lua.

local test = require "stoke.test"
local about = require "core.about"
local stoke = require "stoke"
local http = require "stoke.http"
local start_peer = require "peer"
local time = require "stoke.time"

local URL = "http://there.mem"

local function serve(handler) return http.serve { mem = "there", handler = handler } end

--- Answers with what it was asked.
local function echo()
  local seen = {}
  return serve(function(req)
    for key in pairs(seen) do seen[key] = nil end
    for _, key in ipairs { "method", "target", "headers", "body" } do seen[key] = req[key] end
    return "ok"
  end), seen
end

-- ---- requests ---------------------------------------------------------------------------------------------------

test("query is percent-encoded, sorted, and joins what the URL has", function(t)
  local server <close>, seen = echo()
  http.get(URL .. "/a", { query = { z = 1, a = "b c&d=é", list = { "x", "y" }, yes = true } })
  t.eq(seen.target, "/a?a=b%20c%26d%3D%C3%A9&list=x&list=y&yes=true&z=1")
  http.get(URL .. "/a?q=1", { query = { r = 2 } })
  t.eq(seen.target, "/a?q=1&r=2")
  http.get(URL .. "/a#part", { query = "raw=1" })
  t.eq(seen.target, "/a?raw=1")
  http.get(URL .. "/a", { query = {} })
  t.eq(seen.target, "/a")
end)

test("a table as json, form or multipart becomes the body and its type", function(t)
  local server <close>, seen = echo()
  http.post(URL, { json = { b = 1, a = { 2.5, "x" } } })
  t.eq({ seen.body, seen.headers["content-type"] }, { '{"a":[2.5,"x"],"b":1}', "application/json" })
  http.post(URL, { form = { b = "1 2", a = "x" } })
  t.eq({ seen.body, seen.headers["content-type"] }, { "a=x&b=1%202", "application/x-www-form-urlencoded" })
  http.post(URL, { multipart = {
    { name = "note", value = "hello" },
    { name = "file", value = "\0\1stoke-part-00000000", filename = 'a"b.bin', type = "application/x-thing" },
  } })
  t.eq(seen.headers["content-type"], "multipart/form-data; boundary=stoke-part-00000001")
  t.eq(seen.body, '--stoke-part-00000001\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n' ..
    '--stoke-part-00000001\r\nContent-Disposition: form-data; name="file"; filename="a%22b.bin"\r\n' ..
    "Content-Type: application/x-thing\r\n\r\n\0\1stoke-part-00000000\r\n--stoke-part-00000001--\r\n")
  http.post(URL, { body = "as it is", headers = { ["content-type"] = "text/x" } })
  t.eq({ seen.body, seen.headers["content-type"] }, { "as it is", "text/x" })
end)

test("headers go out as given, by name, ours only where there is none", function(t)
  local server <close>, seen = echo()
  http.get(URL, { headers = { ["X-B"] = 2, ["x-a"] = { "1", "2" } } })
  t.eq({ seen.headers["x-a"], seen.headers["x-b"] }, { "1, 2", "2" })
  t.match(seen.headers["user-agent"], "^stoke/%d")
  http.get(URL, { headers = { ["user-AGENT"] = "me" } })
  t.eq(seen.headers["user-agent"], "me")
end)

test("request takes any method", function(t)
  local server <close>, seen = echo()
  http.request { url = URL }
  t.eq(seen.method, "GET")
  http.request { url = URL, json = { 1 } }
  t.eq(seen.method, "POST")
  http.request { url = URL .. "/x", method = "delete" }
  t.eq({ seen.method, seen.target }, { "DELETE", "/x" })
end)

test("a wrong request is an argument error that says what is meant", function(t)
  local function bad(pattern, f, ...)
    t.match(t.raises("argument", f, ...).message, pattern)
  end
  bad("did you mean query", http.get, URL, { qurey = {} })
  bad("did you mean url", http.request, { urll = URL })
  bad("did you mean first_byte", http.get, URL, { timeout = { firstbyte = 1 } })
  bad("url must be a string", http.get, nil)
  bad("not a URL: 'ftp://x/'", http.get, "ftp://x/")
  bad("not a URL: 'localhost:80'", http.get, "localhost:80")
  bad("blanks or control characters", http.get, URL .. "/a b")
  bad("line break", http.get, URL, { headers = { a = "b\r\nc: d" } })
  bad("bad header name", http.get, URL, { headers = { ["a b"] = "c" } })
  bad("cannot both be the body", http.post, URL, { json = {}, body = "x" })
  bad("stream must be", http.get, URL, { stream = "words" })
  bad("number of seconds", http.get, URL, { timeout = "10" })
  bad("bad method", http.request, { url = URL, method = "GE T" })
end)

-- ---- answers ------------------------------------------------------------------------------------------------------

test("an answer has status, headers without case, body and json", function(t)
  local server <close> = serve(function(_, res)
    res:reply(201, { ["X-Thing"] = "1", ["Set-Cookie"] = { "a=1, x", "b=2" } }, { n = 1, list = {} })
  end)
  local res = http.get(URL)
  t.eq(res.status, 201)
  t.eq({ res.headers["x-thing"], res.headers["X-THING"], res.headers.nothing }, { "1", "1", nil })
  t.eq(res.headers["set-cookie"], "a=1, x, b=2")
  t.eq(res.headers:all "Set-Cookie", { "a=1, x", "b=2" })
  t.eq(res.headers:all "nothing", {})
  t.eq(res:json().n, 1)
end)

test("json of an answer that is none is a protocol error naming the place, not the secrets", function(t)
  local server <close> = serve(function() return "<html>" end)
  local err = t.raises("protocol", function() http.get(URL .. "/x?key=secret"):json() end)
  t.match(err.message, "^GET http://there.mem/x: the answer is no JSON")
  t.ok(not tostring(err):find "secret")
end)

test("a status of 400 or more raises, with the answer attached, unless told not to", function(t)
  local server <close> = serve(function(req, res)
    res:reply(tonumber(req.path:match "%d+"), nil, { error = "model 'x' not found" })
  end)
  local err = t.raises("http", http.get, URL .. "/404?key=secret")
  t.eq(err.message, "GET http://there.mem/404: 404 Not Found: model 'x' not found")
  t.eq({ err.status, err.response.status, err.retryable }, { 404, 404, false })
  t.eq(err.response:json().error, "model 'x' not found")
  t.eq(t.raises("http", http.get, URL .. "/503").retryable, true)
  t.eq(http.get(URL .. "/500", { raise = false }).status, 500)
  err = t.raises("http", http.get, URL .. "/400", { stream = "lines" })
  t.eq({ err.status, err.response:json().error }, { 400, "model 'x' not found" })
end)

test("an answer longer than max_bytes is a limit error", function(t)
  local server <close> = serve(function() return ("x"):rep(2000) end)
  t.eq(#http.get(URL, { max_bytes = 2000 }).body, 2000)
  t.raises("limit", http.get, URL, { max_bytes = 1999 })
end)

-- ---- streams ------------------------------------------------------------------------------------------------------

test("lines come as they are sent, whatever the cuts", function(t)
  local server <close> = serve(function(_, res)
    res:start(200, { ["Content-Type"] = "application/x-ndjson" })
    for _, piece in ipairs { "on", "e\ntwo\r\n", "\nfo", "ur\nla", "st" } do
      res:write(piece)
      stoke.sleep(1)
    end
  end)
  local got, started = {}, time.monotonic()
  local res = http.get(URL, { stream = "lines" })
  t.eq({ res.status, res.headers["content-type"], res.body }, { 200, "application/x-ndjson", nil })
  for line in res:lines() do got[#got + 1] = { line, math.floor(time.monotonic() - started + 0.5) } end
  t.eq(got, { { "one", 1 }, { "two", 1 }, { "", 2 }, { "four", 3 }, { "last", 5 } })
end)

test("server-sent events come whole", function(t)
  local server <close> = serve(function(_, res)
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    for _, piece in ipairs { ": hi\nda", "ta: one\n\nevent: n", "ote\r\nid: 7\r\ndata: two\r", "\ndata:  three\r\n\r\n",
      "retry: 5\n\ndata\n\ndata: lost" } do
      res:write(piece)
      stoke.sleep(1)
    end
  end)
  local got = {}
  for ev in http.get(URL, { stream = "sse" }):events() do got[#got + 1] = ev end
  t.eq(got, { { event = "message", data = "one" }, { event = "note", data = "two\n three", id = "7" },
    { event = "message", data = "", id = "7" } })
end)

test("bytes come in pieces; leaving the loop closes the connection", function(t)
  local left
  local server <close> = serve(function(_, res)
    local guard <close> = setmetatable({}, { __close = function() left = true end })
    res:start(200)
    for i = 1, 1000 do
      res:write(tostring(i))
      stoke.sleep(1)
    end
  end)
  local got = ""
  for bytes in http.get(URL, { stream = "bytes" }):chunks() do
    got = got .. bytes
    if #got >= 3 then break end
  end
  t.eq(got, "123")
  stoke.sleep(1)
  t.eq(left, true)
end)

test("a stream is read the way it was asked for", function(t)
  local server <close> = serve(function() return "x" end)
  local res <close> = http.get(URL, { stream = "lines" })
  t.match(t.raises("argument", res.events, res).message, 'stream = "sse", not "lines"')
  t.raises("argument", res.json, res)
  t.raises("argument", http.get(URL).lines, http.get(URL))
end)

test("a line longer than max_line is a limit error", function(t)
  local server <close> = serve(function() return "short\n" .. ("x"):rep(2000) .. "\n" end)
  local got = {}
  t.raises("limit", function()
    for line in http.get(URL, { stream = "lines", max_line = 100 }):lines() do got[#got + 1] = line end
  end)
  t.eq(got, { "short" })
end)

test("a slow reader makes the server wait, and loses nothing", function(t)
  local written = 0
  local server <close> = serve(function(_, res)
    res:start(200)
    for _ = 1, 400 do
      res:write(("x"):rep(9999) .. "\n")
      written = written + 1
    end
  end)
  local res = http.get(URL, { stream = "lines" })
  stoke.sleep(100)
  t.ok(written < 300, "the server was held up at " .. written)
  local n, bytes = 0, 0
  for line in res:lines() do n, bytes = n + 1, bytes + #line end
  t.eq({ n, bytes, written }, { 400, 400 * 9999, 400 })
end)

-- ---- time ---------------------------------------------------------------------------------------------------------

--- Answers after a while, and pauses in the middle.
local function slow(before, between)
  return serve(function(_, res)
    stoke.sleep(before)
    res:start(200)
    for _ = 1, 3 do
      res:write "x\n"
      stoke.sleep(between)
    end
  end)
end

test("each phase has its own limit, and the error says which", function(t)
  local function phase(before, between, timeout)
    local server <close> = slow(before, between)
    local started = time.monotonic()
    local res, err = stoke.try(http.get, URL, { timeout = timeout })
    if res then return "fine" end
    return ("%s %s %g"):format(err.kind, err.phase, math.floor((time.monotonic() - started) * 100 + 0.5) / 100)
  end
  t.eq(phase(59, 59), "fine")
  t.eq(phase(61, 0), "timeout first_byte 60")
  t.eq(phase(0, 61), "timeout idle 60")
  t.eq(phase(5, 0, { first_byte = 4 }), "timeout first_byte 4")
  t.eq(phase(1, 5, { idle = 3 }), "timeout idle 4")
  t.eq(phase(1, 1, { idle = 3, total = 2.5 }), "timeout total 2.5")
  t.eq(phase(100, 0, 99), "timeout total 99")
  t.eq(phase(98, 0, 99), "fine")
  t.eq(phase(1000, 1000, false), "fine")
  t.eq(phase(1000, 1000, { first_byte = 0, idle = false }), "fine")
end)

test("a reader that takes its time is no idle server", function(t)
  local server <close> = serve(function() return "a\nb\n" end)
  local got = {}
  for line in http.get(URL, { stream = "lines", timeout = { idle = 1 } }):lines() do
    stoke.sleep(100)
    got[#got + 1] = line
  end
  t.eq(got, { "a", "b" })
end)

test("cancelling a task cuts its request at once", function(t)
  local left
  local server <close> = serve(function()
    local guard <close> = setmetatable({}, { __close = function() left = time.monotonic() end })
    stoke.sleep(1000)
  end)
  local task = stoke.spawn(function() http.get(URL, { timeout = false }) end)
  stoke.sleep(10)
  task:cancel()
  local now = time.monotonic()
  t.raises("cancelled", task.await, task)
  stoke.sleep(1)
  t.ok(left and left - now < 0.05, "the server saw it at once")
end)

test("a stream left open is closed with its scope", function(t)
  local left
  local server <close> = serve(function(_, res)
    local guard <close> = setmetatable({}, { __close = function() left = true end })
    res:start(200)
    res:write "x"
    stoke.sleep(1000)
  end)
  stoke.spawn(function() http.get(URL, { stream = "lines" }) end):await()
  stoke.sleep(1)
  t.eq(left, true)
end)

test("the real network is closed in tests", function(t)
  t.raises("denied", http.get, "http://127.0.0.1:1/")
end)

test("nobody there in memory is a refusal", function(t)
  t.raises("refused", http.get, "http://nobody.mem/")
end)

-- ---- sockets ------------------------------------------------------------------------------------------------------

local function real(name, f) test(name, { real = true, timeout = 60 }, f) end

real("over a socket: heads, encodings and bodies arrive as sent", function(t)
  local peer <close> = start_peer()
  local res = http.get(peer.url .. "/heads")
  t.eq({ res.status, res.body }, { 200, "hi" })
  t.eq({ res.headers["x-two"], res.headers["x-folded"], res.headers["x-empty"], res.headers["x-trailer"] },
    { "a, b", "one  two", "", nil })
  t.eq(res.headers:all "set-cookie", { "a=1, b", "c=2" })
  t.eq(res.headers.link, nil, "of the early hints")
  t.eq(http.get(peer.url .. "/gzip?100").body, ("a"):rep(25801))
  local sent = http.request { method = "PUT", url = peer.url .. "/echo", body = "hello",
    headers = { ["X-Empty"] = "", ["X-B"] = "c" } }.body
  t.match(sent, "^PUT /echo HTTP/1.1\r\n")
  t.match(sent, "\r\nX%-Empty:\r\n")
  t.match(sent, "\r\nContent%-Length: 5\r\n\r\nhello$")
  t.ok(not sent:lower():find "expect:")
  t.ok(not sent:lower():find "content%-type:")
  local big = ("x"):rep(3000000)
  sent = http.post(peer.url .. "/early", { body = big })
  t.eq(sent.body, "ok")
  t.eq(http.request({ method = "HEAD", url = peer.url .. "/ok" }).body, "")
  t.match(http.get(peer.url .. "/echo").body, "^GET /echo HTTP/1.1\r\n", "nothing of the PUT is left in its handle")
end)

real("over a socket: streams", function(t)
  local peer <close> = start_peer()
  local n = 0
  for line in http.get(peer.url .. "/lines?1000", { stream = "lines" }):lines() do
    n = n + 1
    if line ~= ('{"n":%d}'):format(n) then t.fail("line " .. n .. " is " .. line) end
  end
  t.eq(n, 1000)
  local got = {}
  for ev in http.get(peer.url .. "/sse", { stream = "sse" }):events() do got[#got + 1] = ev end
  t.eq(got, { { event = "message", data = "one" }, { event = "note", data = "two\n three", id = "7" },
    { event = "message", data = "", id = "7" } })
  got = {}
  for line in http.get(peer.url .. "/slow?2", { stream = "lines" }):lines() do got[#got + 1] = line end
  t.eq(got, { '{"n":1}', '{"n":2}', '{"n":3}' })
  for line in http.get(peer.url .. "/long-line?3000000", { stream = "lines" }):lines() do t.eq(#line, 3000000) end
end)

real("a flood is held back while nobody reads", function(t)
  local peer <close> = start_peer()
  local res <close> = http.get(peer.url .. "/flood", { stream = "bytes" })
  local next_chunk, size = res:chunks(), 0
  stoke.sleep(0.3)
  local before = peer:stats().flooded
  stoke.sleep(0.3)
  t.eq(peer:stats().flooded, before, "it stands still")
  t.ok(before < 16 << 20, "held back at " .. before)
  while size < 20 << 20 do size = size + #next_chunk() end
end)

real("the text of a request is given back once its answer has begun", function(t)
  local peer <close> = start_peer()
  local body = ("x"):rep(60000)
  local before = about.memory()
  local res <close> = http.request { method = "POST", url = peer.url .. "/slow?50", body = body, stream = "lines" }
  local held = about.memory() - before
  t.ok(held < #body // 2, ("%d bytes are held while the answer comes"):format(held))
  t.eq(res.status, 200)
end)

-- A transfer that has had its share of a turn is paused, and curl hands over at once what it had read of the next head.
real("redirects: a head that came before a pause is read like any other", function(t)
  local peer <close> = start_peer()
  for _ = 1, 60 do t.match(http.get(peer.url .. "/redirect/5").body, "^GET /echo ") end
end)

real("redirects: followed, counted, and no secrets for another host", function(t)
  local peer <close> = start_peer()
  t.match(http.get(peer.url .. "/redirect/5").body, "^GET /echo ")
  t.match(t.raises("protocol", http.get, peer.url .. "/redirect/6").message, "more than 5 redirects")
  t.match(t.raises("protocol", http.get, peer.url .. "/loop", { max_redirects = 2 }).message, "more than 2")
  local res = http.get(peer.url .. "/redirect/1", { max_redirects = 0 })
  t.eq({ res.status, res.headers.location, res.body }, { 302, "/echo", "moved" })
  t.raises("protocol", http.get, peer.url .. "/redirect-to?302,ftp://localhost/x")
  local secret = { Authorization = "Bearer abc", Cookie = "id=abc", ["X-Other"] = "stays" }
  local body = http.get(peer.url .. "/redirect-to?302,/echo", { headers = secret }).body
  t.match(body, "Bearer abc")
  body = http.get(peer.url .. "/redirect-to?302," .. peer.name_url .. "/echo", { headers = secret }).body
  t.match(body, "X%-Other: stays")
  t.ok(not body:find "abc", "the other host got no secret")
  body = http.post(peer.url .. "/redirect-to?303,/echo", { body = "once" }).body
  t.match(body, "^GET /echo ")
  body = http.post(peer.url .. "/redirect-to?307,/echo", { body = "twice" }).body
  t.match(body, "^POST /echo .*twice$")
end)

real("connections are reused, by many at once", function(t)
  local peer <close> = start_peer()
  for _ = 1, 20 do http.get(peer.url .. "/ok") end
  t.eq(peer:stats().connections, 1)
  local scope <close> = stoke.scope {}
  local list = {}
  for i = 1, 200 do list[i] = i end
  local got = scope:map(list, function(i) return http.get(peer.url .. "/echo", { query = { n = i } }).body:match "n=(%d+)" end,
    { limit = 20 })
  for i = 1, 200 do t.eq(got[i], tostring(i)) end
  t.ok(peer:stats().connections <= 21)
end)

real("a proxy is used when given, never for loopback", function(t)
  local peer <close> = start_peer()
  local body = http.get("http://example.invalid/echo", { proxy = peer.url }).body
  t.match(body, "^GET http://example.invalid/echo HTTP")
  t.match(http.get(peer.url .. "/echo", { proxy = peer.refused }).body, "^GET /echo ")
end)

real("TLS is verified", function(t)
  local peer <close> = start_peer()
  t.match(t.raises("tls", http.get, peer.tls .. "/ok").message, "certificate")
  t.eq(http.get(peer.tls .. "/ok", { ca_file = peer.ca_file }).body, '{"ok":true}')
  t.eq(http.get(peer.tls .. "/ok", { insecure = true }).body, '{"ok":true}')
  t.raises("tls", http.get, peer.tls .. "/ok")
  t.raises("tls", http.get, (peer.tls:gsub("localhost", "127.0.0.1")) .. "/ok", { ca_file = peer.ca_file })
end)
