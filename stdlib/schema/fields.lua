--- Converts a definition (compact notation, plain JSON Schema, another schema) into one JSON Schema.

local engine = require "core.json"
local errors = require "core.errors"
local formats = require "stoke.schema.formats"
local keywords = require "stoke.schema.keywords"
local notation = require "stoke.schema.notation"
local values = require "stoke.schema.values"

local M = {}

local HINT = "types: string integer number boolean date datetime time email url uuid ipv4 ipv6 hostname object array any null, " ..
  "words a|b|c; then a range (1..80, >= 1), [] for a list, ? for optional, and a description after a colon"

local function mistake(ctx, path, text, hint)
  errors.raise("argument", ("%s: %s%s"):format(ctx.what, path == "" and "" or path .. ": ", text), { hint = hint })
end

local function at(path, name) return path == "" and name or path .. "." .. name end

-- ---- is it a JSON Schema? -------------------------------------------------------------------------------------------

local IS_TYPE = {}
for _, name in ipairs(keywords.TYPES) do IS_TYPE[name] = true end

local function is_types(v)
  if type(v) == "string" then return IS_TYPE[v] == true end
  if type(v) ~= "table" or #v == 0 then return false end
  for _, name in ipairs(v) do
    if not IS_TYPE[name] then return false end
  end
  return true
end

-- Could this value be a field of the notation?
local function may_be_field(v)
  if type(v) == "string" then return notation.likely(v) end
  if type(v) ~= "table" or v == engine.null then return false end
  if values.kind(v) ~= "array" then return true end
  return #v == 1 and may_be_field(v[1])
end

local function all_schemas(v)
  for _, item in next, v do
    if not keywords.is_schema(item) then return false end
  end
  return true
end

-- Do these read as schemas, and not as fields again?
local function are_schemas(map)
  for _, item in next, map do
    if type(item) ~= "boolean" then
      local known = 0
      for key in next, item do
        if keywords.HOLDS[key] then known = known + 1 end
      end
      if known == 0 or item.type ~= nil and not is_types(item.type) then return false end
    end
  end
  return true
end

-- What tells a JSON Schema from fields, of all keys together: nothing here depends on the order in which they are met.
--   count     how many keys there are
--   named     one begins with $
--   foreign   one is no keyword of JSON Schema: a vendor's, or a field
--   odd       a foreign key has a value that no field has
--   vendor    such a one besides that nobody writes for a field: true or false, a list of several, a name such as x-order
--   certain   a keyword has a value that no field has
--   firm      so has one that says something about values
--   structure a keyword that says something about values has more than a text
local function signs(def)
  local of = { count = 0 }
  for key, value in next, def do
    of.count = of.count + 1
    local text, field = type(key) == "string", may_be_field(value)
    if text and key:sub(1, 1) == "$" then of.named = true end
    if not keywords.HOLDS[key] then
      of.foreign = true
      if text and not field then
        of.odd = true
        local list = type(value) == "table" and value ~= engine.null
        if type(value) == "boolean" or list or not key:find "^[%a_][%w_]*%s*%??$" then of.vendor = true end
      end
    else
      if not field then of.certain = true end
      if not field and not keywords.SILENT[key] then of.firm = true end
      if type(value) ~= "string" and not keywords.SILENT[key] then of.structure = true end
    end
  end
  return of
end

-- Schemas may hold keywords of anybody, and fields may be called like keywords. With a type that JSON Schema knows, what else is
-- there decides; without one, only what cannot be fields does.
local function judge_foreign(def, of)
  local parts = def.properties
  local map = values.kind(parts) == "object" and all_schemas(parts) and parts
  if not is_types(def.type) then
    if def.type ~= nil then return "fields" end
    if map and are_schemas(map) and (of.odd or of.certain) then return "json" end
    for _, key in ipairs { "enum", "anyOf", "oneOf", "allOf", "required" } do
      if def[key] ~= nil and not may_be_field(def[key]) then return "json" end
    end
    return "fields"
  end
  local items = def.items
  local shaped = def.type == "object" and map
    or def.type == "array" and (type(items) == "boolean" or values.kind(items) == "object") and { items }
  if shaped and (of.odd or of.certain or are_schemas(shaped)) or of.firm then return "json" end
  if of.vendor or of.certain and of.odd then return "json" end
  return (of.certain or of.odd) and "either" or "fields"
end

