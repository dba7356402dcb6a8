--- What a batch has found, as a file: JSON lines, which grow while the batch goes on, or CSV, which is written at its end. It is
--- made from the outcomes that the engine has, in the order of the input; so what was killed writes it anew, and no row is missing
--- or twice.

local csv = require "stoke.csv"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local ordered = require "core.ordered"
local show = require "stoke.show"
local stdio = require "core.stdio"

local M = {}

--- Bytes that are gathered before they are written; columns of a CSV file at most.
local PIECE <const>, MOST <const> = 64 << 10, 1000

---@class stoke.batch.found what is known of a row
---@field id string
---@field row integer
---@field line? integer
---@field input? table
---@field state "done"|"dead"
---@field tries integer
---@field reason? string of a dead one
---@field result? stoke.pipeline.result of one that is done

-- ---- JSON lines ----------------------------------------------------------------------------------------------------------------

local KEYS <const> = { "id", "row", "line", "input", "answer", "error", "model", "input_tokens", "output_tokens", "seconds" }

--- A row as it stands in the file.
---@param found stoke.batch.found
---@return table
function M.row(found)
  local result, fields = found.result, { id = found.id, row = found.row, line = found.line, input = found.input }
  if found.state == "dead" then
    fields.error = found.reason or "dead"
  else
    fields.answer, fields.model, fields.seconds = result.answer, result.model, result.seconds
    if fields.answer == nil then fields.answer = json.null end
    local used = result.usage
    if used.calls > 0 then fields.input_tokens, fields.output_tokens = used.input_tokens, used.output_tokens end
  end
  local keys = {}
  for _, key in ipairs(KEYS) do
    if fields[key] ~= nil then keys[#keys + 1] = key end
  end
  return json.object(fields, keys)
end

---@class stoke.batch.lines_out
local Lines = {}
Lines.__index = Lines

local function put(self, text)
  if self.path then fs.write(self.path, text, { append = true }) else stdio.write(text) end
end

--- Add rows.
---@param list stoke.batch.found[]
function Lines:add(list)
  for _, found in ipairs(list) do
    local text = errors.check(json.encode(M.row(found))) .. "\n"
    self.held[#self.held + 1], self.size = text, self.size + #text
    if self.size >= PIECE then self:flush() end
  end
end

--- Write what is held.
function Lines:flush()
  if self.size == 0 then return end
  put(self, table.concat(self.held))
  self.held, self.size = {}, 0
end

--- All rows there are have been added.
Lines.finish = Lines.flush

-- ---- CSV -----------------------------------------------------------------------------------------------------------------------

---@class stoke.batch.table_out
local Table = {}
Table.__index = Table

local function note(set, list, name, path)
  if set[name] then return end
  if #list >= MOST then
    errors.raise("limit", ("%s would have more than %d columns"):format(show.word(path), MOST), { hint = "write it as .jsonl" })
  end
  set[name], list[#list + 1] = true, name
end

--- Add rows: at first only the names of their columns are kept.
---@param list stoke.batch.found[]
function Table:add(list)
  for _, found in ipairs(list) do
    for _, name in ipairs(ordered.names(found.input or {})) do note(self.seen, self.inputs, name, self.path) end
    local answer = found.result and found.result.answer
    if type(answer) == "table" and not json.is_array(answer) then
      for _, name in ipairs(ordered.names(answer)) do note(self.fields, self.answers, name, self.path) end
    elseif found.state == "done" then
      self.plain = true
    end
    if found.state == "dead" then self.errors = true end
  end
end

function Table:flush() end -- luacheck: ignore self

local function has(list, name)
  for _, one in ipairs(list) do
    if one == name then return true end
  end
  return false
end

local function cell(value)
  if type(value) ~= "table" or value == json.null then return value end
  return errors.check(json.encode(value))
end

--- The columns: the id where the input has none, those of the input, those of the answers, the error.
local function columns_of(self)
  local list, of = {}, {}
  local function add(name, get)
    while of[name] do name = name .. "_" end
    list[#list + 1], of[name] = name, get
  end
  local inputs = self.first or self.inputs
  if not (self.seen.id or has(inputs, "id")) then add("id", function(found) return found.id end) end
  for _, name in ipairs(inputs) do
    add(name, function(found)
      if found.input and found.input[name] ~= nil then return found.input[name] end
      return name == "id" and found.id or nil
    end)
  end
  for _, name in ipairs(self.answers) do
    add(name, function(found)
      local answer = found.result and found.result.answer
      return type(answer) == "table" and answer[name] or nil
    end)
  end
  if self.plain or #self.answers == 0 then
    add("answer", function(found)
      local answer = found.result and found.result.answer
      if type(answer) == "table" and not json.is_array(answer) and #self.answers > 0 then return nil end
      return answer
    end)
  end
  if self.errors then add("error", function(found) return found.state == "dead" and (found.reason or "dead") or nil end) end
  return list, of
end

--- All rows there are have been added: write them, read once more, beside the file, and put that in its place.
---@param pages fun(): stoke.batch.found[]? the rows again
function Table:finish(pages)
  local list, of = columns_of(self)
  local part, first = self.path .. ".part", true
  for page in pages do
    local rows = {}
    for i, found in ipairs(page) do
      local row = {}
      for _, name in ipairs(list) do row[name] = cell(of[name](found)) end
      rows[i] = row
    end
    local text = csv.encode(rows, { columns = list, header = first, separator = self.separator, formulas = false })
    fs.write(part, text, { append = not first })
    first = false
  end
  if first then fs.write(part, csv.encode({}, { columns = list, separator = self.separator })) end
  fs.rename(part, self.path)
end

-- ---- which one -----------------------------------------------------------------------------------------------------------------

--- The format of an output, by the name of its file.
---@param path string
---@return "jsonl"|"csv"|"tsv"
---Raises `usage`.
function M.format(path)
  local ending = (path:match "%.(%w+)$" or ""):lower()
  if ending == "ndjson" then return "jsonl" end
  if ending == "jsonl" or ending == "csv" or ending == "tsv" then return ending end
  errors.raise("usage", ("%s: a batch writes .jsonl, .csv or .tsv"):format(show.word(path)))
end

--- An output.
---@param path? string nil: JSON lines to standard output
---@param names? string[] the columns of the input, in their order
function M.open(path, names)
  local format = path and M.format(path) or "jsonl"
  if format == "jsonl" then
    if path then fs.write(path, "") end
    return setmetatable({ path = path, held = {}, size = 0 }, Lines)
  end
  return setmetatable({ path = path, separator = format == "tsv" and "\t" or ",", first = names, inputs = {}, answers = {},
    seen = {}, fields = {}, plain = false }, Table)
end

return M
