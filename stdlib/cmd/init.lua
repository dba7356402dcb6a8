-- stoke.cmd: the command line. Takes the runtime's own flags out of argv, puts them into force, then
-- runs a script or a verb. A verb is a module stdlib/cmd/VERB.lua returning `function(argv)`.

local approval = require "core.approval"
local cache = require "core.cache.settings"
local config = require "stoke.config"
local effect = require "core.effect"
local envfile = require "core.envfile"
local errors = require "core.errors"
local json = require "core.json"
local texts = require "core.text"
local keeper = require "core.keeper"
local log = require "stoke.log"
local overrun = require "core.overrun"
local runtime = require "stoke.cmd.flags"
local stdio = require "core.stdio"
local tasks = require "core.task"

local M = {}

function approval.asker(entry) require "stoke.approve".ask(entry) end

---The verbs in the order help shows them. `talks`: the verb speaks to a model server, so that --sim
---has a meaning; `serves`: its spans are kept unless the settings say no; `bare`: it works without reading any configuration;
---`lenient`: it goes on where a setting is wrong; `file`: its
---module, where that is not named like the verb.
M.verbs = {
  { name = "run", summary = "run a script (no FILE: ./main.lua)", usage = "run [FILE] [ARGS]",
    talks = true },
  { name = "repl", summary = "try things out at a prompt (what stoke alone does)", usage = "repl [FILE]",
    talks = true },
  { name = "chat", summary = "talk to a model in the terminal", usage = "chat [MODEL]",
    talks = true },
  { name = "models", summary = "list the models the server has, or has loaded",
    usage = "models [--loaded]", talks = true },
  { name = "pull", summary = "download a model", usage = "pull NAME", talks = true },
  { name = "estimate", summary = "how long a call would take", usage = "estimate MODEL [TEXT]", talks = true },
  { name = "runs", summary = "list the durable runs", usage = "runs [--status STATE]" },
  { name = "show", summary = "show what a durable run did, and what it waits for", usage = "show ID" },
  { name = "resume", summary = "continue a durable run, or all of them", usage = "resume ID|--all", talks = true },
  { name = "replay", summary = "repeat a durable run without a call", usage = "replay ID [--check|--to N]" },
  { name = "fork", summary = "make a new run from the first records of another", usage = "fork ID --at N" },
  { name = "diff", summary = "show where two durable runs differ", usage = "diff A B" },
  { name = "approve", summary = "approve or reject what a durable run waits for", usage = "approve ID" },
  { name = "resolve", summary = "say what happened to an effect in doubt", usage = "resolve ID --retry|--value JSON|--fail WHY" },
  { name = "prune", summary = "delete durable runs that have ended", usage = "prune --older AGE" },
  { name = "export", summary = "write a durable run into one file", usage = "export ID [FILE]" },
  { name = "sessions", summary = "list, show and delete the sessions that are kept", usage = "sessions [show|delete ID]" },
  { name = "cache", summary = "see what the cache of answers holds and has saved; forget or copy entries",
    usage = "cache [list|show ID|clear|...]" },
  { name = "trace", summary = "show what took how long in a run that was traced", usage = "trace [ID|last|list|diff A B]" },
  { name = "logs", summary = "show what was logged, with its traces", usage = "logs [ID|last] [--follow]" },
  { name = "sim", summary = "serve the built-in simulator on a port", usage = "sim [--port N]" },
  { name = "serve", summary = "serve the agents of a file as models", usage = "serve FILE", talks = true, serves = true },
  { name = "worker", summary = "take the runs of a file's workflows that hosts share", usage = "worker --engine URL FILE",
    talks = true },
  { name = "hosts", summary = "list the hosts that share runs", usage = "hosts [--engine URL]" },
  { name = "mcp", summary = "serve the tools and agents of a file by MCP, or use MCP servers",
    usage = "mcp FILE|list|inspect NAME|call NAME TOOL", talks = true },
  { name = "acp", summary = "put the agents of a file into an editor", usage = "acp FILE", talks = true },
  { name = "lsp", summary = "complete at the cursor in an editor", usage = "lsp FILE", talks = true },
  { name = "ps", summary = "list the running hosts", usage = "ps" },
  { name = "attach", summary = "look into a running host, or work in it", usage = "attach [NAME]" },
  { name = "top", summary = "watch a running host", usage = "top [NAME]" },
  { name = "page", summary = "show a running host, or a store, in a browser", usage = "page [NAME|FILE]" },
  { name = "test", summary = "run tests", usage = "test [FILES]" },
  { name = "eval", summary = "score the answers of an agent, or of several models", usage = "eval FILE", talks = true },
  { name = "batch", summary = "answer each row of a file once", usage = "batch FILE [AGENT.lua]", talks = true },
  { name = "bench", summary = "measure the pool beside a naive client", usage = "bench fuel", lenient = true },
  { name = "doctor", summary = "check the set-up and print every setting", usage = "doctor",
    talks = true, lenient = true },
  { name = "init", summary = "make a folder with an agent, its test and what an editor needs", usage = "init [FOLDER]",
    file = "scaffold", bare = true },
  { name = "completion", summary = "print completion for a shell", usage = "completion SHELL",
    talks = true },
  { name = "version", summary = "print the version", usage = "version", bare = true },
  { name = "help", summary = "show this, the help of a verb, a topic, or a name of the library", usage = "help [VERB|TOPIC|NAME]",
    bare = true },
}

