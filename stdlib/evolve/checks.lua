--- What a candidate has to pass before it is in service. Each check returns why it does not, or nil, and facts for the verdict.

local core = require "core.reload"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local runs = require "stoke.runs"
local service = require "stoke.evolve.service"
local worlds = require "stoke.evolve.world"

local M = {}

---@class stoke.evolve.job
---@field file string as the proposal names it
---@field path string from the working folder
---@field text string
---@field before string the text that is in service
---@field why? string
---@field tests string[]
---@field eval? string
---@field key string the same text at each try of the same proposal

--- Lines of a program's output in a verdict.
local LINES <const> = 12

--- The end of a text that may be long.
local function tail(text)
  local lines = {}
  for line in (text or ""):gmatch "[^\n]+" do lines[#lines + 1] = line end
  return table.concat(lines, "\n", math.max(#lines - LINES + 1, 1))
end

local function how(result)
  if result.timed_out then return "it had not ended in time" end
  return result.signal and ("it died of signal %s"):format(result.signal) or ("it ended with code %d"):format(result.code)
end

--- Does it compile, and is it another text?
function M.text(_, job)
  if job.text == job.before then return "it is the text that is in service" end
  local file = service.loaded(job.path) or { path = job.path }
  local _, err = core.compile(file, job.text)
  return err and err.message
end

--- Do programs say that it is right: a linter, a checker of types?
function M.commands(self, job)
  local world <close> = worlds.open(self, job, job.key)
  for _, argv in ipairs(self.commands) do
    local result = world:run(argv)
    if result.code ~= 0 then
      return ("%s: %s\n%s"):format(table.concat(argv, " "), how(result), tail(result.stdout .. result.stderr))
    end
  end
end

--- Do the tests pass?
function M.tests(self, job)
  local world <close> = worlds.open(self, job, job.key)
  local files = {}
  for i, path in ipairs(job.tests) do -- of a name with `*` there may be none
    if path == self.tests[i] or fs.stat(world.folder .. "/" .. path) then files[#files + 1] = path end
  end
  if not files[1] then return nil end
  local result = world:stoke("test", { "--json", table.unpack(files) })
  local facts, failed
  for line in result.stdout:gmatch "[^\n]+" do
    local record = json.decode(line)
    if type(record) == "table" and record.summary then
      facts = { passed = record.passed, failed = record.failed }
    elseif type(record) == "table" and record.outcome == "failed" then
      failed = failed or ("%s: %s: %s"):format(record.file, record.name, tail(record.message))
    end
  end
  if not facts then return ("the tests: %s\n%s"):format(how(result), tail(result.stderr)) end
  if failed or facts.failed > 0 or result.code ~= 0 then
    return failed or ("%d tests failed"):format(facts.failed), facts
  end
  if facts.passed == 0 then return "no test was run", facts end
  return nil, facts
end

-- ---- runs that were recorded --------------------------------------------------------------------------------------------------

local ENDED <const> = { "done", "failed" }

--- Runs that ended last, of other workflows than those of stoke.evolve.
local function last_runs(n)
  local list = {}
  for _, state in ipairs(ENDED) do
    for _, run in ipairs(runs.list { status = state, limit = n + 100 }) do
      if not run.workflow:find "^evolve " then list[#list + 1] = run end
    end
  end
  table.sort(list, function(a, b) return a.changed > b.changed end)
  local ids = {}
  for i = 1, math.min(n, #list) do ids[i] = list[i].id end
  return ids
end

--- Do runs that were recorded ask the same? Each is written to a file, with the candidate for its source, and done again from it in
--- the world, where nothing can be reached.
function M.replay(self, job)
  local ids = type(self.replay) == "table" and self.replay or last_runs(self.replay)
  local world <close> = worlds.open(self, job, job.key)
  local facts = { runs = #ids }
  for _, id in ipairs(ids) do
    runs.export(id, world.folder .. "/candidate.run", { texts = { [job.path] = job.text } })
    local result = world:stoke("replay", { "--json", "--check", "candidate.run" })
    local report = json.decode(result.stdout)
    if type(report) ~= "table" then return ("run %s: %s\n%s"):format(id, how(result), tail(result.stderr)), facts end
    if not report.same then return ("run %s: %s"):format(id, report.difference), facts end
  end
  return nil, facts
end

-- ---- an evaluation --------------------------------------------------------------------------------------------------------------

---@class stoke.evolve.figures of an evaluation, all variants together
---@field trials integer
---@field passed integer
---@field errors integer
---@field seconds number median of a trial, of the model's server
---@field tokens number mean of a trial
---@field failures { input: string, why: string }[] some of the trials that did not pass

--- Trials that did not pass, in a verdict at most.
local FAILURES <const> = 5

local function figures_of(reports)
  local out = { trials = 0, passed = 0, errors = 0, seconds = 0.0, tokens = 0.0, failures = {} }
  for _, report in ipairs(reports) do
    for _, trial in ipairs(report.trials) do
      if trial.status ~= "pass" and #out.failures < FAILURES then
        out.failures[#out.failures + 1] = { input = trial.label, why = trial.why }
      end
    end
    for _, one in ipairs(report.variants) do
      out.trials, out.passed, out.errors = out.trials + one.trials, out.passed + one.passed, out.errors + one.errors
      out.seconds = out.seconds + (one.p50 or 0) * one.trials
      out.tokens = out.tokens + ((one.input_tokens or 0) + (one.output_tokens or 0)) * one.trials
    end
  end
  if out.trials > 0 then out.seconds, out.tokens = out.seconds / out.trials, out.tokens / out.trials end
  return out
end

--- The exit code of a stoke that reaches no server.
local DEAD <const> = 4

--- Put a text to the cases. Exit code 1 says that it does not pass, which is judged here. nil, and why, where it could not be done.
local function measure(job, world, text)
  world:put(text)
  local result = world:stoke("eval", { "--json", "--fresh", "--store", ".stoke/state.db", job.eval }, { net = true })
  local reports = {}
  for line in result.stdout:gmatch "[^\n]+" do
    local report = json.decode(line)
    if type(report) == "table" and report.variants then reports[#reports + 1] = report end
  end
  if not reports[1] or result.timed_out or result.signal or result.code > 1 then
    return nil, ("the evaluation %s: %s\n%s"):format(job.eval, how(result), tail(result.stderr)), result.code == DEAD
  end
  return figures_of(reports)
end

local function present(job, world, text)
  local figures, why, dead = measure(job, world, text)
  if figures then return figures end
  errors.raise(dead and "refused" or "script", "what is in service cannot be evaluated: " .. why)
end

--- The figures of what is in service.
function M.measure(self, job)
  local world <close> = worlds.open(self, job, job.key)
  return present(job, world, job.text)
end

local function slower(self, before, after)
  for _, limit in ipairs { { self.slower, "seconds", "%.3g s a trial in place of %.3g s" },
    { self.tokens, "tokens", "%.4g tokens a trial in place of %.4g" } } do
    local most, name, words = table.unpack(limit)
    if most and after[name] > before[name] * most then
      return words:format(after[name], before[name]) .. (", more than %g times as much"):format(most)
    end
  end
end

--- Is it as good as what is in service, by the same cases?
function M.eval(self, job)
  local world <close> = worlds.open(self, job, job.key)
  local before = present(job, world, job.before)
  local after, broken = measure(job, world, job.text)
  if not after then return broken end
  local facts = { before = before, after = after }
  if after.errors > before.errors then
    return ("%d trials could not be made, %d before"):format(after.errors, before.errors), facts
  end
  local cases = ("%d of %d cases pass, %d did before"):format(after.passed, after.trials, before.passed)
  if after.passed < before.passed or self.better and after.passed == before.passed then return cases, facts end
  return slower(self, before, after), facts
end

return M
