-- Actors that hosts share: one message of an actor at a time, whichever hosts handle them, and each changes the state once.

local test = require "stoke.test"
local farming = require "farming"
local runs = require "core.runs"
local stoke = require "stoke"
require "stoke.actor"

local COUNTER <const> = [[
local stoke = require "stoke"
local counter
counter = stoke.actor("counter", { shared = true, state = { n = 0, list = {} }, on = {
  add = function(state, by, pause)
    local n = state.n
    stoke.sleep(pause or 0)
    state.n = n + by
    state.list[#state.list + 1] = by
    return state.n
  end,
  fail = function(state)
    state.n = -1
    error "it is broken"
  end,
  asks = function() return counter:ask "asks" end,
} })
]]

local function kind()
  local function none() error "this is no worker" end
  return stoke.actor("counter", { shared = true, state = { n = 0, list = {} }, on = { add = none, fail = none, asks = none } })
end

test("messages from any host are handled one after another, in their order, by any worker", { real = true, timeout = 60 },
  function(t)
    local farm <close> = farming.new(t, COUNTER)
    farm:start "a"
    farm:start "b"
    local counter = kind()
    for i = 1, 9 do counter:send("add", i) end
    t.eq(counter:ask("add", 10), 55)
    t.eq(counter:state().list, { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 })
    t.eq(counter "ada":ask("add", 2), 2, "another one has a state of its own")
    t.eq(tostring(counter "ada"), 'actor counter "ada", shared by hosts')
  end)

test("a handler that fails leaves the state as it was, and the next message is handled", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, COUNTER)
  farm:start "a"
  local counter = kind()
  counter:ask("add", 3)
  t.contains(t.raises("script", function() counter:ask "fail" end).message, "it is broken")
  t.eq(counter:ask("add", 1), 4)
  t.contains(t.raises("argument", function() counter:send "ad" end).message, "did you mean add?")
end)

test("hosts are killed while they handle messages: each changes the state once", { real = true, timeout = 90 }, function(t)
  local farm <close> = farming.new(t, COUNTER)
  local counter = kind()
  farm:start("a", { "--tries", "50" })
  farm:start("b", { "--tries", "50" })
  for i = 1, 30 do counter:send("add", i, 0.05) end
  for i = 1, 6 do
    stoke.sleep(0.3)
    local name = i % 2 == 0 and "a" or "b"
    farm:kill(name)
    farm:start(name, { "--tries", "50" })
  end
  t.eq(counter:ask("add", 0), 30 * 31 // 2)
  local list = {}
  for i = 1, 30 do list[i] = i end
  list[31] = 0
  t.eq(counter:state().list, list)
end)

test("an actor that would wait for its own answer is told so", { real = true, timeout = 60 }, function(t)
  local farm <close> = farming.new(t, COUNTER)
  farm:start "a"
  local counter = kind()
  t.contains(t.raises("argument", function() counter:ask "asks" end).message, "would wait for its own answer")
end)

test("without an engine a shared actor is one of this host", { real = true }, function(t)
  local farm <close> = farming.new(t, COUNTER)
  runs.engine = function() end
  local counter = stoke.actor("alone", { shared = true, state = { n = 0 }, on = { add = function(s, by)
    s.n = s.n + by
    return s.n
  end } })
  t.eq(counter:ask("add", 2), 2)
  t.ok(farm)
end)
