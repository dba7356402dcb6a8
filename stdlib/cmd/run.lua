-- stoke run [FILE] [ARGS]

local errors = require "core.errors"
local args = require "stoke.args"

local SPEC = {
  name = "stoke run", summary = "Run a script.",
  examples = { { "stoke run", "run ./main.lua" },
               { "stoke run town.lua --days 3", "what follows FILE belongs to the script" },
               { "stoke run - < town.lua", "read the script from standard input" } },
  positionals = { { "file", optional = true, help = "the script; without it ./main.lua" },
                  { "args", type = "list", optional = true, help = "words for the script" } },
}

---@param argv string[]
return function(argv)
  local cmd = require "stoke.cmd"
  local file = argv[1]
  if file == "-e" then return cmd.run_code(table.move(argv, 2, #argv, 1, {})) end
  if file == "--" then
    argv = table.move(argv, 2, #argv, 1, {})
    file = argv[1]
  elseif file and file:find "^%-." then
    args.parse(SPEC, { file })
  end
  if not file then
    local here = io.open("main.lua", "rb")
    if not here then
      errors.raise("usage", "no ./main.lua here", { hint = "stoke run FILE runs another script" })
    end
    here:close()
    file = "./main.lua"
  end
  return cmd.run_file(file, table.move(argv, 2, #argv, 1, {}))
end
