-- The OpenAI dialect: what is sent to which server, what comes back, and that nobody above notices which dialect it was.
-- luacheck: max line length 140

local test = require "stoke.test"
local config = require "stoke.config"
local about = require "core.about"
local fake = require "fake"
local http = require "stoke.http"
local json = require "stoke.json"
local model = require "stoke.model"
local notes = require "stoke.openai.notes"
local openai = require "stoke.openai"
local proc = require "stoke.proc"
local scripted = require "scripted"
local sim = require "stoke.sim"
local speaking = require "speaking"
local stoke = require "stoke"

local function reply(text, more)
  local message = { role = "assistant", content = text }
  for name, value in pairs(more or {}) do message[name] = value end
  return json.encode { id = "c", object = "chat.completion", model = "m", choices = json.array { { index = 0, message = message,
    finish_reason = message.tool_calls and "tool_calls" or "stop" } },
    usage = { prompt_tokens = 9, completion_tokens = 2, total_tokens = 11 } }
end

-- ---- one script, both dialects -------------------------------------------------------------------------------------------------

local function both(script, f, options)
  local out = {}
  for _, dialect in ipairs { "ollama", "openai", "openai-responses" } do
    local server <close> = scripted(script, options)
    config.use_endpoint("here", server.url, "this test", false, dialect)
    out[dialect] = { f(server), server.requests }
  end
  return out
end

local function weather()
  return stoke.tool { name = "get_weather", description = "Weather", params = { city = "string: a city" },
    run = function(a) return "rain in " .. a.city end }
end

