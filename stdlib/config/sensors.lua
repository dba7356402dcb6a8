-- stoke.config.sensors: temperature, battery and mains of this machine, for the pool's limits of power (pool.power in the
-- settings). Without a word of the user's, the files in which Linux tells them are read; elsewhere name files, or give functions:
--
--     require("stoke.config.sensors").use { temperature = function() return my_probe.celsius() end }

local errors = require "core.errors"
local fs = require "stoke.fs"
local gate = require "core.gate.pool"

local M = {}

-- Where Linux tells them. A star stands for any part of one name.
local FILES = {
  temperature = "/sys/class/thermal/thermal_zone*/temp",
  battery = "/sys/class/power_supply/BAT*/capacity",
  ac = "/sys/class/power_supply/A*/online",
}

local chosen = {}

--- The names in a folder that a pattern with stars stands for.
local function names(folder, pattern)
  if not pattern:find("*", 1, true) then return { pattern } end
  local plain = pattern:gsub("[%^%$%(%)%%%.%[%]%+%-%?]", "%%%0")
  local matches, out = "^" .. plain:gsub("%*", ".*") .. "$", {}
  local ok, entries = pcall(fs.list, folder == "" and "/" or folder)
  for _, entry in ipairs(ok and entries or {}) do
    if entry.name:find(matches) then out[#out + 1] = entry.name end
  end
  return out
end

--- All files that a path with stars stands for.
local function files(path)
  local found = { path:sub(1, 1) == "/" and "" or "." }
  for part in path:gmatch "[^/]+" do
    local next_ones = {}
    for _, folder in ipairs(found) do
      for _, name in ipairs(names(folder, part)) do next_ones[#next_ones + 1] = folder .. "/" .. name end
    end
    found = next_ones
  end
  return found
end

--- The numbers in the files of a path; what cannot be read is left out.
local function numbers(path)
  local out = {}
  for _, file in ipairs(files(path)) do
    local ok, text = pcall(fs.read, file, { max = 4096 })
    local number = ok and tonumber(text:match "%-?%d+%.?%d*")
    if number then out[#out + 1] = number end
  end
  return out
end

-- Several zones, several batteries: the hottest, the emptiest, any mains. A kernel tells thousandths of a degree.
local JOIN = {
  temperature = function(list)
    local most = math.max(table.unpack(list))
    return most > 200 and most / 1000 or most
  end,
  battery = function(list) return math.min(table.unpack(list)) end,
  ac = function(list) return math.max(table.unpack(list)) > 0 end,
}

--- One sensor: a function's value, or what its files say.
local function sense(name, source)
  if type(source) == "function" then
    local ok, value = pcall(source)
    if not ok then return nil end
    return value
  end
  local list = numbers(source)
  if #list == 0 then return nil end
  return JOIN[name](list)
end

--- Read the sensors. What cannot be read is nil.
---@param sensors? { temperature?: string|function, battery?: string|function, ac?: string|function } files, with `*` for any part
---  of a name, or functions; Linux's files where one is left out
---@return { temperature?: number, battery?: number, ac?: boolean } readings degrees Celsius, percent, is it on mains?
---
--- Example: `print(sensors.read().temperature)`
function M.read(sensors)
  local readings = {}
  for name, path in pairs(FILES) do readings[name] = sense(name, sensors and sensors[name] or path) end
  if type(readings.ac) == "number" then readings.ac = readings.ac > 0 end
  return readings
end

--- Choose the sensors that the pool reads, beside its limits (pool.power).
---@param sensors? table as M.read takes them
---Raises `argument`.
---
--- Example: `sensors.use { temperature = "/sys/class/hwmon/hwmon*/temp1_input" }`
function M.use(sensors)
  chosen = errors.options(sensors, { temperature = true, battery = true, ac = true }, "sensors.use")
  for name, source in pairs(chosen) do
    if type(source) ~= "string" and type(source) ~= "function" then
      errors.argument("sensors.use: %s is a path or a function, not %s", name, errors.describe(source))
    end
  end
  gate.sensors = function() return M.read(chosen) end
end

return M
