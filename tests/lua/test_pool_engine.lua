-- The engine of the pool (lua/pool/engine.lua), without tasks, clocks or requests: see pooling.lua for the world it is driven in.

local test = require "stoke.test"
local engines = require "core.pool.engine"
local holds = require "core.pool.hold"
local lanes = require "core.pool.lane"
local pooling = require "pooling"
local rand = require "stoke.rand"
local stoke = require "stoke"
local where = require "core.pool.where"
local words = require "core.pool.words"

local SCALE = tonumber(os.getenv "STOKE_SCALE" or "1")

--- The numbers of calls in the order in which they were sent.
local function sent(world)
  local list = {}
  for i, call in ipairs(world.log) do list[i] = call.number end
  return list
end

test("a fixed number of slots is filled and not exceeded, and the order is that of the programs", function(t)
  local world = pooling.world()
  world:server("s", { m = { slots = 2, limit = 2 } })
  for i = 1, 6 do world:call { lanes = { "m@s" }, order = 10 - i } end
  t.eq(sent(world), { 1, 2 })
  world:run(t)
  t.eq(sent(world), { 1, 2, 6, 5, 4, 3 })
  world:check_end(t)
end)

test("first come, first served is there as the yardstick", function(t)
  local world = pooling.world { order = "fifo" }
  world:server("s", { m = { slots = 1, limit = 1 } })
  for i = 1, 4 do world:call { lanes = { "m@s" }, order = 10 - i, class = i == 4 and 1 or 2 } end
  world:run(t)
  t.eq(sent(world), { 1, 2, 3, 4 })
end)

test("a server without contention rests: calls may count themselves in place again", function(t)
  local world = pooling.world()
  local server = world:server("s", { m = { slots = 2, limit = 2 } })
  for _ = 1, 3 do world:call { lanes = { "m@s" } } end
  t.eq({ server.engaged, world.lanes["m@s"].open }, { true, 0 })
  world:run(t)
  t.eq({ server.engaged, world.lanes["m@s"].open }, { false, 2 })
end)

test("an interactive call that cannot meet its deadline is refused at once; a batch call only waits", function(t)
  local world = pooling.world()
  world:server("s", { m = { slots = 1, limit = 1, service = 10 } })
  world:call { lanes = { "m@s" } }
  world:run(t) -- it is known that calls take 10 s
  world:call { lanes = { "m@s" } }
  local late = world:call { lanes = { "m@s" }, class = 1, deadline = world.now + 12, input = 100 }
  local batch = world:call { lanes = { "m@s" }, class = 3, deadline = world.now + 12 }
  t.eq({ late.ticket.state, batch.ticket.state }, { "refused", "waiting" })
  t.near(late.ticket.late, 8, 1e-6)
  t.eq(words.refused(late.ticket, world.now),
    "would miss its deadline by 8.0 s: it has 12 s left, and its answer is expected in 20 s")
  world:run(t)
  world:check_end(t)
end)

test("a call that was feasible is refused when those before it took longer than expected", function(t)
  local world = pooling.world()
  world:server("s", { m = { slots = 1, limit = 1, service = 2 } })
  world:call { lanes = { "m@s" } }
  world:run(t)
  world:call { lanes = { "m@s" }, service = 60 }
  local call = world:call { lanes = { "m@s" }, class = 1, deadline = world.now + 10 }
  t.eq(call.ticket.state, "waiting")
  world:run(t)
  t.eq(call.ticket.state, "refused")
  world:check_end(t)
end)

test("of several servers the one that ends the call first is taken; one that is far slower only gets what is worth it", function(t)
  local world = pooling.world()
  world:server("fast", { m = { slots = 1, limit = 1, service = 1 } })
  world:server("slow", { m = { slots = 1, limit = 1, service = 10 } })
  local route = { "m@slow", "m@fast" }
  for i = 1, 2 do world:call { lanes = { route[i] } } end
  world:run(t)
  world.log = {}
  for _ = 1, 4 do world:call { lanes = route } end
  world:run(t)
  local counts = { slow = 0, fast = 0 }
  for _, call in ipairs(world.log) do
    local url = call.ticket.lane.server.url
    counts[url] = counts[url] + 1
  end
  t.eq(counts, { slow = 0, fast = 4 })
  local began = world.now
  for _ = 1, 44 do world:call { lanes = route } end
  world:run(t)
  t.ok(world.now - began <= 42, "44 calls: 40 for the fast one in 40 s, 4 for the slow one; got " .. world.now - began)
  world:check_end(t)
end)

