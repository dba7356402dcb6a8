-- Models that are passed through by stoke serve: as if their own server answered, through the pool, beside the agents.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local routed = require "routed"
local served = require "served"
local time = require "stoke.time"

local USER = { { role = "user", content = "Hello" } }
local SERVERS = { near = { models = { "small,caps=completion+tools+insert", "mini,caps=embedding" } },
  far = { models = { "big" } } }
local SETTINGS = [[endpoint = "near", models = { fast = { "small@near", "big@far" } }]]

local Place = {}
Place.__index = Place
Place.__close = function(place)
  place.server:close()
  local _ <close> = place.world -- luacheck: ignore
end

local count = 0

--- A server of the models behind, and one agent.
local function serving(options, script, more)
  local servers = {}
  for name, given in pairs(SERVERS) do
    local own = { script = script }
    for key, value in pairs(given) do own[key] = value end
    for key, value in pairs(more or {}) do own[key] = value end
    servers[name] = own
  end
  local world = routed(servers, SETTINGS)
  count = count + 1
  local given = { mem = "passing" .. count, models = true, agents = { stoke.agent { name = "poet", model = "small" } } }
  for key, value in pairs(options or {}) do given[key] = value end
  return setmetatable({ world = world, server = stoke.serve(given) }, Place)
end

function Place:ask(method, path, body)
  return http.request { method = method, url = self.server.url .. path, body = body and json.encode(body), raise = false }
end
function Place:post(path, body) return self:ask("POST", path, body) end
function Place:get(path) return self:ask("GET", path) end

local function names(list, field)
  local out = {}
  for i, m in ipairs(list) do out[i] = m[field] end
  return out
end

-- ---- what there is --------------------------------------------------------------------------------------------------------------

test("models = true: the models of the default endpoint and the routes of the settings stand beside the agents", function(t)
  local place <close> = serving()
  t.eq(names(place:get "/api/tags":json().models, "name"), { "poet:latest", "fast", "small:latest", "mini:latest" })
  t.eq(names(place:get "/v1/models":json().data, "id"), { "poet", "fast", "small:latest", "mini:latest" })
end)

test("a list of models: those alone, also of another endpoint", function(t)
  local place <close> = serving { models = { "small", "big@far" } }
  t.eq(names(place:get "/api/tags":json().models, "name"), { "poet:latest", "small", "big@far" })
  t.eq(place:post("/api/chat", { model = "mini", messages = USER }).status, 404)
  t.eq(place:post("/api/chat", { model = "big@far", messages = USER, stream = false }):json().message.content, "from far")
end)

test("without it no model is there", function(t)
  local place <close> = serving { models = false }
  t.eq(names(place:get "/api/tags":json().models, "name"), { "poet:latest" })
  t.eq(place:post("/api/chat", { model = "small", messages = USER }).status, 404)
end)

test("Zed: each model has all of its fields, whatever its server tells", function(t)
  local place <close> = serving()
  for _, m in ipairs(place:get "/api/tags":json().models) do
    for _, field in ipairs { "name", "model", "modified_at", "digest" } do t.eq(type(m[field]), "string", m.name .. field) end
    t.eq(math.type(m.size), "integer")
    for _, field in ipairs { "format", "family", "parameter_size", "quantization_level" } do
      t.eq(type(m.details[field]), "string", m.name .. field)
    end
  end
end)

test("show is its server's own; of a route what every client needs", function(t)
  local place <close> = serving()
  t.eq(place:post("/api/show", { model = "small" }):json().capabilities, { "completion", "tools", "insert" })
  local route = place:post("/api/show", { model = "fast" }):json()
  t.eq({ type(route.model_info["general.architecture"]), type(route.template), route.capabilities[1] },
    { "string", "string", "completion" })
end)

test("an unknown model is refused with the one that was meant", function(t)
  local place <close> = serving()
  local r = place:post("/api/chat", { model = "smal", messages = USER })
  t.eq(r.status, 404)
  t.match(r:json().error, "did you mean small")
end)

test("ps has the models that are loaded", function(t)
  local place <close> = serving()
  t.eq(names(place:get "/api/ps":json().models, "name"), { "poet:latest" })
  place:post("/api/chat", { model = "small", messages = USER, stream = false })
  t.eq(names(place:get "/api/ps":json().models, "name"), { "poet:latest", "small:latest" })
end)

