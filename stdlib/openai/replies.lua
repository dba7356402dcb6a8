--- What servers of OpenAI's wire answer, read and checked. A whole reply becomes what Ollama's is, so that one is read like the
--- other: { model, message = { role, content, thinking?, tool_calls? }, done = true, done_reason = "stop"|"length", logprobs? } and
--- beside it usage (stoke.usage), finish_reason as it came, id, timings and took (seconds, as told and as seen).

local errors = require "core.errors"
local json = require "core.json"
local failures = require "stoke.openai.failures"
local learned = require "stoke.model.learned"
local notes = require "stoke.openai.notes"
local ollama = require "stoke.ollama.replies"
local pieces = require "stoke.reading.pieces"
local tidy = require "stoke.reading.calls".tidy
local usages = require "stoke.agent.usage"
local wire = require "stoke.reading.wire"

local M = {}

local null, is_array = json.null, json.is_array
local odd = failures.odd

--- Tokens of one call: beyond all sense.
local MOST_TOKENS <const> = 1 << 27

local function count(value)
  local n = math.type(value) and math.tointeger(value)
  return n and n >= 0 and n < MOST_TOKENS and n or nil
end

local function seconds(value)
  return math.type(value) and value >= 0 and value < 1e12 and value / 1000 or nil
end

-- ---- usage and times ----------------------------------------------------------------------------------------------------------

--- The usage of an answer: as the server told it, or worked out of bytes and flagged.
---@param told any the wire's own
---@param q table
---@param target stoke.target
---@param written integer bytes of the answer
---@param attempts? integer
---@return stoke.usage
function M.counted(told, q, target, written, attempts)
  local usage = usages.new()
  local input = type(told) == "table" and count(told.prompt_tokens) or nil
  local output = type(told) == "table" and (count(told.completion_tokens) or told.total_tokens == told.prompt_tokens and 0) or nil
  if input == 0 and output == 0 and written > 0 then input, output = nil, nil end
  usage.calls, usage.attempts = 1, attempts or 1
  usage.estimated = not (input and output)
  usage.input_tokens = input or learned.estimate(target, learned.body_size(q.body))
  usage.output_tokens = output or written > 0 and learned.estimate(target, written) or 0
  return usage
end

--- Tokens of a reply; nil for what is none.
---@param value any
---@return stoke.usage|nil
function M.usage(value)
  if type(value) ~= "table" then return nil end
  local known = rawget(value, "usage")
  if type(known) == "table" then return known end
  return ollama.usage(value) -- along a route: it was another server's
end

--- What a reply took: as the server tells (llama-server), or as it was seen here: until the end, and until the first token.
---@param value any
---@return table|nil
function M.timings(value)
  if type(value) ~= "table" then return nil end
  local told, took, usage = value.timings, value.took or {}, value.usage or {}
  local out = { total = took.total, input = usage.input_tokens, output = usage.output_tokens, prefill = nil, decode = nil,
    first = nil }
  if usage.estimated then out.input, out.output = nil, nil end
  if type(told) == "table" then out.prefill, out.decode = seconds(told.prompt_ms), seconds(told.predicted_ms) end
  if not out.decode then out.prefill, out.first = nil, took.first end
  return (out.total or out.decode) and out or nil
end

--- What a call took as seen here: for the driver.
---@param value table a reply, or an event of type "done"
---@param total number seconds
---@param first? number until the first event
function M.took(value, total, first)
  local reply = value.type == "done" and value.reply or value
  if type(reply) ~= "table" then return end
  reply.took = { total = total, first = first }
  local usage = rawget(value, "usage")
  if type(usage) == "table" then usage.seconds = total end
end

-- ---- parts ----------------------------------------------------------------------------------------------------------------------

