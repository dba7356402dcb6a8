--- The slots of one runner and what each remembers: which slot a new prompt gets, and how many of
--- its tokens need no work.
---
--- Follows the llama-server rule: among idle slots the one whose common prefix is the largest part
--- of the new prompt, if above a tenth; else the one idle for longest. When less than half of the
--- old content would survive (or the slot was taken for its age), the old content goes to a cache
--- in RAM, from which a better match may be restored.

local M = {}
local Slots = {}
Slots.__index = Slots

M.BYTES_PER_TOKEN = 4

-- How many idle slots and RAM entries are compared; beyond that the oldest are passed over (a bound
-- on time, not a rule of the original).
local LOOK = 32

--- Length in bytes of the longest common prefix.
---@param a string
---@param b string
---@return integer
function M.common(a, b)
  local high = math.min(#a, #b)
  if high == 0 or a:byte(1) ~= b:byte(1) then return 0 end
  if a:sub(1, high) == b:sub(1, high) then return high end
  local low = 1
  while low + 1 < high do
    local mid = (low + high) >> 1
    if a:sub(low, mid) == b:sub(low, mid) then low = mid else high = mid end
  end
  return low
end

---@param n integer slots
---@param reuse boolean? false: nothing is ever reused (embeddings)
function M.new(n, reuse)
  return setmetatable({ n = n, free = n, unused = n, idle = {}, ram = {}, reuse = reuse ~= false }, Slots)
end

local function best_of(list, prompt)
  local best, at, share = 0, nil, 0
  for i = #list, math.max(1, #list - LOOK + 1), -1 do
    local c = M.common(list[i].text, prompt)
    if c > best then best, at, share = c, i, c / #prompt end
  end
  return best, at, share
end

local function remember(self, text)
  local ram = self.ram
  if text == "" then return end
  if #ram >= LOOK then table.remove(ram, 1) end
  ram[#ram + 1] = { text = text }
end

--- Takes an idle slot for a prompt (there must be one).
---@param prompt string
---@return table slot
---@return integer cached tokens of the prompt that need no evaluation (at least one is always evaluated)
function Slots:take(prompt)
  assert(self.free > 0)
  self.free = self.free - 1
  if not self.reuse then
    if self.unused > 0 then self.unused = self.unused - 1 return { text = "" }, 0 end
    return table.remove(self.idle, 1), 0
  end
  local common, at, share = best_of(self.idle, prompt)
  local slot
  if at and share > 0.1 then
    slot = table.remove(self.idle, at)
  elseif self.unused > 0 then
    self.unused = self.unused - 1
    slot, common = { text = "" }, 0
  else
    slot = table.remove(self.idle, 1)
    common = M.common(slot.text, prompt)
  end
  if #slot.text > 0 and common < #slot.text / 2 then remember(self, slot.text) end
  if common < #prompt then
    local kept = best_of(self.ram, prompt)
    if kept > common then common = kept end
  end
  local total = math.max(1, math.ceil(#prompt / M.BYTES_PER_TOKEN))
  return slot, math.min(common // M.BYTES_PER_TOKEN, total - 1)
end

--- Gives a slot back with what it now holds.
function Slots:give(slot, text)
  slot.text = text
  self.free = self.free + 1
  self.idle[#self.idle + 1] = slot
end

return M
