-- stoke.db: what is bound comes back as it was; parameters are checked; nothing of a value is ever read as SQL.

local host = require "host.store"
local json = require "stoke.json"
local sql = require "core.driver.db.sql"
local stoke = require "stoke"
local test = require "stoke.test"

local db = stoke.db

local function same(value)
  local open <close> = db.open(":memory:", { nulls = true })
  open:exec "create table v (x)"
  open:exec("insert into v values (?)", value)
  local row = open:one "select x, typeof(x) as kind from v"
  return row.x, row.kind
end

for _, case in ipairs {
  { "the smallest integer", math.mininteger, "integer" }, { "the largest integer", math.maxinteger, "integer" },
  { "an integer beyond 2^53", (1 << 53) + 1, "integer" }, { "a float that is whole", 3.0, "real" }, { "a float", 0.1, "real" },
  { "the smallest float", 5e-324, "real" }, { "infinity", math.huge, "real" }, { "minus infinity", -math.huge, "real" },
  { "a text", "Grüße, 世界", "text" }, { "an empty text", "", "text" }, { "a text with a NUL byte", "a\0b", "text" },
  { "a quote", "it's \"x\"; drop table v --", "text" }, { "bytes that are no UTF-8", "\255\0\1", "blob" },
  { "NULL", json.null, "null" },
} do
  test(("%s comes back as it was"):format(case[1]), function(t)
    local value, kind = same(case[2])
    t.eq({ value, math.type(value), kind }, { case[2], math.type(case[2]), case[3] })
  end)
end

test("a blob of any bytes is stored as one, and comes back as a string", function(t)
  for _, bytes in ipairs { "plain", "", "\0\255" } do
    local value, kind = same(db.blob(bytes))
    t.eq({ value, kind }, { bytes, "blob" })
  end
  t.raises("argument", db.blob, 3)
end)

test("true and false are stored as 1 and 0", function(t)
  t.eq({ same(true) }, { 1, "integer" })
  t.eq({ same(false) }, { 0, "integer" })
end)

test("a text of a megabyte comes back whole", { effects = false }, function(t)
  local text = ("0123456789abcdef"):rep(1 << 16)
  t.eq(same(text) == text, true)
end)

test("NULL is nil in rows, and db.null where that was asked for", function(t)
  local open <close> = db.open ":memory:"
  local row = open:one "select null as a, 1 as b"
  t.eq({ row.a, row.b, next(row) }, { nil, 1, "b", 1 })
  local full <close> = db.open(":memory:", { nulls = true })
  t.eq(full:one("select null as a, 1 as b").a, db.null)
  t.eq(db.null, json.null)
end)

test("what cannot be bound is refused, with what to do instead", function(t)
  local open <close> = db.open ":memory:"
  t.match(t.raises("argument", open.query, open, "select ? as x", {}, 1).message, "json.encode")
  t.match(t.raises("argument", open.query, open, "select :x as x", { x = { 1 } }).message, ":x is a table")
  t.match(t.raises("argument", open.query, open, "select ? as x", print).message, "cannot be bound")
  t.match(t.raises("argument", open.query, open, "select ? as x", 0 / 0).message, "not a number")
end)

test("texts that look like SQL stay texts", function(t)
  local open <close> = db.open ":memory:"
  open:exec "create table users (name text, admin integer)"
  for _, text in ipairs { "'); drop table users; --", "' or '1'='1", "x', 1); --", "\\'; delete from users", "?", ":name",
    "%27" } do
    open:exec("insert into users values (?, 0)", text)
    t.eq(open:query("select name, admin from users where name = :name", { name = text }), { { name = text, admin = 0 } })
  end
  t.eq(open:one "select count(*) as n from users", { n = 7 })
end)

-- ---- parameters -----------------------------------------------------------------------------------------------------------------

