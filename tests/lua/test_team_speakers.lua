-- stoke.team.selector and swarm: who speaks next.

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"

local function says(...)
  local list = { ... }
  return function(_, n) return list[n] or list[#list] end
end

local function next_is(...)
  local list = { ... }
  return function(_, n) return list[n] and { json = { next = list[n] } } or { error = "nobody", status = 400 } end
end

local function room(world, more)
  local given = { name = "room", members = { world.agent("planner", { description = "Makes plans" }), world.agent "writer",
    world.agent "critic" }, max_turns = 3 }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team.selector(given)
end

local ALL = { planner = says "a plan", writer = says "a text", critic = says "a word" }

local function scripts(team)
  return { planner = ALL.planner, writer = ALL.writer, critic = ALL.critic, team = team }
end

test("selector: the model chooses by a grammar over the names, and not who has just spoken", function(t)
  local world <close> = teams(scripts(next_is("planner", "critic", "planner")))
  local result = room(world):run "A party"
  local spoke = {}
  for i, turn in ipairs(result.turns) do spoke[i] = turn.from end
  t.eq(spoke, { "planner", "critic", "planner" })
  local choices = {}
  for i, request in ipairs(world.requests) do
    if world.order[i] == "team" then choices[#choices + 1] = request.format.properties.next.enum end
  end
  t.eq(choices, { { "planner", "writer", "critic" }, { "writer", "critic" }, { "planner", "writer" } })
  local asked = world.asked.team[2][2].content
  t.match(asked, "%- writer\n%- critic\n")
  t.match(asked, "A party\n\nplanner: a plan\n\nWho should speak next")
end)

test("selector: may_end lets the model say that nobody has to speak, but not before somebody has", function(t)
  local world <close> = teams(scripts(next_is("writer", "nobody")))
  local result = room(world, { may_end = true }):run "A party"
  t.eq({ result.text, result.stopped, #result.turns }, { "a text", "nobody was chosen", 1 })
  t.eq(world.requests[1].format.properties.next.enum, { "planner", "writer", "critic" })
  t.eq(world.requests[3].format.properties.next.enum, { "planner", "critic", "nobody" })
end)

test("selector: a model that rambles never makes a wrong speaker: the next one in the order speaks", function(t)
  local world <close> = teams(scripts(function() return "Well, I think the critic, or maybe the planner, should be next." end))
  local result = room(world, { max_turns = 4 }):run "A party"
  local spoke = {}
  for i, turn in ipairs(result.turns) do spoke[i] = turn.from end
  t.eq(spoke, { "planner", "writer", "critic", "planner" })
  t.eq({ #result.failures, result.failures[1].agent, result.failures[1].kind }, { 4, "room", "invalid_output" })
end)

test("selector: on a model that rambles wherever no grammar holds it, 1,000 of 1,000 choices are members", function(t)
  local names, count, seed = { planner = true, writer = true, critic = true }, 0, 17
  local function chance(n)
    seed = (seed * 1103515245 + 12345) % 2147483648
    return seed // 65536 % n
  end
  local world <close> = teams(scripts(function(request)
    local enum = request.format.properties.next.enum
    local kind = chance(4)
    if kind == 0 then return { json = { next = enum[chance(#enum) + 1] } } end -- a server whose grammar holds it
    if kind == 1 then return "I would say " .. enum[1] .. ", then " .. enum[2] end
    if kind == 2 then return '{"next": "somebody else"}' end
    return '{"next": "' .. enum[1]:upper() .. ' "}'
  end))
  local team = room(world, { max_turns = 20 })
  for _ = 1, 50 do
    for _, turn in ipairs(team:run("A party").turns) do
      if names[turn.from] then count = count + 1 end
    end
  end
  t.eq(count, 1000)
end)

test("selector: a function may choose, and leave it to the model", function(t)
  local world <close> = teams(scripts(next_is "critic"))
  local result = room(world, { max_turns = 5, select = function(state)
    if #state.turns == 0 then return "writer" end
    if #state.turns == 2 then return false end
  end }):run "A party"
  t.eq({ result.turns[1].from, result.turns[2].from, result.stopped }, { "writer", "critic", "nobody was chosen" })
  local wrong = room(world, { select = function() return "writr" end })
  t.match(t.raises("argument", wrong.run, wrong, "go").message, "no member %(did you mean writer")
end)

test("selector: a function may say of whom the model chooses", function(t)
  local world <close> = teams(scripts(next_is "critic"))
  local result = room(world, { max_turns = 3, candidates = function(state)
    if #state.turns == 0 then return { "planner" } end
    if #state.turns == 1 then return { "critic", "planner" } end -- also who has just spoken
  end }):run "A party"
  t.eq({ result.turns[1].from, result.turns[2].from }, { "planner", "critic" })
  t.eq(#world.asked.team, 2) -- where one is left nobody has to choose
  local function names(request) return request.format.properties.next.enum end
  local asked = {}
  for _, request in ipairs(world.requests) do
    if request.format then asked[#asked + 1] = names(request) end
  end
  t.eq(asked, { { "planner", "critic" }, { "planner", "writer" } })
  for wanted, given in pairs { ["no member %(did you mean writer"] = { "writr" }, ["candidates are none"] = {},
    ["candidates"] = "writer" } do
    local wrong = room(world, { candidates = function() return given end })
    t.match(t.raises("argument", wrong.run, wrong, "go").message, wanted)
  end
end)

test("selector: what ends a run ends it also where the choice meets it", function(t)
  local world <close> = teams(scripts(function() return { json = { next = "writer" }, delay = 10 } end))
  local team = room(world, { deadline = 5 })
  t.raises("deadline", team.run, team, "go")
end)

-- ---- swarm ----------------------------------------------------------------------------------------------------------------------

local function to(name, note) return { tool_calls = { { name = "transfer_to_" .. name, arguments = { note = note } } } } end

local function desk(world, more)
  local given = { name = "desk", members = { world.agent "triage", world.agent("billing", { description = "Knows invoices" }) } }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team.swarm(given)
end

test("swarm: a member hands over with a note, and who answers has answered", function(t)
  local world <close> = teams { triage = { to("billing", "invoice 7 is wrong") }, billing = { "It is mended." } }
  local events, result = world.events(desk(world):stream "My invoice is wrong")
  t.eq(events, { "speaker triage", "message triage: (handed over to billing: invoice 7 is wrong)", "handoff triage: billing",
    "speaker billing", "message billing: It is mended." })
  t.eq({ result.text, result.agent, result.stopped }, { "It is mended.", "billing", "billing answered" })
  t.eq(world.asked.billing[1][2].content, "My invoice is wrong\n\ntriage: (handed over to billing: invoice 7 is wrong)")
  local tool = world.requests[1].tools[1]["function"]
  t.eq({ tool.name, tool.parameters.required }, { "transfer_to_billing", { "note" } })
  t.match(tool.description, "billing%. Knows invoices%.")
end)

test("swarm: in a session the next question goes to who answered last", function(t)
  local world <close> = teams { triage = { to("billing", "x") }, billing = { "It is mended.", "Tomorrow." } }
  local chat = desk(world):session()
  chat:run "My invoice is wrong"
  t.eq(chat:run("When?").text, "Tomorrow.")
  t.eq(world.order, { "triage", "billing", "billing" })
end)

test("swarm: members that hand over to each other for ever must answer in the end", function(t)
  local world <close> = teams { triage = function(request) return request.tools and to("billing", "x") or "Well then." end,
    billing = function(request) return request.tools and to("triage", "y") or "I do." end }
  local result = desk(world, { max_handoffs = 4 }):run "My invoice is wrong"
  t.eq({ #result.turns, result.text, result.stopped }, { 5, "Well then.", "triage answered" })
end)

test("swarm: handing over to somebody outside ends the run with what that one is told", function(t)
  local world <close> = teams { triage = { to("person", "he wants to speak to a human") } }
  local team = desk(world, { outside = { person = "A human clerk" } })
  local result = team:run "A human, please"
  t.eq({ result.text, result.stopped, result.agent }, { "he wants to speak to a human", "handed over to person", "triage" })
end)

test("swarm: `to` says who may hand over to whom; a name that is none is refused when the team is made", function(t)
  local world <close> = teams { triage = { "hello" } }
  desk(world, { to = { triage = {} } }):run "Hi"
  t.eq(world.requests[1].tools, nil)
  t.match(t.raises("argument", desk, world, { to = { triage = { "biling" } } }).message, "did you mean billing")
  t.match(t.raises("argument", desk, world, { begin = "nobody" }).message, "begin names")
end)

test("swarm: two names that are one in a call are refused when the team is made", function(t)
  local world <close> = teams {}
  local err = t.raises("argument", stoke.team.swarm, { members = { world.agent "desk 1", world.agent "desk.1" } })
  t.match(err.message, '"desk 1" and "desk.1" are the same name in a call of a model, transfer_to_desk_1')
  t.match(t.raises("argument", desk, world, { outside = { billing = "The real one" } }).message, '"billing" and "billing" are')
end)

test("swarm: where a member fails and the team goes on, the conversation goes back to who began", function(t)
  local world <close> = teams { triage = { to("billing", "x"), "I do it myself." }, billing = { { error = "boom", status = 400 } } }
  local result = desk(world, { on_failure = "go_on", retries = 0 }):run "My invoice is wrong"
  t.eq({ result.text, result.agent, #result.turns }, { "I do it myself.", "triage", 3 })
  t.match(world.asked.triage[2][4].content, "^billing: %(billing could not answer: .*boom")
end)

test("swarm: a member's own tools run before it hands over", function(t)
  local looked = 0
  local look = stoke.tool { name = "look", params = {}, run = function() looked = looked + 1 return "seen" end }
  local world <close> = teams { triage = { { tool_calls = { { name = "look", arguments = {} },
    { name = "transfer_to_billing", arguments = { note = "seen" } } } } }, billing = { "done" } }
  local team = stoke.team.swarm { members = { world.agent("triage", { tools = { look } }), world.agent "billing" } }
  t.eq({ team:run("go").text, looked }, { "done", 1 })
end)

test("swarm: what a call beside a handoff gave goes with the handoff", function(t)
  local world <close> = teams { triage = { { tool_calls = { { name = "search", arguments = {} },
    { name = "transfer_to_billing", arguments = { note = "pay LH 17" } } } } }, billing = "Paid.", repairs = "no" }
  local search = stoke.tool { name = "search", description = "Searches", run = function() return "flights: LH 17" end }
  local result = stoke.team.swarm({ members = { world.agent("triage", { tools = { search } }), world.agent "billing" } }):run "Fly"
  t.eq({ result.text, result.turns[1].text }, { "Paid.", "(search: flights: LH 17)\n(handed over to billing: pay LH 17)" })
  t.contains(world.asked.billing[1][2].content, "flights: LH 17")
end)

test("swarm: two notes to the same member go together; a model without tools is told what to do", function(t)
  local world <close> = teams { triage = { { tool_calls = { { name = "transfer_to_billing", arguments = { note = "one" } },
    { name = "transfer_to_billing", arguments = { note = "two" } } } } }, billing = "Done." }
  t.eq(desk(world):run("Go").turns[1].text, "(handed over to billing: one; two)")
  local bare <close> = teams { triage = { { error = "m does not support tools", status = 400 } } }
  local team = desk(bare, { retries = 0 })
  local err = t.raises("http", team.run, team, "Go")
  t.match(err.message, "^triage: m does not support tools")
  t.match(err.hint, "stoke.team.selector")
end)

test("selector: who chooses hears in a session what was said before the question", function(t)
  local world <close> = teams { ada = function() return "a poem" end, bob = function() return "b" end,
    team = function(request) return { json = { next = request.format.properties.next.enum[1] } } end }
  local chat = stoke.team.selector({ members = { world.agent "ada", world.agent "bob" }, max_turns = 1 }):session()
  chat:run "Write a poem"
  chat:run "Shorter, please"
  local asked = world.asked.team[2]
  t.match(asked[#asked].content, "Write a poem\n\nada: a poem\n\nNow: Shorter, please")
end)

test("swarm: who hands over to several has each of them answer, in that order", function(t)
  local both = { { tool_calls = { { name = "transfer_to_billing", arguments = { note = "a poem" } },
    { name = "transfer_to_repairs", arguments = { note = "a joke" } } } } }
  local world <close> = teams { triage = both, billing = "The poem.", repairs = "The joke." }
  local function three(from)
    return { members = { from.agent "triage", from.agent "billing", from.agent "repairs" } }
  end
  local events, result = world.events(desk(world, three(world)):stream "A poem and a joke")
  t.eq(result.text, "billing: The poem.\n\nrepairs: The joke.")
  t.eq({ events[3], events[6] }, { "handoff triage: billing", "handoff triage: repairs" })
  local other <close> = teams { triage = both, billing = "The poem.", repairs = "The joke." }
  local short = three(other)
  short.max_turns = 1
  result = desk(other, short):run "A poem and a joke"
  t.eq({ result.stopped, result.open }, { "max_turns (1)", { "billing", "repairs" } })
end)
