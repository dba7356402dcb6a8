--- The edges of a graph (stdlib/team/graph.lua): its options, checked, and who is next.

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

-- ---- a run -----------------------------------------------------------------------------------------------------------------

--- Which edges lead on from a member that has said this.
---@param team table
---@param talk stoke.team.talk
---@param member stoke.agent
---@param text string
---@return table[] edges
function M.follow(team, talk, member, text)
  local out = {}
  for _, edge in ipairs(team.edges) do
    if edge.from == member.name and (not edge.when or edge.when(text, talk)) then out[#out + 1] = edge end
  end
  return out
end

--- Something has come to a member: is it ready? One that waits for all has to hear from each of those before it.
---@param team table
---@param state table
---@param edge table
---@param text string
---@return boolean
function M.arrive(team, state, edge, text)
  local came = state.came[edge.to]
  for i, one in ipairs(came) do
    if one.name == edge.from then table.remove(came, i) break end -- the newest counts
  end
  came[#came + 1] = { name = edge.from, text = text }
  return team.join[edge.to] ~= "all" or #came >= #team.before[edge.to]
end

--- The members that are next, in their order; those that have worked too often are left out, and those beyond the last message.
---@param talk stoke.team.talk
---@param team table
---@param state table
---@param names table<string, true>
---@return stoke.agent[] members
---@return string|nil tired one of those that have worked too often
function M.ready(talk, team, state, names)
  local list, tired, left = {}, nil, talk:most() - #talk.turns
  for _, member in ipairs(team.members) do
    if names[member.name] and #list < left then
      if (state.visits[member.name] or 0) < team.max_visits then list[#list + 1] = member else tired = tired or member.name end
    end
  end
  return list, tired
end

--- The members to whom something has come, and which still wait.
---@param team table
---@param state table
---@return string[]|nil names nil: none
function M.waiting(team, state)
  local names = {}
  for _, member in ipairs(team.members) do
    if state.came[member.name][1] then names[#names + 1] = member.name end
  end
  return names[1] and names or nil
end

return M
