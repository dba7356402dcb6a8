-- D5: a request is named before a budget cuts its answer down, so another budget asks the same.

local test = require "stoke.test"
local stoke = require "stoke"
local journal = require "core.journal"
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
