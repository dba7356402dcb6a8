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
