--- Rows of a waterfall, of the records of a run or of the spans of a trace: the same fields, so that one part of the page draws
--- both.
---
---     n or id       number of a record, id of a span
---     name, about   what it is: llm.chat, and of which model
---     at, seconds   after the beginning, and how long, with its wait
---     queue, load, prefill, decode, first   parts of that, where they are known
---     frames        of a record: the frames of its place in the run, outermost first; of a span: depth instead

local data = require "stoke.page.data"
local json = require "stoke.json"
local llm = require "core.driver.llm"
local timeline = require "stoke.runs.timeline"
local words = require "stoke.runs.words"

local M = {}

--- Bytes of what a row says.
local SHORT <const> = 300

--- Less is no wait, but what it takes to ask.
local LEAST <const> = 0.002

-- ---- records of runs ----------------------------------------------------------------------------------------------------------

--- The reply of a model; of a stream its last event.
local function reply_of(row)
  local outcome = row.outcome
  local value = outcome and outcome.value
  for _, item in ipairs(outcome and outcome.items or {}) do
    if type(item.value) == "table" and item.value.type == "done" then value = item.value end
  end
  return words.is_call(row) and type(value) == "table" and value or nil
end

--- Of a call of a model, what took how long, as its server tells: seconds. Of an answer that was kept it is the past that is told.
local function timings_of(row, value)
  local q = row.request
  local dialect = type(q) == "table" and q.protocol and llm.dialect(q.protocol)
  if not dialect or not dialect.timings or value.cached then return nil end
  local ok, timings = pcall(dialect.timings, value, q)
  return ok and type(timings) == "table" and timings or nil
end

local function frames_of(key)
  local frames = json.array()
  for label in key:gmatch "([^/]+)/" do frames[#frames + 1] = label end
  table.remove(frames, 1) -- "run"
  for i, label in ipairs(frames) do frames[i] = data.text(words.key(label), 120) end
  return frames
end

local function number_above(value, least) return type(value) == "number" and value > least and value or nil end

local function record(row, entry, began)
  local reply = reply_of(row)
  local timings = reply and timings_of(row, reply) or {}
  local took = entry.took
  local facts = row.outcome and row.outcome.facts or {}
  local wait = took and timings.total and number_above(took - timings.total, LEAST)
  return { n = entry.number, name = entry.effect, about = data.text(entry.what, SHORT), who = data.text(entry.who, 120),
    frames = frames_of(entry.key), at = entry.time and entry.time - began, time = entry.time, seconds = took, queue = wait,
    load = number_above(timings.load, LEAST), prefill = number_above(timings.prefill, 0), decode = number_above(timings.decode, 0),
    input = entry.input_tokens, output = entry.output_tokens, status = entry.status, outcome = data.text(entry.outcome, SHORT),
    attempts = (facts.attempts or 1) > 1 and facts.attempts or nil,
    cached = reply and data.text(reply.cached, 60), inside = entry.inside,
    changed = entry.changed, where = data.text(entry.where, 200), class = entry.class, call = words.is_call(row) or nil }
end

--- Records of a run.
---@param rows stoke.journal.row[]
---@param run core.history.run
---@return table[]
---
--- Example: `local list = rows.records(history.records(store, run.number, 1, 200), run)`
function M.records(rows, run)
  local out = json.array()
  for i, entry in ipairs(timeline.entries(rows, run)) do out[i] = record(rows[i], entry, run.created) end
  return out
end

-- ---- spans --------------------------------------------------------------------------------------------------------------------

local function tries_of(tries)
  local out = json.array()
  for i, try in ipairs(type(tries) == "table" and tries or {}) do
    out[i] = { kind = data.text(try.kind, 40), message = data.text(try.message, SHORT), after = data.number(try.after) }
  end
  return #out > 0 and out or nil
end

local function span(one)
  return { id = one.id, parent = one.parent, depth = one.depth, name = data.text(one.name, 80), about = data.text(one.about, SHORT),
    at = data.number(one.at), seconds = data.number(one.seconds), queue = number_above(one.queue, 0.0005),
    load = number_above(one.load, LEAST), prefill = number_above(one.prefill, 0), decode = number_above(one.decode, 0),
    first = data.number(one.first), input = one.input_tokens, output = one.output_tokens, cached = data.text(one.cached, 60),
    replayed = one.replayed, attempts = (one.attempts or 1) > 1 and one.attempts or nil, tries = tries_of(one.tries),
    slot = data.text(one.slot, 120), reason = data.text(one.reason, SHORT), model = data.text(one.model, 120),
    endpoint = data.text(one.endpoint, 120), status = one.error and "failed" or "done", kind = data.text(one.error, 40),
    message = data.text(one.message, SHORT), around = one.around, has = one.request ~= nil or nil,
    call = one.name == "llm.chat" or one.name == "llm.stream" or nil }
end

--- Spans of a trace, as a tree.
---@param trace stoke.traces.trace
---@param first integer
---@param count integer
---@return table[]
---
--- Example: `local list = rows.spans(trace, 1, 500)`
function M.spans(trace, first, count)
  local out = json.array()
  for i = first, math.min(#trace.spans, first + count - 1) do out[#out + 1] = span(trace.spans[i]) end
  return out
end

return M
