-- Calls that several ask for at once: one is made, and all get its answer.

local cached = require "cached"
local flights = require "core.cache.flight"
local gate = require "core.gate.cache"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local stoke = require "stoke"
local test = require "stoke.test"

local function text_of(reply) return reply.message.content end

test("who asks what is being asked waits for that answer; it is asked once, and the first one pays", function(t)
  local server <close> = cached { delay = 1 }
  local scope <close> = stoke.scope()
  local list = scope:map({ 1, 2, 3 }, function() return server:chat "Hi" end)
  local how, calls = {}, 0
  for i, reply in ipairs(list) do
    t.eq(text_of(reply), "1: Hi")
    how[i], calls = reply.cached or "asked", calls + reply.usage.calls
  end
  table.sort(how)
  t.eq({ how, calls, server.asked, flights.count() }, { { "asked", "shared", "shared" }, 1, 1, 0 })
end)

test("each gets an answer of his own", function(t)
  local server <close> = cached { delay = 1 }
  local scope <close> = stoke.scope()
  local list = scope:map({ 1, 2 }, function()
    local reply = server:chat "Hi"
    reply.message.content = reply.message.content .. "!"
    return reply
  end)
  t.eq({ text_of(list[1]), text_of(list[2]) }, { "1: Hi!", "1: Hi!" })
end)

test("the first is cancelled: the call goes on for the others, and the next one pays", function(t)
  local server <close> = cached { delay = 2 }
  local scope <close> = stoke.scope()
  local first = scope:spawn(function() return server:chat "Hi" end)
  stoke.sleep(0.5)
  local budget
  local second = scope:spawn(function()
    local inner <close> = stoke.scope { budget = { tokens = 1000 } }
    local reply = server:chat "Hi"
    budget = inner.budget.used
    return reply
  end)
  stoke.sleep(0.5)
  first:cancel()
  local reply = second:await()
  t.eq({ text_of(reply), reply.cached, reply.usage.calls, server.asked }, { "1: Hi", nil, 1, 1 })
  t.eq({ budget.calls, budget.tokens }, { 1, 15 })
end)

test("when the last one leaves the call is cancelled, and its slot is free", function(t)
  local server <close> = cached { delay = 60 }
  local scope <close> = stoke.scope()
  local tasks = { scope:spawn(function() return server:chat "Hi" end), scope:spawn(function() return server:chat "Hi" end) }
  stoke.sleep(0.5)
  t.eq(flights.count(), 1)
  for _, task in ipairs(tasks) do task:cancel() end
  stoke.sleep(0.1)
  t.eq({ flights.count(), pool.list() }, { 0, {} })
end)

test("an error of the server is everybody's, each has it for himself", function(t)
  local server <close> = cached { delay = 1, answer = function() return 400 end }
  local scope <close> = stoke.scope()
  local list = scope:map({ 1, 2 }, function() return { select(2, server:try "Hi") } end)
  t.eq({ list[1][1].kind, list[2][1].kind, list[1][1].status, server.asked }, { "http", "http", 400, 1 })
  t.ok(list[1][1] ~= list[2][1])
end)

test("the deadline of the first ends its own wait, not that of the others", function(t)
  local server <close> = cached { delay = 5 }
  local scope <close> = stoke.scope()
  local first = scope:spawn(function() return server:try("Hi", { deadline = 2 }) end)
  stoke.sleep(0.5)
  local second = scope:spawn(function() return server:chat "Hi" end)
  t.eq(select(2, first:await()).kind, "deadline")
  t.eq({ text_of(second:await()), server.asked }, { "1: Hi", 1 })
end)

test("a budget that is spent is the error of its caller alone", function(t)
  local server <close> = cached { delay = 1 }
  local scope <close> = stoke.scope()
  local poor = scope:spawn(function()
    local _ <close> = stoke.scope { budget = { calls = 0 } }
    return server:try "Hi"
  end)
  local rich = scope:spawn(function() return server:chat "Hi" end)
  t.eq(select(2, poor:await()).kind, "budget")
  t.eq(text_of(rich:await()), "1: Hi")
end)

test("an answer that the first one's budget has cut is not the others': they ask", function(t)
  local server <close> = cached { delay = 1, reason = "length" }
  local scope <close> = stoke.scope()
  local first = scope:spawn(function()
    local _ <close> = stoke.scope { budget = { tokens = 100 } }
    return server:chat "Hi"
  end)
  local second = scope:spawn(function() return server:chat "Hi" end)
  t.eq({ text_of(first:await()), text_of(second:await()), server.asked }, { "1: Hi", "2: Hi", 2 })
end)

