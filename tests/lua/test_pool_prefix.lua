-- What a server remembers of prompts, imitated; beside the simulator's cache, which follows real servers.

local test = require "stoke.test"
local caches = require "stoke.sim.cache"
local estimate = require "core.pool.estimate"
local prefix = require "core.pool.prefix"
local rand = require "stoke.rand"

-- A prompt of messages: its text, and its chain.
local function prompt_of(messages)
  local chain, text = { tokens = {} }, "<template>"
  for i, message in ipairs(messages) do
    text = text .. message
    chain[i], chain.tokens[i] = text, #text // caches.BYTES_PER_TOKEN
  end
  return text, chain
end

local function said(random, name, n) return ("%s%d "):format(name, n):rep(random:int(20, 120)) end

-- Conversations that take turns on a server, some at once: how far the imitation is from it, of the last calls.
-- gives share of calls that were told right, the imitation, and the calls
local function talk(random, habit, slots, conversations, calls, memory)
  local server, units, busy, right, counted = caches.new(slots, true, habit), {}, {}, 0, 0
  for i = 1, conversations do units[i] = { messages = { said(random, "system" .. i, 0), said(random, "user" .. i, 0) } } end
  for call = 1, calls do
    while #busy == slots or #busy > 0 and random:int(1, 2) == 1 do
      local done = table.remove(busy, random:int(1, #busy))
      server:give(done.slot, done.text .. done.answer)
      memory:give(done.unit, #done.answer // caches.BYTES_PER_TOKEN, nil, done.seen)
      done.unit.messages[#done.unit.messages + 1] = done.answer
      done.unit.messages[#done.unit.messages + 1] = said(random, "more", call)
      done.unit.busy = false
      if #done.unit.messages > 16 then done.unit.messages = { table.unpack(done.unit.messages, 1, 2) } end
    end
    local unit = units[random:int(1, #units)]
    if not unit.busy then
      local text, chain = prompt_of(unit.messages)
      local slot, cached = server:take(text)
      local told = memory:take(unit, chain)
      local total = #text // caches.BYTES_PER_TOKEN
      if call > calls // 3 then
        counted = counted + 1
        if math.abs(told - cached) <= 0.05 * total + 8 then right = right + 1 end
      end
      unit.busy = true
      busy[#busy + 1] = { unit = unit, slot = slot, text = text, answer = said(random, "answer", call), seen = cached / total }
    end
  end
  return right / counted
end

for _, habit in ipairs { "slot", "host" } do
  for _, slots in ipairs { 1, 4 } do
    test(("prefix: a server of the habit %q and %d slots is found out, and foretold"):format(habit, slots), function(t)
      for seed = 1, 3 do
        local memory = prefix.new(nil, slots)
        local right = talk(rand.new(seed), habit, slots, 6, 300, memory)
        t.eq(memory.kind, habit, "seed " .. seed)
        t.ok(right >= 0.95, ("seed %d: %.2f of the calls"):format(seed, right))
      end
    end)
  end
end

local A1, B1 = { 11, 12, tokens = { 400, 500 } }, { 21, 22, tokens = { 300, 500 } }
local A2 = { 11, 12, 13, 14, tokens = { 400, 500, 560, 600 } }

test("prefix: the slot of a conversation that goes on has its prompt and its answer", function(t)
  local memory, a = prefix.new(nil, 1), {}
  t.eq(memory:take(a, A1), 0)
  t.eq(memory:holds(a), nil, "while it is at work")
  memory:give(a, 60)
  t.eq({ memory:holds(a), memory:units()[a], memory:price(a, 100) }, { 560, true, 5.6 })
  t.eq(memory:take(a, A2), 560)
end)

test("prefix: another conversation displaces it, unless the server keeps it in its memory", function(t)
  for kind, shared in pairs { slot = 1, host = 560 } do
    local memory, a, b = prefix.new({ kind = kind }, 1), {}, {}
    memory:take(a, A1)
    memory:give(a, 60)
    memory:take(b, B1)
    memory:give(b, 60)
    t.eq(memory:price(b, 100) > 0, kind == "slot", kind)
    t.eq(memory:units() == nil, kind == "host", kind)
    t.eq(memory:take(a, A2), shared, kind)
  end
end)

test("prefix: nothing is held after a load, nor of a conversation that nobody knows", function(t)
  local memory, a = prefix.new(nil, 2), {}
  memory:take(a, A1)
  memory:give(a, 60)
  memory:forget()
  t.eq({ memory:holds(a), memory:units(), memory:price(a, 100), memory:holds {} }, { nil, nil, 0, nil })
  memory:give(a, 60)
  t.eq(memory:take(a, nil), 0, "a prompt that is not known")
end)

test("prefix: conversations that have ended are not kept alive for it", function(t)
  local memory = prefix.new(nil, 1)
  local gone = setmetatable({}, { __mode = "k" })
  do
    local a = {}
    gone[a] = true
    memory:take(a, A1)
    memory:give(a, 60)
  end
  collectgarbage()
  collectgarbage()
  t.eq(next(gone), nil)
end)

test("prefix: what the process before has found out is believed until it is seen otherwise", function(t)
  local memory = prefix.new({ kind = "host" }, 1)
  t.eq(memory.kind, "host")
  t.eq(prefix.new(memory:facts(), 1).kind, "host")
  talk(rand.new(9), "slot", 1, 6, 60, memory)
  t.eq({ memory.kind, memory:facts().kind }, { "slot", "slot" })
  t.eq(prefix.new({ kind = "other" }, 1).kind, "slot")
end)

test("prefix: the time of reading a prompt tells how much of it was remembered", function(t)
  local lane = estimate.new()
  t.eq(lane:seen_part { prefill = 1, input = 200 }, nil, "the speed is not known")
  for _ = 1, 5 do lane:learn({ prefill = 0.64, decode = 1, input = 200, output = 20 }, nil, 0) end
  lane:learn({ prefill = 0.022, decode = 1, input = 200, output = 20 }, nil, 199)
  t.near(lane:seen_part { prefill = 0.64, input = 200 }, 0.03, 0.04)
  t.near(lane:seen_part { prefill = 0.33, input = 200 }, 0.5, 0.05)
  t.near(lane:seen_part { prefill = 0.03, input = 200 }, 0.98, 0.03)
end)