-- "json", "fields", or "either": the last is refused, never guessed.
local function judge(def)
  local of = signs(def)
  if of.named then return "json" end
  if of.foreign then return judge_foreign(def, of) end
  local count, certain, structure = of.count, of.certain, of.structure
  if count == 0 then return "fields" end
  if not is_types(def.type) then
    if certain and structure then return "json" end
    local properties = def.properties
    local schemas = def.type == nil and type(properties) == "table" and next(properties) ~= nil and all_schemas(properties)
    return schemas and "either" or "fields"
  end
  for key, value in next, { object = def.properties, array = def.items } do
    if def.type == key and type(value) ~= "nil" then
      if type(value) == "boolean" or type(value) == "table" and values.kind(value) ~= "array"
        and (key == "array" or all_schemas(value)) then return "json" end
      return certain and "json" or "either"
    end
  end
  if certain then return "json" end
  local bare = count == 1 or formats.check[def.format] and count == 2
  return bare and "either" or "fields"
end

-- ---- schemas in schemas ---------------------------------------------------------------------------------------------

local function has_ref(schema)
  local found = false
  keywords.walk(schema, function(node) found = found or node["$ref"] ~= nil end)
  return found
end

-- A schema that refers to itself moves below $defs, and its references with it.
local function hoist(ctx, original, schema, name)
  local base = (name or "part"):gsub("[^%w_-]", "_")
  local free, n = base, 1
  while ctx.defs[free] do
    n = n + 1
    free = ("%s_%d"):format(base, n)
  end
  keywords.walk(schema, function(node)
    local ref = node["$ref"]
    if ref then node["$ref"] = "#/$defs/" .. free .. ref:gsub("^[^#]*#", "") end
  end)
  if schema["$defs"] and next(schema["$defs"]) == nil then schema["$defs"] = nil end
  ctx.defs[free], ctx.hoisted[original] = schema, free
end

local function reference(name) return engine.object { ["$ref"] = "#/$defs/" .. name } end

-- The functions that check a schema check its copy too.
local function follow(old, new, checks, to)
  if type(old) ~= "table" then return end
  if checks[old] then to[new] = checks[old] end
  for key, value in next, old do follow(value, new[key], checks, to) end
end

local function embed(ctx, path, schema, checks, name)
  if schema == true then return engine.object {} end
  if schema == false then return engine.object { ["not"] = engine.object {} } end
  if ctx.hoisted[schema] then return reference(ctx.hoisted[schema]) end
  local copied = keywords.copy(ctx.what, path, schema)
  if next(checks) then follow(schema, copied, checks, ctx.checks) end
  if not has_ref(copied) then return copied end
  hoist(ctx, schema, copied, name)
  return reference(ctx.hoisted[schema])
end

-- ---- reading --------------------------------------------------------------------------------------------------------

local read

local function read_text(ctx, path, text)
  local schema, optional, description = notation.read(text)
  if not schema then mistake(ctx, path, optional, HINT) end
  schema.description = description
  return engine.object(schema), optional
end

