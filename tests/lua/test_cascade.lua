-- stoke.cascade: a small model first, a large one where the small one's answer will not do.

local test = require "stoke.test"
local routed = require "routed"
local stoke = require "stoke"

-- Two servers with one model each, and an agent for each; small and large say what they are told to.
local function pair(small, large, more)
  local world = routed { laptop = { models = { "small" }, script = small, tokens_per_second = 100 },
    gpu = { models = { "large" }, script = large, tokens_per_second = 100 } }
  local options = more or {}
  options.small, options.large = options.small or {}, options.large or {}
  options.small.model, options.large.model = "small@laptop", "large@gpu"
  return world, stoke.agent(options.small), stoke.agent(options.large)
end

local function says(text) return function() return text end end

test("an answer that will do is taken; one that a rule refuses goes on, with why and what all of it has cost", function(t)
  local text = "a good long answer"
  local world, small, large = pair(function() return text end, says "from large")
  local _ <close> = world
  local careful = stoke.cascade { small, large, escalate = function(result) return #result.text < 10 and "too short" end }
  local result = careful:run "Hi"
  t.eq({ result.text, result.rung, result.tried, result.usage.calls }, { "a good long answer", 1, nil, 1 })
  text = "short"
  result = careful:run "Hi"
  t.eq({ result.text, result.rung, result.tried, result.usage.calls }, { "from large", 2, { { rung = 1, why = "too short" } }, 2 })
  t.eq(careful:state()[1].passed_on, 0.5)
end)

test("an answer that does not fit its schema goes on, and so does a model that fails; the last one's error is raised", function(t)
  local shape = { number = "integer" }
  local world, small, large = pair(says "no", says '{"number":3}',
    { small = { output = shape, repair = 0 }, large = { output = shape } })
  local _ <close> = world
  local result = stoke.cascade({ small, large }):run "Hi"
  t.eq({ result.output.number, result.rung, result.tried[1].why }, { 3, 2, "invalid_output" })
  local gone = stoke.agent { model = "gone@laptop" }
  t.eq(stoke.cascade({ gone, large }):run("Hi").tried[1].why, "http")
  t.raises("http", function() stoke.cascade({ gone, gone }):run "Hi" end)
end)

test("what no other model mends is raised at once", function(t)
  local world, small, large = pair(says(("word "):rep(400)), says "from large")
  local _ <close> = world
  local careful = stoke.cascade { small, large }
  t.raises("deadline", function()
    local _ <close> = stoke.scope { deadline = 1 }
    careful:run "Hi"
  end)
  t.raises("script", function() stoke.cascade({ small, large, escalate = function() error "bug" end }):run "Hi" end)
  t.eq(#world.asked, 2)
end)

test("an answer with a small margin goes on", function(t)
  local world, small, large = pair(says "an answer of some words", says "from large")
  local _ <close> = world
  local margin = small:run("Hi", { logprobs = true }).margin
  t.ok(margin and margin > 0, margin)
  t.eq(stoke.cascade({ small, large, margin = margin + 0.01 }):run("Hi").rung, 2)
  t.eq(stoke.cascade({ small, large, margin = margin - 0.01 }):run("Hi").rung, 1)
  t.eq({ world.asked[1].body.top_logprobs, small:run("Hi").margin }, { 2, nil })
end)

test("a small model that is asked in vain is passed over, and tried again now and then", function(t)
  local good = false
  local world, small, large = pair(function() return good and "good" or ("bad "):rep(100) end, says(("large "):rep(100)))
  local _ <close> = world
  local careful = stoke.cascade { small, large, escalate = function(result) return result.text:find "bad" ~= nil end }
  local asked = 0
  for _ = 1, 40 do asked = asked + #(careful:run("Hi").tried or {}) end
  t.ok(asked <= 12, asked)
  good = true
  for _ = 1, 220 do careful:run "Hi" end
  t.eq(careful:run("Hi").rung, 1)
end)

test("the next model is loaded ahead where it is often needed and takes nobody's memory", function(t)
  local world, small, large = pair(says(("word "):rep(50)), says(("large "):rep(200)))
  local _ <close> = world
  local runs = 0
  local careful = stoke.cascade { small, large, escalate = function()
    runs = runs + 1
    return runs % 3 ~= 0
  end }
  for _ = 1, 8 do careful:run "Hi" end
  stoke.ollama.unload("large", "gpu")
  stoke.sleep(1)
  t.eq(#stoke.ollama.ps("gpu").models, 0)
  local scope <close> = stoke.scope {}
  scope:spawn(function() careful:run "Hi" end)
  stoke.sleep(0.2)
  t.eq({ #world.asked, #stoke.ollama.ps("gpu").models }, { 8 + 6 + 1, 1 })
end)

test("what it is given is checked", function(t)
  local bot = stoke.agent { model = "m" }
  t.match(t.raises("argument", stoke.cascade, { bot }).message, "two agents at least, the smallest first; got 1")
  t.match(t.raises("argument", stoke.cascade, { bot, "m" }).message, "%[2%] must be an agent .* got")
  t.match(t.raises("argument", stoke.cascade, { bot, bot, esclate = print }).message, "escalate")
  t.match(t.raises("argument", stoke.cascade, { bot, bot, escalate = 1 }).message, "stoke.cascade: escalate")
end)

-- The events of a stream in short: { type, text or rung or nil }, and the result.
local function events_of(cascade, question)
  local list, result = {}, nil
  for event in cascade:stream(question) do
    list[#list + 1] = { event.type, event.text or event.rung or event.name }
    if event.type == "done" then result = event.result end
  end
  return list, result
end

test("a stream tells the text of the answer that is taken, and of no other", function(t)
  local text = "a good long answer"
  local world, small, large = pair(function() return text end, says "from large")
  local _ <close> = world
  local careful = stoke.cascade { small, large, escalate = function(result) return #result.text < 10 and "too short" end }
  local list, result = events_of(careful, "Hi")
  t.eq(list, { { "text", "a good long answer" }, { "usage" }, { "done" } })
  t.eq({ result.text, result.rung, result.usage.calls }, { "a good long answer", 1, 1 })
  text = "short"
  list, result = events_of(careful, "Hi")
  t.eq({ list[1], list[#list] }, { { "escalated", 2 }, { "done" } })
  local said = {}
  for i = 2, #list - 2 do
    t.eq(list[i][1], "text")
    said[#said + 1] = list[i][2]
  end
  t.eq({ table.concat(said), #said > 1 }, { "from large", true }) -- as it is written
  t.eq({ result.rung, result.tried, result.usage.calls }, { 2, { { rung = 1, why = "too short" } }, 2 })
end)

test("a stream tells at once what the small model does, also where its answer will not do", function(t)
  local tool = stoke.tool { name = "look", description = "Look", params = {}, run = function() return "seen" end }
  local function script(req)
    local last = req.messages[#req.messages]
    return last.role == "tool" and "so so" or { tool = "look", args = {} }
  end
  local world, small, large = pair(script, says "from large", { small = { tools = { tool } } })
  local _ <close> = world
  local list = events_of(stoke.cascade { small, large, escalate = function() return true end }, "Hi")
  t.eq({ list[1], list[2][1], list[3] }, { { "tool_call", "look" }, "tool_result", { "escalated", 2 } })
end)

test("a stream raises what the last model raises, and may be left", function(t)
  local world, small, large = pair(says "short", says(("word "):rep(200)))
  local _ <close> = world
  local gone = stoke.agent { model = "gone@laptop" }
  t.raises("http", function() for _ in stoke.cascade({ gone, gone }):stream "Hi" do end end)
  for event in stoke.cascade({ small, large, escalate = function() return true end }):stream "Hi" do
    if event.type == "text" then break end
  end
  stoke.sleep(1)
  t.eq(#world.asked, 2)
  for _, server in ipairs(stoke.pool().servers) do
    for _, lane in ipairs(server.lanes) do t.eq(lane.busy, 0) end
  end
end)
