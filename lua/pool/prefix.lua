--- What a server's slots remember of conversations, imitated from outside: it tells nobody, and slots cannot be chosen.
---
--- Two habits are known. "slot": each slot holds one conversation; a call takes the idle slot with the longest common beginning,
--- and what that held beyond it is gone; an empty slot is taken only where all used ones are busy (Ollama before 0.30). "host":
--- what a slot held goes to the host's memory and comes back from there. Both are imitated side by side; how long prompts took to
--- read tells which is the server's.
---
--- A prompt is known by its chain: { hash after the 1st message, after the 2nd, ..., tokens = { up to there ... } }. The common
--- beginning of two is the last place where they agree. Pure: nothing here waits.

local M = {}

local max, min, remove = math.max, math.min, table.remove

--- Conversations that a server with a cache in its memory keeps, as far as anybody can tell.
M.KEPT = 32
--- Tokens that a template begins every prompt with: what all have in common.
local TEMPLATE <const> = 1
--- A slot is worth taking for more than this part of the prompt.
local WORTH <const> = 0.1
--- Predictions that differ by less than this part of a prompt tell nothing of the habit.
local DIFFER <const> = 0.2
--- Of a habit's score, what a new observation counts.
local SHARE <const> = 0.2

---@class stoke.pool.chain
---@field tokens integer[]

-- ---- one habit ----------------------------------------------------------------------------------------------------------------

