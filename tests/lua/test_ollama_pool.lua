-- The pool of a model: how many calls at once, who is next, and that every slot comes back, whatever happens.

local test = require "stoke.test"
local fake = require "fake"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local rand = require "stoke.rand"
local retry = require "core.gate.retry"
local sim = require "stoke.sim"
local stoke = require "stoke"
local time = require "stoke.time"

local HI = { { role = "user", content = "Hi" } }

--- So many calls of a model at once, until it is closed.
local function fixed(width)
  pool.set_default(width)
  return setmetatable({}, { __close = function() pool.set_default(nil) end })
end

test("so many calls of one model at once as the settings say, oldest first; other servers do not wait", function(t)
  local guard <close> = fixed(2)
  local running, most, order = {}, {}, {}
  local function handler(name)
    return function(req, res)
      local body = req:json()
      local key = name .. body.model
      running[key] = (running[key] or 0) + 1
      most[key] = math.max(most[key] or 0, running[key])
      order[#order + 1] = body.messages[1].content
      stoke.sleep(1)
      running[key] = running[key] - 1
      res:reply(200, nil, { message = { role = "assistant", content = "" }, done = true })
    end
  end
  local one <close> = fake(handler "one ")
  local two <close> = fake(handler "two ")
  local began = time.monotonic()
  local scope <close> = stoke.scope {}
  local calls = {}
  for i = 1, 6 do calls[i] = { one, "a", tostring(i) } end
  calls[7], calls[8] = { one, "a:latest", "7" }, { two, "a", "8" }
  scope:map(calls, function(c)
    ollama.chat { model = c[2], messages = { { role = "user", content = c[3] } }, endpoint = c[1].url }
  end)
  t.near(time.monotonic() - began, 4, 0.1)
  t.eq({ most["one a"], most["two a"] }, { 2, 1 })
  local a = {}
  for _, name in ipairs(order) do if name ~= "8" then a[#a + 1] = name end end
  t.eq(a, { "1", "2", "3", "4", "5", "6", "7" })
  t.eq(pool.list(), {})
end)

test("the slots of a model are learned: more calls are out than one, and no more than the server has", function(t)
  for _, slots in ipairs { 1, 3 } do
    local server <close> = sim.serve { mem = "learns" .. slots, models = { "m" }, load_seconds = 0, slots = slots,
      tokens_per_second = 20, script = function() return ("word "):rep(20) end }
    local scope <close> = stoke.scope {}
    local began = time.monotonic()
    local calls = {}
    for i = 1, 60 do calls[i] = i end
    scope:map(calls, function() ollama.chat { model = "m", messages = HI, endpoint = server.url } end)
    local best = 60 / slots
    t.ok(time.monotonic() - began <= 1.3 * best, ("%d slots: %.1f s, %.1f at best"):format(slots, time.monotonic() - began, best))
    t.eq(pool.list(), {})
  end
end)

test("a model that embeds has one slot: nobody looks for more, and one call more is at hand", function(t)
  pool.forget()
  local server <close> = sim.serve { mem = "embeds", models = { "all-minilm" }, slots = 8, prefill = 100, load_seconds = 0 }
  local scope <close> = stoke.scope {}
  for i = 1, 40 do
    scope:spawn(ollama.embed, { model = "all-minilm", endpoint = server.url, input = ("word "):rep(50) .. i })
  end
  local function lane()
    for _, one in ipairs(stoke.pool().servers) do
      if one.url:find(server.url, 1, true) then return one.lanes[1] end
    end
  end
  stoke.sleep(5)
  for _ = 1, 5 do
    local seen = lane()
    t.eq({ seen.slots, seen.believed, seen.busy }, { 1, 1, 2 })
    stoke.sleep(1)
  end
  scope:wait()
  t.eq(lane().busy, 0)
end)

test("a bound of false in the settings: such calls are never overdue", function(t)
  pool.configure { per_model = 1, bounds = { interactive = false, normal = false } }
  local guard <close> = setmetatable({}, { __close = function() pool.configure {} end })
  local server <close> = sim.serve { mem = "never", models = { "m" }, load_seconds = 0, tokens_per_second = 0.1,
    script = function() return "a b" end }
  local scope <close> = stoke.scope {}
  local order = {}
  local function ask(class)
    scope:spawn(function()
      ollama.chat { model = "m", messages = HI, endpoint = server.url, class = class }
      order[#order + 1] = class
    end)
    stoke.sleep(0.1)
  end
  ask "interactive"
  ask "normal"
  for _ = 1, 9 do ask "interactive" end
  scope:wait()
  t.eq({ #order, order[11] }, { 11, "normal" })
end)

test("what the server answers at once does not wait for a slot", function(t)
  local server <close> = sim.serve { mem = "admin", load_seconds = 0, tokens_per_second = 1,
    script = function() return ("word "):rep(100) end }
  local scope <close> = stoke.scope {}
  for _ = 1, 2 do
    scope:spawn(function() ollama.chat { model = "qwen2.5:3b", messages = HI, endpoint = server.url } end)
  end
  stoke.sleep(1)
  local began = time.monotonic()
  t.eq(#ollama.ps(server.url).models, 1)
  ollama.tags(server.url)
  t.near(time.monotonic() - began, 0, 0.01)
  scope:cancel()
end)

test("a call that is cancelled while it waits for its slot leaves the queue", function(t)
  local guard <close> = fixed(2)
  local server <close> = fake { { delay = 10, body = [[{"message":{"role":"assistant","content":""},"done":true}]] } }
  local scope <close> = stoke.scope {}
  local tasks = {}
  for i = 1, 5 do
    tasks[i] = scope:spawn(function() ollama.chat { model = "m", messages = HI, endpoint = server.url } end)
  end
  stoke.sleep(1)
  t.eq({ pool.list()[1].busy, pool.list()[1].waiting }, { 2, 3 })
  tasks[3]:cancel()
  tasks[4]:cancel()
  stoke.sleep(0.01)
  t.eq(pool.list()[1].waiting, 1)
  scope:wait()
  t.eq({ #server.requests, #pool.list() }, { 3, 0 })
end)

-- One call in the way `random` chooses; what it raises must be one of ours.
local function one_call(t, random, url)
  local way = random:int(1, 6)
  local options = { model = random:int(1, 3) == 1 and "n" or "m", endpoint = url,
    timeouts = { first_byte = 5, idle = 2, total = random:int(1, 4) == 1 and 3 or nil } }
  if way <= 2 then options.messages = HI else options.prompt = "Hi" end
  local _, err = stoke.try(function()
    if way == 1 then return ollama.chat(options) end
    if way == 3 then return ollama.generate(options) end
    local left = random:int(1, 3) == 1 and random:int(1, 4) or math.huge
    if random:int(1, 6) == 1 then return ollama.stream(options) end -- opened and never read
    for _ in ollama.stream(options) do
      left = left - 1
      if left == 0 then break end
      if random:int(1, 20) == 1 then error("of the script", 0) end
    end
  end)
  if not err then return end
  local known = { timeout = 1, incomplete = 1, http = 1, overloaded = 1, protocol = 1, script = 1 }
  t.ok(known[err.kind], tostring(err))
  if err.kind == "script" then t.eq(err.message, "of the script") end
end

local FAULTS = { "404", "500", "503", "hang", "hang-mid", "reset", "error-line", "silent-end", "html", "slow", "cuts", "nondone" }

test("random faults and cancels: every slot comes back, and nothing is left", function(t)
  retry.earned = 1000
  local guard <close> = setmetatable({}, { __close = function() retry.earned = 0.1 end })
  local scale = tonumber(os.getenv "STOKE_SCALE" or "1")
  for seed = 1, math.max(2, 12 * scale // 1) do
    local random = rand.new(seed)
    local server <close> = sim.serve { mem = "storm", models = { "m", "n" }, load_seconds = 1, slots = 2, tokens_per_second = 20,
      seed = seed, script = function()
        return { text = "a b c d e f", fault = random:int(1, 2) == 1 and FAULTS[random:int(1, #FAULTS)] or nil }
      end }
    do
      local scope <close> = stoke.scope {}
      local tasks = {}
      for i = 1, 40 do
        local own = rand.new(seed * 1000 + i)
        tasks[i] = scope:spawn(function()
          for _ = 1, 3 do one_call(t, own, server.url) end
        end)
      end
      for _ = 1, 30 do
        stoke.sleep(random:float() * 3)
        tasks[random:int(1, #tasks)]:cancel()
      end
      if seed % 3 ~= 0 then
        for _, task in ipairs(tasks) do stoke.try(task.await, task) end
      end
    end
    t.eq(pool.list(), {}, "seed " .. seed)
    stoke.sleep(600) -- the pool's own trials of a server that failed have ended, too
    t.eq({ server.sim.ledger.streams_open, server.sim.waiters }, { 0, 0 }, "seed " .. seed)
  end
end)

test("a budget counts the calls and what they used", function(t)
  local server <close> = fake {
    [[{"message":{"role":"assistant","content":""},"done":true,"prompt_eval_count":40,"eval_count":10}]] }
  local options = { model = "m", messages = HI, endpoint = server.url }
  t.raises("budget", function()
    local scope <close> = stoke.scope { budget = { tokens = 120 } }
    for _ = 1, 10 do ollama.chat(options) end
  end)
  t.eq(#server.requests, 2) -- 20 are left: too few for a question and an answer
  t.raises("budget", function()
    local scope <close> = stoke.scope { budget = { calls = 2 } }
    for _ = 1, 10 do for _ in ollama.stream(options) do end end
  end)
  t.eq(#server.requests, 4)
end)

test("endpoints given as addresses are kept in bounds, and each is still found", function(t)
  local endpoints = require "core.endpoint"
  for i = 1, 1000 do endpoints.of(("http://10.0.%d.%d:11434"):format(i // 256, i % 256)) end
  t.eq(endpoints.of("http://10.0.0.1:11434").meant, "http://10.0.0.1:11434")
end)
