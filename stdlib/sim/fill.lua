--- Fills JSON schemas from a text: values named in it where they can be found (numbers, quoted
--- strings, capitalised words, enum values, "field: value"), plain ones of the right type where
--- not.

local json = require "stoke.ollama.server.gojson"

local M = {}

local NOT_NAMES = {}
for w in ("I A An The What Where When Who Why How Is Are Do Does Did Can Could Will Would Should Please Tell Give Show Get Find " ..
  "Book Set Use Call Send Add Make Write Create Search Look Summarize Compare Convert Calculate Compute Check Need It This That " ..
  "Monday Tuesday Wednesday Thursday Friday Saturday Sunday January February March April May June July August September " ..
  "October November December And Or But If In On At For Of To From Weather Answer Return Extract Classify List Hello Hi " ..
  "Yes No You My Me"):gmatch "%S+" do NOT_NAMES[w] = true end

-- What people are made to say, think or do who are played by models: something, and it says what it is.
local SPOKEN <const> = { text = true, thought = true, remark = true, speech = true }
local DOING <const> = { activity = true, doing = true }
local REMARKS <const> = { "So I hear.", "That may be.", "I had not thought of that.", "We shall see.", "Who knows?", "Why not?",
  "There is something in that.", "One thing after another.", "That is how it goes.", "Nothing new with me.", "You may be right.",
  "I would like to think about it.", "It is a quiet day.", "What do the others say?", "Some other time.", "Tell me more." }
local DEEDS <const> = { "work", "a walk", "a rest", "a meal", "a look around", "a chat" }
-- Values of an enum from which on a text that names all of them chooses none.
local LISTED <const> = 5

-- Values that one answer has at most: definitions that need each other multiply.
local VALUES = 1000
-- Characters that a string is filled up to.
local LENGTH = 10000

