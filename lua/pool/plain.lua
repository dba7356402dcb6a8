--- What is left of the pool when its engine has failed, by a bug of its own: first come, first served, and so many calls of a model
--- at once as were known. Nothing is learned, watched, kept or refused; nobody hangs. It has the face of core.pool.engine. Pure.

local fifo = require "core.pool.fifo"
local lanes = require "core.pool.lane"

local M = {}

---@class stoke.pool.plain the face of stoke.pool.engine
---@field decided stoke.pool.ticket[] granted since this was last emptied
---@field waiting integer
local Plain = {}
Plain.__index = Plain

local function nothing() end

-- What the engine does beside.
for _, name in ipairs { "began", "due", "remember", "touch", "advance", "configure", "unlearn" } do Plain[name] = nothing end

--- Programs are not told apart.
local NONE <const> = { ended = nothing }

--- It takes over from an engine.
---@param failed stoke.pool.engine
---@return stoke.pool.plain
function M.new(failed)
  return setmetatable({ order = "fifo", settings = { order = "fifo" }, seq = failed.seq, waiting = 0, decided = {}, rested = {},
    chores = {}, groups = {}, counts = failed.counts, programs = NONE, power = nil, plain = true }, Plain)
end

--- A lane has nothing but a queue. What was learned of it is left, but for its number of slots.
local function equip(lane)
  if lane.plain then return end
  local known, width = pcall(lanes.width, lane)
  lane.plain = known and math.type(width) == "integer" and width >= 1 and width or 1
  lane.slots, lane.facts, lane.cache, lane.breaker, lane.holds = nil, nil, nil, nil, nil
  lane.group, lane.running = { lanes = { lane }, queue = fifo.new() }, {}
  lane.groups = { lane.group }
  local server = lane.server
  server.residency, server.verdict, server.watch, server.due = nil, nil, nil, nil
  lanes.engage(server)
end

--- The calls for some lanes are one group.
---@param list stoke.pool.lane[]
---@return stoke.pool.group
function Plain:group(list)
  local keys = {}
  for i, lane in ipairs(list) do
    equip(lane)
    keys[i] = lane.key
  end
  if not list[2] then return list[1].group end
  local name = table.concat(keys, "\n")
  local group = self.groups[name]
  if not group then
    group = { lanes = list, queue = fifo.new(), name = name }
    self.groups[name] = group
    for _, lane in ipairs(list) do lane.groups[#lane.groups + 1] = group end
  end
  return group
end

local Ticket = { state = "waiting", class = 2, order = 0, holder = false, input = 0, open = 0 }
Ticket.__index = Ticket

--- A ticket, not yet in any queue.
---@param fields table
---@return stoke.pool.ticket
function Plain:ticket(fields) return setmetatable(fields, Ticket) end

--- Grant on a lane what has a slot there, the oldest first.
local function settle(self, lane, now)
  while lane.busy < (lane.limit or lane.plain) do
    local first
    for _, group in ipairs(lane.groups) do
      local one = group.queue:best()
      if one and (not first or fifo.before(one, nil, first)) then first = one end
    end
    if not first then return end
    first.group.queue:remove(first)
    self.waiting = self.waiting - 1
    first.state, first.lane, first.began = "granted", lane, now
    lane.busy, lane.running[first] = lane.busy + 1, true
    self.decided[#self.decided + 1] = first
  end
end

--- A call wants to go.
---@param ticket stoke.pool.ticket
---@param now number
function Plain:arrive(ticket, now)
  self.seq = self.seq + 1
  ticket.seq, ticket.arrived, ticket.plain = ticket.seq or self.seq, ticket.arrived or now, true
  local places = {}
  for i, lane in ipairs((ticket.home or ticket.group).lanes) do places[i] = lane end
  ticket.group, ticket.home, ticket.till, ticket.before, ticket.after = self:group(places), nil, nil, nil, nil
  ticket.group.queue:push(ticket)
  self.waiting = self.waiting + 1
  for _, lane in ipairs(places) do
    if ticket.state == "waiting" then settle(self, lane, now) end
  end
end

--- What there is when it takes over: lanes, the calls that are out, and those that wait.
---@param all stoke.pool.lane[]
---@param out table<table, any[]> by ticket, or by the lane where they are counted in place
---@param waiting stoke.pool.ticket[]
---@param now number
function Plain:take_over(all, out, waiting, now)
  for _, lane in ipairs(all) do
    lane.busy = 0
    equip(lane)
  end
  for slot, calls in next, out do
    local lane = slot.server and slot or slot.state == "granted" and slot.lane
    if lane then
      lane.busy = lane.busy + #calls
      if lane ~= slot then lane.running[slot] = true end
    end
  end
  table.sort(waiting, function(a, b) return a.seq < b.seq end)
  for _, ticket in ipairs(waiting) do self:arrive(ticket, now) end
end

--- Nothing is out and nobody waits: an engine may begin anew.
---@param all stoke.pool.lane[]
---@return boolean
function Plain:release(all)
  if self.waiting > 0 then return false end
  for _, lane in ipairs(all) do
    if lane.busy > 0 then return false end
  end
  for _, lane in ipairs(all) do
    lane.plain, lane.group, lane.groups, lane.running = nil, nil, nil, nil
    lane.server.engaged = false
  end
  return true
end

--- A call has ended, or is not wanted any more.
---@param ticket stoke.pool.ticket
---@param _ table
---@param now number
function Plain:done(ticket, _, now)
  if ticket.state == "waiting" then
    ticket.state = "left"
    if ticket.group.queue:remove(ticket) then self.waiting = self.waiting - 1 end
  elseif ticket.state == "granted" then
    ticket.state = "done"
    self:finished(ticket.lane, ticket, nil, now)
  end
end

--- A call on a lane has ended, of which only the lane may be known.
---@param lane stoke.pool.lane
---@param ticket stoke.pool.ticket|nil
---@param _ any
---@param now number
function Plain:finished(lane, ticket, _, now)
  equip(lane)
  if ticket then lane.running[ticket] = nil end
  lane.busy = math.max(lane.busy - 1, 0)
  settle(self, lane, now)
end

--- Lanes are kept.
---@return boolean
function Plain:forget() return false end

return M
