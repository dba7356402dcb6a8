-- Actors whose process is killed, in a handler, between a commit and its word: each message is handled once.

local test = require "stoke.test"
local durable = require "durable"
local stoke = require "stoke"

local SHOP = [[
local stoke = require "stoke"
local url, how, n, leaves = table.unpack(arg)
local total = stoke.actor("total", { state = { sum = 0 }, on = { add = function(state, by) state.sum = state.sum + by end } })
local till = stoke.actor("till", { state = { bills = {} }, on = { pay = function(state, what)
  stoke.http.post(url .. "/" .. what, { body = "x", idempotency = true })
  stoke.sleep(0.01)
  table.insert(state.bills, what)
  total:send("add", 1)
end } })
stoke.main(function()
  if how == "send" then
    for i = 1, n do till:send("pay", "bill" .. i) end
    print "sent"
    if leaves then os.exit(0) end
  end
  if how == "look" then print(#till:state().bills, total:state().sum, till:waiting(), total:waiting()) end
end)
]]

-- A generator of its own, so that a seed means the same everywhere.
local function numbers(seed)
  local state = seed
  return function()
    state = (state * 1103515245 + 12345) % 2147483648
    return state / 2147483648
  end
end

test("killed at random moments, handlers go on, and what they did and sent is there once", { real = true, timeout = 300 },
  function(t)
    local witness <close> = durable.witness()
    local case, random = durable.new(t, SHOP), numbers(5)
    local status = case:run(nil, { witness.url, "send", "8", "leaves" }, 60)
    t.eq(status.code, 0, case.told[1])
    for _ = 1, 100 do
      status = case:run(nil, { witness.url, "go" }, 0.03 + random() * 0.1)
      if not status.signal then break end
    end
    t.eq(status.code, 0, case.told[#case.told])
    t.eq(select(2, case:run(nil, { witness.url, "look" }, 60)), "8\t8\t0\t0\n")
    t.eq(witness.count, 8)
    t.ok(case.kills > 0)
  end)

test("killed while its messages are sent and handled, each that was told of is handled once", { real = true, timeout = 300 },
  function(t)
    local witness <close> = durable.witness()
    local case, random = durable.new(t, SHOP), numbers(9)
    local status, out
    for _ = 1, 6 do
      status, out = case:run(nil, { witness.url, "send", "1" }, 0.03 + random() * 0.15)
      if out == "sent\n" and not status.signal then break end
    end
    status = case:run(nil, { witness.url, "go" }, 60)
    t.eq(status.code, 0, case.told[#case.told])
    local bills, sum, left, more = select(2, case:run(nil, { witness.url, "look" }, 60)):match "(%d+)\t(%d+)\t(%d+)\t(%d+)"
    t.eq({ sum, left, more }, { bills, "0", "0" })
    local told = 0
    for _, text in ipairs(case.shown) do
      if text == "sent\n" then told = told + 1 end
    end
    t.ok(tonumber(bills) >= told)
    t.eq(witness.count, tonumber(bills))
  end)

test("two processes have one actor: one at a time handles its messages", { real = true, timeout = 120 }, function(t)
  local witness <close> = durable.witness()
  local case = durable.new(t, SHOP)
  local scope <close> = stoke.scope {}
  local codes = scope:map({ 1, 2, 3 }, function() return case:run(nil, { witness.url, "send", "4" }, 100).code end)
  t.eq(codes, { 0, 0, 0 }, table.concat(case.told))
  t.eq(select(2, case:run(nil, { witness.url, "look" }, 60)), "12\t12\t0\t0\n")
  t.eq(witness.count, 12)
end)
