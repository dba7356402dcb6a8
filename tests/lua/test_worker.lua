-- stoke worker: runs that hosts share, taken by workers, which go on elsewhere when their host is gone.

local test = require "stoke.test"
local farming = require "farming"
local rand = require "stoke.rand"
local stoke = require "stoke"

local ORDER <const> = [[
local stoke = require "stoke"
stoke.workflow("order", function(input)
  local sum = stoke.step("add", function() return input.n * 2 end, { idempotent = true })
  stoke.sleep(input.pause or 0)
  stoke.step("pay", function() return stoke.http.post(input.url .. "/pay/" .. input.n, { body = "x" }).body end)
  stoke.sleep(input.pause or 0)
  if input.signal then sum = sum + stoke.signal(input.signal) end
  stoke.step("send", function() return stoke.http.post(input.url .. "/send/" .. input.n, { body = "x" }).body end)
  if input.fail then error "it is broken" end
  return sum
end)
]]

-- Each thing was done once.
local function once(t, witness, count)
  local n = 0
  for path, times in next, witness.done do
    n = n + 1
    t.eq({ path, times }, { path, 1 })
  end
  t.eq(n, count)
end

test("a run is done by a worker, and awaited from another process", { real = true, timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  local flow = farming.flow "order"
  local run = flow:start({ n = 3, url = witness.url }, { id = "first" })
  t.eq(run:status().state, "queued")
  farm:start "a"
  t.eq(run:await(), 6)
  local status = run:status()
  t.eq({ status.state, status.host, status.workflow, status.result }, { "done", "a", "order", 6 })
  t.eq(flow:start({ n = 99 }, { id = "first" }):await(), 6, "the same id is the same run")
  once(t, witness, 2)
end)

test("an error of a run reaches who awaits it", { real = true, timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local run = farming.flow "order":start({ n = 1, url = witness.url, fail = true }, { id = "bad" })
  local err = t.raises("script", function() run:await() end)
  t.contains(err.message, "it is broken")
end)

test("signals and cancels reach a run, whichever host has it, also before one has it", { real = true, timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  local flow = farming.flow "order"
  local early = flow:start { n = 1, url = witness.url, signal = "go" }
  local late = flow:start { n = 2, url = witness.url, signal = "go" }
  local ended = flow:start { n = 3, url = witness.url, signal = "never" }
  early:signal("go", 10)
  farm:start "a"
  t.eq(early:await(), 12)
  farming.until_(function() return late:status().state == "waiting" and ended:status().state == "waiting" end)
  t.eq(late:status().waits, "signal go")
  late:signal("go", 20)
  ended:cancel()
  t.eq(late:await(), 24)
  t.raises("cancelled", function() ended:await() end)
  t.eq(ended:status().state, "cancelled")
end)

test("a run goes on on another host when its own is killed, and repeats nothing", { real = true, timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local run = farming.flow "order":start({ n = 7, url = witness.url, signal = "go" }, { id = "moves" })
  farming.until_(function() return run:status().state == "waiting" end)
  t.eq(witness.done, { ["/pay/7"] = 1 })
  farm:kill "a"
  farm:start "b"
  run:signal("go", 1)
  t.eq({ run:await(), run:status().host }, { 15, "b" })
  once(t, witness, 2)
end)

-- What a host was doing when it was killed is in doubt where the answer did not come to its journal: a person looks whether it was
-- done, and says so on the host that has the run now. That may be another one by then, which does not hear it.
local function decide(farm, witness, run, n)
  local status = run:status()
  if status.state ~= "parked" then return end
  local name = witness.done["/send/" .. n] and "send" or "pay"
  local verdict = witness.done[("/%s/%d"):format(name, n)] and { "--value", '"done"' } or { "--retry" }
  farm:command(status.host, "resolve", run.id, table.unpack(verdict))
  stoke.sleep(0.5)
end

test("hosts are killed at random: each run ends, and nothing that must not be is done twice", { real = true, timeout = 120 },
  function(t)
    local witness <close> = farming.witness()
    local farm <close> = farming.new(t, ORDER)
    local flow, random, names, list = farming.flow "order", rand.new(11), { "a", "b", "c" }, {}
    for _, name in ipairs(names) do farm:start(name, { "--tries", "50" }) end
    for n = 1, 12 do list[n] = flow:start({ n = n, url = witness.url, pause = 0.3 }, { id = "run " .. n }) end
    for _ = 1, 10 do
      stoke.sleep(0.05 + random:float() * 0.3)
      local name = names[random:int(1, 3)]
      farm:kill(name)
      farm:start(name, { "--tries", "50" })
    end
    for n, run in ipairs(list) do
      farming.until_(function()
        decide(farm, witness, run, n)
        return run:status().state == "done"
      end, 40)
      t.eq(run:await(), n * 2)
    end
    once(t, witness, 24)
  end)

test("a worker that is asked to stop lets runs end, and hands the others back at once", { real = true, timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  farm:start("a", { "--drain", "2" })
  local flow = farming.flow "order"
  local short = flow:start({ n = 1, url = witness.url, pause = 0.3 }, { id = "short" })
  local long = flow:start({ n = 2, url = witness.url, signal = "go" }, { id = "long" })
  farming.until_(function() return long:status().state == "waiting" end)
  t.eq(farm:kill("a", "SIGTERM").code, 0)
  t.eq({ short:status().state, long:status().state }, { "done", "waiting" })
  t.contains(farm.said.a, "1 run was handed back")
  farm:start("b", { "--lease", "60" })
  long:signal("go", 1)
  t.eq({ long:await(), long:status().host }, { 5, "b" })
  once(t, witness, 4)
end)

test("stoke hosts lists who works, by the engine's clock, and forgets who has stopped", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start("a", { "--slots", "7" })
  farm:start "b"
  local function listed()
    local names = {}
    for line in farm:command("a", "hosts", "--engine", farm.url, "--json").stdout:gmatch "[^\n]+" do
      local one = stoke.json.decode(line)
      names[#names + 1] = ("%s %d %d %s"):format(one.name, one.slots, one.runs, one.gone)
    end
    return names
  end
  farming.until_(function() return #listed() == 2 end)
  t.eq(listed(), { "a 7 0 false", "b 64 0 false" })
  local top = farm:command("a", "top", "--all", "--engine", farm.url).stdout
  t.contains(top, "hosts 2  runs 0  at work 0 of 71 slots")
  t.contains(top, "at work 0/7")
  farm:kill("b", "SIGTERM")
  t.eq(listed(), { "a 7 0 false" })
  local shown = farm:command("a", "hosts", "--engine", farm.url)
  t.contains(shown.stdout, "NAME")
  t.contains(shown.stdout, "heard")
end)

test("a host that died is listed as gone, since when, and for how long it was up", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local engine = require "core.runs.shared".engine()
  local function host(name, since, seen)
    local now = assert(engine:now())
    assert(engine:kv_put("hosts", name .. "/1", require "core.runs.shared".text { name = name, version = "1", protocol = 1,
      since = now - since, seen = now - seen, slots = 4, runs = 3, busy = 2, done = 9 }))
  end
  host("alive", 60, 4)
  host("dead", 600, 300)
  local by = {}
  for line in farm:command("a", "hosts", "--engine", farm.url, "--json").stdout:gmatch "[^\n]+" do
    local one = stoke.json.decode(line)
    by[one.name] = one
  end
  t.eq({ by.alive.gone, by.dead.gone }, { false, true })
  t.ok(by.alive.up >= 60 and by.alive.up < 90, by.alive.up) -- until now, not until its last word
  t.eq(math.floor(by.dead.up + 0.5), 300)
  t.contains(farm:command("a", "hosts", "--engine", farm.url).stdout, "gone: not heard for 5")
  local top = farm:command("a", "top", "--all", "--engine", farm.url).stdout
  t.contains(top, "hosts 2 (1 gone)  runs 3  at work 2 of 68 slots")
  t.contains(top, "GONE     not heard for 5")
  t.contains(farm:command("a", "top", "--all", "--json", "--engine", farm.url).stdout, '"gone":1')
end)

test("an engine that has lost the end of a journal: the host that has it says so, and repeats nothing", { real = true,
  timeout = 60 }, function(t)
  local witness <close> = farming.witness()
  local farm <close> = farming.new(t, ORDER)
  farm:start "a"
  local run = farming.flow "order":start({ n = 1, url = witness.url, signal = "go" }, { id = "lost" })
  farming.until_(function() return run:status().state == "waiting" end)
  farm:kill "a"
  assert(require "core.runs.shared".engine():log_drop("journals", "lost"))
  farm:start "a"
  stoke.sleep(2)
  farm:kill("a", "SIGTERM")
  t.contains(farm.said.a, "the engine has lost the end of the journal of run lost, which this host has")
  t.eq(witness.done, { ["/pay/1"] = 1 })
end)

test("a run of a newer stoke is left to hosts that understand it", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, ORDER)
  local engine = require "core.runs.shared".engine()
  local run = farming.flow "order":start({ n = 1 }, { id = "newer" })
  assert(engine:log_append("journals", "newer", 0, 'stoke 2 {"new":1}'))
  farm:start("a", { "--tries", "1" })
  stoke.sleep(0.5)
  farm:kill("a", "SIGTERM")
  t.contains(farm.said.a, "the journal of the run is of version 2, this stoke knows up to 1")
  t.eq(run:status().state, "queued")
end)

test("what is wrong with a command line is one clear error", { real = true }, function(t)
  local farm <close> = farming.new(t, "local x = 1")
  local none = farm:command("a", "worker", "farm.lua")
  t.contains(none.stderr, "stoke worker wants an engine")
  local nothing = farm:command("a", "worker", "--engine", farm.url, "farm.lua")
  t.contains(nothing.stderr, "farm.lua defines no workflow")
  local unknown = farm:command("a", "hosts", "--engine", "rabbit://x")
  t.contains(unknown.stderr, "no engine")
end)
