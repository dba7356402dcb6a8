--- Validates objects: required fields, unknown fields, and the other keywords for objects.

local engine = require "core.json"
local errors = require "core.errors"
local problems = require "stoke.schema.problems"
local texts = require "core.text"
local values = require "stoke.schema.values"

local M = {}

local null, shape = engine.null, values.shape
local rawget, rawset, next, type = rawget, rawset, next, type
local add = problems.add

-- Fields by name, in order: { name, check, want } each, then the required ones that no property describes.
local function gather(node, child, want_of)
  local fields, known, needed = {}, {}, {}
  for _, name in ipairs(node.required or {}) do needed[name] = true end
  for _, name in ipairs(values.keys(node.properties or {})) do
    local schema = node.properties[name]
    fields[#fields + 1] = { name = name, check = child(schema), needed = needed[name], want = want_of(schema) }
    known[name], needed[name] = true, nil
  end
  for _, name in ipairs(node.required or {}) do
    if needed[name] then
      fields[#fields + 1] = { name = name, needed = true, want = "any value" }
      needed[name] = nil
    end
  end
  return fields, known
end

local function names_of(fields)
  local list = {}
  for i, field in ipairs(fields) do list[i] = field.name end
  return list
end

local NEAR = 64 -- bytes of a name, and names, that are looked at for did-you-mean
local GUESSES = 8 -- missing fields of an object for which it is looked
local LISTED = 300 -- bytes of the names that exist

-- Names that the schema does not know: one of them may be meant.
local function strangers(v, known)
  local others = {}
  for _, name in ipairs(values.keys(v)) do
    if not known[name] and #name <= NEAR and #others < NEAR then others[#others + 1] = name end
  end
  return others
end

local function missing(field, others)
  local near = #field.name <= NEAR and errors.suggest(field.name, others)
  local text = ("missing, expected %s%s"):format(field.want, near and (" (there is %s instead)"):format(values.show(near)) or "")
  return { { expected = field.want, found = "nothing", text = text, field.name } }
end

local function shown(names)
  local text = table.concat(names, ", ", 1, math.min(#names, 12))
  return #text > LISTED and texts.head(text, LISTED) .. "..." or text
end

local function refused(v, key, fields)
  local names = fields.names
  local near = #key <= NEAR and #names <= NEAR and errors.suggest(key, names)
  local hint = near and (" (did you mean %s?)"):format(near)
  if not hint then hint = #names > 0 and ", only " .. shown(names) .. " exist" or "" end
  local found = problems.say("unknown field" .. hint, "no such field", rawget(v, key))
  found[1][1] = key
  return found
end

-- Each unknown field: refuse it, check it, or leave it out. Returns out, all.
local function unknown(rule, v, fields, known, out, all, depth, st)
  local list = {}
  for key in next, v do
    if type(key) ~= "string" then
      return out, add(all, problems.wrong("an object with names for keys", v, true))
    end
    if not known[key] then list[#list + 1] = key end
  end
  table.sort(list)
  for _, key in ipairs(list) do
    if rule == "drop" then
      out = out or values.copy(v)
      rawset(out, key, nil)
    elseif rule == "refuse" then
      all = add(all, refused(v, key, fields))
    else
      local x, found, changed = rule(rawget(v, key), depth, st)
      if found then
        all = add(all, found, key)
      elseif changed then
        out = out or values.copy(v)
        rawset(out, key, x)
      end
    end
    if problems.full(all) then break end
  end
  return out, all
end

local function has_unknown(v, known)
  for key in next, v do
    if not known[key] then return true end
  end
  return false
end

-- dependentRequired, and the lists of `dependencies`
local function dependents(node)
  local list = {}
  for _, map in ipairs { node.dependentRequired or {}, node.dependencies or {} } do
    for _, name in ipairs(values.keys(map)) do
      if values.kind(map[name]) == "array" then list[#list + 1] = { name = name, wants = map[name] } end
    end
  end
  return list
end

-- The rarer keywords: sizes, names, dependencies. nil when there are none.
local function extras(node, child, want)
  local min, max, names, depends = node.minProperties, node.maxProperties, node.propertyNames, dependents(node)
  if not min and not max and names == nil and #depends == 0 then return nil end
  local name_check = names ~= nil and child(names)
  return function(v, depth, st, all)
    local keys = values.keys(v)
    if min and #keys < min or max and #keys > max then
      all = add(all, problems.say(("expected %s, got %d"):format(want, #keys), want, v))
    end
    for _, rule in ipairs(depends) do
      if rawget(v, rule.name) ~= nil then
        for _, name in ipairs(rule.wants) do
          if rawget(v, name) == nil then
            all = add(all, problems.say("missing, but wanted where " .. rule.name .. " is given", "any value", nil), name)
          end
        end
      end
    end
    for _, key in ipairs(name_check and keys or {}) do
      local _, found = name_check(key, depth, st)
      if found then all = add(all, problems.say("the name must be: " .. found[1].expected, found[1].expected, key), key) end
    end
    return all
  end
end

-- What becomes of fields that are not named: "keep", "drop", "refuse", or a check.
local function rule_of(node, mode, child, closed)
  local additional = node.additionalProperties
  if node.patternProperties then return "keep" end
  if additional == false then return "refuse" end
  if type(additional) == "table" and next(additional) ~= nil then return child(additional) end
  return additional == nil and mode == "own" and closed and "drop" or "keep"
end

local function visit(fields, v, lenient, depth, st)
  local out, all, others
  local names, checks = fields.names, fields.checks
  for i = 1, #names do
    local name, check = names[i], checks[i]
    local x = rawget(v, name)
    if problems.full(all) then break end
    if x == nil then
      if fields[i].needed then
        others = all and #all >= GUESSES and {} or others or strangers(v, fields.known)
        all = add(all, missing(fields[i], others))
      end
    elseif check then
      local y, found, changed = check(x, depth, st)
      if found then
        if x == null and lenient and not fields[i].needed then -- said to be nothing: not there
          out = out or values.copy(v)
          rawset(out, name, nil)
        else
          all = add(all, found, name)
        end
      elseif changed then
        out = out or values.copy(v)
        rawset(out, name, y)
      end
    end
  end
  return out, all
end

---@class stoke.schema.parts what a check is made with
---@field mode "own"|"same"|"test" see compile.lua
---@field closed boolean unknown fields can be told from others
---@field child fun(schema: table|boolean): function the check of a value inside
---@field test fun(schema: table|boolean): function the same, where nothing may be changed
---@field want fun(schema: table|boolean): string
---@field over fun(v: any, st: table): table[] the problem of too much, which ends the check
---@field spec fun(): userdata|nil of all there is, see quick.lua
---@field quick fun(): table|nil what C can judge, and the fields that are left

-- Of these fields, those that the spec of all let pass.
local function left_of(fields, names)
  local left, is = { names = {}, checks = {}, known = fields.known }, {}
  for _, name in ipairs(names) do is[name] = true end
  for i, field in ipairs(fields) do
    if is[field.name] then
      local n = #left + 1
      left[n], left.names[n], left.checks[n] = field, field.name, fields.checks[i]
    end
  end
  return left
end

--- The check of objects. What C can judge is checked in one step; where it says no, or cannot, each field is looked at.
---@param node table
---@param typed boolean refuse everything else
---@param want string
---@param parts stoke.schema.parts
function M.check(node, typed, want, parts)
  local fields, known = gather(node, parts.child, parts.want)
  fields.known, fields.names, fields.checks = known, names_of(fields), {}
  for i, field in ipairs(fields) do fields.checks[i] = field.check or false end
  local rule, extra = rule_of(node, parts.mode, parts.child, parts.closed), extras(node, parts.test, want)
  local lenient, over = parts.mode ~= "test", parts.over
  local quick, spec, fits, hard = parts.quick, nil, nil, nil
  return function(v, depth, st)
    if type(v) ~= "table" then
      if typed then return v, problems.wrong(want, v, true) end
      return v
    end
    if quick then
      local found = quick()
      if found then spec, fits, hard = found.spec, found.spec.fits, left_of(fields, found.hard) end
      quick = nil
    end
    local tables = fits and st.misses > 0 and fits(spec, v)
    if not tables and shape(v) == "array" then
      if typed then return v, problems.wrong(want, v, true) end
      return v
    end
    local left, out, all = st.left - (tables or 1), nil, nil
    st.left = left
    if left < 0 or depth > st.depth then return v, over(v, st) end
    if tables then
      if hard[1] then out, all = visit(hard, v, lenient, depth + 1, st) end
    else
      if fits then st.misses = st.misses - 1 end
      out, all = visit(fields, v, lenient, depth + 1, st)
      if rule ~= "keep" and has_unknown(v, known) then out, all = unknown(rule, v, fields, known, out, all, depth + 1, st) end
    end
    if extra then all = extra(v, depth + 1, st, all) end
    if all then return v, all end
    return out or v, nil, out ~= nil
  end
end

return M
