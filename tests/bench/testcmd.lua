-- make bench: `stoke test` with 20 agent tests in four files, whole process, median; 10,000 virtual timers.  stoke testcmd.lua

local fs = require "stoke.fs"
local proc = require "stoke.proc"
local env = require "stoke.env"
local time = require "stoke.time"

local ROUNDS = 7

local AGENTS = [[
local test, stoke = require "stoke.test", require "stoke"
local weather = stoke.tool { name = "get_weather", params = { city = "string" },
  run = function(a) return "4 degrees in " .. a.city end }
local bot = stoke.agent { name = "umbrella", model = "qwen2.5:3b", tools = { weather } }
for i = 1, 5 do
  test("umbrella " .. i, function(t)
    t.model { { tool = "get_weather", args = { city = "Oslo" } }, "Take one." }
    t.eq(bot:run("Do I need an umbrella?").text, "Take one.")
    t.called("get_weather", { city = "Oslo" }, { times = 1 })
    t.not_called "shell"
    stoke.sleep(3600)
  end)
end
]]

-- The test times itself by the processor: its own clock stands still.
local TIMERS = [[
local test, stoke = require "stoke.test", require "stoke"
test("timers", function(t)
  local began = stoke.time.cpu()
  do
    local scope <close> = stoke.scope {}
    for i = 1, 10000 do scope:spawn(stoke.sleep, i * 0.36) end
    scope:wait()
  end
  io.write(("timers %.6f\n"):format(stoke.time.cpu() - began))
  t.fail "so that it is shown"
end)
]]

local function median(list)
  table.sort(list)
  return list[#list // 2 + 1]
end

local function row(what, milliseconds, limit)
  print(("%-58s %8.1f ms  (under %d ms)%s"):format(what, milliseconds, limit, milliseconds >= limit and "  MISSED" or ""))
end

local stoke_bin = env.get "STOKE_BIN" or "stoke"
local folder = proc.run { argv = { "mktemp", "-d" } }.stdout:gsub("\n$", "")
for i = 1, 4 do fs.write(("%s/a%d_test.lua"):format(folder, i), AGENTS) end
fs.write(folder .. "/timers.lua", TIMERS)

local function run(...)
  return proc.run { argv = { stoke_bin, "test", ... }, cwd = folder, env = { HOME = folder }, env_allow = { "PATH", "STOKE_PATH" } }
end

local whole, timers = {}, {}
for i = 1, ROUNDS do
  local began = time.monotonic()
  local r = run()
  whole[i] = (time.monotonic() - began) * 1e3
  assert(r.stdout:find "20 passed, 0 failed\n$", r.stdout .. r.stderr)
  timers[i] = tonumber(run("timers.lua").stdout:match "timers ([%d.]+)") * 1e3
end
fs.remove(folder, { recursive = true })

row("stoke test: 20 agent tests in 4 files, whole process", median(whole), 1000)
row("stoke test: 10,000 virtual timers", median(timers), 50)
