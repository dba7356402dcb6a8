-- make bench: takes spans and keeps nothing; prints its address.
local http = require "stoke.http"

local server <close> = http.serve { port = 0, handler = function() return {} end }
print(server.url)
io.stdout:flush()
server:wait()
