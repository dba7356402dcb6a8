--- Rows with named columns: chosen, grouped, described, counted, and written as text, CSV or JSON.

local csv = require "stoke.csv"
local errors = require "core.errors"
local json = require "core.json"
local names = require "core.names"
local samples = require "stoke.stats.sample"
local show = require "stoke.show"
local term = require "stoke.term"

local M = {}

---@class stoke.stats.table
---@field rows table[] plain tables by the names of columns; they are not copied
---@field columns string[] in order
local Table = {}
Table.__name = "stoke.stats.table"

function Table.__index(self, key)
  local member = Table[key]
  if member ~= nil then return member end
  return names.field(Table.__name, key, {}, self, Table)
end

local function missing(value) return value == nil or value == json.null end

local function make(rows, columns) return setmetatable({ rows = rows, columns = columns }, Table) end

--- A table of rows.
---@param rows table[] by the names of columns, such as csv.decode or the outputs of agents give; what is nil or null is missing
---@param columns? string[] which ones, in this order (all, sorted by name)
---@return stoke.stats.table
---Raises `argument`.
---
--- Example: `local t = stoke.stats.table({ { city = "Oslo", degrees = 4 }, { city = "Rome", degrees = 12 } })  print(t:text())`
function M.new(rows, columns)
  local what = "stats.table"
  errors.list(what .. ": the rows", rows)
  local seen = {}
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then
      errors.argument("%s: row %d must be a table by the names of columns, got %s", what, i, errors.describe(row))
    end
    for name in next, row do
      if type(name) ~= "string" then
        errors.argument("%s: row %d has the key %s; the keys are names of columns", what, i, errors.describe(name))
      end
      seen[name] = true
    end
  end
  if columns == nil then return make(rows, show.sorted_keys(seen)) end
  errors.list(what .. ": columns", columns)
  for i, name in ipairs(columns) do
    if type(name) ~= "string" then errors.argument("%s: column %d must be a name, got %s", what, i, errors.describe(name)) end
  end
  return make(rows, table.move(columns, 1, #columns, 1, {}))
end

local function check_column(self, what, name)
  for _, known in ipairs(self.columns) do
    if known == name then return name end
  end
  local near = type(name) == "string" and errors.suggest(name, self.columns)
  local shown = type(name) == "string" and show.quoted(name) or errors.describe(name)
  errors.argument("%s: there is no column %s%s", what, shown, near and (" (did you mean %s?)"):format(near)
    or "; there are " .. table.concat(self.columns, ", "))
end

--- The numbers of a column, as a sample; what is missing is left out.
---@param name string
---@return number[]
---Raises `argument` for a column that is not there and for a value that is no number.
---
--- Example: `stoke.stats.mean(t:column "score")`
function Table:column(name)
  local what = "table:column"
  check_column(self, what, name)
  local out = {}
  for i, row in ipairs(self.rows) do
    local value = row[name]
    if not missing(value) then
      if type(value) ~= "number" or value ~= value then
        errors.argument("%s: %s of row %d is no number but %s%s", what, name, i, errors.describe(value),
          type(value) == "string" and tonumber(value) and "; csv.decode reads numbers where it is told (numbers = true)" or "")
      end
      out[#out + 1] = value
    end
  end
  return out
end

--- The numbers of two columns of the rows that have both, for what is paired.
---@param first string
---@param second string
---@return number[]
---@return number[]
---Raises `argument`.
---
--- Example: `stoke.stats.correlation(t:pairs("age", "score"))`
function Table:pairs(first, second)
  check_column(self, "table:pairs", first)
  check_column(self, "table:pairs", second)
  local both = self:where(function(row) return not missing(row[first]) and not missing(row[second]) end)
  return both:column(first), both:column(second)
end

--- The rows that fit.
---@param condition table|fun(row: table): boolean columns with their values, or a function
---@return stoke.stats.table
---Raises `argument`.
---
--- Example: `local women = t:where { gender = "f" }`
function Table:where(condition)
  local fits = condition
  if type(condition) == "table" and not errors.callable(condition) then
    for name in next, condition do check_column(self, "table:where", name) end
    fits = function(row)
      for name, value in next, condition do
        if row[name] ~= value then return false end
      end
      return true
    end
  end
  errors.check_callable(fits, "table:where")
  local rows = {}
  for _, row in ipairs(self.rows) do
    if fits(row) then rows[#rows + 1] = row end
  end
  return make(rows, self.columns)
end

--- The rows by the values of a column, in the order in which these come first; rows without one are left out.
---@param name string
---@return { key: any, table: stoke.stats.table }[]
---Raises `argument`.
---
--- Example: `for _, group in ipairs(t:group "advert") do print(group.key, stoke.stats.mean(group.table:column "score")) end`
function Table:group(name)
  check_column(self, "table:group", name)
  local out, places = {}, {}
  for _, row in ipairs(self.rows) do
    local key = row[name]
    if not missing(key) and key == key then
      if not places[key] then
        out[#out + 1] = { key = key, table = make({}, self.columns) }
        places[key] = out[#out].table.rows
      end
      local rows = places[key]
      rows[#rows + 1] = row
    end
  end
  return out
end

local DESCRIBED <const> = { "n", "mean", "sd", "error", "min", "q1", "median", "q3", "max" }

--- A column in numbers, as stoke.stats.describe: one row, or one for each group.
---@param name string
---@param options? { by?: string } the column to group by
---@return stoke.stats.table
---Raises `argument`.
---
--- Example: `print(t:describe("score", { by = "advert" }):text())`
function Table:describe(name, options)
  local o = errors.options(options, { by = "string" }, "table:describe")
  local rows, columns = {}, table.move(DESCRIBED, 1, #DESCRIBED, o.by and 2 or 1, { o.by })
  for _, group in ipairs(o.by and self:group(o.by) or { { table = self } }) do
    local x = group.table:column(name)
    local row = #x > 0 and samples.describe("table:describe", x) or { n = 0 }
    if o.by then row[o.by] = group.key end
    rows[#rows + 1] = row
  end
  return make(rows, columns)
end

---@class stoke.stats.crosstab
---@field rows any[] values of the first column
---@field columns any[] values of the second one
---@field counts integer[][]

--- How often the values of two columns come together, for stoke.stats.chi_squared and fisher. Values are sorted; rows that have not
--- both are left out.
---@param first string
---@param second string
---@return stoke.stats.crosstab
---Raises `argument`.
---
--- Example: `stoke.stats.chi_squared(t:crosstab("advert", "would_buy"))`
function Table:crosstab(first, second)
  check_column(self, "table:crosstab", first)
  check_column(self, "table:crosstab", second)
  local seen, down, across = {}, {}, {}
  for _, row in ipairs(self.rows) do
    local a, b = row[first], row[second]
    if not missing(a) and not missing(b) and a == a and b == b then
      seen[a] = seen[a] or {}
      seen[a][b] = (seen[a][b] or 0) + 1
      down[a], across[b] = true, true
    end
  end
  local out = { rows = show.sorted_keys(down), columns = show.sorted_keys(across), counts = {} }
  for i, a in ipairs(out.rows) do
    out.counts[i] = {}
    for j, b in ipairs(out.columns) do out.counts[i][j] = seen[a][b] or 0 end
  end
  return out
end

-- ---- written -------------------------------------------------------------------------------------------------------------------

local function plain(value)
  if math.type(value) == "float" then return ("%.4g"):format(value) end
  return (type(value) == "string" or type(value) == "number") and value or tostring(value)
end

--- The table as aligned text, with a heading; numbers with four digits.
---@param options? { columns?: integer } how wide a line may be
---@return string
---Raises `argument`.
---
--- Example: `io.write(t:text { columns = 80 })`
function Table:text(options)
  local o = errors.options(options, { columns = "number" }, "table:text")
  local out, right = { table.move(self.columns, 1, #self.columns, 1, {}) }, {}
  for j, name in ipairs(self.columns) do
    right[j] = #self.rows > 0
    for i, row in ipairs(self.rows) do
      out[i + 1] = out[i + 1] or {}
      if not missing(row[name]) then
        right[j] = right[j] and type(row[name]) == "number"
        out[i + 1][j] = plain(row[name])
      end
    end
  end
  if #self.columns == 0 then return "" end
  return term.layout(out, { right = right, columns = o.columns })
end

local CSV = { header = "boolean", separator = "string", formulas = "boolean" }

--- The table as CSV: see stoke.csv.encode.
---@param options? { header?: boolean, separator?: string, formulas?: boolean }
---@return string
---Raises `argument`.
---
--- Example: `stoke.fs.write("answers.csv", t:csv())`
function Table:csv(options)
  local o = { columns = self.columns }
  for name, value in next, errors.options(options, CSV, "table:csv") do o[name] = value end
  return csv.encode(self.rows, o)
end

local function ordered(self)
  local out = {}
  for i, row in ipairs(self.rows) do
    local copy = {}
    for _, name in ipairs(self.columns) do copy[name] = row[name] end
    out[i] = json.object(copy, self.columns)
  end
  return out
end

--- The table as a JSON array of objects, their keys in the order of the columns.
---@return string
---Raises `argument` for what JSON cannot say.
---
--- Example: `stoke.fs.write("answers.json", t:json())`
function Table:json() return errors.check(json.encode(json.array(ordered(self)))) end

--- The table as JSON lines: an object a line.
---@return string
---Raises `argument` for what JSON cannot say.
---
--- Example: `stoke.fs.write("answers.jsonl", t:lines())`
function Table:lines()
  local out = {}
  for i, row in ipairs(ordered(self)) do out[i] = errors.check(json.encode(row)) .. "\n" end
  return table.concat(out)
end

return M
