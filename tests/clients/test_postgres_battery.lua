-- What every engine of stoke.queue has to do, asked of PostgreSQL; each on a server of its own.

package.path = "tests/queue/?.lua;" .. package.path

local battery = require "battery"
local engine = require "core.engine"
local peers = require "peers"
local postgres = require "postgres"
local test = require "stoke.test"

local server

--- The first connection of a test has the server: it goes with it.
local function open(t)
  local first = not server
  server = server or postgres.start(t)
  local e = assert(engine.open(server.url))
  if not first then return e end
  return setmetatable(e, { __index = getmetatable(e).__index, __close = function()
    local own <close> = server
    server = nil
    e:close()
    return own
  end })
end

battery.run(test, "postgres", { open = open, options = peers.REAL })
