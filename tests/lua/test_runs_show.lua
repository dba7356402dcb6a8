-- Durable runs from outside: what stoke.runs tells of them, and the texts of stoke show and stoke diff.

local test = require "stoke.test"
local compare = require "stoke.runs.compare"
local json = require "stoke.json"
local kept = require "kept"
local output = require "stoke.runs.output"
local runs = require "stoke.runs"
local stoke = require "stoke"
local timeline = require "stoke.runs.timeline"
local words = require "stoke.runs.words"

local weather = stoke.tool { name = "get_weather", description = "Current weather", params = { city = "string: city" },
  run = function(args) return "4 degrees, rain in " .. args.city end }
local guide = stoke.agent { name = "guide", model = "qwen2.5:3b", tools = { weather } }

local function trip()
  stoke.sleep(90)
  local text = guide:run("Umbrella?").text
  local scope <close> = stoke.scope { budget = { calls = 0 } }
  stoke.try(guide.run, guide, "And now?")
  stoke.try(stoke.timeout, 0.5, stoke.sleep, 3)
  return text
end

local ANSWERS = { { tool = "get_weather", args = { city = "Oslo" } }, "Take one." }

local TRIP = [[
 #  AFTER   TOOK  TOKENS  WHAT                                 OUTCOME
1    0.0s  1m30s          sleep 90 s
2   1m30s   0.0s          guide: llm.learned qwen2.5:3b
3   1m30s   0.0s    57+7  guide: llm.chat qwen2.5:3b           calls get_weather {city=Oslo}
4   1m30s   0.0s          guide: tool get_weather {city=Oslo}  "4 degrees, rain in Oslo"
5   1m30s   0.0s    86+2  guide: llm.chat qwen2.5:3b           "Take one."
6   1m30s   0.0s          guide: llm.learned qwen2.5:3b
7-  1m30s   0.0s          guide: llm.chat qwen2.5:3b           refused: budget: the budget of 0 calls is spent (0 used)
8   1m30s   0.5s          sleep 3 s                            cancelled while waiting for time.sleep
]]

test("json: false is said, also in a list", function(t)
  t.eq(output.json { done = false, list = { true, false, true } }, '{"done":false,"list":[true,false,true]}\n')
end)

test("show: a line for each record: when, how long, tokens, what, and what came of it", function(t)
  t.model("qwen2.5:3b", ANSWERS)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", trip)
  local shown = runs.show("trip-7", { store = held.path })
  t.eq(timeline.text(shown.records), TRIP)
  t.eq(timeline.heading(shown.run, shown.totals, shown.run.created + 91), [[
trip-7  trip  done
begun 2026-01-01 00:00:00 UTC (1m31s ago), 8 records, 2 model calls, 143 tokens in, 9 out
result: "Take one."
]])
  t.eq(timeline.waiting(shown.run, shown.records), "")
end)

test("show: what it is in data", function(t)
  t.model("qwen2.5:3b", ANSWERS)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-7", trip)
  local record = runs.show("trip-7", { store = held.path }).records[4]
  t.eq({ record.number, record.effect, record.class, record.who, record.status, record.key },
    { 4, "tool.call", "unsafe", "guide", "done", "run/agent guide:1/tool get_weather:1/tool.call#1" })
  t.ok(record.where:find "test_runs_show.lua:%d+$")
  t.eq(record.request, nil)
  local whole = runs.show("trip-7", { store = held.path, requests = true }).records[4]
  t.eq({ whole.request.args, whole.value }, { { city = "Oslo" }, "4 degrees, rain in Oslo" })
  t.ok(timeline.whole(whole):find('request\n    {\n      agent = "guide",', 1, true))
end)

test("show: what waits for a person, and the commands that decide it", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip 8", function() end, { state = "waiting", waits = "approval of tool book_flight",
    change = function(journal, log) kept.open_call(journal, log, { asks = { since = 1767225700 } }) end })
  local shown = runs.show("trip 8", { store = held.path })
  t.eq(shown.records[1].status, "waits")
  t.eq(timeline.waiting(shown.run, shown.records), [[
#1 waits for approval since 2026-01-01 00:01:40 UTC: guide wants tool book_flight {"from":"Oslo","to":"Rome"}
  stoke approve 'trip 8' --of 1
  stoke approve 'trip 8' --of 1 --reject WHY
]])
end)

