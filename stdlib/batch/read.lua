--- The rows of a batch's input: a file of JSON lines, CSV or lines of text, read as a stream, or a list or an iterator of a script.
--- What cannot be read is a row, too, which says why and where, so that one bad line among millions is named and stops nothing.

local csv = require "stoke.csv.records"
local errors = require "core.errors"
local hash = require "core.hash"
local json = require "core.json"
local fs = require "stoke.fs"
local lines = require "stoke.batch.lines"
local show = require "stoke.show"
local valid = require "core.text".valid

local M = {}

---@class stoke.batch.row
---@field row integer its number, from 1
---@field id string
---@field line? integer where it begins in the file
---@field input? table<string, any> its fields; of a line of text { prompt = line }
---@field bad? string why it cannot be read

---@class stoke.batch.place where a reader goes on; plain data
---@field bytes integer
---@field lines integer
---@field rows integer
---@field digest string of the bytes before it: whether the file is still the one that was read

local FORMATS = { jsonl = "jsonl", ndjson = "jsonl", csv = "csv", tsv = "tsv", txt = "text", text = "text" }

--- Bytes before a place that its digest is of; bytes of rows that are given at once.
local BEFORE <const>, PIECE <const> = 4096, 4 << 20

---@class stoke.batch.reader
---@field rows integer that were given so far
---@field names? string[] the columns of a CSV file
---@field size? integer bytes of the file
---@field ended? boolean there are no more rows
local Reader = {}
Reader.__index = Reader

local function is_blank(line) return line == "" or not line:find "%S" end

--- The format that a file's name says.
---@param path string
---@return "jsonl"|"csv"|"tsv"|"text"
---Raises `usage`.
function M.format(path)
  local ending = path:match "%.(%w+)$"
  local format = ending and FORMATS[ending:lower()]
  if format then return format end
  errors.raise("usage", ("%s: a batch reads .jsonl, .csv, .tsv or .txt"):format(show.word(path)), {
    hint = ending == "json" and "one JSON object a line, in a file named .jsonl (jq -c '.[]' FILE.json > FILE.jsonl)" or nil })
end

-- ---- one row -------------------------------------------------------------------------------------------------------------------

local function text_of(id)
  if math.type(id) == "integer" then return tostring(id) end
  if type(id) == "string" and id ~= "" then return id end
  return nil
end

--- The id of a row: what it says itself, else its number.
local function id_of(self, input)
  local given
  if self.key then
    given = input[self.key]
    if given == nil then return nil, ("it has no %s, which is to be its id"):format(show.word(self.key)) end
  else
    given = input.id
    if given == nil then given = input.custom_id end
    if given == nil or given == "" or given == json.null then return nil end
  end
  local id = text_of(given)
  if not id then return nil, ("its id must be a text or a whole number, not %s"):format(errors.describe(given)) end
  if #id > 255 or valid(id) ~= id or id:find("\0", 1, true) then
    return nil, "its id must be a text of at most 255 bytes, in UTF-8, without a zero byte"
  end
  return id
end

--- A row of what was read; `bad` where that is no row.
local function make(self, input, line, bad)
  self.rows = self.rows + 1
  local row = { row = self.rows, line = line, input = input, bad = bad }
  if input then row.id, row.bad = id_of(self, input) end
  row.id = row.id or ("row %d"):format(self.rows)
  return row
end

-- ---- formats -------------------------------------------------------------------------------------------------------------------

local TOO_LONG <const> = ("the line is longer than %d MB"):format(lines.LONGEST >> 20)

local READ = {}

function READ.text(self)
  local line, number
  repeat
    number = self.lines.line
    line = self.lines:next()
    if line == nil then return nil end
  until not line or not is_blank(line)
  if not line then return make(self, nil, number, TOO_LONG) end
  if valid(line) ~= line then return make(self, nil, number, "it is no UTF-8") end
  return make(self, { prompt = line }, number)
end

function READ.jsonl(self)
  local line, number
  repeat
    number = self.lines.line
    line = self.lines:next()
    if line == nil then return nil end
  until not line or not is_blank(line)
  if not line then return make(self, nil, number, TOO_LONG) end
  if number == 1 and line:sub(1, 3) == csv.MARK then line = line:sub(4) end
  local value, err = json.decode(line)
  if err then return make(self, nil, number, "it is no JSON: " .. valid(err.message)) end
  if type(value) == "string" then value = { prompt = value } end
  if type(value) ~= "table" or json.is_array(value) then
    return make(self, nil, number, "it must be a JSON object, or a text, which is a prompt")
  end
  return make(self, value, number)
end

