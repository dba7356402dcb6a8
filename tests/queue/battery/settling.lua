-- The battery of engines: settling, and order by key.

local errors = require "core.errors"
local means = require "battery.means"
local stoke = require "stoke"

local behaviour, want, ok, item, ids_of = means.behaviour, means.want, means.ok, means.item, means.ids_of

-- ---- settling ---------------------------------------------------------------------------------------------------------------

behaviour("what is done is not lent again, and its outcome is told", function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"), "2")
  local claims = g:claims(s, 2)
  for _, claim in ipairs(claims) do
    want("settled", g:settle(claim, "done", { value = claim.id == "1" and "\0outcome" or nil }), true)
  end
  g:nothing("all is done", s)
  local list = g:outcomes(s)
  want("the first", { list[1].id, list[1].key, list[1].state, list[1].tries, list[1].value }, { "1", "k", "done", 1, "\0outcome" })
  want("the second", { list[2].id, list[2].state, list[2].value }, { "2", "done", nil })
  want("from the second", errors.check(g.e:outcomes(s, "g", list[2].offset, 10))[1].id, "2")
end)

behaviour("what goes back is lent again after its delay, and counted; handed back unread it is not counted", function(g)
  local s = g.name "s"
  g:publish(s, "1")
  want("back", g:settle(g:one(s), "back"), true)
  local claim = g:one(s)
  want("the first try", claim.try, 1)
  want("again", g:settle(claim, "again", { reason = "no", delay = 1 }), true)
  g:nothing("its delay", s)
  stoke.sleep(1.1)
  claim = g:one(s)
  want("the second try", claim.try, 2)
  want("again, at once", g:settle(claim, "again"), true)
  want("the third try", g:one(s).try, 3)
end)

behaviour("an item whose lease runs out is lent to another, with a higher fence", function(g)
  local s = g.name "s"
  g:publish(s, "1")
  local old = g:one(s, { lease = 1 })
  g:nothing("it is lent", s)
  stoke.sleep(1.2)
  local new = g:one(s)
  want("the same item, its second try", { new.id, new.try }, { "1", 2 })
  ok("a higher fence", new.fence > old.fence)
end)

behaviour("a claim whose item is another's settles nothing: no outcome, no hand-over", { fenced = true }, function(g)
  local s, to = g.name "s", g.name "to"
  g:publish(s, "1")
  local old = g:one(s, { lease = 1 })
  stoke.sleep(1.2)
  local new = g:one(s)
  for _, state in ipairs { "done", "dead", "again", "back" } do
    want("the old claim: " .. state, g:settle(old, state, { value = "old", publish = { { stream = to, id = "x", value = "old",
      v = 1 } } }), false)
  end
  want("nothing was handed over", g:ids(to), {})
  want("no outcome", g:outcomes(s), {})
  g:nothing("it is lent to the new one", s)
  want("the new claim", g:settle(new, "done", { value = "new" }), true)
  want("the outcome", g:outcomes(s)[1].value, "new")
end)

behaviour("a claim whose lease has run out is good as long as nobody else has the item", function(g)
  local s = g.name "s"
  g:publish(s, "1")
  local claim = g:one(s, { lease = 1 })
  stoke.sleep(1.2)
  want("settled late", g:settle(claim, "done"), true)
  g:nothing("it is done", s)
end)

