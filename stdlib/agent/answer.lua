--- One answer of the model: what it says made fit to be used, and passed on while it comes.
---
--- Tool calls are collected from every chunk and acted on after the last one only. A call that the server could not read (its
--- HTTP 500 has the text in it) or that the model wrote as text is salvaged (stoke.reading.salvage).
---
--- An answer has a cap where nobody says how long it may get: a fixed number of tokens, which a small model on a processor writes
--- in a few minutes; or as many as the model's window has, where that is known and smaller: what is longer has lost its own
--- beginning.
--- It is sent as num_predict, so that the server ends the answer and its slot is free. options.num_predict of the agent or of the
--- model's profile goes before it, and so does a budget of tokens, which bounds the answer itself.

local cache = require "core.cache.settings"
local errors = require "core.errors"
local frames = require "core.frame"
local random = require "core.random"
local current = require "core.task".current
local json = require "stoke.json"
local output = require "stoke.agent.output"
local repeats = require "stoke.agent.repeats"
local models = require "stoke.model"
local arguments = require "stoke.reading.arguments"
local names = require "stoke.reading.names"
local salvage = require "stoke.reading.salvage"

local find = string.find
local random_id, streams = random.id, random.streams

local M = {}

---@class stoke.agent.answer: stoke.model.answer
---@field text string
---@field thinking? string
---@field calls? table[] as the API has them: { id, function = { name, arguments } }
---@field reason? string "stop" or "length"
---@field cached? string how it came from the cache
---@field usage? stoke.usage nil where the server could not tell
---@field repairs integer rungs that were taken to read it
---@field endless? integer tokens at which the cap of answers that nothing else bounds has cut it
---@field failed? stoke.error the model's call could not be read, and nothing could be salvaged

--- An id: the prefix and eight digits, of chance or, in a journalled run, of where it is made.
---@param prefix string
---@return string
function M.id(prefix)
  local id = frames.any and frames.id(prefix)
  return id and prefix .. id:sub(1, 8) or random_id(streams["run id"], prefix)
end

-- ---- how long it may get ----------------------------------------------------------------------------------------------------

--- Tokens of an answer, and of one with the thinking before it.
local ANSWER <const>, THINKING <const> = 4096, 32768

--- Does one of these budgets bound the tokens?
local function bounds_tokens(level)
  while level do
    if level.limit.tokens then return true end
    level = level.outer
  end
  return false
end

--- The cap of an agent's next answer.
---@param agent table its definition
---@param target stoke.target
---@return integer|nil tokens nil: something else bounds it
---@return integer|nil window of the model, where it is known
---
--- Example: `local tokens = answers.cap(bot.definition, target)`
function M.cap(agent, target)
  local options = agent.options
  if options and options.num_predict then return nil end
  local task = current()
  local budget = task and (task.scope or task).context.budget
  if budget and bounds_tokens(budget) then return nil end
  if target.sampling and target.sampling.num_predict then return nil end
  local known = models.known(target)
  local most = agent.think and THINKING or ANSWER
  return known and known < most and known or most, known
end

--- Tables that hold a cap alone, by the cap: all agents without options of their own share them.
local alone, alone_count, KEPT = {}, 0, 64

--- The options of a call with a cap; the same table each time.
---@param agent table its definition
---@param tokens integer|nil
---@return table|nil
function M.options(agent, tokens)
  local options = agent.options
  if not tokens then return options end
  if not options then
    local shared = alone[tokens]
    if not shared then
      if alone_count == KEPT then alone, alone_count = {}, 0 end
      shared = { num_predict = tokens }
      alone[tokens], alone_count = shared, alone_count + 1
    end
    return shared
  end
  local capped = agent.capped
  if not capped or capped.num_predict ~= tokens then
    capped = { num_predict = tokens }
    for name, value in next, options do capped[name] = value end
    agent.capped = capped
  end
  return capped
end

--- Where a cap comes from, in words.
---@param agent table its definition
---@param target stoke.target
---@return string
function M.bound(agent, target)
  local tokens, known = M.cap(agent, target)
  if not tokens then return "as long as num_predict or a budget says" end
  return ("at most %d tokens (%s; options.num_predict sets another limit)"):format(tokens,
    tokens == known and "the window of " .. agent.model or "where nothing else is said")
end

--- Of the tokens of an answer, those that count for its margin: the least sure.
local LEAST <const> = 0.1

