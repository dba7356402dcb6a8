-- D11: modules belong to the process: who loads one first is nothing a run depends on.

local test = require "stoke.test"
local stoke = require "stoke"
local fs = require "stoke.fs"
local journal = require "core.journal"
local runs = require "runs"

-- A module of its own name in a folder where require looks.
local count = 0
local function module(t, text)
  count = count + 1
  local name = ("law_d11_%d_%d"):format(os.time(), count)
  local folder = t.tmp()
  fs.write(("%s/%s.lua"):format(folder, name), text)
  package.path = ("%s/?.lua;%s"):format(folder, package.path)
  return name
end

local function outside(keys)
  local list = {}
  for _, key in ipairs(keys) do
    if not key:find("/module ", 1, true) then list[#list + 1] = key end
  end
  return list
end

test("the keys of a run are the same whether it loads a module or finds it loaded", function(t)
  local name = module(t, "local at = os.time() return { at = at }")
  local function f()
    local scope <close> = stoke.scope {}
    local list = scope:map({ 1, 2 }, function(i)
      local found = require(name)
      runs.ask("item " .. i)
      return found.at > 0
    end)
    return list[1] and list[2], os.time() > 0
  end
  local loads, finds = runs.record(f), runs.record(f)
  t.eq(outside(runs.keys(loads)), outside(runs.keys(finds)))
  t.ok(#loads.rows > #finds.rows)
  for _, tape in ipairs { loads, finds } do
    for _ = 1, 2 do
      local results = journal.replay(tape, f)
      t.eq({ results.err, results[1] }, { nil, true })
      package.loaded[name] = nil
    end
  end
end)

test("tasks that wait for one loading go on in the same order when it is loaded already", { real = true }, function(t)
  local name = module(t, 'stoke = nil; local time = require "stoke.time"; time.sleep(0.02); return { word = "m" }')
  local function f()
    local order = {}
    local scope <close> = stoke.scope {}
    for i = 1, 3 do
      scope:spawn(function()
        if i == 2 then stoke.sleep(0.01) end
        order[#order + 1] = i .. require(name).word
        stoke.sleep(0.001 * (3 - i))
        order[#order + 1] = i
      end)
    end
    scope:wait()
    return table.concat(order, " ")
  end
  local first, second = runs.twice(f)
  t.eq(first.err, nil)
  t.eq(second, first)
end)

test("a module that is not there fails the same way in the replay", function(t)
  local first, second = runs.twice(function()
    local _, err = stoke.try(require, "law_d11_nowhere")
    return err.kind, err.message
  end)
  t.eq(first[1], "script")
  t.eq(second, first)
end)
