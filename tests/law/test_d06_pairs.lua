-- D6: in a journalled run pairs and next give sorted keys; where there is no order to give they say so.

local test = require "stoke.test"
local stoke = require "stoke"
local journal = require "core.journal"
local ordered = require "core.ordered"
local runs = require "runs"

-- Tests have sorted keys anyhow; this is how it is elsewhere.
local function unsorted(f)
  ordered.switch(false)
  local _ <close> = setmetatable({}, { __close = function() ordered.switch(true) end })
  return f()
end

local WORDS = { alpha = 1, beta = 1, gamma = 1, delta = 1, eps = 1, zeta = 1, [3] = 1, [1] = 1, [true] = 1 }

local function keys()
  local list, key = {}, nil
  for name in pairs(WORDS) do list[#list + 1] = tostring(name) end
  repeat
    key = next(WORDS, key)
    list[#list + 1] = tostring(key)
  until key == nil
  return table.concat(list, " ")
end

test("keys come sorted in a run, and in the tasks of it", function(t)
  local sorted = "1 3 alpha beta delta eps gamma zeta true"
  local _, got = unsorted(function()
    return runs.record(function() return keys() .. "; " .. stoke.spawn(keys):await() end)
  end)
  t.eq(got, ("%s %s nil; %s %s nil"):format(sorted, sorted, sorted, sorted))
end)

test("a table with two objects as keys has no order, and a run says so; with one it has", function(t)
  local _, results = journal.record("run", function()
    for _ in pairs { [{}] = 1, a = 2 } do runs.asked = {} end
    for _ in pairs { [{}] = 1, [print] = 2, a = 3 } do runs.asked = {} end
  end)
  t.eq(results.err.kind, "argument")
  t.match(results.err.message, "^pairs: 2 keys of the table are objects, which have no order that a journalled run could repeat")
  t.eq(unsorted(function()
    local count = 0
    for _ in pairs { [{}] = 1, [print] = 2 } do count = count + 1 end
    return count
  end), 2)
end)
