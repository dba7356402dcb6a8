#!/usr/bin/env stoke
-- triage.lua: sorts a message to a help desk, and measures how well it does that. Run as a script it prints the topic of one
-- message and whether it is urgent. As an evaluation it puts sixteen messages, whose topics are known, to each model that you
-- name, and says which is enough.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or --sim.
-- Try:   stoke agents/triage.lua "I was charged twice this month"
--        stoke eval agents/triage.lua -m qwen2.5:0.5b,qwen2.5:1.5b,qwen2.5:3b --repeats 3

local stoke = require "stoke"
local args = require "stoke.args"
local json = require "stoke.json"
local ollama = require "stoke.ollama"

local TICKET = stoke.schema({ topic = "billing|bug|account|question", urgent = "boolean" }, { order = { "topic", "urgent" } })

local INSTRUCTIONS = [[
Sort a message to the help desk of a music app.
billing: money, charges, refunds, plans. bug: the app does not work as it should.
account: sign-in, password, e-mail address, deletion. question: anything else one may ask.
It is urgent if the customer cannot use the app, or loses money.]]

local function clerk(model)
  return stoke.agent { name = "clerk", model = model or ollama.newest(), instructions = INSTRUCTIONS, output = TICKET,
    options = { temperature = 0 } }
end

local SPEC = {
  name = "triage.lua", summary = "Sort a message to a help desk: topic, and whether it is urgent.",
  examples = { { "triage.lua \"I was charged twice this month\"", "one message" },
               { "triage.lua -m qwen2.5:0.5b \"The app closes at once\"", "with this model" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest" } },
  positionals = { { "message", help = "the message" } },
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  print(json.encode(clerk(a.model):run(a.message).output))
end)

local function case(topic, urgent, message) return { input = message, expected = { topic = topic, urgent = urgent } } end

return stoke.eval {
  name = "triage",
  run = function(one, set) return clerk(set.model):run(one.input) end,
  scorers = { stoke.eval.equal { field = "topic" }, stoke.eval.equal { field = "urgent" } },
  cases = {
    case("billing", true, "I was charged twice this month. Please give me my money back."),
    case("billing", false, "What does the family plan cost?"),
    case("billing", true, "I cancelled in March, and you still take 9.99 every month!"),
    case("billing", false, "Can I pay once a year in place of once a month?"),
    case("bug", true, "Since the update the app closes as soon as I open it."),
    case("bug", false, "The cover of my favourite album is shown upside down."),
    case("bug", true, "No song plays any more. I get error 17 each time."),
    case("bug", false, "The clock in the corner is an hour off."),
    case("account", true, "I have lost my password, and the reset mail never comes. I cannot get in."),
    case("account", false, "How do I change my e-mail address?"),
    case("account", true, "Somebody else is signed in as me and has locked me out."),
    case("account", false, "Please delete my old second account some time."),
    case("question", false, "Do you have anything by Clara Schumann?"),
    case("question", false, "Which artist was played most last year?"),
    case("question", false, "Will there be an app for my watch?"),
    case("question", false, "Who writes the texts about the albums? They are lovely."),
  },
}
