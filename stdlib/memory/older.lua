--- A memory that was made before its tags had a table of their own, and before kind and tags were a part of what it is known by.

local db = require "stoke.db"
local errors = require "core.errors"
local json = require "stoke.json"
local writing = require "stoke.memory.write"

local M = {}

--- Memories whose keys are made with one statement.
local TOGETHER <const> = 1000

local function named(memory, sql) return (sql:gsub("NAME", memory.name)) end

local TAGS = "INSERT OR IGNORE INTO NAME_tag (name, value, memory) "
  .. "SELECT t.key, t.atom, m.id FROM NAME AS m, json_each(m.tags) AS t"

local NEXT = "SELECT id, text, kind, tags FROM NAME WHERE key IS NOT NULL AND id > ? ORDER BY id LIMIT ?"

-- Of two that only the marks at their ends tell apart the first has the key; the other one stays as it is.
local KEYS = [[UPDATE OR IGNORE NAME SET key = json_extract(k.value, '$[1]') FROM json_each(?) AS k
  WHERE NAME.id = json_extract(k.value, '$[0]')]]

local function make_keys(memory, tx)
  local last = 0
  repeat
    local list = {}
    for i, row in ipairs(tx:query(named(memory, NEXT), last, TOGETHER)) do
      list[i], last = { row.id, writing.key(row.text, row.kind, row.tags or db.null) }, row.id
    end
    if list[1] then tx:exec(named(memory, KEYS), errors.check(json.encode(json.array(list)))) end
  until #list < TOGETHER
end

local HAD = "SELECT 1 AS n FROM pragma_table_info(?) WHERE name = 'reflected'"
local REFLECTED = "INSERT OR IGNORE INTO NAME_reflected (tags, last) SELECT '{}', reflected FROM NAME_about WHERE reflected > 0"

--- Make the tables that are missing, and fill them, in one transaction. Done twice it is as done once: two processes may open the
--- same file.
---@param memory stoke.memory
---@param tables string the statements that make its tables
---Raises `db`, `cancelled`.
---
--- Example: `older.take_over(memory, TABLES)`
function M.take_over(memory, tables)
  memory.db:transaction(function(tx)
    tx:exec(tables)
    tx:exec(named(memory, TAGS))
    make_keys(memory, tx)
    if tx:one(HAD, memory.name .. "_about") then tx:exec(named(memory, REFLECTED)) end
  end)
end

return M
