-- Models that take turns on a server, through the door: calls of scripts, on the simulator, in virtual time.

local test = require "stoke.test"
local http = require "stoke.http"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local WORDS = ("word "):rep(20)

--- A server with models a, b, c; a call takes a second. o: as sim.serve.
local function serve(name, o)
  local settings = { mem = name, models = { "a", "b", "c" }, load_seconds = 3, tokens_per_second = 20, max_loaded = 1,
    script = function() return WORDS end }
  for key, value in pairs(o or {}) do settings[key] = value end
  pool.forget()
  return sim.serve(settings)
end

local function call(server, model)
  return ollama.chat { model = model, messages = { { role = "user", content = "go" } }, endpoint = server.url,
    options = { num_predict = 20 } }
end

--- Seconds that f takes.
local function seconds(f)
  local began = time.monotonic()
  f()
  return time.monotonic() - began
end

test("80 calls for two models in turn, room for one: two loads", function(t)
  for i, slots in ipairs { 1, 4 } do
    local server <close> = serve("turn" .. i, { slots = slots })
    local scope <close> = stoke.scope {}
    local jobs = {}
    for k = 1, 80 do jobs[k] = k % 2 == 1 and "a" or "b" end
    local took = seconds(function() scope:map(jobs, function(model) call(server, model) end, { limit = 80 }) end)
    t.eq(server.sim.scheduler.ledger.loads, 2)
    if slots == 1 then t.ok(took < 90, took) end -- how many there are has to be learned
  end
end)

test("the same where a model was loaded before that nobody knew of", function(t)
  for _, other in ipairs { "a", "b" } do
    for i, slots in ipairs { 1, 4 } do
      local server <close> = serve("before" .. other .. i, { slots = slots, like = "0.17", gpus = 0, jitter = 0.02 })
      call(server, other)
      pool.forget()
      local jobs = {}
      for k = 1, 60 do jobs[k] = k % 3 > 0 and "b" or "a" end
      local scope <close> = stoke.scope {}
      scope:map(jobs, function(model) call(server, model) end, { limit = 60 })
      local loads = server.sim.scheduler.ledger.loads - 1
      t.ok(loads <= 2, ("%s was loaded, %d slots: %d loads"):format(other, slots, loads))
    end
  end
end)

test("the same where each answer takes long, so that in the end all are overdue", function(t)
  local server <close> = serve("slow", { slots = 1, like = "0.17", gpus = 0, jitter = 0.02, tokens_per_second = 1 })
  call(server, "a")
  pool.forget()
  local jobs = {}
  for k = 1, 40 do jobs[k] = k % 2 == 1 and "b" or "a" end
  local scope <close> = stoke.scope {}
  local took = seconds(function() scope:map(jobs, function(model) call(server, model) end, { limit = 40 }) end)
  local loads = server.sim.scheduler.ledger.loads - 1
  t.ok(loads <= 4, loads .. " loads") -- a load is short beside an answer: the older of two overdue calls may cost one
  t.ok(took < 1.05 * (40 * 20 + 3), took)
end)

test("what leaves while another model is loading does not fit beside it: seen once, it is known", function(t)
  local server <close> = serve("leaving", { slots = 1, load_seconds = 2 })
  local scope <close> = stoke.scope {}
  for agent = 1, 8 do
    scope:spawn(function()
      for _ = 1, 10 do call(server, agent % 2 == 0 and "a" or "b") end
    end)
  end
  scope:wait()
  local loads = server.sim.scheduler.ledger.loads
  t.ok(loads <= 3, loads .. " loads")
end)

test("a call that was sent to try whether its model fits is overdue like one that waits here", function(t)
  local server <close> = serve("parked", { slots = 2 })
  local scope <close> = stoke.scope {}
  for _ = 1, 6 do
    scope:spawn(function()
      local _ <close> = stoke.scope { class = "interactive" }
      while true do call(server, "a") end
    end)
  end
  stoke.sleep(20)
  local waited = seconds(function() call(server, "b") end)
  t.ok(waited < 60 + 3 + 3 + 1, waited)
  scope:cancel()
end)

test("another client loads its own model in between: what is loaded is seen again, and no model is taken for loaded that has left",
  function(t)
    local server <close> = serve("other", { slots = 1, like = "0.17", gpus = 0 })
    local scope <close> = stoke.scope {}
    local jobs = {}
    for k = 1, 60 do jobs[k] = k % 2 == 1 and "a" or "b" end
    local stranger = stoke.http -- asks the server by itself, not through the pool
    scope:spawn(function()
      for _ = 1, 3 do
        stoke.sleep(10.5)
        stranger.post(server.url .. "/api/generate", { json = { model = "c", prompt = "x", stream = false } })
      end
    end)
    scope:map(jobs, function(model) call(server, model) end, { limit = 60 })
    scope:wait()
    local loads = server.sim.scheduler.ledger.loads
    t.ok(loads <= 2 + 3 * 2 + 1, loads .. " loads")
  end)

