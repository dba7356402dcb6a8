--- stoke.latest and stoke.rate: of calls that follow each other quickly the last alone, and no more than so many in a time.

local channel = require "core.channel"
local combine = require "core.combine"
local errors = require "core.errors"
local scopes = require "core.scope"
local time = require "stoke.time"

local M = {}

-- ---- the latest -----------------------------------------------------------------------------------------------------------

---@class stoke.latest
local Latest = {}
Latest.__index = Latest
Latest.__name = "stoke.latest"

local SUPERSEDED <const> = "superseded"

--- Call the function, unless a later call comes first or while it runs.
function Latest:__call(...)
  self.serial = self.serial + 1
  local mine, before = self.serial, self.task
  if before then
    self.task = nil
    before:cancel "a later call has taken its place"
  end
  if self.wait then
    time.sleep(self.wait)
    if self.serial ~= mine then return nil, SUPERSEDED end
  end
  local task
  local results = table.pack(combine.try(function(...) -- whose scope takes what fails in it
    task = combine.spawn(self.f, ...)
    self.task = task
    return task:await()
  end, ...))
  if self.task == task then self.task = nil end
  if self.serial ~= mine then return nil, SUPERSEDED end
  if results[2] ~= nil then error(results[2], 0) end
  return results[1], table.unpack(results, 3, results.n)
end

--- Cancel the call that runs; it returns nil, "superseded".
---
--- Example: `complete:cancel()`
function Latest:cancel()
  scopes.check_self(self, Latest, "latest:cancel()")
  self.serial = self.serial + 1
  local task = self.task
  self.task = nil
  if task then task:cancel "it is not wanted any more" end
end

--- A function of which the latest call alone goes on: a call cancels the one before it, with the question of a model that it may be
--- waiting for. For what is asked at each keystroke, or whenever something changes.
---@param f function
---@param options? { wait?: number } seconds that must pass without another call before it is called (0)
---@return stoke.latest latest call it as `f`. It returns what `f` returned, or nil and "superseded" where a later call came;
---  `latest:cancel()` ends the one that runs
---Raises `argument`; a call raises what `f` raises.
---
--- Example: `local complete = stoke.latest(function(text) return bot:run(text).text end, { wait = 0.3 })`
function M.latest(f, options)
  errors.check_callable(f, "stoke.latest")
  options = errors.options(options, { wait = "number" }, "stoke.latest")
  if options.wait then errors.check_seconds(options.wait, "stoke.latest: wait") end
  return setmetatable({ f = f, wait = options.wait, serial = 0, task = nil }, Latest)
end

-- ---- a rate -------------------------------------------------------------------------------------------------------------------

---@class stoke.rate
---@field calls integer
---@field per number seconds
local Rate = {}
Rate.__index = Rate
Rate.__name = "stoke.rate"

--- Less than this is no time to wait for: a clock may not tell it.
local NOTHING <const> = 1e-6

--- Seconds until one more may begin; the times of the last `calls` beginnings are kept in a ring.
local function left(self, now)
  local oldest = self.times[self.next]
  local seconds = oldest and oldest + self.per - now or 0
  return seconds > NOTHING and seconds or 0
end

local function begin(self, now)
  self.times[self.next] = now
  self.next = self.next % self.calls + 1
end

--- Wait until one more call may begin, first come first served.
---@return number seconds that it waited
---Raises `cancelled`.
---
--- Example: `limit:wait()`
function Rate:wait()
  scopes.check_self(self, Rate, "rate:wait()")
  local began = time.monotonic()
  local permit <close> = self.gate:acquire() -- luacheck: ignore
  local seconds = left(self, time.monotonic())
  while seconds > 0 do
    time.sleep(seconds)
    seconds = left(self, time.monotonic())
  end
  local now = time.monotonic()
  begin(self, now)
  return now - began
end

--- Begin one more call, if that may be at once.
---@return boolean began
---@return number|nil seconds until it may be, unless others wait before
---
--- Example: `if limit:try() then ask() end`
function Rate:try()
  scopes.check_self(self, Rate, "rate:try()")
  local now = time.monotonic()
  local seconds = left(self, now)
  if seconds > 0 or self.gate.free == 0 then return false, seconds end
  begin(self, now)
  return true
end

--- Wait for its turn, then call a function.
---@param f function
---@param ... any its arguments
---@return any ... what it returned
---Raises what it raises.
---
--- Example: `local page = limit:run(http.get, url)`
function Rate:run(f, ...)
  scopes.check_self(self, Rate, "rate:run()")
  errors.check_callable(f, "rate:run")
  self:wait()
  return f(...)
end

--- A limit of how often something begins: at most `calls` times in any `per` seconds.
---@param options { calls: integer, per: number }
---@return stoke.rate limit with limit:wait(), limit:run(f, ...) and limit:try()
---Raises `argument`.
---
--- Example: `local limit = stoke.rate { calls = 10, per = 60 }`
function M.rate(options)
  options = errors.options(options, { calls = "number", per = "number" }, "stoke.rate")
  local calls, per = options.calls, options.per
  if not (math.type(calls) == "integer" and calls >= 1) then
    errors.argument("stoke.rate: calls must be a whole number of at least 1, got %s", errors.describe(calls))
  end
  if not (type(per) == "number" and per > 0 and per < math.huge) then
    errors.argument("stoke.rate: per must be seconds above 0, got %s", errors.describe(per))
  end
  return setmetatable({ calls = calls, per = per, times = {}, next = 1, gate = channel.semaphore(1) }, Rate)
end

return M