behaviour("a claim that is renewed is not lent to another; one that is lost is told", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2")
  local claims = g:claims(s, 2, { lease = 1.5 })
  for _ = 1, 3 do
    stoke.sleep(1)
    want("none is lost", errors.check(g.e:renew({ claims[1] }, 1.5)), {})
  end
  local new = g:one(s)
  want("the other one is another's", new.id, claims[2].id)
  local lost = errors.check(g.e:renew(claims, 1.5))
  want("that one is lost", { #lost, lost[1] and lost[1].id }, { 1, claims[2].id })
  want("what was renewed settles", g:settle(claims[1], "done"), true)
end)

behaviour("who settles again hears the same: the same state is true, another is false", function(g)
  local s, to = g.name "s", g.name "to"
  g:publish(s, "1", "2", "3")
  local claims = g:claims(s, 3)
  local hand = { publish = { { stream = to, id = "x", value = "x", v = 1 } }, value = "first" }
  want("done", { g:settle(claims[1], "done", hand), g:settle(claims[1], "done", { value = "second" }) }, { true, true })
  want("then dead", g:settle(claims[1], "dead", { reason = "no" }), false)
  want("then again", g:settle(claims[1], "again"), false)
  want("dead", { g:settle(claims[2], "dead", { reason = "no" }), g:settle(claims[2], "dead", { reason = "no" }) }, { true, true })
  want("then done", g:settle(claims[2], "done"), false)
  want("again", { g:settle(claims[3], "again", { delay = 30 }), g:settle(claims[3], "again", { delay = 30 }) }, { true, true })
  want("then done", g:settle(claims[3], "done"), false)
  want("the outcomes", { g:outcomes(s)[1].value, g:outcomes(s)[2].state, #g:outcomes(s) }, { "first", "dead", 2 })
  want("handed over once", g:ids(to), { "x" })
end)

behaviour("several claims are settled at once, each by itself", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  local old = g:one(s, { lease = 1 })
  stoke.sleep(1.2)
  local claims = g:claims(s, 3)
  want("what each says", errors.check(g.e:settle { { claim = claims[1], state = "done" }, { claim = old, state = "done" },
    { claim = claims[2], state = "dead", reason = "no" }, { claim = claims[3], state = "back" } }),
    { true, false, true, true })
  want("one waits", g:one(s).id, claims[3].id)
end)

behaviour("what an item hands over is in the other streams when it is settled; a known id there is no error", function(g)
  local s, a, b = g.name "s", g.name "a", g.name "b"
  g:publish(s, "1")
  g:publish(a, "known")
  want("settled", g:settle(g:one(s), "done", { publish = { { stream = a, id = "known", value = "new", v = 1 },
    { stream = a, id = "1", key = "k", value = "one", v = 1 }, { stream = b, id = "1", value = "two", v = 1 } } }), true)
  local list = g:claims(a, 2)
  table.sort(list, function(x, y) return x.offset < y.offset end)
  want("in one", { list[1].value, list[2].id, list[2].key, list[2].value }, { "v known", "1", "k", "one" })
  want("in the other", g:one(b).value, "two")
end)

behaviour("a dead letter is told with its reason, and not lent again", function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"))
  want("dead", g:settle(g:one(s), "dead", { reason = "nobody lives there" }), true)
  g:nothing("it is dead", s)
  local dead = g:outcomes(s)[1]
  want("the outcome", { dead.id, dead.key, dead.state, dead.reason, dead.tries }, { "1", "k", "dead", "nobody lives there", 1 })
end)

behaviour("a reason may be as long as a letter, and an item may hand over thousands", function(g)
  local s, to, list = g.name "s", g.name "to", {}
  g:publish(s, "1", "2")
  local claims = g:claims(s, 2)
  for i = 1, 3000 do list[i] = { stream = to, id = ("a part of item 1, number %d"):format(i), value = tostring(i), v = 1 } end
  want("handed over", g:settle(claims[1], "done", { value = "parts", publish = list }), true)
  local parts = errors.check(g.e:read(to, 1, 3000))
  want("all of them", { #parts, parts[3000].id, parts[3000].value }, { 3000, list[3000].id, "3000" })
  local reason = ("no "):rep(40000)
  want("dead", g:settle(claims[2], "dead", { reason = reason, value = "v" }), true)
  local outcomes = g:outcomes(s)
  want("the first", { outcomes[1].id, outcomes[1].value, outcomes[1].reason }, { "1", "parts" })
  want("the second", { outcomes[2].id, outcomes[2].value }, { "2", "v" })
  ok("the whole reason", outcomes[2].reason == reason)
end)

behaviour("an item whose lease runs out at each of its tries is a dead letter: its readers may have died of it", function(g)
  local s = g.name "s"
  g:publish(s, "poison", "fine")
  for try = 1, 2 do
    local claims = g:claims(s, try == 1 and 2 or 1, { lease = 1, tries = 2 })
    for _, claim in ipairs(claims) do
      if claim.id == "fine" then g:settle(claim, "done") else want("its try", claim.try, try) end
    end
    stoke.sleep(1.2)
  end
  g:nothing("its tries are over", s, { tries = 2 })
  local list = g:outcomes(s)
  want("both", #list, 2)
  want("the dead letter", { list[1].id, list[1].state, list[1].reason }, { "poison", "dead", "its lease ran out 2 times" })
end)

behaviour("an item whose lease ran out twice is lent alone: it takes no others with it", function(g)
  local s = g.name "s"
  g:publish(s, "1", "2", "3")
  for _ = 1, 2 do
    want("all three", #g:claims(s, 3, { lease = 1 }), 3)
    stoke.sleep(1.2)
  end
  g:publish(s, "4")
  local alone = {}
  for i = 1, 4 do
    local claims = g:claim(s, 4, { wait = g.long })
    want("one", #claims, 1)
    alone[i] = claims[1]
    want("it says so", claims[1].alone, i < 4 or nil)
  end
  want("all of them", ids_of(alone), { "1", "2", "3", "4" })
end)

-- ---- order ------------------------------------------------------------------------------------------------------------------

behaviour("an item is not lent while an earlier one of its key is not settled", { order = "key" }, function(g)
  local s = g.name "s"
  g:publish(s, item("a1", "a"), item("a2", "a"), item("b1", "b"), item("n1"), item("n2"), item("a3", "a"))
  local claims = g:claims(s, 4)
  want("the first of each key, and all without", ids_of(claims), { "a1", "b1", "n1", "n2" })
  g:nothing("the others wait", s)
  local by = {}
  for _, claim in ipairs(claims) do by[claim.id] = claim end
  g:settle(by.b1, "done")
  g:nothing("another key changes nothing", s)
  g:settle(by.a1, "again", { delay = 1 })
  g:nothing("while the first one waits for its next try", s)
  stoke.sleep(1.2)
  local first = g:one(s)
  want("it is the first", first.id, "a1")
  g:settle(first, "done")
  local second = g:one(s)
  want("then the second", second.id, "a2")
  g:settle(second, "dead", { reason = "no" })
  want("a dead one holds up nobody", g:one(s).id, "a3")
end)

behaviour("order by key holds when a lease runs out in between", { order = "key" }, function(g)
  local s = g.name "s"
  g:publish(s, item("1", "k"), item("2", "k"))
  g:one(s, { lease = 1 })
  stoke.sleep(1.2)
  local claims = g:claim(s, 2)
  want("the first alone", ids_of(claims), { "1" })
  g:settle(claims[1], "done")
  want("then the second", g:one(s).id, "2")
end)

behaviour("items of many keys are each done in the order of their key, by several readers", { order = "key" }, function(g)
  local s, list, done = g.name "s", {}, {}
  for i = 1, 100 do list[i] = item(("%03d"):format(i), "key " .. i % 7) end
  errors.check(g.e:publish(s, list))
  local scope <close> = stoke.scope {}
  for reader = 1, 4 do
    scope:spawn(function()
      for round = 1, 400 do
        local claims = g:claim(s, 3, { wait = g.short })
        for _, claim in ipairs(claims) do
          if (reader + round) % 5 == 0 then
            g:settle(claim, "again")
          else
            done[#done + 1] = claim
            g:settle(claim, "done")
          end
        end
        if #done == #list then return end
      end
    end)
  end
  scope:wait()
  want("how many", #done, #list)
  local last = {}
  for _, claim in ipairs(done) do
    ok(("%s was done after %s"):format(claim.id, last[claim.key]), (last[claim.key] or "") < claim.id)
    last[claim.key] = claim.id
  end
end)
