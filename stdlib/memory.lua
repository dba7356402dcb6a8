--- stoke.memory: what an agent remembers: texts with their time, importance and sources, kept, and found again by what they mean,
--- how long ago they were used, and how much they matter.
---
---     local memory <close> = stoke.memory("ada.memory", { embed = "nomic-embed-text" })
---     memory:add("Ada prefers tea to coffee.", { importance = 4 })
---     for _, found in ipairs(memory:search("what does she drink?", { k = 3 })) do print(found.text, found.score) end
---     local bot = stoke.agent { name = "tutor", model = "qwen2.5:3b", memory = memory } -- recalls, and may remember
---
--- **The score** of a memory is the sum of three numbers, each times its weight (1 unless `weights` says otherwise):
---
---     relevance   the cosine between the vectors of question and memory. Without `embed`: how well its words fit, the best one
---  is 1    recency     0.5 ^ (seconds since it was last used / half_life)
---     importance  from 0 to 10, divided by 10
---
--- (The three of Park et al., "Generative Agents", 2023, on fixed scales: a score does not change with what else is remembered,
--- and where all are equal nothing is divided by zero.) All memories are compared, none is missed; of equal ones the newer comes
--- first.
---
--- **Where it came from** stays with a memory: `origin` is "tool" or "stranger" for what others wrote. An agent is shown memories
--- as notes beside the question, never in its instructions, and those of others are marked. What is concluded from them (`reflect`,
--- `summarize`) has the same origin.

local db = require "stoke.db"
local errors = require "core.errors"
local json = require "stoke.json"
local embed = require "stoke.memory.embed"
local filters = require "stoke.memory.filter"
local origins = require "stoke.memory.origin"
local past = require "stoke.memory.past"
local scopes = require "core.scope"
local search = require "stoke.memory.search"
local tables = require "stoke.db.tables"
local time = require "stoke.time"
local vectors = require "stoke.vectors"
local writing = require "stoke.memory.write"

local M = {}

--- Seconds after which a memory that was not used counts half, where it is not said: three days.
---@private
M.HALF_LIFE = 3 * 24 * 3600
--- Bytes of a text at most.
---@private
M.LONGEST = 16384
--- Texts of one list that are written with one statement.
---@private
M.TOGETHER = 1000

