--- One question to the model: whole or streamed, what it answered made fit to be used.
---
--- Tool calls are collected from every chunk and acted on after the last one only. A call that the server could not read (its
--- HTTP 500 has the text in it) or that the model wrote as text is salvaged (stoke.agent.salvage).

local errors = require "core.errors"
local random = require "core.random"
local json = require "stoke.json"
local caps = require "stoke.agent.cap"
local output = require "stoke.agent.output"
local repeats = require "stoke.agent.repeats"
local called = require "stoke.agent.calls"
local models = require "stoke.model"
local salvage = require "stoke.agent.salvage"
local usages = require "stoke.agent.usage"

local M = {}

---@class stoke.agent.answer
---@field text string
---@field thinking? string
---@field calls? table[] as the API has them: { id, function = { name, arguments } }
---@field reason? string "stop" or "length"
---@field endless? integer tokens at which the cap of answers that nothing else bounds has cut it
---@field failed? stoke.error the model's call could not be read, and nothing could be salvaged

--- An id: the prefix and eight digits of chance.
---@param prefix string
---@return string
function M.id(prefix) return ("%s%08x"):format(prefix, random.stream("run id"):int(0, 0xffffffff)) end

local function as_calls(found)
  local calls = {}
  for i, call in ipairs(found) do
    calls[i] = { id = M.id "call_", ["function"] = { name = call.name, arguments = call.arguments } }
  end
  return calls
end

--- Two calls with one id would share a result.
local function distinct(calls)
  if not calls[2] then return calls end
  local seen = {}
  for _, call in ipairs(calls) do
    if seen[call.id] then call.id = M.id "call_" end
    seen[call.id] = true
  end
  return calls
end

--- A name as it is compared: letters and digits.
local function bare(name) return (name:gsub("[^%w\x80-\xFF]", ""):lower()) end

--- The tool a name stands for: written in another case or with other separators, with what templates put round it
--- (`functions.x`, `x()`, `x<|channel|>`); nil where there is none, or more than one.
local function meant(name, names)
  if #name > 200 then return nil end
  name = name:gsub("<|.*", ""):gsub("%(.*", "")
  while name do
    local wanted, found, count = bare(name), nil, 0
    for known in next, names do
      if bare(known) == wanted then found, count = known, count + 1 end
    end
    if count > 0 then return count == 1 and found or nil end
    name = name:match "[./:](.*)"
  end
end

--- Names that are nearly those of tools become them, each a repair.
local function resolve(run, calls)
  local names = run.agent.names
  for _, call in ipairs(calls) do
    local f = call["function"]
    local name = not names[f.name] and meant(f.name, names)
    if name then
      f.name = name
      run:count("repairs", 1)
    end
  end
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

