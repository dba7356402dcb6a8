-- stoke.world: ticks, inputs, thoughts, events: stdlib/world.lua, stdlib/world/.
local stoke = require "stoke"
local test = require "stoke.test"
local worlds = require "worlds"

local open, free = worlds.open, worlds.free

-- ---- ticks ---------------------------------------------------------------------------------------------------------------------

test("the state follows from the seed: equal twice, another one with another seed", function(t)
  local a <close> = open()
  local b <close> = open()
  local c <close> = open { seed = 8 }
  for _, world in ipairs { a, b, c } do t.eq(free(world, 230), "done") end
  t.eq(a:hash(), b:hash())
  t.ne(a:hash(), c:hash())
  t.eq({ a:tick(), a:time() }, { 230, 8 * 3600 + 230 })
end)

test("random numbers of a member are its own: another one that draws more changes nothing", function(t)
  local function drawn(greedy)
    local world <close> = stoke.world { state = { members = { a = {}, b = { all = {} } } }, step = function(member, here)
      local random = here:random(member)
      if member.id == "a" then for _ = 1, greedy do random:float() end else table.insert(member.all, random:int(1, 1000)) end
    end }
    free(world, 20)
    return world:look("members", "b", "all")
  end
  t.eq(drawn(0), drawn(3))
  local all = drawn(0)
  table.sort(all)
  t.ok(all[1] >= 1 and all[20] <= 1000 and all[1] < all[20])
end)

test("a random number is within its range, whatever the range", function(t)
  local seen = {}
  local world <close> = stoke.world { state = { lows = {}, all = {} }, step = function(state, here)
    local random = here:random()
    state.wide = random:int(math.mininteger, math.maxinteger)
    state.one = random:int(5, 5)
    state.float = random:float()
    state.picked = random:pick { "x", "y" }
    state.list = random:shuffle { 1, 2, 3, 4 }
    seen[random:int(-1, 1)] = true
    assert(state.float >= 0 and state.float < 1)
  end }
  free(world, 100)
  t.eq(world:look "one", 5)
  t.eq(seen, { [-1] = true, [0] = true, [1] = true })
  local list = world:look "list"
  table.sort(list)
  t.eq(list, { 1, 2, 3, 4 })
end)

test("without members a step gets the whole state, and thinks under a name", function(t)
  local world <close> = stoke.world { state = { n = 0 }, step = function(state, here)
    state.n = state.n + 1
    if here.tick == 2 then here:think("the weather", "look", 5) end
  end, thoughts = { look = { ask = function(q, who) return who .. q end,
    apply = function(state, answer, here, who) state.seen = { answer, here.tick, who } end } } }
  free(world, 5)
  t.eq(world:look(), { n = 5, seen = { "the weather5", 3, "the weather" } })
end)

test("a day is a number, and time is that of the world", function(t)
  local seen
  local world <close> = stoke.world { tick = 3600, start = 22 * 3600, state = {}, step = function(_, here)
    seen = { here.tick, here.time, here.day }
  end }
  world:run { speed = "free", until_time = 26 * 3600 }
  t.eq(seen, { 3, 25 * 3600, 1 })
end)

-- ---- inputs --------------------------------------------------------------------------------------------------------------------

test("an input takes effect at the next tick, and its result is what it returned", function(t)
  local world <close> = open()
  local number = world:send("say", { text = "hi" }, { member = "ada" })
  t.eq(world:result(number), nil)
  free(world, 1)
  t.eq(world:result(number).result, "heard at 0")
  t.eq(world:look("members", "ada", "heard"), "hi")
end)

test("results come in the order of numbers: without a member first, then by member, each as they were sent", function(t)
  local world <close> = open()
  world:send("say", { text = "1" }, { member = "bob" })
  world:send("say", { text = "2" }, { member = "ada" })
  world:send("shout", "3")
  world:send("say", { text = "4" }, { member = "ada" })
  free(world, 1)
  local got = {}
  for i, entry in ipairs(world:inputs()) do got[i] = { entry.n, entry.name, entry.member or "", entry.sent, entry.tick } end
  t.eq(got, { { 1, "shout", "", 3, 0 }, { 2, "say", "ada", 2, 0 }, { 3, "say", "ada", 4, 0 }, { 4, "say", "bob", 1, 0 } })
end)

