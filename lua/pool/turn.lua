--- Whose turn is it on a server? Why loaded models should leave for another one, which of them, and which of several goes first.
--- The parts of a decision of lua/pool/residency.lua, which says what the rules are. Pure; `self` is the residency.

local sequence = require "core.pool.sequence"

local M = {}

--- A model that was swapped in stays for so many times the seconds of its swap: among equals, and where another has overdue
--- calls.
M.pays, M.pays_overdue = 4, 1
--- Work goes on arriving when a call has come so much later than the one that waits, as a part of the seconds of a swap.
M.later = 0.25
--- Seconds after which a call that was sent has reached its model, if that is loaded.
M.reach = 0.25
--- A model that has just had its last answer stays for a moment, as a part of the seconds of its load: who got it may go on. The
--- same moment for all that want its place, or the one that loads fastest would be alone when it is chosen.
M.linger = 0.05

local OVERDUE <const> = 0
local NEVER = math.huge
local NONE = {}

-- ---- why ---------------------------------------------------------------------------------------------------------------------

local function rank(w) return w.overdue and OVERDUE or w.class or 2 end

local function has_work(w) return w.busy + w.waiting > 0 end

local function names_with(self, w, others)
  local names = { self:model(w.lane).name }
  for i, v in ipairs(others) do names[i + 1] = self:model(v.lane).name end
  return names
end

--- What it costs that a loaded model leaves: much where it has work, else the less the longer ago it was used.
local function cost_of(self, v, now)
  if has_work(v) then return 1 + v.busy + v.waiting end
  return 0.1 / (1 + math.max(now - self:model(v.lane).used, 0))
end

--- Loaded models among which the cheapest to leave are searched; others leave first.
local SEARCHED <const> = 6

