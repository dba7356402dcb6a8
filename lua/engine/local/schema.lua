--- The file of the local engine: its tables, and what is wrong with one.

local disk = require "core.cache.disk"
local engine = require "host.store"
local errors = require "core.errors"
local opening = require "core.store.open"
local texts = require "core.text"

local M = {}

M.VERSION = 2

local TABLES = { [[
CREATE TABLE about (
  -- What this file is: streams of stoke.queue.
  version INTEGER NOT NULL
) STRICT]], [[
CREATE TABLE streams (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  last INTEGER NOT NULL DEFAULT 0,    -- offset of the newest item
  items INTEGER NOT NULL DEFAULT 0    -- that were not trimmed
) STRICT]], [[
CREATE TABLE items (
  stream INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  id TEXT NOT NULL,
  key TEXT,
  v INTEGER NOT NULL,                 -- protocol
  size INTEGER NOT NULL,              -- bytes of the value
  value ANY,                          -- NULL: it was trimmed
  PRIMARY KEY (stream, "offset")
) STRICT, WITHOUT ROWID]],
  "CREATE UNIQUE INDEX items_by_id ON items (stream, id)", [[
CREATE TABLE groups (
  id INTEGER PRIMARY KEY,
  stream INTEGER NOT NULL,
  name TEXT NOT NULL,
  next INTEGER NOT NULL,              -- no item from this offset on was lent yet
  fence INTEGER NOT NULL DEFAULT 0,   -- of the newest claim: made of the clock, and higher than the one before
  done INTEGER NOT NULL DEFAULT 0,    -- items
  dead INTEGER NOT NULL DEFAULT 0,
  behind INTEGER NOT NULL DEFAULT 0,  -- rows of work in state 1, counted by triggers
  UNIQUE (stream, name)
) STRICT]], [[
CREATE TABLE work (                   -- what a group has to do with items before its `next`
  grp INTEGER NOT NULL,
  "offset" INTEGER NOT NULL,
  key TEXT,
  state INTEGER NOT NULL,             -- 0 open, 1 behind an open item of its key, 2 done, 3 dead
  due REAL,                           -- open: when it may be lent, which is also when its lease runs out
  fence INTEGER NOT NULL,             -- of the claim that has it; below 0: of the one that gave it back
  tries INTEGER NOT NULL,             -- how often it was lent
  size INTEGER NOT NULL DEFAULT 0,    -- bytes of the outcome
  value ANY,                          -- the outcome
  reason TEXT,
  PRIMARY KEY (grp, "offset")
) STRICT, WITHOUT ROWID]],
  "CREATE INDEX work_by_due ON work (grp, due) WHERE state=0",
  'CREATE INDEX work_by_key ON work (grp, key, "offset") WHERE state<2 AND key IS NOT NULL',
  'CREATE INDEX work_dead ON work (grp, "offset") WHERE state=3', [[
CREATE TABLE kv (
  bucket TEXT NOT NULL,
  key TEXT NOT NULL,
  revision INTEGER NOT NULL UNIQUE,   -- of all buckets together
  size INTEGER NOT NULL,              -- bytes of the value
  value ANY,                          -- NULL: it was deleted
  PRIMARY KEY (bucket, key)
) STRICT, WITHOUT ROWID]],
  "CREATE INDEX kv_by_revision ON kv (bucket, revision)", [[
CREATE TABLE log (
  name TEXT NOT NULL,
  key TEXT NOT NULL,
  "offset" INTEGER NOT NULL,
  size INTEGER NOT NULL,              -- bytes of the value
  value ANY NOT NULL,
  PRIMARY KEY (name, key, "offset")
) STRICT, WITHOUT ROWID]],
  "INSERT INTO about (version) VALUES (" .. M.VERSION .. ")" }

