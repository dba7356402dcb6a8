-- The battery of engines: keys and logs.

local errors = require "core.errors"
local means = require "battery.means"
local stoke = require "stoke"

local behaviour, want, ok = means.behaviour, means.want, means.ok

-- ---- keys and logs ----------------------------------------------------------------------------------------------------------

behaviour("keys are put, read, listed and deleted, each with a revision", function(g)
  local b = g.name "b"
  want("none", errors.check(g.e:kv_get(b, "a")), false)
  local first = errors.check(g.e:kv_put(b, "a", "1"))
  local second = errors.check(g.e:kv_put(b, "a", "\0\xff"))
  ok("a revision grows", second > first and first > 0)
  want("what is there", errors.check(g.e:kv_get(b, "a")), { value = "\0\xff", revision = second })
  for _, key in ipairs { "b.2", "b.1", "b", "ü b", "b%" } do errors.check(g.e:kv_put(b, key, key)) end
  want("all", errors.check(g.e:kv_keys(b, "")), { "a", "b", "b%", "b.1", "b.2", "ü b" })
  want("some", errors.check(g.e:kv_keys(b, "b.")), { "b.1", "b.2" })
  want("a prefix is no pattern", errors.check(g.e:kv_keys(b, "b%")), { "b%" })
  want("deleted", errors.check(g.e:kv_delete(b, "a")), true)
  want("then there is none", { errors.check(g.e:kv_get(b, "a")), errors.check(g.e:kv_delete(b, "a")) }, { false, false })
  want("another bucket", errors.check(g.e:kv_keys(g.name "c", "")), {})
end)

behaviour("a key is swapped by who knows its revision, and by one alone", { cas = true }, function(g)
  local b = g.name "b"
  local first = errors.check(g.e:kv_swap(b, "a", "1", 0))
  ok("where there was none", first)
  want("where there is one", errors.check(g.e:kv_swap(b, "a", "2", 0)), false)
  local second = errors.check(g.e:kv_swap(b, "a", "2", first))
  ok("from the first", second)
  want("from one that has gone", errors.check(g.e:kv_swap(b, "a", "3", first)), false)
  want("deleted at one that has gone", errors.check(g.e:kv_delete(b, "a", first)), false)
  want("deleted", errors.check(g.e:kv_delete(b, "a", second)), true)
  want("after that from the old one", errors.check(g.e:kv_swap(b, "a", "4", second)), false)
  ok("after that from none", errors.check(g.e:kv_swap(b, "a", "4", 0)))
end)

behaviour("tasks that count up one key by swapping lose nothing", { cas = true }, function(g)
  local b, other <close> = g.name "b", g:again()
  errors.check(g.e:kv_put(b, "n", "0"))
  local scope <close> = stoke.scope {}
  for i = 1, 6 do
    local e = i % 2 == 0 and other or g.e
    scope:spawn(function()
      local left = 10
      while left > 0 do
        local at = errors.check(e:kv_get(b, "n"))
        if errors.check(e:kv_swap(b, "n", tostring(tonumber(at.value) + 1), at.revision)) then left = left - 1 end
      end
    end)
  end
  scope:wait()
  want("the count", errors.check(g.e:kv_get(b, "n")).value, "60")
end)

behaviour("who watches keys hears what there is, then each change of its prefix, by whoever it is", function(g)
  local b, other <close> = g.name "b", g:again()
  errors.check(g.e:kv_put(b, "a.1", "one"))
  errors.check(g.e:kv_put(b, "z", "no"))
  local list = errors.check(g.e:kv_watch(b, "a.", 0, g.long))
  want("what there is", { #list, list[1].key, list[1].value }, { 1, "a.1", "one" })
  local since = list[1].revision
  want("nothing yet", errors.check(g.e:kv_watch(b, "a.", since, g.short)), {})
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() return errors.check(g.e:kv_watch(b, "a.", since, g.long)) end)
  stoke.sleep(g.short)
  errors.check(other:kv_put(b, "a.2", "two"))
  list = task:await()
  want("a change", { #list, list[1].key, list[1].value }, { 1, "a.2", "two" })
  errors.check(other:kv_delete(b, "a.1"))
  list = errors.check(g.e:kv_watch(b, "a.", list[1].revision, g.long))
  want("a key that went", { #list, list[1].key, list[1].value }, { 1, "a.1", nil })
end)

behaviour("who looks at keys without waiting is told all that is there", function(g)
  local b, other <close> = g.name "b", g:again()
  want("nothing", errors.check(g.e:kv_watch(b, "", 0, 0)), {})
  for round = 1, 2 do
    errors.check(other:kv_put(b, "a", "one " .. round))
    errors.check(g.e:kv_put(b, "b", "two " .. round))
    local by, since = {}, 0
    repeat
      local list = errors.check(g.e:kv_watch(b, "", since, 0))
      for _, one in ipairs(list) do by[one.key], since = one.value, one.revision end
    until not list[1]
    want("all", by, { a = "one " .. round, b = "two " .. round })
    want("since the last", errors.check(g.e:kv_watch(b, "", since, 0)), {})
  end
end)

behaviour("a log takes a record only after the last one of its key", { cas = true }, function(g)
  local l = g.name "l"
  local first = errors.check(g.e:log_append(l, "a", 0, "one"))
  ok("an offset", math.type(first) == "integer" and first > 0)
  want("the same place again", { g.e:log_append(l, "a", 0, "other") }, { false, first })
  local second = errors.check(g.e:log_append(l, "a", first, "\0two"))
  ok("offsets grow", second > first)
  ok("another key has its own", errors.check(g.e:log_append(l, "b", 0, "three")))
  want("the records", errors.check(g.e:log_read(l, "a", 1, 10)), { { offset = first, value = "one" },
    { offset = second, value = "\0two" } })
  want("from the second", #errors.check(g.e:log_read(l, "a", second, 10)), 1)
  want("one", #errors.check(g.e:log_read(l, "a", 1, 1)), 1)
  want("dropped", errors.check(g.e:log_drop(l, "a")), true)
  want("nothing is left", errors.check(g.e:log_read(l, "a", 1, 10)), {})
  want("of the other key it is", #errors.check(g.e:log_read(l, "b", 1, 10)), 1)
  ok("it begins anew", errors.check(g.e:log_append(l, "a", 0, "new")))
end)

behaviour("of two who go on with a log one is told that it is not alone", { cas = true }, function(g)
  local l, other <close> = g.name "l", g:again()
  local good, bad = 0, 0
  local scope <close> = stoke.scope {}
  for i = 1, 2 do
    local e = i == 1 and g.e or other
    scope:spawn(function()
      local last = 0
      for n = 1, 20 do
        local offset, is = e:log_append(l, "a", last, i .. " " .. n)
        if offset == nil then error(is, 0) end
        if offset then good, last = good + 1, offset else bad, last = bad + 1, is end
      end
    end)
  end
  scope:wait()
  want("each was told", good + bad, 40)
  ok("both began at 0, and one of them was refused", bad >= 1)
  want("what is there", #errors.check(g.e:log_read(l, "a", 1, 100)), good)
end)
