--- What a run writes down. Calls gather what has changed, which costs a run little; flush hands it to the engine as one batch,
--- which becomes one commit: what was gathered is there as a whole, or not at all. A row and its outcome in the same batch are one
--- insert.

local codec = require "core.store.codec"
local copy = require "core.journal.plain".copy
local engine = require "host.store"
local errors = require "core.errors"
local holds = require "core.store.hold"
local json = require "core.json"
local load = require "core.store.load"
local once = require "core.journal.outcome".ONCE
local plain = require "core.store.plain"
local requests = require "core.store.request"
local sql = require "core.store.statements"
local wall = require "host.time".wall

local M = {}

local keep_open = holds.keep
local blob, null, pack, named, outcome_of = engine.blob, json.null, plain.pack, plain.name, codec.outcome

---@class stoke.store.log
---@field store stoke.store
---@field run integer its number
---@field base integer what the ids of its records begin with
---@field before integer number of the last row that an earlier log wrote
---@field last integer number of the last row that was begun
---@field offset integer bytes of deliveries so far
---@field calls integer of models, counted on
---@field tokens integer
---@field told? fun(err: stoke.error?) what cannot be written for now is kept and tried again (lua/store/hold.lua): called when that
---  begins, and without an error when it is over; nil: such an error is one like any other
---@field held stoke.store.held|false while that goes on
---@field ship? stoke.store.ship of a run that several hosts may have: what is written also goes to a log of theirs
local Log = {}
Log.__index = Log
Log.texts = true

-- Bytes of deliveries that are squeezed: some 40 ms for the largest.
local SQUEEZED_MAX <const> = 1024 * 1024

-- Statements that the engine gets at once, about; and rows after which they are counted.
local BATCH <const>, LOOK <const> = 50000, 64

-- Bytes of a record beside its texts, about.
local ROW_BYTES <const> = 150

-- What of a row is to be written: all of it, its outcome, that its work begins.
local NEW <const>, OUTCOME <const>, INTENT <const>, ITEMS <const> = 1, 2, 4, 8

-- Where calls, tokens and bytes stand, which are known when all is gathered.
local COUNTED = { [sql.STATE] = 6, [sql.END] = 6 }

--- A log of a run that has so much in it already.
---@param store stoke.store
---@param run integer number of the run
---@param known { last: integer, offset: integer, modules: integer, sources: integer, calls: integer, tokens: integer,
---  bytes: integer }
---@return stoke.store.log
function M.new(store, run, known)
  return setmetatable({ store = store, db = store.db, run = run, base = run << 32, before = known.last, last = known.last,
    offset = known.offset,
    modules = known.modules, sources = known.sources, calls = known.calls, tokens = known.tokens, bytes = known.bytes,
    requests = requests.new(), batch = engine.batch(), list = {}, count = 0, follows = {}, items = {}, sizes = {}, streaming = {},
    extra = {}, sink = {}, used = {}, open = {}, ticket = nil, unsynced = false, failed = nil, held = false }, Log)
end

-- ---- gathering ----------------------------------------------------------------------------------------------------------------

-- Until a row is handed over it has fields of the log's own: `what` of it is to be written, `asked`, its request as text, and
-- `made`, its outcome as that is kept.
local function mark(self, row, bits)
  local known = row.what
  if not known then
    local n = self.count + 1
    self.count, self.list[n] = n, row
  end
  row.what = bits == NEW and NEW or (known or 0) | bits
end

