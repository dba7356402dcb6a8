-- A trace goes on in another process: the W3C trace context in headers and in MCP's _meta.

local about = require "core.about"
local binary = require "binary"
local http = require "stoke.http"
local json = require "stoke.json"
local peers = require "stoke.acp.peer"
local proc = require "stoke.proc"
local scopes = require "core.scope"
local sim = require "stoke.sim"
local span = require "core.gate.span"
local stoke = require "stoke"
local test = require "stoke.test"
local traceparent = require "core.gate.traceparent"

local TRACE <const>, ID <const> = ("4bf92f35"):rep(4), "00f067aa0ba902b7"
local FAR <const> = ("00-%s-%s-01"):format(TRACE, ID)

-- The records that f leaves, by name a list.
local function recorded(f)
  local records = {}
  local function sink(r)
    records[r.name] = records[r.name] or {}
    table.insert(records[r.name], r)
  end
  span.listen(sink)
  local _ <close> = setmetatable({}, { __close = function() span.unlisten(sink) end })
  f()
  return records
end

-- ---- the header -----------------------------------------------------------------------------------------------------------------

test("a traceparent is read as the standard has it", function(t)
  local far = traceparent.read(FAR, "rojo=00f067aa0ba902b7")
  t.eq({ far.trace, far.id, far.state, far.unsampled, far.remote }, { TRACE, ID, "rojo=00f067aa0ba902b7", nil, true })
  t.eq(traceparent.read(("00-%s-%s-00"):format(TRACE, ID)).unsampled, true)
  t.eq(traceparent.read(("01-%s-%s-03-more"):format(TRACE, ID)).trace, TRACE)
  t.eq(traceparent.write(far), FAR)
end)

test("what is no traceparent begins a trace of its own", function(t)
  for _, bad in ipairs { "", "00", FAR:upper(), FAR .. "-x", FAR .. "0", "ff" .. FAR:sub(3), "0g" .. FAR:sub(3), FAR .. ", " .. FAR,
    FAR:gsub(TRACE, ("0"):rep(32)), FAR:gsub(ID, ("0"):rep(16)), FAR:gsub("-", "_"), FAR:sub(1, -2), " " .. FAR,
    "01" .. FAR:sub(3) .. "x", FAR:gsub("4bf", "4Bf") } do
    t.eq(traceparent.read(bad), nil, bad)
  end
  for _, odd in ipairs { 7, true, { FAR } } do t.eq(traceparent.read(odd), nil) end
end)

test("a tracestate that is too long or holds odd bytes is dropped, the trace is not", function(t)
  for _, bad in ipairs { ("a"):rep(513), "a=\0", "a=\r\nb", "a=\xc3\xa4", "" } do
    local far = traceparent.read(FAR, bad)
    t.eq({ far.trace, far.state }, { TRACE })
  end
end)

test("a header that a request brings itself is kept", function(t)
  local own = { "Accept: x", "TraceParent: " .. FAR }
  t.eq(traceparent.headers(own, span.remote(TRACE, ("1"):rep(16))), own)
  local given = traceparent.headers({ "Accept: x" }, span.remote(TRACE, ID, "a=1"))
  t.eq(given, { "Accept: x", "traceparent: " .. FAR, "tracestate: a=1" })
end)

-- ---- in -------------------------------------------------------------------------------------------------------------------------

local function answering(handler)
  return http.serve { mem = "other" .. tostring(handler):match "%x+$", handler = handler }
end

test("a request that comes with a trace is served in it, and passes its state on", function(t)
  local seen
  local last <close> = answering(function(req)
    seen = req.headers
    return "ok"
  end)
  local server <close> = answering(function() return http.get(last.url).body end)
  local headers = { traceparent = FAR, tracestate = "a=1" }
  local r = recorded(function() http.get(server.url .. "/path?key=secret", { headers = headers }) end)
  local outer
  for _, one in ipairs(r["serve.request"]) do outer = one.path == "/path" and one or outer end
  t.eq({ outer.trace, outer.parent, outer.about, outer.status, outer.method }, { TRACE, ID, "GET /path", 200, "GET" })
  t.eq(seen.tracestate, "a=1")
  t.match(seen.traceparent, "^00%-" .. TRACE .. "%-%x+%-01$")
end)