test("an input that raises leaves the state as it was, and its sender gets the error", function(t)
  local world <close> = open()
  local scope <close> = stoke.scope {}
  scope:spawn(function() world:run { speed = "free" } end)
  local before = world:look("members", "ada")
  local _, err = stoke.try(world.ask, world, "fail", nil, { member = "ada" })
  t.eq({ err.kind, err.message }, { "script", "no such word" })
  t.eq(world:look("members", "ada", "spoilt"), nil)
  t.ok(world:look("members", "ada", "n") >= before.n)
  t.match(select(2, stoke.try(world.ask, world, "say", {}, { member = "eve" })).message, 'no member "eve"')
  t.eq(world:ask("shout", "x"), 1)
  world:stop()
end)

test("an input at a later time waits for it", function(t)
  local world <close> = open()
  local number = world:send("say", { text = "late" }, { member = "ada", at = 8 * 3600 + 20 })
  free(world, 20)
  t.eq({ world:result(number), world:clock().waiting }, { nil, 1 })
  free(world, 1)
  t.eq(world:result(number).tick, 20)
end)

test("members come and go by inputs without a member", function(t)
  local world <close> = open()
  free(world, 52)
  world:send("join", { id = "cyd" })
  world:send("leave", { id = "ada" }) -- in the middle of a thought
  free(world, 10)
  t.eq(world:look("members", "cyd", "id"), "cyd")
  t.eq(world:look("members", "ada"), nil)
  t.eq(world:thinking(), {})
end)

test("what nobody knows, and what is no data, is refused with what to do", function(t)
  local world <close> = open { cap = 2 }
  t.match(t.raises("argument", function() world:send("shuot", "x") end).message, 'has no input "shuot" %(did you mean shout%?%)')
  t.match(t.raises("argument", function() world:send("shout", { f = print }) end).message, "f is a function")
  world:send("shout", "1")
  world:send("shout", "2")
  t.raises("limit", function() world:send("shout", "3") end)
  t.raises("argument", function() world:ask("say", {}, { timeout = -1 }) end)
end)

test("what cannot be asked of a world is refused with words", function(t)
  local world <close> = open()
  local function refused(words, f, ...) t.contains(t.raises("argument", f, ...).message, words) end
  refused("two worlds expected, got nil", stoke.world.diff, world)
  refused("world:peek: a function expected", world.peek, world, "x")
  refused("from must be the number of an entry", world.inputs, world, { from = 0.5 })
  refused("at must be a world time", world.send, world, "say", {}, { member = "ada", at = 0 / 0 })
end)

test("an ask ends in time where nobody runs the world", function(t)
  local world <close> = open()
  local err = t.raises("timeout", function() world:ask("shout", "x", { timeout = 3 }) end)
  t.eq(err.hint, "nobody runs the world")
end)

-- ---- thoughts ------------------------------------------------------------------------------------------------------------------

test("an ask ends at once where the world is closed", function(t)
  local world = open()
  local asked = stoke.spawn(function() return stoke.try(world.ask, world, "say", { text = "hi" }, { member = "ada" }) end)
  stoke.sleep(1)
  local began = stoke.time.monotonic()
  world:close()
  local _, err = asked:await()
  t.eq({ err.kind, stoke.time.monotonic() - began < 1 }, { "incomplete", true })
  t.match(err.message, 'the world "town" was closed before the input "say" had a result')
end)

test("an answer is applied when it is due, however long it took", function(t)
  local world <close> = open()
  free(world, 5)
  t.eq(world:look("members", "ada", "plan"), nil)
  t.eq(world:thinking(), { ada = "plan", bob = "plan" })
  free(world, 1)
  t.match(world:look("members", "ada", "plan"), "^ada at %d+$")
  t.eq(world:inputs()[1].tick, 5)
end)

