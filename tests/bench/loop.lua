-- make bench: N runs of an agent that calls a tool and answers, one at a time; with "bare" the same two calls by hand; with
-- "requests" the bodies of these two calls, a line each.
--   stoke loop.lua N [bare|requests]
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local weather = stoke.tool {
  name = "get_weather", description = "Current weather in a city", params = { city = "string: city name" },
  run = function(a) return "4 degrees, rain in " .. a.city end,
}
local bot = stoke.agent { name = "umbrella", model = "tools", instructions = "Answer in one sentence.", tools = { weather } }
local system, question = { role = "system", content = "Answer in one sentence." }, { role = "user", content = "Umbrella in Oslo?" }
local tools = { weather:definition() }

--- The same work without an agent.
local function by_hand()
  local messages = { system, question }
  local reply = ollama.chat { model = "tools", messages = messages, tools = tools }
  local call = reply.message.tool_calls[1]
  messages[3] = reply.message
  messages[4] = { role = "tool", tool_name = "get_weather", tool_call_id = call.id,
    content = weather.run(call["function"].arguments) }
  return ollama.chat { model = "tools", messages = messages, tools = tools }
end

--- What both ask, so that the bare client asks the same.
local function print_requests()
  local said = bot:run("Umbrella in Oslo?").messages
  print(ollama.request { model = "tools", messages = { system, question }, tools = tools }.body)
  print(ollama.request { model = "tools", messages = { system, said[1], said[2], said[3] }, tools = tools }.body)
end

stoke.main(function(args)
  if args[2] == "requests" then return print_requests() end
  for _ = 1, tonumber(args[1]) do
    if args[2] then
      by_hand()
    else
      local result = bot:run "Umbrella in Oslo?"
      assert(result.steps == 2 and result.usage.tool_calls == 1)
    end
  end
  print "done"
end)
