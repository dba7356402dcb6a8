--- stoke.graph: who is what to whom, kept: names, typed edges with a weight and the sources they rest on, paths between names.
---
---     local graph <close> = stoke.graph "people.graph"
---     graph:link("Ada", "wrote to", "Charles", { source = "letter 3" })
---     graph:link("Charles", "built", "the engine")
---     print(table.concat(graph:path("Ada", "the engine").names, " > "))    --> Ada > Charles > the engine
---     graph:merge("Ada", "Lady Lovelace")                                  -- from now on one, by both names
---     graph:extract(letter, { model = "qwen2.5:3b", source = "letter 4" }) -- a model reads the edges out of a text
---
--- Names are the same where they differ in case, spaces, hyphens or accents alone; the first spelling is shown. An edge is from,
--- type and to: linked again, it is the same edge with one more source. A graph is four tables in a database of SQLite, and each
--- question is a few statements over them: nothing is held in memory, several tasks and processes may use it, and a durable run
--- writes once.

local db = require "stoke.db"
local errors = require "core.errors"
local json = require "core.json"
local fold = require "stoke.reading.fold"
local scopes = require "core.scope"
local search = require "stoke.graph.search"
local tables = require "stoke.db.tables"

local M = {}

local TABLES = [[
CREATE TABLE IF NOT EXISTS NAME_node (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  name TEXT NOT NULL,                 -- as it is shown: its first spelling
  fields TEXT NOT NULL DEFAULT '{}'   -- JSON
) STRICT;
CREATE TABLE IF NOT EXISTS NAME_name ( -- all names of all nodes
  key TEXT PRIMARY KEY,               -- without case, spaces and accents
  name TEXT NOT NULL,
  node INTEGER NOT NULL REFERENCES NAME_node (id) ON DELETE CASCADE
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_name_node ON NAME_name (node);
CREATE TABLE IF NOT EXISTS NAME_edge (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  a INTEGER NOT NULL REFERENCES NAME_node (id) ON DELETE CASCADE,
  type TEXT NOT NULL,
  b INTEGER NOT NULL REFERENCES NAME_node (id) ON DELETE CASCADE,
  weight REAL NOT NULL,
  UNIQUE (a, type, b)
) STRICT;
CREATE INDEX IF NOT EXISTS NAME_edge_b ON NAME_edge (b);
CREATE TABLE IF NOT EXISTS NAME_source (
  edge INTEGER NOT NULL REFERENCES NAME_edge (id) ON DELETE CASCADE,
  source ANY NOT NULL,
  PRIMARY KEY (edge, source)
) STRICT, WITHOUT ROWID]]

--- What stands in the statements that make them, where another table might have the name.
local OWN <const> = { _node = "-- as it is shown", _name = "-- without case", _edge = "UNIQUE (a, type, b)",
  _source = "(edge, source)" }

---@class stoke.graph
---@field path_of_file string
local Graph = {}
Graph.__index = Graph
Graph.__name = "stoke.graph"

---@class stoke.graph.edge
---@field from string
---@field type string
---@field to string
---@field weight number
---@field sources (string|integer)[]

--- Longest name, type of an edge, and text of a source, in bytes.
local LONGEST <const> = 1000

-- ---- opening -------------------------------------------------------------------------------------------------------------------

local OPTIONS = { name = "string", readonly = "boolean", create = "boolean", root = "string" }

--- A statement with the graph's own names of tables.
local function named(self, sql) return (sql:gsub("NAME_", self.name .. "_")) end

--- Open a graph.
---@param where? string|stoke.db.database a path, whose file is made when it is not there; an open database, in which the graph
---  stands beside other tables; nil: in memory
---@param options? { name?: string, readonly?: boolean, create?: boolean, root?: string } name: of its tables ("graph"); the
---  others as for db.open
---@return stoke.graph
---Raises `argument`, `db`, `os`, `denied` (a policy), `cancelled`.
---
--- Example: `local people <close> = stoke.graph.open "people.graph"`
function M.open(where, options)
  local o = errors.options(options, OPTIONS, "stoke.graph")
  local name = tables.name("stoke.graph", o.name or "graph")
  tables.check("stoke.graph: where it is kept", where)
  local database, own = tables.open(where, { readonly = o.readonly, create = o.create, root = o.root }, "stoke.graph")
  local self = setmetatable({ db = database, own = own, name = name, path_of_file = database.path }, Graph)
  local guard <close> = setmetatable({}, { __close = function(_, err) if err ~= nil and own then database:close() end end })
  tables.check_own("stoke.graph", database, name, OWN)
  if not o.readonly then database:exec(named(self, TABLES)) end
  local _ = guard
  return self
end

--- Close it; a database that was given stays open. What `<close>` does.
---
--- Example: `people:close()`
function Graph:close()
  scopes.check_self(self, Graph, "graph:close()")
  if self.own then self.db:close() end
end

Graph.__close = Graph.close

-- ---- what is given -------------------------------------------------------------------------------------------------------------

local function check_text(what, value)
  if type(value) ~= "string" or not value:find "%S" then
    errors.argument("%s must be a text, got %s", what, errors.describe(value))
  end
  if not utf8.len(value) or value:find("\0", 1, true) then errors.argument("%s is not UTF-8 without NUL", what) end
  if #value > LONGEST then errors.argument("%s has %d bytes, %d at most", what, #value, LONGEST) end
  return value
end

--- What a name is found by. One that folds to nothing ("---") stands for itself.
local function key_of(name)
  local key = fold.key(name)
  return key ~= "" and key or name
end

local function check_name(what, name) return key_of(check_text(what, name)) end

--- The node of a name, and how it is shown; nil: there is none.
local function node_of(self, key, tx)
  local row = (tx or self.db):one(named(self, [[
    SELECT n.id, n.name, n.fields FROM NAME_name AS k JOIN NAME_node AS n ON n.id = k.node WHERE k.key = ?]]), key)
  return row and row.id, row
end

--- The node of a name; it is made where there is none.
local function make(self, tx, name)
  local key = key_of(name)
  local id = node_of(self, key, tx)
  if id then return id end
  local _, made = tx:exec(named(self, "INSERT INTO NAME_node (name) VALUES (?)"), name)
  tx:exec(named(self, "INSERT INTO NAME_name (key, name, node) VALUES (?, ?, ?)"), key, name, made)
  return made
end

-- ---- names ---------------------------------------------------------------------------------------------------------------------

--- Add a name, or set fields of it: those that are given replace, json.null takes one away, the others stay.
---@param name string
---@param fields? table<string, any> plain data, such as { type = "person", born = 1815 }
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `people:put("Ada", { type = "person" })`
function Graph:put(name, fields)
  scopes.check_self(self, Graph, "graph:put()")
  check_name("graph:put: the name", name)
  if fields ~= nil and (type(fields) ~= "table" or #fields > 0) then
    errors.argument("graph:put: fields must be a table by names, got %s", errors.describe(fields))
  end
  local patch, wrong = json.encode(json.object(fields or {}))
  if not patch then errors.argument("graph:put: the fields of %q: %s", name, wrong.message) end
  self.db:transaction(function(tx)
    tx:exec(named(self, "UPDATE NAME_node SET fields = json_patch(fields, ?) WHERE id = ?"), patch, make(self, tx, name))
  end)
end

--- What is known of a name itself.
---@param name string any of its names
---@return { name: string, names: string[], fields: table }|nil node names: all of them, the one that is shown first
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `print(people:get("lady lovelace").name)`
function Graph:get(name)
  scopes.check_self(self, Graph, "graph:get()")
  local id, row = node_of(self, check_name("graph:get: the name", name))
  if not id then return nil end
  local names = { row.name }
  for _, other in ipairs(self.db:query(named(self, "SELECT name FROM NAME_name WHERE node = ? ORDER BY rowid"), id)) do
    if other.name ~= row.name then names[#names + 1] = other.name end
  end
  return { name = row.name, names = names, fields = json.decode(row.fields) }
end

--- Take a name away, with all its other names and its edges.
---@param name string
---@return boolean removed false: there was none
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `people:remove "Ada"`
function Graph:remove(name)
  scopes.check_self(self, Graph, "graph:remove()")
  local key = check_name("graph:remove: the name", name)
  return self.db:exec(named(self, "DELETE FROM NAME_node WHERE id = (SELECT node FROM NAME_name WHERE key = ?)"), key) > 0
end

--- Say that two names are one: its edges and names go to the one that is kept, whose fields win. Two edges that become one have all
--- the sources, and the greater weight; edges between the two are taken away.
---@param kept string
---@param other string need not be there yet: it is then only one more name
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `people:merge("Ada", "Lady Lovelace")`
function Graph:merge(kept, other)
  scopes.check_self(self, Graph, "graph:merge()")
  check_name("graph:merge: the name", kept)
  local key = check_name("graph:merge: the other name", other)
  self.db:transaction(function(tx)
    local into, from = make(self, tx, kept), node_of(self, key, tx)
    if from == into then return end
    if not from then
      tx:exec(named(self, "INSERT INTO NAME_name (key, name, node) VALUES (?, ?, ?)"), key, other, into)
      return
    end
    tx:exec(named(self, search.MERGE), { into = into, other = from })
  end)
end

-- ---- edges ---------------------------------------------------------------------------------------------------------------------

local LINK = { weight = "number", source = true }

local function check_source(what, source)
  if math.type(source) == "integer" then return source end
  if source ~= nil then check_text(what .. ": the source", source) end
  return source
end

--- Add an edge, with both its names; or a source, or another weight, to the one that is there.
---@param from string
---@param type_of string the type: "knows"
---@param to string
---@param options? { weight?: number, source?: string|integer } weight: how strong it is, 1 for a new edge; source: what it rests on
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `people:link("Ada", "knows", "Charles", { weight = 0.9, source = "letter 3" })`
function Graph:link(from, type_of, to, options)
  scopes.check_self(self, Graph, "graph:link()")
  check_name("graph:link: from", from)
  check_text("graph:link: the type", type_of)
  check_name("graph:link: to", to)
  local o = errors.options(options, LINK, "graph:link")
  local source, weight = check_source("graph:link", o.source), o.weight
  if weight and (weight ~= weight or weight < 0 or weight == math.huge) then
    errors.argument("graph:link: the weight must be a number of at least 0, got %s", tostring(weight))
  end
  self.db:transaction(function(tx)
    local edge = tx:one(named(self, [[
      INSERT INTO NAME_edge (a, type, b, weight) VALUES (:a, :type, :b, coalesce(:weight, 1.0))
      ON CONFLICT (a, type, b) DO UPDATE SET weight = coalesce(:weight, weight) RETURNING id]]),
      { a = make(self, tx, from), type = type_of, b = make(self, tx, to), weight = weight and weight + 0.0 or db.null })
    if source then
      tx:exec(named(self, "INSERT OR IGNORE INTO NAME_source (edge, source) VALUES (?, ?)"), edge.id, source)
    end
  end)
end

--- Take an edge away; both names stay.
---@param from string
---@param type_of string
---@param to string
---@return boolean removed false: there was none
---Raises `argument`, `db`, `denied`, `cancelled`.
---
--- Example: `people:unlink("Ada", "knows", "Charles")`
function Graph:unlink(from, type_of, to)
  scopes.check_self(self, Graph, "graph:unlink()")
  return self.db:exec(named(self, [[
    DELETE FROM NAME_edge WHERE type = :type AND a = (SELECT node FROM NAME_name WHERE key = :a)
      AND b = (SELECT node FROM NAME_name WHERE key = :b)]]), { a = check_name("graph:unlink: from", from),
    type = check_text("graph:unlink: the type", type_of), b = check_name("graph:unlink: to", to) }) > 0
end

-- ---- questions -----------------------------------------------------------------------------------------------------------------

local DIRECTIONS = { out = true, ["in"] = true, both = true }
local QUESTION = { type = true, direction = "string", limit = "number" }

--- The options of a question: which edges it goes along.
local function check_question(what, given, known)
  local o = errors.options(given, known or QUESTION, what)
  local types = o.type
  if type(types) == "string" then types = { types } end
  if types ~= nil then
    errors.list(what .. ": the types", types)
    for _, one in ipairs(types) do check_text(what .. ": a type", one) end
  end
  if o.direction and not DIRECTIONS[o.direction] then
    errors.argument('%s: the direction is "out", "in" or "both", got %s', what, errors.describe(o.direction))
  end
  for _, name in ipairs { "limit", "depth" } do
    local value = o[name]
    if value and (not math.tointeger(value) or value < 1) then
      errors.argument("%s: %s must be a whole number of at least 1, got %s", what, name, tostring(value))
    end
  end
  return { types = types, direction = o.direction or "both", limit = o.limit, depth = o.depth, cost = o.cost, within = o.within }
end

--- The edges of a name.
---@param name string
---@param options? { type?: string|string[], direction?: "out"|"in"|"both", limit?: integer } direction: from it, to it, both
---  (default)
---@return stoke.graph.edge[] edges in the order in which they were added; none for an unknown name
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `for _, edge in ipairs(people:edges("Ada", { direction = "out" })) do print(edge.type, edge.to) end`
function Graph:edges(name, options)
  scopes.check_self(self, Graph, "graph:edges()")
  local id = node_of(self, check_name("graph:edges: the name", name))
  local q = check_question("graph:edges", options)
  if not id then return {} end
  local found = search.edges(self, { id }, q)
  return search.described(self, found, q.limit)
end

local NEAR = { type = true, direction = "string", depth = "number", limit = "number" }

--- All that is within a number of edges of a name.
---@param name string
---@param options? { depth?: integer, type?: string|string[], direction?: "out"|"in"|"both", limit?: integer } depth: edges away
---  (1); limit: of names, the nearest first (1000)
---@return { nodes: { name: string, depth: integer }[], edges: stoke.graph.edge[] } neighbourhood edges: those between its nodes
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `for _, node in ipairs(people:neighbourhood("Ada", { depth = 2 }).nodes) do print(node.depth, node.name) end`
function Graph:neighbourhood(name, options)
  scopes.check_self(self, Graph, "graph:neighbourhood()")
  local id = node_of(self, check_name("graph:neighbourhood: the name", name))
  local q = check_question("graph:neighbourhood", options, NEAR)
  if not id then return { nodes = {}, edges = {} } end
  return search.neighbourhood(self, id, q)
end

local WAY = { type = true, direction = "string", cost = true, within = "number" }

--- The shortest way from one name to another.
---@param from string
---@param to string
---@param options? { type?: string|string[], direction?: "out"|"in"|"both", cost?: fun(edge: stoke.graph.edge): number, within?:
---  number } direction: how edges may be walked ("out"); cost: of an edge, at least 0 (1: the fewest edges); within: what the way
---  may cost at most
---@return { names: string[], edges: stoke.graph.edge[], cost: number }|nil path nil: there is no way; of several equal ones,
---  always the same
---Raises `argument`, `db`, `limit` (more than a million names looked at), `cancelled`, and what `cost` raises.
---
--- Example: `local way = people:path("Ada", "the engine", { cost = function(edge) return 1 / edge.weight end })`
function Graph:path(from, to, options)
  scopes.check_self(self, Graph, "graph:path()")
  local key, other = check_name("graph:path: from", from), check_name("graph:path: to", to)
  local q = check_question("graph:path", options, WAY)
  q.direction = options and options.direction or "out"
  if q.cost ~= nil then errors.check_callable(q.cost, "graph:path: cost") end
  local start, goal = node_of(self, key), node_of(self, other)
  if not start or not goal then return nil end
  return search.path(self, start, goal, q)
end

--- How much it has.
---@return { nodes: integer, edges: integer }
---Raises `db`, `cancelled`.
---
--- Example: `print(people:count().edges)`
function Graph:count()
  scopes.check_self(self, Graph, "graph:count()")
  return self.db:one(named(self, "SELECT (SELECT count(*) FROM NAME_node) AS nodes, (SELECT count(*) FROM NAME_edge) AS edges"))
end

--- All names, in the order in which they were added.
---@param options? { like?: string, limit?: integer } like: a part of a name; limit: 1000
---@return string[]
---Raises `argument`, `db`, `cancelled`.
---
--- Example: `for _, name in ipairs(people:names { like = "ada" }) do print(name) end`
function Graph:names(options)
  scopes.check_self(self, Graph, "graph:names()")
  local o = errors.options(options, { like = "string", limit = "number" }, "graph:names")
  local rows = self.db:query(named(self, [[
    SELECT name FROM NAME_node WHERE :part = '' OR EXISTS (SELECT 1 FROM NAME_name WHERE node = id AND instr(key, :part) > 0)
    ORDER BY id LIMIT :limit]]), { part = o.like and key_of(o.like) or "", limit = o.limit or 1000 })
  for i, row in ipairs(rows) do rows[i] = row.name end
  return rows
end

--- What is known of a name, as lines for a person or a prompt: "Ada knows Charles (letter 3)".
---@param name string
---@param options? table as for graph:neighbourhood
---@return string|nil text nil: nothing is known of it
---Raises as graph:neighbourhood.
---
--- Example: `print(people:text("Ada", { depth = 2 }))`
function Graph:text(name, options)
  scopes.check_self(self, Graph, "graph:text()")
  local node = self:get(name)
  if not node then return nil end
  return search.text(node, self:neighbourhood(name, options))
end

--- Read the edges out of a text, by a model: first who and what it is about, then what it says of them. Only names that stand in
--- the text are taken, and only edges between those.
---@param text string
---@param options { model: string, source?: string|integer, types?: string[], relations?: string[], endpoint?: string, sampling?:
---  table|string, texts?: table<string, string> } source: noted on each edge; types: what the names may be; relations: which
---  types of edges are looked for (by default any); texts: what is said to the model, see stoke.agent.texts
---@return { edges: { from: string, type: string, to: string }[], refused: { name?: string, edge?: table, why: string }[], usage:
---  stoke.usage } extracted edges: those that were added
---Raises `argument`, and what agent:run raises.
---
--- Example: `local found = people:extract(letter, { model = "qwen2.5:3b", source = "letter 4", relations = { "knows", "built" } })`
function Graph:extract(text, options)
  scopes.check_self(self, Graph, "graph:extract()")
  return require "stoke.graph.extract".run(self, text, options)
end

--- A tool with which a model looks up what the graph has of a name.
---@param options? { name?: string, description?: string, depth?: integer, limit?: integer }
---@return stoke.tool
---Raises `argument`.
---
--- Example: `local bot = stoke.agent { model = m, tools = { people:tool() } }`
function Graph:tool(options)
  scopes.check_self(self, Graph, "graph:tool()")
  return require "stoke.graph.extract".tool(self, options)
end

return setmetatable(M, { __call = function(_, ...) return M.open(...) end })
