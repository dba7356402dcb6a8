-- stoke.mailbox, stoke.topic, stoke.shared: letters between tasks, and what they have together.

local test = require "stoke.test"
local scripted = require "scripted"
local stored = require "kept_store"
local stoke = require "stoke"

local function bodies(box, n)
  local out = {}
  for i = 1, n do out[i] = box:receive(1).body end
  return out
end

test("letters come in the order in which they were sent, with their type, number and sender", function(t)
  local box <close> = stoke.mailbox()
  box:send("a", 1)
  box:send("b", { x = { 2 } })
  local letter = box:receive()
  t.eq({ letter.type, letter.body, letter.number }, { "a", 1, 1 })
  t.eq(letter.from, "main")
  stoke.spawn(function() box:send "c" end)
  t.match(box:receive { types = "c" }.from, "test_mailbox.lua:%d+$")
  t.eq(box:receive().body, { x = { 2 } })
  t.eq(box:waiting(), 0)
end)

test("a letter is a copy: what its sender does to it later is not in it", function(t)
  local box <close> = stoke.mailbox()
  local body = { list = { 1 } }
  box:send("a", body)
  body.list[1] = 2
  t.eq(box:receive().body.list, { 1 })
end)

test("what is no data is refused, and named by its place", function(t)
  local box <close> = stoke.mailbox "clerk"
  local function wrong(body, words)
    local err = t.raises("argument", box.send, box, "order", body)
    t.match(err.message, '^mailbox "clerk": the letter "order" is no data: ' .. words)
  end
  wrong({ items = { { done = print } } }, "items%[1%]%.done is a function")
  wrong(print, "it is a function")
  wrong({ task = stoke.spawn(function() end) }, "task is an object of a class")
  local circle = {}
  circle.me = circle
  wrong(circle, ".*nested too deep, or contains itself")
  t.eq(box:waiting(), 0)
end)

test("a full mailbox makes its senders wait, first come first served, and nothing is lost", function(t)
  local box <close> = stoke.mailbox(nil, { capacity = 3 })
  local produced, most = 0, 0
  local producers = {}
  for p = 1, 10 do
    producers[p] = stoke.spawn(function()
      for i = 1, 100 do
        box:send("n", { p, i })
        produced = produced + 1
      end
    end)
  end
  local last = {}
  for n = 1, 1000 do
    if n % 100 == 0 then stoke.sleep(1) end -- ten times slower than who sends
    local letter = box:receive(10)
    local p, i = letter.body[1], letter.body[2]
    t.ok(i == (last[p] or 0) + 1, "the order of a sender")
    last[p] = i
    most = math.max(most, box:waiting())
  end
  for _, task in ipairs(producers) do task:await() end
  t.eq({ produced, most, box:waiting() }, { 1000, 3, 0 })
end)

test("receive takes letters of some types or of one sender, and leaves the others in their order", function(t)
  local box <close> = stoke.mailbox()
  for i, kind in ipairs { "a", "b", "a", "c", "b" } do box:send(kind, i) end
  t.eq(box:receive { types = "b" }.body, 2)
  t.eq(box:receive { types = { "c", "b" } }.body, 4)
  t.eq({ box:receive { types = "x", timeout = 2 } }, { nil, "timeout" })
  t.eq(bodies(box, 3), { 1, 3, 5 })
  local waits = stoke.spawn(function() return box:receive { types = "late" }.body end)
  stoke.sleep(1)
  box:send("early", 1)
  box:send("late", 2)
  t.eq({ waits:await(), box:receive().body }, { 2, 1 })
  t.eq({ box:receive { from = "somebody else", timeout = 1 } }, { nil, "timeout" })
end)

test("a mailbox that is read selectively for a long time stays as small as its capacity", function(t)
  local box <close> = stoke.mailbox(nil, { capacity = 10 })
  box:send("never", 0)
  for i = 1, 5000 do
    box:send("often", i)
    t.ok(box:receive { types = "often" }.body == i)
  end
  t.eq(box:receive().body, 0)
  t.ok(box.last - box.first <= 3 * 10, box.last - box.first)
end)

