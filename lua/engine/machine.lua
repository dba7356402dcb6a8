--- A group as a machine: what is lent to whom, computed from an ordered log. It waits for nothing and asks nobody, so that whoever
--- reads the same log computes the same: engines that can order records, and know no claims, share a group by sharing its log.
---
---     local m = machine.new()
---     m:item(1, "ada", 12)                                                     -- an item of the stream, as it is read
---     m:apply({ op = "claim", n = 1, lease = 30, tries = 5, known = 1 }, 7, 100.0)   --> { { offset = 1, try = 1, fence = 7 } }
---     m:apply({ op = "settle", offset = 1, fence = 7, state = "done" }, 8, 101.0)    --> true
---
--- A record has a place in the log (`seq`, which fences what it lends) and a time, by the clock of the log: leases and delays are
--- measured by nothing else. It counts as it is found there: a claim is given the first items that can be lent at that place, and a
--- settlement counts if its claim is still good there. So records need no condition, none is in vain because another came before,
--- and what a host that was cut off writes late changes nothing.
---
--- Items are read beside the log, and one host may have read further than another. A claim therefore says up to where its writer
--- had read (`known`), and is given none behind that; whoever applies it reads up to there before.

local M = {}

--- The number in each record: which rules its writer lived by. A higher one is refused.
M.VERSION = 1
--- Seconds after which somebody else publishes what a settled item hands over.
M.HAND = 30
--- Items read ahead at most: that can be lent, and that wait for an earlier one of their key.
M.AHEAD, M.WINDOW = 2000, 10000

---@class core.engine.machine.item
---@field offset integer
---@field key? string
---@field size integer bytes
---@field try integer how often it was lent
---@field state "blocked"|"ready"|"lent"|"later"|"hand" blocked: an earlier item of its key is open; hand: settled, and what it
---  hands over is not yet published
---@field fence? integer of its last claim
---@field due? number when a lease, a delay or the time to hand over ends
---@field was? string how the last claim ended: "again", "back", "done", "dead"
---@field at? integer of a hand-over: where its record is

---@class core.engine.machine
---@field from integer the group does items from there
---@field seen integer the highest `known` so far
---@field loaded integer the last item read
---@field time number of the last record
---@field open table<integer, core.engine.machine.item> not settled, by offset
---@field dead table<integer, { key?: string, size: integer }>
---@field count table<string, integer> open items by their state
---@field done integer settled as done
---@field last_done integer none behind it is done
---@field rewinds integer how often it was rewound
---@field rewound { to: integer, seq: integer }[] the rewinds that no later one has made void: both numbers grow
---@field began boolean
local Machine = {}
Machine.__index = Machine

-- ---- heaps --------------------------------------------------------------------------------------------------------------

local function push(heap, rank, value)
  local i = #heap + 1
  while i > 1 do
    local up = i // 2
    if heap[up][1] <= rank then break end
    heap[i] = heap[up]
    i = up
  end
  heap[i] = { rank, value, value and value.serial }
end

local function pop(heap)
  local top, n = heap[1], #heap
  local last = heap[n]
  heap[n] = nil
  n = n - 1
  if n == 0 then return top end
  local i = 1
  while true do
    local child = 2 * i
    if child > n then break end
    if child < n and heap[child + 1][1] < heap[child][1] then child = child + 1 end
    if heap[child][1] >= last[1] then break end
    heap[i] = heap[child]
    i = child
  end
  heap[i] = last
  return top
end

-- ---- states of an item --------------------------------------------------------------------------------------------------

--- A change of state: what stands in the heaps for an earlier one is void.
local function enter(self, item, state, due)
  local count, before = self.count, item.state
  if before then count[before] = count[before] - 1 end
  count[state] = count[state] + 1
  item.state, item.due, item.serial = state, due, (item.serial or 0) + 1
  if state == "ready" then push(self.ready, item.offset, item) end
  if due then push(self.dues, due, item) end
end

