-- make bench: N streams of 256 chunks, 64 at once, from the server at OLLAMA_HOST.  stoke stream.lua N [apart]
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local messages = { { role = "user", content = "hi" } }

stoke.main(function(args)
  local left, merge = tonumber(args[1]), args[2] ~= "apart"
  local function worker()
    while left > 0 do
      left = left - 1
      local bytes = 0
      for ev in ollama.stream { model = "bench", messages = messages, merge = merge } do
        if ev.type == "text" then bytes = bytes + #ev.text end
      end
      assert(bytes == 256 * #" word")
    end
  end
  local scope <close> = stoke.scope {}
  for _ = 1, 64 do scope:spawn(worker) end
  scope:wait()
  print "done"
end)
