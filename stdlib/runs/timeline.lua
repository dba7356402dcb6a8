--- The records of a run as a timeline: plain data, and lines for a terminal.

local approve = require "stoke.approve"
local effect = require "core.effect"
local json = require "core.json"
local show = require "stoke.show"
local term = require "stoke.term"
local time = require "stoke.time"
local words = require "stoke.runs.words"

local M = {}

---@class stoke.runs.entry a record of a run, as `stoke show` lists it
---@field number integer
---@field key string its place in the run, and its number among effects of that name there
---@field effect string
---@field class "pure"|"idempotent"|"unsafe"
---@field what string in a few words
---@field who? string the agent that asked
---@field where? string line of the script
---@field time? number wall clock, seconds
---@field took? number seconds
---@field input_tokens? integer
---@field output_tokens? integer
---@field status "done"|"failed"|"refused"|"cancelled"|"in doubt"|"waits"|"open"
---@field outcome string in a few words
---@field doubt? integer of a record in doubt: the number of the record that had begun in its body
---@field inside? boolean it was done in the body of another record; a replay does not repeat it
---@field changed? boolean this outcome was set by a fork
---@field digest? string of exactly what it asks for, where it waits for an approval
---@field args? table where it waits for an approval
---@field asks? string where it waits for an approval: what it is for, a tool, path, host or command
---@field agent? string where it waits for an approval: whose model asked for it
---@field params? table where a tool waits for an approval: its parameters as JSON Schema
---@field said? table what a person has said of it, and no process has taken up yet: { decision =, reason =, args = },
---  { retry = true }, { value = } or { fail = }
---@field request? any with `requests`
---@field value? any with `requests`
---@field error? stoke.error with `requests`

-- ---- data -------------------------------------------------------------------------------------------------------------------

local function pieces(outcome)
  local out = json.array {}
  for i, item in ipairs(outcome.items) do
    if item.value ~= nil then out[i] = item.value end
  end
  return out
end

local function entry_of(row, run, whole)
  local status, text = words.outcome(row, run)
  local input, output = words.tokens(row)
  local entry = { number = row.number, key = row.key, effect = row.name, class = row.class, what = words.what(row),
    who = words.who(row.key), where = row.where, time = row.time, took = row.took, input_tokens = input, output_tokens = output,
    status = status, outcome = text, inside = row.inside or nil, changed = row.changed }
  if status == "waits" then
    local asks = type(row.asks) == "table" and row.asks or {}
    entry.args, entry.digest, entry.since = type(row.request) == "table" and row.request.args or nil, row.digest, asks.since
    entry.asks, entry.agent, entry.params = asks.what, asks.agent, asks.params
  end
  entry.said = row.said
  if status == "in doubt" and row.doubt ~= row.number then entry.doubt = row.doubt end
  if whole then
    local outcome = row.outcome
    entry.request = row.request
    entry.value = outcome and (outcome.items and pieces(outcome) or outcome.value)
    entry.error = outcome and outcome.err
  end
  return entry
end

---@class stoke.runs.totals
---@field records integer
---@field calls integer of models
---@field input_tokens integer
---@field output_tokens integer
---@field seconds? number in which any of them was at work or waited

--- Seconds that spans of time cover together; those when no process had the run are in none.
local function covered(spans)
  if #spans == 0 then return nil end
  table.sort(spans, function(a, b) return a[1] < b[1] end)
  local sum, reached = 0, spans[1][1]
  for _, span in ipairs(spans) do
    sum = sum + math.max(0, span[2] - math.max(span[1], reached))
    reached = math.max(reached, span[2])
  end
  return sum
end

