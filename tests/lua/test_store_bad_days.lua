-- What can go wrong with the host's own file: each is one clear error, and nothing that was acknowledged is lost.

local test = require "stoke.test"
local about = require "core.about"
local engine = require "host.store"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stored = require "stored"
local stores = require "core.store"

local ok = stored.ok

-- A store with one run of so many records, closed.
local function make(path, records)
  local store, _, log = stored.run(path)
  for i = 1, records or 0 do stored.record(log, i, stored.value { text = ("answer %d "):format(i):rep(40) }) end
  if records then ok(log:barrier()) end
  store:close()
end

local function fails(path, options)
  local store, err = stores.open(path, options)
  if store then store:close() end
  return err
end

test("the folder is made with the file, and nobody else may read it", function(t)
  local path = t.tmp() .. "/a/.stoke/state.db"
  make(path, 1)
  t.eq({ fs.stat(path).mode & 511, fs.stat(path:match "^(.*)/").mode & 511 }, { 384, 448 })
end)

test("a store that is only looked for is not made", function(t)
  local path = t.tmp() .. "/none/state.db"
  t.eq({ fails(path, { create = false }).kind, fs.stat(path:match "^(.*)/") }, { "db" })
end)

test("a newer schema is refused politely, and stays as it is", function(t)
  local path = t.tmp() .. "/state.db"
  make(path, 3)
  local db = ok(engine.open(path))
  ok(db:write "INSERT INTO migrations VALUES (7, 1767225600.0, '9.9')")
  ok(db:write "DROP TABLE deliveries")
  db:close()
  local before = fs.read(path)
  local err = fails(path)
  t.eq({ err.kind, err.version }, { "db", 7 })
  t.contains(err.message, "was written by a newer stoke: its tables are of version 7, this one (" .. about.version
    .. ") knows up to 4")
  t.contains(err.hint, "--store")
  t.eq(fails(path, { readonly = true }).version, 7)
  t.eq(fs.read(path) == before, true)
end)

test("the database of another program is left alone", function(t)
  local path = t.tmp() .. "/other.db"
  local db = ok(engine.open(path))
  ok(db:write "CREATE TABLE theirs (a)")
  db:close()
  local before = fs.read(path)
  local err = fails(path)
  t.eq(err.kind, "db")
  t.contains(err.message .. err.hint, "no store")
  t.eq(fs.read(path) == before, true)
end)

test("a file that is no database is told, and left alone", function(t)
  local path = t.tmp() .. "/state.db"
  fs.write(path, ("not a database\n"):rep(500))
  local err = fails(path)
  t.eq(err.kind, "db")
  t.contains(err.message, ('the store "%s" is no store of stoke\'s, or damaged at its beginning'):format(path))
  t.eq(fs.read(path), ("not a database\n"):rep(500))
end)

test("a damaged page is one error, with how to save the rest", function(t)
  local path = t.tmp() .. "/state.db"
  make(path, 200)
  local bytes, size = fs.read(path), 4096
  local damaged = { bytes:sub(1, 10 * size) }
  for i = 10, #bytes // size - 1 do damaged[#damaged + 1] = i % 2 == 0 and ("\xA5"):rep(size) or bytes:sub(i * size + 1,
    (i + 1) * size) end
  fs.write(path, table.concat(damaged))
  local store, err = stores.open(path)
  if store then
    local _ <close> = stored.closing(store)
    local run
    run, err = store:find "r1"
    if run then err = select(2, store:load(run)) end
    local problems, failed = store:check()
    t.ok(failed or #problems > 0, "the check sees it")
  end
  t.eq({ err.kind, err.code:match "^SQLITE_CORRUPT" }, { "db", "SQLITE_CORRUPT" })
  t.contains(err.message, "is damaged")
  t.contains(err.hint, "stoke doctor")
end)

