--- The retry gate: errors that say `retryable` are tried again after a pause that doubles and is jittered (full jitter, Brooker
--- 2015), while a token bucket per effect has some left: when a server is down for all, retries must not multiply the load.

local host = require "host.task"
local random = require "core.random"

local M = {}

--- Each first call earns a tenth of a retry; at most this many are saved up.
M.saved = 20
M.earned = 0.1
--- Longest Retry-After that is waited for, seconds.
M.patience = 30

local buckets = {}

--- A call begins.
function M.earn(def)
  local bucket = buckets[def.name]
  if not bucket then return end -- full
  bucket = bucket + M.earned
  buckets[def.name] = bucket < M.saved and bucket or nil
end

--- May this call be tried again? Waits the pause.
---@return boolean again
---@return stoke.error|nil cancelled when the wait was cancelled
function M.again(def, err, attempts)
  local bucket = buckets[def.name] or M.saved
  if not err.retryable or err.began or attempts >= def.retry.attempts or bucket < 1 then return false end
  if (err.retry_after or 0) > M.patience then return false end -- the script is told, and may come back later
  buckets[def.name] = bucket - 1
  local pause = math.min(def.retry.max, def.retry.base * 2 ^ (attempts - 1)) * random.float()
  local woken, cancelled = host.park("retry", math.max(pause, err.retry_after or 0))
  if woken == nil then return false, cancelled end
  return true
end

return M
