-- stoke.vectors: sets in memory and in a file, by scripts.

local about = require "core.about"
local core = require "core.vectors"
local driver = require "core.driver.vectors"
local durable = require "durable"
local engine = require "host.store"
local stoke = require "stoke"
local test = require "stoke.test"
local vectors = require "stoke.vectors"

local function ids(hits)
  local out = {}
  for i, hit in ipairs(hits) do out[i] = hit.id end
  return out
end

local function fill(set)
  set:add("east", { 1, 0 }, { axis = true, n = 1 })
  set:add_all { { id = 45, vector = { 1, 1 }, tags = { n = 2 } }, { id = "north", vector = { 0, 2 }, tags = { axis = true } } }
end

--- Each behaviour of both kinds.
local function both(name, f)
  test(name .. ": in memory", function(t) f(t, vectors()) end)
  test(name .. ": in a file", { real = true }, function(t)
    local set <close> = vectors(t.tmp() .. "/x.vectors")
    f(t, set)
  end)
end

both("rows are added, found, read and deleted", function(t, set)
  t.eq(set:search({ 1, 2, 3 }, 1), {})
  t.eq(set:count(), 0)
  fill(set)
  local hits = set:search({ 2, 0.5 }, 9)
  t.eq(ids(hits), { "east", 45, "north" })
  t.eq(hits[1].tags, { axis = true, n = 1 })
  local vector, tags = set:get(45)
  t.eq({ vector, tags }, { { 1.0, 1.0 }, { n = 2 } })
  t.eq(set:get "west", nil)
  t.eq(set:delete("east", "west", 45), 2)
  t.eq(ids(set:search({ 2, 0.5 }, 9)), { "north" })
  t.eq(set:count(), 1)
  set:add(45, { 3, 0 })
  t.eq(ids(set:search({ 2, 0.5 }, 9)), { 45, "north" })
  t.ok(set:bytes() > 500)
end)

both("a filter, ids alone, and a least score", function(t, set)
  fill(set)
  t.eq(ids(set:search({ 1, 0 }, 9, { filter = { axis = true } })), { "east", "north" })
  t.eq(ids(set:search({ 1, 0 }, 9, { filter = { n = { 2, 3 } } })), { 45 })
  t.eq(ids(set:search({ 1, 0 }, 9, { only = { 45, "north" } })), { 45, "north" })
  t.eq(ids(set:search({ 1, 0 }, 9, { min = 0.5 })), { "east", 45 })
end)

both("a replaced row keeps its place among equals, one that was deleted comes last", function(t, set)
  for i = 1, 5 do set:add(i, { 1, 1 }) end
  set:add(2, { 1, 1 })
  set:delete(3)
  set:add(3, { 1, 1 })
  t.eq(ids(set:search({ 1, 1 }, 9)), { 1, 2, 4, 5, 3 })
end)

both("the string \"7\" is not the integer 7", function(t, set)
  set:add("7", { 1, 0 })
  set:add(7.0, { 1, 0 })
  t.eq(set:count(), 2)
  t.eq(ids(set:search({ 1, 0 }, 9)), { "7", 7 })
  t.eq(set:delete(7), 1)
  t.eq(ids(set:search({ 1, 0 }, 9)), { "7" })
end)

both("what cannot be added is refused, and nothing of its list is added", function(t, set)
  fill(set)
  for _, bad in ipairs { { 1, 2, 3 }, { 0 / 0, 1 }, { 0, 0 }, { 1e39, 1 }, { 1, "x" }, "abc", 5 } do
    t.raises("argument", set.add_all, set, { { id = "new", vector = { 1, 2 } }, { id = "bad", vector = bad } })
    t.raises("argument", set.search, set, bad, 1)
  end
  t.raises("argument", set.add, set, {}, { 1, 2 })
  t.raises("argument", set.add, set, 1, { 1, 2 }, { x = {} })
  t.raises("argument", set.search, set, { 1, 2 }, 0)
  t.raises("argument", set.search, set, { 1, 2 }, 1, { where = 1 })
  t.eq(set:count(), 3)
end)

both("an error names the row of a list, and the call that was made", function(t, set)
  fill(set)
  local function message(f, ...) return select(2, stoke.try(f, set, ...)).message end
  t.eq(message(set.add_all, { { id = 1, vector = { 1, 2 } }, { id = 2, vector = { 1, 2, 3 } } }),
    "vectors:add_all: row 2: the vector has 3 numbers, and the set is for 2")
  t.eq(message(set.add, 1, { 0, 0 }), "vectors:add: the vector is zero: it has no direction to compare by cosine")
  t.eq(message(set.add, 1, "abc"), "vectors:add: a string of vectors.pack has four bytes for each number, and this one 3 bytes")
end)

