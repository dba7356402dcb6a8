--- Durable runs. A workflow is a function with a name. Each of its runs is recorded in a store; if its process is killed, it
--- continues where it stopped.
---
---     local order = stoke.workflow("order", function(input)
---       local id = stoke.step("reserve", function() return warehouse.reserve(input.item) end)
---       if not stoke.signal("paid", { timeout = 3 * 24 * 3600 }) then return "not paid" end
---       return clerk:run("Write a note for order " .. id).text
---     end)
---     stoke.main(function() print(order:start({ item = "lamp" }, { id = "order 17" }):await()) end)
---
--- The code is ordinary. The outcomes of its calls (models, tools, HTTP, files, the clock) are recorded; a resumed run gets the
--- recorded outcomes, without a call. An effect that must not happen twice (a POST, a tool, a program, a step) begins only when
--- its intent is on the disk. If the process is killed before the outcome is recorded, the run waits for a person to say what
--- happened. A tool or step that may be done twice says `idempotent = true`; one that can find out by itself has `reconcile`.
---
--- A run continues on its own code: its source files are kept with it. Unfinished runs continue by themselves when a script starts
--- that defines their workflow.

local effect = require "core.effect"
local errors = require "core.errors"
local scopes = require "core.scope"
local tasks = require "core.task"
local config = require "stoke.config"
local driver = require "core.driver.run"
local journals = require "core.journal"
local plain = require "core.journal.plain"
local runs = require "core.runs"
local log = require "stoke.log"

local M = {}

runs.setting = runs.setting or function() return config.get().store end
runs.engine = runs.engine or function() return config.get().engine end

local function perform(name, q, work) return errors.check(effect.perform(name, q, work)) end

local function check_id(id, what)
  if type(id) == "string" and id ~= "" then return end
  errors.argument("%s: the id must be a string that is not empty, got %s", what, errors.describe(id))
end

local function check_name(name, what)
  if type(name) == "string" and name ~= "" then return end
  errors.argument("%s: a name expected, got %s", what, errors.describe(name))
end

-- ---- a run --------------------------------------------------------------------------------------------------------------------

---@class stoke.run
---@field id string
local Run = {}
Run.__index = Run
Run.__name = "stoke.run"

--- Wait until the run has ended, in this process or another one.
---@return any result of its function
---Raises the error it ended with; `cancelled`; `in_doubt` or `parked` if it cannot continue by itself.
---
--- Example: `local note = order:start({ item = "lamp" }):await()`
function Run:await()
  scopes.check_self(self, Run, "run:await()")
  local ended = perform("run.await", { id = self.id })
  if ended.state == "done" then return ended.result end
  if ended.state == "cancelled" then
    errors.raise("cancelled", ("the awaited run %s was cancelled"):format(self.id), { cause = ended.error })
  end
  error(ended.error or errors.new("script", ("run %s failed"):format(self.id)), 0)
end

--- The state of the run.
---@return { id: string, workflow: string, state: string, waits?: string, created: number, changed: number, input: any, result: any,
---  error?: stoke.error, calls: integer, tokens: integer } state: running, waiting, parked, done, failed, cancelled
---
--- Example: `print(run:status().state)`
function Run:status()
  scopes.check_self(self, Run, "run:status()")
  return perform("run.status", { id = self.id })
end

--- Send a signal to the run, in this process or another one. It is stored until the run takes it.
---@param name string
---@param value any plain data
---Raises `argument`, `db`.
---
--- Example: `workflow.run(id):signal("paid", { cents = 1250 })`
function Run:signal(name, value)
  scopes.check_self(self, Run, "run:signal()")
  check_name(name, "run:signal")
  perform("run.send", { id = self.id, name = name, value = value })
end

--- Cancel the run, in this process or another one. Does nothing if it has ended.
---Raises `argument` for an unknown id, `db`.
---
--- Example: `workflow.run(id):cancel()`
function Run:cancel()
  scopes.check_self(self, Run, "run:cancel()")
  perform("run.cancel", { id = self.id })
end

function Run:__tostring() return "run " .. self.id end

--- A run by its id.
---@param id string
---@return stoke.run
---
--- Example: `print(workflow.run(id):status().state)`
function M.run(id)
  check_id(id, "workflow.run")
  return setmetatable({ id = id }, Run)
end

-- ---- a workflow ---------------------------------------------------------------------------------------------------------------

---@class stoke.workflow
---@field name string
local Workflow = {}
Workflow.__index = Workflow
Workflow.__name = "stoke.workflow"

--- Begin a run, or return the one with this id, whatever its state.
---@param input? any plain data: the argument of its function
---@param options? { id?: string } any bytes; default: random
---@return stoke.run
---Raises `argument`; `db` if the store cannot be written.
---
--- Example: `local run = order:start({ item = "lamp" }, { id = "order 17" })`
function Workflow:start(input, options)
  scopes.check_self(self, Workflow, "workflow:start()")
  options = errors.options(options, { id = "string" }, "workflow:start")
  if options.id ~= nil then check_id(options.id, "workflow:start") end
  return M.run(perform("run.start", { workflow = self.name, input = input, id = options.id }))
end

function Workflow:__tostring() return "workflow " .. self.name end