--- Passes text on as events. What may turn out to be a call written as text is held back until that is known.
local function writer(run, watch, growing)
  local parts, held, decided, first = {}, {}, not watch, nil
  local self = {}

  local function emit(text)
    local event = { type = "text", text = text }
    if growing then
      local count = #parts
      event.so_far = function() return table.concat(parts, "", 1, count) end
      setmetatable(event, Growing)
    end
    run:emit(event)
  end

  function self.put(text)
    parts[#parts + 1] = text
    if decided then return emit(text) end
    held[#held + 1] = text
    if first then return end
    first = text:match "%S"
    if not first or first:find "[{%[<`|]" then return end -- it may be one
    decided = true
    emit(table.concat(held))
  end

  --- The text is no call: what was held back goes out.
  function self.flush()
    if decided then return end
    decided = true
    local all = table.concat(held)
    if all ~= "" then emit(all) end
  end

  function self.text() return table.concat(parts) end
  return self
end

-- ---- asking -------------------------------------------------------------------------------------------------------------------

--- The text repeats itself: the connection is closed, and with it the server's slot is free.
local function looping(run, cycle, out)
  errors.raise("loop", ("the answer of %s repeats %s and was cut off after %d bytes"):format(run.agent.label,
    repeats.shown(cycle), #out.text()), { text = out.text(), hint = repeats.HINT })
end

--- Bytes of a token, at the most; a server that knows nothing of num_predict sends for ever.
local TOKEN = 32

local function read_stream(run, out, messages, tools, format)
  local thinking, calls, done = {}, {}, nil
  local watch, thoughts = repeats.new(), nil
  local left = run.cap and run.cap * TOKEN or math.huge
  for ev in models.stream(run.target, run.agent, messages, tools, format, caps.options(run.agent, run.cap)) do
    left = left - #(ev.text or "")
    if left < 0 then error(output.endless(out.text(), run.agent.label, run.cap), 0) end
    if ev.type == "text" then
      out.put(ev.text)
      local cycle = watch:put(ev.text)
      if cycle then looping(run, cycle, out) end
    elseif ev.type == "thinking" then
      thinking[#thinking + 1] = ev.text
      run:emit { type = "thinking", text = ev.text }
      thoughts = thoughts or repeats.new()
      local cycle = thoughts:put(ev.text)
      if cycle then looping(run, cycle, out) end
    elseif ev.type == "tool_call" then
      calls[#calls + 1] = ev.call
    elseif ev.type == "done" then
      done = ev
    end
  end
  local text, thought = models.settled(run.target, run.agent, out.text(), #thinking > 0 and table.concat(thinking) or nil)
  return { text = text, thinking = thought, calls = calls, reason = done.reason, usage = done.usage }
end

--- The server, or our reader of its answers, could not read the model's call.
local function mended(run, text, err, format)
  local usage = usages.new()
  usage.calls, usage.attempts, usage.estimated = 1, 1, true
  usage.input_tokens = models.estimate(run.target, run.bytes)
  run:spend(usage)
  local found = not format and run.agent.definitions and salvage.from_error(text, run.agent.names)
  if not found then return { text = "", failed = err } end
  run:count("repairs", 1)
  return { text = "", calls = as_calls(found) }
end

--- A call written as text that ends in the middle is no answer: the model is asked again, unless it would be cut again.
local function cut_call(run, answer, name)
  local limited = answer.reason == "length"
  answer.failed = errors.new(limited and "limit" or "invalid_output",
    ("%s's call of %s ended in the middle, after %d bytes"):format(run.agent.label, name, #answer.text),
    { text = answer.text, hint = limited and "raise options.num_predict, or give the model a larger num_ctx" or nil })
  answer.text = ""
end

--- An answer that was cut off at its limit calls nothing: its last call may be cut too, and JSON all the same.
local function cut_before(run, answer, name)
  local limit = run.agent.options and run.agent.options.num_predict
  answer.failed = errors.new("limit",
    ("the answer of %s was cut off%s at its call of %s, which was not run"):format(run.agent.label,
    limit and limit > 0 and (" (num_predict = %d)"):format(limit) or "", name),
    { text = answer.text, tool = name,
      hint = "raise options.num_predict, give the model a larger num_ctx, or the budget more tokens" })
  answer.text, answer.calls = "", nil
end

--- Calls, where the answer has some, in whatever form.
local function find_calls(run, answer, format)
  local calls = answer.calls
  if calls and #calls > 0 then
    if answer.reason == "length" then return cut_before(run, answer, calls[#calls]["function"].name) end
    resolve(run, calls)
    called.settle(run, calls)
    return distinct(calls)
  end
  if format or not run.agent.definitions then return nil end
  local found, rest = salvage.from_text(answer.text, run.agent.names)
  if not found then
    local name = salvage.cut_call(answer.text, run.agent.names)
    return name and cut_call(run, answer, name)
  end
  if answer.reason == "length" then return cut_before(run, answer, found[#found].name) end
  answer.text = rest or ""
  run:count("repairs", 1)
  found = as_calls(found)
  called.settle(run, found)
  return found
end

--- Was the answer cut because it reached the cap? A token has a byte at least.
local function at_cap(answer, count, cap)
  return (count >= cap or count == 0) and #answer.text + #(answer.thinking or "") >= cap
end

local function take(run, format, answer, usage)
  usage.tool_calls = 0 -- counted when they are run
  run:spend(usage)
  if not usage.estimated then models.learn(run.target, run.bytes, run.images, usage.input_tokens) end
  if answer.reason == "length" and run.cap and at_cap(answer, usage.output_tokens, run.cap) then answer.endless = run.cap end
  answer.calls = find_calls(run, answer, format)
  return answer
end

local function failed(run, format, err)
  local meaning, text = models.reads(run.target, err)
  if meaning == "call" then return mended(run, text, err, format) end
  return nil, err
end

local function ask_streaming(run, format)
  local messages, tools = run:question(format)
  local out = writer(run, tools ~= nil, format ~= nil)
  local ok, answer = pcall(read_stream, run, out, messages, tools, format)
  if not ok then
    if not errors.is(answer) or answer.kind == "cancelled" then error(answer, 0) end
    if out.text() ~= "" then run.last_text = out.text() end -- for err.work
    return failed(run, format, answer)
  end
  take(run, format, answer, answer.usage)
  if not answer.calls and not answer.failed then out.flush() end
  return answer
end

--- Ask.
---@param run stoke.agent.run
---@param format? table the schema an answer is bound to; without it the agent's tools go along
---@return stoke.agent.answer|nil
---@return stoke.error|nil err what ollama.chat raises, but for `argument` and `cancelled`
function M.ask(run, format)
  if run.listener then return ask_streaming(run, format) end
  local messages, tools = run:question(format)
  local answer, err = models.ask(run.target, run.agent, messages, tools, format, caps.options(run.agent, run.cap))
  if err then return failed(run, format, err) end
  return take(run, format, answer, answer.usage)
end

return M
