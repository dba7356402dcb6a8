-- stoke batch FILE [AGENT.lua]: does each row of a file once, over all servers there are, and writes what was found.

local agent = require "stoke.agent"
local args = require "stoke.args"
local batch = require "stoke.batch"
local engine = require "core.engine"
local errors = require "core.errors"
local fs = require "stoke.fs"
local output = require "stoke.batch.output"
local print_json = require "stoke.runs.output".print_json
local read = require "stoke.batch.read"
local registry = require "stoke.serve.registry"
local reports = require "stoke.batch.report"
local script = require "core.script"
local show = require "stoke.show"
local stdio = require "core.stdio"
local subject = require "stoke.pipeline.subject"
local term = require "stoke.term"

local SPEC = {
  name = "stoke batch", summary = "Answer each row of a file (.jsonl, .csv, .tsv, .txt) once, over all servers of the settings. A "
    .. "batch that was stopped or killed goes on with --resume. Exit code 1: some rows failed.",
  examples = {
    { 'stoke batch cities.csv -m qwen2.5:3b -p "Where is {city}?" -o out.csv', "a column in braces" },
    { "stoke batch prompts.jsonl -m qwen2.5:3b > answers.jsonl", "each line has a prompt, input or messages" },
    { "stoke batch tickets.csv triage.lua -o triage.jsonl", "the agent, workflow or function that the file returns" },
    { "stoke batch tickets.csv --resume -o triage.jsonl", "goes on where it was, with what it was begun with" },
    { "stoke batch tickets.csv --resume --retry-failed", "the rows that failed, again" },
    { "stoke batch tickets.csv triage.lua --limit 20 -o try.csv", "first twenty rows, to see; --resume does the rest" },
  },
  options = {
    { "model", short = "m", placeholder = "NAME", help = "ask this model, where there is no AGENT.lua" },
    { "prompt", short = "p", placeholder = "TEXT", help = 'what is asked of a row: "... {column} ..."' },
    { "instructions", placeholder = "TEXT", help = "instructions of the model" },
    { "output", short = "o", placeholder = "FILE", help = ".jsonl, .csv or .tsv, in the order of the input; else JSON lines to "
      .. "standard output" },
    { "resume", type = "boolean", help = "go on with the batch of this name" },
    { "fresh", type = "boolean", help = "begin anew" },
    { "retry-failed", type = "boolean", help = "with --resume: try the rows again that failed, as they were read; lines that could "
      .. "not be read are mended in a file of their own, which is another batch" },
    { "limit", short = "n", type = "integer", placeholder = "N", help = "only the first N rows, for now" },
    { "concurrency", short = "c", type = "integer", placeholder = "N", help = "rows at once (32, or 4 for each server of the "
      .. "settings); the pool sends no more than servers have slots for" },
    { "tries", type = "integer", default = 3, placeholder = "N", help = "how often a row is tried" },
    { "id", placeholder = "COLUMN", help = "the column that is a row's id; else id or custom_id, else its number" },
    { "name", placeholder = "NAME", help = "the batch's name; else that of FILE" },
    { "engine", placeholder = "URL", help = "where its rows stand: local[:PATH], postgres://..., nats://..." },
    { "lease", type = "number", default = 10, placeholder = "S", help = "seconds after which rows that a killed process held are "
      .. "free again" },
    { "price", placeholder = "IN/OUT", help = "what a million tokens cost, for the sum at the end: 0.1/0.4" },
    { "json", type = "boolean", help = "the report as JSON; wants -o" },
  },
  positionals = { { "file", help = "the rows" },
                  { "agent", optional = true, help = "a script that returns an agent, a workflow or a function of a row" } },
}

-- ---- the command line ----------------------------------------------------------------------------------------------------------

local function price_of(text)
  if not text then return nil end
  local input, out = text:match "^([%d.]+)/([%d.]+)$"
  if not (tonumber(input) and tonumber(out)) then
    errors.raise("usage", ("--price wants IN/OUT, such as 0.1/0.4, got %s"):format(show.word(text)))
  end
  return { input = tonumber(input), output = tonumber(out) }
end

