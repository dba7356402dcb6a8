--- The agentic loop, the turns of a run: ask the model, run what it calls, ask again, until it answers.
---
--- It hands to the others what they need, and adds up what they return: the run keeps its record (record.lua), the history makes
--- the conversation fit (history.lua), the model is asked and its answer read (answer.lua), its calls are run (tools.lua).

local budgets = require "core.gate.budget"
local cache = require "core.cache.settings"
local errors = require "core.errors"
local frames = require "core.frame"
local scopes = require "core.scope"
local spans = require "core.gate.span"
local current = require "core.task".current
local answers = require "stoke.agent.answer"
local nudges = require "stoke.agent.nudge"
local output = require "stoke.agent.output"
local record = require "stoke.agent.record"
local summary = require "stoke.agent.summary"
local texts = require "stoke.agent.texts"
local tools = require "stoke.agent.tools"
local usages = require "stoke.agent.usage"
local json = require "stoke.json"
local clip = require "stoke.tool.text".cut
local terms = require "core.terms"
local models = require "stoke.model"
local reading = require "stoke.reading"

local M = {}

local Run, spend, count, result_of = record.Run, record.spend, record.count, record.result_of

--- A text of ours to the model.
local function words(run, name, about) return texts.of(name, run.agent.texts, about) end

-- ---- a question -----------------------------------------------------------------------------------------------------------------

--- The instructions of an agent that works them out, or whose answer is bound to a format: the model is not told that, so the shape
--- goes with them.
local function instructions_of(run, format)
  local agent = run.agent
  local text = agent.instructions
  if text ~= nil and type(text) ~= "string" then
    text = text(run)
    if text ~= nil and type(text) ~= "string" then
      errors.argument("%s: instructions must return a string, got %s", agent.label, type(text))
    end
  end
  if not format or agent.definitions then return text end
  local shape = output.instructions(agent)
  return text and text .. "\n\n" .. shape or shape
end

--- Summarizes what falls out of the window.
local function summarizer(run)
  return function(messages, old)
    local made, usage = summary.of(run.agent, run.target, messages, old)
    if usage then spend(run, usage) end
    return made
  end
end

--- What the next step asks, made to fit. A format and tools do not mix.
---@param run stoke.agent.run
---@param format? table
---@return table[] messages
---@return integer|nil cap tokens of the answer, where nothing else bounds it
function M.prompt(run, format)
  local agent, past = run.agent, run.history
  local text = agent.instructions
  if agent.texts then past.texts = agent.texts end
  if format or text and type(text) ~= "string" then text = instructions_of(run, format) end
  local messages = past:fit(run.target, agent.options and agent.options.num_predict, run.window, text,
    format == nil and agent.tools_bytes or 0, agent.summarize and summarizer(run) or nil)
  return messages, answers.cap(agent, run.target)
end

local function too_many_steps(run)
  errors.raise("max_steps", ("%s did not finish within %d steps"):format(run.agent.label, run.steps),
    { hint = "raise max_steps, or say in the instructions when to stop", limit = run.steps })
end

--- The server knows no levels of thinking for this model: from now on it is told to think, and no more.
local function without_level(agent, target, err)
  if type(agent.think) ~= "string" or models.reads(target, err) ~= "think" then return false end
  agent.think = true
  return true
end