test("show: what was decided, and that no process has taken it up yet", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-8", function() end, { state = "waiting", waits = "approval of tool book_flight",
    change = function(journal, log) kept.open_call(journal, log, { asks = { since = 1767225700 } }) end })
  local done = runs.approve("trip-8", { args = { to = "Nice" }, store = held.path })
  t.eq({ done.args, done.left, done.run }, { { to = "Nice" }, true, 1 })
  local shown = runs.show("trip-8", { store = held.path })
  t.eq({ shown.records[1].status, shown.records[1].outcome }, { "waits", "approved, not taken up yet" })
  t.eq(timeline.waiting(shown.run, shown.records), [[
#1 tool book_flight {from=Oslo, to=Rome}: approved with {"to":"Nice"}
  stoke resume trip-8 goes on with that
]])
end)

test("show: what may be done with a run that diverged", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-8", function() end, { state = "parked",
    waits = "it does not go as recorded: diverged at #5: run/llm.chat#2 asks something else than #4 of the recording: it differs" })
  local shown = runs.show("trip-8", { store = held.path })
  t.match(timeline.waiting(shown.run, shown.records), "stoke replay trip%-8 %-%-check .*stoke fork trip%-8 %-%-at 3 ")
end)

test("show: what is in doubt, and what may be said of it", function(t)
  local held <close> = kept.store(t)
  kept.run(held.store, "trip-9", function() end, { state = "parked", waits = "in doubt: #1", why = "in_doubt",
    change = function(journal, log) kept.open_call(journal, log, { intent = true }) end })
  local shown = runs.show("trip-9", { store = held.path })
  t.eq(timeline.text(shown.records), [[
 #  AFTER  TOOK  TOKENS  WHAT                                          OUTCOME
1!   0.0s                guide: tool book_flight {from=Oslo, to=Rome}  in doubt: begun, and what came of it was not kept
]])
  t.eq(timeline.waiting(shown.run, shown.records), [[
#1 is in doubt: tool book_flight {from=Oslo, to=Rome}
  It was begun, and the process ended before its outcome was recorded. Check whether it happened, then:
  stoke resolve trip-9 --retry          it did not happen: do it
  stoke resolve trip-9 --value JSON     it happened, with this outcome
  stoke resolve trip-9 --fail WHY       it failed: the run gets an error
]])
end)

test("show: what a run holds cannot drive the terminal", function(t)
  local held <close> = kept.store(t)
  local tool = stoke.tool { name = "say", description = "Say", params = { text = "string" }, run = function(a) return a.text end }
  local bot = stoke.agent { name = "bot", model = "qwen2.5:3b", tools = { tool } }
  t.model("qwen2.5:3b", { { tool = "say", args = { text = "a\27[2Jb\nc" } }, "\27]0;x\7done" })
  kept.run(held.store, "evil\27[2J", function() return bot:run("x").text end)
  local shown = runs.show("evil\27[2J", { store = held.path })
  local text = timeline.heading(shown.run, shown.totals) .. timeline.text(shown.records)
  t.eq({ words.id(shown.run), runs.show("@1", { store = held.path }).run.id }, { "@1", "evil\27[2J" })
  t.eq(text:find "[\0-\9\11-\31\127]", nil, text)
end)

test("runs: as JSON, also what JSON cannot say", function(t)
  t.eq(output.json { id = "a\xFF", n = 0 / 0 ~= 0 and 1 / 0 or 0, list = json.array {}, [2] = true },
    '{"2":true,"id":"a\u{FFFD}","list":[],"n":"inf"}\n')
end)

