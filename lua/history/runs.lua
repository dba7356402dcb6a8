--- Durable runs as a reader sees them who turns pages: a few rows at a time of a store that may hold millions, each cut to what
--- fits a line. What is read whole is read one at a time. Nothing is written; the store is open to read (stores.open, readonly).
---
--- All functions return nil and an error (kind `db`) where the file fails, and wait for its thread.

local codec = require "core.store.codec"
local errors = require "core.errors"
local json = require "core.json"
local load = require "core.store.load"
local plain = require "core.store.plain"
local requests = require "core.store.request"

local M = {}

local null, or_nil = json.null, codec.or_nil

--- Runs that a search looks at before it says how far it has come.
M.SEARCHED = 20000
--- Characters of one column that are read, where a line is made of it.
local LONGEST <const> = 64 << 10
--- Characters of one content, then.
local CONTENT <const> = 4000
--- Contents in contents.
local DEPTH <const> = 4

-- ---- contents -------------------------------------------------------------------------------------------------------------------

--- What stands for a content that is too long for a line: the beginning of a text; of a value, how long it is.
local function cut(kind, head, size)
  if kind == "value" then return ('"(%d characters)"'):format(size) end
  return head .. "…"
end

--- Contents that texts refer to, each cut to `most` characters.
---@return table<string, string>|nil by hash
---@return stoke.error|nil err
local function contents_of(store, texts, most)
  local out, kinds = {}, {}
  for _ = 1, DEPTH do
    local wanted = {}
    for _, text in ipairs(texts) do
      for kind, hash in text:gmatch '"%$(%a+)":"([%w_-]+)"' do
        if #hash == 20 and not kinds[hash] then kinds[hash], wanted[#wanted + 1] = kind, hash end
      end
    end
    if not wanted[1] then break end
    local found, err = store.db:query("SELECT hash,length(value),substr(value,1,?) FROM contents WHERE hash IN "
      .. "(SELECT value FROM json_each(?))", { most, json.encode(wanted) })
    if not found then return nil, store:failed(err) end
    texts = {}
    for i, r in ipairs(found.rows) do
      out[r[1]] = r[2] > most and cut(kinds[r[1]], r[3], r[2]) or r[3]
      texts[i] = out[r[1]]
    end
  end
  return out
end

-- ---- runs -----------------------------------------------------------------------------------------------------------------------

local RUN = "number,id,workflow,state,waits,created,changed,calls,tokens,bytes,fork_of,fork_at,why,parent,"
  .. "CASE WHEN length(error)<=8000 THEN error END,"
  .. "(SELECT o.id FROM runs AS o WHERE o.number=runs.fork_of)"

---@class core.history.run a run without its input, its result and its records
---@field number integer
---@field id string
---@field workflow string
---@field state string
---@field waits? string
---@field why? string
---@field created number seconds since 1970
---@field changed number
---@field calls integer of models
---@field tokens integer
---@field bytes integer
---@field fork_of? string id of the run whose first records it shares
---@field fork_at? integer
---@field error? { kind?: string, message: string, hint?: string }

--- What a run failed with, in its own words.
local function error_of(text, contents)
  if text == null then return nil end
  local ok, err = pcall(codec.value, text, contents)
  if not ok or type(err) ~= "table" then return { message = "its error cannot be read" } end
  return { kind = err.kind, message = tostring(err.message), hint = rawget(err, "hint"), where = rawget(err, "where") }
end

local function run_of(r, contents)
  return { number = r[1], id = r[2], workflow = r[3], state = r[4], waits = or_nil(r[5]), created = r[6], changed = r[7],
    calls = r[8], tokens = r[9], bytes = r[10], fork_of = or_nil(r[16]), fork_at = or_nil(r[12]), why = or_nil(r[13]),
    error = error_of(r[15], contents) }
end

