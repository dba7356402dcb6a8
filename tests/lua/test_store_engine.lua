-- Databases under the core, host.store: values both ways, statements, writes that share a commit, cancels.

local test = require "stoke.test"
local databases = require "databases"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "stoke.json"
local stoke = require "stoke"
local store = require "host.store"

local cancelled, code_of, fresh, one, open = databases.cancelled, databases.code_of, databases.fresh, databases.one, databases.open

-- ---- values ---------------------------------------------------------------------------------------------------------

local VALUES = {
  0, 1, -1, math.maxinteger, math.mininteger, 0.0, -0.0, 1.5, 1e300, 5e-324, math.huge, -math.huge, 2^53, "", "text", "\0", "a\0b",
  "żółw", "\xf0\x9f\x90\xa2", "\xff", "\xed\xa0\x80", "\xc0\x80", ("x"):rep(100000), json.null,
}

for _, where in ipairs { "a file", "memory" } do
  test("what is bound comes back exactly, in " .. where, function(t)
    local db = open(where == "memory" and ":memory:" or t.tmp() .. "/x.db")
    assert(db:write "CREATE TABLE t(i INTEGER PRIMARY KEY, v)")
    for i, value in ipairs(VALUES) do assert(db:write("INSERT INTO t VALUES(?, ?)", { i, value })) end
    local rows = assert(db:query "SELECT v FROM t ORDER BY i").rows
    for i, value in ipairs(VALUES) do
      t.eq(rows[i][1], value, "value " .. i)
      t.eq(math.type(rows[i][1]), math.type(value), "value " .. i)
      if value == 0.0 then t.eq(1 / rows[i][1], 1 / value, "value " .. i) end
    end
    assert(db:close())
  end)
end

test("a string that is UTF-8 is text, any other is bytes, and store.blob is bytes always", function(t)
  local db <close> = fresh(t)
  local function type_of(value) return one(db, "SELECT typeof(?)", { value }) end
  t.eq(type_of "żółw", "text")
  t.eq(type_of "\xff", "blob")
  t.eq(type_of "\xed\xa0\x80", "blob", "half of a surrogate pair")
  t.eq(type_of "\xf4\x90\x80\x80", "blob", "beyond Unicode")
  t.eq(type_of(store.blob "text"), "blob")
  t.eq(type_of(store.blob ""), "blob")
  t.eq(type_of(true), "integer")
  t.eq(type_of(json.null), "null")
end)

test("parameters are an array, with its length where it has holes, or a table by name", function(t)
  local db <close> = fresh(t)
  t.eq(assert(db:query("SELECT ?, ?, ?", { 1, nil, 3, n = 3 })).rows[1], { 1, json.null, 3 })
  t.eq(assert(db:query("SELECT ?, ?", table.pack(nil, nil))).rows[1], { json.null, json.null })
  t.eq(assert(db:query("SELECT :a, @b, $c, :a", { a = 1, b = 2, c = 3 })).rows[1], { 1, 2, 3, 1 })
  t.eq(assert(db:query("SELECT :n", { n = 5 })).rows[1], { 5 }, "a parameter named n")
  t.eq(code_of(db:query("SELECT ?", {})), "SQLITE_RANGE")
  t.eq(code_of(db:query("SELECT ?", { 1, 2 })), "SQLITE_RANGE")
  t.match(select(2, db:query("SELECT :city", { town = 1 })).message, 'no parameter named "town"')
  t.match(select(2, db:query("SELECT :a, :b", { a = 1 })).message, "1 of 2")
end)

test("what is no value of a statement is an argument error, and nothing is done", function(t)
  local db <close> = fresh(t)
  for _, bad in ipairs { {}, print, 0 / 0, coroutine.create(print) } do
    local ok, err = pcall(db.write, db, "INSERT INTO t(v) VALUES(?)", { bad })
    t.ok(not ok)
    t.eq(errors.wrap(err).kind, "argument")
  end
  t.eq(one(db, "SELECT count(*) FROM t"), 0)
end)

