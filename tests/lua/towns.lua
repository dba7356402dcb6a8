-- Towns for tests: people on three models of a server that has room for two, who answer what tests/agents/town.lua says.
--
--     local server <close> = towns.server()
--     local world <close> = towns.world(server, { seed = 3, ahead = 600 })

local fs = require "stoke.fs"
local sim = require "stoke.sim"
local stoke = require "stoke"

local M = {}

M.BEGIN = 6 * 3600

local MODELS = { "a:3b", "b:3b", "c:3b" }
local NAMES = { "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jo" }

M.ROWS = {
  "##############################",
  "#BBB#111#222#....#III#LLL....#",
  "#BBB#111#222#....#III#LLL....#",
  "##.###.###.##....##.###.##...#",
  "#............................#",
  "#..KKKK.....SSSSS.....PPPP...#",
  "#..KKKK.....SS#SS.....P##P...#",
  "#..KKKK.....SSSSS.....PPPP...#",
  "#............................#",
  "##.###.###.##....##.###.##...#",
  "#WWW#333#444#....#555#EEE....#",
  "#WWW#333#444#....#555#EEE....#",
  "##############################",
}

M.PLACE = stoke.place { map = M.ROWS, spots = { B = "bakery", I = "inn", L = "library", K = "market", S = "square", P = "park",
  W = "workshop", E = "school", ["1"] = "first house", ["2"] = "second house", ["3"] = "third house", ["4"] = "fourth house",
  ["5"] = "fifth house" } }

local HOUSES = { "first", "second", "third", "fourth", "fifth" }

local ACTIONS = {
  EAT = { description = "eat something", at = { "inn", "bakery" }, params = { what = "string 1..40" },
    apply = function(member) member.meals = (member.meals or 0) + 1 end },
  GIVE = { description = "give something", params = { to = "near", what = "string 1..40" },
    apply = function(_, done) return ("I gave %s %s"):format(done.to.name, done.what) end },
}

--- What models answer: the scripted people of the example.
function M.answers()
  return assert(load(fs.read "tests/agents/town.lua", "@tests/agents/town.lua", "t"))()
end

local count = 0

--- The server.
---@param more? table options of the simulator
function M.server(more)
  count = count + 1
  local given = { mem = "town" .. count, max_loaded = 2, slots = 4, load_seconds = 2, tokens_per_second = 200, prefill = 5000,
    keep_alive = -1, script = M.answers(), models = {} }
  for i, name in ipairs(MODELS) do given.models[i] = name end
  for key, value in pairs(more or {}) do given[key] = value end
  return sim.serve(given)
end

--- Its people.
---@param server table
---@param more? table options of stoke.person.people; all: the model of all of them
function M.people(server, more)
  local given = { place = M.PLACE, actions = ACTIONS, endpoint = server.url }
  local all = more and more.all
  for i, name in ipairs(NAMES) do
    given[i] = { id = name:lower(), name = name, home = HOUSES[(i - 1) % #HOUSES + 1] .. " house",
      model = all or MODELS[(i - 1) % #MODELS + 1], persona = { age = 20 + 5 * i } }
  end
  for key, value in pairs(more or {}) do
    if key ~= "all" then given[key] = value end
  end
  return stoke.person.people(given)
end

--- Its world.
---@param server table
---@param more? table options of stoke.world
---@param people? table options of stoke.person.people
function M.world(server, more, people)
  local given = { name = "town", seed = 7, start = M.BEGIN }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.world(M.people(server, people):world(given))
end

--- The world time of an hour.
function M.at(hour) return hour * 3600 end

--- Let it run, as fast as it can.
function M.run(world, hour)
  world:run { speed = "free", until_time = M.at(hour) }
  return world
end

return M
