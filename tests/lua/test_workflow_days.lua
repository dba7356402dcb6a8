-- Durable runs on bad days, and on long ones: approvals, changed code, full disks, many at once.

local test = require "stoke.test"
local binary = require "binary"
local stoke = require "stoke"
local engine = require "host.store"
local runs = require "core.runs"
local lives = require "core.runs.live"
local stored = require "kept_store"
local workflow = require "stoke.workflow"

local function store_of(t)
  local store = stored(t)
  return store.path, store
end

local function until_state(run, state)
  while run:status().state ~= state do stoke.sleep(0.005) end
end

local buy = stoke.tool { name = "buy", description = "Buys", params = { what = "string" }, needs_approval = true,
  run = function(a) return "bought " .. a.what end }

test("an approval waits in the store: decided while no process has the run, it goes on", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("shop", function(what) return buy:call { what = what } end)
  local run = flow:start("a lamp", { id = "1" })
  until_state(run, "waiting")
  t.eq(run:status().waits, "approval of tool.call buy")
  local store = runs.store()
  local row = store:load(store:find "1").rows[1]
  t.eq({ row.asks.effect, row.asks.what, row.request.args.what, row.intent }, { "tool.call", "buy", "a lamp" })
  runs.leave()
  runs.open():decide("1", row.key, row.digest, { decision = "approved" })
  t.eq(run:await(), "bought a lamp")
end)

test("an approval that is rejected from outside is refused, with the reason", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("shop", function(what)
    local _, err = stoke.try(buy.call, buy, { what = what })
    return { err.kind, err.reason }
  end)
  local run = flow:start("a boat", { id = "1" })
  until_state(run, "waiting")
  local store = runs.store()
  local row = store:load(store:find "1").rows[1]
  store:decide("1", row.key, "another digest", { decision = "approved" })
  runs.told "1"
  stoke.sleep(0.05)
  t.eq(run:status().state, "waiting")
  store:decide("1", row.key, row.digest, { decision = "rejected", reason = "too dear" })
  runs.told "1"
  t.eq(run:await(), { "denied", "too dear" })
end)

