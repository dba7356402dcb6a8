-- make bench: worlds. What a tick costs, a day of ten idle members, a thousand who think with answers of 20 ms, what is gained out
-- of order, what a snapshot and a look back take.
--   stoke world.lua [FILE]
--   stoke world.lua TICKS       only that many ticks of ten idle members, for a count of instructions
local stoke = require "stoke"

local function figure(what, value, unit, limit, above)
  local missed = limit and (above and value < limit or not above and value > limit)
  local bound = limit and ("  (%s %g)%s"):format(above and "over" or "under", limit, missed and "  MISSED" or "") or ""
  print(("%-46s %10.2f %10s %-6s %6s%s"):format(what, value, "", unit, "", bound))
  io.stdout:flush()
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function members(n, size)
  local out = {}
  for i = 1, n do out[("m%04d"):format(i)] = { x = i * 7 % size, y = i * 13 % size, n = 0 } end
  return out
end

local DAY <const> = 86400
local FILE <const> = arg[1] or "bench.world"

local function idle(ticks)
  local world <close> = stoke.world { state = { members = members(10, 50) }, step = function(member) member.n = member.n + 1 end }
  world:run { speed = "free", ticks = ticks }
end

-- Members that look round and draw a number in each tick.
local function awake(ticks)
  local world <close> = stoke.world { state = { members = members(10, 50) }, reach = 5, step = function(member, here)
    if here:random(member):float() < 0.5 then member.x = (member.x + 1) % 50 end
    member.n = member.n + #here:near(member)
  end }
  world:run { speed = "free", ticks = ticks }
end

local function days()
  local wall, cpu = stoke.time.monotonic(), stoke.time.cpu()
  idle(DAY)
  figure("a day of ten idle members, in ticks of a second", stoke.time.monotonic() - wall, "s", 60)
  figure("  the same, CPU a tick of a member", (stoke.time.cpu() - cpu) / DAY / 10 * 1e9, "ns")
  cpu = stoke.time.cpu()
  awake(DAY)
  figure("  with a random number and a look round", (stoke.time.cpu() - cpu) / DAY / 10 * 1e9, "ns")
  for _, ending in ipairs { "", "-lock", "-wal", "-shm" } do os.remove(FILE .. ending) end
  local world = stoke.world { file = FILE, state = { members = members(10, 50) },
    step = function(member) member.n = member.n + 1 end }
  wall = stoke.time.monotonic()
  world:run { speed = "free", ticks = DAY }
  figure("  in a file, with 24 snapshots", stoke.time.monotonic() - wall, "s", 60)
  local took = {}
  for i = 1, 9 do
    local began = stoke.time.monotonic()
    world:at(i * 9000 + 3500)
    took[i] = (stoke.time.monotonic() - began) * 1000
  end
  figure("  a look back, nearly an hour from a snapshot", median(took), "ms", 100)
  world:close()
  for _, ending in ipairs { "", "-lock", "-wal", "-shm" } do os.remove(FILE .. ending) end
end

local THINKERS <const>, ROUNDS <const> = 1000, 2

-- What keeps a slot for 20 ms.
local function model_of(slots)
  local seats = stoke.semaphore(slots)
  return function()
    local seat <close> = seats:acquire() -- luacheck: ignore
    stoke.sleep(0.02)
  end
end

-- Each thinks all the time; as many as there are slots get an answer each 20 ms.
local function thinking(slots)
  local ask = model_of(slots)
  local world <close> = stoke.world { state = { members = members(THINKERS, 2000) }, step = function(member, here)
    if not here:thinking(member) then here:think(member, "plan", { n = member.n }) end
    member.n = member.n + 1
  end, thoughts = { plan = { ask = function(q) ask() return { n = q.n } end,
    apply = function(member, answer) member.n = answer.n end } } }
  local wall, cpu = stoke.time.monotonic(), stoke.time.cpu()
  world:run { speed = "free", ticks = ROUNDS + 1 }
  return stoke.time.monotonic() - wall, stoke.time.cpu() - cpu
end

-- The same slots used by tasks without a world.
local function bare(slots)
  local ask, wall = model_of(slots), stoke.time.monotonic()
  for _ = 1, ROUNDS do
    local scope <close> = stoke.scope {}
    for _ = 1, THINKERS do scope:spawn(ask) end
    scope:wait()
  end
  return stoke.time.monotonic() - wall
end

local function thousand(slots)
  local worlds, tasks, cpu = {}, {}, {}
  for i = 1, 3 do
    worlds[i], cpu[i] = thinking(slots)
    tasks[i] = bare(slots)
  end
  local took, alone = median(worlds), median(tasks)
  figure(("1,000 members, answers of 20 ms, %d slots: a tick"):format(slots), took / ROUNDS * 1000, "ms")
  figure("  the same answers without a world", alone / ROUNDS * 1000, "ms")
  figure("  the world beside that", took / alone, "times", 1.05)
  figure("  CPU a thought", median(cpu) / ROUNDS / THINKERS * 1e6, "us")
end

local function snapshots()
  local world <close> = stoke.world { state = { members = members(1000, 500) }, step = function() end }
  local took = {}
  for i = 1, 9 do
    local began = stoke.time.cpu()
    world:hash()
    took[i] = (stoke.time.cpu() - began) * 1000
  end
  figure("the digest of a thousand members", median(took), "ms")
end

-- Twenty in ten rooms, whose thoughts take between 5 and 45 ms.
local function rooms(ahead)
  local list = {}
  for i = 0, 19 do list[("m%02d"):format(i)] = { x = i // 2 * 100, y = 0, n = 0 } end
  local world <close> = stoke.world { state = { members = list, ground = {} }, ahead = ahead, reach = 3, speed = 1,
    step = function(member, here)
      if not here:thinking(member) and here:random(member):int(1, 10) == 1 then
        here:think(member, "plan", here:random(member):int(5, 45) / 1000)
      end
      for _, other in ipairs(here:near(member)) do member.n = member.n + other.n + 1 end
      member.n = member.n % 1000
    end, thoughts = { plan = { takes = 2, ask = function(seconds) stoke.sleep(seconds) end } } }
  local wall = stoke.time.monotonic()
  world:run { speed = "free", ticks = 200 }
  return stoke.time.monotonic() - wall, world:hash()
end

stoke.main(function()
  local ticks = math.tointeger(tonumber(FILE))
  if ticks then return idle(ticks) end
  days()
  snapshots()
  thousand(16)
  local lock, one = rooms(0)
  local order, other = rooms(200)
  figure("twenty in ten rooms: lock step", lock, "s")
  figure("  out of order", order, "s")
  figure("  faster by", lock / order, "times", 1.5, true)
  if one ~= other then print "  and NOT the same" end
end)
