--- People who think at the same moment ask their models together. Each first remembers and looks up in its own memory; the first
--- who is done would have its model loaded although others are about to ask for those that are loaded. So they wait for each other,
--- and the calls for loaded models go first: then models change places as seldom as can be.

local pools = require "stoke.model.pool"
local schedules = require "core.schedule"
local tasks = require "core.task"

local M = {}

--- Seconds that one waits for the others at most: looking up takes milliseconds.
local LONGEST <const> = 1

---@class stoke.person.round
---@field private preparing integer who has begun and does not ask yet
---@field private waiting { task: table, model: string, n: integer }[]
local Round = {}
Round.__index = Round

---@class stoke.person.seat
---@field private round stoke.person.round
---@field private open boolean
local Seat = {}
Seat.__index = Seat

--- A round of people.
---@return stoke.person.round
---
--- Example: `self.round = round.new()`
function M.new() return setmetatable({ preparing = 0, waiting = {} }, Round) end

--- Models that are loaded on some server.
local function loaded()
  local set = {}
  for _, server in ipairs(pools.state({ waiting = 0 }).servers) do
    for _, lane in ipairs(server.lanes) do
      if lane.resident then set[lane.model] = true end
    end
  end
  return set
end

--- All are ready. Those go first whose models are loaded, then model by model, each in the order in which they came.
local function release(self)
  local list, several = self.waiting, false
  self.waiting = {}
  for i, one in ipairs(list) do
    one.n, several = i, several or one.model ~= list[1].model
  end
  local there = several and loaded()
  if there then
    table.sort(list, function(a, b)
      if a.model == b.model then return a.n < b.n end
      if (there[a.model] == nil) ~= (there[b.model] == nil) then return there[a.model] ~= nil end
      return a.model < b.model
    end)
  end
  for _, one in ipairs(list) do tasks.wake(one.task) end
end

--- Somebody begins to think. In a durable run nobody waits for the others: when the last one is ready is no part of the run.
---@return stoke.person.seat seat to be closed
---
--- Example: `local seat <close> = round:enter()`
function Round:enter()
  if schedules.any and schedules.own() then return setmetatable({ round = self, open = false }, Seat) end
  self.preparing = self.preparing + 1
  return setmetatable({ round = self, open = true }, Seat)
end

local function prepared(seat)
  if not seat.open then return end
  seat.open = false
  local round = seat.round
  round.preparing = round.preparing - 1
  if round.preparing > 0 or not round.waiting[1] then return end
  tasks.spawn(function() -- once the last one waits as well, or it would be the first
    if round.preparing == 0 then release(round) end
  end, { system = true, name = "person.round" })
end

--- It is ready to ask a model: wait until the others are.
---@param model string
---
--- Example: `seat:ready "qwen2.5:3b"`
function Seat:ready(model)
  if not self.open then return end
  local one = { task = tasks.current(), model = model }
  table.insert(self.round.waiting, one)
  prepared(self)
  tasks.park("person.round", LONGEST)
end

Seat.__close = prepared

return M
