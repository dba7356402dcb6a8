-- A storm over PostgreSQL, whose server is killed in the middle: what was told before holds after. Then a publisher and workers in
-- processes of their own, which are killed, too.
--
--     N=10000 SEED=7 build/stoke test --internal tests/clients/test_postgres_storm.lua

package.path = "tests/queue/?.lua;" .. package.path

local engine = require "core.engine"
local kills = require "kills"
local peers = require "peers"
local postgres = require "postgres"
local stoke = require "stoke"
local storm = require "storm"
local test = require "stoke.test"

local SCALE <const> = tonumber(os.getenv "STOKE_SCALE" or "1")
local SEED <const> = tonumber(os.getenv "SEED" or "7")

local KILLS <const>, MESSAGES <const> = 4, 400

test("a storm in which the server is killed at random points breaks no law", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local random, over = stoke.rand.new(SEED), false
  local storming = stoke.spawn(function()
    local broken = storm.run(function() return assert(engine.open(server.url)) end,
      { seed = SEED, messages = math.ceil(MESSAGES * SCALE), seconds = 200 })
    over = true
    return broken
  end)
  local dead = 0
  while not over and dead < KILLS do
    stoke.sleep(0.5 + random:float() * 3)
    server:kill()
    stoke.sleep(random:float())
    server:run()
    dead = dead + 1
  end
  t.eq(storm.words(storming:await()), nil)
  t.ok(dead > 1, "the server was hardly ever killed")
end)

test("messages survive the death of whoever has them: a publisher, four workers, the server", { real = true, programs = true,
  timeout = 3600, effects = false }, function(t)
  local server <close> = postgres.start(t)
  local broken, blows = kills.run { url = server.url, folder = t.tmp(), seed = SEED, pause = 1,
    messages = math.tointeger(tonumber(os.getenv "N" or "300")), open = function() return assert(engine.open(server.url)) end,
    server = { kill = function() server:kill() end, start = function() server:run() end } }
  t.eq(storm.words(broken), nil)
  io.stderr:write(("postgres: %d processes killed, all of them %d times, the server %d times, %.1f s (SEED=%d)\n"):format(
    blows.processes, blows.all, blows.servers, blows.seconds, SEED))
end)
