-- make bench: the page of a world. What a look at a thousand members takes, and whether browsers slow the world.
--   stoke page.lua
local stoke = require "stoke"
local streams = require "stoke.page.stream"
local worlds = require "stoke.page.world"

local function figure(what, value, unit, limit)
  local bound = limit and ("  (under %g)%s"):format(limit, value > limit and "  MISSED" or "") or ""
  print(("%-46s %10.2f %10s %-6s %6s%s"):format(what, value, "", unit, "", bound))
  io.stdout:flush()
end

local function median(list)
  table.sort(list)
  return list[(#list + 1) // 2]
end

local function members(n)
  local out = {}
  for i = 1, n do out[("m%04d"):format(i)] = { name = "Member " .. i, x = i % 50 + 1, y = i // 50 + 1, doing = "walks" } end
  return out
end

local function walk(member) member.x = member.x % 50 + 1 end

--- A reply whose browser takes everything at once, or nothing.
local function reply(takes)
  local res = {}
  function res.start() end
  function res.write()
    if not takes then stoke.sleep(1e6) end
  end
  return res
end

local LOOKS <const> = 21

local function looks()
  local world <close> = stoke.world { state = { members = members(1000) }, step = walk }
  local view, stream = worlds.new(world, "bench"), streams.new()
  local scope <close> = stoke.scope {}
  scope:spawn(stream.feed, stream, reply(true), function() return "" end)
  stoke.sleep(0)
  for _, moves in ipairs { false, true } do
    local took = {}
    view:sample(stream)
    for i = 1, LOOKS do
      if moves then world:run { speed = "free", ticks = 1 } end
      local began = stoke.time.cpu()
      view:sample(stream)
      took[i] = (stoke.time.cpu() - began) * 1000
    end
    figure(moves and "  the same where all have moved" or "a look at a thousand members of a world, CPU", median(took), "ms", 20)
  end
end

--- Seconds that three hundred thousand ticks of ten take, as fast as can be, watched by so many browsers.
local function watched(browsers, takes)
  local world <close> = stoke.world { state = { members = members(10) }, step = walk }
  local view, stream = worlds.new(world, "bench"), streams.new()
  local scope <close> = stoke.scope {}
  scope:spawn(view.follow, view, stream)
  for _ = 1, browsers do
    scope:spawn(stream.feed, stream, reply(takes), function() return streams.event("picture", view:picture(stream)) end)
  end
  stoke.sleep(0)
  local wall = stoke.time.monotonic()
  world:run { speed = "free", ticks = 300000 }
  return stoke.time.monotonic() - wall
end

stoke.main(function()
  looks()
  local alone, slow, quick = {}, {}, {}
  for i = 1, 3 do
    alone[i] = watched(0)
    slow[i] = watched(100, false)
    quick[i] = watched(100, true)
  end
  figure("a world that nobody watches, 300,000 ticks of ten", median(alone), "s")
  figure("  with 100 browsers that take nothing", median(slow) / median(alone), "times", 1.1)
  figure("  with 100 browsers that take all", median(quick) / median(alone), "times", 1.2)
end)
