-- What users of other frameworks report of teams, as tasks: each with a member or a model that does what they describe.

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"

local function says(...)
  local list = { ... }
  return function(_, n) return list[n] or list[#list] end
end

local FAILS = { error = "boom", status = 400 }

test("a group chat whose stop word never comes ends all the same", function(t)
  local world <close> = teams { ada = says "Goodbye!", bob = says "Goodbye to you!" }
  local result = stoke.team.round_robin({ members = { world.agent "ada", world.agent "bob" },
    stop = stoke.team.stop.text "TERMINATE" }):run "Talk"
  t.eq({ #result.turns, result.stopped }, { 20, "max_turns (20)" })
end)

test("a member that repeats the stop word of its instructions does not end what another one has to end", function(t)
  local world <close> = teams { ada = says "When all is well the critic says APPROVE.", bob = { "Not yet.", "APPROVE" } }
  local result = stoke.team.round_robin({ members = { world.agent "ada", world.agent "bob" },
    stop = stoke.team.stop.text("APPROVE", { from = "bob" }) }):run "Talk"
  t.eq(#result.turns, 4)
end)

test("a member that hangs does not hang the others: its deadline is its failure, and another one does its part", function(t)
  local world <close> = teams({ ada = says { text = "too late", delay = 1000 }, bob = says "done by bob",
    team = { { json = { parts = { { part = "x", worker = "ada" }, { part = "y", worker = "bob" } } } }, "all" } }, { slots = 4 })
  local began = stoke.time.monotonic()
  local result = stoke.team.orchestrate({ members = { world.agent("ada", { deadline = 5 }), world.agent "bob" } }):run "Work"
  t.near(stoke.time.monotonic() - began, 10, 1) -- twice its deadline
  t.eq({ result.text, result.tasks[1].text, result.failures[1].kind }, { "all", "done by bob", "deadline" })
end)

test("events of agents at any depth reach the stream of the outermost, with who did it", function(t)
  local world <close> = teams { deep = { { tool_calls = { { name = "look", arguments = {} } } }, "seen" }, bob = says "fine",
    boss = { { tool_calls = { { name = "inner", arguments = { input = "go" } } } }, "done" } }
  local look = stoke.tool { name = "look", params = {}, run = function() return "a thing" end }
  local inner = stoke.team.round_robin { name = "inner", members = { world.agent("deep", { tools = { look } }) }, max_turns = 1 }
  local outer = stoke.team.round_robin { members = { world.agent("boss", { tools = { inner } }) }, max_turns = 1 }
  local path
  for ev in outer:stream "go" do
    local names, at = {}, ev
    while at.type == "nested" do
      names[#names + 1], at = at.agent, at.event
    end
    if at.type == "tool_call" and at.name == "look" then path = table.concat(names, " > ") end
  end
  t.eq(path, "boss > inner > deep")
end)

test("a call of a member that a person has to approve is asked for in the team's stream", function(t)
  local world <close> = teams { ada = { { tool_calls = { { name = "pay", arguments = {} } } }, "paid" } }
  local paid = 0
  local pay = stoke.tool { name = "pay", params = {}, needs_approval = true, run = function() paid = paid + 1 return "ok" end }
  local team = stoke.team.round_robin { members = { world.agent("ada", { tools = { pay } }) }, max_turns = 1 }
  local result
  for ev in team:stream "go" do
    if ev.type == "nested" and ev.event.type == "approval" then ev.event.pending:approve() end
    if ev.type == "done" then result = ev.result end
  end
  t.eq({ result.text, paid, #stoke.pending() }, { "paid", 1, 0 })
end)

test("in a conversation that is longer than the window the task is still there", function(t)
  local world <close> = teams({ ada = says(("ada says a lot. "):rep(40)), bob = says(("bob says as much. "):rep(40)) },
    { models = { "small" } })
  local members = {}
  for i, name in ipairs { "ada", "bob" } do members[i] = world.agent(name, { model = "small", options = { num_predict = 300 } }) end
  stoke.models { small = { num_ctx = 1024 } }
  local result = stoke.team.round_robin({ members = members, max_turns = 16 }):run "THE TASK: a slogan for a bakery"
  t.eq(#result.turns, 16)
  local last = world.asked.ada[#world.asked.ada]
  t.ok(#last < 10, #last)
  t.match(last[2].content, "THE TASK")
  t.match(last[#last].content, "bob says as much")
end)

test("a member that copies the form of the conversation does not say its own name, and no name is glued to an answer", function(t)
  local world <close> = teams { ada = says "ada: a draft", bob = says "**bob**: fine" }
  local result = stoke.team.round_robin({ members = { world.agent "ada", world.agent "bob" }, max_turns = 2 }):run "Talk"
  t.eq({ result.turns[1].text, result.text }, { "a draft", "fine" })
end)

test("two teams at once with the same members do not hear each other", function(t)
  local world <close> = teams({ ada = function(request)
    return { text = "on " .. request.messages[2].content:match "%w+", delay = 1 }
  end, bob = says { text = "yes", delay = 1 } }, { slots = 4 })
  local team = stoke.team.round_robin { members = { world.agent "ada", world.agent "bob" }, max_turns = 3 }
  local results = stoke.all { function() return team:run("cats") end, function() return team:run("dogs") end }
  t.eq({ results[1].text, results[2].text, #results[1].turns, results[1].usage.calls }, { "on cats", "on dogs", 3, 3 })
end)

test("when the money is spent in the middle the work so far is there", function(t)
  local world <close> = teams { ada = says "a draft", bob = says "fine" }
  local team = stoke.team.round_robin { name = "pair", members = { world.agent "ada", world.agent "bob" }, budget = { calls = 3 } }
  local err = t.raises("budget", team.run, team, "Talk")
  t.eq({ #err.work.messages, err.work.usage.calls, err.work.messages[4].name }, { 4, 3, "ada" })
end)

test("a failure that goes on leaves no silent gap: it is in the turns, in the failures and in what the others read", function(t)
  for _, name in ipairs { "round_robin", "selector", "swarm", "graph", "debate", "mixture", "vote", "orchestrate", "ledger" } do
    local world <close> = teams { ada = says(FAILS), bob = says "done", team = function(request)
      local properties = request.format and request.format.properties or {}
      if properties.reason then
        local text = request.messages[#request.messages].content
        return { json = { reason = "", done = text:find "bob: done" ~= nil, progress = true,
          next = text:find "ada could not" and "bob" or "ada", instruction = "go" } }
      end
      if properties.next then return { json = { next = properties.next.enum[1] } } end
      if properties.parts then return { json = { parts = { { part = "x", worker = "ada" } } } } end
      return "an answer"
    end }
    local given = { members = { world.agent "ada", world.agent "bob" }, retries = 0, on_failure = "go_on" }
    if ("round_robin selector graph ledger"):find(name, 1, true) then given.max_turns = 2 end
    if name == "graph" then given.edges = { { "ada", "bob" } } end
    if name == "swarm" then given.max_turns = 1 end
    local told = 0
    local ok, err = pcall(function()
      for ev in stoke.team[name](given):stream "go" do
        if ev.type == "failure" then told = told + 1 end
        if ev.type == "done" then t.eq({ name, #ev.result.failures, ev.result.failures[1].agent }, { name, told, "ada" }) end
      end
    end)
    t.ok(told >= 1, name)
    if not ok then t.eq({ name, err.kind }, { name, "http" }) end -- nobody else was left: it is raised
  end
end)

-- Plans, verdicts and choices are made; the last word fails.
local function last_word_fails()
  return teams { ada = function(_, n) return "A" .. n end, bob = function(_, n) return "B" .. n end, team = function(request)
    local properties = request.format and request.format.properties or {}
    local text = request.messages[#request.messages].content
    if properties.parts then return { json = { parts = { { part = "x", worker = "ada" }, { part = "y", worker = "bob" } } } } end
    if properties.reason then
      return { json = { reason = "", done = false, progress = true, next = "ada", instruction = "go" } }
    end
    return text:find "List in short" and "facts" or text:find "Write a plan" and "plan" or FAILS
  end }
end

local function with_last_word(name, world, more)
  local given = { members = { world.agent "ada", world.agent "bob" }, retries = 0 }
  if name == "ledger" then given.max_turns = 2 end
  for key, value in pairs(more or {}) do given[key] = value end
  return stoke.team[name](given)
end

test("where the last word fails and the team goes on, what was done is the answer", function(t)
  for name, wanted in pairs { orchestrate = "1. x\nA1\n\n2. y\nB1", mixture = "1. A1\n\n2. B1", debate = "ada: A2\n\nbob: B2",
    ledger = "A2" } do
    local world <close> = last_word_fails()
    local result = with_last_word(name, world, { on_failure = "go_on" }):run "go"
    t.eq({ name, result.text, #result.failures }, { name, wanted, 1 })
    t.match(result.stopped, "failed$")
  end
end)

test("an error that ends a team has its turns and tasks, and says whose it is", function(t)
  for _, name in ipairs { "orchestrate", "mixture", "debate", "ledger" } do
    local world <close> = last_word_fails()
    local team = with_last_word(name, world, { name = "crew" })
    local err = t.raises("http", team.run, team, "go")
    t.match(err.message, "^crew, %a+: .*boom")
    t.ok(#err.work.turns >= 2, name)
    if name == "orchestrate" then t.eq({ err.work.tasks[1].text, err.work.tasks[2].text }, { "A1", "B1" }) end
  end
end)

local DOT <const> = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="

test("members see the images of a question, and so does the team's own model where it is that of a member", function(t)
  local function seen(name, more)
    local world <close> = teams({ ada = says "a", bob = says "b", team = function(request)
      local properties = request.format and request.format.properties or {}
      if properties.parts then return { json = { parts = { { part = "x", worker = "ada" }, { part = "y", worker = "bob" } } } } end
      if properties.good ~= nil then return { json = { faults = {}, good = true } } end
      return "all"
    end }, { models = { "qwen2.5:3b,caps=completion+vision", "other" } })
    local given = { members = { world.agent "ada", name ~= "reflect" and world.agent "bob" or nil }, endpoint = world.url }
    for key, value in pairs(more or {}) do given[key] = value end
    stoke.team[name](given):run { text = "What is it?", images = { { data = DOT } } }
    local out = {}
    for i, request in ipairs(world.requests) do
      local count = 0
      for _, message in ipairs(request.messages) do count = count + #(message.images or {}) end
      out[world.order[i]] = count
    end
    return out
  end
  t.eq(seen "orchestrate", { team = 1, ada = 1, bob = 1 })
  t.eq(seen "debate", { team = 1, ada = 1, bob = 1 })
  t.eq(seen "mixture", { team = 1, ada = 1, bob = 1 })
  t.eq(seen "reflect", { team = 1, ada = 1 })
  t.eq(seen("orchestrate", { model = "other" }), { team = 0, ada = 1, bob = 1 })
end)
