-- stoke repl [FILE]: the prompt. Without a terminal, standard input is the entries.

local args = require "stoke.args"
local repl = require "stoke.repl"

local SPEC = {
  name = "stoke repl", summary = "Try things out at a prompt.",
  examples = { { "stoke", "the same" },
               { "stoke repl town.lua", "run the file's body first; what it returns is named as the file" },
               { "echo '1 + 1' | stoke repl", "each line is an entry; the first error gives the exit code" } },
  options = { { "no-history", type = "boolean", help = "keep nothing of what is entered" } },
  positionals = { { "file", optional = true, help = "a script whose body is run first" } },
}

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  require "stoke.cmd".announce(a.file or "repl")
  return repl.run { file = a.file, history = not a.no_history }
end
