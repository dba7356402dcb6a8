--- What the pool's engine wants to have done in the world: look which models a server holds, ask it for one token, let a model go,
--- read the sensors. Each in a task of the host's, one of a kind for each server at a time; what came of it goes back to the engine.
--- How a server is asked is its dialect's: look, loaded, probe, unload (see lua/driver/llm.lua). One that has none of these is not
--- asked: it counts as answering.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local effect = require "core.effect"
local gate = require "core.gate.pool"
local tasks = require "core.task"

local M = {}

--- Seconds that a look, an unload and the trial of a lane may take.
M.look, M.unload, M.trial = 2, 5, 60

--- A dialect's request about a target, sent now.
local function ask(target, name, seconds)
  local make = target and target.dialect[name]
  if not make then return nil end
  return effect.perform("llm.admin", make(target, seconds), { target })
end

local function target_of(server)
  for _, lane in ipairs(server.lanes) do
    if lane.target then return lane.target end
  end
end

--- Is an error an answer? The server has read the request and said something of it.
local function answers(err)
  local status = err and rawget(err, "status")
  return not err or status ~= nil and status < 500
end

local errands = {}

function errands.look(state, about)
  local server = about.server
  local target = target_of(server)
  local value = ask(target, "look", M.look)
  server.looking = nil
  local list = value and target.dialect.loaded(value)
  if server.residency then server.residency:seen(list, monotonic()) end
  state:touch(server)
end

function errands.unload(state, about)
  for _, lane in ipairs(about.lanes) do ask(lane.target, "unload", M.unload) end
  state:touch(about.server)
end

function errands.probe(state, about)
  local target = about.lane and about.lane.target
  if target and target.dialect.probe then
    local _, err = ask(target, "probe", about.seconds)
    about.server.watch:probed(monotonic(), err == nil or rawget(err, "status") ~= nil)
  else
    about.server.watch:probed(monotonic(), true)
  end
  state:touch(about.server)
end

function errands.trial(state, about)
  local lane = about.lane
  local err = nil
  if lane.target.dialect.probe then
    local _, failed = ask(lane.target, "probe", M.trial)
    err = not answers(failed) and failed or nil
  end
  if lane.breaker then lane.breaker:done(err, monotonic()) end
  state:touch(lane.server)
end

--- Do what the engine asks for.
---@param state stoke.pool.engine
---@param asks stoke.pool.ask[]
---@param tell fun() called when something has come of one
function M.run(state, asks, tell)
  for _, about in ipairs(asks) do
    tasks.spawn(function()
      errands[about.what](state, about)
      state:advance(monotonic())
      tell()
    end, { system = true, name = "pool " .. about.what })
  end
end

-- ---- power --------------------------------------------------------------------------------------------------------------------

local reading

--- Read the sensors as long as somebody waits: a task that ends by itself.
---@param state stoke.pool.engine
---@param tell fun()
function M.read_sensors(state, tell)
  local power = state.power
  if reading or not power or not gate.sensors then return end
  reading = tasks.spawn(function()
    repeat
      local now = monotonic()
      if not power.at or now >= power:due() then
        power:read(gate.sensors(), monotonic())
        state:touch_all()
        state:advance(monotonic())
        tell()
      end
      if not state:busy() then break end
      host.park("pool power", math.max(power:due() - monotonic(), 0.01))
    until power ~= state.power
    reading = nil
  end, { system = true, name = "pool power" })
end

return M
