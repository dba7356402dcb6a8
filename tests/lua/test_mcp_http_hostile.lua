-- MCP servers at an address that misbehave: whatever they do, a call ends with an answer or a clear error.

local test = require "stoke.test"
local http = require "stoke.http"
local json = require "stoke.json"
local mcp = require "stoke.mcp"
local stoke = require "stoke"

local JSON = { ["Content-Type"] = "application/json" }
local EVENTS = { ["Content-Type"] = "text/event-stream" }

local function result(id, value) return json.encode { jsonrpc = "2.0", id = id, result = value } end

local DISCOVERED = { supportedVersions = { "2026-07-28" }, capabilities = { tools = json.object { listChanged = true } },
  resultType = "complete" }
local TEXT = { content = { { type = "text", text = "done" } } }

--- A server of the stateless version: `act(message, res, req)` does what is to be tested, and says true.
local function serve(act, name)
  return http.serve { mem = name or "bad", handler = function(req, res)
    local message = json.decode(req.body or "")
    if act(message or {}, res, req) then return end
    if message.method == "server/discover" then return res:reply(200, JSON, result(message.id, DISCOVERED)) end
    if message.method == "tools/list" then return res:reply(200, JSON, result(message.id, { tools = {} })) end
    if message.method == "subscriptions/listen" then return res:reply(405) end
    return res:reply(200, JSON, result(message.id, TEXT))
  end }
end

local function connect(more)
  local spec = { url = "http://bad.mem/mcp" }
  for key, value in pairs(more or {}) do spec[key] = value end
  return mcp.connect(spec)
end

--- The error of a call where the server does this.
local function failure(t, act, more)
  local server <close> = serve(function(message, res, req) -- luacheck: ignore
    return message.method == "tools/call" and act(message, res, req)
  end)
  local peer <close> = connect(more)
  local _, err = stoke.try(peer.call, peer, "x", {}, more and more.call)
  t.ok(err, "an error")
  t.eq(peer.rpc.pending[2], nil, "nothing waits for it")
  return err
end

