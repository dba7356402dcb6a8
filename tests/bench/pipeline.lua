-- Items of a pipeline of three stages that do nothing, over the local engine: each item is published, lent and settled three times.
--   stoke tests/bench/pipeline.lua [items] [workers a stage]

local stoke = require "stoke"

local function same(value) return value end

stoke.main(function(argv)
  local count, workers = math.tointeger(tonumber(argv[1] or 10000)), math.tointeger(tonumber(argv[2] or 64))
  local folder = stoke.proc.run({ argv = { "mktemp", "-d" } }).stdout:gsub("\n$", "")
  local gone <close> = setmetatable({}, { __close = function() stoke.fs.remove(folder, { recursive = true }) end }) -- luacheck: ignore
  local stages = {}
  for i, name in ipairs { "a", "b", "c" } do stages[i] = { name = name, run = same, concurrency = workers } end
  local p = stoke.pipeline { name = "nothing", engine = "local:" .. folder .. "/q.db", bound = 1000, stages = stages }
  local list = {}
  for i = 1, count do list[i] = { id = "i" .. i, value = { n = i } } end
  local began = stoke.time.monotonic()
  local report = p:run(list)
  local took = stoke.time.monotonic() - began
  assert(report.done == count, "items are missing")
  print(("%d items in %.2f s: %.0f items/s through three stages"):format(count, took, count / took))
end)
