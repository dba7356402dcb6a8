--- Tolerant conversion of a model's values to a schema, where the meaning is unambiguous. Reports every change; ambiguous values
--- stay unchanged.

local engine = require "core.json"
local fold = require "stoke.reading.fold"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local trim = require "core.text".trim
local null, show, kind_of = engine.null, values.show, values.kind
local DEPTH, STEPS = 64, 20000

local coerce

-- ---- bookkeeping ----------------------------------------------------------------------------------------------------

local function note(run, path, from, to, how)
  local where = values.path(path)
  run.repairs[#run.repairs + 1] = ("%s%s %s"):format(where == "" and "" or where .. ": ", show(from),
    how or "read as " .. show(to))
  return to
end

local function fits(run, node, v)
  local checked, found = run.ctx.fits(node, v, run.state)
  if found then return false end
  return true, checked
end

-- Tries something whose repairs count only if it fits in the end. Returns true, value.
local function attempt(run, node, f)
  local before = #run.repairs
  local v = f()
  if v ~= nil and fits(run, node, v) then return true, v end
  for i = #run.repairs, before + 1, -1 do run.repairs[i] = nil end
  return false
end

local function below(path, key)
  local out = table.move(path, 1, #path, 1, {})
  out[#out + 1] = key
  return out
end

-- ---- what is wanted -------------------------------------------------------------------------------------------------

local function wanted_kinds(node)
  local set, kinds = {}, node.type or words.implied(node)
  if type(kinds) == "string" then kinds = { kinds } end
  for _, kind in ipairs(kinds or {}) do set[kind] = true end
  if not kinds then
    for _, value in ipairs(node.enum or { node.const }) do set[kind_of(value)] = true end
  end
  return set
end

-- ---- scalars --------------------------------------------------------------------------------------------------------

local YES = { ["true"] = true, yes = true, on = true, ["1"] = true }
local NO = { ["false"] = true, no = true, off = true, ["0"] = true }
local NONE = { [""] = true, null = true, none = true, ["n/a"] = true, ["nil"] = true }

local DIGITS = 400 -- a longer numeral is none of a number: patterns of digits take the square of their length

local function numeral(s)
  s = trim(s)
  if #s > DIGITS then return nil end
  if s:find "^[+-]?%d+$" or s:find "^[+-]?%d+%.%d*$" or s:find "^[+-]?%d*%.%d+$" or s:find "^[+-]?%d+%.?%d*[eE][+-]?%d+$" then
    local n = tonumber((s:gsub("^%+", "")))
    return n and n - n == 0 and (math.tointeger(n) or n) or nil
  end
end

-- The values of an enum by what they are read from: folded words (false for two that are alike), and numbers.
local function readings(run, node)
  local known = run.enums[node]
  if known then return known end
  known = { words = {}, numbers = {} }
  for _, value in ipairs(node.enum or { node.const }) do
    if type(value) == "string" then
      local key, n = fold.key(value), numeral(value)
      known.words[key] = known.words[key] == nil and value
      if n and known.numbers[n] == nil then known.numbers[n] = value end
    elseif type(value) == "number" then
      known.numbers[value] = value
    end
  end
  run.enums[node] = known
  return known
end

local WORD = 1000 -- bytes of a word that is looked for in an enum

local function from_enum(run, node, v)
  local known = readings(run, node)
  if type(v) == "string" then
    local key = #v <= WORD and fold.key(v) or ""
    if key ~= "" and known.words[key] then return known.words[key] end
    local n = numeral(v)
    local found = n and known.numbers[n]
    return type(found) == "number" and found or nil
  end
  local found = v == v and known.numbers[v]
  return type(found) == "string" and found or nil
end

local function from_date(format, s)
  s = trim(s)
  if format == "date" then
    local y, m, d = s:match "^(%d%d%d%d)[-/.](%d%d?)[-/.](%d%d?)$"
    if not y then y, m, d = s:match "^(%d%d%d%d)-(%d%d)-(%d%d)[Tt ]%d%d:%d%d" end
    return y and ("%s-%02d-%02d"):format(y, tonumber(m), tonumber(d))
  elseif format == "date-time" then
    local day, clock = s:match "^(%d%d%d%d%-%d%d%-%d%d) (%d%d:%d%d:%d%d.*)$"
    return day and day .. "T" .. clock:gsub(" ", "")
  end
end

-- Readings of a string, the likeliest first, for a node that does not take it as it is.
local function from_string(run, node, want, v)
  local list = {}
  local function add(x) if x ~= nil then list[#list + 1] = x end end
  local lower = trim(v):lower()
  if node.enum or node.const ~= nil then add(from_enum(run, node, v)) end
  if want.integer or want.number then add(numeral(v)) end
  if want.boolean then
    if YES[lower] then add(true) elseif NO[lower] then add(false) end
  end
  if want.string then
    add(from_date(node.format, v) or nil)
    add(trim(v))
  end
  if want.null and NONE[lower] then add(null) end
  return list
end

local function from_number(run, node, want, v)
  local list = {}
  if node.enum or node.const ~= nil then list[1] = from_enum(run, node, v) end
  if want.string and v - v == 0 then
    local large = math.type(v) == "float" and v == math.floor(v) and (v >= 2.0 ^ 53 or v <= -(2.0 ^ 53))
    list[#list + 1] = large and ("%.0f"):format(v) or engine.encode(math.tointeger(v) or v)
  end
  if want.boolean and (v == 0 or v == 1) then list[#list + 1] = v == 1 end
  return list
end

local function scalar(run, node, v, path)
  local want, list = wanted_kinds(node), {}
  if type(v) == "string" then
    list = from_string(run, node, want, v)
  elseif type(v) == "number" then
    list = from_number(run, node, want, v)
  elseif type(v) == "boolean" and want.string then
    list = { tostring(v) }
  end
  for _, x in ipairs(list) do
    local ok, checked = fits(run, node, x)
    if ok then return true, note(run, path, v, checked) end
  end
  return false
end

-- ---- tables ---------------------------------------------------------------------------------------------------------

-- A list or an object written as a string of JSON.
local function from_text(run, node, v, path, depth)
  local first = trim(v):sub(1, 1)
  if first ~= "{" and first ~= "[" then return false end
  local value = engine.decode(v, { exact = true })
  if type(value) ~= "table" then return false end
  return attempt(run, node, function()
    note(run, path, v, value, "read as the JSON in it")
    return coerce(run, node, value, path, depth + 1)
  end)
end

local function only_key(v)
  local key = next(v)
  if type(key) == "string" and next(v, key) == nil then return key end
end

-- What stands in another object or array with nothing else in it.
local function unwrap(run, node, v, path, depth)
  local want, inner, how = wanted_kinds(node), nil, nil
  if values.shape(v) == "array" and not want.array and rawlen(v) == 1 then
    inner, how = rawget(v, 1), "read as the one item in it"
  elseif values.shape(v) == "object" then
    local key = only_key(v)
    if key and not (node.properties and node.properties[key]) and (want.object or not want.object and next(want)) then
      inner, how = v[key], ("read as the %s in it"):format(key)
      if not want.object and not want.array and key ~= "value" and key ~= path[#path] then inner = nil end
    end
  end
  if inner == nil then return false end
  return attempt(run, node, function()
    note(run, path, v, inner, how)
    return coerce(run, node, inner, path, depth + 1)
  end)
end

local function set(out, v, key, value)
  out = out or values.copy(v)
  rawset(out, key, value)
  return out
end

-- The names that the schema does not know, by what they are alike; false for two that are alike.
local function unknown(node, v)
  local others = {}
  for _, other in ipairs(values.keys(v)) do
    if not node.properties[other] and #other <= WORD then
      local key = fold.key(other)
      others[key] = others[key] == nil and other
    end
  end
  return others
end

-- Fields whose names differ in case, spaces or signs only.
local function rename(run, node, v, path)
  local out, others
  for _, name in ipairs(values.keys(node.properties or {})) do
    if rawget(v, name) == nil then
      others = others or unknown(node, v)
      local key = others[fold.key(name)]
      if key then
        out = set(set(out, v, name, v[key]), v, key, nil)
        note(run, path, key, name, "taken for the field " .. show(name))
      end
    end
  end
  return out or v
end

local function object(run, node, v, path, depth)
  local needed, out = {}, nil
  v = rename(run, node, v, path)
  for _, name in ipairs(node.required or {}) do needed[name] = true end
  local properties = node.properties or {}
  for _, name in ipairs(values.keys(v)) do
    local x, schema = rawget(v, name), properties[name]
    if schema == nil and type(node.additionalProperties) == "table" then schema = node.additionalProperties end
    if type(schema) == "table" then
      local y = coerce(run, schema, x, below(path, name), depth + 1)
      if type(x) == "string" and NONE[trim(x):lower()] and not needed[name] and not fits(run, schema, y) then
        note(run, below(path, name), x, nil, "read as absent")
        out = set(out, v, name, nil)
      elseif not rawequal(x, y) then
        out = set(out, v, name, y)
      end
    end
  end
  return out or v
end

local function array(run, node, v, path, depth)
  local out
  local list = node.prefixItems or kind_of(node.items) == "array" and node.items or {}
  for i = 1, rawlen(v) do
    local schema = list[i] or node.items
    if type(schema) == "table" and kind_of(schema) == "object" then
      local x = rawget(v, i)
      local y = coerce(run, schema, x, below(path, i), depth + 1)
      if not rawequal(x, y) then out = set(out, v, i, y) end
    end
  end
  return out or v
end

-- One value where several are wanted.
local function single(run, node, v, path, depth)
  if v == null or v == nil then return false end
  if type(v) == "table" and next(v) == nil then -- {} for []
    return attempt(run, node, function()
      note(run, path, v, nil, "read as an empty array")
      return engine.array {}
    end)
  end
  return attempt(run, node, function()
    local items = node.items
    local inner = kind_of(items) == "object" and coerce(run, items, v, below(path, 1), depth + 1) or v
    note(run, path, v, nil, "read as an array of one item")
    return engine.array { inner }
  end)
end

-- ---- one node -------------------------------------------------------------------------------------------------------

-- The branch that fits with the fewest changes.
local function branch(run, list, v, path, depth)
  local best, best_repairs
  local kept = run.repairs
  for _, node in ipairs(list) do
    if type(node) == "table" then
      run.repairs = {}
      local x = coerce(run, node, v, path, depth + 1)
      if fits(run, node, x) and (not best_repairs or #run.repairs < #best_repairs) then best, best_repairs = x, run.repairs end
    end
  end
  run.repairs = kept
  if not best_repairs then return v end
  table.move(best_repairs, 1, #best_repairs, #kept + 1, kept)
  return best
end

local function parts(run, node, v, path, depth)
  local kind, want = kind_of(v), wanted_kinds(node)
  if kind == "string" and (want.object or want.array) and not want.string then
    local ok, x = from_text(run, node, v, path, depth)
    if ok then return x end
  end
  if kind ~= "array" and kind ~= "object" then
    local ok, x = scalar(run, node, v, path)
    if ok then return x end
  end
  if kind == "object" and want.object or kind == "empty" then
    local before = #run.repairs
    local x = object(run, node, v, path, depth)
    if fits(run, node, x) then return x end
    local kept = table.move(run.repairs, before + 1, #run.repairs, 1, {})
    for i = #run.repairs, before + 1, -1 do run.repairs[i] = nil end
    local ok, inner = unwrap(run, node, v, path, depth)
    if ok then return inner end
    table.move(kept, 1, #kept, before + 1, run.repairs)
    return x
  end
  if kind == "array" and want.array then return array(run, node, v, path, depth) end
  if type(v) == "table" then
    local ok, x = unwrap(run, node, v, path, depth)
    if ok then return x end
  end
  if want.array then
    local ok, x = single(run, node, v, path, depth)
    if ok then return x end
  end
  return v
end

function coerce(run, node, v, path, depth)
  run.steps = run.steps - 1
  if run.steps < 0 or depth > DEPTH or type(node) ~= "table" or v == nil then return v end
  if fits(run, node, v) then return v end
  if node["$ref"] then return coerce(run, run.ctx.resolve(node["$ref"]), v, path, depth + 1) end
  for _, part in ipairs(node.allOf or {}) do v = coerce(run, part, v, path, depth + 1) end
  if next(wanted_kinds(node)) ~= nil then v = parts(run, node, v, path, depth) end
  local branches = node.anyOf or node.oneOf
  return branches and branch(run, branches, v, path, depth) or v
end

--- Read a value tolerantly.
---@param ctx table of compile.lua
---@param root table|boolean
---@param value any
---@return any value a copy where something changed
---@return string[] repairs
function M.coerce(ctx, root, value)
  if ctx.right(value) then return value, {} end
  local run = { ctx = ctx, repairs = {}, steps = STEPS, state = ctx.state(), enums = {} }
  if type(value) == "table" and not values.canonical(value) then return value, run.repairs end -- a circle
  return coerce(run, root, value, {}, 0), run.repairs
end

return M
