-- A campaign over one engine: a publisher and workers in processes of their own, which are killed at random moments, one or all of
-- them, and the engine's server where there is one. Whoever was killed is begun anew. At the end the laws of the storm must hold.

local about = require "core.about"
local fs = require "stoke.fs"
local json = require "stoke.json"
local proc = require "stoke.proc"
local stoke = require "stoke"
local storm = require "storm"

local M = {}

--- Seconds of a lease; how often an item is lent; messages that kill who reads them; seconds that end the campaign where it hangs.
local LEASE <const>, TRIES <const>, POISON <const>, LONGEST <const> = 2, 20, 3, 1800

---@class kills.host a process that is begun anew whenever it dies
---@field argv string[]
---@field process? table

local function keep_alive(host, over)
  while not over() do
    local p <close> = proc.spawn { argv = host.argv, stdin = false, stderr = "capture", cwd = host.folder,
      env = { HOME = host.folder, PATH = "/usr/bin:/bin" } }
    host.process = p
    local scope <close> = stoke.scope {}
    local said = scope:spawn(function()
      local parts = {}
      for bytes in function() return p:read(nil, "stderr") end do parts[#parts + 1] = bytes end
      return table.concat(parts)
    end)
    local status = p:wait()
    host.process = nil
    local words = said:await()
    if status.code == 0 and host.ends then return end
    if status.signal ~= "SIGKILL" then
      host.failed = (host.failed or 0) + 1
      host.words = words
      stoke.sleep(0.2)
    end
  end
end

local function plan_of(given, folder)
  local random = stoke.rand.new(given.seed)
  local plan = storm.plan(random, given.messages, given.stream)
  local poison, lines = 0, {}
  for i, m in ipairs(plan.messages) do
    if m.fate == "poison" then -- each of these kills a worker a try
      poison = poison + 1
      if poison > POISON then m.fate = nil end
    end
    lines[i] = json.encode { id = m.id, key = m.key, n = m.n, fate = m.fate }
  end
  fs.write(folder .. "/plan.jsonl", table.concat(lines, "\n"))
  return plan
end

--- How many of the plan are settled.
local function settled(given, plan)
  local e <close> = given.open()
  local streams = e:streams()
  for _, one in ipairs(streams or {}) do
    local group = one.stream == plan.stream and one.groups[1]
    if group then return group.done + group.dead end
  end
  return 0
end

local function kill(host)
  if not host.process then return 0 end
  host.process:kill "SIGKILL"
  return 1
end

--- One blow: to a worker mostly; to the publisher, to all at once, to the server.
local function blow(hosts, given, random)
  local chance = random:float()
  if given.server and chance < 0.15 then
    given.server.kill()
    stoke.sleep(random:float())
    given.server.start()
    return "servers"
  elseif chance < 0.25 then
    for _, host in ipairs(hosts) do kill(host) end
    return "all"
  end
  kill(hosts[random:int(1, #hosts)])
  return "processes"
end

--- Run it. The engine is open to this process, too: it looks how far they are.
---@param given { url: string, open: fun(): core.engine, folder: string, seed: integer, messages: integer, stream?: string,
---  workers?: integer, pause?: number, server?: { kill: fun(), start: fun() } } pause: seconds between two blows, at most
---@return storm.broken broken
---@return { processes: integer, all: integer, servers: integer, seconds: number } blows
---
--- Example: `local broken, blows = kills.run { url = url, open = open, folder = t.tmp(), seed = 1, messages = 10000 }`
function M.run(given)
  given.stream = given.stream or "kills"
  local plan, random = plan_of(given, given.folder), stoke.rand.new(given.seed + 1)
  local blows, began, over = { processes = 0, all = 0, servers = 0 }, stoke.time.monotonic(), false
  local program = given.folder .. "/program.lua"
  fs.write(program, fs.read "tests/queue/program.lua")
  local hosts = { { folder = given.folder, ends = true, argv = { about.executable(), program, "publish", given.url, plan.stream,
    given.folder .. "/plan.jsonl" } } }
  for _ = 1, given.workers or 4 do
    hosts[#hosts + 1] = { folder = given.folder, argv = { about.executable(), program, "work", given.url, plan.stream,
      tostring(LEASE), tostring(TRIES) } }
  end
  local scope <close> = stoke.scope {}
  for _, host in ipairs(hosts) do scope:spawn(function() keep_alive(host, function() return over end) end) end
  while not over do
    stoke.sleep(0.05 + random:float() * (given.pause or 1))
    local kind = blow(hosts, given, random)
    blows[kind] = blows[kind] + 1
    over = settled(given, plan) >= #plan.messages or stoke.time.monotonic() - began > LONGEST
  end
  for _, host in ipairs(hosts) do kill(host) end
  scope:wait()
  blows.seconds = stoke.time.monotonic() - began
  local e <close> = given.open()
  local broken = storm.check(e, plan)
  for _, host in ipairs(hosts) do
    if host.failed and not given.server then broken:add("words", "a process ended by itself: %s", host.words) end
  end
  return broken, blows
end

return M
