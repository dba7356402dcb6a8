-- make bench: N streams in flight at once; prints a line when each has had its first chunk.  stoke hold.lua N
local ollama = require "stoke.ollama"
local stoke = require "stoke"

local messages = { { role = "user", content = "hi" } }

stoke.main(function(args)
  local n, begun = tonumber(args[1]), 0
  local all = stoke.channel(1)
  local scope <close> = stoke.scope {}
  for _ = 1, n do
    scope:spawn(function()
      local first = true
      for _ in ollama.stream { model = "slow", messages = messages } do
        if first then begun = begun + 1 end
        if first and begun == n then all:send(true) end
        first = false
      end
    end)
  end
  all:recv()
  collectgarbage()
  print "all begun"
  stoke.sleep(3600)
end)
