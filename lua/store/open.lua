--- Opening the host's own file: where it is, its tables, and what is wrong with it, each in one error.

local about = require "core.about"
local engine = require "host.store"
local errors = require "core.errors"
local fs = require "host.fs"
local place = require "core.store.place"
local schema = require "core.store.schema"
local scopes = require "core.scope"
local texts = require "core.text"
local wall = require "host.time".wall

local M = {}

local PRIVATE <const> = 448 -- rwx------
local OTHERS <const> = 54 -- rw-rw-, of the group and of others

M.path = place.path

local function make_folder(path)
  local ok, err = fs.mkdir(path, PRIVATE)
  if ok or err.code == fs.EEXIST then return true end
  local up = path:match "^(.*[^/])/+[^/]+/*$"
  if err.code ~= fs.ENOENT or not up then return nil, err end
  local made, failed = make_folder(up)
  if not made then return nil, failed end
  return fs.mkdir(path, PRIVATE)
end

--- Make a folder that only this user can read, and those above it that are not there.
---@param path string
---@return boolean|nil ok
---@return stoke.error|nil err
M.make_folder = make_folder

--- Bytes that are read at once, at most: more than the longest text that host.plain writes, so that what was kept can be read.
local LONGEST <const> = 600 * 1024 * 1024

local ELSEWHERE <const> = "or name another file: --store PATH"

local function trouble(path, what, hint, err)
  return errors.new("db", ('the store "%s" %s'):format(path, what), { code = err and err.code, hint = hint, cause = err })
end

local HINTS = {
  { "NOTADB", "is no store of stoke's, or damaged at its beginning", "move it away; " .. ELSEWHERE },
  { "CORRUPT", "is damaged", "stoke doctor says where; `sqlite3 FILE .recover` saves what can be read; " .. ELSEWHERE },
  { "BUSY", "is locked by another program", "end that program, or wait; " .. ELSEWHERE },
  { "LOCKED", "is locked by another program", "end that program, or wait; " .. ELSEWHERE },
  { "READONLY", "cannot be written", "give this user the right to write the file and its folder; " .. ELSEWHERE },
  { "CANTOPEN", "cannot be opened", "give this user the right to write the folder; " .. ELSEWHERE },
  { "PERM", "cannot be opened", "give this user the right to write the folder; " .. ELSEWHERE },
  { "FULL", "cannot be written: the disk is full", "free some space; " .. ELSEWHERE },
  { "ERROR", "is damaged, or its tables are others than this stoke knows",
    "stoke doctor says where; `sqlite3 FILE .recover` saves what can be read; " .. ELSEWHERE },
  { "IOERR", "cannot be read or written", "look at the disk (dmesg); " .. ELSEWHERE },
}

--- What the engine says, in the words of the store.
---@param path string
---@param err stoke.error
---@return stoke.error
function M.explain(path, err)
  if err.kind ~= "db" or err.message:find('the store "', 1, true) == 1 then return err end
  local code = tostring(rawget(err, "code") or "")
  for _, entry in ipairs(HINTS) do
    if code:find("SQLITE_" .. entry[1], 1, true) == 1 then return trouble(path, entry[2], entry[3], err) end
  end
  return err
end

-- ---- tables -------------------------------------------------------------------------------------------------------------------

local HAS = "SELECT count(*) FROM sqlite_schema WHERE type='table' AND name='migrations'"
local VERSION = "SELECT coalesce(max(version),0) FROM migrations"

--- The version of the tables; ask: runs a query.
local function version_of(ask)
  local found, err = ask(HAS)
  if found and found.rows[1][1] > 0 then found, err = ask(VERSION) end
  if not found then return nil, err end
  local version = found.rows[1][1]
  if math.type(version) == "integer" and version >= 0 then return version end
  return nil, errors.new("db", "its tables have no version", { code = "SQLITE_CORRUPT" })
end

local function version_in(db)
  return version_of(function(sql) return db:query(sql) end)
end

local function newer(path, version)
  return errors.new("db",
    ('the store "%s" was written by a newer stoke: its tables are of version %d, this one (%s) knows up to %d')
    :format(path, version, about.version, schema.VERSION),
    { hint = "use that stoke, or another file: --store PATH", code = "SQLITE_SCHEMA", version = version })
end

--- From one version to the next, all in one transaction; another process may have been faster.
local function migrate(db, path)
  local tx, err = db:begin()
  if not tx then return nil, err end
  local function run(sql, params) return tx:run(sql, params) end
  local version, _
  version, err = version_of(run)
  if version and version > schema.VERSION then version, err = nil, newer(path, version) end
  while not err and version < schema.VERSION do
    version = version + 1
    for _, sql in ipairs(schema.steps[version]) do
      _, err = run(sql)
      if err then break end
    end
    if not err then _, err = run("INSERT INTO migrations VALUES (?,?,?)", { version, wall(), about.version }) end
  end
  if not err then return tx:commit() end
  tx:rollback()
  return nil, err
end

local function prepared(db, path)
  local version, err = version_in(db)
  if not version then return nil, err end
  if version > schema.VERSION then return nil, newer(path, version) end
  if version < schema.VERSION then return migrate(db, path) end
  return true
end

--- The file of before may be one that others can read: a store holds what people said to models.
local function warn_of_readers(path)
  local stat = fs.stat(path)
  if not stat or stat.type ~= "file" or stat.mode & OTHERS == 0 then return end
  scopes.tell(("others on this machine can read the store \"%s\"; chmod 600 %s"):format(path, texts.word(path)))
end

--- Open a file, and make what is not there.
---@param path string ":memory:" too
---@param options? { readonly?: boolean, create?: boolean }
---@return userdata|nil db
---@return stoke.error|nil err kind `db`, with what is wrong and how to mend it
function M.open(path, options)
  local memory, create = path == ":memory:", not options or options.create ~= false
  local readonly = options and options.readonly or false
  local folder = path:match "^(.*[^/])/+[^/]*$"
  if create and not memory and not readonly and folder then
    local ok, err = make_folder(folder)
    if not ok then
      return nil, errors.new("db", ('the store "%s" has no folder, and it cannot be made: %s'):format(path, err.message),
        { hint = "make it, and let this user write there; " .. ELSEWHERE, cause = err })
    end
  end
  local db, err = engine.open(path, { host = true, create = create, readonly = readonly, limit = LONGEST })
  if not db then return nil, M.explain(path, err) end
  local ok
  if readonly then
    local version
    version, err = version_in(db)
    ok = version ~= nil and version <= schema.VERSION
    if version and not ok then err = newer(path, version) end
  else
    ok, err = prepared(db, path)
  end
  if ok then
    if not memory then warn_of_readers(path) end
    return db
  end
  db:close()
  return nil, M.explain(path, err)
end

return M
