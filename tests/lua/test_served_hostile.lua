-- A server of agents on its port, and clients that are not what they should be: bytes written by hand, pages of a browser.
-- STOKE_HOSTILE=1 makes the large cases as large as they are meant.

local test = require "stoke.test"
local stoke = require "stoke"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"
local scripted = require "scripted"

local FULL = os.getenv "STOKE_HOSTILE" == "1"
local SLOW = (tonumber(os.getenv "STOKE_SCALE") or 1) < 1 -- builds whose memory is not what is held
local USER = { { role = "user", content = "Hello" } }
local CHAT = json.encode { model = "poet", stream = false, messages = USER }

local function real(name, f) test(name, { real = true, timeout = FULL and 300 or 60 }, f) end

local Place = {}
Place.__index = Place
Place.__close = function(place)
  place.server:close()
  local _ <close> = place.model -- luacheck: ignore
end

--- One agent, "poet", on a port.
local function serving(script, options, simulated)
  local model = scripted(script, simulated)
  local given = { agents = { stoke.agent { name = "poet", model = scripted.MODEL, endpoint = model.url } }, port = 0, drain = 0 }
  for name, value in pairs(options or {}) do given[name] = value end
  local server = stoke.serve(given)
  return setmetatable({ server = server, url = server.url, port = tostring(server.port), model = model }, Place)
end

--- Runs a script of bash with descriptor 3 a connection to the server, which prints what comes back within `patience` seconds.
local function bash(place, script, patience, ...)
  local r = proc.run { argv = { "bash", "-c", ([[
    exec 3<>/dev/tcp/127.0.0.1/$1 || exit 9
    { %s
    } >&3 2>/dev/null &
    timeout $2 cat <&3; kill %%1 2>/dev/null; exit 0]]):format(script), "raw", place.port, tostring(patience or 5), ... },
    timeout = 120 }
  return r.stdout, tonumber(r.stdout:match "^HTTP/1%.1 (%d+)")
end

local function raw(place, bytes, patience) return bash(place, 'printf %s "$3"', patience, bytes) end

