-- Rows and order together: random programs of tasks, scopes, channels, races, deadlines and cancellations are recorded with real
-- waits, and their replays take the same steps without one effect that is done again.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local programs = require "order_programs"

local SEEDS = tonumber(os.getenv "STOKE_ORDER_SEEDS") or 30
local FIRST = tonumber(os.getenv "STOKE_ORDER_FIRST") or 1

local done = 0
effect.define("test.live", { class = "pure", metered = true, run = function(_, _, work)
  done = done + 1
  local ok, value = pcall(work)
  if ok then return value end
  return nil, errors.wrap(value)
end })

local function new_run()
  local run = { trace = {} }
  function run.step(_, ...) run.trace[#run.trace + 1] = table.concat({ ... }, " ") end
  function run.effect(_, key, work) return errors.check(effect.perform("test.live", { key = key }, work)) end
  return run
end

local function difference(a, b)
  for i = 1, math.max(#a, #b) do
    if a[i] ~= b[i] then return ("step %d of %d: recorded %q, replayed %q"):format(i, #a, a[i] or "-", b[i] or "-") end
  end
end

-- Somebody outside cancels the run, or a task of it.
local function meddle(run)
  if math.random(3) > 1 then return end
  stoke.sleep(math.random() * 0.02)
  local handles = run.handles or {}
  local task = handles[math.random(math.max(1, #handles))]
  if task then task:cancel "from outside" end
end

test("random programs replay step by step, with nothing done again", { real = true, timeout = 60 }, function(t)
  for seed = FIRST, FIRST + SEEDS - 1 do
    local first, second = new_run(), new_run()
    local meddler = stoke.spawn(meddle, first)
    local tape, results = journal.record(tostring(seed), programs.program(seed), first)
    meddler:cancel()
    done = 0
    local again, replayed = journal.replay(tape, programs.program(seed), second)
    local function words(r) return r.err and ("%s: %s"):format(r.err.kind, r.err.message) or tostring(r.n) end
    t.eq(difference(first.trace, second.trace), nil, ("seed %d, %s"):format(seed, words(again)))
    t.eq(words(again), words(results), seed)
    t.eq(done, 0, seed)
    t.eq(#replayed.rows, #tape.rows, seed)
    t.eq(replayed.deliveries, tape.deliveries, seed)
  end
end)