test("a model that was loaded though nobody had it leave: perhaps another process, so its slots are counted anew", function(t)
  local world = pooling.world()
  world:server("s", { m = { slots = 1, service = 1, load = 2 } })
  local lane = world.lanes["m@s"]
  for _ = 1, 5 do world:call { lanes = { "m@s" } } end
  world:run(t)
  local before = #lane.slots.done
  world.servers.s.resident[lane] = nil
  world:call { lanes = { "m@s" } }
  world:run(t)
  t.ok(before >= 4, before)
  t.eq(#lane.slots.done, 1) -- that of the call that found it gone
end)

test("a call that was to go on in a kept slot and is cancelled leaves the slot to others", function(t)
  local world = pooling.world()
  world:server("s", { m = { slots = 1, limit = 1, service = 1 } })
  local lane, unit = world.lanes["m@s"], {}
  world:call { lanes = { "m@s" } }
  holds.add(lane, unit, 2, world.now + 100)
  local call = world:call { lanes = { "m@s" }, unit = unit }
  t.eq({ call.ticket.state, lane.holds[1].ticket == call.ticket }, { "waiting", true })
  world:cancel(call)
  t.eq(lane.holds, nil)
  local other = world:call { lanes = { "m@s" } }
  world:run(t)
  t.eq({ other.ticket.state, call.ticket.state }, { "done", "left" })
  world:check_end(t)
end)

test("a call that was moved away from a server takes what is free of the others, and forgets no place of its route", function(t)
  local world = pooling.world()
  for name, service in pairs { failed = 1, near = 1, far = 30 } do
    world:server(name, { m = { slots = 1, limit = 1, service = service } })
    world:call { lanes = { "m@" .. name } }
  end
  world:run(t)
  world:call { lanes = { "m@near" }, service = 40 }
  local function move(n)
    return world:call { lanes = { "m@near", "m@far" }, all = { "m@failed", "m@near", "m@far" }, till = world.now + 5, order = n }
  end
  local one, other = move(1), move(2)
  t.eq({ one.ticket.state, one.ticket.lane and one.ticket.lane.key, #other.ticket.home.lanes }, { "granted", "far m", 3 })
  world:run(t)
  t.eq(other.ticket.lane.key, "failed m") -- once it has waited for the others in vain
  world:check_end(t)
end)

test("a call waits for the server that holds its conversation, if that is free soon enough", function(t)
  local world = pooling.world()
  for _, name in ipairs { "a", "b" } do
    world:server(name, { m = { slots = 1, limit = 1, service = 1 } })
    world:call { lanes = { "m@" .. name } }
  end
  world:run(t)
  local lane, unit = world.lanes["m@a"], {}
  lane.cache.holds = function(_, of) return of == unit and 100000 or nil end
  for name in pairs { a = 1, b = 1 } do world.lanes["m@" .. name].facts.cold:add(0.001) end
  local other = world:call { lanes = { "m@a" } }
  local call = world:call { lanes = { "m@a", "m@b" }, unit = unit, input = 100000 }
  t.eq({ call.ticket.state, call.ticket.home ~= nil }, { "waiting", true })
  t.match(words.reason(call.ticket, world.now), "^it waits up to .* for m at a, which should answer it sooner$")
  world:run(t)
  t.eq({ other.ticket.lane.key, call.ticket.lane.key }, { "a m", "a m" })
  world:check_end(t)
end)

-- A lane on which conversations are worth keeping a slot for: computing again takes 5 s, tools take 1 s.
local function kept_lane(world, options)
  world:server("s", { m = { slots = 1, limit = 1, service = 1 } })
  world:call { lanes = { "m@s" } }
  world:run()
  local lane = world.lanes["m@s"]
  lane.cache.price, lane.cache.holds = function() return 5 end, function() return 1000 end
  lane.facts:paused("tool", 1)
  return lane, options
end

test("hold: worth it for pauses up to twice the time of computing again, for at most twice the pause", function(t)
  t.eq(holds.worth(1, 3), 2)
  t.eq(holds.worth(1.9, 1), 3.8)
  t.eq(holds.worth(2.1, 1), nil)
  t.eq(holds.worth(1, 0), nil) -- nothing is displaced
end)

test("hold: no more conversations are kept than slots are idle", function(t)
  local world = pooling.world()
  local lane = kept_lane(world)
  for i = 1, 3 do holds.add(lane, { i }, 2, world.now + i) end
  holds.trim(lane, 2)
  t.eq({ #lane.holds, lane.holds[1].unit[1] }, { 2, 2 })
  holds.trim(lane, -1)
  t.eq(lane.holds, nil)
end)

test("hold: the slot stays empty for a conversation whose tool runs, and that goes before others", function(t)
  local world = pooling.world()
  local lane, unit = kept_lane(world), {}
  world.log = {}
  local first = world:call { lanes = { "m@s" }, unit = unit, continues = "tool", order = 100 }
  local other = world:call { lanes = { "m@s" }, order = 1 }
  local next_call
  first.on_end = function()
    world:at(world.now + 0.5, function() next_call = world:call { lanes = { "m@s" }, unit = unit, order = 100 } end)
  end
  world:run(t, world.now + 1.2)
  t.eq({ #lane.holds, other.ticket.state }, { 1, "waiting" })
  t.match(words.reason(other.ticket, world.now), "^held for the conversation of an agent, whose tool tool is at work: 1%.%d s more")
  world:run(t)
  t.eq({ next_call.waited, next_call.ticket.why }, { 0, "hold" })
  t.ok(other.sent > next_call.sent)
  world:check_end(t)
end)

test("hold: while conversations call tools nobody is counted in place, past what is kept", function(t)
  local world = pooling.world()
  local lane, unit = kept_lane(world), {}
  world:call { lanes = { "m@s" }, unit = unit, continues = "tool" }
  world:run(t, world.now + 1.5)
  t.eq({ lane.server.engaged, #lane.holds }, { true, 1 })
  local stranger = world:call { lanes = { "m@s" } }
  t.eq(stranger.ticket.state, "waiting")
  world:run(t)
  world:check_end(t)
end)

test("hold: ends by itself, and is broken by a higher class and by who is overdue", function(t)
  for _, case in ipairs { { class = 2, waits = 2 }, { class = 1, waits = 0 }, { class = 2, overdue = true, waits = 0 } } do
    local world = pooling.world { bounds = case.overdue and { 10, 0.5, 600 } or nil }
    kept_lane(world)
    world:call { lanes = { "m@s" }, unit = {}, continues = "tool" }
    local other = world:call { lanes = { "m@s" }, class = case.class }
    world:run(t)
    t.near(other.waited, 1 + case.waits, 1e-9)
    world:check_end(t)
  end
end)

test("two models, room for one, closed loops of two agents: few loads, and nobody starves", function(t)
  local world = pooling.world()
  world:server("s", { a = { slots = 1, load = 5 }, b = { slots = 1, load = 5 } })
  local done = { a = 0, b = 0 }
  local function ask(model)
    world:call { lanes = { model .. "@s" }, on_end = function()
      done[model] = done[model] + 1
      if done[model] < 40 then ask(model) end
    end }
  end
  for _ = 1, 4 do
    ask "a"
    ask "b"
  end
  world:run(t)
  t.ok(done.a >= 40 and done.b >= 40)
  t.ok(world.servers.s.loads <= 12, world.servers.s.loads .. " loads of 86 calls")
  world:check_end(t)
end)

-- Random calls of random lanes, cancelled and failing at random, and what the engine counts is true after every event.
local function storm(t, seed, options)
  local random = rand.new(seed)
  local world = pooling.world { order = options.fifo and "fifo" or nil, bounds = { 2, 5, 20 } }
  local names = {}
  for s = 1, options.servers do
    local models = {}
    for m = 1, options.models do
      models["m" .. m] = { slots = random:int(1, 4), limit = random:int(1, 3) == 1 and random:int(1, 4) or nil,
        load = random:float() * 3, service = function() return 0.05 + random:float() * 2 end }
      names[#names + 1] = ("m%d@s%d"):format(m, s)
    end
    world:server("s" .. s, models, random:int(1, options.models))
  end
  local units = {}
  for i = 1, 8 do units[i] = {} end
  local function call()
    local list = { names[random:int(1, #names)] }
    if options.servers > 1 and random:int(1, 3) == 1 then
      local other = names[random:int(1, #names)]
      if other ~= list[1] then list[2] = other end
    end
    local made = world:call { lanes = list, class = random:int(1, 3), order = random:int(1, 20),
      unit = random:int(1, 2) == 1 and units[random:int(1, #units)] or nil, continues = random:int(1, 4) == 1 and "tool" or nil,
      deadline = random:int(1, 6) == 1 and world.now + random:float() * 10 or nil,
      err = random:int(1, 12) == 1 and { kind = "incomplete", status = random:int(1, 2) == 1 and 503 or nil } or nil }
    world:check(t)
    if random:int(1, 4) == 1 then
      world:at(world.now + random:float() * 3, function() world:cancel(made) end)
    end
  end
  for _ = 1, 40 do
    local at = random:float() * 15
    for _ = 1, random:int(1, 4) do world:at(at, call) end
  end
  world:run(t)
  world:check_end(t)
end

test("routes along which nobody waits are forgotten where there are many, and a server goes with its last lane", function(t)
  local world = pooling.world()
  local names = {}
  for i = 1, 20 do
    names[i] = "m@s" .. i
    world:server("s" .. i, { m = { slots = 1, limit = 1 } })
  end
  world:server("two", { a = { slots = 1, limit = 1 }, b = { slots = 1, limit = 1 } }, 2)
  local waits = {}
  for i = 1, 2 do waits[i] = world:call { lanes = { names[1], names[2] }, service = 3 } end
  waits[3] = world:call { lanes = { names[1], names[2] } } -- its route stays
  for i = 3, 20 do
    for k = 3, 20 do
      if i ~= k then world.pool:group { world.lanes[names[i]], world.lanes[names[k]] } end
    end
  end
  local count = 0
  for _ in pairs(world.pool.groups) do count = count + 1 end
  t.ok(count <= 65, count)
  t.eq(world.pool:group { world.lanes[names[1]], world.lanes[names[2]] }, waits[3].ticket.home or waits[3].ticket.group)
  for _, name in ipairs { "a@two", "b@two" } do world:call { lanes = { name } } end
  world:run(t)
  world:check_end(t)
  for _, name in ipairs { "a@two", "b@two" } do
    t.ok(world.pool:forget(world.lanes[name]))
    lanes.remove(world.lanes[name])
  end
  t.eq(world.pool.engaged[world.servers.two.record], nil)
end)

local WORLDS = { one = { servers = 1, models = 1 }, models = { servers = 1, models = 3 }, servers = { servers = 3, models = 1 },
  both = { servers = 2, models = 2 }, fifo = { servers = 2, models = 2, fifo = true } }

test("a lane of a route is never taken for the only one, also after all that was learned is forgotten", function(t)
  local world = pooling.world()
  world:server("one", { m = { slots = 1, service = 1 } })
  world:server("two", { m = { slots = 1, service = 1 } })
  local a, b = world.lanes["m@one"], world.lanes["m@two"]
  local engine = world.pool
  engine:group { a, b }
  t.eq({ a.breaker.alone, b.breaker.alone }, { false, false })
  engine:unlearn { a, b }
  t.eq({ a.breaker.alone, b.breaker.alone }, { false, false })
  engine:forget(b)
  t.eq(a.breaker.alone, true)
end)

test("random calls, cancels and failures: no slot is lost, nobody waits for nothing", function(t)
  for seed = 1, math.max(2, 10 * SCALE // 1) do
    for name, options in pairs(WORLDS) do
      local ok, err = pcall(storm, t, seed, options)
      stoke.sleep(0) -- others have their turn
      if not ok then error(("%s, seed %d: %s"):format(name, seed, tostring(err)), 0) end
    end
  end
end)

-- ---- servers that share work ---------------------------------------------------------------------------------------------------

-- Two lanes of one slot and what is known of their calls: seconds each.
local function two_lanes(first, second)
  local pool, list = engines.new {}, {}
  for i = 1, 2 do
    local lane = lanes.new("m@" .. i, lanes.server("s" .. i), { name = "m", endpoint = { name = "s" .. i } })
    lane.limit, list[i] = 1, lane
  end
  local group = pool:group(list)
  for i, seconds in ipairs { first, second } do
    for _ = 1, 8 do
      list[i].facts:learn { load = 0, prefill = 0.01, decode = seconds, input = 100, output = 100 }
    end
  end
  return pool, group, list
end

local function ask(pool, group, now, unit)
  local ticket = pool:ticket { group = group, order = 1, unit = unit, input = 100 }
  pool:arrive(ticket, now)
  return ticket
end

-- A call waits for the first lane alone, as that one is expected to end it sooner; then the second becomes idle.
local function waits_for_the_first(second, unit)
  local pool, group, list = two_lanes(4, second)
  local one, two = ask(pool, list[1].group, 0), ask(pool, list[2].group, 0)
  local waiting = ask(pool, group, 0, unit)
  group.queue:remove(waiting)
  waiting.home, waiting.group, waiting.till = group, list[1].group, 100
  waiting.group.queue:push(waiting)
  pool.pinned[waiting] = true
  pool:done(two, { timings = { prefill = 0.01, decode = 0.5, input = 100, output = 10, total = 0.51 } }, 0.5)
  return waiting, one, list
end

test("an idle lane takes a call that waits for another one alone, where it ends it sooner", function(t)
  local waiting, one, list = waits_for_the_first(4)
  t.eq({ one.state, waiting.state, waiting.lane }, { "granted", "granted", list[2] })
end)

test("it does not where that one is quicker in spite of the wait, nor a call of a conversation", function(t)
  t.eq(waits_for_the_first(40).state, "waiting")
  t.eq(waits_for_the_first(4, {}).state, "waiting")
end)

test("of calls beyond a lane's slots the first sent is the next to begin", function(t)
  local lane = { running = {}, queues = true }
  local list = {}
  for i = 1, 3 do
    list[i] = { seq = i, began = 1, serves = i == 1 and 1 or nil }
    lane.running[list[i]] = true
  end
  lane.running[list[1]] = nil
  where.next_begins(lane, 5)
  t.eq({ list[2].serves, list[3].serves, lane.queues }, { 5, nil, true })
  where.next_begins(lane, 7)
  t.eq({ list[2].serves, list[3].serves, lane.queues }, { 5, 7, nil })
end)