test("a request without one, or with an odd one, begins a trace", function(t)
  local server <close> = answering(function() return "ok" end)
  local r = recorded(function()
    http.get(server.url, { headers = { traceparent = "00-xyz" } })
  end)
  t.eq(r["serve.request"][1].parent, nil)
  t.ok(r["serve.request"][1].trace ~= TRACE)
end)

test("a handler that fails, and one whose status is an error, are told apart", function(t)
  local server <close> = http.serve { mem = "failing", on_error = function() end, handler = function(req, res)
    if req.path == "/raise" then error "a mistake" end
    return res:reply(404)
  end }
  local r = recorded(function()
    http.get(server.url .. "/raise", { raise = false })
    http.get(server.url .. "/none", { raise = false })
  end)
  local a, b = r["serve.request"][1], r["serve.request"][2]
  t.eq({ a.status, a.error, b.status, b.error }, { 500, "script", 404 })
end)

test("a request of an editor is in the trace that its _meta names", function(t)
  local answered
  local peer = peers.new(function(message) answered = message end, { ["session/prompt"] = function()
    local inner <close> = span.enter("work", "inside") -- luacheck: ignore
    return {}
  end })
  local r = recorded(function()
    local scope <close> = scopes.open {}
    local params = { _meta = { traceparent = FAR } }
    peer:take(json.encode { jsonrpc = "2.0", id = 1, method = "session/prompt", params = params }, scope)
    scope:wait()
  end)
  local seen = r["acp.serve"][1]
  t.eq({ answered.id, seen.about, seen.trace, seen.parent, r.work[1].parent }, { 1, "session/prompt", TRACE, ID, seen.span })
end)

-- ---- out ------------------------------------------------------------------------------------------------------------------------

test("nothing is put into requests where nobody traces, nor where the environment says so", { real = true }, function(t)
  local here <close> = binary.place { ["ask.lua"] = [[
    local http = require "stoke.http"
    local server <close> = http.serve { mem = "other", handler = function(req) return req.headers.traceparent or "none" end }
    print(http.get(server.url).body)
  ]] }
  t.eq(here.run("ask.lua").stdout, "none\n")
  t.match(here.run("--trace", "out", "ask.lua").stdout, "^00%-%x+%-%x+%-01\n$")
  here.env.OTEL_PROPAGATORS = "none"
  t.eq(here.run("--trace", "out", "ask.lua").stdout, "none\n")
end)

