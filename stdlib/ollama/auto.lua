--- The context window of models whose profile says num_ctx = "auto": as large as the longest conversation needed so far, in few
--- steps. Each change loads the model anew, so it only grows; what the model itself can hold, and what was seen not to fit into
--- memory, bound it. It is kept with what is learned of the model (stoke.model.learned): { size = in force, most = bound | nil,
--- asked = the server was asked for the model's own, before = the size before the last growth }.

local M = {}

--- The windows there are; the largest is for models that can hold more.
M.STEPS = { 4096, 8192, 16384, 32768, 65536, 131072 }

local function of(facts)
  local entry = facts.auto
  if not entry then
    entry = { size = M.STEPS[1] }
    facts.auto = entry
  end
  return entry
end

--- What is known of a target's window, see above.
---@param target stoke.target
---@return table
function M.entry(target) return of(target.learned) end

--- The window that is sent: the largest that any run has needed.
---@param target stoke.target
---@return integer
function M.size(target) return of(target.shared or target.learned).size end

local function grow(entry, tokens)
  local size, most = entry.size, entry.most or math.maxinteger
  for _, step in ipairs(M.STEPS) do
    if step > size and size < tokens then size = step end
  end
  size = math.max(entry.size, math.min(size, most))
  if size == entry.size then return false end
  entry.before, entry.size = entry.size, size
  return true
end

--- Grow to what so many tokens need.
---@param target stoke.target
---@param tokens integer of the prompt and its answer
---@return boolean own the target's own window has changed
---@return boolean shared the one that is sent has
function M.grow(target, tokens)
  local own = grow(M.entry(target), tokens)
  if not target.shared then return own, own end
  local shared = of(target.shared)
  shared.most, shared.asked = M.entry(target).most, M.entry(target).asked or shared.asked
  return own, grow(shared, tokens)
end

--- It did not fit into memory: back to the window before, for good. That is the one way down.
---@param target stoke.target
---@return boolean changed
function M.shrink(target)
  local entry = of(target.shared or target.learned)
  if not entry.before then return false end
  entry.size, entry.most, entry.before = entry.before, entry.before, nil
  local own = M.entry(target)
  own.size, own.most, own.before = math.min(own.size, entry.size), entry.most, nil
  return true
end

return M
