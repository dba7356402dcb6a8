-- Conversations that clients of stoke serve name: kept sessions, found again by what their clients send again.

local test = require "stoke.test"
local stoke = require "stoke"
local http = require "stoke.http"
local json = require "stoke.json"
local runs = require "core.runs"
local served = require "served"
local sessions = require "stoke.sessions"

local ID = { ["X-Stoke-Session"] = "conversation-of-ada-1" }
local CHAT = { ["X-OpenWebUI-Chat-Id"] = "0d9fba31-54a5-4d25-8e1d-0f5c4c5f9d10" }

local function user(text) return { role = "user", content = text } end

--- A whole answer to a request with these messages, as the server sends it.
local function post(place, messages, headers)
  return place:post("/api/chat", { model = "poet", stream = false, messages = messages }, headers)
end

--- A client that keeps the conversation itself, as all do.
local function client(place, headers)
  local self = { messages = {} }
  function self.ask(text, more)
    self.messages[#self.messages + 1] = type(text) == "string" and user(text) or text
    local body = { model = "poet", stream = false, messages = self.messages }
    for name, value in pairs(more or {}) do body[name] = value end
    local said = place:post("/api/chat", body, headers):json().message
    self.messages[#self.messages + 1] = said
    return said
  end
  --- Forget all after so many messages.
  function self.back(count)
    for i = #self.messages, count + 1, -1 do self.messages[i] = nil end
  end
  return self
end

local function roles(request)
  local out = {}
  for i, m in ipairs(request.messages) do out[i] = m.role end
  return table.concat(out, " ")
end

local function weather(count)
  return stoke.tool { name = "weather", params = { city = "string" }, run = function(a)
    count.calls = (count.calls or 0) + 1
    return "rain in " .. a.city
  end }
end

local LOOK = { tool = "weather", args = { city = "Oslo" } }

--- How many sessions there are, and the turns of each, the oldest first.
local function kept()
  local out = {}
  for i, s in ipairs(sessions.list { prefix = "served/" }) do out[i] = s.turns end
  table.sort(out)
  return out
end

local function with_tools(count)
  return function(agent) return { agent { tools = { weather(count) } } } end
end

-- ---- the same conversation ------------------------------------------------------------------------------------------------------

test("a conversation that is named goes on with what the client never saw, and no tool is called twice", function(t)
  local count = {}
  local place <close> = served({ LOOK, "Take one.", "Yes, wet." }, with_tools(count))
  local chat = client(place, CHAT)
  t.eq(chat.ask("Oslo?").content, "Take one.")
  t.eq(chat.ask("Sure?").content, "Yes, wet.")
  t.eq(roles(place.model.requests[3]), "system user assistant tool assistant user")
  t.eq({ count.calls, kept() }, { 1, { 2 } })
end)

test("without a name nothing is kept", function(t)
  local place <close> = served({ "One.", "Two." })
  local chat = client(place)
  chat.ask "a"
  chat.ask "b"
  t.eq(#(stoke.try(sessions.list, { prefix = "served/" }) or {}), 0) -- nil where there is no store at all
end)

test("X-Stoke-Session: a client may send what is new alone", function(t)
  local place <close> = served({ "I see.", "Ada." })
  post(place, { user "I am Ada." }, ID)
  t.eq(post(place, { user "Who am I?" }, ID):json().message.content, "Ada.")
  t.eq(roles(place.model.requests[2]), "system user assistant user")
end)

test("X-Stoke-Session: a client that sends all of it is recognised as well", function(t)
  local place <close> = served({ "I see.", "Ada." })
  local chat = client(place, ID)
  chat.ask "I am Ada."
  chat.ask "Who am I?"
  t.eq(roles(place.model.requests[2]), "system user assistant user")
  t.eq(kept(), { 2 })
end)

test("X-Stoke-Session: an id that can be guessed is refused", function(t)
  local place <close> = served {}
  local r = post(place, { user "a" }, { ["X-Stoke-Session"] = "1" })
  t.eq(r.status, 400)
  t.match(r:json().error, "16 to 200 characters")
end)

test("Open WebUI: a temporary chat is not kept", function(t)
  local place <close> = served { "One." }
  client(place, { ["X-OpenWebUI-Chat-Id"] = "local:a-socket-id-of-some-length" }).ask "a"
  t.eq(#(stoke.try(sessions.list, { prefix = "served/" }) or {}), 0) -- nil where there is no store at all
end)

test("blanks that a client changes do not make another conversation", function(t)
  local place <close> = served { LOOK, "Take one.\n\nNow. ", "Yes." }
  local chat = client(place, CHAT)
  chat.ask "Oslo?"
  chat.messages[2] = { role = "assistant", content = " Take one. Now." }
  chat.ask "Sure?"
  t.eq(kept(), { 2 })
end)

test("the client's system message is in force for its request, and no part of what was said", function(t)
  local place <close> = served({ "One.", "Two." })
  local messages = { { role = "system", content = "It is Monday." }, user "a" }
  messages[3], messages[4] = post(place, messages, CHAT):json().message, user "b"
  messages[1] = { role = "system", content = "It is Tuesday." }
  post(place, messages, CHAT)
  local asked = place.model.requests[2].messages
  t.eq({ asked[1].content, #asked }, { "Be brief.\n\nIt is Tuesday.", 4 })
  t.eq(kept(), { 2 })
end)

test("/v1: metadata names a conversation, and so does the user", function(t)
  for i, more in ipairs { { metadata = { session_id = "a-session-of-some-length" } }, { user = "ada" } } do
    local count = {}
    local place <close> = served({ LOOK, "Take one.", "Yes." }, with_tools(count))
    local messages = { user("Oslo? " .. i) }
    local function ask()
      local body = { model = "poet", messages = messages, metadata = more.metadata, user = more.user }
      return place:post("/v1/chat/completions", body):json().choices[1].message
    end
    messages[2], messages[3] = ask(), user "Sure?"
    t.eq(ask().content, "Yes.")
    t.eq(roles(place.model.requests[3]), "system user assistant tool assistant user")
  end
end)

test("/v1: a user's second conversation is another one", function(t)
  local place <close> = served({ "One.", "Two." })
  for _, text in ipairs { "a", "b" } do
    place:post("/v1/chat/completions", { model = "poet", user = "ada", messages = { user(text) } })
  end
  t.eq(roles(place.model.requests[2]), "system user")
  t.eq(kept(), { 1, 1 })
end)

test("a completion goes on in a session, too", function(t)
  local place <close> = served({ "I see.", "Ada.", "Still Ada." })
  place:post("/api/generate", { model = "poet", stream = false, prompt = "I am Ada." }, ID)
  place:post("/v1/completions", { model = "poet", prompt = "Who am I?" }, ID)
  t.eq(roles(place.model.requests[2]), "system user assistant user")
end)

-- ---- branches -------------------------------------------------------------------------------------------------------------------

test("an answer that is asked for again branches off: the first one stays, no tool of the turns before is called", function(t)
  local count = {}
  local place <close> = served({ LOOK, "Take one.", "Yes.", "No.", "Why?" }, with_tools(count))
  local chat = client(place, CHAT)
  chat.ask "Oslo?"
  chat.ask "Sure?"
  chat.back(2)
  t.eq(chat.ask("Sure?").content, "No.")
  t.eq(roles(place.model.requests[4]), "system user assistant tool assistant user")
  chat.ask "Really?"
  t.eq({ count.calls, kept() }, { 1, { 2, 3 } })
end)

test("a question that was edited branches off where the conversation is still the same", function(t)
  local place <close> = served({ "One.", "Two.", "Three." })
  local chat = client(place, CHAT)
  chat.ask "a"
  chat.ask "b"
  chat.back(2)
  chat.ask "c"
  local asked = place.model.requests[3].messages
  t.eq({ asked[2].content, asked[3].content, asked[4].content, #asked }, { "a", "One.", "c", 4 })
  t.eq(kept(), { 2, 2 })
end)

test("what the client says was said counts: an answer that it has changed is what the model reads", function(t)
  local place <close> = served({ LOOK, "One.", "Two.", "Three." }, with_tools {})
  local chat = client(place, CHAT)
  chat.ask "a"
  chat.ask "b"
  chat.messages[4] = { role = "assistant", content = "Two and a half." }
  chat.ask "c"
  local asked = place.model.requests[4].messages
  t.eq(roles(place.model.requests[4]), "system user assistant tool assistant user assistant user")
  t.eq(asked[7].content, "Two and a half.")
end)

test("a conversation that nobody here knows begins with what the client sends, and goes on from there", function(t)
  local place <close> = served({ "Three.", "Five." })
  local chat = client(place, CHAT)
  chat.messages = { user "One?", { role = "assistant", content = "Two." } }
  chat.ask "And?"
  chat.ask "And then?"
  t.eq(roles(place.model.requests[2]), "system user assistant user assistant user")
  t.eq(kept(), { 3 })
end)

test("the same key of a request is the same turn: its answer comes again, and nobody is asked", function(t)
  local place <close> = served { "One." }
  local headers = { ["X-OpenWebUI-Chat-Id"] = CHAT["X-OpenWebUI-Chat-Id"], ["Idempotency-Key"] = "request-00000000001" }
  for _ = 1, 2 do
    local said = place:post("/api/chat", { model = "poet", messages = { user "a" } }, headers)
    t.match(said.body, '"content":"One."')
  end
  t.eq({ #place.model.requests, kept() }, { 1, { 1 } })
end)

test("a client that begins a turn and leaves has not had it: the next one begins where the conversation stood", function(t)
  local place <close> = served({ "One.", ("word "):rep(200), "Two." }, nil, nil, { tokens_per_second = 20 })
  local chat = client(place, CHAT)
  chat.ask "a"
  chat.messages[3] = user "b"
  local r = http.post(place.url .. "/api/chat", { json = { model = "poet", messages = chat.messages }, stream = "lines",
    headers = CHAT })
  t.ok(r:lines()())
  r:close()
  stoke.sleep(0.05)
  t.eq({ place.model.sim.ledger.streams_open, place.model.sim.ledger.disconnects }, { 0, 1 })
  chat.back(2)
  t.eq(chat.ask("b").content, "Two.")
  t.eq(roles(place.model.requests[3]), "system user assistant user")
end)

-- ---- tools of the client --------------------------------------------------------------------------------------------------------

local OPEN = { type = "function", ["function"] = { name = "open_file", description = "Open a file",
  parameters = { type = "object", properties = { path = { type = "string" } }, required = { "path" } } } }

test("the client's tools: the call goes out, its result comes back, and the session goes on", function(t)
  local count = {}
  local opens = { tool = "open_file", args = { path = "a.lua" } }
  local place <close> = served({ LOOK, opens, "It prints.", "Yes." }, with_tools(count))
  local chat = client(place, CHAT)
  local said = chat.ask("Oslo?", { tools = { OPEN } })
  local call = said.tool_calls[1]
  t.eq(call["function"].name, "open_file")
  t.eq(chat.ask({ role = "tool", tool_call_id = call.id, content = "print(1)" }, { tools = { OPEN } }).content, "It prints.")
  t.eq(roles(place.model.requests[3]), "system user assistant tool assistant tool")
  chat.ask("Sure?", { tools = { OPEN } })
  t.eq(roles(place.model.requests[4]), "system user assistant tool assistant tool assistant user")
  t.eq({ count.calls, kept() }, { 1, { 3 } })
end)

test("a result that does not come is said to be missing", function(t)
  local place <close> = served({ { tool = "open_file", args = { path = "a.lua" } }, "Then not." })
  local chat = client(place, CHAT)
  chat.ask("a", { tools = { OPEN } })
  chat.ask("Leave it.", { tools = { OPEN } })
  t.eq(roles(place.model.requests[2]), "system user assistant tool user")
  t.eq(place.model.requests[2].messages[4].content, "no result came")
end)

test("a turn that was cut leaves nothing, and the same question is asked in the same session", function(t)
  local place <close> = served({ ("word "):rep(200), "Two." }, nil, nil, { tokens_per_second = 20 })
  local task = stoke.spawn(stoke.try, post, place, { user "a" }, CHAT)
  stoke.sleep(0.5)
  task:cancel()
  stoke.sleep(0.05)
  t.eq(post(place, { user "a" }, CHAT):json().message.content, "Two.")
  t.eq(kept(), { 1 })
end)

-- ---- whose it is ----------------------------------------------------------------------------------------------------------------

test("another id, another agent, another token: another conversation", function(t)
  local count = {}
  local function agents(agent) return { agent { tools = { weather(count) } }, agent { name = "other" } } end
  local place <close> = served({ LOOK, "One.", "Two.", "Three.", "Four." }, agents)
  local chat = client(place, CHAT)
  chat.ask "a"
  chat.messages[3] = user "b"
  local body = { model = "poet", stream = false, messages = chat.messages }
  place:post("/api/chat", body, { ["X-OpenWebUI-Chat-Id"] = "another-chat-of-some-length" })
  t.eq(roles(place.model.requests[3]), "system user assistant user")
  body.model = "other"
  place:post("/api/chat", body, CHAT)
  t.eq(roles(place.model.requests[4]), "system user assistant user")
  local token = ("k"):rep(20)
  local guarded <close> = served({ "Five." }, agents, { token = token })
  guarded:post("/api/chat", { model = "poet", stream = false, messages = chat.messages },
    { Authorization = "Bearer " .. token, ["X-OpenWebUI-Chat-Id"] = CHAT["X-OpenWebUI-Chat-Id"] })
  t.eq(roles(guarded.model.requests[1]), "system user assistant user")
end)

-- ---- side by side, caps, bad days -----------------------------------------------------------------------------------------------

test("two clients in one conversation take turns", function(t)
  local place <close> = served({ "a b c d", "e f g h" }, nil, nil, { tokens_per_second = 4 })
  local first = stoke.spawn(post, place, { user "One?" }, ID)
  stoke.sleep(0.1)
  local second = stoke.spawn(post, place, { user "Two?" }, ID)
  stoke.sleep(0.1)
  t.eq(place.model.sim.ledger.streams_open + #place.model.requests, 2)
  t.eq({ first:await().status, second:await().status }, { 200, 200 })
  t.eq(roles(place.model.requests[2]), "system user assistant user")
end)

test("two requests of a conversation that stand elsewhere in it do not wait for each other", function(t)
  local place <close> = served(function() return "a b c d" end, nil, nil, { tokens_per_second = 4 })
  local first = stoke.spawn(post, place, { user "One?" }, CHAT)
  local second = stoke.spawn(post, place, { user "A title, please." }, CHAT)
  stoke.sleep(0.5)
  t.eq(#place.model.requests, 2)
  t.eq({ first:await().status, second:await().status }, { 200, 200 })
end)

test("so many sessions are kept, those that changed last, and none beyond their time", function(t)
  local place <close> = served(function() return "Yes." end, nil, { sessions = { most = 2, lifetime = 3600 } })
  for i = 1, 4 do
    client(place, { ["X-Stoke-Session"] = "conversation-of-ada-" .. i }).ask "a"
    stoke.sleep(61)
  end
  t.eq(#kept(), 2)
  stoke.sleep(4000)
  client(place, ID).ask "b"
  stoke.sleep(1)
  t.eq(#kept(), 1)
end)

test("many conversations in a short time do not outgrow what is kept", function(t)
  local place <close> = served(function() return "Yes." end, nil, { sessions = { most = 10 } })
  for i = 1, 200 do client(place, { ["X-Stoke-Session"] = "conversation-of-ada-" .. i }).ask "a" end
  stoke.sleep(1)
  t.ok(#kept() <= 10 + 64, #kept())
end)

test("sessions = false keeps nothing", function(t)
  local place <close> = served({ "One." }, nil, { sessions = false })
  client(place, CHAT).ask "a"
  t.eq(#(stoke.try(sessions.list, { prefix = "served/" }) or {}), 0) -- nil where there is no store at all
end)

test("where no store can be written clients are answered all the same, from what they send", function(t)
  local setting = runs.setting
  runs.setting = function() return "/proc/none/state.db" end
  local _ <close> = setmetatable({}, { __close = function() runs.setting = setting end })
  local place <close> = served { "One.", "Two." }
  local chat = client(place, CHAT)
  chat.ask "a"
  t.eq(chat.ask("b").content, "Two.")
  t.eq(roles(place.model.requests[2]), "system user assistant user")
end)

test("sessions: what is no option is refused when the server is made", function(t)
  for _, bad in ipairs { 1, { most = -1 }, { lifetime = "x" }, { size = 1 } } do
    local agent = stoke.agent { name = "poet", model = "m" }
    t.eq(select(2, stoke.try(stoke.serve, { mem = "bad", agents = { agent }, sessions = bad })).kind, "argument")
  end
end)

test("a handoff lasts: the agent that took over answers the next turn", function(t)
  local place <close> = served({ { tool = "transfer_to_clerk", args = json.object {} }, "Clerk here.", "Still here." },
    function(agent) return { agent { handoffs = { agent { name = "clerk", instructions = "You are the clerk." } } } } end)
  local chat = client(place, CHAT)
  chat.ask "a"
  chat.ask "b"
  t.match(place.model.requests[3].messages[1].content, "clerk")
end)

test("a call that waits for a person's yes goes on when it is given", function(t)
  local place <close> = served({ { tool = "wipe", args = { disk = "sda" } }, "Done." }, function(agent)
    return { agent { tools = { stoke.tool { name = "wipe", params = { disk = "string" }, needs_approval = true,
      run = function() return "wiped" end } } } }
  end)
  local asked = stoke.spawn(post, place, { user "Wipe it." }, CHAT)
  stoke.sleep(0.5)
  stoke.pending()[1]:approve()
  t.eq(asked:await():json().message.content, "Done.")
end)

test("a shape that the client wants holds in a session, too", function(t)
  local place <close> = served { '{"city":"Oslo"}' }
  local shape = { type = "object", properties = { city = { type = "string" } }, required = { "city" } }
  local said = client(place, CHAT).ask("Where?", { format = shape })
  t.eq(json.decode(said.content), { city = "Oslo" })
  t.eq(place.model.requests[1].format.properties.city.type, "string")
end)
