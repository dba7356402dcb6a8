--- stoke.eval: how good are the answers of an agent, and which model is enough? Cases, what answers them, and scorers; `stoke eval
--- FILE` runs what the file returns, says how sure the figures are, and compares them with those of the last run.
---
---     return stoke.eval {
---       name = "tickets", run = clerk,                                   -- an agent, or function(case, set) ... end
---       cases = "tickets.csv",                                           -- columns input and expected; or a list, or JSON lines
---       grid = { model = { "qwen2.5:0.5b", "qwen2.5:3b" } },             -- each with each
---       scorers = { stoke.eval.equal { case = false } },
---       threshold = 0.9,                                                 -- exit code 1 below it
---     }
---
--- A trial is one answer to one case. It passes if all scorers pass; it is an error, and never a pass, where the answer could not
--- be had or judged. What a model did wrong (an answer that does not fit its schema, that never ends) fails.

local budgets = require "core.gate.budget"
local cases = require "stoke.eval.cases"
local errors = require "core.errors"
local judge = require "stoke.eval.judge"
local run = require "stoke.eval.run"
local scopes = require "core.scope"
local scorers = require "stoke.eval.scorers"
local variants = require "stoke.eval.variants"

local M = {}

-- Each is documented where it is written.
M.equal, M.contains, M.near, M.schema = scorers.equal, scorers.contains, scorers.near, scorers.schema
M.judge, M.prefer = judge.judge, judge.prefer

---@class stoke.eval
---@field name string
---@field cases stoke.eval.case[]
---@field variants stoke.eval.variant[]
---@field scorers stoke.eval.scorer[]
local Eval = {}
Eval.__index = Eval
Eval.__name = "stoke.eval"
M.Eval = Eval

---@class stoke.eval.definition
---@field name? string under which its runs are kept ("eval"; of `stoke eval FILE` the name of the file)
---@field cases table[]|string a list of { input =, expected =, id = }, of texts, or a file: .csv, .tsv, .jsonl, .json; it is looked
---  for beside the script, then in the present folder
---@field columns? table<string, string> what a file calls them: { input = "question", expected = "answer" }
---@field run stoke.agent|fun(case: stoke.eval.case, set: table): any what answers: an agent is given `case.input`; a function gives
---  a result of agent:run, or the answer itself
---@field grid? table<string, any[]>|table[] what is varied: values by name, each with each, or a list of settings. Of an agent:
---  model, endpoint, think, instructions, max_steps, repair, sampling, route, and options of calls (temperature ...); a function is
---  given the settings
---@field scorers stoke.eval.scorer|function|table functions are given (case, output, result), and return a boolean or a number from
---  0 to 1, and why
---@field repeats? integer attempts at each case (1)
---@field threshold? number the share that must pass, from 0 to 1; with a grid one variant must
---@field timeout? number seconds of a trial; longer ones fail
---@field at_once? integer trials at once (8); the pool orders their calls
---@field budget? { tokens?: integer, calls?: integer, seconds?: number } of the whole run, judges included
---@field deadline? number seconds of the whole run
---@field cost? fun(usage: { input_tokens: integer, output_tokens: integer, calls: integer, seconds: number }, set: table): number
---  what a trial costs (its seconds)

local OPTIONS = { name = "string", cases = true, columns = "table", run = true, grid = true, scorers = true, repeats = "number",
  threshold = "number", timeout = "number", at_once = "number", budget = "table", deadline = "number", cost = "function" }

local function whole(where, name, value, most)
  if value ~= nil and (math.type(value) ~= "integer" or value < 1 or value > most) then
    errors.argument("%s: %s must be a whole number from 1 to %d, got %s", where, name, most, tostring(value))
  end
end

--- Trials at once where nobody says. More make each slower, where a server has few slots, and the figures of latency with them.
local AT_ONCE <const> = 8

