--- The waiting calls of one group, and who of them goes next. It takes tickets and the time, and decides: no task, no clock.
---
--- The order, each rule among the equals of the one before:
--- 1. overdue: who has waited longer than the bound of its class, the oldest first, whatever its class. At most one grant in four
---    is such a one, so that old batch work never becomes first-come-first-served in front of people;
--- 2. class: interactive, normal, batch;
--- 3. holders: somebody waits for this one;
--- 4. urgent: its deadline can still be met, but not for long; the least slack first;
--- 5. program order: the smaller `order` (core.pool.order);
--- 6. arrival.
--- A conversation whose context a free slot holds (`favoured`) goes before its equals of rule 3 that are not urgent, unless less is
--- left of their programs (a smaller level), and as long as the one it passes has not waited for a good part of its bound.
---
---     local q = queue.new { bounds = { 10, 60, 600 } }
---     q:push { seq = 1, arrived = 0, class = 2, order = 7 }
---     q:push { seq = 2, arrived = 0, class = 1, order = 9 }
---     local ticket, why = q:best(0.5)          --> seq 2, "class"
---     q:take(ticket)
---
--- Times are absolute seconds, and `now` does not go back. Asking changes nothing that can be seen.
---
--- A waiting ticket has one field of the queue's, `place`: the rank it waits in.

local order = require "core.pool.order"
local sorted = require "core.pool.sorted"

local push, remove, first_of = sorted.push, sorted.remove, sorted.first

local level_of = order.level

local M = {}

local CLASSES = 3
local HUGE = math.huge

-- Of 4 grants, one may go to the overdue.
local SHARE = 4
-- A deadline is urgent when the call has to begin within this many seconds.
local MARGIN = 2
-- A favoured one passes only while the one it passes has waited less than this part of its bound.
local PATIENCE = 0.5
-- How many programs before a ticket are looked at to tell their number.
local LOOKED = 256
-- How many waiting calls of one favoured conversation are looked at, the oldest.
local MATES = 16
-- A list is swept when those that left are more than those that wait, and than this many more.
local LITTER = 64

---@class stoke.pool.waiting a call that waits. The queue reads these fields; they change through Queue:change alone
---@field seq integer unique, rising
---@field arrived number seconds; the same when it is pushed again
---@field class integer 1 interactive, 2 normal, 3 batch
---@field order integer a key of core.pool.order
---@field holder boolean|nil does somebody wait for it?
---@field deadline number|nil seconds
---@field at_most number|nil seconds of service it is expected to take
---@field unit table|nil the conversation it belongs to
---@field place stoke.pool.rank|nil the queue's: where it waits

---@alias stoke.pool.why "overdue"|"class"|"holder"|"deadline"|"program"|"prefix"|"arrival"

---@class stoke.pool.rank the tickets of one class, holders or not
---@field number integer the smaller goes first
---@field size integer how many wait
---@field list stoke.pool.arrivals
---@field queue stoke.pool.queue
---@field tickets stoke.sorted in program order
---@field slack stoke.sorted|nil those with a deadline that can be met, by the time they have to begin at

---@class stoke.pool.arrivals the tickets of one class as they arrived: a list from `first` to `last`
---@field class integer
---@field size integer how many wait
---@field first integer
---@field last integer

---@class stoke.pool.queue
---@field size integer tickets that wait
---@field bounds number[] seconds, by class: who has waited longer is overdue. To change them, put another list here
---@field margin number seconds: a deadline is urgent when its call has to begin within them
---@field patience number part of its bound after which nobody favoured passes a ticket
---@field share { since: integer } grants since the last one of an overdue ticket; queues that compete for slots share it
---@field classes stoke.pool.arrivals[]
---@field ranks stoke.pool.rank[] by class and holder
---@field missed table<table, boolean> those that could not end in time any more, when last looked at
---@field units table<table, table> conversation -> its ticket, or a list of several with `live`, how many of them wait
---@field tier table|nil the ticket last chosen for being overdue
---@field calm number nobody is overdue before this time, by the bounds `calm_by`
---@field calm_by number[]
---@field low integer no rank before this one has tickets
local Queue = {}
Queue.__index = Queue

