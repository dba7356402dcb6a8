-- Queues whose processes are killed at random moments: each message is done once, in the order of its key, and none is lost.
--
--     make campaign N=10000 SEED=7

package.path = "tests/queue/?.lua;" .. package.path

local test = require "stoke.test"
local engine = require "core.engine"
local errors = require "core.errors"
local inside = require "inside"
local kills = require "kills"
local storm = require "storm"

local MESSAGES <const> = math.min(inside.many("N", 500), 10000)
local SEED <const> = math.tointeger(tonumber(os.getenv "SEED" or "")) or 1

test("messages survive the death of whoever has them: a local queue, a publisher, four workers", { real = true, programs = true,
  timeout = 36000, effects = false }, function(t)
  local folder = t.tmp()
  local url = "local:" .. folder .. "/queue.db"
  local broken, blows = kills.run { url = url, folder = folder, seed = SEED, messages = MESSAGES, pause = 0.5,
    open = function() return errors.check(engine.open(url)) end }
  t.eq(storm.words(broken), nil)
  inside.report(("queue: %d messages, %d processes killed, all of them %d times, %.1f s (SEED=%d)"):format(MESSAGES,
    blows.processes, blows.all, blows.seconds, SEED))
end)
