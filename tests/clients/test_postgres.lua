local peers = require "peers"
local engine = require "core.engine"
local postgres = require "postgres"
local stoke = require "stoke"
local test = require "stoke.test"
local show = require "stoke.json"

test("smoke", peers.REAL, function(t)
  local server <close> = postgres.start(t)
  local e <close> = assert(engine.open(server.url))
  print(show.encode(assert(e:health())))
  t.eq(e:publish("jobs", { { id = "1", key = "a", value = "x", v = 1 }, { id = "2", key = "a", value = "y", v = 1 }, { id = "3", value = "z", v = 1 }, { id = "1", value = "again", v = 1 } }), { true, true, true, false })
  t.eq(e:publish("jobs", { { id = "1", value = "x", v = 1 } }), { false })
  local claims = assert(e:claim { stream = "jobs", group = "g", n = 10, lease = 30, wait = 0, tries = 3 })
  t.eq(#claims, 2)
  t.eq({ claims[1].id, claims[1].key, claims[1].value, claims[1].try, claims[2].id }, { "1", "a", "x", 1, "3" })
  print(show.encode(e:streams()))
  t.eq(e:settle { { claim = claims[1], state = "done", value = "ok", publish = { { stream = "next", id = "n1", value = "n", v = 1 } } } }, { true })
  t.eq(e:settle { { claim = claims[1], state = "done" } }, { true })
  t.eq(e:settle { { claim = claims[1], state = "dead" } }, { false })
  claims = assert(e:claim { stream = "jobs", group = "g", n = 10, lease = 30, wait = 0, tries = 3 })
  t.eq(#claims, 1)
  t.eq(claims[1].id, "2")
  print(show.encode(e:outcomes("jobs", "g", 1, 10)), show.encode(e:read("next", 1, 10)), show.encode(e:streams()))
  t.eq(e:log_append("l", "k", 0, "a"), 1)
  t.eq({ e:log_append("l", "k", 0, "a") }, { false, 1 })
  t.eq(e:kv_put("b", "k", "v"), 1)
  t.eq(e:kv_swap("b", "k", "v", 5), false)
  t.eq(e:kv_swap("b", "k", "w", 1), 2)
  t.eq(e:kv_get("b", "k"), { value = "w", revision = 2 })
  t.eq(e:kv_delete("b", "k"), true)
  t.eq(e:kv_get("b", "k"), false)
  print(e:now())
end)