--- A row was begun; one whose number is there is begun anew.
---@param row stoke.journal.row
---@param asked? any its request, where that is the script's own, which may change: it is made a text now, and the row has none
---@return boolean ok false: the request is not plain data
function Log:row(row, asked)
  local number = row.number
  if asked ~= nil then
    local text, base, kept = self.requests:encode(asked, number, self.sink, true)
    if not text then return false end
    row.asked = text
    if kept then self.follows[row] = { base, kept } end
  end
  if number > self.last then
    self.last = number
  else
    row.made, self.items[row], self.sizes[row] = nil, nil, nil
    self.extra[#self.extra + 1] = { sql.NO_PIECES, self.base | number }
  end
  mark(self, row, NEW)
  return true
end

--- A row that is begun and has its outcome at once: a value alone, of an effect of the run itself without a request, whose key ends
--- with its name. It takes no more than this call.
---@param number integer of it, the next one
---@param key string
---@param class string
---@param digest string
---@param where string|nil
---@param began number wall clock
---@param seen integer
---@param at integer
---@param text string its value
function Log:value(number, key, class, digest, where, began, seen, at, text)
  local n = self.count + 1
  self.last, self.count, self.list[n] = number, n, false
  self.bytes = self.bytes + ROW_BYTES + #key + #text
  self.batch:add(sql.PLAIN, self.base | number, key, class, digest, nil, where, began, true, seen, at, text, 0)
end

--- A value as it is kept in an outcome's `text`.
---@param value any
---@return string|nil text nil without an error: it is not plain data
---@return stoke.error|nil err `limit`
function Log:text(value) return plain.encode(value, self.sink, false, self.store.limit) end

--- Its work begins: from now on it is in doubt until it has an outcome.
---@param row stoke.journal.row
function Log:intent(row)
  row.intent = true
  mark(self, row, INTENT)
end

--- In place of an outcome that cannot be kept.
local function replace(row, err)
  err.message = ("%s: %s"):format(row.name, err.message)
  local old = row.outcome
  row.outcome = { err = copy(err), facts = old.facts }
  return err
end

local function count(self, facts)
  local calls, tokens = load.usage(facts)
  self.calls, self.tokens = self.calls + calls, self.tokens + tokens
end

--- Count anew what is there already: a process that was killed has not told its own calls.
---@param rows stoke.journal.row[]
function Log:recount(rows) self.calls, self.tokens = load.used(rows) end

--- The outcome of a row is there; of a stream, that it is open. Its items are told with `item`.
---@param row stoke.journal.row
---@return stoke.error|nil err it cannot be kept (`limit`): the row has this error as its outcome now
function Log:outcome(row)
  local outcome = row.outcome
  if outcome.text and outcome.facts == once then -- nothing else is known of it
    row.made = outcome.text
    mark(self, row, OUTCOME)
    return nil
  end
  local made, err = outcome_of(outcome, self.sink, self.store.limit)
  if not made then
    err = replace(row, err)
    made = outcome_of(row.outcome, self.sink)
  end
  row.made = made
  mark(self, row, OUTCOME)
  if outcome.facts and outcome.facts.usage then count(self, outcome.facts) end
  return err
end

--- Something else of a row or its outcome has changed.
---@param row stoke.journal.row
function Log:changed(row)
  if row.outcome then
    self:outcome_again(row)
  else
    mark(self, row, INTENT)
  end
end

function Log:outcome_again(row)
  row.made = nil
  mark(self, row, OUTCOME)
end

--- An item of a row's stream was read, or its end.
---@param row stoke.journal.row
---@param i integer
---@return stoke.error|nil err there are more bytes than can be kept (`limit`)
function Log:item(row, i)
  local item = row.outcome.items[i]
  if item.ended ~= nil then
    mark(self, row, ITEMS)
    return nil
  end
  local value = item.value
  if type(value) == "table" and value.type == "done" then count(self, value) end
  local text, err = codec.text({ value = value }, self.sink, self.store.limit)
  local size = (self.sizes[row] or 0) + (text and #text or 0)
  if not text or size > self.store.limit then
    return err or errors.new("limit", ("%s: a stream of more than %d bytes"):format(row.name, self.store.limit))
  end
  local items = self.items[row]
  if not items then
    items = {}
    self.items[row] = items
  end
  self.sizes[row] = size
  items[#items + 1], items[#items + 2] = i, text
  mark(self, row, ITEMS)
end

--- Somebody asked how much had come of a row's stream.
---@param row stoke.journal.row
function Log:came(row) self:outcome_again(row) end

--- A module was required.
---@param name string
function Log:module(name)
  self.modules = self.modules + 1
  self.extra[#self.extra + 1] = { sql.MODULE, self.run, self.modules, name }
end

--- The text of a source that the run goes on on.
---@param name string
---@param text string
function Log:source(name, text)
  local hash = plain.hash(text)
  self.sink[hash], self.sources = text, self.sources + 1
  self.extra[#self.extra + 1] = { sql.SOURCE, self.run, self.sources, name, hash }
end

--- A process takes the run up.
function Log:epoch()
  local now = wall()
  self.extra[#self.extra + 1] = { sql.EPOCH, now, self.run }
  self.extra[#self.extra + 1] = { sql.BEGAN, now, self.last, self.run }
end

--- Bytes of the schedule's log that came since the last time.
---@param bytes string
function Log:deliveries(bytes)
  if bytes == "" then return end
  self.extra[#self.extra + 1] = { sql.DELIVERIES, self.run, self.offset, self.last, blob(bytes) }
  self.offset = self.offset + #bytes
end

--- So many prints of the run are in the record.
---@param total integer
function Log:printed(total) self.extra[#self.extra + 1] = { sql.PRINTED, total, self.run } end

--- A statement of somebody else's that belongs to the same commit.
---@param statement any[] its text and its parameters
function Log:also(statement) self.extra[#self.extra + 1] = statement end

--- A content that such statements refer to.
---@param hash string
---@param text string
function Log:content(hash, text) self.sink[hash] = text end

--- All of the run so far is dropped: it begins anew from its state, in this commit.
---@param state any plain data
---@param workflow string
---@param seed string of the ids and random numbers from now on
---@return stoke.error|nil err the state is not plain, or too large
function Log:restart(state, workflow, seed)
  local text, err = null, nil
  if state ~= nil then text, err = codec.text(state, self.sink, self.store.limit) end
  if err then return err end
  for _, one in ipairs(sql.DROP) do self:also { one, self.run } end
  self:also { sql.RESTART, text, workflow, seed, wall(), self.calls, self.tokens, self.run }
  if text ~= null then
    for hash in text:gmatch '"%$%a+":"([%w_-]+)"' do self:also { sql.USE, self.run, hash } end
  end
end

--- A signal was taken by a row.
---@param signal { number: integer, once?: string }
---@param row stoke.journal.row
function Log:taken(signal, row)
  local shared = self.ship and signal.once
  self:also(shared and { sql.TAKEN_ONCE, self.run, signal.once, row.number } or { sql.TAKEN, row.number, signal.number })
end

--- How the run stands.
---@param state "running"|"waiting"|"parked"
---@param waits? string what it waits for, or why it is parked, in words
---@param why? "in_doubt"|"replay"|"parked" of a parked one, the kind of error
function Log:state(state, waits, why)
  self.extra[#self.extra + 1] = { sql.STATE, state, waits or null, why or null, wall(), 0, 0, 0, self.run }
end

--- The run has ended. (A barrier makes it durable.)
---@param state "done"|"failed"|"cancelled"
---@param result any plain data
---@param err? stoke.error
---@param deliveries? string all of the schedule's log, to be kept squeezed; else what there is of it is joined
---@return stoke.error|nil err the result is not kept: it is not plain, or too large
function Log:finish(state, result, err, deliveries)
  local value, failed = null, nil
  if result ~= nil then value, failed = codec.text(result, self.sink, self.store.limit) end
  local told = err and codec.text(err, self.sink) or failed and codec.text(failed, self.sink)
  local extra = self.extra
  extra[#extra + 1] = { sql.END, state, value or null, told or null, wall(), 0, 0, 0, self.run }
  if deliveries and #deliveries <= SQUEEZED_MAX then
    extra[#extra + 1] = { sql.SQUEEZED, self.run, self.last, blob(plain.squeeze(deliveries)), #deliveries }
  else
    extra[#extra + 1] = { sql.JOIN, self.run }
  end
  extra[#extra + 1] = { sql.JOINED, self.run }
  return failed
end

-- ---- writing ------------------------------------------------------------------------------------------------------------------

--- The text of an item, with whether it was there without a wait: that is known when it is written, not when it is told.
local function flagged(text, item)
  return ('%s,"inline":%s}'):format(text:sub(1, -2), item.inline and "true" or "false")
end

--- The items of a stream that was begun by another process: a piece that is written again must not take others along.
local function all_anew(self, row)
  local items = {}
  for i, item in ipairs(row.outcome.items) do
    if item.value == nil then break end
    items[#items + 1], items[#items + 2] = i, codec.text({ value = item.value }, self.sink)
  end
  self.batch:add(sql.NO_PIECES, self.base | row.number)
  return items
end

--- What there is of a stream's items, as columns; nil and nil where it goes on.
local function items_of(self, row)
  local outcome, id, batch = row.outcome, self.base | row.number, self.batch
  if codec.ended(outcome) then
    if self.streaming[row] or row.number <= self.before then
      batch:add(sql.NO_PIECES, id)
      self.streaming[row] = nil
    end
    self.items[row], self.sizes[row] = nil, nil
    local value, lengths = codec.items(outcome.items, self.sink, self.store.limit)
    if value then return value, blob(lengths) end
    local told = codec.text({ { ended = true, err = copy(lengths), inline = true } }, self.sink)
    return told, blob ""
  end
  local items = self.items[row]
  if not items then return nil end
  if row.number <= self.before and not self.streaming[row] then items = all_anew(self, row) end
  self.items[row], self.streaming[row] = nil, true
  local i = 1
  while items[i] do
    local first, texts = items[i], {}
    repeat
      texts[#texts + 1] = flagged(items[i + 1], outcome.items[items[i]])
      i = i + 2
    until items[i] ~= first + #texts
    batch:add(sql.PIECES, id, first, "[" .. table.concat(texts, ",") .. "]")
  end
end

local function asks_of(self, row)
  if row.asks == nil or row.outcome then return nil end
  return codec.text(row.asks, self.sink)
end

--- An outcome of which only the text of its value was kept.
local function whole(text)
  return { kind = "value", value = text, err = null, facts = null, more = null, input = null, output = null, seconds = null }
end

M.whole = whole

--- A row that is written for the first time.
local function insert(self, row)
  local key, outcome, request, digest, made, name = row.key, row.outcome, row.asked, row.digest, row.made, row.name
  local id, inside, intent, follows, base, kept = self.base | row.number, row.inside, row.intent, self.follows[row], nil, nil
  if named(key) == name then name = nil end
  digest = digest and pack(digest)
  self.bytes = self.bytes + ROW_BYTES + #key + (request and #request or 0)
  if outcome then made = made or outcome_of(outcome, self.sink) end
  if type(made) == "string" then self.bytes = self.bytes + #made end
  if type(made) == "string" and not (follows or name or inside or intent) and (request or row.request == nil) then -- as most are
    self.batch:add(sql.PLAIN, id, key, row.class, digest, request, row.where, row.time, row.inline, row.seen, row.at, made,
      row.took)
    return
  end
  if follows then
    base, kept = follows[1], follows[2]
  elseif not request and row.request ~= nil then
    request, base, kept = self.requests:encode(row.request, row.number, self.sink)
    self.bytes = self.bytes + (request and #request or 0)
  end
  if not outcome then
    self.batch:add(sql.ASKED, id, key, row.class, digest, base, kept, request, row.where, row.time, row.inline, row.at, name,
      inside, intent, asks_of(self, row))
    return
  end
  if type(made) == "string" then made = whole(made) end
  local value, lengths = made.value, nil
  if outcome.items then value, lengths = items_of(self, row) end
  self.batch:add(sql.ROW, id, key, row.class, digest, base, kept, request, row.where, row.time, row.took, row.inline, row.seen,
    row.at, made.kind, value, made.facts, name, inside, intent, lengths, made.err, made.more, asks_of(self, row),
    made.input, made.output, made.seconds)
end

--- What has come of a row that is there.
local function update(self, row, what)
  local id, outcome, batch = self.base | row.number, row.outcome, self.batch
  if not outcome then
    batch:add(sql.BEGUN, row.inline, row.intent, asks_of(self, row), id)
    return
  end
  local made = row.made or what & OUTCOME ~= 0 and outcome_of(outcome, self.sink)
  if type(made) == "string" then
    self.bytes = self.bytes + #made
    batch:add(sql.VALUE, row.inline, row.intent, row.seen, made, row.took, id)
    return
  end
  if made and made.value ~= null then self.bytes = self.bytes + #made.value end
  if not outcome.items then
    if made then
      batch:add(sql.DONE, row.inline, row.intent, row.seen, made.kind, made.value, nil, made.err, made.facts, made.more, made.input,
        made.output, made.seconds, row.took, id)
    end
    return
  end
  local value, lengths = items_of(self, row)
  if value then
    self.bytes = self.bytes + #value
    made = made or outcome_of(outcome, self.sink)
    batch:add(sql.DONE, row.inline, row.intent, row.seen, made.kind, value, lengths, made.err, made.facts, made.more, made.input,
      made.output, made.seconds, row.took, id)
  elseif made then
    batch:add(sql.OPEN, row.inline, row.intent, row.seen, made.kind, made.err, made.facts, made.more, made.input, made.output,
      made.seconds, row.took, id)
  end
end

local function add_contents(self)
  local used, run, batch = self.used, self.run, self.batch
  for hash, text in next, self.sink do
    if not used[hash] then
      used[hash] = true
      self.bytes = self.bytes + #text
      batch:add(sql.CONTENT, hash, text)
      batch:add(sql.USE, run, hash)
    end
  end
  self.sink = {}
end

local function hand_over(self, durable)
  local before = self.ticket
  if before then keep_open(self.open, before) end -- it is to be handed over again should it fail
  local batch = self.ship and self.ship:cut() or self.batch
  local ticket, err = self.db:append(batch, durable, self.run)
  self.ticket, self.failed = ticket, self.failed or err
end

--- More than the engine takes at once is handed over before the rest: rows come before the deliveries that tell of them, whatever
--- is lost.
local function look(self)
  if #self.batch > BATCH then hand_over(self, false) end
end

--- All that was gathered, into the batch.
local function gather(self)
  local batch, list = self.batch, self.list
  for i = 1, self.count do
    local row = list[i]
    if row then
      local what = row.what
      if what & NEW ~= 0 then insert(self, row) else update(self, row, what) end
      row.what, row.made, row.asked = nil, nil, nil
    end
    if i % LOOK == 0 then look(self) end
  end
  if next(self.sink) then add_contents(self) end
  look(self)
  local extra = self.extra
  for i = 1, #extra do
    local statement = extra[i]
    local place = COUNTED[statement[1]]
    if place then statement[place], statement[place + 1], statement[place + 2] = self.calls, self.tokens, self.bytes end
    batch:put(statement)
  end
  if self.count > 0 then self.count, self.list = 0, {} end
  if next(self.follows) then self.follows = {} end
  if #extra > 0 then self.extra = {} end
end

--- What became of a batch, as far as that is known; waits for it where it is not. Those before it are written where it is.
local function outcome_of_batch(self, ticket)
  local ok, err = ticket:wait()
  if ok then
    if self.ticket == ticket then self.ticket, self.open = nil, self.open[1] and {} or self.open end
  elseif err.kind ~= "cancelled" and not self.held and not holds.begin(self, err) then -- cancelled: the wait was
    self.failed = err
    if self.ticket == ticket then self.ticket = nil end
  end
  return ok, err
end

local function append(self, durable)
  local before = self.ticket
  if before and before.done then outcome_of_batch(self, before) end
  if self.held then return end
  gather(self)
  local batch = self.batch
  if #batch == 0 then
    if not durable or not self.unsynced then return end
    batch:add(sql.TOUCH, wall(), self.run)
  end
  hand_over(self, durable)
  self.unsynced = not durable
end

--- Hand over what was gathered. Does not wait.
function Log:flush() append(self, false) end

--- Hand it over, and wait until it is written, for as long as that takes.
local function written(self, durable)
  while true do
    append(self, durable) -- of a run that several hosts may have: at the same time their log gets it
    if self.ticket and not self.held then
      local ok, err = outcome_of_batch(self, self.ticket)
      if not ok and not self.held then return nil, err end
    end
    if self.failed then return nil, self.failed end
    if not self.held then
      local lost = self.ship and self.ship:wait(not durable)
      if lost then return nil, lost end
      return true
    end
    local err = holds.wait(self)
    if err then return nil, err end
  end
end

--- Hand it over, and wait until it is committed: a process that is killed keeps it.
---@return boolean|nil ok
---@return stoke.error|nil err
function Log:commit() return written(self, false) end

--- Hand it over, and wait until it is on the disk; of a run that several hosts may have, until their log has it, too.
---@return boolean|nil ok
---@return stoke.error|nil err
function Log:barrier() return written(self, true) end

--- Has the engine room for more? If not, commit before going on.
---@return boolean
function Log:room() return not self.held and self.db:room() and not (self.ship and not self.ship:room()) end

--- Why nothing more can be written down; nil while all is well.
---@return stoke.error|nil
function Log:failure()
  local ticket = self.ticket
  if ticket and ticket.done and not self.held then outcome_of_batch(self, ticket) end
  return self.failed
end

--- Its process ends, or gives the run up: what cannot be written is tried once more, without waiting.
function Log:leave() holds.leave(self) end

return M
