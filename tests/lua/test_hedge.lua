-- Hedges: a call along a route that is late is made once more on another server (pool.hedge).

local test = require "stoke.test"
local estimates = require "core.pool.estimate"
local hedge = require "core.gate.hedge"
local host = require "host.task"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local routed = require "routed"
local stoke = require "stoke"
local time = require "stoke.time"

local M = [[models = { m = { "m@a", "m@b" } }]]

-- Two servers with a model; what `answers[prompt]` says of a server, else a short answer. The settings hedge.
local function world(answers, settings)
  local function script(name)
    return function(req) return answers[req.prompt] and answers[req.prompt][name] or "word word" end
  end
  local servers = routed({ a = { models = { "m" }, tokens_per_second = 20, script = script "a" },
    b = { models = { "m" }, tokens_per_second = 20, script = script "b" } }, M)
  local before = pool.settings
  pool.configure(settings or { hedge = true })
  hedge.counts.calls, hedge.counts.hedged, hedge.counts.won = 0, 0, 0
  local inner = getmetatable(servers).__close
  return setmetatable(servers, { __close = function()
    pool.configure(before)
    inner()
  end })
end

local function ask(prompt) return ollama.generate { model = "m", prompt = prompt } end

local LONG = ("word "):rep(400)

test("a call that is late is made once more on an idle server; the first answer counts, and all slots are free", function(t)
  local w <close> = world { late = { a = LONG } }
  for _ = 1, 40 do ask "usual" end
  local before, began = #w.asked, time.monotonic()
  local reply = ask "late"
  t.eq(reply.response, "word word")
  t.eq(reply.endpoint, "b")
  t.ok(time.monotonic() - began < 2, time.monotonic() - began)
  t.eq({ #w.asked - before, hedge.counts.hedged, hedge.counts.won }, { 2, 1, 1 })
  stoke.sleep(0.5)
  t.eq(pool.list(), {})
end)

test("where the first call answers before the second, the second is cancelled", function(t)
  local _ <close> = world { late = { a = ("word "):rep(20), b = LONG } }
  for _ = 1, 40 do ask "usual" end
  local reply = ask "late"
  t.eq({ reply.endpoint, hedge.counts.hedged, hedge.counts.won }, { "a", 1, 0 })
  stoke.sleep(0.5)
  t.eq(pool.list(), {})
end)

test("at most one call in twenty is hedged, and none where the settings do not say so", function(t)
  local w <close> = world { late = { a = LONG } }
  for _ = 1, 40 do ask "usual" end
  for _ = 1, 6 do ask "late" end
  t.ok(hedge.counts.hedged <= 3, hedge.counts.hedged)
  pool.configure {}
  local before = #w.asked
  ask "late"
  t.eq(#w.asked - before, 1)
end)

test("who leaves cancels both calls", function(t)
  local _ <close> = world { late = { a = LONG, b = LONG } }
  for _ = 1, 60 do ask "usual" end
  local scope <close> = stoke.scope {}
  local task = scope:spawn(ask, "late")
  stoke.sleep(3)
  t.eq({ hedge.counts.hedged, #pool.list() }, { 1, 2 })
  local out = {}
  for _, server in ipairs(stoke.pool().servers) do
    for _, lane in ipairs(server.lanes) do
      for _, call in ipairs(lane.calls) do out[#out + 1] = { server.name, call.task ~= nil, call.since > 0 } end
    end
  end
  t.eq(out, { { "a", true, true }, { "b", true, true } }) -- who has them is seen of both
  task:cancel()
  stoke.sleep(0.5)
  t.eq(pool.list(), {})
end)

-- A call of hedge.run by hand, so that what the parts do is in the test's hands: the first never answers, the second waits until it
-- is woken. Returns the task that calls, and a function that wakes the second.
local function by_hand(scope, second_ends)
  local function target_of(name)
    return { name = "m", key = "mem:" .. name .. " m", endpoint = { url = "mem:" .. name, name = name }, dialect = {} }
  end
  local targets = { target_of "one", target_of "two" }
  local lane = pool.lane(targets[1].key, targets[1])
  lane.facts = estimates.new()
  for _ = 1, 20 do lane.facts:learn { load = 0, prefill = 0.1, decode = 0.1, input = 10, output = 10 } end
  hedge.counts.calls, hedge.counts.hedged = 1000, 0
  local second
  local caller = scope:spawn(function()
    local record <close> = setmetatable({ work = targets, target = targets[1], task = host.current(), slot = nil }, {
      __close = function(self) if self.slot then pool.release(self.slot, nil, nil) end end })
    record.slot = pool.acquire({ target = targets[1], task = record.task }, targets[1].key)
    local _, value, err = pcall(hedge.run, function(_, part)
      if part.target == targets[1] then return nil, select(2, host.park "the first") end
      second = host.current().co
      host.park "the second"
      return second_ends()
    end, {}, record)
    return err or value
  end)
  stoke.sleep(2)
  return caller, function() host.wake(second) end
end

test("a second call that answers in the moment in which its caller is cancelled gives its slot back", function(t)
  for _, cancelled_first in ipairs { true, false } do
    local scope <close> = stoke.scope {}
    local caller, answer = by_hand(scope, function() return {} end)
    if not cancelled_first then answer() end
    caller:cancel()
    if cancelled_first then answer() end
    stoke.sleep(1)
    t.eq({ hedge.counts.hedged, pool.list() }, { 1, {} })
  end
end)

test("a mistake in a driver is raised to the caller of a hedged call, and its slots are free", function(t)
  local scope <close> = stoke.scope {}
  local caller, answer = by_hand(scope, function() error "a mistake" end)
  answer()
  t.contains(tostring(caller:await()), "a mistake")
  t.eq(pool.list(), {})
end)