test("each request of a traced run names its own span, each attempt the same", function(t)
  local seen = {}
  local server <close> = http.serve { mem = "models", handler = function(req, res)
    seen[#seen + 1] = req.headers.traceparent
    if #seen == 1 then return res:reply(503) end
    return { model = "m", message = { role = "assistant", content = "hi" }, done = true, done_reason = "stop",
      prompt_eval_count = 1, eval_count = 1 }
  end }
  local bot = stoke.agent { name = "b", model = "m", endpoint = server.url }
  local r = recorded(function() bot:run "x" end)
  local call = r["llm.chat"][1]
  local want = ("00-%s-%s-01"):format(call.trace, span.hex(call.span))
  t.eq(seen, { want, want })
end)

test("the request itself, which keys and tapes are made of, says nothing of the trace", function(t)
  local server <close> = answering(function() return "ok" end)
  local r = recorded(function() http.get(server.url .. "/x", { headers = { Accept = "text/plain" } }) end)
  for _, line in ipairs(r["http.request"][1].request.headers) do t.ok(not line:lower():find "^trace", line) end
end)

-- ---- several hosts --------------------------------------------------------------------------------------------------------------

local SERVED <const> = [[
  local stoke = require "stoke"
  stoke.agent { name = "poet", model = "verse" }
]]

local TOOLS <const> = [[
  local stoke = require "stoke"
  return { stoke.tool { name = "NAME", description = "d", params = { n = "integer" }, run = function(a)
    stoke.sleep(0)
    return a.n + 1
  end } }
]]

local MAIN <const> = [[
  local stoke = require "stoke"
  stoke.main(function(args)
    local env = { OTEL_EXPORTER_OTLP_ENDPOINT = stoke.env.get "OTEL_EXPORTER_OTLP_ENDPOINT", OTEL_SERVICE_NAME = "pipe" }
    local pipe <close> = stoke.mcp.connect { command = args[1], args = { "mcp", "pipe.lua" }, env = env }
    local web <close> = stoke.mcp.connect { url = args[2] .. "/mcp" }
    local poet = stoke.agent { name = "poet", model = "poet", endpoint = args[3] }
    local chief = stoke.agent { name = "chief", model = "m", endpoint = args[4],
      tools = { pipe:tools()[1], web:tools()[1], poet:as_tool { description = "writes verse" } } }
    print(chief:run("go").text)
  end)
]]

--- A host of its own, and its address: the first line that it prints.
local function host(here, name, ...)
  local env = { OTEL_SERVICE_NAME = name }
  for key, value in next, here.env do env[key] = value end
  local child = proc.spawn { argv = { about.executable(), ... }, cwd = here.path, env = env, env_allow = binary.PASSED_ON,
    stderr = "merge" }
  return child, child:lines()():match "http://[%w.:]+"
end

--- A collector at a port: spans with the service that they are of.
local function collector()
  local spans = {}
  local server = http.serve { port = 0, system = true, handler = function(req)
    for _, one in ipairs(json.decode(req.body).resourceSpans) do
      local service
      for _, a in ipairs(one.resource.attributes) do service = a.key == "service.name" and a.value.stringValue or service end
      for _, found in ipairs(one.scopeSpans[1].spans) do
        found.service = service
        spans[#spans + 1] = found
      end
    end
    return json.object {}
  end }
  return spans, server
end

local function answers(request)
  local last = request.messages[#request.messages]
  if request.model:find "verse" then return "A line." end
  if last.role == "user" then return { tool = "down", args = { n = 1 } } end
  if last.content:find "^2" then return { tool = "over", args = { n = 2 } } end
  if last.content:find "^3" then return { tool = "poet", args = { input = "a line" } } end
  return "Done."
end

test("agents, tools, MCP servers on both transports and another host are one tree", { real = true, timeout = 120 }, function(t)
  local spans, server = collector()
  local model <close> = sim.serve { port = 0, slots = 8, models = { "m,load=0", "verse,load=0" }, script = answers }
  local here <close> = binary.place { ["served.lua"] = SERVED, ["main.lua"] = MAIN, ["pipe.lua"] = TOOLS:gsub("NAME", "down"),
    ["web.lua"] = TOOLS:gsub("NAME", "over") }
  here.env.XDG_RUNTIME_DIR, here.env.OTEL_EXPORTER_OTLP_ENDPOINT = here.path, server.url
  local poet <close>, poet_url = host(here, "serve", "serve", "served.lua", "--endpoint", model.url, "--port", "0")
  local web <close>, web_url = host(here, "web", "mcp", "web.lua", "--port", "0")
  here.env.OTEL_SERVICE_NAME = "main"
  local done = here.run("main.lua", about.executable(), web_url, poet_url, model.url)
  t.eq({ done.stdout, done.code }, { "Done.\n", 0 }, done.stderr)
  for _, child in ipairs { poet, web } do
    child:kill "TERM"
    child:wait()
  end
  server:close()
  local mine = {}
  for _, one in ipairs(spans) do
    if one.name == "script main.lua" then mine.root = one end
  end
  local known, services = {}, {}
  for _, one in ipairs(spans) do
    if one.traceId == mine.root.traceId then known[one.spanId], services[one.service] = one, true end
  end
  t.eq(services, { main = true, pipe = true, web = true, serve = true })
  local roots, above, inside = 0, {}, {}
  for _, one in next, known do
    local parent = known[one.parentSpanId or ""]
    inside[one.service .. ": " .. one.name] = true
    if not parent then roots = roots + 1 end
    if parent and parent.service ~= one.service then
      above[one.service .. ": " .. one.name] = parent.service .. ": " .. parent.name
    end
  end
  t.eq(roots, 1)
  for _, name in ipairs { "main: invoke_agent chief", "main: execute_tool down", "main: execute_tool over",
    "main: execute_tool poet", "serve: invoke_agent poet", "serve: chat verse" } do
    t.ok(inside[name], name)
  end
  t.eq(above["pipe: tools/call down"], "main: tools/call down")
  t.eq(above["web: tools/call over"], "main: tools/call over")
  t.eq(above["serve: POST /api/chat"], "main: chat poet")
end)
