--- stoke.sim: a simulated Ollama. It speaks the native API with the original's framing, errors and
--- scheduler, and answers from a script or by simple rules. No model is behind the answers, and they say so.
---
---     local sim = require "stoke.sim"
---     local server <close> = sim.serve { mem = "ollama", models = { "qwen2.5:3b,tps=200" }, slots = 2 }
---     print(server.url)   --> http://ollama.mem
---
--- What happened is in GET /sim/ledger, or in server.sim.ledger.

local errors = require "core.errors"
local time = require "core.driver.time"
local ordered = require "core.ordered"
local api = require "stoke.sim.api"
local faults = require "stoke.sim.faults"
local habits = require "stoke.sim.habits"
local ledger = require "stoke.sim.ledger"
local models = require "stoke.sim.models"
local scheduler = require "stoke.sim.scheduler"
local script = require "stoke.sim.script"

local M = {}

---@class stoke.sim
---@field models table the models it has
---@field scheduler table the machine (stdlib/sim/scheduler.lua)
---@field ledger table counts of what happened
---@field handler fun(req: table, res: table) answers one HTTP request
---@field guarded boolean? it listens on loopback, and lets in only what is addressed to this machine
local Sim = {}
Sim.__index = Sim
Sim.__name = "stoke.sim"

local KEYS = {
  models = "table", slots = "number", max_loaded = "number", max_queue = "number", load_seconds = "number",
  tokens_per_second = "number", prefill = "number", keep_alive = "number", context = "number", gpus = "number",
  vram = "number", vram_wait = "number", ping = "number", pull_seconds = "number", script = "any", fault = "string",
  seed = "number", version = "string", like = "string", batch = "number", jitter = "number", seams = "table",
}