local TABLES = [[
CREATE TABLE IF NOT EXISTS NAME (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  text TEXT NOT NULL,
  key TEXT UNIQUE,                    -- digest of kind, tags, and text without case and spaces: said twice it is one memory
  kind TEXT NOT NULL,
  importance INTEGER NOT NULL CHECK (importance BETWEEN 0 AND 10),
  origin TEXT NOT NULL,               -- who says so: "script", "person", "agent", "tool", "stranger"
  tags TEXT,                          -- JSON
  sources TEXT,                       -- JSON: ids of memories that it was concluded from
  created REAL NOT NULL,              -- seconds since 1970
  used REAL NOT NULL,                 -- when it was last found, at first when it was created
  uses INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_rest ON NAME (importance, used, id);
CREATE INDEX IF NOT EXISTS NAME_created ON NAME (created);
CREATE INDEX IF NOT EXISTS NAME_kind ON NAME (kind);
CREATE TABLE IF NOT EXISTS NAME_tag ( -- tags, to find memories by
  name TEXT NOT NULL,
  value ANY NOT NULL,
  memory INTEGER NOT NULL,
  PRIMARY KEY (name, value, memory)
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS NAME_tag_memory ON NAME_tag (memory);
CREATE VIRTUAL TABLE IF NOT EXISTS NAME_words USING fts5(text, content = 'NAME', content_rowid = 'id',
  tokenize = "unicode61 remove_diacritics 2");
CREATE TABLE IF NOT EXISTS NAME_about ( -- one row: what the memory is
  one INTEGER PRIMARY KEY CHECK (one = 1),
  embed TEXT                          -- the model of its vectors
) STRICT;
CREATE TABLE IF NOT EXISTS NAME_reflected (
  tags TEXT PRIMARY KEY,              -- JSON: of the memories that were reflected on, {} for all
  last INTEGER NOT NULL               -- up to which memory
) STRICT;
INSERT OR IGNORE INTO NAME_about (one, embed) VALUES (1, NULL)]]

--- What stands in the statements that make them, where another table might have the name.
local OWN <const> = { [""] = "uses INTEGER", _words = "fts5(text,",
  _tag = "-- tags, to find", _about = "-- one row: what the memory is",
  _reflected = "-- up to which memory" }

---@class stoke.memory.found
---@field id integer
---@field text string
---@field kind string
---@field importance integer
---@field origin string
---@field tags table<string, string|number|boolean>
---@field sources integer[] memories that it was concluded from
---@field created number seconds since 1970
---@field used number when it was last found
---@field uses integer how often
---@field score? number of a search
---@field relevance? number
---@field recency? number

---@class stoke.memory
---@field half_life number
local Memory = {}
Memory.__index = Memory
Memory.__name = "stoke.memory"

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local OPTIONS = { embed = true, name = "string", half_life = "number", weights = "table", root = "string", create = "boolean",
  history = "boolean" }

--- A statement with the memory's own names of tables.
local function named(self, sql) return (sql:gsub("NAME", self.name)) end

local function check_half_life(what, value)
  if value and not (value > 0 and value < math.huge) then
    errors.argument("%s: half_life must be seconds above 0, got %s", what, tostring(value))
  end
  return value
end

--- The vectors of a memory are of one model.
local function check_model(self)
  local about = self.db:one(named(self, "SELECT embed FROM NAME_about"))
  local name = self.embed and self.embed.name or nil
  if about.embed == name then return end
  if about.embed == nil and self:count() == 0 then
    self.db:exec(named(self, "UPDATE NAME_about SET embed = ?"), name)
  elseif name and about.embed then
    errors.raise("argument", ("%s: its vectors are of the model %s, not of %s"):format(self.path, about.embed, name),
      { hint = ("open it with embed = %q, or make a new one and add the texts again"):format(about.embed) })
  elseif name then
    errors.raise("argument", ("%s: its memories have no vectors"):format(self.path),
      { hint = "open it without embed, or make a new one and add the texts again" })
  end
end

--- Check the options of a memory, without opening it.
---@private
---@param what string
---@param options table|nil
---@return table options
---Raises `argument`.
function M.options(what, options)
  local o = errors.options(options, OPTIONS, what)
  tables.name(what, o.name or "memory")
  check_half_life(what, o.half_life)
  filters.weights(what, o.weights)
  embed.of(o.embed, what)
  return o
end

--- Open a memory.
---@param where? string|stoke.db.database a path, whose file is made when it is not there; an open database, in which the memory
---  stands beside other tables; nil: in memory, until the scope ends
---@param options? { embed?: string|table|fun(texts: string[]): number[][], name?: string, half_life?: number, weights?: table,
---  root?: string, create?: boolean, history?: boolean } embed: the model that makes vectors of texts, or { model =, endpoint = },
---  or a function; without one, words are compared; name: of its tables ("memory"); half_life: seconds (259200); weights: {
---  relevance =, recency =, importance = }; root, create: as db.open; history: what changes is noted, so that memory:back can take
---  it back
---@return stoke.memory
---Raises `argument` (also: its vectors are of another model), `db`, `os`, `denied`, `cancelled`.
---
--- Example: `local diary <close> = stoke.memory.open("ada.memory", { embed = "nomic-embed-text" })`
function M.open(where, options)
  local o = M.options("stoke.memory", options)
  tables.check("stoke.memory: where it is kept", where)
  local name, half_life, embedder = o.name or "memory", o.half_life or M.HALF_LIFE, embed.of(o.embed)
  local weights = filters.weights("stoke.memory", o.weights)
  local database, own = tables.open(where, { root = o.root, create = o.create }, "stoke.memory")
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil and own then database:close() end end })
  local there = tables.check_own("stoke.memory", database, name, OWN)
  local self = setmetatable({ db = database, own = own, path = database.path, name = name, embed = embedder,
    half_life = half_life, weights = weights }, Memory)
  if there[""] and not there._tag then
    require "stoke.memory.older".take_over(self, named(self, TABLES))
  else
    database:exec(named(self, TABLES))
  end
  if o.history then past.open(self) end
  check_model(self)
  if self.embed then self.vectors = vectors(database, { name = name .. "_vectors" }) end
  local _ = guard
  return self
