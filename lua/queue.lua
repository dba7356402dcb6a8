--- A bounded FIFO queue from the tasks of an agent run to the reader of its events. Cheaper than a channel, since it is used for
--- every token: values are stored in the queue itself, and only a writer that finds it full allocates a ticket.

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
---@field readers table tasks that wait for a value (lua/fifo.lua)
---@field writers table tickets of writers that wait for room
---@field closed? boolean
---@field cut? boolean its writer was cut off; set by the owner
local Queue = {}
Queue.__index = Queue

--- Create a queue.
---@param capacity integer values it can hold
---@return stoke.queue
function M.new(capacity)
  return setmetatable({ capacity = capacity, first = 1, last = 0, readers = {}, writers = {}, closed = nil }, Queue)
end

--- Wait for room. The reader takes the value from the ticket, in FIFO order.
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

--- A slot is free: move the value of the oldest waiting writer into the queue.
local function admit_writer(queue)
  local ticket = fifo.pop(queue.writers)
  while ticket do
    local co = ticket.task.co
    if co and wake(co) then -- otherwise it has just been cancelled
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
      if self.writers.head then admit_writer(self) end
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

--- Close the queue: no more values can be put in, the remaining ones can still be taken.
function Queue:close()
  self.closed = true
  wake_all(self.readers)
end

return M