test("a value, a long text, a piece or a result that became another one is told, and not given", function(t)
  local path = t.tmp() .. "/state.db"
  local store, run, log = stored.run(path)
  stored.record(log, 1, stored.value { text = "short 1" })
  stored.record(log, 2, stored.value { text = ("long "):rep(100) })
  local row = stored.row(3)
  log:row(row)
  row.outcome, row.seen = { items = { { value = "piece 3", inline = true } }, about = {}, facts = { attempts = 1 } }, 3
  log:outcome(row)
  log:item(row, 1)
  log:finish("done", "result 4")
  ok(log:barrier())
  local id = run.id
  store:close()
  local whole = fs.read(path)
  local changes = { ["short 1"] = "short 2", ["long long"] = "long lung", ["piece 3"] = "piece 2", ["result 4"] = "result 5" }
  for from, to in next, changes do
    fs.write(path, (whole:gsub(from, to, 1)))
    store = stored.open(path)
    local found, err = store:find(id)
    if found then found, err = store:load(found) end
    store:close()
    t.eq({ from, found, err and err.code }, { from, nil, "SQLITE_CORRUPT" })
    t.match(err.message, "is damaged: .* is not as it was written")
  end
end)

test("a text in the file that says nothing is an error of kind db, not a wrong value", function(t)
  local path = t.tmp() .. "/state.db"
  make(path, 3)
  for _, damage in ipairs { "UPDATE records SET value='{\"text\":' WHERE number=2",
    "UPDATE records SET value='{\"$text\":\"nowhere\"}'",
    "DELETE FROM records WHERE number=2", "UPDATE records SET facts='{\"$bytes\":7}' WHERE number=1" } do
    local db = ok(engine.open(path))
    ok(db:write(damage))
    db:close()
    local store = stored.open(path)
    local parts, err = store:load(ok(store:find "r1"))
    store:close()
    t.eq({ parts, err.kind, err.code }, { nil, "db", "SQLITE_CORRUPT" })
  end
end)

test("a folder that cannot be written is told with its reason", function(t)
  if require("stoke.env").get "USER" == "root" or proc.run({ argv = { "id", "-u" } }).stdout == "0\n" then
    local err = fails "/proc/stoke/state.db" -- nobody may make a folder there
    t.eq(err.kind, "db")
    t.contains(err.message, 'the store "/proc/stoke/state.db" has no folder, and it cannot be made')
    t.contains(err.hint, "--store PATH")
    return
  end
  local folder = t.tmp()
  fs.mkdir(folder .. "/closed")
  fs.chmod(folder .. "/closed", 320)
  local err = fails(folder .. "/closed/.stoke/state.db")
  fs.chmod(folder .. "/closed", 448)
  t.eq(err.kind, "db")
  t.contains(err.hint, "--store PATH")
end)

test("a store that another program has locked is told after a wait", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  make(path)
  local db = ok(engine.open(path))
  ok(db:query "SELECT 1")
  local store = stored.open(path)
  local holder = ok(db:begin())
  ok(holder:run "CREATE TABLE theirs (a)")
  local quick = ok(engine.open(path, { busy = 0 }))
  local _, err = quick:write "DELETE FROM signals"
  holder:rollback()
  quick:close()
  db:close()
  t.eq(err.code:match "^SQLITE_BUSY", "SQLITE_BUSY")
  local told = store:failed(err)
  t.contains(told.message, ('the store "%s" is locked by another program'):format(path))
  store:close()
end)

