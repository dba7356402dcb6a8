-- The MCP client over streamable HTTP, against servers in memory that speak the real bytes.

local test = require "stoke.test"
local http = require "stoke.http"
local json = require "stoke.json"
local mcp = require "stoke.mcp"
local stoke = require "stoke"
local headers = require "stoke.mcp.headers"

local TOOL = { name = "sql", inputSchema = { type = "object", properties = {
  region = { type = "string", ["x-mcp-header"] = "Region" },
  count = { type = "integer", ["x-mcp-header"] = "Count" }, query = { type = "string" } } } }

local function answer(id, result) return { jsonrpc = "2.0", id = id, result = result } end
local function refuse(id, code, message) return { jsonrpc = "2.0", id = id, error = { code = code, message = message } } end

local function modern(id, message)
  if message.method == "server/discover" then
    return answer(id, { supportedVersions = { "2026-07-28" }, capabilities = { tools = json.object {} }, resultType = "complete" })
  elseif message.method == "tools/list" then
    return answer(id, { tools = { TOOL, { name = "bad", inputSchema = { type = "object", properties = { x = { type = "number",
      ["x-mcp-header"] = "X" } } } } } })
  end
  return answer(id, { content = { { type = "text", text = "done" } } })
end

--- A server of the stateless version; `seen` gets what it was asked.
local function stateless(seen, act)
  return http.serve { mem = "mcp", handler = function(req, res)
    local message = json.decode(req.body)
    seen[#seen + 1] = { headers = req.headers, message = message }
    if act and act(message, res, req) then return end
    res:reply(200, { ["Content-Type"] = "application/json" }, json.encode(modern(message.id, message)))
  end }
end

test("mcp http: a stateless server is found; headers repeat the message, arguments too where the schema says so", function(t)
  local seen = {}
  local server <close> = stateless(seen) -- luacheck: ignore
  local peer <close> = mcp.connect { url = "http://mcp.mem/mcp", headers = { Authorization = "Bearer x" } }
  local list = peer:tools()
  t.eq(#list, 1, "a tool whose x-mcp-header is invalid is left out")
  t.eq(list[1]:call { region = "Zürich", count = 42, query = "q" }, "done")
  local last = seen[#seen].headers
  t.eq(last["mcp-method"], "tools/call")
  t.eq(last["mcp-name"], "sql")
  t.eq(last["mcp-protocol-version"], "2026-07-28")
  t.eq(last["mcp-param-region"], "=?base64?WsO8cmljaA==?=")
  t.eq(last["mcp-param-count"], "42")
  t.eq(last.authorization, "Bearer x")
  t.match(last.accept, "text/event%-stream")
  t.eq(seen[#seen].message.params._meta["io.modelcontextprotocol/protocolVersion"], "2026-07-28")
end)

test("mcp http: an answer may be a stream with progress before it", function(t)
  local seen = {}
  local server <close> = stateless(seen, function(message, res) -- luacheck: ignore
    if message.method ~= "tools/call" then return false end
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    res:write ": a comment\r\n\r\n"
    res:write("event: message\ndata: " .. json.encode { jsonrpc = "2.0", method = "notifications/progress",
      params = { progressToken = message.params._meta.progressToken, progress = 1 } } .. "\n\n")
    stoke.sleep(0.01)
    res:write("data: " .. json.encode(answer(message.id, { content = { { type = "text", text = "streamed" } } })) .. "\r\n\r\n")
    return true
  end)
  local peer <close> = mcp.connect { url = "http://mcp.mem/mcp" }
  local notes = 0
  t.eq(peer:call("sql", {}, { on_progress = function() notes = notes + 1 end }).text, "streamed")
  t.eq(notes, 1)
end)

test("mcp http: a cancelled call closes its stream", function(t)
  local seen, left = {}, false
  local server <close> = stateless(seen, function(message, res) -- luacheck: ignore
    if message.method ~= "tools/call" then return false end
    local guard <close> = setmetatable({}, { __close = function() left = true end }) -- luacheck: ignore
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    stoke.sleep(1000)
    return true
  end)
  local peer <close> = mcp.connect { url = "http://mcp.mem/mcp" }
  t.raises("timeout", peer.call, peer, "sql", {}, { timeout = 0.1 })
  stoke.sleep(0.1)
  t.ok(left, "the server saw it")
end)

--- A server of the versions with a handshake, which ends its sessions after `most` requests.
local function stateful(seen, most)
  local sessions, count = {}, 0
  return http.serve { mem = "mcp", handler = function(req, res)
    if req.method == "DELETE" then
      seen.deleted = req.headers["mcp-session-id"]
      return res:reply(204)
    end
    local message = json.decode(req.body)
    seen[#seen + 1] = { headers = req.headers, message = message }
    local function out(value, more) return res:reply(200, more or { ["Content-Type"] = "application/json" }, json.encode(value)) end
    if message.method == "initialize" then
      count = count + 1
      sessions["s" .. count] = 0
      return out(answer(message.id, { protocolVersion = "2025-06-18", capabilities = {}, serverInfo = { name = "old" } }),
        { ["Content-Type"] = "application/json", ["Mcp-Session-Id"] = "s" .. count })
    end
    local used = sessions[req.headers["mcp-session-id"] or ""]
    if not req.headers["mcp-session-id"] then return res:reply(400, nil, json.encode(refuse(json.null, -32000, "no session"))) end
    if not used or used >= most then return res:reply(404) end
    if not message.id then return res:reply(202) end
    sessions[req.headers["mcp-session-id"]] = used + 1
    return out(answer(message.id, { content = { { type = "text", text = req.headers["mcp-session-id"] } } }))
  end }
end

test("mcp http: a server with a handshake gets it, its session and version in each request; a session that ended is begun anew",
  function(t)
    local seen = {}
    local server <close> = stateful(seen, 2) -- luacheck: ignore
    do
      local peer <close> = mcp.connect { url = "http://mcp.mem/mcp" }
      t.eq(peer:call("x").text, "s1")
      t.eq(peer:call("x").text, "s1")
      t.eq(peer:call("x").text, "s2")
      t.eq(peer.version, "2025-06-18")
    end
    local last = seen[#seen].headers
    t.eq(last["mcp-protocol-version"], "2025-06-18")
    t.eq(last["mcp-method"], nil)
    t.eq(seen.deleted, "s2")
  end)

test("mcp http: a server of the older versions may ask on a stream of its own, and go on with an answer that broke off", function(t)
  local asked, answered, stream
  local server <close> = http.serve { mem = "mcp", handler = function(req, res) -- luacheck: ignore
    if req.method == "GET" then
      res:start(200, { ["Content-Type"] = "text/event-stream" })
      if req.headers["last-event-id"] == "e1" then
        res:write("data: " .. json.encode(answer(stream, { content = { { type = "text", text = "the rest" } } })) .. "\n\n")
        return
      end
      res:write('data: {"jsonrpc":"2.0","id":"q","method":"elicitation/create","params":{"message":"Who?"}}\n\n')
      stoke.sleep(1000)
    end
    local message = json.decode(req.body)
    if message.method == "server/discover" then return res:reply(400) end
    if message.id == "q" then
      answered = message.result
      return res:reply(202)
    elseif not message.id then
      return res:reply(202)
    elseif message.method == "initialize" then
      return res:reply(200, { ["Content-Type"] = "application/json" }, json.encode(answer(message.id,
        { protocolVersion = "2025-11-25", capabilities = {} })))
    end
    stream = message.id
    res:start(200, { ["Content-Type"] = "text/event-stream" })
    res:write "id: e1\nretry: 10\ndata: \n\n"
  end }
  local peer <close> = mcp.connect { url = "http://mcp.mem/mcp", on_elicit = function(message)
    asked = message
    return { name = "Bo" }
  end }
  t.eq(peer:call("x").text, "the rest")
  stoke.sleep(0.1)
  t.eq(asked, "Who?")
  t.eq(answered.content.name, "Bo")
end)

test("mcp http: refusals are told: a token that is missing, a wrong address, a server that is busy or breaks off", function(t)
  local status, body, kind = 401, "", nil
  local server <close> = http.serve { mem = "mcp", handler = function(_, res) -- luacheck: ignore
    res:reply(status, { ["Content-Type"] = kind or "text/plain" }, body)
  end }
  local function try()
    local peer <close> = mcp.connect { url = "http://mcp.mem/mcp" }
    local _, err = stoke.try(peer.call, peer, "x")
    return err
  end
  local err = try()
  t.eq(err.kind, "auth")
  t.match(err.hint, "OAuth")
  status = 404
  err = try()
  t.eq(err.kind, "http")
  t.match(err.hint, "/mcp")
  status = 503
  t.eq(try().kind, "overloaded")
  status, body = 200, "<html>hello</html>"
  t.eq(try().kind, "incomplete")
  status, body, kind = 200, 'data: {"jsonrpc":"2.0","id":', "text/event-stream"
  t.eq(try().kind, "incomplete")
end)

test("mcp http: values of headers are encoded where they are no plain text, and read back", function(t)
  for _, value in ipairs { "us-west1", "Hello, 世界", " padded ", "line1\nline2", "=?base64?literal?=", "a b", "", "x " } do
    t.eq(headers.decode(headers.encode(value)), value)
  end
  t.eq(headers.encode "Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?=")
  t.eq(headers.encode "=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?=")
  t.eq(headers.encode " padded ", "=?base64?IHBhZGRlZCA=?=")
  t.eq(headers.encode "us-west1", "us-west1")
  t.eq(headers.decode "=?base64?***?=", nil)
end)
