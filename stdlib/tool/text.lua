--- Converts any value to text for a model: valid UTF-8 of bounded length.

local json = require "core.json"
local texts = require "core.text"

local M = {}

--- The beginning of a text, whole characters only, and a note of what was cut.
---@param text string
---@param max integer bytes
---@param size? integer bytes of the whole, when text is only its beginning
---@return string
---
--- Example: `text.cut(page, 4096)`
function M.cut(text, max, size)
  if #text <= max then return text end
  local head = texts.head(text, max)
  return ("%s\n[cut: the first %d of %d bytes]"):format(head, #head, size or #text)
end

--- What a value says of itself; nil when it says nothing, or fails to.
local function own_words(value)
  local meta = getmetatable(value)
  if type(meta) ~= "table" or not rawget(meta, "__tostring") then return nil end
  local ok, words = pcall(tostring, value)
  return ok and words or nil
end

-- ---- what JSON cannot say ---------------------------------------------------------------------------------------------------

--- Tables in tables, and values in all, of what is written out so.
local DEPTH <const>, VALUES <const> = 32, 20000

local plain

--- A list, with null where it has holes; nil where the table is none, or more hole than list.
local function as_list(value, state, depth)
  local count, last = 0, 0
  for key in next, value do
    if math.type(key) ~= "integer" or key < 1 then return nil end
    count, last = count + 1, math.max(last, key)
  end
  if count == 0 or last > 2 * count + 8 then return nil end
  local out = json.array {}
  for i = 1, last do
    local item = rawget(value, i)
    if item == nil then out[i] = json.null else out[i] = plain(item, state, depth) end
  end
  return out
end

local function as_object(value, state, depth)
  local out = {}
  for key, item in next, value do
    local name = type(key) == "string" and texts.valid(key) or own_words(key)
      or (type(key) == "table" or type(key) == "function" or type(key) == "userdata" or type(key) == "thread") and "a " .. type(key)
      or tostring(key)
    while out[name] ~= nil do name = name .. "_" end
    out[name] = plain(item, state, depth)
  end
  return json.object(out)
end

--- A value with words in the place of what JSON cannot say. `state` is what is open, and how much may come.
function plain(value, state, depth)
  local kind = type(value)
  state.left = state.left - 1
  if kind == "string" then return texts.valid(value) end
  if kind == "number" and (value ~= value or value - value ~= 0) then
    return value ~= value and "NaN" or value > 0 and "Infinity" or "-Infinity"
  end
  if kind == "number" or kind == "boolean" or value == json.null then return value end
  if kind ~= "table" then return own_words(value) or "a " .. kind end
  if state.open[value] then return "the table that this is in" end
  if depth > DEPTH or state.left < 0 then return "..." end
  state.open[value] = true
  local out = not json.is_array(value) and own_words(value) or as_list(value, state, depth + 1)
    or as_object(value, state, depth + 1)
  state.open[value] = nil
  return out
end

--- A table that JSON cannot say: as JSON, with words where it cannot.
local function faithful(value)
  local ok, text = pcall(function() return json.encode(plain(value, { open = {}, left = VALUES }, 1)) end)
  return ok and text or "a table"
end

--- Any value as text. An address in memory says nothing to anybody and is another one each time, so none is in it.
---@param value any
---@param max integer bytes
---@return string
---@return string|nil unsaid what of it JSON cannot say, and where
---
--- Example: `text.of({ celsius = 4 }, 1000)  --> '{"celsius":4}'`
function M.of(value, max)
  local kind = type(value)
  local out, unsaid
  if kind == "string" then
    out = value
  elseif value == nil then
    out = "ok"
  elseif kind == "number" or kind == "boolean" then
    out = tostring(value)
  else
    out = own_words(value)
    if not out and kind == "table" then
      local err
      out, err = json.encode(value)
      if not out then out, unsaid = faithful(value), err.message:gsub("^cannot encode ", "") end
    elseif not out then
      out = "a " .. kind
      unsaid = out
    end
  end
  local size = #out
  if size <= max then return M.cut(texts.valid(out), max), unsaid end -- a byte that is none may grow to three
  return M.cut(texts.valid(out:sub(1, max + 4)), max, size), unsaid -- the rest of a huge one is not looked at
end

return M
