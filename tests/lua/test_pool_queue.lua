-- The queue of the pool: who goes next. Tickets and times go in, decisions come out; no task waits here.

local test = require "stoke.test"
local queue = require "core.pool.queue"
local plain = require "core.pool.fifo"
local order = require "core.pool.order"
local sorted = require "core.pool.sorted"

local scale = tonumber(os.getenv "STOKE_SCALE") or 1
local function many(n) return math.max(10, math.floor(n * scale)) end

local seq = 0
-- A ticket; what is not said is usual: class 2, no order of its own.
local function ticket(fields)
  seq = seq + 1
  fields.seq, fields.arrived, fields.class, fields.order = seq, fields.arrived or 0, fields.class or 2, fields.order or seq
  return fields
end

local function filled(options, ...)
  local q, list = queue.new(options), {}
  for i, fields in ipairs { ... } do
    list[i] = ticket(fields)
    q:push(list[i])
  end
  return q, list
end

-- The names of all tickets as they are granted, and why.
local function drained(q, now, favoured)
  local names, whys = {}, {}
  local t, why = q:best(now, favoured)
  while t do
    names[#names + 1], whys[#whys + 1] = t.name, why
    q:take(t)
    t, why = q:best(now, favoured)
  end
  return table.concat(names, " "), table.concat(whys, " ")
end

test("interactive goes before normal, normal before batch", function(t)
  local q = filled({}, { name = "batch", class = 3 }, { name = "normal" }, { name = "interactive", class = 1 })
  t.eq({ drained(q, 1) }, { "interactive normal batch", "class class program" })
end)

test("in a class, who somebody waits for goes first", function(t)
  local q = filled({}, { name = "other" }, { name = "worker", holder = true }, { name = "person", class = 1 })
  t.eq({ drained(q, 1) }, { "person worker other", "class holder program" })
end)

test("the older program goes first, and its calls in the order they came", function(t)
  local q = filled({}, { name = "b1", order = 2 }, { name = "a1", order = 1 }, { name = "b2", order = 2 },
    { name = "a2", order = 1 })
  t.eq({ drained(q, 1) }, { "a1 a2 b1 b2", "program program program program" })
end)

test("a deadline is urgent when its call has to begin soon; the least slack goes first", function(t)
  local q = filled({ margin = 2 }, { name = "none" }, { name = "far", deadline = 100, at_most = 5 },
    { name = "soon", deadline = 10, at_most = 5 }, { name = "long", deadline = 12, at_most = 8 })
  t.eq(q:best(1).name, "none")
  t.eq(q:due(1), 2)
  t.eq({ drained(q, 3.5) }, { "long soon none far", "deadline deadline program program" })
end)

test("a deadline that cannot be met any more makes no haste", function(t)
  local q = filled({}, { name = "first" }, { name = "hopeless", deadline = 4, at_most = 5 })
  t.eq({ drained(q, 1) }, { "first hopeless", "program program" })
end)

test("who has waited longer than its class's bound goes first, the oldest first, but only one grant in four", function(t)
  local q = filled({ bounds = { 10, 60, 600 } }, { name = "B1", class = 3, arrived = 0 }, { name = "B2", class = 3, arrived = 1 },
    { name = "n1", arrived = 590 }, { name = "n2", arrived = 590 }, { name = "n3", arrived = 590 }, { name = "n4", arrived = 590 })
  t.eq({ drained(q, 602) }, { "B1 n1 n2 n3 B2 n4", "overdue program program program overdue program" })
end)

test("queues that compete for slots share the share of the overdue", function(t)
  local share = { since = 3 }
  local a = filled({ share = share }, { name = "a", arrived = 0 }, { name = "a2", arrived = 0 })
  local b = filled({ share = share }, { name = "b", arrived = 0 }, { name = "b2", arrived = 0 })
  local first, why = a:best(100)
  t.eq(why, "overdue")
  a:take(first)
  t.eq(select(2, b:best(100)), "program")
  t.eq(queue.before(b:best(100), "program", first, "overdue"), false)
end)

test("a conversation whose context a free slot holds goes before its equals, until they have waited half their bound", function(t)
  local held, other = {}, {}
  local function one()
    return filled({ bounds = { 10, 60, 600 } }, { name = "first" }, { name = "other", unit = other },
      { name = "held", unit = held }, { name = "held2", unit = held }, { name = "person", class = 1, arrived = 25 })
  end
  t.eq({ drained(one(), 29, { [held] = true }) }, { "person held held2 first other", "class prefix prefix program program" })
  t.eq({ drained(one(), 31, { [held] = true }) }, { "person first other held held2", "class program program program program" })
end)

test("interactive calls whose deadline cannot be met any more are found, and stay until they are removed", function(t)
  local q, list = filled({}, { class = 1, deadline = 10, at_most = 4 }, { class = 1, deadline = 9, at_most = 4 },
    { class = 1, deadline = 30, at_most = 4 }, { class = 2, deadline = 1, at_most = 4 })
  t.eq(q:late(1), nil)
  t.eq(q:late(8), { list[2], list[1] })
  t.eq(q:late(8), { list[2], list[1] })
  t.eq(q.size, 4)
  q:remove(list[2])
  t.eq(q:late(8), { list[1] })
  t.eq(q:late(8, function() return 1 end), nil)
  t.eq(q:late(9.5, function() return 1 end), { list[1] })
end)

test("a ticket that is changed takes its new place", function(t)
  local q, list = filled({}, { name = "a" }, { name = "b" }, { name = "c" })
  q:change(list[3], "holder", true)
  q:change(list[1], "order", seq + 10)
  q:change(list[2], "class", 3)
  t.eq({ drained(q, 1) }, { "c a b", "holder class program" })
  q:change(list[2], "class", 1)
  t.eq({ list[2].class, q.size }, { 1, 0 })
end)

test("what is before a ticket is counted by tickets and by programs", function(t)
  local function of(root) return order.key(root, 0) end
  local q, list = filled({}, { order = of(1) }, { order = of(1) }, { order = of(2) }, { order = of(3) }, { order = of(3) },
    { order = of(9), holder = true })
  t.eq({ q:before(list[5]) }, { 5, 2 })
  t.eq({ q:before(list[6]) }, { 0, 0 })
  q:remove(list[3])
  t.eq({ q:before(list[5]) }, { 4, 1 })
end)

test("the order changes by itself when somebody becomes overdue or late", function(t)
  local q, list = filled({ bounds = { 10, 60, 600 }, margin = 2 }, { arrived = 0 }, { arrived = 5, class = 1 })
  t.eq(q:due(1), 15)
  q:push(ticket { arrived = 5, class = 1, deadline = 13, at_most = 5 })
  t.eq(q:due(5), 6)
  t.eq(q:due(6), 8)
  t.eq(q:due(8.5), 15)
  q:remove(list[2])
  t.eq(q:due(20), 60)
  t.eq(q:due(60), nil)
end)

test("keys: the level first, then the older program, then the older unit", function(t)
  t.ok(order.key(1, 5) < order.key(1, 6))
  t.ok(order.key(1, 6) < order.key(2, 1))
  t.ok(order.key(2 ^ 28 // 1 - 1, 2 ^ 29 // 1 - 1) < order.key(1, 1, 1))
  t.ok(order.key(1, 1, order.LAST - 1) < order.key(1, 1, order.LAST))
  t.eq(order.program(order.key(7, 1)), order.program(order.key(7, 900, 3)))
  t.eq({ order.level(order.key(7, 1, 5)), order.at(order.key(7, 1, 5), 2) }, { 5, order.key(7, 1, 2) })
end)

test("a favoured conversation passes its equals, and nobody of whose program less is left", function(t)
  local unit = {}
  local q, list = filled({}, { order = order.key(1, 1, 2) }, { order = order.key(9, 1, 2), unit = unit })
  t.eq({ q:best(1, { [unit] = true }) }, { list[2], "prefix" })
  q:change(list[1], "order", order.key(1, 1, 1))
  t.eq(q:best(1, { [unit] = true }), list[1])
  t.eq({ q:has_less(2, 1), q:has_less(2, 2), q:has_less(1, 9) }, { false, true, false })
end)

test("the yardstick: first come, first served, whatever else is said", function(t)
  local q = plain.new {}
  local list = { ticket { name = "a", class = 3 }, ticket { name = "b" }, ticket { name = "c", class = 1, deadline = 1 } }
  for _, one in ipairs(list) do q:push(one) end
  t.eq({ q.size, q:count(3), q:before(list[3]) }, { 3, 1, 2, 0 })
  t.eq({ q:due(1), q:late(100), q:overdue(1e9) }, {})
  t.eq(q:oldest(), list[1])
  q:change(list[1], "class", 2)
  t.eq({ q:count(2), q:count(3) }, { 2, 0 })
  t.eq(q:remove(list[2]), true)
  t.eq(q:remove(list[2]), false)
  local names = {}
  q:each(function(one) names[#names + 1] = one.name end)
  t.eq(names, { "a", "c" })
  t.eq({ drained(q, 1) }, { "a c", "arrival arrival" })
end)

-- ---- properties ----

local function by_key(a, b) return a.key < b.key or a.key == b.key and a.seq < b.seq end

test("sorted: it gives what a sorted list gives, whatever is removed, and keeps little of what was", function(t)
  for _, keys in ipairs { 1, 50, 1 << 40 } do
    local h, list = sorted.new(), {}
    for i = 1, many(800) do
      local roll = math.random()
      if roll < 0.5 or #list == 0 then
        local item = { seq = math.random(1 << 30), key = math.random(keys) }
        sorted.push(h, item, item.key)
        list[#list + 1] = item
        t.ok(h.entries <= 2 * h.count + 65)
      elseif roll < 0.7 then
        local item = table.remove(list, math.random(#list))
        sorted.remove(h, item, item.key)
        if math.random() < 0.2 then
          sorted.push(h, item, item.key)
          list[#list + 1] = item
        end
      else
        table.sort(list, by_key)
        local item, key = sorted.first(h)
        t.ok(item == list[1] and key == item.key, i)
        local at = math.random(#list)
        t.eq(sorted.before(h, list[at], list[at].key, 1 << 30, function() end), at - 1)
        sorted.remove(h, table.remove(list, 1), key)
      end
    end
  end
end)

test("sorted: thousands come in any order, and go in theirs", function(t)
  local s, list = sorted.new(), {}
  for _ = 1, 3 do
    for i = 1, many(3000) do
      list[i] = { seq = i, key = math.random(1 << 40) }
      sorted.push(s, list[i], list[i].key)
    end
    for i = #list, 1, -2 do
      sorted.remove(s, list[i], list[i].key)
      table.remove(list, i)
    end
    table.sort(list, by_key)
    for i, item in ipairs(list) do
      if sorted.first(s) ~= item then t.eq(i, #list, "out of order") end
      sorted.remove(s, item, item.key)
    end
    t.eq(sorted.first(s), nil)
    list = {}
  end
end)

local BOUNDS, MARGIN = { 10, 60, 600 }, 2

-- The rules as they are written, over a plain list: who goes next, and by which of the first, the urgent and the last rules.
local function naive(list, now, since)
  local function least(better, holds)
    local best
    for _, t in ipairs(list) do
      if holds(t) and (not best or better(t, best)) then best = t end
    end
    return best
  end
  local function older(a, b) return a.arrived < b.arrived or a.arrived == b.arrived and a.seq < b.seq end
  local function before(a, b) return a.order < b.order or a.order == b.order and a.seq < b.seq end
  local function rank(t) return 2 * t.class - (t.holder and 1 or 0) end
  local overdue = since >= 3 and least(older, function(t) return now - t.arrived >= BOUNDS[t.class] - 1e-9 end)
  if overdue then return overdue, "overdue" end
  local first = least(function(a, b) return rank(a) < rank(b) end, function() return true end)
  local function equal(t) return rank(t) == rank(first) end
  local function begins(t) return t.deadline - t.at_most end
  local urgent = first and least(function(a, b)
    return begins(a) < begins(b) or begins(a) == begins(b) and a.seq < b.seq
  end, function(t) return equal(t) and t.deadline and begins(t) >= now and begins(t) - MARGIN <= now end)
  if urgent then return urgent, "deadline" end
  return first and least(before, equal)
end

-- Random arrivals, grants, cancels and changes, beside the plain list. Times are multiples of 1/8, so that sums are exact.
local CHANGES = {
  order = function() return math.random(20) end, class = function() return math.random(3) end,
  holder = function() return math.random() < 0.5 end, at_most = function() return math.random(8) end,
}

test("the queue goes by its rules: beside a plain list, with random arrivals, grants, cancels, changes", function(t)
  for _ = 1, many(12) do
    local q, list, now, since = queue.new { bounds = BOUNDS, margin = MARGIN }, {}, 0, 3
    local crowd = math.random(2, 60)
    for _ = 1, 400 do
      now = now + math.random(0, 8) / 8
      local roll = math.random()
      local at = #list > 0 and math.random(#list)
      if not at or roll < 0.4 and #list < crowd then
        local one = ticket { arrived = now, class = math.random(3), order = math.random(20), holder = math.random() < 0.2,
          at_most = math.random(8), deadline = math.random() < 0.3 and now + math.random(20) or nil, unit = {} }
        list[#list + 1] = one
        q:push(one)
      elseif roll < 0.5 then
        q:remove(table.remove(list, at))
      elseif roll < 0.6 then
        local field = ({ "order", "class", "holder", "at_most" })[math.random(4)]
        q:change(list[at], field, CHANGES[field]())
      elseif roll < 0.65 then -- one that comes back
        q:remove(list[at])
        q:push(list[at])
      else
        local expected, rule = naive(list, now, since)
        local got, why = q:best(now)
        t.ok(got == expected and (not rule or why == rule), ("at %s of %d"):format(now, #list))
        since = why == "overdue" and 0 or since + 1
        t.eq(q:take(got), true)
        for i, one in ipairs(list) do
          if one == got then table.remove(list, i) break end
        end
      end
      t.eq(q.size, #list)
    end
    local seen, n = {}, 0
    q:each(function(one) n, seen[one] = n + 1, true end)
    for _, one in ipairs(list) do t.ok(seen[one]) end
    t.eq(n, #list)
    t.eq(next(q.units) ~= nil, #list > 0)
  end
end)

test("nobody starves: once overdue, a call is granted before four times as many grants as are older, whoever comes", function(t)
  for _, adversary in ipairs { "class", "order", "holder", "deadline", "prefix" } do
    local q, now, worst, grants = queue.new { bounds = BOUNDS }, 0, 0, 0
    local favoured, crowd = {}, {}
    local function arrive()
      local one = ticket { arrived = now, order = 1 << 40 }
      if adversary == "class" then one.class = 1 end
      if adversary == "order" then one.order = -seq end
      if adversary == "holder" then one.holder = true end
      if adversary == "deadline" then one.deadline = now + 1 end
      if adversary == "prefix" then
        one.unit = {}
        favoured[one.unit] = true
      end
      q:push(one)
    end
    for i = 1, 20 do
      crowd[i] = ticket { class = 2 + i % 2, arrived = 0, order = (1 << 40) + 1 }
      q:push(crowd[i])
    end
    local left, since = #crowd, {}
    while left > 0 and now < 2000 do
      now = now + 0.5
      arrive()
      arrive()
      local got = q:best(now, favoured)
      q:take(got)
      grants = grants + 1
      for i, one in ipairs(crowd) do
        if one.place and not since[one] and now - one.arrived >= BOUNDS[one.class] then since[one] = grants end
        if one == got then
          left = left - 1
          worst = math.max(worst, grants - (since[one] or grants) - 4 * i)
        end
      end
    end
    t.eq(left, 0, adversary)
    t.ok(worst <= 0, adversary)
  end
end)

test("ten thousand come and are cancelled at random: none is kept", function(t)
  local q, list, made = queue.new(), {}, setmetatable({}, { __mode = "k" })
  for _ = 1, many(10000) do
    if math.random() < 0.55 or #list == 0 then
      local one = ticket { class = math.random(3), order = math.random(1000), deadline = math.random() < 0.1 and 1e6 or nil,
        unit = math.random() < 0.1 and q or nil }
      list[#list + 1], made[one] = one, true
      q:push(one)
    else
      local one = table.remove(list, math.random(#list))
      t.eq({ q:remove(one), q:remove(one), one.place }, { true, false })
    end
  end
  while #list > 0 do q:remove(table.remove(list, math.random(#list))) end
  t.eq({ q.size, q:best(1), q:due(1), q:oldest() }, { 0 })
  collectgarbage()
  collectgarbage()
  t.eq(next(made), nil)
end)
