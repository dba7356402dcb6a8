-- The battery of engines: going back, and what an engine says of itself.

local errors = require "core.errors"
local means = require "battery.means"
local stoke = require "stoke"

local behaviour, want, ok, item, ids_of = means.behaviour, means.want, means.ok, means.item, means.ids_of

-- ---- going back -------------------------------------------------------------------------------------------------------------

behaviour("a group that is rewound does it again from there; claims that were out are void", function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"), item("2", "k"), "3")
  local first = g:one(s)
  g:settle(first, "done", { value = "a" })
  local out = g:claims(s, 2)
  want("the other two", ids_of(out), { "2", "3" })
  want("rewound", errors.check(g.e:rewind(s, "g", first.offset)), true)
  for _, claim in ipairs(out) do want("an old claim", g:settle(claim, "done"), false) end
  want("no outcome", g:outcomes(s), {})
  local again = g:claims(s, 2)
  want("from the beginning, in order", ids_of(again), { "1", "3" })
  want("a first try", again[1].try, 1)
  for _, claim in ipairs(again) do g:settle(claim, "done", { value = "b" }) end
  g:settle(g:one(s), "done")
  want("the new outcome", g:outcomes(s)[1].value, "b")
  errors.check(g.e:rewind(s, "g", again[2].offset))
  want("from the middle", ids_of(g:claims(s, 1)), { again[2].id })
  want("what was before stays done", g:outcomes(s)[1].id, "1")
end)

behaviour("a group that had much before it is rewound and goes on at once", function(g)
  local s, list = g.name "s", {}
  for i = 1, 2500 do list[i] = item(tostring(i)) end
  errors.check(g.e:publish(s, list))
  local scope <close> = stoke.scope {}
  want("the first", g:claim(s, 1, { wait = g.long })[1].id, "1")
  local waiting = scope:spawn(function() return g:claim(s, 1, { group = "other", wait = g.long, from = "new" }) end)
  for _ = 1, 2 do
    errors.check(g.e:rewind(s, "g", 1))
    want("from the beginning", g:claim(s, 1, { wait = g.long })[1].id, "1")
  end
  waiting:cancel()
end)

--- What a stream's only group counts: waiting, lent, done, dead.
local function counts(g, s)
  for _, one in ipairs(errors.check(g.e:streams())) do
    local group = one.groups[1]
    if one.stream == s then return { group.waiting, group.lent, group.done, group.dead } end
  end
end

