-- stoke.ollama: every function, against the simulator in memory; and what goes out, byte for byte.

local test = require "stoke.test"
local fake = require "fake"
local config = require "stoke.config"
local fs = require "stoke.fs"
local json = require "stoke.json"
local ollama = require "stoke.ollama"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }
local CHAT = [[{"model":"m","created_at":"2026-01-02T03:04:05Z","message":{"role":"assistant","content":"Hello"},"done":true,]] ..
  [["done_reason":"stop","total_duration":900000000,"load_duration":40000000,"prompt_eval_count":12,"eval_count":25}]]
local TEXT = [[{"model":"m","created_at":"2026-01-02T03:04:05Z","response":"Hello","done":true,"done_reason":"stop"}]]

-- A simulator of the test's own, as the default endpoint.
local function simulate(options)
  options = options or {}
  options.mem = options.mem or "ollama"
  local server = sim.serve(options)
  config.use_endpoint("sim", server.url, "test")
  return server
end

local function names(list)
  local out = {}
  for i, m in ipairs(list) do out[i] = m.name end
  table.sort(out)
  return out
end

-- ---- chat, generate, embed ------------------------------------------------------------------------------------------

test("chat: one answer, the API's own table", function(t)
  local server <close> = simulate { script = { { text = "Good morning.", thinking = "a greeting" } } }
  local reply = ollama.chat { model = "qwen3:4b", messages = HI, think = true }
  t.eq(reply.message, { role = "assistant", content = "Good morning.", thinking = "a greeting" })
  t.eq({ reply.model, reply.done, reply.done_reason }, { "qwen3:4b", true, "stop" })
  t.eq(math.type(reply.eval_count), "integer")
end)

test("chat: tools are called, and the history with the calls goes back as it came", function(t)
  local server <close> = simulate()
  local tools = { { type = "function", ["function"] = { name = "get_weather", description = "Weather in a city",
    parameters = { type = "object", properties = { city = { type = "string" } }, required = { "city" } } } } }
  local messages = { { role = "user", content = "What is the weather in Oslo?" } }
  local reply = ollama.chat { model = "qwen2.5:3b", messages = messages, tools = tools }
  local call = reply.message.tool_calls[1]
  t.eq({ call["function"].name, call["function"].arguments.city }, { "get_weather", "Oslo" })
  t.match(call.id, "^call_")
  messages[2] = reply.message
  messages[3] = { role = "tool", content = "rain", tool_name = "get_weather", tool_call_id = call.id }
  t.eq(ollama.chat { model = "qwen2.5:3b", messages = messages, tools = tools }.done, true)
end)

