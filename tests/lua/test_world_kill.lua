-- Worlds in files whose process is killed at any moment: they go on, and come out the same: stdlib/world/file.lua.
local test = require "stoke.test"
local stoke = require "stoke"
local durable = require "durable"

local SEEDS = tonumber(os.getenv "STOKE_KILL_SEEDS") or 3
local FIRST = tonumber(os.getenv "STOKE_KILL_FIRST") or 1

-- People who walk, think, and are told things by the clock. What thoughts do outside, they write down in the same file; on_back
-- takes back what is done again. In the end it prints the digests of all three: the state, the log, and what was written down.
local TOWN = [[
local stoke = require "stoke"
local json = stoke.json
local seed, ahead = math.tointeger(tonumber(arg[1])), math.tointeger(tonumber(arg[2]))
local diary = "CREATE TABLE IF NOT EXISTS diary (who TEXT NOT NULL, time REAL NOT NULL, text TEXT NOT NULL)"

local town = { name = "town", seed = seed, file = "town.world", snapshot = 50, ahead = ahead, reach = 3, speed = 1,
  state = function(random)
    local members = {}
    for i = 1, 8 do members["p" .. i] = { x = random:int(0, 60), y = random:int(0, 60), n = 0, seen = 0 } end
    return { members = members, ground = { told = {} } }
  end,
  step = function(member, here)
    local random = here:random(member)
    member.x = math.max(0, math.min(60, member.x + random:int(-1, 1)))
    for _, other in ipairs(here:near(member)) do member.seen = (member.seen * 31 + other.n) % 1000003 end
    if not here:thinking(member) and random:int(1, 12) == 1 then here:think(member, "plan", { n = member.n, x = member.x }) end
  end,
  thoughts = { plan = { takes = 4,
    ask = function(q, who, time, world)
      world.db:exec("INSERT INTO diary VALUES (?, ?, ?)", who, time, "began with " .. q.n)
      stoke.sleep(0.001 + q.x % 5 / 1000)
      world.db:exec("INSERT INTO diary VALUES (?, ?, ?)", who, time, "ended at " .. q.x)
      return { n = q.n + q.x }
    end,
    apply = function(member, answer) member.n = answer.n % 1000 end } },
  inputs = { tell = function(state, text) table.insert(state.ground.told, text) return #state.ground.told end },
  on_open = function(world) world.db:exec(diary) end,
  on_back = function(who, time, world) world.db:exec("DELETE FROM diary WHERE who = ? AND time >= ?", who, time) end }

stoke.main(function()
  local world <close> = stoke.world(town)
  local news = { 37, 74, 111, 148, 185, 222 }
  local sent = #world.db:query "SELECT sent FROM input WHERE sent IS NOT NULL"
  for i = sent + 1, #news do world:send("tell", "news " .. i, { at = news[i] }) end -- those that an earlier life did not send
  world:run { speed = "free", ticks = 300 - world:tick() }
  local log = world:inputs { from = 1 }
  local rows = world.db:query "SELECT who, time, text FROM diary WHERE time < 295 ORDER BY who, time, text" -- others go on
  print(world:hash(), json.digest(log), json.digest(rows), #log, #rows)
end)
]]

-- Lives are as long as a part of a whole run on this machine, later ones longer, so that it ends.
local function survives(t, ahead)
  local kills = 0
  for seed = FIRST, FIRST + SEEDS - 1 do
    local alone, case, random = durable.new(t, TOWN), durable.new(t, TOWN), stoke.rand.new(seed)
    local began = stoke.time.monotonic()
    local status, whole = alone:run(nil, { tostring(seed), "0" }, 100)
    local took = stoke.time.monotonic() - began
    t.eq(status.code, 0, alone.told[1])
    local out, err
    for life = 1, 200 do
      status, out, err = case:run(nil, { tostring(seed), tostring(ahead) }, took * (0.1 + 0.7 * random:float()) * (1 + life / 20))
      if status.signal ~= "SIGKILL" then break end
    end
    local what = ("seed %d, %d kills (STOKE_KILL_FIRST=%d STOKE_KILL_SEEDS=1): %s"):format(seed, case.kills, seed, err)
    t.eq(status.code, 0, what)
    t.eq(out, whole, what)
    kills = kills + case.kills
  end
  t.ok(kills > 0, "nothing was killed")
end

test("killed at random moments, state, log and what thoughts did outside are those of a world that was left alone",
  { real = true, timeout = 600 }, function(t) survives(t, 0) end)

test("the same where members run ahead of each other", { real = true, timeout = 600 }, function(t) survives(t, 40) end)

-- A world in memory, in a run that is recorded: it is replayed with the run.
local RUN = [[
local stoke = require "stoke"
stoke.main(function()
  local world <close> = stoke.world { seed = 4, state = { members = { a = { n = 0 }, b = { n = 0 } } },
    step = function(member, here)
      member.n = member.n + here:random(member):int(1, 6)
      if here.tick % 10 == 0 then here:think(member, "plan", member.n) end
    end,
    thoughts = { plan = { takes = 4, ask = function(n, who)
      stoke.http.post(arg[1] .. "/" .. who .. "/" .. n, { body = "x", idempotency = true })
      stoke.sleep(0.01)
      return n * 2
    end, apply = function(member, answer) member.n = answer % 1000 end } } }
  world:run { speed = "free", ticks = 100 }
  return { world:hash(), #world:inputs() }
end)
]]

test("a world in memory, in a durable run that is killed, is replayed with the run", { real = true, timeout = 300 }, function(t)
  local witness <close> = durable.witness()
  local alone, case = durable.new(t, RUN), durable.new(t, RUN)
  local status = alone:run("run 1", { witness.url })
  t.eq(status.code, 0, alone.told[1])
  t.eq(witness.count, 20)
  local random = stoke.rand.new(FIRST)
  for n = 2, 40 do
    local id = "run " .. n
    status = case:survive(id, { witness.url }, 0.2, function() return random:float() end)
    t.eq(status.code, 0, case.told[#case.told])
    t.eq(case:result(id), alone:result "run 1")
    t.eq(witness.count, 20 * n) -- each run has keys of its own, and asked nothing anew
    if case.kills > 3 then return end
  end
  t.ok(case.kills > 0)
end)

test("a second process is told which one has the world, and gets it when that one was killed", { real = true, timeout = 60 },
  function(t)
    local case = durable.new(t, [[
      local stoke = require "stoke"
      stoke.main(function()
        local world <close> = stoke.world { file = "w.world", state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
        print("open at", world:tick())
        world:run { speed = arg[1] == "stay" and 1 or "free", ticks = arg[1] == "stay" and 1000 or 5 }
      end)
    ]])
    local scope <close> = stoke.scope {}
    local first = scope:spawn(function() return case:run(nil, { "stay" }, durable.file "go") end)
    while not (case.so_far or ""):find "open" do stoke.sleep(0.01) end
    local pid = case.last.pid
    local other = durable.new(t, "")
    other.folder = case.folder
    local status, _, err = other:run(nil, {}, 20)
    t.eq(status.code, 5)
    t.match(err, "the world is open already, in process " .. pid)
    stoke.fs.write(case.folder .. "/go", "")
    first:await()
    status = other:run(nil, {}, 20)
    t.eq(status.code, 0, other.told[2])
  end)
