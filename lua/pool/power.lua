--- How much may this machine work? Temperature, battery and mains go in as readings, with their time (seconds), and whether a
--- call of a class may be sent comes out. Pure; who reads the sensors: stoke.sensors.
---
--- Above a limit no call is sent, until the reading is back below a lower mark, so that it does not change with each reading. A
--- call under way is never stopped. Interactive calls may go all the same. Without limits, work may come in bursts with rests
--- between them, always or only on battery: long batch work on a laptop.

local M = {}

--- Degrees that the temperature must fall below its limit; percent that the battery must rise above its.
M.cooler, M.fuller = 5, 5
--- Seconds between two readings.
M.every = 5

---@class stoke.pool.limits as written in the settings, pool.power
---@field temperature? number|{ above: number, below?: number } degrees Celsius
---@field battery? number|{ below: number, above?: number } percent; holds on battery alone
---@field ac? boolean true: no work on battery
---@field burst? number seconds of work, then
---@field rest? number seconds without
---@field when? "always"|"battery" for bursts
---@field interactive? boolean interactive calls are sent all the same; true when not given
---@field every? number seconds between readings
---@field sensors? table see stoke.sensors

---@class stoke.pool.power
local P = {}
P.__index = P

local function marks(given, first, second, step)
  if given == nil then return nil end
  if type(given) == "number" then return given, given + step end
  return given[first], given[second] or given[first] + step
end

---@param limits stoke.pool.limits checked before
---@return stoke.pool.power
---
---     local p = power.new { temperature = 85, battery = { below = 30, above = 40 } }
---     p:read({ temperature = 91 }, now)
---     p:allows(now, 2)   --> false, now + 5, "too hot: 91 C; calls begin again at 80 C"
function M.new(limits)
  local hot, cool = marks(limits.temperature, "above", "below", -M.cooler)
  local low, full = marks(limits.battery, "below", "above", M.fuller)
  local senses = (hot or low or limits.ac or limits.when == "battery") and true or false
  return setmetatable({ hot = hot, cool = cool, low = low, full = full, mains = limits.ac, burst = limits.burst,
    rest = limits.burst and (limits.rest or limits.burst) or nil, on_battery = limits.when == "battery", senses = senses,
    override = limits.interactive ~= false, every = limits.every or M.every, readings = {}, at = nil, stopped = {},
    began = nil }, P)
end

local function hysteresis(stopped, value, stops, goes)
  if value == nil then return false end -- what cannot be read stops nothing
  if stopped then return not goes(value) end
  return stops(value)
end

--- A sensor may be a function of the user's, and say anything.
local function number(value) return type(value) == "number" and value or nil end

--- Take in a reading. A field that is nil, or of another type, could not be read.
---@param readings { temperature?: number, battery?: number, ac?: boolean }
---@param now number
function P:read(readings, now)
  local temperature, battery = number(readings.temperature), number(readings.battery)
  self.readings, self.at = { temperature = temperature, battery = battery, ac = readings.ac }, now
  local stopped = self.stopped
  if readings.ac then battery = battery and 100 end
  stopped.temperature = self.hot and hysteresis(stopped.temperature, temperature,
    function(v) return v > self.hot end, function(v) return v <= self.cool end)
  stopped.battery = self.low and hysteresis(stopped.battery, battery,
    function(v) return v < self.low end, function(v) return v >= self.full end)
  stopped.ac = self.mains and readings.ac == false
end

--- When the next reading is due.
---@return number|nil nil: at once
function P:due() return self.at and self.at + self.every end

local function why(self)
  local r, s = self.readings, self.stopped
  if s.temperature then return ("too hot: %.0f C; calls begin again at %.0f C"):format(r.temperature, self.cool) end
  if s.battery then return ("battery at %.0f %%; calls begin again at %.0f %%"):format(r.battery, self.full) end
  if s.ac then return "on battery; calls begin again on mains" end
end

--- Bursts and rests: is it a rest, and until when? A burst begins with its first call, and a rest that nobody wanted to work in
--- counts as one.
local function resting(self, now)
  if not self.burst or (self.on_battery and self.readings.ac ~= false) then return false end
  local began = self.began
  local till = began and began + self.burst + self.rest -- it is compared as it is told: a difference may be a rounding short
  if not till or now >= till or now < began + self.burst then return false end
  return true, till
end

--- May a call of a class be sent?
---@param now number
---@param class integer 1 interactive, 2 normal, 3 batch
---@return boolean
---@return number|nil due when time alone changes that; a new reading may, too
---@return string|nil reason in words
function P:allows(now, class)
  if class == 1 and self.override then return true end
  if self.senses then
    if not self.at or now - self.at > self.every then return false, nil, "the sensors are being read" end
    local reason = why(self)
    if reason then return false, self.at + self.every, reason end
  end
  local rests, till = resting(self, now)
  if rests then return false, till, ("this machine rests for %.0f s more"):format(till - now) end
  return true
end

--- A call is sent.
---@param now number
function P:sent(now)
  if self.burst and (not self.began or now >= self.began + self.burst + self.rest) then self.began = now end
end

return M
