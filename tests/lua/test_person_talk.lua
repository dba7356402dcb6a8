-- Conversations: stdlib/person/talk.lua, on plain records.
local person = require "stoke.person"
local record = require "stoke.person.record"
local stoke = require "stoke"
local talk = require "stoke.person.talk"
local test = require "stoke.test"

local LIMITS = talk.LIMITS

--- People at one place, and what a step sees of them.
local function people(...)
  local members = {}
  for _, name in ipairs { ... } do members[name:lower()] = person.record { id = name:lower(), name = name } end
  local here = { time = 0, tick = 0, events = {} }
  function here.member(_, id) return members[id] end
  function here:emit(kind, data) self.events[#self.events + 1] = { kind, data } end
  return members, here
end

local function lines(room)
  local out = {}
  for i, one in ipairs(room.lines) do out[i] = one.name .. ": " .. one.text end
  return out
end

local function last_event(here) return here.events[#here.events] end

test("two talk: one reaches out, the other accepts, they speak in turn, one leaves", function(t)
  local m, here = people("Ada", "Bob")
  local ada, bob = m.ada, m.bob
  t.ok(talk.open(ada, bob, "Good morning!", here, LIMITS))
  local room = ada.room
  t.eq({ ada.talk, bob.talk, bob.host }, { "ada@0", "ada@0", "ada" })
  t.eq({ talk.invited(room, bob), room.speaker }, { true, nil })
  t.ok(talk.accept(bob, "Hello, Ada.", here))
  t.eq({ talk.invited(room, bob), room.speaker }, { false, "ada" })
  t.eq({ talk.say(bob, "And?", here) }, { false, "it is not your turn" })
  t.ok(talk.say(ada, "How are you?", here))
  t.eq(room.speaker, "bob")
  here.time = 60
  t.ok(talk.leave(bob, "Well. Goodbye!", here))
  t.eq(lines(room), { "Ada: Good morning!", "Bob: Hello, Ada.", "Ada: How are you?", "Bob: Well. Goodbye!" })
  t.eq({ ada.talk, bob.talk, ada.room, ada.host, ada.resume }, { nil, nil, nil, nil, true })
  t.eq({ ada.met.bob, bob.met.ada }, { 60, 60 })
  t.eq(last_event(here), { "talk over", { talk = "ada@0", why = "left", count = 4 } })
end)

test("what is said is heard by all who are in it, and remembered by who said it", function(t)
  local m, here = people("Ada", "Bob")
  talk.open(m.ada, m.bob, "Good morning!", here, LIMITS)
  t.eq(m.bob.news[1].text, "Ada said: Good morning!")
  t.eq(m.bob.news[1].origin, "agent")
  t.eq(m.ada.news[1].text, "I said to Bob: Good morning!")
  t.eq(m.ada.said, { text = "Good morning!", time = 0, to = "bob" })
end)

test("who is invited may decline", function(t)
  local m, here = people("Ada", "Bob")
  talk.open(m.ada, m.bob, "Have you a minute?", here, LIMITS)
  t.ok(talk.decline(m.bob, "Not now.", here))
  t.eq({ m.ada.talk, m.bob.talk, m.ada.room }, { nil, nil, nil })
  t.eq(m.ada.news[2].text, "Bob said: Not now.")
  t.eq({ talk.decline(m.bob, nil, here) }, { false, "nobody is waiting for that" })
end)

test("nobody is in two conversations: who talks cannot open another, who is spoken to is spoken to once", function(t)
  local m, here = people("Ada", "Bob", "Eve")
  t.ok(talk.open(m.ada, m.bob, "Hi", here, LIMITS))
  t.eq({ talk.open(m.ada, m.eve, "Hi", here, LIMITS) }, { false, "you are in a conversation already" })
  t.eq({ talk.open(m.bob, m.eve, "Hi", here, LIMITS) }, { false, "you are in a conversation already" })
  t.eq({ talk.open(m.eve, m.bob, "Hi", here, LIMITS) }, { false, "Bob is just being spoken to" })
  m.eve.asleep = true
  local more = person.record { id = "joe", name = "Joe" }
  t.eq({ talk.open(more, m.eve, "Hi", here, LIMITS) }, { false, "Eve is asleep" })
  t.eq({ talk.open(more, more, "Hi", here, LIMITS) }, { false, "you cannot talk with yourself" })
end)

test("a third joins who is talking, and has the word when it is passed on", function(t)
  local m, here = people("Ada", "Bob", "Eve")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  talk.accept(m.bob, "Hi Ada", here)
  t.ok(talk.open(m.eve, m.bob, "What do you talk about?", here, LIMITS))
  local room = m.ada.room
  t.eq(room.members, { "ada", "bob", "eve" })
  t.eq({ m.eve.talk, m.eve.host, room.speaker }, { "ada@0", "ada", "ada" })
  talk.say(m.ada, "Bread.", here)
  talk.say(m.bob, "And flour.", here)
  t.eq(room.speaker, "eve")
  talk.say(m.eve, "Bob, is it good?", here, "bob")
  t.eq(room.speaker, "bob") -- who was spoken to
  m.joe, m.kim = person.record { id = "joe", name = "Joe" }, person.record { id = "kim", name = "Kim" }
  t.ok(talk.open(m.joe, m.ada, "Hi", here, LIMITS))
  t.eq({ talk.open(m.kim, m.ada, "Hi", here, LIMITS) }, { false, "too many people talk there" })
end)

test("where the host leaves, another one holds the conversation", function(t)
  local m, here = people("Ada", "Bob", "Eve")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  talk.accept(m.bob, "Hi Ada", here)
  talk.open(m.eve, m.ada, "Hello", here, LIMITS)
  local room = m.ada.room
  t.ok(talk.leave(m.ada, "I must go.", here))
  t.eq({ m.ada.talk, m.ada.room }, { nil, nil })
  t.eq({ m.bob.room, m.bob.host, m.eve.host, m.eve.talk }, { room, "bob", "bob", "ada@0" })
  t.ok(room.speaker == "bob" or room.speaker == "eve")
  t.ok(talk.say(m[room.speaker], "So.", here))
end)

test("those who have walked out of sight of each other are let go all the same", function(t)
  for _, leaves in ipairs { "ada", "bob", "eve" } do
    local m, here = people("Ada", "Bob", "Eve")
    talk.open(m.ada, m.bob, "Hi", here, LIMITS)
    talk.accept(m.bob, "Hi Ada", here)
    talk.open(m.eve, m.ada, "Hello", here, LIMITS)
    function here:member(id) -- as a world of which they are farther apart than its reach
      local one, other = m[leaves], m[id]
      return (one == other or one.talk ~= nil and one.talk == other.talk) and other or nil
    end
    t.ok(talk.leave(m[leaves], nil, here), leaves)
    local left = leaves == "ada" and { "bob", "eve" } or leaves == "bob" and { "ada", "eve" } or { "ada", "bob" }
    t.eq({ m[leaves].talk, m[leaves].room }, { nil, nil })
    t.eq({ m[left[1]].host, m[left[2]].host, m[left[1]].room ~= nil }, { left[1], left[1], true }, leaves)
    leaves = left[1]
    t.ok(talk.leave(m[leaves], nil, here), leaves)
    t.eq({ m[left[1]].talk, m[left[2]].talk, m[left[1]].room, m[left[2]].room }, { nil, nil, nil, nil }, leaves)
  end
end)

test("where nobody says anything any more, it is over", function(t)
  local m, here = people("Ada", "Bob")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  talk.accept(m.bob, "Hi", here)
  t.eq(talk.silent(m.bob, here, LIMITS), false) -- it has not the word
  t.ok(talk.silent(m.ada, here, LIMITS))
  t.eq(m.ada.room.speaker, "bob")
  t.ok(talk.silent(m.bob, here, LIMITS))
  t.eq({ m.ada.talk, last_event(here)[2].why }, { nil, "silence" })
end)

test("it ends after so many turns, after so long, and where an invitation is not answered", function(t)
  for _, case in ipairs { { "turns", { turns = 3 }, 60 }, { "time", { seconds = 100 }, 120 } } do
    local m, here = people("Ada", "Bob")
    local limits = setmetatable(case[2], { __index = LIMITS })
    talk.open(m.ada, m.bob, "Hi", here, limits)
    talk.accept(m.bob, "Hi", here)
    talk.keep(m.ada, here, limits)
    t.ok(m.ada.talk)
    talk.say(m.ada, "So", here)
    here.time = case[3]
    talk.keep(m.ada, here, limits)
    t.eq({ m.ada.talk, m.bob.talk, last_event(here)[2].why }, { nil, nil, case[1] })
  end
  local m, here = people("Ada", "Bob")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  here.time = 299
  talk.keep(m.ada, here, LIMITS)
  t.ok(m.bob.talk)
  here.time = 300
  talk.keep(m.ada, here, LIMITS)
  t.eq({ m.bob.talk, last_event(here)[2].why }, { nil, "no answer" })
end)

test("a player takes part at once, speaks when it likes, and is waited for so long", function(t)
  local m, here = people("Ada", "Bob")
  m.bob.player = true
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  t.eq({ talk.invited(m.ada.room, m.bob), m.ada.room.speaker }, { false, "bob" })
  talk.say(m.bob, "Hello", here)
  t.eq(m.ada.room.speaker, "ada")
  t.ok(talk.say(m.bob, "Are you there?", here))
  t.eq(m.ada.room.speaker, "ada") -- who has the word keeps it
  t.eq(m.ada.news[#m.ada.news].origin, "stranger")
  talk.say(m.ada, "Yes", here)
  here.time = 300
  talk.keep(m.ada, here, LIMITS)
  t.eq(m.ada.room.speaker, "ada")
end)

test("who walks there is waited for", function(t)
  local m, here = people("Ada", "Bob")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  talk.accept(m.bob, "Hi", here)
  t.eq({ talk.turn(m.ada, here), talk.turn(m.bob, here) }, { true, false })
  m.bob.walk = { to = { x = 1, y = 1 } }
  t.eq(talk.turn(m.ada, here), false)
end)

test("news are kept up to a limit: what matters least goes first", function(t)
  local ada = person.record { id = "ada", name = "Ada" }
  for i = 1, 60 do record.note(ada, "news " .. i, i, i % 10 == 0 and 9 or 2) end
  t.eq(#ada.news, record.NEWS)
  local great = 0
  for _, one in ipairs(ada.news) do great = great + (one.importance == 9 and 1 or 0) end
  t.eq({ great, ada.news[#ada.news].text }, { 6, "news 60" })
  record.note(ada, ("x"):rep(5000), 1, 10)
  t.ok(#ada.news[record.NEWS].text < 1000)
end)

-- ---- far from each other --------------------------------------------------------------------------------------------------------

--- What a step sees in a world: who is stepped, those who are near it, and those in its conversation.
local function from(here, m, id)
  local current = m[id]
  function here.member(_, other)
    other = m[other]
    if not other or other == current or record.distance(current, other) <= 3 then return other end
    return current.talk and other.talk == current.talk and other or nil
  end
end

local function three()
  local m, here = people("Ada", "Bob", "Eve")
  talk.open(m.ada, m.bob, "Hi", here, LIMITS)
  talk.accept(m.bob, "Hi Ada", here)
  talk.open(m.eve, m.ada, "Hello", here, LIMITS)
  m.ada.x, m.bob.x = 50, 100
  return m, here
end

test("a conversation is over for all who are in it, however far they are from each other", function(t)
  for _, case in ipairs { { "eve", "leave" }, { "bob", "leave" }, { "ada", "turns" } } do
    local m, here = three()
    from(here, m, case[1])
    if case[2] == "leave" then
      local other = case[1] == "eve" and "bob" or "eve"
      talk.leave(m[case[1]], nil, here)
      t.eq({ m[case[1]].talk, m.ada.talk, m[other].talk }, { nil, "ada@0", "ada@0" })
      from(here, m, other)
      talk.leave(m[other], nil, here)
    else
      talk.keep(m.ada, here, setmetatable({ turns = 1 }, { __index = LIMITS }))
    end
    for id, member in pairs(m) do t.eq({ id, member.talk, member.host, member.room }, { id, nil, nil, nil }) end
  end
end)

test("where the host leaves from far away, another one holds the conversation", function(t)
  local m, here = three()
  local room = m.ada.room
  from(here, m, "ada")
  t.ok(talk.leave(m.ada, nil, here))
  t.eq({ m.ada.talk, m.ada.room }, { nil, nil })
  t.eq({ m.bob.room, m.bob.host, m.eve.host }, { room, "bob", "bob" })
end)

test("who has walked away from the host has left, once it stands", function(t)
  local m, here = three()
  from(here, m, "ada")
  m.ada.x, m.eve.x, m.bob.x, m.bob.walk = 1, 12, 13, { to = { x = 40, y = 1 } }
  talk.keep(m.ada, here, LIMITS)
  t.eq({ m.bob.talk, m.eve.talk }, { "ada@0", "ada@0" })
  m.bob.walk = {} -- it only makes way
  talk.keep(m.ada, here, LIMITS)
  t.eq({ m.bob.talk, m.eve.talk, m.ada.room.members }, { nil, "ada@0", { "ada", "eve" } })
end)

test("who is taken out of the world is out of the conversation, and so are all, where it held it", function(t)
  local m, here = three()
  m.ada.x, m.bob.x, m.eve = 1, 1, nil
  from(here, m, "ada")
  talk.keep(m.ada, here, LIMITS)
  t.eq(m.ada.room.members, { "ada", "bob" })
  m.ada = nil
  from(here, m, "bob")
  talk.recover(m.bob, here)
  t.eq({ m.bob.talk, m.bob.host, m.bob.resume }, { nil, nil, true })
end)

test("in a world, a player who walks away and hangs up leaves nobody in the conversation", function(t)
  local place = stoke.place { map = "h" .. ("."):rep(30), spots = { h = "house" } }
  local town = stoke.person.people { place = place, model = "m", memory = false, plan = false, home = "house",
    talk = { apart = 1000 }, { id = "ada", name = "Ada" } }
  local def = town:world { name = "town" }
  for _, thought in pairs(def.thoughts) do thought.ask = function() stoke.time.sleep(1e6) end end
  local world <close> = stoke.world(def)
  local function act(name, args, member)
    local number = world:send(name, args, { member = member })
    world:run { ticks = 40, speed = "free" }
    t.eq(world:result(number).error, nil)
  end
  act("join", { name = "Pat", x = 2, y = 1 })
  act("join", { name = "Quin", x = 3, y = 1 })
  act("say", { text = "Hi", to = "Quin" }, "pat")
  act("walk", { x = 30, y = 1 }, "pat")
  t.eq({ world:look("members", "pat", "x"), world:look("members", "quin", "talk") ~= nil }, { 30, true })
  act("hang_up", nil, "pat")
  t.eq({ world:look("members", "pat", "talk"), world:look("members", "quin", "talk") }, {})
end)

-- ---- any order of anything -----------------------------------------------------------------------------------------------------

--- What must hold of all at any time.
local function check(t, m, what)
  local rooms = {}
  for id, member in pairs(m) do
    if member.room then
      t.eq({ member.host, member.talk }, { id, member.room.id }, what)
      t.eq(rooms[member.room.id], nil, what) -- one holds it
      rooms[member.room.id] = member.room
    end
  end
  local seen = {}
  for id, room in pairs(rooms) do
    t.ok(#room.members >= 2 and #room.members <= LIMITS.members, what)
    for _, one in ipairs(room.members) do
      t.eq(seen[one], nil, what) -- nobody is in two, nor twice in one
      seen[one] = id
      t.eq(m[one].talk, id, what)
      t.eq(m[m[one].host].room, room, what)
    end
    if room.speaker then
      t.eq(m[room.speaker].talk, id, what)
      t.eq(room.waiting[room.speaker], nil, what)
    end
    for one in pairs(room.waiting) do t.eq(seen[one], id, what) end
  end
  for id, member in pairs(m) do t.eq(member.talk, seen[id], what) end
end

test("whatever is done in whatever order, nobody is in two conversations, and one has the word", function(t)
  for seed = 1, 30 do
    local m, here = people("Ada", "Bob", "Eve", "Joe", "Kim", "Lea")
    local random, ids = stoke.rand.new(seed), { "ada", "bob", "eve", "joe", "kim", "lea" }
    m.lea.player = true
    local said = 0
    for i = 1, 400 do
      here.time = here.time + random:int(0, 40)
      local one, other = m[ids[random:int(1, 6)]], m[ids[random:int(1, 6)]]
      local room = talk.room(one, here)
      local pick = random:int(1, 8)
      if pick <= 2 then talk.open(one, other, "Hi " .. i, here, LIMITS)
      elseif pick == 3 then talk.accept(one, random:int(1, 2) == 1 and "Yes " .. i or nil, here)
      elseif pick == 4 then talk.decline(one, "No " .. i, here)
      elseif pick == 5 then talk.leave(one, random:int(1, 2) == 1 and "Bye " .. i or nil, here)
      elseif pick == 6 then talk.silent(one, here, LIMITS)
      elseif pick == 7 and one.room then talk.keep(one, here, LIMITS)
      elseif room and talk.say(one, "So " .. i, here, other.id) then said = said + 1 end
      check(t, m, ("seed %d, step %d"):format(seed, i))
    end
    t.ok(said > 5, ("seed %d: nobody talks"):format(seed))
  end
end)
