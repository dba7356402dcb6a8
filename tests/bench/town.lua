-- make bench: a day of the town of tests/lua/towns.lua: ten people on three models of a simulated server with room for two, which
-- answers at once and is another process, so that the CPU is the host's alone. And the same on the slots of one model that takes
-- its time: what the host takes beside it, and what is gained by stepping those ahead who are far from others.
--   stoke town.lua [HOURS]
local fs = require "stoke.fs"
local http = require "stoke.http"
local proc = require "stoke.proc"
local stoke = require "stoke"
local time = require "stoke.time"

local towns = assert(load(fs.read "tests/lua/towns.lua", "@tests/lua/towns.lua", "t"))()

local HOURS <const> = tonumber(arg[1]) or 24

local function figure(what, value, unit, limit)
  local bound = limit and ("  (under %g)%s"):format(limit, value > limit and "  MISSED" or "") or ""
  print(("%-50s %10.2f %10s %-6s %6s%s"):format(what, value, "", unit, "", bound))
  io.stdout:flush()
end

--- A simulated server in a process of its own.
local function server(words)
  local child = proc.spawn { argv = { os.getenv "STOKE_BIN", "sim", "--port", "0", "--script", "tests/agents/town.lua",
    table.unpack(words) }, stderr = "inherit" }
  local first = ""
  while not first:find "\n" do first = first .. child:read() end
  return { child = child, url = first:match "http://%S+" }
end

local function ledger(at) return stoke.json.decode(http.get(at.url .. "/sim/ledger").body) end

--- Let a town live; seconds, seconds of CPU, thoughts, and what it came to.
local function live(at, hours, more, people)
  local wall, cpu = time.monotonic(), time.cpu()
  local world <close> = towns.world(at, more, people)
  towns.run(world, 6 + hours)
  wall, cpu = time.monotonic() - wall, time.cpu() - cpu
  return wall, cpu, #world:inputs { from = 1 }, world:hash()
end

local function day()
  local words = { "--slots", "4", "--max-loaded", "2", "--tokens-per-second", "0", "--load-seconds", "0" }
  for _, name in ipairs { "a", "b", "c" } do table.move({ "--model", name .. ":3b,prefill=0" }, 1, 2, #words + 1, words) end
  local at = server(words)
  local wall, cpu, thoughts = live(at, HOURS)
  figure("a town day, ten people on three models", wall, "s", 60)
  figure("  CPU of the host", cpu, "s")
  figure("  a thought: CPU of the host, with all its ticks", cpu / thoughts * 1000, "ms")
  figure("  of a core, lived at a minute a second", 100 * cpu / (HOURS * 60), "%", 1)
  local loads = ledger(at).loads
  figure("  loads of models", loads, "")
  figure("  loads a minute of the town", loads / (HOURS * 60), "", 1)
  at.child:kill "SIGKILL"
end

local function ahead()
  local at = server { "--slots", "8", "--tokens-per-second", "40", "--model", "a:3b" }
  local people, hours = { all = "a:3b" }, math.min(HOURS, 3)
  local lock, cpu, _, one = live(at, hours, {}, people)
  local order, more, _, other = live(at, hours, { ahead = 3600 }, people)
  figure(("%g hours on one 3B model's 8 slots: lock step"):format(hours), lock, "s")
  figure("  out of order", order, "s")
  figure("  faster by", lock / order, "times") -- a step a second through a small town: nobody is more than some 20 s ahead
  figure("  of a core in lock step, as fast as the model goes", 100 * cpu / lock, "%", 1)
  figure("  of a core out of order, as fast as the model goes", 100 * more / order, "%", 1)
  figure("  town hours an hour, in lock step", hours * 3600 / lock, "")
  if one ~= other then print "  and NOT the same" end
  at.child:kill "SIGKILL"
end

stoke.main(function()
  day()
  ahead()
end)
