-- Members that are functions: stdlib/team/step.lua.

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"

test("a step works along the edges of a graph, and says what its function returns", function(t)
  local world <close> = teams { ada = { "draft", "better draft" } }
  local asked = {}
  local check = stoke.team.step { name = "check", description = "checks", run = function(question, state)
    asked[#asked + 1] = { question, state.last.text, #state.turns }
    return #state.turns < 2 and "again" or "fine"
  end }
  local result = stoke.team.graph({ members = { world.agent "ada", check }, begin = "ada",
    edges = { { "ada", "check" }, { "check", "ada", when = function(text) return text == "again" end } } }):run "Write"
  t.eq({ result.text, result.agent, #result.turns, result.usage.calls }, { "fine", "check", 4, 2 })
  t.eq(asked, { { "Write\n\nada:\ndraft", "draft", 1 }, { "ada:\nbetter draft", "better draft", 3 } })
  t.contains(world.asked.ada[2][4].content, "check:\nagain")
end)

test("a step is the critic of reflect: its verdict is a table, its text a fault", function(t)
  local world <close> = teams { ada = { "a long slogan", "short" } }
  local function critic(verdict)
    return stoke.team.step { name = "length", run = function(_, state) return verdict(#state.last.text) end }
  end
  local table_of = critic(function(n) return { faults = n > 8 and { "too long" } or {}, good = n <= 8 } end)
  local result = stoke.team.reflect({ members = { world.agent "ada", table_of } }):run "A slogan"
  t.eq({ result.text, result.stopped }, { "short", "good after round 2" })
  t.contains(world.asked.ada[2][4].content, "- too long")
  local other <close> = teams { ada = { "a long slogan", "short" } }
  local words = critic(function() return "too long" end)
  t.eq(stoke.team.reflect({ members = { other.agent "ada", words }, rounds = 2 }):run("A slogan").text, "short")
end)

test("the team asks its own questions with the model of the first member that has one", function(t)
  local world <close> = teams { ada = "hello", team = function(request)
    return { json = { next = request.format.properties.next.enum[2] } }
  end }
  local clock = stoke.team.step { name = "clock", run = function() return "it is nine" end }
  local room = stoke.team.selector { members = { clock, world.agent "ada" }, max_turns = 1 }
  t.eq(room:run("Who is there?").text, "hello")
end)

test("a step that fails is a member that fails; a bug in it ends the run", function(t)
  local world <close> = teams { ada = function() return "a" end }
  local function pair(f)
    return stoke.team.round_robin { members = { world.agent "ada", stoke.team.step { name = "check", run = f } }, max_turns = 2,
      on_failure = "go_on", retries = 0 }
  end
  local failing = pair(function() stoke.timeout(1, function() stoke.sleep(5) end) end)
  t.match(failing:run("go").turns[2].text, "check could not answer")
  local buggy = pair(function(_, state) return state.nothing.there end)
  t.match(t.raises("script", buggy.run, buggy, "go").message, "nothing")
  local empty = pair(function() end)
  t.match(t.raises("argument", empty.run, empty, "go").message, "must return a text, or a table")
end)

test("a step is made of a name and a function", function(t)
  local step = stoke.team.step
  t.match(t.raises("argument", step, { run = print }).message, "name is missing")
  t.match(t.raises("argument", step, { name = "x", run = 3 }).message, "function expected")
  t.match(t.raises("argument", step, { name = "x", ran = print }).message, "did you mean run")
  t.eq(step({ name = "x", run = function(question) return question:upper() end }):run("hi").text, "HI")
end)
