--- The cache's file: where it is, its tables, and what is wrong with it. A cache can be made again, so nothing here fails anybody's
--- call: a file that is damaged, or was made elsewhere, is put aside under another name and a new one is begun; one that cannot be
--- used leaves the cache without a disk, and says so once.
---
--- A file is one user's and one place's: it has the number that the file system gave it (its inode) written in it. One that was
--- copied, or came with somebody's repository, is not read: who writes a cache says what models will seem to have said.

local engine = require "host.store"
local errors = require "core.errors"
local fs = require "host.fs"
local host = require "host.task"
local monotonic = require "host.time".monotonic
local opening = require "core.store.open"
local scopes = require "core.scope"
local texts = require "core.text"

local M = {}

--- Of the tables; a file of another version is begun anew.
M.VERSION = 2

--- Bytes of a file at least, and where nobody says.
M.LEAST, M.USUAL = 1 << 20, 256 << 20

local TABLES = { [[
CREATE TABLE meta (
  -- What this file is: answers of models that stoke keeps, so that the same question need not be asked twice. It may be deleted at
  -- any time: stoke cache clear. inode: the file's own number, so that a copy is known as one. Sums: see entries.
  version INTEGER NOT NULL,
  inode INTEGER NOT NULL,
  small INTEGER NOT NULL DEFAULT 0,  -- bytes of the small queue
  main INTEGER NOT NULL DEFAULT 0,   -- bytes of the main queue
  count INTEGER NOT NULL DEFAULT 0,  -- entries
  place INTEGER NOT NULL DEFAULT 0,  -- the last place that was given in a queue
  ghosts INTEGER NOT NULL DEFAULT 0, -- the same, of the ghost queue
  forgotten INTEGER NOT NULL DEFAULT 0, -- ghosts up to this place are forgotten
  part REAL NOT NULL DEFAULT 0.1,    -- of the bytes, that is the small queue's: it follows what comes back
  evicted INTEGER NOT NULL DEFAULT 0,
  hits INTEGER NOT NULL DEFAULT 0,
  misses INTEGER NOT NULL DEFAULT 0
) STRICT]], [[
CREATE TABLE entries (
  id INTEGER PRIMARY KEY AUTOINCREMENT, -- who has seen one knows that all new ones are larger
  kind TEXT NOT NULL,      -- exact, embedding, prefix, semantic, digest
  key BLOB NOT NULL,       -- SHA-256 of everything that could change the answer
  value BLOB NOT NULL,
  bytes INTEGER NOT NULL,  -- that it takes here, about
  made REAL NOT NULL,      -- seconds since 1970
  ttl REAL,                -- seconds for which it is fresh; NULL: for ever
  hits INTEGER NOT NULL DEFAULT 0,
  freq INTEGER NOT NULL DEFAULT 0,  -- S3-FIFO: was it asked for since it last moved?
  queue INTEGER NOT NULL,  -- 0 small, 1 main
  place INTEGER NOT NULL,  -- in its queue: the smallest goes first
  facts TEXT,              -- JSON: where it came from
  mark INTEGER NOT NULL,   -- the first 8 bytes of the key: an index over whole keys would be three times as large
  sum INTEGER NOT NULL     -- 32 bits of key, value and facts: damage is seen
) STRICT]], "CREATE INDEX entries_by_mark ON entries (mark)", "CREATE INDEX entries_by_place ON entries (queue, place)",
  [[
CREATE TABLE ghosts (
  hash INTEGER PRIMARY KEY, -- the mark of an entry that had to go: if it comes back it goes to the main queue
  place INTEGER NOT NULL,
  main INTEGER NOT NULL     -- the queue that let it go
) STRICT]], "CREATE INDEX ghosts_by_place ON ghosts (place)",
  "INSERT INTO meta (version,inode) VALUES (?,?)" }

--- Files about which something was said already.
local told = {}

--- Say something of a file, once.
---@param path string
---@param what string
function M.tell(path, what)
  local text = ("the cache %s %s"):format(texts.word(path), what)
  if told[text] then return end
  told[text] = true
  scopes.tell(text)
end

--- What becomes of a file that cannot be used, in words.
---@param path string
---@param why string
---@return string
function M.begun_anew(path, why)
  return ("%s: it was put aside as %s, and a new one begun"):format(why, texts.word(path .. ".aside"))
end

--- As at the beginning, for tests.
function M.forget() told = {} end

-- ---- putting aside ----------------------------------------------------------------------------------------------------------

--- Give a file another name, with what belongs to it.
---@param path string
---@return boolean|nil ok
---@return stoke.error|nil err
function M.put_aside(path)
  for _, tail in ipairs { "-wal", "-shm" } do fs.unlink(path .. tail) end -- those of a damaged file would go into the new one
  return fs.rename(path, path .. ".aside")
end

local WRITABLE <const> = 18 -- -w--w-, of the group and of others

--- Why a file must not be read; nil: it may be, or there is none.
---@param path string
---@return string|nil why
---@return boolean|nil fatal it cannot be put aside either
local function foreign(path)
  local stat = fs.stat(path)
  if not stat then return nil end
  if stat.type ~= "file" then return "is no file: no answers are kept", true end
  local uid = fs.stat "/proc/self" -- what this process is
  if uid and stat.uid ~= uid.uid then return "is another user's: it is neither read nor written", true end
  if stat.mode & WRITABLE ~= 0 then
    return "could be written by others on this machine: it was put aside as " .. texts.word(path .. ".aside")
  end
end

-- ---- opening ----------------------------------------------------------------------------------------------------------------

