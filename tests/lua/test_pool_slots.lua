-- The learner of slots, beside a server of which everything is known.

local test = require "stoke.test"
local slots = require "core.pool.slots"
local truth = require "lane_truth"

local SERVICES = { "constant", "uniform", "exponential", "bimodal", "lognormal" }

-- Numbers in [0, 1), the same on every machine.
local function drawing(seed)
  local state = seed * 2654435761 + 1
  return function()
    state = state * 6364136223846793005 + 1442695040888963407
    return (state >> 11) / 2.0 ^ 53
  end
end

local function server_of(n, service, seed, more)
  local o = { slots = n, service = truth.services[service], draw = drawing(seed) }
  for name, value in pairs(more or {}) do o[name] = value end
  return truth.new(o)
end

-- Learn from so many replies, with calls always waiting. `each(count, lane)` looks on.
local function learn(server, lane, replies, each)
  local count = 0
  return truth.saturate(server, replies, function(now) return lane:allowed(now, 10) end, function(now) lane:sent(now) end,
    function(now, timings, out, began)
      lane:answered(now, timings, out, began)
      count = count + 1
      if each then each(count, lane, now) end
    end)
end

local function work_of(server, lane_or_width, skipped, replies)
  local width = math.type(lane_or_width) and lane_or_width
  if width then
    truth.saturate(server, skipped + replies, function() return width end)
    return server.work / server.clock.now
  end
  local now, work
  learn(server, lane_or_width, skipped + replies, function(count)
    if count == skipped then now, work = server.clock.now, server.work end
  end)
  return (server.work - work) / (server.clock.now - now)
end

for _, n in ipairs { 1, 2, 4, 8, 32 } do
  test(("slots: %d are found, within one in %d replies"):format(n, 4 * n + 50), function(t)
    for _, service in ipairs(SERVICES) do
      for seed = 1, n == 32 and 2 or 4 do
        local lane = slots.new()
        learn(server_of(n, service, seed), lane, 4 * n + 50)
        t.ok(math.abs(lane.believed - n) <= 1, ("%s, seed %d: %d"):format(service, seed, lane.believed))
      end
    end
  end)
end

for name, more in pairs { ["a way of a tenth of a call"] = { way = 0.1 }, ["steps of a batch"] = { way = 0.005, step = 0.1 },
    ["an engine that takes its time to begin"] = { way = 0.005, base = 0.3 }, ["an uneven way"] = { way = 0.02, jitter = 0.05 } } do
  test("slots: found in spite of " .. name, function(t)
    for _, n in ipairs { 1, 2, 4, 8 } do
      for _, service in ipairs(SERVICES) do
        local lane = slots.new()
        learn(server_of(n, service, 7, more), lane, 4 * n + 50)
        t.ok(math.abs(lane.believed - n) <= 1, ("%d slots, %s: %d"):format(n, service, lane.believed))
      end
    end
  end)
end

test("slots: once found, as much is done as with the best fixed number, and no more is out than that needs", function(t)
  for _, n in ipairs { 1, 3, 8 } do
    for _, more in ipairs { {}, { way = 0.1 }, { way = 0.005, base = 0.3 } } do
      for _, service in ipairs(SERVICES) do
        local lane = slots.new()
        local skipped, replies = 4 * n + 50, 10 * n + 150
        local done = work_of(server_of(n, service, 3, more), lane, skipped, replies)
        local best = work_of(server_of(n, service, 3, more), 2 * n, 0, skipped + replies)
        t.ok(done >= 0.95 * best, ("%d slots, %s: %.3f of the best"):format(n, service, done / best))
        local way = (more.way or 0) + (more.base or 0)
        local out = lane:allowed(0, 1)
        t.ok(out <= math.ceil((n + 2) * (1 + 1.5 * way)), ("%d slots, %s: %d out"):format(n, service, out))
      end
    end
  end
end)

test("slots: nothing is tried while nobody waits", function(t)
  local lane = slots.new()
  t.eq(lane:allowed(0, 0), 1)
  t.eq(lane:allowed(0, 1), 2)
  local known = slots.new { slots = 4, sure = true }
  t.eq(known:allowed(0, 0), 4)
  t.eq(known:allowed(0, 3), 5, "one check after the start")
end)

test("slots: a server that comes back with fewer is not given more than that for long", function(t)
  local server, lane = server_of(8, "uniform", 5), slots.new()
  learn(server, lane, 300)
  t.eq(lane.believed, 8)
  server.slots = 2
  learn(server, lane, 80)
  t.eq(lane.believed, 2)
end)

