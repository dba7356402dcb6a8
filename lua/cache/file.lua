--- What the cache holds: the most recent in memory, all of it in a file. Reading never fails anybody's call: what cannot be read is
--- a miss. Writing never waits: what is put is gathered, and a task of the host's writes it in one transaction.
---
---     local file = files.of()                       -- opens nothing until something is wanted of it
---     file:put("exact", key, text, { model = "m" }, 3600)
---     local text, meta = file:get("exact", key)
---
--- The file is shared by the processes of one user and project. Which keys it has is known in memory, so that a miss asks no
--- disk; what others write is noticed once a second. The bytes it may take hold at all times: who comes makes room first (S3-FIFO
--- over all entries: lua/cache/evict.lua).

local engine = require "host.store"
local fs = require "host.fs"
local host = require "host.task"
local clock = require "host.time"
local disk = require "core.cache.disk"
local evict = require "core.cache.evict"
local json = require "core.json"
local keeper = require "core.keeper"
local keys = require "core.cache.key"
local place = require "core.store.place"
local s3fifo = require "core.cache.s3fifo"
local tasks = require "core.task"
local testbed = require "core.testbed"

local M = {}

local monotonic, wall = clock.monotonic, clock.wall

--- Seconds for which what was put is gathered; rows and bytes that are not waited for longer.
M.GATHER, M.ROWS, M.MOST = 0.05, 256, 1 << 20
--- Seconds between two looks for what other processes have written.
M.LOOK = 1
--- Seconds without the disk after it has failed; and that the end of a process waits for the last write, at most.
M.ASIDE, M.GOODBYE = 30, 2
--- Bytes of the file, and part of them that may be held in memory.
M.USUAL, M.PART = disk.USUAL, 8
M.BYTES = M.USUAL
--- Bytes of one value, at most, as a part of all.
local LARGEST <const> = 4

--- Where the settings put the file; false: nowhere, the memory alone.
---@type string|false|nil
M.path = nil
--- Told when a process keeps something for the first time.
local began

---@class stoke.cache.meta
---@field made number seconds since 1970
---@field ttl? number seconds for which it is fresh; nil: for ever
---@field facts table where it came from: plain data
---@field hits integer times it was given, as far as written

---@class stoke.cache.file
---@field path string|nil nil: in memory alone
---@field bytes integer that the file may take
local File = {}
File.__index = File

local function id_of(kind, key) return kind .. "\0" .. key end

--- The first eight bytes of a key and its kind: what an index in memory knows of an entry.
local function mark_of(kind, key) return (("<i8"):unpack(key)) ~ #kind * 0x9E3779B97F4A7C15 end

--- 32 bits of key and value.
local function sum_of(key, value) return (("<I4"):unpack(keys.digest(key .. value))) end

