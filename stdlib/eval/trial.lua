--- One trial: a case is put to a variant, and what comes of it is scored.

local combine = require "core.combine"
local errors = require "core.errors"
local json = require "core.json"
local show = require "stoke.show"
local time = require "stoke.time"
local valid = require "core.text".valid

local M = {}

---@class stoke.eval.trial plain data; what does not apply is left out
---@field variant string its key
---@field case string its id
---@field content string digest of the case
---@field label string the case in a few words: its id, or the beginning of its input
---@field attempt integer from 1
---@field status "pass"|"fail"|"error" error: it was not answered or not judged, and nothing is known of its quality
---@field score number the mean of the scorers, 0 where there is none
---@field scores table<string, { score: number, pass: boolean, why?: string, turned?: boolean }> by scorer
---@field why? string what was wrong
---@field kind? string of the error
---@field output? string the answer as a text, cut
---@field bytes? integer of the answer
---@field seconds number of the model's server, without loading; the whole time where no model was asked
---@field took number the whole time, with what it waited for here
---@field input_tokens integer
---@field output_tokens integer
---@field calls integer
---@field load? number seconds of loading models
---@field cached? integer answers that came from a cache
---@field judge_tokens? integer what scoring has used

--- Bytes of an answer that are kept.
local LONGEST <const> = 4000

--- What a model, or the agent, did wrong: the answer is a bad one. Other errors say nothing of it.
local OWN_FAULT = { invalid_output = true, limit = true, context_overflow = true, max_steps = true, loop = true, deadline = true,
  budget = true }

--- Tell whether an error ends the whole evaluation: it was stopped, or what it may use is used.
---@param err stoke.error
---@param budget? stoke.budget of the evaluation
---@return boolean
local function ends_all(err, budget)
  if err.kind == "cancelled" or err.kind == "exit" then return true end
  return err.kind == "budget" and budget ~= nil and rawget(err, "unit") ~= nil and budget.limit[err.unit] == rawget(err, "limit")
end

--- Call, and measure what models were asked in it.
local function measured(f, ...)
  local scope <close> = combine.scope { budget = {} }
  local began = time.monotonic()
  local value, err = combine.try(f, ...)
  return value, err, scope.budget.used, time.monotonic() - began
end

local function is_result(value) return type(value) == "table" and type(value.text) == "string" and type(value.usage) == "table" end

--- What an answer has cost: as its agent says, else what was counted.
local function cost(trial, usage, used, took)
  trial.took, trial.input_tokens, trial.output_tokens, trial.calls = took, 0, used.tokens, used.calls
  trial.seconds = used.calls > 0 and used.seconds or took
  if not usage then return end
  trial.input_tokens, trial.output_tokens, trial.calls = usage.input_tokens, usage.output_tokens, usage.calls
  trial.cached, trial.load = usage.cached, usage.load_seconds > 0 and usage.load_seconds or nil
  if usage.calls > 0 then trial.seconds = math.max(usage.seconds - usage.load_seconds, 0) end
end

local function as_text(output)
  if type(output) == "string" then return valid(output) end
  return json.encode(output) or show.line(output)
end

--- The scores of an answer.
local function judge(evaluation, trial, case, output, result)
  local sum, pass, why = 0, true, nil
  for _, scorer in ipairs(evaluation.scorers) do
    local one = scorer.score(case, output, result)
    trial.scores[scorer.name], sum = one, sum + one.score
    if not one.pass and pass then
      pass, why = false, (#evaluation.scorers > 1 and scorer.name .. ": " or "") .. (one.why or "does not pass")
    end
  end
  trial.score = sum / #evaluation.scorers
  return pass, why
end

local function failed(trial, err, own)
  trial.status, trial.kind, trial.why, trial.score = own and "fail" or "error", err.kind, valid(err.message), 0
  return trial, not own and err or nil
end

--- Was it the time limit of the trial that ended it?
local function was_late(err, timeout) return err.kind == "timeout" and timeout ~= nil and rawget(err, "seconds") == timeout end

--- Put a case to a variant.
---@param evaluation stoke.eval
---@param variant stoke.eval.variant
---@param case stoke.eval.case
---@param attempt integer
---@param budget? stoke.budget of the whole evaluation
---@return stoke.eval.trial
---@return stoke.error|nil err where its status is "error"
---Raises what ends the whole evaluation: `cancelled`, `exit`, and `budget` where it is the evaluation's.
function M.run(evaluation, variant, case, attempt, budget)
  local trial = { variant = variant.key, case = case.id, content = case.content, label = case.label, attempt = attempt,
    scores = {} }
  local timeout, subject = evaluation.timeout, variant.subject
  local answer, err, used, took = measured(function()
    if timeout then return combine.timeout(timeout, subject, case) end
    return subject(case)
  end)
  if err and ends_all(err, budget) then error(err, 0) end
  local work = err and rawget(err, "work")
  cost(trial, is_result(answer) and answer.usage or type(work) == "table" and work.usage or nil, used, took)
  if err then
    if was_late(err, timeout) then err = errors.new("deadline", ("no answer within %g s"):format(timeout)) end
    return failed(trial, err, OWN_FAULT[err.kind])
  end
  local output = answer
  if is_result(answer) then
    output = answer.output
    if output == nil then output = answer.text end
  end
  if output == nil then return failed(trial, errors.new("script", "the function returned nothing"), false) end
  local text = as_text(output)
  trial.bytes, trial.output = #text, #text > LONGEST and valid(text:sub(1, LONGEST)) .. "..." or text
  local pass, why
  err, used = select(2, measured(function() pass, why = judge(evaluation, trial, case, output, answer) end))
  if used.tokens > 0 then trial.judge_tokens = used.tokens end
  if err then
    if ends_all(err, budget) then error(err, 0) end
    return failed(trial, err, false)
  end
  trial.status, trial.why = pass and "pass" or "fail", why and valid(why)
  return trial
end

return M
