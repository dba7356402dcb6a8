--- The options of a graph (stdlib/team/graph.lua), checked: edges, joins, and with whom it begins.

local errors = require "core.errors"
local make = require "stoke.team.make"

local M = {}

--- How often a member works in a run, where the graph does not say.
local VISITS <const> = 5

local function add_edge(team, where, given)
  for key in next, type(given) == "table" and given or { false } do
    if type(given) ~= "table" or key ~= 1 and key ~= 2 and key ~= "when" then
      errors.argument("%s must be { \"from\", \"to\", when = f }, got %s", where, type(given) == "table"
        and "the key " .. tostring(key) or errors.describe(given))
    end
  end
  if given.when ~= nil then errors.check_callable(given.when, where .. ".when") end
  local edge = { from = make.check_name(team, where, given[1]), to = make.check_name(team, where, given[2]), when = given.when }
  table.insert(team.edges, edge)
  for _, name in ipairs(team.before[edge.to]) do
    if name == edge.from then return end
  end
  table.insert(team.before[edge.to], edge.from)
end

--- Read them into the definition of a team.
---@param team table
---@param given table
---@param where string
---Raises `argument`.
function M.read(team, given, where)
  make.whole(where, "max_visits", given.max_visits, 1)
  if not given.edges then errors.argument("%s: edges is missing: { { \"writer\", \"critic\" } }", where) end
  team.edges, team.before, team.join, team.begin = {}, {}, {}, {}
  team.max_visits = given.max_visits or VISITS
  for _, member in ipairs(team.members) do team.before[member.name] = {} end
  errors.list(where .. ": edges", given.edges)
  for i, edge in ipairs(given.edges) do add_edge(team, ("%s: edges[%d]"):format(where, i), edge) end
  for name, how in next, given.join or {} do
    make.check_name(team, where .. ": join", name)
    if how ~= "any" and how ~= "all" then
      errors.argument("%s: join.%s must be \"any\" or \"all\", got %s", where, name, errors.describe(how))
    end
    team.join[name] = how
  end
  local begin = type(given.begin) == "string" and { given.begin } or given.begin
  errors.list(where .. ": begin", begin or {})
  for _, name in ipairs(begin or {}) do team.begin[make.check_name(team, where .. ": begin", name)] = true end
  for _, member in ipairs(team.members) do
    if not begin and not team.before[member.name][1] then team.begin[member.name] = true end
  end
  if not next(team.begin) then
    errors.argument("%s: every member comes after another one; say with whom it begins: begin = %q", where, team.members[1].name)
  end
end

return M
