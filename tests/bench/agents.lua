-- make bench: N agents with a session each, all begun in one moment and in a turn at once; the server never answers.
--   stoke agents.lua N
local stoke = require "stoke"

stoke.main(function(args)
  local n = tonumber(args[1])
  local scope <close> = stoke.scope {}
  for i = 1, n do
    local bot = stoke.agent { name = "agent " .. i, model = "held", instructions = "Answer in one sentence." }
    local chat = bot:session()
    scope:spawn(function() chat:run "hi" end)
  end
  stoke.sleep(0.5)
  collectgarbage()
  print "all in conversation"
  stoke.sleep(3600)
end)
