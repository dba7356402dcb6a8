-- Members that run ahead of each other, and the same in lock step: stdlib/world/order.lua. In worlds made by chance members walk,
-- meet, change each other, go hand in hand, think for a while; log, events, snapshots and hashes must be equal.
local stoke = require "stoke"
local test = require "stoke.test"

local SEEDS = tonumber(os.getenv "STOKE_WORLD_SEEDS") or 24
local FIRST = tonumber(os.getenv "STOKE_WORLD_FIRST") or 1

-- ---- worlds of chance ----------------------------------------------------------------------------------------------------------

local function move(member, random, speed, size)
  for _, axis in ipairs { "x", "y" } do
    member[axis] = math.max(0, math.min(size, member[axis] + random:int(-speed, speed)))
  end
end

-- Look round, before or after it moved: what is seen changes both.
local function meet(member, here, random, ties)
  for _, other in ipairs(here:near(member)) do
    member.met = (member.met * 31 + other.n) % 1000003
    other.touched = (other.touched * 17 + member.n + here.tick) % 1000003
    if ties and not member.hand and not other.hand and random:int(1, 12) == 1 then
      member.hand, other.hand = other.id, member.id
      here:emit("takes the hand of", other.id)
    end
  end
end

-- Who goes hand in hand changes the other wherever that is.
local function walk_along(member, here, random)
  local other = here:member(member.hand)
  if not other then -- an input has put somebody else in its place
    member.hand = nil
    return
  end
  other.n = other.n + 1
  if random:int(1, 15) > 1 then return end
  member.hand, other.hand = nil, nil
  here:emit "lets go"
end

