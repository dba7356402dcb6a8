-- What an MCP server of ours offers beside tools: resources, prompts, progress; and a file that changes while it is served.

local test = require "stoke.test"
local about = require "core.about"
local entries = require "stoke.mcp.server.entries"
local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local mcp = require "stoke.mcp"
local proc = require "stoke.proc"
local server = require "stoke.mcp.server"
local serve = require "stoke.mcp.server.http".serve
local stoke = require "stoke"

local REAL = { real = true, timeout = 60 }
local FILE <const> = "tests/lua/mcp_offer.lua"

local function ours() return mcp.connect { command = about.executable(), args = { "mcp", FILE } } end

test("mcp offers: resources at an address and by a pattern, texts and bytes", REAL, function(t)
  local one <close> = ours()
  local list = one:resources()
  t.eq(#list, 2, "patterns are apart")
  t.eq(list[1].uri, "notes://today")
  t.eq(list[1].description, "The note of today")
  t.eq((one:read "notes://today"), "buy milk")
  local text, contents = one:read "notes://mon%20day/am"
  t.eq(text, "mon day/am")
  t.eq(contents[1].mimeType, "text/markdown")
  t.eq((one:read "pixel://one"), "\x89PNG\0")
  local templates = one:request("resources/templates/list")
  t.eq(templates.resourceTemplates[1].uriTemplate, "notes://{day}/{part}")
end)

test("mcp offers: a resource that is not there, and one whose function has a mistake, are errors", REAL, function(t)
  local one <close> = ours()
  t.match(t.raises("tool", one.read, one, "notes://never/am").message, "Resource not found: notes://never/am")
  t.match(t.raises("tool", one.read, one, "other://x").message, "not found")
  local err = t.raises("tool", one.read, one, "notes://bug/am")
  t.match(err.message, "failed by a mistake of its own")
  t.ok(not err.message:find("index", 1, true), "nothing of its code is shown")
end)

test("mcp offers: prompts take their arguments, and give messages", REAL, function(t)
  local one <close> = ours()
  local list = one:prompts()
  t.eq(list[2].name, "review")
  t.eq(list[2].arguments[1].name, "code")
  t.eq(list[2].arguments[1].required, true)
  t.eq(one:prompt("review", { code = "x" })[1], { role = "user", content = "Review x kindly" })
  t.eq(one:prompt("chat")[2], { role = "assistant", content = "Hello" })
  t.match(t.raises("tool", one.prompt, one, "review", {}).message, "code")
  t.match(t.raises("tool", one.prompt, one, "reviev", {}).message, "did you mean review")
end)

test("mcp offers: a tool tells how far it is", REAL, function(t)
  local one <close> = ours()
  local notes = {}
  one:call("count", { to = 3 }, { on_progress = function(note)
    notes[#notes + 1] = ("%s %g/%g"):format(note.message, note.progress, note.total)
  end })
  t.eq(table.concat(notes, ", "), "number 1 1/3, number 2 2/3, number 3 3/3")
end)

test("mcp offers: what an agent's tool tells comes as an event, that of an MCP server too", REAL, function(t)
  local one <close> = ours()
  local scripted = require "scripted"
  local model <close> = scripted { { tool_calls = { { name = "count", arguments = { to = 2 } } } }, "done" }
  local bot = stoke.agent { model = scripted.MODEL, endpoint = model.url, tools = one:tools { only = { "count" } } }
  local said = {}
  for event in bot:stream "go" do
    if event.type == "tool_progress" then
      said[#said + 1] = ("%s %s %g/%g"):format(event.name, event.text, event.done, event.total)
    end
  end
  t.eq(table.concat(said, ", "), "count number 1 1/2, count number 2 2/2")
end)

test("mcp offers: progress is heard by nobody where nobody listens, and at most 20 times a second", function(t)
  local heard
  local chatty = stoke.tool { name = "chatty", run = function()
    for i = 1, 1000 do heard = stoke.progress(nil, i, 1000) end
    return "ok"
  end }
  t.eq(stoke.progress "x", false)
  t.eq(chatty:call(), "ok")
  t.eq(heard, false)
  local notes = {}
  chatty:perform({}, { on_progress = function(note) notes[#notes + 1] = note.done end })
  t.eq(heard, true)
  t.eq(table.concat(notes, " "), "1 1000", "the first and the last")
  t.raises("argument", stoke.progress, 1)
  t.raises("argument", stoke.progress, "x", "1")
end)

test("mcp offers: mistakes in resources and prompts are told when they are made", function(t)
  t.match(t.raises("argument", mcp.resource, { uri = "x" }).message, "uri must be an address")
  t.match(t.raises("argument", mcp.resource, { uri = "a://b" }).message, "read is missing")
  t.match(t.raises("argument", mcp.resource, { uri = "a://{b c}", read = print }).message, "is no name")
  t.match(t.raises("argument", mcp.prompt, { name = "a b", run = print }).message, "letters")
  local number = { name = "a", arguments = { n = "integer" }, run = print }
  t.match(t.raises("argument", mcp.prompt, number).message, "n must be a string")
  local twice = mcp.resource { uri = "a://b", read = print }
  t.match(t.raises("argument", entries.given, { twice, twice }, "f.lua").message, "two resources are at a://b")
end)

-- ---- changes ------------------------------------------------------------------------------------------------------------------

local function file(tools)
  local lines = { 'local stoke = require "stoke"' }
  for _, name in ipairs(tools) do
    lines[#lines + 1] = ('stoke.tool { name = "%s", run = function() return "%s of %d" end }'):format(name, name, #tools)
  end
  return table.concat(lines, "\n") .. "\n"
end

--- Wait until something is so, on the real clock.
local function until_so(what)
  for _ = 1, 400 do
    if what() then return true end
    stoke.sleep(0.02)
  end
  return false
end

test("mcp offers: a file that changes is served as it is now, and the client hears that its tools have changed", REAL, function(t)
  local path = t.tmp() .. "/tools.lua"
  fs.write(path, file { "one" })
  local peer <close> = mcp.connect { command = about.executable(), args = { "mcp", path } }
  t.eq(#peer:list(), 1)
  fs.write(path, file { "one", "two" })
  t.ok(until_so(function() return peer.tools_changed end), "heard")
  t.eq(#peer:list(), 2)
  t.eq(peer:call("one").text, "one of 2")
  fs.write(path, "local x = ") -- half written
  stoke.sleep(0.3)
  t.eq(peer:call("two").text, "two of 2", "the old code goes on")
end)

test("mcp offers: a client with a handshake hears of changes between its answers", REAL, function(t)
  local path = t.tmp() .. "/tools.lua"
  fs.write(path, file { "one" })
  local process <close> = proc.spawn { argv = { about.executable(), "mcp", path }, stdin = true }
  local function send(message)
    message.jsonrpc = "2.0"
    process:write(json.encode(message) .. "\n")
  end
  local buffer = ""
  local function answer()
    while not buffer:find "\n" do buffer = buffer .. process:read() end
    local line
    line, buffer = buffer:match "^(.-)\n(.*)$"
    return json.decode(line)
  end
  send { id = 1, method = "initialize", params = { protocolVersion = "2025-11-25" } }
  t.eq(answer().result.capabilities.tools.listChanged, true)
  send { method = "notifications/initialized" }
  fs.write(path, file { "two" })
  local heard = answer()
  t.eq(heard.method, "notifications/tools/list_changed")
  t.eq(heard.id, nil)
  send { id = 2, method = "tools/list" }
  t.eq(answer().result.tools[1].name, "two")
  process:close_stdin()
  t.eq(process:wait().code, 0)
end)

test("mcp offers: over HTTP, changes come on the stream that a client has asked for them on", function(t)
  local names = { "one" }
  local made = server.new(function()
    local list = {}
    for i, name in ipairs(names) do list[i] = stoke.tool { name = name, run = print } end
    return entries.given(list, "test")
  end, { name = "here" })
  local running <close> = serve(made, { mem = "offer" }) -- luacheck: ignore
  local peer <close> = mcp.connect { url = "http://offer.mem/mcp" }
  t.eq(#peer:list(), 1)
  stoke.sleep(0.1)
  names = { "one", "two" }
  t.eq(made:refresh(), true)
  stoke.sleep(0.1)
  t.eq(peer.tools_changed, true)
  t.eq(#peer:list(), 2)
  t.eq(made:refresh(), false, "nothing has changed")
  local old = http.request { method = "GET", url = "http://offer.mem/mcp", headers = { Accept = "text/event-stream" },
    stream = "lines", raise = false }
  t.eq(old.status, 200)
  local said = {}
  local reader = stoke.spawn(function()
    pcall(function()
      for line in old:lines() do
        if line:find "^data" then said[#said + 1] = line end
      end
    end)
  end)
  stoke.sleep(0.1)
  names = { "two" }
  made:refresh()
  stoke.sleep(0.1)
  t.eq(#said, 1)
  t.match(said[1], "notifications/tools/list_changed")
  old:close()
  reader:await()
end)
