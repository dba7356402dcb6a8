-- Sessions that are kept: they outlive their process, take one turn at a time, and a turn is there as a whole or not at all.

local test = require "stoke.test"
local routed = require "routed"
local runs = require "core.runs"
local scripted = require "scripted"
local sessions = require "core.store.sessions"
local stored = require "kept_store"
local stoke = require "stoke"

local function bot_of(server, more)
  local given = { name = "bot", model = scripted.MODEL, endpoint = server.url }
  for name, value in pairs(more or {}) do given[name] = value end
  return stoke.agent(given)
end

local function echo(request)
  local list = request.messages
  return ("%d messages, the last: %s"):format(#list, list[#list].content)
end

test("kept session: it goes on where it was left, in another process, too", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function(request) return echo(request) end)
  local chat = bot_of(server):session { id = "ada" }
  t.eq({ chat.turns, chat.agent, #chat.messages }, { 0, "bot", 0 })
  t.eq(chat:run("one").text, "1 messages, the last: one")
  store:restart()
  local again = bot_of(server):session { id = "ada" }
  t.eq({ again.turns, again.agent, again.id }, { 1, "bot", "ada" })
  local result = again:run "two"
  t.eq(result.text, "3 messages, the last: two")
  t.eq(tostring(result), result.text)
  t.eq(result.messages, { { role = "user", content = "two" }, { role = "assistant", content = result.text } })
  t.eq(again.messages[1], { role = "user", content = "one" })
  t.eq(bot_of(server):session { id = "bob" }.turns, 0)
end)

test("kept session: a turn that fails leaves nothing behind", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted { "one", { error = "boom", status = 500 }, "two" }
  local chat = bot_of(server):session { id = "ada" }
  chat:run "a"
  local err = t.raises("http", chat.run, chat, "b")
  t.match(err.message, "boom")
  t.eq({ #chat.messages, chat.turns }, { 2, 1 })
  t.eq(chat:run("c").text, "two")
  t.eq(#server.requests[3].messages, 3)
end)

test("kept session: a turn that is cancelled is taken back, and the next one goes ahead", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(_, n) return { text = "answer " .. n, delay = n == 1 and 100 or 0 } end)
  local chat = bot_of(server):session { id = "ada" }
  local turn = stoke.spawn(function() chat:run "a" end)
  while not server.requests[1] do stoke.sleep(0.01) end
  turn:cancel()
  pcall(turn.await, turn)
  t.eq(chat:run("b").text, "answer 2")
  t.eq({ #chat.messages, chat.turns }, { 2, 1 })
end)

test("kept session: one turn at a time, whoever opened it", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(request) return { text = "seen " .. #request.messages, delay = 0.02 } end)
  local bot = bot_of(server)
  local scope <close> = stoke.scope {}
  local answers = scope:map({ "a", "b", "c" }, function(text) return bot:session({ id = "ada" }):run(text).text end)
  table.sort(answers)
  t.eq(answers, { "seen 1", "seen 3", "seen 5" })
end)

test("kept session: the same key is the same turn, and gives its result again", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function(_, n) return "answer " .. n end)
  local chat = bot_of(server):session { id = "ada" }
  local first = chat:run("a", { key = "msg-17" })
  chat:run "b"
  store:restart()
  chat = bot_of(server):session { id = "ada" }
  local again = chat:run("a", { key = "msg-17" })
  t.eq({ again.text, again.messages, again.usage, chat.turns }, { first.text, first.messages, first.usage, 2 })
  t.eq(chat:run("a", { key = "msg-18" }).text, "answer 3")
end)

test("kept session: the same key at the same time is one turn", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(_, n) return { text = "answer " .. n, delay = 0.02 } end)
  local chat = bot_of(server):session { id = "ada" }
  local scope <close> = stoke.scope {}
  t.eq(scope:map({ 1, 2, 3 }, function() return chat:run("a", { key = "k" }).text end), { "answer 1", "answer 1", "answer 1" })
  t.eq(chat.turns, 1)
end)

test("kept session: a turn that failed under a key is asked anew", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted { { error = "boom", status = 500 }, "two" }
  local chat = bot_of(server):session { id = "ada" }
  t.raises("http", chat.run, chat, "a", { key = "k" })
  t.eq(chat:run("a", { key = "k" }).text, "two")
end)

test("kept session: its events come as they do, and the reader may leave", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(_, n) return n == 1 and ("word "):rep(200) or "short" end)
  local chat = bot_of(server):session { id = "ada" }
  local text, last = {}, nil
  for ev in chat:stream "a" do
    if ev.type == "text" then text[#text + 1] = ev.text end
    last = ev
  end
  t.eq(table.concat(text), ("word "):rep(200))
  t.ok(#text > 64)
  t.eq({ last.type, last.result.text, chat.turns }, { "done", ("word "):rep(200), 1 })
  for ev in chat:stream "b" do
    if ev.type then break end
  end
  t.eq(chat:run("c").text, "short")
end)

test("kept session: fork from any turn, kept and not", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(request) return echo(request) .. (" "):rep(300) end)
  local bot = bot_of(server)
  local chat = bot:session { id = "ada" }
  for i = 1, 3 do chat:run("q" .. i) end
  local other, plain, copy = chat:fork(1, { id = "ada 2" }), chat:fork(2), chat:fork { id = "ada 3" }
  t.eq({ other.turns, plain.turns, copy.turns, other.id }, { 1, 2, 3, "ada 2" })
  t.eq(other:run("x").text:match "%S.*%S", "3 messages, the last: x")
  t.eq(plain:run("y").text:match "%S.*%S", "5 messages, the last: y")
  t.eq(chat.turns, 3)
  t.raises("argument", chat.fork, chat, 1, { id = "ada 2" })
  t.raises("argument", chat.fork, chat, 4)
  t.eq(plain:fork({ id = "kept now" }).messages, plain.messages)
  t.eq(bot:session({ id = "kept now" }):run("z").text:match "%S.*%S", "7 messages, the last: z")
end)

test("kept session: what it saves is a session that is not kept", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(request) return echo(request) end)
  local bot = bot_of(server)
  local chat = bot:session { id = "ada" }
  chat:run "a"
  local saved = chat:save()
  t.eq({ saved.version, saved.agent, #saved.messages, saved.ends }, { 1, "bot", 2, { 2 } })
  t.eq(bot:session(saved):run("b").text, "3 messages, the last: b")
  t.match(chat:next_request("c").body, '"content":"c"')
end)

test("kept session: handoffs and schemas go on", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function(request, n)
    if n == 1 then return { tool_calls = { { name = "transfer_to_expert", arguments = {} } } } end
    return "the expert, after " .. #request.messages
  end)
  local function team()
    local expert = stoke.agent { name = "expert", model = scripted.MODEL, endpoint = server.url, instructions = "You know." }
    return bot_of(server, { handoffs = { expert } })
  end
  local chat = team():session { id = "ada" }
  local called = server.requests
  chat:run "help"
  t.ok(called[2])
  t.eq(chat.agent, "expert")
  store:restart()
  local again = team():session { id = "ada" }
  t.eq(again.agent, "expert")
  again:run "more"
  t.eq(server.requests[3].messages[1].content, "You know.")
  store:restart()
  local err = t.raises("argument", function() bot_of(server):session { id = "ada" } end)
  t.match(err.message, "expert, to which bot hands over no longer")
end)

test("kept session: an output with a schema is given again", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted { '{"city":"Oslo"}' }
  local bot = bot_of(server, { output = { city = "string" } })
  local chat = bot:session { id = "ada" }
  t.eq(chat:run("where?", { key = "k" }).output, { city = "Oslo" })
  t.eq(chat:run("where?", { key = "k" }).output, { city = "Oslo" })
end)

test("kept session: each mistake is one error", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted { "a", "b" }
  local bot = bot_of(server)
  bot:session({ id = "ada" }):run "x"
  local other = stoke.agent { name = "other", model = scripted.MODEL, endpoint = server.url }
  local err = t.raises("argument", function() other:session { id = "ada" } end)
  t.match(err.message, 'the session "ada" is one of the agent bot, not of other')
  t.raises("argument", function() bot:session { id = "" } end)
  t.raises("argument", function() bot:session { id = 7 } end)
  t.raises("argument", function() bot:session { id = "x", name = "y" } end)
  err = t.raises("argument", function() stoke.agent({ model = "m" }):session { id = "ada" } end)
  t.match(err.message, "has no name")
  local chat = bot:session { id = "ada" }
  t.raises("argument", chat.run, chat, "x", { key = "" })
  t.raises("argument", function() chat.turns = 3 end)
end)

test("kept session: a damaged message is one error, and nothing is asked", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function() return ("long "):rep(100) end)
  bot_of(server):session({ id = "ada" }):run "x"
  for sql, words in pairs { ["DELETE FROM contents WHERE value LIKE '%long%'"] = "message 2 cannot be read",
    ["UPDATE messages SET value='{' WHERE number=1"] = "message 1 cannot be read",
    ["DELETE FROM messages WHERE number=1"] = "message 1 is missing" } do
    runs.open().db:write(sql, {}, true)
    store:restart()
    local chat = bot_of(server):session { id = "ada" }
    local err = t.raises("db", function() return chat.messages end)
    t.match(err.message, 'the session ada: ')
    t.ok(err.message:find(words, 1, true) or err.message:find "message", err.message)
  end
  local chat = bot_of(server):session { id = "ada" }
  local err = t.raises("db", chat.run, chat, "y")
  t.match(err.message, "the session ada: message 1 is missing")
  t.eq(#server.requests, 1)
end)

test("kept session: a tool that asks the session it works for is told so", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function(_, n)
    return n == 1 and { tool_calls = { { name = "again", arguments = {} } } } or "end"
  end)
  local bot, said
  local again = stoke.tool { name = "again", description = "d", run = function()
    local ok, err = pcall(function() return bot:session({ id = "ada" }):run "inner" end)
    said = not ok and err.message
    return "x"
  end }
  bot = bot_of(server, { tools = { again } })
  t.eq(bot:session({ id = "ada" }):run("outer").text, "end")
  t.match(said, "in the middle of the turn that this tool works for")
end)

test("kept session: images and megabytes are kept once", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function() return "seen" end, { models = { "eye,caps=completion+vision" } })
  local function bot_of_eye() return bot_of(server, { model = "eye" }) end
  local bot = bot_of_eye()
  local image = "iVBORw0KGgo" .. ("A"):rep(1000001)
  local chat = bot:session { id = "ada" }
  chat:run { text = "what is it?", images = { { data = image } } }
  chat:run { text = "and now?", images = { { data = image } } }
  chat:fork(1, { id = "other" }):run "again"
  t.eq(bot:session({ id = "ada" }).messages[1].images[1], image)
  local rows = runs.open().db:query "SELECT count(*), sum(length(value)) FROM contents WHERE length(value)>100000"
  t.eq(rows.rows[1][1], 1)
  store:restart()
  t.eq(bot_of_eye():session({ id = "other" }).messages[1].images[1], image)
end)

test("kept session: inside of a durable run a turn is a run of its own, and is done once", { real = true }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function(_, n) return "answer " .. n end)
  local function define()
    local bot = bot_of(server)
    return stoke.workflow("ask", function()
      local chat = bot:session { id = "ada" }
      local first = chat:run("one").text
      stoke.signal "go"
      return { first, chat:run("two").text, chat.turns }
    end)
  end
  local run = define():start(nil, { id = "w" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  store:restart()
  run = define():start(nil, { id = "w" })
  run:signal "go"
  t.eq(run:await(), { "answer 1", "answer 2", 2 })
  t.eq(#server.requests, 2)
end)

test("kept session: 500 turns are read once, and no more with the next turn", { real = true, timeout = 120 }, function(t)
  local store <close> = stored(t)
  local server <close> = scripted(function(request) return "seen " .. #request.messages end,
    { models = { "wide,num_ctx=131072,context=131072,prefill=100000000" } })
  local messages, ends = {}, {}
  for i = 1, 500 do
    messages[2 * i - 1] = { role = "user", content = ("question %d "):format(i):rep(20) }
    messages[2 * i] = { role = "assistant", content = "answer " .. i }
    ends[i] = 2 * i
  end
  local function wide() return bot_of(server, { model = "wide" }) end
  wide():session({ version = 1, agent = "bot", messages = messages, ends = ends, first = 1 }):fork({ id = "ada" })
  store:restart()
  local chat = wide():session { id = "ada" }
  local read, list = 0, sessions.messages
  sessions.messages = function(from, session, first, last)
    read = read + math.max(0, last - first + 1)
    return list(from, session, first, last)
  end
  local _ <close> = setmetatable({}, { __close = function() sessions.messages = list end })
  t.eq(chat.turns, 500)
  t.eq(read, 0)
  t.eq(chat:run("more").text, "seen 1001")
  t.eq(chat:run("and more").text, "seen 1003")
  t.eq({ read, chat.turns }, { 1000, 502 })
  t.eq(chat:fork(250).messages[500].content, "answer 250")
end)

test("kept session: ten thousand that are open take less than 8 KB each", { real = true, timeout = 120 }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted {}
  local bot, open = bot_of(server), {}
  bot:session { id = "first" }
  collectgarbage()
  local before = collectgarbage "count"
  for i = 1, 10000 do open[i] = bot:session { id = "number " .. i } end
  collectgarbage()
  local each = (collectgarbage "count" - before) * 1024 / 10000
  t.eq(#open, 10000)
  t.ok(each < 8192, each)
end)

test("kept session: what a turn used counts for the budget of its caller", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local server <close> = scripted(function() return "some words" end)
  local chat = bot_of(server):session { id = "ada" }
  local err = t.raises("budget", function()
    local scope <close> = stoke.scope { budget = { tokens = 20 } } -- luacheck: ignore
    for _ = 1, 50 do chat:run "a" end
  end)
  t.match(err.message, "the budget of 20 tokens is spent")
  t.ok(chat.turns >= 1 and chat.turns < 50)
end)

test("a turn has a class, a deadline and a route of its own, also in the process that goes on with it", { real = true }, function(t)
  local store <close> = stored(t)
  local world <close> = routed({ gpu = { models = { "m" }, tokens_per_second = 10 }, laptop = { models = { "m" } } })
  local bot = stoke.agent { name = "kept", model = "m", endpoint = "gpu" }
  local chat = bot:session { id = "ada" }
  chat:run("Hi", { route = { "@laptop" }, class = "batch" })
  t.eq(world.asked[1].endpoint, "laptop")
  chat:run "Hi"
  t.eq(world.asked[2].endpoint, "gpu")
  local err = t.raises("deadline", chat.run, chat, "Hi", { deadline = 0.01 })
  t.match(err.message, "did not finish within 0.01 s")
  t.eq(chat.turns, 2)
  t.match(t.raises("argument", chat.run, chat, "Hi", { class = "interctive" }).hint, 'did you mean "interactive"?')
  t.eq(store.path ~= nil, true)
end)

test("a turn has the class of the scope it is asked in, where neither the turn nor its agent has one", { real = true }, function(t)
  local _ <close> = stored(t)
  local asked = {}
  local world <close> = routed { gpu = { models = { "m" }, script = function()
    stoke.sleep(0.05)
    for _, server in ipairs(stoke.pool().servers) do
      for _, lane in ipairs(server.lanes) do asked[#asked + 1] = lane.calls[1] and lane.calls[1].class end
    end
    return "yes"
  end } }
  local function chat_of(more)
    return stoke.agent { name = "bot" .. #asked, model = "m", endpoint = "gpu", class = more }:session { id = "s" .. #asked }
  end
  do
    local _ <close> = stoke.scope { class = "interactive" }
    chat_of():run "Hi"
    chat_of():run("Hi", { class = "normal" })
    chat_of "batch":run "Hi"
  end
  chat_of():run "Hi"
  t.eq(asked, { "interactive", "normal", "batch", "normal" })
  t.eq(#world.asked, 4)
end)