local function step_of(size, speed, ties)
  return function(member, here)
    local random = here:random(member)
    member.n = (member.n + random:int(0, 9) + #here.ground.words) % 1000003
    if random:int(1, 2) == 1 then meet(member, here, random, ties) end
    if not here:thinking(member) or random:int(1, 3) == 1 then move(member, random, speed, size) end
    meet(member, here, random, ties)
    if member.hand then walk_along(member, here, random) end
    if not here:thinking(member) and random:int(1, 20) == 1 then
      here:think(member, random:pick { "quick", "slow" }, { n = member.n, wait = random:int(0, 400) / 10 })
    end
    if random:int(1, 10) == 1 then here:emit("counts", member.n) end
  end
end

local function thought(takes)
  return { takes = takes, ask = function(q, who, time)
    stoke.sleep(q.wait)
    if q.n % 13 == 0 then stoke.raise("invalid_output", "thirteen") end
    return { sum = q.n + #who + time }
  end, apply = function(member, answer, here)
    member.n = (member.n + answer.sum) % 1000003
    for _, other in ipairs(here:near(member, 1)) do other.touched = other.touched + 1 end
    here:emit("knows", answer.sum)
  end, failed = function(member) member.failed = member.failed + 1 end }
end

local inputs = {
  add = function(member, n)
    if n % 5 == 0 then error("a multiple of five", 0) end
    member.n = member.n + n
    return member.n
  end,
  word = function(state, word) table.insert(state.ground.words, word) return #state.ground.words end,
  join = function(state, args) state.members[args.id] = args.member end,
  leave = function(state, id) state.members[id] = nil end,
  carry = function(member, to) member.x, member.y = to.x, to.y end, -- farther than anybody walks
}

local function newcomer(g, size)
  return { x = g:int(0, size), y = g:int(0, size), n = g:int(0, 99), met = 0, touched = 0, failed = 0 }
end

-- What is in a world of this seed, and what is sent to it when.
local function plan_of(seed)
  local g = stoke.rand.new(seed)
  local size, speed, reach = g:int(6, 60), g:int(0, 2), g:int(1, 4)
  local members, sent, ticks = {}, {}, 150
  for i = 1, g:int(2, 12) do members[("m%02d"):format(i)] = newcomer(g, size) end
  for _ = 1, g:int(0, 6) do
    local id = ("m%02d"):format(g:int(1, 12))
    local kinds = { { "add", g:int(1, 99), id }, { "word", "w" .. g:int(1, 9) }, { "leave", id },
      { "join", { id = "z" .. g:int(1, 3), member = newcomer(g, size) } }, { "carry", { x = g:int(0, size), y = 0 }, id } }
    local one = kinds[g:int(1, #kinds)]
    sent[#sent + 1] = { one[1], one[2], { member = one[3], at = g:int(0, ticks - 1) } }
  end
  return { members = members, size = size, speed = speed, reach = reach, sent = sent, ticks = ticks, ahead = g:int(1, 120),
    snapshot = g:int(20, 70), seed = seed, quick = g:int(1, 3), slow = g:int(2, 30), ties = g:int(1, 2) == 1,
    grid = g:int(1, 2) == 1 }
end

local function definition(plan, ahead, file)
  return { seed = plan.seed, ahead = ahead, reach = plan.reach, snapshot = plan.snapshot, file = file,
    speed = plan.grid and plan.speed or 2 * plan.speed, -- by the other distance a step along both axes is twice as far
    state = { members = plan.members, ground = { words = {} } }, step = step_of(plan.size, plan.speed, plan.ties), inputs = inputs,
    thoughts = { quick = thought(plan.quick), slow = thought(plan.slow) },
    tied = plan.ties and function(a, b) return a.hand == b.id and b.hand == a.id end or nil,
    distance = not plan.grid and function(a, b) return math.abs(a.x - b.x) + math.abs(a.y - b.y) end or nil }
end

-- Its log, its events, the moments of its snapshots, its end; and how long it took on the virtual clock.
local function story(world, plan, interrupt)
  local events <close> = world:events { cap = 100000 }
  for _, one in ipairs(plan.sent) do world:send(table.unpack(one)) end
  local began = stoke.time.monotonic()
  if interrupt then interrupt(world) end
  world:run { speed = "free", ticks = plan.ticks - world:tick() }
  local out = { seconds = stoke.time.monotonic() - began, log = world:inputs { from = 1 }, events = {}, moments = {} }
  while events:waiting() do out.events[#out.events + 1] = events() end
  for tick = 0, plan.ticks, plan.snapshot do out.moments[#out.moments + 1] = world.log:before(tick).text end
  out.hash = world:hash()
  return out
end

local function compare(t, seed, a, b)
  local what = ("seed %d (STOKE_WORLD_FIRST=%d STOKE_WORLD_SEEDS=1)"):format(seed, seed)
  t.eq(a.log, b.log, what)
  t.eq(a.events, b.events, what)
  t.eq(a.moments, b.moments, what)
  t.eq(a.hash, b.hash, what)
end

local function told(plan, ahead, interrupt)
  local world <close> = stoke.world(definition(plan, ahead))
  return story(world, plan, interrupt)
end

test("worlds of chance are the same in lock step and out of order, and take less time", { timeout = 1e9 }, function(t)
  local lock, order = 0, 0
  for seed = FIRST, FIRST + SEEDS - 1 do
    local plan = plan_of(seed)
    local a, b = told(plan, 0), told(plan, plan.ahead)
    compare(t, seed, a, b)
    t.ok(b.seconds <= a.seconds + 1e-6, seed)
    lock, order = lock + a.seconds, order + b.seconds
  end
  if SEEDS > 10 then t.ok(order < lock * 0.95, ("%.0f s in lock step, %.0f s out of order"):format(lock, order)) end
end)

-- The worst case of the distance that is kept: the one thinks, then both walk towards each other, and look when they have moved.
local function meeting(ahead, far, reach, speed, slow, late)
  local world <close> = stoke.world { ahead = ahead, reach = reach, speed = speed,
    state = { ground = {}, members = { a = { x = 0, y = 0, met = {} }, b = { x = far, y = 0, met = {} } } },
    step = function(member, here)
      local left = member.id == "a" and 1 or -1
      if member.id == slow and here.tick == 1 then here:think(member, "plan") end
      if member.x * left < far then member.x = member.x + left * speed end
      if late or here.tick % 2 == 0 then
        for _, other in ipairs(here:near(member)) do table.insert(member.met, { here.tick, other.x }) end
      end
    end,
    thoughts = { plan = { takes = 2, ask = function() stoke.sleep(100) return 1 end } } }
  world:run { speed = "free", ticks = 2 * far }
  return world:look()
end

test("two who walk towards each other meet in the same tick, in lock step and out of order", function(t)
  for _, one in ipairs { { 1, 1 }, { 2, 1 }, { 3, 2 }, { 0, 1 }, { 4, 3 } } do
    for far = 1, 26 do
      for _, slow in ipairs { "a", "b" } do
        local what = ("reach %d, speed %d, %d apart, %s is slow"):format(one[1], one[2], far, slow)
        t.eq(meeting(40, far, one[1], one[2], slow, true), meeting(0, far, one[1], one[2], slow, true), what)
        t.eq(meeting(40, far, one[1], one[2], slow), meeting(0, far, one[1], one[2], slow), what)
      end
    end
  end
end)

test("pauses, stops and cancelled runs in between change nothing", { timeout = 1e9 }, function(t)
  for seed = FIRST, FIRST + SEEDS // 3 do
    local plan = plan_of(seed)
    local g = stoke.rand.new(seed)
    local b = told(plan, plan.ahead, function(world)
      for _ = 1, 8 do
        local run = stoke.spawn(function()
          return stoke.try(world.run, world, { speed = "free", ticks = plan.ticks - world:tick() })
        end)
        stoke.sleep(g:float() * 20)
        local how = g:int(1, 3)
        if how == 1 then
          world:pause()
          stoke.sleep(g:float() * 30)
          world:resume()
          world:stop()
        elseif how == 2 then
          world:stop()
        else
          run:cancel()
        end
        stoke.try(run.await, run)
      end
    end)
    b.events = told(plan, plan.ahead).events -- those of the run above tell of the pauses, too
    compare(t, seed, told(plan, 0), b)
  end
end)

test("a world that ran ahead in a file is the same when it is closed and opened on the way", { timeout = 1e9 }, function(t)
  for seed = FIRST, FIRST + SEEDS // 6 do
    local plan, path = plan_of(seed), t.tmp() .. "/order.world"
    local a, g = told(plan, 0), stoke.rand.new(seed)
    local asked = {}
    local function opened()
      local def = definition(plan, plan.ahead, path)
      for name, one in pairs(def.thoughts) do
        local ask = one.ask
        one.ask = function(q, who, time)
          local key = ("%s %s %g"):format(name, who, time)
          local answer, err = stoke.try(ask, q, who, time)
          asked[key] = (asked[key] or 0) + 1
          if err then error(err, 0) end
          return answer
        end
      end
      return stoke.world(def)
    end
    local first = opened()
    for _, one in ipairs(plan.sent) do first:send(table.unpack(one)) end
    first:close()
    for _ = 1, 8 do
      local world <close> = opened()
      stoke.try(stoke.timeout, g:float() * 30, world.run, world, { speed = "free", ticks = plan.ticks - world:tick() })
    end
    local world <close> = opened()
    world:run { speed = "free", ticks = plan.ticks - world:tick() }
    t.eq(world:hash(), a.hash, seed)
    local log = world:inputs { from = 1 }
    t.eq(log, a.log, seed)
    for key, times in pairs(asked) do t.eq(times, 1, key) end -- an answer that has come is never asked for again
  end
end)

-- Whatever is done with a world that nothing is sent to, each of its moments is what it is when it is left alone.
local function storm(t, world, whole, g)
  local scope <close> = stoke.scope {}
  local plan_ticks, runner = 150, nil
  local function running() return runner and not runner.state end
  local deeds = {
    function() if not running() then runner = scope:spawn(function()
      stoke.try(world.run, world, { speed = g:int(1, 2) == 1 and "free" or 20, ticks = math.max(0, plan_ticks - world:tick()) })
    end) end end,
    function() stoke.sleep(g:float() * 12) end,
    function() world:back(g:int(0, world:tick())) end,
    function() world:pause() end,
    function() world:resume() end,
    function() stoke.try(stoke.timeout, 5, world.step, world, g:int(1, 9)) end,
    function() world:stop() end,
    function() if running() then runner:cancel() end end,
    function()
      local tick = g:int(0, world:tick())
      local moment = world:at(tick)
      t.eq(moment.state, whole:at(tick).state, tick)
    end,
    function()
      local branch <close> = world:branch { at = g:int(0, world:tick()) }
      stoke.try(stoke.timeout, 20, branch.run, branch, { speed = "free", ticks = 10 })
      t.eq(branch:hash(), whole:branch({ at = branch:tick() }):hash())
    end,
  }
  for _ = 1, 60 do
    deeds[g:int(1, #deeds)]()
    stoke.sleep(g:float() / 10)
  end
  world:resume()
  world:stop()
  if runner then stoke.try(runner.await, runner) end
end

test("whatever is done with a world, its moments are those of one that is left alone", { timeout = 1e9 }, function(t)
  for seed = FIRST, FIRST + SEEDS // 3 do
    local plan = plan_of(seed)
    plan.sent = {}
    local whole <close> = stoke.world(definition(plan, 0))
    whole:run { speed = "free", ticks = plan.ticks }
    local kept = seed % 3 == 0 and t.tmp() .. "/storm.world" or nil
    local world <close> = stoke.world(definition(plan, seed % 2 == 0 and plan.ahead or 0, kept))
    storm(t, world, whole, stoke.rand.new(seed))
    if world:tick() < plan.ticks then world:run { speed = "free", ticks = plan.ticks - world:tick() } end
    local what = ("seed %d (STOKE_WORLD_FIRST=%d STOKE_WORLD_SEEDS=1)"):format(seed, seed)
    t.eq(world:hash(), whole:hash(), what)
    t.eq(world:inputs { from = 1 }, whole:inputs { from = 1 }, what)
  end
end)

-- ---- what it is for, and what it refuses ---------------------------------------------------------------------------------------

-- Two rooms far apart; in each somebody thinks for long, at other times.
local function rooms(ahead, more)
  local def = { reach = 2, speed = 1, ahead = ahead,
    state = { ground = {}, members = { a = { x = 0, y = 0 }, b = { x = 100, y = 0 }, c = { x = 101, y = 0 } } },
    step = function(member, here)
      if here.tick % 10 == (member.id == "a" and 0 or member.id == "b" and 4 or 11) then here:think(member, "plan") end
    end, thoughts = { plan = { takes = 2, ask = function() stoke.sleep(10) end } } }
  for name, value in pairs(more or {}) do def[name] = value end
  return stoke.world(def)
end

test("who is far away does not wait", function(t)
  local function seconds(ahead)
    local world <close> = rooms(ahead)
    local began = stoke.time.monotonic()
    world:run { speed = "free", ticks = 100 }
    return stoke.time.monotonic() - began
  end
  local lock, order = seconds(0), seconds(50)
  t.ok(math.abs(lock - 200) < 1, lock)   -- each of both rooms' ten thoughts, one after the other
  t.ok(math.abs(order - 100) < 1, order) -- both rooms at the same time
end)

test("nobody is further ahead than it was said", function(t)
  local thoughts = { plan = { takes = 2, ask = function(_, who) stoke.sleep(who == "a" and 1000 or 0) end } }
  local world <close> = rooms(5, { thoughts = thoughts })
  local scope <close> = stoke.scope {}
  scope:spawn(function() world:run { speed = "free", ticks = 100 } end)
  stoke.sleep(500)
  t.eq({ world:tick(), world.engine.apart.front }, { 2, 7 })
  world:stop()
end)

test("an input comes when all have come to where the first of them is", function(t)
  local world <close> = rooms(50, { inputs = { note = function(state, text) state.ground.note = text return text end } })
  local scope <close> = stoke.scope {}
  scope:spawn(function() world:run { speed = "free", ticks = 200 } end)
  stoke.sleep(15)
  local front = world.engine.apart.front
  t.ok(front > world:tick())
  t.eq(world:ask("note", "x", { timeout = 1000 }), "x")
  t.eq(world:inputs()[#world:inputs()].name ~= nil, true)
  local tick
  for _, entry in ipairs(world:inputs()) do tick = entry.name == "note" and entry.tick or tick end
  t.eq(tick, front)
  world:stop()
end)

test("who moves farther than it was said, or changes what all share, is told", function(t)
  local world <close> = rooms(5, { step = function(member, here) if here.tick == 7 then member.x = member.x + 3 end end })
  t.match(t.raises("argument", function() world:run { speed = "free", ticks = 10 } end).message,
    'the step of "a" at tick 7 failed: it moved 3 in a tick, and the world\'s speed is 1')
  local other <close> = rooms(5, { snapshot = 4, step = function(_, here) here.ground.n = here.tick end })
  t.match(t.raises("argument", function() other:run { speed = "free", ticks = 10 } end).message, "has changed state.ground")
end)
