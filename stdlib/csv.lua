--- CSV (RFC 4180): rows of a table as text that spreadsheets and other programs read.
---
---     local text = stoke.csv.encode { { name = "Ada", score = 7 }, { name = "Hopper, Grace", score = 9 } }
---     for _, row in ipairs(stoke.csv.decode(text, { numbers = true })) do print(row.name, row.score) end
---
--- CSV has no types: a number, a boolean and a text all come back as text, unless numbers are asked for. An empty cell is a missing
--- value (nil); "" in quotes is the empty text. What was written by `encode` is read the same by `decode`.

local errors = require "core.errors"
local json = require "core.json"
local records = require "stoke.csv.records"
local show = require "stoke.show"

local M = {}

local DECODE = { header = "boolean", numbers = true, separator = "string", max_size = "number" }
local ENCODE = { columns = "table", header = "boolean", separator = "string", formulas = "boolean" }

local function separator_of(what, given)
  local separator = given or ","
  if not separator:find '^[^"\r\n]$' then
    errors.argument("%s: the separator is one character (\",\", \";\" or \"\\t\"), got %s", what, errors.describe(separator))
  end
  return separator
end

-- ---- reading -------------------------------------------------------------------------------------------------------------------

--- Which columns are numbers: fun(name) -> boolean.
local function numeric(given)
  if type(given) ~= "table" then return function() return given == true end end
  local names = {}
  errors.list("csv.decode: numbers", given)
  for _, name in ipairs(given) do names[name] = true end
  return function(name) return names[name] == true end
end

--- The columns that were told to be numbers are there.
local function check_numbers(given, names)
  for _, name in ipairs(type(given) == "table" and given or {}) do
    local found = false
    for _, known in ipairs(names) do found = found or known == name end
    if not found then
      local near = type(name) == "string" and errors.suggest(name, names)
      errors.argument("csv.decode: numbers names %s, which is no column%s", errors.describe(name),
        near and (" (did you mean %s?)"):format(near) or "")
    end
  end
end

local NUMBER <const> = "^%s*[+-]?%.?%d[%d.]*[eE]?[+-]?%d*%s*$"

local function value_of(cell, wanted)
  if not wanted or not cell or not cell:find(NUMBER) then return cell end
  return tonumber(cell) or cell
end