local function check(where, o)
  if o.cases == nil then errors.argument("%s: cases is missing", where) end
  if o.scorers == nil then
    errors.raise("argument", where .. ": scorers is missing",
      { hint = "scorers = { stoke.eval.equal() } compares with `expected`" })
  end
  if not variants.is_agent(o.run) and not errors.callable(o.run) then
    errors.argument("%s: run must be an agent, or function(case, set), got %s", where, errors.describe(o.run))
  end
  whole(where, "repeats", o.repeats, 1000)
  whole(where, "at_once", o.at_once, 10000)
  if o.threshold ~= nil and not (o.threshold >= 0 and o.threshold <= 1) then
    errors.argument("%s: threshold must be from 0 to 1, got %s", where, tostring(o.threshold))
  end
  for _, name in ipairs { "timeout", "deadline" } do
    if o[name] ~= nil and not (o[name] > 0) then
      errors.argument("%s: %s must be seconds above 0, got %s", where, name, tostring(o[name]))
    end
  end
  if o.budget then budgets.check(o.budget, where .. ": budget") end
end

--- Define an evaluation. Nothing is asked yet.
---@param given stoke.eval.definition
---@return stoke.eval
---Raises `argument`; for a file of cases `protocol`, `os`, `denied`.
---
--- Example: `local sums = stoke.eval { cases = { { input = "2 + 2", expected = 4 } }, run = bot, scorers = { stoke.eval.near() } }`
function M.new(given)
  local o = errors.options(given, OPTIONS, "stoke.eval")
  local where = "stoke.eval" .. (o.name and " " .. o.name or "")
  if o.name ~= nil and (o.name == "" or #o.name > 80 or not o.name:find "^[%w_][%w_. -]*$") then
    errors.argument("stoke.eval: the name must be letters, digits, `_`, `-`, `.` or blanks, at most 80; got %q", o.name)
  end
  check(where, o)
  return setmetatable({ name = o.name or "eval", named = o.name ~= nil, cases = cases.list(where, o.cases, o.columns),
    run_with = o.run, grid = o.grid, variants = variants.list(where, o.grid), scorers = scorers.list(where, o.scorers),
    repeats = o.repeats or 1, threshold = o.threshold, timeout = o.timeout, at_once = o.at_once or AT_ONCE, budget = o.budget,
    deadline = o.deadline, cost = o.cost }, Eval)
end

--- Run it, and report. With a file each trial is kept as it ends: a run that was stopped goes on where it was if it asks the same
--- by the same code, and the report compares with the last run that has ended.
---@param options? stoke.eval.options
---@return stoke.eval.report report plain data; `stoke.eval.text(report)` draws it
---Raises `argument` for settings that the agent cannot have, `usage`, `db`, `cancelled`, and the first error of a trial where
---nothing at all was answered (`refused`: the server is dead). Other errors of trials are in the report; the end of the budget or
---the deadline is its `stopped`.
---
--- Example: `local report = tickets:run()  print(report.variants[1].rate, report.passed)`
function Eval:run(options)
  scopes.check_self(self, Eval, "eval:run()")
  local made <close> = run.begin(self, options)
  made:go()
  if made.err and not made:answered() then error(made.err, 0) end
  return made:report()
end

--- A report as a text for the terminal.
---@param report stoke.eval.report
---@param options? { columns?: integer, failures?: integer } columns: how wide a line may be (100); failures: so many trials that
---  did not pass are shown (10)
---@return string
---Raises `argument`.
---
--- Example: `io.write(stoke.eval.text(tickets:run()))`
function M.text(report, options)
  local o = errors.options(options, { columns = "number", failures = "number" }, "eval.text")
  if type(report) ~= "table" or type(report.variants) ~= "table" then
    errors.argument("eval.text: a report of eval:run is expected, got %s", errors.describe(report))
  end
  return require "stoke.eval.words".report(report, o)
end

--- A report as XML that CI systems read as the results of tests (JUnit's).
---@param report stoke.eval.report
---@return string
---Raises `argument`.
---
--- Example: `stoke.fs.write("evaluation.xml", stoke.eval.junit(report))`
function M.junit(report)
  if type(report) ~= "table" or type(report.variants) ~= "table" then
    errors.argument("eval.junit: a report of eval:run is expected, got %s", errors.describe(report))
  end
  return require "stoke.eval.junit".text { report }
end

return setmetatable(M, { __call = function(_, given) return M.new(given) end })
