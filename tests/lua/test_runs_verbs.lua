-- The verbs of durable runs, as a person types them: a workflow that is run by the binary, looked at, played again, forked,
-- compared,
-- decided and resumed.

local test = require "stoke.test"
local about = require "core.about"
local binary = require "binary"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"

local TRIP = [[
local stoke = require "stoke"
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }
local flow = stoke.workflow("trip", function(city)
  local side = stoke.spawn(function() stoke.sleep(1) end)
  print("asking about " .. city)
  local answer = guide:run("Umbrella in " .. city .. "?").text
  side:await()
  return answer
end)
stoke.main(function(args) print(flow:start(args[1] or "Oslo", { id = args[2] or "trip-7" }):await()) end)
]]

local ANSWERS = [[return { { tool = "get_weather", args = { city = "Oslo" } }, "Take one.", "Leave it." }]]
local SIM = "--sim=answers.lua"

local function place()
  local here = binary.place { ["trip.lua"] = TRIP, ["answers.lua"] = ANSWERS, ["later.lua"] = 'return { "Leave it." }' }
  here.env.OLLAMA_HOST = "127.0.0.1:9"
  return here
end

--- One verb, without times.
local function out(here, ...)
  local r = here.run(...)
  return r.stdout:gsub("%d%d%d%d%-%d%d%-%d%d %d%d:%d%d:%d%d UTC", "DATE"):gsub("%d+m?%.?%d*s", "0.0s"), r.stderr, r.code
end

