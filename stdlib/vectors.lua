--- Sets of vectors, in memory or kept in a file: the rows nearest to a vector, exactly. For what a model embeds: notes, memories,
--- documents, questions that were asked before.
---
---     local set <close> = stoke.vectors "notes.vectors"
---     set:add("milk", stoke.ollama.embed("all-minilm", "buy milk")[1], { list = "home" })
---     for _, hit in ipairs(set:search(query, 5, { filter = { list = "home" } })) do print(hit.id, hit.score) end
---
--- A search compares with every vector of the set: nothing is built or trained beforehand, what was just added is found, and no
--- row is missed. In a set of 10,000 rows or more it runs on another thread. All vectors of a set have the same number of numbers,
--- the first one's. They are compared by cosine, or by dot product (`metric = "dot"`, for vectors whose length means something);
--- the distance of vectors of length 1 gives the same order as both. Rows with equal scores come in the order of their adding.
---
--- A vector is an array of numbers, as embed gives it, or a string of `vectors.pack`. An id is an integer or a string, in a file
--- one of UTF-8 without NUL. Tags are a few fields beside it; `filter` takes rows whose fields have these values.
---
--- A set with a path is a database of SQLite (stoke.db); one in an open database stands beside its other tables, and is changed in
--- its transactions. A change is on the disk when the call returns. Several processes may use a file: each search sees what all of
--- them have written. In a run that is journalled a change is done once, and a search gives the same answer again.

local effect = require "core.effect"
local errors = require "core.errors"
local json = require "core.json"
local core = require "core.vectors"
local driver = require "core.driver.vectors"
local scopes = require "core.scope"
local db = require "stoke.db"

local M = {}

--- Pack an array of numbers into a string of f32: 4 bytes a number, where a table takes 16.
---@param vector number[]
---@return string packed
---Raises `argument`.
---
--- Example: `local packed = stoke.vectors.pack { 0.1, 0.2 }`
function M.pack(vector) return core.pack(vector) end

--- The numbers of a packed vector.
---@param packed string
---@return number[]
---Raises `argument`.
---
--- Example: `local numbers = stoke.vectors.unpack(packed)`
function M.unpack(packed) return core.unpack(packed) end

---@class stoke.vectors.hit
---@field id string|integer
---@field score number cosine: from -1 to 1
---@field tags? table<string, string|number|boolean>

---@class stoke.vectors.set
local Set = {}
Set.__index = Set
Set.__name = "stoke.vectors.set"

local OPTIONS = { dim = "number", metric = "string", max_rows = "number", max_bytes = "number", name = "string",
  readonly = "boolean", create = "boolean", root = "string", progress = true }
local SEARCH = { filter = "table", only = "table", min = "number" }

-- ---- the tables of a kept set --------------------------------------------------------------------------------------------------

