-- The power goes: what was behind a barrier is there, what must not be done twice is not, and the run ends as ever. And stores
-- whose promises are broken on purpose: the same battery says which.

local test = require "stoke.test"
local engine = require "host.store"
local fs = require "stoke.fs"
local inside = require "inside"
local json = require "stoke.json"
local numbers = require "lives".numbers
local stoke = require "stoke"

local POINTS <const> = inside.many("CUTS", 500)
local SEED <const> = tonumber(os.getenv "SEED" or "") or 1

-- How a run that is left alone ends, and how often it writes and syncs.
local function alone(root)
  engine.fault { count = 1 }
  local world <close> = inside.new(root .. "/alone.db")
  local result, err = world:live "r"
  if err then error(err, 0) end
  local counts = engine.fault_counts()
  world:next_life()
  return json.encode(result), counts
end

local function faults_of(random, counts, more)
  local faults = { seed = random() < 0.8 and random(1 << 30) or 0 }
  if random() < 0.5 then faults.cut = random(counts.syncs) else faults.cut_write = random(counts.writes) end
  for name, value in next, more or {} do faults[name] = value end
  return faults
end

-- One run through one or more cuts. Returns the world.
local function through(root, n, random, counts, usual, more)
  local path = ("%s/%d.db"):format(root, n)
  local world <close> = inside.new(path, nil, 0)
  local cuts = 0
  for _ = 1, random() < 0.3 and 2 or 1 do
    engine.fault(faults_of(random, counts, more))
    local ended = world:live "r"
    if engine.fault_counts().cut then cuts = cuts + 1 end
    world:next_life()
    if ended and json.encode(ended) ~= usual then world:breaks("result: %s", json.encode(ended)) end
  end
  local result, err = world:finish "r"
  if result == nil then world:breaks("end: %s", tostring(err))
  elseif json.encode(result) ~= usual then world:breaks("result: %s in place of %s", json.encode(result), usual) end
  for i = 1, 5 do if world.paid[i] ~= 1 then world:breaks("payment %d was done %s times", i, world.paid[i]) end end
  world.cuts = cuts
  for _, ending in ipairs { "", "-wal", "-shm", "-lock" } do
    if not more and fs.stat(path .. ending) then pcall(fs.remove, path .. ending) end
  end
  return world
end

test("the power goes at any write or sync of a run: nothing behind a barrier is lost or repeated", { real = true, timeout = 3600,
  effects = false }, function(t)
    local root, remove = inside.folder(t)
    local _ <close> = setmetatable({}, { __close = remove })
    local usual, counts = alone(root)
    local began, cuts, broken = stoke.time.monotonic(), 0, {}
    for n = 1, POINTS do
      local world = through(root, n, numbers(SEED * 100000 + n), counts, usual)
      cuts = cuts + world.cuts
      for _, what in ipairs(world.broken) do broken[#broken + 1] = ("point %d (SEED=%d): %s"):format(n, SEED, what) end
    end
    inside.report(("power: %d points, %d cuts, %d broken, %.0f s (SEED=%d; a run has %d writes, %d syncs)"):format(POINTS, cuts,
      #broken, stoke.time.monotonic() - began, SEED, counts.writes, counts.syncs))
    for i = 1, math.min(#broken, 10) do inside.report(broken[i]) end
    t.eq(#broken, 0)
    t.ok(cuts > POINTS / 2, "most points are reached")
  end)

-- What of the world's complaints about a weakened store are about this promise.
local function names(root, more, want, times)
  local usual, counts = alone(root)
  local found, seen = 0, {}
  for n = 1, times do
    local world = through(root, n, numbers(SEED * 7000 + n), counts, usual, more)
    for _, what in ipairs(world.broken) do
      seen[#seen + 1] = what
      if what:find(want) then found = found + 1 end
    end
  end
  return found, seen
end

local function weakened(t, more, want, times)
  local root, remove = inside.folder(t)
  local _ <close> = setmetatable({}, { __close = remove })
  local found, seen = names(root, more, want, times)
  inside.report(("weakened: %s: %d complaints in %d runs, %d of them name the promise: %s"):format(next(more), #seen, times, found,
    seen[1] or "none"))
  t.ok(found > 0, ("nobody found what was broken; said was: %s"):format(table.concat(seen, "\n")))
end

test("a disk that says it has synced and has not is found: what was behind a barrier is lost", { real = true, timeout = 600,
  effects = false }, function(t) weakened(t, { lie = 1 }, "^lost: .* behind a barrier", 40) end)

test("a commit that is acknowledged before it is done is found: a payment is repeated, or what it was built on", { real = true,
  timeout = 600, effects = false }, function(t) weakened(t, { early = 1 }, "^[rl]%a+: ", 60) end)

test("an outcome that is dropped is found", { real = true, timeout = 600, effects = false }, function(t)
  local root, remove = inside.folder(t)
  local _ <close> = setmetatable({}, { __close = remove })
  local usual, counts = alone(root)
  local complaints = {}
  for n = 1, 40 do
    local world = through(root, n, numbers(SEED * 9000 + n), counts, usual, { drop = 2 + n % math.max(1, counts.appends - 2) })
    for _, what in ipairs(world.broken) do complaints[#complaints + 1] = what end
  end
  inside.report(("weakened: drop: %d complaints in 40 runs: %s"):format(#complaints, complaints[1] or "none"))
  t.ok(#complaints > 0)
end)
