-- stoke eval FILE: runs the evaluations that a file returns, reports, and compares with the last run.

local args = require "stoke.args"
local cassette = require "stoke.test.cassette"
local config = require "stoke.config"
local errors = require "core.errors"
local eval = require "stoke.eval"
local fs = require "stoke.fs"
local junit = require "stoke.eval.junit"
local output = require "stoke.runs.output"
local place = require "core.store.place"
local rand = require "stoke.rand"
local random = require "core.random"
local runs = require "stoke.eval.run"
local kept = require "stoke.eval.kept"
local scopes = require "core.scope"
local script = require "core.script"
local show = require "stoke.show"
local stdio = require "core.stdio"
local term = require "stoke.term"
local testbed = require "core.testbed"
local time = require "stoke.time"
local variants = require "stoke.eval.variants"

local SPEC = {
  name = "stoke eval", summary = "Put cases to an agent, or to each model of a grid, score the answers, and compare with the last "
    .. "run. Exit code 1: below the threshold, worse than before, or errors.",
  examples = { { "stoke eval tickets_eval.lua", "what the file says; a run that was stopped goes on" },
               { "stoke eval tickets_eval.lua -m qwen2.5:0.5b,qwen2.5:3b", "the same with two models" },
               { "stoke eval tickets_eval.lua --grid temperature=0,0.8 --repeats 5", "each setting, five attempts at each case" },
               { "stoke eval tickets_eval.lua --threshold 0.9 --junit eval.xml", "for CI" },
               { "stoke eval tickets_eval.lua --record", "write the answers of the servers to cassettes/" },
               { "stoke eval tickets_eval.lua --replay", "and run offline from there" },
               { "stoke eval tickets_eval.lua --list", "the runs that are kept" } },
  options = { { "model", short = "m", placeholder = "A,B", help = "these models: --grid model=A,B" },
              { "grid", type = "list", placeholder = "NAME=V,V", help = "vary a setting; may be repeated, each with each" },
              { "repeats", type = "integer", placeholder = "N", help = "attempts at each case" },
              { "threshold", type = "number", placeholder = "SHARE", help = "the share that must pass, from 0 to 1" },
              { "filter", short = "f", placeholder = "TEXT", help = "only cases with this text, or of this id; not kept" },
              { "limit", short = "n", type = "integer", help = "only so many cases; not kept" },
              { "fresh", type = "boolean", help = "begin anew where a run was stopped" },
              { "compare", placeholder = "RUN", help = "with this run in place of the last one; none: with no run" },
              { "failures", type = "integer", default = 10, help = "so many trials that did not pass are shown" },
              { "record", type = "boolean", help = "keep what model servers and web servers answer in a cassette beside the file" },
              { "replay", type = "boolean", help = "take the answers from the cassette; nothing is asked" },
              { "junit", placeholder = "FILE", help = "write the trials as XML for CI" },
              { "json", type = "boolean", help = "JSON: one report a line, with all trials" },
              { "list", type = "boolean", help = "show the runs that are kept, and run nothing" } },
  positionals = { { "file", help = "a script that returns stoke.eval { ... }, or a list of them" } },
}

-- ---- the file -----------------------------------------------------------------------------------------------------------------

local function is_eval(value) return getmetatable(value) == eval.Eval end

--- The evaluations that a file returns.
local function evaluations_of(path, value)
  local list = is_eval(value) and { value } or type(value) == "table" and value or {}
  for _, one in ipairs(list) do
    if not is_eval(one) then list = {} end
  end
  if #list == 0 then
    errors.raise("usage", ("%s returns no evaluation"):format(show.word(path)),
      { hint = "its last line: return stoke.eval { ... }" })
  end
  local base, seen = path:match "([^/]*)%.lua$" or path:match "[^/]*$", {}
  for i, one in ipairs(list) do
    if not one.named then one.name = #list > 1 and ("%s-%d"):format(base, i) or base end
    if seen[one.name] then errors.raise("usage", ("%s has two evaluations named %s"):format(show.word(path), one.name)) end
    seen[one.name] = true
  end
  return list
