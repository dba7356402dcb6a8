--- The context window of models whose profile says num_ctx = "auto": as large as the longest conversation needed so far, in few
--- steps. Each change loads the model anew, so it only grows; what the model itself can hold, and what was seen not to fit into
--- memory, bound it.

local M = {}

--- The windows there are; the largest is for models that can hold more.
M.STEPS = { 4096, 8192, 16384, 32768, 65536, 131072 }

--- pool key -> { size = in force, most = bound, asked = the server was asked for the model's own }
local known = {}

local function of(key)
  local entry = known[key]
  if not entry then
    entry = { size = M.STEPS[1], most = math.huge }
    known[key] = entry
  end
  return entry
end

--- Know nothing of any model, as at the beginning.
function M.forget() known = {} end

--- The window in force.
---@param key string
---@return integer
function M.size(key) return of(key).size end

--- What is known of a model, see above.
---@param key string
---@return table
function M.entry(key) return of(key) end

--- Grow to what so many tokens need; true when that changes it.
---@param key string
---@param tokens integer of the prompt and its answer
---@return boolean grown
function M.grow(key, tokens)
  local entry = of(key)
  local size = entry.size
  for _, step in ipairs(M.STEPS) do
    if step > size and size < tokens then size = step end
  end
  size = math.max(entry.size, math.min(size, entry.most))
  if size == entry.size then return false end
  entry.before, entry.size = entry.size, size
  return true
end

--- It did not fit into memory: back to the window before, for good. That is the one way down.
---@param key string
---@return boolean changed
function M.shrink(key)
  local entry = of(key)
  if not entry.before then return false end
  entry.size, entry.most, entry.before = entry.before, entry.before, nil
  return true
end

return M
