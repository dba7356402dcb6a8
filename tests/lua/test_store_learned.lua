-- What was learned of servers, in the store, and from one process to the next.

local test = require "stoke.test"
local host = require "host.task"
local keeper = require "core.keeper"
local learned = require "core.store.learned"
local engines = require "core.pool.engine"
local lanes = require "core.pool.lane"
local memory = require "core.gate.memory"
local residency = require "core.pool.residency"
local fs = require "stoke.fs"
local log = require "stoke.log"
local notice = require "core.gate.notice"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local routed = require "routed"
local stoke = require "stoke"
local stored = require "stored"

local ok = stored.ok

test("learned: rows come back, the last one counts, and those of others stay", function(t)
  local store = stored.open(t.tmp() .. "/x.db")
  ok(learned.write(store, {
    { key = "http://a m", facts = { slots = 2 } }, { key = "http://b m", version = "0.17.4", facts = {} } }))
  ok(learned.write(store, { { key = "http://a m", version = "0.30.1", facts = { slots = 4, each = { [1] = 0.5 } } } }))
  local rows = ok(learned.read(store))
  t.eq({ rows["http://a m"].facts.slots, rows["http://a m"].version, rows["http://b m"].version }, { 4, "0.30.1", "0.17.4" })
  store:close()
end)

test("learned: a damaged row is left out", function(t)
  local store = stored.open(":memory:")
  ok(learned.write(store, { { key = "a", facts = { slots = 2 } }, { key = "b", facts = { slots = 3 } } }))
  ok(store.db:write("UPDATE learned SET facts='{' WHERE key='a'", {}, true))
  local rows = ok(learned.read(store))
  t.eq({ rows.a, rows.b.facts.slots }, { nil, 3 })
  store:close()
end)

test("learned: no more rows than there is room for, the oldest go", function(t)
  local store = stored.open(":memory:")
  local list = {}
  for i = 1, learned.MOST do list[i] = { key = ("k%04d"):format(i), facts = {} } end
  ok(learned.write(store, list))
  ok(store.db:write("UPDATE learned SET changed=0 WHERE key='k0500'", {}, true))
  ok(learned.write(store, { { key = "new", facts = {} } }))
  local rows, count = ok(learned.read(store)), 0
  for _ in pairs(rows) do count = count + 1 end
  t.eq({ count, rows.k0500, rows.new ~= nil }, { learned.MOST, nil, true })
  store:close()
end)

test("learned: a file of the first version gets the table when it is opened", function(t)
  local path = t.tmp() .. "/x.db"
  local store = stored.open(path)
  ok(store.db:write("DROP TABLE learned", {}, true))
  ok(store.db:write("ALTER TABLE runs DROP COLUMN why", {}, true))
  ok(store.db:write("DROP TABLE told", {}, true))
  ok(store.db:write("ALTER TABLE runs DROP COLUMN shared", {}, true))
  ok(store.db:write("DROP TABLE outbox", {}, true))
  ok(store.db:write("DELETE FROM migrations WHERE version>1", {}, true))
  store:close()
  store = stored.open(path)
  t.eq(ok(learned.read(store)), {})
  store:close()
end)

-- A process's memory in a file, and empty again after the test.
local function use(path)
  memory.forget()
  memory.file = path
  return setmetatable({}, { __close = function()
    memory.forget()
    memory.file = nil
  end })
end

local function read()
  local done
  memory.read(function() done = true end)
  for _ = 1, 1000 do
    if done then return end
    host.park("test", 0.001)
  end
  error "it was never read"
end

test("memory: what one process notes the next one knows", function(t)
  local path = t.tmp() .. "/x.db"
  local _ <close> = use(path)
  read()
  t.eq(memory.facts "http://u:secret@h m", nil)
  memory.note("http://u:secret@h m", function() return { slots = 1 } end)
  memory.note("http://u:secret@h m", function() return { slots = 4 } end, "0.17.4")
  memory.flush()
  memory.forget()
  read()
  t.eq({ memory.facts("http://h m", "0.17.4") }, { { slots = 4 }, true })
  t.eq({ memory.facts("http://u:other@h m", "0.30.0") }, { { slots = 4 }, false }, "another version of the server")
end)