test("a result says its columns, and whether there was more", function(t)
  local db <close> = fresh(t)
  for i = 1, 5 do assert(db:write("INSERT INTO t VALUES(?, ?)", { i, i * i })) end
  local r = assert(db:query("SELECT n, v AS square FROM t ORDER BY n", nil, 3))
  t.eq(r, { columns = { "n", "square" }, rows = { { 1, 1 }, { 2, 4 }, { 3, 9 } }, more = true })
  t.eq(assert(db:query("SELECT n FROM t", {}, 5)).more, false)
  t.eq(assert(db:query "SELECT n FROM t WHERE n > 9"), { columns = { "n" }, rows = {}, more = false })
end)

test("a write says what it changed", function(t)
  local db <close> = fresh(t)
  t.eq(assert(db:write("INSERT INTO t(n, v) VALUES(7, 1)")), { changes = 1, last_id = 7 })
  t.eq(assert(db:write "CREATE TABLE u(x)").changes, 0)
  t.eq(assert(db:write("INSERT INTO t(v) VALUES(?), (?) RETURNING n", { 1, 2 })).rows, { { 8 }, { 9 } })
  t.eq(assert(db:write "UPDATE t SET v = 0").changes, 3)
  t.eq(assert(db:query "DELETE FROM t RETURNING n").rows, { { 7 }, { 8 }, { 9 } }, "a query that writes is a write")
end)

