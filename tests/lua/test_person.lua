-- People in a world: stdlib/person.lua, on scripted models.
local person = require "stoke.person"
local mind = require "stoke.person.mind"
local persons = require "persons"
local json = require "stoke.json"
local scripted = require "scripted"
local stoke = require "stoke"
local test = require "stoke.test"

local HOUR <const> = 3600

--- All that the memories of people hold.
local function memories(people, world)
  local out = {}
  for id, memory in pairs(people.kept[world]) do
    local rows = memory:list { k = 10000 }
    table.sort(rows, function(x, y) return x.id < y.id end)
    out[id] = rows
  end
  return json.encode(out)
end

local function options(more)
  local o = { name = "town", seed = 7, start = 6 * HOUR }
  for name, value in pairs(more or {}) do o[name] = value end
  return o
end

local function finish(world, hours) world:run { speed = "free", until_time = hours * HOUR } end

local function count(list, kind)
  local n = 0
  for _, one in ipairs(list) do n = n + (one.kind == kind and 1 or 0) end
  return n
end

-- ---- a day ---------------------------------------------------------------------------------------------------------------------

--- Nobody is in two conversations, on a blocked tile or on another's, and one in a conversation has the word.
local function lawful(place, members)
  local tiles, talks = {}, {}
  for _, id in ipairs { "ada", "bob", "eve" } do
    local member = members[id]
    if not place:free(member.x, member.y) then return id .. " is on a blocked tile" end
    local tile = member.x .. "," .. member.y
    if tiles[tile] then return ("%s and %s are on one tile"):format(id, tiles[tile]) end
    tiles[tile] = id
    if member.room then
      for _, other in ipairs(member.room.members) do
        if talks[other] then return other .. " is in two conversations" end
        talks[other] = member.room.id
      end
    end
  end
  for id, member in pairs(members) do
    if member.talk ~= talks[id] then return ("%s is in %s, and not in %s"):format(id, talks[id], member.talk) end
  end
end

test("a day of three people: they plan, walk, meet, talk and sleep, and what must hold holds in each tick", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain)
  local wrong, seen = nil, {}
  local world <close> = stoke.world(people:world(options { after = function(state)
    wrong = wrong or lawful(people.place, state.members)
  end }))
  stoke.spawn(function()
    for event in world:events() do seen[event.type] = (seen[event.type] or 0) + 1 end
  end)
  finish(world, 24)
  t.eq(wrong, nil)
  t.eq({ count(brain.asked, "day"), count(brain.asked, "reflect") <= 3 }, { 3, true })
  t.ok(count(brain.asked, "turn") > 40, "turns")
  for _, kind in ipairs { "does", "said", "thinks", "talk", "talk over" } do t.ok((seen[kind] or 0) > 0, kind) end
  for _, id in ipairs { "ada", "bob", "eve" } do
    local member = world:look("members", id)
    t.eq({ member.asleep, member.talk }, { true, nil })
    t.eq(people.place:at(member.x, member.y), people.defs[id].home)
    t.ok(people.kept[world][id]:count() > 5, "memories")
  end
end)

test("going back and living on gives the same state and the same memories, and so do pauses", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options()))
  finish(world, 14)
  local at_noon = memories(people, world)
  finish(world, 23)
  local hash, kept = world:hash(), memories(people, world)
  world:back(14 * HOUR)
  t.eq(memories(people, world), at_noon)
  t.ne(kept, at_noon)
  for hours = 15, 23 do finish(world, hours) end
  t.eq(world:hash(), hash)
  t.eq(memories(people, world), kept)
  local other = persons.town(brain)
  local again <close> = stoke.world(other:world(options()))
  finish(again, 23)
  t.eq(again:hash(), hash)
  t.eq(memories(other, again), kept)
end)

