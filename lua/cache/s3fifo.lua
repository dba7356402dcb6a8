--- A cache in memory that is bound by bytes: S3-FIFO (Yang et al., SOSP 2023). What is new goes through a small queue, a tenth of
--- the bytes; what nobody asked for again leaves it soon, so a long batch that asks everything once pushes nothing out. What was
--- asked for again goes on to the main queue. Of what has left the small queue the keys are remembered for a while (the ghost
--- queue): who comes back goes to the main queue at once.
---
--- How large the small queue is follows what comes back, as in ARC: a key that the small queue has let go too soon makes it larger,
--- one that the main queue has let go makes it smaller. So interests that change push out those of yesterday. Pure.

local M = {}

---@class stoke.cache.s3fifo
---@field limit integer bytes
---@field bytes integer of what it holds: never more than `limit`
---@field count integer
local Cache = {}
Cache.__index = Cache

--- Part of the bytes that is the small queue's, at least and at most: with more of it what is asked for often leaves the main queue
--- too soon. How often an entry counts as asked for, at most: with the published 3 it stays for three rounds after the last time,
--- which costs more where interests change than it gives where they do not. How quickly the part follows what comes back. All of
--- them are measured: tests/bench/cache_policies.lua.
local SMALL <const>, LARGE <const>, MOST <const>, PACE <const> = 0.1, 0.7, 1, 2
--- Keys that are remembered, for each entry that is there: more of them are of times long past.
local GHOSTS <const> = 0.5
M.SMALL, M.MOST, M.GHOSTS = SMALL, MOST, GHOSTS

--- The part of the small queue after a key has come back that one of the queues had let go.
---@param part number
---@param main boolean it was the main queue
---@param of_small integer keys that are remembered of each, this one among them
---@param of_main integer
---@param step number bytes of what comes back, as a part of all
---@return number part
function M.adapt(part, main, of_small, of_main, step)
  step = step * PACE
  if main then return math.max(SMALL, part - step * math.max(1, of_small / of_main)) end
  return math.min(LARGE, part + step * math.max(1, of_main / of_small))
end

---@class stoke.cache.s3fifo.node
---@field key any
---@field value any
---@field bytes integer
---@field freq integer was it asked for since it came, or went round? 0 or 1
---@field queue table the one it is in; nil: it has left

local function queue() return { first = 1, last = 0, bytes = 0, dead = 0 } end

local function push(list, node)
  local last = list.last + 1
  list[last], list.last = node, last
  list.bytes = list.bytes + node.bytes
  node.queue = list
end

--- The oldest node that is still in the queue.
local function pop(list)
  local first = list.first
  while first <= list.last do
    local node = list[first]
    list[first] = nil
    first = first + 1
    if node.queue == list then
      list.first, list.bytes = first, list.bytes - node.bytes
      return node
    end
    list.dead = list.dead - 1
  end
  list.first, list.last, list.dead = 1, 0, 0
end

--- Nodes that were taken out leave holes, which are closed when they are most of a queue.
local function compact(list)
  local into = list.first
  for at = list.first, list.last do
    local node = list[at]
    list[at] = nil
    if node.queue == list then
      list[into] = node
      into = into + 1
    end
  end
  list.last, list.dead = into - 1, 0
end

--- A cache of so many bytes.
---@param limit integer
---@return stoke.cache.s3fifo
---
--- Example: `local cache = s3fifo.new(1 << 20); cache:put("a", "text", 4); cache:get "a" --> "text"`
function M.new(limit)
  return setmetatable({ limit = limit, bytes = 0, count = 0, part = SMALL, nodes = {}, small = queue(), main = queue(),
    ghosts = {}, ghost_list = {}, ghost_first = 1, ghost_last = 0, of_small = 0, of_main = 0 }, Cache)
end

--- What is kept under a key; nil where it is not there.
---@param key any
---@return any value
function Cache:get(key)
  local node = self.nodes[key]
  if not node then return nil end
  local freq = node.freq
  if freq < MOST then node.freq = freq + 1 end
  return node.value
