--- What the cache holds: the most recent in memory, all of it in a file. Reading never fails anybody's call: what cannot be read is
--- a miss. Writing never waits: what is put is gathered, and a task of the host's writes it in one transaction.
---
---     local file = files.of()                       -- opens nothing until something is wanted of it
---     file:put("exact", key, text, { model = "m" }, 3600)
---     local text, meta = file:get("exact", key)
---
--- The file is shared by the processes of one user and project. Which keys it may have is known in memory, so that a miss asks no
--- disk; what others write is noticed once a second. The bytes it may take hold at all times: who comes makes room first (S3-FIFO
--- over all entries: lua/cache/evict.lua).
---
--- Ages are told by the wall clock. Nothing is deleted for its age, so a clock that jumps ahead loses nothing for good; an entry
--- that seems to be of the future counts as made now, so that it is neither expired nor kept for ever.

local engine = require "host.store"
local env = require "host.env"
local fs = require "host.fs"
local host = require "host.task"
local clock = require "host.time"
local companies = require "core.cache.company"
local disk = require "core.cache.disk"
local evict = require "core.cache.evict"
local filters = require "core.cache.filter"
local keeper = require "core.keeper"
local place = require "core.store.place"
local s3fifo = require "core.cache.s3fifo"
local scopes = require "core.scope"
local settings = require "core.cache.settings"
local survey = require "core.cache.survey"
local tasks = require "core.task"
local testbed = require "core.testbed"
local writing = require "core.cache.write"

local M = {}

local monotonic, wall = clock.monotonic, clock.wall

--- Seconds for which what was put is gathered; rows and bytes that are not waited for longer.
M.GATHER, M.ROWS, M.MOST = 0.05, 256, 1 << 20
--- Seconds between two looks for what other processes have written.
M.LOOK = 1
--- Hits that are not noted for longer.
M.TOUCHED = 4096
--- Seconds without the disk after it has failed; and that the end of a process waits for the last write, at most.
M.ASIDE, M.GOODBYE = 30, 2
--- Bytes of the file, and part of them that may be held in memory.
M.USUAL, M.PART = disk.USUAL, 8
--- Bytes of one value, at most, as a part of all; of an entry beside its value.
local LARGEST <const>, ENTRY <const> = 4, 200

--- Another file than that of the settings; false: none, the memory alone. For tests.
---@type string|false|nil
M.path = nil
--- Does the end of the process write what is left?
local began = false

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