behaviour("a group that is rewound ahead goes on there: what it passes over is neither lent nor counted, and can be gone back to",
  function(g)
    local s, list = g.name "s", { item("1", "k"), item("2", "k") }
    for i = 3, 30 do list[i] = item(tostring(i)) end
    errors.check(g.e:publish(s, list))
    local offsets = {}
    for i, one in ipairs(errors.check(g.e:read(s, 1, 30))) do offsets[i] = one.offset end
    local claims = g:claims(s, 3)
    want("the second of the key waits", ids_of(claims), { "1", "3", "4" })
    table.sort(claims, function(a, b) return a.offset < b.offset end)
    g:settle(claims[2], "done")
    g:settle(claims[3], "again", { delay = g.short / 2 })
    errors.check(g.e:rewind(s, "g", offsets[20]))
    want("waiting, lent, done, dead", counts(g, s), { 11, 1, 1, 0 })
    want("what was lent is settled", g:settle(claims[1], "done"), true)
    local rest = g:claims(s, 11)
    for _, claim in ipairs(rest) do want("from there on, and no other", claim.offset >= offsets[20], true) end
    g:nothing("the others are passed over", s)
    for _, claim in ipairs(rest) do g:settle(claim, "done") end
    want("at the end", counts(g, s), { 0, 0, 13, 0 })
    want("outcomes", #g:outcomes(s), 13)
    errors.check(g.e:rewind(s, "g", offsets[1]))
    want("all of them, the second of the key later", #g:claims(s, 29), 29)
  end)

behaviour("a group that is rewound beyond the end goes on with what is published then", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  errors.check(g.e:rewind(s, "g", errors.check(g.e:read(s, 1, 3))[3].offset + 1000))
  g:nothing("all are passed over", s)
  g:publish(s, "4")
  want("the next one", g:one(s).id, "4")
end)

behaviour("a group that is rewound back leaves what waits before that as it is", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3", "4")
  local claims = g:claims(s, 4)
  table.sort(claims, function(a, b) return a.offset < b.offset end)
  for i, claim in ipairs(claims) do g:settle(claim, i == 1 and "again" or "done") end
  errors.check(g.e:rewind(s, "g", claims[3].offset))
  want("waiting, lent, done, dead", counts(g, s), { 3, 0, 1, 0 })
  local again = g:claims(s, 3)
  want("the one that waited, and those from there on", ids_of(again), { "1", "3", "4" })
  table.sort(again, function(a, b) return a.offset < b.offset end)
  want("its tries are counted on", { again[1].try, again[2].try }, { 2, 1 })
end)

behaviour("dead letters are brought back, all or some, and tried from the beginning", function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"), "2", item("3", "k"))
  for _ = 1, 3 do g:settle(g:one(s), "dead", { reason = "no" }) end
  want("one", errors.check(g.e:revive(s, "g", { "2", "unknown" })), 1)
  local claim = g:one(s)
  want("which", { claim.id, claim.try }, { "2", 1 })
  g:settle(claim, "done")
  want("the others", errors.check(g.e:revive(s, "g")), 2)
  claim = g:one(s)
  want("in the order of their key", claim.id, "1")
  g:nothing("the later one waits", s)
  g:settle(claim, "done")
  want("then the later one", g:one(s).id, "3")
  want("there are none", errors.check(g.e:revive(s, "g")), 0)
end)

behaviour("what is trimmed has no value any more, and its id stays known; what is still to do stays", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  local last = errors.check(g.e:read(s, 1, 10))[3].offset
  local claims = g:claims(s, 3)
  table.sort(claims, function(a, b) return a.offset < b.offset end)
  g:settle(claims[1], "done", { value = "a" })
  want("what is settled went", errors.check(g.e:trim(s, last)), 1)
  want("the others stay", g:ids(s), { "2", "3" })
  want("its id is known", g:publish(s, "1"), { false })
  want("what is lent settles", g:settle(claims[2], "done"), true)
  want("its outcome stays", g:outcomes(s)[1].value, "a")
end)

behaviour("the streams are told, with how many items wait, are lent, done and dead in each group", function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"), item("2", "k"), "3", "4", "5", "6")
  local claims = g:claims(s, 4)
  g:settle(claims[1], "done")
  g:settle(claims[2], "dead", { reason = "no" })
  g:settle(claims[3], "again", { delay = 60 })
  for _, one in ipairs(errors.check(g.e:streams())) do
    if one.stream == s then
      local group = one.groups[1]
      want("the stream", { one.items, #one.groups, group.group }, { 6, 1, "g" })
      want("waiting, lent, done, dead", { group.waiting, group.lent, group.done, group.dead }, { 3, 1, 1, 1 })
      return
    end
  end
  ok("the stream is not there", false)
end)

-- ---- the engine -------------------------------------------------------------------------------------------------------------

behaviour("its clock goes on", function(g)
  local before = errors.check(g.e:now())
  stoke.sleep(0.2)
  local after = errors.check(g.e:now())
  ok("seconds since 1970", before > 1.6e9 and before < 1e10)
  ok(("0.2 s later, got %g"):format(after - before), after - before > 0.15 and after - before < 0.2 + g.long)
end)

behaviour("it says how it is", function(g)
  local health = errors.check(g.e:health())
  want("it is well", health.ok, true)
  ok("its name and version", #health.engine > 0 and #health.version > 0)
  ok("what it took", health.latency >= 0 and health.latency < g.long)
end)
