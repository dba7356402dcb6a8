--- Durable runs. A workflow is a function with a name; each of its runs is kept in a store, and goes on where it stood when its
--- process is killed.
---
---     local order = stoke.workflow("order", function(input)
---       local id = stoke.step("reserve", function() return warehouse.reserve(input.item) end)
---       if not stoke.signal("paid", { timeout = 3 * 24 * 3600 }) then return "not paid" end
---       return clerk:run("Write a note for order " .. id).text
---     end)
---     stoke.main(function() print(order:start({ item = "lamp" }, { id = "order 17" }):await()) end)
---
--- The code is ordinary. What its calls of models, tools, HTTP, files and the clock give is recorded, and when the run goes on the
--- recorded is given again, without a call. What cannot be done twice (a POST, a tool, a program, a step) is begun once its intent
--- is on the disk; where the process is killed in between, the run waits for a person who says what came of it. A tool or step that
--- may be done again says `idempotent = true`, one that can find out has `reconcile`.
---
--- A run goes on on its own code: its sources are kept with it. Runs that were left go on by themselves when a script starts that
--- defines their workflow.

local effect = require "core.effect"
local errors = require "core.errors"
local frames = require "core.frame"
local scopes = require "core.scope"
local config = require "stoke.config"
local driver = require "core.driver.run"
local runs = require "core.runs"

local M = {}

runs.setting = runs.setting or function() return config.get().store end

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

--- Wait until the run has ended, in whichever process it lives.
---@return any what its function returned
---Raises what it ended with; `cancelled`; `in_doubt` or `parked` where it goes no further by itself.
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

--- How the run stands.
---@return { id: string, workflow: string, state: string, waits?: string, created: number, changed: number, input: any, result: any,
---  error?: stoke.error, calls: integer, tokens: integer } state: running, waiting, parked, done, failed, cancelled
---
--- Example: `print(run:status().state)`
function Run:status()
  scopes.check_self(self, Run, "run:status()")
  return perform("run.status", { id = self.id })
end

--- Send a signal to the run, in whichever process it lives. It is kept until the run takes it.
---@param name string
---@param value any plain data
---
--- Example: `workflow.run(id):signal("paid", { cents = 1250 })`
function Run:signal(name, value)
  scopes.check_self(self, Run, "run:signal()")
  check_name(name, "run:signal")
  perform("run.send", { id = self.id, name = name, value = value })
end

--- Cancel the run, in whichever process it lives.
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

--- Begin a run. With the id of a run that is there: that run, whatever its state.
---@param input? any plain data: what its function is called with
---@param options? { id?: string } any bytes; made when not given
---@return stoke.run
---Raises `argument`; `db` where the store cannot be written.
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
---@param options? { code?: "own"|"latest" } own (the default): a run goes on on the sources it was begun with
---@return stoke.workflow
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

--- Do something once: what the function returns is recorded, and a run that goes on gets that instead. Also for what is slow to
--- compute. Outside of a run it is just done.
---@param name string
---@param f fun(step: { name: string, key?: string }): any key: the same text each time this step of this run is done
---@param options? { idempotent?: boolean, reconcile?: fun(key: string): any, attempts?: integer } idempotent: doing it twice does
---  no harm; reconcile: asked after a crash what came of it (nil: it was not done); attempts: on an error
---@return any
---Raises what the function raises.
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
  local frame <close> = frames.any and frames.enter("step", name) or nil -- luacheck: ignore
  return perform("step", { name = name, idempotent = options.idempotent or nil, attempts = attempts and math.tointeger(attempts) },
    { f = f, reconcile = options.reconcile, site = errors.site() })
end

--- Wait for a signal to this run: one that was sent before, or the next. It is taken once.
---@param name string
---@param options? { timeout?: number } seconds, also those in which no process had the run
---@return any value nil: a signal without one, or none in time
---@return string|nil why "timeout"
---Raises `argument` outside of a durable run.
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

--- Tell runs that were begun before a change of their code from those begun after it, where a workflow has code = "latest": false
--- in a run whose journal has passed this place without it, else true.
---@param name string of the change
---@return boolean
---
--- Example: `if stoke.patched "ask twice" then second = critic:run(draft) end`
function M.patched(name)
  check_name(name, "stoke.patched")
  return driver.patched(name)
end

return setmetatable(M, { __call = function(_, ...) return M.define(...) end })
