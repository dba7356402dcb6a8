-- A journalled run touches nothing that is not its own, and nobody touches what is: a replay would not have it.

local test = require "stoke.test"
local stoke = require "stoke"
local schedule = require "core.schedule"
local scopes = require "core.scope"
local runs = require "order_runs"

-- What each function raises inside a run, as text.
local function raised_inside(functions)
  local said = {}
  local run = runs.record(function()
    for i, f in ipairs(functions) do said[i] = tostring(select(2, pcall(f))) end
  end)
  runs.finish(run)
  return said
end

local function all_match(t, said, n, pattern)
  t.eq(#said, n)
  for _, text in ipairs(said) do t.match(text, pattern) end
end

test("channels and semaphores of outside raise inside a run, and say what to use", function(t)
  local channel, places = stoke.channel(3), stoke.semaphore(1)
  channel:send "there"
  local said = raised_inside { function() channel:send(1) end, function() return channel:recv() end, function() channel:close() end,
    function() return stoke.select { channel } end, function() return channel() end, function() return places:acquire() end }
  all_match(t, said, 6, "^argument: .*does not belong to the journalled run.*\n  hint: make the %l+ inside the run")
  t.eq(channel:recv(), "there")
  places:acquire():release()
end)

test("tasks and scopes of outside raise inside a run", function(t)
  local scope <close> = stoke.scope {}
  local task = scope:spawn(stoke.sleep, 1)
  local said = raised_inside { function() return task:await() end, function() task:cancel() end, function() scope:cancel() end,
    function() scope:spawn(print) end, function() scope:wait() end, function() scope:map({ 1 }, print) end }
  all_match(t, said, 6, "^argument: .*does not belong to the journalled run")
  task:await()
end)

test("sessions of outside raise inside a run, its own do not; in the body of an effect it is as outside", function(t)
  t.model("m", { "one", "two", "three" })
  local bot = stoke.agent { name = "bot", model = "m" }
  local session = bot:session()
  session:run "before"
  local said, saved = {}, session:save()
  local run = runs.record(function(run)
    local own = bot:session(saved)
    for i, held in ipairs { session, own } do said[i] = tostring(select(2, pcall(held.run, held, "inside"))) end
    said[3] = run:effect("body", function() return session:run("in a body").text end)
  end)
  t.eq(runs.finish(run), "true nil")
  t.match(said[1], "^argument: session of bot: the session does not belong to the journalled run.*\n  hint: make the session in")
  t.eq({ said[2], said[3], session.turns }, { "two", "three", 2 })
end)

test("timers and tables by name are the process's, and raise inside a run", function(t)
  local said = raised_inside { function() stoke.every("tick", 1, print) end, function() stoke.state("seen", {}) end }
  t.match(said[1], "^argument: stoke.every: the timer does not belong to the journalled run.*\n  hint: .*loops over stoke.sleep")
  t.match(said[2], "^argument: stoke.state: the table does not belong to the journalled run.*\n  hint: hand in what it holds")
end)

test("what a run has made raises outside of it; its tasks can be awaited and cancelled", function(t)
  local made = {}
  local run = runs.record(function()
    made.channel, made.places = stoke.channel(1), stoke.semaphore(1)
    made.task = stoke.spawn(function() return stoke.channel():recv() end)
    local scope <close> = stoke.scope {}
    made.scope = scope
    stoke.sleep(5)
  end)
  stoke.sleep(1)
  for name, f in pairs { channel = function() made.channel:send(1) end, places = function() return made.places:acquire() end,
    cancel = function() made.scope:cancel() end, spawn = function() made.scope:spawn(print) end } do
    local ok, err = pcall(f)
    t.ok(not ok, name)
    t.match(err.message, "belongs to a journalled run, and is used from outside of it")
  end
  made.task:cancel "enough"
  t.eq(select(2, pcall(made.task.await, made.task)).kind, "cancelled")
  t.eq(runs.finish(run), "true nil")
  t.ok(#run.schedule:log() > 0, "the cancellation is in the log")
end)

test("two runs share nothing either", function(t)
  local channel
  local one = runs.record(function() channel = stoke.channel(1) stoke.sleep(5) end)
  stoke.sleep(1)
  t.match(raised_inside { function() channel:send(1) end }[1], "belongs to another journalled run")
  runs.finish(one)
end)

test("inside a live effect a task is outside of its run: it spawns and waits there unseen", function(t)
  local steps = {}
  local run = runs.record(function(run)
    local own = stoke.channel(1)
    steps[1] = run:effect("body", function()
      local scope <close> = stoke.scope {}
      local channel = stoke.channel()
      scope:spawn(function() scope:spawn(function() channel:send "from a child's child" end) end)
      local value = channel:recv(5)
      steps[2] = tostring(select(2, pcall(own.send, own, 1)))
      return value
    end)
    own:send "mine"
    return own:recv()
  end)
  t.eq(runs.finish(run), "true mine")
  t.eq(steps[1], "from a child's child")
  t.match(steps[2], "used from outside of it")
  local _, tasks = run.schedule:count()
  t.eq(tasks, 1)
  t.eq(#runs.decode(run.schedule:log()), 1)
end)

test("a wait that something outside ends fails the run, rather than be forgotten", function(t)
  local host = require "host.task"
  local record
  local run = runs.record(function(run)
    record = host.current()
    pcall(scopes.park, "a wait for the outside")
    stoke.sleep(1)
    run:step "never"
  end)
  stoke.sleep(1)
  host.wake(record.co)
  local result = runs.finish(run)
  t.match(result, "^false replay: something that is no part of the run ended a wait of its task 0 %(a wait for the outside%)")
  t.eq(run.trace, {})
  t.eq((run.schedule:failure()), "replay")
end)

test("without a run nothing is asked", function(t)
  local channel = stoke.channel(1)
  channel:send(1)
  t.eq(channel.schedule, false)
  t.eq(schedule.own(), false)
  t.eq({ schedule.begin(), schedule.finish(), schedule.await() }, { [2] = true, [3] = false })
end)
