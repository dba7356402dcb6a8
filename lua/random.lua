--- Random streams, one for each purpose, all derived from one seed (--seed N). Streams are independent: the number of retries of a
--- call changes neither the ids of agent runs nor the numbers that a script draws.

local rand = require "host.rand"

local M = {}

local function any_integer(generator) return generator:int(math.mininteger, math.maxinteger) end

local seed, streams = any_integer(rand.new()), {}

--- The seed set by M.seed, if any.
---@type integer|nil
M.seeded = nil

--- Restart all streams from a seed.
---@param new_seed integer
function M.seed(new_seed)
  seed, streams, M.seeded = new_seed, {}, new_seed
end

--- Hash of a purpose's name: FNV-1a, 64 bits (Fowler, Noll, Vo 1991).
local function name_hash(name)
  local hash = -3750763034362895579 -- 14695981039346656037
  for i = 1, #name do hash = (hash ~ name:byte(i)) * 1099511628211 end
  return hash
end

--- The generator of a purpose: g:float(), g:int(low, high), g:bytes(n). Do not keep it: a new seed replaces it.
---@param purpose string "retry"
function M.stream(purpose)
  local generator = streams[purpose]
  if not generator then
    generator = rand.new(seed ~ name_hash(purpose))
    streams[purpose] = generator
  end
  return generator
end

--- An id of chance: a prefix and eight hexadecimal digits.
---@param purpose string "run id"
---@param prefix string
---@return string
function M.id(purpose, prefix) return rand.id(streams[purpose] or M.stream(purpose), prefix) end

return M
