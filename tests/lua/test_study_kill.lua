-- A study as a durable run: killed at any moment it goes on, asks again only what had not been answered, and ends the same.

local stoke = require "stoke"
local test = require "stoke.test"
local durable = require "durable"

local SCRIPT = [[
local stoke = require "stoke"
stoke.main(function()
  local study <close> = stoke.study { model = "llama3.2:3b", seed = 5, file = "bread.study" }
  study:populate { size = 4, about = "people of Leeds", quotas = { gender = { female = 0.5, male = 0.5 } } }
  print "made"
  local groups, group_of = study:assign { "A", "B" }
  study:ask("all", function(person) return "What do you think of advert " .. group_of[person.id] .. "?" end)
  print "asked"
  study:discuss({ groups.A, groups.B }, "And now?", { rounds = 1 })
  print "talked"
  local found = study:extract({ price = "number", buys = "boolean" })
  print(found:csv())
  print(study:transcript())
  local report = study:report()
  print(report.asked + report.kept)
end)
]]

local SIM = [[
return function(request)
  local last = request.messages[#request.messages].content
  if last:find "^Invent" then return { json = { job = "clerk", text = "Walks to work in any weather." } } end
  if last:find "does not hold" then return { json = { turn = 0, value = 0 } } end
  if request.format and request.format.properties.answer then return { json = { answer = "true" } } end
  if last:find "Fill in" then
    return { json = { buys = { turn = 1, value = true }, price = { turn = 1, value = #last % 2 == 0 and 3 or 4 } } }
  end
  return { text = "I pay 3, " .. #last .. ".", delay = 0.05 }
end
]]

local function case_of(t)
  local case = durable.new(t, SCRIPT)
  case:write(SIM, "sim.lua")
  return case
end

test("study: a durable run of it that is killed goes on where it was, and ends as one that was not", { real = true }, function(t)
  local expected, shown
  local function whole()
    local status, out, err = case_of(t):run("whole", {}, nil, "--sim=sim.lua")
    t.eq(status.code, 0, err)
    expected = out
  end
  local function killed(word)
    local case = case_of(t)
    case:run("bread", {}, durable.shows(word), "--sim=sim.lua")
    t.eq(case.kills, 1, word)
    local status, _, err = case:run("bread", {}, nil, "--sim=sim.lua")
    t.eq(status.code, 0, err)
    return table.concat(case.shown)
  end
  do
    local scope <close> = stoke.scope()
    scope:spawn(whole)
    shown = scope:map({ "made", "asked", "talked" }, killed)
  end
  for i = 1, 3 do t.eq(shown[i], expected) end
end)
