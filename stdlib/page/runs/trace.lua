--- One trace on the page: its spans as a tree, and of one of them the request, where requests were kept.

local curl = require "stoke.page.runs.curl"
local data = require "stoke.page.data"
local effect = require "core.effect"
local errors = require "core.errors"
local history = require "core.history.traces"
local json = require "stoke.json"
local masks = require "stoke.page.runs.mask"
local messages = require "stoke.page.runs.messages"
local plain = require "core.json"
local rows = require "stoke.page.runs.rows"
local show = require "stoke.show"
local traces = require "stoke.traces"
local trees = require "stoke.traces.tree"

require "core.driver.traces"

local M = {}

--- Spans of a page.
M.PAGE = 1000
--- Lines of the log that are shown.
local LINES <const> = 1000
--- Bytes of a request that are shown.
local SHOWN <const> = 64 << 10

local function read(files, id)
  if not files:traces() then errors.raise("argument", "no traces are kept", { hint = "stoke FILE --spans keeps them" }) end
  local kept = errors.check(effect.perform("traces.get", { file = files:traces_path(), id = id }))
  return trees.of(kept)
end

--- A request that was kept as text; nil where it was cut.
local function request_of(span)
  return span.request and plain.decode(span.request) or nil
end

local function conversations(trace)
  local out, by_parent = json.array(), {}
  for _, span in ipairs(trace.spans) do
    if span.request and (span.name == "llm.chat" or span.name == "llm.stream") then
      local parent = span.parent or span.id
      local one = by_parent[parent]
      if not one then
        one = { first = span.id, calls = 0, title = data.text(span.about, 120),
          key = data.text(span.path:match "^(.*)/" or "", 300) }
        by_parent[parent], out[#out + 1] = one, one
      end
      one.last, one.calls = span.id, one.calls + 1
    end
  end
  for _, span in ipairs(trace.spans) do
    local one = by_parent[span.id]
    if one and span.about then one.title = data.text(span.about, 120) end
  end
  return out
end

local function span_of(trace, id)
  for _, span in ipairs(trace.spans) do
    if span.id == id then
      local shown = masks.new():value { request = span.request, answer = span.answer }
      span.request, span.answer = shown.request, shown.answer
      return span
    end
  end
  errors.raise("argument", ("there is no span %s in this trace"):format(data.text(id, 40)))
end

local function one_span(trace, id)
  local span = span_of(trace, id)
  local q = request_of(span)
  return { id = id, request = data.text(q and show.pretty(q) or span.request, SHOWN),
    curl = q and data.text(curl.of(span.name, q), SHOWN),
    answer = type(span.answer) == "table" and messages.one(span.answer, SHOWN) or nil }
end

local function transcript(trace, asked)
  local span = span_of(trace, asked.transcript)
  local q = request_of(span)
  local list = table.move(messages.asked(q), 1, #messages.asked(q), 1, {})
  if type(span.answer) == "table" then list[#list + 1] = span.answer end
  local wanted = math.tointeger(tonumber(asked.message))
  if wanted then
    return messages.one(list[wanted] or errors.raise("argument", "there is no such message"), messages.LONGEST)
  end
  local page = messages.page(list, math.tointeger(tonumber(asked.before)))
  page.model, page.status = data.text(span.model or span.about, 120), span.error and "failed" or "done"
  page.cut = span.request ~= nil and q == nil or nil
  return page
end

--- What was logged meanwhile, the newest lines. A field that is secret by its name may be in the words of another line.
local function log_of(files, trace)
  local out, all, mask = json.array(), {}, masks.new()
  local lines = traces.logs { file = files:traces_path(), trace = trace.id, limit = LINES }
  for i, line in ipairs(lines) do all[i] = line.fields or {} end
  all = mask:value(all)
  for i, line in ipairs(lines) do
    out[i] = { at = line.time - trace.start, time = line.time, level = data.text(line.level, 20), span = line.span,
      message = data.text(mask:words(line.message)), fields = next(all[i]) and data.plain(all[i], 1000) or nil }
  end
  return { lines = out, most = #out == LINES and LINES or nil }
end

--- What is asked of a trace.
---@param files stoke.page.files
---@param asked table<string, string> trace: its id; and one of: span = ID (whole), transcript = ID of a call's span, part = "log"
---  (what was logged meanwhile), from = N (spans from that one on)
---@return table
---Raises `usage` where there is none, `argument`, `db`.
---
--- Example: `local shown = trace.look(files, { trace = "4f2a" })`
function M.look(files, asked)
  local trace = read(files, asked.trace)
  if asked.span then return one_span(trace, asked.span) end
  if asked.transcript then return transcript(trace, asked) end
  if asked.part == "log" then return log_of(files, trace) end
  local from = math.max(1, math.tointeger(tonumber(asked.from)) or 1)
  local root = trace.spans[1] or {}
  return { trace = { id = trace.id, begun = data.number(trace.start), seconds = data.number(trace.seconds), count = #trace.spans,
    totals = trace.totals, name = data.text(root.name, 80), about = data.text(root.about, 200),
    state = history.is_open(root.name or "", root.parent) and "open" or root.error and "failed" or "done" },
    spans = rows.spans(trace, from, M.PAGE), from = from, conversations = from == 1 and conversations(trace) or nil }
end

return M
