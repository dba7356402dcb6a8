-- make bench: from a save to the new code, and a thousand reloads.  stoke reload.lua

local fs = require "stoke.fs"
local reload = require "stoke.reload"
local stoke = require "stoke"
local time = require "stoke.time"

local ROUNDS, RELOADS, LIMIT_MS, LIMIT_KB = 11, 1000, 150, 64

local folder = ("%s/stoke-bench-%d"):format(os.getenv "TMPDIR" or "/tmp", math.random(1 << 40))
fs.mkdir(folder)
package.path = folder .. "/?.lua;" .. package.path

local TEXT = [[local stoke = require "stoke"
local M = { version = %d }
local search = stoke.tool { name = "search", description = "v%d", params = { q = "string" }, run = function(a) return a.q end }
M.bot = stoke.agent { name = "bot", model = "qwen2.5:3b", instructions = "v%d", tools = { search } }
function M.score(x) return x * %d end
return M
]]

local function save(n) fs.write(folder .. "/agent_file.lua", TEXT:format(n, n, n, n)) end

local function line(what, value, unit, limit)
  print(("%-46s %10.1f %-4s (at most %d %s)%s"):format(what, value, unit, limit, unit, value > limit and "  MISSED" or ""))
end

local function from_save_to_use(lib)
  local stop = reload.on_change(function(report) if report.err then error(report.err, 0) end end)
  reload.watch(true)
  stoke.sleep(0.2)
  local times = {}
  for n = 1, ROUNDS do
    save(n)
    local begun = time.monotonic()
    while lib.bot.definition.instructions ~= "v" .. n do stoke.sleep(0.0005) end
    times[n] = (time.monotonic() - begun) * 1000
    stoke.sleep(0.05)
  end
  reload.watch(false)
  stop()
  table.sort(times)
  return times[(ROUNDS + 1) // 2]
end

local function heap()
  collectgarbage()
  collectgarbage()
  return collectgarbage "count"
end

local function growth()
  local function run(from, to)
    for n = from, to do
      save(n)
      reload.all()
    end
    return heap()
  end
  local before = run(ROUNDS + 1, ROUNDS + 100)
  local begun = time.monotonic()
  local after = run(ROUNDS + 101, ROUNDS + 100 + RELOADS)
  return after - before, (time.monotonic() - begun) / RELOADS * 1000
end

stoke.main(function()
  save(0)
  local _ <close> = setmetatable({}, { __close = function() fs.remove(folder, { recursive = true }) end })
  local lib = require "agent_file"
  line("save to new code in use, 100 ms of it settle", from_save_to_use(lib), "ms", LIMIT_MS)
  local grown, each = growth()
  line(("%d reloads: heap growth"):format(RELOADS), grown, "KB", LIMIT_KB)
  print(("%-46s %10.1f %-4s"):format("one reload, with writing the file", each, "ms"))
end)
