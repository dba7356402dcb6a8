-- make bench: a server with the shortest handler there is. Prints its URL.  stoke serve.lua
local http = require "stoke.http"
local stoke = require "stoke"

stoke.main(function()
  local server <close> = http.serve { handler = function() return "it is late" end }
  print(server.url)
  server:wait()
end)
