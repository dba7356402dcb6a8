--- Channels and semaphores: queues between tasks, always bounded, always cancellable.

local host = require "host.task"
local errors = require "core.errors"
local fifo = require "core.fifo"
local schedules = require "core.schedule"
local scopes = require "core.scope"

local M = {}

---@class stoke.channel
---@field capacity integer
local Channel = {}
Channel.__index = Channel
Channel.__name = "stoke.channel"

--- Create a channel. A send waits while `capacity` values are queued; with 0 it waits for a receiver.
---@param capacity? integer default 0
---@return stoke.channel
---
--- Example: `local jobs = stoke.channel(8)`
function M.new(capacity)
  capacity = capacity or 0
  if math.type(capacity) ~= "integer" or capacity < 0 then
    errors.argument("channel: the capacity must be an integer >= 0, got %s", tostring(capacity))
  end
  return setmetatable({ capacity = capacity, first = 1, last = 0, senders = {}, receivers = {},
    schedule = schedules.any and schedules.own() }, Channel)
end

--- Remove and wake the oldest waiter; skips those whose task has just been cancelled. A select has one ticket in several queues.
local function take(queue)
  local place = fifo.pop(queue)
  while place do
    local ticket = place.ticket or place
    local co = ticket.task.co
    if not ticket.done and co and host.wake(co) then
      ticket.done = true
      return ticket
    end
    place = fifo.pop(queue)
  end
end

--- Park until the ticket is done; false on timeout.
local function wait(ticket, label, seconds)
  while not ticket.done do
    local woken, err = host.park(label, seconds)
    if not ticket.done and not woken then
      ticket.done = true
      return false, err
    end
  end
  return true
end

--- As wait, for a ticket in one queue; raises when cancelled.
local function stand(queue, ticket, label, seconds)
  fifo.push(queue, ticket)
  local got, err = wait(ticket, label, seconds)
  if got then return true end
  fifo.remove(queue, ticket)
  if err then
    scopes.deliver(ticket.task)
    error(err, 0)
  end
  return false
end

local function enter(what, object)
  local task = host.current()
  if not task then errors.argument("%s waits, so it can only be called inside a task", what) end
  if schedules.any then schedules.check(object.schedule, object.capacity and "channel" or "semaphore", what) end
  scopes.deliver(task)
  return task
end

--- Set the result that the woken waiter reads.
local function finish(ticket, channel, value, ok)
  ticket.channel, ticket.value, ticket.ok = channel, value, ok
end

--- Send without waiting: true if the value went to a receiver or into the buffer.
local function offer(channel, value)
  local receiver = take(channel.receivers)
  if receiver then
    finish(receiver, channel, value, true)
    return true
  end
  if channel.last - channel.first + 1 < channel.capacity then
    channel.last = channel.last + 1
    channel[channel.last] = value
    return true
  end
  return false
end

--- Receive without waiting: found, value.
local function poll(channel)
  if channel.first <= channel.last then
    local value = channel[channel.first]
    channel[channel.first] = nil
    channel.first = channel.first + 1
    local sender = take(channel.senders)
    if sender then
      channel.last = channel.last + 1
      channel[channel.last] = sender.sent
      finish(sender, channel, nil, true)
    end
    return true, value
  end
  local sender = take(channel.senders)
  if sender then
    finish(sender, channel, nil, true)
    return true, sender.sent
  end
  return false
end

--- Put a value in; waits while the channel is full.
---@param value any not nil
---Raises `argument` on a closed channel (also when it closes meanwhile).
---
--- Example: `jobs:send { page = 1 }`
function Channel:send(value)
  if value == nil then errors.argument("channel:send: nil cannot be sent; close the channel to end it") end
  local task = enter("channel:send", self)
  if self.closed then errors.argument("channel:send: the channel is closed") end
  if offer(self, value) then return end
  host.enter("channel:send") -- before a ticket is queued: no value may go to a task that cannot wait
  local ticket = { task = task, sent = value }
  stand(self.senders, ticket, "channel.send")
  if not ticket.ok then errors.argument("channel:send: the channel was closed") end
end

--- Take the oldest value; waits while there is none.
---@param seconds? number timeout
---@return any value nil when the channel is closed and empty, or on timeout
---@return string? why "closed" or "timeout" if there is no value
---
--- Example: `local job, why = jobs:recv(5)`
function Channel:recv(seconds)
  if seconds ~= nil then errors.check_seconds(seconds, "channel:recv") end
  local task = enter("channel:recv", self)
  local found, value = poll(self)
  if found then return value end
  if self.closed then return nil, "closed" end
  host.enter("channel:recv")
  local ticket = { task = task }
  if not stand(self.receivers, ticket, "channel.recv", seconds) then return nil, "timeout" end
  if not ticket.ok then return nil, "closed" end
  return ticket.value
