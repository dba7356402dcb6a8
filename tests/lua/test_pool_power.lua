-- Limits of power through the door, with sensors that a test makes up; and how sensors are read from files.

local test = require "stoke.test"
local fs = require "stoke.fs"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local sensors = require "stoke.config.sensors"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

--- Limits in force until the guard is closed.
local function limits(power, read)
  pool.forget()
  pool.configure { power = power }
  pool.sensors = read
  return setmetatable({}, { __close = function()
    pool.configure {}
    pool.sensors = nil
  end })
end

local function call(server, class)
  return ollama.chat { model = "m", messages = HI, endpoint = server.url, class = class }
end

local function serve(name)
  return sim.serve { mem = name, models = { "m" }, load_seconds = 0, tokens_per_second = 10,
    script = function() return ("word "):rep(10) end }
end

test("above a temperature no call begins until it has cooled; one under way goes on; interactive ones begin", function(t)
  local degrees, reads = 60, 0
  local guard <close> = limits({ temperature = { above = 80, below = 70 }, every = 5 }, function()
    reads = reads + 1
    return { temperature = degrees }
  end)
  local server <close> = serve "warm"
  local scope <close> = stoke.scope {}
  local began = time.monotonic()
  local ends = {}
  local function one(name, class)
    scope:spawn(function()
      call(server, class)
      ends[name] = time.monotonic() - began
    end)
  end
  one "first"
  stoke.sleep(0.5)
  degrees = 90
  one "second"
  stoke.sleep(9.5)
  t.ok(ends.first and ends.second, "what came before the reading has begun")
  one "third"
  one("person", "interactive")
  stoke.sleep(10)
  t.ok(ends.person and not ends.third)
  degrees = 75
  stoke.sleep(10)
  t.ok(not ends.third)
  t.contains(pool.state().servers[1].lanes[1].queue[1].reason, "too hot: 75 C; calls begin again at 70 C")
  degrees = 70
  stoke.sleep(7)
  t.ok(ends.third)
  local before = reads
  stoke.sleep(100)
  t.eq(reads, before) -- nobody waits: nobody reads
end)

test("work comes in bursts with rests between them", function(t)
  local guard <close> = limits { burst = 4, rest = 6 }
  local server <close> = serve "bursts"
  local scope <close> = stoke.scope {}
  local began, ends = time.monotonic(), {}
  for _ = 1, 12 do
    scope:spawn(function()
      call(server)
      ends[#ends + 1] = time.monotonic() - began
    end)
  end
  scope:wait()
  for _, at in ipairs(ends) do
    local phase = (at - 0.001) % 10
    t.ok(phase < 6.5, ("an end at %g s"):format(at)) -- begun before 4 s, and it takes up to two
  end
  t.eq(#ends, 12)
end)

test("a sensor that fails stops nobody", function(t)
  local guard <close> = limits({ temperature = 80, battery = 20 }, function() error "no such sensor" end)
  local server <close> = serve "blind"
  t.eq(call(server).message.role, "assistant")
end)

test("a sensor that says no number stops nobody", function(t)
  local guard <close> = limits({ temperature = 80, battery = 20 }, function() return { temperature = "hot", battery = {} } end)
  local server <close> = serve "odd"
  t.eq(call(server).message.role, "assistant")
  pool.sensors = function() return "hot" end
  pool.configure { power = { temperature = 80 } }
  t.eq(call(server).message.role, "assistant")
end)

test("limits that are changed while somebody waits hold from the next reading on, which is made at once", function(t)
  local guard <close> = limits({ temperature = 80, every = 50 }, function() return { temperature = 90 } end)
  local server <close> = serve "changed"
  local scope <close> = stoke.scope {}
  local began = time.monotonic()
  local task = scope:spawn(call, server)
  stoke.sleep(1)
  pool.configure { power = { temperature = 95, every = 50 } }
  task:await()
  t.ok(time.monotonic() - began < 5, time.monotonic() - began)
end)

test("sensors are read from files: the hottest zone, the emptiest battery, any mains; or from functions", function(t)
  local folder = t.tmp()
  for path, text in pairs { ["zone0/temp"] = "41000\n", ["zone1/temp"] = "57500\n", ["zone2/temp"] = "n/a\n",
    ["BAT0/capacity"] = "80\n", ["BAT1/capacity"] = "35\n", ["AC/online"] = "0\n", ["ADP1/online"] = "1\n" } do
    fs.mkdir(folder .. "/" .. path:match "^[^/]+")
    fs.write(folder .. "/" .. path, text)
  end
  t.eq(sensors.read { temperature = folder .. "/zone*/temp", battery = folder .. "/BAT*/capacity", ac = folder .. "/A*/online" },
    { temperature = 57.5, battery = 35, ac = true })
  t.eq(sensors.read { temperature = folder .. "/nothing/*/temp", battery = function() return 12 end,
    ac = function() error "x" end }, { battery = 12 })
end)
