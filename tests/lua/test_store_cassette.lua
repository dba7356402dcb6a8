-- A durable run as a cassette of `stoke test`, and a cassette as records.

local test = require "stoke.test"
local about = require "core.about"
local cassette = require "stoke.test.cassette"
local fs = require "stoke.fs"
local journal = require "core.journal"
local proc = require "stoke.proc"
local stored = require "stored"

local PASSED_ON = require "binary".PASSED_ON
local ok = stored.ok

local TRIP = [[
local stoke = require "stoke"
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", instructions = "Be brief.", tools = { weather } }
return function(ask)
  local first, said = bot:run(ask).text, {}
  for event in bot:stream "And tomorrow?" do
    if event.type == "text" then said[#said + 1] = event.text end
  end
  return first, table.concat(said)
end]]

-- The run above, recorded, through the store and back.
local function recorded(t)
  t.model("qwen2.5:3b", { { tool = "get_weather", args = { city = "Oslo" } }, "Take one.", "The same again, says the forecast." })
  local trip = load(TRIP)()
  local tape, results = journal.record("trip", trip, "Do I need an umbrella in Oslo?")
  if results.err then error(results.err, 0) end
  local store, run, log = stored.run()
  for _, row in ipairs(tape.rows) do
    log:row(row)
    log:outcome(row)
    for i in ipairs(row.outcome.items or {}) do log:item(row, i) end
  end
  ok(log:commit())
  local rows = ok(store:load(run)).rows
  local _ = rows[1].request
  return store, run, rows, results
end

test("a run that was exported repeats itself offline under stoke test", { real = true }, function(t)
  local store, run, rows, results = recorded(t)
  local folder = t.tmp()
  t.eq(cassette.of_run(folder .. "/cassettes/a_test-trip.jsonl", "trip", run, rows):save(), 5)
  store:close()
  fs.write(folder .. "/trip.lua", TRIP)
  fs.write(folder .. "/a_test.lua", ([[
    local test, trip = require "stoke.test", require "trip"
    test("trip", { cassette = true }, function(t)
      t.eq({ trip "Do I need an umbrella in Oslo?" }, { %q, %q })
    end)]]):format(results[1], results[2]))
  local r = proc.run { argv = { about.executable(), "test", "a_test.lua" }, cwd = folder, env = { HOME = folder },
    env_allow = PASSED_ON, stdin = "", timeout = 60, stderr = "merge" }
  t.eq({ r.code, r.stdout:match "([^\n]*)\n$" }, { 0, "1 passed, 0 failed" }, r.stdout)
end)

test("a cassette has the records of the run it was made of, with other keys", function(t)
  local store, run, rows = recorded(t)
  local path = t.tmp() .. "/trip.jsonl"
  cassette.of_run(path, "trip", run, rows):save()
  store:close()
  local taped = {}
  for _, row in ipairs(rows) do
    if row.name:find "^llm%." then taped[#taped + 1] = row end
  end
  local back = cassette.load(path, function() return "again" end, {}):rows()
  t.eq(#back, #taped)
  for i, row in ipairs(back) do
    t.eq({ row.name, row.request.body, row.outcome.value }, { taped[i].name, taped[i].request.body, taped[i].outcome.value })
  end
  t.eq(back[2].key, "cassette/llm.chat#1")
  t.eq(#back[5].outcome.items, #taped[5].outcome.items)
end)
