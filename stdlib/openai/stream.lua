--- A stream of OpenAI's wire, read line by line: server-sent events whose data are chunks. Comments, names of events and empty
--- lines are passed over; an object whose lines are several is joined; a server that does not stream at all gives its whole
--- answer.

local json = require "core.json"
local calls = require "stoke.openai.calls"
local failures = require "stoke.openai.failures"
local notes = require "stoke.openai.notes"
local pieces = require "stoke.reading.pieces"
local replies = require "stoke.openai.replies"
local wire = require "stoke.reading.wire"

local M = {}

local null, is_array = json.null, json.is_array

--- Bytes that a whole answer, or an event of several lines, may have.
local MOST <const> = 64 * 1024 * 1024

-- ---- the end -------------------------------------------------------------------------------------------------------------------

local function call_events(list, events, state)
  for _, call in ipairs(list or {}) do
    local f = call["function"]
    state.tool = state.tool or f.name
    events[#events + 1] = { type = "tool_call", id = call.id, name = f.name, arguments = f.arguments, call = call }
  end
end

--- The answer is whole: its calls, and the event "done".
---@param state table
---@return table[]|nil events
---@return boolean|stoke.error finished
function M.finish(state)
  local q, target, events = state.q, state.target, {}
  pieces.flush(events, state)
  state.held = nil
  local list, repairs = replies.calls(calls.gathered(state), q)
  if not list and repairs ~= 0 then return nil, repairs end
  for _, event in ipairs(events) do M.keep(state, event) end
  local usage = replies.counted(state.told, q, target, (state.bytes or 0) + calls.bytes(state), state.attempts)
  usage.tool_calls, usage.repairs = list and #list or 0, repairs + (state.repairs or 0)
  if usage.estimated then notes.once(target, "usage", "the server counts no tokens of streams: they are worked out of bytes") end
  call_events(list, events, state)
  local reply = { model = state.model, id = state.id, done = true, done_reason = replies.reason(state.reason, target),
    finish_reason = state.reason, usage = usage, timings = state.timings }
  local kept = state.kept
  if kept then
    reply.message = { role = "assistant", content = table.concat(kept.text), tool_calls = list,
      thinking = kept.thinking[1] and table.concat(kept.thinking) or nil }
    reply.logprobs = kept.odds[1] and kept.odds or nil
  end
  events[#events + 1] = { type = "done", reason = reply.done_reason, usage = usage, reply = reply }
  return events, true
end

--- Keep what an event has, where the whole answer is wanted at the end.
---@param state table
---@param event table
function M.keep(state, event)
  local kept = state.kept
  if not kept or event.type == "tool_call" then return end
  local into = kept[event.type]
  if into and event.text ~= "" then into[#into + 1] = event.text end
  for _, one in ipairs(event.logprobs or {}) do kept.odds[#kept.odds + 1] = one end
end

--- A whole answer in the place of a stream.
local function whole(state, text)
  local value, err, damaged = wire.decode(text)
  if err then return nil, failures.no_json(text, err, state.q) end
  local reply
  reply, err = replies.shaped(value, damaged, state.q, state.attempts, state.target)
  if not reply then return nil, err end
  local events, message = {}, reply.message
  if message.thinking then events[1] = { type = "thinking", text = message.thinking } end
  if message.content ~= "" then
    events[#events + 1] = { type = "text", text = message.content, logprobs = reply.logprobs }
  end
  call_events(message.tool_calls, events, state)
  events[#events + 1] = { type = "done", reason = reply.done_reason, usage = reply.usage, reply = reply }
  return events, true
end

--- The connection has ended without a last event: some servers leave it out.
---@param state table
---@return table[]|nil events nil: the answer is not whole
---@return boolean|stoke.error|nil finished
function M.ended(state)
  if state.body then return whole(state, table.concat(state.body, "\n")) end
  if state.reason then return M.finish(state) end
end

-- ---- chunks --------------------------------------------------------------------------------------------------------------------

--- What only a chunk says of the whole.
local function note(state, chunk)
  if not state.id and type(chunk.id) == "string" then state.id = chunk.id end
  if not state.model and type(chunk.model) == "string" then state.model = chunk.model end
  local usage = chunk.usage
  if type(usage) == "table" and (usage.prompt_tokens or 0) ~= 0 then state.told = usage end
  if type(chunk.timings) == "table" then state.timings = chunk.timings end
end

--- The first answer of those that a chunk may speak of.
local function choice_of(chunk)
  for _, choice in ipairs(chunk.choices) do
    if type(choice) == "table" and (choice.index == nil or choice.index == 0) then return choice end
  end
end

local function delta_of(choice)
  local delta = choice.delta
  if type(delta) ~= "table" then delta = choice.message end
  if type(delta) == "table" and not is_array(delta) then return delta end
  return { content = choice.text }
end

local function chunk_events(chunk, state, damaged)
  local q = state.q
  note(state, chunk)
  if chunk.choices == nil or chunk.choices == null then return nil end
  if type(chunk.choices) ~= "table" then return nil, failures.odd("choices is no list", q) end
  local choice = choice_of(chunk)
  if not choice then return nil end
  local delta = delta_of(choice)
  local text, among = replies.text(delta.content)
  if not text then return nil, failures.odd("delta.content is a " .. type(delta.content), q) end
  if text == "" and type(delta.refusal) == "string" then text = delta.refusal end
  local thought, field = replies.thinking(delta)
  if field and not state.field then
    state.field = field
    notes.learn(state.target, "reasoning", field)
  end
  thought = among or thought
  state.bytes = (state.bytes or 0) + #text + #thought
  local events = nil
  local odds = replies.odds(choice)
  if text ~= "" or thought ~= "" or odds then
    events = pieces.texts(text, thought, odds, state, damaged)
    if state.kept then
      for _, event in ipairs(events) do M.keep(state, event) end
    end
  end
  if delta.tool_calls ~= nil and delta.tool_calls ~= null then
    local wrong = calls.add(state, delta.tool_calls)
    if wrong then return nil, failures.odd(wrong, q) end
  end
  local reason = choice.finish_reason
  if reason == "error" then return nil, failures.incomplete(q) end
  if type(reason) == "string" then state.reason = reason end
  return events and events[1] and events or nil
end

--- Data of an event: JSON that stops in the middle goes on in the next line of the same event.
local function read(data, state)
  local before = state.begun_data
  if before then
    data = before .. "\n" .. data
    state.begun_data = nil
  end
  local chunk, err, damaged = wire.decode(data)
  if err then
    if err.offset and err.offset > #data and #data < MOST and not before then
      state.begun_data = data
      return nil
    end
    return nil, failures.no_json(data, err, state.q)
  end
  if type(chunk) ~= "table" then return nil, failures.odd("it is no JSON object", state.q) end
  err = failures.inside(chunk, state.q, state.target) or failures.foreign(chunk, state.q)
  if err then return nil, err end
  local reader = state.reader
  if reader then return reader(chunk, state, damaged) end
  return chunk_events(chunk, state, damaged)
end

--- A line that is no event: the body of a server that does not stream.
local function plain(line, state)
  local body = state.body
  if not body then
    if not line:find "^%s*[%[{]" then return nil, failures.no_json(line, nil, state.q) end
    body = { bytes = 0 }
    state.body = body
  end
  body[#body + 1], body.bytes = line, body.bytes + #line
  if body.bytes > MOST then return nil, failures.odd("it is larger than 64 MB", state.q) end
end

--- Names of fields of an event that say nothing here.
local QUIET = { event = true, id = true, retry = true }

--- One line of a stream.
---@param line string
---@param state table { q, target, attempts, came }
---@return table[]|nil events nil: nothing to tell, or an error
---@return boolean|stoke.error|nil finished it was the last, or the error
function M.line(line, state)
  if line:byte(-1) == 13 then line = line:sub(1, -2) end
  if state.body then return plain(line, state) end
  if line == "" then
    local before = state.begun_data
    if not before then return nil end
    state.begun_data = nil
    return nil, failures.no_json(before, nil, state.q)
  end
  if line:byte(1) == 58 then return nil end -- a comment
  local name, data = line:match "^(%l+):[ ]?(.*)$"
  if name == "data" then
    if data == "[DONE]" then return M.finish(state) end
    if data == "" then return nil end
    return read(data, state)
  end
  if QUIET[name] then return nil end
  return plain(line, state)
end

return M
