-- A small town that is watched in a browser: three people round a square, a minute a second.

local stoke = require "stoke"

local place = stoke.place { spots = { B = "bakery", S = "square", L = "library" }, map = [[
  ####################
  #BBBB#........#LLLL#
  #BBBB..........LLLL#
  #BBBB#........#LLLL#
  ######..SSSS..######
  #.......SSSS.......#
  #..................#
  ####################]] }

local function person(id, name, home, job)
  return { id = id, name = name, home = home, model = "qwen2.5:3b", persona = { age = 40, job = job, traits = { "kind" } } }
end

stoke.main(function()
  local people = stoke.person.people { place = place, person("ada", "Ada", "bakery", "baker"),
    person("ben", "Ben", "square", "carpenter"), person("cleo", "Cleo", "library", "librarian") }
  local town <close> = stoke.world(people:world { name = "town", seed = 1, start = 8 * 3600 })
  town:run { speed = 60 }
end)
