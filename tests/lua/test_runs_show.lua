local test = require "stoke.test"
local kept = require "kept"
local stoke = require "stoke"
local timeline = require "stoke.runs.timeline"
local runs = require "stoke.runs"

local weather = stoke.tool { name = "get_weather", description = "Current weather", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }

local function trip()
  stoke.sleep(90)
  local text = guide:run("Umbrella?").text
  local scope <close> = stoke.scope { budget = { calls = 0 } }
  stoke.try(guide.run, guide, "And now?")
  stoke.try(stoke.timeout, 0.5, stoke.sleep, 3)
  return text
end

test("runs", function(t)
  t.model("qwen2.5:3b", { { tool = "get_weather", args = { city = "Oslo" } }, "Take one." })
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", trip)
  held.store:close()
  local shown = runs.show("trip-7", { store = held.path })
  print(timeline.heading(shown.run, shown.totals))
  print(timeline.text(shown.records))
  t.ok(false)
end)
