--- JSON out of what a language model wrote: the value that was meant, and everything that had to be mended to read it.
---
--- A strict text goes through the strict engine and costs what it costs there. Else what is round the JSON goes first: a byte order
--- mark, a thinking block, prose, code fences, Markdown. Of several values in a text the default is, in this order: the
--- kind that `want` names; one in a code fence; one that is surely JSON (a lone [1] in prose is not); the longest; the first. But
--- a text that begins with an object or array has it there, unless more of its kind follow. All of it takes linear time.

local engine = require "core.json"
local errors = require "core.errors"
local notes = require "stoke.reading.notes"
local scan = require "stoke.reading.scan"
local strings = require "stoke.reading.strings"

local find, sub, match = string.find, string.sub, string.match
local note, append, write_up = notes.note, notes.append, notes.list

local M = {}

--- Nesting and bytes, unless given.
local MAX_DEPTH, MAX_SIZE = 256, 8 << 20

local OPTIONS = { all = "boolean", want = "string", max_depth = "number", max_size = "number" }

local function fail(message, fields)
  return nil, errors.new("invalid_output", message, fields)
end

--- The beginning of a text, for messages.
local function excerpt(text)
  local short = sub(text, 1, 40):gsub("[%z\1-\31\127]", " ")
  short = short:gsub("[\xC2-\xF4][\x80-\xBF]*$", function(last) return not utf8.len(last) and "" or nil end)
  return ('"%s%s"'):format(utf8.len(short) and short or short:gsub("[\x80-\xFF]", "?"), #text > 40 and "..." or "")
end

local ENTITIES = { ["&quot;"] = '"', ["&#34;"] = '"', ["&#x22;"] = '"', ["&apos;"] = "'", ["&#39;"] = "'", ["&#x27;"] = "'",
                   ["&lt;"] = "<", ["&gt;"] = ">", ["&amp;"] = "&" }

--- &quot; or \" for every quote of the JSON: one level of escaping round the whole text.
local function unescape(text, said)
  local quote = find(text, '"', 1, true)
  if not quote and find(text, "[{%[,]%s*&quot;") then
    note(said, "HTML entities read as what they stand for", find(text, "&quot;", 1, true) + said.shift)
    said.shift = false -- from here on a place in the text is none in what was given
    return (text:gsub("&#?%w+;", ENTITIES))
  end
  if find(text, '[{%[]%s*\\"') and not find(text, '[{%[,:]%s*"') then
    note(said, "escaped quotes read as quotes", find(text, "\\", 1, true) + said.shift)
    said.shift = false
    return (text:gsub('\\(["\\/])', "%1"):gsub("\\n", "\n"))
  end
  return text
end

--- What is round the JSON and no part of it.
---@return string text
---@return integer|nil from nil when the text ends in its thinking
local function unwrap(text, said)
  if find(text, "^\u{FEFF}") then
    note(said, "byte order mark left out", 1)
    text, said.shift = sub(text, 4), 3
  end
  local from = find(text, "%S") or 1
  if not find(text, '^[{%["]', from) then
    local found
    from, found = scan.past_thinking(text, from)
    if found then note(said, "thinking block left out", (find(text, "%S") or 1) + said.shift) end
  end
  return unescape(text, said), from
end

--- Where a byte of the text that is read was in the text that was given; nil when nobody knows.
local function place(said, at) return said.shift and at + said.shift or nil end

--- Say what stood before or behind the values, from a byte on.
local function note_gap(said, gap, after, from)
  if find(gap, "^[%s,;]*$") then return end
  local at = place(said, from + find(gap, "%S") - 1)
  if find(gap, "```", 1, true) then
    if not said.count["code fence left out"] then note(said, "code fence left out", at) end
    gap = gap:gsub("```+[ \t]*[%w_]*", " ")
  end
  if find(gap, "^%s*$") then return end
  if after and find(gap, "^[%s}%]]+$") then
    note(said, "extra closing bracket left out", at)
  elseif find(gap, "^[%s*_`>#~]+$") then
    note(said, "Markdown round the JSON left out", at)
  else
    note(said, after and "text after the JSON left out" or "text before the JSON left out", at)
  end
end

--- The text round the values from `first` to `last` of the list, without the other values.
local function gaps(list, first, last, text, from)
  local before, after, pos = {}, {}, from
  for i, found in ipairs(list) do
    if i <= first then before[#before + 1] = sub(text, pos, found.first - 1) end
    if i > last then after[#after + 1] = sub(text, pos, found.first - 1) end
    pos = found.last + 1
  end
  after[#after + 1] = sub(text, pos)
  return table.concat(before), table.concat(after)
end

--- Is a better than b?
local function better(a, b, want)
  if (a.kind == want) ~= (b.kind == want) then return a.kind == want end
  if a.fenced ~= b.fenced then return a.fenced end
  if a.rank ~= b.rank then return a.rank > b.rank end
  return a.last - a.first > b.last - b.first
end

--- A text that begins with a value surely meant has it there, unless more of its kind follow.
local function begins_with_it(list, want, from)
  local first = list[1]
  if first.first ~= from or first.rank < 3 or (want and first.kind ~= want) then return false end
  for i = 2, #list do
    if list[i].kind == first.kind then return false end
  end
  return true
end

local function best_of(list, want, from)
  if begins_with_it(list, want, from) then return 1 end
  local best = 1
  for i = 2, #list do
    if better(list[i], list[best], want) then best = i end
  end
  return best
end

--- One strict value with prose or fences round it: the engine reads it.
local function strict_inside(text, from, limits)
  local first = find(text, "[{%[]", from)
  local last = first and match(text, "^.*()[}%]]", first)
  if not last then return end
  local value, err = engine.decode(sub(text, first, last), limits)
  if err ~= nil then return end
  return { { value = value, first = first, last = last, notes = {}, count = {}, cut = false, rank = 3, fenced = false, at = {},
             kind = find(text, "^{", first) and "object" or "array" } }
end

--- "a": 1, "b": 2} with its first brace missing.
local function headless(text, from)
  return find(text, "^[\"'][%w_%-. ]+[\"']%s*:%s*[\"'%d{%[tfnTFN-]", from) ~= nil
end

--- A text with no brackets: one string, number or literal.
local function scalar(text, from, said, options)
  local body = strings.rtrim(sub(text, from))
  local inside = match(body, "^```+[%w_]*%s*()")
  if inside then
    note(said, "code fence left out", place(said, from))
    body = strings.rtrim(sub(body, inside, -(#match(body, "`*$", math.max(inside, #body - 8)) + 1)))
  end
  local value, r = scan.scalar(body)
  if value == nil then
    return fail(("no JSON in the text (%d bytes): %s"):format(#text, excerpt(match(text, "^%s*(.*)$"))), { offset = from })
  end
  append(said, r, not inside and said.shift and said.shift + from - 1)
  return options.all and engine.array { value } or value, write_up(said)
end

--- The chosen value, or all, with everything that was mended.
local function finish(list, text, from, said, options)
  local first, last = 1, #list
  if not options.all then
    first = best_of(list, options.want, from)
    last = first
  end
  local before, after = gaps(list, first, last, text, from)
  note_gap(said, before, false, from)
  for i = first, last do append(said, list[i], said.shift) end
  note_gap(said, after, true, list[last].last + 1)
  if #list > 1 then
    note(said, options.all and ("%d values read from one text"):format(#list) or ("one of %d values taken"):format(#list),
      place(said, list[first].first))
  end
  if not options.all then return list[first].value, write_up(said) end
  local values = {}
  for i, found in ipairs(list) do values[i] = found.value end
  return engine.array(values), write_up(said)
end

local function check(text, options)
  if type(text) ~= "string" then errors.argument("json.repair: a text expected, got %s", type(text)) end
  options = errors.options(options, OPTIONS, "json.repair")
  if options.want and options.want ~= "object" and options.want ~= "array" then
    errors.argument('json.repair: want is "object" or "array", not %s', errors.describe(options.want))
  end
  return options
end

--- Read the JSON in a text that a model wrote; stoke.json's `repair`.
---@param text string
---@param options? { all?: boolean, want?: "object"|"array", max_depth?: integer, max_size?: integer }
---@return any value nil when there is none
---@return string[]|stoke.error repairs
---
--- Example: `local value, repairs = repair.repair "{'a': 1,}"`
function M.repair(text, options)
  options = check(text, options)
  local limits = { ordered = true, exact = true, max_depth = options.max_depth or MAX_DEPTH,
    max_size = options.max_size or MAX_SIZE }
  local value, err = engine.decode(text, limits)
  if err == nil then return options.all and engine.array { value } or value, {} end
  if #text > limits.max_size then
    return fail(("a text of %d bytes, more than %d"):format(#text, limits.max_size), { offset = limits.max_size + 1 })
  end
  local said = notes.new()
  said.shift = 0 -- bytes that were before the text and are gone
  local from
  text, from = unwrap(text, said)
  if not from then return fail(("no JSON: the text ends inside its thinking (%d bytes)"):format(#text), { offset = #text + 1 }) end
  if headless(text, from) then
    note(said, "missing { put in", place(said, from))
    text, said.shift = sub(text, 1, from - 1) .. "{" .. sub(text, from), said.shift and said.shift - 1
  end
  local list, too_deep = strict_inside(text, from, limits), nil
  if not list then list, too_deep = scan.values(text, from, limits.max_depth) end
  if too_deep then
    return fail(("nested deeper than %d at byte %d"):format(limits.max_depth, too_deep), { offset = too_deep })
  end
  if #list == 0 then return scalar(text, from, said, options) end
  return finish(list, text, from, said, options)
end

return M