local TABLES = [[
CREATE TABLE IF NOT EXISTS NAME_set ( -- one row: what the set is
  one INTEGER PRIMARY KEY CHECK (one = 1),
  dim INTEGER NOT NULL,               -- numbers of a vector; 0: no row was added yet
  metric TEXT NOT NULL,
  change INTEGER NOT NULL,            -- raised by each change of the set
  forgotten INTEGER NOT NULL,         -- NAME_gone has the deletions after this change
  rows INTEGER NOT NULL,
  max_rows INTEGER NOT NULL,
  CONSTRAINT NAME_max_rows CHECK (rows <= max_rows)
) STRICT;
CREATE TABLE IF NOT EXISTS NAME (
  place INTEGER PRIMARY KEY AUTOINCREMENT, -- the order of rows with equal scores
  id ANY NOT NULL UNIQUE,
  change INTEGER NOT NULL,            -- the set's, when it was written last
  tags TEXT,                          -- JSON
  vector BLOB NOT NULL                -- f32, the low byte first
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_change ON NAME (change);
CREATE TABLE IF NOT EXISTS NAME_gone ( -- deleted, for processes that have the set in memory
  id ANY PRIMARY KEY NOT NULL,
  change INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_gone_change ON NAME_gone (change);
CREATE TRIGGER IF NOT EXISTS NAME_check BEFORE INSERT ON NAME
WHEN length(new.vector) <> (SELECT dim * 4 FROM NAME_set) BEGIN
  SELECT raise(ABORT, 'another number of numbers');
END;
CREATE TRIGGER IF NOT EXISTS NAME_added AFTER INSERT ON NAME BEGIN
  DELETE FROM NAME_gone WHERE id = new.id;
  UPDATE NAME_set SET rows = rows + 1;
END;
CREATE TRIGGER IF NOT EXISTS NAME_deleted AFTER DELETE ON NAME BEGIN
  INSERT OR REPLACE INTO NAME_gone (id, change) SELECT old.id, change FROM NAME_set;
  UPDATE NAME_set SET rows = rows - 1;
END;
CREATE TRIGGER IF NOT EXISTS NAME_forget AFTER UPDATE OF forgotten ON NAME_set WHEN new.forgotten > old.forgotten BEGIN
  DELETE FROM NAME_gone WHERE change <= new.forgotten;
END;
INSERT INTO NAME_set (one, dim, metric, change, forgotten, rows, max_rows) VALUES (1, :dim, :metric, 1, 0, 0, :max)
ON CONFLICT (one) DO UPDATE SET max_rows = excluded.max_rows]]

local CHANGED = [[
UPDATE NAME_set SET change = change + 1, forgotten = max(forgotten, change - FORGET), dim = iif(dim = 0, :dim, dim);
]]

local ADD = CHANGED .. [[
INSERT INTO NAME (id, change, tags, vector)
SELECT json_extract(r.value, '$.i'), s.change, json_extract(r.value, '$.t'), substr(:vectors, 1 + r.key * :dim * 4, :dim * 4)
FROM NAME_set AS s, json_each(:rows) AS r WHERE true
ON CONFLICT (id) DO UPDATE SET change = excluded.change, tags = excluded.tags, vector = excluded.vector]]

local DELETE = CHANGED:gsub(", dim = iif.-;", ";") .. "DELETE FROM NAME WHERE id IN (SELECT value FROM json_each(:ids))"

--- The statements for tables of this name.
local function named(sql, name) return (sql:gsub("NAME", name):gsub("FORGET", tostring(driver.FORGET))) end

--- A table of that name which is not ours: nothing is written to it.
local function find_tables(self)
  local found = self.db:query("SELECT name FROM sqlite_schema WHERE type = 'table' AND name IN (:name, :set)",
    { name = self.name, set = self.name .. "_set" })
  if #found == 1 then
    errors.raise("db", ("%s: the table %s is not that of a set of vectors"):format(self.path, found[1].name),
      { path = self.path, hint = "choose another with the option name" })
  end
  return found[1] ~= nil
end

--- What an effect is asked with.
local function request(self, q)
  q.db, q.name, q.max_bytes = self.path, self.name, self.max_bytes
  return q
end

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local function whole(value, what, most)
  if value == nil then return nil end
  local integer = math.type(value) and math.tointeger(value)
  if not integer or integer < 1 or integer > most then
    errors.argument("stoke.vectors: %s must be a whole number from 1 to %d, got %s", what, most, tostring(value))
  end
  return integer
end

local function check_options(given)
  local o = errors.options(given, OPTIONS, "stoke.vectors")
  if o.metric and o.metric ~= "cosine" and o.metric ~= "dot" then
    errors.argument("stoke.vectors: the metric is \"cosine\" or \"dot\", got %s", errors.describe(o.metric))
  end
  if o.progress then errors.check_callable(o.progress, "stoke.vectors: progress") end
  return { dim = whole(o.dim, "dim", 16384), metric = o.metric, max_rows = whole(o.max_rows, "max_rows", core.MAX_ROWS),
    max_bytes = whole(o.max_bytes, "max_bytes", 1 << 50), name = o.name or "vectors", readonly = o.readonly, create = o.create,
    root = o.root, progress = o.progress }
end

local function open_kept(where, o)
  local own = type(where) == "string"
  if not o.name:find "^%a[%w_]*$" or #o.name > 60 then
    errors.argument("stoke.vectors: a name is letters, digits and _, got %q", o.name)
  end
  local database = own and db.open(where, { readonly = o.readonly, create = o.create, root = o.root }) or where
  local self = setmetatable({ db = database, stream = database.stream, path = database.path, name = o.name, own = own,
    max_bytes = o.max_bytes, progress = o.progress }, Set)
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil and own then database:close() end end })
  local there = find_tables(self)
  if not there and o.readonly then
    errors.raise("db", ("%s: there is no set of vectors %s in it"):format(self.path, o.name), { path = self.path })
  end
  if not there or o.max_rows and not o.readonly then
    database:exec(named(TABLES, o.name), { dim = o.dim or 0, metric = o.metric or "cosine", max = o.max_rows or core.MAX_ROWS })
  end
  local head = database:one(named("SELECT dim, metric FROM NAME_set", o.name)) or { dim = 0 } -- which vectors.load tells
  if o.metric and head.metric and head.metric ~= o.metric then
    errors.argument("stoke.vectors: the set in %s is compared by %s, not by %s", self.path, head.metric, o.metric)
  end
  if o.dim and head.dim ~= 0 and head.dim ~= o.dim then
    errors.argument("stoke.vectors: the vectors in %s have %d numbers, not %d", self.path, head.dim, o.dim)
  end
  self.dim, self.metric = head.dim ~= 0 and head.dim or nil, head.metric
  errors.check(effect.perform("vectors.load", request(self, {}), self))
  local _ = guard
  return self