test("a world in a file is lived on with its memories by who opens it next, and branches with them", function(t)
  local file = t.tmp() .. "/town.world"
  local brain <close> = persons.brain()
  local function open() return persons.town(brain), options { file = file } end
  local hash, kept
  do
    local people = persons.town(brain)
    local world <close> = stoke.world(people:world(options()))
    finish(world, 16)
    hash, kept = world:hash(), memories(people, world)
  end
  do
    local people, o = open()
    local world <close> = stoke.world(people:world(o))
    world:run { speed = "free", until_time = 12 * HOUR + 31 }
  end
  local people, o = open()
  local world <close> = stoke.world(people:world(o))
  finish(world, 16)
  t.eq(world:hash(), hash)
  t.eq(memories(people, world), kept)
  local branch <close> = world:branch { at = 10 * HOUR, file = t.tmp() .. "/branch.world" }
  finish(branch, 16)
  t.eq(branch:hash(), hash)
  t.eq(memories(people, branch), kept)
end)

test("a branch in memory takes the memories along, of a world in memory or in a file", function(t)
  local embed = require "meanings".letters
  for _, file in ipairs { false, t.tmp() .. "/town.world" } do
    local brain <close> = persons.brain()
    local people = persons.town(brain, { memory = { embed = embed } })
    local world <close> = stoke.world(people:world(options { file = file or nil }))
    finish(world, 16)
    local branch <close> = world:branch { at = 13 * HOUR }
    finish(branch, 16)
    t.eq(branch:hash(), world:hash())
    t.eq(memories(people, branch), memories(people, world))
  end
end)

test("who runs ahead lives the same day as in lock step", function(t)
  local brain <close> = persons.brain()
  local one, other = persons.town(brain), persons.town(brain)
  local lock <close> = stoke.world(one:world(options()))
  local free <close> = stoke.world(other:world(options { ahead = 600 }))
  finish(lock, 13)
  finish(free, 13)
  t.eq(free:hash(), lock:hash())
  t.eq(memories(other, free), memories(one, lock))
end)

-- ---- models that do not do what they should ------------------------------------------------------------------------------------

