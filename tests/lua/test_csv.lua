-- CSV as RFC 4180 has it, and tables of rows: stdlib/csv.lua, stdlib/stats/table.lua.
local stoke = require "stoke"
local csv, json, stats = stoke.csv, stoke.json, stoke.stats
local test = require "stoke.test"

test("rows are read by the names of the first line", function(t)
  local rows, columns = csv.decode "name,city\r\nAda,London\r\n\"Hopper, Grace\",\"New\r\nYork\"\r\n"
  t.eq(rows, { { name = "Ada", city = "London" }, { name = "Hopper, Grace", city = "New\r\nYork" } })
  t.eq(columns, { "name", "city" })
end)

test("a quote inside a cell is written twice", function(t)
  t.eq(csv.decode 'a\n"he said ""no"""\n', { { a = 'he said "no"' } })
  t.eq(csv.encode { { a = 'he said "no"' } }, 'a\r\n"he said ""no"""\r\n')
end)

test("an empty cell is missing, an empty text in quotes is not", function(t)
  t.eq(csv.decode 'a,b\n,""\n', { { b = "" } })
  t.eq(csv.encode({ { b = "" } }, { columns = { "a", "b" } }), 'a,b\r\n,""\r\n')
end)

test("lines end with CRLF, LF or CR, the last one with nothing, and empty ones are passed over", function(t)
  local want = { { a = "1", b = "2" }, { a = "3", b = "4" } }
  for _, text in ipairs { "a,b\r\n1,2\r\n3,4\r\n", "a,b\n1,2\n3,4", "a,b\r1,2\r3,4\r", "\u{FEFF}a,b\n1,2\n\n3,4\n\n" } do
    t.eq(csv.decode(text), want)
  end
end)

test("a column that is to be numbers and is not there is told", function(t)
  local message = t.raises("argument", csv.decode, "name,score\na,1\n", { numbers = { "scroe" } }).message
  t.contains(message, 'numbers names the string "scroe", which is no column (did you mean score?)')
  t.eq(csv.decode("", { numbers = { "score" } }), {})
end)

test("numbers are read where that is asked for, and only what is one", function(t)
  local text = "id,n,x\n007,12,-1.5e3\n0x10,1.2.3,.5\n"
  t.eq(csv.decode(text), { { id = "007", n = "12", x = "-1.5e3" }, { id = "0x10", n = "1.2.3", x = ".5" } })
  t.eq(csv.decode(text, { numbers = { "n", "x" } }), { { id = "007", n = 12, x = -1500.0 }, { id = "0x10", n = "1.2.3", x = 0.5 } })
  t.eq(csv.decode("nan,inf\n1, 2 \n", { numbers = true, header = false }), { { "nan", "inf" }, { 1, 2 } })
end)

test("without a header rows are lists, with another separator they are divided by it", function(t)
  t.eq(csv.decode("a;b\n;2\n", { header = false, separator = ";" }), { { "a", "b" }, { "", "2" } })
  t.eq(csv.decode("a\tb\n1\t2\n", { separator = "\t" }), { { a = "1", b = "2" } })
  t.eq(csv.encode { { 1, "x,y" }, { true, "" } }, '1,"x,y"\r\ntrue,""\r\n')
  t.eq(csv.encode({ { a = "x;y", b = 1.0 } }, { separator = ";" }), 'a;b\r\n"x;y";1.0\r\n')
end)

test("what is broken is named by its line", function(t)
  local function says(line, pattern, text, options)
    local err = t.raises("protocol", csv.decode, text, options)
    t.match(err.message, pattern)
    t.eq(err.line, line)
  end
  says(3, "line 3: 3 cells, the first line has 2", "a,b\n1,2\n1,2,3\n")
  says(2, "line 2, column 2: a quote is opened and never closed", 'a,b\n1,"2\n3,4\n')
  says(4, "line 4, column 1: text behind the closing quote", 'a,b\n"1\n",2\n"3"x,4\n')
  says(2, "a quote in a cell that does not begin with one", 'a,b\n1 "x",2\n')
  says(1, "line 1, column 2: the name \"a\" is that of column 1", "a,a\n1,2\n")
  says(1, "line 1, column 1: the column has no name", ",a\n1,2\n")
  t.raises("argument", csv.decode, 5)
  t.raises("argument", csv.decode, "a", { separator = "::" })
  t.raises("limit", csv.decode, ("a"):rep(100), { max_size = 99 })
end)

test("what CSV cannot say is named by its place", function(t)
  local function says(pattern, ...) t.match(t.raises("argument", csv.encode, ...).message, pattern) end
  says("row 2, a is NaN", { { a = 1 }, { a = 0 / 0 } })
  says("row 1, a is infinite", { { a = math.huge } })
  says("row 1, a must be a text, a number, a boolean or nil, got a table", { { a = {} } })
  says("row 2 must be a table", { { a = 1 }, 5 })
  says("row 2 has 1 cells, the first one 2", { { 1, 2 }, { 1 } })
  says("unknown option colums.*did you mean columns", {}, { colums = {} })
end)

