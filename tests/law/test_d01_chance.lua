-- D1: what is drawn for one purpose shifts no other: neither in a process, nor in a run, whose ids and numbers follow from its
-- frames.

local test = require "stoke.test"
local stoke = require "stoke"
local frames = require "core.frame"
local random = require "core.random"
local runs = require "runs"

test("the retries of calls, ids and names of files draw from streams of their own", function(t)
  local function numbers(others)
    random.seed(7)
    for _ = 1, others do
      for _, purpose in ipairs { "retry", "run id", "call id", "temp" } do random.stream(purpose):float() end
    end
    return { math.random(1000000), math.random(1000000) }
  end
  t.eq(numbers(5), numbers(0))
end)

test("in a run numbers follow from the frame: what another task draws shifts none", function(t)
  local function draws(more)
    local _, list = runs.record(function()
      local scope <close> = stoke.scope {}
      local a = scope:spawn(function()
        if more then math.random(10) end
      end)
      local b = scope:spawn(function() return { math.random(1000000), math.random() } end)
      a:await()
      return b:await()
    end)
    return list
  end
  t.eq(draws(true), draws(false))
  random.seed(1)
  local before = draws()
  random.seed(2)
  t.eq(draws(), before)
end)

test("in a run ids follow from the frame, and no two are the same", function(t)
  local function ids(more)
    local _, list = runs.record(function()
      local out = {}
      if more then stoke.spawn(function() frames.id "call" end):await() end
      local scope <close> = stoke.scope {}
      scope:map({ 1, 2, 3 }, function(i) out[i] = { frames.id "call", frames.id "call", frames.id "run" } end)
      return out
    end)
    return list
  end
  local list, seen = ids(), {}
  t.eq(ids(true), list)
  for _, three in ipairs(list) do
    for _, id in ipairs(three) do
      t.ok(not seen[id])
      seen[id] = true
    end
  end
end)
