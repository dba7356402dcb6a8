--- First come, first served: the yardstick beside core.pool.queue, with the same face (`pool = { order = "fifo" }`). Classes,
--- deadlines, programs and prefixes are not weighed; nobody is overdue, and nobody is shed.

local fifo = require "core.fifo"
local order = require "core.pool.order"

local M = {}

---@class stoke.pool.fifo the face of stoke.pool.queue
---@field size integer
---@field bounds number[] kept, not used
---@field list table core.fifo
---@field counts integer[] by class
local Queue = {}
Queue.__index = Queue

--- Make an empty queue.
---@param options { bounds?: number[] }|nil
---@return stoke.pool.fifo
function M.new(options)
  return setmetatable({ size = 0, bounds = options and options.bounds or { 10, 60, 600 }, list = {}, counts = { 0, 0, 0 } }, Queue)
end

local function count(self, t, n)
  self.size = self.size + n
  self.counts[t.class] = self.counts[t.class] + n
end

--- Add a ticket behind all others.
---@param t stoke.pool.ticket
function Queue:push(t)
  fifo.push(self.list, t)
  count(self, t, 1)
end

--- Take a ticket out.
---@param t stoke.pool.ticket
---@return boolean removed false: it does not wait here
function Queue:remove(t)
  if not fifo.remove(self.list, t) then return false end
  count(self, t, -1)
  return true
end

--- Take a ticket out that is granted.
Queue.take = Queue.remove

--- Change a field of a ticket; its place stays the same.
---@param t stoke.pool.ticket
---@param field string
---@param value any
function Queue:change(t, field, value)
  local waits = field == "class" and (t.before or self.list.head == t)
  if waits then count(self, t, -1) end
  t[field] = value
  if waits then count(self, t, 1) end
end

--- Who goes next: the one that came first.
---@return stoke.pool.ticket|nil
---@return "arrival"|nil
function Queue:best()
  local t = self.list.head
  if t then return t, "arrival" end
end

--- Of the best of two queues, does `a` go before `b`?
---@param a stoke.pool.ticket
---@param b stoke.pool.ticket
---@return boolean
function M.before(a, _, b)
  return a.seq < b.seq
end

--- Nobody is overdue.
function Queue:overdue() return nil end

--- The order never changes by itself.
function Queue:due() return nil end

--- Nobody is shed.
function Queue:late() return nil end

--- The ticket that has waited longest.
---@return stoke.pool.ticket|nil
function Queue:oldest() return self.list.head end

--- Each ticket that waits, the first first.
---@param f fun(t: stoke.pool.ticket) it must not change the queue
function Queue:each(f)
  local t = self.list.head
  while t do
    f(t)
    t = t.after
  end
end

--- How many wait, of a class or in all.
---@param class integer|nil
---@return integer
function Queue:count(class)
  return class and self.counts[class] or self.size
end

--- Add what came before a ticket: see stoke.pool.ahead.
---@param t stoke.pool.ticket
---@param sum stoke.pool.ahead
function Queue:ahead(t, sum)
  local other = self.list.head
  while other and other.seq < t.seq do
    sum.calls, other = sum.calls + 1, other.after
  end
end

--- The first that wait.
---@param most integer
---@return stoke.pool.ticket[]
function Queue:first(most)
  local out, t = {}, self.list.head
  while t and #out < most do
    out[#out + 1], t = t, t.after
  end
  return out
end

--- How many wait before a ticket.
---@param t stoke.pool.ticket
---@return integer tickets
---@return integer programs other than its own
function Queue:before(t)
  local programs, tickets, n = {}, 0, 0
  local older = t.before
  while older do
    tickets = tickets + 1
    programs[order.program(older.order)] = true
    older = older.before
  end
  programs[order.program(t.order)] = nil
  for _ in next, programs do n = n + 1 end
  return tickets, n
end

return M
