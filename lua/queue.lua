--- A queue from the tasks of one piece of work to who reads what they say: bounded, in order. A channel, but for one thing only,
--- so that what is said for each token costs little: a value waits in the queue itself, and a ticket is made only for a writer that
--- finds it full.

local host = require "host.task"
local fifo = require "core.fifo"
local scopes = require "core.scope"

local M = {}

local current, enter, park, wake = host.current, host.enter, host.park, host.wake
local deliver, queue_up, wake_all = scopes.deliver, scopes.queue_up, scopes.wake_all

---@class stoke.queue
---@field capacity integer
---@field first integer the oldest value
---@field last integer
---@field readers table who waits for a value (lua/fifo.lua)
---@field writers table who waits for room
---@field closed? boolean
---@field cut? boolean its writer was cut off: set by who uses it
local Queue = {}
Queue.__index = Queue

--- Make one.
---@param capacity integer values that may wait
---@return stoke.queue
function M.new(capacity)
  return setmetatable({ capacity = capacity, first = 1, last = 0, readers = {}, writers = {}, closed = nil }, Queue)
end

--- Wait for the reader: the value goes with the ticket, in its turn.
local function wait_for_room(queue, task, value)
  enter "channel:send"
  local ticket = { task = task, value = value, taken = false }
  fifo.push(queue.writers, ticket)
  while not ticket.taken do
    local woken, err = park "channel.send"
    if woken == nil and not ticket.taken then
      fifo.remove(queue.writers, ticket)
      deliver(task)
      error(err, 0)
    end
  end
end

--- Put a value in; waits while the queue is full.
---@param value any not nil
---Raises `cancelled`.
function Queue:put(value)
  local task = current()
  if (task.scope or task).cancelled then deliver(task) end
  local last = self.last + 1
  if last - self.first >= self.capacity then return wait_for_room(self, task, value) end
  self[last], self.last = value, last
  if self.readers.head then wake_all(self.readers) end
end

--- There is room for what the oldest writer waits with.
local function let_in(queue)
  local ticket = fifo.pop(queue.writers)
  while ticket do
    local co = ticket.task.co
    if co and wake(co) then -- else it was cancelled a moment ago
      ticket.taken = true
      queue.last = queue.last + 1
      queue[queue.last] = ticket.value
      return
    end
    ticket = fifo.pop(queue.writers)
  end
end

--- Take the oldest value; waits while there is none.
---@return any value nil when the queue is closed and empty
---Raises `cancelled`.
function Queue:take()
  local task = current()
  if (task.scope or task).cancelled then deliver(task) end
  while true do
    local first = self.first
    local value = self[first]
    if value ~= nil then
      self[first], self.first = nil, first + 1
      if self.writers.head then let_in(self) end
      return value
    end
    if self.closed then return nil end
    enter "channel:recv"
    local woken, err = queue_up(self.readers, task, "channel.recv")
    if woken == nil then
      deliver(task)
      error(err, 0)
    end
  end
end

--- No more values; what is in it can still be taken.
function Queue:close()
  self.closed = true
  wake_all(self.readers)
end

return M
