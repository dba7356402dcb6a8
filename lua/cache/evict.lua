--- The cache's file: what has to go for what comes, inside one transaction. S3-FIFO as in lua/cache/s3fifo.lua, over entries in a
--- table: each has its queue, its place there, and how often it was asked for since it last moved.
---
--- What is decided is gathered as a batch of statements, which the file's own thread does at once. A plan counts the pages that its
--- batch will change: the log of a transaction has a bound.

local engine = require "host.store"
local policy = require "core.cache.s3fifo"

local M = {}

--- Part of the file that entries may fill: pages are never quite full.
local FILL <const> = 0.7
--- Entries that are looked at together when some have to go.
local SLICE <const> = 256
--- How often an entry counts as asked for, at most.
M.MOST = policy.MOST

---@class core.cache.state sums of the file, inside a transaction
---@field small integer bytes of the small queue
---@field main integer bytes of the main queue
---@field count integer entries
---@field place integer the last place that was given in a queue
---@field ghosts integer the last place that was given to a key of those that went
---@field forgotten integer the last place of those that are not remembered any more
---@field evicted integer
---@field part number of the bytes, that is the small queue's

local STATE = "SELECT small,main,count,place,ghosts,forgotten,evicted,part FROM meta"
local KEEP = "UPDATE meta SET small=?,main=?,count=?,place=?,ghosts=?,forgotten=?,evicted=?,part=?"

local function state_of(tx)
  local found, err = tx:run(STATE)
  if not found then return nil, err end
  local row = found.rows[1]
  return { small = row[1], main = row[2], count = row[3], place = row[4], ghosts = row[5], forgotten = row[6], evicted = row[7],
    part = row[8] }
end

---@class core.cache.limits
---@field page integer bytes of a page
---@field pages integer that the file may have

--- Bytes that the entries may take.
---@param limits core.cache.limits
---@return integer
function M.room(limits) return math.floor(limits.page * limits.pages * FILL) end

---@class core.cache.plan what a transaction will do
---@field tx userdata of host.store
---@field s core.cache.state
---@field limit integer bytes that the entries may take
---@field page integer bytes of a page
---@field batch userdata the statements that are not done yet
---@field rows number pages of the table that they change, at most
---@field near integer the last row that was changed
---@field marks integer entries of the index by mark
---@field remembered integer keys that are remembered, or forgotten
---@field queues table<integer, table> how far each queue was looked at
---@field gone table<integer, boolean> rows that the batch deletes
local Plan = {}
Plan.__index = Plan

--- The first eight bytes of a key, as a number that is ordered as they are.
---@param key string
---@return integer
function M.mark_of(key) return ((">i8"):unpack(key)) end

local function afresh(plan)
  plan.queues, plan.gone = { [0] = { last = -1, rows = {}, at = 1 }, { last = -1, rows = {}, at = 1 } }, {}
end

--- A plan for a transaction.
---@param tx userdata
---@param limits core.cache.limits
---@param limit? integer bytes that the entries may take; nil: as many as there is room for
---@return core.cache.plan|nil
---@return stoke.error? err
function M.plan(tx, limits, limit)
  local s, err = state_of(tx)
  if not s then return nil, err end
  local plan = setmetatable({ tx = tx, s = s, limit = limit or M.room(limits), page = limits.page, batch = engine.batch(), rows = 0,
    near = -1, marks = 0, remembered = 0 }, Plan)
  afresh(plan)
  return plan
end

