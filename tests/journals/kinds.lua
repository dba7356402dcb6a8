-- One small run of each kind, for the journals that later versions must be able to replay. Run by make.lua.
-- A new kind is added below, with its name in KINDS; what is here stays as it is.

local stoke = require "stoke"
local db = require "stoke.db"

local KINDS = { "agent", "stream", "race", "parent", "signal", "database", "error" }

local flows = {}
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }
local teller = stoke.agent { name = "teller", model = "qwen2.5:3b" }

flows.agent = stoke.workflow("agent", function(city) return guide:run("Umbrella in " .. city .. "?").text end)

flows.stream = stoke.workflow("stream", function()
  local parts = {}
  for event in teller:stream "Tell me a story." do
    if event.type == "text" then parts[#parts + 1] = event.text end
  end
  print(table.concat(parts))
  return parts
end)

flows.race = stoke.workflow("race", function()
  local which, value = stoke.race { function() stoke.sleep(5) return "slow" end,
    function() stoke.sleep(0.002) return "fast" .. math.random(1000) end }
  local late, why = stoke.try(stoke.timeout, 0.002, function() stoke.sleep(5) end)
  local scope <close> = stoke.scope {}
  local squares = scope:map({ 1, 2, 3 }, function(n)
    stoke.sleep(0.001 * (4 - n))
    return n * n
  end)
  return { which = which, value = value, late = late == nil, why = why.kind, squares = squares }
end)

local child = stoke.workflow("child", function(n) return stoke.step("double", function() return n * 2 end) end)
flows.parent = stoke.workflow("parent", function(n)
  local first, second = child:start(n, { id = "child" }), child:start(n + 1)
  return { first:await(), second:await() }
end)

flows.signal = stoke.workflow("signal", function()
  local paid = stoke.signal "paid"
  local none, why = stoke.signal("paid", { timeout = 0.005 })
  return { paid = paid, none = none == nil, why = why, patched = stoke.patched "later" }
end)

flows.database = stoke.workflow("database", function()
  local shop <close> = db.open "shop.db"
  shop:exec "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, item TEXT, bytes BLOB)"
  shop:transaction(function(tx) tx:exec("INSERT INTO orders (item, bytes) VALUES (?, ?)", "lamp", "\0\xFF") end)
  return shop:query "SELECT * FROM orders"
end)

flows.error = stoke.workflow("error", function()
  local _, err = stoke.try(stoke.step, "broken", function() stoke.raise("tool", "the bank was closed") end)
  stoke.sleep(0.001)
  stoke.raise("limit", "enough: " .. err.message)
end)

-- Left in the middle of its life.
flows.waits = stoke.workflow("waits", function()
  local first = stoke.step("ask", function() return "asked" end)
  return { first, stoke.signal "go" }
end)

stoke.main(function()
  for _, kind in ipairs(KINDS) do
    local run = flows[kind]:start(kind == "agent" and "Oslo" or 21, { id = kind })
    if kind == "signal" then run:signal("paid", { amount = 12.5 }) end
    stoke.try(run.await, run)
  end
  local waits = flows.waits:start(1, { id = "waits" })
  while waits:status().state ~= "waiting" do stoke.sleep(0.005) end
  print "ready"
end)
