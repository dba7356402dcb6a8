-- stoke.db: opening, asking, writing, closing.

local effect = require "core.effect"
local json = require "stoke.json"
local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

-- A database in memory with three notes.
local function notes(options)
  local open = db.open(":memory:", options)
  open:exec [[
    create table notes (id integer primary key, text text not null, mood text);
    insert into notes (text, mood) values ('milk', 'good'), ('bread', null), ('nuts', 'bad');
  ]]
  return open
end

test("query gives the rows as tables by column, in their order", function(t)
  local open <close> = notes()
  t.eq(open:query "select id, text from notes order by id desc",
    { { id = 3, text = "nuts" }, { id = 2, text = "bread" }, { id = 1, text = "milk" } })
end)

test("query gives an empty list when there is no row, which is an array in JSON", function(t)
  local open <close> = notes()
  t.eq(json.encode(open:query "select * from notes where id > 99"), "[]")
end)

test("one gives the first row, and nil when there is none", function(t)
  local open <close> = notes()
  t.eq(open:one "select count(*) as n from notes", { n = 3 })
  t.eq(open:one "select text from notes order by id", { text = "milk" })
  t.eq(open:one "select text from notes where id = 99", nil)
end)

test("exec gives how many rows changed, and the id of the row inserted last", function(t)
  local open <close> = notes()
  local changes, id = open:exec("insert into notes (text) values (?)", "figs")
  t.eq({ changes, id }, { 1, 4 })
  t.eq({ open:exec "update notes set mood = 'good'" }, { 4 })
  t.eq({ open:exec "delete from notes where id > 2" }, { 2 })
end)

test("exec runs several statements of one text, whose values are given by name", function(t)
  local open <close> = db.open ":memory:"
  local changes = open:exec([[
    create table a (x); -- a comment; with a semicolon
    insert into a values (:x), (';');
    create table b (x);
    insert into b values (:x || :y);
  ]], { x = "one", y = "two" })
  t.eq(changes, 3)
  t.eq(open:one "select x from b", { x = "onetwo" })
end)

test("the statements of one text are done together or not at all", function(t)
  local open <close> = notes()
  t.raises("db", open.exec, open, "delete from notes; insert into notes (id) values (1)")
  t.eq(open:one "select count(*) as n from notes", { n = 3 })
end)

test("a text without a statement does nothing", function(t)
  local open <close> = notes()
  t.eq({ open:exec " -- nothing\n" }, { 0 })
  t.eq({ open:exec "" }, { 0 })
end)

test("a trigger's body is part of its statement", function(t)
  local open <close> = notes()
  open:exec [[
    create table seen (id);
    create trigger see after insert on notes begin
      insert into seen values (case when new.id > 3 then new.id else 0 end);
      update notes set mood = 'new' where id = new.id;
    end;
    insert into notes (text) values ('tea');
  ]]
  t.eq(open:one "select n.mood, s.id from notes n join seen s on s.id = n.id", { mood = "new", id = 4 })
end)

test("a query may write, and gives the rows of RETURNING", function(t)
  local open <close> = notes()
  t.eq(open:query "insert into notes (text) values ('a'), ('b') returning id, text",
    { { id = 4, text = "a" }, { id = 5, text = "b" } })
  t.eq(open:one "update notes set text = upper(text) where id = 4 returning text", { text = "A" })
  t.eq(open:one "with x(t) as (values ('c')) insert into notes (text) select t from x returning id", { id = 6 })
end)

test("each gives all rows one by one, also when they are many", function(t)
  local open <close> = db.open ":memory:"
  local sum, count = 0, 0
  for row in open:each "with recursive n(i) as (select 1 union all select i + 1 from n where i < 5000) select i from n" do
    sum, count = sum + row.i, count + 1
  end
  t.eq({ count, sum }, { 5000, 12502500 })
end)

test("leaving the loop of each ends the statement", function(t)
  local path = t.tmp() .. "/x.db"
  local open <close> = db.open(path)
  open:exec "create table a (x); insert into a values (1), (2), (3)"
  for row in open:each "select x from a" do
    if row.x == 2 then break end
  end
  open:exec "drop table a" -- nobody reads it any more
  t.eq(open:query "select name from sqlite_schema", {})
end)

