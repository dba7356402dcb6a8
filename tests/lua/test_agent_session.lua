-- Sessions: they remember, take one turn at a time, are saved, forked, and lose nothing when a turn fails.

local test = require "stoke.test"
local fs = require "stoke.fs"
local json = require "stoke.json"
local scripted = require "scripted"
local stoke = require "stoke"

local MODEL = scripted.MODEL

local function bot_of(server, more)
  local given = { name = "bot", model = MODEL, endpoint = server.url }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.agent(given)
end

test("session: one turn at a time, the next waits", function(t)
  local server <close> = scripted(function(request) return { text = "seen " .. #request.messages, delay = 5 } end)
  local chat = bot_of(server):session()
  local scope <close> = stoke.scope {}
  local answers = scope:map({ "a", "b", "c" }, function(text) return chat:run(text).text end)
  t.eq(answers, { "seen 1", "seen 3", "seen 5" })
end)

test("session: a turn that fails leaves nothing behind", function(t)
  local server <close> = scripted { "one", { error = "boom", status = 500 }, "two" }
  local chat = bot_of(server):session()
  chat:run "a"
  t.raises("http", chat.run, chat, "b")
  t.eq({ #chat.messages, chat.turns }, { 2, 1 })
  t.eq(chat:run("c").text, "two")
  t.eq(#server.requests[3].messages, 3)
end)

test("session: a cancelled turn leaves nothing behind, and the next one goes ahead", function(t)
  local server <close> = scripted(function(_, n) return { text = "answer " .. n, delay = n == 1 and 100 or 0 } end)
  local chat = bot_of(server):session()
  local turn = stoke.spawn(function() chat:run "a" end)
  stoke.sleep(1)
  turn:cancel()
  pcall(turn.await, turn)
  t.eq(#chat.messages, 0)
  t.eq(chat:run("b").text, "answer 2")
end)

-- A long conversation: what was written of its messages is kept.
local TURNS <const> = 8

test("session: what a script is shown of it changes nothing that is sent", function(t)
  local echo = stoke.tool { name = "echo", params = { text = { word = "string" } }, run = function(a)
    a.text.word = "changed by the tool"
    return "done"
  end }
  local server <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    if last.role == "tool" then return "answer " .. #request.messages end
    return { tool_calls = { { name = "echo", arguments = { text = { word = last.content } } } } }
  end)
  local chat = bot_of(server, { tools = { echo } }):session()
  local given = { { role = "user", content = "first" }, { role = "assistant", content = "", tool_calls = {
    { id = "call_1", ["function"] = { name = "echo", arguments = { text = { word = "given" } } } } } },
    { role = "tool", tool_name = "echo", tool_call_id = "call_1", content = "x" }, { role = "user", content = "begin" } }
  local function spoil(messages)
    for _, message in ipairs(messages) do
      message.content = "spoilt"
      if message.tool_calls then message.tool_calls[1]["function"].arguments.text.word = "spoilt" end
    end
  end
  for i = 1, TURNS do
    for event in chat:stream(i == 1 and given or "word " .. i) do
      if event.type == "tool_call" then event.arguments.text.word = "spoilt" end
      if event.type == "done" then spoil(event.result.messages) end
    end
    spoil(given)
    spoil(chat.messages)
    spoil(chat:save().messages)
    spoil(chat:fork().messages)
    spoil(chat:run("again " .. i).messages)
  end
  local sent = server.requests[#server.requests].messages
  t.eq(#sent, 3 + TURNS * 8 - 1)
  t.eq({ json.encode(sent):find "spoilt", json.encode(sent):find "changed" }, {})
  t.eq(chat.messages[#sent].content, sent[#sent].content)
end)

test("session: each request begins with the bytes of the one before", function(t)
  local server <close> = scripted(function(request) return ("answer %d \u{E9}"):format(#request.messages) end)
  local chat, before = bot_of(server, { instructions = "Be \"short\"." }):session(), nil
  for i = 1, TURNS do
    local text = chat:next_request("question " .. i).body:match '"messages":(%[.*%])'
    if before then t.eq(text:sub(1, #before), before) end
    before = text:sub(1, -2)
    chat:run("question " .. i)
    t.eq(server.requests[i].messages, json.decode(text))
  end
end)

test("session: is saved as a table that JSON can hold, and goes on from it", function(t)
  local tool = stoke.tool { name = "now", run = function() return "noon" end }
  local server <close> = scripted { { tool_calls = { { name = "now", arguments = {} } } }, "It is noon.", "As I said." }
  local bot = bot_of(server, { tools = { tool } })
  local chat = bot:session()
  chat:run "What time is it?"
  local saved = json.decode(json.encode(chat:save()))
  local again = bot:session(saved)
  t.eq(again.messages, chat.messages)
  t.eq(again:run("Sure?").text, "As I said.")
  t.eq(#server.requests[3].messages, 5)
  for _, bad in ipairs { {}, { version = 2 }, { version = 1, messages = { 1 }, ends = {} },
    { version = 1, messages = {}, ends = { 3 } } } do
    t.raises("argument", bot.session, bot, bad)
  end
end)

test("session: is forked at any turn, and the two go their own ways", function(t)
  local server <close> = scripted(function(request) return "after " .. request.messages[#request.messages].content end)
  local chat = bot_of(server):session()
  chat:run "a"
  chat:run "b"
  local fork, empty = chat:fork(1), chat:fork(0)
  fork:run "c"
  t.eq({ #chat.messages, #fork.messages, #empty.messages }, { 4, 4, 0 })
  t.eq(fork.messages[3].content, "c")
  t.eq(chat.messages[3].content, "b")
  t.raises("argument", chat.fork, chat, 3)
end)

test("session: who reads the events of a turn is told that the next one would wait for ever", function(t)
  local server <close> = scripted(function() return { text = ("word "):rep(100), tps = 10 } end)
  local chat = bot_of(server):session()
  local err
  for ev in chat:stream "a" do
    if ev.type == "text" then
      err = t.raises("argument", chat.run, chat, "b")
      break
    end
  end
  t.match(err.message, "in the middle of a turn whose events this task reads")
  stoke.sleep(0)
  t.match(chat:run("c").text, "^word")
end)

test("session: a tool that asks the session it works for is told so, instead of waiting for ever", function(t)
  local chat
  local tool = stoke.tool { name = "again", run = function() return chat:run("more").text end }
  local server <close> = scripted { { tool_calls = { { name = "again", arguments = {} } } }, "ok" }
  chat = bot_of(server, { tools = { tool } }):session()
  chat:run "x"
  t.match(chat.messages[3].content, "^error: the session of bot is in the middle of the turn")
end)

test("input: a text with images by path, or messages", { real = true }, function(t)
  local server <close> = scripted(function(request)
    local m = request.messages[#request.messages]
    return ("%s with %d images"):format(m.content, m.images and #m.images or 0)
  end, { models = { "gemma3:4b" } })
  local bot = bot_of(server, { model = "gemma3:4b" })
  local path = os.getenv "TMPDIR" or "/tmp"
  path = path .. "/stoke-test-image-" .. math.random(1, 1 << 30) .. ".png"
  fs.write(path, "\x89PNG bytes")
  local gone <close> = setmetatable({}, { __close = function() fs.remove(path) end }) -- luacheck: ignore
  t.eq(bot:run({ text = "What is it?", images = { path } }).text, "What is it? with 1 images")
  t.eq(bot:run({ { role = "user", content = "a" }, { role = "assistant", content = "b" }, { role = "user", content = "c" } }).text,
    "c with 0 images")
  t.raises("os", bot.run, bot, { text = "x", images = { path .. ".missing" } })
  for _, bad in ipairs { {}, { texts = "x" }, { { role = "nobody", content = "x" } }, 7, { { role = "user", content = 7 } } } do
    t.raises("argument", bot.run, bot, bad)
  end
end)

test("explain: prints the exact request that would come first, and sends nothing", function(t)
  local server <close> = scripted { "hi" }
  local bot = bot_of(server, { instructions = "Be brief.", options = { temperature = 0 } })
  local made = bot:explain "Hello"
  t.eq(server.requests, {})
  bot:run "Hello"
  local body = json.decode(made.body)
  t.eq({ made.method, body.messages[2].content, body.options.temperature }, { "POST", "Hello", 0 })
  t.eq(#body.messages, #server.requests[1].messages)
end)

test("session: one that had been handed over is loaded as that", function(t)
  local server <close> = scripted(function(request)
    local who = request.messages[1].content
    if who == "triage" then return { tool_calls = { { name = "transfer_to_billing", arguments = {} } } } end
    return "I am " .. who
  end)
  local billing = bot_of(server, { name = "billing", instructions = "billing" })
  local triage = bot_of(server, { name = "triage", instructions = "triage", handoffs = { billing } })
  local chat = triage:session()
  chat:run "My bill is wrong."
  local again = triage:session(json.decode(json.encode(chat:save())))
  t.eq({ again.agent, again:run("And now?").text }, { "billing", "I am billing" })
end)

test("session: a message that contains itself is refused in words", function(t)
  local message = { role = "user", content = "x" }
  message.itself = message
  local agent = stoke.agent { name = "a", model = "m" }
  local err = t.raises("argument", agent.session, agent, { version = 1, messages = { message }, ends = { 1 } })
  t.match(err.message, "contains itself")
end)

test("session: roles that nobody has are no saved session", function(t)
  local server <close> = scripted {}
  local bot = bot_of(server)
  local err = t.raises("argument", bot.session, bot, { version = 1, messages = { { role = "usr", content = "x" } }, ends = { 1 } })
  t.match(err.message, 'the role "usr" in messages%[1%]')
end)
