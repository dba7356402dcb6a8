--- The compact notation: one string for one type, read into JSON Schema.
---
---     notation    = alternative { "|" alternative } [ ":" description ]
---     alternative = type { "?" | range | comparison | "[]" }  |  word  |  "word" in quotes  |  ( notation ) { "?" | "[]" | range }
---     range       = low ".." high  |  low ".."  |  ".." high        comparison = ( ">=" | ">" | "<=" | "<" ) number
---
--- A range or comparison limits the value of numbers, the characters of strings, the items of arrays; after `[]` it counts items.
--- All alternatives are types (a union), or all are words (an enum); `null` may stand with words.

local engine = require "core.json"
local errors = require "core.errors"
local ordered = require "core.ordered"

local M = {}

-- name -> JSON Schema
local TYPES = {
  string = { type = "string" }, integer = { type = "integer" }, number = { type = "number" }, boolean = { type = "boolean" },
  null = { type = "null" }, object = { type = "object" }, array = { type = "array" }, any = {},
  date = { type = "string", format = "date" }, datetime = { type = "string", format = "date-time" },
  time = { type = "string", format = "time" }, email = { type = "string", format = "email" },
  url = { type = "string", format = "uri" }, uuid = { type = "string", format = "uuid" },
  ipv4 = { type = "string", format = "ipv4" }, ipv6 = { type = "string", format = "ipv6" },
  hostname = { type = "string", format = "hostname" },
}
local NAMES = ordered.names(TYPES)

-- What other languages call them.
local ELSEWHERE = { int = "integer", long = "integer", float = "number", double = "number", decimal = "number", bool = "boolean",
  str = "string", text = "string", char = "string", list = "array", dict = "object", map = "object", table = "object",
  timestamp = "datetime", uri = "url", link = "url", ["nil"] = "null", none = "null", mail = "email", guid = "uuid",
  ["date-time"] = "datetime", enum = "a|b|c", ["true"] = "boolean", ["false"] = "boolean" }

local function copy(t)
  local out = {}
  for key, value in next, t do out[key] = value end
  return out
end

--- The type whose name was probably meant.
---@param word string
---@return string|nil
function M.suggest(word) return ELSEWHERE[word:lower()] or errors.suggest(word, NAMES) end

local function did_you_mean(word)
  local near = M.suggest(word)
  return near and (" (did you mean %s?)"):format(near) or ""
end

-- ---- limits ---------------------------------------------------------------------------------------------------------

local KEYS = {
  number = { low = "minimum", high = "maximum", above = "exclusiveMinimum", below = "exclusiveMaximum" },
  string = { low = "minLength", high = "maxLength", counts = "characters" },
  array = { low = "minItems", high = "maxItems", counts = "items" },
}
KEYS.integer = KEYS.number

-- Sets one limit; returns a complaint, or nil.
local function limit(schema, side, text)
  local keys = KEYS[schema.type]
  if not keys then return ("%s takes no range"):format(schema.type or "any") end
  local n = math.tointeger(tonumber(text)) or tonumber(text)
  if keys.counts then
    if math.type(n) ~= "integer" or n < 0 then
      return ("%s are counted in whole numbers from 0 up, got %s"):format(keys.counts, text)
    end
    if side == "above" then side, n = "low", n + 1 end
    if side == "below" then side, n = "high", n - 1 end
    if n < 0 then return "nothing has fewer than 0 " .. keys.counts end
  elseif schema.type == "integer" and math.type(n) ~= "integer" then
    return ("the limits of an integer are whole numbers, got %s"):format(text)
  end
  if schema[keys[side]] ~= nil then return "the same limit is given twice" end
  schema[keys[side]] = n
end

local function impossible(schema)
  local keys = KEYS[schema.type]
  if not keys then return end
  local low, high = schema[keys.low] or schema[keys.above], schema[keys.high] or schema[keys.below]
  if low and high and (low > high or low == high and (schema[keys.above] or schema[keys.below])) then
    return ("nothing can be between %s and %s"):format(low, high)
  end
end

local NUMBERS = { "^(%-?%d+%.%d+[eE][+-]?%d+)()", "^(%-?%d+[eE][+-]?%d+)()", "^(%-?%d+%.%d+)()", "^(%-?%d+)()" }

local function number(text, at)
  for _, pattern in ipairs(NUMBERS) do
    local found, after = text:match(pattern, at)
    if found then return found, after end
  end
end

local SIDES = { [">="] = "low", [">"] = "above", ["<="] = "high", ["<"] = "below" }

