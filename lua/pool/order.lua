--- Program order as one integer: the level of a program (lua/pool/programs.lua), the age of its root, the age of the unit (a
--- session, an agent's run) inside it. Smaller goes first.

local M = {}

local UNIT_BITS <const>, ROOT_BITS <const> = 29, 28
local UNIT_MASK <const>, ROOT_MASK <const> = (1 << UNIT_BITS) - 1, (1 << ROOT_BITS) - 1
local LEVEL_AT <const> = UNIT_BITS + ROOT_BITS
local BELOW <const> = (1 << LEVEL_AT) - 1

--- The last level.
M.LAST = 31

--- The key of a call.
---@param root integer the age of its program: smaller is older; 28 bits count
---@param unit integer the age of its unit inside the program; 29 bits count
---@param level integer|nil how much of its program is still to be done: 0 to M.LAST
---@return integer
---
--- Example: `order.key(1, 5) < order.key(1, 6) and order.key(9, 1) < order.key(1, 1, 2)`
function M.key(root, unit, level)
  return (level or 0) << LEVEL_AT | (root & ROOT_MASK) << UNIT_BITS | unit & UNIT_MASK
end

--- The same key at another level.
---@param key integer
---@param level integer
---@return integer
function M.at(key, level) return key & BELOW | level << LEVEL_AT end

--- The level of a key.
---@param key integer
---@return integer
function M.level(key) return key >> LEVEL_AT end

--- The part of a key that is the same for all calls of one program.
---@param key integer
---@return integer
function M.program(key) return key >> UNIT_BITS & ROOT_MASK end

return M