end

--- Is it one?
---@private
---@param value any
---@return boolean
---
--- Example: `print(memory.is(diary))`
function M.is(value) return type(value) == "table" and getmetatable(value) == Memory end

--- Close it; a database that was given stays open. What `<close>` does.
---
--- Example: `diary:close()`
function Memory:close()
  scopes.check_self(self, Memory, "memory:close()")
  if self.vectors then self.vectors:close() end
  if self.own then self.db:close() end
end

Memory.__close = Memory.close

-- ---- what is remembered --------------------------------------------------------------------------------------------------------

local ADD = { kind = "string", importance = "number", origin = "string", tags = "table", sources = "table", created = "number",
  repeats = "boolean", now = "number" }

local function check_text(what, text)
  if type(text) ~= "string" or not text:find "%S" then
    errors.argument("%s: the text must not be empty, got %s", what, errors.describe(text))
  end
  if not utf8.len(text) then errors.argument("%s: the text is not UTF-8", what) end
  if #text > M.LONGEST then
    errors.argument("%s: the text has %d bytes, %d at most; stoke.notes is for documents", what, #text, M.LONGEST)
  end
end

local function check_ids(what, sources)
  errors.list(what, sources)
  for i, id in ipairs(sources) do
    if math.type(id) ~= "integer" then
      errors.argument("%s: [%d] must be the id of a memory, got %s", what, i, errors.describe(id))
    end
  end
end

--- A memory as it is written, and the moment of that.
local function row_of(what, text, given)
  local o = errors.options(given, ADD, what)
  check_text(what, text)
  local importance = o.importance == nil and 5 or math.tointeger(o.importance)
  if not importance or importance < 0 or importance > 10 then
    errors.argument("%s: importance must be a whole number from 0 to 10, got %s", what, tostring(o.importance))
  end
  if o.kind == "" then errors.argument("%s: the kind is empty", what) end
  filters.check_tags(what, o.tags)
  if o.sources then check_ids(what .. ": sources", o.sources) end
  local created, kind = o.created or time.now(), o.kind or "observation"
  local tags = o.tags and next(o.tags) ~= nil and errors.check(json.encode(json.object(o.tags))) or db.null
  return { text = text, key = o.repeats and db.null or writing.key(text, kind, tags), kind = kind,
    importance = importance, origin = origins.check(what, o.origin or "script"), created = created + 0.0, tags = tags,
    sources = o.sources and o.sources[1] and errors.check(json.encode(json.array(o.sources))) or db.null }, (o.now or created) + 0.0
end

--- Remember a text. One that is remembered already, but for case, spaces and the marks at its end, with the same kind and tags, is
--- not added again: it counts as used now, and the greater importance holds; its origin stays.
---@param text string
---@param options? { kind?: string, importance?: integer, origin?: "script"|"person"|"agent"|"tool"|"stranger", tags?: table,
---  sources?: integer[], created?: number, repeats?: boolean, now?: number } kind: "observation"; importance: from 0 to 10 (5);
---  origin: who says so ("script"); tags: fields to find it by; sources: memories that it was concluded from; created: seconds
---  since 1970; repeats: add it also where it is remembered already; now: the moment that memory:back counts (when it was created)
---@return integer id
---@return boolean added false: it was remembered already
---Raises `argument`, `db`, `cancelled`, and what embedding raises.
---
--- Example: `diary:add("Ada asked about fractions.", { importance = 6, tags = { subject = "maths" } })`
function Memory:add(text, options)
  scopes.check_self(self, Memory, "memory:add()")
  local row, now = row_of("memory:add", text, options)
  local vector = self.embed and self.embed.ask({ text })[1]
  local id, added
  self.db:transaction(function(tx)
    id, added = writing.one(self, tx, row, now)
    if vector and added then self.vectors:add(id, vector, { kind = row.kind }) end
  end)
  return id, added
end

--- Remember many at once: all of them or none.
---@param list { text: string, kind?: string, importance?: integer, origin?: string, tags?: table, created?: number }[]
---@return integer[] ids
---Raises as memory:add.
---
--- Example: `diary:add_all { { text = "It rained." }, { text = "The shop was closed.", importance = 3 } }`
function Memory:add_all(list)
  scopes.check_self(self, Memory, "memory:add_all()")
  errors.list("memory:add_all", list)
  local rows, moments, texts, ids = {}, {}, {}, {}
  for i, given in ipairs(list) do
    if type(given) ~= "table" then errors.argument("memory:add_all: entry %d is %s", i, errors.describe(given)) end
    local options = {}
    for name, value in next, given do if name ~= "text" then options[name] = value end end
    rows[i], moments[i] = row_of(("memory:add_all: entry %d"):format(i), given.text, options)
    texts[i] = given.text
  end
  local embedded = self.embed and #texts > 0 and self.embed.ask(texts) or {}
  self.db:transaction(function(tx)
    for first = 1, #rows, M.TOGETHER do
      writing.all(self, tx, rows, moments, first, math.min(first + M.TOGETHER - 1, #rows), ids, embedded)
    end
  end)
  return ids
end

-- ---- what is found -------------------------------------------------------------------------------------------------------------

--- A memory as it is told.
local function told(row)
  row.key = nil
  row.tags = row.tags and json.decode(row.tags) or {}
  row.sources = row.sources and json.decode(row.sources) or {}
  return row
end

--- Memories by their ids, in that order.
local function read(self, ids)
  local by_id, out = {}, {}
  for row in self.db:each(named(self, "SELECT * FROM NAME WHERE id IN (SELECT value FROM json_each(?))"),
    errors.check(json.encode(json.array(ids)))) do
    by_id[row.id] = told(row)
  end
  for _, id in ipairs(ids) do out[#out + 1] = by_id[id] end
  return out
end

--- One memory.
---@param id integer
---@return stoke.memory.found|nil
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `print(diary:get(1).text)`
function Memory:get(id)
  scopes.check_self(self, Memory, "memory:get()")
  if math.type(id) ~= "integer" then errors.argument("memory:get: an id is a whole number, got %s", errors.describe(id)) end
  return read(self, { id })[1]
end

local TOUCH = "UPDATE NAME SET used = max(used, :now), uses = uses + 1 WHERE id IN (SELECT value FROM json_each(:ids))"

--- Find memories, those with the highest score first. They count as used now.
---@param query? string nil: the most recent and important ones
---@param options? { k?: integer, kind?: string|string[], origin?: string|string[], tags?: table, since?: number, before?: number,
---  match?: string, weights?: table, half_life?: number, min?: number, min_relevance?: number, touch?: boolean, now?: number } k:
---  how many at most (5); since, before: when they were created, seconds since 1970; match: words they must have, in the syntax of
---  FTS5; min, min_relevance: leave out lower scores, or what fits the question less; touch = false: they do not count as used;
---  now: what counts as now, by the clock of a world
---@return stoke.memory.found[]
---Raises `argument`, `db`, `cancelled`, and what embedding raises.
---
--- Example: `local found = diary:search("tea", { k = 3, kind = "observation", since = stoke.time.now() - 7 * 24 * 3600 })`
function Memory:search(query, options)
  scopes.check_self(self, Memory, "memory:search()")
  local q = filters.question(self, query, options)
  local hits, ids = search.best(self, q), {}
  for i, hit in ipairs(hits) do ids[i] = hit.id end
  local found, by_id = read(self, ids), {}
  for _, hit in ipairs(hits) do by_id[hit.id] = hit end
  for _, one in ipairs(found) do
    local hit = by_id[one.id]
    one.score, one.relevance, one.recency = hit.score, hit.relevance, hit.recency
  end
  if q.touch and ids[1] then
    self.db:transaction(function(tx)
      past.note(self, tx, q.now, ids)
      tx:exec(named(self, TOUCH), { now = q.now, ids = errors.check(json.encode(json.array(ids))) })
    end)
  end
  return found
end

--- Memories in the order of their time, the newest first. They do not count as used.
---@param options? { k?: integer, kind?: string|string[], origin?: string|string[], tags?: table, since?: number, before?: number,
---  match?: string } k: how many at most (20)
---@return stoke.memory.found[]
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `for _, one in ipairs(diary:list { kind = "insight" }) do print(one.text) end`
function Memory:list(options)
  scopes.check_self(self, Memory, "memory:list()")
  local where, params, k = filters.listing(self, options)
  params.k = k
  local out = {}
  local sql = "SELECT * FROM NAME WHERE " .. where .. " ORDER BY created DESC, id DESC LIMIT :k"
  for row in self.db:each(named(self, sql), params) do
    out[#out + 1] = told(row)
  end
  return out
end

--- How many there are.
---@return integer
---Raises `db`, `cancelled`.
---
--- Example: `print(diary:count())`
function Memory:count()
  scopes.check_self(self, Memory, "memory:count()")
  return self.db:one(named(self, "SELECT count(*) AS n FROM NAME")).n
end

-- ---- what is forgotten ---------------------------------------------------------------------------------------------------------

--- The index of words has no text of its own (and no trigger may write to it: a file from elsewhere could bring one).
local FORGET_WORDS = "INSERT INTO NAME_words (NAME_words, rowid, text) SELECT 'delete', id, text FROM NAME "
  .. "WHERE id IN (SELECT value FROM json_each(?))"

--- Delete some memories, within a transaction.
local function delete_some(self, tx, ids)
  local list = errors.check(json.encode(json.array(ids)))
  tx:exec(named(self, FORGET_WORDS), list)
  tx:exec(named(self, "DELETE FROM NAME_tag WHERE memory IN (SELECT value FROM json_each(?))"), list)
  local gone = tx:exec(named(self, "DELETE FROM NAME WHERE id IN (SELECT value FROM json_each(?))"), list)
  if self.vectors and #ids > 0 then self.vectors:delete(table.unpack(ids)) end
  return gone
end

--- Memories that one statement, and one call, deletes.
local MANY <const> = 10000

--- The same for as many as there are: arguments of a function are not without end.
local function delete(self, tx, ids)
  local gone = 0
  for first = 1, #ids, MANY do
    gone = gone + delete_some(self, tx, table.move(ids, first, math.min(first + MANY - 1, #ids), 1, {}))
  end
  return gone
end

local FORGET = { keep = "number", before = "number", kind = true, origin = true, tags = "table", ids = "table" }

--- Forget memories: those that are named, those that fit, or the least recent and important beyond a number.
---@param options { ids?: integer[], keep?: integer, before?: number, kind?: string|string[], origin?: string|string[], tags?:
---  table } ids: these; keep: as many of those that fit stay, the most recent and important ones; before: created earlier,
---  seconds since 1970
---@return integer forgotten
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `diary:forget { keep = 10000 }`
function Memory:forget(options)
  scopes.check_self(self, Memory, "memory:forget()")
  local o = errors.options(options, FORGET, "memory:forget")
  past.refuse(self, "memory:forget")
  if next(o) == nil then errors.argument "memory:forget: say what: ids, keep, before, kind, origin or tags" end
  if o.keep and not (math.tointeger(o.keep) and o.keep >= 0) then
    errors.argument("memory:forget: keep must be a whole number of at least 0, got %s", tostring(o.keep))
  end
  if o.ids then check_ids("memory:forget: ids", o.ids) end
  local gone = 0
  repeat -- in parts, since a statement takes so many at once
    local ids = o.ids or search.least(self, o, filters)
    if #ids > 0 then self.db:transaction(function(tx) gone = gone + delete(self, tx, ids) end) end
  until o.ids or #ids < search.PART
  return gone
end

--- Take back what was done at a moment or after it: what was added since is gone, and what was found or said again is as it was
--- before. For a memory with `history`, whose times are given (`created`, `now`): of a world that goes back, or was interrupted.
---@param moment number seconds, by the clock of what was added and searched
---@return integer gone memories that are no more
---Raises `argument` (also: the memory has no history), `db`, `cancelled`.
---
--- Example: `diary:back(8 * 3600)`
function Memory:back(moment)
  scopes.check_self(self, Memory, "memory:back()")
  return past.back(self, moment, delete)
end

-- ---- what is concluded ---------------------------------------------------------------------------------------------------------

--- Draw conclusions: where the importance of what came since the last time adds up to a threshold, a model is asked what the newest
--- memories say together. Each insight names the memories it rests on, is a memory of the kind "insight", and has their origin
--- and the tags that all of them have.
---@param options { model: string, tags?: table, threshold?: integer, newest?: integer, insights?: integer, endpoint?: string,
---  sampling?: table|string, texts?: table, now?: number, ready?: fun() } tags: only memories that have these, one user's, say;
---  threshold: of the sum of importance (100); newest: memories that are looked at (40); insights: at most (3); texts: what is said
---  to the model, see stoke.agent.texts; now: when they are created, by the clock of a world; ready: called just before it asks
---@return stoke.memory.found[]|nil insights nil: not enough has come
---@return { text: string, why: string }[]|nil refused those that rest on nothing
---Raises `argument`, `db`, and what agent:run raises.
---
--- Example: `local insights = diary:reflect { model = "qwen2.5:3b" }`
function Memory:reflect(options)
  scopes.check_self(self, Memory, "memory:reflect()")
  return require "stoke.memory.think".reflect(self, options)
end

--- Summarize what is old: memories of the same origin and tags, a few together, are replaced by one of the kind "summary", which
--- has these, too.
---@param options { model: string, before: number, kind?: string|string[], origin?: string|string[], tags?: table, together?:
---  integer, endpoint?: string, sampling?: table|string, texts?: table } before: created earlier, seconds since 1970; tags: only
---  memories that have these; together: how many make one summary (20)
---@return integer summaries how many were written
---@return integer replaced memories that they stand for
---Raises `argument`, `db`, and what agent:run raises.
---
--- Example: `diary:summarize { model = "qwen2.5:3b", before = stoke.time.now() - 30 * 24 * 3600 }`
function Memory:summarize(options)
  scopes.check_self(self, Memory, "memory:summarize()")
  return require "stoke.memory.think".summarize(self, options)
end

--- Two tools for a model: `recall` finds memories, `remember` adds one. What is remembered after a tool, or a memory of others, has
--- told the agent something has the origin "tool" (or "stranger").
---@param options? { k?: integer, kind?: string|string[], tags?: table, origin?: string, min_relevance?: number } k: memories that
---  recall tells (5); kind, tags: of what is recalled; what is remembered gets the tags, too; origin: of what is remembered, at
---  best ("agent"); min_relevance: of what is recalled (0.25; without vectors, one word in common)
---@return stoke.tool[]
---Raises `argument`.
---
--- Example: `local bot = stoke.agent { model = m, tools = diary:tools() }`
function Memory:tools(options)
  scopes.check_self(self, Memory, "memory:tools()")
  return require "stoke.memory.recall".tools(self, options)
end

--- Replace memories by one, in one transaction; for summaries.
---@private
---@param ids integer[]
---@param text string
---@param options table as for memory:add
---@return integer id
---
--- Example: `diary:replace({ 1, 2 }, "It rained for two days.", { kind = "summary" })`
function Memory:replace(ids, text, options)
  past.refuse(self, "memory:summarize")
  local row, now = row_of("memory:replace", text, options)
  local vector = self.embed and self.embed.ask({ text })[1]
  local id
  self.db:transaction(function(tx)
    delete(self, tx, ids)
    local added
    id, added = writing.one(self, tx, row, now)
    if vector and added then self.vectors:add(id, vector, { kind = row.kind }) end
  end)
  return id
end

return setmetatable(M, { __call = function(_, ...) return M.open(...) end })