--- The long texts of the errors of runs.
local function contents_of_errors(store, rows)
  local texts = {}
  for _, r in ipairs(rows) do
    if type(r[15]) == "string" then texts[#texts + 1] = r[15] end
  end
  return contents_of(store, texts, CONTENT)
end

--- Above all numbers of runs.
local LAST <const> = math.maxinteger

--- The conditions of a page, and their values. A text is looked for in ids and names of workflows.
local function conditions(filter, low)
  local where, params = { "number<?" }, { filter.before or LAST }
  local function add(sql, ...)
    where[#where + 1] = sql
    for _, value in ipairs { ... } do params[#params + 1] = value end
  end
  if low then add("number>=?", low) end
  if filter.state then add("state=?", filter.state) end
  if filter.text then
    local text = filter.text:lower()
    add("(instr(lower(id),?) OR instr(lower(workflow),?))", text, text)
  end
  return table.concat(where, " AND "), params
end

--- Runs, the newest first.
---@param store stoke.store
---@param filter { before?: integer, state?: string, text?: string, limit: integer } before: runs with a smaller number; text: in
---  its id or the name of its workflow
---@return { runs: core.history.run[], next?: integer }|nil page next: `before` of the next page; nil: there is none
---@return stoke.error|nil err
---
--- Example: `local page, err = history.runs(store, { limit = 50, state = "failed" })`
function M.runs(store, filter)
  local low
  if filter.text then
    local top, err = store.db:query("SELECT max(number) FROM runs WHERE number<?", { filter.before or LAST })
    if not top then return nil, store:failed(err) end
    if top.rows[1][1] == null then return { runs = {} } end
    low = top.rows[1][1] - M.SEARCHED
  end
  local where, params = conditions(filter, low)
  params[#params + 1] = filter.limit
  local found, err = store.db:query(("SELECT %s FROM runs WHERE %s ORDER BY number DESC LIMIT ?"):format(RUN, where), params)
  if not found then return nil, store:failed(err) end
  local contents
  contents, err = contents_of_errors(store, found.rows)
  if not contents then return nil, err end
  return load.guarded(store, function()
    local list = {}
    for i, r in ipairs(found.rows) do list[i] = run_of(r, contents) end
    local full = #list == filter.limit
    return { runs = list, next = full and list[#list].number or low and low > 1 and low or nil }
  end)
end

--- One run; nil: there is none.
---@param store stoke.store
---@param id string
---@return core.history.run|nil
---@return stoke.error|nil err
---
--- Example: `local run, err = history.run(store, "trip-7")`
function M.run(store, id)
  local found, err = store.db:query(("SELECT %s FROM runs WHERE id=?"):format(RUN), { id })
  if not found then return nil, store:failed(err) end
  if not found.rows[1] then return nil end
  local contents
  contents, err = contents_of_errors(store, found.rows)
  if not contents then return nil, err end
  return load.guarded(store, run_of, found.rows[1], contents)
end

-- ---- records as lines -----------------------------------------------------------------------------------------------------------

--- Columns of a record, cut: of a request with messages what it is beside them, of a long value that it is long.
local LINE = ([[id&4294967295 AS number,key,name,class,digest AS sha,line AS "where",time,took,inside AS "inside?",
intent AS "intent?",seen,base,kept,
CASE WHEN kept IS NOT NULL THEN json_extract(request,'$.rest') WHEN length(request)<=@ THEN request END AS asked,
nullif(ifnull(outcome,'none'),'value') AS kind,
CASE WHEN length(value)<=@ THEN value WHEN outcome='stream' THEN NULL WHEN value IS NOT NULL THEN '"(long)"' END AS text,
facts,CASE WHEN length(value)<=@ THEN lengths END AS lengths,error,more,asks,input_tokens AS input,output_tokens AS output,
seconds]]):gsub("@", tostring(LONGEST))
local LINES = ("SELECT %s FROM records WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?"):format(LINE)
local REST = "SELECT id&4294967295,json_extract(request,'$.rest') FROM records WHERE id IN (SELECT value FROM json_each(?))"

--- What requests are beside their messages is often that of an earlier record: its text, by number.
local function rests_of(store, base, rows)
  local wanted, out = {}, {}
  for _, row in ipairs(rows) do
    if row.kept and math.type(row.asked) == "integer" and not out[row.asked] then
      out[row.asked], wanted[#wanted + 1] = "{}", base + row.asked
    end
  end
  if not wanted[1] then return out end
  local found, err = store.db:query(REST, { json.encode(wanted) })
  if not found then return nil, store:failed(err) end
  for _, r in ipairs(found.rows) do out[r[1]] = r[2] end
  return out
end

local TEXTS = { "asked", "text", "facts", "error", "more", "asks" }

--- Rows of a journal from lines.
local function journal_rows(rows, rests, contents)
  for _, row in ipairs(rows) do
    local asked = row.asked
    if math.type(asked) == "integer" then asked = rests[asked] end
    if type(asked) == "string" then row.request = codec.value(asked, contents) end
    codec.row(row, contents)
    if row.outcome == nil and row.text then row.outcome = { value = codec.value(row.text, contents), facts = { attempts = 1 } } end
    row.name = row.name or plain.name(row.key)
    row.digest = row.sha and codec.lazy.digest(row) or nil
    row.asked, row.text, row.kind, row.sha = nil, nil, nil, nil
  end
  return rows
end

--- Records of a run as rows of a journal (lua/journal.lua), their requests without messages, all long texts cut.
---@param store stoke.store
---@param run integer
---@param from integer the first record
---@param limit integer
---@return stoke.journal.row[]|nil
---@return stoke.error|nil err
---
--- Example: `local rows, err = history.records(store, run.number, 1, 200)`
function M.records(store, run, from, limit)
  local base = run << 32
  local found, err = store.db:query(LINES, { base + from, base + 0xFFFFFFFF, limit }, nil, true)
  if not found then return nil, store:failed(err) end
  local rows, rests = found.rows
  rests, err = rests_of(store, base, rows)
  if not rests then return nil, err end
  local texts = {}
  for _, row in ipairs(rows) do
    for _, name in ipairs(TEXTS) do
      if type(row[name]) == "string" then texts[#texts + 1] = row[name] end
    end
  end
  for _, text in next, rests do texts[#texts + 1] = type(text) == "string" and text or nil end
  local contents
  contents, err = contents_of(store, texts, CONTENT)
  if not contents then return nil, err end
  return load.guarded(store, journal_rows, rows, rests, contents)
end

--- How many records a run has.
---@return integer|nil
---@return stoke.error|nil err
---
--- Example: `local count = history.count(store, run.number)`
function M.count(store, run)
  local found, err = store.db:query("SELECT max(id) FROM records WHERE id BETWEEN ? AND ?", { run << 32, (run << 32) + 0xFFFFFFFF })
  if not found then return nil, store:failed(err) end
  local last = found.rows[1][1]
  return last == null and 0 or last & 0xFFFFFFFF
end

-- ---- one record, whole ----------------------------------------------------------------------------------------------------------

local CHAIN = ([[WITH RECURSIVE chain(id,base) AS (SELECT id,base FROM records WHERE id=?1 UNION
  SELECT r.id,r.base FROM chain JOIN records AS r ON r.id=?2+chain.base)
SELECT %s FROM records WHERE id IN (SELECT id FROM chain)]]):format(codec.READ)
local ALONE = ("SELECT %s FROM records WHERE id=?"):format(codec.READ)

--- The record, and those that its request continues, by number.
local function chain_of(store, base, number)
  local found, err = store.db:query(CHAIN, { base + number, base }, nil, true)
  if not found then return nil, store:failed(err) end
  local by_number = {}
  for _, row in ipairs(found.rows) do by_number[row.number] = row end
  local row = by_number[number]
  local other = row and row.kept and type(row.asked) == "string" and math.tointeger(row.asked:match '"rest":(%d+)}$')
  if other and not by_number[other] then
    found, err = store.db:query(ALONE, { base + other }, nil, true)
    if not found then return nil, store:failed(err) end
    by_number[other] = found.rows[1]
  end
  return by_number
end

--- What has been read of a stream that has not ended.
local function add_pieces(store, base, row, contents)
  local outcome = row.outcome
  if not (outcome and outcome.items) or codec.ended(outcome) then return end
  local found, err = store.db:query("SELECT items FROM pieces WHERE record=? ORDER BY first", { base + row.number })
  if not found then error(err, 0) end
  for _, r in ipairs(found.rows) do
    for _, item in ipairs(codec.value(r[1], contents)) do outcome.items[#outcome.items + 1] = item end
  end
end

local function whole(store, base, by_number, number, contents)
  local row = by_number[number]
  if row.broken then error(errors.new("protocol", ("record %d is not as it was written"):format(number)), 0) end
  local kept = requests.kept({}, contents)
  kept.rows = by_number
  row.request = kept:of(row)
  local text = row.text
  codec.row(row, contents)
  if row.outcome == nil and text then row.outcome = { value = codec.value(text, contents), facts = { attempts = 1 } } end
  row.name = row.name or plain.name(row.key)
  row.digest = row.sha and codec.lazy.digest(row) or nil
  add_pieces(store, base, row, contents)
  row.asked, row.text, row.kind, row.sha = nil, nil, nil, nil
  return row
end

--- One record with its whole request and its whole outcome.
---@param store stoke.store
---@param run integer
---@param number integer
---@return stoke.journal.row|nil row nil: there is none
---@return stoke.error|nil err
---
--- Example: `local row, err = history.record(store, run.number, 5)`
function M.record(store, run, number)
  local base = run << 32
  local by_number, err = chain_of(store, base, number)
  if not by_number then return nil, err end
  if not by_number[number] then return nil end
  local texts = {}
  for _, row in next, by_number do
    for _, name in ipairs(TEXTS) do
      if type(row[name]) == "string" and (name == "asked" or row.number == number) then texts[#texts + 1] = row[name] end
    end
  end
  local pieces
  pieces, err = store.db:query("SELECT items FROM pieces WHERE record=?", { base + number })
  if not pieces then return nil, store:failed(err) end
  for _, r in ipairs(pieces.rows) do texts[#texts + 1] = r[1] end
  local contents
  contents, err = load.contents_of(store, texts)
  if not contents then return nil, err end
  return load.guarded(store, whole, store, base, by_number, number, contents)
end

local ASKING = "SELECT id&4294967295 FROM records WHERE id BETWEEN ? AND ? AND asks IS NOT NULL AND outcome IS NULL "
  .. "ORDER BY id LIMIT ?"

--- The records of a run that wait for a person, whole, without reading the others.
---@param store stoke.store
---@param run integer
---@param limit integer
---@return stoke.journal.row[]|nil
---@return stoke.error|nil err
---
--- Example: `for _, row in ipairs(assert(history.waiting(store, run.number, 100))) do print(row.asks.what) end`
function M.waiting(store, run, limit)
  local found, err = store.db:query(ASKING, { run << 32, (run << 32) + 0xFFFFFFFF, limit })
  if not found then return nil, store:failed(err) end
  local rows = {}
  for _, r in ipairs(found.rows) do
    rows[#rows + 1], err = M.record(store, run, r[1])
    if err then return nil, err end
  end
  return rows
end

-- ---- conversations --------------------------------------------------------------------------------------------------------------

--- Calls of models that are looked at, the newest; and the records among which they are looked for.
local CALLS <const>, AMONG <const> = 2000, 50000

local SPOKEN = [[SELECT id&4294967295,key,base,kept,coalesce(kept,0)+coalesce(json_array_length(request,'$.add'),0)
FROM records WHERE id BETWEEN ? AND ? AND (key LIKE '%/llm.chat#%' OR key LIKE '%/llm.stream#%') ORDER BY id DESC LIMIT ?]]

---@class core.history.conversation calls of a model of which each goes on where the one before ended
---@field key string place in the run: frames without the name of the effect
---@field first integer number of its first record
---@field last integer of its last one: its request has all messages
---@field calls integer
---@field messages integer of the last request

--- The conversations of a run, in the order of their beginning; of a long one those of its newest records.
---@param store stoke.store
---@param run integer
---@return core.history.conversation[]|nil
---@return stoke.error|nil err
---
--- Example: `for _, one in ipairs(assert(history.conversations(store, run.number))) do print(one.key, one.calls) end`
function M.conversations(store, run)
  local base = run << 32
  local last, err = M.count(store, run)
  if not last then return nil, err end
  local found
  found, err = store.db:query(SPOKEN, { base + math.max(0, last - AMONG), base + last, CALLS })
  if not found then return nil, store:failed(err) end
  local list, ends = {}, {}
  for i = #found.rows, 1, -1 do
    local number, key, from, kept, messages = table.unpack(found.rows[i], 1, 5)
    local place = key:match "^(.*)/[^/]*$" or key
    local one = from ~= null and ends[from]
    if not (one and one.key == place and one.messages == kept) then
      one = { key = place, first = number, calls = 0 }
      list[#list + 1] = one
    end
    ends[one.last or 0], ends[number] = nil, one
    one.last, one.calls, one.messages = number, one.calls + 1, messages
  end
  return list
end

return M
