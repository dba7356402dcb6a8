-- Servers of MCP as an agent's option: reached when it first runs, their tools asked for when a run begins.

local test = require "stoke.test"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local mcp = require "stoke.mcp"
local runs = require "core.runs"
local scripted = require "scripted"
local stoke = require "stoke"
local stored = require "kept_store"

local REAL = { real = true, timeout = 60 }

local function peer(more)
  local spec = { name = "peer", command = about.executable(), args = { "run", "tests/lua/mcp_peer.lua", "legacy" } }
  for key, value in pairs(more or {}) do spec[key] = value end
  return spec
end

local function calls(name, arguments) return { tool_calls = { { name = name, arguments = arguments } } } end

local function said(result)
  local out = {}
  for _, message in ipairs(result.messages) do
    if message.role == "tool" then out[#out + 1] = message.content end
  end
  return table.concat(out, " | ")
end

test("mcp agents: an agent has the tools of its servers beside its own", REAL, function(t)
  local model <close> = scripted { calls("add", { a = 2, b = 3 }), calls("own", {}), "done" }
  local own = stoke.tool { name = "own", run = function() return "mine" end }
  local bot = stoke.agent { model = scripted.MODEL, endpoint = model.url, tools = { own }, mcp = peer() }
  local result = bot:run "go"
  t.eq(result.text, "done")
  t.eq(said(result), "5 | mine")
end)

test("mcp agents: nothing is started by making one; a name nobody configured is an error of the run", REAL, function(t)
  local client = mcp.connect(peer())
  local bot = stoke.agent { model = scripted.MODEL, endpoint = "http://127.0.0.1:9", mcp = { client } }
  t.eq(client.wire, nil)
  client:close()
  t.ok(bot)
  local other = stoke.agent { model = scripted.MODEL, endpoint = "http://127.0.0.1:9", mcp = "no-such-server" }
  t.match(t.raises("usage", other.run, other, "x").message, "no MCP server is named no%-such%-server")
  t.match(t.raises("argument", stoke.agent, { model = "m", mcp = 3 }).message, "mcp must be a name of .mcp.json")
  t.match(t.raises("argument", stoke.agent, { model = "m", mcp = { { comand = "x" } } }).message, "did you mean command")
end)

test("mcp agents: a name that the agent has already gets the server's before it", REAL, function(t)
  local model <close> = scripted { calls("peer_add", { a = 2, b = 3 }), calls("add", {}), "done" }
  local own = stoke.tool { name = "add", run = function() return "mine" end }
  local bot = stoke.agent { model = scripted.MODEL, endpoint = model.url, tools = { own }, mcp = peer() }
  t.eq(said(bot:run "go"), "5 | mine")
end)

test("mcp agents: a file of tools that changes is what the next run has", REAL, function(t)
  local path = t.tmp() .. "/tools.lua"
  local function write(name)
    fs.write(path, ('require "stoke".tool { name = "%s", run = function() return "%s" end }'):format(name, name))
  end
  write "one"
  local client <close> = mcp.connect { command = about.executable(), args = { "mcp", path } }
  local model <close> = scripted { calls("one", {}), "done", calls("two", {}), "done" }
  local bot = stoke.agent { model = scripted.MODEL, endpoint = model.url, mcp = client }
  t.eq(said(bot:run "go"), "one")
  write "two"
  for _ = 1, 200 do
    if client.tools_changed then break end
    stoke.sleep(0.02)
  end
  t.eq(said(bot:run "go"), "two")
end)

test("mcp agents: two agents that name the same server share it", REAL, function(t)
  local model <close> = scripted { calls("add", { a = 1, b = 1 }), "x", calls("add", { a = 1, b = 1 }), "y" }
  local spec = peer { env = { SHARED = t.tmp() } }
  local one = stoke.agent { model = scripted.MODEL, endpoint = model.url, mcp = spec }
  local two = stoke.agent { model = scripted.MODEL, endpoint = model.url, mcp = { spec } }
  one:run "go"
  local before = #fs.list("/proc/self/task")
  two:run "go"
  t.eq(#fs.list("/proc/self/task"), before)
  local agents = require "stoke.mcp.agents"
  t.ok(agents.servers("x", spec)[1] == agents.servers("x", { spec })[1])
end)

test("mcp agents: a durable run has in its next process the tools that it began with, and asks nobody for them", REAL, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local client <close> = mcp.connect(peer())
  local model <close> = scripted { calls("add", { a = 1, b = 2 }), "three" }
  local bot = stoke.agent { name = "adder", model = scripted.MODEL, endpoint = model.url, mcp = client }
  local body = function()
    local result = bot:run "go"
    stoke.signal "go"
    return { said(result), #client:tools() }
  end
  client:list() -- known already when the run begins
  local run = stoke.workflow("adds", body):start(nil, { id = "m" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  runs.leave()
  client.order, client.offered, client.tools_changed = nil, nil, true -- as in a process that knows nothing of the server
  local before = client.rpc.last
  run:signal "go"
  t.eq(run:await(), { "3", 8 })
  t.eq(client.rpc.last, before + 1, "only what the journal did not have")
end)

test("mcp agents: the request that is shown has the tools of the servers", REAL, function(t)
  local bot = stoke.agent { model = scripted.MODEL, endpoint = "http://127.0.0.1:9", mcp = peer() }
  local made = json.decode(bot:next_request("x").body)
  t.eq(#made.tools, 8)
end)