-- One limit at `at`; returns where it ends, or nil; and a complaint.
local function read_limit(schema, text, at)
  local op, after = text:match("^([<>]=?)%s*()", at)
  if op then
    local n, stop = number(text, after)
    if not n then return nil, ("a number must follow %s"):format(op) end
    return stop, limit(schema, SIDES[op], n)
  end
  local low, from = number(text, at)
  from = from or at
  if text:sub(from, from + 1) ~= ".." then
    if low then return nil, ("%s alone says nothing: write a range such as %s..%s, or >= %s"):format(low, low, low, low) end
    return nil
  end
  local high, stop = number(text, from + 2)
  if not low and not high then return nil, "a range needs an end, such as 1..10" end
  local complaint = low and limit(schema, "low", low)
  return stop or from + 2, complaint or high and limit(schema, "high", high)
end

-- What follows a type's name. Returns schema, optional; or nil, complaint.
local function suffixes(schema, text, at)
  local optional = false
  while true do
    at = text:match("^%s*()", at)
    if at > #text then break end
    local sign = text:match("^%?", at) or text:match("^%[%s*%]", at)
    if sign == "?" then
      if optional then return nil, "one ? is enough" end
      optional, at = true, at + 1
    elseif sign then
      if optional then return nil, "items of a list cannot be optional: put the ? last" end
      local complaint = impossible(schema)
      if complaint then return nil, complaint end
      schema, at = { type = "array", items = schema }, at + #sign
    else
      local stop, complaint = read_limit(schema, text, at)
      if complaint then return nil, complaint end
      if not stop then return nil, ("cannot read %q"):format(text:sub(at)) end
      at = stop
    end
  end
  local complaint = impossible(schema)
  if complaint then return nil, complaint end
  return schema, optional
end

-- ---- alternatives ---------------------------------------------------------------------------------------------------

