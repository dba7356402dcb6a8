--- A question in pieces: quotations and code first, whole; then words, numbers and signs.

local M = {}

local MAX_BYTES, MAX_TOKENS = 1200, 120

---@class core.semantic.token
---@field kind? string "quote" | "code" | "number" | "ordinal" | "unit": already read
---@field key? string as it was written
---@field text? string a word
---@field lower string
---@field capital? boolean
---@field shout? boolean all capitals, two or more
---@field roman? boolean an I that counts
---@field start? boolean first of a sentence
---@field comma? boolean a comma or the like follows
---@field stop? string it ends a sentence: "." | "?" | "!"

--- Lower case: ASCII, and the letters of Latin-1 (U+00C0 to U+00DE). Others stay, so a capital of theirs makes a text differ.
---@param text string
---@return string
function M.lower(text)
  return (text:lower():gsub("\xC3([\x80-\x9E])", function(c) return c ~= "\x97" and "\xC3" .. string.char(c:byte() + 32) or
    nil end))
end

-- Opening and closing marks; the same text between other marks is the same quotation.
local QUOTES = { { '"', '"' }, { "“", "”" }, { "„", "“" }, { "„", "”" }, { "«", "»" }, { "»", "«" }, { "‘",
  "’" }, { "‚", "‘" } }

