--- Random streams, one for each purpose, all derived from one seed (--seed N). Streams are independent: the number of retries of a
--- call changes neither the ids of agent runs nor the numbers that a script draws.

local rand = require "host.rand"

local M = {}

local function any_integer(generator) return generator:int(math.mininteger, math.maxinteger) end

local seed = any_integer(rand.new())

--- The seed set by M.seed, if any.
---@type integer|nil
M.seeded = nil

--- Hash of a purpose's name: FNV-1a, 64 bits (Fowler, Noll, Vo 1991).
local function name_hash(name)
  local hash = -3750763034362895579 -- 14695981039346656037
  for i = 1, #name do hash = (hash ~ name:byte(i)) * 1099511628211 end
  return hash
end

--- The generators by purpose, each made when it is first asked for. Do not keep one: a new seed replaces it.
---@type table<string, any>
M.streams = setmetatable({}, { __index = function(streams, purpose)
  local generator = rand.new(seed ~ name_hash(purpose))
  streams[purpose] = generator
  return generator
end })

--- Restart all streams from a seed.
---@param new_seed integer
function M.seed(new_seed)
  seed, M.seeded = new_seed, new_seed
  for purpose in next, M.streams do M.streams[purpose] = nil end
end

--- The generator of a purpose: g:float(), g:int(low, high), g:bytes(n). Do not keep it: a new seed replaces it.
---@param purpose string "retry"
function M.stream(purpose) return M.streams[purpose] end

--- An id of chance: a prefix and eight hexadecimal digits. fun(generator, prefix: string): string
---
--- Example: `random.id(random.streams["run id"], "run_")`
M.id = rand.id

return M