test("slots: a server that comes back with more is found to have them", function(t)
  local server, lane = server_of(2, "uniform", 5), slots.new()
  learn(server, lane, 100)
  t.eq(lane.believed, 2)
  server.slots = 8
  learn(server, lane, 150)
  t.ok(math.abs(lane.believed - 8) <= 1, lane.believed)
end)

test("slots: what is known is taken over, and is no less when it is looked at again", function(t)
  local server, lane = server_of(4, "uniform", 5), slots.new()
  learn(server, lane, 150)
  t.eq(lane:facts(), { slots = 4, sure = true })
  local later = slots.new(lane:facts())
  learn(server_of(4, "exponential", 6), later, 200, function(_, now_lane) t.eq(now_lane.believed, 4) end)
  t.eq(slots.new({ slots = 0 }).believed, 1, "no number of slots")
  t.eq(slots.new({ slots = "x" }).believed, 1)
end)

test("slots: a prompt that cannot be stopped keeps its slot until it is read", function(t)
  local lane = slots.new { slots = 2, sure = true }
  lane:sent(0)
  lane:sent(0)
  lane:lost(1, "gone", 9)
  t.eq({ lane:allowed(1, 0), lane:due(1) }, { 1, 9 })
  t.eq({ lane:allowed(9, 0), lane:due(9) }, { 2, nil })
end)

test("slots: a refusal of one of those believed in takes one away for a moment", function(t)
  local lane = slots.new { slots = 4, sure = true }
  for _ = 1, 4 do lane:sent(0) end
  lane:lost(1, "503")
  t.eq({ lane:allowed(1, 5), lane:due(1) }, { 3, 1.5 })
  t.eq({ lane:allowed(1.5, 0), lane.believed }, { 4, 4 })
end)

test("slots: refused again and again whenever as many are out, the server has fewer", function(t)
  local lane, now = slots.new { slots = 4, sure = true }, 0
  for _ = 1, 4 do lane:sent(now) end
  for _ = 1, 20 do
    lane:lost(now, "503")
    now = lane:due(now) or now
    lane:sent(now)
    if lane.believed < 4 then break end
  end
  t.eq(lane.believed, 3)
  t.ok(now < 30, now)
end)

test("slots: a refusal of one more than believed teaches nothing of these, and it is tried again ever more rarely", function(t)
  local lane, now = slots.new { slots = 4, sure = true }, 0
  local pauses = {}
  for i = 1, 6 do
    for _ = 1, 5 do lane:sent(now) end
    lane:lost(now, "503")
    for _ = 1, 4 do lane:lost(now, "gone") end
    t.eq({ lane.believed, lane:allowed(now, 5) }, { 4, 4 })
    local due = lane:due(now)
    pauses[i] = due and due - now
    now = due or now
  end
  t.eq(pauses, { 2, 4, 8 }, "then it is looked at after some replies, as always")
end)

test("slots: of a lane of which nothing is known, more are out where nobody minds the order", function(t)
  local lane = slots.new()
  t.eq({ lane:allowed(0, 1, true), lane:allowed(0, 1, false) }, { 4, 2 })
  t.eq(lane:facts(), { sure = false })
  lane:sent(0)
  lane:answered(1, { total = 1, load = 0, prefill = 0.2, decode = 0.8 }, 0, 0)
  t.eq(lane:allowed(1, 1, true), 2)
end)

test("slots: a server that tells no times is judged by when its first token comes", function(t)
  local server, lane = server_of(4, "uniform", 9), slots.new()
  local count = 0
  truth.saturate(server, 150, function(now) return lane:allowed(now, 10) end, function(now) lane:sent(now) end,
    function(now, timings, out, began)
      count = count + 1
      local wait = timings.total - timings.prefill - timings.decode
      lane:answered(now, { total = now - began, first = wait + 0.1 }, out, began)
    end)
  t.ok(math.abs(lane.believed - 4) <= 1, lane.believed)
  lane:answered(1000, nil, 0)
  t.ok(math.abs(lane.believed - 4) <= 1, "no times at all")
end)

test("a call that was cut off is no proof that it had a slot: it may have waited in the server for one", function(t)
  local lane = slots.new { slots = 2, sure = true }
  for _ = 1, 3 do lane:sent(0) end
  lane:lost(1, "gone", 9, 0)
  t.eq({ lane:allowed(1, 1), #lane.done, #lane.out }, { 2, 0, 2 }) -- three are tried, and one place may be taken until 9
end)
