-- stoke.tool: definitions, checked calls, functions with a comment, results as text, the trace.

local test = require "stoke.test"
local errors = require "core.errors"
local json = require "stoke.json"
local span = require "core.gate.span"
local stoke = require "stoke"
local text = require "stoke.tool.text"

local add = stoke.tool { name = "add", description = "Add two numbers.", params = { a = "number", b = "number: the other" },
  run = function(x) return x.a + x.b end }

test("tool: is described to the model as a function with a schema", function(t)
  local f = add:definition()["function"]
  t.eq({ f.name, f.description }, { "add", "Add two numbers." })
  t.eq(f.parameters.required, { "a", "b" })
  t.eq(f.parameters.properties.b.description, "the other")
  t.ok(add:definition() == add:definition(), "the same table each time")
  local none = stoke.tool { name = "none", run = function() end }
  t.eq(json.encode(none:definition()["function"].parameters), '{"properties":{},"type":"object"}')
end)

test("tool: is called with checked arguments, and says what does not fit", function(t)
  t.eq(add:call { a = 1, b = 2 }, 3)
  local err = t.raises("invalid_output", add.call, add, { a = 1, b = "two" })
  t.match(err.message, 'the arguments of add do not fit: b: expected number, got "two"')
  t.raises("argument", function() add.call { a = 1, b = 2 } end)
end)

--- Current weather in a city.
--- Only Europe.
---@param city string city name
---@param days? integer how many days ahead
---@param unit? "celsius" | "fahrenheit" in which unit
---@param tags? string[] anything
local function get_weather(city, days, unit, tags)
  return ("%s %s %s %d"):format(city, days, unit, tags and #tags or 0)
end

test("tool: a documented function is one, its comment read", function(t)
  local weather = stoke.tool(get_weather)
  t.eq({ weather.name, weather.description }, { "get_weather", "Current weather in a city. Only Europe." })
  local p = weather:definition()["function"].parameters
  t.eq(json.encode(p.required), '["city"]')
  t.eq(p.properties.days.type, "integer")
  t.eq({ p.properties.unit.enum, p.properties.unit.description }, { { "celsius", "fahrenheit" }, "in which unit" })
  t.eq(p.properties.tags.items.type, "string")
  t.eq(p.properties.city.description, "city name")
  t.match(json.encode(p), '"city".*"days".*"unit".*"tags"')
  t.eq(weather:call { city = "Oslo", unit = "celsius", tags = { "a", "b" } }, "Oslo nil celsius 2")
  t.eq(stoke.tool(get_weather, { name = "forecast" }).name, "forecast")
end)

local function bare(city) return city end

---@param city string
---@param zip string
local function too_much(city) return city end

---@param f function
local function odd(f) return f end

test("tool: a function whose comment does not describe it is refused with the way to mend it", function(t)
  t.match(t.raises("argument", stoke.tool, bare).message, "its parameter city has no %-%-%-@param line")
  t.match(t.raises("argument", stoke.tool, too_much).message, "describes a parameter zip that it does not have")
  t.match(t.raises("argument", stoke.tool, odd).message, "the type function of the parameter f")
  t.match(t.raises("argument", stoke.tool, print).message, "has no text")
end)

test("tool: mistakes in its definition are named", function(t)
  local run = function() end
  t.match(t.raises("argument", stoke.tool, { run = run }).message, "name is missing")
  t.match(t.raises("argument", stoke.tool, { name = "a b", run = run }).message, "the name must be")
  t.match(t.raises("argument", stoke.tool, { name = "x" }).message, "run is missing")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, parms = {} }).message, "did you mean params?")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, params = { a = "strin" } }).message, "did you mean string?")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, timeout = -1 }).message, "timeout must be")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, needs_approval = 1 }).message, "needs_approval must be")
  t.match(t.raises("argument", stoke.tool, 7).message, "a table or a function")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, params = { type = "string" } }).message, "params")
end)

