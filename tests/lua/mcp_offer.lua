-- A file as `stoke mcp FILE` serves it: it prints while it is loaded and while its tools run.

local stoke = require "stoke"

print "loading"
io.write "raw\n"

stoke.tool { name = "add", description = "Adds", params = { a = "number", b = "number" },
  run = function(args)
    print "adding"
    return { sum = args.a + args.b }
  end }
stoke.tool { name = "slow", run = function() stoke.sleep(100) end }
stoke.tool { name = "bug", run = function(args) return args.x.y end }
stoke.tool { name = "refuse", run = function() return nil, "not today" end }
stoke.tool { name = "delete", needs_approval = true, run = function() return "deleted" end }
stoke.agent { name = "poet", model = "qwen2.5:3b", description = "Writes verse" }
stoke.tool { name = "count", params = { to = "integer" }, run = function(args)
  for i = 1, args.to do
    stoke.progress("number " .. i, i, args.to)
    stoke.sleep(0.06)
  end
  return args.to
end }
stoke.mcp.resource { uri = "notes://today", description = "The note of today", read = function() return "buy milk" end }
stoke.mcp.resource { uri = "notes://{day}/{part}", name = "a part of a day", mime = "text/markdown", read = function(at)
  if at.day == "never" then return nil end
  if at.day == "bug" then return at.x.y end
  return at.day .. "/" .. at.part
end }
stoke.mcp.resource { uri = "pixel://one", mime = "image/png", read = function() return { bytes = "\x89PNG\0" } end }
stoke.mcp.prompt { name = "review", description = "Reviews code", arguments = { code = "string: what to review", tone = "string?" },
  run = function(args) return "Review " .. args.code .. " " .. (args.tone or "kindly") end }
stoke.mcp.prompt { name = "chat", run = function()
  return { { role = "user", content = "Hi" }, { role = "assistant", content = "Hello" } }
end }