--- Pages of an index that so many changes hit, at places as random as a hash: its leaves are half full at the least.
local function hit(changes, entries, page)
  local leaves = entries * 20 / (page // 2) + 4
  return leaves * (1 - math.exp(-changes / leaves))
end

--- Pages that its statements change, about, and rather too many.
---@return integer
function Plan:pages()
  local s = self.s
  return math.ceil(self.rows + hit(self.marks, s.count, self.page) + hit(self.remembered, s.ghosts - s.forgotten, self.page)) + 16
end

--- A row of the table is changed. Those of rows that came one after the other lie side by side.
local function touch(plan, id, bytes)
  plan.rows = plan.rows + (id == plan.near + 1 and math.min(3 * bytes / plan.page, 1) or 1)
  plan.near = id
end

--- Do what was gathered.
---@return stoke.error|nil err
function Plan:apply()
  afresh(self)
  if #self.batch == 0 then return nil end
  local _, err = self.tx:batch(self.batch)
  return err
end

--- The last of it, and the sums.
---@return stoke.error|nil err
function Plan:finish()
  local s = self.s
  self.batch:add(KEEP, s.small, s.main, s.count, s.place, s.ghosts, s.forgotten, s.evicted, s.part)
  return self:apply()
end

-- ---- making room ------------------------------------------------------------------------------------------------------------

--- Remember the key of an entry that went, and forget the oldest ones.
local function remember(plan, mark, main)
  local s = plan.s
  s.ghosts = s.ghosts + 1
  plan.batch:add("INSERT OR REPLACE INTO ghosts (hash,place,main) VALUES (?,?,?)", mark, s.ghosts, main)
  plan.remembered = plan.remembered + 1
  local first = s.ghosts - math.max(math.floor(s.count * policy.GHOSTS), 16)
  if first - s.forgotten < 64 then return end
  plan.remembered = plan.remembered + first - s.forgotten
  plan.batch:add("DELETE FROM ghosts WHERE place<=?", first)
  s.forgotten = first
end

--- Bytes that a queue has more.
local function add(s, queue, bytes)
  if queue == 0 then s.small = s.small + bytes else s.main = s.main + bytes end
end

--- An entry leaves its queue.
---@param id integer
---@param queue 0|1
---@param bytes integer
function Plan:drop(id, queue, bytes)
  add(self.s, queue, -bytes)
  self.s.count, self.gone[id], self.marks = self.s.count - 1, true, self.marks + 1
  touch(self, id, bytes)
  self.batch:add("DELETE FROM entries WHERE id=?", id)
end

--- One entry of the queue's end goes, or moves on.
local function pass(plan, queue, row)
  local id, bytes, freq, s = row[1], row[2], row[3], plan.s
  if plan.gone[id] then return end
  if freq == 0 then
    plan:drop(id, queue, bytes)
    s.evicted = s.evicted + 1
    return remember(plan, row[4], queue)
  end
  s.place = s.place + 1
  add(s, queue, -bytes)
  add(s, 1, bytes)
  plan.gone[id] = true
  touch(plan, id, bytes)
  plan.batch:add("UPDATE entries SET queue=1,place=?,freq=? WHERE id=?", s.place, queue == 0 and 0 or freq - 1, id)
end

local NEXT = "SELECT id,bytes,freq,mark,place FROM entries WHERE queue=? AND place>? ORDER BY place LIMIT " .. SLICE

--- The next entry of a queue's end; nil: there is none that the plan does not move or delete already.
local function next_of(plan, queue)
  local q = plan.queues[queue]
  local row = q.rows[q.at]
  if not row and not q.ended then
    local found, err = plan.tx:run(NEXT, { queue, q.last })
    if not found then return nil, err end
    q.rows, q.at, q.ended = found.rows, 1, #found.rows < SLICE
    row = q.rows[1]
  end
  if row then q.at, q.last = q.at + 1, row[5] end
  return row
end

--- Sums that do not agree with the table.
local function recount(plan)
  local found, err = plan.tx:run("SELECT coalesce(sum(bytes) FILTER (WHERE queue=0),0)," ..
    "coalesce(sum(bytes) FILTER (WHERE queue=1),0),count(*) FROM entries")
  if not found then return err end
  local s = plan.s
  s.small, s.main, s.count = table.unpack(found.rows[1])
end

--- Let entries go until there is room for so many bytes more.
---@param more integer
---@return stoke.error|nil err
function Plan:make_room(more)
  local s, limit, empty = self.s, self.limit, false
  while s.count > 0 and s.small + s.main + more > limit do
    local queue = (s.small > s.part * limit or s.main <= 0) and 0 or 1
    local row, err = next_of(self, queue)
    if row then
      pass(self, queue, row)
      empty = false
    else -- what the batch has moved is behind what was there
      err = err or self:apply() or empty and recount(self)
      if err then return err end
      empty = true
    end
  end
end

-- ---- who comes back -----------------------------------------------------------------------------------------------------------

--- A key comes that is remembered: the queue that let it go was too small.
---@param main 0|1 which it was
---@param mark integer
---@param bytes integer
---@return stoke.error|nil err
function Plan:back(main, mark, bytes)
  if not self.of_main then
    local found, err = self.tx:run "SELECT coalesce(sum(main),0),count(*) FROM ghosts"
    if not found then return err end
    self.of_main = found.rows[1][1]
    self.of_small = found.rows[1][2] - self.of_main
  end
  self.s.part = policy.adapt(self.s.part, main == 1, self.of_small, self.of_main, bytes / self.limit)
  self.batch:add("DELETE FROM ghosts WHERE hash=?", mark)
  self.remembered = self.remembered + 1
end

--- An entry comes: its bytes, and its place in its queue.
---@param queue 0|1
---@param bytes integer
---@return integer place
function Plan:add(queue, bytes)
  local s = self.s
  s.place, s.count = s.place + 1, s.count + 1
  add(s, queue, bytes)
  self.rows, self.marks = self.rows + math.min(bytes / self.page * 1.5, bytes // self.page + 1), self.marks + 1
  return s.place
end

-- ---- taking out -------------------------------------------------------------------------------------------------------------

--- In one transaction, with a plan: f(plan) gives an error or nil.
---@param db userdata of host.store
---@param limits core.cache.limits
---@param f fun(plan: core.cache.plan): stoke.error|nil
---@param limit? integer
---@return boolean|nil ok
---@return stoke.error? err
function M.within(db, limits, f, limit)
  local tx, err = db:begin()
  if not tx then return nil, err end
  local plan
  plan, err = M.plan(tx, limits, limit)
  if plan then err = f(plan) or plan:finish() end
  if not err then return tx:commit() end
  tx:rollback()
  return nil, err
end

--- Let a fifth of the entries go: the file is full before it should be.
---@param db userdata
---@param limits core.cache.limits
---@return boolean|nil ok nil: there is nothing that could go
function M.shrink(db, limits)
  local before, after
  local ok = M.within(db, limits, function(plan)
    before = plan.s.count
    plan.limit = math.min(plan.limit, plan.s.small + plan.s.main)
    local err = plan:make_room(plan.limit // 5)
    after = plan.s.count
    return err
  end)
  return ok and after < before or nil
end

--- Take one entry out.
---@param db userdata
---@param limits core.cache.limits
---@param kind string
---@param key string
---@return integer|nil entries
---@return stoke.error? err
function M.delete(db, limits, kind, key)
  local n = 0
  local ok, err = M.within(db, limits, function(plan)
    local found, err = plan.tx:run("SELECT id,queue,bytes FROM entries WHERE mark=? AND key=? AND kind=?",
      { M.mark_of(key), engine.blob(key), kind })
    if not found then return err end
    for _, row in ipairs(found.rows) do
      plan:drop(row[1], row[2], row[3])
      n = n + 1
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
  local tx, err = db:begin()
  if not tx then return nil, err end
  local null = require "core.json".null
  local done, found
  done, err = tx:run("DELETE FROM entries WHERE (?1 IS NULL OR kind=?1) AND (?2 IS NULL OR made<?2) AND " ..
    "(?3 IS NULL OR json_extract(facts,'$.model')=?3)", { kind or null, before or null, model or null })
  if done then
    found, err = tx:run("UPDATE meta SET (small,main,count)=(SELECT coalesce(sum(bytes) FILTER (WHERE queue=0),0)," ..
      "coalesce(sum(bytes) FILTER (WHERE queue=1),0),count(*) FROM entries)")
  end
  if found then found, err = tx:commit() else tx:rollback() end
  if not found then return nil, err end
  return done.changes
end

return M
