--- What a call would take, as far as the pool has learned: effect llm.forecast { output = tokens | nil, agent = name | nil },
--- its third argument the list of targets, and beside them input = tokens -> { { model, endpoint, seconds, queue, load, loaded,
--- prefill, decode, known, speeds = { prefill, decode }, input, output } ... }, the soonest first. It asks no server, and reads
--- what earlier processes learned.

local effect = require "core.effect"
local estimates = require "core.pool.estimate"
local lanes = require "core.pool.lane"
local memory = require "core.gate.memory"
local monotonic = require "host.time".monotonic
local pool = require "core.gate.pool"

--- Seconds until a slot is free: what runs and waits there, at the usual length.
local function queue_of(lane, usual)
  if not lane then return 0 end
  local waiting = 0
  for _, group in ipairs(lane.groups or {}) do waiting = waiting + group.queue.size end
  local slots = lanes.width(lane)
  local ahead = lane.busy + waiting - slots + 1
  return ahead > 0 and ahead / slots * usual or 0
end

--- Is its model in memory? nil: nobody knows.
local function is_loaded(lane)
  if not lane then return nil end
  local residency = lane.server.residency
  if residency then return residency:resident(lane) and true or false end
  if lane.failed or lane.breaker and not lane.breaker:quiet(monotonic()) then return nil end -- asked, and not answered
  return true -- the only one of its server that this process has asked
end

local function row_of(q, input, target)
  local lane = pool.pools[target.key]
  local facts = lane and lane.facts
  if not facts then
    local kept = memory.facts(target.key)
    facts = estimates.new(kept and type(kept.estimate) == "table" and kept.estimate or nil)
  end
  local _, prefill, decode = facts:service(input, 0, q.agent)
  local read, written = facts:speeds()
  local output = q.output
  if output then decode = output / (written or 20) else output = math.floor(decode * (written or 20) + 0.5) end
  local loaded, load, load_known = is_loaded(lane), facts:load()
  local queue = queue_of(lane, facts:mean() or prefill + decode)
  return { model = target.served, endpoint = target.endpoint.name, known = facts:mean() ~= nil, queue = queue, prefill = prefill,
    decode = decode, load = load, load_known = load_known, loaded = loaded, input = input, output = output,
    speeds = { prefill = read, decode = written }, seconds = queue + prefill + decode + (loaded == false and load or 0) }
end

effect.define("llm.forecast", { taped = true, class = "pure", quiet = true, run = function(q, _, targets)
  pool.learn()
  local err = memory.wait()
  if err then return nil, err end
  local rows = {}
  for i, target in ipairs(targets) do rows[i] = row_of(q, targets.input, target) end
  table.sort(rows, function(a, b)
    if a.known ~= b.known then return a.known end
    if a.seconds ~= b.seconds then return a.seconds < b.seconds end
    return a.endpoint < b.endpoint
  end)
  return rows
end })