test("a text that a spreadsheet would compute can be kept from it", function(t)
  local rows = { { a = "=1+1" }, { a = "-5" }, { a = "@x" }, { a = -5 } }
  t.eq(csv.encode(rows), "a\r\n=1+1\r\n-5\r\n@x\r\n-5\r\n")
  t.eq(csv.encode(rows, { formulas = false }), "a\r\n'=1+1\r\n-5\r\n'@x\r\n-5\r\n")
end)

test("a text that begins with the mark of UTF-8 keeps it, also at the very beginning", function(t)
  t.eq((csv.decode(csv.encode { { "\u{FEFF}a", "b" } }, { header = false })), { { "\u{FEFF}a", "b" } })
end)

test("what is written is read the same", function(t)
  local pieces = { "", "a", ",", '"', "\r\n", "\n", "\r", " ", "ü", "=", "0", "\t", "\u{FEFF}", ";" }
  for seed = 1, 300 do
    local random, rows = stoke.rand.new(seed), {}
    local width, separator = random:int(1, 4), random:int(0, 1) == 0 and "," or ";"
    for i = 1, random:int(1, 5) do
      rows[i] = {}
      for j = 1, width do
        local parts = {}
        for k = 1, random:int(0, 4) do parts[k] = pieces[random:int(1, #pieces)] end
        if random:int(1, 4) > 1 then rows[i]["c" .. j] = table.concat(parts) end
      end
    end
    local columns = { "c1", "c2", "c3", "c4" }
    columns = table.move(columns, 1, width, 1, {})
    local text = csv.encode(rows, { columns = columns, separator = separator })
    local back, names = csv.decode(text, { separator = separator })
    t.eq(back, rows, ("seed %d: %q"):format(seed, text))
    t.eq(names, columns)
  end
end)

-- ---- tables --------------------------------------------------------------------------------------------------------------------

local function answers()
  return stats.table({
    { name = "Ada", advert = "a", score = 7, buys = true },
    { name = "Grace", advert = "b", score = 4.5, buys = false },
    { name = "Edsger", advert = "a", score = 9, buys = true },
    { name = "Barbara", advert = "b", score = json.null, buys = true },
  }, { "name", "advert", "score", "buys" })
end

test("a column is a sample, without what is missing", function(t)
  local table_of = answers()
  t.eq(table_of:column "score", { 7, 4.5, 9 })
  t.eq(stats.mean(table_of:where({ advert = "a" }):column "score"), 8.0)
  t.eq({ stats.table({ { x = 1, y = 2 }, { x = 3 }, { y = 4 }, { x = 5, y = 6 } }):pairs("x", "y") }, { { 1, 5 }, { 2, 6 } })
  t.match(t.raises("argument", table_of.column, table_of, "scor").message, "no column \"scor\" %(did you mean score%?%)")
  t.match(t.raises("argument", table_of.column, table_of, "name").message, "name of row 1 is no number but the string \"Ada\"")
  t.match(t.raises("argument", function() return table_of:colum "score" end).message, "did you mean column")
end)

test("groups come in the order of their first rows", function(t)
  local groups = answers():group "advert"
  t.eq({ groups[1].key, #groups[1].table.rows, groups[2].key, #groups[2].table.rows }, { "a", 2, "b", 2 })
  local rows = answers():describe("score", { by = "advert" }).rows
  t.eq({ rows[1].advert, rows[1].n, rows[1].mean, rows[2].n, rows[2].sd }, { "a", 2, 8.0, 1 })
end)

test("values that come together are counted, ready for a test", function(t)
  local cross = answers():crosstab("advert", "buys")
  t.eq(cross, { rows = { "a", "b" }, columns = { false, true }, counts = { { 0, 2 }, { 1, 1 } } })
  t.eq(stats.fisher(cross).p, stats.fisher({ { 0, 2 }, { 1, 1 } }).p)
  t.eq(stats.chi_squared(cross).n, 4)
end)

test("a table is text, CSV, JSON and JSON lines", function(t)
  t.eq(answers():text(), [[
name     advert  score  buys
Ada      a           7  true
Grace    b         4.5  false
Edsger   a           9  true
Barbara  b              true
]])
  t.eq(answers():csv(), "name,advert,score,buys\r\nAda,a,7,true\r\nGrace,b,4.5,false\r\nEdsger,a,9,true\r\nBarbara,b,,true\r\n")
  t.eq(answers():where({ name = "Grace" }):json(), '[{"name":"Grace","advert":"b","score":4.5,"buys":false}]')
  t.eq(answers():where({ advert = "b" }):lines(),
    '{"name":"Grace","advert":"b","score":4.5,"buys":false}\n{"name":"Barbara","advert":"b","score":null,"buys":true}\n')
  t.eq({ stats.table({}):text(), stats.table({}):csv(), stats.table({}):json(), stats.table({}):lines() }, { "", "", "[]", "" })
end)

test("what a stranger wrote cannot steer the terminal", function(t)
  t.eq(stats.table({ { a = "\27[2Jx\ny" } }):text(), "a\n[2Jx y\n")
end)

test("rows that are no rows are named", function(t)
  t.match(t.raises("argument", stats.table, { { 1, 2 } }).message, "row 1 has the key 1")
  t.match(t.raises("argument", stats.table, { 5 }).message, "row 1 must be a table")
  t.match(t.raises("argument", stats.table, {}, { 5 }).message, "column 1 must be a name")
end)
