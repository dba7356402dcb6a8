-- Hedges: a call along a route that is late is made once more on another server (pool.hedge).

local test = require "stoke.test"
local hedge = require "core.gate.hedge"
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
  task:cancel()
  stoke.sleep(0.5)
  t.eq(pool.list(), {})
end)
