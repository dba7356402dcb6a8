--- The log and the snapshots of a world that is kept in memory; they have what those of a file have (stdlib/world/file.lua).

local errors = require "core.errors"

local M = {}

--- Entries of a log in memory at most.
---@private
M.LONGEST = 1000000

--- Snapshots in memory at most; an odd number follows, so that the first and the last one stay.
---@private
M.SNAPSHOTS = 1000

---@class stoke.world.memory
---@field private rows stoke.world.row[]
---@field private early table<stoke.world.row, true> answers that have come, of thoughts that are not due yet
---@field private snapshots { tick: integer, text: string }[]
---@field last integer number of the last entry
---@field sent integer the last number that world:send gave
---@field reached integer the tick up to which it is known to have come
local Memory = {}
Memory.__index = Memory

--- A new one.
---@return stoke.world.memory
---
--- Example: `local log = memory.new()`
function M.new()
  return setmetatable({ rows = {}, early = {}, snapshots = {}, by_ticket = {}, last = 0, sent = 0, reached = 0 }, Memory)
end

--- Write what takes effect in a tick, each with its number.
---@param rows stoke.world.row[]
---Raises `limit`.
---
--- Example: `log:add(rows)`
function Memory:add(rows)
  if self.last + #rows > M.LONGEST then
    errors.raise("limit", ("the log of a world in memory has %d entries"):format(self.last),
      { hint = "give the world a file" })
  end
  for _, row in ipairs(rows) do
    self.last = self.last + 1
    row.n, self.rows[self.last] = self.last, row
    self.early[row] = nil
    if row.sent then self.by_ticket[row.sent] = row end
  end
end

--- Write an input before it takes effect: here nothing is lost.
function Memory.send() end

--- Inputs that were sent and have no number yet.
---@return stoke.world.row[]
function Memory.waiting() return {} end

--- Write an answer before it is due.
---@param row stoke.world.row
---@param _ integer the tick that all have come to
---
--- Example: `log:answer(row, engine.now)`
function Memory:answer(row, _) self.early[row] = true end

--- Answers that were written and have no number yet.
---@return stoke.world.row[]
---
--- Example: `for _, row in ipairs(log:answers()) do print(row.member) end`
function Memory:answers()
  local out = {}
  for row in next, self.early do out[#out + 1] = row end
  table.sort(out, function(a, b)
    if a.begun ~= b.begun then return a.begun < b.begun end
    return a.member < b.member
  end)
  return out
end

--- The entries of ticks from one on to before another, in order.
---@param from integer
---@param to integer
---@return stoke.world.row[]
---
--- Example: `local rows = log:ticks(0, 3600)`
function Memory:ticks(from, to)
  local low, high = 1, self.last + 1 -- the first entry of `from`, by halves
  while low < high do
    local middle = (low + high) // 2
    if self.rows[middle].tick < from then low = middle + 1 else high = middle end
  end
  local out = {}
  for i = low, self.last do
    if self.rows[i].tick >= to then break end
    out[#out + 1] = self.rows[i]
  end
  return out
end

--- Entries by number.
---@param from integer
---@param to integer
---@return stoke.world.row[]
---
--- Example: `local rows = log:numbers(1, 100)`
function Memory:numbers(from, to)
  return table.move(self.rows, math.max(from, 1), math.min(to, self.last), 1, {})
end

--- The entry of what world:send gave.
---@param sent integer
---@return stoke.world.row|nil
---
--- Example: `local row = log:ticket(17)`
function Memory:ticket(sent) return self.by_ticket[sent] end

--- Results of entries; they are in the rows themselves.
---@param _ stoke.world.row[]
function Memory.results(_, _) end

--- Keep a snapshot.
---@param tick integer
---@param text string
---
--- Example: `log:snapshot(3600, engine:encode())`
function Memory:snapshot(tick, text)
  local shots = self.snapshots
  if shots[#shots] and shots[#shots].tick == tick then shots[#shots] = nil end
  shots[#shots + 1] = { tick = tick, text = text }
  if #shots > M.SNAPSHOTS then -- of the older ones every second goes: a look back then takes longer
    local kept = 1
    for i = 3, #shots, 2 do
      kept = kept + 1
      shots[kept] = shots[i]
    end
    for i = #shots, kept + 1, -1 do shots[i] = nil end
  end
  self.reached = tick
end

--- The last snapshot at or before a tick.
---@param tick integer
---@return { tick: integer, text: string }|nil
---
--- Example: `local shot = log:before(4000)`
function Memory:before(tick)
  for i = #self.snapshots, 1, -1 do
    if self.snapshots[i].tick <= tick then return self.snapshots[i] end
  end
end

--- The snapshots up to a tick.
---@param tick integer
---@return { tick: integer, text: string }[]
---
--- Example: `for _, shot in ipairs(log:shots(4000)) do print(shot.tick) end`
function Memory:shots(tick)
  local out = {}
  for i, shot in ipairs(self.snapshots) do
    if shot.tick <= tick then out[i] = shot end
  end
  return out
end

--- The tick up to which it has come.
---@param tick integer
---
--- Example: `log:reach(4000)`
function Memory:reach(tick) self.reached = tick end

--- Forget all from a tick on; answers of thoughts that began before it stay, without a number.
---@param tick integer
---
--- Example: `log:cut(4000)`
function Memory:cut(tick)
  local kept = self:answers()
  self.early = {}
  while self.last > 0 and self.rows[self.last].tick >= tick do
    local row = self.rows[self.last]
    self.rows[self.last], self.last = nil, self.last - 1
    if row.sent then self.by_ticket[row.sent] = nil end
    if row.kind == "answer" then kept[#kept + 1] = row end
  end
  for _, row in ipairs(kept) do
    if row.begun < tick then
      row.n = nil
      self.early[row] = true
    end
  end
  while self.snapshots[1] and self.snapshots[#self.snapshots].tick > tick do self.snapshots[#self.snapshots] = nil end
  self.reached = tick
end

--- One that has what another log has up to a tick.
---@param log stoke.world.memory|stoke.world.file
---@param tick integer
---@return stoke.world.memory
---
--- Example: `local other = memory.of(town.log, 3600)`
function M.of(log, tick)
  local other = M.new()
  local function own(row)
    local copy = {}
    for name, value in next, row do copy[name] = value end
    copy.id, copy.at, copy.done = nil, nil, nil
    return copy
  end
  for i, row in ipairs(log:numbers(1, log.last)) do
    other.rows[i] = own(row)
    if row.sent then other.by_ticket[row.sent] = other.rows[i] end
  end
  for _, row in ipairs(log:answers()) do other.early[own(row)] = true end
  for i, shot in ipairs(log:shots(tick)) do other.snapshots[i] = shot end
  other.last, other.sent = log.last, log.sent
  other:cut(tick)
  return other
end

--- Nothing is open.
function Memory.close() end

return M
