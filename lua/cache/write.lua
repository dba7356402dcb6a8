--- Writing the cache's file: what was gathered goes into it in a few transactions. Each is as large as its part of the log has room
--- for: the file with its log never takes more than its bytes.

local disk = require "core.cache.disk"
local engine = require "host.store"
local evict = require "core.cache.evict"
local fs = require "host.fs"
local json = require "core.json"

local M = {}

--- Entries that are looked up together; a transaction has as many, at most.
local MANY <const>, SOME <const> = 128, 16
local MOST <const> = 4096

--- Bytes that an entry takes in the file, about: large values have pages of their own.
local function size_of(value, facts, page)
  local size = #value + #facts + 160
  if size > page - 64 then return (size + page - 1) // page * page end
  return page // ((page - 64) // size) -- so many go on a page
end

-- ---- what is there already --------------------------------------------------------------------------------------------------

local function statements(sql)
  local out = {}
  for _, width in ipairs { 1, SOME, MANY } do out[width] = sql:format(("?"):rep(width, ",")) end
  return out
end

local KNOWN = statements "SELECT key,kind,id,bytes,queue,hits,freq,mark FROM entries WHERE mark IN (%s)"
local GHOSTS = statements "SELECT hash,main FROM ghosts WHERE hash IN (%s)"

