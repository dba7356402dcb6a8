-- make bench: hit rates of the cache's eviction (lua/cache/s3fifo.lua) on three traces, beside published policies, all with room
-- for the same number of entries.  stoke test --internal --file cache_policies.lua
--
-- Each policy is a function of a size; what it gives says of a key whether it was there, and takes it in.

local rand = require "stoke.rand"
local s3fifo = require "core.cache.s3fifo"
local test = require "stoke.test"

local POLICIES = {}

-- ---- yardsticks -----------------------------------------------------------------------------------------------------------------

--- A list with the newest at its head.
local function list()
  local self = { size = 0, head = nil, tail = nil }
  function self.push(node)
    node.prev, node.next = nil, self.head
    if self.head then self.head.prev = node else self.tail = node end
    self.head, self.size, node.list = node, self.size + 1, self
  end
  function self.drop(node)
    if node.prev then node.prev.next = node.next else self.head = node.next end
    if node.next then node.next.prev = node.prev else self.tail = node.prev end
    self.size, node.list = self.size - 1, nil
    return node
  end
  return self
end

-- One queue; what is asked for again goes to its front, or stays where it is.
local function queued(size, moves)
  local nodes, queue = {}, list()
  return function(key)
    local node = nodes[key]
    if node then
      if moves then queue.push(queue.drop(node)) end
      return true
    end
    if queue.size == size then nodes[queue.drop(queue.tail).key] = nil end
    nodes[key] = { key = key }
    queue.push(nodes[key])
    return false
  end
end

function POLICIES.FIFO(size) return queued(size, false) end
function POLICIES.LRU(size) return queued(size, true) end

-- Zhang et al., NSDI 2024
function POLICIES.SIEVE(size)
  local nodes, queue, hand = {}, list(), nil
  return function(key)
    local node = nodes[key]
    if node then
      node.visited = true
      return true
    end
    if queue.size == size then
      local at = hand or queue.tail
      while at.visited do
        at.visited = false
        at = at.prev or queue.tail
      end
      hand = at.prev
      nodes[queue.drop(at).key] = nil
    end
    nodes[key] = { key = key }
    queue.push(nodes[key])
    return false
  end
end

-- Johnson and Shasha, VLDB 1994: a quarter is the first queue's, and as many keys as half of all are remembered.
POLICIES["2Q"] = function(size)
  local nodes, first, main, ghosts = {}, list(), list(), list()
  local most, remembered = size // 4, size // 2
  local ghost = {}
  local function room()
    if first.size + main.size < size then return end
    if first.size > most or main.size == 0 then
      local old = first.drop(first.tail)
      nodes[old.key] = nil
      ghost[old.key] = old
      ghosts.push(old)
      if ghosts.size > remembered then ghost[ghosts.drop(ghosts.tail).key] = nil end
    else
      nodes[main.drop(main.tail).key] = nil
    end
  end
  return function(key)
    local node = nodes[key]
    if node then
      if node.list == main then
        main.drop(node)
        main.push(node)
      end
      return true
    end
    local back = ghost[key]
    if back then
      ghosts.drop(back)
      ghost[key] = nil
    end
    room()
    node = { key = key }
    nodes[key] = node
    if back then main.push(node) else first.push(node) end
    return false
  end
end

-- Megiddo and Modha, FAST 2003
function POLICIES.ARC(size)
  local t1, t2, b1, b2, nodes, target = list(), list(), list(), list(), {}, 0
  local function replace(in_b2)
    if t1.size > 0 and (t1.size > target or in_b2 and t1.size == target) then
      b1.push(t1.drop(t1.tail))
    else
      b2.push(t2.drop(t2.tail))
    end
  end
  local function forget(queue) nodes[queue.drop(queue.tail).key] = nil end
  return function(key)
    local node = nodes[key]
    local where = node and node.list
    if where == t1 or where == t2 then
      where.drop(node)
      t2.push(node)
      return true
    end
    if where == b1 or where == b2 then
      local other = where == b1 and b2 or b1
      local step = math.max(1, other.size // where.size)
      target = where == b1 and math.min(size, target + step) or math.max(0, target - step)
      replace(where == b2)
      where.drop(node)
      t2.push(node)
      return false
    end
    if t1.size + b1.size == size then
      if t1.size < size then
        forget(b1)
        replace(false)
      else
        forget(t1)
      end
    elseif t1.size + t2.size + b1.size + b2.size >= size then
      if t1.size + t2.size + b1.size + b2.size >= 2 * size then forget(b2) end
      if t1.size + t2.size >= size then replace(false) end
    end
    nodes[key] = { key = key }
    t1.push(nodes[key])
    return false
  end
end

local function ours(size)
  local cache = s3fifo.new(size * 100)
  return function(key)
    if cache:get(key) then return true end
    cache:put(key, true, 100)
    return false
  end
end

-- ---- traces ---------------------------------------------------------------------------------------------------------------------

--- A number from 1 to n, the small ones often.
local function zipf(n, skew, random)
  local sums, sum = {}, 0
  for i = 1, n do
    sum = sum + 1 / i ^ skew
    sums[i] = sum
  end
  return function()
    local wanted, low, high = random:float() * sum, 1, n
    while low < high do
      local middle = (low + high) // 2
      if sums[middle] < wanted then low = middle + 1 else high = middle end
    end
    return low
  end
end

local REQUESTS <const> = 300000

local TRACES = {
  { "questions of users (zipf 0.9)", function(random)
    local draw, trace = zipf(30000, 0.9, random), {}
    for i = 1, REQUESTS do trace[i] = draw() end
    return trace
  end },
  { "the same among batch runs (scans)", function(random)
    local draw, trace, batch = zipf(30000, 0.9, random), {}, 1000000
    while #trace < REQUESTS do
      for _ = 1, 6000 do trace[#trace + 1] = draw() end
      for _ = 1, 4000 do
        batch = batch + 1
        trace[#trace + 1] = batch
      end
    end
    return trace
  end },
  { "interests that change (shifting zipf)", function(random)
    local draw, trace = zipf(10000, 1.0, random), {}
    for i = 1, REQUESTS do trace[i] = draw() + i // 30000 * 3000 end
    return trace
  end },
}

local function rate(policy, trace, size)
  local there, hits = policy(size), 0
  for _, key in ipairs(trace) do hits = hits + (there(key) and 1 or 0) end
  return hits / #trace * 100
end

test("hit rates", { real = true }, function()
  local names = { "FIFO", "LRU", "SIEVE", "2Q", "ARC" }
  io.stdout:write(("%-40s %6s %8s   %s\n"):format("hit rate in %, by the room for entries", "room", "ours",
    table.concat(names, "      ")))
  for _, trace in ipairs(TRACES) do
    local requests = trace[2](rand.new(11))
    for _, size in ipairs { 300, 1500, 6000 } do
      local mine, best, row, lru = rate(ours, requests, size), 0, {}, nil
      for i, name in ipairs(names) do
        local other = rate(POLICIES[name], requests, size)
        if name == "LRU" then lru = other end
        best, row[i] = math.max(best, other), ("%5.1f"):format(other)
      end
      io.stdout:write(("%-40s %6d %8.1f   %s%s\n"):format(trace[1], size, mine, table.concat(row, "   "),
        (mine < lru or mine < best - 3) and "  MISSED" or ""))
    end
  end
end)
