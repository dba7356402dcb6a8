-- Each client of tests/lua/readers.lua from its first question to an answer: what it asks, in its words, and whether it can read
-- what it gets.

local test = require "stoke.test"
local stoke = require "stoke"
local json = require "stoke.json"
local time = require "stoke.time"
local readers = require "readers"
local served = require "served"

local WEATHER = { type = "function", ["function"] = { name = "weather", description = "The weather",
  parameters = { type = "object", properties = { city = { type = "string" } }, required = { "city" } } } }
local ASKS = { tool = "weather", args = { city = "Oslo" } }

--- An agent that thinks, calls a tool of its own, and says something in pieces.
local function busy(agent)
  local own = stoke.tool { name = "look", description = "Looks", params = { at = "string" }, run = function() return "blue" end }
  return { agent { tools = { own } } }
end

local LOOKS = { tool = "look", args = { at = "the sea" } }
local SAYS = { thinking = "hm", text = "one two three" }

local function busy_place(script) return served(script, busy, nil, { models = { "qwen2.5:3b,caps=completion+tools+thinking" },
  tokens_per_second = 10 }) end

--- Every line of a stream, read; what they say, and the last one.
local function heard(read, text)
  local said, last, count = {}, nil, 0
  for line in text:gmatch "([^\n]*)\n" do
    last, count = read(line), count + 1
    said[#said + 1] = last.message.content
  end
  return table.concat(said), last, count
end

-- ---- Zed ------------------------------------------------------------------------------------------------------------------------

test("Zed: the list, the abilities, a stream with thoughts, a whole answer with a call", function(t)
  local place <close> = busy_place { LOOKS, SAYS, ASKS, "It rains." }
  local list = readers.zed.tags(place:get("/api/tags").body)
  t.eq(list.models[1].name, "poet:latest")
  t.ok(#readers.zed.show(place:post("/api/show", { model = "poet:latest" }).body).capabilities > 0)
  local asked = { model = "poet:latest", stream = true, keep_alive = -1, think = true, tools = json.array {},
    messages = { { role = "system", content = "Be brief." }, { role = "user", content = "The sea?" } },
    options = { num_ctx = 4096, num_predict = json.null, stop = json.array {}, temperature = 1.0, top_p = json.null } }
  local text, last = heard(readers.zed.line, place:post("/api/chat", asked).body)
  t.eq({ text, last.done, last.eval_count > 0 }, { "one two three", true, true })
  asked.stream, asked.tools = false, { WEATHER }
  local whole = readers.zed.line(place:post("/api/chat", asked).body)
  t.eq(whole.message.tool_calls[1]["function"].arguments, { city = "Oslo" })
  asked.messages[3] = { role = "assistant", content = "", thinking = json.null,
    tool_calls = { { ["function"] = whole.message.tool_calls[1]["function"] } } }
  asked.messages[4] = { role = "tool", tool_name = "weather", content = "rain" }
  t.eq(readers.zed.line(place:post("/api/chat", asked).body).message.content, "It rains.")
end)

-- ---- VS Code --------------------------------------------------------------------------------------------------------------------

test("VS Code: the version, each model's window leaves room for a question, a stream of the other API", function(t)
  for _, window in ipairs { 1024, 2048, 4096, 6000, 8192, 32768 } do
    stoke.models { windowed = { num_ctx = window } }
    local place <close> = served({ "one two" }, function(agent) return { agent { model = "windowed" } } end, nil,
      { models = { "windowed" } })
    t.ok(readers.vscode.at_least(readers.vscode.version(place:get("/api/version").body).version, "0.6.4"))
    local name = readers.vscode.tags(place:get("/api/tags").body).models[1].model
    local shown = readers.vscode.show(place:post("/api/show", { model = name }).body)
    local input, output = readers.vscode.limits(shown.model_info)
    t.ok(input >= window // 4 and input + output <= window, ("a window of %d leaves %d for a question"):format(window, input))
    local r = place:post("/v1/chat/completions", { model = name, stream = true, stream_options = { include_usage = true },
      temperature = 0.1, top_p = 1, n = 1, max_tokens = output, messages = { { role = "user", content = "Hello" } } })
    local events, ended = served.events(r.body)
    t.eq({ ended, events[#events].usage.completion_tokens }, { true, 2 })
  end
end)

test("VS Code: versions are compared by their numbers", function(t)
  for version, so in pairs { ["0.6.4"] = true, ["0.10.0"] = true, ["1.0"] = true, ["0.6.3"] = false, ["0.6"] = false,
    ["stoke 0.2"] = false, ["0.99.0-stoke"] = true } do
    t.eq(readers.vscode.at_least(version, "0.6.4"), so, version)
  end
end)

-- ---- Open WebUI -----------------------------------------------------------------------------------------------------------------

test("Open WebUI: what it asks first, a stream, and an error that it can show", function(t)
  local place <close> = busy_place { LOOKS, SAYS }
  readers.open_webui.version(place:get("/api/version").body)
  t.eq(#readers.open_webui.tags(place:get("/api/tags").body).models, 1)
  readers.open_webui.ps(place:get("/api/ps").body)
  local asked = { model = "poet:latest", stream = true, messages = { { role = "user", content = "The sea?" } } }
  local text = heard(readers.open_webui.line, place:post("/api/chat", asked).body)
  t.eq(text, "one two three")
  for _, path in ipairs { "/api/chat", "/api/generate", "/api/embed", "/api/show" } do
    asked.model = "nobody"
    local r = place:post(path, asked)
    t.eq(r.status, 404, path)
    readers.open_webui.error(r.body)
  end
end)

-- ---- codecompanion.nvim ---------------------------------------------------------------------------------------------------------

test("codecompanion: every model is shown at once, a call of its tool, its result by the tool's name", function(t)
  local place <close> = busy_place { ASKS, SAYS }
  for _, model in ipairs(readers.codecompanion.tags(place:get("/api/tags").body).models) do
    local before = time.monotonic()
    readers.codecompanion.show(place:post("/api/show", { model = model.name }).body)
    t.ok(time.monotonic() - before < 3, "it waits three seconds")
  end
  local asked = { model = "poet:latest", stream = true, think = true, tools = { WEATHER },
    messages = { { role = "user", content = "The weather?" } } }
  local calls, created = {}, nil
  for line in place:post("/api/chat", asked).body:gmatch "([^\n]*)\n" do
    local one = readers.codecompanion.line(line)
    for _, call in ipairs(one.message.tool_calls or {}) do calls[#calls + 1], created = call, one.created_at end
  end
  t.eq(#calls, 1)
  asked.messages[2] = { role = "assistant", tool_calls = { { id = calls[1].id or ("call_%s_1"):format(created),
    ["function"] = { name = "weather", arguments = calls[1]["function"].arguments } } } }
  asked.messages[3] = { role = "tool", tool_name = "weather", content = "rain" }
  t.eq(heard(readers.codecompanion.line, place:post("/api/chat", asked).body), "one two three")
end)

-- ---- Continue -------------------------------------------------------------------------------------------------------------------

test("Continue: show by name, its parameters, chats and completions with its options", function(t)
  stoke.models { windowed = { num_ctx = 2048 } }
  local place <close> = served({ "one two", ASKS, "three" }, function(agent) return { agent { model = "windowed" } } end, nil,
    { models = { "windowed" } })
  local shown = readers.continue.show(place:post("/api/show", { name = "poet" }).body)
  t.eq(readers.continue.parameters(shown.parameters).num_ctx, "2048")
  t.ok(not shown.template:find ".Suffix", "agents do not fill in")
  local asked = { model = "poet", stream = true, keep_alive = 1800, options = { num_ctx = 2048, num_predict = 500,
    temperature = 0.5, stop = { "###" } }, messages = { { role = "user", content = "Hello" } } }
  t.eq(heard(readers.continue.line, place:post("/api/chat", asked).body), "one two")
  asked.stream, asked.tools = false, { WEATHER }
  t.eq(#readers.continue.line(place:post("/api/chat", asked).body).message.tool_calls, 1)
  local text = place:post("/api/generate", { model = "poet", prompt = "Hello", stream = true, raw = json.null, keep_alive = 1800,
    options = { num_ctx = 2048 } }).body
  local said = {}
  for line in text:gmatch "([^\n]*)\n" do said[#said + 1] = readers.continue.text(line).response end
  t.eq(table.concat(said), "three")
  local r = place:post("/api/generate", { model = "poet", prompt = "for i = ", suffix = "end", stream = true })
  t.eq({ r.status, type(r:json().error) }, { 400, "string" })
end)

-- ---- Enchanted ------------------------------------------------------------------------------------------------------------------

test("Enchanted: dates with a fraction everywhere, whole seconds of the clock too, and a Bearer without a token", function(t)
  local place <close> = busy_place { LOOKS, SAYS }
  local headers = { Authorization = "Bearer okki" }
  t.eq(place:ask("HEAD", "/", nil, headers).status, 200)
  t.eq(#readers.enchanted.tags(place:get("/api/tags", headers).body).models, 1)
  readers.enchanted.show(place:post("/api/show", { model = "poet:latest" }, headers).body)
  local text, last, count = heard(readers.enchanted.line, place:post("/api/chat", { model = "poet:latest", stream = true,
    messages = { { role = "user", content = "The sea?", images = json.array {} } }, options = { temperature = 0 } }, headers).body)
  t.eq({ text, last.done }, { "one two three", true })
  t.ok(count > 3)
  readers.enchanted.line(place:post("/api/chat", { model = "poet:latest", messages = json.array {} }, headers).body)
end)

-- ---- all of them ----------------------------------------------------------------------------------------------------------------

test("the readers refuse what their clients refuse", function(t)
  local function refused(read, text, words)
    local ok, err = pcall(read, text)
    t.ok(not ok, "it was read: " .. text)
    t.contains(tostring(err), words)
  end
  refused(readers.zed.line, '{"model":"m","created_at":"t","message":{"role":"assistant"},"done":true}', "content is missing")
  refused(readers.zed.line, '{"error":"it broke"}', "is missing")
  refused(readers.zed.tags, '{"models":[{"name":"m","modified_at":"t","size":-1,"digest":"d","details":{}}]}', "")
  refused(readers.enchanted.line, '{"model":"m","created_at":"2026-01-01T00:00:00Z","done":true}', "created_at is no swift_date")
  refused(readers.open_webui.ps, '{"models":[{"name":"m","expires_at":"2026-01-01T00:00:00.1234567Z"}]}', "python_date")
  refused(readers.vscode.show, '{"template":"","capabilities":[],"details":{"family":"f"}}', "model_info is missing")
  t.ok(not pcall(readers.continue.parameters, "num_ctx"))
end)
