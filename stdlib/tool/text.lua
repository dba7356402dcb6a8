--- Values as text for a model: valid UTF-8 of a bounded length, whatever a tool returned or a file held.

local errors = require "core.errors"
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

--- A table that JSON cannot say, by the names in it.
local function names(value)
  local ok, words = pcall(errors.describe, value)
  return ok and words or "a table"
end

--- Any value as text. An address in memory says nothing to anybody and is another one each time, so none is in it.
---@param value any
---@param max integer bytes
---@return string
---
--- Example: `text.of({ celsius = 4 }, 1000)  --> '{"celsius":4}'`
function M.of(value, max)
  local kind = type(value)
  local out
  if kind == "string" then
    out = value
  elseif value == nil then
    out = "ok"
  elseif kind == "number" or kind == "boolean" then
    out = tostring(value)
  else
    out = own_words(value) or kind == "table" and (json.encode(value) or names(value)) or "a " .. kind
  end
  local size = #out
  if size <= max then return M.cut(texts.valid(out), max) end -- a byte that is none may grow to three
  return M.cut(texts.valid(out:sub(1, max + 4)), max, size) -- the rest of a huge one is not looked at
end

return M