test("a result beyond the limit is an error of kind limit, and a write that gave it is undone", function(t)
  local db <close> = fresh(t, { limit = 10000 })
  assert(db:write("INSERT INTO t(v) VALUES(zeroblob(9000))"))
  t.eq(#one(db, "SELECT v FROM t"), 9000)
  t.eq(code_of(db:query "SELECT v, v FROM t"), "limit")
  t.eq(code_of(db:write "INSERT INTO t(v) VALUES(zeroblob(20000)) RETURNING v"), "limit")
  t.eq(one(db, "SELECT count(*) FROM t"), 1)
end)

-- ---- statements -----------------------------------------------------------------------------------------------------

test("an error has SQLite's code and words, and the statement cut short", function(t)
  local db <close> = fresh(t)
  assert(db:write "CREATE TABLE c(a UNIQUE, b NOT NULL, c CHECK(c > 0), d REFERENCES t(n))")
  local function fails(sql, code, words)
    local _, err = db:write(sql)
    t.eq(err.kind, "db")
    t.eq(err.code, code)
    t.match(err.message, words)
  end
  assert(db:write "INSERT INTO c VALUES(1, 1, 1, NULL)")
  fails("INSERT INTO c VALUES(1, 1, 1, NULL)", "SQLITE_CONSTRAINT_UNIQUE", "c.a")
  fails("INSERT INTO c VALUES(2, NULL, 1, NULL)", "SQLITE_CONSTRAINT_NOTNULL", "c.b")
  fails("INSERT INTO c VALUES(2, 1, 0, NULL)", "SQLITE_CONSTRAINT_CHECK", "c > 0")
  fails("INSERT INTO c VALUES(2, 1, 1, 99)", "SQLITE_CONSTRAINT_FOREIGNKEY", "FOREIGN KEY")
  fails("INSERT INTO nowhere VALUES(1)", "SQLITE_ERROR", "no such table: nowhere")
  fails("SELEC 1", "SQLITE_ERROR", "syntax error")
  fails("SELECT '" .. ("ż"):rep(100) .. "' FROM nowhere", "SQLITE_ERROR", "%.%.%.%)$")
  t.ok(utf8.len(select(2, db:query("SELECT '" .. ("ż"):rep(100) .. "' FROM nowhere")).message), "cut between characters")
end)

test("several statements in one text are done all, or none", function(t)
  local db <close> = fresh(t)
  assert(db:write "INSERT INTO t VALUES(1, 1); INSERT INTO t VALUES(2, 2); -- and a comment\n;")
  t.eq(code_of(db:write "INSERT INTO t VALUES(3, 3); INSERT INTO t VALUES(1, 1)"), "SQLITE_CONSTRAINT_PRIMARYKEY")
  t.eq(one(db, "SELECT count(*) FROM t"), 2)
  t.eq(code_of(db:write("INSERT INTO t VALUES(?, 1); SELECT 1", { 5 })), "SQLITE_MISUSE", "parameters belong to one statement")
end)

test("a transaction is no statement, and another file no table", function(t)
  local db <close> = fresh(t)
  for _, sql in ipairs { "BEGIN", "commit", " /* x */ END", "ROLLBACK", "SAVEPOINT a", "RELEASE a",
                         "\xef\xbb\xbfCOMMIT", "\xef\xbb\xbf--\n\xef\xbb\xbfSAVEPOINT a", "SELECT 1; COMMIT" } do
    t.eq(code_of(db:write(sql)), "SQLITE_MISUSE", sql)
  end
  local path = t.tmp() .. "/y.db"
  for _, sql in ipairs { "ATTACH '" .. path .. "' AS y", "VACUUM INTO '" .. path .. "'", "--\nATTACH 'x' || 'y' AS z" } do
    local code = code_of(db:write(sql))
    t.ok(code == "SQLITE_AUTH" or code == "SQLITE_ERROR", code)
  end
  t.eq(fs.stat(path), nil)
  assert(db:write "VACUUM")
end)

test("a pragma acts each time it is asked for", function(t)
  local db <close> = fresh(t)
  for _ = 1, 2 do
    assert(db:write "PRAGMA foreign_keys=OFF")
    t.eq(one(db, "PRAGMA foreign_keys"), 0)
    assert(db:write "PRAGMA foreign_keys=ON")
    t.eq(one(db, "PRAGMA foreign_keys"), 1)
  end
  assert(db:query "PRAGMA user_version=7")
  t.eq(one(db, "PRAGMA user_version"), 7)
  t.eq(#assert(db:query "PRAGMA table_info(t)").rows, 2)
end)

test("full-text search and JSON are there", function(t)
  local db <close> = fresh(t)
  assert(db:write "CREATE VIRTUAL TABLE f USING fts5(text)")
  assert(db:write("INSERT INTO f VALUES(?), (?)", { "the quick brown fox", "a lazy dog" }))
  t.eq(assert(db:query("SELECT text FROM f WHERE f MATCH ?", { "fox" })).rows, { { "the quick brown fox" } })
  t.eq(one(db, [[SELECT json_extract('{"a":[1,2,3]}', '$.a[1]')]]), 2)
end)

-- ---- writes side by side --------------------------------------------------------------------------------------------

test("of writes that share a commit each succeeds or fails alone", function(t)
  local db <close> = fresh(t)
  local scope <close> = stoke.scope()
  local results = scope:map((function()
    local list = {}
    for i = 1, 200 do list[i] = i end
    return list
  end)(), function(i)
    local r, err = db:write("INSERT INTO t(n, v) VALUES(?, ?)", { i % 10 == 0 and 5 or i, i })
    return r and "ok" or err.code
  end, { limit = 200 })
  for i = 1, 200 do t.eq(results[i], i % 10 == 0 and "SQLITE_CONSTRAINT_PRIMARYKEY" or "ok", "write " .. i) end
  t.eq(one(db, "SELECT count(*) FROM t"), 180)
end)

test("writes at the same time share their syncs", function(t)
  store.fault { slow = 2 }
  local db <close> = fresh(t)
  store.fault { slow = 2 } -- counts from here
  local scope <close> = stoke.scope()
  for i = 1, 100 do scope:spawn(function() assert(db:write("INSERT INTO t(v) VALUES(?)", { i })) end) end
  scope:wait()
  t.ok(store.fault_counts().syncs <= 20, store.fault_counts().syncs .. " syncs for 100 writes")
  store.fault()
end)

test("a transaction is seen when it is committed, and by nobody when it is rolled back", function(t)
  local db <close> = fresh(t)
  local tx = assert(db:begin())
  t.eq(assert(tx:run("INSERT INTO t VALUES(1, 'a')")).changes, 1)
  t.eq(assert(tx:run "SELECT v FROM t").rows, { { "a" } }, "it sees itself")
  t.eq(one(db, "SELECT count(*) FROM t"), 0, "others do not")
  t.eq(code_of(tx:run "INSERT INTO t VALUES(1, 'b')"), "SQLITE_CONSTRAINT_PRIMARYKEY")
  assert(tx:run "SAVEPOINT a")
  assert(tx:run "INSERT INTO t VALUES(2, 'c')")
  assert(tx:run "ROLLBACK TO a")
  assert(tx:run "RELEASE a")
  assert(tx:commit())
  t.eq(assert(db:query "SELECT * FROM t").rows, { { 1, "a" } })
  tx = assert(db:begin())
  assert(tx:run "DELETE FROM t")
  assert(tx:rollback())
  t.eq(one(db, "SELECT count(*) FROM t"), 1)
  t.eq(errors.wrap(select(2, pcall(tx.run, tx, "SELECT 1"))).kind, "argument", "over is over")
end)

test("a batch in a transaction is done as a whole, or not at all, and the transaction goes on", function(t)
  local db <close> = fresh(t)
  local tx = assert(db:begin())
  t.eq(tx:batch { { "INSERT INTO t VALUES(?,?)", 1, "a" }, { "INSERT INTO t VALUES(?,?)", 2, "b" } }, true)
  t.eq(code_of(tx:batch { { "INSERT INTO t VALUES(3,'c')" }, { "INSERT INTO t VALUES(1,'d')" } }), "SQLITE_CONSTRAINT_PRIMARYKEY")
  local batch = store.batch()
  batch:add("DELETE FROM t WHERE n=?", 1)
  assert(tx:batch(batch))
  t.eq(#batch, 0)
  assert(tx:commit())
  t.eq(assert(db:query "SELECT * FROM t").rows, { { 2, "b" } })
  t.eq(errors.wrap(select(2, pcall(tx.batch, tx, { { "DELETE FROM t" } }))).kind, "argument", "over is over")
end)

test("a transaction that is forgotten is rolled back, and lets others go on", function(t)
  local db <close> = fresh(t)
  do
    local tx = assert(db:begin())
    assert(tx:run "INSERT INTO t VALUES(1, 1)")
    local _ <close> = tx
  end
  assert(db:write "INSERT INTO t VALUES(2, 2)")
  assert(db:begin()):run "INSERT INTO t VALUES(3, 3)"
  collectgarbage()
  collectgarbage()
  assert(db:write "INSERT INTO t VALUES(4, 4)")
  t.eq(assert(db:query "SELECT n FROM t").rows, { { 2 }, { 4 } })
end)

test("writes wait for a transaction, reads do not, and waits end when cancelled", { real = true }, function(t)
  local db <close> = fresh(t)
  local tx = assert(db:begin())
  assert(tx:run "INSERT INTO t VALUES(1, 1)")
  cancelled(t, db.write, db, "INSERT INTO t VALUES(2, 2)")
  cancelled(t, db.begin, db)
  t.eq(one(db, "SELECT count(*) FROM t"), 0)
  assert(tx:commit())
  t.eq(assert(db:query "SELECT n FROM t").rows, { { 1 } }, "what was cancelled is not there")
end)

test("rows by name have what is not NULL, and booleans where a name says so", function(t)
  local db <close> = fresh(t)
  assert(db:write("INSERT INTO t VALUES (1,'a'),(2,NULL),(3,'c')"))
  local sql = "SELECT n AS number,v,n>1 AS \"later?\",nullif(n,n) AS none FROM t ORDER BY n"
  local wanted = { { number = 1, v = "a", later = false }, { number = 2, later = true }, { number = 3, v = "c", later = true } }
  t.eq(assert(db:query(sql, nil, nil, true)).rows, wanted)
  local cursor = assert(db:each(sql))
  t.eq(cursor:next(2, true), { wanted[1], wanted[2] })
  t.eq(cursor:next(2, true), { wanted[3] })
  t.eq(cursor:next(2, true), nil)
end)

-- ---- appends --------------------------------------------------------------------------------------------------------

test("an append is acknowledged by its ticket, in order and as a whole", function(t)
  local db <close> = fresh(t)
  local tickets = {}
  for i = 1, 50 do
    tickets[i] = assert(db:append { { "INSERT INTO t VALUES(?, ?)", 2 * i, "a" },
                                    { "INSERT INTO t VALUES(?, ?)", 2 * i + 1, json.null } })
  end
  t.eq(tickets[50].done, false)
  t.eq(tickets[50]:wait(), true)
  for i = 1, 50 do t.eq(tickets[i].done, true) end
  t.eq(one(db, "SELECT count(*) FROM t"), 100)
  t.eq(db:failed(), nil)
end)

test("statements are packed into a batch one by one, and it is empty again when it was appended", function(t)
  local db <close> = fresh(t)
  local batch = store.batch()
  for i = 1, 100 do batch:add("INSERT INTO t VALUES(?, ?)", i, i % 2 == 0 and ("x"):rep(i) or nil) end
  batch:put { "INSERT INTO t VALUES(?, ?)", 101, json.null }
  t.raises("argument", function() batch:add("INSERT INTO t VALUES(?, ?)", 102, print) end)
  t.eq(#batch, 101)
  t.eq(db:append(batch):wait(), true)
  t.eq(#batch, 0)
  t.raises("argument", function() db:append(batch) end)
  batch:add("INSERT INTO t VALUES(?, ?)", 200, "again")
  t.eq(db:append(batch):wait(), true)
  t.eq(assert(db:query "SELECT count(*), count(v), sum(length(v)), max(n) FROM t").rows, { { 102, 51, 2555, 200 } })
end)

test("a batch that fails leaves nothing, tells its ticket and the database, and ends its chain until that is mended", function(t)
  local db <close> = fresh(t)
  local a = db:append({ { "INSERT INTO t VALUES(1, 1)" }, { "INSERT INTO t VALUES(1, 1)" } }, false, 7)
  local b = db:append({ { "INSERT INTO t VALUES(2, 2)" } }, false, 7)
  local c = db:append({ { "INSERT INTO t VALUES(3, 3)" } }, false, 8)
  t.eq(code_of(a:wait()), "SQLITE_CONSTRAINT_PRIMARYKEY")
  t.eq(code_of(b:wait()), "SQLITE_CONSTRAINT_PRIMARYKEY")
  t.eq(c:wait(), true)
  t.eq(db:failed().code, "SQLITE_CONSTRAINT_PRIMARYKEY")
  db:mend(7)
  t.eq(db:append({ { "INSERT INTO t VALUES(4, 4)" } }, true, 7):wait(), true)
  t.eq(assert(db:query "SELECT n FROM t").rows, { { 3 }, { 4 } })
end)

-- A database whose syncs are counted, and take so many ms.
local function counted(t, slow)
  store.fault { slow = slow }
  local db = open(t.tmp() .. "/x.db")
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
  store.fault { slow = slow }
  return db
end

test("a batch that fails half way leaves nothing, and those that share its commit are done", function(t)
  local db <close> = fresh(t)
  local tickets = {}
  for i = 1, 9 do
    local second = i % 3 == 0 and 2 or 2 * i + 1 -- 2 is there
    tickets[i] = db:append { { "INSERT INTO t VALUES(?, 1)", 2 * i }, { "INSERT INTO t VALUES(?, 2)", second } }
  end
  for i = 1, 9 do t.eq(not tickets[i]:wait(), i % 3 == 0) end
  t.eq(one(db, "SELECT count(*) FROM t"), 12)
  t.eq(one(db, "SELECT count(*) FROM t WHERE n IN (6, 12, 18)"), 0)
end)

test("tasks that write in turns come to share their syncs", { real = true }, function(t)
  local ROUNDS <const>, TASKS <const> = 6, 8
  local db = counted(t, 60)
  do
    local scope <close> = stoke.scope()
    for task = 1, TASKS do
      scope:spawn(function()
        if task > TASKS / 2 then stoke.sleep(0.02) end -- the others' first sync has begun
        for i = 1, ROUNDS do assert(db:append({ { "INSERT INTO t VALUES(?, 1)", task * 100 + i } }, true):wait()) end
      end)
    end
    scope:wait()
  end
  local syncs = store.fault_counts().syncs
  assert(db:close())
  store.fault()
  t.ok(syncs <= ROUNDS + 3, syncs)
end)

test("where a commit takes less time than gathering, it begins with a part of what a pump writes", { real = true }, function(t)
  local db = counted(t, 0)
  local ticket
  local function write(i)
    local busy = os.clock() + 0.002
    while os.clock() < busy do end
    ticket = db:append({ { "INSERT INTO t VALUES(?, 1)", i } }, true)
  end
  write(0)
  assert(ticket:wait())
  for i = 1, 40 do write(i) end
  local give_up = os.clock() + 20
  while store.fault_counts().syncs < 2 and os.clock() < give_up do end -- still the same pump
  t.ok(store.fault_counts().syncs >= 2)
  assert(ticket:wait())
  assert(db:close())
  store.fault()
end)

test("batches that failed are handed over again, as they are", function(t)
  store.fault {}
  local db = open(t.tmp() .. "/x.db")
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
  store.fault { full = 1 }
  local a = db:append({ { "INSERT INTO t VALUES(1, 1)" } }, true, 7)
  local b = db:append({ { "INSERT INTO t VALUES(2, 2)" } }, false, 7)
  t.eq({ code_of(a:wait()), code_of(b:wait()) }, { "SQLITE_FULL", "SQLITE_FULL" })
  t.eq(select(2, db:failed()), 2)
  store.fault {}
  t.eq(a:again(db), true)
  t.eq(code_of(a:wait()), "SQLITE_FULL", "its chain is not mended")
  db:mend(7)
  t.eq({ a:again(db), b:again(db) }, { true, true })
  t.eq({ a:wait(), b:wait() }, { true, true })
  t.eq(assert(db:query "SELECT n FROM t").rows, { { 1 }, { 2 } })
  t.eq(select(2, pcall(a.again, a, db)).kind, "argument")
  assert(db:close())
  store.fault()
end)

test("where a broken chain cannot be noted for want of memory, no chain is written any more", function(t)
  local path = t.tmp() .. "/x.db"
  store.fault { unnoted = 1 }
  local db = open(path)
  assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY)")
  t.eq(code_of(db:append({ { "INSERT INTO nowhere VALUES(1)" } }, false, 7):wait()), "SQLITE_ERROR")
  db:mend(7)
  for chain = 7, 8 do
    t.eq(code_of(db:append({ { "INSERT INTO t VALUES(?)", chain } }, false, chain):wait()), "SQLITE_NOMEM")
  end
  assert(db:write "INSERT INTO t VALUES(9)")
  assert(db:close())
  store.fault()
  db = open(path)
  t.eq(db:append({ { "INSERT INTO t VALUES(7)" } }, true, 7):wait(), true)
  assert(db:close())
end)

test("the queue says when it has no room", function(t)
  local db <close> = fresh(t, { queue = 100000 })
  local tx = assert(db:begin()) -- so that nothing is taken out of it
  t.eq(db:room(), true)
  local last
  for _ = 1, 12 do last = assert(db:append { { "INSERT INTO t(v) VALUES(?)", ("x"):rep(10000) } }) end
  t.eq(db:room(), false)
  assert(tx:rollback())
  assert(last:wait())
  t.eq(db:room(), true)
end)

test("several tasks wait for one ticket, and one that is cancelled leaves the others", { real = true }, function(t)
  local db <close> = fresh(t)
  local tx = assert(db:begin())
  local ticket = db:append { { "INSERT INTO t VALUES(1, 1)" } }
  local scope <close> = stoke.scope()
  local waits = {}
  for i = 1, 3 do waits[i] = scope:spawn(function() return ticket:wait() end) end
  cancelled(t, ticket.wait, ticket)
  assert(tx:rollback())
  for i = 1, 3 do t.eq(waits[i]:await(), true) end
end)

-- ---- piece by piece -------------------------------------------------------------------------------------------------

for _, where in ipairs { "a file", "memory" } do
  test("a cursor gives what is asked for, of the file as it was, in " .. where, function(t)
    local db = open(where == "memory" and ":memory:" or t.tmp() .. "/x.db")
    assert(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY, v)")
    for i = 1, 10 do assert(db:append { { "INSERT INTO t VALUES(?, ?)", i, i * i } }:wait()) end
    local cursor, columns = assert(db:each("SELECT n FROM t WHERE n > ? ORDER BY n", { 2 }))
    t.eq(columns, { "n" })
    t.eq(cursor:next(3), { { 3 }, { 4 }, { 5 } })
    assert(db:write "DELETE FROM t")
    t.eq(cursor:next(4), { { 6 }, { 7 }, { 8 }, { 9 } })
    t.eq(cursor:next(100), { { 10 } })
    t.eq(cursor:next(100), nil)
    cursor:close()
    t.eq(cursor:next(1), nil)
    t.eq(code_of(db:each "DELETE FROM t"), "SQLITE_MISUSE")
    assert(db:close())
  end)
end

test("a cursor over large rows gives fewer at a time than asked for", function(t)
  local db <close> = fresh(t)
  for _ = 1, 8 do assert(db:write "INSERT INTO t(v) VALUES(zeroblob(700000))") end
  local cursor = assert(db:each "SELECT v FROM t")
  local rows, pieces = 0, 0
  for piece in function() return cursor:next(1000) end do
    rows, pieces = rows + #piece, pieces + 1
    t.ok(#piece <= 2)
  end
  t.eq(rows, 8)
  t.eq(pieces, 4)
  cursor:close()
end)

test("cursors that are forgotten, or still open, end with the database", function(t)
  local db <close> = fresh(t)
  assert(db:write "INSERT INTO t VALUES(1, 1), (2, 2)")
  local kept = {}
  for i = 1, 5 do
    kept[i] = assert(db:each "SELECT * FROM t")
    t.eq(#kept[i]:next(1), 1)
  end
  kept[1], kept[2] = nil, nil
  collectgarbage()
end)

-- ---- cancelled and closed -------------------------------------------------------------------------------------------

local FOREVER = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT count(*) FROM c"

test("a cancel interrupts a statement that runs", { real = true }, function(t)
  local db <close> = fresh(t)
  cancelled(t, db.query, db, FOREVER)
  cancelled(t, db.write, db, "INSERT INTO t(v) " .. FOREVER)
  local tx = assert(db:begin())
  cancelled(t, tx.run, tx, FOREVER)
  assert(tx:rollback())
  cancelled(t, function() assert(db:each(FOREVER)):next(1) end)
  t.eq(one(db, "SELECT count(*) FROM t"), 0)
  assert(db:write "INSERT INTO t VALUES(1, 1)")
end)

test("an interrupt is an error with SQLite's code", { real = true }, function(t)
  local db <close> = fresh(t)
  local scope <close> = stoke.scope()
  local task = scope:spawn(function() return code_of(db:query(FOREVER)) end)
  while not task.state do -- until it has begun there is nothing to interrupt
    stoke.sleep(0.02)
    db:interrupt()
  end
  t.eq(task:await(), "SQLITE_INTERRUPT")
end)

test("virtual time stands still while a statement runs", function(t)
  local db <close> = fresh(t)
  local scope <close> = stoke.scope()
  local slow = scope:spawn(function()
    local done = stoke.try(stoke.timeout, 1, function()
      return one(db, "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 100000) SELECT count(*) FROM c")
    end)
    return done
  end)
  t.eq(slow:await(), 100000)
end)

test("what is pending when a database is closed is written, or told", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  local db = open(path)
  assert(db:write "CREATE TABLE t(n)")
  local scope <close> = stoke.scope()
  local reading = scope:spawn(function() return code_of(db:query(FOREVER)) end)
  local tx = assert(db:begin())
  assert(tx:run "INSERT INTO t VALUES(1)")
  local ticket = db:append { { "INSERT INTO t VALUES(2)" } }
  local writing = scope:spawn(function() return (assert(db:write "INSERT INTO t VALUES(3)")) end)
  stoke.sleep(0.01)
  assert(db:close())
  t.ok(reading:await() == "SQLITE_INTERRUPT" or reading:await() == "db")
  t.eq(ticket:wait(), true)
  t.eq(writing:await().changes, 1)
  t.match(select(2, db:query "SELECT 1").message, "closed")
  t.match(select(2, tx:commit()).message, "closed")
  t.eq(db:close(), true)
  db = open(path)
  t.eq(assert(db:query "SELECT n FROM t ORDER BY n").rows, { { 2 }, { 3 } })
  assert(db:close())
  t.eq(fs.stat(path .. "-wal"), nil, "the log is put back")
end)

test("a database that is forgotten is closed", function(t)
  local path = t.tmp() .. "/x.db"
  do
    local db = open(path)
    assert(db:write "CREATE TABLE t(n)")
    db:append { { "INSERT INTO t VALUES(1)" } }
    local _ <close> = db
  end
  local again = open(path)
  local count
  repeat count = one(again, "SELECT count(*) FROM t") until count == 1 -- nobody waits for a close that is left to the scope
  assert(again:close())
end)
