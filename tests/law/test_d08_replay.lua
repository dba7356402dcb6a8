-- Rows and order together: random programs of tasks, scopes, channels, races, deadlines and cancellations are recorded with real
-- waits, and their replays take the same steps without one effect that is done again.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local host = require "host.task"
local programs = require "order_programs"

local SEEDS = tonumber(os.getenv "STOKE_ORDER_SEEDS") or 30
local FIRST = tonumber(os.getenv "STOKE_ORDER_FIRST") or 1

effect.define("test.live", { class = "pure", metered = true, run = function(_, _, work)
  local ok, value = pcall(work)
  if ok then return value end
  return nil, errors.wrap(value)
end })

local function new_run()
  local run = { trace = {}, done = 0 }
  function run.step(_, ...) run.trace[#run.trace + 1] = table.concat({ ... }, " ") end
  function run.effect(_, key, work)
    return errors.check(effect.perform("test.live", { key = key }, function()
      run.done = run.done + 1
      return work()
    end))
  end
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

local function words(results)
  return results.err and ("%s: %s"):format(results.err.kind, results.err.message) or tostring(results.n)
end

test("random programs, several at once, replay step by step, with nothing done again", { real = true, timeout = 60 }, function(t)
  local seeds = {}
  for i = 1, SEEDS do seeds[i] = FIRST + i - 1 end
  local scope <close> = stoke.scope {}
  scope:map(seeds, function(seed)
    local first, second = new_run(), new_run()
    local meddler = stoke.spawn(meddle, first)
    local tape, results = journal.record(tostring(seed), programs.program(seed), first)
    meddler:cancel()
    local again, replayed = journal.replay(tape, programs.program(seed), second)
    t.eq(difference(first.trace, second.trace), nil, ("seed %d, %s"):format(seed, words(again)))
    t.eq(words(again), words(results), seed)
    t.eq(second.done, 0, seed)
    t.eq(#replayed.rows, #tape.rows, seed)
    t.eq(replayed.deliveries, tape.deliveries, seed)
  end, { limit = 8 })
end)

effect.define("test.pooled", { class = "pure", pool = function() return "law", 1 end,
  usage = function() return { output_tokens = 10 } end, reserve = function(_, room) return room >= 10 and 10 or nil, 10 end,
  run = function(q)
    local _, err = host.park("test.pooled", q.seconds)
    if err then return nil, err end
    return q.seconds
  end })

test("waits of gates are nothing of the run's: two that share a slot and a budget replay each alone", { real = true }, function(t)
  local function program(name)
    return function(step)
      local scope <close> = stoke.scope {}
      scope:map({ 3, 1, 2, 1 }, function(n, i)
        for _ = 1, 3 do
          step(("%s %d asks"):format(name, i))
          step(("%s %d got %g"):format(name, i, errors.check(effect.perform("test.pooled", { seconds = n / 1000 }))))
        end
      end)
    end
  end
  local function traced(f, ...)
    local trace, list = {}, table.pack(...)
    list[list.n + 1] = function(text) trace[#trace + 1] = text end
    local a, b = f(table.unpack(list, 1, list.n + 1))
    return trace, a, b
  end
  local scope <close> = stoke.scope { budget = { tokens = 1000 } }
  local runs = scope:map({ "a", "b" }, function(name)
    local trace, tape, results = traced(journal.record, name, program(name))
    t.eq(results.err, nil)
    return { trace = trace, tape = tape, program = program(name) }
  end)
  for _, run in ipairs(runs) do
    local trace, results = traced(journal.replay, run.tape, run.program)
    t.eq(results.err, nil)
    t.eq(trace, run.trace)
  end
end)
