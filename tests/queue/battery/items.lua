-- The battery of engines: publishing and claiming.

local errors = require "core.errors"
local means = require "battery.means"
local stoke = require "stoke"

local behaviour, want, ok, item, ids_of = means.behaviour, means.want, means.ok, means.item, means.ids_of

-- ---- publishing -------------------------------------------------------------------------------------------------------------

behaviour("an id that is known in the stream is not published again", function(g)
  local a, b = g.name "a", g.name "b"
  want("new ids", g:publish(a, "1", "2"), { true, true })
  want("one of them again, with another value", g:publish(a, item("2", nil, "other"), "3"), { false, true })
  want("twice in one batch", g:publish(a, "4", "4"), { true, false })
  want("the same id in another stream", g:publish(b, "1"), { true })
  want("the stream", g:ids(a), { "1", "2", "3", "4" })
  want("the value that came first", errors.check(g.e:read(a, 1, 10))[2].value, "v 2")
end)

behaviour("items are read as they were published, in their order, from any offset", function(g)
  local s = g.name "s"
  local odd = { id = ("ü"):rep(127), key = "a key / with * and > . and\n", value = "\0\xff\n" .. ("x"):rep(1000), v = 7 }
  g:publish(s, item("1", "k", ""), odd, item("3", nil, '{"a":1}'))
  local list = errors.check(g.e:read(s, 1, 10))
  want("how many", #list, 3)
  want("the empty value", { list[1].id, list[1].key, list[1].value, list[1].v }, { "1", "k", "", 1 })
  want("odd texts and bytes", { list[2].id, list[2].key, list[2].value, list[2].v }, { odd.id, odd.key, odd.value, 7 })
  ok("offsets grow from 1", list[1].offset >= 1 and list[1].offset < list[2].offset and list[2].offset < list[3].offset)
  want("from the third", errors.check(g.e:read(s, list[3].offset, 10))[1].id, "3")
  want("one alone", #errors.check(g.e:read(s, 1, 1)), 1)
  want("a stream that is not there", errors.check(g.e:read(g.name "none", 1, 10)), {})
  local claims = g:claims(s, 3)
  table.sort(claims, function(a, b) return a.offset < b.offset end)
  want("the claim of it", { claims[2].id, claims[2].key, claims[2].value, claims[2].v, claims[2].offset, claims[2].try },
    { odd.id, odd.key, odd.value, 7, list[2].offset, 1 })
end)

behaviour("names and ids that differ by case, by blanks, or by what a server gives a meaning are others", function(g)
  local s, names = g.name "s", { "a", "A", "a ", "a.b", "a.*", "a>", "$a", "a/b", "a%2Eb", "ä", "a\\b", "'; --" }
  for i, id in ipairs(names) do want("the id " .. id, g:publish(s, id), { true }, i) end
  want("the ids", g:ids(s), names)
  for i, name in ipairs(names) do g:publish(s .. name, "x" .. i) end
  for i, name in ipairs(names) do want("the stream " .. name, g:ids(s .. name), { "x" .. i }) end
end)

behaviour("a value of 10 MB is carried, read, lent and is an outcome", function(g)
  local s, big = g.name "s", ("0123456789abcdef"):rep(10 << 16)
  g:publish(s, item("1", nil, big), item("2", nil, "small"))
  local claim = g:one(s)
  ok("the value of the claim", claim.value == big)
  want("settled", g:settle(claim, "done", { value = big }), true)
  ok("the value of the item", errors.check(g.e:read(s, 1, 1))[1].value == big)
  ok("the value of the outcome", g:outcomes(s)[1].value == big)
  want("the next item", g:one(s).id, "2")
end)

behaviour("what is read in one piece has a limit of bytes, and what is behind it follows", function(g)
  local s, big, l = g.name "s", ("x"):rep(4 << 20), g.name "l"
  local last = 0
  for i = 1, 6 do
    g:publish(s, item(tostring(i), nil, big))
    last = errors.check(g.e:log_append(l, "k", last, big))
  end
  for i = 1, 6 do want("settled", g:settle(g:one(s), "done", { value = big .. i }), true) end
  local function all(read)
    local ids, from = {}, 1
    while true do
      local list = errors.check(read(from))
      if not list[1] then return ids end
      ok(("1 to 5 of 6 values of 4 MB, got %d"):format(#list), #list <= 5)
      for _, one in ipairs(list) do
        ids[#ids + 1] = one.id or one.offset
        from = one.offset + 1
      end
    end
  end
  want("items", #all(function(from) return g.e:read(s, from, 100) end), 6)
  want("outcomes", #all(function(from) return g.e:outcomes(s, "g", from, 100) end), 6)
  want("records", #all(function(from) return g.e:log_read(l, "k", from, 100) end), 6)
end)

behaviour("a claim of many large items gives some of them", function(g)
  local s, big = g.name "s", ("x"):rep(4 << 20)
  for i = 1, 8 do g:publish(s, item(tostring(i), nil, big)) end
  local claims = g:claim(s, 8, { wait = g.long })
  ok(("1 to 6 of 8 items of 4 MB, got %d"):format(#claims), #claims >= 1 and #claims <= 6)
  want("the others follow", #g:claims(s, 8 - #claims), 8 - #claims)
end)

-- ---- claiming ---------------------------------------------------------------------------------------------------------------

behaviour("an item is lent to one reader of a group, and to each group", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  local first, second = g:claims(s, 2), g:claims(s, 1)
  want("two and one", { #first, #second }, { 2, 1 })
  local all = table.move(second, 1, #second, #first + 1, first)
  want("all of them", ids_of(all), { "1", "2", "3" })
  g:nothing("all are lent", s)
  want("another group", ids_of(g:claims(s, 3, { group = "other" })), { "1", "2", "3" })
end)

behaviour("tasks that claim at once get different items, each of them once", function(g)
  local s, seen, list = g.name "s", {}, {}
  for i = 1, 120 do list[i] = item(("%03d"):format(i), "k" .. i % 40) end
  errors.check(g.e:publish(s, list))
  local scope <close> = stoke.scope {}
  for _ = 1, 6 do
    scope:spawn(function()
      while true do
        local claims = g:claim(s, 7, { wait = g.short })
        if not claims[1] then return end
        for _, claim in ipairs(claims) do
          ok(claim.id .. " was lent twice", not seen[claim.id])
          seen[claim.id] = true
          want(claim.id .. " settled", g:settle(claim, "done"), true)
        end
      end
    end)
  end
  scope:wait()
  for _, one in ipairs(list) do ok(one.id .. " was never lent", seen[one.id]) end
end)

behaviour("who waits gets an item when it is published, also by another connection", function(g)
  local s, other <close> = g.name "s", g:again()
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() return g:claim(s, 5, { wait = g.long }) end)
  stoke.sleep(g.short)
  errors.check(other:publish(s, { item "1" }))
  want("what came", ids_of(task:await()), { "1" })
end)

behaviour("a claim ends with nothing when its seconds are over", function(g)
  local s, began = g.name "s", stoke.time.monotonic()
  want("nothing", g:claim(s, 1, { wait = 0.3 }), {})
  local took = stoke.time.monotonic() - began
  ok(("0.3 s, got %g"):format(took), took >= 0.29 and took < 0.3 + g.long)
end)

behaviour("a group begins where it says: at the first item, behind the last, at an offset", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  local third = errors.check(g.e:read(s, 1, 10))[3].offset
  g:nothing("a group that begins with what is new", s, { group = "new", from = "new" })
  want("at the third", ids_of(g:claims(s, 1, { group = "at", from = third })), { "3" })
  want("at the first", ids_of(g:claims(s, 3, { group = "first", from = "first" })), { "1", "2", "3" })
  g:publish(s, "4")
  want("what is new", g:one(s, { group = "new", from = "new" }).id, "4")
end)

behaviour("a claim that was cancelled holds no item", function(g)
  local s = g.name "s"
  do
    local scope <close> = stoke.scope {}
    local task = scope:spawn(function() g:claim(s, 1, { wait = 60 }) end)
    stoke.sleep(g.short)
    task:cancel()
  end
  g:publish(s, "1")
  want("the item is lent to who asks now", g:one(s).id, "1")
end)

behaviour("closing the engine ends who waits with `cancelled`", function(g)
  local s, other = g.name "s", g:again()
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function()
    local value, err = other:claim { stream = s, group = "g", n = 1, lease = 30, wait = 60, tries = 5 }
    return value == nil and err and err.kind
  end)
  stoke.sleep(g.short)
  other:close()
  other:close()
  want("the error", task:await(), "cancelled")
  want("the error of a call that comes later", select(2, other:publish(s, { item "1" })).kind, "cancelled")
  g:publish(s, "1")
  want("another connection goes on", g:one(s).id, "1")
end)
