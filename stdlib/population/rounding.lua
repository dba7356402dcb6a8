--- Shares as whole people: totals by the method of the largest remainder, tables by controlled rounding.
---
---   largest_remainder   shares of a total, as whole numbers that add up to it
---   raked               a table made to have given sums of rows and columns (iterative proportional fitting, Deming and Stephan
---                       1940): what was likelier beside what stays so
---   rounded             a table whose rows and columns add up to whole numbers, as whole numbers with the same sums, each the one
---                       below or above (Cox, "A constructive procedure for unbiased controlled rounding", JASA 82, 1987)

local M = {}

--- What counts as whole, in people.
local NEAR <const> = 1e-6
--- Rounds of fitting at most.
local ROUNDS <const> = 2000

--- Shares of a total as whole numbers: each has at least the whole part of its share, and the largest remainders get one more. Of
--- equal remainders the earlier one gets it.
---@param shares number[] at least 0, any sum above 0
---@param total integer
---@return integer[] counts of the sum `total`
---
--- Example: `rounding.largest_remainder({ 0.5, 0.3, 0.2 }, 7)  --> { 4, 2, 1 }`
function M.largest_remainder(shares, total)
  local sum = 0
  for _, share in ipairs(shares) do sum = sum + share end
  local counts, rest, order = {}, total, {}
  for i, share in ipairs(shares) do
    local exact = share / sum * total
    local whole = math.floor(exact + NEAR)
    counts[i], rest = whole, rest - whole
    order[i] = { i, exact - whole }
  end
  table.sort(order, function(a, b)
    if math.abs(a[2] - b[2]) > NEAR then return a[2] > b[2] end
    return a[1] < b[1]
  end)
  for n = 1, rest do
    local i = order[n][1]
    counts[i] = counts[i] + 1
  end
  return counts
end

local function sums(cells)
  local rows, columns = {}, {}
  for i, row in ipairs(cells) do
    rows[i] = 0
    for k, value in ipairs(row) do
      rows[i], columns[k] = rows[i] + value, (columns[k] or 0) + value
    end
  end
  return rows, columns
end

--- How far the sums are from what they should be, and where: "row" or "column", and its place.
local function furthest(cells, rows, columns)
  local have_rows, have_columns = sums(cells)
  local worst, where, at = 0, nil, nil
  for _, kind in ipairs { { "row", have_rows, rows }, { "column", have_columns, columns } } do
    for i, wanted in ipairs(kind[3]) do
      local off = math.abs(kind[2][i] - wanted)
      if off > worst then worst, where, at = off, kind[1], i end
    end
  end
  return worst, where, at
end

local function fit(cells, rows, columns)
  for _ = 1, ROUNDS do
    local have = sums(cells)
    for i, row in ipairs(cells) do
      for k, value in ipairs(row) do row[k] = have[i] > 0 and value * rows[i] / have[i] or 0 end
    end
    local _, across = sums(cells)
    for _, row in ipairs(cells) do
      for k, value in ipairs(row) do row[k] = across[k] > 0 and value * columns[k] / across[k] or 0 end
    end
    if (furthest(cells, rows, columns)) < NEAR / 10 then return true end
  end
  return false
end

--- A table with given sums of its rows and columns. A cell that is 0 stays so.
---@param cells number[][] weights; changed
---@param rows number[]
---@param columns number[] of the same total as `rows`
---@return number[][]|nil cells the same table; nil: no table with these zeros has these sums
---@return string|nil where "row" or "column" that cannot get its sum
---@return integer|nil at its place
function M.raked(cells, rows, columns)
  if fit(cells, rows, columns) then return cells end
  -- a cell that must become 0 only creeps towards it, as total / rounds: what is left of it is no person
  local total = 0
  for _, count in ipairs(rows) do total = total + count end
  local least = math.max(0.01, total / ROUNDS)
  for _, row in ipairs(cells) do
    for k, value in ipairs(row) do row[k] = value < least and 0 or value end
  end
  if fit(cells, rows, columns) then return cells end
  return nil, select(2, furthest(cells, rows, columns))
end

--- The places of a line of the table that are not whole yet; those near a whole number become it.
local function open_cell(cells, i, k)
  local value = cells[i][k]
  local whole = math.floor(value + 0.5)
  if math.abs(value - whole) < NEAR then
    cells[i][k] = whole
    return false
  end
  return true
end

local function next_in_row(cells, i, k)
  for other = 1, #cells[i] do
    if other ~= k and open_cell(cells, i, other) then return other end
  end
end

local function next_in_column(cells, i, k)
  for other = 1, #cells do
    if other ~= i and open_cell(cells, other, k) then return other end
  end
end

--- A cycle of open cells that goes along a row, a column, a row ... and comes back: where one is open, its row and its column have
--- another, as their sums are whole.
local function cycle(cells, i, k)
  local path, row_seen = {}, {}
  while not row_seen[i] do
    row_seen[i] = #path + 1
    path[#path + 1] = { i, k }
    local column = next_in_row(cells, i, k)
    if not column then return nil end
    path[#path + 1] = { i, column }
    local row = next_in_column(cells, i, column)
    if not row then return nil end
    i, k = row, column
  end
  -- the cells before the row that was met again are no part of it; the last column replaces the one in which that row was entered
  local out = table.move(path, row_seen[i], #path, 1, {})
  out[1] = { i, k }
  return out[1][2] ~= out[2][2] and out or table.move(out, 3, #out, 1, {})
end

--- How far the cells of a cycle can be moved: those at odd places up and those at even ones down, and the other way.
local function room(cells, path)
  local up, down = math.huge, math.huge
  for n, at in ipairs(path) do
    local value = cells[at[1]][at[2]]
    local below, above = value - math.floor(value), math.ceil(value) - value
    if n % 2 == 0 then below, above = above, below end
    up, down = math.min(up, above), math.min(down, below)
  end
  return up, down
end

--- Round a table whose rows and columns add up to whole numbers. Which way a cell goes is drawn, so that it is what it was on
--- average.
---@param cells number[][] changed
---@param random { float: fun(self): number } a generator of stoke.rand.new
---@return integer[][] cells the same table, whole
function M.rounded(cells, random)
  for i, row in ipairs(cells) do
    for k in ipairs(row) do
      while open_cell(cells, i, k) do
        local path = cycle(cells, i, k)
        if not path then break end
        local up, down = room(cells, path)
        local step = random:float() * (up + down) < down and up or -down
        for n, at in ipairs(path) do
          local line = cells[at[1]]
          line[at[2]] = line[at[2]] + (n % 2 == 1 and step or -step)
        end
      end
    end
  end
  for _, row in ipairs(cells) do
    for k, value in ipairs(row) do row[k] = math.floor(value + 0.5) end
  end
  return cells
end

return M