test("generate: a completion, fill in the middle, raw, template and context", function(t)
  local server <close> = simulate { models = { "qwen2.5-coder:1.5b" } }
  local function ask(options)
    options.model = "qwen2.5-coder:1.5b"
    return ollama.generate(options)
  end
  local reply = ask { prompt = "Hello" }
  t.ok(#reply.response > 0 and reply.done and #reply.context > 0)
  t.ok(#ask { prompt = "def f(", suffix = "return x" }.response > 0)
  reply = ask { prompt = "raw text", raw = true }
  t.eq(reply.context, nil)
  t.raises("http", ask, { prompt = "x", raw = true, system = "no" })
  t.ok(ask { prompt = "more", context = { 1, 2, 3 } }.done)
end)

test("generate: images are read from files, or given as base64 with or without a data URL", function(t)
  local path = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-test-image"
  fs.write(path, "\x89PNG\r\n\x1a\n\0\xff")
  local server <close> = fake { TEXT, CHAT }
  ollama.generate { model = "m", prompt = "What?", endpoint = server.url,
    images = { { path = path }, "AAAA", "data:image/png;base64,BBBB" } }
  local base64 = "iVBORw0KGgoA/w=="
  t.eq(json.decode(server.requests[1].body).images, { base64, "AAAA", "BBBB" })
  local message = { role = "user", content = "And?", images = { { path = path } } }
  ollama.chat { model = "m", messages = { message }, endpoint = server.url }
  t.eq(json.decode(server.requests[2].body).messages[1].images, { base64 })
  t.eq(message.images, { { path = path } }, "the script's own table stays")
  t.eq(ollama.image(path), base64)
  fs.remove(path)
  t.raises("os", ollama.image, path)
  t.raises("argument", ollama.generate, { model = "m", prompt = "x", images = { 7 }, endpoint = server.url })
end)

test("embed: one text or many, rows in their order, near texts near", function(t)
  local server <close> = simulate()
  local texts = { "the cat sat on the mat", "stock prices fell again", "a cat sat on a mat" }
  local rows = ollama.embed { model = "nomic-embed-text", input = texts }.embeddings
  t.eq({ #rows, #rows[1] }, { 3, 768 })
  for i, text in ipairs(texts) do
    t.eq(ollama.embed { model = "nomic-embed-text", input = text }.embeddings[1], rows[i])
  end
  local function dot(a, b)
    local sum = 0
    for i = 1, #a do sum = sum + a[i] * b[i] end
    return sum
  end
  t.ok(dot(rows[1], rows[3]) > dot(rows[1], rows[2]))
  t.eq(#ollama.embed { model = "nomic-embed-text", input = "x", dimensions = 64 }.embeddings[1], 64)
  t.eq(#ollama.embed { model = "nomic-embed-text", input = {} }.embeddings, 0)
end)

test("embed: a batch may hold more tokens than the window; one text may not", function(t)
  local server <close> = simulate { models = { "nomic-embed-text" } }
  ollama.profiles { ["nomic-embed-text"] = { num_ctx = 300 } }
  local many = {}
  for i = 1, 10 do many[i] = ("word "):rep(200) .. i end
  t.eq(#ollama.embed { model = "nomic-embed-text", input = many }.embeddings, 10)
  local err = t.raises("context_overflow", ollama.embed, { model = "nomic-embed-text", input = ("word "):rep(400) })
  t.eq({ err.window, err.estimated, err.tokens }, { 300, true, 500 })
  t.eq(#ollama.embed { model = "nomic-embed-text", input = ("word "):rep(400), truncate = true }.embeddings, 1)
  ollama.profiles { ["nomic-embed-text"] = {} }
end)

-- ---- loading --------------------------------------------------------------------------------------------------------

test("load, pin and unload: keep_alive goes there and nowhere else", function(t)
  local server <close> = simulate { load_seconds = 30 }
  local began = time.monotonic()
  t.eq(ollama.load { model = "qwen2.5:3b" }.done_reason, "load")
  t.near(time.monotonic() - began, 30, 0.5)
  t.eq(ollama.ps().models[1].name, "qwen2.5:3b")
  t.eq(ollama.unload("qwen2.5:3b").done_reason, "unload")
  stoke.sleep(1)
  t.eq(#ollama.ps().models, 0)
  ollama.pin "qwen2.5:3b"
  stoke.sleep(100000)
  t.eq(#ollama.ps().models, 1, "pinned")
  ollama.load { model = "qwen2.5:3b", keep_alive = "10m" }
  stoke.sleep(590)
  t.eq(#ollama.ps().models, 1)
  stoke.sleep(20)
  t.eq(#ollama.ps().models, 0)
end)

test("load: an embedding model, too, and with the profile's keep_alive and options", function(t)
  local server <close> = simulate()
  t.eq(ollama.load { model = "nomic-embed-text" }.done_reason, "load")
  t.eq(names(ollama.ps().models), { "nomic-embed-text:latest" })
  local other <close> = fake { TEXT }
  ollama.profiles { m = { num_ctx = 512, keep_alive = "1h" } }
  ollama.load { model = "m", endpoint = other.url }
  t.eq(json.decode(other.requests[1].body), { model = "m", stream = false, keep_alive = "1h", options = { num_ctx = 512 } })
  ollama.profiles { m = {} }
end)

-- ---- inventory ------------------------------------------------------------------------------------------------------

test("newest: the newest model that can do what is wanted", function(t)
  local server <close> = simulate { models = { "nomic-embed-text", "gemma3:4b", "qwen2.5:3b" } }
  t.eq(ollama.newest(), "gemma3:4b")
  t.eq(ollama.newest "tools", "qwen2.5:3b")
  t.eq(ollama.newest "embedding", "nomic-embed-text:latest")
  t.ok(t.raises("usage", ollama.newest, "insert").message:find("insert", 1, true))
  local old <close> = fake { '{"models":[{"name":"m"}]}', '{"capabilities":["completion"]}' }
  t.eq(ollama.newest("completion", old.url), "m")
  t.eq(old.requests[2].path, "/api/show")
  local empty <close> = fake { '{"models":[]}' }
  t.ok(t.raises("usage", ollama.newest, nil, empty.url).hint:find("stoke pull", 1, true))
end)

test("tags, ps, show, version", function(t)
  local server <close> = simulate { version = "0.33.0" }
  t.eq(ollama.version(), { version = "0.33.0" })
  t.eq(names(ollama.tags().models), { "all-minilm:latest", "llama3.2:3b", "nomic-embed-text:latest", "qwen2.5:3b", "qwen3:4b" })
  t.eq(#ollama.ps().models, 0)
  ollama.chat { model = "qwen2.5:3b", messages = HI }
  local loaded = ollama.ps().models[1]
  t.eq({ loaded.name, loaded.context_length }, { "qwen2.5:3b", 4096 })
  local info = ollama.show "qwen3:4b"
  t.eq(info.capabilities, { "completion", "tools", "thinking" })
  t.ok(info.model_info and info.details)
  t.ok(ollama.show("qwen3:4b", { verbose = true }).capabilities)
end)

test("copy and delete", function(t)
  local server <close> = simulate()
  ollama.copy("qwen2.5:3b", "mine")
  t.ok(ollama.chat { model = "mine", messages = HI }.done)
  ollama.delete "mine"
  local err = t.raises("http", ollama.delete, "mine")
  t.eq({ err.status, err.message, err.retryable }, { 404, "model 'mine' not found", false })
  t.eq(t.raises("http", ollama.copy, "nothing", "x").status, 404)
end)

test("pull, push and create tell their progress", function(t)
  local server <close> = simulate { models = { "qwen2.5:3b" }, pull_seconds = 5 }
  local statuses, bytes, last = {}, 0, nil
  for ev in ollama.pull { model = "llama3.2:1b" } do
    statuses[ev.status], last = true, ev
    if ev.completed then bytes = math.max(bytes, ev.completed) end
    t.eq(ev.type, ev.status == "success" and "done" or "progress")
  end
  t.eq({ last.status, last.type }, { "success", "done" })
  t.ok(statuses["pulling manifest"] and statuses["verifying sha256 digest"] and bytes > 1e9)
  t.ok(ollama.chat { model = "llama3.2:1b", messages = HI }.done)
  last = nil
  for ev in ollama.create { model = "terse", from = "qwen2.5:3b", system = "One sentence.", parameters = { num_ctx = 512 } } do
    last = ev.status
  end
  t.eq(last, "success")
  t.match(ollama.show("terse").parameters, "num_ctx%s+512")
  ollama.copy("terse", "me/terse")
  for ev in ollama.push { model = "me/terse" } do last = ev.status end
  t.eq(last, "success")
end)

test("pull: a name nobody knows, an error line, an end without success", function(t)
  local server <close> = simulate()
  local err = t.raises("http", function() for _ in ollama.pull { model = "no-such-thing" } do end end)
  t.match(err.message, "file does not exist")
  t.match(err.hint, "ollama.com/library")
  local other <close> = fake { { lines = { [[{"status":"pulling manifest"}]], [[{"error":"boom"}]] } },
    { lines = { [[{"status":"pulling manifest"}]], [[{"status":"pulling 29fdb92e57cf"}]] } },
    { lines = { [[{"status":7}]] } } }
  local function pull() for _ in ollama.pull { model = "m", endpoint = other.url } do end end
  t.eq(t.raises("http", pull).message, "boom")
  err = t.raises("incomplete", pull)
  t.eq({ err.message, err.retryable }, { [[pull of m ended after "pulling 29fdb92e57cf", without success]], true })
  t.raises("protocol", pull)
end)

test("pull: leaving the loop closes the connection", function(t)
  local server <close> = simulate { models = { "qwen2.5:3b" }, pull_seconds = 1000 }
  for ev in ollama.pull { model = "llama3.2:1b" } do
    if ev.completed then break end
  end
  stoke.sleep(0.05)
  t.eq(server.sim.ledger.streams_open, 0)
end)

test("blobs are uploaded once, and a model is made of them", function(t)
  local server <close> = simulate()
  local digest = ollama.blob { data = "abc" }
  t.eq(digest, "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  t.eq(ollama.blob_exists(digest), true)
  t.eq(ollama.blob_exists((digest:gsub("b", "c"))), false)
  local before = server.sim.ledger.requests
  t.eq(ollama.blob { data = "abc" }, digest)
  t.eq(server.sim.ledger.requests - before, 1, "only asked")
  local path = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-test-blob.gguf"
  fs.write(path, "GGUF" .. ("\0"):rep(100))
  local last
  for ev in ollama.create { model = "tiny", files = { ["tiny.gguf"] = ollama.blob { path = path } } } do last = ev.status end
  fs.remove(path)
  t.eq(last, "success")
  for _, bad in ipairs { "sha256:abc", "sha256-" .. digest:sub(8), digest:upper(), digest .. "/../x", 7 } do
    t.raises("argument", ollama.blob_exists, bad)
  end
  t.raises("argument", ollama.blob, {})
end)

-- ---- what is sent ---------------------------------------------------------------------------------------------------

test("a call sends just this", function(t)
  local server <close> = fake { CHAT }
  ollama.chat { model = "m", messages = HI, endpoint = server.url }
  local sent = server.requests[1]
  t.eq({ sent.method, sent.path }, { "POST", "/api/chat" })
  t.eq(sent.body, [[{"messages":[{"content":"Hi","role":"user"}],"model":"m","stream":false,"think":false,"truncate":false}]])
  t.eq(sent.headers["content-type"], "application/json")
  t.eq({ sent.headers.origin, sent.headers.expect, sent.headers.authorization }, {})
end)

test("the same call is the same bytes, each time", function(t)
  local server <close> = fake { CHAT }
  ollama.profiles { m = { num_ctx = 4096, num_gpu = 99, use_mmap = false, num_thread = 4, shift = false } }
  for _ = 1, 5 do
    ollama.chat { model = "m", messages = HI, endpoint = server.url, format = { type = "object", properties = { a = {}, b = {} } },
      options = { temperature = 0, seed = 1, top_k = 5, top_p = 0.5, num_predict = 10, stop = { "x" } }, think = "low" }
  end
  for i = 2, 5 do t.eq(server.requests[i].body, server.requests[1].body) end
  local body = json.decode(server.requests[1].body)
  t.eq(body.options, { temperature = 0, seed = 1, top_k = 5, top_p = 0.5, num_predict = 10, stop = { "x" }, num_ctx = 4096,
    num_gpu = 99, use_mmap = false, num_thread = 4 })
  t.eq({ body.think, body.shift }, { "low", false })
  ollama.profiles { m = {} }
end)

test("a profile goes with every call to its model, :latest or not, and reloads nothing", function(t)
  local server <close> = simulate { models = { "qwen2.5:3b", "m" } }
  ollama.profiles { m = { num_ctx = 2048 } }
  ollama.load { model = "m" }
  for _, name in ipairs { "m", "m:latest", "m" } do
    ollama.chat { model = name, messages = HI, options = { temperature = 0 } }
    ollama.generate { model = name, prompt = "x" }
    for _ in ollama.stream { model = name, prompt = "x" } do end
  end
  t.eq(server.sim.ledger.loads, 1)
  t.eq(ollama.ps().models[1].context_length, 2048)
  ollama.profiles { m = {} }
  stoke.models { m = { num_ctx = 1024 } }
  ollama.chat { model = "m", messages = HI }
  t.eq(ollama.ps().models[1].context_length, 1024)
  stoke.models { m = {} }
end)

test("empty lists never go out as objects", function(t)
  local server <close> = fake { CHAT, TEXT, CHAT }
  ollama.chat { model = "m", messages = {}, tools = {}, options = { stop = {}, seed = 1 }, endpoint = server.url }
  t.eq(server.requests[1].body,
    [[{"messages":[],"model":"m","options":{"seed":1},"stream":false,"think":false,"truncate":false}]])
  ollama.generate { model = "m", prompt = "x", images = {}, context = {}, endpoint = server.url }
  t.eq(server.requests[2].body, [[{"context":[],"model":"m","prompt":"x","stream":false,"think":false,"truncate":false}]])
  ollama.chat { model = "m", endpoint = server.url,
    messages = { { role = "assistant", content = "x", tool_calls = {}, images = {} } } }
  t.eq(json.decode(server.requests[3].body).messages, { { content = "x", role = "assistant" } })
end)

test("tool-call arguments go back in the order the model wrote them", function(t)
  local arguments = [["arguments":{"zeta":1,"alpha":{"y":[],"b":{}},"mid":null}]]
  local call = [[{"id":"call_x","function":{"index":0,"name":"f",]] .. arguments .. "}}"
  local reply = CHAT:gsub([["content":"Hello"]], [["content":"","tool_calls":[]] .. call .. "]")
  local server <close> = fake { reply, CHAT }
  local first = ollama.chat { model = "m", messages = HI, endpoint = server.url }
  ollama.chat { model = "m", messages = { HI[1], first.message }, endpoint = server.url }
  t.ok(server.requests[2].body:find(arguments, 1, true), server.requests[2].body)
  t.eq(ollama.usage(first).tool_calls, 1)
end)

test("usage has every field", function(t)
  local server <close> = fake { CHAT, [[{"model":"m","done":true,"response":"","prompt_eval_count":"12","eval_count":null}]] }
  t.eq(ollama.usage(ollama.chat { model = "m", messages = HI, endpoint = server.url }), {
    input_tokens = 12, output_tokens = 25, calls = 1, attempts = 1, tool_calls = 0, repairs = 0, seconds = 0.9,
    load_seconds = 0.04, estimated = false })
  t.eq(ollama.usage(ollama.generate { model = "m", prompt = "x", endpoint = server.url }).output_tokens, 0)
  t.eq(ollama.usage {}, nil)
end)

test("the rendered prompt can be asked for", function(t)
  local server <close> = simulate()
  local reply = ollama.chat { model = "qwen2.5:3b", messages = HI, _debug_render_only = true }
  t.match(reply._debug_info.rendered_template, "Hi")
end)

-- ---- endpoints ------------------------------------------------------------------------------------------------------

test("several named endpoints, each with its headers and key; a path is kept", function(t)
  local one <close> = fake { CHAT }
  local two <close> = fake { CHAT }
  config.load { getenv = function() end, read = function(path)
    if path ~= "./stoke.config.lua" then return nil end
    return ([[return { endpoint = "one", endpoints = {
      one = { url = %q, headers = { ["X-B"] = "2", ["X-A"] = "1" } },
      two = { url = %q, key = "s3cret" }, other = { url = %q, key = "k", headers = { authorization = "Basic x" } } } }]])
      :format(one.url, two.url .. "/base/", two.url)
  end }
  local guard <close> = setmetatable({}, { __close = function() config.load {} end })
  ollama.chat { model = "m", messages = HI }
  ollama.chat { model = "m", messages = HI, endpoint = "two" }
  t.eq({ one.requests[1].headers["x-a"], one.requests[1].headers["x-b"] }, { "1", "2" })
  t.eq({ two.requests[1].headers.authorization, two.requests[1].path }, { "Bearer s3cret", "/base/api/chat" })
  ollama.chat { model = "m", messages = HI, endpoint = "other" }
  t.eq(two.requests[2].headers.authorization, "Basic x")
  t.eq(ollama.endpoint "two", two.url .. ":80/base")
  local err = t.raises("usage", ollama.chat, { model = "m", messages = HI, endpoint = "twoo" })
  t.match(err.hint, "two")
  t.raises("usage", ollama.tags, "twoo")
  t.raises("usage", function() for _ in ollama.pull { model = "m", endpoint = "twoo" } do end end)
end)

test("a key never shows: not in errors, not in traces", function(t)
  local span = require "core.gate.span"
  local server <close> = fake { { status = 401, body = [[{"error":"unauthorized"}]] } }
  local guard <close> = setmetatable({}, { __close = function()
    config.load {}
    span.bodies, span.sinks = false, {}
    span.switch(false)
  end })
  local function use(header)
    config.load { getenv = function() end, read = function(path)
      if path ~= "./stoke.config.lua" then return nil end
      return ([[return { endpoint = "e", endpoints = { e = { url = %q, key = "s3cret", headers = { [%q] = "s3cret" } } } }]])
        :format(server.url, header)
    end }
  end
  local seen = {}
  span.bodies = true
  span.listen(function(record) seen[#seen + 1] = json.encode(record) end)
  use "X-Key"
  local err = t.raises("auth", ollama.chat, { model = "m", messages = HI })
  use "X Key"
  local bad = t.raises("usage", ollama.chat, { model = "m", messages = HI })
  t.match(bad.message, [[the header "X Key" cannot be sent]])
  t.ok(#seen > 0)
  local all = table.concat(seen) .. tostring(err) .. tostring(bad) .. json.encode(err) .. json.encode(bad)
  t.eq(all:find("s3cret", 1, true), nil)
end)

-- ---- what is refused before anything is sent ------------------------------------------------------------------------

-- Each mistake: pattern of the message, function, its options, pattern of the hint.
local function refused(t, cases)
  local server <close> = fake { CHAT }
  for _, case in ipairs(cases) do
    local options = case[3]
    if type(options) == "table" and case[2] ~= ollama.profiles then options.endpoint = server.url end
    local err = t.raises("argument", case[2], options)
    t.match(tostring(err), case[1])
    if case[4] then t.match(err.hint, case[4]) end
  end
  t.eq(#server.requests, 0)
end

local function chat(more)
  local options = { model = "m", messages = HI }
  for k, v in pairs(more) do options[k] = v end
  return options
end

test("mistakes are told before anything is sent: what is missing, or of another type", function(t)
  local text_arguments = { role = "assistant", tool_calls = { { ["function"] = { name = "f", arguments = "{}" } } } }
  refused(t, {
    { "ollama.chat: model is missing", ollama.chat, { messages = HI } },
    { "ollama.chat: model is missing", ollama.chat },
    { "a model's name expected, got an empty string", ollama.chat, { model = "", messages = HI } },
    { "options must be a table, got string", ollama.chat, "hi" },
    { "messages is missing", ollama.chat, { model = "m" } },
    { "prompt is missing", ollama.generate, { model = "m" } },
    { "messages or prompt is missing", ollama.stream, { model = "m" } },
    { "model is missing", ollama.stream },
    { "input is missing", ollama.embed, { model = "m" } },
    { "input%[2%] must be a string, got number", ollama.embed, { model = "m", input = { "a", 2 } } },
    { "input must be a string or a list", ollama.embed, { model = "m", input = 2 } },
    { "messages%[1%] must be a table with role", ollama.chat, { model = "m", messages = { "hi" } } },
    { "arguments of f are a string", ollama.chat, { model = "m", messages = { text_arguments } } },
    { "cannot encode a string that is not UTF%-8 at .messages%[1%].content", ollama.chat,
      { model = "m", messages = { { role = "user", content = "\xff" } } } },
    { "from or files is missing", ollama.create, { model = "m" } },
    { "ollama.show: model is missing", ollama.show },
    { "ollama.copy: destination: model is missing", function() ollama.copy "a" end },
    { "ollama.delete: a model's name expected, got number", ollama.delete, 7 },
    { "ollama.pin: model is missing", ollama.pin },
    { "ollama.unload: model is missing", ollama.unload },
  })
end)

test("mistakes are told before anything is sent: options", function(t)
  refused(t, {
    { "unknown option mesages %(did you mean messages%?%)", ollama.chat, { model = "m", mesages = HI } },
    { "unknown option prompt", ollama.stream, chat { prompt = "x" } },
    { "keep_alive on a call can keep other models from loading", ollama.chat, chat { keep_alive = "5m" }, "ollama.load" },
    { "num_ctx is a load option", ollama.chat, chat { options = { num_ctx = 8192 } }, 'stoke.models { %["m"%] = { num_ctx' },
    { "num_gpu is a load option", ollama.embed, { model = "m", input = "x", options = { num_gpu = 1 } } },
    { "shift is a load option", ollama.chat, chat { shift = false } },
    { "unknown option options.temprature %(did you mean temperature%?%)", ollama.chat, chat { options = { temprature = 1 } } },
    { "options.stop must be a list", ollama.chat, chat { options = { stop = "x" } } },
    { "think must be true, false", ollama.chat, chat { think = "hard" } },
    { "think must be", ollama.chat, chat { think = 1 } },
    { 'format must be "json" or a JSON Schema', ollama.chat, chat { format = "yaml" } },
    { "an empty one or a list", ollama.chat, chat { format = {} } },
    { "format and tools do not mix", ollama.chat, chat { format = "json", tools = { {} } }, "without tools" },
    { "unknown option conect %(did you mean connect%?%)", ollama.chat, chat { timeouts = { conect = 1 } } },
    { "timeouts.idle must be seconds above 0", ollama.chat, chat { timeouts = { idle = 0 } } },
    { "one reply is its value", ollama.chat, chat { stream = true } },
    { "it streams", ollama.stream, chat { stream = false } },
    { "keep_alive \"300\" is no duration", ollama.load, { model = "m", keep_alive = "300" }, "10m" },
    { "keep_alive must be seconds", ollama.load, { model = "m", keep_alive = true } },
    { "unknown option num_ctxx %(did you mean num_ctx%?%)", ollama.profiles, { m = { num_ctxx = 1 } } },
    { "num_ctx must be a whole number", ollama.profiles, { m = { num_ctx = 1.5 } } },
  })
end)

test("durations as Go has them", function(t)
  local server <close> = fake { TEXT }
  for _, good in ipairs { "5m", "1h30m", "-1m", "0", "90s", "1.5h", "100ms", 0, 2.5, -1 } do
    ollama.load { model = "m", keep_alive = good, endpoint = server.url }
    t.eq(json.decode(server.requests[#server.requests].body).keep_alive, good)
  end
  for _, bad in ipairs { "", "5", "m", "5 m", "5x", "-", "1h30", "forever", {}, 0 / 0 } do
    t.raises("argument", ollama.load, { model = "m", keep_alive = bad, endpoint = server.url })
  end
end)

test("a model is named alone, or in a table with the rest, everywhere", function(t)
  local server <close> = sim.serve { mem = "forms", load_seconds = 0 }
  local at, m = server.url, "qwen2.5:3b"
  for _, form in ipairs { { m, at }, { m, { endpoint = at } }, { { model = m, endpoint = at } } } do
    t.ok(ollama.show(form[1], form[2]).capabilities)
    t.eq(ollama.pin(form[1], form[2]).done_reason, "load")
    t.ok(ollama.window(form[1], form[2]))
    t.eq(ollama.unload(form[1], form[2]).done_reason, "unload")
    ollama.copy { source = m, destination = "mine", endpoint = at }
    ollama.delete(type(form[1]) == "table" and { model = "mine", endpoint = at } or "mine", form[2])
  end
  t.eq(#ollama.tags { endpoint = at }.models, #ollama.tags(at).models)
  t.eq(ollama.version { endpoint = at }, ollama.version(at))
  t.ok(ollama.ps { endpoint = at }.models)
  t.eq(ollama.newest { capability = "tools", endpoint = at }, ollama.newest("tools", at))
  t.ok(ollama.show { model = m, verbose = true, endpoint = at }.model_info)
  t.raises("argument", ollama.show, { model = m, verbos = true })
  t.raises("argument", ollama.show, { model = m }, at)
  t.raises("argument", ollama.delete, {})
  t.raises("argument", ollama.unload, m, { endpont = at })
end)

test("load and pull take a name alone, too", function(t)
  local _ <close> = sim.serve { mem = "alone", load_seconds = 0 }
  local undo = require "stoke.config".stand_in("http://alone.mem", "a test", true)
  t.eq(ollama.load "qwen2.5:3b".done_reason, "load")
  local last
  for ev in ollama.pull "gemma3:4b" do last = ev.status end
  t.eq(last, "success")
  undo()
end)
