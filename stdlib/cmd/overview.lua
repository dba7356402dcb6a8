-- Text shared by `stoke help` and the manual page.

local args = require "stoke.args"
local runtime = require "stoke.cmd.flags"

local M = {}

M.examples = {
  { "stoke hello.lua \"Why is the sky blue?\"", "run a script" },
  { "stoke hello.lua --sim", "the same, answered by the built-in simulator" },
  { "stoke -e 'print(require(\"stoke.ollama\").version().version)'", "run one line" },
  { "stoke init town", "a folder to begin with" },
  { "stoke chat qwen2.5:3b", "talk to a model" },
  { "stoke models --loaded", "what is in memory" },
  { "stoke help ollama.chat", "how something is called" },
  { "stoke doctor", "what is wrong here?" },
}

M.usage = {
  { "stoke FILE [ARGS]", "run a script; - reads it from standard input" },
  { "stoke -e CODE [ARGS]", "run code" },
  { "stoke VERB [ARGS]", "see below; stoke VERB --help tells more" },
}

M.exits = {
  { "0", "done" }, { "1", "the script failed" }, { "2", "wrong usage or configuration" },
  { "3", "not authorised" }, { "4", "the server cannot be reached" }, { "5", "the model server or a tool failed" },
  { "6", "a budget or limit was reached" }, { "7", "denied" }, { "124", "too late" },
  { "130", "interrupted (143: terminated, 129: the terminal was closed)" }, { "141", "nobody reads the output any more" },
}

M.environment = {
  { "OLLAMA_HOST", "address of the model server, in the notation of Ollama" },
  { "OLLAMA_API_KEY", "its key" },
  { "STOKE_ENDPOINT", "as --endpoint: a name of the configuration, or an address" },
  { "STOKE_CONFIG", "as --config" },
  { "STOKE_SIM", "as --sim: on, off or auto" },
  { "STOKE_HISTORY", "file of what is entered at prompts; empty: none is kept" },
  { "STOKE_STORE", "as --store" },
  { "STOKE_LOG, STOKE_LOG_FORMAT", "level and format (text, json) of the log" },
  { "STOKE_DEBUG=effect", "print each effect with its time in the queue and its run time" },
  { "NO_COLOR", "no colour" },
  { "FORCE_COLOR, CLICOLOR_FORCE", "colour also where no terminal is; 0: none (FORCE_COLOR)" },
}

M.files = {
  { "./stoke.config.lua", "settings of the folder it is run in" },
  { "~/.config/stoke/config.lua", "settings of the user (XDG_CONFIG_HOME)" },
}

--- The flags of the runtime.
---@return string[][]
function M.flags()
  local rows = {}
  for i, f in ipairs(runtime.list) do
    local value = f.value == "required" and " " .. f.placeholder
                  or f.value == "optional" and "[=" .. f.placeholder .. "]" or ""
    rows[i] = { "--" .. f.name .. value, f.help }
  end
  rows[#rows + 1] = { "-V, --version", "print the version" }
  rows[#rows + 1] = { "-h, --help", "show this" }
  return rows
end

--- The description each verb gives to args.parse, in the order help shows them.
---@return { verb: table, spec: table }[] spec: as args.describe gives it
function M.verbs()
  local out = {}
  local cmd = require "stoke.cmd"
  for _, verb in ipairs(cmd.verbs) do
    local spec = args.described(cmd.command(verb))
    out[#out + 1] = { verb = verb, spec = args.describe(spec or { name = "stoke " .. verb.name, summary = verb.summary }) }
  end
  return out
end

return M
