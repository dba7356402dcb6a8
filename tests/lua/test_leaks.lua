-- A secret leaves by no way: one test for each. What a model itself has said (an argument that it made up) and what a server
-- answers to the script are data of a run: its journal and a cassette keep them, as they go on from them, and nothing else does.

local test = require "stoke.test"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local leaks = require "leaks"

local REAL <const> = { real = true, timeout = 60 }

--- All files of a folder below, as one text.
local function all_of(folder)
  local out = {}
  for _, entry in ipairs(fs.list(folder)) do
    local path = folder .. "/" .. entry.name
    out[#out + 1] = entry.type == "directory" and all_of(path) or entry.type == "file" and fs.read(path) or ""
  end
  return table.concat(out, "\n")
end

local function free_port()
  local server <close> = http.serve { port = 0, handler = function() end }
  return server.url:match ":(%d+)$"
end

--- The program ran as far as it was to.
local function ran(t, result, code)
  t.eq(result.code, code or 0, result.stderr)
  return result
end

test("the log, as text and as JSON", REAL, function(t)
  local place <close> = leaks.place()
  t.eq(leaks.found(ran(t, place.run "use.lua").stderr), {})
  place.env.STOKE_LOG_FORMAT = "json"
  local said = ran(t, place.run "use.lua").stderr
  t.eq(leaks.found(said), {})
  t.contains(said, "[secret TOWN_API_KEY]")
end)

test("the log that is kept, and stoke logs", REAL, function(t)
  local place <close> = leaks.place "true"
  ran(t, place.run "use.lua")
  local shown = ran(t, place.run("logs", "--json")).stdout
  t.contains(shown, "it begins")
  t.eq(leaks.found(shown), {})
end)

test("core text: words, hint and traceback of an error that ends the program, as JSON too", REAL, function(t)
  local place <close> = leaks.place()
  local crash = ran(t, place.run("use.lua", "crash"), 1).stderr
  t.match(crash, "it ends with %[secret TOWN_API_KEY%] and %[redacted%]")
  t.eq(leaks.found(crash), {})
  t.eq(leaks.found(ran(t, place.run("use.lua", "refused"), 3).stderr), {})
end)

test("what STOKE_DEBUG=effect prints, and --trace FILE with its bodies", REAL, function(t)
  local place <close> = leaks.place()
  place.env.STOKE_DEBUG = "effect"
  local debugged = ran(t, place.run("use.lua", "--trace", "trace.jsonl", "--trace-bodies")).stderr
  t.match(debugged, "effect llm%.chat")
  t.eq(leaks.found(debugged), {})
  local written = place.read "trace.jsonl"
  t.contains(written, "please fail")
  t.eq(leaks.found((written:gsub("sesame%-plugh%-eight", ""))), {}) -- the model's own word, before the tool was called
end)

test("the file of traces with its requests, and stoke trace", REAL, function(t)
  local place <close> = leaks.place "{ bodies = true }"
  ran(t, place.run "use.lua")
  local shown = ran(t, place.run("trace", "last", "--requests", "--logs")).stdout
  t.contains(shown, "please fail")
  t.eq(leaks.found(shown), {})
  t.eq(leaks.found(all_of(place.path .. "/.stoke")), {})
end)

test("OTLP with its contents, and what is said of a collector that repeats its headers", REAL, function(t)
  local place <close> = leaks.place()
  local sent = {}
  local collector <close> = http.serve { port = 0, handler = function(req, res)
    sent[#sent + 1] = req.body
    return res:reply(#sent == 1 and 401 or 200, {}, "the key " .. req.headers["x-team"] .. " is not known")
  end }
  place.env.OTEL_EXPORTER_OTLP_ENDPOINT, place.env.OTEL_EXPORTER_OTLP_HEADERS = collector.url, "x-team=team-plugh-ten"
  place.env.OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT = "true"
  place.env.OTEL_BSP_SCHEDULE_DELAY, place.env.OTEL_BSP_MAX_EXPORT_BATCH_SIZE = "10", "4"
  local said = ran(t, place.run "use.lua").stderr
  local all = table.concat(sent)
  t.contains(all, "gen_ai.input.messages")
  t.eq(leaks.found(all), {})
  t.contains(said, "spans do not reach")
  t.ok(not said:find("plugh-ten", 1, true), said)
end)

test("figures", REAL, function(t)
  local place <close> = leaks.place()
  local port = free_port()
  local shown = ran(t, place.run("use.lua", "--metrics", port, "figures", port)).stdout
  t.contains(shown, 'asked_total{key="[secret TOWN_API_KEY]"} 1')
  t.eq(leaks.found(shown), {})
end)

test("the journal of a run: what it goes on from, and not what was planted beside that", REAL, function(t)
  local place <close> = leaks.place()
  ran(t, place.run("run", "--durable=one", "use.lua"))
  fs.write(place.path .. "/use.lua", "") -- the source itself is kept, with what is written in it
  local rows = {}
  ran(t, place.run("export", "one", "one.run"))
  for line in place.read("one.run"):gmatch "[^\n]+" do
    if not line:find '"source"' then rows[#rows + 1] = line end
  end
  local kept = table.concat(rows, "\n")
  t.contains(kept, "[secret TOWN_API_KEY]")
  t.eq(leaks.found(kept), { "argument of a tool", "header of a request", "secret in a query" }) -- as the server said them
end)

test("an answer of a run that repeats a secret variable is kept by its name, and replayed with what it is then", REAL, function(t)
  local place <close> = leaks.place()
  fs.write(place.path .. "/use.lua", [[
local stoke = require "stoke"
stoke.main(function() print(stoke.chat { model = "m", prompt = "tell " .. stoke.env.get "TOWN_API_KEY" }.message.content) end)
]])
  t.eq(ran(t, place.run("run", "--durable=one", "use.lua")).stdout, "you said tell variable-plugh-three\n")
  place.env.TOWN_API_KEY = "another-plugh"
  local replayed = ran(t, place.run("replay", "one"))
  t.contains(replayed.stdout, "you said tell another-plugh")
  t.eq(leaks.found(all_of(place.path .. "/.stoke")), {})
end)

test("a cassette, which is found again by another value of the variable", REAL, function(t)
  local place <close> = leaks.place()
  fs.write(place.path .. "/c_test.lua", ([[
local test, stoke = require "stoke.test", require "stoke"
test("asks", { cassette = true }, function(t)
  t.match(stoke.chat { model = "m", prompt = "tell " .. stoke.env.get "TOWN_API_KEY" }.message.content, "^you said tell ")
  t.eq(select(2, stoke.try(stoke.chat, { model = "m", prompt = "please fail" })).kind, "auth")
  stoke.try(stoke.http.get, "%s/x?token=query-plugh-five", { headers = { Authorization = "Bearer script-plugh-six" } })
end)
]]):format(place.server.url))
  ran(t, place.run("test", "--record", "c_test.lua"))
  local tape = all_of(place.path .. "/cassettes")
  t.contains(tape, "you said tell [secret TOWN_API_KEY]")
  t.eq(leaks.found(tape), {})
  place.env.TOWN_API_KEY = "another-plugh"
  ran(t, place.run("test", "c_test.lua"))
end)

test("what a client of stoke serve is told of an error", REAL, function(t)
  local place <close> = leaks.place()
  fs.write(place.path .. "/served.lua", 'require "stoke".agent { name = "bot", model = "m" }')
  local proc = require "stoke.proc"
  local child <close> = proc.spawn { argv = { require "core.about".executable(), "serve", "served.lua", "--port", "0" },
    cwd = place.path, env = place.env, env_allow = require "binary".PASSED_ON, stderr = "merge" }
  local url
  for line in child:lines() do
    url = line:match "^http://%S+"
    if url then break end
  end
  local ask = { model = "bot", stream = false, messages = { { role = "user", content = "please fail" } } }
  local native = http.post(url .. "/api/chat", { json = ask, raise = false })
  t.contains(native.body, "not known")
  t.eq(leaks.found(native.body .. http.post(url .. "/v1/chat/completions", { json = ask, raise = false }).body), {})
end)

test("a key that is a plain word, as servers that want any key are given, is no secret", function(t)
  local redact = require "core.redact"
  redact.learn "Bearer ollama"
  redact.learn_variable("ollama", "OPENAI_API_KEY")
  t.eq({ redact.known "ollama at gpu", redact.variables "ollama at gpu" }, { "ollama at gpu", "ollama at gpu" })
  redact.forget()
end)

test("what was learned is bounded", function(t)
  local redact = require "core.redact"
  for i = 1, 10 * redact.MOST do redact.learn(("number-plugh-%06d"):format(i)) end
  t.eq(redact.known(("number-plugh-%06d"):format(1)), "number-plugh-000001")
  t.eq(redact.known(json.encode { ("number-plugh-%06d"):format(10 * redact.MOST) }), '["[redacted]"]')
  redact.forget()
end)

test("what the process was set up with is never pushed out by what passes through", function(t)
  local redact = require "core.redact"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  redact.learn_variable("variable-plugh-three", "TOWN_API_KEY")
  redact.learn_headers({ "Authorization: Bearer endpoint-plugh-one" }, true)
  redact.learn_url("http://ada:url-plugh-four@collector/", true)
  for i = 1, 2 * redact.MOST do redact.learn(("number-plugh-%06d"):format(i), "password") end
  t.eq(redact.known "variable-plugh-three, endpoint-plugh-one, url-plugh-four", "[secret TOWN_API_KEY], [redacted], [redacted]")
end)

test("what is seen again is forgotten last", function(t)
  local redact = require "core.redact"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  redact.learn "again-plugh-one"
  for i = 1, redact.MOST - 1 do redact.learn(("number-plugh-%06d"):format(i)) end
  redact.learn "again-plugh-one"
  redact.learn "newest-plugh-two"
  t.eq(redact.known "again-plugh-one number-plugh-000001", "[redacted] number-plugh-000001")
end)

test("a secret that is a piece of JSON does not break the JSON that it is taken out of", function(t)
  local redact = require "core.redact"
  local text = redact.json { password = '"run":0', run = 0, said = 'it was "run":0' }
  t.eq(json.decode(text), { password = "[redacted]", run = 0, said = "it was [redacted]" })
end)

test("a secret that looks like a number breaks no line of the log, no figure and no row of a trace", function(t)
  local redact = require "core.redact"
  local series = require "stoke.metrics.series"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  redact.learn("123456", "password")
  t.eq(redact.clean { b = 123456, a = { "pin 123456" } }, { b = 123456, a = { "pin [secret password]" } })
  local set = series.new()
  local group = set:group { "who" }
  local count = group:counter("seen_total", "What was seen.")
  count:add(group:row "123456", 123456)
  t.contains(set:text(), 'seen_total{who="[secret password]"} 123456')
end)

-- A run whose tool was given secrets that look like what is around them: in its program's log, rows of traces, and a collector.
local NASTY <const> = [[
local stoke = require "stoke"
local login = stoke.tool { name = "login", description = "d", params = { password = "string" }, run = function() return "in" end }
stoke.main(function(args)
  for _, secret in ipairs { "123456", '"run":', '"trace_id"', "stringValue", "2026-1", "traceId", args[1] } do
    login:call { password = secret }
  end
  stoke.log.warn("it goes on", { n = 123456, pin = "123456", deep = { "see 123456" } })
  stoke.chat { model = "m", prompt = "Hi 123456" }
end)
]]

test("secrets that look like ids, times, names or signs break no line, no row and no request to a collector", REAL, function(t)
  local bodies = {}
  local collector <close> = http.serve { port = 0, handler = function(req, res)
    bodies[#bodies + 1] = req.body
    res:reply(200, nil, "{}")
  end }
  local place <close> = leaks.place "true"
  fs.write(place.path .. "/nasty.lua", NASTY)
  place.env.STOKE_LOG_FORMAT, place.env.OTEL_EXPORTER_OTLP_ENDPOINT = "json", collector.url
  local said = ran(t, place.run("nasty.lua", os.date "!%Y-%m-%d")).stderr
  local line = json.decode(said:match "[^\n]*it goes on[^\n]*")
  t.eq({ line.n, line.pin, line.deep }, { 123456, "[secret password]", { "see [secret password]" } })
  t.match(line.time, "^%d+%-%d+%-%d+T")
  t.match(line.trace_id, "^%x+$")
  local spans = {}
  for _, body in ipairs(bodies) do
    for _, one in ipairs(json.decode(body).resourceSpans[1].scopeSpans[1].spans) do spans[#spans + 1] = one end
  end
  t.ok(#spans >= 9, #spans .. " spans")
  for _, one in ipairs(spans) do
    t.match(one.traceId .. one.spanId, "^%x+$")
    t.match(one.startTimeUnixNano, "^%d+$")
  end
  local listed = json.decode(ran(t, place.run("trace", "list", "--json")).stdout:match "^[^\n]+")
  t.eq(listed.id, line.trace_id)
end)

test("a row of traces that is damaged does not hide the others", REAL, function(t)
  local place <close> = leaks.place "true"
  ran(t, place.run("use.lua"))
  local path = place.path .. "/.stoke/traces.db"
  local db <close> = require "stoke.db".open(path)
  db:exec "UPDATE spans SET data = '{broken' WHERE n = 1"
  t.contains(ran(t, place.run("trace", "list")).stdout, "use.lua")
end)

test("values of any shape below a secret name, parts of cookies, and passwords in addresses", function(t)
  local redact = require "core.redact"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  t.eq(redact.field("passwords", { "correct horse", { 98765432 } }), { redact.MARK, { redact.MARK } })
  t.eq(redact.known "it was 98765432", "it was [secret passwords]")
  t.eq(redact.field("city", { "Oslo" }), { "Oslo" })
  redact.learn_headers { "Cookie: sid=cookie-plugh-one; other=cookie-plugh-two" }
  t.eq(redact.known "cookie-plugh-two and cookie-plugh-one", "[redacted] and [redacted]")
  t.eq(redact.known "at postgres://ada:pw@db/x?api_key=abc&n=1", "at postgres://ada:[redacted]@db/x?api_key=[redacted]&n=1")
  local round = {}
  round.round, round.password = round, "round-plugh-three"
  redact.learn_fields(round)
  t.eq(redact.known "round-plugh-three", "[secret password]")
  local many = { password = "deep-plugh-four" }
  for _ = 1, 60 do many = { a = many, b = many, tokens = { many, many } } end
  redact.learn_fields(many) -- each table is looked into once
  t.eq(redact.known "deep-plugh-four", "[secret password]")
end)

test("keys of endpoints beyond what is kept for good are kept out as what passes through is, and that is said", function(t)
  local redact, scopes = require "core.redact", require "core.scope"
  local kept, told, tell = redact.KEPT, {}, scopes.tell
  scopes.tell = function(text) told[#told + 1] = text end
  local _ <close> = setmetatable({}, { __close = function()
    redact.KEPT, scopes.tell = kept, tell
    redact.forget()
  end })
  redact.KEPT = 2
  for i = 1, 4 do redact.keep(("endpoint-plugh-%d"):format(i)) end
  for i = 1, redact.MOST do redact.learn(("number-plugh-%06d"):format(i)) end
  t.eq(redact.known "endpoint-plugh-1 endpoint-plugh-2 endpoint-plugh-3", "[redacted] [redacted] endpoint-plugh-3")
  t.eq(#told, 1)
  t.contains(told[1], "more than 2 keys of endpoints")
end)

test("lists of keys and tokens are lists of secrets; a number is no key, and no count of tokens is a secret", function(t)
  local redact = require "core.redact"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  t.eq(redact.field("tokens", { "token-plugh-number-one" }), { redact.MARK })
  t.eq(redact.field("api_keys", { a = "key-plugh-number-two" }), { a = redact.MARK })
  t.eq(redact.field("tokens", { input = 12345678 }), { input = 12345678 })
  t.eq(redact.field("key", 12345678), 12345678)
  t.eq(redact.field("input_tokens", 12345678), 12345678)
  t.eq(redact.field("pin_password", 12345678), redact.MARK)
end)

test("an error has no password of an address, though no secret was seen yet", function(t)
  local redact, errors = require "core.redact", require "core.errors"
  local err = errors.new("db", "postgres://ada:pw@db/x is away", { cause = errors.new("os", "ftp://ada:pw@db") })
  redact.error(err)
  t.eq({ err.message, err.cause.message }, { "postgres://ada:[redacted]@db/x is away", "ftp://ada:[redacted]@db" })
end)

test("each of many learned values is found wherever it stands, and none that was forgotten", function(t)
  local redact = require "core.redact"
  local _ <close> = setmetatable({}, { __close = redact.forget })
  local function value(i) return ("%03d-%s"):format(i, ("xyzzy"):sub(1, 2 + i % 4)) end
  for i = 1, redact.MOST + 50 do redact.learn(value(i)) end
  for i = 1, redact.MOST + 50 do
    for before = 0, 8 do
      for _, after in ipairs { "", "!", " and so on" } do
        local text = ("~"):rep(before) .. value(i) .. after
        local expected = i > 50 and ("~"):rep(before) .. redact.MARK .. after or text
        if redact.known(text) ~= expected then t.eq(redact.known(text), expected) end
      end
    end
  end
  t.eq(redact.known(value(60) .. value(61) .. value(60)), redact.MARK:rep(3))
  local much = ("051-"):rep(1000) -- the beginning of one, again and again
  t.eq(redact.known(much .. value(51)), much .. redact.MARK)
  t.eq({ redact.known "", redact.known "07", redact.known "nothing of it" }, { "", "07", "nothing of it" })
end)

test("what a collector says is without its key also where it is cut in the middle of it", REAL, function(t)
  local collector <close> = http.serve { port = 0, handler = function(_, res)
    res:reply(400, nil, ("x"):rep(190) .. "collector-plugh-four")
  end }
  local place <close> = leaks.place "true"
  fs.write(place.path .. "/nasty.lua", NASTY)
  place.env.OTEL_EXPORTER_OTLP_ENDPOINT, place.env.OTEL_EXPORTER_OTLP_HEADERS = collector.url, "x-api-key=collector-plugh-four"
  local said = ran(t, place.run("nasty.lua", "x")).stderr
  t.contains(said, "it answers 400: xxx")
  t.ok(not said:find("xcollector", 1, true), said)
end)

test("values of any shape below a secret name leave by no way, nor does what ends a run", REAL, function(t)
  local place <close> = leaks.place "{ bodies = true }"
  fs.write(place.path .. "/shapes.lua", [[
    local stoke = require "stoke"
    local login = stoke.tool { name = "login", description = "d", params = { passwords = "string[]", pin_password = "integer" },
      run = function() return "in" end }
    stoke.main(function()
      login:call { passwords = { "list-plugh-four-44" }, pin_password = 98765431 }
      error("it ends with " .. stoke.env.get "TOWN_API_KEY")
    end)
  ]])
  ran(t, place.run("--trace", "tr.jsonl", "--trace-bodies", "run", "--durable=shapes", "shapes.lua"), 1)
  for line in fs.read(place.path .. "/tr.jsonl"):gmatch "[^\n]+" do t.eq(type(json.decode(line)), "table") end
  local function clean(what, text)
    for _, secret in ipairs { "list-plugh", "98765431", "variable-plugh" } do
      t.ok(not text:find(secret, 1, true), what .. " has " .. secret)
    end
  end
  clean("the trace", fs.read(place.path .. "/tr.jsonl"))
  clean("stoke trace", ran(t, place.run("trace", "last", "--requests", "--json")).stdout)
  clean("stoke runs", ran(t, place.run("runs", "--json")).stdout)
  t.contains(place.run("runs").stdout, "[secret TOWN_API_KEY]")
  t.contains(ran(t, place.run("replay", "shapes", "--check")).stdout, "all the same")
  local masks = require "stoke.page.runs.mask"
  local shown = masks.new():value { args = { passwords = { "list-plugh-four-44" }, pin_password = 98765431 } }
  t.eq(shown, { args = { passwords = { "[redacted]" }, pin_password = "[redacted]" } })
end)
