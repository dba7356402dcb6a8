-- A durable run that is left and taken up again, for tests/oom.lua: what happens to what cannot be allocated there is that the run
-- fails, or is parked; whoever takes it up next finds it as it was. Run as `stoke test --internal`.

local test = require "stoke.test"
local stoke = require "stoke"
local runs = require "core.runs"

local done = {}

local function work(n)
  local scope <close> = stoke.scope {}
  local out = scope:map({ 1, 2, 3 }, function(i)
    return stoke.step("part " .. i, function() return { i, ("text "):rep(i * 60) } end, { idempotent = true })[1]
  end)
  local paid = stoke.step("pay", function()
    done[#done + 1] = n
    return "paid"
  end)
  return { out, paid, stoke.signal "go", math.random(9) }
end

test("a durable run is left, taken up again, and ends", { real = true }, function(t)
  local path, before = t.tmp() .. "/state.db", runs.setting
  runs.setting = function() return path end
  local _ <close> = setmetatable({}, { __close = function()
    runs.leave()
    runs.setting, runs.defined.oom = before, nil
  end })
  local flow = stoke.workflow("oom", work, { code = "latest" })
  local run = flow:start(7, { id = "r" })
  stoke.try(stoke.timeout, 3, function()
    while run:status().state == "running" do stoke.sleep(0.001) end
  end)
  runs.leave()
  flow = stoke.workflow("oom", work, { code = "latest" })
  run = flow:start(7, { id = "r" })
  run:signal("go", { "now" })
  local result = run:await()
  t.eq({ result[1], result[2], result[3][1], #done }, { { 1, 2, 3 }, "paid", "now", 1 })
end)
