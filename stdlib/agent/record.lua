--- The record of a run: what it works with, what it has used and done.

local errors = require "core.errors"
local ordered = require "core.ordered"
local answers = require "stoke.agent.answer"
local usages = require "stoke.agent.usage"

local M = {}

---@class stoke.agent.run
---@field agent table the definition in force; a handoff changes it
---@field target stoke.target its model, with what this run knows of it
---@field history stoke.agent.history
---@field begin integer the first message of this run
---@field usage stoke.usage nested runs included
---@field steps integer questions to the model
---@field max_steps? integer
---@field listener? fun(event: table)
---@field outer? stoke.agent.run the run whose tool this one works for
---@field window? integer the context window, where the server told it in an error
---@field last_text? string what was said last
---@field talk? stoke.team.talk of a team at work
---@field report? fun(result: stoke.agent.result) what a team adds to its result, also where that is the work of an error
---@field opened? table<string, stoke.memory> memories that it has opened for itself, and closes
---@field recalled? stoke.memory.found[] what its memory has shown it beside the question
---@field repaired integer answers that were asked for again
---@field nudged? boolean it announced work, was asked to do it, and has called nothing since
---@field route? string|string[] where its questions may go, before the agent's own
---@field deadline? number seconds, of this run alone
---@field model? string along a route: the model that answered last; `endpoint` is its endpoint
---@field rung? integer how far down the fallbacks it is; nil: it asks its own model
---@field before? stoke.error[] of the rungs above
---@field odds? table[] of the tokens of the last answer, where it was asked for them
---@field toolbox? stoke.agent.toolbox made for its first call
local Run = { repaired = 0, usage = usages.new() }
Run.__index = Run
M.Run = Run

-- ---- what a run has used and done -----------------------------------------------------------------------------------------------

--- Its id, made when somebody wants it.
function Run:id()
  local id = self.known_as
  if not id then
    id = answers.id "run_"
    self.known_as = id
  end
  return id
end

--- Count what a call of the model used, in the runs around it too.
---@param run stoke.agent.run
---@param more stoke.usage taken over
function M.spend(run, more)
  more.tool_calls = 0 -- counted when they are run
  local whole = more.input_tokens and more.output_tokens and more.calls and more.attempts and more.repairs and more.seconds
    and more.load_seconds and more.estimated ~= nil -- of some dialects it is not
  if whole and not run.outer and not rawget(run, "usage") then
    run.usage = more
    return
  end
  repeat
    run.usage = usages.add(rawget(run, "usage"), more)
    run = run.outer
  until not run
end

--- Count what a part of the run used that a replay does not do again.
---@param more stoke.usage
function Run:spend(more)
  local run = self
  repeat
    run.usage = usages.add(rawget(run, "usage"), more)
    run = run.outer
  until not run
end

--- A part of the run that counts for itself what it uses, and then for the run. Who listens to the run hears nothing of it: what
--- happens there, a replay does not do again.
---@return stoke.agent.run part
function Run:part()
  return setmetatable({ agent = self.agent, target = self.target, history = self.history, recalled = self.recalled, outer = self,
    opened = self.opened, usage = usages.new() }, Run)
end

--- Count one thing.
---@param run stoke.agent.run
---@param name "repairs"|"tool_calls"
---@param more integer
function M.count(run, name, more)
  repeat
    local usage = rawget(run, "usage")
    if not usage then
      usage = usages.new()
      run.usage = usage
    end
    usage[name] = usage[name] + more
    run = run.outer
  until not run
end

--- A result, whole or of a run that failed, says its text where it is printed.
local Result = { __name = "stoke.agent.result" }
function Result:__tostring() return self.text end

--- What has been done so far, or in the end; nothing is added to its usage afterwards.
---@param run stoke.agent.run
---@param text? string
---@param value? any
---@param reason? string
---@return stoke.agent.result
function M.result_of(run, text, value, reason)
  return setmetatable({ text = text or run.last_text or "", output = value, messages = run.history:shown(run.begin),
    steps = run.steps, usage = rawget(run, "usage") or usages.new(), agent = run.agent.label, id = run:id(), reason = reason },
    Result)
end

--- A result of what is kept of one.
---@param kept table
---@return stoke.agent.result
function M.result(kept) return setmetatable(kept, Result) end

--- An error that leaves the run carries the work so far; its own deadline is told in its own words.
function Run:__close(err)
  for _, name in ipairs(self.opened and ordered.names(self.opened) or {}) do self.opened[name]:close() end
  if err == nil or not errors.is(err) then return end
  local seconds = err.kind == "deadline" and rawget(err, "seconds")
  if seconds and (seconds == self.agent.deadline or seconds == self.deadline) then
    local waited = rawget(err, "waited")
    err.message = ("%s did not finish within %g s%s"):format(self.agent.label, err.seconds,
      waited and "; a call had " .. waited or "")
  end
  if err.kind == "cancelled" then return end
  if self.toolbox and self.toolbox.repairs > 0 then M.count(self, "repairs", self.toolbox.repairs) end
  err.work = M.result_of(self)
  if self.report then self.report(err.work) end
end

return M