--- A cache in a file, or in memory alone.
---@param path string|nil
---@param bytes? integer that it may take
---@return stoke.cache.file
---
--- Example: `local file = files.at("/tmp/cache.db", 64 << 20)`
function M.at(path, bytes)
  bytes = math.max(bytes or M.BYTES, disk.LEAST)
  return setmetatable({ path = path, bytes = bytes, memory = s3fifo.new(path and bytes // M.PART or bytes), pending = {}, rows = 0,
    waiting = 0, touched = {}, known = {}, counts = { hits = 0, misses = 0, stored = 0 } }, File)
end

-- ---- the disk ---------------------------------------------------------------------------------------------------------------

--- The disk does not work: it is left alone for a while.
local function aside(self, err)
  if not err or err.kind == "cancelled" then return end
  local db = self.db
  self.db, self.limits, self.until_then = nil, nil, monotonic() + M.ASIDE
  if db then db:close() end
  if disk.damaged(err) then
    disk.put_aside(self.path)
    disk.tell(self.path, "is damaged: it was put aside, and a new one begun")
    self.until_then, self.known, self.last = nil, {}, nil
    return
  end
  disk.tell(self.path, ("is not used for now, and all models are asked as ever: %s"):format(err.message))
end

--- Learn which keys the file has; those after the last one that is known.
local function learn(self)
  local db, last = self.db, self.last or 0
  while db do
    local found, err = db:query("SELECT id,kind,substr(key,1,8) FROM entries WHERE id>? ORDER BY id LIMIT 20000", { last })
    if not found then return aside(self, err) end
    for _, row in ipairs(found.rows) do self.known[mark_of(row[2], row[3])], last = true, row[1] end
    self.last = last
    if #found.rows < 20000 then return true end
  end
end

--- Open the file; nil where there is none, or it is to be left alone.
local function open(self)
  if self.db then return self.db end
  if not self.path or self.until_then and monotonic() < self.until_then then return nil end
  while self.opening do
    if host.park("cache", 0.002) == nil then return nil end
  end
  if self.db then return self.db end
  self.opening = true
  local db, limits = disk.open(self.path, self.bytes)
  self.opening = nil
  if not db then
    aside(self, limits)
    return nil
  end
  self.db, self.limits, self.until_then, self.looked = db, limits, nil, monotonic()
  self.seen = db:version()
  learn(self)
  return self.db
end

--- See what other processes have written: a task of the host's looks, so that nobody waits.
local function look(self)
  local now = monotonic()
  if self.looking or not self.db or now - (self.looked or now) < M.LOOK then return end
  self.looking, self.looked = true, now
  tasks.spawn(function()
    local version, err = self.db:version()
    if not version then
      aside(self, err)
    elseif version ~= self.seen then
      self.seen = version
      learn(self)
    end
    self.looking = nil
  end, { system = true, name = "cache" })
end

--- Is there a file to be opened? Asked once: without one, nothing is looked for.
local function is_there(self)
  if self.db then return true end
  if self.absent == nil then self.absent = not self.path or fs.stat(self.path) == nil end
  return not self.absent
end

-- ---- reading ----------------------------------------------------------------------------------------------------------------

--- A column that may be empty.
local function some(value)
  if value ~= json.null then return value end
end

local function facts_of(text)
  local facts = type(text) == "string" and json.decode(text)
  return type(facts) == "table" and facts or {}
end

local function entry_of(row)
  return { value = row[1], made = row[2], ttl = some(row[3]), hits = row[4], facts = facts_of(row[5]) }
end

local READ = "SELECT value,made,ttl,hits,facts,sum,id FROM entries WHERE key=? AND kind=?"

local function read(self, kind, key)
  if not is_there(self) or not open(self) then return nil end
  if not self.known[mark_of(kind, key)] then
    look(self)
    return nil
  end
  local found, err = self.db:query(READ, { engine.blob(key), kind })
  if not found then return aside(self, err) end
  local row = found.rows[1]
  if not row then return nil end
  if row[6] ~= sum_of(key, row[1]) then -- a page that the disk has changed
    self:delete(kind, key)
    return nil
  end
  return entry_of(row)
end

--- What is kept under a key. May wait for the disk, so it is called in a task.
---@param kind string
---@param key string 32 bytes
---@return string|nil value nil: nothing
---@return stoke.cache.meta|nil meta
---
--- Example: `local text, meta = file:get("exact", key)`
function File:get(kind, key)
  local id = id_of(kind, key)
  local entry = self.pending[id] or self.memory:get(id)
  if not entry then
    entry = read(self, kind, key)
    if not entry then return nil end
    self.memory:put(id, entry, #entry.value + 200)
  end
  if self.path then self.touched[id] = (self.touched[id] or 0) + 1 end
  return entry.value, entry
end

--- Several at once.
---@param kind string
---@param list string[] keys
---@return table<string, string> values by key
---@return table<string, stoke.cache.meta> metas
function File:many(kind, list)
  local values, metas = {}, {}
  for _, key in ipairs(list) do
    local value, meta = self:get(kind, key)
    if value then values[key], metas[key] = value, meta end
  end
  return values, metas
end

-- ---- writing ----------------------------------------------------------------------------------------------------------------

--- Write what was gathered, in one transaction.
local function write(self)
  local pending, touched = self.pending, self.touched
  self.writing, self.pending, self.touched, self.rows, self.waiting = pending, {}, {}, 0, 0
  local db = open(self)
  if db then
    local list = {}
    for id, entry in next, pending do
      list[#list + 1] = { kind = entry.kind, key = entry.key, id = id, entry = entry }
    end
    table.sort(list, function(a, b) return a.id < b.id end)
    local hits = {}
    for id, n in next, touched do
      if not pending[id] then hits[#hits + 1] = { id = id, n = n } end
    end
    table.sort(hits, function(a, b) return a.id < b.id end)
    local _, err = evict.write(db, list, hits, { bytes = self.bytes, limits = self.limits, sum = sum_of })
    if err then
      aside(self, err)
    else
      for _, one in ipairs(list) do self.known[mark_of(one.kind, one.key)] = true end
    end
  end
  self.writing = nil
end

--- A task writes now and then, as long as there is something.
local function gather(self)
  self.gathering = true
  tasks.spawn(function()
    while next(self.pending) do
      if self.rows < M.ROWS and self.waiting < M.MOST then host.park("cache", M.GATHER) end
      write(self)
    end
    self.gathering = nil
  end, { system = true, name = "cache" })
end

--- Keep a value. Never waits, and never fails.
---@param kind string
---@param key string 32 bytes
---@param value string
---@param facts? table where it came from: plain data
---@param ttl? number seconds for which it is fresh
---@return boolean kept false: it is too large
---
--- Example: `file:put("exact", key, text, { model = "m" }, 3600)`
function File:put(kind, key, value, facts, ttl)
  local size = #value + 200
  if size * LARGEST > (self.path and self.bytes // M.PART or self.bytes) then return false end
  local id = id_of(kind, key)
  local entry = { kind = kind, key = key, value = value, made = wall(), ttl = ttl, facts = facts or {}, hits = 0 }
  self.counts.stored = self.counts.stored + 1
  self.memory:put(id, entry, size)
  if not self.path or self.until_then and monotonic() < self.until_then then return true end
  if not self.pending[id] then self.rows = self.rows + 1 end
  self.pending[id], self.waiting, self.absent = entry, self.waiting + size, false
  if self.rows > 8 * M.ROWS then return true end -- the disk is slower than what comes: memory has it
  if not began then
    began = true
    local last = keeper.last
    keeper.last = function()
      if last then last() end
      M.flush()
    end
  end
  if not self.gathering then gather(self) end
  return true
end

--- Take an entry out.
---@param kind string
---@param key string
function File:delete(kind, key)
  local id = id_of(kind, key)
  self.pending[id], self.touched[id] = nil, nil
  self.memory:delete(id)
  local db = is_there(self) and open(self)
  if not db then return end
  self.known[mark_of(kind, key)] = nil
  local done, err = evict.delete(db, kind, key)
  if not done then aside(self, err) end
end

--- Wait until all that was put is on the disk.
---@param seconds? number at most
function File:flush(seconds)
  local last = monotonic() + (seconds or math.huge)
  while (self.gathering or self.writing) and monotonic() < last do
    if host.park("cache", 0.005) == nil then return end
  end
  if next(self.touched) and not self.writing and self.db then write(self) end
end

local LIST = "SELECT id,kind,key,made,ttl,hits,facts,bytes FROM entries WHERE id<?1 AND (?2 IS NULL OR kind=?2) " ..
  "ORDER BY id DESC LIMIT 500"

--- All entries, the newest first: kind, key and meta; `bytes` is in it. In slices; may wait.
---@param kind? string of one kind alone
---@return fun(): string|nil, string, stoke.cache.meta
function File:each(kind)
  self:flush()
  local rows, at, before = {}, 0, math.maxinteger
  return function()
    at = at + 1
    if not rows[at] then
      local db = is_there(self) and open(self)
      local found = db and db:query(LIST, { before, kind or json.null })
      rows, at = found and found.rows or {}, 1
    end
    local row = rows[at]
    if not row then return nil end
    before = row[1]
    return row[2], row[3], { made = row[4], ttl = some(row[5]), hits = row[6], facts = facts_of(row[7]), bytes = row[8] }
  end
end

--- Forget entries: of a kind, older than so many seconds; all of them where nothing is said.
---@param kind? string
---@param older? number seconds
---@return integer|nil entries how many went
---@return stoke.error? err
function File:clear(kind, older)
  self:flush()
  self.memory:clear()
  self.pending, self.touched = {}, {}
  local db = is_there(self) and open(self)
  if not db then return 0 end
  local n, err = evict.clear(db, kind, older and wall() - older)
  if not n then aside(self, err) end
  self.known, self.last = {}, nil
  if self.db then learn(self) end
  return n, err
end

--- What it holds.
---@return { path: string|nil, entries: integer, bytes: integer, limit: integer, kinds: table, evicted: integer, memory: integer }
function File:stats()
  self:flush()
  local out = { path = self.path, entries = self.memory.count, bytes = self.memory.bytes, limit = self.bytes, kinds = {},
    evicted = 0, memory = self.memory.bytes, hits = self.counts.hits, misses = self.counts.misses }
  local db = is_there(self) and open(self)
  local found = db and db:query "SELECT kind,count(*),sum(bytes),sum(hits) FROM entries GROUP BY kind ORDER BY kind"
  if not found then return out end
  out.entries, out.bytes = 0, 0
  for _, row in ipairs(found.rows) do
    out.kinds[row[1]] = { entries = row[2], bytes = row[3], hits = row[4] }
    out.entries, out.bytes = out.entries + row[2], out.bytes + row[3]
  end
  found = self.db and self.db:query "SELECT evicted,hits,misses FROM meta"
  local row = found and found.rows[1]
  if row then out.evicted = row[1] end
  return out
end

--- Close the file. What was put is written first.
function File:close()
  self:flush(M.GOODBYE)
  local db = self.db
  self.db = nil
  if db then db:close() end
end

-- ---- the one of this process ------------------------------------------------------------------------------------------------

local own

--- Where the file of this process is: beside the store of the script, or where the settings say. A test keeps nothing on the disk
--- unless it names a file.
---@return string|nil
function M.where()
  if M.path ~= nil then return M.path or nil end
  if testbed.closed then return nil end
  local path = require "core.script".path
  if path == "-" then path = nil end
  return (place.path(path):gsub("[^/]*$", "cache.db"))
end

--- The cache of this process.
---@return stoke.cache.file
function M.of()
  if not own then own = M.at(M.where(), M.BYTES) end
  return own
end

--- Write what is left, and wait for it, but not for long.
function M.flush()
  if own then own:flush(M.GOODBYE) end
end

--- As at the beginning: the settings have changed, or a test begins.
function M.forget()
  local file = own
  own = nil
  if file then file:close() end
end

return M
