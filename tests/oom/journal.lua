-- A journalled run and its replay, a stream with its transcript, and specs, for tests/oom.lua: what world.lua does not get at.
-- Run as `stoke test --internal`.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local engine = require "core.json"
local host = require "host.task"
local journal = require "core.journal"
local schedule = require "core.schedule"
local streams = require "core.stream"

effect.define("oom.ask", { class = "pure", run = function(q)
  local _, err = host.park("oom.ask", q.wait or 0)
  if err then return nil, err end
  return { text = q.text .. "!" }
end })

local function ask(text, wait) return assert(effect.perform("oom.ask", { text = text, wait = wait })).text end

local function run()
  local channel, list = stoke.channel(1), {}
  local scope <close> = stoke.scope { deadline = 5 }
  scope:spawn(function()
    for i = 1, 3 do channel:send(ask("send " .. i, 0.001)) end
    channel:close()
  end)
  for value in function() return channel:recv() end do list[#list + 1] = value end
  scope:map({ 1, 2, 3 }, function(i) return ask("item " .. i) end, { limit = 2 })
  stoke.try(stoke.timeout, 0.001, function() return stoke.channel():recv() end)
  return table.concat(list, " ") .. math.random(9)
end

test("a run is recorded and replayed", function(t)
  local tape, results = journal.record("oom", run)
  if results.err then error(results.err, 0) end
  local again = journal.replay(tape, run)
  if again.err then error(again.err, 0) end
  t.eq(again[1], results[1])
  t.eq(#schedule.replay(tape.deliveries):log(), #tape.deliveries)
end)

test("a stream is noted and read", function(t)
  local transcript, n = streams.transcript(), 0
  for i = 1, 20 do assert(streams.note(transcript, { type = i % 2 == 0 and "text" or "thinking", text = ("x"):rep(i * 20) }, i)) end
  assert(streams.note(transcript, { type = "tool_call", call = { ["function"] = { name = "f", arguments = { a = 1 } } } }))
  for _, item in streams.items(assert(transcript:text())) do n = n + (item.type and 1 or 0) end
  t.eq(n, 21)
end)

test("tables are checked and written by a spec, and keys are sorted", function(t)
  local due = { name = "due", kind = "string", format = "date" }
  local line = engine.spec { { name = "qty", kind = "integer", required = true }, due }
  local order = engine.spec { { name = "lines", kind = "list", of = { kind = "record", of = line } },
    { name = "note", kind = "any", default = "none" } }
  local keys = {}
  for i = 1, 60 do keys["key " .. i] = { i } end
  local value = { lines = { { qty = 1, due = "2026-01-31" }, { qty = 2 } }, note = keys }
  t.ok(order:fits(value))
  t.match(order:encode(value) or "", '^{"lines":%[{"qty":1')
  t.eq(#assert(engine.digest(value)), 64)
end)
