--- One durable run on the page: its heading, its records by pages, a record whole, its conversations.

local core = require "core.runs"
local curl = require "stoke.page.runs.curl"
local data = require "stoke.page.data"
local errors = require "core.errors"
local history = require "core.history.runs"
local json = require "stoke.json"
local masks = require "stoke.page.runs.mask"
local messages = require "stoke.page.runs.messages"
local rows = require "stoke.page.runs.rows"
local show = require "stoke.show"
local texts = require "core.text"
local traces = require "core.history.traces"
local words = require "stoke.runs.words"

local M = {}

--- Records of a page.
M.PAGE = 200
--- Bytes of a request, an outcome, an input, a result that are shown at first, and at most.
local SHOWN <const>, LONGEST <const> = 20000, 8 << 20

--- The run that is asked for.
---@return core.history.run run
---@return stoke.store store
---Raises `argument` where there is none.
function M.find(files, id)
  local store = files:runs()
  if not store then
    errors.raise("argument", "there is no store of durable runs", { hint = "stoke run --durable FILE makes one" })
  end
  local run, err = history.run(store, id)
  if err then error(err, 0) end
  if not run then
    errors.raise("argument", ("there is no run %s"):format(data.text(id, 100)), { hint = "it may have been pruned since" })
  end
  return core.seen(store, run), store
end

local function heading(store, run, mask)
  local left = (run.state == "running" or run.state == "waiting") and not store:held(run)
  local err = mask:error(run.error)
  return { id = run.id, typed = words.id(run), workflow = data.text(run.workflow, 120), state = run.state, why = run.why,
    waits = data.text(mask:words(run.waits), 1000), left = left or nil, begun = run.created, changed = run.changed,
    calls = run.calls,
    tokens = run.tokens, bytes = run.bytes, fork_of = data.text(run.fork_of, 200), fork_at = run.fork_at,
    error = err and { kind = data.text(err.kind, 40), message = data.text(err.message, 2000), hint = data.text(err.hint, 500),
      where = data.text(err.where, 200) } }
end

local function conversations(store, run)
  local out = json.array()
  for i, one in ipairs(errors.check(history.conversations(store, run.number))) do
    local who = words.who(one.key .. "/") or one.key ~= "run" and words.key(one.key:match "[^/]*$") or "the run itself"
    out[i] = { title = data.text(who, 120), key = words.key(one.key),
      first = one.first, last = one.last, calls = one.calls, messages = one.messages }
  end
  return out
end

local function number_in(text, name)
  local number = text and math.tointeger(tonumber(text))
  if text and (not number or number < 0 or number > 0xFFFFFFFF) then
    errors.raise("argument", ("%s must be a whole number, got %s"):format(name, data.text(text, 40)))
  end
  return number
end

--- Records from one on, and the heading as it is by then.
local function records(store, run, from)
  local mask = masks.new()
  local found = mask:rows(errors.check(history.records(store, run.number, from, M.PAGE)))
  return { run = heading(store, run, mask), records = rows.records(found, run), from = from,
    count = errors.check(history.count(store, run.number)) }
end

local function first_look(files, store, run, from)
  local out = records(store, run, from)
  out.conversations = conversations(store, run)
  local db = files:traces()
  local place = db and traces.of_run(db, run.id)
  out.trace = place and { id = place.trace, span = place.span } or nil
  return out
end

-- ---- one record -----------------------------------------------------------------------------------------------------------------

--- A value as text of many lines, cut; and how long it is.
local function whole(value, most)
  if value == nil then return nil end
  local text = type(value) == "string" and value or json.encode(value) and show.pretty(value) or show.pretty(value)
  return data.text(text, most), #text > most and #text or nil
end

--- What came of it, as a value: the pieces of a stream as the message that they are.
local function value_of(row)
  local outcome = row.outcome
  if not outcome or outcome.secret then return nil end
  return outcome.items and (messages.answer(row) or outcome.items) or outcome.value
end

local function error_of(row)
  local err = row.outcome and row.outcome.err
  if not err then return nil end
  return { kind = data.text(err.kind, 40), message = data.text(err.message, 4000), hint = data.text(rawget(err, "hint"), 500) }
end

local function find_record(store, run, number)
  local row, err = history.record(store, run.number, number)
  if err then error(err, 0) end
  if not row then errors.raise("argument", ("%s has no record #%d"):format(data.text(run.id, 100), number)) end
  return masks.new():rows({ row })[1]
end

local function record(store, run, number, all)
  local row = find_record(store, run, number)
  local most = all and LONGEST or SHOWN
  local out = { run = run.id, key = words.key(row.key), digest = row.digest and texts.valid(row.digest) or nil }
  out.row = rows.records({ row }, run)[1]
  out.request, out.request_size = whole(row.request, most)
  out.value, out.value_size = whole(value_of(row), most)
  out.error = error_of(row)
  local line = curl.of(row.name, row.request)
  out.curl, out.curl_size = whole(line, most)
  if words.is_call(row) then
    out.answer = messages.answer(row) and messages.one(messages.answer(row), most) or nil
  end
  return out
end

--- The messages of a call, with its answer behind them; one alone where `message` says which.
local function transcript(store, run, asked)
  local row = find_record(store, run, number_in(asked.transcript, "transcript"))
  local list = { table.unpack(messages.asked(row.request), 1, #messages.asked(row.request)) }
  list[#list + 1] = messages.answer(row)
  local wanted = number_in(asked.message, "message")
  if wanted then
    if not list[wanted] then errors.raise("argument", ("there is no message %d"):format(wanted)) end
    return messages.one(list[wanted], messages.LONGEST)
  end
  local page = messages.page(list, number_in(asked.before, "before"))
  page.status, page.model = words.outcome(row, run), type(row.request) == "table" and data.text(row.request.model, 120) or nil
  page.error = error_of(row)
  return page
end

--- What it was begun with and what it gave: with pages that look at records nobody wants them.
local function ends(store, run, all)
  local found, err = store:find(run.id)
  if not found then error(err, 0) end
  local most, out = all and LONGEST or SHOWN, {}
  local shown = masks.new():value { input = found.input, result = found.result }
  out.input, out.input_size = whole(shown.input, most)
  out.result, out.result_size = whole(shown.result, most)
  return out
end

--- What is asked of a run.
---@param files stoke.page.files
---@param asked table<string, string> run: its id; and one of: record = N (whole; all: not cut), transcript = N (the call whose
---  messages are wanted; before, message), part = "ends" (input and result), from = N (records from that one on)
---@return table
---Raises `argument`, `db`.
---
--- Example: `local shown = run.look(files, { run = "trip-7" })`
function M.look(files, asked)
  local run, store = M.find(files, asked.run)
  local all = asked.all ~= nil
  if asked.record then return record(store, run, number_in(asked.record, "record"), all) end
  if asked.transcript then return transcript(store, run, asked) end
  if asked.part == "ends" then return ends(store, run, all) end
  local from = number_in(asked.from, "from")
  if from and asked.more then return records(store, run, math.max(1, from)) end
  return first_look(files, store, run, math.max(1, from or 1))
end

return M
