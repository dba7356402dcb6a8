-- Agents under Ollama's API, as each of its clients reads them: a strict reader for what a client cannot do without.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local served = require "served"

local USER = { { role = "user", content = "Hello" } }

local function message(line) return line.message end

-- ---- before a chat --------------------------------------------------------------------------------------------------------------

test("VS Code: the version's first parts are numbers, and not below 0.6.4", function(t)
  local place <close> = served {}
  local major, minor, patch = place:get "/api/version":json().version:match "^(%d+)%.(%d+)%.(%d+)"
  t.ok(tonumber(major) * 1e6 + tonumber(minor) * 1e3 + tonumber(patch) >= 6004)
end)

test("Enchanted and the CLI: HEAD / is answered, with any Bearer", function(t)
  local place <close> = served {}
  t.eq(place:ask("HEAD", "/", nil, { Authorization = "Bearer nothing" }).status, 200)
  t.eq(place:get "/".body, "Ollama is running")
end)

test("Zed: a model has all of its fields, in the types it reads", function(t)
  local place <close> = served {}
  local list = place:get "/api/tags":json().models
  t.eq(#list, 1)
  local m = list[1]
  t.eq({ m.name, m.model }, { "poet:latest", "poet:latest" })
  t.match(m.modified_at, "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d")
  t.eq(math.type(m.size), "integer")
  t.match(m.digest, "^" .. ("%x"):rep(64) .. "$")
  for _, name in ipairs { "format", "family", "parameter_size", "quantization_level" } do
    t.eq(type(m.details[name]), "string", name)
  end
end)

test("Open WebUI: expires_at has six digits and an offset, which every Python reads", function(t)
  local place <close> = served {}
  local m = place:get "/api/ps":json().models[1]
  t.eq(m.name, "poet:latest")
  t.match(m.expires_at, "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d%.%d%d%d%d%d%d%+00:00$")
end)

test("VS Code and Continue: show takes model or name, and tells abilities and the window", function(t)
  stoke.models { windowed = { num_ctx = 2048 } }
  local place <close> = served({}, function(agent) return { agent { model = "windowed" } } end, nil, { models = { "windowed" } })
  for _, field in ipairs { "model", "name" } do
    local shown = place:post("/api/show", { [field] = "poet" }):json()
    t.eq(shown.capabilities, { "completion", "tools", "thinking" })
    local info = shown.model_info
    t.eq({ info["general.architecture"], info["stoke.context_length"], info["general.basename"] }, { "stoke", 2048, "poet" })
    t.eq({ type(shown.template), type(shown.parameters) }, { "string", "string" })
  end
end)

test("the CLI sends an empty model beside the name, to show and to pull", function(t)
  local place <close> = served {}
  t.eq(place:post("/api/show", { model = "", name = "poet" }):json().model_info["general.basename"], "poet")
  t.eq(place:post("/api/pull", { model = "", name = "poet", stream = false }):json().status, "success")
  t.eq(place:post("/api/show", { model = "", name = "" }).status, 400)
  local missing = { model = "", name = "peot", stream = false }
  t.match(place:post("/api/pull", missing):json().error, "does not exist %(did you mean poet%?%)$")
end)

test("show tells of a model that sees", function(t)
  local place <close> = served({}, nil, nil, { models = { "qwen2.5:3b,caps=completion+tools+vision" } })
  t.eq(place:post("/api/show", { model = "poet" }):json().capabilities, { "completion", "tools", "thinking", "vision" })
end)

test("a name is found in any case, with a tag and with blanks", function(t)
  local place <close> = served({ "a", "b", "c" }, function(agent) return { agent { name = "Night Owl" } } end)
  t.eq(place:get "/api/tags":json().models[1].name, "Night-Owl:latest")
  for _, name in ipairs { "night-owl", "Night-Owl:latest", "Night Owl" } do
    t.eq(place:post("/api/show", { model = name }).status, 200, name)
  end
end)

-- ---- chats ----------------------------------------------------------------------------------------------------------------------

test("a chat streams: every line has created_at and a message, the last one is done", function(t)
  local place <close> = served({ "one two three" }, nil, nil, { tokens_per_second = 10 })
  local r = place:post("/api/chat", { model = "poet", messages = USER })
  t.eq({ r.status, r.headers["content-type"] }, { 200, "application/x-ndjson" })
  local lines, said = served.lines(r.body), {}
  t.eq(#lines, 4)
  for i, line in ipairs(lines) do
    t.eq({ line.model, line.done, type(line.created_at) }, { "poet", i == #lines, "string" })
    t.eq(message(line).role, "assistant")
    said[i] = message(line).content
  end
  t.eq(table.concat(said), "one two three")
  local last = lines[#lines]
  t.eq({ last.done_reason, last.eval_count }, { "stop", 3 })
  t.ok(last.prompt_eval_count > 0 and last.total_duration > 0)
end)

test("the bytes of a stream are those of the server it stands for: the fields in its order", function(t)
  local place <close> = served { "Hi & <bye>" }
  local r = place:post("/api/chat", { model = "poet", messages = USER })
  local text = r.body:gsub('"created_at":"[^"]*"', '"created_at":"T"'):gsub("_duration\":%d+", "_duration\":1")
  t.eq(text, '{"model":"poet","created_at":"T","message":{"role":"assistant","content":"Hi \\u0026 \\u003cbye\\u003e"},'
    .. '"done":false}\n'
    .. '{"model":"poet","created_at":"T","message":{"role":"assistant","content":""},"done":true,"done_reason":"stop",'
    .. '"total_duration":1,"load_duration":1,"prompt_eval_count":8,"eval_count":3,"eval_duration":1}\n')
end)

test("a whole answer is one object", function(t)
  local place <close> = served { "one two" }
  local r = place:post("/api/chat", { model = "poet:latest", stream = false, messages = USER })
  t.eq(r.headers["content-type"], "application/json; charset=utf-8")
  local value = r:json()
  t.eq({ value.model, value.message.content, value.done, value.done_reason }, { "poet:latest", "one two", true, "stop" })
end)

test("generate: a completion, with the client's system message", function(t)
  local place <close> = served { "one two" }
  local value = place:post("/api/generate", { model = "poet", stream = false, prompt = "Hello", system = "Rhyme." }):json()
  t.eq({ value.response, value.done, value.message }, { "one two", true, nil })
  local asked = place.model.requests[1].messages
  t.eq({ asked[1].content, asked[2].content, asked[3].content }, { "Be brief.", "Rhyme.", "Hello" })
end)

test("the CLI: an empty prompt loads, and keep_alive 0 unloads; the model is not asked", function(t)
  local place <close> = served {}
  local function reason(path, body) return place:post(path, body):json().done_reason end
  t.eq(reason("/api/generate", { model = "poet" }), "load")
  t.eq(reason("/api/chat", { model = "poet" }), "load")
  t.eq(reason("/api/generate", { model = "poet", keep_alive = 0 }), "unload")
  t.eq(#place.model.requests, 0)
end)

test("a schema the client wants shapes the answer", function(t)
  local place <close> = served { '{"city":"Oslo"}' }
  local shape = { type = "object", properties = { city = { type = "string" } }, required = { "city" } }
  local value = place:post("/api/chat", { model = "poet", stream = false, messages = USER, format = shape }):json()
  t.eq(json.decode(value.message.content), { city = "Oslo" })
  t.eq(place.model.requests[1].format.properties.city.type, "string")
end)

test("an answer in a shape is told when it fits: what was asked for again is not shown", function(t)
  local place <close> = served({ '{"town":1}', '{"city":"Oslo"}' },
    function(agent) return { agent { output = { city = "string" } } } end)
  local lines = served.lines(place:post("/api/chat", { model = "poet", messages = USER }).body)
  t.eq(#lines, 2)
  t.eq(json.decode(lines[1].message.content), { city = "Oslo" })
end)

test("images are data: what looks like the path of a file is not read", function(t)
  local place <close> = served({ "a cat" }, nil, nil, { models = { "qwen2.5:3b,caps=completion+vision" } })
  local images = json.array { "/etc/passwd+" }
  place:post("/api/chat", { model = "poet", stream = false, messages = { { role = "user", content = "?", images = images } } })
  t.eq(place.model.requests[1].messages[2].images, { "/etc/passwd+" })
end)

-- ---- what an agent does ---------------------------------------------------------------------------------------------------------

local function calling(agent, more)
  local weather = stoke.tool { name = "weather", params = { city = "string" }, run = function(a) return "rain in " .. a.city end }
  local given = { tools = { weather } }
  for name, value in pairs(more or {}) do given[name] = value end
  return { agent(given) }
end

local CALL = { tool = "weather", args = { city = "Oslo" } }

local function thoughts(lines)
  local out = {}
  for _, line in ipairs(lines) do out[#out + 1] = line.message.thinking end
  return table.concat(out)
end

test("what an agent does is told as its thoughts, and usage is the sum of all it asked", function(t)
  local place <close> = served({ CALL, { thinking = "wet", text = "Take an umbrella." } }, calling)
  local lines = served.lines(place:post("/api/chat", { model = "poet", messages = USER }).body)
  t.eq(thoughts(lines), '> weather {"city":"Oslo"}\nwet')
  local last, sum = lines[#lines], 0
  for i = 1, 2 do t.ok(place.model.requests[i]) end
  for _, m in pairs(place.model.sim.ledger.models) do sum = sum + m.prompt_tokens end
  t.eq(last.prompt_eval_count, sum)
  t.eq(last.message.tool_calls, nil)
end)

test("it is not told where the client wants no thoughts, or the server tells no activity", function(t)
  local place <close> = served({ CALL, "Take an umbrella." }, calling)
  t.eq(thoughts(served.lines(place:post("/api/chat", { model = "poet", messages = USER, think = false }).body)), "")
  local quiet <close> = served({ CALL, "Take an umbrella." }, calling, { activity = false })
  t.eq(thoughts(served.lines(quiet:post("/api/chat", { model = "poet", messages = USER }).body)), "")
end)

-- ---- tools of the client --------------------------------------------------------------------------------------------------------

local OPEN = { type = "function", ["function"] = { name = "open_file", description = "Open a file",
  parameters = { type = "object", properties = { path = { type = "string" } }, required = { "path" } } } }
local OPENS = { tool = "open_file", args = { path = "a.lua" } }

local function lending(messages, more)
  local body = { model = "poet", stream = false, messages = messages, tools = { OPEN } }
  for name, value in pairs(more or {}) do body[name] = value end
  return body
end

test("the call of a client's tool goes out to it, and the run goes on where it stood", function(t)
  local place <close> = served({ CALL, OPENS, "It prints." }, calling)
  local said = place:post("/api/chat", lending(USER)):json().message
  local call = said.tool_calls[1]
  t.eq({ call["function"].name, call["function"].arguments }, { "open_file", { path = "a.lua" } })
  t.match(call.id, "^call_" .. ("%x"):rep(32) .. "$")
  local back = { USER[1], said, { role = "tool", tool_call_id = call.id, content = "print(1)" } }
  t.eq(place:post("/api/chat", lending(back)):json().message.content, "It prints.")
  local asked = place.model.requests[3].messages
  local roles = {}
  for i, m in ipairs(asked) do roles[i] = m.role end
  t.eq(roles, { "system", "user", "assistant", "tool", "assistant", "tool" })
  t.eq({ asked[4].content, asked[6].content }, { "rain in Oslo", "print(1)" })
end)

test("a client that sends the same results again gets an answer to them again", function(t)
  local place <close> = served({ OPENS, "It prints.", "It prints, still." })
  local said = place:post("/api/chat", lending(USER)):json().message
  local back = lending { USER[1], said, { role = "tool", tool_call_id = said.tool_calls[1].id, content = "print(1)" } }
  t.eq(place:post("/api/chat", back):json().message.content, "It prints.")
  t.eq(place:post("/api/chat", back):json().message.content, "It prints, still.")
end)

test("codecompanion: results that carry no id begin with the conversation as the client has it", function(t)
  local place <close> = served({ CALL, OPENS, "It prints." }, calling)
  local said = place:post("/api/chat", lending(USER)):json().message
  said.tool_calls[1].id = nil
  local back = { USER[1], said, { role = "tool", tool_name = "open_file", content = "print(1)" } }
  t.eq(place:post("/api/chat", lending(back)):json().message.content, "It prints.")
  local roles = {}
  for i, m in ipairs(place.model.requests[3].messages) do roles[i] = m.role end
  t.eq(roles, { "system", "user", "assistant", "tool" })
end)

test("Open WebUI: lent tools that do not fit the window are left out, and that is told", function(t)
  stoke.models { narrow = { num_ctx = 2048 } }
  local many = {}
  for i = 1, 40 do
    many[i] = { type = "function", ["function"] = { name = "tool_" .. i, description = ("A long text. "):rep(40),
      parameters = { type = "object", properties = { query = { type = "string" } } } } }
  end
  local place <close> = served({ "Hi.", "Hi." }, function(agent) return { agent { model = "narrow" } } end, nil,
    { models = { "narrow" } })
  local said = place:post("/api/chat", lending(USER, { tools = many })):json().message
  t.eq(said.content, "Hi.")
  t.match(said.thinking, "^> 40 tools of this client are left out: with them a request has about %d+ tokens, and")
  t.eq(place.model.requests[1].tools, nil)
  said = place:post("/api/chat", lending(USER, { tools = many, think = false })):json().message
  t.eq({ said.content, said.thinking }, { "Hi.", nil })
end)

test("a conversation that does not fit the window by itself is refused, with tools or without", function(t)
  stoke.models { narrow = { num_ctx = 2048 } }
  local place <close> = served({}, function(agent) return { agent { model = "narrow" } } end, nil, { models = { "narrow" } })
  local long = { { role = "user", content = ("a long question "):rep(2000) } }
  local r = place:post("/api/chat", lending(long))
  t.eq(r.status, 400)
  t.match(r:json().error, "its context window 2048")
end)

test("a run that waits for its client is not another agent's", function(t)
  local place <close> = served({ OPENS, "I do not know it." }, function(agent) return { agent(), agent { name = "other" } } end)
  local said = place:post("/api/chat", lending(USER)):json().message
  local back = { { role = "tool", tool_call_id = said.tool_calls[1].id, content = "x" } }
  place:post("/api/chat", lending(back, { model = "other" }))
  t.eq(#place.model.requests[2].messages, 2)
end)

test("a client's tool that is named like one of the agent's gets another name, and has its own for the client", function(t)
  local place <close> = served({ { tool = "client_weather", args = {} } }, calling)
  local tool = { type = "function", ["function"] = { name = "weather", parameters = { type = "object" } } }
  local said = place:post("/api/chat", { model = "poet", stream = false, messages = USER, tools = { tool } }):json().message
  t.eq(said.tool_calls[1]["function"].name, "weather")
end)

test("a streamed call comes before the last line", function(t)
  local place <close> = served { OPENS }
  local lines = served.lines(place:post("/api/chat", lending(USER, { stream = true })).body)
  t.eq({ #lines, lines[1].done, lines[2].done, lines[2].done_reason }, { 2, false, true, "stop" })
  t.eq(lines[1].message.tool_calls[1]["function"].name, "open_file")
end)

-- ---- bad requests ---------------------------------------------------------------------------------------------------------------

local function refused(t, place, path, body, status, text)
  local r = place:post(path, body)
  t.eq(r.status, status, text)
  t.match(r:json().error, text)
end

test("bad requests get the status and the words of the server it stands for", function(t)
  local place <close> = served {}
  refused(t, place, "/api/chat", "", 400, "^missing request body$")
  refused(t, place, "/api/chat", "{", 400, "^unexpected EOF$")
  refused(t, place, "/api/chat", '{"model":"poet","messages":"x"}', 400, "cannot unmarshal string into Go struct field")
  refused(t, place, "/api/chat", '{"messages":[]}', 400, "^model is required$")
  refused(t, place, "/api/generate", "{}", 404, "^model '' not found$")
  refused(t, place, "/api/chat", { model = "poets", messages = USER }, 404, "^model 'poets' not found %(did you mean poet%?%)$")
  refused(t, place, "/api/chat", { model = "poet", messages = { { role = "bard", content = "x" } } }, 400,
    "^messages%[0%]: the role must be user, assistant, system or tool, got 'bard'$")
  refused(t, place, "/api/chat", { model = "poet", messages = USER, think = "hard" }, 400, "invalid think value")
  refused(t, place, "/api/generate", { model = "poet", prompt = "a", suffix = "b" }, 400, "does not support insert")
  refused(t, place, "/api/embed", { model = "poet", input = "a" }, 400, "does not support embed")
  t.eq(#place.model.requests, 0)
end)

test("what agents cannot is refused: pull, delete, create", function(t)
  local place <close> = served {}
  t.eq(served.lines(place:post("/api/pull", { model = "poet" }).body)[2], { status = "success" })
  t.match(served.lines(place:post("/api/pull", { model = "llama3" }).body)[2].error, "file does not exist")
  refused(t, place, "/api/pull", { model = "llama3", stream = false }, 500, "file does not exist")
  refused(t, place, "/api/pull", {}, 400, "^invalid model name$")
  refused(t, place, "/api/create", { model = "x", from = "poet" }, 403, "in the file that is served")
  refused(t, place, "/api/copy", "", 400, "^missing request body$")
  t.eq(place:ask("DELETE", "/api/delete", { model = "poet" }).status, 403)
  t.eq(place:get "/api/nothing".status, 404)
  t.eq({ place:get "/api/tags/".status, place:get "//api/tags".status }, { 200, 200 }, "an address with one slash too many")
  t.eq(place:get "/api/chat".status, 405)
end)

-- ---- bad days -------------------------------------------------------------------------------------------------------------------

test("an error before a word has a status of its own", function(t)
  local place <close> = served { { error = "boom", status = 500 } }
  local r = place:post("/api/chat", { model = "poet", messages = USER })
  t.eq(r.status, 502)
  t.match(r:json().error, "boom")
end)

test("an error in the middle of a stream is a line of it, and its last", function(t)
  local place <close> = served({ { text = "one two three", error = "boom", error_after = 2 } }, nil, nil,
    { tokens_per_second = 10 })
  local r = place:post("/api/chat", { model = "poet", messages = USER })
  local lines = served.lines(r.body)
  t.eq({ r.status, #lines }, { 200, 3 })
  t.match(lines[3].error, "boom")
end)

test("a client that leaves ends the run: the model's slot is free", function(t)
  local place <close> = served({ ("word "):rep(500) }, nil, nil, { tokens_per_second = 10 })
  local r = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = USER }, stream = "lines" })
  t.ok(r:lines()())
  t.eq(place.model.sim.ledger.streams_open, 1)
  r:close()
  stoke.sleep(0.05)
  t.eq({ place.model.sim.ledger.streams_open, place.model.sim.ledger.disconnects }, { 0, 1 })
end)

test("more turns than are taken: 503, and when to come again", function(t)
  local place <close> = served({ "a b c d", "e" }, nil, { max_turns = 1 }, { tokens_per_second = 1 })
  local first = stoke.spawn(function() return place:post("/api/chat", { model = "poet", messages = USER }) end)
  stoke.sleep(0.1)
  local r = place:post("/api/chat", { model = "poet", messages = USER })
  t.eq({ r.status, r.headers["retry-after"] }, { 503, "1" })
  t.match(r:json().error, "1 turns are under way")
  t.eq(first:await().status, 200)
  t.eq(place:post("/api/chat", { model = "poet", messages = USER }).status, 200)
end)

test("what is no agent is refused when the server is made", function(t)
  for _, bad in ipairs { 1, { "poet" }, { stoke.agent { model = "m" } } } do
    t.eq(select(2, stoke.try(stoke.serve, { mem = "bad", agents = bad })).kind, "argument")
  end
  t.eq(select(2, stoke.try(stoke.serve, { mem = "bad", agents = {} })).kind, "usage")
  t.eq(select(2, stoke.try(stoke.serve, { mem = "bad" })).kind, "argument")
end)

test("a bug of an agent is told to the client without Lua's words, which name files of the server", function(t)
  local place <close> = served({}, function(agent)
    return { agent { instructions = function() return nil .. "x" end } }
  end)
  local reply = place:post("/api/chat", { model = "poet", messages = USER, stream = false })
  t.eq({ reply.status, reply:json().error }, { 500, "the agent has a bug; the log of the server says where" })
end)
