-- Power cuts: what a barrier acknowledged is there afterwards, and what is there is whole.

local test = require "stoke.test"
local engine = require "host.store"
local stored = require "stored"
local stores = require "core.store"

local ok = stored.ok

-- A run that writes until the power goes: the last record that was committed, and the last behind a barrier.
local function write(store)
  local run = store:find "r1"
  local log = run and store:log(run)
  local kept = 0
  if not log then return kept end
  for i = 1, 60 do
    stored.record(log, i, stored.value { text = ("answer %d "):format(i):rep(40) })
    log:deliveries(("%06d"):format(i))
    local done
    if i % 4 == 0 then done = log:barrier() else done = log:commit() end
    if not done then break end
    if i % 4 == 0 then kept = i end
  end
  return kept
end

local function survived(t, path, kept, what)
  local store = stored.open(path)
  local parts = ok(store:load(ok(store:find "r1")))
  t.ok(#parts.rows >= kept, ("%s: %d records, %d were behind a barrier"):format(what, #parts.rows, kept))
  t.eq(#parts.deliveries, 6 * #parts.rows, what)
  for i, row in ipairs(parts.rows) do t.eq(row.outcome.value.text, ("answer %d "):format(i):rep(40), what) end
  t.eq(ok(store:check()), {}, what)
  store:close()
end

test("the power goes at any sync: what a barrier acknowledged is there, batches are whole", { real = true }, function(t)
  local cuts = 0
  for n = 1, tonumber(os.getenv "STOKE_CUTS") or 16 do
    local path = ("%s/state%d.db"):format(t.tmp(), n)
    local first = stored.run(path)
    first:close()
    engine.fault { cut = 1 + (n - 1) % 16, seed = n > 8 and n or nil }
    local store = stores.open(path)
    local kept = store and write(store) or 0
    if engine.fault_counts().cut then cuts = cuts + 1 end
    if store then store:close() end
    engine.fault()
    survived(t, path, kept, "cut " .. n)
  end
  t.ok(cuts > 8, ("the power went %d times"):format(cuts))
end)

test("the power goes at any write: the same", { real = true }, function(t)
  for n = 1, tonumber(os.getenv "STOKE_CUTS") or 10 do
    local path = ("%s/state%d.db"):format(t.tmp(), n)
    local first = stored.run(path)
    first:close()
    engine.fault { cut_write = n * 5, seed = n }
    local store = stores.open(path)
    local kept = store and write(store) or 0
    if store then store:close() end
    engine.fault()
    survived(t, path, kept, "cut at write " .. n * 5)
  end
end)

test("after a sync that failed nothing is acknowledged that rests on what it should have written", { real = true }, function(t)
  local path = t.tmp() .. "/x.db"
  engine.fault { count = 1 }
  local db = ok(engine.open(path))
  ok(db:write "CREATE TABLE t(n INTEGER PRIMARY KEY)")
  engine.fault { sync = 1, times = 1, gone = 1, cut = 6 }
  ok(db:write("INSERT INTO t VALUES(1)", {}, false))
  t.eq(select(2, db:write "INSERT INTO t VALUES(2)").code, "SQLITE_IOERR_FSYNC")
  ok(db:write "INSERT INTO t VALUES(3)") -- acknowledged: it and what came before must outlive the cut
  local n = 3
  repeat n = n + 1 until n > 99 or not db:write("INSERT INTO t VALUES(?)", { n })
  t.eq(engine.fault_counts().cut, true)
  db:close()
  engine.fault()
  db = ok(engine.open(path))
  t.eq(ok(db:query "SELECT n FROM t WHERE n IN (1, 2, 3) ORDER BY n").rows, { { 1 }, { 3 } })
  t.eq(ok(db:query "SELECT count(*) FROM t").rows[1][1] >= n - 2, true)
  db:close()
end)