--- A question has failed for good: the next rung of the fallbacks is asked, or its text is the answer. Raises where there is none.
---@return stoke.agent.answer|nil answer nil: the question is asked anew
local function step_down(run, err)
  local agent = run.agent
  local list = agent.fallback or run.target.route and run.target.route.fallback
  if not list then error(err, 0) end
  local fallback = require "stoke.model.fallback"
  local rung, what = fallback.next(list, run.rung or 1, err)
  if not rung then error(fallback.failed(err, run.before), 0) end
  run.before = run.before or {}
  run.before[#run.before + 1], run.rung = err, rung
  if run.listener then run.listener { type = "fallback", rung = rung, model = what.model, err = err } end
  run.model, run.endpoint = what.model, what.endpoint
  if what.text then return { text = what.text, reason = "stop", repairs = 0 } end
  if what.cache then
    run.target = answers.kept_only(run.target, agent.cache)
    return nil
  end
  run.target, run.window = models.begin(answers.rung(what, agent.endpoint)), nil
  if run.odds then run.target = answers.with_odds(run.target) end
end

--- The server found the prompt too long, which teaches what fits, or the level of thinking unknown: the question is asked anew.
--- Other errors are raised, or a lower rung is taken.
---@param said string|nil what had come of the answer
---@return stoke.agent.answer|nil
local function mend_question(run, err, said)
  local agent, past = run.agent, run.history
  if not without_level(agent, run.target, err) then
    if err.kind == "budget" then run.steps = run.steps - 1 end -- refused before it was asked
    if err.kind ~= "context_overflow" or run.window or not err.window then
      if said and said ~= "" then error(err, 0) end
      return step_down(run, err)
    end
    run.window = err.window
    if err.tokens and not err.estimated then models.learn(run.target, past.prompt, past.images, err.tokens) end
  end
  count(run, "repairs", 1)
end

--- What an answer of which the server told nothing has used.
local function unknown_usage(run)
  local usage = usages.new()
  usage.calls, usage.attempts, usage.estimated = 1, 1, true
  usage.input_tokens = models.estimate(run.target, run.history.prompt)
  return usage
end

--- What an answer has cost, and taught.
local function account(run, answer)
  local usage, past = answer.usage, run.history
  if usage and not usage.estimated then models.learn(run.target, past.prompt, past.images, usage.input_tokens or 0) end
  spend(run, usage or unknown_usage(run))
  if answer.repairs > 0 then count(run, "repairs", answer.repairs) end
  if answer.model then run.model, run.endpoint = answer.model, answer.endpoint end
  if answer.logprobs then run.odds = answer.logprobs end
  return answer
end

--- Ask the model. (Few locals and few calls from here to the door: ten thousand of these stacks may wait at once.)
---@return stoke.agent.answer
local function ask(run, format)
  local agent = run.agent
  if run.steps >= (run.max_steps or agent.max_steps) then too_many_steps(run) end
  run.steps = run.steps + 1
  while true do
    local answer, err, said
    local messages, cap = M.prompt(run, format)
    if run.listener then
      answer, err, said = answers.stream(run.target, agent, messages, format, cap, run.listener)
    else
      answer, err = models.ask(run.target, agent, messages, not format and agent.definitions or nil, format,
        answers.options(agent, cap))
      if answer then answers.read(agent, answer, format, cap) end
    end
    answer = answer or answers.from_error(run.target, agent, err, format)
    if answer then return account(run, answer) end
    if said and said ~= "" then run.last_text = said end -- for err.work
    if err.kind == "interrupted" and run.listener then -- the process that was told this has ended: it is asked for the same
      run.listener { type = "interrupted", text = said or "" }
    else
      answer = mend_question(run, err, said)
      if answer then return answer end
    end
  end
end

-- ---- asked again ----------------------------------------------------------------------------------------------------------------

--- Bytes of a wrong answer that its writer is shown again.
local SHOWN <const> = 8192

--- Once more, with what was wrong; the exchange leaves the history when it has been mended.
local function again(run, keep, text, complaint)
  count(run, "repairs", 1)
  run.repaired = run.repaired + 1
  run.history:cut(keep)
  if #text > SHOWN then text = clip(text, math.min(SHOWN, tools.limit(run.target, run.window, 1))) end
  if text ~= "" then run.history:push { role = "assistant", content = text } end
  run.history:push({ role = "user", content = complaint }, true)
end

--- The error of an answer that still does not fit.
local function unfit(agent, err, text)
  err.text, err.hint = text, rawget(err, "hint") or "use a larger model, or a simpler schema"
  err.message = ("the answer of %s does not fit: %s"):format(agent.label, err.message)
  return err
end

--- The error of an answer that was cut off.
local function cut_off(agent, answer)
  if answer.endless then return output.endless(answer.text, agent.label, answer.endless) end
  local options = agent.options
  return output.cut(answer.text, agent.label, options and options.num_predict, agent.output ~= nil)
end

--- The text of a bound answer. A model that calls a function of its own making instead, has put the answer into its arguments.
local function bound_text(answer)
  if answer.calls and not answer.text:find "%S" then return json.encode(answer.calls[1]["function"].arguments), true end
  return answer.text, false
end

--- One constrained question after another until the answer fits.
local function structured(run, first)
  local agent = run.agent
  local keep = #run.history
  local answer = first
  while true do
    if not answer then answer = ask(run, agent.output:format()) end
    if answer.reason == "length" then error(cut_off(agent, answer), 0) end
    local text, called = bound_text(answer)
    run.last_text = text
    local value, err, repairs = reading.value(agent.output, text)
    if not err then
      if called or #repairs > 0 then count(run, "repairs", 1) end
      run.history:cut(keep)
      return text, value
    end
    if run.repaired >= agent.repair then error(answer.failed or unfit(agent, err, text), 0) end
    again(run, keep, text, output.complaint(agent, err))
    answer = nil
  end
end

--- After tools: an answer that fits already is taken, else one question is asked with the schema and without tools.
local function after_tools(run, answer)
  local agent = run.agent
  if answer.reason ~= "length" then
    local value, err, repairs = reading.value(agent.output, answer.text)
    if not err and #repairs == 0 then return answer.text, value end
  end
  local keep = #run.history
  if answer.text ~= "" then run.history:push { role = "assistant", content = answer.text } end
  run.history:push({ role = "user", content = output.instructions(agent) }, true)
  local text, value = structured(run)
  run.history:cut(keep)
  return text, value
end

--- An agent with tools that says what it will do, and does nothing: it is asked once to do it, or to answer. Where no question is
--- left, what it said is the answer.
local function announced(run, answer)
  local agent = run.agent
  if run.nudged or agent.nudge == false or answer.reason == "length" then return false end
  if run.steps >= (run.max_steps or agent.max_steps) or not nudges.announces(answer.text) then return false end
  run.nudged = true
  count(run, "repairs", 1)
  run.history:push { role = "assistant", content = answer.text, thinking = answer.thinking }
  local names = {}
  for i, definition in ipairs(agent.definitions) do names[i] = definition["function"].name end
  local nudge = words(run, "nudge", { text = answer.text, tools = table.concat(names, ", ") })
  run.history:push({ role = "user", content = nudge }, true)
  return true
end

--- The model's call could not be read, or it said nothing: it is told so, as often as `repair` says.
local function unanswered(run, answer)
  local agent = run.agent
  if answer.failed then
    if answer.failed.kind == "limit" or run.repaired >= agent.repair then error(answer.failed, 0) end
    local name = agent.definitions and "unreadable" or "unreadable_without_tools"
    return again(run, #run.history, "", words(run, name, { problem = answer.failed.message }))
  end
  if answer.endless or answer.reason == "length" then error(cut_off(agent, answer), 0) end
  if run.repaired >= agent.repair then
    errors.raise("invalid_output", ("%s answered with nothing"):format(agent.label),
      { hint = "the model may not suit the question, or its template the tools" })
  end
  again(run, #run.history, "", words(run, "empty"))
end

-- ---- calls ----------------------------------------------------------------------------------------------------------------------

--- The model of an agent, as a run asks it.
---@param agent table its definition
---@param apart? boolean it teaches nobody: only for a look at what would be asked
---@return stoke.target
---@param route? string|string[] before the agent's own
function M.target(agent, apart, route)
  return models.begin(models.open(agent.model, agent.endpoint, route or agent.route), apart)
end

--- Go on with another agent: its instructions, its tools, the same conversation. Of several handoffs the first counts.
local function hand_over(run, box, handoffs)
  local from = run.agent
  for i, call in ipairs(handoffs) do
    local target = from.targets[call["function"].name].definition
    if i == 1 then
      local told = words(run, "handoff", { agent = target.label, from = from.label })
      run.history:push(tools.message(call, tools.note(box, call, told)))
      if run.listener then run.listener { type = "handoff", from = from.label, to = target.label } end
      if target.complete then target:complete() end -- it is used for the first time
      if target.ready then target = target:ready() end
      if from.lend then target = from.lend(target) end
      run.agent, run.target = target, M.target(target, false, run.route)
      if run.odds then run.target = answers.with_odds(run.target) end
      run.rung, run.before, run.model, run.endpoint = nil, nil, nil, nil
      run.target.candidates.run = run
    else
      run.history:push(tools.message(call, words(run, "second_handoff", { agent = target.label })))
    end
  end
end

--- Run what was called; a handoff comes after the other calls.
---@return table[]|nil lent calls that somebody outside is to run
local function act(run, answer)
  local past = run.history
  run.nudged = nil
  past:push { role = "assistant", content = answer.text, thinking = answer.thinking, tool_calls = answer.calls }
  local own, handoffs, lent = tools.sorted(run.agent, answer.calls)
  local box = run.toolbox
  if not box then
    box = { run = run, notes = {}, repairs = 0 }
    run.toolbox = box
  end
  if own[1] then
    if own[2] then
      for _, message in ipairs(tools.run(box, own)) do past:push(message) end
    else
      past:push(tools.one(box, own[1]))
    end
    if box.repairs > 0 then count(run, "repairs", box.repairs) end
    box.repairs = 0
    count(run, "tool_calls", #own)
  end
  if handoffs then hand_over(run, box, handoffs) end
  return lent
end

-- ---- the turns ------------------------------------------------------------------------------------------------------------------

--- Check the options of a run.
---@param what string
---@param options table|nil
function M.options(what, options)
  if options == nil then return nil end
  options = errors.options(options, { max_steps = "number", class = true, deadline = "number", route = true,
    logprobs = "boolean", cache = true }, what)
  if options.max_steps and not (math.type(options.max_steps) == "integer" and options.max_steps >= 1) then
    errors.argument("%s: max_steps must be a whole number of at least 1, got %s", what, tostring(options.max_steps))
  end
  if options.deadline then errors.check_seconds(options.deadline, what .. ": deadline") end
  if options.route ~= nil then terms.check_route(what, options.route) end
  terms.check(what, options.class)
  cache.check(what, options.cache)
  return options
end

--- The run whose tool the running task works for.
---@return stoke.agent.run|nil
function M.outer()
  local task = current()
  return task and (task.scope or task).context.run
end

--- The listener of a run that works for another: what it does comes to the listener of that one as an event of type "nested".
local function nested(outer, run, own)
  local hear = outer.listener
  return function(event)
    if own then own(event) end
    hear { type = "nested", agent = run.agent.label, run = run:id(), event = event }
  end
end

--- A run of an agent on a history.
---@param agent table its definition
---@param past stoke.agent.history
---@param begin integer its first message that belongs to the run
---@param listener? fun(event: table)
---@param max_steps? integer
---@return stoke.agent.run
function M.new(agent, past, begin, listener, max_steps)
  if agent.complete then agent:complete() end
  if agent.ready then agent = agent:ready() end
  local run = setmetatable({ agent = agent, history = past, begin = begin, steps = 0, target = nil, usage = nil, last_text = nil,
    toolbox = nil }, Run) -- the size that most have in the end
  if listener then run.listener = listener end
  if max_steps then run.max_steps = max_steps end
  local task = current()
  local outer = task and (task.scope or task).context.run
  if outer then
    run.outer = outer
    if outer.listener then run.listener = nested(outer, run, listener) end
  end
  return run
end

--- The scope of a run that has bounds of its own, or terms.
local function bounds(agent, limits)
  local budget, task = agent.budget, current()
  local context = task and scopes.innermost(task).context
  local class, deadline = limits and terms.check("agent:run", limits.class) or agent.class, agent.deadline
  local other, kept = limits and limits.deadline, agent.cache
  if limits and limits.cache ~= nil then kept = cache.check("agent:run", limits.cache) end
  if not (budget or class or deadline or other or kept ~= nil) then return nil end
  return scopes.open { deadline = deadline and other and math.min(deadline, other) or deadline or other,
    budget = budget and budgets.new(budget, context and context.budget), terms = terms.inside(context, class, nil, kept) }
end

--- The end of a run, or its end for now.
local function conclude(run, result)
  local listener = run.listener
  if listener then
    listener { type = "usage", usage = result.usage }
    listener { type = "done", result = result }
  end
  return result, run.agent
end

--- The run ends for now: somebody outside has calls to run.
local function hand_out(run, answer, lent)
  local result = result_of(run, answer.text, nil, "tool_calls")
  result.calls, result.thinking = lent, answer.thinking
  return conclude(run, result)
end

local function finish(run, text, value, answer)
  if not (answer and answer.told) then run.history:push { role = "assistant", content = text } end
  local result = result_of(run, text, value, answer and answer.reason or "stop")
  if answer and answer.thinking then result.thinking = answer.thinking end
  if answer and result.usage.calls == 0 then result.cached = answer.cached end
  if run.rung or run.model then result.model, result.endpoint, result.rung = run.model, run.endpoint, run.rung end
  if run.odds then result.margin = answers.margin(run.odds) end
  if answer and answer.told then answer.told(result) end
  return conclude(run, result)
end

--- Run an agent.
---@param agent table its definition
---@param past stoke.agent.history with the new messages
---@param begin integer the first of these
---@param listener? fun(event: table)
---@param limits? stoke.agent.limits
---@return stoke.agent.result result
---@return table agent the definition that was in force in the end
---Raises what ollama.chat raises, and invalid_output, limit, max_steps, loop, needs_approval; `err.work` is the work so far.
function M.run(agent, past, begin, listener, limits)
  local run <close> = M.new(agent, past, begin, listener, limits and limits.max_steps)
  agent = run.agent -- with the tools of its servers
  local frame <close> = frames.any and frames.enter("agent", agent.label) or nil -- luacheck: ignore
  local seen <close> = spans.on and spans.enter("agent.run", agent.label) or nil
  if seen then
    seen.run = run
    spans.inside(seen)
  end
  local scope <close> = (agent.bounded or limits) and bounds(agent, limits) or nil
  if limits then run.route, run.deadline = limits.route, limits.deadline end
  if agent.play then return finish(run, agent.play(run)) end -- a team: its members work
  run.target = M.target(agent, false, run.route)
  if limits and limits.logprobs then run.odds, run.target = {}, answers.with_odds(run.target) end
  run.target.candidates.run = run -- whose calls these are: for the pool
  if agent.memory then agent.memory.recall_for(run) end
  while true do
    agent = run.agent
    if agent.play then return finish(run, agent.play(run)) end -- a team that took over
    local bound = agent.output and not agent.definitions
    local answer = ask(run, bound and agent.output:format() or nil)
    local text = answer.text
    if text ~= "" then run.last_text = text end
    if bound then
      return finish(run, structured(run, answer))
    elseif answer.calls then
      local lent = act(run, answer)
      if lent then return hand_out(run, answer, lent) end
    elseif answer.failed or answer.endless or not text:find "%S" then
      unanswered(run, answer)
    elseif not (agent.definitions and announced(run, answer)) then
      if agent.output then return finish(run, after_tools(run, answer)) end
      return finish(run, text, nil, answer)
    end
  end
end

return M