test("mcp http hostile: a redirect is not followed, so that a token goes nowhere else; the error names the place", function(t)
  local seen = {}
  local other <close> = serve(function(_, _, req) seen[#seen + 1] = req.headers end, "other") -- luacheck: ignore
  local err = failure(t, function(_, res)
    res:reply(307, { Location = "http://user:secret@other.mem/mcp?token=1" })
    return true
  end, { headers = { ["X-Api-Key"] = "secret" } })
  t.eq(err.kind, "http")
  t.match(err.message, "HTTP 307, it redirects to http://other.mem/mcp")
  t.ok(not err.message:find("secret", 1, true))
  t.eq(#seen, 0)
end)

test("mcp http hostile: a stream that never says anything, and one that never ends, are cut by the call's time", function(t)
  local err = failure(t, function(_, res)
    res:start(200, EVENTS)
    stoke.sleep(1000)
    return true
  end, { timeout = 5 })
  t.eq(err.kind, "timeout")
  err = failure(t, function(_, res)
    res:start(200, EVENTS)
    for _ = 1, 1000 do
      res:write ": still here\n\n"
      stoke.sleep(1)
    end
    return true
  end, { timeout = 5 })
  t.eq(err.kind, "timeout")
end)

test("mcp http hostile: answers to other ids, before the right one, are ignored and counted", function(t)
  local server <close> = serve(function(message, res) -- luacheck: ignore
    if message.method ~= "tools/call" then return false end
    res:start(200, EVENTS)
    for _, id in ipairs { 77, message.id + 1, 0, -1 } do res:write("data: " .. result(id, { content = {} }) .. "\n\n") end
    res:write "data: no json\n\ndata: []\n\n"
    res:write("data: " .. result(message.id, TEXT) .. "\n\n")
    res:write("data: " .. result(message.id, { content = {} }) .. "\n\n")
    return true
  end)
  local peer <close> = connect()
  t.eq(peer:call("x").text, "done")
  stoke.sleep(0.1)
  t.eq(peer.rpc.unknown, 5, "the second answer, too")
  t.eq(peer.rpc.bad, 2)
end)

test("mcp http hostile: an answer with the id of another call does not become that one's answer twice", function(t)
  local server <close> = serve(function(message, res) -- luacheck: ignore
    if message.method ~= "tools/call" then return false end
    local n = message.params.arguments.n
    if n == 1 then stoke.sleep(1) end
    res:reply(200, JSON, result(message.id, { content = { { type = "text", text = "of " .. n } } }))
    return true
  end)
  local peer <close> = connect()
  peer:list()
  local first = stoke.spawn(function() return peer:call("x", { n = 1 }).text end)
  stoke.sleep(0.1)
  t.eq(peer:call("x", { n = 2 }).text, "of 2")
  t.eq(first:await(), "of 1")
end)

test("mcp http hostile: an event, a line and a body without end are refused, and memory stays", function(t)
  local piece = ("x"):rep(1 << 20)
  local function endless(res, from)
    res:start(200, from == "json" and JSON or EVENTS)
    res:write(from == "json" and '{"x":"' or "data: ")
    for _ = 1, 100 do
      res:write(from == "lines" and piece .. "\ndata: " or piece)
    end
    return true
  end
  for _, from in ipairs { "line", "lines", "json" } do
    local err = failure(t, function(_, res) return endless(res, from) end)
    t.ok(err.kind == "limit" or err.kind == "incomplete" or err.kind == "protocol", err.kind)
    t.ok(err.message:find "MB" or err.message:find "longer than", err.message)
  end
  collectgarbage()
  t.ok(collectgarbage "count" < 120 * 1024, collectgarbage "count")
end)

test("mcp http hostile: an event of empty lines without end is refused, too", function(t)
  local wire = require "stoke.mcp.http"
  local before = wire.LINE
  local _ <close> = setmetatable({}, { __close = function() wire.LINE = before end })
  wire.LINE = 1 << 16
  local err = failure(t, function(_, res)
    res:start(200, EVENTS)
    res:write "data: x\n"
    for _ = 1, 100 do res:write(("data:\n"):rep(1000)) end
    return true
  end)
  t.eq(err.kind, "limit")
end)

test("mcp http hostile: a server that never answers the end of the handshake keeps nobody waiting for long", function(t)
  local server <close> = http.serve { mem = "bad", handler = function(req, res) -- luacheck: ignore
    if req.method ~= "POST" then return res:reply(405) end
    local message = json.decode(req.body)
    if message.method == "server/discover" then return res:reply(400) end
    if message.method == "notifications/initialized" then return stoke.sleep(1000) end
    return res:reply(200, JSON, result(message.id, message.method == "initialize"
      and { protocolVersion = "2025-11-25", capabilities = {} } or TEXT))
  end }
  local peer <close> = connect()
  local began = stoke.time.monotonic()
  t.eq(peer:call("x").text, "done")
  t.ok(stoke.time.monotonic() - began < 15)
end)

test("mcp http hostile: a flood of events that nobody asked for is slowed down, and the answer behind it comes", function(t)
  local server <close> = serve(function(message, res) -- luacheck: ignore
    if message.method ~= "tools/call" then return false end
    res:start(200, EVENTS)
    for i = 1, 5000 do
      res:write('data: {"jsonrpc":"2.0","method":"notifications/message","params":{"level":"debug","data":"' .. i .. '"}}\n\n')
    end
    res:write("data: " .. result(message.id, TEXT) .. "\n\n")
    return true
  end)
  local peer <close> = connect()
  t.eq(peer:call("x").text, "done")
  t.ok(peer.wire.flood.paused >= 2)
end)

test("mcp http hostile: a session that the server ends each time is no endless circle", function(t)
  local begun = 0
  local server <close> = http.serve { mem = "bad", handler = function(req, res) -- luacheck: ignore
    if req.method ~= "POST" then return res:reply(405) end
    local message = json.decode(req.body)
    if message.method == "server/discover" then return res:reply(400) end
    if message.method == "initialize" then
      begun = begun + 1
      return res:reply(200, { ["Content-Type"] = "application/json", ["Mcp-Session-Id"] = "s" .. begun },
        result(message.id, { protocolVersion = "2025-11-25", capabilities = {} }))
    end
    return res:reply(message.id and 404 or 202)
  end }
  local peer <close> = connect()
  local err = t.raises("incomplete", peer.call, peer, "x")
  t.match(err.message, "ends each session at once")
  t.eq(begun, 2)
end)

test("mcp http hostile: a session id that is no header value breaks nothing", function(t)
  local seen
  local server <close> = http.serve { mem = "bad", handler = function(req, res) -- luacheck: ignore
    if req.method ~= "POST" then return res:reply(405) end
    local message = json.decode(req.body)
    if message.method == "server/discover" then return res:reply(400) end
    if message.method == "initialize" then
      return res:reply(200, { ["Content-Type"] = "application/json", ["Mcp-Session-Id"] = ("s"):rep(6000) },
        result(message.id, { protocolVersion = "2025-11-25", capabilities = {} }))
    end
    seen = req.headers["mcp-session-id"]
    return res:reply(message.id and 200 or 202, JSON, message.id and result(message.id, TEXT) or nil)
  end }
  local peer <close> = connect()
  t.eq(peer:call("x").text, "done")
  t.eq(#seen, 6000)
end)

test("mcp http hostile: a subscription that ends is begun again, more slowly each time, and what changed is looked up", function(t)
  local begun, names, at = 0, { "a" }, {}
  local server <close> = serve(function(message, res) -- luacheck: ignore
    if message.method == "tools/list" then
      local tools = {}
      for i, name in ipairs(names) do tools[i] = { name = name, inputSchema = { type = "object" } } end
      res:reply(200, JSON, result(message.id, { tools = tools }))
      return true
    elseif message.method ~= "subscriptions/listen" then
      return false
    end
    begun = begun + 1
    at[begun] = stoke.time.monotonic()
    res:start(200, EVENTS)
    stoke.sleep(0.5) -- and breaks off
    return true
  end)
  local peer <close> = connect()
  t.eq(#peer:list(), 1)
  names = { "a", "b" }
  stoke.sleep(0.6)
  t.eq(#peer:list(), 2, "nobody said so: it was looked up, as the subscription had ended")
  stoke.sleep(100)
  t.ok(begun >= 5 and begun <= 8, begun)
  t.ok(at[4] - at[3] > at[3] - at[2], "slower")
end)

test("mcp http hostile: a subscription that is refused is not asked for again", function(t)
  local begun = 0
  local server <close> = serve(function(message, res) -- luacheck: ignore
    if message.method ~= "subscriptions/listen" then return false end
    begun = begun + 1
    res:reply(404, JSON, json.encode { jsonrpc = "2.0", id = message.id, error = { code = -32601, message = "no" } })
    return true
  end)
  local peer <close> = connect()
  peer:list()
  stoke.sleep(200)
  t.eq(begun, 1)
end)

test("mcp http hostile: a server that has no such method at all is not asked for it again", function(t)
  local begun = 0
  local server <close> = serve(function(message) -- luacheck: ignore
    if message.method == "subscriptions/listen" then begun = begun + 1 end
  end)
  local peer <close> = connect()
  peer:list()
  stoke.sleep(200)
  t.eq(begun, 1)
end)

test("mcp http hostile: the stream of an older server is opened again when it breaks off", function(t)
  local opened = 0
  local server <close> = http.serve { mem = "bad", handler = function(req, res) -- luacheck: ignore
    if req.method == "GET" then
      opened = opened + 1
      res:start(200, EVENTS)
      res:write ": hello\n\n"
      return
    end
    local message = json.decode(req.body or "") or {}
    if message.method == "server/discover" then return res:reply(400) end
    if not message.id then return res:reply(202) end
    local value = message.method == "initialize" and { protocolVersion = "2025-11-25", capabilities = {} } or TEXT
    return res:reply(200, JSON, result(message.id, value))
  end }
  local peer <close> = connect()
  t.eq(peer:call("x").text, "done")
  stoke.sleep(100)
  t.ok(opened >= 5 and opened <= 9, opened)
end)
