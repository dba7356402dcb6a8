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

--- Start it (again) and wait until it listens.
function Server:again()
  fs.write(self.folder .. "/conf", CONFIG:format(self.port or -1, self.config))
  self.child = proc.spawn { argv = { self.binary, "-c", self.folder .. "/conf" }, stderr = "merge" }
  for line in self.child:lines() do
    self.port = tonumber(line:match "Listening for client connections on 127%.0%.0%.1:(%d+)") or self.port
    if line:find("Server is ready", 1, true) then break end
    if line:find("[FTL]", 1, true) then error(line, 0) end
  end
  local child = self.child
  stoke.spawn(function()
    for _ in child:lines() do end -- else it stands still once its log fills the pipe
  end)
  self.url = ("nats://127.0.0.1:%d"):format(self.port)
end

--- End it as a power switch would.
function Server:kill()
  self.child:kill "KILL"
  self.child:wait()
  self.child:close()
end

---@param t table
---@param config? string lines of its configuration; with JetStream when not given
---@return nats.server to be closed
function M.start(t, config)
  local path = binary()
  if not path then t.skip "nats-server is not installed" end
  local home = peers.home()
  local self = setmetatable({ folder = home.path, binary = path }, { __index = Server, __close = function(self)
    self:kill()
    local _ <close> = home
  end })
  self.config = config or ("jetstream { store_dir: %q }"):format(home.path .. "/js")
  self:again()
  return self
end

return M
