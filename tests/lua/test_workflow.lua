-- Durable runs in one process: what they give, how they end, and what reaches them.

local test = require "stoke.test"
local stoke = require "stoke"
local runs = require "core.runs"
local stored = require "kept_store"
local workflow = require "stoke.workflow"

-- As when the process ends and another one begins: the store stays, all else is gone.
local restart = runs.leave

-- A store in a folder of the test.
local function store_of(t)
  local store = stored(t)
  return store.path, store
end

test("a run gives what its function returns, and the same id is the same run", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local count = 0
  local double = stoke.workflow("double", function(input)
    count = count + 1
    return { twice = input * 2, at = stoke.time.now() > 0 }
  end)
  local run = double:start(21, { id = "a\0b" })
  t.eq(run:await(), { twice = 42, at = true })
  t.eq(double:start(99, { id = "a\0b" }):await(), { twice = 42, at = true })
  t.eq(count, 1)
  t.eq(run:status().state, "done")
end)

test("an error of a run is raised where it is awaited, with its kind", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local fails = stoke.workflow("fails", function() stoke.raise("limit", "too many") end)
  local _, err = stoke.try(function() return fails:start():await() end)
  t.eq({ err.kind, err.message }, { "limit", "too many" })
  t.eq(fails:start(nil, { id = "x" }):status().workflow, "fails")
end)

test("a signal that was sent before is there, one that comes later is waited for", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("waits", function()
    local first, second = stoke.signal "go", stoke.signal "go"
    local none, why = stoke.signal("go", { timeout = 0.05 })
    return { first, second, tostring(none), why }
  end)
  local run = flow:start(nil, { id = "w" })
  run:signal("go", { n = 1 })
  stoke.spawn(function()
    while run:status().state ~= "waiting" do stoke.sleep(0.01) end
    run:signal("go", "two")
  end)
  t.eq(run:await(), { { n = 1 }, "two", "nil", "timeout" })
end)

test("a run that was left goes on in the next process, without doing again what was done", { real = true }, function(t)
  local path, closing <close> = store_of(t) -- luacheck: ignore
  local done = {}
  local function body()
    stoke.step("pay", function() done[#done + 1] = "pay" end)
    local word = stoke.signal "word"
    stoke.step("send", function() done[#done + 1] = "send " .. word end)
    return word
  end
  local flow = stoke.workflow("order", body)
  local run = flow:start(nil, { id = "1" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  t.eq(done, { "pay" })
  restart()
  t.eq(run:status().waits, "signal word")
  run:signal("word", "hello")
  t.eq(run:await(), "hello")
  t.eq(done, { "pay", "send hello" })
end)

test("a run is cancelled, and says so", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("long", function() stoke.sleep(1000) end)
  local run = flow:start(nil, { id = "1" })
  stoke.sleep(0.02)
  run:cancel()
  local _, err = stoke.try(run.await, run)
  t.eq({ err.kind, err.message }, { "cancelled", "the awaited run 1 was cancelled" })
  t.eq(run:status().state, "cancelled")
end)

test("a run that is loaded or replayed is cancelled once it lives", { real = true }, function(t)
  local path, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("long", function()
    stoke.step("s", function() return 1 end, { idempotent = true })
    stoke.sleep(1000)
  end)
  local run = flow:start(nil, { id = "1" })
  while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  restart()
  flow:start(nil, { id = "1" })
  run:cancel()
  t.eq(select(2, stoke.try(run.await, run)).kind, "cancelled")
end)

test("a step takes no signal: it could not be done again", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("odd", function() return stoke.step("s", function() return stoke.signal "x" end) end)
  local _, err = stoke.try(function() return flow:start():await() end)
  t.eq(err.kind, "argument")
  t.match(err.message, "a step or a tool takes no signal")
end)

test("a run starts and awaits others: their ids follow from its own", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local child = stoke.workflow("child", function(n) return n * n end)
  local parent = stoke.workflow("parent", function()
    local first, second = child:start(3), child:start(4)
    return { first:await() + second:await(), first.id, second.id }
  end)
  local found = parent:start(nil, { id = "p" }):await()
  t.eq(found[1], 25)
  t.ok(found[2] ~= found[3])
  t.eq(workflow.run(found[2]):status().state, "done")
end)

test("what a run returns has to be plain data", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("odd", function() return { f = print } end)
  local _, err = stoke.try(function() return flow:start(nil, { id = "1" }):await() end)
  t.match(err.message, "what it returned is not kept")
end)

test("a workflow that is not defined is told with what was meant", function(t)
  stoke.workflow("greet", function() end)
  local _, err = stoke.try(runs.start, "great", nil, "1")
  t.eq(err.message, "no workflow great is defined (did you mean greet?)")
  runs.defined.greet = nil
end)

test("stoke.signal outside of a durable run says so; a step is just done", function(t)
  local _, err = stoke.try(stoke.signal, "x")
  t.match(err.message, "signals reach durable runs alone")
  t.eq(stoke.step("s", function() return 7 end), 7)
end)

test("a step is tried again as often as it says", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local tries = 0
  local flow = stoke.workflow("tries", function()
    return stoke.step("flaky", function()
      tries = tries + 1
      if tries < 2 then error "not yet" end
      return tries
    end, { attempts = 3 })
  end)
  t.eq(flow:start():await(), 2)
end)

test("a step gets a key, which is the same each time it is done", { real = true }, function(t)
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local keys = {}
  local flow = stoke.workflow("keys", function()
    for i = 1, 2 do
      stoke.step("s", function(step) keys[#keys + 1] = step.key return i end)
    end
  end)
  flow:start(nil, { id = "1" }):await()
  t.eq(#keys[1], 64)
  t.ok(keys[1] ~= keys[2])
end)

test("a request with idempotency sends a key: of its own outside of a run, the same each time inside", { real = true }, function(t)
  local keys = {}
  local server <close> = stoke.http.serve { port = 0, handler = function(req, res)
    keys[#keys + 1] = req.headers["idempotency-key"]
    if #keys == 3 then return res:reply(500, {}, "no") end
    res:reply(200, {}, "ok")
  end }
  for _ = 1, 2 do stoke.http.post(server.url, { body = "x", idempotency = true }) end
  t.eq({ #keys, #keys[1], keys[1] ~= keys[2] }, { 2, 32, true })
  local _, closing <close> = store_of(t) -- luacheck: ignore
  local flow = stoke.workflow("post", function()
    local post = function() return stoke.http.post(server.url, { body = "x", idempotency = true }).body end
    return stoke.step("twice", function()
      stoke.try(post)
      return post()
    end, { idempotent = true })
  end)
  t.eq(flow:start(nil, { id = "1" }):await(), "ok")
  t.eq({ #keys, #keys[3], keys[3] ~= keys[4] }, { 4, 64, true }) -- two requests; each would keep its key when it is done again
end)
