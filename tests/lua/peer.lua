-- Starts tests/peers/peer.c, the server with bad manners, for a test that says `real`:
--
--     local peer <close> = start()
--     http.get(peer.url .. "/silent-end")

local fs = require "stoke.fs"
local http = require "stoke.http"
local json = require "stoke.json"
local proc = require "stoke.proc"

local BUILD = os.getenv "STOKE_BUILD" or "build"
local PROGRAM = os.getenv "STOKE_PEER" or BUILD .. "/peer"

local Peer = {}
Peer.__index = Peer

--- What it saw so far: connections, requests, left (clients that went away early), waiting, flooded.
function Peer:stats() return json.decode(http.get(self.url .. "/stats").body) end

function Peer:close()
  self.process:close()
  pcall(fs.remove, self.ca_file)
end

Peer.__close = Peer.close

return function()
  local prefix = (os.getenv "TMPDIR" or "/tmp") .. "/stoke-peer"
  local process = proc.spawn { argv = { PROGRAM, prefix } }
  local ca_file = ("%s.%d"):format(prefix, process.pid)
  local plain, refused, tls, stuck = process:lines()():match("^(%d+) (%d+) (%d+) (%d+)$")
  return setmetatable({
    process = process, ca_file = ca_file,
    url = "http://127.0.0.1:" .. plain,        -- scenes by path
    name_url = "http://localhost:" .. plain,   -- the same, as another host
    refused = "http://127.0.0.1:" .. refused,  -- nobody listens
    stuck = "http://127.0.0.1:" .. stuck,      -- never gets connected
    tls = "https://localhost:" .. tls,         -- a certificate that nobody signed
    plain_as_tls = "https://127.0.0.1:" .. plain,
  }, Peer)
end
