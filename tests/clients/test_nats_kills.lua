-- NATS under the campaign of tests/queue/kills.lua: a publisher and four workers in processes of their own, and the server itself,
-- are killed at random moments.
--
--     N=10000 SEED=7 make peers

package.path = "tests/queue/?.lua;" .. package.path

local engine = require "core.engine"
local errors = require "core.errors"
local kills = require "kills"
local nats = require "nats"
local storm = require "storm"
local test = require "stoke.test"

test("nats: messages survive the death of whoever has them, and of the server", { real = true, programs = true, timeout = 1800,
  effects = false }, function(t)
  local server <close> = nats.start(t)
  local broken, blows = kills.run { url = server.url, folder = t.tmp(), seed = tonumber(os.getenv "SEED") or 1,
    messages = tonumber(os.getenv "N") or 300, pause = 1,
    open = function() return errors.check(engine.open(server.url, {})) end,
    server = { kill = function() server:kill() end, start = function() server:again() end } }
  t.eq(storm.words(broken), nil)
  t.ok(blows.processes > 0)
  print(("nats: %d processes killed, all of them %d times, the server %d times, in %.0f s"):format(blows.processes, blows.all,
    blows.servers, blows.seconds))
end)
