-- Spans as a tree, their file, and stoke trace.

local binary = require "binary"
local compare = require "stoke.traces.compare"
local draw = require "stoke.traces.draw"
local engine = require "host.store"
local fs = require "stoke.fs"
local json = require "stoke.json"
local span = require "core.gate.span"
local stoke = require "stoke"
local test = require "stoke.test"
local time = require "stoke.time"
local traces = require "core.traces"
local trees = require "stoke.traces.tree"

-- The records that f leaves, by name a list.
local function recorded(f)
  local records = {}
  local function sink(r)
    records[r.name] = records[r.name] or {}
    table.insert(records[r.name], r)
    records[#records + 1] = r
  end
  span.listen(sink)
  local _ <close> = setmetatable({}, { __close = function() span.unlisten(sink) end })
  f()
  return records
end

local function weather()
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string" },
    run = function(a)
      stoke.sleep(2)
      return "sunny in " .. a.city
    end }
end

-- ---- the tree ---------------------------------------------------------------------------------------------------------------

test("a run of an agent is a span around its calls and its tools", function(t)
  t.model { { tool = "get_weather", args = { city = "Oslo" } }, "It is sunny." }
  local bot = stoke.agent { name = "umbrella", model = "m", tools = { weather() } }
  local r = recorded(function() bot:run "weather?" end)
  local run = r["agent.run"][1]
  t.eq({ run.about, run.parent, run.error }, { "umbrella" })
  for _, inner in ipairs { r["llm.chat"][1], r["tool.call"][1], r["llm.chat"][2] } do
    t.eq({ inner.parent, inner.trace }, { run.span, run.trace })
  end
  t.eq(run.input_tokens, r["llm.chat"][1].input_tokens + r["llm.chat"][2].input_tokens)
  t.near(r["tool.call"][1].run, 2, 1e-3)
end)

test("an agent that is a tool of another one is below the call of that tool", function(t)
  t.model { { tool = "poet", args = { input = "a line" } }, "A line.", "Done." }
  local poet = stoke.agent { name = "poet", model = "m" }
  local chief = stoke.agent { name = "chief", model = "m", tools = { poet:as_tool { description = "writes" } } }
  local r = recorded(function() chief:run "a poem" end)
  local inner, outer = r["agent.run"][1], r["agent.run"][2]
  t.eq({ inner.about, outer.about }, { "poet", "chief" })
  t.eq({ inner.parent, inner.trace }, { r["tool.call"][1].span, outer.trace })
end)

test("what is spawned is in the trace of who spawned it; what is beside it begins another one", function(t)
  t.model(function() return "x" end)
  local bot = stoke.agent { name = "b", model = "m" }
  local r = recorded(function()
    stoke.all { function() bot:run "1" end, function() bot:run "2" end }
  end)
  local a, b = r["agent.run"][1], r["agent.run"][2]
  t.ok(a.trace ~= b.trace)
  t.eq(r["llm.chat"][1].trace == a.trace or r["llm.chat"][1].trace == b.trace, true)
end)

test("what an embedding asks for is below it", function(t)
  t.model(function() return "x" end)
  local r = recorded(function() stoke.embed { model = "nomic-embed-text", input = { "one", "two" } } end)
  local outer = r["llm.embed"][1]
  for _, call in ipairs(r["llm.chat"]) do t.eq({ call.parent, call.trace }, { outer.span, outer.trace }) end
end)