test("agents whose own work takes turns: one load more than their longest alternation at most", function(t)
  local server <close> = serve("agents", { slots = 2 })
  local scope <close> = stoke.scope {}
  for _ = 1, 8 do
    scope:spawn(function()
      for k = 1, 6 do call(server, k % 2 == 1 and "a" or "b") end
    end)
  end
  scope:wait()
  local loads = server.sim.scheduler.ledger.loads
  t.ok(loads <= 7, loads .. " loads")
end)

test("one call for another model under a steady load waits for the longest call, a swap, and one swap's worth", function(t)
  local server <close> = serve("steady", { slots = 1 })
  local scope <close> = stoke.scope {}
  for _ = 1, 3 do
    scope:spawn(function()
      for _ = 1, 40 do call(server, "a") end
    end)
  end
  stoke.sleep(30.3)
  local waited = seconds(function() call(server, "b") end) - 1
  t.ok(waited <= 1 + 3.3 + 3 + 0.3, waited)
  scope:cancel()
end)

test("models that fit beside each other are both loaded at once, and the second time it is known", function(t)
  local server <close> = serve("beside", { slots = 1, max_loaded = 3 })
  local scope <close> = stoke.scope {}
  local jobs = {}
  for k = 1, 40 do jobs[k] = k % 2 == 1 and "a" or "b" end
  local took = seconds(function() scope:map(jobs, function(model) call(server, model) end, { limit = 40 }) end)
  t.eq(server.sim.scheduler.ledger.loads, 2)
  t.ok(took < 28, took)
end)

test("a model that cannot be loaded: its calls fail with the server's words, the others go on", function(t)
  local server <close> = serve("unfit", { slots = 1, models = { "a",
    { name = "x", load_error = "model requires more system memory (9.1 GiB) than is available (7.9 GiB)" } } })
  local scope <close> = stoke.scope {}
  local good, bad = 0, 0
  for k = 1, 20 do
    scope:spawn(function()
      local model = k % 2 == 1 and "x" or "a"
      local ok, err = pcall(call, server, model)
      if ok then good = good + 1
      else
        t.eq({ model, err.kind, err.unfit }, { "x", "overloaded", err.unfit })
        t.contains(err.message, "requires more system memory")
        bad = bad + 1
      end
    end)
  end
  scope:wait()
  t.eq({ good, bad }, { 10, 10 })
  t.ok(server.sim.scheduler.ledger.loads <= 3, server.sim.scheduler.ledger.loads)
end)

test("the model that leaves is the one that the pool means, though the server would choose another", function(t)
  local size = 9 << 30
  local server <close> = serve("means", { slots = 1, max_loaded = 4, vram = 16 << 30, gpus = 1, vram_wait = 0, models = {
    { name = "a", size = size, kv = 0 }, { name = "b", size = size, kv = 0 }, { name = "s", size = 1 << 30, kv = 0 } } })
  local function loaded()
    local names = {}
    for i, m in ipairs(ollama.ps(server.url).models) do names[i] = m.name end
    table.sort(names)
    return names
  end
  for _, model in ipairs { "a", "s", "b", "a", "s", "b", "s", "a" } do
    call(server, model)
    stoke.sleep(1)
  end
  t.eq(loaded(), { "a:latest", "s:latest" })
  call(server, "b")
  t.eq(loaded(), { "b:latest", "s:latest" })
end)

test("a server that was away is asked anew which models it holds", function(t)
  pool.forget()
  local down, looks, inner = false, 0, nil
  local function start()
    inner = sim.new { models = { "a", "b" }, load_seconds = 3, tokens_per_second = 20, max_loaded = 1,
      script = function() return WORDS end }
  end
  start()
  local server <close> = http.serve { mem = "away", drain = 0, handler = function(req, res)
    if down then return res:reset() end
    if req.path == "/api/ps" then looks = looks + 1 end
    return inner.handler(req, res)
  end }
  local scope <close> = stoke.scope {}
  local function ask(models)
    return scope:spawn(function()
      scope:map(models, function(model) stoke.try(call, server, model) end, { limit = #models })
    end)
  end
  ask { "b", "b", "a", "a" }:await()
  ask { "a" }:await() -- it is in memory
  t.ok(looks > 0, "it is looked at first")
  down = true
  for _ = 1, 3 do ask { "a", "a", "a" } end -- they fail, until none is sent any more
  stoke.sleep(3)
  start() -- another process
  down, looks = false, 0
  repeat stoke.sleep(0.05) until inner.ledger.answers > 0 -- the trial has told that it is back
  ask { "a", "b" }
  stoke.sleep(0.5)
  t.ok(looks > 0, "it is looked at again, though the last time was not long ago")
  scope:wait()
end)

test("calls that are sent at once make one model leave, and not two: the server has heard which before they come", function(t)
  local server <close> = serve("once", { slots = 4, max_loaded = 2 })
  local function both(model)
    local scope <close> = stoke.scope {}
    scope:map({ model, model }, function(name) call(server, name) end)
  end
  for _, model in ipairs { "a", "b", "c", "b", "a", "c", "b", "a", "b", "c" } do
    both(model)
    stoke.sleep(1)
    if server.sim.ledger.loads > 2 then t.eq(#ollama.ps(server.url).models, 2, "after " .. model) end
  end
end)
