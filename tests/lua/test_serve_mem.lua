-- http.serve in memory: what a handler sees and what its client gets, without sockets and under a virtual clock.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local cut = require "stoke.http.cut"

local function serve(handler, more)
  local options = { mem = "here", handler = handler }
  for k, v in pairs(more or {}) do options[k] = v end
  return http.serve(options)
end

local function failure(t, kind, f, ...)
  local value, err = stoke.try(f, ...)
  t.eq(value, nil)
  t.ok(err, "it fails")
  t.eq(err.kind, kind)
  return err
end

local URL = "http://here.mem"

test("a handler sees the request as it was sent", function(t)
  local seen
  local server <close> = serve(function(req) seen = req return "fine" end)
  t.eq(server.url, URL)
  local r = http.post(URL .. "/a%20b/c?x=1&y=two+words&z=%C3%A9&x=2", { body = "hello", headers = { ["X-Twice"] = "1" } })
  t.eq({ r.status, r.body, r.headers["content-type"] }, { 200, "fine", "text/plain; charset=utf-8" })
  t.eq({ seen.method, seen.path, seen.body, seen.peer }, { "POST", "/a b/c", "hello", "mem" })
  t.eq(seen.target, "/a%20b/c?x=1&y=two+words&z=%C3%A9&x=2")
  t.eq(seen.query, { x = "2", y = "two words", z = "é" })
  t.eq(seen.headers.host, "here.mem")
  t.eq(seen.headers["x-twice"], "1")
  t.eq(seen.headers["content-length"], "5")
end)

test("no path climbs above the root", function(t)
  local guard <close> = serve(function(req) return req.path end)
  local r = require "stoke.http.request"
  for raw, path in pairs {
    ["/"] = "/", ["/a/./b"] = "/a/b", ["/a/../b"] = "/b", ["/../../etc/passwd"] = "/etc/passwd", ["/%2e%2e/%2E%2E/x"] = "/x",
    ["/..%2f..%2fx"] = "/x", ["/a//b/"] = "/a/b/", ["/a/b/.."] = "/a/", ["/a%25b"] = "/a%b", ["/a/.."] = "/",
  } do
    t.eq(r.path(raw), path, raw)
  end
  for _, raw in ipairs { "a", "", "/%", "/%zz", "/a%00b" } do t.eq(r.path(raw), nil, raw) end
  t.eq(http.get(URL .. "/x/%2e%2e/%2e%2e/y").body, "/y")
  t.eq(http.get(URL .. "/%zz", { raise = false }).status, 400)
end)

test("a handler answers with text, a table, nothing, or by itself", function(t)
  local guard <close> = serve(function(req, res)
    if req.path == "/text" then return "text" end
    if req.path == "/table" then return { n = 1 } end
    if req.path == "/echo" then return req:json() end
    if req.path == "/own" then res:reply(201, { Location = "/x", ["Set-Cookie"] = { "a=1", "b=2" } }, { made = true }) end
  end)
  t.eq(http.get(URL .. "/text").body, "text")
  local r = http.get(URL .. "/table")
  t.eq({ r.headers["content-type"], r.body }, { "application/json", '{"n":1}' })
  t.eq(http.get(URL .. "/").status, 204)
  r = http.get(URL .. "/own")
  t.eq({ r.status, r.headers.location, r.body }, { 201, "/x", '{"made":true}' })
  t.eq(r.headers["content-length"], "13")
  t.eq(http.post(URL .. "/echo", { body = '{"a":[1]}' }).body, '{"a":[1]}')
  r = http.post(URL .. "/echo", { body = "{", raise = false })
  t.eq(r.status, 400)
  t.match(r.body, "not JSON")
end)