test("each inside each, and writes in between, go on without waiting for one another", function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x); insert into a values (1), (2), (3); create table b (x)"
  for one in open:each "select x from a" do
    for two in open:each "select x from a" do
      for three in open:each("select x from a where x = ?", two.x) do
        open:exec("insert into b values (?)", one.x * three.x)
      end
    end
  end
  t.eq(open:one "select sum(x) as s from b", { s = 36 })
end)

test("what others write while each reads is not seen by it", function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x); insert into a values (1), (2), (3)"
  local count = 0
  for row in open:each "select x from a" do
    open:exec("insert into a values (?)", row.x + 10)
    count = count + 1
  end
  t.eq({ count, open:one("select count(*) as n from a").n }, { 3, 6 })
end)

test("a loop over many rows holds a few hundred of them", { effects = false, timeout = 300 }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  local many = tonumber(os.getenv "STOKE_DB_ROWS") or 60000 -- by hand: a million
  local numbers <const> = "with recursive n(i) as (select 1 union all select i + 1 from n where i < ?) select i from n"
  open:exec("create table big (i)")
  open:exec("insert into big " .. numbers, many)
  collectgarbage()
  local before, most, count = collectgarbage "count", 0, 0
  for _ in open:each "select i, 'some text' as t from big" do
    count = count + 1
    if count % 1000 == 0 then
      collectgarbage()
      most = math.max(most, collectgarbage "count" - before)
    end
  end
  t.eq(count, many)
  t.ok(most < 1000, ("at most %d KB more in Lua"):format(most // 1))
end)

test("a reader that stops reading is not read ahead for", { effects = false }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec [[create table a as
    with recursive n(i) as (select 1 union all select i + 1 from n where i < 20000) select i from n]]
  local reading = open:each "select i from a"
  reading()
  t.eq(#reading.batch <= 256, true)
  reading:close()
  t.eq(reading(), nil)
end)

test("a name of a column that comes twice is refused, and the message says how to part them", function(t)
  local open <close> = notes()
  local err = t.raises("db", open.query, open, "select a.id, b.id from notes a, notes b")
  t.match(err.message, "two columns of the result are named id")
  t.match(err.hint, "AS a_id")
end)

test("more rows than max_rows are an error, and not the first of them", function(t)
  local open <close> = notes { max_rows = 2 }
  local err = t.raises("limit", open.query, open, "select * from notes")
  t.match(err.message, "more than 2 rows")
  t.match(err.hint, "db:each")
  t.eq(#open:query "select * from notes limit 2", 2)
end)

test("what is closed says so, and closing again does nothing", function(t)
  local open = notes()
  open:close()
  open:close()
  local err = t.raises("db", open.query, open, "select 1")
  t.match(err.message, ":memory:: the database was closed")
  t.raises("db", open.exec, open, "delete from notes")
  t.raises("db", open.each, open, "select 1 as x")
  t.raises("db", open.transaction, open, function() end)
end)

test("a database is closed with the scope it was opened in", function(t)
  local open
  do
    local scope <close> = stoke.scope {} -- luacheck: ignore
    open = notes()
  end
  t.raises("db", open.query, open, "select 1")
end)

test("a file keeps what was written, and leaves nothing beside it when it is closed", function(t)
  local folder = t.tmp()
  do
    local open <close> = db.open(folder .. "/kept.db")
    open:exec "create table a (x); insert into a values (42)"
  end
  local names = {}
  for i, entry in ipairs(stoke.fs.list(folder)) do names[i] = entry.name end
  t.eq(names, { "kept.db" })
  local again <close> = db.open(folder .. "/kept.db", { create = false })
  t.eq(again:one "select x from a", { x = 42 })
end)

test("two handles of one file see what the other has committed", function(t)
  local path = t.tmp() .. "/x.db"
  local one <close> = db.open(path)
  local two <close> = db.open(path)
  one:exec "create table a (x); insert into a values (1)"
  t.eq(two:one "select x from a", { x = 1 })
  two:exec "update a set x = 2"
  t.eq(one:one "select x from a", { x = 2 })
end)

test("backup copies a database while it is used, and replaces what was there", function(t)
  local folder = t.tmp()
  local open <close> = db.open(folder .. "/a.db")
  open:exec "create table a (x); insert into a values (1)"
  open:backup(folder .. "/b.db")
  open:exec "update a set x = 2"
  do
    local copy <close> = db.open(folder .. "/b.db", { readonly = true })
    t.eq(copy:one "select x from a", { x = 1 })
  end
  open:backup(folder .. "/b.db")
  local copy <close> = db.open(folder .. "/b.db", { readonly = true })
  t.eq(copy:one "select x from a", { x = 2 })
end)

test("full-text search and JSON are there", function(t)
  local open <close> = db.open ":memory:"
  open:exec [[
    create virtual table docs using fts5(title, body);
    insert into docs values ('milk', 'cows give it'), ('bread', 'made of flour and milk');
  ]]
  t.eq(open:query("select title from docs where docs match ? order by rank", "milk AND flour"), { { title = "bread" } })
  t.eq(open:one("select json_extract(?, '$.a[1]') as x", '{"a":[1,"two"]}'), { x = "two" })
end)

test("statements of many tasks at once all come out", { effects = false }, function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x integer primary key)"
  local list = {}
  for i = 1, 200 do list[i] = i end
  local scope <close> = stoke.scope {}
  scope:map(list, function(i)
    open:exec("insert into a values (?)", i)
    t.eq(open:one("select x from a where x = ?", i), { x = i })
  end)
  t.eq(open:one "select count(*) as n, sum(x) as s from a", { n = 200, s = 20100 })
end)

test("statements of the maintenance kind run by themselves", function(t)
  local open <close> = db.open(t.tmp() .. "/x.db")
  open:exec "create table a (x); insert into a values (1)"
  open:exec "vacuum"
  open:exec "pragma user_version = 7"
  t.eq(open:one "pragma user_version", { user_version = 7 })
  t.eq(#open:query "pragma table_info(a)", 1)
end)

test("readonly reads, and every write says why it is refused", function(t)
  local path = t.tmp() .. "/x.db"
  do
    local open <close> = db.open(path)
    open:exec "create table a (x); insert into a values (1)"
  end
  local open <close> = db.open(path, { readonly = true })
  t.eq(open:one "select x from a", { x = 1 })
  local err = t.raises("db", open.exec, open, "insert into a values (2)")
  t.eq(err.code, "SQLITE_READONLY")
  t.match(err.hint, "opened readonly")
end)

test("options are checked, with what a wrong one was meant to be", function(t)
  t.match(t.raises("argument", db.open, ":memory:", { readOnly = true }).message, "did you mean readonly")
  t.match(t.raises("argument", db.open, ":memory:", { max_rows = 0 }).message, "max_rows")
  t.match(t.raises("argument", db.open, "x.db", { readonly = true, create = true }).message, "either")
  t.raises("argument", db.open)
  t.raises("argument", db.open, "")
  t.raises("argument", db.open, "file:x.db?mode=ro")
end)

test("a method called with a dot says so", function(t)
  local open <close> = notes()
  t.match(t.raises("argument", open.query, "select 1").message, "write a colon")
  t.match(t.raises("argument", open.exec, "select 1").message, "write a colon")
  t.match(t.raises("argument", open.transaction, function() end).message, "write a colon")
end)

test("each of its effects is traced with its name, and says what class it is", function(t)
  local open <close> = notes()
  open:query "select 1 as x"
  open:transaction(function(tx) tx:exec "delete from notes" end)
  local seen = {}
  for _, e in ipairs(t.effects()) do
    seen[#seen + 1] = e.name
    t.eq(e.about, ":memory:")
  end
  t.eq(seen, { "db.write", "db.query", "db.begin", "db.write", "db.commit" }) -- db.open is still open
  local function class(name, q)
    local of = effect.about(name).class
    return type(of) == "function" and of(q) or of
  end
  local file <const> = "x.db"
  t.eq({ class("db.query", {}), class("db.write", { db = file }), class("db.write", { db = file, depth = 0 }),
    class("db.commit", { db = file, depth = 0 }), class("db.commit", { db = file, depth = 1 }),
    class("db.commit", { db = ":memory:", depth = 0 }) }, { "pure", "unsafe", "pure", "unsafe", "pure", "pure" })
end)

test("a policy on paths holds for databases", function(t)
  local folder = t.tmp()
  stoke.policy { deny = { path = { folder .. "/secret/" } } }
  local _ <close> = setmetatable({}, { __close = function() stoke.policy(nil) end })
  stoke.fs.mkdir(folder .. "/open")
  local err = t.raises("denied", db.open, folder .. "/secret/x.db")
  t.match(err.message, "db.open is not allowed")
  local open <close> = db.open(folder .. "/open/x.db")
  open:exec "create table a (x)"
  t.raises("denied", open.backup, open, folder .. "/secret/copy.db")
  local memory <close> = db.open ":memory:"
  t.eq(memory:one "select 1 as x", { x = 1 })
end)

test("below a root no path leads out", function(t)
  local folder = t.tmp()
  stoke.fs.mkdir(folder .. "/root")
  do
    local open <close> = db.open("x.db", { root = folder .. "/root" })
    open:exec "create table a (x)"
  end
  t.ok(stoke.fs.stat(folder .. "/root/x.db"))
  t.raises("denied", db.open, "../x.db", { root = folder .. "/root" })
  t.raises("denied", db.open, "/etc/x.db", { root = folder .. "/root" })
end)

test("below a root no link is followed, to a file or through a folder", { programs = true }, function(t)
  local folder = t.tmp()
  stoke.fs.mkdir(folder .. "/root")
  stoke.fs.mkdir(folder .. "/other")
  do
    local open <close> = db.open(folder .. "/other/x.db")
    open:exec "create table a (x)"
  end
  stoke.proc.run { argv = { "ln", "-s", "../other/x.db", folder .. "/root/x.db" } }
  stoke.proc.run { argv = { "ln", "-s", "../other", folder .. "/root/there" } }
  for _, path in ipairs { "x.db", "there/x.db", "there/new.db" } do
    t.raises("denied", db.open, path, { root = folder .. "/root" })
  end
  t.eq(stoke.fs.stat(folder .. "/other/new.db"), nil)
end)

test("no statement opens another file", function(t)
  local folder = t.tmp()
  local open <close> = db.open(folder .. "/x.db")
  for _, text in ipairs { "attach ? as other", "vacuum into ?", "ATTACH/**/ ? as other", "detach other" } do
    local err = t.raises("argument", open.exec, open, text, folder .. "/other.db")
    t.ok(err.hint)
  end
  t.raises("argument", open.exec, open, "\xEF\xBB\xBFattach ? as other", folder .. "/other.db")
  t.eq(stoke.fs.stat(folder .. "/other.db"), nil)
end)

test("the engine itself refuses to open another file, whatever stands before the word", function(t)
  local folder = t.tmp()
  local raw = require "host.store".open(folder .. "/x.db")
  for _, text in ipairs { "attach '%s' as other", "\xEF\xBB\xBFattach '%s' as other", "vacuum into '%s'" } do
    local _, err = raw:write(text:format(folder .. "/other.db"))
    t.eq({ err.kind, err.code }, { "db", "SQLITE_AUTH" })
  end
  raw:close()
  t.eq(stoke.fs.stat(folder .. "/other.db"), nil)
end)

test("a version that is set in a text with others is set with them, or not at all", function(t)
  local open <close> = notes()
  t.raises("db", open.exec, open, "pragma user_version = 3; insert into nowhere values (1)")
  t.eq(open:one "pragma user_version", { user_version = 0 })
  open:transaction(function(tx)
    tx:exec "pragma user_version = 4"
    t.eq(tx:one "pragma user_version", { user_version = 4 })
    t.eq(#tx:query "pragma table_info(notes)", 3)
  end)
  t.eq(open:one "pragma user_version", { user_version = 4 })
end)

test("a semicolon and a comment may follow the one statement", function(t)
  local open <close> = notes()
  t.eq(open:one("select ? as x; -- that is all\n", 1), { x = 1 })
  t.eq(open:query "select 1 as x;;", { { x = 1 } })
  for row in open:each "select 1 as x; /* */" do t.eq(row.x, 1) end
  t.eq({ open:exec "-- first\ndelete from notes; -- then" }, { 3 })
end)

test("statements of transactions are refused, with the function that is there for them", function(t)
  local open <close> = notes()
  for _, text in ipairs { "begin", "commit", "rollback", "savepoint a", "release a", "end", "select 1; begin immediate" } do
    t.match(t.raises("argument", open.exec, open, text).hint, "db:transaction")
  end
end)

test("names from other libraries are answered with those here", function(t)
  local open <close> = notes()
  t.match(t.raises("script", function() open:execute "select 1" end).message, "exec")
  t.match(t.raises("script", function() open:fetchall "select 1" end).message, "query")
  t.match(t.raises("argument", function() return db.connect end).message, "open")
  t.match(t.raises("argument", db.open, ":memory:", { mode = "ro" }).message, "readonly = true")
end)