--- A model server that answers nothing but /api/version.
local function silent()
  return http.serve { mem = "silent", handler = function(req)
    if req.path ~= "/api/version" then stoke.sleep(1000) end
    return { version = "0.17.4" }
  end }
end

test("codecompanion: show does not wait for a server that does not answer", function(t)
  local model <close> = silent()
  local server <close> = stoke.serve { mem = "shown", models = { "small@" .. model.url },
    agents = { stoke.agent { name = "poet", model = "small", endpoint = model.url } } }
  for _, name in ipairs { "poet", "small@" .. model.url } do
    local began = stoke.time.monotonic()
    local r = http.post(server.url .. "/api/show", { json = { model = name } })
    t.eq(r:json().model_info["general.basename"], name)
    t.ok(stoke.time.monotonic() - began < 0.5, name)
  end
end)

test("closing does not wait for a server that does not answer", function(t)
  local model <close> = silent()
  local server = stoke.serve { mem = "shown", agents = { stoke.agent { name = "poet", model = "small", endpoint = model.url } } }
  http.post(server.url .. "/api/show", { json = { model = "poet" } })
  local began = stoke.time.monotonic()
  server:close()
  t.ok(stoke.time.monotonic() - began < 0.1)
end)

-- ---- calls ----------------------------------------------------------------------------------------------------------------------

