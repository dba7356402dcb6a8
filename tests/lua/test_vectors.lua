-- Sets of vectors in memory: lua/vectors.lua over host/store/vectors.h.
local stoke = require "stoke"
local test = require "stoke.test"
local vectors = require "core.vectors"

local function ids(hits)
  local out = {}
  for i, hit in ipairs(hits) do out[i] = hit.id end
  return out
end

local function refused(t, kind, f, ...)
  local ok, err = pcall(f, ...)
  t.eq(ok, false)
  t.eq(err.kind, kind)
  return err.message
end

test("the nearest by cosine come first, with their scores and tags", function(t)
  local set = vectors.new(2)
  set:add("east", { 3, 0 }, { kind = "axis" })
  set:add("north", { 0, 5 })
  set:add(45, { 1, 1 })
  local hits = set:search({ 2, 0.1 }, 2)
  t.eq(ids(hits), { "east", 45 })
  t.eq(hits[1].tags, { kind = "axis" })
  t.eq(hits[2].tags, nil)
  t.ok(math.abs(hits[1].score - 2 / math.sqrt(4.01)) < 1e-7)
end)

test("by dot the length counts", function(t)
  local set = vectors.new(2, { metric = "dot" })
  set:add("short", { 1, 0 })
  set:add("long", { 5, 5 })
  set:add("zero", { 0, 0 })
  local hits = set:search({ 1, 0 }, 3)
  t.eq(ids(hits), { "long", "short", "zero" })
  t.eq(hits[1].score, 5.0)
  t.eq(ids(set:search({ 0, 0 }, 3)), { "short", "long", "zero" })
end)

test("equal scores come in the order in which they were added, a replaced row at its place", function(t)
  local set = vectors.new(3)
  for i = 1, 600 do set:add(i, { 1, 2, 3 }) end
  set:add(2, { 1, 2, 3 })
  set:delete(3)
  set:add(3, { 1, 2, 3 })
  t.eq(ids(set:search({ 1, 2, 3 }, 4)), { 1, 2, 4, 5 })
  local all = ids(set:search({ 1, 2, 3 }, 600))
  t.eq(all[600], 3)
end)

test("ids keep their types: the string \"7\" is not the integer 7, and 7.0 is", function(t)
  local set = vectors.new(1)
  set:add("7", { 1 })
  set:add(7, { 1 })
  t.eq(set:add(7.0, { 2 }), false)
  t.eq(set:count(), 2)
  t.eq(ids(set:search({ 1 }, 9)), { "7", 7 })
  for _, id in ipairs { "", "i", "s\0x", ("x"):rep(1023), math.mininteger, 115 } do
    set:clear()
    set:add(id, { 1 })
    t.eq(set:search({ 1 }, 1)[1].id, id)
    t.eq(set:ids()(), id)
  end
end)

test("a row that is added again is replaced, and one that is deleted is gone", function(t)
  local set = vectors.new(2)
  t.eq(set:add("a", { 1, 0 }, { x = 1 }), true)
  t.eq(set:add("a", { 0, 1 }, { y = "z", n = 1.5, t = true, f = false }), false)
  local packed, tags = set:get "a"
  t.eq(vectors.unpack(packed), { 0.0, 1.0 })
  t.eq(tags, { y = "z", n = 1.5, t = true, f = false })
  t.eq(set:delete "a", true)
  t.eq(set:delete "a", false)
  t.eq(set:get "a", nil)
  t.eq(set:search({ 1, 0 }, 1), {})
end)

test("a filter takes equal values, any of several, and all of several fields", function(t)
  local set = vectors.new(2)
  set:add(1, { 1, 0 }, { lang = "en", year = 2020, draft = true })
  set:add(2, { 1, 0 }, { lang = "de", year = 2021.0, draft = false })
  set:add(3, { 1, 0 }, { lang = "fr", year = 2021 })
  set:add(4, { 1, 0 })
  local function by(filter) return ids(set:search({ 1, 0 }, 9, { filter = filter })) end
  t.eq(by { lang = "de" }, { 2 })
  t.eq(by { lang = { "de", "en" } }, { 1, 2 })
  t.eq(by { year = 2021 }, { 2, 3 })
  t.eq(by { year = 2021, lang = "fr" }, { 3 })
  t.eq(by { draft = false }, { 2 })
  t.eq(by { draft = "false" }, {})
  t.eq(by { lang = {} }, {})
  t.eq(by {}, { 1, 2, 3, 4 })
  t.eq(ids(set:search({ 1, 0 }, 9, { only = { 4, 2, "2", 99 } })), { 2, 4 })
  t.eq(ids(set:search({ 1, 0 }, 9, { only = {} })), {})
  t.eq(ids(set:search({ 1, 0 }, 9, { only = { 3, 4 }, filter = { year = 2021 } })), { 3 })
end)

