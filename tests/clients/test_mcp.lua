-- MCP against others: our client and their servers, their clients and `stoke mcp FILE`, and the suite that judges both.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local mcp = require "stoke.mcp"
local proc = require "stoke.proc"
local stoke = require "stoke"
local peers = require "peers"

local OFFER <const> = "tests/lua/mcp_offer.lua"

-- ---- their servers --------------------------------------------------------------------------------------------------------------

--- A server of npm as a child process.
local function of_npm(t, name, ...)
  peers.needs(t, "npm.stamp")
  return mcp.connect { command = peers.node(), start_timeout = 100,
    args = { peers.path("npm/node_modules/@modelcontextprotocol/" .. name .. "/dist/index.js"), ... } }
end

--- What both transports of the server that has everything must give.
local function everything(t, server)
  t.eq(server:call("echo", { message = "hello" }).text, "Echo: hello")
  t.match(server:call("get-sum", { a = 17, b = 23 }).text, "40")
  local weather = server:call("get-structured-content", { location = "New York" })
  t.eq(type(weather.structured.temperature), "number")
  local image = server:call "get-tiny-image"
  local kinds = {}
  for _, part in ipairs(image.content) do kinds[part.type] = true end
  t.ok(kinds.image, "an image is among the parts")
  t.ok(#server:resources() > 3)
  t.ok(#server:prompts() > 0)
  t.ok(#server:read(server:resources()[1].uri) > 0)
end

test("server-everything over standard streams: tools, structure, images, resources, prompts", peers.REAL, function(t)
  local server <close> = of_npm(t, "server-everything")
  everything(t, server)
end)

--- A server at an address of its own, once it answers.
local function at_address(argv, port, more)
  local child = proc.spawn { argv = argv, env = more, env_allow = peers.PASSED_ON, stderr = "merge" }
  local url = ("http://127.0.0.1:%d/mcp"):format(port)
  for _ = 1, 300 do
    local server = stoke.try(mcp.connect, { url = url })
    if server and stoke.try(server.tools, server) then return { url = url, server = server, child = child } end
    stoke.sleep(0.2)
  end
  child:close()
  error("no server came up at " .. url)
end

test("server-everything over HTTP", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  local port = peers.free_port()
  local place = at_address({ peers.node(), peers.path "npm/node_modules/@modelcontextprotocol/server-everything/dist/index.js",
    "streamableHttp" }, port, { PORT = tostring(port) })
  local _ <close> = setmetatable({}, { __close = function()
    place.server:close()
    place.child:close()
  end })
  everything(t, place.server)
end)

test("server-filesystem: files are written, read and listed; what is outside is refused", peers.REAL, function(t)
  local home <close> = peers.home()
  local server <close> = of_npm(t, "server-filesystem", home.path)
  t.ok(not server:call("write_file", { path = home.path .. "/a.txt", content = "one\ntwo\n" }).failed)
  t.eq(fs.read(home.path .. "/a.txt"), "one\ntwo\n")
  t.contains(server:call("read_text_file", { path = home.path .. "/a.txt", head = 1 }).text, "one")
  t.contains(server:call("list_directory", { path = home.path }).text, "[FILE] a.txt")
  t.ok(server:call("read_text_file", { path = "/etc/hostname" }).failed)
end)

test("server-filesystem: its tools are an agent's", peers.REAL, function(t)
  local home <close> = peers.home()
  fs.write(home.path .. "/notes.txt", "buy bread\n")
  local server <close> = of_npm(t, "server-filesystem", home.path)
  local model = t.model("scripted", { { tool = "read_text_file", args = { path = home.path .. "/notes.txt" } }, "You want bread." })
  local bot = stoke.agent { model = "scripted", tools = server:tools { only = { "read_text_file" } } }
  t.eq(bot:run("What is in notes.txt?").text, "You want bread.")
  local messages = model.requests[2].messages
  t.contains(messages[#messages].content, "buy bread")
end)

--- What the server of the Python library must give.
local function of_python(t, server)
  t.eq(server:call("add", { a = 17, b = 23 }).structured.result, 40)
  t.ok(server:call("fail").failed)
  t.eq(server:call("steps", { count = 3 }).text, "done")
  t.eq((server:read "note://first"), "the first note")
  t.contains(server:prompt("greet", { name = "Ada" })[1].content, "Ada")
  local ok, err = pcall(stoke.timeout, 0.5, server.call, server, "sleep", { seconds = 60 })
  t.eq({ ok, err.kind }, { false, "timeout" })
  t.eq(server:call("add", { a = 1, b = 2 }).structured.result, 3)
end

test("PyPI mcp, its server over standard streams", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  local server <close> = mcp.connect { command = peers.python(), args = { "tests/clients/mcp_server.py" }, start_timeout = 100 }
  of_python(t, server)
end)

test("PyPI mcp, its server over HTTP", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  local port = peers.free_port()
  local place = at_address({ peers.python(), "tests/clients/mcp_server.py", tostring(port) }, port)
  local _ <close> = setmetatable({}, { __close = function()
    place.server:close()
    place.child:close()
  end })
  of_python(t, place.server)
end)

-- ---- their clients --------------------------------------------------------------------------------------------------------------

--- The file of our offer at an address, with the simulator behind its agent.
local function offered() return peers.starting("mcp", OFFER, "--port", "0", "--sim") end

local function judged(t, program, least)
  local place <close> = offered()
  peers.check(t, { program[1], program[2], about.executable(), OFFER, place.url }, nil, least)
end

test("npm @modelcontextprotocol/sdk, its client by both transports", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  judged(t, { peers.node(), "tests/clients/mcp_client.mjs" }, 6)
end)

test("PyPI mcp, its client by both transports in both eras", peers.REAL, function(t)
  peers.needs(t, "py.stamp")
  judged(t, { peers.python(), "tests/clients/mcp_client.py" }, 7)
end)

test("the inspector's command line lists and calls", peers.REAL, function(t)
  peers.needs(t, "npm.stamp")
  local place <close> = offered()
  for _, target in ipairs { { about.executable(), "mcp", OFFER }, { place.url } } do
    local argv = { peers.node(), peers.path "npm/node_modules/.bin/mcp-inspector", "--cli", table.unpack(target) }
    local function ask(...)
      local given = table.move({ ... }, 1, select("#", ...), #argv + 1, table.move(argv, 1, #argv, 1, {}))
      local result = peers.run(given)
      t.eq(result.code, 0, result.stdout .. result.stderr)
      return result.stdout .. result.stderr
    end
    t.contains(ask("--method", "tools/list"), '"name": "add"')
    t.contains(ask("--method", "tools/call", "--tool-name", "add", "--tool-arg", "a=17", "b=23"), '"sum": 40')
  end
end)

-- ---- the conformance suite ------------------------------------------------------------------------------------------------------

local function suite(t, ...)
  peers.needs(t, "npm.stamp")
  local home <close> = peers.home()
  local result = peers.run({ peers.node(), peers.path "npm/node_modules/.bin/conformance", ... }, nil, home.path)
  t.eq(result.code, 0, result.stdout .. result.stderr)
  return result.stdout .. result.stderr
end

test("conformance: a server, but for what it does not offer", peers.REAL, function(t)
  local place <close> = peers.starting("mcp", "tests/clients/conformance.lua", "--port", "0")
  local text = suite(t, "server", "--url", place.url, "--expected-failures", peers.absolute "tests/clients/conformance.yml")
  t.ok(tonumber(text:match "Total: (%d+) passed") >= 15, text)
end)

for _, scenario in ipairs { "initialize", "tools_call", "elicitation-sep1034-client-defaults", "sse-retry" } do
  test("conformance: a client, " .. scenario, peers.REAL, function(t)
    local text = suite(t, "client", "--scenario", scenario, "--command", ("'%s' '%s'"):format(about.executable(),
      peers.absolute "tests/clients/conformance_client.lua"))
    t.contains(text, "OVERALL: PASSED")
  end)
end