test("verbs: a run is listed and shown", { real = true }, function(t)
  local here <close> = place()
  t.eq(here.run("trip.lua", SIM).stdout, "asking about Oslo\nTake one.\n")
  t.eq({ out(here, "runs") }, { [[
ID      WORKFLOW  STATE  SINCE  WAITS FOR  CALLS  TOKENS
trip-7  trip      done    0.0s                 2     160
]], "", 0 })
  t.eq(out(here, "show", "tr"), [[
trip-7  trip  done
begun DATE (0.0s ago), 5 records, 2 model calls, 151 tokens in, 9 out
result: "Take one."

 #  AFTER  TOOK  TOKENS  WHAT                                 OUTCOME
1    0.0s  0.0s          guide: llm.learned qwen2.5:3b
2    0.0s  0.0s    61+7  guide: llm.chat qwen2.5:3b           calls get_weather {city=Oslo}
3    0.0s  0.0s          sleep 1 s
4    0.0s  0.0s          guide: tool get_weather {city=Oslo}  "4 degrees, rain in Oslo"
5    0.0s  0.0s    90+2  guide: llm.chat qwen2.5:3b           "Take one."
]])
  local shown = json.decode(here.run("show", "trip-7", "--json").stdout)
  t.eq({ shown.run.id, #shown.records, shown.records[4].outcome }, { "trip-7", 5, '"4 degrees, rain in Oslo"' })
  t.eq(json.decode(here.run("runs", "--json").stdout).result, "Take one.")
  t.ok(here.run("show", "trip-7", "--record", "4").stdout:find('outcome  done after [^\n]*\n    "4 degrees, rain in Oslo"\n'))
end)

test("verbs: a replay makes no call, prints what the run printed, and compares", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq({ out(here, "replay", "trip-7") }, { "asking about Oslo\n", "5 effects, all the same\n", 0 })
  t.eq({ out(here, "replay", "trip-7", "--check") }, { "5 effects, all the same\n", "", 0 })
  t.eq(json.decode(here.run("replay", "trip-7", "--json").stdout), { effects = 5, ended = true, same = true, state = "done" })
end)

test("verbs: a replay goes on the code of the run, whatever the file says by now", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  fs.write(here.path .. "/trip.lua", "error 'changed'")
  t.eq(here.run("replay", "trip-7", "--check").stdout, "5 effects, all the same\n")
end)

test("verbs: a replay on the files as they are now says where an edited one parts", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  fs.write(here.path .. "/trip.lua", "-- a comment\n" .. TRIP)
  t.eq(here.run("replay", "trip-7", "--check", "--latest").stdout, "5 effects, all the same\n")
  fs.write(here.path .. "/trip.lua", (TRIP:gsub("Umbrella in", "A hat in")))
  local r = here.run("replay", "trip-7", "--check", "--latest")
  t.eq(r.code, 1)
  t.eq(r.stdout, [[
1 effect the same, then a difference:
#2 guide: llm.chat qwen2.5:3b (trip.lua:8) asks something else: body.messages[1].content differs at byte 1
  recorded: "Umbrella in Oslo?"
  replayed: "A hat in Oslo?"
]])
  fs.write(here.path .. "/trip.lua", (TRIP:gsub("guide:run.-text", '"none"')))
  t.ok(here.run("replay", "trip-7", "--check", "--latest").stdout:find(
    "the run goes on without what comes next in its recording: #1 guide: llm.learned qwen2.5:3b (trip.lua:8)\n", 1, true))
  fs.write(here.path .. "/trip.lua", (TRIP:gsub("  local answer", "  stoke.env.get 'X' local answer")))
  t.ok(here.run("replay", "trip-7", "--check", "--latest").stdout:find(
    "env X (trip.lua:8) was not asked when it was recorded; there comes #1 guide: llm.learned qwen2.5:3b (trip.lua:8)\n", 1, true))
  fs.remove(here.path .. "/trip.lua")
  local gone = here.run("replay", "trip-7", "--latest").stderr
  t.ok(gone:find "the file trip.lua of the run cannot be read: [^\n]*\n  hint: without %-%-latest", gone)
end)

test("verbs: the prompt inside a run", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  local r = proc.run { argv = { about.executable(), "replay", "trip-7", "--to", "2" }, cwd = here.path, env = here.env,
    timeout = 60,
    env_allow = binary.PASSED_ON,
    stdin = "city\n:locals\n:scopes\n:tasks\n:step\nanswer\nstoke.sleep(1)\ncity = 1\nstoke.version == nil\n:to 1\n:go\n" }
  t.eq(r.stdout:gsub("SPAWNED AT%s*\n", "SPAWNED AT\n"), [[
#2 of 5  guide: llm.chat qwen2.5:3b  -> calls get_weather {city=Oslo}
    trip.lua:8:  local answer = guide:run("Umbrella in " .. city .. "?").text
"Oslo"
(outer) stoke = table { ...
(outer) guide = stoke.agent { ...
city = "Oslo"
side = stoke.task { ...
task run  * the run stands still here
  task task
TASK  NAME  WAITS FOR            AT          SPAWNED AT
*1    run   (stands still here)  trip.lua:8  the host
2     task  replay               trip.lua:6  trip.lua:6
#4 of 5  guide: tool get_weather {city=Oslo}  -> "4 degrees, rain in Oslo"
    trip.lua:8:  local answer = guide:run("Umbrella in " .. city .. "?").text
false
]])
  t.eq(r.stderr, [[
script: answer is neither a local of this place nor a global
  hint: :locals lists them
denied: the run stands still: here nothing is done, only looked at
  hint: :step goes on with the run
argument: city cannot be assigned: the run is a recording, and is not changed here
  hint: stoke fork ID --set N=JSON makes another run of it
usage: the run is past #1; it does not go back
  hint: stoke replay ID --to N begins again
the run is at its end: 5 effects, all the same
]])
  t.eq(r.code, 0)
end)

test("verbs: leaving the prompt ends the replay, and leaves the run as it is", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  local r = proc.run { argv = { about.executable(), "replay", "trip-7", "--to", "1" }, cwd = here.path, env = here.env,
    timeout = 60,
    env_allow = binary.PASSED_ON, stdin = ":quit\n" }
  t.eq({ r.code, r.stderr }, { 0, "" })
  t.eq(here.run("replay", "trip-7", "--check").stdout, "5 effects, all the same\n")
end)

test("verbs: a fork with another outcome, resumed, and compared", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq(out(here, "fork", "trip-7", "--set", '4="25 degrees, sun"'), [[
trip-7-2 begins with the first 4 records of trip-7
stoke resume trip-7-2 continues it; so does a script that defines trip
]])
  t.eq({ out(here, "resume", "trip-7-2", "--sim=later.lua") }, { "asking about Oslo\n", 'trip-7-2: done, "Leave it."\n', 0 })
  t.eq(out(here, "diff", "trip-7", "trip-7-2"):match "\n\n(.*)$", [[
the first 3 records are the same, then:
#4 guide: tool get_weather {city=Oslo}  at trip.lua:8
  the same question, another outcome: it differs at byte 1
    A: "4 degrees, rain in Oslo"
    B: "25 degrees, sun"
what followed: 1 asks something else
the end: result differs at byte 1
  A: "Take one."
  B: "Leave it."
]])
  local difference = json.decode(here.run("diff", "trip-7", "trip-7-2", "--json").stdout)
  t.eq({ difference.before, difference.first.kind, difference.b.fork_of }, { 3, "outcome", "trip-7" })
  t.eq(here.run("replay", "trip-7-2", "--check").stdout, "5 effects, all the same\n")
end)

test("verbs: a fork that keeps what followed from another outcome is parked where it parts", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq(here.run("fork", "trip-7", "--at", "5", "--set", '4="sun"').stderr,
    "records 5 to 5 keep their outcomes: where the run asks something else there, it is parked; --at 4 asks anew\n")
  local r = here.run("resume", "trip-7-2", "--sim=later.lua")
  t.eq({ r.code, r.stderr:match "^stoke: replay: diverged at #5" }, { 1, "stoke: replay: diverged at #5" })
  t.ok(here.run("runs").stdout:find "\ntrip%-7%-2  trip      parked +[%d.]+s  it does not go as recorded: diverged at #5: .-…  ")
end)

test("verbs: a script without stoke.main is refused before anything of it is done", { real = true }, function(t)
  local here <close> = binary.place { ["top.lua"] = 'print "done"' }
  t.eq({ out(here, "run", "--durable=a", "top.lua") }, { "", [[
stoke: usage: top.lua has no stoke.main, which is what a durable run does
  hint: put what the script does into it: stoke.main(function(args) ... end)
]], 2 })
end)

test("verbs: an exported run is shown and played without its store", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq(here.run("export", "trip-7").stdout, "trip-7.run: stoke replay trip-7.run --check repeats it\n")
  local elsewhere <close> = binary.place { ["bug.run"] = fs.read(here.path .. "/trip-7.run") }
  t.eq(elsewhere.run("replay", "bug.run", "--check").stdout, "5 effects, all the same\n")
  t.ok(elsewhere.run("show", "bug.run").stdout:find '"Take one."')
end)

test("verbs: a run whose id is any bytes is exported, and played from the file", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM, "Oslo", "\xff\xfe")
  t.eq({ out(here, "export", "@1", "odd.run") }, { "odd.run: stoke replay odd.run --check repeats it\n", "", 0 })
  t.eq({ out(here, "replay", "odd.run", "--check") }, { "5 effects, all the same\n", "", 0 })
end)

test("verbs: no verb prints an id that a terminal would obey, and each says how to type it", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM, "Oslo", "\27[2J")
  t.eq({ out(here, "fork", "@1", "--at", "2") }, { [[
\u{1B}[2J-2 begins with the first 2 records of \u{1B}[2J
stoke resume @2 continues it; so does a script that defines trip
]], "", 0 })
  t.eq(here.run("resume", "@2", "--sim=later.lua").stderr, '\\u{1B}[2J-2: done, "Leave it."\n')
  local r = here.run("approve", "@2")
  t.ok(not (r.stderr .. here.run("completion", "--words", "--", "show", "@").stdout):find "\27")
  fs.write(here.path .. "/stop.lua", [[
local stoke = require "stoke"
stoke.main(function()
  stoke.proc.run { argv = { "sh", "-c", "kill -INT $PPID" } }
  stoke.sleep(60)
end)]])
  r = here.run("run", "--durable=\27[2J-3", "stop.lua")
  t.eq(r.stderr:match "^[^\n]*", "stoke: run \\u{1B}[2J-3 is kept: stoke resume @3 continues it")
end)

test("verbs: the code of an exported run reaches nothing", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  here.run("export", "trip-7", "bug.run")
  local text = fs.read(here.path .. "/bug.run")
  local body = [["require(\"stoke.fs\").write(\"evil.txt\", \"x\") local stoke = require]]
  local evil = text:gsub('"local stoke = require', function() return body end, 1)
  t.ok(evil ~= text)
  fs.write(here.path .. "/evil.run", evil)
  local r = here.run("replay", "evil.run", "--check")
  t.ok(r.code ~= 0 and r.stderr:find("evil.txt", 1, true), r.stdout .. r.stderr)
  t.eq(fs.stat(here.path .. "/evil.txt"), nil)
  t.eq(here.run("replay", "bug.run", "--check").stdout, "5 effects, all the same\n")
end)

test("verbs: a run as a cassette is what a test asks", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq(here.run("export", "trip-7", "cassettes/trip.jsonl").stdout,
    'cassettes/trip.jsonl: a test with { cassette = "trip" } beside its folder asks the same, offline\n')
  fs.write(here.path .. "/trip_test.lua", [[
local test, stoke = require "stoke.test", require "stoke"
local weather = stoke.tool { name = "get_weather", description = "Current weather in a city", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }
test("as it was", { cassette = "trip" }, function(t) t.eq(guide:run("Umbrella in Oslo?").text, "Take one.") end)
]])
  local r = here.run("test", "trip_test.lua")
  t.ok(r.stdout:find "1 passed, 0 failed", r.stdout .. r.stderr)
end)

test("verbs: a replay that parts says where, with exit code 1", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  here.run("export", "trip-7", "bug.run")
  local text = fs.read(here.path .. "/bug.run")
  fs.write(here.path .. "/bug.run", (text:gsub('run%(\\"Umbrella in ', 'run(\\"A hat in ')))
  local r = here.run("replay", "bug.run", "--check")
  t.eq(r.code, 1)
  t.ok(r.stdout:find('\n  recorded: "Umbrella in Oslo?"\n  replayed: "A hat in Oslo?"\n', 1, true), r.stdout)
  local loud = here.run("replay", "bug.run")
  t.eq({ loud.code, loud.stderr:match "^stoke: replay: diverged at" }, { 1, "stoke: replay: diverged at" })
end)

local BOOK = [[
local stoke = require "stoke"
local book = stoke.tool { name = "book_flight", description = "Book a flight", params = { to = "string: city" },
  needs_approval = os.getenv "ASK" == "yes", run = function(args)
    if os.getenv "SLOW" == "yes" then
      stoke.fs.mkdir "seat"
      stoke.sleep(60)
    end
    return "booked " .. args.to
  end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { book } }
local flow = stoke.workflow("book", function() return guide:run("Book a flight").text end)
stoke.main(function() print(flow:start(nil, { id = "book-1" }):await()) end)
]]

local function booking(mode)
  local here = binary.place { ["book.lua"] = BOOK, ["later.lua"] = 'return { "It is done." }',
    ["answers.lua"] = [[return { { tool = "book_flight", args = { to = "Rome" } } }]] }
  here.env[mode], here.env.OLLAMA_HOST = "yes", "127.0.0.1:9"
  return here
end

--- Run the script until `reached`, and kill it.
local function killed(here, reached)
  local child <close> = proc.spawn { argv = { about.executable(), "book.lua", SIM }, cwd = here.path, env = here.env,
    env_allow = binary.PASSED_ON }
  while not reached(here) do stoke.sleep(0.05) end
  child:kill "SIGKILL"
  stoke.try(child.wait, child)
end

local function state_is(state)
  return function(here)
    local r = here.run("runs", "--json")
    return r.code == 0 and r.stdout ~= "" and json.decode(r.stdout:match "^[^\n]*").state == state
  end
end

test("verbs: an approval is given while no host is up, and the run goes on", { real = true }, function(t)
  local here <close> = booking "ASK"
  killed(here, state_is "waiting")
  local shown = out(here, "show", "book-1")
  t.eq(shown:match "\n\n(#.*)$", [[
#3 waits for approval since DATE: guide wants tool book_flight {"to":"Rome"}
  stoke approve book-1 --of 3
  stoke approve book-1 --of 3 --reject WHY
]])
  t.eq(here.run("approve", "book-1", "--of", "3").stdout, [[
approved: #3 of book-1: tool book_flight {to=Rome}
no process has it: stoke resume book-1 continues it
]])
  t.eq(here.run("resume", "book-1", "--sim=later.lua").stderr, 'book-1: done, "It is done."\n')
  t.eq(here.run("show", "book-1", "--record", "3", "--json").stdout:match '"value":"([^"]*)"', "booked Rome")
end)

test("verbs: a host that is up notices an approval", { real = true }, function(t)
  local here <close> = booking "ASK"
  fs.write(here.path .. "/answers.lua", 'return { { tool = "book_flight", args = { to = "Rome" } }, "It is done." }')
  local child <close> = proc.spawn { argv = { about.executable(), "book.lua", SIM }, cwd = here.path, env = here.env,
    env_allow = binary.PASSED_ON }
  while not state_is "waiting"(here) do stoke.sleep(0.05) end
  here.run("approve", "book-1")
  t.eq(stoke.timeout(30, child.read, child), "It is done.\n")
  t.eq(here.run("runs", "--json").stdout:match '"state":"(%a+)"', "done")
end)

test("verbs: a run that a killed process left is said to be nobody's, and one that is alive is not", { real = true }, function(t)
  local here <close> = booking "SLOW"
  killed(here, function()
    local r = here.run("show", "book-1", "--json")
    if r.code ~= 0 or #json.decode(r.stdout).records < 5 then return false end
    t.ok(not here.run("runs").stdout:find("no process has it", 1, true))
    return true
  end)
  t.match(here.run("runs").stdout, "no process has it[:;]")
  t.match(here.run("show", "book-1").stdout, "^book%-1  book  [^\n]*%(no process has it: stoke resume book%-1%)\n")
  t.eq(json.decode(here.run("runs", "--json").stdout).left, true)
end)

test("verbs: a rejection is what the model reads", { real = true }, function(t)
  local here <close> = booking "ASK"
  killed(here, state_is "waiting")
  t.eq(here.run("approve", "book-1", "--reject", "too dear").stdout:match "[^\n]*",
    "rejected: #3 of book-1: tool book_flight {to=Rome}")
  t.eq(here.run("approve", "book-1", "--args", "[]").stderr:match "[^\n]*", "stoke: usage: --args wants a JSON object: got a list")
  here.run("resume", "book-1", "--sim=later.lua")
  t.ok(here.run("show", "book-1").stdout:find("3-[^\n]*refused: denied: [^\n]*was rejected: too dear"))
end)

test("verbs: what is in doubt is said, and resolved with a value", { real = true }, function(t)
  local here <close> = booking "SLOW"
  killed(here, function()
    local r = here.run("show", "book-1", "--json")
    return r.code == 0 and #json.decode(r.stdout).records >= 6
  end)
  here.env.SLOW = nil
  local r = here.run("resume", "--all", "--sim=later.lua")
  t.eq(r.code, 5, r.stderr)
  t.ok(r.stderr:find("book-1: in_doubt: fs.mkdir seat (#5, book.lua:", 1, true), r.stderr)
  t.eq(here.run("show", "book-1").stdout:match "\n\n(#.*)$", [[
#3 is in doubt: tool book_flight {to=Rome}
  It had begun #5 fs.mkdir seat, and the process ended before its outcome was recorded. Check whether it happened, then:
  stoke resolve book-1 --retry          it did not happen: do it
  stoke resolve book-1 --value JSON     it happened, with this outcome
  stoke resolve book-1 --fail WHY       it failed: the run gets an error
]])
  t.ok(here.run("runs", "--status", "parked").stdout:find "\nbook%-1 ")
  t.eq(here.run("resolve", "book-1", "--value", '"booked by hand"').stdout, [[
#3 of book-1: tool book_flight {to=Rome}: done, with the given outcome
stoke resume book-1 continues it; so does a script that defines its workflow
]])
  t.eq(here.run("resume", "--all", "--json", "--sim=later.lua").stdout, '{"id":"book-1","result":"It is done."}\n')
  t.eq(here.run("resume", "--all").stderr, "no unfinished run\n")
end)

test("verbs: mistakes in what is typed, each with what to type", { real = true }, function(t)
  local here <close> = place()
  local function fails(message, hint, ...)
    local r = here.run(...)
    t.eq({ r.stdout, r.stderr, r.code }, { "", ("stoke: usage: %s\n  hint: %s\n"):format(message, hint), 2 })
  end
  fails("there is no store of durable runs: no file ./.stoke/state.db, and none at " .. here.path .. "/.local/state/stoke/state.db",
    "stoke run --durable FILE makes one beside the script; --store FILE names it", "runs")
  here.run("trip.lua", SIM)
  fails('no run has the id "trp-7"', "did you mean trip-7? stoke runs lists them", "show", "trp-7")
  fails("--status cannot be 'waitin'", "did you mean 'waiting'?", "runs", "--status", "waitin")
  fails("trip-7 has no record #9", "it has 5", "show", "trip-7", "--record", "9")
  fails("trip-7 has no record #9", "it has 5: stoke show trip-7", "replay", "trip-7", "--to", "9")
  fails("--set wants N=JSON or KEY=JSON, got 'x'", "stoke show ID lists the records", "fork", "trip-7", "--set", "x")
  fails("--set 4: the outcome is no JSON: invalid JSON at byte 1: expected a value, found 's'",
    "a text stands in quotes: --set '4=\"...\"'",
    "fork", "trip-7", "--set", "4=sun")
  fails("which run? stoke resume ID, or --all", "stoke runs lists them", "resume")
  fails("--workflow goes with --all", "stoke resume --all --workflow trip", "resume", "trip-7", "--workflow", "trip")
  fails("what happened to it? --retry, --value JSON or --fail WHY", "stoke show ID says what is in doubt", "resolve", "trip-7")
  fails("which runs? --older 30d, or --bytes 1gb", "add --dry-run to list them and delete nothing", "prune")
  fails("--older wants a number and a unit, got '30'", "as in --older 30d", "prune", "--older", "30")
end)

test("verbs: without a home folder the store is looked for here alone", { real = true }, function(t)
  local here <close> = place()
  here.env.HOME, here.env.XDG_STATE_HOME = "", ""
  t.match(here.run("runs").stderr, "^stoke: usage: there is no store of durable runs: no file %./%.stoke/state%.db\n")
end)

test("verbs: Tab offers the ids of runs", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.eq(here.run("completion", "--words", "--", "show", "tr").stdout, "trip-7\ttrip, done\n")
  t.eq(here.run("completion", "--words", "--", "resolve", "trip-7", "--va").stdout:match "^%S+", "--value")
end)

test("verbs: prune tells first, then deletes", { real = true }, function(t)
  local here <close> = place()
  here.run("trip.lua", SIM)
  t.ok(here.run("prune", "--older", "0s", "--dry-run").stdout:find "1 run, [%d.]+ k?B would be deleted\n$")
  t.ok(here.run("runs", "prune", "--older", "0s").stdout:find "1 run, [%d.]+ k?B deleted\n$")
  t.eq(here.run("runs").stderr, "no run yet: stoke run --durable FILE begins one\n")
  t.eq(here.run("prune", "--bytes", "1gb").stdout, "0 runs, 0 B deleted\n")
end)