local function collect(list, text, pattern)
  for a in text:gmatch(pattern) do list[#list + 1] = a end
end

-- What a text offers: numbers, quoted strings and names, each in order, each used once before any
-- is used again.
local function harvest(text)
  local h = { text = text, lower = text:lower(), numbers = {}, quoted = {}, names = {}, used = {}, open = {}, left = VALUES }
  collect(h.quoted, text, '"([^"]+)"')
  collect(h.quoted, text, "%f[%w']'([^'\n]+)'%f[^%w']")
  local bare = text:gsub('"[^"]*"', " ")
  for s in (" " .. bare):gmatch "[^%w_.]([-]?%d[%d,]*%.?%d*)" do
    local n = tonumber((s:gsub(",", ""):gsub("%.$", "")))
    if n then h.numbers[#h.numbers + 1] = n end
  end
  local late = {}
  for run in bare:gmatch "%f[%w\128-\255]%u[%w\128-\255'-]*[%u%l%w\128-\255' -]*" do
    local name = {}
    for w in run:gmatch "%S+" do
      if w:match "^%u" and not NOT_NAMES[w] then
        name[#name + 1] = w
      else
        if #name > 0 then late[#late + 1] = table.concat(name, " ") end
        name = {}
      end
    end
    if #name > 0 then late[#late + 1] = table.concat(name, " ") end
  end
  h.names = late
  return h
end

local function next_unused(h, list)
  for i, v in ipairs(list) do
    local id = list == h.numbers and "#" .. i or v
    if not h.used[id] then
      h.used[id] = true
      return v
    end
  end
  return nil
end

local function escape(word) return (word:gsub("%W", "%%%0")) end

-- "total: 42" or "vendor is ACME" or "vendor=ACME"
local function after_label(h, key)
  local label = escape(key:lower():gsub("_", " "))
  for _, p in ipairs { label .. "%s*[:=]%s*()", label .. "%s+is%s+()", label .. "%s+of%s+()" } do
    local at = h.lower:match("%f[%w]" .. p)
    if at then
      local rest = h.text:sub(at)
      return rest:match '^"([^"]+)"' or (rest:match "^[^\n,;]+" or ""):gsub("[.%s]+$", "")
    end
  end
  return nil
end

local function kind_of(schema)
  local t = schema.type
  if json.is_array(t) then
    for _, k in ipairs(t) do if k ~= "null" then return k end end
    return "null"
  end
  if t then return t end
  if schema.properties then return "object" end
  return schema.items and "array" or nil
end

local function is_number(v) return type(v) == "number" and v or nil end

local function in_range(n, schema, integer)
  local low = is_number(schema.minimum) or (type(schema.exclusiveMinimum) == "number" and schema.exclusiveMinimum + 1)
  local high = is_number(schema.maximum) or (type(schema.exclusiveMaximum) == "number" and schema.exclusiveMaximum - 1)
  if low and n < low then n = low end
  if high and n > high then n = high end
  if integer then
    local i = math.tointeger(n) or math.floor(n)
    if low and i < low then i = i + 1 end
    return i
  end
  return n
end

local function number(schema, h, key, integer)
  local label = after_label(h, key)
  local n = label and tonumber((label:match "-?%d[%d,]*%.?%d*" or ""):gsub(",", "") .. "")
  local found = n ~= nil
  if not n then
    n = next_unused(h, h.numbers)
    found = n ~= nil
  else
    for i, v in ipairs(h.numbers) do if v == n then h.used["#" .. i] = true break end end
  end
  return in_range(n or is_number(schema.default) or 0, schema, integer), found
end

local FORMATS = {
  date = "2026-01-01", ["date-time"] = "2026-01-01T00:00:00Z", time = "00:00:00Z", email = "sim@example.com",
  uri = "http://example.com/", uuid = "00000000-0000-4000-8000-000000000000",
}
local FORMAT_PATTERNS = { date = "%d%d%d%d%-%d%d%-%d%d", email = "[%w.+-]+@[%w.-]+%.%a+", uri = "https?://%S+" }

-- One of a list by the text, another one each time.
local function any_of(list, h)
  if not h.seed then
    h.seed = 0
    for i = 1, #h.text do h.seed = (h.seed * 31 + h.text:byte(i)) & 0x7fffffff end
  end
  h.seed = (h.seed * 1103515245 + 12345) & 0x7fffffff
  return list[(h.seed >> 8) % #list + 1]
end

local function fit_length(s, schema)
  local max, min = schema.maxLength, schema.minLength
  if type(max) == "number" and utf8.len(s) and utf8.len(s) > max then
    s = s:sub(1, (utf8.offset(s, max + 1) or #s + 1) - 1)
  end
  if type(min) == "number" and #s < min then s = s .. ("."):rep(math.min(math.ceil(min), LENGTH) - #s) end
  return s
end

local function string(schema, h, key)
  local format = schema.format
  if FORMATS[format] then
    local hit = FORMAT_PATTERNS[format] and h.text:match(FORMAT_PATTERNS[format])
    return hit or FORMATS[format], hit ~= nil
  end
  local s = after_label(h, key)
  if s and s ~= "" then
    h.used[s] = true
    return fit_length(s, schema), true
  end
  local played = is_number(schema.maxLength) and #h.quoted == 0 and (SPOKEN[key] and REMARKS or DOING[key] and DEEDS)
  if played then return fit_length(any_of(played, h) .. " (simulated)", schema), false end
  s = next_unused(h, h.quoted) or next_unused(h, h.names)
  if s then return fit_length(s, schema), true end
  if key:lower():match "expr" or key:lower():match "formula" then
    local e = h.text:match "%-?[%d(][%d%s.+*/^()-]*[%d)]"
    if e then return fit_length(e, schema), true end
  end
  local rest = h.text:gsub("%s+", " "):gsub("^ ", ""):gsub("[?.! ]+$", "")
  return fit_length(#rest > 0 and rest:match("^" .. ("[^ ]* ?"):rep(8)):gsub(" $", "") or "text", schema), false
end

local value

local function enum(schema, h)
  local first, named = nil, 0
  for _, v in ipairs(schema.enum) do
    local s = tostring(v):lower()
    if s ~= "" and (" " .. h.lower .. " "):find("[^%w]" .. escape(s) .. "[^%w]") then
      first, named = first or v, named + 1
      if named == 1 and #schema.enum < LISTED then return v, true end
    end
  end
  if named >= LISTED and named == #schema.enum then return any_of(schema.enum, h), true end
  return first or schema.enum[1], first ~= nil
end

-- Does this lead into a definition that is being filled? What need not be there is left out then, or it would not end.
local function repeats(schema, h)
  return json.is_object(schema) and type(schema["$ref"]) == "string" and h.open[schema["$ref"]] == true
end

local function object(schema, h, root, depth)
  local list, found = {}, 0
  local props = schema.properties
  if json.is_object(props) then
    local needed = {}
    for _, k in ipairs(json.is_array(schema.required) and schema.required or {}) do needed[k] = true end
    for _, k in ipairs(json.keys(props)) do
      if needed[k] or not (h.left <= 0 or repeats(props[k], h)) then
        local v, hit = value(props[k], h, root, k, depth + 1)
        list[#list + 1] = { k, v }
        if hit then found = found + 1 end
      end
    end
  end
  return json.object(list), found > 0
end

local function array(schema, h, root, key, depth)
  local items = json.is_object(schema.items) and schema.items or {}
  local low, high = is_number(schema.minItems) or 1, is_number(schema.maxItems) or 3
  if not schema.minItems and (h.left <= 0 or repeats(items, h)) then return json.array {}, false end
  local out, any = {}, false
  for i = 1, high do
    local v, hit = value(items, h, root, key, depth + 1)
    if h.left <= 0 or i > low and (not hit or json.is_object(v) or type(v) == "boolean" or items.enum) then break end
    out[i] = v
    any = any or hit
  end
  return json.array(out), any
end

local function resolve(schema, root)
  for _ = 1, 8 do
    local ref = schema["$ref"]
    if type(ref) == "string" then
      local at = root
      for step in ref:gsub("^#/?", ""):gmatch "[^/]+" do at = type(at) == "table" and at[step] or nil end
      schema = json.is_object(at) and at or {}
    else
      local any = schema.anyOf or schema.oneOf or schema.allOf
      if not json.is_array(any) or not json.is_object(any[1]) then return schema end
      schema = any[1]
    end
  end
  return schema
end

local typed

--- A value for a schema.
---@return any value
---@return boolean found the text named it
function value(schema, h, root, key, depth)
  if not json.is_object(schema) then return "text", false end
  h.left = h.left - 1
  local ref = type(schema["$ref"]) == "string" and schema["$ref"] or nil
  local outer = ref and h.open[ref]
  if ref then h.open[ref] = true end
  local v, found = typed(resolve(schema, root), h, root, key, depth)
  if ref then h.open[ref] = outer end
  return v, found
end

function typed(schema, h, root, key, depth)
  if schema.const ~= nil then return schema.const, false end
  if json.is_array(schema.enum) and #schema.enum > 0 then return enum(schema, h) end
  local kind = kind_of(schema)
  if depth > 24 or h.left < 0 or kind == "null" then return json.null, false end
  if kind == "object" then return object(schema, h, root, depth) end
  if kind == "array" then return array(schema, h, root, key, depth) end
  if kind == "integer" then return number(schema, h, key, true) end
  if kind == "number" then return number(schema, h, key, false) end
  if kind == "boolean" then
    local no = h.lower:find("%f[%w]not?%f[%W]") or h.lower:find("n't", 1, true)
    return not no, h.lower:find(key:lower():gsub("_", " "), 1, true) ~= nil
  end
  return string(schema, h, key)
end

--- A value for `format`: "json" or a schema.
---@param format any
---@param text string
---@return any
function M.format(format, text)
  local h = harvest(text)
  if not json.is_object(format) or #json.keys(format) == 0 then
    return json.object { { "simulator", "stoke" }, { "message", (text:gsub("%s+", " "):sub(1, 60):gsub("[\128-\255]+$", "")) } }
  end
  return (value(format, h, format, "", 0))
end

local function required(parameters, key)
  if not json.is_array(parameters.required) then return false end
  for _, k in ipairs(parameters.required) do if k == key then return true end end
  return false
end

--- Arguments for a tool, from a text: the required ones always, the others where the text names
--- them.
---@param parameters any the tool's schema
---@param text string
---@return table arguments
---@return integer found how many the text named
---@return integer missing how many required ones of type string, number or integer it did not
function M.arguments(parameters, text)
  if not json.is_object(parameters) or not json.is_object(parameters.properties) then return json.object {}, 0, 0 end
  local h, list, found, missing = harvest(text), {}, 0, 0
  local keys = json.keys(parameters.properties)
  for pass = 1, 2 do -- required ones choose first
    for i, k in ipairs(keys) do
      local needed = required(parameters, k)
      if needed == (pass == 1) then
        local v, hit = value(parameters.properties[k], h, parameters, k, 1)
        if hit then found = found + 1 end
        if needed and not hit and type(v) == "number" then missing = missing + 1 end
        if needed or hit then list[#list + 1] = { k, v, i } end
      end
    end
  end
  table.sort(list, function(a, b) return a[3] < b[3] end)
  return json.object(list), found, missing
end

--- One set of arguments for each thing asked about ("Oslo and Rome"), when the tool takes a single
--- string; at most three.
---@return table[]
function M.variants(parameters, text, args)
  local keys = json.is_object(parameters) and json.is_object(parameters.properties) and json.keys(parameters.properties) or {}
  local key = keys[1]
  if #keys ~= 1 or type(args[key]) ~= "string" or parameters.properties[key].enum then return { args } end
  local h = harvest(text)
  local list = #h.quoted > 0 and h.quoted or h.names
  if #list < 2 or args[key] ~= list[1] or not text:find(" and ", 1, true) then return { args } end
  local out, seen = {}, {}
  for _, v in ipairs(list) do
    if not seen[v] and #out < 3 then out[#out + 1] = json.object { { key, v } } end
    seen[v] = true
  end
  return out
end

return M
