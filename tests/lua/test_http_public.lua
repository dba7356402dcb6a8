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
  local peer <close>, port, reached = canary()
  local memory <close> = http.serve { mem = "canary", handler = function() t.fail "the server in memory was reached" end }
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
  local peer <close>, port, reached = canary()
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
  local peer <close>, port, reached = canary()
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
        t.ok(err and (err.kind == "denied" or err.kind == "protocol" or err.kind == "argument"), ("to %q: %s"):format(target, what))
        if err.kind == "denied" then t.match(err.message, " %(after a redirect from http://hop%.test:%d+/%)$") end
      end
    end
  end
  t.eq(reached(), 0, "connections")
end)
