--- The slots of one runner and what each remembers: which slot a new prompt gets, and how many of
--- its tokens need no work.
---
--- Follows the llama-server rule: among idle slots the one whose common prefix is the largest part
--- of the new prompt, if above a tenth; else the one idle for longest. When less than half of the
--- old content would survive (or the slot was taken for its age), the old content goes to a cache
--- in RAM, from which a better match may be restored.
---
--- Before there was llama-server (kind "slot") nothing went anywhere: the slot with the longest
--- common prefix is taken, and what it held beyond that is gone.

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
---@param kind "host"|"slot"|nil "host" when not given
function M.new(n, reuse, kind)
  return setmetatable({ n = n, free = n, unused = n, idle = {}, ram = {}, reuse = reuse ~= false,
    one_each = kind == "slot" }, Slots)
end

local function best_of(list, prompt)
  local best, at, share = 0, nil, 0
  for i = #list, math.max(1, #list - LOOK + 1), -1 do
    local c = M.common(list[i].text, prompt)
    if c > best then best, at, share = c, i, c / #prompt end
  end
  return best, at, share
end

-- The idle slot with the longest common prefix, of equals the first; a fresh one only when all that
-- were used are busy.
local function take_longest(self, prompt)
  local best, at = -1, nil
  for i = 1, math.min(#self.idle, LOOK) do
    local slot = self.idle[i]
    local c = M.common(slot.text, prompt) // M.BYTES_PER_TOKEN
    if c > best or c == best and slot.id < self.idle[at].id then best, at = c, i end
  end
  if at then return table.remove(self.idle, at), best * M.BYTES_PER_TOKEN end
  self.unused = self.unused - 1
  return { text = "", id = self.n - self.unused }, 0
end

local function cached_tokens(common, prompt)
  local total = math.max(1, math.ceil(#prompt / M.BYTES_PER_TOKEN))
  return math.min(common // M.BYTES_PER_TOKEN, total - 1)
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
  if self.one_each then
    local slot, common = take_longest(self, prompt)
    return slot, cached_tokens(common, prompt)
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
  return slot, cached_tokens(common, prompt)
end

--- Gives a slot back with what it now holds.
function Slots:give(slot, text)
  slot.text = text
  self.free = self.free + 1
  self.idle[#self.idle + 1] = slot
end

return M
