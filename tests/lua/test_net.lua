-- What a hostile or broken server, or a proxy, may do to the process that asks it: never more than an error of its own request.

local test = require "stoke.test"
local stoke = require "stoke"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local proc = require "stoke.proc"
local requests = require "host.http"
local start_peer = require "peer"

local BIN = os.getenv "STOKE_BIN" or "build/stoke"
local MB = 1024 * 1024

local function real(name, f) test(name, { real = true, timeout = 120 }, f) end

--- The peer answers with these bytes.
local function raw(peer, bytes, options)
  options = options or {}
  options.body = bytes
  return http.post(peer.url .. "/raw", options)
end

real("many random answers for one process, with cancels: one draw of tests/fuzz/net.lua", function(t)
  local r = proc.run { argv = { BIN, "tests/fuzz/net.lua", "--draw", "1", "--requests", "240", "--seconds", "60" },
    stderr = "merge", timeout = 110 }
  t.ok(r.code == 0, r.stdout)
end)

-- They would be closed by the next connections otherwise, and stay for ever where none are made.
real("connections that their servers have closed are closed here as well", function(t)
  if not fs.stat "/proc/self/fd" then t.skip "no /proc here" end
  local function descriptors() return #fs.list "/proc/self/fd" end
  local before = descriptors()
  for _ = 1, 100 do
    local server <close> = http.serve { port = 0, handler = function() return "yes" end }
    t.eq(http.get(server.url).body, "yes")
  end
  t.ok(descriptors() > before + 50, "kept for the next request to the same server")
  stoke.timeout(60, function()
    while descriptors() > before + 20 do stoke.sleep(0.2) end
  end)
  local server <close> = http.serve { port = 0, handler = function() return "again" end }
  t.eq(http.get(server.url).body, "again")
end)

real("a process that runs out of descriptors closes connections at rest", function(t)
  local code = [[local http = require "stoke.http"
    for _ = 1, 100 do
      local server <close> = http.serve { port = 0, handler = function() return "yes" end }
      assert(http.get(server.url).body == "yes")
    end
    print "enough"]]
  local r = proc.run { argv = { "sh", "-c", 'ulimit -n 70; exec "$0" -e "$1"', BIN, code }, stderr = "merge" }
  t.eq(r.stdout, "enough\n")
end)

-- Beyond 32 requests to one server others than the first multi handle hold its connections.
real("many requests at once, and then as many again, use the connections of the first ones", function(t)
  local MANY = 100
  local peers, seen, arrived, wanted, all_here = {}, 0, 0, MANY, stoke.channel(MANY)
  local server <close> = http.serve { port = 0, handler = function(req)
    if not peers[req.peer] then seen = seen + 1 end
    peers[req.peer] = true
    arrived = arrived + 1
    if arrived % wanted == 0 then for _ = 1, wanted do all_here:send(true) end end
    all_here:recv() -- nobody is answered before all have come: each has a connection of its own
    return "yes"
  end }
  local function ask() t.eq(http.get(server.url).body, "yes") end
  for round = 1, 3 do
    local scope <close> = stoke.scope {}
    for _ = 1, MANY do scope:spawn(ask) end
    scope:wait()
    t.eq({ round, seen }, { round, MANY })
  end
  wanted = 1
  for _ = 1, 5 do ask() end
  t.eq(seen, MANY)
end)

real("a first header that begins with a blank belongs to nothing, after whatever came before", function(t)
  local peer <close> = start_peer()
  for _, blank in ipairs { " A: b", "\tA: b", " ", "  : " } do
    t.eq(raw(peer, "HTTP/1.1 200 OK\r\nX-Last: 1\r\nContent-Length: 2\r\n\r\n{}").body, "{}")
    local answer = stoke.try(raw, peer, "HTTP/1.1 200 OK\r\n" .. blank .. "\r\nContent-Length: 2\r\n\r\n{}")
    if answer then t.eq(answer.body, "{}") end
  end
end)

