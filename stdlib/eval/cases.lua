--- Cases of an evaluation: a list, or a file of CSV, JSON lines or JSON.

local csv = require "stoke.csv"
local errors = require "core.errors"
local fs = require "stoke.fs"
local json = require "core.json"
local script = require "core.script"
local show = require "stoke.show"
local head = require "core.text".head

local M = {}

---@class stoke.eval.case what a file or a list has besides stays in it: a scorer may use it
---@field id string as given; else made of what is in it, so that the same case has the same one in the next run
---@field input any what the agent, or the function, is given
---@field expected? any
---@field rubric? string|string[] what the judge asks of this case
---@field number integer its place, from 1
---@field label string its id as given, or the beginning of its input
---@field content string a digest of input and expected

--- Cases at most: more are no evaluation that a person waits for.
local MOST <const> = 100000

--- Bytes of an input that stand for a case without an id.
local LABEL <const> = 40

local COLUMNS = { input = "string", expected = "string", id = "string", rubric = "string" }

local READERS = {
  csv = function(text) return (csv.decode(text)) end,
  tsv = function(text) return (csv.decode(text, { separator = "\t" })) end,
  json = function(text) return json.decode(text) end,
}

function READERS.jsonl(text, path)
  local list, number = {}, 0
  for line in (text .. "\n"):gmatch "(.-)\r?\n" do
    number = number + 1
    if line:find "%S" then
      local value, err = json.decode(line)
      if err then errors.raise("protocol", ("%s:%d: %s"):format(path, number, err.message), { hint = "one JSON object a line" }) end
      list[#list + 1] = value
    end
  end
  return list
end
READERS.ndjson = READERS.jsonl

--- Where a file is: beside the script, else in the present folder.
local function find(path)
  local folder = path:sub(1, 1) ~= "/" and script.path and script.path:match "^(.*/)[^/]*$"
  if folder and fs.stat(folder .. path) then return folder .. path end
  return path
end

local function read(where, path)
  local ending = path:match "%.(%w+)$"
  local reader = ending and READERS[ending:lower()]
  if not reader then
    errors.argument("%s: cases must be a list, or a file .csv, .tsv, .jsonl or .json, got %q", where, path)
  end
  local found = find(path)
  local list, err = reader(fs.read(found), found)
  if err then errors.raise("protocol", ("%s: %s"):format(found, err.message)) end
  return list, found
end

--- One case, as a table of its own.
local function one(what, given, columns)
  if type(given) == "string" then given = { input = given } end
  if type(given) ~= "table" then errors.argument("%s must be a table with `input`, got %s", what, errors.describe(given)) end
  local case = {}
  for name, value in next, given do
    if value ~= json.null then case[name] = value end
  end
  for name, column in next, columns do case[name] = given[column] end
  if case.input == nil or case.input == "" then
    local names = {}
    for name in next, given do names[#names + 1] = tostring(name) end
    table.sort(names)
    errors.raise("argument", ("%s has no %s; it has %s"):format(what, columns.input or "input",
      names[1] and table.concat(names, ", ") or "nothing"), { hint = 'columns = { input = "question", expected = "answer" } names '
      .. "them otherwise" })
  end
  return case
end

local function content(what, case)
  local digest, err = json.digest { case.input, case.expected == nil and json.null or case.expected }
  if not digest then errors.argument("%s: input and expected must be what JSON can say: %s", what, err.message) end
  return digest
end

--- Its id; what has none gets one of its content, and a second one of the same content another.
local function identify(what, case, seen)
  local id = case.id
  if id == nil then
    id = case.content:sub(1, 10)
    local times = 1
    while seen[times == 1 and id or id .. "-" .. times] do times = times + 1 end
    case.id = times == 1 and id or id .. "-" .. times
    local text = type(case.input) == "string" and case.input or json.encode(case.input) or ""
    case.label = show.quoted(head(text:gsub("%s+", " "), LABEL) .. (#text > LABEL and "..." or ""))
  else
    if type(id) ~= "string" and math.type(id) ~= "integer" or id == "" then
      errors.argument("%s: the id must be a text or a whole number, got %s", what, errors.describe(id))
    end
    case.id, case.label = tostring(id), tostring(id)
    if seen[case.id] then errors.argument("%s: case %d has the id %s, too", what, seen[case.id], case.id) end
  end
  seen[case.id] = case.number
end

--- The cases.
---@param where string
---@param given table[]|string a list, or the path of a file
---@param columns? table<string, string> what a file calls input, expected, id, rubric
---@return stoke.eval.case[]
---Raises `argument`, `protocol` for a file that is damaged, `os`, `denied`.
---
--- Example: `local list = cases.list("stoke.eval", { { input = "2 + 2", expected = "4" } })`
function M.list(where, given, columns)
  columns = errors.options(columns, COLUMNS, where .. ": columns")
  local from = where .. ": cases"
  if type(given) == "string" then given, from = read(where, given) end
  errors.list(from, given)
  if #given == 0 then errors.argument("%s: there are no cases", from) end
  if #given > MOST then errors.argument("%s: %d cases, more than %d", from, #given, MOST) end
  local list, seen = {}, {}
  for i, value in ipairs(given) do
    local what = ("%s[%d]"):format(from, i)
    local case = one(what, value, columns)
    case.number, case.content = i, content(what, case)
    identify(what, case, seen)
    list[i] = case
  end
  return list
end

return M
