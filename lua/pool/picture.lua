--- The pool as people look at it: servers, lanes, slots, queues, and why what waits does. Plain data, made when somebody asks, from
--- records that are kept anyway. Pure.

local chores = require "core.pool.chores"
local lanes = require "core.pool.lane"
local queue = require "core.pool.queue"
local words = require "core.pool.words"

local M = {}

local CLASSES <const> = { "interactive", "normal", "batch" }

---@class stoke.pool.holder who holds a slot, as the shell knows it (lua/gate/holders.lua)
---@field task? string
---@field agent? string
---@field class? integer
---@field seconds? number since it was sent
---@field tokens? integer of the answer, so far

---@class stoke.pool.look
---@field now number
---@field most integer waiting calls of a lane that are told one by one
---@field holders table<table, stoke.pool.holder[]> by ticket, or by lane where it is counted in place
---@field task_of fun(task: stoke.task|nil): string|nil
---@field power? stoke.pool.power

local function program_of(ticket) return ticket.program and ticket.program.seq end

--- Tokens a second, as far as there is something to tell.
local function rate(tokens, seconds) return tokens and tokens > 0 and seconds and seconds >= 0.1 and tokens / seconds or nil end

-- ---- slots and queues ------------------------------------------------------------------------------------------------------

--- The calls that are out, those that have been for longest first.
local function calls_of(lane, look)
  local list, residency = {}, lane.server.residency
  local away = residency and residency:resident(lane) == false and words.loading(lane.server, look.now) ~= lane
    and (not residency.loading or residency.loading.try or residency.loading.lane ~= lane) or nil
  for ticket in next, lane.running or {} do
    local known = look.holders[ticket] and look.holders[ticket][1] or {}
    list[#list + 1] = { program = program_of(ticket), task = look.task_of(ticket.task), agent = ticket.agent,
      class = CLASSES[ticket.class], since = look.now - ticket.began, waited = ticket.began - ticket.arrived,
      parked = away, tokens = known.tokens, rate = rate(known.tokens, look.now - (ticket.streams or ticket.began)),
      reason = ticket.reason }
  end
  for _, known in ipairs(look.holders[lane] or {}) do
    list[#list + 1] = { task = known.task, agent = known.agent, class = CLASSES[known.class or 2], since = known.seconds,
      tokens = known.tokens, rate = rate(known.tokens, known.seconds) }
  end
  table.sort(list, function(a, b)
    if (a.since or 0) ~= (b.since or 0) then return (a.since or 0) > (b.since or 0) end
    return (a.program or 0) < (b.program or 0)
  end)
  return list
end

local function in_order(a, b) return queue.before(a, nil, b, nil) end

