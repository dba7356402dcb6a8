-- Which dialect an endpoint speaks: as it is said, or found out by asking; routes that lead to servers of both; the pool before
-- them.

local test = require "stoke.test"
local about = require "core.about"
local config = require "stoke.config"
local endpoints = require "core.endpoint"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local model = require "stoke.model"
local proc = require "stoke.proc"
local scripted = require "scripted"
local sim = require "stoke.sim"
local speaking = require "speaking"
local stoke = require "stoke"

local JSON = { ["Content-Type"] = "application/json" }

local function reply(text)
  return json.encode { model = "m", choices = json.array { { index = 0, message = { role = "assistant", content = text },
    finish_reason = "stop" } }, usage = { prompt_tokens = 9, completion_tokens = 2, total_tokens = 11 } }
end

-- ---- said ----------------------------------------------------------------------------------------------------------------------

local function settings(text)
  return config.load { getenv = function() return nil end, read = function(path)
    if path == "./stoke.config.lua" then return text end
  end }
end

test("dialects: an endpoint has the one that is said, and else what its address tells", function(t)
  settings [[return { endpoints = {
    own = { url = "http://10.0.0.7:11434" }, cloud = { url = "https://ollama.com" }, said = { url = "http://h:8000",
      dialect = "openai" },
    version = { url = "https://api.groq.com/openai/v1" }, unsaid = { url = "http://h:8000" }, auto = { url = "http://h:11434",
      dialect = "auto" } } }]]
  for name, want in pairs { own = "ollama", cloud = "ollama", said = "openai", version = "openai", unsaid = false, auto = false,
    default = "ollama", ["http://h:8000/v1"] = "openai", ["http://h:8000"] = "ollama" } do
    t.eq(endpoints.of(name).dialect, want, name)
  end
end)

test("dialects: a name that nobody knows is said to be none", function(t)
  config.use_endpoint("odd", "http://127.0.0.1:9", "this test", false, "openia")
  t.eq(t.raises("usage", model.open, "m", "odd").message, 'endpoint odd: no dialect is named "openia" (did you mean openai?)')
end)

-- ---- asked ---------------------------------------------------------------------------------------------------------------------

-- A script in a process of its own, with an endpoint of which nothing is said.
local function run(folder, url, code, more)
  local path = folder .. "/stoke.config.lua"
  fs.write(path, ("return { endpoint = 'here', endpoints = { here = { url = %q%s } } }"):format(url, more or ""))
  return proc.run { argv = { about.executable(), "-e", code }, env = { STOKE_CONFIG = path, XDG_STATE_HOME = folder .. "/state" },
    timeout = 30 }
end

local ASK = [[local stoke = require "stoke"
stoke.main(function()
  for _ = 1, 2 do print(stoke.chat { model = "m", prompt = "Hi" }.text) end
end)]]

