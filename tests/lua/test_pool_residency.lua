-- When a server changes its models: lua/pool/residency.lua against the simulator's scheduler, which evicts as Ollama does. A truth
-- model and numbers for time; the client is tests/lua/swapping.lua.

local test = require "stoke.test"
local loads = require "core.pool.loads"
local residency = require "core.pool.residency"
local rooms = require "core.pool.room"
local stoke = require "stoke"
local swapping = require "swapping"

local GIB = 1 << 30

--- Numbers in [0, 1), the same for a seed.
local function numbers(seed)
  local state = seed
  return function()
    state = (state * 1103515245 + 12345) % 2147483648
    return state // 65536 / 32768
  end
end

--- Two models (or those given) of which one fits.
local function one_room(o)
  o.models = o.models or { a = { load = 3 }, b = { load = 3 } }
  o.max_loaded = o.max_loaded or 1
  return swapping.run(o)
end

local function independent(n, gap)
  local jobs = {}
  for i = 1, n do jobs[i] = { at = (i - 1) * (gap or 0), { i % 2 == 1 and "a" or "b", 1 } } end
  return jobs
end

--- Agents whose own work takes turns on the models.
local function turning(agents, calls, models, o)
  local jobs = {}
  for i = 1, agents do
    jobs[i] = {}
    for k = 1, calls do jobs[i][k] = { models[(k + (o.shift and i or 0)) % #models + 1], 1, pause = o.pause } end
  end
  return jobs
end

test("80 jobs for two models in turn, room for one: two loads", function(t)
  for _, slots in ipairs { 1, 4 } do
    for _, gap in ipairs { 0, 0.002 } do
      local world = one_room { slots = slots, jobs = independent(80, gap) }
      t.eq({ world.loads, world.done }, { 2, 80 })
      t.ok(world.makespan < 1.05 * (80 / slots + 6), ("%d slots, %g s apart: %g s"):format(slots, gap, world.makespan))
    end
  end
end)

test("what a swap takes is its load, not the time for which its call waited in the server until the others were done", function(t)
  for _, slots in ipairs { 1, 4 } do
    local world = one_room { slots = slots, jobs = independent(80, 0.002) }
    t.eq({ world.loads, world.residency.swaps }, { 2, 1 })
    t.near(world.residency.swap_seconds, 3, 0.3)
    t.near(world.residency.loads.b, 3, 0.3)
  end
end)

test("the same without a pool: a load for nearly each job", function(t)
  local world = one_room { slots = 1, jobs = independent(80, 0.002), naive = true, jitter = 0.005, random = numbers(1) }
  t.ok(world.loads > 20, world.loads .. " loads")
end)

test("agents whose own work takes turns: no more loads than their longest alternation, and one", function(t)
  for _, slots in ipairs { 1, 4 } do
    for _, pause in ipairs { 0, 1 } do
      for _, shift in ipairs { false, true } do
        local world = one_room { slots = slots, jobs = turning(8, 10, { "b", "a" }, { pause = pause, shift = shift }) }
        t.ok(world.loads <= 11, ("%d loads: %d slots, pauses of %d s"):format(world.loads, slots, pause))
        t.eq(world.done, 80)
      end
    end
  end
end)

test("agents that call one model several times before they turn to the other: two loads", function(t)
  local jobs = {}
  for i = 1, 10 do jobs[i] = { { "a", 1 }, { "a", 1 }, { "a", 1 }, { "b", 1 } } end
  for _, slots in ipairs { 1, 4 } do t.eq(one_room { slots = slots, jobs = jobs }.loads, 2) end
end)

--- A stream of calls for a: closed loops, or arrivals.
local function stream(kind, seconds, slots)
  local jobs = {}
  if kind == "arrivals" then
    for i = 1, math.floor(110 / seconds) do jobs[i] = { at = i * seconds * 1.05 / slots, { "a", seconds } } end
    return jobs
  end
  for i = 1, kind * slots do
    jobs[i] = {}
    for k = 1, math.floor(110 / seconds / kind) do jobs[i][k] = { "a", seconds } end
  end
  return jobs
end

--- One call for b comes into a stream; with nothing learned, and with what the first time taught.
local function one_late(t, load, kind, seconds, slots)
  local facts
  for _ = 1, 2 do
    local jobs, late = stream(kind, seconds, slots), { at = 30.3, { "b", 1 } }
    jobs[#jobs + 1] = late
    local world = one_room { models = { a = { load = load }, b = { load = load } }, slots = slots, jobs = jobs, facts = facts }
    facts = world.residency:facts()
    local waited, bound = late.calls[1].waited - 1, seconds + 1.1 * load + load
    stoke.sleep(0) -- others have their turn
    t.ok(waited <= bound, ("%g s of %g: load %g, %s, %g s a call, %d slots"):format(waited, bound, load, kind, seconds, slots))
  end
end

test("one call for b under a steady load on a waits for the longest a, a swap and 10 %, and one swap's worth more", function(t)
  for _, load in ipairs { 0.5, 1, 3, 8 } do
    for _, kind in ipairs { 1, 2, "arrivals" } do
      for _, seconds in ipairs { 0.5, 2, 6 } do
        for _, slots in ipairs { 1, 4 } do one_late(t, load, kind, seconds, slots) end
      end
    end
  end
end)

test("a higher class does not wait for the loaded model to have nothing to do", function(t)
  local jobs = {}
  for i = 1, 100 do jobs[i] = { class = 3, { "a", 2 } } end
  local late = { at = 20.5, class = 1, { "b", 1 } }
  jobs[#jobs + 1] = late
  local world = one_room { slots = 1, jobs = jobs }
  t.ok(late.calls[1].waited <= 2 + 3.1 + 1 + 2, late.calls[1].waited)
  t.eq(world.loads, 3)
end)

test("batch work for another model is overdue at last, and then takes no more than its share", function(t)
  local jobs = {}
  for i = 1, 3 do
    jobs[i] = { class = 1 }
    for k = 1, 700 do jobs[i][k] = { "a", 1 } end
  end
  for i = 1, 20 do jobs[#jobs + 1] = { at = i * 7, class = 3, { "b", 1 } } end
  local world = one_room { slots = 1, jobs = jobs }
  local batch, interactive = 0, 0
  for i = 4, 23 do batch = math.max(batch, jobs[i].calls[1].waited) end
  for k = 1, 700 do interactive = math.max(interactive, jobs[1].calls[k].waited) end
  t.ok(batch < 700, ("batch waited %g s"):format(batch))
  t.ok(interactive < 20, ("interactive waited %g s"):format(interactive))
  t.ok(world.loads <= 20, world.loads .. " loads")
end)

test("two streams that want different models: swaps take a bounded share of the time", function(t)
  local jobs = {}
  for i = 1, 300 do jobs[i] = { at = i * 0.9, { i % 2 == 1 and "a" or "b", 1 } } end
  local world = one_room { slots = 1, jobs = jobs }
  t.ok(world.makespan < 1.35 * 300, world.makespan)
  t.ok(world.residency.swap_seconds < 0.25 * world.makespan, world.residency.swap_seconds)
end)

test("three models, room for two", function(t)
  local models = { a = { load = 3 }, b = { load = 3 }, c = { load = 3 } }
  for seed = 1, 6 do
    local random, jobs = numbers(seed), {}
    for i = 1, 60 do jobs[i] = { at = (i - 1) * 0.002, { ({ "a", "b", "c" })[random() * 3 // 1 + 1], 1 } } end
    local world = one_room { models = models, max_loaded = 2, slots = 1, jobs = jobs }
    t.ok(world.loads <= 5, ("seed %d: %d loads"):format(seed, world.loads))
  end
  local jobs = turning(9, 9, { "a", "b", "c" }, { pause = 1, shift = true })
  local world = one_room { models = models, max_loaded = 2, slots = 2, jobs = jobs }
  t.ok(world.loads <= 11, world.loads .. " loads")
end)

test("models of which none fits beside another, by their bytes", function(t)
  local models, jobs = {}, {}
  for name in ("a b c d"):gmatch "%a" do models[name] = { load = 3, size = 9 * GIB } end
  for i = 1, 40 do jobs[i] = { { ({ "a", "b", "c", "d" })[i % 4 + 1], 1 } } end
  local world = swapping.run { models = models, gpus = 1, vram = 16 * GIB, slots = 1, jobs = jobs }
  t.eq(world.loads, 4)
  t.ok(world.makespan <= 52.5, world.makespan)
end)

test("a small model stays beside two large ones that take turns", function(t)
  local models = { a = { load = 3, size = 9 * GIB }, b = { load = 3, size = 9 * GIB }, s = { load = 1, size = GIB } }
  local jobs = {}
  for i = 1, 60 do jobs[i] = { at = i * 0.3, { ({ "a", "s", "b" })[i % 3 + 1], 1 } } end
  local world = swapping.run { models = models, gpus = 1, vram = 16 * GIB, slots = 1, jobs = jobs }
  t.ok(world.loads <= 5, world.loads .. " loads")
  local room = world.residency.room
  t.eq({ room:fits { "a", "s" }, room:fits { "b", "s" }, room:fits { "a", "b", "s" } }, { true, true, false })
end)

test("models that fit are loaded beside each other as soon as they are asked for", function(t)
  local models = { a = { load = 3 }, b = { load = 3 } }
  local world = swapping.run { models = models, slots = 1, jobs = independent(60, 0.002) }
  t.eq(world.loads, 2)
  t.ok(world.makespan < 39, world.makespan)
end)

test("a model that cannot be loaded: its calls get the server's error, the others go on, and it is not tried for ever", function(t)
  local jobs = {}
  for i = 1, 30 do jobs[i] = { at = i * 0.5, { i % 2 == 1 and "x" or "a", 1 } } end
  local text = "model requires more system memory (9.1 GiB) than is available (7.9 GiB)"
  local world = one_room { models = { a = { load = 3 }, x = { load = 2, load_error = text } }, slots = 1, jobs = jobs }
  t.eq(world.failed, 15)
  t.ok(world.loads <= 3, world.loads .. " loads")
  for i = 1, 30, 2 do t.eq(jobs[i].calls[1].err, { 500, text }) end
  for i = 2, 30, 2 do t.eq(jobs[i].calls[1].err, nil) end
end)

test("what was learned is used by the next process: the second time nobody tries what does not fit", function(t)
  local first = one_room { slots = 1, jobs = independent(20, 0.002) }
  local facts = first.residency:facts()
  local r = residency.new(facts)
  t.eq(r.room:fits { "a", "b" }, false)
  t.eq(r.loads, { a = 3, b = facts.loads.b })
  r:restarted()
  t.eq(r.room:fits { "a", "b" }, nil)
end)

test("without looks at the server's list it goes as well, since what waits in the server comes at a pause", function(t)
  local world = one_room { slots = 1, jobs = independent(80, 0.002), look = false }
  t.ok(world.loads <= 3, world.loads .. " loads")
  t.eq(world.done, 80)
end)

test("a model that was swapped in answers as many calls as waited for it, before its equals have their turn", function(t)
  local r = residency.new()
  local a, b = { model = "a" }, { model = "b" }
  local function row(lane, busy, waiting, oldest, newest)
    return { lane = lane, busy = busy, waiting = waiting, class = 2, overdue = true, oldest = oldest, newest = newest,
      seconds = waiting }
  end
  r:seen({ { name = "b" } }, 0)
  r.room:not_together { "a", "b" }
  t.eq(r:decide(1, { row(a, 0, 10, 0, 1), row(b, 0, 0) }).kind, "swap")
  r:sent(a, 1)
  r:began(a, 2)
  for i = 1, 10 do -- and more come for both
    local now = 100 + i
    t.eq({ i, r:decide(now, { row(a, 1, 9, 50, now), row(b, 0, 5, 60, now) }).kind }, { i, "stay" })
    r:answered(a, now, { load = 0, total = 1 })
  end
  t.eq(r:decide(111, { row(a, 1, 9, 50, 111), row(b, 0, 5, 60, 111) }).kind, "drain")
end)

test("each answer that waited for a load tells what that took, without what went before it", function(t)
  local load = { since = 6, pause = 12, waited = true } -- its call waited in the server for six seconds
  local m = {}
  loads.ended(m, load, loads.waited(load, 8), 14)
  t.eq(m.learns, true)
  t.eq({ loads.alone(m, 16, 1, 3, 0.25) }, { 2, true }) -- a call that arrived amid the load, and is answered first
  t.eq({ loads.alone(m, 17, 8, 11, 0.25) }, { 2, true }) -- the one that was loaded for
  t.eq({ loads.alone(m, 18, 0.01, 5, 0.25) }, { 0.01, false }) -- one that found it loaded, though nobody knew that yet
  t.eq({ loads.alone(m, 40, 3, 5, 0.25) }, { 3, false }) -- and one of a later load
end)

test("once a model is idle, the best order says who is next, and not who loads fastest", function(t)
  local r = residency.new { loads = { a = 5, quick = 1, wanted = 6 } }
  local a, quick, wanted = { model = "a" }, { model = "quick" }, { model = "wanted" }
  r:seen({ { name = "a" } }, 0)
  for _, pair in ipairs { { "a", "quick" }, { "a", "wanted" }, { "quick", "wanted" } } do r.room:not_together(pair) end
  local work = { { lane = quick, busy = 0, waiting = 1, class = 2, oldest = 1, newest = 1, seconds = 4 },
    { lane = wanted, busy = 0, waiting = 20, class = 2, oldest = 1, newest = 1, seconds = 20 } }
  r:sent(a, 1)
  r:answered(a, 10, { load = 0, total = 9 })
  local change = r:decide(10.1, work)
  t.eq({ change.kind, change.due }, { "stay", 10.25 })
  change = r:decide(10.25, work)
  t.eq({ change.kind, change.lane }, { "swap", wanted })
end)

test("never two loads at once, and no call for a model that is to leave", function(t)
  local r = residency.new()
  local a, b, c = { model = "a" }, { model = "b" }, { model = "c" }
  local function row(lane, busy, waiting, oldest, class)
    return { lane = lane, busy = busy, waiting = waiting, class = class or 2, oldest = oldest, newest = oldest, seconds = waiting }
  end
  r:seen({ { name = "a" } }, 0)
  r.room:not_together { "a", "b" }
  r.room:not_together { "a", "c" }
  r.room:not_together { "b", "c" }
  local change = r:decide(10, { row(a, 2, 5, 9), row(b, 0, 1, 1, 1), row(c, 0, 9, 1) })
  t.eq({ change.kind, change.lane, change.victims, change.reason }, { "drain", b, { a }, "class" })
  t.eq({ change.may[a], change.may[b] }, { false, nil })
  change = r:decide(11, { row(a, 0, 5, 9), row(b, 0, 1, 1, 1), row(c, 0, 9, 1) })
  t.eq({ change.kind, change.lane, change.may[a], change.may[b], change.may[c] }, { "swap", b, false, true, nil })
  r:sent(b, 11)
  change = r:decide(11, { row(a, 0, 5, 9), row(b, 1, 0), row(c, 0, 9, 1) })
  t.eq({ change.kind, change.may[a], change.may[b], change.may[c] }, { "stay", false, true, nil })
  r:answered(b, 15, { load = 3, total = 4 })
  t.eq({ r:resident(a), r:resident(b), r.swaps, r.swap_seconds }, { false, true, 1, 3 })
end)

test("room: what fits follows from what was seen", function(t)
  local room = rooms.new()
  room.sizes = { a = 4, b = 4, c = 5, d = 1, e = 1, f = 9 }
  t.eq(room:fits { "a", "b" }, nil)
  room:together({ "a", "b" }, 8)
  t.eq({ room:fits { "a", "b" }, room:fits { "a", "d" }, room:fits { "a", "c" } }, { true, true, nil })
  room:not_together { "a", "c" }
  t.eq({ room:fits { "a", "c" }, room:fits { "f", "a" }, room:fits { "a", "b", "d" } }, { false, false, false })
  t.eq({ room:fits { "b", "d", "e" } }, { nil })
  room:not_together { "b", "d", "e" } -- there were the bytes: it is the number
  t.eq({ room:fits { "b", "d", "e" }, room:fits { "d", "e" } }, { false, true })
  t.eq(rooms.new(room:facts()):facts(), room:facts())
  room:together({ "b", "d", "e" }, 6) -- and it has changed
  t.eq(room:fits { "b", "d", "e" }, true)
end)
