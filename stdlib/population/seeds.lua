--- Numbers of chance for each purpose out of one seed: what is drawn for one purpose changes nothing for another.

local errors = require "core.errors"
local json = require "core.json"
local rand = require "stoke.rand"

local M = {}

--- A seed of its own for a purpose.
---@param seed integer
---@param ... string|integer the purpose
---@return integer from 0 to 2^31 - 1, which every model server takes
function M.of(seed, ...)
  local digest = errors.check(json.digest { seed, ... })
  return tonumber(digest:sub(1, 8), 16) & 0x7fffffff
end

--- A generator for a purpose.
---@param seed integer
---@param ... string|integer
---@return table generator of stoke.rand.new
function M.stream(seed, ...) return rand.new(M.of(seed, ...)) end

--- Check a seed.
---@param where string
---@param seed any
---@return integer
---Raises `argument`.
function M.check(where, seed)
  if seed == nil then return 0 end
  if math.type(seed) ~= "integer" then errors.argument("%s: seed must be a whole number, got %s", where, errors.describe(seed)) end
  return seed
end

return M
