-- NATS: what every engine has to do (tests/queue/battery.lua), each behaviour on a server of its own.

package.path = "tests/queue/?.lua;" .. package.path

local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"
local nats = require "nats"
local stoke = require "stoke"
local storm = require "storm"
local test = require "stoke.test"

local servers = setmetatable({}, { __mode = "k" }) -- one a test, however often it opens

battery.run(function(name, options, f)
  test(name, options, function(t)
    local server <close> = nats.start(t)
    servers[t] = server
    f(t)
  end)
end, "nats", { open = function(t) return errors.check(engine.open(servers[t].url, {})) end, options = nats.REAL, short = 0.2,
  long = 10 })

test("nats: a storm of readers who die, are late and say things twice, over a server that is killed",
  { real = true, timeout = 300 }, function(t)
    local server <close> = nats.start(t)
    local tries, seed = storm.TRIES, tonumber(os.getenv "SEED") or 1
    local _ <close> = setmetatable({}, { __close = function() storm.TRIES = tries end })
    storm.TRIES = 2 * tries -- leases run out while the server is away
    local random, over = stoke.rand.new(seed), false
    local storming = stoke.spawn(function()
      local broken = storm.run(function() return errors.check(engine.open(server.url, {})) end,
        { seed = seed, messages = tonumber(os.getenv "N") or 400, seconds = 200 })
      over = true
      return storm.words(broken)
    end)
    while not over do
      stoke.sleep(0.5 + random:float() * 2)
      if not over and random:float() < 0.5 then
        server:kill()
        stoke.sleep(random:float() * 0.5)
        server:again()
      end
    end
    t.eq(storming:await(), nil)
  end)
