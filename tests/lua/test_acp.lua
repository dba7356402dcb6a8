-- Agents of a file in an editor, by the Agent Client Protocol: sessions that are kept, turns told as they happen, questions of
-- tools.

local test = require "stoke.test"
local about = require "core.about"
local content = require "stoke.acp.content"
local editor_of = require "acp_client"
local fs = require "stoke.fs"
local json = require "stoke.json"
local peers = require "stoke.acp.peer"
local proc = require "stoke.proc"
local scripted = require "scripted"
local servers = require "stoke.acp.server"
local stoke = require "stoke"
local stored = require "kept_store"

local REAL = { real = true, timeout = 60 }

local function calls(name, arguments, text)
  return { text = text, tool_calls = { { name = name, arguments = arguments } } }
end

local function agent(model, fields)
  fields.name, fields.model, fields.endpoint = fields.name or "bot", scripted.MODEL, model.url
  return stoke.agent(fields)
end

test("acp: the answer to initialize says what there is, whatever version is asked for", function(t)
  local model <close> = scripted {}
  local editor <close> = editor_of { agents = agent(model, {}) }
  local hello = editor.hello.result
  t.eq(hello.protocolVersion, 1)
  t.eq(hello.agentCapabilities.loadSession, true)
  t.eq(hello.agentCapabilities.promptCapabilities.embeddedContext, true)
  t.eq(hello.agentCapabilities.mcpCapabilities.http, true)
  t.eq(hello.agentInfo.name, "test")
  t.eq(#hello.authMethods, 0)
  t.eq(editor:ask("initialize", { protocolVersion = 7 }).result.protocolVersion, 1)
  t.eq(editor:ask("initialize", {}).error.code, -32602)
end)

test("acp: a turn is told as it happens: thoughts, text, calls and their results", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { calls("read_note", { day = "monday" }), "It says: buy milk." }
  local read = stoke.tool { name = "read_note", params = { day = "string" }, run = function() return "buy milk" end }
  local editor <close> = editor_of { agents = agent(model, { tools = { read } }) }
  local id = editor:open()
  t.eq(editor:prompt(id, "What is in the note?").result.stopReason, "end_turn")
  t.eq(editor:said "agent_message_chunk", "It says: buy milk.")
  local call, update = editor:of "tool_call"[1], editor:of "tool_call_update"[1]
  t.eq(call.title, "read_note monday")
  t.eq(call.kind, "read")
  t.eq(call.status, "in_progress")
  t.eq(call.rawInput.day, "monday")
  t.eq(update.toolCallId, call.toolCallId)
  t.eq(update.status, "completed")
  t.eq(update.content[1], { type = "content", content = { type = "text", text = "buy milk" } })
  t.eq(model.requests[1].messages[1].content, "What is in the note?")
end)

test("acp: a tool that fails is told as failed; the same id twice in a session is two calls for the client", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(_, n)
    if n % 2 == 1 then return { tool_calls = { { name = "bad", arguments = {}, id = "call_1" } } } end
    return "sorry"
  end)
  local bad = stoke.tool { name = "bad", run = function() return nil, "no luck" end }
  local editor <close> = editor_of { agents = agent(model, { tools = { bad } }) }
  local id = editor:open()
  editor:prompt(id, "x")
  editor:prompt(id, "y")
  local told, updates = editor:of "tool_call", editor:of "tool_call_update"
  t.eq(updates[1].status, "failed")
  t.match(updates[1].content[1].content.text, "no luck")
  t.ok(told[1].toolCallId ~= told[2].toolCallId)
  t.eq(updates[2].toolCallId, told[2].toolCallId)
end)

