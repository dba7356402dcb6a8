--- The keywords of JSON Schema: the type of each, which are validated; walking, copying and reading schemas.

local engine = require "core.json"
local errors = require "core.errors"
local formats = require "stoke.schema.formats"
local values = require "stoke.schema.values"

local M = {}

M.TYPES = { "array", "boolean", "integer", "null", "number", "object", "string" }
local IS_TYPE = {}
for _, name in ipairs(M.TYPES) do IS_TYPE[name] = true end

--- keyword -> what it holds: one schema, a list of them, a map of them, ... (see HOLDS below)
M.HOLDS = {
  type = "type", enum = "values", const = "value", required = "names",
  properties = "map", patternProperties = "map", additionalProperties = "schema", propertyNames = "schema",
  minProperties = "count", maxProperties = "count", dependentRequired = "lists", dependentSchemas = "map", dependencies = "mixed",
  items = "items", prefixItems = "list", additionalItems = "schema", contains = "schema", minItems = "count", maxItems = "count",
  minContains = "count", maxContains = "count", uniqueItems = "flag",
  minLength = "count", maxLength = "count", format = "text", pattern = "text",
  minimum = "number", maximum = "number", exclusiveMinimum = "limit", exclusiveMaximum = "limit", multipleOf = "number",
  allOf = "list", anyOf = "list", oneOf = "list", ["not"] = "schema", ["if"] = "schema", ["then"] = "schema", ["else"] = "schema",
  ["$ref"] = "text", ["$defs"] = "map", definitions = "map", ["$schema"] = "text", ["$id"] = "text", ["$comment"] = "any",
  ["$anchor"] = "text", ["$dynamicRef"] = "text", ["$dynamicAnchor"] = "text", ["$recursiveRef"] = "text",
  ["$recursiveAnchor"] = "any", ["$vocabulary"] = "any", id = "any",
  title = "text", description = "text", default = "value", examples = "any", readOnly = "any", writeOnly = "any",
  deprecated = "any", contentEncoding = "text", contentMediaType = "text", contentSchema = "schema",
  unevaluatedItems = "schema", unevaluatedProperties = "schema",
}

-- Those that promise nothing about a value.
local SILENT = {}
for name in ([[title description default examples readOnly writeOnly deprecated $comment $schema $id $anchor $dynamicAnchor
  $recursiveAnchor $vocabulary $defs definitions id]]):gmatch "%S+" do SILENT[name] = true end
--- Keywords that say nothing about a value.
M.SILENT = SILENT

-- Those that are passed on, and no more.
local UNCHECKED = {}
for name in ([[pattern patternProperties contentEncoding contentMediaType contentSchema unevaluatedItems unevaluatedProperties
  $dynamicRef $recursiveRef]]):gmatch "%S+" do UNCHECKED[name] = true end

local function is_record(v)
  local kind = values.kind(v)
  return kind == "object" or kind == "empty"
end

local function is_list(v)
  local kind = values.kind(v)
  return kind == "array" or kind == "empty"
end

--- May this stand where a schema is wanted?
function M.is_schema(v) return type(v) == "boolean" or is_record(v) end

local function at(path, key) return path == "" and key or path .. "." .. key end

-- ---- walking --------------------------------------------------------------------------------------------------------

--- Call `visit(schema, path)` for a schema and each below it, outermost first, in the order of their keys.
---@param schema table|boolean
---@param visit fun(schema: table, path: string)
function M.walk(schema, visit, path)
  if type(schema) ~= "table" then return end
  path = path or ""
  visit(schema, path)
  for _, key in ipairs(values.keys(schema)) do
    local holds, value = M.HOLDS[key], rawget(schema, key)
    if holds == "schema" or holds == "items" and not is_list(value) then
      M.walk(value, visit, at(path, key))
    elseif holds == "map" or holds == "mixed" then
      for _, name in ipairs(values.keys(value)) do
        if is_record(value[name]) then M.walk(value[name], visit, at(at(path, key), name)) end
      end
    elseif holds == "list" or holds == "items" then
      for i, item in ipairs(value) do M.walk(item, visit, ("%s[%d]"):format(at(path, key), i)) end
    end
  end
end

