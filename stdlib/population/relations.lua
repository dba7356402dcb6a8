--- Who knows whom in a population: a random graph by a rule and a seed. Always both ways, and nobody with himself.

local errors = require "core.errors"
local ordered = require "core.ordered"
local seeds = require "stoke.population.seeds"

local M = {}

--- People of whom all pairs are looked at, at most.
local MOST <const> = 2000

--- A weight that is above 0.
local LEAST <const> = 1e-300

local OPTIONS = { degree = "number", rule = "function", alike = "table" }

local function check_weight(what, weight, least)
  if type(weight) ~= "number" or not (weight >= least and weight < math.huge) then
    errors.argument("%s must be a number %s 0, got %s", what, least == 0 and "of at least" or "above", errors.describe(weight))
  end
  return weight
end

--- The rule of attributes: so many times likelier for each one that two share.
local function alike_of(where, alike, words)
  local names = ordered.names(alike)
  if not names[1] then errors.argument("%s: alike must be weights by attribute, such as { age = 5 }", where) end
  local _, known = next(words)
  for _, name in ipairs(names) do
    if known[name] == nil then
      local near = type(name) == "string" and errors.suggest(name, ordered.names(known))
      errors.argument("%s: alike names %s, which no quota is about%s", where, errors.describe(name),
        near and (" (did you mean %s?)"):format(near) or "")
    end
    check_weight(("%s: alike.%s"):format(where, name), alike[name], LEAST)
  end
  return function(a, b)
    local weight = 1
    for _, name in ipairs(names) do
      local mine = words[a.id][name]
      if mine ~= nil and mine == words[b.id][name] then weight = weight * alike[name] end
    end
    return weight
  end
end

local function rule_of(where, o, words)
  if o.alike and o.rule then errors.argument("%s: give alike or rule, not both", where) end
  if o.alike then return alike_of(where, o.alike, words) end
  if not o.rule then return function() return 1 end end
  return function(a, b) return check_weight(where .. ": what the rule returns", o.rule(a, b), 0) end
end

--- So many pairs, without replacement, each as likely as its weight says: those with the largest log(u) / weight (Efraimidis and
--- Spirakis, "Weighted random sampling with a reservoir", 2006).
local function drawn(people, count, rule, random)
  local keys, sorted, n = {}, {}, 0
  for i = 1, #people do
    for k = i + 1, #people do
      local weight, u = rule(people[i], people[k]), 1 - random:float() -- u above 0, and one is drawn in any case
      n = n + 1
      keys[n] = weight > 0 and math.log(u) / weight or -math.huge
      sorted[n] = keys[n]
    end
  end
  table.sort(sorted)
  local least = math.max(sorted[n - count + 1] or -math.huge, -1e308)
  local pairs_of, at = {}, 0
  for i = 1, #people do
    for k = i + 1, #people do
      at = at + 1
      if keys[at] >= least and #pairs_of < count then pairs_of[#pairs_of + 1] = { people[i], people[k] } end
    end
  end
  return pairs_of
end

--- See people:relate.
---@param people stoke.population
---@param kind string
---@param given table
---@param inner { seed: integer, words: table<string, table<string, string>> }
---@return table[] pairs of two people each
function M.draw(people, kind, given, inner)
  local where = "people:relate"
  local o = errors.options(given, OPTIONS, where)
  if type(kind) ~= "string" or not kind:find "^%a[%w_ -]*$" or #kind > 60 then
    errors.argument("%s: the kind is letters, digits, blanks, _ and -, such as \"friends\"; got %s", where, errors.describe(kind))
  end
  local n = #people
  if n > MOST then errors.argument("%s: %d people, %d at most: all pairs are looked at", where, n, MOST) end
  local degree = o.degree or math.min(3, n - 1)
  if not (degree >= 0 and degree <= n - 1) then
    errors.argument("%s: degree must be from 0 to %d, the others there are; got %s", where, n - 1, tostring(degree))
  end
  if n < 2 then return {} end
  local count = math.floor(n * degree / 2 + 0.5)
  return count > 0 and drawn(people, count, rule_of(where, o, inner.words), seeds.stream(inner.seed, "relate", kind)) or {}
end

return M