--- Make an empty queue.
---@param options { bounds?: number[], margin?: number, patience?: number, share?: { since: integer } }|nil
---@return stoke.pool.queue
function M.new(options)
  options = options or {}
  local bounds = options.bounds or { 10, 60, 600 }
  local self = setmetatable({
    size = 0, bounds = bounds, calm = HUGE, calm_by = bounds, low = 2 * CLASSES, margin = options.margin or MARGIN,
    patience = options.patience or PATIENCE, share = options.share or { since = SHARE - 1 },
    classes = {}, ranks = {}, missed = {}, units = {}, tier = nil,
  }, Queue)
  for class = 1, CLASSES do
    local list = { class = class, size = 0, first = 1, last = 0 }
    self.classes[class] = list
    for number = 2 * class - 1, 2 * class do
      self.ranks[number] = { number = number, size = 0, list = list, queue = self, tickets = sorted.new(), slack = nil }
    end
  end
  return self
end

--- Holders come before the others of their class.
local function number_of(t)
  return t.holder and 2 * t.class - 1 or 2 * t.class
end

--- The time a ticket with a deadline has to begin at.
local function begins(t)
  local deadline = t.deadline
  return deadline and deadline - (t.at_most or 0)
end

-- ---- in and out ----

--- The oldest of a class.
local function oldest_of(list)
  local first, last = list.first, list.last
  while first <= last do
    local t = list[first]
    local rank = t.place
    if rank and rank.list == list then break end
    list[first] = nil
    first = first + 1
  end
  if first > last then first, list.last = 1, 0 end
  list.first = first
  return list[first]
end

local function sweep_arrivals(list)
  local kept, seen = 0, {}
  for i = list.first, list.last do
    local t = list[i]
    list[i] = nil
    if t.place and t.place.list == list and not seen[t] then
      seen[t] = true
      kept = kept + 1
      list[kept] = t
    end
  end
  list.first, list.last = 1, kept
end

--- Put a ticket among those of its class. They nearly always come in the order they arrived in; one that waited elsewhere before,
--- and was moved here, goes where it belongs.
local function arrive(list, t)
  local size, last = list.size + 1, list.last
  list.size = size
  if last > 2 * size + LITTER then
    sweep_arrivals(list)
    last = list.last
  end
  local i, arrived = last, t.arrived
  while i >= list.first do
    local other = list[i]
    if other.arrived < arrived or other.arrived == arrived and other.seq < t.seq then break end
    list[i + 1] = other
    i = i - 1
  end
  list[i + 1], list.last = t, last + 1
end

local function enter(rank, t)
  t.place, rank.size = rank, rank.size + 1
  push(rank.tickets, t, t.order)
end

local function leave(rank, t)
  t.place, rank.size = nil, rank.size - 1
  remove(rank.tickets, t, t.order)
end

local function watch_deadline(rank, t)
  rank.slack = rank.slack or sorted.new()
  push(rank.slack, t, begins(t))
end

local function forget_deadline(rank, t)
  local missed = rank.queue.missed
  if missed[t] then missed[t] = nil else remove(rank.slack, t, begins(t)) end
end