--- What a file says of itself: true; nil and why it must be begun anew; nil, nil and an error.
local function known(db, path)
  -- in one statement: another process may be making the tables
  local found, err = db:query "SELECT count(*) FILTER (WHERE type='table' AND name='meta'),count(*) FROM sqlite_schema"
  if not found then return nil, nil, err end
  if found.rows[1][1] == 0 then
    if found.rows[1][2] > 0 then return nil, "is no cache" end
    return false
  end
  found, err = db:query "SELECT version,inode FROM meta"
  if not found then return nil, nil, err end
  local row, stat = found.rows[1], fs.stat(path)
  if not row then return nil, "is damaged" end
  if row[1] ~= M.VERSION then return nil, "was written by another version of stoke" end
  if not stat or stat.ino ~= row[2] then return nil, "was copied, or made elsewhere" end
  return true
end

--- Make the tables of a file, in one transaction, unless another process was faster.
---@param db userdata of host.store
---@param first string the table by which it is seen that they are there
---@param tables string[] statements
---@param last? table parameters of the last one
---@return boolean|nil ok
---@return stoke.error|nil err
---
--- Example: `local ok, err = disk.make(db, "about", TABLES)`
function M.make(db, first, tables, last)
  local tx, err = db:begin()
  if not tx then return nil, err end
  local found
  found, err = tx:run("SELECT count(*) FROM sqlite_schema WHERE name=?", { first })
  if found and found.rows[1][1] == 0 then
    for i, sql in ipairs(tables) do
      if not err then found, err = tx:run(sql, i == #tables and last or nil) end
    end
  end
  if found and not err then return tx:commit() end
  tx:rollback()
  return nil, err
end

local function make(db, path)
  local stat = fs.stat(path)
  return M.make(db, "meta", TABLES, { M.VERSION, stat and stat.ino or 0 })
end

--- Codes of a file that is not what it should be, as opposed to a disk that does not work.
local DAMAGED = { "^SQLITE_NOTADB", "^SQLITE_CORRUPT", "^SQLITE_ERROR", "^SQLITE_MISMATCH", "^SQLITE_CONSTRAINT" }

--- Does an error say that the file is damaged?
---@param err stoke.error|nil
---@return boolean
function M.damaged(err)
  local code = err and err.kind == "db" and tostring(rawget(err, "code") or "") or ""
  for _, pattern in ipairs(DAMAGED) do
    if code:find(pattern) then return true end
  end
  return false
end

--- Bytes beside the file itself that its log may take, of so many in all.
---@param bytes integer
---@return integer
function M.log_of(bytes) return math.min(math.max(bytes // 8, 1 << 18), 16 << 20) end

--- The file itself never grows beyond its bytes, whatever is written: SQLite refuses.
local function bound(db, bytes)
  local found, err = db:query "PRAGMA page_size"
  if not found then return nil, err end
  local page = found.rows[1][1]
  local pages = (bytes - M.log_of(bytes)) // page
  local _
  _, err = db:write(("PRAGMA max_page_count=%d"):format(pages))
  if not err then _, err = db:write(("PRAGMA journal_size_limit=%d"):format(M.log_of(bytes) // 2)) end
  if err then return nil, err end
  return { page = page, pages = pages }
end

local function open_once(path, bytes)
  local db, err = engine.open(path, { host = true, durable = false, busy = 2, limit = 64 << 20 })
  if not db then return nil, nil, err end
  local is, why
  is, why, err = known(db, path)
  if is == false then is, err = make(db, path) end
  local limits
  if is then limits, err = bound(db, bytes) end
  if limits then return db, limits end
  db:close()
  return nil, why, err
end

--- Codes of a file that others are about to open, make or close: it is tried again.
local BUSY = { "^SQLITE_BUSY", "^SQLITE_LOCKED", "^SQLITE_PROTOCOL" }
--- Seconds for which it is tried, and between two attempts at first.
local PATIENCE <const>, PAUSE <const> = 3, 0.005

--- Open it, though others do so at the same moment.
local function open_among_others(path, bytes)
  local ends, pause = monotonic() + PATIENCE, PAUSE
  while true do
    local db, reason, err = open_once(path, bytes)
    local code, busy = err and tostring(rawget(err, "code") or "") or "", false
    for _, pattern in ipairs(BUSY) do busy = busy or code:find(pattern) ~= nil end
    if db or reason or not busy or monotonic() >= ends then return db, reason, err end
    if host.park("cache", pause) == nil then return db, reason, err end
    pause = math.min(pause * 2, 0.1)
  end
end

local function make_folder(path)
  local folder = path:match "^(.*[^/])/+[^/]*$"
  if not folder then return true end
  return opening.make_folder(folder)
end

--- Open a file, and make what is not there. What must not be used is put aside; that is said once.
---@param path string
---@param bytes integer that it may take
---@return userdata|nil db of host.store
---@return { page: integer, pages: integer }|stoke.error limits, or the error
function M.open(path, bytes)
  local ok, err = make_folder(path)
  if not ok then return nil, err end
  for _ = 1, 2 do
    local why, fatal = foreign(path)
    if fatal then return nil, errors.new("denied", ("the cache %s %s"):format(path, why)) end
    local db, reason
    if not why then
      db, reason, err = open_among_others(path, bytes)
      if db then return db, reason end
      if not reason and not M.damaged(err) then return nil, err end
      why = M.begun_anew(path, reason or "is damaged")
    end
    local aside, failed = M.put_aside(path)
    if not aside then return nil, failed end
    M.tell(path, why)
  end
  return nil, err or errors.new("db", "the cache cannot be opened")
end

return M
