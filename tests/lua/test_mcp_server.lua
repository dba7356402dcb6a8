-- `stoke mcp FILE` over standard streams and over HTTP, by the bytes and by our own client; the verbs of the shell.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local mcp = require "stoke.mcp"
local proc = require "stoke.proc"
local entries = require "stoke.mcp.server.entries"
local server = require "stoke.mcp.server"
local serve = require "stoke.mcp.server.http".serve
local stoke = require "stoke"

local REAL = { real = true, timeout = 60 }
local FILE <const> = "tests/lua/mcp_offer.lua"

local function meta(version)
  return { ["io.modelcontextprotocol/protocolVersion"] = version or "2026-07-28",
    ["io.modelcontextprotocol/clientCapabilities"] = json.object {} }
end

--- Messages in, answers by their ids.
local function talk(messages)
  local lines = {}
  for i, message in ipairs(messages) do
    if type(message) == "table" then
      message.jsonrpc = message.jsonrpc or "2.0"
      message = json.encode(message)
    end
    lines[i] = message
  end
  local result = proc.run { argv = { about.executable(), "mcp", FILE }, stdin = table.concat(lines, "\n") .. "\n", timeout = 30 }
  local answers, other = {}, {}
  for line in result.stdout:gmatch "[^\n]+" do
    local message = json.decode(line) -- raises where standard output is not clean
    if message.id ~= nil and message.id ~= json.null then answers[message.id] = message else other[#other + 1] = message end
  end
  return answers, other, result
end

test("mcp server: standard output carries messages alone; what scripts print goes to standard error", REAL, function(t)
  local answers, other, result = talk {
    { id = 1, method = "initialize", params = { protocolVersion = "2025-06-18" } },
    { method = "notifications/initialized" },
    { id = 2, method = "tools/call", params = { name = "add", arguments = { a = 1, b = 2 } } },
    { id = 3, method = "tools/list" }, { id = 4, method = "ping" } }
  t.eq(#other, 0)
  t.eq(answers[1].result.protocolVersion, "2025-06-18")
  t.eq(answers[1].result.serverInfo.name, "mcp_offer")
  t.eq(answers[2].result.structuredContent.sum, 3)
  t.eq(answers[2].result.content[1].text, '{"sum":3}')
  t.eq(answers[2].result.resultType, nil, "the old era has no types of results")
  t.eq(#answers[3].result.tools, 7)
  t.ok(answers[4].result)
  t.match(result.stderr, "loading\nraw\n")
  t.match(result.stderr, "adding")
  t.eq(result.code, 0)
end)

test("mcp server: the stateless version is served beside the one with a handshake", REAL, function(t)
  local answers = talk {
    { id = "a", method = "server/discover", params = { _meta = meta() } },
    { id = "b", method = "tools/call", params = { name = "add", arguments = { a = 1, b = 2 }, _meta = meta() } },
    { id = "c", method = "tools/list", params = { _meta = meta "1900-01-01" } },
    { id = "d", method = "tools/list", params = { _meta = { ["io.modelcontextprotocol/protocolVersion"] = "2026-07-28" } } },
    { id = "e", method = "ping", params = { _meta = meta() } } }
  t.eq(answers.a.result.supportedVersions[1], "2026-07-28")
  t.eq(answers.a.result.resultType, "complete")
  t.eq(answers.a.result.ttlMs, 0)
  t.eq(answers.b.result._meta["io.modelcontextprotocol/serverInfo"].name, "mcp_offer")
  t.eq(answers.c.error.code, -32022)
  t.eq(answers.c.error.data.requested, "1900-01-01")
  t.eq(answers.d.error.code, -32602)
  t.eq(answers.e.error.code, -32601, "ping is of the old era")
end)

test("mcp server: bad messages are answered as JSON-RPC has it, and the next ones are served", REAL, function(t)
  local answers, other = talk { "no json", "[]", { id = 1 }, { id = true, method = "ping" }, '{"id":9,"method":"ping"}',
    { id = 2, method = "nothing/here" }, { id = 3, method = "tools/call", params = { name = "ad" } },
    { id = 4, method = "tools/call", params = { name = "add", arguments = { 1, 2 } } }, { id = 7, result = {} },
    { id = 5, method = "ping", params = { 1 } }, { id = 6, method = "ping" } }
  local codes = {}
  for i, message in ipairs(other) do codes[i] = message.error.code end
  t.eq(table.concat(codes, " "), "-32700 -32600 -32600")
  t.eq(answers[1].error.code, -32600)
  t.eq(answers[9].error.code, -32600)
  t.eq(answers[2].error.code, -32601)
  t.match(answers[3].error.message, "did you mean add")
  t.eq(answers[4].error.code, -32602)
  t.eq(answers[5].error.code, -32600)
  t.eq(answers[7], nil, "answers are no requests")
  t.ok(answers[6].result)
end)

test("mcp server: what fails is a result that says so; a mistake of the tool shows nothing of its code", REAL, function(t)
  local function call(id, name, arguments)
    return { id = id, method = "tools/call", params = { name = name, arguments = arguments } }
  end
  local answers, _, result = talk { call(1, "bug", {}), call(2, "refuse", {}), call(3, "add", { a = "x" }), call(4, "delete", {}) }
  t.eq(answers[1].result.isError, true)
  t.eq(answers[1].result.content[1].text, "bug failed by a mistake of its own")
  t.match(result.stderr, "attempt to index")
  t.eq(answers[2].result.content[1].text, "not today")
  t.match(answers[3].result.content[1].text, "a: expected number")
  t.match(answers[4].result.content[1].text, "nobody is here to be asked")
end)

test("mcp server: a line without end is refused and passed over, the next one is served, and memory stays", REAL, function(t)
  local process <close> = proc.spawn { argv = { about.executable(), "--max-memory", "200M", "mcp", FILE }, stdin = true }
  local piece = ("x"):rep(1 << 20)
  for _ = 1, 300 do process:write(piece) end
  process:write '\n{"jsonrpc":"2.0","id":1,"method":"ping"}\n'
  process:close_stdin()
  local said = {}
  for line in process:lines() do said[#said + 1] = json.decode(line) end
  t.eq(said[1].error.code, -32600)
  t.match(said[1].error.message, "more than 16 MB")
  t.ok(said[2].result)
  t.eq(process:wait().code, 0)
end)

test("mcp server: a call that has begun ends with the code it began with, also where its file changes", REAL, function(t)
  local path = t.tmp() .. "/tools.lua"
  local function write(words)
    fs.write(path, ([[
local stoke = require "stoke"
stoke.tool { name = "wait", run = function() stoke.sleep(1) return "%s" end }
stoke.tool { name = "say", run = function() return "%s" end }
]]):format(words, words))
  end
  write "old"
  local one <close> = mcp.connect { command = about.executable(), args = { "mcp", path } }
  t.eq(one:call("say").text, "old")
  local begun = stoke.spawn(function() return one:call("wait").text end)
  stoke.sleep(0.05)
  write "new"
  for _ = 1, 100 do
    if one:call("say").text == "new" then break end
    stoke.sleep(0.02)
  end
  t.eq(one:call("say").text, "new")
  t.eq(begun:await(), "old")
end)

test("mcp server: a cancelled call ends without an answer", REAL, function(t)
  local answers, other = talk { { id = 1, method = "tools/call", params = { name = "slow" } },
    { method = "notifications/cancelled", params = { requestId = 1 } }, { id = 2, method = "ping" } }
  t.eq(answers[1], nil)
  t.ok(answers[2])
  t.eq(#other, 0)
end)

test("mcp server: our client and our server understand each other over standard streams", REAL, function(t)
  local one <close> = mcp.connect { command = about.executable(), args = { "mcp", FILE } }
  t.eq(one:call("add", { a = 20, b = 22 }).structured.sum, 42)
  t.eq(one.era, "modern")
  t.raises("timeout", one.call, one, "slow", {}, { timeout = 0.2 })
  t.eq(one:call("add", { a = 1, b = 1 }).text, '{"sum":2}')
end)

local function offer()
  return server.new(entries.given({ stoke.tool { name = "add", params = { a = "number", b = "number" }, run = function(args)
    return { sum = args.a + args.b } end } }, "test"), { name = "here" })
end

test("mcp server over HTTP: our client and our server understand each other", function(t)
  local running <close> = serve(offer(), { mem = "offer" }) -- luacheck: ignore
  local one <close> = mcp.connect { url = "http://offer.mem/mcp" }
  t.eq(one:tools()[1]:call { a = 1, b = 2 }, '{"sum":3}')
  t.eq(one.era, "modern")
end)

test("mcp server over HTTP: methods, paths, headers and tokens are checked", function(t)
  local running <close> = serve(offer(), { mem = "offer", token = "secret" }) -- luacheck: ignore
  local function ask(message, headers, options)
    options = options or {}
    headers = headers or {}
    headers.Authorization = headers.Authorization or "Bearer secret"
    local res = http.request { method = options.method or "POST", url = "http://offer.mem" .. (options.path or "/mcp"),
      raise = false, headers = headers, body = type(message) == "table" and json.encode(message) or message }
    return res.status, res.body ~= "" and res.body:find "^{" and json.decode(res.body) or nil
  end
  local list = { jsonrpc = "2.0", id = 1, method = "tools/list", params = { _meta = meta() } }
  local right = { ["MCP-Protocol-Version"] = "2026-07-28", ["Mcp-Method"] = "tools/list" }
  t.eq((ask(list, { Authorization = "Bearer wrong" })), 401)
  t.eq((ask(nil, nil, { method = "GET" })), 405)
  t.eq((ask(list, nil, { path = "/other" })), 404)
  t.eq((ask(list, right)), 200)
  local call = { name = "add", arguments = { a = 1, b = 1 }, _meta = meta() }
  t.eq((ask({ jsonrpc = "2.0", id = 1, method = "tools/call", params = call },
    { ["MCP-Protocol-Version"] = "2026-07-28", ["Mcp-Method"] = "tools/call", ["Mcp-Name"] = "  add  " })), 200)
  t.eq((ask { jsonrpc = "2.0", id = 1, method = "server/discover" }), 400)
  local status, answer = ask(list, {})
  t.eq(status, 400)
  t.eq(answer.error.code, -32020)
  status, answer = ask("{", right)
  t.eq(status, 400)
  t.eq(answer.error.code, -32700)
  list.params._meta = meta "1900-01-01"
  status, answer = ask(list, { ["MCP-Protocol-Version"] = "1900-01-01", ["Mcp-Method"] = "tools/list" })
  t.eq(status, 400)
  t.eq(answer.error.code, -32022)
  status, answer = ask({ jsonrpc = "2.0", id = 1, method = "nothing", params = { _meta = meta() } },
    { ["MCP-Protocol-Version"] = "2026-07-28", ["Mcp-Method"] = "nothing" })
  t.eq(status, 404)
  t.eq(answer.error.code, -32601)
  t.eq((ask { jsonrpc = "2.0", method = "notifications/initialized" }), 202)
  status, answer = ask { jsonrpc = "2.0", id = 1, method = "initialize", params = { protocolVersion = "2025-11-25" } }
  t.eq(status, 200)
  t.eq(answer.result.protocolVersion, "2025-11-25")
  t.raises("usage", serve, offer(), { address = "0.0.0.0" })
end)

test("mcp server over HTTP: the first line is the address; what the file prints goes to standard error", REAL, function(t)
  local process <close> = proc.spawn { argv = { about.executable(), "mcp", FILE, "--port", "0" }, stderr = "capture" }
  local url = process:read():match "^(http://127%.0%.0%.1:%d+/mcp)\n$"
  t.ok(url)
  t.match(process:read(65536, "stderr"), "loading")
  local one <close> = mcp.connect { url = url }
  t.eq(one:call("add", { a = 1, b = 2 }).structured.sum, 3)
  process:kill()
end)

-- ---- the shell --------------------------------------------------------------------------------------------------------------


test("mcp verbs: list, inspect and call by .mcp.json, with its variables", REAL, function(t)
  local folder = t.tmp()
  local here = fs.stat "tests" and proc.run { argv = { "pwd" } }.stdout:gsub("\n", "")
  local exe = about.executable()
  if exe:sub(1, 1) ~= "/" then exe = here .. "/" .. exe end
  local function run(...)
    local result = proc.run { argv = { exe, "mcp", ... }, cwd = folder, timeout = 30 }
    return result.stdout, result.stderr, result.code
  end
  local function first(...) return (run(...)) end
  local _, err, code = run "list"
  t.eq(code, 0)
  t.match(err, "no MCP server is configured")
  fs.write(folder .. "/.mcp.json", json.encode { mcpServers = {
    offer = { command = exe, args = { "mcp", "${PLACE:-" .. here .. "}/" .. FILE } },
    other = { url = "http://127.0.0.1:9/mcp", type = "http", headers = { Authorization = "Bearer ${NO_SUCH_VARIABLE}" } },
    old = { type = "sse", url = "http://x/" } } })
  t.match(first "list", "http://127.0.0.1:9/mcp")
  local shown = first("inspect", "offer")
  t.match(shown, "MCP 2026%-07%-28")
  t.match(shown, "add%(a: number, b: number%)  Adds")
  t.eq(first("call", "offer", "add", "a=1", "b=2"), '{"sum":3}\n')
  t.eq(first("call", "offer", "add", '{"a":1,"b":4}'), '{"sum":5}\n')
  local function fails(expected, words, ...)
    local _, said, status = run(...)
    t.eq(status, expected)
    t.match(said, words)
  end
  fails(5, "not today", "call", "offer", "refuse")
  fails(2, "did you mean offer", "call", "ofer", "add")
  fails(2, "NO_SUCH_VARIABLE", "call", "other", "add")
  fails(2, "sse", "inspect", "old")
  t.eq(#json.decode(first("inspect", "--json", "--", exe, "mcp", here .. "/" .. FILE)).tools, 7)
  fails(1, "nosuchprogram", "inspect", "--", "nosuchprogram") -- one word after -- is a command, too, and no name
end)
