--- The questions of a graph (stoke.graph): edges of names, neighbourhoods, shortest ways. What is needed of the tables is fetched
--- for many nodes with one statement.

local errors = require "core.errors"
local heaps = require "core.heap"
local json = require "core.json"
local text = require "core.text"

local M = {}

--- Names that a neighbourhood has at most, where it is not said.
M.NEIGHBOURS = 1000
--- Names that the search for a way looks at before it gives up.
M.VISITED = 1000000
--- Nodes whose edges are fetched with one statement.
local BATCH <const> = 256

--- Two nodes become one, within a transaction.
M.MERGE = [[
DELETE FROM NAME_edge WHERE (a = :into AND b = :other) OR (a = :other AND b = :into);
UPDATE OR IGNORE NAME_edge SET a = iif(a = :other, :into, a), b = iif(b = :other, :into, b) WHERE a = :other OR b = :other;
UPDATE NAME_edge AS kept SET weight = max(kept.weight, e.weight) FROM NAME_edge AS e
  WHERE (e.a = :other OR e.b = :other) AND kept.type = e.type
    AND kept.a = iif(e.a = :other, :into, e.a) AND kept.b = iif(e.b = :other, :into, e.b);
INSERT OR IGNORE INTO NAME_source (edge, source) SELECT kept.id, s.source
  FROM NAME_edge AS e JOIN NAME_source AS s ON s.edge = e.id JOIN NAME_edge AS kept ON kept.type = e.type
    AND kept.a = iif(e.a = :other, :into, e.a) AND kept.b = iif(e.b = :other, :into, e.b)
  WHERE e.a = :other OR e.b = :other;
DELETE FROM NAME_edge WHERE a = :other OR b = :other;
UPDATE NAME_name SET node = :into WHERE node = :other;
UPDATE NAME_node SET fields = json_patch((SELECT fields FROM NAME_node WHERE id = :other), fields) WHERE id = :into;
DELETE FROM NAME_node WHERE id = :other]]

local FROM = "SELECT e.id AS id, e.a AS a, e.type AS type, e.b AS b, e.weight AS weight FROM json_each(:ids) AS n"
  .. " JOIN NAME_edge AS e ON e.%s = n.value WHERE (:types IS NULL OR e.type IN (SELECT value FROM json_each(:types)))"
local EDGES = {
  out = FROM:format "a" .. " ORDER BY id",
  ["in"] = FROM:format "b" .. " ORDER BY id",
  both = FROM:format "a" .. " UNION " .. FROM:format "b" .. " ORDER BY id", -- UNION: a loop is found once
  between = FROM:format "a" .. " AND e.b IN (SELECT value FROM json_each(:ids)) ORDER BY id",
}

local SOURCES = "SELECT edge, source FROM NAME_source WHERE edge IN (SELECT value FROM json_each(:ids)) ORDER BY edge, source"

local function list(ids) return errors.check(json.encode(json.array(ids))) end

local function ask(graph, sql, params) return graph.db:each((sql:gsub("NAME_", graph.name .. "_")), params) end