test("tool: results become text: tables as JSON, nil as ok, bytes that are no UTF-8 replaced, long ones cut", function(t)
  t.eq(text.of({ celsius = 4 }, 100), '{"celsius":4}')
  t.eq({ text.of(nil, 100), text.of(true, 100), text.of(1.5, 100) }, { "ok", "true", "1.5" })
  t.eq(text.of("caf\xE9", 100), "caf\u{FFFD}")
  t.eq({ text.of({ print }, 100) }, { '["a function"]', "a function at [1]" })
  t.eq(text.of(("ä"):rep(100), 101):match "^(.-)\n", ("ä"):rep(50))
  t.match(text.of(("x"):rep(1000), 100), "\n%[cut: the first 100 of 1000 bytes%]$")
  local cycle = {}
  cycle.self = cycle
  t.eq(text.of(cycle, 100), '{"self":"the table that this is in"}')
end)

test("tool: what JSON cannot say is in the result in words, and its author is told once", function(t)
  local shared = { 1 }
  for _, row in ipairs {
    { { x = 0 / 0, y = 1 / 0, z = -1 / 0 }, '{"x":"NaN","y":"Infinity","z":"-Infinity"}' },
    { { 1, nil, 3 }, "[1,null,3]" }, { { list = { "a", nil, nil, "d" } }, '{"list":["a",null,null,"d"]}' },
    { { [1] = "one", name = "x" }, '{"1":"one","name":"x"}' }, { { [true] = 1 }, '{"true":1}' },
    { { f = print, c = coroutine.create(print) }, '{"c":"a thread","f":"a function"}' },
    { { "caf\xE9" }, '["caf\u{FFFD}"]' }, { { a = shared, b = shared, [2.5] = 1 }, '{"2.5":1,"a":[1],"b":[1]}' },
    { { [1] = 1, [1000000] = 2 }, '{"1":1,"1000000":2}' },
  } do
    local out, unsaid = text.of(row[1], 1000)
    t.eq(out, row[2])
    t.ok(unsaid, row[2])
  end
  local deep = {}
  for _ = 1, 100 do deep = { deep, f = print } end
  t.ok(#text.of(deep, 100000) < 2000)

  local told, log = {}, require "stoke.log"
  local warn = log.warn
  log.warn = function(words) told[#told + 1] = words end
  local _ <close> = setmetatable({}, { __close = function() log.warn = warn end })
  local strange = stoke.tool { name = "odd", run = function() return { x = 0 / 0 } end }
  for _ = 1, 2 do t.eq(strange:text(strange:call()), '{"x":"NaN"}') end
  t.eq(#told, 1)
  t.match(told[1], "^tool odd %(.-test_tool%.lua:%d+%) returned what JSON cannot say: NaN at %.x$")
end)

test("tool: words that are no UTF-8 are refused where they are written", function(t)
  local run = function() end
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, description = "caf\xE9" }).message,
    "^stoke.tool x: the description is no UTF%-8 from byte 4 on$")
  t.match(t.raises("argument", stoke.tool, { name = "x", run = run, params = { a = "string: caf\xE9" } }).message,
    "^stoke.tool x: its parameters cannot be told to a model: cannot encode a string that is not UTF%-8 at ")
  local other = stoke.agent { name = "other", model = "m", description = "\xFF" }
  t.match(t.raises("argument", stoke.agent, { name = "bot", model = "m", handoffs = { other } }).message,
    "^bot: its tools cannot be told to a model: cannot encode a string that is not UTF%-8")
end)

