-- Programs of the pool: what one of them is of, and when it has ended.

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
