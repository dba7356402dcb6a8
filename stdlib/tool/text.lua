--- Values as text for a model: valid UTF-8 of a bounded length, whatever a tool returned or a file held.

local errors = require "core.errors"
local json = require "core.json"

local M = {}

--- A text as valid UTF-8; a byte that is none becomes U+FFFD.
---@param text string
---@return string
---
--- Example: `text.utf8 "caf\xE9"  --> "caf\u{FFFD}"`
function M.utf8(text)
  local _, bad = utf8.len(text)
  if not bad then return text end
  local out, from = {}, 1
  while bad do
    out[#out + 1] = text:sub(from, bad - 1)
    out[#out + 1] = "\u{FFFD}"
    from = bad + 1
    _, bad = utf8.len(text, from)
  end
  out[#out + 1] = text:sub(from)
  return table.concat(out)
end

--- The beginning of a text, whole characters only, and a note of what was cut.
---@param text string
---@param max integer bytes
---@return string
---
--- Example: `text.cut(page, 4096)`
function M.cut(text, max)
  if #text <= max then return text end
  local last = max
  while last > 0 and text:byte(last + 1) >= 0x80 and text:byte(last + 1) < 0xC0 do last = last - 1 end
  return ("%s\n[cut: the first %d of %d bytes]"):format(text:sub(1, last), last, #text)
end

--- Any value as text.
---@param value any
---@param max integer bytes
---@return string
---
--- Example: `text.of({ celsius = 4 }, 1000)  --> '{"celsius":4}'`
function M.of(value, max)
  local kind, out = type(value), nil
  if kind == "string" then
    out = value
  elseif value == nil then
    out = "ok"
  elseif kind == "table" then
    local meta = getmetatable(value)
    if type(meta) == "table" and rawget(meta, "__tostring") then out = tostring(value) end
    out = out or json.encode(value) or errors.describe(value)
  else
    out = tostring(value)
  end
  return M.cut(M.utf8(out), max)
end

return M