-- Cuts a text into its alternatives and the description. Quotes and a leading ( ) hold together.
local function split(text)
  local parts, at = {}, 1
  while true do
    at = text:match("^%s*()", at)
    local part
    local _, body, after = text:match("^([\"'])(.-)%1%s*()", at)
    if body and text:find("^[|:?]", after) or body and after > #text then
      local optional = text:match("^%?%s*()", after)
      part = { word = body, optional = optional ~= nil }
      at = optional or after
    else
      local group, rest = text:match("^(%b())()", at)
      local suffix = group and text:match("^%s*[%[?:]", rest) and text:match("^[^|:]*", rest)
      if suffix then
        part, at = { group = group:sub(2, -2), suffix = suffix }, rest + #suffix
      else
        local raw = text:match("^[^|:]*", at)
        part, at = { text = raw:match "^(.-)%s*$" }, at + #raw
      end
    end
    parts[#parts + 1] = part
    local sign = text:sub(at, at)
    if sign ~= "|" then return parts, sign == ":" and text:sub(at + 1):match "^%s*(.-)%s*$" or nil, text:sub(at) end
    at = at + 1
  end
end

-- A part's type, when it is one: sets part.schema, part.optional; otherwise part.word, part.complaint.
local function understand(part)
  if part.word then return end
  local text = part.text
  if part.group then
    local inner, optional = M.read(part.group)
    if not inner then part.complaint = optional return end
    if optional then part.complaint = "items of a list cannot be optional: put the ? last" return end
    local schema, more = suffixes(inner, part.suffix, 1)
    if schema then part.schema, part.optional = schema, more else part.complaint = more end
    return
  end
  local name, after = text:match "^([%a][%w]*)()"
  if text:find "^[<>]" then name, after = "number", 1 end
  if name and TYPES[name] and (after > #text or text:find("^[%s?%[<>.]", after)) then
    local schema, optional = suffixes(copy(TYPES[name]), text, after)
    if schema then
      part.schema, part.optional = schema, optional
      return
    end
    part.complaint = optional
  end
  local word = text:match "^(.-)%s*%?$"
  part.word, part.optional, part.bare = word or text, word ~= nil, true
end

-- One schema for several types: a list of types where it can be, for that is what tools keep; else anyOf.
local function union(parts)
  local out, seen, kinds = {}, {}, {}
  for _, part in ipairs(parts) do
    local schema = part.schema
    if next(schema) == nil then return {} end
    local kind = schema.type
    local numeric = kind == "integer" or kind == "number"
    local limited = numeric and next(schema, next(schema)) ~= nil
    local clash = numeric and (seen.limits or limited and (seen.number or seen.integer)) -- limits of one, not of the other
    if type(kind) ~= "string" or seen[kind] or clash then
      kinds = nil
      break
    end
    seen[kind], seen.limits = true, seen.limits or limited
    kinds[#kinds + 1] = kind
    for key, value in next, schema do out[key] = value end
  end
  if kinds then
    out.type = engine.array(kinds)
    return out
  end
  local list = {}
  for i, part in ipairs(parts) do list[i] = engine.object(part.schema) end
  return { anyOf = engine.array(list) }
end

local function enum(words, with_null)
  local list, numeric, seen = {}, true, {}
  for _, part in ipairs(words) do
    if not part.bare or not part.word:find "^%-?%d+%.?%d*$" then numeric = false end
  end
  for i, part in ipairs(words) do
    list[i] = numeric and (math.tointeger(tonumber(part.word)) or tonumber(part.word)) or part.word
    if seen[list[i]] then return nil, ("%q stands twice"):format(part.word) end
    seen[list[i]] = true
  end
  local kind = "string"
  if numeric then
    kind = "integer"
    for _, n in ipairs(list) do
      if math.type(n) == "float" then kind = "number" end
    end
  end
  if with_null then list[#list + 1] = engine.null end
  return { type = with_null and engine.array { kind, "null" } or kind, enum = engine.array(list) }
end

local function unknown(part)
  if part.complaint then return ("%s in %q"):format(part.complaint, part.text or "(" .. part.group .. ")" .. part.suffix) end
  if part.word == "" then return "no type given" end
  local first = part.word:match "^[%w_-]+" or part.word
  return ("unknown type %q%s"):format(first, did_you_mean(first))
end

local function mixed(words, types)
  local word, kind = words[1], types[1]
  if word.complaint then return unknown(word) end
  for _, part in ipairs(types) do
    if part.schema.type ~= "null" then kind = part break end
  end
  local first = word.word:match "^[%w_-]+" or word.word
  return ("%q is no type%s, yet it stands beside the type %s; words that are names of types are written in quotes"):format(
    word.word, did_you_mean(first), kind.text or kind.group)
end

-- Sorts the alternatives into words and types. Returns words, types, nulls, optional; or nil, complaint.
local function sort(parts)
  local words, types, nulls, optional = {}, {}, 0, false
  for i, part in ipairs(parts) do
    understand(part)
    if part.word == "" and part.bare and #parts > 1 then return nil, "an alternative beside | is empty" end
    if part.optional then
      if i < #parts and part.word then part.word, part.optional = part.word .. "?", false end
      optional = optional or part.optional
    end
    if part.schema then
      types[#types + 1] = part
      if part.schema.type == "null" then nulls = nulls + 1 end
    else
      words[#words + 1] = part
    end
  end
  return words, types, nulls, optional
end

-- A complaint about words that were meant as types, or nil.
local function not_words(words, nulls)
  local near = 0
  for _, part in ipairs(words) do
    local text = part.text or ""
    local limits = text:find "[<>%[%]]" or text:find("..", 1, true)
    if part.complaint and (part.group or #words == 1 or limits) then return unknown(part) end
    if part.bare and M.suggest(part.word) then near = near + 1 end
  end
  if near == #words and (#words > 1 or nulls > 0) then
    return unknown(words[1]) .. "; words that are meant as words stand in quotes"
  end
end

--- Read one notation.
---@param text string
---@return table|nil schema JSON Schema, not yet marked as an object; nil for a mistake
---@return boolean|string optional or what is wrong
---@return string|nil description
function M.read(text)
  local parts, description, rest = split(text)
  if not description and rest ~= "" then return nil, ("cannot read %q"):format(rest) end
  local words, types, nulls, optional = sort(parts)
  if not words then return nil, types end
  local schema, complaint
  if #words == 0 then
    schema = #types == 1 and types[1].schema or union(types)
  elseif #types == nulls and (#words + nulls > 1 or not words[1].bare) then
    complaint = not_words(words, nulls)
    if not complaint then schema, complaint = enum(words, nulls > 0) end
    if complaint then return nil, complaint end
  else
    return nil, #types > nulls and mixed(words, types) or unknown(words[1])
  end
  return schema, optional, description ~= "" and description or nil
end

--- Does this string read as a notation, or nearly so?
---@param text string
function M.likely(text)
  if M.read(text) then return not text:find "^%s*[^|]*%s[^|]*|" end
  local word = text:match "^%s*([%w_-]+)%s*%??%s*$"
  return word ~= nil and M.suggest(word) ~= nil
end

return M
