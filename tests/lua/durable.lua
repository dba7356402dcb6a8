-- Scripts whose runs are durable, as child processes that are killed.

local about = require "core.about"
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"
local stoke = require "stoke"
local stores = require "core.store"

local M = {}

---@class test.durable
---@field folder string
local Case = {}
Case.__index = Case

-- A script in a folder of the test, and the store beside it.
function M.new(t, source)
  local case = setmetatable({ folder = t.tmp(), shown = {}, told = {}, kills = 0 }, Case)
  case:write(source)
  return case
end

function Case:write(source, name) fs.write(self.folder .. "/" .. (name or "main.lua"), source) end

local function start(case, flags, words)
  local argv = { about.executable(), "run" }
  table.move(flags, 1, #flags, #argv + 1, argv)
  argv[#argv + 1] = "main.lua"
  table.move(words or {}, 1, #(words or {}), #argv + 1, argv)
  return proc.spawn { argv = argv, cwd = case.folder, env_allow = { "PATH", "STOKE_PATH", "HOME" }, stderr = "capture" }
end

local function read_all(p, from, case)
  local text = ""
  for bytes in function() return p:read(nil, from) end do
    text = text .. bytes
    if case then case.so_far = text end
  end
  return text
end

-- The moment at which it has printed this.
function M.shows(text)
  return function(case)
    while not (case.so_far or ""):find(text, 1, true) do stoke.sleep(0.005) end
  end
end

-- The moment at which a file is in its folder.
function M.file(name)
  return function(case)
    while not fs.stat(case.folder .. "/" .. name) do stoke.sleep(0.005) end
  end
end

-- Run it, and kill it after so many seconds, or at a moment, unless it has ended by then. What it printed is added to `shown`.
---@param moment? number|fun(case: table)
---@return table status
---@return string stdout
---@return string stderr
function Case:run(id, words, moment, ...)
  self.so_far = nil
  local flags = id and { "--durable=" .. id, ... } or { ... }
  local p <close> = start(self, flags, words)
  self.last = p
  local scope <close> = stoke.scope {}
  local out, err
  scope:spawn(function() out = read_all(p, "stdout", self) end)
  scope:spawn(function() err = read_all(p, "stderr") end)
  local killer = moment and scope:spawn(function()
    if type(moment) == "number" then stoke.sleep(moment) else moment(self) end
    p:kill "SIGKILL"
  end)
  local status = p:wait()
  if killer then killer:cancel() end
  while not (out and err) do stoke.sleep(0.001) end
  if status.signal == "SIGKILL" then self.kills = self.kills + 1 end
  self.shown[#self.shown + 1], self.told[#self.told + 1] = out, err
  return status, out, err
end

-- What its run returned, as it is kept.
function Case:result(id)
  local store = assert(stores.open(self.folder .. "/.stoke/state.db"))
  local run = store:find(id)
  store:close()
  return run.result
end

-- Kill it at random moments until it ends by itself.
function Case:survive(id, words, longest, random)
  for life = 1, 400 do
    local status, _, err = self:run(id, words, random() * longest * (1 + life / 20))
    if status.signal ~= "SIGKILL" then return status, table.concat(self.shown), err end
  end
  error "it never ends"
end

-- An HTTP server that counts what is done: by the key of each request.
function M.witness()
  local witness = { keys = {}, asked = {}, count = 0 }
  witness.server = http.serve { port = 0, handler = function(req, res)
    local key = req.headers["idempotency-key"] or req.path
    witness.asked[req.path] = witness.asked[req.path] or {}
    witness.asked[req.path][key] = true
    if not witness.keys[key] then
      witness.count = witness.count + 1
      witness.keys[key] = ("%s done"):format(req.path)
    end
    res:reply(200, {}, witness.keys[key])
  end }
  witness.url = witness.server.url
  return setmetatable(witness, { __close = function() witness.server:close() end })
end

return M
