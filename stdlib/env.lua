--- The environment of the process, read-only. A policy can restrict which variables a script sees.
---
--- `--env-file FILE` adds the variables of a file before the script starts; variables that are already set keep their
--- values. A line is NAME=value, with or without `export`; # begins a comment at the start of a line and after a blank.
--- 'Single quotes' keep every character, "double quotes" read \n, \r, \t, \", \\ and \$; both may hold line breaks. Nothing is
--- expanded: $NAME stays.

local effect = require "core.effect"
local envfile = require "core.envfile"
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

--- Parse text in the format of `--env-file`. Does not change the environment.
---@param text string
---@param name? string name of the text in errors
---@return table<string, string> values by name
---Raises `usage`, with name and line.
---
--- Example: `print(env.parse("export TOKEN='a b'").TOKEN)`
function M.parse(text, name)
  if type(text) ~= "string" then errors.argument("env.parse: a string expected, got %s", errors.describe(text)) end
  local out = {}
  for _, v in ipairs(envfile.parse(text, name or "text")) do out[v.name] = v.value end
  return out
end

return M