--- Tokens that a prompt has in common with what an entry holds.
local function common(entry, chain)
  local held = entry.chain
  if not held then return 0 end
  local low, high = 0, min(#held, #chain)
  while low < high do
    local mid = (low + high + 1) // 2
    if held[mid] == chain[mid] then low = mid else high = mid - 1 end
  end
  if low == 0 then return TEMPLATE end
  local shared = chain.tokens[low]
  if low == #held and low < #chain then -- what was answered is the next message, as a rule
    shared = shared + min(entry.tail, chain.tokens[low + 1] - shared)
  end
  return shared
end

local function total_of(chain) return chain.tokens[#chain] or 0 end

local function best_of(list, chain)
  local best, at = 0, nil
  for i = #list, 1, -1 do
    local shared = common(list[i], chain)
    if shared > best then best, at = shared, i end
  end
  return best, at
end

--- One conversation a slot.
local function take_slot(side, chain)
  local best, at = -1, nil
  for i, entry in ipairs(side.idle) do
    local shared = common(entry, chain)
    if shared > best or shared == best and entry.id < side.idle[at].id then best, at = shared, i end
  end
  if at then return remove(side.idle, at), best end
  side.used = side.used + 1
  return { id = side.used, chain = nil, tail = 0 }, 0
end

--- What slots held stays in the host's memory.
local function take_host(side, chain)
  local total = total_of(chain)
  local best, at = best_of(side.idle, chain)
  local entry
  if at and best > WORTH * total then
    entry = remove(side.idle, at)
  elseif side.used < side.slots or #side.idle == 0 then
    side.used = side.used + 1
    entry, best = { id = side.used, chain = nil, tail = 0 }, 0
  else
    entry = remove(side.idle, 1)
    best = common(entry, chain)
  end
  local held = entry.chain
  if held and best < total_of(held) / 2 then
    if #side.kept >= M.KEPT then remove(side.kept, 1) end
    side.kept[#side.kept + 1] = { chain = held, tail = entry.tail, box = entry.box }
  end
  return entry, max(best, (best_of(side.kept, chain)))
end

local TAKE = { slot = take_slot, host = take_host }

local function new_side(slots) return { slots = slots, idle = {}, kept = {}, used = 0, score = 0 } end

-- ---- both -----------------------------------------------------------------------------------------------------------------------

---@class stoke.pool.prefix
---@field kind "slot"|"host" the server's habit, as far as known
---@field slots integer
local Prefix = {}
Prefix.__index = Prefix

local WEAK, BOX = { __mode = "k" }, { __mode = "v" }

--- A lane of which nothing is known, or what an earlier process learned.
---@param facts? { kind?: string } as :facts() gave them
---@param slots? integer slots of the lane
---@return stoke.pool.prefix
---
--- Example: `local shared = memory:take(unit, chain); ...; memory:give(unit, answer_tokens, chain)`
function M.new(facts, slots)
  local self = setmetatable({ kind = "slot", slots = slots or 1, busy = setmetatable({}, WEAK), out = 0, sides = {},
    judged = false }, Prefix)
  for habit in next, TAKE do self.sides[habit] = new_side(self.slots) end
  self:recall(facts)
  return self
end

--- Take over what an earlier process learned, unless this one has seen which it is.
---@param facts? { kind?: string }
function Prefix:recall(facts)
  local kind = facts and facts.kind
  if self.judged or not TAKE[kind] then return end
  self.kind = kind
  self.sides[kind].score = -0.2 -- another one has to be seen more than once
end

--- The lane has another number of slots, as has been learned.
---@param slots integer
function Prefix:resize(slots)
  self.slots = slots
  for _, side in next, self.sides do
    side.slots = slots
    while #side.idle > slots do remove(side.idle, 1) end
    side.used = min(side.used, slots)
  end
end

--- The model was loaded anew: nothing is remembered.
function Prefix:forget()
  for habit, side in next, self.sides do
    local fresh = new_side(self.slots)
    fresh.score, self.sides[habit] = side.score, fresh
  end
  self.busy, self.out = setmetatable({}, WEAK), 0
end

--- A call gets a slot.
---@param unit table the conversation
---@param chain stoke.pool.chain|nil its prompt; nil: not known
---@return integer shared tokens that need not be read
function Prefix:take(unit, chain)
  if not chain or #chain == 0 then return 0 end
  local taken = { chain = chain, beside = self.busy[unit] }
  for habit, side in next, self.sides do
    local entry, shared = TAKE[habit](side, chain)
    taken[habit], taken[habit .. "_shared"] = entry, min(shared, max(total_of(chain) - 1, 0))
  end
  self.busy[unit] = taken
  self.out = self.out + 1
  return taken[self.kind .. "_shared"]
end

--- The call has come back: its slot holds the prompt and the answer.
---@param unit table
---@param tokens integer|nil of the answer
---@param chain? stoke.pool.chain the prompt, where it is another than :take had
---@param seen? number part of the prompt that was remembered, as the time to read it tells: 0 to 1; nil: it does not tell
function Prefix:give(unit, tokens, chain, seen)
  local taken = self.busy[unit]
  if not taken then return end
  self.busy[unit] = taken.beside
  self.out = max(self.out - 1, 0)
  chain = chain or taken.chain
  if seen then self:judge(taken, seen) end
  local box = setmetatable({ unit }, BOX) -- a conversation that has ended is not kept for this
  for habit, side in next, self.sides do
    local entry = taken[habit]
    entry.chain, entry.tail, entry.box = chain, tokens or 0, box
    side.idle[#side.idle + 1] = entry
    while #side.idle > max(self.slots - self.out, 1) do remove(side.idle, 1) end -- the others have been displaced by those out
  end
end

--- Which habit told better what was seen?
function Prefix:judge(taken, seen)
  local total = total_of(taken.chain)
  if total < 64 then return end
  local slot, host = taken.slot_shared / total, taken.host_shared / total
  if math.abs(slot - host) < DIFFER then return end
  for habit, told in next, { slot = slot, host = host } do
    local side = self.sides[habit]
    side.score = side.score * (1 - SHARE) + SHARE * math.abs(told - seen)
  end
  self.judged = true
  self.kind = self.sides.host.score < self.sides.slot.score and "host" or "slot"
end

local function held_by(list, unit)
  for i = #list, 1, -1 do
    local entry = list[i]
    if entry.box and entry.box[1] == unit then return total_of(entry.chain) + entry.tail end
  end
end

--- Tokens of a conversation that are at hand: in an idle slot, or in memory.
---@param unit table
---@return integer|nil
function Prefix:holds(unit)
  local side = self.sides[self.kind]
  return held_by(side.idle, unit) or self.kind == "host" and held_by(side.kept, unit) or nil
end

--- The conversations that idle slots hold; nil where another call does not displace them for good.
---@return table<table, true>|nil
function Prefix:units()
  if self.kind == "host" then return nil end
  local set
  for _, entry in ipairs(self.sides.slot.idle) do
    local unit = entry.box and entry.box[1]
    if unit then
      set = set or {}
      set[unit] = true
    end
  end
  return set
end

--- What it costs to read a conversation again, once another call has displaced it.
---@param unit table
---@param rate number tokens a second
---@return number seconds 0 where it is not displaced
function Prefix:price(unit, rate)
  if self.kind == "host" or rate <= 0 then return 0 end
  return (self:holds(unit) or 0) / rate
end

--- What an earlier process wants to know, as plain data.
---@return { kind: string|nil } nil: nothing has told
function Prefix:facts() return { kind = (self.judged or self.sides[self.kind].score < 0) and self.kind or nil } end

return M
