-- make bench: the server of mcp.lua.  stoke mcp mcp_server.lua
local stoke = require "stoke"

return { stoke.tool { name = "echo", params = { text = "string" }, run = function(args) return args.text end } }
