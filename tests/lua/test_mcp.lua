-- The MCP client over standard streams, against a server that speaks the real bytes (tests/lua/mcp_peer.lua), in both eras.

local test = require "stoke.test"
local about = require "core.about"
local stoke = require "stoke"
local clients = require "stoke.mcp.client"
local mcp = require "stoke.mcp"
local runs = require "core.runs"
local scripted = require "scripted"
local stored = require "kept_store"
local tools = require "stoke.tool"

local REAL = { real = true, timeout = 60 }

local function connect(era, behaviour, more)
  local spec = { name = "peer", command = about.executable(), args = { "run", "tests/lua/mcp_peer.lua", era, behaviour or "good" } }
  for key, value in pairs(more or {}) do spec[key] = value end
  return mcp.connect(spec)
end

local function by_name(client)
  local out = {}
  for _, t in ipairs(client:tools()) do out[t.name] = t end
  return out
end

for _, era in ipairs { "legacy", "modern" } do
  test(("mcp (%s): tools of a server are tools of ours: schema, check, text, failure"):format(era), REAL, function(t)
    local peer <close> = connect(era)
    local list = peer:tools()
    t.eq(list[1].name, "add")
    t.eq(list[1].description, "Adds two numbers")
    t.ok(tools.is(list[1]), "a stoke.tool")
    t.eq(list[1].params:json_schema().required[2], "b")
    t.eq(peer.era, era)
    t.eq(peer.version, era == "modern" and "2026-07-28" or "2025-11-25")
    t.eq(list[1]:call { a = 2, b = 5 }, "7")
    local err = t.raises("invalid_output", list[1].call, list[1], { a = "x" })
    t.match(err.message, "add")
    err = t.raises("tool", list[2].call, list[2], {})
    t.match(err.message, "it did not work")
  end)

  test(("mcp (%s): a call by name gives text, content and structure; progress is told"):format(era), REAL, function(t)
    local peer <close> = connect(era)
    local notes = {}
    local result = peer:call("add", { a = 1, b = 2 }, { on_progress = function(note) notes[#notes + 1] = note.message end })
    t.eq(result.text, "3")
    t.eq(result.structured.sum, 3)
    t.eq(result.failed, false)
    t.eq(table.concat(notes, ","), "step 1,step 2,step 3")
    t.eq(peer:call("fail").failed, true)
  end)

  test(("mcp (%s): resources and prompts are functions"):format(era), REAL, function(t)
    local peer <close> = connect(era)
    t.eq(peer:resources()[1].uri, "test://note")
    t.eq((peer:read "test://note"), "a note")
    t.eq((peer:read "test://blob"), "\0\1\xffhi")
    t.eq(peer:prompts()[1].name, "greet")
    local messages = peer:prompt("greet", { who = "Bo" })
    t.eq(messages[1].role, "user")
    t.eq(messages[1].content, "Greet Bo")
    t.raises("tool", peer.read, peer, "test://none")
  end)

  test(("mcp (%s): a call that is cancelled, or not answered in time, is told to the server"):format(era), REAL, function(t)
    local peer <close> = connect(era)
    local err = t.raises("timeout", peer.call, peer, "slow", {}, { timeout = 0.2 })
    t.match(err.message, "tools/call was not answered within 0.2 s")
    local task = stoke.spawn(function() peer:call "slow" end)
    stoke.sleep(0.2)
    task:cancel()
    pcall(task.await, task)
    local _, times = peer:call("log").text:gsub("notifications/cancelled", "")
    t.eq(times, 2)
    t.eq(peer.rpc.count, era == "modern" and 1 or 0, "nothing waits but what listens for changes")
  end)

  test(("mcp (%s): a server may ask back where somebody answers, and is refused where nobody does"):format(era), REAL, function(t)
    local asked
    local peer <close> = connect(era, "good", { on_elicit = function(message)
      asked = message
      return { name = "Bo" }
    end })
    t.eq(peer:call("ask").text, (era == "modern" and "state-1" or "accept") .. " Bo 36", "what is left out has its default")
    t.eq(asked, "Your name?")
    local other <close> = connect(era)
    if era == "legacy" then
      t.eq(other:call("ask").text, "refused")
    else
      t.match(t.raises("denied", other.call, other, "ask").message, "elicitation/create")
    end
  end)

  test(("mcp (%s): a tool that changes is asked about, and keeps its first description"):format(era), REAL, function(t)
    local peer <close> = connect(era)
    local made = by_name(peer)
    t.eq(made.add:call { a = 1, b = 1 }, "2")
    made.change:call {}
    t.raises("needs_approval", made.add.call, made.add, { a = 1, b = 1 })
    t.eq(made.add.description, "Adds two numbers")
    t.ok(made.fail:asks {} == false, "the others are as they were")
  end)
end

test("mcp: who approves the call of a changed tool accepts the change", REAL, function(t)
  local peer <close> = connect "legacy"
  local made = by_name(peer)
  made.change:call {}
  local task = stoke.spawn(function()
    return made.add:perform({ a = 1, b = 4 }, { on_pending = function(entry) stoke.spawn(function() entry:approve() end) end })
  end)
  t.eq(task:await(), "5")
  t.eq(made.add:asks { a = 1, b = 1 }, false)
end)

test("mcp: a server gets a cleared environment and what its owner gives it", { real = true, timeout = 60 }, function(t)
  local peer <close> = connect("legacy", "good", { env = { GIVEN = "given" } })
  t.eq(peer:call("env").text, "nil given")
end)

test("mcp: servers of older versions of the handshake are understood; an unknown version is an error", REAL, function(t)
  local old <close> = connect("legacy", "old")
  t.eq(#old:tools(), 8)
  t.eq(old.version, "2024-11-05")
  local unknown <close> = connect("legacy", "unknown")
  t.match(t.raises("protocol", unknown.tools, unknown).message, '1999%-01%-01')
  local newer <close> = connect("modern", "other version")
  t.match(t.raises("protocol", newer.tools, newer).message, "2099%-01%-01")
end)

test("mcp: a server that says nothing to server/discover, or ends at it, is asked in the old way", REAL, function(t)
  local silent <close> = connect("legacy", "silent on discover")
  t.eq(silent:call("add", { a = 1, b = 2 }).text, "3")
  local gone <close> = connect("legacy", "dies on discover")
  t.eq(gone:call("add", { a = 1, b = 2 }).text, "3")
end)

test("mcp: a server that is slow to start is asked in both ways, and taken at its word", REAL, function(t)
  local probe = clients.PROBE
  clients.PROBE = 0.1
  local _ <close> = setmetatable({}, { __close = function() clients.PROBE = probe end })
  for _, era in ipairs { "modern", "legacy" } do
    local peer <close> = connect(era, "slow to start")
    t.eq(peer:call("add", { a = 1, b = 2 }).text, "3")
    t.eq(peer.era, era)
  end
end)

test("mcp: lists come in pages; tools of several servers that share a name get the server's before it", REAL, function(t)
  local pages <close> = connect("legacy", "pages")
  t.eq(#pages:tools(), 8)
  local other <close> = connect("modern", "good", { name = "other" })
  local list = mcp.tools { pages, other }
  t.eq(#list, 16)
  t.eq(list[1].name, "peer_add")
  t.eq(list[9].name, "other_add")
  local err = t.raises("argument", other.tools, other, { only = { "ad" } })
  t.match(err.hint, "did you mean add")
end)

test("mcp: needs_approval and trust are the owner's; a server's own promises count only where it is trusted", REAL, function(t)
  local peer <close> = connect("legacy", "good", { needs_approval = { fail = true } })
  local made = by_name(peer)
  t.eq(made.fail:asks {}, true)
  t.eq(made.add:asks {}, false)
  t.eq(made.add.idempotent, false)
  local trusted <close> = connect("legacy", "good", { trust = true })
  t.eq(by_name(trusted).add.idempotent, true)
end)

test("mcp: many calls at once each get their own answer", REAL, function(t)
  local peer <close> = connect "modern"
  local scope <close> = stoke.scope()
  local tasks = {}
  for i = 1, 200 do tasks[i] = scope:spawn(function() return peer:call("add", { a = i, b = i }).text end) end
  for i = 1, 200 do t.eq(tasks[i]:await(), tostring(2 * i)) end
end)

test("mcp: an agent uses the tools of a server, and reads what failed", REAL, function(t)
  local peer <close> = connect "modern"
  local server <close> = scripted { { tool_calls = { { name = "add", arguments = { a = 2, b = 3 } },
    { name = "fail", arguments = {} } } }, "done" }
  local bot = stoke.agent { model = scripted.MODEL, endpoint = server.url, tools = peer:tools { only = { "add", "fail" } } }
  local result = bot:run "go"
  t.eq(result.text, "done")
  local said = {}
  for _, message in ipairs(result.messages) do
    if message.role == "tool" then said[#said + 1] = message.content end
  end
  t.eq(said[1], "5")
  t.match(said[2], "it did not work")
end)

test("mcp: a durable run records what a server answered; its next process asks for nothing again", REAL, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local peer <close> = connect "legacy"
  local add = by_name(peer).add
  local function body()
    local sum = add:call { a = 1, b = 2 }
    stoke.signal "go"
    return { sum, peer:call("add", { a = 3, b = 4 }).text }
  end
  local run = stoke.workflow("adds", body):start(nil, { id = "m" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  runs.leave()
  local before = peer.rpc.last
  run:signal "go"
  t.eq(run:await(), { "3", "7" })
  t.eq(peer.rpc.last, before + 1, "the first call came from the journal")
end)