-- What another version of stoke may have written: each of these in each place.
local ODD = { 1, -0.5, "x", "12", true, {}, { 1, "x" }, { x = 1, y = 2 }, { x = "y" }, { x = {}, y = true }, { ["0"] = { "x" } } }

test("facts of another shape are left out: of speeds, slots and contexts", function(t)
  for _, odd in ipairs(ODD) do
    for _, facts in ipairs { { slots = odd, estimate = odd, prefix = odd },
      { slots = { slots = odd, sure = odd }, prefix = { kind = odd },
      estimate = { cold = odd, fixed = odd, each = odd, loads = odd, base = odd, whole = odd, outputs = odd, pauses = odd } } } do
      local engine = engines.new()
      function engine.recall() return facts end
      local lane = lanes.new("u m", lanes.server "u", { name = "m", dialect = {}, endpoint = { name = "u", url = "u" } })
      local ticket = engine:ticket { group = engine:group { lane }, unit = {}, agent = "x" }
      engine:arrive(ticket, 0)
      t.eq(ticket.state, "granted")
      engine:done(ticket, { timings = { total = 2, load = 0, prefill = 1, decode = 1, input = 99, output = 9 } }, 2)
      t.ok(lane.facts:service(100, 0, "x") > 0)
    end
  end
end)

test("facts of another shape are left out: of a server's models", function(t)
  local one, two = { key = "x", model = "x" }, { key = "y", model = "y" }
  for _, odd in ipairs(ODD) do
    for _, facts in ipairs { { room = odd, loads = odd }, { loads = { x = odd, y = odd } }, { room = { sizes = odd, apart = odd } },
      { room = { bytes = odd, most = odd, no_bytes = odd, no_most = odd, sizes = { x = odd, y = odd },
        apart = { x = { y = odd }, y = odd } } } } do
      local models = residency.new(facts)
      local change = models:decide(1, { { lane = one, busy = 0, waiting = 1, class = 2, oldest = 0, newest = 0, seconds = 1 },
        { lane = two, busy = 0, waiting = 1, class = 2, oldest = 0, newest = 0, seconds = 1 } })
      t.ok(change.may[one] or change.may[two])
    end
  end
end)

test("memory: nothing is opened to read what is not there, and nothing made to write what is not new", function(t)
  local path = t.tmp() .. "/folder/x.db"
  local _ <close> = use(path)
  read()
  memory.flush()
  t.eq(fs.list(t.tmp()), {})
end)

test("memory: a file that cannot be used is nobody's error", function(t)
  local path = t.tmp() .. "/x.db"
  fs.write(path, ("no database "):rep(100))
  local _ <close> = use(path)
  read()
  memory.note("http://h m", function() return { slots = 4 } end)
  memory.flush()
  t.eq(memory.trouble.kind, "db")
  t.eq(memory.facts "http://h m", nil)
end)

test("memory: what was learned of another version of a server is not sure; the version is asked for beside the calls", function(t)
  local _ <close> = use(t.tmp() .. "/x.db")
  local function run(version)
    pool.forget()
    local world <close> = routed { one = { models = { "m" }, slots = 4, tokens_per_second = 20, version = version } }
    local scope <close> = stoke.scope {}
    local call = { model = "m", endpoint = "one", messages = { { role = "user", content = "Hi" } } }
    for _ = 1, 60 do scope:spawn(ollama.chat, call) end
    stoke.sleep(0.01)
    local lane = pool.lane "http://one.mem:80 m:latest"
    local first = { lane.slots.believed, lane.slots.mode }
    scope:wait()
    memory.flush()
    return first, lane.slots.believed, world
  end
  local first, learned_slots = run "0.17.4"
  t.eq({ first[1], learned_slots }, { 1, 4 })
  memory.forget()
  read()
  local function sure(version) return (select(2, memory.facts("http://one.mem:80 m:latest", version))) end
  t.eq({ sure "0.17.4", sure "0.30.0" }, { true, false })
  first = run "0.17.4"
  t.eq(first, { 4, "check" })
  first = run "0.30.0"
  t.eq(first, { 4, "grow" })
  memory.forget()
  read()
  t.eq({ sure "0.17.4", sure "0.30.0" }, { false, true })
end)