local function read_list(ctx, path, def)
  if #def ~= 1 or next(def, 1) ~= nil or next(def) ~= 1 then
    mistake(ctx, path, "a table with one element stands for an array of it; this one has " ..
      (#def > 1 and ("%d (for one of several words or types write \"a|b\")"):format(#def) or "names too"))
  end
  local items, optional = read(ctx, path .. "[]", def[1])
  if optional then mistake(ctx, path .. "[]", "items of a list cannot be optional: name the field with a ?, as in [\"lines?\"]") end
  return engine.object { type = "array", items = items }
end

local function split_name(ctx, path, key)
  if type(key) ~= "string" then
    mistake(ctx, path, ("fields have names, got the key %s"):format(errors.describe(key)), "an array of one shape is { { ... } }")
  end
  local name = key:match "^(.-)%s*%?$"
  if key == "" or name == "" then mistake(ctx, path, "a field has no name") end
  return name or key, name ~= nil
end

local function read_fields(ctx, path, def)
  local source, names, optional = {}, {}, {}
  local given = {}
  for key in next, def do given[#given + 1] = key end
  table.sort(given, function(a, b) return tostring(a) < tostring(b) end) -- always report the same one of several mistakes
  for _, key in ipairs(given) do split_name(ctx, path, key) end
  for _, key in ipairs(values.keys(def)) do
    local name, may_lack = split_name(ctx, path, key)
    if source[name] then mistake(ctx, at(path, name), "stands twice, with and without ?") end
    source[name], optional[name] = key, may_lack
    names[#names + 1] = name
  end
  if getmetatable(def) == nil then table.sort(names) end -- else in the order that json.object gave it
  local properties, required = {}, {}
  for _, name in ipairs(names) do
    local schema, may_lack = read(ctx, at(path, name), def[source[name]])
    properties[name] = schema
    if not may_lack and not optional[name] then required[#required + 1] = name end
  end
  return engine.object { type = "object", properties = engine.object(properties, names), required = engine.array(required) }
end

--- Read a definition.
---@param ctx table { what, checks, defs, hoisted, depth, is_schema, plain }
---@param path string
---@param def any
---@return table schema
---@return boolean optional
function read(ctx, path, def)
  if type(def) == "string" then return read_text(ctx, path, def) end
  if type(def) ~= "table" then
    mistake(ctx, path, ("a notation such as \"string\", a table or a schema expected, got %s"):format(errors.describe(def)), HINT)
  end
  if ctx.is_schema(def) then return embed(ctx, path, def._data, def._checks, def.name), false end
  ctx.depth = ctx.depth + 1
  if ctx.depth > 64 then mistake(ctx, "", "nested too deep, or in a circle: a shape that holds itself needs JSON Schema's $ref") end
  local schema
  if values.kind(def) == "array" then
    schema = read_list(ctx, path, def)
  else
    local verdict = ctx.plain and path == "" and "fields" or judge(def)
    if verdict == "either" then
      mistake(ctx, path, "this could be a JSON Schema or fields of these names",
        "say schema.json { ... } for a JSON Schema, schema.fields { ... } for an object with these fields")
    elseif verdict == "fields" then
      schema = read_fields(ctx, path, def)
    else
      schema = path == "" and keywords.copy(ctx.what, "", def) or embed(ctx, path, def, {})
    end
  end
  ctx.depth = ctx.depth - 1
  return schema, false
end

-- ---- the whole ------------------------------------------------------------------------------------------------------

-- Objects that end at their fields say so in the JSON Schema, too.
local function close(schema)
  local parts = {} -- of one value: what they leave out another may name
  keywords.walk(schema, function(node)
    for _, key in ipairs { "allOf", "anyOf", "oneOf" } do
      for _, part in ipairs(node[key] or {}) do parts[part] = key == "allOf" or parts[part] end
    end
    for _, key in ipairs { "if", "then", "else", "not" } do
      if type(node[key]) == "table" then parts[node[key]] = true end
    end
  end)
  keywords.walk(schema, function(node)
    if keywords.closed(node) and not parts[node] then node.additionalProperties = false end
  end)
end

local function ordered(ctx, names, order)
  local known, out, given = {}, {}, {}
  for _, name in ipairs(names) do known[name] = true end
  for _, name in ipairs(order) do
    if not known[name] then
      local near = type(name) == "string" and errors.suggest(name, names)
      mistake(ctx, "", ("order names %s, which is no field%s"):format(errors.describe(name),
        near and (" (did you mean %s?)"):format(near) or ""))
    end
    if given[name] then mistake(ctx, "", ("order names %s twice"):format(name)) end
    given[name], out[#out + 1] = true, name
  end
  for _, name in ipairs(names) do
    if not given[name] then out[#out + 1] = name end
  end
  return out
end

local function reorder(ctx, schema, order)
  local properties = type(schema) == "table" and schema.properties
  if not properties then mistake(ctx, "", "order is for schemas with fields") end
  local names = ordered(ctx, values.keys(properties), order)
  local fields, required, needed = {}, {}, {}
  for _, name in ipairs(schema.required or {}) do needed[name] = true end
  for _, name in ipairs(names) do
    fields[name] = properties[name]
    if needed[name] then required[#required + 1], needed[name] = name, nil end
  end
  for _, name in ipairs(schema.required or {}) do
    if needed[name] then required[#required + 1] = name end
  end
  schema.properties = engine.object(fields, names)
  if schema.required then schema.required = engine.array(required) end
end

--- Make one JSON Schema of a definition.
---@param what string for messages
---@param def any
---@param form "json"|"fields"|nil what it is said to be
---@param options table checked: order, name, description, strict
---@param is_schema fun(v: any): boolean
---@return table|boolean data
---@return table<table, function[]> checks of the schemas in it, by node
function M.read(what, def, form, options, is_schema)
  local ctx = { what = what, checks = {}, defs = {}, hoisted = {}, depth = 0, is_schema = is_schema, plain = form == "fields" }
  local data, optional
  if is_schema(def) then
    data = keywords.copy(what, "", def._data)
    follow(def._data, data, def._checks, ctx.checks)
  elseif form == "json" then
    data = keywords.copy(what, "", def)
  else
    if ctx.plain and (type(def) ~= "table" or values.kind(def) == "array") then
      mistake(ctx, "", "a table of fields expected, got " .. values.show(def), "schema { ... } takes lists and strings, too")
    end
    data, optional = read(ctx, "", def)
    if optional then mistake(ctx, "", "only a field can be optional") end
  end
  if options.order then reorder(ctx, data, options.order) end
  if type(data) ~= "table" then return data, ctx.checks end
  if next(ctx.defs) then
    for name, schema in next, data["$defs"] or {} do ctx.defs[name] = schema end
    data["$defs"] = engine.object(ctx.defs)
  end
  if options.strict then close(data) end
  data.title = options.name or data.title
  data.description = options.description or data.description
  return data, ctx.checks
end

return M
