-- The log of a journal: what is kept of a run while it lives, and what another process goes on from.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local task = require "host.task"
local logs = require "table_log"
local runs = require "runs"

local ask = runs.ask

-- An effect that must not be done twice: { text, wait }
local done, reconcile = {}, nil
effect.define("test.pay", { class = "unsafe", run = function(q, call)
  done[#done + 1] = { text = q.text, key = call.key }
  if q.wait then
    local _, err = task.park("test.pay", q.wait)
    if err then return nil, err end
  end
  return #done
end, reconcile = function() return reconcile end })

local function pay(text, wait) return errors.check(effect.perform("test.pay", { text = text, wait = wait })) end

local function record(f, log, ...)
  local tape = journal.new { id = "run", log = log }
  log.journal = tape
  return tape:run(f, ...), tape
end

local function resume(log, f, count, ...)
  local own = logs.new(log.eager, table.move(log.batches, 1, count or #log.batches, 1, {}))
  local tape = journal.new { id = "run", log = own, kept = log:load(count) }
  own.journal = tape
  return tape:run(f, ...), tape, own
end

test("what is kept is the run: it is done again from the log, without one call", function(t)
  local function f()
    local a = ask("one", { wait = 0.1 })
    local b = stoke.try(ask, "two", { fail = "refused" })
    return a.text, b, os.time(), math.random(1000)
  end
  local log = logs.new()
  local first = record(f, log)
  runs.asked = {}
  local second = resume(log, f)
  t.eq(second, first)
  t.eq(runs.asked, {})
end)

test("from each place where it can be cut a run goes on, and ends as the whole one", function(t)
  local function f()
    local scope <close> = stoke.scope {}
    local words = scope:map({ 3, 1, 2 }, function(n) return ask("n" .. n, { wait = n / 10 }).text end)
    local who = select(2, stoke.race { function() ask("slow", { wait = 2 }) end, function() ask("fast", { wait = 1 }) end })
    return table.concat(words, " "), who
  end
  local log = logs.new(true)
  local whole = record(f, log)
  t.ok(#log.batches > 8, #log.batches)
  for count = 0, #log.batches do
    local results, _, own = resume(log, f, count)
    t.eq(results, whole, "cut at " .. count)
    runs.asked = {}
    t.eq(resume(own, f), whole, "and again, cut at " .. count)
    t.eq(runs.asked, {})
  end
end)

test("nothing unsafe begins before its intent is on the disk", function(t)
  local log = logs.new()
  local at
  log.wait = function() at = #done task.park("the disk", 0.5) end
  done = {}
  local results = record(function() return pay "a" end, log)
  t.eq({ results[1], at, log.barriers }, { 1, 0, 1 })
  local kept = log:load(log.durable)
  t.eq({ kept.rows[1].key, kept.rows[1].intent, kept.rows[1].outcome }, { "run/test.pay#1", true })
end)

test("what is pure or idempotent waits for no disk", function(t)
  local log = logs.new()
  record(function() ask "a" ask "b" end, log)
  t.eq({ log.barriers, log.commits }, { 0, 0 })
end)

-- The log as it was while the payment was being made.
local function cut_while_paying(f)
  local log = logs.new(true)
  record(f, log)
  for count = 1, #log.batches do
    local rows = log:load(count).rows
    for _, row in ipairs(rows) do
      if row.intent and not row.outcome then return log, count end
    end
  end
end

test("an unsafe effect without an outcome is in doubt: the run stops, and nothing is done", function(t)
  local function f()
    local _, err = stoke.try(pay, "a", 1)
    stoke.try(ask, "after")
    return err and err.kind
  end
  local log, count = cut_while_paying(f)
  done, runs.asked = {}, {}
  local results, tape, own = resume(log, f, count)
  t.eq({ results.err.kind, results.err.key, results.err.number }, { "in_doubt", "run/test.pay#1", 1 })
  t.match(results.err.message, "test%.pay %(#1, [^\n]*test_log%.lua:%d+%) had begun when the process ended")
  t.eq({ done, runs.asked, tape.stopped.kind }, { {}, {}, "in_doubt" })
  t.eq(#own.batches, count, "what is kept stays as it was")
end)

test("an effect that can ask the world is not in doubt: its answer is the outcome, or it is done now", function(t)
  local function f() return pay("a", 1) end
  local log, count = cut_while_paying(f)
  done = {}
  local asked
  local restore <close> = setmetatable({}, { __close = function() reconcile = nil end }) -- luacheck: ignore
  reconcile = function(key) asked = key return "found" end
  local results, tape = resume(log, f, count)
  t.eq({ results[1], #done, asked }, { "found", 0, tape:idempotency "run/test.pay#1" })
  reconcile = function() return nil end
  t.eq(resume(log, f, count)[1], 1)
  reconcile = function() error("the bank is closed", 0) end
  t.match(resume(log, f, count).err.message, "asked for it, it failed: the bank is closed")
  t.eq(#done, 1)
end)

test("an effect that had not begun its work is not in doubt", function(t)
  local log = logs.new(true)
  local function f() return pay("a", 1) end
  record(f, log)
  done = {}
  t.eq(resume(log, f, 1)[1], 1)
  t.eq(#done, 1)
end)

test("prints of a replay are skipped as far as they were kept", function(t)
  local shown = {}
  local stdio = require "core.stdio"
  local write = stdio.write
  stdio.write = function(text) shown[#shown + 1] = text end
  local restore <close> = setmetatable({}, { __close = function() stdio.write = write end }) -- luacheck: ignore
  local function f()
    stdio.of_run(1, "a\n")
    ask("x", { wait = 1 })
    stdio.of_run(1, "b\n")
    ask("y", { wait = 1 })
    stdio.of_run(1, "c\n")
  end
  local log = logs.new(true)
  record(f, log)
  t.eq(shown, { "a\n", "b\n", "c\n" })
  for count = 0, #log.batches do
    shown = {}
    resume(log, f, count)
    t.eq(#shown, 3 - (log:load(count).printed), "cut at " .. count)
  end
end)

test("a log that fails parks the run: what was kept stays, and it goes on from there", function(t)
  local log = logs.new()
  local function f()
    local a = ask("a", { wait = 1 }).text
    if log.fail then log.full = errors.new("db", "the disk is full") end
    stoke.try(ask, "b", { wait = 1 })
    return a .. ask("c", { wait = 1 }).text
  end
  log.fail = true
  local results = record(f, log)
  t.eq(results.err.kind, "parked")
  t.match(results.err.message, "the disk is full")
  log.fail, log.full = nil, nil
  t.eq(resume(log, f)[1], "a!c!")
end)

test("an outcome that the log refuses is that error, live and replayed", function(t)
  local log = logs.new()
  log.refuse = function(row) return row.request and row.request.text == "big" and errors.new("limit", "too large") or nil end
  local function f() return select(2, stoke.try(ask, "big")).kind, ask "small".text end
  t.eq(record(f, log), { "limit", "small!", n = 2 })
  t.eq(resume(log, f), { "limit", "small!", n = 2 })
end)

test("a sleep goes on from when it was begun, whatever time has passed since", function(t)
  local log = logs.new(true)
  local function f()
    stoke.sleep(100)
    return stoke.time.monotonic()
  end
  record(f, log)
  local before = stoke.time.monotonic()
  local kept = log:load(1)
  kept.rows[1].time = stoke.time.now() - 70
  local tape = journal.new { id = "run", log = logs.new(), kept = kept }
  local results = tape:run(f)
  t.ok(math.abs(results[1] - before - 30) < 1, results[1] - before)
end)

test("a stream that was cut by a crash ends with kind interrupted, and does so again", function(t)
  local server <close> = stoke.http.serve { mem = "lawlog", handler = function(_, res)
    res:start(200, {})
    for i = 1, 4 do
      res:write(("line %d\n"):format(i))
      stoke.sleep(0.1)
    end
    res:finish()
  end }
  local function f()
    local seen = {}
    local ok, err = pcall(function()
      for line in stoke.http.post(server.url, { stream = "lines" }):lines() do seen[#seen + 1] = line end
    end)
    return #seen, ok or err.kind
  end
  local log = logs.new(true)
  t.eq(record(f, log), { 4, true, n = 2 })
  local broken = 0
  for count = 0, #log.batches do
    local results, _, own = resume(log, f, count)
    if results[2] == "interrupted" then broken = broken + 1 end
    t.eq(resume(own, f), results, "cut at " .. count)
  end
  t.ok(broken >= 3, broken)
end)

test("a run that ends before its journal does is told", function(t)
  local tape = runs.record(function() ask "a" ask "b" end)
  local err = journal.replay(tape, function() ask "a" end).err
  t.eq({ err.kind, err.key }, { "replay", "run/test.ask#2" })
  t.match(err.message, "diverged at #1: the run has ended, and its journal goes on: #2 comes next, run/test%.ask#2 {")
end)

test("who cancels the recording of a run does not lose its journal", function(t)
  local tape = journal.new { id = "run" }
  local recorder = stoke.spawn(function()
    tape:run(function() ask("a", { wait = 1 }) ask("b", { wait = 100 }) end)
  end)
  stoke.sleep(2)
  recorder:cancel()
  pcall(recorder.await, recorder)
  t.eq(runs.keys(tape), { "run/test.ask#1", "run/test.ask#2" })
  t.ok(#tape.deliveries > 0)
end)

test("once no run is left, the checks of runs are off again", function(t)
  runs.record(function() ask "a" end)
  t.eq(require "core.schedule".any, false)
end)

test("an idempotency key is the same each time, and another one for another effect or run", function(t)
  local one, two = journal.new { id = "a" }, journal.new { id = "a", run_id = "b" }
  t.eq(one:idempotency "k", journal.new { id = "a" }:idempotency "k")
  t.ok(one:idempotency "k" ~= one:idempotency "l")
  t.ok(one:idempotency "k" ~= two:idempotency "k")
end)
