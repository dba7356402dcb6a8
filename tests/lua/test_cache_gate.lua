-- The cache of answers, at the door: what is answered by what is kept, and what never is.

local cached = require "cached"
local gate = require "core.gate.cache"
local ollama = require "stoke.ollama"
local places = require "core.cache.place"
local routed = require "routed"
local stoke = require "stoke"
local test = require "stoke.test"

test("the second time the same is asked it is answered by what was kept, and costs nothing", function(t)
  local server <close> = cached()
  local first, second = server:chat "Hi", server:chat "Hi"
  t.eq({ first.cached, second.cached, server.asked }, { nil, "exact", 1 })
  t.eq({ second.message.content, second.done_reason, second.eval_count }, { "1: Hi", "stop", 5 })
  local usage = second.usage
  t.eq({ usage.cached, usage.calls, usage.input_tokens, usage.output_tokens, usage.seconds }, { 1, 0, 0, 0, 0 })
  t.eq({ first.usage.cached, first.usage.calls, first.usage.output_tokens }, { nil, 1, 5 })
end)

test("what is changed in an answer is not changed in what is kept", function(t)
  local server <close> = cached()
  for _ = 1, 3 do
    local reply = server:chat "Hi"
    t.eq(reply.message.content, "1: Hi")
    reply.message.content, reply.message.more = "changed", true
  end
end)

test("nobody asked for a cache: each question is asked, and nothing is looked for", function(t)
  local server <close> = cached()
  server:chat("Hi", { cache = false })
  t.eq(server:chat("Hi", { cache = false }).cached, nil)
  t.eq({ server.asked, server.tags, gate.counts.misses }, { 2, 0, 0 })
end)

-- ---- what makes it another question -------------------------------------------------------------------------------------------

local TOOL = { type = "function", ["function"] = { name = "f", description = "what it does", parameters = { type = "object",
  properties = { a = { type = "string" } } } } }
local SCHEMA = { type = "object", properties = { x = { type = "integer" } } }

local function system(text) return { { role = "system", content = text }, { role = "user", content = "Hi" } } end
local function image(data) return { { role = "user", content = "Hi", images = { data } } } end
local function tool(description)
  local parameters = TOOL["function"].parameters
  return { { type = "function", ["function"] = { name = "f", description = description, parameters = parameters } } }
end

local function called(stream)
  return { { role = "user", content = "Hi" }, { role = "assistant", content = "", tool_calls = { { ["function"] = { name = "f",
    arguments = { stream = stream } } } } }, { role = "tool", tool_name = "f", content = "x" } }
end

-- Each: what is asked, and the same with one thing changed.
local CHANGED = {
  ["the text"] = { {}, { messages = { { role = "user", content = "Hi!" } } } },
  ["the role"] = { {}, { messages = { { role = "system", content = "Hi" } } } },
  ["an earlier message"] = { { messages = system "a" }, { messages = system "b" } },
  ["a system prompt that was not there"] = { {}, { messages = system "a" } },
  ["a tool"] = { {}, { tools = { TOOL } } },
  ["what a tool says of itself"] = { { tools = tool "a" }, { tools = tool "b" } },
  ["a schema"] = { { format = SCHEMA }, { format = { type = "object", properties = { x = { type = "string" } } } } },
  ["a property of a schema that has the name of a field"] = { { format = { properties = { stream = true } } },
    { format = { properties = { stream = false } } } },
  ["an argument of an earlier tool call"] = { { messages = called(true) }, { messages = called(false) } },
  ["a format"] = { {}, { format = "json" } },
  ["an option"] = { {}, { options = { temperature = 0, top_k = 3 } } },
  ["the number of tokens"] = { {}, { options = { temperature = 0, num_predict = 3 } } },
  ["a seed"] = { { options = { seed = 1 } }, { options = { seed = 2 } } },
  ["the stop words"] = { {}, { options = { temperature = 0, stop = { "x" } } } },
  ["thinking"] = { {}, { think = true } },
  ["an image"] = { { messages = image "aGVsbG8=" }, { messages = image "aGVsbG8h" } },
  ["logprobs"] = { {}, { logprobs = true } },
  ["how reasoning is told"] = { {}, { split_thinking = false } },
  ["the scope"] = { {}, { cache = { scope = "mine" } } },
}