--- A cache in a file, or in memory alone.
---@param path string|nil
---@param bytes? integer that it may take
---@return stoke.cache.file
---
--- Example: `local file = files.at("/tmp/cache.db", 64 << 20)`
function M.at(path, bytes)
  bytes = math.max(bytes or M.USUAL, disk.LEAST)
  return setmetatable({ path = path, bytes = bytes, memory = s3fifo.new(path and bytes // M.PART or bytes), pending = {}, rows = 0,
    waiting = 0, seq = 0, touched = {}, touches = 0, hits = 0, misses = 0 }, File)
end

-- ---- the disk ---------------------------------------------------------------------------------------------------------------

local function shut(self)
  local db, company = self.db, self.company
  self.db, self.limits, self.filter, self.last, self.company = nil, nil, nil, nil, nil
  if company then company:leave() end
  if db then db:close() end
end

--- The disk does not work: it is left alone for a while. A file that is damaged is begun anew.
local function aside(self, err)
  if not err or err.kind == "cancelled" then return nil end
  shut(self)
  self.until_then = monotonic() + M.ASIDE
  if not disk.damaged(err) then
    disk.tell(self.path, ("is not used for now, and all models are asked as ever: %s"):format(err.message))
    return nil
  end
  if disk.put_aside(self.path) then self.until_then = nil end
  disk.tell(self.path, disk.begun_anew(self.path, "is damaged"))
end

--- Keys that are read at once: the loop does nothing else for as long as it takes them.
local KEYS <const> = 4000

local ALL, NEW = "SELECT mark,mark FROM entries WHERE mark>? ORDER BY mark LIMIT " .. KEYS,
  "SELECT id,mark FROM entries WHERE id>? ORDER BY id LIMIT " .. KEYS

--- Add the keys that a statement gives to a filter; the last of its rows.
---@return integer|nil last
---@return stoke.error? err
local function add_keys(db, filter, sql, last)
  while true do
    local found, err = db:query(sql, { last })
    if not found then return nil, err end
    for _, row in ipairs(found.rows) do
      filter:add(row[2])
      last = row[1]
    end
    if #found.rows < KEYS or filter.count > filter.room then return last end
  end
end

--- A filter of all keys, which are read from the index alone, and the last row that may be in it.
local function filter_of(db)
  local _
  local found, err = db:query "SELECT count(*),coalesce(max(id),0) FROM entries"
  if not found then return nil, nil, err end
  local filter = filters.new(math.max(8192, 2 * found.rows[1][1]))
  _, err = add_keys(db, filter, ALL, math.mininteger)
  return filter, found.rows[1][2], err
end

--- Learn which keys the file has; those after the last one that is known. Until it is known the file is asked. What this process
--- writes meanwhile may be in none of the rows that are read, so it is noted.
local function learn(self)
  local db, filter, last, new, err = self.db, self.filter, self.last, {}, nil
  self.learning = new
  repeat
    if not filter or filter.count > filter.room then filter, last, err = filter_of(db) end
    if not err then last, err = add_keys(db, filter, NEW, last) end
    if self.db ~= db or self.learning ~= new then return end -- it was closed, or somebody else learns
    if err then return aside(self, err) end
  until filter.count <= filter.room
  for _, mark in ipairs(new) do filter:add(mark) end
  self.filter, self.last, self.learning = filter, last, nil
end

--- An entry is in the file.
local function wrote(self, entry)
  local mark, filter, learning = evict.mark_of(entry.key), self.filter, self.learning
  if filter then filter:add(mark) end
  if learning then learning[#learning + 1] = mark end
end

local function open_now(self)
  local db, limits = disk.open(self.path, self.bytes)
  if not db then return aside(self, limits) end
  local stat = fs.stat(self.path)
  self.db, self.limits, self.until_then, self.looked, self.inode = db, limits, nil, monotonic(), stat and stat.ino
  self.company = companies.join(self.path)
  self.company:look()
  self.seen = db:version()
  tasks.spawn(learn, { system = true, name = "cache" }, self)
end

--- Open the file, once; nil where there is none, or it is to be left alone. A task of the host's opens it, as whoever wants it
--- first may be cancelled meanwhile.
local function open(self)
  if self.db and not self.opening then return self.db end
  if not self.path or self.until_then and monotonic() < self.until_then then return nil end
  if not self.opening then
    self.opening = {}
    tasks.spawn(function()
      open_now(self)
      local waiting = self.opening
      self.opening = nil
      scopes.wake_all(waiting)
    end, { system = true, name = "cache" })
  end
  while self.opening do
    if scopes.queue_up(self.opening, host.enter "cache", "cache") == nil then return nil end
  end
  return self.db
end

--- What others have written, and whether there are any: asked once a second, by a task of the host's, so that nobody waits.
local function look(self)
  local now = monotonic()
  if self.looking or not self.db or now - self.looked < M.LOOK then return end
  self.looking, self.looked = true, now
  tasks.spawn(function()
    local company, stat = self.company, fs.stat(self.path)
    if company then company:look() end
    local version, err = nil, nil
    if stat and stat.ino == self.inode and self.db then
      version, err = self.db:version()
    else -- somebody has put it aside, or away
      self.memory:clear()
      shut(self)
    end
    if err then
      aside(self, err)
    elseif version and version ~= self.seen then
      self.seen = version
      self.memory:clear() -- what is in it may be gone
      learn(self)
    end
    self.looking = nil
  end, { system = true, name = "cache" })
end

--- The database, where there is one and it works. May wait.
---@return userdata|nil db
function File:database() return open(self) end

-- ---- reading ----------------------------------------------------------------------------------------------------------------

local some, facts_of = survey.some, survey.facts

local COLUMNS = "SELECT key,kind,value,made,ttl,hits,facts,sum=stoke_sum(key,value,facts) FROM entries "
local READ, READ_MANY = COLUMNS .. "WHERE kind=? AND mark=? AND key=?", COLUMNS .. "WHERE kind=? AND mark IN (%s)"

--- The clock was set back: what seems to be of the future is of now, in the file, too.
local function of_the_future(self, now)
  if self.mending then return end
  self.mending = true
  tasks.spawn(function()
    local db = self.db
    if db then db:write("UPDATE entries SET made=?1 WHERE made>?1", { now }) end
    self.mending = nil
  end, { system = true, name = "cache" })
end

--- An entry of a row; nil: a disk has changed it.
local function entry_of(self, row)
  if row[8] ~= 1 then
    disk.tell(self.path, "has a damaged entry, which is not used")
    self:delete(row[2], row[1])
    return nil
  end
  local now = wall()
  if row[4] > now then of_the_future(self, now) end
  return { key = row[1], kind = row[2], value = row[3], made = math.min(row[4], now), ttl = some(row[5]), hits = row[6],
    facts = facts_of(row[7]) }
end

--- May the file have a key?
local function perhaps(self, key)
  look(self)
  local filter = self.filter
  return not filter or filter:has(evict.mark_of(key))
end

local function read(self, kind, key)
  local db = self.db or open(self)
  if not db or not perhaps(self, key) then return nil end
  local found, err = db:query(READ, { kind, evict.mark_of(key), engine.blob(key) })
  if not found then return aside(self, err) end
  local row = found.rows[1]
  return row and entry_of(self, row)
end

--- The end of the process writes what is left, and waits for it, but not for long.
local function last_words()
  if began then return end
  began = true
  keeper.at_end(M.goodbye)
end

local gather

--- Somebody asked for an entry.
local function touch(self, id)
  if not self.path then return end
  local n = self.touched[id]
  self.touched[id] = (n or 0) + 1
  if n then return end
  self.touches = self.touches + 1
  if not began then last_words() end
  if self.touches >= M.TOUCHED and not self.gathering then gather(self) end
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
  local entry = self.memory:get(id) or self.pending[id] or self.writing and self.writing[id]
  if entry then
    if self.db then look(self) end
  else
    entry = read(self, kind, key)
    if not entry then return nil end
    self.memory:put(id, entry, #entry.value + ENTRY)
  end
  touch(self, id)
  local now = wall()
  if entry.made > now then entry.made = now end
  return entry.value, entry
end

--- What is in memory under a key; asks no disk, and does not count as asked for.
---@param kind string
---@param key string
---@return string|nil value
function File:peek(kind, key)
  local id = id_of(kind, key)
  local entry = self.memory:peek(id) or self.pending[id]
  return entry and entry.value
end

--- An answer was given as it came, not out of the file: its entry counts as asked for. It may not be there yet.
---@param places { kind: string, key: string }[] where it may be kept, those of a route in their order
---
--- Example: `file:given { { kind = "exact", key = key } }`
function File:given(places)
  local at = places[1]
  for _, one in ipairs(places) do
    if self:peek(one.kind, one.key) then
      at = one
      break
    end
  end
  touch(self, id_of(at.kind, at.key))
end

--- The same as File:get, of the disk alone: another process may just have written it.
---@param kind string
---@param key string
---@return string|nil value
---@return stoke.cache.meta|nil meta
function File:reread(kind, key)
  local db = self.db
  local found = db and db:query(READ, { kind, evict.mark_of(key), engine.blob(key) })
  local row = found and found.rows[1]
  local entry = row and entry_of(self, row)
  if not entry then return nil end
  self.memory:put(id_of(kind, key), entry, #entry.value + ENTRY)
  return entry.value, entry
end

--- Entries that are asked of the disk at once.
local SLICE <const> = 256

local function read_many(self, kind, list, take)
  for first = 1, #list, SLICE do
    local db = self.db or open(self)
    if not db then return end
    local params, marks = { kind }, {}
    for i = first, math.min(first + SLICE - 1, #list) do
      params[#params + 1], marks[#marks + 1] = evict.mark_of(list[i]), "?"
    end
    local found, err = db:query(READ_MANY:format(table.concat(marks, ",")), params)
    if not found then return aside(self, err) end
    for _, row in ipairs(found.rows) do
      local entry = entry_of(self, row)
      if entry then take(entry) end
    end
  end
end

--- Several at once.
---@param kind string
---@param list string[] keys
---@return table<string, string> values by key
---@return table<string, stoke.cache.meta> metas
function File:many(kind, list)
  local values, metas, missing = {}, {}, {}
  local function take(entry)
    values[entry.key], metas[entry.key] = entry.value, entry
    touch(self, id_of(kind, entry.key))
  end
  if self.path and not self.db then open(self) end
  for _, key in ipairs(list) do
    local id = id_of(kind, key)
    local entry = self.memory:get(id) or self.pending[id] or self.writing and self.writing[id]
    if entry then
      take(entry)
    elseif self.db and perhaps(self, key) then
      missing[#missing + 1] = key
    end
  end
  read_many(self, kind, missing, function(entry)
    self.memory:put(id_of(kind, entry.key), entry, #entry.value + ENTRY)
    take(entry)
  end)
  return values, metas
end

--- Is another process there that has this file open? For who would wait for what that one is doing.
---@return core.cache.company|nil
function File:others()
  local company = self.company
  if not company or not company.others then return nil end
  look(self)
  return company
end

-- ---- writing ----------------------------------------------------------------------------------------------------------------

local function write(self)
  local pending, touched, counts = self.pending, self.touched, { hits = self.hits, misses = self.misses }
  self.writing, self.pending, self.touched, self.rows, self.waiting, self.touches = pending, {}, {}, 0, 0, 0
  self.hits, self.misses = 0, 0
  local db = open(self)
  if db then
    local target = { db = db, path = self.path, bytes = self.bytes, limits = self.limits }
    local ok, err = writing.all(target, pending, touched, counts, function(entry) wrote(self, entry) end)
    if not ok then aside(self, err) end
    if self.filter and self.filter.count > self.filter.room then learn(self) end
  end
  self.writing = nil
end

--- A task writes now and then, as long as there is something.
function gather(self)
  self.gathering = true
  tasks.spawn(function()
    while next(self.pending) or self.touches >= M.TOUCHED do
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
---@param made? number seconds since 1970; now, unless it comes from elsewhere
---@return boolean|nil kept false: it is too large; nil: one that comes from elsewhere is no newer than what is here
---
--- Example: `file:put("exact", key, text, { model = "m" }, 3600)`
function File:put(kind, key, value, facts, ttl, made)
  local size = #value + ENTRY
  if size * LARGEST > (self.path and self.bytes // M.PART or self.bytes) then return false end
  local id = id_of(kind, key)
  local here = made and (self.pending[id] or self.memory:peek(id))
  if here and here.made >= made then return nil end
  self.seq = self.seq + 1
  local entry = { seq = self.seq, kind = kind, key = key, value = value, made = made or wall(), ttl = ttl, facts = facts or {},
    hits = 0 }
  self.memory:put(id, entry, size)
  if not self.path or self.until_then and monotonic() < self.until_then then return true end
  if self.waiting > 4 * M.MOST then return true end -- the disk is slower than what comes: memory has it
  local before = self.pending[id]
  if before then self.waiting = self.waiting - #before.value - ENTRY else self.rows = self.rows + 1 end
  self.pending[id], self.waiting = entry, self.waiting + size
  if not began then last_words() end
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
  local db = open(self)
  if not db then return end
  local done, err = evict.delete(db, self.limits, kind, key)
  if not done then aside(self, err) end
end

--- Wait until all that was put is on the disk.
---@param seconds? number at most
function File:flush(seconds)
  local last = monotonic() + (seconds or math.huge)
  while (self.gathering or self.writing) and monotonic() < last do
    if host.park("cache", 0.005) == nil then return end
  end
  local new = next(self.touched) or self.hits > 0 or self.misses > 0
  if new and not self.writing and self.path then write(self) end
end

--- Forget entries: of a kind, older than so many seconds, of a model; all of them where nothing is said.
---@param what? { kind?: string, older?: number, model?: string }
---@return integer|nil entries how many went
---@return stoke.error? err
function File:clear(what)
  what = what or {}
  self:flush()
  self.memory:clear()
  self.pending, self.touched = {}, {}
  local db = open(self)
  if not db then return 0 end
  local n, err = evict.clear(db, what.kind, what.older and wall() - what.older, what.model)
  if not n then return aside(self, err), err end
  if n > 0 then
    db:write "VACUUM" -- the space goes back to the disk
    db:write "PRAGMA wal_checkpoint(TRUNCATE)"
  end
  return n
end

--- Entries, the newest first; what it holds: see lua/cache/survey.lua.
File.each, File.stats = survey.each, survey.stats

--- Close the file. What was put is written first.
function File:close()
  self:flush(M.GOODBYE)
  shut(self)
end

-- ---- the one of this process ------------------------------------------------------------------------------------------------

local own, project

--- Where the file of this process is: beside the store of the script, or where the settings say. A test keeps nothing on the disk
--- unless it names a file.
---@return string|nil
function M.where()
  if M.path ~= nil then return M.path or nil end
  if settings.path then return settings.path end
  if testbed.running then return nil end
  local path = require "core.script".path
  if path == "-" then path = nil end
  return (place.path(path):gsub("[^/]*$", "cache.db"))
end

--- Whose answers the keys of this process are for: nothing where the file is in the project's own folder; else the folder, as
--- projects share the file.
---@return string
function M.project()
  if project then return project end
  local path = require "core.script".path
  local folder = path and path ~= "-" and path:match "^(.*/)[^/]*$" or path and path ~= "-" and "" or nil
  if folder and M.where() == folder .. ".stoke/cache.db" then
    project = ""
  else
    project = (folder or ""):sub(1, 1) == "/" and folder or (env.cwd() or "") .. "/" .. (folder or "")
  end
  return project
end

--- The cache of this process.
---@return stoke.cache.file
function M.of()
  if not own then own = M.at(M.where(), settings.bytes) end
  return own
end

--- Write what is left, and wait for it, but not for long. Closing takes the log into the file.
function M.goodbye()
  if own then own:close() end
end

--- As at the beginning: the settings have changed, or a test begins.
function M.forget()
  local file = own
  own, project = nil, nil
  if file then file:close() end
end

return M
