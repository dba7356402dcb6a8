--- The agentic loop: ask, run what the model calls, ask again, until it answers.

local errors = require "core.errors"
local stdio = require "core.stdio"
local tasks = require "core.task"
local ask = require "stoke.agent.ask"
local caps = require "stoke.agent.cap"
local calls = require "stoke.agent.calls"
local nudges = require "stoke.agent.nudge"
local output = require "stoke.agent.output"
local summary = require "stoke.agent.summary"
local texts = require "stoke.agent.texts"
local json = require "stoke.json"
local clip = require "stoke.tool.text".cut
local models = require "stoke.model"
local usages = require "stoke.agent.usage"

local M = {}

---@class stoke.agent.run
---@field agent table the definition in force; a handoff changes it
---@field target stoke.target its model, with what this run knows of it
---@field history stoke.agent.history
---@field usage stoke.usage nested runs included
---@field steps integer questions to the model
---@field listener? fun(event: table)
---@field outer? stoke.agent.run the run whose tool this one works for
---@field repaired integer answers that were asked for again
---@field nudged? boolean it announced work, was asked to do it, and has called nothing since
---@field cap? integer tokens of the last question's answer, where nothing else bounds it
---@field made? table[] calls with their results and how often, see stoke.agent.calls
local Run = { steps = 0, repaired = 0, usage = usages.new() }
Run.__index = Run

-- ---- what a run tells -----------------------------------------------------------------------------------------------------------

--- Its id, made when somebody wants it.
function Run:id()
  local id = self.known_as
  if not id then
    id = ask.id "run_"
    self.known_as = id
  end
  return id
end

--- Tell who listens; the run around it hears of it as an event of type "nested".
function Run:emit(event)
  if self.listener then self.listener(event) end
end

--- Count what a call of the model used, in the runs around it too.
---@param more stoke.usage taken over
function Run:spend(more)
  local run = self
  if not run.outer and not rawget(run, "usage") then
    run.usage = more
    return
  end
  repeat
    run.usage = usages.add(rawget(run, "usage"), more)
    run = run.outer
  until not run
end

--- Count one thing.
---@param name "repairs"|"tool_calls"
---@param more integer
function Run:count(name, more)
  local run = self
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

--- The run whose tool the running task works for.
---@return stoke.agent.run|nil
function M.outer()
  local task = tasks.current()
  return task and (task.scope or task).context.run
end

local function nested(outer, run)
  return function(event)
    outer:emit { type = "nested", agent = run.agent.label, run = run:id(), event = event }
  end
end

--- A result, whole or of a run that failed, says its text where it is printed.
local Result = { __name = "stoke.agent.result" }
function Result:__tostring() return self.text end