for what, pair in pairs(CHANGED) do
  test("it is another question where this alone is changed: " .. what, function(t)
    local server <close> = cached()
    server:chat("Hi", pair[1])
    t.eq({ server:chat("Hi", pair[2]).cached, server.asked }, { nil, 2 })
    t.eq({ server:chat("Hi", pair[1]).cached, server:chat("Hi", pair[2]).cached, server.asked }, { "exact", "exact", 2 })
  end)
end

test("it is another question where the load options of the model's profile are changed", function(t)
  local server <close> = cached()
  local function with(window)
    ollama.profiles { m = { num_ctx = window } }
    return server:chat "Hi"
  end
  t.eq({ with(2048).cached, with(4096).cached, with(2048).cached, server.asked }, { nil, nil, "exact", 2 })
  ollama.profiles { m = {} }
end)

test("it is another question where it goes to another model", function(t)
  local server <close> = cached { models = { m = cached.ONE, other = cached.TWO } }
  server:chat "Hi"
  t.eq({ server:chat("Hi", { model = "other" }).cached, server.asked }, { nil, 2 })
end)

test("it is another question where the model was made anew under its name, and the old one's answers come back with it", function(t)
  local server <close> = cached()
  server:chat "Hi"
  stoke.sleep(6)
  t.eq(server:chat("Hi").cached, "exact") -- the server has said that it still has the model
  server.models.m = cached.TWO
  stoke.sleep(6)
  t.eq({ server:chat("Hi").cached, server.asked }, { nil, 2 })
  server.models.m = cached.ONE
  stoke.sleep(6)
  t.eq({ server:chat("Hi").message.content, server.asked }, { "1: Hi", 2 })
end)

test("a model that this process pulls, copies or deletes is looked at anew at once", function(t)
  for _, change in ipairs {
    function(server) for _ in ollama.pull { model = "m", endpoint = server.url } do end end, -- luacheck: ignore
    function(server) ollama.copy("m", "n", server.url) end,
    function(server) ollama.delete("m", server.url) end,
  } do
    local server <close> = cached()
    server:chat "Hi"
    server.models.m = cached.TWO
    change(server)
    t.eq({ server:chat("Hi").cached, server.asked }, { nil, 2 })
  end
end)

test("what a new model has said is not kept under the old one's digest, which was believed when it was asked", function(t)
  local server <close> = cached()
  server:chat "Hi"
  stoke.sleep(6)
  server:chat "Hi"
  server.models.m = cached.TWO
  t.eq(server:chat("Hello").message.content, "2: Hello") -- the new one's answer
  stoke.sleep(6)
  t.eq(server:chat("Hello").message.content, "3: Hello")
  server.models.m = cached.ONE
  stoke.sleep(6)
  t.eq({ server:chat("Hi").cached, server:chat("Hello").cached, server.asked }, { "exact", nil, 4 })
  t.eq(gate.counts.unkept["its model was changed while it was asked"], 2) -- and that of the new one, which is gone
end)

test("a seed below 0 is no seed: the server draws one, another each time", function(t)
  local server <close> = cached()
  for _ = 1, 2 do t.eq(server:chat("Hi", { options = { temperature = 1, seed = -1 } }).cached, nil) end
  t.eq(server.asked, 2)
end)

test("an answer is not kept where the model was made anew while it was asked", function(t)
  local server <close> = cached { delay = 10 }
  local scope <close> = stoke.scope()
  local task = scope:spawn(function() return server:chat "Hi" end)
  stoke.sleep(1)
  server.models.m = cached.TWO
  task:await()
  server.models.m, server.delay = cached.ONE, nil
  stoke.sleep(6)
  t.eq({ server:chat("Hi").cached, server.asked }, { nil, 2 })
  t.eq(gate.counts.unkept, { ["its model was changed while it was asked"] = 1 })
end)

test("the order in which tables were filled makes no other question", function(t)
  local server <close> = cached()
  local one, two = {}, {}
  for _, name in ipairs { "temperature", "top_k", "min_p", "seed" } do one[name] = 0 end
  for _, name in ipairs { "seed", "min_p", "top_k", "temperature" } do two[name] = 0 end
  server:chat("Hi", { options = one, format = stoke.json.decode '{"type": "object",   "properties": {"a":{}, "b":{}}}' })
  local reply = server:chat("Hi", { options = two, format = stoke.json.decode '{"properties":{"b":{},"a":{}},"type":"object"}' })
  t.eq({ reply.cached, server.asked }, { "exact", 1 })
end)

