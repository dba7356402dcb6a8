-- A model that does not come to an end: the same calls, calls in turn, handoffs to and fro, more than the budget.

local say = require "tests.hostile.model.say"
local stoke = require "stoke"

local list = {}
local function add(name, script, expect, more)
  local case = { name = name, script = script, expect = expect }
  for key, value in pairs(more or {}) do case[key] = value end
  list[#list + 1] = case
end

--- Calls in turn: cities, a list for several in one answer.
local function turn(...)
  local answers = { ... }
  return function(_, n)
    local cities = answers[(n - 1) % #answers + 1]
    local calls = {}
    for i, city in ipairs(type(cities) == "table" and cities or { cities }) do calls[i] = { "get_weather", { city = city } } end
    return say.scripted(table.unpack(calls))
  end
end

add("the same call", turn "Oslo", "loop", { requests = 3, says = "3 times" })
add("two calls in turn", turn("Oslo", "Rome"), "loop", { requests = 5 })
add("three calls in turn", turn("Oslo", "Rome", "Bern"), "loop", { requests = 7 })
add("two calls at once", turn { "Oslo", "Rome" }, "loop", { requests = 3 })
add("twice the same call in each answer", turn { "Oslo", "Oslo" }, "loop", { requests = 3 })
add("the same call with its arguments in another order", function(_, n)
  return { tool_calls = { { name = "add", arguments = n % 2 == 0 and '{"a":1,"b":2}' or '{"b":2,"a":1}' } } }
end, "loop", { requests = 3 })
add("the same call under other names", function(_, n)
  return say.scripted { ({ "get_weather", "getWeather", "functions.get_weather" })[n] or "get_weather", { city = "Oslo" } }
end, "loop", { requests = 3, repairs = 2 })
add("another call each time", function(_, n) return say.scripted { "get_weather", { city = "City " .. n } } end, "max_steps",
  { requests = 12, says = "12 steps" })
add("unknown tools, another each time", function(_, n) return say.scripted { "tool_" .. n } end, "max_steps", { requests = 12,
  repairs = 12 })
add("wrong arguments, others each time", function(_, n) return say.scripted { "add", { a = "x" .. n } } end, "max_steps",
  { requests = 12, repairs = 12 })
add("nothing and calls in turn", function(_, n) return n % 2 == 0 and "" or say.scripted { "get_weather",
  { city = "City " .. n } } end,
  "invalid_output", { repairs = 2 })
add("errors and calls in turn", function(_, n)
  if n % 2 == 0 then return { error = "error parsing tool call: raw='', err=EOF", status = 500 } end
  return say.scripted { "get_weather", { city = "City " .. n } }
end, "invalid_output", { repairs = 2 })
add("two, then an answer", function(_, n) return n < 3 and say.scripted { "get_weather",
  { city = "Oslo" } } or "It rains." end, "value",
  { text = "It rains.", requests = 3, repairs = 0 })
add("a result that changes each time", nil, "max_steps", { requests = 12, with = function(env)
  local n = 0
  return env.agent { tools = { stoke.tool { name = "odd", run = function() n = n + 1 return n end } } }
end, script = function() return say.scripted { "odd" } end })
add("more tokens than the budget", nil, "budget", { with = function(env)
  return env.agent { tools = env.tools, budget = { tokens = 600 } }
end, differs = "the model has taught what its words weigh", script = function(_, n) return say.scripted { "get_weather",
  { city = "City " .. n } } end })
add("more calls than the budget", nil, "budget", { with = function(env)
  return env.agent { tools = env.tools, budget = { calls = 3 } }
end, script = function(_, n) return say.scripted { "get_weather", { city = "City " .. n } } end, requests = 3 })
add("longer than the deadline", nil, "deadline", { with = function(env)
  return env.agent { tools = env.tools, deadline = 5 }
end, script = function(_, n) return { tool_calls = { { name = "get_weather", arguments = { city = "City " .. n } } },
  delay = 2 } end })
add("one step is all there is", nil, "max_steps", { with = function(env)
  return env.agent { tools = env.tools, max_steps = 1 }
end, script = turn "Oslo", requests = 1 })

--- Two agents that know each other. A definition made later takes the place of the first, as when a file is read again.
local function pair(env)
  local billing = env.agent { name = "billing" }
  local desk = env.agent { name = "desk", tools = env.tools, handoffs = { billing } }
  billing.definition = env.agent { name = "billing", tools = env.tools, handoffs = { desk } }.definition
  return desk
end
local function to(...)
  local calls = {}
  for i, name in ipairs { ... } do calls[i] = { "transfer_to_" .. name } end
  return say.scripted(table.unpack(calls))
end

add("handoffs to and fro", nil, "max_steps loop", { with = pair,
  script = function(_, n) return n % 2 == 1 and to "billing" or to "desk" end })
add("a handoff to itself", nil, "max_steps loop value", { with = function(env)
  local desk = env.agent { name = "desk" }
  desk.definition = env.agent { name = "desk", tools = env.tools, handoffs = { desk } }.definition
  return desk
end, script = function() return to "desk" end })
add("a handoff to the agent it comes from", nil, "value", { with = pair, script = function(_, n)
  return ({ to "billing", to "desk", "It rains." })[n]
end, text = "It rains.", requests = 3 })
add("a handoff that is not there any more", nil, "value", { with = pair, script = { to "billing", to "billing" },
  requests = 3, repairs = 1 })
add("two handoffs at once", nil, "value", { with = pair, script = { to("billing", "billing") }, requests = 2 })
add("a hundred handoffs at once", nil, "value", { with = pair, script = { (function()
  local names = {}
  for i = 1, 100 do names[i] = "billing" end
  return to(table.unpack(names))
end)() }, requests = 2 })
add("calls after a handoff in the same answer", nil, "value", { with = pair, requests = 2, seen = "get_weather Oslo",
  script = { say.scripted({ "transfer_to_billing" }, { "get_weather", { city = "Oslo" } }) } })
add("a handoff by its bare name", nil, "value", { with = pair, script = { say.scripted { "billing" } } })
add("a handoff in another case", nil, "value", { with = pair, script = { say.scripted { "Transfer_To_Billing" } },
  requests = 2, repairs = 1 })
add("a handoff with arguments", nil, "value", { with = pair, script = { say.scripted { "transfer_to_billing", { reason = "x",
  to = { 1 } } } },
  requests = 2, repairs = 0 })
add("nothing after a handoff", nil, "invalid_output", { with = pair, script = function(_,
  n) return n == 1 and to "billing" or "" end })

return list
