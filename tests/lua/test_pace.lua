-- stoke.latest and stoke.rate.

local test = require "stoke.test"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local routed = require "routed"
local stoke = require "stoke"
local time = require "stoke.time"

test("of calls that follow each other the latest alone goes on; the others return nil and say so", function(t)
  local began, ended = {}, {}
  local latest = stoke.latest(function(text)
    began[#began + 1] = text
    stoke.sleep(1)
    ended[#ended + 1] = text
    return text .. "!", "more"
  end)
  local scope <close> = stoke.scope {}
  local outcomes = {}
  for i, text in ipairs { "a", "b", "c" } do
    scope:spawn(function()
      stoke.sleep(i * 0.5)
      outcomes[text] = table.pack(latest(text))
    end)
  end
  scope:wait()
  t.eq(outcomes, { a = { nil, "superseded", n = 2 }, b = { nil, "superseded", n = 2 }, c = { "c!", "more", n = 2 } })
  t.eq({ began, ended }, { { "a", "b", "c" }, { "c" } })
  t.eq(latest "d", "d!")
end)

test("with `wait` it is called once nothing came for so long", function(t)
  local called = {}
  local latest = stoke.latest(function(text)
    called[#called + 1] = { text, time.monotonic() }
    return text
  end, { wait = 0.3 })
  local start = time.monotonic()
  local scope <close> = stoke.scope {}
  for i = 1, 10 do
    scope:spawn(function()
      stoke.sleep(i * 0.1)
      latest(i)
    end)
  end
  scope:wait()
  t.eq({ #called, called[1][1] }, { 1, 10 })
  t.near(called[1][2] - start, 1.3, 0.01)
end)

test("a superseded question of a model closes its connection, and its slot is free", function(t)
  local _ <close> = routed { gpu = { models = { "m" }, tokens_per_second = 10,
    script = function() return ("word "):rep(100) end } }
  local latest = stoke.latest(function(text) return ollama.generate { model = "m@gpu", prompt = text }.response end)
  local scope <close> = stoke.scope {}
  local _, why
  scope:spawn(function() _, why = latest "a" end)
  stoke.sleep(1)
  scope:spawn(function() latest "b" end)
  stoke.sleep(1)
  t.eq({ why, pool.list()[1].busy }, { "superseded", 1 })
  latest:cancel()
  stoke.sleep(0.1)
  t.eq(pool.list(), {})
end)

test("an error of the latest call is raised, that of a superseded one is not; its caller's cancellation ends it", function(t)
  local latest = stoke.latest(function(text)
    local closing <close> = setmetatable({}, { __close = function() -- luacheck: ignore
      if text == "a" then error "in a" end
    end })
    stoke.sleep(1)
    error("in " .. text, 0)
  end)
  local scope <close> = stoke.scope {}
  local why
  scope:spawn(function() why = select(2, latest "a") end)
  stoke.sleep(0.5)
  t.eq(t.raises("script", latest, "b").message, "in b")
  t.eq(why, "superseded")
  local task = scope:spawn(function() return latest "c" end)
  stoke.sleep(0.5)
  task:cancel()
  t.raises("cancelled", task.await, task)
  t.raises("script", latest, "d")
end)

test("a rate lets no more begin in any stretch of time, oldest first, and no fewer", function(t)
  local limit = stoke.rate { calls = 3, per = 10 }
  local scope <close> = stoke.scope {}
  local start, began = time.monotonic(), {}
  for i = 1, 8 do
    scope:spawn(function()
      stoke.sleep(i * 0.001)
      limit:run(function() began[#began + 1] = { i, math.floor(time.monotonic() - start) } end)
    end)
  end
  scope:wait()
  t.eq(began, { { 1, 0 }, { 2, 0 }, { 3, 0 }, { 4, 10 }, { 5, 10 }, { 6, 10 }, { 7, 20 }, { 8, 20 } })
end)

test("a call that is cancelled while it waits takes no place of a rate; try never waits", function(t)
  local limit = stoke.rate { calls = 1, per = 10 }
  t.eq(limit:wait(), 0.0)
  local scope <close> = stoke.scope {}
  local task = scope:spawn(function() limit:wait() end)
  stoke.sleep(1)
  local began, seconds = limit:try()
  t.eq({ began, math.floor(seconds + 0.5) }, { false, 9 })
  task:cancel()
  stoke.sleep(9)
  t.eq(limit:try(), true)
  t.near(limit:wait(), 10, 0.01)
end)

test("what they are given is checked", function(t)
  t.match(t.raises("argument", stoke.rate, { calls = 0, per = 1 }).message, "calls must be a whole number of at least 1, got 0")
  t.match(t.raises("argument", stoke.rate, { calls = 1 }).message, "per must be seconds above 0, got nil")
  t.match(t.raises("argument", stoke.rate, { calls = 1, pre = 1 }).message, "per")
  t.match(t.raises("argument", stoke.latest, 5).message, "stoke.latest")
  t.match(t.raises("argument", stoke.latest, print, { wait = -1 }).message, "stoke.latest: wait")
end)
