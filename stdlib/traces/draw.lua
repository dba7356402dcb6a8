--- A trace as lines for a terminal: the tree of its spans, and when each was at work. Pure.

local log = require "stoke.log"
local term = require "stoke.term"
local texts = require "core.text"
local words = require "stoke.runs.words"

local M = {}

--- What fills a bar: waiting for a slot, loading the model, reading the prompt, writing and all other work. The signs alone tell
--- them apart, without colour.
local SIGNS = { queue = ".", load = "~", prefill = "-", rest = "#" }
M.LEGEND = ". waits for a slot   ~ loads the model   - reads the prompt   # writes, works"

--- Columns of the tree at most; of a bar at least.
local TREE <const>, BAR <const> = 44, 12

local function seconds(s)
  if s < 0.0095 then return ("%.1f ms"):format(s * 1e3) elseif s < 0.95 then return ("%.0f ms"):format(s * 1e3) end
  return s < 100 and ("%.2f s"):format(s) or term.duration(s)
end
M.seconds = seconds

--- The bar of a span: its parts in their order, in the columns of its time.
local function bar_of(span, all, width)
  if all <= 0 then return SIGNS.rest end
  local cells, per = {}, width / all
  local from = math.min(width - 1, math.floor(span.at * per))
  local to = math.max(from + 1, math.min(width, math.ceil((span.at + span.seconds) * per - 1e-9)))
  local edge = span.at
  for _, part in ipairs { { "queue", span.queue }, { "load", span.load }, { "prefill", span.prefill }, { "rest", math.huge } } do
    local begin = edge
    edge = math.min(edge + (part[2] or 0), span.at + span.seconds)
    for i = math.max(from, math.floor(begin * per + 0.5)), math.min(to, math.floor(edge * per + 0.5)) - 1 do
      cells[i] = cells[i] or SIGNS[part[1]]
    end
  end
  local out = {}
  for i = from, to - 1 do out[#out + 1] = cells[i] or SIGNS.rest end
  return (" "):rep(from) .. table.concat(out)
end

--- What else there is to say of a span.
local function notes_of(span)
  local notes = {}
  local function add(format, ...) notes[#notes + 1] = format:format(...) end
  if span.input_tokens or span.output_tokens then add("%d+%d tok", span.input_tokens or 0, span.output_tokens or 0) end
  if span.cached then add("from the cache (%s)", span.cached) end
  if span.replayed then add "from the journal" end
  if (span.queue or 0) >= 0.001 then add("waited %s%s", seconds(span.queue), span.reason and ": " .. span.reason or "") end
  if (span.load or 0) >= 0.1 then add("load %s", seconds(span.load)) end
  if span.first then add("first token %s", seconds(span.first)) end
  if (span.attempts or 1) > 1 then add("%d attempts", span.attempts) end
  if span.error then add("%s: %s", span.error, texts.excerpt(span.message or "", 60)) end
  return table.concat(notes, ", ")
end

local function total_line(trace)
  local t = trace.totals
  local parts = { ("%d spans"):format(#trace.spans), ("%d calls of models"):format(t.calls),
    ("%d+%d tokens (read + written)"):format(t.input_tokens, t.output_tokens) }
  for _, part in ipairs { { "queue", "waiting" }, { "load", "loading" }, { "prefill", "reading" }, { "decode", "writing" } } do
    if t[part[1]] >= 0.001 then parts[#parts + 1] = ("%s %s"):format(part[2], seconds(t[part[1]])) end
  end
  if t.errors > 0 then parts[#parts + 1] = ("%d failed"):format(t.errors) end
  return table.concat(parts, ", ")
end

local function requests_of(span)
  if not span.request then return "" end
  return ("    %s\n"):format((term.clean(span.request):gsub("\n", "\n    ")))
end

--- Lines of the log by the span in which they were written.
local function logs_by_span(trace)
  local by_span = {}
  for _, line in ipairs(trace.logs or {}) do
    local list = by_span[line.span] or {}
    by_span[line.span] = list
    list[#list + 1] = line
  end
  return by_span
end

local function logs_of(lines, depth, colour)
  local out = {}
  for i, line in ipairs(lines or {}) do
    local blanks = (" "):rep(2 * depth + 2)
    out[i] = blanks .. log.line(line, colour):gsub("\n", "\n" .. blanks) .. "\n"
  end
  return table.concat(out)
end

--- A waterfall.
---@param trace stoke.traces.trace with `logs`: each below its span
---@param options? { columns?: integer, colour?: boolean, requests?: boolean }
---@return string
---
--- Example: `io.write(draw.waterfall(stoke.traces.get "last", { columns = 120 }))`
function M.waterfall(trace, options)
  options = options or {}
  local columns = math.max(60, options.columns or 120)
  local widest = 0
  for _, span in ipairs(trace.spans) do
    widest = math.max(widest, term.width((" "):rep(2 * span.depth) .. span.name .. " " .. (span.about or "")))
  end
  local logs = logs_by_span(trace)
  local tree = math.min(widest, TREE, columns // 2)
  local width = math.max(BAR, (columns - tree - 10) // 2)
  local out = { ("trace %s  %s  %s\n"):format(trace.id, words.date(trace.start),
    seconds(trace.seconds)) }
  for _, span in ipairs(trace.spans) do
    local name = term.clean((" "):rep(2 * span.depth) .. span.name .. (span.about and " " .. texts.line(span.about) or ""))
    local bar = term.fit(bar_of(span, trace.seconds, width), width)
    local line = ("%s %9s |%s| %s"):format(term.fit(name, tree), seconds(span.seconds), bar, term.clean(notes_of(span)))
    out[#out + 1] = term.paint(span.error and "red" or "plain", (line:gsub("%s+$", "")), span.error and options.colour) .. "\n"
    if options.requests then out[#out + 1] = requests_of(span) end
    out[#out + 1] = logs_of(logs[span.id], span.depth, options.colour or false)
  end
  out[#out + 1] = M.LEGEND .. "\n" .. total_line(trace) .. "\n"
  return table.concat(out)
end

local function named(spans, what)
  local out = {}
  for _, span in ipairs(spans) do out[#out + 1] = ("  %s  %s, %s\n"):format(what, term.clean(span.path), seconds(span.seconds)) end
  return table.concat(out)
end

--- The difference of two traces in words: what took longer or shorter, and why.
---@param difference stoke.traces.difference
---@param options? { most?: integer } changes that are named (20)
---@return string
---
--- Example: `io.write(draw.difference(stoke.traces.diff("4f2a", "last")))`
function M.difference(difference, options)
  local a, b, most = difference.a, difference.b, options and options.most or 20
  local out = { ("%s  %s  ->  %s  %s  (%+.3f s)\n"):format(a.id:sub(1, 8), seconds(a.seconds), b.id:sub(1, 8), seconds(b.seconds),
    difference.seconds) }
  local ta, tb = a.totals, b.totals
  out[2] = ("calls %d -> %d, tokens read %d -> %d, written %d -> %d\n"):format(ta.calls, tb.calls, ta.input_tokens, tb.input_tokens,
    ta.output_tokens, tb.output_tokens)
  for i, change in ipairs(difference.changes) do
    if i > most then
      out[#out + 1] = ("  and %d smaller changes\n"):format(#difference.changes - most)
      break
    end
    out[#out + 1] = ("  %+.3f s  %s  (%s -> %s)%s\n"):format(change.own, term.clean(change.path), seconds(change.before),
      seconds(change.after), change.why[1] and ": " .. term.clean(table.concat(change.why, ", ")) or "")
  end
  out[#out + 1] = named(difference.new, "new   ") .. named(difference.gone, "gone  ")
  if not difference.changes[1] and not difference.new[1] and not difference.gone[1] then out[#out + 1] = "  no difference\n" end
  return table.concat(out)
end

return M
