-- The host's own file: runs are made, found and listed; what a log wrote is what is loaded.

local test = require "stoke.test"
local errors = require "core.errors"
local plain = require "core.store.plain"
local json = require "core.json"
local stored = require "stored"
local stores = require "core.store"

local ok, record, value, row_of = stored.ok, stored.record, stored.value, stored.row

-- A row as it was and as it was loaded: the same fields, but for what a journal alone needs.
local function same(t, loaded, row)
  for _, name in ipairs { "number", "key", "name", "class", "digest", "request", "where", "time", "took", "inside", "inline",
    "intent",
    "seen", "at", "asks", "outcome" } do
    t.eq({ name, loaded[name] }, { name, row[name] })
  end
end

test("a run is made once, whoever asks for its id", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local run, existed = store:create { id = "order 7", workflow = "order", input = { n = 7, tags = json.array() } }
  t.eq({ run.id, run.workflow, run.state, run.seed, run.epoch, existed }, { "order 7", "order", "running", "order 7", 0, false })
  t.eq(json.encode(run.input), '{"n":7,"tags":[]}')
  local again, there = store:create { id = "order 7", workflow = "other", input = 1 }
  t.eq({ again.number, again.workflow, there }, { run.number, "order", true })
end)

test("a run id has any bytes", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  local ids = { "", "\0", "\0\0", "a\0b", "\255", "\xC3\x28", "caf\u{E9}", "'; DROP TABLE runs; --", ("x"):rep(10000), "1", "%_",
    "\n" }
  for i, id in ipairs(ids) do ok(store:create { id = id, workflow = "w", input = i }) end
  for i, id in ipairs(ids) do
    local run = ok(store:find(id))
    t.eq({ run.id, run.input }, { id, i })
  end
  t.eq(#ok(store:list()), #ids)
end)

test("what is not there is nil, without an error", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  t.eq(table.pack(store:find "nobody"), { n = 1 })
end)

test("runs are listed by state, workflow, beginning of the id, and in parts", function(t)
  local store <close> = stored.closing(stored.open ":memory:")
  for i = 1, 6 do
    local run = ok(store:create { id = (i % 2 == 0 and "even" or "odd") .. i, workflow = i > 3 and "late" or "early" })
    if i > 4 then
      local log = ok(store:log(run))
      log:finish("done", i)
      ok(log:barrier())
    end
  end
  local function ids(filter)
    local list = {}
    for i, run in ipairs(ok(store:list(filter))) do list[i] = run.id end
    return list
  end
  t.eq(ids { state = "done" }, { "even6", "odd5" })
  t.eq(ids { state = { "running", "parked" }, workflow = "late" }, { "even4" })
  t.eq(ids { prefix = "odd" }, { "odd5", "odd3", "odd1" })
  t.eq(ids { limit = 2, before = 4 }, { "odd3", "even2" })
end)

test("rows come back as they were", function(t)
  local store, _, log = stored.run()
  local _ <close> = stored.closing(store)
  local rows = {
    record(log, 1, value { text = "a!", n = 1 }),
    record(log, 2, value(nil)),
    record(log, 3, { err = errors.new("refused", "no", { hint = "h" }), facts = { attempts = 3 } }),
    record(log, 4, { err = errors.new("cancelled", "c"), cut = true, facts = {} }),
    record(log, 5, { err = errors.new("denied", "d"), refusal = true, facts = { counts = false } }),
    record(log, 6, { err = errors.new("argument", "a"), raised = true, facts = { attempts = 1, counts = true } }),
    record(log, 7, { secret = true, facts = { attempts = 1 } }, { name = "env.get", key = "run/env.get#1" }),
    record(log, 8, value(("long "):rep(100)), { inside = true, class = "unsafe", at = 12, took = 0.25 }),
    record(log, 9, value "\0\255bytes", { digest = "nil", key = "run/\255/x#1", name = "x", where = "dir\255/bot.lua:1" }),
    record(log, 10, value { math.huge, -0.0, json.null, json.array(), { [2] = "hole" } }, { name = "a/b", key = "run/a/b#1" }),
    record(log, 11, value(false), { request = json.null }),
    record(log, 12, { value = 1 }),
  }
  ok(log:commit())
  local parts = ok(store:load(ok(store:find "r1")))
  t.eq(#parts.rows, #rows)
  for i, row in ipairs(rows) do same(t, parts.rows[i], row) end
  t.eq(errors.is(parts.rows[3].outcome.err), true)
  t.eq(json.encode(parts.rows[10].outcome.value[4]), "[]")
end)

test("a row without an outcome is there, with what its work and its question are", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local begun, asks, works = row_of(1), row_of(2, { asks = { what = "rm -r /", since = 1.5 } }), row_of(3)
  log:row(begun)
  log:row(asks)
  log:row(works)
  log:intent(works)
  ok(log:barrier())
  local rows = ok(store:load(run)).rows
  for i, row in ipairs { begun, asks, works } do same(t, rows[i], row) end
  t.eq({ rows[1].intent, rows[3].intent, rows[3].outcome }, { nil, true })
end)

test("an outcome that comes later joins its row, and what was asked for it goes", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = row_of(1, { asks = { what = "?" } })
  log:row(row)
  ok(log:commit())
  row.outcome, row.seen, row.inline = value "yes", 1, false
  log:outcome(row)
  ok(log:commit())
  row.asks = nil
  same(t, ok(store:load(run)).rows[1], row)
end)

test("a row that is begun anew forgets what had come of it", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local row = row_of(1)
  log:row(row)
  log:intent(row)
  row.outcome = { items = {}, facts = { attempts = 1 } }
  log:outcome(row)
  row.outcome.items[1] = { value = "a", inline = true }
  log:item(row, 1)
  ok(log:commit())
  local again = row_of(1, { request = { text = "again" } })
  log:row(again)
  ok(log:commit())
  same(t, ok(store:load(run)).rows[1], again)
  again.outcome, again.seen = { items = {}, facts = { attempts = 1 } }, 1
  log:outcome(again)
  ok(log:commit())
  t.eq(ok(store:load(run)).rows[1].outcome.items, {})
end)

test("deliveries, modules, sources, prints and epochs are kept in their order", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local long = ("-- a source\n"):rep(100)
  log:epoch()
  for i = 1, 3 do
    log:deliveries(("\0%d\255"):format(i))
    log:module("m" .. i)
    ok(log:commit())
  end
  log:source("main bot.lua", "return 1")
  log:source("town lib/town.lua", long)
  log:printed(4)
  ok(log:commit())
  local parts = ok(store:load(ok(store:find "r1")))
  t.eq({ parts.deliveries, parts.modules, parts.printed, parts.ended }, { "\0001\255\0002\255\0003\255", { "m1", "m2", "m3" }, 4,
    "running" })
  t.eq(parts.sources, { { name = "main bot.lua", text = "return 1" }, { name = "town lib/town.lua", text = long } })
  local more = ok(store:log(run))
  more:deliveries "four"
  more:module "m4"
  more:epoch()
  more:finish("done", { ok = true })
  ok(more:barrier())
  local ended = ok(store:find "r1")
  parts = ok(store:load(ended))
  t.eq({ parts.deliveries, #parts.modules, ended.epoch, ended.state, ended.result }, { "\0001\255\0002\255\0003\255four", 4, 2,
    "done",
    { ok = true } })
end)

test("what repeats itself in deliveries is kept once when the run has ended, and comes back", function(t)
  for seed = 1, 400 do
    math.randomseed(seed)
    local parts = {}
    for i = 1, math.random(0, 30) do
      local word = {}
      for k = 1, math.random(1, 5) do word[k] = string.char(math.random(0, seed % 2 == 0 and 255 or 3)) end
      parts[i] = table.concat(word):rep(math.random(1, 200))
    end
    local bytes = table.concat(parts)
    local squeezed = plain.squeeze(bytes)
    t.eq(plain.stretch(squeezed, #bytes) == bytes, true, "seed " .. seed)
    for _, cut in ipairs { squeezed:sub(1, -2), squeezed .. "\3" } do
      if #bytes > 0 then t.eq(plain.stretch(cut, #bytes), nil, "seed " .. seed) end
    end
  end
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  local bytes = ("\1\9"):rep(5000) .. "end"
  log:deliveries(bytes:sub(1, 100))
  ok(log:commit())
  log:deliveries(bytes:sub(101))
  log:finish("done", nil, nil, bytes)
  ok(log:barrier())
  t.eq(ok(store:load(run)).deliveries == bytes, true)
  t.eq(ok(store.db:query "SELECT count(*),sum(length(bytes))<20 FROM deliveries").rows[1], { 1, 1 })
  t.eq(ok(store:fork(run, 0, { id = "f" })).fork_at, 0)
end)

test("a run says how it stands and how it ended", function(t)
  local store, _, log = stored.run()
  local _ <close> = stored.closing(store)
  log:state("waiting", "the signal \"paid\" \255")
  ok(log:commit())
  local run = ok(store:find "r1")
  t.eq({ run.state, run.waits }, { "waiting", "the signal \"paid\" \255" })
  log:finish("failed", nil, errors.new("tool", "it broke"))
  ok(log:barrier())
  run = ok(store:find "r1")
  t.eq({ run.state, run.waits, run.result, run.error.kind, run.error.message }, { "failed", nil, nil, "tool", "it broke" })
end)

test("calls and tokens are counted from what outcomes used", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  for i = 1, 3 do record(log, i, { value = i, facts = { attempts = 1, usage = { input_tokens = 10, output_tokens = 5,
    calls = 1 } } }) end
  log:state "running"
  ok(log:commit())
  run = ok(store:find(run.id))
  t.eq({ run.calls, run.tokens }, { 3, 45 })
end)

test("signals are taken once, in the order in which they came, together with the row that takes them", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  t.eq({ store:signal("r1", "paid", { sum = 7 }) }, { true })
  t.eq({ store:signal("r1", "paid", nil, "k1") }, { true })
  t.eq({ store:signal("r1", "paid", 3, "k1") }, { false })
  local list = ok(store:signals(run))
  t.eq({ #list, list[1].name, list[1].value, list[2].value }, { 2, "paid", { sum = 7 } })
  local row = record(log, 1, value { sum = 7 })
  log:taken(list[1], row)
  ok(log:barrier())
  t.eq(#ok(store:signals(run)), 1)
  local _, err = store:signal("nobody", "paid")
  t.eq({ err.kind, err.message }, { "argument", 'no run has the id "nobody"' })
end)

test("signals that wait are capped; a cancel always gets through", function(t)
  local store <close> = stored.closing((stored.run()))
  local limit = stores.SIGNALS
  local restored <close> = setmetatable({}, { __close = function() stores.SIGNALS = limit end }) -- luacheck: ignore
  stores.SIGNALS = 1
  t.eq({ store:signal("r1", "paid", 3, "k1") }, { true })
  local _, full = store:signal("r1", "paid")
  t.eq({ full.kind, full.message }, { "limit", "run r1: 1 signals wait to be taken already" })
  t.eq({ store:signal("r1", "paid", 3, "k1") }, { false }) -- not refused: it was sent before
  t.eq({ store:signal("r1", "stoke.cancel") }, { true })
end)

test("the first decision stands until something else is asked, resolutions until they were applied", function(t)
  local store <close> = stored.closing((stored.run()))
  ok(store:decide("r1", "run/tool#1", "before", { decision = "rejected", reason = "no" }))
  ok(store:decide("r1", "run/tool#1", "abc", { decision = "approved" }))
  t.eq(store:decide("r1", "run/tool#1", "abc", { decision = "rejected", reason = "no" }), false)
  local list = ok(store:decisions "r1")
  t.eq({ #list, list[1].key, list[1].digest, list[1].verdict }, { 1, "run/tool#1", "abc", { decision = "approved" } })
  ok(store:resolve("r1", "run/http#2", { value = { 1 } }))
  t.eq(ok(store:resolutions "r1"), { { key = "run/http#2", value = { 1 } } })
  ok(store:resolved("r1", "run/http#2"))
  t.eq(ok(store:resolutions "r1"), {})
end)

test("a run is loaded up to a record, with the deliveries that came before the next", function(t)
  local store, run, log = stored.run()
  local _ <close> = stored.closing(store)
  for i = 1, 5 do
    record(log, i, value(i), { at = (i - 1) * 3 })
    log:deliveries(("%03d"):format(i))
  end
  ok(log:commit())
  local parts = ok(store:load(run, 3))
  t.eq({ #parts.rows, parts.deliveries }, { 3, "001002003" })
  parts = ok(store:load(run, 99))
  t.eq({ #parts.rows, parts.deliveries }, { 5, "001002003004005" })
end)

test("an outcome that is too large becomes an error of kind limit, which the run is told", function(t)
  local store = stored.open(":memory:", { limit = 1000 })
  local _ <close> = stored.closing(store)
  local run = ok(store:create { id = "r1", workflow = "w" })
  local log = ok(store:log(run))
  local row, err = record(log, 1, value(("x"):rep(2000)))
  t.eq({ err.kind, err.message, row.outcome.err.kind, row.outcome.value }, { "limit", "test.ask: a value of more than 1000 bytes",
    "limit" })
  ok(log:commit())
  t.eq(ok(store:load(run)).rows[1].outcome.err.kind, "limit")
  local _, large = store:create { id = "r2", workflow = "w", input = ("x"):rep(2000) }
  t.eq(large.kind, "limit")
end)

test("the longest outcome that is kept is read back", function(t)
  local store = stored.open(t.tmp() .. "/state.db")
  local _ <close> = stored.closing(store)
  local run = ok(store:create { id = "r1", workflow = "w" })
  local log = ok(store:log(run))
  t.eq(select(2, record(log, 1, value(("x"):rep(99 * 1024 * 1024)))), nil)
  ok(log:commit())
  t.eq(#ok(store:load(run)).rows[1].outcome.value, 99 * 1024 * 1024)
end)

test("where the file is: beside the script, else in the state folder of the user", function(t)
  t.eq(stores.path "lib/bot/main.lua", "lib/bot/.stoke/state.db")
  t.eq(stores.path "main.lua", ".stoke/state.db")
  t.match(stores.path(nil), "/stoke/state%.db$")
end)
