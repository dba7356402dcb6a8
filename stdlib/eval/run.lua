--- A run of an evaluation: the trials that are still to be made, many at once, each kept as it ends; then the report.

local cassette = require "stoke.test.cassette"
local combine = require "core.combine"
local compare = require "stoke.eval.compare"
local config = require "stoke.config"
local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local kept = require "stoke.eval.kept"
local modules = require "core.modules"
local ollama = require "stoke.ollama"
local stats = require "stoke.stats"
local summary = require "stoke.eval.summary"
local time = require "stoke.time"
local trials = require "stoke.eval.trial"
local variants = require "stoke.eval.variants"

local M = {}

--- A variant of which nothing was answered is given up after so many errors: its model is not there, or its server is dead.
M.PATIENCE = 5

---@class stoke.eval.run
---@field evaluation stoke.eval
---@field cases stoke.eval.case[]
---@field variants stoke.eval.variant[]
---@field trials table<string, stoke.eval.trial[]> by the key of the variant
---@field todo { variant: stoke.eval.variant, case: stoke.eval.case, attempt: integer }[]
---@field total integer trials in all
---@field kept integer trials that were there already
---@field id? integer its number in the file
---@field busy? boolean another process has a run of this evaluation under way, so this one is a run of its own
---@field stopped? stoke.error why it did not come to its end
---@field err? stoke.error the first error of a trial
local Run = {}
Run.__index = Run

-- ---- what is asked ------------------------------------------------------------------------------------------------------------

local function chosen(cases, options)
  if not (options.filter or options.limit) then return cases end
  local list = {}
  for _, case in ipairs(cases) do
    local text = type(case.input) == "string" and case.input or json.encode(case.input) or ""
    local fits = not options.filter or case.id == options.filter or text:find(options.filter, 1, true)
    if fits and #list < (options.limit or math.huge) then list[#list + 1] = case end
  end
  if #list > 0 then return list end
  errors.raise("usage", ("no case has %q in its input, or for its id"):format(options.filter or ""))
end

--- A digest of the code that is loaded. The verb goes by it; in a durable run, whose code stays as it is, there is none to be seen.
---@return string
---
--- Example: `evaluation:run { file = path, code = run.code() }`
function M.code()
  local code = {}
  for i, file in ipairs(modules.list) do code[i] = hash.sha256(file.text) end
  table.sort(code)
  return hash.sha256(table.concat(code, "\n"))
end

