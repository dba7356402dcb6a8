-- Many items in few requests, of a server that refuses a request for one of them; texts in pieces; vectors, packed.

local batches = require "stoke.model.embed.batches"
local errors = require "core.errors"
local pieces = require "stoke.model.embed.pieces"
local rand = require "stoke.rand"
local rows = require "stoke.model.embed.rows"
local test = require "stoke.test"

local function items_of(n, size)
  local list = {}
  for i = 1, n do list[i] = { name = i, size = type(size) == "function" and size(i) or size or 1 } end
  return list
end

--- A server that refuses requests with bad items; what it was asked, and what was told of each item.
local function world(o)
  local seen = { requests = {}, took = {}, refused = {}, controls = 0 }
  local how = {
    count = o.count, bytes = o.bytes, limit = o.limit,
    size = function(item) return item.size end,
    send = function(list)
      local names = {}
      for i, item in ipairs(list) do names[i] = item.name end
      seen.requests[#seen.requests + 1] = names
      for _, item in ipairs(list) do
        if o.bad(item) then return nil, errors.new(o.kind or "http", "no", { status = 500 }) end
      end
      return names
    end,
    took = function(item, answer) seen.took[item.name] = answer end,
    refused = function(item, err)
      seen.refused[#seen.refused + 1] = item.name
      if o.refused then return o.refused(item, err) end
    end,
    blames = o.blames or function() return "content" end,
    control = function()
      seen.controls = seen.controls + 1
      return o.control
    end,
  }
  return how, seen
end

test("batches: in order, bounded by count and by bytes; one that is larger goes alone", function(t)
  local sizes = { 10, 10, 10, 200, 10, 90, 5 }
  local lists = batches.split(items_of(7, function(i) return sizes[i] end), function(item) return item.size end, 2, 100)
  local names = {}
  for i, list in ipairs(lists) do
    names[i] = {}
    for k, item in ipairs(list) do names[i][k] = item.name end
  end
  t.eq(names, { { 1, 2 }, { 3 }, { 4 }, { 5, 6 }, { 7 } })
end)

test("batches: nothing is asked for nothing", function(t)
  local how, seen = world { bad = function() return true end }
  t.eq({ batches.ask({}, how), #seen.requests }, { nil, 0 })
end)

test("batches: all is well: one request a batch, no control", function(t)
  local how, seen = world { count = 4, bad = function() return false end }
  t.eq(batches.ask(items_of(10), how), nil)
  t.eq({ #seen.requests, #seen.took, seen.controls }, { 3, 10, 0 })
end)

test("batches: one that the server refuses is found, wherever it is; all others get their answer", function(t)
  for bad = 1, 32 do
    local how, seen = world { count = 32, bad = function(item) return item.name == bad end }
    t.eq(batches.ask(items_of(32), how), nil)
    t.eq(seen.refused, { bad })
    for i = 1, 32 do t.eq(seen.took[i], i ~= bad and i or nil) end
    t.ok(#seen.requests <= 11, ("%d requests for %d"):format(#seen.requests, bad)) -- 1 + 2 log2 32
    t.eq(seen.controls, 1)
  end
end)

test("batches: several bad ones, any subset: each item is told once", function(t)
  local random = rand.new(7)
  for _ = 1, 200 do
    local n, bad, most = random:int(1, 40), {}, random:int(0, 12)
    for _ = 1, most do bad[random:int(1, n)] = true end
    local how, seen = world { count = random:int(1, 16), bad = function(item) return bad[item.name] end }
    t.eq(batches.ask(items_of(n), how), nil)
    local told = {}
    for i = 1, n do told[i] = seen.took[i] and "took" or nil end
    for _, name in ipairs(seen.refused) do
      t.eq(told[name], nil)
      told[name] = "refused"
    end
    for i = 1, n do t.eq(told[i], bad[i] and "refused" or "took") end
  end
end)

test("batches: where size is the reason, the small ones pass in one request", function(t)
  local large = { [3] = true, [17] = true, [18] = true, [30] = true }
  local how, seen = world { count = 32, kind = "context_overflow", bad = function(item) return item.size > 100 end,
    blames = function() return "size" end }
  t.eq(batches.ask(items_of(32, function(i) return large[i] and 101 or 1 end), how), nil)
  table.sort(seen.refused)
  t.eq(seen.refused, { 3, 17, 18, 30 })
  t.ok(#seen.requests <= 14, #seen.requests)
  t.eq(seen.controls, 0)
end)

test("batches: where the error says how much fits, the large ones go alone at once", function(t)
  local large = { [3] = true, [17] = true, [18] = true, [30] = true }
  local known = nil
  local o = { count = 32, kind = "context_overflow", bad = function(item) return item.size > 100 end,
    blames = function() return "size" end,
    limit = function(err)
      known = known or err and 90
      return known
    end }
  local how, seen = world(o)
  t.eq(batches.ask(items_of(32, function(i) return large[i] and 101 or i == 5 and 95 or 1 end), how), nil)
  t.eq(seen.refused, { 3, 17, 18, 30 })
  t.eq({ #seen.requests, seen.took[5] }, { 7, 5 }) -- all; the small ones; five alone
  how, seen = world(o)
  t.eq(batches.ask(items_of(32, function(i) return large[i] and 101 or 1 end), how), nil)
  t.eq(#seen.requests, 5) -- it is known before anything is asked
end)

test("batches: a server that refuses everything is asked no further than the control", function(t)
  local how, seen = world { count = 8, bad = function() return true end, control = errors.new("http", "I embed nothing") }
  t.eq(batches.ask(items_of(100), how).message, "no") -- its error for what was wanted
  t.eq({ #seen.requests, seen.controls, #seen.refused }, { 1, 1, 0 })
end)

test("batches: one item alone that is refused needs no control", function(t)
  local how, seen = world { bad = function() return true end, control = errors.new("http", "never asked") }
  t.eq(batches.ask(items_of(1), how), nil)
  t.eq({ seen.refused, seen.controls }, { { 1 }, 0 })
end)

test("batches: an error that no item is to blame for ends it at once; what came before is told", function(t)
  local how, seen = world { count = 2, bad = function(item) return item.name == 3 end, blames = function() return nil end }
  t.eq(batches.ask(items_of(9), how).message, "no")
  t.eq({ #seen.requests, #seen.took, #seen.refused }, { 2, 2, 0 })
end)

test("batches: a refused item's own error ends it; other items in its place are asked for", function(t)
  local stop = errors.new("http", "enough")
  local how, seen = world { count = 1, bad = function(item) return item.size > 1 end,
    refused = function(item)
      if item.name == 3 then return nil, stop end
      return { { name = item.name + 10, size = 1 }, { name = item.name + 20, size = 1 } }
    end }
  t.eq(batches.ask({ { name = 1, size = 1 }, { name = 2, size = 2 }, { name = 3, size = 2 }, { name = 4, size = 1 } }, how), stop)
  t.eq({ seen.took[12], seen.took[22], seen.took[4] }, { 12, 22, nil })
end)

-- ---- pieces ---------------------------------------------------------------------------------------------------------------------

test("pieces: joined they are the text, and each is a good part of it", function(t)
  local random = rand.new(3)
  local words = { "word", "longer-word", "e\u{301}", "\u{4e2d}\u{6587}", "end. ", "line\n", "\n\n", " ", "!" }
  for _ = 1, 300 do
    local parts = {}
    for i = 1, random:int(2, 200) do parts[i] = words[random:int(1, #words)] end
    local text, count = table.concat(parts), random:int(2, 9)
    local list = pieces.cut(text, count)
    t.eq(table.concat(list), text)
    t.ok(#list >= 2)
    for _, piece in ipairs(list) do t.ok(piece ~= "" and utf8.len(piece) ~= nil) end
  end
end)

test("pieces: cut at a paragraph before a line, a sentence before a word", function(t)
  t.eq(pieces.cut(("a"):rep(44) .. "\n\n" .. ("b"):rep(48), 2)[1], ("a"):rep(44) .. "\n\n")
  t.eq(pieces.cut(("a "):rep(20) .. "end. " .. ("b "):rep(26), 2)[1], ("a "):rep(20) .. "end. ")
  t.eq(pieces.cut(("word "):rep(20), 2)[1], ("word "):rep(10))
end)

test("pieces: one character cannot be cut, two can; bytes that are no text are cut as they are", function(t)
  t.eq({ pieces.cut("", 2), pieces.cut("\u{1f600}", 2) }, {})
  t.eq(pieces.cut("\u{1f600}\u{1f600}", 2), { "\u{1f600}", "\u{1f600}" })
  t.eq(table.concat(pieces.cut(("\x80"):rep(9), 4)), ("\x80"):rep(9))
end)

test("pieces: a megabyte without a blank", function(t)
  local text = ("x"):rep(1 << 20)
  local list = pieces.cut(text, 683)
  t.ok(#list >= 600 and #list <= 700, #list)
  t.eq(table.concat(list) == text, true)
end)

-- ---- rows -----------------------------------------------------------------------------------------------------------------------

test("rows: what is packed reads back as the same numbers of single precision", function(t)
  local random, row = rand.new(11), {}
  for i = 1, 1024 do row[i] = string.unpack("<f", string.pack("<f", random:float() * 2 - 1)) end
  t.eq(rows.unpack(rows.pack(row)), row)
  local packed = rows.pack(row) .. rows.pack { 0.5, -0.0 }
  t.eq(rows.unpack(packed, 4097, 2), { 0.5, -0.0 })
end)

test("rows: a number as servers print it is the one that was computed", function(t)
  local random = rand.new(12)
  for _ = 1, 2000 do
    local computed = string.unpack("<f", string.pack("<f", (random:float() - 0.5) / 10 ^ random:int(0, 6)))
    local shortest
    for digits = 6, 9 do -- as Go's encoding/json and others do: the least digits that read back as the same
      shortest = ("%%.%dg"):format(digits):format(computed)
      if string.unpack("<f", string.pack("<f", tonumber(shortest))) == computed then break end
    end
    t.eq(rows.unpack(rows.pack { tonumber(shortest) })[1], computed)
  end
end)

test("rows: what is no list of finite numbers is refused", function(t)
  for _, odd in ipairs { {}, { 1, "2" }, { 0 / 0 }, { math.huge }, { 1e39 }, { true } } do t.eq(rows.pack(odd), nil) end
  t.eq({ rows.pack(nil), rows.pack "text" }, {})
end)

test("rows: length 1, and the mean of some", function(t)
  t.eq(rows.normalise { 3, 4 }, { 3 * (1 / 5), 4 * (1 / 5) })
  t.eq(rows.normalise { 0, 0 }, { 0, 0 })
  local mean = rows.mean({ { 1, 0 }, { 0, 1 } }, { 1, 1 })
  t.near(mean[1], math.sqrt(0.5), 1e-12)
  t.near(mean[2], math.sqrt(0.5), 1e-12)
  t.eq(rows.mean({ { 1, 0 }, { 0, 1 } }, { 1, 0 }), { 1, 0 })
end)