end

--- Close the channel: no more sends; queued values can still be received. Idempotent.
---
--- Example: `jobs:close()`
function Channel:close()
  if self.closed then return end
  if schedules.any then schedules.check(self.schedule, "channel", "channel:close") end
  self.closed = true
  for _, list in ipairs { self.receivers, self.senders } do
    local ticket = take(list)
    while ticket do
      finish(ticket, self, nil, false)
      ticket = take(list)
    end
  end
end

Channel.__close = Channel.close

--- `for value in channel do`: until it is closed and empty.
function Channel:__call()
  return (self:recv())
end

--- Wait for the first of several channels to have a value (or to be closed).
---@param channels stoke.channel[]
---@param seconds? number
---@return stoke.channel|nil channel nil on timeout
---@return any value nil when that channel is closed
---
--- Example: `local channel, value = stoke.select({ answers, stop }, 10)`
function M.select(channels, seconds)
  if type(channels) ~= "table" or #channels == 0 then errors.argument("stoke.select: no channel to wait for") end
  for i, channel in ipairs(channels) do
    if getmetatable(channel) ~= Channel then
      errors.argument("stoke.select: item %d is no channel but a %s", i, type(channel))
    end
  end
  if seconds ~= nil then errors.check_seconds(seconds, "stoke.select") end
  local task
  for _, channel in ipairs(channels) do task = enter("stoke.select", channel) end
  for _, channel in ipairs(channels) do
    local found, value = poll(channel)
    if found then return channel, value end
    if channel.closed then return channel, nil end
  end
  host.enter("stoke.select")
  local ticket, places = { task = task }, {}
  for i, channel in ipairs(channels) do
    places[i] = { ticket = ticket }
    fifo.push(channel.receivers, places[i])
  end
  local got, err = wait(ticket, "select", seconds)
  for i, channel in ipairs(channels) do fifo.remove(channel.receivers, places[i]) end
  if err then
    scopes.deliver(task)
    error(err, 0)
  end
  if not got then return nil end
  return ticket.channel, ticket.value
end

-- ---- semaphores ---------------------------------------------------------------------------------------------------------

---@class stoke.semaphore
local Semaphore = {}
Semaphore.__index = Semaphore
Semaphore.__name = "stoke.semaphore"

--- At most `count` holders at once, oldest waiter first.
---@param count integer
---@return stoke.semaphore
---
--- Example: `local four = stoke.semaphore(4)`
function M.semaphore(count)
  if math.type(count) ~= "integer" or count < 1 then
    errors.argument("semaphore: the count must be an integer >= 1, got %s", tostring(count))
  end
  return setmetatable({ free = count, waiting = {}, permits = {}, schedule = schedules.any and schedules.own() }, Semaphore)
end

--- Hook: somebody has to wait for a permit, as the first: fun(semaphore). Who holds one keeps others waiting (lua/gate/turns.lua).
---@type (fun(semaphore: stoke.semaphore))|nil
M.contended = nil

local Permit = { __name = "stoke.permit" }
Permit.__index = Permit

--- Off the list of its task.
local function unlist(permit)
  local task, at = permit.task, permit.task.permit
  if at == permit then
    task.permit = permit.below
    return
  end
  while at and at.below ~= permit do at = at.below end
  if at then at.below = permit.below end
end

--- Does a task hold a permit that others wait for?
---@param task stoke.task
---@return boolean
function M.holds(task)
  local permit = task.permit
  while permit do
    if permit.semaphore.waiting.head then return true end
    permit = permit.below
  end
  return false
end

--- Release the permit; a no-op the second time.
function Permit:release()
  local semaphore = self.semaphore
  if not semaphore then return end
  unlist(self)
  self.semaphore, semaphore.permits[self] = nil, nil
  local ticket = take(semaphore.waiting)
  if not ticket then semaphore.free = semaphore.free + 1 end
end

Permit.__close = Permit.release

--- Wait for a permit. `local permit <close> = semaphore:acquire()` releases it at the end of the block.
---@return { release: fun(self) }
---
--- Example: `local permit <close> = four:acquire()`
function Semaphore:acquire()
  local task = enter("semaphore:acquire", self)
  if self.free > 0 then
    self.free = self.free - 1
  else
    host.enter("semaphore:acquire")
    if M.contended and not self.waiting.head then M.contended(self) end
    stand(self.waiting, { task = task }, "semaphore")
  end
  local permit = setmetatable({ semaphore = self, task = task, below = task.permit }, Permit)
  task.permit, self.permits[permit] = permit, true
  return permit
end

return M
