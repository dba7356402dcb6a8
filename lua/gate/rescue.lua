--- Calls that a wedged server has taken and not begun to answer are asked for elsewhere. Their tasks wait for bytes that do not
--- come: that wait is ended, the driver closes the connection, and the retry gate, which finds the call marked, moves it to
--- another server of its route, once. A call that has begun to answer stays: what came of it was seen. So does one whose route has
--- no other server that takes calls: should this one go on, it is answered there.

local choose = require "core.pool.choose"
local gate = require "core.gate.pool"
local host = require "host.task"
local monotonic = require "host.time".monotonic

local M = {}

--- The calls that tasks make now, oldest first, each with the task that waits for its bytes: of one that may be hedged that is not
--- the task that asked (lua/gate/hedge.lua).
local function made()
  local list, by, all = {}, {}, host.list()
  for i = #all, 1, -1 do
    local task = all[i]
    local call = task.co and (task.asks or task.call)
    if call and (task.asks or not by[call]) then
      if not by[call] then list[#list + 1] = call end
      by[call] = task
    end
  end
  return list, by
end

--- Is a call at a server, and nothing of its answer was given to anybody?
local function unanswered(call, server)
  local slot = call.slot
  local lane = slot and (slot.server and slot or slot.state == "granted" and slot.lane) or nil
  return lane ~= nil and lane.server == server and rawget(call, "stalled") == nil and not rawget(call, "begun")
end

--- Has a call another server to go to, which takes calls as far as anybody knows?
local function goes_elsewhere(call, server, now)
  for _, target in ipairs(call.work) do
    local lane = gate.pools[target.key]
    if target.endpoint.url ~= server.url and (not lane or choose.open(lane, now)) then return true end
  end
  return false
end

--- Call back what a server has taken and does not answer.
---@param server stoke.pool.server
---@return integer count calls that go elsewhere
---
--- Example: `local moved = rescue.calls(server)`
function M.calls(server)
  local list, task_of = made()
  local count, now = 0, monotonic()
  for _, call in ipairs(list) do
    local task, work = task_of[call], call.work
    if type(work) == "table" and work[2] and unanswered(call, server) and goes_elsewhere(call, server, now)
      and not (task.scope or task).cancelled and host.waiting(task.co) then
      call.stalled, count = true, count + 1
      host.interrupt(task.co)
    end
  end
  return count
end

return M