end

--- The same, and it does not count as asked for.
---@param key any
---@return any value
function Cache:peek(key)
  local node = self.nodes[key]
  return node and node.value
end

local function forget(self, key)
  local ghosts = self.ghosts
  if ghosts[key] > 0 then self.of_small = self.of_small - 1 else self.of_main = self.of_main - 1 end
  ghosts[key] = nil
end

--- Remember the key of an entry that left a queue, and forget the oldest ones: half as many are remembered as there are entries, or
--- a hundred. The place of one that left the main queue is below 0.
local function remember(self, key, main)
  local list, last = self.ghost_list, self.ghost_last + 1
  list[last], self.ghost_last, self.ghosts[key] = key, last, main and -last or last
  if main then self.of_main = self.of_main + 1 else self.of_small = self.of_small + 1 end
  local most = math.max(self.count * GHOSTS, 100)
  while self.ghost_last - self.ghost_first >= most do
    local first = self.ghost_first
    local old = list[first]
    list[first], self.ghost_first = nil, first + 1
    if math.abs(self.ghosts[old] or 0) == first then forget(self, old) end
  end
end

local function leave(self, node)
  node.queue = nil
  self.nodes[node.key] = nil
  self.bytes, self.count = self.bytes - node.bytes, self.count - 1
end

--- Let one entry go.
local function evict(self)
  local small, main = self.small, self.main
  while true do
    if small.bytes > self.part * self.limit or main.bytes == 0 then
      local node = pop(small)
      if not node then return end
      if node.freq > 0 then
        node.freq = 0
        push(main, node)
      else
        leave(self, node)
        return remember(self, node.key)
      end
    else
      local node = pop(main)
      if node.freq == 0 then
        leave(self, node)
        return remember(self, node.key, true)
      end
      node.freq = node.freq - 1
      push(main, node)
    end
  end
end

--- Take an entry out.
---@param key any
---@return boolean was_there
function Cache:delete(key)
  local node = self.nodes[key]
  if not node then return false end
  local list = node.queue
  list.bytes, list.dead = list.bytes - node.bytes, list.dead + 1
  leave(self, node)
  if list.dead > 16 and list.dead * 2 > list.last - list.first then compact(list) end
  return true
end

--- Keep a value. One that is larger than a quarter of the whole is not kept.
---@param key any
---@param value any not nil
---@param bytes integer that it takes, its key among them
---@return boolean kept
function Cache:put(key, value, bytes)
  local known = self.nodes[key]
  local freq, main = known and known.freq or 0, known ~= nil and known.queue == self.main
  if known then self:delete(key) end
  if bytes * 4 > self.limit then return false end
  while self.bytes + bytes > self.limit do evict(self) end
  local ghost = self.ghosts[key]
  local back = ghost ~= nil
  if ghost then
    self.part = M.adapt(self.part, ghost < 0, self.of_small, self.of_main, bytes / self.limit)
    forget(self, key)
  end
  local node = { key = key, value = value, bytes = bytes, freq = freq, queue = nil }
  self.nodes[key] = node
  self.bytes, self.count = self.bytes + bytes, self.count + 1
  push((back or main) and self.main or self.small, node)
  return true
end

--- Forget everything.
function Cache:clear()
  self.bytes, self.count, self.nodes, self.small, self.main = 0, 0, {}, queue(), queue()
  self.ghosts, self.ghost_list, self.ghost_first, self.ghost_last, self.part = {}, {}, 1, 0, SMALL
  self.of_small, self.of_main = 0, 0
end

--- All entries, in no order. Nothing may be put while they are read.
---@return fun(): any, any key and value
function Cache:each()
  local nodes, key, node = self.nodes, nil, nil
  return function()
    key, node = next(nodes, key)
    if node then return key, node.value end
  end
end

return M
