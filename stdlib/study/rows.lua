--- What a study has found: rows for statistics, and beside each cell the turn that it rests on.

local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local scopes = require "core.scope"
local stats = require "stoke.stats"

local M = {}

---@class stoke.study.cell
---@field value any
---@field turn integer the number of the turn in study.turns
---@field from string who said it: the id of a person
---@field quote string the sentence, or the whole turn
---@field held? "words"|"asked"|"given" how it was found to hold: the value stands in the turn, the model was asked whether it
---  follows, or the turn is that value

---@class stoke.study.table
---@field columns string[]
---@field rows table<string, any>[] { id, name, and a value by column }; a cell that nothing holds is nil
---@field cells table<string, stoke.study.cell>[] what the cells of each row rest on
---@field refused { id: string, row: integer, field: string, value: any, turn: integer, why: string }[] values that did not hold
---@field failed { id: string, why: string }[] people of whom no answer fitted
local Table = {}
Table.__index = Table
Table.__name = "stoke.study.table"

--- An empty table.
---@param fields { name: string }[]
---@param of_people boolean does each row belong to a person?
---@return stoke.study.table
function M.new(fields, of_people)
  local columns, names = of_people and { "id", "name" } or {}, {}
  for i, field in ipairs(fields) do columns[#columns + 1], names[i] = field.name, field.name end
  return setmetatable({ columns = columns, fields = names, of_people = of_people, added = 0, rows = {}, cells = {}, refused = {},
    failed = {} },
    Table)
end

--- A table of answers that have values: each cell rests on the answer's own turn, and nothing is asked.
---@param where string
---@param answers table[] of study:ask
---@return stoke.study.table
---Raises `argument`.
function M.of_answers(where, answers)
  errors.list(where .. ": answers", answers)
  local columns = {}
  for i, answer in ipairs(answers) do
    if type(answer) ~= "table" or type(answer.id) ~= "string" then
      errors.argument("%s: answers[%d] is none of study:ask: %s", where, i, errors.describe(answer))
    end
    local value = answer.value
    if not answer.failed and (type(value) ~= "table" or json.is_array(value)) then
      errors.argument("%s: the answer of %s has no value with fields; ask with output = { field = \"number\" }", where, answer.id)
    end
    for name in next, value or {} do columns[name] = { name = name } end
  end
  local fields = {}
  for i, name in ipairs(ordered.names(columns)) do fields[i] = columns[name] end
  local made = M.new(fields, true)
  for _, answer in ipairs(answers) do
    local cells = {}
    for name, value in next, answer.value or {} do
      cells[name] = { value = value, turn = answer.turn, from = answer.id, quote = answer.text, held = "given" }
    end
    made:add(answer, cells)
    if answer.failed then made.failed[#made.failed + 1] = { id = answer.id, why = answer.failed } end
  end
  return made
end

--- Add a row.
---@private
function Table:add(of, cells)
  local row = self.of_people and { id = of.id, name = of.name } or {}
  for name, cell in next, cells do row[name] = cell.value end
  self.rows[#self.rows + 1], self.cells[#self.cells + 1] = row, cells
end

--- Add a column that was not read: a group, a word of the persona.
---@param name string
---@param values table<string, any>|fun(id: string): any by the id of a person
---@return stoke.study.table itself
---Raises `argument` for a column that there is.
---
--- Example: `found:also("advert", group_of)`
function Table:also(name, values)
  scopes.check_self(self, Table, "table:also()")
  if not self.of_people then errors.argument "table:also: the rows of this table are no people" end
  for _, known in ipairs(self.columns) do
    if known == name then errors.argument("table:also: there is a column %s already", name) end
  end
  if type(name) ~= "string" then errors.argument("table:also: the name must be a text, got %s", errors.describe(name)) end
  local call = errors.callable(values)
  if not call and type(values) ~= "table" then
    errors.argument("table:also: values by id, or a function, expected; got %s", errors.describe(values))
  end
  for _, row in ipairs(self.rows) do
    if call then row[name] = values(row.id) else row[name] = values[row.id] end
  end
  self.added = self.added + 1
  table.insert(self.columns, 2 + self.added, name)
  return self
end

--- The rows with a column more for each one that was read: the turn of its cell.
local function with_turns(self)
  local read, columns, rows = {}, {}, {}
  for _, name in ipairs(self.fields) do read[name] = true end
  for _, name in ipairs(self.columns) do
    columns[#columns + 1] = name
    if read[name] then columns[#columns + 1] = name .. "_turn" end
  end
  for i, row in ipairs(self.rows) do
    rows[i] = {}
    for name, value in next, row do rows[i][name] = value end
    for name, cell in next, self.cells[i] do rows[i][name .. "_turn"] = cell.turn end
  end
  return rows, columns
end

--- The rows, for statistics: stoke.stats.table.
---@param options? { turns?: boolean } turns: a column more beside each that was read, such as `price_turn`
---@return stoke.stats.table
---Raises `argument`.
---
--- Example: `local test = stoke.stats.t_test(t:where({ advert = "A" }):column "score", t:where({ advert = "B" }):column "score")`
function Table:table(options)
  scopes.check_self(self, Table, "table:table()")
  local o = errors.options(options, { turns = "boolean" }, "table:table")
  if o.turns then return stats.table(with_turns(self)) end
  return stats.table(self.rows, self.columns)
end

--- What each cell rests on, one row a cell: id, field, value, turn, from, quote, held.
---@return stoke.stats.table
---
--- Example: `stoke.fs.write("evidence.csv", found:evidence():csv())`
function Table:evidence()
  scopes.check_self(self, Table, "table:evidence()")
  local out = {}
  for i, row in ipairs(self.rows) do
    for _, name in ipairs(self.fields) do
      local cell = self.cells[i][name]
      if cell then
        out[#out + 1] = { row = i, id = row.id, field = name, value = cell.value, turn = cell.turn, from = cell.from,
          quote = cell.quote, held = cell.held }
      end
    end
  end
  return stats.table(out, { "row", "id", "field", "value", "turn", "from", "quote", "held" })
end

--- The rows as CSV (RFC 4180).
---@param options? { turns?: boolean, formulas?: boolean } turns: as for table:table; formulas: as for stoke.csv.encode: with false
---  no text that a model or a person wrote is a formula to a spreadsheet
---@return string
---Raises `argument`.
---
--- Example: `stoke.fs.write("answers.csv", found:csv { turns = true, formulas = false })`
function Table:csv(options)
  local o = errors.options(options, { turns = "boolean", formulas = "boolean" }, "table:csv")
  return self:table({ turns = o.turns }):csv { formulas = o.formulas }
end

--- The rows as JSON, a list of objects.
---@param options? { turns?: boolean } as for table:table
---@return string
---
--- Example: `stoke.fs.write("answers.json", found:json())`
function Table:json(options) return self:table(options):json() end

--- The rows, aligned for a terminal.
---@param options? { turns?: boolean } as for table:table
---@return string
---
--- Example: `print(found:text())`
function Table:text(options) return self:table(options):text() end

return M
