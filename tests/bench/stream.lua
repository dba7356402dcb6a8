-- make bench: N streams of 256 chunks, 64 at once, from the server at OLLAMA_HOST.  stoke stream.lua N
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local messages = { { role = "user", content = "hi" } }

stoke.main(function(args)
  local left = tonumber(args[1])
  local function worker()
    while left > 0 do
      left = left - 1
      local texts = 0
      for ev in ollama.stream { model = "bench", messages = messages } do
        if ev.type == "text" then texts = texts + 1 end
      end
      assert(texts == 256)
    end
  end
  local scope <close> = stoke.scope {}
  for _ = 1, 64 do scope:spawn(worker) end
  scope:wait()
  print "done"
end)
