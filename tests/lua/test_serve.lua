-- http.serve on a port: real sockets, hostile requests written by hand, clients that leave, many at once.

local test = require "stoke.test"
local stoke = require "stoke"
local about = require "core.about"
local http = require "stoke.http"
local proc = require "stoke.proc"
local time = require "stoke.time"

local SCALE = tonumber(os.getenv "STOKE_SCALE") or 1

local function real(name, f) test(name, { real = true, timeout = 60 }, f) end

local function serve(handler, more)
  local options = { port = 0, handler = handler }
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

--- Sends bytes as they are and returns all that comes back until the server closes, or nothing came for `patience` s.
local function raw(server, bytes, patience)
  local r = proc.run { argv = { "bash", "-c", [[
    exec 4<&0 3<>/dev/tcp/127.0.0.1/$1 || exit 9
    cat <&4 >&3 & timeout $2 cat <&3; kill %1 2>/dev/null; exit 0]], "raw", tostring(server.port), tostring(patience or 5) },
    stdin = bytes, timeout = 30 }
  return r.stdout, r.stdout:match "^HTTP/1%.1 (%d+)"
end

local CLOSE = "Host: localhost\r\nConnection: close\r\n"

real("a request and its reply cross a socket", function(t)
  local seen
  local server <close> = serve(function(req) seen = req return req.body:upper() end)
  t.ok(server.port > 0)
  t.eq(server.url, "http://127.0.0.1:" .. server.port)
  local r = http.post(server.url .. "/a%2Fb?q=%20", { body = "hello" })
  t.eq({ r.status, r.body }, { 200, "HELLO" })
  t.eq({ seen.path, seen.query.q, seen.target }, { "/a/b", " ", "/a%2Fb?q=%20" })
  t.match(seen.peer, "^127%.0%.0%.1:%d+$")
  t.eq(http.request({ method = "HEAD", url = server.url .. "/" }).headers["content-length"], "0")
end)

real("each write is a chunk of its own, and the reply ends when the handler returns", function(t)
  local server <close> = serve(function(_, res)
    res:start(200, { ["Content-Type"] = "text/plain" })
    for i = 1, 3 do res:write("line " .. i .. "\n") end
  end)
  local text = raw(server, "GET / HTTP/1.1\r\n" .. CLOSE .. "\r\n")
  t.match(text, "\r\n\r\n7\r\nline 1\n\r\n7\r\nline 2\n\r\n7\r\nline 3\n\r\n0\r\n\r\n$")
end)

real("a returned table of status and body, a number, or nil and an error is an error that names res:reply", function(t)
  local told
  local returned = {
    whole = function() return { status = 404, body = "no such note" } end,
    headers = function() return { status = 302, headers = { Location = "/" } } end,
    alone = function() return { status = 500 } end,
    number = function() return 404 end,
    failed = function() return nil, "no such note" end,
    tried = function() return stoke.try(error, "no such note", 0) end,
  }
  local server <close> = serve(function(req) return returned[req.path:sub(2)]() end, { on_error = function(err) told = err end })
  for name, wanted in next, {
    whole = "a handler returned a table with the status 404, which would go out as JSON with 200",
    headers = "a handler returned a table with the status 302, which would go out as JSON with 200",
    alone = "a handler returned a table with the status 500, which would go out as JSON with 200",
    number = "a handler returned 404", failed = "no such note", tried = "no such note",
  } do
    told = nil
    t.eq(http.get(server.url .. "/" .. name, { raise = false }).status, 500, name)
    t.eq(told.message, wanted)
    if told.kind == "argument" then t.match(told.hint, "^res:reply%(status, headers, body%) sets a status") end
  end
end)

real("a returned table that only looks like a reply goes out as JSON", function(t)
  local server <close> = serve(function(req)
    if req.path == "/text" then return { status = "ok", body = "b" } end
    if req.path == "/more" then return { status = 200, id = 7 } end
    return { status = 7 }
  end)
  t.eq(http.get(server.url .. "/text"):json(), { status = "ok", body = "b" })
  t.eq(http.get(server.url .. "/more"):json(), { status = 200, id = 7 })
  t.eq(http.get(server.url .. "/other"):json(), { status = 7 })
end)

