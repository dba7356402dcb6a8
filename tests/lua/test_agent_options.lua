-- How a model is asked: sampling profiles by name, sampling in a model's profile, windows that grow with the conversation; and what
-- a result is.

local config = require "stoke.config"
local ollama = require "stoke.ollama"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"
local endpoints = require "core.endpoint"

local MODEL = scripted.MODEL

--- Profiles for as long as the caller's block.
local function profiles(given)
  endpoints.forget()
  ollama.profiles(given)
  return setmetatable({}, { __close = function()
    for model in pairs(given) do ollama.profiles { [model] = {} } end
    endpoints.forget()
  end })
end

-- ---- sampling -------------------------------------------------------------------------------------------------------------------

test("sampling: a profile by its name, in options or as sampling, with options over it", function(t)
  local server <close> = scripted(function() return '{"choice":"a"}' end)
  local function sent(given)
    given.model, given.endpoint = MODEL, server.url
    stoke.agent(given):run "x"
    return server.requests[#server.requests].options
  end
  t.eq(sent { options = "precise" }.temperature, 0)
  t.eq(sent { sampling = "precise" }.temperature, 0)
  t.eq(sent { sampling = "creative", options = { top_p = 0.5 } }.top_p, 0.5)
  t.ok(sent { sampling = "creative", options = { top_p = 0.5 } }.temperature > 1)
  ollama.chat { model = MODEL, endpoint = server.url, options = "precise", messages = { { role = "user", content = "x" } } }
  t.eq(server.requests[#server.requests].options, { temperature = 0 })
  ollama.generate { model = MODEL, endpoint = server.url, sampling = "precise", prompt = "x" }
  t.eq(server.requests[#server.requests].options, { temperature = 0 })
  for _ in ollama.stream { model = MODEL, endpoint = server.url, sampling = "precise", prompt = "x" } do end -- luacheck: ignore
  t.eq(server.requests[#server.requests].options, { temperature = 0 })
  stoke.choose { model = MODEL, endpoint = server.url, sampling = "creative", prompt = "x", options = { "a" } }
  t.ok(server.requests[#server.requests].options.temperature > 1)
end)

test("sampling: a name that nobody knows is refused with what was meant", function(t)
  local function refused(f, ...)
    local err = t.raises("argument", f, ...)
    t.match(err.message, "no sampling profile is named precice %(did you mean precise%?%)")
    t.match(err.hint, "known: balanced, creative, precise")
  end
  refused(stoke.agent, { model = MODEL, options = "precice" })
  refused(stoke.agent, { model = MODEL, sampling = "precice" })
  refused(ollama.chat, { model = MODEL, options = "precice", messages = {} })
  refused(stoke.choose, { model = MODEL, sampling = "precice", prompt = "x", options = { "a" } })
  t.match(t.raises("argument", stoke.agent, { model = MODEL, options = 5 }).message, "options must be a table")
end)

test("sampling: profiles of the configuration, and those built in", function(t)
  local _ <close> = setmetatable({}, { __close = function() config.load() end })
  config.load { read = function(path)
    return path == "./stoke.config.lua" and "return { sampling = { mine = { temperature = 0.3, stop = { 'END' } } } }" or nil
  end }
  local made = stoke.agent { name = "bot", model = MODEL, sampling = "mine" }
  t.eq(made.definition.options, { temperature = 0.3, stop = { "END" } })
  t.eq(stoke.agent { model = MODEL, sampling = "precise" }.definition.options, { temperature = 0 })
end)

test("sampling: in a model's profile it is for calls that do not say", function(t)
  local _ <close> = profiles { [MODEL] = { temperature = 0.2, top_k = 5, num_ctx = 4096 } }
  local server <close> = scripted(function() return "ok" end)
  local function sent(options)
    ollama.chat { model = MODEL, endpoint = server.url, options = options, messages = { { role = "user", content = "x" } } }
    return server.requests[#server.requests].options
  end
  t.eq(sent(), { temperature = 0.2, top_k = 5, num_ctx = 4096 })
  t.eq(sent { temperature = 0.9 }, { temperature = 0.9, top_k = 5, num_ctx = 4096 })
  ollama.load { model = MODEL, endpoint = server.url }
  t.match(t.raises("argument", ollama.profiles, { [MODEL] = { temperatur = 1 } }).message, "did you mean temperature")
  t.match(t.raises("argument", ollama.profiles, { [MODEL] = { num_ctx = "big" } }).message, 'or "auto"')
  t.match(t.raises("argument", ollama.chat, { model = MODEL, options = { num_ctx = 5 }, messages = {} }).message, "load option")
end)

-- ---- num_ctx = "auto" -----------------------------------------------------------------------------------------------------------

local function words(count, of) return (of or "word "):rep(count) end

test("auto: the window grows with the conversation, in steps, and never shrinks", function(t)
  local _ <close> = profiles { [MODEL] = { num_ctx = "auto" } }
  local server <close> = scripted(function() return "ok" end)
  local chat = stoke.agent { model = MODEL, endpoint = server.url }:session()
  local seen = {}
  local function ask(count)
    chat:run(words(count))
    seen[#seen + 1] = server.requests[#server.requests].options.num_ctx
  end
  ask(1) ask(1000) ask(4000) ask(1) ask(1)
  t.eq(seen[1], 4096)
  for i = 2, #seen do t.ok(seen[i] >= seen[i - 1]) end
  t.ok(seen[#seen] > 4096)
  stoke.agent { model = MODEL, endpoint = server.url }:run "x"
  t.eq(server.requests[#server.requests].options.num_ctx, seen[#seen], "it belongs to the model, not to the conversation")
  t.ok(#chat.messages == 10 and server.sim.ledger.loads <= 4, server.sim.ledger.loads)
end)

test("auto: bounded by what the model can hold; raw calls and streams grow it too", function(t)
  local model = "llama2:7b"
  local _ <close> = profiles { [model] = { num_ctx = "auto" } }
  local server <close> = scripted(function() return "ok" end, { models = { "llama2:7b,context=8192" } })
  local function sent(count, how)
    local given = { model = model, endpoint = server.url, messages = { { role = "user", content = words(count) } } }
    stoke.try(how or ollama.chat, given)
    return server.requests[#server.requests].options.num_ctx
  end
  t.eq(sent(1), 4096)
  t.eq(sent(4000, function(given) for _ in ollama.stream(given) do end end), 8192) -- luacheck: ignore
  t.eq(sent(30000), 8192)
end)

test("auto: explain shows the window that would be sent, load uses it", function(t)
  local _ <close> = profiles { [MODEL] = { num_ctx = "auto" } }
  local server <close> = scripted(function() return "ok" end)
  local bot = stoke.agent { model = MODEL, endpoint = server.url }
  t.match(bot:explain("x").body, '"num_ctx":4096')
  t.match(bot:explain("x").answer, "at most 4096 tokens")
  t.match(bot:explain(words(4000)).body, '"num_ctx":16384')
  ollama.load { model = MODEL, endpoint = server.url }
  t.eq(ollama.ps(server.url).models[1].context_length, 4096, "looking changes nothing")
  bot:run(words(4000))
  t.eq(ollama.ps(server.url).models[1].context_length, 16384)
end)

test("auto: a window that does not fit into memory is given back, for good", function(t)
  local _ <close> = profiles { [MODEL] = { num_ctx = "auto" } }
  local server <close> = scripted(function(request)
    if request.options.num_ctx > 4096 then
      return { status = 500, error = "model requires more system memory (9.0 GiB) than is available (4.0 GiB)" }
    end
    return "ok"
  end)
  local function ask(count)
    local messages = { { role = "user", content = words(count) } }
    return stoke.try(ollama.chat, { model = MODEL, endpoint = server.url, messages = messages })
  end
  t.ok(ask(3000))
  local sizes = {}
  for i, request in ipairs(server.requests) do sizes[i] = request.options.num_ctx end
  t.eq(sizes, { 8192, 4096 })
  ask(3000)
  t.eq(server.requests[#server.requests].options.num_ctx, 4096, "it is not tried again")
end)

-- ---- results --------------------------------------------------------------------------------------------------------------------

test("results: print their text, are the only value, and are what the last event carries", function(t)
  local server <close> = scripted(function() return "It rains." end)
  local bot = stoke.agent { name = "bot", model = MODEL, endpoint = server.url }
  t.eq(tostring(bot:run "x"), "It rains.")
  t.eq(select("#", bot:run "x"), 1)
  t.eq(select("#", bot:session():run "x"), 1)
  for _, stream in ipairs { function() return bot:stream "x" end, function() return bot:session():stream "x" end } do
    local shown, last = {}, nil
    for ev in stream() do
      shown[#shown + 1] = ev.text or ""
      last = ev
    end
    t.eq(table.concat(shown), "It rains.")
    local keys = {}
    for key in pairs(last) do keys[#keys + 1] = key end
    table.sort(keys)
    t.eq(keys, { "result", "type" })
    t.eq({ tostring(last.result), last.result.text, last.result.steps }, { "It rains.", "It rains.", 1 })
  end
  t.match(stoke.json.encode(bot:run "x"), '"text":"It rains%."')
end)

test("results: the work so far of a run that failed is one, too", function(t)
  local server <close> = scripted { { tool_calls = { { name = "x", arguments = {} } }, text = "I looked." } }
  local x = stoke.tool { name = "x", run = function() return "x" end }
  local err = t.raises("max_steps", function()
    stoke.agent { model = MODEL, endpoint = server.url, tools = { x }, max_steps = 1 }:run "x"
  end)
  t.eq(tostring(err.work), "I looked.")
end)

-- ---- thinking -------------------------------------------------------------------------------------------------------------------

test("think: a level that the model has not is asked for as thinking alone, from then on", function(t)
  local server <close> = scripted(function(request)
    if request.think == "high" then
      return { status = 400, error = 'think value "high" is not supported for this model' }
    end
    return { thinking = "Hm.", text = "Rain." }
  end)
  local bot = stoke.agent { model = "qwen3:4b", think = "high", endpoint = server.url }
  local result = bot:run "x"
  t.eq({ result.text, result.thinking, result.usage.repairs }, { "Rain.", "Hm.", 1 })
  bot:run "x"
  t.eq({ #server.requests, server.requests[2].think, server.requests[3].think }, { 3, true, true })
  t.match(bot:explain("x").body, '"think":true')
end)

-- ---- what is asked -----------------------------------------------------------------------------------------------------------

test("images: the messages of a run, with their images, can be given to another", function(t)
  local server <close> = scripted(function() return "ok" end, { models = { "eye,caps=completion+vision" } })
  local dot = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
  local bot = stoke.agent { model = "eye", endpoint = server.url }
  local first = bot:run { text = "look", images = { { data = dot } } }
  bot:run { first.messages[1], { role = "user", content = "again", images = { "data:image/png;base64," .. dot } } }
  local sent = server.requests[#server.requests].messages
  t.eq({ sent[1].images, sent[2].images }, { { dot }, { dot } })
  t.raises("os", bot.run, bot, { text = "look", images = { "no-such-file.png" } })
end)

test("format: a schema of stoke.schema is taken as it is", function(t)
  local server <close> = scripted(function() return '{"x":"y"}' end)
  local Thing = stoke.schema { x = "string" }
  ollama.chat { model = MODEL, endpoint = server.url, messages = { { role = "user", content = "x" } }, format = Thing }
  t.eq(server.requests[1].format, Thing:json_schema())
end)