--- Rows of a CSV text. Lines end with CRLF, LF or CR; a mark of UTF-8 at the beginning is passed over.
---@param text string
---@param options? { header?: boolean, numbers?: boolean|string[]|integer[], separator?: string, max_size?: integer }
---  header = false: the first line is a row as well, and rows are lists; numbers: cells that are numbers become numbers, in all
---  columns or in these (by name, or by place where there is no header); separator: ","; max_size: bytes (64 MiB)
---@return table[] rows by the names of the first line; an empty cell is left out, in a list it is ""
---@return string[] columns their names in order
---Raises `protocol` with `err.line`: quotes that do not match, a row with more or fewer cells than the first one, a column without
---a name or with another's; `limit`; `argument`, also where `numbers` names a column that is not there.
---
--- Example: `local rows, columns = stoke.csv.decode(stoke.fs.read "answers.csv", { numbers = { "score" } })`
function M.decode(text, options)
  local what = "csv.decode"
  if type(text) ~= "string" then errors.argument("%s: a text expected, got %s", what, errors.describe(text)) end
  local o = errors.options(options, DECODE, what)
  local separator, is_number = separator_of(what, o.separator), numeric(o.numbers)
  if #text > (o.max_size or 64 << 20) then
    errors.raise("limit", ("%s: a text of %d bytes is more than max_size"):format(what, #text))
  end
  local rows, names, width = {}, nil, nil
  for cells, count, line in records.each(text, separator) do
    if count == 1 and width ~= 1 and width and not cells[1] then goto continue end -- an empty line
    if width and count ~= width then
      records.uneven(line, count, width)
    end
    width = count
    if not names then
      names = o.header == false and {} or records.names(cells, count, line)
      if o.header ~= false then
        check_numbers(o.numbers, names)
        goto continue
      end
    end
    local row = {}
    for i = 1, count do
      local name = names[i] or i
      local value = value_of(cells[i], is_number(name))
      if value or o.header == false then row[name] = value or "" end
    end
    rows[#rows + 1] = row
    ::continue::
  end
  return rows, names or {}
end

-- ---- writing -------------------------------------------------------------------------------------------------------------------

--- A cell as text. Where it is, for errors: a row (nil: the names) and a column.
local function cell_text(value, quote, o, row, column)
  local kind = math.type(value) or type(value)
  if kind == "string" then
    if o.formulas == false and value:find "^[=+@\t\r-]" and not tonumber(value) then value = "'" .. value end
    if value == "" or value:find(quote) or value:sub(1, 3) == records.MARK then return '"' .. value:gsub('"', '""') .. '"' end
    return value
  end
  if kind == "integer" or kind == "boolean" then return tostring(value) end
  if value == nil or value == json.null then return "" end
  local place = ("csv.encode: row %d, %s"):format(row, column)
  if kind ~= "float" then
    errors.argument("%s must be a text, a number, a boolean or nil, got %s", place, errors.describe(value))
  end
  if value ~= value or value == math.huge or value == -math.huge then
    errors.argument("%s is %s", place, value ~= value and "NaN" or "infinite")
  end
  return errors.check(json.encode(value))
end

local function check_columns(given)
  errors.list("csv.encode: columns", given)
  for i, name in ipairs(given) do
    if type(name) ~= "string" or name == "" then
      errors.argument("csv.encode: column %d must be a name, got %s", i, errors.describe(name))
    end
  end
  return given
end

--- The names of all rows, sorted.
local function all_names(rows)
  local seen = {}
  for i, row in ipairs(rows) do
    for name in next, row do
      if type(name) ~= "string" then
        errors.argument("csv.encode: row %d has the key %s; rows have names, or are lists all of them", i, errors.describe(name))
      end
      seen[name] = true
    end
  end
  return check_columns(show.sorted_keys(seen))
end

--- Is this the first of lists?
local function are_lists(rows) return rows[1] ~= nil and rows[1][1] ~= nil end

--- Rows as a CSV text, lines ended by CRLF as the RFC says.
---@param rows table[] tables by the names of columns; or lists, which have no header
---@param options? { columns?: string[], header?: boolean, separator?: string, formulas?: boolean } columns: which ones, in this
---  order (all, sorted by name); header = false: without the line of names; formulas = false: a text that a spreadsheet would take
---  for a formula (it begins with = + - @) gets ' in front, for texts that others wrote
---@return string text "" for no rows and no columns
---Raises `argument` with the place of what is no text, number, boolean or nil.
---
--- Example: `stoke.fs.write("answers.csv", stoke.csv.encode(rows, { columns = { "name", "score" } }))`
function M.encode(rows, options)
  local what = "csv.encode"
  errors.list(what .. ": the rows", rows)
  local o = errors.options(options, ENCODE, what)
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then errors.argument("%s: row %d must be a table, got %s", what, i, errors.describe(row)) end
  end
  local separator = separator_of(what, o.separator)
  local quote = ("[%s\"\r\n]"):format(separator:gsub("%W", "%%%0"))
  local lists = not o.columns and are_lists(rows)
  local columns = lists and {} or o.columns and check_columns(o.columns) or all_names(rows)
  local lines = {}
  local function add(row, keys, number)
    local cells = {}
    for j, key in ipairs(keys) do cells[j] = cell_text(row[key], quote, o, number, key) end
    lines[#lines + 1] = table.concat(cells, separator) .. "\r\n"
  end
  local keys = columns
  if lists then
    keys = {}
    for j = 1, #rows[1] do keys[j] = j end
  elseif o.header ~= false and #columns > 0 then
    local names = {}
    for _, name in ipairs(columns) do names[name] = name end
    add(names, columns)
  end
  for i, row in ipairs(rows) do
    if lists and #row ~= #keys then
      errors.argument("%s: row %d has %d cells, the first one %d; write \"\" for an empty one", what, i, #row, #keys)
    end
    add(row, keys, i)
  end
  return table.concat(lines)
end

return M
