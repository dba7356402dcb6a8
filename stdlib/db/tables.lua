--- Where a memory, a graph or notes are kept: the tables of a name in a database, which is opened for them or was given.

local db = require "stoke.db"
local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local schedules = require "core.schedule"

local M = {}

--- Longest name, in bytes.
local LONGEST <const> = 60

--- The name that tables begin with.
---@param what string who asks: "stoke.memory"
---@param name string
---@return string name
---Raises `argument`.
function M.name(what, name)
  if not name:find "^%a[%w_]*$" or #name > LONGEST then
    errors.argument("%s: a name is letters, digits and _, at most %d, got %q", what, LONGEST, name)
  end
  return name
end

--- Is it an open database?
local function is_open(where)
  local meta = getmetatable(where)
  return type(meta) == "table" and meta.__name == "stoke.db.database"
end

--- Check where something is to be kept.
---@param what string
---@param where any a path, an open database, or nil: in memory
---Raises `argument`.
function M.check(what, where)
  if where ~= nil and type(where) ~= "string" and not is_open(where) then
    errors.argument("%s must be a path, an open database, or nil for one in memory; got %s", what, errors.describe(where))
  end
end

--- Open it.
---@param where string|stoke.db.database|nil
---@param options? table of db.open
---@param what? string who asks: "stoke.memory"
---@return stoke.db.database database
---@return boolean own it was opened here, and is to be closed with what is in it
---Raises what db.open raises; `argument` for one in memory in a durable run, which could not go on in another process.
function M.open(where, options, what)
  if is_open(where) then return where, false end
  if where == nil and schedules.any and schedules.own() then
    errors.raise("argument", (what or "it") .. " is in memory, and this run is durable: in another process it would be gone",
      { hint = "give it a file" })
  end
  return db.open(where or ":memory:", options), true
end

--- Are tables of these names there that are of something else? A memory "a_words" has the name of the words of a memory "a".
---@param what string
---@param database stoke.db.database
---@param name string
---@param own table<string, string> what stands in the statement that made a table, by the end of its name
---@return table<string, true> there those that are there, by the ends of their names
---Raises `argument`, `db`, `cancelled`.
function M.check_own(what, database, name, own)
  local names = {}
  for i, tail in ipairs(ordered.names(own)) do names[i] = (name .. tail):lower() end
  local list = errors.check(json.encode(json.array(names)))
  local found = database:query("SELECT name, sql FROM sqlite_master WHERE lower(name) IN (SELECT value FROM json_each(?))", list)
  local there = {}
  for _, row in ipairs(found) do
    local tail = row.name:sub(#name + 1):lower()
    if not (row.sql or ""):find(own[tail], 1, true) then
      errors.raise("argument", ("%s: %s has a table %s of something else"):format(what, database.path, row.name),
        { hint = "give it another name = , or a file of its own" })
    end
    there[tail] = true
  end
  return there
end

return M