--- The keywords that a schema holds and that are not checked, sorted; a format by its name: `format=regex`.
---@param schema table|boolean
---@return string[]
function M.unchecked(schema)
  local seen, list = {}, {}
  local function add(name)
    if not seen[name] then seen[name], list[#list + 1] = true, name end
  end
  M.walk(schema, function(node)
    for key, value in next, node do
      if key == "format" and not formats.check[value] then add("format=" .. tostring(value)) end
      if UNCHECKED[key] or not M.HOLDS[key] then add(tostring(key)) end
    end
    if node.patternProperties and node.additionalProperties ~= nil then add "additionalProperties" end
  end)
  table.sort(list)
  return list
end

-- ---- copying and checking a plain one -------------------------------------------------------------------------------

local function mistake(ctx, path, format, ...)
  errors.argument("%s: %s%s", ctx, path == "" and "" or path .. ": ", format:format(...))
end

local function check_type(ctx, path, value)
  local list = is_list(value) and value or { value }
  if #list == 0 then mistake(ctx, path, "a type, or a list of types, expected") end
  for _, name in ipairs(list) do
    if not IS_TYPE[name] then
      local near = type(name) == "string" and errors.suggest(name, M.TYPES)
      mistake(ctx, path, "unknown type %s%s", type(name) == "string" and ("%q"):format(name) or errors.describe(name),
        near and (" (did you mean %s?)"):format(near) or "")
    end
  end
  return is_list(value) and engine.array(table.move(value, 1, #value, 1, {})) or value
end

local function check_names(ctx, path, value)
  if not is_list(value) then mistake(ctx, path, "a list of names expected, got %s", errors.describe(value)) end
  local out = {}
  for i, name in ipairs(value) do
    if type(name) ~= "string" then mistake(ctx, path, "item %d must be a name, got %s", i, errors.describe(name)) end
    out[i] = name
  end
  return engine.array(out)
end

local function expect(kind, words, test)
  return function(ctx, path, value)
    if not test(value) then mistake(ctx, path, "%s expected, got %s", words, errors.describe(value)) end
    return kind and kind(value) or value
  end
end

local copy

local function copy_map(ctx, path, value, depth, each)
  if not is_record(value) then mistake(ctx, path, "a table of schemas by name expected, got %s", errors.describe(value)) end
  local out, order = {}, values.keys(value)
  for _, name in ipairs(order) do out[name] = (each or copy)(ctx, at(path, name), value[name], depth + 1) end
  return engine.object(out, order)
end

local function copy_list(ctx, path, value, depth)
  if not is_list(value) then mistake(ctx, path, "a list of schemas expected, got %s", errors.describe(value)) end
  local out = {}
  for i, item in ipairs(value) do out[i] = copy(ctx, ("%s[%d]"):format(path, i), item, depth + 1) end
  return engine.array(out)
end

local function copy_value(ctx, path, value)
  local copied = values.clone(value)
  if copied == nil then mistake(ctx, path, "nested too deep") end
  return copied
end

local function is_count(v) return type(v) == "number" and math.tointeger(v) ~= nil and v >= 0 end

-- what a keyword holds -> how it is read
local READ = {
  type = check_type, names = check_names, map = copy_map, list = copy_list, value = copy_value, any = copy_value,
  schema = function(...) return copy(...) end,
  items = function(ctx, path, value, depth)
    return (values.kind(value) == "array" and copy_list or copy)(ctx, path, value, depth)
  end,
  lists = function(ctx, path, value, depth) return copy_map(ctx, path, value, depth, check_names) end,
  mixed = function(ctx, path, value, depth)
    return copy_map(ctx, path, value, depth, function(c, p, v, d)
      return (values.kind(v) == "array" and check_names or copy)(c, p, v, d)
    end)
  end,
  values = function(ctx, path, value)
    if not is_list(value) then mistake(ctx, path, "a list of values expected, got %s", errors.describe(value)) end
    local copied = copy_value(ctx, path, value)
    return getmetatable(copied) == nil and engine.array(copied) or copied
  end,
  count = expect(math.tointeger, "a whole number from 0 up", is_count),
  number = expect(nil, "a number", function(v) return type(v) == "number" and v == v end),
  limit = expect(nil, "a number", function(v) return type(v) == "number" and v == v or type(v) == "boolean" end),
  flag = expect(nil, "true or false", function(v) return type(v) == "boolean" end),
  text = expect(nil, "a string", function(v) return type(v) == "string" end),
}

--- A plain JSON Schema checked and copied: lists are marked as such, orders kept.
---@param ctx string whose it is, for messages
---@param path string
---@param schema any
---@return table|boolean
function copy(ctx, path, schema, depth)
  depth = depth or 0
  if type(schema) == "boolean" then return schema end
  if not is_record(schema) then
    mistake(ctx, path, "a JSON Schema (a table, true or false) expected, got %s", errors.describe(schema))
  end
  if depth > 100 then mistake(ctx, "", "nested too deep, or in a circle: use $ref") end
  local out, order = {}, values.keys(schema)
  local other
  for key in next, schema do
    if type(key) ~= "string" and (not other or tostring(key) < other) then other = tostring(key) end
  end
  if other then mistake(ctx, path, "keywords expected, got the key %s", other) end
  for _, key in ipairs(order) do
    local value = schema[key]
    out[key] = (READ[M.HOLDS[key]] or copy_value)(ctx, at(path, key), value, depth)
  end
  if out.multipleOf and out.multipleOf <= 0 then mistake(ctx, at(path, "multipleOf"), "a number above 0 expected") end
  local declared = getmetatable(schema)
  return engine.object(out, type(declared) == "table" and order or nil)
end
M.copy = copy

--- Does an object with these keywords end at them: may fields it does not name be told from fields that another part names?
---@param node table
---@return boolean
function M.closed(node)
  return node.properties ~= nil and node.additionalProperties == nil and not (node.patternProperties or node.allOf or node.anyOf
    or node.oneOf or node["if"] or node["$ref"] or node.dependentSchemas or node.dependencies
    or node.unevaluatedProperties ~= nil)
end

--- What a reference at the top of a schema leads to, with the definitions beside it.
---@param data any
---@return any
function M.rooted(data)
  local root, seen = data, {}
  while type(root) == "table" and type(root["$ref"]) == "string" and not seen[root] do
    seen[root] = true
    local target = data
    for step in (root["$ref"]:match "^#(.*)$" or "?"):gmatch "[^/]+" do
      if type(target) ~= "table" then return data end
      step = step:gsub("~1", "/"):gsub("~0", "~")
      target = target[step] or target[(math.tointeger(step) or -1) + 1]
    end
    root = target
  end
  if root == data or type(root) ~= "table" or seen[root] then return data end
  local out, order = {}, values.keys(root)
  for _, name in ipairs(order) do out[name] = root[name] end
  for _, name in ipairs { "$defs", "definitions" } do
    if data[name] ~= nil and out[name] == nil then
      out[name], order[#order + 1] = data[name], name
    end
  end
  return engine.object(out, order)
end

return M
