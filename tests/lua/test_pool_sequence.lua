-- The order in which groups of calls are served, against all orders that there are.

local test = require "stoke.test"
local sequence = require "core.pool.sequence"

--- The least cost over all orders and all choices of what leaves.
local function brute(groups, fits)
  local n, best = #groups, math.huge
  local function go(left, held, cost)
    if cost >= best then return end
    if left == 0 then
      best = cost
      return
    end
    local weight = 0
    for i = 1, n do
      if left & (1 << (i - 1)) ~= 0 then weight = weight + groups[i].waiting end
    end
    for i = 1, n do
      local bit, g = 1 << (i - 1), groups[i]
      if left & bit ~= 0 and held & bit ~= 0 then
        go(left ~ bit, held ~ bit, cost + g.seconds * weight)
      elseif left & bit ~= 0 then
        local part = held
        repeat
          local last = part == 0
          if last or fits(part | bit) then go(left ~ bit, part, cost + (g.load + g.seconds) * weight) end
          part = (part - 1) & held
        until last
      end
    end
  end
  local held = 0
  for i, g in ipairs(groups) do if g.resident then held = held | 1 << (i - 1) end end
  go((1 << n) - 1, held, 0)
  return best
end

--- A world of a seed: groups, and what fits by size.
local function world(seed, n)
  local state = seed
  local function random(least, most)
    state = (state * 1103515245 + 12345) % 2147483648
    return least + state // 65536 % (most - least + 1)
  end
  local groups, sizes, used, room = {}, {}, 0, random(4, 14)
  for i = 1, n do
    groups[i] = { waiting = random(1, 20), seconds = random(1, 500) / 10, load = random(0, 100) / 10 }
    sizes[i] = random(1, 8)
    if used + sizes[i] <= room and random(1, 10) <= 6 then groups[i].resident, used = true, used + sizes[i] end
  end
  return groups, function(set)
    local sum = 0
    for i = 1, n do if set & (1 << (i - 1)) ~= 0 then sum = sum + sizes[i] end end
    return sum <= room
  end
end

test("the cost found is the least of all orders, up to six models in 300 worlds, and of eight in ten", function(t)
  for seed = 1, 310 do
    local groups, fits = world(seed, seed <= 300 and seed % 6 + 1 or 8)
    local first, _, cost = sequence.first(groups, fits)
    local least = brute(groups, fits)
    t.near(cost, least, 1e-6 * least, "seed " .. seed)
    t.ok(groups[first], "seed " .. seed)
  end
end)

test("more models than are searched: the least seconds a call first", function(t)
  local groups = {}
  for i = 1, 12 do groups[i] = { waiting = i == 7 and 50 or 1, seconds = 10, load = 3 } end
  t.eq(sequence.first(groups, function() return false end), 7)
end)

test("a loaded model with much work goes before one that costs a load, and the other way round", function(t)
  local function none() return false end
  local much = { waiting = 40, seconds = 40, load = 3, resident = true }
  t.eq(sequence.first({ much, { waiting = 1, seconds = 1, load = 3 } }, none), 1)
  local little = { waiting = 1, seconds = 40, load = 3, resident = true }
  t.eq(sequence.first({ little, { waiting = 20, seconds = 1, load = 3 } }, none), 2)
end)
