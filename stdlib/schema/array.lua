--- Validates arrays: items, length, uniqueness.

local engine = require "core.json"
local problems = require "stoke.schema.problems"
local values = require "stoke.schema.values"

local M = {}

local PARTS = 2 -- of a value's text, that cost as much as the check of a table

local shape, add = values.shape, problems.add
local rawget, rawset, rawlen, next, type = rawget, rawset, rawlen, next, type

-- Are there keys beside 1 to n? `next` gives the items of a list in order, unless they lie in the table's hash.
local function has_more(v, n)
  if next(v, n > 0 and n or nil) == nil then return false end
  local count = 0
  for _ in next, v do count = count + 1 end
  return count ~= n
end

local function sizes(node, want)
  local min, max = node.minItems, node.maxItems
  if not min and not max then return nil end
  return function(v, n, all)
    if min and n < min or max and n > max then
      all = add(all, problems.say(("expected %s, got %d"):format(want, n), want, v))
    end
    return all
  end
end

-- The work is taken off what one check may do: lists in lists are looked at once for each level.
local function unique(v, n, all, st)
  local seen = {}
  for i = 1, n do
    local text, parts = values.canonical(rawget(v, i))
    st.left = st.left - parts // PARTS
    if st.left < 0 then return all end
    local first = text and seen[text]
    if first then
      return add(all, problems.say(("expected different items, but [%d] and [%d] are both %s"):format(first, i,
        values.show(rawget(v, i))), "different items", v))
    end
    if text then seen[text] = i end
  end
  return all
end

local function contains(node, parts)
  if node.contains == nil then return nil end
  local check, want = parts.test(node.contains), parts.want(node.contains)
  local min, max = node.minContains or 1, node.maxContains
  return function(v, n, depth, st, all)
    local count = 0
    for i = 1, n do
      local _, found = check(rawget(v, i), depth, st)
      if not found then count = count + 1 end
    end
    if count < min or max and count > max then
      local text = ("expected %s%d item%s that %s: %s; got %d"):format(count < min and "at least " or "at most ",
        count < min and min or max, (count < min and min or max) == 1 and "" or "s", "fit", want, count)
      all = add(all, problems.say(text, "items: " .. want, v))
    end
    return all
  end
end

-- The checks of the first items, and the check of all others.
local function items(node, parts)
  local first, rest = {}, nil
  local list = node.prefixItems or values.kind(node.items) == "array" and node.items or {}
  for i, schema in ipairs(list) do first[i] = parts.child(schema) end
  local others = node.items
  if others == node.items and values.kind(others) == "array" then others = node.additionalItems end
  if others ~= nil and others ~= true then rest = parts.child(others) end
  return first, rest
end

local function visit(first, rest, v, n, depth, st)
  local out, all
  for i = 1, n do
    local check = first[i] or rest
    if not check then break end
    local y, found, changed = check(rawget(v, i), depth, st)
    if found then
      all = add(all, found, i)
      if problems.full(all) then break end
    elseif changed then
      out = out or values.copy(v)
      rawset(out, i, y)
    end
  end
  return out, all
end

--- The check of arrays.
---@param node table
---@param typed boolean refuse everything else
---@param want string
---@param parts stoke.schema.parts
function M.check(node, typed, want, parts)
  local first, rest = items(node, parts)
  local size, has, differ, over = sizes(node, want), contains(node, parts), node.uniqueItems == true, parts.over
  local some, quick, spec, fits = rest or #first > 0, parts.spec, nil, nil
  return function(v, depth, st)
    if quick then
      spec = quick()
      fits, quick = spec and spec.fits, nil
    end
    if fits and type(v) == "table" and st.misses > 0 then
      local tables = fits(spec, v)
      if tables then
        st.left = st.left - tables
        if st.left < 0 or depth > st.depth then return v, over(v, st) end
        return v
      end
      st.misses = st.misses - 1
    end
    local kind = type(v) == "table" and shape(v)
    if kind ~= "array" and not (typed and kind == "empty") then
      if typed then return v, problems.wrong(want, v, true) end
      return v
    end
    local left, n = st.left - 1, rawlen(v)
    st.left = left
    if left < 0 or depth > st.depth then return v, over(v, st) end
    local out, all
    if kind == "empty" then out = engine.array {} end
    if has_more(v, n) then
      return v, problems.say(("expected %s, got a table of both items and names"):format(want), want, v)
    end
    if some then
      local copied
      copied, all = visit(first, rest, v, n, depth + 1, st)
      out = copied or out
    end
    if size then all = size(v, n, all) end
    if differ then all = unique(v, n, all, st) end
    if has then all = has(v, n, depth + 1, st, all) end
    if all then return v, all end
    return out or v, nil, out ~= nil
  end
end

return M
