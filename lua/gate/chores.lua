--- What the pool's engine wants to have done in the world: look which models a server holds, ask it for one token, let a model
--- go, read the sensors. Each is a task of the host's; what came of it goes back to the engine. How a server is asked is its
--- dialect's, `pooling` (see lua/driver/llm.lua). One whose dialect has none is not asked, and counts as answering.

local host = require "host.task"
local monotonic = require "host.time".monotonic
local effect = require "core.effect"
local errors = require "core.errors"
local gate = require "core.gate.pool"
local holders = require "core.gate.holders"
local notice = require "core.gate.notice"
local rescue = require "core.gate.rescue"
local taught = require "core.pool.taught"
local tasks = require "core.task"

local M = {}

--- Hook: the engine has failed in a chore. Set by lua/gate/turns.lua.
---@type fun(err: stoke.error)
M.fail = nil

--- A dialect may be a script's own: a bug of its functions costs their answer, and is told once.
---@param target stoke.target
---@param err stoke.error
function M.tell_dialect(target, err)
  local name = tostring(target.dialect.name)
  notice.tell("dialect " .. name, "error", ("a bug in the dialect %s of model servers"):format(name),
    { error = err.message, traceback = rawget(err, "traceback") })
end

--- What a function of a dialect says; nothing where it has failed.
local function said(target, f, ...)
  local ok, value = xpcall(f, errors.handler, ...)
  if ok then return value end
  M.tell_dialect(target, value)
end

--- Seconds that a look, an unload and the trial of a lane may take.
M.look, M.unload, M.trial = 2, 5, 60

--- How a target's dialect asks; nil: it does not.
local function way(target)
  local pooling = target and target.dialect.pooling
  return pooling and said(target, pooling)
end

--- Send a request about a target now.
local function ask(target, name, seconds)
  local how = way(target)
  local q = how and said(target, how[name], target, seconds)
  if not q then return nil, errors.new("script", "its dialect does not say how to ask") end
  return effect.perform("llm.admin", q, { target })
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
  local list = value and said(target, how.loaded, value)
  server.looking = nil
  if server.residency then
    if list then server.residency:seen(list, monotonic()) else server.residency:unseen(monotonic()) end
  end
  state:touch(server)
end

--- about.told hears of the version.
function chores.version(_, about)
  local target = target_of(about.server)
  local how = way(target)
  if not how or not how.version then return end
  local value = ask(target, "version", M.look)
  local version = value and said(target, how.told_version, value)
  if version then about.told(version) end
end

function chores.unload(state, about)
  for _, lane in ipairs(about.lanes) do
    local how = way(lane.target)
    if how and how.unload then ask(lane.target, "unload", M.unload) end
  end
  about.done = true
  for _, task in ipairs(about.tasks or {}) do tasks.wake(task) end
  state:touch(about.server)
end

--- Tokens that have come of the answers that a server streams now.
local function streamed(server)
  local found, sum = holders.find(), 0
  local function add(slot)
    for _, holder in ipairs(found[slot] or {}) do sum = sum + (holder.tokens or 0) end
  end
  for _, lane in ipairs(server.lanes) do
    add(lane)
    for ticket in next, lane.running or {} do add(ticket) end
  end
  return sum
end

local function calls(n, one, many) return ("%d %s"):format(n, n == 1 and "call " .. one or "calls " .. many) end

--- A server that was found wedged is told to people where calls wait for it alone, or have left it; and when it answers again.
local function tell_wedged(server, watch, target, moved)
  local key, waiting = "wedged " .. server.url, 0
  if watch.was == "well" then notice.over(key) end -- a call was answered meanwhile
  if watch.state ~= "sick" then return notice.over(key, ("%s answers again"):format(target.endpoint.name)) end
  for _, lane in ipairs(server.lanes) do waiting = waiting + (lane.group and lane.group.queue.size or 0) end
  if waiting + moved == 0 then return end
  local what = waiting > 0 and calls(waiting, "waits", "wait") or ""
  if moved > 0 then what = (what ~= "" and what .. ", " or "") .. calls(moved, "is", "are") .. " asked for elsewhere" end
  notice.tell(key, "warn", ("%s takes calls and answers none, not even one for a single token; %s, and it is asked again. " ..
    "Restart that server: its lists may look healthy"):format(target.endpoint.name, what))
end

function chores.probe(state, about)
  local target, watch = about.lane and about.lane.target, about.server.watch
  if way(target) then
    local before = streamed(about.server)
    local _, err = ask(target, "probe", about.seconds)
    -- where long streams have all its slots the probe waits behind them: what has come of these meanwhile is an answer, too
    watch:probed(monotonic(), not err or rawget(err, "status") ~= nil or streamed(about.server) > before)
    tell_wedged(about.server, watch, target, watch.state == "sick" and rescue.calls(about.server) or 0)
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
  local back = not err and lane.breaker and lane.breaker:was_away()
  if lane.breaker then lane.breaker:done(err, monotonic()) end
  if lane.server.residency and not err then lane.server.residency:away() end
  if back then taught.back(lane.server, monotonic()) end
  state:touch(lane.server)
end

--- Do what the engine list for.
---@param state stoke.pool.engine
---@param list stoke.pool.chore[]
---@param tell fun() called when something has come of one
function M.run(state, list, tell)
  for _, about in ipairs(list) do
    tasks.spawn(function()
      local ok, err = xpcall(function()
        chores[about.what](state, about)
        state:advance(monotonic())
      end, errors.handler)
      if not ok then M.fail(err) end
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
        local fine, err = xpcall(function()
          power:read(ok and type(readings) == "table" and readings or {}, monotonic())
          state:touch()
          state:advance(monotonic())
        end, errors.handler)
        if not fine then M.fail(err) end
        tell()
      end
      if state.waiting == 0 then break end -- who waits next has them read again
      host.park("pool power", math.max(power:due() - monotonic(), 0.01))
    until power ~= state.power
    if reading == power then reading = nil end
  end, { system = true, name = "pool power" })
end

return M
