--- Runs read back: records become rows of a journal as they come, a few hundred at a time.

local codec = require "core.store.codec"
local errors = require "core.errors"
local json = require "core.json"
local plain = require "core.store.plain"
local requests = require "core.store.request"

local M = {}

local null = json.null
local or_nil = codec.or_nil

--- Rows that are read at once.
local SOME <const> = 256
--- Rows that are read without a cursor.
local MANY <const> = 2000

local RUN = "number,id,workflow,state,waits,created,changed,input,result,error,code,seed,epoch,calls,tokens,bytes,printed,parent,"
  .. "fork_of,fork_at,snapshots,sum IS stoke_sum(id,workflow,input,result,error),why,shared"
M.RUN = RUN

---@class stoke.store.run
---@field number integer
---@field id string
---@field workflow string
---@field state "running"|"waiting"|"parked"|"done"|"failed"|"cancelled"
---@field waits? string what it waits for, or why it is parked, in words
---@field why? "in_doubt"|"replay"|"parked" why it is parked
---@field created number seconds since 1970
---@field changed number
---@field input any
---@field result any
---@field error? stoke.error
---@field code? string
---@field seed string what its ids and random numbers follow from
---@field epoch integer how often a process has taken it up
---@field calls integer of models
---@field tokens integer
---@field bytes integer of its records, about
---@field printed integer
---@field parent? integer
---@field fork_of? integer
---@field fork_at? integer
---@field snapshots integer how often it began anew from its state
---@field shared? integer several hosts may have it: the last value of its log that this store knows of

--- The error for what is raised where damaged data is read: texts that say nothing, columns of another kind.
---@param store stoke.store
---@param raised any
---@return stoke.error
local function damaged(store, raised)
  if errors.is(raised) and raised.kind ~= "protocol" then return store:failed(raised) end
  return errors.new("db", ('the store "%s" is damaged: %s'):format(store.path, errors.is(raised) and raised.message
    or tostring(raised)),
    { code = "SQLITE_CORRUPT", hint = "stoke doctor checks the file; `sqlite3 FILE .recover` saves what can be read" })
end

M.damaged = damaged

--- Call f, which reads what a file says; nil and an error where that is damaged.
---@param store stoke.store
---@param f function
function M.guarded(store, f, ...)
  local ok, value = pcall(f, ...)
  if ok then return value end
  return nil, damaged(store, value)
end

--- Something is not as it was written.
local function other(what) error(errors.new("protocol", what .. " is not as it was written"), 0) end

--- A content, if it is the one that its hash says.
---@param hash string
---@param text string
---@return string
---Raises `protocol`.
function M.whole(hash, text)
  if type(text) ~= "string" or plain.hash(text) ~= hash then other "a long text" end
  return text
end

--- Rows of a statement, each given to f.
---@param store stoke.store
---@return boolean|nil ok
---@return stoke.error|nil err
---@param named? boolean as tables with names
local function each(store, sql, params, f, named)
  local cursor, err = store.db:each(sql, params)
  if not cursor then return nil, err end
  while true do
    local rows
    rows, err = cursor:next(SOME, named)
    if not rows then break end
    for i = 1, #rows do f(rows[i]) end
  end
  cursor:close()
  if err then return nil, err end
  return true
end
M.each = each