--- Edges that begin ("out") or end ("in") at one of these nodes, or either ("both"), or both ("between"), oldest first.
---@param graph stoke.graph
---@param ids integer[] nodes
---@param q { types?: string[], direction: string }
---@return { id: integer, a: integer, type: string, b: integer, weight: number }[]
function M.edges(graph, ids, q)
  local found = {}
  local params = { ids = list(ids), types = q.types and list(q.types) or json.null }
  for row in ask(graph, EDGES[q.direction], params) do found[#found + 1] = row end
  return found
end

--- The names of nodes, by id.
local function names_of(graph, ids)
  local names = {}
  for row in ask(graph, "SELECT id, name FROM NAME_node WHERE id IN (SELECT value FROM json_each(:ids))", { ids = list(ids) }) do
    names[row.id] = row.name
  end
  return names
end

--- Edges as they are told, with names and sources.
---@param graph stoke.graph
---@param found table[] as M.edges gives them
---@param limit? integer the first of them
---@return stoke.graph.edge[]
function M.described(graph, found, limit)
  local edges, ids, nodes = {}, {}, {}
  for i = 1, math.min(#found, limit or #found) do
    local row = found[i]
    ids[i], nodes[#nodes + 1], nodes[#nodes + 2] = row.id, row.a, row.b
  end
  local names, sources = names_of(graph, nodes), {}
  for row in ask(graph, SOURCES, { ids = list(ids) }) do
    sources[row.edge] = sources[row.edge] or json.array {}
    table.insert(sources[row.edge], row.source)
  end
  for i in ipairs(ids) do
    local row = found[i]
    edges[i] = { from = names[row.a], type = row.type, to = names[row.b], weight = row.weight,
      sources = sources[row.id] or json.array {} }
  end
  return edges
end

--- What is around a node, level by level.
---@param graph stoke.graph
---@param id integer
---@param q { depth?: integer, limit?: integer, types?: string[], direction: string }
---@return { nodes: table[], edges: stoke.graph.edge[] }
function M.neighbourhood(graph, id, q)
  local order, depth_of, level = { id }, { [id] = 0 }, { id }
  local most = q.limit or M.NEIGHBOURS
  for depth = 1, q.depth or 1 do
    local further = {}
    for _, edge in ipairs(M.edges(graph, level, q)) do
      for _, node in ipairs { edge.a, edge.b } do
        if not depth_of[node] and #order < most then
          order[#order + 1], further[#further + 1], depth_of[node] = node, node, depth
        end
      end
    end
    if #further == 0 then break end
    level = further
  end
  local names, nodes = names_of(graph, order), {}
  for _, node in ipairs(order) do
    if names[node] then nodes[#nodes + 1] = { name = names[node], depth = depth_of[node] } end
  end
  local between = M.edges(graph, order, { types = q.types, direction = "between" })
  return { nodes = nodes, edges = M.described(graph, between) }
end

-- ---- shortest ways -------------------------------------------------------------------------------------------------------------

--- Fetch the edges of a node that has come to its turn, and with them those of others that wait for theirs.
local function fetch(graph, q, heap, first, known)
  local ids = { first }
  known[first] = {}
  for i = 1, heap.n do
    if #ids >= BATCH then break end
    local node = heap[i].arg.node
    if not known[node] then ids[#ids + 1], known[node] = node, {} end
  end
  local asked = {}
  for _, id in ipairs(ids) do asked[id] = true end
  local found = M.edges(graph, ids, q)
  local told = q.cost and M.described(graph, found)
  for i, edge in ipairs(found) do
    if told then edge.told = told[i] end
    if q.direction ~= "in" and asked[edge.a] then table.insert(known[edge.a], edge) end
    if q.direction ~= "out" and asked[edge.b] and (edge.a ~= edge.b or q.direction == "in") then
      table.insert(known[edge.b], edge)
    end
  end
end

local function cost_of(edge, q)
  if not q.cost then return 1 end
  local cost = q.cost(edge.told)
  if type(cost) ~= "number" or cost ~= cost or cost < 0 or cost == math.huge then
    errors.argument("graph:path: the cost of %s %s %s must be a number of at least 0, got %s", text.excerpt(edge.told.from, 40),
      text.excerpt(edge.told.type, 40), text.excerpt(edge.told.to, 40), errors.describe(cost))
  end
  return cost
end

--- The way to an entry of the search, from its start.
local function way(graph, entry)
  local rows, ids = {}, {}
  local cost = entry.cost
  while entry.edge do
    table.insert(rows, 1, entry.edge)
    table.insert(ids, 1, entry.node)
    entry = entry.from
  end
  table.insert(ids, 1, entry.node)
  local names = names_of(graph, ids)
  for i, id in ipairs(ids) do ids[i] = names[id] end
  return { names = ids, edges = M.described(graph, rows), cost = cost }
end

--- The entries that an entry of the search leads to, where they are the cheapest way to their node so far.
local function go_on(entry, q, edges, heap, best)
  for _, edge in ipairs(edges) do
    local to = edge.a == entry.node and q.direction ~= "in" and edge.b or edge.a
    local cost = entry.cost + cost_of(edge, q)
    if cost <= (q.within or math.huge) and cost < (best[to] or math.huge) then
      best[to] = cost
      heap:add(cost, nil, { node = to, cost = cost, from = entry, edge = edge })
    end
  end
end

--- The cheapest way (Dijkstra's algorithm).
---@param graph stoke.graph
---@param start integer
---@param goal integer
---@param q { types?: string[], direction: string, cost?: function, within?: number }
---@return table|nil
function M.path(graph, start, goal, q)
  local heap, known, best, visited = heaps.new(), {}, { [start] = 0 }, 0
  heap:add(0, nil, { node = start, cost = 0 })
  while heap.n > 0 do
    local entry = heap:take(math.huge).arg
    local node = entry.node
    if node == goal then return way(graph, entry) end
    if entry.cost == best[node] and known[node] ~= true then
      visited = visited + 1
      if visited > M.VISITED then
        errors.raise("limit", ("graph:path: no way was found among %d names"):format(M.VISITED),
          { hint = "say which types of edges it may take, or `within`" })
      end
      if not known[node] then fetch(graph, q, heap, node, known) end
      go_on(entry, q, known[node], heap, best)
      known[node] = true -- its turn is over
    end
  end
  return nil
end

-- ---- as lines ------------------------------------------------------------------------------------------------------------------

local function fields_of(node)
  local parts, names = {}, {}
  for name in next, node.fields do names[#names + 1] = name end
  table.sort(names)
  for _, name in ipairs(names) do
    local value = node.fields[name]
    parts[#parts + 1] = ("%s: %s"):format(name, type(value) == "string" and value or errors.check(json.encode(value)))
  end
  if node.names[2] then parts[#parts + 1] = "also called " .. table.concat(node.names, ", ", 2) end
  return parts
end

--- A node and what is around it, a line each.
---@param node { name: string, names: string[], fields: table }
---@param around { edges: stoke.graph.edge[] }
---@return string
function M.text(node, around)
  local parts = fields_of(node)
  local lines = { #parts > 0 and ("%s (%s)"):format(node.name, table.concat(parts, "; ")) or node.name }
  for _, edge in ipairs(around.edges) do
    local rests = edge.sources[1] and (" (%s)"):format(table.concat(edge.sources, ", ")) or ""
    lines[#lines + 1] = ("%s %s %s%s"):format(edge.from, edge.type, edge.to, rests)
  end
  for i, line in ipairs(lines) do lines[i] = text.line(line) end
  return table.concat(lines, "\n")
end

return M
