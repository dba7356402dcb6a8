-- D2: what is known of an outcome beside its value is in its record: attempts, repairs, what it used, what a budget counts.

local test = require "stoke.test"
local stoke = require "stoke"
local budgets = require "core.gate.budget"
local journal = require "core.journal"
local runs = require "runs"
local scripted = require "tests.lua.scripted"

test("a call that was tried again, and one that was repaired, have the same usage when they are replayed", function(t)
  local server <close> = scripted { { fault = "503" }, '{"name": "where", "arguments": {}}', "done" }
  local where = stoke.tool { name = "where", description = "Where", params = {}, run = function() return "Oslo" end }
  local bot = stoke.agent { name = "bot", model = scripted.MODEL, endpoint = server.url, tools = { where } }
  local first, second = runs.twice(function()
    local result = bot:run "go"
    return result.usage, result.messages[2].tool_calls[1].id
  end)
  t.eq(first.err, nil)
  t.eq({ first[1].attempts, first[1].repairs, first[1].calls }, { 3, 1, 2 })
  t.eq(second, first)
end)

test("a replay counts into budgets what the recording used, and what a tool's body spent", function(t)
  local dig = stoke.tool { name = "dig", description = "Digs", params = {}, run = function()
    runs.ask "in the body"
    return "deep"
  end }
  local function f()
    local scope <close> = stoke.scope { budget = { tokens = 1000, calls = 10 } }
    runs.ask "outside"
    dig:call()
    return scope.budget.used
  end
  local first, second = runs.twice(f)
  t.eq(first[1], { calls = 2, tokens = 6, seconds = 2 })
  t.eq(second, first)
  t.eq(runs.asked, {})
end)

test("a budget around a replayed run refuses nothing, and counts", function(t)
  local tape = runs.record(function() for _ = 1, 3 do runs.ask "x" end end)
  local outer = budgets.new { calls = 1 }
  local scope <close> = require "core.scope".open { budget = outer }
  local results = journal.replay(tape, function() for _ = 1, 3 do runs.ask "x" end end)
  t.eq({ results.err, outer.used.calls, scope ~= nil }, { nil, 3, true })
end)
