--- What Ollama answers, read and checked: whole replies, and the lines of a stream as events. Whatever a server sends, the
--- script gets what the API promises or an error that says what was wrong with it.

local json = require "core.json"
local tidy = require "stoke.reading.calls".tidy
local failures = require "stoke.ollama.failures"
local learned = require "stoke.model.learned"
local pieces = require "stoke.reading.pieces"
local wire = require "stoke.reading.wire"

local M = {}

local null = json.null
local math_type, type, is_array = math.type, type, json.is_array
local odd = failures.odd
local split, splits, tagged, texts_of = pieces.split, pieces.splits, pieces.tagged, pieces.texts
local find = string.find
local decode, STRICT = json.decode, wire.STRICT

--- Beyond all sense: nanoseconds, and tokens of one call.
local MOST <const>, MOST_TOKENS <const> = 1 << 53, 1 << 27

--- A time, where it can be one: nobody adds up what is below zero.
local function number(value)
  return math_type(value) and value >= 0 and value < MOST and value or 0
end

--- A count, where it can be one.
local function count(value)
  local n = math_type(value) and math.tointeger(value)
  return n and n > 0 and n < MOST_TOKENS and n or nil
end

--- Are there counts of tokens, as they should be?
local function counted(reply)
  local input, output = reply.prompt_eval_count, reply.eval_count
  return math_type(input) == "integer" and math_type(output) == "integer" and input > 0 and output > 0 and input < MOST_TOKENS
    and output < MOST_TOKENS
end

-- ---- usage ------------------------------------------------------------------------------------------------------------------

--- Of a reply where there is something to say: how many attempts it took, where it was more than one; how much of it was mended;
--- its tokens, where they are not the server's own. { attempts?, repairs?, input?, output? }
local notes = setmetatable({}, { __mode = "k" })

local NOTHING = {}

local function note(reply, name, value)
  local about = notes[reply]
  if not about then
    about = {}
    notes[reply] = about
  end
  about[name] = value
end

