-- Figures of durable runs for run.lua, which gives its tools. Each work of durable.lua, with --durable and without.

local SMALL <const> = 500

local values, measure, median, figure, beside, bench, stoke, rounds, folder, file

local function fresh() os.execute(("rm -rf %s && mkdir %s"):format(folder, folder)) end

local function script(...)
  return table.concat({ stoke, "run --log error --store", file, "tests/bench/durable.lua", ... }, " ")
end

local function run(id, ...)
  return table.concat({ stoke, "run --log error --durable=" .. id, "--store", file, "tests/bench/durable.lua", ... }, " ")
end

--- What `n` of a work cost beyond a few of them, each: CPU and time, microseconds.
local function cost(work, n, durable)
  local made = {}
  for i, count in ipairs { SMALL, n + SMALL } do
    fresh()
    made[i] = measure(durable and run("a", work, count) or script(work, count))
  end
  return (made[2].cpu_ms - made[1].cpu_ms) / n * 1e3, (made[2].first_ms - made[1].first_ms) / n * 1e3
end

local function medians(f, ...)
  local first, second = {}, {}
  for i = 1, rounds do first[i], second[i] = f(...) end
  return median(first), second[1] and median(second)
end

local function outcomes()
  local _, clock = medians(cost, "clock", 20000, true)
  local _, step = medians(cost, "steps", 20000, true)
  figure("durable: readings of the clock", "a s", 1e6 / clock, 100000, true)
  figure("durable: steps of 100 bytes, idempotent", "a s", 1e6 / step, 100000, true)
  for _, work in ipairs { "calls", "loops" } do
    local n = work == "calls" and 8000 or 2000
    local durable, plain = medians(cost, work, n, true), medians(cost, work, n)
    beside(work == "calls" and "durable: a model's call, beside a plain one" or "durable: call, tool, call, beside plain", "us",
      durable, plain)
    if work == "calls" then figure("durable: a model's call above a plain one, CPU", "us", durable - plain, 15) end
  end
end

local function barriers()
  local ours, theirs, disk = {}, {}, {}
  for i = 1, rounds do
    fresh()
    ours[i] = values(script("agents", 1)).agents_s
    local bare = values(("%s/store %s 0.5 records"):format(bench, folder))
    theirs[i], disk[i] = bare.effects_s, bare.fsyncs_s
  end
  local made, bare, syncs = median(ours), median(theirs), median(disk)
  figure("this disk, a page and fdatasync", "a s", syncs, 0, true)
  figure("durable: unsafe steps of 64 runs", "a s", made, 0.9 * math.min(64 * syncs, 170000) // 1, true)
  figure("the same beside bare SQLite, the same rows", "x", made / bare, 0.7, true)
end

--- CPU, in ms, of a process that takes a run of `n` steps up.
local function resumed(n)
  fresh()
  measure(run("r", "steps", n, "wait"), true)
  measure(script("signal", "r"))
  return measure(run("r", "steps", n, "wait")).cpu_ms
end

local function resumes()
  local few, some, many, work = {}, {}, {}, {}
  for i = 1, rounds do
    few[i], some[i], many[i] = resumed(1), resumed(1001), resumed(21001)
    work[i] = measure(script("steps", 21000)).cpu_ms - measure(script("steps", 1000)).cpu_ms
  end
  local own = median(work) / 20000
  figure("resume of 1,000 steps, beside the steps, CPU", "ms", median(some) - median(few) - 1000 * own, 10)
  figure("replay, steps of 100 bytes", "a s", 1e3 * 20000 / (median(many) - median(some)), 200000, true)
end

local function size()
  local p = io.popen("cat " .. file .. "* | wc -c")
  local bytes = tonumber(p:read "a")
  p:close()
  return bytes
end

local function bytes()
  local function after(...)
    fresh()
    return values(run("b", ...)), size()
  end
  local _, few = after("steps", 100)
  local _, many = after("steps", 10100)
  figure("a step on the disk, beside its 100 bytes", "B", (many - few) / 10000 - 100, 300)
  local short, small = after("talk", 2)
  local long, large = after("talk", 42)
  figure("journal of turns of some 1,500 bytes, beside", "x", (large - small) / (long.talk - short.talk), 1.2)
end

local function events()
  fresh()
  local list = stoke .. " runs --store " .. file
  measure(run("first", "clock", 1))
  local small = measure(list).first_ms
  for i = 1, 20 do measure(run(i, "clock", 50000)) end
  figure("a file of a million events opened", "ms", measure(list).first_ms - small, 100)
end

return function(tools)
  values, measure, median, figure, beside = tools.values, tools.measure, tools.median, tools.figure, tools.beside
  bench, stoke, rounds = tools.bench, tools.stoke, tools.rounds
  folder = bench .. "/durable"
  file = folder .. "/state.db"
  for _, part in ipairs { outcomes, barriers, resumes, bytes, events } do part() end
  os.execute("rm -rf " .. folder)
end
