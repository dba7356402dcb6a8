--- How many calls a server works on at once for one model: learned from the times that its replies tell, asked of nobody.
---
--- A reply that says how long its prompt and its answer took says when it was in a slot: the last so many seconds. The number of
--- slots is the greatest overlap of these intervals that holds for more than a twentieth of the time in which more calls are out
--- than the server has slots. So something more than believed has to be out, now and then:
---
---   grow    twice as many as are known of; until the overlap stays behind, which tells the number
---   check   one more than that, for a moment: was it all?
---   rest    as many as believed. Left for a check, ever more rarely; or because calls wait in the server as if it had fewer
---
--- Where the way to the server is long beside the work, the same number of calls leaves slots empty: then as many more are out as
--- the way takes of each call's time.
---
--- A refusal is no number of slots: a server may refuse for other reasons. Fewer are out for a moment, then as many as before;
--- only where that is refused again and again, it has fewer.
---
--- Pure: times come in as seconds on one scale; nothing here waits.

local quantiles = require "core.pool.quantiles"

local M = {}

---@class stoke.pool.slots
---@field believed integer slots that the lane has, as far as known
---@field level integer slots that are tried at present; believed, or more
---@field extra integer calls beyond, that are on their way
---@field mode "grow"|"check"|"rest"
---@field unknown boolean nothing was heard of it, nor remembered
local Slots = {}
Slots.__index = Slots

local max, min, ceil, huge, remove = math.max, math.min, math.ceil, math.huge, table.remove

--- More are never tried.
M.MOST = 256
--- Replies that are remembered, at least.
local KEPT <const> = 50
--- Replies that tell less than an earlier process knew.
local FEW <const> = 8
--- The part of the time for which an overlap has to hold.
local HOLDS <const> = 0.05
--- The same where calls that are out count as likely, and may be wrong either way.
local MOSTLY <const> = 0.4
--- A call waits for a slot when it waits for longer than this part of a usual call. Less is the step of a batch that it waits for.
local WAITS <const> = 0.3
--- The way is long when it is more than this part of a usual call.
local WAY <const> = 0.04
--- Replies between two checks, at first and at most.
local PAUSE <const>, LONGEST_PAUSE <const> = 50, 1600
--- Of a lane of which nothing is known, so many are out before its first reply, where nobody minds the order.
local BOLD <const> = 4
--- Seconds without growth after a server refused one more than are believed, at first and at most.
local REFUSED <const>, LONGEST_REFUSED <const> = 2, 600
--- So many refusals of one more, and it has no more.
local FIRM <const> = 3
--- Seconds with fewer out after it refused one of those believed, at first and at most; so often in a row, and it has fewer slots.
local FEWER <const>, LONGEST_FEWER <const>, STRIKES <const> = 0.5, 4, 8

--- Choose what is tried from now on.
local function try(self, mode, level, now)
  self.mode, self.level, self.fresh, self.changed, self.peak = mode, min(level, M.MOST), 0, now, #self.out
end

--- A lane of which nothing is known, or what an earlier process learned.
---@param facts? { slots?: integer, sure?: boolean } as :facts() gave them; not sure: it may be another version of the server
---@return stoke.pool.slots
---
--- Example: `local lane = slots.new(); if lane:allowed(now, waiting) > busy then lane:sent(now) end`
function M.new(facts)
  local self = setmetatable({ believed = 1, level = 1, extra = 0, mode = "grow", since = -huge, fresh = 0, changed = -huge,
    pause = PAUSE, out = {}, done = {}, ghosts = nil, service = nil, mean = nil, way = 0, trip = 0, waited = 0, ups = 0,
    firsts = nil, calm = -huge, refusals = 0, seen = 0, peak = 0, unknown = true, cap = nil, cap_till = -huge, strikes = 0 },
    Slots)
  try(self, "grow", 2, -huge)
  self:recall(facts)
  return self
end

--- Take over what an earlier process learned, unless more has been seen since.
---@param facts? { slots?: integer, sure?: boolean } what does not fit is left out
function Slots:recall(facts)
  local known = facts and math.tointeger(facts.slots)
  if not known or known < 1 or known > M.MOST or #self.done > FEW then return end
  self.believed, self.unknown = known, false
  if facts.sure then try(self, "check", known + 1, self.changed) else try(self, "grow", known * 2, self.changed) end
