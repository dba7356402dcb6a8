-- stoke.db in a journalled run: recorded and replayed without the file; cut anywhere, each write is done once.

local journal = require "core.journal"
local runs = require "runs"
local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

local function keys(tape)
  local list = {}
  for i, row in ipairs(tape.rows) do list[i] = row.key:match "[^/]+$" .. " " .. row.class end
  return list
end

-- Records f, which is killed at the n-th place (or before a statement): when a row has been begun, when its work is done and its
-- outcome is not on the journal yet, when it is. What its `<close>` handlers do then is what the end of a process does to a
-- database: what is not committed is gone. Gives the journal of that moment; nil when f has come to its end.
local function killed(n, f)
  local held, count, last
  local function here(tape)
    count = count + 1
    last = tape.rows[#tape.rows]
    if type(n) == "string" then
      if not last.request or last.request.sql ~= n or held then return end
    elseif count ~= n then
      return
    end
    held = tape:snapshot()
    error "killed"
  end
  count = 0
  journal.record("run", function()
    local tape = journal.current()
    local begin, put = tape.begin, tape.put
    function tape.begin(...)
      local row = begin(...)
      here(tape)
      return row
    end
    function tape.put(...)
      here(tape)
      put(...)
      here(tape)
    end
    return f()
  end)
  return held
end

local function work(path)
  local open <close> = db.open(path)
  open:exec "create table if not exists a (x)"
  open:exec("insert into a values (?)", 1)
  local sum = open:transaction(function(tx)
    tx:exec("insert into a values (?)", 10)
    tx:transaction(function(inner) inner:exec("insert into a values (?)", 20) end)
    return tx:one("select sum(x) as s from a").s
  end)
  local seen = {}
  for row in open:each "select x from a order by x" do seen[#seen + 1] = row.x end
  return sum, seen, open:query "select count(*) as n from a"
end

local function content(path)
  local open <close> = db.open(path)
  local list = {}
  for row in open:each "select x from a order by x" do list[#list + 1] = row.x end
  return list
end

test("a run that queries and writes is replayed with the same rows, without touching the file", function(t)
  local path = t.tmp() .. "/x.db"
  local first, second, tape = runs.twice(function() return work(path) end)
  t.eq(first.err, nil)
  t.eq(second, first)
  t.eq({ first[1], first[2] }, { 31, { 1, 10, 20 } })
  t.eq(content(path), { 1, 10, 20 })
  stoke.fs.remove(path)
  t.eq(journal.replay(tape, function() return work(path) end), first)
  t.eq(stoke.fs.stat(path), nil)
end)

test("its rows are named by what they do, and only what is committed is no pure effect", function(t)
  local path = t.tmp() .. "/x.db"
  local tape = runs.record(function() return work(path) end)
  t.eq(keys(tape), { "db.open#1 idempotent", "db.write#1 unsafe", "db.write#2 unsafe", "db.begin#1 pure", "db.write#3 pure",
    "db.begin#2 pure", "db.write#4 pure", "db.commit#1 pure", "db.query#1 pure", "db.commit#2 unsafe", "db.each#1 pure",
    "db.query#2 pure" })
  t.eq(tape.rows[3].request, { db = path, sql = "insert into a values (?)", params = { 1 } })
end)

test("killed at any place and resumed, each write is there once, and the run gives what it gives undisturbed", { effects = false },
  function(t)
    local folder = t.tmp()
    local whole = runs.record(function() return work(folder .. "/whole.db") end) and select(2, runs.record(function()
      return work(folder .. "/again.db") end))
    local n = 0
    while true do
      n = n + 1
      local path = ("%s/%d.db"):format(folder, n)
      local function f() return work(path) end
      local held = killed(n, f)
      if not held then break end
      local results = journal.replay(held, f)
      t.eq({ results.err, results[1], results[2] }, { nil, whole, { 1, 10, 20 } }, ("killed at place %d"):format(n))
      t.eq(content(path), { 1, 10, 20 }, ("killed at place %d"):format(n))
    end
    t.ok(n > 30)
  end)

test("where others have changed meanwhile what a cut transaction had read, it fails as a whole", function(t)
  local path = t.tmp() .. "/x.db"
  local function f()
    local open <close> = db.open(path)
    open:exec "create table if not exists a (x)"
    open:transaction(function(tx)
      tx:exec("insert into a values (?)", tx:one("select count(*) as n from a").n)
      tx:exec "insert into a values (100)"
    end)
  end
  local held = killed("insert into a values (100)", f)
  do
    local other <close> = db.open(path)
    other:exec "insert into a values (50)"
  end
  local results = journal.replay(held, f)
  t.eq(results.err.kind, "interrupted")
  t.match(results.err.message, "gave something else at its statement 1")
  t.eq(results.err.retryable, true)
  t.eq(content(path), { 50 })
end)

test("a database in memory is gone where the run goes on live, and says so", function(t)
  local function f()
    local open <close> = db.open ":memory:"
    open:exec "create table a (x)"
    return open:query "select * from a"
  end
  local results = journal.replay(killed("select * from a", f), f)
  t.eq(results.err.kind, "interrupted")
  t.match(results.err.hint, "stands in a file")
end)

test("values of every kind are recorded exactly", function(t)
  local path = t.tmp() .. "/x.db"
  local function f()
    local open <close> = db.open(path, { nulls = true })
    open:exec "create table if not exists v (a, b, c, d, e)"
    open:exec("insert into v values (?, ?, ?, ?, ?)", math.mininteger, 2.0, db.blob "plain", "\0\255", db.null)
    local row = open:one "select * from v"
    return math.type(row.a), row.a, math.type(row.b), row.c, row.d, row.e == db.null, open:one("select ? as x", 1 / 0).x
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.eq(first, { n = 7, "integer", math.mininteger, "float", "plain", "\0\255", true, 1 / 0 })
  t.eq(second, first)
end)

test("a run whose statement is another one has diverged, and nothing is done", function(t)
  local path = t.tmp() .. "/x.db"
  local function f(text)
    local open <close> = db.open(path)
    open:exec(text)
  end
  local tape = journal.record("run", f, "create table a (x)")
  local results = journal.replay(tape, f, "drop table a")
  t.eq(results.err.kind, "replay")
  t.eq(content(path), {})
end)

test("errors of a database are recorded with all that they say", function(t)
  local function f()
    local open <close> = db.open ":memory:"
    open:exec "create table a (x unique); insert into a values (1)"
    local _, err = stoke.try(open.exec, open, "insert into a values (1)")
    return err.code, err.table, err.columns, err.message, err.hint
  end
  local first, second = runs.twice(f)
  t.eq(first[1], "SQLITE_CONSTRAINT_UNIQUE")
  t.eq(second, first)
end)

test("what a run has written it says in a table that explains itself", function(t)
  local path = t.tmp() .. "/x.db"
  runs.record(function() return work(path) end)
  local open <close> = db.open(path)
  t.eq(open:query "select run, key from stoke_writes order by key", { { run = "run", key = "run/db.begin#1" },
    { run = "run", key = "run/db.write#1" }, { run = "run", key = "run/db.write#2" } })
  t.match(open:one("select sql from sqlite_schema where name = 'stoke_writes'").sql, "each is done once")
end)

test("without a run there is no such table", function(t)
  local path = t.tmp() .. "/x.db"
  local open <close> = db.open(path)
  open:exec "create table a (x)"
  open:transaction(function(tx) tx:exec "insert into a values (1)" end)
  t.eq(open:query "select name from sqlite_schema", { { name = "a" } })
end)

test("a database that was opened outside of the run is asked by its path, and replays as any other", function(t)
  local path = t.tmp() .. "/x.db"
  local open <close> = db.open(path)
  open:exec "create table a (x)"
  local function f()
    local id = select(2, open:exec "insert into a values (1)")
    return id, open:transaction(function(tx)
      tx:exec "insert into a values (2)"
      return tx:one("select count(*) as n from a").n
    end)
  end
  local first, second = runs.twice(f)
  t.eq({ first.err, first[1], first[2] }, { nil, 1, 2 })
  t.eq(second, first)
  t.eq(open:one "select count(*) as n from a", { n = 2 })
end)

test("in the body of a tool a write is done once, also when the tool is called again for the same call", function(t)
  local path = t.tmp() .. "/x.db"
  local open <close> = db.open(path)
  open:exec "create table a (x)"
  local times = 0
  local note = stoke.tool { name = "note", description = "Notes", params = { text = "string" }, idempotent = true, run = function(a)
    times = times + 1
    open:exec("insert into a values (?)", a.text)
    open:transaction(function(tx) tx:exec("insert into a values (?)", a.text .. "!") end)
    return "noted"
  end }
  local function f() return note:call { text = "milk" } end
  local held -- as it is when the tool's work was done, and its outcome is not on the journal
  runs.record(function()
    local tape = journal.current()
    local put = tape.put
    function tape.put(self, row, outcome)
      if row.name == "tool.call" then held = tape:snapshot() end
      return put(self, row, outcome)
    end
    return f()
  end)
  t.eq({ #held.rows, held.rows[1].outcome, times }, { 5, nil, 1 })
  times = 0
  local results = journal.replay(t.ok(held), f)
  t.eq({ results.err, results[1], times }, { nil, "noted", 1 })
  t.eq(open:query "select x from a order by x", { { x = "milk" }, { x = "milk!" } })
end)

test("a fork of a run, which shares its keys, writes for itself", function(t)
  local path = t.tmp() .. "/x.db"
  local function f(id)
    journal.current().run_id = id
    local open <close> = db.open(path)
    open:exec "create table if not exists a (x); insert into a values (1)"
  end
  journal.record("seed", f, "origin")
  journal.record("seed", f, "fork")
  journal.record("seed", f, "fork") -- the same run once more: it has done that
  local open <close> = db.open(path)
  t.eq(open:one "select count(*) as n from a", { n = 2 })
end)

test("tasks in transactions at once, killed at any place: who was inside is inside again before the others", { effects = false },
  function(t)
    local folder, n = t.tmp(), 0
    while true do
      n = n + 1
      local path = ("%s/%d.db"):format(folder, n)
      local function f()
        local open <close> = db.open(path)
        open:exec "create table if not exists a (n integer); insert into a select 0 where not exists (select 1 from a)"
        local scope <close> = stoke.scope {}
        scope:map({ 1, 2, 3 }, function(i)
          open:transaction(function(tx) tx:exec("update a set n = ?", tx:one("select n from a").n + 1) end)
          open:exec("update a set n = n + ?", 10 * i)
        end)
        return open:one("select n from a").n
      end
      local held = killed(n, f)
      if not held then break end
      local results = journal.replay(held, f)
      t.eq({ results.err, results[1] }, { nil, 63 }, ("killed at place %d"):format(n))
    end
    t.ok(n > 40)
  end)
