-- stoke.place: maps, shortest ways against a breadth-first search, and walking without collisions.
local place = require "stoke.place"
local rand = require "stoke.rand"
local test = require "stoke.test"

local TOWN = [[
  ############
  #BB.#..#..H#
  #BB....#.HH#
  #...#..#...#
  ###.####.###
  #..........#
  #....SS..C.#
  ############
]]

local function town() return place { map = TOWN, spots = { B = "bakery", H = "home", S = "square", C = "café" } } end

local function refused(t, part, f, ...)
  local ok, err = pcall(f, ...)
  t.eq(ok, false)
  t.eq(err.kind, "argument")
  t.ok(err.message:find(part, 1, true), err.message)
end

-- ---- the oracle: lengths by breadth-first search, written without the module ------------------------------------------------

local function random_rows(g, width, height, walls)
  local rows = {}
  for y = 1, height do
    local row = {}
    for x = 1, width do row[x] = g:float() < walls and "#" or "." end
    rows[y] = table.concat(row)
  end
  return rows
end

local function is_open(rows, x, y) return rows[y] ~= nil and rows[y]:sub(x, x) == "." end

--- Steps to each tile, by "x,y".
local function lengths(rows, from, blocked)
  local key = from.x .. "," .. from.y
  local steps, queue = { [key] = 0 }, { from }
  for _, tile in ipairs(queue) do
    for _, d in ipairs { { 1, 0 }, { -1, 0 }, { 0, 1 }, { 0, -1 } } do
      local x, y = tile.x + d[1], tile.y + d[2]
      local to = x .. "," .. y
      if is_open(rows, x, y) and not steps[to] and not (blocked and blocked[to]) then
        steps[to] = steps[tile.x .. "," .. tile.y] + 1
        queue[#queue + 1] = { x = x, y = y }
      end
    end
  end
  return steps
end

local function random_tile(g, rows)
  while true do
    local y = g:int(1, #rows)
    local x = g:int(1, #rows[y])
    if is_open(rows, x, y) then return { x = x, y = y } end
  end
end

local function check_way(t, rows, from, to, way, blocked)
  local x, y = from.x, from.y
  for _, tile in ipairs(way) do
    t.eq(math.abs(tile.x - x) + math.abs(tile.y - y), 1)
    t.ok(is_open(rows, tile.x, tile.y) and not blocked[tile.x .. "," .. tile.y])
    x, y = tile.x, tile.y
  end
  t.eq({ x, y }, { to.x, to.y })
end

-- ---- maps ------------------------------------------------------------------------------------------------------------------

test("a map of text has walls, free tiles and spots with names", function(t)
  local p = town()
  t.eq({ p.width, p.height }, { 12, 8 })
  t.eq(p:names(), { "bakery", "café", "home", "square" })
  t.eq(p:free(1, 1), false)
  t.eq(p:free(2, 2), true)
  t.eq(p:free(0, 3), false)
  t.eq(p:free(13, 3), false)
  t.eq(p:free(3, 99), false)
  t.eq(p:at(2, 2), "bakery")
  t.eq(p:at(4, 2), nil)
  t.eq(p:at(1, 1), nil)
  t.eq(p:spot("home"), { name = "home", x = 11, y = 3, tiles = { { x = 11, y = 2 }, { x = 10, y = 3 }, { x = 11, y = 3 } } })
end)

test("without a map there is a field, with tiles that are blocked", function(t)
  local p = place { width = 4, height = 3, blocked = { { x = 2, y = 1 }, { x = 2, y = 2 } }, spots = { well = { x = 4, y = 1 } } }
  t.eq(p:text(), ".#..\n.#..\n....")
  t.eq(#p:path({ x = 1, y = 1 }, "well"), 7)
end)

test("data gives the same place again", function(t)
  local p = town()
  local again = place(p:data())
  t.eq(again:data(), p:data())
  t.eq(again:path({ x = 2, y = 2 }, "home"), p:path({ x = 2, y = 2 }, "home"))
end)

test("a bad map says what is wrong, and where", function(t)
  refused(t, "row 2 of the map has 3 tiles, and row 1 has 4", place, { map = "####\n#.#" })
  refused(t, "row 1 of the map has \"~\" at 2", place, { map = "#~#" })
  refused(t, "the map is empty", place, { map = " \n \n" })
  refused(t, "no tile of the map has the mark \"Q\" (quay)", place, { map = "...", spots = { Q = "quay" } })
  refused(t, "spot well: the tile { x = 1, y = 1 } is blocked", place, { map = "#..", spots = { well = { x = 1, y = 1 } } })
  refused(t, "got { x = 9, y = 1 }", place, { map = "#..", spots = { well = { x = 9, y = 1 } } })
  refused(t, "two with the name A", place, { map = "AB", spots = { B = "A" } })
  refused(t, "width must be a whole number from 1 to 1000", place, { width = 0, height = 2 })
  refused(t, "map is missing", place, {})
  refused(t, "height must be a whole number from 1 to 1000, got nil", place, { width = 5 })
  refused(t, "the map is 3 x 1, not 4 x 1", place, { map = "...", width = 4 })
  refused(t, "unknown option walls", place, { map = "...", walls = {} })
end)

test("a name that no spot has is refused with the one that was meant", function(t)
  local p = town()
  refused(t, "no spot \"bakry\" (did you mean bakery?)", p.spot, p, "bakry")
  refused(t, "no spot \"moon\"; there are bakery, café, home, square", p.path, p, { x = 2, y = 2 }, "moon")
  refused(t, "is blocked", p.path, p, { x = 1, y = 1 }, "home")
  refused(t, "is blocked", p.path, p, { x = 2, y = 2 }, { x = 1, y = 1 })
  refused(t, "write a colon", p.spot, nil, "bakery")
end)

test("what is no tile is refused", function(t)
  local p = town()
  refused(t, "width must be a whole number from 1 to 1000, got nil", place)
  refused(t, "place:free: the numbers x and y", p.free, p, "2")
  refused(t, "place:at: the numbers x and y", p.at, p)
  refused(t, "place:distance: two tiles expected, got nil", p.distance, p, { x = 1, y = 1 })
  refused(t, "place:text: the numbers x and y", p.text, p, { { id = "ada" } })
end)

test("nearest gives the tile itself, or the one by the fewest steps that is free", function(t)
  local p = place { map = { "..#.", ".##." } }
  t.eq({ p:nearest { x = 1, y = 1 } }, { 1, 1 })
  t.eq({ p:nearest({ x = 1, y = 1 }, { { x = 1, y = 1 } }) }, { 2, 1 })
  t.eq(p:nearest({ x = 4, y = 1 }, { { x = 4, y = 1 }, { x = 4, y = 2 } }), nil)
end)

test("text shows who stands where", function(t)
  local p = place { map = { "...", ".#." } }
  t.eq(p:text { { id = "ada", x = 1, y = 1 }, { id = "b", name = "Émile", x = 3, y = 2 } }, "a..\n.#É")
end)

-- ---- ways ------------------------------------------------------------------------------------------------------------------

test("ways are as short as a breadth-first search finds them, also round what is to be avoided: 2,000 random questions", function(t)
  local seed = 20
  for maps = 1, 20 do
    local g = rand.new(seed + maps)
    local rows = random_rows(g, g:int(5, 30), g:int(5, 30), g:float() * 0.45)
    local p = place { map = rows }
    for _ = 1, 20 do
      local from = random_tile(g, rows)
      local avoid, blocked = {}, {}
      for i = 1, g:int(0, 12) do
        avoid[i] = random_tile(g, rows)
        blocked[avoid[i].x .. "," .. avoid[i].y] = true
      end
      local steps = lengths(rows, from, blocked)
      for _ = 1, 5 do
        local to = random_tile(g, rows)
        local way = p:path(from, to, { avoid = avoid })
        t.eq(way and #way, steps[to.x .. "," .. to.y], ("map %d of seed %d"):format(maps, seed))
        if way then check_way(t, rows, from, to, way, blocked) end
        t.eq(p:path(from, to, { avoid = avoid }), way)
        if way and #way > 0 then t.eq(p:path(from, to, { avoid = avoid, most = #way - 1 }), nil) end
      end
    end
  end
end)

test("the way to a spot is the way to its nearest tile", function(t)
  local g = rand.new(5)
  local rows = random_rows(g, 24, 18, 0.25)
  local tiles = {}
  for i = 1, 6 do tiles[i] = random_tile(g, rows) end
  local p = place { map = rows, spots = { market = tiles } }
  for _ = 1, 200 do
    local from = random_tile(g, rows)
    local steps, least = lengths(rows, from), nil
    for _, tile in ipairs(tiles) do
      local n = steps[tile.x .. "," .. tile.y]
      if n and (not least or n < least) then least = n end
    end
    local way = p:path(from, "market")
    t.eq(way and #way, least)
  end
end)

-- ---- walking ---------------------------------------------------------------------------------------------------------------

--- Those within `radius`, in the order of ids, as a world gives them.
local function near(members, me, radius)
  local out = {}
  for _, other in ipairs(members) do
    if other ~= me and math.max(math.abs(other.x - me.x), math.abs(other.y - me.y)) <= radius then out[#out + 1] = other end
  end
  return out
end

--- One tick of all; raises where two are on one tile, one is on a wall, or one has gone further than to the next tile.
local function tick_of(p, rows, members, tick, heard)
  local before = {}
  for i, me in ipairs(members) do
    before[i] = { me.x, me.y }
    local what, who = p:step(me, near(members, me, 3), tick)
    if heard then heard(me, what, who) end
  end
  local on = {}
  for i, me in ipairs(members) do
    local key = me.x .. "," .. me.y
    if not is_open(rows, me.x, me.y) then error(("tick %d: %s is on a wall"):format(tick, me.id)) end
    if on[key] then error(("tick %d: %s and %s are both at %s"):format(tick, me.id, on[key], key)) end
    if math.abs(me.x - before[i][1]) + math.abs(me.y - before[i][2]) > 1 then error(("tick %d: %s jumps"):format(tick, me.id)) end
    on[key] = me.id
  end
end

local function placed(g, p, rows, count)
  local members = {}
  for i = 1, count do
    local x, y
    repeat
      local tile = random_tile(g, rows)
      x, y = tile.x, tile.y
    until p:free(x, y, members)
    members[i] = { id = ("m%02d"):format(i), x = x, y = y }
  end
  return members
end

test("somebody alone takes a shortest way, a tile a tick: 10,000 steps", function(t)
  local seed = 31
  local g = rand.new(seed)
  local rows = random_rows(g, 30, 24, 0.3)
  local p = place { map = rows }
  local me, tick = placed(g, p, rows, 1)[1], 0
  while tick < 10000 do
    local to = random_tile(g, rows)
    local steps = lengths(rows, me)[to.x .. "," .. to.y]
    p:go(me, to, tick)
    if not steps then
      t.eq(p:step(me, {}, tick), "stuck")
      tick = tick + 1
    elseif steps == 0 then
      t.eq(p:step(me, {}, tick), "arrived")
      tick = tick + 1
    end
    for left = steps or 0, 1, -1 do
      local x, y = me.x, me.y
      t.eq(p:step(me, {}, tick), left == 1 and "arrived" or "moved")
      t.eq(math.abs(me.x - x) + math.abs(me.y - y), 1)
      t.ok(is_open(rows, me.x, me.y))
      tick = tick + 1
    end
    if steps then t.eq({ me.x, me.y }, { to.x, to.y }) end
    t.eq(me.walk, nil)
  end
end)

--- Movers that get a new goal whenever they are done: how often each of the answers was heard.
local function crowd(seed, rows, count, ticks, still)
  local g = rand.new(seed)
  local p = place { map = rows }
  local members = placed(g, p, rows, count)
  local counts, longest = {}, 0
  for tick = 1, ticks do
    for i, me in ipairs(members) do
      if not me.walk and i > still and g:float() < 0.3 then
        local to = random_tile(g, rows)
        if p:path(me, to) then p:go(me, to, tick) end
      end
    end
    tick_of(p, rows, members, tick, function(me, what)
      counts[what] = (counts[what] or 0) + 1
      if me.walk and me.walk.since then longest = math.max(longest, tick - me.walk.since) end
    end)
  end
  return counts, longest, members
end

test("30 movers for 5,000 ticks: never two on one tile, never one on a wall, and everybody gets on", function(t)
  local rows = random_rows(rand.new(3), 26, 20, 0.28)
  local counts, longest = crowd(11, rows, 30, 5000, 3)
  t.eq(counts.stuck, nil)
  t.ok(counts.arrived > 3000, "arrived: " .. counts.arrived)
  t.ok(longest < 150, "the longest walk took " .. longest)
end)

-- A house of narrow halls: who meets there cannot pass.
local HALLS = {
  "...............",
  ".#############.",
  ".#...#...#...#.",
  ".#...........#.",
  ".###.#####.###.",
  ".....#...#.....",
  ".###.......###.",
  ".#...#...#...#.",
  "...............",
}

test("in a dense crowd some are kept waiting for more than a minute, and nobody gives up", function(t)
  local rows = random_rows(rand.new(5), 18, 13, 0.25)
  local counts, longest = crowd(1, rows, 34, 3000, 0)
  t.eq(counts.stuck, nil)
  t.ok(longest > 60, "nobody waits for long: " .. longest)
end)

test("in narrow halls, too, whoever walks arrives: people change places", function(t)
  for seed = 1, 12 do
    local counts, longest = crowd(seed, HALLS, 14, 1500, 2)
    t.eq(counts.stuck, nil, "seed " .. seed)
    t.ok(counts.arrived > 100, "seed " .. seed .. ": " .. counts.arrived)
    t.ok(longest < 150, ("seed %d: a walk of %d"):format(seed, longest))
  end
end)

test("one tile wide and full but for one: still everybody arrives", function(t)
  local rows = { "........." }
  for seed = 1, 20 do
    local counts, longest = crowd(seed, rows, 8, 600, 0)
    t.eq(counts.stuck, nil, "seed " .. seed)
    t.ok((counts.arrived or 0) + (counts.near or 0) > 20, "seed " .. seed)
    t.ok(longest < 100, ("seed %d: a walk of %d"):format(seed, longest))
  end
end)

test("two who meet in a corridor change places", function(t)
  local rows = { "......" }
  local p = place { map = rows }
  local a, b = { id = "a", x = 1, y = 1 }, { id = "b", x = 6, y = 1 }
  p:go(a, { x = 6, y = 1 }, 0)
  p:go(b, { x = 1, y = 1 }, 0)
  local tick = 0
  while a.walk or b.walk do
    tick_of(p, rows, { a, b }, tick)
    tick = tick + 1
    t.ok(tick < 20)
  end
  t.eq({ a.x, b.x }, { 6, 1 })
end)

test("who stands in a doorway makes way, and is one tile away after it", function(t)
  local rows = { "...#...", "......." , "...#..." }
  local p = place { map = rows }
  local a, b = { id = "a", x = 1, y = 2 }, { id = "b", x = 4, y = 2 }
  p:go(a, { x = 7, y = 2 }, 0)
  for tick = 0, 12 do tick_of(p, rows, { a, b }, tick) end
  t.eq({ a.x, a.y, a.walk }, { 7, 2, nil })
  t.eq({ b.x, b.y, b.walk }, { 3, 2, nil })
end)

test("in a world a step is given here; who stands looks at nobody", function(t)
  local p = place { map = { "....." } }
  local a, b, looks = { id = "a", x = 1, y = 1 }, { id = "b", x = 2, y = 1 }, {}
  local here = { tick = 0, near = function(_, member, radius)
    looks[#looks + 1] = member.id
    t.eq(radius, 3)
    return { member == a and b or a }
  end }
  t.eq({ p:step(a, here), p:step(b, here), #looks }, { "stands", "stands", 0 })
  p:go(a, { x = 5, y = 1 }, 0)
  for tick = 0, 6 do
    here.tick = tick
    p:step(a, here)
    p:step(b, here)
  end
  t.eq({ a.x, b.x, b.walk }, { 5, 1, nil })
  local last = #looks
  p:step(b, here)
  t.eq(#looks, last)
end)

test("where there is room nobody is asked to make way", function(t)
  local rows = { ".....", ".....", "....." }
  local p = place { map = rows }
  local a, b = { id = "a", x = 1, y = 2 }, { id = "b", x = 3, y = 2 }
  p:go(a, { x = 5, y = 2 }, 0)
  for tick = 0, 5 do tick_of(p, rows, { a, b }, tick) end
  t.eq({ a.x, b.x, b.y }, { 5, 3, 2 })
end)

test("a tile that is taken: it stops beside it, and says who is there; of a spot another tile will do", function(t)
  local p = place { map = { "..SS" }, spots = { S = "stall" } }
  local a, b = { id = "a", x = 1, y = 1 }, { id = "b", x = 4, y = 1 }
  p:go(a, { x = 4, y = 1 }, 0)
  t.eq(p:step(a, { b }, 0), "moved")
  t.eq(p:step(a, { b }, 1), "moved")
  t.eq({ p:step(a, { b }, 2) }, { "near", "b" })
  t.eq({ a.x, a.walk }, { 3, nil })
  a.x, b.x = 1, 2
  p = place { map = { "....", ".SS." }, spots = { S = "stall" } }
  a, b = { id = "a", x = 2, y = 1 }, { id = "b", x = 2, y = 2 }
  p:go(a, "stall", 0)
  t.eq(p:step(a, { b }, 0), "moved")
  t.eq(p:step(a, { b }, 1), "arrived")
  t.eq({ a.x, a.y }, { 3, 2 })
end)

test("three who turn in a ring do not wait for each other for ever", function(t)
  local rows = { "..", ".." }
  local p = place { map = rows }
  local members = { { id = "a", x = 1, y = 1 }, { id = "b", x = 2, y = 1 }, { id = "c", x = 2, y = 2 }, { id = "d", x = 1, y = 2 } }
  for i, me in ipairs(members) do p:go(me, { x = members[i % 4 + 1].x, y = members[i % 4 + 1].y }, 0) end
  local done = {}
  for tick = 0, 60 do
    tick_of(p, rows, members, tick, function(me, what)
      if what == "arrived" or what == "near" then done[me.id] = true end
      t.ok(what ~= "stuck")
    end)
  end
  t.eq(done, { a = true, b = true, c = true, d = true })
end)

test("who never steps is given up after a minute of ticks, and named", function(t)
  local p = place { map = { "...." } }
  local a, stone = { id = "a", x = 1, y = 1 }, { id = "stone", x = 2, y = 1 }
  p:go(a, { x = 4, y = 1 }, 0)
  local what, who
  local tick = 0
  repeat
    what, who = p:step(a, { stone }, tick)
    tick = tick + 1
  until what ~= "waits" or tick > 200
  t.eq({ what, who, a.x, a.walk }, { "stuck", "stone", 1, nil })
end)

--- What may happen to a crowd from outside: some go, some come, some are put elsewhere, some change their minds.
local function meddle(g, p, rows, members, tick)
  local function free_tile()
    local tile = random_tile(g, rows)
    return p:free(tile.x, tile.y, members) and tile or nil
  end
  if g:float() < 0.05 and #members > 2 then table.remove(members, g:int(1, #members)) end
  local tile = g:float() < 0.05 and free_tile()
  if tile then
    members[#members + 1] = { id = ("m%d"):format(tick + 1000 * g:int(0, 9)), x = tile.x, y = tile.y }
    table.sort(members, function(x, y) return x.id < y.id end)
  end
  tile = g:float() < 0.2 and free_tile()
  local one = members[g:int(1, #members)]
  if tile then one.x, one.y = tile.x, tile.y end
  if g:float() < 0.3 then p:stop(members[g:int(1, #members)]) end
  if g:float() < 0.3 then p:go(members[g:int(1, #members)], random_tile(g, rows), tick) end
end

test("whoever comes, goes, is put elsewhere or thinks better of it, at any moment: still never two on one tile", function(t)
  for seed = 1, 30 do
    local g = rand.new(seed)
    local rows = seed % 2 == 0 and HALLS or random_rows(g, g:int(3, 16), g:int(2, 12), g:float() * 0.4)
    local p = place { map = rows }
    local open = select(2, table.concat(rows):gsub("%.", ""))
    local members = open > 4 and placed(g, p, rows, g:int(2, open - 2)) or {}
    for tick = 1, #members > 0 and 150 or 0 do
      meddle(g, p, rows, members, tick)
      for _, me in ipairs(members) do
        if not (me.walk and me.walk.to) and g:float() < 0.3 then p:go(me, random_tile(g, rows), tick) end
      end
      local ok, err = pcall(tick_of, p, rows, members, tick)
      t.ok(ok, ("seed %d: %s"):format(seed, tostring(err)))
    end
  end
end)

test("a change of places is off when one of the two is put elsewhere, or has gone", function(t)
  local p = place { map = { "....", "####", "...." } }
  local a, b = { id = "a", x = 1, y = 1 }, { id = "b", x = 2, y = 1 }
  local rows = { "....", "####", "...." }
  p:go(a, { x = 4, y = 1 }, 0)
  for tick = 0, 1 do tick_of(p, rows, { a, b }, tick) end
  t.ok(a.walk.swap and b.walk.swap)
  b.x, b.y = 3, 3
  for tick = 2, 6 do tick_of(p, rows, { a, b }, tick) end
  t.eq({ a.x, a.walk, b.x, b.y, b.walk }, { 4, nil, 3, 3, nil })
end)

test("who is put elsewhere does not go on with a change of places that somebody else completes on its tile", function(t)
  local p = place { map = { "......", "......" } }
  local a, b, c = { id = "a", x = 1, y = 1 }, { id = "b", x = 2, y = 1 }, { id = "c", x = 5, y = 1 }
  c.walk = { swap = { x = 6, y = 1, tick = 7 } } -- its partner has gone
  a.walk, b.walk = { swap = { x = 2, y = 1, tick = 7 } }, { swap = { x = 1, y = 1, tick = 7 } }
  p:step(a, { b, c }, 7)
  t.eq({ a.x, b.x }, { 2, 2 }) -- b is moved by its own step, to a tile that is no free one for others
  t.eq(p:free(1, 1, { a, b, c }), false)
  t.eq({ p:nearest({ x = 1, y = 1 }, { a, b }) }, { 1, 2 })
  c.x, c.y = 2, 1 -- put there by a world that did not ask
  p:step(c, { a, b }, 7)
  t.eq({ c.x, c.y, c.walk }, { 2, 1, nil })
  p:step(b, { a, c }, 7)
  t.eq(b.x, 1)
end)

test("go and stop while places are being changed leave the agreement", function(t)
  local rows = { "...." }
  local p = place { map = rows }
  for ticks = 1, 4 do
    local a, b = { id = "a", x = 1, y = 1 }, { id = "b", x = 2, y = 1 }
    p:go(a, { x = 4, y = 1 }, 0)
    for tick = 0, ticks do tick_of(p, rows, { a, b }, tick) end
    p:go(b, { x = 4, y = 1 }, ticks)
    p:stop(a)
    for tick = ticks + 1, 12 do tick_of(p, rows, { a, b }, tick) end
    t.eq({ a.walk, b.x == 4 or a.x == 4 }, { nil, true })
  end
end)

test("a walk is plain data, and the same from any moment on that it is taken up", function(t)
  local json = require "stoke.json"
  local function run(from, cut)
    local g = rand.new(from)
    local p = place { map = HALLS }
    local members = placed(g, p, HALLS, 10)
    for tick = 1, 120 do
      if tick % 20 == 1 then
        for _, me in ipairs(members) do p:go(me, random_tile(g, HALLS), tick) end
      end
      if tick == cut then members, p = json.decode(json.encode(members)), place(p:data()) end
      tick_of(p, HALLS, members, tick)
    end
    return json.digest(members)
  end
  for seed = 1, 5 do
    local whole = run(seed)
    for _, cut in ipairs { 2, 33, 64, 90 } do t.eq(run(seed, cut), whole) end
  end
end)

test("where the map has changed under a walk, another way is looked for", function(t)
  local p = place { map = { "...", "...", "..." } }
  local a = { id = "a", x = 1, y = 1 }
  p:go(a, { x = 3, y = 1 }, 0)
  p:step(a, {}, 0)
  local walled = place { map = { "..#", "...", "#.." }, spots = { goal = { x = 3, y = 3 } } }
  walled:go(a, { x = 3, y = 3 }, 1)
  a.walk.path, a.walk.at = "e", 0
  local what
  for tick = 1, 4 do what = walled:step(a, {}, tick) if what == "arrived" then break end end
  t.eq({ what, a.x, a.y }, { "arrived", 3, 3 })
end)

test("who cannot walk is refused with a word", function(t)
  local p = place { map = { "..#" } }
  refused(t, "is a table with id", p.go, p, { x = 1, y = 1 }, { x = 2, y = 1 }, 0)
  refused(t, "place:go: a: the tile { x = 3, y = 1 } is blocked", p.go, p, { id = "a", x = 3, y = 1 }, { x = 2, y = 1 }, 0)
  refused(t, "the tick expected", p.go, p, { id = "a", x = 1, y = 1 }, { x = 2, y = 1 })
  refused(t, "place:step: a: a tile is", p.step, p, { id = "a", x = 1.5, y = 1, walk = {} }, {}, 0)
  refused(t, "here, or a list of members, expected", p.step, p, { id = "a", x = 1, y = 1, walk = {} }, nil, 0)
end)
