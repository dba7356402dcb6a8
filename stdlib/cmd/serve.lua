-- stoke serve FILE: the agents of a file as models, replaced as the file changes, until SIGTERM lets the turns end.

local args = require "stoke.args"
local channel = require "core.channel"
local errors = require "core.errors"
local keeper = require "core.keeper"
local metrics = require "stoke.metrics"
local offered = require "stoke.cmd.offered"
local reload = require "stoke.reload"
local registry = require "stoke.serve.registry"
local script = require "core.script"
local serve = require "stoke.serve"
local sessions = require "stoke.serve.sessions"
local spans = require "core.gate.span"
local stdio = require "core.stdio"

local SPEC = {
  name = "stoke serve",
  summary = "Serve the agents of a file as models, under Ollama's API and OpenAI's. Its first line is its address; it runs until "
    .. "stopped, and takes changes of the file as they are saved.",
  examples = {
    { "stoke serve agents/served.lua", "each agent of the file that has a name is a model" },
    { "stoke serve agents/served.lua --sim", "the same, answered by the built-in simulator" },
    { "stoke serve town.lua --models", "the models behind are offered beside the agents" },
    { "stoke serve --model qwen2.5:3b", "a model alone, through the pool and its settings" },
    { "stoke serve town.lua --port 0", "on any free port" },
    { "stoke serve town.lua --address 0.0.0.0 --token serve.key", "for other machines: the file of the token is made" },
    { "stoke serve town.lua --origin https://chat.example", "a page of the web may ask" },
  },
  options = {
    { "port", type = "integer", default = serve.PORT, help = "0 takes any free one" },
    { "address", default = "127.0.0.1", help = "others than loopback need a token" },
    { "token", placeholder = "FILE", help = "clients must send what is in FILE as their Bearer or API key; made where it is not "
      .. "there" },
    { "origin", type = "list", placeholder = "URL", help = "a page that may ask, may be repeated; * for any" },
    { "host", type = "list", placeholder = "NAME", help = "a name that clients on this machine ask for, beside localhost" },
    { "max-turns", type = "integer", default = serve.TURNS, help = "turns at once; more are told to come again" },
    { "drain", type = "number", default = 30, placeholder = "S", help = "how long turns may go on after SIGTERM" },
    { "models", type = "boolean", help = "offer the models behind, too: those of the default endpoint, and the "
      .. "routes of the settings" },
    { "model", type = "list", placeholder = "NAME", help = "offer this one (NAME, NAME@ENDPOINT, a route); may be repeated" },
    { "sessions", type = "integer", default = sessions.MOST, placeholder = "N", help = "conversations of clients that are kept, "
      .. "those that changed last; 0 keeps none" },
    { "quiet", type = "boolean", help = "do not tell clients what agents do, as thoughts" },
  },
  positionals = { { "file", optional = true, help = "the script: agents in its body, or those it returns" } },
}

local EXITS = { [1] = 129, [2] = 130, [15] = 143 }

--- SIGTERM lets turns end; another signal, or a second one, ends the program.
local function on_signal(stopping)
  local asked = false
  return function(number, name)
    if number == 15 and not asked then
      asked = true
      stopping:send(true)
      return
    end
    keeper.on_signal = nil
    keeper.exit_code = EXITS[number] or 128 + number
    keeper.main:cancel(name)
  end
end

local Restore = { __close = function()
  keeper.on_signal = nil
  reload.watch(false)
  script.end_timers()
end }

local function names_of(list)
  local names = {}
  for i, entry in ipairs(list) do names[i] = entry.name end
  return table.concat(names, ", ")
end

--- What a reload changed is told, and served.
local function follow(host)
  local before = names_of(host.registry.list)
  offered.follow(host.registry, "the models stay as they were", function()
    local now = names_of(host.registry.list)
    if now ~= before then stdio.err(("stoke: serving %s\n"):format(now == "" and "nothing" or now)) end
    before = now
  end)
end

local function given(list) return list and list[1] and list or nil end

--- What is served, in words.
local function served(host, a)
  local agents, models = names_of(host.registry.list), given(a.model)
  local behind = models and table.concat(models, ", ") or a.models and "the models behind" or ""
  return agents .. (agents ~= "" and behind ~= "" and ", " or "") .. behind
end

local function open(a, value)
  local options = { port = a.port, address = a.address, token_file = a.token, origins = given(a.origin), hosts = given(a.host),
    max_turns = a.max_turns, drain = a.drain, activity = not a.quiet, sessions = { most = a.sessions },
    models = given(a.model) or a.models or nil }
  local source = a.file and registry.of_file(a.file, value) or function() return {} end
  local ok, server, host = pcall(serve.open, serve.check(options), source)
  if ok then return server, host end
  local err = errors.wrap(server)
  if err.kind == "argument" then -- of the command line
    local hint = rawget(err, "hint")
    if hint and err.message:find("token", 1, true) then hint = "--token FILE, see --help" end
    errors.raise("usage", (err.message:gsub("^stoke%.serve: ", "")), { hint = hint })
  elseif err.kind == "usage" and script.main then
    err.hint = "agents that stoke.main makes are not seen: make them in the body of the file"
  end
  error(err, 0)
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  if not a.file and not a.models and not given(a.model) then
    errors.raise("usage", "stoke serve wants a FILE with agents",
      { hint = "ollama serve starts a model server, stoke sim the simulator" })
  end
  if a.file then
    local cmd = require "stoke.cmd"
    cmd.check_file(a.file)
    cmd.announce(a.file)
  end
  local stopping = channel.new(1)
  local _ <close> = setmetatable({}, Restore)
  keeper.on_signal = on_signal(stopping)
  reload.watch(true)
  if spans.on then metrics.start() end -- its turns are traced anyway
  local server <close>, host = open(a, a.file and script.run_body(a.file))
  follow(host)
  stdio.write(server.url .. "\n")
  stdio.err(("stoke: serving %s\n"):format(served(host, a)))
  stopping:recv()
  server:close()
end