test("dialects: who does not say is asked: Ollama's version first, then the list of models; once", { real = true }, function(t)
  local folder = t.tmp()
  local asked = {}
  local server <close> = http.serve { port = 0, drain = 0, handler = function(req, res)
    asked[#asked + 1] = req.method .. " " .. req.path
    if req.path == "/v1/models" then return res:reply(200, JSON, speaking.MODELS.litellm) end
    if req.method == "GET" then return res:reply(404, JSON, '{"detail":"Not Found"}') end
    return res:reply(200, JSON, reply "Hello")
  end }
  local r = run(folder, server.url, ASK)
  t.eq({ r.stdout, r.stderr, r.code }, { "Hello\nHello\n", "", 0 })
  t.eq(asked, { "GET /api/version", "GET /v1/models", "GET /v1/models", "POST /v1/chat/completions", "POST /v1/chat/completions" })
  asked = {}
  run(folder, server.url, ASK)
  t.eq(asked[1], "GET /v1/models", "a later process remembers the dialect, and asks which server it is")
end)

test("dialects: an Ollama at another port is found to be one", { real = true }, function(t)
  local folder = t.tmp()
  local server <close> = sim.serve { port = 0, models = { "m,tps=0,load=0" }, script = { "Hello", "Hello" } }
  local r = run(folder, server.url, ASK)
  t.eq({ r.stdout, r.stderr, r.code }, { "Hello\nHello\n", "", 0 })
end)

test("dialects: where nothing of either kind answers, or nobody, that is the error", { real = true }, function(t)
  local folder = t.tmp()
  local server <close> = http.serve { port = 0, drain = 0, handler = function(_, res) res:reply(404, {}, "nothing") end }
  local r = run(folder, server.url, ASK)
  t.match(r.stderr, "answers neither as Ollama nor as OpenAI's API")
  t.eq(r.code, 2)
  r = run(folder, "http://127.0.0.1:1", ASK)
  t.eq(r.code, 4)
end)

test("dialects: a server that wants a key says so", { real = true }, function(t)
  local folder = t.tmp()
  local server <close> = http.serve { port = 0, drain = 0, handler = function(req, res)
    if req.path == "/api/version" then return res:reply(404, JSON, '{"detail":"Not Found"}') end
    if req.headers.authorization ~= "Bearer sk-1" then return res:reply(401, JSON, '{"error":"Unauthorized"}') end
    res:reply(200, JSON, req.method == "GET" and speaking.MODELS.litellm or reply "Hello")
  end }
  local r = run(folder, server.url, ASK)
  t.eq(r.code, 3)
  t.match(r.stderr, "Unauthorized")
  t.eq(run(folder, server.url, ASK, ", key = 'sk-1'").stdout, "Hello\nHello\n")
end)

test("dialects: a durable run is replayed without a server, its dialect said or asked", { real = true }, function(t)
  for _, said in ipairs { ", dialect = 'openai'", "" } do
    local folder = t.tmp()
    fs.write(folder .. "/flow.lua", [[
      local stoke = require "stoke"
      local bot = stoke.agent { name = "bot", model = "m" }
      local flow = stoke.workflow("flow", function()
        local scope <close> = stoke.scope {}
        local texts = scope:map({ 1, 2, 3 }, function(i) return stoke.chat { model = "m", prompt = "Hi " .. i }.text end)
        return table.concat(texts, " ") .. bot:run("Hi").text
      end)
      stoke.main(function()
        for _, id in ipairs { "first", "second" } do print(#flow:start({}, { id = id }):await() > 0) end
      end)
    ]])
    local env = { STOKE_CONFIG = folder .. "/stoke.config.lua", XDG_STATE_HOME = folder .. "/state" }
    local function stoke_in(...)
      return proc.run { argv = { about.executable(), ... }, cwd = folder, env = env, timeout = 30 }
    end
    do
      local server <close> = http.serve { port = 0, drain = 0, handler = function(req, res)
        if req.path == "/v1/models" then return res:reply(200, JSON, speaking.MODELS.litellm) end
        if req.method == "GET" then return res:reply(404, JSON, '{"detail":"Not Found"}') end
        return res:reply(200, JSON, reply "Hello")
      end }
      fs.write(env.STOKE_CONFIG, ("return { endpoint = 'here', endpoints = { here = { url = %q%s } } }"):format(server.url, said))
      local r = stoke_in("run", "--durable", "flow.lua")
      t.eq({ r.stdout, r.code }, { "true\ntrue\n", 0 }, r.stderr)
    end
    for _, id in ipairs { "first", "second" } do
      local r = stoke_in("replay", id)
      t.match(r.stdout .. r.stderr, "effects, all the same", said .. id)
    end
  end
end)

-- ---- routes of both ------------------------------------------------------------------------------------------------------------

-- Two servers, one of each dialect: endpoints a and b.
local function servers(script)
  local ollama = scripted(script or function() return "from ollama" end)
  local openai = scripted(script or function() return "from openai" end)
  settings "return {}"
  config.use_endpoint("a", ollama.url, "this test")
  config.use_endpoint("b", openai.url, "this test", false, "openai")
  return setmetatable({ a = ollama, b = openai }, { __close = function()
    getmetatable(ollama).__close()
    getmetatable(openai).__close()
  end })
end

test("dialects: a route leads to servers of both, whichever shapes the question", function(t)
  local both <close> = servers()
  for _, route in ipairs { { "@a", "@b" }, { "@b", "@a" } } do
    local answer = stoke.chat { model = scripted.MODEL, prompt = "Hi", route = route }
    local first = route[1]:sub(2)
    t.eq({ answer.text, answer.endpoint }, { first == "a" and "from ollama" or "from openai", first })
    t.eq({ answer.usage.estimated, answer.usage.output_tokens > 0 }, { false, true })
  end
  t.eq({ #both.a.requests, #both.b.requests }, { 1, 1 })
end)

test("dialects: a call moves on to the server of the other dialect when one is gone", function(t)
  local gone <close> = servers(function(_, n) return "answer " .. n end)
  for name, order in pairs { a = { "@a", "@b" }, b = { "@b", "@a" } } do
    gone[name].sim.fault = "503"
    local bot = stoke.agent { model = scripted.MODEL, route = order, instructions = "Short." }
    local result = bot:run "Hi"
    t.match(result.text, "^answer %d")
    t.eq(result.endpoint, name == "a" and "b" or "a")
    local text = {}
    for ev in bot:stream "Hi" do text[#text + 1] = ev.type == "text" and ev.text or nil end
    t.match(table.concat(text), "^answer %d")
    gone[name].sim.fault = nil
  end
end)

test("dialects: agents with tools and schemas go along a route of both", function(t)
  local script = function(request)
    if request.format then return { json = { total = 12 } } end
    local last = request.messages[#request.messages]
    return last.role == "tool" and "Rain." or { tool = "get_weather", args = { city = "Oslo" } }
  end
  local both <close> = servers(script) -- luacheck: ignore
  local tool = stoke.tool { name = "get_weather", description = "Weather", params = { city = "string: a city" },
    run = function(a) return "rain in " .. a.city end }
  for _, order in ipairs { { "@a", "@b" }, { "@b", "@a" } } do
    t.eq(stoke.agent { model = scripted.MODEL, route = order, tools = { tool } }:run "Weather?".text, "Rain.")
    local bot = stoke.agent { model = scripted.MODEL, route = order, output = stoke.schema { total = "integer" } }
    t.eq(bot:run("A bill.").output, { total = 12 })
  end
  local one = stoke.embed { model = "nomic-embed-text", input = "a text", route = { "@a", "@b" } }
  local other = stoke.embed { model = "nomic-embed-text", input = "a text", route = { "@b", "@a" } }
  t.eq(one.vectors, other.vectors)
end)

-- ---- the pool ------------------------------------------------------------------------------------------------------------------

test("dialects: the pool learns the slots of a server that tells no times, and fills them", function(t)
  local server <close> = sim.serve { mem = "busy", models = { "m,tps=100,load=0,prefill=0" }, slots = 8, tokens_per_second = 100,
    script = function() return ("word "):rep(50) end }
  config.use_endpoint("busy", server.url, "this test", false, "openai")
  local numbers = {}
  for i = 1, 120 do numbers[i] = i end
  local scope <close> = stoke.scope {}
  scope:map(numbers, function(i) return stoke.chat { model = "m", prompt = "Question " .. i, endpoint = "busy" }.text end,
    { limit = 120 })
  local lane = stoke.pool().servers[1].lanes[1]
  t.ok(lane.slots >= 6 and lane.slots <= 10, lane.slots)
end)

test("dialects: the times of llama-server are used as it tells them", function(t)
  local timed = json.decode(reply "Hi")
  timed.timings = { prompt_n = 9, prompt_ms = 30.5, predicted_n = 2, predicted_ms = 50.25, predicted_per_second = 39.8 }
  local server <close> = speaking("llama", { json.encode(timed) })
  local target = model.open("m", server.name)
  local q = target.dialect.chat(target, {}, false, { { role = "user", content = "Hi" } })
  local value = assert(model.perform("llm.chat", q, target, {}))
  local timings = target.dialect.timings(value)
  t.eq({ timings.prefill, timings.decode, timings.input, timings.output, timings.first }, { 0.0305, 0.05025, 9, 2 })
  t.eq(server.sent[1].stream, false)
end)
