--- Which models of a server fit beside each other? Learned from what was seen loaded together, and from what had to leave for
--- another. Pure. Sizes are bytes as the server tells them; where it tells none, only what was seen counts.
---
--- A server has two limits, and tells neither: bytes, and a number of models. Both are known from below (what was there at once)
--- and from above (what was not).

local M = {}

local NEVER = math.huge

---@class stoke.pool.room
---@field sizes table<string, integer> by model
local Room = {}
Room.__index = Room

---@param facts? table as Room:facts() gave; what does not fit is left out
---@return stoke.pool.room
function M.new(facts)
  local self = setmetatable({ sizes = {}, apart = {}, bytes = 0, most = 0, no_bytes = NEVER, no_most = NEVER }, Room)
  for _, field in ipairs { "bytes", "most", "no_bytes", "no_most" } do
    if facts and type(facts[field]) == "number" then self[field] = facts[field] end
  end
  for field, kind in next, { sizes = "number", apart = "boolean" } do
    for name, value in next, facts and type(facts[field]) == "table" and facts[field] or {} do
      if type(value) == kind then self[field][name] = value end
    end
  end
  return self
end

--- What was learned, as plain data.
---@return table
function Room:facts()
  local out = { bytes = self.bytes, most = self.most, sizes = {}, apart = {} }
  if self.no_bytes < NEVER then out.no_bytes = self.no_bytes end
  if self.no_most < NEVER then out.no_most = self.no_most end
  for _, field in ipairs { "sizes", "apart" } do
    for name, value in next, self[field] do out[field][name] = value end
  end
  return out
end

--- The server's limits may be others now. Sizes stay.
function Room:forget()
  self.apart, self.bytes, self.most, self.no_bytes, self.no_most = {}, 0, 0, NEVER, NEVER
end

local function pair(a, b) return a < b and a .. "\n" .. b or b .. "\n" .. a end

--- Bytes of all of these; nil where one is not known.
local function sum(self, names)
  local bytes = 0
  for _, name in ipairs(names) do
    local size = self.sizes[name]
    if not size then return nil end
    bytes = bytes + size
  end
  return bytes
end

--- These are loaded at the same time.
---@param names string[]
---@param bytes? integer of all of them
function Room:together(names, bytes)
  bytes = bytes or sum(self, names)
  if #names > self.most then self.most = #names end
  if bytes and bytes > self.bytes then self.bytes = bytes end
  if self.most >= self.no_most then self.no_most = NEVER end
  if self.bytes >= self.no_bytes then self.no_bytes = NEVER end
  for i = 1, #names do
    for k = i + 1, #names do self.apart[pair(names[i], names[k])] = false end
  end
end

--- One of these had to leave for another of them.
---@param names string[]
function Room:not_together(names)
  local bytes = sum(self, names)
  if #names == 2 then self.apart[pair(names[1], names[2])] = true end
  if bytes and bytes > self.bytes then
    self.no_bytes = math.min(self.no_bytes, bytes)
  elseif #names > self.most then -- there was room for them: it is their number
    self.no_most = math.min(self.no_most, #names)
  end
end

--- Do these models fit beside each other?
---
---     room:fits { "qwen2.5:3b", "nomic-embed-text" }   --> true, false, or nil where nobody knows
---
---@param names string[]
---@return boolean|nil
function Room:fits(names)
  if #names <= 1 then return true end
  if #names >= self.no_most then return false end
  local seen = #names == 2
  for i = 1, #names do
    for k = i + 1, #names do
      local apart = self.apart[pair(names[i], names[k])]
      if apart then return false end
      seen = seen and apart == false
    end
  end
  if seen then return true end
  local bytes = sum(self, names)
  if not bytes then return nil end
  if bytes >= self.no_bytes then return false end
  if bytes <= self.bytes and #names <= self.most then return true end
  return nil
end

return M
