--- Ages and spans of time as they are typed: "90m", "12h", "30d".

local errors = require "core.errors"

local M = {}

local SECONDS <const> = { s = 1, m = 60, h = 3600, d = 86400, w = 7 * 86400 }

--- Seconds.
---@param text string|nil
---@param flag string that it was given for: "--older"
---@param example string a value as it should be
---@return number|nil seconds nil: nothing was given
---Raises `usage`.
---
--- Example: `assert(age.seconds("10m", "--since", "10m") == 600)`
function M.seconds(text, flag, example)
  if not text then return nil end
  local number, unit = text:lower():match "^(%d+%.?%d*)%s*(%a)$"
  if number and SECONDS[unit] then return tonumber(number) * SECONDS[unit] end
  errors.raise("usage", ("%s wants a number and a unit, got '%s'"):format(flag, text),
    { hint = ("as in %s %s"):format(flag, example) })
end

return M
