--- The JSON values in a text, wherever they stand: in prose, in code fences, one after the other.

local loose = require "stoke.reading.loose"

local find, byte, sub, match = string.find, string.byte, string.sub, string.match

local M = {}

--- Fences of these languages hold JSON; a fence of another is a text like any other.
local FENCES = { [""] = true, json = true, jsonc = true, json5 = true, jsonl = true, ndjson = true, javascript = true, js = true,
                 tool_call = true, tool_calls = true, tool_code = true }

---@class stoke.reading.found
---@field value table
---@field kind "object"|"array"
---@field first integer byte it begins at
---@field last integer byte it ends at
---@field notes string[] repairs, each once
---@field count table<string, integer> how often
---@field at table<string, integer> where the first of them was
---@field fenced boolean in a code fence
---@field cut boolean the text ended inside a string, a key, a word or a number of it
---@field rank integer 3 surely meant as JSON, 2 and 1 perhaps, 0 only when it stands alone

--- How surely is this meant as JSON, and no bracket of prose, as in [1], [the], {name}?
local function rank_of(r, value, kind)
  local empty = next(value) == nil
  if kind == "object" then
    if not empty then return 3 end
    return r.halted and 0 or 1
  end
  if empty then return r.halted and 0 or 1 end
  if r.quoted then return 3 end
  if r.words then return 0 end
  return (#value > 1 or type(value[1]) == "table") and 3 or 2
end

local function read_at(text, at, max_depth)
  local r = loose.reader(text, at, max_depth)
  local kind = byte(text, at) == 123 and "object" or "array"
  local value = loose.read(r, "top")
  if r.too_deep then return nil, r end
  if kind == "object" and value[1] ~= nil then kind = "array" end -- braces round a list
  return { value = value, kind = kind, first = at, last = math.max(at, r.pos - 1), notes = r.notes, count = r.count, at = r.at,
           cut = r.cut or false, rank = rank_of(r, value, kind) }, r
end

--- Without the prose's brackets, unless there is nothing else and one stands alone.
local function sift(list, text, from)
  local kept = {}
  for _, found in ipairs(list) do
    if found.rank > 0 then kept[#kept + 1] = found end
  end
  local only = list[1]
  if #kept == 0 and only and next(only.value) ~= nil then
    local alone = find(sub(text, from, only.first - 1), "^%s*$") and find(text, "^%s*$", only.last + 1)
    if alone or only.fenced then kept[1] = only end
  end
  return kept
end

--- Find the values in a text, in their order.
---@param text string
---@param from integer where to begin
---@param max_depth integer
---@return stoke.reading.found[]
---@return integer|nil too_deep the byte at which one was nested too deep
---
--- Example: `for _, found in ipairs(scan.values(text, 1, 256)) do print(found.kind) end`
function M.values(text, from, max_depth)
  local list, pos, fence = {}, from, nil
  while true do
    local at = find(text, "[`{%[]", pos)
    if not at then break end
    if byte(text, at) == 96 then
      local ticks, language, after = match(text, "^(`+)[ \t]*([%w_]*)()", at)
      pos = after
      if #ticks >= 3 then
        if fence then pos = at + #ticks end
        fence = not fence and language:lower() or nil
      end
    else
      local found, r = read_at(text, at, max_depth)
      if not found then return list, r.too_deep end
      found.fenced = fence ~= nil and FENCES[fence] or false
      list[#list + 1] = found
      pos = math.max(at + 1, r.pos)
    end
  end
  return sift(list, text, from)
end

local THINKING = { "think", "thinking", "thought", "reasoning" }

--- Where a text goes on behind a thinking block at its beginning. The opening tag may have been in the prompt.
---@param text string
---@param from integer
---@return integer|nil from nil when the text ends inside the thinking
---@return boolean found
---
--- Example: `scan.past_thinking("<think>hm</think> yes", 1)  --> 19, true`
function M.past_thinking(text, from)
  from = find(text, "%S", from) or #text + 1
  for _, tag in ipairs(THINKING) do
    local open = match(text, "^<" .. tag .. ">()", from)
    local _, stop = find(text, "</" .. tag .. ">", open or from, true)
    if stop then return find(text, "%S", stop + 1) or #text + 1, true end
    if open then return nil, true end
  end
  return from, false
end

--- Read a text from its first byte to its last as one value without brackets; nil when it is none.
---@param text string
---@return any value
---@return table|nil r the reader, for its notes
---
--- Example: `local value = scan.scalar "'text'"`
function M.scalar(text)
  local r = loose.reader(text, 1, 1)
  local value = loose.read(r, "top")
  if value == loose.NOTHING or r.words or loose.skip(r) or r.halted then return nil end
  if r.cut and byte(text, 1) ~= 34 then return nil end
  return value, r
end

return M