--- A digest of what decides the answers: what was asked by other code, of another agent, or of other cases, does not go on.
local function definition_of(self)
  local parts = { tostring(self.evaluation.repeats) }
  for _, variant in ipairs(self.variants) do parts[#parts + 1] = variant.key .. "@" .. (variant.model or "") end
  for _, case in ipairs(self.cases) do parts[#parts + 1] = case.id .. " " .. case.content end
  for _, scorer in ipairs(self.evaluation.scorers) do parts[#parts + 1] = scorer.name end
  local handle = self.evaluation.run_with
  if variants.is_agent(handle) then
    local about = handle.definition
    parts[#parts + 1] = type(about.instructions) == "string" and about.instructions or ""
    for _, tool in ipairs(about.tools) do parts[#parts + 1] = tool.name end
  end
  parts[#parts + 1] = self.options.code or ""
  return hash.sha256(table.concat(parts, "\n"))
end

local function endpoint_of(evaluation, variant)
  if variant.set.endpoint then return variant.set.endpoint end
  return variants.is_agent(evaluation.run_with) and evaluation.run_with.definition.endpoint or nil
end

--- The sizes of the models, as Ollama tells them; of what it does not know nothing is said.
local function add_sizes(evaluation, list)
  local models = {}
  for _, variant in ipairs(list) do
    local endpoint = endpoint_of(evaluation, variant)
    local found, target = nil, combine.try(config.endpoint, endpoint)
    if variant.model and target and target.dialect ~= "openai" then
      local known = models[target.url]
      if not known then
        known = {}
        models[target.url] = known
        local reply = combine.try(ollama.tags, endpoint)
        for _, model in ipairs(reply and reply.models or {}) do known[model.name] = model.size end
      end
      found = known[variant.model] or known[variant.model .. ":latest"]
    end
    variant.size = found
  end
end

--- What there is of a run that was stopped.
local function take_up(self, definition)
  local row = self.store:unfinished(definition)
  if not row then return end
  self.id, self.began = row.id, row.began
  for _, trial in ipairs(self.store:trials(row.id)) do
    local list = self.trials[trial.variant]
    if list and trial.status ~= "error" then -- what failed is tried again
      list[#list + 1] = trial
      self.there[("%s\0%s\0%d"):format(trial.variant, trial.case, trial.attempt)] = true
      self.kept = self.kept + 1
    end
  end
end

local function add_jobs(self)
  for _, variant in ipairs(self.variants) do
    for attempt = 1, self.evaluation.repeats do
      for _, case in ipairs(self.cases) do
        if not self.there[("%s\0%s\0%d"):format(variant.key, case.id, attempt)] then
          self.todo[#self.todo + 1] = { variant = variant, case = case, attempt = attempt }
        end
      end
    end
  end
end

---@class stoke.eval.options
---@field file? string runs are kept in it: a stopped one goes on, and the last one is compared with
---@field fresh? boolean begin anew where one was stopped
---@field keep? boolean false: this run is not kept; it is compared all the same
---@field compare? integer|false the number of the run to compare with, in place of the last one; false: with none
---@field filter? string only cases with this text in their input, or of this id; such a run is not kept
---@field limit? integer only so many cases; such a run is not kept
---@field code? string a digest of the code, which must be the same for a run to go on
---@field patient? boolean no variant is given up, however often its server fails: all is asked
---@field progress? fun(done: integer, total: integer, trial: stoke.eval.trial) called after each trial

local OPTIONS = { file = "string", fresh = "boolean", keep = "boolean", compare = true, filter = "string", limit = "number",
  patient = "boolean", code = "string", progress = "function" }

local function check(given)
  local o = errors.options(given, OPTIONS, "eval:run")
  if o.limit ~= nil and (math.type(o.limit) ~= "integer" or o.limit < 1) then
    errors.argument("eval:run: limit must be a whole number of at least 1, got %s", tostring(o.limit))
  end
  if o.compare ~= nil and o.compare ~= false and math.type(o.compare) ~= "integer" then
    errors.argument("eval:run: compare must be the number of a run, or false, got %s", errors.describe(o.compare))
  end
  if o.compare and not o.file then errors.argument "eval:run: compare needs the file in which runs are kept" end
  return o
end

--- Begin a run, or take one up.
---@param evaluation stoke.eval
---@param given? stoke.eval.options
---@return stoke.eval.run
---Raises `argument`, `usage`, and with a file what stoke.db raises.
function M.begin(evaluation, given)
  local o = check(given)
  local self = setmetatable({ evaluation = evaluation, options = o, cases = chosen(evaluation.cases, o), todo = {},
    variants = evaluation.variants, trials = {}, there = {}, kept = 0, done = 0, began = time.now(),
    redactor = cassette.redactor() }, Run)
  local _ <close> = setmetatable({}, { __close = function(_, err)
    if err then self:close() end
  end })
  for _, variant in ipairs(self.variants) do
    self.trials[variant.key] = {}
    variant.subject, variant.model = variants.subject("stoke.eval " .. evaluation.name, evaluation.run_with, variant)
  end
  if #self.variants > 1 then add_sizes(evaluation, self.variants) end
  self.total = #self.variants * #self.cases * evaluation.repeats
  local keep = o.keep ~= false and not (o.filter or o.limit)
  if o.file then
    self.store = kept.open(o.file, evaluation.name)
    if o.compare then self.store:earlier(nil, o.compare) end -- before anything is asked
    local definition = definition_of(self)
    local alone = keep and self.store:claim()
    self.busy = keep and not alone or nil
    if alone and not o.fresh then take_up(self, definition) end
    self.changed = alone and not o.fresh and not self.id and self.store:was_stopped() or nil
    if keep and not self.id then
      self.id = self.store:begin(definition, { cases = #self.cases, repeats = evaluation.repeats, variants = #self.variants })
    end
  end
  add_jobs(self)
  self.done = self.kept
  return self
end

-- ---- trials -------------------------------------------------------------------------------------------------------------------

--- Nothing of this variant was ever answered, and errors came one after the other.
local function is_hopeless(self, variant)
  return variant.failures >= M.PATIENCE and #self.trials[variant.key] == variant.failures
end

--- What was answered, and why it is wrong, without what looks like a secret: it is kept, printed, and given to other programs.
local function clean(trial, redactor)
  if trial.output and trial.output:find "^[{%[]" then
    local value = json.decode(trial.output, { ordered = true })
    if type(value) == "table" and select(2, redactor:fields(value)) then trial.output = json.encode(value) end
  end
  for _, name in ipairs { "output", "why", "label" } do
    if trial[name] then trial[name] = redactor:prose(trial[name]) end
  end
  for _, one in next, trial.scores do
    if one.why then one.why = redactor:prose(one.why) end
  end
end

local function make(self, job, budget)
  local variant = job.variant
  if not self.options.patient and is_hopeless(self, variant) then return end
  local trial, err = trials.run(self.evaluation, variant, job.case, job.attempt, budget)
  clean(trial, self.redactor)
  local list = self.trials[variant.key]
  list[#list + 1] = trial
  if trial.status == "error" and not trial.output then
    variant.failures = variant.failures + 1
  end
  self.err = self.err or err
  if self.id then self.store:add(self.id, trial) end
  self.done = self.done + 1
  if self.options.progress then self.options.progress(self.done, self.total, trial) end
end

--- Was anything answered, well or badly?
---@return boolean
function Run:answered()
  for _, variant in ipairs(self.variants) do
    if summary.answered(self.trials[variant.key]) then return true end
  end
  return false
end

--- Make the trials that are left. Where the deadline or the budget of the evaluation ends it, `stopped` says so.
---Raises `cancelled`, `db`.
function Run:go()
  local evaluation = self.evaluation
  for _, variant in ipairs(self.variants) do variant.failures = 0 end
  local _, err = combine.try(function()
    local scope <close> = combine.scope { deadline = evaluation.deadline, budget = evaluation.budget, class = "batch",
      cache = false }
    local budget = evaluation.budget and scope.budget or nil
    scope:map(self.todo, function(job) make(self, job, budget) end, { limit = evaluation.at_once })
  end)
  if not err then
    if self.id and self:answered() then self.store:finish(self.id) end -- else it is tried again, and nothing is compared with it
  elseif err.kind == "budget" or err.kind == "deadline" then
    self.stopped = err
  else
    error(err, 0)
  end
end

-- ---- the report ---------------------------------------------------------------------------------------------------------------

---@class stoke.eval.report plain data
---@field name string
---@field run? integer its number, where it is kept
---@field cases integer
---@field repeats integer
---@field total integer trials that there should be
---@field made integer trials that there are
---@field kept integer of these from before it was stopped
---@field trials stoke.eval.trial[] by variant, case and attempt
---@field variants stoke.eval.summary[] the best first
---@field threshold? number
---@field enough? string the label of the variant that is enough
---@field enough_by? "size"|"cost"
---@field compared? { run: integer, began: number }
---@field notes string[] what to know before it is believed
---@field passed boolean
---@field why string[] why not
---@field stopped? string the error that ended it early

--- Each variant beside itself in the run before.
local function add_differences(self, report)
  local o = self.options
  if not self.store or o.compare == false then return end
  local before = self.store:earlier(self.id, o.compare or nil)
  if not before then return end
  local old = {}
  for _, trial in ipairs(self.store:trials(before.id)) do
    old[trial.variant] = old[trial.variant] or {}
    table.insert(old[trial.variant], trial)
  end
  local found, ps = {}, {}
  for _, one in ipairs(report.variants) do
    local mine = self.trials[one.key]
    if old[one.key] and mine[1] then one.against = compare.of(old[one.key], mine) end
    if one.against then
      report.compared = { run = before.id, began = before.began }
      found[#found + 1], ps[#ps + 1] = one.against, one.against.p
    end
  end
  if not found[2] then return end
  for i, p in ipairs(stats.adjust(ps, "holm")) do found[i].adjusted = p end
end

local function percent(share) return ("%.4g %%"):format(share * 100) end

--- Is it good enough?
local function judge(self, report)
  local why, threshold = report.why, report.threshold
  if self.stopped then why[#why + 1] = "it was stopped: " .. self.stopped.message end
  local best, errors_of, missing = nil, 0, 0
  for _, one in ipairs(report.variants) do
    if one.rate and (not best or one.rate > best) then best = one.rate end
    errors_of, missing = errors_of + one.errors, missing + one.missing
    if one.against and compare.verdict(one.against) == "worse" then
      why[#why + 1] = ("%s is worse than in run %d"):format(one.label, report.compared.run)
    end
  end
  if threshold and (best or 0) < threshold then
    why[#why + 1] = ("%s passed, less than %s"):format(best and percent(best) or "nothing", percent(threshold))
  elseif not threshold and errors_of > 0 then
    why[#why + 1] = ("%d trial%s ended in an error"):format(errors_of, errors_of == 1 and "" or "s")
  end
  if missing > 0 and not self.stopped then why[#why + 1] = ("%d trials were not made"):format(missing) end
  report.passed = #why == 0
end

--- In the order of the variants in the report, of the cases, of the attempts.
local function in_order(self, report)
  local list, number = json.array {}, {}
  for _, case in ipairs(self.cases) do number[case.id] = case.number end
  for _, one in ipairs(report.variants) do
    local mine = table.move(self.trials[one.key], 1, #self.trials[one.key], 1, {})
    table.sort(mine, function(a, b)
      if number[a.case] ~= number[b.case] then return number[a.case] < number[b.case] end
      return a.attempt < b.attempt
    end)
    table.move(mine, 1, #mine, #list + 1, list)
  end
  return list
end

--- What has come of it so far.
---@return stoke.eval.report
function Run:report()
  local evaluation, all, list = self.evaluation, {}, {}
  local each = #self.cases * evaluation.repeats
  for i, variant in ipairs(self.variants) do
    local mine = self.trials[variant.key]
    list[i] = summary.of(variant, mine, each, evaluation.cost)
    table.move(mine, 1, #mine, #all + 1, all)
  end
  local report = { name = evaluation.name, run = self.id, cases = #self.cases, repeats = evaluation.repeats, total = self.total,
    made = #all, kept = self.kept, variants = summary.sort(list), threshold = evaluation.threshold, began = self.began,
    notes = summary.notes(evaluation, all), why = json.array {}, stopped = self.stopped and self.stopped.message or nil }
  if #list > 1 then
    local enough, by = summary.enough(list, self.trials, evaluation.threshold)
    report.enough, report.enough_by = enough and enough.label, by
  end
  add_differences(self, report)
  report.trials = in_order(self, report)
  judge(self, report)
  return report
end

--- Close the file.
function Run:close()
  if self.store then self.store:close() end
  self.store = nil
end
Run.__close = Run.close

return M