test("an error in a handler is answered with 500, and the server lives on", function(t)
  local told = {}
  local guard <close> = serve(function(req, res)
    if req.path == "/late" then
      res:start(200)
      res:write "half"
    end
    if req.path ~= "/ok" then error "broken on purpose" end
    return "ok"
  end, { on_error = function(err, req) told[#told + 1] = req.path .. " " .. err.message:match "broken on purpose" end })
  local r = http.get(URL .. "/early", { raise = false })
  t.eq({ r.status, r.body }, { 500, "internal error\n" })
  failure(t, "incomplete", http.get, URL .. "/late")
  t.eq(http.get(URL .. "/ok").body, "ok")
  t.eq(told, { "/early broken on purpose", "/late broken on purpose" })
end)

test("a reply comes in pieces while the handler runs", function(t)
  local guard <close> = serve(function(_, res)
    res:start(200, { ["Content-Type"] = "application/x-ndjson" })
    for i = 1, 5 do
      res:write(("{\"i\":%d}\n"):format(i))
      stoke.sleep(10)
    end
  end)
  local began, lines = stoke.time.monotonic(), {}
  local s <close> = http.get(URL .. "/", { stream = "lines" })
  for line in s:lines() do
    lines[#lines + 1] = line
    t.near(stoke.time.monotonic() - began, 10 * (#lines - 1), 0.001)
  end
  t.eq(#lines, 5)
  t.near(stoke.time.monotonic() - began, 50, 0.001)
end)

test("a handler whose client leaves is cancelled, and its close blocks run", function(t)
  local closed, after = false, false
  local guard <close> = serve(function(_, res)
    local _ <close> = setmetatable({}, { __close = function() closed = stoke.time.monotonic() end })
    res:start()
    res:write "x\n"
    stoke.sleep(1000)
    after = true
  end)
  local left
  do
    local s <close> = http.get(URL .. "/", { stream = "lines" })
    s.stream:next()
    stoke.sleep(5)
    left = stoke.time.monotonic()
  end
  stoke.sleep(0.001)
  t.near(closed, left, 0.001)
  t.eq(after, false)
end)

test("writing to a client that has gone raises, and nobody is blamed", function(t)
  local kinds, blamed = {}, false
  local guard <close> = serve(function(_, res)
    res:start()
    stoke.shield(100, function()
      stoke.sleep(3)
      local _, err = stoke.try(res.write, res, "x")
      kinds[1] = err.kind
    end)
  end, { on_error = function() blamed = true end })
  failure(t, "timeout", stoke.timeout, 1, http.get, URL .. "/")
  stoke.sleep(20)
  t.eq(kinds, { "incomplete" })
  t.eq(blamed, false)
end)

test("a slow reader holds the writer back", function(t)
  local written = 0
  local guard <close> = serve(function(_, res)
    res:start()
    for _ = 1, 100 do
      res:write(("x"):rep(65536))
      written = written + 65536
    end
  end)
  local s <close> = http.get(URL .. "/", { stream = "bytes" })
  local got = #s.stream:next()
  stoke.sleep(100)
  t.ok(written < 4 * 1024 * 1024, "the writer waits")
  for chunk in function() return s.stream:next() end do got = got + #chunk end
  t.eq({ got, written }, { 6553600, 6553600 })
end)

test("what slow readers have yet to take is bounded for all of them: further requests get 503 until it is taken", function(t)
  local made, big = 0, ("x"):rep(4 << 20)
  local guard <close> = serve(function(req, res)
    made = made + 1
    if req.path == "/small" then return "small" end
    if req.path == "/late" then stoke.sleep(1) end
    if req.path == "/pieces" then return res:write(big) end
    return big
  end, { max_waiting = 9 << 20 })
  local function slow(path)
    local s = http.get(URL .. path, { stream = "bytes" })
    return s, #s.stream:next()
  end
  local late = stoke.spawn(function() return http.get(URL .. "/late", { raise = false }) end)
  local one <close>, got = slow "/"
  local two <close> = slow "/pieces"
  t.eq(http.get(URL .. "/small").body, "small") -- 8 of 9 MB: there is room for small ones
  t.eq(late:await().status, 503, "a large reply that was made meanwhile is dropped")
  for chunk in function() return one.stream:next() end do got = got + #chunk end
  t.eq(got, #big)
  local three <close> = slow "/" -- and there is room again
  local four <close> = http.serve { mem = "other", handler = function() return "other" end }
  t.eq(http.get(four.url .. "/").body, "other", "another server counts for itself")
  local before = made
  three:close()
  two:close()
  stoke.sleep(1)
  t.eq({ http.get(URL .. "/small").body, made }, { "small", before + 1 })
end)

test("with as many bytes waiting as max_waiting no handler runs; the reply says when to come again", function(t)
  local made = 0
  local guard <close> = serve(function() made = made + 1 return ("x"):rep(4 << 20) end, { max_waiting = 1 << 20 })
  local first <close> = http.get(URL .. "/", { stream = "bytes" })
  first.stream:next()
  local r = http.get(URL .. "/", { raise = false })
  t.eq({ r.status, r.headers["retry-after"], r.body, made }, { 503, "1", "", 1 })
  t.raises("argument", http.serve, { mem = "bad", handler = print, max_waiting = -1 })
end)

test("a reply that is cut is an error at the client, after what was written", function(t)
  local guard <close> = serve(function(req, res)
    if req.path == "/mid" then
      res:start()
      res:write "one\ntw"
    end
    res:reset()
  end)
  local s, lines = http.get(URL .. "/mid", { stream = "lines" }), {}
  failure(t, "incomplete", function()
    for line in s:lines() do lines[#lines + 1] = line end
  end)
  t.eq(lines[1], "one")
  failure(t, "incomplete", http.get, URL .. "/none")
end)

test("bytes cut at random places are the same bytes", function(t)
  local body = {}
  for i = 1, 500 do body[i] = ("line %d é\n"):format(i) end
  local guard <close> = serve(function(_, res)
    res:start()
    for _, line in ipairs(body) do res:write(line) end
  end)
  local _ <close> = setmetatable({}, { __close = function() cut(0, 0) end })
  for seed = 1, 5 do
    cut(seed, 7)
    t.eq(http.get(URL .. "/").body, table.concat(body))
  end
end)

test("HEAD has the head of a GET and no body", function(t)
  local guard <close> = serve(function() return "hello" end)
  local r = http.request { method = "HEAD", url = URL .. "/" }
  t.eq({ r.status, r.headers["content-length"], r.body }, { 200, "5", "" })
end)

test("redirects are followed in memory, and capped", function(t)
  local guard <close> = serve(function(req, res)
    if req.path == "/end" then return req.method .. " " .. req.body end
    local where = { ["/abs"] = URL .. "/end", ["/rel"] = "end", ["/see"] = "/end", ["/keep"] = "/end", ["/loop"] = "/loop",
      ["/out"] = "http://example.org/" }
    res:reply(req.path == "/see" and 303 or req.path == "/keep" and 307 or 302, { Location = where[req.path] })
  end)
  t.eq(http.get(URL .. "/abs").body, "GET ")
  t.eq(http.get(URL .. "/rel").body, "GET ")
  t.eq(http.post(URL .. "/see", { body = "b" }).body, "GET ")
  t.eq(http.post(URL .. "/keep", { body = "b" }).body, "POST b")
  t.eq(http.get(URL .. "/abs", { max_redirects = 0, raise = false }).status, 302)
  failure(t, "protocol", http.get, URL .. "/loop")
  failure(t, "protocol", http.get, URL .. "/out")
end)

test("what is too large is refused before the handler", function(t)
  local calls = 0
  local guard <close> = serve(function() calls = calls + 1 return "" end, { max_body = 10, max_header = 500 })
  t.eq(http.post(URL .. "/", { body = ("x"):rep(11), raise = false }).status, 413)
  t.eq(http.get(URL .. "/", { headers = { X = ("x"):rep(500) }, raise = false }).status, 431)
  t.eq(calls, 0)
  t.eq(http.post(URL .. "/", { body = ("x"):rep(10) }).status, 200)
end)

test("nobody listens under an unknown name, or a closed one", function(t)
  failure(t, "refused", http.get, "http://nobody.mem/")
  local server = serve(function() return "" end)
  failure(t, "os", serve, function() return "" end)
  server:close()
  failure(t, "refused", http.get, URL .. "/")
  server:close()
end)

test("close lets requests under way end, up to its drain", function(t)
  local ended, undone = 0, 0
  local server <close> = serve(function(req)
    local _ <close> = setmetatable({}, { __close = function(_, e) if e then undone = undone + 1 end end })
    stoke.sleep(tonumber(req.query.s))
    ended = ended + 1
    return "done"
  end, { drain = 5 })
  local quick = stoke.spawn(http.get, URL .. "/?s=3")
  local slow = stoke.spawn(function() return http.get(URL .. "/?s=60", { raise = false }) end)
  stoke.sleep(1)
  local began = stoke.time.monotonic()
  server:close()
  t.near(stoke.time.monotonic() - began, 5, 0.5)
  t.eq(quick:await().body, "done")
  t.eq(slow:await().status, 503)
  t.eq({ ended, undone }, { 1, 1 })
end)

test("leaving the scope stops the server", function(t)
  do
    local scope <close> = stoke.scope {}
    scope:spawn(function()
      serve(function() return "x" end)
      stoke.sleep(100)
    end)
    stoke.sleep(1)
    t.eq(http.get(URL .. "/").body, "x")
  end
  failure(t, "refused", http.get, URL .. "/")
end)

test("a server of the host's own belongs to no scope", function(t)
  local server
  do
    local scope <close> = stoke.scope {}
    server = serve(function() return "x" end, { system = true })
  end
  t.eq(http.get(URL .. "/").body, "x")
  server:close()
  failure(t, "refused", http.get, URL .. "/")
end)

test("what cannot be sent is the handler's mistake", function(t)
  local messages = {}
  local tries = {
    ["/twice"] = function(res) res:reply(200) res:reply(200) end,
    ["/status"] = function(res) res:reply(99) end,
    ["/split"] = function(res) res:reply(200, { A = "x\r\nSet-Cookie: y" }) end,
    ["/name"] = function(res) res:reply(200, { ["a b"] = "x" }) end,
    ["/body"] = function(res) res:reply(200, {}, 42) end,
    ["/ended"] = function(res) res:reply(200) res:write "x" end,
    ["/return"] = function() return 42 end,
  }
  local guard <close> = serve(function(req, res) return tries[req.path](res) end,
    { on_error = function(err, req) messages[req.path] = err.kind end })
  for path in pairs(tries) do stoke.try(http.get, URL .. path) end
  for path in pairs(tries) do t.eq(messages[path], "argument", path) end
end)

test("unknown options are refused by name", function(t)
  local err = failure(t, "argument", http.serve, { mem = "x", handlr = print })
  t.match(err.message, "did you mean handler")
  failure(t, "argument", http.serve, { mem = "x" })
  failure(t, "argument", http.serve, { mem = "Not A Name", handler = print })
  failure(t, "argument", http.serve, { mem = "x", port = 1, handler = print })
end)

test("many at once keep their own replies", function(t)
  local guard <close> = serve(function(req)
    stoke.sleep(tonumber(req.query.n) % 7)
    return req.query.n
  end)
  local list = {}
  for i = 1, 300 do list[i] = i end
  local scope <close> = stoke.scope {}
  local got = scope:map(list, function(i) return http.get(URL .. "/?n=" .. i).body end)
  for i = 1, 300 do t.eq(got[i], tostring(i)) end
end)
