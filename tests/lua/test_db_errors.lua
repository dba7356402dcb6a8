-- stoke.db: each error says which file and statement, what is wrong there, and how to mend it.

local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

local function shop()
  local open = db.open ":memory:"
  open:exec [[
    pragma foreign_keys = on;
    create table users (id integer primary key, email text unique not null, age integer check (age > 0));
    create table orders (id integer primary key, user integer not null references users (id), a text, b text, unique (a, b));
    create table exact (n integer not null) strict;
    insert into users (id, email) values (1, 'ada');
    insert into orders (user, a, b) values (1, 'x', 'y');
  ]]
  return open
end

local CONSTRAINTS = {
  { "a value that is there", "insert into users (email) values ('ada')", "SQLITE_CONSTRAINT_UNIQUE", "users", { "email" } },
  { "a key that is there", "insert into users (id, email) values (1, 'bob')", "SQLITE_CONSTRAINT_PRIMARYKEY", "users", { "id" } },
  { "values that are there together", "insert into orders (user, a, b) values (1, 'x', 'y')", "SQLITE_CONSTRAINT_UNIQUE", "orders",
    { "a", "b" } },
  { "a value that is missing", "insert into users (id) values (2)", "SQLITE_CONSTRAINT_NOTNULL", "users", { "email" } },
  { "a value of another type", "insert into exact values ('x')", "SQLITE_CONSTRAINT_DATATYPE", "exact", { "n" } },
}
for _, case in ipairs(CONSTRAINTS) do
  test(("%s: the error tells table and columns"):format(case[1]), function(t)
    local open <close> = shop()
    local err = t.raises("db", open.exec, open, case[2])
    t.eq({ err.code, err.table, err.columns, err.path, err.sql }, { case[3], case[4], case[5], ":memory:", case[2] })
    t.match(err.message, "^:memory:: .*; in: insert into")
    t.ok(err.hint)
  end)
end

test("a check that fails tells which", function(t)
  local open <close> = shop()
  local err = t.raises("db", open.exec, open, "insert into users (email, age) values ('bob', -1)")
  t.eq({ err.code, err.constraint }, { "SQLITE_CONSTRAINT_CHECK", "age > 0" })
end)

test("a row that is referred to and not there says so", function(t)
  local open <close> = shop()
  local err = t.raises("db", open.exec, open, "insert into orders (user) values (99)")
  t.eq(err.code, "SQLITE_CONSTRAINT_FOREIGNKEY")
  t.match(err.hint, "refers to is not there")
end)

test("a wrong name is answered with what it was meant to be", function(t)
  local open <close> = shop()
  for text, near in pairs {
    ["select * from usrs"] = "users", ["select emial from users"] = "email", ["select uper('x')"] = "upper",
    ["insert into users (emial) values (1)"] = "email", ["select u.emal from users u"] = "email",
  } do
    local err = t.raises("db", open.query, open, text)
    t.eq(err.hint, ("did you mean %s?"):format(near), text)
  end
end)

test("without a near name the error lists the tables there are", function(t)
  local open <close> = shop()
  t.eq(t.raises("db", open.query, open, "select * from zebras").hint, "there are exact, orders, users")
  local empty <close> = db.open ":memory:"
  t.match(t.raises("db", empty.query, empty, "select * from zebras").hint, "no tables yet")
end)

test("a mistake in the language has SQLite's words and the statement", function(t)
  local open <close> = shop()
  local err = t.raises("db", open.query, open, "selec * from users")
  t.match(err.message, 'near "selec": syntax error; in: selec %* from users')
  t.eq(err.code, "SQLITE_ERROR")
end)

test("a long statement is cut short in the message, between two characters", function(t)
  local open <close> = shop()
  local err = t.raises("db", open.query, open, "select * from nowhere where x in ('" .. ("ü"):rep(2000) .. "')")
  t.ok(#err.sql < 200)
  t.ok(utf8.len(err.sql))
end)

test("several statements where one is wanted", function(t)
  local open <close> = shop()
  local err = t.raises("db", open.query, open, "select 1; select 2")
  t.match(err.message, "takes one statement, and the text holds 2")
  t.match(err.hint, "db:exec")
  t.raises("argument", open.query, open, "-- nothing")
  t.raises("argument", open.each, open, "delete from users")
end)

test("a file that is not there, in a folder that is not there, a folder, a file that is none", function(t)
  local folder = t.tmp()
  local err = t.raises("db", db.open, folder .. "/no.db", { create = false })
  t.match(err.message, "no.db: there is no such file")
  err = t.raises("db", db.open, folder .. "/no.db", { readonly = true })
  t.match(err.message, "there is no such file")
  err = t.raises("db", db.open, folder .. "/a/b/no.db")
  t.match(err.message, "there is no folder " .. folder:gsub("%p", "%%%0") .. "/a/b")
  err = t.raises("db", db.open, folder)
  t.match(err.message, "it is a folder")
  stoke.fs.write(folder .. "/text.db", ("this is no database\n"):rep(100))
  local _, none = stoke.try(function()
    local open <close> = db.open(folder .. "/text.db")
    open:query "select * from a"
  end)
  t.eq({ none.kind, none.code }, { "db", "SQLITE_NOTADB" })
  t.match(none.hint, "something else than a database")
end)

test("a damaged file is an error of kind db, and nothing worse", function(t)
  local path = t.tmp() .. "/x.db"
  do
    local open <close> = db.open(path)
    open:exec [[create table a (x, y);
      insert into a with recursive n(i) as (select 1 union all select i + 1 from n where i < 2000) select i, hex(i) from n]]
  end
  local bytes = stoke.fs.read(path)
  stoke.fs.write(path, bytes:sub(1, 4096) .. ("\90"):rep(8192) .. bytes:sub(4096 + 8192 + 1))
  local _, err = stoke.try(function()
    local open <close> = db.open(path)
    return open:one "select sum(x) as s from a"
  end)
  t.eq({ err.kind, err.code:match "^SQLITE_CORRUPT" }, { "db", "SQLITE_CORRUPT" })
  t.match(err.hint, "backup")
end)

test("an unhandled error ends a script with exit code 5 and its words", { programs = true }, function(t)
  local r = stoke.proc.run { argv = { require "core.about".executable(), "-e",
    'local db <close> = require "stoke".db.open ":memory:"; db:query "select * from x"' } }
  t.eq(r.code, 5)
  t.match(r.stderr, "db: :memory:: no such table: x; in: select %* from x")
  t.match(r.stderr, "hint: it has no tables yet")
end)
