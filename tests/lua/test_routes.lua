-- Routes: names of the settings that stand for several models at several servers, and routes that a call, an agent or a scope
-- gives.

local test = require "stoke.test"
local config = require "stoke.config"
local endpoints = require "core.endpoint"
local fake = require "fake"
local json = require "stoke.json"
local models = require "stoke.model"
local ollama = require "stoke.ollama"
local routed = require "routed"
local stoke = require "stoke"

local HI = { { role = "user", content = "Hi" } }
local TWO = { gpu = { models = { "big" } }, laptop = { models = { "small" } } }
local FAST = [[models = { fast = { "big@gpu", "small@laptop" } }]]

test("a route of the settings is used like the name of a model; the reply says which one answered, and where", function(t)
  local world <close> = routed(TWO, FAST)
  local reply = ollama.chat { model = "fast", messages = HI }
  t.eq({ reply.message.content, reply.model, reply.endpoint }, { "from gpu", "big", "gpu" })
  reply = ollama.generate { model = "fast", prompt = "Hi" }
  t.eq({ reply.response, reply.endpoint }, { "from gpu", "gpu" })
  local done
  for event in ollama.stream { model = "fast", messages = HI } do done = event end
  t.eq({ done.type, done.reply.model, done.endpoint }, { "done", "big", "gpu" })
  t.eq(ollama.request({ model = "fast", messages = HI }).url, "http://gpu.mem:80/api/chat")
  t.eq(json.decode(ollama.request({ model = "fast", messages = HI }).body).model, "big")
  t.eq(#world.asked, 3)
end)

test("the result of an agent says which model of its route answered; of a plain one it says nothing", function(t)
  local _ <close> = routed(TWO, FAST)
  local result = stoke.agent { model = "fast" }:run "Hi"
  t.eq({ result.text, result.model, result.endpoint, result.rung }, { "from gpu", "big", "gpu", nil })
  for event in stoke.agent { model = "fast" }:stream "Hi" do
    if event.type == "done" then t.eq({ event.result.model, event.result.endpoint }, { "big", "gpu" }) end
  end
  result = stoke.agent { model = "small", endpoint = "laptop" }:run "Hi"
  t.eq({ result.text, result.model, result.endpoint }, { "from laptop", nil, nil })
end)

test("a route may have the name of its model, and leave the model out", function(t)
  local world <close> = routed({ a = { models = { "m" } }, b = { models = { "m" } } }, [[models = { m = { "@b", "@a" } }]])
  local reply = ollama.chat { model = "m", messages = HI }
  t.eq({ reply.endpoint, world.asked[1].model }, { "b", "m" })
  t.eq(ollama.chat({ model = "m@a", messages = HI }).endpoint, "a")
end)

test("a model has another name on a server that says so", function(t)
  local world <close> = routed({ gpu = { models = { "qwen2.5-3b-instruct" }, names = { ["qwen2.5:3b"] = "qwen2.5-3b-instruct" } } },
    [[models = { fast = { "qwen2.5:3b@gpu" } }]])
  local reply = ollama.chat { model = "qwen2.5:3b", endpoint = "gpu", messages = HI }
  t.eq({ reply.model, reply.endpoint }, { "qwen2.5-3b-instruct", nil })
  t.eq(ollama.chat({ model = "fast", messages = HI }).model, "qwen2.5-3b-instruct")
  t.eq(stoke.agent { model = "qwen2.5:3b", endpoint = "gpu" }:run("Hi").text, "from gpu")
  t.eq(#ollama.show("qwen2.5:3b", "gpu").capabilities > 0, true)
  t.eq(ollama.load { model = "qwen2.5:3b", endpoint = "gpu" }.done_reason, "load")
  t.ok(models.window(models.open("qwen2.5:3b", "gpu")))
  for _, asked in ipairs(world.asked) do t.eq(asked.model, "qwen2.5-3b-instruct") end
end)

test("how a model is loaded and sampled goes by the one that answers, not by the route", function(t)
  local world <close> = routed(TWO, [[models = { slow = { "small@laptop" }, fast = { "big@gpu" } },
    profiles = { big = { num_ctx = 4096, temperature = 0.5 }, small = { num_ctx = 2048 }, fast = { top_k = 7 } }]])
  ollama.chat { model = "fast", messages = HI, options = { seed = 3 } }
  ollama.chat { model = "slow", messages = HI }
  t.eq(world.asked[1].body.options, { num_ctx = 4096, temperature = 0.5, seed = 3, top_k = 7 })
  t.eq(world.asked[2].body.options, { num_ctx = 2048 })
  t.eq({ models.window(models.open "fast"), models.window(models.open "slow") }, { 4096, 2048 })
end)

test("a call, an agent, one run and a scope give routes of their own; the nearest counts, an endpoint goes before a scope's",
  function(t)
    local world <close> = routed({ gpu = { models = { "big", "m" } }, laptop = { models = { "small", "m" } } },
      [[models = { fast = { "big@gpu" } }]])
    local bot = stoke.agent { model = "m", route = { "@gpu" } }
    ollama.chat { model = "m", route = { "@laptop" }, messages = HI }
    ollama.chat { route = "small@laptop", messages = HI }
    ollama.chat { route = "fast", messages = HI }
    bot:run "Hi"
    bot:run("Hi", { route = { "@laptop" } })
    bot:session():run("Hi", { route = "small@laptop" })
    stoke.agent { route = "fast" }:run "Hi"
    do
      local _ <close> = stoke.scope { route = { "@laptop" } }
      ollama.chat { model = "m", messages = HI }
      ollama.chat { model = "m", endpoint = "gpu", messages = HI }
      stoke.spawn(function() stoke.agent { model = "m" }:run "Hi" end):await()
      bot:run "Hi"
    end
    local went = {}
    for i, asked in ipairs(world.asked) do went[i] = asked.model .. "@" .. asked.endpoint end
    t.eq(went, { "m@laptop", "small@laptop", "big@gpu", "m@gpu", "m@laptop", "small@laptop", "big@gpu", "m@laptop", "m@gpu",
      "m@laptop", "m@gpu" })
  end)

test("names that nobody knows are told with the one that was meant", function(t)
  local _ <close> = routed(TWO, FAST)
  local function fails(kind, given)
    given.messages = HI
    local err = t.raises(kind, ollama.chat, given)
    return err.message .. " | " .. tostring(err.hint)
  end
  t.eq(fails("usage", { route = "fsat" }), 'ollama.chat: no route is named "fsat" | did you mean "fast"?')
  t.eq(fails("usage", { route = "gpu" }), 'ollama.chat: no route is named "gpu" | gpu is an endpoint: route = { "@gpu" }')
  t.eq(fails("usage", { route = "zzz" }), 'ollama.chat: no route is named "zzz" | known: fast; ' ..
    'models = { zzz = { "MODEL@ENDPOINT", ... } } in stoke.config.lua makes one')
  t.eq(fails("usage", { route = { "big@gpo" } }), "no endpoint is named 'gpo' | did you mean 'gpu'?")
  t.eq(fails("usage", { model = "fast", endpoint = "default" }),
    "the route fast has no server at the endpoint default | its endpoints: gpu, laptop; leave the endpoint of the call out")
  t.eq(fails("http", { model = "fsat", endpoint = "gpu" }),
    [[model 'fsat' not found | did you mean the route "fast" of the settings? otherwise: stoke pull fsat]])
  t.match(fails("argument", { route = {} }), "the route names no model")
  t.match(fails("argument", { route = { "big@" } }), 'route%[1%] must be "model", "model@endpoint" or "@endpoint", got "big@"')
  t.match(fails("argument", { route = { "@gpu" } }), "model is missing: the route says where it is asked, and names none")
  t.match(fails("argument", { route = { "m@one", nil, "m@two" } }), "route must be a list without names or gaps")
  t.match(fails("argument", { route = 5 }), "route must be the name of one, or a list of models, got")
end)

test("auto_pull of a call along a route pulls the model of the place where it is missing", function(t)
  local world <close> = routed({ gpu = { models = { "other" } }, laptop = { models = { "small" } } }, [[auto_pull = true,
    models = { fast = { "qwen2.5:0.5b@gpu" } }]])
  local reply = ollama.chat { model = "fast", messages = HI }
  t.eq({ reply.model, reply.endpoint }, { "qwen2.5:0.5b", "gpu" })
  local names = {}
  for _, model in ipairs(ollama.tags("laptop").models) do names[#names + 1] = model.name end
  t.eq(#names, 1)
  t.eq(#world.asked, 1)
end)

test("a model that its server does not have is told with the one that was meant", function(t)
  local _ <close> = routed({ gpu = { models = { "qwen2.5:3b", "llama3.2", "gemma3:1b" } }, laptop = {} }, FAST)
  local function hint(name)
    local err = t.raises("http", ollama.chat, { model = name, endpoint = "gpu", messages = HI })
    t.raises("http", function()
      for _ in ollama.stream { model = name, endpoint = "gpu", messages = HI } do t.ok(false, "nothing is said") end
    end)
    return err.hint
  end
  t.eq(hint "qwen25:3b", "did you mean qwen2.5:3b? otherwise: stoke pull qwen25:3b")
  t.eq(hint "qwen2.5", "did you mean qwen2.5:3b? otherwise: stoke pull qwen2.5") -- the tag was left out
  t.eq(hint "lama3.2", "did you mean llama3.2? otherwise: stoke pull lama3.2")
  t.eq(hint "lama3.2:latest", "did you mean llama3.2? otherwise: stoke pull lama3.2:latest")
  t.eq(hint "fats", 'did you mean the route "fast" of the settings? otherwise: stoke pull fats')
  t.eq(hint "nothing-like-it:70b", "stoke pull nothing-like-it:70b")
end)

test("for that its list is asked for, once for many such calls; an answer that is no list changes nothing", function(t)
  for _, list in ipairs { '{"models":[{"name":"mine:1b"}]}', '{"models":[{"name":7},5]}', '{"models":5}', "oops" } do
    local server <close> = fake(function(req, res)
      if req.path == "/api/tags" then return res:reply(200, {}, list) end
      res:reply(404, {}, [[{"error":"model 'mone:1b' not found"}]])
    end)
    local hints = {}
    for i = 1, 3 do
      hints[i] = t.raises("http", ollama.chat, { model = "mone:1b", endpoint = server.url, messages = HI }).hint
    end
    local hint = list:find "mine" and "did you mean mine:1b? otherwise: stoke pull mone:1b" or "stoke pull mone:1b"
    t.eq(hints, { hint, hint, hint })
    t.eq(#server.requests, 4, list)
  end
end)

test("a route that lists another route: its name is taken for a model's, and the error says so", function(t)
  local _ <close> = routed(TWO, [[models = { fast = { "slow@gpu" }, slow = { "big@gpu" } }]])
  local err = t.raises("http", ollama.chat, { model = "fast", messages = HI })
  t.eq(err.message, "model 'slow' not found (slow at gpu, along the route fast)")
  t.eq(err.hint, "slow is the name of a route, and a route lists models: put those of slow in its place (or stoke pull slow)")
end)

test("settings with a route that cannot be are refused when they are read, with place and mend", function(t)
  local function load(text)
    return t.raises("usage", config.load, { getenv = function() return nil end, read = function(path)
      return path == "./stoke.config.lua" and text or nil
    end })
  end
  local _ <close> = setmetatable({}, { __close = function()
    config.load { getenv = function() return nil end, read = function() return nil end }
  end })
  local err = load [[return { endpoints = { gpu = { url = "http://10.0.0.7" } }, models = { fast = { "m@gpo" } } }]]
  t.eq(err.message, './stoke.config.lua: models.fast[1] names the endpoint "gpo", and there is none')
  t.eq(err.hint, 'did you mean "gpu"?')
  err = load [[return { endpoints = { gpu = { url = "http://10.0.0.7" } }, pool = { slots = { m = 2, ["m@gpo"] = 2 } } }]]
  t.eq(err.message, './stoke.config.lua: pool.slots["m@gpo"] names the endpoint "gpo", and there is none')
  t.eq(err.hint, 'did you mean "gpu"?')
  t.match(load([[return { models = { fast = {} } }]]).message, "models.fast wants a list of models.*it names no model")
  t.match(load([[return { models = { m = { num_ctx = 8192 } } }]]).message, "num_ctx is no setting of a route.*profiles")
  t.match(load([[return { models = { m = { "m", num_ctx = 8192 } } }]]).message, "num_ctx is no setting of a route.*profiles")
  t.match(load([[return { models = { m = { "m", fallback = {} } } }]]).message, "its fallback must be a list of models")
  t.match(load([[return { models = { m = { 7 } } }]]).message, 'item 1 must be "model", "model@endpoint" or "@endpoint"')
  t.match(load([[return { pool = { order = "fifio" } }]]).hint, 'did you mean "fifo"')
  t.match(load([[return { pool = { slots = { m = 0 } } }]]).message, "pool.slots wants.*of m it has 0")
  t.match(load([[return { pool = { power = { battery = { over = 3 } } } }]]).message, "over is not known there")
  t.match(load([[return { pool = { power = { temperature = { below = 70 } } } }]]).message, "above is missing")
  t.match(load([[return { pool = { power = { battery = { above = 40 } } } }]]).message, "below is missing")
  t.match(load([[return { pool = { power = { temperature = { above = 70, below = 80 } } } }]]).message,
    "above must be more than below")
end)

test("an error along a route says which model and which server it came from", function(t)
  local _ <close> = routed({ gpu = { models = { "other" } } }, [[models = { fast = { "big@gpu" } }]])
  local err = t.raises("http", ollama.chat, { model = "fast", messages = HI })
  t.eq({ err.message, err.model, err.endpoint, err.hint },
    { "model 'big' not found (big at gpu, along the route fast)", "big", "gpu", "stoke pull big" })
  err = t.raises("http", function() for _ in ollama.stream { model = "fast", messages = HI } do end end) -- luacheck: ignore
  t.eq(err.message, "model 'big' not found (big at gpu, along the route fast)")
end)

test("a route leads only where the policy lets it", function(t)
  local world <close> = routed(TWO, FAST)
  local _ <close> = setmetatable({}, { __close = function() stoke.policy(nil) end })
  stoke.policy { deny = { host = { "gpu.mem" } } }
  t.eq(ollama.chat({ model = "fast", messages = HI }).endpoint, "laptop")
  stoke.policy { deny = { host = { "*.mem" } } }
  t.match(t.raises("denied", ollama.chat, { model = "fast", messages = HI }).message, "denies the host gpu.mem")
  t.eq(#world.asked, 1)
end)

test("a route is the same target each time, and one that changes with the settings", function(t)
  local _ <close> = routed(TWO, FAST)
  local target = models.open "fast"
  t.ok(rawequal(target, models.open "fast"))
  t.eq({ #target.candidates, target.candidates[2].endpoint.name, target.candidates[2].key }, { 2, "laptop",
    "http://laptop.mem:80 small:latest" })
  t.ok(rawequal(target.candidates[1], models.open("big", "gpu")))
  endpoints.changed()
  t.ok(not rawequal(target, models.open "fast"))
end)