test("a full disk stops the log of a run, which goes on with a new one when there is room", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  make(path)
  engine.fault { full = 6, times = 2 }
  local store = stored.open(path)
  local run = ok(store:find "r1")
  local log = ok(store:log(run))
  local acknowledged, failed = 0, nil
  for i = 1, 50 do
    stored.record(log, i, stored.value { text = ("answer %d "):format(i):rep(200) })
    local done, err = log:commit()
    if not done then
      failed = err
      break
    end
    acknowledged = i
  end
  engine.fault()
  t.eq({ failed and failed.kind, failed and failed.code }, { "db", "SQLITE_FULL" })
  t.eq(log:failure().code, "SQLITE_FULL")
  local rows = ok(store:load(run)).rows
  t.eq(#rows, acknowledged)
  local again = ok(store:log(run))
  stored.record(again, acknowledged + 1, stored.value "room")
  ok(again:barrier())
  t.eq({ #ok(store:load(run)).rows, again:failure() }, { acknowledged + 1 })
  store:close()
end)

test("a store that others can read is told of, with the command that mends it", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  make(path)
  local function told() return proc.run({ argv = { about.executable(), "runs", "--store", path } }).stderr end
  t.eq(told(), "")
  proc.run { argv = { "chmod", "644", path } }
  t.match(told(), "^stoke: others on this machine can read the store .*; chmod 600 ")
end)

test("one process at a time owns a run; another is told, and gets it when that one ends", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  make(path)
  local child <close> = stored.child(t, path, [[
    assert(store:claim(assert(store:find "r1")))
    say "claimed"
    require "stoke".sleep(100)]])
  child.wait "claimed"
  local store = stored.open(path)
  local run = ok(store:find "r1")
  t.eq({ store:claim(run) }, { false, "another process" })
  child.kill()
  t.eq({ store:claim(run) }, { true })
  t.eq({ store:claim(run) }, { false, "this process" })
  store:release(run)
  t.eq({ store:claim(run) }, { true })
  store:close()
end)

test("two processes write to one store, and each sees what the other wrote", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  local store = stored.open(path)
  local child <close> = stored.child(t, path, [[
    for i = 1, 50 do
      local run = assert(store:create { id = "theirs " .. i, workflow = "w" })
      local log = assert(store:log(run))
      record(log, 1, { value = ("text %d "):format(i):rep(50), facts = { attempts = 1 } })
      log:finish("done", i)
      assert(log:commit())
    end
    assert(store:signal("mine 1", "hello", 7))
    say "done"
    require "stoke".sleep(100)]], "mine 1")
  local version = ok(store:changed())
  for i = 2, 50 do
    local log = ok(store:log(ok(store:create { id = "mine " .. i, workflow = "w" })))
    stored.record(log, 1, stored.value(("text %d "):format(i):rep(50)))
    ok(log:commit())
  end
  child.wait "done"
  t.ne(ok(store:changed()), version)
  t.eq({ #ok(store:list { prefix = "theirs" }), #ok(store:list { prefix = "mine" }) }, { 50, 50 })
  t.eq(ok(store:signals(ok(store:find "mine 1")))[1].value, 7)
  t.eq(ok(store:load(ok(store:find "theirs 7"))).rows[1].outcome.value, ("text 7 "):rep(50))
  t.eq(ok(store:check()), {})
  store:close()
end)

-- A process that writes records until something kills it; what it was told is kept is in a file.
local WRITER = [[
  local run = assert(store:find "r1")
  local log = assert(store:log(run))
  for i = 1, 100000 do
    record(log, i, { value = { text = ("answer %d "):format(i):rep(30) }, facts = { attempts = 1 } })
    log:deliveries(("%06d"):format(i))
    log:flush()
    if i % 3 == 0 then
      assert(log:commit())
      say(i)
    end
  end]]

local function survived(t, path, acknowledged)
  local store = stored.open(path)
  local parts = ok(store:load(ok(store:find "r1")))
  t.ok(#parts.rows >= acknowledged, ("%d records of %d acknowledged ones"):format(#parts.rows, acknowledged))
  t.eq(#parts.deliveries, 6 * #parts.rows)
  for i, row in ipairs(parts.rows) do t.eq(row.outcome.value.text, ("answer %d "):format(i):rep(30)) end
  t.eq(ok(store:check()), {})
  store:close()
end

for _, point in ipairs { "in-append:7", "before-commit:5", "after-commit-before-ack:5", "after-commit-before-ack:30" } do
  test("killed at " .. point .. ": what was acknowledged is there, batches are whole", { real = true }, function(t)
    local path = t.tmp() .. "/state.db"
    make(path)
    local child <close> = stored.child(t, path, WRITER, nil, point)
    child.ended()
    survived(t, path, tonumber(child.last() or 0))
  end)
end

test("killed at any moment: what was acknowledged is there, batches are whole", { real = true }, function(t)
  for round = 1, 3 do
    local path = ("%s/state%d.db"):format(t.tmp(), round)
    make(path)
    local child <close> = stored.child(t, path, WRITER)
    child.wait(tostring(30 * round))
    child.kill()
    survived(t, path, tonumber(child.last()))
  end
end)