test("a run that fails says so, with what it has used", function(t)
  t.model { { status = 400, error = "no" } }
  local r = recorded(function() stoke.try(function() stoke.agent { name = "b", model = "m" }:run "x" end) end)
  t.eq(#r["agent.run"], 1)
  t.eq({ r["agent.run"][1].error, r["agent.run"][1].error == r["llm.chat"][1].error }, { r["llm.chat"][1].error, true })
end)

test("ids are those of OpenTelemetry: 32 and 16 hex digits, none twice", function(t)
  t.model(function() return "x" end)
  local r = recorded(function()
    for i = 1, 50 do stoke.agent { name = "b", model = "m" }:run(tostring(i)) end
  end)
  local seen = {}
  for _, one in ipairs(r) do
    t.match(one.trace, "^" .. ("%x"):rep(32) .. "$")
    local id = span.hex(one.span)
    t.match(id, "^" .. ("%x"):rep(16) .. "$")
    t.eq(seen[id], nil)
    seen[id] = true
  end
  t.eq(#r, 100)
end)

test("a span below one of another process has its trace, and its id as parent", function(t)
  local far = span.remote(("ab"):rep(16), ("cd"):rep(8))
  local r = recorded(function()
    local seen <close> = span.enter("serve.request", "bot", far)
    t.eq(seen.trace, far.trace)
  end)
  t.eq({ r[1].trace, span.hex(r[1].parent) }, { ("ab"):rep(16), ("cd"):rep(8) })
end)

test("a span around effects is told apart: who prints effects, or adds up tokens, leaves it out", function(t)
  t.model { "x" }
  local lines = {}
  local meter <close> = require "stoke.repl.meter".new()
  meter:watch(require "core.task".current())
  local printer = span.printer(function(line) lines[#lines + 1] = line end)
  span.listen(printer)
  local result = stoke.agent { name = "b", model = "m" }:run "x"
  span.unlisten(printer)
  t.eq(#lines, 1)
  t.match(lines[1], "^effect llm%.chat ")
  t.match(meter:text(), (", %d tok in, %d out"):format(result.usage.input_tokens, result.usage.output_tokens))
end)

test("each attempt that failed is in the span of the call", function(t)
  t.model { { status = 503, error = "busy" }, "x" }
  local r = recorded(function() stoke.agent { name = "b", model = "m" }:run "x" end)
  local call = r["llm.chat"][1]
  t.eq({ call.attempts, #call.tries, call.tries[1].kind, call.error }, { 2, 1, "overloaded" })
end)

-- ---- the file ---------------------------------------------------------------------------------------------------------------

local function keeping(t, options)
  local folder = t.tmp()
  options = options or {}
  options.path = folder .. "/traces.db"
  traces.keep(options)
  return options.path, setmetatable({}, { __close = traces.stop })
end

test("spans are kept, and read as a tree whose sums are those of its calls", function(t)
  t.model { { tool = "get_weather", args = { city = "Oslo" } }, "It is sunny." }
  local path, _ <close> = keeping(t)
  local result = stoke.agent { name = "umbrella", model = "m", tools = { weather() } }:run "weather?"
  local trace = stoke.traces.get("last", { file = path })
  local lines = {}
  for i, one in ipairs(trace.spans) do lines[i] = ("%d %s"):format(one.depth, one.path) end
  t.eq(lines, { "0 agent.run umbrella", "1 agent.run umbrella/llm.chat m", "1 agent.run umbrella/tool.call get_weather",
    "1 agent.run umbrella/llm.chat m#2" })
  t.eq({ trace.totals.calls, trace.totals.input_tokens, trace.totals.output_tokens },
    { 2, result.usage.input_tokens, result.usage.output_tokens })
  local list = stoke.traces.list { file = path }
  t.eq({ #list, list[1].id, list[1].calls, list[1].input_tokens, list[1].name, list[1].about },
    { 1, trace.id, 2, result.usage.input_tokens, "agent.run", "umbrella" })
end)

test("the file keeps so many spans, the newest", function(t)
  local path, _ <close> = keeping(t, { spans = 1000 })
  for i = 1, 3000 do
    local seen <close> = span.enter("work", tostring(i)) -- luacheck: ignore
    if i % 500 == 0 then traces.flush() end
  end
  traces.flush()
  local list = stoke.traces.list { file = path, limit = 5000 }
  t.eq({ #list, list[1].about, list[1000].about }, { 1000, "3000", "2001" })
end)

test("what cannot be written in time is left out, counted, and said once", function(t)
  local path, _ <close> = keeping(t)
  local told, scopes, waiting = {}, require "core.scope", traces.WAITING
  local tell = scopes.tell
  local undo <close> = setmetatable({}, { __close = function() scopes.tell, traces.WAITING = tell, waiting end }) -- luacheck: ignore
  scopes.tell = function(text) told[#told + 1] = text end
  traces.WAITING = 100
  for i = 1, 300 do local seen <close> = span.enter("work", tostring(i)) end -- luacheck: ignore
  traces.flush()
  t.eq(#stoke.traces.list { file = path, limit = 1000 }, 100)
  t.eq(told, { "more is traced and logged than can be written: some of it is missing" })
end)

test("a file that is damaged is put aside, and a new one begun", function(t)
  local path = t.tmp() .. "/traces.db"
  fs.write(path, ("no database "):rep(400))
  local told, scopes = {}, require "core.scope"
  local tell = scopes.tell
  local undo <close> = setmetatable({}, { __close = function() scopes.tell = tell end }) -- luacheck: ignore
  scopes.tell = function(text) told[#told + 1] = text end
  traces.keep { path = path }
  local _ <close> = setmetatable({}, { __close = traces.stop })
  do local seen <close> = span.enter("work", "x") end -- luacheck: ignore
  t.eq(#stoke.traces.list { file = path }, 1)
  t.match(told[1], "put aside as")
  t.match(fs.read(path .. ".aside"), "^no database")
end)

test("a disk that is full ends the keeping, says so, and the run goes on", { real = true }, function(t)
  local told, scopes = {}, require "core.scope"
  local tell = scopes.tell
  local undo <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    scopes.tell = tell
    engine.fault()
    traces.stop()
  end })
  scopes.tell = function(text) told[#told + 1] = text end
  engine.fault { full = 3, times = 1000 }
  traces.keep { path = t.tmp() .. "/traces.db" }
  for i = 1, 500 do local seen <close> = span.enter("work", ("%d"):format(i)) end -- luacheck: ignore
  traces.flush()
  t.eq(#told, 1)
  t.match(told[1], "^traces are not kept any more: .*full")
  do local seen <close> = span.enter("work", "after") end -- luacheck: ignore
end)

test("traces of two durable runs are compared by their workflow: each run has an id of its own", function(t)
  local function trace(id, seconds)
    return trees.of { id = id, spans = { { id = id, name = "run", about = id, workflow = "trip", start = 0, seconds = seconds } } }
  end
  local difference = compare.of(trace("a1", 1), trace("b2", 3))
  t.eq({ #difference.new, #difference.gone, difference.changes[1].path }, { 0, 0, "run trip" })
end)

test("requests are kept where they are asked for, without what is secret by its name", function(t)
  local path, _ <close> = keeping(t, { bodies = true })
  local undo <close> = setmetatable({}, { __close = function() span.bodies = true end }) -- luacheck: ignore
  local tool = stoke.tool { name = "send", description = "d", params = { api_key = "string", text = "string" },
    run = function() return "sent" end }
  t.model { { tool = "send", args = { api_key = "planted-in-a-call", text = "hello" } }, "Done." }
  stoke.agent { name = "b", model = "m", tools = { tool } }:run "send it"
  local call
  for _, one in ipairs(stoke.traces.get("last", { file = path }).spans) do call = one.name == "tool.call" and one or call end
  t.match(call.request, "hello")
  t.match(call.request, "%[redacted%]")
  t.ok(not call.request:find("planted", 1, true), call.request)
end)

test("words of an error are kept without what looks like a secret", function(t)
  local path, key = t.tmp() .. "/traces.db", "sk-plantedplantedplanted1234"
  traces.keep { path = path }
  local _ <close> = setmetatable({}, { __close = traces.stop })
  t.model { { status = 503, error = "busy, " .. key }, { status = 400, error = "wrong key: " .. key } }
  stoke.try(function() stoke.agent { name = "b", model = "m" }:run "x" end)
  local found = json.encode(stoke.traces.get("last", { file = path }))
  t.ok(not found:find(key, 1, true), found)
  t.contains(found, "busy, [redacted]")
end)

test("a database that is closed by who opened it has not failed", function(t)
  local r = recorded(function()
    local db <close> = stoke.db.open(":memory:")
    db:query "SELECT 1"
  end)
  t.eq({ #r["db.open"], r["db.open"][1].error, r["db.open"][1].message }, { 1 })
end)

test("a trace that is not there, an id of several, no file: one error that says what to do", function(t)
  local path, _ <close> = keeping(t)
  local function failure(id, file) return tostring(select(2, stoke.try(stoke.traces.get, id, { file = file or path }))) end
  t.match(failure("last", t.tmp() .. "/none.db"), "no traces are kept: there is no file .*%-%-spans")
  do local seen <close> = span.enter("work", "1") end -- luacheck: ignore
  t.match(failure "xyz", "xyz is no id of a trace")
  t.match(failure "0000000000000000", "there is no trace 0000000000000000")
  t.raises("argument", stoke.traces.get, 7)
  for i = 1, 40 do local seen <close> = span.enter("work", tostring(i)) end -- luacheck: ignore
  local list = stoke.traces.list { file = path }
  local by_digit = {}
  for _, one in ipairs(list) do
    local digit = one.id:sub(1, 1)
    if by_digit[digit] then
      t.match(failure(digit), "several traces begin with " .. digit)
      return
    end
    by_digit[digit] = true
  end
  t.fail "41 traces of 16 first digits"
end)

-- ---- pictures -----------------------------------------------------------------------------------------------------------------

local function trace_of(spans)
  for i, one in ipairs(spans) do
    one.id, one.start = one.id or tostring(i), 1000 + one.start
    one.queue, one.run = one.queue or 0, one.seconds - (one.queue or 0)
  end
  return trees.of { id = ("0"):rep(32), spans = spans }
end

test("a waterfall shows when each span was at work, and what it waited for", function(t)
  local text = draw.waterfall(trace_of {
    { id = "a", name = "agent.run", about = "umbrella", start = 0, seconds = 8 },
    { id = "b", parent = "a", name = "llm.chat", about = "m", start = 0, seconds = 4, queue = 1, load = 1, prefill = 1, decode = 1,
      input_tokens = 50, output_tokens = 7 },
    { id = "c", parent = "a", name = "tool.call", about = "get", start = 4, seconds = 4, error = "tool", message = "broken" } },
    { columns = 60 })
  t.eq(text, table.concat({ "trace 00000000000000000000000000000000  1970-01-01 00:16:40 UTC  8.00 s",
    "agent.run umbrella    8.00 s |################|",
    "  llm.chat m          4.00 s |..~~--##        | 50+7 tok, waited 1.00 s, load 1.00 s",
    "  tool.call get       4.00 s |        ########| tool: broken",
    ". waits for a slot   ~ loads the model   - reads the prompt   # writes, works",
    "3 spans, 1 calls of models, 50+7 tokens (read + written), waiting 1.00 s, loading 1.00 s, reading 1.00 s, writing 1.00 s, "
      .. "1 failed", "" }, "\n"))
end)

test("spans whose parents are missing, or that go in a circle, are shown all the same", function(t)
  local trace = trace_of { { id = "a", parent = "lost", name = "x", start = 0, seconds = 1 },
    { id = "b", parent = "c", name = "y", start = 0, seconds = 1 }, { id = "c", parent = "b", name = "z", start = 0, seconds = 1 } }
  t.eq(#trace.spans, 1)
  t.eq(trace.spans[1].depth, 0)
end)

test("a run that became slow is explained by its difference: where, how much, why", function(t)
  local function run(queue, tokens)
    return trace_of { { id = "a", name = "agent.run", about = "umbrella", start = 0, seconds = 2 + queue },
      { id = "b", parent = "a", name = "llm.chat", about = "m", start = 0, seconds = 1 + queue, queue = queue,
        input_tokens = tokens },
      { id = "c", parent = "a", name = "tool.call", about = "get", start = 1 + queue, seconds = 1 } }
  end
  local d = compare.of(run(0, 50), run(3, 900))
  t.eq({ d.seconds, #d.changes, d.changes[1].path, d.changes[1].own }, { 3, 1, "agent.run umbrella/llm.chat m", 3 })
  t.eq(d.changes[1].why, { "waiting for a slot +3.000 s", "+850 tokens read" })
  t.match(draw.difference(d), "%+3%.000 s  agent%.run umbrella/llm%.chat m")
end)

test("what is in one of two traces alone is named once, without what is below it", function(t)
  local function run(more)
    local spans = { { id = "a", name = "agent.run", about = "u", start = 0, seconds = 2 } }
    if more then
      spans[2] = { id = "b", parent = "a", name = "tool.call", about = "get", start = 1, seconds = 1 }
      spans[3] = { id = "c", parent = "b", name = "llm.chat", about = "m", start = 1, seconds = 1 }
    end
    return trace_of(spans)
  end
  local d = compare.of(run(false), run(true))
  t.eq({ #d.new, d.new[1].about, #d.gone }, { 1, "get", 0 })
  t.eq(#compare.of(run(true), run(false)).gone, 1)
end)

-- ---- the command ----------------------------------------------------------------------------------------------------------------

local SCRIPT = [[
local stoke = require "stoke"
stoke.main(function(args) print(stoke.agent { name = "bot", model = "qwen2.5:3b" }:run(args[1]).text) end)
]]

test("stoke FILE --spans keeps a trace, stoke trace shows it, and diff what differs", { real = true }, function(t)
  local here <close> = binary.place { ["ask.lua"] = SCRIPT }
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  t.match(here.run("trace").stderr, "no traces are kept.*%-%-spans")
  here.run("ask.lua", "--sim", "--spans", "one")
  here.run("ask.lua", "--sim", "--spans", "one and a good many words more")
  local shown = here.run "trace"
  t.eq({ shown.code, shown.stderr }, { 0, "" })
  t.match(shown.stdout, "script ask%.lua .*\n  agent%.run bot .*\n    llm%.chat qwen2%.5:3b ")
  local ids = {}
  for line in here.run("trace", "list", "--json").stdout:gmatch "[^\n]+" do ids[#ids + 1] = json.decode(line).id end
  t.eq(#ids, 2)
  t.match(here.run("trace", "diff", ids[2]:sub(1, 12), "last").stdout, "tokens read %d+ %-> %d+")
  t.eq(json.decode(here.run("trace", "last", "--json").stdout).totals.calls, 1)
  t.eq(here.run("trace", "diff").code, 2)
  t.match(here.run("trace", "last", "more").stderr, "takes no more words")
end)

test("a script without --spans keeps no trace, unless the settings say so", { real = true }, function(t)
  local here <close> = binary.place { ["ask.lua"] = SCRIPT }
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  here.run("ask.lua", "--sim", "one")
  t.eq(fs.stat(here.path .. "/.stoke/traces.db"), nil)
  fs.write(here.path .. "/stoke.config.lua", "return { traces = true }")
  here.run("ask.lua", "--sim", "one")
  t.ok(fs.stat(here.path .. "/.stoke/traces.db") ~= nil)
  fs.write(here.path .. "/stoke.config.lua", "return { traces = { spans = 5 } }")
  t.match(here.run("ask.lua", "--sim", "one").stderr, "traces.spans must be a whole number of at least 1000")
  t.ok(time.now() > 0)
end)