--- Define a workflow: a function whose runs are durable.
---@param name string by which a later process finds it
---@param f fun(input: any): any
---@param options? { code?: "own"|"latest" } own (default): a run continues on the sources it began with; latest: on newer ones, as
---  soon as they ask the same as far as it has come
---@return stoke.workflow
---Raises `argument`.
---
--- Example: `local order = stoke.workflow("order", function(input) return stoke.step("pay", pay) end)`
function M.define(name, f, options)
  check_name(name, "stoke.workflow")
  errors.check_callable(f, "stoke.workflow")
  options = errors.options(options, { code = "string" }, "stoke.workflow")
  if options.code and options.code ~= "own" and options.code ~= "latest" then
    errors.argument("stoke.workflow: code must be \"own\" or \"latest\", got %s", errors.describe(options.code))
  end
  runs.define(name, f, options)
  return setmetatable({ name = name }, Workflow)
end

-- ---- inside a run -------------------------------------------------------------------------------------------------------------

local STEP = { idempotent = "boolean", reconcile = "function", attempts = "number" }

--- Do something once: the result of the function is recorded, and a resumed run gets the recorded result. Also for slow
--- computations. Outside a run the function is simply called.
---@param name string
---@param f fun(step: { name: string, key?: string }): any key: the same text whenever this step of this run is done
---@param options? { idempotent?: boolean, reconcile?: fun(key: string): any, attempts?: integer } idempotent: doing it twice does
---  no harm; reconcile: asks the world after a crash, and returns the outcome, or nil if it was not done; attempts: how often it
---  is tried at most (1), with pauses of 0.5 s, doubled up to 30 s
---@return any result of the function
---Raises what the function raises, `argument`.
---
--- Example: `local id = stoke.step("reserve", function(step) return warehouse.reserve("lamp", step.key) end)`
function M.step(name, f, options)
  check_name(name, "stoke.step")
  errors.check_callable(f, "stoke.step")
  options = errors.options(options, STEP, "stoke.step")
  local attempts = options.attempts
  if attempts and not (math.tointeger(attempts) and attempts >= 1) then
    errors.argument("stoke.step: attempts must be a whole number of at least 1, got %s", errors.describe(attempts))
  end
  return perform("step", { name = name, idempotent = options.idempotent or nil, attempts = attempts and math.tointeger(attempts) },
    { f = f, reconcile = options.reconcile })
end

--- Wait for a signal to this run: one that was sent before, or the next. It is taken once.
---@param name string
---@param options? { timeout?: number } seconds, including those in which no process had the run
---@return any value nil: a signal without one, or none in time
---@return string|nil why "timeout"
---Raises `argument` outside a durable run, `cancelled`.
---
--- Example: `local payment, why = stoke.signal("paid", { timeout = days * 24 * 3600 })`
function M.signal(name, options)
  check_name(name, "stoke.signal")
  options = errors.options(options, { timeout = "number" }, "stoke.signal")
  if options.timeout then errors.check_seconds(options.timeout, "stoke.signal: timeout") end
  local signal, err = effect.perform("run.signal", { name = name, timeout = options.timeout })
  if err and err.kind == "timeout" then return nil, "timeout" end
  return errors.check(signal, err).value
end

local function name_of(continue, own)
  if continue == nil then return own end
  if type(continue) == "table" and getmetatable(continue) == Workflow then return continue.name end
  for name, definition in next, runs.defined do
    if definition.f == continue then return name end
  end
  errors.raise("argument", ("stoke.snapshot: a run goes on with a workflow, or the function of one, got %s")
    :format(errors.describe(continue)), { hint = "stoke.workflow(name, f) makes a function one that a later process finds" })
end

--- For runs that grow long: keep this state, drop what came before, and go on from the beginning of a workflow that gets the state
--- as its input. It takes effect when the function of the run returns, so write `return stoke.snapshot(...)`. Signals that nobody
--- has taken stay.
---@param state any plain data
---@param continue? stoke.workflow|function a workflow, or the function of one; default: that of the run
---@return nil
---Raises `argument` outside of a durable run, in the body of a tool or step, and where nothing is defined to go on with.
---
--- Example: `return stoke.snapshot({ day = input.day + 1, seen = seen })`
function M.snapshot(state, continue)
  local journal = journals.visible()
  local entry = journal and journal.entry
  if not entry then
    errors.raise("argument", "stoke.snapshot: only a durable run has what could be dropped",
      { hint = "it stands in the function of a workflow, in no tool and no step" })
  end
  local kept, odd = plain.copy(state)
  if odd then errors.argument("stoke.snapshot: the state must be plain data, and has something else in it") end
  local name = name_of(continue, entry.run.workflow)
  journal.anew = { state = kept, workflow = name, definition = runs.defined[name] }
  return nil
end

function journals.on_many(journal)
  tasks.spawn(log.warn, { system = true, name = "many effects" }, -- the run itself must not perform what its replay does not
    "a durable run has done 10,000 effects, which are all read again when it goes on in another process",
    { run = journal.run_id, hint = "return stoke.snapshot(state) drops what came before" })
end

--- Tell runs that began before a change of their code from those that began after it, in a workflow with code = "latest": false in
--- a run that had already passed this place when the change was made, else true.
---@param name string of the change
---@return boolean
---
--- Example: `if stoke.patched "ask twice" then second = critic:run(draft) end`
function M.patched(name)
  check_name(name, "stoke.patched")
  return driver.patched(name)
end

return setmetatable(M, { __call = function(_, ...) return M.define(...) end })
