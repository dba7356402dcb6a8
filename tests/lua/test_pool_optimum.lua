-- What the pool's engine reaches in small worlds, beside the best that can be: all orders of at most six calls, on each server that
-- has their model, by somebody who knows the future. The engine knows neither how long calls take nor what will come; so the bounds
-- are what may be asked of it, and the ratios are printed:  STOKE_RATIOS=1 stoke test --internal tests/lua/test_pool_optimum.lua

local test = require "stoke.test"
local order = require "core.pool.order"
local worlds = require "pool_world"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1
local function many(n) return math.max(10, math.floor(n * scale)) end

local function pick(list) return list[math.random(#list)] end

-- ---- the best there is ----

-- When a call could begin as the next one of a server that has room for one model: once a slot is free, and its model loaded.
local function begins(server, state, call)
  local busy = state.busy
  local start
  if state.model == call.model then
    start = math.max(call.at, state.loaded)
    if #busy >= server.slots then start = math.max(start, busy[#busy - server.slots + 1]) end
    return start, state.loaded
  end
  start = math.max(call.at, busy[#busy] or 0) + server.load -- the other model's calls end first
  return start, start
end

-- The state of a server after one more call; ends are sorted.
local function with(server, state, call)
  local start, loaded = begins(server, state, call)
  local ends = start + call.seconds * server.speed
  local busy = {}
  if state.model == call.model then table.move(state.busy, 1, #state.busy, 1, busy) end
  busy[#busy + 1] = ends
  table.sort(busy)
  return { model = call.model, loaded = loaded, busy = busy }, ends
end

-- The least makespan, and the least sum of the times that calls take, over all orders and places.
local function optimum(servers, calls)
  local best_end, best_sum = math.huge, math.huge
  local used, states = {}, {}
  for i in ipairs(servers) do states[i] = { model = nil, loaded = 0, busy = {} } end
  local function go(left, latest, sum)
    if latest >= best_end and sum >= best_sum then return end
    if left == 0 then
      best_end, best_sum = math.min(best_end, latest), math.min(best_sum, sum)
      return
    end
    for i, call in ipairs(calls) do
      if not used[i] then
        used[i] = true
        for s, server in ipairs(servers) do
          local before = states[s]
          local ends
          states[s], ends = with(server, before, call)
          go(left - 1, math.max(latest, ends), sum + ends - call.at)
          states[s] = before
        end
        used[i] = false
      end
    end
  end
  go(#calls, 0, 0)
  return best_end, best_sum
end

-- ---- the engine ----

local function reached(servers, calls, settings)
  local list = {}
  for i, s in ipairs(servers) do
    list[i] = { slots = s.slots, models = s.models, room = 1, load = s.load, speed = s.speed }
  end
  local w = worlds.new { servers = list, settings = settings, limit = servers[1].slots }
  local groups = {}
  for m = 1, servers[1].models do
    local lanes = {}
    for i in ipairs(servers) do lanes[i] = w.servers[i].models[m].lane end
    groups[m] = w.engine:group(lanes)
  end
  local asked = {}
  for i, call in ipairs(calls) do
    w:at(call.at, function()
      asked[i] = w:ask { group = groups[call.model], seconds = call.seconds - 0.001, input = 2, program = {},
        order = order.key(i, 1) }
    end)
  end
  w:run(1)
  if w.problems[1] then error(w.problems[1], 0) end
  local latest, sum = 0, 0
  for i, call in ipairs(asked) do
    latest = math.max(latest, call.finished)
    sum = sum + call.finished - calls[i].at
  end
  return latest, sum, w
end

local function random_case(kind)
  local n = kind.servers == 2 and 5 or 6 -- all orders, and all places
  local servers, calls = {}, {}
  local slots = pick { 1, 2 }
  for i = 1, kind.servers do
    servers[i] = { slots = slots, models = kind.models, load = kind.load or pick { 1, 5 }, speed = i == 2 and pick { 1, 2 } or 1 }
  end
  for i = 1, n do
    calls[i] = { model = math.random(kind.models), seconds = pick { 1, 2, 3, 4, 8 },
      at = kind.spread and math.random(0, 12) or 0 }
  end
  table.sort(calls, function(a, b) return a.at < b.at end)
  return servers, calls
end

local function distribution(list)
  table.sort(list)
  local function at(part) return list[math.max(1, math.ceil(part * #list))] end
  local sum = 0
  for _, value in ipairs(list) do sum = sum + value end
  return { mean = sum / #list, median = at(0.5), p90 = at(0.9), worst = list[#list] }
end

-- Ratios of the makespan, and of the sum of the times that calls take, to the best; and to first come, first served.
local function ratios(t, kind)
  local ends, sums, plain_ends, plain_sums = {}, {}, {}, {}
  for i = 1, many(kind.cases or 16) do
    local servers, calls = random_case(kind)
    local best_end, best_sum = optimum(servers, calls)
    local got_end, got_sum, w = reached(servers, calls, { bounds = { 10, 60, 600 } })
    local plain_end, plain_sum = reached(servers, calls, { order = "fifo" })
    t.eq(w.problems, {})
    t.ok(got_end >= best_end - 0.01 and got_sum >= best_sum - 0.05, "nobody is better than the best")
    ends[i], sums[i] = got_end / best_end, got_sum / best_sum
    plain_ends[i], plain_sums[i] = got_end / plain_end, got_sum / plain_sum
  end
  return distribution(ends), distribution(sums), distribution(plain_ends), distribution(plain_sums)
end

-- The worst makespan that may be. Of one model on one server all at once nobody can do worse than half above the best, who keeps
-- two slots full; elsewhere the future decides: which model will be asked for, which server is the quick one.
local KINDS = {
  { name = "one model, all at once", servers = 1, models = 1, worst = 1.5 },
  { name = "one model, spread", servers = 1, models = 1, spread = true, worst = 1.5 },
  { name = "two models, all at once", servers = 1, models = 2, worst = 2 },
  { name = "two models, spread", servers = 1, models = 2, spread = true, worst = 2.5 },
  { name = "two servers, all at once", servers = 2, models = 1, worst = 3 },
  { name = "two servers, spread", servers = 2, models = 1, spread = true, worst = 3 },
  { name = "two servers, two models, spread", servers = 2, models = 2, spread = true, worst = 3, cases = 10 },
}
for _, kind in ipairs(KINDS) do
  test("small worlds beside the best there is: " .. kind.name, function(t)
    local ends, sums, plain_ends, plain_sums = ratios(t, kind)
    local function words(d) return ("%.2f %.2f %.2f %.2f"):format(d.mean, d.median, d.p90, d.worst) end
    local told = ("%-32s makespan %s, beside fifo %s; sum of times %s, beside fifo %s"):format(kind.name, words(ends),
      words(plain_ends), words(sums), words(plain_sums))
    if os.getenv "STOKE_RATIOS" then print(told .. "  (mean median p90 worst)") end
    t.ok(ends.worst <= kind.worst and ends.median <= 1.35 and sums.median <= 1.7 and sums.worst <= 3.5, told)
  end)
end
