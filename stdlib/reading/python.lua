--- Calls in Python's notation: get_weather(city="Oslo"), [get_weather(city='Oslo'), now()]. Named arguments and literals only: what
--- would have to be worked out is no call. Nothing but the calls may be in the text.

local engine = require "core.json"

local find, match, sub, byte = string.find, string.match, string.sub, string.byte

local M = {}

local DEPTH <const>, MOST <const> = 32, 64

local value

--- Behind white space and comments.
local function skip(text, at)
  while true do
    at = find(text, "%S", at) or #text + 1
    if byte(text, at) ~= 35 then return at end -- #
    at = find(text, "\n", at, true) or #text + 1
  end
end

local ESCAPES = { n = "\n", t = "\t", r = "\r", b = "\b", f = "\f", v = "\v", a = "\a", ["0"] = "\0", ["\\"] = "\\", ["'"] = "'",
  ['"'] = '"', ["\n"] = "" }

--- What an escape stands for, and where it ends; nil: it is none.
local function escape(text, at)
  local c = sub(text, at + 1, at + 1)
  if ESCAPES[c] then return ESCAPES[c], at + 2 end
  local hex, stop = match(text, "^x(%x%x)()", at + 1)
  if not hex then hex, stop = match(text, "^u(%x%x%x%x)()", at + 1) end
  if not hex then hex, stop = match(text, "^U(%x%x%x%x%x%x%x%x)()", at + 1) end
  local code = hex and tonumber(hex, 16)
  if code and code <= 0x10FFFF and (code < 0xD800 or code > 0xDFFF) then return utf8.char(code), stop end
  if c == "" or hex then return nil end
  return "\\" .. c, at + 2 -- Python keeps it
end

local function text_of(text, at)
  local quote = match(text, "^'''", at) or match(text, '^"""', at) or sub(text, at, at)
  local parts, from = {}, at + #quote
  while true do
    local stop = find(text, "[\\\n" .. sub(quote, 1, 1) .. "]", from)
    if not stop then return nil end
    parts[#parts + 1] = sub(text, from, stop - 1)
    local c = sub(text, stop, stop)
    if c == "\\" then
      local piece, after = escape(text, stop)
      if not piece then return nil end
      parts[#parts + 1], from = piece, after
    elseif sub(text, stop, stop + #quote - 1) == quote then
      return table.concat(parts), stop + #quote
    elseif c == "\n" and #quote == 1 then
      return nil
    else
      parts[#parts + 1], from = c, stop + 1
    end
  end
end

local WORDS = { True = true, False = false, None = engine.null, ["true"] = true, ["false"] = false, null = engine.null }

local function number(text, at)
  local token, after = match(text, "^([+-]?%d[%w_.]*[eE][+-]%d+)()", at)
  if not token then token, after = match(text, "^([+-]?[%d.][%w_.]*)()", at) end
  if not token then return nil end
  local digits = token:gsub("^%+", ""):gsub("(%d)_(%d)", "%1%2"):gsub("^(%-?)%.", "%10."):gsub("%.$", ".0")
  local n, bad = engine.decode(digits, { exact = true })
  if bad then return nil end
  return n, after
end

--- Items up to the closing bracket, each read by `item`, a comma between; where it goes on.
local function items(text, at, close, item)
  at = skip(text, at)
  while byte(text, at) ~= close do
    at = item(at)
    at = at and skip(text, at)
    if not at then return nil end
    if byte(text, at) == 44 then at = skip(text, at + 1) elseif byte(text, at) ~= close then return nil end
  end
  return at + 1
end

local function list(text, at, close, depth)
  local out = engine.array {}
  local after = items(text, at + 1, close, function(from)
    local v, stop = value(text, from, depth + 1)
    out[#out + 1] = v
    return stop
  end)
  return after and out, after
end

local function dictionary(text, at, depth)
  local out, order = {}, {}
  local after = items(text, at + 1, 125, function(from)
    if not find(text, "^['\"]", from) then return nil end
    local key, stop = text_of(text, from)
    stop = stop and skip(text, stop)
    if not stop or byte(text, stop) ~= 58 or out[key] ~= nil then return nil end
    out[key], stop = value(text, skip(text, stop + 1), depth + 1)
    order[#order + 1] = key
    return stop
  end)
  return after and engine.object(out, order), after
end

--- The literal at a place and where it ends; a nil end: there is none.
function value(text, at, depth)
  if depth > DEPTH then return nil end
  local c = sub(text, at, at)
  if c == "'" or c == '"' then return text_of(text, at) end
  if c == "[" then return list(text, at, 93, depth) end
  if c == "(" then return list(text, at, 41, depth) end
  if c == "{" then return dictionary(text, at, depth) end
  local word, after = match(text, "^([%a]+)()", at)
  if word then
    if WORDS[word] == nil then return nil end
    return WORDS[word], after
  end
  return number(text, at)
end

local function call(text, at, calls)
  local name, after = match(text, "^([%a_][%w_.%-]*)[ \t]*%(()", at)
  if not name or #calls == MOST then return nil end
  local arguments, order = {}, {}
  local stop = items(text, after, 41, function(from)
    local key, behind = match(text, "^([%a_][%w_]*)%s*=()", from)
    if not key or arguments[key] ~= nil then return nil end
    arguments[key], behind = value(text, skip(text, behind), 1)
    order[#order + 1] = key
    return behind
  end)
  if stop then calls[#calls + 1] = { name = name, arguments = engine.object(arguments, order) } end
  return stop
end

--- The calls a text is made of.
---@param text string
---@return { name: string, arguments: table }[]|nil calls nil when it is anything else
---
--- Example: `python.calls "[get_weather(city='Oslo')]"`
function M.calls(text)
  local calls = {}
  local at = skip(text, 1)
  if find(text, "^print%s*%(", at) then
    at = items(text, match(text, "^print%s*%(()", at), 41, function(from) return call(text, from, calls) end)
  elseif find(text, "^%[", at) then
    at = items(text, at + 1, 93, function(from) return call(text, from, calls) end)
  else
    while at and at <= #text do
      at = call(text, at, calls)
      at = at and match(text, "^[ \t]*[;,]?()", at)
      at = at and skip(text, at)
    end
  end
  at = at and match(text, "^%s*;?()", at)
  if not at or skip(text, at) <= #text or #calls == 0 then return nil end
  return calls
end

return M
