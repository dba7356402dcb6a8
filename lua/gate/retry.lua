--- The retry gate: errors that say `retryable` are tried again after a pause that doubles and is jittered (full jitter, Brooker
--- 2015), while a token bucket has some left: when a server is down for all, retries must not multiply the load. Each endpoint has
--- one (its health, lua/endpoint.lua), so that a dead one takes nothing from the others; of other effects there is one for each
--- server, by its address, and an effect that names none has one of its own.

local host = require "host.task"
local random = require "core.random"

local M = {}

--- Each first call earns a tenth of a retry; at most this many are saved up.
M.saved = 20
M.earned = 0.1
--- Longest Retry-After that is waited for, seconds.
M.patience = 30
--- Buckets kept at most. Only one that is not full is kept; beyond this number the one used longest ago is forgotten.
M.kept = 256

--- By key: { left = retries, used = when last, by a count of uses }. A bucket that is not here is full.
local buckets, count, uses = {}, 0, 0

--- Has any bucket been used? perform asks before it calls M.earn.
M.used = false

--- Buckets of endpoints that were filled before this was last raised are full.
local epoch = 0

--- Forget what the servers have used up, as at the beginning: a test does not depend on the one before.
function M.forget() buckets, count, epoch = {}, 0, epoch + 1 end

local function key_of(def, q)
  local server = def.retry.server
  return server and server(q) or def.name
end

local function oldest()
  local found
  for key, bucket in next, buckets do
    if not found or bucket.used < buckets[found].used then found = key end
  end
  return found
end

--- The bucket of a call's endpoint, or of its server.
local function bucket_of(call)
  M.used = true
  local health = call.target and call.target.endpoint.health
  if health then
    if health.epoch ~= epoch or not health.left then health.epoch, health.left = epoch, M.saved end
    return health
  end
  local key = key_of(call.def, call.q)
  local bucket = buckets[key]
  if not bucket then
    if count >= M.kept then buckets[oldest()], count = nil, count - 1 end
    bucket = { left = M.saved }
    buckets[key], count = bucket, count + 1
  end
  uses = uses + 1
  bucket.used = uses
  return bucket
end

--- A call begins: it knows where it goes.
---@param call table
function M.earn(call)
  local health = call.target and call.target.endpoint.health
  if health then
    if not health.left or health.epoch ~= epoch then return end -- full
    health.left = health.left + M.earned
    if health.left >= M.saved then health.left = nil end
    return
  end
  if count == 0 then return end -- all are full
  local key = key_of(call.def, call.q)
  local bucket = buckets[key]
  if not bucket then return end
  bucket.left = bucket.left + M.earned
  if bucket.left >= M.saved then buckets[key], count = nil, count - 1 end
end

--- A call that was taken by a server which answers nothing, and called back from there (lua/gate/rescue.lua), is asked for
--- elsewhere, once; unless its own wait is not wanted any more either.
local function called_back(call, err)
  if not rawget(call, "stalled") or err.kind ~= "cancelled" then return false end
  local task = call.task
  if (task.scope or task).cancelled then return false end
  call.stalled, call.avoid = false, call.target.key
  return true
end

--- A call that failed before it began to answer is asked for once at another server of its route, at once: it is no repetition for
--- the one that failed.
local function moves(call, err)
  local work = call.work
  if call.avoid or not call.target or type(work) ~= "table" or not work[2] then return false end
  local status = err.status
  local elsewhere = err.retryable or err.kind == "protocol" or status and (status >= 500 or status == 404)
  if not elsewhere then return false end
  call.avoid = call.target.key
  return true
end

--- May this call be tried again? Waits the pause.
---@param call table { def, q, attempts = how often it was tried, target? }
---@param err stoke.error
---@return boolean again
---@return stoke.error|nil cancelled when the wait was cancelled
function M.again(call, err)
  local def, attempts = call.def, call.attempts
  if called_back(call, err) or moves(call, err) then return true end
  if not err.retryable or err.began or attempts >= def.retry.attempts then return false end
  if (err.retry_after or 0) > M.patience then return false end -- the script is told, and may come back later
  local bucket = bucket_of(call)
  if bucket.left < 1 then return false end
  bucket.left = bucket.left - 1
  local pause = math.min(def.retry.max, def.retry.base * 2 ^ (attempts - 1)) * random.stream("retry"):float()
  local woken, cancelled = host.park("retry", math.max(pause, err.retry_after or 0))
  if woken == nil then return false, cancelled end
  return true
end

return M
