-- stoke worker FILE: takes the runs of the file's workflows that hosts share, until SIGTERM hands them back.

local args = require "stoke.args"
local channel = require "core.channel"
local config = require "stoke.config"
local errors = require "core.errors"
local keeper = require "core.keeper"
local ordered = require "core.ordered"
local runs = require "core.runs"
local script = require "core.script"
local stdio = require "core.stdio"
local term = require "stoke.term"
local workers = require "core.runs.worker"
require "stoke.workflow"

local SPEC = {
  name = "stoke worker",
  summary = "Take the runs of a file's workflows, beside other hosts: each run is on one of them, and goes on elsewhere when that "
    .. "one is gone. It runs until it is stopped.",
  examples = {
    { "stoke worker --engine postgres://db/stoke farm.lua", "take the runs that any host begins with that engine" },
    { "stoke worker farm.lua", "with the engine of the settings, or STOKE_ENGINE" },
    { "stoke worker farm.lua --slots 8", "eight runs at once; those that wait for days do not count" },
    { "stoke worker farm.lua --drain 60", "SIGTERM gives runs a minute to end; then they go to other hosts" },
    { "stoke hosts", "who works, and on what" },
  },
  options = {
    { "engine", placeholder = "URL", help = "what the hosts share: postgres://, nats://, or local: on one machine" },
    { "name", placeholder = "NAME", help = "what stoke hosts calls it; else that of the machine and the process" },
    { "slots", type = "integer", default = workers.SLOTS, help = "runs at work at the same time" },
    { "drain", type = "number", default = workers.DRAIN, placeholder = "S", help = "seconds that runs get to end after SIGTERM" },
    { "lease", type = "number", default = workers.LEASE, placeholder = "S",
      help = "seconds after which the runs of a host that is gone are others'" },
    { "tries", type = "integer", default = workers.TRIES, placeholder = "N",
      help = "hosts that may be lost with a run that comes no further, before it is given up" },
  },
  positionals = { { "file", help = "the script that defines the workflows; its stoke.main is not called" } },
}

local EXITS = { [1] = 129, [2] = 130, [15] = 143 }

--- SIGTERM and Ctrl-C let runs end; a second signal ends the program.
local function on_signal(stopping)
  local asked = false
  return function(number, name)
    if not asked then
      asked = true
      stopping:send(true)
      return
    end
    keeper.on_signal = nil
    keeper.exit_code = EXITS[number] or 128 + number
    keeper.main:cancel(name)
  end
end

local function check(a)
  for _, name in ipairs { "slots", "lease", "tries" } do
    if a[name] < 1 then errors.raise("usage", ("--%s must be at least 1"):format(name)) end
  end
  if a.drain < 0 then errors.raise("usage", "--drain must not be below 0") end
  if a.engine then runs.engine = function() return a.engine end end
  if not runs.engine() then
    errors.raise("usage", "stoke worker wants an engine, which the hosts share",
      { hint = "--engine postgres://HOST/DATABASE, STOKE_ENGINE, or engine in the settings; local: is one on this machine" })
  end
end

local function taken()
  local names = {}
  for _, name in ipairs(ordered.names(runs.defined)) do
    if not runs.defined[name].prepare and not name:find "^main:" then names[#names + 1] = name end
  end
  return names
end

local function work(a, path)
  local names = taken()
  if not names[1] then
    errors.raise("usage", path .. " defines no workflow", { hint = "stoke.workflow(name, f) defines one" })
  end
  local stopping = channel.new(1)
  local _ <close> = setmetatable({}, { __close = function() keeper.on_signal = nil end })
  keeper.on_signal = on_signal(stopping)
  local worker = workers.start { name = a.name, slots = a.slots, lease = a.lease, tries = a.tries }
  stdio.err(("stoke: %s takes runs of %s from %s\n"):format(worker.name, table.concat(names, ", "), worker.engine.url))
  stopping:recv()
  stdio.err(("stoke: %s ends: %d run%s at work\n"):format(worker.name, worker.busy, worker.busy == 1 and "" or "s"))
  local back = worker:drain(a.drain)
  if back > 0 then stdio.err(term.clean(("stoke: %d run%s handed back\n"):format(back, back == 1 and " was" or "s were"))) end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  check(a)
  config.get() -- what is wrong with the settings is said before the file is run
  local cmd = require "stoke.cmd"
  cmd.host_name = a.name
  return cmd.run_file(a.file, {}, nil, function(path)
    return script.run_file(path, {}, function(body)
      body()
      script.main = nil
      return work(a, path)
    end)
  end)
end
