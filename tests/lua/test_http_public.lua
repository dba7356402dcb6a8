-- Requests that may only reach public addresses: hundreds of hostile URLs, and a canary at 127.0.0.1 and ::1 that counts who
-- comes. Nothing here talks to any other address: names get theirs by `resolve`, and public ones are never let through.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local proc = require "stoke.proc"
local start_peer = require "peer"
local hostile = dofile "tests/hostile/urls.lua"

local function real(name, f) test(name, { real = true, timeout = 120 }, f) end

local function port_of(peer) return peer.url:match "%d+$" end

--- The canary, and how many connections it has had that were not ours.
local function canary()
  local peer = start_peer()
  peer:stats()
  return peer, port_of(peer), function()
    stoke.sleep(0.05) -- it counts in a thread of its own
    return peer:stats().connections - 1
  end
end

local function each(port)
  local i = 0
  return function()
    i = i + 1
    local entry = hostile[i]
    if not entry then return nil end
    return entry, (entry.url:gsub("{port}", port))
  end
end

local function fails(url, options)
  options.timeout = 10
  local res, err = stoke.try(http.get, url, options)
  if res then return nil, ("%q was answered: %d"):format(url, res.status) end
  return err, ("%q: %s"):format(url, tostring(err))
end

real("no hostile URL reaches a server on loopback, and each failure says what it is", function(t)
  local _ <close>, port, reached = canary()
  local server <close> = http.serve { mem = "canary", handler = function() t.fail "the server in memory was reached" end }
  t.ok(#hostile >= 300, #hostile .. " hostile URLs")
  local kinds = {}
  for entry, url in each(port) do
    local err, what = fails(url, { public = true, resolve = entry.resolve })
    t.ok(err and (err.kind == "denied" or err.kind == "argument"), what)
    t.ok(entry.kind == "any" or err.kind == entry.kind, what)
    t.ok(not err.retryable and not err.message:find "[%z\r\n]", what)
    if err.kind == "denied" then t.match(err.message, "^https?://[^ ]+ [^\n]*is not a public address$") end
    kinds[err.kind] = (kinds[err.kind] or 0) + 1
  end
  t.eq(reached(), 0, "connections")
  t.ok(kinds.denied > 400 and kinds.argument > 80, "of both kinds")
end)

real("without the guard many of them do get there", function(t)
  local _ <close>, port, reached = canary()
  local count = 0
  for entry, url in each(port) do
    if entry.reaches then
      local ok, err = stoke.try(http.get, url, { resolve = entry.resolve, timeout = 5, raise = false })
      t.ok(ok, ("%q: %s"):format(url, tostring(err)))
      count = count + 1
    end
  end
  t.ok(count >= 30, count .. " URLs")
  t.ok(reached() >= count - 4, "connections, but for some that were reused")
end)

real("a redirect is judged like a first request", function(t)
  local _ <close>, port, reached = canary()
  local target
  local hop <close> = http.serve { port = 0, hosts = { "hop.test" }, handler = function(_, res)
    res:reply(302, { Location = target }, "")
  end }
  for entry, url in each(port) do
    if not url:find "[%c\x7f]" and url ~= "" and url:find "%S" then
      target = url
      local resolve = { ["hop.test"] = "127.0.0.1" }
      for name, address in pairs(entry.resolve) do
        resolve[name] = address
        resolve[("%s:%s"):format(name, port)] = address
      end
      local err, what = fails(("http://hop.test:%d/"):format(hop.port),
        { public = true, allow = { "127.0.0.1:" .. hop.port }, resolve = resolve })
      if not err or err.kind ~= "http" then -- 404: a text without scheme is a path of the hop's own, redirected once more
        local clear = err and (err.kind == "denied" or err.kind == "protocol" or err.kind == "argument")
        t.ok(clear, ("to %q: %s"):format(target, what))
        if err.kind == "denied" then t.match(err.message, " %(after a redirect from http://hop%.test:%d+/%)$") end
      end
    end
  end
  t.eq(reached(), 0, "connections")
end)

-- ---- what is permitted ------------------------------------------------------------------------------------------------------

real("what allow lists is reached: by address, port, network or name", function(t)
  local peer <close>, port = canary()
  local at = { ["pub.test"] = "127.0.0.1" }
  local function get(url, allow) return http.get(url, { public = true, allow = allow, resolve = at, timeout = 10 }).status end
  local literal, name = peer.url .. "/ok", "http://pub.test:" .. port .. "/ok"
  for _, allow in ipairs { "127.0.0.1", "127.0.0.1:" .. port, "127.0.0.0/8", "::ffff:127.0.0.1", "0.0.0.0/0" } do
    t.eq(get(literal, { allow }), 200, allow)
    t.eq(get(name, { "10.0.0.0/8", allow }), 200, "a name that is there: " .. allow)
  end
  for _, allow in ipairs { "pub.test", "PUB.test:" .. port, "pub.test." } do
    t.eq(get(name, { allow }), 200, allow)
    t.raises("denied", get, literal, { allow })
  end
  for _, allow in ipairs { "127.0.0.2", "127.0.0.1:" .. port + 1, "127.0.0.0/32", "::1", "other.test", "test", "pub.test:80" } do
    t.raises("denied", get, literal, { allow })
    t.raises("denied", get, name, { allow })
  end
  t.eq(get("http://[::1]:" .. port .. "/ok", { "::1" }), 200)
  t.eq(get("http://[::1]:" .. port .. "/ok", { "[::1]:" .. port }), 200)
  t.raises("denied", get, "http://[::1]:" .. port .. "/ok", { "127.0.0.1", "[::1]:1" })
  t.raises("denied", get, "http://pub.test%2e@127.0.0.1:" .. port .. "/ok", { "pub.test" })
end)

real("of several addresses the permitted one is used, wherever it stands", function(t)
  local _ <close>, port, reached = canary()
  local count = 0
  for _, list in ipairs {
    { "127.0.0.1", "10.0.0.1" }, { "10.0.0.1", "127.0.0.1" }, { "fd00::1", "127.0.0.1" },
    { "10.0.0.1", "10.0.0.2", "10.0.0.3", "127.0.0.1" },
    { "fe80::1", "fd00::1", "fd00::2", "10.0.0.1", "127.0.0.1", "10.0.0.2" }, { "169.254.169.254", "127.0.0.1", "fd00:ec2::254" },
  } do
    local res = http.get(("http://mixed.test:%s/ok"):format(port),
      { public = true, allow = { "127.0.0.1" }, resolve = { ["mixed.test"] = list }, timeout = 5 })
    t.eq(res.status, 200, table.concat(list, " "))
    count = count + 1
  end
  t.eq(reached(), count, "one connection for each")
  local _, err = stoke.try(http.get, "http://mixed.test:1/", { public = true, allow = { "127.0.0.1" }, timeout = 5,
    resolve = { ["mixed.test"] = { "10.0.0.1", "127.0.0.1", "10.0.0.2" } } })
  t.eq({ err.kind, err.retryable }, { "refused", true }, "the permitted address failed by itself")
end)

real("a name whose addresses all fail says so at once, however many they are", function(t)
  for _, list in ipairs {
    { "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4" }, { "127.0.0.1", "::1", "127.0.0.2", "::1", "127.0.0.3" },
  } do
    local started = require("stoke.time").monotonic()
    local err = t.raises("refused", http.get, "http://dead.test:1/", { resolve = { ["dead.test"] = list }, timeout = 10 })
    t.ok(not err.phase and require("stoke.time").monotonic() - started < 1)
  end
end)

test("a server in memory is refused unless it is listed, and so is a redirect to one", function(t)
  local _ <close> = http.serve { mem = "first", handler = function(_, res)
    res:reply(302, { Location = "http://second.mem/" }, "")
  end }
  local _ <close> = http.serve { mem = "second", handler = function() return "there" end }
  local err = t.raises("denied", http.get, "http://second.mem/", { public = true })
  t.eq({ err.message, err.retryable }, { "http://second.mem/ is not a public address", false })
  t.raises("denied", http.get, "http://second.mem/", { public = true, allow = { "first.mem", "0.0.0.0/0", "::/0" } })
  t.eq(http.get("http://Second.mem/", { public = true, allow = { "second.mem" } }).body, "there")
  err = t.raises("denied", http.get, "http://first.mem/", { public = true, allow = { "first.mem" } })
  t.eq(err.message, "http://second.mem/ is not a public address (after a redirect from http://first.mem/)")
  t.eq(http.get("http://first.mem/", { public = true, allow = { "first.mem", "second.mem" } }).body, "there")
end)

test("wrong options are argument errors", function(t)
  local function bad(pattern, options)
    t.match(t.raises("argument", http.get, "http://there.mem/", options).message, pattern)
  end
  bad("exceptions to public", { allow = { "127.0.0.1" } })
  bad("exclude each other", { public = true, proxy = "http://127.0.0.1:1" })
  bad("option public must be a boolean", { public = "yes" })
  bad("allow%[1%] must be a string", { public = true, allow = { 1 } })
  bad("allow must be a list", { public = true, allow = { host = "a.test" } })
  bad("allow must be a list", { public = true, allow = { "a.test", host = "a.test" } })
  for _, entry in ipairs { "", "*.test", "http://a.test/", "127.1", "2130706433", "10.0.0.0/33", "a.test:0", "[::1", "a b" } do
    bad("is no host, address or network", { public = true, allow = { entry } })
  end
  bad("resolve%[1%]: the name must be a string", { resolve = { "127.0.0.1" } })
  bad("must be an address or a list", { resolve = { ["a.test"] = 1 } })
  for name, address in pairs {
    ["a.test"] = "b.test", ["b.test"] = "127.1", ["c.test"] = "", ["a b"] = "127.0.0.1", ["-a"] = "127.0.0.1",
  } do
    bad("is no name with its addresses", { resolve = { [name] = address } })
  end
  bad("is no name with its addresses", { resolve = { ["a.test"] = {} } })
  local long = {}
  for i = 1, 65 do long[i] = "10.0.0." .. i end
  bad("more than 64 entries", { public = true, allow = long })
end)

-- ---- what others have opened ------------------------------------------------------------------------------------------------

real("a connection that is open already is no way in", function(t)
  local peer <close>, port, reached = canary()
  for _ = 1, 3 do http.get(peer.url .. "/ok") end
  t.eq(reached(), 0, "they all use the first connection")
  local at = { ["pub.test"] = "127.0.0.1" }
  t.raises("denied", http.get, peer.url .. "/ok", { public = true })
  t.raises("denied", http.get, peer.name_url .. "/ok", { public = true })
  http.get(("http://pub.test:%s/ok"):format(port), { resolve = at })
  t.raises("denied", http.get, ("http://pub.test:%s/ok"):format(port), { public = true, resolve = at })
  t.eq(http.get(peer.url .. "/ok", { public = true, allow = { "127.0.0.1" } }).status, 200)
  t.raises("denied", http.get, peer.url .. "/ok", { public = true })
  t.raises("denied", http.get, peer.url .. "/ok", { public = true, allow = { "127.0.0.2", "127.0.0.1:1" } })
  t.eq(reached(), 2, "the one with names of its own, and the one that was permitted")
end)

real("nor after a redirect, where curl takes an open connection also when told not to", function(t)
  local hop <close> = start_peer()
  local canary_peer <close> = start_peer()
  http.get(canary_peer.url .. "/ok") -- stays open
  local before = canary_peer:stats()
  for _, code in ipairs { 301, 302, 303, 307, 308 } do
    local err = t.raises("denied", http.get, ("%s/redirect-to?%d,%s/ok"):format(hop.url, code, canary_peer.url),
      { public = true, allow = { hop.url:match "//(.*)" } })
    t.eq(err.message, ("%s/ is not a public address (after a redirect from %s/)"):format(canary_peer.url, hop.url))
  end
  local after = canary_peer:stats()
  t.eq({ after.connections, after.requests }, { before.connections, before.requests + 1 }, "only the question for these numbers")
end)

real("a guarded request leaves no connection to others", function(t)
  local peer <close>, _, reached = canary()
  local options = { public = true, allow = { "127.0.0.1" } }
  for i = 1, 4 do
    http.get(peer.url .. "/ok", options)
    t.eq(reached(), i, "each has opened its own")
  end
  http.get(peer.url .. "/ok")
  t.eq(reached(), 4, "an unguarded one goes on with the first")
end)

real("many at once, under different rules, keep apart", function(t)
  local _ <close>, port, reached = canary()
  local denied, passed = 0, 0
  do
    local scope <close> = stoke.scope()
    for i = 1, 60 do
      scope:spawn(function()
        local allow = i % 3 == 0 and { "127.0.0.1" } or i % 3 == 1 and { "127.0.0.1:1" } or nil
        local _, err = stoke.try(http.get, ("http://pub.test:%s/ok"):format(port),
          { public = true, allow = allow, resolve = { ["pub.test"] = { "10.0.0.1", "127.0.0.1" } }, timeout = 10 })
        if not err then passed = passed + 1 elseif err.kind == "denied" then denied = denied + 1 end
      end)
    end
    scope:wait()
  end
  t.eq({ passed, denied, reached() }, { 20, 40, 20 })
end)

-- ---- names ------------------------------------------------------------------------------------------------------------------

real("each hop of a redirect is judged, the first permitted one does not speak for the next", function(t)
  local a <close> = start_peer()
  local b <close> = start_peer()
  local c <close> = start_peer()
  local function port(peer) return port_of(peer) end
  local url = ("%s/redirect-to?302,http://two.test:%s/redirect-to?302,http://three.test:%s/ok"):format(a.url, port(b),
    port(c))
  local resolve = { ["two.test:" .. port(b)] = "127.0.0.1", ["three.test:" .. port(c)] = "127.0.0.1" }
  local allow = { a.url:match "//(.*)" }
  local err = t.raises("denied", http.get, url, { public = true, allow = allow, resolve = resolve })
  t.match(err.message, "^http://two%.test:%d+/ resolves to 127%.0%.0%.1, which is not a public address %(after a redirect from ")
  allow[2] = "two.test"
  err = t.raises("denied", http.get, url, { public = true, allow = allow, resolve = resolve })
  t.match(err.message, "^http://three%.test:%d+/ resolves to 127%.0%.0%.1")
  t.eq(c:stats().requests, 1, "the last server has seen but this question")
  allow[3] = "three.test:" .. port(c)
  t.eq(http.get(url, { public = true, allow = allow, resolve = resolve }).status, 200)
end)

real("a name that answers differently the second time (rebinding) is judged the second time", function(t)
  local public <close> = start_peer()
  local private <close> = start_peer()
  local first, second = port_of(public), port_of(private)
  local allow = { "127.0.0.1:" .. first } -- stands for a public address
  local function ask(address)
    return http.get(("http://rebind.test:%s/ok"):format(first),
      { public = true, allow = { "127.0.0.1" }, resolve = { ["rebind.test"] = address } })
  end
  t.eq(ask("127.0.0.1").status, 200)
  t.raises("denied", ask, "10.0.0.7")
  t.eq(ask("127.0.0.1").status, 200)
  -- within one request, from one hop to the next
  local err = t.raises("denied", http.get, ("http://rebind.test:%s/redirect-to?302,http://rebind.test:%s/ok"):format(first, second),
    { public = true, allow = allow,
      resolve = { ["rebind.test:" .. first] = "127.0.0.1", ["rebind.test:" .. second] = "169.254.169.254" } })
  t.match(err.message, "^http://rebind%.test:%d+/ resolves to 169%.254%.169%.254, which is not a public address")
  t.eq(private:stats().requests, 1)
end)

real("what names stand for is known to that request alone", function(t)
  local _ <close>, port, reached = canary()
  local url = ("http://alone.invalid:%s/ok"):format(port)
  local at = { ["alone.invalid"] = "127.0.0.1" }
  t.eq(http.get(url, { resolve = at }).status, 200)
  t.raises("refused", http.get, url:gsub("%d+/ok", "1/ok"), { resolve = { ["alone.invalid:1"] = { "127.0.0.1", "127.0.0.2" } } })
  local err = t.raises("denied", http.get, url,
    { public = true, allow = { "127.0.0.1" }, resolve = { ["alone.invalid"] = "10.0.0.1" } })
  t.match(err.message, "resolves to 10%.0%.0%.1")
  t.eq(http.get(url, { resolve = at }).status, 200)
  t.eq(reached(), 2, "and its connection with it")
  local local_url = ("http://alone.localhost:%s/ok"):format(port) -- which needs no server of names
  t.raises("refused", http.get, local_url, { resolve = { ["alone.localhost"] = "127.0.0.2" } })
  t.eq(http.get(local_url).status, 200)
end)

-- ---- other ways out ---------------------------------------------------------------------------------------------------------

local GUARDED = [[
  local http = require "stoke.http"
  local port, allow = ...
  local ok, err = require("stoke").try(http.get, ("http://pub.test:%s/echo"):format(port), { public = true,
    allow = allow ~= "" and { allow } or nil, resolve = { ["pub.test"] = "127.0.0.1" }, timeout = 10 })
  print(ok and ok.body:match "^[^\r\n]*" or err.kind)
]]

real("a proxy of the environment is not asked", function(t)
  local peer <close> = start_peer()
  local proxy <close> = start_peer()
  local env = {}
  for _, name in ipairs { "http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY" } do
    env[name] = proxy.url
  end
  local function guarded(allow)
    local bin = os.getenv "STOKE_BIN" or "build/stoke"
    return proc.run { argv = { bin, "-e", GUARDED, port_of(peer), allow }, env = env, timeout = 30 }.stdout
  end
  t.eq(guarded "pub.test", "GET /echo HTTP/1.1\n")
  t.eq(guarded "", "denied\n")
  t.eq(proxy:stats().connections, 1, "this question")
end)

real("credentials stay with the host they were meant for", function(t)
  local a <close> = start_peer()
  local b <close> = start_peer()
  local target = ("http://two.test:%s/echo"):format(port_of(b))
  local options = { public = true, allow = { "127.0.0.1" }, headers = { Authorization = "Bearer secret", Cookie = "c=secret" },
    resolve = { ["one.test"] = "127.0.0.1", ["two.test:" .. port_of(b)] = "127.0.0.1" } }
  local seen = http.get(("http://user:secret@one.test:%s/redirect-to?302,%s"):format(port_of(a), target), options).body
  t.match(seen, "^GET /echo HTTP/1.1")
  t.ok(not seen:find "secret", seen)
  t.match(http.get(("http://one.test:%s/redirect-to?302,/echo"):format(port_of(a)), options).body, "Bearer secret")
end)

real("a redirect to another scheme is followed nowhere", function(t)
  local peer <close> = start_peer()
  for _, to in ipairs { "file:///etc/passwd", "FILE:///etc/passwd", "gopher://127.0.0.1/", "ftp://127.0.0.1/" } do
    local err = t.raises("protocol", http.get, peer.url .. "/redirect-to?302," .. to, { public = true, allow = { "127.0.0.1" } })
    t.match(err.message, "redirects to what is not HTTP")
  end
end)

real("streams are guarded alike, and cancelled ones leave nothing behind", function(t)
  local peer <close>, port, reached = canary()
  t.raises("denied", http.get, peer.url .. "/lines", { stream = "lines", public = true })
  t.eq(reached(), 0)
  local options = { public = true, allow = { "127.0.0.1" }, timeout = false,
    resolve = { ["pub.test"] = { "10.0.0.1", "127.0.0.1" } } }
  for _, path in ipairs { "/hang", "/hang-head", "/hang-stream" } do
    local task = stoke.spawn(function() http.get(("http://pub.test:%s%s"):format(port, path), options) end)
    stoke.sleep(0.1)
    task:cancel()
  end
  local stuck = stoke.spawn(function() http.get(peer.stuck, options) end)
  stoke.sleep(0.05)
  stuck:cancel()
  options.stream = "lines"
  local res <close> = http.get(("http://pub.test:%s/lines"):format(port), options)
  t.ok(res:lines()())
end)
