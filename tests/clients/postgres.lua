-- A PostgreSQL of our own for a test: its files below a folder that goes with it, a socket in there, and a free port.
--
--     local server <close> = postgres.start(t)
--     server:psql "SELECT 1"                     --> "1"
--     server:kill()  server:run()                -- kill -9 of all its processes, and up again on the same files
--
-- It refuses to run as root, so there it runs as the user postgres, or nobody.

local fs = require "stoke.fs"
local http = require "stoke.http"
local peers = require "peers"
local proc = require "stoke.proc"
local stoke = require "stoke"

local M = {}

---@class tests.postgres
---@field folder string
---@field port integer
---@field url string over its socket
---@field tcp string over 127.0.0.1
---@field child? table
local Server = {}
Server.__index = Server

local function run(argv, options)
  local q = options or {}
  q.argv, q.env_allow, q.stderr = argv, { "PATH" }, "merge"
  q.env = q.env or { LC_ALL = "C" }
  return proc.run(q)
end

--- A port that was free a moment ago.
local function free_port()
  local one <close> = http.serve { port = 0, system = true, handler = function() end }
  return one.port
end

--- The folder of its programs.
local function programs()
  local said = run { "sh", "-c", "ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1; command -v initdb" }
  local first = said.stdout:match "^(/%S+)"
  return first and first:gsub("/initdb$", "")
end

--- argv, as a user that is not root.
local function humble(argv)
  if run({ "id", "-u" }).stdout:match "%d+" ~= "0" then return argv end
  local user = run({ "id", "postgres" }).code == 0 and "postgres" or "nobody"
  local out = { "setpriv", "--reuid", user, "--clear-groups", "--regid", run({ "id", "-g", user }).stdout:match "%d+" }
  for _, word in ipairs(argv) do out[#out + 1] = word end
  return out, user
end

local function must(result, what)
  if result.code ~= 0 then error(("%s: %s"):format(what, result.stdout), 0) end
  return result.stdout
end

--- Start it, and wait until it takes connections.
local function up(self)
  for _ = 1, 100 do -- processes of one that was killed may still hold its memory
    local argv = humble { self.bin .. "/postgres", "-D", self.folder .. "/data", "-p", tostring(self.port), "-k", self.folder,
      table.unpack(self.settings) }
    self.child = proc.spawn { argv = argv, env = { LC_ALL = "C" }, env_allow = { "PATH" }, stderr = "merge", stdin = false }
    local said = {}
    for line in self.child:lines() do
      said[#said + 1] = line
      if line:find("ready to accept connections", 1, true) then
        stoke.spawn(function() for _ in self.child:lines() do end end) -- its words are nobody's, and fill no pipe
        return
      end
    end
    self.child:close()
    if not table.concat(said):find("still in use", 1, true) then error("PostgreSQL: " .. table.concat(said, "\n"), 0) end
    stoke.sleep(0.05)
  end
  error("PostgreSQL: it does not come up again", 0)
end

--- Up, again: the process belongs to the server's own task, whoever calls.
function Server:run()
  self.orders:send(true)
  local failed = self.answers:recv()
  if failed ~= "" then error(failed, 0) end
  return self
end

--- kill -9, of its backends too: as if the machine had lost power, but for what the kernel still writes.
function Server:kill()
  local child = self.child
  self.child = nil
  run { "sh", "-c", ("kill -9 %d $(ps -o pid= --ppid %d)"):format(child.pid, child.pid) }
  child:wait()
  child:close()
end

--- Shut down, and no session is waited for.
function Server:stop()
  local child = self.child
  self.child = nil
  if not child then return end
  child:kill "INT"
  child:wait()
  child:close()
end

--- What psql says to a statement, without frames.
---@param sql string
---@return string
function Server:psql(sql)
  local argv = humble { self.bin .. "/psql", "-X", "-h", self.folder, "-p", tostring(self.port), "-U", "stoke", "-d", "postgres",
    "-At", "-v", "ON_ERROR_STOP=1", "-c", sql }
  return (must(run(argv), "psql"):gsub("\n$", ""))
end

function Server:__close()
  self:stop()
  self.orders:close()
  proc.run { argv = { "rm", "-rf", self.folder } }
end

--- The files of a server that was never used, below a folder; they are made once, and copied.
local function fresh(bin, folder)
  local made = peers.absolute(peers.FOLDER) .. "/postgres"
  local initdb, user = humble { bin .. "/initdb", "-D", folder .. "/data", "-U", "stoke", "-A", "trust", "-E", "UTF8", "--no-sync",
    "--locale=C", "--wal-segsize=1" }
  local function own() return user and must(run { "chown", "-R", user, folder }, "chown") end
  if fs.stat(made) then
    must(run { "cp", "-a", made .. "/data", folder .. "/data" }, "cp")
    return own()
  end
  own()
  must(run(initdb), "initdb")
  -- several tests may make them at once: the first to be done has the name
  must(run { "sh", "-c", ([[mkdir -p "%s" && new=$(mktemp -d "%s.XXXXXX") && cp -a "%s/data" "$new" &&
    { mv -T "$new" "%s" 2>/dev/null || rm -rf "$new"; }]]):format(made:match "^(.*)/", made, folder, made) }, "keeping the files")
end

--- Start one; skips the test where PostgreSQL is not installed.
---@param t table
---@param settings? string[] of the server: { "-c", "max_connections=10" }
---@return tests.postgres to be closed
function M.start(t, settings)
  local bin = programs()
  if not bin then
    local words = "PostgreSQL is not installed (.ci/packages peers)"
    if os.getenv "PEERS_REQUIRED" then error(words, 0) end
    t.skip(words)
  end
  local folder = must(run { "mktemp", "-d", "/tmp/stoke-pg-XXXXXX" }, "mktemp"):gsub("\n$", "")
  local port = free_port()
  local self = setmetatable({ bin = bin, folder = folder, port = port, settings = settings or {},
    url = ("postgres://stoke@/postgres?host=%s&port=%d"):format(folder, port),
    tcp = ("postgres://stoke@127.0.0.1:%d/postgres"):format(port), orders = stoke.channel(), answers = stoke.channel() }, Server)
  stoke.spawn(function()
    while self.orders:recv() do
      local ok, err = pcall(up, self)
      self.answers:send(ok and "" or tostring(err))
    end
  end)
  local ok, err = pcall(function()
    fresh(bin, folder)
    fs.write(folder .. "/data/postgresql.auto.conf", "listen_addresses = '127.0.0.1'\nshared_buffers = '16MB'\n")
    self:run()
  end)
  if ok then return self end
  local _ <close> = self
  error(err, 0)
end

return M
