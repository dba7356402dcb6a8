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

--- Of two models: true, they had to leave for each other; false, they were seen together; nil.
local function known(self, a, b)
  local row = self.apart[a]
  return row and row[b]
end

local function note(self, a, b, apart)
  for _, pair in ipairs { { a, b }, { b, a } } do
    local row = self.apart[pair[1]] or {}
    row[pair[2]], self.apart[pair[1]] = apart, row
  end
end

---@param facts? table as Room:facts() gave; what does not fit is left out
---@return stoke.pool.room
function M.new(facts)
  local self = setmetatable({ sizes = {}, apart = {}, bytes = 0, most = 0, no_bytes = NEVER, no_most = NEVER }, Room)
  for _, field in ipairs { "bytes", "most", "no_bytes", "no_most" } do
    if facts and type(facts[field]) == "number" then self[field] = facts[field] end
  end
  for name, size in next, facts and type(facts.sizes) == "table" and facts.sizes or {} do
    if type(name) == "string" and math.type(size) then self.sizes[name] = size end
  end
  for a, row in next, facts and type(facts.apart) == "table" and facts.apart or {} do
    for b, apart in next, type(row) == "table" and row or {} do
      if type(b) == "string" and type(apart) == "boolean" then note(self, a, b, apart) end
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
  for name, size in next, self.sizes do out.sizes[name] = size end
  for a, row in next, self.apart do
    out.apart[a] = {}
    for b, apart in next, row do out.apart[a][b] = apart end
  end
  return out
end

--- The server's limits may be others now. Sizes stay.
function Room:forget()
  self.apart, self.bytes, self.most, self.no_bytes, self.no_most = {}, 0, 0, NEVER, NEVER
end

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
    for k = i + 1, #names do note(self, names[i], names[k], false) end
  end
end

--- One of these had to leave for another of them.
---@param names string[]
function Room:not_together(names)
  local bytes = sum(self, names)
  if #names == 2 then note(self, names[1], names[2], true) end
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
      local apart = known(self, names[i], names[k])
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