real("requests in a row on one connection are answered in order", function(t)
  local server <close> = serve(function(req) return req.path end)
  local requests = {}
  for i = 1, 20 do requests[i] = ("GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"):format(i) end
  requests[21] = "GET /end HTTP/1.1\r\n" .. CLOSE .. "\r\n"
  local text, order = raw(server, table.concat(requests)), {}
  for path in text:gmatch "\r\n\r\n(/%w+)" do order[#order + 1] = path:match "/(%d+)HTTP" or path end
  local _, answers = text:gsub("HTTP/1%.1 200", "")
  t.eq(answers, 21)
  t.ok(text:find "\r\n\r\n/1HTTP" and text:find "/20HTTP" and text:find "/end$")
end)

real("names of headers come in lower case, and one that comes again adds to its value", function(t)
  local seen
  local server <close> = serve(function(req) seen = req return "" end)
  raw(server, "GET /a//b?x=1&y=a+b%2B HTTP/1.1\r\nX-A: 1\r\nCookie: a=1\r\nx-a: 2\r\nCOOKIE: b=2\r\n" .. CLOSE .. "\r\n")
  t.eq({ seen.headers["x-a"], seen.headers.cookie, seen.headers["X-A"] or "none" }, { "1, 2", "a=1; b=2", "none" })
  t.eq({ seen.path, seen.query }, { "/a/b", { x = "1", y = "a b+" } })
end)

real("a client more than max_connections is served when another has gone", function(t)
  local server <close> = serve(function(req) return req.path end, { max_connections = 1 })
  local scope <close> = stoke.scope {}
  local texts = scope:map({ "a", "b", "c" }, function(name)
    return (raw(server, ("GET /%s HTTP/1.1\r\n%s\r\n"):format(name, CLOSE)))
  end)
  for i, name in ipairs { "a", "b", "c" } do t.match(texts[i], "^HTTP/1%.1 200 .*/" .. name .. "$") end
end)

real("a client that goes in the middle of a request makes room at once", function(t)
  local server <close> = serve(function(req) return req.path end, { max_connections = 1 })
  for _, part in ipairs { "GET /x HTT", "POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\nabc" } do
    proc.run { argv = { "bash", "-c", 'for i in {1..20}; do exec 3<>/dev/tcp/127.0.0.1/$1 && printf %s "$2" >&3; exec 3>&-; done',
      "raw", tostring(server.port), part } }
    local text = raw(server, "GET /next HTTP/1.1\r\n" .. CLOSE .. "\r\n")
    t.match(text, "^HTTP/1%.1 200 .*/next$")
  end
end)

real("requests whose length is in doubt are refused, and the connection ends", function(t)
  local calls = 0
  local server <close> = serve(function() calls = calls + 1 return "x" end)
  local bad = {
    { "400", "POST / HTTP/1.1\r\n%sContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc" },
    { "400", "POST / HTTP/1.1\r\n%sContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd" },
    { "400", "POST / HTTP/1.1\r\n%sContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" },
    { "400", "POST / HTTP/1.1\r\n%sTransfer-Encoding: gzip\r\n\r\nabc" },
    { "400", "POST / HTTP/1.1\r\n%sContent-Length: -1\r\n\r\nabc" },
    { "400", "GET / HTTP/1.1\r\n%sHost: again\r\n\r\n" },
    { "400", "GET / HTTP/1.1\r\n%sBad Name: x\r\n\r\n" },
  }
  for _, case in ipairs(bad) do
    local text, status = raw(server, case[2]:format "Host: localhost\r\n" .. "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    t.eq(status, case[1], case[2])
    t.ok(not text:find("200", 1, true), "nothing after it is answered")
  end
  local _, status = raw(server, "GET / HTTP/1.1\r\n\r\n")
  t.eq(status, "400", "no Host")
  t.eq(calls, 0)
  t.match(raw(server, "GET / HTTP/1.0\r\n\r\n"), "\r\n\r\nx$")
end)

real("what is too large is refused before the handler", function(t)
  local calls = 0
  local server <close> = serve(function() calls = calls + 1 return "x" end, { max_body = 1000, max_header = 2000 })
  t.eq(http.post(server.url, { body = ("x"):rep(1001), raise = false }).status, 413)
  t.eq(http.post(server.url, { body = ("x"):rep(4000000), raise = false }).status, 413)
  local chunked = "POST / HTTP/1.1\r\n" .. CLOSE .. "Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n"
  t.eq(select(2, raw(server, chunked:format(1500, ("x"):rep(1500)))), "413")
  for _, size in ipairs { 2000, 15000, 40000 } do
    t.eq(select(2, raw(server, "GET / HTTP/1.1\r\n" .. CLOSE .. "X: " .. ("x"):rep(size) .. "\r\n\r\n")), "431")
  end
  t.eq(calls, 0)
  t.eq(select(2, raw(server, chunked:format(1000, ("x"):rep(1000)))), "200")
end)

real("on loopback only this machine's own names and pages are welcome", function(t)
  local server <close> = serve(function() return "in" end, { hosts = { "box.lan" }, origins = { "https://page.example" } })
  local function status(headers)
    return tonumber((select(2, raw(server, "GET / HTTP/1.1\r\nConnection: close\r\n" .. headers .. "\r\n"))))
  end
  for _, good in ipairs { "Host: localhost\r\n", "Host: 127.0.0.1:99\r\n", "Host: [::1]:1\r\n", "Host: a.localhost:80\r\n",
    "Host: BOX.lan:8080\r\n", "Host: localhost\r\nOrigin: http://localhost:3000\r\n",
    "Host: localhost\r\nOrigin: https://page.example\r\n" } do
    t.eq(status(good), 200, good)
  end
  for _, bad in ipairs { "Host: evil.example\r\n", "Host: localhost.evil.example\r\n", "Host: 127.0.0.1.evil.example\r\n",
    "Host: localhost\r\nOrigin: http://evil.example\r\n", "Host: localhost\r\nOrigin: null\r\n", "Host: \r\n" } do
    t.eq(status(bad), 403, bad)
  end
end)

real("a handler whose client leaves is cancelled at once", function(t)
  local left = stoke.channel(10)
  local server <close> = serve(function(req, res)
    local _ <close> = setmetatable({}, { __close = function() left:send(req.path) end })
    if req.path ~= "/silent" then
      res:start()
      res:write "x\n"
    end
    stoke.sleep(30)
  end)
  for _, path in ipairs { "/silent", "/streaming" } do
    local began = stoke.time.monotonic()
    failure(t, "timeout", stoke.timeout, 0.1, http.get, server.url .. path)
    t.eq(left:recv(), path)
    t.ok(stoke.time.monotonic() - began < 1, "soon")
  end
end)

real("a reply that is cut breaks off at the client, after what was written", function(t)
  local server <close> = serve(function(req, res)
    if req.path == "/mid" then
      res:start()
      res:write "one\ntw"
    end
    res:reset()
  end)
  local text = raw(server, "GET /mid HTTP/1.1\r\nHost: localhost\r\n\r\n")
  t.match(text, "\r\n\r\n6\r\none\ntw\r\n$")
  failure(t, "incomplete", http.get, server.url .. "/mid")
  failure(t, "incomplete", http.get, server.url .. "/none")
end)

real("a slow reader holds the writer back", function(t)
  local written = 0
  local server <close> = serve(function(_, res)
    res:start()
    for _ = 1, 512 do
      res:write(("x"):rep(65536))
      written = written + 65536
    end
  end)
  local s <close> = http.get(server.url, { stream = "bytes" })
  local got = #s.stream:next()
  stoke.sleep(0.3)
  t.ok(written < 24 * 1024 * 1024, "the writer waits")
  for chunk in s:chunks() do got = got + #chunk end
  t.eq({ got, written }, { 33554432, 33554432 })
end)

real("a connection that brings no request is closed", function(t)
  local server <close> = serve(function() return "x" end, { header_timeout = 0.3 })
  local began = stoke.time.monotonic()
  t.eq(raw(server, "GET / HTTP/1.1\r\nHost: local", 10), "")
  t.ok(stoke.time.monotonic() - began < 5)
end)

real("close lets requests under way end, and refuses others", function(t)
  local server = serve(function()
    stoke.sleep(0.3)
    return "done"
  end)
  local one = stoke.spawn(http.get, server.url)
  stoke.sleep(0.1)
  server:close()
  t.eq(one:await().body, "done")
  failure(t, "refused", http.get, server.url)
end)

real("close cancels what does not end within its drain", function(t)
  local server = serve(function(req, res)
    if req.path == "/stream" then res:start() res:write "x" end
    stoke.sleep(30)
  end, { drain = 0.2 })
  local one = stoke.spawn(function() return http.get(server.url, { raise = false }).status end)
  local two = stoke.spawn(function() return select(2, stoke.try(http.get, server.url .. "/stream")).kind end)
  stoke.sleep(0.1)
  local began = stoke.time.monotonic()
  server:close()
  t.ok(stoke.time.monotonic() - began < 3)
  t.eq({ one:await(), two:await() }, { 503, "incomplete" })
end)

real("a taken port is an error that names it", function(t)
  local server <close> = serve(function() return "x" end)
  local err = failure(t, "os", http.serve, { port = server.port, handler = print })
  t.match(err.message, tostring(server.port))
  t.match(err.message, "in use")
end)

real("many clients, some of which leave, each get their own", function(t)
  local n, rounds = 50, math.max(2, math.floor(20 * SCALE))
  local server <close> = serve(function(req, res)
    if req.query.leave then stoke.sleep(10) end
    res:start()
    for i = 1, 5 do
      res:write(req.query.n .. " " .. i .. "\n")
      stoke.sleep(0)
    end
  end)
  local list = {}
  for i = 1, n do list[i] = i end
  local scope <close> = stoke.scope {}
  local good = scope:map(list, function(i)
    local ok = 0
    for round = 1, rounds do
      if (i + round) % 5 == 0 then
        stoke.try(stoke.timeout, 0.02, http.get, server.url .. "/?leave=1&n=" .. i)
      else
        local body = http.get(server.url .. "/?n=" .. i).body
        if body == ("%d 1\n%d 2\n%d 3\n%d 4\n%d 5\n"):format(i, i, i, i, i) then ok = ok + 1 end
      end
    end
    return ok
  end)
  local sum = 0
  for i = 1, n do sum = sum + good[i] end
  t.eq(sum, n * rounds * 4 // 5)
end)

-- ---- how long it lives ----------------------------------------------------------------------------------------------------------

local function script(text, f)
  local process <close> = proc.spawn { argv = { about.executable(), "-e", text }, stderr = "merge", env = { HOME = "/nonexistent" },
    env_allow = { "PATH", "STOKE_PATH", "ASAN_OPTIONS", "LSAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS" } }
  return f(process, process:lines())
end

local SERVE = "local http, log = require 'stoke.http', require 'stoke.log' local stoke = require 'stoke' stoke.main(function() "
  .. "local server <close> = http.serve { port = 0, handler = function() return 'hi' end } print(server.url) "

real("a <close> server in a main that returns is closed at once, which is told; what served somebody is not", function(t)
  script(SERVE .. "end)", function(process, lines)
    local url = lines()
    local told = lines()
    t.contains(told, "warn")
    t.contains(told, "server:wait() keeps it until Ctrl-C")
    t.contains(told, url)
    t.eq(process:wait().code, 0)
  end)
  script(SERVE .. "http.get(server.url) end)", function(process, lines)
    lines()
    t.eq(lines(), nil)
    t.eq(process:wait().code, 0)
  end)
end)

real("a request of a background server that waits in vain does not deafen the host to signals", function(t)
  script([[
    local stoke, http = require "stoke", require "stoke.http"
    local asked = false
    local server = http.serve { background = true, handler = function() asked = true stoke.channel(1):recv() end }
    print(server.url)
    while not asked do stoke.sleep(0.01) end
    print "asked"
    stoke.channel(1):recv()
  ]], function(process, lines)
    local url = lines()
    local scope <close> = stoke.scope()
    scope:spawn(function() stoke.try(http.get, url, { timeout = 30 }) end)
    t.eq(lines(), "asked")
    time.sleep(0.1) -- until nothing but the request is under way
    process:kill "SIGINT"
    t.eq(process:wait().code, 130)
    scope:cancel()
  end)
end)

real("server:wait() serves until the script is interrupted, or the server closed", function(t)
  script(SERVE .. "server:wait() print 'never' end)", function(process, lines)
    local url = lines()
    t.eq(http.get(url).body, "hi")
    process:kill "SIGINT"
    t.eq(process:wait().code, 130)
    t.eq(lines(), nil)
  end)
  local server <close> = serve(function() return "x" end)
  local waiting = stoke.spawn(function() server:wait() return "closed" end)
  http.get(server.url)
  server:close()
  t.eq(waiting:await(), "closed")
  server:wait()
end)

real("a query of thousands of fields reaches the handler whole", function(t)
  local server <close> = serve(function(req) return { fields = req.query.last, bytes = #req.target } end)
  local query = ("a=1&"):rep(3000) .. "last=here&empty="
  local reply = http.get(server.url .. "/look?" .. query):json()
  t.eq(reply, { fields = "here", bytes = #"/look?" + #query })
end)
