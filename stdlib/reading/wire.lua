--- A server's JSON, read as servers write it: the frame is strict JSON, what a model said in it may hold anything. A model's
--- tokens end in the middle of characters; servers send such a half as it is, or as half of a surrogate pair. Here it joins its
--- other half in the next piece, or becomes U+FFFD.

local json = require "core.json"

local M = {}

local find, sub, byte = string.find, string.sub, string.byte
local type = type

--- What a model wrote keeps the order it has (arguments go back as they came) and its numbers: one that neither an integer nor
--- a float holds is a string of its digits.
local STRICT = { ordered = "arguments", exact = true }
M.STRICT = STRICT
local ANY_BYTES = { ordered = "arguments", exact = "bytes" }

--- Read a text. Strict first: nearly all are.
---@param text string
---@return any value
---@return stoke.error|nil err
---@return boolean|nil damaged strings in it hold what is no UTF-8: M.mend, or M.join for the pieces of a stream
function M.decode(text)
  local value, err = json.decode(text, STRICT)
  if err == nil then return value end
  local lenient, still = json.decode(text, ANY_BYTES)
  if still ~= nil then return nil, still end
  return lenient, nil, true
end

-- ---- halves of characters -------------------------------------------------------------------------------------------------

local REPLACEMENT <const> = "\u{FFFD}"

--- The lead byte's own bounds for the byte behind it (RFC 3629); else 80 to BF.
local SECOND = { [0xE0] = { 0xA0, 0xBF }, [0xED] = { 0x80, 0x9F }, [0xF0] = { 0x90, 0xBF }, [0xF4] = { 0x80, 0x8F } }

--- How many bytes the character at `at` should have, and how many of them are there.
local function extent(s, at)
  local lead = byte(s, at)
  local wanted = lead < 0xC2 and 1 or lead < 0xE0 and 2 or lead < 0xF0 and 3 or lead < 0xF5 and 4 or 1
  local there, bounds = 1, SECOND[lead]
  while there < wanted do
    local c = byte(s, at + there)
    local low, high = 0x80, 0xBF
    if there == 1 and bounds then low, high = bounds[1], bounds[2] end
    if not c or c < low or c > high then break end
    there = there + 1
  end
  return wanted, there
end

--- A surrogate pair of which each half was written as a character of its own.
local function pair(s, at)
  local a, b, c, d = s:match("^\xED([\xA0-\xAF])([\x80-\xBF])\xED([\xB0-\xBF])([\x80-\xBF])", at)
  if not a then return nil end
  local high = (byte(a) & 0x0F) << 6 | byte(b) & 0x3F
  local low = (byte(c) & 0x0F) << 6 | byte(d) & 0x3F
  return utf8.char(0x10000 + (high << 10) + low)
end

--- A text as UTF-8: halves joined, the rest replaced, U+FFFD for each broken character.
---@param s string
---@return string
---@return boolean replaced
function M.whole(s)
  local _, bad = utf8.len(s)
  if not bad then return s, false end
  local out, from, replaced = {}, 1, false
  while bad do
    out[#out + 1] = sub(s, from, bad - 1)
    local joined = pair(s, bad)
    if joined then
      out[#out + 1], from = joined, bad + 6
    else
      local half = find(s, "^\xED[\xA0-\xBF][\x80-\xBF]", bad)
      local _, there = extent(s, bad)
      out[#out + 1], from, replaced = REPLACEMENT, bad + (half and 3 or there), true
    end
    _, bad = utf8.len(s, from)
  end
  out[#out + 1] = sub(s, from)
  return table.concat(out), replaced
end

--- Where a character begins that more bytes could complete; nil when the text ends in a whole one.
local function open_end(s)
  for at = math.max(1, #s - 5), #s do
    local c = byte(s, at)
    if c >= 0xC2 then
      local wanted, there = extent(s, at)
      if there < wanted and at + there > #s then return at end
      local tail = c == 0xED and sub(s, at)
      if tail and find(tail, "^\xED[\xA0-\xBF]$") then return at end
      if tail and #tail < 6 and pair(tail .. sub("\xED\xA0\x80\xED\xB0\x80", #tail + 1), 1) then return at end
    end
  end
end

--- A piece of a stream behind the half that the piece before it ended in.
---@param half string "" when there is none
---@param s string
---@return string text UTF-8
---@return string half what it ends in, for the next piece
---@return boolean replaced
function M.join(half, s)
  if half ~= "" then s = half .. s end
  local at = open_end(s)
  half = at and sub(s, at) or ""
  local text, replaced = M.whole(at and sub(s, 1, at - 1) or s)
  return text, half, replaced
end

--- Mend all strings of a value, keys too.
---@param value any as decoded
---@return any value the same table
---@return boolean replaced
function M.mend(value)
  if type(value) == "string" then return M.whole(value) end
  if type(value) ~= "table" then return value, false end
  local replaced, keys = false, nil
  for key, item in next, value do
    local mended, lost = M.mend(item)
    if mended ~= item then value[key] = mended end
    replaced = replaced or lost
    if type(key) == "string" and not utf8.len(key) then keys = keys or {} keys[#keys + 1] = key end
  end
  for _, key in ipairs(keys or {}) do
    value[M.whole(key)], value[key] = value[key], nil
    replaced = true
  end
  return value, replaced
end

return M
