--- How two runs, or two traces, differ: on the page. Both are of one kind.

local compare = require "stoke.runs.compare"
local data = require "stoke.page.data"
local errors = require "core.errors"
local history = require "core.history.runs"
local json = require "stoke.json"
local redact = require "core.redact"
local run = require "stoke.page.runs.run"
local runs = require "stoke.runs"
local traces = require "stoke.traces"

local M = {}

--- Records that two runs may have together, and lines of what differs.
local MOST <const>, LINES <const> = 20000, 500

--- Lines without what looks like a secret in them, each by itself.
local function masked(text)
  local redactor = redact.new()
  return (text:gsub("[^\n]+", function(line) return redactor:prose(line) end))
end

local function of_runs(files, a, b)
  local first, store = run.find(files, a)
  local second = run.find(files, b)
  local count = errors.check(history.count(store, first.number)) + errors.check(history.count(store, second.number))
  if count > MOST then
    errors.raise("argument", ("these runs have %d records: more than the page compares"):format(count),
      { hint = "stoke diff compares them" })
  end
  local difference = runs.diff(first.id, second.id, { store = files:store_path() })
  return { kind = "runs", a = first.id, b = second.id,
    text = data.text(masked(compare.text(difference, { columns = 110 })), 200000) }
end

local function named(spans)
  local out = json.array()
  for i, span in ipairs(spans) do
    if i > LINES then break end
    out[i] = { path = data.text(span.path, 300), seconds = span.seconds }
  end
  return out
end

local function side(trace)
  return { id = trace.id, seconds = trace.seconds, totals = trace.totals, about = data.text((trace.spans[1] or {}).about, 200) }
end

local function texts(list)
  local out = json.array()
  for i, text in ipairs(list) do out[i] = data.text(text, 300) end
  return out
end

local function of_traces(files, a, b)
  local difference = traces.diff(a, b, { file = files:traces_path() })
  local changes = json.array()
  for i, change in ipairs(difference.changes) do
    if i > LINES then break end
    changes[i] = { path = data.text(change.path, 300), name = change.name, about = data.text(change.about, 120),
      before = change.before, after = change.after, own = change.own, why = texts(change.why) }
  end
  return { kind = "traces", a = side(difference.a), b = side(difference.b), seconds = difference.seconds, changes = changes,
    gone = named(difference.gone), new = named(difference.new) }
end

--- The difference of two: "run:ID" or "trace:ID" each.
---@param files stoke.page.files
---@param a string
---@param b string
---@return table
---Raises `argument`, `usage`, `db`.
---
--- Example: `local shown = compare.look(files, "trace:4f2a", "trace:77c0")`
function M.look(files, a, b)
  local kind, first = a:match "^(%l+):(.+)$"
  local other, second = b:match "^(%l+):(.+)$"
  if not kind or kind ~= other or kind ~= "run" and kind ~= "trace" then
    errors.raise("argument", "two runs, or two traces, can be compared")
  end
  return kind == "run" and of_runs(files, first, second) or of_traces(files, first, second)
end

return M
