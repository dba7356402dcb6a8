--- The schema of the PostgreSQL engine: made where it is not there, brought to this version where it is older, refused where it is
--- newer. Many processes may come at once: an advisory lock lets one of them do it.

local errors = require "core.errors"
local functions = require "core.engine.postgres.functions"
local tables = require "core.engine.postgres.tables"

local M = {}

--- Of the lock while tables are made: "stok" as a number.
local LOCK <const> = 1937010539
--- Servers before it lack what the functions use.
local OLDEST <const> = 120000
--- Statements of one job at most (host.pg).
local TOGETHER <const> = 60

local function refused(message, hint) return nil, errors.new("db", message, { hint = hint }) end

--- Read from the catalog itself: to_regclass may remember that there was none before another made it.
local IS_THERE <const> = [[SELECT EXISTS (SELECT 1 FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'stoke' AND c.relname = 'about')]]

--- The version of the schema; 0: it is not there.
local function version_of(conn)
  local found, err = conn:run({ { IS_THERE } }, true)
  if not found then return nil, err end
  if not found[1][1][1] then return 0 end
  found, err = conn:run({ { "SELECT version FROM stoke.about" } }, true)
  if not found then return nil, err end
  return found[1][1] and found[1][1][1] or 0
end

local function all(conn, list)
  for from = 1, #list, TOGETHER do
    local job = {}
    for i = from, math.min(#list, from + TOGETHER - 1) do job[#job + 1] = { list[i] } end
    local done, err = conn:run(job, true)
    if not done then return nil, err end
  end
  return true
end

--- What makes this version of another; 0: of none.
local function statements(version)
  local list = {}
  local function add(more) table.move(more, 1, #more, #list + 1, list) end
  if version == 0 then
    add(tables.FIRST)
    add { "INSERT INTO stoke.about (version) VALUES (" .. tables.VERSION .. ")" }
  end
  for old = math.max(version, 1), version == 0 and 0 or tables.VERSION - 1 do add(tables.NEXT[old]) end
  add(functions)
  add { "UPDATE stoke.about SET version = " .. tables.VERSION }
  return list
end

--- Make it. Of a connection where this fails the transaction is open: it is closed.
local function make(conn)
  local ok, err = conn:run({ { "BEGIN" }, { ("SELECT pg_advisory_xact_lock(%d, 0)"):format(LOCK) } }, true)
  if not ok then return nil, err end
  local version
  version, err = version_of(conn)
  if not version then return nil, err end
  if version < tables.VERSION then
    ok, err = all(conn, statements(version))
    if not ok then return nil, err end
  end
  return conn:run({ { "COMMIT" } }, true)
end

local function explain(err)
  if rawget(err, "sqlstate") ~= "42501" then return err end
  return errors.new("auth", err.message, { hint = "let the owner of the database use it once, or: GRANT CREATE ON DATABASE NAME \z
    TO USER", sqlstate = "42501" })
end

--- See that the schema is there, and is one that this program knows.
---@param conn userdata of host.pg
---@return boolean|nil ok
---@return stoke.error|nil err
function M.check(conn)
  local _, server = conn:about()
  if server < OLDEST then
    return refused(("the server is PostgreSQL %d.%d"):format(server // 10000, server % 10000), "12 is the oldest that will do")
  end
  local version, err = version_of(conn)
  if version and version < tables.VERSION then
    local made
    made, err = make(conn)
    if not made then return nil, explain(err) end
    version = tables.VERSION
  end
  if not version then return nil, explain(err) end
  if version > tables.VERSION then
    return refused(("its schema stoke was made by a newer stoke: it is of version %d, this one knows up to %d"):format(version,
      tables.VERSION), "use that stoke, or another database")
  end
  return true
end

return M