--- Who must leave for `w`, and is that known for sure? Where nobody knows, those after whom it fits in any case.
---@param self stoke.pool.residency
---@param w stoke.pool.work what is to be loaded
---@param inside stoke.pool.work[] the loaded models
---@param now number seconds, as everywhere here
---@return stoke.pool.work[] victims
---@return boolean sure
function M.room_for(self, w, inside, now)
  local fits = self.room:fits(names_with(self, w, inside))
  if fits then return NONE, true end
  local best, least, sure = inside, NEVER, fits == false
  local n = math.min(#inside, SEARCHED)
  for set = 1, (1 << n) - 1 do
    local victims, stay, cost = {}, {}, 0
    for i, v in ipairs(inside) do
      if i > n or set & (1 << (i - 1)) ~= 0 then
        victims[#victims + 1], cost = v, cost + cost_of(self, v, now)
      else
        stay[#stay + 1] = v
      end
    end
    if cost < least and self.room:fits(names_with(self, w, stay)) then best, least = victims, cost end
  end
  return best, sure
end

--- What the models that would have to leave are at.
local function load_of(self, victims)
  local at = { idle = true, seconds = 0, waiting = NEVER, flying = NEVER, newest = -NEVER, since = -NEVER, stays = -NEVER,
    paid = -NEVER, paid_overdue = -NEVER }
  for _, v in ipairs(victims) do
    local m = self:model(v.lane)
    if m.ended then at.stays = math.max(at.stays, m.ended + M.linger * self:price(v.lane, v.load)) end
    if has_work(v) then
      local since = m.since or -NEVER
      at.idle, at.seconds, at.promised = false, at.seconds + (v.seconds or 0), at.promised or (m.promised or 0) > 0
      if v.waiting > 0 then at.waiting = math.min(at.waiting, rank(v)) else at.flying = math.min(at.flying, v.running or 2) end
      at.since = math.max(at.since, since)
      at.newest = math.max(at.newest, v.newest or -NEVER)
      at.paid = math.max(at.paid, since + M.pays * m.swapped)
      at.paid_overdue = math.max(at.paid_overdue, since + M.pays_overdue * m.swapped)
    end
  end
  return at
end

--- Why should the victims leave for `w` now? nil, and from when on they should, where time alone makes it so.
---@param self stoke.pool.residency
---@param w stoke.pool.work
---@param victims stoke.pool.work[]
---@param now number
---@return "idle"|"class"|"overdue"|"waited"|nil reason
---@return number|boolean|nil from without a reason: when there will be one; "overdue": is it out of class, a visit?
function M.reason_for(self, w, victims, now)
  local own, at = rank(w), load_of(self, victims)
  if at.idle then
    local from = own > 1 and at.stays or -NEVER
    if now >= from then return "idle" end
    return nil, from
  end
  local best = at.waiting < NEVER and at.waiting or at.flying
  if own > best then return nil end
  if own < best then
    if own ~= OVERDUE then return "class" end
    local visit = best < w.class
    local from = math.max(at.paid_overdue, visit and self.rest_until or -NEVER)
    if now >= from then return "overdue", visit end
    return nil, from
  end
  if at.promised then return nil end
  local price, oldest = self:price(w.lane, w.load), w.oldest or now
  local ends = at.waiting < NEVER and at.newest < oldest + M.later * price -- nothing more comes for these
  if own ~= OVERDUE then
    if oldest <= at.since then return nil end -- it was there when these were chosen: they go to their end
    if ends then return nil end
  elseif ends and at.seconds <= now - oldest then -- overdue as these are: it waits at most twice as long
    return nil
  end
  local from = math.max(oldest + price, at.paid)
  if now >= from then return "waited" end
  return nil, from
end

--- May the server find out by itself whether `w` fits? The others need one call more in flight meanwhile, which has to be drained
--- with them should they leave. So only where all came at once, and nobody wants to go before the others are done; or where their
--- calls are short beside the swap.
---@param self stoke.pool.residency
---@param w stoke.pool.work
---@param victims stoke.pool.work[] who would have to leave, if it does not fit
---@param now number
---@return boolean
---@return number|nil at when to ask again, where time alone may change that
function M.may_try(self, w, victims, now)
  local price, oldest = self:price(w.lane, w.load), w.oldest or 0
  local near, any = M.later * price, false
  for _, v in ipairs(victims) do
    local at_once = math.abs((v.newest or -NEVER) - oldest) <= near and oldest - (v.oldest or oldest) <= near
    if has_work(v) and not at_once and not (v.service and v.service <= price / 2) then return false end
    if v.busy == 0 and v.waiting > 0 then return false end -- between two calls
    local m = self:model(v.lane)
    any = any or has_work(v)
    if has_work(v) and not m.ended and now < m.used + M.reach then return false, m.used + M.reach end
  end
  return any -- idle ones are left a moment
end

-- ---- who first ----------------------------------------------------------------------------------------------------------------

local function ratio(g) return (g.load + g.seconds) / g.waiting end

--- The first of the best order of these lanes and of the loaded ones that have work.
local function first_in_order(self, list, inside)
  local groups, lanes = {}, {}
  for i, w in ipairs(list) do
    groups[i], lanes[i] = { waiting = w.waiting, seconds = w.seconds, load = self:price(w.lane, w.load) }, w
  end
  local outside = #groups
  for _, v in ipairs(inside) do
    if v.waiting > 0 then
      lanes[#lanes + 1] = v
      groups[#lanes] = { waiting = v.waiting, seconds = v.seconds, load = self:price(v.lane, v.load), resident = true }
    end
  end
  local index = sequence.first(groups, function(set)
    local names = {}
    for i, w in ipairs(lanes) do
      if set & (1 << (i - 1)) ~= 0 then names[#names + 1] = self:model(w.lane).name end
    end
    return self.room:fits(names) ~= false
  end)
  if index <= outside then return lanes[index] end
  index = 1 -- the best order begins with a loaded one, but one is to leave
  for i = 2, outside do
    if ratio(groups[i]) < ratio(groups[index]) then index = i end
  end
  return lanes[index]
end

--- Which of several models goes first? The best class; overdue ones by age, the others by the best order.
---@param self stoke.pool.residency
---@param list stoke.pool.work[] at least one
---@param inside stoke.pool.work[] the loaded models
---@return stoke.pool.work
function M.first_of(self, list, inside)
  local top, equals, oldest = NEVER, {}, nil
  for _, w in ipairs(list) do top = math.min(top, rank(w)) end
  for _, w in ipairs(list) do
    if rank(w) == top then
      equals[#equals + 1] = w
      if not oldest or (w.oldest or 0) < (oldest.oldest or 0) then oldest = w end
    end
  end
  if top == OVERDUE or #equals == 1 then return oldest end
  return first_in_order(self, equals, inside)
end

return M