--- What the records of a run come to.
---@param rows stoke.journal.row[]
---@return stoke.runs.totals
---
--- Example: `print(timeline.totals(parts.rows).calls)`
function M.totals(rows)
  local out, spans = { records = #rows, calls = 0, input_tokens = 0, output_tokens = 0 }, {}
  for _, row in ipairs(rows) do
    local input, output = words.tokens(row)
    local called = words.is_call(row)
    if called and row.outcome and not row.outcome.refusal then out.calls = out.calls + 1 end
    if called and input then -- a tool's own count is that of the calls in its body
      out.input_tokens, out.output_tokens = out.input_tokens + input, out.output_tokens + output
    end
    if row.time then spans[#spans + 1] = { row.time, row.time + (row.took or 0) } end
  end
  out.seconds = covered(spans)
  return out
end

--- The records of a run.
---@param rows stoke.journal.row[]
---@param run stoke.run.record
---@param whole? boolean requests and outcomes, too
---@return stoke.runs.entry[]
---
--- Example: `local entries = timeline.entries(parts.rows, run)`
function M.entries(rows, run, whole)
  local out = {}
  for i, row in ipairs(rows) do out[i] = entry_of(row, run, whole) end
  return out
end

-- ---- lines ------------------------------------------------------------------------------------------------------------------

local STYLE = { failed = "red", refused = "yellow", cancelled = "dim", ["in doubt"] = "red", waits = "yellow", open = "dim" }
local MARK = { refused = "-", ["in doubt"] = "!", waits = "?", failed = "x" }

local function seconds(value) return value and term.duration(value) or "" end

local function tokens(entry) return entry.input_tokens and ("%d+%d"):format(entry.input_tokens, entry.output_tokens) or "" end

local function row_of(entry, began)
  local what = (entry.inside and "  " or "") .. (entry.who and entry.who .. ": " or "") .. entry.what
  local outcome = entry.outcome .. (entry.changed and " (set by the fork)" or "")
  return { ("%d%s"):format(entry.number, MARK[entry.status] or " "), entry.time and began and seconds(entry.time - began) or "",
    seconds(entry.took), tokens(entry), what, outcome }
end

--- The timeline as lines of a table. `-` marks what was refused, `x` what failed, `!` what is in doubt, `?` what waits.
---@param entries stoke.runs.entry[]
---@param options? { columns?: integer, colour?: boolean }
---@return string
---
--- Example: `io.write(timeline.text(entries))`
function M.text(entries, options)
  if #entries == 0 then return "" end
  local began
  for _, entry in ipairs(entries) do
    if entry.time then began = math.min(began or entry.time, entry.time) end
  end
  local rows = { { "#", "AFTER", "TOOK", "TOKENS", "WHAT", "OUTCOME" } }
  for i, entry in ipairs(entries) do rows[i + 1] = row_of(entry, began) end
  options = options or {}
  local text = term.layout(rows, { right = { [1] = true, [2] = true, [3] = true, [4] = true }, columns = options.columns })
  if not options.colour then return text end
  local out, i = {}, 0
  for l in text:gmatch "[^\n]*\n" do
    local style = i == 0 and "bold" or STYLE[entries[i].status]
    out[#out + 1] = style and term.paint(style, l:sub(1, -2), true) .. "\n" or l
    i = i + 1
  end
  return table.concat(out)
end

local function indented(text) return "    " .. text:gsub("\n", "\n    ") .. "\n" end

--- One record, its request and its outcome whole.
---@param entry stoke.runs.entry made with requests and outcomes
---@return string
---
--- Example: `io.write(timeline.whole(entry))`
function M.whole(entry)
  local out = { ("#%d %s%s%s\n"):format(entry.number, entry.what, entry.who and " (" .. entry.who .. ")" or "",
    entry.where and "  at " .. term.clean(entry.where) or ""), ("  key      %s\n"):format(words.key(entry.key)),
    ("  class    %s\n"):format(entry.class), "  request\n", indented(term.clean(words.whole(entry.request))) }
  out[#out + 1] = ("  outcome  %s%s\n"):format(entry.status, entry.took and " after " .. term.duration(entry.took) or "")
  local came = entry.error and tostring(entry.error) or entry.value ~= nil and words.whole(entry.value)
  if came then out[#out + 1] = indented(term.clean(came)) end
  return table.concat(out)
end

-- ---- what it waits for --------------------------------------------------------------------------------------------------------

local function arguments(entry)
  local text = entry.args and (json.encode(entry.args) or show.line(entry.args))
  return text and " " .. approve.visible(text) or ""
end

--- With its number: the run may ask for something else by the time that is typed.
local function waits_for_approval(run, entry)
  local id, of = words.id(run), (" --of %d"):format(entry.number)
  local since = entry.since and " since " .. words.date(entry.since) or ""
  return ("#%d waits for approval%s: %s%s%s\n  stoke approve %s%s\n  stoke approve %s%s --reject WHY\n"):format(entry.number, since,
    entry.who and entry.who .. " wants " or "", entry.what:match "^tool [^ ]*" or entry.what, arguments(entry), id, of, id, of)
end

--- Decided, and the run has not gone on since.
local function said_of(run, entry)
  local said = entry.said
  local how = said.decision or "resolved"
  if said.args then how = ("%s with %s"):format(how, approve.visible(json.encode(said.args))) end
  if said.reason then how = ("%s: %s"):format(how, approve.visible(said.reason)) end
  local goes_on = (run.left or run.state == "parked") and "stoke resume " .. words.id(run) .. " goes on with that"
    or "its process is about to go on with that"
  return ("#%d %s: %s\n  %s\n"):format(entry.number, entry.what, how, goes_on)
end

--- It diverged: what can be done about it.
local function diverged(run)
  local waits = run.state == "parked" and tostring(run.waits) or ""
  if not waits:find "^it does not go as recorded" then return "" end
  local id = words.id(run)
  local at = waits:match "than #(%d+) of the recording" or waits:match "[:e] #(%d+) comes next"
  at = at and math.max(math.tointeger(at) - 1, 0)
  return ([[
Something in it is not taken from its input, its own code or an effect, so it cannot go on as it was begun.
  stoke replay %s --check          where it parts
%s]]):format(id, at and ("  stoke fork %s --at %d             a new run, with the records that still fit\n"):format(id, at) or "")
end

local function in_doubt(run, entry, several, entries)
  local id = words.id(run)
  local of = several and (" --of %d"):format(entry.number) or ""
  local about = effect.about(entry.effect)
  local form = about and about.said and select(2, about.said()) -- that of what somebody writes
  local inner = entry.doubt and entries[entry.doubt]
  local begun = inner and ("It had begun #%d %s"):format(inner.number, inner.what) or "It was begun"
  return ([[
#%d is in doubt: %s
  %s, and the process ended before its outcome was recorded. Check whether it happened, then:
  stoke resolve %s%s --retry          it did not happen: do it
  stoke resolve %s%s --value %s     it happened, with this outcome
  stoke resolve %s%s --fail WHY       it failed: the run gets an error
]]):format(entry.number, entry.what, begun, id, of, id, of, form and "'" .. form .. "'" or "JSON", id, of)
end

--- What a run waits for, and the commands that decide it; "" when nothing has to be decided.
---@param run stoke.run.record
---@param entries stoke.runs.entry[]
---@return string
---
--- Example: `io.write(timeline.waiting(run, entries))`
function M.waiting(run, entries)
  local open, out = { waits = {}, ["in doubt"] = {} }, {}
  for _, entry in ipairs(entries) do
    local list = open[entry.status]
    if entry.said then out[#out + 1] = said_of(run, entry) elseif list then table.insert(list, entry) end
  end
  for _, entry in ipairs(open.waits) do out[#out + 1] = waits_for_approval(run, entry) end
  for _, entry in ipairs(open["in doubt"]) do out[#out + 1] = in_doubt(run, entry, #open["in doubt"] > 1, entries) end
  return table.concat(out) .. diverged(run)
end

--- The heading of a run: what it is, since when, what it has cost.
---@param run stoke.run.record
---@param totals stoke.runs.totals
---@param now? number wall clock; else the clock's
---@return string lines
---
--- Example: `io.write(timeline.heading(run, timeline.totals(rows)))`
function M.heading(run, totals, now)
  now = now or time.now()
  local state = run.state .. (run.waits and ": " .. term.clean(tostring(run.waits)) or "")
  if run.left then state = ("%s (no process has it: stoke resume %s)"):format(state, words.id(run)) end
  local out = { ("%s  %s  %s\n"):format(approve.visible(run.id), approve.visible(run.workflow), state) }
  local calls = ("%d model call%s"):format(totals.calls, totals.calls == 1 and "" or "s")
  out[2] = ("begun %s (%s ago), %d record%s, %s, %d tokens in, %d out\n"):format(words.date(run.created),
    term.duration(math.max(now - run.created, 0)), totals.records, totals.records == 1 and "" or "s", calls,
    totals.input_tokens, totals.output_tokens)
  local origin = run.fork_of_id
  if origin then out[#out + 1] = ("a fork of %s at #%d\n"):format(approve.visible(origin), run.fork_at or 0) end
  if run.state == "failed" and run.error then out[#out + 1] = term.clean(tostring(run.error)) .. "\n" end
  if run.state == "done" and run.result ~= nil then out[#out + 1] = ("result: %s\n"):format(words.value(run.result)) end
  return table.concat(out)
end

return M
