--- The runtime's own flags, and their removal from a command line.

local errors = require "core.errors"

local M = {}

--- The flags the runtime takes for itself wherever they stand on a command line, up to `--`. A
--- script cannot declare an option of these names: it would never see it.
--- `value`: "required" takes the next word, "optional" only `--flag=value`, nil takes none; `list`: it may be repeated.
M.list = {
  { name = "sim", value = "optional", placeholder = "auto|FILE.lua",
    help = "answer from the built-in simulator; =auto: only when no server is there; =FILE.lua: from a script" },
  { name = "endpoint", value = "required", placeholder = "URL|NAME",
    help = "the Ollama server to use" },
  { name = "config", value = "required", placeholder = "FILE",
    help = "read this configuration file and no other" },
  { name = "env-file", value = "required", placeholder = "FILE", list = true,
    help = "environment variables from a file, NAME=value a line; may be repeated; what is set already stays" },
  { name = "log", value = "required", placeholder = "LEVEL",
    help = "debug, info, warn, error or off" },
  { name = "trace", value = "required", placeholder = "FILE",
    help = "write one JSON line per effect" },
  { name = "trace-bodies", help = "put requests and replies into the trace too" },
  { name = "spans", help = "keep the trace of this run, for stoke trace; with --trace-bodies its requests, too" },
  { name = "max-memory", value = "required", placeholder = "SIZE",
    help = "end the task that makes the host hold more: 512M, 2G, 50% of the machine (what it is), 0 for no limit" },
  { name = "store", value = "required", placeholder = "FILE",
    help = "keep durable runs in this file, or look for them there; else .stoke/state.db beside the script" },
  { name = "seed", value = "required", placeholder = "N", help = "seed of all randomness" },
  { name = "watch-at", value = "required", placeholder = "PORT",
    help = "show the script and its worlds in a browser; ADDRESS:PORT for other machines" },
  { name = "metrics", value = "required", placeholder = "PORT",
    help = "answer GET /metrics there, for Prometheus; ADDRESS:PORT for other machines, which need a token" },
}

--- Take the runtime's own flags out of a command line, wherever they stand up to `--`. The rest is
--- left in order, `--` and what follows untouched.
---@param argv string[]
---@param from? integer first word to look at; earlier ones are left alone
---@return table<string, string|boolean|string[]> flags by name; of one that may be repeated a list
---@return string[] rest
---Raises `usage` for a flag without its value.
---
--- Example: `local flags, rest = runtime.split { "--seed", "7", "town.lua" }`
function M.split(argv, from)
  local own, flags, rest, i = {}, {}, {}, from or 1
  for _, f in ipairs(M.list) do own[f.name] = f end
  local function set(f, value)
    if not f.list then
      flags[f.name] = value
      return
    end
    flags[f.name] = flags[f.name] or {}
    table.insert(flags[f.name], value)
  end
  table.move(argv, 1, i - 1, 1, rest)
  while i <= #argv do
    local word = argv[i]
    if word == "--" then
      table.move(argv, i, #argv, #rest + 1, rest)
      break
    end
    local name, eq, value = word:match "^%-%-([^=]+)(=?)(.*)$"
    local f = own[name]
    if not f then
      rest[#rest + 1] = word
    elseif eq == "=" then
      if not f.value then
        errors.raise("usage", ("--%s takes no value"):format(name))
      end
      if f.value == "required" and value == "" then
        errors.raise("usage", ("--%s wants a value: --%s %s"):format(name, name, f.placeholder))
      end
      set(f, value)
    elseif f.value == "required" then
      i = i + 1
      if argv[i] == nil or argv[i] == "--" then
        errors.raise("usage", ("--%s wants a value: --%s %s"):format(name, name, f.placeholder))
      end
      set(f, argv[i])
    else
      flags[name] = true
    end
    i = i + 1
  end
  return flags, rest
end

return M
