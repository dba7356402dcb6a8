-- What scopes and tasks pass down: the context.

local test = require "stoke.test"
local stoke = require "stoke"
local contexts = require "core.context"
local effect = require "core.effect"
local scopes = require "core.scope"
local span = require "core.gate.span"
local tasks = require "core.task"

local function context() return scopes.innermost(tasks.current()).context end

-- The spans that `f` leaves, and nobody else's.
local function traced(f)
  local records, on = {}, span.on
  local function sink(record) records[#records + 1] = record end
  local _ <close> = setmetatable({}, { __close = function()
    span.unlisten(sink)
    span.switch(on)
  end })
  span.listen(sink)
  f()
  return records
end

test("a context is that of the scope around until something differs", function(t)
  local outside = context()
  local scope <close> = stoke.scope {}
  t.ok(context() == outside)
  local inside = scope:spawn(context):await()
  t.ok(inside == outside)
end)

test("a budget and a run come down to the tasks below", function(t)
  local scope <close> = scopes.open { budget = { limit = {}, used = {}, held = 0 }, deadline = 5, run = { name = "run" } }
  local below = scope:spawn(function() return stoke.spawn(context):await() end):await()
  t.eq({ below.budget == scope.budget, below.run.name, below.gated }, { true, "run", true })
end)

test("a deadline alone makes no other context: the scope has it", function(t)
  local outside = context()
  local scope <close> = stoke.scope { deadline = 5 }
  t.ok(context() == outside and scope.deadline == 5)
end)

test("a context is never changed: with makes another", function(t)
  local before = contexts.with(contexts.root, { run = { name = "a" } })
  local after = contexts.with(before, { run = { name = "b" } })
  t.eq({ before.run.name, after.run.name, contexts.root.run }, { "a", "b", nil })
end)

test("the context of a tool's work is what with makes of its run and span", function(t)
  local outer = { run = { name = "a" }, system = true, gated = false }
  local gated = contexts.with(outer, { budget = { limit = {}, used = {}, held = 0 } })
  local run = { name = "b" }
  for _, before in ipairs { contexts.root, outer, gated } do
    t.eq(contexts.of_work(before, run, 7), contexts.with(before, { run = run, span = 7 }))
    t.eq(contexts.of_work(before, nil, 7), contexts.with(before, { span = 7 }))
  end
end)

test("a tape belongs to a scope, not to the process", function(t)
  effect.define("test.taped", { taped = true, run = function(q) return "live " .. q end })
  local tape = { recording = false }
  function tape:take(_, q) return { at = 0, value = "taped " .. q, chunks = {} } end -- luacheck: ignore
  local outside = stoke.spawn(function()
    stoke.sleep(0.01)
    return effect.perform("test.taped", "b")
  end)
  local scope <close> = scopes.open { tape = tape }
  t.eq({ effect.perform("test.taped", "a"), scope:spawn(effect.perform, "test.taped", "c"):await() }, { "taped a", "taped c" })
  t.eq(outside:await(), "live b")
end)

test("what a tool does names the call of the tool as its parent in the trace", function(t)
  local look = stoke.tool { name = "look", run = function() return stoke.env.get "NOTHING_HERE" or "none" end }
  local by_name = {}
  for _, record in ipairs(traced(function() look:call {} end)) do by_name[record.name] = record end
  t.eq(by_name["env.get"].parent, by_name["tool.call"].span)
  t.eq(by_name["tool.call"].parent, nil)
end)

test("the trace can be turned on and off, and costs nothing while it is off", function(t)
  local records = traced(function() stoke.env.get "NOTHING_HERE" end)
  t.eq(#records, 1)
  stoke.env.get "NOTHING_HERE"
  t.eq(#records, 1)
end)