test("endpoint, limits of time, class and deadline make no other question", function(t)
  local server <close> = cached()
  server:chat "Hi"
  for _, extra in ipairs { { timeouts = { idle = 7 } }, { class = "batch" }, { deadline = 60 }, { auto_pull = true } } do
    t.eq(server:chat("Hi", extra).cached, "exact")
  end
end)

-- ---- what is not kept -----------------------------------------------------------------------------------------------------------

test("an answer that is drawn at random is kept only where that is said", function(t)
  local server <close> = cached()
  for _, options in ipairs { { temperature = 0.7 }, {} } do
    local extra = { options = options }
    server:chat("Hi", extra)
    t.eq(server:chat("Hi", extra).cached, nil)
    server:chat("Hi", { options = options, cache = { sampled = true } })
    t.eq(server:chat("Hi", { options = options, cache = { sampled = true } }).cached, "exact")
  end
  t.eq(gate.counts.skipped, { ["its answer is drawn at random"] = 4 })
end)

test("with a seed an answer is kept at any temperature", function(t)
  local server <close> = cached()
  server:chat("Hi", { options = { temperature = 0.7, seed = 3 } })
  t.eq(server:chat("Hi", { options = { temperature = 0.7, seed = 3 } }).cached, "exact")
end)

test("a conversation that wants variety never gets the same answer twice; others get it", function(t)
  local function call(history) return { work = { run = { history = history } }, context = {} } end
  local place, one, other = { key = "k" }, {}, {}
  local varied = { sampled = true }
  t.eq(places.was_given(call(one), varied, place), false)
  places.note_given(call(one), varied, place)
  t.eq(places.was_given(call(one), varied, place), true)
  t.eq(places.was_given({ context = { run = { history = {}, outer = { history = one } } } }, varied, place), true) -- its tool
  t.eq({ places.was_given(call(one), {}, place), places.was_given(call(other), varied, place),
    places.was_given(call(one), varied, { key = "l" }) }, { false, false, false })
end)

test("an answer that the context window has cut is not kept; one that was asked to be short is", function(t)
  local server <close> = cached { reason = "length" }
  server:chat "Hi"
  t.eq(server:chat("Hi").cached, nil)
  local short = { options = { temperature = 0, num_predict = 5 } }
  server:chat("Hi", short)
  t.eq(server:chat("Hi", short).cached, "exact")
end)

test("an answer that a budget has cut is not kept under what was asked", function(t)
  local server <close> = cached { reason = "length" }
  do
    local _ <close> = stoke.scope { budget = { tokens = 100 } }
    server:chat("Hi", { options = { temperature = 0, num_predict = 5000 } })
  end
  t.eq(server:chat("Hi", { options = { temperature = 0, num_predict = 5000 } }).cached, nil)
  t.eq(gate.counts.unkept, { ["it was cut by a budget"] = 1 })
end)

test("an error is not kept", function(t)
  local server <close> = cached { answer = function(_, n) return n == 1 and 400 or nil end }
  t.ok(select(2, server:try "Hi"))
  t.eq(server:chat("Hi").message.content, "2: Hi")
end)

test("a server that does not tell its models is asked as ever", function(t)
  local server <close> = cached { models = {} }
  server:chat "Hi"
  t.eq({ server:chat("Hi").cached, server.asked }, { nil, 2 })
end)

test("a request that was changed while it was asked is not kept under what it was", function(t)
  local server <close> = cached { delay = 1 }
  local messages = { { role = "user", content = "one" } }
  local scope <close> = stoke.scope()
  local task = scope:spawn(function()
    return ollama.chat { model = "m", endpoint = server.url, messages = messages, options = { temperature = 0 }, cache = true }
  end)
  stoke.sleep(0.5)
  messages[1].content = "two"
  task:await()
  t.eq({ server:chat("one").cached, server:chat("two").cached }, {})
end)

-- ---- budgets, policies ----------------------------------------------------------------------------------------------------------

