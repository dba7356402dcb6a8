#!/usr/bin/env stoke
-- hello.lua: an agent that calls a tool and streams its answer. Models read tokens, not letters, so
-- they miscount; a tool of six lines does not. Calls and results show as they happen, on stderr.
--
-- Needs: an Ollama with a model that calls tools (stoke pull qwen2.5:3b), or nothing at all with --sim=auto.
-- Try:   stoke agents/hello.lua --sim=auto
--        stoke agents/hello.lua "Which has more s: Mississippi or possesses?" --model qwen2.5:3b

local stoke = require "stoke"
local args = require "stoke.args"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local count_letter = stoke.tool {
  name = "count_letter", description = "How often a letter is in a word",
  params = { letter = "string 1..1", word = "string" },
  run = function(a)
    local _, count = a.word:lower():gsub(a.letter:lower():gsub("%W", "%%%0"), "")
    return count
  end,
}

local SPEC = {
  name = "hello.lua", summary = "An agent that calls a tool and streams its answer.",
  examples = { { "hello.lua", "ask the newest model that can call tools" },
               { "hello.lua 'How many o are in \"door\"?' -m qwen2.5:3b", "ask something" } },
  options = { { "model", short = "m", help = "model to ask; without it the newest with tools" } },
  positionals = { { "prompt", default = 'How often is the letter "r" in "strawberry"?' } },
}

stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local model, colour = a.model or ollama.newest "tools", term.colour(2)
  local bot = stoke.agent { name = "hello", model = model, tools = { count_letter },
                            instructions = "Count letters with the tool. Answer in one sentence." }
  for ev in bot:stream(a.prompt) do
    if ev.type == "text" then
      io.write(ev.text)
    elseif ev.type == "tool_call" then
      io.stderr:write(term.paint("dim", ("> %s %s"):format(ev.name, json.encode(ev.arguments)), colour), "\n")
    elseif ev.type == "tool_result" then
      io.stderr:write(term.paint("dim", "< " .. ev.text, colour), "\n")
    elseif ev.type == "done" then
      local u = ev.result.usage
      print(("\n(%s: %d tokens in, %d out, %.1f s)"):format(model, u.input_tokens, u.output_tokens, u.seconds))
    end
  end
end)
