-- What calls are estimated to take, from what replies said.

local test = require "stoke.test"
local estimate = require "core.pool.estimate"
local json = require "stoke.json"
local quantiles = require "core.pool.quantiles"
local rand = require "stoke.rand"

-- A reply of a server that reads 300 tokens a second, 10,000 of those it remembers, and writes 40.
local function reply(input, shared, output, load)
  return { load = load or 0.003, prefill = 0.02 + (input - shared) / 300 + shared / 10000, decode = output / 40, input = input,
    output = output }
end

test("estimate: within a fifth, after a few replies, for agents of their own lengths", function(t)
  local random, lane, errors = rand.new(3), estimate.new(), {}
  for i = 1, 200 do
    local agent = i % 3
    local input, output = random:int(100, 2000), (60 + 200 * agent) * (0.7 + 0.6 * random:float()) // 1
    local shared = random:int(1, 2) == 1 and input * random:float() // 1 or 0
    local told = lane:service(input, shared, "agent" .. agent)
    local timings = reply(input, shared, output)
    local took = timings.prefill + timings.decode
    if i > 15 then errors[#errors + 1] = math.abs(told - took) / took end
    lane:learn(timings, "agent" .. agent, shared)
  end
  table.sort(errors)
  t.ok(errors[#errors // 2] <= 0.2, errors[#errors // 2])
end)

test("estimate: a prompt that was remembered is not taken for fast reading", function(t)
  local lane = estimate.new()
  for _ = 1, 4 do lane:learn(reply(600, 0, 20), nil, 0) end
  for _ = 1, 40 do lane:learn(reply(600, 580, 20), nil, 0) if _ % 4 == 0 then lane:learn(reply(600, 0, 20), nil, 0) end end
  t.near(lane:recompute(300), 1, 0.15)
  local server = estimate.new()
  for _ = 1, 4 do server:learn(reply(600, 0, 20), nil, 0) end
  for _ = 1, 20 do server:learn({ prefill = 0.2, decode = 1, input = 600, output = 20 }, nil, 0) end
  t.near(server:recompute(300), 0.1, 0.02, "a server that has become ten times faster")
end)

test("estimate: answers take longer beside others", function(t)
  local lane = estimate.new()
  for _ = 1, 5 do
    lane:learn({ prefill = 0, decode = 1, input = 10, output = 100 }, "a", 0, 1)
    lane:learn({ prefill = 0, decode = 2, input = 10, output = 100 }, "a", 0, 4)
  end
  local _, _, alone = lane:service(0, 0, "a", 1)
  local _, _, beside = lane:service(0, 0, "a", 4)
  local _, _, many = lane:service(0, 0, "a", 30)
  t.eq({ alone, beside, many }, { 1, 2, 2 })
end)

test("estimate: a load is told from what an engine says with every call", function(t)
  local lane = estimate.new()
  for _ = 1, 10 do lane:learn { load = 0.16, decode = 1, output = 20 } end
  t.eq({ lane:loaded { load = 0.17 }, lane:loaded { load = 0.9 }, lane:loaded { load = 0.05 } }, { false, true, false })
  t.eq({ lane:loaded({ load = 0.3 }, true), lane:loaded({}, true) }, { true, false }, "where one was expected")
  t.eq({ lane:load() }, { 5, false })
  for _ = 1, 3 do lane:learn { load = 2.5, decode = 1, output = 20 } end
  t.eq({ lane:load() }, { 2.5, true })
end)

test("estimate: pauses by tool, and what is left of one that goes on", function(t)
  local lane = estimate.new()
  t.eq({ lane:pause "fetch" }, { 1, false })
  for _, seconds in ipairs { 2, 2, 2, 10 } do lane:paused("fetch", seconds) end
  t.eq({ lane:pause "fetch" }, { 2, true })
  t.eq({ lane:pause("fetch", 3) }, { 7, true }, "it is the long one")
  t.eq({ lane:pause "other" }, { 2, true }, "a tool that nobody knows is as others are")
end)

test("estimate: facts are plain data, and come back", function(t)
  local lane = estimate.new()
  for i = 1, 10 do lane:learn(reply(500, 0, 50 + i), "writer", 0, 2) end
  lane:paused("fetch", 2)
  local facts = json.decode(json.encode(lane:facts()))
  local before, after = { lane:service(500, 0, "writer", 2) }, { estimate.new(facts):service(500, 0, "writer", 2) }
  for i = 1, 3 do t.near(after[i], before[i], 0.01) end
  t.eq({ estimate.new { cold = "x", each = { a = {}, [1] = 2 }, outputs = { { 1 } } }:service(1, 0) },
    { estimate.new():service(1, 0) }, "what does not fit is left out")
end)

test("estimate: no more names than there is room for, and the last used stay", function(t)
  local lane = estimate.new()
  for i = 1, 3 * estimate.NAMES do
    lane:learn({ decode = 1, output = 10 + i }, "agent" .. i)
    lane:learn({ decode = 1, output = 7 }, "often")
  end
  local count = 0
  for _ in pairs(lane.outputs) do count = count + 1 end
  t.eq({ count, lane.outputs.often:get(0.5), lane.outputs.agent1 }, { estimate.NAMES, 7, nil })
end)

test("quantiles: of the last values, exactly", function(t)
  local random = rand.new(5)
  for _ = 1, 50 do
    local ring, list = quantiles.new(20), {}
    for i = 1, random:int(1, 60) do
      local value = random:int(1, 1000)
      ring:add(value)
      list[#list + 1] = value
      if #list > 20 then table.remove(list, 1) end
      local sorted = table.move(list, 1, #list, 1, {})
      table.sort(sorted)
      t.eq({ ring:get(0), ring:get(1), ring:get(0.9) }, { sorted[1], sorted[#sorted], sorted[math.ceil(0.9 * #sorted)] }, i)
    end
    t.eq(quantiles.new(20, ring:facts()):get(0.5), ring:get(0.5))
    t.eq(ring:facts(), list, "oldest first")
  end
  t.eq({ quantiles.new():get(0.5), quantiles.new():rest(0) }, {})
end)

test("quantiles of a ring are those of its values sorted anew", function(t)
  for room = 1, 33 do
    local ring, values = quantiles.new(room), {}
    for _ = 1, 150 do
      local value = math.random(20) / 4
      ring:add(value)
      values[#values + 1] = value
      if #values > room then table.remove(values, 1) end
      if math.random() < 0.7 then
        local sorted = table.move(values, 1, #values, 1, {})
        table.sort(sorted)
        for _, part in ipairs { 0.1, 0.9, 0.95, 1 } do t.eq(ring:get(part), sorted[math.ceil(part * #sorted)]) end
      end
    end
  end
end)
