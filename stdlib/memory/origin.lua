--- Who says what is remembered, and what becomes of that where something is concluded from it.

local errors = require "core.errors"

local M = {}

--- From what is least to be trusted to what is most.
local ORIGINS <const> = { "stranger", "tool", "agent", "person", "script" }

local TRUST = {}
for i, origin in ipairs(ORIGINS) do TRUST[origin] = i end

--- Check one.
---@param what string
---@param origin any
---@return string origin
---Raises `argument`, with the one that was probably meant.
function M.check(what, origin)
  if TRUST[origin] then return origin end
  local near = type(origin) == "string" and errors.suggest(origin, ORIGINS)
  errors.argument("%s: an origin is one of %s, got %s%s", what, table.concat(ORIGINS, ", "), errors.describe(origin),
    near and (" (did you mean %s?)"):format(near) or "")
end

--- The one that is less to be trusted. One that is not known (another program wrote it) counts as a stranger's.
---@param a string
---@param b string
---@return string
function M.worse(a, b)
  if not TRUST[a] or not TRUST[b] then return "stranger" end
  return TRUST[a] < TRUST[b] and a or b
end

--- Did others write it, so that it is marked where it is shown?
---@param origin string
---@return boolean
function M.foreign(origin) return M.worse(origin, "agent") ~= "agent" end

return M
