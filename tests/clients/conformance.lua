-- What the MCP conformance suite wants a server to offer, as far as `stoke mcp` offers such things (conformance.yml has the rest).

local stoke = require "stoke"

-- A picture of one red dot.
local PNG = "\137PNG\13\10\26\10\0\0\0\13IHDR\0\0\0\1\0\0\0\1\8\6\0\0\0\31\21\196\137"
  .. "\0\0\0\13IDATx\156c\252\207\240\191\30\0\6\3\2\0e\201\94\225\0\0\0\0IEND\174B`\130"

stoke.tool { name = "test_simple_text", description = "Gives a text",
  run = function() return "This is a simple text response for testing." end }

stoke.tool { name = "test_error_handling", description = "Fails",
  run = function() return nil, "This tool intentionally returns an error for testing" end }

stoke.tool { name = "test_tool_with_progress", description = "Tells its progress", run = function()
  for done = 0, 100, 50 do
    stoke.progress("at " .. done, done, 100)
    stoke.sleep(0.05)
  end
  return "done"
end }

stoke.mcp.resource { uri = "test://static-text", name = "static-text", description = "A text", mime = "text/plain",
  read = function() return "This is the content of the static text resource." end }

stoke.mcp.resource { uri = "test://static-binary", name = "static-binary", description = "A picture", mime = "image/png",
  read = function() return PNG end }

stoke.mcp.resource { uri = "test://template/{id}/data", name = "template", description = "One of many", mime = "application/json",
  read = function(at) return ('{"id":"%s","templateTest":true,"data":"Data for ID: %s"}'):format(at.id, at.id) end }

stoke.mcp.prompt { name = "test_simple_prompt", description = "A prompt",
  run = function() return "This is a simple prompt for testing." end }

stoke.mcp.prompt { name = "test_prompt_with_arguments", description = "A prompt of two arguments",
  arguments = { arg1 = "string: the first", arg2 = "string: the second" },
  run = function(args) return ("Prompt with arguments: arg1='%s', arg2='%s'"):format(args.arg1, args.arg2) end }
