--- What the pool's engine wants to have done in the world: look which models a server holds, ask it for one token, let a model
--- go, read the sensors. Each is a task of the host's; what came of it goes back to the engine. How a server is asked is its
--- dialect's, `pooling` (see lua/driver/llm.lua). One whose dialect has none is not asked, and counts as answering.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local effect = require "core.effect"
local gate = require "core.gate.pool"
local tasks = require "core.task"

local M = {}

--- Seconds that a look, an unload and the trial of a lane may take.
M.look, M.unload, M.trial = 2, 5, 60

--- How a target's dialect asks; nil: it does not.
local function way(target)
  local pooling = target and target.dialect.pooling
  return pooling and pooling()
end

--- Send a request about a target now.
local function ask(target, name, seconds)
  return effect.perform("llm.admin", way(target)[name](target, seconds), { target })
end

local function target_of(server)
  for _, lane in ipairs(server.lanes) do
    if lane.target then return lane.target end
  end
end

local chores = {}

function chores.look(state, about)
  local server = about.server
  local target = target_of(server)
  local how = way(target)
  local value = how and ask(target, "look", M.look)
  local list = value and how.loaded(value)
  server.looking = nil
  if server.residency then
    if list then server.residency:seen(list, monotonic()) else server.residency:unseen(monotonic()) end
  end
  state:touch(server)
end

function chores.unload(state, about)
  for _, lane in ipairs(about.lanes) do
    local how = way(lane.target)
    if how and how.unload then ask(lane.target, "unload", M.unload) end
  end
  state:touch(about.server)
end

function chores.probe(state, about)
  local target, watch = about.lane and about.lane.target, about.server.watch
  if way(target) then
    local _, err = ask(target, "probe", about.seconds)
    watch:probed(monotonic(), err == nil or rawget(err, "status") ~= nil)
  else
    watch:probed(monotonic(), true)
  end
  state:touch(about.server)
end

function chores.trial(state, about)
  local lane = about.lane
  local err = nil
  if way(lane.target) then
    local load = lane.facts and lane.facts:load() or 0 -- it may have to be loaded first, and a load that is left is lost
    local _, failed = ask(lane.target, "probe", math.max(M.trial, 3 * load))
    err = failed
  end
  if lane.breaker then lane.breaker:done(err, monotonic()) end
  if lane.server.residency and not err then lane.server.residency:away() end
  state:touch(lane.server)
end

--- Do what the engine list for.
---@param state stoke.pool.engine
---@param list stoke.pool.chore[]
---@param tell fun() called when something has come of one
function M.run(state, list, tell)
  for _, about in ipairs(list) do
    tasks.spawn(function()
      chores[about.what](state, about)
      state:advance(monotonic())
      tell()
    end, { system = true, name = "pool " .. about.what })
  end
end

-- ---- power --------------------------------------------------------------------------------------------------------------------

local reading -- the limits for which a task reads the sensors

local function nothing() return {} end

--- Read the sensors as long as somebody waits: a task that ends by itself.
---@param state stoke.pool.engine
---@param tell fun()
function M.read_sensors(state, tell)
  local power = state.power
  if not power or reading == power or not power.senses or (power.at and monotonic() < power:due()) then return end
  reading = power -- a task for limits that are not in force any more ends by itself
  tasks.spawn(function()
    repeat
      local now = monotonic()
      if not power.at or now >= power:due() then
        local ok, readings = pcall(gate.sensors or nothing)
        power:read(ok and type(readings) == "table" and readings or {}, monotonic())
        state:touch()
        state:advance(monotonic())
        tell()
      end
      if state.waiting == 0 then break end -- who waits next has them read again
      host.park("pool power", math.max(power:due() - monotonic(), 0.01))
    until power ~= state.power
    if reading == power then reading = nil end
  end, { system = true, name = "pool power" })
end

return M
