--- Clocks and sleep. Under `stoke test` the clock is virtual: sleeping an hour takes no time.

local effect = require "core.effect"
local errors = require "core.errors"
require "core.driver.time"

local M = {}

--- Seconds since 1970-01-01 UTC.
---@return number
---
--- Example: `local started = time.now()`
function M.now() return effect.perform("time.now") end

--- Seconds since some fixed moment; never goes back. For measuring.
---@return number
---
--- Example: `local t = time.monotonic(); work(); print(time.monotonic() - t)`
function M.monotonic() return effect.perform("time.monotonic") end

--- Seconds of processor time this process has used.
---@return number
---
--- Example: `print(time.cpu())`
function M.cpu() return effect.perform("time.cpu") end

--- Let other tasks run for a while.
---@param seconds number 0 = only let the others have a turn
---Raises `argument` unless it is a number >= 0; `cancelled`.
---
--- Example: `time.sleep(0.5)`
function M.sleep(seconds)
  if type(seconds) ~= "number" or seconds ~= seconds or seconds < 0 then
    errors.argument("sleep: seconds must be a number >= 0, got %s", errors.describe(seconds))
  end
  effect.perform("time.sleep", seconds)
end

return M
