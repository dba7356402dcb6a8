#!/usr/bin/env stoke
-- hello.lua: ask a model one question and watch the answer arrive.
--
-- Needs: an Ollama with any model (stoke pull qwen2.5:3b), or nothing at all with --sim=auto.
-- Try:   stoke agents/hello.lua --sim=auto
--        stoke agents/hello.lua "Name three rivers of Norway." --model qwen2.5:3b

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"

local function newest()
  local m = ollama.tags().models[1]
  return m and m.name or error "the server has no models: stoke pull qwen2.5:3b"
end

stoke.main(function(argv)
  local a = args.parse({
    name = "hello.lua", summary = "Ask a model one question and watch the answer arrive.",
    examples = { { "hello.lua", "say hello to the newest model" },
                 { "hello.lua \"Why is the sky blue?\" -m qwen2.5:3b", "ask something" } },
    options = { { "model", short = "m", help = "model to ask; without it the newest" } },
    positionals = { { "prompt", default = "Say hello in one short sentence." } },
  }, argv)
  local model = a.model or newest()
  local messages = { { role = "user", content = a.prompt } }
  for ev in ollama.stream { model = model, messages = messages } do
    if ev.type == "text" then
      io.write(ev.text)
    elseif ev.type == "done" then
      io.write(("\n(%s: %d tokens in, %d out, %.1f s)\n"):format(
        model, ev.usage.input_tokens, ev.usage.output_tokens, ev.usage.seconds))
    end
  end
end)
