-- What is asked, or said, when a question has failed: the rungs of an agent and of a route.

local test = require "stoke.test"
local ollama = require "stoke.ollama"
local routed = require "routed"
local stoke = require "stoke"

local HI = { { role = "user", content = "Hi" } }

-- A server whose model is there and one that answers 404, under "gpu" and "laptop".
local function world(settings)
  return routed({ gpu = { models = { "other" } }, laptop = { models = { "small" } } }, settings)
end

test("an agent whose model fails asks the next rung; its result says which one, and who listens is told", function(t)
  local _ <close> = world()
  local bot = stoke.agent { model = "big@gpu", fallback = { "small@laptop" } }
  local result = bot:run "Hi"
  t.eq({ result.text, result.rung, result.model, result.usage.calls }, { "from laptop", 2, "small", 1 })
  local seen = {}
  for event in bot:stream "Hi" do
    if event.type == "fallback" then seen = { event.rung, event.model, event.err.kind } end
    if event.type == "done" then t.eq(event.result.rung, 2) end
  end
  t.eq(seen, { 2, "small@laptop", "http" })
  local chat = bot:session()
  chat:run "one"
  t.eq(chat:run("two").rung, 2)
end)

test("a name alone is a model at the agent's own endpoint, unless it is a route", function(t)
  local w <close> = world [[models = { safe = { "small@laptop" } }]]
  local function answers(fallback)
    return stoke.agent({ model = "big", endpoint = w.gpu.url, fallback = { fallback } }):run("Hi").text
  end
  t.eq(answers "other", "from gpu")
  t.eq(answers "safe", "from laptop")
  t.eq(answers "small@laptop", "from laptop")
  t.eq(answers { model = "small", endpoint = "laptop" }, "from laptop")
end)

test("a rung may be a text, or a function of the error; nil from it goes on to the next", function(t)
  local _ <close> = world()
  local said
  local bot = stoke.agent { model = "big@gpu", fallback = { "also@gpu", function(err) said = err.message end,
    { text = "Please ask later." } } }
  local result = bot:run "Hi"
  t.eq({ result.text, result.rung, result.model, result.steps }, { "Please ask later.", 4, nil, 1 })
  t.match(said, "also")
  bot = stoke.agent { model = "big@gpu", fallback = { function(err) return "down: " .. err.kind end } }
  t.eq(bot:run("Hi").text, "down: http")
end)

test("where every rung fails the last error is raised, with those before it", function(t)
  local _ <close> = world()
  local err = t.raises("http", function() stoke.agent { model = "big@gpu", fallback = { "also@gpu" } }:run "Hi" end)
  t.match(err.message, "'also' not found")
  t.match(err.suppressed[1].message, "'big' not found")
end)

test("what no other model mends takes no rung: a bug, a budget, a deadline", function(t)
  local _ <close> = routed({ gpu = { models = { "m" }, tokens_per_second = 1 } })
  local function fails(kind, more)
    more.model, more.fallback = "m@gpu", { { text = "no" } }
    t.raises(kind, function() stoke.agent(more):run "Hi" end)
  end
  fails("deadline", { deadline = 0.5 })
  fails("budget", { budget = { tokens = 1 } })
  fails("script", { instructions = function() error "bug" end })
end)

test("an answer that had begun takes no rung", function(t)
  local _ <close> = routed { gpu = { models = { "m" },
    script = function() return { text = "a b c d", fault = "silent-end" } end } }
  local bot = stoke.agent { model = "m@gpu", fallback = { { text = "no" } } }
  local err = t.raises("incomplete", function() for _ in bot:stream "Hi" do end end) -- luacheck: ignore
  t.ok(err.work)
end)

test("a route of the settings has rungs, for agents and for calls; the reply has the rung", function(t)
  local _ <close> = world [[models = { fast = { "big@gpu", fallback = { "small@laptop" } },
    told = { "big@gpu", fallback = { { text = "Later." } } } }]]
  local result = stoke.agent { model = "fast" }:run "Hi"
  t.eq({ result.text, result.rung }, { "from laptop", 2 })
  local reply = ollama.chat { model = "fast", messages = HI }
  t.eq({ reply.message.content, reply.rung, reply.model }, { "from laptop", 2, "small" })
  reply = ollama.generate { model = "told", prompt = "Hi" }
  t.eq({ reply.response, reply.rung, reply.usage.calls, reply.model }, { "Later.", 2, 0, nil })
  local events = {}
  for event in ollama.stream { model = "told", messages = HI } do events[#events + 1] = event.text or event.type end
  t.eq(events, { "Later.", "done" })
  local text = {}
  for piece in ollama.text { model = "fast", messages = HI } do text[#text + 1] = piece end
  t.eq(table.concat(text), "from laptop")
end)

test("a server that is down is passed over along a route, and a call that would miss its deadline takes the rung", function(t)
  local w <close> = routed({ gpu = { models = { "m" } }, laptop = { models = { "m" } } },
    [[models = { m = { "@gpu", "@laptop" } }]])
  w.gpu:close()
  t.eq(ollama.chat({ model = "m", messages = HI }).endpoint, "laptop")
end)

test("an interactive question that would miss its deadline is refused with the estimate, or takes the rung", function(t)
  local _ <close> = routed({ gpu = { models = { "m" }, slots = 1, tokens_per_second = 10,
    script = function() return ("word "):rep(100) end } }, "pool = { slots = 1 }")
  require "core.gate.pool".configure { slots = 1 }
  local _ <close> = setmetatable({}, { __close = function() require "core.gate.pool".configure {} end })
  local scope <close> = stoke.scope {}
  for _ = 1, 6 do scope:spawn(function() ollama.generate { model = "m@gpu", prompt = "Hi" } end) end
  stoke.sleep(25)
  local err = t.raises("overloaded", ollama.generate, { model = "m@gpu", prompt = "Hi", class = "interactive", deadline = 3 })
  t.match(err.message, "would miss its deadline by")
  local bot = stoke.agent { model = "m@gpu", class = "interactive", deadline = 3, fallback = { { text = "Busy." } } }
  t.eq(bot:run("Hi").text, "Busy.")
  scope:cancel()
end)

test("fallbacks that cannot be are refused where they are given", function(t)
  local function fails(fallback)
    return t.raises("argument", stoke.agent, { name = "a", model = "m", fallback = fallback }).message
  end
  t.match(fails("small"), "stoke.agent a: fallback must be a list, as in .* got")
  t.match(fails({}), "got an empty table")
  t.match(fails({ 5 }), "fallback%[1%] must be a model's name")
  t.match(fails({ { model = "m", text = "t" } }), "must have a model or a text, one of both")
  t.match(fails({ { modle = "m" } }), "modle")
end)
