--- What a JSON text says so far, while it still streams in.
---
--- One pass finds the open brackets and the place up to which all is whole; the text up to there, closed, goes through the
--- strict engine. What the engine refuses at a byte is cut before that byte, for every longer text the same, so nothing that was
--- whole changes later. (A key that comes twice is the exception: its last value counts.) The text is an object, an array or a
--- string; a number or literal alone says nothing, since it may be the first word of a sentence.

local engine = require "core.json"
local errors = require "core.errors"

local find, byte, sub, match = string.find, string.byte, string.sub, string.match

local M = {}

local LIMITS = { ordered = true, exact = true }

--- How often a text may be cut before a byte that is no JSON.
local TRIES = 4

--- Where the JSON begins; nil while that cannot be said. In a text that begins otherwise it is the first brace with a quote behind
--- it, the first bracket with a quote or bracket behind it, or what a code fence begins with, whichever comes first.
local function beginning(text)
  local from = match(text, "^\u{FEFF}%s*()") or match(text, "^%s*()")
  if find(text, '^[{%["]', from) then return from end
  local tag = match(text, "^<(think%a*)>", from)
  if tag then
    from = match(text, "</" .. tag .. ">%s*()", from)
    if not from then return nil end
    if find(text, '^[{%["]', from) then return from end
  end
  local first
  for _, pattern in ipairs { '(){%s*"', '()%[%s*[%[{"]', "```%w*%s*()[%[{]" } do
    local at = match(text, pattern, from)
    if at and (not first or at < first) then first = at end
  end
  return first
end

--- The last byte at or before `at` that is no white space.
local function before_space(text, at)
  local c = byte(text, at)
  while c == 32 or c == 10 or c == 13 or c == 9 do
    at = at - 1
    c = byte(text, at)
  end
  return at
end

--- The text up to a place, without the comma at its end, and everything open in it closed.
local function closed(text, from, last, stack, depth)
  last = before_space(text, last)
  if byte(text, last) == 44 then last = last - 1 end
  local head = sub(text, from, last)
  if depth == 0 then return head end
  if depth == 1 then return head .. stack[1] end
  local closers = {}
  for i = depth, 1, -1 do closers[#closers + 1] = stack[i] end
  return head .. table.concat(closers)
end

--- The end of the string that begins at a place; else nil, and its last two backslashes.
local function string_end(text, at)
  local pos, escape, before = at + 1, nil, nil
  while true do
    local stop = find(text, '["\\]', pos)
    if not stop then return nil, escape, before end
    if byte(text, stop) == 34 then return stop end
    escape, before = stop, escape
    pos = stop + 2
  end
end

local function is_high(text, at) return at and find(text, "^\\u[dD][89abAB]%x%x", at) ~= nil end

--- The last byte of an unfinished string that can be shown: no half of an escape, of a pair, of a character.
local function showable(text, escape, before)
  local last = #text
  if escape then
    local half = escape == last or (byte(text, escape + 1) == 117 and escape + 5 > last)
    if half then
      last = escape - 1
      if before == escape - 6 and is_high(text, before) then last = before - 1 end
      return last
    end
    if escape + 5 == last and is_high(text, escape) then return escape - 1 end
  end
  for back = 0, 2 do
    local c = byte(text, last - back)
    if not c or c < 0x80 then return last end
    if c >= 0xC0 then
      local width = c < 0xE0 and 2 or c < 0xF0 and 3 or 4
      if back + 1 >= width then return last end
      local cut = last - back - 1
      -- A backslash before half a character would escape the closing quote.
      return cut == escape and cut - 1 or cut
    end
  end
  return last
end

--- The text before a key that is not whole. Without a comma before it the engine shall find the first byte that is wrong.
local function without_key(text, from, at, stack, depth)
  local c = byte(text, before_space(text, at - 1))
  if c == 44 or c == 123 then return closed(text, from, at - 1, stack, depth) end
  local head = sub(text, from, at) .. '"'
  return closed(head, 1, #head, stack, depth)
end

--- A text that ends inside the string that begins at `at`.
local function close_string(text, from, at, stack, depth, escape, before)
  if depth > 0 and stack[depth] == "}" and byte(text, before_space(text, at - 1)) ~= 58 then
    return without_key(text, from, at, stack, depth)
  end
  local head = sub(text, from, showable(text, escape, before)) .. '"'
  if depth == 0 then return head end
  return closed(head, 1, #head, stack, depth)
end

--- Is this word a whole value? A number is one when something follows it. What is wrong behind a literal the engine finds.
local function is_whole(word, followed)
  if find(word, "^true") or find(word, "^false") or find(word, "^null") then return true end
  return followed and find(word, "^[%d-]") ~= nil
end

--- A text that ends outside of strings. mark: the last string or bracket, and where it ends; behind it stand only commas, a colon,
--- literals and numbers.
local function close_tail(text, from, mark, mark_end, stack, depth)
  local last = #text
  if stack[depth] == "]" then
    local comma = match(text, "^.*(),", mark_end + 1)
    if not comma and byte(text, mark_end) ~= 91 then return closed(text, from, mark_end, stack, depth) end
    local word, behind = match(text, "^%s*([^%s]*)()", (comma or mark_end) + 1)
    if is_whole(word, behind <= last) then return closed(text, from, last, stack, depth) end
    return closed(text, from, comma and comma - 1 or mark_end, stack, depth)
  end
  if byte(text, mark) ~= 34 then return closed(text, from, mark_end, stack, depth) end
  if byte(text, before_space(text, mark - 1)) == 58 then return closed(text, from, mark_end, stack, depth) end -- a value
  local word, behind = match(text, "^%s*:%s*([^%s,]*)()", mark_end + 1)
  if word and is_whole(word, behind <= last) then return closed(text, from, last, stack, depth) end
  return without_key(text, from, mark, stack, depth)
end

--- A whole JSON text that says what this one says so far.
local function complete(text, from)
  local stack, depth, pos, mark, mark_end = {}, 0, from, nil, nil
  while true do
    local at = find(text, '["{}%[%]]', pos)
    if not at then break end
    local c = byte(text, at)
    mark, mark_end = at, at
    if c == 34 then
      local stop, escape, before = string_end(text, at)
      if not stop then return close_string(text, from, at, stack, depth, escape, before) end
      if depth == 0 then return sub(text, from, stop) end
      mark_end = stop
    elseif c == 123 or c == 91 then
      depth = depth + 1
      stack[depth] = c == 123 and "}" or "]"
    else
      if depth <= 1 then return sub(text, from, at) end
      depth = depth - 1
    end
    pos = mark_end + 1
  end
  return close_tail(text, from, mark, mark_end, stack, depth)
end

--- What a JSON text says so far; stoke.json's `partial`.
---@param text string
---@return any value
---
--- Example: `local value = partial.partial '{"a": [1, 2'  --> { a = { 1 } }`
function M.partial(text)
  if type(text) ~= "string" then errors.argument("json.partial: a text expected, got %s", type(text)) end
  local from = beginning(text)
  for _ = 1, from and TRIES or 0 do
    local whole = complete(text, from)
    local value, err = engine.decode(whole, LIMITS)
    if err == nil then return value end
    text = sub(text, 1, from + err.offset - 2)
    if #text < from then return nil end
  end
end

return M