test("words: what effects are called", function(t)
  local function what(name, request) return words.what { name = name, request = request, key = "run/" .. name .. "#1" } end
  t.eq(what("tool.call", { name = "f", args = { n = 2, city = "New York" } }), 'tool f {city="New York", n=2}')
  t.eq(what("step", { name = "reserve" }), "step reserve")
  t.eq(what("time.sleep", 1.5), "sleep 1.5 s")
  t.eq(what("http.request", { url = "http://a/b" }), "GET http://a/b")
  t.eq(what("fs.write", { path = "a.txt", data = "x" }), "fs.write a.txt")
  t.eq(what("proc.run", { argv = { "echo", "it's" } }), [[run echo 'it'\''s']])
  t.eq(what("run.signal", { name = "paid" }), "signal paid")
  t.eq(what("run.start", { workflow = "order", id = "o1" }), "start order o1")
  t.eq(what("mine.own", { a = 1 }), "mine.own {a=1}")
  t.eq(what "approval.list", "approval.list")
  t.eq(words.who "run/agent a:1/tool x:1/agent b%2Fc:2/llm.chat#1", "b/c")
end)

-- ---- diff -------------------------------------------------------------------------------------------------------------------

local function two(t, other)
  local held <close> = kept.store(t)
  t.model("qwen2.5:3b", ANSWERS)
  kept.run(held.store, "one", trip)
  other(held.store)
  return runs.diff("one", "two", { store = held.path })
end

test("diff: two runs that are the same", function(t)
  local difference = two(t, function(store)
    t.model("qwen2.5:3b", ANSWERS)
    kept.run(store, "two", trip)
  end)
  t.eq(difference.first and difference.first.kind, nil)
  t.eq(compare.text(difference), [[
   ID   WORKFLOW  STATE  RECORDS  CALLS  TOKENS  SECONDS
A  one  trip      done         8      2   143+9    1m31s
B  two  trip      done         8      2   143+9    1m31s

no difference: 8 records, all the same, but for what is another each time (1 of clocks and speeds)
]])
end)

test("diff: the first difference is another outcome, and what followed from it", function(t)
  local before = weather.run
  local difference = two(t, function(store)
    t.model("qwen2.5:3b", { ANSWERS[1], "Leave it." })
    weather.run = function() return "25 degrees, sun" end
    kept.run(store, "two", trip)
    weather.run = before
  end)
  t.eq({ difference.before, difference.first.kind, difference.first.byte }, { 3, "outcome", 1 })
  t.eq(compare.text(difference):match "\n\n(.*)$":gsub(" at [^\n]*lua:%d+", " at FILE"), [[
the first 3 records are the same, then:
#4 guide: tool get_weather {city=Oslo}  at FILE
  the same question, another outcome: it differs at byte 1
    A: "4 degrees, rain in Oslo"
    B: "25 degrees, sun"
what followed: 1 asks something else, 2 are the same
the end: result differs at byte 1
  A: "Take one."
  B: "Leave it."
]])
end)

test("diff: the first difference is another question", function(t)
  local difference = two(t, function(store)
    t.model("qwen2.5:3b", ANSWERS)
    kept.run(store, "two", function()
      stoke.sleep(90)
      return guide:run("A hat?").text
    end)
  end)
  t.eq(compare.text(difference):match "\n\n(.*)$":gsub(" at [^\n]*lua:%d+", " at FILE"), [[
the first 2 records are the same, then:
#3 guide: llm.chat qwen2.5:3b  at FILE
  the same place asks something else: body.messages[1].content differs at byte 1
    A: "Umbrella?"
    B: "A hat?"
what followed: 1 asks something else, 3 are only in A, 1 is the same
]])
end)

test("diff: what only one of them asked", function(t)
  local difference = two(t, function(store)
    kept.run(store, "two", function()
      stoke.try(stoke.fs.read, "no.txt")
      stoke.sleep(90)
    end)
  end)
  t.eq({ difference.before, difference.first.kind, difference.first.what }, { 0, "only in B", "fs.read no.txt" })
  t.eq(compare.text(difference):match "record on:\n(.*)the end":gsub(" at [^\n]*lua:%d+", " at FILE"), [[
#1 of B fs.read no.txt  at FILE
  A did not ask this
what followed: 7 are only in A, 1 is the same
]])
end)

test("diff: of runs that have not both ended only that is said", function(t)
  local held <close> = kept.store(t)
  local open = { state = "waiting", waits = "a person" }
  kept.run(held.store, "one", function() stoke.sleep(1) end, open)
  kept.run(held.store, "two", function() stoke.sleep(1) end, { state = "running" })
  kept.run(held.store, "three", function() stoke.sleep(1) end)
  t.eq(runs.diff("one", "two", { store = held.path }).ends, nil)
  t.eq(runs.diff("one", "three", { store = held.path }).ends, "A is waiting, B is done")
end)

test("diff: clocks and speeds are no first difference where there is another one", function(t)
  local difference = two(t, function(store)
    t.model("qwen2.5:3b", { ANSWERS[1], ANSWERS[2], "Nothing." })
    kept.run(store, "two", function()
      stoke.sleep(90)
      local text = guide:run("Umbrella?").text
      guide:run "And then?"
      return text
    end)
  end)
  t.eq({ difference.first.kind, difference.after.chance }, { "question", 1 })
end)
