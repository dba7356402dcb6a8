--- Two small tools for what models are bad at: the time, and arithmetic.

local calculate = require "stoke.tools.calculate"
local errors = require "core.errors"
local time = require "stoke.time"
local tool = require "stoke.tool"

local M = {}

-- ---- now ------------------------------------------------------------------------------------------------------------------

local DAYS = { "Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday" }
local MONTHS = { "January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
  "December" }

--- Seconds that local time is ahead of UTC at that moment.
local function offset_at(seconds)
  local utc, here = os.date("!*t", seconds), os.date("*t", seconds)
  local days = here.year ~= utc.year and (here.year > utc.year and 1 or -1) or here.yday - utc.yday
  return ((days * 24 + here.hour - utc.hour) * 60 + here.min - utc.min) * 60 + here.sec - utc.sec
end

local function moment(utc)
  local seconds = math.floor(time.now())
  local offset = utc and 0 or offset_at(seconds)
  local t = os.date("!*t", seconds + offset)
  local minutes = math.abs(offset) // 60
  local zone = ("%s%02d:%02d"):format(offset < 0 and "-" or "+", minutes // 60, minutes % 60)
  return {
    date = ("%04d-%02d-%02d"):format(t.year, t.month, t.day), time = ("%02d:%02d:%02d"):format(t.hour, t.min, t.sec),
    weekday = DAYS[t.wday], day = t.day, month = MONTHS[t.month], year = t.year, utc_offset = zone, unix = seconds,
    iso = ("%04d-%02d-%02dT%02d:%02d:%02d%s"):format(t.year, t.month, t.day, t.hour, t.min, t.sec, utc and "Z" or zone),
  }
end

local Moment = {
  __tostring = function(m)
    return ("%s, %d %s %d, %s (UTC%s)\n%s"):format(m.weekday, m.day, m.month, m.year, m.time, m.utc_offset, m.iso)
  end,
}

--- A tool without parameters: the date, the weekday and the time. Its result is a table { date, time, weekday, utc_offset, iso,
--- unix, day, month, year }, which a model reads as text.
---@param options? { utc?: boolean, name?: string } utc: UTC instead of local time; name: "now"
---@return stoke.tool
---Raises `argument`.
---
--- Example: `print(basic.now():call().weekday)`
function M.now(options)
  options = errors.options(options, { utc = "boolean", name = "string" }, "now")
  return tool {
    name = options.name or "now", description = "The current date, weekday and time.", idempotent = true,
    run = function() return setmetatable(moment(options.utc), Moment) end,
  }
end

-- ---- calculator -----------------------------------------------------------------------------------------------------------

local DESCRIPTION = "Calculate an arithmetic expression exactly, for example `(1,200 + 35) * 20%` or `sqrt(2) ^ 3`. Operators: "
  .. "+ - * / // (whole division) % (remainder, or per cent after a number) ^ and parentheses. Functions: sqrt sin cos tan asin "
  .. "acos atan (radians) ln log log2 log10 exp abs floor ceil round min max factorial gcd. Constants: pi e."

--- A tool with one parameter, `expression`. Whole numbers are exact while they fit 64 bits.
---@param options? { name?: string } name: "calculator"
---@return stoke.tool
---Raises `argument`. A call raises `tool` with the position of what is wrong.
---
--- Example: `print(basic.calculator():call { expression = "1,200 * 20%" })  --> 240`
function M.calculator(options)
  options = errors.options(options, { name = "string" }, "calculator")
  return tool {
    name = options.name or "calculator", description = DESCRIPTION, idempotent = true,
    params = { expression = "string: what to calculate, such as (3 + 4) * 2" },
    run = function(args)
      local value, complaint = calculate.evaluate(args.expression)
      if not value then errors.raise("tool", complaint) end
      return calculate.show(value)
    end,
  }
end

return M
