-- stoke.queue over the local engine: what a script sees.

local test = require "stoke.test"
local stoke = require "stoke"

local function open(t) return stoke.queue("local:" .. t.tmp() .. "/q.db") end

test("an item is published, taken, acknowledged, and done", function(t)
  local queue <close> = open(t)
  t.eq(queue:publish("jobs", nil, "1", { n = 1 }), true)
  t.eq(queue:publish("jobs", nil, "1", { n = 1 }), false)
  local reader <close> = queue:consume("jobs", "workers")
  local item = reader:take(1)
  t.eq({ item.id, item.value, item.try, item.offset }, { "1", { n = 1 }, 1, 1 })
  t.eq(item:ack { value = "fine" }, true)
  t.eq(reader:take(0), nil)
  for done in queue:outcomes("jobs", "workers") do t.eq({ done.id, done.state, done.value }, { "1", "done", "fine" }) end
end)

test("an item that waits for an earlier one of its key is lent when that is settled", function(t)
  local queue <close> = open(t)
  for i = 1, 3 do queue:publish("jobs", i < 3 and "ada" or "bob", tostring(i), i) end
  local reader <close> = queue:consume("jobs", "workers", { prefetch = 10 })
  local first, third = reader:take(0), reader:take(0)
  t.eq({ first.value, third.value, reader:take(0) }, { 1, 3 })
  first:nack { delay = 60 }
  t.eq(reader:take(0), nil)
end)

test("what an item hands over is in the other stream with its acknowledgement", function(t)
  local queue <close> = open(t)
  queue:publish("a", nil, "1", 1)
  local reader <close> = queue:consume("a", "g")
  reader:take(1):ack { publish = { { stream = "b", value = 2 }, { stream = "b", value = 3 } } }
  local got = {}
  for item in queue:read "b" do got[#got + 1] = { item.id, item.value } end
  t.eq(got, { { "1", 2 }, { "1#2", 3 } })
end)

test("who waits for an item gets it when it is published", function(t)
  local queue <close> = open(t)
  local task = stoke.spawn(function()
    local reader <close> = queue:consume("jobs", "workers")
    local item = reader:take()
    item:ack()
    return item.value
  end)
  stoke.sleep(0.05)
  queue:publish("jobs", nil, nil, "hello")
  t.eq(task:await(), "hello")
end)

test("a loop over a reader that is left gives back what was not settled", function(t)
  local queue <close> = open(t)
  queue:publish_all("jobs", { { value = 1 }, { value = 2 } })
  for item in queue:consume("jobs", "workers", { prefetch = 2 }) do
    if item.value == 1 then break end
  end
  local tries = {}
  local reader <close> = queue:consume("jobs", "workers", { prefetch = 2 })
  for _ = 1, 2 do
    local item = reader:take(0)
    tries[item.value] = item.try
    item:ack()
  end
  t.eq(tries, { 2, 1 })
end)

test("an item that fails at each of its tries is a dead letter with its last reason, and can be revived", function(t)
  local queue <close> = open(t)
  queue:publish("jobs", nil, "bad", 1)
  local reader <close> = queue:consume("jobs", "workers", { tries = 2 })
  for i = 1, 2 do reader:take(0):nack { reason = "no " .. i } end
  t.eq(reader:take(0), nil)
  for done in queue:outcomes("jobs", "workers") do
    t.eq({ done.id, done.state, done.tries, done.reason }, { "bad", "dead", 2, "no 2" })
  end
  t.eq(queue:revive("jobs", "workers"), 1)
  t.eq(reader:take(0).try, 1)
end)

test("a key is swapped by the one that knows its revision", function(t)
  local queue <close> = open(t)
  local kv = queue:kv "settings"
  t.eq({ kv:get "a" }, { nil, 0 })
  local first = kv:swap("a", 1, 0)
  t.eq(kv:swap("a", 2, 0), nil)
  local second = kv:swap("a", 2, first)
  t.eq({ kv:get "a" }, { 2, second })
  t.eq(kv:delete("a", first), false)
  t.eq(kv:delete("a", second), true)
  t.eq(kv:keys(), {})
end)

test("who watches keys sees what there is, and what changes", function(t)
  local queue <close> = open(t)
  local kv = queue:kv "settings"
  kv:put("a", 1)
  local seen = {}
  local task = stoke.spawn(function()
    for key, value in kv:watch() do
      seen[#seen + 1] = { key, value }
      if #seen == 3 then return end
    end
  end)
  stoke.sleep(0.05)
  kv:put("b", 2)
  stoke.sleep(0.05)
  kv:delete "a"
  task:await()
  t.eq(seen, { { "a", 1 }, { "b", 2 }, { "a", nil } })
end)

test("a log takes a record after the last one alone", function(t)
  local queue <close> = open(t)
  local log = queue:log "runs"
  local first = log:append("r", 0, "one")
  t.eq({ log:append("r", 0, "other") }, { nil, first })
  log:append("r", first, "two")
  local values = {}
  for i, record in ipairs(log:read "r") do values[i] = record.value end
  t.eq(values, { "one", "two" })
  log:drop "r"
  t.eq(#log:read "r", 0)
end)

test("a reader that raises at each item makes it a dead letter after its tries", function(t)
  local queue <close> = stoke.queue("local:" .. t.tmp() .. "/q.db")
  queue:publish("raised", nil, "bad", 1)
  local tries = {}
  for _ = 1, 4 do
    stoke.try(stoke.timeout, 1, function()
      for item in queue:consume("raised", "g", { tries = 3 }) do
        tries[#tries + 1] = item.try
        error "boom"
      end
    end)
  end
  t.eq(tries, { 1, 2, 3 })
  local dead = {}
  for one in queue:outcomes("raised", "g") do dead[#dead + 1] = { one.id, one.state, one.reason } end
  t.eq(dead, { { "bad", "dead", "its reader was closed at try 3" } })
end)
