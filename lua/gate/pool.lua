--- The pool gate: who may call which model, and when. This file is what every process needs: it counts calls in place while nobody
--- has to wait and one model of a server is in use. All else is decided by the engine (lua/pool/), through lua/gate/turns.lua,
--- which is loaded by the first call that does not fit.
---
--- A slot that a call holds is a lane (counted in place) or a ticket of the engine; both go back through M.release. Where a lane is
--- open (lua/pool/lane.lua), lua/effect.lua counts itself in and out without a call of this file.

local monotonic = require "host.time".monotonic
local lanes = require "core.pool.lane"

local M = {}

--- By key. An idle one is kept for the next call while there are few. For who takes a slot in place.
---@type table<string, stoke.pool.lane>
M.pools = {}
local pools, count, KEPT = M.pools, 0, 64

--- By address.
---@type table<string, stoke.pool.server>
M.servers = {}
local servers = M.servers

--- What the settings say: { order, slots, per_model, bounds, hold, hedge, power }, and nothing where they say nothing.
---@type table
M.settings = {}

--- What reads the sensors, for limits of power: fun() -> { temperature?, battery?, ac? }; set by stoke.config.sensors.
---@type (fun(): table)|nil
M.sensors = nil

--- Calls of one model at once where the settings name a number; nil: it is learned. (pool.per_model)
M.default_width = nil

--- Do calls that meet no others teach what calls take, too? (M.learn)
M.learning = false

--- The file of the store that the settings name (lua/gate/memory.lua); nil: the user's own.
---@type string|nil
M.store = nil

local turns -- lua/gate/turns.lua, once somebody had to wait

local function contended()
  if not turns then turns = require "core.gate.turns" end
  return turns
end

--- Calls at once that somebody has set for a lane.
local function limit_of(lane)
  local target = lane.target
  if not target then return M.default_width or lanes.PLAIN end
  local slots = M.settings.slots
  if type(slots) ~= "table" then return slots or M.default_width end
  local name = target.name or ""
  return slots[name .. "@" .. target.endpoint.name] or slots[name] or M.default_width
end

--- While there are too many lanes, what goes idle is forgotten: its calls come here.
local function reopen(lane)
  lanes.reopen(lane)
  if count > KEPT or M.settings.power or M.learning then lane.open = 0 end
end

local function new_lane(key, target)
  local url = target and target.endpoint.url or key
  local server = servers[url]
  if not server then
    server = lanes.server(url)
    servers[url] = server
  end
  local lane = lanes.new(key, server, target)
  lane.limit = limit_of(lane)
  pools[key], count = lane, count + 1
  return lane
end

--- Forget an idle lane, where there are too many.
local function tidy(lane)
  if count <= KEPT or lane.busy > 0 or pools[lane.key] ~= lane then return end
  if turns and not turns.forget(lane) then return end
  local server = lane.server
  lanes.remove(lane)
  pools[lane.key], count = nil, count - 1
  if not server.lanes[1] then servers[server.url] = nil end
end

--- The lane of a key.
---@param key string
---@param target? stoke.target nil for what is no model
---@return stoke.pool.lane
function M.lane(key, target)
  return pools[key] or new_lane(key, target)
end

--- From now on all calls teach what calls take, also those that meet no others: somebody asks how long one would take.
---
--- Example: `pool.learn()`
function M.learn()
  if M.learning then return end
  M.learning = true
  for _, lane in next, pools do lane.open = 0 end
end

--- Put what the settings say of the pool in force.
---@param settings { order?: "program"|"fifo", slots?: integer|table<string, integer>, per_model?: integer, bounds?: table,
---  hold?: boolean, hedge?: boolean, power?: table }
function M.configure(settings)
  M.settings, M.default_width = settings, settings.per_model
  if turns then turns.configure(settings) end
  for _, lane in next, pools do
    lane.limit = limit_of(lane)
    local server = lane.server
    if server.current == lane and not server.engaged then reopen(lane) end
  end
end

--- So many calls of one model at once; nil: it is learned.
---@param width integer|nil
function M.set_default(width)
  local settings = {}
  for name, value in next, M.settings do settings[name] = value end
  settings.per_model = width
  M.configure(settings)
end

