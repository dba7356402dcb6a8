-- make bench: N replies in one piece, 64 at once, from the server at OLLAMA_HOST.  stoke call.lua N
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local messages = { { role = "user", content = "hi" } }

stoke.main(function(args)
  local left = tonumber(args[1])
  local function worker()
    while left > 0 do
      left = left - 1
      local reply = ollama.chat { model = "bench", messages = messages, stream = false }
      assert(reply.done and #reply.message.content == 250)
    end
  end
  local scope <close> = stoke.scope {}
  for _ = 1, 64 do scope:spawn(worker) end
  scope:wait()
  print "done"
end)
