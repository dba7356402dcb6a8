-- People of a world in a durable run: stdlib/person.lua, round.lua.
local persons = require "persons"
local runs = require "core.runs"
local stoke = require "stoke"
local stored = require "kept_store"
local test = require "stoke.test"

local HOUR <const> = 3600

--- A morning of three people, in a durable run.
local function morning(name, brain, more)
  return stoke.workflow(name, function()
    local people = persons.town(brain, more)
    local world <close> = stoke.world(people:world { seed = 7, start = 6 * HOUR })
    world:run { speed = "free", until_time = 9 * HOUR }
    return world:hash()
  end)
end

test("a run that is left at one of its calls goes on, asks nothing again that was answered, and ends the same", { real = true },
  function(t)
    local closing <close> = stored(t) -- luacheck: ignore
    local alone <close> = persons.brain()
    local wanted = morning("alone", alone, { memory = false }):start(nil, { id = "alone" }):await()
    local count = #alone.asked
    t.ok(count > 10, count .. " calls")
    for _, cut in ipairs { 1, count // 2, count } do
      local left, asked, leave = stoke.channel(1), 0, true
      local brain <close> = persons.brain(function()
        asked = asked + 1
        if leave and asked == cut then
          left:send(true)
          return { text = "too late", delay = 1000 }
        end
      end)
      local flow = morning("cut" .. cut, brain, { memory = false })
      flow:start(nil, { id = "cut" .. cut })
      left:recv()
      runs.leave()
      leave = false
      t.eq(flow:start(nil, { id = "cut" .. cut }):await(), wanted, ("left at call %d of %d"):format(cut, count))
      local again = #brain.asked - count -- what was in flight: three people think at one moment
      t.ok(again >= 1 and again <= 3, ("%d calls again"):format(again))
    end
  end)

test("people with memories are refused in a durable run, where these would be gone when it is resumed", { real = true }, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local brain <close> = persons.brain()
  local run = morning("memories", brain):start(nil, { id = "memories" })
  t.match(t.raises("argument", run.await, run).message, "stoke.person ada: a memory of a world in memory would be gone")
  t.eq(#brain.asked, 0)
end)
