-- stoke.team.vote, debate, mixture and reflect: one answer of several.

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"

local function says(...)
  local list = { ... }
  return function(_, n) return list[n] or list[#list] end
end

local FAILS = { error = "boom", status = 400 }

-- ---- vote -------------------------------------------------------------------------------------------------------------------

local function after(seconds, text) return { text = text, delay = seconds } end

test("vote: of five, three equal ones decide, and the other two are cancelled", function(t)
  local world <close> = teams({ solver = { after(1, "32."), after(2, "32"), after(3, " 32 "), after(50, "31"), after(60, "31") } },
    { slots = 8 })
  local began = stoke.time.monotonic()
  local result = stoke.team.vote({ members = { world.agent "solver" }, votes = 5 }):run "How many legs?"
  t.near(stoke.time.monotonic() - began, 3, 0.5)
  t.eq({ result.text, result.stopped, result.agent }, { "32.", "decided after 3 of 5 votes", "solver" })
  t.eq(result.votes, { { text = "32.", count = 3, from = { "solver", "solver", "solver" } } })
  t.eq({ #world.order, #result.turns, result.usage.calls }, { 5, 3, 3 })
end)

test("vote: several votes of a member that always says the same are refused", function(t)
  local world <close> = teams { solver = "x", other = "y" }
  local solver = world.agent("solver", { options = { temperature = 0 } })
  t.match(t.raises("argument", stoke.team.vote, { members = { solver } }).message, "solver has temperature 0")
  t.ok(stoke.team.vote { members = { solver, world.agent "other" } }) -- one vote each
end)

test("vote: it goes on while another answer could still win; of equal counts the first one counts", function(t)
  local world <close> = teams { solver = { "a", "b", "b", "a" } }
  local result = stoke.team.vote({ members = { world.agent "solver" }, votes = 4, at_once = 1 }):run "?"
  t.eq({ result.text, result.votes[1].count, result.votes[2].count, #result.turns, result.stopped }, { "a", 2, 2, 4, nil })
end)

test("vote: members may be several, and a failed one is no vote", function(t)
  local world <close> = teams { a = says "x", b = says(FAILS), c = says "y", d = says "y" }
  local team = stoke.team.vote { members = { world.agent "a", world.agent "b", world.agent "c", world.agent "d" }, retries = 0,
    at_once = 1 }
  local result = team:run "?"
  t.eq({ result.text, result.votes[1].from, result.failures[1].agent }, { "y", { "c", "d" }, "b" })
  local none <close> = teams { a = says(FAILS) }
  local lonely = stoke.team.vote { members = { none.agent "a" }, votes = 3, retries = 0 }
  t.match(t.raises("http", lonely.run, lonely, "?").message, "no member of .* has answered: .*boom")
end)

test("vote: answers are the same but for case, spacing and marks of sentences; a sign makes another one", function(t)
  local key = require "stoke.team.vote".key
  local function same(a, b) return key { text = a } == key { text = b } end
  for _, pair in ipairs { { "32", " 32." }, { "Yes!", "yes" }, { "**Paris**", '"paris".' }, { "a  b", "A b" } } do
    t.ok(same(pair[1], pair[2]), pair[1])
  end
  for _, pair in ipairs { { "-5", "5" }, { "C++", "C" }, { "C#", "C" }, { ".5", "5" }, { "?", "!" }, { "50%", "50" } } do
    t.ok(not same(pair[1], pair[2]), pair[1])
  end
end)

test("vote: values of a schema are compared, and `by` says what is the same otherwise", function(t)
  local world <close> = teams { a = { '{"n":1,"why":"x"}', '{"n":2,"why":"y"}', '{"why":"z","n":1}' } }
  local shape = { n = "integer", why = "string" }
  local team = stoke.team.vote { members = { world.agent("a", { output = shape }) }, votes = 3, at_once = 1,
    by = function(result) return result.output.n end }
  local result = team:run "?"
  t.eq({ result.output.n, result.votes[1].count }, { 1, 2 })
  local again <close> = teams { a = says "x" }
  local wrong = stoke.team.vote { members = { again.agent "a" }, votes = 1, by = function() return {} end }
  t.raises("argument", wrong.run, wrong, "?")
end)

test("vote: each sample has a seed of its own, and none comes out of the cache", function(t)
  local world <close> = teams { a = says "x" }
  local solver = world.agent("a", { options = { seed = 7 }, cache = true })
  stoke.team.vote({ members = { solver }, votes = 3, at_once = 1, by = function(result) return result.id end }):run "?"
  local seeds = {}
  for i, request in ipairs(world.requests) do seeds[i] = request.options.seed end
  t.eq(seeds, { 7, 8, 9 })
end)

-- ---- debate -----------------------------------------------------------------------------------------------------------------

local function panel(world, more)
  local given = { name = "panel", members = { world.agent "ada", world.agent "bob" } }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team.debate(given)
end

test("debate: they answer apart, then read each other, and a judge gives the last answer", function(t)
  local world <close> = teams { ada = { "repair", "repair, still" }, bob = { "replace", "replace, still" },
    judge = { "repair it" } }
  local result = panel(world, { judge = world.agent "judge" }):run "The bridge?"
  t.eq({ result.text, result.agent, result.stopped, #result.turns }, { "repair it", "judge", "judged after 2 rounds", 5 })
  t.eq(world.asked.ada[1][2].content, "The bridge?")
  local second = world.asked.ada[2]
  t.eq(second[3], { role = "assistant", content = "repair" })
  t.match(second[4].content, "^Others have answered:\n\nbob: replace\n")
  t.match(world.asked.judge[1][2].content, "The task:\nThe bridge%?\n\nThe answers:\n\nada: repair, still\n\nbob: replace, still")
end)

test("debate: where all agree nobody has to judge; without a judge the team's model does", function(t)
  local world <close> = teams { ada = { "Repair." }, bob = { "repair" }, team = { "made of both" } }
  local result = panel(world):run "The bridge?"
  t.eq({ result.text, result.stopped, #world.order }, { "Repair.", "all agree after round 1", 2 })
  local other <close> = teams { ada = { "a" }, bob = { "b" }, team = { "made of both" } }
  t.eq(panel(other, { rounds = 1 }):run("?").text, "made of both")
end)

test("debate: the judge reads what somebody said who failed later, and that somebody said nothing", function(t)
  local world <close> = teams { ada = { "A1", FAILS }, bob = says(FAILS), eve = says "E", kim = says "K", team = says "judged" }
  local members = {}
  for i, name in ipairs { "ada", "bob", "eve", "kim" } do members[i] = world.agent(name) end
  local result = stoke.team.debate({ members = members, retries = 0 }):run "Go"
  t.eq({ result.text, result.stopped }, { "judged", "judged after 2 rounds" })
  local asked = world.asked.team[1][1].content
  t.contains(asked, "ada: A1\n\n(bob could not answer: ")
  t.contains(asked, "eve: E\n\nkim: K")
end)

test("debate: who fails is out, and the last one left has answered", function(t)
  local world <close> = teams { ada = { "repair" }, bob = says(FAILS) }
  local result = panel(world):run "?"
  t.eq({ result.text, result.stopped, result.failures[2].answer }, { "repair", "one answer was left", "go_on" })
  local none <close> = teams { ada = says(FAILS), bob = says(FAILS) }
  local team = panel(none)
  t.raises("http", team.run, team, "?")
end)

-- ---- mixture ----------------------------------------------------------------------------------------------------------------

test("mixture: proposals of a layer are read by the next one, and one answer is made of the last", function(t)
  local world <close> = teams { ada = { "a1", "a2" }, bob = { "b1", "b2" }, team = { "one answer" } }
  local team = stoke.team.mixture { members = { world.agent "ada", world.agent "bob" }, layers = 2 }
  local result = team:run "Tides?"
  t.eq({ result.text, #result.turns, result.usage.calls }, { "one answer", 5, 5 })
  t.match(world.asked.bob[2][2].content, "^Tides%?\n\nThese answers were proposed:\n\n1%. a1\n\n2%. b1\n")
  t.match(world.asked.team[1][1].content, "1%. a2\n\n2%. b2\n")
end)

test("mixture: a proposal that fails is left out, and a single one is the answer", function(t)
  local world <close> = teams { ada = { "a1" }, bob = says(FAILS) }
  local result = stoke.team.mixture({ members = { world.agent "ada", world.agent "bob" }, retries = 0 }):run "Tides?"
  t.eq({ result.text, result.stopped, #world.order }, { "a1", "one proposal was left", 2 })
end)

-- ---- reflect ----------------------------------------------------------------------------------------------------------------

local function verdict(good, ...) return { json = { faults = { ... }, good = good } } end

test("reflect: the work is done again until the critic finds nothing", function(t)
  local world <close> = teams { writer = { "draft", "better", "never" }, critic = { verdict(false, "too short", "no verb"),
    verdict(true) } }
  local result = stoke.team.reflect({ members = { world.agent "writer", world.agent "critic" }, rounds = 5 }):run "A haiku"
  t.eq({ result.text, result.stopped, result.agent, result.usage.calls }, { "better", "good after round 2", "writer", 4 })
  t.match(world.asked.writer[2][4].content, "^A critic found:\n%- too short\n%- no verb\n")
  t.match(world.asked.critic[2][2].content, "The work:\nbetter\n")
end)

test("reflect: it ends when nothing changes, and after its rounds, without a last criticism that nobody reads", function(t)
  local world <close> = teams { writer = says "draft", team = says(verdict(false, "x")) }
  local result = stoke.team.reflect({ members = { world.agent "writer" } }):run "A haiku"
  t.eq({ result.stopped, result.usage.calls }, { "nothing changed", 3 })
  local other <close> = teams { writer = { "one", "two", "three" }, team = says(verdict(false, "x")) }
  result = stoke.team.reflect({ members = { other.agent "writer" }, rounds = 2 }):run "A haiku"
  t.eq({ result.text, result.stopped, result.usage.calls }, { "two", "rounds (2)", 3 })
end)

test("reflect: where the writer fails in a later round, or the critic, the work so far stands with on_failure = go_on", function(t)
  local world <close> = teams { writer = { "draft", FAILS }, team = says(verdict(false, "x")) }
  local team = stoke.team.reflect { members = { world.agent "writer" }, on_failure = "go_on", retries = 0 }
  local result = team:run "A haiku"
  t.eq({ result.text, result.failures[1].agent }, { "draft", "writer" })
  local other <close> = teams { writer = says "draft", team = says(FAILS) }
  team = stoke.team.reflect { members = { other.agent "writer" }, on_failure = "go_on", retries = 0 }
  t.eq(team:run("A haiku").stopped, "the critic failed")
end)
