-- The input of a batch: rows of files, read as a stream; what cannot be read is named with its line.

local test = require "stoke.test"
local fs = require "stoke.fs"
local read = require "stoke.batch.read"

--- All rows of a file with this text, as { row, id, line, bad or input }.
local function rows_of(t, name, text, options)
  local path = t.tmp() .. "/" .. name
  fs.write(path, text)
  local reader, list = read.file(path, options), {}
  while true do
    local rows = reader:next(2)
    if #rows == 0 then return list, path end
    for _, row in ipairs(rows) do list[#list + 1] = { row.row, row.id, row.line, row.bad or row.input } end
  end
end

test("JSON lines: objects and texts; an id of its own, else the number of the row", function(t)
  t.eq(rows_of(t, "a.jsonl", '\u{FEFF}{"id":7,"x":1}\n\n"hello"\r\n{"custom_id":"c"}'), {
    { 1, "7", 1, { id = 7, x = 1 } }, { 2, "row 2", 3, { prompt = "hello" } }, { 3, "c", 4, { custom_id = "c" } } })
end)

test("lines of text are prompts, and empty ones are passed over", function(t)
  t.eq(rows_of(t, "a.txt", "one\n\n  \ntwo\n"), { { 1, "row 1", 1, { prompt = "one" } }, { 2, "row 2", 4, { prompt = "two" } } })
end)

test("CSV and TSV: by the names of the first line, cells over several lines, too", function(t)
  t.eq(rows_of(t, "a.csv", 'id,text\nada,"two\nlines, and ""quotes"""\nbob,\n'), {
    { 1, "ada", 2, { id = "ada", text = 'two\nlines, and "quotes"' } }, { 2, "bob", 4, { id = "bob" } } })
  t.eq(rows_of(t, "a.tsv", "a\tb\n1,2\t3\n"), { { 1, "row 1", 2, { a = "1,2", b = "3" } } })
end)

test("the id may stand in a column that is named; a row without it is told", function(t)
  t.eq(rows_of(t, "a.jsonl", '{"ticket":"T1"}\n{"id":"x"}\n', { key = "ticket" }), {
    { 1, "T1", 1, { ticket = "T1" } }, { 2, "row 2", 2, "it has no ticket, which is to be its id" } })
end)

test("a line that cannot be read is a row that says why, and the next ones are read", function(t)
  local list = rows_of(t, "a.jsonl", '{bad\n[1]\n{"id":"a\\u0000"}\n{"id":1.5}\n{"id":"fine"}\n')
  for i, words in ipairs { "it is no JSON: ", "it must be a JSON object", "its id must be a text of at most 255 bytes",
    "its id must be a text or a whole number, not 1.5" } do
    t.contains(list[i][4], words)
    t.eq(list[i][3], i)
  end
  t.eq(list[5], { 5, "fine", 5, { id = "fine" } })
  local csv = rows_of(t, "b.csv", 'a,b\n1,2,3\nx,5" pipe\n4,\xff\n"open,1\n6,7\n')
  for i, words in ipairs { "3 cells, the first line has 2", "a quote in a cell", "column b is no UTF-8",
    "a quote is opened and never closed" } do
    t.contains(csv[i][4], words)
    t.eq(csv[i][3], i + 1)
  end
  t.eq(csv[5], { 5, "row 5", 6, { a = "6", b = "7" } })
end)

test("a line that is too long is told, and does not stay in memory", function(t)
  local list = rows_of(t, "a.jsonl", '{"a":"' .. ("x"):rep(9 << 20) .. '"}\n{"a":2}\n')
  t.eq(list, { { 1, "row 1", 1, "the line is longer than 8 MB" }, { 2, "row 2", 2, { a = 2 } } })
end)

test("rows that are large come few at a time", function(t)
  local path = t.tmp() .. "/a.txt"
  fs.write(path, (("x"):rep(3 << 20) .. "\n"):rep(5))
  local reader, counts = read.file(path), {}
  repeat
    counts[#counts + 1] = #reader:next(100)
  until reader.ended
  t.eq(counts, { 2, 2, 1 })
end)

test("a reader goes on at each place that another one had reached", function(t)
  local text = 'a,b\n1,"x\ny"\n\nbad\n2,z\n"open,1\n3,w'
  local whole, path = rows_of(t, "a.csv", text)
  for stop = 1, #whole do
    local first = read.file(path)
    for _ = 1, stop do first:next(1) end
    local second, list = read.file(path, { place = first:place() }), {}
    for _, row in ipairs(second:next(100)) do list[#list + 1] = { row.row, row.id, row.line, row.bad or row.input } end
    t.eq(list, table.move(whole, stop + 1, #whole, 1, {}), "from row " .. stop)
  end
end)

test("a file that changed before the place is another one; rows may be added behind", function(t)
  local path = t.tmp() .. "/a.txt"
  fs.write(path, "one\ntwo\nthree\n")
  local reader = read.file(path)
  reader:next(2)
  local place = reader:place()
  fs.write(path, "one\ntwo\nthree\nfour\n")
  t.eq(#read.file(path, { place = place }):next(9), 2)
  fs.write(path, "one\ntow\nthree\nfour\n")
  t.contains(t.raises("usage", read.file, path, { place = place }).message, "is not what it was when the batch had read 2 rows")
end)

test("what is no input is told: another format, a folder, no names of columns", function(t)
  local folder = t.tmp()
  fs.write(folder .. "/a.csv", "")
  fs.write(folder .. "/b.csv", "a,a\n1,2\n")
  fs.mkdir(folder .. "/c.csv")
  t.contains(t.raises("usage", read.file, folder .. "/a.json").hint, "one JSON object a line")
  t.contains(t.raises("protocol", read.file, folder .. "/a.csv").message, "a.csv:1: the file is empty")
  t.contains(t.raises("protocol", read.file, folder .. "/b.csv").message, "b.csv:1: column 2: the name \"a\" is that of column 1")
  t.contains(t.raises("os", read.file, folder .. "/c.csv").message, "is a folder")
  t.contains(t.raises("os", read.file, folder .. "/d.csv").message, "there is no file")
end)

test("a list and an iterator give rows, too", function(t)
  local function ids(given)
    local list = {}
    for _, row in ipairs(read.values(given):next(10)) do list[#list + 1] = row.id end
    return list
  end
  t.eq(ids { { id = "a" }, "text", { id = 3 } }, { "a", "row 2", "3" })
  local n = 0
  t.eq(ids(function()
    n = n + 1
    return n < 3 and { n = n } or nil
  end), { "row 1", "row 2" })
  t.contains(t.raises("argument", function() ids { 5 } end).message, "row 1 must be a table or a text")
end)
