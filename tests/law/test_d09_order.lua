-- The order in which the outside comes to a run's tasks is recorded, and a replay has the same one.

local test = require "stoke.test"
local stoke = require "stoke"
local programs = require "order_programs"
local runs = require "order_runs"

local SEEDS = tonumber(os.getenv "STOKE_ORDER_SEEDS") or 40
local FIRST = tonumber(os.getenv "STOKE_ORDER_FIRST") or 1
local AT_ONCE = 8

-- From outside, at any moment: somebody cancels the run, or a task of it.
local function meddle(run)
  if math.random(3) > 1 then return end
  stoke.sleep(math.random() * 0.02)
  local handles = run.handles or {}
  local task = math.random(2) == 1 and run.task or handles[math.random(math.max(1, #handles))]
  if task then task:cancel "from outside" end
end

-- Where two traces part, in words; nil when they are the same.
local function difference(a, b)
  for i = 1, math.max(#a.trace, #b.trace) do
    if a.trace[i] ~= b.trace[i] then
      return ("step %d of %d: recorded %q, replayed %q"):format(i, #a.trace, a.trace[i] or "-", b.trace[i] or "-")
    end
  end
  if a.result ~= b.result then return ("the end: recorded %s, replayed %s"):format(a.result, b.result) end
end

local function why_not(recorded, again)
  local why = difference(recorded, again)
  if why then return why .. "; replay: " .. again.result end
  if not again.schedule:at_end() then return "the log is not used up" end
  if again.schedule:log() ~= recorded.schedule:log() then return "the log has grown" end
  if again.schedule:count() ~= recorded.schedule:count() then return "the count of resumes is another one" end
end

local function record(seed)
  local run = runs.record(programs.program(seed))
  local meddler = stoke.spawn(meddle, run)
  runs.finish(run)
  meddler:cancel()
  local kind, why = run.schedule:failure()
  if kind then error(("seed %d: the recording failed: %s: %s"):format(seed, kind, why), 0) end
  return run
end

local function replay(recorded, seed, log)
  local again = runs.replay(recorded, programs.program(seed), log)
  runs.finish(again)
  return again
end

local function each_seed(f)
  local scope <close> = stoke.scope {}
  local seeds = {}
  for i = 1, SEEDS do seeds[i] = FIRST + i - 1 end
  return scope:map(seeds, f, { limit = AT_ONCE })
end

test("random programs run once live and once from their log take the same steps", { real = true, timeout = 600 }, function(t)
  local steps = each_seed(function(seed)
    local recorded = record(seed)
    local why = why_not(recorded, replay(recorded, seed))
    if why then error(("seed %d: %s (STOKE_ORDER_FIRST=%d STOKE_ORDER_SEEDS=1)"):format(seed, why, seed), 0) end
    return #recorded.trace
  end)
  t.eq(#steps, SEEDS)
end)

-- Two ways to spoil a log: a delivery is missing; two that followed one another have changed places.
local spoils = {
  drop = function(list) table.remove(list, math.random(#list)) end,
  swap = function(list)
    local i = math.random(#list - 1)
    local a, b = list[i], list[i + 1]
    a.code, b.code, a.text, b.text = b.code, a.code, b.text, a.text
  end,
}

for how, spoil in pairs(spoils) do
  test("the comparison finds a log in which the order is another one: " .. how, { real = true, timeout = 600 }, function(t)
    local found, tried = 0, 0
    each_seed(function(seed)
      local recorded = record(seed)
      local list = runs.decode(recorded.schedule:log())
      t.eq(runs.encode(list), recorded.schedule:log())
      if #list < 4 then return end
      spoil(list)
      tried = tried + 1
      if why_not(recorded, replay(recorded, seed, runs.encode(list))) then found = found + 1 end
    end)
    t.ok(found > tried / 2, ("found %d of %d"):format(found, tried))
  end)
end