--- How sure a model was of its answer: the mean distance of the likeliest token to the next one, in nats, over the tenth of the
--- tokens where it is least.
---@param odds table[] of each token, as the API has them: { top_logprobs = { { logprob }, ... } }
---@return number|nil margin nil where nothing is known
function M.margin(odds)
  local gaps = {}
  for _, token in ipairs(odds) do
    local top = type(token) == "table" and token.top_logprobs
    local first, second = type(top) == "table" and top[1], type(top) == "table" and top[2]
    if type(first) == "table" and type(second) == "table" and math.type(first.logprob) and math.type(second.logprob) then
      gaps[#gaps + 1] = math.abs(first.logprob - second.logprob)
    end
  end
  if not gaps[1] then return nil end
  table.sort(gaps)
  local count, sum = math.max(1, math.floor(#gaps * LEAST)), 0
  for i = 1, count do sum = sum + gaps[i] end
  return sum / count
end

-- ---- calls --------------------------------------------------------------------------------------------------------------------

local function as_calls(found)
  local calls = {}
  for i, call in ipairs(found) do
    calls[i] = { id = M.id "call_", ["function"] = { name = call.name, arguments = call.arguments } }
  end
  return calls
end

--- Two calls with one id would share a result.
local function distinct(calls)
  local seen = {}
  for _, call in ipairs(calls) do
    if seen[call.id] then call.id = M.id "call_" end
    seen[call.id] = true
  end
end

--- Names that are nearly those of tools become them.
---@return integer repairs
local function settle_names(calls, known)
  local repairs = 0
  for i = 1, #calls do
    local f = calls[i]["function"]
    local name = not known[f.name] and names.meant(f.name, known)
    if name then f.name, repairs = name, repairs + 1 end
  end
  return repairs
end

--- A call written as text that ends in the middle is no answer: the model is asked again, unless it would be cut again.
local function cut_call(agent, answer, name)
  local limited = answer.reason == "length"
  answer.failed = errors.new(limited and "limit" or "invalid_output",
    ("%s's call of %s ended in the middle, after %d bytes"):format(agent.label, name, #answer.text),
    { text = answer.text, hint = limited and "raise options.num_predict, or give the model a larger num_ctx" or nil })
  answer.text = ""
end

--- An answer that was cut off at its limit calls nothing: its last call may be cut too, and JSON all the same.
local function cut_before(agent, answer, name)
  local limit = agent.options and agent.options.num_predict
  answer.failed = errors.new("limit",
    ("the answer of %s was cut off%s at its call of %s, which was not run"):format(agent.label,
    limit and limit > 0 and (" (num_predict = %d)"):format(limit) or "", name),
    { text = answer.text, tool = name,
      hint = "raise options.num_predict, give the model a larger num_ctx, or the budget more tokens" })
  answer.text, answer.calls = "", nil
end

--- The calls of an answer, as they are run and sent back.
local function settle(agent, answer, calls)
  if answer.reason == "length" then return cut_before(agent, answer, calls[#calls]["function"].name) end
  answer.repairs = answer.repairs + settle_names(calls, agent.names) + arguments.settle(calls, agent.by_name)
  if calls[2] then distinct(calls) end
  answer.calls = calls
end

--- A call that the model wrote as text.
local function find_written(agent, answer)
  local found, rest = salvage.from_text(answer.text, agent.names)
  if not found then
    local name = salvage.cut_call(answer.text, agent.names)
    return name and cut_call(agent, answer, name)
  end
  if answer.reason ~= "length" then answer.text, answer.repairs = rest or "", answer.repairs + 1 end
  settle(agent, answer, as_calls(found))
end

--- Was the answer cut because it reached the cap? A token has a byte at least.
local function at_cap(answer, count, cap)
  return (count >= cap or count == 0) and #answer.text + #(answer.thinking or "") >= cap
end

--- May there be a written call in a text? Plain searches: nearly all answers have nothing that one begins with, and some are
--- long.
local function may_hold_call(text)
  return find(text, "{", 1, true) or find(text, "(", 1, true) or find(text, "[", 1, true) or find(text, "<", 1, true)
    or find(text, "Action:", 1, true)
end

--- Read an answer that has come: its calls, in whatever form.
---@param agent table its definition
---@param answer stoke.model.answer
---@param format? table the schema it is bound to
---@param cap? integer tokens it may have, where nothing else bounds it
---@return stoke.agent.answer answer the same table
function M.read(agent, answer, format, cap)
  local calls = answer.calls
  answer.repairs, answer.calls = 0, nil
  if cap and answer.reason == "length" and at_cap(answer, answer.usage.output_tokens, cap) then answer.endless = cap end
  if calls and calls[1] then
    settle(agent, answer, calls)
  elseif not format and agent.definitions and may_hold_call(answer.text) then
    find_written(agent, answer)
  end
  return answer
end

--- The server, or our reader of its answers, may not have been able to read the call that the model wrote. What that has cost
--- nobody tells.
---@param target stoke.target
---@param agent table its definition
---@param err stoke.error of the question
---@param format? table
---@return stoke.agent.answer|nil answer nil: it was no such error
function M.from_error(target, agent, err, format)
  local meaning, text = models.reads(target, err)
  if meaning ~= "call" then return nil end
  local found = not format and agent.definitions and salvage.from_error(text, agent.names)
  if not found then return { text = "", repairs = 0, failed = err } end
  local answer = { text = "", repairs = 1 }
  settle(agent, answer, as_calls(found))
  return answer
end

-- ---- events -------------------------------------------------------------------------------------------------------------------

--- An event of a text that will be JSON: `partial` is what it says so far, worked out when it is asked for.
local Growing = {}
function Growing.__index(event, key)
  if key ~= "partial" then return nil end
  local value = json.partial(event.so_far())
  event.partial = value
  return value
end

local function grow(said, event)
  local count = said.count
  event.so_far = function() return said:text(count) end
  return setmetatable(event, Growing)
end

--- May a text with this beginning be a call? nil: that is not known yet.
local function may_call(text)
  local first = text:match "%S"
  return first and first:find "[{%[<`|]" ~= nil
end

--- The text repeats itself: the connection is closed, and with it the server's slot is free.
local function looping(agent, cycle, said)
  errors.raise("loop", ("the answer of %s repeats %s and was cut off after %d bytes"):format(agent.label, repeats.shown(cycle),
    said.size), { text = said:text(), hint = repeats.HINT })
end

--- Bytes of a token, at the most; a server that knows nothing of num_predict sends for ever.
local TOKEN <const> = 32

--- Passes the events of an answer on, and collects it. What may turn out to be a call written as text is held back: of what was
--- said, `told` pieces were passed on.
---@param said stoke.agent.repeats the text, collected
---@return string|nil thinking
---@return table[] calls
---@return table done the last event
---@return boolean held the text was not passed on
local function pass_on(agent, events, format, cap, said, emit)
  local growing, most = format ~= nil, cap and cap * TOKEN or math.huge
  local thoughts, calls, done = nil, {}, nil
  local held = not format and agent.definitions ~= nil
  local undecided = held
  for event in events do
    local kind = event.type
    if kind == "text" then
      local cycle = said:put(event.text)
      if undecided then
        local may = may_call(event.text)
        if may ~= nil then undecided = false end
        if may == false then
          held = false
          if said.count > 1 then event = { type = "text", text = said:text() } end
        end
      end
      if not held then emit(growing and grow(said, event) or event) end
      if cycle then looping(agent, cycle, said) end
    elseif kind == "thinking" then
      thoughts = thoughts or repeats.new()
      emit(event)
      local cycle = thoughts:put(event.text)
      if cycle then looping(agent, cycle, said) end
    elseif kind == "tool_call" then
      calls[#calls + 1] = event.call
    elseif kind == "done" then
      done = event
    end
    if said.size > most or thoughts and said.size + thoughts.size > most then
      error(output.endless(said:text(), agent.label, cap), 0)
    end
  end
  return thoughts and thoughts:text(), calls, done, held
end

local function read_stream(target, agent, messages, format, cap, said, emit)
  local events, _, _, stream = models.stream(target, agent, messages, not format and agent.definitions or nil, format,
    M.options(agent, cap))
  local closing <close> = stream -- luacheck: ignore
  local thoughts, calls, done, held = pass_on(agent, events, format, cap, said, emit)
  local text, thinking = models.settled(target, agent, said:text(), thoughts)
  local answer = { text = text, thinking = thinking, calls = calls, reason = done.reason, usage = done.usage,
    cached = done.cached }
  if target.route then answer.model, answer.endpoint = done.reply.model, done.endpoint end
  M.read(agent, answer, format, cap)
  if held and said.count > 0 and not answer.calls and not answer.failed then -- it was no call
    local all = said:text()
    if all ~= "" then emit { type = "text", text = all } end
  end
  return answer
end

--- Ask, and pass on what is said as it comes. The agent's tools go along, unless the answer is bound to a format.
---@param target stoke.target
---@param agent table its definition
---@param messages table[]
---@param format? table
---@param cap? integer
---@param emit fun(event: table)
---@return stoke.agent.answer|nil
---@return stoke.error|nil err what model.stream raises, but for `argument` and `cancelled`
---@return string|nil said what had come of an answer that broke off
function M.stream(target, agent, messages, format, cap, emit)
  local said = repeats.new()
  local ok, answer = pcall(read_stream, target, agent, messages, format, cap, said, emit)
  if ok then return answer end
  if not errors.is(answer) or answer.kind == "cancelled" then error(answer, 0) end
  return nil, answer, said:text()
end

--- A target whose answers come with the odds of their tokens.
---@param target stoke.target
---@return stoke.target
function M.with_odds(target)
  return setmetatable({ profile = setmetatable({ late = true, logprobs = true }, { __index = target.profile }) },
    { __index = target })
end

--- Where a rung of the fallbacks is asked: a name alone is a route of the settings, or a model at the agent's own endpoint.
---@param what { model: string, endpoint?: string }
---@param own string|nil the agent's endpoint
---@return stoke.target
function M.rung(what, own)
  local target = models.open(what.model, what.endpoint)
  if not own or what.endpoint or target.route or what.model:find("@", 1, true) then return target end
  return models.open(what.model, own)
end

--- A target whose questions nothing but the cache answers.
---@param target stoke.target
---@param given boolean|table|nil the cache of the agent
---@return stoke.target
function M.kept_only(target, given)
  local candidates = {}
  for name, value in next, target.candidates do candidates[name] = value end
  candidates.cache = cache.only(given)
  return setmetatable({ candidates = candidates }, { __index = target })
end

return M
