--- The cache's file: what is written in one transaction, and what has to go for it. S3-FIFO as in lua/cache/s3fifo.lua, over
--- entries in a table: each has its queue, its place there, and how often it was asked for since it last moved.

local engine = require "host.store"
local json = require "core.json"

local M = {}

--- Part of the bytes that is the small queue's; part of the file that entries may fill: pages are never quite full.
local SMALL <const>, FILL <const> = 0.1, 0.7
--- Entries that are looked at together when some have to go; keys that are remembered of those that went.
local SLICE <const>, GHOSTS <const> = 64, 20000
--- Bytes of the entries for each key that is remembered: in a small file the keys alone, at 40 bytes each, would fill it.
local GHOST <const> = 1000
--- How often an entry counts as asked for, at most.
local MOST <const> = 3

--- Bytes that an entry takes in the file, about: large values have pages of their own.
local function size_of(value, facts, page)
  local size = #value + #facts + 160
  if size > page - 64 then return (size + page - 1) // page * page end
  return page // ((page - 64) // size) -- so many go on a page
end

---@class core.cache.state sums of the file, inside a transaction
---@field small integer
---@field main integer
---@field count integer
---@field place integer
---@field ghosts integer
---@field evicted integer

local STATE = "SELECT small,main,count,place,ghosts,evicted FROM meta"
local KEEP = "UPDATE meta SET small=?,main=?,count=?,place=?,ghosts=?,evicted=?"

local function state_of(tx)
  local found, err = tx:run(STATE)
  if not found then return nil, err end
  local row = found.rows[1]
  return { small = row[1], main = row[2], count = row[3], place = row[4], ghosts = row[5], evicted = row[6] }
end

--- Bytes that the entries may take.
local function limit_of(limits) return math.floor(limits.page * limits.pages * FILL) end

local function keep_state(tx, s)
  return tx:run(KEEP, { s.small, s.main, s.count, s.place, s.ghosts, s.evicted })
end

local function mark_of(key) return (("<i8"):unpack(key)) end

-- ---- making room ------------------------------------------------------------------------------------------------------------

