-- A run is recorded and replayed: the same results, and nothing is asked of the world a second time.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local task = require "host.task"
local runs = require "runs"

local ask = runs.ask

test("a run is replayed without one call", function(t)
  local first, second, tape = runs.twice(function(word)
    local a, b = ask(word), ask "two"
    return a.text, b.n, os.time(), math.random(1000000)
  end, "one")
  t.eq(first.n, 4)
  t.eq(second, first)
  t.eq(runs.asked, {})
  t.eq(runs.keys(tape), { "run/test.ask#1", "run/test.ask#2", "run/time.now#1" })
end)

test("an address in what is asked is told as the reason why a replay parts", function(t)
  local tape = runs.record(function() ask("about " .. tostring({})) end)
  local kept = {} -- so that no table has the same address
  local err = journal.replay(tape, function()
    kept[1] = {}
    ask("about " .. tostring(kept[1]))
  end).err
  t.match(err.hint, "^the address of a table or function is another one in each process")
end)

test("an error is an outcome, with its fields", function(t)
  local first, second = runs.twice(function()
    local _, err = stoke.try(ask, "x", { fail = "refused" })
    return err.kind, err.message, err.hint
  end)
  t.eq(second, first)
  t.eq(first[1], "refused")
  t.eq(runs.asked, {})
end)

effect.define("test.strict", { class = "pure", run = function(q)
  if q.wait then task.park("test.strict", q.wait) end
  errors.argument("no such thing: %s", q.text)
end })

test("what an effect raises is an outcome, and what follows it replays, too", function(t)
  local first, second = runs.twice(function()
    local other = stoke.spawn(function() return ask("meanwhile", { wait = 0.2 }).text end)
    local _, a = stoke.try(effect.perform, "test.strict", { text = "a" })
    local _, b = stoke.try(effect.perform, "test.strict", { text = "b", wait = 0.1 })
    return a.kind, a.message, b.message, ask("after", { wait = 0.1 }).text, other:await()
  end)
  t.eq({ first[1], first[2], first[3] }, { "argument", "no such thing: a", "no such thing: b" })
  t.eq(second, first)
  t.eq(runs.asked, {})
end)

test("what a run returns is the script's own: changing a replayed value does not change the journal", function(t)
  local function f()
    local value = ask "x"
    value.text = value.text .. "?"
    return value.text
  end
  local tape = runs.record(f)
  t.eq(journal.replay(tape, f)[1], "x!?")
  t.eq(journal.replay(tape, f)[1], "x!?")
end)

test("another request diverges: where, both requests, the byte, the line", function(t)
  local tape = runs.record(function() ask "before" ask("The weather in Oslo", { place = { city = "Oslo" } }) end)
  local results = journal.replay(tape, function()
    ask "before"
    ask("The weather in Rome", { place = { city = "Oslo" } })
  end)
  local err = results.err
  t.eq({ err.kind, err.number, err.key, err.path, err.byte }, { "replay", 2, "run/test.ask#2", "text", 16 })
  t.eq({ err.recorded.text, err.asked.text }, { "The weather in Oslo", "The weather in Rome" })
  t.match(err.message, "^diverged at #2: run/test%.ask#2 asks something else than #2 of the recording %([^\n]*runs%.lua:%d+%): "
    .. "text differs at byte 16\n  recorded: \"The weather in Oslo\"\n  asked:    \"The weather in Rome\"\n  in [^\n]*:%d+$")
end)

test("after it has diverged nothing more is done", function(t)
  local tape = runs.record(function() ask "a" ask "b" end)
  runs.asked = {}
  local results = journal.replay(tape, function()
    stoke.try(ask, "other")
    stoke.try(ask, "b")
    ask "c"
  end)
  t.eq(results.err.kind, "replay")
  t.eq(runs.asked, {})
end)

test("an effect that was not recorded is none before the journal's end", function(t)
  local tape = runs.record(function() ask "a" ask "b" end)
  runs.asked = {}
  local results = journal.replay(tape, function()
    ask "a"
    return os.time()
  end)
  t.eq(results.err.kind, "replay")
  t.match(results.err.message, "diverged at #2: run/time%.now#1 was not asked by the run that was recorded; there #2 comes next: "
    .. "run/test%.ask#2 {.*}")
end)

