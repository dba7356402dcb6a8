-- Actors: a state that lasts, one message at a time, and what a handler sent is there with its state or not at all.

local test = require "stoke.test"
local actor = require "stoke.actor"
local stored = require "kept_store"
local runs = require "core.runs"
local stoke = require "stoke"

local function counter_of(more)
  local on = { add = function(state, by)
    state.n = state.n + by
    return state.n
  end, fail = function(state)
    state.n = 99
    error "no"
  end }
  for name, f in pairs(more or {}) do on[name] = f end
  return actor("counter", { state = { n = 0 }, on = on })
end

-- Until all that was sent is handled.
local function idle() runs.wait_for_all() end

test("actor: messages change its state one after another, and the state outlives the process", { real = true }, function(t)
  local store <close> = stored(t)
  local counter = counter_of()
  for i = 1, 5 do counter:send("add", i) end
  t.eq(counter:ask("add", 0), 15)
  t.eq({ counter:state(), counter "ada":state() }, { { n = 15 }, { n = 0 } })
  store:restart()
  t.eq(counter_of():ask("add", 1), 16)
end)

test("actor: each id has a state of its own", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local counter = counter_of()
  local scope <close> = stoke.scope {}
  t.eq(scope:map({ "a", "b", "c" }, function(id) return counter(id):ask("add", #id) + counter(id):ask("add", 1) end), { 3, 3, 3 })
  t.eq({ counter("a").id, tostring(counter "a"), tostring(counter) }, { "a", 'actor counter "a"', "actor counter" })
end)

test("actor: its state is a copy, and may be made by its id", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local made = actor("made", { state = function(id) return { name = id } end, on = { get = function(s) return s.name end } })
  local state = made "x":state()
  state.name = "changed"
  t.eq({ made "x":state().name, made "x":ask "get", made "y":ask "get" }, { "x", "x", "y" })
end)

test("actor: a handler that fails leaves its state, tells who asked, and the next message is handled", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local counter = counter_of()
  counter:ask("add", 1)
  local err = t.raises("script", counter.ask, counter, "fail")
  t.match(err.message, "no")
  t.eq({ counter:state().n, counter:ask("add", 1) }, { 1, 2 })
end)

test("actor: a message that fails is dead, is listed, and may be handled again", { real = true }, function(t)
  local store <close> = stored(t)
  local counter = counter_of()
  counter:send("fail")
  counter:send("add", 1)
  idle()
  local dead = counter:dead()
  t.eq({ #dead, dead[1].name, dead[1].tries, dead[1].error.kind, counter:state().n }, { 1, "fail", 1, "script", 1 })
  store:restart()
  counter = counter_of { fail = function(state) state.n = state.n + 10 end }
  t.eq({ counter:again(dead[1].number), counter:again(dead[1].number) }, { true, false })
  idle()
  t.eq({ #counter:dead(), counter:state().n }, { 0, 11 })
end)

test("actor: what may pass is tried again, three times in all", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local count = 0
  local shaky = actor("shaky", { on = { go = function(state, good)
    count = count + 1
    if count < good then stoke.raise("overloaded", "busy") end
    state.done = count
  end } })
  shaky:send("go", 3)
  idle()
  t.eq({ shaky:state().done, count, #shaky:dead() }, { 3, 3, 0 })
  count = 0
  shaky:send("go", 9)
  idle()
  t.eq({ shaky:state().done, count, #shaky:dead(), shaky:dead()[1].tries }, { 3, 3, 1, 3 })
end)

test("actor: what a handler sent leaves with its state, and not when it fails", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local counter = counter_of()
  local sender = actor("sender", { on = { go = function(state, fails)
    counter:send("add", 10)
    t.eq(counter:waiting(), 0) -- not yet
    state.went = true
    if fails then error "no" end
  end } })
  sender:send("go", true)
  idle()
  t.eq({ counter:state().n, sender:state().went }, { 0, nil })
  sender:ask("go", false)
  idle()
  t.eq({ counter:state().n, sender:state().went }, { 10, true })
end)

test("actor: handlers ask others, and one that would wait for itself is told so", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local a, b
  a = actor("a", { on = { go = function() return b:ask("back") end, plain = function() return 1 end } })
  b = actor("b", { on = { back = function() return a:ask("plain") end, ok = function() return "b" .. actor.current().kind end } })
  t.eq(b:ask "ok", "bb")
  local err = t.raises("argument", a.ask, a, "go")
  t.match(err.message, 'the actor a "" would wait for its own answer')
end)

test("actor: a mailbox is bounded", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local slow = actor("slow", { mailbox = 3, on = { go = function() stoke.sleep(3600) end } })
  for _ = 1, 3 do slow:send "go" end
  local err = t.raises("overloaded", slow.send, slow, "go")
  t.match(err.message, "the mailbox of the actor slow \"\" is full: 3 messages wait")
end)

test("actor: each mistake is one error", { real = true }, function(t)
  local store <close> = stored(t) -- luacheck: ignore
  local counter = counter_of()
  t.match(t.raises("argument", counter.send, counter, "ad").message, 'knows no message "ad".* %(did you mean add%?%)')
  t.raises("argument", counter.ask, counter, "add", print)
  t.raises("argument", counter, "")
  t.raises("argument", actor.define, "x", { on = {} })
  t.raises("argument", actor.define, "x", { on = { a = 1 } })
  t.raises("argument", actor.define, "x", { on = { a = print }, mailbox = 0 })
  t.raises("argument", actor.define, "x", { on = { a = print }, state = { print } })
  t.raises("argument", actor.define, "", { on = { a = print } })
  local odd = actor("odd", { on = { go = function(state) state.f = print end } })
  t.match(t.raises("script", odd.ask, odd, "go").message, "the state of the actor")
  t.eq(odd:state(), {})
end)

test("actor: a durable run sends and asks once, also when it goes on in another process", { real = true }, function(t)
  local store <close> = stored(t)
  local function define()
    local counter = counter_of()
    return counter, stoke.workflow("w", function()
      counter:send("add", 1)
      local n = counter:ask("add", 1)
      stoke.signal "go"
      counter:send("add", 5)
      return { n, counter:ask("add", 0) }
    end)
  end
  local _, work = define()
  local run = work:start(nil, { id = "w" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  store:restart()
  local counter
  counter, work = define()
  run = work:start(nil, { id = "w" })
  run:signal "go"
  t.eq(run:await(), { 2, 7 })
  t.eq(counter:state().n, 7)
end)

test("actor: mail that was left is handled when its kind is defined again", { real = true }, function(t)
  local store <close> = stored(t)
  local function define()
    return actor("slow", { on = { go = function(state)
      stoke.sleep(0.2)
      state.n = (state.n or 0) + 1
    end } })
  end
  local slow = define()
  slow:send "go"
  slow:send "go"
  while not next(runs.live) do stoke.sleep(0.01) end
  store:restart()
  slow = define()
  idle()
  t.eq(slow:state().n, 2)
end)