test("ask waits for the answer of who reads; fail raises there", function(t)
  local box <close> = stoke.mailbox "shop"
  stoke.spawn(function()
    for letter in box do
      if letter.type == "price" then letter:reply { cents = 100 * #letter.body.item } else letter:fail "unknown" end
    end
  end)
  t.eq(box:ask("price", { item = "lamp" }).cents, 400)
  t.match(t.raises("script", box.ask, box, "colour").message, "unknown")
end)

test("ask gives up in time, says whether the letter was read, and takes it back if it was not", function(t)
  local box <close> = stoke.mailbox "shop"
  local err = t.raises("timeout", box.ask, box, "price", 1, { timeout = 5 })
  t.match(err.message, 'mailbox "shop": no answer to "price" within 5 s: the letter was not read')
  t.eq(box:waiting(), 0)
  local before = stoke.mailbox.dead().count
  local reader = stoke.spawn(function()
    local letter = box:receive()
    stoke.sleep(10)
    return letter:reply(1)
  end)
  err = t.raises("timeout", box.ask, box, "price", 1, { timeout = 5 })
  t.match(err.message, "it was read by .*test_mailbox.*who has not answered")
  t.eq(reader:await(), false)
  local dead = stoke.mailbox.dead()
  t.eq({ dead.count - before, dead.newest[#dead.newest].why }, { 1, "late" })
end)

test("ask says that there was no room where its letter never came into the mailbox", function(t)
  local box <close> = stoke.mailbox("full shop", { capacity = 1 })
  box:send "first"
  local err = t.raises("timeout", box.ask, box, "price", 1, { timeout = 5 })
  t.match(err.message, 'no answer to "price" within 5 s: there was no room for it, 1 letters wait')
  t.eq(box:waiting(), 1)
end)

test("two that ask for a name at once get the same thing, also where making it waits", function(t)
  local names = require "core.mailbox".names "things"
  local made, got = 0, {}
  local scope <close> = stoke.scope {}
  scope:map({ 1, 2 }, function(i)
    got[i] = names:get("one", function()
      stoke.sleep(1)
      made = made + 1
      return { name = "one" }
    end)
  end)
  t.eq(made, 2)
  t.ok(got[1] == got[2])
  names:drop(got[1])
  t.eq(names.outside.count, 0)
end)

test("closing tells all who wait, and what is in it are dead letters", function(t)
  local before = stoke.mailbox.dead().count
  local box = stoke.mailbox("closing", { capacity = 1 })
  local asks = stoke.spawn(function() return select(2, stoke.try(box.ask, box, "q", 1)).kind end)
  stoke.sleep(0)
  local sends = stoke.spawn(function() return select(2, box:send("b", 2)) end)
  stoke.sleep(0)
  local other <close> = stoke.mailbox()
  local reads = stoke.spawn(function() return select(2, other:receive()) end)
  stoke.sleep(1)
  box:close()
  other:close()
  t.eq({ asks:await(), sends:await(), reads:await() }, { "incomplete", "closed", "closed" })
  t.eq({ box:send("c", 3) }, { nil, "closed" })
  t.eq(box:receive(), nil)
  local dead = stoke.mailbox.dead()
  t.eq(dead.count - before, 3)
  t.eq(dead.newest[#dead.newest], { mailbox = "closing", type = "c", from = dead.newest[#dead.newest].from, why = "closed" })
end)

test("a cancelled reader or sender takes nothing with it", function(t)
  local box <close> = stoke.mailbox(nil, { capacity = 1 })
  local reader = stoke.spawn(function() box:receive() end)
  stoke.sleep(1)
  reader:cancel()
  box:send("a", 1)
  local sender = stoke.spawn(function() box:send("b", 2) end)
  stoke.sleep(1)
  sender:cancel()
  t.eq(box:receive().body, 1)
  t.eq({ box:receive(1) }, { nil, "timeout" })
  t.eq(select(2, stoke.try(sender.await, sender)).kind, "cancelled")
end)

test("a name is one mailbox until it is closed; another capacity is refused; they are listed", function(t)
  local box = stoke.mailbox("one", { capacity = 5 })
  t.ok(stoke.mailbox "one" == box)
  t.match(t.raises("argument", stoke.mailbox, "one", { capacity = 6 }).message, "capacity of 5, not 6")
  box:send("a")
  local found
  for _, row in ipairs(stoke.mailbox.list()) do
    if row.name == "one" then found = row end
  end
  t.eq(found, { name = "one", waiting = 1, capacity = 5, senders = 0 })
  box:close()
  t.ok(stoke.mailbox "one" ~= box)
  stoke.mailbox("one"):close()
end)

test("`:mail` and what `stoke top` asks for tell of mailboxes and dead letters", function(t)
  local commands = require "stoke.console.commands"
  local box <close> = stoke.mailbox("shown", { capacity = 4 })
  box:send("a", 1)
  t.match(commands.run ":mail", "shown +1 +4 +0\n")
  local gone = stoke.mailbox "gone"
  gone:send("b", 2)
  gone:close()
  t.match(commands.run ":mail", "%d+ dead letters; the newest:\n.*gone +b +main +unread\n")
end)

test("the names of durable runs are their own and go with them", { real = true }, function(t)
  local closing <close> = stored(t) -- luacheck: ignore
  local engine = require "core.mailbox"
  local most <close> = setmetatable({ engine.NAMES }, { __close = function(before) engine.NAMES = before[1] end }) -- luacheck: ignore
  engine.NAMES = #stoke.mailbox.list() + 3
  local flow = stoke.workflow("names", function()
    for i = 1, 3 do stoke.mailbox("n" .. i) end
    return true
  end)
  for _ = 1, 5 do t.ok(flow:start():await()) end
  local boxes = { stoke.mailbox "m1", stoke.mailbox "m2", stoke.mailbox "m3" }
  t.match(t.raises("limit", stoke.mailbox, "m4").message, "mailboxes with a name")
  for _, box in ipairs(boxes) do box:close() end
end)

test("who sends for an agent is that agent, whatever the letter says", function(t)
  local box <close> = stoke.mailbox()
  local tell = stoke.tool { name = "tell", params = { words = "string" }, run = function(a)
    box:send("words", { from = "the boss", words = a.words })
    return "told"
  end }
  local server <close> = scripted { { tool = "tell", args = { words = "hello" } }, "done" }
  stoke.agent { name = "spy", model = scripted.MODEL, endpoint = server.url, tools = { tell } }:run "go"
  t.eq(box:receive().from, "spy")
end)

-- ---- topics ---------------------------------------------------------------------------------------------------------------------

test("topic: every subscriber gets a copy of what is published, and no other", function(t)
  local news = stoke.topic "news"
  local a <close> = news:subscribe()
  local b <close> = news:subscribe { types = "sport" }
  t.eq(news:publish("headline", { text = "rain" }), 1)
  t.eq(news:publish("sport", { text = "won" }), 2)
  t.eq({ a:receive().body.text, a:receive().body.text, b:receive().body.text }, { "rain", "won", "won" })
  t.eq({ b:receive(1) }, { nil, "timeout" })
  t.ok(stoke.topic "news" == news)
end)

test("topic: the letter that was kept last comes first to who subscribes later and wants it", function(t)
  local state = stoke.topic "state"
  state:publish("on", 1, { retain = true })
  local late <close> = state:subscribe { retained = true }
  local plain <close> = state:subscribe()
  t.eq({ late:receive().body, state:retained(), plain:waiting() }, { 1, 1, 0 })
end)

test("topic: a subscriber that is behind keeps the publisher waiting, or lets the oldest go, counted", function(t)
  local news = stoke.topic "slow news"
  local slow <close> = news:subscribe { capacity = 2 }
  local began = stoke.time.monotonic()
  stoke.spawn(function()
    stoke.sleep(5)
    slow:receive()
  end)
  for i = 1, 3 do news:publish("n", i) end
  t.near(stoke.time.monotonic() - began, 5, 0.1)
  slow:close()
  t.eq(news:subscribers(), 0)
  local drops <close> = news:subscribe { capacity = 2, full = "drop" }
  for i = 1, 5 do news:publish("n", i) end
  t.eq({ drops.dropped, drops:receive().body, drops:receive().body }, { 3, 4, 5 })
end)

test("topic: who publishes waits as long as it says, and then goes on with who has room", function(t)
  local news = stoke.topic "patient news"
  local slow <close> = news:subscribe { capacity = 1 }
  local quick <close> = news:subscribe()
  t.eq({ news:publish("a", 1, { timeout = 5 }) }, { 2, 0 })
  local began = stoke.time.monotonic()
  t.eq({ news:publish("b", 2, { timeout = 5 }) }, { 1, 1 })
  t.near(stoke.time.monotonic() - began, 5, 0.1)
  t.eq({ slow.count, quick:receive().body, quick:receive().body }, { 1, 1, 2 })
  t.match(t.raises("argument", news.publish, news, "c", 3, { timeout = -1 }).message, "timeout")
end)

test("topic: subscribers that come and go leave nothing behind, also where nobody publishes", function(t)
  local news = stoke.topic "quiet news"
  local stays <close> = news:subscribe()
  for _ = 1, 1000 do news:subscribe():close() end
  t.ok(#news.boxes < 100, #news.boxes)
  t.eq({ news:subscribers(), news:publish("n", 1), stays:receive().body }, { 1, 1, 1 })
end)

test("topic: types that are none are refused in words", function(t)
  local news = stoke.topic "odd news"
  t.match(t.raises("argument", news.subscribe, news, { types = 5 }).message, "topic:subscribe: types must be a list")
  t.match(t.raises("argument", news.subscribe, news, { types = { 1 } }).message, "types must be texts")
end)

test("topic: a subscriber whose task has failed keeps nobody waiting", function(t)
  local news = stoke.topic "lonely news"
  local task = stoke.spawn(function()
    stoke.try(function()
      local mine = news:subscribe { capacity = 1 }
      mine:receive()
      error "a bug"
    end)
    stoke.sleep(1)
  end)
  stoke.sleep(0)
  for i = 1, 5 do news:publish("n", i) end
  task:await()
  t.eq(news:subscribers(), 0)
end)

test("a point in the place of a colon is told", function(t)
  local news, box <close> = stoke.topic "colons", stoke.mailbox()
  for _, f in ipairs { news.subscribers, news.retained, box.waiting } do
    t.match(t.raises("argument", f).message, ":%w+%(%)")
  end
end)

-- ---- shared values --------------------------------------------------------------------------------------------------------------

test("shared: who reads gets a copy; set with a version loses against who was faster", function(t)
  local board = stoke.shared("board", { n = 1 })
  local value, version = board:get()
  value.n = 7
  t.eq(board:get().n, 1)
  t.ok(board:set(value, version))
  t.eq({ board:set({ n = 8 }, version), board:get().n }, { false, 7 })
  t.match(t.raises("argument", board.set, board, { f = print }).message, "f is a function")
end)

test("shared: a version that is none, and a value that is kept otherwise than is said, are refused", function(t)
  local board = stoke.shared("plain board", 1, { durable = false })
  t.match(t.raises("argument", board.changed, board, "1").message, "the version must be what shared:get%(%) gave")
  t.match(t.raises("argument", stoke.shared, "plain board", 1, { durable = true }).message, "is of this process alone")
  t.ok(stoke.shared "plain board" == board)
end)

test("shared: updates that wait in their middle lose nothing", function(t)
  local board = stoke.shared("counter", { n = 0 })
  local scope <close> = stoke.scope {}
  scope:map({ 1, 2, 3, 4, 5, 6, 7, 8 }, function(i)
    for _ = 1, 5 do
      board:update(function(value)
        stoke.sleep(0.001 * i)
        value.n = value.n + 1
        return value
      end)
    end
  end)
  t.eq(board:get().n, 40)
end)

test("shared: an update that returns nothing is told, and changes nothing", function(t)
  local board = stoke.shared("forgetful", { votes = 1 })
  local err = t.raises("argument", board.update, board, function(value) value.votes = 2 end)
  t.match(err.hint, "return the value")
  t.eq(board:get().votes, 1)
  t.eq(board:set({ votes = 3 }, nil, { timeout = 1 }), true)
  t.match(t.raises("argument", board.set, board, 1, nil, { timeuot = 1 }).message, "did you mean timeout")
end)

test("shared: changes are heard, those that come at once as one", function(t)
  local board = stoke.shared("heard", 0)
  local seen = {}
  local watcher = stoke.spawn(function()
    for value in board:changes() do
      seen[#seen + 1] = value
      if value == 4 then return end
    end
  end)
  stoke.sleep(1)
  board:set(1)
  stoke.sleep(1)
  board:set(2)
  board:set(3)
  board:set(4)
  watcher:await()
  t.eq(seen, { 0, 1, 4 })
  t.eq({ board:changed(nil, 3) }, { nil, "timeout" })
end)
