-- D5: a request is named before a budget cuts its answer down, so another budget asks the same.

local test = require "stoke.test"
local stoke = require "stoke"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local ollama = require "stoke.ollama"
local runs = require "runs"
local scripted = require "tests.lua.scripted"

test("a run recorded under a budget of tokens replays under another one", function(t)
  local server <close> = scripted { "one", "two" }
  local bot = stoke.agent { name = "bot", model = scripted.MODEL, endpoint = server.url }
  local function f(tokens)
    local scope <close> = stoke.scope { budget = { tokens = tokens } }
    return bot:run "a question".text, scope ~= nil
  end
  local tape = runs.record(f, 1500)
  t.ok(server.requests[1].options.num_predict < 1500) -- the budget did cut it down
  local results = journal.replay(tape, f, 1600)
  t.eq({ results.err, results[1] }, { nil, "one" })
  t.eq(#server.requests, 1)
end)

test("a budget that refused, refuses in the replay, though it has become larger", function(t)
  local function f(calls)
    local scope <close> = stoke.scope { budget = { calls = calls } }
    runs.ask "a"
    local _, err = stoke.try(runs.ask, "b")
    return err and err.kind, scope ~= nil
  end
  local tape = runs.record(f, 1)
  runs.asked = {}
  t.eq(journal.replay(tape, f, 2)[1], "budget")
  t.eq(runs.asked, {})
end)

test("a stream that is left early costs the same in the replay: what had come was chance", function(t)
  local server <close> = scripted({ "A text of a good many words, of which few are read." }, { tokens_per_second = 100 })
  local function f(server_url)
    local scope <close> = stoke.scope { budget = { tokens = 5000 } }
    for event in ollama.stream { model = scripted.MODEL, endpoint = server_url, prompt = "x" } do
      if event.type == "text" then
        stoke.sleep(0.05)
        break
      end
    end
    return scope.budget.used
  end
  local tape, first = journal.record("run", f, server.url)
  t.ok(first[1].tokens > 0)
  t.eq(journal.replay(tape, f, server.url), first)
end)

test("who looks at a budget while calls run sees the same in the replay", function(t)
  local function f()
    local seen = {}
    local scope <close> = stoke.scope { budget = { calls = 9 } }
    local function look() seen[#seen + 1] = scope.budget.used.calls end
    local function body() return errors.check(effect.perform("test.spends", {})) end
    for _, work in ipairs { function() runs.ask("a", { wait = 0.2 }) end, body } do
      local task = scope:spawn(work)
      for _ = 1, 3 do
        stoke.sleep(0.05)
        look()
      end
      task:await()
      look()
    end
    return seen
  end
  effect.define("test.spends", { class = "pure", metered = true, run = function()
    runs.ask "in a body"
    require "host.task".park("test.spends", 0.2)
    return true
  end })
  local first, second = runs.twice(f)
  t.eq({ first.err, first[1][4], first[1][8] }, { nil, 1, 2 })
  t.eq(second, first)
end)

test("a call that was cancelled while it waited for room is no call in the replay, either", function(t)
  local function f()
    local scope <close> = stoke.scope { budget = { tokens = 10 } }
    local holder = scope:spawn(effect.perform, "test.holds", {})
    stoke.try(stoke.timeout, 0.1, effect.perform, "test.holds", {})
    holder:await()
    return scope.budget.used
  end
  effect.define("test.holds", { class = "pure", pool = function() return "holds", 2 end,
    reserve = function(_, room) return room >= 10 and 10 or nil, 10 end, usage = function() return { output_tokens = 1 } end,
    run = function() return require "host.task".park("test.holds", 0.5) == false end })
  local first, second = runs.twice(f)
  t.eq({ first.err, first[1].calls }, { nil, 1 })
  t.eq(second, first)
end)