--- How many stand behind others is looked up with each claim, so it is counted as it changes.
local COUNTED = { [[
CREATE TRIGGER work_added AFTER INSERT ON work WHEN NEW.state=1 BEGIN
  UPDATE groups SET behind=behind+1 WHERE id=NEW.grp;
END]], [[
CREATE TRIGGER work_changed AFTER UPDATE OF state ON work WHEN OLD.state=1 OR NEW.state=1 BEGIN
  UPDATE groups SET behind=behind+(NEW.state=1)-(OLD.state=1) WHERE id=NEW.grp;
END]], [[
CREATE TRIGGER work_removed AFTER DELETE ON work WHEN OLD.state=1 BEGIN
  UPDATE groups SET behind=behind-1 WHERE id=OLD.grp;
END]] }
table.move(COUNTED, 1, #COUNTED, #TABLES + 1, TABLES)

--- What brings a file of a version to the next one.
local NEXT = { {
  "ALTER TABLE groups ADD COLUMN behind INTEGER NOT NULL DEFAULT 0",
  "UPDATE groups SET behind=(SELECT count(*) FROM work w WHERE w.grp=groups.id AND w.state<2 AND w.state=1 AND w.key IS NOT NULL)",
  COUNTED[1], COUNTED[2], COUNTED[3], "UPDATE about SET version=2",
} }

local function refused(path, what, hint)
  return errors.new("db", ("the queue %s %s"):format(texts.word(path), what), { hint = hint })
end

--- Its version; 0: there are no tables yet; nil and an error.
local function version_of(db, path)
  local found, err = db:query "SELECT count(*) FILTER (WHERE name='about'),count(*) FROM sqlite_schema WHERE type='table'"
  if not found then return nil, err end
  if found.rows[1][2] == 0 then return 0 end
  local version
  if found.rows[1][1] == 1 then
    found, err = db:query "SELECT max(version) FROM about"
    if not found then return nil, err end
    version = found.rows[1][1]
  end
  if math.type(version) ~= "integer" or version < 1 then
    return nil, refused(path, "is another database: it holds no streams", "name another file: local:PATH")
  end
  if version > M.VERSION then
    return nil, refused(path, ("was written by a newer stoke: its tables are of version %d, this one knows up to %d")
      :format(version, M.VERSION), "use that stoke, or another file: local:PATH")
  end
  return version
end

--- Bring an older file to this version, unless another process does.
local function bring(db)
  local tx <close>, err = db:begin()
  if not tx then return nil, err end
  local found
  found, err = tx:run "SELECT version FROM about"
  for version = found and found.rows[1][1] or M.VERSION, M.VERSION - 1 do
    for _, sql in ipairs(NEXT[version]) do
      if not err then found, err = tx:run(sql) end
    end
  end
  if not found or err then return nil, err end
  return tx:commit()
end

--- What the disk says, in words.
---@param path string
---@param err stoke.error
---@return stoke.error
function M.explain(path, err)
  if err.kind ~= "db" or err.message:find("the queue ", 1, true) == 1 then return err end
  local code = tostring(rawget(err, "code") or "")
  local what, hint = err.message, nil
  if code:find "^SQLITE_FULL" then
    what, hint = "cannot be written: the disk is full", "free some space, or name another file: local:PATH"
  elseif code:find "^SQLITE_NOTADB" or code:find "^SQLITE_CORRUPT" then
    what = "is damaged, or no queue of stoke's"
    hint = "`sqlite3 FILE .recover` saves what can be read; name another file: local:PATH"
  elseif code:find "^SQLITE_BUSY" then
    what, hint = "is locked by another program", "end that program, or wait"
  elseif code:find "^SQLITE_CANTOPEN" or code:find "^SQLITE_READONLY" or code:find "^SQLITE_PERM" then
    what, hint = "cannot be opened for writing", "give this user the right to write the file and its folder"
  end
  return errors.new("db", ("the queue %s %s"):format(texts.word(path), what),
    { hint = hint, code = rawget(err, "code"), cause = err, retryable = rawget(err, "retryable") })
end

--- Open a file, and make what is not there.
---@param path string ":memory:" too
---@return userdata|nil db
---@return stoke.error|nil err
function M.open(path)
  local folder = path:match "^(.*[^/])/+[^/]*$"
  if folder then
    local made, failed = opening.make_folder(folder)
    if not made then return nil, refused(path, "has no folder, and it cannot be made: " .. failed.message) end
  end
  local db, err = engine.open(path, { host = true, busy = 10, limit = 256 << 20 })
  if not db then return nil, M.explain(path, err) end
  local version, done
  version, err = version_of(db, path)
  if version == 0 then
    done, err = disk.make(db, "about", TABLES)
  elseif version and version < M.VERSION then
    done, err = bring(db)
  else
    done = version
  end
  if done then return db end
  db:close()
  return nil, M.explain(path, err)
end

return M