test("scores below min are left out, and one that reaches it is not", function(t)
  local set = vectors.new(2)
  set:add(1, { 1, 0 })
  set:add(2, { 1, 1 })
  set:add(3, { -1, 0 })
  t.eq(ids(set:search({ 1, 0 }, 9, { min = 0.5 })), { 1, 2 })
  t.eq(ids(set:search({ 1, 0 }, 9, { min = 1 })), { 1 })
end)

test("what is no vector of this set is refused, and the set is as it was", function(t)
  local set = vectors.new(3)
  set:add("a", { 1, 2, 3 })
  local message = refused(t, "argument", set.add, set, "a", { 1, 2 })
  t.ok(message:find("2 numbers", 1, true) and message:find("for 3", 1, true))
  for _, bad in ipairs { { 1, 2, 3, 4 }, { 1, 0 / 0, 3 }, { 1, 1 / 0, 3 }, { 1, 1e39, 3 }, { 0, 0, 0 }, { 1, "2", 3 },
    "short", 12 } do
    refused(t, "argument", set.add, set, "a", bad)
    refused(t, "argument", set.search, set, bad, 1)
  end
  refused(t, "argument", set.add, set, {}, { 1, 2, 3 })
  refused(t, "argument", set.add, set, 1.5, { 1, 2, 3 })
  refused(t, "argument", set.add, set, ("x"):rep(1024), { 1, 2, 3 })
  refused(t, "argument", set.add, set, "b", { 1, 2, 3 }, { x = {} })
  refused(t, "argument", set.add, set, "b", { 1, 2, 3 }, { 1 })
  refused(t, "argument", set.search, set, { 1, 2, 3 }, 0)
  refused(t, "argument", set.search, set, { 1, 2, 3 }, 1, { filters = {} })
  refused(t, "argument", set.search, set, { 1, 2, 3 }, 1, { filter = { x = { { 1 } } } })
  refused(t, "argument", vectors.new, 0)
  refused(t, "argument", vectors.new, 16385)
  refused(t, "argument", vectors.new, 3, { metric = "l2" })
  t.eq(vectors.unpack(set:get "a"), { 1.0, 2.0, 3.0 })
  t.eq(set:count(), 1)
end)

test("vectors of one direction but of very different lengths compare by cosine as equal", function(t)
  local set = vectors.new(3)
  for i, factor in ipairs { 1e-38, 1, 1e37 } do set:add(i, { factor, 2 * factor, -factor }) end
  local hits = set:search({ 1e-20, 2e-20, -1e-20 }, 3)
  for _, hit in ipairs(hits) do t.ok(math.abs(hit.score - 1) < 1e-6) end
end)