end

local function value_of(word)
  if word == "true" then return true end
  if word == "false" then return false end
  return tonumber(word) or word
end

local function values_of(option, text)
  local list = {}
  for word in text:gmatch "[^,]+" do list[#list + 1] = option == "model" and word or value_of(word) end
  if #list == 0 then errors.raise("usage", ("--%s wants values with commas between them"):format(option)) end
  return list
end

--- What the command line says goes before what the file says.
local function adjust(one, a)
  local grid = {}
  for _, text in ipairs(a.grid or {}) do
    local name, values = text:match "^([%a_][%w_]*)=(.+)$"
    if not name then errors.raise("usage", ("--grid wants NAME=V,V, got %s"):format(show.word(text))) end
    grid[name] = values_of(name, values)
  end
  if a.model then grid.model = values_of("model", a.model) end
  if next(grid) ~= nil then
    for name, values in next, one.grid and one.grid[1] == nil and one.grid or {} do grid[name] = grid[name] or values end
    one.variants = variants.list("stoke eval", grid)
  end
  one.repeats, one.threshold = a.repeats or one.repeats, a.threshold or one.threshold
end

-- ---- running ------------------------------------------------------------------------------------------------------------------

local function cassette_path(path, one)
  return ("%scassettes/%s.eval.jsonl"):format(path:match "^(.*/)" or "", (one.name:lower():gsub("%s+", "-")))
end

--- Records what f asks, or answers it from the cassette.
local function with_cassette(a, one, f)
  if not (a.record or a.replay) then return f() end
  local path, problems = cassette_path(a.file, one), {}
  local function again(flags) return ("stoke eval %s "):format(show.word(a.file)) .. flags end
  local tape
  if a.record then
    tape = cassette.record(path, one.name, random.seeded or 1)
  else
    tape = cassette.load(path, again, problems)
    if not tape then
      errors.raise("usage", "there is no cassette " .. show.word(path), { hint = "record it, with the server running: "
        .. again "--record" })
    end
    testbed.enter(false, tape.start, true) -- its times pass at once
  end
  local _ <close> = setmetatable({}, { __close = function()
    if a.replay then testbed.leave() end
  end })
  rand.seed(tape.seed or random.seeded or 1)
  local report, err
  do
    local scope <close> = scopes.open { tape = tape } -- luacheck: ignore
    report, err = f()
  end
  if a.record and not report.stopped then
    stdio.err(("recorded %s, %d requests\n"):format(show.word(path), tape:save()))
  elseif a.record then
    stdio.err "the cassette was not written: the run was stopped\n"
  end
  if problems[1] then report.why[#report.why + 1], report.passed = problems[1], false end
  return report, err
end

local function store_path(a)
  local path = (config.get().store or place.path(a.file)):gsub("[^/]*$", "evals.db")
  if (a.replay or a.list or a.filter or a.limit) and not fs.stat(path) then return nil end -- nothing is to be written
  return path
end

local function options_of(a, bar)
  local compare = a.compare
  if compare == "none" then compare = false end
  return { file = store_path(a), fresh = a.fresh or a.record, keep = not a.replay, filter = a.filter, limit = a.limit,
    compare = compare, patient = a.record or a.replay, code = runs.code(),
    progress = function(done, total, trial)
      if trial.status == "error" then bar.failed = bar.failed + 1 end
      bar.line:update(bar.failed > 0 and ("%s, %d errors"):format(bar.name, bar.failed) or bar.name, done, total)
    end }
end

--- What there is of a run that is stopped is shown, and how it goes on.
local function on_stop(made, a, line)
  return setmetatable({}, { __close = function(_, err)
    line:finish()
    local reason = err ~= nil and errors.wrap(err)
    if not reason or reason.kind ~= "cancelled" or made.done == 0 then return end
    made.stopped = reason
    stdio.err(eval.text(made:report(), { failures = 0 }))
    if made.id then stdio.err(("stopped; stoke eval %s goes on with the rest\n"):format(show.word(a.file))) end
  end })
end

local function run(one, a)
  local bar = { name = one.name, failed = 0, line = term.progress { unit = "trials" } }
  return with_cassette(a, one, function()
    local made <close> = runs.begin(one, options_of(a, bar))
    if made.kept > 0 then stdio.err(("%s: goes on with run %d, %d of %d trials are there\n"):format(one.name, made.id, made.kept,
      made.total)) end
    if made.busy then stdio.err(("%s: another process runs it, too; this is a run of its own\n"):format(one.name)) end
    if made.changed then stdio.err(("%s: the last run was stopped; what it asked has changed, so this one begins anew\n"):format(
      one.name)) end
    local _ <close> = on_stop(made, a, bar.line)
    made:go()
    local report = made:report()
    if made.stopped and made.id then report.hint = ("stoke eval %s goes on with the rest"):format(show.word(a.file)) end
    return report, not made:answered() and made.err or nil
  end)
end

-- ---- what is shown ------------------------------------------------------------------------------------------------------------

local function list(evaluations, a)
  local path, rows = store_path(a), { { "EVALUATION", "RUN", "BEGAN", "PASSED", "ERRORS", "TRIALS", "" } }
  for _, one in ipairs(path and evaluations or {}) do
    local store <close> = kept.open(path, one.name)
    for _, row in ipairs(store:list()) do
      rows[#rows + 1] = { one.name, row.id, term.duration(math.max(time.now() - row.began, 0)) .. " ago", row.passed, row.errors,
        row.trials, row.ended == nil and "stopped" or "" }
    end
  end
  if a.json then
    for i = 2, #rows do
      local name, id, _, passed, failed, trials, state = table.unpack(rows[i])
      output.print_json { name = name, run = id, passed = passed, errors = failed, trials = trials, stopped = state ~= "" }
    end
  elseif #rows == 1 then
    stdio.err "no run is kept yet\n"
  else
    term.table(rows)
  end
end

local function check(a)
  if a.record and a.replay then errors.raise("usage", "either --record or --replay") end
  if a.compare and a.compare ~= "none" then
    a.compare = math.tointeger(tonumber(a.compare))
      or errors.raise("usage", "--compare wants the number of a run, or none", { hint = "--list shows them" })
  end
  for _, name in ipairs { "repeats", "limit" } do
    if a[name] and a[name] < 1 then errors.raise("usage", ("--%s wants at least 1"):format(name)) end
  end
  if a.threshold and not (a.threshold >= 0 and a.threshold <= 1) then
    errors.raise("usage", "--threshold wants a share from 0 to 1")
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  check(a)
  local cmd = require "stoke.cmd"
  cmd.check_file(a.file)
  if not (a.replay or a.list) then cmd.announce(a.file) end
  local _ <close> = setmetatable({}, { __close = script.end_timers })
  local evaluations = evaluations_of(a.file, script.run_body(a.file))
  if a.list then return list(evaluations, a) end
  local reports, passed, failed = {}, true, nil
  for i, one in ipairs(evaluations) do
    adjust(one, a)
    local report, err = run(one, a)
    reports[i], passed, failed = report, passed and report.passed, failed or err
    if a.json then output.print_json(report) else
      stdio.write((i > 1 and "\n" or "") .. eval.text(report, { failures = a.failures,
        columns = stdio.is_tty(1) and term.columns() or nil }))
      if report.hint then stdio.err(report.hint .. "\n") end
    end
  end
  if a.junit then fs.write(a.junit, junit.text(reports)) end
  if failed then error(failed, 0) end -- nothing was answered: a dead server, and no bad answers
  if not passed then errors.raise("exit", "the evaluation did not pass", { code = 1 }) end
end
