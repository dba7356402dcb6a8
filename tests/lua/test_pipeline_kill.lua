-- A pipeline that two processes work at, and that is killed: each item comes out once, and in the order of its key.

local binary = require "binary"
local about = require "core.about"
local fs = require "stoke.fs"
local proc = require "stoke.proc"
local stoke = require "stoke"
local test = require "stoke.test"

local ITEMS <const>, KILLS <const> = 300, 10

local SCRIPT = [[
local stoke = require "stoke"
local function mark(file, v) stoke.fs.write(file, v.n .. "\n", { append = true }) end
local p = stoke.pipeline { name = "killed", engine = "local:q.db", stages = {
  { name = "a", concurrency = 4, lease = 0.5, tries = 100, run = function(v) stoke.sleep(0.01) mark("asked", v) return v end },
  { name = "b", concurrency = 4, lease = 0.5, tries = 100, bound = 10, run = function(v) stoke.sleep(0.02) return v end },
  { name = "c", concurrency = 2, lease = 0.5, tries = 100, run = function(v) return v end },
} }
stoke.main(function()
  local list = {}
  for i = 1, 300 do list[i] = { id = "i" .. i, key = "k" .. i % 20, value = { n = i } } end
  p:run(list)
  print "ended"
end)
]]

--- Items that came out, in their order.
local function results(path)
  local found = {}
  local queue <close> = stoke.queue("local:" .. path .. "/q.db")
  for done in queue:outcomes("killed/c", "pipeline") do found[#found + 1] = { done.state, done.key, done.value.v.n } end
  return found
end

test("pipeline: killed ten times while another process works at it, too, nothing is lost and nothing comes out twice",
  { real = true }, function(t)
  local here <close> = binary.place { ["p.lua"] = SCRIPT }
  local kills, state = 0, 3
  --- Run it to its end; killed at random moments as long as that is wanted.
  local function live(wanted)
    while true do
      local p <close> = proc.spawn { argv = { about.executable(), "p.lua" }, cwd = here.path, env = here.env,
        env_allow = binary.PASSED_ON, stderr = "capture" }
      local killer = wanted and kills < KILLS and stoke.spawn(function()
        state = (state * 1103515245 + 12345) % 2 ^ 31
        stoke.sleep(0.1 + state / 2 ^ 31 * 0.5)
        p:kill "SIGKILL"
      end)
      local told = p:read(nil, "stderr")
      local status = p:wait()
      if killer then killer:cancel() end
      if status.signal ~= "SIGKILL" then return t.eq(status.code, 0, told) end
      kills = kills + 1
    end
  end
  stoke.all { function() live(true) end, function() live(true) end }
  live(false)
  t.ok(kills >= KILLS - 1, ("killed %d times"):format(kills))
  local last, seen = {}, {}
  local found = results(here.path)
  t.eq(#found, ITEMS)
  for _, one in ipairs(found) do
    local state_of, key, n = table.unpack(one)
    t.eq({ state_of, seen[n] }, { "done" })
    t.ok((last[key] or 0) < n, ("%s: %d after %d"):format(key, n, last[key] or 0))
    seen[n], last[key] = true, n
  end
  local _, asked = fs.read(here.path .. "/asked"):gsub("\n", "")
  t.ok(asked <= ITEMS + 4 * (kills + 2) * 3, ("%d asked for %d items, %d kills"):format(asked, ITEMS, kills))
  t.eq(#seen, ITEMS)
end)
