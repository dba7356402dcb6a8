-- agents/town.lua, killed with SIGKILL again and again while its people think: when it is run again it goes on, and the day comes
-- out as if it had never stopped.

local about = require "core.about"
local proc = require "stoke.proc"
local rand = require "stoke.rand"
local stoke = require "stoke"
local test = require "stoke.test"

local PASSED_ON = require "binary".PASSED_ON
local HOURS <const> = "2.2"

local function argv(file)
  return { about.executable(), "agents/town.lua", "--sim=tests/agents/town.lua", "--file", file, "--hours", HOURS }
end

local function read_all(child)
  local text = ""
  for bytes in function() return child:read() end do text = text .. bytes end
  return text
end

-- Run it, and kill it after so many seconds. What it printed; nil: it was killed.
local function run(file, seconds)
  local child <close> = proc.spawn { argv = argv(file), env_allow = PASSED_ON, env = { HOME = "/nonexistent" }, stderr = "merge" }
  local scope <close> = stoke.scope {}
  local killer = seconds and scope:spawn(function()
    stoke.sleep(seconds)
    child:kill "SIGKILL"
  end)
  local text = read_all(child)
  local status = child:wait()
  if killer then killer:cancel() end
  if status.signal == "SIGKILL" then return nil end
  if status.code ~= 0 then error(text, 0) end
  return text
end

test("killed at any moment and run again, the town comes to the same state", { real = true, timeout = 300 }, function(t)
  local folder = t.tmp()
  local whole = run ""
  local seed = rand.int(1, 1 << 30)
  print("seed " .. seed)
  local g = rand.new(seed)
  local kills, last = 0
  repeat
    last = run(folder .. "/town.world", kills < 8 and 0.1 + 1.2 * g:float() or nil)
    if not last then kills = kills + 1 end
  until last
  t.ok(kills >= 2, "it was killed " .. kills .. " times")
  t.ok(whole:match "state %x+")
  t.eq(last:match "state %x+", whole:match "state %x+")
end)