test("at the journal's end the run goes on live, and its rows follow", function(t)
  local tape = runs.record(function() ask "a" end)
  runs.asked = {}
  local results, again = journal.replay(tape, function() return ask "a".text, ask "b".text end)
  t.eq({ results[1], results[2] }, { "a!", "b!" })
  t.eq(runs.asked, { "b" })
  t.eq(runs.keys(again), { "run/test.ask#1", "run/test.ask#2" })
  t.eq(#tape.rows, 1)
end)

test("what cannot be kept is told, as an outcome that replays", function(t)
  effect.define("test.odd", { class = "pure", run = function() return { deep = { f = print } } end })
  local first, second = runs.twice(function()
    local _, told = effect.perform("test.odd", {})
    return told.kind, told.message
  end)
  t.eq({ first[1], first[2] }, { "script", "test.odd: a journalled run keeps plain data alone, and deep.f is a function" })
  t.eq(second, first)
end)

test("bytes, numbers that are none, and nil are values like any other", function(t)
  local values = { "\0\255\xfe", 0 / 0, math.huge, -0.0, 1, 1.0, math.mininteger, false }
  effect.define("test.value", { class = "pure", run = function(q) return values[q.i] end })
  local function f()
    local out = {}
    for i = 1, #values + 1 do
      local value = effect.perform("test.value", { i = i, bytes = values[1], odd = values[3] })
      out[i] = ("%s %q"):format(math.type(value) or type(value), value)
    end
    return table.concat(out, "; ")
  end
  local first, second = runs.twice(f)
  t.ok(first[1], first.err)
  t.eq(second, first)
end)

test("a run inside a run is refused", function(t)
  local results = select(2, journal.record("a", function() return journal.record("b", print) end))
  t.eq({ results.err.kind, results.err.message }, { "argument", "a journalled run cannot begin another one inside itself" })
end)

test("two runs side by side: each has its own rows", function(t)
  local tapes = stoke.all {
    function() return (journal.record("a", function() ask("a", { wait = 0.2 }) ask "aa" end)) end,
    function() return (journal.record("b", function() ask("b", { wait = 0.1 }) ask "bb" end)) end,
  }
  for i = 1, 2 do t.eq(runs.keys(tapes[i]), { "run/test.ask#1", "run/test.ask#2" }) end
  t.eq(tapes[1].rows[2].request.text, "aa")
  t.eq(tapes[2].rows[2].request.text, "bb")
end)

test("every effect says how bad it is to do it twice, and what cannot be recorded says why", function(t)
  for _, name in ipairs { "server", "watch", "llm", "proc", "http", "tool", "input", "fs", "env", "time", "rand" } do
    require("core.driver." .. name)
  end
  local refused = {}
  for _, name in ipairs(effect.names()) do
    if not name:find "^test%." then
      local def = effect.about(name)
      t.ok(def.class, name)
      if def.taped == false then
        refused[#refused + 1] = name
        t.ok(#def.why > 20, name)
      end
    end
  end
  t.eq(refused, { "http.serve" })
end)

test("a run whose order broke ends with that, whatever its script made of it", function(t)
  local function f(other)
    for _ = 1, 3 do stoke.try(stoke.sleep, 0.1) end
    if other then stoke.try(ask, "what was not asked") end
    error("an error of the script's own", 0)
  end
  local tape = journal.record("run", f)
  tape.deliveries = tape.deliveries:sub(1, -2) .. "\255"
  local err = journal.replay(tape, f, true).err
  t.eq(err.kind, "replay")
  t.match(err.message, "damaged")
end)

test("a place inside the body of an effect is in no error that the run sees", function(t)
  effect.define("test.body", { class = "pure", metered = true, run = function(_, _, work)
    local ok, err = pcall(work)
    return ok, not ok and errors.wrap(err) or nil
  end })
  local first, second = runs.twice(function()
    local _, err = stoke.try(stoke.timeout, 0.1, function()
      return effect.perform("test.body", {}, function() stoke.spawn(ask, "x", { wait = 1 }):await() end)
    end)
    return tostring(err), err.where
  end)
  t.match(first[1], "deadline of 0.1 s")
  t.eq(second, first)
end)