real("what comes without end ends with kind protocol, long before it fills memory", function(t)
  local peer <close> = start_peer()
  local chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n"
  for what, answer in pairs {
    ["headers"] = { "HTTP/1.1 200 OK\r\n", "X-Filler: 0123456789\r\n", "a head without end" },
    ["a folded header"] = { "HTTP/1.1 200 OK\r\nA: b\r\n", " c\r\n", "a head without end" },
    ["a header line"] = { "HTTP/1.1 200 OK\r\nX: ", "x", "longer than can be read" },
    ["a Location"] = { "HTTP/1.1 302 Found\r\nLocation: /", "x", "longer than can be read" },
    ["answers before the answer"] = { "", "HTTP/1.1 100 Continue\r\n\r\n", "a head without end" },
    ["trailers"] = { chunked .. "0\r\n", "X-Trailer: 0123456789\r\n", "trailers without end" },
    ["a trailer"] = { chunked .. "0\r\n", "x", "." },
    ["the size of a chunk"] = { chunked, "0", "chunk" },
    ["extensions of a chunk"] = { chunked .. "2", ";ext=ension", "without a byte of content" },
    ["the body beside a redirect"] = { "HTTP/1.1 302 Found\r\nLocation: /ok\r\nContent-Length: 9999999999\r\n\r\n", "x",
      "beside its redirect" },
  } do
    local before = peer:stats().flooded
    local err = t.raises("protocol", http.post, peer.url .. "/endless", { body = answer[1] .. "\0" .. answer[2] })
    t.match(err.message, answer[3], what)
    local sent = peer:stats().flooded - before
    t.ok(sent < 40 * MB, ("%s: the peer could send %d MB"):format(what, sent // MB))
  end
  t.raises("protocol", raw, peer, "HTTP/1.1 302 Found\r\nLocation: /" .. ("x"):rep(200000) .. "\r\n\r\n")
end)

real("a server that sends without a pause leaves the others their turn", function(t)
  local peer <close> = start_peer()
  for _, unit in ipairs { "1\r\nx\r\n", "2000\r\n" .. ("x"):rep(8192) .. "\r\n" } do
    local turns = 0
    local scope <close> = stoke.scope()
    local ticking = scope:spawn(function()
      while true do
        stoke.sleep(0.001)
        turns = turns + 1
      end
    end)
    t.raises("limit", http.post, peer.url .. "/endless", { max_bytes = 4 * MB,
      body = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\0" .. unit })
    ticking:cancel()
    t.ok(turns > 0, "nothing else ran meanwhile")
  end
end)

--- A request with 1 MB that nobody has read, so that the sender is held back, and with `tail` behind it, which curl keeps.
local function held_back(peer, tail, options)
  options.method, options.url, options.body, options.idle = "POST", peer.url .. "/tail", tail, 10
  local request = assert(requests.start(options))
  assert(request:head())
  while select(2, request:came()) < MB do stoke.sleep(0.001) end
  http.get(peer.url .. "/release")
  stoke.sleep(0.01)
  return request
end

local function await_leaving(peer)
  stoke.timeout(20, function()
    while peer:stats().left == 0 do stoke.sleep(0.01) end
  end)
end

-- curl reports what comes of bytes that it has kept to whoever makes it deliver them, and to nobody else.
real("a limit that is passed by bytes that were held back ends the request at once", function(t)
  local peer <close> = start_peer()
  local request <close> = held_back(peer, "1\r\nx\r\n1\r\nx\r\n", { max_bytes = MB + 1 })
  t.eq(#request:chunk(), MB)
  local _, err = request:chunk()
  t.eq(err.kind, "limit", err.message)
  await_leaving(peer)
end)

real("a reader that gives up on bytes that were held back has its connection closed at once", function(t)
  local peer <close> = start_peer()
  local request <close> = held_back(peer, "1000\r\n" .. ("x"):rep(4096) .. "\r\n", { max_line = MB + 100 })
  local _, err = request:event()
  t.eq(err.kind, "limit", err.message)
  t.match(err.message, "longer than max_line")
  await_leaving(peer)
end)

-- ---- proxies --------------------------------------------------------------------------------------------------------------

real("an error of the proxy names the proxy, and where it was set", function(t)
  local peer <close> = start_peer()
  local function address(url) return url:match "//(.*)" end
  local function fails(kind, url, proxy, pattern)
    local err = t.raises(kind, http.get, url, { proxy = proxy, timeout = 20 })
    t.match(err.message, pattern)
    return err
  end
  for _, url in ipairs { "http://model.test/", "https://model.test/" } do
    local err = fails("refused", url, peer.refused, "^cannot connect to the proxy 127.0.0.1:%d+ for model.test:%d+: ")
    t.match(err.message, address(peer.refused):gsub("%.", "%%."))
    t.match(err.hint, "the proxy is the one that the request names")
    fails("dns", url, "http://no-such-proxy.invalid:3128",
      "^cannot connect to the proxy no%-such%-proxy.invalid:3128 for model.test:")
    err = fails("dns", url, "user:secret@no-such-proxy.invalid", "the proxy no%-such%-proxy.invalid:1080 for")
    t.ok(not err.message:find "secret", err.message)
  end
  fails("incomplete", "http://model.test/close", peer.url, "model.test:80 through the proxy 127.0.0.1:%d+ closed")
end)

real("a proxy that refuses to connect is told by what it said", function(t)
  local peer <close> = start_peer()
  for status, want in pairs {
    [407] = { "auth", "asks for a user and a password" }, [403] = { "unreachable", "refused a connection to status%-403.test:443" },
    [502] = { "unreachable", "cannot reach status%-502.test:443" }, [504] = { "unreachable", "cannot reach status%-504.test:443" },
  } do
    local err = t.raises(want[1], http.get, ("https://status-%d.test/"):format(status), { proxy = peer.url, timeout = 20 })
    t.match(err.message, want[2])
    t.match(err.message, "the proxy 127.0.0.1:%d+ .*%(status " .. status)
    t.ok(rawget(err, "hint"))
  end
end)

real("a proxy of the environment is named with its variable, but for what no_proxy excepts", function(t)
  local peer <close> = start_peer()
  local code = [[
    local stoke = require "stoke"
    for _, url in ipairs { "http://model.test/", "https://model.test/", "http://here.except.test/", "http://192.0.2.7:1/" } do
      local _, err = stoke.try(stoke.http.get, url, { timeout = { connect = 1, total = 2 } })
      print(err.kind, err.message, err.hint)
    end]]
  local r = proc.run { argv = { BIN, "-e", code }, timeout = 60, env = { http_proxy = peer.refused, all_proxy = peer.refused,
    https_proxy = "", HTTPS_PROXY = "", no_proxy = ".except.test, 192.0.2.0/24" } }
  local lines = {}
  for line in r.stdout:gmatch "[^\n]+" do lines[#lines + 1] = line end
  t.match(lines[1], "^refused\tcannot connect to the proxy .*set by http_proxy in the environment")
  t.match(lines[2], "^refused\tcannot connect to the proxy .*set by all_proxy in the environment")
  t.match(lines[3], "^dns\tcannot connect to here.except.test:80:")
  t.ok(not lines[4]:find "proxy", lines[4])
end)

-- ---- model calls ------------------------------------------------------------------------------------------------------------

local function crc32(bytes)
  local crc = 0xffffffff
  for i = 1, #bytes do
    crc = crc ~ bytes:byte(i)
    for _ = 1, 8 do crc = crc >> 1 ~ (crc & 1) * 0xedb88320 end
  end
  return ~crc & 0xffffffff
end

--- As gzip, stored.
local function gzip(bytes)
  return "\x1f\x8b\8\0\0\0\0\0\0\3\1" .. ("<I2I2"):pack(#bytes, ~#bytes & 0xffff) .. bytes .. ("<I4I4"):pack(crc32(bytes), #bytes)
end

real("a model's answer is read where it comes compressed, though nobody offered that", function(t)
  local accepted = {}
  local body = json.encode { model = "m", message = { role = "assistant", content = "Hi" }, done = true, done_reason = "stop" }
  local server <close> = http.serve { port = 0, handler = function(req, res)
    accepted[#accepted + 1] = req.headers["accept-encoding"] or false
    res:reply(200, { ["Content-Encoding"] = "gzip", ["Content-Type"] = "application/json" }, gzip(body .. "\n"))
  end }
  local call = { model = "m", endpoint = server.url, messages = { { role = "user", content = "Hi" } } }
  t.eq(ollama.chat(call).message.content, "Hi")
  local text = ""
  for ev in ollama.stream(call) do text = text .. (ev.type == "text" and ev.text or "") end
  t.eq(text, "Hi")
  t.eq(accepted, { false, false }, "what was offered")
end)

-- ---- serving ------------------------------------------------------------------------------------------------------------------

local function resident() return tonumber(fs.read("/proc/self/status"):match "VmRSS:%s*(%d+)") // 1024 end

real("clients that ask for much and read nothing hold little, and nobody else up", function(t)
  if not fs.stat "/proc/self/status" then return t.skip "no /proc" end
  local large = ("x"):rep(50 * MB)
  local server <close> = http.serve { port = 0, handler = function(req)
    return req.path == "/large" and large or "small"
  end }
  local before, streams = resident(), {}
  for i = 1, 40 do streams[i] = http.get(server.url .. "/large", { stream = "bytes" }) end
  t.eq(http.get(server.url .. "/small").body, "small")
  local held = resident() - before
  t.ok(held < 400, ("%d MB for 40 clients"):format(held))
  local size = 0
  for bytes in streams[1]:chunks() do size = size + #bytes end
  t.eq(size, #large, "one that reads gets all of it")
  for _, stream in ipairs(streams) do stream:close() end
end)

real("what was made for clients that left is given back", function(t)
  local made = 0
  local server <close> = http.serve { port = 0, handler = function()
    made = made + 1
    return ("y"):rep(30 * MB) .. made
  end }
  local streams = {}
  for i = 1, 6 do streams[i] = http.get(server.url, { stream = "bytes" }) end
  for _, stream in ipairs(streams) do stream:close() end
  while next(server.running) do stoke.sleep(0.01) end
  t.ok(collectgarbage "count" < 100 * 1024, ("%d MB of Lua's are held"):format(collectgarbage "count" // 1024))
end)
