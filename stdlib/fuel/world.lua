--- The servers of a world: simulators in memory, and what happens to them as time goes by. What they are like (slots, speeds,
--- loads, faults) is known here and to nobody who is measured.

local sim = require "stoke.sim"
local stoke = require "stoke"

local M = {}

---@class stoke.fuel.event
---@field at number seconds after the beginning
---@field server integer which one
---@field kill? boolean its connections break off, and nobody answers at its address
---@field start? table it is there again, with these settings put over its own ({} = none)
---@field pace? number how fast it works: 0 = wedged (its tags and ps are answered still), 0.1 = ten times slower, 1
---@field fault? string|false one of the simulator's, for all that comes from now on

---@class stoke.fuel.world
---@field urls string[] of the servers
---@field sims stoke.sim[] those that run, or ran last
---@field down boolean[]
local World = {}
World.__index = World

local count = 0

--- The counters of a simulator, added to what the ones before it at this address counted.
local function add(sum, simulated)
  local now = simulated.clock()
  simulated.scheduler:advance(now)
  for _, pair in ipairs(simulated.ledger:report(now)) do
    if type(pair[2]) == "number" then
      local most = pair[1] == "streams_max"
      sum[pair[1]] = most and math.max(sum[pair[1]] or 0, pair[2]) or (sum[pair[1]] or 0) + pair[2]
    else
      for _, model in ipairs(pair[2]) do
        for _, field in ipairs(model[2]) do
          if field[1]:find "prompt_tokens" or field[1]:find "cached" then
            sum[field[1]] = (sum[field[1]] or 0) + field[2]
          end
        end
      end
    end
  end
  return sum
end

local function start(self, i, over)
  local options = { mem = self.names[i], script = self.script, seed = self.seed + i }
  for name, value in next, self.settings[i] do options[name] = value end
  for name, value in next, over or {} do options[name] = value end
  local server = sim.serve(options)
  self.servers[i], self.sims[i], self.down[i] = server, server.sim, false
  self.urls[i] = server.url
end

local function kill(self, i)
  if self.down[i] then return end
  self.down[i] = true
  local simulated = self.sims[i]
  simulated.scheduler:advance(simulated.clock())
  simulated.scheduler:crash()
  stoke.sleep(0) -- so that the handlers cut their connections off, as those of a dead process are
  self.servers[i]:close()
  add(self.counted, simulated)
end

local function happen(self, event)
  local i = event.server
  if event.kill then return kill(self, i) end
  if event.start then
    if self.down[i] then start(self, i, event.start) end
    return
  end
  if self.down[i] then return end
  if event.pace then self.sims[i]:pace(event.pace) end
  if event.fault ~= nil then self.sims[i].fault = event.fault or nil end
end

--- Open a world.
---@param o { servers: table[], script: function, seed: integer } `servers`: settings of stoke.sim
---@return stoke.fuel.world world may be a `<close>` variable
---
--- Example: `local world <close> = world.open { servers = { { models = { "small" } } }, script = script, seed = 1 }`
function M.open(o)
  count = count + 1
  local self = setmetatable({ settings = o.servers, script = o.script, seed = o.seed, names = {}, urls = {}, servers = {},
    sims = {}, down = {}, counted = {} }, World)
  for i = 1, #o.servers do
    self.names[i] = ("fuel%d-%d"):format(count, i)
    start(self, i)
  end
  return self
end

--- Let happen what is to happen.
---@param scope stoke.scope
---@param events stoke.fuel.event[]
---
--- Example: `world:play(scope, { { at = 5, server = 1, kill = true } })`
function World:play(scope, events)
  for _, event in ipairs(events) do
    scope:spawn(function()
      stoke.sleep(event.at)
      happen(self, event)
    end)
  end
end

--- What the servers counted: requests, loads, swaps, tokens, prompt_tokens, cached_tokens, slot_seconds, streams_max ...
---@return table<string, number>
---
--- Example: `print(world:counts().loads)`
function World:counts()
  local sum = {}
  for name, value in next, self.counted do sum[name] = value end
  for i, simulated in ipairs(self.sims) do
    if not self.down[i] then add(sum, simulated) end
  end
  return sum
end

--- Calls that are at the servers now.
---@return integer
---
--- Example: `local out = world:in_flight()`
function World:in_flight()
  local n = 0
  for i, simulated in ipairs(self.sims) do
    if not self.down[i] then n = n + simulated.ledger.streams_open end
  end
  return n
end

--- Stop the servers.
function World:close()
  for i, server in ipairs(self.servers) do
    if not self.down[i] then server:close() end
  end
end

World.__close = World.close

-- ---- a server that is really there --------------------------------------------------------------------------------------------

local Outside = {}
Outside.__index = Outside

--- A world that is one real server: nothing can be made to happen there, and what it does is known from its replies.
---@param url string
---@return table world with the face of stoke.fuel.world
---
--- Example: `local world <close> = world.outside "http://127.0.0.1:11434"`
function M.outside(url) return setmetatable({ urls = { url }, replies = {} }, Outside) end

--- A reply of a call: when it was in its slot.
---@param model string
---@param reply table as /api/chat gives it
---@param now number
---
--- Example: `world:note("qwen2.5:3b", reply, time.monotonic())`
function Outside:note(model, reply, now)
  local service = ((reply.prompt_eval_duration or 0) + (reply.eval_duration or 0)) / 1e9
  self.replies[#self.replies + 1] = { model = model, began = now - service }
end

--- How often another model was at work than before.
---@return { changes: integer }
---
--- Example: `print(world:counts().changes)`
function Outside:counts()
  local changes, last = 0, nil
  table.sort(self.replies, function(a, b) return a.began < b.began end)
  for _, reply in ipairs(self.replies) do
    if last and reply.model ~= last then changes = changes + 1 end
    last = reply.model
  end
  return { changes = changes }
end

--- Nothing is planned.
---
--- Example: `world:play()`
function Outside:play() end -- luacheck: ignore 212

--- Nobody knows.
---@return integer
---
--- Example: `local out = world:in_flight()`
function Outside:in_flight() return 0 end -- luacheck: ignore 212

Outside.__close = function() end

return M