test("memory: after a failure it is tried again, later each time, and said once; what is new meanwhile is not lost", function(t)
  local path = t.tmp() .. "/x.db"
  fs.write(path, ("no database "):rep(100))
  local _ <close> = use(path)
  local lines = {}
  notice.forget()
  log.configure { write = function(line) lines[#lines + 1] = line end }
  local _ <close> = setmetatable({}, { __close = function() log.configure { write = require "core.stdio".err } end })
  read()
  memory.note("http://h m", function() return { slots = 4 } end)
  memory.flush()
  t.eq({ memory.trouble.kind, #lines }, { "db", 1 })
  t.match(lines[1], "warn.*what the pool has learned cannot be kept in .*x.db; it is tried again later")
  fs.remove(path)
  memory.flush()
  t.eq(fs.stat(path), nil) -- too early
  stoke.sleep(memory.PAUSE_MOST)
  memory.note("http://h n", function() return { slots = 2 } end)
  memory.flush()
  t.eq({ memory.trouble, #lines }, { nil, 2 })
  t.match(lines[2], "is kept in .*x.db again")
  memory.forget()
  read()
  t.eq({ memory.facts "http://h m" }, { { slots = 4 }, true })
  t.eq({ memory.facts "http://h n" }, { { slots = 2 }, true })
end)

test("memory: facts that cannot be told cost themselves alone", function(t)
  local _ <close> = use(t.tmp() .. "/x.db")
  memory.note("http://h m", function() error "a bug" end)
  memory.note("http://h n", function() return { slots = 2 } end)
  memory.flush()
  memory.forget()
  read()
  t.eq({ memory.facts "http://h m", (memory.facts "http://h n").slots }, { nil, 2 })
end)

test("memory: a test keeps nothing, unless it names a file", function(t)
  memory.forget()
  t.eq(memory.path(), nil)
  keeper.last = nil
  memory.note("http://h m", function() return { slots = 4 } end)
  t.eq(keeper.last, nil, "nothing is left to do at the end")
  memory.flush()
  memory.forget()
end)

test("memory: a path that no file can have is nobody's error, and nobody waits for it", function(t)
  local before = memory.file
  memory.forget()
  notice.forget()
  memory.file = t.tmp() .. "/a\0b"
  local _ <close> = setmetatable({}, { __close = function()
    memory.forget()
    memory.file = before
  end })
  local told = 0
  memory.read(function() told = told + 1 end)
  t.eq({ memory.wait(), told, memory.facts "x" }, { nil, 1 })
  t.contains(memory.trouble.message, "NUL")
  t.eq(stoke.estimate({ model = "m", prompt = "Hi" }).known, false)
end)

test("memory: one that cannot take over what is remembered does not keep it from the others", function(t)
  memory.forget()
  notice.forget()
  local before, told, lines = memory.file, 0, {}
  memory.file = t.tmp() .. "/a\0b"
  log.configure { write = function(line) lines[#lines + 1] = line end, level = "info" }
  memory.read(function() error "a mistake" end)
  memory.read(function() told = told + 1 end)
  memory.wait()
  log.configure { write = require "core.stdio".err }
  memory.forget()
  memory.file = before
  t.eq({ told, #lines }, { 1, 2 })
  t.contains(lines[2], "a mistake")
end)

test("memory: a file that does not open is not waited for long", { real = true }, function(t)
  local before, goodbye = memory.file, memory.GOODBYE
  memory.forget()
  memory.file, memory.GOODBYE = t.tmp() .. "/pipe", 0.05
  stoke.proc.run { argv = { "mkfifo", memory.file } } -- opening it waits until somebody writes
  local told = false
  memory.read(function() told = true end)
  memory.wait()
  t.eq({ told, memory.facts "x" }, { false })
  stoke.proc.run { argv = { "sh", "-c", ": >\"$1\"", "sh", memory.file } }
  while not told do stoke.sleep(0.005) end
  memory.forget()
  memory.file, memory.GOODBYE = before, goodbye
end)
