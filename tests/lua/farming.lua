-- Hosts that share runs: workers as child processes, each with a store of its own, on one engine; and this process as the one that
-- begins and awaits runs.

local about = require "core.about"
local errors = require "core.errors"
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"
local runs = require "core.runs"
local stoke = require "stoke"
require "stoke.workflow"

local M = {}

---@class test.farm
---@field folder string
---@field url string of the engine
---@field workers table<string, table> by name
local Farm = {}
Farm.__index = Farm

-- A farm whose workers run this source.
function M.new(t, source, url)
  local folder = t.tmp()
  fs.write(folder .. "/farm.lua", source)
  local farm = setmetatable({ folder = folder, url = url or ("local:%s/queue.db"):format(folder), workers = {}, said = {} }, Farm)
  farm.before = { setting = runs.setting, engine = runs.engine }
  runs.setting = function() return folder .. "/client.db" end
  runs.engine = function() return farm.url end
  return farm
end

function Farm:__close()
  for name in next, self.workers do self:kill(name) end
  runs.leave()
  runs.setting, runs.engine = self.before.setting, self.before.engine
  for name in pairs(runs.defined) do runs.defined[name] = nil end
end

-- Start a worker; words: more of its command line; inside: what stands before it. It goes on with the store of an earlier one of
-- its name.
function Farm:start(name, words, inside)
  local argv = table.move(inside or {}, 1, #(inside or {}), 1, {})
  local own = { about.executable(), "worker", "--engine", self.url, "--name", name, "--store", self:store(name), "--lease", "1" }
  table.move(own, 1, #own, #argv + 1, argv)
  table.move(words or {}, 1, #(words or {}), #argv + 1, argv)
  argv[#argv + 1] = "farm.lua"
  local p = proc.spawn { argv = argv, cwd = self.folder, env_allow = { "PATH", "STOKE_PATH", "HOME" }, stderr = "capture" }
  self.workers[name], self.said[name] = p, self.said[name] or ""
  local said = ""
  repeat
    local bytes = p:read(nil, "stderr")
    said = said .. (bytes or "")
    if not bytes then error(("the worker %s did not start: %s"):format(name, said)) end
  until said:find(" takes runs of ", 1, true)
  self.said[name] = self.said[name] .. said
  return p
end

function Farm:store(name) return ("%s/%s.db"):format(self.folder, name) end

-- kill -9, and gone.
function Farm:kill(name, signal)
  local p = self.workers[name]
  self.workers[name] = nil
  p:kill(signal or "SIGKILL")
  for bytes in function() return p:read(nil, "stderr") end do self.said[name] = self.said[name] .. bytes end
  local status = p:wait()
  p:close()
  return status
end

-- A command of this stoke on a worker's store.
function Farm:command(name, ...)
  local argv = { about.executable(), "--store", self:store(name), ... }
  return proc.run { argv = argv, cwd = self.folder, env_allow = { "PATH", "STOKE_PATH", "HOME" } }
end

-- An HTTP server that counts how often each thing was done.
function M.witness()
  local witness = { done = {} }
  witness.server = http.serve { port = 0, handler = function(req, res)
    witness.done[req.path] = (witness.done[req.path] or 0) + 1
    res:reply(200, {}, "done")
  end }
  witness.url = witness.server.url
  return setmetatable(witness, { __close = function() witness.server:close() end })
end

-- The workflow of the farm's source, to begin runs of it here: nothing of it is done in this process.
function M.flow(name) return stoke.workflow(name, function() error(errors.new("script", "this is no worker")) end) end

-- Wait until f gives something.
function M.until_(f, seconds)
  local last = stoke.time.monotonic() + (seconds or 20)
  while true do
    local value = f()
    if value then return value end
    if stoke.time.monotonic() > last then error("it did not come", 2) end
    stoke.sleep(0.01)
  end
end

return M
