-- Eviction in memory: what stays when there is not room for all.

local filters = require "core.cache.filter"
local rand = require "stoke.rand"
local s3fifo = require "core.cache.s3fifo"
local test = require "stoke.test"

test("s3fifo: what fits stays", function(t)
  local cache = s3fifo.new(100)
  for i = 1, 10 do t.eq(cache:put(i, "v" .. i, 10), true) end
  for i = 1, 10 do t.eq(cache:get(i), "v" .. i) end
  t.eq({ cache.bytes, cache.count }, { 100, 10 })
end)

test("s3fifo: a scan pushes out nothing that was asked for again", function(t)
  local cache = s3fifo.new(1000)
  for i = 1, 50 do cache:put(i, i, 10) end
  for i = 1, 50 do cache:get(i) end
  for i = 1001, 5000 do cache:put(i, i, 10) end
  local left = 0
  for i = 1, 50 do left = left + (cache:peek(i) and 1 or 0) end
  t.eq(left, 50)
end)

test("s3fifo: what comes back soon after it had to go stays", function(t)
  local cache = s3fifo.new(1000)
  for i = 1, 100 do cache:put(i, i, 10) end
  cache:put("back", 1, 10)
  for i = 101, 190 do cache:put(i, i, 10) end
  for i = 191, 1000 do
    if not cache:peek "back" then break end
    cache:put(i, i, 10)
  end
  t.eq(cache:peek "back", nil)
  cache:put("back", 2, 10)
  for i = 1001, 1300 do cache:put(i, i, 10) end
  t.eq(cache:peek "back", 2)
end)

test("s3fifo: it is never above its bytes, whatever is put and taken out", function(t)
  local random = rand.new(7)
  local cache, mirror = s3fifo.new(5000), {}
  for _ = 1, 20000 do
    local key, what = random:int(1, 300), random:int(1, 10)
    if what <= 6 then
      local bytes = random:int(1, 1500)
      local kept = cache:put(key, bytes, bytes)
      t.eq(kept, bytes <= 1250)
      mirror[key] = kept and bytes or nil
    elseif what == 7 then
      t.ok(not cache:delete(key) or mirror[key])
      mirror[key] = nil
    else
      local value = cache:get(key)
      if value then t.eq(value, mirror[key]) end
    end
    assert(cache.bytes <= 5000)
  end
  local bytes, count = 0, 0
  for key, value in cache:each() do
    bytes, count = bytes + value, count + 1
    t.eq(mirror[key], value)
  end
  t.eq({ cache.bytes, cache.count }, { bytes, count })
end)

test("s3fifo: a newer value takes the place of the first; what is too large is not kept", function(t)
  local cache = s3fifo.new(100)
  cache:put("a", 1, 20)
  cache:put("a", 2, 25)
  t.eq({ cache:get "a", cache.bytes, cache.count }, { 2, 25, 1 })
  t.eq({ cache:put("a", 3, 26), cache:get "a", cache.bytes }, { false, nil, 0 })
  cache:put("b", 1, 10)
  cache:clear()
  t.eq({ cache:get "b", cache.bytes, cache.count }, { nil, 0, 0 })
end)

test("filter: it never says no of a key that was added, and seldom perhaps of another", function(t)
  local filter, random = filters.new(10000), rand.new(7)
  local added, wrong = {}, 0
  for i = 1, 10000 do
    added[i] = random:int(math.mininteger, math.maxinteger)
    filter:add(added[i])
  end
  for _, hash in ipairs(added) do assert(filter:has(hash)) end
  for _ = 1, 10000 do wrong = wrong + (filter:has(random:int(math.mininteger, math.maxinteger)) and 1 or 0) end
  t.ok(wrong < 300, wrong)
end)
