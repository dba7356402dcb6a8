-- A test that uses all that wobbles (pairs, chance, ids, timers, tasks, two agents side by side) says the same in every process.

local test = require "stoke.test"
local binary = require "binary"

local TEST = [[
local test, stoke = require "stoke.test", require "stoke"

local function words(list)
  local out = {}
  for name, value in pairs(list) do out[#out + 1] = name .. "=" .. value end
  return table.concat(out, " ")
end

test("wobbles", function(t)
  t.model("m", { '{"name": "where", "arguments": {}}', '{"name": "where", "arguments": {}}', "A first.", "A second." })
  local where = stoke.tool { name = "where", description = "Where", params = {}, run = function()
    stoke.sleep(math.random())
    return "Oslo " .. math.random(1000000)
  end }
  local bot = stoke.agent { name = "bot", model = "m", tools = { where } }
  print(words { alpha = 1, beta = 2, gamma = 3, delta = 4, eps = 5, [7] = 6 })
  local function one()
    local result = bot:run "go"
    return ("%s %s %s"):format(result.id, result.messages[2].tool_calls[1].id, result.messages[3].content)
  end
  local both = stoke.all { one, one }
  print(both[1] .. "\n" .. both[2])
  local ticks, channel = 0, stoke.channel(2)
  local timer = stoke.every("tick", 0.25, function() ticks = ticks + 1 end)
  local scope <close> = stoke.scope {}
  local order = scope:map({ 2, 1 }, function(n)
    stoke.sleep(n / 10 + math.random() / 100)
    channel:send(n)
    return ("%.6f"):format(stoke.time.monotonic())
  end, { limit = 2 })
  for i = 1, 2 do t.ok(channel:recv(), i) end
  print(table.concat(order, " "), ticks, os.time(), stoke.rand.int(1, 1000))
  timer:cancel()
  t.fail "shown" -- what a test prints is told when it fails
end)]]

test("ten processes say the same", { programs = true, real = true }, function(t)
  local here <close> = binary.place { ["a_test.lua"] = TEST }
  local first
  for i = 1, 10 do
    local r = here.run("test", "--seed", "7", "a_test.lua")
    local text = (r.stdout .. r.stderr):gsub("%d+ ms", "MS")
    first = first or text
    t.eq(text, first, i)
  end
  t.match(first, "7=6 alpha=1 beta=2 delta=4 eps=5 gamma=3\n[^\n]*run_%x+ call_%x+ Oslo %d+\n")
  t.match(first, "FAIL a_test.lua: wobbles\n     shown\n")
end)
