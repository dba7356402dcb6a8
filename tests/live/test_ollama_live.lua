-- Against a real Ollama, which must show nothing that the simulator did not. Runs only where one answers at OLLAMA_HOST;
-- STOKE_LIVE_MODEL names the models to ask, with commas between; what none of them can do, the smallest does that can.

local test = require "stoke.test"
local http = require "stoke.http"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Say hello in one short sentence." } }
local BRIEF = { num_predict = 24, temperature = 0, seed = 1 }

local found -- what there is: { version, models } or { skip = why }

local function canonical(name) return name:match ":[^/]*$" and name or name .. ":latest" end

-- The models that were asked for, in that order; a name that is not there is an error of who runs this.
local function named(models)
  local list = {}
  for name in (os.getenv "STOKE_LIVE_MODEL" or ""):gmatch "[^, ]+" do
    local hit
    for _, m in ipairs(models) do if canonical(m.name) == canonical(name) then hit = m end end
    if not hit then error(("STOKE_LIVE_MODEL names %s, which is not there: stoke models lists what is"):format(name), 0) end
    list[#list + 1] = hit
  end
  return list
end

local function look()
  local host = os.getenv "OLLAMA_HOST"
  if not host or host == "" then return { skip = "OLLAMA_HOST is not set" } end
  local version, err = stoke.try(ollama.version)
  if err then return { skip = ("no Ollama answers at %s (%s)"):format(ollama.endpoint(), err.kind) } end
  if http.get(ollama.endpoint() .. "/sim/ledger", { raise = false }).status == 200 then
    return { skip = ollama.endpoint() .. " is the simulator" }
  end
  local models = ollama.tags().models
  table.sort(models, function(a, b) return a.size < b.size or a.size == b.size and a.name < b.name end)
  for _, m in ipairs(models) do
    m.can = {}
    for _, capability in ipairs(ollama.show(m.name).capabilities or {}) do m.can[capability] = true end
  end
  local first = named(models)
  for i = #first, 1, -1 do table.insert(models, 1, first[i]) end
  return { version = version.version, models = models }
end

-- The first model with an ability. A plain chat model is preferred to one that calls tools or thinks: those of a test
-- server may do nothing else. `trained`: not one of a few megabytes, which talks without sense.
local function model_with(t, capability, trained)
  local fallback
  for _, m in ipairs(found.models) do
    if m.can[capability] then
      local plain = capability ~= "completion" or not (m.can.tools or m.can.thinking)
      if plain and (not trained or m.size > 150e6) then return m.name end
      fallback = fallback or m.name
    end
  end
  return fallback or t.skip(("no model here can do %s"):format(capability))
end

local function live(name, f)
  test("live: " .. name, { real = true, timeout = 600 }, function(t)
    found = found or look()
    if found.skip then t.skip(found.skip) end
    f(t)
  end)
end

live("version, tags, show and ps have the shape the simulator has", function(t)
  t.match(found.version, "^%d+%.%d+")
  for _, m in ipairs(found.models) do
    t.eq({ type(m.name), math.type(m.size), #m.digest, type(m.modified_at) }, { "string", "integer", 64, "string" })
  end
  for _, m in ipairs(ollama.ps().models) do t.eq({ type(m.name), type(m.expires_at) }, { "string", "string" }) end
end)

live("load, then one reply with all its figures", function(t)
  local model = model_with(t, "completion")
  t.eq(ollama.load { model = model }.done_reason, "load")
  local reply = ollama.chat { model = model, messages = HI, options = BRIEF }
  t.eq({ reply.done, reply.message.role }, { true, "assistant" })
  t.ok(reply.done_reason == "stop" or reply.done_reason == "length")
  local usage = ollama.usage(reply)
  t.ok(usage.input_tokens > 0 and usage.output_tokens > 0 and usage.seconds > 0)
  t.ok(ollama.ps().models[1].context_length == nil or ollama.ps().models[1].context_length > 0)
end)

live("a stream: text, then done with usage", function(t)
  local model = model_with(t, "completion")
  local text, last = {}, nil
  for ev in ollama.stream { model = model, messages = HI, options = BRIEF, merge = false } do
    if ev.type == "text" then text[#text + 1] = ev.text end
    last = ev
  end
  t.ok(#table.concat(text) > 0)
  t.eq({ last.type, last.usage.calls }, { "done", 1 })
  t.ok(last.usage.output_tokens >= #text)
end)

live("generate, raw too", function(t)
  local model = model_with(t, "completion")
  t.ok(#ollama.generate { model = model, prompt = "One, two,", options = BRIEF }.response > 0)
  local reply = ollama.generate { model = model, prompt = "One, two,", raw = true, options = BRIEF }
  t.eq({ reply.context, reply.done }, { nil, true })
end)

live("leaving the loop frees the model at once", function(t)
  local model = model_with(t, "completion")
  for ev in ollama.stream { model = model, prompt = "Count to ten thousand.", options = { num_predict = 4000 } } do
    if ev.type == "text" then break end
  end
  local began = time.monotonic()
  ollama.generate { model = model, prompt = "Hi", options = { num_predict = 1 } }
  t.ok(time.monotonic() - began < 20, "the next call does not wait for the abandoned one")
end)

live("what is refused, with the texts that are known", function(t)
  local err = t.raises("http", ollama.chat, { model = "no-such-model-here", messages = HI })
  t.eq({ err.status, err.hint }, { 404, "stoke pull no-such-model-here" })
  local model = model_with(t, "completion")
  err = t.raises("http", ollama.chat, { model = model, messages = HI, options = { seed = "x" } })
  t.eq({ err.status, err.retryable }, { 500, false })
  t.match(err.message, "^option \"seed\"")
end)

live("a prompt that does not fit is context_overflow with both numbers", function(t)
  local model = model_with(t, "completion")
  ollama.load { model = model }
  local window
  for _, m in ipairs(ollama.ps().models) do if m.name == model then window = m.context_length end end
  if not window or window > 40000 then t.skip "the window is too large to fill for a test" end
  local err = t.raises("context_overflow", ollama.generate,
    { model = model, prompt = ("word "):rep(window * 2), options = { num_predict = 1 } })
  t.ok(err.tokens > window, tostring(err))
  t.eq(err.window, window)
end)

live("a JSON schema is kept to", function(t)
  local model = model_with(t, "completion", true)
  local reply = ollama.chat { model = model, options = { num_predict = 100, temperature = 0, seed = 1 },
    messages = { { role = "user", content = "I am 42 years old. Answer with JSON: {\"age\": number}" } },
    format = { type = "object", properties = { age = { type = "integer" } }, required = { "age" } } }
  if reply.done_reason == "stop" then t.eq(math.type(json.decode(reply.message.content).age), "integer") end
end)

live("a tool is called, and its result goes back", function(t)
  local model = model_with(t, "tools")
  local tools = { { type = "function", ["function"] = { name = "get_weather", description = "Current weather in a city",
    parameters = { type = "object", properties = { city = { type = "string" } }, required = { "city" } } } } }
  local messages = { { role = "user", content = "What is the weather in Oslo? Use the tool." } }
  local calls, last = {}, nil
  for ev in ollama.stream { model = model, messages = messages, tools = tools, options = { temperature = 0, num_predict = 200 } } do
    if ev.type == "tool_call" then calls[#calls + 1] = ev end
    last = ev
  end
  t.eq(last.type, "done")
  if #calls == 0 then t.skip(model .. " chose not to call") end
  t.eq({ calls[1].name, type(calls[1].arguments), type(calls[1].id) }, { "get_weather", "table", "string" })
  messages[2] = { role = "assistant", content = "", tool_calls = { calls[1].call } }
  messages[3] = { role = "tool", content = "rain, 7 degrees", tool_name = "get_weather", tool_call_id = calls[1].id }
  t.eq(ollama.chat { model = model, messages = messages, tools = tools, options = BRIEF }.done, true)
end)

live("vectors: one a text, in their order", function(t)
  local model = model_with(t, "embedding")
  local texts = { "a cat", "the stock market", "a cat" }
  local rows = ollama.embed { model = model, input = texts }.embeddings
  t.eq(#rows, 3)
  local same, other = 0, 0
  for i = 1, #rows[1] do
    same, other = same + rows[1][i] * rows[3][i], other + rows[1][i] * rows[2][i]
  end
  t.ok(same > 0.99 and same > other)
end)

live("unload frees the memory", function(t)
  local model = model_with(t, "completion")
  ollama.load { model = model }
  t.eq(ollama.unload(model).done_reason, "unload")
  for _ = 1, 100 do
    local there = false
    for _, m in ipairs(ollama.ps().models) do there = there or m.name == model end
    if not there then return end
    stoke.sleep(0.1)
  end
  t.fail "it is still loaded after ten seconds"
end)

live("an agent calls a tool, reads its result and answers", function(t)
  local model = model_with(t, "tools")
  local asked = {}
  local weather = stoke.tool { name = "get_weather", description = "Current weather in a city",
    params = { city = "string: city name" }, run = function(a) asked[#asked + 1] = a.city return "rain, 7 degrees" end }
  local bot = stoke.agent { name = "bot", model = model, tools = { weather },
    instructions = "Use the tool. Answer in one sentence.", options = { temperature = 0, num_predict = 200 }, max_steps = 6 }
  local result = bot:run "What is the weather in Oslo?"
  t.ok(result.text:find "%S")
  if #asked == 0 then t.skip(model .. " chose not to call") end
  t.match(asked[1], "Oslo")
end)

live("an answer fits its schema, a choice is one of the options", function(t)
  local model = model_with(t, "completion", true)
  local reader = stoke.agent { model = model, output = { city = "string", population = "integer >= 0" },
    options = { temperature = 0, num_predict = 200 } }
  local output = reader:run("Oslo has about 717000 inhabitants.").output
  t.eq({ type(output.city), math.type(output.population) }, { "string", "integer" })
  for _ = 1, 10 do
    local choice = stoke.choose { model = model, prompt = "Is an apple a fruit?", options = { "yes", "no" } }
    t.ok(choice == "yes" or choice == "no")
  end
end)

require "same_bytes" -- one after the other: both load and unload what the server has
