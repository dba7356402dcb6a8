-- The campaign: durable programs are killed at random moments and at named points, and go on until they end. Nothing is lost,
-- nothing that must not be is done twice, and the end is that of a run that was left alone.
--
--     make campaign N=20000 SEED=7        by hand; a case that fails tells its seed: SEED=7 ONLY=31 repeats it

local test = require "stoke.test"
local env = require "stoke.env"
local fs = require "stoke.fs"
local inside = require "inside"
local lives = require "lives"
local programs = require "programs"
local stoke = require "stoke"

local function number(name, default) return tonumber(os.getenv(name) or "") or default end

local KILLS <const>, EACH <const>, LANES <const> = inside.many("N", 1000), 12, number("LANES", 4)
local SEED <const>, ONLY <const> = number("SEED", 1), number("ONLY", nil)

-- In memory: a kill leaves the files as they are, on a disk or not. KEEP=FOLDER has them looked at afterwards.
local function folder(t)
  local kept = env.get "KEEP"
  if not kept then return inside.folder(t) end
  fs.mkdir(kept, { parents = true })
  return kept, function() end
end

local function case_of(root, n, kind, store)
  local program = programs[(n - 1) % #programs + 1]
  if env.get "PROGRAM" then
    for _, other in ipairs(programs) do if other.name == env.get "PROGRAM" then program = other end end
  end
  return lives.new { program = program, id = ("%s %d"):format(program.name, SEED * 100000 + n), seed = SEED * 100000 + n,
    folder = ("%s/%s-%d"):format(root, kind, n), script = ("%s/%s.lua"):format(root, program.name), store = store }
end

local function one(root, n, store, total)
  local alone <close> = case_of(root, n, "alone", root .. "/alone.db")
  local usual = alone:alone()
  local case <close> = case_of(root, n, "killed", store)
  case:survive(EACH, math.max(0.03, alone.seconds))
  local lost = case:compare(usual)
  for _, what in ipairs(alone.world.broken) do case.world:breaks("(alone) %s", what) end
  local counts = case.world:counts()
  for name, add in next, { kills = case.kills, lives = case.lives, doubts = case.doubts, acts = counts.names, again = counts.acts
    - counts.names, calls = counts.calls, window = case.world.repeats.window, cut = case.world.repeats.cut, prints = lost,
    runs = 1 } do
    total[name] = (total[name] or 0) + add
  end
  for _, what in ipairs(case.world.broken) do
    total.broken[#total.broken + 1] = ("%s (SEED=%d ONLY=%d; killed at %s): %s"):format(case.id, SEED, n, case.dooms, what)
  end
end

test("killed thousands of times, durable programs lose nothing, repeat nothing, and end as one that was left alone",
  { real = true, timeout = 36000, effects = false }, function(t)
    local root, remove = folder(t)
    local _ <close> = setmetatable({}, { __close = remove })
    for _, program in ipairs(programs) do fs.write(("%s/%s.lua"):format(root, program.name), program.source) end
    local total, next_one, began = { kills = 0, broken = {} }, ONLY or 1, stoke.time.monotonic()
    local scope <close> = stoke.scope {}
    for lane = 1, ONLY and 1 or LANES do
      scope:spawn(function()
        while total.kills < KILLS and #total.broken < 20 and next_one do
          local n = next_one
          next_one = not ONLY and n + 1 or nil
          one(root, n, ("%s/store%d.db"):format(root, lane % 2), total)
        end
      end)
    end
    scope:wait()
    inside.report(("campaign: %d kills, %d runs, %d lives, %.0f s: %d acts, %d of them asked for again with their key; %d calls, "
      .. "answered again inside the window: %d, cut: %d; in doubt %d; prints lost in a kill %d; broken %d (SEED=%d)"):format(
      total.kills, total.runs, total.lives, stoke.time.monotonic() - began, total.acts, total.again, total.calls, total.window,
      total.cut, total.doubts, total.prints, #total.broken, SEED))
    for _, what in ipairs(total.broken) do inside.report(what) end
    t.eq(#total.broken, 0)
  end)
