#!/usr/bin/env stoke
-- served.lua: three agents as models, for Open WebUI, editors, `ollama run` and the openai library.
--
-- Needs: an Ollama with any model, or --sim.
-- Try:   stoke serve agents/served.lua
--        OLLAMA_HOST=127.0.0.1:11500 ollama run poet "The sea"
--        stoke agents/served.lua "What is 17 * 23?"
--        curl 127.0.0.1:11500/api/chat -d '{"model":"clerk","messages":[{"role":"user","content":"What is 17 * 23?"}]}'

local stoke = require "stoke"
local args = require "stoke.args"
local env = require "stoke.env"

local MODEL = env.get("MODEL", "qwen2.5:3b")

-- A model with instructions.
local poet = stoke.agent { name = "poet", model = MODEL, description = "Answers in verse",
  instructions = "Answer in four short lines that rhyme." }

-- One with tools: what it does is shown to the client as its thoughts.
local clerk = stoke.agent { name = "clerk", model = MODEL, description = "Counts and knows the date",
  instructions = "Use the tools for numbers and dates. Answer in one sentence.",
  tools = { stoke.tools.calculator(), stoke.tools.now() } }

-- A team behind one name: it hands the conversation to whom it suits.
local desk = stoke.agent { name = "desk", model = MODEL, description = "Poems and numbers",
  instructions = "Hand over to the poet for poems, to the clerk for numbers and dates. Answer anything else yourself.",
  handoffs = { poet, clerk } }

-- `stoke serve` offers every agent above, since each has a name. Without it, the file is a script that asks one of them.
local SPEC = {
  name = "served.lua", summary = "Three agents as models; without `stoke serve`, one question to one of them.",
  examples = { { "served.lua 'What is 17 * 23?'", "the desk hands over to the clerk" },
               { "served.lua --to poet 'The sea'", "one of them" } },
  options = { { "to", default = "desk", help = "poet, clerk or desk" } },
  positionals = { { "prompt", help = "what to ask" } },
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local bot = ({ poet = poet, clerk = clerk, desk = desk })[a.to] or stoke.raise("usage", "nobody here is called " .. a.to)
  for ev in bot:stream(a.prompt) do
    if ev.type == "text" then io.write(ev.text) end
    if ev.type == "tool_call" then io.stderr:write(("> %s\n"):format(ev.name)) end
  end
  print()
end)