end

-- ---- what is out ----------------------------------------------------------------------------------------------------------------

--- Calls that may be out at once.
---@param now number
---@param waiting integer|nil calls that wait for one of these slots; nobody tries anything for none
---@param bold? boolean nobody minds if the first of them wait in the server: it matters while nothing is known
---@return integer
function Slots:allowed(now, waiting, bold)
  local level = self.level
  if bold and self.unknown and level < BOLD then level = BOLD end
  if now < self.cap_till then level = min(level, self.cap) end
  if not waiting or waiting == 0 or now < self.calm then level = min(level, self.believed) end
  local ghosts = self.ghosts
  if ghosts then
    for i = #ghosts, 1, -1 do
      if ghosts[i] <= now then remove(ghosts, i) end
    end
    if #ghosts == 0 then self.ghosts = nil end
    return max(level + self.extra - #ghosts, 0)
  end
  return level + self.extra
end

--- When Slots:allowed changes by itself.
---@param now number
---@return number|nil
function Slots:due(now)
  local due = now < self.calm and self.level > self.believed and self.calm or nil
  if now < self.cap_till and not (due and due < self.cap_till) then due = self.cap_till end
  for _, till in ipairs(self.ghosts or {}) do
    if till > now and (not due or till < due) then due = till end
  end
  return due
end

--- A call goes out.
---@param now number
function Slots:sent(now)
  local n = #self.out + 1
  self.out[n] = now
  if n > self.peak then self.peak = n end
  if n > self.level and self.unknown then self.level = min(n, BOLD) end
end

--- Take a call out of those that are out, by when it was sent: the nearest one; nil: none of those.
local function returned(self, sent)
  local out, nearest, at = self.out, huge, nil
  for i = #out, 1, -1 do
    local apart = out[i] - sent
    if apart < 0 then apart = -apart end
    if apart > nearest then break end
    nearest, at = apart, i
  end
  if at and nearest <= max(0.1, self.service or 0) then return remove(out, at) end
end

--- Calls are forgotten of which nobody heard any more.
local function settle(self, still)
  local out = self.out
  while still and #out > still + 1 do remove(out, 1) end
end

-- ---- what is seen ---------------------------------------------------------------------------------------------------------------

--- Sort numbers that are nearly in order, as times of calls are: each is moved by a few places at most.
local function in_order(list)
  for i = 2, #list do
    local x, k = list[i], i - 1
    while k > 0 and list[k] > x do
      list[k + 1], k = list[k], k - 1
    end
    list[k + 1] = x
  end
  return list
end

--- What a usual call takes, and the way to it, of the last replies. Where the model had to be loaded, that is no way.
local function usual(self)
  local done = self.done
  local n = #done
  local services, ways, trips, loads, sum = {}, {}, {}, {}, 0
  for i = max(n - 15, 1), n do
    local d = done[i]
    local at = #services + 1
    services[at], trips[at], loads[at], sum = d.stop - d.start, d.trip, d.load, sum + d.stop - d.start
  end
  in_order(services)
  in_order(trips)
  in_order(loads)
  local count = #services
  local most = 0.1 + 2.5 * loads[(count + 3) // 4]
  for i = max(n - 15, 1), n do
    local d = done[i]
    if d.load <= most then ways[#ways + 1] = d.start - d.wait - d.sent end
  end
  in_order(ways)
  self.service, self.mean, self.trip = services[(count + 1) // 2], sum / count, max(trips[(count + 1) // 2], 0)
  self.way = max(ways[(#ways + 1) // 2], 0)
end

--- Calls that are on their way while each slot is at work.
local function extra_of(self)
  local service, way = self.mean, self.way
  if not service or way <= WAY * service or #self.done < 3 then return 0 end
  if service <= 0 then return 1 end
  return min(ceil(self.level * way / service), self.level)
end

--- Replies in the order in which their calls were sent. They are kept as they came back, which is nearly the same.
local function by_sent(done)
  local list = {}
  for i = 1, #done do
    local d, k = done[i], i - 1
    local sent = d.sent
    while k > 0 and list[k].sent > sent do
      list[k + 1], k = list[k], k - 1
    end
    list[k + 1] = d
  end
  return list
end

--- When calls that are out began at the latest, as the server takes them in the order in which they come: before what was sent
--- later and came back. And since when they may have begun, where that is not known. Two lists, in the order of `out`, which is
--- that of sending; the latest is `huge` where nothing tells.
local function bounds(list, out, margin)
  local latest, earliest = {}, {}
  local at, start = #list, huge
  for i = #out, 1, -1 do
    while at > 0 and list[at].sent > out[i] + margin do
      start, at = min(start, list[at].start), at - 1
    end
    latest[i] = start
  end
  at, start = 1, -huge
  for i = 1, #out do
    while list[at] and list[at].sent < out[i] - margin do
      start, at = max(start, list[at].start), at + 1
    end
    earliest[i] = max(out[i], start)
  end
  return latest, earliest
end

--- Ends of intervals as sorted lists, and up to when all is known that happened. `proven` and `likely` are when calls begin, with
--- what is made of those that are out: no more than is certain, or the middle of what may be.
local function intervals(self, now)
  local done, out, since = self.done, self.out, self.since
  local list = by_sent(done)
  local sents, proven, likely, stops, known, n = {}, {}, {}, {}, now, 0
  for _, d in ipairs(list) do
    if d.stop >= since then -- what was over before does not count
      n = n + 1
      sents[n], proven[n], stops[n] = d.sent, d.start, d.stop
    end
  end
  in_order(proven)
  table.move(proven, 1, n, 1, likely)
  local latests, earliests = bounds(list, out, max(0.005, 0.1 * (self.service or 0)))
  for i = 1, #out do
    local latest, earliest = latests[i], earliests[i]
    sents[n + i] = out[i]
    if latest < huge then
      local at = #proven + 1
      proven[at], likely[at] = latest, (min(earliest, latest) + latest) / 2
    elseif earliest < known then
      known = earliest
    end
  end
  return { sents = in_order(sents), proven = in_order(proven), likely = in_order(likely), stops = in_order(stops), known = known }
end

--- Calls that have to be out for a time to count: as many as are tried, or as there are; more than are known to have a slot.
local function enough(self)
  if self.mode == "rest" then return self.level + self.extra end
  return max(self.believed + 1, min(self.level, self.peak - self.extra)) + self.extra
end

--- The overlap that holds, while enough calls are out.
---@param seen table as `intervals` gave
---@param how "proven"|"likely"
---@return integer level
---@return number held seconds for which it held
---@return integer known replies that came meanwhile
---@return number[] above seconds for which at least so many overlapped
---@return number total seconds
local function observe(self, seen, how)
  local sents, starts, stops, known = seen.sents, seen[how], seen.stops, seen.known
  local part = how == "likely" and MOSTLY or HOLDS
  local full, since = enough(self), self.since
  local a, b, c, out, busy, at, replies, total = 1, 1, 1, 0, 0, -huge, 0, 0
  local above, counts = {}, false
  while true do
    local sent, start, stop = sents[a] or huge, starts[b] or huge, stops[c] or huge
    local time = min(sent, start, stop, known)
    if time > at then
      local from = max(at, since)
      counts = time > from and out >= full
      if counts then
        total, above[busy] = total + time - from, (above[busy] or 0) + time - from
      end
      at = time
    end
    if time >= known then break end
    if stop == time then
      if counts then replies = replies + 1 end
      c, out, busy = c + 1, out - 1, busy - 1
    elseif sent == time then
      a, out = a + 1, out + 1
    else
      b, busy = b + 1, busy + 1
    end
  end
  local most = 0
  for level in next, above do most = max(most, level) end
  local sum, level, held = 0, 0, 0
  for n = most, 1, -1 do
    sum = sum + (above[n] or 0)
    above[n] = sum
    if level == 0 and sum > part * total then level, held = n, sum end
  end
  return level, held, replies, above, total
end

-- ---- what follows ---------------------------------------------------------------------------------------------------------------

local function rest(self, now)
  try(self, "rest", self.believed, now)
  self.waited, self.seen, self.since = 0, 0, now
end

--- Slots that the server has, as far as this is known: no less than is certain, and else what is likely.
local function estimate(self, now)
  local seen = intervals(self, now)
  local proven, held = observe(self, seen, "proven")
  if held <= 0.2 * self.service then proven = 0 end
  local likely, _, replies = observe(self, seen, "likely")
  return proven, max(proven, likely), replies
end

--- How many replies waited in the server, of those that were sent since the level is what it is.
---@return integer waited
---@return integer replies
local function waited(self)
  local done, count, replies = self.done, 0, 0
  for i = #done, max(#done - self.fresh + 1, 1), -1 do
    local d = done[i]
    if d.sent >= self.changed then
      replies = replies + 1
      if d.waits then count = count + 1 end
    end
  end
  return count, replies
end

--- Twice as many are out.
local function while_growing(self, now)
  if self.peak <= self.believed then return nil end -- nobody wants more than are known of: there is nothing to see
  local proven, likely, replies = estimate(self, now)
  if proven >= self.level - self.level // 8 then
    self.believed = proven
    return try(self, "grow", proven * 2, now)
  end
  if self.peak < self.level + self.extra then -- nobody wants more
    self.believed = max(self.believed, proven)
    local tried = enough(self) - self.extra
    if replies >= max(8, tried) and likely < tried then
      self.believed, self.ups, self.pause = max(likely, self.believed), 0, PAUSE
      try(self, "check", self.believed + 1, now)
    end
    return nil
  end
  if replies < max(4, self.level // 4) then return nil end
  local late, sent = waited(self)
  if late * 2 < sent or sent < 2 then
    if sent < max(4, self.level // 2) then return nil end
    if late * 4 < sent then
      self.believed = max(likely, self.believed)
      return try(self, "grow", self.level * 2, now)
    end
  end
  self.believed, self.ups, self.pause = max(likely, 1), 0, PAUSE
  try(self, "check", self.believed + 1, now)
end

--- One more is out. What was seen while more were counts, too.
local function while_checking(self, now)
  local proven, likely, replies = estimate(self, now)
  if proven >= self.level then
    self.believed, self.ups, self.refusals = proven, self.ups + 1, 0
    return try(self, self.ups > 1 and "grow" or "check", self.ups > 1 and proven * 2 or proven + 1, now)
  end
  if replies < max(8, self.level * 3 // 2) then return nil end
  if likely > 0 and likely < self.believed then
    self.believed, self.pause = likely, PAUSE
    return try(self, "check", likely + 1, now)
  end
  self.ups = 0
  rest(self, now)
end

--- As many are out as believed. Calls that wait in the server all the same say that it has fewer slots.
local function while_resting(self, now)
  if self.waited >= 6 and self.seen >= 8 then
    local _, likely, replies = estimate(self, now)
    if replies >= 4 and likely > 0 and likely < self.believed - self.believed // 8 then
      self.believed, self.pause = likely, PAUSE
      return try(self, "check", likely + 1, now)
    end
    self.waited, self.seen, self.since = 0, 0, now
  end
  if self.fresh < self.pause then return nil end
  self.pause, self.since = min(self.pause * 2, LONGEST_PAUSE), now
  try(self, "check", self.believed + 1, now)
end

local STEPS = { grow = while_growing, check = while_checking, rest = while_resting }

--- When the call was in its slot: start, and how long it waited for it. nil where its times do not tell.
local function interval_of(self, now, timings)
  local service = timings.decode and (timings.prefill or 0) + timings.decode
  local total = timings.total
  if service then
    return now - service, total and max(total - (timings.load or 0) - service, 0) or 0
  end
  local first = timings.first
  if not first or not total then return nil end
  local firsts = self.firsts or quantiles.new(128)
  firsts:add(first)
  self.firsts = firsts
  local wait = first - firsts:get(0.02)
  if wait < 0.2 * (total - first) then wait = 0 end -- a longer prompt
  return now - (total - wait), wait
end

--- Keep a reply; what is too old to count goes.
local function keep(self, sent, start, stop, wait, trip, waits, load)
  local done = self.done
  local limit = max(KEPT, 3 * self.level)
  if #done >= 2 * limit then
    table.move(done, #done - limit + 1, #done, 1)
    for i = #done, limit + 1, -1 do done[i] = nil end
  end
  done[#done + 1] = { sent = sent, start = start, stop = stop, wait = wait, trip = trip, waits = waits, load = load }
end

--- A reply has come.
---@param now number
---@param timings table|nil seconds: { total, load, prefill, decode } as the server tells them, or { total, first, output? } as was
---  seen here: until the end, and until the first token. nil: nothing is known
---@param out? integer calls that are still out, this one not counted
---@param began? number when it was sent; without it, it is told by its times
function Slots:answered(now, timings, out, began)
  local start, wait
  if timings then start, wait = interval_of(self, now, timings) end
  local reached = timings and timings.total and now - timings.total
  local sent = returned(self, began or reached and reached - self.trip or self.out[1] or now) or began or reached or now
  settle(self, out)
  if timings and timings.single then self.unknown, self.mode, self.level = false, "rest", 2 end -- one, and the next at hand
  if not start then return end
  local load = timings.load or 0
  if load > 0.3 and load > 5 * self.way then self.since = max(self.since, start) end -- nobody was served while it loaded
  local decode = timings.decode or timings.first and timings.total - timings.first
  local step = decode and timings.output and timings.output > 0 and 3 * decode / timings.output or 0
  local waits = wait > max(WAITS * (self.service or now - start), step)
  keep(self, min(sent, start), start, now, wait, reached and reached - sent or 0, waits, load)
  self.unknown = false
  self.fresh = self.fresh + 1
  if self.fresh % 4 == 1 or #self.done < 8 then usual(self) end
  self.extra = extra_of(self)
  if self.mode == "rest" then
    self.seen, self.waited = self.seen + 1, max(self.waited + (waits and 1 or -1), 0)
  end
  if self.fresh % max(self.level // 8, 1) == 0 then STEPS[self.mode](self, now) end
end

--- The server refused a call.
local function refused(self, now)
  local beside, believed = #self.out, self.believed
  self.unknown = false
  if beside >= believed then
    self.refusals = self.refusals + 1
    self.calm = now + min(REFUSED * 2 ^ (self.refusals - 1), LONGEST_REFUSED)
    if self.refusals > FIRM then return rest(self, now) end
    return try(self, "check", believed + 1, now)
  end
  if now < self.cap_till then return end
  local pause = min(FEWER * 2 ^ (self.strikes - 1), LONGEST_FEWER)
  if now - self.cap_till > pause then self.strikes, self.cap = 0, believed end -- it has taken as many in the meantime
  self.strikes, self.cap = self.strikes + 1, max(1, beside, self.cap // 2)
  if self.strikes < STRIKES then
    self.cap_till = now + min(FEWER * 2 ^ (self.strikes - 1), LONGEST_FEWER)
  else
    self.believed, self.strikes, self.cap_till, self.pause = self.cap, 0, -huge, PAUSE
    rest(self, now)
  end
end

--- A call came to nothing.
---@param now number
---@param why "503"|"load"|"gone" refused as too many; the model was loaded though nobody asked for another; cut off
---@param till? number when the prompt that it was cut off in will have been read: its slot is busy until then
---@param began? number when it was sent
function Slots:lost(now, why, till, began)
  if why == "load" then
    self.done, self.since = {}, now
    if self.mode == "rest" then try(self, "check", self.believed + 1, now) end
    return
  end
  if not (began and returned(self, began)) then remove(self.out) end
  if why == "503" then return refused(self, now) end
  if not till or till <= now then return end
  local ghosts = self.ghosts or {} -- no proof that it had a slot: it may have waited for one
  ghosts[#ghosts + 1], self.ghosts = till, ghosts
end

--- What an earlier process wants to know, as plain data.
---@return { slots: integer|nil, sure: boolean }
function Slots:facts() return { slots = not self.unknown and self.believed or nil, sure = self.mode == "rest" } end

return M
