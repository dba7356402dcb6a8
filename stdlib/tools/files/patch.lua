--- Replaces one text by another inside a third, forgiving what small models get wrong: white space and ends of lines. Where it
--- cannot, it says what stands there instead.

local trim = require "core.text".trim

local M = {}

local NEAR_MAX = 1 << 20 -- bytes looked through for lines that are alike
local SHOWN = 3          -- places named in a message

--- Where `what` stands in `text`: first and last byte of each place, none within another.
local function places(text, what)
  local out, from = {}, 1
  while true do
    local first, last = text:find(what, from, true)
    if not first then return out end
    out[#out + 1] = { first, last }
    from = last + 1
  end
end

--- Number of the line that a byte stands in.
local function line_of(text, at)
  local _, breaks = text:sub(1, at - 1):gsub("\n", "")
  return breaks + 1
end

local function lines_of(text, found)
  local numbers = {}
  for i = 1, math.min(#found, 8) do numbers[i] = tostring(line_of(text, found[i][1])) end
  if #found > 8 then numbers[9] = "..." end
  return table.concat(numbers, ", ")
end

-- ---- white space does not count ---------------------------------------------------------------------------------------------

local WORD = "[%w_\x80-\xFF]"

--- The text without white space, but for one blank between two words; and for each piece where it came from.
local function squeeze(text)
  local pieces, starts, origins, at, word = {}, {}, {}, 1, false
  for origin, piece in text:gmatch "()(%S+)" do
    if word and piece:find("^" .. WORD) then
      pieces[#pieces + 1] = " "
      at = at + 1
    end
    pieces[#pieces + 1] = piece
    starts[#starts + 1], origins[#origins + 1] = at, origin
    at = at + #piece
    word = piece:find(WORD .. "$") ~= nil
  end
  return table.concat(pieces), starts, origins
end

--- Back from a byte of the squeezed text.
local function origin_of(at, starts, origins)
  local low, high = 1, #starts
  while low < high do
    local middle = (low + high + 1) // 2
    if starts[middle] <= at then low = middle else high = middle - 1 end
  end
  return origins[low] + at - starts[low]
end

local function inside_word(text, at) return text:find("^" .. WORD .. WORD, at) ~= nil end

--- Places where `old` stands when white space is not looked at; none begins or ends within a word.
local function loose_places(text, old)
  local wanted = squeeze(old)
  if wanted == "" then return {} end
  local squeezed, starts, origins = squeeze(text)
  local out = {}
  for _, place in ipairs(places(squeezed, wanted)) do
    local first, last = place[1], place[2]
    if not (first > 1 and inside_word(squeezed, first - 1)) and not inside_word(squeezed, last) then
      out[#out + 1] = { origin_of(first, starts, origins), origin_of(last, starts, origins) }
    end
  end
  return out
end

local function indents(text)
  local out = {}
  for indent in text:gmatch "([ \t]*)[^%s][^\n]*" do out[#out + 1] = indent end
  return out
end

--- Indentation in `old` -> indentation of the same line in the file. A first line is often given without its own, so that it
--- counts last.
local function indentation(there, given)
  local map = {}
  local count = #there == #given and #given or 1
  for i = 2, count do map[given[i]] = map[given[i]] or there[i] end
  if given[1] then map[given[1]] = map[given[1]] or there[1] end
  return map
end

local function translated(indent, map)
  for length = #indent, 0, -1 do
    local known = map[indent:sub(1, length)]
    if known then return known .. indent:sub(length + 1) end
  end
  return indent
end

--- `new` with the indentation of the place instead of that of `old`.
local function indented(text, first, last, old, new)
  local from = first
  while from > 1 and text:find("^[ \t]", from - 1) do from = from - 1 end
  local before = text:sub(from, first - 1)
  local starts_line = #before == first - 1 or text:sub(first - #before - 1, first - #before - 1) == "\n"
  local core = trim(new)
  if not starts_line then return core end
  local there, given = indents(before .. text:sub(first, last)), indents(old)
  local map = indentation(there, given)
  local indent, behind = new:match "^%s*\n([ \t]*)", given[1]
  indent = indent or new:match "^[ \t]*"
  local extra = indent:sub(1, #behind) == behind and indent:sub(#behind + 1) or ""
  local rest = core:gsub("\n([ \t]*)([^\n]*)", function(own, line)
    return "\n" .. (line:find "%S" and translated(own, map) or own) .. line
  end)
  return extra .. rest
end

--- Nothing comes instead: the lines go with it when they hold nothing else.
local function whole_lines(text, first, last)
  local before, behind = text:sub(1, first - 1):match "[ \t]*$", text:match("^[ \t\r]*\n", last + 1)
  local starts_line = #before == first - 1 or text:sub(first - #before - 1, first - #before - 1) == "\n"
  if starts_line and behind then return first - #before, last + #behind end
  return first, last
end

-- ---- what stands there instead ------------------------------------------------------------------------------------------------

local function pairs_of(line)
  local set, count = {}, 0
  for i = 1, math.min(#line, 200) - 1 do
    local pair = line:byte(i) << 8 | line:byte(i + 1)
    set[pair] = (set[pair] or 0) + 1
    count = count + 1
  end
  return set, count
end

--- How alike two lines are, 0 to 1, by the pairs of letters they share.
local function likeness(set, count, line)
  local shared, used = 0, {}
  local last = math.min(#line, 200) - 1
  for i = 1, last do
    local pair = line:byte(i) << 8 | line:byte(i + 1)
    used[pair] = (used[pair] or 0) + 1
    if used[pair] <= (set[pair] or 0) then shared = shared + 1 end
  end
  return 2 * shared / math.max(1, count + last)
end

--- The lines most like the longest one of `old`, best first: { number, text, score }.
local function near(text, old)
  local key = ""
  for line in old:gmatch "[^\n]+" do
    line = trim(line)
    if #line > #key then key = line end
  end
  local set, count = pairs_of(key)
  local best, number = {}, 0
  for line in (text:sub(1, NEAR_MAX) .. "\n"):gmatch "([^\n]*)\n" do
    number = number + 1
    local score = likeness(set, count, trim(line))
    if score > 0.4 then
      best[#best + 1] = { number = number, text = line, score = score }
      table.sort(best, function(a, b)
        if a.score ~= b.score then return a.score > b.score end
        return a.number < b.number
      end)
      best[SHOWN + 1] = nil
    end
  end
  return best, key
end

local function short(line) return #line > 160 and line:sub(1, 160) .. "..." or line end

local function not_found(text, old)
  local best, key = near(text, old)
  if #best == 0 then
    return ("`old` does not occur, and no line is like %q; read the file and copy the text from it"):format(short(key))
  end
  local shown = { "`old` does not occur. The nearest lines are:" }
  for _, line in ipairs(best) do shown[#shown + 1] = ("  line %d: %s"):format(line.number, short(line.text)) end
  shown[#shown + 1] = "Copy `old` from the file exactly as it stands there, without line numbers."
  return table.concat(shown, "\n")
end

-- ---- all together -------------------------------------------------------------------------------------------------------------

local function several(text, found)
  return ("`old` occurs %d times (lines %s); add lines around it until it is the only one, or set all to true"):format(
    #found, lines_of(text, found))
end

local function replace(text, found, new)
  local parts, from = {}, 1
  for _, place in ipairs(found) do
    parts[#parts + 1] = text:sub(from, place[1] - 1)
    parts[#parts + 1] = new
    from = place[2] + 1
  end
  parts[#parts + 1] = text:sub(from)
  return table.concat(parts)
end

--- With the ends of lines that the file has.
local function as_in(text, given)
  if text:find("\r\n", 1, true) and not given:find("\r\n", 1, true) then return (given:gsub("\n", "\r\n")) end
  return given
end

local function loosely(text, old, new)
  local found = loose_places(text, old)
  if #found > 1 then
    return nil, ("`old` does not occur exactly; apart from white space it occurs %d times (lines %s): copy one exactly"):format(
      #found, lines_of(text, found))
  end
  if #found == 0 then return nil, not_found(text, old) end
  local first, last = found[1][1], found[1][2]
  local line = line_of(text, first)
  if new:find "%S" then
    new = as_in(text, indented(text, first, last, old, new))
  else
    new = ""
    first, last = whole_lines(text, first, last)
  end
  return replace(text, { { first, last } }, new), { count = 1, first = line, lines = tostring(line), loose = true, new = new }
end

--- Replace `old` by `new`.
---@param text string
---@param old string must occur once; what differs from it in white space alone will do when there is one such place
---@param new string
---@param all? boolean every place, which must fit exactly
---@return string|nil text
---@return { count: integer, first: integer, lines: string, loose?: boolean, new: string }|string report what was done: places,
---first line and lines in the old text, and what came there; or why not
---
--- Example: `local text, report = patch.apply("a = 1\n", "a = 1", "a = 2")`
function M.apply(text, old, new, all)
  if not old:find "%S" then return nil, "`old` is empty: it must be text that stands in the file" end
  if old == new then return nil, "`old` and `new` are the same: there is nothing to change" end
  local found = places(text, old)
  if #found == 0 then
    old, new = as_in(text, old), as_in(text, new)
    found = places(text, old)
  elseif old:find("\n", 1, true) == nil then
    new = as_in(text, new)
  end
  if #found == 0 then return loosely(text, old, new) end
  if #found > 1 and not all then return nil, several(text, found) end
  return replace(text, found, new),
    { count = #found, first = line_of(text, found[1][1]), lines = lines_of(text, found), new = new }
end

return M