test("a packed vector is the same as its numbers", function(t)
  local set = vectors.new(3)
  local packed = vectors.pack { 0.5, -2, 1e-3 }
  t.eq(#packed, 12)
  t.eq(packed, ("<fff"):pack(0.5, -2, 1e-3))
  set:add(1, packed)
  set:add(2, { 0.5, -2, 1e-3 })
  t.eq(set:get(1), set:get(2))
  t.eq(ids(set:search(packed, 2)), { 1, 2 })
  refused(t, "argument", vectors.unpack, "12345")
end)

test("a full set refuses what is new, takes what replaces, and has room again after a deletion", function(t)
  local set = vectors.new(2, { max_rows = 2 })
  set:add(1, { 1, 0 })
  set:add(2, { 1, 1 })
  t.ok(refused(t, "limit", set.add, set, 3, { 1, 2 }):find("max_rows", 1, true))
  t.eq(set:add(2, { 1, 2 }), false)
  set:delete(1)
  t.eq(set:add(3, { 1, 2 }), true)
end)

test("bytes are counted, and max_bytes is never exceeded", function(t)
  local set = vectors.new(64, { max_bytes = 200000 })
  local n, most = 0, 0
  while true do
    local ok, err = pcall(set.add, set, "id " .. n, { table.unpack(vectors.unpack(("<f"):rep(1):pack(n + 1):rep(64))) })
    if not ok then
      t.eq(err.kind, "limit")
      t.ok(err.message:find("max_bytes", 1, true))
      break
    end
    n, most = n + 1, math.max(most, set:bytes())
  end
  t.ok(most <= 200000 + 1024 and n > 250)
  for i = 0, n - 1 do set:delete("id " .. i) end
  t.eq(set:count(), 0)
  t.ok(set:bytes() < 2000)
end)

-- ---- against a comparison with every vector -----------------------------------------------------------------------------------

--- Numbers as f32 has them.
local function f32(vector) return vectors.unpack(vectors.pack(vector)) end

local function dot(a, b)
  local sum = 0
  for j = 1, #a do sum = sum + a[j] * b[j] end
  return sum
end

local function brute(rows, query, k, metric, passes)
  local all, length = {}, math.sqrt(dot(query, query))
  for id, row in next, rows do
    if not passes or passes(id, row) then
      local score = dot(row.vector, query)
      if metric == "cosine" then score = score / (math.sqrt(dot(row.vector, row.vector)) * length) end
      all[#all + 1] = { id = id, score = score, order = row.order }
    end
  end
  table.sort(all, function(a, b)
    if math.abs(a.score - b.score) > 1e-12 then return a.score > b.score end
    return a.order < b.order
  end)
  return table.move(all, 1, k, 1, {})
end

local function agree(t, hits, wanted)
  t.eq(#hits, #wanted)
  for i, want in ipairs(wanted) do
    t.ok(math.abs(hits[i].score - want.score) < 1e-9)
    if hits[i].id ~= want.id then -- only where the two sums round apart
      t.ok(math.abs(hits[i].score - want.score) < 1e-12)
    end
  end
end

--- Vectors that cluster, with exact copies among them.
local function source(random, dim)
  local centres = {}
  for i = 1, 4 do
    centres[i] = {}
    for j = 1, dim do centres[i][j] = random:float() - 0.5 end
  end
  local last
  return function()
    if last and random:int(1, 10) == 1 then return last end
    local vector, centre, spread = {}, centres[random:int(1, 4)], random:int(1, 3) == 1 and 0.001 or 0.6
    for j = 1, dim do vector[j] = centre[j] + (random:float() - 0.5) * spread end
    last = f32(vector)
    return last
  end
end

for _, metric in ipairs { "cosine", "dot" } do
  test("what a search finds is what comparing with every vector finds: " .. metric, function(t)
    local random = require "core.random".stream "vectors test"
    for _, dim in ipairs { 1, 3, 64, 65, 100 } do
      local set, rows, next_vector, order = vectors.new(dim, { metric = metric }), {}, source(random, dim), 0
      for turn = 1, 900 do
        local id, what = random:int(1, 400), random:int(1, 10)
        if what <= 7 then
          local row = { vector = next_vector(), tag = random:int(1, 5) }
          if metric == "dot" or dot(row.vector, row.vector) > 0 then
            order = order + 1
            row.order = rows[id] and rows[id].order or order
            t.eq(set:add(id, row.vector, { tag = row.tag }), rows[id] == nil)
            rows[id] = row
          end
        else
          t.eq(set:delete(id), rows[id] ~= nil)
          rows[id] = nil
        end
        if turn % 90 == 0 then
          local query, k, tag = next_vector(), random:int(1, 30), random:int(1, 5)
          agree(t, set:search(query, k), brute(rows, query, k, metric))
          agree(t, set:search(query, k, { filter = { tag = tag } }),
            brute(rows, query, k, metric, function(_, row) return row.tag == tag end))
          agree(t, set:search(query, k, { only = { 1, 2, 3, 50, 60 } }), brute(rows, query, k, metric, function(each)
            return each <= 3 or each == 50 or each == 60
          end))
        end
      end
    end
  end)
end

test("all kernels find the same, to the last bit of the scores", function(t)
  local random = require "core.random".stream "vectors kernels"
  local set, next_vector = vectors.new(130), source(random, 130)
  for i = 1, 700 do set:add(i, next_vector()) end
  local query, first = next_vector(), nil
  for _, kernel in ipairs(vectors.kernels()) do
    vectors.use(kernel)
    local hits = set:search(query, 40)
    first = first or hits
    t.eq(hits, first)
  end
  vectors.use()
  refused(t, "argument", vectors.use, "abacus")
end)

test("far fewer rows are scored from f32 than there are", function(t)
  local random = require "core.random".stream "vectors scored"
  local set, next_vector = vectors.new(96), source(random, 96)
  for i = 1, 3000 do set:add(i, next_vector()) end
  t.ok(set:scored(next_vector(), 10) < 1500)
end)

-- ---- on another thread --------------------------------------------------------------------------------------------------------

local function large()
  local set = vectors.new(4)
  for i = 1, vectors.LARGE + 500 do set:add(i, { i, 1, 0, -1 }) end
  return set
end

test("a search on another thread sees the set as it was when it began", function(t)
  local set = large()
  local found
  local searching = stoke.spawn(function() found = set:find({ 0, 0, 0, -1 }, 3) end)
  local before = ids(set:search({ 0, 0, 0, -1 }, 3))
  stoke.spawn(function() -- runs when it has begun
    for i = 1, 5 do set:delete(i) end
    set:add(6, { 1, 0, 0, 0 })
    for i = 20001, 20300 do set:add(i, { 0, 0, 0, -1 }) end
  end)
  searching:await()
  t.eq(ids(found), before)
  t.eq(ids(set:find({ 0, 0, 0, -1 }, 1)), { 20001 })
end)

test("a search on another thread can be cancelled, and its set thrown away meanwhile", function(t)
  local set = large()
  local searching = stoke.spawn(function() return set:find({ 1, 0, 0, 0 }, 3) end)
  stoke.spawn(function() -- runs when it has begun, and before its end can be seen
    set:clear()
    set = nil -- luacheck: ignore
    collectgarbage()
    searching:cancel()
  end)
  local ok, err = pcall(searching.await, searching)
  t.eq(ok, false)
  t.eq(err.kind, "cancelled")
end)