test("rows that are refused do not say how long the vectors of an empty set are", { real = true }, function(t)
  for _, where in ipairs { false, t.tmp() .. "/x.vectors" } do
    local set <close> = vectors(where or nil)
    t.raises("argument", set.add_all, set, { { id = 1, vector = { 1, 2, 3 } }, { id = 2, vector = { 1, 2 } } })
    set:add(1, { 1, 2 })
    t.eq(set:get(1), { 1.0, 2.0 })
  end
end)

test("max_rows: what would be too many is refused, in a file as a whole", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  local set <close> = vectors(path, { max_rows = 3 })
  fill(set)
  set:add(45, { 2, 1 })
  local err = t.raises("limit", set.add, set, "new", { 1, 2 })
  t.contains(err.message, "max_rows")
  t.raises("limit", set.add_all, set, { { id = 45, vector = { 9, 9 } }, { id = "new", vector = { 1, 2 } } })
  t.eq(set:get(45), { 2.0, 1.0 })
  set:delete "east"
  set:add("new", { 1, 2 })
  t.eq(set:count(), 3)
  local memory = vectors(nil, { max_rows = 1 })
  memory:add(1, { 1 })
  t.raises("limit", memory.add, memory, 2, { 1 })
end)

test("a file whose set needs more than max_bytes says so", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  do
    local set <close> = vectors(path)
    local rows = {}
    for i = 1, 100 do rows[i] = { id = i, vector = { i, 1 } } end
    set:add_all(rows)
  end
  local err = t.raises("limit", vectors, path, { max_bytes = 2000 })
  t.contains(err.message, "x.vectors")
  t.contains(err.message, "max_bytes")
end)

test("what was added is there when the file is opened again, and may be looked at alone", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  do
    local set <close> = vectors(path, { metric = "dot" })
    fill(set)
    set:delete(45)
  end
  local set <close> = vectors(path, { readonly = true })
  local hits = set:search({ 0, 1 }, 9)
  t.eq(hits, { { id = "north", score = 2.0, tags = { axis = true } },
    { id = "east", score = 0.0, tags = { axis = true, n = 1 } } })
  t.raises("db", set.add, set, 1, { 1, 2 })
  t.raises("argument", vectors, path, { metric = "cosine" })
  t.raises("argument", vectors, path, { dim = 3 })
  t.raises("db", vectors, t.tmp() .. "/none.vectors", { create = false })
end)

test("a set in an open database is changed in its transactions", { real = true }, function(t)
  local db <close> = stoke.db.open(t.tmp() .. "/notes.db")
  db:exec "create table notes (id integer primary key, text)"
  local set <close> = vectors(db, { name = "meanings" })
  pcall(db.transaction, db, function(tx)
    tx:exec "insert into notes values (1, 'milk')"
    set:add(1, { 1, 0 })
    error "no"
  end)
  t.eq({ set:count(), set:search({ 1, 0 }, 1) }, { 0, {} })
  db:transaction(function(tx)
    tx:exec "insert into notes values (1, 'milk')"
    set:add(1, { 1, 0 })
  end)
  t.eq(ids(set:search({ 1, 0 }, 1)), { 1 })
  set:close()
  t.eq(db:one("select text from notes").text, "milk")
end)

test("a table of that name which is another's is left alone", { real = true }, function(t)
  local db <close> = stoke.db.open(t.tmp() .. "/x.db")
  db:exec "create table vectors (x)"
  t.raises("db", vectors, db)
  t.raises("argument", vectors, db, { name = "a; drop table vectors" })
  t.raises("argument", vectors, ":memory:")
  t.raises("argument", vectors, 5)
end)

test("each sees what the other has written: added, replaced, deleted, added again", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  local one <close> = vectors(path)
  local two <close> = vectors(path)
  fill(one)
  t.eq(ids(two:search({ 1, 0 }, 9)), { "east", 45, "north" })
  two:delete(45)
  two:add("east", { 0, -1 })
  t.eq(ids(one:search({ 1, 0.1 }, 9)), { "north", "east" })
  one:add(45, { 1, 0 })
  t.eq(ids(two:search({ 1, 0.1 }, 9)), { 45, "north", "east" })
  t.raises("argument", two.add, two, 1, { 1, 2, 3 })
end)