local FLAGS = { "--help", "--version", "-V", "-e", "-h" }
for _, f in ipairs(runtime.list) do FLAGS[#FLAGS + 1] = "--" .. f.name end

---@param name string
---@return table|nil verb
function M.find(name)
  for _, v in ipairs(M.verbs) do if v.name == name then return v end end
end

---The function that a verb runs.
---@param verb table
---@return fun(argv: string[])
function M.command(verb)
  local run = require("stoke.cmd." .. (verb.file or verb.name))
  return type(run) == "table" and run.main or run
end

local function verb_names()
  local names = {}
  for i, v in ipairs(M.verbs) do names[i] = v.name end
  return names
end

-- A regular file that can be read: opening a folder works too, reading it does not.
local function is_file(path)
  local f = io.open(path, "rb")
  if not f then return false end
  local _, problem = f:read(0)
  f:close()
  return problem == nil
end

-- A record of the trace as one line. A request may hold what JSON cannot, and names and messages may be no UTF-8.
local function trace_line(record)
  local redact = require "core.redact"
  local plain = {}
  for name, value in next, record do
    if name ~= "request" then plain[name] = type(value) == "string" and texts.valid(redact.known(value)) or redact.clean(value) end
  end
  local request = record.request ~= nil and redact.json(record.request) -- nil: it holds what JSON cannot say
  if request then plain.request = json.decode(request) end
  return json.encode(plain)
end

--- Keep the spans of this process beside the store, where the command line or the settings ask for it; where they say nothing, a
--- verb that serves does.
local function keep_traces(flags, setting, serves)
  if setting == false and not flags.spans or not (setting or flags.spans or serves) then return end
  local given = type(setting) == "table" and setting or {}
  local bodies = given.bodies or flags.spans and flags["trace-bodies"] ~= nil
  local traces = require "core.traces"
  traces.keep { spans = given.spans, bodies = bodies }
  log.listen(traces.log)
end

--- Send them to a collector, where the environment names one (stdlib/traces/otlp.lua).
local function send_traces(setting)
  local named = os.getenv "OTEL_EXPORTER_OTLP_ENDPOINT" or os.getenv "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
  if not named and not os.getenv "OTEL_PROPAGATORS" then return end
  require "stoke.traces.otlp".from_environment(type(setting) == "table" and setting.bodies or false)
end

-- One JSON line per effect, written as the effect ends.
local function start_trace(path, bodies)
  local file, problem = io.open(path, "wb")
  if not file then errors.raise("usage", "cannot write the trace: " .. problem) end
  file:setvbuf "line"
  local span = require "core.gate.span"
  span.bodies = bodies
  span.listen(function(record)
    file:write(trace_line(record), "\n")
  end)
end

-- One quick question, without the retries a call has: this is asked before anything else runs.
local function server_answers()
  require "stoke.ollama"
  local _, err = effect.perform("llm.admin", { protocol = "ollama", method = "GET",
    path = "/api/version", once = true, aside = true, timeouts = { connect = 1, first_byte = 2 } })
  return err == nil
end

---Start the simulator behind the default endpoint where the settings ask for it.
local function simulate()
  local mode = config.get().sim
  if mode == "off" then return end
  if mode == "auto" then
    if config.endpoint_chosen() or server_answers() then return end
    stdio.err(("stoke: no Ollama at %s, using the built-in simulator (its answers"
      .. " are made by rules, not by a model)\n"):format(config.endpoint().url))
  end
  local answers, problem
  if config.is_sim_script(mode) then
    answers, problem = require "stoke.sim.script".load(mode)
    if problem then
      problem.message = ("%s: %s"):format(config.source "sim", problem.message)
      error(problem, 0)
    end
  end
  local url = require "stoke.sim".start_default(answers)
  config.use_endpoint("sim", url, config.source "sim", true)
end

---Put the runtime's flags into force.
---@param flags table<string, string|boolean|string[]> by name, as runtime.split gives them
---@param talks? boolean the work ahead speaks to a model server
---@param lenient? boolean wrong settings of the environment and the files are left out: config.problems() has them
---@param serves? boolean its spans are kept where nobody says otherwise
function M.apply(flags, talks, lenient, serves)
  if flags["env-file"] then envfile.load(flags["env-file"]) end
  config.load { flags = flags, problems = lenient and {} or nil }
  local c = config.get()
  log.configure { level = c.log.level, format = c.log.format }
  local pool = require "core.gate.pool"
  if next(c.pool) ~= nil then pool.configure(c.pool) end
  if c.pool.power then require "stoke.config.sensors".use(c.pool.power.sensors) end
  pool.store = c.store
  local kept = c.cache
  if kept ~= nil then cache.configure(kept, type(kept) == "table" and kept.bytes and overrun.bytes(kept.bytes) or nil) end
  overrun.limit_memory(overrun.bytes(c.max_memory))
  if flags.seed then
    local seed = math.tointeger(tonumber(flags.seed))
    if not seed then
      errors.raise("usage", ("--seed wants a whole number, got '%s'"):format(flags.seed))
    end
    require "core.random".seed(seed)
  end
  M.watch_at = flags["watch-at"]
  if flags.trace then
    start_trace(flags.trace, flags["trace-bodies"] ~= nil)
  elseif flags["trace-bodies"] and not flags.spans then
    errors.raise("usage", "--trace-bodies needs --trace FILE, or --spans")
  end
  if talks then
    local problems = lenient and config.problems()
    local ok, err = true, nil
    if problems then ok, err = pcall(simulate) else simulate() end -- a script of answers that cannot be read
    if not ok then problems[#problems + 1] = errors.wrap(err) end
  end
  keep_traces(flags, c.traces, serves) -- the simulator's own beginning is in no trace
  if talks then send_traces(c.traces) end
  if flags.metrics then require "stoke.metrics.flag".open(flags.metrics) end
end

--- Seconds a script lives before others can look into it: short ones pay nothing for it.
local UNSEEN = 0.5

--- Let others look into this host once it has lived for a moment (stdlib/attach.lua). Where that cannot be, the script goes on.
--- Where a page was asked for, it is served beside the script.
---@param path string the script, or what stands in its place
function M.announce(path)
  if M.watch_at then require "stoke.page.watch".open(M.watch_at) end
  local name = M.host_name or path:match "([^/]+)$":gsub("%.lua$", "")
  tasks.spawn(function()
    tasks.park("attach", UNSEEN)
    local _, err, has = require("stoke.attach").listen(name, path)
    if M.host_name and has and has ~= name then
      stdio.err(("stoke: another host is named %s; this one is %s\n"):format(name, has))
    end
    if err then log.debug("this host cannot be looked into", { error = err.message }) end
  end, { name = "attach", system = true })
end

--- Put the flags into force that a program gave which holds this host (lua/embedder.lua).
---@param words string[]
---Raises `usage` for what is no flag of the runtime.
function M.embed(words)
  local flags, rest = runtime.split(words)
  if rest[1] then
    errors.raise("usage", ("stoke_options.flags: %s is no flag of the runtime"):format(rest[1]),
      { hint = "stoke --help lists them" })
  end
  M.apply(flags, true)
end

local function tail(list, from) return table.move(list, from, #list, 1, {}) end

---Raises `usage` where there is no such file.
---@param path string
---@param hint? string
function M.check_file(path, hint)
  if not is_file(path) then errors.raise("usage", ("no file %s"):format(path), { hint = hint }) end
end

---Run a script: a path, "-" for standard input.
---@param path string
---@param argv string[] the script's own words
---@param flags? table runtime flags still to be put into force
---@param how? fun(path: string, argv: string[]) runs it in another way
function M.run_file(path, argv, flags, how)
  if path ~= "-" and not is_file(path) then
    local verb = errors.suggest(path, verb_names())
    local words = not path:find "%.lua$" and not path:find "/" and is_file "main.lua"
    M.check_file(path, verb and ("did you mean 'stoke %s'?"):format(verb)
      or words and ("words for ./main.lua follow its name: stoke main.lua %s"):format(path:find "[^%w]" and
        "'" .. path:gsub("'", "'\\''") .. "'" or path) or nil)
  end
  if flags then M.apply(flags, true) end
  M.announce(path)
  if how then return how(path, argv) end
  local script = require "core.script"
  if path == "-" then return script.run_string(stdio.read_all(), "=stdin", argv) end
  return script.run_file(path, argv)
end

---Run code given on the command line.
---@param argv string[] the code, then its words
function M.run_code(argv)
  if not argv[1] then errors.raise("usage", "-e wants code: stoke -e 'print(1 + 1)'") end
  if M.watch_at then require "stoke.page.watch".open(M.watch_at) end
  require "core.script".run_string(argv[1], "=-e", tail(argv, 2))
end

local function unknown_flag(word)
  local near = errors.suggest(word:match "^[^=]*", FLAGS)
  errors.raise("usage", ("unknown flag %s"):format(word), {
    hint = near and ("did you mean %s?"):format(near) or "stoke --help shows them all" })
end

--- What other programs call it: their verbs, and what does the same here.
M.elsewhere = {
  ls = "stoke models", list = "stoke models", tags = "stoke models", images = "stoke models",
  loaded = "stoke models --loaded", download = "stoke pull NAME", get = "stoke pull NAME",
  start = "stoke run FILE", exec = "stoke attach NAME",
  new = "stoke init FOLDER", create = "stoke init FOLDER",
  shell = "stoke repl", console = "stoke repl", prompt = "stoke repl", ask = "stoke chat MODEL",
  watch = "stoke run --watch FILE", dev = "stoke run --watch FILE", check = "stoke doctor", config = "stoke doctor",
  env = "stoke doctor", info = "stoke doctor", status = "stoke ps", inspect = "stoke attach NAME",
  stats = "stoke top", history = "stoke runs", timeline = "stoke show ID", reject = "stoke approve ID --reject WHY",
    man = "stoke help NAME", docs = "stoke help NAME",
  rm = "stoke -e 'require(\"stoke.ollama\").delete(\"NAME\")'",
}
-- Verbs of other programs, and verbs that do not exist.
local NOT_OURS = {
  stop = "Ctrl-C ends a host; ollama stop NAME, or ollama.unload, frees a model's memory",
  install = "modules come with luarocks: luarocks install --tree lua_modules NAME (stoke pull NAME downloads a model)",
}

local function unknown_word(word)
  local hint = M.elsewhere[word] and ("here it is: %s"):format(M.elsewhere[word]) or NOT_OURS[word]
  local near = not hint and errors.suggest(word, verb_names())
  errors.raise("usage", ("'%s' is neither a verb nor a file"):format(word), {
    hint = hint or near and ("did you mean 'stoke %s'?"):format(near)
           or "stoke --help shows the verbs; a script ends in .lua or is an existing file" })
end

--- The verbs that run what may have a world.
local RUNS = { run = true, repl = true, resume = true }

local function run_verb(verb, argv, flags)
  if flags["watch-at"] and not RUNS[verb.name] then
    errors.raise("usage", ("stoke %s has no world to show"):format(verb.name), { hint = "stoke run --watch-at 8080 FILE" })
  end
  if not verb.bare then
    local asks = argv[1] == "--help" or argv[1] == "-h"
    if not asks then M.apply(flags, verb.talks, verb.lenient, verb.serves) end
  end
  return M.command(verb)(argv)
end

-- Does the command line ask for JSON, and is that ours to answer? A script's own --json is the script's.
local function wants_json(argv)
  local first
  local i = 1
  while i <= #argv and argv[i] ~= "--" do
    local word = argv[i]
    local name = word:match "^%-%-([^=]+)$"
    local flag
    for _, f in ipairs(runtime.list) do flag = flag or f.name == name and f end
    if flag then
      i = i + (flag.value == "required" and 1 or 0)
    elseif word == "-e" or word == "-" then
      return false
    elseif first == nil and not word:find "^%-" then
      first = word
      if word == "run" or word == "repl" or word:find "/" or word:find "%.lua$" then return false end
      if not M.find(word) and is_file(word) then return false end
    elseif first and word == "--json" then
      return true
    end
    i = i + 1
  end
  return false
end

---Run a command line.
---
---The first word decides: a verb's name; else a script, if it ends in .lua, has a slash or is a
---file. So a file named like a verb is run as ./NAME.
---@param argv string[] the words after the program's name
---Raises `usage` for a command line that makes no sense; otherwise what the script or verb raises.
function M.main(argv)
  keeper.json = wants_json(argv)
  local flags, rest = runtime.split(argv)
  local first = rest[1]
  if first == "--" then
    rest = tail(rest, 2)
    first = rest[1]
    if not first then return run_verb(M.find "help", {}, flags) end
    return M.run_file(first, tail(rest, 2), flags)
  end
  if first == nil or first == "--no-history" then return run_verb(M.find "repl", rest, flags) end
  if first == "--help" or first == "-h" then
    return run_verb(M.find "help", tail(rest, 2), flags)
  elseif first == "--version" or first == "-V" then
    return run_verb(M.find "version", tail(rest, 2), flags)
  elseif first == "-e" then
    M.apply(flags, true)
    return M.run_code(tail(rest, 2))
  elseif first:find "^%-." then
    unknown_flag(first)
  end
  local verb = M.find(first)
  if verb then return run_verb(verb, tail(rest, 2), flags) end
  if first ~= "-" and not first:find "/" and not first:find "%.lua$" and not is_file(first) then
    unknown_word(first)
  end
  return M.run_file(first, tail(rest, 2), flags)
end

return M
