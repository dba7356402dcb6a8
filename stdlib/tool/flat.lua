--- Arguments of the plain kind, which nearly all are: an object of strings, numbers and truth values. They are checked and copied
--- in one pass; whatever surprises is left to the check of the schema, which has the words for it.

local math_type, next, type, getmetatable, setmetatable = math.type, next, type, getmetatable, setmetatable

local M = {}

--- What a schema, and a property of it, may say besides, without being looked at here.
local OBJECT = { type = true, properties = true, required = true, description = true, title = true, ["$schema"] = true }
local PROPERTY = { type = true, description = true, title = true, default = true }

--- Kinds of values, and what they are called here: a float that is whole, and one that is none, are the schema's.
local KINDS = { string = "string", boolean = "boolean", integer = "integer", number = "integer" }

local function only(node, known)
  for key in next, node do
    if not known[key] then return false end
  end
  return true
end

---@class stoke.tool.flat
---@field kinds table<string, string> by name
---@field needed string[] names

--- What flat arguments of a schema look like.
---@param schema stoke.Schema
---@return stoke.tool.flat|nil flat nil where they may be anything else
function M.of(schema)
  local node = schema:json_schema()
  if type(node) ~= "table" or node.type ~= "object" or not only(node, OBJECT) or next(schema._checks) ~= nil then return nil end
  local flat = { kinds = {}, needed = {} }
  for name, property in next, node.properties or {} do
    local kind = type(property) == "table" and only(property, PROPERTY) and KINDS[property.type]
    if not kind then return nil end
    flat.kinds[name] = kind
  end
  for i, name in ipairs(node.required or {}) do
    if not flat.kinds[name] then return nil end
    flat.needed[i] = name
  end
  return flat
end

--- A copy of arguments, checked.
---@param flat stoke.tool.flat
---@param given any
---@return table|nil copy nil: the schema has to look at them
function M.read(flat, given)
  if type(given) ~= "table" then return nil end
  local kinds, out = flat.kinds, {}
  for name, value in next, given do
    local kind = math_type(value) or type(value)
    if kind ~= kinds[name] then return nil end
    out[name] = value
  end
  local needed = flat.needed
  for i = 1, #needed do
    if out[needed[i]] == nil then return nil end
  end
  local mark = getmetatable(given)
  return mark and setmetatable(out, mark) or out
end

return M
