--- What stands in JSON without quotes, rightly or not: numbers, literals, and words that lost their quotes.

local engine = require "core.json"
local note = require "stoke.reading.notes".note
local strings = require "stoke.reading.strings"

local find, byte, sub, match = string.find, string.byte, string.sub, string.match
local opening = strings.opening

local M = {}

--- Stands for a value that is not there.
local NOTHING = {}
M.NOTHING = NOTHING

local PYTHON = "Python literal (True, False, None) read as JSON"
local UNDEFINED = "undefined read as null"
local NOT_FINITE = "NaN or Infinity read as null"
local NUMBER = "number written as JSON has it"

--- word -> { value, what to say }
local LITERALS = {
  ["true"] = { true }, ["false"] = { false }, ["null"] = { engine.null },
  True = { true, PYTHON }, False = { false, PYTHON }, None = { engine.null, PYTHON },
  TRUE = { true, "literal in capitals read as JSON" }, FALSE = { false, "literal in capitals read as JSON" },
  NULL = { engine.null, "literal in capitals read as JSON" }, Null = { engine.null, "literal in capitals read as JSON" },
  undefined = { engine.null, UNDEFINED }, ["nil"] = { engine.null, UNDEFINED },
  NaN = { engine.null, NOT_FINITE }, nan = { engine.null, NOT_FINITE }, Infinity = { engine.null, NOT_FINITE },
  ["-Infinity"] = { engine.null, NOT_FINITE }, ["+Infinity"] = { engine.null, NOT_FINITE },
  ["-NaN"] = { engine.null, NOT_FINITE }, inf = { engine.null, NOT_FINITE }, ["-inf"] = { engine.null, NOT_FINITE },
}

local WHOLE = { "true", "false", "null", "True", "False", "None" }

