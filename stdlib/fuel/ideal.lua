--- What could be done at best, by somebody who knows the whole world beforehand.

local measures = require "stoke.fuel.measures"

local M = {}

--- "NAME,tps=9,load=5" as numbers.
local function speed_of(text)
  return { tps = tonumber(text:match "tps=([%d.]+)"), prefill = tonumber(text:match "prefill=([%d.]+)"),
    load = tonumber(text:match "load=([%d.]+)") }
end

--- The makespan of jobs of one call that are all there at the beginning, on several servers of which some die. The longest job
--- first, each to the slot that ends it first; nothing is begun on a server that it would die with.
---@param spec stoke.fuel.spec
---@return number seconds
---
--- Example: `local best = ideal.several(spec)`
function M.several(spec)
  local slots, dies = {}, {}
  for _, event in ipairs(spec.events or {}) do
    if event.kill then dies[event.server] = event.at end
  end
  for i, server in ipairs(spec.servers) do
    local speed = speed_of(server.models[1])
    for _ = 1, server.slots do slots[#slots + 1] = { free = speed.load, dies = dies[i], speed = speed, beside = server.slots } end
  end
  local jobs = table.move(spec.jobs, 1, #spec.jobs, 1, {})
  table.sort(jobs, function(a, b) return a.calls[1].turns[1].answer > b.calls[1].turns[1].answer end)
  local last = 0
  for _, job in ipairs(jobs) do
    local best, ends
    for _, slot in ipairs(slots) do
      local at = slot.free + measures.alone(job.calls[1], slot.beside, slot.speed)
      if (not slot.dies or at <= slot.dies) and (not ends or at < ends) then best, ends = slot, at end
    end
    best.free, last = ends, math.max(last, ends)
  end
  return last
end

--- Calls f with every order of a list.
local function each_order(list, f)
  local n = #list
  local function permute(k)
    if k > n then return f(list) end
    for i = k, n do
      list[k], list[i] = list[i], list[k]
      permute(k + 1)
      list[k], list[i] = list[i], list[k]
    end
  end
  permute(1)
end

--- The best makespan, and the best mean, that any order of a few jobs of one call gives on one server with one slot and room for
--- one model. Jobs may arrive late; a server that knows them waits where that is better.
---@param spec stoke.fuel.spec `swap` = seconds of a load, `back` = until the memory of the other model is there
---@return number makespan
---@return number mean
---
--- Example: `local makespan, mean = ideal.small(spec)`
function M.small(spec)
  local makespan, mean = math.huge, math.huge
  local first = math.huge
  for _, job in ipairs(spec.jobs) do first = math.min(first, job.at) end
  each_order(table.move(spec.jobs, 1, #spec.jobs, 1, {}), function(order)
    local now, resident, sum = 0, nil, 0
    for _, job in ipairs(order) do
      local call = job.calls[1]
      now = math.max(now, job.at)
      if resident ~= call.model then now = now + spec.swap + (resident and spec.back or 0) end
      resident = call.model
      now = now + measures.alone(call, 1)
      sum = sum + now - job.at
    end
    makespan, mean = math.min(makespan, now - first), math.min(mean, sum / #order)
  end)
  return makespan, mean
end

return M
