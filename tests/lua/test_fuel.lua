-- The worlds of `stoke bench fuel` in small form: what is counted in them (loads, order, shares, answers), which is the same on
-- every machine, since time is virtual. How near the aims are is the command's to print.

local test = require "stoke.test"
local hidden = require "stoke.fuel.hidden"
local ideal = require "stoke.fuel.ideal"
local json = require "stoke.json"
local measures = require "stoke.fuel.measures"
local rows = require "stoke.fuel.rows"
local run = require "stoke.fuel.run"
local work = require "stoke.fuel.work"
local workloads = require "stoke.fuel.workloads"

local UNSEEN = { effects = false } -- they are many, and nobody asks

local function both(name, size, seed)
  local row = rows.find(name)
  local out = {}
  for _, side in ipairs { "naive", "ours", row.best and "best" } do
    out[side] = rows.measure(row, side, seed or 1, size)
  end
  return out.naive[1], out.ours[1], out.best and out.best[1], out
end

-- ---- the rows -----------------------------------------------------------------------------------------------------------------

test("agents on two models in turn: the naive client loads for each job, ours seldom", UNSEEN, function(t)
  local naive, ours = both("models", 0.5)
  t.eq({ naive.loads, naive.failed, ours.failed }, { 40, 0, 0 })
  t.eq(ours.loads, 2)
  t.ok(ours.makespan < 0.38 * naive.makespan, ours.makespan / naive.makespan)
end)

test("people among batch work do not wait for it, and it ends no later", UNSEEN, function(t)
  local naive, ours = both("classes", 0.3)
  t.ok(ours.p95 < 4 and naive.p95 > 30, ours.p95)
  t.ok(ours.makespan <= 1.06 * naive.makespan, ours.makespan / naive.makespan)
end)

test("one call for a model that is not loaded is answered under steady load on another", UNSEEN, function(t)
  local naive, ours = both("swap", 1)
  t.eq(naive.seconds, 1e9) -- never
  t.ok(ours.seconds <= 7.9, ours.seconds)
end)

test("conversations that were begun first end first", UNSEEN, function(t)
  local naive, ours = both("talks-0.3", 0.3)
  t.eq({ naive.failed, ours.failed }, { 0, 0 })
  t.ok(ours.mean <= 0.56 * naive.mean, ours.mean / naive.mean)
end)

test("conversations with long pauses do not keep slots empty for each other", UNSEEN, function(t)
  local naive, ours = both("talks-15", 0.3)
  t.eq({ naive.failed, ours.failed }, { 0, 0 })
  t.ok(ours.mean <= naive.mean, ours.mean / naive.mean)
end)

test("conversations stay at the server that has read them, though its slots are still to be found", UNSEEN, function(t)
  local naive, ours = both("servers", 1)
  t.eq({ naive.failed, ours.failed }, { 0, 0 })
  t.ok(naive.again > 0.7 and ours.again < 0.19, ours.again)
  t.ok(ours.mean < 0.68 * naive.mean, ours.mean / naive.mean)
end)

test("three models with room for one: what is cheap to load does not go before what many wait for", UNSEEN, function(t)
  local naive = run.world(hidden.world(hidden.seed(1, 2), 1), "naive")
  local ours = run.world(hidden.world(hidden.seed(1, 2), 1), "ours")
  t.ok(ours.mean <= 1.02 * naive.mean, ours.mean / naive.mean)
end)

test("slots are found, and used", UNSEEN, function(t)
  for _, slots in ipairs { 1, 4 } do
    local naive, ours = both("slots-" .. slots, 0.5)
    t.ok(math.abs(ours.out - slots) <= 1, ours.out)
    t.ok(ours.rate >= 0.98 * naive.rate, ours.rate / naive.rate)
  end
end)

test("a slow server gets little, a killed one's calls are done elsewhere, and each job is answered once", UNSEEN, function(t)
  local naive, ours = both("killed", 0.3)
  t.eq({ ours.failed, ours.more }, { 0, 0 })
  t.ok(ours.makespan < 0.2 * naive.makespan, ours.makespan / naive.makespan)
end)

test("twice the capacity: most of it is still used for answers in time", UNSEEN, function(t)
  local naive, ours, best = both("overload", 0.5)
  t.ok(naive.rate < 0.5 * best.rate, naive.rate)
  t.ok(ours.rate >= 0.95 * best.rate, ours.rate / best.rate)
end)

for _, workload in ipairs(workloads.list) do
  test(("workload %s: all jobs succeed on both sides"):format(workload.name), UNSEEN, function(t)
    local naive, ours = both(workload.name, 0.2)
    t.eq({ naive.failed, ours.failed }, { 0, 0 })
  end)
end

test("the same seed gives the same numbers, another one others", UNSEEN, function(t)
  local row = rows.find "short tools"
  local first = rows.measure(row, "ours", 3, 0.3)[1]
  local again = rows.measure(row, "ours", 3, 0.3)[1]
  t.near(again.mean, first.mean, 1e-6) -- the clock stands elsewhere, so the last digit may differ
  t.eq(again.computed, first.computed)
  t.ok(math.abs(rows.measure(row, "ours", 4, 0.3)[1].mean - first.mean) > 1e-3)
end)