local function post(path, body, more)
  return ("POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %d\r\n\r\n%s"):format(path, more or "", #body, body)
end

local function ok(t, place)
  t.eq(http.post(place.url .. "/api/chat", { body = CHAT }):json().message.content, "one", "others are served")
end

local function always() return "one" end

local function resident() return tonumber(fs.read "/proc/self/statm":match "^%d+ (%d+)") * 4096 end

-- ---- bodies ---------------------------------------------------------------------------------------------------------------------

real("a body of 100 MB is refused by its head, before it is sent", function(t)
  local place <close> = serving(always)
  local text, status = raw(place, "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 104857600\r\n\r\n")
  t.eq(status, 413)
  t.match(text, "Connection: close.*max_body")
  ok(t, place)
end)

real("a body whose length nobody said is cut off when it is too long, and memory stays flat", function(t)
  local place <close> = serving(always)
  ok(t, place)
  local before = resident()
  local size = FULL and 100 or 40
  local clients = {}
  for i = 1, 4 do
    clients[i] = stoke.spawn(function()
      return bash(place, [[printf 'POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n' $3
        head -c $3 /dev/zero]], 60, tostring(size << 20))
    end)
  end
  local most = 0
  local done = stoke.spawn(function()
    for _, client in ipairs(clients) do client:await() end
    return true
  end)
  while not done.state do
    most = math.max(most, resident() - before)
    stoke.sleep(0.01)
  end
  t.ok(SLOW or most < (4 * 36) << 20, ("%d MB more"):format(most >> 20))
  stoke.sleep(0.1)
  t.ok(SLOW or resident() - before < 48 << 20, ("%d MB are kept"):format((resident() - before) >> 20))
  t.eq(#place.model.requests, 1)
  ok(t, place)
end)

real("half a body is no request: its sender's end is seen, and nothing was asked", function(t)
  local place <close> = serving(always)
  proc.run { argv = { "bash", "-c", 'exec 3<>/dev/tcp/127.0.0.1/$1 && printf %s "$2" >&3; sleep 0.1', "raw", place.port,
    (post("/api/chat", CHAT):sub(1, -10)) } }
  stoke.sleep(0.1)
  t.eq(#place.model.requests, 0)
  ok(t, place)
end)

real("a body of chunks that are none is refused", function(t)
  local place <close> = serving(always)
  for _, chunks in ipairs { "zz\r\nabc\r\n", "5\r\nabc\r\n0\r\n\r\n", "-1\r\n", "fffffffffffffffff\r\n", "3\nabc\n" } do
    local text = raw(place, "POST /api/chat HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n" .. chunks, 1)
    t.ok(not text:find "^HTTP/1%.1 200", chunks)
  end
  t.eq(#place.model.requests, 0)
  ok(t, place)
end)

real("a request in a request is not answered: lengths that contradict each other", function(t)
  local place <close> = serving(always)
  local inner = post("/api/chat", CHAT)
  for _, head in ipairs { "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 4\r\nContent-Length: 5\r\n",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Content-Length: +4\r\n", "Content-Length: 4, 4\r\n" } do
    local text, status = raw(place, "POST /api/chat HTTP/1.1\r\nHost: localhost\r\n" .. head .. "\r\n0\r\n\r\n" .. inner)
    t.eq(status, 400, head)
    t.eq(text:find "HTTP/1%.1 [^4]", nil, head)
  end
  t.eq(#place.model.requests, 0)
end)

real("chats in a row on one connection are answered in their order", function(t)
  local place <close> = serving(function(request) return "re: " .. request.messages[#request.messages].content end)
  local requests = {}
  for i = 1, 5 do
    requests[i] = post("/api/chat", json.encode { model = "poet", stream = i % 2 == 0,
      messages = { { role = "user", content = "n" .. i } } }, i == 5 and "Connection: close\r\n" or nil)
  end
  local said = {}
  for n in raw(place, table.concat(requests)):gmatch "re: n(%d)" do said[#said + 1] = n end
  t.eq(table.concat(said), "12345")
end)

real("heads without end, and of a thousand lines", function(t)
  local place <close> = serving(always)
  local flood = ("X-%d: y\r\n"):rep(1)
  local lines = {}
  for i = 1, 5000 do lines[i] = flood:format(i) end
  local _, status = raw(place, "GET /api/tags HTTP/1.1\r\nHost: localhost\r\n" .. table.concat(lines) .. "\r\n")
  t.eq(status, 431)
  t.eq(select(2, raw(place, "GET /" .. ("a"):rep(40000) .. " HTTP/1.1\r\nHost: localhost\r\n\r\n")) or 414, 414)
  ok(t, place)
end)

-- ---- methods --------------------------------------------------------------------------------------------------------------------

real("HEAD and OPTIONS have no body, and what is not allowed says what is", function(t)
  local place <close> = serving(always)
  for path, status in pairs { ["/"] = 200, ["/api/tags"] = 200, ["/api/version"] = 200, ["/api/chat"] = 405, ["/none"] = 404 } do
    local text = raw(place, ("HEAD %s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"):format(path))
    t.match(text, "^HTTP/1%.1 " .. status)
    t.match(text, "\r\n\r\n$")
  end
  local r = http.request { method = "OPTIONS", url = place.url .. "/api/chat", raise = false }
  t.eq({ r.status, r.headers.allow, r.headers["access-control-allow-origin"] }, { 405, "POST", nil })
  t.eq(select(2, raw(place, "BREW /api/tags HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")), 405)
end)

-- ---- pages ----------------------------------------------------------------------------------------------------------------------

real("a name that was pointed at this machine is no name of it", function(t)
  local place <close> = serving(always)
  local function ask(host) return raw(place, (post("/api/chat", CHAT, "Connection: close\r\n"):gsub("localhost", host, 1))) end
  for _, host in ipairs { "evil.example", "evil.example:" .. place.port, "localhost.evil.example", "127.0.0.1.evil.example",
    "0x7f.1", "0.0.0.0" } do
    local text, status = ask(host)
    t.eq(status, 403, host)
    t.match(text, '{"error":"[^\r]* is no name of this machine; list it under hosts')
  end
  t.eq(#place.model.requests, 0)
  for _, host in ipairs { "localhost", "127.0.0.1:1", "[::1]:80", "poet.localhost" } do t.eq(select(2, ask(host)), 200, host) end
  local wider <close> = serving(always, { hosts = { "box.lan" } })
  local text = raw(wider, post("/v1/chat/completions", CHAT, "Connection: close\r\n"):gsub("localhost", "box.lan:11500", 1))
  t.match(text, "^HTTP/1%.1 200")
  local reached <close> = serving(always, { hosts = { "box.lan" }, address = "0.0.0.0", token = "sixteen-letters-or-more" })
  for host, status in pairs { ["evil.example"] = 403, ["box.lan"] = 401, ["192.168.1.5:11500"] = 401 } do
    text = raw(reached, post("/v1/chat/completions", CHAT, "Connection: close\r\n"):gsub("localhost", host, 1))
    t.match(text, "^HTTP/1%.1 " .. status, host)
  end
end)

real("what a browser sends for a page without asking first is refused, whatever its type", function(t)
  local place <close> = serving(always)
  for _, kind in ipairs { "text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/json" } do
    local text, status = raw(place, post("/api/chat", CHAT, ("Origin: https://evil.example\r\nContent-Type: %s\r\n"):format(kind)
      .. "Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\nConnection: close\r\n"))
    t.eq(status, 403, kind)
    t.eq(text:find("Access-Control-Allow-Origin", 1, true), nil)
  end
  t.eq(#place.model.requests, 0)
end)

real("a listed page on the web may reach this machine, when its browser asks for that", function(t)
  local page = "https://chat.example"
  local place <close> = serving(always, { origins = { page } })
  local r = http.request { method = "OPTIONS", url = place.url .. "/api/chat", headers = { Origin = page,
    ["Access-Control-Request-Method"] = "POST", ["Access-Control-Request-Private-Network"] = "true" } }
  t.eq({ r.status, r.headers["access-control-allow-private-network"] }, { 204, "true" })
end)

-- ---- crowds ---------------------------------------------------------------------------------------------------------------------

real("connections that say nothing, as many as there may be, keep nobody out", function(t)
  local count = FULL and 10000 or 60
  local place <close> = serving(always, { max_connections = count })
  local before = resident()
  local crowd <close> = proc.spawn { argv = { "bash", "-c", [[
    ulimit -n $(ulimit -Hn)
    for ((i = 0; i < $2; i++)); do exec {fd}<>/dev/tcp/127.0.0.1/$1 || break; done
    echo $i; sleep 60]], "raw", place.port, tostring(count) } }
  local open = tonumber(crowd:lines()())
  t.ok(open >= count - 1, tostring(open))
  local each = (resident() - before) // open
  ok(t, place)
  t.ok(SLOW or each < 40000, ("%d bytes a connection"):format(each))
end)

real("requests that come a byte at a time end when their time is over, and keep nobody out", function(t)
  local place <close> = serving(always, { max_connections = 8, header_timeout = 1 })
  local scope <close> = stoke.scope {}
  local dripping = scope:map({ "GET /api/tags HTTP/1.1\r\nHost: lo", post("/api/chat", CHAT) }, function(bytes)
    local began = stoke.time.monotonic()
    local text = bash(place, [[for ((i = 0; i < ${#3}; i++)); do printf %s "${3:$i:1}"; sleep 0.1; done]], 20, bytes)
    return { text, stoke.time.monotonic() - began < 6 }
  end)
  t.eq(dripping, { { "", true }, { "", true } })
  ok(t, place)
end)
