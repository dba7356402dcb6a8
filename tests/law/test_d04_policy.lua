-- D4: policy and approvals come after the recording: what a person has decided is part of the outcome, and nobody is asked again.

local test = require "stoke.test"
local stoke = require "stoke"
local runs = require "runs"

local function with_policy(rules, f)
  stoke.policy(rules)
  local _ <close> = setmetatable({}, { __close = function() stoke.policy(nil) end })
  return f()
end

local delete = stoke.tool { name = "delete", description = "Deletes", params = { path = "string" }, needs_approval = true,
  run = function(a)
    runs.ask("delete " .. a.path)
    return "gone"
  end }

-- Somebody outside of the run decides what waits, as f says.
local function decide_all(f)
  return stoke.spawn(function()
    while true do
      for _, entry in ipairs(stoke.pending()) do f(entry) end
      stoke.sleep(0.01)
    end
  end)
end

test("an approved call replays without asking, and without its body", function(t)
  local asked = 0
  local person = decide_all(function(entry)
    asked = asked + 1
    entry:approve()
  end)
  local first, second = runs.twice(function() return delete:call { path = "x" } end)
  person:cancel()
  t.eq({ first[1], second[1], asked }, { "gone", "gone", 1 })
  t.eq(runs.asked, {})
end)

test("a refusal is an outcome: it replays under any policy, with its reason", function(t)
  local person = decide_all(function(entry) entry:reject "not on a Friday" end)
  local function f()
    local _, err = delete:perform { path = "x" }
    return err.kind, err.message, err.reason
  end
  local first, second, tape = runs.twice(f)
  person:cancel()
  t.eq({ first[1], first[3] }, { "denied", "not on a Friday" })
  t.eq(second, first)
  t.eq(tape.rows[1].outcome.refusal, true)
end)

test("what a policy denied when it was recorded is denied in the replay, and what it allowed, allowed", function(t)
  local journal = require "core.journal"
  local function f()
    local _, err = stoke.try(stoke.fs.read, "/nowhere/a")
    return err.kind
  end
  local denied = with_policy({ deny = { path = { "/nowhere/*" } } }, function() return (journal.record("a", f)) end)
  local allowed = journal.record("a", f)
  t.eq(journal.replay(denied, f)[1], "denied")
  t.eq(with_policy({ deny = { path = { "/nowhere/*" } } }, function() return journal.replay(allowed, f)[1] end), "os")
end)

test("a run that decides its own approvals replays: what waited is an outcome, too", function(t)
  local function f()
    local scope <close> = stoke.scope {}
    local call = scope:spawn(function() return delete:call { path = "x" } end)
    local waited
    while not waited do
      stoke.sleep(0.01)
      waited = stoke.pending()[1]
    end
    local edited = waited:edit { path = "y" }
    return call:await(), waited.what, waited.args.path, edited, waited:approve()
  end
  local first, second, tape = runs.twice(f)
  t.eq({ first.err, first[1], first[2], first[3], first[4], first[5] }, { nil, "gone", "delete", "y", true, false })
  t.eq(second, first)
  t.eq(runs.asked, {})
  local decided
  for _, row in ipairs(tape.rows) do decided = decided or row.name == "approval.decide" and row.request.approval end
  t.eq(decided, "run/task:1/tool delete:1/tool.call#1")
end)