--- Wait for a slot.
---@param call table of lua/effect.lua; call.target was set by the effect's `pool`
---@param key string|nil as the effect's `pool` named it
---@param width integer|nil
---@return stoke.pool.lane|stoke.pool.ticket|nil slot nil: the call needs none
---@return stoke.error|nil err kind `cancelled`, `overloaded`
function M.acquire(call, key, width)
  if not key then return nil end
  local work = call.work
  if call.target and type(work) == "table" and work[2] then return contended().route(call, work) end
  local lane = pools[key] or new_lane(key, call.target)
  local server = lane.server
  lane.limit = width or limit_of(lane)
  if not server.engaged and not M.settings.power and not M.learning then
    local current = server.current
    if current ~= lane and (not current or current.busy == 0) then current = lane end
    if current == lane and lane.busy < lanes.width(lane) then
      lane.busy = lane.busy + 1
      reopen(lane)
      return lane
    end
  end
  return contended().wait(call, lane)
end

--- The answer to a call has begun.
---@param ticket stoke.pool.ticket
function M.began(ticket) turns.began(ticket) end

--- Failures in a row that lanes have while nobody watches: with this one the engine begins to.
local WATCHED <const> = 3

--- Does an error say something of the server?
local function tells(err)
  return err and err.kind ~= "cancelled" and (not err.status or err.status >= 500 or err.status == 429)
end

--- Give a slot back, with what came of the call, as the driver gave it.
---@param slot stoke.pool.lane|stoke.pool.ticket
---@param value any
---@param err stoke.error|nil
function M.release(slot, value, err)
  local server = slot.server
  if not server then
    turns.done(slot, value, err)
    if count > KEPT and slot.lane then tidy(slot.lane) end
    return
  end
  local failed = slot.target and tells(err)
  if server.engaged or failed and (slot.failed or 0) + 1 >= WATCHED then return contended().counted(slot, value, err) end
  if failed then
    slot.failed, slot.last_error = (slot.failed or 0) + 1, err
  elseif not err then
    slot.failed, slot.last_error = nil, nil
  end
  slot.busy = slot.busy - 1
  if server.current == slot then reopen(slot) end
  tidy(slot)
end

--- A server needs no engine any more.
---@param server stoke.pool.server
function M.rested(server)
  for i = #server.lanes, 1, -1 do tidy(server.lanes[i]) end
  local current = server.current
  if current and (count > KEPT or M.learning) then current.open = 0 end
end

--- A call that waits has another class or deadline now.
---@param slot stoke.pool.lane|stoke.pool.ticket what the call holds
---@param class 1|2|3
---@param deadline? number
function M.renew(slot, class, deadline)
  if slot.state == "waiting" then turns.renew(slot, class, deadline) end
end

--- What runs and waits: { key, busy, waiting }, sorted by key.
function M.list()
  local out = {}
  for key, lane in next, pools do
    local waiting = turns and turns.waiting(lane) or 0
    if lane.busy > 0 or waiting > 0 then out[#out + 1] = { key = key, busy = lane.busy, waiting = waiting } end
  end
  table.sort(out, function(a, b) return a.key < b.key end)
  return out
end

--- All that is known of the pool: its servers, lanes, slots, queues.
---@param most? integer waiting calls of a lane that are told one by one; 10 when not given
---@param numbers? boolean who holds the slots is not looked for: that walks all tasks
---@return table see stoke.pool
function M.state(most, numbers)
  local holders, picture = require "core.gate.holders", require "core.pool.picture"
  local look = { now = monotonic(), most = most or 10, holders = numbers and {} or holders.find(), task_of = holders.name }
  local state = picture.of(M.servers, turns and turns.engine(), look)
  local hedge = package.loaded["core.gate.hedge"]
  state.hedges, state.hedges_won = hedge and hedge.counts.hedged or 0, hedge and hedge.counts.won or 0
  state.programs = turns and turns.programs() or 0
  return state
end

--- Calls that had to wait or to choose, and were not traced: { calls, failed, input_tokens, output_tokens }; nil: none.
function M.untraced() return turns and turns.untraced end

--- Forget what was learned, so that a test does not depend on the one before. Calls that are out stay counted.
function M.forget()
  M.learning = false
  if turns then turns.forget_all() end
  for _, lane in next, pools do lane.failed = nil end
  for _, server in next, servers do
    if server.current and not server.engaged then reopen(server.current) end
  end
end

return M