test("each row says what is done and what is aimed at, and has a name of its own", function(t)
  local names = {}
  for _, row in ipairs(rows.list) do
    t.ok(not names[row.name] and #row.title > 0 and #row.aim > 0, row.name)
    names[row.name] = true
  end
  t.eq(#workloads.list, 12)
end)

-- ---- worlds -------------------------------------------------------------------------------------------------------------------

local function call(prompt, answer) return work.call("m", prompt, answer) end

test("both clients are answered as the work says: tokens, turns, tool calls", UNSEEN, function(t)
  for _, side in ipairs { "naive", "ours" } do
    local talk = { model = "m", prompt = 50, turns = { { answer = 10, pause = 2, result = 20 }, { answer = 30 } } }
    local out = run.world({ seed = 1, servers = { { models = { "m,tps=10,prefill=0,load=0" }, vram_wait = 0 } },
      jobs = { { at = 0, calls = { talk, { call(10, 5), call(10, 5) } } } } }, side)
    local calls = 7 -- tokens of the tool call itself
    t.eq({ side, out.counts.answers, out.failed }, { side, 4, 0 })
    t.near(out.counts.tokens, 10 + 30 + 5 + 5 + calls, 6) -- the last slot may not be back yet
    t.near(out.makespan, (10 + calls) / 10 + 2 + 3 + 1, 0.5)
  end
end)

test("jobs of a loop follow each other; a deadline cuts a job off", UNSEEN, function(t)
  for _, side in ipairs { "naive", "ours" } do
    local jobs = { work.job(0, call(10, 20), { loop = "a" }), work.job(0, call(10, 20), { loop = "a" }),
      work.job(20, call(10, 200), { deadline = 3 }) }
    local out = run.world({ seed = 1, jobs = jobs, servers = { { models = { "m,tps=10,prefill=0,load=0" } } } }, side)
    t.near(out.jobs[2].ended, 4, 0.5)
    t.near(out.jobs[2].seconds, 2, 0.3)
    t.ok(out.jobs[3].failed and out.jobs[3].seconds <= 3.1, out.jobs[3].failed)
  end
end)

test("a server that is killed and started again counts on, and has the slots it was given", UNSEEN, function(t)
  local jobs = {}
  for i = 1, 6 do jobs[i] = work.job(0, call(10, 50)) end
  local out = run.world({ seed = 1, jobs = jobs, servers = { { models = { "m,tps=10,prefill=0,load=0" } } },
    events = { { at = 7, server = 1, kill = true }, { at = 9, server = 1, start = { slots = 5 } } } }, "naive")
  t.eq({ out.counts.answers, out.counts.loads, out.failed }, { 6, 2, 0 })
  t.ok(out.makespan < 18, out.makespan)
end)

test("what waits for ever is cut off at the time that is set, and counted", UNSEEN, function(t)
  local out = run.world({ seed = 1, stop = 10, jobs = { work.job(0, call(10, 1000)), work.job(0, call(10, 5)) },
    servers = { { models = { "m,tps=10,prefill=0,load=0" }, slots = 2 } } }, "naive")
  t.eq({ out.cut, out.jobs[2].ended ~= nil }, { 1, true })
end)

-- ---- the best there is --------------------------------------------------------------------------------------------------------

test("the best order of a few jobs: one change of model, the short ones first for the mean", function(t)
  local jobs = {}
  for i, model in ipairs { "a", "b", "a" } do jobs[i] = work.job(0, work.call(model, 1970, 90)) end
  local makespan, mean = ideal.small { jobs = jobs, swap = 2, back = 0.5 }
  t.near(makespan, 2 + 4 + 2.5 + 2, 1e-9)
  t.near(mean, (4 + 6 + 10.5) / 3, 1e-9)
end)

test("the best that several servers can do begins nothing where it would be lost", function(t)
  local jobs = {}
  for i = 1, 4 do jobs[i] = work.job(0, work.call("m", 70, 90)) end
  local spec = { jobs = jobs, servers = { { models = { "m,tps=90,prefill=100,load=0" }, slots = 1 },
    { models = { "m,tps=90,prefill=100,load=0" }, slots = 1 } }, events = { { at = 3, server = 2, kill = true } } }
  t.near(ideal.several(spec), 6, 1e-9) -- a job takes two seconds: the second server does one of the four
end)

test("a hidden world is the same for the same seed, and can be done", UNSEEN, function(t)
  t.eq(json.encode(hidden.world(4711, 1)), json.encode(hidden.world(4711, 1)))
  t.ne(json.encode(hidden.world(4711, 1)), json.encode(hidden.world(4712, 1)))
  for seed = 1, 3 do
    local spec = hidden.world(seed, 0.2)
    t.eq(run.world(spec, "naive").cut, 0)
  end
  t.eq(#hidden.small(5).jobs, 6)
end)

test("quantiles and sizes", function(t)
  t.eq({ measures.quantile({ 3, 1, 2, 4 }, 0.5), measures.quantile({ 3, 1, 2, 4 }, 0.95), measures.quantile({}, 0.5) }, { 2, 4, 0 })
  t.eq({ measures.whole(80, 0.1), measures.whole(80, 0.01, 6) }, { 8, 6 })
end)
