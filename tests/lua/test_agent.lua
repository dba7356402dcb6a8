-- stoke.agent: the loop of asking and calling, its events and its ends; the model is scripted.

local test = require "stoke.test"
local json = require "stoke.json"
local scripted = require "scripted"
local stoke = require "stoke"

local MODEL = scripted.MODEL

local function call(name, arguments) return { name = name, arguments = arguments or {} } end
local function calls(...) return { tool_calls = { ... } } end

local function weather(seen)
  return stoke.tool {
    name = "get_weather", description = "Current weather in a city", params = { city = "string: city name" },
    run = function(a)
      if seen then seen[#seen + 1] = a.city end
      return "4 degrees, rain in " .. a.city
    end,
  }
end

test("agent: calls a tool, reads its result and answers", function(t)
  local seen = {}
  local server <close> = scripted { calls(call("get_weather", { city = "Oslo" })), "Yes, take one." }
  local bot = stoke.agent { name = "umbrella", model = MODEL, instructions = "Answer in one sentence.", tools = { weather(seen) },
    endpoint = server.url }
  local result = bot:run "Do I need an umbrella in Oslo?"
  t.eq(result.text, "Yes, take one.")
  t.eq({ result.agent, result.steps, result.reason }, { "umbrella", 2, "stop" })
  t.match(result.id, "^run_%w+$")
  t.eq(seen, { "Oslo" })
  t.eq({ result.usage.calls, result.usage.tool_calls, result.usage.repairs }, { 2, 1, 0 })
  t.ok(result.usage.input_tokens > 0 and result.usage.output_tokens > 0)
  local roles = {}
  for i, m in ipairs(result.messages) do roles[i] = m.role end
  t.eq(roles, { "user", "assistant", "tool", "assistant" })
  local sent = server.requests[2].messages
  t.eq(sent[1], { role = "system", content = "Answer in one sentence." })
  t.eq({ sent[4].role, sent[4].tool_name, sent[4].content }, { "tool", "get_weather", "4 degrees, rain in Oslo" })
  t.eq(sent[4].tool_call_id, sent[3].tool_calls[1].id)
end)

test("agent: run and stream are stateless, a session remembers", function(t)
  local server <close> = scripted(function(request) return "seen " .. #request.messages end)
  local bot = stoke.agent { model = MODEL, endpoint = server.url }
  t.eq({ bot:run("a").text, bot:run("b").text }, { "seen 1", "seen 1" })
  local chat = bot:session()
  t.eq({ chat:run("a").text, chat:run("b").text, chat:run("c").text }, { "seen 1", "seen 3", "seen 5" })
  t.eq(chat.turns, 3)
  t.eq(#chat.messages, 6)
end)

test("agent: several calls of one answer run together, their results come in the order of the calls", function(t)
  local order = {}
  local slow = stoke.tool { name = "slow", params = { seconds = "number" }, run = function(a)
    stoke.sleep(a.seconds)
    order[#order + 1] = a.seconds
    return "slept " .. a.seconds
  end }
  local function sleep(seconds) return call("slow", { seconds = seconds }) end
  local server <close> = scripted { calls(sleep(3), sleep(1), sleep(2)), "done" }
  local began = stoke.time.monotonic()
  local result = stoke.agent { model = MODEL, tools = { slow }, endpoint = server.url }:run "go"
  t.near(stoke.time.monotonic() - began, 3, 0.1)
  t.eq(order, { 1, 2, 3 })
  local texts = {}
  for _, m in ipairs(result.messages) do if m.role == "tool" then texts[#texts + 1] = m.content end end
  t.eq(texts, { "slept 3", "slept 1", "slept 2" })
end)

test("agent: events come in order, and the text as it comes", function(t)
  local server <close> = scripted { calls(call("get_weather", { city = "Oslo" })), "Rain, so yes." }
  local bot = stoke.agent { name = "bot", model = MODEL, tools = { weather() }, endpoint = server.url }
  local types, text, done = {}, {}, nil
  for ev in bot:stream "Umbrella?" do
    if types[#types] ~= ev.type then types[#types + 1] = ev.type end
    if ev.type == "text" then text[#text + 1] = ev.text end
    if ev.type == "done" then done = ev end
  end
  t.eq(types, { "tool_call", "tool_result", "text", "usage", "done" })
  t.eq(table.concat(text), "Rain, so yes.")
  t.eq({ done.text, done.result.text, done.result.steps, done.result.usage.calls }, { nil, "Rain, so yes.", 2, 2 })
end)

test("agent: leaving the stream ends the run and closes its connection", function(t)
  local server <close> = scripted({ ("word "):rep(1000) }, { tokens_per_second = 10 })
  for ev in stoke.agent { model = MODEL, endpoint = server.url }:stream "Talk." do
    if ev.type == "text" then break end
  end
  stoke.sleep(1)
  t.eq(server.sim.ledger.disconnects, 1)
  t.eq(server.sim.ledger.streams_open, 0)
end)

test("agent: an error of the run is raised where its stream is read", function(t)
  local server <close> = scripted { { error = "boom", status = 500 } }
  local err = t.raises("http", function()
    for _ in stoke.agent { model = MODEL, endpoint = server.url }:stream "x" do end -- luacheck: ignore
  end)
  t.match(err.message, "boom")
end)

test("agent: an unknown tool is answered with the list of tools", function(t)
  local server <close> = scripted { calls(call("get_wether", { city = "Oslo" })), "sorry" }
  local result = stoke.agent { model = MODEL, tools = { weather() }, endpoint = server.url }:run "x"
  t.eq(result.messages[3].content,
    'error: there is no tool named "get_wether" (did you mean get_weather?). The tools are: get_weather.')
  t.eq(result.usage.repairs, 1)
end)

test("agent: arguments that do not fit go back with the way to fix them, and the tool has not run", function(t)
  local seen = {}
  local server <close> = scripted { calls(call("get_weather", { town = "Oslo" })), calls(call("get_weather", { city = "Oslo" })),
    "rain" }
  local result = stoke.agent { model = MODEL, tools = { weather(seen) }, endpoint = server.url }:run "x"
  t.match(result.messages[3].content, "^error: the arguments of get_weather do not fit: city: missing, expected string")
  t.match(result.messages[3].content, "Call get_weather again with corrected arguments")
  t.eq(seen, { "Oslo" })
  t.eq(result.usage.repairs, 1)
end)

test("agent: what a tool raises is its result, without the traceback", function(t)
  local bad = stoke.tool { name = "bad", run = function() error "the sensor is broken" end }
  local server <close> = scripted { calls(call "bad"), "sorry" }
  local result = stoke.agent { model = MODEL, tools = { bad }, endpoint = server.url }:run "x"
  t.match(result.messages[3].content, "^error: .*the sensor is broken")
  t.ok(not result.messages[3].content:find "traceback")
end)

test("agent: the same call with the same result three times ends with kind loop", function(t)
  local server <close> = scripted(function() return calls(call("get_weather", { city = "Oslo" })) end)
  local err = t.raises("loop", function()
    stoke.agent { name = "bot", model = MODEL, tools = { weather() }, endpoint = server.url }:run "x"
  end)
  t.eq(err.message, "bot called get_weather 3 times with the same arguments and the same result")
  t.eq(err.work.steps, 3)
  t.eq(err.exit, 6)
end)

test("agent: ends with max_steps, with the work so far", function(t)
  local n = 0
  local count = stoke.tool { name = "count", run = function() n = n + 1 return n end }
  local server <close> = scripted(function() return calls(call "count") end)
  local err = t.raises("max_steps", function()
    stoke.agent { model = MODEL, tools = { count }, max_steps = 4, endpoint = server.url }:run "x"
  end)
  t.eq({ err.work.steps, err.work.usage.tool_calls }, { 4, 4 })
end)

test("agent: a call that was written as text is made", function(t)
  local seen = {}
  local server <close> = scripted { '```json\n{"name": "get_weather", "arguments": {"city": "Oslo"}}\n```', "rain" }
  local bot = stoke.agent { model = MODEL, tools = { weather(seen) }, endpoint = server.url }
  local text = {}
  for ev in bot:stream "x" do if ev.type == "text" then text[#text + 1] = ev.text end end
  t.eq(seen, { "Oslo" })
  t.eq(table.concat(text), "rain", "the call is not shown as text")
end)

test("agent: a call that the server could not read is salvaged from its error, else asked for again once", function(t)
  local seen = {}
  local raw = "error parsing tool call: raw='{\"city\": \"Oslo\",}', err=invalid character '}' looking for beginning of object "
    .. "key string"
  local server <close> = scripted { { error = raw, status = 500 }, "rain" }
  local result = stoke.agent { model = MODEL, tools = { weather(seen) }, endpoint = server.url }:run "x"
  t.eq({ result.text, seen[1], result.usage.repairs, result.usage.estimated }, { "rain", "Oslo", 1, true })
  local none <close> = scripted { { error = "error parsing tool call: raw='', err=unexpected end of JSON input", status = 500 },
    "fine" }
  result = stoke.agent { model = MODEL, tools = { weather() }, endpoint = none.url }:run "x"
  t.eq(result.text, "fine")
  t.match(none.requests[2].messages[2].content, "could not be read")
end)

test("agent: an empty answer is asked for again, then an error", function(t)
  local server <close> = scripted { "", "there it is" }
  local result = stoke.agent { model = MODEL, endpoint = server.url }:run "x"
  t.eq({ result.text, result.usage.repairs }, { "there it is", 1 })
  local mute <close> = scripted(function() return "" end)
  t.match(t.raises("invalid_output", function() stoke.agent { model = MODEL, endpoint = mute.url }:run "x" end).message, "nothing")
end)

test("agent: a handoff goes on with the other's instructions and tools", function(t)
  local server <close> = scripted { calls(call "transfer_to_billing"), "Your bill is paid.", "Anything else?" }
  local billing = stoke.agent { name = "billing", description = "Knows bills.", model = MODEL, instructions = "You do bills.",
    endpoint = server.url }
  local desk = stoke.agent { name = "desk", model = MODEL, instructions = "Route.", handoffs = { billing }, endpoint = server.url }
  local chat, types = desk:session(), {}
  for ev in chat:stream "My bill?" do types[#types + 1] = ev.type == "handoff" and ev.from .. ">" .. ev.to or nil end
  t.eq(types, { "desk>billing" })
  t.eq(server.requests[2].messages[1].content, "You do bills.")
  t.eq(#(server.requests[2].tools or {}), 0)
  t.eq(chat.agent, "billing")
  chat:run "Thanks."
  t.eq(server.requests[3].messages[1].content, "You do bills.")
end)

--- Two that may hand over to each other: one of them is made after the other.
local function ping_pong(server)
  local billing
  local triage = stoke.agent { name = "triage", model = MODEL, instructions = "You sort.", endpoint = server.url,
    handoffs = { function() return billing end } }
  billing = stoke.agent { name = "billing", model = MODEL, instructions = "You bill.", endpoint = server.url,
    handoffs = { triage } }
  return triage, billing
end

test("agent: a handoff may be to an agent that is made later, there and back", function(t)
  local server <close> = scripted { calls(call "transfer_to_billing"), calls(call "transfer_to_triage"), "Sorted." }
  local triage, billing = ping_pong(server)
  local result = triage:run "My bill?"
  t.eq({ result.text, result.agent, result.steps }, { "Sorted.", "triage", 3 })
  local names = {}
  for i, request in ipairs(server.requests) do names[i] = request.tools[1]["function"].name end
  t.eq(names, { "transfer_to_billing", "transfer_to_triage", "transfer_to_billing" })
  t.match(billing:explain("x").body, "transfer_to_triage")
end)

test("agent: a handoff to what is no agent is named when the first run begins", function(t)
  local bot = stoke.agent { name = "desk", model = MODEL, handoffs = { function() return nil end } }
  for _ = 1, 2 do
    t.match(t.raises("argument", bot.run, bot, "x").message, "stoke.agent desk: handoffs%[1%] must return an agent, got nil")
  end
end)

test("agent: two that hand over to each other and do nothing else end with kind loop", function(t)
  local server <close> = scripted(function(request)
    return calls(call(request.messages[1].content == "You sort." and "transfer_to_billing" or "transfer_to_triage"))
  end)
  local triage = ping_pong(server)
  local err = t.raises("loop", triage.run, triage, "x")
  t.match(err.message, "called transfer_to_billing 3 times")
  t.eq(err.work.steps, 5)
end)

test("agent: works as a tool of another; its events are nested, its usage counts", function(t)
  local server <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    if request.messages[1].content == "You judge." then return "good" end
    if last.role == "tool" then return "The critic says " .. last.content end
    return calls(call("critic", { input = "judge this" }))
  end)
  local critic = stoke.agent { name = "critic", description = "Judges.", model = MODEL, instructions = "You judge.",
    endpoint = server.url }
  local boss = stoke.agent { name = "boss", model = MODEL, instructions = "You lead.", tools = { critic }, endpoint = server.url }
  local inner, result = {}, nil
  for ev in boss:stream "x" do
    if ev.type == "nested" then inner[#inner + 1] = ev.agent .. ":" .. ev.event.type end
    if ev.type == "done" then result = ev.result end
  end
  t.eq(inner, { "critic:text", "critic:usage", "critic:done" })
  t.eq({ result.text, result.usage.calls }, { "The critic says good", 3 })
end)

test("agent: a run belongs to the call it was begun in, not to one that happens to be under way", function(t)
  local server <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    if request.messages[1].content == "You lead." and last.role == "user" then return calls(call "delegate") end
    return "done"
  end)
  local other = stoke.agent { name = "other", model = MODEL, instructions = "You follow.", endpoint = server.url }
  local delegate = stoke.tool { name = "delegate", run = function()
    local inside = stoke.spawn(function() return other:run "x" end)
    stoke.sleep(10)
    return inside:await().text
  end }
  local boss = stoke.agent { name = "boss", model = MODEL, instructions = "You lead.", tools = { delegate }, endpoint = server.url }
  local scope <close> = stoke.scope {}
  local beside = scope:spawn(function()
    stoke.sleep(5) -- the boss is in its call, in the task that this one was spawned by
    return other:run "y"
  end)
  t.eq(boss:run "x".usage.calls, 3)
  t.eq(beside:await().usage.calls, 1)
  t.eq(other:run "z".usage.calls, 1)
end)

test("agent: a run that ended in the midst of a call leaves nothing behind to the runs after it", function(t)
  local ask = stoke.tool { name = "ask", needs_approval = true, run = function() return "never" end }
  local inner <close> = scripted { calls(call "ask") }
  local outer <close> = scripted { calls(call "delegate"), "done" }
  local worker = stoke.agent { name = "worker", model = MODEL, tools = { ask }, endpoint = inner.url }
  local seen
  local delegate = stoke.tool { name = "delegate", run = function()
    local ok, err = pcall(worker.run, worker, "x")
    seen = ok or err.kind
    return "the worker failed"
  end }
  local boss = stoke.agent { name = "boss", model = MODEL, tools = { delegate }, endpoint = outer.url }
  local result = boss:run "x"
  t.eq({ seen, result.text, result.usage.calls, result.usage.tool_calls }, { "needs_approval", "done", 3, 1 })
  local other <close> = scripted { "hello" }
  t.eq(stoke.agent { model = MODEL, endpoint = other.url }:run "x".usage.calls, 1)
  t.eq(result.usage.calls, 3)
end)

test("agent: one call can be cancelled; the others and the run go on", function(t)
  local slow = stoke.tool { name = "slow", params = { id = "integer" }, run = function(a) stoke.sleep(a.id) return "slept" end }
  local server <close> = scripted { calls(call("slow", { id = 100 }), call("slow", { id = 1 })), "done" }
  local results = {}
  for ev in stoke.agent { model = MODEL, tools = { slow }, endpoint = server.url }:stream "x" do
    if ev.type == "tool_call" and ev.arguments.id == 100 then ev.cancel() end
    if ev.type == "tool_result" then results[#results + 1] = ev.text end
  end
  t.eq(results, { "error: the call was cancelled", "slept" })
end)

test("agent: a tool that takes too long is told to the model", function(t)
  local slow = stoke.tool { name = "slow", timeout = 2, run = function() stoke.sleep(100) end }
  local server <close> = scripted { calls(call "slow"), "sorry" }
  local result = stoke.agent { model = MODEL, tools = { slow }, endpoint = server.url }:run "x"
  t.match(result.messages[3].content, "^error: slow did not finish within 2 s")
end)

test("agent: two calls with one id get ids of their own", function(t)
  local body = json.encode { model = MODEL, created_at = "2026-01-01T00:00:00Z", done = true, done_reason = "stop",
    prompt_eval_count = 9, eval_count = 3, message = { role = "assistant", content = "", tool_calls = {
      { id = "x", ["function"] = { name = "get_weather", arguments = { city = "Oslo" } } },
      { id = "x", ["function"] = { name = "get_weather", arguments = { city = "Rome" } } } } } }
  local last = json.encode { model = MODEL, done = true, done_reason = "stop", message = { role = "assistant", content = "ok" } }
  local server <close> = require "fake" { body, last }
  local result = stoke.agent { model = MODEL, tools = { weather() }, endpoint = server.url }:run "x"
  local a, b = result.messages[3], result.messages[4]
  t.eq({ a.content, b.content }, { "4 degrees, rain in Oslo", "4 degrees, rain in Rome" })
  t.ne(a.tool_call_id, b.tool_call_id)
end)

test("agent: mistakes in its definition are named", function(t)
  t.match(t.raises("argument", stoke.agent, { instructions = "x" }).message, "model is missing")
  t.match(t.raises("argument", stoke.agent, { model = MODEL, instruction = "x" }).message, "did you mean instructions?")
  t.match(t.raises("argument", stoke.agent, { model = MODEL, tools = { {} } }).message, "tools%[1%] must be a tool")
  t.match(t.raises("argument", stoke.agent, { model = MODEL, tools = { weather(), weather() } }).message,
    "two tools are named get_weather")
  t.match(t.raises("argument", stoke.agent, { name = "x", model = MODEL, max_steps = 0 }).message, "max_steps")
  local bot = stoke.agent { model = MODEL }
  t.match(bot.name, "test_agent.lua:%d+")
  t.match(t.raises("argument", function() bot:as_tool() end).message, "has no name")
  t.match(t.raises("argument", function() bot:run() end).message, "input must be a text")
  t.match(t.raises("argument", function() bot.run("x") end).message, "write a colon")
end)

test("agent: what lists of tools and handoffs would pass over, and limits that are none, are refused", function(t)
  local function refused(more, words)
    more.model = MODEL
    t.match(t.raises("argument", stoke.agent, more).message, words)
  end
  refused({ tools = weather() }, "tools must be a list, .* got tool get_weather alone")
  refused({ tools = { weather = weather() } }, 'tools must be a list without names or gaps; it has the key .*weather')
  refused({ handoffs = stoke.agent { name = "billing", model = MODEL } }, "handoffs must be a list")
  refused({ budget = { token = 5 } }, "did you mean tokens")
  refused({ budget = { tokens = -5 } }, "tokens must be 0 or more")
  refused({ budget = { calls = "5" } }, "calls must be a number")
end)

test("agent: a call written as text that ends in the middle is asked for again, and is no answer", function(t)
  local server <close> = scripted { '{"name": "get_weather", "arguments": {"city": "Os', "Rain." }
  local bot = stoke.agent { name = "bot", model = MODEL, tools = { weather() }, endpoint = server.url }
  local texts = {}
  for ev in bot:stream "Oslo?" do
    if ev.type == "text" then texts[#texts + 1] = ev.text end
    if ev.type == "done" then t.eq({ ev.result.steps, ev.result.usage.repairs }, { 2, 1 }) end
  end
  t.eq(table.concat(texts), "Rain.")
  t.match(server.requests[2].messages[2].content, "could not be read: bot's call of get_weather ended in the middle")
  for _, rest in ipairs { '"Os', '"Oslo"' } do
    local text = '{"name": "get_weather", "arguments": {"city": ' .. rest
    local short <close> = scripted { { text = text, done_reason = "length" } }
    bot = stoke.agent { name = "bot", model = MODEL, tools = { weather() }, endpoint = short.url }
    t.match(t.raises("limit", bot.run, bot, "Oslo?").hint, "num_predict")
  end
end)

test("agent: a call that llama-server could not read is read out of its error", function(t)
  local words = 'Failed to parse input at pos 9: {"name": "get_weather", "arguments": {"city": "Oslo",}}'
  local server <close> = scripted { { error = words, status = 500 }, "Rain." }
  local seen = {}
  local result = stoke.agent { model = MODEL, tools = { weather(seen) }, endpoint = server.url }:run "Oslo?"
  t.eq({ result.text, result.usage.repairs, seen }, { "Rain.", 1, { "Oslo" } })
end)

test("agent: an answer that broke off is in the work so far", function(t)
  local server <close> = scripted {
    { text = "a b c d", error = "an error was encountered while running the model", error_after = 2 } }
  local bot = stoke.agent { model = MODEL, endpoint = server.url }
  local err = t.raises("incomplete", function() for _ in bot:stream "Go" do end end) -- luacheck: ignore
  t.eq(err.work.text, "a b")
end)

test("agent: messages whose fields are of the wrong kind are refused by name, null is nothing", function(t)
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b" }
  local function refused(field, value, words)
    local message = { role = "user", content = "look", [field] = value }
    t.match(t.raises("argument", bot.run, bot, { message }).message, words)
    local saved = { version = 1, agent = "bot", ends = { 1 }, messages = { message } }
    t.raises("argument", bot.session, bot, saved)
  end
  refused("tool_calls", "x", 'messages%[1%].tool_calls must be a table, got the string "x"')
  refused("tool_calls", 7, "messages%[1%].tool_calls must be a table, got 7")
  refused("thinking", true, "messages%[1%].thinking must be a string, got true")
  refused("tool_name", 5, "messages%[1%].tool_name must be a string, got 5")
  refused("images", "x.png", 'images must be a list, got the string "x.png"')
  local null = json.null
  t.model { "Seen." }
  t.eq(bot:run({ { role = "user", content = "look", tool_calls = null, images = null, thinking = null } }).text, "Seen.")
end)

test("agent: num_predict is a whole number", function(t)
  for _, value in ipairs { true, "20", 1.5, {} } do
    local err = t.raises("argument", stoke.agent, { model = "m", options = { num_predict = value } })
    t.match(err.message, "options.num_predict must be a whole number")
  end
end)

test("agent: who reads the events hears that their task was cancelled", function(t)
  local server <close> = scripted({ ("word "):rep(1000) }, { tokens_per_second = 10 })
  local err = t.raises("cancelled", function()
    for _ in stoke.agent { model = MODEL, endpoint = server.url }:stream "Talk." do
      for _, entry in ipairs(stoke.tasks()) do
        if entry.name == "agent" then entry.task:cancel "not that one" end
      end
    end
  end)
  t.match(err.cause.message, "not that one")
end)

test("agent: a lone call runs in the task of its run, whether anybody listens or not, and can be cancelled", function(t)
  local names = {}
  local look = stoke.tool { name = "look", params = { seconds = "number" }, run = function(a)
    for _, entry in ipairs(stoke.tasks()) do names[#names + 1] = entry.name or "main" end
    stoke.sleep(a.seconds)
    return "seen"
  end }
  local server <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    return last.role == "tool" and last.content or calls(call("look", { seconds = last.content == "long" and 100 or 1 }))
  end)
  local bot = stoke.agent { model = MODEL, tools = { look }, endpoint = server.url }
  t.eq(bot:run("short").text, "seen")
  local alone = #names
  for ev in bot:stream "short" do
    if ev.type == "done" then t.eq(ev.result.text, "seen") end
  end
  t.eq(#names - alone, alone + 1, "the run's own task, and none for the tool")
  for ev in bot:stream "long" do
    if ev.type == "tool_call" then ev.cancel() end
    if ev.type == "done" then t.eq(ev.result.text, "error: the call was cancelled") end
  end
end)

test("agent: what a tool does to its arguments changes nothing that was said", function(t)
  local spoil = stoke.tool { name = "spoil", params = { city = "string", at = { { x = "integer" } } }, run = function(a)
    a.city, a.at[1].x, a.more = "Rome", 7, true
    return "ok"
  end }
  local plain = stoke.tool { name = "plain", params = { city = "string", n = "integer?" }, run = function(a)
    a.city, a.n = "Rome", 3
    return "ok"
  end }
  local server <close> = scripted { calls(call("spoil", { city = "Oslo", at = { { x = 1 } } }), call("plain", { city = "Oslo" })),
    "done" }
  local said = stoke.agent { model = MODEL, tools = { spoil, plain }, endpoint = server.url }:run("x").messages[2].tool_calls
  t.eq(said[1]["function"].arguments, { city = "Oslo", at = { { x = 1 } } })
  t.eq(said[2]["function"].arguments, { city = "Oslo" })
end)
