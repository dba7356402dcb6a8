-- Random programs with real effects on a hostile world: run once live on the real clock, and again from the journal.

local test = require "stoke.test"
local stoke = require "stoke"
local runs = require "chaos_runs"
local stores = require "core.store"
local worlds = require "chaos_world"

local SEEDS = tonumber(os.getenv "STOKE_CHAOS_SEEDS") or 20
local FIRST = tonumber(os.getenv "STOKE_CHAOS_FIRST") or 1
local AT_ONCE = tonumber(os.getenv "STOKE_CHAOS_AT_ONCE") or 5
local ALL = os.getenv "STOKE_CHAOS_ALL" ~= nil -- tell all failures, not the first

-- An ordinary program beside the runs.
local function beside(world, seed)
  return stoke.spawn(runs.plain, world, seed + 1000000)
end

-- f(world, seed) for each seed, several at once; says what it returns of each that is wrong.
local function each_seed(t, f)
  local world <close> = worlds.open(t.tmp())
  local seeds, failures = {}, {}
  for i = 1, SEEDS do seeds[i] = FIRST + i - 1 end
  local scope <close> = stoke.scope {}
  scope:map(seeds, function(seed)
    local other = seed % 4 == 0 and beside(world, seed)
    local why = f(world, seed)
    if other then other:await() end
    if not why then return end
    failures[#failures + 1] = ("seed %d: %s"):format(seed, why)
    if ALL then io.stderr:write(failures[#failures], "\n") end
  end, { limit = AT_ONCE })
  t.eq(table.concat(failures, "\n"), "")
end

-- The first of what f returns of a list, all at once.
local function first(list)
  return function(f)
    local scope <close> = stoke.scope {}
    local found
    scope:map(list, function(item) found = found or f(item) end)
    return found
  end
end

test("chaos programs replay twice, step by step, with nothing done again", { real = true, timeout = 3600 }, function(t)
  each_seed(t, function(world, seed)
    local recorded = runs.record(world, seed)
    return first { 1, 2 }(function() return runs.why_not(recorded, runs.replay(world, seed, recorded.tape)) end)
  end)
end)

test("chaos programs that were cut go on live, and replay as they went on", { real = true, timeout = 3600 }, function(t)
  each_seed(t, function(world, seed)
    local recorded = runs.record(world, seed, 3)
    return first(recorded.snapshots)(function(cut)
      local run, again = runs.replay(world, seed, cut.tape)
      local why = runs.not_from(recorded, cut, run) or
        runs.why_not({ run = run, tape = again }, runs.replay(world, seed, again))
      return why and ("cut at step %d: %s"):format(cut.steps, why)
    end)
  end)
end)

test("chaos programs that were cut between any two records go on from their log, and replay as they went on",
  { real = true, timeout = 3600 }, function(t)
    each_seed(t, function(world, seed)
      local recorded = runs.record_kept(world, seed)
      local why = runs.why_not(recorded, runs.replay_kept(world, recorded))
      if why then return "whole, from its log: " .. why end
      local count = #recorded.log.batches
      return first { math.random(0, count), math.random(0, count), math.random(0, count) }(function(cut)
        local again, parts = runs.go_on(world, recorded, cut)
        why = runs.not_from(recorded, { steps = recorded.steps[cut] or 0, tape = parts }, again.run) or
          runs.why_not(again, runs.replay_kept(world, again))
        return why and ("cut after %d of %d: %s"):format(cut, count, why)
      end)
    end)
  end)

test("chaos programs come back from the file of a store as they went, whole and cut after any record",
  { real = true, timeout = 3600 },
  function(t)
    local store = assert(stores.open(t.tmp() .. "/chaos.db"))
    each_seed(t, function(world, seed)
      local recorded = runs.record_stored(world, seed, store)
      local why = runs.why_not(recorded, runs.replay(world, seed, runs.load_stored(recorded)))
      if why then return "whole: " .. why end
      local count = #recorded.tape.rows
      local to = math.random(0, count)
      local cut = runs.load_stored(recorded, to)
      local run, again = runs.replay(world, seed, cut)
      for _, row in ipairs(cut.rows) do
        if row.outcome and not row.inside and run.live[row.key] then why = why or row.key .. " was asked again" end
      end
      why = why or runs.why_not({ run = run, tape = again }, runs.replay(world, seed, again))
      return why and ("cut after record %d of %d: %s"):format(to, count, why)
    end)
    store:close()
  end)