--- A text: a string, null, or a list of parts; nil for what is none.
---@param value any
---@return string|nil text
---@return string|nil thinking that stands among the parts
function M.text(value)
  if type(value) == "string" then return value end
  if value == nil or value == null then return "" end
  if type(value) ~= "table" or not is_array(value) then return nil end
  local text, thought = {}, {}
  for _, part in ipairs(value) do
    if type(part) == "string" then
      text[#text + 1] = part
    elseif type(part) == "table" and type(part.text) == "string" then
      local into = part.type == "thinking" and thought or text
      into[#into + 1] = part.text
    elseif type(part) == "table" and part.type == "thinking" then
      thought[#thought + 1] = M.text(part.thinking) or ""
    end
  end
  return table.concat(text), thought[1] and table.concat(thought) or nil
end

--- The thinking of a message or a delta, whichever field it has it in.
---@param message table
---@return string thinking
---@return string|nil field
function M.thinking(message)
  for _, field in ipairs { "reasoning_content", "reasoning" } do
    if type(message[field]) == "string" and message[field] ~= "" then return message[field], field end
  end
  return ""
end

local REASONS = { stop = "stop", eos = "stop", eos_token = "stop", stop_sequence = "stop", end_turn = "stop", tool_calls = "stop",
  function_call = "stop", length = "length", max_tokens = "length", model_length = "length" }

--- Why an answer ended, in our words.
---@param finish any the wire's own
---@param target stoke.target
---@return string reason
function M.reason(finish, target)
  if REASONS[finish] then return REASONS[finish] end
  if finish == "content_filter" then
    notes.once(target, "content_filter", "the server's filter cut an answer short")
  end
  return type(finish) == "string" and finish or "stop"
end

--- Calls of tools as messages have them; nil and an error.
---@param list any
---@param q table
---@return table[]|nil calls
---@return integer|stoke.error|nil repairs
function M.calls(list, q)
  if list == nil or list == null then return nil, 0 end
  local holder = { tool_calls = list }
  local calls, said, foreign = tidy(holder, q.any_arguments)
  if not calls then
    if not said then return nil, 0 end
    if foreign then return nil, odd(said, q) end
    return nil, errors.new("invalid_output", said, { model = q.model, retryable = true, began = true,
      hint = "the model wrote a tool call that cannot be read; ask again, perhaps with another seed" })
  end
  if #calls == 0 then return nil, 0 end
  local out = {}
  for i, call in ipairs(calls) do
    local f = call["function"]
    out[i] = { id = call.id, ["function"] = { index = i - 1, name = f.name, arguments = f.arguments } } -- as Ollama gives them
  end
  return out, said
end

local function written_bytes(message)
  return #message.content + #(message.thinking or "") + (message.tool_calls and #(json.encode(message.tool_calls) or "") or 0)
end

-- ---- whole replies ------------------------------------------------------------------------------------------------------------

--- A reply of the parts that were read.
---@param parts { text, thinking, calls, repairs, finish, usage, logprobs, timings, model, id, tool }
---@param q table
---@param target stoke.target
---@param attempts? integer
---@return table
function M.made(parts, q, target, attempts)
  local message = { role = "assistant", content = parts.text, tool_calls = parts.calls,
    thinking = parts.thinking ~= "" and parts.thinking or nil }
  local bytes = written_bytes(message)
  message.content = pieces.split(message, "content", parts.text, q, target)
  local usage = M.counted(parts.usage, q, target, bytes, attempts)
  usage.repairs, usage.tool_calls = parts.repairs or 0, parts.calls and #parts.calls or 0
  local details = type(parts.usage) == "table" and parts.usage.prompt_tokens_details
  return { model = parts.model, id = parts.id, message = message, done = true, done_reason = M.reason(parts.finish, target),
    finish_reason = type(parts.finish) == "string" and parts.finish or nil, logprobs = parts.logprobs, usage = usage,
    timings = type(parts.timings) == "table" and parts.timings or nil,
    cached_tokens = type(details) == "table" and count(details.cached_tokens) or nil }
end

--- The odds of tokens, from a choice.
---@param choice table
---@return table[]|nil
function M.odds(choice)
  local odds = choice.logprobs
  return type(odds) == "table" and type(odds.content) == "table" and odds.content[1] and odds.content or nil
end

local function named(value) return type(value) == "string" and value or nil end

local function choice_of(value, q)
  local choices = value.choices
  if type(choices) ~= "table" then return nil, odd("there are no choices in it", q) end
  local choice = choices[1]
  if type(choice) ~= "table" then return nil, odd("its list of choices is empty", q) end
  return choice
end

--- path -> fun(value, q, target, attempts): the reply, or nil and an error.
local SHAPES = {}

SHAPES["/v1/chat/completions"] = function(value, q, target, attempts, replaced)
  local choice, err = choice_of(value, q)
  if not choice then return nil, err end
  local message = choice.message
  if type(message) ~= "table" or is_array(message) then return nil, odd("message is no object", q) end
  local text, among = M.text(message.content)
  if not text then return nil, odd("message.content is a " .. type(message.content), q) end
  if text == "" and type(message.refusal) == "string" then text = message.refusal end
  local thought, field = M.thinking(message)
  if field then notes.learn(target, "reasoning", field) end
  local calls, repairs = M.calls(message.tool_calls, q)
  if not calls and repairs ~= 0 then return nil, repairs end
  if choice.finish_reason == "error" then return nil, failures.incomplete(q, text) end
  return M.made({ text = text, thinking = among or thought, calls = calls, repairs = repairs + replaced,
    finish = choice.finish_reason,
    usage = value.usage, logprobs = M.odds(choice), timings = value.timings, model = named(value.model), id = named(value.id) },
    q, target, attempts)
end

SHAPES["/v1/completions"] = function(value, q, target, attempts, replaced)
  local choice, err = choice_of(value, q)
  if not choice then return nil, err end
  if type(choice.text) ~= "string" then return nil, odd("choices[1].text is a " .. type(choice.text), q) end
  return M.made({ text = choice.text, thinking = "", repairs = replaced, finish = choice.finish_reason, usage = value.usage,
    timings = value.timings, model = named(value.model), id = named(value.id) }, q, target, attempts)
end

SHAPES["/v1/embeddings"] = function(value, q, target, attempts)
  local data, input = value.data, q.body.input
  if type(data) ~= "table" then return nil, odd("data is no list", q) end
  local wanted, rows = type(input) == "table" and #input or 1, {}
  if #data ~= wanted then return nil, odd(("%d embeddings for %d texts"):format(#data, wanted), q) end
  for i, item in ipairs(data) do
    local at = type(item) == "table" and (math.type(item.index) == "integer" and item.index + 1 or i)
    local row = at and item.embedding
    if type(row) ~= "table" or not math.type(row[1]) or rows[at] or at < 1 or at > wanted then
      return nil, odd(("data[%d] is no vector of its own"):format(i), q)
    end
    rows[at] = row
  end
  return { model = named(value.model), embeddings = rows, usage = M.counted(value.usage or {}, q, target, 0, attempts) }
end

SHAPES["/v1/models"] = function(value, q)
  if type(value.data) ~= "table" then return nil, odd("there is no list of models in it", q) end
  for i, model in ipairs(value.data) do
    if type(model) ~= "table" or type(model.id) ~= "string" then return nil, odd(("data[%d] has no id"):format(i), q) end
  end
  return value
end

--- path -> fun(value, q, target, attempts, replaced): shapes of other files are added there.
M.shapes = SHAPES

--- A decoded answer, as a reply.
---@param value any
---@param damaged boolean|nil
---@param q table
---@param attempts integer|nil
---@param target stoke.target
---@return table|nil reply
---@return stoke.error? err
function M.shaped(value, damaged, q, attempts, target)
  if type(value) ~= "table" then return nil, odd("it is no JSON object", q) end
  local replaced = damaged and select(2, wire.mend(value)) and 1 or 0
  local err = failures.inside(value, q, target) or failures.foreign(value, q)
  if err then return nil, err end
  local shape = SHAPES[q.path]
  if not shape then return value end
  if is_array(value) and next(value) ~= nil then return nil, odd("it is no JSON object", q) end
  return shape(value, q, target, attempts, replaced)
end

--- The whole body of a call that is not streamed.
---@param text string
---@param q table the request
---@param attempts? integer
---@param target stoke.target
---@return table|nil reply
---@return stoke.error? err
function M.reply(text, q, attempts, target)
  if text == "" then return nil, failures.incomplete(q) end
  local value, err, damaged = wire.decode(text)
  if err then return nil, failures.no_json(text, err, q) end
  return M.shaped(value, damaged, q, attempts, target)
end

--- A reply as stoke.model gives it.
---@param value table
---@return stoke.model.answer
function M.answer(value)
  if not rawget(value, "usage") then return ollama.answer(value) end
  local message = value.message
  return { text = message.content, thinking = message.thinking, calls = message.tool_calls, reason = value.done_reason,
    usage = value.usage, logprobs = value.logprobs, cached = value.cached }
end

return M