test("an answer from the cache is given though the budget is spent, and takes nothing of it", function(t)
  local server <close> = cached()
  server:chat "Hi"
  local scope <close> = stoke.scope { budget = { calls = 1 } }
  server:chat "Other"
  t.eq(server:chat("Hi").cached, "exact")
  t.eq(scope.budget.used.calls, 1)
  t.raises("budget", server.chat, server, "More")
end)

test("what the policy denies is not answered by the cache either", function(t)
  local server <close> = cached()
  server:chat "Hi"
  stoke.policy { deny = { host = { server.url:match "//([^:/]+)" } } }
  t.raises("denied", server.chat, server, "Hi")
  stoke.policy(nil)
end)

-- ---- streams --------------------------------------------------------------------------------------------------------------------

test("a stream comes out of the cache as a stream, piece by piece", function(t)
  local server <close> = cached { answer = function() return "one two three" end }
  local first, second = server:stream "Hi", server:stream "Hi"
  t.eq({ #first, #second, server.asked }, { 4, 4, 1 })
  for i = 1, 3 do t.eq(second[i], first[i]) end
  local done = second[4]
  t.eq({ done.type, done.reason, done.cached, done.usage.cached, done.usage.output_tokens }, { "done", "stop", "exact", 1, 0 })
  t.eq({ first[4].cached, first[4].usage.output_tokens }, { nil, 5 })
end)

test("a stream that was left before its end is not kept", function(t)
  local server <close> = cached { answer = function() return "one two three" end, pace = 1 }
  local given = { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = true }
  local next_event, stream = ollama.stream(given)
  next_event(stream)
  stream:close()
  stoke.sleep(10)
  t.eq({ #server:stream "Hi", server.asked }, { 4, 2 })
end)

test("the text of a stream alone comes out of the cache, too", function(t)
  local server <close> = cached { answer = function() return "one two three" end }
  local function text()
    local parts = {}
    for part in ollama.text { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = true } do
      parts[#parts + 1] = part
    end
    return table.concat(parts)
  end
  t.eq({ text(), text(), server.asked }, { "one two three", "one two three", 1 })
end)

-- ---- times ----------------------------------------------------------------------------------------------------------------------

test("past its time an answer is asked for anew", function(t)
  local server <close> = cached()
  local extra = { cache = { ttl = 60 } }
  server:chat("Hi", extra)
  stoke.sleep(59)
  t.eq(server:chat("Hi", extra).cached, "exact")
  stoke.sleep(2)
  t.eq({ server:chat("Hi", extra).cached, server.asked }, { nil, 2 })
  t.eq(server:chat("Hi", extra).message.content, "2: Hi")
end)

test("stale: the old answer is given for a while, and one refresh makes it new", function(t)
  local server <close> = cached { delay = 1 }
  local extra = { cache = { ttl = 60, stale = 60 } }
  server:chat("Hi", extra)
  stoke.sleep(70)
  local one, two = server:chat("Hi", extra), server:chat("Hi", extra)
  t.eq({ one.cached, one.stale, one.message.content, two.stale }, { "exact", true, "1: Hi", true })
  gate.settle()
  local new = server:chat("Hi", extra)
  t.eq({ new.message.content, new.stale, server.asked, gate.counts.stale }, { "2: Hi", nil, 2, 2 })
end)

test("stale: a refresh that fails leaves the old answer, and is not made again at once", function(t)
  local server <close> = cached { answer = function(_, n) return n > 1 and 400 or nil end }
  local extra = { cache = { ttl = 60, stale = 600 } }
  server:chat("Hi", extra)
  stoke.sleep(70)
  for _ = 1, 5 do
    t.eq(server:chat("Hi", extra).message.content, "1: Hi")
    gate.settle()
  end
  t.eq(server.asked, 2)
end)

test("stale_if_error: where the server fails an old answer is given, though it cannot be asked which model it has", function(t)
  local server <close> = cached()
  local extra = { cache = { ttl = 60, stale_if_error = 600 } }
  server:chat("Hi", extra)
  stoke.sleep(70)
  server.down = true
  local reply = server:chat("Hi", extra)
  t.eq({ reply.cached, reply.stale, reply.message.content, gate.counts.errors }, { "exact", true, "1: Hi", 1 })
  t.ok(select(2, server:try("Other", extra)))
  stoke.sleep(700)
  t.ok(select(2, server:try("Hi", extra)))
end)

test("without stale_if_error a server that is down is an error, whatever is kept", function(t)
  local server <close> = cached()
  server:chat "Hi"
  server.down = true
  stoke.sleep(6)
  t.ok(select(2, server:try "Hi"))
end)

-- ---- fallbacks ----------------------------------------------------------------------------------------------------------------

test("fallback: where all servers of a route fail, what is kept of the question is the answer, however old", function(t)
  local world <close> = routed({ a = { models = { "m" } } },
    [[models = { r = { "m@a", fallback = { "cache", { text = "Later." } }, cache = { ttl = 10, scope = "s" } } }]])
  local function ask(prompt) return ollama.generate { model = "r", prompt = prompt, options = { temperature = 0 } } end
  local first = ask "Hi"
  t.eq(ask("Hi").cached, "exact")
  stoke.sleep(1000)
  world.a:close()
  local reply = ask "Hi"
  t.eq({ reply.response, reply.cached, reply.stale, reply.rung }, { first.response, "exact", true, 2 })
  t.eq({ ask("Other").response, ask("Other").rung }, { "Later.", 3 })
end)

test("fallback: an agent's, too", function(t)
  local server <close> = cached()
  local agent = stoke.agent { model = "m", endpoint = server.url, options = { temperature = 0 }, cache = { ttl = 10, scope = "x" },
    fallback = { "cache", { text = "Later." } } }
  t.eq(agent:run("Hi").text, "1: Hi")
  stoke.sleep(20)
  server.down = true
  local result = agent:run "Hi"
  t.eq({ result.text, result.rung }, { "1: Hi", 2 })
  result = agent:run "Other"
  t.eq({ result.text, result.rung }, { "Later.", 3 })
end)

-- ---- who says so ----------------------------------------------------------------------------------------------------------------

test("a call goes before its scope, and that before the settings", function(t)
  local server <close> = cached()
  local settings = require "core.cache.settings"
  local function plain(cache)
    return { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = cache }
  end
  settings.configure { ttl = 60 }
  ollama.generate(plain())
  t.eq(ollama.generate(plain()).cached, "exact")
  t.eq(ollama.generate(plain(false)).cached, nil)
  do
    local _ <close> = stoke.scope { cache = false }
    t.eq(ollama.generate(plain()).cached, nil)
    t.eq(ollama.generate(plain(true)).cached, "exact")
  end
  settings.configure(nil)
  t.eq(ollama.generate(plain()).cached, nil)
  local _ <close> = stoke.scope { cache = true }
  t.eq(ollama.generate(plain()).cached, "exact")
end)

test("an agent's answers are kept: a second run asks nothing, and its usage says so", function(t)
  local server <close> = cached()
  local agent = stoke.agent { model = "m", endpoint = server.url, options = { temperature = 0 }, cache = true }
  local first, second = agent:run "Hi", agent:run "Hi"
  t.eq({ first.text, second.text, server.asked }, { "1: Hi", "1: Hi", 1 })
  t.eq({ second.usage.cached, second.usage.calls, second.usage.output_tokens }, { 1, 0, 0 })
  t.eq({ first.cached, second.cached }, { nil, "exact" })
  local streamed
  for ev in agent:stream "Hi" do streamed = ev.result end
  t.eq({ streamed.cached, streamed.text }, { "exact", "1: Hi" })
  t.eq(agent:run("Hi", { cache = false }).text, "2: Hi")
end)

test("wrong settings are told with what was probably meant", function(t)
  local server <close> = cached()
  t.match(t.raises("argument", server.chat, server, "Hi", { cache = { tll = 3 } }).message, "ttl")
  t.match(t.raises("argument", server.chat, server, "Hi", { cache = "yes" }).message, "true, false or a table")
  t.match(t.raises("argument", server.chat, server, "Hi", { cache = { ttl = -1 } }).message, "ttl must be seconds")
  t.match(t.raises("argument", server.chat, server, "Hi", { cache = { stale = 5 } }).message, "without cache.ttl")
  t.raises("argument", stoke.agent, { model = "m", cache = 3 })
  t.raises("argument", stoke.scope, { cache = 3 })
end)