test("two that begin an empty file with vectors of different lengths: the second is told", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  local one <close> = vectors(path)
  local two <close> = vectors(path)
  one:add(1, { 1, 2 })
  t.raises("argument", two.add, two, 2, { 1, 2, 3 })
  two:add(2, { 2, 1 })
  t.eq(ids(one:search({ 1, 2 }, 9)), { 1, 2 })
end)

test("who is behind by more deletions than are remembered reads all again", { real = true }, function(t)
  local path, forget = t.tmp() .. "/x.vectors", driver.FORGET
  local one <close> = vectors(path)
  fill(one)
  t.eq(#one:search({ 1, 0 }, 9), 3)
  driver.FORGET = 3
  local _ <close> = setmetatable({}, { __close = function() driver.FORGET = forget end })
  local two <close> = vectors(path)
  two:delete "east"
  for i = 1, 10 do
    two:add(i, { 1, 0 })
    two:delete(i)
  end
  local db <close> = stoke.db.open(path)
  t.ok(db:one("select count(*) as n from vectors_gone").n <= 3)
  t.eq(ids(one:search({ 1, 0 }, 9)), { 45, "north" })
end)

test("changes by two processes at random are what one that opens it later finds", { real = true }, function(t)
  local path, random = t.tmp() .. "/x.vectors", require "core.random".stream "kept vectors"
  local sets = { vectors(path), vectors(path) }
  for _ = 1, 120 do
    local set = sets[random:int(1, 2)]
    if random:int(1, 3) < 3 then
      set:add(random:int(1, 20), { random:float() + 0.1, random:float() }, { n = random:int(1, 3) })
    else
      set:delete(random:int(1, 20))
    end
    if random:int(1, 5) == 1 then t.eq(sets[1]:search({ 1, 0.5 }, 50), sets[2]:search({ 1, 0.5 }, 50)) end
  end
  local fresh <close> = vectors(path)
  t.eq(fresh:search({ 1, 0.5 }, 50), sets[1]:search({ 1, 0.5 }, 50))
  t.eq(fresh:count(), #fresh:search({ 1, 0.5 }, 50))
  for _, set in ipairs(sets) do set:close() end
end)

test("a full disk: the error says so, and the set is as it was", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  engine.fault { full = 1 << 40 }
  local _ <close> = setmetatable({}, { __close = function() engine.fault() end })
  local set <close> = vectors(path)
  fill(set)
  local before = set:search({ 1, 0 }, 9)
  engine.fault { full = 1, times = 20 }
  local err = t.raises("db", set.add, set, "new", { 1, 2 })
  t.eq(err.code, "SQLITE_FULL")
  engine.fault { full = 1 << 40 }
  t.eq(set:search({ 1, 0 }, 9), before)
  set:add("new", { 1, 2 })
  t.eq(set:count(), 4)
end)

test("a damaged row is told, and the others' search fails with it", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  local set <close> = vectors(path)
  fill(set)
  local db <close> = stoke.db.open(path)
  db:exec "update vectors set vector = x'00', change = (select change from vectors_set) + 1 where id = 'east'"
  db:exec "update vectors_set set change = change + 1"
  local err = t.raises("db", set.search, set, { 1, 0 }, 1)
  t.contains(err.message, "bytes")
end)

--- What is done to a file with other tools, and what must be said of it.
local DAMAGE <const> = {
  { "update vectors set vector = x'0000c07f0000803f' where id = 'east'", "row 1: a number of the vector is not finite" },
  { "update vectors set vector = x'0000000000000000' where id = 'east'", "row 1: the vector is zero" },
  { "update vectors set tags = 'no json' where id = 'east'", "tags of row 1" },
  { "update vectors set tags = '[1]' where id = 'east'", "row 1: " },
  { "update vectors set tags = '{\"a\": {}}' where id = 'east'", "row 1: " },
  { "update vectors set id = 1.5 where id = 'east'", "an id is a string or an integer" },
  { "update vectors_set set dim = 0", "3 rows of vectors without numbers" },
  { "update vectors_set set dim = -1", "got -1" }, { "update vectors_set set dim = 1000000000", "16384" },
  { "update vectors_set set dim = 3", "8 bytes, and not 12" }, { "update vectors_set set metric = 'l2'", "metric" },
  { "delete from vectors_set", "has no row" },
}

test("a file that somebody has damaged is told as that, with its path and what is wrong", { real = true }, function(t)
  for i, case in ipairs(DAMAGE) do
    local path = ("%s/%d.vectors"):format(t.tmp(), i)
    do
      local set <close> = vectors(path)
      fill(set)
      local db <close> = stoke.db.open(path)
      db:exec(case[1])
    end
    local err = t.raises("db", vectors.open, path)
    t.contains(err.message, path)
    t.contains(err.message, case[2])
    t.ok(err.hint, case[1])
  end
end)

test("a row that is told to be damaged can be taken out as the hint says, and the others are there", { real = true }, function(t)
  local path = t.tmp() .. "/x.vectors"
  do
    local set <close> = vectors(path)
    fill(set)
  end
  local db <close> = stoke.db.open(path)
  db:exec "update vectors set vector = x'00' where id = 'east'"
  local err = t.raises("db", vectors.open, path)
  db:exec(err.hint:match "^(DELETE .-) takes")
  local set <close> = vectors(path)
  t.eq(ids(set:search({ 1, 0 }, 9)), { 45, "north" })
end)

both("a least score that is no number is refused", function(t, set)
  fill(set)
  t.raises("argument", set.search, set, { 1, 0 }, 1, { min = 0 / 0 })
  t.eq(#set:search({ 1, 0 }, 9, { min = 1 / 0 }), 0)
  t.eq(#set:search({ 1, 0 }, 9, { min = -1 / 0 }), 3)
end)

test("several searches at once read what is new one time, and none sees half of it", { real = true }, function(t)
  local path, rows = t.tmp() .. "/x.vectors", {}
  for i = 1, 1000 do rows[i] = { id = i, vector = { i, 1 } } end
  local one <close> = vectors(path)
  local two <close> = vectors(path)
  one:add_all(rows)
  local read, each = 0, core.new(2)
  local meta = getmetatable(each)
  local add = meta.__index.add
  meta.__index.add = function(...)
    read = read + 1
    return add(...)
  end
  local _ <close> = setmetatable({}, { __close = function() meta.__index.add = add end })
  local tasks = {}
  for i = 1, 5 do tasks[i] = stoke.spawn(function() return #two:search({ 1, 1 }, 5000) end) end
  for i = 1, 5 do t.eq(tasks[i]:await(), 1000) end
  t.eq(read, 1000)
end)

test("what was read by half is not gone on with: a row that was deleted meanwhile is not found", { real = true }, function(t)
  local path, rows = t.tmp() .. "/x.vectors", {}
  for i = 1, 300 do rows[i] = { id = i, vector = { i, 1 } } end
  local every = driver.EVERY
  driver.EVERY = 0
  local _ <close> = setmetatable({}, { __close = function() driver.EVERY = every end })
  local cut = true
  local one <close> = vectors(path)
  local two <close> = vectors(path, { progress = function() if cut then error "stop" end end })
  one:add_all(rows)
  t.raises("stop", two.search, two, { 1, 1 }, 9)
  one:delete(1)
  cut = false
  t.eq(#two:search({ 1, 1 }, 500), 299)
end)

test("a search in a large set waits on another thread, and can be cancelled", function(t)
  local set, rows = vectors(), {}
  for i = 1, core.LARGE do rows[i] = { id = i, vector = { i, 1, 0, -1 } } end
  set:add_all(rows)
  t.eq(ids(set:search({ 0, 1, 0, -1 }, 1)), { 1 })
  local searching = stoke.spawn(function() return set:search({ 0, 1, 0, -1 }, 1) end)
  stoke.spawn(function() searching:cancel() end) -- runs when it has begun, and before its end can be seen
  t.raises("cancelled", searching.await, searching)
end)

test("reading a file can be cancelled, also while others wait for it, and begins anew", { real = true }, function(t)
  local path, rows = t.tmp() .. "/x.vectors", {}
  for i = 1, 3000 do rows[i] = { id = i, vector = { i, 1 } } end
  local one <close> = vectors(path)
  local two <close> = vectors(path)
  one:add_all(rows)
  local first = stoke.spawn(function() return two:search({ 1, 1 }, 1) end)
  local second = stoke.spawn(function() return two:search({ 1, 1 }, 1) end)
  stoke.spawn(function() first:cancel() end)
  t.raises("cancelled", first.await, first)
  t.eq(ids(second:await()), { 1 })
  t.eq(#two:search({ 1, 1 }, 5000), 3000)
end)

test("progress is told while a file is read, by rows and all of them", { real = true }, function(t)
  local path, rows = t.tmp() .. "/x.vectors", {}
  for i = 1, 200 do rows[i] = { id = i, vector = { i, 1 } } end
  local one <close> = vectors(path)
  one:add_all(rows)
  local every, told = driver.EVERY, {}
  driver.EVERY = 0
  local _ <close> = setmetatable({}, { __close = function() driver.EVERY = every end })
  local two <close> = vectors(path, { progress = function(done, total) told[#told + 1] = { done, total } end })
  t.eq(told, { { 64, 200 }, { 128, 200 }, { 192, 200 }, { 200, 200 } })
  t.eq(two:count(), 200)
end)

-- ---- killed ---------------------------------------------------------------------------------------------------------------------

local WRITER <const> = [[
  local stoke = require "stoke"
  local set <close> = stoke.vectors(arg[1])
  for n = 1, 100000 do
    set:add_all { { id = n, vector = { n, 1 }, tags = { n = n } }, { id = -n, vector = { -n, 1 } } }
    if n % 3 == 0 then set:delete(n - 1) end
    io.write(n, "\n")
    io.flush()
  end
]]

test("killed while it writes: all that was acknowledged is there, and each list whole or not at all",
  { real = true, timeout = 60 }, function(t)
    for round = 1, 3 do
      local folder = t.tmp() .. "/" .. round
      stoke.fs.mkdir(folder)
      stoke.fs.write(folder .. "/writer.lua", WRITER)
      local writer <close> = stoke.proc.spawn { argv = { about.executable(), folder .. "/writer.lua", folder .. "/x.vectors" } }
      local last = 0
      for line in writer:lines() do
        last = tonumber(line)
        if last >= 7 * round then break end
      end
      writer:kill "KILL"
      writer:wait()
      local set <close> = vectors(folder .. "/x.vectors")
      for n = 1, last do
        if n < last or n % 3 ~= 2 then t.eq(set:get(n) ~= nil, n % 3 ~= 2) end -- the last one may be deleted already
        t.eq(set:get(-n) ~= nil, true)
      end
      local hits = set:search({ 1, 0 }, 1000)
      t.eq(#hits, set:count())
      local there = {}
      for _, hit in ipairs(hits) do there[hit.id] = true end
      for id in next, there do t.ok(there[-math.abs(id)]) end
    end
  end)

test("a run that is killed writes each row once, and a search gives it what it gave before", { real = true, timeout = 60 },
  function(t)
  local case = durable.new(t, [[
    local stoke = require "stoke"
    stoke.main(function()
      local set <close> = stoke.vectors "x.vectors"
      set:add_all { { id = "a", vector = { 1, 0 } }, { id = "b", vector = { 0, 1 } } }
      local before = set:search({ 1, 0.1 }, 1)[1].id
      print "searched"
      stoke.fs.write("searched", "1")
      stoke.sleep(2)
      set:add("c", { 1, 0.1 })
      local after = set:search({ 1, 0.1 }, 1)[1].id
      print(before, after, set:count())
    end)
  ]])
  case:run("r", nil, durable.file "searched")
  do
    local other <close> = vectors(case.folder .. "/x.vectors")
    other:add("a", { 0, 1 }) -- the run has seen it as it was
    t.eq(other:count(), 2)
  end
  local status, out, err = case:run("r")
  t.eq(status.code, 0, err)
  t.contains(out, "a\tc\t3")
  local set <close> = vectors(case.folder .. "/x.vectors")
  t.eq(set:get "a", { 0.0, 1.0 }) -- not written again
end)

test("a run that is killed searches a large set in memory once, and goes on with what was found", { real = true, timeout = 60 },
  function(t)
    local case = durable.new(t, ([[
      local stoke = require "stoke"
      stoke.main(function()
        local set, rows = stoke.vectors(), {}
        for i = 1, %d do rows[i] = { id = i, vector = { i, 1 } } end
        set:add_all(rows)
        print("first", set:search({ 1, 1 }, 1)[1].id)
        stoke.fs.write("searched", "1")
        stoke.sleep(2)
        print("then", set:search({ 5, 1 }, 1)[1].id)
      end)
    ]]):format(core.LARGE))
    case:run("m", nil, durable.file "searched")
    local status, out, err = case:run("m")
    t.eq(status.code, 0, err)
    t.eq(table.concat(case.shown), "first\t1\nthen\t5\n")
    t.eq(out, "then\t5\n")
  end)
