#!/usr/bin/env stoke
-- race_models.lua: ask several models the same question. The first good answer wins; the others are
-- cancelled, which frees their slots on the server at once.
--
-- Needs: an Ollama with two models or more, or --sim.
-- Try:   stoke agents/race_models.lua "What is 17 + 4? Only the number." --sim=auto
--        stoke agents/race_models.lua "Name a prime above 90." qwen2.5:3b llama3.2:1b

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"

local SPEC = {
  name = "race_models.lua", summary = "Ask several models at once; the first good answer wins.",
  examples = { { "race_models.lua \"Name a prime above 90.\"", "all models of the server" },
               { "race_models.lua \"Name a river.\" qwen2.5:3b llama3.2:1b", "these two" } },
  options = { { "at-least", default = 1, help = "letters an answer needs to be good" },
              { "seconds", default = 60.0, help = "time for the whole race" } },
  positionals = { { "prompt", default = "Say hello in one short sentence." },
                  { "models", type = "list", optional = true, help = "the field; without it all" } },
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local field = a.models
  if #field == 0 then
    for _, m in ipairs(ollama.tags().models) do field[#field + 1] = m.name end
  end

  local runners = {}
  for i, model in ipairs(field) do
    runners[i] = function()
      local reply = ollama.chat { model = model,
                                  messages = { { role = "user", content = a.prompt } } }
      local text = reply.message.content
      if #text < a.at_least then error(model .. " gave too short an answer") end
      return { model = model, text = text }
    end
  end

  -- stoke.any: the first success; it fails only when every runner failed.
  local winner = stoke.timeout(a.seconds, function() return stoke.any(runners) end)
  print(winner.text)
  print(("(%s won against %d)"):format(winner.model, #field - 1))
end)
