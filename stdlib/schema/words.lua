--- Describes what a schema expects, for small models and for people. A phrase is short however large the schema is, because every
--- message about the value contains it.

local texts = require "core.text"
local formats = require "stoke.schema.formats"
local values = require "stoke.schema.values"

local M = {}

local show = values.show

local LISTED = 24   -- alternatives, and words of an enum, that a phrase names
local NAMED = 200   -- bytes of the names of fields
local LONGEST = 1000 -- bytes of a phrase

local function cut(text, most) return #text > most and texts.head(text, most) .. "..." or text end

--- Several phrases as one: "a, b or c"; of many, the first.
---@param list string[]
---@param last? string "or" unless given
---@return string
function M.join(list, last)
  if #list < 2 then return list[1] or "nothing" end
  if #list > LISTED then
    return ("%s %s one of %d more"):format(cut(table.concat(list, ", ", 1, LISTED), LONGEST), last or "or", #list - LISTED)
  end
  return cut(("%s %s %s"):format(table.concat(list, ", ", 1, #list - 1), last or "or", list[#list]), LONGEST)
end

--- The limits of a schema for numbers: inclusive low and high, exclusive low and high.
---@param node table
---@return number|nil low
---@return number|nil high
---@return number|nil above
---@return number|nil below
function M.limits(node)
  local low, high, above, below = node.minimum, node.maximum, node.exclusiveMinimum, node.exclusiveMaximum
  if above == true then low, above = nil, low end -- as draft 4 has it
  if below == true then high, below = nil, high end
  return low, high, above or nil, below or nil
end

local function range(node)
  local low, high, above, below = M.limits(node)
  if low and high and not above and not below then
    return low == high and " equal to " .. show(low) or (" from %s to %s"):format(show(low), show(high))
  end
  local parts = {}
  if low then parts[#parts + 1] = ">= " .. show(low) end
  if above then parts[#parts + 1] = "> " .. show(above) end
  if high then parts[#parts + 1] = "<= " .. show(high) end
  if below then parts[#parts + 1] = "< " .. show(below) end
  return #parts > 0 and " " .. table.concat(parts, " and ") or ""
end

local function count(low, high, one, many)
  if low == 0 then low = nil end
  if not low and not high then return "" end
  local n = high or low
  local unit = n == 1 and one or many
  if low == high then return (" of %d %s"):format(n, unit) end
  if not high then return (" of at least %d %s"):format(low, unit) end
  if not low then return (" of at most %d %s"):format(high, unit) end
  return (" of %d to %d %s"):format(low, high, unit)
end

local OF = {}

function OF.number(node, name)
  local text = (name or "number") .. range(node)
  return node.multipleOf and ("%s, a multiple of %s"):format(text, show(node.multipleOf)) or text
end

function OF.integer(node) return OF.number(node, "integer") end

function OF.string(node)
  if node.format and formats.words[node.format] then
    return formats.words[node.format] .. count(node.minLength, node.maxLength, "character", "characters")
  end
  if node.minLength == 1 and not node.maxLength then return "non-empty string" end
  return "string" .. count(node.minLength, node.maxLength, "character", "characters")
end

function OF.array(node)
  return "array" .. count(node.minItems, node.maxItems, "item", "items")
end

function OF.object(node)
  local names = node.properties and values.keys(node.properties) or {}
  if #names == 0 then return "object" .. count(node.minProperties, node.maxProperties, "field", "fields") end
  local shown = cut(table.concat(names, ", ", 1, math.min(#names, 8)), NAMED)
  return ("object { %s%s }"):format(shown, #names > 8 and ", ..." or "")
end

function OF.boolean() return "true or false" end

function OF.null() return "null" end

local function choice(list)
  local shown = {}
  for i, value in ipairs(list) do
    if i > LISTED then
      shown[i] = "..."
      break
    end
    shown[i] = show(value)
  end
  if #shown == 0 then return "nothing: no value is allowed" end
  return #shown == 1 and shown[1] or "one of " .. table.concat(shown, ", ")
end

--- The type that keywords speak about where none is named.
---@param node table
---@return string|nil
function M.implied(node)
  if node.properties or node.required or node.additionalProperties ~= nil or node.minProperties or node.maxProperties
    or node.propertyNames ~= nil then return "object" end
  if node.items ~= nil or node.prefixItems or node.minItems or node.maxItems or node.uniqueItems or node.contains ~= nil then
    return "array"
  end
  if node.minLength or node.maxLength or node.format or node.pattern then return "string" end
  if node.minimum or node.maximum or node.exclusiveMinimum or node.exclusiveMaximum or node.multipleOf then return "number" end
end

local expected

-- Alternatives may be alternatives again, by references that come back to themselves: `run.left` is for all of them.
local function alternatives(branches, resolve, depth, run)
  local parts = {}
  for i, branch in ipairs(branches) do
    if run.left <= 0 then
      parts[i] = ("one of %d more"):format(#branches - i + 1)
      break
    end
    parts[i] = expected(branch, resolve, depth + 1, run)
  end
  return M.join(parts)
end

function expected(node, resolve, depth, run)
  run.left = run.left - 1
  if node == false then return "nothing" end
  if node == true or depth > 8 then return "any value" end
  if node["$ref"] then return expected(resolve(node["$ref"]), resolve, depth + 1, run) end
  if node.const ~= nil then return show(node.const) end
  if node.enum then return choice(node.enum) end
  local branches = node.anyOf or node.oneOf
  if branches and not node.type then return alternatives(branches, resolve, depth, run) end
  local kinds = node.type or M.implied(node)
  if not kinds then
    if node.allOf and node.allOf[1] ~= nil then return expected(node.allOf[1], resolve, depth + 1, run) end
    if node["not"] ~= nil then return "anything but " .. expected(node["not"], resolve, depth + 1, run) end
    return "any value"
  end
  if type(kinds) == "string" then return OF[kinds](node) end
  local parts = {}
  for i, kind in ipairs(kinds) do parts[i] = OF[kind](node) end
  return M.join(parts)
end

--- What a schema expects, as a phrase: `integer >= 1`, `one of "low", "high"`, `array of 1 to 5 items`.
---@param node table|boolean
---@param resolve fun(ref: string): table|boolean
---@return string
function M.expected(node, resolve) return expected(node, resolve, 0, { left = LISTED }) end

return M
