-- NATS: what every engine has to do (tests/queue/battery.lua), each behaviour on a server of its own.

package.path = "tests/queue/?.lua;" .. package.path

local battery = require "battery"
local engine = require "core.engine"
local errors = require "core.errors"
local nats = require "nats"
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
