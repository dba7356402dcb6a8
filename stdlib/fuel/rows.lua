--- The rows of the table: for each a world made from a seed, what is measured in it, and the aim.

local ideal = require "stoke.fuel.ideal"
local hidden = require "stoke.fuel.hidden"
local measures = require "stoke.fuel.measures"
local run = require "stoke.fuel.run"
local work = require "stoke.fuel.work"
local workloads = require "stoke.fuel.workloads"

local M = {}

---@class stoke.fuel.row
---@field name string
---@field title string what is done, in one line
---@field aim string in words
---@field cases? integer worlds of the row, each from a seed of its own (1)
---@field world fun(seed: integer, size: number, case: integer): stoke.fuel.spec size: 1 = whole, smaller for tests
---@field best? true|fun(spec: stoke.fuel.spec): stoke.fuel.spec there is a yardstick: the same world, or this one, by the naive
---  client with spec.limit calls at once
---@field measure fun(outcome: stoke.fuel.outcome, spec: stoke.fuel.spec): table<string, number>
---@field figure fun(m: table<string, number>): string what is printed of one side
---@field judge fun(m: { naive: table[], ours: table[], best: table[]? }, spec: stoke.fuel.spec): boolean, string met, and how near

local quantile, whole = measures.quantile, measures.whole
local MODEL = "qwen2.5:3b"

local rows = {}
M.list = rows

-- ---- two models, room for one -------------------------------------------------------------------------------------------------

local PAIR = { "a", "b" }

rows[#rows + 1] = {
  name = "models", title = "80 jobs of 8 agents on two models in turn, room for one", aim = "2 loads, makespan <= 1.05 of the best",
  world = function(seed, size)
    local random, jobs, each = work.random(seed), {}, whole(10, size, 2)
    for agent = 1, 8 do
      for _ = 1, each do
        jobs[#jobs + 1] = work.job(0, work.call(PAIR[agent % 2 + 1], work.between(random, 150, 300), work.between(random, 60, 120)),
          { loop = "agent " .. agent })
      end
    end
    return { jobs = jobs, seed = seed, servers = { { models = { "a", "b" }, load_seconds = 2, max_loaded = 1 } } }
  end,
  measure = function(o)
    return { loads = o.counts.loads, makespan = o.makespan, busy = o.counts.slot_seconds, failed = o.failed }
  end,
  figure = function(m) return ("%d loads, %.0f s"):format(m.loads, m.makespan) end,
  judge = function(m)
    local ours, best = m.ours[1], 2 * 2 + 0.25 + m.naive[1].busy -- two loads, the memory of the first, and all the work
    return ours.loads <= 2 and ours.makespan <= 1.05 * best, ("%.2f of the best"):format(ours.makespan / best)
  end,
}

-- ---- people among batch work --------------------------------------------------------------------------------------------------

rows[#rows + 1] = {
  name = "classes", title = "20 interactive calls among 200 of batch work, 4 slots", aim = "p95 <= 2.9 s, makespan <= 1.02",
  world = function(seed, size)
    local random, jobs = work.random(seed), {}
    local batch, people = whole(200, size, 20), whole(20, size, 4)
    for _ = 1, batch do
      jobs[#jobs + 1] = work.job(0, work.call(MODEL, work.between(random, 200, 600), work.between(random, 120, 160)),
        { class = "batch" })
    end
    for i = 1, people do
      jobs[#jobs + 1] = work.job(1 + (i - 1) * 0.4 * batch / people + random(), work.call(MODEL, work.between(random, 80, 200),
        work.between(random, 40, 80)), { class = "interactive" })
    end
    return { jobs = jobs, seed = seed, servers = { { models = { MODEL }, slots = 4 } } }
  end,
  measure = function(o)
    local list = measures.seconds_of(o, "interactive")
    return { p95 = quantile(list, 0.95), median = quantile(list, 0.5), makespan = o.makespan, failed = o.failed }
  end,
  figure = function(m) return ("p95 %.1f s, all in %.0f s"):format(m.p95, m.makespan) end,
  judge = function(m)
    local ratio = m.ours[1].makespan / m.naive[1].makespan
    return m.ours[1].p95 <= 2.9 and ratio <= 1.02, ("makespan %.2f"):format(ratio)
  end,
}

-- ---- one call for another model -----------------------------------------------------------------------------------------------

local SWAP = 2 + 0.25 -- seconds to load, and to see the memory of the other come back

