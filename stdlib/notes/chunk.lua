--- A text in passages: of so many bytes at most, cut where it is least in the way, each with its lines and the headings above it.
---
--- A passage ends at a heading, at the end of a paragraph, of a sentence or a line, in this order; characters stay whole. One that
--- goes on where another ended begins with the end of that one (`overlap`), so that what stands at a cut is read with its
--- surroundings.

local texts = require "core.text"

local M = {}

--- Bytes of the headings above a passage.
local PATH_MAX <const> = 200

--- How good a place is to end at, from the worst: within a sentence, or in code; a sentence or line; a paragraph. (Before a heading
--- is better still.)
local INSIDE <const>, LINE <const>, PARAGRAPH <const>, HEADING <const> = 0, 1, 2, 3

--- Where a piece of at most `most` bytes ends in a long line: behind a sentence, between two words, between two characters.
local function piece_end(line, from, most)
  local window = line:sub(from, from + most - 1)
  local best
  for stop in window:gmatch "[.!?][\"')%]]*%s+()" do best = stop - 1 end
  for _, mark in ipairs { "。", "！", "？" } do
    for stop in window:gmatch(mark .. "()") do best = math.max(best or 0, stop - 1) end
  end
  if best then return from + best - 1, LINE end
  best = window:match ".*%s()"
  if best then return from + best - 2, INSIDE end
  return from + #texts.head(line:sub(from, from + most), most) - 1, INSIDE
end

--- Add a line to the list, in pieces where it is long.
local function add(list, line, number, path, most, rank)
  local from = 1
  while #line - from + 1 > most do
    local stop, cut = piece_end(line, from, most)
    list[#list + 1] = { text = line:sub(from, stop), line = number, path = path, rank = math.min(cut, rank) }
    from = stop + 1
  end
  list[#list + 1] = { text = line:sub(from) .. "\n", line = number, path = path, rank = rank }
end

--- The heading that a line is: its level and words. A line with a row of = or - below it is one, too.
local function heading(lines, n)
  local line = lines[n]
  local marks, words = line:match "^(#+)%s+(.-)[%s#]*$"
  if marks and #marks <= 6 and words ~= "" then return #marks, words end
  local below = lines[n + 1]
  if not below or not line:find "^%S" or n > 1 and lines[n - 1]:find "%S" then return nil end
  if below:find "^===+%s*$" then return 1, line end
  if below:find "^%-%-%-+%s*$" and not line:find "^%-%-%-" then return 2, line end
end

--- The headings in force, as one line.
local function path_of(above)
  local names = {}
  for level = 1, 6 do names[#names + 1] = above[level] end
  return texts.head(texts.line(table.concat(names, " > ")), PATH_MAX)
end

--- The smallest parts, in order; what they hold together is the text, with one empty line where there were several.
local function parts(lines, headed, most)
  local list, above, path, fence = {}, {}, "", nil
  for n, line in ipairs(lines) do
    local mark = line:match "^%s*(```)" or line:match "^%s*(~~~)"
    local level, words
    if mark and (fence == nil or fence == mark) then
      fence = not fence and mark or nil
    elseif headed and not fence then
      level, words = heading(lines, n)
    end
    if level then
      above[level] = words
      for deeper = level + 1, 6 do above[deeper] = nil end
      path = path_of(above)
    end
    local last = list[#list]
    if not line:find "%S" then
      if last and last.rank < PARAGRAPH and not last.text:find "\n\n$" then
        last.text, last.rank = last.text .. "\n", fence and INSIDE or PARAGRAPH
      end
    else
      if level and last then last.rank = HEADING end
      local first = #list + 1
      add(list, line, n, path, most - 2, fence and INSIDE or LINE)
      list[first].heading = level ~= nil
    end
  end
  return list
end

--- The last part of a passage that has room up to `last`: the best place in its second half.
local function best_end(list, first, fresh, last, bytes)
  local size, best = 0, nil
  for i = first, last do
    size = size + #list[i].text
    if i >= fresh and size >= bytes // 2 and (not best or list[i].rank >= list[best].rank) then best = i end
  end
  return best or last
end

--- Where a passage ends that begins at `first`; what comes before `fresh` another one had.
local function last_of(list, first, fresh, bytes)
  local size = 0
  for i = first, #list do
    if i > fresh and list[i].heading and size >= bytes // 4 then return i - 1 end
    if size + #list[i].text > bytes then return best_end(list, first, fresh, i - 1, bytes) end
    size = size + #list[i].text
  end
  return #list
end

--- Where the one behind begins: some parts back, within the same section.
local function back(list, first, fresh, overlap)
  local size, i = 0, fresh
  while i - 1 > first and not list[i].heading and size + #list[i - 1].text <= overlap do
    i = i - 1
    size = size + #list[i].text
  end
  return i
end

local function lines_of(text)
  local lines = {}
  text = texts.valid(text:gsub("^\xEF\xBB\xBF", "")):gsub("\r\n?", "\n"):gsub("[%z\1-\8\11\12\14-\31\127]", " ")
  for line in (text .. "\n"):gmatch "([^\n]*)\n" do lines[#lines + 1] = line end
  return lines
end

---@class stoke.notes.passage
---@field text string
---@field first integer number of its first line
---@field last integer
---@field heading string the headings above it: "Guide > Install", or ""

--- Cut a text into passages.
---@param text string any bytes: what is not UTF-8 is replaced
---@param o { bytes: integer, overlap: integer, headed: boolean } bytes: of a passage at most; headed: lines may be headings of
---  Markdown
---@return stoke.notes.passage[]
---
--- Example: `for _, passage in ipairs(chunk.cut(text, { bytes = 1200, overlap = 200, headed = true })) do print(passage.text) end`
function M.cut(text, o)
  local list = parts(lines_of(text), o.headed, o.bytes // 2)
  local out, first, fresh = {}, 1, 1
  while fresh <= #list do
    local last = last_of(list, first, fresh, o.bytes)
    local words = {}
    for i = first, last do words[#words + 1] = list[i].text end
    out[#out + 1] = { text = texts.trim("|" .. table.concat(words)):sub(2), first = list[first].line, last = list[last].line,
      heading = list[first].path }
    fresh = last + 1
    first = list[fresh] and not list[fresh].heading and back(list, first, fresh, o.overlap) or fresh
  end
  return out
end

return M
