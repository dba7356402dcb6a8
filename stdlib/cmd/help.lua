-- stoke help [VERB]

local args = require "stoke.args"
local errors = require "core.errors"
local stdio = require "core.stdio"
local term = require "stoke.term"

local EXAMPLES = {
  { "stoke hello.lua \"Why is the sky blue?\"", "run a script" },
  { "stoke hello.lua --sim", "the same, answered by the built-in simulator" },
  { "stoke -e 'print(require(\"stoke.ollama\").version().version)'", "run one line" },
  { "stoke chat qwen2.5:3b", "talk to a model" },
  { "stoke models --loaded", "what is in memory" },
  { "stoke doctor", "what is wrong here?" },
}

local function rows_text(out, title, rows, colour)
  out[#out + 1] = "\n" .. term.paint("bold", title, colour) .. "\n"
  local width = 0
  for _, r in ipairs(rows) do
    if #r[1] <= 44 then width = math.max(width, #r[1]) end
  end
  for _, r in ipairs(rows) do
    out[#out + 1] = ("  %s%s  %s\n"):format(r[1], (" "):rep(width - #r[1]), r[2])
  end
end

local function overview(colour)
  local out = { "stoke runs agents written in Lua against Ollama.\n" }
  rows_text(out, "Examples", EXAMPLES, colour)
  rows_text(out, "Usage", {
    { "stoke FILE [ARGS]", "run a script; - reads it from standard input" },
    { "stoke -e CODE [ARGS]", "run code" },
    { "stoke VERB [ARGS]", "see below; stoke VERB --help tells more" } }, colour)
  local verbs = {}
  for i, v in ipairs(require "stoke.cmd".verbs) do verbs[i] = { v.usage, v.summary } end
  rows_text(out, "Verbs", verbs, colour)
  local flags = {}
  for i, f in ipairs(args.runtime) do
    local value = f.value == "required" and " " .. f.placeholder
                  or f.value == "optional" and "[=" .. f.placeholder .. "]" or ""
    flags[i] = { "--" .. f.name .. value, f.help }
  end
  flags[#flags + 1] = { "--version", "print the version" }
  flags[#flags + 1] = { "-h, --help", "show this" }
  rows_text(out, "Flags (before or after FILE or VERB, up to --)", flags, colour)
  rows_text(out, "Exit codes", {
    { "0", "done" }, { "1", "the script failed" }, { "2", "wrong usage or configuration" },
    { "3", "not authorised" }, { "4", "the server cannot be reached" }, { "5", "the model server or a tool failed" },
    { "6", "a budget or limit was reached" }, { "7", "denied" }, { "124", "too late" },
    { "130", "interrupted (143: terminated)" }, { "141", "nobody reads the output any more" } }, colour)
  return table.concat(out)
end

---@param argv string[]
return function(argv)
  local word = argv[1]
  if word == nil or word:find "^%-" or word == "help" then
    stdio.write(overview(term.colour(1)))
    return
  end
  local cmd = require "stoke.cmd"
  local verb = cmd.find(word)
  if not verb then
    local names = {}
    for i, v in ipairs(cmd.verbs) do names[i] = v.name end
    local near = errors.suggest(word, names)
    errors.raise("usage", ("no verb is named '%s'"):format(word),
                 { hint = near and ("did you mean '%s'?"):format(near) or "stoke help lists them" })
  end
  if word == "version" then return stdio.write "stoke version [--json]: print the version\n" end
  local run = require("stoke.cmd." .. word)
  if type(run) == "table" then run = run.main end
  return run { "--help" }
end
