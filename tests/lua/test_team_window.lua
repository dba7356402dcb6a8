-- Teams whose models have small windows: what is asked is made to fit, and no work is lost. stdlib/team/window.lua

local test = require "stoke.test"
local stoke = require "stoke"
local teams = require "teams"
local window = require "stoke.team.window"

local LONG <const> = ("word "):rep(400)
local MEMBERS <const> = { "ada", "bob", "eve" }

local function plan(count)
  local parts = {}
  for i = 1, count do parts[i] = { part = "part " .. i, worker = MEMBERS[i % 3 + 1] } end
  return { json = { parts = parts } }
end

-- Members say much; the team's own questions are answered by their shape.
local function world_of()
  local scripts = { team = function(request)
    local properties = request.format and request.format.properties or {}
    if properties.parts then return plan(8) end
    if properties.reason then
      return { json = { reason = "", done = false, progress = true, next = "ada", instruction = "go" } }
    end
    if properties.good then return { json = { faults = { "f" }, good = false } } end
    return { json = { next = properties.next and properties.next.enum[1] } }
  end }
  for _, name in ipairs(MEMBERS) do
    scripts[name] = function(_, n) return ("%s %d %s"):format(name, n, LONG) end
  end
  local world = teams(scripts, { context = 2048 })
  world.members = {}
  for i, name in ipairs(MEMBERS) do world.members[i] = world.agent(name) end
  return world
end

local function last(world) return world.requests[#world.requests].messages end

test("who speaks for the first time late in a conversation hears the task and the newest of it", function(t)
  local world <close> = world_of()
  local room = stoke.team.selector { members = world.members, max_turns = 31, select = function(state)
    return #state.turns == 30 and "eve" or #state.turns % 2 == 0 and "ada" or "bob"
  end }
  local shortened = 0
  for ev in room:stream "THE TASK" do
    if ev.type == "shortened" then
      shortened = shortened + 1
      t.eq({ ev.agent, ev.err.kind }, { "eve", "context_overflow" })
    end
    if ev.type == "done" then t.eq({ #ev.result.turns, ev.result.agent }, { 31, "eve" }) end
  end
  local messages = last(world)
  t.eq({ shortened, messages[2].content }, { 1, "THE TASK" })
  t.match(messages[#messages].content, "^bob: bob 15 ")
end)

test("who chooses reads the newest, cut to what fits", function(t)
  local world <close> = world_of()
  local room = stoke.team.selector { members = world.members, max_turns = 12 }
  t.eq(#room:run("THE TASK").turns, 12)
  local asked = world.asked.team[#world.asked.team][2].content
  t.contains(asked, "THE TASK")
  t.contains(asked, "[cut: the first ")
end)

test("the answer is made of all parts of a plan, each cut to its share", function(t)
  local world <close> = world_of()
  local result = stoke.team.orchestrate({ members = world.members, max_tasks = 8,
    editor = world.agent "bob" }):run "THE TASK"
  t.eq({ #result.tasks, result.stopped }, { 8, "8 of 8 parts done" })
  for i = 1, 8 do t.match(last(world)[2].content, ("%d%%. part %d\n%%a+ %%d word"):format(i, i)) end
  t.eq(#result.tasks[1].text > 2000, true) -- the result has all of it
end)

test("debates, mixtures, ledgers, graphs and criticism go on in a small window", function(t)
  local world <close> = world_of()
  local members = world.members
  local judge = world.agent "eve"
  t.match(stoke.team.debate({ members = members, rounds = 3, judge = judge }):run("THE TASK").stopped, "judged")
  t.contains(last(world)[2].content, "THE TASK")
  t.match(stoke.team.mixture({ members = members, layers = 3, aggregator = judge }):run("THE TASK").text, "^eve")
  local ledger = stoke.team.ledger { members = members, max_turns = 20, manager = world.agent "team" }
  t.eq(ledger:run("THE TASK").stopped, "max_turns (20)")
  t.eq(stoke.team.reflect({ members = { members[1] }, rounds = 9 }):run("THE TASK").stopped, "rounds (9)")
  local flow = stoke.team.graph { members = members, max_visits = 6,
    edges = { { "ada", "eve" }, { "bob", "eve" }, { "eve", "ada" }, { "eve", "bob" } },
    join = { eve = "all" }, begin = { "ada", "bob" } }
  t.match(flow:run("THE TASK").text, "^eve")
end)

test("what cannot be made to fit is the error that it was", function(t)
  local world <close> = world_of()
  local pair = stoke.team.round_robin { members = world.members, max_turns = 3 }
  local err = t.raises("context_overflow", pair.run, pair, ("why "):rep(4000))
  t.match(err.message, "context window 2048")
  t.eq(#world.requests, 0)
end)

test("a question is asked anew only where nothing was done yet", function(t)
  local function anew(tool_calls, kind)
    return window.overflows { kind = kind or "context_overflow", work = tool_calls and { usage = { tool_calls = tool_calls } } }
  end
  t.eq({ anew(), anew(0), anew(1), anew(0, "http") }, { true, true, false, false })
end)