--- The cells of the record that begins at the next line, which may go over many lines; or nil and what is wrong with it. A quote
--- that is never closed would take all that follows: then the first line alone is bad.
local function record(self)
  local source = self.lines
  local number, first = source.line, source:next()
  if first == nil then return nil, nil, number end
  if first == false then return nil, TOO_LONG, number end
  if is_blank(first) then return record(self) end
  local text, second, even = first, nil, select(2, first:gsub('"', "")) % 2 == 0
  local parts, size = nil, #first
  while true do
    if even then
      local ok, cells, count = pcall(csv.each(text, self.separator))
      if ok then return cells, nil, number, count end
      local err = errors.wrap(cells)
      if err.kind ~= "protocol" then error(err, 0) end
      if not (parts or second) or not err.problem:find(csv.OPEN, 1, true) then
        if second then source:back(second) end
        return nil, err.problem, number
      end
    end
    if not second then second, parts = source:mark(), { first } end
    local more = source:next()
    size = size + (more and #more or 0)
    if not more or size > lines.LONGEST then
      source:back(second)
      return nil, csv.OPEN, number
    end
    parts[#parts + 1] = more
    even = select(2, more:gsub('"', "")) % 2 == 1
    if even then text = table.concat(parts, "\n") end
  end
end

function READ.csv(self)
  local cells, bad, number, count = record(self)
  if not cells and not bad then return nil end
  if cells and count ~= #self.names then
    bad = ("%d cells, the first line has %d"):format(count, #self.names)
  end
  if bad then return make(self, nil, number, bad) end
  local input = {}
  for i, name in ipairs(self.names) do
    local cell = cells[i]
    if cell then
      if valid(cell) ~= cell then return make(self, nil, number, ("column %s is no UTF-8"):format(show.word(name))) end
      input[name] = cell
    end
  end
  return make(self, input, number)
end
READ.tsv = READ.csv

--- The names of the columns, from the first line of the file.
local function read_names(self, path)
  local place, found = self.lines, nil
  self.lines = lines.open(path)
  local cells, bad, number, count = record(self)
  if cells then
    local ok, err = pcall(csv.names, cells, count, number)
    if ok then found = cells else bad = errors.wrap(err).problem end
  end
  if not found then
    errors.raise("protocol", ("%s:%d: %s"):format(show.word(path), number, bad or "the file is empty"),
      { hint = "the first line has the names of the columns" })
  end
  self.names = found
  if place.at > 0 then self.lines = place end
end

-- ---- the reader ----------------------------------------------------------------------------------------------------------------

--- The digest of what stands before a place in the file.
local function digest(path, bytes)
  local from = math.max(bytes - BEFORE, 0)
  return hash.sha256(bytes > 0 and fs.read(path, { from = from + 1, bytes = bytes - from }) or "")
end

--- Is the file still the one that was read up to there?
local function check_place(path, place)
  local about = fs.stat(path)
  if about and about.size >= place.bytes and digest(path, place.bytes) == place.digest then return end
  errors.raise("usage", ("%s is not what it was when the batch had read %d rows of it"):format(show.word(path), place.rows),
    { hint = "rows may be added at its end; with other rows in it, it is another batch (--fresh, or another --name): put lines "
      .. "that you have mended into a file of their own" })
end

--- A reader of a file.
---@param path string
---@param options? { format?: string, key?: string, place?: stoke.batch.place } key: the column that is the id; else `id` or
---  `custom_id`, else the number of the row
---@return stoke.batch.reader
---Raises `usage`, `os`, `protocol` for a CSV file without names of columns.
function M.file(path, options)
  local o = options or {}
  local format, place = o.format or M.format(path), o.place
  if place then check_place(path, place) end
  local self = setmetatable({ path = path, key = o.key, rows = place and place.rows or 0, lines = lines.open(path, place),
    read = READ[format], separator = format == "tsv" and "\t" or "," }, Reader)
  self.size = self.lines.size
  if self.read == READ.csv then read_names(self, path) end
  return self
end

--- A reader of what a script gives.
---@param given table[]|fun(): any a list, or an iterator
---@param options? { key?: string }
---@return stoke.batch.reader
---Raises `argument`.
function M.values(given, options)
  local next_value = given
  if type(given) == "table" and not errors.callable(given) then
    errors.list("stoke.batch: input", given)
    local i = 0
    next_value = function()
      i = i + 1
      return given[i]
    end
  end
  local self = setmetatable({ key = options and options.key, rows = 0 }, Reader)
  self.read = function()
    local value = next_value()
    if value == nil then return nil end
    if type(value) == "string" then value = { prompt = value } end
    if type(value) ~= "table" then
      errors.argument("stoke.batch: row %d must be a table or a text, got %s", self.rows + 1, errors.describe(value))
    end
    return make(self, value)
  end
  return self
end

--- The next rows, at most so many and some megabytes of a file; an empty list at the end.
---@param most integer
---@return stoke.batch.row[]
function Reader:next(most)
  local list, last = {}, self.lines and self.lines:bytes() + PIECE
  while #list < most and not (last and self.lines:bytes() >= last) do
    local row = self:read()
    if not row then
      self.ended = true
      break
    end
    list[#list + 1] = row
  end
  return list
end

--- Where to go on behind what was given; nil where the input is no file.
---@return stoke.batch.place|nil
function Reader:place()
  if not self.lines then return nil end
  local bytes = self.lines:bytes()
  return { bytes = bytes, lines = self.lines.line - 1, rows = self.rows, digest = digest(self.path, bytes) }
end

--- The share of the input that was read, for an estimate of how many rows there are; nil where nobody knows.
---@return number|nil
function Reader:share()
  if not self.lines then return nil end
  return self.size > 0 and math.min(self.lines:bytes() / self.size, 1) or 1
end

return M