local function check(o, known, where)
  local names = ordered.names(known)
  local given = {}
  for k in pairs(o) do given[#given + 1] = tostring(k) end
  table.sort(given)
  for _, k in ipairs(given) do
    local want = known[k]
    if not want then
      local near = errors.suggest(k, names)
      errors.raise("argument", ("%s: unknown option '%s'"):format(where, k),
        { hint = near and ("did you mean '%s'?"):format(near) or nil })
    end
    if want ~= "any" and type(o[k]) ~= want then
      errors.argument("%s: option '%s' must be a %s, got a %s", where, k, want, type(o[k]))
    end
  end
end

local function check_fault(text, where)
  if text == nil then return end
  if faults.parse(text) then return end
  local near = errors.suggest((text:gsub(":.*$", "")), faults.NAMES)
  errors.raise("argument", ("%s: no fault '%s'"):format(where, text), {
    hint = near and ("did you mean '%s'?"):format(near) or "one of: " .. table.concat(faults.NAMES, " "),
  })
end

local function build_models(o, where)
  local defaults = { load = o.load_seconds, tps = o.tokens_per_second, prefill = o.prefill, modified = o.modified }
  local list, err, word = models.new(o.models, defaults)
  if list then
    for _, m in ipairs(list.list) do check_fault(m.fault, where .. ": model " .. m.name) end
    return list
  end
  local names = ordered.names(models.KEYS)
  local near = word and errors.suggest(word, names)
  return errors.raise("argument", where .. ": " .. err, {
    hint = near and ("did you mean '%s'?"):format(near) or word and "keys: " .. table.concat(names, " ") or nil,
  })
end

-- A generator of the simulator's own: the same seed gives the same bytes, whatever else draws
-- numbers.
local function generator(seed)
  local s = (seed ~ 0x9e3779b97f4a7c15)
  return function(n)
    s = s + 0x9e3779b97f4a7c15
    local z = (s ~ (s >> 30)) * 0xbf58476d1ce4e5b9
    z = (z ~ (z >> 27)) * 0x94d049bb133111eb
    return ((z ~ (z >> 31)) & 0x7fffffffffffffff) % n + 1
  end
end

-- A number from 0 to 1, the scheduler's luck: of its own, so that answers do not change it.
local function fraction(random)
  return function() return (random(1 << 24) - 1) / (1 << 24) end
end

local function default_seams()
  return { tasks = require "core.task", clock = time.monotonic, wall = time.wall,
    sha256 = function(s) return require("core.hash").sha256(s) end }
end

--- A simulator that listens nowhere yet: its `handler` can be given to any server.
---@private
---@param o table? see `serve`; without port, mem and address
---@return stoke.sim
---Raises `argument` for an unknown option, model key or fault.
---
--- Example: `local simulated = sim.new { models = { "tiny,tps=500" } }`
function M.new(o)
  o = o or {}
  check(o, KEYS, "sim.new")
  check_fault(o.fault, "sim.new")
  if o.script ~= nil and type(o.script) ~= "function" and type(o.script) ~= "table" then
    errors.argument("sim.new: option 'script' must be a function or a list of replies")
  end
  local own, unknown = habits.of(o.like)
  if not own then
    errors.raise("argument", "sim.new: " .. unknown, { hint = "one of: " .. table.concat(habits.NAMES, " ") ..
      ", or a whole version from 0.17.0 on" })
  end
  local seams = o.seams or default_seams()
  local seed = math.tointeger(o.seed or 1) or 1
  local self
  self = setmetatable({
    tasks = seams.tasks, time = seams.clock, wall = seams.wall, sha256 = seams.sha256, waiters = 0, answers = 0,
    ledger = ledger.new(), random = generator(seed), context = o.context or 4096,
    habits = own, version = o.version or own.version, pull_seconds = o.pull_seconds or 0.6, script = script.answerer(o.script),
    fault = o.fault, speed = 1, paced_at = 0, paced_from = 0, rests = 0, resting = setmetatable({}, { __mode = "k" }),
  }, Sim)
  -- The machine's clock: it stands still, or goes slowly, while the machine does (Sim:pace).
  self.clock = function() return self.paced_at + (self.time() - self.paced_from) * self.speed end
  self.models = build_models({ models = o.models, load_seconds = o.load_seconds, prefill = o.prefill,
    tokens_per_second = o.tokens_per_second, modified = self.wall() }, "sim.new")
  self.scheduler = scheduler.new {
    slots = o.slots, max_loaded = o.max_loaded, max_queue = o.max_queue, keep_alive = o.keep_alive, gpus = o.gpus,
    vram = o.vram, vram_wait = o.vram_wait, ping = o.ping, ledger = self.ledger, habits = own, batch = o.batch,
    jitter = o.jitter, random = fraction(generator(~seed)),
    wake = function(ticket) if ticket.task then self.tasks.wake(ticket.task) end end,
  }
  self.handler = function(req, res) return api.handle(self, req, res) end
  return self
end

--- The fault a request to a model meets: the model's own, else the server's.
---@private
function Sim:fault_for(model)
  local text = model.fault or self.fault
  if not text then return nil end
  local kind, rate = faults.parse(text)
  if rate < 1 and self.random(1000000) > rate * 1000000 then return nil end
  return kind
end

--- Ends the process of a loaded model, as a kill from outside would: what it works on breaks off.
---@param name string
---@return boolean was it loaded?
---
--- Example: `server.sim:kill_runner "qwen2.5:3b"`
function Sim:kill_runner(name)
  local model = self.models:find(name)
  local killed = model ~= nil and self.scheduler:kill_runner(model, self.clock())
  self:kick()
  return killed
end

--- Suspends the running handler.
---@private
function Sim:sleep(seconds) self.tasks.park("sim.sleep", seconds) end

--- Suspends the running handler for so many seconds of the machine's clock; it may be woken early.
---@private
---@param seconds number|nil nil: until it is woken
function Sim:rest(label, seconds)
  local task = self.tasks.current()
  self.rests = self.rests + 1
  self.resting[task] = self.rests
  self.tasks.park(label, seconds and self.speed > 0 and seconds / self.speed or nil)
  self.resting[task] = nil
end

--- How fast the machine works from now on. What the API answers at once (tags, ps) stays as fast as ever.
---@param speed number 1 as told; 0.1 ten times slower; 0: wedged, until a later call lets it go on
---
--- Example: `server.sim:pace(0)`
function Sim:pace(speed)
  if type(speed) ~= "number" or speed < 0 then errors.argument("sim:pace: a number of at least 0 expected") end
  local now = self.time()
  self.scheduler:advance(self.clock())
  self.paced_at, self.paced_from, self.speed = self.clock(), now, speed
  local resting = {}
  for task in pairs(self.resting) do resting[#resting + 1] = task end
  table.sort(resting, function(a, b) return self.resting[a] < self.resting[b] end) -- the same in each run of a test
  for _, task in ipairs(resting) do self.tasks.wake(task) end
  self:kick()
end

-- While a request waits for a grant, one host task drives the state machine; it ends with the last
-- waiter.
local NEAR = 1e-6 -- seconds

local UNDRIVEN = { __close = function(g) g.sim.driver = nil end }

local function drive(self)
  local _ <close> = setmetatable({ sim = self }, UNDRIVEN)
  while self.waiters > 0 do
    local due, now = self.scheduler:due(), self.clock()
    if not due or due - now > NEAR then
      self.tasks.park("sim.clock", due and self.speed > 0 and (due - now) / self.speed or nil)
    else
      self.scheduler:advance(math.max(due, now)) -- a clock rounds: what is due this instant is due
    end
  end
end

--- Wakes the driver of the state machine after a change.
---@private
function Sim:kick()
  if self.driver then
    self.tasks.wake(self.driver)
  elseif self.waiters > 0 then
    self.driver = self.tasks.spawn(drive, { name = "sim", system = true }, self)
  end
end

--- Serves a simulator over HTTP: on a port of this machine, or in this process alone.
---
---@param o table
---  port: integer, 0 = any free one; or mem: a name, for http://NAME.mem; address: what to listen
---  on (127.0.0.1); models: list of "NAME[,key=value...]" or tables (stdlib/sim/models.lua),
---  default a few plausible ones; slots per model (1); max_loaded models (3); max_queue of loads
---  (512); load_seconds; tokens_per_second (0 = at once); prefill, tokens per second of prompts;
---  keep_alive in seconds (300, negative = for ever); context, the default window (4096); gpus (1; 0
---  like 0.17); vram in bytes (no limit); vram_wait in seconds (0.25, none without a GPU); script
---  (stdlib/sim/script.lua); fault, one of faults.NAMES, "kind:0.1" for a tenth of the requests; seed
---  (1); like, whose habits it has: "0.17", "0.30" or a whole version (the newest); version, what it
---  says it is; batch, what each further stream of a model adds to a step, as a part of it (0.02; 0.33
---  without a GPU); jitter, seconds by which calls of one instant come apart (0; more like 0.17)
---@return table server url, port, sim, close(); may be a `<close>` variable
---Raises `argument`; what stoke.http.serve raises when the port is taken.
---
--- Example: `local server <close> = sim.serve { mem = "ollama", script = { "Hello!" } }`
function M.serve(o)
  local own, rest = { port = "number", mem = "string", address = "string" }, {}
  local listen = {}
  for k, v in pairs(o or {}) do
    if own[k] then listen[k] = v else rest[k] = v end
  end
  check(listen, own, "sim.serve")
  local sim = M.new(rest)
  local serve = require "stoke.http.serve"
  listen.handler, listen.system, listen.max_connections, listen.drain = sim.handler, true, 65536, 0
  listen.max_body = 1 << 30 -- the original has no limit
  listen.hosts, listen.origins = { "*" }, { "*" } -- front.lua judges them
  local inner = serve(listen)
  sim.guarded = not listen.mem and (listen.address or "127.0.0.1"):match "^127%." ~= nil or listen.address == "::1"
  return setmetatable({ url = inner.url, port = inner.port, sim = sim, inner = inner }, M.Server)
end

local Server = {}
Server.__index = Server
Server.__name = "stoke.sim.server"
M.Server = Server

--- Stops listening and cuts what is under way.
function Server:close()
  if self.closed then return end
  self.closed = true
  self.inner:close()
  self.sim:kick()
  local driver = self.sim.driver
  if driver then driver:await() end -- no waiter is left, so it ends
end

Server.__close = Server.close

local default

--- The simulator that stands in for a server behind --sim: in memory, started once. With a script it answers at once, where a
--- reply does not say how slowly.
---@private
---@param answers? function|table its script, when it is started
---@return string url
---
--- Example: `local url = sim.start_default()`
function M.start_default(answers)
  if not default or default.inner.closed then
    local haste = answers and 0 or nil
    default = M.serve { mem = "ollama", script = answers, tokens_per_second = haste, load_seconds = haste }
  end
  return default.url
end

return M
