--- Deep comparison of values, and of texts, that reports where they differ.

local places = require "core.journal.place"
local show = require "stoke.show"

local M = {}

local quoted, sorted_keys = show.quoted, show.sorted_keys

--- Bytes of a text on each side of the place where it differs.
local AROUND = 30
--- Texts longer than this are not shown whole.
local LONG = 100
--- Lines of a text that are the same, shown round those that are not.
local CONTEXT = 2
--- Texts with more lines than this are compared without looking for the best way.
local LINES = 400

-- ---- texts ------------------------------------------------------------------------------------------------------------------

--- The first byte in which two texts differ; nil when they are the same.
---@param a string
---@param b string
---@return integer|nil
---
--- Example: `assert(compare.first("abc", "abd") == 3)`
M.first = places.first

--- The surroundings of a byte, whole characters only.
---@param text string
---@param at integer
---@return string
---
--- Example: `print(compare.around(text, compare.first(text, other)))`
function M.around(text, at)
  local from, to = math.max(1, at - AROUND), math.min(#text, at + AROUND)
  while from > 1 and from < at and (text:byte(from) & 0xC0) == 0x80 do from = from + 1 end
  while to < #text and to > at and (text:byte(to + 1) & 0xC0) == 0x80 do to = to - 1 end
  return (from > 1 and "..." or "") .. quoted(text:sub(from, to)) .. (to < #text and "..." or "")
end

local function split(text)
  local lines = {}
  for line in (text .. "\n"):gmatch "(.-)\n" do lines[#lines + 1] = line end
  return lines
end

--- What a shortest edit does, line by line: { " " | "-" | "+", text }, from the longest common subsequence.
local function edits(a, b)
  local first, last_a, last_b = 1, #a, #b
  while first <= last_a and first <= last_b and a[first] == b[first] do first = first + 1 end
  while last_a >= first and last_b >= first and a[last_a] == b[last_b] do last_a, last_b = last_a - 1, last_b - 1 end
  local common = {}
  if last_a - first < LINES and last_b - first < LINES then
    for i = last_a + 1, first, -1 do
      local row, below = {}, common[i + 1]
      for j = last_b + 1, first, -1 do
        if i > last_a or j > last_b then row[j] = 0
        elseif a[i] == b[j] then row[j] = below[j + 1] + 1
        else row[j] = math.max(below[j], row[j + 1]) end
      end
      common[i] = row
    end
  end
  local out, i, j = {}, first, first
  for k = 1, first - 1 do out[k] = { " ", a[k] } end
  while i <= last_a or j <= last_b do
    local row = common[i]
    if i <= last_a and j <= last_b and a[i] == b[j] then
      out[#out + 1] = { " ", a[i] }
      i, j = i + 1, j + 1
    elseif i <= last_a and (j > last_b or not row or common[i + 1][j] >= row[j + 1]) then
      out[#out + 1] = { "-", a[i] }
      i = i + 1
    else
      out[#out + 1] = { "+", b[j] }
      j = j + 1
    end
  end
  for k = last_a + 1, #a do out[#out + 1] = { " ", a[k] } end
  return out
end

--- A line as a diff shows it: invisible characters are written out.
local function visible(line)
  line = line:gsub("[%c\127]", function(c) return c == "\t" and c or ("\\x%02x"):format(c:byte()) end)
  return #line > 200 and line:sub(1, 200) .. "..." or (line:gsub(" $", "\u{b7}"))
end

--- Two texts, line by line: `-` marks the expected lines, `+` the actual ones.
---@param want string
---@param got string
---@return string
---
--- Example: `print(compare.lines("a\nb", "a\nc"))`
function M.lines(want, got)
  local list, keep = edits(split(want), split(got)), {}
  for i, edit in ipairs(list) do
    if edit[1] ~= " " then
      for k = i - CONTEXT, i + CONTEXT do keep[k] = true end
    end
  end
  local out, skipped = {}, false
  for i, edit in ipairs(list) do
    if keep[i] then
      if skipped then out[#out + 1] = "  ..." end
      skipped = false
      out[#out + 1] = edit[1] .. " " .. visible(edit[2])
      if #out >= 60 then
        out[#out + 1] = "  ... (and more)"
        break
      end
    else
      skipped = true
    end
  end
  return table.concat(out, "\n")
end

--- Describes how two texts differ: whole when they are short, their surroundings when long, their lines when they have several.
---@param got string
---@param want string
---@return string
---
--- Example: `print(compare.texts("a cat", "a cow"))`
function M.texts(got, want)
  local at = M.first(got, want)
  if got:find "\n" and want:find "\n" then
    local _, line = want:sub(1, at - 1):gsub("\n", "")
    return ("the texts differ from line %d on (- expected, + got)\n%s"):format(line + 1, M.lines(want, got))
  end
  if #got <= LONG and #want <= LONG then return ("expected %s, got %s"):format(quoted(want), quoted(got)) end
  return ("the texts differ at byte %d of %d\n  expected: %s\n  got:      %s"):format(at, #want, M.around(want, at),
    M.around(got, at))
end

-- ---- values -------------------------------------------------------------------------------------------------------------------

local function step(path, key)
  if type(key) == "string" and key:find "^[%a_][%w_]*$" then return path .. "." .. key end
  return ("%s[%s]"):format(path, type(key) == "string" and quoted(key) or tostring(key))
end

local function differ(got, want, path, seen, found)
  if rawequal(got, want) or (got == want and type(got) == type(want) and math.type(got) == math.type(want)) then return end
  if type(got) ~= "table" or type(want) ~= "table" then
    if got ~= got and want ~= want then return end
    local words = type(got) == "string" and type(want) == "string" and M.texts(got, want)
      or ("expected %s, got %s"):format(show.line(want), show.line(got))
    found[#found + 1] = { path, words, got, want }
    return
  end
  if seen[got] == want then return end
  seen[got] = want
  local keys = {}
  for key in next, want do keys[key] = true end
  for key in next, got do keys[key] = true end
  for _, key in ipairs(sorted_keys(keys)) do
    differ(got[key], want[key], step(path, key), seen, found)
    if #found > 8 then return end
  end
end

--- Where two values differ, in words: the first place with both values, the paths of others. nil when they do not. 1 and 1.0
--- differ.
---@param got any
---@param want any
---@return string|nil
---
--- Example: `print(compare.difference({ 1 }, { 2 }))`
function M.difference(got, want)
  local found = {}
  differ(got, want, "value", {}, found)
  if not found[1] then return nil end
  local text = ("%s: %s"):format(found[1][1], found[1][2])
  if found[2] then
    local others = {}
    for i = 2, math.min(#found, 8) do others[#others + 1] = found[i][1] end
    text = ("%s\nand at %s%s"):format(text, table.concat(others, ", "), #found > 8 and ", ..." or "")
  end
  return text
end

--- The first place where two values differ: its path, and what each has there; nil when they do not.
---@param got any
---@param want any
---@return string|nil path
---@return any got
---@return any want
---
--- Example: `local path = compare.place({ a = 1 }, { a = 2 })`
function M.place(got, want)
  local found = {}
  differ(got, want, "", {}, found)
  local first = found[1]
  if not first then return nil end
  return (first[1]:gsub("^%.", "")), first[3], first[4]
end

--- Does a value have all that another one names? A function in `want` judges the value in its place; whole numbers and floats are
--- the same; a list has the same length, unless it is empty.
---@param got any
---@param want any
---@return boolean
---
--- Example: `assert(compare.partial({ city = "Oslo", days = 3 }, { city = "Oslo" }))`
function M.partial(got, want)
  if type(want) == "function" then return want(got) and true or false end
  if type(want) ~= "table" or type(got) ~= "table" then return got == want end
  if #want > 0 and #want ~= #got then return false end
  for key, value in next, want do
    if not M.partial(got[key], value) then return false end
  end
  return true
end

return M
