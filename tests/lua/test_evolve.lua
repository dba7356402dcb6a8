-- stoke.evolve: a candidate for an agent's file is checked, swapped in, watched and taken back, in a real process.

local binary = require "binary"
local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local REAL <const> = { real = true, programs = true, timeout = 60 }

local CLERK <const> = [[
local stoke = require "stoke"
local M = { greeting = "hello" }
M.clerk = stoke.agent { name = "clerk", model = "qwen2.5:3b", instructions = "Sort." }
return M
]]

local TEST <const> = [[
local test = require "stoke.test"
local clerk = require "clerk"
test("greets", function(t) t.eq(clerk.greeting, "hello") end)
]]

local EVAL <const> = [[
local stoke = require "stoke"
return stoke.eval { run = require "clerk".clerk, scorers = { stoke.eval.equal() },
  cases = { { input = "charged twice", expected = "billing" }, { input = "it crashes", expected = "bug" } } }
]]

-- The "model" knows bugs if it is told to be careful, nothing if it is told to hurry, and is slow or fails if told so.
local SIM <const> = [[
return function(request)
  local told, said = "", request.messages[#request.messages].content
  for _, message in ipairs(request.messages) do if message.role == "system" then told = message.content end end
  if told:find "fail" and said ~= "charged twice" then return { error = "the model broke", status = 400 } end
  local answer = told:find "Hurry" and "?" or told:find "careful" and said:find "crash" and "bug" or "billing"
  return { text = answer, delay = told:find "slow" and 2 or 0 }
end
]]

-- It proposes the text in candidate.lua, and shows the verdict, and what the agent in service answers then.
local MAIN <const> = [[
local stoke = require "stoke"
local clerk = require "clerk"
local clerks = stoke.evolve { files = "clerk.lua", tests = { "clerk_test.lua" }, %s }
local over, sort = false, stoke.workflow("sort", function(text) return clerk.clerk:run(text).text end)
stoke.main(function()
  %s
  local verdict = clerks:propose { text = stoke.fs.read "candidate.lua", id = "one" }
  over = true
  verdict.answer = clerk.clerk:run("it crashes").text
  print(stoke.json.encode(verdict))
end)
]]

local function place(options, more)
  local here = binary.place { ["clerk.lua"] = CLERK, ["clerk_test.lua"] = TEST, ["clerk_eval.lua"] = EVAL, ["sim.lua"] = SIM,
    ["main.lua"] = MAIN:format(options or "watch = false", more or "") }
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  --- Propose CLERK with a text in place of another.
  function here.propose(from, to)
    local at, stop = CLERK:find(from, 1, true)
    fs.write(here.path .. "/candidate.lua", from == "" and to or CLERK:sub(1, at - 1) .. to .. CLERK:sub(stop + 1))
    local r = here.run("--sim=sim.lua", "main.lua")
    if r.code ~= 0 then error(r.stderr, 0) end
    return json.decode(r.stdout)
  end
  function here.text() return fs.read(here.path .. "/clerk.lua") end
  return here
end

test("evolve: a candidate that passes is in the file and in service, and the copy is gone", REAL, function(t)
  local here <close> = place 'eval = "clerk_eval.lua", better = true, watch = { seconds = 0.1 }'
  local verdict = here.propose("Sort.", "Sort carefully.")
  t.eq({ verdict.state, verdict.why, verdict.run }, { "kept", nil, "one" })
  t.eq({ verdict.eval.before.passed, verdict.eval.after.passed, verdict.tests.passed }, { 1, 2, 1 })
  t.contains(here.text(), "Sort carefully.")
  t.eq(verdict.answer, "bug")
  t.eq(fs.list(here.path .. "/.stoke/evolve"), {})
end)

local function refused(t, here, verdict, at, why)
  t.eq({ verdict.state, verdict.at }, { "refused", at })
  t.match(verdict.why, why)
  t.eq(here.text(), CLERK)
  t.eq(verdict.answer, "billing", "the agent in service is the old one")
end

test("evolve: a text that does not compile is refused, with its line", REAL, function(t)
  local here <close> = place()
  refused(t, here, here.propose("Sort.", 'Sort." if'), "text", "clerk%.lua:3: ")
  t.eq(fs.stat(here.path .. "/.stoke/evolve"), nil, "no copy was made for it")
end)

test("evolve: one that breaks a test is refused, with what the test says", REAL, function(t)
  local here <close> = place 'eval = "clerk_eval.lua"'
  local verdict = here.propose("hello", "bye")
  refused(t, here, verdict, "tests", 'clerk_test%.lua: greets: .*"bye"')
  t.eq(verdict.eval, nil, "nothing was asked of a model")
end)

test("evolve: one that answers worse is refused, however good its tests", REAL, function(t)
  local here <close> = place 'eval = "clerk_eval.lua"'
  refused(t, here, here.propose("Sort.", "Hurry."), "eval", "0 of 2 cases pass, 1 did before")
end)

test("evolve: with `better` one that is as good is refused", REAL, function(t)
  local here <close> = place 'eval = "clerk_eval.lua", better = true'
  refused(t, here, here.propose("Sort.", "Sort it."), "eval", "1 of 2 cases pass, 1 did before")
end)

test("evolve: one that is much slower is refused", REAL, function(t)
  local here <close> = place 'eval = "clerk_eval.lua"'
  refused(t, here, here.propose("Sort.", "Sort, slow."), "eval", "s a trial in place of .* more than 1%.5 times as much")
end)

test("evolve: one whose body does work is refused at the swap, and the old text is in the file again", REAL, function(t)
  local here <close> = place()
  refused(t, here, here.propose("return M", 'stoke.fs.write("mark.txt", "") return M'), "swap", "effect in the body")
  t.eq(fs.stat(here.path .. "/mark.txt"), nil)
end)

test("evolve: tests and evaluations of a candidate can write to their copy alone", REAL, function(t)
  local here <close> = place()
  if not require "stoke.proc".sandbox_level():find "landlock" then t.skip "no sandbox for files on this system" end
  local outside = here.path .. "/outside.txt"
  local body = ("M.greeting = pcall(stoke.fs.write, %q, 'x') and 'written' or 'bye' return M"):format(outside)
  refused(t, here, here.propose("return M", body), "tests", '"bye"')
  t.eq(fs.stat(outside), nil)
end)

test("evolve: a candidate cannot set the policy", REAL, function(t)
  local here <close> = place()
  refused(t, here, here.propose("return M", "stoke.policy { allow = { tool = { '*' } } } return M"), "swap", "sets the policy")
end)

test("evolve: one that fails in service is taken back by itself, and the reason is in the verdict", REAL, function(t)
  local here <close> = place("watch = { seconds = 30, runs = 3, errors = 0.5 }", [[
    stoke.spawn(function() while not over do stoke.try(function() clerk.clerk:run "it crashes" end) stoke.sleep(0.05) end end)
  ]])
  local verdict = here.propose("Sort.", "Sort, and fail.")
  t.eq({ verdict.state, verdict.at, verdict.answer }, { "taken_back", "service", "billing" })
  t.match(verdict.why, "%d of %d runs failed, the last with http: ")
  t.eq(here.text(), CLERK)
end)

test("evolve: one that a check of its own finds bad is taken back", REAL, function(t)
  local here <close> = place([[watch = { seconds = 30, check = function(seen) return seen.runs < 1, "no runs, please" end }]],
    [[stoke.spawn(function() while not over do clerk.clerk:run "hi" stoke.sleep(0.1) end end)]])
  local verdict = here.propose("Sort.", "Sort now.")
  t.eq({ verdict.state, verdict.why, verdict.service.runs }, { "taken_back", "no runs, please", 1 })
  t.eq(here.text(), CLERK)
end)

test("evolve: a file that was edited by hand meanwhile is not taken back", REAL, function(t)
  local here <close> = place([[watch = { seconds = 30, check = function(seen)
    if seen.runs == 0 then return true end
    stoke.fs.write("clerk.lua", (stoke.fs.read "clerk.lua":gsub("Sort", "By hand: sort")))
    return false, "bad"
  end }]], [[stoke.spawn(function() while not over do clerk.clerk:run "hi" stoke.sleep(0.1) end end)]])
  local verdict = here.propose("Sort.", "Sort now.")
  t.eq(verdict.state, "kept")
  t.match(verdict.why, "bad; it was not taken back, since the file was changed meanwhile")
  t.contains(here.text(), "By hand")
end)

test("evolve: a proposal is a run with all its steps; proposed again with its id it is the same one", REAL, function(t)
  local here <close> = place()
  t.eq(here.propose("Sort.", "Sort it.").state, "kept")
  t.eq(here.propose("Sort.", "Sort all.").state, "kept")
  t.contains(here.text(), "Sort it.", "the second one has the id of the first")
  local shown = here.run("show", "one").stdout
  for _, step in ipairs { "present", "text", "tests", "change_file" } do t.contains(shown, step) end
end)

test("evolve: a process that is killed while it watches goes on when it starts again, and takes it back", REAL, function(t)
  local here <close> = place([[watch = { seconds = 30, check = function() return not stoke.fs.stat "bad.txt", "bad" end }]],
    [[stoke.spawn(function() while not over do clerk.clerk:run "hi" stoke.sleep(0.05) end end)]])
  fs.write(here.path .. "/candidate.lua", (CLERK:gsub("Sort", "Sort carefully")))
  do
    local first <close> = proc.spawn { argv = { about.executable(), "--sim=sim.lua", "main.lua" }, cwd = here.path, env = here.env,
      env_allow = binary.PASSED_ON }
    while not here.text():find "carefully" do stoke.sleep(0.02) end
    stoke.sleep(0.1)
    first:kill "KILL"
  end
  t.contains(here.text(), "carefully")
  fs.write(here.path .. "/bad.txt", "")
  local verdict = here.propose("Sort.", "Sort carefully.")
  t.eq({ verdict.state, verdict.why, verdict.answer }, { "taken_back", "bad", "billing" })
  t.eq(here.text(), CLERK)
end)

test("evolve: a person sees the change and what was found, and decides", REAL, function(t)
  for _, decision in ipairs { "approve", "reject('too bold')" } do
    local here <close> = place('ask = true, watch = false, eval = "clerk_eval.lua"', ([[
      stoke.spawn(function()
        while not stoke.pending()[1] do stoke.sleep(0.02) end
        local asked = stoke.pending()[1]
        stoke.fs.write("asked.txt", asked.args.change .. "\n" .. asked.args.checks)
        asked:%s
      end)]]):format(decision:find "%(" and decision or decision .. "()"))
    local verdict = here.propose("Sort.", "Sort carefully.")
    local asked = fs.read(here.path .. "/asked.txt")
    t.match(asked, '^line 3:\n%- M%.clerk = .-"Sort%." }\n%+ M%.clerk = .-"Sort carefully%." }\n1 tests passed; 2 of 2 cases pass')
    if decision == "approve" then
      t.eq({ verdict.state, verdict.answer }, { "kept", "bug" })
    else
      refused(t, here, verdict, "person", "too bold")
    end
  end
end)

test("evolve: runs that were recorded must ask the same", REAL, function(t)
  local here <close> = place("replay = 5, watch = false", 'sort:start("hi", { id = "sorted" }):await()')
  local verdict = here.propose("Sort.", "Sort now.")
  refused(t, here, verdict, "replay", "run sorted: .*asks something else")
  fs.remove(here.path .. "/.stoke", { recursive = true })
  verdict = here.propose("greeting", "hello = 1, greeting")
  t.eq({ verdict.state, verdict.replay.runs }, { "kept", 1 })
end)

test("evolve: programs that judge it run in the copy", REAL, function(t)
  local here <close> = place 'watch = false, commands = { { "grep", "-q", "careful", "clerk.lua" } }'
  refused(t, here, here.propose("Sort.", "Sort."), "text", "is the text that is in service")
  fs.remove(here.path .. "/.stoke", { recursive = true })
  refused(t, here, here.propose("Sort.", "Hurry."), "commands", "grep %-q careful clerk%.lua: it ended with code 1")
  fs.remove(here.path .. "/.stoke", { recursive = true })
  t.eq(here.propose("Sort.", "Sort carefully.").state, "kept")
end)

test("evolve: what may change is said in its definition, and nothing else", function(t)
  local evolve = require "stoke.evolve"
  local clerks = evolve { files = { "agents/*.lua", "clerk.lua" }, tests = { "tests" }, name = "clerks" }
  t.eq({ clerks:may "agents/a.lua", clerks:may "agents/b/a.lua", clerks:may "clerk.lua", clerks:may "main.lua" },
    { true, false, true, false })
  t.raises("denied", clerks.propose, clerks, { file = "main.lua", text = "x" })
  for _, path in ipairs { "../clerk.lua", "/etc/passwd", "agents/../main.lua" } do
    t.raises("argument", clerks.propose, clerks, { file = path, text = "x" })
  end
  t.match(t.raises("argument", clerks.propose, clerks, { text = "x" }).message, "which of agents/%*%.lua, clerk%.lua")
  t.raises("argument", evolve, {})
  t.raises("argument", evolve, { files = "a.lua", tests = { "a.lua" } })
  t.raises("argument", evolve, { files = "a.lua", watch = { errors = 2 } })
  t.raises("argument", evolve, { files = "a.lua", slower = 0 })
  t.raises("argument", evolve, { files = "a.lua", commands = { "luacheck" } })
  t.raises("limit", clerks.propose, clerks, { file = "clerk.lua", text = ("x"):rep(1 << 21) })
end)
