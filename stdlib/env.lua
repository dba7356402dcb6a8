--- The environment of the process, read-only. What a script may see can be narrowed by a policy.

local effect = require "core.effect"
local errors = require "core.errors"
require "core.driver.env"

local M = {}

--- The value of a variable.
---@param name string
---@param default? string what to return when it is not set
---@return string|nil
---Raises `argument`, `denied`.
---
--- Example: `local home = env.get("HOME", "/")`
function M.get(name, default)
  if type(name) ~= "string" or name == "" or name:find "[=%z]" then
    errors.argument("env.get: the name must be a string without '=' and NUL, got %s", type(name))
  end
  local value = errors.check(effect.perform("env.get", { name = name }))
  if value == nil then return default end
  return value
end

--- The names of all variables, sorted.
---@return string[]
---Raises `denied`.
---
--- Example: `for _, name in ipairs(env.names()) do print(name, env.get(name)) end`
function M.names() return errors.check(effect.perform("env.names", {})) end

return M
