-- Tools of MCP servers are pinned as they were first seen, also from one process to the next: in a file of the user's.

local test = require "stoke.test"
local about = require "core.about"
local driver = require "core.driver.mcp"
local fs = require "stoke.fs"
local json = require "stoke.json"
local learned = require "core.store.learned"
local mcp = require "stoke.mcp"
local pins = require "stoke.mcp.pins"
local proc = require "stoke.proc"
local rows = require "core.store.pins"
local stoke = require "stoke"
local stores = require "core.store"

local REAL = { real = true, timeout = 60 }

--- The file of pins, for this test alone.
local function kept(t)
  driver.file = t.tmp() .. "/state.db"
  return setmetatable({}, { __close = function() driver.file = nil end })
end

local function connect(changed, name)
  return mcp.connect { name = name or "peer", command = about.executable(), args = { "run", "tests/lua/mcp_peer.lua", "legacy" },
    env = changed and { CHANGED = "1" } or nil }
end

--- Approves what waits.
local function approved(tool, args)
  local task = stoke.spawn(function()
    return tool:perform(args, { on_pending = function(entry) stoke.spawn(function() entry:approve() end) end })
  end)
  return task:await()
end

test("mcp pins: a tool that is another one in the next process asks a person, and reads to models as it did", REAL, function(t)
  local _ <close> = kept(t)
  do
    local first <close> = connect(false)
    t.eq(first:tools()[1]:call { a = 1, b = 2 }, "3")
  end
  local second <close> = connect(true)
  local add = second:tools()[1]
  t.eq(add.description, "Adds two numbers")
  t.eq(#add.params:json_schema().required, 2)
  t.raises("needs_approval", add.call, add, { a = 1, b = 2 })
  t.eq(pins.list(second)[1].name, "add")
  t.eq(#pins.list(second), 1)
end)

test("mcp pins: what a person accepts is accepted in the next process, too", REAL, function(t)
  local _ <close> = kept(t)
  do
    local first <close> = connect(false)
    first:tools()
  end
  do
    local second <close> = connect(true)
    t.eq(approved(second:tools()[1], { a = 1, b = 2 }), "3")
  end
  local third <close> = connect(true)
  local add = third:tools()[1]
  t.match(add.description, "all secrets")
  t.eq(add:call { a = 1, b = 2, secrets = 1 }, "3")
end)

test("mcp pins: a server of another name, or with other words, is another server", REAL, function(t)
  local _ <close> = kept(t)
  do
    local first <close> = connect(false)
    first:tools()
  end
  local other <close> = connect(true, "other")
  t.match(other:tools()[1].description, "all secrets")
end)

test("mcp pins: a change between a person's yes and the call is not covered by it", REAL, function(t)
  local peer <close> = connect(false)
  local made = {}
  for _, one in ipairs(peer:tools()) do made[one.name] = one end
  made.change:call {}
  t.raises("needs_approval", made.add.call, made.add, { a = 1, b = 1 })
  peer.offered.add.pin = "another" -- changed once more, while a person was looking
  local value, err = made.add.run { a = 1, b = 1 }
  t.eq(value, nil)
  t.eq(err.kind, "denied")
  t.match(err.message, "changed while its call waited")
end)

test("mcp pins: a file that cannot be used costs no call, and is told once", REAL, function(t)
  driver.file = t.tmp() .. "/state.db"
  local _ <close> = setmetatable({}, { __close = function() driver.file = nil end })
  fs.write(driver.file, ("no database at all\n"):rep(100))
  local peer <close> = connect(false)
  t.eq(peer:tools()[1]:call { a = 1, b = 2 }, "3")
  t.eq(peer.pins_told, true)
  t.match(fs.read(driver.file), "no database")
end)

test("mcp pins: rows of pins are none of what is learned of model servers, and neither pushes the other out", function(t)
  local store = assert(stores.open ":memory:")
  local _ <close> = setmetatable({}, { __close = function() store:close() end })
  assert(rows.write(store, "s", { { name = "add", pin = "1", item = { description = "d" } } }, false))
  assert(rows.write(store, "s", { { name = "add", pin = "2", item = {} } }, false))
  t.eq(rows.read(store, "s")[1].pin, "1")
  assert(rows.write(store, "s", { { name = "add", pin = "3", item = {} } }, true))
  t.eq(rows.read(store, "s")[1].pin, "3")
  local most = learned.MOST
  learned.MOST = 1
  assert(learned.write(store, { { key = "http://a m", facts = { x = 1 } }, { key = "http://b m", facts = { x = 1 } } }))
  learned.MOST = most
  local count = 0
  for key in pairs(learned.read(store)) do
    count = count + 1
    t.match(key, "^http")
  end
  t.eq(count, 1)
  t.eq(#rows.read(store, "s"), 1)
  t.eq(#rows.read(store, "other"), 0)
end)

test("mcp pins: the shell shows what has changed, and accepts it", REAL, function(t)
  local folder = t.tmp()
  local exe, here = about.executable(), proc.run { argv = { "pwd" } }.stdout:gsub("\n", "")
  if exe:sub(1, 1) ~= "/" then exe = here .. "/" .. exe end
  local function configure(changed)
    fs.write(folder .. "/.mcp.json", json.encode { mcpServers = { peer = { command = exe,
      args = { "run", here .. "/tests/lua/mcp_peer.lua", "legacy" }, env = changed and { CHANGED = "1" } or nil } } })
  end
  local function run(...)
    return proc.run { argv = { exe, "mcp", ... }, cwd = folder, env = { XDG_STATE_HOME = folder }, timeout = 30 }.stdout
  end
  configure(false)
  t.ok(not run("inspect", "peer"):find("Changed", 1, true))
  configure(true)
  t.match(run("inspect", "peer"), "Changed since they were first seen\n  add  was: Adds two numbers; now: Adds two numbers. Also")
  t.match(run("accept", "peer"), "1 of 8 tools accepted")
  t.ok(not run("inspect", "peer"):find("Changed", 1, true))
end)