test("values are given by place, by number and by name, with each of the three signs", function(t)
  local open <close> = db.open ":memory:"
  t.eq(open:one("select ? as a, ? as b", 1, 2), { a = 1, b = 2 })
  t.eq(open:one("select ?2 as a, ?1 as b", 1, 2), { a = 2, b = 1 })
  t.eq(open:one("select :x as a, @y as b, $z as c, :x as d", { x = 1, y = 2, z = 3 }), { a = 1, b = 2, c = 3, d = 1 })
  t.eq(open:one("select :x as a", { [":x"] = 1 }), { a = 1 })
  t.eq(open:one("select ? as a, ? as b", { 1, 2 }), { a = 1, b = 2 })
  t.eq(open:one("select :x as a, :y as b", 1, 2), { a = 1, b = 2 })
end)

local WRONG = {
  { "no value for a place", { "select ?, ?", 1 }, "?2", "parameter %?2 has no value" },
  { "nil for a place", { "select ?, ?", nil, 1 }, "?1", "value of parameter %?1 is nil", n = 3 },
  { "no value for a name", { "select :a, :b", { a = 1 } }, ":b", "parameter :b has no value" },
  { "a name too many", { "select :id", { id = 1, idd = 2 } }, ":idd", "the value idd is used by no parameter" },
  { "a value too many", { "select ?", 1, 2 }, "?2", "2 values are given, and the statement has one parameter" },
  { "a value where there is no parameter", { "select 1", 1 }, "?1", "the statement has no parameters" },
  { "names for places", { "select ?, :a", { a = 1 } }, "?1", "parameter %?1 has no value" },
  { "no values at all", { "select :who" }, ":who", "parameter :who has no value" },
}
for _, case in ipairs(WRONG) do
  test(("%s is an error that names it"):format(case[1]), function(t)
    local open <close> = db.open ":memory:"
    local err = t.raises("db", open.query, open, table.unpack(case[2], 1, case.n or #case[2]))
    t.eq(err.parameter, case[3])
    t.match(err.message, case[4])
    t.match(err.message, "; in: select")
    t.ok(err.hint)
  end)
end

test("a name that is close to one of the statement is suggested", function(t)
  local open <close> = db.open ":memory:"
  t.eq(t.raises("db", open.query, open, "select :name", { nmae = 1 }).hint, "did you mean name?")
end)

test("a question mark in a string, a name or a comment is no parameter", function(t)
  local open <close> = db.open ":memory:"
  t.eq(open:one("select '?' as a, 2 as \"b?\", ? as c -- ?\n /* :x */", 1), { a = "?", ["b?"] = 2, c = 1 })
end)

test("values by name and by place in one table are refused", function(t)
  local open <close> = db.open ":memory:"
  t.raises("argument", open.query, open, "select :a", { a = 1, [2] = 3 })
end)

-- The statement is looked at here before SQLite does: both have to see the same parameters.
test("of random texts that SQLite takes it is known how many parameters they have", { effects = false }, function(t)
  local PIECES <const> = { "?", "?1", "?3", ":a", "@b", "$c", ":a", "'?'", "'it''s :x'", '"n?"', "[q ?]", "`z :y`", "-- ? :x\n",
    "/* ? :b */", "1", "1.5e3", "x'00'", "a$b", "null", " ", "\n", "$d::e", "é", ":é", "1e", "?1a", ".5", "0x1F", "-", "/", "(1)",
    "'", "\xEF\xBB\xBF" }
  local raw <close> = host.open(":memory:", {})
  local taken = 0
  for _ = 1, 3000 do
    local parts = {}
    for k = 1, math.random(1, 5) do
      local words = {}
      for j = 1, math.random(1, 3) do words[j] = PIECES[math.random(#PIECES)] end
      parts[k] = table.concat(words, math.random(2) == 1 and " " or "")
    end
    local text = "select " .. table.concat(parts, ", ")
    local found, params = sql.read(text), {}
    for place = 1, found.places do params[place] = place end
    local answer, err = raw:query(text, params)
    if answer then
      taken = taken + 1
      t.eq(found.count, 1, text)
    else
      t.ne(err.code, "SQLITE_RANGE", text)
    end
  end
  t.ok(taken > 100)
end)
