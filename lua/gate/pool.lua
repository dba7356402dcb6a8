--- The pool gate, phase 1: at most `width` calls of one key at a time, oldest first. A slot that is given back goes straight
--- to the next waiter, so no late-comer overtakes.
---
--- The gate gets the whole call, so that order and target can be chosen late: its request (q.model), its possible targets (work),
--- its token allowance (asked); and, when the slot is released, its outcome: a value (def.usage
--- returns tokens, seconds, load_seconds) or an error. Where nobody waits there is no order to choose: such a slot may be counted
--- without a call of the gate, as long as the gate says so (stoke.pool.open).

local host = require "host.task"
local fifo = require "core.fifo"

local M = {}

--- Slots of a key when the effect names no width. Ollama runs one request a model by default; the second hides the latency.
M.default_width = 2

---@class stoke.pool
---@field key string
---@field width integer
---@field busy integer slots that are taken
---@field waiting integer
---@field open integer while busy is less, a call that names no width may count itself in `busy` and needs no M.acquire; while it is
---  not 0, who gives a slot back may count itself out and needs no M.release. It is 0 while somebody waits

--- By key. An idle one is kept for the next call while there are few. For who takes a slot in place; only this file changes it.
---@type table<string, stoke.pool>
M.pools = {}
local pools, count, KEPT = M.pools, 0, 64

--- May slots be taken and given back in place? Not where somebody waits his turn, nor where a pool has to go once it is idle.
local function reopen(pool)
  pool.open = pool.waiting == 0 and count <= KEPT and M.default_width or 0
end

--- Set the slots of keys whose effects name no width.
---@param width integer
function M.set_default(width)
  M.default_width = width
  for _, pool in next, pools do reopen(pool) end
end

--- What the settings say of the pool.
---@param settings table `pool` of stoke.config
function M.configure(settings)
  local slots = settings.per_model or math.type(settings.slots) and settings.slots
  if slots then M.set_default(slots) end
end

--- Wait for a slot.
---@param call table of lua/effect.lua; call.target was set by the effect's `pool`
---@param key string|nil as the effect's `pool` named it
---@param width integer|nil
---@return stoke.pool|nil slot nil: the call needs none
---@return stoke.error|nil err kind `cancelled`
function M.acquire(call, key, width)
  if not key then return nil end
  local pool = pools[key]
  if not pool then
    pool = { key = key, busy = 0, waiting = 0, width = 0, open = 0 }
    pools[key], count = pool, count + 1
  end
  pool.width = width or M.default_width
  reopen(pool)
  if pool.busy < pool.width and pool.waiting == 0 then
    pool.busy = pool.busy + 1
    return pool
  end
  if call.def.waits then call.def.waits(call.q) end
  local ticket = { task = host.enter("pool " .. key) }
  fifo.push(pool, ticket)
  pool.waiting, pool.open = pool.waiting + 1, 0
  while not ticket.granted do
    local woken, err = host.park("pool " .. key)
    if woken == nil then
      if ticket.granted then
        M.release(pool)
      else
        fifo.remove(pool, ticket)
        pool.waiting = pool.waiting - 1
        reopen(pool)
      end
      return nil, err
    end
  end
  return pool
end

--- Give a slot back. (What came of its call is passed too: `value, err`, as the driver gave them.)
---@param pool stoke.pool the slot
function M.release(pool)
  pool.busy = pool.busy - 1
  while pool.waiting > 0 and pool.busy < pool.width do
    local ticket = fifo.pop(pool)
    pool.waiting = pool.waiting - 1
    if not ticket.task.state then -- its task may have been cut off
      pool.busy = pool.busy + 1
      ticket.granted = true
      host.wake(ticket.task.co)
    end
    reopen(pool)
  end
  if count > KEPT and pool.busy == 0 and pool.waiting == 0 and pools[pool.key] == pool then
    pools[pool.key], count = nil, count - 1
  end
end

--- What runs and waits: { key, busy, waiting }, sorted by key.
function M.list()
  local out = {}
  for key, pool in next, pools do
    if pool.busy > 0 or pool.waiting > 0 then out[#out + 1] = { key = key, busy = pool.busy, waiting = pool.waiting } end
  end
  table.sort(out, function(a, b) return a.key < b.key end)
  return out
end

return M
