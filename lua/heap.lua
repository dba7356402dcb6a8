--- A binary heap of events: ordered by a number (a time, a cost), then by insertion.

local Heap = {}
Heap.__index = Heap

local M = {}

function M.new() return setmetatable({ n = 0, seq = 0, dead = 0 }, Heap) end

local function before(a, b)
  if a.at ~= b.at then return a.at < b.at end
  return a.seq < b.seq
end

--- Adds an event: `name` is the method to call, `arg` its argument. The record returned may be
--- given to `cancel`.
function Heap:add(at, name, arg)
  self.seq = self.seq + 1
  local e = { at = at, seq = self.seq, name = name, arg = arg }
  local i = self.n + 1
  self.n = i
  while i > 1 do
    local up = i >> 1
    if not before(e, self[up]) then break end
    self[i] = self[up]
    i = up
  end
  self[i] = e
  return e
end

local function drop_first(self)
  local last = self[self.n]
  self[self.n] = nil
  self.n = self.n - 1
  if self.n == 0 then return end
  local i, n = 1, self.n
  while true do
    local c = 2 * i
    if c > n then break end
    if c < n and before(self[c + 1], self[c]) then c = c + 1 end
    if not before(self[c], last) then break end
    self[i] = self[c]
    i = c
  end
  self[i] = last
end

--- Makes an event never happen; a no-op on one that was taken. The dead stay until they are due or
--- outnumber the living, so that many short requests with a long keep_alive do not pile up.
function Heap:cancel(e)
  if e.dead or e.taken then return end
  e.dead = true
  self.dead = self.dead + 1
  if self.dead < 64 or self.dead < self.n / 2 then return end
  local living = {}
  for i = 1, self.n do
    if not self[i].dead then living[#living + 1] = self[i] end
    self[i] = nil
  end
  table.sort(living, before) -- a sorted list is a heap
  table.move(living, 1, #living, 1, self)
  self.n, self.dead = #living, 0
end

--- The next event that is not cancelled, left where it is.
function Heap:first()
  while self.n > 0 and self[1].dead do
    self.dead = self.dead - 1
    drop_first(self)
  end
  return self[1]
end

--- Takes out the next event due by `now`, or nil.
function Heap:take(now)
  local e = self:first()
  if not e or e.at > now then return nil end
  e.taken = true
  drop_first(self)
  return e
end

return M
