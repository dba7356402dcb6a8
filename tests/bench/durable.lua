-- make bench: durable runs, beside the same without --durable.
--   stoke run [--durable=ID] --store FILE durable.lua WORK N [wait]
-- clock: N readings of the clock. steps: N steps of 100 bytes each. calls: N replies in one piece, 64 at once.
-- loops: N runs of an agent that calls a tool. talk: a conversation of N turns of some 1,250 bytes.
-- With "wait" the run then waits for a signal, which "signal ID" sends.
--   agents SECONDS: 64 durable runs, each doing steps that must not be done twice; prints how many there were a second.
local stoke = require "stoke"
local time = require "stoke.time"
local workflow = require "stoke.workflow"

local ANSWER = ("x"):rep(100)
local function answer() return ANSWER end

local WORK = {}

function WORK.clock(n)
  for _ = 1, n do time.now() end
end

function WORK.steps(n)
  for _ = 1, n do stoke.step("look", answer, { idempotent = true }) end
end

function WORK.calls(n)
  local ollama = require "stoke.ollama"
  local messages = { { role = "user", content = "hi" } }
  local left = n
  local scope <close> = stoke.scope {}
  for _ = 1, 64 do
    scope:spawn(function()
      while left > 0 do
        left = left - 1
        assert(ollama.chat { model = "bench", messages = messages, stream = false }.done)
      end
    end)
  end
  scope:wait()
end

function WORK.loops(n)
  local tool = stoke.tool { name = "get_weather", description = "Current weather in a city",
    params = { city = "string: city name" }, idempotent = true, run = function(a) return "4 degrees, rain in " .. a.city end }
  local bot = stoke.agent { name = "umbrella", model = "tools", instructions = "Answer in one sentence.", tools = { tool } }
  for _ = 1, n do assert(bot:run("Umbrella in Oslo?").steps == 2) end
end

--- Prints the bytes of the conversation as JSON, too.
function WORK.talk(n)
  local ollama, json = require "stoke.ollama", require "stoke.json"
  local messages = {}
  for i = 1, n do
    messages[#messages + 1] = { role = "user", content = ("%d "):format(i):rep(500) }
    messages[#messages + 1] = ollama.chat { model = "bench", messages = messages, stream = false }.message
  end
  print("talk=" .. #json.encode(messages))
end

local done = 0 -- steps, in all runs

local unsafe = workflow("unsafe", function(seconds)
  local last = time.monotonic() + seconds
  while time.monotonic() < last do
    stoke.step("once", answer)
    done = done + 1
  end
end)

function WORK.agents(seconds)
  local from, runs = time.monotonic(), {}
  for i = 1, 64 do runs[i] = unsafe:start(seconds) end
  for i = 1, 64 do runs[i]:await() end
  print(("agents_s=%.0f"):format(done / (time.monotonic() - from)))
end

stoke.main(function(args)
  if args[1] == "signal" then
    workflow.run(args[2]):signal "go on"
  else
    WORK[args[1]](tonumber(args[2]))
  end
  if args[3] == "wait" then
    print "waits"
    stoke.signal "go on"
  end
  print "done"
end)
