--- The texts of an answer, whole or as they come, made fit to be given on: halves of characters are joined, and a reasoning that
--- stands between tags in the text (<think> and its kin) is told as such. For all dialects.
---
--- `state` is the source of a stream (lua/driver/llm.lua): q, target, `begun` once anything came; here are kept `half`, `splitter`,
--- `replaced`, `repairs`, `logprobs` and `held`.

local thinking = require "stoke.reading.thinking"
local wire = require "stoke.reading.wire"

local M = {}

local find = string.find

--- May a text turn out to be no text, but a reasoning?
---@param text string
---@return boolean
M.may_begin = thinking.may_begin

--- Is reasoning split off the text of this request's answer? A raw prompt, or a hole to fill, has no template that would.
---@param q table the request
---@param target stoke.target
---@return boolean
function M.splits(q, target)
  local body, said = q.body, q.split_thinking
  if body and (body.raw or body.suffix) then return false end
  if said == nil then said = target.profile.split_thinking end
  return said ~= false
end

--- What a server's own field and the text have of a model's reasoning.
local function joined(before, more)
  if more == "" then return before end
  return (before and before ~= "") and before .. "\n" .. more or more
end

--- May there be reasoning in a text? Two plain searches: nearly always there is none.
---@param text string
---@return any found
function M.tagged(text) return find(text, "<", 1, true) or find(text, "[", 1, true) or find(text, "^%s*\xE2") end

--- Take the reasoning out of a whole answer: it goes into holder.thinking.
---@param holder table
---@param name string of the field that has the text
---@param text string
---@param q table the request
---@param target stoke.target
---@return string text
function M.split(holder, name, text, q, target)
  if not M.tagged(text) or not M.splits(q, target) then return text end
  local thought, rest = thinking.split(text)
  if not thought then return text end
  holder.thinking, holder[name] = joined(holder.thinking, thought), rest
  return rest
end

-- What a stream holds back: half a character, and text that may yet become the tag of a reasoning. While there is any,
-- `state.held` says that each line has to come through here.

--- Count a repair of the answer's characters, once.
---@param state table
function M.replaced(state)
  if state.replaced then return end
  state.replaced, state.repairs = true, (state.repairs or 0) + 1
end

local function hold(state)
  local splitter = state.splitter
  state.held = state.half ~= nil or splitter ~= nil and splitter.mode ~= "text" or nil
end

--- Add a piece of the answer to the events.
local function add_text(events, text, state)
  local splitter = state.splitter
  if not splitter and not state.begun and text ~= "" then
    state.begun = true
    if thinking.may_begin(text) and M.splits(state.q, state.target) then
      splitter = thinking.new()
      state.splitter = splitter
    end
  end
  if not splitter or splitter.mode == "text" then
    if text ~= "" then events[#events + 1] = { type = "text", text = text } end
    return
  end
  for _, event in ipairs(splitter:put(text)) do events[#events + 1] = event end
end

local function add(events, kind, text, state)
  if kind == "text" then return add_text(events, text, state) end
  if text == "" then return end
  state.begun = true
  events[#events + 1] = { type = "thinking", text = text }
end

--- What a half turned out to be: nothing that has an other half.
local function drop_half(events, state)
  local half = state.half
  if not half then return end
  state.half = nil
  M.replaced(state)
  add(events, half.kind, (wire.whole(half.bytes)), state)
end

--- A piece with its halves. Pieces are UTF-8 nearly always.
local function put(events, kind, piece, state, damaged)
  local half = state.half
  if half and piece ~= "" and half.kind ~= kind then
    drop_half(events, state)
    half = nil
  end
  if piece ~= "" and (half or damaged) then
    local rest, replaced
    piece, rest, replaced = wire.join(half and half.bytes or "", piece)
    state.half = rest ~= "" and { kind = kind, bytes = rest } or nil
    if replaced then M.replaced(state) end
  end
  add(events, kind, piece, state)
end

--- The answer goes on with a call, or has ended.
---@param events table[] added to
---@param state table
function M.flush(events, state)
  drop_half(events, state)
  local splitter = state.splitter
  if not splitter then return end
  for _, event in ipairs(splitter:flush()) do events[#events + 1] = event end
end

--- A line's probabilities go with the first event that comes of it.
local function attach(events, logprobs, state)
  if state.logprobs then logprobs = table.move(logprobs, 1, #logprobs, #state.logprobs + 1, state.logprobs) end
  state.logprobs = nil
  if events[1] then
    events[1].logprobs = logprobs
  elseif state.held then
    state.logprobs = logprobs
  else
    events[1] = { type = "text", text = "", logprobs = logprobs }
  end
end

--- The texts of a line, as events. Nearly always nothing is held back, and nothing has to be.
---@param text string
---@param thought string
---@param logprobs table|nil
---@param state table
---@param damaged? boolean they may hold what is no UTF-8
---@return table[] events
function M.texts(text, thought, logprobs, state, damaged)
  local events = {}
  if not damaged and not state.held and not logprobs and (state.begun or text == "") then
    add(events, "thinking", thought, state)
    if text ~= "" then events[#events + 1] = { type = "text", text = text } end
    return events
  end
  put(events, "thinking", thought, state, damaged)
  put(events, "text", text, state, damaged)
  hold(state)
  if type(logprobs) == "table" then attach(events, logprobs, state) end
  return events
end

return M
