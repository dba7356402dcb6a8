--- stoke.batch: many rows, each done once: a file of prompts or of data, an agent that answers each row, a file of answers.
---
---     local report = stoke.batch { input = "questions.csv", prompt = "Answer in one word: {question}", model = "qwen2.5:3b",
---       into = "answers.jsonl" }
---     print(report.done, report.failed)
---
--- `stoke batch FILE` does the same from the command line. The input is read as a stream, so a file of any size may be given. The
--- rows stand in a queue (stoke.queue) until they are done, and what came of each is written with its settling, in one step; so a
--- batch that is killed goes on where it was, and each row is done once by its id: the field `id` or `custom_id`, else its number.
--- A row that fails is tried again, three times in all; then it is a dead letter, with the reason, and the batch goes on. Where no
--- server answers at all, the batch ends with that error, and no row is blamed for it.

local agent = require "stoke.agent"
local combine = require "core.combine"
local config = require "stoke.config"
local errors = require "core.errors"
local find = require "stoke.batch.find"
local outputs = require "stoke.batch.output"
local queues = require "stoke.queue"
local read = require "stoke.batch.read"
local reports = require "stoke.batch.report"
local runs = require "stoke.batch.run"
local scopes = require "core.scope"
local subject = require "stoke.pipeline.subject"

local M = {}

--- Rows at once, where nobody says how many: at least so many, and so many for each server of the settings, since a server that
--- ends a row takes the next one that waits here.
local LEAST <const>, EACH <const> = 32, 4

