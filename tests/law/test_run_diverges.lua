-- A run that does not go as its log says ends with an error of kind `replay` that tells where; it never hangs.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local runs = require "order_runs"

-- How long code of a run that does not wait may go on after its deadline.
local function shorter_grace()
  local before = scopes.GRACE
  scopes.GRACE = 0.5
  return runs.closer(function() scopes.GRACE = before end)
end

local function sleeper(run, name, seconds)
  return run:effect(name, function() stoke.sleep(seconds) return name end)
end

local function recorded_of(f)
  local recorded = runs.record(f)
  runs.finish(recorded)
  return recorded
end

local function two(run)
  run:step(sleeper(run, "a", 1))
  run:step(sleeper(run, "b", 1))
end

test("a run that waits for what the log does not have", function(t)
  local again = runs.replay(recorded_of(two), function(run)
    run:step(sleeper(run, "a", 1))
    stoke.channel():recv()
    run:step "never"
  end)
  t.match(runs.finish(again),
    "^false replay: .*after 2 resumes comes the outcome of an effect for its task 0, which waits for channel.recv")
  t.eq(again.trace, { "a" })
  t.ok(not again.schedule:at_end())
end)

test("a run that ends before its log does", function(t)
  local again = runs.replay(recorded_of(two), function(run) run:step(sleeper(run, "a", 1)) end)
  runs.finish(again)
  t.ok(not again.schedule:at_end(), "the log is not used up")
end)

test("a run that has nothing to do before the next delivery", function(t)
  local recorded = recorded_of(function(run)
    stoke.spawn(function() for _ = 1, 3 do stoke.spawn(function() end) end end)
    sleeper(run, "a", 1)
  end)
  local again = runs.replay(recorded, function(run) sleeper(run, "a", 1) end)
  t.match(runs.finish(again),
    "^false replay: .*it has nothing to do after 1 resumes of its tasks, and the next delivery comes after 6")
end)

test("a deadline that does not stand, a task that is not there", function(t)
  local recorded = recorded_of(function()
    pcall(stoke.timeout, 1, function() return stoke.channel():recv() end)
  end)
  local again = runs.replay(recorded, function() return stoke.channel():recv(1) end)
  t.match(runs.finish(again), "^false replay: .*deadline 0 of it, which does not stand")
  recorded = recorded_of(function(run) stoke.spawn(function() sleeper(run, "a", 1) end) end)
  again = runs.replay(recorded, function(run) sleeper(run, "a", 1) end)
  t.match(runs.finish(again), "^false replay: ")
end)

test("a damaged log", function(t)
  local recorded = recorded_of(two)
  local again = runs.replay(recorded, two, recorded.schedule:log() .. "\x80")
  t.match(runs.finish(again), "^false replay: the log of the run's order is damaged at byte 4")
  again = runs.replay(recorded, two, ("\xff"):rep(20))
  t.match(runs.finish(again), "^false replay: the log of the run's order is damaged at byte 0")
end)

test("what runs when the run fails ends as a cancelled one does: handlers run, other runs go on", function(t)
  local closed, ticks = {}, 0
  local other = runs.record(function(run)
    for i = 1, 3 do ticks = #sleeper(run, tostring(i), 1) + ticks end
  end)
  local again = runs.replay(recorded_of(two), function()
    stoke.spawn(function()
      local _ <close> = runs.closer(function(_, err) closed[#closed + 1] = err.kind end)
      stoke.channel():recv()
    end)
    stoke.channel():recv()
  end)
  t.match(runs.finish(again), "^false replay: ")
  t.eq(closed, { "cancelled" })
  t.eq(runs.finish(other), "true nil")
  t.eq(ticks, 3)
end)

test("a log that would grow beyond its limit fails the run, and says so", function(t)
  local run = runs.record(function(run)
    for i = 1, 100 do sleeper(run, "e" .. i, 1) end
  end, nil, 20)
  t.match(runs.finish(run), "^false limit: the log of the run's order would grow beyond its limit of 20 bytes, after 11 resumes")
  t.eq(#run.schedule:log(), 20)
end)

test("a run that is cancelled while it is replayed ends at once", function(t)
  local recorded = recorded_of(two)
  local again = runs.replay(recorded, function(run)
    run:step(sleeper(run, "a", 1))
    schedule.begin()
    stoke.sleep(100) -- a live effect: the replay waits for it
    schedule.finish()
  end)
  stoke.sleep(1)
  again.task:cancel "the person left"
  t.match(runs.finish(again), "^false cancelled: .*was cancelled")
  t.eq(again.schedule:mode(), "over")
end)

test("code that the watchdog has to end fails its run: no log can say where it was", { real = true }, function(t)
  local grace <close> = shorter_grace()
  local run = runs.record(function()
    stoke.timeout(0.2, function() while grace do end end)
  end)
  t.match(runs.finish(run), "^false replay: the watchdog ended code that did not wait, at .*test_run_diverges.lua:%d+")
end)

test("code that comes to a wait in time is cancelled there, and the run goes on", { real = true }, function(t)
  local function f(run)
    local ok, err = pcall(stoke.timeout, 0.05, function()
      local until_then = time.monotonic() + 0.5 -- not for a replay: there it is another time
      while not run.replaying and time.monotonic() < until_then do end
      run:step "waits"
      stoke.channel():recv()
    end)
    run:step(tostring(ok), err.kind)
  end
  local recorded = recorded_of(f)
  t.eq(recorded.trace, { "waits", "false timeout" })
  t.eq(recorded.schedule:failure(), nil)
  local again = runs.replay(recorded, f)
  runs.finish(again)
  t.eq(again.trace, recorded.trace)
end)

test("inside a live effect the watchdog's error is the outcome, and the run goes on", { real = true }, function(t)
  local function f(run)
    local ok, err = pcall(run.effect, run, "loops", function()
      return stoke.timeout(0.2, function() while true do end end)
    end)
    run:step(tostring(ok), err.kind)
  end
  local recorded = recorded_of(f)
  t.eq(recorded.trace, { "false timeout" })
  t.eq(recorded.schedule:failure(), nil)
  local again = runs.replay(recorded, f)
  runs.finish(again)
  t.eq(again.trace, recorded.trace)
end)

test("an effect that the log has no outcome for is done live, once all else has come", function(t)
  local recorded = recorded_of(function(run) run:step(sleeper(run, "a", 1)) end)
  local lived = 0
  local function f(run)
    run:step(sleeper(run, "a", 1))
    local given, err = schedule.await() -- as for a row without an outcome
    t.eq({ given, err }, { false })
    schedule.begin()
    lived = lived + 1
    stoke.sleep(1)
    t.ok(not schedule.finish())
    run:step "b"
  end
  local again = runs.replay(recorded, f)
  t.eq(runs.finish(again), "true nil")
  t.eq(lived, 1)
  t.eq(#runs.decode(again.schedule:log()), 2)
  local third = runs.replay(recorded, two, again.schedule:log())
  third.rows.b = { value = "b", inline = false }
  t.eq(runs.finish(third), "true nil")
  t.eq(third.trace, again.trace)
  t.ok(third.schedule:at_end())
end)
