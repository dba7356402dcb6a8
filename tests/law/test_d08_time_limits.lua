-- A limit of time in a journalled run ends where it ended when the run was recorded, however long it takes now.

local test = require "stoke.test"
local stoke = require "stoke"
local time = require "stoke.time"
local scopes = require "core.scope"
local runs = require "order_runs"

-- Live, then from the log: both must take the same steps. Returns both, and how many seconds of the clock the replay took.
local function twice(t, f, meddle)
  local recorded = runs.record(f)
  if meddle then meddle(recorded) end
  runs.finish(recorded)
  local began = time.monotonic()
  local again = runs.replay(recorded, f)
  runs.finish(again)
  t.eq(again.trace, recorded.trace)
  t.eq(again.result, recorded.result)
  t.ok(again.schedule:at_end())
  t.eq(again.schedule:log(), recorded.schedule:log())
  return recorded, again, time.monotonic() - began
end

test("a receive whose time is up, and no second of it in the replay", function(t)
  local recorded, _, seconds = twice(t, function(run)
    local channel = stoke.channel()
    local value, why = channel:recv(3600)
    run:step(tostring(value), why)
  end)
  t.eq(recorded.trace, { "nil timeout" })
  t.eq(seconds, 0)
end)

test("a receive that is served in time is not recorded at all", function(t)
  local recorded = twice(t, function(run)
    local channel = stoke.channel()
    stoke.spawn(function() channel:send "here" end)
    run:step(channel:recv(1))
  end)
  t.eq(recorded.schedule:log(), "")
end)

test("a select whose time is up while effects are under way", function(t)
  local recorded = twice(t, function(run)
    local channel = stoke.channel(1)
    stoke.spawn(function() channel:send(run:effect("slow", function() stoke.sleep(2) return "slow" end)) end)
    local chosen = stoke.select({ channel }, 1)
    run:step(tostring(chosen))
    local _, value = stoke.select({ channel }, 5)
    run:step(value)
  end)
  t.eq(recorded.trace, { "nil", "slow" })
end)

test("a deadline cancels at the same place", function(t)
  local recorded, _, seconds = twice(t, function(run)
    local ok, err = pcall(function()
      local scope <close> = stoke.scope { deadline = 10 }
      scope:spawn(function()
        for i = 1, 100 do run:step(run:effect("tick" .. i, function() stoke.sleep(4) return i end)) end
      end)
      scope:wait()
    end)
    run:step(tostring(ok), err.kind)
  end)
  t.eq(recorded.trace, { "1", "2", "false deadline" })
  t.eq(seconds, 0)
end)

test("a deadline that was not reached stands still in the replay", function(t)
  local recorded = runs.record(function(run)
    local scope <close> = stoke.scope { deadline = 1 }
    run:step(run:effect("quick", function() stoke.sleep(0.5) return tostring(scope ~= nil) end))
  end)
  runs.finish(recorded)
  t.eq(recorded.trace, { "true" })
end)

test("a task that swallows its cancellation is cut off at the same place", function(t)
  local lines, tell = {}, scopes.tell
  scopes.tell = function(text) lines[#lines + 1] = text end
  local _ <close> = runs.closer(function() scopes.tell = tell end)
  local recorded, _, seconds = twice(t, function(run)
    pcall(function()
      local scope <close> = stoke.scope { deadline = 1 }
      scope:spawn(function()
        local guard <close> = runs.closer(function() stoke.sleep(100) run:step "never" end)
        stoke.sleep(50)
        run:step(tostring(guard))
      end)
    end)
    run:step "after"
  end)
  t.eq(recorded.trace, { "after" })
  t.eq(#lines, 2, "each run tells of it")
  t.ok(seconds < 100)
end)

test("a cancellation from outside comes with its words at the same place", function(t)
  local recorded = twice(t, function(run)
    local child = stoke.spawn(function()
      local ok, err = pcall(stoke.channel().recv, stoke.channel())
      run:step(tostring(ok), err.message)
    end)
    local _, err = pcall(child.await, child)
    run:step("root", err.message)
  end, function(run)
    stoke.sleep(1)
    run.task:cancel "the person left"
  end)
  t.eq(recorded.trace, { "root the person left", "false the person left" })
end)

test("the scope around a run passes its deadline on, and the run hears of it in the replay", function(t)
  local function f(run)
    local ok, err = pcall(function() return stoke.channel():recv() end)
    run:step(tostring(ok), err.kind)
  end
  local recorded
  pcall(function()
    local scope <close> = stoke.scope { deadline = 2 }
    recorded = runs.record(f, scope)
    scope:wait()
  end)
  t.eq(recorded.trace, { "false cancelled" })
  local again = runs.replay(recorded, f)
  runs.finish(again)
  t.eq(again.trace, recorded.trace)
end)

test("where the log ends, the limits of time begin", function(t)
  local recorded = runs.record(function() end)
  runs.finish(recorded)
  local began = time.monotonic()
  local again = runs.replay(recorded, function(run)
    run:step(select(2, stoke.channel():recv(7)))
    local ok, err = pcall(stoke.timeout, 5, function() return stoke.channel():recv() end)
    run:step(tostring(ok), err.kind)
  end)
  runs.finish(again)
  t.eq(again.trace, { "timeout", "false timeout" })
  t.eq(time.monotonic() - began, 12)
  t.eq(again.schedule:mode(), "record")
  t.ok(#again.schedule:log() > 0)
end)
