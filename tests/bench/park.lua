-- make bench: N tasks that wait; prints a line when all of them do.  stoke park.lua N
local stoke = require "stoke"

stoke.main(function(args)
  for _ = 1, tonumber(args[1]) do stoke.spawn(stoke.sleep, 3600) end
  stoke.sleep(0.1)
  collectgarbage()
  print "parked"
  stoke.sleep(3600)
end)