test("acp: what waits for a person is asked of the client, once it knows of the call", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { calls("delete_note", { day = "monday" }), "gone", calls("delete_note", { day = "friday" }),
    "stays" }
  local done = {}
  local delete = stoke.tool { name = "delete_note", params = { day = "string" }, needs_approval = true,
    run = function(args) done[#done + 1] = args.day return "deleted" end }
  local editor <close> = editor_of { agents = agent(model, { tools = { delete } }) }
  local id = editor:open()
  editor.permit = function(params) return params.toolCall.rawInput.day == "monday" and "allow" or "reject" end
  t.eq(editor:prompt(id, "Delete monday").result.stopReason, "end_turn")
  t.eq(editor:prompt(id, "Delete friday").result.stopReason, "end_turn")
  t.eq(table.concat(done, " "), "monday")
  local asked = editor.asked[1]
  t.eq(asked.sessionId, id)
  t.eq(asked.toolCall.toolCallId, editor:of "tool_call"[1].toolCallId)
  t.eq(asked.toolCall.kind, "delete")
  local kinds = {}
  for i, option in ipairs(asked.options) do kinds[i] = option.kind end
  t.eq(table.concat(kinds, " "), "allow_once allow_always reject_once")
  local last = editor:of "tool_call_update"
  t.eq(last[#last].status, "failed")
end)

test("acp: always is for this tool in this session", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(_, n) return n % 2 == 1 and calls("tick", {}) or "done" end)
  local count = 0
  local tick = stoke.tool { name = "tick", needs_approval = true, run = function() count = count + 1 return "ok" end }
  local editor <close> = editor_of { agents = agent(model, { tools = { tick } }) }
  editor.permit = function() return "always" end
  local id = editor:open()
  editor:prompt(id, "a")
  editor:prompt(id, "b")
  t.eq(#editor.asked, 1)
  local other = editor:open()
  editor:prompt(other, "c")
  t.eq(#editor.asked, 2)
  t.eq(editor.asked[2].sessionId, other)
  t.eq(count, 3)
end)

test("acp: two sessions at once, whose models name their calls alike, are each asked about their own", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(request)
    local last = request.messages[#request.messages]
    if last.role == "tool" then return "done" end
    return { tool_calls = { { id = "call_1", name = "touch", arguments = { what = last.content } } } }
  end)
  local touch = stoke.tool { name = "touch", params = { what = "string" }, needs_approval = true, run = function(args)
    return args.what
  end }
  local editor <close> = editor_of { agents = agent(model, { tools = { touch } }) }
  editor.permit = function()
    stoke.sleep(0.1)
    return "allow"
  end
  local one, two = editor:open(), editor:open()
  local first = editor:begin("session/prompt", { sessionId = one, prompt = json.array { { type = "text", text = "one" } } })
  local second = editor:begin("session/prompt", { sessionId = two, prompt = json.array { { type = "text", text = "two" } } })
  t.eq(editor:answer(first).result.stopReason, "end_turn")
  t.eq(editor:answer(second).result.stopReason, "end_turn")
  t.eq(#editor.asked, 2)
  for _, asked in ipairs(editor.asked) do
    t.eq(asked.toolCall.rawInput.what, asked.sessionId == one and "one" or "two")
  end
end)

test("acp: a cancelled turn ends with the stop reason cancelled, its model is not asked on, and nothing of it is kept", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local ended = false
  local model <close> = scripted { calls("slow", {}), "never", "hello" }
  local slow = stoke.tool { name = "slow", run = function()
    local _ <close> = setmetatable({}, { __close = function() ended = true end })
    stoke.sleep(1000)
  end }
  local editor <close> = editor_of { agents = agent(model, { tools = { slow } }) }
  local id = editor:open()
  local prompt = editor:begin("session/prompt", { sessionId = id, prompt = json.array { { type = "text", text = "go" } } })
  for _ = 1, 100 do
    if editor:of "tool_call"[1] then break end
    stoke.sleep(0.01)
  end
  local busy = editor:prompt(id, "and?")
  t.eq(busy.error.code, -32600)
  editor:write { method = "session/cancel", params = { sessionId = id } }
  t.eq(editor:answer(prompt).result.stopReason, "cancelled")
  t.eq(ended, true)
  t.eq(#model.requests, 1)
  local again = editor:prompt(id, "Hi")
  t.eq(again.result.stopReason, "end_turn")
  t.eq(#model.requests[2].messages, 1, "what was cancelled is not remembered")
end)

test("acp: a turn is cancelled, too, when that comes in one piece with its question", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { "never", "hello" }
  local editor <close> = editor_of { agents = agent(model, {}) }
  local id = editor:open()
  local question = { sessionId = id, prompt = json.array { { type = "text", text = "go" } } }
  local prompt = editor:begin("session/prompt", question)
  editor:write { method = "session/cancel", params = { sessionId = id } }
  t.eq(editor:answer(prompt).result.stopReason, "cancelled")
  prompt = editor:begin("session/prompt", question)
  editor:write { method = "$/cancel_request", params = { requestId = prompt } }
  t.eq(editor:answer(prompt).result.stopReason, "cancelled")
  local list = editor:begin("session/list", {})
  editor:write { method = "$/cancel_request", params = { requestId = list } }
  t.ok(editor:answer(list), "every request is answered")
  t.eq(#model.requests, 0)
end)

test("acp: a cancelled turn has come to its end when that is said: its session may be deleted at once", REAL, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function() return calls("slow", {}) end)
  local slow = stoke.tool { name = "slow", run = function() stoke.sleep(1000) end }
  local editor <close> = editor_of { agents = agent(model, { tools = { slow } }) }
  for _ = 1, 5 do
    local id, before = editor:open(), #editor:of "tool_call"
    local prompt = editor:begin("session/prompt", { sessionId = id, prompt = json.array { { type = "text", text = "go" } } })
    while #editor:of "tool_call" == before do stoke.sleep(0.001) end
    editor:write { method = "session/cancel", params = { sessionId = id } }
    t.eq(editor:answer(prompt).result.stopReason, "cancelled")
    t.eq(editor:ask("session/delete", { sessionId = id }).error, nil)
  end
end)

test("acp: a turn that is cancelled while it asks takes the question back", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { calls("touch", {}), "never" }
  local touch = stoke.tool { name = "touch", needs_approval = true, run = function() error "not allowed" end }
  local editor <close> = editor_of { agents = agent(model, { tools = { touch } }) }
  local id = editor:open()
  editor.permit = function()
    editor:write { method = "$/cancel_request", params = { requestId = 3 } }
    while not editor.told[1] do stoke.sleep(0.01) end
  end
  local prompt = editor:begin("session/prompt", { sessionId = id, prompt = json.array { { type = "text", text = "go" } } })
  t.eq(prompt, 3)
  t.eq(editor:answer(prompt).result.stopReason, "cancelled")
  t.eq(editor.told[1].method, "$/cancel_request")
  t.eq(editor.server.peer.waiting, 0)
end)

test("acp: turns of a client that leaves are taken back", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { calls("slow", {}) }
  local slow = stoke.tool { name = "slow", run = function() stoke.sleep(1000) end }
  local id
  do
    local editor <close> = editor_of { agents = agent(model, { tools = { slow } }) }
    id = editor:open()
    editor:begin("session/prompt", { sessionId = id, prompt = json.array { { type = "text", text = "go" } } })
    for _ = 1, 100 do
      if editor:of "tool_call"[1] then break end
      stoke.sleep(0.01)
    end
  end
  local shown = stoke.sessions.show(id)
  t.eq(shown.session.present, nil)
  t.eq(shown.session.turns, 0)
end)

test("acp: a session is opened again by another process, which is told all that was said", function(t)
  local store <close> = stored(t)
  local model <close> = scripted { calls("look", { at = "sea" }, "I look."), "It is blue.", "Blue, as I said." }
  local function bot()
    local look = stoke.tool { name = "look", params = { at = "string" }, run = function() return "blue" end }
    return agent(model, { tools = { look } })
  end
  local id
  do
    local editor <close> = editor_of { agents = bot() }
    id = editor:open { cwd = "/home/ada" }
    t.eq(editor:prompt(id, "Which colour is the sea?").result.stopReason, "end_turn")
  end
  store:restart()
  local editor <close> = editor_of { agents = bot() }
  local list = editor:ask("session/list", { cwd = "/home/ada" }).result.sessions
  t.eq(#list, 1)
  t.eq(list[1].sessionId, id)
  t.eq(list[1].cwd, "/home/ada")
  t.eq(list[1].title, "Which colour is the sea?")
  t.match(list[1].updatedAt, "^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%dZ$")
  t.eq(#editor:ask("session/list", { cwd = "/home/bob" }).result.sessions, 0)
  t.ok(editor:ask("session/load", { sessionId = id, cwd = "/home/ada", mcpServers = json.array {} }).result)
  local kinds = {}
  for i, update in ipairs(editor.updates) do kinds[i] = update.sessionUpdate end
  t.eq(table.concat(kinds, " "), "user_message_chunk agent_message_chunk tool_call tool_call_update agent_message_chunk")
  t.eq(editor:said "user_message_chunk", "Which colour is the sea?")
  t.eq(editor:of "tool_call_update"[1].status, "completed")
  t.eq(editor:prompt(id, "Again?").result.stopReason, "end_turn")
  t.eq(#model.requests[3].messages, 5)
  t.ok(editor:ask("session/resume", { sessionId = id, cwd = "/home/ada", mcpServers = json.array {} }).result)
end)

test("acp: sessions that are not there, or no longer, are told so", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function() return "ok" end)
  local editor <close> = editor_of { agents = agent(model, {}) }
  t.eq(#editor:ask("session/list", {}).result.sessions, 0)
  t.eq(editor:prompt("acp:1:/x", "Hi").error.code, -32002)
  t.eq(editor:ask("session/load", { sessionId = "acp:1:/x", cwd = "/x", mcpServers = json.array {} }).error.code, -32002)
  t.eq(editor:ask("session/load", { sessionId = "ada", cwd = "/x", mcpServers = json.array {} }).error.code, -32002)
  local id = editor:open()
  editor:prompt(id, "Hi")
  t.ok(editor:ask("session/close", { sessionId = id }).result)
  t.eq(editor:prompt(id, "Hi").error.code, -32002)
  t.eq(#editor:ask("session/list", {}).result.sessions, 1)
  t.ok(editor:ask("session/delete", { sessionId = id }).result)
  t.eq(#editor:ask("session/list", {}).result.sessions, 0)
  t.ok(editor:ask("session/delete", { sessionId = id }).result, "twice does no harm")
end)

test("acp: which agent answers is the mode of a session, until it has begun", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(request) return request.messages[1].content end)
  local one = agent(model, { name = "one", description = "the first", instructions = "I am one" })
  local two = agent(model, { name = "two", instructions = "I am two" })
  local editor <close> = editor_of { agents = { one, two }, default = "two" }
  local id, answer = editor:open()
  local modes = answer.result.modes
  t.eq(modes.currentModeId, "two")
  t.eq(modes.availableModes[1], { id = "one", name = "one", description = "the first" })
  t.eq(editor:ask("session/set_mode", { sessionId = id, modeId = "three" }).error.code, -32602)
  t.ok(editor:ask("session/set_mode", { sessionId = id, modeId = "one" }).result)
  editor:prompt(id, "Who?")
  t.eq(editor:said "agent_message_chunk", "I am one")
  t.match(editor:ask("session/set_mode", { sessionId = id, modeId = "two" }).error.message, "a session stays with the agent")
  local loaded = editor:ask("session/load", { sessionId = id, cwd = "/work", mcpServers = json.array {} })
  t.eq(loaded.result.modes.currentModeId, "one")
end)

test("acp: content is taken as the model can read it: links, resources, images; other kinds are refused", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function() return "ok" end)
  local editor <close> = editor_of { agents = agent(model, {}) }
  local id = editor:open()
  local function prompt(...)
    return editor:ask("session/prompt", { sessionId = id, prompt = json.array { ... } })
  end
  t.ok(prompt({ type = "text", text = "See " }, { type = "resource_link", name = "a.lua", uri = "file:///a.lua" },
    { type = "resource", resource = { uri = "file:///b.lua", text = "return 1" } }).result)
  local asked = model.requests[1].messages[1]
  t.eq(asked.content, 'See [a.lua](file:///a.lua)\n<resource uri="file:///b.lua">\nreturn 1\n</resource>\n')
  local input = content.input { { type = "text", text = "See" }, { type = "image", data = "iVBORw0KGgo=", mimeType = "image/png" } }
  t.eq(input, { text = "See", images = { { data = "iVBORw0KGgo=" } } })
  t.match(prompt({ type = "audio", data = "x" }).error.message, "the type audio is not taken")
  t.eq(prompt().error.code, -32602)
  t.eq(editor:ask("session/prompt", { sessionId = id, prompt = "text" }).error.code, -32602)
end)

test("acp: a turn that reaches a limit has the protocol's words for that; other errors are errors, with a hint", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(_, n) return calls("tick", { n = n }) end)
  local tick = stoke.tool { name = "tick", params = { n = "integer" }, run = function(args) return args.n end }
  local editor <close> = editor_of { agents = { agent(model, { tools = { tick }, max_steps = 2 }),
    stoke.agent { name = "lost", model = "no-such-model", endpoint = model.url } } }
  local id = editor:open()
  t.eq(editor:prompt(id, "go").result.stopReason, "max_turn_requests")
  local other = editor:open()
  editor:ask("session/set_mode", { sessionId = other, modeId = "lost" })
  local err = editor:prompt(other, "go").error
  t.eq(err.code, -32603)
  t.match(err.message, "no%-such%-model")
  t.ok(err.data.kind)
end)

test("acp: a team is an agent like any: what its members say is shown as thoughts", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local count = 0
  local model <close> = scripted(function()
    count = count + 1
    return "word " .. count
  end)
  local team = stoke.team.round_robin { name = "desk", members = { agent(model, { name = "one" }), agent(model, { name = "two" }) },
    max_turns = 2 }
  local editor <close> = editor_of { agents = team }
  local id = editor:open()
  t.eq(editor:prompt(id, "Talk").result.stopReason, "end_turn")
  t.match(editor:said "agent_thought_chunk", "one: word 1")
  t.eq(editor:said "agent_message_chunk", "word 2")
end)

test("acp: the plan of a team is shown as a plan", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(request)
    local properties = type(request.format) == "table" and request.format.properties or {}
    local parts = { { part = "look", worker = "one" }, { part = "write", worker = "two" } }
    return properties.parts and json.encode { parts = parts } or "done"
  end)
  local members = { agent(model, { name = "one" }), agent(model, { name = "two" }) }
  local team = stoke.team.orchestrate { name = "desk", members = members }
  local editor <close> = editor_of { agents = team }
  t.eq(editor:prompt((editor:open()), "Go").result.stopReason, "end_turn")
  local plans = editor:of "plan"
  t.eq(plans[1].entries, { { content = "one: look", priority = "medium", status = "in_progress" },
    { content = "two: write", priority = "medium", status = "in_progress" } })
  t.eq(plans[#plans].entries[2].status, "completed")
end)

test("acp: an answer to a question that is none of the options is a no", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function(_, n) return n % 2 == 1 and calls("touch", {}) or "ok" end)
  local touched = 0
  local touch = stoke.tool { name = "touch", needs_approval = true, run = function()
    touched = touched + 1
    return "done"
  end }
  local editor <close> = editor_of { agents = agent(model, { tools = { touch } }) }
  local id = editor:open()
  for _, option in ipairs { "yes", 1, {}, false } do
    editor.permit = function() return option end
    t.eq(editor:prompt(id, "go").result.stopReason, "end_turn")
  end
  t.eq(touched, 0)
  t.eq(#editor.asked, 4)
end)

test("acp: what a policy wants to be asked about inside a tool is asked about, too", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local path = t.tmp() .. "/note.txt"
  local model <close> = scripted { calls("keep", {}), "kept" }
  local keep = stoke.tool { name = "keep", run = function()
    fs.write(path, "milk")
    return "ok"
  end }
  stoke.policy { ask = { path = { path } } }
  local editor <close> = editor_of { agents = agent(model, { tools = { keep } }) }
  editor.permit = function() return "allow" end
  local id = editor:open()
  t.eq(editor:prompt(id, "go").result.stopReason, "end_turn")
  t.match(editor.asked[1].toolCall.title, "fs.write .*note.txt")
  t.match(editor.asked[1].toolCall.toolCallId, "^ask%-%d")
  stoke.policy(nil)
  t.eq(fs.read(path), "milk")
end)

test("acp: bad messages are answered as JSON-RPC has it, and the next ones are served", function(t)
  local model <close> = scripted {}
  local editor <close> = editor_of { agents = agent(model, {}) }
  for _, line in ipairs { "no json", "[]", '{"jsonrpc":"2.0"}', '{"jsonrpc":"1.0","id":77,"method":"initialize"}',
    '{"jsonrpc":"2.0","id":true,"method":"initialize"}', '{"jsonrpc":"2.0","id":78,"method":"initialize","params":[1]}',
    '{"jsonrpc":"2.0","id":99,"result":{}}', '{"jsonrpc":"2.0","method":"nothing/here"}' } do
    editor:write(line)
  end
  t.eq(editor:ask("fs/read_text_file", {}).error.code, -32601)
  t.eq(editor.answers[77].error.code, -32600)
  t.eq(editor.answers[78].error.code, -32600)
  local codes = {}
  for _, message in ipairs(editor.all) do
    if message.error and message.id == json.null then codes[#codes + 1] = message.error.code end
  end
  t.eq(table.concat(codes, " "), "-32700 -32600 -32600 -32600")
  t.eq(editor:ask("session/new", { cwd = "work", mcpServers = json.array {} }).error.code, -32602)
  local sse = { cwd = "/work", mcpServers = { { type = "sse", name = "x", url = "http://x" } } }
  t.match(editor:ask("session/new", sse).error.message, "sse is not spoken")
  t.match(editor:ask("session/new", { cwd = "/work", mcpServers = { { name = "x" } } }).error.message, "command")
end)

test("acp: so many sessions are open at once, and so many requests under way", function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted(function() return calls("slow", {}) end)
  local slow = stoke.tool { name = "slow", run = function() stoke.sleep(1000) end }
  local editor <close> = editor_of { agents = agent(model, { tools = { slow } }) }
  local most, running = servers.OPEN, peers.RUNNING
  servers.OPEN, peers.RUNNING = 3, 2
  local _ <close> = setmetatable({}, { __close = function() servers.OPEN, peers.RUNNING = most, running end })
  local ids = {}
  for i = 1, 3 do ids[i] = editor:open() end
  local _, refused = editor:open()
  t.match(refused.error.message, "3 sessions are open")
  editor:ask("session/close", { sessionId = ids[3] })
  t.ok((editor:open()))
  local text = json.array { { type = "text", text = "go" } }
  editor:begin("session/prompt", { sessionId = ids[1], prompt = text })
  editor:begin("session/prompt", { sessionId = ids[2], prompt = text })
  t.match(editor:ask("session/list", {}).error.message, "2 requests are under way")
  editor:write { method = "session/cancel", params = { sessionId = ids[1] } }
  stoke.sleep(1)
  t.ok(editor:ask("session/list", {}).result)
end)

test("acp: a client's own servers of MCP give the agent tools, in that session alone", REAL, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local model <close> = scripted { calls("add", { a = 2, b = 3 }), "5", calls("add", { a = 2, b = 3 }), "?" }
  local editor <close> = editor_of { agents = agent(model, {}) }
  local id = editor:open { mcpServers = json.array { { name = "peer", command = about.executable(),
    args = { "run", "tests/lua/mcp_peer.lua", "legacy" }, env = { { name = "GIVEN", value = "x" } } } } }
  t.eq(editor:prompt(id, "Add").result.stopReason, "end_turn")
  t.eq(editor:of "tool_call_update"[1].content[1].content.text, "5")
  local other = editor:open()
  editor:prompt(other, "Add")
  t.eq(editor:of "tool_call_update"[2].status, "failed", "there is no such tool")
  t.ok(editor:ask("session/close", { sessionId = id }).result)
end)

--- Asks a process, and gives its answers; `heard` gets what comes before, and says true where that is enough.
local function talk(process, heard)
  local buffer, id = "", 0
  return function(method, params)
    id = id + 1
    process:write(json.encode { jsonrpc = "2.0", id = id, method = method, params = params } .. "\n")
    while true do
      while not buffer:find "\n" do buffer = buffer .. process:read() end
      local line
      line, buffer = buffer:match "^(.-)\n(.*)$"
      local message = json.decode(line) -- raises where standard output is not clean
      if message.id == id and not message.method then return message.result end
      if heard and heard(message) then return nil end
    end
  end
end

test("acp: a turn whose process was killed while it asked is taken back when its session is opened again", REAL, function(t)
  local folder = t.tmp()
  fs.write(folder .. "/town.lua", [[
local stoke = require "stoke"
local note = stoke.tool { name = "write_note", params = { text = "string" }, needs_approval = true,
  run = function() return "ok" end }
stoke.agent { name = "clerk", model = "qwen2.5:3b", tools = { note } }
]])
  local function start()
    return proc.spawn { argv = { about.executable(), "acp", folder .. "/town.lua", "--sim" }, stdin = true }
  end
  local first <close> = start()
  local ask = talk(first, function(message) return message.method == "session/request_permission" end)
  ask("initialize", { protocolVersion = 1 })
  local id = ask("session/new", { cwd = folder, mcpServers = json.array {} }).sessionId
  local asked = { sessionId = id, prompt = json.array { { type = "text", text = 'Write a note with text "milk"' } } }
  t.eq(ask("session/prompt", asked), nil)
  first:kill "KILL"
  first:wait()
  local second <close> = start()
  ask = talk(second, function(message)
    if message.method ~= "session/request_permission" then return false end
    local outcome = { outcome = "selected", optionId = "allow" }
    second:write(json.encode { jsonrpc = "2.0", id = message.id, result = { outcome = outcome } } .. "\n")
  end)
  ask("initialize", { protocolVersion = 1 })
  t.ok(ask("session/load", { sessionId = id, cwd = folder, mcpServers = json.array {} }))
  t.eq(ask("session/prompt", asked).stopReason, "end_turn")
  second:close_stdin()
  second:wait()
  t.eq(stoke.sessions.show(id, { store = folder .. "/.stoke/state.db" }).session.turns, 1)
end)

test("acp: a file over standard streams: prints go to standard error, changes of the file are taken, the end is the client's", REAL,
  function(t)
    local folder = t.tmp()
    local function write(words)
      fs.write(folder .. "/town.lua", ([[
local stoke = require "stoke"
print "loading"
stoke.agent { name = "poet", model = "qwen2.5:3b", description = "%s" }
stoke.agent { name = "clerk", model = "qwen2.5:3b" }
]]):format(words))
    end
    write "first"
    local process <close> = proc.spawn { argv = { about.executable(), "acp", folder .. "/town.lua", "--sim" }, stdin = true,
      stderr = "capture" }
    local ask = talk(process)
    t.eq(ask("initialize", { protocolVersion = 1 }).agentInfo.name, "town")
    local new = { cwd = folder, mcpServers = json.array {} }
    local opened = ask("session/new", new)
    t.eq(opened.modes.currentModeId, "clerk")
    t.eq(ask("session/prompt", { sessionId = opened.sessionId, prompt = json.array { { type = "text", text = "Hi" } } }).stopReason,
      "end_turn")
    write "second"
    local described
    for _ = 1, 200 do
      described = ask("session/new", new).modes.availableModes[2].description
      if described == "second" then break end
      stoke.sleep(0.02)
    end
    t.eq(described, "second")
    process:close_stdin()
    t.eq(process:wait().code, 0)
    t.match(process:read(65536, "stderr"), "loading")
  end)

test("acp: what is wrong with the command line is told before a message is read", REAL, function(t)
  local folder = t.tmp()
  fs.write(folder .. "/none.lua", "return 1\n")
  fs.write(folder .. "/one.lua", 'require "stoke".agent { name = "poet", model = "m" }\n')
  local function fails(words, ...)
    local result = proc.run { argv = { about.executable(), "acp", ... }, stdin = "", timeout = 30 }
    t.eq(result.code, 2)
    t.eq(result.stdout, "")
    t.match(result.stderr, words)
  end
  fails("has no agent with a name", folder .. "/none.lua")
  fails("did you mean poet", folder .. "/one.lua", "--agent", "peot")
  fails("no file", folder .. "/two.lua")
end)
