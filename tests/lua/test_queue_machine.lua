-- A group as a machine over an ordered log (lua/engine/machine.lua): whoever reads the same log computes the same.

local machine = require "core.engine.machine"
local stoke = require "stoke"
local test = require "stoke.test"

--- A machine that began, with items { key or false, ... } read.
local function began(...)
  local m = machine.new()
  m:apply({ op = "begin", from = 1 }, 1, 0)
  for offset, key in ipairs { ... } do m:item(offset, key or nil, 1) end
  return m
end

local function claim(m, seq, time, more)
  local record = { op = "claim", n = 10, lease = 10, tries = 3, known = m.loaded }
  for name, value in next, more or {} do record[name] = value end
  return m:apply(record, seq, time)
end

local function settle(m, seq, time, offset, fence, state, more)
  local record = { op = "settle", offset = offset, fence = fence, state = state or "done", delay = 0 }
  for name, value in next, more or {} do record[name] = value end
  return m:apply(record, seq, time)
end

local function offsets(given)
  local list = {}
  for i, one in ipairs(given) do list[i] = one.offset end
  return list
end

test("machine: the first open item of a key is lent, and no other of it", function(t)
  local m = began("a", "a", "b", false, false)
  t.eq(offsets(claim(m, 2, 0)), { 1, 3, 4, 5 })
  t.eq(settle(m, 3, 1, 1, 2, "again"), true)
  t.eq(offsets(claim(m, 4, 1)), { 1 })
  t.eq(settle(m, 5, 1, 1, 4, "dead"), true)
  t.eq(offsets(claim(m, 6, 1)), { 2 })
end)

test("machine: a claim is given nothing that its writer had not read", function(t)
  local m = began(false, false, false)
  t.eq(offsets(claim(m, 2, 0, { known = 2 })), { 1, 2 })
  t.eq(offsets(claim(m, 3, 0, { known = 3 })), { 3 })
end)

test("machine: an old claim settles nothing; one whose lease ran out is good until another has the item", function(t)
  local m = began(false)
  claim(m, 2, 0)
  claim(m, 3, 11, { known = 0 }) -- the lease is over, and nobody is given the item
  t.ok(m:good(1, 2))
  t.eq(claim(m, 4, 12)[1].try, 2)
  t.eq({ settle(m, 5, 12, 1, 2), settle(m, 6, 12, 1, 4) }, { false, true })
end)

test("machine: the same said twice is true, anything else after it is false", function(t)
  local m = began(false)
  claim(m, 2, 0)
  t.eq(settle(m, 3, 0, 1, 2, "again", { delay = 5 }), true)
  t.eq({ settle(m, 4, 0, 1, 2, "again"), settle(m, 5, 0, 1, 2, "done") }, { true, false })
  t.eq({ m:lendable(1) }, { false, 5 })
  t.eq(offsets(claim(m, 6, 5)), { 1 })
  t.eq(settle(m, 7, 5, 1, 2, "again"), false)
end)

test("machine: a lease is measured by the log's clock, and renewing is for those who still have it", function(t)
  local m = began(false, false)
  claim(m, 2, 100)
  t.eq(m:apply({ op = "renew", lease = 10, claims = { { 1, 2 }, { 2, 9 } } }, 3, 105), { 2 })
  t.eq(offsets(claim(m, 4, 111)), { 2 })
  t.eq(offsets(claim(m, 5, 114)), {})
  t.eq(offsets(claim(m, 6, 90)), {}) -- the clock of a new leader is behind
  t.eq(offsets(claim(m, 7, 115)), { 1 })
end)

test("machine: tries are counted, what is handed back is not; the last lease that runs out is told", function(t)
  local m = began(false)
  t.eq(claim(m, 2, 0, { tries = 2 })[1].try, 1)
  settle(m, 3, 0, 1, 2, "back")
  t.eq(claim(m, 4, 0, { tries = 2 })[1].try, 1)
  t.eq(claim(m, 5, 20, { tries = 2 })[1].try, 2)
  local last = claim(m, 6, 40, { tries = 2 })[1]
  t.eq({ last.try, last.spent }, { 2, true })
end)

