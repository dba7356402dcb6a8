--- stoke.team.step: a member that is a function: a program that is run, a check, a question to a person. It is asked what a model
--- would be asked, and what it returns is what it says.
---
---     local tests = stoke.team.step { name = "tests", description = "runs the tests", run = function(question, state)
---       local r = stoke.proc.run { argv = { "make", "test" } }
---       return r.code == 0 and "all pass" or r.stdout
---     end }
---     local flow = stoke.team.graph { members = { coder, tests }, max_visits = 4, begin = "coder", edges = {
---       { "coder", "tests" }, { "tests", "coder", when = function(text) return text ~= "all pass" end } } }

local agents = require "stoke.agent"
local errors = require "core.errors"
local json = require "stoke.json"
local make = require "stoke.team.make"

local M = {}

local OPTIONS = { name = "string", description = "string", run = true }

--- What the running team is: a step that stands alone is in none.
local function state_of(run)
  local outer = run.outer
  while outer do
    if outer.talk then return outer.talk end
    outer = outer.outer
  end
end

--- What the function returned, as the text and the value of an answer.
local function said(label, agent, value)
  if type(value) == "string" then return value end
  if type(value) ~= "table" then
    errors.argument("%s: run must return a text, or a table of data, got %s", label, errors.describe(value))
  end
  if agent.output then agent.output:check(value) end
  return errors.check(json.encode(value)), value
end

--- The turn of a step: its function is called.
local function played(label, f)
  return function(run)
    local past = run.history
    local question = past[#past] and past[#past].content or ""
    local text, value = said(label, run.agent, f(question, state_of(run)))
    past:push { role = "assistant", content = text }
    run.last_text = text
    if run.listener then run.listener { type = "text", text = text } end
    return text, value, { reason = "stop", told = function() end }
  end
end

--- A member that is a function.
---@param given { name: string, description?: string, run: fun(question: string, state: stoke.team.state|nil): string|table } run:
---  gets what a model would be asked, and the team: state.turns is what was said, state.last.text the newest of it. A table is a
---  value, such as { faults = { ... }, good = false } of a critic
---@return stoke.agent step a member of teams, and whatever an agent is
---Raises `argument`.
---
--- Example: `local check = stoke.team.step { name = "check", run = function(text) return #text < 80 and "OK" or "long" end }`
function M.new(given)
  local where = "stoke.team.step"
  if type(given) ~= "table" then errors.argument("%s: a table expected, got %s", where, errors.describe(given)) end
  errors.options(given, OPTIONS, where)
  make.check_label(where, given.name)
  if given.name == nil then errors.argument("%s: name is missing: a member of a team needs one", where) end
  errors.check_callable(given.run, where .. ": run")
  local label = where .. " " .. given.name
  return agents.played { label = given.name, name = given.name, description = given.description, said = {},
    play = played(label, given.run), members = {}, about = function() return "step " .. given.name .. ": a function" end,
    first = function() errors.argument("%s is a function: no model is asked", label) end }
end

return M
