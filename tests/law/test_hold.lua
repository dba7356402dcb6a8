-- A replayed run that is held at its records stands still as a whole, and goes on as if nobody had looked.

local test = require "stoke.test"
local journals = require "core.journal"
local schedule = require "core.schedule"
local stoke = require "stoke"
local tasks = require "core.task"

--- Tasks that meet in channels, races and deadlines; what they do in which order is the trace.
local function program(trace)
  local channel = stoke.channel(1)
  local function note(text) trace[#trace + 1] = text end
  local scope <close> = stoke.scope {}
  for i = 1, 4 do
    scope:spawn(function()
      for round = 1, 3 do
        stoke.sleep(0.1 * i)
        note(("task %d round %d"):format(i, round))
        channel:send(i)
      end
    end)
  end
  scope:spawn(function()
    for _ = 1, 12 do note("received " .. channel:recv()) end
  end)
  note(tostring(stoke.race { function() stoke.sleep(0.15) return "a" end, function() stoke.sleep(0.15) return "b" end }))
  stoke.try(stoke.timeout, 0.35, stoke.sleep, 5)
  scope:wait()
  return #trace
end

test("hold: a run that stands still at each record does what it did", function(t)
  local live = {}
  local journal, results = journals.record("run", program, live)
  t.eq(results.err, nil)
  local trace, held, moved = {}, 0, 0
  local again = journals.new { id = "run", kept = journal:snapshot() }
  again.on_given = function()
    local until_, before = 0, #trace
    held = held + 1
    local me = tasks.current()
    schedule.hold("a look", function()
      until_ = until_ + 1
      if until_ > 3 then return false end
      tasks.spawn(function() -- of the host's own: it takes a turn of the loop
        stoke.sleep(0.01)
        tasks.wake(me)
      end, { system = true, name = "looker" })
      return true
    end)
    if #trace ~= before then moved = moved + 1 end
  end
  local ended = again:run(program, trace)
  t.eq({ ended.err, ended[1] }, { nil, results[1] })
  t.eq(trace, live)
  t.eq({ held > 10, moved }, { true, 0 })
end)