-- What must not differ: all but times, and the ids that the server draws.
local function plain(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for name, inner in pairs(value) do
    if name ~= "seconds" and name ~= "load_seconds" and name ~= "id" and name ~= "tool_call_id" then out[name] = plain(inner) end
  end
  return out
end

test("openai: one agent gives one transcript in each dialect, and the server is asked the same", function(t)
  local got = both({ { thinking = "Hm.", tool = "get_weather", args = { city = "Oslo" } }, "Take one." }, function()
    local result = stoke.agent { name = "bot", model = scripted.MODEL, instructions = "Short.",
      tools = { weather() } }:run "Umbrella?"
    return { text = result.text, steps = result.steps, messages = plain(result.messages), usage = plain(result.usage) }
  end)
  t.eq(got.openai[1], got.ollama[1])
  t.eq(got["openai-responses"][1].text, got.ollama[1].text)
  t.eq(got["openai-responses"][1].steps, 2)
  local function asked(requests)
    local out = {}
    for i, request in ipairs(requests) do
      out[i] = {}
      for j, message in ipairs(request.messages) do
        out[i][j] = { message.role, message.content or "", message.tool_name or "",
          message.tool_calls and json.encode(message.tool_calls[1]["function"].arguments) or "" }
      end
    end
    return out
  end
  t.eq(asked(got.openai[2]), asked(got.ollama[2]))
  t.eq(asked(got["openai-responses"][2]), asked(got.ollama[2]))
end)

test("openai: one stream gives the same events in each dialect", function(t)
  local got = both({ { thinking = "Let me see.", text = "Yes, it rains.", tool = "get_weather", args = { city = "Rome" } },
    "Rain." },
    function()
      local text, seen = {}, {}
      for ev in stoke.agent { model = scripted.MODEL, tools = { weather() } }:stream "Weather?" do
        if ev.type == "text" or ev.type == "thinking" then
          text[ev.type] = (text[ev.type] or "") .. ev.text
        else
          seen[#seen + 1] = ev.type
        end
      end
      return { text, seen }
    end)
  t.eq(got.openai[1], got.ollama[1])
  t.eq(got["openai-responses"][1], got.ollama[1])
end)

test("openai: choices, schemas, sessions and embeddings are the same in each dialect", function(t)
  local got = both({ { json = { choice = "spam" } }, { json = { total = "many" } }, { json = { total = 12 } } }, function()
    local choice = stoke.choose { model = scripted.MODEL, prompt = "Buy now!", options = { "billing", "spam" } }
    local bot = stoke.agent { model = scripted.MODEL, output = stoke.schema { total = "integer" } }
    return { choice, bot:run("A bill of 12.").output }
  end)
  t.eq(got.openai[1], { "spam", { total = 12 } })
  t.eq(got.openai[1], got.ollama[1])
  t.eq(got["openai-responses"][1], got.ollama[1])
  t.eq(got.openai[2][2].format, got.ollama[2][2].format)
  got = both({}, function() return stoke.embed { model = "nomic-embed-text", input = { "a text", "another" } }.vectors end)
  t.eq(got.openai[1], got.ollama[1])
end)

test("openai: stoke.chat and stoke.stream say the same in each dialect", function(t)
  local got = both({ "Hello.", { thinking = "Hm", text = "Hi." }, "One two three" }, function()
    local first = stoke.chat { model = scripted.MODEL, prompt = "Hi", logprobs = true, top_logprobs = 2 }
    local second = stoke.chat { model = scripted.MODEL, messages = { { role = "user", content = "Hi" }, first.message,
      { role = "user", content = "And?" } } }
    local text = {}
    for ev in stoke.stream { model = scripted.MODEL, prompt = "Count" } do text[#text + 1] = ev.text end
    return { first.text, first.reason, plain(first.usage), second.text, second.thinking, table.concat(text) }, first.logprobs
  end)
  t.eq(got.openai[1], got.ollama[1])
  t.eq(got.openai[1][4], "Hi.")
end)

test("openai: a cascade by the odds of the answer works on both", function(t)
  local got = both({ "Yes.", "No." }, function()
    local small = stoke.agent { model = scripted.MODEL, options = { num_predict = 5 } }
    local large = stoke.agent { model = scripted.MODEL }
    local result = stoke.cascade { small, large, margin = 0.6 }:run "Is it?"
    return { result.text, result.rung }
  end)
  t.eq(got.openai[1], got.ollama[1])
end)

-- ---- what is sent --------------------------------------------------------------------------------------------------------------

local IMAGE = "iVBORw0KGgo="

test("openai: messages as the wire has them", function(t)
  local server <close> = speaking("vllm", { reply "Hi" })
  stoke.chat { model = "m", endpoint = server.name, messages = { { role = "system", content = "S" },
    { role = "user", content = "See", images = { IMAGE } },
    { role = "assistant", content = "", thinking = "Hm", tool_calls = {
      { id = "call_1", ["function"] = { name = "f", arguments = { x = 1 } } },
      { ["function"] = { name = "g", arguments = {} } } } },
    { role = "tool", tool_name = "g", content = "two" }, { role = "tool", tool_name = "f", tool_call_id = "call_1",
      content = "one" } } }
  local sent = server.sent[1].messages
  t.eq(sent[1], { role = "system", content = "S" })
  t.eq(sent[2].content, { { type = "text", text = "See" },
    { type = "image_url", image_url = { url = "data:image/png;base64," .. IMAGE } } })
  t.eq(sent[3].reasoning_content, "Hm")
  t.eq(sent[3].tool_calls[1], { id = "call_1", type = "function", ["function"] = { name = "f", arguments = '{"x":1}' } })
  t.eq(sent[3].tool_calls[2]["function"].arguments, "{}")
  t.eq({ sent[4].tool_call_id, sent[5].tool_call_id }, { sent[3].tool_calls[2].id, "call_1" })
end)

test("openai: options by the names that each server has for them", function(t)
  local options = { temperature = 0.5, top_k = 4, repeat_penalty = 1.1, stop = { "x" }, seed = 7, num_predict = 3 }
  for kind, want in pairs { vllm = { 4, 1.1, nil }, llama = { 4, nil, 1.1 }, openai = {} } do
    notes.forget()
    local server <close> = speaking(kind, { reply "Hi" })
    for _ = 1, 2 do stoke.chat { model = "m", prompt = "Hi", endpoint = server.name, options = options } end
    local sent = server.sent[2]
    t.eq({ sent.temperature, sent.stop, sent.seed, sent.max_tokens }, { 0.5, { "x" }, 7, 3 })
    t.eq({ sent.top_k, sent.repetition_penalty, sent.repeat_penalty }, want, kind)
  end
end)

test("openai: thinking is switched as each server wants it", function(t)
  local function sent(kind, think)
    local server <close> = speaking(kind, { reply "Hi" })
    stoke.chat { model = "m", prompt = "Hi", endpoint = server.name, think = think }
    local body = server.sent[1]
    return { body.reasoning_effort or false, body.chat_template_kwargs or false, body.thinking or false }
  end
  t.eq(sent("vllm", nil), { false, { enable_thinking = false }, false })
  t.eq(sent("vllm", "high"), { "high", { enable_thinking = true }, false })
  t.eq(sent("ollama", nil), { "none", false, false })
  t.eq(sent("ollama", true), { false, false, false })
  t.eq(sent("ollama", "low"), { "low", false, false })
  t.eq(sent("deepseek", true), { false, false, { type = "enabled" } })
  t.eq(sent("openai", nil), { false, false, false })
  t.eq(sent("openai", true), { "medium", false, false })
end)

-- Runs a script in a process of its own against a server that takes no top_k; what it says there.
test("openai: what a server is not known to take is said once", { real = true }, function(t)
  local server <close> = http.serve { port = 0, handler = function(req, res)
    res:reply(200, { ["Content-Type"] = "application/json" }, req.method == "GET" and speaking.MODELS.openai or reply "Hi")
  end }
  local r = proc.run { argv = { about.executable(), "-e", ([[
    local stoke = require "stoke"
    stoke.models { m = { num_ctx = 8192 } }
    stoke.main(function()
      for _ = 1, 3 do print(stoke.chat { model = "m", prompt = "Hi", endpoint = %q, options = { top_k = 4 } }.text) end
    end)
  ]]):format(server.url .. "/v1") }, timeout = 30 }
  t.eq(r.stdout, "Hi\nHi\nHi\n")
  t.eq(select(2, r.stderr:gsub("the option top_k is not sent", "")), 1)
  t.eq(select(2, r.stderr:gsub("num_ctx of the profile is not sent", "")), 1)
end)

test("openai: what a profile says of loading is not sent", function(t)
  notes.forget()
  stoke.models { m = { num_ctx = 8192, keep_alive = "10m" } }
  local server <close> = speaking("llama", { reply "Hi" })
  stoke.chat { model = "m", prompt = "Hi", endpoint = server.name }
  local body = json.encode(server.sent[1])
  t.ok(not body:find "num_ctx" and not body:find "keep_alive", body)
end)

test("openai: an address with a version is the base of all paths; the key is a bearer token", function(t)
  local asked = {}
  local base <close> = http.serve { mem = "versioned", handler = function(req, res)
    asked[#asked + 1] = req.path .. " " .. (req.headers.authorization or "")
    res:reply(200, { ["Content-Type"] = "application/json" }, req.method == "GET" and speaking.MODELS.litellm or reply "Hi")
  end }
  t.eq(base.url, "http://versioned.mem")
  t.eq(stoke.chat { model = "m", prompt = "Hi", endpoint = "http://versioned.mem/api/v1" }.text, "Hi")
  t.eq(asked[1]:match "^%S+", "/api/v1/models")
  t.eq(asked[2]:match "^%S+", "/api/v1/chat/completions")
end)

-- ---- what comes back -----------------------------------------------------------------------------------------------------------

test("openai: a whole reply: text, thinking, calls, odds, tokens", function(t)
  local body = json.encode { id = "c", model = "m", choices = json.array { { index = 0, finish_reason = "tool_calls", message = {
    role = "assistant", content = "Hi", reasoning_content = "Hm", tool_calls = json.array { { id = "a", type = "function",
      index = 0, ["function"] = { name = "f", arguments = '{"x":1}' } } } },
    logprobs = { content = json.array { { token = "Hi", logprob = -0.5, bytes = json.array { 72, 105 } } } } } },
    usage = { prompt_tokens = 9, completion_tokens = 2, total_tokens = 11, prompt_tokens_details = { cached_tokens = 8 } } }
  local server <close> = speaking("llama", { body })
  local answer = stoke.chat { model = "m", prompt = "Hi", endpoint = server.name }
  t.eq({ answer.text, answer.thinking, answer.reason }, { "Hi", "Hm", "stop" })
  t.eq(answer.calls, { { id = "a", ["function"] = { index = 0, name = "f", arguments = { x = 1 } } } })
  t.eq(answer.logprobs[1].logprob, -0.5)
  t.eq({ answer.usage.input_tokens, answer.usage.output_tokens, answer.usage.tool_calls, answer.usage.estimated }, { 9, 2, 1,
    false })
end)

test("openai: contents in parts, refusals, and reasons to end", function(t)
  local function asked(message, finish)
    local server <close> = speaking("llama", { json.encode { model = "m", choices = json.array { { index = 0, message = message,
      finish_reason = finish } }, usage = { prompt_tokens = 1, completion_tokens = 1, total_tokens = 2 } } })
    return stoke.chat { model = "m", prompt = "Hi", endpoint = server.name }
  end
  local answer = asked({ content = json.array { { type = "thinking", thinking = json.array { { type = "text", text = "Hm" } } },
    { type = "text", text = "Hi" } } }, "stop")
  t.eq({ answer.text, answer.thinking }, { "Hi", "Hm" })
  t.eq(asked({ content = json.null, refusal = "I cannot." }, "stop").text, "I cannot.")
  t.eq(asked({ content = "Hi" }, "length").reason, "length")
  t.eq(asked({ content = "Hi" }, "content_filter").reason, "content_filter")
  t.eq(asked({ content = "Hi" }, json.null).reason, "stop")
end)

test("openai: arguments that are damaged are mended, and those that are none asked for again", function(t)
  local function calls(arguments)
    return reply("", { tool_calls = json.array { { id = "a", type = "function", ["function"] = { name = "get_weather",
      arguments = arguments } } } })
  end
  local server <close> = speaking("llama", { calls '{"city":"Oslo"', reply "Rain." })
  local result = stoke.agent { model = "m", endpoint = server.name, tools = { weather() } }:run "Weather?"
  t.eq({ result.text, result.usage.repairs }, { "Rain.", 1 })
end)

test("openai: where a server tells no times, whole answers are read from streams, and calls of tools where it reads them better whole",
  function(t)
    local server <close> = speaking("vllm", { function(req, res)
      local body = json.decode(req.body)
      if not body.stream then return res:reply(200, { ["Content-Type"] = "application/json" }, reply "whole") end
      res:start(200, { ["Content-Type"] = "text/event-stream" })
      res:write('data: {"model":"m","choices":[{"index":0,"delta":{"content":"streamed"},"finish_reason":"stop"}]}\n\n')
      res:write('data: {"model":"m","choices":[],"usage":{"prompt_tokens":3,"completion_tokens":1}}\n\ndata: [DONE]\n\n')
    end })
    local given = { model = "m", prompt = "Hi", endpoint = server.name }
    t.eq(stoke.chat(given).text, "streamed")
    given.tools = { weather():definition() }
    t.eq(stoke.chat(given).text, "whole")
  end)

-- ---- OpenAI's own --------------------------------------------------------------------------------------------------------------

test("openai: completions, whole and streamed; models", function(t)
  local server <close> = sim.serve { mem = "own", models = { "coder,tps=0,load=0" }, script = { "return x", "return y" } }
  config.use_endpoint("own", server.url, "this test", false, "openai")
  local answer = openai.complete { model = "coder", prompt = "def f(", endpoint = "own" }
  t.eq({ answer.text, answer.reason, answer.usage.estimated }, { "return x", "stop", false })
  local text = {}
  for ev in openai.stream { model = "coder", prompt = "def g(", endpoint = "own" } do text[#text + 1] = ev.text end
  t.eq(table.concat(text), "return y")
  t.eq(openai.models("own")[1].id, "coder:latest")
  t.match(t.raises("usage", openai.complete, { model = "m", prompt = "x", endpoint = "http://ollama.mem" }).message,
    "speaks ollama")
end)

test("openai: what a server can do is tried once and remembered", function(t)
  local server <close> = sim.serve { mem = "able", models = { "m,tps=0,load=0,tools=true" } }
  config.use_endpoint("able", server.url, "this test", false, "openai")
  local can = openai.capabilities("m", "able")
  t.eq({ can.completion, can.tools, can.logprobs, can.stream_usage, can.json_schema }, { true, true, true, true, true })
  local asked = server.sim.ledger.requests
  t.eq(model.capabilities(model.open("m", "able")), can)
  t.eq(server.sim.ledger.requests, asked)
end)

test("openai: what a server refuses it cannot do", function(t)
  local refusal = { status = 400, body = [[{"error":{"message":"response_format is not supported","param":"response_format"}}]] }
  local server <close> = speaking("openai", { function(req, res)
    local body = json.decode(req.body)
    local head = { ["Content-Type"] = "application/json" }
    if body.tools then
      return res:reply(400, head, [[{"error":{"message":"this model does not support tools"}}]])
    elseif body.response_format then
      return res:reply(400, head, refusal.body)
    end
    res:reply(200, head, reply "hello")
  end })
  local can = openai.capabilities("m", server.name)
  t.eq({ can.completion, can.tools, can.json_schema, can.json_object, can.logprobs }, { true, false, false, false, false })
end)

test("openai: the context window, where the server tells it", function(t)
  local vllm <close> = speaking("vllm", { reply "Hi" })
  t.eq(model.window(model.open("m", vllm.name)), 4096)
  local llama <close> = speaking("llama", { reply "Hi" })
  t.eq(model.window(model.open("m", llama.name)), 2048)
  local none <close> = speaking("openai", { reply "Hi" })
  t.eq(model.window(model.open("m", none.name)), nil)
end)

test("openai: what the server does not have is an error that says so", function(t)
  local server <close> = speaking("vllm", { reply "Hi" })
  local target = model.open("m", server.name)
  t.eq(select(2, model.load(target)).message, "the dialect openai has no load")
  t.eq(model.probe(server.name).version, "vllm")
  t.eq(model.residency(server.name)[1], { name = "m", window = 4096 })
  t.match(t.raises("usage", stoke.ollama.chat, { model = "m", endpoint = server.name, messages = {} }).message, "speaks openai")
end)

test("openai-responses: a tool's result with an image goes as parts of that wire", function(t)
  local messages = { { role = "user", content = "Look" },
    { role = "assistant", content = "", tool_calls = { { id = "c1", ["function"] = { name = "look", arguments = {} } } } },
    { role = "tool", tool_name = "look", tool_call_id = "c1", content = "seen", images = { "iVBORw0K" } } }
  local body = require "stoke.openai.responses".body({ body = { messages = messages } }, { served = "m", learned = {} },
    { kind = require "stoke.openai.servers".KINDS.openai, windows = {}, names = {} }, false)
  t.eq(body.input[3], { type = "function_call_output", call_id = "c1", output = { { type = "input_text", text = "seen" },
    { type = "input_image", image_url = "data:image/png;base64,iVBORw0K" } } })
end)

test("openai: who is cancelled while the server is asked what it is asks nothing more", function(t)
  for _, verb in ipairs { "chat", "stream" } do
    local paths = {}
    local server <close> = fake(function(req)
      paths[#paths + 1] = req.path
      stoke.sleep(100)
    end)
    config.use_endpoint("here", server.url, "this test", false, "openai")
    local scope <close> = stoke.scope {}
    local task = scope:spawn(function() return stoke[verb] { model = "m", prompt = "Hi" } end)
    stoke.sleep(1)
    t.eq(paths, { "/v1/models" })
    task:cancel()
    stoke.sleep(10)
    t.eq(paths, { "/v1/models" })
  end
end)
