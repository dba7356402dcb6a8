-- A log of a run's order that is not its own, or was changed on its way: the replay goes as the log says or ends with an error that
-- says so. It never hangs, and never takes other tasks with it.

local test = require "stoke.test"
local stoke = require "stoke"
local programs = require "order_programs"
local runs = require "order_runs"

local SEEDS = tonumber(os.getenv "STOKE_ORDER_SEEDS") or 12
local FIRST = tonumber(os.getenv "STOKE_ORDER_FIRST") or 1

-- Some of the bytes are others, or gone, or more.
local function spoilt(log)
  local bytes = { log:byte(1, -1) }
  for _ = 1, math.random(3) do
    local i = math.random(#bytes + 1)
    local how = math.random(5)
    if how == 1 then
      table.insert(bytes, i, math.random(0, 255))
    elseif how == 2 then
      table.remove(bytes, math.min(i, #bytes))
    elseif bytes[i] then
      bytes[i] = how == 3 and math.random(0, 255) or bytes[i] ~ 1 << math.random(0, 7)
    end
    if #bytes == 0 then break end
  end
  local out = {}
  for i, byte in ipairs(bytes) do out[i] = string.char(byte) end
  return table.concat(out)
end

-- Any deliveries, to tasks and deadlines that the run may have.
local function invented(log)
  local list = runs.decode(log)
  for _ = 1, math.random(4) do
    local kind = math.random(0, 4)
    local target = math.random(0, 6)
    local d = { since = math.random(0, 3), code = kind == 0 and target << 1 or target << 3 | kind - 1 << 1 | 1 }
    if kind == 3 then d.text = "from nowhere" end
    table.insert(list, math.random(#list + 1), d)
  end
  return runs.encode(list)
end

local function hex(bytes) return (bytes:gsub(".", function(c) return ("%02x"):format(c:byte()) end)) end

local function program_of(seed)
  local program = programs.program(seed)
  return function(run)
    program(run)
    return "through"
  end
end

for how, change in pairs { spoilt = spoilt, invented = invented } do
  test("a replay from a log that is " .. how .. " ends by itself", { real = true, timeout = 600 }, function(t)
    local failed = 0
    for seed = FIRST, FIRST + SEEDS - 1 do
      math.randomseed(seed)
      local recorded = runs.record(program_of(seed))
      runs.finish(recorded)
      for _ = 1, 8 do
        local log = change(recorded.schedule:log())
        local again = runs.replay(recorded, program_of(seed), log)
        local result, err = stoke.try(stoke.timeout, 30, runs.finish, again)
        if not result then error(("seed %d: %s; the log: %s"):format(seed, tostring(err), hex(log)), 0) end
        local kind = result:match "^true through" or result:match "^false (%a+)"
        t.ok(kind == "true through" or kind == "replay" or kind == "cancelled", result)
        if kind == "replay" then failed = failed + 1 end
      end
    end
    t.ok(failed > SEEDS, ("%d of %d replays failed"):format(failed, SEEDS * 8))
  end)
end