--- What has been done so far, or in the end; nothing is added to its usage afterwards.
function Run:result(text, value)
  local own = table.move(self.history, self.begin, #self.history, 1, {})
  return setmetatable({ text = text or self.last_text or "", output = value, messages = own, steps = self.steps,
    usage = rawget(self, "usage") or usages.new(), agent = self.agent.label, id = self:id() }, Result)
end

--- A text of ours to the model.
function Run:words(name, about) return texts.of(name, self.agent.texts, about) end

--- An error that leaves the run carries the work so far; its own deadline is told in its own words.
function Run:__close(err)
  if errors.is(err) and err.kind == "deadline" and rawget(err, "seconds") == self.agent.deadline then
    err.message = ("%s did not finish within %g s"):format(self.agent.label, err.seconds)
  end
  if errors.is(err) and err.kind ~= "cancelled" then err.work = self:result() end
end

-- ---- one step -------------------------------------------------------------------------------------------------------------------

--- The instructions of the agent in force, and the size of what goes along with the messages.
local function frame(run, extra)
  local agent = run.agent
  local text = agent.instructions
  if text ~= nil and type(text) ~= "string" then
    text = text(run)
    if text ~= nil and type(text) ~= "string" then
      errors.argument("%s: instructions must return a string, got %s", agent.label, type(text))
    end
  end
  if extra then text = text and text .. "\n\n" .. extra or extra end
  return text
end

--- How the history is made to fit.
local function fitting(run)
  local agent = run.agent
  return { target = run.target, num_predict = agent.options and agent.options.num_predict,
    window = run.window, summarize = agent.summarize and function(messages, old) return summary.of(run, messages, old) end }
end

--- What the next step asks; run.bytes and run.images are its size. A format and tools do not mix.
---@param format? table
---@return table[] messages
---@return table[]|nil tools
function Run:question(format)
  local agent, past = self.agent, self.history
  if agent.texts then past.texts = agent.texts end
  local instructions = frame(self, format and not agent.definitions and output.instructions(agent) or nil)
  local tools = format == nil and agent.definitions or nil
  local extra = tools and agent.tools_bytes or 0
  local bytes, images
  if not self.window then bytes, images = past:small(self.target, agent.options, instructions, extra) end
  if not bytes then bytes, images = past:fit(fitting(self), instructions, extra) end
  self.bytes, self.images = bytes, images
  self.cap = caps.of(agent, self.target)
  return past:messages(instructions), tools
end

local function too_many_steps(run)
  errors.raise("max_steps", ("%s did not finish within %d steps"):format(run.agent.label, run.steps),
    { hint = "raise max_steps, or say in the instructions when to stop", limit = run.steps })
end

--- The server knows no levels of thinking for this model: from now on it is told to think, and no more.
local function without_level(run, err)
  local agent = run.agent
  if type(agent.think) ~= "string" or models.reads(run.target, err) ~= "think" then return false end
  agent.think = true
  run:count("repairs", 1)
  return true
end

--- The server found the prompt too long, which teaches what fits, or the level of thinking unknown: ask once more.
local function shorter(run, err, format)
  if without_level(run, err) then return errors.check(ask.ask(run, format)) end
  if err.kind ~= "context_overflow" or run.window or not err.window then error(err, 0) end
  run.window = err.window
  if err.tokens and not err.estimated then models.learn(run.target, run.bytes, run.images, err.tokens) end
  run:count("repairs", 1)
  return errors.check(ask.ask(run, format))
end

--- Ask the model. (Few locals here and on the way to the door: ten thousand of these stacks may wait at once.)
local function question(run, format)
  if run.steps >= (run.max_steps or run.agent.max_steps) then too_many_steps(run) end
  run.steps = run.steps + 1
  local answer, err = ask.ask(run, format)
  if err then
    if err.kind == "budget" then run.steps = run.steps - 1 end -- refused before it was asked
    return shorter(run, err, format)
  end
  return answer
end

-- ---- the answer without calls -----------------------------------------------------------------------------------------------

--- Bytes of a wrong answer that its writer is shown again.
local SHOWN = 8192

--- Once more, with what was wrong; the exchange leaves the history when it has been mended.
local function again(run, keep, text, complaint)
  run:count("repairs", 1)
  run.repaired = run.repaired + 1
  run.history:cut(keep)
  if #text > SHOWN then text = clip(text, math.min(SHOWN, run:result_limit(1))) end
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
local function cut_off(run, answer)
  if answer.endless then return output.endless(answer.text, run.agent.label, answer.endless) end
  local options = run.agent.options
  return output.cut(answer.text, run.agent.label, options and options.num_predict, run.agent.output ~= nil)
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
  local format = agent.output:format()
  local answer = first
  while true do
    if not answer then answer = question(run, format) end
    if answer.reason == "length" then error(cut_off(run, answer), 0) end
    local text, called = bound_text(answer)
    run.last_text = text
    local value, err, repairs = output.read(agent.output, text)
    if not err then
      if called or #repairs > 0 then run:count("repairs", 1) end
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
    local value, err, repairs = output.read(agent.output, answer.text)
    if not err and #repairs == 0 then return answer.text, value end
  end
  local keep = #run.history
  if answer.text ~= "" then run.history:push { role = "assistant", content = answer.text } end
  run.history:push({ role = "user", content = output.instructions(agent) }, true)
  local text, value = structured(run)
  run.history:cut(keep)
  return text, value
end

-- ---- the loop ---------------------------------------------------------------------------------------------------------------

--- A definition with handoffs to agents that were made after it is complete when it is first used.
local function complete(agent)
  if agent.complete then agent:complete() end
  return agent
end

--- The model of an agent, as a run asks it.
local function at(agent, apart) return models.begin(models.open(agent.model, agent.endpoint), apart) end

--- Go on with another agent: its instructions, its tools, the same conversation.
local function hand_over(run, target)
  run:emit { type = "handoff", from = run.agent.label, to = target.label }
  run.agent = complete(target)
  run.target = at(run.agent)
end

local function answered(run, call, words)
  run.history:push { role = "tool", tool_name = call["function"].name, tool_call_id = call.id, content = words }
end

--- Run what was called. A handoff comes after the other calls; of several the first counts.
local function act(run, answer)
  local targets = run.agent.targets
  if run.nudged then run.nudged = nil end
  run.history:push { role = "assistant", content = answer.text, thinking = answer.thinking, tool_calls = answer.calls }
  local own, handoffs = answer.calls, nil
  if targets then
    own, handoffs = {}, {}
    for _, call in ipairs(answer.calls) do
      local list = targets[call["function"].name] and handoffs or own
      list[#list + 1] = call
    end
  end
  if own[1] then
    for _, message in ipairs(calls.run(run, own)) do run.history:push(message) end
  end
  for i, call in ipairs(handoffs or {}) do
    local target = targets[call["function"].name].definition
    if i > 1 then
      answered(run, call, run:words("second_handoff", { agent = target.label }))
    else
      answered(run, call, calls.note(run, call, run:words("handoff", { agent = target.label, from = run.agent.label })))
      hand_over(run, target)
    end
  end
end

--- Bytes of one result, so that all of one answer leave room in the window: two fifths of it, three bytes a token.
function Run:result_limit(count)
  local window = self.window or models.window(self.target)
  if not window then return math.maxinteger end
  return math.max(256, window * 3 * 2 // (5 * count))
end

--- An agent with tools that says what it will do, and does nothing: it is asked once to do it, or to answer. Where no question is
--- left, what it said is the answer.
local function announced(run, answer)
  local agent = run.agent
  if not agent.definitions or run.nudged or agent.nudge == false or answer.reason == "length" then return false end
  if run.steps >= (run.max_steps or agent.max_steps) or not nudges.announces(answer.text) then return false end
  run.nudged = true
  run:count("repairs", 1)
  run.history:push { role = "assistant", content = answer.text, thinking = answer.thinking }
  local names = {}
  for i, definition in ipairs(agent.definitions) do names[i] = definition["function"].name end
  run.history:push({ role = "user", content = run:words("nudge", { text = answer.text, tools = table.concat(names, ", ") }) }, true)
  return true
end

--- The model's call could not be read, or it said nothing: tell it, as often as `repair` says. Or it announced what it will do.
local function nudge(run, answer)
  if answer.failed then
    if answer.failed.kind == "limit" or run.repaired >= run.agent.repair then error(answer.failed, 0) end
    again(run, #run.history, "", run:words(run.agent.definitions and "unreadable" or "unreadable_without_tools",
      { problem = answer.failed.message }))
    return true
  end
  if answer.endless then error(cut_off(run, answer), 0) end
  if answer.text:find "%S" then return announced(run, answer) end
  if answer.reason == "length" then error(cut_off(run, answer), 0) end
  if run.repaired >= run.agent.repair then
    errors.raise("invalid_output", ("%s answered with nothing"):format(run.agent.label),
      { hint = "the model may not suit the question, or its template the tools" })
  end
  again(run, #run.history, "", run:words "empty")
  return true
end

local function loop(run)
  while true do
    local agent = run.agent
    local constrained = agent.output and not agent.definitions
    local answer = question(run, constrained and agent.output:format() or nil)
    if answer.text ~= "" then run.last_text = answer.text end
    if constrained then
      return structured(run, answer)
    elseif answer.calls then
      act(run, answer)
    elseif not nudge(run, answer) then
      if agent.output then return after_tools(run, answer) end
      return answer.text, nil, answer
    end
  end
end

--- Check the options of a run.
---@param what string
---@param options table|nil
function M.options(what, options)
  if options == nil then return nil end
  options = errors.options(options, { max_steps = "number" }, what)
  if options.max_steps and not (math.type(options.max_steps) == "integer" and options.max_steps >= 1) then
    errors.argument("%s: max_steps must be a whole number of at least 1, got %s", what, tostring(options.max_steps))
  end
  return options
end

--- What may be said to the model of this agent, in the order in which it may happen.
local function applicable(agent)
  local calls_ = agent.definitions
  local function when(condition, ...) return condition and { ... } or {} end
  local names = {}
  for _, list in ipairs {
    { "empty" }, when(calls_ and agent.nudge ~= false, "nudge"), when(agent.output, "schema", "misfit"),
    when(calls_, "unreadable", "unknown_tool", "bad_arguments", "too_many_calls", "repeated", "failure", "bug", "denied",
      "cancelled"),
    when(not calls_, "unreadable_without_tools", "no_tools"),
    when(agent.targets, "handoff", "second_handoff"), when(agent.summarize, "summary_task", "summary"),
  } do
    table.move(list, 1, #list, #names + 1, names)
  end
  local out = {}
  for i, name in ipairs(names) do out[i] = { name = name, text = texts.template(name, agent.texts) } end
  return out
end

--- The request that a run would send first.
---@param agent table its definition
---@param past stoke.agent.history with the new messages
---@return { method: string, url: string, body: string, answer: string, texts: { name: string, text: string|function }[] }
function M.next_request(agent, past)
  local run = setmetatable({ agent = complete(agent), history = past }, Run)
  local format = agent.output and not agent.definitions and agent.output:format() or nil
  run.target = at(agent, true)
  local messages, tools = run:question(format)
  local made = models.request(run.target, agent, false, messages, tools, format, caps.options(agent, run.cap))
  made.answer, made.texts = caps.words(agent, run.target), applicable(agent)
  return made
end

--- Print a request.
---@param made { method: string, url: string, body: string, answer: string, texts: table }
---@return { method: string, url: string, body: string, answer: string, texts: table } the same
function M.show(made)
  local body = json.encode(json.decode(made.body, { ordered = true }), { pretty = true })
  local lines = { ("%s %s\n%s"):format(made.method, made.url, body), "answer: " .. made.answer,
    "said to the model where it applies:" }
  for _, entry in ipairs(made.texts) do
    local text = type(entry.text) == "string" and entry.text:gsub("\n", "\n    ") or "(a function)"
    lines[#lines + 1] = ("  %s: %s"):format(entry.name, text)
  end
  stdio.print(table.concat(lines, "\n"))
  return made
end

local function new(agent, past, listener, limits)
  local outer = M.outer()
  local run = setmetatable({ agent = complete(agent), history = past, begin = #past + 1, outer = outer,
    max_steps = limits and limits.max_steps }, Run)
  if outer and outer.listener then
    local heard = nested(outer, run)
    run.listener = listener and function(event) listener(event) heard(event) end or heard
  else
    run.listener = listener
  end
  return run
end

local function finish(run, text, value, answer)
  run.history:push { role = "assistant", content = text }
  local result = run:result(text, value)
  result.reason, result.thinking = answer and answer.reason or "stop", answer and answer.thinking
  if run.listener then
    run:emit { type = "usage", usage = result.usage }
    run:emit { type = "done", result = result }
  end
  return result, run.agent
end

local function bounds(agent)
  if agent.budget or agent.deadline then return require("stoke").scope { budget = agent.budget, deadline = agent.deadline } end
end

local function drive(new_run, messages)
  local run <close> = new_run
  local scope <close> = bounds(run.agent)
  run.target = at(run.agent)
  for i = 1, #messages do run.history:push(messages[i]) end
  messages = nil -- luacheck: ignore (this may wait long)
  return finish(run, loop(run))
end

--- Run an agent.
---@param agent table its definition
---@param past stoke.agent.history
---@param messages table[] the new ones
---@param listener? fun(event: table)
---@param limits? { max_steps?: integer }
---@return stoke.agent.result result
---@return table agent the definition that was in force in the end
---Raises what ollama.chat raises, and invalid_output, limit, max_steps, loop, needs_approval; `err.work` is the work so far.
function M.run(agent, past, messages, listener, limits)
  return drive(new(agent, past, listener, limits), messages)
end

return M