--- Rows of some marks: few texts, so that each is prepared once.
local function look_up(tx, texts, marks, take)
  local at = 1
  while marks[at] do
    local left = #marks - at + 1
    local width = left > SOME and MANY or left > 1 and SOME or 1
    local params = {}
    for i = 1, width do params[i] = marks[math.min(at + i - 1, #marks)] end
    local found, err = tx:run(texts[width], params)
    if not found then return err end
    for _, row in ipairs(found.rows) do take(row) end
    at = at + width
  end
end

-- ---- a transaction ----------------------------------------------------------------------------------------------------------

local INSERT = "INSERT INTO entries (kind,key,value,bytes,made,ttl,hits,freq,queue,place,facts,mark,sum) " ..
  "VALUES (?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11,?12,stoke_sum(?2,?3,?11))"

---@class core.cache.known what the file has of the entries to be written
---@field rows table<string, table> by kind and key
---@field ghosts table<integer, 0|1> by mark: the queue that let it go

--- Put an entry into the file, with room made for it; an error, where that fails.
---@return stoke.error|nil err
local function put(plan, entry, known)
  local hits, mark = entry.hits or 0, evict.mark_of(entry.key)
  local facts = json.encode(entry.facts) or "{}"
  local bytes = size_of(entry.value, facts, plan.page)
  local before, queue, freq, err = known.rows[entry.kind .. "\0" .. entry.key], 0, math.min(hits, evict.MOST), nil
  if before and not plan.gone[before[3]] then -- a newer answer in its place
    queue, hits, freq = before[5], hits + before[6], math.min(freq + before[7], evict.MOST)
    plan:drop(before[3], queue, before[4])
  elseif known.ghosts[mark] then
    queue, err = 1, plan:back(known.ghosts[mark], mark, bytes)
    known.ghosts[mark] = nil
  end
  err = err or plan:make_room(bytes)
  if err then return err end
  local place = plan:add(queue, bytes)
  plan.batch:add(INSERT, entry.kind, engine.blob(entry.key), engine.blob(entry.value), bytes, entry.made, entry.ttl, hits, freq,
    queue, place, facts, mark)
end

local TOUCH = "UPDATE entries SET hits=hits+?1,freq=min(freq+?1," .. evict.MOST .. ") WHERE mark=?2 AND key=?3 AND kind=?4"

--- Write as many as there is room for, from some place of the lists on.
---@return integer|nil entries the first that was not written; of the hits the same
---@return integer|stoke.error
local function write_some(db, work, limits, room)
  local at, hit, counted = work.at, work.hit, false
  local ok, err = evict.within(db, limits, function(plan)
    local batch = plan.batch
    while work.hits[hit] and plan:pages() < room do
      local kind, key = work.hits[hit].id:match "^([^\0]*)\0(.*)$"
      batch:add(TOUCH, work.hits[hit].n, evict.mark_of(key), engine.blob(key), kind)
      plan.rows, hit = plan.rows + 1, hit + 1
    end
    local err = plan:apply() -- before anything has to go
    if err then return err end
    local known, marks = { rows = {}, ghosts = {} }, {}
    for i = at, math.min(at + MOST - 1, #work.list) do marks[#marks + 1] = evict.mark_of(work.list[i].key) end
    err = look_up(plan.tx, KNOWN, marks, function(row) known.rows[row[2] .. "\0" .. row[1]] = row end) or
      look_up(plan.tx, GHOSTS, marks, function(row) known.ghosts[row[1]] = row[2] end)
    local last = at + #marks
    while not err and at < last and (plan:pages() < room or at == work.at and hit == work.hit) do
      err, at = put(plan, work.list[at], known), at + 1
    end
    local counts = work.counts
    if counts.hits + counts.misses > 0 then
      batch:add("UPDATE meta SET hits=hits+?,misses=misses+?", counts.hits, counts.misses)
      counted = true
    end
    return err
  end)
  if not ok then return nil, err end
  if counted then work.counts = { hits = 0, misses = 0 } end
  return at, hit
end

--- Bytes of the log that a transaction may use. What is larger than that takes the log into the file first, and so does much that
--- is to be written: a transaction changes fewer pages the more it is.
local function room_of(db, path, most, much)
  local function size()
    local stat = fs.stat(path .. "-wal")
    return stat and stat.size or 0
  end
  local log = size()
  if log > most // (much and 8 or 2) then
    db:write "PRAGMA wal_checkpoint(TRUNCATE)"
    log = size()
  end
  return most - log
end

--- What was gathered, in the order in which it came.
local function work_of(pending, touched, counts)
  local list, hits = {}, {}
  for id, entry in next, pending do
    entry.hits = touched[id] or 0
    list[#list + 1] = entry
  end
  table.sort(list, function(a, b) return a.seq < b.seq end)
  for id, n in next, touched do
    if not pending[id] then hits[#hits + 1] = { id = id, n = n } end
  end
  return { list = list, hits = hits, counts = counts, at = 1, hit = 1 }
end

---@class core.cache.target
---@field db userdata of host.store
---@field path string
---@field bytes integer
---@field limits core.cache.limits

--- Write entries, and how often others were asked for.
---@param target core.cache.target
---@param pending table<string, table> entries by kind, a zero byte and the key
---@param touched table<string, integer> how often others were asked for, the same way
---@param counts { hits: integer, misses: integer } calls that were answered, and that were not
---@param wrote fun(entry: table) told of each entry that is in the file
---@return boolean|nil ok
---@return stoke.error? err
function M.all(target, pending, touched, counts, wrote)
  local db, limits, work = target.db, target.limits, work_of(pending, touched, counts)
  local most, shrunk = disk.log_of(target.bytes), false
  while work.list[work.at] or work.hits[work.hit] or work.counts.hits + work.counts.misses > 0 do
    local room = room_of(db, target.path, most, #work.list - work.at + #work.hits - work.hit > 64)
    if room < most // 2 then return true end -- somebody reads for long, so the log cannot go: memory has it
    local at, hit = write_some(db, work, limits, room // (limits.page + 24))
    if at then
      for i = work.at, at - 1 do wrote(work.list[i]) end
      work.at, work.hit, shrunk = at, hit, false
    elseif rawget(hit, "code") == "SQLITE_FULL" and not shrunk then -- pages are emptier than thought, if it is not the disk
      shrunk = true
      if not evict.shrink(db, limits) then return nil, hit end
    else
      return nil, hit
    end
  end
  return true
end

return M