test("machine: what is handed over counts as open until it is published, and after a while another is told to", function(t)
  local m = began("a", "a")
  claim(m, 2, 0)
  t.eq(settle(m, 3, 0, 1, 2, "done", { hands = { {} } }), true)
  local given = claim(m, 4, machine.HAND - 1)
  t.eq({ #given, given.hands }, { 0, nil })
  given = claim(m, 5, machine.HAND)
  t.eq({ #given, given.hands }, { 0, { { offset = 1, at = 3 } } })
  t.eq(claim(m, 6, machine.HAND).hands, nil)
  m:apply({ op = "handed", offsets = { 1 } }, 7, machine.HAND)
  t.eq(offsets(claim(m, 8, machine.HAND)), { 2 })
  t.eq(m.done, 1)
end)

test("machine: dead items are revived before later ones of their key; a rewind makes claims void", function(t)
  local m = began("a", "a", "b")
  claim(m, 2, 0)
  settle(m, 3, 0, 1, 2, "dead")
  t.eq(m:apply({ op = "revive", offsets = { 1, 2 } }, 4, 0), 1)
  t.eq(offsets(claim(m, 5, 0)), { 1 })
  t.eq(m:apply({ op = "rewind", to = 2, done = 0 }, 6, 0), true)
  t.eq(settle(m, 7, 0, 3, 2), false)
  m:item(2, "a", 1)
  m:item(3, "b", 1)
  t.eq(offsets(claim(m, 8, 0)), { 3 })
  t.eq(settle(m, 9, 0, 1, 5), true)
end)

test("machine: an item whose lease ran out twice is lent alone", function(t)
  local m = began(false, false, false)
  claim(m, 2, 0, { n = 2 })
  claim(m, 3, 20, { n = 2 })
  settle(m, 4, 20, 2, 3, "again")
  t.eq(offsets(claim(m, 5, 40)), { 1 })
  t.eq(offsets(claim(m, 6, 40)), { 2, 3 })
end)

test("machine: one claim is given some 16 MB, and one item whatever its size", function(t)
  local m = machine.new()
  m:apply({ op = "begin", from = 1 }, 1, 0)
  for offset, mb in ipairs { 20, 10, 5, 5 } do m:item(offset, nil, mb << 20) end
  t.eq(offsets(claim(m, 2, 0)), { 1 })
  t.eq(offsets(claim(m, 3, 0)), { 2, 3 })
  t.eq(offsets(claim(m, 4, 0)), { 4 })
end)

test("machine: what a rewind has made void does not count as read ahead", function(t)
  local m = began()
  for offset = 1, machine.AHEAD do m:item(offset, nil, 1) end
  t.ok(m:full())
  claim(m, 2, 0)
  m:apply({ op = "rewind", to = 6, done = 0 }, 3, 1)
  t.eq({ m:full(), m:lendable(1) }, { false, false, 10 })
  t.eq({ m.count.lent, m.count.ready }, { 5, 0 })
  m:item(6, nil, 1)
  t.eq(offsets(claim(m, 4, 2)), { 6 })
  t.eq(offsets(claim(m, 5, 10)), { 1, 2, 3, 4, 5 })
end)

test("machine: items that wait for one key fill it as those do that can be lent", function(t)
  local m = began()
  for offset = 1, machine.WINDOW do m:item(offset, "hot", 1) end
  t.ok(not m:full())
  m:item(machine.WINDOW + 1, "hot", 1)
  t.ok(m:full())
  claim(m, 2, 0)
  settle(m, 3, 0, 1, 2)
  t.ok(not m:full())
end)

test("machine: a rewind of 100,000 items of one key is over before anybody misses this host", { timeout = 10 }, function(t)
  local m = began()
  for offset = 1, 100000 do m:item(offset, "hot", 1) end
  m:item(100001, nil, 1)
  t.eq(offsets(claim(m, 2, 0)), { 1, 100001 })
  m:apply({ op = "rewind", to = 50000, done = 0 }, 3, 0)
  t.eq({ m.count.lent, m.count.blocked }, { 1, 49998 })
end)

test("machine: a rewind ahead skips what is open before, except for what is out; only outcomes after a rewind stand", function(t)
  local m = began("a", "a", false, false, "b")
  claim(m, 2, 0) -- 1, 3, 4, 5
  settle(m, 3, 0, 3, 2, "done")
  settle(m, 4, 0, 4, 2, "again")
  settle(m, 5, 0, 5, 2, "dead")
  t.eq({ m:lendable(0) }, { true })
  m:apply({ op = "rewind", to = 9 }, 6, 0)
  t.eq({ m.count.lent, m.count.ready, m.count.blocked, m.done }, { 1, 0, 0, 1 })
  t.ok(m.dead[5])
  for offset = 6, 9 do m:item(offset, "a", 1) end
  t.eq(offsets(claim(m, 7, 1)), {}) -- the first of its key is out
  t.eq(settle(m, 8, 1, 1, 2, "done"), true)
  t.eq(offsets(claim(m, 9, 1)), { 9 })
  t.eq({ m:stands(3, 3), m:stands(9, 5), m:stands(9, 10) }, { true, false, true })
  m = machine.new(m:picture())
  m:apply({ op = "rewind", to = 2, done = 1 }, 10, 1)
  t.eq({ m.from, m.done, m.last_done }, { 1, 1, 1 })
  t.eq({ m:stands(1, 8), m:stands(3, 3), m:stands(9, 10), m:stands(3, 11) }, { true, false, false, true })
  t.eq(#m.rewound, 1)
end)

test("machine: a rewind back leaves what is open before as it is", function(t)
  local m = began("a", "a", false)
  claim(m, 2, 0) -- 1, 3
  settle(m, 3, 0, 1, 2, "again")
  settle(m, 4, 0, 3, 2, "done")
  m:apply({ op = "rewind", to = 3, done = 0 }, 5, 0)
  t.eq({ m.count.ready, m.count.blocked, m.done, m.last_done }, { 1, 1, 0, 2 })
  m:item(3, nil, 1)
  t.eq(offsets(claim(m, 6, 0)), { 1, 3 })
end)

-- ---- any log ----------------------------------------------------------------------------------------------------------------

--- A reader of the log of its own: it has read ahead as it likes, and is taken apart and put together now and then.
local function reader(items, random)
  local r = { m = machine.new() }
  function r.read(to)
    for offset = r.m.loaded + 1, math.min(to, #items) do r.m:item(offset, items[offset].key, items[offset].size) end
  end
  function r.apply(record, seq, time)
    if r.m.began and random:float() < 0.3 then r.read(r.m.loaded + random:int(1, 20)) end
    if record.known then r.read(record.known) end
    local result = r.m:apply(record, seq, time)
    if random:float() < 0.05 then r.m = machine.new(stoke.json.decode(stoke.json.encode(r.m:picture()))) end
    return result
  end
  return r
end

local function record(random, first, held)
  local chance, one = random:float(), held[random:int(1, math.max(#held, 1))]
  if chance < 0.35 or not one then
    return { op = "claim", n = random:int(1, 5), lease = random:int(1, 10), tries = 3, known = random:int(0, first.m.loaded) }
  elseif chance < 0.75 then
    local state = ({ "done", "done", "done", "again", "dead", "back" })[random:int(1, 6)]
    return { op = "settle", offset = one.offset, fence = one.fence, state = state, delay = random:int(0, 3),
      hands = (state == "done" or state == "dead") and random:float() < 0.3 and { {} } or nil }
  elseif chance < 0.85 then
    return { op = "renew", lease = 10, claims = { { one.offset, one.fence } } }
  elseif chance < 0.95 then
    return { op = "handed", offsets = { one.offset } }
  elseif chance < 0.98 then
    return { op = "revive", offsets = { one.offset } }
  end
  return { op = "rewind", to = random:int(1, first.m.loaded + 1), done = 0 }
end

--- Of each key at most one item is lent, and it is the first that is open, unless an older one was revived meanwhile.
local function check_order(t, m, revived, what)
  local lent = {}
  for offset, item in next, m.open do
    if item.state == "lent" and item.key and not revived then
      t.ok(not lent[item.key], what)
      lent[item.key] = offset
    end
  end
end

test("machine: readers who have read ahead differently, and begin at different places, agree on any log", function(t)
  for seed = 1, 12 do
    stoke.sleep(0)
    local random, items = stoke.rand.new(seed), {}
    for i = 1, 120 do
      items[i] = { key = random:float() < 0.7 and "k" .. random:int(1, 8) or nil, size = random:int(0, 9 << 20) }
    end
    local readers, held, time, revived = {}, {}, 0, false
    for i = 1, 3 do readers[i] = reader(items, stoke.rand.new(seed * 10 + i)) end
    for seq = 1, 300 do
      readers[1].read(readers[1].m.loaded + (seq > 1 and random:int(0, 3) or 0))
      local r = seq == 1 and { op = "begin", from = random:int(1, 5) } or record(random, readers[1], held)
      time = time + random:float()
      revived = revived or r.op == "revive"
      local results = {}
      for i, one in ipairs(readers) do results[i] = one.apply(r, seq, time) end
      t.eq(results[2], results[1], ("seed %d, record %d, %s"):format(seed, seq, r.op))
      t.eq(results[3], results[1], ("seed %d, record %d, %s"):format(seed, seq, r.op))
      if r.op == "claim" then
        for _, one in ipairs(results[1]) do held[#held + 1] = one end
      end
      check_order(t, readers[1].m, revived, ("seed %d, record %d"):format(seed, seq))
    end
  end
end)
