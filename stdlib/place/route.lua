--- The shortest way over a grid, by A* (Hart, Nilsson, Raphael 1968) with the distance without walls as the estimate, which never
--- says too much: so the first way found is as short as a breadth-first search finds it. Costs are whole numbers, so that tiles
--- wait in lists by cost, and no heap is needed. Among ways of one length the order of directions decides, always in the same way.
---
--- A tile is a number, its row times the grid's stride plus its column; a border of blocked tiles saves the checks of edges.

local M = {}

--- The directions, by the letter that stands for each in a way: north, east, south, west.
M.DX = { n = 0, e = 1, s = 0, w = -1 }
M.DY = { n = -1, e = 0, s = 1, w = 0 }

local LETTERS <const> = { "n", "e", "s", "w" }

--- A goal of some tiles, for M.find.
---@param grid stoke.place.grid
---@param tiles { x: integer, y: integer }[]
---@return stoke.place.goal
function M.goal(grid, tiles)
  local goal = { set = {}, x1 = math.huge, y1 = math.huge, x2 = 0, y2 = 0 }
  for _, tile in ipairs(tiles) do
    goal.set[tile.y * grid.stride + tile.x] = true
    goal.x1, goal.x2 = math.min(goal.x1, tile.x), math.max(goal.x2, tile.x)
    goal.y1, goal.y2 = math.min(goal.y1, tile.y), math.max(goal.y2, tile.y)
  end
  return goal
end

--- Steps to the goal's box were there no walls.
local function estimate(goal, x, y)
  local dx = x < goal.x1 and goal.x1 - x or x > goal.x2 and x - goal.x2 or 0
  local dy = y < goal.y1 and goal.y1 - y or y > goal.y2 and y - goal.y2 or 0
  return dx + dy
end

local function trace(came, moves, from, at)
  local letters, n = {}, 0
  while at ~= from do
    local d = came[at]
    n = n + 1
    letters[n] = LETTERS[d]
    at = at - moves[d]
  end
  for i = 1, n // 2 do letters[i], letters[n + 1 - i] = letters[n + 1 - i], letters[i] end
  return table.concat(letters)
end

--- The regions of a grid: tiles between which there is a way have one number.
---@param grid stoke.place.grid without `region`, which is set
function M.regions(grid)
  local open, moves, region, count = grid.open, grid.moves, {}, 0
  for start = 1, grid.stride * (grid.height + 2) do
    if open[start] and not region[start] then
      count = count + 1
      local stack, n = { start }, 1
      region[start] = count
      while n > 0 do
        local at = stack[n]
        n = n - 1
        for d = 1, 4 do
          local to = at + moves[d]
          if open[to] and not region[to] then
            n = n + 1
            region[to], stack[n] = count, to
          end
        end
      end
    end
  end
  grid.region = region
end

--- Is there a way at all, were nobody in it?
local function reachable(grid, from, goal)
  local mine = grid.region[from]
  for at in next, goal.set do
    if mine and grid.region[at] == mine then return true end
  end
  return false
end

--- A shortest way.
---@param grid stoke.place.grid
---@param x integer
---@param y integer
---@param goal stoke.place.goal
---@param avoid? table<integer, true> tiles that are taken as blocked, the one at the start excepted
---@param most? integer ways that are longer do not count
---@return string|nil way a letter a step, "" where the start is of the goal; nil: there is none
function M.find(grid, x, y, goal, avoid, most)
  local from = y * grid.stride + x
  if goal.set[from] then return "" end
  if not reachable(grid, from, goal) then return nil end
  most = most or math.huge
  local open, moves, stride = grid.open, grid.moves, grid.stride
  local cost, came, done = { [from] = 0 }, {}, {}
  local f = estimate(goal, x, y)
  local lists, waiting = { [f] = { from } }, 1
  while waiting > 0 and f <= most do
    local list = lists[f]
    local at = list and table.remove(list)
    if not at then
      lists[f], f = nil, f + 1
    else
      waiting = waiting - 1
      if goal.set[at] then return trace(came, moves, from, at) end
      if not done[at] then
        done[at] = true
        local g = cost[at] + 1
        for d = 4, 1, -1 do -- the last of a list is the first that is looked at
          local to = at + moves[d]
          local known = cost[to]
          if open[to] and (not known or g < known) and not (avoid and avoid[to]) then
            cost[to], came[to] = g, d
            local total = g + estimate(goal, to % stride, to // stride)
            local others = lists[total]
            if others then others[#others + 1] = to else lists[total] = { to } end
            waiting = waiting + 1
          end
        end
      end
    end
  end
  return nil
end

return M