test("a decision given here is kept: the next process does not ask again", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("shop", function() return buy:call { what = "x" } end)
  local run = flow:start(nil, { id = "1" })
  until_state(run, "waiting")
  stoke.pending()[1]:approve()
  t.eq(run:await(), "bought x")
  local decisions = runs.store():decisions "1"
  t.eq({ #decisions, decisions[1].verdict.decision }, { 1, "approved" })
end)

test("stoke.patched tells old runs from new ones, where they go on on the newest code", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local function define(patched)
    return stoke.workflow("flow", function()
      local list = { stoke.step("a", function() return "a" end, { idempotent = true }) }
      if patched and stoke.patched "also b" then list[2] = stoke.step("b", function() return "b" end) end
      list[#list + 1] = stoke.signal "go"
      if patched then list[#list + 1] = tostring(stoke.patched "also b") end
      return list
    end, { code = "latest" })
  end
  local old = define(false):start(nil, { id = "old" })
  until_state(old, "waiting")
  runs.leave()
  local flow = define(true)
  local new = flow:start(nil, { id = "new" })
  old:signal("go", "x")
  new:signal("go", "y")
  t.eq(old:await(), { "a", "x", "false" })
  t.eq(new:await(), { "a", "b", "y", "true" })
end)

test("new code that asks something else parks the run, with the number, both requests and the line", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local function define(what)
    return stoke.workflow("flow", function()
      stoke.step(what, function() return 1 end)
      stoke.signal "go"
    end, { code = "latest" })
  end
  local run = define "first":start(nil, { id = "1" })
  until_state(run, "waiting")
  runs.leave()
  define "second"
  local _, err = stoke.try(run.await, run)
  t.eq(err.kind, "replay")
  t.match(err.message, "^diverged at #1: run/step second:1/step#1 was not asked by the run that was recorded; there #1 comes next: "
    .. "run/step first:1/step#1 {\"name\":\"first\"}\n  asked:    {\"name\":\"second\"}\n  in [^\n]*test_workflow_days.lua:%d+")
  t.eq(run:status().state, "parked")
  runs.leave()
  define "first"
  run:signal "go"
  t.eq(run:await(), nil)
end)

test("a full disk parks the run; when there is room it goes on, and nothing was lost", { real = true, timeout = 60 }, function(t)
  local path, closing <close> = store_of(t) -- luacheck: ignore
  runs.open() -- its tables are there before the disk is full
  runs.leave()
  t.ok(path)
  engine.fault { full = 63, times = 4 }
  local ending <close> = setmetatable({}, { __close = function() -- luacheck: ignore
    runs.leave()
    engine.fault()
  end })
  local done, parked = {}, nil
  local flow = stoke.workflow("fills", function()
    for i = 1, 20 do
      stoke.step("s" .. i, function() done[i] = (done[i] or 0) + 1 end, { idempotent = true })
      stoke.sleep(0.005)
    end
    return "through"
  end)
  local run = flow:start(nil, { id = "1" })
  local watcher = stoke.spawn(function()
    while true do
      local status = run:status()
      if status.state == "parked" then parked = status.waits end
      stoke.sleep(0.01)
    end
  end)
  t.eq(run:await(), "through")
  watcher:cancel()
  t.match(parked, "^what it did cannot be written: .*database or disk is full")
  for i = 1, 20 do t.eq(done[i], 1, i) end
end)

-- A run of three steps that must not be done twice, on a disk that fails with the outcome of the second: `faults` of host.store.
local function fails_after_second(t, faults)
  local path = store_of(t)
  engine.fault {}
  runs.open()
  local done = {}
  local flow = stoke.workflow("pays", function()
    for i = 1, 3 do
      stoke.step("pay " .. i, function()
        done[i] = (done[i] or 0) + 1
        if i == 2 then engine.fault(faults) end
        return i
      end)
    end
    return "paid"
  end)
  return flow:start(nil, { id = "1" }), done, path
end

local function no_faults() return setmetatable({}, { __close = function()
  runs.leave()
  engine.fault()
end }) end

for _, case in ipairs { { "full", "SQLITE_FULL" }, { "error", "SQLITE_IOERR_WRITE" }, { "sync", "SQLITE_IOERR_FSYNC" } } do
  test(("a step whose outcome cannot be written (%s) is not in doubt: its run waits, and goes on"):format(case[1]),
    { real = true, timeout = 60 }, function(t)
      local ending <close> = no_faults() -- luacheck: ignore
      local run, done = fails_after_second(t, { [case[1]] = 1, times = 2 })
      t.eq(run:await(), "paid")
      t.eq(done, { 1, 1, 1 })
      t.eq(select(2, runs.store().db:failed()) > 0, true)
      t.eq(runs.store().db:failed().code, case[2])
    end)
end

test("while the disk is full a run begins nothing new, and says so; a process that ends then leaves its step in doubt",
  { real = true, timeout = 60 }, function(t)
    local ending <close> = no_faults() -- luacheck: ignore
    local run, done = fails_after_second(t, { full = 1 })
    until_state(run, "parked")
    t.match(run:status().waits, "cannot be written")
    t.eq(done, { 1, 1 })
    runs.leave()
    engine.fault()
    local again = stoke.workflow("pays", function() for i = 1, 3 do stoke.step("pay " .. i, print) end end, { code = "latest" })
    local _, err = stoke.try(run.await, again:start(nil, { id = "1" }))
    t.eq(err.kind, "in_doubt")
    t.match(err.message, "step pay 2")
  end)

test("while the disk is full a run does not even look at the clock", { real = true, timeout = 60 }, function(t)
  local ending <close> = no_faults() -- luacheck: ignore
  store_of(t)
  engine.fault {}
  runs.open()
  local reads, LOOKS <const> = 0, 60
  local run = stoke.workflow("looks", function()
    stoke.step("pay", function() engine.fault { full = 1 } end)
    for i = 1, LOOKS do
      stoke.sleep(0.005)
      stoke.time.now()
      reads = i
    end
    return reads
  end):start(nil, { id = "1" })
  until_state(run, "parked")
  local before = reads
  stoke.sleep(0.5)
  t.ok(reads <= before + 1 and reads < LOOKS, reads)
  engine.fault {}
  t.eq(run:await(), LOOKS)
end)

test("a run that does nothing just now notices that its last outcome was not written", { real = true, timeout = 60 }, function(t)
  local ending <close> = no_faults() -- luacheck: ignore
  local _, closing <close> = store_of(t) -- luacheck: ignore
  engine.fault {}
  runs.open()
  local run = stoke.workflow("rests", function()
    stoke.step("pay", function() engine.fault { full = 1, times = 3 } end)
    stoke.signal "go"
  end):start(nil, { id = "1" })
  until_state(run, "parked")
  until_state(run, "waiting")
  t.eq(runs.store():load(runs.find "1").rows[1].outcome ~= nil, true)
end)

test("what a run prints is not shown where the commit that would skip it failed", { real = true }, function(t)
  local here <close> = binary.place { ["prints_test.lua"] = [[
local test = require "stoke.test"
local errors = require "core.errors"
local outputs = require "core.journal.output"
test("prints", function(t)
  local output = outputs.new(0)
  outputs.put(output, 1, "it was kept\n", 12, function() end)
  outputs.wait(output)
  outputs.put(output, 1, "it was not\n", 11, function() return errors.new("db", "the disk is full") end)
  outputs.wait(output)
  t.fail "so that its output is shown"
end)
]] }
  local r = here.run("test", "--internal", "prints_test.lua")
  local shown = r.stdout .. r.stderr
  t.ok(shown:find("it was kept", 1, true), shown)
  t.eq(shown:find("it was not", 1, true), nil)
end)

test("what is raised while a run is taken up parks it, for other processes, too", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  runs.define("breaks", function() end, { prepare = function() error("no such thing", 0) end })
  runs.start("breaks", nil, "1")
  local _, err = runs.await "1"
  t.eq(err.kind, "parked")
  runs.leave()
  local run = runs.open():find "1"
  t.eq({ run.state, run.why }, { "parked", "parked" })
  t.match(run.waits, "no such thing")
end)

test("whether a run is in doubt is a column, whatever the words of why it is parked", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local store = runs.open()
  for id, why in pairs { a = "in_doubt", b = "parked" } do
    local run = store:create { id = id, workflow = "w" }
    local log = store:log(run)
    log:state("parked", "in doubt: words of a server", why)
    log:barrier()
    t.eq(lives.kind_of(store:find(id)), why)
    log:state("running")
    log:barrier()
    t.eq(store:find(id).why, nil)
  end
end)

test("a task that waits while another one opens the store can be cancelled", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  engine.fault { slow = 50 } -- a new store is synced several times: it opens after the cancel
  local ending <close> = setmetatable({}, { __close = function() engine.fault() end }) -- luacheck: ignore
  local first, second = stoke.spawn(runs.open), stoke.spawn(runs.open)
  stoke.sleep(0.001)
  second:cancel()
  t.eq(select(2, stoke.try(second.await, second)).kind, "cancelled")
  t.eq(runs.store(), nil) -- it did not wait for the other one
  t.ok(first:await())
end)

test("a thousand runs that were left are all taken up", { real = true, timeout = 120 }, function(t)
  local path, closing <close> = store_of(t) -- luacheck: ignore
  local function define()
    return stoke.workflow("many", function(n)
      local a = stoke.step("a", function() return n end, { idempotent = true })
      return a + stoke.signal "go"
    end)
  end
  local flow = define()
  local numbers, scope <close> = {}, stoke.scope {}
  for i = 1, 1000 do numbers[i] = i end
  scope:map(numbers, function(i) flow:start(i, { id = "r" .. i }) end)
  while #runs.store():list { state = "waiting" } < 1000 do stoke.sleep(0.05) end
  runs.leave()
  t.ok(path)
  define()
  scope:map(numbers, function(i) runs.signal("r" .. i, "go", 1) end)
  runs.resume_all()
  local sum = 0
  for _, value in ipairs(scope:map(numbers, function(i) return workflow.run("r" .. i):await() end)) do sum = sum + value end
  t.eq(sum, 501500)
end)

test("a run whose workflow is defined neither here nor by sources of its own says so", function(t)
  local f, err = require "core.runs.code".of({ workflow = "gone" }, nil, {})
  t.eq({ f, err.kind, err.message }, { nil, "parked", "no workflow gone is defined here" })
end)

test("what a person says of an effect in doubt takes the run up again", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local slow, begun = true, false
  local flow = stoke.workflow("once", function()
    return stoke.step("send", function()
      begun = true
      if slow then stoke.sleep(30) end
      return "sent"
    end)
  end)
  flow:start(nil, { id = "1" })
  while not begun do stoke.sleep(0.005) end
  runs.leave()
  slow = false
  local _, err = stoke.try(function() return flow:start(nil, { id = "1" }):await() end)
  t.eq({ err.kind, err.key }, { "in_doubt", "run/step send:1/step#1" })
  runs.store():resolve("1", err.key, { retry = true })
  runs.told "1"
  t.eq(flow:start(nil, { id = "1" }):await(), "sent")
end)

test("an answer that cannot be taken off the list parks the run: it must not answer a second doubt", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local count = 0
  local flow = stoke.workflow("once", function()
    return stoke.step("send", function()
      count = count + 1
      stoke.sleep(30)
    end)
  end)
  flow:start(nil, { id = "1" })
  while count == 0 do stoke.sleep(0.005) end
  runs.leave()
  local _, err = stoke.try(function() return flow:start(nil, { id = "1" }):await() end)
  t.eq(err.kind, "in_doubt")
  local store = runs.store()
  t.ok(store.db:write "CREATE TRIGGER keep BEFORE DELETE ON decisions BEGIN SELECT RAISE(ABORT, 'it stays'); END")
  store:resolve("1", err.key, { retry = true })
  _, err = stoke.try(runs.resume, "1")
  t.match(err.message, "it stays")
  t.eq({ count, err.kind }, { 1, "db" })
end)

test("a run that awaits one in doubt is parked, too, and goes on with it", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local slow, begun = true, false
  local small = stoke.workflow("small", function()
    return stoke.step("send", function()
      begun = true
      if slow then stoke.sleep(30) end
      return "sent"
    end)
  end)
  local large = stoke.workflow("large", function() return small:start(nil, { id = "s" }):await() end)
  large:start(nil, { id = "l" })
  while not begun do stoke.sleep(0.005) end
  runs.leave()
  slow = false
  local run = large:start(nil, { id = "l" })
  until_state(run, "parked")
  t.match(run:status().waits, "^it waits for run s, which is in doubt: step send %(#1")
  runs.store():resolve("s", "run/step send:1/step#1", { retry = true })
  runs.told "s"
  while run:status().state ~= "done" do stoke.sleep(0.01) end
  t.eq(run:await(), "sent")
end)

test("an agent as a tool is in doubt only once a tool of its own has begun to change something", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local folder, cut, begun = t.tmp(), nil, false
  local file = stoke.tool { name = "file", description = "Files", params = {}, run = function()
    begun = cut == "before"
    if begun then stoke.sleep(30) end
    stoke.fs.write(folder .. "/x", "1", { append = true })
    begun = cut == "after"
    if begun then stoke.sleep(30) end
    return "filed"
  end }
  local server <close> = require "stoke.sim".serve { mem = "doubt", load_seconds = 0, models = { "m" },
    script = function(request)
      local last = request.messages[#request.messages]
      if last.role == "tool" then return "done" end
      local name = request.tools[1]["function"].name
      return { tool_calls = { { name = name, arguments = last.content == "go" and { input = "x" } or {} } } }
    end }
  local clerk = stoke.agent { name = "clerk", model = "m", endpoint = server.url, tools = { file } }
  local boss = stoke.agent { name = "boss", model = "m", endpoint = server.url, tools = { clerk:as_tool() } }
  local flow = stoke.workflow("office", function() return boss:run("go").text end)
  for _, when in ipairs { "before", "after" } do
    cut = when
    local run = flow:start(nil, { id = when })
    while not begun do stoke.sleep(0.005) end
    runs.leave()
    cut = nil
    local text, err = stoke.try(function() return flow:start(nil, { id = when }):await() end)
    t.eq(err and err.kind or text, when == "before" and "done" or "in_doubt", err)
    t.ok(run)
  end
end)