--- Contents that some texts refer to: name -> what is kept.
local function contents_of(store, texts)
  local wanted, found = {}, {}
  for _, text in ipairs(texts) do
    if type(text) == "string" then
      for hash in text:gmatch '"%$%a+":"([%w_-]+)"' do wanted[#wanted + 1] = hash end
    end
  end
  for _, hash in ipairs(wanted) do
    local value, err = store:content(hash)
    if err then return nil, err end
    if value then
      found[hash] = value
      if value:find('{"$', 1, true) then -- a value, perhaps with contents of its own
        for inner in value:gmatch '"%$%a+":"([%w_-]+)"' do
          if not found[inner] and #inner == 20 then wanted[#wanted + 1] = inner end
        end
      end
    end
  end
  return found
end
M.contents_of = contents_of
M.CONTENTS = "SELECT hash,value FROM uses JOIN contents ON contents.id=uses.content WHERE uses.run=?"

--- A run as others see it.
---@param store stoke.store
---@param r any[] columns M.RUN
---@return stoke.store.run|nil
---@return stoke.error|nil err
function M.run(store, r)
  local contents, err = contents_of(store, { r[8], r[9], r[10] })
  if err then return nil, err end
  return M.guarded(store, function()
    if r[22] == 0 then other("run " .. r[1]) end
    return { number = r[1], id = r[2], workflow = r[3], state = r[4], waits = or_nil(r[5]), created = r[6], changed = r[7],
      input = codec.value(r[8], contents), result = codec.value(r[9], contents), error = codec.value(r[10], contents),
      code = or_nil(r[11]), seed = r[12], epoch = r[13], calls = r[14], tokens = r[15], bytes = r[16], printed = r[17],
      parent = or_nil(r[18]), fork_of = or_nil(r[19]), fork_at = or_nil(r[20]), snapshots = r[21], why = or_nil(r[23]),
      shared = or_nil(r[24]) }
  end)
end

local LAST = "SELECT max(id) FROM records WHERE id BETWEEN ? AND ?"
local RECORDS = ("SELECT %s FROM records WHERE id BETWEEN ? AND ? ORDER BY id"):format(codec.READ)

--- Rows have this metatable: what of them is made when it is first read.
local function lazy(store, kept)
  local made = codec.lazy
  return { __index = function(row, name)
    local ok, value
    if name == "request" then
      ok, value = pcall(kept.of, kept, row)
    elseif made[name] then
      ok, value = pcall(made[name], row)
    else
      return nil
    end
    if not ok then error(damaged(store, value), 0) end
    rawset(row, name, value)
    return value
  end }
end

--- All of a row that is made when it is first read; then it is a table like any other.
---@param row stoke.journal.row
---@return stoke.journal.row
function M.whole_row(row)
  local outcome, request, digest, name = row.outcome, row.request, row.digest, row.name
  setmetatable(row, nil)
  row.outcome, row.request, row.digest, row.name = outcome, request, digest, name
  row.text, row.sha, row.asked, row.base, row.kept = nil, nil, nil, nil, nil
  return row
end

--- All rows of a statement, piece by piece.
local function piecewise(store, named, sql, params)
  local list, n = {}, 0
  local ok, err = each(store, sql, params, function(r)
    n = n + 1
    list[n] = r
  end, named)
  if not ok then error(err, 0) end
  return list
end

--- All rows of a statement, piece by piece where they are many; raises what the engine says.
---@param named boolean as tables with names
---@param some integer how many there are, about
local function all_of(store, named, some, sql, ...)
  local params = { ... }
  if some > MANY then return piecewise(store, named, sql, params) end
  local found, failed = store.db:query(sql, params, MANY, named)
  if found and not found.more then return found.rows end
  if not found and failed.kind ~= "limit" then error(failed, 0) end
  return piecewise(store, named, sql, params)
end

--- The same as arrays of values.
local function all(store, sql, ...) return all_of(store, false, 0, sql, ...) end

M.all = all

---@class stoke.store.known what a journal wants to know of its rows before it begins
---@field by_key table<string, stoke.journal.row>
---@field left integer rows that are no body's
---@field seen integer the last place of an outcome
---@field begun stoke.journal.row[] unsafe work in bodies that had begun

--- Rows of a journal from records. Second: what is known of them all.
local function rows_of(store, run, records, contents)
  local meta = lazy(store, requests.kept(records, contents))
  local make = codec.row
  local by_key, begun, left, last = {}, {}, 0, 0
  for n, row in ipairs(records) do
    if row.number ~= n then error(errors.new("protocol", ("run %d: record %d is missing"):format(run, n)), 0) end
    if row.broken then other(("run %d: record %d"):format(run, n)) end
    make(row, contents)
    if not row.inside then left = left + 1 elseif row.intent then begun[#begun + 1] = row end
    local seen = row.seen
    if seen and seen > last then last = seen end
    by_key[row.key] = setmetatable(row, meta)
  end
  return records, { by_key = by_key, left = left, seen = last, begun = begun }
end

--- Items of streams that have not ended.
local function add_pieces(rows, pieces, contents)
  for _, r in ipairs(pieces) do
    local row = rows[r[1] & 0xFFFFFFFF]
    local items = row and row.outcome and row.outcome.items
    if r[4] == 0 then other("a piece of a stream") end
    if items and not codec.ended(row.outcome) then
      local some = codec.value(r[3], contents)
      for i = #items + 1, r[2] - 1 do items[i] = {} end
      for i = 1, #some do items[r[2] + i - 1] = some[i] end
    end
  end
end

--- The log of the schedule, up to before the record after `to`.
local function deliveries_of(store, run, to, next_at)
  local parts = {}
  for i, r in ipairs(all(store, "SELECT records,bytes,size FROM deliveries WHERE run=? ORDER BY first", run)) do
    if not next_at and r[1] > to then break end
    parts[i] = r[3] == null and r[2] or plain.stretch(r[2], r[3]) or error(errors.new("protocol", "deliveries are damaged"), 0)
  end
  local log = table.concat(parts)
  return next_at and log:sub(1, next_at) or log
end

M.deliveries = deliveries_of

--- Where the deliveries of a run end that is cut after a record: nil where nobody wrote that down.
function M.cut_at(store, run, to)
  local found, err = store.db:query("SELECT at FROM records WHERE id=?", { (run << 32) + to + 1 })
  if not found then return nil, err end
  return found.rows[1] and or_nil(found.rows[1][1])
end

local PIECES = "SELECT record,first,items,sum IS stoke_sum(items) FROM pieces WHERE record BETWEEN ? AND ? ORDER BY record,first"

-- A run may be written to while it is read: deliveries are read before the records that they are of, contents after what refers
-- to them.
local function parts_of(store, run, to)
  local number = run.number
  local base, last, next_at = number << 32, to or 0xFFFFFFFF, nil
  if to then
    if to >= errors.check(M.known(store, number)).last then last = math.huge else next_at = errors.check(M.cut_at(store, number,
      to)) end
  end
  local deliveries = deliveries_of(store, number, to and last or math.huge, next_at)
  local top = base + math.tointeger(math.min(last, 0xFFFFFFFF))
  local some = errors.check(store.db:query(LAST, { base + 1, top })).rows[1][1]
  some = some == null and 0 or some - base
  local records, pieces = all_of(store, true, some, RECORDS, base + 1, top), all(store, PIECES, base, top)
  local modules = all(store, "SELECT name FROM modules WHERE run=? ORDER BY number", number)
  local sources = all(store, [[SELECT name,hash FROM sources AS s WHERE run=? AND number=
    (SELECT max(number) FROM sources WHERE run=s.run AND name=s.name) ORDER BY number]], number)
  local contents = {}
  for _, r in ipairs(all(store, M.CONTENTS, number)) do contents[r[1]] = M.whole(r[1], r[2]) end
  local rows, known = rows_of(store, number, records, contents)
  add_pieces(rows, pieces, contents)
  for i, r in ipairs(modules) do modules[i] = r[1] end
  for i, r in ipairs(sources) do
    sources[i] = { name = r[1], text = contents[r[2]] or error(errors.new("protocol", "a source is missing"), 0) }
  end
  return { rows = rows, known = known, deliveries = deliveries, modules = modules, sources = sources, ended = run.state,
    printed = run.printed }
end

---@class stoke.store.parts what a journal is made of
---@field rows stoke.journal.row[]
---@field known stoke.store.known
---@field deliveries string
---@field modules string[]
---@field sources { name: string, text: string }[]
---@field printed integer
---@field ended? string how it ended

--- What there is of a run.
---@param store stoke.store
---@param run stoke.store.run
---@param to? integer the last record
---@return stoke.store.parts|nil
---@return stoke.error|nil err
function M.parts(store, run, to) return M.guarded(store, parts_of, store, run, to) end

--- How much of a run is written down, for a log that goes on.
---@param store stoke.store
---@param run integer
---@return table|nil known see core.store.log
---@return stoke.error|nil err
function M.known(store, run)
  local found, err = store.db:query([[SELECT
    (SELECT max(id) FROM records WHERE id BETWEEN ?1<<32 AND (?1<<32)+4294967295),
    (SELECT coalesce(sum(coalesce(size,length(bytes))),0) FROM deliveries WHERE run=?1),
      (SELECT count(*) FROM modules WHERE run=?1),
    (SELECT count(*) FROM sources WHERE run=?1), calls, tokens, bytes FROM runs WHERE number=?1]], { run })
  if not found then return nil, err end
  local r = found.rows[1]
  if not r then return nil, errors.new("argument", ("no run has the number %d"):format(run)) end
  return { last = r[1] == null and 0 or r[1] & 0xFFFFFFFF, offset = r[2], modules = r[3], sources = r[4], calls = r[5],
    tokens = r[6],
    bytes = r[7] }
end

--- What a call of a model used: known with its outcome; of a stream, with its last event.
---@param facts any
---@return integer calls
---@return integer tokens
function M.usage(facts)
  local usage = facts and facts.usage
  if type(usage) ~= "table" then return 0, 0 end
  return usage.calls or 1, (usage.input_tokens or 0) + (usage.output_tokens or 0)
end

--- What all calls of a run used, as far as it is written down. (The numbers in its head are of the last time it waited or ended.)
---@param rows stoke.journal.row[]
---@return integer calls
---@return integer tokens
function M.used(rows)
  local calls, tokens = 0, 0
  local function add(facts)
    local more, many = M.usage(facts)
    calls, tokens = calls + more, tokens + many
  end
  for _, row in ipairs(rows) do
    local outcome = row.outcome
    if outcome then add(outcome.facts) end
    for _, item in ipairs(outcome and outcome.items or {}) do
      if type(item.value) == "table" and item.value.type == "done" then add(item.value) end
    end
  end
  return calls, tokens
end

--- The hash under which a text is a content.
M.hash = plain.hash

return M
