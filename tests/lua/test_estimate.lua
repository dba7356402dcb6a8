-- stoke.estimate: how long a call would take, by what was learned.

local test = require "stoke.test"
local ollama = require "stoke.ollama"
local routed = require "routed"
local stoke = require "stoke"
local time = require "stoke.time"

local function words(n) return function() return ("word "):rep(n) end end

-- Calls that meet in the pool, so that it learns; and what one of them takes.
local function learn(model, prompt)
  local scope <close> = stoke.scope {}
  for _ = 1, 12 do scope:spawn(function() ollama.generate { model = model, prompt = prompt } end) end
  scope:wait()
end

test("nothing is known of a model that was never asked: the numbers say that they are a guess", function(t)
  local world <close> = routed { gpu = { models = { "m" } } }
  local found = stoke.estimate { model = "m@gpu", prompt = "Hi" }
  t.eq({ found.known, found.model, found.endpoint, found.loaded, #world.asked }, { false, "m", "gpu", nil, 0 })
  t.ok(found.seconds > 0)
end)

test("from the first estimate on calls that meet no others teach, too", function(t)
  local world <close> = routed { gpu = { models = { "m" }, tokens_per_second = 20, prefill = 200, slots = 1, script = words(40) } }
  t.eq(stoke.estimate({ model = "m@gpu", prompt = "Hi" }).known, false)
  local took
  for _ = 1, 6 do
    local before = time.monotonic()
    ollama.generate { model = "m@gpu", prompt = "Hi" }
    took = time.monotonic() - before
  end
  local found = stoke.estimate { model = "m@gpu", prompt = "Hi" }
  t.eq(found.known, true)
  t.near(found.seconds, took, took / 5)
  world.gpu.sim:pace(0.25)
  for _ = 1, 20 do ollama.generate { model = "m@gpu", prompt = "Hi" } end
  t.ok(stoke.estimate({ model = "m@gpu", prompt = "Hi" }).seconds > 2 * took)
end)

test("of a model that was asked and never answered nobody says that it is loaded", function(t)
  local world <close> = routed { gpu = { models = { "m" } } }
  world.gpu:close()
  t.raises("refused", ollama.generate, { model = "m@gpu", prompt = "Hi" })
  t.eq(stoke.estimate({ model = "m@gpu", prompt = "Hi" }).loaded, nil)
end)

test("what calls took is what the next one will take, within a fifth", function(t)
  local _ <close> = routed { gpu = { models = { "m" }, tokens_per_second = 20, prefill = 200, slots = 1, script = words(40) } }
  local prompt = ("word "):rep(400)
  learn("m@gpu", prompt)
  local other = ("other "):rep(400)
  local found = stoke.estimate { model = "m@gpu", prompt = other }
  local began = time.monotonic()
  ollama.generate { model = "m@gpu", prompt = other }
  t.near(found.seconds, time.monotonic() - began, 0.2 * found.seconds)
  t.eq({ found.known, found.loaded, found.queue }, { true, true, 0 })
  local short = stoke.estimate { model = "m@gpu", prompt = other, answer = 4 }
  t.ok(short.decode < found.decode / 5, short.decode)
  t.eq(stoke.estimate({ model = "m@gpu", tokens = 1000 }).input, 1000)
end)

test("what waits there is counted", function(t)
  local _ <close> = routed { gpu = { models = { "m" }, tokens_per_second = 20, slots = 1, script = words(40) } }
  learn("m@gpu", "Hi")
  local scope <close> = stoke.scope {}
  for _ = 1, 5 do scope:spawn(function() ollama.generate { model = "m@gpu", prompt = "Hi" } end) end
  stoke.sleep(0.1)
  local found = stoke.estimate { model = "m@gpu", prompt = "Hi" }
  t.near(found.queue, 10, 3)
  scope:cancel()
end)

test("along a route the servers are told, the soonest first", function(t)
  local _ <close> = routed({ slow = { models = { "m" }, tokens_per_second = 5, slots = 1, script = words(20) },
    quick = { models = { "m" }, tokens_per_second = 50, slots = 1, script = words(20) } },
    [[models = { both = { "m@slow", "m@quick" } }]])
  learn("m@slow", "Hi")
  learn("m@quick", "Hi")
  local found = stoke.estimate { agent = stoke.agent { model = "both" }, prompt = "Hi" }
  t.eq({ found.endpoint, #found.servers, found.servers[2].endpoint }, { "quick", 2, "slow" })
  t.ok(found.servers[2].seconds > 3 * found.seconds)
end)

test("what it is given is checked", function(t)
  t.match(t.raises("argument", stoke.estimate, {}).message, "stoke.estimate: model is missing")
  t.match(t.raises("argument", stoke.estimate, { model = "m", tokens = -1 }).message, "tokens must be a whole number of tokens")
  t.match(t.raises("argument", stoke.estimate, { agent = "m" }).message, "agent must be one")
  t.eq(t.raises("usage", stoke.estimate, { model = "m", route = "q" }).message, 'stoke.estimate: no route is named "q"')
end)
