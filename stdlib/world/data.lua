--- The data of a world: tables, texts, numbers, booleans and json.null, as JSON has them, so that what is written and read back is
--- the same. A state is a tree: no table stands in it twice.

local errors = require "core.errors"
local json = require "stoke.json"
local plain = require "core.journal.plain"

local M = {}

local DEPTH <const> = 200
local null <const> = json.null
local TREE <const> = "tree" -- key in the set of tables that were seen: none may come twice

local function refuse(what, path, depth, problem)
  local parts = {}
  for i = 1, depth do
    local key = path[i]
    parts[i] = math.type(key) == "integer" and ("[%d]"):format(key) or (i > 1 and "." or "") .. tostring(key)
  end
  local place = table.concat(parts)
  errors.raise("argument", ("%s: %s%s"):format(what, place == "" and "it" or place, problem), {
    hint = "texts, numbers that are finite, booleans, lists and tables whose keys are texts; each table in one place" })
end

--- Is the table a list: are its keys 1 to n? Raises where its keys are neither that nor texts.
local function list_of(t, what, path, depth)
  local count, texts = 0, 0
  for key in next, t do
    count = count + 1
    if type(key) == "string" then
      texts = texts + 1
      if not utf8.len(key) then refuse(what, path, depth, " has a key that is not UTF-8") end
    elseif math.type(key) ~= "integer" then
      refuse(what, path, depth, (" has a key that is %s"):format(math.type(key) and tostring(key) or "a " .. type(key)))
    end
  end
  if texts == count then return false end
  if texts > 0 then refuse(what, path, depth, " has both texts and numbers as keys") end
  if #t ~= count or t[1] == nil or t[count] == nil then refuse(what, path, depth, " is a list with gaps") end
  return true
end

local copy

local function copy_table(t, what, path, depth, seen)
  if depth > DEPTH then refuse(what, path, 12, " ... is nested too deep, or contains itself") end
  if seen[t] then refuse(what, path, depth, " is a table that stands in another place, too") end
  seen[t] = true
  local meta = getmetatable(t)
  if meta and not plain.marked(meta) then refuse(what, path, depth, " is an object of a class") end
  local out = {}
  list_of(t, what, path, depth)
  for key, value in next, t do
    path[depth + 1] = key
    out[key] = copy(value, what, path, depth + 1, seen)
  end
  if not seen[TREE] then seen[t] = nil end
  return out
end

function copy(value, what, path, depth, seen)
  local kind = type(value)
  if kind == "table" then return copy_table(value, what, path, depth, seen) end
  if kind == "number" then
    if value ~= value then refuse(what, path, depth, " is not a number (0/0)") end
    if value == math.huge or value == -math.huge then refuse(what, path, depth, " is infinite") end
  elseif kind == "string" then
    if not utf8.len(value) then refuse(what, path, depth, " is a text that is not UTF-8") end
  elseif kind ~= "boolean" and kind ~= "nil" and value ~= null then
    refuse(what, path, depth, " is a " .. kind)
  end
  return value
end

--- A checked copy, without marks of json.array and json.object.
---@param value any
---@param what string for errors: 'world "town": the state'
---@param tree? boolean no table may stand in it twice: what is changed later would be one table before it is kept, and two after
---@return any
---Raises `argument` that names the place of what is no data.
---
--- Example: `local args = data.checked(args, "world:send")`
function M.checked(value, what, tree)
  local kind = type(value)
  if kind == "boolean" or kind == "nil" then return value end
  return copy(value, what, {}, 0, { [TREE] = tree })
end

--- A copy of what was checked before.
---@param value any
---@return any
---
--- Example: `local before = data.copy(member)`
function M.copy(value)
  if type(value) ~= "table" then return value end
  local out = {}
  for key, inner in next, value do out[key] = type(inner) == "table" and M.copy(inner) or inner end
  return out
end

--- Give a table what another one has, and nothing else.
---@param table table
---@param from table
---
--- Example: `data.restore(member, before)`
function M.restore(table, from)
  for key in next, table do table[key] = nil end
  for key, value in next, from do table[key] = value end
end

--- Its text: the same for equal data.
---@param value any
---@param what string
---@param tree? boolean
---@return string
---Raises `argument`.
---
--- Example: `local text = data.encode(state, "the state", true)`
function M.encode(value, what, tree) return json.encode(M.checked(value, what, tree), { max_size = 1 << 30 }) end

--- What a text says.
---@param text string
---@return any
---
--- Example: `local state = data.decode(text)`
function M.decode(text)
  local value = json.decode(text, { max_size = 1 << 30 })
  return type(value) == "table" and M.copy(value) or value
end

--- What a text says that a file has kept.
---@param text string
---@param hint string what can be done where it is damaged
---@param where string as string.format: which text of which file it is
---@param ... any
---@return any
---Raises `db` where it is damaged.
---
--- Example: `local args = data.stored(row.args, "take a copy", "%s: the row %d of its log", path, row.id)`
function M.stored(text, hint, where, ...)
  local ok, value = pcall(M.decode, text)
  if ok then return value end
  if not errors.is(value, "protocol") then error(value, 0) end
  errors.raise("db", ("%s is damaged: %s"):format(where:format(...), value.message), { hint = hint })
end

return M