end

--- Open a set of vectors.
---@param where? string|stoke.db.database a path, whose file is made when it is not there; or an open database, in which the set
---  stands beside other tables; nil: in memory
---@param options? { dim?: integer, metric?: "cosine"|"dot", max_rows?: integer, max_bytes?: integer, name?: string, readonly?:
---  boolean, create?: boolean, root?: string, progress?: fun(rows: integer, total: integer) } dim: numbers of a vector, by the
---  first one when not given; max_rows: beyond it nothing is added; max_bytes: of memory (2 GiB); name: of the table ("vectors");
---  readonly, create, root: as db.open; progress: told once a second while a file is read
---@return stoke.vectors.set
---Raises `argument`, `db`, `os`, `denied` (a policy), `limit` (the file's set needs more than max_bytes), `cancelled`.
---
--- Example: `local set <close> = stoke.vectors.open("notes.vectors", { max_rows = 100000 })`
function M.open(where, options)
  local o = check_options(options)
  if where == nil then
    return setmetatable({ dim = o.dim, metric = o.metric or "cosine", limits = { metric = o.metric, max_rows = o.max_rows,
      max_bytes = o.max_bytes } }, Set)
  end
  local meta = getmetatable(where)
  if where == ":memory:" or type(where) ~= "string" and not (type(meta) == "table" and meta.__name == "stoke.db.database") then
    errors.argument("stoke.vectors: a path, an open database, or nil for a set in memory; got %s", errors.describe(where))
  end
  return open_kept(where, o)
end

--- Close it; a database that was given stays open. What `<close>` does.
---
--- Example: `set:close()`
function Set:close()
  scopes.check_self(self, Set, "vectors:close()")
  if self.own then self.db:close() end
  if self.memory then self.memory:clear() end
end

Set.__close = Set.close

-- ---- rows ----------------------------------------------------------------------------------------------------------------------

--- The id and the tags, as both kinds of sets take them.
local function check_row(self, id, tags, what)
  if self.db and (type(id) == "string" and (not utf8.len(id) or id:find("\0", 1, true)) or #tostring(id) > 1000) then
    errors.argument("%s: in a file an id is UTF-8 without NUL, at most 1000 bytes, got %s", what, errors.describe(id))
  end
  core.check_row(id, tags, what)
end

--- The vectors of rows as f32, checked against the set; an empty set is for vectors like the first of them, once all are fit.
local function check_vectors(self, rows, name)
  local packed, dim = {}, self.dim
  for i, row in ipairs(rows) do
    packed[i] = core.check_vector(row.vector, dim, self.metric, name(i))
    dim = dim or #packed[i] // 4
  end
  if self.dim or not dim then return packed end
  if not self.db then self.memory = core.new(dim, self.limits) end
  self.dim, self.guessed = dim, self.db ~= nil -- until they are in the file
  return packed
end

--- Errors of the tables, in words of the set.
local function worded(self, err)
  if not errors.is(err) or err.kind ~= "db" then return err end
  if err.code == "SQLITE_CONSTRAINT_CHECK" then
    return errors.new("limit", ("%s: the set is full (max_rows)"):format(self.path),
      { hint = "delete rows, or open it with a larger max_rows", cause = err })
  end
  if err.code == "SQLITE_CONSTRAINT_TRIGGER" then
    return errors.new("argument", ("%s: the vectors of this set have another number of numbers"):format(self.path), { cause = err })
  end
  return err
end

local function change(self, sql, params)
  local ok, changes = pcall(self.db.exec, self.db, named(sql, self.name), params)
  if ok then return changes - 1 end
  if self.guessed then self.dim = nil end
  error(worded(self, changes), 0)
end

-- `name` says in an error where a row came from.
local function add_rows(self, rows, name)
  local list = {}
  for i, row in ipairs(rows) do
    if type(row) ~= "table" then errors.argument("%s is %s", name(i), errors.describe(row)) end
    check_row(self, row.id, row.tags, name(i))
    list[i] = { i = core.plain_id(row.id), t = row.tags and next(row.tags) ~= nil and row.tags or nil }
  end
  local packed = check_vectors(self, rows, name)
  if not self.db then
    for i, row in ipairs(rows) do self.memory:add(row.id, packed[i], row.tags) end
  elseif #rows > 0 then
    change(self, ADD, { dim = self.dim, vectors = db.blob(table.concat(packed)),
      rows = errors.check(json.encode(json.array(list))) })
    self.guessed = nil
  end
end

--- Add rows together: in a file all of them or none. A row whose id is there is replaced.
---@param rows { id: string|integer, vector: number[]|string, tags?: table<string, string|number|boolean> }[]
---Raises `argument` (another number of numbers, one that is not finite, a zero vector by cosine: then none is added), `limit` (the
---set is full), `db` (a full disk: nothing is changed), `denied`, `cancelled`.
---
--- Example: `set:add_all { { id = 1, vector = v1 }, { id = 2, vector = v2, tags = { list = "home" } } }`
function Set:add_all(rows)
  scopes.check_self(self, Set, "vectors:add_all()")
  errors.list("vectors:add_all: the rows", rows)
  add_rows(self, rows, function(i) return "vectors:add_all: row " .. i end)
end

--- Add a row, or replace the one that has this id.
---@param id string|integer
---@param vector number[]|string
---@param tags? table<string, string|number|boolean>
---Raises as add_all.
---
--- Example: `set:add("milk", vector, { list = "home" })`
function Set:add(id, vector, tags)
  scopes.check_self(self, Set, "vectors:add()")
  add_rows(self, { { id = id, vector = vector, tags = tags } }, function() return "vectors:add" end)
end

--- Delete rows.
---@param ... string|integer ids
---@return integer deleted how many of them were there
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `set:delete "milk"`
function Set:delete(...)
  scopes.check_self(self, Set, "vectors:delete()")
  local ids, deleted = table.pack(...), 0
  for i = 1, ids.n do
    check_row(self, ids[i], nil, "vectors:delete")
    ids[i] = core.plain_id(ids[i])
  end
  if not self.db then
    for i = 1, ids.n do deleted = deleted + (self.memory and self.memory:delete(ids[i]) and 1 or 0) end
    return deleted
  end
  ids.n = nil
  return #ids > 0 and change(self, DELETE, { ids = errors.check(json.encode(json.array(ids))) }) or 0
end

--- The vector and the tags of a row.
---@param id string|integer
---@return number[]|nil vector as f32 has it; nil: it is not there
---@return table|nil tags
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `local vector, tags = set:get "milk"`
function Set:get(id)
  scopes.check_self(self, Set, "vectors:get()")
  check_row(self, id, nil, "vectors:get")
  if not self.db then
    local packed, tags = nil, nil
    if self.memory then packed, tags = self.memory:get(id) end
    if not packed then return nil end
    return core.unpack(packed), tags
  end
  local row = self.db:one(named("SELECT vector, tags FROM NAME WHERE id = :id", self.name), { id = core.plain_id(id) })
  if not row then return nil end
  return core.unpack(row.vector), type(row.tags) == "string" and json.decode(row.tags) or nil
end

--- The rows nearest to a vector, the best first.
---@param vector number[]|string
---@param k integer how many at most
---@param options? { filter?: table, only?: (string|integer)[], min?: number } filter: { field = value }, or a list of values of
---  which one is enough; only: look at these ids alone; min: leave out lower scores
---@return stoke.vectors.hit[]
---Raises `argument`, `db`, `limit`, `os` (memory), `cancelled`.
---
--- Example: `local hits = set:search(query, 5, { filter = { list = { "home", "work" } }, min = 0.6 })`
function Set:search(vector, k, options)
  scopes.check_self(self, Set, "vectors:search()")
  options = errors.options(options, SEARCH, "vectors:search")
  core.check_count(k, "vectors:search")
  local packed = core.check_vector(vector, self.dim, self.metric, "vectors:search")
  core.check_search(options, "vectors:search")
  local memory = self.memory
  if not self.db and not memory then return {} end
  if memory and memory:count() < core.LARGE then return memory:search(packed, k, options) end
  return errors.check(effect.perform("vectors.search", request(self, { vector = packed, k = k, filter = options.filter,
    only = options.only, min = options.min }), self))
end

--- How many rows it has.
---@return integer rows
---Raises `db`, `cancelled`.
---
--- Example: `print(set:count())`
function Set:count()
  scopes.check_self(self, Set, "vectors:count()")
  if not self.db then return self.memory and self.memory:count() or 0 end
  local head = self.db:one(named("SELECT rows FROM NAME_set", self.name))
  return head and head.rows or errors.check(effect.perform("vectors.load", request(self, {}), self)).rows
end

--- How much memory it takes.
---@return integer bytes
---Raises `db`, `limit`, `cancelled`.
---
--- Example: `print(set:bytes() // 1024, "KiB")`
function Set:bytes()
  scopes.check_self(self, Set, "vectors:bytes()")
  if not self.db then return self.memory and self.memory:bytes() or 0 end
  return errors.check(effect.perform("vectors.load", request(self, {}), self)).bytes
end

return setmetatable(M, { __call = function(_, ...) return M.open(...) end })
