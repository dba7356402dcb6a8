-- What the library itself says to models: in one place, shown, and replaceable.

local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"
local texts = require "stoke.agent.texts"

local MODEL = scripted.MODEL

local function call(name, arguments) return { tool_calls = { { name = name, arguments = arguments or {} } } } end

test("texts: each has a purpose and a text whose fields are its own", function(t)
  for _, entry in ipairs(texts.list()) do
    t.ok(entry.purpose ~= "" and entry.text ~= "", entry.name)
    texts.check("x", { [entry.name] = entry.text })
  end
end)

test("texts: an agent's own are said, and only to its model", function(t)
  local server <close> = scripted { "", call "nothing", call("get", { x = 1 }), "ok" }
  local get = stoke.tool { name = "get", params = { city = "string" }, run = function() return "x" end }
  local bot = stoke.agent { name = "bot", model = MODEL, tools = { get }, endpoint = server.url, texts = {
    empty = "Say something.", unknown_tool = "no {name}, only {tools}", bad_arguments = "wrong: {problem} / {shape}" } }
  local said = bot:run("x").messages
  t.eq({ said[2].content, said[4].content }, { "Say something.", "no nothing, only get" })
  t.match(said[6].content, "^wrong: the arguments of get do not fit: .* / {")
  local other <close> = scripted { "", "ok" }
  t.match(stoke.agent { model = MODEL, endpoint = other.url }:run("x").messages[2].content, "was empty")
end)

test("texts: for all agents, until the built-in one is given back", function(t)
  local _ <close> = setmetatable({}, { __close = function() stoke.agent.texts { empty = false } end })
  stoke.agent.texts { empty = "All of you: speak." }
  local server <close> = scripted { "", "ok", "", "ok", "", "ok" }
  local function said(own) return stoke.agent { model = MODEL, endpoint = server.url, texts = own }:run("x").messages[2].content end
  t.eq(said(), "All of you: speak.")
  t.eq(said { empty = "You." }, "You.")
  t.match(said { empty = false }, "was empty")
end)

test("texts: unknown names, unknown fields and wrong values are refused with what was meant", function(t)
  local function refused(own, words)
    t.match(t.raises("argument", stoke.agent, { model = MODEL, texts = own }).message, words)
    t.match(t.raises("argument", stoke.agent.texts, own).message, words)
  end
  refused({ nuge = "x" }, "there is no text named nuge %(did you mean nudge%?%)")
  refused({ misfit = "{problm}" }, "the text misfit has no field {problm}; it has {problem}")
  refused({ misfit = 5 }, "the text misfit must be a string")
  local server <close> = scripted { "" }
  local bot = stoke.agent { model = MODEL, endpoint = server.url, texts = { empty = function() return 5 end } }
  t.match(t.raises("argument", bot.run, bot, "x").message, "texts.empty: the function must return a string, got 5")
end)

test("texts: a schema, a misfit, handoffs, summaries and choices are said in the agent's words", function(t)
  local server <close> = scripted { '{"n":-1}', '{"n":1}' }
  stoke.agent { model = MODEL, output = { n = "integer >= 0" }, endpoint = server.url,
    texts = { schema = "Form: {shape}", misfit = "Bad: {problem}" } }:run "x"
  t.match(server.requests[1].messages[1].content, "^Form: ")
  t.match(server.requests[2].messages[4].content, "^Bad: n: ")

  local two <close> = scripted { call "transfer_to_b", "done" }
  local b = stoke.agent { name = "b", model = MODEL, endpoint = two.url }
  local a = stoke.agent { name = "a", model = MODEL, handoffs = { b }, endpoint = two.url,
    texts = { handoff = "{from} -> {agent}", handoff_tool = "give it to {agent}" } }
  t.eq(a:run("x").messages[3].content, "a -> b")
  t.eq(two.requests[1].tools[1]["function"].description, "give it to b")

  local choice <close> = scripted { '{"choice":"x"}' }
  stoke.choose { model = MODEL, prompt = "?", options = { "x", "y" }, endpoint = choice.url,
    texts = { choose = "Pick:\n{options}" } }
  t.match(choice.requests[1].messages[1].content, "^Pick:\n%- x\n%- y")
end)

test("explain: shows what may be said to this agent's model, and how long its answer may get", function(t)
  local get = stoke.tool { name = "get", run = function() return "x" end }
  local function names(given)
    given.model, given.endpoint = MODEL, "http://127.0.0.1:9"
    local made = stoke.agent(given):explain "x"
    local out = {}
    for _, entry in ipairs(made.texts) do out[entry.name] = entry.text end
    return out, made.answer
  end
  local plain, answer = names {}
  t.ok(plain.empty and not plain.nudge and not plain.schema)
  t.match(answer, "at most 4096 tokens")
  local with = names { tools = { get }, output = { x = "string" }, texts = { nudge = "Go!" } }
  t.eq(with.nudge, "Go!")
  t.ok(with.schema and with.unknown_tool)
  t.ok(not names { tools = { get }, nudge = false }.nudge)
end)
