-- make bench: an agent served over the simulator in memory. Prints its URL.
--
--     stoke served.lua [TOKENS [SECONDS [sim | held | N]]]
--
-- Its model says TOKENS tokens (256) at once, or one each SECONDS. "sim": the simulator itself, on a port. "held": an answer stops
-- in its middle. N: nobody is served, and N turns of the agent run here, 64 at once; then it prints a line and ends.
local sim = require "stoke.sim"
local stoke = require "stoke"

local MANY = 10000

local function alone(poet, n)
  local function worker()
    while n > 0 do
      n = n - 1
      local pieces = 0
      for ev in poet:stream "Hello" do
        if ev.type == "text" then pieces = pieces + 1 end
      end
      assert(pieces > 0)
    end
  end
  local scope <close> = stoke.scope {}
  for _ = 1, 64 do scope:spawn(worker) end
  scope:wait()
  print "done"
end

stoke.main(function(args)
  local tokens, seconds, bare, turns = tonumber(args[1]) or 256, tonumber(args[2]) or 0, args[3] == "sim", tonumber(args[3])
  local text = ("word"):rep(tokens, " ")
  local model = sim.serve { mem = not bare and "model" or nil, port = bare and 0 or nil, slots = MANY, max_queue = MANY,
    models = { "poet" }, load_seconds = 0, prefill = 1e9, batch = 0, tokens_per_second = seconds > 0 and 1 / seconds or 0,
    script = function() return text end, fault = args[3] == "held" and "hang-mid" or nil }
  if bare then
    print(model.url)
    return stoke.sleep(math.huge)
  end
  local poet = stoke.agent { name = "poet", model = "poet", endpoint = model.url, instructions = "Be brief.",
    options = { num_predict = -1 } }
  if turns then return alone(poet, turns) end
  local server <close> = stoke.serve { agents = { poet }, port = 0, max_turns = MANY }
  print(server.url)
  while true do -- what is held is counted, and not what waits to be collected
    stoke.sleep(0.5)
    if args[3] == "held" then collectgarbage() end
  end
end)