test("the class of a call that waits is the highest of those who wait for it", function(t)
  local server <close> = cached { delay = 2 }
  pool.set_default(1)
  local order = {}
  local scope <close> = stoke.scope()
  local function ask(text, class)
    return scope:spawn(function()
      server:chat(text, { class = class })
      order[#order + 1] = text .. " " .. class
    end)
  end
  ask("busy", "normal")
  stoke.sleep(0.1)
  ask("common", "batch")
  stoke.sleep(0.1)
  ask("other", "normal")
  stoke.sleep(0.1)
  local last = ask("common", "interactive")
  last:await()
  stoke.sleep(10)
  pool.set_default(nil)
  t.eq({ order[1], order[4], server.asked }, { "busy normal", "other normal", 3 })
end)

-- ---- streams --------------------------------------------------------------------------------------------------------------------

local function reading(server, into, extra)
  local given = { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = true, merge = false }
  for name, value in pairs(extra or {}) do given[name] = value end
  for ev in ollama.stream(given) do into[#into + 1] = ev end
  return into
end

local WORDS <const> = "a b c d e"

test("a stream has several readers; one that comes late gets what has come, and then the rest as it comes", function(t)
  local server <close> = cached { pace = 1, answer = function() return WORDS end }
  local scope <close> = stoke.scope()
  local one, two = {}, {}
  local first = scope:spawn(reading, server, one)
  stoke.sleep(2.5)
  local second = scope:spawn(reading, server, two)
  stoke.sleep(0.1)
  t.eq({ #one, #two }, { 3, 3 })
  first:await()
  second:await()
  t.eq({ #one, #two, server.asked }, { 6, 6, 1 })
  t.eq({ one[6].cached, two[6].cached, one[6].usage.calls, two[6].usage.calls }, { nil, "shared", 1, 0 })
end)

test("the first reader of a stream leaves: the others read on, and the next one pays", function(t)
  local server <close> = cached { pace = 1, answer = function() return WORDS end }
  local scope <close> = stoke.scope()
  local two, used = {}, nil
  local first = scope:spawn(reading, server, {})
  stoke.sleep(0.5)
  local second = scope:spawn(function()
    local inner <close> = stoke.scope { budget = { tokens = 1000 } }
    reading(server, two)
    used = inner.budget.used
  end)
  stoke.sleep(1)
  first:cancel()
  second:await()
  t.eq({ #two, two[6].cached, server.asked }, { 6, nil, 1 })
  t.eq({ used.calls, used.tokens }, { 1, 15 })
end)

test("a loop that is left closes the stream: nothing is asked any more, whichever way it was read", function(t)
  for what, read in pairs {
    events = function(given) for _ in ollama.stream(given) do break end end, -- luacheck: ignore
    text = function(given) for _ in ollama.text(given) do break end end, -- luacheck: ignore
    error = function(given) pcall(function() for _ in ollama.stream(given) do error "enough" end end) end,
    agent = function(given)
      local agent = stoke.agent { model = "m", endpoint = given.endpoint, options = given.options, cache = true }
      for ev in agent:stream "Hi" do if ev.type == "text" then break end end
    end,
  } do
    local server <close> = cached { pace = 1, answer = function() return WORDS end }
    read { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = true }
    stoke.sleep(0.01)
    t.eq({ flights.count(), pool.list() }, { 0, {} }, what)
  end
end)

test("a slow reader keeps nobody back", function(t)
  local server <close> = cached { answer = function() return WORDS end }
  local scope <close> = stoke.scope()
  local slow = scope:spawn(function()
    local n = 0
    for _ in ollama.stream { model = "m", endpoint = server.url, prompt = "Hi", options = { temperature = 0 }, cache = true,
      merge = false } do
      n = n + 1
      stoke.sleep(100)
    end
    return n
  end)
  stoke.sleep(1)
  t.eq(#reading(server, {}), 6)
  t.eq({ slow:await(), server.asked }, { 6, 1 })
end)

test("a stream that breaks off is an error for all its readers, and is not kept", function(t)
  local n = 0
  local server <close> = cached { answer = function()
    n = n + 1
    return n == 1 and 400 or WORDS
  end }
  local scope <close> = stoke.scope()
  local list = scope:map({ 1, 2 }, function() return { select(2, stoke.try(reading, server, {})) } end)
  t.eq({ list[1][1].kind, list[2][1].kind, server.asked }, { "http", "http", 1 })
  t.eq(#reading(server, {}), 6)
  t.eq(gate.counts.exact, 0)
end)