--- It may be lent, once it is the first open item of its key.
local function free(self, item)
  local list = item.key and self.keys[item.key]
  enter(self, item, list and list[list.first] ~= item.offset and "blocked" or "ready")
end

local function head(self, list)
  local item = list and self.open[list[list.first]]
  if item and item.state == "blocked" then enter(self, item, "ready") end
end

--- Insert an item, which may be older than others of its key: it was dead, and waits again.
local function add(self, item)
  self.open[item.offset] = item
  local list = item.key and self.keys[item.key]
  if item.key and not list then
    list = { first = 1, last = 0 }
    self.keys[item.key] = list
  end
  if not list then return enter(self, item, "ready") end
  local i = list.last + 1
  while i > list.first and list[i - 1] > item.offset do
    list[i] = list[i - 1]
    i = i - 1
  end
  list[i], list.last = item.offset, list.last + 1
  local second = i == list.first and self.open[list[i + 1]]
  if second and second.state == "ready" then enter(self, second, "blocked") end
  enter(self, item, i == list.first and "ready" or "blocked")
end

--- Nothing is open.
local function clear(self)
  self.open, self.keys, self.ready, self.dues = {}, {}, {}, {}
  self.count = { blocked = 0, ready = 0, lent = 0, later = 0, hand = 0 }
end

--- Insert an item in a state that it had before. Those before it are there.
local function place(self, item, state, due)
  add(self, item)
  if state ~= "ready" and state ~= "blocked" then enter(self, item, state, due) end
end

local function remove(self, item)
  self.count[item.state] = self.count[item.state] - 1
  item.state, item.serial = "gone", item.serial + 1
  self.open[item.offset] = nil
  local list = item.key and self.keys[item.key]
  if not list then return end
  local i = list.first
  while list[i] ~= item.offset do i = i + 1 end
  if i == list.first then
    list[i], list.first = nil, i + 1
  else
    table.move(list, i + 1, list.last + 1, i)
    list.last = list.last - 1
  end
  if list.first > list.last then self.keys[item.key] = nil else head(self, list) end
end

