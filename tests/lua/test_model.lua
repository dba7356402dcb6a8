-- The face over dialects, on Ollama's: what is not asked through an agent.

local test = require "stoke.test"
local effect = require "core.effect"
local endpoints = require "core.endpoint"
local fake = require "fake"
local json = require "stoke.json"
local model = require "stoke.model"
local sim = require "stoke.sim"
local pool = require "core.gate.pool"
local stoke = require "stoke"

local HI = { { role = "user", content = "hi" } }

local function server(options)
  options = options or {}
  options.mem, options.tokens_per_second, options.load_seconds = "face", 0, 0
  return sim.serve(options)
end

test("model: an answer has text, reason and usage; a stream has events", function(t)
  local own <close> = server { script = { "one two", "three four" } }
  local target = model.open("qwen2.5:3b", own.url)
  local answer = assert(model.ask(target, {}, HI))
  t.eq({ answer.text, answer.reason, answer.usage.calls, answer.calls, answer.thinking }, { "one two", "stop", 1 })
  local text, done = "", nil
  for ev in model.stream(target, {}, HI) do
    if ev.type == "text" then text = text .. ev.text else done = ev end
  end
  t.eq({ text, done.type, done.reason, done.usage.calls }, { "three four", "done", "stop", 1 })
end)

test("model: load, residency, window, capabilities, unload, probe", function(t)
  local own <close> = server { context = 8192 }
  local target = model.open("qwen2.5:3b", own.url)
  t.eq({ model.known(target), model.residency(own.url) }, { nil, {} })
  t.eq(assert(model.load(target)).done_reason, "load")
  local list = assert(model.residency(own.url))
  t.eq({ #list, list[1].name, list[1].window }, { 1, "qwen2.5:3b", 8192 })
  t.eq({ model.window(target), model.known(target) }, { 8192, 8192 })
  t.eq(assert(model.capabilities(target)).tools, true)
  assert(model.unload(target))
  t.eq(assert(model.residency(own.url)), {})
  t.match(assert(model.probe(own.url)).version, "^%d+%.")
  local _, err = model.probe "http://127.0.0.1:9"
  t.eq(err.kind, "denied") -- as the network is, in a test
end)

test("model: room loads a model whose window nobody knows, once", function(t)
  local own <close> = server { context = 4096 }
  local target = model.begin(model.open("qwen2.5:3b", own.url))
  t.eq({ model.room(target, 100), model.room(target, 100) }, { 4096, 4096 })
  t.eq(own.sim.ledger.loads, 1)
end)

test("model: vectors of texts", function(t)
  local own <close> = server {}
  local vectors, usage = model.embed(model.open("nomic-embed-text", own.url), {}, { "a", "b" })
  t.eq({ #vectors, usage.calls }, { 2, 1 })
end)

test("model: a target is found once, until the settings change", function(t)
  local target = model.open("m", "http://127.0.0.1:9")
  t.ok(rawequal(target, model.open("m", "http://127.0.0.1:9")))
  stoke.models { m = { num_ctx = 2048 } }
  local after = model.open("m", "http://127.0.0.1:9")
  t.eq({ after.set_window, model.known(after), target.set_window }, { 2048, 2048 })
end)

test("endpoint: what its answers taught, and its health, outlive a change of the settings", function(t)
  local own <close> = fake { [[{"message":{"role":"assistant","content":"x"},"done":true,"prompt_eval_count":9,"eval_count":1}]] }
  local target = model.open("m", own.url)
  model.learn(target, 1000, 0, 200)
  local health = target.endpoint.health
  endpoints.changed()
  local again = model.open("m", own.url)
  t.eq({ rawequal(again, target), again.learned.rate, rawequal(again.endpoint.health, health) }, { false, 5.0, true })
end)

test("endpoint: retries are counted by endpoint, so a dead one takes nothing from another", function(t)
  local busy = { status = 503, body = '{"error":"server busy"}' }
  local dead <close> = fake { busy }
  local alive <close> = fake { busy,
    [[{"message":{"role":"assistant","content":"x"},"done":true,"done_reason":"stop","prompt_eval_count":9,"eval_count":1}]] }
  for _ = 1, 30 do
    model.ask(model.open("m", dead.url), {}, HI)
    pool.forget() -- else nobody is sent there any more
  end
  local before = #dead.requests
  model.ask(model.open("other", dead.url), {}, HI)
  t.ok(#dead.requests - before <= 2, "less than the two retries that a call may make, whatever the model")
  t.eq(assert(model.ask(model.open("m", alive.url), {}, HI)).text, "x")
end)

test("model: a window of num_ctx = \"auto\" that turns out too small grows, and the question is asked again", function(t)
  local own <close> = fake(function(req, res)
    local size = req.path == "/api/chat" and json.decode(req.body).options.num_ctx
    if not size then return res:reply(200, {}, '{"model_info":{"x.context_length":16384}}') end
    if size < 16384 then return res:reply(400, {}, '{"error":"the prompt exceeds the context length"}') end
    return res:reply(200, {}, '{"message":{"role":"assistant","content":"x"},"done":true,"prompt_eval_count":9,"eval_count":1}')
  end)
  stoke.models { m = { num_ctx = "auto" } }
  local target = model.open("m", own.url)
  t.eq(assert(model.ask(target, {}, HI)).text, "x")
  t.eq(model.known(target), 16384)
  local sizes = {}
  for _, r in ipairs(own.requests) do sizes[#sizes + 1] = r.path == "/api/chat" and json.decode(r.body).options.num_ctx or nil end
  t.eq(sizes, { 4096, 8192, 16384 })
end)

test("model: one that cannot grow any further is an error with both numbers", function(t)
  local own <close> = fake(function(req, res)
    if req.path == "/api/chat" then return res:reply(400, {}, '{"error":"the prompt exceeds the context length"}') end
    return res:reply(200, {}, '{"model_info":{"x.context_length":4096}}')
  end)
  stoke.models { m = { num_ctx = "auto" } }
  local answer, err = model.ask(model.open("m", own.url), {}, HI)
  t.eq({ answer, err.kind, err.window, err.tokens }, { nil, "context_overflow", 4096, 4097 })
end)

test("endpoint: a request without a list of targets goes to its model's endpoint", function(t)
  local own <close> = server { script = { "hello" } }
  model.open("qwen2.5:3b", own.url) -- the dialect is there
  local q = { protocol = "ollama", path = "/api/chat", model = "qwen2.5:3b", endpoint = own.url,
    body = { model = "qwen2.5:3b", stream = false, messages = HI } }
  t.eq(assert(effect.perform("llm.chat", q)).message.content, "hello")
end)

test("endpoint: what was learned of models is kept in bounds", function(t)
  local own <close> = fake { "{}" }
  for i = 1, 5000 do endpoints.target(endpoints.of(own.url), "m" .. i, model.open("m", own.url).dialect) end
  model.learn(model.open("m5000", own.url), 1000, 0, 200)
  endpoints.changed()
  t.eq({ model.open("m5000", own.url).learned.rate, model.open("m1", own.url).learned.rate }, { 5.0 })
end)

test("endpoint: a request in a dialect that nobody knows is a bug of its caller", function(t)
  local err = t.raises("argument", effect.perform, "llm.chat", { protocol = "nope", model = "m" })
  t.eq(err.message, "no dialect of model servers is named nope")
end)

test("model: the window of num_ctx = \"auto\" is no part of what is asked, and is sent", function(t)
  local own <close> = fake { [[{"message":{"role":"assistant","content":"x"},"done":true,"prompt_eval_count":9,"eval_count":1}]] }
  stoke.models { m = { num_ctx = "auto", temperature = 0 } }
  local target = model.open("m", own.url)
  local q = target.dialect.chat(target, {}, false, HI)
  t.eq(q.body.options, { temperature = 0 })
  assert(model.ask(target, {}, HI))
  t.eq(json.decode(own.requests[1].body).options, { temperature = 0, num_ctx = 4096 })
end)

test("model: what is no target, and no name, is told by the function that was called", function(t)
  t.match(t.raises("argument", model.open, nil).message, "model.open: the model must be a string, got nil")
  for _, name in ipairs { "ask", "stream", "request", "window", "room", "load", "unload", "capabilities", "embed" } do
    for _, wrong in ipairs { "m", 5, { name = "m" } } do
      local err = t.raises("argument", model[name], wrong, {}, {})
      t.match(err.message, "^model%." .. name .. ": a target expected, as model.open gives it, got ")
    end
  end
end)
