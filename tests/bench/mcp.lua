-- make bench: N calls of a tool over standard streams, one after the other; prints the processor time of this process for each, in
-- microseconds. The server is what the words behind N start.  stoke mcp.lua N PROGRAM ARGS
local stoke = require "stoke"

stoke.main(function(args)
  local count = tonumber(args[1])
  local server <close> = stoke.mcp.connect { command = args[2], args = table.move(args, 3, #args, 1, {}) }
  local echo = server:tools()[1]
  assert(echo:call { text = "hi" } == "hi")
  local before = stoke.time.cpu()
  for _ = 1, count do echo:call { text = "hi" } end
  print(("%.1f"):format((stoke.time.cpu() - before) / count * 1e6))
end)
