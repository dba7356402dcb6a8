--- Strings as models write them: in any quotes, with line breaks and wrong escapes in them, with quotes left unescaped or
--- unclosed, or cut.
---
--- Where a string ends is the one question that needs judgement. A quote ends it when what follows could follow a string there:
--- for a value in an object a comma and a next key, a bracket, the end. Every other quote is text. In strict JSON this always
--- finds the true end. No look ahead goes past the next quote or line, so the time stays linear.

local note = require "stoke.reading.notes".note
local valid = require "core.text".valid

local find, byte, sub, match = string.find, string.byte, string.sub, string.match

local M = {}

--- A text without the white space at its end. (The pattern "%s*$" would be tried from every space.)
---@param text string
---@return string
function M.rtrim(text)
  local last = #text
  while find(text, "^%s", last) do last = last - 1 end
  return sub(text, 1, last)
end

--- stops: the bytes at which reading a string looks up. closers: what ends it.
local PLAIN = { stops = '[%z\1-\31"\\]', closers = { '"' }, plain = true }
local SINGLE = { stops = "[%z\1-\31'\\]", closers = { "'" }, says = "single quotes read as double quotes", apostrophe = true }
local BACK = { stops = "[%z\1-\31`\\]", closers = { "`" }, says = "backticks read as double quotes" }
local CURLY = { stops = '[%z\1-\31"\\\xE2]', closers = { "\u{201D}", "\u{201C}", '"' },
                says = "typographic quotes read as double quotes" }
local CURLY_SINGLE = { stops = "[%z\1-\31'\\\xE2]", closers = { "\u{2019}", "\u{2018}", "'" }, apostrophe = true,
                       says = "typographic quotes read as double quotes" }
local ANGLE = { stops = "[%z\1-\31\\\xC2]", closers = { "\u{BB}" }, says = "typographic quotes read as double quotes" }

local OPENERS = {
  ['"'] = PLAIN, ["'"] = SINGLE, ["`"] = BACK, ["\u{201C}"] = CURLY, ["\u{201D}"] = CURLY, ["\u{201E}"] = CURLY,
  ["\u{2018}"] = CURLY_SINGLE, ["\u{2019}"] = CURLY_SINGLE, ["\u{201A}"] = CURLY_SINGLE, ["\u{AB}"] = ANGLE,
}

--- The quotes that begin at a place.
---@param text string
---@param at integer
---@return table|nil kind
---@return integer|nil width in bytes
function M.opening(text, at)
  local c = byte(text, at)
  if c == 34 then return PLAIN, 1 end
  if c == 39 or c == 96 and not find(text, "^```", at) then return OPENERS[sub(text, at, at)], 1 end
  if c == 0xE2 then return OPENERS[sub(text, at, at + 2)], 3 end
  if c == 0xC2 then return OPENERS[sub(text, at, at + 1)], 2 end
end

local opening = M.opening

--- Does a quoted key begin here: quotes, and behind them a colon or, where that is missing, a value?
local function begins_key(text, at)
  local kind, width = opening(text, at)
  if not kind then return false end
  local stop = find(text, kind.stops, at + width)
  if not stop then return true end -- the text is cut here
  local c = byte(text, stop)
  if c == 92 then return true end
  if c < 32 then return false end
  local behind = match(text, "^[\x80-\xBF]*[ \t\r\n]*()", stop + 1)
  return behind > #text or find(text, "^[:=%d{%[]", behind) ~= nil
end

M.begins_key = begins_key

local LITERAL = { ["true"] = true, ["false"] = true, ["null"] = true, True = true, False = true, None = true, NaN = true,
                  undefined = true }

--- What may follow a comma besides keys and values: an end, a second comma, a comment, an ellipsis, Markdown.
local function is_lenient(text, at)
  return find(text, "^[}%],;#]", at) or find(text, "^/[/*]", at) or find(text, "^%.%.%.", at)
    or find(text, "^\u{2026}", at) or find(text, "^%*%*", at) or find(text, "^```", at)
end

