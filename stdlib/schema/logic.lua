--- Validates allOf, anyOf, oneOf, not, if, and the checks that scripts add.

local handler = require "core.coro".handler
local errors = require "core.errors"
local problems = require "stoke.schema.problems"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local add = problems.add

-- The problem with the field that tells branches apart, when it is the same field in all.
local function tag_of(near)
  local phrases, tag = {}, nil
  for i, found in ipairs(near) do
    local mine
    for _, problem in ipairs(found) do
      if problem.tag and #problem == 1 then mine = mine or problem end
    end
    if not mine or tag and tag[1] ~= mine[1] then return nil end
    tag, phrases[i] = mine, mine.expected
  end
  local phrase = words.join(phrases)
  return { { expected = phrase, found = tag.found, tag[1] } }
end

-- The failed branch that was probably meant: the only one whose type matches, or whose constants and enums do.
local function closest_branch(failures)
  local near = {}
  for _, found in ipairs(failures) do
    if not (found[1].far and #found[1] == 0) then near[#near + 1] = found end
  end
  if #near < 2 then return near[1] end
  local told = {}
  for _, found in ipairs(near) do
    local tagged = true
    for _, problem in ipairs(found) do
      if #problem == 1 and problem.tag then tagged = false end
    end
    if tagged then told[#told + 1] = found end
  end
  return #told == 1 and told[1] or #told == 0 and tag_of(near) or nil
end

local function any_of(node, key, parts)
  local branches, objects = {}, 0
  for _, schema in ipairs(node[key]) do
    if type(schema) == "table" and (schema.properties or schema["$ref"]) then objects = objects + 1 end
  end
  -- of several objects the first to fit need not be the one that knows all the fields
  local make = objects > 1 and parts.same or parts.own
  for i, schema in ipairs(node[key]) do branches[i] = make(schema) end
  local phrases = {}
  for i, schema in ipairs(node[key]) do phrases[i] = parts.want(schema) end
  local phrase = words.join(phrases)
  return branches, function(v, failures)
    return closest_branch(failures) or problems.wrong(phrase, v, #failures > 0 and failures[1][1].far and #failures[1][1] == 0)
  end
end

-- Branches that cost as much as the check of a table.
local BRANCHES = 16

local function some(node, parts)
  local branches, explain = any_of(node, "anyOf", parts)
  local cost = #branches // BRANCHES
  return function(v, depth, st)
    local failures = {}
    st.left, st.branching = st.left - cost, true
    if st.left < 0 then return v, parts.over(v, st) end
    for i = 1, #branches do
      local y, found, changed = branches[i](v, depth, st)
      if not found then return y, nil, changed end
      failures[i] = found
    end
    return v, explain(v, failures)
  end
end

local function one(node, parts)
  local branches, explain = any_of(node, "oneOf", parts)
  local cost = #branches // BRANCHES
  return function(v, depth, st)
    st.left, st.branching = st.left - cost, true
    if st.left < 0 then return v, parts.over(v, st) end
    local failures, fits, out, out_changed = {}, 0, nil, nil
    for i = 1, #branches do
      local y, found, changed = branches[i](v, depth, st)
      if found then
        failures[#failures + 1] = found
      else
        fits = fits + 1
        if fits == 1 then out, out_changed = y, changed end
      end
    end
    if fits == 1 then return out, nil, out_changed end
    if fits == 0 then return v, explain(v, failures) end
    return v, problems.say(("expected exactly one of the alternatives to fit, got %s, which fits %d"):format(values.show(v), fits),
      "one alternative", v)
  end
end

local function condition(node, parts)
  local test = parts.test(node["if"])
  local yes, no = node["then"], node["else"]
  yes, no = yes ~= nil and parts.same(yes), no ~= nil and parts.same(no)
  return function(v, depth, st)
    local _, found = test(v, depth, st)
    local branch = found and no or not found and yes
    if branch then return branch(v, depth, st) end
    return v
  end
end

-- dependentSchemas, and the schemas of `dependencies`
local function dependent(name, schema, parts)
  local check = parts.same(schema)
  return function(v, depth, st)
    if type(v) ~= "table" or values.shape(v) == "array" or rawget(v, name) == nil then return v end
    return check(v, depth, st)
  end
end

--- Add the steps for these keywords.
---@param node table
---@param parts table see object.lua; `same` and `own` are checks of the same value
---@param steps function[]
function M.steps(node, parts, steps)
  local function put(step) steps[#steps + 1] = step end
  for _, schema in ipairs(node.allOf or {}) do put((#node.allOf == 1 and parts.own or parts.same)(schema)) end
  if node.anyOf then put(some(node, parts)) end
  if node.oneOf then put(one(node, parts)) end
  if node["not"] ~= nil then
    local check, phrase = parts.test(node["not"]), "anything but " .. parts.want(node["not"])
    put(function(v, depth, st)
      local _, found = check(v, depth, st)
      if found then return v end
      return v, problems.wrong(phrase, v)
    end)
  end
  if node["if"] ~= nil then put(condition(node, parts)) end
  for _, map in ipairs { node.dependentSchemas or {}, node.dependencies or {} } do
    for _, name in ipairs(values.keys(map)) do
      if values.kind(map[name]) ~= "array" then put(dependent(name, map[name], parts)) end
    end
  end
end

local GOES_ON = { cancelled = true, deadline = true, exit = true }

--- A check that, when all is right, asks the script's functions too.
---@param check function
---@param list (fun(value: any): boolean|nil, string|nil, string|nil)[]
---@return function
function M.custom(check, list)
  return function(v, depth, st)
    local y, found, changed = check(v, depth, st)
    if found then return v, found end
    local all
    for _, f in ipairs(list) do
      local ok, fine, message, path = xpcall(f, handler, y)
      if not ok then
        local err = errors.wrap(fine)
        if GOES_ON[err.kind] then error(err, 0) end
        if errors.bug(err) then require "stoke.log.bugs".tell("a check of a schema", err) end
        fine, message, path = false, err.message, nil
      end
      if not fine then
        message = type(message) == "string" and message or "does not pass the check"
        local said = problems.say(message, message, y)
        said[1].tail = type(path) == "string" and path or nil
        all = add(all, said)
      end
    end
    if all then return v, all end
    return y, nil, changed
  end
end

return M
