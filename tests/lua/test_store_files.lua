-- Databases under the core, host.store: files that are locked, damaged, full or somebody else's, and processes that are killed.

local test = require "stoke.test"
local binary = require "binary"
local databases = require "databases"
local fs = require "stoke.fs"
local store = require "host.store"
local stoke = require "stoke"

local code_of, fresh, one, open = databases.code_of, databases.fresh, databases.one, databases.open

-- ---- files ----------------------------------------------------------------------------------------------------------

test("a file that cannot be opened is told with its path and a way out", function(t)
  local dir = t.tmp()
  local function fails(path, options, code)
    local _, err = store.open(path, options)
    t.eq(err.kind, "db")
    t.eq(err.code, code)
    t.match(err.message, dir:gsub("%p", "%%%0"))
    t.ok(err.hint, "a hint")
  end
  fails(dir, nil, "SQLITE_CANTOPEN")
  fails(dir .. "/none/x.db", nil, "SQLITE_CANTOPEN")
  fails(dir .. "/x.db", { create = false }, "SQLITE_CANTOPEN")
  fails(dir .. "/x.db", { readonly = true }, "SQLITE_CANTOPEN")
  fs.write(dir .. "/text", ("this is no database\n"):rep(100))
  fails(dir .. "/text", nil, "SQLITE_NOTADB")
  fails(dir .. "/text", { host = true }, "SQLITE_NOTADB")
  t.eq(fs.read(dir .. "/text"), ("this is no database\n"):rep(100), "it is left as it was")
end)

test("a database that is opened to read is not written", function(t)
  local path = t.tmp() .. "/x.db"
  local db = open(path)
  assert(db:write "CREATE TABLE t(n)")
  assert(db:close())
  local reader = open(path, { readonly = true })
  t.eq(one(reader, "SELECT count(*) FROM t"), 0)
  t.eq(code_of(reader:write "INSERT INTO t VALUES(1)"), "SQLITE_READONLY")
  assert(reader:close())
end)

test("the host's own file is private, marked as ours, and never somebody else's", function(t)
  local dir = t.tmp()
  local db = open(dir .. "/state.db", { host = true })
  assert(db:write "CREATE TABLE u(n INTEGER) STRICT")
  t.eq(fs.stat(dir .. "/state.db").mode & 511, 384, "0600")
  t.eq(fs.stat(dir .. "/state.db-wal").mode & 511, 384)
  t.eq(one(db, "PRAGMA application_id"), 0x73746f6b)
  assert(db:close())
  assert(open(dir .. "/state.db", { host = true }):close())
  local other = open(dir .. "/other.db")
  assert(other:write "CREATE TABLE t(n)")
  assert(other:close())
  t.match(select(2, store.open(dir .. "/other.db", { host = true })).message, "another program")
end)

