-- How a worker shares runs with other idle ones, and when it gives a run up.

local test = require "stoke.test"
local farming = require "farming"
local shared = require "core.runs.shared"
local stoke = require "stoke"

local ORDER <const> = [[
local stoke = require "stoke"
stoke.workflow("order", function(input)
  local sum = 1
  if input.hang then
    stoke.step("hang", function()
      stoke.http.get(input.hang .. "/answers")
      return stoke.http.get(input.hang .. "/hang").body
    end, { idempotent = true })
  end
  if input.pause then stoke.sleep(input.pause) end
  if input.signal then sum = sum + stoke.signal "go" end
  return sum
end)
]]

test("runs that wait are shared by hosts that are idle", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  farm:start "b"
  stoke.sleep(1) -- they hear of each other
  local flow, list, by = farming.flow "order", {}, {}
  for n = 1, 12 do list[n] = flow:start({ pause = 0.2 }, { id = "run " .. n }) end
  for _, run in ipairs(list) do
    run:await()
    local host = run:status().host
    by[host] = (by[host] or 0) + 1
  end
  t.ok((by.a or 0) >= 2 and (by.b or 0) >= 2, ("a did %d, b did %d"):format(by.a or 0, by.b or 0))
end)

test("a run that waits is not given up, however many hosts are lost with it", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  local run = farming.flow "order":start({ signal = true }, { id = "patient" })
  for i = 1, 5 do
    local name = i % 2 == 0 and "a" or "b"
    farm:start(name, { "--tries", "1" })
    farming.until_(function()
      local status = run:status()
      return status.state == "waiting" and status.host == name
    end)
    farm:kill(name)
    stoke.sleep(1.1) -- its lease runs out
  end
  farm:start("a", { "--tries", "1" })
  run:signal("go", 1)
  t.eq(run:await(), 2)
end)

test("a run that comes no further while hosts are lost is given up", { real = true, timeout = 60 }, function(t)
  local asked = 0
  local server = stoke.http.serve { port = 0, handler = function(req, res)
    if req.path == "/answers" then return res:reply(200, {}, "yes") end
    asked = asked + 1
    stoke.sleep(60)
  end }
  local farm <close> = farming.new(t, ORDER)
  local run = farming.flow "order":start({ hang = server.url }, { id = "stuck" })
  for i = 1, 10 do -- from the second on, each asks the same again
    farm:start("a", { "--tries", "2" })
    farming.until_(function() return asked >= i or run:status().state == "failed" end)
    if run:status().state == "failed" then break end
    farm:kill "a"
    stoke.sleep(1.1)
  end
  local err = t.raises("incomplete", function() run:await() end)
  t.contains(err.message, "the run stuck was given up: 2 hosts ended while they had it")
  t.ok(asked >= 2 and asked <= 5, asked)
  server:close()
end)

test("a run that has ended is not given up, however often it was lent", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local flow = farming.flow "order"
  flow:start({}, { id = "model" }):await()
  farm:kill("a", "SIGTERM")
  -- as a host leaves it that dies when the end is in the journal, and nowhere else
  local engine = shared.engine()
  local run = flow:start({}, { id = "ended" })
  for i, record in ipairs(assert(engine:log_read(shared.JOURNALS, "model", 1, 100))) do
    assert(engine:log_append(shared.JOURNALS, "ended", i - 1, record.value))
  end
  local q = { stream = shared.stream "order", group = shared.GROUP, n = 1, lease = 0.01, wait = 5, tries = 100 }
  for _ = 1, 3 do
    t.eq(#assert(engine:claim(q)), 1)
    stoke.sleep(0.05)
  end
  farm:start("b", { "--tries", "1" })
  t.eq({ run:await(), run:status().state }, { 1, "done" })
end)

test("runs that ended long ago are pruned from the engine, with all that was kept of them; others stay", { real = true,
  timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local engine, flow = shared.engine(), farming.flow "order"
  flow:start({}, { id = "old" }):await()
  local waits = flow:start({ signal = true }, { id = "waits" })
  farming.until_(function() return waits:status().state == "waiting" end)
  assert(engine:kv_put(shared.SIGNALS, "old/late", shared.text { name = "go" }))
  local function prune(...) return farm:command("client", "prune", "--engine", farm.url, ...) end
  t.contains(prune("--older", "1h").stdout, "0 runs deleted")
  t.contains(prune("--older", "0h", "--dry-run").stdout, "1 run would be deleted")
  t.eq(#assert(engine:kv_keys(shared.RUNS, "")), 2)
  t.eq(stoke.json.decode(prune("--older", "0h", "--json").stdout).runs[1].id, "old")
  t.eq(engine:kv_keys(shared.RUNS, ""), { "waits" })
  t.eq(engine:kv_keys(shared.SIGNALS, ""), {})
  t.eq(engine:log_read(shared.JOURNALS, "old", 1, 10), {})
  waits:signal("go", 5)
  t.eq(waits:await(), 6)
  t.eq(flow:start({}, { id = "old" }):await(), 1, "its id may be used again, also where a copy of it is left")
  prune("--older", "0h")
  farm:kill("a", "SIGTERM")
  farm:start "b" -- which has no copy of it
  t.eq(flow:start({}, { id = "old" }):await(), 1)
  t.contains(prune("--bytes", "1gb").stderr, "--bytes is of a store")
end)

test("who waits for one run hears of it, and of others that are awaited later", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local flow, got = farming.flow "order", {}
  local scope <close> = stoke.scope {}
  local list = {}
  for i, id in ipairs { "été 1", "été 2", "étude", "other" } do
    list[i] = scope:spawn(function()
      local sum = flow:start({ pause = 0.3 }, { id = id }):await()
      got[#got + 1] = { id, sum }
    end)
    stoke.sleep(0.05)
  end
  for _, task in ipairs(list) do task:await() end
  table.sort(got, function(a, b) return a[1] < b[1] end)
  t.eq(got, { { "other", 1 }, { "étude", 1 }, { "été 1", 1 }, { "été 2", 1 } })
end)
