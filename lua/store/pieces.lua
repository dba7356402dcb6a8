--- The items of a stream that has ended, as one value: texts that follow one another are joined, and their lengths kept apart, in
--- half a byte each as long as they are short. A list of
---
---   ["text", 12, "joined", false]     12 items { type = "text", text = } that were waited for; "thinking" the same
---   ["bytes", 3, "joined", [1, 2]]    3 items that are strings: one was there without a wait, two were waited for
---   {"value":{...},"inline":true}     any other item, as the journal has it

local M = {}

local char, byte, concat = string.char, string.byte, table.concat

local EVENTS = { text = true, thinking = true }

--- Which kind of joined text an item belongs to, and its text.
local function kind_of(item)
  local value, inline = item.value, item.inline
  if type(inline) ~= "boolean" then return nil end
  for name in next, item do
    if name ~= "value" and name ~= "inline" then return nil end
  end
  if type(value) == "string" then return "bytes", value end
  if type(value) ~= "table" or getmetatable(value) then return nil end
  local text, kind = value.text, value.type
  if type(text) ~= "string" or not EVENTS[kind] then return nil end
  for name in next, value do
    if name ~= "type" and name ~= "text" then return nil end
  end
  return kind, text
end

--- A length as half bytes: 1 to 15 as one; else 0, and three bits in each of those that follow, the fourth says that there are
--- more.
local function put(halves, n)
  if n >= 1 and n <= 15 then
    halves[#halves + 1] = n
    return
  end
  halves[#halves + 1] = 0
  repeat
    halves[#halves + 1] = n & 7 | (n > 7 and 8 or 0)
    n = n >> 3
  until n == 0
end

local function packed(halves)
  local out = {}
  for i = 1, #halves, 2 do out[#out + 1] = char(halves[i] << 4 | (halves[i + 1] or 0)) end
  return concat(out)
end

--- Runs of true and false in turn, beginning with true; one value where all are the same.
local function turns(flags)
  local runs, state = { 0 }, true
  for _, flag in ipairs(flags) do
    if flag ~= state then
      runs[#runs + 1], state = 0, flag
    end
    runs[#runs] = runs[#runs] + 1
  end
  if #runs == 1 then return true end
  if #runs == 2 and runs[1] == 0 then return false end
  return runs
end

--- Items of a journal's stream as one value.
---@param items table[]
---@return table value
---@return string lengths
function M.join(items)
  local out, halves, i = {}, {}, 1
  while i <= #items do
    local kind, text = kind_of(items[i])
    if not kind then
      out[#out + 1] = items[i]
      i = i + 1
    else
      local texts, flags, this = {}, {}, kind
      while this == kind do
        texts[#texts + 1], flags[#flags + 1] = text, items[i].inline
        put(halves, #text)
        i = i + 1
        if not items[i] then break end
        this, text = kind_of(items[i])
      end
      out[#out + 1] = { kind, #texts, concat(texts), turns(flags) }
    end
  end
  return out, packed(halves)
end

--- A reader of lengths: a function that gives the next one.
local function lengths_of(text)
  local at = 0
  local function half()
    local both = byte(text, (at >> 1) + 1) or 0
    at = at + 1
    return at & 1 == 1 and both >> 4 or both & 15
  end
  return function()
    local n = half()
    if n > 0 then return n end
    local shift = 0
    repeat
      local bits = half()
      n = n | (bits & 7) << shift
      shift = shift + 3
    until bits < 8 or shift > 60
    return n
  end
end

--- A function that gives the next flag.
local function flags_of(runs)
  if type(runs) == "boolean" then return function() return runs end end
  local at, left, state = 1, runs[1], true
  return function()
    while left == 0 do
      at = at + 1
      left, state = runs[at] or math.huge, not state
    end
    left = left - 1
    return state
  end
end

--- The items again.
---@param value table
---@param lengths string
---@return table[] items
function M.part(value, lengths)
  local items, length = {}, lengths_of(lengths)
  for _, group in ipairs(value) do
    local kind, count, text, runs = group[1], group[2], group[3], group[4]
    if not kind then
      items[#items + 1] = group
    else
      local flag, from = flags_of(runs), 1
      for _ = 1, count do
        local n = length()
        local part = text:sub(from, from + n - 1)
        from = from + n
        items[#items + 1] = { value = kind == "bytes" and part or { type = kind, text = part }, inline = flag() }
      end
    end
  end
  return items
end

return M