test("a damaged file is told, and other files go on", function(t)
  local dir = t.tmp()
  local db = open(dir .. "/x.db")
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
  for i = 1, 200 do assert(db:append { { "INSERT INTO t VALUES(?, hex(zeroblob(200)))", i } }:wait()) end
  assert(db:close())
  local bytes = fs.read(dir .. "/x.db")
  fs.write(dir .. "/x.db", bytes:sub(1, 8192) .. ("\xff"):rep(#bytes - 8192))
  db = open(dir .. "/x.db")
  local _, err = db:query "SELECT sum(length(v)) FROM t"
  t.match(err.code, "^SQLITE_CORRUPT")
  t.match(err.hint, "backup")
  t.ne(assert(db:check())[1], "ok")
  assert(db:close())
end)

test("a full disk is told, loses nothing that was acknowledged, and is no end", function(t)
  store.fault {}
  local db <close> = fresh(t)
  assert(db:write "INSERT INTO t VALUES(1, 1)")
  store.fault { full = 1 }
  t.eq(code_of(db:write "INSERT INTO t VALUES(2, 2)"), "SQLITE_FULL")
  t.eq(code_of(db:append({ { "INSERT INTO t VALUES(3, 3)" } }):wait()), "SQLITE_FULL")
  local tx = assert(db:begin())
  assert(tx:run "INSERT INTO t VALUES(4, 4)")
  t.eq(code_of(tx:commit()), "SQLITE_FULL")
  store.fault {}
  assert(db:write "INSERT INTO t VALUES(5, 5)")
  t.eq(assert(db:query "SELECT n FROM t").rows, { { 1 }, { 5 } })
  store.fault()
end)

test("a backup is whole, and there is none when it fails", function(t)
  local dir = t.tmp()
  for _, path in ipairs { ":memory:", dir .. "/x.db" } do
    local db = open(path)
    assert(db:write "CREATE TABLE t(n)")
    assert(db:write "INSERT INTO t VALUES(1), (2)")
    assert(db:backup(dir .. "/copy.db"))
    local copy = open(dir .. "/copy.db")
    t.eq(one(copy, "SELECT sum(n) FROM t"), 3)
    assert(copy:close())
    t.eq(code_of(db:backup(dir .. "/none/copy.db")), "SQLITE_CANTOPEN")
    t.eq(db:check(), { "ok" })
    assert(db:close())
  end
end)

test("a backup is told to fail where its folder is not on the disk", function(t)
  local dir = t.tmp()
  local db = open(dir .. "/x.db")
  assert(db:write "CREATE TABLE t(n)")
  store.fault { folder = 1 }
  local _, err = db:backup(dir .. "/copy.db")
  store.fault()
  t.eq({ err.code, err.message:match "power cut" }, { "SQLITE_IOERR_DIR_FSYNC", "power cut" })
  t.eq(db:backup(dir .. "/copy.db"), true)
  assert(db:close())
end)

test("a backup and a query that a close ends say that, and are not cancelled", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  local db = open(path)
  assert(db:write "CREATE TABLE t(v)")
  assert(db:write("WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 5000) "
    .. "INSERT INTO t SELECT zeroblob(4000) FROM c"))
  local scope <close> = stoke.scope()
  local task = scope:spawn(function() return { db:backup(path .. ".copy") } end)
  stoke.sleep(0.002)
  assert(db:close())
  local done = task:await()
  if not done[1] then t.eq({ done[2].kind, done[2].message:match "was closed" }, { "db", "was closed" }) end
  t.eq(fs.stat(path .. ".copy") ~= nil, done[1] == true)
end)

test("a log that a reader keeps from being copied to the file is told of, and whose reader that is", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  local db, other = open(path, { durable = false }), open(path)
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
  assert(db:write "INSERT INTO t VALUES(1, 1), (2, 2)")
  local function grow()
    for _ = 1, 40 do assert(db:write("REPLACE INTO t VALUES(3, zeroblob(2000000))")) end
  end
  local cursor = assert(db:each "SELECT n FROM t")
  assert(cursor:next(1))
  grow()
  local bytes, own = db:stuck()
  t.eq({ bytes > 64000000, own }, { true, true })
  cursor:close()
  cursor = assert(other:each "SELECT n FROM t")
  assert(cursor:next(1))
  grow()
  t.eq(select(2, db:stuck()), false)
  cursor:close()
  grow()
  t.eq(db:stuck(), nil)
  assert(db:close())
  assert(other:close())
end)

test("version changes when somebody else writes, and only then", function(t)
  local path = t.tmp() .. "/x.db"
  local a, b = open(path), open(path)
  assert(a:write "CREATE TABLE t(n)")
  local before = assert(b:version())
  t.eq(b:version(), before)
  assert(b:write "INSERT INTO t VALUES(1)")
  t.eq(b:version(), before, "its own writes do not count")
  assert(a:write "INSERT INTO t VALUES(2)")
  t.ok(b:version() ~= before)
  assert(a:close())
  assert(b:close())
end)

test("a file that another holds locked is told when the time is up", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  local a, b = open(path), open(path, { busy = 0.02 })
  assert(a:write "CREATE TABLE t(n)")
  local tx = assert(a:begin())
  local _, err = b:write "INSERT INTO t VALUES(1)"
  t.eq(err.code, "SQLITE_BUSY")
  t.eq(err.retryable, true)
  t.match(err.message, "locked by another program")
  assert(tx:rollback())
  assert(b:write "INSERT INTO t VALUES(1)")
  assert(a:close())
  assert(b:close())
end)

-- ---- processes ------------------------------------------------------------------------------------------------------

-- Appends 1, 2, 3 ... and says each number that was acknowledged.
local WRITER = [[
local store = require "host.store"
local stoke = require "stoke"
require "stoke.test"("child", { real = true }, function()
  local db = assert(store.open "x.db")
  assert(db:write "CREATE TABLE IF NOT EXISTS t(n INTEGER PRIMARY KEY, v)")
  for i = 1, 1000 do
    local batch = {}
    for k = 1, 3 do batch[k] = { "INSERT INTO t VALUES(?, hex(zeroblob(1000)))", 3 * (i - 1) + k } end
    assert(db:append(batch, i % 2 == 0):wait())
    require "stoke.fs".write("acknowledged", i .. "\n", { append = true })
  end
end)]]

for _, point in ipairs { "in-append:40", "before-commit:30", "after-commit-before-ack:20", "checkpoint:1" } do
  test("killed at " .. point .. ", a process loses nothing acknowledged and leaves whole batches", { real = true }, function(t)
    local here <close> = binary.place { ["test_child.lua"] = WRITER }
    here.env.STOKE_FAULT = point
    local r = here.run("test", "--internal", "test_child.lua")
    t.ok(r.code ~= 0, "it was killed")
    local acknowledged = 0
    for _ in (fs.stat(here.path .. "/acknowledged") and fs.read(here.path .. "/acknowledged") or ""):gmatch "\n" do
      acknowledged = acknowledged + 1
    end
    local db = open(here.path .. "/x.db")
    local rows = one(db, "SELECT count(*) FROM t")
    t.eq(db:check(), { "ok" })
    t.eq(rows % 3, 0, "whole batches")
    t.ok(rows // 3 - acknowledged <= 1 and rows // 3 >= acknowledged, rows .. " rows, " .. acknowledged .. " acknowledged")
    t.ok(acknowledged > 5 and acknowledged < 1000 or point == "checkpoint:1", acknowledged .. " acknowledged")
    assert(db:close())
  end)
end

test("a lock is one process's at a time, and ends with it", { real = true, timeout = 60 }, function(t)
  local here <close> = binary.place { ["test_child.lua"] = [[
    local store = require "host.store"
    require "stoke.test"("child", function(t)
      t.eq(store.lock("locks", 7), nil)
      t.ok(store.lock("locks", 8), "another number")
    end)]] }
  local lock = assert(store.lock(here.path .. "/locks", 7))
  t.eq(store.lock(here.path .. "/locks", 7), nil, "not twice in one process")
  local r = here.run("test", "--internal", "test_child.lua")
  t.eq(r.code, 0, r.stdout .. r.stderr)
  t.ok(store.lock(here.path .. "/locks", 8), "the child's end freed it")
  lock:free()
  t.ok(store.lock(here.path .. "/locks", 7))
end)
