--- One JSON value as models write it: objects and arrays with commas, colons, quotes and brackets too many, too few or wrong.
---
--- The reader never goes back and never fails: at what it cannot read it halts, and everything open is closed there. It only
--- gives up, with r.too_deep, at max_depth.

local engine = require "core.json"
local notes = require "stoke.reading.notes"
local strings = require "stoke.reading.strings"
local words = require "stoke.reading.words"

local find, byte, match = string.find, string.byte, string.match
local note, opening = notes.note, strings.opening
local NOTHING = words.NOTHING

local M = {}

--- Bytes that may begin something that counts as white space.
local ODD = { [47] = true, [35] = true, [42] = true, [0xC2] = true, [0xE2] = true, [0xEF] = true, [11] = true, [12] = true,
              [0] = true }

--- Where the comment, mark or odd space at a place ends; nil when there is none.
local function odd_space(r, c, at)
  local text = r.text
  if c == 47 or c == 35 then
    local stop
    if c == 35 or find(text, "^/", at + 1) then
      stop = find(text, "\n", at, true) or #text + 1
    elseif find(text, "^%*", at + 1) then
      local _, last = find(text, "*/", at + 2, true)
      stop = (last or #text) + 1
    end
    if stop then note(r, "comment left out") end
    return stop
  end
  if c == 42 then
    if find(text, "^%*", at + 1) then
      note(r, "Markdown bold left out")
      return at + 2
    end
    return
  end
  local stop = (c == 11 or c == 12 or c == 0) and at + 1 or match(text, "^\u{A0}()", at) or match(text, "^\u{FEFF}()", at)
    or match(text, "^\xE2\x80[\x80-\x8F\xA8-\xAF]()", at)
  if stop then note(r, "odd white space left out") end
  return stop
end

--- Go to what comes next, over white space and comments; nil at the end.
local function skip(r)
  if r.halted then return nil end
  local text = r.text
  while true do
    local at = find(text, "[^ \t\r\n]", r.pos)
    if not at then
      r.pos = #text + 1
      return nil
    end
    r.pos = at
    local c = byte(text, at)
    if c == 96 and find(text, "^```", at) then -- the end of a code fence
      r.halted = true
      return nil
    end
    local stop = ODD[c] and odd_space(r, c, at)
    if not stop then return c end
    r.pos = stop
  end
end

M.skip = skip

local read_object, read_array

--- "a" + "b": one string.
local function read_joined(r, context)
  local s, cut = strings.read(r, context)
  local pieces
  while not cut do
    local after = match(r.text, "^[ \t\r\n]*%+[ \t\r\n]*()", r.pos)
    if not after or not opening(r.text, after) then break end
    note(r, "strings joined by + made one")
    r.pos = after
    pieces = pieces or { s }
    pieces[#pieces + 1], cut = strings.read(r, context)
  end
  return pieces and table.concat(pieces) or s
end

--- Read the value that comes next.
---@param r table
---@param context string "object", "array" or "top"
---@return any NOTHING when there is none
function M.read(r, context)
  local c = skip(r)
  if not c then return NOTHING end
  if c == 123 then return read_object(r) end
  if c == 91 then return read_array(r) end
  if c == 44 or c == 59 or c == 58 or c == 125 or c == 93 then return NOTHING end
  if opening(r.text, r.pos) then
    r.quoted = true
    return read_joined(r, context)
  end
  return words.read(r, context)
end

local function enter(r, context)
  local depth = #r.stack + 1
  if depth > r.max_depth then
    r.too_deep, r.halted = r.pos, true
    return false
  end
  r.stack[depth] = context
  r.pos = r.pos + 1
  return true
end

local function leave(r) r.stack[#r.stack] = nil end

--- A closing bracket of the other kind: is it this container's own, mistyped? Else the container was never closed, and the
--- bracket belongs to one further out. When that one is the outermost, and the text goes on behind it, it was mistyped.
local function mistyped(r, own)
  local depth = #r.stack
  local outer = depth - 1
  while outer > 0 and r.stack[outer] == own do outer = outer - 1 end
  if outer == 0 then return true end
  if outer > 1 then return false end
  return match(r.text, "^[ \t\r\n]*[,}%]]", r.pos + 1) ~= nil
end

--- Consume or leave the wrong bracket, and say so.
local function wrong_closer(r, own)
  if mistyped(r, own) then
    note(r, own == "object" and "] read as }" or "} read as ]")
    r.pos = r.pos + 1
  else
    note(r, own == "object" and "missing } put in" or "missing ] put in")
  end
end

local function is_ellipsis(r) return match(r.text, "^%.%.%.+()", r.pos) or match(r.text, "^\u{2026}()", r.pos) end

--- Pass over a comma; `again`: an item may come here already.
local function pass_comma(r, c, again)
  if c == 59 then note(r, "; read as a comma") end
  if again then note(r, "extra comma left out") end
  r.comma, r.pos = r.pos, r.pos + 1
end

local function pass_ellipsis(r)
  note(r, "ellipsis left out")
  r.pos = is_ellipsis(r)
end

--- Where the text cannot be read: pass over it when the container goes on in this line, else halt. Words on a new line, with no
--- comma before them, are prose behind a container that was never closed.
local function stray(r, any, comma)
  local text, at = r.text, r.pos - 1
  local stop = any and find(text, "[\"'}%],\n]", r.pos + 1)
  local c = byte(text, at)
  while not comma and (c == 32 or c == 9 or c == 13) do
    at = at - 1
    c = byte(text, at)
  end
  if not stop or stop - r.pos > 40 or byte(text, stop) == 10 or (c == 10 and not comma) then
    r.halted = true
    return
  end
  note(r, "stray characters left out")
  r.pos = stop
end

function read_array(r)
  local list, n, comma = {}, 0, true
  if not enter(r, "array") then return NOTHING end
  while true do
    local c = skip(r)
    if not c then
      r.cut = r.cut or (comma and n > 0)
      note(r, "missing ] put in")
      break
    elseif c == 93 then
      if comma and n > 0 then note(r, "trailing comma left out", r.comma) end
      r.pos = r.pos + 1
      break
    elseif c == 125 then
      wrong_closer(r, "array")
      break
    elseif c == 44 or c == 59 then
      pass_comma(r, c, comma)
      comma = true
    elseif (c == 46 or c == 0xE2) and is_ellipsis(r) then
      pass_ellipsis(r)
      comma = false
    elseif c == 58 then
      stray(r, n > 0, comma)
    else
      if n > 0 and not comma then note(r, "missing comma put in") end
      local value = M.read(r, "array")
      if value ~= NOTHING then
        n = n + 1
        list[n] = value
      end
      comma = false
    end
  end
  leave(r)
  return engine.array(list)
end

--- A key, nil when none can be read here; then what of it counts: cut, bare.
local function read_key(r, comma)
  local text = r.text
  if opening(text, r.pos) then
    r.quoted = true
    local key, cut = strings.read(r, "key")
    r.quoted_keys = true
    return key, cut
  end
  local key, after = match(text, "^([%a_$\x80-\xFF][%w_$%-.\x80-\xFF]*)()", r.pos)
  if not key then key, after = match(text, "^(%-?%d[%w_.]*)()", r.pos) end
  if not key then return nil end
  local behind = find(text, "[^ \t\r\n*]", after)
  local colon = behind and find(text, "^[:=]", behind)
  if not behind then
    r.pos = #text + 1
    r.cut = true
    note(r, "cut key left out")
    return key, true
  end
  -- "Note: ..." behind an object that was never closed
  if not colon or (not comma and r.quoted_keys) then return nil end
  note(r, "quotes put round a key")
  r.bare_keys = true
  r.pos = after
  return utf8.len(key) and key or key:gsub("[\x80-\xFF]+", "\u{FFFD}"), false
end

--- Past the colon; false when the text ends before the value.
local function pass_colon(r)
  local text = r.text
  local c = skip(r)
  if c == 58 then
    r.pos = r.pos + 1
    c = skip(r)
    while c == 58 or c == 61 do
      note(r, "extra colon left out")
      r.pos = r.pos + 1
      c = skip(r)
    end
  elseif c == 61 then
    note(r, "= read as a colon")
    r.pos = match(text, "^=+>?()", r.pos)
    c = skip(r)
  elseif c and c ~= 44 and c ~= 125 and c ~= 93 then
    note(r, "missing colon put in")
  end
  return c ~= nil
end

--- One key and its value into the object; false when none can be read here.
local function read_member(r, object, order, comma)
  local at = r.pos
  local key, cut = read_key(r, comma)
  if not key then return false end
  if cut then return true end
  if not comma and #order > 0 then note(r, "missing comma put in", at) end
  if not pass_colon(r) then
    r.cut = true
    note(r, "key without a value left out")
    return true
  end
  local value = M.read(r, "object")
  if value == NOTHING then
    if r.halted then note(r, "key without a value left out") end
    if r.halted or r.pos > #r.text then return true end
    note(r, "missing value read as null")
    value = engine.null
  end
  if object[key] == nil then order[#order + 1] = key end
  object[key] = value
  return true
end

--- {{"a": 1}}, as in templates; {{...}, {...}} is a list.
local function read_doubled(r)
  local first = M.read(r, "array")
  local c = skip(r)
  if c ~= 44 then
    note(r, "doubled braces read as single")
    if c == 125 then r.pos = r.pos + 1 end
    return first
  end
  note(r, "braces round a list read as brackets")
  local list = { first ~= NOTHING and first or nil }
  while c == 44 do
    r.pos = r.pos + 1
    if skip(r) ~= 123 then break end
    local value = M.read(r, "array")
    if value ~= NOTHING then list[#list + 1] = value end
    c = skip(r)
  end
  c = skip(r)
  if c == 125 or c == 93 then r.pos = r.pos + 1 end
  return engine.array(list)
end

--- A brace that would close the outermost object, with more of it behind.
local function too_early(r)
  local at = #r.stack == 1 and match(r.text, "^[ \t\r\n]*,[ \t\r\n]*()", r.pos + 1)
  return at and at <= #r.text and strings.begins_key(r.text, at)
end

function read_object(r)
  local object, order, comma = {}, {}, true
  if not enter(r, "object") then return NOTHING end
  if skip(r) == 123 then
    local value = read_doubled(r)
    leave(r)
    return value
  end
  while true do
    local c = skip(r)
    if not c then
      r.cut = r.cut or (comma and #order > 0)
      note(r, "missing } put in")
      break
    elseif c == 125 then
      if not too_early(r) then
        if comma and #order > 0 then note(r, "trailing comma left out", r.comma) end
        r.pos = r.pos + 1
        break
      end
      note(r, "stray closing bracket left out")
      r.pos, comma = r.pos + 1, false
    elseif c == 93 then
      wrong_closer(r, "object")
      break
    elseif c == 44 or c == 59 then
      pass_comma(r, c, comma)
      comma = true
    elseif (c == 46 or c == 0xE2) and is_ellipsis(r) then
      pass_ellipsis(r)
      comma = false
    elseif read_member(r, object, order, comma) then
      comma = false
    else
      stray(r, #order > 0, comma)
    end
  end
  leave(r)
  return engine.object(object, order)
end

--- A reader of one value.
---@param text string
---@param pos integer where it begins
---@param max_depth integer
---@return table
function M.reader(text, pos, max_depth)
  local r = notes.new()
  r.text, r.pos, r.max_depth, r.stack = text, pos, max_depth, {}
  return r
end

M.NOTHING = NOTHING

return M