rows[#rows + 1] = {
  name = "swap", title = "one call for B under steady load on A, room for one", aim = "longest A + swap + a swap's wait, + 10 %",
  world = function(seed, size)
    local random, jobs = work.random(seed), {}
    for agent = 1, 6 do
      for _ = 1, whole(100, size, 60) do
        jobs[#jobs + 1] = work.job(0, work.call("a", work.between(random, 150, 300), work.between(random, 60, 160)),
          { loop = "agent " .. agent, class = "normal" })
      end
    end
    jobs[#jobs + 1] = work.job(20, work.call("b", 200, 60), { name = "b" })
    return { jobs = jobs, seed = seed, stop = 120, until_done = function(job) return job.name == "b" end,
      servers = { { models = { "a", "b" }, slots = 2, load_seconds = 2, max_loaded = 1 } } }
  end,
  measure = function(o)
    return { seconds = o.jobs[#o.jobs].seconds or 1e9, loads = o.counts.loads }
  end,
  figure = function(m) return m.seconds < 1e9 and ("after %.1f s"):format(m.seconds) or "never" end,
  judge = function(m, spec)
    local a, b = 0, 0
    for i, job in ipairs(spec.jobs) do
      local seconds = measures.alone(job.calls[1], spec.servers[1].slots)
      if i == #spec.jobs then b = seconds else a = math.max(a, seconds) end
    end
    local bound = 1.1 * (a + 2 * SWAP) + b -- and what the call itself takes
    return m.ours[1].seconds <= bound, ("at most %.1f s"):format(bound)
  end,
}

-- ---- conversations ------------------------------------------------------------------------------------------------------------

local function talks(random, n, turns, pause, at)
  local jobs = {}
  for i = 1, n do
    jobs[i] = work.job(at(i), work.talk(MODEL, turns, { random = random, prompt = { 300, 600 }, answer = { 100, 240 },
      result = { 100, 300 }, pause = { 0.5 * pause, 1.5 * pause } }))
  end
  return jobs
end

-- An old server: a slot remembers one conversation.
local function one_each(slots) return { models = { MODEL }, slots = slots, like = "0.17", gpus = 1 } end

local function mean_figure(m) return ("mean %.0f s"):format(m.mean) end

local function mean_at_most(bound)
  return function(m)
    local ratio = m.ours[1].mean / m.naive[1].mean
    return ratio <= bound and m.ours[1].failed == 0, ("%.2f"):format(ratio)
  end
end

for _, case in ipairs { { 0.3, 0.5 }, { 1, 0.6 }, { 5, 0.8 }, { 15, 0.87 } } do
  rows[#rows + 1] = {
    name = ("talks-%g"):format(case[1]), title = ("64 conversations x 10 turns at once, 4 slots, pauses of %g s"):format(case[1]),
    aim = ("mean <= %g"):format(case[2]),
    world = function(seed, size)
      return { seed = seed, servers = { one_each(4) },
        jobs = talks(work.random(seed), whole(64, size, 12), whole(10, math.sqrt(size), 4), case[1], function() return 0 end) }
    end,
    measure = measures.mean, figure = mean_figure, judge = mean_at_most(case[2]),
  }
end

rows[#rows + 1] = {
  name = "arrivals", title = "the same arriving one by one near saturation, pauses of 1 s", aim = "mean <= 0.3",
  world = function(seed, size)
    -- First come, first served saturates at 0.06 conversations a second, as it computes all of them again; a server that computes
    -- nothing again at 0.19. So many come that the one is beyond that and the other is not.
    local random, n, times = work.random(seed), whole(64, size, 12), {}
    for i = 1, n do times[i] = random() * n / 0.08 end
    table.sort(times)
    return { seed = seed, servers = { one_each(4) },
      jobs = talks(random, n, whole(10, math.sqrt(size), 4), 1, function(i) return times[i] end) }
  end,
  measure = measures.mean, figure = mean_figure, judge = mean_at_most(0.3),
}

rows[#rows + 1] = {
  name = "servers", title = "24 conversations x 8 turns, 4 servers of 2 slots, pauses of 1 s",
  aim = "<= 14 % of the prompts computed again",
  world = function(seed, size)
    return { seed = seed, servers = { one_each(2), one_each(2), one_each(2), one_each(2) },
      jobs = talks(work.random(seed), whole(24, size, 12), whole(8, size, 4), 1, function(i) return 0.1 * i end) }
  end,
  measure = function(o, spec)
    local out = measures.mean(o)
    local answers, fresh = work.tokens(spec.jobs)
    out.again = math.max(0, out.computed - fresh - answers) / out.prompt
    return out
  end,
  figure = function(m) return ("%.0f %% again, mean %.0f s"):format(100 * m.again, m.mean) end,
  judge = function(m) return m.ours[1].again <= 0.14, ("mean %.2f"):format(m.ours[1].mean / m.naive[1].mean) end,
}

-- ---- hidden slots -------------------------------------------------------------------------------------------------------------

local LOOPS = 64

for _, slots in ipairs { 1, 2, 4, 8, 32 } do
  rows[#rows + 1] = {
    name = ("slots-%d"):format(slots), title = ("calls of %d loops, %d slots that nobody told"):format(LOOPS, slots),
    aim = ">= 0.95 of the best, found within one", best = true,
    world = function(seed, size)
      local random, jobs = work.random(seed), {}
      for loop = 1, LOOPS do
        for _ = 1, whole(4 + slots / 2, math.max(size, 0.5), 4) do
          jobs[#jobs + 1] = work.job(0, work.call(MODEL, work.between(random, 50, 200), work.between(random, 60, 140)),
            { loop = "loop " .. loop })
        end
      end
      return { jobs = jobs, seed = seed, limit = slots + 2, learned = 4 * slots + 50, slots = slots,
        servers = { { models = { MODEL }, slots = slots } } }
    end,
    measure = function(o, spec)
      local ended, out = table.move(o.jobs, 1, #o.jobs, 1, {}), {}
      table.sort(ended, function(a, b) return a.ended < b.ended end)
      local from, to = math.min(spec.learned, #ended // 2), #ended - LOOPS -- not the end, when loops are done
      for i = from + 1, to do out[#out + 1] = ended[i].out + 1 end
      return { rate = (to - from) / (ended[to].ended - ended[from].ended), out = quantile(out, 0.5), makespan = o.makespan }
    end,
    figure = function(m) return ("%.2f a second, %d out"):format(m.rate, m.out) end,
    judge = function(m, spec)
      local best = math.max(m.best[1].rate, m.naive[1].rate)
      local ours = m.ours[1]
      return ours.rate >= 0.95 * best and math.abs(ours.out - spec.slots) <= 1, ("%.2f of the best"):format(ours.rate / best)
    end,
  }
end

-- ---- one slow, one killed -----------------------------------------------------------------------------------------------------

rows[#rows + 1] = {
  name = "killed", title = "240 jobs, 4 servers of 2 slots, one 10 times slower, one killed",
  aim = "makespan <= 1.05 of ideal, each once",
  world = function(seed, size)
    local random, jobs = work.random(seed), {}
    for i = 1, whole(240, size, 60) do
      jobs[i] = work.job(0, work.call(MODEL, work.between(random, 100, 300), work.between(random, 100, 200)))
    end
    local fast = { models = { MODEL .. ",tps=90,prefill=2000,load=1" }, slots = 2 }
    return { jobs = jobs, seed = seed, events = { { at = 20 * math.max(size, 0.25), server = 3, kill = true } },
      servers = { fast, { models = { MODEL .. ",tps=9,prefill=200,load=5" }, slots = 2 }, fast, fast } }
  end,
  measure = function(o, spec)
    return { makespan = o.makespan, failed = o.failed, more = o.answered - #spec.jobs }
  end,
  figure = function(m) return ("%.0f s, %d answered twice"):format(m.makespan, m.more) end,
  judge = function(m, spec)
    local ratio = m.ours[1].makespan / ideal.several(spec)
    return ratio <= 1.05 and m.ours[1].failed == 0 and m.ours[1].more == 0, ("%.2f of ideal"):format(ratio)
  end,
}

-- ---- overload -----------------------------------------------------------------------------------------------------------------

rows[#rows + 1] = {
  name = "overload", title = "calls at twice the capacity for a minute, then at half, patience 8 s",
  aim = "goodput >= 0.95, recovery in 10 s",
  world = function(seed, size)
    local random, jobs, at, minute = work.random(seed), {}, 0, 60 * math.max(size, 0.5)
    local function add()
      jobs[#jobs + 1] = work.job(at, work.call(MODEL, work.between(random, 100, 300), work.between(random, 100, 140)),
        { class = "interactive", deadline = 8 })
    end
    while at < minute do
      add()
      at = at + work.gap(random, 5)
    end
    while at < minute + 40 do
      add()
      at = at + work.gap(random, 1.25)
    end
    return { jobs = jobs, seed = seed, minute = minute, attempts = 1, servers = { { models = { MODEL }, slots = 4 } } }
  end,
  best = function(spec) -- the same calls with all the time they want: what the server can do
    local jobs = {}
    for _, job in ipairs(spec.jobs) do
      if job.at < spec.minute then jobs[#jobs + 1] = work.job(0, job.calls[1]) end
    end
    return { jobs = jobs, seed = spec.seed, minute = spec.minute, limit = 6, servers = spec.servers }
  end,
  measure = function(o, spec)
    local good, recovered = 0, spec.minute -- it has recovered when every call that comes is answered in time again
    for _, job in ipairs(o.jobs) do
      local ok = job.ended and not job.failed
      if ok and job.ended > 5 and job.ended <= spec.minute then good = good + 1 end
      if job.at > spec.minute and not ok then recovered = math.max(recovered, job.at) end
    end
    return { rate = good / (spec.minute - 5), recovery = recovered - spec.minute, failed = o.failed }
  end,
  figure = function(m) return ("%.2f good a second, %.0f s"):format(m.rate, m.recovery) end,
  judge = function(m)
    local part = m.ours[1].rate / m.best[1].rate
    return part >= 0.95 and m.ours[1].recovery <= 10, ("%.2f of capacity"):format(part)
  end,
}

-- ---- never worse --------------------------------------------------------------------------------------------------------------

--- The worst of several worlds, each against the naive client of the same one.
local function never_worse(m)
  local mean, makespan, failed = 0, 0, 0
  for i, ours in ipairs(m.ours) do
    mean = math.max(mean, ours.mean / m.naive[i].mean)
    makespan = math.max(makespan, ours.makespan / m.naive[i].makespan)
    failed = failed + math.max(0, ours.failed - m.naive[i].failed)
  end
  return mean <= 1.02 and makespan <= 1.1 and failed == 0, ("mean %.2f, makespan %.2f"):format(mean, makespan)
    .. (failed > 0 and (", %d failed"):format(failed) or "")
end

local function both_figure(m) return ("mean %.2f s, all in %.0f s"):format(m.mean, m.makespan) end

for _, workload in ipairs(workloads.list) do
  rows[#rows + 1] = { name = workload.name, title = workload.title, aim = "mean <= 1.02, makespan <= 1.1",
    world = function(seed, size) return workloads.world(workload, seed, size) end,
    measure = measures.mean, figure = both_figure, judge = never_worse }
end

rows[#rows + 1] = {
  name = "hidden", title = "12 worlds drawn from the seed: slots, speeds, arrivals, faults", cases = 12,
  aim = "mean <= 1.02, makespan <= 1.1",
  world = function(seed, size, case) return hidden.world(hidden.seed(seed, case), size) end,
  measure = measures.mean, figure = both_figure, judge = never_worse,
}

rows[#rows + 1] = {
  name = "small", title = "20 worlds of 6 jobs on 2 models, room for one, against every order", cases = 20,
  aim = "makespan <= 1.05 of the best order (and a swap where jobs come late)",
  world = function(seed, _, case) return hidden.small(hidden.seed(seed, case)) end,
  measure = function(o, spec)
    local out = measures.mean(o)
    out.best_makespan, out.best_mean = ideal.small(spec)
    local late = 0
    for _, job in ipairs(spec.jobs) do late = math.max(late, job.at) end
    out.unforeseen = late > 0 and spec.swap + spec.back or 0 -- the orders know what will come; we do not
    return out
  end,
  figure = both_figure,
  judge = function(m)
    local worst, mean, met = 0, 0, true
    for _, ours in ipairs(m.ours) do
      met = met and ours.makespan <= 1.05 * ours.best_makespan + ours.unforeseen
      worst, mean = math.max(worst, ours.makespan / ours.best_makespan), mean + ours.mean / ours.best_mean / #m.ours
    end
    return met, ("makespan %.2f, mean %.2f of the best"):format(worst, mean)
  end,
}
--- A row by its name.
---@param name string
---@return stoke.fuel.row|nil
---
--- Example: `local row = rows.find "swap"`
function M.find(name)
  for _, row in ipairs(rows) do
    if row.name == name then return row end
  end
end

--- Do the work of a row by one side, and measure it. Time should be virtual.
---@param row stoke.fuel.row
---@param side "naive"|"ours"|"best"
---@param seed integer
---@param size number
---@return table<string, number>[] measures of each of its worlds
---
--- Example: `local m = rows.measure(rows.find "swap", "naive", 1, 0.1)`
function M.measure(row, side, seed, size)
  local out = {}
  for case = 1, row.cases or 1 do
    local spec = row.world(seed, size, case)
    if side == "best" and row.best ~= true then spec = row.best(spec) end
    out[case] = row.measure(run.world(spec, side), spec)
  end
  return out
end

--- What is printed of one side: of several worlds their mean.
---@param row stoke.fuel.row
---@param list table<string, number>[]
---@return string
---
--- Example: `print(rows.text(row, m.naive))`
function M.text(row, list)
  local sum = {}
  for _, m in ipairs(list) do
    for name, value in next, m do sum[name] = (sum[name] or 0) + value / #list end
  end
  return row.figure(sum)
end

return M
