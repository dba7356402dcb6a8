--- The history of a memory: how each was before it changed, so that a moment can be gone back to. The moments are those that are
--- given to add and search; in a memory without `history` nothing is noted.

local db = require "stoke.db"
local errors = require "core.errors"
local json = require "stoke.json"

local M = {}

local TABLES = [[
CREATE TABLE IF NOT EXISTS NAME_past (  -- in the order in which it was done
  n INTEGER PRIMARY KEY,
  at REAL NOT NULL,                     -- the moment
  id INTEGER,                           -- which memory changed; NULL: what was reflected on
  used REAL, uses INTEGER, importance INTEGER,  -- as they were before; NULL: the memory is new
  tags TEXT, reflected INTEGER          -- of the memories that were reflected on, and up to which
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_past_at ON NAME_past (at)]]

local function named(memory, sql) return (sql:gsub("NAME", memory.name)) end
local function list(ids) return errors.check(json.encode(json.array(ids))) end

--- Begin to note.
---@param memory stoke.memory
function M.open(memory)
  memory.db:exec(named(memory, TABLES))
  memory.history = true
end

local NOTE = [[INSERT INTO NAME_past (at, id, used, uses, importance) SELECT :at, id, used, uses, importance FROM NAME
  WHERE id IN (SELECT value FROM json_each(:ids)) ORDER BY id]]

--- Some memories are about to change, within a transaction.
---@param memory stoke.memory
---@param tx stoke.db.database
---@param at number
---@param ids integer[]
function M.note(memory, tx, at, ids)
  if memory.history then tx:exec(named(memory, NOTE), { at = at, ids = list(ids) }) end
end

--- Some memories are new, within a transaction.
---@param memory stoke.memory
---@param tx stoke.db.database
---@param at number
---@param ids integer[]
function M.added(memory, tx, at, ids)
  if not memory.history then return end
  tx:exec(named(memory, "INSERT INTO NAME_past (at, id) SELECT :at, value FROM json_each(:ids)"), { at = at, ids = list(ids) })
end

--- What was reflected on is about to change, within a transaction.
---@param memory stoke.memory
---@param tx stoke.db.database
---@param at number
---@param tags string JSON
function M.reflected(memory, tx, at, tags)
  if not memory.history then return end
  tx:exec(named(memory, [[INSERT INTO NAME_past (at, tags, reflected)
    VALUES (:at, :tags, coalesce((SELECT last FROM NAME_reflected WHERE tags = :tags), 0))]]), { at = at + 0.0, tags = tags })
end

--- What is deleted could not come back.
---@param memory stoke.memory
---@param what string
---Raises `argument` where there is a history.
function M.refuse(memory, what)
  if not memory.history then return end
  errors.raise("argument", ("%s: a memory with a history forgets nothing, or it could not go back"):format(what),
    { hint = "open it without history" })
end

-- Of several changes of one memory the first is the one that knows how it was: a bare column beside min(n) is of that row.
local RESTORE = [[
UPDATE NAME SET used = was.used, uses = was.uses, importance = was.importance
  FROM (SELECT id, used, uses, importance, min(n) FROM NAME_past WHERE at >= :at AND used IS NOT NULL GROUP BY id) AS was
  WHERE NAME.id = was.id;
UPDATE NAME_reflected SET last = was.reflected
  FROM (SELECT tags, reflected, min(n) FROM NAME_past WHERE at >= :at AND reflected IS NOT NULL GROUP BY tags) AS was
  WHERE NAME_reflected.tags = was.tags;
DELETE FROM NAME_past WHERE at >= :at]]

--- The next one gets the number that it had.
local SEQUENCE = "UPDATE sqlite_sequence SET seq = (SELECT coalesce(max(id), 0) FROM NAME) WHERE name = 'NAME'"

--- See memory:back.
---@param memory stoke.memory
---@param moment number
---@param delete fun(memory: stoke.memory, tx: stoke.db.database, ids: integer[]): integer
---@return integer gone
function M.back(memory, moment, delete)
  if type(moment) ~= "number" or moment ~= moment then
    errors.argument("memory:back: the moment must be a number of seconds, got %s", errors.describe(moment))
  end
  if not memory.history then
    errors.raise("argument", "memory:back: this memory has no history", { hint = "open it with history = true" })
  end
  local at, gone = moment + 0.0, 0
  memory.db:transaction(function(tx)
    local ids = {}
    for row in tx:each(named(memory, "SELECT id FROM NAME_past WHERE at >= ? AND id > 0 AND used IS NULL ORDER BY n"), at) do
      ids[#ids + 1] = row.id
    end
    if ids[1] then gone = delete(memory, tx, ids) end
    tx:exec(named(memory, RESTORE), { at = at })
    if ids[1] then tx:exec(named(memory, SEQUENCE)) end
  end)
  return gone
end

-- ---- a copy ---------------------------------------------------------------------------------------------------------------------

local COLUMNS = "SELECT name FROM pragma_table_info(?) ORDER BY cid"

--- The rows of one table, as they are, with the statement that writes one of them.
local function rows_of(from, to, tail)
  local names, marks, rows = {}, {}, {}
  for row in from.db:each(COLUMNS, from.name .. tail) do
    names[#names + 1], marks[#marks + 1] = row.name, ":" .. row.name
  end
  for row in from.db:each(("SELECT * FROM %s%s ORDER BY 1"):format(from.name, tail)) do
    for _, name in ipairs(names) do
      if row[name] == nil then row[name] = db.null end
    end
    rows[#rows + 1] = row
  end
  rows.sql = ("INSERT INTO %s%s (%s) VALUES (%s)"):format(to.name, tail, table.concat(names, ", "), table.concat(marks, ", "))
  return rows
end

--- Put all that a memory is, with its history, into an empty one; vectors are made again.
---@param from stoke.memory with a history
---@param to stoke.memory with a history, of the same `embed`
---Raises `db`, `cancelled`, and what embedding raises.
---
--- Example: `past.copy(ada, ada_in_the_branch)`
function M.copy(from, to)
  local parts, texts, vectors = {}, {}, {}
  for i, tail in ipairs { "", "_tag", "_reflected", "_past" } do parts[i] = rows_of(from, to, tail) end
  for i, row in ipairs(to.vectors and parts[1] or {}) do texts[i] = row.text end
  for i, vector in ipairs(texts[1] and to.embed.ask(texts) or {}) do
    vectors[i] = { id = parts[1][i].id, vector = vector, tags = { kind = parts[1][i].kind } }
  end
  to.db:transaction(function(tx)
    for _, part in ipairs(parts) do
      for _, row in ipairs(part) do tx:exec(part.sql, row) end
    end
    tx:exec(named(to, "INSERT INTO NAME_words (rowid, text) SELECT id, text FROM NAME"))
    if vectors[1] then to.vectors:add_all(vectors) end
  end)
end

return M
