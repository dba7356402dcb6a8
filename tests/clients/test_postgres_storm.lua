-- A storm over PostgreSQL, whose server is killed in the middle: what was told before holds after.

package.path = "tests/queue/?.lua;" .. package.path

local engine = require "core.engine"
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
  local kills = 0
  while not over and kills < KILLS do
    stoke.sleep(0.5 + random:float() * 3)
    server:kill()
    stoke.sleep(random:float())
    server:run()
    kills = kills + 1
  end
  t.eq(storm.words(storming:await()), nil)
  t.ok(kills > 1, "the server was hardly ever killed")
end)