--- What a reply used, that has its text and calls in `holder`.
local function used(reply, holder)
  if reply.cached then -- what it cost was paid before
    local calls = holder.tool_calls
    return { input_tokens = 0, output_tokens = 0, calls = 0, attempts = 0, repairs = 0, seconds = 0, load_seconds = 0,
      tool_calls = calls and type(calls) == "table" and #calls or 0, estimated = false, cached = 1 }
  end
  local input, output, about, calls = reply.prompt_eval_count, reply.eval_count, notes[reply] or NOTHING, holder.tool_calls
  local guessed = about ~= NOTHING and (about.input ~= nil or about.output ~= nil)
  if guessed or not counted(reply) then
    input, output = guessed and about.input or count(input) or 0, guessed and about.output or count(output) or 0
  end
  return {
    input_tokens = input, output_tokens = output, calls = 1,
    attempts = about.attempts or 1, tool_calls = calls and type(calls) == "table" and #calls or 0, repairs = about.repairs or 0,
    seconds = number(reply.total_duration) / 1e9, load_seconds = number(reply.load_duration) / 1e9, estimated = guessed,
  }
end

--- Tokens and times of a reply; nil for what is no reply of a model.
---@param reply table
---@return table|nil usage
function M.usage(reply)
  if type(reply) ~= "table" then return nil end
  local known = rawget(reply, "usage")
  if type(known) == "table" then return known end -- an event of type "done"
  if not (reply.done or reply.embeddings) then return nil end
  local message = reply.message
  return used(reply, type(message) == "table" and message.tool_calls and message or reply)
end

--- What a reply took, as the server tells: seconds and tokens. Durations of 0 are left out by Ollama. An embedding says how long it
--- took, and not how long it was worked on: its `prefill` and `decode` are nil.
---@param reply any a reply, or the last line of a stream
---@return { total: number, load: number, prefill: number|nil, decode: number|nil, input: integer|nil, output: integer|nil }|nil
---  timings nil: the server told nothing
function M.timings(reply)
  if type(reply) ~= "table" or not math_type(reply.total_duration) then return nil end
  local timings = { total = number(reply.total_duration) / 1e9, load = number(reply.load_duration) / 1e9,
    input = count(reply.prompt_eval_count), output = count(reply.eval_count), prefill = nil, decode = nil,
    single = reply.embeddings and true or nil } -- an Ollama embeds one request of a model at a time, whatever its slots
  if not reply.embeddings then
    timings.prefill, timings.decode = number(reply.prompt_eval_duration) / 1e9, number(reply.eval_duration) / 1e9
  end
  return timings
end

--- A reply of chat as stoke.model gives it.
---@param reply table
---@return stoke.model.answer
function M.answer(reply)
  local message = reply.message
  return { text = message.content, thinking = message.thinking, calls = message.tool_calls, reason = reply.done_reason,
    usage = rawget(reply, "usage") or used(reply, message), -- along a route it may be another dialect's
    logprobs = type(reply.logprobs) == "table" and reply.logprobs or nil, cached = reply.cached }
end

--- The tool that an answer calls first: its conversation goes on when that has run.
---@param value table a reply, or the source of a stream that was read to its end
---@return string|nil name
function M.continues(value)
  while type(value.inner) == "table" do value = value.inner end
  if type(value.tool) == "string" then return value.tool end
  local message = value.message
  local calls = type(message) == "table" and message.tool_calls
  return calls and calls[1] and calls[1]["function"].name or nil
end

--- What is known of a reply beside it, for a recording: it is part of the outcome.
---@param reply table
---@return table|nil facts plain data; nil where there is nothing to say
function M.facts(reply)
  local about = notes[reply]
  return about and { attempts = about.attempts, repairs = about.repairs, input = about.input, output = about.output }
end

--- Note of a reply that comes from a recording what was known of it.
---@param reply table
---@param facts table as M.facts gave them
function M.restore(reply, facts)
  notes[reply] = { attempts = facts.attempts, repairs = facts.repairs, input = facts.input, output = facts.output }
end

--- Tokens of what a model wrote, at a guess.
local function written(holder, name, target)
  local bytes = #(holder[name] or "") + #(holder.thinking or "")
  if holder.tool_calls then bytes = bytes + #(json.encode(holder.tool_calls) or "") end
  return bytes > 0 and learned.estimate(target, bytes) or 0
end

--- A server that leaves its counts out, or writes what none can be: tokens are worked out of bytes. A count of 0 is left out by
--- Ollama too, so none is missing where nothing was said.
---@param reply table
---@param q table the request
---@param target stoke.target
---@param said integer tokens of the answer, at a guess
local function estimate(reply, q, target, said)
  local input, output = count(reply.prompt_eval_count), count(reply.eval_count)
  if reply.done_reason == "load" or reply.done_reason == "unload" then return end
  if input and (output or said == 0) then return end
  note(reply, "input", input or learned.estimate(target, learned.body_size(q.body)))
  note(reply, "output", output or said)
end

-- ---- tool calls ---------------------------------------------------------------------------------------------------------------

--- A message's tool calls, made fit; nil and an error, or how many repairs that took.
local function tidy_calls(holder, q)
  local found, said, foreign = tidy(holder, q.any_arguments)
  if found or not said then return found, said end
  return nil, (foreign and odd or failures.bad_call)(said, q)
end

-- ---- whole replies ------------------------------------------------------------------------------------------------------------

--- A text that may be missing; nil and an error for anything else.
local function text_of(holder, name, path, q)
  local value = holder[name]
  if type(value) == "string" then return value end
  if value == nil or value == null then
    holder[name] = nil
    return ""
  end
  return nil, odd(("%s%s is a %s"):format(path, name, type(value)), q)
end

--- What chat and generate have in common. `holder` has the text under `name`; its tool calls and thinking, too.
local function answer(reply, holder, name, path, q, target)
  local text, err = text_of(holder, name, path, q)
  if err then return nil, err end
  if holder.thinking ~= nil then
    local _, wrong = text_of(holder, "thinking", path, q)
    if wrong then return nil, wrong end
  end
  if reply.done_reason ~= nil and type(reply.done_reason) ~= "string" then reply.done_reason = nil end
  if reply.done ~= true and not reply._debug_info then return nil, failures.incomplete(q, text) end
  if holder.tool_calls ~= nil then
    local calls, found = tidy_calls(holder, q)
    if not calls and found then return nil, found end
    if found and found > 0 then note(reply, "repairs", ((notes[reply] or NOTHING).repairs or 0) + found) end
  end
  holder[name] = text
  if not counted(reply) then estimate(reply, q, target, written(holder, name, target)) end
  holder[name] = split(holder, name, text, q, target)
  return reply
end

--- path -> fun(reply, q, target): the reply, or nil and an error.
local SHAPES = {}

SHAPES["/api/chat"] = function(reply, q, target)
  local message = reply.message
  if type(message) == "table" and type(message.content) == "string" and reply.done == true and message.thinking == nil
    and message.tool_calls == nil and type(reply.done_reason) == "string" and counted(reply) and not tagged(message.content) then
    return reply -- as nearly all are
  end
  if message == nil or message == null then
    if reply.done ~= true then return nil, failures.incomplete(q) end
    message = { role = "assistant", content = "" }
    reply.message = message
  end
  if type(message) ~= "table" or is_array(message) then return nil, odd("message is no object", q) end
  return answer(reply, message, "content", "message.", q, target)
end

SHAPES["/api/generate"] = function(reply, q, target) return answer(reply, reply, "response", "", q, target) end

SHAPES["/api/embed"] = function(reply, q, target)
  local rows, input = reply.embeddings, q.body.input
  if type(rows) ~= "table" then return nil, odd("embeddings is no list", q) end
  local wanted = type(input) == "table" and #input or input ~= "" and 1 or 0
  if #rows ~= wanted then return nil, odd(("%d embeddings for %d texts"):format(#rows, wanted), q) end
  for i, row in ipairs(rows) do
    if type(row) ~= "table" or not math.type(row[1]) then return nil, odd(("embeddings[%d] is no vector"):format(i), q) end
  end
  if wanted > 0 then estimate(reply, q, target, 0) end
  return reply
end

local function models(reply, q)
  if reply.models == null then reply.models = json.array {} end
  if type(reply.models) ~= "table" then return nil, odd("there is no list of models in it", q) end
  for i, model in ipairs(reply.models) do
    if type(model) ~= "table" or type(model.name) ~= "string" then return nil, odd(("models[%d] has no name"):format(i), q) end
  end
  return reply
end
SHAPES["/api/tags"], SHAPES["/api/ps"] = models, models

SHAPES["/api/version"] = function(reply, q)
  if type(reply.version) ~= "string" then return nil, odd("there is no version in it", q) end
  return reply
end

--- The whole body of a call that is not streamed.
---@param text string
---@param q table the request
---@param attempts? integer
---@param target stoke.target
---@return table|nil reply
---@return stoke.error? err
function M.reply(text, q, attempts, target)
  local shape = SHAPES[q.path]
  if text == "" then
    if not shape then return {} end
    return nil, failures.incomplete(q)
  end
  local reply, err = decode(text, STRICT)
  local damaged
  if err then
    reply, err, damaged = wire.decode(text)
    if err then return nil, failures.no_json(text, err, q) end
  end
  if type(reply) ~= "table" or is_array(reply) then return nil, odd("it is no JSON object", q) end
  local replaced = damaged and select(2, wire.mend(reply))
  if reply.error ~= nil and reply.error ~= null then return nil, failures.line(reply.error, q) end
  if replaced then note(reply, "repairs", 1) end
  if not shape then return reply end
  local foreign = reply.done == nil and failures.dialect(reply, q)
  if foreign then return nil, foreign end
  if attempts and attempts > 1 then note(reply, "attempts", attempts) end
  return shape(reply, q, target)
end

-- ---- lines of a stream ----------------------------------------------------------------------------------------------------------

--- Lines that hold one piece of text and nothing else to look at.
local PLAIN = {
  ["/api/chat"] = "model created_at message.role message.content:text message.thinking:second done=false",
  ["/api/generate"] = "model created_at response:text thinking:second done=false",
}

--- The shape of such lines in a request's answer.
---@param q table
---@return string|nil words
function M.plain(q) return PLAIN[q.path] end

local function call_events(calls, events, state)
  for _, call in ipairs(calls or {}) do
    local f = call["function"]
    state.calls = (state.calls or 0) + 1
    state.tool = state.tool or f.name
    events[#events + 1] = { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments, call = call }
  end
end

local function done_event(chunk, state)
  if not counted(chunk) then
    estimate(chunk, state.q, state.target, state.said and (state.came and state:came() or 1) or 0)
  end
  local usage = M.usage(chunk)
  usage.tool_calls, usage.attempts, usage.repairs = state.calls or 0, state.attempts or 1, state.repairs or 0
  local reason = chunk.done_reason
  return { type = "done", reason = type(reason) == "string" and reason or nil, usage = usage, reply = chunk }
end

--- What a line says, as events.
local function events_of(chunk, holder, name, path, state, damaged)
  local q = state.q
  local text, err = text_of(holder, name, path, q)
  if err then return nil, err end
  local thought
  thought, err = text_of(holder, "thinking", path, q)
  if err then return nil, err end
  if damaged then
    holder[name], holder.thinking = nil, nil
    if select(2, wire.mend(chunk)) then pieces.replaced(state) end
    holder[name], holder.thinking = wire.whole(text), thought ~= "" and wire.whole(thought) or nil
  end
  if text ~= "" or thought ~= "" then state.said = true end
  local events = texts_of(text, thought, chunk.logprobs, state, damaged)
  if holder.tool_calls ~= nil then
    local calls, found = tidy_calls(holder, q)
    if not calls and found then return nil, found end
    if calls and calls[1] then state.said = true end
    pieces.flush(events, state)
    state.repairs = (state.repairs or 0) + (found or 0)
    call_events(calls, events, state)
  end
  if chunk.done ~= true then return #events > 0 and events or nil end
  pieces.flush(events, state)
  state.held = nil
  events[#events + 1] = done_event(chunk, state)
  return events, true
end

--- May this beginning of an answer turn out to be no text? Then its lines come through M.line.
---@param text string
---@param q table the request
---@param target stoke.target
---@return boolean
function M.holds(text, q, target) return pieces.may_begin(text) and splits(q, target) end

--- A line of an answer that is given as a whole: what the last one gives is the reply as one that was not streamed.
local function gather(chunk, holder, name, state)
  local kept, q = state.kept, state.q
  if type(holder[name]) == "string" then kept.text[#kept.text + 1] = holder[name] end
  if type(holder.thinking) == "string" then kept.thinking[#kept.thinking + 1] = holder.thinking end
  for _, call in ipairs(type(holder.tool_calls) == "table" and holder.tool_calls or NOTHING) do
    kept.calls = kept.calls or json.array {}
    kept.calls[#kept.calls + 1] = call
  end
  for _, one in ipairs(type(chunk.logprobs) == "table" and chunk.logprobs or NOTHING) do kept.odds[#kept.odds + 1] = one end
  if chunk.done ~= true then return nil end
  holder[name] = table.concat(kept.text)
  if kept.thinking[1] then holder.thinking = table.concat(kept.thinking) end
  if kept.calls then holder.tool_calls = kept.calls end
  if kept.odds[1] then chunk.logprobs = json.array(kept.odds) end
  if holder ~= chunk then chunk.message = holder end
  if kept.damaged and select(2, wire.mend(chunk)) then note(chunk, "repairs", 1) end -- halves of characters have met
  if state.attempts then note(chunk, "attempts", state.attempts) end
  local reply, err = SHAPES[q.path](chunk, q, state.target)
  if err then return nil, err end
  return { { type = "done", reason = reply.done_reason, usage = M.usage(reply), reply = reply } }, true
end

--- One line of a chat or generate stream.
---@param line string
---@param state table { q, target, attempts, came, begun }; sets `held` while lines have to come here
---@return table[]|nil events nil: nothing to tell, or an error
---@return boolean|stoke.error|nil finished it was the last, or the error
function M.line(line, state)
  local q = state.q
  if not find(line, "%S") then return nil end
  local chunk, err, damaged = wire.decode(line)
  if err then return nil, failures.no_json(line, err, q) end
  if type(chunk) ~= "table" or is_array(chunk) then return nil, odd("it is no JSON object", q) end
  if chunk.error ~= nil and chunk.error ~= null then
    return nil, failures.line(damaged and wire.mend(chunk.error) or chunk.error, q)
  end
  local foreign = chunk.done == nil and failures.dialect(chunk, q)
  if foreign then return nil, foreign end
  local kept = state.kept
  if kept and damaged then kept.damaged = true end
  if q.path ~= "/api/chat" then
    if kept then return gather(chunk, chunk, "response", state) end
    return events_of(chunk, chunk, "response", "", state, damaged)
  end
  local message = chunk.message
  if message == nil or message == null then message = { role = "assistant" } end
  if type(message) ~= "table" or is_array(message) then return nil, odd("message is no object", q) end
  if kept then return gather(chunk, message, "content", state) end
  return events_of(chunk, message, "content", "message.", state, damaged)
end

return M