--- What is due by now: leases that have run out, delays that are over. Gives the items whose hand-over is overdue.
local function release(self, time)
  local dues, hands = self.dues, nil
  while dues[1] and (dues[1][1] <= time or dues[1][2].serial ~= dues[1][3]) do
    local top = pop(dues)
    local item = top[2]
    if item.serial == top[3] then
      if item.state == "hand" then
        hands = hands or {}
        hands[#hands + 1] = { offset = item.offset, at = item.at }
        enter(self, item, "hand", time + M.HAND)
      else
        free(self, item)
      end
    end
  end
  if hands then table.sort(hands, function(a, b) return a.offset < b.offset end) end -- the heap knows no order of equals
  return hands
end

-- ---- records ------------------------------------------------------------------------------------------------------------

local apply = {}

function apply.begin(self, record)
  if self.began then return false end
  self.began, self.from = true, record.from
  self.seen, self.loaded = record.from - 1, record.from - 1
  return true
end

--- Bytes that one claim lends at most, beside its first item.
M.BYTES = 16 << 20

--- Its lease has run out twice, the last time just now: perhaps its readers die of it, and it takes no others with it.
local function suspect(item) return item.try >= 2 and item.was == nil end

--- Gives what is lent; and, as `hands`, the settled items whose hand-over the claim's writer is to publish, because whoever settled
--- them has not.
function apply.claim(self, record, seq, time)
  local hands = release(self, time)
  if record.known > self.seen then self.seen = record.known end
  local given, bytes, ready = { hands = hands }, 0, self.ready
  while #given < record.n and ready[1] do
    local item, current = ready[1][2], ready[1][2].serial == ready[1][3]
    if current and (item.offset > record.known or (given[1] and (bytes + item.size > M.BYTES or suspect(item)))) then break end
    pop(ready)
    if current then
      local alone = suspect(item)
      local spent = item.was == nil and item.try >= record.tries -- given back, it is for its reader to say
      if not spent then item.try = item.try + 1 end
      item.fence, item.was = seq, nil
      enter(self, item, "lent", time + record.lease)
      bytes = bytes + item.size
      given[#given + 1] = { offset = item.offset, key = item.key, try = item.try, fence = seq, spent = spent or nil,
        alone = alone or nil }
      if alone then break end
    end
  end
  return given
end

--- Is a claim still good? It is until the item is settled or lent again, also after its lease has run out.
function Machine:good(offset, fence)
  local item = self.open[offset]
  return item ~= nil and item.fence == fence and item.was == nil
end

local function finish(self, item, state)
  if state == "dead" then
    self.dead[item.offset] = { key = item.key, size = item.size }
  else
    self.done, self.last_done = self.done + 1, math.max(self.last_done, item.offset)
  end
  remove(self, item)
end

function apply.settle(self, record, seq, time)
  local item = self.open[record.offset]
  if not (item and item.fence == record.fence) then return false end
  if item.was then return item.was == record.state end -- said twice
  item.was = record.state
  if record.state == "back" then
    item.try = item.try - 1
    free(self, item)
  elseif record.state == "again" and record.delay > 0 then
    enter(self, item, "later", time + record.delay)
  elseif record.state == "again" then
    free(self, item)
  elseif record.hands then
    item.at = seq
    enter(self, item, "hand", time + M.HAND)
  else
    finish(self, item, record.state)
  end
  return true
end

--- What these items hand over is published.
function apply.handed(self, record)
  for _, offset in ipairs(record.offsets) do
    local item = self.open[offset]
    if item and item.state == "hand" then finish(self, item, item.was) end
  end
  return true
end

--- Gives the places in the record of claims that are lost.
function apply.renew(self, record, _, time)
  local lost = {}
  for i, claim in ipairs(record.claims) do
    local item = self.open[claim[1]]
    if self:good(claim[1], claim[2]) then enter(self, item, "lent", time + record.lease) else lost[#lost + 1] = i end
  end
  return lost
end

--- Is no item from an offset on done, dead, or tried?
local function is_ahead(self, to)
  if self.last_done >= to then return false end
  for offset in next, self.dead do
    if offset >= to then return false end
  end
  for offset, item in next, self.open do
    if offset >= to and item.try > 0 then return false end
  end
  return true
end

--- The group goes on from an offset. Back: what is open before it stays as it is. Ahead: that is skipped, except for what is out,
--- lent or being handed over. `done`: how many are done before it; nil where none is behind.
function apply.rewind(self, record, seq)
  local rest, ahead = {}, is_ahead(self, record.to)
  for offset, item in next, self.open do
    local stays = not ahead or item.state == "lent" or item.state == "hand"
    if offset < record.to and offset <= self.seen and stays then rest[#rest + 1] = item end
  end
  table.sort(rest, function(a, b) return a.offset < b.offset end)
  clear(self)
  for _, item in ipairs(rest) do
    local state = item.state
    item.state = nil
    place(self, item, state, item.due)
  end
  for offset in next, self.dead do
    if offset >= record.to then self.dead[offset] = nil end
  end
  self.done, self.last_done = record.done or self.done, math.min(self.last_done, record.to - 1)
  self.from = math.min(self.from, record.to)
  self.seen, self.loaded = record.to - 1, record.to - 1
  local rewound = self.rewound
  while rewound[1] and rewound[#rewound].to >= record.to do rewound[#rewound] = nil end
  rewound[#rewound + 1] = { to = record.to, seq = seq }
  self.rewinds = self.rewinds + 1
  return true
end

--- Gives how many waited no more.
function apply.revive(self, record)
  local count = 0
  for _, offset in ipairs(record.offsets) do
    local dead = self.dead[offset]
    if dead then
      self.dead[offset] = nil
      add(self, { offset = offset, key = dead.key, size = dead.size, try = 0 })
      count = count + 1
    end
  end
  return count
end

--- Apply a record.
---@param record table { op = "begin"|"claim"|"settle"|"handed"|"renew"|"rewind"|"revive", ... }
---@param seq integer its place in the log
---@param time number seconds, by the log's clock
---@return any what came of it
function Machine:apply(record, seq, time)
  if time > self.time then self.time = time end -- a new leader's clock may be behind
  local f = apply[record.op]
  return f and f(self, record, seq, self.time)
end

--- Note an item that was read. Those before the group's begin, and those that were read before, are nothing new.
---@param offset integer
---@param key? string
---@param size? integer bytes; nil: there is nothing to do at this offset
function Machine:item(offset, key, size)
  if offset <= self.loaded then return end
  self.loaded = offset
  if size and offset >= self.from then add(self, { offset = offset, key = key, size = size, try = 0 }) end
end

-- ---- what can be asked --------------------------------------------------------------------------------------------------

--- Does an outcome still stand, or has a rewind made it void?
---@param offset integer of its item
---@param seq integer its place in the log
function Machine:stands(offset, seq)
  local rewound = self.rewound
  for i = #rewound, 1, -1 do
    if rewound[i].to <= offset then return seq > rewound[i].seq end
  end
  return true
end

--- May a claim now be given something?
---@param time number
---@return boolean
---@return number|nil due else when that may change by itself
function Machine:lendable(time)
  local ready, dues = self.ready, self.dues
  while ready[1] and ready[1][2].serial ~= ready[1][3] do pop(ready) end
  if ready[1] then return true end
  while dues[1] and dues[1][2].serial ~= dues[1][3] do pop(dues) end
  if not dues[1] then return false end
  if dues[1][1] <= time then return true end
  return false, dues[1][1]
end

--- Are so many items read that reading further is of no use now? What waits behind others of its key counts too: a stream of few
--- keys would be read to its end else.
function Machine:full() return self.count.ready >= M.AHEAD or self.count.blocked >= M.WINDOW end

-- ---- the whole of it ----------------------------------------------------------------------------------------------------

--- What a new machine needs to go on behind the last record: plain data. What was read beyond `seen` is read again.
---@return table
function Machine:picture()
  local open, dead = {}, {}
  for offset, i in next, self.open do
    if offset <= self.seen then
      open[#open + 1] = { o = offset, k = i.key, z = i.size, t = i.try, s = i.state, f = i.fence, d = i.due, w = i.was, a = i.at }
    end
  end
  for offset, d in next, self.dead do dead[#dead + 1] = { o = offset, k = d.key, z = d.size } end
  table.sort(open, function(a, b) return a.o < b.o end)
  table.sort(dead, function(a, b) return a.o < b.o end)
  return { from = self.from, seen = self.seen, time = self.time, done = self.done, rewinds = self.rewinds,
    rewound = self.rewound, last_done = self.last_done, open = open, dead = dead }
end

--- A machine at the beginning of its log, or behind where a picture was taken.
---@param picture? table
---@return core.engine.machine
function M.new(picture)
  local self = setmetatable({ from = 1, seen = 0, loaded = 0, time = 0, dead = {}, done = 0, rewinds = 0,
    rewound = {}, last_done = 0, began = picture ~= nil }, Machine)
  clear(self)
  if not picture then return self end
  self.from, self.seen, self.time, self.done = picture.from, picture.seen, picture.time, picture.done
  self.loaded, self.rewinds, self.last_done = picture.seen, picture.rewinds, picture.last_done
  for i, r in ipairs(picture.rewound) do self.rewound[i] = r end
  for _, p in ipairs(picture.open) do
    place(self, { offset = p.o, key = p.k, size = p.z, try = p.t, fence = p.f, was = p.w, at = p.a }, p.s, p.d)
  end
  for _, p in ipairs(picture.dead) do self.dead[p.o] = { key = p.k, size = p.z } end
  return self
end

return M