test("a slow machine gives the same world", function(t)
  local hashes = {}
  for i, seconds in ipairs { 0, 20 } do
    local world <close> = open { thoughts = { plan = { takes = 5, ask = function(q)
      stoke.sleep(seconds)
      return { text = tostring(q.n) }
    end, apply = function(member, answer) member.plan = answer.text end } } }
    free(world, 130)
    hashes[i] = world:hash()
  end
  t.eq(hashes[1], hashes[2])
end)

test("with wait = false the clock goes on, and the answer is applied when it has come", function(t)
  local world <close> = open { wait = false }
  world:run { speed = 1, ticks = 40 } -- half a second for the answer, a due tick at 5
  t.eq(world:inputs()[1].tick, 5)
  local fast <close> = open { wait = false }
  fast:run { speed = 100, ticks = 80 }
  t.ok(fast:inputs()[1].tick > 40)
end)

test("a thought that fails is tried again where that may help, and is an event and a call where it does not", function(t)
  local tries, told = 0, {}
  local world <close> = open { retries = 2, thoughts = { plan = { ask = function(_, who)
    tries = tries + 1
    if who == "ada" then stoke.raise("overloaded", "not now") end
    stoke.raise("invalid_output", "no sense")
  end, failed = function(member, err) told[member.id] = err.kind end } } }
  local events <close> = world:events()
  free(world, 3)
  t.eq(tries, 4)
  t.eq(told, { ada = "overloaded", bob = "invalid_output" })
  t.eq(events().type, "thought_failed")
  t.eq(world:inputs()[1].failed.message, "not now")
end)

