-- Programs of the pool: what one of them is of, and what is learned at its end.

local test = require "stoke.test"
local ollama = require "stoke.ollama"
local pool = require "core.gate.pool"
local program = require "core.gate.program"
local routed = require "routed"
local stoke = require "stoke"
local stored = require "kept_store"
local turns = require "core.gate.turns"

local CALL <const> = { model = "m", messages = { { role = "user", content = "Hi" } }, endpoint = "gpu" }

-- One slot, and nothing known of it.
local function fresh()
  pool.forget()
  pool.set_default(1)
  return setmetatable({}, { __close = function() pool.set_default(nil) end })
end

test("who holds a lock that others wait for goes first: when it asks, and when it waits for its slot already", function(t)
  local order = {}
  local _ <close> = routed { gpu = { models = { "m" }, tokens_per_second = 20, script = function(req)
    order[#order + 1] = req.messages[1].content
    return "one two"
  end } }
  local _ <close> = fresh()
  local lock, other = stoke.semaphore(1), stoke.semaphore(1)
  local scope <close> = stoke.scope {}
  local function ask(text)
    ollama.chat { model = "m", endpoint = "gpu", messages = { { role = "user", content = text } } }
  end
  for i = 1, 4 do scope:spawn(ask, "plain " .. i) end
  scope:spawn(function()
    local _ <close> = lock:acquire()
    ask "with the lock"
  end)
  scope:spawn(function()
    local _ <close> = other:acquire()
    stoke.sleep(0.05)
    ask "with the other lock"
  end)
  scope:spawn(function()
    local _ <close> = stoke.semaphore(1):acquire() -- nobody waits for it
    ask "with a lock of its own"
  end)
  for _, one in ipairs { lock, other } do
    scope:spawn(function()
      stoke.sleep(0.01)
      local _ <close> = one:acquire()
    end)
  end
  scope:wait()
  t.eq(order, { "plain 1", "with the lock", "with the other lock", "plain 2", "plain 3", "plain 4", "with a lock of its own" })
end)

test("a durable run is one program to its end, and what it took is learned then", { real = true }, function(t)
  local _ <close> = stored(t)
  local _ <close> = routed { gpu = { models = { "m" }, tokens_per_second = 200 } }
  local _ <close> = fresh()
  local before = program.alive()
  local flow = stoke.workflow("asks", function()
    local scope <close> = stoke.scope {}
    for _ = 1, 2 do scope:spawn(ollama.chat, CALL) end -- of one program, though in tasks of their own
    scope:wait()
    stoke.signal "go"
  end)
  local list = {}
  for i = 1, 3 do list[i] = flow:start(nil, { id = "r" .. i }) end
  for _, run in ipairs(list) do
    while run:status().state ~= "waiting" do stoke.sleep(0.01) end
  end
  local programs = turns.engine().programs
  t.eq(program.alive() - before, 3)
  program.sweep(programs)
  t.eq(#programs.kinds[""].finished, 0) -- they have not ended
  for _, run in ipairs(list) do
    run:signal "go"
    run:await()
  end
  t.eq(program.alive() - before, 0)
  program.sweep(programs)
  t.eq(#programs.kinds[""].finished, 3)
end)