--- A conversation nearly always waits for one answer at a time: then its ticket stands for the list.
local function join(units, t)
  local unit = t.unit
  local found = units[unit]
  if not found then
    units[unit] = t
  elseif not found.live then
    units[unit] = { live = 2, found, t }
  else
    found.live = found.live + 1
    found[#found + 1] = t
  end
end

local function part(units, t)
  local unit = t.unit
  local found = units[unit]
  local live = found.live
  if not live or live == 1 then
    units[unit] = nil
    return
  end
  found.live = live - 1
  if #found > 2 * live + MATES then
    local left = { live = live - 1 }
    for _, other in ipairs(found) do
      if other ~= t and other.place and other.unit == unit then left[#left + 1] = other end
    end
    units[unit] = left
  end
end

--- Add a ticket.
---@param t stoke.pool.ticket
function Queue:push(t)
  local number = number_of(t)
  if number < self.low then self.low = number end
  local rank = self.ranks[number]
  enter(rank, t)
  arrive(rank.list, t)
  local calm = t.arrived + self.bounds[rank.list.class]
  if calm < self.calm then self.calm = calm end
  if t.deadline then watch_deadline(rank, t) end
  if t.unit then join(self.units, t) end
  self.size = self.size + 1
end

--- Take a ticket out that goes nowhere: it was cancelled, or shed.
---@param t stoke.pool.ticket
---@return boolean removed false: it does not wait here
function Queue:remove(t)
  local rank = t.place
  if not rank or rank.queue ~= self then return false end
  if t.deadline then forget_deadline(rank, t) end
  t.place, rank.size = nil, rank.size - 1
  remove(rank.tickets, t, t.order)
  local list = rank.list
  list.size, self.size = list.size - 1, self.size - 1
  if t.unit then part(self.units, t) end
  if list.size == 0 or list.last - list.first > 2 * list.size + LITTER then sweep_arrivals(list) end
  return true
end

--- Take a ticket out that is granted, and count the share of the overdue.
---@param t stoke.pool.ticket as `best` gave it
---@return boolean removed false: it does not wait here
function Queue:take(t)
  if not self:remove(t) then return false end
  local share = self.share
  share.since = t == self.tier and 0 or share.since + 1
  self.tier = nil
  return true
end

--- Change what the place of a ticket hangs on; of one that does not wait here, just the field.
---@param t stoke.pool.ticket
---@param field "order"|"holder"|"class"|"deadline"|"at_most"|"unit"
---@param value any
function Queue:change(t, field, value)
  if t[field] == value then return end
  local rank = t.place
  if not rank or rank.queue ~= self then
    t[field] = value
  elseif field == "class" or field == "unit" then
    self:remove(t)
    t[field] = value
    self:push(t)
  else -- where it stands among the arrivals stays
    if t.deadline then forget_deadline(rank, t) end
    leave(rank, t)
    t[field] = value
    local number = number_of(t)
    enter(self.ranks[number], t)
    if number < self.low then self.low = number end
    if t.deadline then watch_deadline(t.place, t) end
  end
end

-- ---- who goes next ----

local function is_older(a, b)
  return a.arrived < b.arrived or a.arrived == b.arrived and a.seq < b.seq
end

--- The oldest of those that have waited longer than the bound of their class.
---@param now number
---@return stoke.pool.ticket|nil
function Queue:overdue(now)
  local bounds = self.bounds
  if now < self.calm and bounds == self.calm_by then return nil end
  local found, calm = nil, HUGE
  for class, list in ipairs(self.classes) do
    local t = list.size > 0 and oldest_of(list)
    if t then
      local at = t.arrived + bounds[class]
      if at < calm then calm = at end
      if at <= now and (not found or is_older(t, found)) then found = t end
    end
  end
  self.calm, self.calm_by = calm, bounds
  return found
end

--- The time by which the first of those with a deadline has to begin. Those that would not end in time any more, if they began now,
--- are not urgent: nothing is gained by haste.
---@return number|nil begins
---@return table|nil ticket
local function first_begins(rank, now)
  local slack = rank.slack
  if not slack then return nil end
  local t, first = first_of(slack)
  while t do
    if first >= now then return first, t end
    remove(slack, t, first)
    rank.queue.missed[t] = true
    t, first = first_of(slack)
  end
  rank.slack = nil
end

local function is_before(a, b)
  return a.order < b.order or a.order == b.order and a.seq < b.seq
end

--- Of the waiting calls of one conversation, the first in this rank; or `best`.
local function first_mate(found, rank, best)
  local left = MATES
  for _, t in ipairs(found) do
    if t.place == rank then
      if not best or is_before(t, best) then best = t end
      left = left - 1
      if left == 0 then break end
    end
  end
  return best
end

--- Of the favoured conversations, the first in this rank.
local function first_favoured(rank, favoured)
  local units, best = rank.queue.units, nil
  for unit in next, favoured do
    local found = units[unit]
    if found and found.live then
      best = first_mate(found, rank, best)
    elseif found and found.place == rank and (not best or is_before(found, best)) then
      best = found
    end
  end
  return best
end

--- What put the only one of its rank in front: the last rule that had somebody to choose between.
local function reason(self, rank)
  local of_class = rank.list.size
  if of_class > 1 then return "holder" end
  return self.size > of_class and "class" or "program"
end

--- Who goes next?
---@param now number
---@param favoured table<table, any>|nil units whose context a free slot holds
---@return stoke.pool.ticket|nil ticket nil: nobody waits
---@return stoke.pool.why|nil why the rule that put it first
function Queue:best(now, favoured)
  if self.size == 0 then return nil end
  if (now >= self.calm or self.bounds ~= self.calm_by) and self.share.since >= SHARE - 1 then
    local t = self:overdue(now)
    if t then
      self.tier = t
      return t, "overdue"
    end
  end
  self.tier = nil
  local ranks, low = self.ranks, self.low
  local rank = ranks[low]
  while rank.size == 0 do
    low = low + 1
    rank = ranks[low]
  end
  self.low = low
  if rank.slack then
    local first, urgent = first_begins(rank, now)
    if first and first - self.margin <= now then return urgent, "deadline" end
  end
  local t = first_of(rank.tickets)
  if favoured and now - t.arrived < self.patience * self.bounds[rank.list.class] then
    local other = first_favoured(rank, favoured)
    if other and other ~= t and level_of(other.order) <= level_of(t.order) then return other, "prefix" end
  end
  return t, rank.size > 1 and "program" or reason(self, rank)
end

--- Of the best of two queues, does `a` go before `b`?
---@param a stoke.pool.ticket
---@param why_a stoke.pool.why
---@param b stoke.pool.ticket
---@param why_b stoke.pool.why
---@return boolean
function M.before(a, why_a, b, why_b)
  local overdue = why_a == "overdue"
  if overdue ~= (why_b == "overdue") then return overdue end
  if overdue then return is_older(a, b) end
  local number, other = number_of(a), number_of(b)
  if number ~= other then return number < other end
  local urgent = why_a == "deadline"
  if urgent ~= (why_b == "deadline") then return urgent end
  if urgent then
    local first, second = begins(a), begins(b)
    if first ~= second then return first < second end
  end
  local held = why_a == "prefix"
  if held ~= (why_b == "prefix") then return held end
  return is_before(a, b)
end

-- ---- time ----

--- When does the order change by itself next: somebody becomes overdue, urgent, or late?
---@param now number
---@return number|nil time later than now; nil: never
function Queue:due(now)
  local bounds, due = self.bounds, HUGE
  for class, list in ipairs(self.classes) do
    local t = oldest_of(list) -- those after it become overdue behind it, and change nothing
    local at = t and t.arrived + bounds[class]
    if at and at > now and at < due then due = at end
  end
  for _, rank in ipairs(self.ranks) do
    local first = first_begins(rank, now)
    if first then
      local at = first - self.margin
      if at <= now then at = first end
      if at > now and at < due then due = at end
    end
  end
  return due < HUGE and due or nil
end

--- Interactive tickets whose deadline cannot be met any more; they stay in the queue until they are removed. A ticket is looked at
--- once the time has passed at which it should have begun by its `at_most`, or by what `estimate` said last.
---@param now number
---@param estimate (fun(t: stoke.pool.ticket): number)|nil seconds from now to its end, at best; nil: its `at_most`
---@return stoke.pool.ticket[]|nil late the earliest deadline first; nil: none
function Queue:late(now, estimate)
  for number = 1, 2 do first_begins(self.ranks[number], now) end
  local missed, late = self.missed, nil
  for t in next, missed do
    if t.class == 1 then
      local takes = estimate and estimate(t) or t.at_most or 0
      if now + takes > t.deadline then
        late = late or {}
        late[#late + 1] = t
      else
        missed[t] = nil
        t.at_most = takes
        watch_deadline(t.place, t)
      end
    end
  end
  if late then
    table.sort(late, function(a, b) return a.deadline < b.deadline or a.deadline == b.deadline and a.seq < b.seq end)
  end
  return late
end

-- ---- what is asked for in words ----

--- The ticket that has waited longest.
---@return stoke.pool.ticket|nil
function Queue:oldest() return self:overdue(HUGE) end

--- Each ticket that waits, by class, the oldest first.
---@param f fun(t: stoke.pool.ticket) it must not change the queue
function Queue:each(f)
  for _, list in ipairs(self.classes) do
    local last = nil
    for i = list.first, list.last do
      local t = list[i]
      local rank = t.place
      if rank and rank.list == list and t ~= last then f(t) end -- it may be there twice, in a row
      last = t
    end
  end
end

--- How many wait, of a class or in all.
---@param class integer|nil
---@return integer
function Queue:count(class)
  return class and self.classes[class].size or self.size
end

--- How many go before a waiting ticket, as things are now: those of higher classes, holders, and of its equals those of older
--- programs. Overdue and urgent ones are not weighed; of very many equals only some are looked at.
---@param t stoke.pool.ticket
---@return integer tickets
---@return integer programs of its equals, other than its own
function Queue:before(t)
  local number, tickets = number_of(t), 0
  for i = 1, number - 1 do tickets = tickets + self.ranks[i].size end
  local own, programs, n = order.program(t.order), {}, 0
  tickets = tickets + sorted.before(self.ranks[number].tickets, t, t.order, LOOKED, function(key)
    local program = order.program(key)
    if program ~= own and not programs[program] then
      programs[program], n = true, n + 1
    end
  end)
  return tickets, n
end

---@class stoke.pool.ahead what goes before a waiting ticket, as things are now
---@field calls integer all of them
---@field better integer of these: of a higher class
---@field held integer of these: of its class, and somebody waits for them
---@field programs integer of its equals
---@field seen table<integer, true> these programs, by the key they have in common

--- Add what goes before a ticket in this queue, where it waits itself or that competes with its own for slots.
---@param t stoke.pool.ticket
---@param sum stoke.pool.ahead
function Queue:ahead(t, sum)
  local number, own = number_of(t), order.program(t.order)
  for i = 1, number - 1 do
    local size = self.ranks[i].size
    sum.calls = sum.calls + size
    if i < 2 * t.class - 1 then sum.better = sum.better + size else sum.held = sum.held + size end
  end
  sum.calls = sum.calls + sorted.before(self.ranks[number].tickets, t, t.order, LOOKED, function(key)
    local program = order.program(key)
    if program ~= own and not sum.seen[program] then
      sum.seen[program], sum.programs = true, sum.programs + 1
    end
  end)
end

--- Does a call of this class or a better one wait of whose program less is left than this level says?
---@param class integer
---@param level integer
---@return boolean
function Queue:has_less(class, level)
  for number = self.low, 2 * class do
    local rank = self.ranks[number]
    if rank.size > 0 and level_of(first_of(rank.tickets).order) < level then return true end
  end
  return false
end

--- The first that wait, in the order of the rules that do not change with time: class, holder, program, arrival.
---@param most integer
---@return stoke.pool.ticket[]
function Queue:first(most)
  local out = {}
  for _, rank in ipairs(self.ranks) do
    if rank.size > 0 then sorted.list(rank.tickets, out, most) end
  end
  return out
end

return M
