--- Restricts a schema to what model servers can enforce. They turn `format` into a grammar (llama.cpp, json-schema-to-grammar.cpp),
--- which knows a part of JSON Schema: of the rest some is refused (`true`, `not`, a reference to `#`), some is bound wrongly (a
--- schema without a type becomes an object), and some ends the process that runs the model, or the server (`\d` in a pattern,
--- `(?:`, more than 2,000 repetitions). So what it does not know is left out here, or said in words it knows. What is left out is
--- checked when the answer has come.

local engine = require "core.json"
local keywords = require "stoke.schema.keywords"
local pattern = require "stoke.schema.pattern"
local values = require "stoke.schema.values"

local M = {}

--- Repetitions that a grammar may have, and the largest whole number that is written the same everywhere.
local REPEATS, WHOLE = 2000, 1 << 53

--- What tells the grammar which rule to make.
local TELLING = { "type", "enum", "const", "$ref", "anyOf", "oneOf", "allOf", "properties", "items", "prefixItems", "pattern",
  "additionalProperties" }

--- Any value: a schema without a type would be an object.
local function anything()
  return engine.object({ type = engine.array { "object", "array", "string", "number", "boolean", "null" } })
end

local function is_list(v) return values.kind(v) == "array" end

local lower

--- The place a reference leads to.
local function resolve(data, ref)
  local at = data
  for step in ref:gmatch "[^#/]+" do
    if type(at) ~= "table" then return nil end
    step = step:gsub("%%(%x%x)", function(hex) return string.char(tonumber(hex, 16)) end):gsub("~1", "/"):gsub("~0", "~")
    local index = math.tointeger(tonumber(step))
    if is_list(at) then at = at[(index or -1) + 1] else at = at[step] end
  end
  return at
end

