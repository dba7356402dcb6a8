-- What the gates owe each other: retries are counted by server, a sink cannot break what it looks at, the host's own work is in no
-- trace.

local test = require "stoke.test"
local effect = require "core.effect"
local errors = require "core.errors"
local journal = require "core.journal"
local host = require "host.task"
local retry = require "core.gate.retry"
local span = require "core.gate.span"
local stoke = require "stoke"
local tasks = require "core.task"

local tries = {}
effect.define("test.server", { retry = { attempts = 2, base = 0.01, max = 0.01, server = function(q) return q.server end },
  run = function(q)
    tries[q.server] = (tries[q.server] or 0) + 1
    if q.dead or tries[q.server] == 1 then return nil, errors.new("refused", "down") end
    return "answered"
  end })

test("a dead server takes no retries from a healthy one", function(t)
  retry.forget()
  for _ = 1, 30 do effect.perform("test.server", { server = "dead", dead = true }) end
  t.eq(tries.dead, 30 + retry.saved + 2) -- its own are used up; each call earns a tenth
  t.eq(effect.perform("test.server", { server = "healthy" }), "answered")
end)

local function with_sink(sink, f)
  local on = span.on
  span.listen(sink)
  local _ <close> = setmetatable({}, { __close = function()
    span.unlisten(sink)
    span.switch(on)
  end })
  return f()
end

test("a sink that raises breaks no call, nor the journal of one", function(t)
  local seen = 0
  local results = with_sink(function()
    seen = seen + 1
    error "a sink"
  end, function()
    return select(2, journal.record("run", function() return (effect.perform("test.server", { server = "s" })) end))
  end)
  t.eq({ seen, results[1] }, { 1, "answered" })
end)

test("the work of the host's own tasks is in no trace", function(t)
  local names = {}
  with_sink(function(record) names[#names + 1] = record.name end, function()
    tasks.spawn(function() effect.perform("test.server", { server = "system" }) end, { system = true }):await()
    effect.perform("test.server", { server = "own" })
  end)
  t.eq(names, { "test.server" })
end)

test("who looks before an effect is done may wait: nothing of that is the run's", { real = true }, function(t)
  local asked = 0
  local before, on = span.opening, span.on
  span.switch(true)
  span.opening = function()
    asked = asked + 1
    host.park("a listener", asked / 1000)
  end
  local _ <close> = setmetatable({}, { __close = function()
    span.opening = before
    span.switch(on)
  end })
  local function f()
    local scope <close> = stoke.scope {}
    return scope:map({ 3, 1, 2 }, function(n) return effect.perform("test.server", { server = n }) end)
  end
  local tape, first = journal.record("run", f)
  t.ok(asked > 0)
  asked = 0
  local second, again = journal.replay(tape, f)
  t.eq({ second, again.deliveries, asked }, { first, tape.deliveries, 0 })
end)