local function check(a)
  if a.resume and a.fresh then errors.raise("usage", "either --resume or --fresh") end
  if a.retry_failed and not a.resume then errors.raise("usage", "--retry-failed goes with --resume") end
  if a.json and not a.output then errors.raise("usage", "--json prints the report, so the rows want a file: -o FILE") end
  if a.agent and a.model then errors.raise("usage", "either AGENT.lua or --model") end
  for name, most in pairs { limit = math.maxinteger, concurrency = 1000, tries = 100 } do
    if a[name] and (a[name] < 1 or a[name] > most) then
      local words = most < math.maxinteger and (", at most %d"):format(most) or ""
      errors.raise("usage", ("--%s wants at least 1%s"):format(name, words))
    end
  end
  if not (a.lease >= 0.1 and a.lease <= 3600) then errors.raise("usage", "--lease wants seconds from 0.1 to 3600") end
  read.format(a.file)
  if a.output then output.format(a.output) end
  if not fs.stat(a.file) then errors.raise("usage", ("there is no file %s"):format(show.word(a.file))) end
end

-- ---- the agent's file ----------------------------------------------------------------------------------------------------------

--- What a file returns, where that can do rows; else the one agent that it made.
local function made_by(path, value)
  if subject.kind(value) then return value end
  local found = {}
  for _, handle in ipairs(registry.of_file(path, value)()) do found[#found + 1] = handle.handle end
  if #found == 1 then return found[1] end
  errors.raise("usage", ("%s returns nothing that does a row"):format(show.word(path)),
    { hint = "its last line: return an agent, a workflow, or a function of a row" })
end

local function run_of(settings)
  if settings.agent then
    require "stoke.cmd".check_file(settings.agent)
    return made_by(settings.agent, script.run_body(settings.agent))
  end
  if settings.model then
    return agent.inner({ model = settings.model, instructions = settings.instructions }, "stoke batch")
  end
  errors.raise("usage", "nothing does the rows", { hint = "-m MODEL, or an AGENT.lua" })
end

-- ---- what is shown -------------------------------------------------------------------------------------------------------------

local function watch(bar)
  return function(done, total, failed)
    if failed > 0 then bar.unit = ("rows, %d failed"):format(failed) end
    bar:update("", done, total)
  end
end

local function tell(a, report)
  if report.rows == 0 and report.stopped then return end -- it did not begin
  if a.json then print_json(report) else stdio.err(reports.text(report, a.file)) end
  if report.left > 0 or report.stopped then
    local again = ("stoke batch %s --resume"):format(show.word(a.file))
    for _, name in ipairs { "name", "engine", "output" } do
      local said = a[name] and (name == "engine" and engine.plain(a[name]) or a[name])
      if said then again = ("%s --%s %s"):format(again, name, show.word(said)) end
    end
    stdio.err(again .. " goes on\n")
  end
end

--- What there is of a batch that is stopped is told, too.
local function on_stop(a, report, bar)
  return setmetatable({}, { __close = function(_, err)
    if err == nil or errors.wrap(err).kind ~= "cancelled" then return end
    bar:finish()
    report.stopped = "cancelled"
    tell(a, report)
  end })
end

local function finish(a, report, err)
  tell(a, report)
  if err then error(err, 0) end
  if not reports.whole(report) and not (a.limit and report.failed == 0 and report.duplicates == 0) then
    errors.raise("exit", "some rows failed", { code = 1 })
  end
end

---@param argv string[]
return function(argv)
  local a = args.parse(SPEC, argv)
  check(a)
  local cmd = require "stoke.cmd"
  if a.agent then cmd.announce(a.agent) end
  local _ <close> = setmetatable({}, { __close = script.end_timers })
  local settings = { input = a.file:match "[^/]*$", agent = a.agent, model = a.model, prompt = a.prompt, key = a.id,
    instructions = a.instructions }
  local bar <close> = term.progress { unit = "rows", lines = true }
  local report = reports.new(a.name or a.file:match "[^/]*$")
  report.output = a.output
  local _ <close> = on_stop(a, report, bar)
  local err = batch.perform(report, { name = report.name, input = a.file, out = a.output, settings = settings,
    resume = a.resume or false, fresh = a.fresh or false, only_resume = a.resume, retry_failed = a.retry_failed, limit = a.limit,
    concurrency = a.concurrency, tries = a.tries, lease = a.lease, engine = a.engine, price = price_of(a.price),
    progress = watch(bar), told = function(text) stdio.err(text .. "\n") end, run_of = run_of })
  bar:finish()
  finish(a, report, err)
end
