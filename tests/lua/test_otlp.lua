-- Spans that leave for a collector: what they say, in what batches, and what a collector that does not take them costs.

local config = require "stoke.config"
local errors = require "core.errors"
local http = require "stoke.http"
local json = require "stoke.json"
local otlp = require "stoke.traces.otlp"
local names = require "stoke.traces.conventions"
local scopes = require "core.scope"
local sim = require "stoke.sim"
local settings = require "stoke.traces.otlp.settings"
local span = require "core.gate.span"
local stoke = require "stoke"
local test = require "stoke.test"
local time = require "stoke.time"

-- ---- helpers --------------------------------------------------------------------------------------------------------------------

-- A collector, beside the script as others' are: answers with what `answer(n, body)` gives for the n-th request (status, headers,
-- body), 200 when nothing.
local function collector(answer)
  local self = setmetatable({ requests = {}, spans = {} }, { __close = function(self) self.server:close() end })
  local name = "collector" .. tostring(self):match "%x+$"
  self.server = http.serve { mem = name, system = true, handler = function(req, res)
    local body = json.decode(req.body)
    local n = #self.requests + 1
    self.requests[n] = { at = time.monotonic(), headers = req.headers, path = req.path, body = body }
    local status, headers, text
    if answer then status, headers, text = answer(n, body) end
    if (status or 200) < 300 then
      for _, one in ipairs(body.resourceSpans[1].scopeSpans[1].spans) do self.spans[#self.spans + 1] = one end
    end
    return res:reply(status or 200, headers, text or "{}")
  end }
  return self
end

local function environment(values) return function(name) return values[name] end end

local function started(self, extra)
  local values = { OTEL_EXPORTER_OTLP_ENDPOINT = self.server and self.server.url or self }
  for name, value in next, extra or {} do values[name] = value end
  local sender = otlp.start(errors.check(settings.read(environment(values))))
  return sender, setmetatable({}, { __close = otlp.stop })
end

-- What is told on standard error while f runs.
local function told_by(f)
  local told, tell = {}, scopes.tell
  scopes.tell = function(text) told[#told + 1] = text end
  local _ <close> = setmetatable({}, { __close = function()
    otlp.stop()
    scopes.tell = tell
  end })
  f()
  return told
end

local function plain(value)
  if value.intValue then return math.tointeger(value.intValue) end
  if value.arrayValue then
    local list = {}
    for i, item in ipairs(value.arrayValue.values) do list[i] = plain(item) end
    return list
  end
  local v = value.stringValue
  if v == nil then v = value.doubleValue end
  if v == nil then v = value.boolValue end
  return v
end

local function attributes(one)
  local out = {}
  for _, a in ipairs(one.attributes) do out[a.key] = plain(a.value) end
  return out
end

local function named(spans, pattern)
  local list = {}
  for _, one in ipairs(spans) do
    if one.name:find(pattern) then list[#list + 1] = one end
  end
  return list
end

local function weather(run)
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string" },
    run = run or function(a) return "sunny in " .. a.city end }
end

local function work(n)
  for i = 1, n do local seen <close> = span.enter("work", tostring(i)) end -- luacheck: ignore
end

-- ---- what a span says -----------------------------------------------------------------------------------------------------------

test("a run arrives as spans with the conventions' names, in one trace", function(t)
  t.model { { tool = "get_weather", args = { city = "Oslo" } }, "It is sunny." }
  local c <close> = collector()
  local result
  do
    local _, _ <close> = started(c, { OTEL_SERVICE_NAME = "town" })
    result = stoke.agent { name = "umbrella", model = "m", tools = { weather() }, options = { temperature = 0.5 } }:run "weather?"
  end
  local agent, chats, tool = named(c.spans, "^invoke_agent umbrella$")[1], named(c.spans, "^chat m$"),
    named(c.spans, "^execute_tool get_weather$")[1]
  t.eq({ agent ~= nil, #chats, tool ~= nil }, { true, 2, true })
  t.eq({ agent.kind, chats[1].kind, tool.kind }, { names.kinds.internal, names.kinds.client, names.kinds.internal })
  for _, one in ipairs { chats[1], chats[2], tool } do
    t.eq({ one.traceId, one.parentSpanId }, { agent.traceId, agent.spanId })
    t.match(one.spanId, "^" .. ("%x"):rep(16) .. "$")
  end
  local a, b, c1 = attributes(agent), attributes(chats[2]), attributes(chats[1])
  t.eq({ a["gen_ai.operation.name"], a["gen_ai.agent.name"], a["gen_ai.request.model"] }, { "invoke_agent", "umbrella", "m" })
  t.eq({ b["gen_ai.operation.name"], b["gen_ai.provider.name"], b["gen_ai.request.model"], b["gen_ai.response.model"],
    b["gen_ai.request.temperature"], b["gen_ai.response.finish_reasons"] }, { "chat", "ollama", "m", "m", 0.5, { "stop" } })
  t.ok(b["server.address"] and math.type(b["server.port"]) == "integer")
  t.eq({ c1["gen_ai.usage.input_tokens"] + b["gen_ai.usage.input_tokens"], a["gen_ai.usage.output_tokens"] },
    { result.usage.input_tokens, result.usage.output_tokens })
  local d = attributes(tool)
  t.eq({ d["gen_ai.operation.name"], d["gen_ai.tool.name"], d["gen_ai.agent.name"] }, { "execute_tool", "get_weather", "umbrella" })
  local resource = attributes(c.requests[1].body.resourceSpans[1].resource)
  t.eq({ resource["service.name"], resource["telemetry.sdk.language"], c.requests[1].path,
    c.requests[1].headers["content-type"] }, { "town", "lua", "/v1/traces", "application/json" })
end)

test("tokens of the calls that are sent are those of the server's own ledger", function(t)
  local c <close> = collector()
  local server <close> = sim.serve { mem = "counted", slots = 4, models = { "m,load=0" }, script = function(request)
    local last = request.messages[#request.messages]
    return last.role == "user" and { tool = "get_weather", args = { city = "Oslo" } } or "It is sunny in " .. last.content
  end }
  local bot = stoke.agent { name = "umbrella", model = "m", endpoint = server.url, tools = { weather() } }
  do
    local _, _ <close> = started(c)
    local jobs = {}
    for i = 1, 12 do jobs[i] = function() bot:run(("weather "):rep(i)) end end
    stoke.all(jobs)
  end
  local read, written, calls = 0, 0, named(c.spans, "^chat m$")
  for _, one in ipairs(calls) do
    local a = attributes(one)
    read, written = read + a["gen_ai.usage.input_tokens"], written + a["gen_ai.usage.output_tokens"]
  end
  local m = select(2, next(server.sim.ledger.models))
  t.eq({ #calls, read, written }, { 24, m.prompt_tokens, m.tokens })
end)

test("the operation of a call follows from its path", function(t)
  local list = {}
  for i, path in ipairs { "/api/chat", "/v1/chat/completions", "/v1/responses", "/api/generate", "/v1/completions", "/api/embed",
    "/v1/embeddings" } do list[i] = names.operation(path) end
  t.eq(list, { "chat", "chat", "chat", "text_completion", "text_completion", "embeddings", "embeddings" })
end)

test("texts are embedded by a span of their own kind", function(t)
  t.model(function() return "x" end)
  local c <close> = collector()
  do
    local _, _ <close> = started(c)
    stoke.embed { model = "nomic-embed-text", input = { "one", "two" } }
  end
  local one = attributes(named(c.spans, "^embeddings nomic%-embed%-text$")[1])
  t.eq({ one["gen_ai.operation.name"], one["gen_ai.provider.name"] }, { "embeddings", "ollama" })
  t.ok(one["gen_ai.usage.input_tokens"] > 0)
end)

test("times are nanoseconds as texts, and an end is not before its start", function(t)
  local c <close> = collector()
  do
    local _, _ <close> = started(c)
    local seen <close> = span.enter("work", "x") -- luacheck: ignore
    stoke.sleep(2)
  end
  local one = c.spans[1]
  t.match(one.startTimeUnixNano, "^%d+$")
  t.near((tonumber(one.endTimeUnixNano) - tonumber(one.startTimeUnixNano)) / 1e9, 2, 1e-3)
end)

test("what failed says so: the class of the error, its words, each attempt that failed", function(t)
  t.model { { status = 503, error = "busy" }, { status = 400, error = "no such thing" } }
  local c <close> = collector()
  do
    local _, _ <close> = started(c)
    stoke.try(function() stoke.agent { name = "b", model = "m" }:run "x" end)
  end
  local call = named(c.spans, "^chat")[1]
  t.eq({ call.status.code, attributes(call)["stoke.attempts"], #call.events, call.events[1].name },
    { 2, 2, 2, "exception" })
  t.ok(attributes(call)["error.type"])
  t.match(call.status.message, "no such thing")
  t.eq(attributes(call.events[1])["error.type"], "overloaded")
end)

test("a trace that its beginner does not keep is not sent", function(t)
  local c <close> = collector()
  do
    local sender, _ <close> = started(c)
    do local a <close> = span.enter("work", "kept") end -- luacheck: ignore
    local far = span.remote(("ab"):rep(16), ("cd"):rep(8), nil, true)
    do local b <close> = span.enter("work", "not kept", far) end -- luacheck: ignore
    t.eq(#sender.pending, 1)
  end
  t.eq(#c.spans, 1)
end)

-- ---- contents -------------------------------------------------------------------------------------------------------------------

local PLANTED <const> = "sk-plantedplantedplanted1234"

local function secretive(t, extra)
  t.model { { tool = "send", args = { api_key = "hunter2hunter2", text = "hello" } }, "Done with " .. PLANTED .. "." }
  local c <close> = collector()
  local send = stoke.tool { name = "send", description = "d", params = { api_key = "string", text = "string" },
    run = function() return "sent by " .. PLANTED end }
  do
    local _, _ <close> = started(c, extra)
    stoke.agent { name = "b", model = "m", instructions = "Be brief.", tools = { send } }:run("send it with " .. PLANTED)
  end
  return c, json.encode(c.requests[1].body)
end

test("contents do not leave unless they are asked for", function(t)
  local _, all = secretive(t)
  for _, word in ipairs { "send it with", "hello", "Be brief", "hunter2", PLANTED } do
    t.ok(not all:find(word, 1, true), word)
  end
end)

test("contents that are asked for leave without what looks like a secret", function(t)
  local c, all = secretive(t, { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = "true" })
  for _, word in ipairs { "hunter2", PLANTED } do t.ok(not all:find(word, 1, true), word) end
  local chat = attributes(named(c.spans, "^chat")[1])
  t.eq(json.decode(chat["gen_ai.system_instructions"]), { { type = "text", content = "Be brief." } })
  t.eq(json.decode(chat["gen_ai.input.messages"]), { { role = "user", parts = { { type = "text",
    content = "send it with [redacted]" } } } })
  local said = json.decode(chat["gen_ai.output.messages"])[1]
  local part = said.parts[1]
  t.eq({ said.role, part.type, part.name, part.arguments.text }, { "assistant", "tool_call", "send", "hello" })
  local tool = attributes(named(c.spans, "^execute_tool")[1])
  t.eq({ json.decode(tool["gen_ai.tool.call.arguments"]), tool["gen_ai.tool.call.result"] },
    { { api_key = "[redacted]", text = "hello" }, '"sent by [redacted]"' })
  local run = attributes(named(c.spans, "^invoke_agent")[1])
  t.match(run["gen_ai.output.messages"], "Done with %[redacted%]")
end)

test("nor do they where a tool, or a server of MCP, puts it into a table", function(t)
  local facts = require "stoke.traces.otlp.facts"
  local told = { note = "use " .. PLANTED, list = { { text = PLANTED } }, kept = "plain" }
  for name, q in pairs { ["tool.call"] = { name = "t", args = told },
    ["mcp.request"] = { server = "s", method = "tools/call", params = { name = "t", arguments = told } } } do
    local seen = facts.of({ name = name }, { q = q }, { content = { told } }, true)
    t.eq(#seen.contents, 2, name)
    for _, content in ipairs(seen.contents) do
      t.ok(not content[2]:find(PLANTED, 1, true), content[2])
      t.contains(content[2], '"plain"')
    end
  end
  t.eq(told.note, "use " .. PLANTED, "what the run works with is as it was")
end)

test("a key that a server sends back in its errors does not leave", function(t)
  local c <close> = collector()
  local n = 0
  local server <close> = http.serve { mem = "echo", system = true, handler = function(req, res)
    n = n + 1
    return res:reply(n == 1 and 503 or 400, nil, json.encode { error = "wrong: " .. req.headers.authorization })
  end }
  config.load { getenv = function() end, read = function(path)
    if path ~= "./stoke.config.lua" then return nil end
    return ("return { endpoints = { guarded = { url = %q, key = 'plain-words-planted' } } }"):format(server.url)
  end }
  local undo <close> = setmetatable({}, { __close = function() config.load {} end }) -- luacheck: ignore
  do
    local _, _ <close> = started(c)
    stoke.try(stoke.chat, { model = "m", endpoint = "guarded", messages = { { role = "user", content = "x" } } })
  end
  t.eq(n, 2)
  local all = json.encode(c.requests[1].body)
  t.ok(all:find("wrong: ", 1, true), all)
  t.ok(not all:find("planted", 1, true), all)
end)

test("rules of hosts that a script has do not stop its spans", { real = true }, function(t)
  local taken = {}
  local server <close> = http.serve { port = 0, system = true, handler = function(req)
    taken[#taken + 1] = #req.body
    return "{}"
  end }
  for _, otherwise in ipairs { "public", "deny" } do
    local undo <close> = setmetatable({}, { __close = function() stoke.policy(nil) end }) -- luacheck: ignore
    stoke.policy { otherwise = { host = otherwise } }
    local sender, _ <close> = started { server = server }
    work(1)
    otlp.stop()
    t.eq(sender.sent, 1, otherwise)
  end
  t.eq(#taken, 2)
end)

test("a content is cut at 64 KB, and contents that wait have a bound", function(t)
  local c <close> = collector()
  local long = weather(function() return ("word "):rep(40000) end)
  do
    local sender, _ <close> = started(c, { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = "true" })
    for _ = 1, 3 do long:perform { city = "Oslo" } end
    t.ok(sender.bytes > 3 * (64 << 10) and sender.bytes < 3 * (65 << 10), sender.bytes)
    local undo <close> = setmetatable({}, { __close = function() otlp.CONTENTS = 8 << 20 end }) -- luacheck: ignore
    otlp.CONTENTS = sender.bytes
    long:perform { city = "Oslo" }
    t.eq(#sender.pending, 4)
  end
  local third, last = attributes(c.spans[3]), attributes(c.spans[4])
  t.eq({ #third["gen_ai.tool.call.result"], third["stoke.content.cut"] }, { (64 << 10) + 3, true })
  t.eq({ last["gen_ai.tool.call.result"], last["stoke.content.cut"] }, { nil, true })
end)

-- ---- batches --------------------------------------------------------------------------------------------------------------------

test("spans are gathered for five seconds, or until 512 are there", function(t)
  local c <close> = collector()
  local _, _ <close> = started(c)
  local began = time.monotonic()
  work(3)
  stoke.sleep(4.9)
  t.eq(#c.requests, 0)
  stoke.sleep(0.2)
  t.eq({ #c.requests, #c.spans }, { 1, 3 })
  t.near(c.requests[1].at - began, 5, 0.01)
  work(1200)
  stoke.sleep(0.1)
  t.eq({ #c.requests, #c.requests[2].body.resourceSpans[1].scopeSpans[1].spans }, { 3, 512 })
  stoke.sleep(6)
  t.eq(#c.spans, 1203)
end)

test("its own requests are in no trace", function(t)
  local c <close> = collector()
  local seen = {}
  local function sink(r) seen[#seen + 1] = r.name end
  span.listen(sink)
  do
    local _, _ <close> = started(c)
    work(1)
    stoke.sleep(30)
  end
  span.unlisten(sink)
  t.eq({ #c.requests, c.requests[1].headers.traceparent }, { 1 })
  for _, name in ipairs(seen) do t.ok(name ~= "http.request", name) end
end)

-- ---- collectors that do not take them -------------------------------------------------------------------------------------------

test("a collector that is down: said once, the list has a bound, what waits arrives when it is back", function(t)
  local up = false
  local c <close> = collector(function() if not up then return 503, nil, "not yet" end end)
  local sender
  local told = told_by(function()
    sender = started(c)
    work(600)
    stoke.sleep(2)
    work(5000)
    t.eq({ #sender.pending <= 2048, sender.lost > 0 }, { true, true })
    up = true
    stoke.sleep(120)
    t.eq(#sender.pending, 0)
    otlp.stop()
  end)
  t.eq(#told, 1)
  t.match(told[1], "^spans do not reach http://collector.*/v1/traces: it answers 503: not yet; this is said once$")
  t.eq({ sender.sent + sender.lost, #c.spans }, { 5600, sender.sent })
end)

test("attempts are further and further apart, and a batch is given up after six", function(t)
  local c <close> = collector(function() return 503 end)
  local sender
  told_by(function()
    sender = started(c)
    work(1)
    stoke.sleep(200)
    otlp.stop()
  end)
  t.eq({ #c.requests, sender.lost, sender.sent }, { 6, 1, 0 })
  for i = 2, 6 do
    local pause, most = c.requests[i].at - c.requests[i - 1].at, 2 ^ (i - 2)
    t.ok(pause >= most / 2 - 0.01 and pause <= most + 0.01, ("%d: %g"):format(i, pause))
  end
end)

test("Retry-After is heeded, and what no attempt mends is not tried again", function(t)
  local c <close> = collector(function(n)
    if n == 1 then return 429, { ["Retry-After"] = "17" } elseif n == 3 then return 400, nil, "odd" end
  end)
  local sender
  local told = told_by(function()
    sender = started(c)
    work(1)
    stoke.sleep(60)
    work(2)
    stoke.sleep(60)
    otlp.stop()
  end)
  t.eq({ #c.requests, sender.sent, sender.lost, #told }, { 3, 1, 2, 1 })
  t.near(c.requests[2].at - c.requests[1].at, 17, 0.05)
end)

test("spans that a collector rejects are counted", function(t)
  local c <close> = collector(function() return 200, nil, '{"partialSuccess":{"rejectedSpans":"2","errorMessage":"too old"}}' end)
  local sender
  local told = told_by(function()
    sender = started(c)
    work(5)
    otlp.stop()
  end)
  t.eq({ sender.sent, sender.lost }, { 3, 2 })
  t.match(told[1], "it rejects 2 of 5 spans: too old")
end)

test("a run does not wait for a collector that hangs", function(t)
  local c <close> = collector(function() stoke.sleep(1000) end)
  local took = {}
  for i, sends in ipairs { false, true } do
    t.model { { tool = "get_weather", args = { city = "Oslo" } }, "It is sunny." }
    local tool = weather(function()
      stoke.sleep(7)
      return "sunny"
    end)
    told_by(function()
      if sends then started(c) end
      local began = time.monotonic()
      stoke.agent { name = "umbrella", model = "m", tools = { tool } }:run "weather?"
      took[i] = time.monotonic() - began
    end)
  end
  t.near(took[2], took[1], 1e-6)
  t.eq(#c.requests, 1)
end)

test("the end of the process waits for two seconds and no longer", function(t)
  local c <close> = collector(function() stoke.sleep(1000) end)
  local waited
  local told = told_by(function()
    started(c)
    work(5)
    local began = time.monotonic()
    otlp.stop()
    waited = time.monotonic() - began
  end)
  t.near(waited, 2, 0.05)
  t.eq(#told <= 1, true)
end)

test("an answer that is no JSON, or is something else, takes the spans", function(t)
  for _, body in ipairs { "", "ok", "[]", '{"partialSuccess":7}', '{"partialSuccess":{"rejectedSpans":-3}}' } do
    local c <close> = collector(function() return 200, nil, body end)
    local sender
    do
      sender = started(c)
      work(2)
      otlp.stop()
    end
    t.eq({ sender.sent, sender.lost }, { 2, 0 }, body)
  end
end)

-- ---- the environment ------------------------------------------------------------------------------------------------------------

test("the variables of the specification", function(t)
  local function read(values) return errors.check(settings.read(environment(values))) end
  local base = read { OTEL_EXPORTER_OTLP_ENDPOINT = "http://h:4318/" }
  t.eq({ base.url, base.timeout, base.together, base.waiting, base.gather, base.contents },
    { "http://h:4318/v1/traces", 10, 512, 2048, 5, false })
  local own = read { OTEL_EXPORTER_OTLP_ENDPOINT = "http://h:4318",
    OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = "https://t/x", OTEL_EXPORTER_OTLP_HEADERS = "a=1",
    OTEL_EXPORTER_OTLP_TRACES_HEADERS = "Authorization=Basic%20abc, x-y = z",
    OTEL_EXPORTER_OTLP_TIMEOUT = "2500", OTEL_RESOURCE_ATTRIBUTES = "team=blue,service.name=a", OTEL_SERVICE_NAME = "b",
    OTEL_EXPORTER_OTLP_PROTOCOL = "grpc", OTEL_EXPORTER_OTLP_TRACES_PROTOCOL = "http/json" }
  t.eq({ own.url, own.headers, own.timeout, own.resource.team, own.resource["service.name"] },
    { "https://t/x", { "Authorization: Basic abc", "x-y: z" }, 2.5, "blue", "b" })
end)

test("spans are sent where an address is given, and nobody says otherwise", function(t)
  local function wanted(values) return settings.wanted(environment(values)) end
  local at = "http://h"
  t.eq({ wanted {}, wanted { OTEL_EXPORTER_OTLP_ENDPOINT = "" }, wanted { OTEL_EXPORTER_OTLP_ENDPOINT = at },
    wanted { OTEL_EXPORTER_OTLP_TRACES_ENDPOINT = at }, wanted { OTEL_EXPORTER_OTLP_ENDPOINT = at, OTEL_SDK_DISABLED = "TRUE" },
    wanted { OTEL_EXPORTER_OTLP_ENDPOINT = at, OTEL_TRACES_EXPORTER = "none" } }, { false, false, true, true, false, false })
  t.eq({ settings.alone(environment {}), settings.alone(environment { OTEL_PROPAGATORS = "b3" }),
    settings.alone(environment { OTEL_PROPAGATORS = "baggage, tracecontext" }),
    settings.alone(environment { OTEL_PROPAGATORS = "none" }) }, { false, true, false, true })
end)

test("what is wrong with a variable is one error that names it", function(t)
  local base = { OTEL_EXPORTER_OTLP_ENDPOINT = "http://h:4318" }
  for _, case in ipairs {
    { "OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", "http/json alone" },
    { "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf", "http/json alone" },
    { "OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "begins with http://" },
    { "OTEL_TRACES_EXPORTER", "zipkin", "otlp and none" },
    { "OTEL_EXPORTER_OTLP_TIMEOUT", "soon", "whole number" }, { "OTEL_RESOURCE_ATTRIBUTES", "team", "a list is wanted" },
    { "OTEL_EXPORTER_OTLP_HEADERS", "secretvalue", "no list of headers" },
    { "OTEL_EXPORTER_OTLP_HEADERS", "a=b%0d%0ac", "no list" },
    { "OTEL_BSP_MAX_QUEUE_SIZE", "0", "at least 1" },
  } do
    local values = { [case[1]] = case[2] }
    for name, value in next, base do values[name] = values[name] or value end
    local found, err = settings.read(environment(values))
    t.eq(found, nil)
    t.match(err.message, "^" .. case[1])
    t.ok(err.message:find(case[3], 1, true), err.message)
    t.ok(not err.message:find("secretvalue", 1, true))
  end
end)

test("a streamed answer is among the contents, also one whose reader takes the texts alone", function(t)
  t.model { "one two three", "four five" }
  local c <close> = collector()
  do
    local _, _ <close> = started(c, { OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = "true" })
    local bot = stoke.agent { name = "umbrella", model = "m" }
    for _ in bot:stream "count" do end
    for _ in stoke.stream { model = "m", prompt = "more" } do end
  end
  local said = {}
  for i, one in ipairs(named(c.spans, "^chat m$")) do
    said[i] = json.decode(attributes(one)["gen_ai.output.messages"])[1].parts[1].content
  end
  t.eq(said, { "one two three", "four five" })
end)