---@class stoke.batch.options
---@field input string|table[]|fun(): any a file (.jsonl, .csv, .tsv, .txt), a list of rows, or an iterator: a row is a table of
---  fields, or a text, which is a prompt
---@field run? stoke.agent|stoke.workflow|fun(input: table): any what does a row; without it an agent with `model`
---@field model? string
---@field instructions? string of that agent
---@field output? stoke.Schema of that agent
---@field prompt? string|fun(input: table): any what an agent is asked of a row: "Where is {city}?"; without it the row's `prompt`,
---  `input` or `messages`
---@field into? string a file (.jsonl, .csv, .tsv): what was found, in the order of the input
---@field name? string by which it goes on later (the name of the input's file)
---@field key? string the field that is the id of a row
---@field fresh? boolean begin anew where a batch of this name was stopped, or has ended
---@field retry_failed? boolean try its dead letters again
---@field limit? integer only the first so many rows, for now
---@field concurrency? integer rows at once (32, or 4 for each endpoint of the settings, where that is more)
---@field tries? integer how often a row is tried (3)
---@field lease? number seconds after which a row is free again, where the process that held it was killed (10)
---@field engine? string a URL of stoke.queue
---@field price? { input: number, output: number } of a million tokens, for the report
---@field budget? table, deadline? number as of stoke.scope: where they are used up, the batch ends, and goes on later
---@field progress? fun(done: integer, total: integer|nil, failed: integer) told of each row that is done; total: an estimate while
---  the input is read

local OPTIONS = { input = true, run = true, model = "string", instructions = "string", output = true, prompt = true,
  into = "string", name = "string", key = "string", fresh = "boolean", retry_failed = "boolean", limit = "number",
  concurrency = "number", tries = "number", lease = "number", engine = "string", price = "table", budget = "table",
  deadline = "number", progress = "function" }

local function check_whole(o, name, most)
  if o[name] == nil then return nil end
  local n = math.tointeger(o[name])
  if not n or n < 1 or most and n > most then
    errors.argument("stoke.batch: %s must be a whole number of at least 1%s, got %s", name,
      most and (", at most %d"):format(most) or "", tostring(o[name]))
  end
  return n
end

local function check_price(price)
  if price == nil then return end
  errors.options(price, { input = "number", output = "number" }, "stoke.batch: price")
  if not (price.input and price.output) then
    errors.argument "stoke.batch: price wants what a million tokens cost: { input = 0.1, output = 0.4 }"
  end
end

local function name_of(o)
  if o.name then return o.name end
  if type(o.input) == "string" then return o.input:match "[^/]*$" end
  errors.raise("argument", "stoke.batch: a batch of rows that no file has needs a name",
    { hint = 'name = "questions": by it the batch is found when it goes on' })
end

--- What does the rows.
local function subject_of(o)
  if o.prompt ~= nil and type(o.prompt) ~= "string" and not errors.callable(o.prompt) then
    errors.argument("stoke.batch: prompt must be a text or a function, got %s", errors.describe(o.prompt))
  end
  if o.run ~= nil then
    for _, name in ipairs { "model", "instructions", "output" } do
      if o[name] ~= nil then errors.argument("stoke.batch: either run or %s, which is of an agent that is made here", name) end
    end
    if o.prompt ~= nil and subject.kind(o.run) ~= "agent" then
      errors.argument("stoke.batch: prompt is for an agent, and run is a %s", subject.kind(o.run) or type(o.run))
    end
    return subject.of("stoke.batch: run", o.run, o.prompt)
  end
  if not o.model then
    errors.raise("argument", "stoke.batch: nothing does the rows", { hint = "run = an agent or a function, or model = a name" })
  end
  local made = agent.inner({ model = o.model, instructions = o.instructions, output = o.output }, "stoke.batch")
  return subject.of("stoke.batch: run", made, o.prompt)
end

--- What is asked stands in columns of the file.
local function check_prompt(o, reader)
  if not reader.names or errors.callable(o.prompt) then return end
  local columns = {}
  for _, name in ipairs(reader.names) do columns[name] = name end
  if not o.prompt then
    if not o.run or subject.kind(o.run) == "agent" then subject.question(nil, columns) end
    return
  end
  for _, name in ipairs(subject.columns(o.prompt)) do
    if not columns[name] then subject.fill(o.prompt, columns) end -- says what is wrong
  end
end

local function reader_of(o, place)
  if type(o.input) == "string" then return read.file(o.input, { key = o.key, place = place }) end
  if type(o.input) ~= "table" and not errors.callable(o.input) then
    errors.argument("stoke.batch: input must be a file, a list or an iterator, got %s", errors.describe(o.input))
  end
  return read.values(o.input, { key = o.key })
end

--- Is it what the batch as a whole may use that is used up?
local function fatal_of(o, scope)
  return function(err)
    if err.kind == "deadline" then return o.deadline ~= nil and scope.cancelled ~= nil end
    local limit = err.kind == "budget" and o.budget and scope.budget.limit[rawget(err, "unit")]
    return limit ~= nil and limit == rawget(err, "limit")
  end
end

local function concurrency()
  local count = 0
  for _ in next, config.get().endpoints or {} do count = count + 1 end
  return math.min(math.max(LEAST, EACH * count), 1000)
end

--- How many rows there will be, by what was read so far.
local function total_of(run)
  local rows = run.kept.rows
  if run.fed or not run.share or run.share <= 0 then return run.fed and rows or nil end
  return math.max(rows, math.floor(rows / run.share))
end

local function go(run, o, report)
  o.key, o.prompt = o.settings.key, o.prompt or o.settings.prompt
  if o.run_of then o.run = o.run_of(o.settings) end
  local reader = reader_of(o, run.kept.place)
  check_prompt(o, reader)
  local work = subject_of(o)
  if o.retry_failed then run:retry_failed() end
  local scope <close> = combine.scope { deadline = o.deadline, budget = o.budget, class = "batch" }
  run:go({ reader = reader, work = work, output = o.out, concurrency = o.concurrency or concurrency(), tries = o.tries or 3,
    lease = o.lease or 10, limit = o.limit, fatal = fatal_of(o, scope), told = o.progress and function(one)
      o.progress(one.done + one.failed, total_of(one), one.failed)
    end }, report)
end

--- Do a batch, as the verb does: with what it says on the way.
---@private
---@param report stoke.batch.report is filled as it goes on
---@param o table options that were checked, and: out (false: none, a path, nil: standard output), settings, by which it is this
---  batch, resume, only_resume, told = fun(text), run_of = fun(settings): any
---@return stoke.error|nil err what ended it before its last row
function M.perform(report, o)
  local queue <close> = queues.open(o.engine)
  local run <close> = runs.open(queue, { name = o.name, settings = o.settings, resume = o.resume, fresh = o.fresh or false,
    only_resume = o.only_resume, lease = o.lease, told = o.told or function() end })
  report.stream = run.stream
  local _, err = combine.try(go, run, o, report)
  if o.price then report.cost = reports.cost(report, o.price) end
  if err then report.stopped = err.message end
  return err
end

---@class stoke.batch.result: stoke.batch.report
local Result = {}
Result.__index = Result
Result.__name = "stoke.batch.result"

--- What was found, row by row, in the order of the input: read from the queue page by page.
---@return fun(): { id: string, row: integer, input: table, answer: any, error?: string, model?: string }|nil iterator
---Raises what the engine raises.
---
--- Example: `for row in report:each() do print(row.id, row.answer or row.error) end`
function Result:each()
  scopes.check_self(self, Result, "report:each()")
  local queue = queues.open(self.engine)
  local pages, page, at = find.new(queue, self.stream, runs.GROUP):all(), {}, 0
  return function()
    while true do
      at = at + 1
      if page[at] then return outputs.row(page[at]) end
      page, at = pages(), 0
      if not page then
        queue:close()
        page = {}
        return nil
      end
    end
  end
end

--- Do a batch. One of this name that was stopped goes on.
---@param given stoke.batch.options
---@return stoke.batch.result report { rows, done, failed, left, duplicates, seconds, calls, input_tokens, output_tokens,
---  model_seconds, cost, failures }; `report:each()` iterates what was found
---Raises `argument`, `usage` for an input that is not the one it was begun with, and what ends a batch before its last row: the
---error of a server that does not answer, `budget`, `deadline`, `cancelled`, `db`. Rows that fail raise nothing: `report.failed`
---counts them.
---
--- Example: `local report = stoke.batch { input = "cities.csv", model = "qwen2.5:3b", prompt = "Where is {city}?" }`
function M.run(given)
  local o = errors.options(given, OPTIONS, "stoke.batch")
  check_price(o.price)
  local copy = {}
  for name, value in next, o do copy[name] = value end
  copy.limit, copy.tries = check_whole(o, "limit"), check_whole(o, "tries", 100)
  copy.concurrency = check_whole(o, "concurrency", 1000)
  copy.name, copy.resume, copy.out = name_of(o), true, o.into or false
  copy.settings = { input = type(o.input) == "string" and o.input:match "[^/]*$" or nil, key = o.key, model = o.model,
    prompt = type(o.prompt) == "string" and o.prompt or nil }
  local report = reports.new(copy.name)
  local err = M.perform(report, copy)
  if err then
    err.report = report
    error(err, 0)
  end
  report.engine = o.engine
  return setmetatable(report, Result)
end

return setmetatable(M, { __call = function(_, given) return M.run(given) end })
