-- A server of NATS for a test, with JetStream in a folder of its own, which ends with the block:
--
--     local server <close> = nats.start(t)
--     local e <close> = engine.open(server.url, {})
--     server:kill()  server:again()                          -- kill -9; the same port and files
--
-- Where nats-server is not installed the test is skipped, with words.

local fs = require "stoke.fs"
local peers = require "peers"
local proc = require "stoke.proc"
local stoke = require "stoke"

local M = {}

--- What tests say: the clock is the real one.
M.REAL = { real = true, timeout = 20 }

---@class nats.server
---@field url string
---@field port integer
---@field folder string
local Server = {}
Server.__index = Server

local CONFIG <const> = [[
host: 127.0.0.1
port: %d
max_payload: 32MB
%s
]]

local function binary()
  for _, path in ipairs { "/usr/sbin/nats-server", "/usr/bin/nats-server", "/usr/local/bin/nats-server" } do
    if fs.stat(path) then return path end
  end
end

local function run(self)
  fs.write(self.folder .. "/conf", CONFIG:format(self.port or -1, self.config))
  local child = proc.spawn { argv = { self.binary, "-c", self.folder .. "/conf" }, stderr = "merge" }
  for line in child:lines() do
    self.port = tonumber(line:match "Listening for client connections on 127%.0%.0%.1:(%d+)") or self.port
    if line:find("Server is ready", 1, true) then break end
    if line:find("[FTL]", 1, true) then error(line, 0) end
  end
  stoke.spawn(function()
    for _ in child:lines() do end -- else it stands still once its log fills the pipe
  end)
  self.url = ("nats://127.0.0.1:%d"):format(self.port)
  return child
end

--- The server belongs to a task of its own, whoever tells it to start again: that one's scope may end before.
local function keep(self)
  local child
  for order in self.orders do
    if order == "again" then
      child = run(self)
    else
      child:kill "KILL"
      child:wait()
      child:close()
    end
    self.done:send(true)
  end
end

local function tell(self, order)
  self.orders:send(order)
  self.done:recv()
end

--- Start it again, on the same port and files, and wait until it listens.
function Server:again() tell(self, "again") end

--- End it as a power switch would.
function Server:kill() tell(self, "kill") end

---@param t table
---@param config? string lines of its configuration; with JetStream when not given
---@return nats.server to be closed
function M.start(t, config)
  local path = binary()
  if not path then t.skip "nats-server is not installed" end
  local home = peers.home()
  local self = { folder = home.path, binary = path, orders = stoke.channel(), done = stoke.channel() }
  setmetatable(self, { __index = Server, __close = function()
    self:kill()
    self.orders:close()
    self.keeper:await()
    local _ <close> = home
  end })
  self.config = config or ("jetstream { store_dir: %q }"):format(home.path .. "/js")
  self.keeper = stoke.spawn(function() keep(self) end)
  self:again()
  return self
end

return M
