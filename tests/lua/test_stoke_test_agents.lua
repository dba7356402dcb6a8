-- stoke.test for agents: scripted models, what was done through the door, and its messages. The code under test fails here on
-- purpose: `fails` runs it and gives the message.

local test = require "stoke.test"
local show = require "stoke.show"
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local MODEL = "qwen2.5:3b"

local function weather()
  return stoke.tool { name = "get_weather", params = { city = "string", days = "integer?" },
    run = function(a) return "4 degrees in " .. a.city end }
end

local function shell() return stoke.tool { name = "shell", params = { command = "string" }, run = function() return "done" end } end

local function bot(fields)
  fields = fields or {}
  fields.model, fields.tools = fields.model or MODEL, fields.tools or { weather(), shell() }
  return stoke.agent(fields)
end

-- The message of a check that is to fail; the failure is taken back, or it would be this test's.
local function fails(t, f, ...)
  local ok, err = pcall(f, ...)
  t.ok(not ok, "it did not fail")
  local failures = require "stoke.test.world".now.failures
  if failures[#failures] == err then failures[#failures] = nil end
  return err.message
end

local OSLO = { tool = "get_weather", args = { city = "Oslo" } }

-- ---- scripted models ----------------------------------------------------------------------------------------------------------

test("t.model: the agent under test needs no endpoint and no other model name", function(t)
  local m = t.model(MODEL, { OSLO, "Rain." })
  t.eq(bot():run("Umbrella?").text, "Rain.")
  t.eq({ m.name, m.calls, m.left, #m.requests }, { MODEL, 2, 0, 2 })
  t.eq(m.requests[1].messages[1].content, "Umbrella?")
  t.eq(m.requests[2].messages[3].content, "4 degrees in Oslo")
end)

test("t.model: without a name it speaks for every model that has no script of its own", function(t)
  local any, own = t.model { "any 1", "any 2" }, t.model("mine:7b", { "own" })
  local function ask(model)
    return ollama.chat { model = model, messages = { { role = "user", content = "x" } } }.message.content
  end
  t.eq({ ask "whatever:1b", ask "mine:7b", ask(MODEL) }, { "any 1", "own", "any 2" })
  t.eq({ any.calls, own.calls }, { 2, 1 })
end)

test("t.model: texts, thinking, several calls, JSON, functions and a function for all", function(t)
  local m = t.model(MODEL, { { text = "A", thinking = "hm" }, { OSLO, { tool = "shell", args = { command = "ls" } } },
    { json = { a = 1 } }, function(request, n) return n .. " " .. request.messages[1].content end })
  local function ask()
    return ollama.chat { model = MODEL, think = true, messages = { { role = "user", content = "x" } } }.message
  end
  local first = ask()
  t.eq({ first.content, first.thinking }, { "A", "hm" })
  local calls = ask().tool_calls
  t.eq({ calls[1]["function"].name, calls[2]["function"].arguments.command }, { "get_weather", "ls" })
  t.eq({ ask().content, ask().content }, { '{"a":1}', "4 x" })
  t.eq(m.left, 0)
  t.model(MODEL, function(_, n) return "call " .. n end)
  t.eq({ ask().content, ask().content }, { "call 1", "call 2" })
end)

test("t.model: answers take no time, unless a reply says how long", function(t)
  t.model { "at once", { text = "later", delay = 90 } }
  local monotonic = stoke.time.monotonic
  local began = monotonic()
  bot():run "x"
  t.near(monotonic() - began, 0, 0.01)
  bot():run "x"
  t.near(monotonic() - began, 90, 0.01)
end)

test("t.model: an error is what the code under test gets", function(t)
  t.model { { error = "boom", status = 500 } }
  t.match(t.raises("http", function() bot():run "x" end).message, "boom")
end)

test("t.model: a named endpoint and an address lead to the script, too", function(t)
  t.raises("denied", function() bot({ endpoint = "http://10.0.0.7:11434" }):run "x" end)
  t.model { "hello", "hi" }
  t.eq(bot({ endpoint = "http://10.0.0.7:11434" }):run("x").text, "hello")
  t.eq(bot({ endpoint = "default" }):run("x").text, "hi")
end)

test("t.model: speaks in a test with the machine's clock, too", { real = true }, function(t)
  t.model { "hello" }
  t.eq(bot():run("x").text, "hello")
  t.asked(MODEL, { times = 1 })
end)

test("t.model: a test before this one has left no script", function(t)
  t.ok(bot():run("x").text:find "simulator")
end)

test("t.model: a script that makes no sense is refused where it is given", function(t)
  for wanted, script in next, { ["reply 1: unknown field tol .did you mean tool"] = { { tol = "x" } },
    ["a list of replies expected; for one reply write { { text"] = { text = "x" }, ["a list of replies or a function expected"] = 3,
    ["reply 2: a text, a table or a function expected"] = { "a", 1 },
    ["args without the tool"] = { { args = {} } }, ["no fault"] = { { fault = "nope" } },
    ["reply 1, call 2: a call needs the name of its tool"] = { { OSLO, {} } } } do
    t.match(t.raises("argument", t.model, MODEL, script).message, wanted)
  end
  t.raises("argument", t.model, "", { "x" })
  t.raises("argument", t.model, "a text")
end)

-- ---- effects --------------------------------------------------------------------------------------------------------------------

local function oslo_run(t)
  t.model(MODEL, { { OSLO, { tool = "get_weather", args = { city = "Rome", days = 2 } } }, "Rain." })
  bot():run "Umbrella?"
end

test("t.called: by name, by part of the arguments, by a function, and how often", function(t)
  oslo_run(t)
  t.eq(#t.called "get_weather", 2)
  t.eq(t.called("get_weather", { city = "Rome" })[1].args.days, 2)
  t.called("get_weather", { days = 2.0 }, { times = 1 })
  t.called("get_weather", { city = function(c) return c:find "^O" end }, { times = 1 })
  t.called("get_weather", function(a) return a.days == nil end, { times = 1 })
  t.called("shell", nil, { times = 0 })
end)

test("t.called: its message lists what was called", function(t)
  oslo_run(t)
  local list = '  get_weather { city = "Oslo" }\n  get_weather { city = "Rome", days = 2 }'
  t.eq(fails(t, t.called, "get_weather", { city = "Lima" }),
    'expected a call of get_weather with { city = "Lima" }, got none; what was called:\n' .. list)
  t.eq(fails(t, t.called, "get_weather", nil, { times = 3 }),
    "expected a call of get_weather, 3 times, got 2; what was called:\n" .. list)
  t.eq(fails(t, t.not_called, "get_weather"), "expected no call of get_weather, got 2:\n" .. list)
  t.not_called "shell"
  t.match(fails(t, t.not_called), "^expected no call of any tool, got 2")
  t.raises("argument", t.called, 1)
  t.raises("argument", t.called, "shell", nil, { time = 1 })
end)

test("t.called: its message also lists what a model asked for in vain", function(t)
  t.model { { { tool = "get_weather", args = { town = "Oslo" } } }, { tool = "nope" }, "Sorry." }
  bot():run "x"
  t.eq(fails(t, t.called, "get_weather"), "expected a call of get_weather, got none; what was called:\n  (no tool was called)\n"
    .. 'asked for by a model, and not called:\n  get_weather { town = "Oslo" }\n  nope {}')
end)

test("t.called: a call that was refused is none, unless that is asked for", function(t)
  t.model(MODEL, { { tool = "shell", args = { command = "rm" } }, "I may not." })
  stoke.policy { deny = { tool = { "shell" } } }
  bot():run "Clean up."
  t.not_called "shell"
  t.called("shell", { command = "rm" }, { error = "denied", times = 1 })
  t.match(fails(t, t.called, "shell"), 'shell { command = "rm" }  %-> denied')
end)

test("policy: the one a test sets ends with it", function(t)
  t.model(MODEL, { { tool = "shell", args = { command = "rm" } }, "Done." })
  bot():run "Clean up."
  t.called "shell"
end)

test("t.asked: which model, and how often; streams count", function(t)
  oslo_run(t)
  t.model("other:1b", { "x" })
  for _ in ollama.stream { model = "other:1b", prompt = "x" } do end -- luacheck: ignore
  t.asked(MODEL, { times = 2 })
  t.asked("other:1b", { times = 1 })
  t.asked()
  t.eq(fails(t, t.asked, "qwen3:4b"),
    "expected qwen3:4b to be asked, it was asked never; who was asked:\n  qwen2.5:3b, 2 times\n  other:1b, once")
  t.match(fails(t, t.asked, MODEL, { times = 1 }), "expected qwen2.5:3b to be asked once, it was asked 2 times")
end)

test("t.tokens_under: all tokens, in and out", function(t)
  t.model { "one two three" }
  local usage = bot():run("x").usage
  local total = usage.input_tokens + usage.output_tokens
  t.eq(t.tokens_under(total + 1), total)
  t.eq(fails(t, t.tokens_under, total), ("expected fewer than %d tokens, the test used %d"):format(total, total))
end)

test("t.effects: everything that went through the door, in the order it began", function(t)
  oslo_run(t)
  stoke.try(stoke.fs.read, "/nowhere/at/all")
  local names = {}
  for i, e in ipairs(t.effects()) do
    names[i] = ("%s %s %s"):format(e.name, e.tool or e.model or e.about, e.error)
  end
  t.eq(names, { "llm.chat qwen2.5:3b nil", "tool.call get_weather nil", "tool.call get_weather nil", "llm.chat qwen2.5:3b nil",
    "fs.read /nowhere/at/all os" })
end)

test("t.effects: none are kept where a test does not want them", { effects = false }, function(t)
  oslo_run(t)
  t.eq(t.effects(), {})
end)

-- ---- checks -------------------------------------------------------------------------------------------------------------------

test("t.eq: a long text shows where it differs, several lines show the lines, other places are named", function(t)
  local long = ("x"):rep(200)
  t.eq(fails(t, t.eq, { a = long .. "A" .. long }, { a = long .. "B" .. long }),
    ("value.a: the texts differ at byte 201 of 401\n  expected: ...%q...\n  got:      ...%q..."):format(
      ("x"):rep(30) .. "B" .. ("x"):rep(30), ("x"):rep(30) .. "A" .. ("x"):rep(30)))
  t.eq(fails(t, t.eq, "a\nb\nc\nd\ne\nf\ng", "a\nb\nc\nX\ne\nf\ng"),
    "value: the texts differ from line 4 on (- expected, + got)\n  ...\n  b\n  c\n- X\n+ d\n  e\n  f")
  t.eq(fails(t, t.eq, { 1, { x = 1 }, c = 2 }, { 1, { x = 2 }, c = 3 }), "value[2].x: expected 2, got 1\nand at value.c")
  t.eq(fails(t, t.eq, { ["a b"] = 1 }, {}), 'value["a b"]: expected nil, got 1')
end)

test("t.eq: characters of several bytes stay whole in a message", function(t)
  local text = fails(t, t.eq, ("日"):rep(50) .. "a", ("日"):rep(50) .. "b")
  t.ok(utf8.len(text), text)
end)

test("t.contains, t.within, t.near, t.fail: say what is wrong", function(t)
  t.contains("a.b", ".")
  t.contains({ 1, { x = 2 } }, { x = 2 })
  t.eq(fails(t, t.contains, "abc", "d"), 'expected a text with "d" in it, got "abc"')
  t.eq(fails(t, t.contains, { 1, 2 }, 3), "expected 3 among { 1, 2 }")
  t.eq({ t.within(2, function(a) stoke.sleep(1) return a, 2 end, 1) }, { 1, 2 })
  t.eq(fails(t, t.within, 1, stoke.sleep, 2), "expected an end within 1 s, it took 2 s")
  t.match(fails(t, t.near, 0 / 0, 1, 0.1), "expected 1 within 0.1")
  t.eq(fails(t, t.fail, "never"), "never")
end)

test("compare: a value prints the same each time, cycles and all", function(t)
  local cycle = { a = {} }
  cycle.self = cycle
  t.eq(show.pretty(cycle), "{\n  a = {},\n  self = <cycle>,\n}")
  t.eq(show.pretty "x\ny", '"x\\ny"')
  t.eq(show.pretty { [2] = "b", [1] = "a", [0] = "z", [true] = 1 },
    '{\n  [true] = 1,\n  [0] = "z",\n  [1] = "a",\n  [2] = "b",\n}')
end)
