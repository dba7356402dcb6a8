--- Who a person is, as a model reads it: fields, fragments of text and files.

local errors = require "core.errors"
local text = require "core.text"

local M = {}

--- Bytes of a persona: each turn has it in its prompt.
M.LONGEST = 8192

--- The fields that come first, in this order; others follow, sorted.
local FIRST <const> = { "age", "gender", "job", "traits", "likes", "dislikes", "aims" }

--- Fields that are texts of their own.
local WHOLE <const> = { text = true, file = true }

local function is_list(value)
  local count = 0
  for _ in next, value do count = count + 1 end
  return count > 0 and count == #value
end

local function word(where, name, value)
  local kind = type(value)
  if kind == "number" or kind == "boolean" then return tostring(value) end
  if kind == "string" and utf8.len(value) then return value end
  if kind == "table" and is_list(value) then
    local words = {}
    for i, one in ipairs(value) do words[i] = word(("%s[%d]"):format(where, i), name, one) end
    return table.concat(words, ", ")
  end
  errors.argument("%s.%s must be a text, a number or a list of these, got %s", where, name, errors.describe(value))
end

local function label(name) return (name:gsub("_", " "):gsub("^%l", string.upper)) end

--- The names of the fields in their order.
local function fields(where, persona)
  local names, seen = {}, {}
  for _, name in ipairs(FIRST) do
    if persona[name] ~= nil then names[#names + 1], seen[name] = name, true end
  end
  local rest = {}
  for name in next, persona do
    if type(name) == "string" then
      if not seen[name] and not WHOLE[name] then rest[#rest + 1] = name end
    elseif math.type(name) ~= "integer" or name < 1 or name > #persona then
      errors.argument("%s has the key %s: fields have names, and fragments of text are a list", where, tostring(name))
    end
  end
  table.sort(rest)
  return table.move(rest, 1, #rest, #names + 1, names)
end

local function fragment(where, value)
  if type(value) ~= "string" or not value:find "%S" or not utf8.len(value) then
    errors.argument("%s must be a text, got %s", where, errors.describe(value))
  end
  return text.trim(value)
end

--- The text of a persona: its fields in one line, then `text`, the fragments, and the file.
---@param where string who was given it
---@param persona nil|string|table
---@return string "" for none
---Raises `argument`, and what reading the file raises.
---
--- Example: `persona.text("stoke.person ada", { age = 41, job = "baker", traits = { "kind" }, "She has a dog." })`
function M.text(where, persona)
  if persona == nil then return "" end
  if type(persona) == "string" then persona = { text = persona } end
  if type(persona) ~= "table" then errors.argument("%s must be a text or a table, got %s", where, errors.describe(persona)) end
  local said, parts = {}, {}
  for i, name in ipairs(fields(where, persona)) do
    said[i] = ("%s: %s."):format(label(name), text.line(word(where, name, persona[name])))
  end
  if said[1] then parts[1] = table.concat(said, " ") end
  if persona.text ~= nil then parts[#parts + 1] = fragment(where .. ".text", persona.text) end
  for i, one in ipairs(persona) do parts[#parts + 1] = fragment(("%s[%d]"):format(where, i), one) end
  if persona.file ~= nil then
    if type(persona.file) ~= "string" then
      errors.argument("%s.file must be a path, got %s", where, errors.describe(persona.file))
    end
    parts[#parts + 1] = fragment(("%s: %s"):format(where, persona.file), require "stoke.fs".read(persona.file))
  end
  local all = table.concat(parts, "\n")
  if #all > M.LONGEST then
    errors.argument("%s has %d bytes, %d at most: each turn has it in its prompt", where, #all, M.LONGEST)
  end
  return all
end

return M
