--- What makes a host visible among NATS' services: it answers $SRV.PING, $SRV.INFO and $SRV.STATS, as the service protocol has it,
--- so that `nats micro ls` lists every host of a farm.

local about = require "core.about"
local json = require "core.json"
local tasks = require "core.task"
local time = require "host.time"

local M = {}

local KINDS = { PING = "ping", INFO = "info", STATS = "stats" }

---@class core.engine.service
local Service = {}
Service.__index = Service

local function answer(self, kind)
  local said = { type = ("io.nats.micro.v1.%s_response"):format(kind), name = "stoke", id = self.id, version = about.version,
    metadata = self.metadata }
  if kind == "info" then
    said.description, said.endpoints = "a host of stoke: it takes work from queues", json.array {}
  elseif kind == "stats" then
    said.started, said.endpoints = self.started, json.array {}
  end
  return json.encode(said)
end

--- Is a request for us: $SRV.KIND, $SRV.KIND.stoke or $SRV.KIND.stoke.ID?
local function kind_of(self, subject)
  local kind, name, id = subject:match "^%$SRV%.(%u+)%.?([^.]*)%.?([^.]*)$"
  if not KINDS[kind] or (name ~= "" and name ~= "stoke") or (id ~= "" and id ~= self.id) then return nil end
  return KINDS[kind]
end

local function serve(self)
  while not self.over do
    local list = self.sub:take(100, 60)
    if not list then return end
    for _, m in ipairs(list) do
      local kind = m.reply and kind_of(self, m.subject)
      if kind then self.jet.conn:send { { m.reply, answer(self, kind) } } end
    end
  end
end

--- Answer from now on.
---@param jet core.engine.jet
---@param id string of this host
---@return core.engine.service
function M.start(jet, id)
  local self = setmetatable({ jet = jet, id = id, started = os.date("!%Y-%m-%dT%H:%M:%SZ", math.floor(time.wall())),
    metadata = { pid = tostring(about.pid and about.pid() or "") } }, Service)
  self.sub = jet.conn:subscribe("$SRV.>", nil, 1000)
  if self.sub then tasks.spawn(serve, { system = true, name = "queue" }, self) end
  return self
end

function Service:stop()
  self.over = true
  if self.sub then self.sub:close() end
end

return M
