-- Runs are forked, pruned and checked.

local test = require "stoke.test"
local keep = require "core.store.keep"
local stoke = require "stoke"
local stored = require "stored"

local ok, record, value = stored.ok, stored.record, stored.value

local function count(store, what) return ok(store.db:query("SELECT count(*) FROM " .. what)).rows[1][1] end

local function long(word) return (word .. " "):rep(100) end

-- A run of so many records that has ended, with texts of its own and one that all have.
local function make(store, id, records, changed)
  local run = ok(store:create { id = id, workflow = "w" })
  local log = ok(store:log(run))
  for i = 1, records do
    record(log, i, value(long(id .. i)), { at = (i - 1) * 2, request = { text = long "shared" } })
    log:deliveries "xy"
  end
  log:module "town"
  log:source("main.lua", long "source")
  log:finish "done"
  ok(log:barrier())
  if changed then ok(store.db:write("UPDATE runs SET changed=? WHERE id=?", { changed, id })) end
  return ok(store:find(id))
end

test("a fork has the first records of a run and its deliveries up to there, and is a run that goes on", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run = make(store, "old", 5)
  local fork = ok(store:fork(run, 3, { id = "new" }))
  t.eq({ fork.id, fork.workflow, fork.state, fork.fork_of, fork.fork_at, fork.seed, fork.result }, { "new", "w", "running",
    run.number,
    3, "old" })
  local parts, whole = ok(store:load(fork)), ok(store:load(run))
  t.eq({ #parts.rows, parts.deliveries, parts.modules, parts.sources }, { 3, "xyxyxy", whole.modules, whole.sources })
  for i, row in ipairs(parts.rows) do t.eq({ row.outcome, row.request, row.key }, { whole.rows[i].outcome, whole.rows[i].request,
    row.key }) end
  local log = ok(store:log(fork))
  record(log, 4, value "another way")
  log:deliveries "z"
  ok(log:commit())
  t.eq({ ok(store:load(fork)).rows[4].outcome.value, #ok(store:load(run)).rows }, { "another way", 5 })
end)

test("a fork shares the texts of its origin", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run = make(store, "old", 5)
  local before = count(store, "contents")
  ok(store:fork(run, 5, { id = "new" }))
  t.eq(count(store, "contents"), before)
end)

test("a fork takes other outcomes", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run = make(store, "old", 3)
  local fork = ok(store:fork(run, 3, { id = "new", outcomes = { [1] = value(long "changed"),
    [2] = { err = stored.error("tool", "it broke"), facts = { attempts = 1 } },
    [3] = { items = { { value = "a", inline = true }, { ended = true, inline = true } }, facts = { attempts = 1 } } } }))
  local rows = ok(store:load(fork)).rows
  t.eq({ rows[1].outcome.value, rows[2].outcome.err.kind, rows[2].outcome.value }, { long "changed", "tool" })
  t.eq(rows[3].outcome.items, { { value = "a", inline = true }, { ended = true, inline = true } })
  t.eq(ok(store:load(run)).rows[1].outcome.value, long "old1")
end)

test("a fork of a fork, and of all that there is", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local first = ok(store:fork(make(store, "old", 4), 99, { id = "first" }))
  t.eq({ first.fork_at, #ok(store:load(first)).rows, ok(store:load(first)).deliveries }, { 4, 4, "xyxyxyxy" })
  local second = ok(store:fork(first, 2, { id = "second" }))
  t.eq({ second.fork_of, #ok(store:load(second)).rows, ok(store:load(second)).deliveries }, { first.number, 2, "xyxy" })
end)

test("what was begun and not done in the origin is not in doubt in the fork", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = stored.row(1, { class = "unsafe" })
  log:row(row)
  log:intent(row)
  ok(log:barrier())
  local fork = ok(store:fork(run, 1, { id = "new" }))
  t.eq({ ok(store:load(fork)).rows[1].intent, ok(store:load(run)).rows[1].intent }, { nil, true })
end)

test("an id that is taken is told", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local _, err = store:fork(make(store, "old", 1), 1, { id = "old" })
  t.eq({ err.kind, err.message }, { "argument", 'there is a run with the id "old" already' })
end)

local function ids(done)
  local list = {}
  for i, run in ipairs(done.runs) do list[i] = run.id end
  return list
end

test("runs that ended long ago go, with the texts that nobody else needs", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  make(store, "old", 3, 1000.0)
  make(store, "older", 2, 500.0)
  local kept = make(store, "young", 2)
  ok(store:create { id = "alive", workflow = "w" })
  ok(store.db:write "UPDATE runs SET changed=1.0 WHERE id='alive'")
  local dry = ok(store:prune { older = 3600, dry = true })
  t.eq({ ids(dry), #ok(store:list()) }, { { "older", "old" }, 4 })
  local done = ok(store:prune { older = 3600 })
  t.eq({ ids(done), done.bytes, done.bytes > 1000 }, { { "older", "old" }, dry.bytes, true })
  t.eq({ #ok(store:list()), count(store, "records"), count(store, "contents"), count(store, "deliveries") }, { 2, 2, 4, 1 })
  t.eq(ok(store:load(kept)).rows[2].outcome.value, long "young2")
  t.eq(ok(store:check()), {})
end)

test("the oldest runs go until the others have so many bytes", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  for i = 1, 4 do make(store, "r" .. i, 10, 1000.0 + i) end
  local each = ok(store:find "r4").bytes
  t.eq(ids(ok(store:prune { bytes = math.floor(2.5 * each) })), { "r1", "r2" })
  t.eq(ids(ok(store:prune { bytes = 10 * each })), {})
end)

test("what forks began with stays, unless somebody says so; then the fork stands alone", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run = make(store, "old", 3, 1000.0)
  ok(store:fork(run, 2, { id = "new" }))
  t.eq(ids(ok(store:prune { older = 3600 })), {})
  t.eq(ids(ok(store:prune { older = 3600, keep_forked = false })), { "old" })
  local fork = ok(store:find "new")
  t.eq({ fork.fork_of, #ok(store:load(fork)).rows, ok(store:load(fork)).rows[2].outcome.value }, { nil, 2, long "old2" })
  t.eq(ok(store:check()), {})
end)

test("what a run that goes on has started stays", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local parent = ok(store:create { id = "parent", workflow = "w" })
  make(store, "child", 1, 1000.0)
  ok(store.db:write("UPDATE runs SET parent=? WHERE id='child'", { parent.number }))
  t.eq(ids(ok(store:prune { older = 3600 })), {})
end)

test("texts that nobody needs are deleted in slices, and others write between two", { real = true }, function(t)
  local path = t.tmp() .. "/state.db"
  local store = ok(stored.open(path))
  local run = make(store, "r", 3)
  local statements = {}
  for i = 1, 100 do statements[i] = { "INSERT INTO contents (hash,value) VALUES (?,?)", "h" .. i, i } end
  assert(store.db:append(statements, true):wait())
  local before = count(store, "contents")
  local slice = keep.SLICE
  keep.SLICE = 10
  local written, swept = 0, false
  do
    local scope <close> = stoke.scope()
    scope:spawn(function()
      ok(keep.sweep(store))
      swept = true
    end)
    scope:spawn(function()
      while not swept do
        ok(store.db:write "UPDATE runs SET changed=changed+1")
        if not swept then written = written + 1 end
      end
    end)
    scope:wait()
  end
  keep.SLICE = slice
  t.eq(count(store, "contents"), before - 100)
  t.eq(#ok(store:load(run)).rows, 3)
  t.ok(written >= 5, written)
  store:close()
end)

test("the number of a run that is gone is never used again", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run = make(store, "old", 1, 1000.0)
  ok(store:prune { older = 3600 })
  t.eq(ok(store:create { id = "new", workflow = "w" }).number > run.number, true)
end)

test("the check finds what is missing in a file that SQLite finds sound", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  make(store, "r", 4)
  t.eq(ok(store:check()), {})
  ok(store.db:write "DELETE FROM records WHERE number=2")
  ok(store.db:write "DELETE FROM contents WHERE id=1")
  local problems = table.concat(ok(store:check()), "\n")
  t.contains(problems, "1 texts that runs need are missing")
  t.contains(problems, "1 runs lack records in their middle")
end)
