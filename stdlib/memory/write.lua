--- How memories are written: the text, its words, its tags, its vector, and that it is new.

local db = require "stoke.db"
local errors = require "core.errors"
local fold = require "stoke.reading.fold"
local json = require "stoke.json"
local past = require "stoke.memory.past"

local M = {}

local function named(self, sql) return (sql:gsub("NAME", self.name)) end

--- What a text is known by: without case, blanks, and the marks that end a sentence.
local function same_as(text) return (fold.key(text):gsub("[.!?,;:]+$", "")) end

--- What a memory is known by: of two with the same key one is remembered.
---@param text string
---@param kind string
---@param tags any JSON, or db.null
---@return string hex
---
--- Example: `local key = writing.key("Ada likes tea.", "fact", db.null)`
function M.key(text, kind, tags) return json.digest { same_as(text), kind, tags } end

local TAGS = "INSERT INTO NAME_tag (name, value, memory) SELECT t.key, t.atom, m.id FROM NAME AS m, json_each(m.tags) AS t"

local INSERT = [[INSERT INTO NAME (text, key, kind, importance, origin, tags, sources, created, used)
  VALUES (:text, :key, :kind, :importance, :origin, :tags, :sources, :created, :created)]]

--- What is remembered already, said again.
local AGAIN = [[UPDATE NAME SET used = max(used, :created), importance = max(importance, :importance) WHERE id = :id]]

--- Write one, within a transaction; its id, and whether it is new, so that its vector is to be added.
---@param self stoke.memory
---@param tx stoke.db.database
---@param row table as memory:add checks it
---@param now number the moment
---@return integer id
---@return boolean added
function M.one(self, tx, row, now)
  local known = row.key ~= db.null and tx:one(named(self, "SELECT id FROM NAME WHERE key = ?"), row.key)
  if known then
    past.note(self, tx, now, { known.id })
    tx:exec(named(self, AGAIN), { id = known.id, created = row.created, importance = row.importance })
    return known.id, false
  end
  local _, id = tx:exec(named(self, INSERT), row)
  tx:exec(named(self, "INSERT INTO NAME_words (rowid, text) VALUES (?, ?)"), id, row.text)
  if row.tags ~= db.null then tx:exec(named(self, TAGS .. " WHERE m.id = :id"), { id = id }) end
  past.added(self, tx, now, { id })
  return id, true
end

local KNOWN = "SELECT id, key FROM NAME WHERE key IN (SELECT value FROM json_each(?))"

local INSERT_ALL = [[INSERT INTO NAME (text, key, kind, importance, origin, tags, sources, created, used)
  SELECT json_extract(r.value, '$.text'), json_extract(r.value, '$.key'), json_extract(r.value, '$.kind'),
  json_extract(r.value, '$.importance'), json_extract(r.value, '$.origin'), json_extract(r.value, '$.tags'),
  json_extract(r.value, '$.sources'), json_extract(r.value, '$.created'), json_extract(r.value, '$.created')
  FROM json_each(:rows) AS r ORDER BY r.key;
  INSERT INTO NAME_words (rowid, text) SELECT id, text FROM NAME WHERE id > :last; ]] .. TAGS .. " WHERE m.id > :last"

local function list_of(values) return errors.check(json.encode(json.array(values))) end

--- Write rows first to last, within a transaction, in a few statements: one for each row would be most of the time.
---@param self stoke.memory
---@param tx stoke.db.database
---@param rows table[]
---@param moments number[]
---@param first integer
---@param last integer
---@param ids integer[] they are put here
---@param embedded number[][] vectors, by the places of the rows
function M.all(self, tx, rows, moments, first, last, ids, embedded)
  local keys, known, fresh, again, vector_rows = {}, {}, {}, {}, {}
  for i = first, last do
    if rows[i].key ~= db.null then keys[#keys + 1] = rows[i].key end
  end
  for row in tx:each(named(self, KNOWN), list_of(keys)) do known[row.key] = row.id end
  local places = {} -- of the new ones in the list
  for i = first, last do
    local key = rows[i].key
    if key ~= db.null and known[key] then
      again[#again + 1] = i
    else
      fresh[#fresh + 1], places[#places + 1] = json.object(rows[i]), i
      if key ~= db.null then known[key] = true end
    end
  end
  local before = tx:one(named(self, "SELECT coalesce(max(id), 0) AS id FROM NAME")).id
  if fresh[1] then tx:exec(named(self, INSERT_ALL), { rows = list_of(fresh), last = before }) end
  local n = 0
  for row in tx:each(named(self, "SELECT id, key FROM NAME WHERE id > ? ORDER BY id"), before) do
    n = n + 1
    local i = places[n]
    ids[i] = row.id
    past.added(self, tx, moments[i], { row.id })
    if row.key then known[row.key] = row.id end
    if embedded[i] then vector_rows[#vector_rows + 1] = { id = row.id, vector = embedded[i], tags = { kind = rows[i].kind } } end
  end
  for _, i in ipairs(again) do
    ids[i] = known[rows[i].key]
    past.note(self, tx, moments[i], { ids[i] })
    tx:exec(named(self, AGAIN), { id = ids[i], created = rows[i].created, importance = rows[i].importance })
  end
  if vector_rows[1] then self.vectors:add_all(vector_rows) end
end

return M
