-- stoke.db on bad days: cancelled, late, full, locked by others, killed.

local about = require "core.about"
local host = require "host.store"
local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

local ENDLESS <const> = "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) as c from n"

test("a statement that never ends is ended by a deadline", { real = true }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  t.raises("timeout", stoke.timeout, 0.05, open.query, open, ENDLESS)
  t.eq(open:one "select 1 as x", { x = 1 })
end)

test("a write that never ends is ended by a cancellation, and leaves nothing", { real = true }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x)"
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function()
    open:exec "insert into a with recursive n(i) as (select 1 union all select i + 1 from n) select i from n"
  end)
  stoke.sleep(0.05)
  task:cancel()
  stoke.try(task.await, task)
  open:exec "insert into a values (1)"
  t.eq(open:query "select x from a", { { x = 1 } })
end)

test("a deadline inside a transaction that catches it: SQLite has taken it back, and it says so", { real = true }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x)"
  local err = t.raises("db", open.transaction, open, function(tx)
    tx:exec "insert into a values (1)"
    stoke.try(stoke.timeout, 0.05, tx.exec, tx,
      "insert into a with recursive n(i) as (select 1 union all select i + 1 from n) select i from n")
    tx:exec "insert into a values (2)"
  end)
  t.eq(err.code, "SQLITE_ABORT_ROLLBACK")
  t.eq(open:query "select x from a", {})
end)

test("closing a database ends what is asked of it", { real = true }, function(t)
  local open = db.open(t.tmp() .. "/x.db")
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() return select(2, stoke.try(open.query, open, ENDLESS)) end)
  stoke.sleep(0.05)
  open:close()
  local err = task:await()
  t.eq(err.kind, "db")
  t.match(err.message, "closed")
end)

test("a test fails on a database that it leaves open, and says where it is", { programs = true }, function(t)
  local folder = t.tmp()
  stoke.fs.write(folder .. "/left_test.lua", [[
    local test = require "stoke.test"
    local stoke = require "stoke"
    test("leaves one open", function() stoke.db.open ":memory:" end)
  ]])
  local r = stoke.proc.run { argv = { about.executable(), "test", "left_test.lua" }, cwd = folder }
  t.eq(r.code, 1)
  t.match(r.stdout .. r.stderr, "an open db.open")
end)

test("a file that may not grow is an error with what to do, and nothing of the statement is there", function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x); pragma max_page_count = 20"
  open:exec "insert into a values (1)"
  local err = t.raises("db", open.exec, open, "insert into a values (2); insert into a values (zeroblob(200000))")
  t.eq(err.code, "SQLITE_FULL")
  t.match(err.hint, "^the disk is full")
  t.eq(open:query "select x from a", { { x = 1 } })
  open:exec "insert into a values (3)" -- what fits goes on
end)

-- A database with one table, on a file system that fails when `faults` are set, counted from then on.
local function on_failing(path)
  host.fault { full = 1 << 40 }
  local open = db.open(path)
  open:exec "create table a (x)"
  return open, setmetatable({}, { __close = function() host.fault() end })
end

test("a disk that is full takes back what was asked, says so, and goes on when there is room", function(t)
  local path = t.tmp() .. "/x.db"
  do
    local open, mended <close> = on_failing(path)
    local _ <close>, _ = open, mended
    open:exec "insert into a values (1)"
    host.fault { full = 1, times = 20 }
    local err = t.raises("db", open.exec, open, "insert into a values (2); insert into a values (3)")
    t.eq(err.code, "SQLITE_FULL")
    t.match(err.hint, "^the disk is full")
    t.raises("db", open.transaction, open, function(tx) tx:exec "insert into a values (4)" end)
    host.fault { full = 1 << 40 }
    t.eq(open:query "select x from a", { { x = 1 } })
    open:exec "insert into a values (5)"
  end
  local open <close> = db.open(path)
  t.eq(open:query "select x from a", { { x = 1 }, { x = 5 } })
end)

test("a disk that fails to write is an error of kind db, and the file is sound afterwards", function(t)
  local path = t.tmp() .. "/x.db"
  for n = 1, 12 do
    stoke.try(stoke.fs.remove, path)
    do
      local open, mended <close> = on_failing(path)
      local _ <close>, _ = open, mended
      host.fault { error = n, times = 3 }
      for i = 1, 5 do
        local _, err = stoke.try(open.transaction, open, function(tx) tx:exec("insert into a values (?)", i) end)
        t.ok(err == nil or err.kind == "db", tostring(err))
      end
    end
    local open <close> = db.open(path)
    t.eq(open:one("pragma integrity_check").integrity_check, "ok")
  end
end)

-- A program that holds the write lock until its standard input ends.
local HOLDER <const> = [[
  local stoke = require "stoke"
  local open <close> = stoke.db.open(arg[1])
  open:transaction(function(tx)
    tx:exec "insert into a values (99)"
    io.write "in\n"
    io.flush()
    local held = stoke.channel()
    held:recv()
  end)
]]

test("two processes on one file: the one that waits in vain is told, and what the killed one had begun is gone", { real = true },
  function(t)
    local folder = t.tmp()
    local open <close> = db.open(folder .. "/x.db")
    open:exec "create table a (x)"
    stoke.fs.write(folder .. "/holder.lua", HOLDER)
    local holder = stoke.proc.spawn { argv = { about.executable(), folder .. "/holder.lua", folder .. "/x.db" } }
    t.eq(holder:lines()(), "in")
    t.eq(open:query "select * from a", {}) -- readers do not wait
    t.raises("timeout", stoke.timeout, 0.1, open.exec, open, "insert into a values (1)")
    holder:kill "KILL"
    holder:wait()
    holder:close()
    open:exec "insert into a values (2)"
    t.eq(open:query "select x from a", { { x = 2 } })
  end)

test("two processes that write take turns, and nothing is lost", { real = true }, function(t)
  local folder = t.tmp()
  local open <close> = db.open(folder .. "/x.db")
  open:exec "create table a (who, n)"
  stoke.fs.write(folder .. "/writer.lua", [[
    local stoke = require "stoke"
    local open <close> = stoke.db.open(arg[1])
    for n = 1, 50 do open:exec("insert into a values (?, ?)", arg[2], n) end
  ]])
  local scope <close> = stoke.scope {}
  scope:map({ "one", "two" }, function(who)
    local r = stoke.proc.run { argv = { about.executable(), folder .. "/writer.lua", folder .. "/x.db", who } }
    t.eq(r.code, 0, r.stderr)
  end)
  t.eq(open:query "select who, count(*) as n from a group by who order by who",
    { { who = "one", n = 50 }, { who = "two", n = 50 } })
end)

test("a folder that may not be written: reading works where it can, writing says why", { real = true }, function(t)
  local folder = t.tmp()
  do
    local open <close> = db.open(folder .. "/x.db")
    open:exec "create table a (x); insert into a values (1)"
  end
  if stoke.proc.run { argv = { "id", "-u" } }.stdout == "0\n" then t.skip "root may write everywhere" end
  stoke.proc.run { argv = { "chmod", "-R", "a-w", folder } }
  local _ <close> = setmetatable({}, { __close = function() stoke.proc.run { argv = { "chmod", "-R", "u+w", folder } } end })
  local _, err = stoke.try(function()
    local open <close> = db.open(folder .. "/x.db")
    open:exec "insert into a values (2)"
  end)
  t.eq(err.kind, "db")
end)