test("models that write nonsense make people who do nothing, and are told once", function(t)
  local brain <close> = persons.brain(function(asked) return asked.kind == "reflect" and "[]" or "I am a large language model." end)
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options()))
  finish(world, 12)
  local ada = world:look("members", "ada")
  t.eq(ada.mind.failed, "that is no JSON with a list of actions")
  t.eq(ada.feedback, { "that is no JSON with a list of actions" })
  t.match(brain.asked[#brain.asked].text, "^That did not work:\n%- that is no JSON with a list of actions\n")
  t.eq(ada.plan, { { from = 7 * HOUR, activity = "spending the day", place = "house" } })
end)

test("models that write malformed turns make legal people", function(t)
  local n = 0
  local brain <close> = persons.brain(function(asked)
    if asked.kind ~= "turn" then return nil end
    n = n + 1
    return persons.malformed(stoke.rand.new(n))
  end)
  local people = persons.town(brain, { every = 120, memory = false })
  local wrong
  local world <close> = stoke.world(people:world(options { after = function(state)
    wrong = wrong or lawful(people.place, state.members)
  end }))
  finish(world, 12)
  t.eq(wrong, nil)
  t.ok(n > 500, n .. " turns")
end)

test("a person is tried alone, and put among others", function(t)
  local brain <close> = persons.brain()
  local ada = stoke.person { id = "ada", name = "Ada", model = scripted.MODEL, endpoint = brain.url, home = "inn",
    routine = { { "08:00", "baking", "inn" } }, persona = "A baker." }
  t.eq(tostring(ada), "person ada")
  t.ok(ada:turn({ near = { { id = "bob", name = "Bob" } } }).actions[1])
  t.contains(ada:next_request().body, "A baker.")
  t.eq(brain.asked[1].names, { "REACH_OUT", "DO", "THINK", "DONE" })
  local people = person.people { place = persons.place(), ada }
  t.eq({ people.defs.ada.home, people.defs.ada.routine[1].place }, { "inn", "inn" })
  t.match(t.raises("argument", stoke.person, { id = "ada" }).message, "model is missing")
  t.match(t.raises("argument", ada.turn, ada, { kind = "fre" }).message, "the kind of a situation")
end)

test("an answer that was cut off is done as far as it goes", function(t)
  local brain <close> = persons.brain(function(asked)
    if asked.kind ~= "turn" then return nil end
    return { text = '{"actions": [{"action": "DO", "activity": "sweeping"}, {"action": "THINK", "thou', done_reason = "length" }
  end)
  local people = persons.town(brain)
  t.eq(people:turn("ada").actions, { { action = "DO", activity = "sweeping" } })
end)

test("where a model cannot be asked the day goes by the routine, and the world goes on", function(t)
  local brain <close> = persons.brain(function() return { error = "out of order", status = 500 } end)
  local people = persons.town(brain, { routine = { { "07:00", "milking", "square" }, { "12:00", "resting", "house" } } })
  local world <close> = stoke.world(people:world(options()))
  finish(world, 13)
  local ada = world:look("members", "ada")
  t.eq({ ada.doing, people.place:at(ada.x, ada.y) }, { "resting", "house" })
  t.match(ada.mind.failed, "out of order")
end)

test("where a server or a model is not there the run ends with that error, and the next run asks again", function(t)
  local there = false
  local brain <close> = persons.brain(function()
    if not there then return { error = "model 'x' not found", status = 404 } end
  end)
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options()))
  local err = t.raises("http", finish, world, 9)
  t.match(err.message, '^world "town": the thought "day" of "%l+" failed: model \'x\' not found')
  t.eq({ world:time() < 7 * HOUR + 30, #brain.asked }, { true, 3 })
  there = true
  finish(world, 9)
  t.ok(world:look("members", "ada", "plan")[3])
  local other = persons.town(brain)
  local unharmed <close> = stoke.world(other:world(options()))
  finish(unharmed, 9)
  t.eq(world:hash(), unharmed:hash())
  t.eq(memories(people, world), memories(other, unharmed))
end)

test("a server of another kind ends the run; a reply that is broken at some byte is one lost thought", function(t)
  for body, ends in pairs { ["<html>Welcome</html>"] = true, ['{"message":{"content":"a"}x'] = false } do
    local server <close> = stoke.http.serve { mem = "person-web" .. #body, handler = function(_, res)
      res:reply(200, { ["Content-Type"] = "text/html" }, body)
    end }
    local world <close> = stoke.world(persons.town({ url = "http://person-web" .. #body .. ".mem" }):world(options()))
    if ends then
      t.match(t.raises("protocol", finish, world, 8).message, '^world "town": .*HTML instead of JSON')
    else
      finish(world, 8)
      t.match(world:look("members", "ada", "mind", "failed"), "broken JSON")
    end
  end
end)

test("an attempt that failed leaves nothing in the memory of who tries again", function(t)
  local failures = 0
  local brain <close> = persons.brain(function(asked, n)
    if asked.kind == "turn" and n % 3 == 0 then
      failures = failures + 1
      return { error = "busy", status = 503 }
    end
  end)
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options { retries = 20 }))
  finish(world, 10)
  t.ok(failures > 5)
  local calm <close> = persons.brain()
  local other = persons.town(calm)
  local unharmed <close> = stoke.world(other:world(options()))
  finish(unharmed, 10)
  t.eq(world:hash(), unharmed:hash())
  t.eq(memories(people, world), memories(other, unharmed))
end)

-- ---- turns ---------------------------------------------------------------------------------------------------------------------

local BOB = { id = "bob", name = "Bob", doing = "reading" }

test("a turn is told who, where, when, who is near, and what can be done", function(t)
  local brain <close> = persons.brain()
  persons.town(brain):turn("ada", { near = { BOB }, time = 9 * HOUR + 300, news = { { text = "The bell rang.", time = 0,
    importance = 3 } }, feedback = { "GO: the door was locked" }, mood = "tired" })
  local asked = brain.asked[1]
  t.match(asked.system, "^You are Ada, a person%. You are not an assistant%.\nAge: 41%. Job: baker%. Traits: kind, stubborn%.\n")
  t.contains(asked.text, "It is 09:05 on day 1. You are at: house. You are doing: nothing. You feel tired.")
  t.contains(asked.text, "Near you: Bob (reading).")
  t.contains(asked.text, "What happened:\n- The bell rang.")
  t.contains(asked.text, "Your last attempt did not work:\n- GO: the door was locked")
  t.contains(asked.text, "- REACH_OUT (to: Bob, text): begin to talk with somebody near")
  t.eq(asked.names, { "REACH_OUT", "GO", "DO", "THINK", "DONE" })
end)

test("what is memorable is in the request, as a note of the user's side, those of strangers marked", function(t)
  local brain <close> = persons.brain(function(asked)
    if asked.kind == "turn" then return '{"actions": [{"action": "DONE"}]}' end
  end)
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options { start = 8 * HOUR }))
  world:send("tell", { text = "The mill is haunted.", importance = 9 }, { member = "ada" })
  finish(world, 9)
  world:send("tell", { text = "What about the mill?" }, { member = "ada" })
  world:run { speed = "free", ticks = 130 }
  local last
  for _, asked in ipairs(brain.asked) do
    if asked.who == "Ada" and asked.kind == "turn" then last = asked end
  end
  t.contains(last.text, "You remember:\n")
  t.match(last.text, "%- %(%w+ %w+ ?%w*%) The mill is haunted%.")
  t.eq(last.system:find("haunted", 1, true), nil)
  local seen = world:look("members", "ada", "mind")
  t.eq(seen.request, ("[system]\n%s\n\n[user]\n%s"):format(last.system, last.text)) -- all that the model read
  t.ok(seen.found[1].score > 0 and seen.found[1].recency <= 1)
end)

