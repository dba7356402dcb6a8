-- Each write, sync, read and opening of a run's store fails once: the run goes on, or it is parked and says why, and goes on when
-- the disk is well again. What was done is not done again.

local test = require "stoke.test"
local engine = require "host.store"
local errors = require "core.errors"
local inside = require "inside"
local json = require "stoke.json"
local lives = require "core.runs.live"
local stoke = require "stoke"

-- A run that is left alone: how it ends, and what it asks of the disk.
local function alone(root)
  engine.fault { count = 1 }
  local world <close> = inside.new(root .. "/alone.db")
  local result, err = world:live "r"
  if err then error(err, 0) end
  local counts = engine.fault_counts()
  world:next_life()
  return json.encode(result), counts
end

local KINDS = { db = true, parked = true, in_doubt = true }

local function judge(world, err, what)
  if not errors.is(err) or not KINDS[err.kind] then world:breaks("words: %s: %s", what, tostring(err)) end
end

-- One failure. Counts what came of it in `seen`.
local function fail(root, name, n, times, usual, seen)
  local world <close> = inside.new(("%s/%s-%d-%d.db"):format(root, name, times, n))
  local what = ("%s %d, %d times"):format(name, n, times)
  local parked
  local watcher = stoke.spawn(function()
    while true do
      local entry = lives.parked.r
      if entry then parked = parked or entry.parked end
      stoke.sleep(0.05)
    end
  end)
  engine.fault { [name] = n, times = times }
  local result, err = world:live("r", 3600)
  watcher:cancel()
  world:next_life()
  if result == nil then
    judge(world, err, what)
    seen.ended = seen.ended + 1
    local words = tostring(err):gsub("\n.*", ""):gsub('"[^"]*"', "FILE")
    seen.words[words] = (seen.words[words] or 0) + 1
    result, err = world:finish "r"
    if result == nil then world:breaks("end: %s: %s", what, tostring(err)) end
  elseif parked then
    judge(world, parked, what)
    seen.parked = seen.parked + 1
  else
    seen.unnoticed = seen.unnoticed + 1
  end
  if result ~= nil and json.encode(result) ~= usual then world:breaks("result: %s: %s", what, json.encode(result)) end
  for i, done in ipairs(world.paid) do if done ~= 1 then world:breaks("%s: payment %d was done %d times", what, i, done) end end
  for _, broken in ipairs(world.broken) do seen.broken[#seen.broken + 1] = what .. ": " .. broken end
end

local function each(t, name, count, times)
  local root, remove = inside.folder(t)
  local _ <close> = setmetatable({}, { __close = remove })
  local usual, counts = alone(root)
  local seen = { ended = 0, parked = 0, unnoticed = 0, broken = {}, words = {} }
  for n = 1, counts[count] do fail(root, name, n, times, usual, seen) end
  inside.report(("failing: %s, each of %d, %d times: %d ended with an error and went on later, %d parked and went on by "
    .. "themselves, %d went on; %d broken"):format(name, counts[count], times, seen.ended, seen.parked, seen.unnoticed,
    #seen.broken))
  for words, number in next, seen.words do inside.report(("%6d %s"):format(number, words)) end
  for i = 1, math.min(#seen.broken, 10) do inside.report(seen.broken[i]) end
  t.eq(#seen.broken, 0)
end

local options = { timeout = 1e6, effects = false }

test("each write finds the disk full, once", options, function(t) each(t, "full", "writes", 1) end)
test("each write and the next twenty find the disk full", options, function(t) each(t, "full", "writes", 20) end)
test("each write fails, once", options, function(t) each(t, "error", "writes", 1) end)
test("each sync fails, once", options, function(t) each(t, "sync", "syncs", 1) end)
test("each opening of a file fails, once", options, function(t) each(t, "open", "opens", 1) end)
test("each read fails, and all after it", options, function(t) each(t, "read", "reads", 1) end)
