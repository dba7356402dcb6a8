--- The grid of an evaluation: what is varied, each combination a variant, and the agent with its settings.

local agent = require "stoke.agent"
local errors = require "core.errors"
local json = require "core.json"
local ordered = require "core.ordered"
local show = require "stoke.show"

local M = {}

---@class stoke.eval.variant
---@field set table<string, string|number|boolean> name -> value
---@field names string[] of the whole grid, `model` first
---@field key string the same settings have the same one, in each run
---@field label string in words

--- Variants at most.
local MOST <const> = 200

--- What is varied of an agent itself; all else is an option of its calls.
local OF_AGENT = { model = true, endpoint = true, think = true, instructions = true, max_steps = true, repair = true,
  sampling = true, route = true }

local function sorted(names)
  local list = ordered.names(names)
  for i, name in ipairs(list) do
    if name == "model" then table.insert(list, 1, table.remove(list, i)) end
  end
  return list
end

local function check_value(where, name, value)
  local kind = type(value)
  if kind ~= "string" and kind ~= "boolean" and not (kind == "number" and value == value and math.abs(value) ~= math.huge) then
    errors.argument("%s: the values of %s must be texts, numbers or booleans, got %s", where, tostring(name),
      errors.describe(value))
  end
  return value
end

--- Each value with each.
local function product(where, grid)
  local sets, names = { {} }, sorted(grid)
  for _, name in ipairs(names) do
    local values, more = grid[name], {}
    errors.list(("%s: grid.%s"):format(where, tostring(name)), values)
    if #values == 0 then errors.argument("%s: grid.%s is empty", where, name) end
    for _, set in ipairs(sets) do
      for _, value in ipairs(values) do
        local with = { [name] = check_value(where, name, value) }
        for other, known in next, set do with[other] = known end
        more[#more + 1] = with
      end
    end
    sets = more
    if #sets > MOST then errors.argument("%s: the grid has more than %d variants", where, MOST) end
  end
  return sets, names
end

local function given_sets(where, grid)
  local sets, all = {}, {}
  errors.list(where .. ": grid", grid)
  for i, set in ipairs(grid) do
    if type(set) ~= "table" then errors.argument("%s: grid[%d] must be a table, got %s", where, i, errors.describe(set)) end
    sets[i] = {}
    for name, value in next, set do
      if type(name) ~= "string" then errors.argument("%s: grid[%d] must be a table by names", where, i) end
      sets[i][name], all[name] = check_value(where, name, value), true
    end
  end
  if #sets > MOST then errors.argument("%s: the grid has more than %d variants", where, MOST) end
  return sets, sorted(all)
end

local function variant_of(set, names)
  local own, words = {}, {}
  for _, name in ipairs(names) do
    if set[name] ~= nil then
      own[#own + 1] = name
      local value = type(set[name]) == "string" and set[name] or show.line(set[name])
      words[#words + 1] = name == "model" and value or ("%s=%s"):format(name, value)
    end
  end
  return { set = set, names = names, key = errors.check(json.encode(json.object(set, own))),
    label = words[1] and table.concat(words, ", ") or "as it is" }
end

--- The variants of a grid; one without settings where there is none.
---@param where string
---@param grid? table<string, any[]>|table[] values by name, or a list of settings
---@return stoke.eval.variant[]
---Raises `argument`.
---
--- Example: `local list = variants.list("stoke.eval", { model = { "a", "b" }, temperature = { 0, 0.8 } })`
function M.list(where, grid)
  local sets, names = { {} }, {}
  if grid ~= nil then
    if type(grid) ~= "table" then errors.argument("%s: grid must be a table, got %s", where, errors.describe(grid)) end
    if grid[1] ~= nil then sets, names = given_sets(where, grid) else sets, names = product(where, grid) end
  end
  local list, seen = {}, {}
  for i, set in ipairs(sets) do
    list[i] = variant_of(set, names)
    if seen[list[i].key] then errors.argument("%s: the grid has %s twice", where, list[i].label) end
    seen[list[i].key] = true
  end
  return list
end

local function is_agent(value) return getmetatable(value) == agent.Agent end
M.is_agent = is_agent

--- The agent with other settings; itself where nothing is varied.
local function with(where, handle, variant)
  if next(variant.set) == nil then return handle end
  local base, fields = handle.definition, {}
  if base.play then
    errors.raise("argument", ("%s: %s is a team, whose members have their own models"):format(where, handle.name),
      { hint = "give a function that makes the team of the settings: run = function(case, set) ... end" })
  end
  if base.complete then base:complete() end
  local options = {}
  for name, value in next, type(base.options) == "table" and base.options or {} do options[name] = value end
  for name, value in next, variant.set do
    if OF_AGENT[name] then fields[name] = value else options[name] = value end
  end
  local given = { model = fields.model or base.model }
  for name, value in next, fields do given[name] = value end
  if next(options) ~= nil then given.options = options end
  local made = agent.inner(given, where .. ": " .. variant.label).definition -- checked as any agent is
  local definition = { model = made.model, options = made.options }
  if fields.model and base.route and not fields.route then definition.route = false end -- it would lead elsewhere
  for name in next, fields do definition[name] = made[name] end
  definition.sampling = nil
  return setmetatable({ definition = setmetatable(definition, { __index = base }) }, agent.Agent)
end

--- What answers the cases of a variant.
---@param where string
---@param run stoke.agent|fun(case: stoke.eval.case, set: table): any
---@param variant stoke.eval.variant
---@return fun(case: stoke.eval.case): any
---@return string|nil model that is asked, where that is known
---Raises `argument` for settings that the agent cannot have.
function M.subject(where, run, variant)
  if not is_agent(run) then
    local set = variant.set
    return function(case) return run(case, set) end, type(set.model) == "string" and set.model or nil
  end
  local handle = with(where, run, variant)
  return function(case) return handle:run(case.input, { cache = false }) end, handle.definition.model
end

return M