test("tool: the trace has its call, and the traceback of an error", function(t)
  local records = {}
  span.listen(function(r) records[#records + 1] = r end)
  local _ <close> = setmetatable({}, { __close = function() span.sinks = {} span.switch(false) end })
  local bad = stoke.tool { name = "bad", run = function() local x = nil; return x.y end } -- luacheck: ignore
  t.raises("script", bad.call, bad)
  t.eq({ records[1].name, records[1].about, records[1].error }, { "tool.call", "bad", "script" })
  t.match(records[1].traceback, "test_tool.lua")
end)

test("tool: what it starts ends with it, and it ends with its caller", function(t)
  local stopped = 0
  local child = stoke.tool { name = "child", run = function()
    local scope <close> = stoke.scope {}
    scope:spawn(function()
      local _ <close> = setmetatable({}, { __close = function() stopped = stopped + 1 end })
      stoke.sleep(1e5)
    end)
    stoke.sleep(1)
    return "done"
  end }
  t.eq(child:call(), "done")
  t.eq(stopped, 1)
  local task = stoke.spawn(function() child:call() end)
  stoke.sleep(0.5)
  task:cancel()
  pcall(task.await, task)
  t.eq(stopped, 2)
end)

test("tool: fails with the same error whether a gate stands before its call or none", function(t)
  local ways = {
    raises = function() error "the wire is cut" end, says = function() return nil, "no such city" end,
    lasts = function() stoke.sleep(9) end, breaks = function() return (nil).x end, -- luacheck: ignore
    fails = function() stoke.spawn(function() error "below" end) end,
    leaves = function() error(errors.new("denied", "not you"), 0) end,
  }
  for name, run in pairs(ways) do
    local tool = stoke.tool { name = name, timeout = 1, run = run }
    local _, alone = tool:perform {}
    local scope <close> = stoke.scope { budget = { seconds = 60 } } -- luacheck: ignore
    local _, gated = tool:perform {}
    t.ok(alone, name)
    t.eq({ alone.kind, alone.message, alone.hint }, { gated.kind, gated.message, gated.hint })
  end
end)

test("tools: the box says what is in it", function(t)
  t.match(t.raises("argument", function() return stoke.tools.read_fil end).message, "did you mean stoke.tools.read_file?")
end)

test("tool: what it spawned is part of its work: waited for, its failure the tool's", function(t)
  local done = 0
  local function spawning(child)
    return stoke.tool { name = "spawning", timeout = 10, run = function() stoke.spawn(child) return "spawned" end }
  end
  t.eq(spawning(function() stoke.sleep(1) done = done + 1 end):call(), "spawned")
  t.eq(done, 1)
  local bad, slow = spawning(function() stoke.sleep(1) error "no luck" end), spawning(function() stoke.sleep(1e5) end)
  t.match(t.raises("script", bad.call, bad).message, "no luck")
  t.raises("timeout", slow.call, slow)
end)

-- A plain comment above documentation is about something else.
--- Doubles.
---@param n integer
local function double(n) return n * 2 end

---@param map table<string, integer>
local function mapping(map) return map end

test("tool: of the comments above a function its documentation counts, and types are named whole", function(t)
  t.eq(stoke.tool(double).description, "Doubles.")
  t.match(t.raises("argument", stoke.tool, mapping).message, "the type table<string, integer> of the parameter map")
end)

test("tool: of a huge result only what is shown is looked at", function(t)
  local out = text.of(("\xFF"):rep(32 << 20), 100)
  t.match(out, "\u{FFFD}\n%[cut: the first %d+ of 33554432 bytes%]$")
  t.eq(text.of("abc\u{E9}", 4), "abc\n[cut: the first 3 of 5 bytes]")
end)

test("tool: a trace has neither the user nor the query of a URL", function(t)
  local seen = {}
  local function sink(record) seen[#seen + 1] = record.about end
  span.listen(sink)
  stoke.try(stoke.http.get, "http://bob:hunter2@nobody.mem/x?api_key=SECRET1&q=SECRET2#SECRET3")
  stoke.try(stoke.http.get, "http://nobody.mem/y?SECRET4")
  span.unlisten(sink)
  t.eq(seen, { "http://nobody.mem/x?api_key=...&q=...", "http://nobody.mem/y?..." })
end)

test("tool: max_output is a whole number of bytes, or no limit", function(t)
  for _, value in ipairs { 64.5, 63, -1, 0 / 0 } do
    t.match(t.raises("argument", stoke.tool, { name = "t", max_output = value, run = print }).message, "max_output must be a whole")
  end
  local tool = stoke.tool { name = "t", max_output = math.huge, run = print }
  t.eq(#tool:text(("x"):rep(100000)), 100000)
end)
