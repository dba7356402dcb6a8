--- What notes keep: files, their passages, an index of words and a set of vectors; and how it follows the texts.
---
--- A file whose size and times are as they were is not read. One that was read, and has the text it had, is left as it is. Of what
--- has changed, some files at a time are cut, embedded and written in one transaction: whatever ends the work, the index is whole,
--- and the next time goes on from there.

local agent_texts = require "stoke.agent.texts"
local chunk = require "stoke.notes.chunk"
local errors = require "core.errors"
local json = require "core.json"
local progress = require "stoke.tool.progress"
local reader = require "stoke.notes.read"
local tables = require "stoke.db.tables"
local terms = require "core.text"
local time = require "stoke.time"
local vectors = require "stoke.vectors"

local M = {}

--- Passages that are embedded and written together, at least. A model on a slow machine embeds some a second: what it has done is
--- to be kept, and told, soon.
local TOGETHER <const> = 64
--- Files of which none is in the folder any more: this is an index of something else.
local OTHER <const> = 10

local TABLES = [[
CREATE TABLE IF NOT EXISTS NAME_files (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL UNIQUE,          -- its path below the folder, or the name of a text
  stamp TEXT,                         -- its size and times when it was read; NULL: it is read again
  digest TEXT,                        -- of its text
  why TEXT,                           -- why there is no text of it
  passages INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS NAME (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  file INTEGER NOT NULL,
  part INTEGER NOT NULL,              -- its place in the file
  first INTEGER NOT NULL,             -- number of its first line
  last INTEGER NOT NULL,
  heading TEXT NOT NULL,
  text TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS NAME_file ON NAME (file, part);
CREATE VIRTUAL TABLE IF NOT EXISTS NAME_words USING fts5(heading, text, content = 'NAME', content_rowid = 'id',
  tokenize = "unicode61 remove_diacritics 2");
CREATE TABLE IF NOT EXISTS NAME_about ( -- one row: how it was made
  one INTEGER PRIMARY KEY CHECK (one = 1),
  embed TEXT,                         -- the model of its vectors
  cut TEXT                            -- how texts are cut and embedded
) STRICT;
INSERT OR IGNORE INTO NAME_about (one, embed, cut) VALUES (1, NULL, NULL)]]

--- What stands in the statements that make them, where another table might have the name.
local OWN <const> = { _files = "-- why there is no text of it", [""] = "-- its place in the file", _words = "fts5(heading,",
  _about = "-- one row: how it was made" }

local DROP = [[
DROP TABLE IF EXISTS NAME_files; DROP TABLE IF EXISTS NAME_words; DROP TABLE IF EXISTS NAME; DROP TABLE IF EXISTS NAME_about;
DROP TABLE IF EXISTS NAME_vectors; DROP TABLE IF EXISTS NAME_vectors_set; DROP TABLE IF EXISTS NAME_vectors_gone]]

--- A statement with the names of these tables.
---@param self stoke.notes
---@param sql string
---@return string
function M.named(self, sql) return (sql:gsub("NAME", self.name)) end

local named = M.named

local function list(values) return errors.check(json.encode(json.array(values))) end

-- ---- opening -------------------------------------------------------------------------------------------------------------------

--- The vectors are of one model.
local function check_model(self)
  local about = self.db:one(named(self, "SELECT embed FROM NAME_about"))
  local name = self.embed and self.embed.name or nil
  if about.embed == name then return end
  local count = self.db:one(named(self, "SELECT count(*) AS n FROM NAME")).n
  if count == 0 then return self.db:exec(named(self, "UPDATE NAME_about SET embed = ?"), name or json.null) end
  local has = about.embed and "its vectors are of the model " .. about.embed or "it has no vectors"
  errors.raise("argument", ("%s: %s, and embed is %s"):format(self.path, has, name or "not given"),
    { hint = "open it as it was made, or with rebuild = true" })
end

--- Where texts are cut or embedded otherwise than before, all of them are read again.
local function check_cut(self)
  local template = agent_texts.template("notes_passage", self.texts)
  if type(template) ~= "string" then template = "a function" end -- which has another address in each process
  local cut = ("1 %d %d %s"):format(self.bytes, self.overlap, self.embed and template or "")
  local about = self.db:one(named(self, "SELECT cut FROM NAME_about"))
  if about.cut == cut then return end
  self.db:exec(named(self, "UPDATE NAME_files SET stamp = NULL, digest = NULL; UPDATE NAME_about SET cut = :cut"), { cut = cut })
end

--- Make the tables, or find them as they should be.
---@param self stoke.notes
---@param rebuild boolean|nil
---Raises `argument`, `db`, `cancelled`.
function M.open(self, rebuild)
  tables.check_own("stoke.notes", self.db, self.name, OWN)
  if rebuild then self.db:exec(named(self, DROP)) end
  self.db:exec(named(self, TABLES))
  check_model(self)
  check_cut(self)
  if self.embed then self.vectors = vectors(self.db, { name = self.name .. "_vectors" }) end
end

-- ---- writing -------------------------------------------------------------------------------------------------------------------

local PUT = [[INSERT INTO NAME_files (name, stamp, digest, why, passages) VALUES (:name, :stamp, :digest, :why, :passages)
  ON CONFLICT (name) DO UPDATE SET stamp = excluded.stamp, digest = excluded.digest, why = excluded.why,
  passages = excluded.passages RETURNING id]]

local CLEAR = [[INSERT INTO NAME_words (NAME_words, rowid, heading, text) SELECT 'delete', id, heading, text FROM NAME
  WHERE file = :file; DELETE FROM NAME WHERE file = :file]]

local ADD = [[INSERT INTO NAME (file, part, first, last, heading, text) SELECT :file, key + 1, json_extract(value, '$.f'),
  json_extract(value, '$.l'), json_extract(value, '$.h'), json_extract(value, '$.t') FROM json_each(:passages);
  INSERT INTO NAME_words (rowid, heading, text) SELECT id, heading, text FROM NAME WHERE file = :file]]

local function ids_of(self, tx, file)
  local ids = {}
  for row in tx:each(named(self, "SELECT id FROM NAME WHERE file = ? ORDER BY part"), file) do ids[#ids + 1] = row.id end
  return ids
end

--- Take the passages of a file out, within a transaction.
local function clear(self, tx, file)
  local ids = ids_of(self, tx, file)
  if not ids[1] then return end
  tx:exec(named(self, CLEAR), { file = file })
  for first = 1, self.vectors and #ids or 0, 500 do
    self.vectors:delete(table.unpack(ids, first, math.min(first + 499, #ids)))
  end
end

--- Write a file and its passages, within a transaction. `vector` is the place of its first vector.
local function put(self, tx, one, embedded, vector)
  local null = json.null
  if one.id then return tx:exec(named(self, "UPDATE NAME_files SET stamp = ? WHERE id = ?"), one.stamp or null, one.id) end
  local file = tx:one(named(self, PUT), { name = one.name, stamp = one.stamp or null, digest = one.digest or null,
    why = one.why or null, passages = #one.passages }).id
  clear(self, tx, file)
  if not one.passages[1] then return end
  local rows = {}
  for i, passage in ipairs(one.passages) do
    rows[i] = json.object { f = passage.first, l = passage.last, h = passage.heading, t = passage.text }
  end
  tx:exec(named(self, ADD), { file = file, passages = list(rows) })
  if not embedded then return end
  local ids = ids_of(self, tx, file)
  for i, id in ipairs(ids) do ids[i] = { id = id, vector = embedded[vector + i - 1], tags = { file = file } } end
  self.vectors:add_all(ids)
end

--- What is embedded of a passage.
local function words_of(self, passage)
  return terms.trim(agent_texts.of("notes_passage", self.texts, { heading = passage.heading, text = passage.text }))
end

--- Embed and write what waits.
local function flush(self, waiting)
  local inputs, embedded = {}, nil
  for _, one in ipairs(self.embed and waiting or {}) do
    for _, passage in ipairs(one.passages) do inputs[#inputs + 1] = words_of(self, passage) end
  end
  if self.embed then embedded = inputs[1] and self.embed.ask(inputs) or {} end
  self.db:transaction(function(tx)
    local vector = 1
    for _, one in ipairs(waiting) do
      put(self, tx, one, embedded, vector)
      vector = vector + #one.passages
    end
  end)
end

-- ---- following the texts -------------------------------------------------------------------------------------------------------

local function known_files(self)
  local known, count = {}, 0
  for row in self.db:each(named(self, "SELECT id, name, stamp, digest, why FROM NAME_files")) do
    known[row.name], count = row, count + 1
  end
  return known, count
end

--- An index of other texts is not emptied for these.
local function check_same(self, entries, known, count)
  if self.seen or count < OTHER then return end
  for _, entry in ipairs(entries) do
    if known[entry.name] then return end
  end
  errors.raise("argument", ("%s: it is about other texts: %s and %d more, of which none is in %s"):format(self.path, next(known),
    count - 1, self.folder or "the list"), { hint = "give each folder a file (or name) of its own, or say rebuild = true" })
end

--- What has come of an entry: nil where it is as it was. One with an id has the text it had.
local function changed(self, entry, row)
  if row and entry.stamp and row.stamp == entry.stamp then return nil end
  local text, why = reader.text(self, entry)
  local digest = text and json.digest(text)
  if row and row.digest == digest and row.why == why then
    return row.stamp ~= entry.stamp and { name = entry.name, id = row.id, stamp = entry.stamp, why = why, passages = {} } or nil
  end
  return { name = entry.name, stamp = entry.stamp, digest = digest, why = why, passages = text and chunk.cut(text,
    { bytes = self.bytes, overlap = self.overlap, headed = reader.headed(entry.name) }) or {} }
end

--- Tell how far it is, at most once a second.
local function teller(self, total)
  local last = self.progress and time.monotonic()
  return function(done, name)
    progress.say("reads " .. name, done, total)
    if not last or time.monotonic() - last < 1 then return end
    last = time.monotonic()
    self.progress(done, total, name)
  end
end

--- Delete what is no longer there.
local function remove(self, gone)
  self.db:transaction(function(tx)
    for _, row in ipairs(gone) do
      clear(self, tx, row.id)
      tx:exec(named(self, "DELETE FROM NAME_files WHERE id = ?"), row.id)
    end
  end)
end

local function gone_of(self, known, report)
  local gone = {}
  for _, row in next, known do gone[#gone + 1] = row end
  table.sort(gone, function(x, y) return x.id < y.id end)
  for _, row in ipairs(gone) do report.gone[#report.gone + 1] = row.name end
  if gone[1] then remove(self, gone) end
end

--- What has come of a file, for the report.
local function note(report, name, row, one)
  local why = row and not one and row.why or one and one.why
  if why then
    report.skipped[#report.skipped + 1] = { file = name, why = why }
  elseif not one or one.id then
    report.same = report.same + 1
  else
    local names = row and not row.why and report.changed or report.added
    names[#names + 1] = name
  end
end

--- Read what is new or has changed, and take out what is gone.
---@param self stoke.notes
---@return stoke.notes.report
---@return string[] folders
---Raises `argument`, `os`, `limit`, `db`, `denied`, `cancelled`, and what embedding raises.
function M.refresh(self)
  local entries, folders = self.list, {}
  if self.folder then entries, folders = reader.folder(self, time.now()) end
  local known, count = known_files(self)
  check_same(self, entries, known, count)
  local report = { added = {}, changed = {}, gone = {}, same = 0, skipped = {} }
  local waiting, passages, tell = {}, 0, teller(self, #entries)
  for i, entry in ipairs(entries) do
    local row = known[entry.name]
    known[entry.name] = nil
    local one = changed(self, entry, row)
    note(report, entry.name, row, one)
    if one then waiting[#waiting + 1], passages = one, passages + #one.passages end
    if passages >= TOGETHER or #waiting >= TOGETHER then
      flush(self, waiting)
      waiting, passages = {}, 0
      tell(i, entry.name)
    end
  end
  if waiting[1] then flush(self, waiting) end
  gone_of(self, known, report)
  self.seen = true
  return report, folders
end

return M