test("a chat: the request is the client's own, the answer the model's", function(t)
  local place <close> = serving(nil, function() return { thinking = "hm", text = "one two three" } end, { tokens_per_second = 10 })
  local r = place:post("/api/chat", { model = "small", options = { temperature = 0.5, num_ctx = 99 }, messages = USER })
  local lines, said, thoughts = served.lines(r.body), {}, {}
  for _, line in ipairs(lines) do
    said[#said + 1], thoughts[#thoughts + 1] = line.message.content, line.message.thinking
  end
  t.eq({ table.concat(said), table.concat(thoughts) }, { "one two three", "hm" })
  t.ok(lines[#lines].prompt_eval_duration > 0)
  local asked = place.world.asked[1].body
  t.eq({ #asked.messages, asked.options.temperature, asked.options.num_ctx, asked.think }, { 1, 0.5, nil, nil })
end)

test("think, format, tools and images go with it", function(t)
  local place <close> = serving(nil, function() return '{"a":1}' end)
  local tool = { type = "function", ["function"] = { name = "f", description = "F", parameters = { type = "object" } } }
  place:post("/api/chat", { model = "small", stream = false, messages = USER, think = false, tools = { tool } })
  place:post("/api/chat", { model = "small", stream = false, messages = USER, format = { type = "object" } })
  local asked = place.world.asked
  t.eq({ asked[1].body.think, asked[1].body.tools[1]["function"].name, asked[2].body.format.type }, { false, "f", "object" })
end)

test("calls of tools come as the model made them, in both protocols", function(t)
  local place <close> = serving(nil, function() return { tool = "f", args = { a = 1 } } end)
  local tool = { type = "function", ["function"] = { name = "f", description = "F", parameters = { type = "object" } } }
  local body = { model = "small", stream = false, messages = USER, tools = { tool } }
  t.eq(place:post("/api/chat", body):json().message.tool_calls[1]["function"].arguments, { a = 1 })
  local choice = place:post("/v1/chat/completions", body):json().choices[1]
  t.eq({ choice.finish_reason, choice.message.tool_calls[1]["function"].arguments }, { "tool_calls", '{"a":1}' })
end)

test("/v1: a stream and a whole answer", function(t)
  local place <close> = serving(nil, function() return "one two" end)
  local value = place:post("/v1/chat/completions", { model = "small", messages = USER }):json()
  t.eq({ value.choices[1].message.content, value.usage.completion_tokens }, { "one two", 2 })
  local events, ended = served.events(place:post("/v1/chat/completions", { model = "small", stream = true, messages = USER }).body)
  t.eq({ events[1].choices[1].delta.content, events[#events].choices[1].finish_reason, ended }, { "one", "stop", true })
end)

test("/v1/responses of a model: stateless, and it says so", function(t)
  local place <close> = serving(nil, function() return "one two" end)
  local value = place:post("/v1/responses", { model = "small", input = "Hello" }):json()
  t.eq({ value.output[1].content[1].text, value.store }, { "one two", false })
  local r = place:post("/v1/responses", { model = "small", input = "Hello", previous_response_id = value.id })
  t.eq(r.status, 400)
  t.match(r:json().error.message, "nothing is kept")
end)

test("generate: a suffix, a raw prompt and a context are its server's", function(t)
  local place <close> = serving(nil, function() return "middle" end)
  local value = place:post("/api/generate", { model = "small", stream = false, prompt = "a", suffix = "b" }):json()
  t.eq({ value.response, place.world.asked[1].body.suffix }, { "middle", "b" })
  value = place:post("/api/generate", { model = "small", stream = false, prompt = "a", raw = true }):json()
  t.eq({ value.response, place.world.asked[2].body.raw }, { "middle", true })
  local text = place:post("/v1/completions", { model = "small", prompt = "a", suffix = "b" }):json()
  t.eq({ text.choices[1].text, place.world.asked[3].body.suffix }, { "middle", "b" })
end)

test("generate and completions: a model without a template for a hole gets the prompt of its family, raw", function(t)
  local place <close> = serving(nil, function() return "middle" end, { models = { "codellama" } })
  local value = place:post("/api/generate", { model = "codellama", stream = false, prompt = "a", suffix = "b",
    options = { stop = { "x" } } }):json()
  local body = place.world.asked[1].body
  t.eq({ value.response, body.prompt, body.suffix, body.raw }, { "middle", "<PRE> a <SUF>b <MID>", nil, true })
  t.eq(body.options.stop, { "x", "<EOT>", "<PRE>", "<SUF>", "<MID>" })
  local text = place:post("/v1/completions", { model = "codellama", prompt = "a", suffix = "b", max_tokens = 5 }):json()
  t.eq({ text.choices[1].text, place.world.asked[2].body.raw, text.usage.completion_tokens > 0 }, { "middle", true, true })
  local streamed = place:post("/api/generate", { model = "codellama", prompt = "a", suffix = "b" }).body
  t.eq({ place.world.asked[3].body.raw, streamed:find('"done":true', 1, true) ~= nil }, { true, true })
end)

test("a hole: of a client with an id the latest is filled, those before it end, and the slot is free", function(t)
  local place <close> = serving(nil, function(q) return q.prompt == "a" and ("word "):rep(500) or "middle" end,
    { tokens_per_second = 20 })
  local function ask(prompt, id)
    return http.request { method = "POST", url = place.server.url .. "/api/generate", headers = { ["X-Stoke-Session"] = id },
      body = json.encode { model = "small", stream = false, prompt = prompt, suffix = "b" }, raise = false }:json()
  end
  local scope <close> = stoke.scope {}
  local first
  scope:spawn(function() first = ask("a", "editor-0000000000000001") end)
  stoke.sleep(1)
  local start = time.monotonic()
  t.eq(ask("c", "editor-0000000000000001").response, "middle")
  scope:wait()
  t.ok(time.monotonic() - start < 1)
  t.eq({ first.response, first.done }, { "", true })
end)

test("the odds of tokens come where they are asked for", function(t)
  local place <close> = serving(nil, function() return "one two" end)
  local value = place:post("/api/chat", { model = "small", stream = false, messages = USER, logprobs = true }):json()
  t.eq({ #value.logprobs, value.logprobs[1].token }, { 2, "one" })
  local choice = place:post("/v1/chat/completions", { model = "small", messages = USER, logprobs = true }):json().choices[1]
  t.eq(#choice.logprobs.content, 2)
end)

test("the CLI: an empty prompt loads the model", function(t)
  local place <close> = serving()
  t.eq(place:post("/api/generate", { model = "small" }):json().done_reason, "load")
  t.eq(names(place:get "/api/ps":json().models, "name"), { "poet:latest", "small:latest" })
  t.eq(place:post("/api/generate", { model = "small", keep_alive = 0 }):json().done_reason, "unload")
end)

test("a route is a model: where its first server fails the next one answers", function(t)
  local place <close> = serving()
  t.eq(place:post("/api/chat", { model = "fast", stream = false, messages = USER }):json().message.content, "from near")
  place.world.near:close()
  local lines = served.lines(place:post("/api/chat", { model = "fast", messages = USER }).body)
  t.eq(lines[1].message.content .. lines[2].message.content, "from far")
end)

test("vectors, in all three forms, and a text that was asked before is not asked again", function(t)
  local place <close> = serving()
  local rows = place:post("/api/embed", { model = "mini", input = { "a", "b" } }):json().embeddings
  t.ok(#rows == 2 and #rows[1] > 8)
  t.eq(place:post("/api/embeddings", { model = "mini", prompt = "a" }):json().embedding, rows[1])
  local list = place:post("/v1/embeddings", { model = "mini", input = "b" }):json()
  t.eq({ list.data[1].embedding, list.usage.prompt_tokens }, { rows[2], 0 })
  local packed = place:post("/v1/embeddings", { model = "mini", input = "b", encoding_format = "base64" }):json()
  t.eq(#packed.data[1].embedding, (#rows[1] * 4 + 2) // 3 * 4)
end)

test("bad requests get the status and the words of the server it stands for", function(t)
  local place <close> = serving()
  local function refused(path, body, status, text)
    local r = place:post(path, body)
    t.eq(r.status, status, text)
    local err = r:json().error
    t.match(type(err) == "table" and err.message or err, text)
  end
  refused("/api/embed", { model = "poet", input = "a" }, 400, "does not support embed")
  refused("/api/embed", { model = "mini", input = { 1 } }, 400, "invalid input type")
  refused("/api/chat", { model = "small", messages = USER, options = { temperature = "hot" } }, 500, "must be of type float32")
  refused("/v1/embeddings", { model = "mini", input = "a", encoding_format = "x" }, 400, "Supported values")
  refused("/v1/embeddings", { model = "mini" }, 400, "invalid input")
  t.eq(#place.world.asked, 0)
end)

-- ---- bad days -------------------------------------------------------------------------------------------------------------------

test("a client that leaves frees the slot within 50 ms", function(t)
  local place <close> = serving(nil, function() return ("word "):rep(500) end, { tokens_per_second = 10 })
  local r = http.post(place.server.url .. "/api/chat", { json = { model = "small", messages = USER }, stream = "lines" })
  t.ok(r:lines()())
  r:close()
  stoke.sleep(0.05)
  local ledger = place.world.near.sim.ledger
  t.eq({ ledger.streams_open, ledger.disconnects }, { 0, 1 })
end)

test("a server that is away: the list is without its models, and a call says what is wrong", function(t)
  local place <close> = serving()
  place.world.near:close()
  t.eq(names(place:get "/api/tags":json().models, "name"), { "poet:latest", "fast" })
  local r = place:post("/api/chat", { model = "small", messages = USER })
  t.eq(r.status, 502)
end)

test("what is no list of models is refused when the server is made", function(t)
  for _, bad in ipairs { 1, "small", { 1 }, { "" } } do
    local _, err = stoke.try(stoke.serve, { mem = "bad", models = bad })
    t.eq(err.kind, "argument")
  end
end)

test("two stokes are each other's model: one passes through an agent that the other serves", function(t)
  local place <close> = served { "one two" }
  local second <close> = stoke.serve { mem = "second", models = { "poet@" .. place.url } }
  local r = http.post(second.url .. "/api/chat", { json = { model = "poet@" .. place.url, stream = false, messages = USER } })
  t.eq(r:json().message.content, "one two")
end)

test("an agent whose own model is missing is not missing itself: 502, which says what is", function(t)
  local lost = stoke.agent { name = "lost", model = "gone" }
  local place <close> = serving { agents = { lost }, models = { "small", "gone" } }
  for _, path in ipairs { "/api/chat", "/v1/chat/completions" } do
    local r = place:post(path, { model = "lost", messages = USER, stream = false })
    t.eq(r.status, 502, path)
    t.match(r.body, "model 'gone' not found")
    t.eq(place:post(path, { model = "gone", messages = USER, stream = false }).status, 404, "a model behind is what was asked for")
  end
end)
