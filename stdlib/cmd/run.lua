-- stoke run [FILE] [ARGS]

local errors = require "core.errors"
local args = require "stoke.args"

local SPEC = {
  name = "stoke run", summary = "Run a script.",
  examples = { { "stoke run", "run ./main.lua" },
               { "stoke run town.lua --days 3", "what follows FILE belongs to the script" },
               { "stoke run main.lua \"And in Rome?\"", "words for ./main.lua: name it" },
               { "stoke run --watch town.lua", "reload town.lua and what it requires as they are saved" },
               { "stoke run --name town town.lua", "stoke attach town looks into it" },
               { "stoke run --durable town.lua", "a run that continues after a crash; its id is printed" },
               { "stoke run --durable=may town.lua", "begin the run may, continue it, or print how it ended" },
               { "stoke run - < town.lua", "read the script from standard input" } },
  options = { { "watch", type = "boolean", help = "replace the code while it runs when its files change; stoke.main runs again "
                .. "once it has ended" },
              { "durable", type = "boolean", help = "make all of stoke.main one durable run; =ID names it" },
              { "name", placeholder = "NAME", help = "what stoke ps and stoke attach call it; else the file's name" } },
  positionals = { { "file", optional = true, help = "the script; without it ./main.lua" },
                  { "args", type = "list", optional = true, help = "words for the script" } },
}

local function script_file(file)
  if file then return file end
  local here = io.open("main.lua", "rb")
  if not here then
    errors.raise("usage", "no ./main.lua here", { hint = "stoke run FILE runs another script" })
  end
  here:close()
  return "./main.lua"
end

local function rest(argv, from) return table.move(argv, from, #argv, 1, {}) end

--- The flags before FILE are ours; what follows it belongs to the script.
local function own_flags(argv)
  local at, own, id = 1, {}, nil
  while argv[at] and argv[at]:find "^%-." and argv[at] ~= "-e" and argv[at] ~= "--" do
    local named = argv[at]:match "^%-%-durable=(.*)$"
    id = named or id
    if named == "" then errors.raise("usage", "--durable=ID wants an id", { hint = "without =ID one is made" }) end
    own[#own + 1] = named and "--durable" or argv[at]
    if argv[at] == "--name" then own[#own + 1] = argv[at + 1] end
    at = at + (argv[at] == "--name" and 2 or 1)
  end
  return args.parse(SPEC, own), rest(argv, at), id
end

---@param argv string[]
return function(argv)
  local cmd = require "stoke.cmd"
  local own, id
  own, argv, id = own_flags(argv)
  cmd.host_name = own.name
  local file = argv[1]
  if file == "-e" and not own.watch then return cmd.run_code(rest(argv, 2)) end
  if file == "--" then
    argv = rest(argv, 2)
    file = argv[1]
  end
  file = script_file(file)
  if own.durable then
    if own.watch or file == "-" then
      errors.raise("usage", "--durable needs a file, and excludes --watch: a run continues on the code it began with")
    end
    local there = io.open(file, "rb")
    if not there then
      errors.raise("usage", "no file " .. file, { hint = id and "a run keeps its code: stoke resume ID goes on with it" or nil })
    end
    there:close()
    return cmd.run_file(file, rest(argv, 2), nil, function(path, words) return require "stoke.cmd.durable"(path, words, id) end)
  end
  if not own.watch then return cmd.run_file(file, rest(argv, 2)) end
  if file == "-" then errors.raise("usage", "--watch needs a file: standard input does not change") end
  return cmd.run_file(file, rest(argv, 2), nil, require "stoke.cmd.watch")
end