--- The literal a cut text began to say.
local function begun(word)
  for _, whole in ipairs(WHOLE) do
    if sub(whole, 1, #word) == word then return LITERALS[whole][1] end
  end
end

--- A number as JSON has it; its text where no number holds it, as json.decode's `exact` does.
local function exact(token)
  local n = tonumber(token)
  if n == math.huge or n == -math.huge then return token end
  if math.type(n) == "float" and find(token, "^%-?%d+$") and ("%.0f"):format(n) ~= token then return token end
  return n
end

local LONGEST = 400 -- bytes of a number in another writing: the patterns for it take the third power of their length

--- A number as JSON, C, Python or JavaScript have it.
---@return number|string|nil
---@return boolean|nil odd it was not written as JSON has it
local function number(token)
  if find(token, "^%-?[1-9]%d*$") or find(token, "^%-?0$") then return exact(token) end
  if #token > LONGEST then return nil end
  local whole, rest = match(token, "^%-?(%d+)(.*)$")
  local fraction = rest and (match(rest, "^%.%d+$") or match(rest, "^%.?%d*[eE][+-]?%d+$"))
  if fraction and not find(whole, "^0%d") and not find(rest, "^%.[eE]") and not find(rest, "^%d") then return exact(token) end
  local sign, digits = match(token, "^([+-]?)(.*)$")
  if find(digits, "^%d[%d_]*%.?[%d_]*[eE]?[+-]?%d*$") or find(digits, "^%.%d[%d_]*[eE]?[+-]?%d*$") then
    digits = digits:gsub("_", "")
  elseif not find(digits, "^0[xX]%x+$") or #digits > 17 then
    return nil
  end
  local n = tonumber(digits)
  return n and (sign == "-" and -n or n), true
end

--- A number, with what to say of it.
local function finish_number(r, n, odd)
  if n == math.huge or n == -math.huge then
    note(r, "number out of range read as null")
    return engine.null
  end
  if odd then note(r, NUMBER) end
  return n
end

--- 1,234,567 as the value of a key: nothing else can follow a comma with just three digits.
local function thousands(r, token, at)
  if not find(token, "^[+-]?[1-9]%d?%d?$") then return end
  local text, stop = r.text, at
  while find(text, "^,%d%d%d%f[^%w_]", stop) do stop = stop + 4 end
  if stop == at then return end
  stop = match(text, "^%.%d+()", stop) or stop
  local behind = find(text, "[^ \t\r\n]", stop)
  if behind and not find(text, "^[,}]", behind) then return end
  return sub(text, at, stop - 1):gsub(",", ""), stop
end

--- The number that a cut text ends in: what of it is a number already.
local function cut_number(r, token)
  r.cut = true
  local short = token:gsub("[eE][+-]?$", ""):gsub("[.+-]$", "")
  local n, odd = number(short)
  if not n then
    note(r, "cut number left out")
    return NOTHING
  end
  note(r, "cut number read as far as it goes")
  return finish_number(r, n, odd)
end

--- After a number or a literal: does the value end here, or is it the first of several words?
local function ends(r, at, context)
  local text = r.text
  local behind = find(text, "[^ \t\r]", at)
  if not behind or find(text, "^[,;}%]\n#]", behind) or find(text, "^/[/*]", behind) or find(text, "^%*%*", behind)
    or find(text, "^[`<]", behind) then
    return true
  end
  if behind == at then return false end
  if context == "array" then
    local word = match(text, "^[%a_]+", behind)
    return find(text, "^[%-%d%[{]", behind) ~= nil or opening(text, behind) ~= nil or (word ~= nil and LITERALS[word] ~= nil)
  end
  return strings.begins_key(text, behind) or find(text, "^[%a_$][%w_$]*[ \t]*:", behind) ~= nil
end

--- Where words without quotes end; nil when they cannot be a value.
local function words_end(r, from, context)
  local text = r.text
  local at = find(text, '[,}%]\n"{%[]', from)
  if not at then return #text end
  local c = byte(text, at)
  if c == 44 or c == 125 or c == 93 or c == 10 then return at - 1 end
  local call = match(text, "^new [%w_.]+%b()()", from) or match(text, "^[%w_.]+%b()()", from)
  if call and call > at then return call - 1 end
  if c == 34 and context == "object" and strings.begins_key(text, at) then return at - 1 end
end

local function read_words(r, context)
  local text, from = r.text, r.pos
  local last = words_end(r, from, context)
  if not last then
    r.halted = true
    return NOTHING
  end
  local words = sub(text, from, last)
  local remark = find(words, "[ \t]//") or find(words, "[ \t]#")
  if remark then words = sub(words, 1, remark - 1) end
  r.pos = from + #words
  if last == #text then r.cut = true end
  words = strings.rtrim(words)
  if find(words, "[\x80-\xFF]") and not utf8.len(words) then words = words:gsub("[\x80-\xFF]+", "\u{FFFD}") end
  if find(words, "[%z\1-\31]") then words = words:gsub("[%z\1-\31]+", " ") end
  note(r, "quotes put round a value")
  r.words = true
  return words
end

--- Read the value without quotes that begins at r.pos.
---@param r table the reader
---@param context string "object", "array" or "top"
---@return any value NOTHING when there is none
function M.read(r, context)
  local text = r.text
  local token, after = match(text, "^([%w%.+%-_]+)()", r.pos)
  if not token then return read_words(r, context) end
  if find(token, "^[%d+%-.]") then
    local n, odd = number(token)
    if after > #text and context ~= "top" then
      if #token <= LONGEST and find(token, "^[+-]?[%d.]*[eE]?[+-]?%d*$") then
        r.pos = after
        return cut_number(r, token)
      end
    end
    if n then
      local more, stop
      if context == "object" then more, stop = thousands(r, token, after) end
      if more then
        r.pos = stop
        return finish_number(r, tonumber((token:gsub("^%+", "")) .. more), true)
      end
      if ends(r, after, context) then
        r.pos = after
        return finish_number(r, n, odd)
      end
    end
  end
  local literal = LITERALS[token]
  if literal and ends(r, after, context) then
    r.pos = after
    if literal[2] then note(r, literal[2]) end
    return literal[1]
  end
  if after > #text and context ~= "top" then
    local value = begun(token)
    if value ~= nil then
      r.pos = after
      r.cut = true
      note(r, "cut literal completed")
      return value
    end
  end
  return read_words(r, context)
end

return M