--- May what follows a comma be the next thing in this container?
local function after_comma(text, from, context)
  local at = find(text, "[^ \t\r\n]", from)
  if not at then return true end
  local quoted = opening(text, at)
  if context == "object" then
    if quoted then return begins_key(text, at) end
    return is_lenient(text, at) or find(text, "^[%a_$\x80-\xFF][%w_$%-\x80-\xFF]*[ \t]*[:=]", at)
      or find(text, "^%-?%d+[ \t]*:", at) or find(text, "^{", at)
  end
  if quoted or find(text, "^[%d%-+.{%[]", at) or is_lenient(text, at) then return true end
  local word, behind = match(text, "^([%a_][%w_%-]*)[ \t\r\n]*()", at)
  return word and (LITERAL[word] or behind > #text or find(text, "^[,%]]", behind))
end

--- May the container be closed by the bracket at this place?
local function after_closer(r, at, context)
  local text = r.text
  local own = byte(text, at) == (context == "object" and 125 or 93)
  local behind = find(text, "[^ \t\r\n]", at + 1)
  local c = behind and byte(text, behind)
  if not behind or c == 125 or c == 93 then return true end
  if c == 44 then
    local inside = own and r.stack[#r.stack - 1] or not own and context
    return not inside or after_comma(text, behind + 1, inside)
  end
  if find(text, "^```", behind) then return true end
  if own and #r.stack == 1 then return behind > at + 1 or not opening(text, behind) end -- text may follow
  return find(text, "^[ \t\r]*\n", at + 1) or begins_key(text, behind)
end

--- Does the quote that ends before `after` close the string? context: "key", "object" or "array" (a value in one), "top".
local function closes(r, after, context, kind)
  local text = r.text
  local at = find(text, "[^ \t\r\n]", after)
  if not at or context == "top" then return true end
  local c = byte(text, at)
  if context == "key" then return not (kind.apostrophe and at == after and find(text, "^%a", at)) end
  if c == 44 or c == 59 then return after_comma(text, at + 1, context) end -- , ;
  if c == 125 or c == 93 then return after_closer(r, at, context) end
  if c == 58 then return context == "array" end
  if c == 47 then return find(text, "^[/*]", at + 1) end
  if c == 35 then return at > after end
  if c == 43 then return opening(text, find(text, "[^ \t\r\n]", at + 1) or at) end
  if find(text, "^```", at) or find(text, "^%*%*", at) or find(text, "^</", at) then return true end
  if opening(text, at) then
    if context == "object" then return begins_key(text, at) end
    return at > after or find(text, "^[^\"'`\n]*[\"'`][ \t\r\n]*[,%]]", at + 1)
  end
  if context == "array" then return c == 123 or c == 91 or (at > after and find(text, "^%-?%d", at)) end
  return at > after and (r.bare_keys or find(text, "^[ \t\r]*\n", after)) and find(text, "^[%a_$][%w_$%-]*[ \t]*:", at)
end

--- A quote that ends nothing: does it begin the next key, so that the string before it was never closed?
---@return integer|nil last byte of the string
---@return integer|nil next where reading goes on
local function never_closed(text, at, from)
  if not find(text, "^[\"'][%w_%-. ]+[\"'][ \t]*:", at) then return end
  local i = at - 1
  local line = false
  while i > from do
    local c = byte(text, i)
    if c == 10 then line = true end
    if c ~= 32 and c ~= 9 and c ~= 10 and c ~= 13 then break end
    i = i - 1
  end
  if byte(text, i) == 44 then return i - 1, i end
  if line then return i, i + 1 end
end

local ESCAPES = { ['"'] = '"', ["\\"] = "\\", ["/"] = "/", b = "\b", f = "\f", n = "\n", r = "\r", t = "\t" }

--- \u at a place: the character and where it ends.
local function unicode(r, at)
  local text = r.text
  local hex = match(text, "^%x%x%x%x", at + 2)
  if not hex then
    local braced, stop = match(text, "^{(%x+)}()", at + 2)
    local code = braced and #braced <= 6 and tonumber(braced, 16)
    if code and code <= 0x10FFFF and (code < 0xD800 or code > 0xDFFF) then
      note(r, "escape written as JSON has it", at)
      return utf8.char(code), stop
    end
    if find(text, "^%x*$", at + 2) then return nil, #text + 1 end -- cut
    note(r, "wrong escape read as text", at)
    return "\\u", at + 2
  end
  local code = tonumber(hex, 16)
  if code < 0xD800 or code > 0xDFFF then return utf8.char(code), at + 6 end
  local low = code < 0xDC00 and match(text, "^\\u([dD][c-fC-F]%x%x)", at + 6)
  if low then return utf8.char(0x10000 + ((code - 0xD800) << 10) + (tonumber(low, 16) - 0xDC00)), at + 12 end
  if code < 0xDC00 and (find(text, "^\\?$", at + 6) or find(text, "^\\u%x*$", at + 6)) then return nil, #text + 1 end
  note(r, "half of a surrogate pair replaced", at)
  return "\u{FFFD}", at + 6
end

--- The escape at a place: what it stands for (nil: the text ends in it) and where it ends. A backslash that begins no escape is
--- kept before a letter or a digit (paths, patterns) and dropped before anything else.
local function escape(r, at)
  local text = r.text
  local c = sub(text, at + 1, at + 1)
  if ESCAPES[c] then return ESCAPES[c], at + 2 end
  if c == "u" then return unicode(r, at) end
  if c == "" then return nil, at + 1 end
  local hex = c == "x" and match(text, "^%x%x", at + 2)
  if hex then
    note(r, "escape written as JSON has it", at)
    return utf8.char(tonumber(hex, 16)), at + 4
  end
  note(r, "wrong escape read as text", at)
  if find(c, "^%w") then return "\\" .. c, at + 2 end
  if c == "'" or c == "`" then return c, at + 2 end
  return "", at + 1
end

--- Bytes that are no UTF-8 become U+FFFD; half a character at a cut end goes.
local function to_utf8(r, s, cut)
  if cut then
    local lead = match(s, "()[\xC2-\xF4][\x80-\xBF]?[\x80-\xBF]?$")
    local c = lead and byte(s, lead)
    if c and #s - lead + 1 < (c < 0xE0 and 2 or c < 0xF0 and 3 or 4) then s = sub(s, 1, lead - 1) end
  end
  local whole = valid(s)
  if whole ~= s then note(r, "bytes that are no UTF-8 replaced") end
  return whole
end

--- The end of what has been read: pieces and the rest of the text up to `last`.
local function finish(r, pieces, from, last, cut)
  local s = sub(r.text, from, last)
  if pieces then
    pieces[#pieces + 1] = s
    s = table.concat(pieces)
  end
  if find(s, "[\x80-\xFF]") then s = to_utf8(r, s, cut) end
  return s
end

--- The text ended inside the string. Closing brackets on lines of their own at its end were meant as such.
local function finish_cut(r, pieces, from, context)
  local text = r.text
  local last = #text
  if context ~= "key" and context ~= "top" and from <= last then
    local closers = match(text, "()[ \t\r]*\n[ \t\r\n]*[}%]][}%] \t\r\n]*$", math.max(from, last - 1000))
    if closers then
      note(r, "unclosed string closed")
      r.pos = closers
      return finish(r, pieces, from, closers - 1)
    end
  end
  note(r, context == "key" and "cut key left out" or "cut string closed")
  r.cut = true
  r.pos = last + 1
  return finish(r, pieces, from, last, true), true
end

local function closer_width(text, at, kind)
  for _, closer in ipairs(kind.closers) do
    if sub(text, at, at + #closer - 1) == closer then return #closer end
  end
end

local function read_triple(r, quotes)
  note(r, "triple quotes read as double quotes")
  local from = r.pos + 3
  local stop = find(r.text, quotes, from, true)
  if not stop then
    r.pos = #r.text + 1
    r.cut = true
    note(r, "cut string closed")
    return finish(r, nil, from, #r.text, true), true
  end
  r.pos = stop + 3
  return finish(r, nil, from, stop - 1)
end

local function note_control(r, c, at)
  note(r, (c == 10 or c == 13) and "line break in a string escaped" or "control character in a string escaped", at)
end

--- The string a missing quote left open: it ends before the next key.
local function finish_unclosed(r, pieces, from, last, next_at)
  note(r, "unclosed string closed")
  r.pos = next_at
  local s = finish(r, pieces, from, last)
  if sub(r.text, last - 1, last) == '\\"' then return sub(s, 1, -2) .. "\\" end -- "C:\dir\", "next": ...
  return s
end

--- Read the string that begins at r.pos.
---@param r table the reader: text, pos, notes, count, stack (the containers open), bare_keys, cut
---@param context string "key", "object", "array" or "top"
---@return string
---@return boolean|nil cut the text ended before the string did
function M.read(r, context)
  local text = r.text
  local kind, width = opening(text, r.pos)
  local triple = match(text, '^"""', r.pos) or match(text, "^'''", r.pos)
  if triple then return read_triple(r, triple) end
  if kind.says then note(r, kind.says) end
  local from = r.pos + width
  local start, pos, pieces, inner = from, from, nil, false
  while true do
    local at = find(text, kind.stops, pos)
    if not at then return finish_cut(r, pieces, from, context) end
    local c = byte(text, at)
    if c == 92 then
      pieces = pieces or {}
      pieces[#pieces + 1] = sub(text, from, at - 1)
      local piece, after = escape(r, at)
      pieces[#pieces + 1] = piece
      from, pos = after, after
    elseif c < 32 then
      note_control(r, c, at)
      pos = at + 1
    else
      local closer = kind.plain and 1 or closer_width(text, at, kind)
      if not closer then
        pos = at + 1
      elseif closes(r, at + closer, context, kind) then
        r.pos = at + closer
        -- with quotes inside, the last of a text may be one of them
        if inner and not find(text, "[^ \t\r\n]", r.pos) then r.cut = true end
        return finish(r, pieces, from, at - 1)
      else
        local last, next_at
        if context == "object" then last, next_at = never_closed(text, at, start) end
        if last then return finish_unclosed(r, pieces, from, last, next_at) end
        note(r, "quote in a string escaped", at)
        inner, pos = true, at + closer
      end
    end
  end
end

return M
