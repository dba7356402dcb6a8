--- What of a schema one pass in C can check: types, limits, words, fields and items, as specs of core.json. A spec says yes of a
--- value that is right as it stands, and no of everything else, so that the checks in Lua, which know the words for what is wrong
--- and what may be forgiven, are asked only where there is something to say. Specs are made when the first value is checked: most
--- schemas of a program never see one.

local engine = require "core.json"
local formats = require "stoke.schema.formats"
local keywords = require "stoke.schema.keywords"
local values = require "stoke.schema.values"
local words = require "stoke.schema.words"

local M = {}

local FIELDS, WORDS, DEPTH = 64, 32, 32 -- of a spec: fields, words of an enum, specs in specs
local EXACT, COUNT = 2.0 ^ 53, 1e9      -- beyond these a limit is looked at in Lua

--- Keywords that are read below, or promise nothing; with any other a schema is not for here.
local READ = {}
for name in ([[type enum minLength maxLength format minimum maximum exclusiveMinimum exclusiveMaximum items minItems maxItems
  properties required additionalProperties pattern contentEncoding contentMediaType]]):gmatch "%S+" do READ[name] = true end

local function is_readable(node)
  for key in next, node do
    if not READ[key] and not keywords.SILENT[key] and keywords.HOLDS[key] then return false end
  end
  return not formats.check[node.format]
end

local function has(node, names)
  for _, name in ipairs(names) do
    if node[name] ~= nil then return true end
  end
  return false
end

local SAYING = {}
for name in next, READ do
  if name ~= "pattern" and name ~= "contentEncoding" and name ~= "contentMediaType" and name ~= "format" then
    SAYING[#SAYING + 1] = name
  end
end

local BESIDE = { "minLength", "maxLength", "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum" }

-- An enum of strings alone.
local function listed(node)
  if node.type ~= nil and node.type ~= "string" or has(node, BESIDE) or #node.enum == 0 or #node.enum > WORDS then return nil end
  for _, value in ipairs(node.enum) do
    if type(value) ~= "string" then return nil end
  end
  return { kind = "string", words = node.enum, depth = 0 }
end

-- The kinds of a schema with a type, as a set and in a spec's words; a float for an integer is changed, which Lua does.
local function kinds_of(node)
  local list, set, out = type(node.type) == "table" and node.type or { node.type }, {}, {}
  for _, name in ipairs(list) do set[name] = true end
  if set.object and set.array then return nil end
  if set.integer then set.number = nil end
  for _, name in ipairs(keywords.TYPES) do
    if set[name] then out[#out + 1] = name == "object" and "record" or name == "array" and "list" or name end
  end
  return set, table.concat(out, "|")
end

local function is_limit(x, most) return x == nil or type(x) == "number" and x <= most and x >= -most end

local function limited(node, def)
  local least, most, above, below = words.limits(node)
  for i = 1, 4 do
    if not is_limit((select(i, least, most, above, below)), EXACT) then return nil end
  end
  def.least, def.most, def.above, def.below = least, most, above, below
  return def
end

local function sized(def, min, max)
  if not is_limit(min, COUNT) or not is_limit(max, COUNT) then return nil end
  def.min, def.max = min, max
  return def
end

local function list_of(ctx, node, mode, def)
  local items = node.items
  if items ~= nil and items ~= true then
    if type(items) ~= "table" or values.kind(items) == "array" then return nil end
    def.of = M.field(ctx, items, mode == "test" and mode or "own")
    if not def.of then return nil end
    def.depth = def.of.depth + 1
  end
  return sized(def, node.minItems, node.maxItems)
end

--- What becomes of fields that the schema does not name: nil where they are checked, else whether they may be there.
local function open(node, mode)
  local additional = node.additionalProperties
  if additional == false then return false end
  if type(additional) == "table" and next(additional) ~= nil then return nil end
  return not (additional == nil and mode == "own" and keywords.closed(node))
end

local function object(ctx, node, mode)
  local fields, place, hard, depth = {}, {}, {}, 1
  local free = open(node, mode)
  if free == nil or node.patternProperties then return nil end
  for _, name in ipairs(values.keys(node.properties or {})) do
    local def = M.field(ctx, node.properties[name], mode == "test" and mode or "own")
    if not def then hard[#hard + 1] = name end
    if not utf8.len(name) or name == "" then return nil end
    local field = {}
    for key, value in next, def or { kind = "any", depth = 0 } do field[key] = value end
    field.name = name
    depth = math.max(depth, field.depth + 1)
    fields[#fields + 1], place[name] = field, field
  end
  for _, name in ipairs(node.required or {}) do
    if not place[name] then -- wanted, and yet no field of the schema
      if not free or not utf8.len(name) or name == "" then return nil end
      place[name] = { name = name, kind = "any" }
      fields[#fields + 1] = place[name]
    end
    place[name].required = true
  end
  if #fields > FIELDS or depth > DEPTH then return nil end
  fields.open = free
  return { spec = engine.spec(fields), hard = hard, depth = depth }
end

--- What C can judge of an object; fields beyond that are let pass, and named.
---@param ctx table of compile.lua
---@param node table
---@param mode "own"|"same"|"test"
---@return { spec: userdata, hard: string[], depth: integer }|nil hard: the fields that are still to be checked
function M.object(ctx, node, mode)
  local known = ctx.objects[mode][node]
  if known == nil then
    known = object(ctx, node, mode) or false
    ctx.objects[mode][node] = known
  end
  return known or nil
end

local function read(ctx, node, mode)
  if node == true then return { kind = "any", depth = 0 } end
  if type(node) ~= "table" or not is_readable(node) or mode ~= "test" and ctx.checks[node] then return nil end
  if node.enum ~= nil then return listed(node) end
  if node.type == nil then return not has(node, SAYING) and { kind = "any", depth = 0 } or nil end
  local set, kind = kinds_of(node)
  if not set then return nil end
  local def = limited(node, { kind = kind, depth = 0 })
  if not def then return nil end
  if set.array then return list_of(ctx, node, mode, def) end
  if set.object then
    local found = M.object(ctx, node, mode)
    if not found or #found.hard > 0 then return nil end
    def.of, def.depth = found.spec, found.depth
    return def
  end
  return sized(def, node.minLength, node.maxLength)
end

--- What a schema says as a field of a spec, with `depth`, the specs in it; nil when C cannot judge all of it.
---@param ctx table of compile.lua
---@param node table|boolean
---@param mode "own"|"same"|"test"
---@return table|nil
function M.field(ctx, node, mode)
  if type(node) ~= "table" then return read(ctx, node, mode) end
  local known = ctx.quick[mode][node]
  if known == nil then
    known = read(ctx, node, mode) or false
    ctx.quick[mode][node] = known
  end
  return known or nil
end

--- The spec of a list or an object, all of which C can judge; nil = there is none.
---@param ctx table
---@param node table|boolean
---@param mode "own"|"same"|"test"
---@return userdata|nil
function M.spec(ctx, node, mode)
  local def = type(node) == "table" and (node.type == "array" or node.type == "object") and M.field(ctx, node, mode)
  return def and engine.spec({ def }, true) or nil
end

return M
