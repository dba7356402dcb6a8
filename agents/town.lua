#!/usr/bin/env stoke
-- town.lua: a day in a small town. Ten people on three models get up, plan their day, walk, work, talk with whom they meet, and
-- remember it. The town is kept in a file: run again, it goes on where it was, also after a kill. With --watch-at it is watched in
-- a browser, where you can stop it, go back in time, look into a mind, and walk in yourself.
-- Needs: an Ollama with three small models (one will do): stoke pull qwen2.5:3b; or --sim, as below.
-- Try:   stoke agents/town.lua --sim=tests/agents/town.lua --hours 4
--        stoke agents/town.lua --watch-at 8080 --speed 60
--        stoke agents/town.lua --days 2 --news "The bridge is closed." --file mytown.world

local stoke = require "stoke"
local args = require "stoke.args"
local ollama = require "stoke.ollama"
local term = require "stoke.term"

local HOUR <const>, BEGIN <const> = 3600, 6 * 3600

local function positive(n) return n > 0 and n or error("it must be above 0", 0) end
local function speed(word) return word == "free" and word or positive(tonumber(word) or error("a number, or free", 0)) end

local SPEC = {
  name = "town.lua", summary = "A day of ten people in a small town.",
  examples = { { "town.lua --sim --hours 4", "the first four hours, without a model" },
               { "town.lua --watch-at 8080 --speed 60", "a minute a second, in a browser" } },
  options = { { "days", default = 1, convert = positive, help = "until so many days have passed" },
              { "hours", type = "number", convert = positive, help = "the same in hours" },
              { "speed", default = "free", convert = speed, help = "seconds of the town in a second, or free: as fast as can be" },
              { "models", help = "who thinks for them, with commas; without it the three newest" },
              { "file", default = "town.world", help = "where the town is kept; \"\" keeps nothing" },
              { "town", default = 1, help = "which one: the seed of what happens by chance" },
              { "news", help = "something that everybody hears at once" } },
}

local PLACE = stoke.place {
  spots = { B = "bakery", I = "inn", L = "library", K = "market", S = "square", C = "chapel", P = "park", W = "workshop",
    E = "school", ["1"] = "house 1", ["2"] = "house 2", ["3"] = "house 3", ["4"] = "house 4", ["5"] = "house 5" },
  map = [[
    ########################################
    #BBBB#1111#..#2222#....#IIIIII#..#LLLL.#
    #BBBB#1111#..#2222#....#IIIIII#..#LLLL.#
    #BB..#1111#..#2222#....#IIII..#..#LLLL.#
    ##..###..##..##..##....##..####..##..###
    #......................................#
    #......................................#
    #..KKKKKK.....SSSSSSSS.....###..PPPPPP.#
    #..KKKKKK.....SSS##SSS.....#C#..PPPPPP.#
    #..KKKKKK.....SSS##SSS.....#CC..PP##PP.#
    #..KKKKKK.....SSSSSSSS.....#C#..PPPPPP.#
    #..........................###.........#
    #......................................#
    ##..###..##..##..##....##..####..##..###
    #WW..#3333#..#4444#....#5555#..#EEEEEE.#
    #WWWW#3333#..#4444#....#5555#..#EEEEEE.#
    #WWWW#3333#..#4444#....#5555#..#EEEEEE.#
    ########################################]],
}

-- name, age, job, house, what they are like
local PEOPLE = {
  { "Ada", 41, "baker", 1, "up before everybody, and proud of the bread" },
  { "Ben", 43, "carpenter", 1, "Ada's husband; says little and notices all" },
  { "Cleo", 29, "teacher", 2, "cannot pass a bookshelf" },
  { "Dan", 31, "innkeeper", 2, "knows every rumour and passes it on" },
  { "Eva", 67, "retired doctor", 3, "sits in the park and is asked for advice" },
  { "Finn", 19, "apprentice", 3, "Eva's grandson; wants to go to sea" },
  { "Gus", 55, "mayor", 4, "wants a new bridge, and to be liked" },
  { "Hana", 38, "librarian", 4, "writes a history of the town" },
  { "Ivo", 47, "fisherman", 5, "tells stories that grow each time" },
  { "Jo", 24, "painter", 5, "new in town, paints the square at every hour" },
}

-- What this town's people can do beside walking and talking.
local ACTIONS = {
  EAT = { description = "eat or drink something", at = { "inn", "bakery" }, params = { what = "string 1..40" },
    apply = function(_, done) return "I had " .. done.what end },
  GIVE = { description = "give somebody something", params = { to = "near", what = "string 1..40" }, order = { "to", "what" },
    apply = function(member, done, here)
      here:emit("gives", { name = member.name, to = done.to.name, what = done.what })
      return ("I gave %s %s"):format(done.to.name, done.what), ("%s gave me %s"):format(member.name, done.what)
    end },
}

local function models_of(a)
  local list = {}
  for model in (a.models or ""):gmatch "[^,%s]+" do list[#list + 1] = model end
  for _, model in ipairs(list[1] and {} or ollama.tags().models) do
    if #list < 3 and not table.concat(model.capabilities or {}):find "embedding" then list[#list + 1] = model.name end
  end
  return list[1] and list or { ollama.newest() }
end

local function town(a)
  local people, models = { place = PLACE, actions = ACTIONS }, models_of(a)
  for i, row in ipairs(PEOPLE) do
    people[i] = { id = row[1]:lower(), name = row[1], home = "house " .. row[4], model = models[(i - 1) % #models + 1],
      persona = { age = row[2], job = row[3], traits = row[5] } }
  end
  local file = a.file ~= "" and a.file or nil
  return stoke.world(stoke.person.people(people):world { name = "town", seed = a.town, file = file, start = BEGIN })
end

-- What is told of the day.
local TELL = {
  said = function(ev) return ('%s: "%s"'):format(ev.data.name, ev.data.text) end,
  does = function(ev) return ("%s: %s (%s)"):format(ev.data.name, ev.data.doing, ev.data.place or "anywhere") end,
  thinks = function(ev) return ("%s thinks: %s"):format(ev.data.name, ev.data.text) end,
  thought_failed = function(ev) return ("%s cannot think: %s"):format(ev.member, ev.data.error.message) end,
  gives = function(ev) return ("%s gives %s %s"):format(ev.data.name, ev.data.to, ev.data.what) end,
}

local function clock(time) return ("%02d:%02d"):format(time // HOUR % 24, time // 60 % 60) end
stoke.main(function(argv)
  local a = args.parse(SPEC, argv)
  local world <close> = town(a)
  local goal = BEGIN + (a.hours or a.days * 24) * HOUR
  local kept = world:tick() == 0 and "a new town" or "goes on at " .. clock(world:time()) .. "; remove it for a new town"
  if a.file ~= "" then io.stderr:write(a.file, ": ", kept, "\n") end
  if world:time() >= goal then print(clock(goal) .. " is over; --days, or --hours, for more") end
  local events = world:events { cap = 100000 }
  local telling = stoke.spawn(function()
    for ev in events do
      if TELL[ev.type] then print(clock(ev.time) .. " " .. term.clean(TELL[ev.type](ev))) end
    end
  end)
  if a.news then world:send("broadcast", { text = a.news }) end
  world:run { speed = a.speed, until_time = goal }
  events:close()
  telling:await()
  print(PLACE:text(world:look "members"))
  print(("%s on day %d; state %s"):format(clock(world:time()), world:time() // (24 * HOUR) + 1, world:hash():sub(1, 16)))
end)