--- A reference that the grammar can follow: to a plain name among the definitions. For others one is made.
local function reference(ctx, ref)
  if ref:find "^#/%$defs/[^/~%%]+$" or ref:find "^#/definitions/[^/~%%]+$" then return ref end
  local name = ctx.names[ref]
  if not name then
    repeat
      ctx.count = ctx.count + 1
      name = "part" .. ctx.count
    until (ctx.data["$defs"] or {})[name] == nil
    ctx.names[ref] = name
    local target = resolve(ctx.data, ref)
    ctx.made[name] = engine.object {} -- it may lead back here
    local made = lower(ctx, target == ctx.data and keywords.rooted(target) or target, true)
    made["$defs"], made.definitions = nil, nil -- which are at the top
    ctx.made[name] = made
    ctx.order[#ctx.order + 1] = name
  end
  return "#/$defs/" .. name
end

--- A limit of whole numbers; the next one inside.
local function bound(value, round, step)
  if type(value) ~= "number" or value ~= value or value > WHOLE or value < -WHOLE then return nil end
  local whole = math.tointeger(round(value))
  return whole and whole + step
end

--- The limits of an integer as inclusive ones, none where nothing lies between them.
local function integer(out)
  local low, high = bound(out.minimum, math.ceil, 0), bound(out.maximum, math.floor, 0)
  local above, below = out.exclusiveMinimum, out.exclusiveMaximum
  if above == true then low = bound(out.minimum, math.floor, 1) else above = bound(above, math.floor, 1) end
  if below == true then high = bound(out.maximum, math.ceil, -1) else below = bound(below, math.ceil, -1) end
  if math.type(above) and (not low or above > low) then low = above end
  if math.type(below) and (not high or below < high) then high = below end
  if low and high and low > high then low, high = nil, nil end
  out.minimum, out.maximum, out.exclusiveMinimum, out.exclusiveMaximum = low, high, nil, nil
end

local function has_type(out, name)
  if type(out.type) ~= "table" then return out.type == name end
  for _, each in ipairs(out.type) do
    if each == name then return true end
  end
  return false
end

--- Alternatives of which one binds nothing bind nothing; then the rest of the schema does.
local function alternatives(ctx, out, key)
  local list = {}
  for i, item in ipairs(out[key]) do
    if item ~= false then
      list[#list + 1] = lower(ctx, item)
      if list[#list] == nil then return nil end
    end
    if i > REPEATS then return nil end
  end
  return list[1] ~= nil and engine.array(list) or nil
end

--- All of several: the grammar joins the fields of objects, and knows nothing else of them.
local function all(ctx, out)
  local list = {}
  for _, item in ipairs(out.allOf) do
    local each = lower(ctx, item)
    if each and (each.properties or each["$ref"] or each.allOf or each.anyOf) then
      list[#list + 1] = each
    elseif each and each.type ~= nil and not has_type(each, "object") and out.type == nil then
      for name, value in next, each do out[name] = value end -- this one says what it is
      return nil
    end
  end
  return list[1] and engine.array(list) or nil
end

local function map(ctx, from)
  local out, order = {}, {}
  for _, name in ipairs(values.keys(from)) do
    if from[name] ~= false then
      out[name], order[#order + 1] = lower(ctx, from[name], true), name
    end
  end
  return engine.object(out, order)
end

--- Keywords that hold other schemas.
local function inner(ctx, out)
  for _, key in ipairs { "properties", "$defs", "definitions" } do
    if out[key] ~= nil then out[key] = map(ctx, out[key]) end
  end
  if out.prefixItems ~= nil then out.items = nil end -- which would be taken in its place
  if is_list(out.items) or out.prefixItems ~= nil then
    local key, list = out.items and "items" or "prefixItems", {}
    for i, item in ipairs(out[key]) do list[i] = lower(ctx, item, true) end
    out[key] = engine.array(list)
  elseif out.items ~= nil then
    out.items = lower(ctx, out.items)
  end
  local more = out.additionalProperties
  if type(more) == "table" then out.additionalProperties = lower(ctx, more) end
  if out["$ref"] then out["$ref"] = reference(ctx, out["$ref"]) end
  if out.allOf then out.allOf = all(ctx, out) end
  for _, key in ipairs { "anyOf", "oneOf" } do
    if out[key] then out[key] = alternatives(ctx, out, key) end
  end
end

local LEFT_OUT = { "not", "if", "then", "else", "dependentSchemas", "dependencies", "dependentRequired", "contains",
  "contentSchema", "propertyNames", "patternProperties", "unevaluatedItems", "unevaluatedProperties", "additionalItems",
  "$schema", "$id", "id" }

--- One schema; nil where it binds nothing, or, where something has to stand there, any value.
function lower(ctx, schema, always)
  if type(schema) ~= "table" then return always and anything() or nil end
  local out, order = {}, values.keys(schema)
  for _, key in ipairs(order) do out[key] = schema[key] end
  for _, key in ipairs(LEFT_OUT) do out[key] = nil end
  for _, key in ipairs { "minLength", "maxLength", "minItems", "maxItems" } do
    if out[key] and out[key] > REPEATS then out[key] = nil end
  end
  if out.pattern then out.pattern = pattern.bindable(out.pattern, REPEATS) end
  if has_type(out, "integer") then integer(out) end
  inner(ctx, out)
  for _, key in ipairs(TELLING) do
    if out[key] ~= nil then return engine.object(out, order) end
  end
  if not always then return nil end
  local any = anything()
  any["$defs"], any.definitions = out["$defs"], out.definitions
  return any
end

--- The schema for a request's `format`.
---@param data table|boolean a JSON Schema that has been checked
---@return table data itself, where it is in such words already
function M.lowered(data)
  local ctx = { data = data, names = {}, made = {}, order = {}, count = 0 }
  local out = lower(ctx, keywords.rooted(data), true)
  if #ctx.order > 0 then
    local defs, order = {}, {}
    for _, name in ipairs(out["$defs"] and values.keys(out["$defs"]) or {}) do
      defs[name], order[#order + 1] = out["$defs"][name], name
    end
    table.sort(ctx.order)
    for _, name in ipairs(ctx.order) do defs[name], order[#order + 1] = ctx.made[name], name end
    out["$defs"] = engine.object(defs, order)
  end
  if type(data) == "table" and engine.encode(out) == engine.encode(data) then return data end
  return out
end

return M
