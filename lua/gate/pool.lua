--- The pool gate, phase 1: at most `width` calls of one key at a time, oldest first. A slot that is given back goes straight
--- to the next waiter, so no late-comer overtakes.

local host = require "host.task"

local M = {}

--- Slots of a key when the effect names no width. Ollama runs one request a model by default; the second hides the latency.
M.default_width = 2

local pools = {}

---@return table|nil slot
---@return stoke.error|nil err kind `cancelled`
function M.acquire(key, width)
  if not key then return nil end
  local pool = pools[key]
  if not pool then
    pool = { key = key, busy = 0, first = 1, last = 0 }
    pools[key] = pool
  end
  width = width or M.default_width
  if pool.busy < width and pool.first > pool.last then
    pool.busy = pool.busy + 1
    return pool
  end
  local ticket = { task = host.current() }
  local place = pool.last + 1
  pool.last, pool[place] = place, ticket
  while not ticket.granted do
    local woken, err = host.park("pool " .. key)
    if woken == nil then
      if ticket.granted then M.release(pool) else ticket.gone = true end
      return nil, err
    end
  end
  return pool
end

--- Give a slot back.
function M.release(pool)
  while pool.first <= pool.last do
    local ticket = pool[pool.first]
    pool[pool.first] = nil
    pool.first = pool.first + 1
    if not ticket.gone then
      ticket.granted = true
      host.wake(ticket.task.co)
      return
    end
  end
  pool.busy = pool.busy - 1
  if pool.busy == 0 then pools[pool.key] = nil end
end

--- What runs and waits: { key, busy, waiting }, sorted by key.
function M.list()
  local out = {}
  for key, pool in next, pools do out[#out + 1] = { key = key, busy = pool.busy, waiting = pool.last - pool.first + 1 } end
  table.sort(out, function(a, b) return a.key < b.key end)
  return out
end

return M
