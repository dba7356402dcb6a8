--- What a browser is sent of the data of others: never more than fits, and nothing that JSON cannot say.

local json = require "stoke.json"
local redact = require "core.redact"
local texts = require "core.text"

local M = {}

--- Tables in tables, items of a table, bytes of a text, and values in all.
local DEPTH <const>, ITEMS <const>, TEXT <const>, VALUES <const> = 8, 200, 4000, 5000

--- A text, cut where it is too long, without the secrets that this process knows; nil for what is none.
---@param value any
---@param most? integer bytes (4,000)
---@return string|nil
---
--- Example: `data.text(member.doing, 120)`
function M.text(value, most)
  if type(value) == "number" then value = tostring(value) end
  if type(value) ~= "string" then return nil end
  most, value = most or TEXT, redact.known(value)
  value = texts.clean(texts.valid(#value > most and texts.head(value, most) .. "…" or value))
  return value
end

--- A number that JSON can say; nil for what is none.
---@param value any
---@return number|nil
---
--- Example: `data.number(member.x)`
function M.number(value)
  if type(value) ~= "number" or value ~= value or value == math.huge or value == -math.huge then return nil end
  return value
end

local copy

local function is_list(value)
  local count = 0
  for key in next, value do
    if math.type(key) ~= "integer" then return false end
    count = count + 1
  end
  return count == #value and count > 0
end

local function sorted_keys(value)
  local keys = {}
  for key in next, value do keys[#keys + 1] = key end
  table.sort(keys, function(a, b)
    if type(a) == type(b) and (type(a) == "string" or type(a) == "number") then return a < b end
    return tostring(a) < tostring(b)
  end)
  return keys
end

local function copy_list(value, state, depth)
  local out = json.array()
  for i, item in ipairs(value) do
    if i > ITEMS then
      out[i] = ("… and %d more"):format(#value - ITEMS)
      break
    end
    out[i] = copy(item, state, depth)
  end
  return out
end

local function copy_table(value, state, depth)
  if depth > DEPTH then return "…" end
  if is_list(value) then return copy_list(value, state, depth + 1) end
  local out, count = {}, 0
  for _, key in ipairs(sorted_keys(value)) do
    count = count + 1
    if count > ITEMS then
      out["…"] = "more"
      break
    end
    out[M.text(key, 200) or type(key)] = copy(value[key], state, depth + 1)
  end
  return json.object(out)
end

function copy(value, state, depth)
  state.left = state.left - 1
  if state.left < 0 then return "…" end
  local kind = type(value)
  if kind == "table" then return copy_table(value, state, depth) end
  if kind == "string" then return M.text(value, state.text) end
  if kind == "number" then return M.number(value) or tostring(value) end
  if kind == "boolean" or value == json.null then return value end
  return "(" .. kind .. ")"
end

--- A copy that JSON can say: long texts, long lists and deep tables are cut, and say so; what is no data is named by its type.
---@param value any
---@param text? integer bytes of each text (4,000)
---@return any
---
--- Example: `local shown = data.plain(record)`
function M.plain(value, text) return copy(value, { left = VALUES, text = text }, 1) end

return M