--- Take verbatim pieces out; what is left has "\1N\1" in their place.
local function verbatim(text)
  local kept = {}
  local function keep(kind)
    return function(inner)
      kept[#kept + 1] = { kind = kind, key = inner:gsub("^%s+", ""):gsub("%s+$", ""):gsub("%s+", " ") }
      return " \1" .. #kept .. "\1 "
    end
  end
  text = text:gsub("```(.-)```", keep "code"):gsub("``(.-)``", keep "code"):gsub("`([^`]+)`", keep "code")
  for _, pair in ipairs(QUOTES) do
    local from, to = pair[1], pair[2]
    local at = 1
    while true do
      local first, last = text:find(from, at, true)
      if not first then break end
      local close, close_last = text:find(to, last + 1, true)
      if not close then break end
      local mark = keep "quote"(text:sub(last + 1, close - 1))
      text = text:sub(1, first - 1) .. mark .. text:sub(close_last + 1)
      at = first + #mark
    end
  end
  text = (" " .. text):gsub("(%s)'([^']+)'(%f[%W])", function(space, inner, _) return space .. keep "quote"(inner) end)
  return text, kept
end

local UNIT_CHUNKS = { ["km/h"] = true, ["mg/dl"] = true, ["m/s"] = true, ml = true, kb = true, kw = true, kwh = true, mw = true,
  ma = true, mv = true }

--- Is this piece something that is written in one way only: a path, an identifier, an operator?
local function literal(chunk)
  if UNIT_CHUNKS[chunk:lower()] then return false end
  return chunk:find "[_/\\=<>{}%[%]|&$#@*^~+`\"]" or chunk:find "::" or chunk:find "%(%)" or chunk:find "^%-%-" or
    chunk:find "%-%-$"
    or chunk:find "%a%.%a" or chunk:find "%l%u" or chunk:find "^%-+$" or chunk:find "%d:%d" or chunk:find "%d[/.]%d+[/.]%d"
    or chunk:find "^0x%x" or chunk:find "^%d+%-%d+%-%d+"
end

local CONTRACTIONS = { ["n't"] = "not", ["'re"] = "are", ["'ll"] = "will", ["'ve"] = "have", ["'m"] = "am", ["'d"] = "would" }
local WHOLE = { ["can't"] = { "can", "not" }, ["won't"] = { "will", "not" }, ["cannot"] = { "can", "not" },
  ["fürs"] = { "für", "das" } }
-- After these, 's is a verb; after others it shows who has something, and says nothing more than the order does.
local IS = { what = true, who = true, where = true, when = true, how = true, that = true, there = true, it = true, here = true,
  he = true, she = true, why = true }

local function words_of(chunk)
  local lower = M.lower(chunk)
  if WHOLE[lower] then return WHOLE[lower] end
  for tail, word in pairs(CONTRACTIONS) do
    if #lower > #tail and lower:sub(-#tail) == tail then return { chunk:sub(1, -#tail - 1), word } end
  end
  local owner = chunk:match "^(.+)'[sS]$"
  if owner then return IS[M.lower(owner)] and { owner, "is" } or { owner } end
  return { (chunk:gsub("'$", "")) }
end

local Splitter = {}
Splitter.__index = Splitter

function Splitter:add(token)
  token.start = self.start
  self.start = false
  self.list[#self.list + 1] = token
end

function Splitter:word(text)
  for piece in text:gmatch "[^-]+" do
    for _, word in ipairs(words_of(piece)) do
      local lower = M.lower(word)
      local previous = self.list[#self.list]
      self:add { text = word, lower = lower, capital = lower:sub(1, 2) ~= word:sub(1, 2), shout = #word > 1 and word ~= lower and
        not word:find "%l" and not word:find "\xC3[\x9F-\xBF]",
        roman = word == "I" and previous ~= nil and previous.capital and not previous.start }
    end
  end
end

local CURRENCY = { ["$"] = "$", ["€"] = "€", ["£"] = "£" }

--- A number with what is glued to it: "5km", "$50", "15%", "3rd".
function Splitter:number(chunk)
  local rest = chunk:gsub("^−", "-")
  local sign = rest:match "^-" or ""
  rest = rest:sub(#sign + 1)
  local before = rest:match "^%$" or rest:match "^€" or rest:match "^£"
  if before then rest = rest:sub(#before + 1) end
  local digits, after = rest:match "^(%d[%d.,']*%d)(.*)$"
  if not digits then digits, after = rest:match "^(%d)(.*)$" end
  if not digits or (after ~= "" and not after:find "^[%%°%aµ€/\xC2\xE2]+%d?$") then return false end
  if after == "st" or after == "nd" or after == "rd" or after == "th" then
    self:add { kind = "ordinal", key = digits .. ".", lower = chunk }
    return true
  end
  self:add { kind = "number", raw = sign .. digits, lower = chunk }
  local unit = before and CURRENCY[before] or after
  if unit ~= "" then self:add { text = unit, lower = M.lower(unit), glued = true } end
  return true
end

local function iso_date(chunk)
  local year, month, day = chunk:match "^(%d%d%d%d)%-(%d%d)%-(%d%d)$"
  if year then return { kind = "date", key = ("date:%s-%s-%s"):format(year, month, day), lower = chunk } end
  local hour, minute = chunk:match "^(%d%d?):(%d%d)$"
  if hour then return { kind = "date", key = ("time:%d:%s"):format(tonumber(hour), minute), lower = chunk } end
end

function Splitter:chunk(chunk)
  local n = chunk:match "^\1(%d+)\1$"
  if n then
    local piece = self.kept[tonumber(n)]
    return self:add { kind = piece.kind, key = piece.key, lower = "" }
  end
  local date = iso_date(chunk)
  if date then return self:add(date) end
  if self:number(chunk) then return end
  if literal(chunk) then return self:add { kind = "code", key = chunk, lower = "" } end
  if chunk == "%" then return self:add { text = chunk, lower = chunk } end
  if chunk:find "^%p+$" then
    if chunk:find "[,;:()¡¿!?.'\"…]" then return end
    return self:add { kind = "code", key = chunk, lower = "" }
  end
  self:word(chunk)
end

local function trim(chunk)
  local head, tail = "", ""
  if chunk:find "^[%(\xC2'\"]" then
    local rest = chunk:gsub("^[%(\"']+", ""):gsub("^¿", ""):gsub("^¡", ""):gsub("^[%(\"']+", "")
    if not chunk:find "^%(%)" then chunk = rest end
  end
  while true do
    local mark = chunk:match "[.,;:!?]$" or (chunk:find "%)$" and not chunk:find "%(" and ")") or chunk:match "…$"
    if not mark or #chunk == #mark then break end
    chunk, tail = chunk:sub(1, -#mark - 1), mark .. tail
  end
  return chunk, tail, head
end

--- Words, numbers, signs, quotations and code of a question, in order.
---@param text string
---@return core.semantic.token[]|nil
---@return string? why "length" | "encoding"
function M.tokens(text)
  if not utf8.len(text) then return nil, "encoding" end
  if #text > MAX_BYTES then return nil, "length" end
  if text:find "[\1\2]" then return nil, "encoding" end
  text = text:gsub("\u{A0}", " "):gsub("\u{202F}", " ")
  local rest, kept = verbatim(text)
  local self = setmetatable({ list = {}, kept = kept, start = true }, Splitter)
  rest = rest:gsub("’", "'")
  for chunk in rest:gmatch "%S+" do
    local body, tail = trim(chunk)
    local before = #self.list
    self:chunk(body)
    if #self.list > MAX_TOKENS then return nil, "length" end
    local last = self.list[#self.list]
    if last and tail ~= "" then
      local stop = tail:match "[?!]" or (#self.list > before and not last.raw and #body > 2 and tail:match "%.") or nil
      last.comma = last.comma or tail:find "[,;:]" ~= nil
      if stop then last.stop, self.start = stop, true end
    end
  end
  return self.list
end

return M