local function remember(tx, s, key, limit)
  s.ghosts = s.ghosts + 1
  local _, err = tx:run("INSERT OR REPLACE INTO ghosts (hash,place) VALUES (?,?)", { mark_of(key), s.ghosts })
  if not err and s.ghosts % SLICE == 0 then
    _, err = tx:run("DELETE FROM ghosts WHERE place<=?", { s.ghosts - math.min(GHOSTS, limit // GHOST) })
  end
  return err
end

--- One entry of the queue's end goes, or moves on.
---@return stoke.error|nil err
local function pass(tx, s, queue, row, limit)
  local id, bytes, freq = row[1], row[2], row[3]
  if freq == 0 then
    if queue == 0 then s.small = s.small - bytes else s.main = s.main - bytes end
    s.count, s.evicted = s.count - 1, s.evicted + 1
    local _, err = tx:run("DELETE FROM entries WHERE id=?", { id })
    if not err and queue == 0 then err = remember(tx, s, row[4], limit) end
    return err
  end
  s.place = s.place + 1
  if queue == 0 then s.small, s.main = s.small - bytes, s.main + bytes end
  local _, err = tx:run("UPDATE entries SET queue=1,place=?,freq=? WHERE id=?", { s.place, queue == 0 and 0 or freq - 1, id })
  return err
end

--- Sums that do not agree with the table.
local function recount(tx, s)
  local found, err = tx:run("SELECT coalesce(sum(bytes) FILTER (WHERE queue=0),0),coalesce(sum(bytes) FILTER (WHERE queue=1),0)," ..
    "count(*) FROM entries")
  if not found then return err end
  s.small, s.main, s.count = table.unpack(found.rows[1])
end

--- Let entries go until there is room for so many bytes more.
local function make_room(tx, s, more, limit)
  while s.count > 0 and s.small + s.main + more > limit do
    local queue = (s.small > SMALL * limit or s.main <= 0) and 0 or 1
    local found, err = tx:run("SELECT id,bytes,freq,key FROM entries WHERE queue=? ORDER BY place LIMIT ?", { queue, SLICE })
    if not found then return err end
    if not found.rows[1] then
      err = recount(tx, s)
      if err then return err end
    end
    for _, row in ipairs(found.rows) do
      if s.small + s.main + more <= limit then break end
      if queue == 0 and s.small <= SMALL * limit and s.main > 0 then break end
      err = pass(tx, s, queue, row, limit)
      if err then return err end
    end
  end
end

-- ---- a batch ----------------------------------------------------------------------------------------------------------------

local INSERT = "INSERT INTO entries (kind,key,value,bytes,made,ttl,hits,freq,queue,place,facts,sum) " ..
  "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,stoke_sum(?2,?3,?11))"

local function put(tx, s, entry, limits)
  local key = engine.blob(entry.key)
  local facts = json.encode(entry.facts) or "{}"
  local bytes = size_of(entry.value, facts, limits.page)
  local found, err = tx:run("SELECT id,bytes,queue,hits,freq FROM entries WHERE key=? AND kind=?", { key, entry.kind })
  if not found then return err end
  local before, queue, hits, freq, _ = found.rows[1], 0, 0, 0, nil
  if before then -- a newer answer in its place
    queue, hits, freq = before[3], before[4], before[5]
    if queue == 0 then s.small = s.small - before[2] else s.main = s.main - before[2] end
    s.count = s.count - 1
    _, err = tx:run("DELETE FROM entries WHERE id=?", { before[1] })
  else
    found, err = tx:run("DELETE FROM ghosts WHERE hash=?", { mark_of(entry.key) })
    if found and found.changes > 0 then queue = 1 end
  end
  err = err or make_room(tx, s, bytes, limit_of(limits))
  if err then return err end
  s.place, s.count = s.place + 1, s.count + 1
  if queue == 0 then s.small = s.small + bytes else s.main = s.main + bytes end
  _, err = tx:run(INSERT, { entry.kind, key, engine.blob(entry.value), bytes, entry.made, entry.ttl or json.null, hits, freq, queue,
    s.place, facts })
  return err
end

local TOUCH = "UPDATE entries SET hits=hits+?,freq=min(freq+?," .. MOST .. ") WHERE key=? AND kind=?"

local COUNT = "UPDATE meta SET hits=hits+?,misses=misses+?"

--- In one transaction, with the sums of the file.
local function with_state(db, f)
  local tx, err = db:begin()
  if not tx then return nil, err end
  local s, _
  s, err = state_of(tx)
  if s then err = f(tx, s) end
  if not err then _, err = keep_state(tx, s) end
  if not err then return tx:commit() end
  tx:rollback()
  return nil, err
end

---@class core.cache.limits
---@field page integer bytes of a page
---@field pages integer that the file may have

--- Write entries, and how often others were asked for.
---@param db userdata of host.store
---@param list { kind: string, key: string, value: string, facts: table, made: number, ttl?: number }[]
---@param hits { id: string, n: integer }[] id: kind, a zero byte and the key
---@param counts { hits: integer, misses: integer } more calls that were answered, and that were not
---@param limits core.cache.limits
---@return boolean|nil ok
---@return stoke.error? err
function M.write(db, list, hits, counts, limits)
  return with_state(db, function(tx, s)
    local err, _
    for _, entry in ipairs(list) do
      err = put(tx, s, entry, limits)
      if err then return err end
    end
    for _, hit in ipairs(hits) do
      local kind, key = hit.id:match "^(%Z*)%z(.*)$"
      _, err = tx:run(TOUCH, { hit.n, hit.n, engine.blob(key), kind })
      if err then return err end
    end
    if counts.hits + counts.misses > 0 then _, err = tx:run(COUNT, { counts.hits, counts.misses }) end
    return err
  end)
end

--- Let a fifth of the entries go: the file is full before it should be.
---@param db userdata
---@param limits core.cache.limits
---@return boolean|nil ok nil: there is nothing that could go
function M.shrink(db, limits)
  local before, after
  local ok = with_state(db, function(tx, s)
    before = s.count
    local err = make_room(tx, s, limit_of(limits) // 5, math.min(limit_of(limits), s.small + s.main))
    after = s.count
    return err
  end)
  return ok and after < before or nil
end

-- ---- taking out -------------------------------------------------------------------------------------------------------------

--- Take out what a condition says, and count what is left.
local function take_out(db, where, params)
  local tx, err = db:begin()
  if not tx then return nil, err end
  local done, found
  done, err = tx:run("DELETE FROM entries WHERE " .. where, params)
  if done then
    found, err = tx:run("UPDATE meta SET (small,main,count)=(SELECT coalesce(sum(bytes) FILTER (WHERE queue=0),0)," ..
      "coalesce(sum(bytes) FILTER (WHERE queue=1),0),count(*) FROM entries)")
  end
  if found then found, err = tx:commit() else tx:rollback() end
  if not found then return nil, err end
  return done.changes
end

--- Take one entry out.
---@return integer|nil entries
---@return stoke.error? err
function M.delete(db, kind, key)
  local n = 0
  local ok, err = with_state(db, function(tx, s)
    local found, err = tx:run("DELETE FROM entries WHERE key=? AND kind=? RETURNING queue,bytes", { engine.blob(key), kind })
    if not found then return err end
    for _, row in ipairs(found.rows) do
      if row[1] == 0 then s.small = s.small - row[2] else s.main = s.main - row[2] end
      s.count, n = s.count - 1, n + 1
    end
  end)
  if not ok then return nil, err end
  return n
end

--- Take out entries of a kind, made before a time, of a model; all of them where nothing is said.
---@param db userdata
---@param kind? string
---@param before? number seconds since 1970
---@param model? string
---@return integer|nil entries
---@return stoke.error? err
function M.clear(db, kind, before, model)
  local null = json.null
  return take_out(db, "(?1 IS NULL OR kind=?1) AND (?2 IS NULL OR made<?2) AND (?3 IS NULL OR json_extract(facts,'$.model')=?3)",
    { kind or null, before or null, model or null })
end

return M