--- The waiting calls of a lane: how many, and the first. Those of a route count where it goes first.
local function queue_of(lane, look)
  local total, first, longest, by_class = 0, {}, nil, nil
  for _, group in ipairs(lane.groups or {}) do
    local q = group.queue
    if group.lanes[1] == lane and q.size > 0 then
      total = total + q.size
      for _, ticket in ipairs(q:first(look.most)) do first[#first + 1] = ticket end
      longest = math.max(longest or 0, look.now - q:oldest().arrived)
      by_class = by_class or { interactive = 0, normal = 0, batch = 0 }
      for class, name in ipairs(CLASSES) do by_class[name] = by_class[name] + q:count(class) end
    end
  end
  if lane.group and lane.group.queue.ranks then table.sort(first, in_order) end
  local list = {}
  for i = 1, math.min(#first, look.most) do
    local ticket = first[i]
    list[i] = { program = program_of(ticket), task = look.task_of(ticket.task), agent = ticket.agent, class = CLASSES[ticket.class],
      waited = look.now - ticket.arrived, reason = words.reason(ticket, look.now, look.power),
      deadline = ticket.deadline and ticket.deadline - look.now, servers = ticket.group.lanes[2] and #ticket.group.lanes or nil }
  end
  return list, total, longest, by_class
end

local function holds_of(lane, now)
  local list = {}
  for i, hold in ipairs(lane.holds or {}) do
    list[i] = { agent = hold.agent, tool = hold.tool, left = math.max(0, hold.till - now), waits = hold.ticket ~= nil or nil }
  end
  return list[1] and list or nil
end

-- ---- lanes and servers -----------------------------------------------------------------------------------------------------

local BREAKER <const> = { open = "open", trial = "trial", tender = "tender" }

local function lane_of(lane, look)
  local calls = calls_of(lane, look)
  local waiting, total, longest, by_class = queue_of(lane, look)
  local residency, facts = lane.server.residency, lane.facts
  local out = { model = lane.target and lane.target.name, served = lane.target and lane.target.served, key = lane.key,
    slots = lanes.width(lane), believed = lane.slots and not lane.slots.unknown and lane.slots.believed or nil,
    set = lane.limit and lane.target and true or nil,
    busy = lane.busy, calls = calls, waiting = total, queue = waiting, longest = longest, classes = by_class,
    held = holds_of(lane, look.now), breaker = lane.breaker and BREAKER[lane.breaker.state] }
  if out.served == out.model then out.served = nil end
  if residency then
    out.resident = residency:resident(lane)
    local verdict = lane.server.verdict
    if words.loading(lane.server, look.now) == lane then
      out.loading = look.now - residency.loading.since
    elseif not out.resident and residency.loading and residency.loading.lane == lane and not residency.loading.try then
      out.resident = true -- its first answer tells, and has not come yet
    end
    out.leaving = out.resident and verdict and verdict.lane and not verdict.may[lane] and true or nil
  end
  if facts then
    out.prefill, out.speed = facts:speeds(math.max(1, lane.busy))
    local load, known = facts:load()
    out.load_seconds = residency and residency.loads[lane.model or lane.key] or known and load or nil
  end
  if lane.asked and lane.asked > 0 then
    out.remembered, out.prompt_tokens, out.remembered_tokens = lane.remembered / lane.asked, lane.asked, lane.remembered
  end
  return out
end

--- Which model comes next on a server, and who leaves for it.
local function swap_of(server)
  local verdict = server.verdict
  if not verdict or verdict.kind == "stay" or not verdict.lane then return nil end
  local victims = {}
  for i, victim in ipairs(verdict.victims or {}) do victims[i] = victim.target and victim.target.name or victim.key end
  return { kind = verdict.kind, to = verdict.lane.target and verdict.lane.target.name or verdict.lane.key, victims = victims,
    reason = verdict.reason, seconds = verdict.price }
end

--- "loading" alone as long as it is.
local function state_of(server, now)
  local word = chores.word(server, now)
  return word == "loading" and not words.loading(server, now) and "ok" or word
end

local function server_of(server, look)
  local list, why = {}, nil
  for i, lane in ipairs(server.lanes) do
    list[i] = lane_of(lane, look)
    why = why or lane.breaker and words.shut(lane, look.now)
  end
  table.sort(list, function(a, b) return a.key < b.key end)
  local residency, target = server.residency, server.lanes[1].target
  return { name = target and target.endpoint.name, url = server.url, state = state_of(server, look.now), reason = why, lanes = list,
    swaps = residency and residency.swaps or 0, swap_seconds = residency and residency.swap_seconds or 0, swap = swap_of(server) }
end

local function power_of(power, now)
  if not power then return nil end
  local allowed, till, reason = power:allows(now, 3)
  local readings = power.readings
  return { stopped = not allowed, reason = reason, left = till and till - now or nil, temperature = readings.temperature,
    battery = readings.battery, ac = readings.ac }
end

--- All of the pool.
---@param servers table<string, stoke.pool.server> by address
---@param engine stoke.pool.engine|nil nil: nobody had to wait yet
---@param look stoke.pool.look
---@return table picture see stoke.pool
function M.of(servers, engine, look)
  look.power = engine and engine.power
  local models, others, busy, asked, kept = {}, {}, 0, 0, 0
  for _, server in next, servers do
    for _, lane in ipairs(server.lanes) do
      busy = busy + lane.busy
      asked, kept = asked + (lane.asked or 0), kept + (lane.remembered or 0)
    end
    if server.lanes[1] then
      local list = server.lanes[1].target and models or others
      list[#list + 1] = server
    end
  end
  for _, list in ipairs { models, others } do
    table.sort(list, function(a, b) return a.url < b.url end)
    for i, server in ipairs(list) do list[i] = server_of(server, look) end
  end
  for i, server in ipairs(others) do others[i] = server.lanes[1] end
  local counts = engine and engine.counts
  return { servers = models, others = others, busy = busy, waiting = engine and engine.waiting or 0,
    hits = { prefix = asked > 0 and kept / asked or nil, tokens = asked }, moved = counts and counts.moved or 0,
    shed = counts and counts.shed or 0, held = counts and counts.held or 0, power = power_of(look.power, look.now),
    order = engine and engine.settings.order or "program" }
end

return M
