--- A page of the history: durable runs of the store and traces that were kept, in one list, the newest first.

local data = require "stoke.page.data"
local errors = require "core.errors"
local json = require "stoke.json"
local masks = require "stoke.page.runs.mask"
local runs = require "core.history.runs"
local traces = require "core.history.traces"

local M = {}

--- Items of a page.
M.PAGE = 50

local STATES = { running = true, waiting = true, parked = true, done = true, failed = true, cancelled = true }
--- States that a trace can have: it is one when it has ended.
local OF_TRACES = { done = true, failed = true }
local KINDS = { runs = true, traces = true }

local function run_item(run)
  local mask = masks.new()
  return { kind = "run", id = run.id, name = data.text(run.workflow, 120), title = data.text(run.id, 200), state = run.state,
    begun = run.created, changed = run.changed, seconds = math.max(0, run.changed - run.created), calls = run.calls,
    tokens = run.tokens, fork_of = data.text(run.fork_of, 200), at = run.fork_at,
    about = data.text(run.state == "failed" and run.error and mask:error(run.error).message or mask:words(run.waits), 300) }
end

local function trace_item(trace)
  local what = trace.about and trace.name .. " " .. trace.about or trace.name
  return { kind = "trace", id = trace.id, name = data.text(trace.name, 80), title = data.text(trace.about or what, 200),
    state = trace.open and "open" or trace.error and "failed" or "done", begun = data.number(trace.start),
    seconds = data.number(trace.seconds),
    calls = trace.calls, input = trace.input_tokens, output = trace.output_tokens,
    tokens = trace.input_tokens + trace.output_tokens, spans = trace.spans, errors = trace.errors > 0 and trace.errors or nil }
end

--- "12.345", numbers where the runs and the traces of the next page begin; one that is missing has no more.
local function place_of(text)
  if not text then return { first = true } end
  local run, trace = text:match "^(%d*)%.(%d*)$"
  if not run then errors.raise("argument", "before must be what a page said was its next one") end
  return { run = math.tointeger(tonumber(run)), trace = math.tointeger(tonumber(trace)) }
end

local function filter_of(asked)
  local state, kind = asked.state, asked.kind
  if state and not STATES[state] then
    errors.raise("argument", ("no run has the state %s"):format(data.text(state, 40)), { hint = errors.suggest(state, STATES) })
  end
  if kind and not KINDS[kind] then errors.raise("argument", "kind must be runs or traces") end
  local text = asked.text and asked.text:sub(1, 200):match "^%s*(.-)%s*$"
  return { state = state, text = text ~= "" and text or nil, runs = kind ~= "traces",
    traces = kind ~= "runs" and (not state or OF_TRACES[state] ~= nil) }
end

local function page_of_runs(files, filter, place)
  local store = filter.runs and (place.first or place.run) and files:runs()
  if not store then return {} end
  local page = errors.check(runs.runs(store, { before = place.run, state = filter.state, text = filter.text, limit = M.PAGE }))
  local items = {}
  for i, run in ipairs(page.runs) do items[i] = { item = run_item(run), number = run.number } end
  return items, page.next
end

local function page_of_traces(files, filter, place)
  local db = filter.traces and (place.first or place.trace) and files:traces()
  if not db then return {} end
  local page = errors.check(traces.traces(db, { before = place.trace, failed = filter.state == "failed", text = filter.text,
    limit = M.PAGE }))
  local items = {}
  for _, trace in ipairs(page.traces) do
    local item = trace_item(trace)
    if filter.state == nil or item.state == filter.state or filter.state == "failed" and item.errors then
      items[#items + 1] = { item = item, number = trace.number }
    end
  end
  return items, page.next
end

--- Where the next page begins in one of the lists: behind what was taken of it, or where it has looked so far.
local function behind(list, taken, next_one)
  if taken < #list then return taken > 0 and list[taken].number or list[1].number + 1 end
  return next_one
end

--- A page.
---@param files stoke.page.files
---@param asked { text?: string, state?: string, kind?: "runs"|"traces", before?: string }
---@return { items: table[], next?: string }
---Raises `argument`, `db`.
---
--- Example: `local page = list.page(files, { state = "failed" })`
function M.page(files, asked)
  local filter, place = filter_of(asked), place_of(asked.before)
  local some, next_run = page_of_runs(files, filter, place)
  local others, next_trace = page_of_traces(files, filter, place)
  local items, i, j = json.array(), 0, 0
  while #items < M.PAGE and (i < #some or j < #others) do
    local run, trace = some[i + 1], others[j + 1]
    if run and (not trace or run.item.begun >= trace.item.begun) then
      i, items[#items + 1] = i + 1, run.item
    else
      j, items[#items + 1] = j + 1, trace.item
    end
  end
  local run, trace = behind(some, i, next_run), behind(others, j, next_trace)
  return { items = items, next = (run or trace) and ("%s.%s"):format(run or "", trace or "") or nil }
end

return M
