--- The parameters of a statement, checked before it is asked: each has a value, and each value is used.

local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local short = require "core.driver.db.words".short
local sql = require "core.driver.db.sql"

local M = {}

local Blob = { __name = "stoke.db.blob" }

--- Bytes to be stored as a blob.
---@param bytes string
---@return table
---
--- Example: `parameters.blob "\1\2"`
function M.blob(bytes) return setmetatable({ blob = bytes }, Blob) end

local function fail(path, text, what, fields)
  fields.path, fields.sql, fields.code = path, short(text), "SQLITE_RANGE"
  errors.raise("db", ("%s: %s; in: %s"):format(path, what, fields.sql), fields)
end

--- A value as requests have it: plain data.
local function plain(what, name, value)
  local kind = type(value)
  if kind == "string" or kind == "boolean" or value == json.null then return value end
  if kind == "number" then
    if value ~= value then errors.argument("%s: the value of %s is not a number (0/0); a database holds none", what, name) end
    return value
  end
  if getmetatable(value) == Blob then return { blob = value.blob } end
  local mend = kind == "table" and "; store it as text: json.encode(value)" or ""
  errors.argument("%s: the value of %s is %s, which cannot be bound%s", what, name, errors.describe(value), mend)
end

-- ---- by place ------------------------------------------------------------------------------------------------------------------

local function by_place(path, what, text, found, given, n)
  if found.count > 1 and n > 0 then
    errors.argument("%s: a text of several statements takes its values by name: { id = 3 } for :id", what)
  end
  local params = {}
  for i = 1, n do
    if i > found.places then
      fail(path, text, ("%d values are given, and the statement has %s"):format(n, found.places == 0 and "no parameters"
        or found.places == 1 and "one parameter" or found.places .. " parameters"),
        { parameter = "?" .. i, hint = "write a ? in the text for each value" })
    end
    local name = found.signs[i] or "?" .. i
    if given[i] == nil then
      fail(path, text, ("the value of parameter %s is nil"):format(name), { parameter = name, hint = "NULL is stoke.db.null" })
    end
    params[i] = plain(what, name, given[i])
  end
  if n < found.places then
    local name = found.signs[n + 1] or "?" .. n + 1
    fail(path, text, ("parameter %s has no value"):format(name), { parameter = name,
      hint = name:find "^?" and ("%d values are given, and the statement has %d parameters"):format(n, found.places)
        or ("give it by name: { %s = ... }; NULL is stoke.db.null"):format(name:sub(2)) })
  end
  return params[1] ~= nil and params or nil
end

-- ---- by name -------------------------------------------------------------------------------------------------------------------

local function by_name(path, what, text, found, given)
  local params, names = {}, ordered.names(found.names)
  for key, value in next, given do
    local name = type(key) == "string" and key:gsub("^[:@$]", "")
    if not name then errors.argument("%s: values by name and by place in one table: the key %s", what, tostring(key)) end
    if not found.names[name] then
      local near = errors.suggest(name, names)
      fail(path, text, ("the value %s is used by no parameter"):format(name), { parameter = ":" .. name,
        hint = near and ("did you mean %s?"):format(near) or names[1] and "there are :" .. table.concat(names, ", :")
          or ("write :%s in the text"):format(name) })
    end
    params[name] = plain(what, ":" .. name, value)
  end
  for i = 1, found.places do
    local sign = found.signs[i]
    if sign and sign:find "^?" then
      fail(path, text, ("parameter %s has no value"):format(sign),
        { parameter = sign, hint = "values are given by name, so write :name" })
    end
  end
  for _, name in ipairs(names) do
    if params[name] == nil then
      fail(path, text, ("parameter :%s has no value"):format(name), { parameter = ":" .. name, hint = "NULL is stoke.db.null" })
    end
  end
  return params
end

-- ---- the whole call ------------------------------------------------------------------------------------------------------------

local INSTEAD = {
  BEGIN = "db:transaction(function(tx) ... end) begins one, and ends it whatever happens",
  ATTACH = "open the other file by itself: stoke.db.open",
  DETACH = "a database is one file here",
  ["VACUUM INTO"] = "db:backup(path) copies a database",
}
for _, word in ipairs { "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE" } do INSTEAD[word] = INSTEAD.BEGIN end

--- What a text holds, and its values as a request has them.
---@param path string of the database
---@param what string the call
---@param text any
---@param ... any the values
---@return stoke.db.sql found
---@return table|nil params
---Raises `db`, `argument`.
---
--- Example: `local found, params = parameters.check("notes.db", "db:query", "select :a", { a = 1 })`
function M.check(path, what, text, ...)
  if type(text) ~= "string" then errors.argument("%s: the statement must be a string, got %s", what, errors.describe(text)) end
  local found = sql.read(text)
  if found.nul then errors.argument("%s: the statement holds a NUL byte; bind what has one", what) end
  if found.refused then
    errors.raise("argument", ("%s: %s is not for here; in: %s"):format(what, found.refused, short(text)),
      { hint = INSTEAD[found.refused] })
  end
  local n, first = select("#", ...), (...)
  if n == 1 and type(first) == "table" and first ~= json.null and getmetatable(first) ~= Blob then
    if next(first) == nil or first[1] == nil then return found, by_name(path, what, text, found, first) end
    return found, by_place(path, what, text, found, first, first.n or #first)
  end
  return found, by_place(path, what, text, found, { ... }, n)
end

--- The text is not the one statement that is wanted.
function M.one_statement(path, what, text, found)
  if found.count == 0 then errors.argument("%s: the text holds no statement", what) end
  fail(path, text, ("%s takes one statement, and the text holds %d"):format(what, found.count),
    { code = "SQLITE_MISUSE", hint = "db:exec runs several" })
end

return M
