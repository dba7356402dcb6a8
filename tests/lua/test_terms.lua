-- Class, deadline and route of calls: said of a call, an agent, one run or a scope; passed down, and no part of what is asked.

local test = require "stoke.test"
local effect = require "core.effect"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local request = require "core.journal.request"
local routed = require "routed"
local runs = require "core.runs"
local scopes = require "core.scope"
local stoke = require "stoke"
local stored = require "kept_store"
local tasks = require "core.task"
local terms = require "core.terms"
local time = require "stoke.time"
local workflow = require "stoke.workflow"

local HI = { { role = "user", content = "Hi" } }
local ONE = { gpu = { models = { "m" }, tokens_per_second = 10 } }
local M = [[models = { m = { "m@gpu" } }]]

-- What the pool is told of each call that is made until the watch is closed: { class, seconds to the deadline }.
local function watched()
  local seen, before = {}, {}
  for _, name in ipairs { "llm.chat", "llm.stream", "llm.load" } do
    local def = effect.about(name)
    before[def] = def.pool
    def.pool = function(q, call)
      local deadline = terms.deadline(call)
      seen[#seen + 1] = { terms.class(call), deadline and deadline - time.monotonic() or nil }
      return before[def](q, call)
    end
  end
  return seen, setmetatable({}, { __close = function()
    for def, own in pairs(before) do def.pool = own end
  end })
end

test("a call has the class that it says, else its scope's, else normal; tasks and tools inherit", function(t)
  local _ <close> = routed(ONE, M)
  local seen, _ <close> = watched()
  ollama.chat { model = "m", messages = HI }
  ollama.chat { model = "m", messages = HI, class = "interactive" }
  do
    local _ <close> = stoke.scope { class = "batch" }
    ollama.chat { model = "m", messages = HI }
    for _ in ollama.stream { model = "m", messages = HI, class = "interactive" } do end -- luacheck: ignore
    stoke.spawn(function() ollama.generate { model = "m", prompt = "Hi" } end):await()
    local _ <close> = stoke.scope { deadline = 60 }
    stoke.try(ollama.embed, { model = "m", input = "a" })
    local _ <close> = stoke.scope { class = "normal" }
    ollama.text { model = "m", prompt = "Hi" }
  end
  ollama.chat { model = "m", messages = HI }
  local classes = {}
  for i, one in ipairs(seen) do classes[i] = one[1] end
  t.eq(classes, { 2, 1, 3, 1, 3, 3, 2, 2 })
end)

test("an agent has a class, and one run another; its tools' calls have it, too", function(t)
  local _ <close> = routed({ gpu = { models = { "m" }, script = function(req)
    local last = req.messages and req.messages[#req.messages]
    if last and last.role == "user" then return { tool_calls = { { name = "look", arguments = {} } } } end
    return "done"
  end } }, M)
  local seen, _ <close> = watched()
  local look = stoke.tool { name = "look", description = "Looks.", params = {}, run = function()
    return ollama.generate({ model = "m", prompt = "inside" }).response
  end }
  local bot = stoke.agent { model = "m", tools = { look }, class = "batch" }
  t.eq(bot:run("Hi").text, "done")
  bot:run("Hi", { class = "interactive" })
  bot:session():run("Hi", { class = "normal" })
  local classes = {}
  for i, one in ipairs(seen) do classes[i] = one[1] end
  t.eq(classes, { 3, 3, 3, 1, 1, 1, 2, 2, 2 })
end)

test("the pool knows the nearest deadline of a call and the scopes around it; a shield keeps the outer ones away", function(t)
  local _ <close> = routed(ONE, M)
  local seen, _ <close> = watched()
  ollama.chat { model = "m", messages = HI }
  ollama.chat { model = "m", messages = HI, deadline = 30 }
  do
    local _ <close> = stoke.scope { deadline = 100 }
    stoke.spawn(function() ollama.chat { model = "m", messages = HI } end):await()
    stoke.shield(500, function() ollama.chat { model = "m", messages = HI } end)
    local _ <close> = stoke.scope { deadline = 50 }
    ollama.chat { model = "m", messages = HI, deadline = 200 }
    stoke.agent { model = "m", deadline = 40 }:run "Hi"
    stoke.agent { model = "m", deadline = 40 }:run("Hi", { deadline = 35 })
  end
  local left = {}
  for i, one in ipairs(seen) do -- the test's own is far
    left[i] = one[2] and one[2] < 1000 and math.floor(one[2] + 0.5) or false
  end
  t.eq({ left[1], left[2], left[4] }, { false, 30, 500 })
  t.ok(left[3] <= 100 and left[3] > 90, left[3])
  t.ok(left[5] <= 50 and left[5] > 40, left[5])
  t.eq({ left[6], left[7] }, { 40, 35 })
end)

test("class, deadline and route are no part of what a recording finds a call by", function(t)
  local _ <close> = routed({ gpu = { models = { "m" } }, laptop = { models = { "small" }, names = { m = "small" } } })
  local def, digests = effect.about "llm.chat", {}
  local before = def.pool
  local _ <close> = setmetatable({}, { __close = function() def.pool = before end })
  def.pool = function(q, call)
    local body = q.body -- made now, where its text was written first
    local asked = request.asked_of(def, q)
    asked.sent, asked.about, asked.body = nil, nil, body
    digests[#digests + 1] = json.digest(asked)
    return before(q, call)
  end
  ollama.chat { model = "m", endpoint = "gpu", messages = HI }
  ollama.chat { model = "m", endpoint = "laptop", messages = HI }
  ollama.chat { model = "m", messages = HI, route = { "@gpu" }, class = "batch", deadline = 50 }
  ollama.chat { model = "m", messages = HI, route = { "small@laptop" } }
  stoke.agent { model = "m", endpoint = "gpu" }:run "Hi"
  stoke.agent { model = "m", route = { "small@laptop", "@gpu" }, class = "interactive" }:run("Hi", { deadline = 9 })
  t.eq({ digests[2], digests[3], digests[4], digests[6] }, { digests[1], digests[1], digests[1], digests[5] })
end)

test("a durable run replays the answer of whichever server gave it, though its route leads elsewhere by now", { real = true },
  function(t)
    local _ <close> = stored(t)
    local world <close> = routed({ gpu = { models = { "m" } }, laptop = { models = { "m" } } })
    local function define(route, class)
      return stoke.workflow("asks", function()
        local first = ollama.chat { model = "m", messages = HI, route = route, class = class, deadline = 60 }
        local told = stoke.agent { model = "m", route = route, class = class }:run "Hi"
        stoke.signal "go"
        return { first.endpoint, first.model, told.endpoint, told.text,
          ollama.chat({ model = "m", messages = HI, route = route }).endpoint }
      end)
    end
    local run = define({ "@gpu" }, "batch"):start(nil, { id = "r" })
    while run:status().state ~= "waiting" do stoke.sleep(0.01) end
    runs.leave()
    world.gpu:close()
    define({ "@laptop" }, "interactive")
    run = workflow.run "r"
    run:signal "go"
    t.eq(run:await(), { "gpu", "m", "gpu", "from gpu", "laptop" })
    t.eq(#world.asked, 3)
  end)

test("a call that has not answered by its deadline is ended, and its slot is free", function(t)
  local _ <close> = routed(ONE, M)
  local began = time.monotonic()
  local err = t.raises("deadline", ollama.chat, { model = "m", messages = HI, deadline = 0.1 })
  t.near(time.monotonic() - began, 0.1, 0.01)
  t.eq(err.message, "ollama.chat: m did not answer within 0.1 s")
  t.match(err.hint, "the wait for a slot and the load of the model")
  local reply, why = ollama.try_chat { model = "m", messages = HI, deadline = 0.1 }
  t.eq({ reply, why.kind, why.model }, { nil, "deadline", "m" })
  t.eq(ollama.chat({ model = "m", messages = HI, deadline = 60 }).message.content, "from gpu")
end)

test("the deadline of a stream holds to its end; one that is left before does no harm", function(t)
  local _ <close> = routed({ gpu = { models = { "m" }, tokens_per_second = 10, script = function() return ("word "):rep(50) end } },
    M)
  local began, text = time.monotonic(), 0
  local err = t.raises("deadline", function()
    for event in ollama.stream { model = "m", messages = HI, deadline = 2 } do text = text + #(event.text or "") end
  end)
  t.near(time.monotonic() - began, 2, 0.01)
  t.eq({ err.message, text > 0 }, { "ollama.stream: m did not answer within 2 s", true })
  t.raises("deadline", function()
    for _ in ollama.text { model = "m", prompt = "Hi", deadline = 2 } do end -- luacheck: ignore
  end)
  t.eq(ollama.stream { model = "m", messages = HI, deadline = 2 }().type, "text")
  stoke.sleep(5)
  t.eq(tasks.current() and scopes.innermost(tasks.current()).cancelled, nil)
end)

test("the deadline of a call that its caller's scope cut first is told as the scope's", function(t)
  local _ <close> = routed(ONE, M)
  local err = t.raises("deadline", function()
    local _ <close> = stoke.scope { deadline = 0.1 }
    ollama.chat { model = "m", messages = HI, deadline = 30 }
  end)
  t.eq(err.seconds, 0.1)
end)

test("the deadline of one run is told as that of the agent", function(t)
  local _ <close> = routed(ONE, M)
  local err = t.raises("deadline", function()
    stoke.agent { name = "poet", model = "m" }:run("Hi", { deadline = 0.1 })
  end)
  t.eq({ err.message, err.work.text }, { "poet did not finish within 0.1 s", "" })
end)

-- One slot, and four calls of four seconds before whoever asks next; the first is out.
local function busy(scope)
  pool.forget()
  pool.set_default(1)
  for _ = 1, 4 do scope:spawn(ollama.chat, { model = "m", messages = HI, endpoint = "gpu" }) end
  stoke.sleep(0.05)
  return setmetatable({}, { __close = function() pool.set_default(nil) end })
end

local LONG = { gpu = { models = { "m" }, tokens_per_second = 1, script = function() return "one two three four" end } }
local WAITED <const> = "waited 0.5 s for a slot of m at gpu: "

test("a deadline that ends a wait says what was waited for: of a call, a scope, an agent's run, a timeout", function(t)
  local _ <close> = routed(LONG)
  local scope <close> = stoke.scope {}
  local _ <close> = busy(scope)
  local call = { model = "m", messages = HI, endpoint = "gpu", deadline = 0.5 }
  local BEFORE <const> = "next; the one slot is busy" -- a call whose deadline is near goes before its equals
  local err = t.raises("deadline", ollama.chat, call)
  t.eq({ err.message, err.waited }, { "ollama.chat: m did not answer within 0.5 s; the call " .. WAITED .. BEFORE,
    WAITED .. BEFORE })
  err = t.raises("deadline", function() for _ in ollama.stream(call) do t.ok(false) end end)
  t.eq(err.message, "ollama.stream: m did not answer within 0.5 s; the call " .. WAITED .. BEFORE)
  call.deadline = nil
  err = t.raises("deadline", function()
    local inner <close> = stoke.scope { deadline = 0.5 }
    for _ = 1, 3 do inner:spawn(ollama.chat, call) end
    inner:wait()
  end)
  t.match(err.message, "^deadline of 0.5 s of the scope opened at .- has passed; a call had waited 0.5 s ")
  t.match(err.message, " for a slot of m at gpu: next")
  local poet = stoke.agent { name = "poet", model = "m", endpoint = "gpu" }
  err = t.raises("deadline", poet.run, poet, "Hi", { deadline = 0.5 })
  t.match(err.message, "^poet did not finish within 0.5 s; a call had waited 0.5 s for a slot of m at gpu: next")
  err = t.raises("timeout", stoke.timeout, 0.5, function() ollama.chat(call) end)
  t.match(err.message, "; a call had waited 0.5 s for a slot of m at gpu: next")
  scope:cancel()
end)

test("a call whose route has several places says so; one that had its slot does not say that it waited", function(t)
  local _ <close> = routed { gpu = LONG.gpu, laptop = { models = { "m" }, tokens_per_second = 1, script = LONG.gpu.script } }
  local scope <close> = stoke.scope {}
  pool.forget()
  pool.set_default(1)
  local _ <close> = setmetatable({}, { __close = function() pool.set_default(nil) end })
  local call = { model = "m", messages = HI, route = { "@gpu", "@laptop" } }
  for _ = 1, 4 do scope:spawn(ollama.chat, call) end
  stoke.sleep(0.05)
  local late = { model = "m", messages = HI, route = { "@gpu", "@laptop" }, deadline = 0.5 }
  local err = t.raises("deadline", ollama.chat, late)
  t.eq(err.waited, "waited 0.5 s for a slot of m at gpu or at 1 other place of its route: next; all 2 slots are busy")
  scope:wait()
  err = t.raises("deadline", ollama.chat, late)
  t.eq({ err.message, rawget(err, "waited") }, { "ollama.chat: m did not answer within 0.5 s" })
end)

test("a durable run is told the same at a resume", { real = true }, function(t)
  local _ <close> = stored(t)
  local world <close> = routed(LONG)
  local function define()
    return stoke.workflow("late", function()
      local _, err = stoke.try(function()
        local scope <close> = stoke.scope { deadline = 0.2 }
        scope:spawn(ollama.chat, { model = "m", messages = HI, endpoint = "gpu" })
        scope:wait()
      end)
      local said = { err.message }
      _, err = stoke.try(ollama.chat, { model = "m", messages = HI, endpoint = "gpu", deadline = 0.2 })
      said[2] = err.message
      stoke.step(json.encode(said), function() end) -- another text would be another step
      stoke.signal "go"
      return said
    end)
  end
  local run
  do
    local scope <close> = stoke.scope {}
    local _ <close> = busy(scope)
    run = define():start(nil, { id = "r" })
    while run:status().state ~= "waiting" do stoke.sleep(0.01) end
    runs.leave()
  end
  local asked = #world.asked
  define()
  run = workflow.run "r"
  run:signal "go"
  local said = run:await()
  t.match(said[1], "; a call had waited 0.2 s for a slot of m at gpu: %w+")
  t.match(said[2], "^ollama.chat: m did not answer within 0.2 s; the call waited 0.2 s for a slot of m at gpu: ")
  t.eq(#world.asked, asked)
end)

test("classes, deadlines and routes that cannot be are refused, with what was meant", function(t)
  local _ <close> = routed(ONE, M)
  local err = t.raises("argument", ollama.chat, { model = "m", messages = HI, class = "interctive" })
  t.eq(err.message, 'ollama.chat: class must be "interactive", "normal" or "batch", got "interctive"')
  t.eq(err.hint, 'did you mean "interactive"?')
  err = t.raises("argument", stoke.scope, { class = 1 })
  t.match(err.message, "stoke.scope: class must be .* got 1")
  t.match(t.raises("argument", stoke.agent, { name = "a", model = "m", class = "bacth" }).message, "stoke.agent a: class must be")
  t.match(t.raises("argument", ollama.chat, { model = "m", messages = HI, deadline = -1 }).message, "ollama.chat: deadline")
  t.match(t.raises("argument", ollama.embed, { model = "m", input = "a", class = "x" }).message, "ollama.embed: class must be")
  local bot = stoke.agent { model = "m" }
  t.match(t.raises("argument", bot.run, bot, "Hi", { class = "x" }).message, "agent:run: class must be")
  t.match(t.raises("argument", bot.run, bot, "Hi", { deadline = -1 }).message, "agent:run: deadline")
  t.eq(t.raises("usage", bot.run, bot, "Hi", { route = "q" }).message, 'agent:run: no route is named "q"')
  t.eq(t.raises("usage", stoke.scope, { route = "q" }).message, 'stoke.scope: no route is named "q"')
  t.eq(t.raises("usage", stoke.agent, { route = "q" }).message, 'stoke.agent: no route is named "q"')
end)
