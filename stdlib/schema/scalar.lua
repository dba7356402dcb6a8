--- Checks of numbers, strings, types, enums and constants: each a function(value) -> value, problems, changed.
---
--- Given a type, a check refuses everything else; without one it lets pass what its keywords do not speak of.

local engine = require "core.json"
local errors = require "core.errors"
local formats = require "stoke.schema.formats"
local problems = require "stoke.schema.problems"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local PARTS = 2 -- of a value's text, that cost as much as the check of a table

local null, kind_of, wrong = engine.null, values.kind, problems.wrong
local math_type, tointeger, floor, type = math.type, math.tointeger, math.floor, type

local function multiple(v, of)
  if math_type(v) == "integer" and math_type(of) == "integer" then return v % of == 0 end
  local q = v / of
  if q - q ~= 0 then return v - v == 0 and math.fmod(v, of) == 0 end -- too large for a number, and none the less whole
  local off = math.abs(q - floor(q + 0.5))
  return off <= 1e-9 * math.min(1, math.abs(q)) or off <= 1e-14 * math.abs(q)
end

--- From here on a float is no exact integer any more: what was written may have been another number.
local EXACT <const> = 2.0 ^ 53

local function too_large(want, v)
  local shown = type(v) == "string" and #v <= 100 and v or values.show(v)
  return problems.say(("expected %s, got %s, too large for an integer; send it as a string"):format(want, shown), want, v)
end

local function too_long_for(want, v)
  local shown = #v <= 100 and v or values.show(v)
  return problems.say(("expected %s, got %s, more digits than a number holds; write %.15g"):format(want, shown, tonumber(v)),
    want, v)
end

--- Digits of an integer beyond 64 bits: the reader of JSON leaves them a string (json.decode, `exact`).
local function is_large(v)
  return type(v) == "string" and #v > 18 and v:find "^-?%d+$" ~= nil and math_type(tonumber(v)) == "float"
end

--- A check of numbers.
---@param node table
---@param typed "number"|"integer"|nil
---@param want string how a message names it
function M.number(node, typed, want)
  local low, high, above, below = words.limits(node)
  local of, whole = node.multipleOf, typed == "integer"
  return function(v)
    local kind = math_type(v)
    if not kind then
      if typed and is_large(v) then return v, (whole and too_large or too_long_for)(want, v) end
      if typed then return v, wrong(want, v, true) end
      return v
    end
    local changed
    if kind == "float" then
      if v - v ~= 0 then return v, wrong(want, v) end -- NaN and infinities
      if whole then
        if v ~= floor(v) then return v, wrong(want, v) end
        if v >= EXACT or v <= -EXACT then return v, too_large(want, v) end
        v, changed = tointeger(v), true
      end
    end
    if low and v < low or high and v > high or above and v <= above or below and v >= below or of and not multiple(v, of) then
      return v, wrong(want, v)
    end
    return v, nil, changed
  end
end

local function too_long(want, v, n)
  local found = ("%s (%d character%s)"):format(values.show(v), n, n == 1 and "" or "s")
  return problems.say(("expected %s, got %s"):format(want, found), want, v)
end

--- A check of strings. Lengths are code points.
---@param node table
---@param typed "string"|nil
---@param want string
function M.string(node, typed, want)
  local min, max, format = node.minLength, node.maxLength, formats.check[node.format]
  if min == 0 then min = nil end
  if typed and not min and not max and not format then
    return function(v)
      if type(v) == "string" then return v end
      return v, wrong(want, v, true)
    end
  end
  return function(v)
    if type(v) ~= "string" then
      if typed then return v, wrong(want, v, true) end
      return v
    end
    if min or max and #v > max then -- bytes are never fewer than characters
      local n = utf8.len(v) or #v
      if min and n < min or max and n > max then return v, too_long(want, v, n) end
    end
    if format and not format(v) then return v, wrong(want, v) end
    return v
  end
end

--- A check of one simple type.
---@param name "boolean"|"null"
---@param want string
function M.simple(name, want)
  if name == "boolean" then
    return function(v)
      if v == true or v == false then return v end
      return v, wrong(want, v, true)
    end
  end
  return function(v)
    if v == null then return v end
    return v, wrong(want, v, true)
  end
end

--- A check of several types.
---@param names string[]
---@param want string
function M.types(names, want)
  local ok = {}
  for _, name in ipairs(names) do ok[name] = true end
  return function(v)
    local kind = kind_of(v)
    if kind == "number" then
      if v - v ~= 0 then return v, wrong(want, v) end
      if ok.number and not ok.integer then return v end
      local large = v >= EXACT or v <= -EXACT
      local n = ok.integer and (math_type(v) == "integer" and v or not large and tointeger(v))
      if n then return n, nil, math_type(v) == "float" end
      if ok.number then return v end
      if ok.integer and large then return v, too_large(want, v) end
      return v, wrong(want, v, not ok.integer)
    end
    if ok.integer and not ok.string and not ok.number and is_large(v) then return v, too_large(want, v) end
    if kind == "empty" then
      if ok.object then return v end
      if ok.array then return engine.array {}, nil, true end
    end
    if ok[kind] then return v end
    return v, wrong(want, v, true)
  end
end

--- A check of an enum, or of a constant as an enum of one.
---@param list any[]
---@param want string
function M.enum(list, want)
  local plain, tables, far = {}, nil, {}
  for _, value in ipairs(list) do
    far[type(value)] = true
    if type(value) == "table" then
      tables = tables or {}
      local text = values.canonical(value) or errors.argument "schema: a value of enum or const is nested too deep"
      tables[text] = true
    elseif value ~= value then
      errors.argument "schema: a value of enum or const is NaN, which JSON does not have"
    else
      plain[value] = true
    end
  end
  return function(v, _, st)
    if v ~= nil and v == v and plain[v] then return v end
    if tables and type(v) == "table" then
      local text, parts = values.canonical(v)
      st.left = st.left - parts // PARTS
      if tables[text or 0] then return v end
    end
    local found = wrong(want, v, not far[type(v)])
    found[1].tag = true -- of several objects it tells which one is meant
    return v, found
  end
end

return M
