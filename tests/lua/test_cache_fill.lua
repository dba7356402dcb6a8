-- The file of the cache while much is put into it: few transactions, its bytes, and who has to go.

local engine = require "host.store"
local files = require "core.cache.file"
local fs = require "stoke.fs"
local keys = require "core.cache.key"
local test = require "stoke.test"

local function key(n) return keys.of("test", tostring(n)) end

-- What a file says of itself.
local function meta(path, sql)
  local db = assert(engine.open(path, { host = true }))
  local row = assert(db:query(sql)).rows[1]
  db:close()
  return row
end

test("many entries are few transactions, and the log is seldom taken into the file", function(t)
  local path = t.tmp() .. "/cache.db"
  engine.fault {}
  local file = files.at(path, 64 << 20)
  for i = 1, 6000 do file:put("exact", key(i), ("v"):rep(90)) end
  file:flush()
  local counts = engine.fault_counts()
  engine.fault()
  file:close()
  t.ok(counts.syncs <= 20, counts.syncs .. " syncs for 6000 entries")
  t.eq(meta(path, "SELECT count FROM meta")[1], 6000)
end)

test("the sums that a file keeps of itself are those of its entries, whatever came and went", function(t)
  local path = t.tmp() .. "/cache.db"
  local file = files.at(path, 1 << 20)
  for i = 1, 3000 do
    file:put("exact", key(i % 2200), ("v"):rep(i * 7919 % (i % 19 == 0 and 20000 or 400)))
    if i % 3 == 0 then file:get("exact", key(i // 2)) end
    if i % 11 == 0 then file:delete("exact", key(i - 5)) end
    if i % 400 == 0 then file:flush() end
  end
  file:close()
  local row = meta(path, "SELECT small,main,count FROM meta")
  t.eq(row, meta(path, "SELECT coalesce(sum(bytes) FILTER (WHERE queue=0),0),coalesce(sum(bytes) FILTER (WHERE queue=1),0)," ..
    "count(*) FROM entries"))
  t.eq(meta(path, "SELECT count(*) FROM entries GROUP BY key,kind ORDER BY 1 DESC")[1], 1)
end)

test("keys of entries that went take little of a small file: half as many as there are entries", function(t)
  local path = t.tmp() .. "/cache.db"
  local file = files.at(path, 1 << 20)
  for i = 1, 7000 do
    file:put("exact", key(i), "v")
    if i % 500 == 0 then file:flush() end
  end
  file:close()
  local row = meta(path, "SELECT (SELECT count(*) FROM ghosts),(SELECT count(*) FROM entries)")
  t.ok(row[1] <= row[2] // 2 + 64 and row[1] >= row[2] // 2, row)
  t.ok(row[2] > 2500, row)
  t.ok(fs.stat(path).size <= 1 << 20, fs.stat(path).size)
end)

test("the small queue of the file grows where what it let go comes back", function(t)
  local path = t.tmp() .. "/cache.db"
  local file = files.at(path, 1 << 20)
  local function part() return meta(path, "SELECT part FROM meta")[1] end
  local function round(from)
    for i = from, from + 59 do
      if not file:get("exact", key(i)) then file:put("exact", key(i), ("v"):rep(3000)) end
    end
    file:flush()
  end
  round(1)
  t.eq(part(), 0.1)
  for n = 1, 40 do round(n * 20) end -- what was new is asked for again a little later, and then never again
  t.ok(part() > 0.2, part())
  file:close()
end)
