-- stoke.team.orchestrate, ledger and graph: work that is divided.

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"

local function says(...)
  local list = { ... }
  return function(_, n) return list[n] or list[#list] end
end

local FAILS = { error = "boom", status = 400 }

-- ---- orchestrate ------------------------------------------------------------------------------------------------------------

local FIVE = { json = { parts = { { part = "one", worker = "ada" }, { part = "two", worker = "bob" },
  { part = "three", worker = "ada" }, { part = "four", worker = "eve" }, { part = "five", worker = "bob" } } } }

local function part_of(request)
  return request.messages[#request.messages].content:match "Your part:\n(%w+)"
end

local function crew(world, more)
  local ada = world.agent("ada", { description = "Counts" })
  local given = { name = "crew", members = { ada, world.agent "bob", world.agent "eve" } }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team.orchestrate(given)
end

test("orchestrate: five parts; a worker that fails twice is replaced and told why; results in plan order; the budget is exact",
  function(t)
    local tries, told = 0, nil
    local function worker(name)
      return function(request)
        local part = part_of(request)
        if name == "bob" and part == "two" then
          tries = tries + 1
          return FAILS
        end
        if part == "two" then told = request.messages[#request.messages].content end
        return { text = part .. " by " .. name, delay = part == "one" and 9 or 1 } -- the first is the slowest
      end
    end
    local world <close> = teams({ ada = worker "ada", bob = worker "bob", eve = worker "eve",
      team = function(_, n) return n == 1 and FIVE or "all five" end }, { slots = 8 })
    local team = crew(world, { budget = { calls = 9 } })
    local events, result = {}, nil
    for ev in team:stream "Count" do
      if ev.type == "progress" then events[#events + 1] = ev.part end
      if ev.type == "done" then result = ev.result end
    end
    t.eq({ result.text, result.stopped, tries }, { "all five", "5 of 5 parts done", 2 })
    local done = {}
    for i, task in ipairs(result.tasks) do done[i] = task.text end
    t.eq(done, { "one by ada", "two by eve", "three by ada", "four by eve", "five by bob" })
    t.eq(events[5], "one")
    t.match(told, "The last attempt failed: .*boom")
    t.eq({ result.failures[1].answer, result.failures[2].answer, #result.failures }, { "retry", "replace", 2 })
    t.eq({ result.usage.calls, #world.order }, { 7, 9 }) -- two of nine had no answer
    local asked = world.asked.team[2][1].content
    t.match(asked, "1%. one\none by ada\n\n2%. two\ntwo by eve\n\n3%. three\nthree by ada\n\n4%. four\n")
    tries = 0
    local poor <close> = teams({ ada = worker "ada", bob = worker "bob", eve = worker "eve",
      team = function(_, n) return n == 1 and FIVE or "all five" end }, { slots = 8 })
    local less = crew(poor, { budget = { calls = 8 } })
    t.raises("budget", less.run, less, "Count")
    t.eq(#poor.order, 8)
  end)

test("orchestrate: a part that nobody can do is told to the editor, and is in the result", function(t)
  local function worker(name)
    return function(request) return part_of(request) == "two" and FAILS or part_of(request) .. " by " .. name end
  end
  local world <close> = teams { ada = worker "ada", bob = worker "bob", eve = worker "eve",
    team = function(_, n) return n == 1 and FIVE or "four of five" end }
  local result = crew(world):run "Count"
  t.eq({ result.text, result.stopped, result.tasks[2].text }, { "four of five", "4 of 5 parts done", nil })
  t.match(result.tasks[2].failed, "boom")
  t.match(world.asked.team[2][1].content, "2%. two\n%(this part could not be done: .*boom%)")
  local none <close> = teams { ada = says(FAILS), bob = says(FAILS), eve = says(FAILS), team = says(FIVE) }
  local team = crew(none)
  t.raises("http", team.run, team, "Count")
end)

test("orchestrate: the plan is bound to the members and to max_tasks; the script may make the answer itself", function(t)
  local world <close> = teams { ada = says "a", bob = says "b", eve = says "e", team = says(FIVE) }
  local team = crew(world, { max_tasks = 5, at_once = 1, aggregate = function(tasks)
    local words = {}
    for i, task in ipairs(tasks) do words[i] = task.text end
    return table.concat(words, " ")
  end })
  t.eq(team:run("Count").text, "a b a e b")
  local parts = world.requests[1].format.properties.parts
  t.eq({ parts.maxItems, parts.items.properties.worker.enum }, { 5, { "ada", "bob", "eve" } })
  t.match(world.asked.team[1][2].content, "%- ada: Counts\n%- bob\n%- eve\n")
  t.eq(#world.asked.team, 1)
end)

test("orchestrate: planner and editor may be agents of the script's", function(t)
  local world <close> = teams { solo = says "done", chief = says { json = { parts = { { part = "all" } } } }, pen = says "written" }
  local team = stoke.team.orchestrate { members = { world.agent "solo" }, planner = world.agent "chief",
    editor = world.agent "pen" }
  local result = team:run "Work"
  t.eq({ result.text, result.agent, result.tasks[1].worker }, { "written", "pen", "solo" })
end)

test("orchestrate: who takes the planner's place is bound to the shape of a plan, too", function(t)
  local world <close> = teams({ planner = says(FAILS), spare = function(request)
    return request.format and { json = { parts = { { part = "one", worker = "ada" } } } } or "no plan"
  end, ada = "counted", team = "one" }, { slots = 8 })
  local team = crew(world, { planner = world.agent "planner", substitute = world.agent "spare", retries = 0,
    aggregate = function(tasks) return tasks[1].text end })
  t.eq(team:run("Count").text, "counted")
end)

test("orchestrate: in a session the planner and the workers hear what was said before", function(t)
  local world <close> = teams { solo = says "done", team = function(request)
    return request.format and { json = { parts = { { part = "all" } } } } or "answered"
  end }
  local chat = stoke.team.orchestrate({ members = { world.agent "solo" } }):session()
  chat:run "Compare A and B"
  chat:run "And C?"
  t.match(world.asked.team[3][2].content, "^The task:\nuser: Compare A and B\n\nassistant: answered\n\nNow: And C%?\n")
  t.match(world.asked.solo[2][2].content, "Now: And C%?\n\nYour part:\nall")
end)

-- ---- ledger -----------------------------------------------------------------------------------------------------------------

local function verdict(done, progress, next_one)
  return { json = { reason = "r", done = done, progress = progress, next = next_one or "coder", instruction = "do it" } }
end

-- A manager whose judgements are given; it answers the other questions by their kind, and notes them.
local function manager(kinds, ...)
  local verdicts, at = { ... }, 0
  return function(request)
    local text = request.messages[#request.messages].content
    if request.format then
      at = at + 1
      kinds[#kinds + 1] = "judge"
      return verdicts[at] or verdicts[#verdicts]
    end
    local kind = text:find "List in short" and "facts" or text:find "anew" and "facts again" or text:find "Write a plan" and "plan"
      or "answer"
    kinds[#kinds + 1] = kind
    return kind
  end
end

local function workshop(world, more)
  local given = { name = "shop", members = { world.agent "coder", world.agent "tester" } }
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team.ledger(given)
end

test("ledger: facts, a plan, steps that a manager gives out, and an answer when it is done", function(t)
  local kinds = {}
  local world <close> = teams { coder = says "I coded", tester = says "it passes",
    team = manager(kinds, verdict(false, true, "coder"), verdict(false, true, "tester"), verdict(true, true)) }
  local result = workshop(world):run "Make the tests pass"
  t.eq(kinds, { "facts", "plan", "judge", "judge", "judge", "answer" })
  t.eq({ result.text, result.stopped, #result.turns, result.ledger.plans }, { "answer", "done", 2, 1 })
  t.match(world.asked.coder[1][2].content, "^Make the tests pass\n\nmanager: coder: do it$")
  t.match(world.asked.tester[1][2].content, "coder: I coded\n\nmanager: tester: do it$")
  t.eq(world.requests[3].format.properties.next.enum, { "coder", "tester" })
end)

test("ledger: it plans anew exactly when max_stalls steps have brought nothing, and gives up after max_plans", function(t)
  for stalls = 1, 4 do
    local kinds = {}
    local world <close> = teams { coder = says "the same", team = manager(kinds, verdict(false, false)) }
    local result = workshop(world, { max_stalls = stalls, max_plans = 2, max_turns = 50 }):run "Make the tests pass"
    local wanted = { "facts", "plan", "judge" }
    for _ = 1, stalls do wanted[#wanted + 1] = "judge" end
    for _, kind in ipairs { "facts again", "plan", "judge" } do wanted[#wanted + 1] = kind end
    for _ = 1, stalls do wanted[#wanted + 1] = "judge" end
    wanted[#wanted + 1] = "answer"
    t.eq(kinds, wanted, "max_stalls = " .. stalls)
    t.eq({ result.stopped, result.ledger.plans }, { "no progress after 2 plans", 2 })
  end
end)

test("ledger: a step that brings it forward takes one stall back", function(t)
  local kinds = {}
  local world <close> = teams { coder = says "x", team = manager(kinds, verdict(false, true), verdict(false, false),
    verdict(false, true), verdict(false, false), verdict(false, false), verdict(true, true)) }
  local result = workshop(world, { max_stalls = 2, max_turns = 50 }):run "Make the tests pass"
  t.eq(kinds[8], "facts again") -- the second one in a row, not the second one in all
  t.eq(result.stopped, "done")
end)

test("ledger: a member that fails is a word in the conversation, and the manager goes on", function(t)
  local kinds = {}
  local world <close> = teams { coder = says(FAILS), tester = says "it passes",
    team = manager(kinds, verdict(false, true, "coder"), verdict(false, true, "tester"), verdict(true, true)) }
  local result = workshop(world, { retries = 0 }):run "Make the tests pass"
  t.eq({ result.text, result.failures[1].answer }, { "answer", "go_on" })
  t.match(world.asked.team[4][2].content, "coder: %(coder could not answer")
end)

test("ledger: no member has the name under which the manager's words stand", function(t)
  local world <close> = teams { manager = "" }
  local err = t.raises("argument", stoke.team.ledger, { members = { world.agent "manager" } })
  t.match(err.message, "no member may be named \"manager\"")
end)

test("ledger: max_turns ends it where a model never says that it is done", function(t)
  local kinds = {}
  local world <close> = teams { coder = says "x", team = manager(kinds, verdict(false, true)) }
  local result = workshop(world, { max_turns = 3 }):run "Make the tests pass"
  t.eq({ #result.turns, result.stopped, result.text }, { 3, "max_turns (3)", "answer" })
end)

-- ---- graph ------------------------------------------------------------------------------------------------------------------

local function graph(world, names, given)
  given.members = {}
  for i, name in ipairs(names) do given.members[i] = world.agent(name) end
  return stoke.team.graph(given)
end

test("graph: a cycle with conditions: the writer works again until the critic lets it pass", function(t)
  local world <close> = teams { writer = { "draft", "better" }, critic = { "again", "good" }, editor = { "final" } }
  local result = graph(world, { "writer", "critic", "editor" }, { edges = { { "writer", "critic" },
    { "critic", "writer", when = function(text) return text:find "again" end },
    { "critic", "editor", when = function(text) return text:find "good" end } }, begin = "writer" }):run "A slogan"
  t.eq({ result.text, result.agent, world.order }, { "final", "editor", { "writer", "critic", "writer", "critic", "editor" } })
  local second = world.asked.writer[2]
  t.eq({ second[2].content, second[3].content, second[4].content }, { "A slogan", "draft", "critic:\nagain" })
  t.eq(world.asked.editor[1][2].content, "A slogan\n\ncritic:\ngood")
end)

test("graph: members that are ready together work at the same time; join = all waits for all, any for the first", function(t)
  local slow = { ada = says { text = "a", delay = 3 }, bob = says { text = "b", delay = 3 }, eve = says "e" }
  local world <close> = teams(slow, { slots = 4 })
  local edges = { { "ada", "eve" }, { "bob", "eve" } }
  local began = stoke.time.monotonic()
  local result = graph(world, { "ada", "bob", "eve" }, { edges = edges, join = { eve = "all" } }):run "Go"
  t.near(stoke.time.monotonic() - began, 3, 0.5)
  t.eq({ result.text, world.asked.eve[1][2].content }, { "e", "Go\n\nada:\na\n\nbob:\nb" })
  local early <close> = teams { ada = says "a", bob = says "b", eve = says "e", zed = says "z" }
  graph(early, { "ada", "bob", "eve", "zed" }, { edges = { { "ada", "eve" }, { "bob", "zed" }, { "zed", "eve" } } }):run "Go"
  t.eq(#early.asked.eve, 2)
end)

test("graph: a cycle without an end has a cap; who waits for ever is told", function(t)
  local world <close> = teams { a = says "a", b = says "b" }
  local result = graph(world, { "a", "b" }, { edges = { { "a", "b" }, { "b", "a" } }, begin = "a", max_visits = 3 }):run "Go"
  t.eq({ #result.turns, result.stopped, result.text }, { 6, "a has worked 3 times", "b" })
  local other <close> = teams { a = says "a", b = says "b", c = says "c" }
  result = graph(other, { "a", "b", "c" }, { edges = { { "a", "c" }, { "b", "c", when = function() return false end } },
    join = { c = "all" } }):run "Go"
  t.eq({ result.stopped, result.waiting }, { "c still waits for others", { "c" } })
end)

test("graph: several ends are one answer with names; a failure ends it, or goes on as a word", function(t)
  local world <close> = teams { a = says "a", b = says "b", c = says "c" }
  local edges = { { "a", "b" }, { "a", "c" } }
  t.eq(graph(world, { "a", "b", "c" }, { edges = edges }):run("Go").text, "b: b\n\nc: c")
  local bad <close> = teams { a = says(FAILS), b = says "b", c = says "c" }
  local team = graph(bad, { "a", "b", "c" }, { edges = edges, retries = 0 })
  t.raises("http", team.run, team, "Go")
  local on <close> = teams { a = says(FAILS), b = says "b", c = says "c" }
  graph(on, { "a", "b", "c" }, { edges = edges, retries = 0, on_failure = "go_on" }):run "Go"
  t.match(on.asked.b[1][2].content, "a:\n%(a could not answer: .*boom")
end)

test("graph: of two that fail at once each gap has its own error", function(t)
  local function fails(words) return function() return { error = words, status = 400, delay = words == "first" and 1 or 3 } end end
  local world <close> = teams { ada = fails "first", bob = fails "second", eve = says "done" }
  local team = graph(world, { "ada", "bob", "eve" }, { edges = { { "ada", "eve" }, { "bob", "eve" } }, join = { eve = "all" },
    on_failure = "go_on", retries = 0 })
  team:run "go"
  local read = world.asked.eve[1][2].content
  t.match(read, "ada could not answer: [^\n]*first")
  t.match(read, "bob could not answer: [^\n]*second")
end)

test("graph: the answer is of all ends, however long the ways to them; one that works again is no end any more", function(t)
  local world <close> = teams { ada = "go", bob = "short", eve = "long", zoe = "end" }
  local members = { world.agent "ada", world.agent "bob", world.agent "eve", world.agent "zoe" }
  local result = stoke.team.graph({ members = members, edges = { { "ada", "bob" }, { "ada", "eve" }, { "eve", "zoe" } } }):run "Go"
  t.eq({ result.text, #result.turns }, { "bob: short\n\nzoe: end", 4 })
  local again = stoke.team.graph { members = members, edges = { { "ada", "bob" }, { "ada", "eve" }, { "eve", "bob" },
    { "bob", "zoe", when = function(_, state) return #state.turns > 3 end } } }
  t.eq(again:run("Go").text, "end")
end)

test("graph: a member that fails is a turn, and its failure is never the answer alone", function(t)
  local world <close> = teams { ada = "a draft", bob = { FAILS } }
  local result = stoke.team.graph({ members = { world.agent "ada", world.agent "bob" }, edges = { { "ada", "bob" } }, retries = 0,
    on_failure = "go_on" }):run "Go"
  t.eq({ result.text, result.turns[2].from, result.turns[2].failed }, { "a draft", "bob", true })
end)

test("graph: no more members are asked than messages are left", function(t)
  local world <close> = teams { ada = "a", bob = "b", eve = "e" }
  local result = stoke.team.graph({ members = { world.agent "ada", world.agent "bob", world.agent "eve" }, max_turns = 2,
    edges = { { "ada", "bob" }, { "ada", "eve" } } }):run "Go"
  t.eq({ #result.turns, result.stopped, #world.order }, { 2, "max_turns (2)", 2 })
end)

test("graph: wrong edges say what is wrong", function(t)
  local world <close> = teams {}
  local function wrong(given, pattern) t.match(t.raises("argument", graph, world, { "ada", "bob" }, given).message, pattern) end
  wrong({}, "edges is missing")
  wrong({ edges = { { "ada", "bbo" } } }, "edges%[1%] names the string \"bbo\", who is no member %(did you mean bob%?%)")
  wrong({ edges = { "ada" } }, "edges%[1%] must be")
  wrong({ edges = { { "ada", "bob", on = 1 } } }, "edges%[1%] must be .* the key on")
  wrong({ edges = { { "ada", "bob" }, { "bob", "ada" } } }, "say with whom it begins")
  wrong({ edges = { { "ada", "bob" } }, begin = 1 }, "begin must be a list, got 1")
  wrong({ edges = { { "ada", "bob" } }, join = { bob = "some" } }, "join.bob must be")
end)