test("what a question tells anyway is not among what is remembered: the latest news, the plan", function(t)
  local brain <close> = persons.brain()
  local def, memory <close> = persons.town(brain).defs.ada, stoke.memory(nil)
  local q = { kind = "free", near = {}, feedback = {}, places = { "mill" }, news = {},
    plan = { { from = 8 * HOUR, activity = "grind the corn", place = "mill" } }, item = 1 }
  memory:add_all { { text = "My plan for today: grind the corn", created = 7 * HOUR, now = 7 * HOUR },
    { text = "Bread is baked at night.", created = 7 * HOUR, now = 7 * HOUR } }
  for i = 1, def.limits.news + 1 do q.news[i] = { text = "Bell " .. i .. " rang.", time = 8 * HOUR + i, importance = 3 } end
  local function seen(time)
    mind.turn(def, q, time, memory)
    local lines = {}
    for line in brain.asked[#brain.asked].text:match "You remember:\n(.-)\n\n":gmatch "%) ([^\n]+)" do lines[#lines + 1] = line end
    table.sort(lines)
    return lines
  end
  t.eq(seen(9 * HOUR), { "Bell 1 rang.", "Bread is baked at night." }) -- the first bell is no more among the news
  q.news, q.kind, q.lines, q.others, q.since = {}, "talk", {}, { { id = "bob", name = "Bob" } }, 10 * HOUR
  t.eq(#seen(10 * HOUR), def.limits.memories) -- in a conversation the plan is not told: all is remembered that fits
end)

test("what cannot be done any more when the answer comes is told next time", function(t)
  local brain <close> = persons.brain(function(asked)
    if asked.kind ~= "turn" then return nil end
    return asked.names[1] == "REACH_OUT" and '{"actions": [{"action": "REACH_OUT", "to": "Bob", "text": "Hello"}]}'
      or '{"actions": [{"action": "DONE"}]}'
  end)
  local people = persons.town(brain, { memory = false })
  local ada = person.record { id = "ada", name = "Ada", x = 2, y = 6 }
  local answer = { kind = "free", actions = { { action = "REACH_OUT", to = "Bob", text = "Hello" } }, problems = {},
    mind = { found = {}, request = "", answer = "" } }
  local here = { time = 0, tick = 0, near = function() return {} end, member = function() end }
  people.thoughts.turn.apply(ada, answer, here)
  t.eq(ada.feedback, { "REACH_OUT: Bob is not near any more" })
  ada.talk = nil
  answer.kind, answer.talk, answer.problems = "talk", "ada@5", {}
  answer.actions = { { action = "TALK", text = "So" }, { action = "LEAVE", text = "Bye" } }
  people.thoughts.turn.apply(ada, answer, here)
  t.eq(ada.feedback, { "TALK: the conversation is over", "LEAVE: the conversation is over" })
end)

test("a world's own actions are done where they can be, and both remember", function(t)
  local given = {}
  local brain <close> = persons.brain(function(asked)
    if asked.kind ~= "turn" then return nil end
    if asked.who == "Ada" and asked.names[#asked.names - 1] == "GIVE" then
      return '{"actions": [{"action": "GIVE", "to": "Bob", "what": "a loaf"}]}'
    end
    return '{"actions": [{"action": "DONE"}]}'
  end)
  local people = persons.town(brain, { plan = false, actions = { GIVE = { description = "give something",
    params = { to = "near", what = "string 1..30" },
    check = function(member) return not member.poor, "you have nothing left" end,
    apply = function(member, args)
      member.poor, given[#given + 1] = true, args.what .. " to " .. args.to.name
      return "I gave Bob a loaf.", "Ada gave me a loaf."
    end } },
    [2] = { id = "bob", name = "Bob", home = "house" } })
  local world <close> = stoke.world(people:world(options { start = 7 * HOUR }))
  finish(world, 8)
  t.eq(given, { "a loaf to Bob" })
  world:send("broadcast", { text = "Be generous!" })
  world:run { speed = "free", ticks = 120 }
  t.eq(world:look("members", "ada").feedback, { "GIVE: you have nothing left" })
  t.eq(given[2], nil)
  local function remembers(id) return people.kept[world][id]:search("loaf", { touch = false, now = 8 * HOUR })[1].text end
  t.eq({ remembers "ada", remembers "bob" }, { "I gave Bob a loaf.", "Ada gave me a loaf." })
end)

-- ---- the plan of a day ---------------------------------------------------------------------------------------------------------


test("a plan is bound to half hours, places and the activities of a place", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain, { wake = "08:00", sleep = "10:00", activities = { mill = { "grinding", "sweeping" } } })
  local def = people.defs.ada
  local shape = mind.day_shape(def, people.places)
  local text = json.encode(shape:format())
  t.contains(text, '"enum":["08:00","08:30","09:00","09:30"]')
  t.contains(text, '"activity":{"enum":["grinding","sweeping"]')
  local function read(plan) return mind.read_day(def, shape, json.encode { plan = plan }) end
  t.eq(read { { from = "09:30", place = "inn", activity = "eating" }, { from = "08:30", place = "mill", activity = "grinding" },
    { from = "08:30", place = "inn", activity = "drinking" } },
    { { from = 8 * HOUR, place = "mill", activity = "grinding" }, { from = 9 * HOUR + 1800, place = "inn", activity = "eating" } })
  t.match(select(2, read { { from = "08:30", place = "moon", activity = "x" } }), "expected")
  t.match(select(2, mind.read_day(def, shape, "no plan")), "no JSON")
end)

test("who sleeps by day is awake at night", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain, { wake = "20:00", sleep = "04:00", memory = false })
  local world <close> = stoke.world(people:world(options { start = 10 * HOUR }))
  finish(world, 11)
  t.eq(world:look("members", "ada").asleep, true)
  finish(world, 27)
  t.eq({ world:look("members", "ada").asleep, count(brain.asked, "day") }, { nil, 3 })
  finish(world, 29)
  t.eq(world:look("members", "ada").asleep, true)
end)

-- ---- from outside --------------------------------------------------------------------------------------------------------------

test("a player joins, speaks to who is near, is answered, and leaves", function(t)
  local brain <close> = persons.brain(function(asked)
    if asked.kind ~= "turn" then return nil end
    if asked.names[1] == "ACCEPT" then return '{"actions": [{"action": "ACCEPT", "text": "Hello, stranger."}]}' end
    return '{"actions": [{"action": "DONE"}]}'
  end)
  local people = persons.town(brain, { plan = false })
  local world <close> = stoke.world(people:world(options { start = 8 * HOUR }))
  local function ask(name, args, member)
    local number = world:send(name, args, { member = member })
    world:run { speed = "free", ticks = 2 }
    local row = world:result(number)
    return row.error and row.error.message or row.result
  end
  local id = ask("join", { name = "Zoe", at = "house" }).id
  t.eq({ id, world:look("members", id).player }, { "zoe", true })
  t.match(ask("join", { name = "Zoe" }), "there is a Zoe already")
  t.match(ask("join", { name = " " }), "name is empty")
  t.match(ask("say", { text = "Hi" }, "ada"), "Ada is not played by anybody")
  t.eq(ask("say", { text = "Hi there!" }, id), nil)
  t.eq(world:look("members", "ada").talk, world:look("members", id).talk)
  world:run { speed = "free", ticks = 180 }
  local lines = world:look("members", id, "room", "lines")
  t.eq(lines[#lines].text, "Hello, stranger.")
  t.match(people.kept[world].ada:search("Zoe", { touch = false, now = 9 * HOUR })[1].origin, "stranger")
  t.eq(ask("hang_up", nil, id), nil)
  t.eq(world:look("members", "ada").talk, nil)
  t.eq(ask("walk", { to = "square" }, id), nil)
  world:run { speed = "free", ticks = 60 }
  t.eq(people.place:at(world:look("members", id).x, world:look("members", id).y), "square")
  t.match(ask("say", { text = "Anybody?" }, id), "nobody is near")
  t.match(ask("walk", {}, id), "say where to")
  t.eq(ask("leave", { id = id }), nil)
  t.eq(world:look("members", id), nil)
  t.match(ask("leave", { id = "ada" }), "not played by anybody")
end)

test("what all are told, each thinks about at the next beat", function(t)
  local brain <close> = persons.brain(function(asked)
    if asked.kind == "turn" then return '{"actions": [{"action": "DONE"}]}' end
  end)
  local people = persons.town(brain, { plan = false })
  local world <close> = stoke.world(people:world(options { start = 8 * HOUR }))
  world:run { speed = "free", ticks = 300 }
  local before = #brain.asked
  world:send("broadcast", { text = "The mill is on fire!" })
  world:run { speed = "free", ticks = 120 }
  t.eq(#brain.asked, before + 3)
  for i = before + 1, before + 3 do t.contains(brain.asked[i].text, "- The mill is on fire!") end
end)

test("what a person thinks can be looked at, now and as it was", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain)
  local world <close> = stoke.world(people:world(options()))
  finish(world, 10)
  local before = people.view.mind(world, "ada")
  t.match(before.persona, "baker")
  t.ok(before.plan[1] and before.request and before.answer and before.memories[1].score)
  finish(world, 15)
  local then_ = people.view.mind(world, "ada", 10 * HOUR)
  t.eq({ then_.request, then_.plan }, { before.request, before.plan })
  t.eq(people.view.mind(world, "nobody"), nil)
end)

-- ---- definitions ---------------------------------------------------------------------------------------------------------------

test("personas are fields, a text, fragments and a file", function(t)
  local persona = require "stoke.person.persona"
  local file = t.tmp() .. "/ada.txt"
  stoke.fs.write(file, "She was born at sea.\n")
  t.eq(persona.text("x", { zodiac = "lion", job = "baker", age = 41, traits = { "kind", "shy" }, text = " A quiet one. ",
    "She has a dog.", file = file }),
    "Age: 41. Job: baker. Traits: kind, shy. Zodiac: lion.\nA quiet one.\nShe has a dog.\nShe was born at sea.")
  t.eq({ persona.text("x", "A smith."), persona.text("x", nil) }, { "A smith.", "" })
  local function refused(given) return t.raises("argument", persona.text, "ada: persona", given).message end
  t.match(refused { job = {} }, "ada: persona%.job must be a text, a number or a list")
  t.match(refused { "" }, "ada: persona%[1%] must be a text")
  t.match(refused { [3] = "x" }, "has the key 3")
  t.match(refused { ("x"):rep(9000) }, "9000 bytes, 8192 at most")
  t.raises("os", persona.text, "x", { file = file .. "x" })
end)

test("tiers go by the size in the model's name", function(t)
  local words = require "stoke.person.words"
  for model, tier in pairs { ["qwen2.5:3b"] = "small", ["llama3.1:8b"] = "large", ["gemma3:270m"] = "small", ["qwen3:1.7b-q4"] =
    "small", ["gpt-oss:120b"] = "large", tutor = "small", ["phi4-mini:3.8b"] = "small", ["Qwen2.5-7B-Instruct"] = "large" } do
    t.eq(words.tier(model), tier, model)
  end
  t.eq({ words.clock(29100), words.seconds "08:05", words.seconds "24:00", words.seconds "noon" }, { "08:05", 29100, nil, nil })
end)

test("texts are replaced, and explain shows the request and all that may be said", function(t)
  local brain <close> = persons.brain()
  local people = persons.town(brain, { texts = { person_who = "Play {name}. {persona}" } })
  local made = people:next_request("bob", { near = { { id = "ada", name = "Ada" } } })
  t.contains(made.body, "Play Bob. A smith who likes to argue.")
  t.eq(made.texts[1], { name = "person_who", text = "Play {name}. {persona}" })
  t.eq(#brain.asked, 0)
  t.match(t.raises("argument", people.explain, people, "bobb").message, 'there is no "bobb" %(did you mean bob%?%)')
end)

test("what is wrong in a definition is said when it is given", function(t)
  local place = persons.place()
  local function refused(given) return t.raises("argument", person.people, given).message end
  local function one(more)
    local given = { id = "ada", home = "house", model = scripted.MODEL }
    for name, value in pairs(more) do given[name] = value end
    return refused { place = place, given }
  end
  t.match(refused {}, "there is nobody")
  t.match(refused { { id = "ada" } }, "model is missing")
  t.match(one { id = "a b" }, "the id must be letters")
  t.match(one { home = "mil" }, "no spot \"mil\" %(did you mean mill%?%)")
  t.match(one { wake = "25:00" }, "wake must be a time of day")
  t.match(one { tier = "huge" }, "tier must be")
  t.match(one { turn_actions = 16 }, "from 1 to 15")
  t.match(one { routine = { { "08:00" } } }, "routine%[1%] must be")
  t.match(one { texts = { person_wo = "x" } }, "did you mean person_who")
  t.match(one { personna = {} }, "did you mean persona")
  t.match(one { options = { temprature = 1 } }, "did you mean temperature")
  t.match(one { think = 5 }, "think")
  t.match(refused { model = "m", { id = "ada" }, { id = "ada" } }, "two people have the id ada")
  t.match(refused { model = "m", { id = "ada", name = "Ada" }, { id = "bob", name = "Ada" } }, "two people are named Ada")
  t.match(refused { model = "m", talk = { turn = 3 }, { id = "ada" } }, "did you mean turns")
  t.match(refused { model = "m", home = "inn", routine = { { "08:00", "x", "inn" } }, { id = "ada" } }, "have no place")
end)