test("where nobody takes a failed thought, that is said once for each kind of error", function(t)
  local told, scopes = {}, require "core.scope"
  local tell = scopes.tell
  local undo <close> = setmetatable({}, { __close = function() scopes.tell = tell end }) -- luacheck: ignore
  scopes.tell = function(text) told[#told + 1] = text end
  local w <close> = stoke.world { name = "w", state = { members = { a = {}, b = {} } },
    step = function(member, here) if not here:thinking(member) then here:think(member, "plan") end end,
    thoughts = { plan = { ask = function() stoke.raise("usage", "there is no plan", "make one") end } } }
  w:run { speed = "free", ticks = 20 }
  t.eq(told, { 'world "w": the thought "plan" of "a" has no answer: there is no plan; make one' })
end)

test("an answer that is no data is a failure with its place", function(t)
  local world <close> = open { thoughts = { plan = { ask = function() return { run = print } end } } }
  free(world, 3)
  t.match(world:inputs()[1].failed.message, "run is a function")
end)

test("a member thinks one thought at a time, and thoughts have names", function(t)
  local world <close> = stoke.world { state = { members = { a = {} } }, thoughts = { plan = { ask = function() end, takes = 9 } },
    step = function(member, here)
      if here.tick == 1 then here:think(member, "paln") end
      here:think(member, "plan")
    end }
  t.match(t.raises("argument", function() free(world, 2) end).message, 'has no thought "%a+" %(did you mean plan%?%)')
  local other <close> = stoke.world { state = { members = { a = {} } }, thoughts = { plan = { ask = function() end, takes = 9 } },
    step = function(member, here) here:think(member, "plan") end }
  t.match(t.raises("argument", function() free(other, 2) end).message, '"a" thinks "plan" already, since tick 0')
end)

-- ---- steps are pure ------------------------------------------------------------------------------------------------------------

test("a step that does more than compute is refused, and the world is as it was before that tick", function(t)
  local deeds = {
    ["time.now"] = function() return stoke.time.now() end,
    ["rand.float"] = function() return math.random() end,
    ["fs.read"] = function() return stoke.fs.read "x" end,
    ["time.sleep"] = function() stoke.sleep(1) end,
    ["spawned a task"] = function() stoke.spawn(function() end) end,
    ["waited"] = function() stoke.channel(1):recv(0.1) end,
  }
  for what, deed in pairs(deeds) do
    local bad = true
    local world <close> = stoke.world { state = { members = { a = { n = 0 } } }, step = function(member, here)
      member.n = member.n + 1
      if here.tick == 3 and bad then deed() end
    end }
    local err = t.raises("argument", function() free(world, 5) end)
    t.match(err.message, what)
    t.eq(world:look("members", "a", "n"), world:tick())
    t.ok(world:tick() <= 3)
    bad = false
    free(world, 5 - world:tick())
    t.eq(world:look("members", "a", "n"), 5)
  end
end)

test("a step does not call the world it is in", function(t)
  for _, call in ipairs { "run", "back", "ask", "step", "hash", "close" } do
    local world
    world = stoke.world { state = {}, inputs = { x = print }, step = function() world[call](world, call == "ask" and "x" or 1) end }
    local closing <close> = world -- luacheck: ignore
    t.match(t.raises("argument", function() free(world, 1) end).message, "called by a step")
  end
end)

test("a world in memory keeps a bounded number of snapshots", function(t)
  local world <close> = stoke.world { snapshot = 1, state = { n = 0 }, step = function(state) state.n = state.n + 1 end }
  free(world, 2500)
  t.ok(#world.log:shots(2500) <= 1000)
  for _, tick in ipairs { 0, 1, 777, 2400, 2500 } do t.eq(world:at(tick).state.n, tick) end
end)

test("a step that fails names the world, the member and the tick", function(t)
  local world <close> = stoke.world { name = "town", state = { members = { ada = {} } }, step = function(member, here)
    if here.tick == 17 then return member.friend.name end
  end }
  local err = t.raises("script", function() free(world, 50) end)
  t.match(err.message, 'world "town": the step of "ada" at tick 17 failed: .*nil value %(field \'friend\'%)')
  t.eq(world:tick(), 17)
end)

test("pairs goes in an order in steps, so that it is the same in each process", function(t)
  local world <close> = stoke.world { state = { keys = "", things = { d = 1, a = 1, c = 1, b = 1, e = 1 } }, step = function(state)
    state.keys = ""
    for key in pairs(state.things) do state.keys = state.keys .. key end
  end }
  free(world, 1)
  t.eq(world:look "keys", "abcde")
end)

test("a state that is no data is refused with its place", function(t)
  local function bad(state) return t.raises("argument", function() stoke.world { state = state, step = print } end).message end
  t.match(bad { a = { b = print } }, "a%.b is a function")
  t.match(bad { a = { 1, 0 / 0 } }, "a%[2%] is not a number")
  t.match(bad { a = { math.huge } }, "a%[1%] is infinite")
  t.match(bad { a = { [3] = 1 } }, "a is a list with gaps")
  t.match(bad { a = { 1, x = 2 } }, "a has both")
  t.match(bad { a = "\xff" }, "a is a text that is not UTF%-8")
  local one = {}
  t.match(bad { a = one, b = one }, "[ab] is a table that stands in another place")
  t.match(bad { a = setmetatable({}, { __index = one }) }, "a is an object of a class")
  t.match(bad { members = { "x" } }, "members has tables by ids")
  t.match(bad { members = { a = { id = "b" } } }, 'the member "a" has the id')
  local world <close> = stoke.world { name = "w", snapshot = 2, state = { n = 1 }, step = function(state) state.n = 0 / 0 end }
  t.match(t.raises("argument", function() free(world, 5) end).message, 'world "w": the state: n is not a number')
end)

test("a definition that cannot be is refused with what to do", function(t)
  local function bad(more) return t.raises("argument", function() open(more) end).message end
  t.match(bad { sede = 1 }, "unknown option sede %(did you mean seed")
  t.match(bad { ahead = 5 }, "ahead = 5 needs reach and speed")
  t.match(bad { ahead = 5, reach = 1, speed = 1, wait = false }, "needs wait = true")
  t.match(bad { tick = 0 }, "tick must be a number above 0")
  t.match(bad { thoughts = { plan = {} } }, "has no ask")
  t.match(bad { inputs = { say = 1 } }, "say")
  t.match(t.raises("argument", function() stoke.world { step = print } end).message, "there is no state")
end)

-- ---- seeing --------------------------------------------------------------------------------------------------------------------

test("near members come in the order of ids, within the radius and the reach", function(t)
  local seen = {}
  local world <close> = stoke.world { reach = 4, state = { members = { e = { x = 0, y = 0 }, b = { x = 3, y = 4 },
    c = { x = -2, y = 1 }, d = { x = 5, y = 0 }, a = {} } }, tied = function(a, b) return a.id < "f" and b.id == "a" end,
    step = function(member, here)
      if member.id ~= "e" then return end
      seen.near, seen.two = {}, {}
      for i, other in ipairs(here:near(member)) do seen.near[i] = other.id end
      for i, other in ipairs(here:near(member, 2)) do seen.two[i] = other.id end
      seen.b, seen.d, seen.a = here:member "b" ~= nil, here:member "d" ~= nil, here:member "a" ~= nil
      seen.far = select(2, pcall(here.near, here, member, 5)).message
    end }
  free(world, 1)
  t.eq(seen.near, { "b", "c" })
  t.eq(seen.two, { "c" })
  t.eq({ seen.b, seen.d, seen.a }, { true, false, true })
  t.match(seen.far, "a radius of 5 is more than the world's reach, 4")
end)

test("without a reach all members are near, also those that have no place", function(t)
  local seen
  local world <close> = stoke.world { state = { members = { a = {}, b = { x = 1, y = 1 }, c = { x = 500, y = 1 } } },
    step = function(member, here)
      if member.id == "b" then seen = { #here:near(member), #here:near(member, 500), here:member("c").id } end
    end }
  free(world, 1)
  t.eq(seen, { 2, 1, "c" })
end)

test("who shows a world finds it, asks how it runs, and looks without a copy", function(t)
  local opened
  local world = open { view = { title = "Town" }, on_open = function(of) opened = of end }
  local closing <close> = world -- luacheck: ignore
  t.eq({ opened == world, stoke.world.live[world], world.view.title }, { true, true, "Town" })
  t.eq(world:offers(), { "fail", "join", "leave", "say", "shout" })
  free(world, 2)
  t.eq(world:clock(), { tick = 2, time = 8 * 3600 + 2, first = 8 * 3600, tick_seconds = 1, speed = "free", running = false,
    paused = false, inflight = 2, waiting = 0 })
  t.eq({ world:peek(function(state, tick, time, more) return state.members.ada.x, tick, time, more end, "x") },
    { 1, 2, 8 * 3600 + 2, "x" })
  local branch <close> = world:branch()
  t.eq(branch.origin == world, true)
  world:close()
  t.eq({ world.closed, stoke.world.live[world] }, { true, nil })
  t.match(t.raises("argument", function() world:tick() end).message, 'world:tick%(%): the world "town" is closed')
end)

-- ---- running -------------------------------------------------------------------------------------------------------------------

test("the clock: a world second takes 1/speed seconds", function(t)
  local world <close> = open { thoughts = { plan = { ask = function() end, takes = 5 } } }
  local began = stoke.time.monotonic()
  world:run { speed = 60, ticks = 120 }
  t.ok(math.abs(stoke.time.monotonic() - began - 2) < 0.1)
  world:run { speed = 0.5, ticks = 3 }
  t.ok(math.abs(stoke.time.monotonic() - began - 8) < 0.2)
end)

test("a pause stands still, steps go on by their number, and the state is the same as without", function(t)
  local a <close> = open()
  local b <close> = open()
  free(a, 200)
  local scope <close> = stoke.scope {}
  local run = scope:spawn(function() return b:run { speed = 10, ticks = 200 } end)
  stoke.sleep(2)
  b:pause()
  local tick = b:tick()
  stoke.sleep(50)
  t.eq(b:tick(), tick)
  t.eq(b:step(3), tick + 3)
  stoke.sleep(1)
  t.eq(b:tick(), tick + 3)
  t.eq(b:clock().paused, true)
  b:speed "free"
  b:resume()
  t.eq(run:await(), "done")
  t.eq(b:hash(), a:hash())
end)

test("a world that nobody runs can be stepped", function(t)
  local world <close> = open()
  t.eq(world:step(), 1)
  t.eq(world:step(60), 61)
  t.raises("argument", function() world:step(0) end)
end)

test("a world that stands goes on standing after a step that failed", function(t)
  local world <close> = stoke.world { state = { n = 0 }, step = function() error "no" end }
  world:pause()
  t.raises("script", world.step, world)
  t.eq({ world:clock().paused, world:tick() }, { true, 0 })
end)

test("stop ends a run; a second task cannot run it meanwhile", function(t)
  local world <close> = open()
  local scope <close> = stoke.scope {}
  local run = scope:spawn(function() return world:run() end)
  stoke.sleep(3)
  t.match(t.raises("argument", function() world:run() end).message, "another task runs")
  world:stop()
  t.eq(run:await(), "stopped")
  t.eq(free(world, 10), "done")
end)

test("a run that is cancelled leaves a world that goes on as if nothing had happened", function(t)
  local a <close> = open()
  local b <close> = open()
  free(a, 160)
  for _ = 1, 20 do
    stoke.try(stoke.timeout, 0.3, function() b:run { speed = 30, ticks = 160 - b:tick() } end)
  end
  free(b, 160 - b:tick())
  t.eq(b:hash(), a:hash())
  t.eq(b:inputs(), a:inputs())
end)

-- ---- events --------------------------------------------------------------------------------------------------------------------

test("events are numbered, and say of whom and when they are", function(t)
  local world <close> = open()
  local events <close> = world:events()
  world:send("shout", "x")
  free(world, 60)
  local got = {}
  while events:waiting() do
    local e = events()
    got[#got + 1] = { e.n, e.tick, e.time - 8 * 3600, e.type, e.member or "" }
  end
  t.eq(got, { { 1, 0, 0, "input", "" }, { 2, 5, 5, "thought", "ada" }, { 3, 5, 5, "plans", "ada" }, { 4, 5, 5, "thought", "bob" },
    { 5, 5, 5, "plans", "bob" }, { 6, 55, 55, "thought", "ada" }, { 7, 55, 55, "plans", "ada" }, { 8, 55, 55, "thought", "bob" },
    { 9, 55, 55, "plans", "bob" } })
  local late <close> = world:events { from = 8 }
  t.eq(late().n, 8)
end)

test("a slow reader loses the oldest, is told how many, and keeps nobody waiting", function(t)
  local world <close> = stoke.world { state = {}, step = function(_, here) here:emit("tick", here.tick) end }
  local slow <close> = world:events { cap = 3 }
  free(world, 2000)
  t.eq({ slow(), slow().n, slow().n, slow().n }, { { type = "gap", lost = 1997 }, 1998, 1999, 2000 })
  local late <close> = world:events { from = 1, cap = 5000 }
  t.eq(late(), { type = "gap", lost = 1000 })
  t.eq(late().n, 1001)
end)

test("an iteration over events ends with the world", function(t)
  local seen, world = {}, open()
  local scope <close> = stoke.scope {}
  local reader = scope:spawn(function()
    for event in world:events() do seen[#seen + 1] = event.type end
  end)
  stoke.sleep(0)
  free(world, 6)
  world:pause()
  world:close()
  reader:await()
  t.eq(seen, { "thought", "plans", "thought", "plans", "paused" })
end)

test("a thought may end the run with its error; the next run asks again, and nothing is logged of it", function(t)
  local broken, asked = true, 0
  local world <close> = stoke.world { name = "w", state = { members = { ada = {}, bob = {} } },
    step = function(member, here)
      if here.tick == 3 then here:think(member, "plan") end
    end,
    thoughts = { plan = {
      ask = function()
        asked = asked + 1
        if broken then stoke.raise("usage", "there is no such model", "pull it") end
        return "a plan"
      end,
      apply = function(member, answer) member.plan = answer end,
      stops = function(err) return err.kind == "usage" end } } }
  local err = t.raises("usage", world.run, world, { speed = "free", ticks = 10 })
  t.match(err.message, '^world "w": the thought "plan" of "%l+" failed: there is no such model$')
  t.eq({ err.hint, #world:inputs() }, { "pull it", 0 })
  broken = false
  t.eq(world:run { speed = "free", ticks = 10 }, "done")
  t.eq({ world:look("members", "ada", "plan"), world:look("members", "bob", "plan"), asked }, { "a plan", "a plan", 4 })
end)
